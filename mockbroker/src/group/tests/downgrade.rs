//! A consumer group that becomes a classic group. Sources: KIP-848; `GroupMetadataManager.convertToClassicGroup`,
//! `validateOnlineDowngradeWithFencedMembers`, `validateOnlineDowngradeWithReplacedMember`, `ClassicGroup.fromConsumerGroup`.

use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use super::mixed_kit::*;
use crate::group::consumer::ConsumerGroupState;
use crate::group::consumer::tests::kit::{beat, join};
use crate::group::*;

#[test]
fn the_last_member_of_the_consumer_protocol_leaves_a_classic_group_behind() {
    let (mut kit, [first, second]) = mixed(|_| ());
    let before = kit.records.len();
    assert_eq!(kit.beats(beat("new", -1)), (-1, None));
    assert_eq!(kit.group_type(), Some(GroupType::Classic));
    // Tombstones by kind: assignments, targets, target epoch, members, partition metadata, group; then the classic group.
    assert_eq!(kit.kinds_since(before), [8, 8, 8, 7, 7, 7, 6, 5, 5, 5, 4, 3, 2]);
    // The group epoch is its generation, and what everyone was to have is what it has.
    let Record::GroupMetadata(_, Some(value)) = kit.records.last().unwrap() else { panic!("not a classic group") };
    assert_eq!((value.generation, value.protocol.as_deref(), value.members.len()), (2, Some("range"), 2));
    let assigned = value.members.iter().flat_map(|member| named(&member.assignment));
    assert_eq!(assigned.map(|(_, partitions)| partitions.len()).sum::<usize>(), 3, "one partition was the leaver's");
    // They are to join again, since one of them has left.
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
    for member in [&first, &second] {
        assert_eq!(kit.heartbeats(member, 2), Err(RebalanceInProgress));
    }
    let joins = [kit.join(classic_again(&first, &[])), kit.join(classic_again(&second, &[]))];
    let joined = joins.map(|ticket| kit.joined(ticket));
    assert!(joined.iter().all(|joined| joined.error.is_none() && joined.generation_id == 3));
    let leaders = joined.iter().filter(|joined| joined.leader == joined.member_id && joined.members.len() == 2);
    assert_eq!(leaders.count(), 1);
    kit.restart();
    assert_eq!(kit.group_type(), Some(GroupType::Classic));
}

#[test]
fn a_last_member_that_is_lost_leaves_one_behind_too() {
    let (mut kit, [first, second]) = mixed(|_| ());
    for _ in 0..5 {
        kit.advance(9_000);
        if kit.group_type() == Some(GroupType::Consumer) {
            assert_eq!((kit.heartbeats(&first, 2), kit.heartbeats(&second, 2)), (Ok(()), Ok(())));
        }
    }
    assert_eq!((kit.group_type(), kit.state()), (Some(GroupType::Classic), ClassicState::PreparingRebalance));
    assert_eq!(kit.heartbeats(&first, 2), Err(RebalanceInProgress));
}

#[test]
fn a_policy_may_forbid_it() {
    for (policy, becomes) in [("upgrade", GroupType::Consumer), ("bidirectional", GroupType::Classic)] {
        let (mut kit, _) = mixed(|_| ());
        kit.set_policy(policy);
        kit.beats(beat("new", -1));
        assert_eq!(kit.group_type(), Some(becomes), "{policy}");
    }
    let (mut kit, [first, _]) = mixed(|_| ());
    kit.config.group_max_size = 1;
    kit.beats(beat("new", -1));
    assert_eq!(kit.group_type(), Some(GroupType::Consumer), "too large for a classic group");
    assert_eq!(kit.leave(&[(&first, None)]), [None]);
    assert_eq!(kit.group_type(), Some(GroupType::Classic), "now it is not");
}

#[test]
fn when_all_leave_at_once_the_group_stays_and_is_empty() {
    let (mut kit, [first, second]) = mixed(|_| ());
    assert_eq!(kit.leave(&[(&first, None), (&second, None), ("new", None), ("who", None)])[..3], [None, None, None]);
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Empty);
    assert_eq!(kit.delete_group(GROUP), None);
    assert_eq!(kit.group_type(), None);
}

#[test]
fn a_static_member_that_comes_back_in_the_classic_protocol_takes_the_group_along() {
    let mut kit = Kit::with_topic(|_| ());
    assert_eq!(kit.beats(join("A", &["t"]).instance("i")), (2, Some(kit.of_t(&[0, 1, 2, 3]))));
    let before = kit.records.len();
    let request = Join { group_instance_id: Some("i".into()), ..classic(&["t"], &[]) };
    let joined = kit.joins(request);
    assert_eq!(kit.group_type(), Some(GroupType::Classic));
    // Its epoch begins anew, and its target is that of the group, so it has it at once.
    assert_eq!((joined.error, joined.generation_id, joined.protocol_name.as_deref()), (None, 2, Some("range")));
    // Removed, put in under its new id, described anew, assigned; all deleted; the classic group.
    assert_eq!(kit.kinds_since(before), [8, 7, 5, 5, 7, 8, 5, 8, 8, 7, 6, 5, 4, 3, 2]);
    assert_eq!(kit.state(), ClassicState::Stable);
    let member = MemberIdentity { group_instance_id: Some("i".into()), ..identity(&joined.member_id, 2) };
    assert_eq!(kit.heartbeat(member), Ok(()));
    assert_eq!(kit.syncs(&joined.member_id, 2), Ok(t(&[0, 1, 2, 3])));
    assert_eq!(kit.beat_error(beat("A", 2).instance("i")), GroupIdNotFound);
}

#[test]
fn if_what_it_reads_is_another_everyone_joins_again() {
    let mut kit = Kit::with_topic(|_| ());
    kit.create_topic("u", 1);
    kit.beats(join("A", &["t"]).instance("i"));
    let joined = kit.joins(Join { group_instance_id: Some("i".into()), ..classic(&["u"], &[]) });
    assert_eq!((joined.error, joined.generation_id), (None, 0));
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
    let again = Join { group_instance_id: Some("i".into()), member_id: joined.member_id, ..classic(&["u"], &[]) };
    let joined = kit.joins(again);
    assert_eq!(
        (joined.error, joined.generation_id),
        (None, 3),
        "the generation was the group epoch before it came back"
    );
}

#[test]
fn while_another_member_speaks_the_consumer_protocol_the_group_stays() {
    let mut kit = Kit::with_topic(|_| ());
    kit.beats(join("A", &["t"]).instance("i"));
    kit.advance(1000);
    kit.beats(join("B", &["t"]));
    let joined = kit.joins(Join { group_instance_id: Some("i".into()), ..classic(&["t"], &[0, 1, 2, 3]) });
    assert_eq!((joined.error, kit.group_type()), (None, Some(GroupType::Consumer)));
    assert_eq!(kit.described_member(&joined.member_id).member_type, 0);
}

/// A stable group of two members of the classic protocol and `new` of the consumer protocol, at epoch 2.
pub(super) fn mixed(configure: impl FnOnce(&mut BrokerConfig)) -> (Kit, [StrBytes; 2]) {
    let mut kit = Kit::with_topic(configure);
    let members = kit.classic_pair();
    kit.beats(join("new", &["t"]));
    for (member, mut owned) in members.iter().zip([vec![0, 1], vec![2, 3]]) {
        for _ in 0..2 {
            let joined = kit.joins(classic_again(member, &owned));
            let assigned = kit.syncs(member, joined.generation_id).unwrap();
            owned = assigned.into_iter().flat_map(|(_, partitions)| partitions).collect();
        }
    }
    kit.beats(beat("new", 2));
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Stable);
    (kit, members)
}
