//! Classic groups as their members live in them: who waits for whom, who is left behind, who is fenced. What each request is
//! answered, version by version, is in the scenarios of the differential run.

use super::ask::{call, topic, until};
use super::code::*;
use super::member::{Member, describe, start, start_on, wait_for_state};
use mockbroker::MockBroker;
use system_tests::world::Broker;
use system_tests::{api, value};

#[tokio::test]
async fn a_new_member_is_told_an_id_and_is_in_the_group_once_it_comes_back_with_it() {
    // KIP-394.
    let (broker, group) = start().await;
    let mut member = Member::new(&broker, &group).await;
    let join = member.join();
    let told = call(&mut member.connection, api::JOIN_GROUP, 4, join).await;
    assert_eq!((told["error_code"].int(), told["generation_id"].int()), (i64::from(MEMBER_ID_REQUIRED), -1));
    let id = told["member_id"].str().to_owned();
    assert!(id.starts_with("raw-"), "an id begins with the client's: {id}");
    let described = wait_for_state(&mut member.connection, &group, "Empty").await;
    assert_eq!(described["members"].array().len(), 0);
    member.id = id.clone();
    let joined = member.joins().await;
    assert_eq!((joined["error_code"].int(), joined["generation_id"].int(), joined["leader"].str()), (0, 1, &*id));
}

#[tokio::test]
async fn an_old_client_is_in_the_group_at_once() {
    // KIP-394: the id is asked for from version 4 on.
    let (broker, group) = start().await;
    let mut member = Member::new(&broker, &group).await;
    let join = member.join();
    let joined = call(&mut member.connection, api::JOIN_GROUP, 3, join).await;
    assert_eq!((joined["error_code"].int(), joined["generation_id"].int()), (0, 1));
    assert_eq!(joined["members"].array().len(), 1, "it leads");
}

#[tokio::test]
async fn a_member_stays_though_its_connection_ends() {
    // GroupMetadataManager knows no connections.
    let (broker, group) = start().await;
    let mut member = Member::new(&broker, &group).await;
    member.joins().await;
    let mine = member.id.clone();
    assert_eq!(member.syncs(&[(&mine, "all")]).await, (0, "all".into()));
    let old = std::mem::replace(&mut member.connection, broker.connect().await);
    drop(old);
    assert_eq!(member.heartbeat().await, 0);
    assert_eq!(describe(&mut member.connection, &group).await["members"].array().len(), 1);
}

#[tokio::test]
async fn the_protocol_is_the_one_that_most_prefer_of_those_that_all_know() {
    // ClassicGroup.selectProtocol.
    let (broker, group) = start().await;
    let mut members = Vec::new();
    for protocols in [vec![("a", "1"), ("b", ""), ("c", "")], vec![("c", ""), ("b", "2")], vec![("b", "3"), ("c", "")]]
    {
        let mut member = Member::new(&broker, &group).await;
        member.protocols = protocols.into_iter().map(|(name, metadata)| (name, metadata.into())).collect();
        members.push(member);
    }
    let [mut first, mut second, mut third] = <[_; 3]>::try_from(members).unwrap_or_else(|_| panic!("three"));
    assert_eq!(first.joins().await["protocol_name"], "a");
    let second_waits = second.begin_to_join().await;
    first.hears_of_a_rebalance().await;
    let third_waits = third.begin_to_join().await;
    wait_until_joining(&mut first, 3).await;
    let joined = first.joins().await;
    assert_eq!(joined["protocol_name"], "b", "two votes of three, and the first cannot vote for what others lack");
    let mut metadata: Vec<_> = joined["members"].array().iter().map(|it| it["metadata"].bytes().clone()).collect();
    metadata.sort();
    assert_eq!(metadata, ["", "2", "3"]);
    assert_eq!(second.joined(second_waits).await["members"].array().len(), 0, "only the leader is told who is there");
    assert_eq!(third.joined(third_waits).await["generation_id"], 2);
}

#[tokio::test]
async fn who_waits_for_an_assignment_is_told_to_join_again_when_somebody_comes() {
    // ClassicGroup.resetAssignment and propagateAssignment with REBALANCE_IN_PROGRESS.
    let (broker, group) = start().await;
    let (mut leader, mut follower) = (Member::new(&broker, &group).await, Member::new(&broker, &group).await);
    leader.joins().await;
    let waits = follower.begin_to_join().await;
    leader.hears_of_a_rebalance().await;
    leader.joins().await;
    follower.joined(waits).await;
    let syncing = follower.begin_to_sync(&[]).await;
    let mut third = Member::new(&broker, &group).await;
    let third_waits = third.begin_to_join().await;
    assert_eq!(follower.connection.receive(syncing).await["error_code"], REBALANCE_IN_PROGRESS);
    assert_eq!(leader.syncs(&[]).await.0, REBALANCE_IN_PROGRESS);
    let follower_waits = follower.begin_to_join().await;
    assert_eq!(leader.joins().await["members"].array().len(), 3);
    assert_eq!(follower.joined(follower_waits).await["generation_id"], 3);
    assert_eq!(third.joined(third_waits).await["generation_id"], 3);
}

#[tokio::test]
async fn a_follower_that_asks_again_is_told_what_it_knows_and_a_leader_begins_anew() {
    let (broker, group) = start().await;
    let (mut leader, mut follower) = two(&broker, &group).await;
    let ids = [leader.id.clone(), follower.id.clone()];
    let all = [(&*ids[0], "1"), (&*ids[1], "2")];
    assert_eq!(leader.syncs(&all).await.0, 0);
    assert_eq!(follower.syncs(&[]).await, (0, "2".into()));
    let again = follower.joins().await;
    assert_eq!((again["error_code"].int(), again["generation_id"].int()), (0, 2));
    assert_eq!(leader.heartbeat().await, 0, "nothing has happened");
    let leader_waits = leader.begin_to_join().await;
    follower.hears_of_a_rebalance().await;
    follower.joins().await;
    assert_eq!(leader.joined(leader_waits).await["generation_id"], 3);
}

#[tokio::test]
async fn a_member_that_does_not_come_back_in_time_is_left_behind() {
    // KIP-62: the rebalance timeout, the greatest of all members.
    let (broker, group) = start().await;
    let (mut slow, mut quick) = (Member::new(&broker, &group).await, Member::new(&broker, &group).await);
    (slow.rebalance_timeout_ms, quick.rebalance_timeout_ms) = (500, 1_000);
    slow.joins().await;
    let joined = quick.joins().await;
    assert_eq!((joined["generation_id"].int(), joined["members"].array().len()), (2, 1), "it leads alone");
    assert_eq!(slow.heartbeat().await, UNKNOWN_MEMBER_ID);
    assert_eq!(slow.joins().await["error_code"], UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn a_member_that_does_not_ask_for_its_assignment_in_time_is_left_behind() {
    // ClassicGroup's pending sync members, KAFKA-10284.
    let (broker, group) = start().await;
    let (mut leader, mut silent) = (Member::new(&broker, &group).await, Member::new(&broker, &group).await);
    (leader.rebalance_timeout_ms, silent.rebalance_timeout_ms) = (1_000, 1_000);
    leader.joins().await;
    let waits = silent.begin_to_join().await;
    leader.hears_of_a_rebalance().await;
    leader.joins().await;
    silent.joined(waits).await;
    let mine = leader.id.clone();
    assert_eq!(leader.syncs(&[(&mine, "all")]).await, (0, "all".into()));
    leader.hears_of_a_rebalance().await;
    assert_eq!(silent.heartbeat().await, UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn a_member_that_is_not_heard_of_is_gone_after_its_session() {
    // The shortest session that each allows: Kafka's default for `group.min.session.timeout.ms` is 6 s.
    let (broker, session_timeout_ms) = match Broker::real() {
        Some(real) => (real, 6_000),
        None => {
            let mock = MockBroker::builder().config("group.initial.rebalance.delay.ms", "0");
            (Broker::mock(mock.config("group.min.session.timeout.ms", "300").start().await), 300)
        }
    };
    let (broker, group) = start_on(broker).await;
    let mut member = Member::new(&broker, &group).await;
    member.session_timeout_ms = session_timeout_ms;
    member.joins().await;
    member.syncs(&[]).await;
    let described = wait_for_state(&mut member.connection, &group, "Empty").await;
    assert_eq!((described["protocol_type"].str(), described["members"].array().len()), ("test", 0));
    assert_eq!(member.heartbeat().await, UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn who_is_forgotten_by_the_leader_is_assigned_nothing() {
    let (broker, group) = start().await;
    let (mut leader, mut follower) = two(&broker, &group).await;
    let mine = leader.id.clone();
    let waits = follower.begin_to_sync(&[(&mine, "stolen")]).await;
    assert_eq!(leader.syncs(&[(&mine, "all"), ("nobody", "something")]).await, (0, "all".into()));
    let answer = follower.connection.receive(waits).await;
    assert_eq!((answer["error_code"].int(), answer["assignment"].bytes().len()), (0, 0));
}

#[tokio::test]
async fn a_static_member_that_comes_back_keeps_its_place_and_its_old_id_is_fenced() {
    // KIP-345.
    let (broker, group) = start().await;
    let (mut leader, mut old) = (Member::new(&broker, &group).await, Member::new(&broker, &group).await);
    leader.joins().await;
    old.instance = Some("static".to_owned());
    let waits = old.begin_to_join().await;
    leader.hears_of_a_rebalance().await;
    leader.joins().await;
    old.joined(waits).await;
    let theirs = old.id.clone();
    leader.syncs(&[(&theirs, "mine")]).await;
    assert_eq!(old.syncs(&[]).await, (0, "mine".into()));
    let mut new = Member::new(&broker, &group).await;
    new.instance = Some("static".to_owned());
    let joined = new.joins().await;
    assert_eq!((joined["error_code"].int(), joined["generation_id"].int()), (0, 2), "nobody else has to do anything");
    assert_ne!(new.id, old.id);
    assert_eq!(new.syncs(&[]).await, (0, "mine".into()));
    assert_eq!(leader.heartbeat().await, 0);
    assert_eq!(old.heartbeat().await, FENCED_INSTANCE_ID);
    assert_eq!(old.leaves().await, FENCED_INSTANCE_ID);
}

#[tokio::test]
async fn a_commit_is_taken_while_others_join_and_not_between_generation_and_assignment() {
    // ClassicGroup.validateOffsetCommit.
    let (broker, group) = start().await;
    let mut member = Member::new(&broker, &group).await;
    let topic = topic(&mut member.connection, 1, &[]).await.name;
    member.joins().await;
    assert_eq!(member.commits(&topic, 1).await, REBALANCE_IN_PROGRESS);
    member.syncs(&[]).await;
    assert_eq!(member.commits(&topic, 2).await, 0);
    let mut other = Member::new(&broker, &group).await;
    let waits = other.begin_to_join().await;
    member.hears_of_a_rebalance().await;
    assert_eq!(member.commits(&topic, 3).await, 0);
    assert_eq!(member.committed(&topic).await, 3);
    member.leaves().await;
    other.joined(waits).await;
    assert_eq!(member.commits(&topic, 4).await, UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn offsets_of_a_topic_that_is_deleted_are_gone_though_one_of_its_name_comes_again() {
    // OffsetMetadataManager.onPartitionsDeleted.
    let (broker, group) = start().await;
    let mut nobody = Member::new(&broker, &group).await;
    let name = topic(&mut nobody.connection, 1, &[]).await.name;
    assert_eq!(nobody.commits(&name, 7).await, 0);
    let body = value!({ topics: [{ name: &name }], timeout_ms: 10_000 });
    call(&mut nobody.connection, api::DELETE_TOPICS, 6, body).await;
    let topics = value!([{ name: &name, partition_indexes: [0] }]);
    let body = value!({ groups: [{ group_id: &group, member_epoch: -1, topics: topics }] });
    let offset =
        |answer: &system_tests::Value| answer["groups"][0]["topics"][0]["partitions"][0]["committed_offset"].int();
    until(&mut nobody.connection, (api::OFFSET_FETCH, 8), body, |answer| offset(answer) == -1).await;
}

#[tokio::test]
async fn a_group_that_is_deleted_is_as_if_it_had_never_been() {
    let (broker, group) = start().await;
    let mut member = Member::new(&broker, &group).await;
    let topic = topic(&mut member.connection, 1, &[]).await.name;
    member.joins().await;
    member.syncs(&[]).await;
    assert_eq!(member.commits(&topic, 5).await, 0);
    let delete = value!({ groups_names: [&*group] });
    let answer = call(&mut member.connection, api::DELETE_GROUPS, 2, delete.clone()).await;
    assert_eq!(answer["results"][0]["error_code"], NON_EMPTY_GROUP);
    assert_eq!(member.leaves().await, 0);
    assert_eq!(member.committed(&topic).await, 5, "a group is more than its members");
    let answer = call(&mut member.connection, api::DELETE_GROUPS, 2, delete.clone()).await;
    assert_eq!(answer["results"][0]["error_code"], NONE);
    assert_eq!(member.committed(&topic).await, -1);
    assert_eq!(describe(&mut member.connection, &group).await["group_state"], "Dead");
    let answer = call(&mut member.connection, api::DELETE_GROUPS, 2, delete).await;
    assert_eq!(answer["results"][0]["error_code"], GROUP_ID_NOT_FOUND);
    let mut new = Member::new(&broker, &group).await;
    assert_eq!(new.joins().await["generation_id"], 1);
}

/// A leader and a follower of generation 2 that have no assignment yet.
async fn two(broker: &Broker, group: &str) -> (Member, Member) {
    let (mut leader, mut follower) = (Member::new(broker, group).await, Member::new(broker, group).await);
    leader.joins().await;
    let waits = follower.begin_to_join().await;
    leader.hears_of_a_rebalance().await;
    leader.joins().await;
    follower.joined(waits).await;
    (leader, follower)
}

/// Waits until so many members are in the group, joining or not.
async fn wait_until_joining(member: &mut Member, count: usize) {
    let body = value!({ groups: [&*member.group] });
    let are_there = |answer: &system_tests::Value| answer["groups"][0]["members"].array().len() == count;
    until(&mut member.connection, (api::DESCRIBE_GROUPS, 5), body, are_there).await;
}
