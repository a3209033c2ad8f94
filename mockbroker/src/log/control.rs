//! Control batches: the markers that end transactions in a partition.
//!
//! ```text
//! key    version i16 = 0, type i16: 0 abort, 1 commit (others are not of transactions)
//! value  version i16 = 0, coordinator epoch i32
//! ```
//!
//! Source: `ControlRecordType`, `EndTransactionMarker`; KIP-98.

use super::batch::Batch;
use super::rebuild::{BatchBuilder, NewRecord};
use super::records::{Malformed, Record};
use crate::cluster::CompressionType;
use crate::time::Timestamp;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) is_commit: bool,
    /// Of the transaction coordinator that wrote it.
    pub(crate) coordinator_epoch: i32,
}

/// A marker that is to be written into a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) end: EndMarker,
    /// Its epoch is the one after that of the transaction's records (transaction version 2).
    pub(crate) bumps_epoch: bool,
}

impl Marker {
    /// The control batch (`MemoryRecords.withEndTransactionMarker`).
    pub(super) fn batch(&self, now: Timestamp) -> Batch {
        let end_type = if self.end.is_commit { 1_i16 } else { 0 };
        let key = [0_i16.to_be_bytes(), end_type.to_be_bytes()].concat();
        let value = [&0_i16.to_be_bytes()[..], &self.end.coordinator_epoch.to_be_bytes()].concat();
        let mut builder = BatchBuilder::new();
        builder.producer_id = self.producer_id;
        builder.producer_epoch = self.producer_epoch;
        builder.is_transactional = true;
        builder.is_control = true;
        builder.push(NewRecord {
            timestamp: now.as_millis(),
            key: Some(&key),
            value: Some(&value),
            ..NewRecord::default()
        });
        builder.build(CompressionType::Uncompressed).expect("a marker is small")
    }
}

/// The marker that a control batch holds; `None` if it holds another control record or, after compaction, none.
pub(crate) fn marker_of(batch: &Batch) -> Result<Option<EndMarker>, Malformed> {
    match batch.records()?.iter().next() {
        None => Ok(None),
        Some(record) => Ok(marker(&record?)),
    }
}

fn marker(record: &Record<'_>) -> Option<EndMarker> {
    let is_commit = match record.key?.get(2..4)? {
        [0, 0] => false,
        [0, 1] => true,
        _ => return None,
    };
    let coordinator_epoch = i32::from_be_bytes(*record.value?.get(2..)?.first_chunk()?);
    Some(EndMarker { is_commit, coordinator_epoch })
}
