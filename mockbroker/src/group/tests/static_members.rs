//! Static members (KIP-345) and what they need not be told (KIP-814).

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::group::*;

#[test]
fn a_static_member_joins_without_being_told_an_id_first() {
    // Source: GroupMetadataManager.classicGroupJoinNewStaticMember.
    let mut kit = Kit::new();
    let ticket = kit.join(static_consumer("i"));
    assert!(kit.waits(ticket));
    kit.advance(3000);
    assert!(kit.joined(ticket).member_id.starts_with("i-"));
    assert_eq!(kit.joined(ticket).members[0].group_instance_id.as_deref(), Some("i"));
}

#[test]
fn a_static_follower_that_is_back_gets_a_new_id_and_nobody_rebalances() {
    // Source: GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin, Stable.
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i"), static_consumer("j")]);
    let ticket = kit.join(static_consumer("j"));
    let joined = kit.joined(ticket);
    assert_eq!((joined.error, joined.generation_id, joined.skip_assignment), (None, 1, false));
    assert_eq!((&joined.leader, joined.members.len()), (&members[0], 0));
    assert_ne!(joined.member_id, members[1]);
    let again = kit.sync(sync(&joined.member_id, 1));
    assert_eq!(kit.synced(again).unwrap().assignment, vec![2_u8], "what it had");
    let old = MemberIdentity { group_instance_id: Some("j".into()), ..identity(&members[1], 1) };
    assert_eq!(kit.heartbeat(old), Err(FencedInstanceId));
    assert_eq!(kit.heartbeat(identity(&members[1], 1)), Err(UnknownMemberId));
    assert_eq!(kit.state(), ClassicState::Stable);
    kit.restart();
    assert_eq!(kit.heartbeat(identity(&joined.member_id, 1)), Ok(()), "the new id is persisted");
}

#[test]
fn a_static_leader_that_is_back_leads_and_skips_the_assignment() {
    // Source: KIP-814, JoinGroup v9.
    let mut kit = Kit::new();
    kit.stable(&[static_consumer("i"), static_consumer("j")]);
    let ticket = kit.join(static_consumer("i"));
    let joined = kit.joined(ticket);
    assert_eq!((joined.generation_id, joined.skip_assignment, joined.members.len()), (1, true, 2));
    assert_eq!(joined.leader, joined.member_id);
}

#[test]
fn a_static_leader_that_cannot_skip_is_told_that_its_old_id_leads() {
    // Source: GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin, before v9.
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i"), static_consumer("j")]);
    let ticket = kit.join(Join { supports_skipping_assignment: false, ..static_consumer("i") });
    let joined = kit.joined(ticket);
    assert_eq!((&joined.leader, joined.skip_assignment, joined.members.len()), (&members[0], false, 0));
    assert_ne!(joined.member_id, members[0]);
}

#[test]
fn a_static_member_that_changes_the_protocol_begins_a_rebalance() {
    // Source: GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin.
    let mut kit = Kit::new();
    let both = Join { protocols: offering(&["a", "b"]).protocols, ..static_consumer("i") };
    let ticket = kit.join(both.clone());
    kit.advance(3000);
    let leader = kit.joined(ticket).member_id;
    let own = Sync { protocol_name: Some("a".into()), ..sync(&leader, 1) };
    kit.sync(own);
    let ticket = kit.join(Join { protocols: offering(&["b", "a"]).protocols, ..both });
    let joined = kit.joined(ticket);
    assert_eq!((joined.generation_id, joined.protocol_name.as_deref()), (2, Some("b")));
}

#[test]
fn a_static_member_that_is_back_before_the_assignment_begins_a_rebalance() {
    // Source: GroupMetadataManager.updateStaticMemberThenRebalanceOrCompleteJoin, CompletingRebalance.
    let mut kit = Kit::new();
    let members = kit.completing(&[static_consumer("i"), static_consumer("j")]);
    let waiting = kit.sync(sync(&members[1], 1));
    let ticket = kit.join(static_consumer("j"));
    assert_eq!(kit.synced(waiting), Err(FencedInstanceId), "that of its old id");
    assert!(kit.waits(ticket));
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Err(RebalanceInProgress));
}

#[test]
fn a_static_member_that_is_back_while_members_join_fences_the_join_that_waits() {
    // Source: ClassicGroup.replaceStaticMember.
    let mut kit = Kit::new();
    let first = kit.join(static_consumer("i"));
    let second = kit.join(static_consumer("i"));
    assert_eq!(kit.joined(first).error, Some(FencedInstanceId));
    assert!(kit.joined(first).member_id.starts_with("i-"), "its own id");
    kit.advance(6000);
    assert_eq!(kit.joined(second).members.len(), 1);
}

#[test]
fn a_static_member_that_joins_with_the_id_of_another_is_fenced() {
    // Source: ClassicGroup.validateMember.
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i"), static_consumer("j")]);
    let with = |member_id: &str, instance: &str| Join { member_id: text(member_id), ..static_consumer(instance) };
    assert_eq!(kit.join_error(with(&members[1], "i")), Some(FencedInstanceId));
    assert_eq!(kit.join_error(with(&members[1], "k")), Some(UnknownMemberId));
    assert_eq!(kit.join_error(with(&members[1], "j")), None);
}

#[test]
fn a_static_member_that_is_silent_stays_until_its_session_ends() {
    // Source: KIP-345.
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i"), static_consumer("j")]);
    kit.advance(9999);
    kit.heartbeat(identity(&members[0], 1)).unwrap();
    assert_eq!(kit.state(), ClassicState::Stable);
    kit.advance(1);
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
}

#[test]
fn the_session_of_an_id_that_was_replaced_ends_nothing() {
    let mut kit = Kit::new();
    let members = kit.stable(&[static_consumer("i"), static_consumer("j")]);
    kit.advance(9000);
    let ticket = kit.join(static_consumer("j"));
    let new = kit.joined(ticket).member_id;
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Ok(()));
    kit.advance(9000);
    assert_eq!(kit.heartbeat(identity(&new, 1)), Ok(()), "ten seconds after the old id was heard of");
    assert_eq!(kit.state(), ClassicState::Stable);
}

#[test]
fn a_static_member_stays_when_it_misses_a_rebalance() {
    // Source: GroupMetadataManager.completeClassicGroupJoin.
    let mut kit = Kit::new();
    let lasting = |instance| Join { session_timeout_ms: 1_000_000, ..static_consumer(instance) };
    let members = kit.stable(&[lasting("i"), lasting("j")]);
    let ticket =
        kit.join(Join { member_id: members[1].clone(), protocols: vec![protocol("range", &["u"])], ..lasting("j") });
    kit.advance(60_000);
    let joined = kit.joined(ticket);
    assert_eq!((joined.generation_id, &joined.leader, joined.members.len()), (2, &members[1], 2));
    assert_eq!(kit.heartbeat(identity(&members[0], 2)), Ok(()));
}

#[test]
fn a_static_member_that_is_back_before_it_has_synced_costs_a_rebalance_later() {
    // Seen on 4.3.1: the old id stays among those that have not synced, and is "removed" when the time to sync is over.
    let mut kit = Kit::new();
    let request = |instance| Join { rebalance_timeout_ms: 8000, ..static_consumer(instance) };
    let members = kit.completing(&[request("i"), request("j")]);
    kit.sync(sync(&members[0], 1));
    let ticket = kit.join(request("j"));
    let new = kit.joined(ticket).member_id;
    let synced = kit.sync(sync(&new, 1));
    assert!(kit.synced(synced).is_ok());
    kit.advance(4000);
    assert_eq!(kit.heartbeat(identity(&new, 1)), Ok(()));
    kit.advance(4000);
    assert_eq!(kit.heartbeat(identity(&new, 1)), Err(RebalanceInProgress));
}
