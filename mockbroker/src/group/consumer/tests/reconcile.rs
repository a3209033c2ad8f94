//! F.6: a member gives up first, and gets later.

use super::kit::{World, beat, join};
use crate::group::consumer::{ConsumerGroupState, MemberState};

/// `A` has all of `t`, `B` has joined, and the target gives it half.
fn half_way() -> World {
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.advance(1000);
    world.ok(join("B", &["t"]));
    world
}

#[test]
fn a_partition_moves_when_its_owner_has_given_it_up() {
    // Step by step as on a real 4.3.1.
    let mut world = half_way();
    assert_eq!(world.member("B"), (3, MemberState::UnreleasedPartitions));
    let answer = world.ok(beat("A", 2));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(world.of_t(&[0, 1]))));
    assert_eq!(world.member("A"), (2, MemberState::UnrevokedPartitions));
    assert_eq!(world.ok(beat("B", 3)).assignment, None);

    let keeps = world.of_t(&[0, 1]);
    let answer = world.ok(beat("A", 2).owning(&keeps));
    assert_eq!((answer.member_epoch, answer.assignment), (3, None));
    assert_eq!((world.member("A"), world.state()), ((3, MemberState::Stable), ConsumerGroupState::Reconciling));

    let answer = world.ok(beat("B", 3));
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(world.of_t(&[2, 3]))));
    assert_eq!((world.member("B"), world.state()), ((3, MemberState::Stable), ConsumerGroupState::Stable));
}

#[test]
fn keepalives_do_not_confirm_a_revocation() {
    // F.6: an owned list that is null may hold everything; one that names a revoked partition does.
    let mut world = half_way();
    world.ok(beat("A", 2));
    let too_many = world.of_t(&[0, 1, 3]);
    for request in [beat("A", 2), beat("A", 2).owning(&too_many)] {
        let answer = world.ok(request);
        assert_eq!((answer.member_epoch, answer.assignment), (2, None));
        assert_eq!(world.member("A"), (2, MemberState::UnrevokedPartitions));
    }
}

#[test]
fn what_is_not_owned_need_not_be_given_up() {
    // computeNextAssignment: the first heartbeat that hears of the target says already that it is done.
    let mut world = half_way();
    let keeps = world.of_t(&[1]);
    let answer = world.ok(beat("A", 2).owning(&keeps));
    assert_eq!((answer.member_epoch, answer.assignment), (3, Some(world.of_t(&[0, 1]))));
}

#[test]
fn a_member_whose_revocation_is_done_goes_on_while_others_are_not() {
    // broker-traps 155: the epoch advances although partitions of others are not released.
    let mut world = World::pair();
    world.topics.create("u", 4);
    world.advance(1000);
    world.ok(join("C", &["t"]));
    let moved: Vec<_> = ["A", "B"]
        .into_iter()
        .filter(|id| {
            world.ok(beat(id, 3));
            world.member(id).1 == MemberState::UnrevokedPartitions
        })
        .collect();
    assert_eq!(moved.len(), 1, "four partitions for three members: one moves");
    assert_eq!(world.member("C"), (4, MemberState::UnreleasedPartitions));
    let other = if moved == ["A"] { "B" } else { "A" };
    assert_eq!(world.member(other), (4, MemberState::Stable));
}

#[test]
fn a_partition_that_is_to_be_given_up_may_be_kept_after_all() {
    // computeNextAssignment: what only the member itself must give up is free for it.
    let mut world = half_way();
    world.ok(beat("A", 2));
    world.ok(beat("B", -1));
    world.advance(1000);
    let owned = world.of_t(&[0, 1, 2, 3]);
    assert_eq!(world.ok(beat("A", 2).owning(&owned)).member_epoch, 2, "it must confirm all the same");
    let keeps = world.of_t(&[0, 1]);
    let answer = world.ok(beat("A", 2).owning(&keeps));
    assert_eq!((answer.member_epoch, answer.assignment), (4, Some(owned)));
}

#[test]
fn a_topic_that_is_no_longer_subscribed_is_given_up_at_once() {
    // updateCurrentAssignment: even while the target is not yet computed anew.
    let mut world = World::new();
    let u = world.topics.create("u", 2);
    world.ok(join("A", &["t", "u"]));
    let answer = world.ok(beat("A", 2).subscribed(&["u"]));
    assert_eq!(world.epochs(), (3, 2));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(super::kit::of(u, &[0, 1]))));
    assert_eq!(world.member("A"), (2, MemberState::UnrevokedPartitions));
}

#[test]
fn a_partition_keeps_the_epoch_at_which_it_was_given() {
    // KIP-1251.
    let mut world = World::pair();
    let epochs = |world: &World, id: &str| -> Vec<i32> {
        let member = world.group.hard_state().member(id).unwrap();
        member.assignment().assigned_partitions.values().flat_map(|partitions| partitions.values().copied()).collect()
    };
    assert_eq!((epochs(&world, "A"), epochs(&world, "B")), (vec![2, 2], vec![3, 3]));
    world.advance(1000);
    world.ok(beat("A", -1));
    world.ok(beat("B", 3));
    assert_eq!(epochs(&world, "B"), [4, 4, 3, 3]);
}
