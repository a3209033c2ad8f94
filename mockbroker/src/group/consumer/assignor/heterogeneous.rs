//! `uniform` for members with different subscriptions (`UniformHeterogeneousAssignmentBuilder`).
//!
//! Kafka's goals, not its code: members keep what they have, what is free goes to the subscriber with the fewest
//! partitions, and then partitions move from fuller to emptier members until no move makes the group more even. Where
//! several results are equally even, Kafka's may be another.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupSpec, target_of};
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

type Target<'a> = BTreeMap<&'a str, BTreeSet<(TopicId, PartitionId)>>;

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<String, Partitions> {
    let mut subscribers: BTreeMap<TopicId, Vec<&str>> = BTreeMap::new();
    for (member_id, member) in &group.members {
        for topic_id in &member.subscribed {
            subscribers.entry(*topic_id).or_default().push(member_id);
        }
    }
    let mut unassigned: BTreeSet<(TopicId, PartitionId)> = group.all_partitions().collect();
    let mut target = Target::new();
    for (member_id, member) in &group.members {
        let mut kept = group.kept(member);
        kept.retain(|partition| unassigned.remove(partition));
        target.insert(member_id, kept);
    }
    // The topics with the fewest subscribers first: the others have more places to even it out.
    let mut unassigned: Vec<_> = unassigned.into_iter().collect();
    unassigned.sort_by_key(|(topic_id, _)| subscribers.get(topic_id).map_or(0, Vec::len));
    for partition in unassigned {
        let candidates = subscribers.get(&partition.0).into_iter().flatten();
        let emptiest = candidates.min_by_key(|member_id| target.get(*member_id).map_or(0, BTreeSet::len));
        if let Some(member_id) = emptiest {
            target.entry(member_id).or_default().insert(partition);
        }
    }
    while subscribers.iter().map(|(topic_id, members)| balance(*topic_id, members, &mut target)).sum::<usize>() > 0 {}
    target_of(target)
}

/// Moves partitions of one topic from the fullest of its subscribers that have any to the emptiest, while they differ by
/// more than one. Each move lowers the sum of the squares, so that this ends. Returns how many moved.
fn balance<'a>(topic_id: TopicId, subscribers: &[&'a str], target: &mut Target<'a>) -> usize {
    let mut moved = 0;
    loop {
        let load = |member_id: &&&str| target.get(**member_id).map_or(0, BTreeSet::len);
        let has_any = |member_id: &&&str| last_of(topic_id, target.get(**member_id)).is_some();
        let Some(fullest) = subscribers.iter().filter(has_any).max_by_key(load) else { return moved };
        let Some(emptiest) = subscribers.iter().min_by_key(load) else { return moved };
        if load(&fullest) <= load(&emptiest) + 1 {
            return moved;
        }
        let Some(partition) = last_of(topic_id, target.get(*fullest)) else { return moved };
        target.entry(fullest).or_default().remove(&partition);
        target.entry(emptiest).or_default().insert(partition);
        moved += 1;
    }
}

/// The last partition of a topic that a member has.
fn last_of(topic_id: TopicId, partitions: Option<&BTreeSet<(TopicId, PartitionId)>>) -> Option<(TopicId, PartitionId)> {
    let range = (topic_id, PartitionId(0))..=(topic_id, PartitionId(i32::MAX));
    partitions?.range(range).next_back().copied()
}
