//! A classic group that becomes a consumer group. Sources: KIP-848; `GroupMetadataManager.convertToConsumerGroup`,
//! `validateOnlineUpgrade`, `ConsumerGroup.fromClassicGroup`.

use bytes::Bytes;
use kafka_protocol::error::ResponseError::*;

use super::kit::*;
use super::mixed_kit::*;
use crate::cluster::configs::Resource;
use crate::group::consumer::ConsumerGroupState;
use crate::group::consumer::tests::kit::{beat, join};
use crate::group::*;

#[test]
fn a_member_of_the_consumer_protocol_upgrades_the_group_it_joins() {
    let mut kit = Kit::with_topic(|_| ());
    let members = kit.classic_pair();
    let before = kit.records.len();
    let (epoch, assigned) = kit.beats(join("new", &["t"]));
    assert_eq!(kit.group_type(), Some(GroupType::Consumer));
    // The generation was 1, so the group epoch with the new member is 2. What the others have is not free yet.
    assert_eq!((epoch, assigned), (2, Some(kit.of_t(&[]))));
    for (member, partitions) in members.iter().zip([[0, 1], [2, 3]]) {
        let described = kit.described_member(member);
        assert_eq!((described.member_epoch, described.member_type), (1, 0), "its epoch is its generation");
        let has: Vec<i32> = described.assignment[0].partitions.iter().map(|partition| partition.0).collect();
        assert_eq!(has, partitions, "it keeps what it has");
    }
    assert_eq!(kit.described_member("new").member_type, 1);
    // The classic group's tombstone; members, group epoch, targets, target epoch, assignments of the old members; then what
    // every join writes: of the three targets two are new.
    assert_eq!(kit.kinds_since(before), [2, 5, 5, 3, 7, 7, 6, 8, 8, 5, 3, 7, 7, 6, 8]);
    assert_eq!(kit.records[before].value(), None);
}

#[test]
fn the_old_members_go_on_in_the_classic_protocol_and_give_up_what_they_must() {
    let mut kit = Kit::with_topic(|_| ());
    let [first, second] = kit.classic_pair();
    kit.beats(join("new", &["t"]));
    for (member, owned) in [(&first, [0, 1]), (&second, [2, 3])] {
        assert_eq!(kit.heartbeats(member, 1), Err(RebalanceInProgress), "the target is newer than the member");
        kit.joins(classic_again(member, &owned));
    }
    // Of four partitions the members have one, one and two. Each gives up first, at its old generation.
    let of = |kit: &mut Kit, member: &str| {
        let described = kit.described_member(member);
        let count = |topics: &[consumer::DescribedPartitions]| topics.iter().map(|topic| topic.partitions.len()).sum();
        (described.member_epoch, count(&described.assignment), count(&described.target_assignment))
    };
    let total: [(i32, usize, usize); 2] = [of(&mut kit, &first), of(&mut kit, &second)];
    let targets: usize = total.iter().map(|(_, _, target)| target).sum();
    assert_eq!(targets + of(&mut kit, "new").2, 4);
    for (member, all) in [(&first, [0, 1]), (&second, [2, 3])] {
        let (epoch, has, target) = of(&mut kit, member);
        let kept: Vec<i32> = all[..target].to_vec();
        assert_eq!(has, 2, "what it must give up is still its own");
        if target == has {
            assert_eq!((epoch, kit.syncs(member, 2)), (2, Ok(t(&all))));
            continue;
        }
        let assigned = kit.syncs(member, epoch).unwrap();
        assert_eq!((epoch, assigned.iter().map(|(_, partitions)| partitions.len()).sum::<usize>()), (1, target));
        // Its heartbeat tells it to join until it has said that it has given the rest up.
        assert_eq!(kit.heartbeats(member, 1), Err(RebalanceInProgress));
        let owned: Vec<i32> = assigned.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
        assert_eq!(owned.len(), kept.len());
        let joined = kit.joins(classic_again(member, &owned));
        assert_eq!((joined.error, joined.generation_id), (None, 2));
        assert_eq!(kit.syncs(member, 2), Ok(assigned));
        assert_eq!(kit.heartbeats(member, 2), Ok(()));
    }
    let (epoch, assigned) = kit.beats(beat("new", 2));
    assert_eq!((epoch, assigned.unwrap().values().map(|partitions| partitions.len()).sum::<usize>()), (2, 1));
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Stable);
}

#[test]
fn members_that_wait_are_told_to_join_again() {
    let mut kit = Kit::with_topic(|_| ());
    let [first, second] = kit.classic_pair();
    let waiting = kit.join(classic(&["t"], &[]));
    let new_id = kit.joined(waiting).member_id;
    let joins = kit.join(classic_again(&new_id, &[]));
    let rejoins = kit.join(classic_again(&first, &[0, 1]));
    assert!(kit.waits(joins) && kit.waits(rejoins));
    kit.beats(join("new", &["t"]));
    for (ticket, member_id) in [(joins, &new_id), (rejoins, &first)] {
        let joined = kit.joined(ticket);
        assert_eq!((joined.error, joined.member_id), (Some(RebalanceInProgress), member_id.clone()));
    }
    assert_eq!(kit.heartbeats(&second, 1), Err(RebalanceInProgress));
}

#[test]
fn members_that_wait_for_their_assignment_are_told_to_join_again() {
    let mut kit = Kit::with_topic(|_| ());
    let members = kit.completing(&[classic(&["t"], &[]), classic(&["t"], &[])]);
    let waits = kit.sync(sync(&members[1], 1));
    kit.beats(join("new", &["t"]));
    assert_eq!(kit.synced(waits), Err(RebalanceInProgress));
    assert_eq!(kit.described_member(&members[0]).assignment, []);
}

#[test]
fn a_group_that_may_not_be_upgraded_stays() {
    for policy in ["disabled", "DOWNGRADE"] {
        let mut kit = Kit::with_topic(|_| ());
        kit.set_policy(policy);
        let [first, _] = kit.classic_pair();
        assert_eq!(kit.beat_error(join("new", &["t"])), GroupIdNotFound, "{policy}");
        assert_eq!((kit.state(), kit.heartbeats(&first, 1)), (ClassicState::Stable, Ok(())));
    }
    let mut kit = Kit::with_topic(|config| config.group_consumer_max_size = 1);
    kit.classic_pair();
    assert_eq!(kit.beat_error(join("new", &["t"])), GroupIdNotFound, "too large");
    let mut kit = Kit::with_topic(|_| ());
    let connect = Join { protocol_type: "connect".into(), ..consumer() };
    kit.completing(&[connect]);
    let refusal = kit.beat(join("new", &["t"])).unwrap_err();
    let text = "Cannot upgrade classic group g to consumer group because the group does not use the consumer embedded protocol.";
    assert_eq!((refusal.error, refusal.message.as_deref()), (GroupIdNotFound, Some(text)));
}

#[test]
fn what_a_member_has_must_be_readable_and_must_not_be_lost() {
    for (assigned, text) in [
        (Bytes::from_static(&[7]), "the embedded consumer protocol is malformed."),
        (assignment(&[("t", &[0])], Some(b"mine")), "an unsupported custom assignor is in use."),
    ] {
        let mut kit = Kit::with_topic(|_| ());
        let members = kit.completing(&[classic(&["t"], &[])]);
        let ticket = kit.sync(Sync { assignments: vec![(members[0].clone(), assigned)], ..sync(&members[0], 1) });
        assert!(kit.synced(ticket).is_ok());
        let refusal = kit.beat(join("new", &["t"])).unwrap_err();
        assert_eq!(refusal.error, GroupIdNotFound);
        assert!(refusal.message.unwrap().contains(text), "{text}");
        assert_eq!(kit.state(), ClassicState::Stable);
    }
}

#[test]
fn two_members_with_one_partition_are_not_upgraded() {
    let mut kit = Kit::with_topic(|_| ());
    let members = kit.completing(&[classic(&["t"], &[]), classic(&["t"], &[])]);
    let both = members.iter().map(|member| (member.clone(), assignment(&[("t", &[0])], None))).collect();
    let ticket = kit.sync(Sync { assignments: both, ..sync(&members[0], 1) });
    assert!(kit.synced(ticket).is_ok());
    assert_eq!(kit.beat_error(join("new", &["t"])), UnknownServerError);
}

#[test]
fn a_refused_upgrade_interrupts_those_who_wait_all_the_same() {
    // convertToConsumerGroup answers them before anything is checked. A group without a protocol yet cannot be upgraded.
    let mut kit = Kit::with_topic(|_| ());
    let (_, waiting) = kit.join_with_new_id(classic(&["t"], &[]));
    assert_eq!(kit.beat_error(join("new", &["t"])), UnknownServerError);
    assert_eq!(kit.joined(waiting).error, Some(RebalanceInProgress));
    assert_eq!(kit.state(), ClassicState::PreparingRebalance);
}

#[test]
fn an_empty_group_changes_its_protocol_with_its_first_member_and_keeps_its_offsets() {
    let mut kit = Kit::with_topic(|_| ());
    kit.set_policy("disabled");
    assert_eq!(kit.commit(offset_commit(nobody(), "t", 5)), [None]);
    assert_eq!(kit.beats(join("A", &["t"])), (2, Some(kit.of_t(&[0, 1, 2, 3]))));
    assert_eq!((kit.group_type(), kit.offset("t")), (Some(GroupType::Consumer), 5));
    assert_eq!(kit.beats(beat("A", -1)).0, -1);
    assert_eq!(kit.consumer_state(), ConsumerGroupState::Empty);
    let before = kit.records.len();
    let (_, ticket) = kit.join_with_new_id(classic(&["t"], &[]));
    assert!(kit.waits(ticket));
    assert_eq!((kit.group_type(), kit.offset("t")), (Some(GroupType::Classic), 5));
    assert_eq!(kit.kinds_since(before), [6, 4, 3, 2], "the tombstones of the one kind, then the other");
    kit.restart();
    assert_eq!((kit.group_type(), kit.offset("t")), (Some(GroupType::Classic), 5));
}

#[test]
fn a_member_that_does_not_join_does_not_change_a_classic_group() {
    let mut kit = Kit::with_topic(|_| ());
    for epoch in [1, -1] {
        let unknown = kit.beat(beat("A", epoch)).unwrap_err();
        assert_eq!(unknown.error, GroupIdNotFound);
        kit.commit(offset_commit(nobody(), "t", 5));
        let classic = kit.beat(beat("A", epoch)).unwrap_err();
        assert_eq!(classic.message.as_deref(), Some("Group g is not a consumer group."));
        assert_eq!(kit.delete_group(GROUP), None);
    }
}

#[test]
fn an_upgraded_group_is_what_a_restart_finds() {
    let mut kit = Kit::with_topic(|_| ());
    let [first, _] = kit.classic_pair();
    kit.beats(join("new", &["t"]));
    let before = kit.described();
    kit.restart();
    assert_eq!(kit.described(), before);
    // Their session is that of the consumer protocol now, whatever they asked for; as in Kafka. One that is heard of has its
    // own again.
    kit.advance(30_000);
    assert_eq!(kit.heartbeats(&first, 1), Err(RebalanceInProgress));
    kit.advance(9_999);
    assert_eq!(kit.described().members.len(), 3);
    kit.advance(1);
    assert_eq!(kit.described().members.len(), 2);
}

impl Kit {
    pub(super) fn set_policy(&mut self, policy: &str) {
        let cluster = crate::cluster::tests::cluster(1, &[("group.consumer.migration.policy", policy)]);
        let topics: Vec<_> = self.cluster.topics().iter().map(|topic| topic.name().to_string()).collect();
        self.cluster = cluster;
        for topic in topics {
            self.create_topic(&topic, 4);
        }
        assert!(self.cluster.configs().overrides(&Resource::Group(GROUP.to_owned())).is_none());
    }
}
