//! The idempotent producer: nothing twice, nothing missing, nothing out of order, wherever a request or an answer is lost.
//! Asserted on what a raw connection finds in the log. On the mock, or on a real Kafka with `KAFKA_BOOTSTRAP`.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_kafka::{Backoff, Compression, Kafka, Record, Written};
use system_tests::api::{CREATE_TOPICS, FETCH, INIT_PRODUCER_ID, PRODUCE};
use system_tests::batch::Batch;
use system_tests::line::{Fate, Lines};
use system_tests::value;
use system_tests::value::Value;
use system_tests::world::{Broker, unique};

const LIMIT: Duration = Duration::from_secs(20);

/// A broker with a topic of one partition, and a client whose requests go by `lines`.
struct World {
    broker: Broker,
    kafka: Kafka,
    topic: String,
}

impl World {
    async fn new(lines: &Lines, configs: &[(&str, &str)]) -> Self {
        let broker = Broker::for_test().await;
        let topic = unique("idempotence");
        let configs = configs.iter().map(|(name, value)| value!({ name: *name, value: *value }));
        let configs = Value::Array(configs.collect());
        let wanted = value!({ name: &topic, num_partitions: 1, replication_factor: 1, configs: configs });
        let mut connection = broker.connect().await;
        let created = connection.call(CREATE_TOPICS, 7, value!({ topics: [wanted], timeout_ms: 10_000 })).await;
        assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
        let lines = lines.clone();
        let kafka = Kafka::builder(broker.bootstrap())
            .dial(move |address| lines.clone().dial(address.host.to_string(), address.port))
            .request_timeout(Duration::from_secs(2))
            .retry_backoff(Backoff { initial: Duration::from_millis(5), maximum: Duration::from_millis(50) });
        let kafka = kafka.connect().await.expect("the broker answers");
        Self { broker, kafka, topic }
    }

    async fn log(&self) -> Vec<Batch> {
        let wanted = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 100_000_000 });
        let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 100_000_000,
            topics: [{ topic: &self.topic, partitions: [wanted] }] });
        let answer = self.broker.connect().await.call(FETCH, 12, body).await;
        Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone())
    }

    async fn values(&self) -> Vec<String> {
        let records = self.log().await.into_iter().flat_map(|batch| unzipped(batch).records());
        records.map(|record| String::from_utf8(record.value.expect("a value").to_vec()).expect("text")).collect()
    }
}

fn unzipped(mut batch: Batch) -> Batch {
    if batch.attributes == 1 {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&batch.payload[..]).read_to_end(&mut plain).expect("gzip");
        (batch.attributes, batch.payload) = (0, plain.into());
    }
    batch
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Sends the numbers of a range in batches of three, several in flight, and expects each at its offset.
async fn deliver(world: &World, range: std::ops::Range<u32>) {
    let producer = world.kafka.producer().batch_records(3).build().await.expect("valid settings");
    let records = range.clone().map(|number| Record::to(world.topic.as_str()).value(number.to_string()));
    for (offset, outcome) in range.zip(producer.send_all(records).await) {
        assert_eq!(outcome.expect("acknowledged").offset, Some(i64::from(offset)));
    }
}

#[tokio::test]
async fn a_lost_answer_neither_doubles_nor_reorders_wherever_it_is_lost() {
    for lost in 0..6 {
        for fate in [Fate::AnswerLost, Fate::RequestLost] {
            let lines = Lines::new(move |api, number| match (api, number == lost) {
                (PRODUCE, true) => fate,
                _ => Fate::Passes,
            });
            let world = World::new(&lines, &[]).await;
            deliver(&world, 0..30).await;
            assert_eq!(world.values().await, numbers(0..30), "{fate:?} of request {lost}");
            assert_eq!(lines.seen(PRODUCE)[lost], fate, "it was lost indeed");
        }
    }
}

#[tokio::test]
async fn every_second_request_lost_on_one_way_or_the_other_is_no_matter() {
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(0x1de));
    let lines = Lines::new(move |api, _| match (api, random.lock().expect("no panic").u8(..4)) {
        (PRODUCE, 0) => Fate::RequestLost,
        (PRODUCE, 1) => Fate::AnswerLost,
        _ => Fate::Passes,
    });
    let world = World::new(&lines, &[]).await;
    deliver(&world, 0..150).await;
    assert_eq!(world.values().await, numbers(0..150));
    assert!(lines.seen(PRODUCE).contains(&Fate::AnswerLost));
}

#[tokio::test]
async fn batches_carry_one_producer_and_sequences_without_a_gap() {
    // KIP-98: sequences count records.
    let world = World::new(&Lines::new(|_, _| Fate::Passes), &[]).await;
    deliver(&world, 0..20).await;
    let mut next = 0;
    let log = world.log().await;
    for batch in &log {
        assert_eq!((batch.producer_id, batch.producer_epoch), (log[0].producer_id, 0));
        assert_eq!(batch.base_sequence, next);
        next += batch.record_count;
    }
    assert!(log[0].producer_id >= 0 && next == 20);
}

#[tokio::test]
async fn a_producer_whose_first_answer_is_lost_asks_for_its_id_again() {
    let lines = Lines::new(|api, number| match (api, number) {
        (INIT_PRODUCER_ID, 0) => Fate::AnswerLost,
        (INIT_PRODUCER_ID, 1) => Fate::RequestLost,
        _ => Fate::Passes,
    });
    let world = World::new(&lines, &[]).await;
    deliver(&world, 0..3).await;
    assert!(lines.seen(INIT_PRODUCER_ID).len() >= 3);
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_topic_arrives_in_parts_and_in_order() {
    // KIP-126; the parts keep the sequences of the whole.
    for compression in [Compression::None, Compression::Gzip] {
        let world = World::new(&Lines::new(|_, _| Fate::Passes), &[("max.message.bytes", "1000")]).await;
        let builder = world.kafka.producer().linger(Duration::from_millis(50)).compression(compression);
        let producer = builder.build().await.expect("valid settings");
        let mut random = fastrand::Rng::with_seed(1);
        let mut value =
            |number: u32| format!("{number} {}", (0..60).map(|_| random.alphanumeric()).collect::<String>());
        let expected: Vec<String> = (0..100).map(&mut value).collect();
        let records = expected.iter().map(|value| Record::to(world.topic.as_str()).value(value.clone()));
        for (offset, outcome) in (0..).zip(producer.send_all(records).await) {
            assert_eq!(outcome.expect("acknowledged").offset, Some(offset));
        }
        assert_eq!(world.values().await, expected);
        let sequences: Vec<_> =
            world.log().await.iter().map(|batch| (batch.base_offset, batch.base_sequence)).collect();
        assert!(sequences.len() >= 4, "{sequences:?}");
        assert!(sequences.iter().all(|(offset, sequence)| *offset == i64::from(*sequence)), "{sequences:?}");
    }
}

#[tokio::test]
async fn one_record_that_is_too_large_fails_alone() {
    let world = World::new(&Lines::new(|_, _| Fate::Passes), &[("max.message.bytes", "1000")]).await;
    let producer = world.kafka.producer().linger(Duration::from_millis(50)).build().await.expect("valid settings");
    let sizes = [10, 20, 5000, 30, 40];
    let records = sizes.map(|size| Record::to(world.topic.as_str()).value("x".repeat(size)));
    let outcomes = producer.send_all(records).await;
    let error = outcomes[2].as_ref().expect_err("no part of it is small enough");
    assert_eq!(error.written(), Some(Written::NotWritten), "{error}");
    let offsets: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().ok().and_then(|stored| stored.offset)).collect();
    assert_eq!(offsets, [Some(0), Some(1), None, Some(2), Some(3)], "the others are written in order");
    producer.send(Record::to(world.topic.as_str()).value("next")).await.expect("room").await.expect("acknowledged");
    assert_eq!(world.values().await.len(), 5);
}

#[tokio::test]
async fn records_that_are_given_up_in_doubt_are_in_the_log_once_or_never_and_the_next_ones_follow() {
    // KIP-360: the producer goes on with the next epoch.
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let lines = Lines::new(move |api, _| match (api, is_broken.load(Ordering::Relaxed)) {
        (PRODUCE, true) => Fate::AnswerLost,
        _ => Fate::Passes,
    });
    let world = World::new(&lines, &[]).await;
    let builder = world.kafka.producer().batch_records(1).linger(Duration::ZERO);
    let producer = builder.delivery_timeout(Duration::from_secs(2)).build().await.expect("valid settings");
    let record = |value: &str| Record::to(world.topic.as_str()).value(value.to_owned());
    producer.send(record("before")).await.expect("room").await.expect("acknowledged");
    broken.store(true, Ordering::Relaxed);
    let outcomes = producer.send_all([record("a"), record("b")]).await;
    for outcome in outcomes {
        let error = outcome.expect_err("no answer comes");
        assert!(error.written().is_some(), "{error}");
    }
    broken.store(false, Ordering::Relaxed);
    producer.send(record("after")).await.expect("room").await.expect("acknowledged");
    let report = producer.close(LIMIT).await.expect("closed");
    assert_eq!((report.not_written, report.maybe_written), (0, 0), "nothing was open");
    let values = world.values().await;
    assert_eq!(
        (values.first().map(String::as_str), values.last().map(String::as_str)),
        (Some("before"), Some("after"))
    );
    let mut distinct = values.clone();
    distinct.dedup();
    assert_eq!(values, distinct, "nothing is there twice");
    assert_eq!(world.log().await.last().expect("records").producer_epoch, 1);
}
