//! F.4: which epoch a member may come with, and what the others are told.

use kafka_protocol::error::ResponseError;

use super::kit::{World, beat, join};
use crate::group::consumer::ConsumerGroupState;

#[test]
fn a_group_that_does_not_exist_is_not_found() {
    // Seen on a real 4.3.1, with two texts.
    let mut world = World::new();
    let refusal = world.send(beat("A", 5)).unwrap_err();
    assert_eq!(refusal.error, ResponseError::GroupIdNotFound);
    assert_eq!(refusal.message.as_deref(), Some("Consumer group g not found."));
    let refusal = world.send(beat("A", -1)).unwrap_err();
    assert_eq!(refusal.error, ResponseError::GroupIdNotFound);
    assert_eq!(refusal.message.as_deref(), Some("Group g not found."));
    assert_eq!(world.state(), ConsumerGroupState::Dead);
}

#[test]
fn a_member_that_is_not_there_is_unknown() {
    // Seen on a real 4.3.1.
    let mut world = World::pair();
    let refusal = world.send(beat("Z", 3)).unwrap_err();
    assert_eq!(refusal.error, ResponseError::UnknownMemberId);
    assert_eq!(refusal.message.as_deref(), Some("Member Z is not a member of group g."));
    assert_eq!(world.refused(beat("Z", -1)), ResponseError::UnknownMemberId);
}

#[test]
fn a_greater_epoch_is_fenced() {
    // throwIfConsumerGroupMemberEpochIsInvalid; the text is that of a real 4.3.1.
    let mut world = World::pair();
    let refusal = world.send(beat("A", 9)).unwrap_err();
    assert_eq!(refusal.error, ResponseError::FencedMemberEpoch);
    let text = "The consumer group member has a greater member epoch (9) than the one known by the group coordinator (3). \
                The member must abandon all its partitions and rejoin.";
    assert_eq!(refusal.message.as_deref(), Some(text));
}

#[test]
fn the_previous_epoch_will_do_if_nothing_is_owned_that_should_not_be() {
    // F.4: the answer with the new epoch may have been lost. Seen on a real 4.3.1.
    let mut world = World::pair();
    let (some, too_many) = (world.of_t(&[0]), world.of_t(&[0, 2]));
    assert_eq!(world.ok(beat("A", 2).owning(&some)).member_epoch, 3);
    assert_eq!(world.refused(beat("A", 2)), ResponseError::FencedMemberEpoch);
    assert_eq!(world.refused(beat("A", 2).owning(&too_many)), ResponseError::FencedMemberEpoch);
    assert_eq!(world.refused(beat("A", 1).owning(&some)), ResponseError::FencedMemberEpoch);
}

#[test]
fn a_known_member_may_join_again() {
    // KAFKA-19233, since 4.2. Seen on a real 4.3.1: it has the epoch and the partitions that it had.
    let mut world = World::pair();
    let answer = world.ok(join("A", &["t"]));
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(world.of_t(&[0, 1]))));
    assert_eq!(world.epochs(), (3, 3));
}

#[test]
fn a_full_group_takes_no_one_else() {
    // throwIfConsumerGroupIsFull.
    let mut world = World::pair();
    world.config.max_size = 2;
    assert_eq!(world.refused(join("C", &["t"])), ResponseError::GroupMaxSizeReached);
    assert_eq!(world.refused(beat("C", 3)), ResponseError::GroupMaxSizeReached);
    assert_eq!(world.ok(join("A", &["t"])).member_epoch, 3);
}

#[test]
fn a_member_that_leaves_gives_its_partitions_to_the_others() {
    // Seen on a real 4.3.1.
    let mut world = World::pair();
    world.advance(1000);
    let answer = world.ok(beat("A", -1));
    assert_eq!((answer.member_epoch, answer.heartbeat_interval_ms, answer.assignment), (-1, 0, None));
    assert_eq!((world.epochs(), world.state()), ((4, 3), ConsumerGroupState::Assigning));
    let answer = world.ok(beat("B", 3));
    assert_eq!((answer.member_epoch, answer.assignment), (4, Some(world.of_t(&[0, 1, 2, 3]))));
    assert_eq!(world.state(), ConsumerGroupState::Stable);
}

#[test]
fn a_group_without_members_is_empty_and_goes_on_counting() {
    // F.3: the group stays, with its epoch.
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.ok(beat("A", -1));
    assert_eq!((world.epochs(), world.state()), ((3, 2), ConsumerGroupState::Empty));
    assert_eq!(world.group.next_deadline(), None);
    world.advance(1000);
    assert_eq!(world.ok(join("A", &["t"])).member_epoch, 4);
}

#[test]
fn a_deleted_group_begins_anew() {
    // createGroupTombstoneRecords; DeleteGroups.
    let mut world = World::pair();
    world.group.delete(&mut world.records);
    assert_eq!((world.epochs(), world.state()), ((1, 1), ConsumerGroupState::Dead));
    assert_eq!(world.ok(join("A", &["t"])).member_epoch, 2);
}
