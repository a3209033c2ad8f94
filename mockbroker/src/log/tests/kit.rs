//! Writes records and batches, right or wrong, without the code under test.

use bytes::Bytes;

use crate::cluster::TopicConfig;
use crate::log::batch::Batch;
use crate::log::{Appended, PartitionLog, Rejected, ValidBatch, sole_batch, validate};
use crate::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_391_000_000);

/// The version of Produce that most tests speak.
pub(super) const PRODUCE: i16 = 9;

/// One record with every field free.
#[derive(Clone, Debug)]
pub(super) struct RawRecord {
    pub(super) offset_delta: i64,
    pub(super) timestamp_delta: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// What the record says its length is, if that is not the truth.
    pub(super) length: Option<i64>,
}

pub(super) fn record(offset_delta: i64) -> RawRecord {
    RawRecord {
        offset_delta,
        timestamp_delta: 0,
        key: Some(b"k".to_vec()),
        value: Some(b"v".to_vec()),
        headers: Vec::new(),
        length: None,
    }
}

impl RawRecord {
    pub(super) fn at(self, timestamp_delta: i64) -> Self {
        Self { timestamp_delta, ..self }
    }

    pub(super) fn key(self, key: Option<&[u8]>) -> Self {
        Self { key: key.map(<[u8]>::to_vec), ..self }
    }

    pub(super) fn value(self, value: Option<&[u8]>) -> Self {
        Self { value: value.map(<[u8]>::to_vec), ..self }
    }

    pub(super) fn header(mut self, key: &[u8], value: Option<&[u8]>) -> Self {
        self.headers.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        self
    }

    pub(super) fn length(self, length: i64) -> Self {
        Self { length: Some(length), ..self }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut body = vec![0];
        body.extend(varint(self.timestamp_delta));
        body.extend(varint(self.offset_delta));
        let nullable = |bytes: &Option<Vec<u8>>| match bytes {
            None => varint(-1),
            Some(bytes) => [varint(bytes.len() as i64), bytes.clone()].concat(),
        };
        body.extend(nullable(&self.key));
        body.extend(nullable(&self.value));
        body.extend(varint(self.headers.len() as i64));
        for (key, value) in &self.headers {
            body.extend(nullable(&Some(key.clone())));
            body.extend(nullable(value));
        }
        [varint(self.length.unwrap_or(body.len() as i64)), body].concat()
    }
}

/// A batch with every field free; the length and the CRC are right unless they are edited in the bytes.
#[derive(Clone, Debug)]
pub(super) struct RawBatch {
    pub(super) base_offset: i64,
    pub(super) attributes: i16,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: i64,
    pub(super) max_timestamp: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) count: i32,
    pub(super) payload: Vec<u8>,
}

pub(super) fn batch(records: &[RawRecord]) -> RawBatch {
    payload(&plain(records), records.len() as i32)
}

pub(super) fn payload(payload: &[u8], count: i32) -> RawBatch {
    RawBatch {
        base_offset: 0,
        attributes: 0,
        last_offset_delta: count.wrapping_sub(1),
        base_timestamp: NOW.as_millis(),
        max_timestamp: NOW.as_millis(),
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count,
        payload: payload.to_vec(),
    }
}

/// So many small records with offsets in order.
pub(super) fn records(count: i64) -> Vec<RawRecord> {
    (0..count).map(record).collect()
}

pub(super) fn plain(records: &[RawRecord]) -> Vec<u8> {
    records.iter().flat_map(RawRecord::bytes).collect()
}

impl RawBatch {
    pub(super) fn attributes(self, attributes: i16) -> Self {
        Self { attributes, ..self }
    }

    pub(super) fn timestamps(self, base: i64, max: i64) -> Self {
        Self { base_timestamp: base, max_timestamp: max, ..self }
    }

    pub(super) fn producer(self, id: i64, epoch: i16, sequence: i32) -> Self {
        Self { producer_id: id, producer_epoch: epoch, base_sequence: sequence, ..self }
    }

    pub(super) fn bytes(&self) -> Bytes {
        let mut tail = Vec::new();
        tail.extend(self.attributes.to_be_bytes());
        tail.extend(self.last_offset_delta.to_be_bytes());
        tail.extend(self.base_timestamp.to_be_bytes());
        tail.extend(self.max_timestamp.to_be_bytes());
        tail.extend(self.producer_id.to_be_bytes());
        tail.extend(self.producer_epoch.to_be_bytes());
        tail.extend(self.base_sequence.to_be_bytes());
        tail.extend(self.count.to_be_bytes());
        tail.extend(&self.payload);
        let mut bytes = Vec::new();
        bytes.extend(self.base_offset.to_be_bytes());
        bytes.extend((tail.len() as i32 + 9).to_be_bytes());
        bytes.extend((-1i32).to_be_bytes());
        bytes.push(2);
        bytes.extend(crc32c::crc32c(&tail).to_be_bytes());
        bytes.extend(tail);
        bytes.into()
    }

    pub(super) fn batch(&self) -> Batch {
        sole_batch(&self.bytes(), PRODUCE).unwrap()
    }

    pub(super) fn validate(&self, config: &TopicConfig) -> Result<ValidBatch, Rejected> {
        validate(self.batch(), config, NOW)
    }

    /// Validates and appends at [`NOW`].
    pub(super) fn append(&self, log: &mut PartitionLog, config: &TopicConfig) -> Result<Appended, Rejected> {
        self.append_at(log, config, NOW)
    }

    pub(super) fn append_at(
        &self,
        log: &mut PartitionLog,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<Appended, Rejected> {
        log.append(validate(self.batch(), config, now)?, config, now)
    }
}

/// Zig-zag, seven bits a byte, the slow way.
pub(super) fn varint(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The bytes a read returns, as a client sees them.
pub(super) fn wire(log: &PartitionLog, fetch_offset: i64, max_bytes: usize, at_least_one: bool) -> Vec<u8> {
    let read = log.read(fetch_offset, log.high_watermark(), max_bytes, at_least_one);
    let bytes: Vec<u8> = read.pieces.iter().flat_map(|piece| [piece.prefix(), &piece.rest].concat()).collect();
    assert_eq!(bytes.len(), read.size_bytes);
    bytes
}

/// Cuts what a read returned into batches; a cut one at the end is left out.
pub(super) fn batches(mut wire: &[u8]) -> Vec<Batch> {
    let mut batches = Vec::new();
    while wire.len() >= 12 {
        let size = 12 + i32::from_be_bytes(wire[8..12].try_into().unwrap()) as usize;
        if wire.len() < size {
            break;
        }
        batches.push(Batch::from_bytes(&Bytes::copy_from_slice(&wire[..size])).unwrap());
        wire = &wire[size..];
    }
    batches
}

/// A batch as it is on the wire.
pub(super) fn bytes(batch: &Batch) -> Vec<u8> {
    [&batch.prefix(), &batch.rest()[..]].concat()
}

/// Hex digits to bytes; spaces are for the reader.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
