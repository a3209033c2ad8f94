//! What is persisted of a transactional id.
//!
//! Source: `TransactionMetadata.java`, TransactionLogValue.json.

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;

use super::{ClientVersion, LAST_EPOCH, TransactionState};
use crate::time::Timestamp;

/// A partition by the name of its topic: should the topic be created anew, the markers go to the new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicPartition {
    pub(crate) topic: StrBytes,
    pub(crate) partition: i32,
}

/// The state of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) producer_id: i64,
    /// The one before the last move; -1 at first.
    pub(crate) previous_producer_id: i64,
    /// The one that takes over once the transaction has ended, because the epochs are used up; else -1.
    pub(crate) next_producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    /// The partitions that have joined.
    pub(crate) partitions: BTreeSet<TopicPartition>,
    /// When the first partition joined; -1 before.
    pub(crate) start_time_ms: i64,
    pub(crate) last_update_time_ms: i64,
    /// What the client spoke that brought it into this state.
    pub(crate) client_version: ClientVersion,
}

impl Metadata {
    /// Of an id that was never seen: it has no epoch yet.
    pub(super) fn fresh(producer_id: i64, timeout_ms: i32, now: Timestamp) -> Self {
        Self {
            producer_id,
            previous_producer_id: -1,
            next_producer_id: -1,
            producer_epoch: -1,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_time_ms: -1,
            last_update_time_ms: now.as_millis(),
            client_version: ClientVersion::V0,
        }
    }

    /// Whether no epoch is left that a client may be told.
    pub(super) fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }

    /// The same in another state, at the time `now`: what it was becomes the previous producer
    /// (`TransactionMetadata.prepareTransitionTo`).
    pub(super) fn moved(&self, state: TransactionState, now: Timestamp) -> Self {
        Self { state, previous_producer_id: self.producer_id, last_update_time_ms: now.as_millis(), ..self.clone() }
    }

    /// What follows when all markers are written (`TransactionMetadata.prepareComplete`).
    pub(super) fn completed(&self, now: Timestamp) -> Self {
        let state = if self.state == TransactionState::PrepareCommit {
            TransactionState::CompleteCommit
        } else {
            TransactionState::CompleteAbort
        };
        let mut completed = self.moved(state, now);
        if self.client_version.supports_epoch_bump() && self.next_producer_id != -1 {
            completed.producer_id = self.next_producer_id;
            completed.producer_epoch = 0;
        }
        completed.next_producer_id = -1;
        completed.partitions = BTreeSet::new();
        completed
    }
}

/// Whether a client may not be told an epoch beyond this one.
pub(super) fn is_exhausted(producer_epoch: i16) -> bool {
    producer_epoch >= LAST_EPOCH
}
