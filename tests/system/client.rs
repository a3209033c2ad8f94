//! Client and broker together: asserted on what a raw connection finds in the log, then on what the client says.

use std::time::Duration;

use async_kafka::{Acks, Compression, Kafka, Offset, Record, Written};
use mockbroker::{ApiKey, MockBroker};
use system_tests::api::{DELETE_TOPICS, FETCH};
use system_tests::batch::Batch;
use system_tests::raw::Raw;
use system_tests::value;

const LIMIT: Duration = Duration::from_secs(10);

async fn kafka(broker: &MockBroker) -> Kafka {
    Kafka::builder(broker.bootstrap_servers()).connect().await.expect("the mock answers")
}

/// The batches of a partition as they lie in the log of a cluster of one node.
async fn log(broker: &MockBroker, topic: &str, partition: i32) -> Vec<Batch> {
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let wanted = value!({ partition: partition, fetch_offset: 0, partition_max_bytes: 100_000_000 });
    let body = value!({ max_wait_ms: 0, min_bytes: 0, max_bytes: 100_000_000,
        topics: [{ topic: topic, partitions: [wanted] }] });
    let answer = connection.call(FETCH, 12, body).await;
    Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone())
}

#[tokio::test]
async fn a_record_keeps_its_key_value_headers_and_timestamp() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    let now = async_kafka::Timestamp::now();
    let record = Record::to("t").key("k").value("v").header("h", "1").header("h", "2").timestamp(now);
    let stored = producer.send(record).await.expect("room").await.expect("acknowledged");
    assert_eq!((stored.partition, stored.offset), (0, Some(0)));
    let record = log(&broker, "t", 0).await[0].records()[0].clone();
    assert_eq!((record.key.as_deref(), record.value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&**key, value.as_deref())).collect();
    assert_eq!(headers, [("h", Some(&b"1"[..])), ("h", Some(&b"2"[..]))], "a header may come twice");
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    let read = consumer.recv().await.expect("no error").expect("open");
    assert_eq!((read.key(), read.value(), read.timestamp()), (Some(&b"k"[..]), Some(&b"v"[..]), now));
    assert_eq!(read.headers().collect::<Vec<_>>(), headers);
}

#[tokio::test]
async fn every_codec_is_in_the_log_and_comes_back() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let codecs =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd].into_iter();
    for (number, codec) in codecs.clone().enumerate() {
        let producer = kafka.producer().compression(codec).build().await.expect("valid settings");
        let text = format!("{number} ").repeat(1000);
        producer.send(Record::to("t").value(text)).await.expect("room").await.expect("acknowledged");
    }
    let attributes: Vec<i16> = log(&broker, "t", 0).await.iter().map(|batch| batch.attributes & 7).collect();
    assert_eq!(attributes, [0, 1, 2, 3, 4]);
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    for (number, _) in codecs.enumerate() {
        let record = consumer.recv().await.expect("no error").expect("open");
        assert_eq!(record.value(), Some(format!("{number} ").repeat(1000).as_bytes()));
    }
}

#[tokio::test]
async fn records_sent_together_travel_in_one_batch() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().linger(LIMIT).build().await.expect("valid settings");
    let mut deliveries = Vec::new();
    for number in 0..100 {
        deliveries.push(producer.send(Record::to("t").value(format!("{number}"))).await.expect("room"));
    }
    producer.flush().await.expect("written");
    for (number, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.await.expect("acknowledged").offset, Some(number));
    }
    let batches = log(&broker, "t", 0).await;
    assert_eq!(batches.iter().map(|batch| batch.record_count).collect::<Vec<_>>(), [100]);
}

#[tokio::test]
async fn records_reach_the_leaders_of_a_cluster_of_three() {
    let broker = MockBroker::builder().nodes(3).topic("t", 6).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    let records = (0..60).map(|number| Record::to("t").partition(number % 6).value(format!("{number}")));
    for outcome in producer.send_all(records).await {
        outcome.expect("acknowledged");
    }
    let builder = (0..6).fold(kafka.assigned_consumer(), |builder, p| builder.assign("t", p, Offset::Earliest));
    let consumer = builder.build().await.expect("assigned");
    let mut next = [0, 1, 2, 3, 4, 5];
    for _ in 0..60 {
        let record = consumer.recv().await.expect("no error").expect("open");
        let expected = &mut next[record.partition() as usize];
        assert_eq!(record.value(), Some(expected.to_string().as_bytes()), "the order of a partition is kept");
        *expected += 6;
    }
}

#[tokio::test]
async fn a_topic_that_nobody_created_is_there_when_the_first_record_is() {
    let broker = MockBroker::start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    producer.send(Record::to("new").value("v")).await.expect("room").await.expect("acknowledged");
    assert_eq!(log(&broker, "new", 0).await.len(), 1);
}

#[tokio::test]
async fn a_consumer_starts_where_it_is_told() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    let start = async_kafka::Timestamp::now();
    for number in 0..5_i64 {
        let timestamp = async_kafka::Timestamp::from(start.as_millis() + number);
        let record = Record::to("t").value(number.to_string()).timestamp(timestamp);
        producer.send(record).await.expect("room").await.expect("acknowledged");
    }
    let third = async_kafka::Timestamp::from(start.as_millis() + 2);
    for (offset, expected) in [(Offset::Earliest, 0), (Offset::At(3), 3), (Offset::Timestamp(third), 2)] {
        let consumer = kafka.assigned_consumer().assign("t", 0, offset).build().await.expect("assigned");
        assert_eq!(consumer.recv().await.expect("no error").expect("open").offset(), expected);
    }
    let asked = broker.journal().api(ApiKey::ListOffsets).succeeded();
    let asked = asked.since(broker.journal().mark());
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Latest).build().await.expect("assigned");
    asked.wait_for(1).await;
    producer.send(Record::to("t").value("late")).await.expect("room").await.expect("acknowledged");
    assert!(consumer.recv().await.expect("no error").expect("open").offset() >= 5);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_surely_not_written() {
    let broker = MockBroker::builder().config("message.max.bytes", "2000").topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    let delivery = producer.send(Record::to("t").value(vec![0; 5000])).await.expect("room");
    let error = delivery.await.expect_err("the broker refuses it");
    assert_eq!(error.written(), Some(Written::NotWritten), "{error}");
    assert!(log(&broker, "t", 0).await.is_empty());
}

#[tokio::test]
async fn without_acknowledgement_a_delivery_has_no_offset() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().acks(Acks::None).build().await.expect("valid settings");
    let stored = producer.send(Record::to("t").value("v")).await.expect("room").await.expect("sent");
    assert_eq!(stored.offset, None);
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    assert_eq!(consumer.recv().await.expect("no error").expect("open").value(), Some(&b"v"[..]));
}

#[tokio::test]
async fn closing_says_what_became_of_every_record() {
    let broker = MockBroker::builder().topic("t", 1).start().await;
    let kafka = kafka(&broker).await;
    let producer = kafka.producer().linger(LIMIT).build().await.expect("valid settings");
    for _ in 0..10 {
        drop(producer.send(Record::to("t").value("v")).await.expect("room"));
    }
    let report = producer.close(LIMIT).await.expect("within the limit");
    assert_eq!((report.delivered, report.not_written, report.maybe_written), (10, 0, 0));
    let refused = producer.send(Record::to("t").value("v")).await.expect_err("it is closed");
    assert!(refused.is_fatal() && refused.written().is_none(), "it was never sent: {refused}");
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_within_the_time_limit() {
    let error = Kafka::builder("127.0.0.1:1").api_timeout(Duration::from_millis(200)).connect().await;
    let error = error.expect_err("nobody listens on port 1");
    assert!(error.to_string().contains("127.0.0.1:1"), "it says which address: {error}");
}

#[tokio::test]
async fn a_producer_hears_of_a_deleted_topic() {
    let broker = MockBroker::builder().config("auto.create.topics.enable", "false").topic("t", 1).start().await;
    let second = Duration::from_secs(1);
    let kafka = Kafka::builder(broker.bootstrap_servers()).request_timeout(second).connect().await;
    let producer = kafka.expect("the mock answers").producer().delivery_timeout(2 * second).max_block(second);
    let producer = producer.build().await.expect("valid settings");
    producer.send(Record::to("t").value("v")).await.expect("room").await.expect("acknowledged");
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    connection.call(DELETE_TOPICS, 4, value!({ topic_names: ["t"], timeout_ms: 1000 })).await;
    let outcome = match producer.send(Record::to("t").value("v")).await {
        Ok(delivery) => delivery.await.map(drop),
        Err(error) => Err(error),
    };
    let error = outcome.expect_err("the topic is gone");
    assert_ne!(error.written(), Some(Written::MaybeWritten), "{error}");
}
