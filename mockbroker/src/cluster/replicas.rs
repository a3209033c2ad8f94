//! Logical replication: there is one log for each partition, and of every replica that lacks some of it, how far it has it.
//!
//! A replica that is not listed here has the whole log: it fetches what is written in the moment in which it is. Listed are
//! those that a test holds back and those whose node is down. What a replica wrote as a leader that nobody else had, and that
//! a later leader cut off, is not kept here: it has the log up to where the two agree. A leader that does not know of the later
//! one has it in a state of its own (`state::isolation`).
//!
//! Source: `Partition.maybeIncrementLeaderHW`, `maybeShrinkIsr`, `isFollowerInSync`; `Replica.ReplicaState.isCaughtUp`.

use std::collections::BTreeMap;

use super::{Cluster, Election, Partition, PlannedPartition, Topic};
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

/// How a test holds a replica back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBack {
    /// It fetches nothing.
    Stopped,
    /// It stays this many offsets behind the end of the log.
    Behind(i64),
    /// It does not reach whoever leads.
    Unreachable,
}

/// A replica that lacks some of the log, or may do so soon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Late {
    end_offset: i64,
    /// When it last had all that its leader had.
    caught_up: Timestamp,
    /// `None` while it is only its node that is down.
    held: Option<HeldBack>,
}

/// The replicas that lack something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicas {
    late: BTreeMap<(TopicId, PartitionId), BTreeMap<NodeId, Late>>,
}

impl Replicas {
    /// Whether no replica lacks anything.
    pub(crate) fn all_have_all(&self) -> bool {
        self.late.is_empty()
    }

    /// Up to where the replica has the log, if it lacks something.
    pub(crate) fn end_offset(&self, topic_id: TopicId, partition: PartitionId, node: NodeId) -> Option<i64> {
        Some(self.late.get(&(topic_id, partition))?.get(&node)?.end_offset)
    }

    /// Notes that the replica has the log up to its present end and, if it is held back, gets no more than that allows.
    pub(crate) fn hold(
        &mut self,
        (topic_id, partition): (TopicId, PartitionId),
        node: NodeId,
        held: Option<HeldBack>,
        log_end_offset: i64,
        now: Timestamp,
    ) {
        let replicas = self.late.entry((topic_id, partition)).or_default();
        let late = Late { end_offset: log_end_offset, caught_up: now, held };
        let entry = replicas.entry(node).or_insert(late);
        // What a test says of the replica itself comes first.
        if held.is_some_and(|held| held != HeldBack::Unreachable) || entry.held.is_none() {
            entry.held = held;
        }
    }

    /// Holds a replica back no longer: it has everything again if it `can_fetch` now, else as soon as it can.
    pub(crate) fn release(&mut self, at: (TopicId, PartitionId), node: NodeId, can_fetch: bool) {
        let Some(replicas) = self.late.get_mut(&at) else { return };
        match replicas.get_mut(&node) {
            Some(late) if !can_fetch => late.held = None,
            _ => drop(replicas.remove(&node)),
        }
        if replicas.is_empty() {
            self.late.remove(&at);
        }
    }

    /// Replicas that did not reach their leaders do now.
    pub(crate) fn reach(&mut self) {
        for late in self.late.values_mut().flat_map(BTreeMap::values_mut) {
            late.held = late.held.filter(|held| *held != HeldBack::Unreachable);
        }
    }

    /// The log was cut at `end_offset`, and `leader` has all of it.
    pub(crate) fn truncate(&mut self, at: (TopicId, PartitionId), leader: NodeId, end_offset: i64) {
        let Some(replicas) = self.late.get_mut(&at) else { return };
        replicas.remove(&leader);
        for late in replicas.values_mut() {
            late.end_offset = late.end_offset.min(end_offset);
        }
        if replicas.is_empty() {
            self.late.remove(&at);
        }
    }

    /// The log was appended to: replicas that are held some way behind fetch up to there.
    /// Batches are fetched whole: `boundary` is where the one begins that holds an offset.
    pub(crate) fn advance(
        &mut self,
        at: (TopicId, PartitionId),
        log_end_offset: i64,
        now: Timestamp,
        boundary: impl Fn(i64) -> i64,
    ) {
        for late in self.late.get_mut(&at).into_iter().flat_map(BTreeMap::values_mut) {
            if let Some(HeldBack::Behind(records)) = late.held {
                late.end_offset = late.end_offset.max(boundary(log_end_offset - records));
            }
            if late.end_offset == log_end_offset {
                late.caught_up = now;
            }
        }
    }

    /// The replica's topic is gone.
    pub(crate) fn forget(&mut self, topic_id: TopicId) {
        self.late.retain(|(topic, _), _| *topic != topic_id);
    }

    /// Up to where every replica of `isr` has the log but for `leader`, if one of them lacks something.
    fn in_sync_end(&self, at: (TopicId, PartitionId), partition: &Partition) -> Option<i64> {
        let counts = |node: &NodeId| partition.isr().contains(node) && partition.leader() != Some(*node);
        let late = self.late.get(&at)?.iter();
        late.filter(|(node, _)| counts(node)).map(|(_, late)| late.end_offset).min()
    }
}

impl Cluster {
    /// What replicas lack.
    pub(crate) fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// The same, to change it.
    pub(crate) fn replicas_mut(&mut self) -> &mut Replicas {
        &mut self.replicas
    }

    /// How far the high watermark may go that is at `high_watermark` now: as far as every replica in sync has the log, and no
    /// further at all if there are too few of them (KIP-966). `None` is the end of the log.
    pub(crate) fn high_watermark_bound(&self, topic_id: TopicId, id: PartitionId, high_watermark: i64) -> Option<i64> {
        let topic = self.topics.by_id(topic_id)?;
        let partition = topic.partition(id)?;
        if partition.isr().len() < min_insync_replicas(topic, partition) {
            return Some(high_watermark);
        }
        self.replicas.in_sync_end((topic_id, id), partition)
    }

    /// Every replica that nobody holds back, whose node is up and whose partition has a leader, has everything again.
    pub(crate) fn release_replicas(&mut self) {
        let (topics, nodes) = (&self.topics, &self.nodes);
        self.replicas.late.retain(|(topic_id, id), replicas| {
            let partition = topics.by_id(*topic_id).and_then(|topic| topic.partition(*id));
            let has_leader = partition.is_some_and(|partition| partition.leader().is_some());
            let is_up = |node: &NodeId| nodes.get(node).is_some_and(|node| node.alive);
            replicas.retain(|node, late| late.held.is_some() || !has_leader || !is_up(node));
            !replicas.is_empty()
        });
    }

    /// When leaders next look for replicas that are too far behind: twice in `replica.lag.time.max.ms`, while there are any.
    pub(crate) fn next_look_at_replicas(&self, last: Timestamp) -> Timestamp {
        if self.replicas.all_have_all() {
            return Timestamp::MAX;
        }
        last.plus_millis((self.settings().replica_lag_time_max_ms / 2).max(1))
    }

    /// What becomes of the partitions whose replicas lack something for longer than `replica.lag.time.max.ms`.
    pub(crate) fn shrink_in_sync(
        &self,
        now: Timestamp,
        log_end: impl Fn(TopicId, PartitionId) -> i64,
    ) -> Vec<PlannedPartition> {
        let max_lag_ms = self.settings().replica_lag_time_max_ms;
        let mut planned = Vec::new();
        for (&(topic_id, id), replicas) in &self.replicas.late {
            let Some(topic) = self.topics.by_id(topic_id) else { continue };
            let Some(before) = topic.partition(id).filter(|partition| partition.leader().is_some()) else { continue };
            let end = log_end(topic_id, id);
            let is_out = |node: &NodeId, late: &Late| {
                before.leader() != Some(*node)
                    && late.end_offset != end
                    && now.as_millis() - late.caught_up.as_millis() > max_lag_ms
            };
            let out: Vec<_> =
                replicas.iter().filter(|(node, late)| is_out(node, late)).map(|(node, _)| *node).collect();
            let next = self.with_rules(topic, id, |rules| before.without_in_sync(&out, Election::Online, rules));
            if next != *before {
                planned.push(PlannedPartition { topic_id, partition: id, next });
            }
        }
        planned
    }

    /// What becomes of a partition now that its replicas may have caught up.
    pub(crate) fn expand_in_sync_of(&self, topic_id: TopicId, id: PartitionId) -> Option<PlannedPartition> {
        let topic = self.topics.by_id(topic_id)?;
        let before = topic.partition(id)?;
        let next = self.with_rules(topic, id, |rules| before.clone().caught_up(rules));
        (next != *before).then_some(PlannedPartition { topic_id, partition: id, next })
    }
}

/// How many replicas have to be in sync: `min.insync.replicas`, at most as many as there are.
pub(crate) fn min_insync_replicas(topic: &Topic, partition: &Partition) -> usize {
    usize::try_from(topic.config().min_insync_replicas).unwrap_or(0).min(partition.replicas().len())
}
