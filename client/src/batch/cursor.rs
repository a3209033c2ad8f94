//! Reads record batches where they lie in a fetched answer.
//!
//! [`Batches`] walks the headers of a partition's bytes; [`Batch::open`] verifies and decompresses one batch, once;
//! [`Walk`] walks its records without allocating. Every length is checked against the bytes that are there.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{
    CODEC, CONTROL, CRC_FROM, Compression, HEADER_BYTES, LOG_APPEND_TIME, LOG_OVERHEAD_BYTES, TRANSACTIONAL, checksum,
    plain, varint,
};
use crate::{error::BatchError, record::Timestamp};

/// The smallest record: length, attributes, three deltas and lengths of one byte each, header count.
const SMALLEST_RECORD_BYTES: usize = 7;

/// Walks the batches of one partition's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    rest: Bytes,
}

impl Batches {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// The next batch, not yet opened. `None` at the end and at a batch that is cut off: brokers send a prefix of what they
    /// have, and the rest is fetched again (KIP-74).
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>, BatchError> {
        let Some(header) = self.rest.first_chunk::<LOG_OVERHEAD_BYTES>() else { return Ok(None) };
        let mut length = &header[8..];
        let length =
            usize::try_from(length.get_i32()).map_err(|_| BatchError::Malformed("a batch length is negative"))?;
        let whole = LOG_OVERHEAD_BYTES + length;
        if self.rest.len() < whole {
            return Ok(None);
        }
        // The magic stands at the same place in every format, so an old one can be told from damage.
        match self.rest[..whole].get(16).map(|byte| *byte as i8) {
            Some(2) if whole >= HEADER_BYTES => {}
            Some(magic) if magic != 2 => return Err(BatchError::Magic(magic)),
            _ => return Err(BatchError::Malformed("a batch is shorter than its header")),
        }
        let batch = Batch::read(self.rest.slice(..whole))?;
        self.rest.advance(whole);
        Ok(Some(batch))
    }

    /// What was not walked yet.
    pub(crate) fn remaining_bytes(&self) -> usize {
        self.rest.len()
    }
}

/// The header of a batch, with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) last_offset_delta: i32,
    pub(crate) record_count: i32,
    crc: u32,
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    bytes: Bytes,
}

impl Batch {
    /// Reads the header of a whole batch.
    fn read(bytes: Bytes) -> Result<Self, BatchError> {
        let mut header = &bytes[..HEADER_BYTES];
        let base_offset = header.get_i64();
        header.advance(4);
        let leader_epoch = header.get_i32();
        header.advance(1);
        let crc = header.get_u32();
        let attributes = header.get_i16();
        let last_offset_delta = header.get_i32();
        let (base_timestamp, max_timestamp) = (header.get_i64(), header.get_i64());
        let producer_id = header.get_i64();
        header.advance(6);
        let record_count = header.get_i32();
        if base_offset < 0
            || last_offset_delta < 0
            || base_offset.checked_add(i64::from(last_offset_delta) + 1).is_none()
        {
            return Err(BatchError::Malformed("the offsets of a batch are impossible"));
        }
        // A compacted batch may have no records left, and keeps its offsets.
        if record_count < 0 {
            return Err(BatchError::Malformed("a record count is negative"));
        }
        Ok(Self {
            base_offset,
            leader_epoch,
            last_offset_delta,
            record_count,
            crc,
            attributes,
            base_timestamp,
            max_timestamp,
            producer_id,
            bytes,
        })
    }

    /// The offset after the batch, whatever records compaction left in it.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// Whether the batch is a transaction marker, which no program sees.
    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether the records are part of a transaction.
    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Who wrote it, -1 without idempotence.
    pub(crate) fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// Verifies the checksum if asked, and decompresses the records once.
    pub(crate) fn open(&self, check_crc: bool, limit_bytes: usize) -> Result<OpenBatch, BatchError> {
        if check_crc {
            let computed = checksum::crc32c(&self.bytes[CRC_FROM..]);
            if computed != self.crc {
                return Err(BatchError::Crc { stored: self.crc, computed });
            }
        }
        let codec = Compression::from_codec((self.attributes & CODEC) as u8)?;
        let records = match codec {
            Compression::None => self.bytes.slice(HEADER_BYTES..),
            _ => Bytes::from(codec.decompress(&self.bytes[HEADER_BYTES..], limit_bytes)?),
        };
        if self.record_count as usize > records.len() / SMALLEST_RECORD_BYTES {
            return Err(BatchError::Malformed("a batch announces more records than its bytes can hold"));
        }
        let log_append_time = (self.attributes & LOG_APPEND_TIME != 0).then_some(self.max_timestamp);
        Ok(OpenBatch {
            records,
            base_offset: self.base_offset,
            last_offset_delta: self.last_offset_delta,
            record_count: self.record_count,
            base_timestamp: self.base_timestamp,
            log_append_time,
        })
    }
}

/// The records of a batch, ready to be walked.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    pub(crate) records: Bytes,
    pub(super) base_offset: i64,
    pub(super) last_offset_delta: i32,
    record_count: i32,
    pub(super) base_timestamp: i64,
    /// With LogAppendTime, the one time of all records (`DefaultRecordBatch.java`).
    pub(super) log_append_time: Option<i64>,
}

impl OpenBatch {
    pub(crate) fn walk(&self) -> Walk {
        Walk { position: 0, left: self.record_count }
    }
}

/// A place in an [`OpenBatch`]. It borrows nothing, so it can be kept beside the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    position: usize,
    left: i32,
}

/// Where the parts of a record are in the records of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordSpan {
    pub(crate) offset: i64,
    pub(crate) timestamp: Timestamp,
    /// Start and length.
    pub(crate) key: Option<(u32, u32)>,
    pub(crate) value: Option<(u32, u32)>,
    pub(crate) header_count: u32,
    /// Where the headers begin.
    pub(crate) headers_at: u32,
    /// Where the record begins and ends.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Walk {
    /// The same place, as if the next record were the last.
    pub(crate) fn only_one(self) -> Self {
        Self { left: self.left.min(1), ..self }
    }

    /// How many records are to come.
    pub(crate) fn left(&self) -> u64 {
        u64::try_from(self.left).unwrap_or(0)
    }

    /// Where the next record begins.
    #[cfg(test)]
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next record. After an error there is none.
    // The attributes are measured: a call for each part of a record costs more than what it does.
    #[inline(always)]
    pub(crate) fn next_record(&mut self, batch: &OpenBatch) -> Option<Result<RecordSpan, BatchError>> {
        if self.left <= 0 {
            return None;
        }
        let read = self.read(batch).and_then(|span| check_headers(&batch.records, &span).map(|()| span));
        if read.is_err() {
            self.left = 0;
        }
        Some(read.map_err(BatchError::Malformed))
    }

    /// The next record of a batch that [`Walk::next_record`] has found to be whole: its headers are not looked at again.
    #[inline(always)]
    pub(crate) fn next_checked(&mut self, batch: &OpenBatch) -> Option<RecordSpan> {
        if self.left <= 0 { None } else { self.read(batch).ok() }
    }

    /// Reads a record up to its headers. Of an error there are words and no more, so that it costs nothing where there is none.
    #[inline(always)]
    fn read(&mut self, batch: &OpenBatch) -> Result<RecordSpan, &'static str> {
        let span = match plain::read(batch, self.position) {
            Some(span) => span,
            None => self.read_any(batch)?,
        };
        self.position = span.end as usize;
        self.left -= 1;
        Ok(span)
    }

    /// Reads a record of any form, and says what is wrong with one that has none.
    #[cold]
    #[inline(never)]
    pub(super) fn read_any(&self, batch: &OpenBatch) -> Result<RecordSpan, &'static str> {
        let all = &batch.records[..];
        let start = self.position;
        let mut position = start;
        let length = varint::take_int(all, &mut position)?;
        let end = usize::try_from(length).ok().and_then(|length| position.checked_add(length));
        let Some(bytes) = end.and_then(|end| all.get(..end)) else {
            return Err("a record is longer than its batch");
        };
        // Attributes of a record are unused.
        position += 1;
        let timestamp_delta = varint::take_long(bytes, &mut position)?;
        let offset_delta = varint::take_int(bytes, &mut position)?;
        if offset_delta < 0 || offset_delta > batch.last_offset_delta {
            return Err("an offset delta is outside of its batch");
        }
        let key = take_field(bytes, &mut position)?;
        let value = take_field(bytes, &mut position)?;
        let header_count = varint::take_int(bytes, &mut position)?;
        let header_count = u32::try_from(header_count).map_err(|_| "a header count is negative")?;
        // A header takes two bytes at least.
        if header_count as usize > (bytes.len() - position) / 2 {
            return Err("a record announces more headers than its bytes can hold");
        }
        let timestamp = batch.log_append_time.unwrap_or(batch.base_timestamp.wrapping_add(timestamp_delta));
        Ok(RecordSpan {
            offset: batch.base_offset + i64::from(offset_delta),
            timestamp: Timestamp(timestamp),
            key,
            value,
            header_count,
            headers_at: position as u32,
            start: start as u32,
            end: bytes.len() as u32,
        })
    }
}

/// Walks the headers once, so that reading them later cannot fail.
#[inline(always)]
fn check_headers(records: &[u8], span: &RecordSpan) -> Result<(), &'static str> {
    if span.header_count == 0 && span.headers_at == span.end { Ok(()) } else { check_all_headers(records, span) }
}

fn check_all_headers(records: &[u8], span: &RecordSpan) -> Result<(), &'static str> {
    let (bytes, mut position) = (&records[..span.end as usize], span.headers_at as usize);
    for _ in 0..span.header_count {
        let key = take_field(bytes, &mut position)?.ok_or("a header key is null")?;
        std::str::from_utf8(part(bytes, key)).map_err(|_| "a header key is not UTF-8")?;
        take_field(bytes, &mut position)?;
    }
    if position == bytes.len() { Ok(()) } else { Err("a record is longer than its fields") }
}

/// The headers of a record that was read, in order.
pub(crate) fn headers<'a>(records: &'a [u8], span: &RecordSpan) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
    let bytes = &records[..span.end as usize];
    let mut position = span.headers_at as usize;
    (0..span.header_count).map_while(move |_| {
        let key = take_field(bytes, &mut position).ok()??;
        let value = take_field(bytes, &mut position).ok()?;
        Some((std::str::from_utf8(part(bytes, key)).ok()?, value.map(|value| part(bytes, value))))
    })
}

#[inline]
pub(crate) fn part(bytes: &[u8], (start, length): (u32, u32)) -> &[u8] {
    &bytes[start as usize..][..length as usize]
}

/// `length: varint, bytes`, null for -1.
#[inline]
fn take_field(bytes: &[u8], position: &mut usize) -> Result<Option<(u32, u32)>, &'static str> {
    let length = varint::take_int(bytes, position)?;
    if length == -1 {
        return Ok(None);
    }
    let start = *position;
    let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
    match end {
        Some(end) if end <= bytes.len() => {
            *position = end;
            Ok(Some((start as u32, length as u32)))
        }
        _ => Err("a field is longer than its record"),
    }
}

/// An error of a batch, with the place where it is.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl At {
    pub(crate) fn corrupt(&self, reason: BatchError) -> crate::Error {
        let Self { topic, partition, offset } = self;
        crate::Error::CorruptBatch { topic: Arc::clone(topic), partition: *partition, offset: *offset, reason }
    }
}
