//! JoinGroup: who is let in, and what it is told.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use crate::group::*;

#[test]
fn a_member_without_an_id_is_told_one_and_joins_with_it() {
    // Source: KIP-394.
    let mut kit = Kit::new();
    let ticket = kit.join(consumer());
    let told = kit.joined(ticket);
    assert_eq!(told.error, Some(MemberIdRequired));
    assert!(told.member_id.starts_with("client-"), "{}", told.member_id);
    assert_eq!((told.generation_id, &*told.leader, told.protocol_name), (-1, "", None));
    let ticket = kit.join(rejoining(&told.member_id));
    assert!(kit.waits(ticket), "the initial delay runs");
    kit.advance(3000);
    let joined = kit.joined(ticket);
    assert_eq!((joined.error, joined.generation_id), (None, 1));
    assert_eq!((joined.leader, joined.member_id), (told.member_id.clone(), told.member_id));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(joined.members[0].metadata, subscription(&["t"]));
}

#[test]
fn a_member_of_an_old_version_joins_at_once() {
    // Source: KIP-394; JoinGroupRequest.requiresKnownMemberId, v4.
    let mut kit = Kit::new();
    let ticket = kit.join(Join { requires_known_member_id: false, ..consumer() });
    assert!(kit.waits(ticket));
    kit.advance(3000);
    assert_eq!(kit.joined(ticket).error, None);
}

#[test]
fn a_group_is_there_from_the_first_join_on_whatever_comes_of_it() {
    // Source: GroupMetadataManager.classicGroupJoinToClassicGroup; seen on 4.3.1, with the record.
    for request in [consumer(), Join { protocols: Vec::new(), ..consumer() }] {
        let mut kit = Kit::new();
        kit.join(request);
        assert_eq!(kit.state(), ClassicState::Empty);
        assert_eq!(kit.records.len(), 1);
        let value = kit.records[0].value().unwrap();
        assert_eq!(value[..16], [0, 3, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]);
        kit.restart();
        assert_eq!(kit.state(), ClassicState::Empty);
    }
}

#[test]
fn a_group_without_a_name_cannot_be_joined() {
    // Source: GroupCoordinatorService.isGroupIdNotEmpty.
    let mut kit = Kit::new();
    assert_eq!(kit.join_error(Join { group_id: "".into(), ..consumer() }), Some(InvalidGroupId));
}

#[test]
fn a_session_timeout_is_within_the_bounds_of_the_broker() {
    // Source: group.min.session.timeout.ms, group.max.session.timeout.ms; GroupCoordinatorService.joinGroup.
    let mut kit = Kit::new();
    for (session_timeout_ms, error) in [
        (5999, InvalidSessionTimeout),
        (6000, MemberIdRequired),
        (1_800_000, MemberIdRequired),
        (1_800_001, InvalidSessionTimeout),
    ] {
        assert_eq!(kit.join_error(Join { session_timeout_ms, ..consumer() }), Some(error), "{session_timeout_ms}");
    }
    let ticket = kit.join(Join { session_timeout_ms: 0, member_id: "me".into(), ..consumer() });
    assert_eq!(&*kit.joined(ticket).member_id, "me");
}

#[test]
fn an_id_that_the_group_did_not_give_is_unknown() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember.
    let mut kit = Kit::new();
    assert_eq!(kit.join_error(rejoining(&text("me"))), Some(UnknownMemberId), "no group");
    assert_eq!(kit.state(), ClassicState::Dead, "and none comes of it");
    kit.stable(&[consumer()]);
    let ticket = kit.join(rejoining(&text("me")));
    assert_eq!((kit.joined(ticket).error, &*kit.joined(ticket).member_id), (Some(UnknownMemberId), "me"));
}

#[test]
fn a_group_that_is_empty_takes_back_no_former_member() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember, state Empty.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer()]);
    kit.leave(&[(&members[0], None)]);
    assert_eq!(kit.join_error(rejoining(&members[0])), Some(UnknownMemberId));
}

#[test]
fn a_member_must_have_a_protocol_type_and_a_protocol() {
    // Source: ClassicGroup.supportsProtocols, state Empty.
    let mut kit = Kit::new();
    let without_type = Join { protocol_type: "".into(), ..consumer() };
    assert_eq!(kit.join_error(without_type), Some(InconsistentGroupProtocol));
    let without_protocols = Join { protocols: Vec::new(), ..consumer() };
    assert_eq!(kit.join_error(without_protocols), Some(InconsistentGroupProtocol));
}

#[test]
fn a_member_must_offer_what_all_others_do() {
    // Source: ClassicGroup.supportsProtocols.
    let mut kit = Kit::new();
    kit.stable(&[offering(&["a", "b"]), offering(&["b", "c"])]);
    for (protocols, error) in [
        (&["a"][..], InconsistentGroupProtocol),
        (&["c", "a"], InconsistentGroupProtocol),
        (&["a", "b"], MemberIdRequired),
    ] {
        assert_eq!(kit.join_error(offering(protocols)), Some(error), "{protocols:?}");
    }
    let other_type = Join { protocol_type: "connect".into(), ..offering(&["b"]) };
    assert_eq!(kit.join_error(other_type), Some(InconsistentGroupProtocol));
}

#[test]
fn the_protocol_is_the_one_that_most_members_prefer_of_those_that_all_offer() {
    // Source: ClassicGroup.selectProtocol.
    let mut kit = Kit::new();
    let (_, ticket) = kit.join_with_new_id(offering(&["a", "b", "c"]));
    kit.join_with_new_id(offering(&["c", "b"]));
    kit.join_with_new_id(offering(&["c", "a", "b"]));
    kit.advance(6000);
    assert_eq!(
        kit.joined(ticket).protocol_name.as_deref(),
        Some("c"),
        "a is not offered by all; c has two votes of three"
    );
}

#[test]
fn a_protocol_that_a_member_names_twice_counts_once() {
    // Not as in Kafka, whose group would be stuck: ClassicGroup.incrementSupportedProtocols counts it twice.
    let mut kit = Kit::new();
    kit.stable(&[offering(&["range", "range"]), offering(&["range"])]);
}

#[test]
fn a_group_has_room_for_so_many_members() {
    // Source: group.max.size; GroupMetadataManager.acceptJoiningMember.
    let mut kit = Kit::with(|config| config.group_max_size = 2);
    let members = kit.stable(&[consumer(), consumer()]);
    let ticket = kit.join(consumer());
    assert_eq!((kit.joined(ticket).error, &*kit.joined(ticket).member_id), (Some(GroupMaxSizeReached), ""));
    let ticket = kit.join(rejoining(&members[1]));
    assert_eq!(kit.joined(ticket).error, None, "a member is not refused");
}

#[test]
fn while_members_join_those_count_that_wait() {
    // Source: GroupMetadataManager.acceptJoiningMember, PreparingRebalance.
    let mut kit = Kit::with(|config| config.group_max_size = 1);
    let (first, ticket) = kit.join_with_new_id(consumer());
    assert_eq!(kit.join_error(consumer()), Some(GroupMaxSizeReached));
    let again = kit.join(rejoining(&first));
    assert!(kit.waits(again), "it waits already, so it is not one more");
    assert_eq!(kit.joined(ticket).error, Some(RebalanceInProgress));
}

#[test]
fn an_id_that_was_given_out_is_dropped_when_the_group_is_full() {
    // Source: GroupMetadataManager.classicGroupJoinToClassicGroup: group.remove(memberId).
    let mut kit = Kit::with(|config| config.group_max_size = 1);
    let ticket = kit.join(consumer());
    let late = kit.joined(ticket).member_id;
    let (_, _) = kit.join_with_new_id(consumer());
    assert_eq!(kit.join_error(rejoining(&late)), Some(GroupMaxSizeReached));
    kit.config.group_max_size = 2;
    assert_eq!(kit.join_error(rejoining(&late)), Some(UnknownMemberId));
}

#[test]
fn a_member_that_asks_again_before_the_assignment_is_answered_at_once() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember, CompletingRebalance.
    let mut kit = Kit::new();
    let members = kit.completing(&[consumer(), consumer()]);
    for (member, sees) in [(&members[0], 2), (&members[1], 0)] {
        let ticket = kit.join(rejoining(member));
        let joined = kit.joined(ticket);
        assert_eq!((joined.generation_id, joined.members.len()), (1, sees));
    }
    assert_eq!(kit.state(), ClassicState::CompletingRebalance);
}

#[test]
fn a_member_that_changes_its_mind_before_the_assignment_begins_a_rebalance() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember: the whole list counts, its order and metadata.
    let mut kit = Kit::new();
    let members = kit.completing(&[consumer(), consumer()]);
    let changed = Join { protocols: vec![protocol("range", &["u"])], ..rejoining(&members[1]) };
    let ticket = kit.join(changed);
    assert!(kit.waits(ticket));
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
}

#[test]
fn a_follower_that_asks_again_in_a_stable_group_is_answered_at_once() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember, Stable.
    let mut kit = Kit::new();
    let members = kit.stable(&[consumer(), consumer()]);
    let ticket = kit.join(rejoining(&members[1]));
    let joined = kit.joined(ticket);
    assert_eq!((joined.generation_id, joined.leader, joined.members), (1, members[0].clone(), Vec::new()));
    assert_eq!(kit.state(), ClassicState::Stable);
}

#[test]
fn a_follower_with_other_metadata_begins_a_rebalance_and_so_does_the_leader_with_any() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember, Stable.
    for (member, topics) in [(1, &["u"][..]), (0, &["t"])] {
        let mut kit = Kit::new();
        let members = kit.stable(&[consumer(), consumer()]);
        let request = Join { protocols: vec![protocol("range", topics)], ..rejoining(&members[member]) };
        let first = kit.join(request);
        assert!(kit.waits(first));
        assert_eq!(kit.heartbeat(identity(&members[1 - member], 1)), Err(RebalanceInProgress));
        let second = kit.join(rejoining(&members[1 - member]));
        for ticket in [first, second] {
            assert_eq!((kit.joined(ticket).generation_id, kit.joined(ticket).leader), (2, members[0].clone()));
        }
    }
}

#[test]
fn an_id_that_was_given_out_is_not_for_a_static_member() {
    // Source: GroupMetadataManager.classicGroupJoinExistingMember, an IllegalStateException.
    let mut kit = Kit::new();
    let ticket = kit.join(consumer());
    let member_id = kit.joined(ticket).member_id;
    assert_eq!(kit.join_error(Join { member_id, ..static_consumer("i") }), Some(UnknownServerError));
}
