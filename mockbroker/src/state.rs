//! The whole state of the cluster: what sits behind the engine's one lock. A composition of the core, no rules.
//!
//! `groups`, `transactions`: how each coordinator and its log go together; `loading`: when it reads it; `markers`: how transactions end in other logs;
//! `nodes`: what happens when a node crashes; `isolation`: when the others do not hear of it; `operations`: what a test does by one call; `replicas`: what replicas lack.

mod groups;
mod isolation;
mod loading;
mod markers;
mod nodes;
mod operations;
mod replicas;
mod seeding;
mod transactions;

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use crate::cluster::{
    Cluster, FetchSessions, Finished, NewTopic, Partition, PartitionFacts, PlannedPartition, PlannedTopic, ProducerIds,
    SessionContext, SessionRequest, WantedPartition, telemetry::Telemetry,
};
use crate::group::{self, GroupCoordinator};
use crate::held::HeldFetches;
use crate::ids::IdSource;
use crate::logs::{CleaningRound, Logs, Retained};
use crate::time::Timestamp;
use crate::txn::TransactionCoordinator;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};
use crate::unacked::UnackedProduces;

pub(crate) use self::groups::Outcome;
use self::isolation::Isolation;
use self::loading::Loading;
use self::markers::MarkerQueue;
pub(crate) use self::markers::Step;
pub(crate) use self::replicas::Changed;
pub(crate) use self::seeding::Seed;
pub(crate) use self::transactions::Moved;

/// Everything the cluster knows.
#[derive(Debug)]
pub(crate) struct State {
    /// Nodes, topics, configs, features.
    pub(crate) cluster: Cluster,
    /// What the partitions hold.
    pub(crate) logs: Logs,
    /// Fetches that wait for data.
    pub(crate) held: HeldFetches,
    /// Produces that wait for replicas.
    pub(crate) unacked: UnackedProduces,
    /// Who is in which group, and what groups have committed. To be read; what changes it is in [`State::step_groups`] and
    /// its like.
    pub(crate) groups: GroupCoordinator,
    /// Clients that tell of themselves.
    pub(crate) telemetry: Telemetry,
    /// How far transactions are. To be read; what changes it is in [`State::step_transactions`] and its like.
    pub(crate) transactions: TransactionCoordinator,
    markers: MarkerQueue,
    loading: Loading,
    /// Which node has which ids for producers.
    pub(crate) producer_ids: ProducerIds,
    /// Where new ids come from.
    pub(crate) ids: IdSource,
    next_ticket: u64,
    /// Whether what is asked for first takes a moment.
    pub(crate) is_cold: bool,
    sessions: BTreeMap<NodeId, FetchSessions>,
    isolation: Isolation,
}

impl State {
    /// A cluster without topics.
    pub(crate) fn new(cluster: Cluster, ids: IdSource) -> Self {
        Self {
            cluster,
            logs: Logs::default(),
            held: HeldFetches::default(),
            unacked: UnackedProduces::default(),
            groups: GroupCoordinator::default(),
            telemetry: Telemetry::default(),
            transactions: TransactionCoordinator::default(),
            markers: MarkerQueue::default(),
            loading: Loading::default(),
            producer_ids: ProducerIds::default(),
            ids,
            next_ticket: 0,
            is_cold: false,
            sessions: BTreeMap::new(),
            isolation: Isolation::default(),
        }
    }

    /// Lets the cluster begin as one that has just been installed: topics of coordinators and blocks of producer ids take it a
    /// moment, in which whoever asks is told to come back.
    pub(crate) fn begin_cold(&mut self) {
        self.is_cold = true;
        self.producer_ids = ProducerIds::new(true);
    }

    /// The same state for another engine: nobody is connected to it, so nobody waits and no fetch session goes on.
    pub(crate) fn fork(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            logs: self.logs.clone(),
            held: HeldFetches::default(),
            unacked: UnackedProduces::default(),
            groups: self.groups.clone(),
            telemetry: self.telemetry.clone(),
            transactions: self.transactions.clone(),
            markers: self.markers.clone(),
            loading: self.loading.fork(),
            producer_ids: self.producer_ids.clone(),
            ids: self.ids.clone(),
            next_ticket: self.next_ticket,
            is_cold: self.is_cold,
            sessions: BTreeMap::new(),
            isolation: self.isolation.fork(),
        }
    }

    /// The earliest instant at which something is due of what requests, groups and transactions wait for.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let held = self.held.next_deadline().unwrap_or(Timestamp::MAX);
        let unacked = self.unacked.next_deadline().unwrap_or(Timestamp::MAX);
        let groups = self.groups.next_deadline().unwrap_or(Timestamp::MAX);
        let transactions = self.transactions.next_deadline().unwrap_or(Timestamp::MAX);
        held.min(unacked).min(groups).min(transactions)
    }

    /// A ticket for a request that may have to wait.
    pub(crate) fn new_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Begins a fetch in the sessions of `node`, and finds out which topics its names stand for now.
    pub(crate) fn begin_fetch(
        &mut self,
        node: NodeId,
        request: SessionRequest,
        now: Timestamp,
    ) -> Result<(SessionContext, Vec<WantedPartition>), ResponseError> {
        let slots = self.cluster.settings().max_incremental_fetch_session_cache_slots;
        let sessions = self.sessions.entry(node).or_insert_with(|| FetchSessions::new(slots));
        let (context, mut partitions) = sessions.begin(request, now)?;
        let topics = self.cluster.topics();
        for wanted in &mut partitions {
            if !wanted.topic.is_empty() {
                wanted.topic_id = topics.by_name(&wanted.topic).map_or(TopicId::ZERO, |topic| topic.id());
            }
            wanted.topic_was_known |= topics.by_id(wanted.topic_id).is_some();
        }
        Ok((context, partitions))
    }

    /// Ends a fetch in the sessions of `node`.
    pub(crate) fn finish_fetch(
        &mut self,
        node: NodeId,
        context: &SessionContext,
        partitions: &[WantedPartition],
        facts: &[PartitionFacts],
        now: Timestamp,
    ) -> Finished {
        let sessions = self.sessions.get_mut(&node).expect("the fetch began in these sessions");
        sessions.finish(context, partitions, facts, now, || self.ids.positive_i32())
    }

    /// Deletes what retention says is old in the logs that are not compacted. Returns the partitions whose log start
    /// moved.
    pub(crate) fn retain(&mut self, now: Timestamp) -> Vec<(TopicId, PartitionId)> {
        self.retain_in(now, Retained::NotCompacted)
    }

    /// The same in those that are.
    pub(crate) fn retain_compacted(&mut self, now: Timestamp) -> Vec<(TopicId, PartitionId)> {
        self.retain_in(now, Retained::Compacted)
    }

    fn retain_in(&mut self, now: Timestamp, kind: Retained) -> Vec<(TopicId, PartitionId)> {
        let topics = self.cluster.topics();
        self.logs.retain(now, kind, |topic_id| topics.by_id(topic_id).map(|topic| topic.config().clone()))
    }

    /// A round of compaction of the dirtiest log, if one is dirty enough.
    pub(crate) fn begin_cleaning(&self, now: Timestamp) -> Option<CleaningRound> {
        let topics = self.cluster.topics();
        self.logs.begin_cleaning(now, |topic_id| topics.by_id(topic_id).map(|topic| topic.config().clone()))
    }

    /// Another node leads a partition, or the same anew: of its producers it knows what the log says.
    pub(crate) fn recover_log(&mut self, topic_id: TopicId, partition: PartitionId, now: Timestamp) {
        let expiration_ms = self.cluster.settings().producer_id_expiration_ms;
        if let Some(log) = self.logs.partition_mut(topic_id, partition) {
            log.recover(now, expiration_ms);
        }
    }

    /// Forgets producers that have written nothing for `producer.id.expiration.ms`.
    pub(crate) fn expire_producers(&mut self, now: Timestamp) {
        let expiration_ms = self.cluster.settings().producer_id_expiration_ms;
        self.logs.expire_producers(now, expiration_ms);
    }
}

#[cfg(test)]
impl State {
    /// All that is no record is gone, as if every node had crashed; then everything is read back.
    pub(crate) fn crash_all(&mut self, now: Timestamp) {
        self.groups = GroupCoordinator::default();
        self.transactions = TransactionCoordinator::default();
        self.markers.give_up(|_| true);
        self.load_groups(now);
        self.begin_transactions(now);
        let topics = self.cluster.topics().iter();
        let of = |topic: &crate::cluster::Topic| (topic.id(), topic.partitions().len());
        let partitions: Vec<_> = topics.map(of).collect();
        for (topic_id, count) in partitions {
            for partition in (0..).map(PartitionId).take(count) {
                self.recover_log(topic_id, partition, now);
                let given_up = self.begin_loading(topic_id, partition, now);
                assert!(given_up.answers.is_empty(), "nobody waits: {given_up:?}");
            }
        }
        self.finish_loading(now);
    }
}

/// Topics that come and go, with their logs.
impl State {
    /// Creates what was planned.
    pub(crate) fn create_topic(&mut self, planned: PlannedTopic) -> TopicId {
        let partitions = planned.topic.partitions().len();
        let topic_id = self.cluster.add_topic(planned);
        self.logs.create(topic_id, partitions);
        topic_id
    }

    /// Creates a topic with the defaults of the cluster but for its number of partitions.
    ///
    /// # Errors
    /// Why it cannot be, in a sentence.
    pub(crate) fn create_topic_at_start(&mut self, name: &str, partitions: i32) -> Result<(), String> {
        let new = NewTopic { num_partitions: partitions, ..NewTopic::named(name) };
        let planned = self.cluster.plan_topic(&new, &mut self.ids);
        let planned = planned.map_err(|refusal| format!("topic {name:?}: {}", refusal.message.unwrap_or_default()))?;
        self.create_topic(planned);
        Ok(())
    }

    /// Creates a topic that a request asked for in passing. It may exist by now, or be impossible: as in Kafka, whoever
    /// asked sees from the next answer.
    pub(crate) fn auto_create(&mut self, name: &str) {
        match self.cluster.plan_auto_created(name, &mut self.ids) {
            Ok(planned) => {
                self.create_topic(planned);
            }
            Err(refusal) => tracing::debug!(topic = name, error = ?refusal, "the topic was not created"),
        }
    }

    /// Adds partitions that were planned.
    pub(crate) fn add_partitions(&mut self, topic_id: TopicId, partitions: Vec<Partition>) {
        self.cluster.add_partitions(topic_id, partitions);
        let count = self.cluster.topics().by_id(topic_id).map_or(0, |topic| topic.partitions().len());
        self.logs.create(topic_id, count);
    }

    /// Makes a partition what an election or a reassignment planned. A leader that begins anew begins its epoch in the log.
    ///
    /// Returns whether one does. Then held fetches are to look again, and what the partition coordinates, if it is one of
    /// an internal topic, is to be given up by the node that led and taken up from the log by the one that leads: the
    /// engine does both (`Effect::LeaderMoved`).
    pub(crate) fn move_leader(&mut self, planned: PlannedPartition, now: Timestamp) -> bool {
        let (topic_id, partition) = (planned.topic_id, planned.partition);
        if let Some(leader) = self.cluster.leader_before(&planned) {
            self.lead_without(leader, now);
        }
        let risen = self.cluster.change_partition(planned);
        if let Some(leader_epoch) = risen {
            self.cut_off(topic_id, partition);
            if let Some(log) = self.logs.partition_mut(topic_id, partition) {
                log.begin_leader_epoch(leader_epoch);
            }
        }
        self.replicate(topic_id, partition, now);
        risen.is_some()
    }

    /// Deletes a topic with all it holds, and what groups have committed of it.
    pub(crate) fn delete_topic(&mut self, topic_id: TopicId, now: Timestamp) -> Outcome<group::Response> {
        let name = self.cluster.topics().by_id(topic_id).map(|topic| topic.name().0.clone());
        self.cluster.remove_topic(topic_id);
        self.cluster.replicas_mut().forget(topic_id);
        self.logs.delete(topic_id);
        self.loading.forget(topic_id);
        name.map_or_else(Outcome::default, |name| self.groups_without_topic(name, now))
    }
}
