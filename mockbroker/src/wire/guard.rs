//! Walks the body of a request by the schema before it is decoded, so that a stranger's bytes cannot make the codec
//! reserve memory or read what is not there.
//!
//! kafka-protocol 0.18 calls `Vec::with_capacity(n)` with an `n` from the wire: five bytes abort the process. What this
//! walk has passed, the codec decodes without a panic and within [`MEMORY_FACTOR`] times the body (and a constant).
//! Nothing is allocated unless the body is refused. Strings are not checked for UTF-8: the codec does that, and answers
//! with an error. Bytes after the body are allowed; Kafka ignores them too (`RequestUtils`, `AbstractRequest.parseRequest`).
//!
//! Where Kafka's generated readers are lenient, this walk is as lenient, except that a length below -1 is refused (Kafka
//! takes every negative one for null), as are a varint of more than 32 bits (Kafka drops the upper ones) and a
//! nullable struct whose marker is neither 1 nor negative (Kafka takes every other for 1): the codec would read
//! each of them as something else than Kafka. No client writes them.

use std::fmt;

use super::schema::{Direction, Field, Kind, Message};

/// What a body may ask for. Kafka has no such limits (4.3.1 trusts the counts, CVE-2026-111108 and CVE-2026-111115);
/// these are far above what any client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most elements of one array.
    pub array_elements: usize,
    /// The most elements of all arrays of a body, the inner ones counted each time.
    pub total_elements: usize,
    /// The most tagged fields, in a whole body, that this Kafka does not know. The codec keeps each of them, in a tree
    /// node of some 400 bytes, although it takes two on the wire.
    pub unknown_tagged_fields: usize,
}

impl Limits {
    /// The limits of a broker that is not told otherwise.
    pub const DEFAULT: Self =
        Self { array_elements: 1_000_000, total_elements: 2_000_000, unknown_tagged_fields: 10_000 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The most bytes the codec reserves for each byte of a body that was passed, unknown tagged fields apart.
///
/// Every byte of a body belongs to exactly one field of one element, and `check` has seen all the bytes of all
/// elements. So the codec reserves, over all arrays, the sum of count x size of the element's Rust type, which is at
/// most the greatest ratio of that size to the fewest bytes the element takes on the wire, times the body. The ratio is
/// greatest for small structs of compact strings, each 32 bytes in memory and 1 on the wire. Strings and byte fields
/// share the body's memory. `tests/hostile` measures every array of every API and version: the worst of the requests is
/// `groups` of OffsetFetch v8 with 40.
pub const MEMORY_FACTOR: usize = 48;

/// Why a body was refused, and where: `Fetch v13 request: topics[2].partitions: array of 2147483647 elements in 12 bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    message: &'static str,
    direction: Direction,
    version: i16,
    fault: Fault,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Request => " request",
            Direction::Response => " response",
            Direction::Header => "",
        };
        write!(f, "{} v{}{direction}: ", self.message, self.version)?;
        if !self.fault.place.is_empty() {
            write!(f, "{}: ", self.fault.place)?;
        }
        f.write_str(&self.fault.what)
    }
}

impl std::error::Error for Malformed {}

/// Checks that `body` begins with a well-formed `message` of that version, and returns how many bytes it takes.
///
/// # Errors
///
/// [`Malformed`] for a body that Kafka cannot parse, that the codec would read differently from Kafka, or that asks for
/// more than `limits`. A version the message does not have is malformed as well.
pub fn check(message: &Message, version: i16, body: &[u8], limits: &Limits) -> Result<usize, Malformed> {
    let malformed = |fault| Malformed { message: message.name, direction: message.direction, version, fault };
    if !message.versions.contains(version) {
        return Err(malformed(Fault::new("there is no such version")));
    }
    let flexible = message.flexible.contains(version);
    let mut walk = Walk { rest: body, version, flexible, limits, elements: 0, unknown_tagged_fields: 0 };
    match walk.fields(message.fields) {
        Ok(()) => Ok(body.len() - walk.rest.len()),
        Err(fault) => Err(malformed(*fault)),
    }
}

/// What is wrong, and the way to it from the message's root; the way grows at its front while the walk returns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    place: String,
    what: String,
}

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self { place: String::new(), what: what.into() }
    }

    #[cold]
    fn boxed(what: impl Into<String>) -> Box<Self> {
        Box::new(Self::new(what))
    }

    #[cold]
    fn within(mut self: Box<Self>, step: &str) -> Box<Self> {
        let dot = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{step}{dot}{}", self.place);
        self
    }
}

type Outcome<T> = Result<T, Box<Fault>>;

/// Kafka refuses a longer string whatever its length is written as (`MessageDataGenerator.generateVariableLengthReader`).
const LONGEST_STRING: usize = 0x7fff;

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    limits: &'a Limits,
    elements: usize,
    unknown_tagged_fields: usize,
}

impl Walk<'_> {
    /// One struct. The recursion is as deep as the schema nests: no message comes near ten levels.
    fn fields(&mut self, fields: &'static [Field]) -> Outcome<()> {
        for field in fields {
            if field.is_in_place(self.version) {
                self.field(field)?;
            }
        }
        if self.flexible { self.tagged_fields(fields) } else { Ok(()) }
    }

    #[inline]
    fn field(&mut self, field: &'static Field) -> Outcome<()> {
        let outcome = match field.kind.fixed_size() {
            Some(size) => self.skip(size),
            None => self.value(&field.kind, field.nullable.contains(self.version), self.flexible && !field.rigid),
        };
        outcome.map_err(|fault| fault.within(field.name))
    }

    fn value(&mut self, kind: &'static Kind, nullable: bool, compact: bool) -> Outcome<()> {
        match kind {
            Kind::String => {
                let length = if compact { self.compact_length()? } else { self.short_length()? };
                if length.is_some_and(|length| length > LONGEST_STRING) {
                    return Err(Fault::boxed(format!("string of {} bytes", length.unwrap_or(0))));
                }
                self.run(length, nullable, "string")
            }
            Kind::Bytes | Kind::Records => {
                let length = if compact { self.compact_length()? } else { self.length()? };
                self.run(length, nullable, "bytes field")
            }
            Kind::Array { element, least } => self.array(element, *least, nullable, compact),
            Kind::Struct(fields) if nullable => match self.byte()? {
                1 => self.fields(fields),
                marker if marker >= 0x80 => Ok(()),
                marker => Err(Fault::boxed(format!("struct marked {marker}, neither 1 nor null"))),
            },
            Kind::Struct(fields) => self.fields(fields),
            fixed => self.skip(fixed.fixed_size().expect("every other kind has one size")),
        }
    }

    /// What follows a string's or byte field's length.
    fn run(&mut self, length: Option<usize>, nullable: bool, what: &str) -> Outcome<()> {
        match length {
            Some(length) if length <= self.rest.len() => self.skip(length),
            Some(length) => Err(Fault::boxed(format!("{what} of {length} bytes in {}", self.rest.len()))),
            None if nullable => Ok(()),
            None => Err(Fault::boxed(format!("{what} is null"))),
        }
    }

    fn array(&mut self, element: &'static Kind, least: usize, nullable: bool, compact: bool) -> Outcome<()> {
        let count = match if compact { self.compact_length()? } else { self.length()? } {
            Some(count) => count,
            None if nullable => return Ok(()),
            None => return Err(Fault::boxed("array is null")),
        };
        if count > self.rest.len() / element.fixed_size().unwrap_or(least) {
            return Err(Fault::boxed(format!("array of {count} elements in {} bytes", self.rest.len())));
        }
        self.elements += count;
        if count > self.limits.array_elements || self.elements > self.limits.total_elements {
            return Err(Fault::boxed(format!("array of {count} elements, {} in the body so far", self.elements)));
        }
        if let Some(size) = element.fixed_size() {
            return self.skip(count * size);
        }
        for index in 0..count {
            self.value(element, false, self.flexible).map_err(|fault| fault.within(&format!("[{index}]")))?;
        }
        Ok(())
    }

    /// The buffer of tagged fields at the end of a struct (KIP-482). Kafka takes them in any order and a known one more
    /// than once, and does not compare a known one's size with what its value takes.
    fn tagged_fields(&mut self, fields: &'static [Field]) -> Outcome<()> {
        let count = self.varint()? as usize;
        if count == 0 {
            return Ok(());
        }
        if count > self.rest.len() / 2 {
            return Err(Fault::boxed(format!("{count} tagged fields in {} bytes", self.rest.len())));
        }
        for _ in 0..count {
            let tag = self.varint()?;
            let size = self.varint()? as usize;
            if size > self.rest.len() {
                return Err(Fault::boxed(format!("tag {tag} of {size} bytes in {}", self.rest.len())));
            }
            match fields.iter().find(|field| field.tagged.min <= field.tagged.max && field.tag == tag) {
                Some(field) if field.is_tagged(self.version) => self.field(field)?,
                Some(field) => {
                    return Err(Fault::boxed(format!("tag {tag} is not valid at this version")).within(field.name));
                }
                None => self.unknown_tagged_field(size)?,
            }
        }
        Ok(())
    }

    fn unknown_tagged_field(&mut self, size: usize) -> Outcome<()> {
        self.unknown_tagged_fields += 1;
        if self.unknown_tagged_fields > self.limits.unknown_tagged_fields {
            return Err(Fault::boxed(format!("more than {} unknown tagged fields", self.limits.unknown_tagged_fields)));
        }
        self.skip(size)
    }

    #[inline]
    fn skip(&mut self, size: usize) -> Outcome<()> {
        match self.rest.get(size..) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(Fault::boxed(format!("ends {} bytes short", size - self.rest.len()))),
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(Fault::boxed(format!("ends {} bytes short", N - self.rest.len()))),
        }
    }

    #[inline]
    fn byte(&mut self) -> Outcome<u8> {
        self.take().map(|[byte]| byte)
    }

    fn short_length(&mut self) -> Outcome<Option<usize>> {
        signed_length(i16::from_be_bytes(self.take()?).into())
    }

    fn length(&mut self) -> Outcome<Option<usize>> {
        signed_length(i32::from_be_bytes(self.take()?))
    }

    /// A compact length is one more than the length, and 0 for null.
    #[inline]
    fn compact_length(&mut self) -> Outcome<Option<usize>> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    /// An unsigned varint: seven bits a byte, the lowest first, at most 32 in all.
    #[inline]
    fn varint(&mut self) -> Outcome<u32> {
        let first = self.byte()?;
        if first < 0x80 { Ok(first.into()) } else { self.long_varint(first) }
    }

    fn long_varint(&mut self, first: u8) -> Outcome<u32> {
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        match self.byte()? {
            byte if byte < 0x10 => Ok(value | u32::from(byte) << 28),
            _ => Err(Fault::boxed("varint of more than 32 bits")),
        }
    }
}

#[inline]
fn signed_length(length: i32) -> Outcome<Option<usize>> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| Fault::boxed(format!("length {length}"))),
    }
}

#[cfg(test)]
mod tests;
