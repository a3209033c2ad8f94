//! How long a group waits for whom.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::group::*;

#[test]
fn a_group_that_was_empty_waits_for_more_members() {
    // Source: KIP-134; group.initial.rebalance.delay.ms.
    let mut kit = Kit::new();
    let (_, ticket) = kit.join_with_new_id(consumer());
    kit.advance(2999);
    assert!(kit.waits(ticket));
    kit.advance(1);
    assert_eq!(kit.joined(ticket).generation_id, 1);
}

#[test]
fn the_initial_delay_is_extended_while_members_come() {
    // Source: GroupMetadataManager.tryCompleteInitialRebalanceElseSchedule.
    let mut kit = Kit::new();
    let (_, first) = kit.join_with_new_id(consumer());
    kit.advance(2000);
    let (_, second) = kit.join_with_new_id(consumer());
    kit.advance(1000);
    assert!(kit.waits(first), "a member came, so three more seconds");
    kit.advance(2999);
    assert!(kit.waits(first));
    kit.advance(1);
    assert_eq!((kit.joined(first).generation_id, kit.joined(second).generation_id), (1, 1));
    assert_eq!(kit.joined(first).members.len(), 2);
}

#[test]
fn the_initial_delay_is_extended_up_to_the_rebalance_timeout() {
    // Source: GroupMetadataManager.tryCompleteInitialRebalanceElseSchedule. 3000, then 3000, then what is left of 7000 less
    // one delay: the time that is left is counted one delay late.
    let mut kit = Kit::new();
    let request = Join { rebalance_timeout_ms: 7000, ..consumer() };
    let (_, first) = kit.join_with_new_id(request.clone());
    let mut waited = 0;
    while kit.waits(first) {
        kit.join_with_new_id(request.clone());
        kit.advance(1000);
        waited += 1000;
    }
    assert_eq!(waited, 7000);
}

#[test]
fn without_a_delay_the_first_member_is_not_kept_waiting() {
    // Source: group.initial.rebalance.delay.ms = 0: a timer that is due at once.
    let mut kit = Kit::with(|config| config.group_initial_rebalance_delay_ms = 0);
    let (_, ticket) = kit.join_with_new_id(consumer());
    assert_eq!(kit.coordinator.next_deadline(), Some(kit.now));
    kit.expire();
    assert_eq!(kit.joined(ticket).generation_id, 1);
}

#[test]
fn a_rebalance_ends_when_all_members_have_joined() {
    // Source: ClassicGroup.hasAllMembersJoined.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer(), consumer()]);
    let (third, ticket) = kit.join_with_new_id(consumer());
    let first = kit.join(rejoining(&members[0]));
    assert!(kit.waits(first) && kit.waits(ticket));
    let second = kit.join(rejoining(&members[1]));
    for ticket in [ticket, first, second] {
        let joined = kit.joined(ticket);
        assert_eq!((joined.generation_id, &joined.leader), (2, &members[0]));
        assert_eq!(joined.members.len(), if joined.member_id == members[0] { 3 } else { 0 });
    }
    assert_ne!(third, members[0]);
}

#[test]
fn a_rebalance_waits_for_whom_an_id_was_given() {
    // Source: ClassicGroup.hasAllMembersJoined, pendingJoinMembers.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    let ticket = kit.join(consumer());
    let pending = kit.joined(ticket).member_id;
    let leader = kit.join(rejoining(&members[0]));
    assert!(kit.waits(leader));
    kit.join(rejoining(&pending));
    assert_eq!(kit.joined(leader).members.len(), 2);
}

#[test]
fn a_member_that_misses_the_rebalance_is_taken_out() {
    // Source: GroupMetadataManager.completeClassicGroupJoin; the greatest rebalance timeout of all counts.
    let mut kit = Kit::new();
    let slow = Join { rebalance_timeout_ms: 20_000, session_timeout_ms: 30_000, ..consumer() };
    let quick = Join { rebalance_timeout_ms: 8000, session_timeout_ms: 30_000, ..consumer() };
    let members = kit.stable(&[slow, quick.clone()]);
    let ticket = kit.join(Join { member_id: members[1].clone(), protocols: vec![protocol("range", &["u"])], ..quick });
    kit.advance(19_999);
    assert!(kit.waits(ticket));
    kit.advance(1);
    let joined = kit.joined(ticket);
    assert_eq!((joined.generation_id, joined.leader), (2, members[1].clone()), "who has joined leads");
    assert_eq!(kit.heartbeat(identity(&members[0], 2)), Err(UnknownMemberId));
}

#[test]
fn a_rebalance_that_nobody_joins_but_static_members_goes_on() {
    // Source: GroupMetadataManager.completeClassicGroupJoin: the timer starts anew.
    let mut kit = Kit::new();
    let request = Join { rebalance_timeout_ms: 0, session_timeout_ms: 60_000, ..static_consumer("i") };
    let members = kit.stable(&[request.clone(), Join { session_timeout_ms: 6000, ..consumer() }]);
    kit.advance(6000);
    assert_eq!(kit.heartbeat(identity(&members[0], 1)), Err(RebalanceInProgress));
    kit.advance(10_000);
    assert_eq!(kit.state(), ClassicState::PreparingRebalance, "and the broker is not kept busy by a timeout of 0 ms");
    let ticket = kit.join(Join { member_id: members[0].clone(), ..request });
    assert_eq!(kit.joined(ticket).generation_id, 2);
}

#[test]
fn the_end_of_a_rebalance_gives_everyone_its_session_anew() {
    // Source: GroupMetadataManager.completeClassicGroupJoin, rescheduleClassicGroupMemberHeartbeat.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    let ticket = kit.join(consumer());
    kit.join(rejoining(&members[0]));
    kit.advance(10_000);
    assert_eq!(kit.heartbeat(identity(&members[0], 2)), Ok(()), "who waits is alive");
    assert_eq!(kit.join_error(rejoining(&kit.joined(ticket).member_id)), Some(UnknownMemberId));
}

#[test]
fn states_move_as_in_kafka() {
    // Source: ClassicGroupState.
    let moves: Vec<String> = ClassicState::ALL
        .iter()
        .map(|to| {
            format!("{} <- {}", to.name(), to.previous().iter().map(|it| it.name()).collect::<Vec<_>>().join(", "))
        })
        .collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/snapshots");
    insta::with_settings!({ snapshot_path => folder, omit_expression => true }, {
        insta::assert_snapshot!(moves.join("\n"));
    });
}
