//! Writes records straight into the buffer of their batch.
//!
//! The lengths of a record are computed before it is written, so nothing is written twice. A batch is closed when its records
//! are complete, wherever there is time to compress them, and finished when it is sent: the producer's fields and the
//! checksum over everything come last.

use bytes::{BufMut, Bytes, BytesMut};

use super::{CRC_AT, CRC_FROM, Compression, HEADER_BYTES, LOG_OVERHEAD_BYTES, PRODUCER_AT, checksum, varint};
use crate::{error::BatchError, record::Header};

/// The low byte of the attributes, and in it the bit of transactional batches (`DefaultRecordBatch.TRANSACTIONAL_FLAG_MASK`).
const ATTRIBUTES_LOW_AT: usize = CRC_FROM + 1;
const TRANSACTIONAL: u8 = 0x10;

/// The record to be written, borrowed from wherever it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordParts<'a> {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header],
}

impl RecordParts<'_> {
    /// What comes before the key, at most: length and offset delta take five bytes, the timestamp delta ten, attributes one.
    const PREFIX_BYTES: usize = 21;

    /// The most that the record can take in a batch, whatever its place there.
    pub(crate) fn upper_bound(&self) -> usize {
        Self::PREFIX_BYTES + self.body_length()
    }

    /// The length of what follows the offset delta.
    fn body_length(&self) -> usize {
        let headers: usize = self.headers.iter().map(header_length).sum();
        field_length(self.key) + field_length(self.value) + varint::length(self.headers.len() as i64) + headers
    }
}

/// A batch that takes records.
#[derive(Debug)]
pub(crate) struct BatchBuilder {
    buffer: BytesMut,
    record_count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A builder with room for `capacity` bytes of header and records.
    pub(crate) fn new(capacity: usize) -> Self {
        Self::within(BytesMut::new(), capacity)
    }

    /// A builder that writes into an empty buffer, which gets room for `capacity` bytes of header and records.
    pub(crate) fn within(mut buffer: BytesMut, capacity: usize) -> Self {
        buffer.reserve(capacity.max(HEADER_BYTES));
        buffer.put_bytes(0, HEADER_BYTES);
        Self { buffer, record_count: 0, base_timestamp: 0, max_timestamp: i64::MIN }
    }

    /// The bytes so far, header included, before compression.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Writes a record and returns its place in the batch.
    ///
    /// The caller keeps a batch below 2 GiB (`max_request_size`), so counts and lengths fit their fields.
    pub(crate) fn append(&mut self, record: RecordParts<'_>) -> u32 {
        self.append_bounded(record, record.upper_bound())
    }

    /// [`BatchBuilder::append`] of a record whose [`RecordParts::upper_bound`] is known.
    #[inline]
    pub(crate) fn append_bounded(&mut self, record: RecordParts<'_>, bound: usize) -> u32 {
        if self.record_count == 0 {
            self.base_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        let offset_delta = i64::from(self.record_count);
        let timestamp_delta = record.timestamp.wrapping_sub(self.base_timestamp);
        let length = 1 + varint::length(timestamp_delta) + varint::length(offset_delta);
        let length = length + bound - RecordParts::PREFIX_BYTES;

        let buffer = &mut self.buffer;
        buffer.reserve(bound);
        varint::put(buffer, length as i64);
        buffer.put_u8(0);
        varint::put(buffer, timestamp_delta);
        varint::put(buffer, offset_delta);
        put_field(buffer, record.key);
        put_field(buffer, record.value);
        varint::put(buffer, record.headers.len() as i64);
        for header in record.headers {
            put_field(buffer, Some(header.key.as_bytes()));
            put_field(buffer, header.value.as_deref());
        }
        self.record_count += 1;
        self.record_count - 1
    }

    /// How many records were appended.
    pub(crate) fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Compresses the records, if at all, and writes the header except for the producer's fields and the checksum.
    pub(crate) fn close(self, compression: Compression) -> Result<ClosedBatch, BatchError> {
        self.close_at(compression, None)
    }

    /// [`BatchBuilder::close`] with a level of compression.
    pub(crate) fn close_at(self, compression: Compression, level: Option<i32>) -> Result<ClosedBatch, BatchError> {
        let Self { mut buffer, record_count, base_timestamp, max_timestamp } = self;
        if compression != Compression::None {
            let mut compressed = Vec::with_capacity(HEADER_BYTES + buffer.len() / 2);
            compressed.resize(HEADER_BYTES, 0);
            buffer = BytesMut::from(Bytes::from(compression.compress(level, &buffer[HEADER_BYTES..], compressed)?));
        }
        let batch_length = i32::try_from(buffer.len() - LOG_OVERHEAD_BYTES)
            .map_err(|_| BatchError::Malformed("a batch exceeds 2 GiB"))?;
        let count = i32::try_from(record_count).map_err(|_| BatchError::Malformed("a batch has too many records"))?;

        let mut header = &mut buffer[..HEADER_BYTES];
        header.put_i64(0);
        header.put_i32(batch_length);
        header.put_i32(-1);
        header.put_i8(2);
        header.put_u32(0);
        header.put_i16(compression.codec());
        header.put_i32(count - 1);
        header.put_i64(base_timestamp);
        header.put_i64(max_timestamp);
        header.put_i64(-1);
        header.put_i16(-1);
        header.put_i32(-1);
        header.put_i32(count);
        Ok(ClosedBatch { buffer })
    }
}

/// Who wrote a batch, and where it stands among the producer's records for the partition (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerFields {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    /// Whether the records count only when a marker behind them says so.
    pub(crate) is_transactional: bool,
}

impl ProducerFields {
    /// A producer without idempotence.
    pub(crate) const NONE: Self =
        Self { producer_id: -1, producer_epoch: -1, base_sequence: -1, is_transactional: false };
}

/// A batch that takes no more records, and lacks only the producer's fields.
#[derive(Debug)]
pub(crate) struct ClosedBatch {
    buffer: BytesMut,
}

impl ClosedBatch {
    /// A batch that was finished before, to be finished anew. Copies the bytes unless nobody else holds them.
    pub(crate) fn reopen(bytes: Bytes) -> Self {
        Self { buffer: bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])) }
    }

    /// The length of the whole batch.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Writes the producer's fields and the checksum.
    pub(crate) fn finish(self, producer: ProducerFields) -> Bytes {
        let mut buffer = self.buffer;
        let attributes = buffer[ATTRIBUTES_LOW_AT] & !TRANSACTIONAL;
        buffer[ATTRIBUTES_LOW_AT] = if producer.is_transactional { attributes | TRANSACTIONAL } else { attributes };
        let mut fields = &mut buffer[PRODUCER_AT..];
        fields.put_i64(producer.producer_id);
        fields.put_i16(producer.producer_epoch);
        fields.put_i32(producer.base_sequence);
        let crc = checksum::crc32c(&buffer[CRC_FROM..]);
        buffer[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        buffer.freeze()
    }
}

fn field_length(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint::length(bytes.len() as i64) + bytes.len())
}

fn header_length(header: &Header) -> usize {
    field_length(Some(header.key.as_bytes())) + field_length(header.value.as_deref())
}

fn put_field(buffer: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => varint::put(buffer, -1),
        Some(bytes) => {
            varint::put(buffer, bytes.len() as i64);
            buffer.put_slice(bytes);
        }
    }
}
