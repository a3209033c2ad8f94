//! Which batches and records a cleaner keeps, and what it makes of a batch that loses some.
//!
//! Source: `Cleaner.cleanInto`, `Cleaner.shouldRetainRecord`, `MemoryRecords.filterTo`; KIP-534.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::keys::LatestOffsets;
use super::transactions::Transactions;
use crate::log::aborted::AbortedTransaction;
use crate::log::batch::Batch;
use crate::log::rebuild;
use crate::log::records::{Malformed, Record};

/// Where a producer that is still known wrote last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct LastRecord {
    /// The last offset of its last batch; `None` if only a marker tells of it.
    pub(in crate::log) data_offset: Option<i64>,
    pub(in crate::log) producer_epoch: i16,
}

/// What one round of cleaning goes by.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) latest: LatestOffsets,
    pub(super) transactions: Transactions,
    pub(super) last_records: BTreeMap<i64, LastRecord>,
    /// The first offset that is not cleaned.
    pub(super) end_offset: i64,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
}

/// What is left of a batch.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    pub(super) batch: Option<Cow<'a, Batch>>,
    /// The aborted transaction that ends with this batch, if records of it are left.
    pub(super) aborted: Option<AbortedTransaction>,
}

impl Filter {
    /// Filters the next batch of the log.
    pub(super) fn keep<'a>(&mut self, batch: &'a Batch) -> Result<Kept<'a>, Malformed> {
        let mut aborted = None;
        let mut marks_nothing = false;
        let drops_all = if batch.is_control() {
            let verdict = self.transactions.on_control(batch)?;
            (marks_nothing, aborted) = (verdict.can_be_discarded, verdict.aborted);
            marks_nothing && batch.delete_horizon_ms().is_some_and(|horizon| horizon <= self.now_ms)
        } else {
            self.transactions.on_batch(batch)
        };
        let is_kept_empty = self.is_last_of_its_producer(batch) || batch.last_offset() + 1 == self.end_offset;
        if drops_all {
            let batch = is_kept_empty.then(|| Cow::Owned(batch.emptied()));
            return Ok(Kept { batch, aborted });
        }
        let decoded = batch.records()?;
        let mut kept = Vec::new();
        let mut has_tombstone = false;
        for record in &decoded {
            let record = record?;
            if batch.is_control() || self.keeps(batch, &record) {
                has_tombstone |= record.value.is_none();
                kept.push(record);
            }
        }
        let batch = if kept.is_empty() {
            is_kept_empty.then(|| Cow::Owned(batch.emptied()))
        } else {
            let horizon = batch.delete_horizon_ms();
            let sets_horizon = (has_tombstone || marks_nothing) && horizon.is_none();
            let all_kept = i32::try_from(kept.len()) == Ok(batch.record_count());
            Some(if all_kept && !sets_horizon {
                Cow::Borrowed(batch)
            } else {
                let horizon =
                    if sets_horizon { Some(self.now_ms.saturating_add(self.delete_retention_ms)) } else { horizon };
                Cow::Owned(rebuild::retained(batch, kept.into_iter(), horizon)?)
            })
        };
        Ok(Kept { batch, aborted })
    }

    /// Without this batch the sequence of its producer, or the epoch that fences it, would be forgotten in a restart.
    fn is_last_of_its_producer(&self, batch: &Batch) -> bool {
        if !batch.has_producer_id() {
            return false;
        }
        self.last_records.get(&batch.producer_id()).is_some_and(|last| match last.data_offset {
            Some(offset) => batch.last_offset() == offset,
            None => batch.is_control() && batch.producer_epoch() == last.producer_epoch,
        })
    }

    /// Whether the record is the last of its key, and no tombstone whose time is over.
    fn keeps(&self, batch: &Batch, record: &Record<'_>) -> bool {
        if record.offset >= self.end_offset {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = self.latest.of(key).is_none_or(|latest| record.offset >= latest);
        is_latest && (record.value.is_some() || batch.delete_horizon_ms().is_none_or(|horizon| self.now_ms < horizon))
    }
}
