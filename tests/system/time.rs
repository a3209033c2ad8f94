//! The manual clock: time moves when the test says so.

use std::time::Duration;

use mockbroker::{ApiKey, Clock, Fault, MockBroker, Timestamp, on};
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

/// Whether an answer can be read without any further wait.
async fn has_arrived(connection: &mut Raw) -> bool {
    !connection.is_silent_for(Duration::ZERO).await
}

#[tokio::test]
async fn what_was_sent_before_is_handled_and_what_falls_due_is_there_when_advance_returns() {
    for length in [1, 500, 500_000] {
        let broker = MockBroker::builder().clock(Clock::manual()).topic("t", 1).start().await;
        let mut connections = Vec::new();
        for _ in 0..10 {
            connections.push(Raw::connect(broker.bootstrap_servers()).await);
        }
        let mut sent = Vec::new();
        for connection in &mut connections {
            sent.push(connection.send(FETCH, 12, fetch_that_waits(length)).await);
        }
        let length = Duration::from_millis(u64::try_from(length).expect("it is positive"));
        broker.advance(length - Duration::from_millis(1)).await;
        assert_eq!(broker.parked_request_count(), 10, "they have been handled, and wait");
        for connection in &mut connections {
            assert!(!has_arrived(connection).await, "a millisecond is missing");
        }
        broker.advance(Duration::from_millis(1)).await;
        for (connection, sent) in connections.iter_mut().zip(sent) {
            assert!(has_arrived(connection).await, "it is in the socket");
            connection.receive(sent).await;
        }
    }
}

#[tokio::test]
async fn what_falls_due_is_carried_out_in_its_order_each_at_its_time() {
    let broker = MockBroker::builder().clock(Clock::manual()).topic("t", 1).start().await;
    let (mut first, mut second) =
        (Raw::connect(broker.bootstrap_servers()).await, Raw::connect(broker.bootstrap_servers()).await);
    let late = |length| {
        let delay = Fault::Delay(Duration::from_millis(length));
        broker.fault(on(ApiKey::Produce)).before_apply(delay).mount()
    };
    let later = late(300);
    let written_second = first.send(PRODUCE, 9, produce_one()).await;
    broker.journal().produce().waiting().wait_for(1).await;
    drop(later);
    let _sooner = late(100);
    let written_first = second.send(PRODUCE, 9, produce_one()).await;
    broker.advance(Duration::from_secs(60)).await;
    let took: Vec<_> =
        broker.journal().produce().entries().iter().map(|it| it.took().map(|it| it.as_millis())).collect();
    assert_eq!(took, [Some(300), Some(100)], "each at its own time, not at the end");
    let offset = |answer: &Value| answer["responses"][0]["partition_responses"][0]["base_offset"].int();
    assert!(has_arrived(&mut first).await && has_arrived(&mut second).await);
    assert_eq!(offset(&second.receive(written_first).await), 0);
    assert_eq!(offset(&first.receive(written_second).await), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_many_threads_too_what_fell_due_is_written() {
    let broker = MockBroker::builder().clock(Clock::manual()).topic("t", 1).start().await;
    for _ in 0..20 {
        let mut connection = Raw::connect(broker.bootstrap_servers()).await;
        let sent = connection.send(FETCH, 12, fetch_that_waits(45_000)).await;
        eventually("the fetch waits", || broker.parked_request_count() == 1).await;
        broker.advance(Duration::from_secs(45)).await;
        let answered = broker.journal().fetch().waiting().count();
        assert_eq!(answered, 0, "its answer is written");
        connection.receive(sent).await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_memory_too_what_fell_due_is_in_the_stream() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let broker = MockBroker::builder().in_memory().clock(Clock::manual()).topic("t", 1).start().await;
    let mut stream = broker.connector().connect("broker-0", 9092).await.expect("it is there");
    let message = mockbroker::schema::request(FETCH).expect("an API of Kafka's");
    let mut frame = system_tests::raw::header(message, 11, 7, Some("memory"));
    frame.extend(system_tests::codec::encode(message, 11, &fetch_that_waits(45_000)));
    stream.write_i32(i32::try_from(frame.len()).expect("a small frame")).await.expect("written");
    stream.write_all(&frame).await.expect("written");
    broker.advance(Duration::from_secs(45)).await;
    let mut answer = [0; 8];
    let read = tokio::time::timeout(Duration::ZERO, stream.read_exact(&mut answer)).await;
    assert!(read.is_ok(), "it is in the stream");
    assert_eq!(answer[4..], [0, 0, 0, 7], "the correlation id");
}

#[test]
fn blocking_code_finds_what_fell_due_in_its_socket() {
    use std::io::{Read, Write};
    let builder = MockBroker::builder().clock(Clock::manual()).topic("t", 1);
    let broker = mockbroker::blocking::MockBroker::from_builder(builder).expect("it starts");
    let mut stream = std::net::TcpStream::connect(broker.bootstrap_servers()).expect("it listens");
    let message = mockbroker::schema::request(FETCH).expect("an API of Kafka's");
    let mut frame = system_tests::raw::header(message, 11, 7, Some("blocking"));
    frame.extend(system_tests::codec::encode(message, 11, &fetch_that_waits(45_000)));
    let length = u32::try_from(frame.len()).expect("a small frame").to_be_bytes();
    stream.write_all(&[&length[..], &frame].concat()).expect("written");
    broker.wait(broker.handle().journal().fetch().waiting().wait_for(1));
    broker.advance(Duration::from_secs(45));
    stream.set_nonblocking(true).expect("a TCP socket");
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).expect("it is in the socket");
    assert_eq!(answer[4..], [0, 0, 0, 7], "the correlation id");
}
