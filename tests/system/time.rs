//! The manual clock: time moves when the test says so.

use std::time::Duration;

use mockbroker::{Clock, MockBroker, Timestamp};
use system_tests::api::{FETCH, LIST_OFFSETS, PRODUCE};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::eventually;

fn fetch_that_waits(max_wait_ms: i32) -> Value {
    value!({ max_wait_ms: max_wait_ms, min_bytes: 1, max_bytes: 1_000_000,
        topics: [{ topic: "t", partitions: [{ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 }] }] })
}

fn produce_one() -> Value {
    let records = Batch::of(["v"]).encode();
    value!({ acks: 1, timeout_ms: 1000, topic_data: [{ name: "t", partition_data: [{ index: 0, records: records }] }] })
}

#[tokio::test]
async fn a_long_poll_ends_when_the_manual_clock_has_moved_far_enough() {
    let broker = MockBroker::builder().clock(Clock::manual()).topic("t", 1).start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let sent = connection.send(FETCH, 12, fetch_that_waits(45_000)).await;
    eventually("the fetch waits", || broker.parked_request_count() == 1).await;
    broker.advance(Duration::from_millis(44_999));
    assert!(connection.is_silent_for(Duration::from_millis(20)).await, "a millisecond is missing");
    broker.advance(Duration::from_millis(1));
    let answer = connection.receive(sent).await;
    assert!(answer["responses"][0]["partitions"][0]["records"].bytes().is_empty());
}

#[tokio::test]
async fn a_long_poll_ends_with_the_data_it_waits_for() {
    let broker = MockBroker::builder().clock(Clock::manual()).topic("t", 1).start().await;
    let mut consumer = Raw::connect(broker.bootstrap_servers()).await;
    let sent = consumer.send(FETCH, 12, fetch_that_waits(45_000)).await;
    eventually("the fetch waits", || broker.parked_request_count() == 1).await;
    let mut producer = Raw::connect(broker.bootstrap_servers()).await;
    producer.call(PRODUCE, 9, produce_one()).await;
    let answer = consumer.receive(sent).await;
    assert_eq!(Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone()).len(), 1);
}

#[tokio::test]
async fn retention_deletes_when_its_time_has_come() {
    // Retention takes whole segments, and the active one once nothing in it is young enough (UnifiedLog.deleteOldSegments).
    let clock = Clock::manual_at(Timestamp::from_millis(Batch::of(["v"]).max_timestamp));
    let broker = MockBroker::builder().clock(clock).config("log.retention.ms", "60000").topic("t", 1).start().await;
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(PRODUCE, 9, produce_one()).await;
    let earliest =
        value!({ replica_id: -1, topics: [{ name: "t", partitions: [{ partition_index: 0, timestamp: -2 }] }] });
    let answer = connection.call(LIST_OFFSETS, 1, earliest.clone()).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 0);
    // Kafka looks 30 seconds after its start, and then every five minutes.
    broker.advance(Duration::from_secs(30));
    let answer = connection.call(LIST_OFFSETS, 1, earliest.clone()).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 0, "it is too young");
    broker.advance(Duration::from_secs(300));
    let answer = connection.call(LIST_OFFSETS, 1, earliest).await;
    assert_eq!(answer["topics"][0]["partitions"][0]["offset"], 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_connections_max_idle_ms() {
    let broker = MockBroker::builder().clock(Clock::manual()).config("connections.max.idle.ms", "5000").start().await;
    let connection = Raw::connect(broker.bootstrap_servers()).await;
    eventually("the connection is there", || broker.connection_count() == 1).await;
    broker.advance(Duration::from_millis(5001));
    connection.closed().await;
}

#[tokio::test]
#[should_panic(expected = "Clock::manual()")]
async fn nobody_moves_the_real_clock() {
    MockBroker::start().await.advance(Duration::from_secs(1));
}
