//! Who is near what: the racks of members, and those of the replicas of partitions (KIP-881).
//!
//! Source: `AbstractPartitionAssignor.useRackAwareAssignment`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Member;
use crate::{cluster::metadata::PartitionRacks, record::TopicPartition};

/// The racks that an assignment goes by. Empty if it goes by none.
#[derive(Debug, Default)]
pub(super) struct Racks<'a> {
    of_members: BTreeMap<&'a str, &'a str>,
    of_topics: BTreeMap<&'a str, &'a PartitionRacks>,
}

impl<'a> Racks<'a> {
    /// What is known of these members and topics, be it of use or not.
    pub(super) fn known(
        members: impl IntoIterator<Item = &'a Member>,
        topics: impl IntoIterator<Item = (&'a Arc<str>, &'a PartitionRacks)>,
    ) -> Self {
        let rack = |member: &'a Member| {
            let rack = member.subscription.rack_id.as_deref().filter(|rack| !rack.is_empty())?;
            Some((member.member_id.as_str(), rack))
        };
        let of_members = members.into_iter().filter_map(rack).collect();
        Self { of_members, of_topics: topics.into_iter().map(|(topic, racks)| (&**topic, racks)).collect() }
    }

    /// Whether any member said where it is.
    pub(super) fn has_members(&self) -> bool {
        !self.of_members.is_empty()
    }

    /// Whether to go by racks makes a difference for topics with these numbers of partitions: some members have a replica
    /// near, and not every partition has one in every rack.
    pub(super) fn matter<'b>(&self, counts: impl IntoIterator<Item = (&'b Arc<str>, i32)>) -> bool {
        if !self.has_members() {
            return false;
        }
        let partitions: Vec<&BTreeSet<Arc<str>>> =
            counts.into_iter().flat_map(|(topic, count)| (0..count).map(|of| self.of_number(topic, of))).collect();
        let all: BTreeSet<&Arc<str>> = partitions.iter().copied().flatten().collect();
        let near = self.of_members.values().any(|rack| all.iter().any(|of| &***of == *rack));
        near && partitions.iter().any(|racks| racks.len() < all.len())
    }

    /// Whether the member has a replica near, or does not mind.
    pub(super) fn match_for(&self, member_id: &str, partition: &TopicPartition) -> bool {
        self.of_members.get(member_id).is_none_or(|rack| self.of(partition).contains(*rack))
    }

    /// Whether the member has a replica near.
    pub(super) fn are_near(&self, member_id: &str, partition: &TopicPartition) -> bool {
        self.of_members.get(member_id).is_some_and(|rack| self.of(partition).contains(*rack))
    }

    /// How many members have a replica near.
    pub(super) fn members_near(&self, partition: &TopicPartition) -> usize {
        let racks = self.of(partition);
        self.of_members.values().filter(|rack| racks.contains(**rack)).count()
    }

    fn of(&self, partition: &TopicPartition) -> &BTreeSet<Arc<str>> {
        self.of_number(&partition.topic, partition.partition)
    }

    fn of_number(&self, topic: &str, partition: i32) -> &BTreeSet<Arc<str>> {
        static NOWHERE: BTreeSet<Arc<str>> = BTreeSet::new();
        let racks = self.of_topics.get(topic);
        racks.and_then(|racks| racks.get(usize::try_from(partition).ok()?)).unwrap_or(&NOWHERE)
    }
}
