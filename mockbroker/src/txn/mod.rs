//! The transaction coordinator: which transactional id has which producer, and how far its transaction is. A plain machine:
//! an event comes in with the time, effects come out. No clock, no randomness, no locks, no sockets.
//!
//! In reading order:
//!
//! - `state`: the states and the moves between them
//! - `metadata`: what a record says of a transactional id; `record`: the record, in the format of `__transaction_state`
//! - `init`: InitProducerId; `partitions`: what joins a transaction; `end`: commit and abort, and what comes after
//! - `timers`: timeouts and expiry; `describe`: what can be asked without changing anything
//!
//! A transaction ends in two steps. `Prepare*` is decided and answered; then the markers are written, which is an effect
//! ([`Effect::WriteMarkers`]), and once the last one is, `Complete*` follows. In between, nearly all calls are told to come
//! back (CONCURRENT_TRANSACTIONS).
//!
//! Hard state changes by records only. A fold of all records over an empty machine, then
//! [`TransactionCoordinator::load`], is what a restart is. The last epoch of a producer is soft: Kafka does not write it
//! either. One coordinator holds the transactional ids of all nodes: which node speaks for one is the caller's business.
//!
//! Source: `TransactionCoordinator`, `TransactionMetadata`, `TransactionStateManager`; KIP-98, KIP-360, KIP-890. Not here:
//! two-phase commit (KIP-939).

mod describe;
mod end;
mod init;
mod metadata;
mod partitions;
mod record;
mod state;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

pub(crate) use self::describe::{ListFilter, pattern};
pub(crate) use self::init::is_valid_timeout;
pub(crate) use self::metadata::{Metadata, TopicPartition};
pub(crate) use self::record::Record;
pub(crate) use self::state::TransactionState;
use self::timers::Timers;
use crate::cluster::BrokerConfig;
use crate::time::Timestamp;

/// The feature whose level decides what the coordinator itself does, and what clients may.
pub(crate) const FEATURE: &str = "transaction.version";

/// The largest epoch that a client is told. The one after it is the coordinator's, to fence with.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// What a step is told of the world.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    /// The present.
    pub(crate) now: Timestamp,
    /// `transaction.*`.
    pub(crate) config: &'a BrokerConfig,
    /// The level of the feature `transaction.version`: what the coordinator itself goes by.
    pub(crate) transaction_version: i16,
    /// The node of the coordinator.
    pub(crate) host: &'a mut dyn Host,
}

/// What a coordinator needs of the node that it runs on.
pub(crate) trait Host: fmt::Debug {
    /// A producer id that nobody has had.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS: the node waits for more of them.
    fn producer_id(&mut self, transactional_id: &str) -> Result<i64, ResponseError>;

    /// Whether the log takes a record now.
    ///
    /// # Errors
    /// What clients are told if it does not (`TransactionStateManager.appendTransactionToLog`): COORDINATOR_NOT_AVAILABLE,
    /// UNKNOWN_SERVER_ERROR.
    fn admit(&self, record: &Record) -> Result<(), ResponseError>;
}

/// What can happen to transactional ids. The id is never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A producer wants an id and an epoch. `expected`: the id and epoch that it has (KIP-360).
    InitProducerId { timeout_ms: i32, expected: Option<(i64, i16)> },
    /// Partitions join the transaction, which begins if it has not.
    AddPartitions { producer: (i64, i16), partitions: BTreeSet<TopicPartition>, client_version: ClientVersion },
    /// The producer commits or aborts.
    EndTransaction { producer: (i64, i16), is_commit: bool, client_version: ClientVersion },
    /// The markers in these partitions are written, or need not be: the topic is gone.
    MarkersWritten { partitions: BTreeSet<TopicPartition> },
    /// What is decided is done, if no marker is left to be written.
    Complete,
}

/// Which generation of the protocol a request speaks: its version decides (KIP-890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClientVersion {
    /// Partitions are added one request ahead, an epoch lasts.
    V0 = 0,
    /// Partitions are added in passing, every end of a transaction bumps the epoch.
    V2 = 2,
}

impl ClientVersion {
    /// What the level of the feature `transaction.version` stands for.
    pub(crate) fn of_feature(level: i16) -> Self {
        if level >= 2 { Self::V2 } else { Self::V0 }
    }

    /// Whether every end of a transaction bumps the epoch.
    pub(crate) fn supports_epoch_bump(self) -> bool {
        self == Self::V2
    }
}

/// The producer id and epoch to go on with, or why not.
pub(crate) type Answer = Result<(i64, i16), ResponseError>;

/// What a step asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The record is to be written. It is applied already.
    Persist(Record),
    /// After the answer the markers are to be written, and each be told of with [`Event::MarkersWritten`]; then
    /// comes [`Event::Complete`].
    WriteMarkers(Markers),
}

/// The markers of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Markers {
    pub(crate) transactional_id: StrBytes,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) is_commit: bool,
    /// The epoch is the one after that of the transaction's records.
    pub(crate) bumps_epoch: bool,
    /// Where; none if an empty transaction was aborted.
    pub(crate) partitions: BTreeSet<TopicPartition>,
}

/// All transactional ids of the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransactionCoordinator {
    hard: BTreeMap<StrBytes, Metadata>,
    soft: BTreeMap<StrBytes, Soft>,
    timers: Timers,
}

/// What is known of a transactional id beside its record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Soft {
    /// The epoch before the last bump, which a retry may still bear; -1 if none.
    last_producer_epoch: i16,
    /// Its markers are on their way.
    completing: Option<Completing>,
    /// A move was begun that cannot be written down: no other one can begin, as in Kafka, until another coordinator takes over.
    is_stuck: bool,
}

/// A transaction that is prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Completing {
    /// The partitions whose marker is not written yet.
    remaining: BTreeSet<TopicPartition>,
    /// What is persisted once none is left.
    completion: Metadata,
}

impl Default for Soft {
    fn default() -> Self {
        Self { last_producer_epoch: -1, completing: None, is_stuck: false }
    }
}

impl TransactionCoordinator {
    /// Reacts to one event of `transactional_id`. Every event has its answer at once.
    pub(crate) fn step(
        &mut self,
        ctx: &mut Ctx<'_>,
        transactional_id: &StrBytes,
        event: Event,
        out: &mut Vec<Effect>,
    ) -> Answer {
        match event {
            Event::InitProducerId { timeout_ms, expected } => {
                self.init_producer_id(ctx, transactional_id, timeout_ms, expected, out)
            }
            Event::AddPartitions { producer, partitions, client_version } => {
                self.join(ctx, transactional_id, producer, partitions, client_version, out)
            }
            Event::EndTransaction { producer, is_commit, client_version } => {
                self.end(ctx, transactional_id, producer, is_commit, client_version, out)
            }
            Event::MarkersWritten { partitions } => {
                self.markers_written(transactional_id, &partitions);
                Ok((-1, -1))
            }
            Event::Complete => self.complete(ctx, transactional_id, out).map(|()| (-1, -1)),
        }
    }

    /// Applies one record. The only way hard state changes; recovery calls it too.
    pub(crate) fn apply(&mut self, record: &Record) {
        let Record { transactional_id, metadata } = record;
        if let Some(before) = self.hard.remove(transactional_id) {
            self.timers.forget(transactional_id, &before);
        }
        match metadata {
            None => {
                self.soft.remove(transactional_id);
            }
            Some(metadata) => {
                self.timers.note(transactional_id, metadata);
                self.hard.insert(transactional_id.clone(), metadata.clone());
            }
        }
    }

    /// Gives up the ids that `is_lost` says: another node coordinates them now. Their records come back with
    /// [`TransactionCoordinator::apply`].
    pub(crate) fn unload(&mut self, is_lost: impl Fn(&str) -> bool) {
        let lost: Vec<_> = self.hard.keys().filter(|id| is_lost(id)).cloned().collect();
        for transactional_id in lost {
            self.apply(&Record { transactional_id, metadata: None });
        }
    }

    /// Takes up the ids that `is_loaded` says, whose records have been applied: what was prepared goes on to be completed.
    pub(crate) fn load(&mut self, now: Timestamp, is_loaded: impl Fn(&str) -> bool, out: &mut Vec<Effect>) {
        let prepared: Vec<_> = self
            .hard
            .iter()
            .filter(|(id, metadata)| metadata.state.is_prepared() && is_loaded(id))
            .map(|(id, _)| id.clone())
            .collect();
        for transactional_id in prepared {
            self.begin_completion(&transactional_id, now, out);
        }
    }

    /// What the records say of a transactional id.
    fn known(&self, transactional_id: &StrBytes) -> Option<&Metadata> {
        self.hard.get(transactional_id)
    }

    /// Whether a move is under way that has to end before another one begins (`TransactionMetadata.pendingState`).
    fn is_moving(&self, transactional_id: &StrBytes) -> bool {
        self.soft.get(transactional_id).is_some_and(|soft| soft.completing.is_some() || soft.is_stuck)
    }

    fn last_producer_epoch(&self, transactional_id: &StrBytes) -> i16 {
        self.soft.get(transactional_id).map_or(-1, |soft| soft.last_producer_epoch)
    }

    /// Persists `metadata`, which follows from what was known by a legal move.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED_VERSION, with level 0 of the feature: its records have no place for what a client of version 2 has done
    /// (`TransactionLog.valueToBytes`, TransactionLogValue.json: `ClientTransactionVersion` cannot be left out). Kafka has
    /// begun the move by then, and never ends it. What the log says if it does not take the record: nothing has happened then.
    fn persist(
        &mut self,
        ctx: &Ctx<'_>,
        transactional_id: &StrBytes,
        metadata: Metadata,
        out: &mut Vec<Effect>,
    ) -> Result<(), ResponseError> {
        let before = self.known(transactional_id).map_or(TransactionState::Empty, |before| before.state);
        assert!(metadata.state.may_follow(before), "{transactional_id:?} cannot go from {before:?} to {metadata:?}");
        if ctx.transaction_version == 0 && metadata.client_version != ClientVersion::V0 {
            self.soft.entry(transactional_id.clone()).or_default().is_stuck = true;
            return Err(ResponseError::UnsupportedVersion);
        }
        let record = Record { transactional_id: transactional_id.clone(), metadata: Some(metadata) };
        ctx.host.admit(&record)?;
        self.apply(&record);
        out.push(Effect::Persist(record));
        Ok(())
    }

    fn remember_last_epoch(&mut self, transactional_id: &StrBytes, last_producer_epoch: i16) {
        self.soft.entry(transactional_id.clone()).or_default().last_producer_epoch = last_producer_epoch;
    }
}
