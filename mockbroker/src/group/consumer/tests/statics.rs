//! F.4: static members.

use kafka_protocol::error::ResponseError;

use super::kit::{World, beat, join};
use crate::group::consumer::{ConsumerGroupState, MemberState};

fn with_static() -> World {
    let mut world = World::new();
    world.ok(join("A", &["t"]).instance("i"));
    world
}

#[test]
fn an_instance_that_is_there_cannot_join_again() {
    // Seen on a real 4.3.1: not even with the same member id.
    let mut world = with_static();
    let refusal = world.send(join("B", &["t"]).instance("i")).unwrap_err();
    assert_eq!(refusal.error, ResponseError::UnreleasedInstanceId);
    let text = "Static member B with instance id i cannot join the group because the instance id is owned by A member.";
    assert_eq!(refusal.message.as_deref(), Some(text));
    assert_eq!(world.refused(join("A", &["t"]).instance("i")), ResponseError::UnreleasedInstanceId);
}

#[test]
fn an_instance_is_unknown_or_fenced() {
    // Seen on a real 4.3.1.
    let mut world = with_static();
    let refusal = world.send(beat("A", 2).instance("j")).unwrap_err();
    assert_eq!(
        (refusal.error, refusal.message.as_deref()),
        (ResponseError::UnknownMemberId, Some("Instance id j is unknown."))
    );
    let refusal = world.send(beat("B", 2).instance("i")).unwrap_err();
    assert_eq!(
        (refusal.error, refusal.message.as_deref()),
        (ResponseError::FencedInstanceId, Some("Static member B with instance id i was fenced by member A."))
    );
    assert_eq!(world.ok(beat("A", 2)).member_epoch, 2, "the instance need not be said by the member itself");
}

#[test]
fn a_member_that_leaves_for_a_while_keeps_its_partitions() {
    // Seen on a real 4.3.1: no bump, epoch -2, and twice is as good as once.
    let mut world = with_static();
    for _ in 0..2 {
        let answer = world.ok(beat("A", -2).instance("i"));
        assert_eq!((answer.member_epoch, answer.heartbeat_interval_ms), (-2, 0));
        assert_eq!((world.epochs(), world.state()), ((2, 2), ConsumerGroupState::Reconciling));
    }
    assert_eq!(world.refused(beat("A", 2).instance("i")), ResponseError::FencedMemberEpoch);
}

#[test]
fn who_takes_the_place_of_an_instance_has_its_assignment() {
    // Seen on a real 4.3.1: no bump, no other target.
    let mut world = with_static();
    world.ok(beat("A", -2).instance("i"));
    let answer = world.ok(join("B", &["t"]).instance("i"));
    assert_eq!((answer.member_epoch, answer.assignment), (2, Some(world.of_t(&[0, 1, 2, 3]))));
    assert_eq!((world.epochs(), world.state()), ((2, 2), ConsumerGroupState::Stable));
    assert!(!world.has("A"));
    world.advance(44_999);
    assert_eq!(world.member("B"), (2, MemberState::Stable), "the session is its own");
    world.advance(1);
    assert!(!world.has("B"));
}

#[test]
fn a_replacement_with_another_subscription_bumps() {
    // F.3.
    let mut world = with_static();
    world.topics.create("u", 1);
    world.ok(beat("A", -2).instance("i"));
    world.ok(join("A", &["u"]).instance("i"));
    assert_eq!(world.epochs().0, 3);
}

#[test]
fn a_replacement_that_is_refused_changes_nothing() {
    // Kafka throws the records away; so the pattern is looked at before anything is written.
    let mut world = with_static();
    world.ok(beat("A", -2).instance("i"));
    let request = join("B", &["t"]).instance("i").matching("[");
    assert_eq!(world.refused(request), ResponseError::InvalidRegularExpression);
    assert!(world.has("A"));
}

#[test]
fn a_static_member_may_leave_for_good() {
    // F.4: -1 removes a static member too.
    let mut world = with_static();
    assert_eq!(world.refused(beat("B", -1).instance("i")), ResponseError::FencedInstanceId);
    assert_eq!(world.refused(beat("A", -1).instance("j")), ResponseError::UnknownMemberId);
    assert_eq!(world.ok(beat("A", -1).instance("i")).member_epoch, -1);
    assert_eq!((world.epochs(), world.state()), ((3, 2), ConsumerGroupState::Empty));
}

#[test]
fn a_member_that_left_for_a_while_goes_when_its_session_ends() {
    // F.4: the session timer is kept.
    let mut world = with_static();
    world.advance(20_000);
    world.ok(beat("A", -2).instance("i"));
    world.advance(24_999);
    assert!(world.has("A"));
    world.advance(1);
    assert!(!world.has("A"));
    assert_eq!(world.epochs().0, 3);
}
