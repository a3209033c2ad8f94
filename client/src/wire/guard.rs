//! Checks an answer against Kafka's schema before it is decoded, so that a broker, or whatever listens in its place,
//! cannot make the codec reserve more than the answer is worth.
//!
//! kafka-protocol 0.18 trusts every count (`Vec::with_capacity`). An answer that passes here decodes without a panic and
//! within [`MEMORY_FACTOR`] times its length, plus 512 bytes for each tagged field that the schema lacks, of which there
//! are at most [`Limits::unknown_tags`]. UTF-8 is left to the codec. Nothing is allocated before something is wrong.

use std::fmt::{self, Write as _};

use super::schema::{Field, Kind, Message};

/// How much one answer may hold. Real ones stay far below: a topic has at most some 200,000 partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements of one array.
    pub elements_of_an_array: usize,
    /// Elements of all arrays together.
    pub elements: usize,
    /// Tagged fields that the schema lacks, in the whole answer: a newer broker may send some with each partition.
    pub unknown_tags: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { elements_of_an_array: 1_000_000, elements: 4_000_000, unknown_tags: 10_000 }
    }
}

/// The most the codec reserves for each byte of an answer that passed: the size in memory of an array's element over
/// the fewest bytes it takes on the wire, for the array where that is most: 51, the groups of ListGroups v3, measured by
/// `tests/hostile` over every array of every API and version.
pub const MEMORY_FACTOR: usize = 64;

/// An answer that no Kafka gives. One line: `Fetch v13 answer, responses[2].partitions: 2147483647 elements in 12 bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Walks `body`, which should be the answer `message` at `version`, and returns how many of its bytes that answer takes.
///
/// # Errors
///
/// [`Malformed`] if the bytes are not such an answer, or one that is larger than `limits`.
pub fn check(message: &Message, version: i16, body: &[u8], limits: &Limits) -> Result<usize, Malformed> {
    if !message.versions.contains(version) {
        return Err(Malformed(format!("{} v{version} answer: this client does not know the version", message.name)));
    }
    let mut walk = Walk {
        body,
        at: 0,
        version,
        flexible: message.flexible.contains(version),
        limits: *limits,
        open: [const { Open::nothing() }; DEPTH],
        depth: 0,
    };
    walk.run(message.fields).map_err(|wrong| {
        let mut line = format!("{} v{version} answer, ", message.name);
        walk.describe(&mut line);
        let _ = write!(line, "byte {}: {wrong}", walk.at);
        Malformed(line)
    })?;
    Ok(walk.at)
}

/// What is wrong with a value.
#[derive(Debug)]
enum Wrong {
    Short { wanted: usize, left: usize },
    Elements { count: usize, left: usize },
    TooMany { what: &'static str, limit: usize },
    NegativeLength(i32),
    LongString(usize),
    LongVarint,
    Null,
    Marker(u8),
    Tags { count: usize, left: usize },
    TagAtThisVersion(u32),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { wanted, left } => write!(f, "{wanted} bytes wanted, {left} left"),
            Self::Elements { count, left } => write!(f, "{count} elements in {left} bytes"),
            Self::TooMany { what, limit } => write!(f, "more than {limit} {what}"),
            Self::NegativeLength(length) => write!(f, "a length of {length}"),
            Self::LongString(length) => write!(f, "a string of {length} bytes"),
            Self::LongVarint => f.write_str("a varint of more than 32 bits"),
            Self::Null => f.write_str("null, where there has to be something"),
            Self::Marker(marker) => write!(f, "a struct that is marked {marker}, neither 1 nor null"),
            Self::Tags { count, left } => write!(f, "{count} tagged fields in {left} bytes"),
            Self::TagAtThisVersion(tag) => write!(f, "tag {tag}, which this version lacks"),
        }
    }
}

/// How deep structs lie in structs; a test holds the table against it.
const DEPTH: usize = 8;

/// A struct the walk is in.
#[derive(Clone, Copy)]
struct Open {
    /// The field it is the value of, or an element of the value of.
    name: &'static str,
    fields: &'static [Field],
    /// The next of `fields` to look at.
    next: usize,
    /// How many tagged fields are left, once their count has been read.
    tags: Option<usize>,
    /// In an array: this element, and how many there are.
    index: usize,
    count: Option<usize>,
}

impl Open {
    const fn nothing() -> Self {
        Self { name: "", fields: &[], next: 0, tags: None, index: 0, count: None }
    }
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    version: i16,
    flexible: bool,
    /// What is left of them.
    limits: Limits,
    open: [Open; DEPTH],
    depth: usize,
}

impl Walk<'_> {
    /// Walks without recursion: what is open stands on a stack of fixed size, which also says where something is wrong.
    fn run(&mut self, fields: &'static [Field]) -> Result<(), Wrong> {
        self.push("", fields, None);
        while self.depth > 0 {
            let open = &mut self.open[self.depth - 1];
            if let Some(field) = open.fields.get(open.next) {
                open.next += 1;
                if field.versions.contains(self.version) && !field.tagged.contains(self.version) {
                    self.field(field)?;
                }
            } else if self.flexible && open.tags != Some(0) {
                self.tagged_field()?;
            } else if open.count.is_some_and(|count| open.index + 1 < count) {
                *open = Open { next: 0, tags: None, index: open.index + 1, ..*open };
            } else {
                self.depth -= 1;
            }
        }
        Ok(())
    }

    /// Writes where the walk is: the path of the structs, and the field it was looking at in the last of them.
    fn describe(&self, line: &mut String) {
        for (level, open) in self.open[..self.depth].iter().enumerate() {
            let dot = if level > 1 { "." } else { "" };
            let _ = match open.count {
                Some(_) => write!(line, "{dot}{}[{}]", open.name, open.index),
                None => write!(line, "{dot}{}", open.name),
            };
        }
        let dot = if self.depth > 1 { "." } else { "" };
        let open = &self.open[self.depth - 1];
        let _ = match open.fields.get(open.next.wrapping_sub(1)) {
            Some(field) if open.tags.is_none() => write!(line, "{dot}{}, ", field.name),
            _ => write!(line, "{dot}tagged fields, "),
        };
    }

    fn push(&mut self, name: &'static str, fields: &'static [Field], count: Option<usize>) {
        self.open[self.depth] = Open { name, fields, next: 0, tags: None, index: 0, count };
        self.depth += 1;
    }

    /// One value in its place, or the beginning of a struct or of an array of structs.
    fn field(&mut self, field: &'static Field) -> Result<(), Wrong> {
        let nullable = field.nullable.contains(self.version);
        match &field.kind {
            Kind::Struct(fields) => match if nullable { self.array::<1>()?[0] } else { 1 } {
                1 => self.push(field.name, fields, None),
                0x80.. => {}
                marker => return Err(Wrong::Marker(marker)),
            },
            Kind::Array { element, least } => {
                let Some(count) = self.length(&field.kind)? else {
                    return if nullable { Ok(()) } else { Err(Wrong::Null) };
                };
                self.count_elements(count, *least)?;
                match element {
                    Kind::Struct(fields) if count > 0 => self.push(field.name, fields, Some(count)),
                    Kind::Struct(_) => {}
                    _ => match size_of(element) {
                        // The count was held against the bytes that are left: no overflow.
                        Some(size) => self.skip(count * size)?,
                        None => (0..count).try_for_each(|_| self.sized(element, false))?,
                    },
                }
            }
            kind => match size_of(kind) {
                Some(size) => self.skip(size)?,
                None => self.sized(kind, nullable)?,
            },
        }
        Ok(())
    }

    fn count_elements(&mut self, count: usize, least: usize) -> Result<(), Wrong> {
        let left = self.body.len() - self.at;
        if count > left / least {
            return Err(Wrong::Elements { count, left });
        }
        let limit = self.limits.elements_of_an_array;
        if count > limit {
            return Err(Wrong::TooMany { what: "elements in an array", limit });
        }
        let enough = self.limits.elements.checked_sub(count);
        self.limits.elements = enough.ok_or(Wrong::TooMany { what: "elements in all", limit: self.limits.elements })?;
        Ok(())
    }

    /// A string or bytes.
    fn sized(&mut self, kind: &Kind, nullable: bool) -> Result<(), Wrong> {
        match self.length(kind)? {
            // Kafka allows no longer one, whatever the length is written as.
            Some(length) if matches!(kind, Kind::String) && length > 0x7fff => Err(Wrong::LongString(length)),
            Some(length) => self.skip(length),
            None if nullable => Ok(()),
            None => Err(Wrong::Null),
        }
    }

    /// The count of tagged fields, or the next one (KIP-482). Like Kafka's readers this takes any order and repetitions,
    /// goes by the value of a known one, not by its size, and refuses a known one at a version without it.
    fn tagged_field(&mut self) -> Result<(), Wrong> {
        let open = self.depth - 1;
        let Some(tags) = self.open[open].tags else {
            let count = self.varint()? as usize;
            self.open[open].tags = Some(count);
            let left = self.body.len() - self.at;
            return if count > left / 2 { Err(Wrong::Tags { count, left }) } else { Ok(()) };
        };
        self.open[open].tags = Some(tags - 1);
        let (tag, size) = (self.varint()?, self.varint()? as usize);
        let left = self.body.len() - self.at;
        if size > left {
            return Err(Wrong::Short { wanted: size, left });
        }
        let known = self.open[open].fields.iter().find(|field| !field.tagged.is_empty() && field.tag == tag);
        match known {
            Some(field) if field.tagged.contains(self.version) => self.field(field),
            Some(_) => Err(Wrong::TagAtThisVersion(tag)),
            None => {
                let enough = self.limits.unknown_tags.checked_sub(1);
                self.limits.unknown_tags = enough.ok_or(Wrong::TooMany { what: "unknown tagged fields", limit: 0 })?;
                self.skip(size)
            }
        }
    }

    fn skip(&mut self, size: usize) -> Result<(), Wrong> {
        let left = self.body.len() - self.at;
        if size > left {
            return Err(Wrong::Short { wanted: size, left });
        }
        self.at += size;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let left = &self.body[self.at..];
        let bytes = left.first_chunk().ok_or(Wrong::Short { wanted: N, left: left.len() })?;
        self.at += N;
        Ok(*bytes)
    }

    /// A length or count; `None` for null.
    fn length(&mut self, kind: &Kind) -> Result<Option<usize>, Wrong> {
        let length = if self.flexible {
            return Ok((self.varint()? as usize).checked_sub(1));
        } else if matches!(kind, Kind::String) {
            i16::from_be_bytes(self.array()?).into()
        } else {
            i32::from_be_bytes(self.array()?)
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(Wrong::NegativeLength(length)),
        }
    }

    fn varint(&mut self) -> Result<u32, Wrong> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        match self.array()? {
            [byte @ 0..0x10] => Ok(value | u32::from(byte) << 28),
            _ => Err(Wrong::LongVarint),
        }
    }
}

/// The size of the types that have but one.
fn size_of(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Bool | Kind::Int8 => Some(1),
        Kind::Int16 | Kind::UInt16 => Some(2),
        Kind::Int32 | Kind::UInt32 => Some(4),
        Kind::Int64 | Kind::Float64 => Some(8),
        Kind::Uuid => Some(16),
        Kind::String | Kind::Bytes | Kind::Records | Kind::Struct(_) | Kind::Array { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::schema;

    fn refusal(api_key: i16, version: i16, body: &[u8]) -> String {
        check(schema::response(api_key).unwrap(), version, body, &Limits::default()).unwrap_err().to_string()
    }

    fn depth(fields: &'static [Field]) -> usize {
        let inner = fields.iter().map(|field| match field.kind {
            Kind::Struct(fields) | Kind::Array { element: &Kind::Struct(fields), .. } => depth(fields),
            _ => 0,
        });
        1 + inner.max().unwrap_or(0)
    }

    #[test]
    fn no_answer_nests_deeper_than_the_stack() {
        for message in (0..i16::MAX).filter_map(schema::response) {
            assert!(depth(message.fields) <= DEPTH, "{} nests {} deep", message.name, depth(message.fields));
        }
    }

    #[test]
    fn a_lying_count_is_refused_with_the_place_it_stands_at() {
        // FetchResponse.json v13: throttle, error, session, responses: one topic id, then partitions.
        let mut body = vec![0; 4 + 2 + 4];
        body.push(2);
        body.extend([7; 16]);
        body.extend([0xff, 0xff, 0xff, 0xff, 0x07]);
        body.extend([0; 12]);
        assert_eq!(
            refusal(1, 13, &body),
            "Fetch v13 answer, responses[0].partitions, byte 32: 2147483646 elements in 12 bytes"
        );
        // SaslHandshakeResponse.json v0: error, mechanisms.
        assert_eq!(
            refusal(17, 0, &[0, 0, 0x7f, 0xff, 0xff, 0xff]),
            "SaslHandshake v0 answer, mechanisms, byte 6: 2147483647 elements in 0 bytes"
        );
    }

    #[test]
    fn null_a_version_without_a_tag_and_a_flood_of_tags_are_refused() {
        assert_eq!(
            refusal(17, 0, &[0, 0, 0xff, 0xff, 0xff, 0xff]),
            "SaslHandshake v0 answer, mechanisms, byte 6: null, where there has to be something"
        );
        // FetchResponse.json: NodeEndpoints is tag 0 from v16.
        let fetch = |tags: &[u8]| [&[0; 10][..], &[1], tags].concat();
        assert_eq!(
            refusal(1, 13, &fetch(&[1, 0, 1, 1])),
            "Fetch v13 answer, tagged fields, byte 14: tag 0, which this version lacks"
        );
        assert_eq!(
            refusal(1, 13, &fetch(&[9, 0, 1, 1])),
            "Fetch v13 answer, tagged fields, byte 12: 9 tagged fields in 3 bytes"
        );
        let limits = Limits { unknown_tags: 1, ..Limits::default() };
        assert!(check(schema::response(1).unwrap(), 13, &fetch(&[2, 7, 0, 8, 0]), &limits).is_err());
    }

    #[test]
    fn an_answer_is_measured_and_every_prefix_of_it_is_refused() {
        let body = [&[0; 10][..], &[1, 1, 0, 3, 2, 1, 0]].concat();
        let fetch = schema::response(1).unwrap();
        // v16: NodeEndpoints (tag 0) in 3 bytes: one of them, with a node id of 4 bytes, is not there.
        assert!(check(fetch, 16, &body, &Limits::default()).is_err());
        let body = [&[0; 10][..], &[1, 1, 9, 3, 2, 1, 0]].concat();
        assert_eq!(check(fetch, 16, &body, &Limits::default()), Ok(body.len()));
        for length in 0..body.len() {
            assert!(check(fetch, 16, &body[..length], &Limits::default()).is_err(), "{length} bytes");
        }
        assert_eq!(check(schema::response_header(), 1, &[0, 0, 0, 7, 1, 5, 1, 0, 9], &Limits::default()), Ok(8));
    }
}
