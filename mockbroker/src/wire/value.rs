//! A message as plain values with Kafka's field names, read by the schema tables. For reading only, and only for what a test
//! looks at: the broker itself never decodes by it.

use std::fmt;
use std::ops::Index;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::schema::{Field, FieldDefault, Kind, Message};

/// A value of Kafka's protocol. Fields are by Kafka's names in snake case: `request["topic_data"][0]["name"]`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let broker = mockbroker::MockBroker::start().await;
/// for entry in broker.journal().produce().entries() {
///     assert_eq!(entry.request()["acks"], -1, "every write waits for all replicas");
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value, where the schema allows that; and a field that the version does not have.
    Null,
    /// A bool.
    Bool(bool),
    /// A number of any size.
    Int(i64),
    /// A float64.
    Float(f64),
    /// A uuid.
    Uuid(Uuid),
    /// A string.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// Record batches.
    Records(Bytes),
    /// An array.
    List(Vec<Self>),
    /// A struct: every field that the version has, in the order of the schema.
    Struct(Vec<(&'static str, Self)>),
}

impl Value {
    /// The field of this name; `None` if this is no struct or has no such field.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if it is some: of a bytes field or of record batches.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) | Self::Records(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of an array; of anything else none.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// Every number of a field `error_code`, however deep, that is not 0, in its order.
    pub(crate) fn errors(&self, found: &mut Vec<i16>) {
        match self {
            Self::Struct(fields) => {
                for (name, value) in fields {
                    match value {
                        Self::Int(code) if name.ends_with("error_code") && *code != 0 => {
                            found.extend(i16::try_from(*code));
                        }
                        inner => inner.errors(found),
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.errors(found)),
            _ => {}
        }
    }
}

impl Index<&str> for Value {
    type Output = Self;

    /// The field of this name.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or_else(|| panic!("there is no field {name:?} in {self}"))
    }
}

impl Index<usize> for Value {
    type Output = Self;

    /// The element at this place.
    ///
    /// # Panics
    ///
    /// If there is none.
    fn index(&self, place: usize) -> &Self {
        self.items().get(place).unwrap_or_else(|| panic!("there is no element {place} in {self}"))
    }
}

impl PartialEq<i64> for Value {
    fn eq(&self, other: &i64) -> bool {
        self.as_int() == Some(*other)
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, other: &bool) -> bool {
        matches!(self, Self::Bool(value) if value == other)
    }
}

/// One line: `{ name: "orders", partitions: [{ index: 0, records: <78 bytes> }] }`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) | Self::Records(bytes) => write!(f, "<{} bytes>", bytes.len()),
            Self::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Struct(fields) if fields.is_empty() => f.write_str("{}"),
            Self::Struct(fields) => {
                f.write_str("{ ")?;
                for (place, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if place == 0 { "" } else { ", " })?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// What `body` says as `message` at `version`; bytes after it are left alone.
///
/// # Errors
///
/// Where it is not such a message. Nothing is reserved for what is only claimed.
pub(crate) fn decode(message: &Message, version: i16, body: &Bytes) -> Result<Value, String> {
    if !message.versions.contains(version) {
        return Err(format!("{} v{version}: there is no such version", message.name));
    }
    let flexible = message.flexible.contains(version);
    let mut reader = Reader { rest: body.clone(), version, flexible };
    reader.fields(message.fields).map_err(|error| format!("{} v{version}: {error}", message.name))
}

/// Where the value of a field of the message itself, not of a struct in it, begins in `body`; `None` if this version has it
/// not in its place.
pub(crate) fn place_of(message: &Message, version: i16, body: &Bytes, name: &str) -> Option<usize> {
    let mut reader = Reader { rest: body.clone(), version, flexible: message.flexible.contains(version) };
    for field in message.fields.iter().filter(|field| field.is_in_place(version)) {
        if field.name == name {
            return Some(body.len() - reader.rest.len());
        }
        reader.field(field).ok()?;
    }
    None
}

struct Reader {
    rest: Bytes,
    version: i16,
    flexible: bool,
}

type Read<T> = Result<T, String>;

impl Reader {
    fn fields(&mut self, fields: &'static [Field]) -> Read<Value> {
        let mut values = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in_place(version)) {
            values.push((field.name, self.field(field)?));
        }
        if self.flexible {
            for field in fields.iter().filter(|field| field.is_tagged(version)) {
                values.push((field.name, default_of(field)));
            }
            self.tagged(fields, &mut values)?;
        }
        Ok(Value::Struct(values))
    }

    fn field(&mut self, field: &'static Field) -> Read<Value> {
        let (nullable, compact) = (field.nullable.contains(self.version), self.flexible && !field.rigid);
        self.value(&field.kind, nullable, compact).map_err(|error| format!("{}: {error}", field.name))
    }

    fn tagged(&mut self, fields: &'static [Field], values: &mut [(&'static str, Value)]) -> Read<()> {
        for _ in 0..self.varint()? {
            let (tag, size) = (self.varint()?, self.varint()?);
            let field = fields.iter().find(|field| field.is_tagged(self.version) && field.tag == tag);
            match field {
                Some(field) => {
                    let value = self.field(field)?;
                    let place = values.iter_mut().find(|(name, _)| *name == field.name);
                    place.expect("the default of every tagged field is there").1 = value;
                }
                None => {
                    self.take(size as usize)?;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: &'static Kind, nullable: bool, compact: bool) -> Read<Value> {
        Ok(match kind {
            Kind::Bool => Value::Bool(self.number::<1>()? != 0),
            Kind::Int8 => Value::Int(self.number::<1>()?),
            Kind::Int16 => Value::Int(self.number::<2>()?),
            Kind::UInt16 => Value::Int(self.number::<2>()? & 0xffff),
            Kind::Int32 => Value::Int(self.number::<4>()?),
            Kind::UInt32 => Value::Int(self.number::<4>()? & 0xffff_ffff),
            Kind::Int64 => Value::Int(self.number::<8>()?),
            Kind::Float64 => Value::Float(f64::from_bits(self.number::<8>()?.cast_unsigned())),
            Kind::Uuid => Value::Uuid(Uuid::from_slice(&self.take(16)?).map_err(|error| error.to_string())?),
            Kind::String => match self.length(compact, Width::Short)? {
                Some(size) => {
                    let bytes = self.take(size)?;
                    Value::Text(String::from_utf8(bytes.into()).map_err(|_| "not UTF-8")?)
                }
                None => Value::Null,
            },
            Kind::Bytes | Kind::Records => match self.length(compact, Width::Long)? {
                Some(size) if matches!(kind, Kind::Records) => Value::Records(self.take(size)?),
                Some(size) => Value::Bytes(self.take(size)?),
                None => Value::Null,
            },
            Kind::Array { element, .. } => match self.length(compact, Width::Long)? {
                Some(count) => {
                    let mut items = Vec::with_capacity(count.min(self.rest.len()));
                    for _ in 0..count {
                        items.push(self.value(element, false, self.flexible)?);
                    }
                    Value::List(items)
                }
                None => Value::Null,
            },
            Kind::Struct(_) if nullable && self.number::<1>()? < 0 => Value::Null,
            Kind::Struct(fields) => self.fields(fields)?,
        })
    }

    fn take(&mut self, size: usize) -> Read<Bytes> {
        if size > self.rest.len() {
            return Err(format!("{size} bytes where {} are left", self.rest.len()));
        }
        Ok(self.rest.split_to(size))
    }

    /// A signed number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Read<i64> {
        if self.rest.len() < N {
            return Err(format!("{N} bytes where {} are left", self.rest.len()));
        }
        Ok(self.rest.get_int(N))
    }

    fn length(&mut self, compact: bool, width: Width) -> Read<Option<usize>> {
        if compact {
            return Ok((self.varint()? as usize).checked_sub(1));
        }
        let length = match width {
            Width::Short => self.number::<2>()?,
            Width::Long => self.number::<4>()?,
        };
        Ok(usize::try_from(length).ok())
    }

    fn varint(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.number::<1>()?.to_le_bytes()[0];
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a varint of more than five bytes".into())
    }
}

/// How wide a length is that is not compact.
enum Width {
    Short,
    Long,
}

fn default_of(field: &'static Field) -> Value {
    match field.default {
        FieldDefault::Null => Value::Null,
        FieldDefault::True => Value::Bool(true),
        FieldDefault::Int(number) => Value::Int(number),
        FieldDefault::Zero => match &field.kind {
            Kind::Bool => Value::Bool(false),
            Kind::Float64 => Value::Float(0.0),
            Kind::Uuid => Value::Uuid(Uuid::nil()),
            Kind::String => Value::Text(String::new()),
            Kind::Bytes => Value::Bytes(Bytes::new()),
            Kind::Records => Value::Records(Bytes::new()),
            Kind::Array { .. } => Value::List(Vec::new()),
            Kind::Struct(_) => Value::Null,
            Kind::Int8 | Kind::Int16 | Kind::UInt16 | Kind::Int32 | Kind::UInt32 | Kind::Int64 => Value::Int(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{BrokerId, MetadataResponse, ProduceRequest, TopicName};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;
    use crate::wire::schema;

    #[test]
    fn what_the_codec_writes_is_read_at_every_version() {
        let data = PartitionProduceData::default().with_index(3).with_records(Some(Bytes::from_static(b"batch")));
        for version in 3..=13 {
            let topic = TopicProduceData::default().with_partition_data(vec![data.clone()]);
            let topic = if version < 13 {
                topic.with_name(TopicName(StrBytes::from_static_str("orders")))
            } else {
                topic.with_topic_id(Uuid::from_u128(7))
            };
            let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(500).with_topic_data(vec![topic]);
            let mut body = BytesMut::new();
            request.encode(&mut body, version).unwrap();
            let value = decode(schema::request(0).unwrap(), version, &body.freeze()).unwrap();
            assert_eq!(value["acks"], -1);
            let topic = &value["topic_data"][0];
            assert_eq!(topic["partition_data"][0]["index"], 3);
            assert_eq!(topic["partition_data"][0]["records"].as_bytes().unwrap(), "batch");
            match version {
                13 => assert_eq!(topic["topic_id"], Value::Uuid(Uuid::from_u128(7))),
                _ => assert_eq!(topic["name"], "orders"),
            }
        }
    }

    #[test]
    fn errors_are_found_however_deep_and_a_truncated_body_is_an_error() {
        let broker = MetadataResponseBroker::default().with_node_id(BrokerId(1)).with_port(9092);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
            .with_error_code(3);
        let answer = MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic]);
        for version in 1..=13 {
            let mut body = BytesMut::new();
            answer.encode(&mut body, version).unwrap();
            let body = body.freeze();
            let message = schema::response(3).unwrap();
            let value = decode(message, version, &body).unwrap();
            let mut errors = Vec::new();
            value.errors(&mut errors);
            assert_eq!(errors, [3], "v{version}");
            for end in 0..body.len() {
                decode(message, version, &body.slice(..end)).expect_err("truncated");
            }
        }
    }

    #[test]
    fn it_reads_as_one_line() {
        let value = Value::Struct(vec![
            ("name", Value::Text("orders".into())),
            ("partitions", Value::List(vec![Value::Int(0), Value::Null])),
            ("records", Value::Records(Bytes::from_static(b"abc"))),
        ]);
        assert_eq!(value.to_string(), r#"{ name: "orders", partitions: [0, null], records: <3 bytes> }"#);
    }
}
