//! F.11: what users see.

use super::kit::{World, beat, join};
use crate::group::consumer::{ConsumerGroupState, DescribedPartitions};
use crate::types::PartitionId;

fn partitions(described: &[DescribedPartitions]) -> Vec<(&str, Vec<i32>)> {
    let numbers = |partitions: &[PartitionId]| partitions.iter().map(|partition| partition.0).collect();
    described.iter().map(|topic| (topic.topic_name.as_str(), numbers(&topic.partitions))).collect()
}

#[test]
fn a_member_is_shown_with_what_it_must_still_give_up() {
    // Seen on a real 4.3.1.
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.advance(1000);
    world.ok(join("B", &["t"]));
    world.ok(beat("A", 2));
    let group = world.group.describe(&world.topics, &world.config);
    assert_eq!((group.group_state, group.group_epoch, group.assignment_epoch), (ConsumerGroupState::Reconciling, 3, 3));
    let a = &group.members[0];
    assert_eq!((a.member_id.as_str(), a.member_epoch, a.member_type), ("A", 2, 1));
    assert_eq!((a.client_id.as_str(), a.client_host.as_str()), ("c", "/127.0.0.1"));
    assert_eq!(a.subscribed_topic_regex.as_deref(), Some(""), "Kafka shows the empty pattern, not null");
    assert_eq!(partitions(&a.assignment), [("t", vec![0, 1, 2, 3])]);
    assert_eq!(partitions(&a.target_assignment), [("t", vec![0, 1])]);
    assert_eq!(partitions(&group.members[1].assignment), []);
}

#[test]
fn a_topic_that_was_deleted_is_left_out() {
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.topics.delete("t");
    let group = world.group.describe(&world.topics, &world.config);
    assert_eq!((&group.members[0].assignment, &group.members[0].target_assignment), (&vec![], &vec![]));
}
