//! `uniform` for members that are all subscribed to the same topics (`UniformHomogeneousAssignmentBuilder`).
//!
//! No two members differ by more than one partition; then a member keeps what it has. Which members get one more and which
//! partition goes where is as in Kafka, as far as the order of its hash tables can be known.

use std::collections::{BTreeMap, BTreeSet};

use super::order::{copied_table_size, sort_members, sort_partitions, sort_topics, table_size};
use super::{GroupSpec, MemberSpec, target_of};
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

type Set = BTreeSet<(TopicId, PartitionId)>;

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<String, Partitions> {
    let mut members: Vec<&str> = group.members.keys().copied().collect();
    sort_members(&mut members, group.newest);
    let total = group.all_partitions().count();
    let Some(quota) = total.checked_div(members.len()) else { return BTreeMap::new() };
    let mut extra = total % members.len();
    let mut unassigned = unassigned(group);
    let mut taken = Set::new();
    let mut target: BTreeMap<&str, Set> = BTreeMap::new();
    let mut unfilled: Vec<(&str, usize)> = Vec::new();
    for (index, member_id) in members.iter().enumerate() {
        let mut room = quota + usize::from(extra > 0);
        let mut takes_extra = extra > 0;
        let kept = keep(group, &group.members[member_id], &mut room, &mut unassigned, &mut taken);
        if room > 0 && takes_extra && members.len() - index > extra {
            // Enough others are left to take one more; this one would have to be given it.
            room -= 1;
            takes_extra = false;
        }
        if room > 0 {
            unfilled.push((member_id, room));
        }
        extra -= usize::from(takes_extra);
        target.insert(member_id, kept);
    }
    let mut unassigned = unassigned.into_iter();
    for (member_id, room) in unfilled {
        target.entry(member_id).or_default().extend(unassigned.by_ref().take(room));
    }
    target_of(target)
}

/// What no target gives to anyone, topic by topic.
fn unassigned(group: &GroupSpec<'_>) -> Vec<(TopicId, PartitionId)> {
    let mut topics: Vec<TopicId> = group.partition_counts.keys().copied().collect();
    sort_topics(&mut topics, copied_table_size(group.subscribed_names));
    let assigned: Set = group.members.values().flat_map(|member| group.kept(member)).collect();
    let all = topics.into_iter().flat_map(|id| (0..group.partition_count(id)).map(move |it| (id, PartitionId(it))));
    all.filter(|partition| !assigned.contains(partition)).collect()
}

/// What a member keeps of its last target within its `room`; the rest is up for others. Two members never have one partition
/// in one target; if the records say so, the first has it, which is then `taken`.
fn keep(
    group: &GroupSpec<'_>,
    member: &MemberSpec<'_>,
    room: &mut usize,
    unassigned: &mut Vec<(TopicId, PartitionId)>,
    taken: &mut Set,
) -> Set {
    let mut kept = Set::new();
    let mut topics: Vec<TopicId> = member.assigned.into_iter().flat_map(Partitions::keys).copied().collect();
    let capacity = table_size(topics.len());
    sort_topics(&mut topics, capacity);
    for topic_id in topics.into_iter().filter(|topic_id| member.subscribed.contains(topic_id)) {
        let assigned = member.assigned.and_then(|assigned| assigned.get(&topic_id));
        let mut partitions: Vec<PartitionId> = assigned.into_iter().flatten().copied().collect();
        sort_partitions(&mut partitions);
        for partition in partitions {
            if partition.0 >= group.partition_count(topic_id) || !taken.insert((topic_id, partition)) {
                continue;
            }
            if *room > 0 {
                *room -= 1;
                kept.insert((topic_id, partition));
            } else {
                unassigned.push((topic_id, partition));
            }
        }
    }
    kept
}
