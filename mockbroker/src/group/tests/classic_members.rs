//! Members of the classic protocol in a consumer group. Source: `GroupMetadataManager.classicGroup*ToConsumerGroup`.

use bytes::Bytes;
use kafka_protocol::error::ResponseError::*;

use super::downgrade::mixed;
use super::kit::*;
use super::mixed_kit::*;
use crate::group::consumer::tests::kit::{beat, join};
use crate::group::*;

/// A consumer group with the member `A`, which has all of `t`.
fn alone() -> Kit {
    let mut kit = Kit::with_topic(|_| ());
    kit.beats(join("A", &["t"]));
    kit.advance(1000);
    kit
}

#[test]
fn a_member_without_an_id_is_told_one_and_joins_with_it() {
    let mut kit = alone();
    let asked = kit.joins(classic(&["t"], &[]));
    assert_eq!((asked.error, asked.generation_id), (Some(MemberIdRequired), -1));
    assert_eq!(asked.member_id.len(), 22, "an id as Kafka writes it, without the client's");
    let joined = kit.joins(classic_again(&asked.member_id, &[]));
    assert_eq!((joined.error, joined.generation_id), (None, 3));
    assert_eq!((joined.protocol_type.as_deref(), joined.protocol_name.as_deref()), (Some("consumer"), Some("range")));
    assert_eq!((&*joined.leader, joined.members.len(), joined.skip_assignment), ("", 0, false), "nobody leads");
    let before_v4 = kit.joins(Join { requires_known_member_id: false, ..classic(&["t"], &[]) });
    assert_eq!(before_v4.error, None);
    let with_an_id_of_its_own = kit.joins(classic_again("mine", &[]));
    assert_eq!(with_an_id_of_its_own.error, None, "whoever brings an id is taken in");
}

#[test]
fn who_may_not_join_is_told_why() {
    let refused = |kit: &mut Kit, request: Join| {
        let before = kit.records.len();
        let joined = kit.joins(request);
        assert_eq!((kit.records.len(), &*joined.member_id, joined.generation_id), (before, "", -1));
        joined.error
    };
    let mut kit = alone();
    kit.joins(classic_again("B", &[]));
    let connect = Join { protocol_type: "connect".into(), ..classic_again("C", &[]) };
    assert_eq!(refused(&mut kit, connect), Some(InconsistentGroupProtocol));
    let other = Join { protocols: vec![protocol("sticky", &["t"])], ..classic_again("C", &[]) };
    assert_eq!(refused(&mut kit, other), Some(InconsistentGroupProtocol), "no protocol that B knows");
    let none = Join { protocols: Vec::new(), ..classic_again("C", &[]) };
    assert_eq!(refused(&mut kit, none), Some(InconsistentGroupProtocol));
    let malformed = Protocol { name: "range".into(), metadata: Bytes::from_static(&[0]) };
    let malformed = Join { protocols: vec![malformed], ..classic_again("C", &[]) };
    assert_eq!(refused(&mut kit, malformed), Some(UnknownServerError));
    let unknown = Join { group_instance_id: Some("i".into()), ..classic_again("C", &[]) };
    assert_eq!(refused(&mut kit, unknown), Some(UnknownMemberId), "an id, and an instance that nobody is");
    kit.beats(join("S", &["t"]).instance("i"));
    let fenced = Join { group_instance_id: Some("i".into()), ..classic_again("C", &[]) };
    assert_eq!(refused(&mut kit, fenced), Some(FencedInstanceId));
    kit.set_policy("disabled");
    assert_eq!(refused(&mut kit, classic_again("B", &[])), Some(InconsistentGroupProtocol));
    let mut full = Kit::with_topic(|config| config.group_consumer_max_size = 1);
    full.beats(join("A", &["t"]));
    assert_eq!(refused(&mut full, classic(&["t"], &[])), Some(GroupMaxSizeReached));
    let short = Join { session_timeout_ms: 5999, ..classic_again("B", &[]) };
    assert_eq!(full.joins(short).error, Some(InvalidSessionTimeout));
}

#[test]
fn a_member_that_brings_the_first_protocol_may_bring_any() {
    let mut kit = alone();
    let sticky = Join { protocols: vec![protocol("sticky", &["t"])], ..classic_again("B", &[]) };
    assert_eq!(kit.joins(sticky).error, None);
    assert_eq!(kit.joins(classic_again("C", &[])).error, Some(InconsistentGroupProtocol));
}

#[test]
fn a_join_says_what_the_member_owns_and_is_answered_at_once() {
    let mut kit = alone();
    let joined = kit.joins(classic_again("B", &[]));
    // A has not given anything up.
    assert_eq!((joined.generation_id, kit.syncs("B", 3)), (3, Ok(t(&[]))));
    assert_eq!(kit.heartbeats("B", 3), Ok(()), "nothing is free for it yet, so it need not ask");
    assert_eq!(kit.beats(beat("A", 2)), (2, Some(kit.of_t(&[0, 1]))));
    let keeps = kit.of_t(&[0, 1]);
    assert_eq!(kit.beats(beat("A", 2).owning(&keeps)), (3, None));
    assert_eq!(kit.heartbeats("B", 3), Err(RebalanceInProgress), "now there is something for it");
    assert_eq!(kit.joins(classic_again("B", &[])).generation_id, 3);
    assert_eq!(kit.syncs("B", 3), Ok(t(&[2, 3])));
    assert_eq!(kit.heartbeats("B", 3), Ok(()));
}

#[test]
fn a_member_of_the_first_version_owns_nothing_when_it_joins() {
    // ConsumerProtocolSubscription v0 has no owned partitions: an eager consumer has given all up before it joins.
    let (mut kit, [first, _]) = mixed(|_| ());
    kit.advance(1000);
    kit.beats(join("other", &["t"]));
    let eager = Join { protocols: vec![protocol("range", &["t"])], ..classic_again(&first, &[]) };
    assert_eq!(kit.joins(eager).generation_id, 3, "it need not confirm what it gives up");
}

#[test]
fn a_sync_and_a_heartbeat_are_checked() {
    let mut kit = alone();
    kit.joins(classic_again("B", &[]));
    for (member_id, generation_id, error) in
        [("who", 3, UnknownMemberId), ("A", 2, UnknownMemberId), ("B", 2, IllegalGeneration)]
    {
        assert_eq!(kit.syncs(member_id, generation_id), Err(error), "{member_id}");
        assert_eq!(kit.heartbeats(member_id, generation_id), Err(error), "{member_id}");
    }
    for (protocol_type, protocol_name) in [("connect", "range"), ("consumer", "sticky")] {
        let said = (Some(protocol_type.into()), Some(protocol_name.into()));
        let request = Sync { protocol_type: said.0, protocol_name: said.1, ..sync(&"B".into(), 3) };
        let ticket = kit.sync(request);
        assert_eq!(kit.synced(ticket), Err(InconsistentGroupProtocol));
    }
    let silent = Sync { protocol_type: None, protocol_name: None, ..sync(&"B".into(), 3) };
    let ticket = kit.sync(silent);
    let synced = kit.synced(ticket).unwrap();
    assert_eq!((synced.protocol_type, synced.protocol_name), (None, None), "what was not said is not told");
    let fenced = MemberIdentity { group_instance_id: Some("i".into()), ..identity(&"B".into(), 3) };
    assert_eq!(kit.heartbeat(fenced.clone()), Err(UnknownMemberId));
    kit.advance(1000);
    kit.beats(join("S", &["t"]).instance("i"));
    assert_eq!(kit.heartbeat(fenced), Err(FencedInstanceId));
    assert_eq!(kit.syncs("B", 3), Err(RebalanceInProgress), "there is a newer target");
}

#[test]
fn who_is_told_to_join_has_the_time_of_its_rebalance_timeout() {
    let (mut kit, [first, second]) = mixed(|_| ());
    kit.advance(1000);
    kit.beats(join("other", &["t"]));
    assert_eq!(kit.heartbeats(&first, 2), Err(RebalanceInProgress));
    for _ in 0..7 {
        kit.advance(8_000);
        assert_eq!(kit.heartbeats(&first, 2), Err(RebalanceInProgress), "being told again gives no more time");
        let second_epoch = kit.described_member(&second).member_epoch;
        let _ = kit.heartbeats(&second, second_epoch);
        kit.joins(classic_again(&second, &[]));
        for member in ["new", "other"] {
            let epoch = kit.described_member(member).member_epoch;
            kit.beats(beat(member, epoch));
        }
    }
    kit.advance(4_000);
    assert_eq!(kit.heartbeats(&first, 2), Err(UnknownMemberId));
}

#[test]
fn who_has_joined_and_does_not_ask_for_its_assignment_is_removed() {
    let mut kit = alone();
    let request = Join { rebalance_timeout_ms: 8_000, ..classic_again("B", &[]) };
    kit.joins(request);
    kit.advance(7_999);
    assert_eq!(kit.heartbeats("B", 3), Ok(()));
    kit.advance(1);
    assert_eq!(kit.heartbeats("B", 3), Err(UnknownMemberId));
}

#[test]
fn a_session_is_as_long_as_the_member_asked_for() {
    let mut kit = alone();
    kit.joins(classic_again("B", &[]));
    assert_eq!(kit.syncs("B", 3), Ok(t(&[])));
    kit.advance(9_999);
    assert_eq!(kit.heartbeats("B", 3), Ok(()));
    kit.advance(10_000);
    assert_eq!(kit.heartbeats("B", 3), Err(UnknownMemberId));
}

#[test]
fn a_member_that_must_give_up_has_no_rebalance_timer_until_it_is_told() {
    let mut kit = Kit::with_topic(|_| ());
    kit.beats(join("A", &["t"]));
    let request = Join { rebalance_timeout_ms: 300_000, ..classic_again("B", &[]) };
    kit.advance(1000);
    kit.joins(request.clone());
    kit.beats(beat("A", -1));
    assert_eq!(kit.group_type(), Some(GroupType::Classic), "A was the last of its protocol");
}

#[test]
fn members_leave_by_their_id_or_their_instance() {
    let (mut kit, [first, _]) = mixed(|_| ());
    kit.advance(1000);
    kit.beats(join("S", &["t"]).instance("i"));
    kit.beats(join("T", &["t"]).instance("j"));
    let before = kit.records.len();
    let left = kit.leave(&[("", None), ("who", None), (&first, Some("k")), ("who", Some("i"))]);
    assert_eq!(left, [Some(UnknownMemberId), Some(UnknownMemberId), Some(UnknownMemberId), Some(FencedInstanceId)]);
    assert_eq!(kit.records.len(), before, "nobody has left");
    assert_eq!(kit.leave(&[("", Some("i")), ("T", Some("j")), (&first, None)]), [None, None, None]);
    assert_eq!(kit.kinds_since(before), [8, 7, 5, 8, 7, 5, 8, 7, 5, 3], "one new epoch for all");
    assert_eq!(kit.described().members.len(), 2);
}

#[test]
fn each_kind_of_member_commits_by_its_epoch() {
    let (mut kit, [first, _]) = mixed(|_| ());
    let commit = |kit: &mut Kit, member_id: &str, epoch: i32| {
        kit.commit(offset_commit(identity(&text(member_id), epoch), "t", 5))[0]
    };
    assert_eq!((commit(&mut kit, "new", 2), commit(&mut kit, &first, 2)), (None, None));
    assert_eq!(
        (commit(&mut kit, "new", 3), commit(&mut kit, &first, 3)),
        (Some(StaleMemberEpoch), Some(IllegalGeneration))
    );
    assert_eq!(commit(&mut kit, "who", 2), Some(UnknownMemberId));
    assert_eq!(commit(&mut kit, "", -1), Some(UnknownMemberId), "there are members");
    let old = |member_id: &str| OffsetCommit {
        knows_group_id_not_found: false,
        ..offset_commit(identity(&text(member_id), 2), "t", 6)
    };
    assert_eq!((kit.commit(old("new")), kit.commit(old(&first))), (vec![Some(UnsupportedVersion)], vec![None]));
    let in_transaction = |kit: &mut Kit, member_id: &str, epoch: i32| {
        kit.commit_in_transaction(txn_commit(identity(&text(member_id), epoch), 1, "t", 7))[0]
    };
    assert_eq!((in_transaction(&mut kit, "new", 2), in_transaction(&mut kit, "", -1)), (None, None));
    assert_eq!(in_transaction(&mut kit, "new", 3), Some(IllegalGeneration), "TxnOffsetCommit knows no other word");
    for (member_id, epoch, error) in [
        ("new", 2, None),
        ("new", 1, Some(StaleMemberEpoch)),
        (&*first, 1, Some(IllegalGeneration)),
        ("who", 2, Some(UnknownMemberId)),
    ] {
        assert_eq!(kit.coordinator.check_offset_fetch(GROUP, Some(member_id), epoch).err(), error);
    }
    assert_eq!(kit.coordinator.check_offset_fetch(GROUP, None, -1), Ok(()));
    assert_eq!(kit.delete_offsets("t"), Ok(vec![Some(GroupSubscribedToTopic)]));
    assert_eq!(kit.delete_group(GROUP), Some(NonEmptyGroup));
}
