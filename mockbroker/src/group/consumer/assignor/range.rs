//! `range` (`RangeAssignor`): of each topic, the first range to the first member, and so on.
//!
//! Static members come first, by their instance, then the others by their id: who restarts keeps its place.

use std::collections::BTreeMap;

use super::GroupSpec;
use crate::group::consumer::record::Partitions;
use crate::types::{PartitionId, TopicId};

/// What is left of a topic while its ranges are given out.
struct Ranges {
    partitions: i32,
    next: i32,
    quota: i32,
    /// How many members get one more than the quota.
    extra: i32,
}

pub(super) fn assign(group: &GroupSpec<'_>) -> BTreeMap<String, Partitions> {
    let mut subscribers: BTreeMap<TopicId, i32> = BTreeMap::new();
    for topic_id in group.members.values().flat_map(|member| &member.subscribed) {
        *subscribers.entry(*topic_id).or_default() += 1;
    }
    let ranges = subscribers.into_iter().map(|(topic_id, members)| {
        let partitions = group.partition_count(topic_id);
        (topic_id, Ranges { partitions, next: 0, quota: partitions / members, extra: partitions % members })
    });
    let mut ranges: BTreeMap<TopicId, Ranges> = ranges.collect();
    let mut order: Vec<_> = group.members.iter().collect();
    order.sort_by_key(|(member_id, member)| (member.instance_id.is_none(), member.instance_id, **member_id));
    let mut target = BTreeMap::new();
    for (member_id, member) in order {
        let mut assigned = Partitions::new();
        for topic_id in &member.subscribed {
            let range = ranges.get_mut(topic_id).and_then(Ranges::take).into_iter().flatten();
            let range: std::collections::BTreeSet<_> = range.map(PartitionId).collect();
            if !range.is_empty() {
                assigned.insert(*topic_id, range);
            }
        }
        target.insert((*member_id).to_owned(), assigned);
    }
    target
}

impl Ranges {
    /// The next member's range.
    fn take(&mut self) -> Option<std::ops::Range<i32>> {
        let mut length = self.quota;
        if self.extra > 0 {
            self.extra -= 1;
            length += 1;
        }
        let start = self.next;
        self.next = (start + length).min(self.partitions);
        (start < self.next).then_some(start..self.next)
    }
}
