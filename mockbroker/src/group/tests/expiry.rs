//! When offsets and groups are forgotten (KIP-211).

use super::kit::*;
use crate::group::*;

/// One hour of retention, looked at every minute.
fn kit() -> Kit {
    Kit::with(|config| {
        config.offsets_retention_minutes = 60;
        config.offsets_retention_check_interval_ms = MINUTE;
    })
}

const MINUTE: i64 = 60_000;

#[test]
fn the_offset_of_a_simple_group_grows_old_from_its_commit_and_the_group_goes_with_the_last() {
    let mut kit = kit();
    kit.commit(offset_commit(nobody(), "t", 5));
    kit.advance(30 * MINUTE);
    kit.commit(offset_commit(nobody(), "u", 6));
    kit.advance(29 * MINUTE);
    assert_eq!(kit.offset("t"), 5);
    kit.advance(MINUTE);
    assert_eq!((kit.offset("t"), kit.offset("u")), (-1, 6));
    assert_eq!(kit.state(), ClassicState::Empty);
    kit.advance(30 * MINUTE);
    assert_eq!((kit.offset("u"), kit.state()), (-1, ClassicState::Dead));
}

#[test]
fn the_offsets_of_a_group_that_became_empty_grow_old_from_then_on() {
    let mut kit = kit();
    let members = kit.stable(&[consumer()]);
    kit.commit(offset_commit(identity(&members[0], 1), "t", 5));
    for _ in 0..600 {
        kit.advance(9000);
        kit.heartbeat(identity(&members[0], 1)).unwrap();
    }
    kit.leave(&[(&members[0], None)]);
    kit.restart();
    kit.advance(60 * MINUTE - 1);
    assert_eq!(kit.offset("t"), 5);
    kit.advance(MINUTE);
    assert_eq!((kit.offset("t"), kit.state()), (-1, ClassicState::Dead), "at the next look");
}

#[test]
fn a_consumer_keeps_the_offsets_of_what_it_reads_and_no_others() {
    let mut kit = kit();
    let members = kit.stable(&[consumer()]);
    kit.commit(offset_commit(identity(&members[0], 1), "t", 5));
    kit.commit(offset_commit(identity(&members[0], 1), "u", 6));
    for _ in 0..500 {
        kit.advance(9000);
        kit.heartbeat(identity(&members[0], 1)).unwrap();
    }
    assert_eq!((kit.offset("t"), kit.offset("u")), (5, -1));
}

#[test]
fn members_that_are_no_consumers_keep_all_offsets() {
    let mut kit = kit();
    let connect = Join { protocol_type: "connect".into(), ..consumer() };
    let (member, _) = kit.join_with_new_id(connect);
    kit.advance(3000);
    kit.sync(Sync { protocol_type: Some("connect".into()), ..sync(&member, 1) });
    kit.commit(offset_commit(identity(&member, 1), "t", 5));
    for _ in 0..500 {
        kit.advance(9000);
        kit.heartbeat(identity(&member, 1)).unwrap();
    }
    assert_eq!(kit.offset("t"), 5);
}

#[test]
fn a_retention_that_came_with_the_commit_overrides() {
    // Source: OffsetCommit v2 to v4; OffsetExpirationConditionImpl.
    let mut kit = kit();
    let request = |topic, retention_time_ms| OffsetCommit { retention_time_ms, ..offset_commit(nobody(), topic, 5) };
    kit.commit(request("short", Some(10 * MINUTE)));
    kit.commit(request("long", Some(100 * MINUTE)));
    kit.commit(request("own", None));
    kit.advance(10 * MINUTE);
    assert_eq!((kit.offset("short"), kit.offset("own")), (-1, 5));
    kit.advance(60 * MINUTE);
    assert_eq!((kit.offset("own"), kit.offset("long")), (-1, 5));
    kit.advance(40 * MINUTE);
    assert_eq!(kit.offset("long"), -1);
}

#[test]
fn a_pending_offset_keeps_what_it_would_replace_and_its_group() {
    // Source: OffsetMetadataManager.cleanupExpiredOffsets.
    let mut kit = kit();
    kit.commit(offset_commit(nobody(), "t", 5));
    kit.commit_in_transaction(txn_commit(nobody(), 1, "t", 6));
    kit.advance(100 * MINUTE);
    assert_eq!(kit.offset("t"), 5);
    kit.end_transaction(1, TransactionResult::Aborted);
    kit.advance(MINUTE);
    assert_eq!((kit.offset("t"), kit.state()), (-1, ClassicState::Dead));
}

#[test]
fn a_group_that_nobody_joined_after_all_goes_at_the_next_look() {
    // Source: GroupMetadataManager.maybeDeleteGroup.
    let mut kit = kit();
    kit.join(consumer());
    assert_eq!(kit.state(), ClassicState::Empty);
    kit.advance(MINUTE);
    assert_eq!(kit.state(), ClassicState::Dead);
}
