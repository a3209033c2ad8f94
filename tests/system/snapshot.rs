//! A warmed cluster, started as often as a test wants.

use std::time::Duration;

use async_kafka::{Kafka, Offset, OffsetReset, Record};
use mockbroker::{Clock, MockBroker};
use system_tests::api::{INIT_PRODUCER_ID, METADATA, OFFSET_FETCH};
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;

const LIMIT: Duration = Duration::from_secs(20);

async fn write(broker: &MockBroker, value: &str) -> Option<i64> {
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let producer = kafka.producer().build().await.expect("valid settings");
    let delivery = producer.send(Record::to("t").value(value.to_owned())).await.expect("room");
    delivery.await.expect("acknowledged").offset
}

async fn read(broker: &MockBroker, count: usize) -> Vec<String> {
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers");
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    let mut values = Vec::new();
    for _ in 0..count {
        let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
        values.push(String::from_utf8(record.expect("open").value().expect("a value").to_vec()).expect("text"));
    }
    values
}

#[tokio::test]
async fn clusters_of_one_snapshot_have_what_it_had_and_go_their_own_ways() {
    let builder = MockBroker::builder().topic("t", 1).config("group.initial.rebalance.delay.ms", "0");
    let warmed = builder.clock(Clock::manual()).start().await;
    write(&warmed, "a").await;
    let kafka = Kafka::builder(warmed.bootstrap_servers()).connect().await.expect("the mock answers");
    let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.build().await.expect("valid settings");
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
    consumer.commit_record(&record.expect("open")).await.expect("committed");
    consumer.close(LIMIT).await.expect("closed");
    warmed.advance(Duration::from_secs(100));
    let snapshot = warmed.snapshot();
    assert_eq!(write(&warmed, "after the snapshot").await, Some(1));
    let [one, other] = [snapshot.start().await, snapshot.start().await];
    drop(warmed);
    assert_eq!(write(&one, "one").await, Some(1));
    assert_eq!(write(&other, "other").await, Some(1));
    assert_eq!(read(&one, 2).await, ["a", "one"]);
    assert_eq!(read(&other, 2).await, ["a", "other"]);
    let mut told = Vec::new();
    for broker in [&one, &other] {
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        let body = value!({ group_id: "g", topics: [{ name: "t", partition_indexes: [0] }] });
        let answer = connection.call(OFFSET_FETCH, 5, body).await;
        assert_eq!(answer["topics"][0]["partitions"][0]["committed_offset"], 1);
        let body = value!({ transactional_id: Value::Null, transaction_timeout_ms: 1000 });
        let producer = connection.call(INIT_PRODUCER_ID, 2, body).await;
        let topic = connection.call(METADATA, 12, value!({ topics: [{ name: "t" }] })).await;
        told.push((producer["producer_id"].int(), topic["topics"][0]["topic_id"].uuid(), broker.seed()));
    }
    assert_eq!(told[0], told[1], "what comes next has the same ids in both");
}

#[tokio::test]
async fn a_node_that_was_down_is_down() {
    let warmed = MockBroker::builder().nodes(2).in_memory().start().await;
    warmed.node(1).crash();
    let broker = warmed.snapshot().start().await;
    assert!(broker.node(0).is_up() && !broker.node(1).is_up());
    assert!(broker.connector().connect("broker-0", 9092).await.is_ok());
    let refused = broker.connector().connect("broker-1", 9092).await.expect_err("it is down");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    broker.node(1).restart();
    assert!(broker.connector().connect("broker-1", 9092).await.is_ok());
    assert!(!warmed.node(1).is_up(), "that is another cluster");
}
