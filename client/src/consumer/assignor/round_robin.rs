//! Round robin: all partitions in order, one by one to the members in turn, passing over who does not subscribe.
//!
//! Source: `RoundRobinAssignor.assign`.

use std::{collections::BTreeMap, sync::Arc};

use super::{Member, nothing};
use crate::record::TopicPartition;

pub(super) fn assign(
    members: &[&Member],
    partition_counts: &BTreeMap<Arc<str>, i32>,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut assignment = nothing(members);
    let mut turn = members.iter().cycle();
    for (topic, count) in partition_counts {
        if !members.iter().any(|member| member.subscribes(topic)) {
            continue;
        }
        for partition in 0..*count {
            let taker =
                turn.find(|member| member.subscribes(topic)).expect("somebody subscribes, and the turn is endless");
            let partition = TopicPartition { topic: Arc::clone(topic), partition };
            assignment.entry(taker.member_id.clone()).or_default().push(partition);
        }
    }
    assignment
}
