//! SyncGroup.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::group::*;

#[test]
fn everyone_waits_for_the_leader_and_gets_its_own() {
    // Source: GroupMetadataManager.classicGroupSyncToClassicGroup.
    let mut kit = Kit::new();
    let members = kit.completing(&[consumer(), consumer(), consumer()]);
    let follower = kit.sync(Sync { assignments: vec![(members[1].clone(), "x".into())], ..sync(&members[1], 1) });
    assert!(kit.waits(follower), "what a follower brings is passed over");
    let assignments = vec![(members[0].clone(), "0".into()), (members[1].clone(), "1".into()), (text("?"), "?".into())];
    let leader = kit.sync(Sync { assignments, ..sync(&members[0], 1) });
    assert_eq!(kit.synced(leader).unwrap().assignment, "0");
    let synced = kit.synced(follower).unwrap();
    assert_eq!(synced.assignment, "1");
    assert_eq!((synced.protocol_type.as_deref(), synced.protocol_name.as_deref()), (Some("consumer"), Some("range")));
    assert_eq!(kit.state(), ClassicState::Stable);
    let late = kit.sync(sync(&members[2], 1));
    assert_eq!(kit.synced(late).unwrap().assignment, "", "the leader did not name it");
    let again = kit.sync(sync(&members[1], 1));
    assert_eq!(kit.synced(again).unwrap().assignment, "1");
}

#[test]
fn who_may_not_sync_is_told_why() {
    // Source: GroupMetadataManager.classicGroupSync, validateSyncGroup.
    let mut kit = Kit::new();
    let ticket = kit.sync(sync(&text("me"), 1));
    assert_eq!(kit.synced(ticket), Err(UnknownMemberId), "no group");
    kit.join(consumer());
    let ticket = kit.sync(sync(&text("me"), 0));
    assert_eq!(kit.synced(ticket), Err(UnknownMemberId), "an empty group");
    let members = kit.stable(&[static_consumer("i")]);
    let own = sync(&members[0], 1);
    let static_one = |member_id: &str, instance: &str| MemberIdentity {
        group_instance_id: Some(text(instance)),
        ..identity(&text(member_id), 1)
    };
    for (request, error) in [
        (sync(&text("me"), 1), UnknownMemberId),
        (Sync { member: static_one(&members[0], "j"), ..own.clone() }, UnknownMemberId),
        (Sync { member: static_one("me", "i"), ..own.clone() }, FencedInstanceId),
        (sync(&members[0], 0), IllegalGeneration),
        (sync(&members[0], 2), IllegalGeneration),
        (Sync { protocol_type: Some("connect".into()), ..own.clone() }, InconsistentGroupProtocol),
        (Sync { protocol_name: Some("other".into()), ..own.clone() }, InconsistentGroupProtocol),
        (Sync { member: MemberIdentity { group_id: "".into(), ..own.member.clone() }, ..own.clone() }, InvalidGroupId),
    ] {
        let ticket = kit.sync(request.clone());
        assert_eq!(kit.synced(ticket), Err(error), "{request:?}");
    }
    let ticket = kit.sync(Sync { protocol_type: None, protocol_name: None, ..own });
    assert!(kit.synced(ticket).is_ok(), "before v5 they are not said");
}

#[test]
fn who_syncs_while_members_join_has_to_join_again() {
    // Source: GroupMetadataManager.classicGroupSyncToClassicGroup, PreparingRebalance.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    kit.join_with_new_id(consumer());
    let ticket = kit.sync(sync(&members[0], 1));
    assert_eq!(kit.synced(ticket), Err(RebalanceInProgress));
}

#[test]
fn a_rebalance_that_begins_before_the_assignment_ends_the_waiting() {
    // Source: GroupMetadataManager.resetAndPropagateAssignmentWithError.
    let mut kit = Kit::new();
    let members = kit.completing(&[consumer(), consumer()]);
    let follower = kit.sync(sync(&members[1], 1));
    kit.join_with_new_id(consumer());
    assert_eq!(kit.synced(follower), Err(RebalanceInProgress));
}

#[test]
fn a_member_that_does_not_sync_in_time_is_taken_out() {
    // Source: GroupMetadataManager.expirePendingSync; the greatest rebalance timeout of all, from the join's end on.
    let mut kit = Kit::new();
    let request = Join { rebalance_timeout_ms: 8000, session_timeout_ms: 30_000, ..consumer() };
    let members = kit.completing(&[request.clone(), request]);
    let assigned_at = kit.now;
    let leader = kit.sync(sync(&members[0], 1));
    assert!(kit.synced(leader).is_ok());
    kit.advance(7999);
    let elapsed = kit.now.since(assigned_at);
    assert!(elapsed.as_millis() < 8000);
    kit.advance(8000);
    assert_eq!(kit.heartbeat(identity(&members[1], 1)), Err(UnknownMemberId));
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
}

#[test]
fn a_leader_that_does_not_sync_is_taken_out_and_those_that_wait_join_again() {
    // Source: GroupMetadataManager.expirePendingSync, CompletingRebalance.
    let mut kit = Kit::new();
    let request = Join { rebalance_timeout_ms: 8000, session_timeout_ms: 30_000, ..consumer() };
    let members = kit.completing(&[request.clone(), request]);
    let follower = kit.sync(sync(&members[1], 1));
    kit.advance(8000);
    assert_eq!(kit.synced(follower), Err(RebalanceInProgress));
    let ticket = kit.join(rejoining(&members[1]));
    assert_eq!((kit.joined(ticket).generation_id, kit.joined(ticket).leader), (2, members[1].clone()));
}

#[test]
fn a_second_sync_of_one_member_takes_the_place_of_the_first() {
    // Not as in Kafka, which never answers the first (ClassicGroupMember.setAwaitingSyncFuture).
    let mut kit = Kit::new();
    let members = kit.completing(&[consumer(), consumer()]);
    let first = kit.sync(sync(&members[1], 1));
    let second = kit.sync(sync(&members[1], 1));
    assert_eq!(kit.synced(first), Err(RebalanceInProgress));
    assert!(kit.waits(second));
}
