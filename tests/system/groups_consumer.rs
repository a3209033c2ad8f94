//! Members of consumer groups (KIP-848): how they join, reconcile, are put out, and get along with classic members. On the mock,
//! or on a real Kafka with `KAFKA_BOOTSTRAP`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{Assignor, Consumer, Error, ErrorCode, GroupProtocol, Rebalance, RebalanceKind, TopicPartition};
use mockbroker::{ApiKey, Clock, Fault, on};
use system_tests::api::{
    CONSUMER_GROUP_DESCRIBE, CONSUMER_GROUP_HEARTBEAT, CREATE_TOPICS, DELETE_TOPICS, FIND_COORDINATOR, JOIN_GROUP,
    LIST_GROUPS,
};
use system_tests::line::{Fate, Lines};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};
use tokio::task::JoinHandle;

use crate::group_world::{LIMIT, Told, World, mock, next, read, telling, until};

const CONSUMER: GroupProtocol = GroupProtocol::Consumer;

/// Asks for records all the time, as programs do.
fn reading(consumer: &Consumer) -> JoinHandle<()> {
    let consumer = consumer.clone();
    tokio::spawn(async move { while let Ok(Some(_)) = consumer.recv().await {} })
}

impl World {
    /// The members of the group by ConsumerGroupDescribe: their ids, and what they have.
    async fn members(&self) -> BTreeMap<String, Value> {
        let body = value!({ group_ids: [self.group.as_str()], include_authorized_operations: false });
        let answer = self.ask(CONSUMER_GROUP_DESCRIBE, 1, body).await;
        let members = answer["groups"][0]["members"].array().iter();
        members.map(|member| (member["member_id"].str().to_owned(), member.clone())).collect()
    }

    async fn group_type(&self) -> String {
        let body = value!({ states_filter: [], types_filter: [] });
        let answer = self.ask(LIST_GROUPS, 5, body).await;
        let mut groups = answer["groups"].array().iter();
        let group = groups.find(|group| group["group_id"].str() == self.group).expect("the group is there");
        group["group_type"].str().to_owned()
    }

    async fn create(&self, topic: &str, partitions: i32) {
        let wanted = value!({ name: topic, num_partitions: partitions, replication_factor: 1 });
        let body = value!({ topics: [wanted], timeout_ms: 10_000 });
        let created = self.ask(CREATE_TOPICS, 7, body).await;
        assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
    }
}

#[tokio::test]
async fn a_member_keeps_what_stays_and_reads_on_through_a_rebalance() {
    // KIP-848: only what goes is revoked.
    let world = World::new(CONSUMER, 4).await;
    let told = Told::default();
    let first = telling(world.builder(), &told).build().await.expect("valid settings");
    let one = reading(&first);
    until("the first has all", async || first.assignment().len() == 4).await;
    let second = world.consumer().await;
    let other = reading(&second);
    until("each has two", async || first.assignment().len() == 2 && second.assignment().len() == 2).await;
    assert_eq!(*told.lock().expect("no panic"), [(RebalanceKind::Assigned, 4), (RebalanceKind::Revoked, 2)]);
    let (a, b) = (first.assignment(), second.assignment());
    assert!(a.iter().all(|partition| !b.contains(partition)), "{a:?} {b:?}");
    second.close(LIMIT).await.expect("closed");
    until("the first has all again", async || first.assignment().len() == 4).await;
    until("the first was told", async || told.lock().expect("no panic").len() == 3).await;
    assert_eq!(told.lock().expect("no panic")[2..], [(RebalanceKind::Assigned, 2)]);
    first.close(LIMIT).await.expect("closed");
    one.await.expect("no panic");
    other.await.expect("no panic");
    assert!(world.members().await.is_empty(), "both have left with epoch -1");
}

#[tokio::test]
async fn nobody_gets_a_partition_before_its_owner_has_let_it_go() {
    // Client trap 105: the acknowledgement comes after the revocation, and at once after it.
    let world = World::new(CONSUMER, 2).await;
    let (gate, opens) = tokio::sync::watch::channel(false);
    let builder = world.builder().on_rebalance(move |event: Rebalance| {
        let mut opens = opens.clone();
        async move {
            if event.kind() == RebalanceKind::Revoked {
                opens.wait_for(|open| *open).await.expect("the gate opens");
            }
        }
    });
    let first = builder.build().await.expect("valid settings");
    let _one = reading(&first);
    until("the first has both", async || first.assignment().len() == 2).await;
    let second = world.consumer().await;
    let _other = reading(&second);
    until("the second is a member", async || world.members().await.len() == 2).await;
    let listening = tokio::time::timeout(Duration::from_millis(400), async {
        until("the second has one", async || !second.assignment().is_empty()).await;
    });
    assert!(listening.await.is_err(), "the first has not let it go");
    gate.send_replace(true);
    until("each has one", async || first.assignment().len() == 1 && second.assignment().len() == 1).await;
}

#[tokio::test]
async fn a_member_that_the_group_forgot_loses_its_partitions_and_joins_again() {
    // UNKNOWN_MEMBER_ID: a stranger has left in its name.
    let world = World::new(CONSUMER, 2).await;
    world.produce(0..4).await;
    let told = Told::default();
    let consumer = telling(world.builder(), &told).build().await.expect("valid settings");
    read(&consumer, 4).await;
    let _reading = reading(&consumer);
    let (member_id, _) = world.members().await.pop_first().expect("it is a member");
    let body = value!({ group_id: &world.group, member_id: &member_id, member_epoch: -1, instance_id: null, rack_id: null,
        rebalance_timeout_ms: -1, subscribed_topic_names: null, subscribed_topic_regex: null, server_assignor: null,
        topic_partitions: null });
    let answer = world.ask(CONSUMER_GROUP_HEARTBEAT, 1, body).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    until("it is back", async || told.lock().expect("no panic").len() == 3).await;
    let expected = [(RebalanceKind::Assigned, 2), (RebalanceKind::Lost, 2), (RebalanceKind::Assigned, 2)];
    assert_eq!(*told.lock().expect("no panic"), expected);
    let members = world.members().await;
    assert!(members.len() == 1 && !members.contains_key(&member_id), "what was sent in the old name cannot come in");
}

#[tokio::test]
async fn a_fenced_member_loses_its_partitions_and_joins_again() {
    let broker = Broker::mock(mock().start().await);
    let world = World::at(broker, CONSUMER, 1, &Lines::new(|_, _| Fate::Passes)).await;
    let told = Told::default();
    let consumer = telling(world.builder(), &told).build().await.expect("valid settings");
    let _reading = reading(&consumer);
    until("it has the partition", async || told.lock().expect("no panic").len() == 1).await;
    let mock = world.broker.steered().expect("a mock");
    let fence = mock.fault(on(ApiKey::ConsumerGroupHeartbeat).nth(1)).before_apply(Fault::Error(110)).mount();
    until("it was fenced", async || told.lock().expect("no panic").len() == 3).await;
    let expected = [(RebalanceKind::Assigned, 1), (RebalanceKind::Lost, 1), (RebalanceKind::Assigned, 1)];
    assert_eq!(*told.lock().expect("no panic"), expected);
    assert_eq!(fence.hits(), 1);
}

#[tokio::test]
async fn a_commit_with_a_stale_epoch_goes_again_with_the_present_one() {
    // Client trap 88.
    let mock = mock().start().await;
    let stale = mock.fault(on(ApiKey::OffsetCommit).times(2)).before_apply(Fault::Error(113)).mount();
    let world = World::at(Broker::mock(mock), CONSUMER, 1, &Lines::new(|_, _| Fate::Passes)).await;
    world.produce(0..2).await;
    let consumer = world.builder().auto_commit_interval(None).build().await.expect("valid settings");
    let first = consumer.recv().await.expect("no error").expect("open");
    consumer.commit_record(&first).await.expect("STALE_MEMBER_EPOCH is asked again");
    assert_eq!((stale.hits(), world.committed().await), (2, vec![Some(1)]));
}

#[tokio::test]
async fn an_assignor_that_the_broker_lacks_is_told() {
    let world = World::new(CONSUMER, 1).await;
    let builder = world.builder().group_remote_assignor("nobody's");
    let consumer = builder.build().await.expect("valid settings");
    let error = consumer.recv().await.expect_err("there is no such assignor");
    assert_eq!(error.code(), Some(ErrorCode::UnsupportedAssignor), "{error}");
    consumer.close(LIMIT).await.expect("closed");
}

#[tokio::test]
async fn a_second_member_with_an_instance_id_waits_for_the_first_to_go() {
    // UNRELEASED_INSTANCE_ID: until the session of the first is over, which is Java's end at once.
    let world = World::new(CONSUMER, 1).await;
    world.produce(0..2).await;
    let builder = |patience| {
        let builder = world.builder().group_instance_id("one").session_timeout(patience);
        builder.auto_commit_interval(Some(Duration::from_millis(20)))
    };
    let first = builder(LIMIT).build().await.expect("valid settings");
    assert_eq!(next(&first).await, 0);
    let impatient = builder(Duration::from_millis(300)).build().await.expect("valid settings");
    let error = impatient.recv().await.expect_err("the first lives");
    assert_eq!(error.code(), Some(ErrorCode::UnreleasedInstanceId), "{error}");
    let patient = builder(LIMIT).build().await.expect("valid settings");
    let waiting = patient.clone();
    let waiting = tokio::spawn(async move { next(&waiting).await });
    until("it was refused", async || world.members().await.len() == 1).await;
    first.close(LIMIT).await.expect("closed");
    assert_eq!(waiting.await.expect("no panic"), 1, "it has the partition of the one that went");
}

#[tokio::test]
async fn auto_is_the_consumer_protocol_where_the_cluster_has_it() {
    let world = World::new(GroupProtocol::Auto, 2).await;
    world.produce(0..4).await;
    let consumer = world.consumer().await;
    read(&consumer, 4).await;
    assert_eq!(world.group_type().await, "consumer");
    consumer.close(LIMIT).await.expect("closed");

    let world = World::new(GroupProtocol::Auto, 2).await;
    world.produce(0..4).await;
    let builder = world.builder().assignors([Assignor::RoundRobin]);
    let consumer = builder.build().await.expect("valid settings");
    read(&consumer, 4).await;
    assert_eq!(world.group_type().await, "classic", "an assignor of ours was asked for");
}

#[tokio::test]
async fn auto_is_the_classic_protocol_where_the_cluster_or_the_group_cannot() {
    let lines = Lines::new(|_, _| Fate::Passes);
    let without = Broker::mock(mock().config("feature.group.version", "0").start().await);
    let world = World::at(without, GroupProtocol::Auto, 1, &lines).await;
    world.produce(0..1).await;
    let consumer = world.consumer().await;
    assert_eq!(next(&consumer).await, 0);
    assert!(lines.seen(CONSUMER_GROUP_HEARTBEAT).is_empty(), "it was not even tried");

    // Client trap 107: a classic group that the broker may not upgrade.
    let lines = Lines::new(|_, _| Fate::Passes);
    let fixed = Broker::mock(mock().config("group.consumer.migration.policy", "disabled").start().await);
    let world = World::at(fixed, GroupProtocol::Auto, 2, &lines).await;
    world.produce(0..4).await;
    let old = world.builder().group_protocol(GroupProtocol::Classic).build().await.expect("valid settings");
    let _reading = reading(&old);
    until("the classic member has all", async || old.assignment().len() == 2).await;
    let new = world.consumer().await;
    let _other = reading(&new);
    until("each has one", async || old.assignment().len() == 1 && new.assignment().len() == 1).await;
    assert_eq!(lines.seen(CONSUMER_GROUP_HEARTBEAT).len(), 1, "it was tried once");
}

#[tokio::test]
async fn the_consumer_protocol_that_a_cluster_lacks_is_told() {
    let without = Broker::mock(mock().config("feature.group.version", "0").start().await);
    let world = World::at(without, CONSUMER, 1, &Lines::new(|_, _| Fate::Passes)).await;
    let consumer = world.consumer().await;
    let error = consumer.recv().await.expect_err("there is no such protocol");
    let told = matches!(error, Error::UnsupportedVersion { .. }) || error.code() == Some(ErrorCode::UnsupportedVersion);
    assert!(told, "{error}");
}

#[tokio::test]
async fn members_of_both_protocols_share_a_group() {
    // KIP-848, online upgrade: a classic group becomes a consumer group with classic members in it.
    let lines = Lines::new(|_, _| Fate::Passes);
    let broker = match Broker::real() {
        Some(real) => real,
        None => Broker::mock(mock().config("group.consumer.migration.policy", "bidirectional").start().await),
    };
    let world = World::at(broker, GroupProtocol::Classic, 4, &lines).await;
    world.produce(0..40).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let reader = |consumer: &Consumer| {
        let (consumer, seen) = (consumer.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Some(record) = consumer.recv().await.expect("no error") {
                seen.lock().expect("no panic").push(crate::group_world::number(record.value()));
            }
        })
    };
    let old = world.builder().assignors([Assignor::CooperativeSticky]).build().await.expect("valid settings");
    let one = reader(&old);
    until("the classic member has all", async || old.assignment().len() == 4).await;
    let new = world.builder().group_protocol(CONSUMER).build().await.expect("valid settings");
    let other = reader(&new);
    until("each has two", async || old.assignment().len() == 2 && new.assignment().len() == 2).await;
    assert_eq!(world.group_type().await, "consumer");
    world.produce(40..80).await;
    until("everything is read", async || world.lagless(&[&old, &new])).await;
    new.close(LIMIT).await.expect("closed");
    until("the classic member has all again", async || old.assignment().len() == 4).await;
    assert_eq!(world.group_type().await, "classic", "downgraded, with nobody of the new kind left");
    world.produce(80..100).await;
    until("everything is read", async || world.lagless(&[&old])).await;
    old.close(LIMIT).await.expect("closed");
    one.await.expect("no panic");
    other.await.expect("no panic");
    let mut numbers = std::mem::take(&mut *seen.lock().expect("no panic"));
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "nothing twice, nothing missing");
}

#[tokio::test]
async fn who_is_left_of_both_protocols_has_everything_though_the_coordinator_moves_at_once() {
    // The last consumer leaves, and the coordinator moves before the other member hears of the rebalance: the new one knows of
    // none (`tests/leaders/groups.rs` asks Kafka).
    let broker = Broker::mock(mock().nodes(3).start().await);
    let world = World::at(broker, GroupProtocol::Classic, 4, &Lines::new(|_, _| Fate::Passes)).await;
    let mock = world.broker.steered().expect("a mock");
    let (old, new) = (world.consumer().await, world.builder().group_protocol(CONSUMER).build().await);
    let new = new.expect("valid settings");
    let (_old, _new) = (reading(&old), reading(&new));
    until("each has a part", async || old.assignment().len() == 2 && new.assignment().len() == 2).await;
    let heartbeat = mock.pause_next(on(ApiKey::Heartbeat)).before_apply();
    heartbeat.entered().await;
    new.close(LIMIT).await.expect("closed");
    let now = world.ask(FIND_COORDINATOR, 3, value!({ key: &world.group, key_type: 0 })).await["node_id"].int();
    let other = mock.node_ids().into_iter().find(|node| i64::from(node.0) != now).expect("there are three");
    mock.move_group_coordinator(&world.group, other);
    heartbeat.release();
    until("it has everything", async || old.assignment().len() == 4).await;
}

#[tokio::test]
async fn a_pattern_takes_in_topics_that_come_and_lets_go_of_those_that_go() {
    for protocol in [GroupProtocol::Classic, CONSUMER, GroupProtocol::Auto] {
        let lines = Lines::new(|_, _| Fate::Passes);
        let broker = match Broker::real() {
            Some(real) => real,
            None => Broker::mock(mock().clock(Clock::manual()).start().await),
        };
        let world = World::at(broker, protocol, 1, &lines).await;
        let family = unique("family");
        let names = ["a", "b"].map(|member| format!("{family}.{member}"));
        world.create(&names[0], 2).await;
        world.create(&format!("{family}-not"), 1).await;
        // Classic members look at the topics whenever they refresh their metadata.
        let kafka = async_kafka::Kafka::builder(world.broker.bootstrap()).metadata_max_age(Duration::from_millis(100));
        let kafka = kafka
            .dial(move |address| lines.clone().dial(address.host.to_string(), address.port))
            .connect()
            .await
            .expect("the broker answers");
        let builder = kafka.consumer(world.group.as_str()).pattern(format!("{family}\\.[ab]"));
        let builder = builder.group_protocol(protocol).heartbeat_interval(Duration::from_millis(100));
        let consumer = builder.build().await.expect("valid settings");
        let _reading = reading(&consumer);
        let all = |names: &[String]| -> BTreeSet<TopicPartition> {
            names.iter().flat_map(|name| [0, 1].map(|number| TopicPartition::new(name.as_str(), number))).collect()
        };
        let has = async |wanted: BTreeSet<TopicPartition>| {
            until(&format!("{protocol:?} has {wanted:?}"), async || {
                consumer.assignment().into_iter().collect::<BTreeSet<_>>() == wanted
            })
            .await;
        };
        // A broker looks at new topics no sooner than 10 s after the last time
        // (`GroupMetadataManager.REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
        let a_while = || world.broker.steered().map_or((), |mock| drop(mock.advance(Duration::from_secs(11))));
        has(all(&names[..1])).await;
        a_while();
        world.create(&names[1], 2).await;
        has(all(&names)).await;
        a_while();
        let gone = value!({ topics: [{ name: &names[0], topic_id: uuid::Uuid::nil() }], timeout_ms: 10_000 });
        let gone = world.ask(DELETE_TOPICS, 6, gone).await;
        assert_eq!(gone["responses"][0]["error_code"], 0, "{gone:?}");
        has(all(&names[1..])).await;
        consumer.close(LIMIT).await.expect("closed");
    }
}

#[tokio::test]
async fn a_pattern_that_cannot_be_read_is_told() {
    let world = World::new(CONSUMER, 1).await;
    let builder = |protocol| world.kafka.consumer(world.group.as_str()).pattern("orders(").group_protocol(protocol);
    let error = builder(GroupProtocol::Classic).build().await.expect_err("this client reads it");
    assert!(matches!(error, Error::Config { setting: "pattern", .. }), "{error}");
    let consumer = builder(CONSUMER).build().await.expect("it is the broker's to read");
    let error = consumer.recv().await.expect_err("it cannot be read");
    assert_eq!(error.code(), Some(ErrorCode::InvalidRegularExpression), "{error}");
}

#[tokio::test]
async fn a_member_that_is_closed_while_it_joins_leaves_no_ghost() {
    // Client trap 96.
    let world = World::new(CONSUMER, 1).await;
    let consumer = world.consumer().await;
    tokio::task::yield_now().await;
    consumer.close(LIMIT).await.expect("closed");
    until("nobody is there", async || world.members().await.is_empty()).await;
}

#[tokio::test]
async fn a_member_of_the_consumer_protocol_sends_nothing_of_the_other() {
    let lines = Lines::new(|_, _| Fate::Passes);
    let world = World::on(CONSUMER, 1, &lines).await;
    world.produce(0..1).await;
    let consumer = world.consumer().await;
    assert_eq!(next(&consumer).await, 0);
    consumer.close(LIMIT).await.expect("closed");
    assert!(lines.seen(JOIN_GROUP).is_empty() && lines.seen(CONSUMER_GROUP_HEARTBEAT).len() >= 2);
}
