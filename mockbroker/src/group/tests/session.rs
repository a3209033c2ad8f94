//! Heartbeat, LeaveGroup, and members that are not heard of.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::group::*;

#[test]
fn a_heartbeat_is_answered_by_the_state_of_the_group() {
    // Source: GroupMetadataManager.classicGroupHeartbeatToClassicGroup.
    let mut kit = Kit::new();
    assert_eq!(kit.heartbeat(identity(&text("me"), 1)), Err(UnknownMemberId), "no group");
    let members = kit.completing(&[consumer()]);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()), "CompletingRebalance");
    kit.assign(&members, 1);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()), "Stable");
    kit.join_with_new_id(consumer());
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Err(RebalanceInProgress));
}

#[test]
fn a_heartbeat_of_somebody_else_is_refused() {
    // Source: GroupMetadataManager.validateClassicGroupHeartbeat.
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i")]);
    let as_instance = |member_id: &str, instance: &str| MemberIdentity {
        group_instance_id: Some(text(instance)),
        ..identity(&text(member_id), 1)
    };
    for (member, error) in [
        (identity(&text("me"), 1), UnknownMemberId),
        (as_instance(&members[0], "j"), UnknownMemberId),
        (as_instance("me", "i"), FencedInstanceId),
        (identity(&members[0], 0), IllegalGeneration),
        (identity(&members[0], 2), IllegalGeneration),
        (MemberIdentity { group_id: "".into(), ..identity(&members[0], 1) }, InvalidGroupId),
    ] {
        assert_eq!(kit.heartbeat(member.clone()), Err(error), "{member:?}");
    }
}

#[test]
fn a_member_that_is_not_heard_of_is_taken_out_and_the_others_rebalance() {
    // Source: GroupMetadataManager.expireClassicGroupMemberHeartbeat.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer(), consumer()]);
    kit.advance(9999);
    assert_eq!(kit.heartbeat(identity(&members[1], 1)), Ok(()));
    kit.advance(1);
    assert_eq!(kit.heartbeat(identity(&members[1], 1)), Err(RebalanceInProgress));
    let ticket = kit.join(rejoining(&members[1]));
    assert_eq!((kit.joined(ticket).generation_id, kit.joined(ticket).leader), (2, members[1].clone()));
}

#[test]
fn the_last_member_that_is_lost_leaves_an_empty_group() {
    // Source: GroupMetadataManager.completeClassicGroupJoin; the generation goes on.
    let mut kit = Kit::new();
    kit.stable(&[consumer()]);
    kit.advance(10_000);
    assert_eq!(kit.state(), ClassicState::Empty);
    let (_, ticket) = kit.join_with_new_id(consumer());
    kit.advance(3000);
    assert_eq!(kit.joined(ticket).generation_id, 3);
}

#[test]
fn who_waits_for_a_rebalance_is_alive() {
    // Source: ClassicGroupMember.hasSatisfiedHeartbeat.
    let mut kit = Kit::new();
    let members = kit.stable(&[Join { session_timeout_ms: 60_000, ..consumer() }, consumer()]);
    let changed = Join { protocols: vec![protocol("range", &["u"])], ..rejoining(&members[1]) };
    let ticket = kit.join(changed);
    kit.advance(20_000);
    assert!(kit.waits(ticket));
    let leader = kit.join(rejoining(&members[0]));
    assert_eq!(kit.joined(leader).members.len(), 2);
}

#[test]
fn a_new_member_is_given_five_minutes_and_no_more() {
    // Source: GroupMetadataManager.classicGroupNewMemberJoinTimeoutMs: a new member is lost even while it waits.
    let mut kit = Kit::new();
    let patient = Join { rebalance_timeout_ms: 1_000_000, session_timeout_ms: 1_000_000, ..consumer() };
    kit.stable(&[patient]);
    let (_, ticket) = kit.join_with_new_id(consumer());
    kit.advance(299_999);
    assert!(kit.waits(ticket));
    kit.advance(1);
    assert_eq!((kit.joined(ticket).error, &*kit.joined(ticket).member_id), (Some(UnknownMemberId), ""));
}

#[test]
fn an_id_that_nobody_joins_with_is_forgotten_after_a_session() {
    // Source: GroupMetadataManager.removePendingMemberAndUpdateClassicGroup: the others wait for it no longer.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    let ticket = kit.join(Join { session_timeout_ms: 7000, ..consumer() });
    let pending = kit.joined(ticket).member_id;
    let leader = kit.join(rejoining(&members[0]));
    kit.advance(6999);
    assert!(kit.waits(leader));
    kit.advance(1);
    assert_eq!(kit.joined(leader).generation_id, 2);
    assert_eq!(kit.join_error(rejoining(&pending)), Some(UnknownMemberId));
}

#[test]
fn a_member_that_leaves_is_taken_out_at_once() {
    // Source: GroupMetadataManager.classicGroupLeaveToClassicGroup.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer(), consumer()]);
    assert_eq!(kit.leave(&[(&members[0], None)]), [None]);
    assert_eq!(kit.heartbeat(identity(&members[1], 1)), Err(RebalanceInProgress));
    assert_eq!(kit.leave(&[(&members[1], None)]), [None]);
    assert_eq!(kit.state(), ClassicState::Empty);
    assert_eq!(kit.leave(&[(&members[1], None)]), [Some(UnknownMemberId)]);
}

#[test]
fn members_leave_in_a_batch_and_each_is_told_its_own() {
    // Source: KIP-345; GroupMetadataManager.classicGroupLeaveToClassicGroup. Seen on 4.3.1.
    let mut kit = Kit::new();
    kit.stable(&[static_consumer("i"), static_consumer("j")]);
    let ticket = kit.join(consumer());
    let pending = kit.joined(ticket).member_id;
    let results = kit.leave(&[
        ("", Some("i")),
        ("", Some("i")),
        ("", None),
        ("nobody", None),
        ("nobody", Some("j")),
        ("nobody", Some("k")),
        (&pending, None),
    ]);
    let unknown = Some(UnknownMemberId);
    assert_eq!(results, [None, unknown, unknown, unknown, Some(FencedInstanceId), unknown, None]);
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
}

#[test]
fn who_leaves_a_group_that_does_not_exist_is_unknown() {
    // Source: GroupCoordinatorService.leaveGroup. Seen on 4.3.1.
    let mut kit = Kit::new();
    assert_eq!(kit.leave(&[("a", None), ("b", None)]), [Some(UnknownMemberId); 2]);
    let ticket = kit.ask(|ticket| Event::Leave(ticket, Leave::default()));
    assert_eq!(*kit.answer(ticket), Response::Leave(Err(InvalidGroupId)));
}

#[test]
fn who_leaves_while_it_waits_is_told_that_it_is_no_member() {
    // Source: GroupMetadataManager.removeCurrentMemberFromClassicGroup. Kafka never answers the SyncGroup.
    let mut kit = Kit::new();
    let members = kit.completing(&[consumer(), consumer()]);
    let sync = kit.sync(sync(&members[1], 1));
    kit.leave(&[(&members[1], None)]);
    assert_eq!(kit.synced(sync), Err(UnknownMemberId));
    let ticket = kit.join(rejoining(&members[0]));
    assert_eq!(kit.joined(ticket).members.len(), 1);
    let (second, ticket) = kit.join_with_new_id(consumer());
    kit.leave(&[(&second, None)]);
    assert_eq!((kit.joined(ticket).error, &*kit.joined(ticket).member_id), (Some(UnknownMemberId), ""));
}

#[test]
fn a_member_that_leaves_does_not_end_the_initial_delay() {
    // Source: GroupMetadataManager.maybeCompleteJoinPhase.
    let mut kit = Kit::new();
    let (_, first) = kit.join_with_new_id(consumer());
    let (second, _) = kit.join_with_new_id(consumer());
    kit.leave(&[(&second, None)]);
    assert!(kit.waits(first));
    kit.advance(6000);
    assert_eq!(kit.joined(first).members.len(), 1);
}

#[test]
fn a_commit_counts_as_a_heartbeat() {
    // Source: OffsetMetadataManager.commitOffset.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    kit.advance(9000);
    assert_eq!(kit.commit(offset_commit(identity(&members[0], 1), "t", 5)), [None]);
    kit.advance(9000);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()));
}

#[test]
fn an_idle_group_has_no_deadline() {
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    kit.leave(&[(&members[0], None)]);
    let check_ms = kit.config.offsets_retention_check_interval_ms;
    assert!(kit.coordinator.next_deadline() > Some(kit.now.plus_millis(check_ms - 60_000)), "but that of the offsets");
}
