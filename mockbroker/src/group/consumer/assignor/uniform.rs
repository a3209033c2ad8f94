//! `uniform` for members that are all subscribed to the same topics (`UniformHomogeneousAssignmentBuilder`).
//!
//! No two members differ by more than one partition; then a member keeps what it has. Which members get one more is not
//! specified: Kafka goes by the order of a hash map, we by the order of the member ids.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupSpec, target_of};
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<String, Partitions> {
    let total = group.all_partitions().count();
    let members = group.members.len();
    if members == 0 {
        return BTreeMap::new();
    }
    let (quota, mut extra) = (total / members, total % members);
    let mut unassigned: BTreeSet<(TopicId, PartitionId)> = group.all_partitions().collect();
    let mut target = BTreeMap::new();
    let mut unfilled = Vec::new();
    for (member_id, member) in &group.members {
        let mut room = quota;
        if extra > 0 {
            extra -= 1;
            room += 1;
        }
        let mut kept = group.kept(member);
        // Two members never have one partition in one target; if the records say so, the first keeps it.
        kept.retain(|partition| {
            room > 0 && unassigned.remove(partition) && {
                room -= 1;
                true
            }
        });
        if room > 0 {
            unfilled.push((*member_id, room));
        }
        target.insert(*member_id, kept);
    }
    let mut unassigned = unassigned.into_iter();
    for (member_id, room) in unfilled {
        target.entry(member_id).or_default().extend(unassigned.by_ref().take(room));
    }
    target_of(target)
}
