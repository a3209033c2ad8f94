//! How the fields of a coordinator record are written: Kafka's primitive types, classic and flexible.
//!
//! Not here: which fields a record has. Reading trusts nothing: what is too short, too long or not UTF-8 is [`Malformed`].

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// Why the bytes of a record say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a coordinator record that cannot be read: {}", self.0)
    }
}

/// The greatest length of a string: what 16 bits with a sign can say, at flexible versions, too.
const LONGEST_STRING: usize = 32_767;

/// Whether a message is of a flexible version (KIP-482): compact lengths, tagged fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Lengths of 16 and 32 bits, no tags.
    Classic,
    /// Lengths as unsigned varints plus one, tags at the end of each struct.
    Flexible,
}

/// Writes the fields of one key or value.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: BytesMut,
    layout: Layout,
}

impl Writer {
    /// A message that begins with the number of its version, or a key with that of its type (`CoordinatorRecordSerde`).
    pub(super) fn new(number: i16, layout: Layout) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_i16(number);
        Self { bytes, layout }
    }

    /// The bytes of a tagged field.
    fn tag() -> Self {
        Self { bytes: BytesMut::new(), layout: Layout::Flexible }
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }

    pub(super) fn i8(&mut self, value: i8) {
        self.bytes.put_i8(value);
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.bytes.put_i64(value);
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.bytes.put_slice(value.as_bytes());
    }

    /// A string, of which 32767 bytes are written at most. Only a member id can be longer: a client id of that length and
    /// what follows it. Kafka fails the request then.
    pub(super) fn string(&mut self, value: &str) {
        let value = &value[..value.floor_char_boundary(LONGEST_STRING)];
        match self.layout {
            Layout::Classic => self.bytes.put_i16(i16::try_from(value.len()).expect("it has been cut")),
            Layout::Flexible => self.compact_length(value.len()),
        }
        self.bytes.put_slice(value.as_bytes());
    }

    pub(super) fn nullable_string(&mut self, value: Option<&StrBytes>) {
        match (value, self.layout) {
            (Some(value), _) => self.string(value),
            (None, Layout::Classic) => self.bytes.put_i16(-1),
            (None, Layout::Flexible) => self.varint(0),
        }
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.bytes.put_slice(value);
    }

    /// An array: its length, and each item by `write`.
    pub(super) fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.length(items.len());
        for item in items {
            write(self, item);
        }
    }

    /// Null, at a flexible version.
    pub(super) fn null(&mut self) {
        self.varint(0);
    }

    /// The end of a struct that has no tagged field set.
    pub(super) fn no_tags(&mut self) {
        if self.layout == Layout::Flexible {
            self.varint(0);
        }
    }

    /// The end of a struct whose only tagged field is number 0, if `value` is to be said at all.
    pub(super) fn tag_zero(&mut self, value: Option<impl FnOnce(&mut Self)>) {
        let Some(write) = value else { return self.no_tags() };
        let mut field = Self::tag();
        write(&mut field);
        self.varint(1);
        self.varint(0);
        self.varint(u32::try_from(field.bytes.len()).expect("a record is smaller than 4 GiB"));
        self.bytes.put_slice(&field.bytes);
    }

    fn length(&mut self, length: usize) {
        match self.layout {
            Layout::Classic => self.i32(i32::try_from(length).expect("a record is smaller than 2 GiB")),
            Layout::Flexible => self.compact_length(length),
        }
    }

    fn compact_length(&mut self, length: usize) {
        self.varint(u32::try_from(length + 1).expect("a record is smaller than 4 GiB"));
    }

    fn varint(&mut self, mut value: u32) {
        while value > 0x7F {
            self.bytes.put_u8((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.put_u8(value as u8);
    }
}

/// Reads the fields of one key or value.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    layout: Layout,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` after their number; the layout is chosen by it.
    pub(super) fn new(bytes: &'a [u8], layout: impl FnOnce(i16) -> Layout) -> Result<(i16, Self), Malformed> {
        let mut reader = Self { rest: bytes, layout: Layout::Classic };
        let number = i16::from_be_bytes(reader.fixed()?);
        reader.layout = layout(number);
        Ok((number, reader))
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        Ok(i8::from_be_bytes(self.fixed()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    pub(super) fn uuid(&mut self) -> Result<Uuid, Malformed> {
        Ok(Uuid::from_bytes(self.fixed()?))
    }

    pub(super) fn string(&mut self) -> Result<StrBytes, Malformed> {
        self.nullable_string()?.ok_or(Malformed("null where a string must be"))
    }

    pub(super) fn nullable_string(&mut self) -> Result<Option<StrBytes>, Malformed> {
        let length = match self.layout {
            Layout::Classic => usize::try_from(i16::from_be_bytes(self.fixed()?)).ok(),
            Layout::Flexible => self.compact_length()?,
        };
        let Some(length) = length else { return Ok(None) };
        // Copied, so that a name does not keep the whole batch it was read from.
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed("a string that is not UTF-8"))?;
        Ok(Some(StrBytes::from_string(text.to_owned())))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        self.nullable_bytes()?.ok_or(Malformed("null where bytes must be"))
    }

    pub(super) fn nullable_bytes(&mut self) -> Result<Option<Bytes>, Malformed> {
        let Some(length) = self.length()? else { return Ok(None) };
        Ok(Some(Bytes::copy_from_slice(self.take(length)?)))
    }

    /// An array that is not null, each item by `read`.
    pub(super) fn array<T>(
        &mut self,
        read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.nullable_array(read)?.ok_or(Malformed("null where an array must be"))
    }

    /// An array, each item by `read`.
    pub(super) fn nullable_array<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        let Some(length) = self.length()? else { return Ok(None) };
        // Not reserved: the length is what the bytes say, not what they hold.
        (0..length).map(|_| read(self)).collect::<Result<_, _>>().map(Some)
    }

    /// The end of a struct: field 0, if it is set, by `read`; others are skipped.
    pub(super) fn tag_zero<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        let mut found = None;
        if self.layout == Layout::Classic {
            return Ok(found);
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()?;
            let field = self.take(usize::try_from(length).map_err(|_| Malformed("a length too great"))?)?;
            if tag == 0 {
                found = Some(read(&mut Self { rest: field, layout: Layout::Flexible })?);
            }
        }
        Ok(found)
    }

    /// The end of a struct that knows no tagged field.
    pub(super) fn no_tags(&mut self) -> Result<(), Malformed> {
        self.tag_zero(|_| Ok(())).map(drop)
    }

    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        match self.layout {
            Layout::Classic => Ok(usize::try_from(self.i32()?).ok()),
            Layout::Flexible => self.compact_length(),
        }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(self.varint()?.checked_sub(1).and_then(|length| usize::try_from(length).ok()))
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a varint of more than five bytes"))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.rest.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*field)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (field, rest) = self.rest.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(field)
    }
}
