//! How far a group got, as it is told to whoever commits it: plain data between consumers, transactional producers and
//! stores of offsets, none of which knows the others.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use crate::record::TopicPartition;

/// A member of a group at one moment: what a transaction says when it commits the group's offsets (KIP-447). By it the group
/// refuses the commit of a member that is out of it, so one transactional id per process is enough, whatever partitions the
/// process has.
///
/// It also remembers which partitions the member had. Offsets of batches that were read under an earlier assignment are
/// refused before they are sent: the partition may have been with another member meanwhile.
///
/// Made by [`Consumer::group_metadata`](crate::Consumer::group_metadata). Take it when the offsets are sent, not before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// The generation of a classic group, the member's epoch otherwise.
    pub generation_id: i32,
    /// The name that the group gave the member.
    pub member_id: String,
    /// `group.instance.id`, for a static member.
    pub group_instance_id: Option<String>,
    /// The number of each partition's present assignment. `None` without a member: then nothing is checked.
    pub(crate) assignments: Option<Arc<BTreeMap<TopicPartition, u64>>>,
}

impl GroupMetadata {
    /// A group whose offsets are committed by nobody's authority: no member is checked (`generation.id` -1 and an empty
    /// member id, as Java's deprecated `sendOffsetsToTransaction(offsets, groupId)`). A zombie is stopped by its
    /// transactional id alone.
    #[must_use]
    pub fn without_member(group_id: impl Into<Arc<str>>) -> Self {
        Self {
            group_id: group_id.into(),
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
            assignments: None,
        }
    }

    /// Whether the member still has the partition in the assignment under which it was read. Without a member, and for offsets
    /// that the program made up itself, nothing is known against it.
    pub(crate) fn covers(&self, next: &NextOffset) -> bool {
        match (&self.assignments, next.assignment) {
            (Some(assignments), Some(read_under)) => assignments.get(&next.partition) == Some(&read_under),
            _ => true,
        }
    }
}

/// The next offset to be read of a partition, when everything before it is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The id of the topic; nil where it is not known. A topic that is deleted and created anew has another one.
    pub topic_id: Uuid,
    /// The offset.
    pub offset: i64,
    /// The epoch of the leader that wrote the last record before it, where that is known.
    pub leader_epoch: Option<i32>,
    /// The assignment under which it was read.
    pub(crate) assignment: Option<u64>,
}

impl NextOffset {
    /// An offset by name and number.
    #[must_use]
    pub fn new(partition: TopicPartition, offset: i64) -> Self {
        Self { partition, topic_id: Uuid::nil(), offset, leader_epoch: None, assignment: None }
    }
}

/// What was read, as far as it says where to go on: a batch, a record, or many of them.
pub trait Consumed {
    /// Where to go on. Of several offsets for one partition the highest counts.
    fn next_offsets(&self) -> Vec<NextOffset>;
}

impl Consumed for NextOffset {
    fn next_offsets(&self) -> Vec<NextOffset> {
        vec![self.clone()]
    }
}

impl<C: Consumed> Consumed for [C] {
    fn next_offsets(&self) -> Vec<NextOffset> {
        let mut highest: BTreeMap<TopicPartition, NextOffset> = BTreeMap::new();
        for next in self.iter().flat_map(Consumed::next_offsets) {
            match highest.get_mut(&next.partition) {
                Some(known) if known.offset >= next.offset => {}
                Some(known) => *known = next,
                None => {
                    highest.insert(next.partition.clone(), next);
                }
            }
        }
        highest.into_values().collect()
    }
}

impl<C: Consumed> Consumed for Vec<C> {
    fn next_offsets(&self) -> Vec<NextOffset> {
        self.as_slice().next_offsets()
    }
}

impl<C: Consumed + ?Sized> Consumed for &C {
    fn next_offsets(&self) -> Vec<NextOffset> {
        (*self).next_offsets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> NextOffset {
        NextOffset::new(TopicPartition::new("t", partition), offset)
    }

    #[test]
    fn of_many_offsets_of_a_partition_the_highest_counts() {
        let offsets = vec![at(0, 5), at(1, 2), at(0, 9), at(0, 7)].next_offsets();
        assert_eq!(offsets, [at(0, 9), at(1, 2)]);
    }

    #[test]
    fn a_partition_that_went_and_came_back_is_not_covered() {
        let partition = TopicPartition::new("t", 0);
        let metadata = GroupMetadata {
            assignments: Some(Arc::new(BTreeMap::from([(partition, 4)]))),
            ..GroupMetadata::without_member("g")
        };
        let read = |assignment| NextOffset { assignment, ..at(0, 5) };
        assert!(metadata.covers(&read(Some(4))) && metadata.covers(&read(None)));
        assert!(!metadata.covers(&read(Some(3))));
        assert!(!metadata.covers(&NextOffset { assignment: Some(4), ..at(1, 5) }));
        assert!(GroupMetadata::without_member("g").covers(&read(Some(3))));
    }
}
