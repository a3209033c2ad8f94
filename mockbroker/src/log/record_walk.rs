//! Walks the records of a batch that is being validated, without keeping them.
//!
//! Two walks, because Kafka has two: an uncompressed record must be exactly as long as it says; of a compressed one
//! that is kept as it is, the length is read and not believed (`DefaultRecord.readPartiallyFrom`), so that a wrong one
//! is accepted. A 4.3.1 does so too.

use std::io::Read;

use super::batch::Compression;
use super::compression;
use super::records::{Cursor, Malformed, RawRecord, zig_zag, zig_zag_long};

/// What the rules look at in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordShape {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    /// Negative: null.
    pub(super) key_size: i32,
    /// Negative: null.
    pub(super) value_size: i32,
}

/// Walks `count` records that lie in `bytes` and fill them.
///
/// # Errors
///
/// At the first record that is malformed; records before it have been visited.
#[inline]
pub(super) fn walk<'a>(bytes: &'a [u8], count: i32, mut visit: impl FnMut(RawRecord<'a>)) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(bytes);
    for _ in 0..count {
        visit(RawRecord::read(&mut cursor)?);
    }
    if cursor.is_empty() { Ok(()) } else { Err(Malformed::Surplus) }
}

/// Walks `count` records while they are decompressed, a buffer at a time.
///
/// # Errors
///
/// As [`walk`], or if `block` does not decompress.
pub(super) fn walk_compressed(
    codec: Compression,
    block: &[u8],
    count: i32,
    mut visit: impl FnMut(RecordShape),
) -> Result<(), Malformed> {
    let mut stream = Stream::new(compression::reader(codec, block)?);
    for _ in 0..count {
        visit(stream.record()?);
    }
    if stream.is_at_end()? { Ok(()) } else { Err(Malformed::Surplus) }
}

impl RawRecord<'_> {
    #[inline]
    pub(super) fn shape(&self) -> RecordShape {
        let size = |bytes: Option<&[u8]>| {
            bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).expect("lengths are read from an i32"))
        };
        RecordShape {
            timestamp_delta: self.timestamp_delta,
            offset_delta: self.offset_delta,
            key_size: size(self.key),
            value_size: size(self.value),
        }
    }
}

const BUFFER_BYTES: usize = 64 * 1024;

/// Records from a reader: skips what no rule looks at. An end within a record is [`Malformed::Structure`].
struct Stream<R> {
    source: R,
    buffer: Box<[u8]>,
    at: usize,
    filled: usize,
}

impl<R: Read> Stream<R> {
    fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_BYTES].into_boxed_slice(), at: 0, filled: 0 }
    }

    fn record(&mut self) -> Result<RecordShape, Malformed> {
        self.varint()?; // the record's length, not believed
        self.byte()?; // attributes, unused
        let timestamp_delta = self.varlong()?;
        let offset_delta = self.varint()?;
        let key_size = self.skip_bytes()?;
        let value_size = self.skip_bytes()?;
        let headers = self.varint()?;
        if headers < 0 {
            return Err(Malformed::Structure);
        }
        for _ in 0..headers {
            if self.skip_bytes()? < 0 {
                return Err(Malformed::Structure);
            }
            self.skip_bytes()?;
        }
        Ok(RecordShape { timestamp_delta, offset_delta, key_size, value_size })
    }

    fn is_at_end(&mut self) -> Result<bool, Malformed> {
        Ok(self.at == self.filled && !self.fill()?)
    }

    /// Reads a length and skips so many bytes; none if it is negative. The length.
    fn skip_bytes(&mut self) -> Result<i32, Malformed> {
        let size = self.varint()?;
        let mut left = usize::try_from(size).unwrap_or(0);
        while left > self.filled - self.at {
            left -= self.filled - self.at;
            if !self.fill()? {
                return Err(Malformed::Structure);
            }
        }
        self.at += left;
        Ok(size)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        if self.at == self.filled && !self.fill()? {
            return Err(Malformed::Structure);
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    /// Replaces the buffer, all of which has been used. `false` at the end.
    fn fill(&mut self) -> Result<bool, Malformed> {
        self.at = 0;
        self.filled = 0;
        self.filled = self.source.read(&mut self.buffer)?;
        Ok(self.filled > 0)
    }

    fn varint(&mut self) -> Result<i32, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(zig_zag(value));
            }
        }
        Err(Malformed::Structure)
    }

    fn varlong(&mut self) -> Result<i64, Malformed> {
        let mut value = 0;
        for shift in (0..=63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(zig_zag_long(value));
            }
        }
        Err(Malformed::Structure)
    }
}
