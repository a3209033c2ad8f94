//! The producer: where batches end, what waits, what is given back, what is counted, and that nothing is lost, doubled or out of
//! order whatever happens to requests. Asserted on what a raw connection finds in the log. On the mock, or on a real Kafka
//! with `KAFKA_BOOTSTRAP`, except where a fault is injected.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_kafka::admin::{NewPartitions, NewTopic};
use async_kafka::{Acks, Compression, Event, Record, Refused, TopicPartition, Written};
use mockbroker::{ApiKey, Fault, MockBroker, on};
use system_tests::api::FETCH;
use system_tests::batch::{Batch, HEADER_SIZE};
use system_tests::value;
use system_tests::world::{Broker, unique};
use tokio::time::Instant;

use crate::admin::{LIMIT, World, until};

/// What is in the log of a partition.
async fn log(world: &World, topic: &str, partition: i32) -> Vec<Batch> {
    let wanted = value!({ partition: partition, fetch_offset: 0, partition_max_bytes: 100_000_000 });
    let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 100_000_000,
        topics: [{ topic: topic, partitions: [wanted] }] });
    let answer = world.broker.connect().await.call(FETCH, 12, body).await;
    Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone())
}

fn counts(log: &[Batch]) -> Vec<i32> {
    log.iter().map(|batch| batch.record_count).collect()
}

fn values(log: &[Batch]) -> Vec<String> {
    let records = log.iter().flat_map(Batch::records);
    records.map(|record| String::from_utf8(record.value.expect("a value").to_vec()).expect("text")).collect()
}

fn numbers(topic: &Arc<str>, range: std::ops::Range<u32>) -> impl Iterator<Item = Record> {
    range.map(move |number| Record::to(Arc::clone(topic)).partition(0).value(number.to_string()))
}

fn texts(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_batch_ends_by_its_count_of_records() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    let producer =
        world.kafka.producer().batch_records(3).linger(Duration::from_secs(60)).build().await.expect("valid");
    let mut deliveries = Vec::new();
    for record in numbers(&topic, 0..7) {
        deliveries.push(producer.send(record).await.expect("taken"));
    }
    let last = deliveries.pop().expect("seven");
    for delivery in deliveries {
        delivery.await.expect("acknowledged without its linger");
    }
    assert_eq!(counts(&log(&world, &topic, 0).await), [3, 3], "the seventh lingers");
    producer.flush().await.expect("flushed");
    assert_eq!(last.await.expect("acknowledged").offset, Some(6));
    assert_eq!(counts(&log(&world, &topic, 0).await), [3, 3, 1]);
}

#[tokio::test]
async fn a_batch_ends_by_its_bytes_and_a_bigger_record_has_one_of_its_own() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    let producer =
        world.kafka.producer().batch_size(1000).linger(Duration::from_secs(60)).build().await.expect("valid");
    let sized = |bytes: usize| Record::to(Arc::clone(&topic)).partition(0).value("x".repeat(bytes));
    let records = [100, 100, 100, 100, 100, 100, 100, 100, 100, 2000, 100].map(sized);
    for result in producer.send_all(records).await {
        result.expect("acknowledged");
    }
    let log = log(&world, &topic, 0).await;
    // A record takes its value and 8 bytes or so: eight of them and the header fit into 1000 bytes.
    assert_eq!(counts(&log), [8, 1, 1, 1]);
    let size = |batch: &Batch| HEADER_SIZE + batch.payload.len();
    assert!(size(&log[0]) <= 1000 && size(&log[0]) + 108 > 1000, "{}", size(&log[0]));
    assert!(size(&log[2]) > 2000);
}

#[tokio::test]
async fn a_batch_ends_by_its_linger() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    let linger = Duration::from_millis(150);
    let producer = world.kafka.producer().linger(linger).build().await.expect("valid");
    // The first one pays for looking things up.
    producer.send_all(numbers(&topic, 0..1)).await.remove(0).expect("acknowledged");
    let began = Instant::now();
    let mut deliveries = Vec::new();
    for record in numbers(&topic, 1..6) {
        deliveries.push(producer.send(record).await.expect("taken"));
    }
    for delivery in deliveries {
        delivery.await.expect("acknowledged");
    }
    assert!(began.elapsed() >= linger, "{:?}", began.elapsed());
    assert_eq!(counts(&log(&world, &topic, 0).await), [1, 5]);
}

#[tokio::test]
async fn each_record_of_many_has_a_result_of_its_own() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    let producer = world.kafka.producer().max_request_size(5000).build().await.expect("valid");
    let to = |partition| Record::to(Arc::clone(&topic)).partition(partition);
    let records = [to(0).value("a"), to(7).value("b"), to(0).value("c".repeat(6000)), to(0).value("d")];
    let results = producer.send_all(records).await;
    assert_eq!(results[0].as_ref().expect("acknowledged").offset, Some(0));
    assert!(results[1].as_ref().unwrap_err().to_string().contains("no partition 7"), "{:?}", results[1]);
    assert!(matches!(results[2], Err(async_kafka::Error::RecordTooLarge { .. })), "{:?}", results[2]);
    assert_eq!(results[3].as_ref().expect("acknowledged").offset, Some(1));
    assert_eq!(values(&log(&world, &topic, 0).await), ["a", "d"]);
}

#[tokio::test]
async fn memory_is_bounded_and_what_finds_no_room_is_given_back() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    let builder = world.kafka.producer().buffer_memory(4000).max_request_size(4000).linger(Duration::from_secs(60));
    let producer = builder.max_block(Duration::from_millis(500)).build().await.expect("valid");
    let record = |value: &str| Record::to(Arc::clone(&topic)).partition(0).value(value.repeat(1000));
    let first = match producer.try_send(record("a")) {
        Err(refused) => {
            assert!(matches!(refused.reason, Refused::TopicNotKnown), "{refused}");
            producer.send(*refused.record).await.expect("taken")
        }
        Ok(delivery) => delivery,
    };
    for value in ["b", "c"] {
        producer.try_send(record(value)).expect("there is room");
    }
    let refused = producer.try_send(record("d")).expect_err("the memory is used up");
    assert!(matches!(refused.reason, Refused::Full), "{refused}");
    assert_eq!(refused.record.value, record("d").value, "the record comes back");
    let waited = producer.send(record("d")).await.expect_err("nothing is sent before its linger");
    assert!(waited.to_string().contains("buffer_memory"), "{waited}");
    let metrics = world.kafka.metrics().producer;
    assert_eq!((metrics.buffer_exhausted_total, metrics.buffer_total_bytes), (2, 4000));
    assert!(metrics.buffer_available_bytes < 1000, "{metrics:?}");
    // Whoever waits goes on as soon as there is room.
    let waiting = {
        let (producer, record) = (producer.clone(), record("d"));
        let flushing = tokio::spawn(async move { producer.flush().await });
        tokio::task::yield_now().await;
        (flushing, record)
    };
    waiting.0.await.expect("no panic").expect("flushed");
    assert_eq!(first.await.expect("acknowledged").offset, Some(0));
    producer.try_send(waiting.1).expect("there is room again");
    producer.flush().await.expect("flushed");
    assert_eq!(world.kafka.metrics().producer.buffer_available_bytes, 4000);
    let written: Vec<_> = values(&log(&world, &topic, 0).await).iter().map(|value| value[..1].to_owned()).collect();
    assert_eq!(written, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_and_callbacks_hear_of_it() {
    let world = World::new().await;
    let topic = world.topic(1).await;
    for acks in [Acks::None, Acks::Leader, Acks::All] {
        let before = u32::try_from(values(&log(&world, &topic, 0).await).len()).expect("few");
        let producer = world.kafka.producer().acks(acks).build().await.expect("valid");
        let (called, offsets) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for (index, record) in numbers(&topic, before..before + 10).enumerate() {
            let delivery = producer.send(record).await.expect("taken");
            // Every second one is forgotten at once.
            if index % 2 == 0 {
                let (called, offsets) = (Arc::clone(&called), Arc::clone(&offsets));
                delivery.on_completion(move |result| {
                    called.fetch_add(1, Ordering::Relaxed);
                    let offset = result.expect("acknowledged").offset;
                    offsets.fetch_add(u64::from(offset.is_some()), Ordering::Relaxed);
                });
            }
        }
        producer.close(LIMIT).await.expect("closed");
        assert_eq!(called.load(Ordering::Relaxed), 5);
        assert_eq!(offsets.load(Ordering::Relaxed), if acks == Acks::None { 0 } else { 5 }, "{acks:?}");
        until("it is in the log", async || values(&log(&world, &topic, 0).await) == texts(0..before + 10)).await;
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_broker_goes_out_in_parts() {
    // KafkaProducer splits (Sender.completeBatch on MESSAGE_TOO_LARGE); each record keeps its own offset.
    let world = World::new().await;
    let topic: Arc<str> = unique("split").into();
    let new = NewTopic::new(Arc::clone(&topic)).partitions(1).config("max.message.bytes", "500");
    world.admin.create_topics([new]).await[&topic].clone().expect("created");
    let mut events = world.kafka.events();
    let producer = world.kafka.producer().linger(Duration::from_millis(50)).build().await.expect("valid");
    let records = numbers(&topic, 0..12).map(|record| {
        let padded = format!("{:<100}", std::str::from_utf8(record.value.as_deref().expect("a value")).expect("text"));
        record.value(padded)
    });
    for (index, result) in producer.send_all(records).await.into_iter().enumerate() {
        assert_eq!(result.expect("acknowledged").offset, Some(index as i64));
    }
    let written: Vec<_> = values(&log(&world, &topic, 0).await).iter().map(|value| value.trim().to_owned()).collect();
    assert_eq!(written, texts(0..12));
    assert!(world.kafka.metrics().producer.batch_split_total >= 2, "{:?}", world.kafka.metrics().producer);
    let split = std::iter::from_fn(|| events.try_next()).any(|event| matches!(event, Event::BatchSplit { .. }));
    assert!(split, "it was told");
}

#[tokio::test]
async fn what_is_alone_too_large_for_the_broker_is_surely_not_written_and_the_others_are() {
    let world = World::new().await;
    let topic: Arc<str> = unique("large").into();
    let new = NewTopic::new(Arc::clone(&topic)).partitions(1).config("max.message.bytes", "500");
    world.admin.create_topics([new]).await[&topic].clone().expect("created");
    let producer = world.kafka.producer().linger(Duration::from_millis(50)).build().await.expect("valid");
    let to = |value: String| Record::to(Arc::clone(&topic)).partition(0).value(value);
    let results = producer.send_all([to("a".into()), to("b".repeat(900)), to("c".into())]).await;
    results[0].as_ref().expect("acknowledged");
    assert_eq!(results[1].as_ref().unwrap_err().written(), Some(Written::NotWritten));
    results[2].as_ref().expect("acknowledged");
    assert_eq!(values(&log(&world, &topic, 0).await), ["a", "c"]);
}

#[tokio::test]
async fn records_reach_partitions_that_came_later_and_go_on_when_leaders_move() {
    let broker = match Broker::real() {
        Some(real) => real,
        None => Broker::mock(MockBroker::builder().nodes(3).start().await),
    };
    let world = World::on(broker).await;
    let nodes: Vec<i32> = world.admin.describe_cluster().await.expect("an answer").nodes.into_keys().collect();
    let kafka = async_kafka::Kafka::builder(world.broker.bootstrap())
        .metadata_max_age(Duration::from_millis(50))
        .retry_backoff(async_kafka::Backoff { initial: Duration::from_millis(5), maximum: Duration::from_millis(50) });
    let kafka = kafka.connect().await.expect("the broker answers");
    let topic: Arc<str> = unique("moves").into();
    let new = NewTopic::new(Arc::clone(&topic)).assign(0, [nodes[0]]);
    world.admin.create_topics([new]).await[&topic].clone().expect("created");
    let producer = kafka.producer().batch_records(2).linger(Duration::ZERO).build().await.expect("valid");
    let of = TopicPartition::new(Arc::clone(&topic), 0);
    let mut deliveries = Vec::new();
    for (turn, range) in [0..20, 20..40, 40..60, 60..80].into_iter().enumerate() {
        for record in numbers(&topic, range) {
            deliveries.push(producer.send(record).await.expect("taken"));
        }
        let to = vec![nodes[(turn + 1) % nodes.len()]];
        world.admin.alter_reassignments([(of.clone(), Some(to))]).await[&of].clone().expect("it begins");
    }
    for (index, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await.expect("acknowledged").offset, Some(index as i64));
    }
    let consumer = kafka.assigned_consumer().assign(Arc::clone(&topic), 0, async_kafka::Offset::Earliest);
    let consumer = consumer.build().await.expect("assigned");
    for number in 0..80 {
        let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
        let record = record.expect("open");
        assert_eq!(record.value(), Some(number.to_string().as_bytes()), "once and in order");
    }
    let more = NewPartitions::total(Arc::clone(&topic), 3);
    world.admin.create_partitions([more]).await[&topic].clone().expect("they are added");
    until("the producer knows them", async || {
        let record = Record::to(Arc::clone(&topic)).partition(2).value("v");
        producer.send_all([record]).await.remove(0).is_ok()
    })
    .await;
}

#[tokio::test]
async fn order_and_number_survive_a_loss_at_every_point() {
    // Each of the first requests is lost, or its answer, or it is refused or told to be refused, one after the other; several
    // are in flight all the time. The sequences make of it one log (KIP-98).
    let faults = [
        (false, Fault::Disconnect),
        (true, Fault::Disconnect),
        (false, Fault::Error(6)),
        (true, Fault::Error(7)),
        (false, Fault::Error(19)),
        (true, Fault::Error(20)),
        (false, Fault::Error(5)),
    ];
    for (is_after, fault) in faults {
        for point in 1..=4 {
            let mock = MockBroker::builder().topic("t", 1).start().await;
            let mounted = mock.fault(on(ApiKey::Produce).nth(point));
            let what = format!("{fault:?}, after: {is_after}, request {point}");
            let mounted =
                if is_after { mounted.after_apply(fault.clone()) } else { mounted.before_apply(fault.clone()) }.mount();
            let world = World::on(Broker::mock(mock)).await;
            let producer = world.kafka.producer().batch_records(2).build().await.expect("valid");
            let topic: Arc<str> = "t".into();
            let mut deliveries = Vec::new();
            for record in numbers(&topic, 0..24) {
                deliveries.push(producer.send(record).await.expect("taken"));
                tokio::task::yield_now().await;
            }
            for (index, delivery) in deliveries.into_iter().enumerate() {
                assert_eq!(delivery.await.expect("acknowledged").offset, Some(index as i64), "{what}");
            }
            assert_eq!(mounted.hits(), 1, "{what}");
            assert_eq!(values(&log(&world, "t", 0).await), texts(0..24), "{what}");
        }
    }
}

#[tokio::test]
async fn a_close_that_cannot_wait_reports_what_it_knows() {
    let mock = MockBroker::builder().topic("t", 2).start().await;
    let silent = mock.fault(on(ApiKey::Produce).partition(1)).after_apply(Fault::Silence).mount();
    let world = World::on(Broker::mock(mock)).await;
    let topic: Arc<str> = "t".into();
    let builder = world.kafka.producer().max_in_flight(1).batch_records(1).linger(Duration::ZERO);
    let producer = builder.build().await.expect("valid");
    for result in producer.send_all(numbers(&topic, 0..2)).await {
        result.expect("acknowledged");
    }
    let asked = producer.send(Record::to("t").partition(1).value("answered never")).await.expect("taken");
    silent.wait(1).await;
    let waiting = producer.send(Record::to("t").partition(0).value("still here")).await.expect("taken");
    let report = producer.close(Duration::from_millis(50)).await.expect("closed");
    assert_eq!((report.delivered, report.not_written, report.maybe_written), (0, 1, 1));
    assert_eq!(asked.await.expect_err("nobody knows").written(), Some(Written::MaybeWritten));
    assert_eq!(waiting.await.expect_err("it was never sent").written(), Some(Written::NotWritten));
    assert!(producer.send(Record::to("t").value("too late")).await.is_err());
    assert_eq!(values(&log(&world, "t", 0).await), ["0", "1"]);
}

#[tokio::test]
async fn events_and_metrics_tell_what_became_of_batches_and_interceptors_see_every_record() {
    let mock = MockBroker::builder().topic("t", 1).start().await;
    let _once = mock.fault(on(ApiKey::Produce).nth(1)).before_apply(Fault::Error(6)).mount();
    let world = World::on(Broker::mock(mock)).await;
    let mut events = world.kafka.events();
    let builder = world.kafka.producer().compression(Compression::Gzip).linger(Duration::from_millis(20));
    let builder = builder.on_send(|record| {
        let header = async_kafka::Header { key: "trace".into(), value: Some("7".into()) };
        record.headers.push(header);
    });
    let producer = builder.build().await.expect("valid");
    for result in producer.send_all(numbers(&"t".into(), 0..5)).await {
        result.expect("acknowledged");
    }
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        match event {
            Event::ProducerIdentified { producer_id, .. } => told.push(format!("id {}", producer_id >= 0)),
            Event::BatchRetried { record_count, failures, .. } => told.push(format!("{record_count} again {failures}")),
            Event::BatchDelivered { record_count, base_offset, topic, partition, .. } => {
                told.push(format!("{record_count} in {topic}-{partition} at {base_offset:?}"));
            }
            _ => {}
        }
    }
    assert_eq!(told, ["id true", "5 again 1", "5 in t-0 at Some(0)"]);
    let metrics = world.kafka.metrics();
    let of = &metrics.producer;
    assert_eq!((of.record_send_total, of.batch_total, of.record_retry_total, of.record_error_total), (5, 1, 5, 0));
    let batch = &log(&world, "t", 0).await[0];
    assert_eq!(of.byte_total, (HEADER_SIZE + batch.payload.len()) as u64);
    let produce = &metrics.requests["Produce"];
    assert_eq!((produce.request_total, produce.response_total, produce.failed_total), (2, 2, 0));
    assert!(produce.outgoing_byte_total > 2 * of.byte_total && produce.latency_max > Duration::ZERO);
    assert!(metrics.connection_count >= 2 && metrics.requests["Metadata"].request_total >= 1, "{metrics:?}");

    let consumer = world.kafka.assigned_consumer().assign("t", 0, async_kafka::Offset::Earliest);
    let consumer = consumer.build().await.expect("assigned");
    let record = tokio::time::timeout(LIMIT, consumer.recv()).await.expect("in time").expect("no error");
    let headers: Vec<_> =
        record.expect("open").headers().map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(headers, [("trace".to_owned(), Some(b"7".to_vec()))]);
}
