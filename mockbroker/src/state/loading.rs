//! Coordinators that have to read their log first. Whoever begins to lead a partition of a coordinator's topic knows nothing of
//! what it holds until it has read it, and says COORDINATOR_LOAD_IN_PROGRESS meanwhile.
//!
//! What the node before coordinated is given up at once; the log is read a moment later ([`State::finish_loading`], which the
//! engine calls as it does with markers), or when the test that holds loading back says so. A partition of a topic that has
//! just been created is empty, and needs no reading.
//!
//! Source: `CoordinatorRuntime.CoordinatorState`, `TransactionStateManager.loadingPartitions`.

use std::collections::VecDeque;

use super::{Outcome, State};
use crate::cluster::{CoordinatorType, partition_for};
use crate::group;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, TopicId};

/// Partitions whose leader has not read them yet, in the order in which they are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Loading {
    waiting: VecDeque<(TopicId, PartitionId)>,
    /// How many hold the loading back.
    holders: usize,
}

impl Loading {
    /// The same for another engine, where nobody holds anything back.
    pub(super) fn fork(&self) -> Self {
        Self { waiting: self.waiting.clone(), holders: 0 }
    }

    /// The topic is gone.
    pub(super) fn forget(&mut self, topic_id: TopicId) {
        self.waiting.retain(|(waiting, _)| *waiting != topic_id);
    }
}

impl State {
    /// Another node leads a partition, or the same one anew, or nobody. If coordinators keep their state in it, what they knew is
    /// given up, and is to be read back from the log if somebody leads it. What they had not written is lost, as in Kafka.
    pub(crate) fn begin_loading(
        &mut self,
        topic_id: TopicId,
        partition: PartitionId,
        now: Timestamp,
    ) -> Outcome<group::Response> {
        let at = (topic_id, partition);
        self.loading.waiting.retain(|waiting| *waiting != at);
        let Some(topic) = self.cluster.topics().by_id(topic_id) else { return Outcome::default() };
        let Some(kind) = CoordinatorType::of_topic(topic.name()) else { return Outcome::default() };
        if kind == CoordinatorType::Share {
            return Outcome::default();
        }
        if topic.partition(partition).is_some_and(|partition| partition.leader().is_some()) {
            self.loading.waiting.push_back(at);
        }
        if kind == CoordinatorType::Group {
            return self.give_up_groups(partition, now);
        }
        self.give_up_transactions(partition);
        Outcome::default()
    }

    /// Whether the coordinator of `key` has not read its log yet.
    pub(crate) fn is_loading(&self, kind: CoordinatorType, key: &str) -> bool {
        if self.loading.waiting.is_empty() {
            return false;
        }
        let Some(topic) = self.cluster.topics().by_name(kind.topic()) else { return false };
        self.loading.waiting.contains(&(topic.id(), partition_for(key, topic.partitions().len())))
    }

    /// Whether `node` leads a partition of the topic of coordinators that it has not read yet.
    pub(crate) fn is_any_loading(&self, kind: CoordinatorType, node: NodeId) -> bool {
        let Some(topic) = self.cluster.topics().by_name(kind.topic()) else { return false };
        let of_topic = self.loading.waiting.iter().filter(|(topic_id, _)| *topic_id == topic.id());
        let mut leaders = of_topic.filter_map(|(_, partition)| topic.partition(*partition)?.leader());
        leaders.any(|leader| leader == node)
    }

    /// Whether a partition is one of a coordinator that has not read it yet.
    pub(crate) fn is_loading_partition(&self, topic_id: TopicId, partition: PartitionId) -> bool {
        self.loading.waiting.contains(&(topic_id, partition))
    }

    /// Whether [`State::finish_loading`] has something to do.
    pub(crate) fn has_loads(&self) -> bool {
        self.loading.holders == 0 && !self.loading.waiting.is_empty()
    }

    /// One more holds the loading back, or one fewer.
    pub(crate) fn hold_loading(&mut self, holds: bool) {
        let holders = &mut self.loading.holders;
        *holders = if holds { *holders + 1 } else { holders.saturating_sub(1) };
    }

    /// The partitions that are still to be read, in the order in which they are.
    pub(crate) fn pending_loads(&self) -> impl Iterator<Item = (TopicId, PartitionId)> + '_ {
        self.loading.waiting.iter().copied()
    }

    /// Reads all that is to be read, unless that is held back.
    pub(crate) fn finish_loading(&mut self, now: Timestamp) -> Outcome<group::Response> {
        let mut outcome = Outcome::default();
        while self.has_loads() {
            let Some((_, loaded)) = self.load_next(now) else { break };
            outcome.answers.extend(loaded.answers);
            outcome.moved.extend(loaded.moved);
        }
        outcome
    }

    /// Reads the partition that waits longest, held back or not. Returns which it was, and what came of it.
    pub(crate) fn load_next(&mut self, now: Timestamp) -> Option<((TopicId, PartitionId), Outcome<group::Response>)> {
        let (topic_id, partition) = self.loading.waiting.pop_front()?;
        let name = self.cluster.topics().by_id(topic_id).map(|topic| topic.name().0.clone());
        let outcome = if name.as_deref() == Some(CoordinatorType::Group.topic()) {
            self.load_groups_of(partition, now)
        } else {
            Outcome { answers: Vec::new(), moved: self.load_transactions_of(partition, now) }
        };
        Some(((topic_id, partition), outcome))
    }
}
