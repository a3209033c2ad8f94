//! A thousand members, from the first join until all have what they are to have.

use super::kit::{Catalog, beat, join};
use crate::group::consumer::{ConsumerConfig, ConsumerGroup, ConsumerGroupState, Ctx, Partitions};
use crate::time::Timestamp;

#[test]
fn a_thousand_members_settle() {
    let mut topics = Catalog::default();
    topics.create("t", 1000);
    let config = ConsumerConfig::default();
    let mut group = ConsumerGroup::new("g");
    let mut now = Timestamp::from_millis(1_000_000);
    let mut members: Vec<(String, i32, Partitions)> = Vec::new();
    let mut records = Vec::new();
    for member in 0..1000 {
        let member_id = format!("member-{member:04}");
        let answer =
            group.heartbeat(&Ctx { now, topics: &topics, config: &config }, &join(&member_id, &["t"]), &mut records);
        let (answer, _) = answer.unwrap();
        members.push((member_id, answer.member_epoch, answer.assignment.unwrap()));
    }
    let mut rounds = 0;
    while group.state() != ConsumerGroupState::Stable {
        rounds += 1;
        now = now.plus_millis(1000);
        for (member_id, member_epoch, owned) in &mut members {
            let request = beat(member_id, *member_epoch).owning(owned);
            let (answer, _) =
                group.heartbeat(&Ctx { now, topics: &topics, config: &config }, &request, &mut records).unwrap();
            *member_epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                *owned = assignment;
            }
        }
    }
    assert!(members.iter().all(|(_, _, owned)| owned.values().map(|partitions| partitions.len()).sum::<usize>() == 1));
    assert!(rounds <= 3, "{rounds} rounds of heartbeats");
}
