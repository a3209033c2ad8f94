//! Range: each topic by itself, cut into as many stretches as it has subscribers; the first ones get one more.
//!
//! Not modelled: racks (KIP-881). Members tell theirs, and a Java leader goes by them; this client as the leader does not.
//! Source: `RangeAssignor.assignRanges`.

use std::{collections::BTreeMap, sync::Arc};

use super::{Member, nothing};
use crate::record::TopicPartition;

pub(super) fn assign(
    members: &[&Member],
    partition_counts: &BTreeMap<Arc<str>, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut assignment = nothing(members);
    for (topic, count) in partition_counts {
        let subscribers: Vec<_> = members.iter().filter(|member| member.subscribes(topic)).collect();
        let Ok(subscriber_count @ 1..) = i32::try_from(subscribers.len()) else { continue };
        let (each, more) = (count / subscriber_count, count % subscriber_count);
        let mut next = 0;
        for (index, member) in (0..).zip(subscribers) {
            let end = next + each + i32::from(index < more);
            let partitions = (next..end).map(|partition| TopicPartition { topic: Arc::clone(topic), partition });
            assignment.entry(member.member_id.clone()).or_default().extend(partitions);
            next = end;
        }
    }
    assignment
}
