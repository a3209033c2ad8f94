//! F.3 and F.5: the three epochs, and when the target is computed. The numbers are those of a real 4.3.1.

use super::kit::{World, beat, join};
use crate::group::consumer::{ConsumerGroupState, ConsumerRecord};

#[test]
fn the_first_member_gets_everything_at_epoch_two() {
    // Seen on a real 4.3.1: a new group is at epoch 1, the first join bumps it.
    let mut world = World::new();
    let answer = world.ok(join("A", &["t"]));
    assert_eq!((answer.member_epoch, answer.heartbeat_interval_ms), (2, 5000));
    assert_eq!(answer.assignment, Some(world.of_t(&[0, 1, 2, 3])));
    assert_eq!(world.epochs(), (2, 2));
    assert_eq!(world.state(), ConsumerGroupState::Stable);
}

#[test]
fn a_member_without_a_subscription_gets_epoch_one() {
    // Seen on a real 4.3.1: nothing that is subscribed, nothing that bumps.
    let mut world = World::new();
    let answer = world.ok(join("A", &[]));
    assert_eq!((answer.member_epoch, answer.assignment), (1, Some(world.of_t(&[]))));
    assert_eq!(world.epochs(), (1, 1));
    assert_eq!(world.state(), ConsumerGroupState::Stable);
}

#[test]
fn a_topic_that_does_not_exist_bumps_and_gives_nothing() {
    // Seen on a real 4.3.1.
    let mut world = World::new();
    let answer = world.ok(join("A", &["missing"]));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(world.of_t(&[]))));
}

#[test]
fn a_join_writes_kafkas_records_in_kafkas_order() {
    // GroupMetadataManager.consumerGroupHeartbeat: member, group epoch, target of each member, target epoch, assignment.
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    let kinds = world.records.iter().map(|record| match record {
        ConsumerRecord::GroupMetadata { .. } => 3,
        ConsumerRecord::PartitionMetadata { .. } => 4,
        ConsumerRecord::MemberMetadata { .. } => 5,
        ConsumerRecord::TargetAssignmentMetadata { .. } => 6,
        ConsumerRecord::TargetAssignmentMember { .. } => 7,
        ConsumerRecord::CurrentMemberAssignment { .. } => 8,
        ConsumerRecord::RegularExpression { .. } => 16,
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [5, 3, 7, 6, 8]);
}

#[test]
fn the_target_is_computed_at_most_once_a_second() {
    // KIP-1263; seen on a real 4.3.1: the second member gets the epoch of the old target and nothing.
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    let second = world.ok(join("B", &["t"]));
    assert_eq!((second.member_epoch, second.assignment), (2, Some(world.of_t(&[]))));
    assert_eq!((world.epochs(), world.state()), ((3, 2), ConsumerGroupState::Assigning));
    world.advance(999);
    assert_eq!(world.ok(beat("B", 2)).member_epoch, 2);
    world.advance(1);
    let later = world.ok(beat("B", 2));
    assert_eq!((later.member_epoch, later.assignment), (3, None));
    assert_eq!((world.epochs(), world.state()), ((3, 3), ConsumerGroupState::Reconciling));
}

#[test]
fn an_interval_of_zero_computes_the_target_with_every_change() {
    // GroupMetadataManager.canComputeNextTargetAssignment.
    let mut world = World::new();
    world.config.assignment_interval_ms = 0;
    world.ok(join("A", &["t"]));
    assert_eq!(world.ok(join("B", &["t"])).member_epoch, 3);
}

#[test]
fn a_heartbeat_that_says_nothing_writes_nothing() {
    // F.2: keepalive heartbeats leave the group as it is.
    let mut world = World::pair();
    let records = world.records.len();
    let answer = world.ok(beat("A", 3));
    assert_eq!((answer.member_epoch, answer.assignment), (3, None));
    assert_eq!(world.records.len(), records);
}

#[test]
fn a_full_request_is_told_its_assignment() {
    // F.2: rebalance timeout, a subscription and the owned partitions together ask for it.
    let mut world = World::pair();
    let owned = world.of_t(&[0, 1]);
    let mut request = beat("A", 3).subscribed(&["t"]).owning(&owned);
    assert_eq!(world.ok(request.clone()).assignment, None);
    request.rebalance_timeout_ms = 60_000;
    assert_eq!(world.ok(request).assignment, Some(owned));
}

#[test]
fn another_subscription_bumps_the_group_epoch() {
    // F.3.
    let mut world = World::pair();
    world.topics.create("u", 2);
    world.ok(beat("A", 3));
    assert_eq!(world.epochs(), (3, 3), "nobody is subscribed to the new topic");
    world.advance(1000);
    world.ok(beat("A", 3).subscribed(&["t", "u"]));
    assert_eq!(world.epochs(), (4, 4));
    world.ok(beat("A", 3).subscribed(&["u", "t"]));
    assert_eq!(world.epochs(), (4, 4), "the order of the names says nothing");
}

#[test]
fn most_votes_choose_the_assignor() {
    // F.5; ConsumerGroup.computePreferredServerAssignor.
    let mut world = World::new();
    world.config.assignment_interval_ms = 0;
    let preferred = |world: &World| world.group.describe(&world.topics, &world.config).assignor_name;
    world.ok(join("A", &["t"]));
    assert_eq!(preferred(&world), "uniform");
    world.ok(join("B", &["t"]).assignor("range"));
    assert_eq!(preferred(&world), "range");
    world.ok(join("C", &["t"]).assignor("uniform"));
    world.ok(join("D", &["t"]).assignor("uniform"));
    assert_eq!(preferred(&world), "uniform");
}
