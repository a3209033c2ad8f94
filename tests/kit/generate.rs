//! Bodies nobody wrote: random ones that are right, right ones made wrong, arrays as long as they get, and noise.
//!
//! All of it comes from a seed, so that a failure is repeated by its number.

use bytes::Bytes;
use fastrand::Rng;
use mockbroker::schema::{self, Field, FieldDefault, Kind, Message, Versions};
use uuid::Uuid;

use crate::codec::{self, Form, Mark, UNKNOWN_TAGS};
use crate::value::Value;

/// A random value that fits `message` at `version`, every field given.
#[must_use]
pub fn valid(message: &Message, version: i16, rng: &mut Rng) -> Value {
    let flexible = message.flexible.contains(version);
    Generator { version, flexible, rng }.fields(message.fields)
}

struct Generator<'a> {
    version: i16,
    flexible: bool,
    rng: &'a mut Rng,
}

impl Generator<'_> {
    fn fields(&mut self, fields: &'static [Field]) -> Value {
        let mut values = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            if !field.is_tagged(self.version) || self.rng.bool() {
                let nullable = field.nullable.contains(self.version) && self.rng.u8(..4) == 0;
                values.push((field.name, if nullable { Value::Null } else { self.value(&field.kind) }));
            }
        }
        if self.flexible && self.rng.u8(..8) == 0 {
            values.push((UNKNOWN_TAGS, self.unknown_tags()));
        }
        Value::Struct(values)
    }

    /// No message has a tag of 100 or more.
    fn unknown_tags(&mut self) -> Value {
        let mut tag = 100;
        let tags = (0..self.rng.u8(1..3)).map(|_| {
            tag += self.rng.i64(1..1_000);
            let data = Value::Bytes(self.bytes());
            Value::Struct(vec![("tag", Value::Int(tag)), ("data", data)])
        });
        Value::Array(tags.collect())
    }

    fn value(&mut self, kind: &'static Kind) -> Value {
        match kind {
            Kind::Bool => self.rng.bool().into(),
            Kind::Int8 => self.rng.i8(..).into(),
            Kind::Int16 => self.rng.i16(..).into(),
            Kind::UInt16 => self.rng.u16(..).into(),
            Kind::Int32 => self.rng.i32(..).into(),
            Kind::UInt32 => self.rng.u32(..).into(),
            Kind::Int64 => self.rng.i64(..).into(),
            Kind::Float64 => Value::Float(self.rng.f64()),
            Kind::Uuid => Uuid::from_u128(self.rng.u128(..)).into(),
            Kind::String => (0..self.rng.u8(..6)).map(|_| self.rng.alphanumeric()).collect::<String>().into(),
            Kind::Bytes | Kind::Records => Value::Bytes(self.bytes()),
            Kind::Struct(fields) => self.fields(fields),
            Kind::Array { element, .. } => {
                (0..self.rng.u8(..3)).map(|_| self.value(element)).collect::<Vec<_>>().into()
            }
        }
    }

    fn bytes(&mut self) -> Bytes {
        (0..self.rng.u8(..20)).map(|_| self.rng.u8(..)).collect()
    }
}

/// A right body made wrong: bits flipped, bytes cut off, put in or taken out, or a length that lies.
#[must_use]
pub fn mutated(body: &[u8], marks: &[Mark], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = body.to_vec();
    if bytes.is_empty() {
        return noise(rng);
    }
    match rng.u8(..8) {
        0 => {
            for _ in 0..rng.u8(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] ^= 1 << rng.u8(..8);
            }
        }
        1 => bytes.truncate(rng.usize(..bytes.len())),
        2 => bytes.insert(rng.usize(..bytes.len()), rng.u8(..)),
        3 => {
            bytes.remove(rng.usize(..bytes.len()));
        }
        _ if marks.is_empty() => return noise(rng),
        _ => {
            let mark = marks[rng.usize(..marks.len())];
            let number = LIES[rng.usize(..LIES.len())].unwrap_or_else(|| rng.u32(..));
            return lie(body, mark, number);
        }
    }
    bytes
}

/// -2, -1, 0, 1, 2, the ends of 16 and 32 bits, small numbers, and whatever comes.
const LIES: [Option<u32>; 12] = [
    Some(u32::MAX - 1),
    Some(u32::MAX),
    Some(0),
    Some(1),
    Some(2),
    Some(100),
    Some(0x7fff),
    Some(0x8000),
    Some(0x7fff_ffff),
    Some(0x8000_0000),
    None,
    None,
];

/// `body` with another number at `mark`.
#[must_use]
pub fn lie(body: &[u8], mark: Mark, number: u32) -> Vec<u8> {
    let mut bytes = body[..mark.at].to_vec();
    match mark.form {
        Form::Int16 => bytes.extend((number as u16).to_be_bytes()),
        Form::Int32 => bytes.extend(number.to_be_bytes()),
        Form::Varint => codec::put_varint(&mut bytes, number),
    }
    bytes.extend(&body[mark.at + mark.width..]);
    bytes
}

/// Every body in which one length of `body` is each of the numbers that a reader may trip over.
pub fn lies(body: &[u8], marks: &[Mark]) -> impl Iterator<Item = Vec<u8>> {
    marks.iter().flat_map(move |mark| LIES.iter().flatten().map(move |number| lie(body, *mark, *number)))
}

/// A frame with this body: mostly behind the right header, else behind one that was made wrong or makes no sense.
#[must_use]
pub fn frame(request: &Message, version: i16, body: &[u8], rng: &mut Rng) -> Vec<u8> {
    let value = valid(schema::request_header(), request.header_version(version), rng);
    let Value::Struct(mut fields) = value else { unreachable!("a header is a struct") };
    let wrong = rng.u8(..4);
    if wrong != 1 {
        fields[0].1 = request.api_key.into();
        fields[1].1 = version.into();
    }
    let (header, marks) =
        codec::encode_marked(schema::request_header(), request.header_version(version), &Value::Struct(fields));
    let header = if wrong == 2 { mutated(&header, &marks, rng) } else { header };
    [header, body.to_vec()].concat()
}

/// Bytes without any sense.
#[must_use]
pub fn noise(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(..64)).map(|_| rng.u8(..)).collect()
}

/// For every array of `message`, a value in which it has `count` elements as small as they get, and its name.
#[must_use]
pub fn amplified(message: &Message, version: i16, count: usize) -> Vec<(String, Value)> {
    amplified_fields(message.fields, version, count)
}

fn amplified_fields(fields: &'static [Field], version: i16, count: usize) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for field in fields.iter().filter(|field| field.versions.contains(version)) {
        let inner = match field.kind {
            Kind::Array { element, .. } => {
                found.push((field.name.to_owned(), given(field, Value::Array(vec![least(element, version); count]))));
                element
            }
            _ => &field.kind,
        };
        let Kind::Struct(inner) = inner else { continue };
        for (name, value) in amplified_fields(inner, version, count) {
            let is_array = matches!(field.kind, Kind::Array { .. });
            let value = if is_array { Value::Array(vec![value]) } else { value };
            found.push((format!("{}.{name}", field.name), given(field, value)));
        }
    }
    found
}

fn given(field: &Field, value: Value) -> Value {
    Value::Struct(vec![(field.name, value)])
}

/// The value that takes the fewest bytes: null where that is less than something empty.
fn least(kind: &'static Kind, version: i16) -> Value {
    let Kind::Struct(fields) = kind else {
        let field = Field { default: FieldDefault::Zero, kind: *kind, ..fields_of_nothing() };
        return codec::default_of(&field, version);
    };
    let present = fields.iter().filter(|field| field.is_in_place(version));
    Value::Struct(
        present
            .map(|field| {
                let null_struct = matches!(field.kind, Kind::Struct(_)) && field.nullable.contains(version);
                (field.name, if null_struct { Value::Null } else { least(&field.kind, version) })
            })
            .collect(),
    )
}

/// A field that says nothing about itself.
fn fields_of_nothing() -> Field {
    Field {
        name: "",
        kind: Kind::Bool,
        versions: Versions::NONE,
        nullable: Versions::NONE,
        tagged: Versions::NONE,
        tag: 0,
        rigid: false,
        default: FieldDefault::Zero,
    }
}
