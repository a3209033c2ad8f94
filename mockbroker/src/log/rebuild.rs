//! Makes batches: of a producer's records in another codec, of the broker's own records, of what compaction leaves.
//!
//! Source: `MemoryRecordsBuilder`, `LogValidator.buildRecordsAndAssignOffsets`, `MemoryRecords.buildRetainedRecordsInto`.

use bytes::{BufMut, BytesMut};
use kafka_protocol::error::ResponseError;

use super::batch::{self, Batch, Compression};
use super::checksum;
use super::compression;
use super::record_walk::walk;
use super::records::{Malformed, RawRecord, Record};
use super::rejected::Rejected;
use crate::cluster::{CompressionType, TimestampType, TopicConfig};
use crate::time::Timestamp;

/// A record to be put into a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NewRecord<'a> {
    /// Milliseconds since 1970; -1 for none.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// In order; a key may occur twice.
    pub(crate) headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// Builds one batch with offsets from zero on. Records are encoded as they come; the batch is not limited in size.
#[derive(Clone, Debug)]
pub(crate) struct BatchBuilder {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) is_transactional: bool,
    pub(crate) is_control: bool,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    /// Of the batch; that of its last record if none is given.
    last_offset_delta: Option<i32>,
    delete_horizon_ms: Option<i64>,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch of no producer.
    pub(crate) fn new() -> Self {
        Self {
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            is_transactional: false,
            is_control: false,
            base_timestamp: -1,
            max_timestamp: -1,
            count: 0,
            last_offset_delta: None,
            delete_horizon_ms: None,
            records: Vec::new(),
        }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: NewRecord<'_>) {
        let headers = record.headers.iter().copied();
        let (timestamp, key, value) = (record.timestamp, record.key, record.value);
        self.encode(self.count, timestamp, (key, value), record.headers.len(), headers);
    }

    /// The batch, with CreateTime.
    ///
    /// # Errors
    ///
    /// If the codec fails, or there are more bytes than a batch can have.
    pub(crate) fn build(self, codec: CompressionType) -> Result<Batch, Malformed> {
        let max_timestamp = self.max_timestamp;
        self.finish(codec, TimestampType::CreateTime, max_timestamp)
    }

    /// How many records are in it.
    #[cfg(test)]
    pub(crate) fn count(&self) -> i32 {
        self.count
    }

    fn encode<'a>(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        header_count: usize,
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
    ) {
        if self.count == 0 {
            self.base_timestamp = self.delete_horizon_ms.unwrap_or(timestamp);
        }
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let mut length = 1 + varint_size(timestamp_delta) + varint_size(i64::from(offset_delta));
        length += bytes_size(key) + bytes_size(value) + varint_size(header_count as i64);
        for (key, value) in headers.clone() {
            length += bytes_size(Some(key)) + bytes_size(value);
        }
        let out = &mut self.records;
        put_varint(out, length as i64);
        out.push(0); // attributes, unused
        put_varint(out, timestamp_delta);
        put_varint(out, i64::from(offset_delta));
        put_bytes(out, key);
        put_bytes(out, value);
        put_varint(out, header_count as i64);
        for (key, value) in headers {
            put_bytes(out, Some(key));
            put_bytes(out, value);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    fn finish(
        self,
        codec: CompressionType,
        timestamp_type: TimestampType,
        max_timestamp: i64,
    ) -> Result<Batch, Malformed> {
        let mut attributes = match codec {
            CompressionType::Producer | CompressionType::Uncompressed => Compression::None,
            CompressionType::Gzip { .. } => Compression::Gzip,
            CompressionType::Snappy => Compression::Snappy,
            CompressionType::Lz4 { .. } => Compression::Lz4,
            CompressionType::Zstd { .. } => Compression::Zstd,
        } as i16;
        for (set, flag) in [
            (timestamp_type == TimestampType::LogAppendTime, batch::LOG_APPEND_TIME_FLAG),
            (self.is_transactional, batch::TRANSACTIONAL_FLAG),
            (self.is_control, batch::CONTROL_FLAG),
            (self.delete_horizon_ms.is_some(), batch::DELETE_HORIZON_FLAG),
        ] {
            if set {
                attributes |= flag;
            }
        }
        let payload = match codec {
            CompressionType::Producer | CompressionType::Uncompressed => self.records,
            codec => compression::compress(codec, &self.records)?,
        };
        let size = batch::HEADER_BYTES + payload.len();
        let length = i32::try_from(size - 12).map_err(|_| Malformed::Structure)?;
        let mut bytes = BytesMut::with_capacity(size);
        bytes.put_i64(0);
        bytes.put_i32(length);
        bytes.put_i32(-1); // partition leader epoch
        bytes.put_i8(2); // magic
        bytes.put_u32(0); // CRC, below
        bytes.put_i16(attributes);
        bytes.put_i32(self.last_offset_delta.unwrap_or(self.count - 1));
        bytes.put_i64(self.base_timestamp);
        bytes.put_i64(max_timestamp);
        bytes.put_i64(self.producer_id);
        bytes.put_i16(self.producer_epoch);
        bytes.put_i32(self.base_sequence);
        bytes.put_i32(self.count);
        bytes.put_slice(&payload);
        let crc = checksum::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::from_bytes(&bytes.freeze()).ok_or(Malformed::Structure)
    }
}

/// The batch with the same records in the topic's codec. The records were walked before; `plain` is their bytes.
///
/// # Errors
///
/// UNKNOWN_SERVER_ERROR, as Kafka, if a record's time is before 1970: its builder refuses such times, except the -1
/// that means none.
pub(super) fn rebuild(source: &Batch, plain: &[u8], config: &TopicConfig, now: Timestamp) -> Result<Batch, Rejected> {
    let mut builder = BatchBuilder {
        producer_id: source.producer_id(),
        producer_epoch: source.producer_epoch(),
        base_sequence: source.base_sequence(),
        is_transactional: source.is_transactional(),
        ..BatchBuilder::new()
    };
    let mut before_1970 = false;
    let log_append_time = source.log_append_time();
    let walked = walk(plain, source.record_count(), |record: RawRecord<'_>| {
        let timestamp = match log_append_time {
            Some(time) => time,
            None => source.base_timestamp().wrapping_add(record.timestamp_delta),
        };
        before_1970 |= timestamp < -1;
        let header_count =
            usize::try_from(record.headers.remaining()).expect("the count of read headers is not negative");
        builder.encode(builder.count, timestamp, (record.key, record.value), header_count, record.headers);
    });
    let trips = || Rejected::in_log(ResponseError::UnknownServerError);
    if before_1970 || walked.is_err() {
        return Err(trips());
    }
    let (timestamp_type, max_timestamp) = match config.message_timestamp_type {
        TimestampType::CreateTime => (TimestampType::CreateTime, builder.max_timestamp),
        TimestampType::LogAppendTime => (TimestampType::LogAppendTime, now.as_millis()),
    };
    builder.finish(config.compression_type, timestamp_type, max_timestamp).map_err(|_| trips())
}

/// What is left of `source` when only `records` of it are kept: its offsets, producer and sequences stay what they were,
/// and so does its last offset, because the producer's last sequence is told by it
/// (`MemoryRecords.buildRetainedRecordsInto`).
pub(super) fn retained<'a>(
    source: &Batch,
    records: impl Iterator<Item = Record<'a>>,
    delete_horizon_ms: Option<i64>,
) -> Result<Batch, Malformed> {
    let mut builder = BatchBuilder {
        producer_id: source.producer_id(),
        producer_epoch: source.producer_epoch(),
        base_sequence: source.base_sequence(),
        is_transactional: source.is_transactional(),
        is_control: source.is_control(),
        last_offset_delta: Some(source.last_offset_delta()),
        delete_horizon_ms,
        ..BatchBuilder::new()
    };
    for record in records {
        let delta = i32::try_from(record.offset - source.base_offset()).map_err(|_| Malformed::Structure)?;
        let header_count = usize::try_from(record.headers.remaining()).map_err(|_| Malformed::Structure)?;
        builder.encode(delta, record.timestamp, (record.key, record.value), header_count, record.headers);
    }
    // Of the codec only the id is known here, so Kafka writes with its default level.
    let codec = match source.compression().ok_or(Malformed::Compression)? {
        Compression::None => CompressionType::Uncompressed,
        Compression::Gzip => CompressionType::Gzip { level: -1 },
        Compression::Snappy => CompressionType::Snappy,
        Compression::Lz4 => CompressionType::Lz4 { level: 9 },
        Compression::Zstd => CompressionType::Zstd { level: 3 },
    };
    let timestamp_type = source.timestamp_type();
    let max_timestamp = source.log_append_time().unwrap_or(builder.max_timestamp);
    let batch = builder.finish(codec, timestamp_type, max_timestamp)?;
    Ok(batch.placed(source.base_offset(), source.partition_leader_epoch()))
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_size(bytes.len() as i64) + bytes.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

/// Zig-zag, seven bits a byte. A 32-bit value has the same bytes as the same 64-bit value.
fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = zig_zag(value);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn varint_size(value: i64) -> usize {
    let bits = 64 - (zig_zag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zig_zag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}
