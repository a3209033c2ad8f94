//! Who gets which partition: computed by the member that leads a classic group, for all.
//!
//! Pure. The results are those of Kafka's Java assignors, because members of one group may be of either client.

mod java;
pub(crate) mod protocol;
mod racks;
mod range;
mod round_robin;
mod sticky;

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use self::protocol::Subscription;
use crate::{cluster::metadata::PartitionRacks, config::Assignor, record::TopicPartition};

impl Assignor {
    /// What the assignor tells itself about a member, through its subscription: from the last assignment, and its generation
    /// (-1 if there was none).
    pub(crate) fn user_data(self, last: &[TopicPartition], generation_id: i32) -> Option<Bytes> {
        match self {
            Self::Range | Self::RoundRobin => None,
            Self::Sticky | Self::CooperativeSticky => sticky::user_data(self, last, generation_id),
        }
    }

    /// What each member gets, by member id, for members in the order in which the broker named them.
    pub(crate) fn assign(self, members: &[Member], topics: &Topics) -> BTreeMap<String, Vec<TopicPartition>> {
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by(|a, b| a.order(b));
        match self {
            Self::Range => range::assign(&sorted, topics),
            Self::RoundRobin => round_robin::assign(&sorted, &topics.counts),
            Self::Sticky | Self::CooperativeSticky => sticky::assign(self, members, topics),
        }
    }
}

/// The topics that members subscribe to and that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics {
    /// How many partitions each has.
    pub(crate) counts: BTreeMap<Arc<str>, i32>,
    /// Where the replicas are of each that has some in racks.
    pub(crate) racks: BTreeMap<Arc<str>, PartitionRacks>,
}

/// A member as the leader knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    pub(crate) member_id: String,
    pub(crate) group_instance_id: Option<String>,
    pub(crate) subscription: Subscription,
}

impl Member {
    /// Static members first, by their instance ids; then the others by their member ids
    /// (`AbstractPartitionAssignor.MemberInfo.compareTo`).
    fn order(&self, other: &Self) -> Ordering {
        match (&self.group_instance_id, &other.group_instance_id) {
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => self.member_id.cmp(&other.member_id),
        }
    }

    fn subscribes(&self, topic: &str) -> bool {
        self.subscription.topics.iter().any(|name| **name == *topic)
    }
}

/// A member with nothing, for each.
fn nothing(members: &[&Member]) -> BTreeMap<String, Vec<TopicPartition>> {
    members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect()
}

#[cfg(test)]
mod tests;
