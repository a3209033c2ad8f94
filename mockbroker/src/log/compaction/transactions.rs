//! What a cleaner knows of the transactions whose batches it walks past: which are aborted, and which markers nothing needs
//! any more.
//!
//! Source: `CleanedTransactionMetadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::log::aborted::AbortedTransaction;
use crate::log::batch::Batch;
use crate::log::control::{EndMarker, marker_of};
use crate::log::records::Malformed;

/// The transactions between the batches that were walked and those that will be.
#[derive(Debug)]
pub(super) struct Transactions {
    /// Not yet reached, by first offset.
    ahead: VecDeque<AbortedTransaction>,
    /// Aborted, begun and not yet ended, by producer id. Whether one of its batches was met.
    ongoing_aborted: BTreeMap<i64, (AbortedTransaction, bool)>,
    /// The producers of committed batches whose marker was not yet met.
    ongoing_committed: BTreeSet<i64>,
}

/// What becomes of a control batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MarkerVerdict {
    /// No record of its transaction is left.
    pub(super) can_be_discarded: bool,
    /// The aborted transaction that it ends, if records of it are left.
    pub(super) aborted: Option<AbortedTransaction>,
}

impl Transactions {
    /// The walk begins; `aborted` are the transactions it will meet, in any order.
    pub(super) fn new(aborted: &[AbortedTransaction]) -> Self {
        let mut ahead = aborted.to_vec();
        ahead.sort_by_key(|transaction| transaction.first_offset);
        Self { ahead: ahead.into(), ongoing_aborted: BTreeMap::new(), ongoing_committed: BTreeSet::new() }
    }

    /// Walks past a batch of records. Returns whether its transaction was aborted.
    pub(super) fn on_batch(&mut self, batch: &Batch) -> bool {
        self.reach(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        match self.ongoing_aborted.get_mut(&batch.producer_id()) {
            Some((_, was_met)) => {
                *was_met = true;
                true
            }
            None => {
                self.ongoing_committed.insert(batch.producer_id());
                false
            }
        }
    }

    /// Walks past a control batch.
    pub(super) fn on_control(&mut self, batch: &Batch) -> Result<MarkerVerdict, Malformed> {
        self.reach(batch.last_offset());
        let producer_id = batch.producer_id();
        let verdict = |can_be_discarded| MarkerVerdict { can_be_discarded, aborted: None };
        Ok(match marker_of(batch)? {
            Some(EndMarker { is_commit: false, .. }) => match self.ongoing_aborted.remove(&producer_id) {
                Some((aborted, true)) => MarkerVerdict { can_be_discarded: false, aborted: Some(aborted) },
                _ => verdict(true),
            },
            Some(EndMarker { is_commit: true, .. }) => verdict(!self.ongoing_committed.remove(&producer_id)),
            // Other control records are not of transactions; a batch without any was cleaned before.
            None => verdict(batch.record_count() == 0),
        })
    }

    fn reach(&mut self, offset: i64) {
        while let Some(aborted) = self.ahead.pop_front_if(|next| next.first_offset <= offset) {
            self.ongoing_aborted.entry(aborted.producer_id).or_insert((aborted, false));
        }
    }
}
