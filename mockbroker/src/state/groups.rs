//! Groups and their log: what the coordinator asks for is done here, so that its records and what it answers are never apart.
//!
//! A coordinator of transactions goes the same way: step the machine, write what it persists, hand back what it answers.
//! Source: `CoordinatorRuntime`, `GroupCoordinatorService`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::State;
use crate::cluster::{CompressionType, CoordinatorType, partition_for};
use crate::group::{self, Effect, Event, Record, TransactionResult};
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
struct Unwritten(Vec<(PartitionId, Option<Transaction>, Vec<CoordinatorRecord>)>);

impl Unwritten {
    fn push(&mut self, partition: PartitionId, transaction: Option<Transaction>, record: &Record) {
        let record = CoordinatorRecord { key: record.key(), value: record.value() };
        let batch = self.0.iter_mut().find(|batch| (batch.0, batch.1) == (partition, transaction));
        match batch {
            Some((.., records)) => records.push(record),
            None => self.0.push((partition, transaction, vec![record])),
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
        self.with_groups(now, |groups, ctx, out| groups.step(ctx, event, out))
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
        let mut effects = Vec::new();
        let cluster = &self.cluster;
        let mut ctx = group::Ctx { now, cluster, config: cluster.settings(), ids: &mut self.ids };
        act(&mut self.groups, &mut ctx, &mut effects);
        self.carry_out_of_groups(effects, now)
    }

    fn carry_out_of_groups(&mut self, effects: Vec<Effect>, now: Timestamp) -> Outcome<group::Response> {
        let mut outcome = Outcome::default();
        let mut unwritten = Unwritten::default();
        for effect in effects {
            match effect {
                Effect::Persist(record) => unwritten.push(self.partition_of_group(record.group_id()), None, &record),
                Effect::PersistPending(producer_id, producer_epoch, record) => {
                    let partition = self.partition_of_group(record.group_id());
                    unwritten.push(partition, Some((producer_id, producer_epoch)), &record);
                }
                Effect::Answer(ticket, response) => {
                    self.write_groups(std::mem::take(&mut unwritten), now, &mut outcome.moved);
                    outcome.answers.push((ticket, response));
                }
            }
        }
        self.write_groups(unwritten, now, &mut outcome.moved);
        outcome
    }

    fn partition_of_group(&self, group_id: &str) -> PartitionId {
        partition_for(group_id, self.partitions_of_groups())
    }

    fn partitions_of_groups(&self) -> usize {
        let topic = self.cluster.topics().by_name(CoordinatorType::Group.topic());
        topic.map_or(0, |topic| topic.partitions().len())
    }

    fn write_groups(&mut self, unwritten: Unwritten, now: Timestamp, moved: &mut Vec<(TopicId, PartitionId)>) {
        if unwritten.0.is_empty() {
            return;
        }
        let codec = CompressionType::from_id(self.cluster.settings().offsets_topic_compression_codec);
        let topic = self.cluster.topics().by_name(CoordinatorType::Group.topic());
        let topic = topic.expect("a group has a coordinator, which leads a partition of the topic");
        for (partition, transaction, records) in unwritten.0 {
            match self.logs.append_of_coordinator(topic, partition, codec, transaction, &records, now) {
                Ok(()) => moved.push((topic.id(), partition)),
                Err(rejected) => tracing::error!(%partition, ?rejected, "the records of a group were not written"),
            }
        }
    }
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
