//! The records inside a batch: a borrowing iterator over decoded bytes, and the varints they are written in.
//!
//! A record is `length varint, attributes i8, timestamp delta varlong, offset delta varint, key, value, headers`, where
//! key and value are a varint length (negative: null) and bytes, and headers are a varint count and so many pairs.
//! Varints are zig-zag encoded. Source: `DefaultRecord.java`, `ByteUtils.java`.

use bytes::Bytes;

use super::batch::{Batch, Compression};
use super::compression;

/// Why bytes are not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The bytes end before the record does, or a length, a count or a nested varint makes no sense.
    Structure,
    /// The varint of a record's own length does not end. Kafka answers this differently from the rest.
    OverlongLength,
    /// The block does not decompress, or into more than this broker is willing to hold.
    Compression,
    /// Bytes are left after the last record that the batch declares.
    Surplus,
}

/// One record, borrowed from the decoded bytes of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

/// The headers of a record, in order, with duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headers<'a> {
    remaining: i32,
    cursor: Cursor<'a>,
}

/// The decompressed records of one batch.
#[derive(Clone, Debug)]
pub(crate) struct DecodedRecords {
    base_offset: i64,
    base_timestamp: i64,
    log_append_time: Option<i64>,
    count: i32,
    bytes: Bytes,
}

/// Iterates over the records of a batch. Ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct RecordIter<'a> {
    batch: &'a DecodedRecords,
    remaining: i32,
    cursor: Cursor<'a>,
}

impl DecodedRecords {
    /// Decompresses, and decodes nothing yet.
    pub(super) fn of(batch: &Batch) -> Result<Self, Malformed> {
        let bytes = match batch.compression().ok_or(Malformed::Compression)? {
            Compression::None => batch.payload(),
            codec => Bytes::from(compression::decompress(codec, &batch.payload())?),
        };
        Ok(Self {
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            log_append_time: batch.log_append_time(),
            count: batch.record_count(),
            bytes,
        })
    }

    /// The records in order.
    pub(crate) fn iter(&self) -> RecordIter<'_> {
        RecordIter { batch: self, remaining: self.count, cursor: Cursor::new(&self.bytes) }
    }
}

impl<'a> IntoIterator for &'a DecodedRecords {
    type Item = Result<Record<'a>, Malformed>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            return None;
        }
        self.remaining -= 1;
        match RawRecord::read(&mut self.cursor) {
            Ok(raw) => Some(Ok(Record {
                offset: self.batch.base_offset.wrapping_add(i64::from(raw.offset_delta)),
                timestamp: match self.batch.log_append_time {
                    Some(time) => time,
                    None => self.batch.base_timestamp.wrapping_add(raw.timestamp_delta),
                },
                key: raw.key,
                value: raw.value,
                headers: raw.headers,
            })),
            Err(malformed) => {
                self.remaining = 0;
                Some(Err(malformed))
            }
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining <= 0 {
            return None;
        }
        self.remaining -= 1;
        // The pairs were walked once when the record was read, so neither is malformed.
        let key = self.cursor.header_key().ok()?;
        let value = self.cursor.nullable_bytes().ok()?;
        Some((key, value))
    }
}

impl Headers<'_> {
    /// How many are left.
    pub(crate) fn remaining(&self) -> i32 {
        self.remaining
    }
}

/// A record with its deltas, before a batch gives them meaning.
#[derive(Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

impl<'a> RawRecord<'a> {
    /// Reads one record whose declared length must be exactly what it takes (`DefaultRecord.readFrom(ByteBuffer)`).
    #[inline]
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let length = cursor.record_length()?;
        let mut body = Cursor::new(cursor.take(length)?);
        body.byte()?; // attributes, unused
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varint()?;
        let key = body.nullable_bytes()?;
        let value = body.nullable_bytes()?;
        let count = body.varint()?;
        if count < 0 || usize::try_from(count).is_ok_and(|count| count > body.bytes.len()) {
            return Err(Malformed::Structure);
        }
        let headers = Headers { remaining: count, cursor: body.clone() };
        for _ in 0..count {
            body.header_key()?;
            body.nullable_bytes()?;
        }
        if !body.bytes.is_empty() {
            return Err(Malformed::Structure);
        }
        Ok(Self { timestamp_delta, offset_delta, key, value, headers })
    }
}

/// Reads from the front of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The length of a record; a negative one never fits what follows.
    #[inline]
    fn record_length(&mut self) -> Result<i32, Malformed> {
        let enough_for_any = self.bytes.len() >= 5;
        self.varint().map_err(|malformed| if enough_for_any { Malformed::OverlongLength } else { malformed })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.bytes.split_first().ok_or(Malformed::Structure)?;
        self.bytes = rest;
        Ok(first)
    }

    /// So many bytes; a negative length is malformed.
    #[inline]
    fn take(&mut self, length: i32) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Structure)?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Malformed::Structure)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A length and bytes; any negative length is null (`Utils.readBytes`).
    #[inline]
    fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let length = self.varint()?;
        if length < 0 { Ok(None) } else { self.take(length).map(Some) }
    }

    #[inline]
    fn header_key(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.varint()?;
        self.take(length)
    }

    /// At most five bytes; of the fifth the upper bits fall off, as in `ByteUtils.readUnsignedVarint`.
    #[inline]
    fn varint(&mut self) -> Result<i32, Malformed> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(zig_zag(u32::from(first)));
        }
        let mut value = u32::from(first & 0x7f);
        for shift in [7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(zig_zag(value));
            }
        }
        Err(Malformed::Structure)
    }

    /// At most ten bytes.
    #[inline]
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

/// Undoes zig-zag: 0, -1, 1, -2, ...
pub(super) fn zig_zag(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Undoes zig-zag on 64 bits.
pub(super) fn zig_zag_long(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
