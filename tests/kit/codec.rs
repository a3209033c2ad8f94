//! Values to bytes and back, by the schema tables that come from Kafka's message JSON; no line of kafka-protocol.
//!
//! Encoding is for the author of a test: what makes no sense panics with a sentence. Decoding is strict: it judges the
//! broker, so every byte has to have a meaning. To send nonsense, encode something right and break the bytes.

use bytes::{BufMut, Bytes};
use mockbroker::schema::{Field, FieldDefault, Kind, Message};
use uuid::Uuid;

use crate::value::Value;

/// The name under which a struct has the tagged fields that the schema does not know.
pub const UNKNOWN_TAGS: &str = "unknown_tags";

/// The bytes of `message`; fields that are not given have their default from the JSON.
///
/// # Panics
///
/// If the value has a field or a type that the message lacks at this version.
#[must_use]
pub fn encode(message: &Message, version: i16, value: &Value) -> Vec<u8> {
    encode_marked(message, version, value).0
}

/// Where a length, a count or a tag stands in a body: what a mutation makes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The first byte of it.
    pub at: usize,
    /// How many bytes it takes.
    pub width: usize,
    /// How it is written.
    pub form: Form,
}

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Two bytes.
    Int16,
    /// Four bytes.
    Int32,
    /// An unsigned varint.
    Varint,
}

/// As [`encode`], and where the lengths are.
///
/// # Panics
///
/// As [`encode`].
#[must_use]
pub fn encode_marked(message: &Message, version: i16, value: &Value) -> (Vec<u8>, Vec<Mark>) {
    let mut encoder = Encoder {
        out: Vec::new(),
        marks: Vec::new(),
        version,
        flexible: message.flexible.contains(version),
        place: format!("{} v{version}", message.name),
    };
    encoder.fields(message.fields, value);
    (encoder.out, encoder.marks)
}

struct Encoder {
    out: Vec<u8>,
    marks: Vec<Mark>,
    version: i16,
    flexible: bool,
    place: String,
}

impl Encoder {
    fn fields(&mut self, fields: &'static [Field], value: &Value) {
        let Value::Struct(given) = value else { panic!("{}: {value:?} is no struct", self.place) };
        for (name, value) in given {
            let known = fields.iter().any(|field| field.name == *name && field.versions.contains(self.version));
            let tags = *name == UNKNOWN_TAGS && self.flexible;
            assert!(known || tags, "{} has no field {name} (for {value:?})", self.place);
        }
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in_place(version)) {
            let value = given.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value);
            self.field(field, value);
        }
        if self.flexible {
            self.tagged_fields(fields, given);
        }
    }

    fn field(&mut self, field: &'static Field, value: Option<&Value>) {
        let length = self.place.len();
        self.place.push('.');
        self.place.push_str(field.name);
        let default;
        let value = match value {
            Some(value) => value,
            None => {
                default = default_of(field, self.version);
                &default
            }
        };
        self.value(&field.kind, value, field.nullable.contains(self.version), self.flexible && !field.rigid);
        self.place.truncate(length);
    }

    fn tagged_fields(&mut self, fields: &'static [Field], given: &[(&'static str, Value)]) {
        let mut tags = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_tagged(version)) {
            // As Kafka's writers do: a tagged field that has its default is left out.
            let value = given.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value);
            if let Some(value) = value.filter(|value| **value != default_of(field, self.version)) {
                let before = (std::mem::take(&mut self.out), std::mem::take(&mut self.marks));
                self.field(field, Some(value));
                let data = std::mem::replace(&mut self.out, before.0);
                tags.push((field.tag, data, std::mem::replace(&mut self.marks, before.1)));
            }
        }
        if let Some((_, unknown)) = given.iter().find(|(name, _)| *name == UNKNOWN_TAGS) {
            for tag in unknown.array() {
                let number = u32::try_from(tag["tag"].int()).expect("a tag is an unsigned number of 32 bits");
                tags.push((number, tag["data"].bytes().to_vec(), Vec::new()));
            }
        }
        tags.sort_by_key(|(tag, ..)| *tag);
        self.varint(tags.len());
        for (tag, data, marks) in tags {
            self.varint(tag as usize);
            self.varint(data.len());
            let start = self.out.len();
            self.marks.extend(marks.into_iter().map(|mark| Mark { at: start + mark.at, ..mark }));
            self.out.put_slice(&data);
        }
    }

    fn value(&mut self, kind: &'static Kind, value: &Value, nullable: bool, compact: bool) {
        match (kind, value) {
            (_, Value::Null) if nullable => self.null(kind, compact),
            (Kind::Bool, Value::Bool(value)) => self.out.put_u8((*value).into()),
            (Kind::Float64, Value::Float(value)) => self.out.put_f64(*value),
            (Kind::Float64, Value::Int(value)) => self.out.put_f64(*value as f64),
            (Kind::Uuid, Value::Uuid(value)) => self.out.put_slice(value.as_bytes()),
            (Kind::String, Value::Str(value)) => {
                self.length(kind, value.len(), compact);
                self.out.put_slice(value.as_bytes());
            }
            (Kind::Bytes | Kind::Records, Value::Bytes(value)) => {
                self.length(kind, value.len(), compact);
                self.out.put_slice(value);
            }
            (Kind::Array { element, .. }, Value::Array(elements)) => {
                self.length(kind, elements.len(), compact);
                for element_value in elements {
                    self.value(element, element_value, false, self.flexible);
                }
            }
            (Kind::Struct(fields), Value::Struct(_)) => {
                if nullable {
                    self.out.put_i8(1);
                }
                self.fields(fields, value);
            }
            (_, Value::Int(value)) => self.int(kind, *value),
            _ => panic!("{} is {kind:?}, which {value:?} is not", self.place),
        }
    }

    fn int(&mut self, kind: &'static Kind, value: i64) {
        let out = &mut self.out;
        let fits = match kind {
            Kind::Int8 => i8::try_from(value).map(|value| out.put_i8(value)).is_ok(),
            Kind::Int16 => i16::try_from(value).map(|value| out.put_i16(value)).is_ok(),
            Kind::UInt16 => u16::try_from(value).map(|value| out.put_u16(value)).is_ok(),
            Kind::Int32 => i32::try_from(value).map(|value| out.put_i32(value)).is_ok(),
            Kind::UInt32 => u32::try_from(value).map(|value| out.put_u32(value)).is_ok(),
            Kind::Int64 => {
                out.put_i64(value);
                true
            }
            _ => false,
        };
        assert!(fits, "{} is {kind:?}, which {value} is not", self.place);
    }

    fn null(&mut self, kind: &Kind, compact: bool) {
        match kind {
            Kind::Struct(_) => self.out.put_i8(-1),
            _ if compact => self.varint(0),
            Kind::String => self.marked(Form::Int16, |out| out.put_i16(-1)),
            _ => self.marked(Form::Int32, |out| out.put_i32(-1)),
        }
    }

    fn length(&mut self, kind: &Kind, length: usize, compact: bool) {
        let number = i32::try_from(length).expect("an array has at most 2^31 - 1 elements");
        match kind {
            _ if compact => self.varint(length + 1),
            Kind::String => {
                let number = i16::try_from(number).expect("a string has at most 32767 bytes");
                self.marked(Form::Int16, |out| out.put_i16(number));
            }
            _ => self.marked(Form::Int32, |out| out.put_i32(number)),
        }
    }

    fn varint(&mut self, value: usize) {
        let value = value.try_into().expect("lengths have 32 bits");
        self.marked(Form::Varint, |out| put_varint(out, value));
    }

    fn marked(&mut self, form: Form, put: impl FnOnce(&mut Vec<u8>)) {
        let at = self.out.len();
        put(&mut self.out);
        self.marks.push(Mark { at, width: self.out.len() - at, form });
    }
}

/// Appends an unsigned varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// What a field is when nobody says.
#[must_use]
pub fn default_of(field: &Field, version: i16) -> Value {
    match (field.default, field.kind) {
        (FieldDefault::Null, _) if field.nullable.contains(version) => Value::Null,
        (FieldDefault::True, _) => Value::Bool(true),
        (FieldDefault::Int(number), _) => Value::Int(number),
        (_, Kind::Bool) => Value::Bool(false),
        (_, Kind::Float64) => Value::Float(0.0),
        (_, Kind::Uuid) => Value::Uuid(Uuid::nil()),
        (_, Kind::String) => Value::Str(String::new()),
        (_, Kind::Bytes | Kind::Records) => Value::Bytes(Bytes::new()),
        (_, Kind::Array { .. }) => Value::Array(Vec::new()),
        (_, Kind::Struct(fields)) => default_struct(fields, version),
        (_, _) => Value::Int(0),
    }
}

/// A struct in which every field has its default.
fn default_struct(fields: &'static [Field], version: i16) -> Value {
    let present = fields.iter().filter(|field| field.versions.contains(version));
    Value::Struct(present.map(|field| (field.name, default_of(field, version))).collect())
}

/// The value of `message` that `bytes` are, all of them. Fields the version lacks are left out; tagged ones that were
/// not sent have their default.
///
/// # Errors
///
/// A sentence that says where the bytes stop making sense.
pub fn decode(message: &Message, version: i16, bytes: &Bytes) -> Result<Value, String> {
    let (value, used) = decode_prefix(message, version, bytes)?;
    if used < bytes.len() {
        let left = bytes.len() - used;
        return Err(format!("{} v{version}: {left} bytes follow {value:?}", message.name));
    }
    Ok(value)
}

/// As [`decode`], but for a header or whatever else has more bytes behind it; returns how many it took.
///
/// # Errors
///
/// A sentence that says where the bytes stop making sense.
pub fn decode_prefix(message: &Message, version: i16, bytes: &Bytes) -> Result<(Value, usize), String> {
    let mut decoder = Decoder { rest: bytes.clone(), version, flexible: message.flexible.contains(version) };
    let value = decoder.fields(message.fields).map_err(|fault| format!("{} v{version}: {fault}", message.name))?;
    Ok((value, bytes.len() - decoder.rest.len()))
}

struct Decoder {
    rest: Bytes,
    version: i16,
    flexible: bool,
}

impl Decoder {
    fn fields(&mut self, fields: &'static [Field]) -> Result<Value, String> {
        let mut values = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in_place(version)) {
            values.push((field.name, self.field(field)?));
        }
        if self.flexible {
            self.tagged_fields(fields, &mut values)?;
        }
        Ok(Value::Struct(values))
    }

    fn field(&mut self, field: &'static Field) -> Result<Value, String> {
        let nullable = field.nullable.contains(self.version);
        self.value(&field.kind, nullable, self.flexible && !field.rigid)
            .map_err(|fault| format!("{}: {fault}", field.name))
    }

    fn tagged_fields(
        &mut self,
        fields: &'static [Field],
        values: &mut Vec<(&'static str, Value)>,
    ) -> Result<(), String> {
        let mut unknown = Vec::new();
        let mut last = None;
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            if last.is_some_and(|last| last >= tag) {
                return Err(format!("tag {tag} follows tag {last:?}"));
            }
            last = Some(tag);
            let size = self.varint()? as usize;
            let data = self.take(size)?;
            let Some(field) = fields.iter().find(|field| field.is_tagged(self.version) && field.tag == tag) else {
                let entry = vec![("tag", Value::Int(tag.into())), ("data", Value::Bytes(data))];
                unknown.push(Value::Struct(entry));
                continue;
            };
            let mut inner = Self { rest: data, ..*self };
            let value = inner.field(field)?;
            if !inner.rest.is_empty() {
                return Err(format!("{}: tag {tag} has {} bytes too many", field.name, inner.rest.len()));
            }
            values.push((field.name, value));
        }
        for field in fields.iter().filter(|field| field.is_tagged(self.version)) {
            if !values.iter().any(|(name, _)| *name == field.name) {
                values.push((field.name, default_of(field, self.version)));
            }
        }
        if !unknown.is_empty() {
            values.push((UNKNOWN_TAGS, Value::Array(unknown)));
        }
        Ok(())
    }

    fn value(&mut self, kind: &'static Kind, nullable: bool, compact: bool) -> Result<Value, String> {
        Ok(match kind {
            Kind::Bool => match self.array::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => return Err(format!("{other} is no bool")),
            },
            Kind::Int8 => Value::from(i8::from_be_bytes(self.array()?)),
            Kind::Int16 => Value::from(i16::from_be_bytes(self.array()?)),
            Kind::UInt16 => Value::from(u16::from_be_bytes(self.array()?)),
            Kind::Int32 => Value::from(i32::from_be_bytes(self.array()?)),
            Kind::UInt32 => Value::from(u32::from_be_bytes(self.array()?)),
            Kind::Int64 => Value::from(i64::from_be_bytes(self.array()?)),
            Kind::Float64 => Value::from(f64::from_be_bytes(self.array()?)),
            Kind::Uuid => Value::Uuid(Uuid::from_bytes(self.array()?)),
            Kind::Struct(fields) if nullable => match self.array::<1>()? {
                [1] => self.fields(fields)?,
                [0xff] => Value::Null,
                [other] => return Err(format!("{other} is neither 1 nor -1")),
            },
            Kind::Struct(fields) => self.fields(fields)?,
            Kind::String | Kind::Bytes | Kind::Records | Kind::Array { .. } => match self.length(kind, compact)? {
                Some(length) => self.sized(kind, length)?,
                None if nullable => Value::Null,
                None => return Err("null where the schema allows none".to_owned()),
            },
        })
    }

    fn sized(&mut self, kind: &'static Kind, length: usize) -> Result<Value, String> {
        Ok(match kind {
            Kind::String => {
                let text = self.take(length)?;
                Value::Str(String::from_utf8(text.to_vec()).map_err(|fault| fault.to_string())?)
            }
            Kind::Array { element, least } => {
                if length > self.rest.len() / least {
                    return Err(format!("{length} elements in {} bytes", self.rest.len()));
                }
                let element =
                    |index| self.value(element, false, self.flexible).map_err(|fault| format!("[{index}]: {fault}"));
                Value::Array((0..length).map(element).collect::<Result<_, _>>()?)
            }
            _ => Value::Bytes(self.take(length)?),
        })
    }

    fn length(&mut self, kind: &Kind, compact: bool) -> Result<Option<usize>, String> {
        let length = match kind {
            _ if compact => i64::from(self.varint()?) - 1,
            Kind::String => i16::from_be_bytes(self.array()?).into(),
            _ => i32::from_be_bytes(self.array()?).into(),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| format!("length {length}")),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, String> {
        if length > self.rest.len() {
            return Err(format!("{length} bytes wanted, {} left", self.rest.len()));
        }
        Ok(self.rest.split_to(length))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?[..].try_into().expect("take returns what it is asked for"))
    }

    fn varint(&mut self) -> Result<u32, String> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| format!("varint {value} has more than 32 bits"));
            }
        }
        Err("varint of more than five bytes".to_owned())
    }
}
