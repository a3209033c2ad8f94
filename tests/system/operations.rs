//! What a test does to a cluster by one call.

use std::time::Duration;

use async_kafka::{Consumer, Kafka, Offset, OffsetReset, Record};
use mockbroker::{Clock, MockBroker};
use system_tests::api::{FETCH, FIND_COORDINATOR, LIST_OFFSETS, METADATA, OFFSET_FETCH, PRODUCE};
use system_tests::batch::{self, Batch};
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;

const LIMIT: Duration = Duration::from_secs(20);

async fn kafka(broker: &MockBroker) -> Kafka {
    Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers")
}

async fn write(kafka: &Kafka, values: &[&str]) {
    let producer = kafka.producer().build().await.expect("valid settings");
    for outcome in producer.send_all(values.iter().map(|value| Record::to("t").value((*value).to_owned()))).await {
        outcome.expect("acknowledged");
    }
}

/// Reads a record, and commits it.
async fn next(consumer: &Consumer) -> String {
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
    let record = record.expect("open");
    consumer.commit_record(&record).await.expect("committed");
    String::from_utf8(record.value().expect("a value").to_vec()).expect("text")
}

/// The replicas of partition 0 of `t`, its leader and its epoch.
async fn led(broker: &MockBroker) -> (Vec<i64>, i64, i64) {
    let mut connection = Raw::connect(broker.bootstrap_servers().split(',').next().expect("an address")).await;
    let answer = connection.call(METADATA, 12, value!({ topics: [{ name: "t" }] })).await;
    let partition = &answer["topics"][0]["partitions"][0];
    let replicas = partition["replica_nodes"].array().iter().map(Value::int).collect();
    (replicas, partition["leader_id"].int(), partition["leader_epoch"].int())
}

#[tokio::test]
async fn a_leader_moves_to_a_replica_or_to_a_node_that_becomes_one_and_clients_follow() {
    let broker = MockBroker::builder().nodes(3).config("default.replication.factor", "2").topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let (replicas, leader, _) = led(&broker).await;
    let follower = *replicas.iter().find(|id| **id != leader).expect("a follower");
    let outsider = (0..3).find(|id| !replicas.contains(id)).expect("another node");
    write(&kafka, &["a"]).await;
    broker.move_leader("t", 0, i32::try_from(follower).expect("an id"));
    assert_eq!(led(&broker).await, (replicas.clone(), follower, 1));
    write(&kafka, &["b"]).await;
    broker.move_leader("t", 0, i32::try_from(outsider).expect("an id"));
    let (moved, leader, epoch) = led(&broker).await;
    assert!(moved.contains(&outsider) && !moved.contains(&follower) && leader == outsider && epoch > 1);
    write(&kafka, &["c"]).await;
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    for expected in ["a", "b", "c"] {
        let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
        assert_eq!(record.expect("open").value(), Some(expected.as_bytes()));
    }
}

#[tokio::test]
async fn coordinators_move_and_the_group_goes_on() {
    let builder = MockBroker::builder().nodes(3).topic("t", 1).config("group.initial.rebalance.delay.ms", "0");
    let broker = builder.start().await;
    let kafka = kafka(&broker).await;
    let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.heartbeat_interval(Duration::from_millis(50)).build().await.expect("valid settings");
    write(&kafka, &["a"]).await;
    assert_eq!(next(&consumer).await, "a");
    for node in [0, 1, 2] {
        broker.move_group_coordinator("g", node);
        let mut connection = Raw::connect(broker.bootstrap_servers().split(',').next().expect("an address")).await;
        let found = connection.call(FIND_COORDINATOR, 3, value!({ key: "g", key_type: 0 })).await;
        assert_eq!(found["node_id"], node);
        broker.move_transaction_coordinator("tx", node);
        let found = connection.call(FIND_COORDINATOR, 3, value!({ key: "tx", key_type: 1 })).await;
        assert_eq!(found["node_id"], node);
        write(&kafka, &["again"]).await;
        assert_eq!(next(&consumer).await, "again");
    }
}

#[tokio::test]
async fn records_are_deleted_and_a_consumer_is_told_that_they_are_gone() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    write(&kafka, &["a", "b", "c"]).await;
    assert_eq!(broker.delete_records("t", 0, Some(2)), 2);
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let body = value!({ max_wait_ms: 0, max_bytes: 1000,
        topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: 1, partition_max_bytes: 1000 }] }] });
    let answer = connection.call(FETCH, 12, body).await;
    assert_eq!(answer["responses"][0]["partitions"][0]["error_code"], 1);
    let earliest = value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ timestamp: -2 }] }] });
    let answer = connection.call(LIST_OFFSETS, 1, earliest).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 2);
    assert_eq!(broker.delete_records("t", 0, None), 3);
}

#[tokio::test]
async fn a_topic_is_compacted_now() {
    let broker = MockBroker::builder().config("log.cleanup.policy", "compact").topic("t", 1).start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    for value in ["1", "2", "3"] {
        let record = batch::Record { key: Some("k".into()), value: Some(value.into()), ..Default::default() };
        let records = Batch::of_records([record]).encode();
        let body = value!({ acks: 1, timeout_ms: 1000,
            topic_data: [{ name: "t", partition_data: [{ index: 0, records: records }] }] });
        let answer = connection.call(PRODUCE, 9, body).await;
        assert_eq!(answer["responses"][0]["partition_responses"][0]["error_code"], 0);
    }
    broker.compact("t");
    assert_eq!(records(&mut connection).await, 3, "the last segment is left alone");
    broker.roll_segments("t");
    broker.compact("t");
    assert_eq!(records(&mut connection).await, 1);
}

async fn records(connection: &mut Raw) -> usize {
    let body = value!({ max_wait_ms: 0, max_bytes: 100_000,
        topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 100_000 }] }] });
    let answer = connection.call(FETCH, 12, body).await;
    let records = answer["responses"][0]["partitions"][0]["records"].bytes().clone();
    Batch::decode_all(records).iter().map(|batch| batch.records().len()).sum()
}

#[tokio::test]
async fn offsets_expire_once_nobody_is_subscribed_whatever_the_time() {
    let builder = MockBroker::builder().topic("t", 1).config("group.initial.rebalance.delay.ms", "0");
    let broker = builder.clock(Clock::manual()).start().await;
    let kafka = kafka(&broker).await;
    let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.build().await.expect("valid settings");
    write(&kafka, &["a"]).await;
    assert_eq!(next(&consumer).await, "a");
    broker.expire_offsets();
    assert_eq!(committed(&broker).await, 1, "its member is subscribed");
    consumer.close(LIMIT).await.expect("closed");
    assert_eq!(committed(&broker).await, 1);
    broker.expire_offsets();
    assert_eq!(committed(&broker).await, -1);
}

async fn committed(broker: &MockBroker) -> i64 {
    let body = value!({ group_id: "g", topics: [{ name: "t", partition_indexes: [0] }] });
    let answer = Raw::connect(broker.bootstrap_servers()).await.call(OFFSET_FETCH, 5, body).await;
    answer["topics"][0]["partitions"][0]["committed_offset"].int()
}

#[tokio::test]
#[should_panic(expected = "there is no partition t-3")]
async fn what_cannot_be_done_says_why() {
    MockBroker::builder().topic("t", 1).start().await.move_leader("t", 3, 0);
}
