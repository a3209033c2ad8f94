//! Transactions and their log: what the coordinator asks for is done here, so that its records and what it answers are never
//! apart.
//!
//! Not here: the markers that end transactions, which are written after the answer (`markers`).
//! Source: `TransactionStateManager`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::State;
use super::isolation::Isolation;
use crate::cluster::{Cluster, CoordinatorType, ProducerIds, partition_for};
use crate::logs::{CoordinatorRecord, Replayed, batch_of_transaction};
use crate::time::Timestamp;
use crate::txn::{self, Answer, Effect, Event, Record, TopicPartition, TransactionCoordinator};
use crate::types::{NodeId, PartitionId, TopicId};

/// Partitions that were appended to: whoever waits for their data looks again.
pub(crate) type Moved = Vec<(TopicId, PartitionId)>;

impl State {
    /// Whether `node` may speak for a transactional id.
    ///
    /// # Errors
    /// NOT_COORDINATOR, also when there is no coordinator at all: a node knows only what it leads.
    /// COORDINATOR_LOAD_IN_PROGRESS if it has not read what it leads.
    pub(crate) fn check_transaction_coordinator(&self, node: NodeId, id: &str) -> Result<(), ResponseError> {
        let coordinator = self.cluster.coordinator(CoordinatorType::Transaction, id);
        if coordinator.is_none_or(|coordinator| coordinator.id != node) {
            return Err(ResponseError::NotCoordinator);
        }
        self.check_transactions_loaded(id)
    }

    /// Whether the coordinator of a transactional id, wherever it is, has read its log.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS.
    pub(crate) fn check_transactions_loaded(&self, id: &str) -> Result<(), ResponseError> {
        let is_loading = self.is_loading(CoordinatorType::Transaction, id);
        if is_loading { Err(ResponseError::CoordinatorLoadInProgress) } else { Ok(()) }
    }

    /// Lets `event` happen to a transactional id.
    pub(crate) fn step_transactions(
        &mut self,
        id: &StrBytes,
        event: Event,
        now: Timestamp,
        moved: &mut Moved,
    ) -> Answer {
        let asked_ms = if let Event::InitProducerId { timeout_ms, .. } = &event { Some(*timeout_ms) } else { None };
        let answer =
            self.with_transactions(now, moved, |transactions, ctx, out| transactions.step(ctx, id, event, out));
        if answer == Err(ResponseError::CoordinatorNotAvailable) && self.cuts_off_transactions_of(id) {
            // Its record waits in the log for as long as a transaction may take.
            let known_ms = self.transactions.describe(id).map(|known| known.timeout_ms);
            self.wait_in_vain(asked_ms.or(known_ms).map_or(0, i64::from));
        }
        answer
    }

    /// Whether what the coordinator of a transactional id writes reaches nobody else.
    fn cuts_off_transactions_of(&self, id: &str) -> bool {
        let topic = self.cluster.topics().by_name(CoordinatorType::Transaction.topic());
        let partition = topic.and_then(|topic| topic.partition(partition_for(id, topic.partitions().len())));
        partition.is_some_and(|partition| self.isolation.cuts_off(partition))
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

    /// Gives up the transactional ids of a partition of `__transaction_state`: another node speaks for them now, or nobody.
    pub(super) fn give_up_transactions(&mut self, partition: PartitionId) {
        let is_here = self.transactions_of(partition);
        self.markers.give_up(&is_here);
        self.transactions.unload(is_here);
    }

    /// Reads the transactional ids of a partition of `__transaction_state` back from the log: the markers of what was prepared
    /// are written again.
    pub(super) fn load_transactions_of(&mut self, partition: PartitionId, now: Timestamp) -> Moved {
        let mut moved = Vec::new();
        let is_here = self.transactions_of(partition);
        let topic = self.cluster.topics().by_name(CoordinatorType::Transaction.topic());
        let replayed: Vec<_> = topic.into_iter().flat_map(|topic| self.logs.replay(topic, partition)).collect();
        self.with_transactions(now, &mut moved, |transactions, ctx, out| {
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

    /// Which transactional ids belong to a partition of `__transaction_state`.
    fn transactions_of(&self, partition: PartitionId) -> impl Fn(&str) -> bool + use<> {
        let topic = self.cluster.topics().by_name(CoordinatorType::Transaction.topic());
        let partitions = topic.map_or(0, |topic| topic.partitions().len());
        move |id| partition_for(id, partitions) == partition
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
            host: &mut CoordinatorNode {
                cluster: &self.cluster,
                isolation: &self.isolation,
                producer_ids: &mut self.producer_ids,
            },
        };
        let result = act(&mut self.transactions, &mut ctx, &mut effects);
        for effect in effects {
            match effect {
                Effect::Persist(record) => self.write_transaction(&record, now, moved),
                Effect::WriteMarkers(markers) => self.markers.push(markers),
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

/// The node that leads the partition of a transactional id.
#[derive(Debug)]
struct CoordinatorNode<'a> {
    cluster: &'a Cluster,
    isolation: &'a Isolation,
    producer_ids: &'a mut ProducerIds,
}

impl txn::Host for CoordinatorNode<'_> {
    fn producer_id(&mut self, transactional_id: &str) -> Result<i64, ResponseError> {
        let coordinator = self.cluster.coordinator(CoordinatorType::Transaction, transactional_id);
        let node = coordinator.ok_or(ResponseError::CoordinatorNotAvailable)?.id;
        self.producer_ids.next(node)
    }

    fn admit(&self, record: &Record) -> Result<(), ResponseError> {
        let Some(topic) = self.cluster.topics().by_name(CoordinatorType::Transaction.topic()) else { return Ok(()) };
        let id = partition_for(&record.transactional_id, topic.partitions().len());
        let is_cut_off = topic.partition(id).is_some_and(|partition| self.isolation.cuts_off(partition));
        if is_cut_off || !topic.has_enough_in_sync(id) {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let max_bytes = usize::try_from(topic.config().max_message_bytes).unwrap_or(0);
        // The headers, and all numbers and lengths but those of partitions, take less than this.
        let bound = 200 + record.transactional_id.len() + record.metadata.as_ref().map_or(0, named_bytes);
        let is_small = bound <= max_bytes || {
            let transaction_version = self.cluster.features().level(txn::FEATURE);
            let record = CoordinatorRecord { key: record.key(), value: record.value(transaction_version) };
            batch_of_transaction(&record, Timestamp::from_millis(0)).is_ok_and(|batch| batch.size_bytes() <= max_bytes)
        };
        if is_small { Ok(()) } else { Err(ResponseError::UnknownServerError) }
    }
}

/// No less than the partitions of a transaction take in its record.
fn named_bytes(metadata: &txn::Metadata) -> usize {
    metadata.partitions.iter().map(|at| at.topic.len() + 16).sum()
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
        let (mut state, id, producer, partitions) = open();
        state.hold_markers(true);
        end(&mut state, &id, producer).unwrap();
        assert_eq!((state.has_markers(), state.write_markers(NOW)), (false, Vec::new()));
        assert_eq!(end(&mut state, &id, producer), Err(ResponseError::ConcurrentTransactions));
        let expected: Vec<_> = partitions.into_iter().map(Some).chain([None]).collect();
        let pending: Vec<_> = state.pending_steps().map(|(_, partition)| partition).collect();
        assert_eq!(pending, expected, "a marker for each partition, then the record that all are written");
        for partition in expected {
            assert_eq!(transaction_state(&state, &id), TransactionState::PrepareCommit);
            let mut moved = Vec::new();
            assert_eq!(state.take_step(None, NOW, &mut moved).unwrap().1, partition);
            assert_eq!(moved.len(), 1, "{partition:?}");
        }
        assert_eq!(transaction_state(&state, &id), TransactionState::CompleteCommit);
        assert_eq!(state.take_step(None, NOW, &mut Vec::new()), None);
        state.hold_markers(false);
        assert!(!state.has_markers());
    }

    #[test]
    fn a_marker_that_fails_is_tried_again_unless_its_coordinator_is_fenced() {
        // TransactionMarkerRequestCompletionHandler.
        let (mut state, id, producer, _) = open();
        state.hold_markers(true);
        end(&mut state, &id, producer).unwrap();
        let mut moved = Vec::new();
        for error in [ResponseError::NotEnoughReplicas, ResponseError::NotLeaderOrFollower] {
            state.take_step(Some(error), NOW, &mut moved).unwrap();
            assert_eq!((moved.len(), state.pending_steps().count()), (0, 3));
        }
        state.take_step(Some(ResponseError::InvalidProducerEpoch), NOW, &mut moved).unwrap();
        assert_eq!((moved.len(), state.pending_steps().count()), (0, 0));
        assert_eq!(transaction_state(&state, &id), TransactionState::PrepareCommit, "for good, as in Kafka");
        let topic = state.cluster.topics().by_name("__transaction_state").unwrap();
        let (topic_id, partition) = (topic.id(), partition_for(&id, topic.partitions().len()));
        state.begin_loading(topic_id, partition, NOW);
        state.finish_loading(NOW);
        assert_eq!(state.pending_steps().count(), 3, "or until another coordinator takes it up");
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
        state.begin_loading(topic_id, partition, NOW);
        state.finish_loading(NOW);
        assert_eq!(transaction_state(&state, &id), TransactionState::PrepareCommit);
        assert_eq!(state.write_markers(NOW).len(), 3);
        assert_eq!(transaction_state(&state, &id), TransactionState::CompleteCommit);
        let log = state.logs.partition(state.cluster.topics().id("t").unwrap(), PartitionId(0)).unwrap();
        assert_eq!((log.log_end_offset(), log.last_stable_offset()), (1, 1));
        assert_eq!(log.aborted_transactions(0, 1), Vec::<AbortedTransaction>::new());
    }
}
