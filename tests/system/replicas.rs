//! Replicas that lack something: what acks=all waits for, what consumers see, who may lead, what an election costs.

use std::time::Duration;

use async_kafka::{Kafka, Record};
use mockbroker::{ApiKey, Clock, Fault, MockBroker, NodeId, on};
use system_tests::api::{ELECT_LEADERS, FETCH, LIST_OFFSETS, METADATA, OFFSET_FOR_LEADER_EPOCH, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::{Raw, Sent, patiently};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::eventually;

const NOT_ENOUGH_REPLICAS: i64 = 19;
const REQUEST_TIMED_OUT: i64 = 7;

/// Three nodes with a topic of one partition on all of them, two of which are to be in sync; and who leads it.
pub(super) struct World {
    pub(super) broker: MockBroker,
    pub(super) leader: i32,
    pub(super) others: [i32; 2],
}

impl World {
    pub(super) async fn new(properties: &[(&str, &str)]) -> Self {
        let mut builder = MockBroker::builder().nodes(3).clock(Clock::manual()).topic("t", 1);
        builder = builder.config("default.replication.factor", "3").config("min.insync.replicas", "2");
        for (key, value) in properties {
            builder = builder.config(*key, *value);
        }
        let broker = builder.start().await;
        let mut world = Self { broker, leader: 0, others: [1, 2] };
        world.leader = i32::try_from(world.told(0).await.0).expect("an id");
        let mut others = (0..3).filter(|id| *id != world.leader);
        world.others = [others.next().expect("a node"), others.next().expect("a node")];
        world
    }

    /// Leader, leader epoch and ISR, as a node tells them.
    pub(super) async fn told(&self, node: i32) -> (i64, i64, Vec<i64>) {
        let answer = self.on(node).await.call(METADATA, 12, value!({ topics: [{ name: "t" }] })).await;
        let partition = &answer["topics"][0]["partitions"][0];
        let mut isr: Vec<_> = partition["isr_nodes"].array().iter().map(Value::int).collect();
        isr.sort_unstable();
        (partition["leader_id"].int(), partition["leader_epoch"].int(), isr)
    }

    pub(super) async fn on(&self, node: i32) -> Raw {
        let place = self.broker.node_ids().iter().position(|id| *id == NodeId(node)).expect("a node");
        Raw::connect(self.broker.bootstrap_servers().split(',').nth(place).expect("an address")).await
    }

    /// Error code and base offset of a record that the leader is sent.
    pub(super) async fn write(&self, value: &str, acks: i16) -> (i64, i64) {
        written(&self.on(self.leader).await.call(PRODUCE, 9, produce(value, acks)).await)
    }

    /// A record that the leader is sent and that is not acknowledged yet.
    pub(super) async fn begin_to_write(&self, connection: &mut Raw, value: &str) -> Sent {
        let waiting = self.broker.parked_request_count();
        let sent = connection.send(PRODUCE, 9, produce(value, -1)).await;
        eventually("the request waits", || self.broker.parked_request_count() == waiting + 1).await;
        sent
    }

    /// High watermark and records, as a consumer of the leader sees them from `offset` on.
    pub(super) async fn read(&self, offset: i64) -> (i64, Vec<String>) {
        let answer = self.on(self.leader).await.call(FETCH, 12, fetch(offset, -1, -1)).await;
        let partition = &answer["responses"][0]["partitions"][0];
        assert_eq!(partition["error_code"], 0, "{partition:?}");
        let batches = Batch::decode_all(partition["records"].bytes().clone());
        let values = batches.iter().flat_map(Batch::records).map(|record| record.value.expect("a value"));
        (
            partition["high_watermark"].int(),
            values.map(|value| String::from_utf8(value.to_vec()).expect("text")).collect(),
        )
    }
}

pub(super) fn produce(value: &str, acks: i16) -> Value {
    let records = Batch::of([value]).encode();
    value!({ acks: acks, timeout_ms: 20_000,
        topic_data: [{ name: "t", partition_data: [{ index: 0, records: records }] }] })
}

pub(super) fn written(answer: &Value) -> (i64, i64) {
    let partition = &answer["responses"][0]["partition_responses"][0];
    (partition["error_code"].int(), partition["base_offset"].int())
}

pub(super) fn fetch(offset: i64, leader_epoch: i32, last_fetched_epoch: i32) -> Value {
    value!({ max_wait_ms: 0, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: offset, partition_max_bytes: 1_000_000,
            current_leader_epoch: leader_epoch, last_fetched_epoch: last_fetched_epoch }] }] })
}

#[tokio::test]
async fn acks_all_and_consumers_wait_for_a_replica_in_sync_that_lags() {
    // Source: DelayedProduce, Partition.maybeIncrementLeaderHW.
    let world = World::new(&[]).await;
    assert_eq!(world.write("a", -1).await, (0, 0));
    let stopped = world.broker.node(world.others[0]).replica("t", 0).stop();
    let mut connection = world.on(world.leader).await;
    let sent = world.begin_to_write(&mut connection, "b").await;
    assert_eq!(world.write("c", 1).await, (0, 2), "the leader alone is enough for acks=1");
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]), "no consumer sees what not all have");
    stopped.resume();
    assert_eq!(written(&connection.receive(sent).await), (0, 1));
    assert_eq!(world.read(0).await, (3, vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
}

#[tokio::test]
async fn a_replica_that_lags_too_long_is_out_of_sync_and_nobody_waits_for_it_any_longer() {
    // Source: Partition.maybeShrinkIsr, every half of replica.lag.time.max.ms.
    let world = World::new(&[("replica.lag.time.max.ms", "10000")]).await;
    let stopped = world.broker.node(world.others[0]).replica("t", 0).stop();
    world.broker.advance(Duration::from_secs(60));
    assert_eq!(world.told(world.leader).await.2, [0, 1, 2], "it has all there is");
    let mut connection = world.on(world.leader).await;
    let sent = world.begin_to_write(&mut connection, "a").await;
    world.broker.advance(Duration::from_secs(5));
    assert_eq!(written(&connection.receive(sent).await), (0, 0));
    let (leader, epoch, isr) = world.told(world.leader).await;
    assert_eq!((leader, epoch), (i64::from(world.leader), 0), "an ISR that shrinks is no new epoch");
    assert_eq!(isr.len(), 2);
    drop(stopped);
    assert_eq!(world.told(world.leader).await.2, [0, 1, 2]);
}

#[tokio::test]
async fn with_too_few_in_sync_acks_all_is_refused_and_the_high_watermark_stands_still() {
    // Source: Partition.appendRecordsToLeader; KIP-966 for the high watermark. As on a real cluster: tests/leaders.
    let world = World::new(&[]).await;
    for node in world.others {
        world.broker.node(node).crash();
    }
    assert_eq!(world.write("a", -1).await, (NOT_ENOUGH_REPLICAS, -1));
    assert_eq!(world.write("b", 1).await, (0, 0));
    assert_eq!(world.read(0).await, (0, vec![]));
    world.broker.node(world.others[0]).restart();
    assert_eq!(world.read(0).await, (1, vec!["b".to_owned()]));
    assert_eq!(world.write("c", -1).await, (0, 1));
}

#[tokio::test]
async fn a_record_that_is_not_replicated_in_time_is_timed_out_and_in_the_log() {
    // Source: DelayedProduce.onExpiration. The offset stays in the answer.
    let world = World::new(&[]).await;
    let stopped = world.broker.node(world.others[0]).replica("t", 0).stop();
    let mut connection = world.on(world.leader).await;
    let sent = world.begin_to_write(&mut connection, "a").await;
    world.broker.advance(Duration::from_millis(19_999));
    assert!(connection.is_silent_for(Duration::from_millis(20)).await, "a millisecond is missing");
    world.broker.advance(Duration::from_millis(1));
    assert_eq!(written(&connection.receive(sent).await), (REQUEST_TIMED_OUT, 0));
    drop(stopped);
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]));
}

#[tokio::test]
async fn who_waits_for_replicas_is_told_when_the_leader_is_another() {
    let world = World::new(&[]).await;
    let _stopped = world.broker.node(world.others[0]).replica("t", 0).stop();
    let mut connection = world.on(world.leader).await;
    let sent = world.begin_to_write(&mut connection, "a").await;
    world.broker.move_leader("t", 0, world.others[1]);
    assert_eq!(written(&connection.receive(sent).await).0, 6);
    assert_eq!(world.told(0).await.0, i64::from(world.others[1]));
}

#[tokio::test]
async fn an_unclean_election_cuts_off_what_the_new_leader_lacks_and_says_where() {
    // Source: PartitionChangeBuilder.electAnyLeader; KIP-101, KIP-320, KIP-595.
    let world = World::new(&[("min.insync.replicas", "1")]).await;
    let late = world.others[0];
    world.broker.node(world.others[1]).crash();
    assert_eq!(world.write("a", -1).await, (0, 0));
    world.broker.node(late).crash();
    assert_eq!(world.write("b", -1).await, (0, 1), "acknowledged by all that are in sync: the leader");
    world.broker.node(world.leader).crash();
    world.broker.node(late).restart();
    assert_eq!(world.told(late).await, (-1, 1, vec![]));
    let elect = value!({ election_type: 1, topic_partitions: [{ topic: "t", partitions: [0] }], timeout_ms: 1000 });
    let answer = world.on(late).await.call(ELECT_LEADERS, 2, elect).await;
    assert_eq!(answer["error_code"], 0, "{answer:?}");
    assert_eq!(world.told(late).await, (i64::from(late), 2, vec![i64::from(late)]));
    let world = World { leader: late, ..world };
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]), "b is lost");
    assert_eq!(world.write("c", -1).await, (0, 1));
    // A consumer that has read b is told where its log parts from this one.
    let mut connection = world.on(late).await;
    let told = connection.call(FETCH, 12, fetch(2, 2, 0)).await;
    let partition = &told["responses"][0]["partitions"][0];
    assert_eq!((partition["error_code"].int(), partition["records"].bytes().len()), (0, 0));
    let diverging = &partition["diverging_epoch"];
    assert_eq!((diverging["epoch"].int(), diverging["end_offset"].int()), (0, 1));
    let asked = value!({ replica_id: -1,
        topics: [{ topic: "t", partitions: [{ partition: 0, current_leader_epoch: 2, leader_epoch: 0 }] }] });
    let end = connection.call(OFFSET_FOR_LEADER_EPOCH, 4, asked).await;
    let end = &end["topics"][0]["partitions"][0];
    assert_eq!((end["leader_epoch"].int(), end["end_offset"].int()), (0, 1));
    // The others have nothing else when they are back.
    world.broker.node(world.others[1]).restart();
    world.broker.node(world.others[0]).restart();
    let latest = value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ timestamp: -1 }] }] });
    let answer = connection.call(LIST_OFFSETS, 1, latest).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 2);
}

#[tokio::test]
async fn a_clean_election_loses_only_what_was_not_acknowledged_to_all() {
    let world = World::new(&[]).await;
    assert_eq!(world.write("a", -1).await, (0, 0));
    let stopped = [0, 1].map(|place| world.broker.node(world.others[place]).replica("t", 0).lag(1));
    assert_eq!(world.write("b", 1).await, (0, 1));
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]));
    world.broker.node(world.leader).crash();
    drop(stopped);
    let (leader, epoch, _) = world.told(world.others[0]).await;
    let world = World { leader: i32::try_from(leader).expect("an id"), ..world };
    assert_eq!(epoch, 1);
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]));
    assert_eq!(world.write("c", -1).await, (0, 1), "in the place of b");
}

#[tokio::test]
async fn what_lacked_replicas_after_it_was_appended_is_written_once_by_the_clients_producer() {
    // Source: Partition.checkEnoughReplicasReachOffset. The ISR would have to shrink between two looks of Kafka's, which are one here.
    let world = World::new(&[]).await;
    let refused = world.broker.fault(on(ApiKey::Produce).nth(1).times(2)).after_apply(Fault::Error(20)).mount();
    let kafka = Kafka::builder(world.broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let producer = kafka.producer().build().await.expect("valid settings");
    let delivery = producer.send(Record::to("t").value("a")).await.expect("room");
    assert_eq!(patiently("the delivery", delivery).await.expect("acknowledged").offset, Some(0));
    assert_eq!(refused.hits(), 2);
    let told = world.broker.journal().produce().failed_with(20).count();
    assert_eq!((told, world.read(0).await), (2, (1, vec!["a".to_owned()])));
}

#[tokio::test]
async fn the_clients_producer_waits_until_there_are_enough_replicas() {
    let world = World::new(&[]).await;
    for node in world.others {
        world.broker.node(node).crash();
    }
    let kafka = Kafka::builder(world.broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let producer = kafka.producer().build().await.expect("valid settings");
    // Counts what is refused: the fault is only there to be hit.
    let refused = world.broker.fault(on(ApiKey::Produce)).before_apply(Fault::Delay(Duration::ZERO)).mount();
    let delivery = producer.send(Record::to("t").value("a")).await.expect("room");
    patiently("the producer is refused", refused.wait(2)).await;
    world.broker.node(world.others[0]).restart();
    assert_eq!(delivery.await.expect("acknowledged").offset, Some(0));
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_leader_that_nobody_hears_of_acknowledges_nothing_to_all_and_loses_what_it_took_alone() {
    // Source: broker.session.timeout.ms; BrokerHeartbeatManager, ReplicationControlManager.handleBrokerFenced.
    let world = World::new(&[]).await;
    assert_eq!(world.write("a", -1).await, (0, 0));
    let isolated = world.broker.node(world.leader).isolate();
    let mut connection = world.on(world.leader).await;
    let sent = world.begin_to_write(&mut connection, "to all").await;
    assert_eq!(world.write("to it alone", 1).await, (0, 2));
    world.broker.advance(Duration::from_secs(8));
    assert_eq!(world.told(world.others[0]).await.1, 0, "it may be heard of yet");
    world.broker.advance(Duration::from_secs(1));
    let (leader, epoch, isr) = world.told(world.others[0]).await;
    let mut others = world.others.map(i64::from);
    others.sort_unstable();
    assert_eq!((epoch, isr), (1, others.to_vec()));
    assert!(connection.is_silent_for(Duration::from_millis(20)).await, "it still waits for all");
    let old = world.leader;
    let world = World { leader: i32::try_from(leader).expect("an id"), ..world };
    assert_eq!(world.read(0).await, (1, vec!["a".to_owned()]));
    assert_eq!(world.write("b", -1).await, (0, 1));
    isolated.heal();
    assert_eq!(written(&connection.receive(sent).await), (6, 1));
    assert_eq!(world.told(old).await, (leader, 1, vec![0, 1, 2]));
    assert_eq!(world.read(0).await, (2, vec!["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn a_new_leader_tells_no_end_before_it_knows_what_all_in_sync_have() {
    // KIP-207; Partition.fetchOffsetForTimestamp. The leader before may have told more.
    const LEADER_NOT_AVAILABLE: i64 = 5;
    const OFFSET_NOT_AVAILABLE: i64 = 78;
    let world = World::new(&[]).await;
    assert_eq!(world.write("a", -1).await, (0, 0));
    let late = world.broker.node(world.others[0]).replica("t", 0).stop();
    assert_eq!(world.write("b", 1).await, (0, 1));
    let end = async |node: i32, version: i16, timestamp: i64| {
        let body = value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ timestamp: timestamp }] }] });
        let told = world.on(node).await.call(LIST_OFFSETS, version, body).await;
        let told = &told["topics"][0]["partitions"][0];
        (told["error_code"].int(), told["offset"].int())
    };
    assert_eq!(end(world.leader, 5, -1).await, (0, 1));
    let new = world.others[1];
    world.broker.move_leader("t", 0, new);
    // What is below the high watermark is told, where the log begins, too.
    for (version, timestamp, told) in [
        (5, -1, (OFFSET_NOT_AVAILABLE, -1)),
        (4, -1, (LEADER_NOT_AVAILABLE, -1)),
        (5, i64::MAX - 1, (OFFSET_NOT_AVAILABLE, -1)),
        (5, -2, (0, 0)),
        (5, 0, (0, 0)),
    ] {
        assert_eq!(end(new, version, timestamp).await, told, "v{version} {timestamp}");
    }
    late.resume();
    assert_eq!(end(new, 5, -1).await, (0, 2));
    assert_eq!(end(new, 5, i64::MAX - 1).await, (0, -1));
}

#[tokio::test]
async fn a_follower_that_is_heard_of_again_in_time_has_missed_nothing() {
    let world = World::new(&[]).await;
    let isolated = world.broker.node(world.others[0]).isolate();
    let mut connection = world.on(world.leader).await;
    let sent = world.begin_to_write(&mut connection, "a").await;
    world.broker.advance(Duration::from_secs(5));
    drop(isolated);
    assert_eq!(written(&connection.receive(sent).await), (0, 0));
    world.broker.advance(Duration::from_secs(60));
    assert_eq!(world.told(world.leader).await.1, 0);
    assert_eq!(world.told(world.leader).await.2, [0, 1, 2]);
}

#[tokio::test]
#[should_panic(expected = "node 0 has no replica of t-7")]
async fn a_replica_that_is_not_there_is_named() {
    drop(MockBroker::builder().topic("t", 1).start().await.node(0).replica("t", 7).stop());
}
