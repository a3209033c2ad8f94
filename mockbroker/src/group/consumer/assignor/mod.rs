//! The two server-side assignors: who reads which partition. Pure: (members, subscriptions, current target) to a target.
//!
//! Neither looks at racks: Kafka's do not since 4.0. `evidence` holds their results to those of Kafka's own.

mod heterogeneous;
mod order;
mod range;
mod uniform;

#[cfg(test)]
mod evidence;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::record::Partitions;
use crate::types::{PartitionId, TopicId};

/// A server-side assignor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// Balanced first, sticky second.
    Uniform,
    /// Contiguous ranges of each topic, in the order of the members; the same numbers of each topic go together.
    Range,
}

impl Assignor {
    /// All, in the order of the default of `group.consumer.assignors`.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// By what it is known in requests and configs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor called `name`.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The assignor that `group.consumer.assignors` calls `name`: as in requests, or by Kafka's class.
    pub(crate) fn by_config(name: &str) -> Option<Self> {
        match name.strip_prefix("org.apache.kafka.coordinator.group.assignor.") {
            Some("UniformAssignor") => Some(Self::Uniform),
            Some("RangeAssignor") => Some(Self::Range),
            _ => Self::by_name(name),
        }
    }

    /// Who is to have which partitions. Every partition of a topic that anyone is subscribed to has exactly one owner.
    pub(super) fn assign(self, group: &GroupSpec<'_>) -> BTreeMap<String, Partitions> {
        match self {
            Self::Range => range::assign(group),
            Self::Uniform if group.is_homogeneous => uniform::assign(group),
            Self::Uniform => heterogeneous::assign(group),
        }
    }
}

/// A member, as an assignor sees it.
#[derive(Debug)]
pub(super) struct MemberSpec<'a> {
    pub(super) instance_id: Option<&'a str>,
    /// The topics that it is subscribed to and that exist.
    pub(super) subscribed: BTreeSet<TopicId>,
    /// What the last target gave it.
    pub(super) assigned: Option<&'a Partitions>,
}

/// A group, as an assignor sees it.
#[derive(Debug, Default)]
pub(super) struct GroupSpec<'a> {
    pub(super) members: BTreeMap<&'a str, MemberSpec<'a>>,
    /// How many partitions each subscribed topic has.
    pub(super) partition_counts: BTreeMap<TopicId, i32>,
    /// How many names are subscribed to, of topics that exist and of others.
    pub(super) subscribed_names: usize,
    /// Whether all members are subscribed in the same way, as Kafka finds out (`ConsumerGroup.subscriptionType`).
    pub(super) is_homogeneous: bool,
    /// The member that has just come.
    pub(super) newest: Option<&'a str>,
}

impl GroupSpec<'_> {
    fn partition_count(&self, topic_id: TopicId) -> i32 {
        self.partition_counts.get(&topic_id).copied().unwrap_or(0)
    }

    /// What `member` has of its last target that it may keep: subscribed topics, partitions that exist.
    fn kept(&self, member: &MemberSpec<'_>) -> BTreeSet<(TopicId, PartitionId)> {
        let topics = member.assigned.into_iter().flatten().filter(|(topic_id, _)| member.subscribed.contains(topic_id));
        let all = topics.flat_map(|(topic_id, partitions)| partitions.iter().map(|partition| (*topic_id, *partition)));
        all.filter(|(topic_id, partition)| partition.0 < self.partition_count(*topic_id)).collect()
    }

    /// All partitions of all subscribed topics, in order.
    fn all_partitions(&self) -> impl Iterator<Item = (TopicId, PartitionId)> {
        let topics = self.partition_counts.iter();
        topics.flat_map(|(topic_id, count)| (0..*count).map(|partition| (*topic_id, PartitionId(partition))))
    }
}

/// Sets of partitions as a target has them.
fn target_of(members: BTreeMap<&str, BTreeSet<(TopicId, PartitionId)>>) -> BTreeMap<String, Partitions> {
    let by_topic = |partitions: BTreeSet<(TopicId, PartitionId)>| {
        let mut by_topic = Partitions::new();
        for (topic_id, partition) in partitions {
            by_topic.entry(topic_id).or_default().insert(partition);
        }
        by_topic
    };
    members.into_iter().map(|(member_id, partitions)| (member_id.to_owned(), by_topic(partitions))).collect()
}
