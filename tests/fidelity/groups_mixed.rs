//! Groups with members of both protocols: how a group changes its kind while its members go on (KIP-848, online upgrade and
//! downgrade).

use system_tests::consumer_protocol::{assigned, assignment, subscription};
use system_tests::world::Broker;
use system_tests::{Value, api, value};

use super::ask::{Topic, call, topic};
use super::code::*;
use super::consumer::{Consumer, start};
use super::member::{Member, wait_for_state};

/// A consumer of the classic protocol that reads `topic`, alone in its group, with all four partitions.
async fn classic(broker: &Broker, group: &str, topic: &Topic) -> Member {
    let mut member = owning(Member::new(broker, group).await, topic, &[]);
    member.joins().await;
    let mine = member.id.clone();
    let answer = member.begin_to_sync_bytes(&[(&mine, assignment(&topic.name, &[0, 1, 2, 3]))]).await;
    assert_eq!(member.connection.receive(answer).await["error_code"], NONE);
    owning(member, topic, &[0, 1, 2, 3])
}

/// The same member, which says that it owns these.
fn owning(mut member: Member, topic: &Topic, owned: &[i32]) -> Member {
    member.protocol_type = "consumer";
    member.protocols = vec![("range", subscription(&topic.name, owned))];
    member
}

/// What a member of the classic protocol is assigned.
async fn synced(member: &mut Member) -> Vec<i32> {
    let (code, bytes) = member.syncs(&[]).await;
    assert_eq!(code, NONE);
    assigned(&bytes)
}

/// Waits until the coordinator of this group has heard of the topic: somebody reads all of it and leaves.
///
/// A real coordinator hears of a new topic a moment after its leader does, and a group that changes its kind before that
/// forgets what its members own of it: they are then told of no rebalance.
async fn is_known(broker: &Broker, group: &str, topic: &Topic) {
    let mut scout = Consumer::new(broker, group, &[topic]).await;
    scout.joins_and_owns(4).await;
    scout.leaves(-1).await;
}

/// A group with one member of each kind, both settled: each has two partitions.
async fn one_of_each(broker: &Broker, group: &str, topic: &Topic) -> (Member, Consumer) {
    is_known(broker, group, topic).await;
    let old = classic(broker, group, topic).await;
    let mut new = Consumer::new(broker, group, &[topic]).await;
    assert!(new.joins().await.is_empty(), "the other has them");
    let old = gives_up(old, topic).await;
    assert_eq!(new.is_told().await.len(), 2);
    (old, new)
}

/// A member of the classic protocol that is told to give up a part: it joins, is assigned less, and joins again with that.
async fn gives_up(mut old: Member, topic: &Topic) -> Member {
    old.hears_of_a_rebalance().await;
    assert_eq!(old.joins().await["error_code"], NONE);
    let kept = synced(&mut old).await;
    assert_eq!(kept.len(), 2);
    old.hears_of_a_rebalance().await;
    let mut old = owning(old, topic, &kept);
    assert_eq!(old.joins().await["error_code"], NONE);
    assert_eq!(synced(&mut old).await, kept);
    assert_eq!(old.heartbeat().await, NONE);
    old
}

#[tokio::test]
async fn a_consumer_that_joins_a_classic_group_upgrades_it_and_the_others_go_on() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let (mut old, mut new) = one_of_each(&broker, &group, &topic).await;
    let described = new.describe().await;
    assert_eq!(described["group_state"], "Stable");
    for (id, kind) in [(&old.id, 0), (&new.id, 1)] {
        let member = described["members"].find("member_id", id.as_str());
        assert_eq!((member["member_type"].int(), member["member_epoch"].int()), (kind, new.epoch.into()));
    }
    assert_eq!(old.generation, new.epoch, "an epoch is a generation to a member of the classic protocol");
    assert_eq!(old.commits(&topic.name, 11).await, NONE);
    assert_eq!(new.committed(&topic, None, -1).await, (0, 11), "offsets are the group's");
    old.leaves().await;
    assert_eq!(new.is_told().await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn when_the_last_consumer_leaves_the_group_is_a_classic_one_again() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let (mut old, mut new) = one_of_each(&broker, &group, &topic).await;
    let id = new.id.clone();
    assert_eq!(new.commits(&topic, 0, new.epoch).await, 0);
    new.leaves(-1).await;
    assert_eq!(new.describe().await["error_code"], GROUP_ID_NOT_FOUND);
    wait_for_state(&mut connection, &group, "PreparingRebalance").await;
    assert_eq!(old.heartbeat().await, REBALANCE_IN_PROGRESS);
    let before = old.generation;
    let joined = old.joins().await;
    assert_eq!((joined["error_code"].int(), joined["leader"].str()), (0, &*old.id), "it leads");
    assert_eq!((joined["members"].array().len(), old.generation), (1, before + 1));
    assert_eq!(old.committed(&topic.name).await, 7, "offsets outlive the change");
    new.id = id;
    assert_eq!(new.refused(new.beat()).await, GROUP_ID_NOT_FOUND);
}

#[tokio::test]
async fn a_member_of_the_classic_protocol_joins_a_consumer_group_and_is_assigned_by_the_broker() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let mut new = Consumer::new(&broker, &group, &[&topic]).await;
    assert_eq!(new.joins_and_owns(4).await, [0, 1, 2, 3]);
    let mut old = owning(Member::new(&broker, &group).await, &topic, &[]);
    let joined = old.joins().await;
    assert_eq!((joined["error_code"].int(), joined["members"].array().len()), (0, 0), "nobody leads");
    assert_eq!(joined["protocol_name"], "range");
    assert!(synced(&mut old).await.is_empty(), "all is owned");
    new.is_told().await;
    new.confirms().await;
    old.hears_of_a_rebalance().await;
    assert_eq!(old.joins().await["error_code"], NONE);
    let mut all: Vec<_> = synced(&mut old).await.into_iter().map(i64::from).chain(new.partitions()).collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_member_that_is_no_consumer_cannot_join_a_consumer_group() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut new = Consumer::new(&broker, &group, &[&topic]).await;
    new.joins_and_owns(1).await;
    let mut other = Member::new(&broker, &group).await;
    let join = other.join();
    let answer = call(&mut other.connection, api::JOIN_GROUP, 9, join).await;
    assert_eq!(answer["error_code"], INCONSISTENT_GROUP_PROTOCOL);
    let mut as_classic = new.as_classic(&broker).await;
    assert_eq!(as_classic.heartbeat().await, UNKNOWN_MEMBER_ID, "a consumer is no member of the classic protocol");
    assert_eq!(as_classic.syncs(&[]).await.0, UNKNOWN_MEMBER_ID);
    assert!(!new.beats().await);
}

#[tokio::test]
async fn a_static_member_takes_its_place_along_into_the_other_protocol() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let mut old = owning(Member::new(&broker, &group).await, &topic, &[]);
    old.instance = Some("fixed".to_owned());
    old.joins().await;
    let mine = old.id.clone();
    let sent = old.begin_to_sync_bytes(&[(&mine, assignment(&topic.name, &[0, 1, 2, 3]))]).await;
    assert_eq!(old.connection.receive(sent).await["error_code"], NONE);
    let mut new = Consumer::new(&broker, &group, &[&topic]).await;
    new.instance = Some("fixed".to_owned());
    assert_eq!(new.joins_and_owns(4).await, [0, 1, 2, 3], "it is the same member, upgraded");
    assert_eq!(old.heartbeat().await, FENCED_INSTANCE_ID);
    let described = new.describe().await;
    assert_eq!((described["error_code"].int(), described["members"].array().len()), (0, 1));
    let mut back = owning(Member::new(&broker, &group).await, &topic, &[]);
    back.instance = Some("fixed".to_owned());
    let joined = back.joins().await;
    assert_eq!(joined["error_code"], NONE);
    let listed = call(&mut connection, api::LIST_GROUPS, 5, value!({ types_filter: ["classic"] })).await;
    let is_mine = |it: &&Value| it["group_id"] == group.as_str();
    assert_eq!(listed["groups"].array().iter().filter(is_mine).count(), 1, "and back");
    assert_eq!(new.refused(new.beat()).await, GROUP_ID_NOT_FOUND);
}

#[tokio::test]
async fn an_empty_group_changes_its_kind_with_its_first_member_and_keeps_its_offsets() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let mut old = classic(&broker, &group, &topic).await;
    assert_eq!(old.commits(&topic.name, 5).await, NONE);
    old.leaves().await;
    let mut new = Consumer::new(&broker, &group, &[&topic]).await;
    assert_eq!(new.joins_and_owns(4).await, [0, 1, 2, 3]);
    assert_eq!(new.committed(&topic, None, -1).await, (0, 5));
    new.leaves(-1).await;
    let mut third = owning(Member::new(&broker, &group).await, &topic, &[]);
    let joined = third.joins().await;
    assert_eq!((joined["error_code"].int(), joined["leader"].str()), (0, &*third.id));
    assert_eq!(third.committed(&topic.name).await, 5);
}
