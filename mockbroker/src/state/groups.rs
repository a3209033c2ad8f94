//! Groups and their log: what the coordinator asks for is done here, so that its records and what it answers are never apart.
//!
//! A coordinator of transactions goes the same way: step the machine, write what it persists, hand back what it answers.
//! Source: `CoordinatorRuntime`, `GroupCoordinatorService`.

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::State;
use crate::cluster::{CompressionType, CoordinatorType, partition_for};
use crate::group::{self, Effect, Event, Record, Refused, TransactionResult};
use crate::logs::{CoordinatorRecord, Replayed, Transaction};
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};

/// What came of a step, once its records are in the log.
#[derive(Debug)]
pub(crate) struct Outcome<R> {
    /// What is answered, in order.
    pub(crate) answers: Vec<(Ticket, R)>,
    /// The partitions that were appended to: whoever waits for their data looks again.
    pub(crate) moved: Vec<(TopicId, PartitionId)>,
}

impl<R> Default for Outcome<R> {
    fn default() -> Self {
        Self { answers: Vec::new(), moved: Vec::new() }
    }
}

/// Records that follow each other, by the partition and the transaction that they go to. Each is one batch.
#[derive(Debug, Default)]
struct Unwritten(Vec<Unit>);

/// What is written at once, or refused at once.
#[derive(Debug)]
struct Unit {
    partition: PartitionId,
    transaction: Option<Transaction>,
    records: Vec<Record>,
}

/// Whether the records of a step are written together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Atomicity {
    Whole,
    /// In as many batches as they take.
    Parts,
}

impl Unwritten {
    fn push(&mut self, partition: PartitionId, transaction: Option<Transaction>, record: Record) {
        let unit = self.0.iter_mut().find(|unit| (unit.partition, unit.transaction) == (partition, transaction));
        match unit {
            Some(unit) => unit.records.push(record),
            None => self.0.push(Unit { partition, transaction, records: vec![record] }),
        }
    }
}

impl State {
    /// Whether `node` may speak for a group.
    ///
    /// # Errors
    /// NOT_COORDINATOR, also when there is no coordinator at all: a node knows only what it leads.
    /// COORDINATOR_LOAD_IN_PROGRESS if it has not read what it leads.
    pub(crate) fn check_group_coordinator(&self, node: NodeId, group_id: &str) -> Result<(), ResponseError> {
        let coordinator = self.cluster.coordinator(CoordinatorType::Group, group_id);
        if coordinator.is_none_or(|coordinator| coordinator.id != node) {
            return Err(ResponseError::NotCoordinator);
        }
        let is_loading = self.is_loading(CoordinatorType::Group, group_id);
        if is_loading { Err(ResponseError::CoordinatorLoadInProgress) } else { Ok(()) }
    }

    /// Lets `event` happen to groups.
    pub(crate) fn step_groups(&mut self, event: Event, now: Timestamp) -> Outcome<group::Response> {
        // CoordinatorResult.isAtomic: what is cleaned up may be written in parts.
        let atomicity = if matches!(event, Event::TopicDeleted(_)) { Atomicity::Parts } else { Atomicity::Whole };
        let effects = self.ask_groups(now, |groups, ctx, out| groups.step(ctx, event, out));
        self.carry_out_of_groups(effects, atomicity, now)
    }

    /// Does what is due in groups.
    pub(crate) fn expire_groups(&mut self, now: Timestamp) -> Outcome<group::Response> {
        self.with_groups(now, group::GroupCoordinator::expire)
    }

    /// Takes up all groups. Called once, before the first event.
    pub(crate) fn load_groups(&mut self, now: Timestamp) -> Outcome<group::Response> {
        self.with_groups(now, |groups, ctx, out| groups.load(ctx, |_| true, out))
    }

    /// Gives up the groups of a partition of `__consumer_offsets`: another node speaks for them now, or nobody.
    pub(super) fn give_up_groups(&mut self, partition: PartitionId, now: Timestamp) -> Outcome<group::Response> {
        let partitions = self.partitions_of_groups();
        let is_here = |group_id: &str| partition_for(group_id, partitions) == partition;
        self.with_groups(now, |groups, _, out| groups.unload(is_here, out))
    }

    /// Reads the groups of a partition of `__consumer_offsets` back from the log.
    pub(super) fn load_groups_of(&mut self, partition: PartitionId, now: Timestamp) -> Outcome<group::Response> {
        let partitions = self.partitions_of_groups();
        let is_here = |group_id: &str| partition_for(group_id, partitions) == partition;
        let topic = self.cluster.topics().by_name(CoordinatorType::Group.topic());
        let replayed: Vec<_> = topic.into_iter().flat_map(|topic| self.logs.replay(topic, partition)).collect();
        self.with_groups(now, |groups, ctx, out| {
            for replayed in replayed {
                replay(groups, replayed, is_here);
            }
            groups.load(ctx, is_here, out);
        })
    }

    /// Gives up all groups: their topic is gone.
    fn unload_groups(&mut self, now: Timestamp) -> Outcome<group::Response> {
        self.with_groups(now, |groups, _, out| groups.unload(|_| true, out))
    }

    /// What a topic's end is for groups: its offsets are deleted, or if it is the groups' own topic, everything is.
    pub(super) fn groups_without_topic(&mut self, name: StrBytes, now: Timestamp) -> Outcome<group::Response> {
        if &*name == CoordinatorType::Group.topic() {
            self.unload_groups(now)
        } else {
            self.step_groups(Event::TopicDeleted(name), now)
        }
    }

    pub(super) fn with_groups(
        &mut self,
        now: Timestamp,
        act: impl FnOnce(&mut group::GroupCoordinator, &mut group::Ctx<'_>, &mut Vec<Effect>),
    ) -> Outcome<group::Response> {
        let effects = self.ask_groups(now, act);
        self.carry_out_of_groups(effects, Atomicity::Parts, now)
    }

    fn ask_groups(
        &mut self,
        now: Timestamp,
        act: impl FnOnce(&mut group::GroupCoordinator, &mut group::Ctx<'_>, &mut Vec<Effect>),
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let cluster = &self.cluster;
        let mut ctx = group::Ctx { now, cluster, config: cluster.settings(), ids: &mut self.ids };
        act(&mut self.groups, &mut ctx, &mut effects);
        effects
    }

    fn carry_out_of_groups(
        &mut self,
        effects: Vec<Effect>,
        atomicity: Atomicity,
        now: Timestamp,
    ) -> Outcome<group::Response> {
        let mut outcome = Outcome::default();
        let mut unwritten = Unwritten::default();
        let mut refused = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => unwritten.push(self.partition_of_group(record.group_id()), None, record),
                Effect::PersistPending(producer_id, producer_epoch, record) => {
                    let partition = self.partition_of_group(record.group_id());
                    unwritten.push(partition, Some((producer_id, producer_epoch)), record);
                }
                Effect::Answer(ticket, response) => {
                    let unwritten = std::mem::take(&mut unwritten);
                    refused.extend(self.write_groups(unwritten, atomicity, now, &mut outcome.moved));
                    outcome.answers.push((ticket, response));
                }
            }
        }
        refused.extend(self.write_groups(unwritten, atomicity, now, &mut outcome.moved));
        for (error, unit) in refused {
            self.take_back(error, &unit, atomicity, &mut outcome, now);
        }
        outcome
    }

    /// Takes back what the log has refused. Who waits for what the clock has done is not told of it.
    fn take_back(
        &mut self,
        error: ResponseError,
        unit: &Unit,
        atomicity: Atomicity,
        outcome: &mut Outcome<group::Response>,
        now: Timestamp,
    ) {
        let written = self.written_of_groups(unit);
        let mut nobody = Vec::new();
        let answers = if atomicity == Atomicity::Whole { &mut outcome.answers } else { &mut nobody };
        let effects = self.ask_groups(now, |groups, ctx, out| groups.take_back(ctx, &written, error, answers, out));
        let more = self.carry_out_of_groups(effects, Atomicity::Parts, now);
        outcome.answers.extend(more.answers);
        outcome.moved.extend(more.moved);
    }

    /// What the log has of each key of `unit`: the last value that counts, or that the same transaction has written.
    fn written_of_groups(&self, unit: &Unit) -> Vec<Refused> {
        let producer_id = unit.transaction.map(|(producer_id, _)| producer_id);
        let topic = self.cluster.topics().by_name(CoordinatorType::Group.topic());
        let replayed = topic.into_iter().flat_map(|topic| self.logs.replay(topic, unit.partition));
        let mut committed = HashMap::new();
        let mut pending = HashMap::<_, HashMap<_, _>>::new();
        for replayed in replayed {
            match replayed {
                Replayed::Record(None, record) => drop(committed.insert(record.key, record.value)),
                Replayed::Record(Some(producer_id), record) => {
                    pending.entry(producer_id).or_default().insert(record.key, record.value);
                }
                Replayed::Marker { producer_id, committed: is_committed } => {
                    let ended = pending.remove(&producer_id).unwrap_or_default();
                    committed.extend(ended.into_iter().filter(|_| is_committed));
                }
            }
        }
        let nothing = HashMap::new();
        let known = producer_id.map_or(&committed, |producer_id| pending.get(&producer_id).unwrap_or(&nothing));
        let refused = |record: &Record| {
            let key = record.key();
            let value = known.get(&key).cloned().flatten();
            let written = Record::decode(&key, value.as_deref()).ok().flatten();
            let written = written.unwrap_or_else(|| record.clone());
            Refused { producer_id: producer_id.map(|it| it.0), record: record.clone(), written }
        };
        unit.records.iter().map(refused).collect()
    }

    fn partition_of_group(&self, group_id: &str) -> PartitionId {
        partition_for(group_id, self.partitions_of_groups())
    }

    fn partitions_of_groups(&self) -> usize {
        let topic = self.cluster.topics().by_name(CoordinatorType::Group.topic());
        topic.map_or(0, |topic| topic.partitions().len())
    }

    /// Writes what is to be written. What comes back is refused, with what clients are told of it
    /// (`CoordinatorOperationExceptionHelper`).
    fn write_groups(
        &mut self,
        unwritten: Unwritten,
        atomicity: Atomicity,
        now: Timestamp,
        moved: &mut Vec<(TopicId, PartitionId)>,
    ) -> Vec<(ResponseError, Unit)> {
        if unwritten.0.is_empty() {
            return Vec::new();
        }
        let codec = CompressionType::from_id(self.cluster.settings().offsets_topic_compression_codec);
        let topic = self.cluster.topics().by_name(CoordinatorType::Group.topic());
        let topic = topic.expect("a group has a coordinator, which leads a partition of the topic");
        let mut refused = Vec::new();
        for unit in unwritten.0 {
            if topic.partition(unit.partition).is_some_and(|partition| self.isolation.cuts_off(partition)) {
                let wait_ms = self.cluster.settings().offsets_commit_timeout_ms;
                self.isolation.wait(wait_ms);
                refused.push((ResponseError::CoordinatorNotAvailable, unit));
                continue;
            }
            if !topic.has_enough_in_sync(unit.partition) {
                refused.push((ResponseError::CoordinatorNotAvailable, unit));
                continue;
            }
            let records = unit.records.iter();
            let records =
                records.map(|record| CoordinatorRecord { key: record.key(), value: record.value() }).collect();
            let batches = match atomicity {
                Atomicity::Whole => vec![records],
                Atomicity::Parts => in_parts(records, topic.config().max_message_bytes),
            };
            let (partition, transaction) = (unit.partition, unit.transaction);
            let mut append = |records: &Vec<CoordinatorRecord>| {
                self.logs.append_of_coordinator(topic, partition, codec, transaction, records, now)
            };
            match batches.iter().try_for_each(&mut append) {
                Ok(()) => moved.push((topic.id(), partition)),
                Err(rejected) => {
                    tracing::info!(%partition, ?rejected, "the records of a group were not written");
                    refused.push((ResponseError::UnknownServerError, unit));
                }
            }
        }
        refused
    }
}

/// Records in batches that `max_bytes` has room for, if it has for each of them.
fn in_parts(records: Vec<CoordinatorRecord>, max_bytes: i32) -> Vec<Vec<CoordinatorRecord>> {
    // What a record and a batch take besides keys and values, at most.
    const OF_RECORD: usize = 40;
    const OF_BATCH: usize = 61;
    let max_bytes = usize::try_from(max_bytes).unwrap_or(0);
    let mut parts: Vec<Vec<CoordinatorRecord>> = Vec::new();
    let mut size = 0;
    for record in records {
        let length = OF_RECORD + record.key.len() + record.value.as_ref().map_or(0, bytes::Bytes::len);
        match parts.last_mut().filter(|_| size + length <= max_bytes) {
            Some(part) => part.push(record),
            None => {
                size = OF_BATCH;
                parts.push(vec![record]);
            }
        }
        size += length;
    }
    parts
}

/// Applies what the log holds. What cannot be read says nothing, as for Kafka (`CoordinatorLoaderImpl`).
fn replay(groups: &mut group::GroupCoordinator, replayed: Replayed, is_here: impl Fn(&str) -> bool) {
    match replayed {
        Replayed::Record(producer_id, CoordinatorRecord { key, value }) => match Record::decode(&key, value.as_deref())
        {
            Ok(Some(record)) => match producer_id {
                None => groups.apply(&record),
                Some(producer_id) => groups.apply_pending(producer_id.0, &record),
            },
            Ok(None) => {}
            Err(malformed) => tracing::warn!(%malformed, "a record of __consumer_offsets is skipped"),
        },
        Replayed::Marker { producer_id, committed } => {
            let result = if committed { TransactionResult::Committed } else { TransactionResult::Aborted };
            groups.end_transaction(producer_id.0, result, is_here);
        }
    }
}
