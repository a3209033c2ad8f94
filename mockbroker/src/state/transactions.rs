//! Transactions, their log, and the markers that end them: what the coordinator asks for is done here, so that its records and
//! what it answers are never apart.
//!
//! Markers are written after the answer that decided them, by [`State::write_markers`], which the engine calls a moment
//! later. In between other requests may come: they are told to come back, as in Kafka. A test can hold the markers back.
//!
//! Source: `TransactionStateManager`, `TransactionMarkerChannelManager`.

use std::collections::{BTreeSet, VecDeque};

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::State;
use crate::cluster::{CoordinatorType, partition_for};
use crate::group::TransactionResult;
use crate::logs::{CoordinatorRecord, Marker, Replayed};
use crate::time::Timestamp;
use crate::txn::{self, Answer, Effect, Event, Markers, Record, TopicPartition, TransactionCoordinator};
use crate::types::{NodeId, PartitionId, TopicId};

/// Transactions that are prepared and whose markers are not all written, in the order in which they were decided.
#[derive(Debug, Default)]
pub(super) struct MarkerQueue {
    waiting: VecDeque<Markers>,
    is_held: bool,
}

/// Partitions that were appended to: whoever waits for their data looks again.
type Moved = Vec<(TopicId, PartitionId)>;

impl State {
    /// Whether `node` may speak for a transactional id.
    ///
    /// # Errors
    /// NOT_COORDINATOR, also when there is no coordinator at all: a node knows only what it leads.
    pub(crate) fn check_transaction_coordinator(&self, node: NodeId, id: &str) -> Result<(), ResponseError> {
        let coordinator = self.cluster.coordinator(CoordinatorType::Transaction, id);
        let is_here = coordinator.is_some_and(|coordinator| coordinator.id == node);
        if is_here { Ok(()) } else { Err(ResponseError::NotCoordinator) }
    }

    /// Lets `event` happen to a transactional id.
    pub(crate) fn step_transactions(
        &mut self,
        id: &StrBytes,
        event: Event,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Answer {
        self.with_transactions(now, moved, |transactions, ctx, out| transactions.step(ctx, id, event, out))
    }

    /// Does what is due in transactions.
    pub(crate) fn expire_transactions(&mut self, now: Timestamp) -> Moved {
        let mut moved = Vec::new();
        self.with_transactions(now, &mut moved, TransactionCoordinator::expire);
        moved
    }

    /// The coordinator begins its work. Called once, before the first event.
    pub(crate) fn begin_transactions(&mut self, now: Timestamp) {
        self.transactions.begin(now, self.cluster.settings());
    }

    /// The partition that keeps the offsets of a group. Only its number is computed: the topic may not be there yet.
    pub(crate) fn offsets_partition(&self, group_id: &str) -> TopicPartition {
        let kind = CoordinatorType::Group;
        let topic = self.cluster.topics().by_name(kind.topic());
        let expected = usize::try_from(self.cluster.settings().offsets_topic_num_partitions).unwrap_or(1);
        let partitions = topic.map_or(expected, |topic| topic.partitions().len());
        let PartitionId(partition) = partition_for(group_id, partitions);
        TopicPartition { topic: StrBytes::from_static_str(kind.topic()), partition }
    }

    /// Whether markers wait to be written.
    pub(crate) fn has_markers(&self) -> bool {
        !self.markers.is_held && !self.markers.waiting.is_empty()
    }

    /// Holds markers back, or lets them go again. What is held is written by [`State::write_next_markers`] only.
    #[cfg_attr(not(test), expect(dead_code, reason = "the steering of the cluster will call it"))]
    pub(crate) fn hold_markers(&mut self, is_held: bool) {
        self.markers.is_held = is_held;
    }

    /// Writes the markers of every transaction that was prepared before this call.
    pub(crate) fn write_markers(&mut self, now: Timestamp) -> Moved {
        let mut moved = Vec::new();
        if self.has_markers() {
            for _ in 0..self.markers.waiting.len() {
                self.write_next_markers(now, &mut moved);
            }
        }
        moved
    }

    /// Writes the markers of the transaction that was prepared first.
    pub(crate) fn write_next_markers(&mut self, now: Timestamp, moved: &mut Moved) {
        let Some(mut markers) = self.markers.waiting.pop_front() else { return };
        let mut written = BTreeSet::new();
        for partition in std::mem::take(&mut markers.partitions) {
            match self.write_marker_at(&markers, &partition, now, moved) {
                Ok(()) => drop(written.insert(partition)),
                Err(ResponseError::NotLeaderOrFollower) => drop(markers.partitions.insert(partition)),
                Err(error) => {
                    // As in Kafka the transaction stays prepared for good.
                    tracing::info!(?error, ?markers, "the markers of a fenced transaction are given up");
                    return;
                }
            }
        }
        let (id, event) = (markers.transactional_id.clone(), Event::MarkersWritten { partitions: written });
        let done = self.step_transactions(&id, event, now, moved);
        debug_assert!(done.is_ok(), "markers are always taken: {done:?}");
        if !markers.partitions.is_empty() {
            self.markers.waiting.push_back(markers);
        }
    }

    /// Writes one marker. A topic that is gone needs none.
    fn write_marker_at(
        &mut self,
        markers: &Markers,
        at: &TopicPartition,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Result<(), ResponseError> {
        let id = &markers.transactional_id;
        let coordinator_epoch = self.cluster.topics().by_name(CoordinatorType::Transaction.topic()).and_then(|topic| {
            topic.partition(partition_for(id, topic.partitions().len())).map(|partition| partition.leader_epoch())
        });
        let marker = Marker {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            is_commit: markers.is_commit,
            coordinator_epoch: coordinator_epoch.unwrap_or(0),
            bumps_epoch: markers.bumps_epoch,
        };
        match self.write_marker(&marker, at, now, moved) {
            Err(ResponseError::UnknownTopicOrPartition) => Ok(()),
            outcome => outcome,
        }
    }

    /// Writes a marker into a partition, and ends the transaction for the offsets that were committed in it, if it is one
    /// of the partition of groups.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION; NOT_LEADER_OR_FOLLOWER if nobody leads it now; what the log says of the marker.
    pub(crate) fn write_marker(
        &mut self,
        marker: &Marker,
        at: &TopicPartition,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Result<(), ResponseError> {
        let topic = self.cluster.topics().by_name(&at.topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let partition = PartitionId(at.partition);
        let led = topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        led.leader().and_then(|node| self.cluster.alive(node)).ok_or(ResponseError::NotLeaderOrFollower)?;
        self.logs.append_marker(topic, partition, marker, now)?;
        moved.push((topic.id(), partition));
        if *at.topic == *CoordinatorType::Group.topic() {
            let partitions = topic.partitions().len();
            let result = if marker.is_commit { TransactionResult::Committed } else { TransactionResult::Aborted };
            let is_here = |group_id: &str| partition_for(group_id, partitions) == partition;
            self.groups.end_transaction(marker.producer_id, result, is_here);
        }
        Ok(())
    }

    /// Another node leads a partition, or the same anew. If it is one of `__transaction_state`, its transactional ids are read
    /// back from the log, and the markers of what was prepared are written again.
    pub(crate) fn reload_transactions(&mut self, topic_id: TopicId, partition: PartitionId, now: Timestamp) -> Moved {
        let mut moved = Vec::new();
        let topic = self.cluster.topics().by_id(topic_id);
        let Some(topic) = topic.filter(|topic| &**topic.name() == CoordinatorType::Transaction.topic()) else {
            return moved;
        };
        let partitions = topic.partitions().len();
        let is_here = |id: &str| partition_for(id, partitions) == partition;
        self.markers.waiting.retain(|markers| !is_here(&markers.transactional_id));
        let replayed: Vec<_> = self.logs.replay(topic, partition).collect();
        self.with_transactions(now, &mut moved, |transactions, ctx, out| {
            transactions.unload(is_here);
            for replayed in replayed {
                let Replayed::Record(_, CoordinatorRecord { key, value }) = replayed else { continue };
                match Record::read(&key, value.as_deref()) {
                    Ok(record) => transactions.apply(&record),
                    Err(malformed) => tracing::warn!(?malformed, "a record of __transaction_state is skipped"),
                }
            }
            transactions.load(ctx.now, is_here, out);
        });
        moved
    }

    fn with_transactions<R>(
        &mut self,
        now: Timestamp,
        moved: &mut Moved,
        act: impl FnOnce(&mut TransactionCoordinator, &mut txn::Ctx<'_>, &mut Vec<Effect>) -> R,
    ) -> R {
        let mut effects = Vec::new();
        let mut ctx = txn::Ctx {
            now,
            config: self.cluster.settings(),
            transaction_version: self.cluster.features().level(txn::FEATURE),
            ids: &mut self.ids,
        };
        let result = act(&mut self.transactions, &mut ctx, &mut effects);
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.write_transaction(&record, now, moved),
                Effect::WriteMarkers(markers) => self.markers.waiting.push_back(markers),
            }
        }
        result
    }

    fn write_transaction(&mut self, record: &Record, now: Timestamp, moved: &mut Moved) {
        let transaction_version = self.cluster.features().level(txn::FEATURE);
        let topic = self.cluster.topics().by_name(CoordinatorType::Transaction.topic());
        let Some(topic) = topic else {
            // It was deleted while the id was at rest: there is nothing left to forget.
            return;
        };
        let partition = partition_for(&record.transactional_id, topic.partitions().len());
        let record = CoordinatorRecord { key: record.key(), value: record.value(transaction_version) };
        match self.logs.append_of_transactions(topic, partition, &record, now) {
            Ok(()) => moved.push((topic.id(), partition)),
            Err(rejected) => tracing::error!(%partition, ?rejected, "the record of a transaction was not written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cluster::NewTopic;
    use crate::cluster::tests::cluster;
    use crate::ids::IdSource;
    use crate::log::AbortedTransaction;
    use crate::txn::{ClientVersion, TransactionState};

    const NOW: Timestamp = Timestamp::from_millis(1_795_391_000_000);

    /// A state with the coordinator's topic, a topic of two partitions, and an open transaction of both.
    fn open() -> (State, StrBytes, (i64, i16), BTreeSet<TopicPartition>) {
        let mut ids = IdSource::new(1);
        let mut state = State::new(cluster(1, &[]), IdSource::new(2));
        state.begin_transactions(NOW);
        state.auto_create("__transaction_state");
        let planned =
            state.cluster.plan_topic(&NewTopic { num_partitions: 2, ..NewTopic::named("t") }, &mut ids).unwrap();
        state.create_topic(planned);
        let id = StrBytes::from_static_str("tx");
        let init = Event::InitProducerId { timeout_ms: 60_000, expected: None };
        let producer = state.step_transactions(&id, init, NOW, &mut Vec::new()).unwrap();
        let at = |partition| TopicPartition { topic: StrBytes::from_static_str("t"), partition };
        let partitions = BTreeSet::from([at(0), at(1)]);
        let add = Event::AddPartitions { producer, partitions: partitions.clone(), client_version: ClientVersion::V2 };
        state.step_transactions(&id, add, NOW, &mut Vec::new()).unwrap();
        (state, id, producer, partitions)
    }

    fn end(state: &mut State, id: &StrBytes, producer: (i64, i16)) -> Answer {
        let end = Event::EndTransaction { producer, is_commit: true, client_version: ClientVersion::V2 };
        state.step_transactions(id, end, NOW, &mut Vec::new())
    }

    fn transaction_state(state: &State, id: &StrBytes) -> TransactionState {
        state.transactions.describe(id).unwrap().state
    }

    #[test]
    fn markers_come_after_the_answer_and_can_be_held() {
        let (mut state, id, producer, _) = open();
        state.hold_markers(true);
        end(&mut state, &id, producer).unwrap();
        assert_eq!((state.has_markers(), state.write_markers(NOW)), (false, Vec::new()));
        assert_eq!(transaction_state(&state, &id), TransactionState::PrepareCommit);
        assert_eq!(end(&mut state, &id, producer), Err(ResponseError::ConcurrentTransactions));
        let mut moved = Vec::new();
        state.write_next_markers(NOW, &mut moved);
        assert_eq!(moved.len(), 3, "two markers and a record");
        assert_eq!(transaction_state(&state, &id), TransactionState::CompleteCommit);
        state.hold_markers(false);
        assert!(!state.has_markers());
    }

    #[test]
    fn a_topic_that_is_gone_does_not_keep_its_transaction_from_ending() {
        let (mut state, id, producer, _) = open();
        let topic_id = state.cluster.topics().id("t").unwrap();
        state.delete_topic(topic_id, NOW);
        end(&mut state, &id, producer).unwrap();
        assert_eq!(state.write_markers(NOW).len(), 1, "the record alone");
        assert_eq!(transaction_state(&state, &id), TransactionState::CompleteCommit);
    }

    #[test]
    fn a_new_leader_reads_everything_back_and_writes_the_markers_again() {
        let (mut state, id, producer, _) = open();
        end(&mut state, &id, producer).unwrap();
        let topic = state.cluster.topics().by_name("__transaction_state").unwrap();
        let (topic_id, partition) = (topic.id(), partition_for(&id, topic.partitions().len()));
        state.reload_transactions(topic_id, partition, NOW);
        assert_eq!(transaction_state(&state, &id), TransactionState::PrepareCommit);
        assert_eq!(state.write_markers(NOW).len(), 3);
        assert_eq!(transaction_state(&state, &id), TransactionState::CompleteCommit);
        let log = state.logs.partition(state.cluster.topics().id("t").unwrap(), PartitionId(0)).unwrap();
        assert_eq!((log.log_end_offset(), log.last_stable_offset()), (1, 1));
        assert_eq!(log.aborted_transactions(0, 1), Vec::<AbortedTransaction>::new());
    }
}
