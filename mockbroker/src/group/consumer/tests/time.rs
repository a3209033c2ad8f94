//! F.7: sessions and rebalances.

use kafka_protocol::error::ResponseError;

use super::kit::{World, beat, join};
use crate::group::consumer::{ConsumerGroup, Ctx, MemberState};

#[test]
fn a_member_of_which_nothing_is_heard_is_removed() {
    // F.7: 45 s after its last heartbeat.
    let mut world = World::pair();
    world.advance(40_000);
    world.ok(beat("A", 3));
    world.advance(4_999);
    assert!(world.has("B"));
    world.advance(1);
    assert!(!world.has("B") && world.has("A"));
    assert_eq!(world.epochs(), (4, 3));
    assert_eq!(world.refused(beat("B", 3)), ResponseError::UnknownMemberId);
}

#[test]
fn a_refused_heartbeat_does_not_keep_a_member_alive() {
    // F.7: restarted by each successful heartbeat.
    let mut world = World::pair();
    world.advance(40_000);
    world.refused(beat("A", 9));
    world.advance(5_000);
    assert!(!world.has("A"));
}

#[test]
fn a_member_that_does_not_give_up_is_removed() {
    // F.7: when its rebalance timeout ends, however much it is heard of.
    let mut world = World::new();
    let mut request = join("A", &["t"]);
    request.rebalance_timeout_ms = 10_000;
    world.ok(request);
    world.advance(1000);
    world.ok(join("B", &["t"]));
    world.ok(beat("A", 2));
    world.advance(9_000);
    world.ok(beat("A", 2));
    assert_eq!(world.member("A"), (2, MemberState::UnrevokedPartitions));
    world.advance(1_000);
    assert!(!world.has("A"));
    let answer = world.ok(beat("B", 3));
    assert_eq!((answer.member_epoch, answer.assignment), (4, Some(world.of_t(&[0, 1, 2, 3]))));
}

#[test]
fn a_member_that_gave_up_in_time_stays() {
    // scheduleConsumerGroupRebalanceTimeout: cancelled with the next state.
    let mut world = World::pair();
    world.advance(44_000);
    assert!(world.has("A") && world.has("B"));
    world.ok(beat("A", 3));
    world.ok(beat("B", 3));
    world.advance(30_000);
    assert!(world.has("A") && world.has("B"), "60 s after the revocation");
}

#[test]
fn a_member_that_waits_for_others_has_no_rebalance_timeout() {
    // F.7: only who must give up is measured.
    let mut world = World::new();
    let mut request = join("B", &["t"]);
    request.rebalance_timeout_ms = 1;
    world.ok(join("A", &["t"]));
    world.advance(1000);
    world.ok(request);
    assert_eq!(world.member("B"), (3, MemberState::UnreleasedPartitions));
    world.advance(40_000);
    assert!(world.has("B"));
}

#[test]
fn deadlines_begin_anew_after_a_replay() {
    // GroupMetadataManager.onLoaded.
    let mut world = World::new();
    world.ok(join("A", &["t"]));
    world.advance(1000);
    world.ok(join("B", &["t"]));
    world.ok(beat("A", 2));
    world.advance(40_000);
    let mut group = ConsumerGroup::new("g");
    for record in &world.records {
        group.apply(record);
    }
    assert_eq!(group.next_deadline(), None);
    group.loaded(&Ctx { now: world.now, topics: &world.topics, config: &world.config });
    assert_eq!(group.next_deadline(), Some(world.now.plus_millis(45_000)));
    world.group = group;
    world.advance(44_999);
    assert!(world.has("A") && world.has("B"));
    world.ok(beat("A", 2));
    world.ok(beat("B", 3));
    world.advance(15_001);
    assert!(!world.has("A") && world.has("B"), "the rebalance of A, 60 s after the replay");
}
