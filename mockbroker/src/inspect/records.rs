//! What a log holds, decoded: batches with their records, and control batches.

use bytes::Bytes;

use crate::log::{Batch, marker_of};
use crate::time::Timestamp;

/// A record in a log, or the marker that ended a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp: the producer's, or the broker's where `message.timestamp.type` says so.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers in their order, with duplicates.
    pub headers: Vec<LogHeader>,
    /// What it is, if it is no record of a producer but a transaction's marker.
    pub marker: Option<MarkerKind>,
    /// The batch that it is in.
    pub batch: LogBatch,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogHeader {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Option<Bytes>,
}

/// How a marker ended its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkerKind {
    /// Its records count.
    Commit,
    /// They do not.
    Abort,
}

/// What the header of a batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogBatch {
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// The epoch of the leader that appended it.
    pub leader_epoch: i32,
    /// The producer id; -1 of a producer that has none.
    pub producer_id: i64,
    /// The producer epoch; -1 for none.
    pub producer_epoch: i16,
    /// The sequence number of its first record; -1 for none.
    pub base_sequence: i32,
    /// Whether it is part of a transaction.
    pub is_transactional: bool,
    /// Whether it is a control batch.
    pub is_control: bool,
    /// How it is compressed: `none`, `gzip`, `snappy`, `lz4`, `zstd`; `unknown` for what Kafka does not have.
    pub compression: &'static str,
    /// What it weighs, compressed, with its header.
    pub size_bytes: usize,
    /// Whether its CRC is that of its bytes.
    pub crc_matches: bool,
}

impl LogRecord {
    /// The sequence number; -1 of a producer that has no id.
    pub fn sequence(&self) -> i32 {
        match self.batch.base_sequence {
            -1 => -1,
            // Sequences wrap from 2147483647 to 0 (DefaultRecordBatch.incrementSequence).
            base => i32::try_from((i64::from(base) + self.offset - self.batch.base_offset) & i64::from(i32::MAX))
                .expect("31 bits"),
        }
    }

    /// The value as text, if it is UTF-8.
    pub fn value_str(&self) -> Option<&str> {
        std::str::from_utf8(self.value.as_ref()?).ok()
    }

    /// The key as text, if it is UTF-8.
    pub fn key_str(&self) -> Option<&str> {
        std::str::from_utf8(self.key.as_ref()?).ok()
    }
}

/// The records of `batches` in their order. Records of a batch that does not decode are left out: it was corrupted on purpose.
pub(crate) fn records<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Vec<LogRecord> {
    batches.into_iter().flat_map(of_batch).collect()
}

fn of_batch(batch: &Batch) -> Vec<LogRecord> {
    let end = if batch.is_control() { marker_of(batch).ok().flatten() } else { None };
    let marker = end.map(|end| if end.is_commit { MarkerKind::Commit } else { MarkerKind::Abort });
    let header = header(batch);
    let Ok(decoded) = batch.records() else { return Vec::new() };
    let owned = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let records = decoded.iter().map_while(Result::ok).map(|record| LogRecord {
        offset: record.offset,
        timestamp: Timestamp::from_millis(record.timestamp),
        key: owned(record.key),
        value: owned(record.value),
        headers: record
            .headers
            .map(|(key, value)| LogHeader { key: String::from_utf8_lossy(key).into_owned(), value: owned(value) })
            .collect(),
        marker,
        batch: header.clone(),
    });
    records.collect()
}

fn header(batch: &Batch) -> LogBatch {
    LogBatch {
        base_offset: batch.base_offset(),
        last_offset: batch.last_offset(),
        leader_epoch: batch.partition_leader_epoch(),
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        base_sequence: batch.base_sequence(),
        is_transactional: batch.is_transactional(),
        is_control: batch.is_control(),
        compression: batch.compression().map_or("unknown", |codec| codec.name()),
        size_bytes: batch.size_bytes(),
        crc_matches: batch.crc_matches(),
    }
}
