//! Control batches: the markers that end transactions in a partition.
//!
//! ```text
//! key    version i16 = 0, type i16: 0 abort, 1 commit (others are not of transactions)
//! value  version i16 = 0, coordinator epoch i32
//! ```
//!
//! Source: `ControlRecordType`, `EndTransactionMarker`; KIP-98.

use super::batch::Batch;
use super::records::{Malformed, Record};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) is_commit: bool,
    /// Of the transaction coordinator that wrote it.
    pub(crate) coordinator_epoch: i32,
}

/// The marker that a control batch holds; `None` if it holds another control record or, after compaction, none.
pub(super) fn marker_of(batch: &Batch) -> Result<Option<EndMarker>, Malformed> {
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
