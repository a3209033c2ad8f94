//! How the client finds brokers that are elsewhere, away or asking for another beginning; and settings by Kafka's names.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use async_kafka::{ClientConfig, Kafka, KafkaBuilder, OffsetReset, Record};
use mockbroker::{ApiKey, Fault, MockBroker, on};
use system_tests::api::FETCH;
use system_tests::batch::Batch;
use system_tests::raw::{Raw, patiently};
use system_tests::value;
use tokio::net::TcpStream;

const REBOOTSTRAP_REQUIRED: i16 = 129;

/// A name that stands for whatever address it is given, as in a DNS that can change.
#[derive(Clone)]
struct Name {
    address: Arc<Mutex<String>>,
    resolved: Arc<AtomicUsize>,
}

impl Name {
    fn of(broker: &MockBroker) -> Self {
        let address = Arc::new(Mutex::new(broker.bootstrap_servers().to_owned()));
        Self { address, resolved: Arc::default() }
    }

    fn moves_to(&self, broker: &MockBroker) {
        broker.bootstrap_servers().clone_into(&mut self.address.lock().expect("nobody panics"));
    }

    fn resolved(&self) -> usize {
        self.resolved.load(Ordering::Relaxed)
    }

    /// A client of `cluster:1`, which is this name.
    fn builder(&self) -> KafkaBuilder {
        let name = self.clone();
        Kafka::builder("cluster:1").dial(move |address| {
            let at = if &*address.host == "cluster" {
                name.resolved.fetch_add(1, Ordering::Relaxed);
                name.address.lock().expect("nobody panics").clone()
            } else {
                address.to_string()
            };
            TcpStream::connect(at)
        })
    }
}

async fn one() -> MockBroker {
    MockBroker::builder().topic("t", 1).start().await
}

async fn write(kafka: &Kafka, limit: Duration) -> async_kafka::Result<()> {
    let producer =
        kafka.producer().delivery_timeout(limit).linger(Duration::ZERO).build().await.expect("valid settings");
    producer.send(Record::to("t").value("v")).await?.await.map(drop)
}

#[tokio::test]
async fn trap_118_a_cluster_that_moved_is_found_by_its_name() {
    // KIP-899: none of the brokers that are known is there any more.
    for (follows, rebootstrap_after) in [(true, Some(Duration::from_secs(300))), (false, None)] {
        let here = one().await;
        let name = Name::of(&here);
        let mut config = ClientConfig::default();
        config.rebootstrap_after = rebootstrap_after;
        config.request_timeout = Duration::from_millis(400);
        let kafka = name.builder().config(config).connect().await.expect("it answers");
        write(&kafka, Duration::from_secs(5)).await.expect("acknowledged");
        let elsewhere = one().await;
        name.moves_to(&elsewhere);
        here.shutdown().await;
        let limit = if follows { Duration::from_secs(10) } else { Duration::from_millis(600) };
        let written = write(&kafka, limit).await;
        assert_eq!(written.is_ok(), follows, "{written:?}");
    }
}

#[tokio::test]
async fn trap_118_a_broker_can_ask_for_another_beginning() {
    // KIP-1102: REBOOTSTRAP_REQUIRED in Metadata v13.
    let broker = one().await;
    let name = Name::of(&broker);
    let kafka = name.builder().connect().await.expect("it answers");
    let before = name.resolved();
    let fault = broker.fault(on(ApiKey::Metadata).times(1)).before_apply(Fault::Error(REBOOTSTRAP_REQUIRED)).mount();
    assert_eq!(patiently("the topic", kafka.partition_count("t")).await.expect("found at the second try"), 1);
    assert_eq!((fault.hits(), name.resolved()), (1, before + 1), "the name is looked up again");
}

#[tokio::test]
async fn trap_114_the_leader_that_a_refusal_names_is_asked_before_there_is_new_metadata() {
    // KIP-951: NOT_LEADER_OR_FOLLOWER of Produce v10 comes with the leader, its epoch and its address.
    let broker = MockBroker::builder().nodes(2).config("default.replication.factor", "2").topic("t", 1).start().await;
    let kafka = Kafka::builder(broker.bootstrap_servers()).connect().await.expect("it answers");
    let producer = kafka.producer().linger(Duration::ZERO).build().await.expect("valid settings");
    let send = || async { producer.send(Record::to("t").value("v")).await.expect("room").await.expect("acknowledged") };
    send().await;
    // Whoever asks for metadata now waits in vain.
    let silence = broker.fault(on(ApiKey::Metadata).topic("t")).before_apply(Fault::Silence);
    let _silence = silence.maybe().mount();
    // This happens to every request, does nothing, and counts them.
    let written = broker.fault(on(ApiKey::Produce)).before_apply(Fault::Delay(Duration::ZERO)).mount();
    for node in [0, 1, 0] {
        broker.move_leader("t", 0, node);
        patiently("an acknowledgement by the new leader", send()).await;
    }
    assert!(written.hits() > 3, "none of the moves was met by a refusal");
}

#[tokio::test]
async fn properties_shape_producers_and_consumers() {
    let broker = MockBroker::builder().topic("t", 1).config("group.initial.rebalance.delay.ms", "0").start().await;
    let properties = [
        ("bootstrap.servers", broker.bootstrap_servers()),
        ("linger.ms", "60000"),
        ("batch.num.messages", "2"),
        ("compression.type", "gzip"),
        ("group.id", "g"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ];
    let given = Kafka::from_properties(properties).expect("values that can be meant");
    let kafka = given.builder.connect().await.expect("the mock answers");
    let producer = kafka.producer().build().await.expect("valid settings");
    // The linger is a minute: it is the count that sends them.
    let sent = producer.send_all((0..4).map(|number| Record::to("t").value(number.to_string())));
    for outcome in patiently("two batches of two", sent).await {
        outcome.expect("acknowledged");
    }
    let mut connection = Raw::connect(broker.bootstrap_servers()).await;
    let wanted = value!({ partition: 0, fetch_offset: 0, partition_max_bytes: 1_000_000 });
    let body = value!({ max_bytes: 1_000_000, topics: [{ topic: "t", partitions: [wanted] }] });
    let answer = connection.call(FETCH, 12, body).await;
    let log = Batch::decode_all(answer["responses"][0]["partitions"][0]["records"].bytes().clone());
    assert_eq!(log.iter().map(|batch| (batch.record_count, batch.attributes & 7)).collect::<Vec<_>>(), [(2, 1); 2]);
    let consumer = kafka.consumer(given.group_id.expect("given")).topics(["t"]).build().await.expect("valid settings");
    let first = patiently("the first record", consumer.recv()).await.expect("no error").expect("open");
    assert_eq!((first.offset(), first.value()), (0, Some(&b"0"[..])), "{:?}", OffsetReset::Earliest);
}
