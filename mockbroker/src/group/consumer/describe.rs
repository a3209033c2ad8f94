//! What ConsumerGroupDescribe shows of a group. Who may see it is not decided here.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{AssignedPartitions, Partitions};
use super::state::Member;
use super::topics::TopicCatalog;
use super::{ConsumerConfig, ConsumerGroup, ConsumerGroupState};
use crate::types::{PartitionId, TopicId};

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedGroup {
    pub(crate) group_id: String,
    pub(crate) group_state: ConsumerGroupState,
    pub(crate) group_epoch: i32,
    pub(crate) assignment_epoch: i32,
    pub(crate) assignor_name: &'static str,
    /// In the order of their ids; Kafka's order is that of a hash map.
    pub(crate) members: Vec<DescribedMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) member_epoch: i32,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) subscribed_topic_names: Vec<String>,
    pub(crate) subscribed_topic_regex: Option<String>,
    /// What it has, with what it must still give up.
    pub(crate) assignment: Vec<DescribedPartitions>,
    pub(crate) target_assignment: Vec<DescribedPartitions>,
    /// 0 speaks the classic protocol, 1 the consumer protocol (KIP-1099).
    pub(crate) member_type: i8,
}

/// Partitions of a topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedPartitions {
    pub(crate) topic_id: TopicId,
    pub(crate) topic_name: String,
    pub(crate) partitions: Vec<PartitionId>,
}

impl ConsumerGroup {
    /// The group with its members. Partitions of topics that do not exist any more are left out.
    pub(crate) fn describe(&self, topics: &dyn TopicCatalog, config: &ConsumerConfig) -> DescribedGroup {
        let members = self.hard.members().iter();
        DescribedGroup {
            group_id: self.group_id.clone(),
            group_state: self.state(),
            group_epoch: self.hard.group_epoch(),
            assignment_epoch: self.hard.assignment_epoch(),
            assignor_name: self.preferred_assignor(config).name(),
            members: members.map(|(id, member)| describe(topics, id, member, self.hard.target(id))).collect(),
        }
    }
}

fn describe(
    topics: &dyn TopicCatalog,
    member_id: &str,
    member: &Member,
    target: Option<&Partitions>,
) -> DescribedMember {
    let Member { metadata, assignment } = member;
    let mut has = BTreeMap::new();
    for part in [&assignment.assigned_partitions, &assignment.partitions_pending_revocation] {
        accumulate(&mut has, part);
    }
    DescribedMember {
        member_id: member_id.to_owned(),
        instance_id: metadata.instance_id.clone(),
        rack_id: metadata.rack_id.clone(),
        member_epoch: assignment.member_epoch,
        client_id: metadata.client_id.clone(),
        client_host: metadata.client_host.clone(),
        subscribed_topic_names: metadata.subscribed_topic_names.iter().cloned().collect(),
        subscribed_topic_regex: metadata.subscribed_topic_regex.clone(),
        assignment: named(topics, &has),
        target_assignment: target.map(|target| named(topics, target)).unwrap_or_default(),
        member_type: i8::from(!member.uses_classic_protocol()),
    }
}

fn accumulate(all: &mut BTreeMap<TopicId, BTreeSet<PartitionId>>, more: &AssignedPartitions) {
    for (topic_id, partitions) in more {
        all.entry(*topic_id).or_default().extend(partitions.keys());
    }
}

fn named(topics: &dyn TopicCatalog, partitions: &Partitions) -> Vec<DescribedPartitions> {
    let of_topic = |(topic_id, partitions): (&TopicId, &BTreeSet<PartitionId>)| {
        let topic_name = topics.name(*topic_id)?.to_owned();
        Some(DescribedPartitions { topic_id: *topic_id, topic_name, partitions: partitions.iter().copied().collect() })
    };
    partitions.iter().filter_map(of_topic).collect()
}
