//! Consumer groups (KIP-848) as their members live in them: who gives up, who waits, who is fenced. What each request is
//! answered, version by version, is in the scenarios of the differential run.

use system_tests::{Value, api, value};

use super::ask::{call, topic, until, with};
use super::code::*;
use super::consumer::{Consumer, configure, settle, start};
use super::member::{Member, describe};

#[tokio::test]
async fn who_joins_an_empty_group_has_everything_at_once() {
    // TargetAssignmentBuilder, with the first heartbeat.
    let (broker, group, mut connection) = start().await;
    configure(&mut connection, &group, "consumer.heartbeat.interval.ms", "6000").await;
    let topic = topic(&mut connection, 4, &[]).await;
    let mut member = Consumer::new(&broker, &group, &[&topic]).await;
    assert_eq!(member.joins_and_owns(4).await, [0, 1, 2, 3]);
    assert_eq!(member.partitions_of(&topic).len(), 4, "by the topic's id");
    let answer = member.asks(member.beat()).await;
    assert_eq!((answer["error_code"].int(), answer["member_id"].str()), (0, &*member.id));
    assert_eq!(answer["heartbeat_interval_ms"], 6_000, "the group's own");
    assert!(answer["assignment"].is_null(), "it is told once");
}

#[tokio::test]
async fn a_partition_is_given_away_when_its_owner_says_that_it_has_let_go_of_it() {
    // CurrentAssignmentBuilder: UNREVOKED_PARTITIONS, UNRELEASED_PARTITIONS.
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let (mut first, mut second) = two(&broker, &group, &topic).await;
    first.joins_and_owns(4).await;
    let old = first.epoch;
    assert!(second.joins().await.is_empty(), "all is owned");
    assert!(second.epoch > old, "it waits at the new epoch");
    let all = first.owned.clone();
    assert!(first.beats().await);
    let kept = first.partitions();
    assert_eq!((kept.len(), first.epoch), (2, old), "what it keeps, at its old epoch");
    assert!(!first.beats().await, "what says nothing confirms nothing");
    let still = with(&first.beat(), "topic_partitions", all);
    assert!(!first.says(still).await, "nor does the old assignment");
    assert!(!second.beats().await);
    first.confirms().await;
    assert_eq!(first.epoch, second.epoch);
    assert!(second.beats().await, "now it is free");
    let mut both = [kept, second.partitions()].concat();
    both.sort_unstable();
    assert_eq!(both, [0, 1, 2, 3]);
}

#[tokio::test]
async fn who_does_not_give_up_in_time_is_removed_and_who_waits_is_not() {
    // GroupMetadataManager.scheduleConsumerGroupRebalanceTimeout.
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let (mut slow, mut waiting) = two(&broker, &group, &topic).await;
    (slow.rebalance_timeout_ms, waiting.rebalance_timeout_ms) = (300, 100);
    slow.joins_and_owns(4).await;
    waiting.joins().await;
    assert!(slow.beats().await, "its time begins when it is told");
    assert_eq!(waiting.is_told().await, [0, 1, 2, 3]);
    assert_eq!(slow.refused(slow.owning()).await, UNKNOWN_MEMBER_ID);
    assert!(slow.joins().await.is_empty(), "it comes back as somebody new");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_told_again() {
    // ConsumerGroup.throwIfConsumerGroupMemberEpochIsInvalid.
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let (mut first, mut second) = two(&broker, &group, &topic).await;
    first.joins_and_owns(4).await;
    second.joins().await;
    first.beats().await;
    let before = first.owning();
    let lost = first.asks(before.clone()).await;
    assert!(lost["member_epoch"].int() > i64::from(first.epoch));
    let again = first.asks(before).await;
    assert_eq!(again["member_epoch"], lost["member_epoch"], "the epoch before, and owned is what it may own");
    let stolen = value!([{ topic_id: topic.id, partitions: [0, 1, 2, 3] }]);
    let stolen = with(&first.beat(), "topic_partitions", stolen);
    assert_eq!(first.refused(stolen).await, FENCED_MEMBER_EPOCH, "owned is more than that");
    let ahead = Consumer::at(&first.owning(), first.epoch + 5);
    assert_eq!(first.refused(ahead).await, FENCED_MEMBER_EPOCH);
    assert_eq!(first.joins().await.len(), 2, "it keeps its part when it joins again");
}

#[tokio::test]
async fn what_is_null_is_unchanged_and_a_full_request_is_told_everything() {
    let (broker, group, mut connection) = start().await;
    let (wanted, other) = (topic(&mut connection, 2, &[]).await, topic(&mut connection, 3, &[]).await);
    let mut member = Consumer::new(&broker, &group, &[&wanted]).await;
    assert_eq!(member.joins_and_owns(2).await, [0, 1]);
    assert!(!member.beats().await);
    let full = with(&Consumer::at(&member.join(), member.epoch), "topic_partitions", member.owned.clone());
    let answer = member.asks(full).await;
    assert_eq!((answer["member_epoch"].int(), answer["assignment"].is_null()), (i64::from(member.epoch), false));
    let names = value!([&*wanted.name, &*other.name]);
    let epoch = member.epoch;
    member.says(with(&member.beat(), "subscribed_topic_names", names)).await;
    assert!(member.epoch > epoch, "another subscription is another epoch");
    while member.partitions().len() < 5 {
        member.is_told().await;
    }
    assert_eq!((member.partitions_of(&wanted).len(), member.partitions_of(&other).len()), (2, 3));
}

#[tokio::test]
async fn a_static_member_keeps_its_partitions_until_it_is_back() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 4, &[]).await;
    let (mut fixed, mut other) = two(&broker, &group, &topic).await;
    fixed.instance = Some("fixed".to_owned());
    fixed.joins_and_owns(4).await;
    other.joins().await;
    settle(&mut [&mut fixed, &mut other]).await;
    let mine = fixed.partitions();
    let mut again = Consumer::new(&broker, &group, &[&topic]).await;
    again.instance = Some("fixed".to_owned());
    assert_eq!(again.refused(again.join()).await, UNRELEASED_INSTANCE_ID);
    fixed.leaves(-2).await;
    assert!(!other.beats().await, "nobody gets what is kept for it");
    assert_eq!(again.joins().await, mine);
    assert!(!other.confirms().await);
    assert_eq!(fixed.refused(fixed.beat()).await, FENCED_INSTANCE_ID);
    again.leaves(-1).await;
    assert_eq!(other.is_told().await, [0, 1, 2, 3], "now it has left");
}

#[tokio::test]
async fn a_topic_that_grows_or_comes_is_given_out_without_anybody_asking() {
    // GroupMetadataManager.onMetadataUpdate (KIP-1101: by a hash of the topics).
    let (broker, group, mut connection) = start().await;
    let grows = topic(&mut connection, 1, &[]).await;
    let mut member = Consumer::new(&broker, &group, &[&grows]).await;
    let to_come = system_tests::world::unique("later");
    member.topics.push(to_come.clone());
    assert_eq!(member.joins_and_owns(1).await, [0]);
    let more = value!({ topics: [{ name: &grows.name, count: 3, assignments: null }], timeout_ms: 10_000 });
    call(&mut connection, api::CREATE_PARTITIONS, 3, more).await;
    assert_eq!(member.is_told().await, [0, 1, 2]);
    super::ask::create(&mut connection, &to_come, 2, &[]).await;
    assert_eq!(member.is_told().await, [0, 0, 1, 1, 2]);
    let body = value!({ topics: [{ name: &to_come }], timeout_ms: 10_000 });
    call(&mut connection, api::DELETE_TOPICS, 6, body).await;
    assert_eq!(member.is_told().await, [0, 1, 2], "what is deleted is taken back");
}

#[tokio::test]
async fn members_keep_what_they_have_when_others_come_and_go() {
    // UniformHomogeneousAssignmentBuilder: balanced, and sticky.
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 12, &[]).await;
    let mut members = Vec::new();
    for count in 1..=4 {
        let before: Vec<_> = members.iter().map(Consumer::partitions).collect();
        let mut new = Consumer::new(&broker, &group, &[&topic]).await;
        if count == 1 {
            new.joins_and_owns(12).await;
        } else {
            new.joins().await;
        }
        members.push(new);
        settle(&mut members.iter_mut().collect::<Vec<_>>()).await;
        for (member, before) in members.iter().zip(before) {
            assert!(member.partitions().iter().all(|it| before.contains(it)), "nobody gets another's");
        }
        assert!(members.iter().all(|member| member.partitions().len() == 12 / count));
    }
    let mut gone = members.pop().expect("four");
    let before: Vec<_> = members.iter().map(Consumer::partitions).collect();
    gone.leaves(-1).await;
    settle(&mut members.iter_mut().collect::<Vec<_>>()).await;
    for (member, before) in members.iter().zip(before) {
        assert!(before.iter().all(|it| member.partitions().contains(it)), "nobody loses anything");
        assert_eq!(member.partitions().len(), 4);
    }
}

#[tokio::test]
async fn the_assignor_is_the_one_that_most_members_ask_for() {
    // ConsumerGroup.preferredServerAssignor. With `range` a member has the same partitions of both topics.
    let (broker, group, mut connection) = start().await;
    let (a, b) = (topic(&mut connection, 3, &[]).await, topic(&mut connection, 3, &[]).await);
    let mut members = Vec::new();
    for assignor in [Some("uniform"), Some("range"), Some("range")] {
        let mut member = Consumer::new(&broker, &group, &[&a, &b]).await;
        member.assignor = assignor;
        if members.is_empty() {
            member.joins_and_owns(6).await;
        } else {
            member.joins().await;
        }
        members.push(member);
    }
    settle(&mut members.iter_mut().collect::<Vec<_>>()).await;
    assert!(members.iter().all(|member| member.partitions_of(&a) == member.partitions_of(&b)));
    assert!(members.iter().all(|member| member.partitions().len() == 2));
    assert_eq!(members[0].describe().await["assignor_name"], "range");
    members[0].assignor = Some("sticky");
    let unknown = members[0].join();
    assert_eq!(members[0].refused(unknown).await, UNSUPPORTED_ASSIGNOR);
}

#[tokio::test]
async fn a_pattern_and_names_are_one_subscription() {
    // RE2/J; SubscribedTopicRegex, from version 1.
    let (broker, group, mut connection) = start().await;
    let (by_pattern, by_name) = (topic(&mut connection, 2, &[]).await, topic(&mut connection, 3, &[]).await);
    let mut member = Consumer::new(&broker, &group, &[&by_name]).await;
    let broken = with(&member.join(), "subscribed_topic_regex", "(");
    assert_eq!(member.refused(broken).await, INVALID_REGULAR_EXPRESSION);
    let (start, end) = by_pattern.name.split_at(by_pattern.name.len() - 1);
    let pattern = format!("{start}[{end}]");
    member.says(with(&member.join(), "subscribed_topic_regex", &*pattern)).await;
    assert!(member.partitions().len() < 5, "a pattern is looked up after the answer");
    while member.is_told().await.len() < 5 {}
    assert_eq!((member.partitions_of(&by_pattern), member.partitions_of(&by_name)), (vec![0, 1], vec![0, 1, 2]));
}

#[tokio::test]
async fn a_commit_is_taken_at_the_epoch_of_the_member_or_since_it_has_the_partition() {
    // KIP-1251; ConsumerGroup.validateOffsetCommit.
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let (mut first, mut second) = two(&broker, &group, &topic).await;
    first.joins_and_owns(2).await;
    let old = first.epoch;
    assert_eq!(first.commits(&topic, 0, old).await, 0);
    second.joins().await;
    settle(&mut [&mut first, &mut second]).await;
    let (kept, given) = if first.partitions() == [0] { (0, 1) } else { (1, 0) };
    let stale = i64::from(STALE_MEMBER_EPOCH);
    assert!(first.epoch > old);
    assert_eq!(first.commits(&topic, kept, old).await, 0, "it has had this one since then");
    assert_eq!(first.commits(&topic, given, old).await, stale, "this one is another's");
    assert_eq!(second.commits(&topic, given, second.epoch - 1).await, stale, "older than its right to it");
    assert_eq!(first.commits(&topic, kept, first.epoch + 1).await, stale);
    assert_eq!(first.commits(&topic, kept, -1).await, stale, "members are in the group");
    let id = first.id.clone();
    assert_eq!(first.committed(&topic, Some(&id), first.epoch).await, (0, 7));
    assert_eq!(first.committed(&topic, Some(&id), old).await.0, stale);
    assert_eq!(first.committed(&topic, Some("nobody"), old).await.0, i64::from(UNKNOWN_MEMBER_ID));
    assert_eq!(first.committed(&topic, None, -1).await, (0, 7), "who does not say who it is may look");
}

#[tokio::test]
async fn a_group_is_described_with_what_its_members_have_and_shall_have() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 2, &[]).await;
    let (mut first, mut second) = two(&broker, &group, &topic).await;
    first.joins_and_owns(2).await;
    assert_eq!(first.describe().await["group_state"], "Stable");
    second.joins().await;
    let described = first.describe().await;
    assert_eq!(described["group_state"], "Reconciling");
    let count = |member: &Value, what: &str| {
        let topics = member[what]["topic_partitions"].array().iter();
        topics.map(|topic| topic["partitions"].array().len()).sum::<usize>()
    };
    for (id, has, shall) in [(&first.id, 2, 1), (&second.id, 0, 1)] {
        let member = described["members"].find("member_id", id.as_str());
        assert_eq!((count(member, "assignment"), count(member, "target_assignment")), (has, shall));
        assert_eq!((member["member_type"].int(), member["subscribed_topic_names"][0].str()), (1, &*topic.name));
    }
    let old = describe(&mut connection, &group).await;
    assert_eq!(old["group_state"], "Dead", "the old API does not know it");
    let body = value!({ groups: [&*group] });
    let new = call(&mut connection, api::DESCRIBE_GROUPS, 6, body).await;
    assert_eq!(new["groups"][0]["error_code"], GROUP_ID_NOT_FOUND);
    for (types, count) in [(value!(["consumer"]), 1), (value!(["classic"]), 0)] {
        let listed = call(&mut connection, api::LIST_GROUPS, 5, value!({ types_filter: types })).await;
        let mine = listed["groups"].array().iter().filter(|it| it["group_id"] == group.as_str());
        assert_eq!(mine.count(), count);
    }
}

#[tokio::test]
async fn a_group_is_deleted_when_nobody_is_in_it_and_offsets_when_nobody_reads_the_topic() {
    let (broker, group, mut connection) = start().await;
    let (read, left) = (topic(&mut connection, 1, &[]).await, topic(&mut connection, 1, &[]).await);
    let mut member = Consumer::new(&broker, &group, &[&read]).await;
    member.joins_and_owns(1).await;
    for topic in [&read, &left] {
        assert_eq!(member.commits(topic, 0, member.epoch).await, 0);
    }
    let partitions = |topic: &super::ask::Topic| value!({ name: &topic.name, partitions: [{ partition_index: 0 }] });
    let body = value!({ group_id: &group, topics: [partitions(&read), partitions(&left)] });
    let answer = call(&mut connection, api::OFFSET_DELETE, 0, body).await;
    let codes: Vec<_> = answer["topics"].array().iter().map(|it| it["partitions"][0]["error_code"].int()).collect();
    assert_eq!(codes, [i64::from(GROUP_SUBSCRIBED_TO_TOPIC), 0]);
    assert_eq!(member.committed(&left, None, -1).await, (0, -1));
    let delete = value!({ groups_names: [&*group] });
    let answer = call(&mut connection, api::DELETE_GROUPS, 2, delete.clone()).await;
    assert_eq!(answer["results"][0]["error_code"], NON_EMPTY_GROUP);
    member.leaves(-1).await;
    assert_eq!(member.committed(&read, None, -1).await, (0, 7), "a group is more than its members");
    assert_eq!(member.describe().await["group_state"], "Empty");
    let answer = call(&mut connection, api::DELETE_GROUPS, 2, delete).await;
    assert_eq!(answer["results"][0]["error_code"], NONE);
    assert_eq!(member.committed(&read, None, -1).await, (0, -1));
    assert_eq!(member.refused(member.beat()).await, GROUP_ID_NOT_FOUND);
    assert_eq!(member.describe().await["error_code"], GROUP_ID_NOT_FOUND);
}

#[tokio::test]
async fn a_member_stays_though_its_connection_ends() {
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut member = Consumer::new(&broker, &group, &[&topic]).await;
    member.joins_and_owns(1).await;
    let old = std::mem::replace(&mut member.connection, broker.connect().await);
    drop(old);
    assert!(!member.beats().await);
    let mut other = Consumer::new(&broker, &group, &[&topic]).await;
    assert!(other.joins().await.is_empty());
}

#[tokio::test]
async fn a_group_of_another_kind_is_not_found_and_not_joined() {
    // A member of a classic group that is no consumer cannot be upgraded.
    let (broker, group, mut connection) = start().await;
    let topic = topic(&mut connection, 1, &[]).await;
    let mut classic = Member::new(&broker, &group).await;
    classic.joins().await;
    classic.syncs(&[]).await;
    let mut member = Consumer::new(&broker, &group, &[&topic]).await;
    assert_eq!(member.refused(member.join()).await, GROUP_ID_NOT_FOUND);
    assert_eq!(member.describe().await["error_code"], GROUP_ID_NOT_FOUND);
    assert_eq!(classic.heartbeat().await, NONE);
    assert_eq!(classic.leaves().await, NONE);
    let join = member.join();
    let joined = |answer: &Value| answer["error_code"] == NONE;
    until(&mut connection, (api::CONSUMER_GROUP_HEARTBEAT, 1), join, joined).await;
}

/// Two members that have not joined.
async fn two(broker: &system_tests::world::Broker, group: &str, topic: &super::ask::Topic) -> (Consumer, Consumer) {
    (Consumer::new(broker, group, &[topic]).await, Consumer::new(broker, group, &[topic]).await)
}
