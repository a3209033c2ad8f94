//! Where records come from: sessions with brokers, leaders that move, logs that are cut, topics that are created anew, closer
//! replicas. On the mock, or on a real Kafka with `KAFKA_BOOTSTRAP` where nothing has to be steered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{
    Acks, AssignedConsumer, AssignedConsumerBuilder, Backoff, Error, Kafka, KafkaBuilder, Offset, OffsetReset, Record,
    Timestamp,
};
use mockbroker::{ApiKey, Clock, Fault, MockBroker, MockBrokerBuilder, on};
use system_tests::api::{CREATE_TOPICS, DELETE_TOPICS, FETCH, OFFSET_FOR_LEADER_EPOCH};
use system_tests::line::{Fate, Lines};
use system_tests::raw::patiently;
use system_tests::value;
use system_tests::world::{Broker, unique};

const LIMIT: Duration = Duration::from_secs(20);

struct World {
    broker: Broker,
    lines: Lines,
    kafka: Kafka,
    topic: Arc<str>,
}

fn quick(builder: KafkaBuilder) -> KafkaBuilder {
    builder.retry_backoff(Backoff { initial: Duration::from_millis(10), maximum: Duration::from_millis(100) })
}

async fn create(broker: &Broker, topic: &str, partitions: i32, replicas: i16) {
    let wanted = value!({ name: topic, num_partitions: partitions, replication_factor: replicas });
    let body = value!({ topics: [wanted], timeout_ms: 10_000 });
    let created = broker.connect().await.call(CREATE_TOPICS, 7, body).await;
    assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
}

impl World {
    async fn new(partitions: i32) -> Self {
        Self::on(partitions, Lines::new(|_, _| Fate::Passes)).await
    }

    async fn on(partitions: i32, lines: Lines) -> Self {
        let broker = Broker::for_test().await;
        let topic = unique("reading");
        create(&broker, &topic, partitions, 1).await;
        let dialled = lines.clone();
        let kafka = Kafka::builder(broker.bootstrap())
            .dial(move |address| dialled.clone().dial(address.host.to_string(), address.port))
            .metadata_max_age(Duration::from_millis(200));
        let kafka = quick(kafka).connect().await.expect("the broker answers");
        Self { broker, lines, kafka, topic: topic.into() }
    }

    async fn write(&self, partition: i32, values: impl IntoIterator<Item = i32>) {
        write(&self.kafka, &self.topic, partition, values).await;
    }

    fn assigned(&self, partitions: i32) -> AssignedConsumerBuilder {
        (0..partitions).fold(self.kafka.assigned_consumer(), |builder, partition| {
            builder.assign(Arc::clone(&self.topic), partition, Offset::Earliest)
        })
    }
}

async fn write(kafka: &Kafka, topic: &str, partition: i32, values: impl IntoIterator<Item = i32>) {
    let producer = kafka.producer().acks(Acks::Leader).build().await.expect("valid settings");
    for value in values {
        let record = Record::to(topic).partition(partition).value(value.to_string());
        producer.send(record).await.expect("room").await.expect("acknowledged");
    }
}

/// The next record's partition and number.
async fn next(consumer: &AssignedConsumer) -> (i32, i32) {
    let record = patiently("a record", consumer.recv()).await.expect("no error").expect("open");
    let text = std::str::from_utf8(record.value().expect("a value")).expect("text");
    (record.partition(), text.parse().expect("a number"))
}

async fn error(consumer: &AssignedConsumer) -> Error {
    patiently("an error", consumer.recv()).await.expect_err("something is wrong")
}

#[tokio::test]
async fn a_session_names_only_what_changes() {
    // KIP-227: a hundred partitions of which one is written to.
    let world = World::new(100).await;
    let consumer = world.assigned(100).fetch_max_wait(Duration::from_millis(100)).build().await.expect("assigned");
    for number in 0..5 {
        world.write(7, [number]).await;
        assert_eq!(next(&consumer).await, (7, number));
    }
    let lengths = world.lines.lengths(FETCH);
    // FetchRequest.json v12: a partition takes 33 bytes.
    let (everything, last) = (100 * 33, lengths.last().expect("some"));
    assert!(*last * 10 < everything, "{lengths:?}");
    consumer.pause(&world.topic, 7).expect("assigned");
    world.write(7, [5]).await;
    world.write(8, [6]).await;
    assert_eq!(next(&consumer).await, (8, 6), "a paused partition is not in the session");
    consumer.resume(&world.topic, 7).expect("assigned");
    assert_eq!(next(&consumer).await, (7, 5));
}

#[tokio::test]
async fn every_answer_to_a_fetch_can_be_lost() {
    for fate in [Fate::RequestLost, Fate::AnswerLost] {
        // Every third one, so that sessions begin and are in use.
        let lines = Lines::new(move |api, number| if api == FETCH && number % 3 == 2 { fate } else { Fate::Passes });
        let world = World::on(2, lines).await;
        let consumer = world.assigned(2).fetch_max_wait(Duration::from_millis(20)).build().await.expect("assigned");
        let mut read = [Vec::new(), Vec::new()];
        for number in 0..20 {
            world.write(number % 2, [number]).await;
            let (partition, number) = next(&consumer).await;
            read[partition as usize].push(number);
        }
        let expected = [0, 1].map(|rest| (0..20).filter(|number| number % 2 == rest).collect::<Vec<_>>());
        assert_eq!(read, expected, "{fate:?}");
    }
}

#[tokio::test]
async fn a_session_that_the_broker_forgot_is_begun_anew() {
    // FETCH_SESSION_ID_NOT_FOUND and INVALID_FETCH_SESSION_EPOCH.
    for code in [70, 71] {
        let broker = MockBroker::builder().topic("t", 2).start().await;
        let kafka = quick(Kafka::builder(broker.bootstrap_servers())).connect().await.expect("the mock answers");
        let consumer = kafka.assigned_consumer().fetch_max_wait(Duration::from_millis(20));
        let consumer = consumer.assign("t", 0, Offset::Earliest).assign("t", 1, Offset::Earliest);
        let consumer = consumer.build().await.expect("assigned");
        write(&kafka, "t", 0, [0]).await;
        assert_eq!(next(&consumer).await, (0, 0));
        let fault = broker.fault(on(ApiKey::Fetch).nth(1)).before_apply(Fault::Error(code)).mount();
        patiently("the fault", fault.wait(1)).await;
        write(&kafka, "t", 1, [1]).await;
        assert_eq!(next(&consumer).await, (1, 1), "code {code}");
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_delays_nobody_elses_data() {
    // Client trap 72.
    let broker = MockBroker::builder().nodes(3).topic("t", 3).start().await;
    let kafka = quick(Kafka::builder(broker.bootstrap_servers())).connect().await.expect("the mock answers");
    let [held, ..] = broker.node_ids()[..] else { panic!("three nodes") };
    let gate = broker.pause_next(on(ApiKey::Fetch).node(held)).before_apply();
    let builder = (0..3).fold(kafka.assigned_consumer(), |it, partition| it.assign("t", partition, Offset::Earliest));
    let consumer = builder.build().await.expect("assigned");
    patiently("the fetch", gate.entered()).await;
    for partition in 0..3 {
        write(&kafka, "t", partition, [partition]).await;
    }
    let mut partitions = [next(&consumer).await.0, next(&consumer).await.0];
    partitions.sort_unstable();
    gate.release();
    let last = next(&consumer).await.0;
    assert_eq!(partitions.iter().sum::<i32>() + last, 3, "the two others first: {partitions:?}, {last}");
    assert_ne!(partitions[0], partitions[1]);
}

#[tokio::test]
async fn what_is_fetched_ahead_is_bounded() {
    // librdkafka: queued.max.messages.kbytes; kafka-go: QueueCapacity. The program reads nothing at all.
    let broker = MockBroker::builder().nodes(3).topic("t", 6).start().await;
    let kafka = quick(Kafka::builder(broker.bootstrap_servers())).connect().await.expect("the mock answers");
    let producer = kafka.producer().batch_size(4096).build().await.expect("valid settings");
    for number in 0..600 {
        let record = Record::to("t").partition(number % 6).value(vec![b'x'; 1000]);
        producer.send(record).await.expect("room");
    }
    producer.flush().await.expect("acknowledged");
    let limit = 60_000;
    let builder = (0..6).fold(kafka.assigned_consumer(), |it, partition| it.assign("t", partition, Offset::Earliest));
    let builder = builder.prefetch_bytes(limit).fetch_max_wait(Duration::from_millis(10));
    let consumer = builder.build().await.expect("assigned");
    let mut most = 0;
    let mut watch = async |until: usize| {
        while most <= until {
            most = most.max(consumer.stats().buffered_bytes);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    patiently("as much as may be", watch(limit / 2)).await;
    // Every broker may bring its first batch whatever its length.
    let bound = limit + 3 * 5000;
    let beyond = tokio::time::timeout(Duration::from_millis(200), watch(bound)).await;
    assert!(beyond.is_err(), "{most} of {limit} bytes");
    for _ in 0..600 {
        patiently("a record", consumer.recv()).await.expect("no error").expect("open");
    }
}

/// Three nodes whose leader of `t` alone has the last records. Its consumer may have read them.
struct Cut {
    broker: MockBroker,
    kafka: Kafka,
    leader: i32,
}

impl Cut {
    async fn new() -> Self {
        let builder: MockBrokerBuilder = MockBroker::builder().nodes(2).clock(Clock::manual()).topic("t", 1);
        let builder =
            builder.config("default.replication.factor", "2").config("unclean.leader.election.enable", "true");
        let broker = builder.start().await;
        let kafka = quick(Kafka::builder(broker.bootstrap_servers())).connect().await.expect("the mock answers");
        let leader = leader_of(&broker).await;
        Self { broker, kafka, leader }
    }

    /// Writes `0..6`, of which the other replica has only the first three and is out of the ISR.
    async fn written(&self) -> mockbroker::HeldReplica {
        write(&self.kafka, "t", 0, 0..3).await;
        let other = self.broker.node_ids().into_iter().find(|id| id.0 != self.leader).expect("two nodes");
        let held = self.broker.node(other).replica("t", 0).stop();
        write(&self.kafka, "t", 0, 3..6).await;
        // `replica.lag.time.max.ms`, looked at twice in that time.
        (0..5).for_each(|_| drop(self.broker.advance(Duration::from_secs(15))));
        held
    }

    /// The other replica leads, and has other records in place of the last ones.
    async fn cut(&self) {
        self.broker.node(self.leader).crash();
        write(&self.kafka, "t", 0, 13..20).await;
    }
}

async fn leader_of(broker: &MockBroker) -> i32 {
    let mut raw = system_tests::raw::Raw::connect(broker.bootstrap_servers().split(',').next().expect("one")).await;
    let answer = raw.call(system_tests::api::METADATA, 12, value!({ topics: [{ name: "t" }] })).await;
    i32::try_from(answer["topics"][0]["partitions"][0]["leader_id"].int()).expect("an id")
}

#[tokio::test]
async fn a_log_that_was_cut_is_read_on_where_it_parts() {
    // KIP-320; client trap 67.
    let world = Cut::new().await;
    let consumer = world.kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    let _held = world.written().await;
    for number in 0..6 {
        assert_eq!(next(&consumer).await, (0, number));
    }
    world.cut().await;
    for number in 13..20 {
        assert_eq!(next(&consumer).await, (0, number), "the records that are at those offsets now");
    }
}

#[tokio::test]
async fn without_a_reset_the_program_is_told_that_its_log_was_cut() {
    let world = Cut::new().await;
    let builder = world.kafka.assigned_consumer().auto_offset_reset(OffsetReset::None);
    let consumer = builder.assign("t", 0, Offset::At(0)).build().await.expect("assigned");
    let _held = world.written().await;
    for number in 0..6 {
        assert_eq!(next(&consumer).await, (0, number));
    }
    world.cut().await;
    let told = error(&consumer).await;
    let Error::LogTruncated { partition: 0, offset: 6, end_offset: 3, .. } = told else { panic!("{told}") };
    consumer.seek("t", 0, Offset::At(3)).expect("assigned");
    assert_eq!(next(&consumer).await, (0, 13));
}

#[tokio::test]
async fn what_was_not_read_before_the_cut_is_no_loss() {
    let world = Cut::new().await;
    let builder = world.kafka.assigned_consumer().auto_offset_reset(OffsetReset::None);
    let consumer = builder.assign("t", 0, Offset::At(0)).build().await.expect("assigned");
    let _held = world.written().await;
    assert_eq!(next(&consumer).await, (0, 0));
    world.cut().await;
    for number in [1, 2, 13, 14] {
        assert_eq!(next(&consumer).await, (0, number), "what was fetched ahead is fetched again");
    }
}

#[tokio::test]
async fn a_leader_that_moves_without_loss_is_asked_and_read_on() {
    let lines = Lines::new(|_, _| Fate::Passes);
    let broker = MockBroker::builder().nodes(2).config("default.replication.factor", "2").topic("t", 1).start().await;
    let dialled = lines.clone();
    let kafka = Kafka::builder(broker.bootstrap_servers())
        .dial(move |address| dialled.clone().dial(address.host.to_string(), address.port));
    let kafka = quick(kafka).connect().await.expect("the mock answers");
    let consumer = kafka.assigned_consumer().assign("t", 0, Offset::Earliest).build().await.expect("assigned");
    write(&kafka, "t", 0, 0..3).await;
    for number in 0..3 {
        assert_eq!(next(&consumer).await, (0, number));
    }
    broker.node(leader_of(&broker).await).crash();
    write(&kafka, "t", 0, 3..6).await;
    for number in 3..6 {
        assert_eq!(next(&consumer).await, (0, number));
    }
    assert!(!lines.seen(OFFSET_FOR_LEADER_EPOCH).is_empty(), "the new leader was asked");
}

#[tokio::test]
async fn a_topic_that_is_created_anew_is_told_and_read_from_its_beginning() {
    // KIP-516; client trap 75.
    for reset in [OffsetReset::Latest, OffsetReset::None] {
        let world = World::new(1).await;
        world.write(0, 0..3).await;
        let consumer = world.assigned(1).auto_offset_reset(reset).build().await.expect("assigned");
        for number in 0..3 {
            assert_eq!(next(&consumer).await, (0, number));
        }
        let gone = value!({ topics: [{ name: &*world.topic, topic_id: uuid::Uuid::nil() }], timeout_ms: 10_000 });
        let gone = world.broker.connect().await.call(DELETE_TOPICS, 6, gone).await;
        assert_eq!(gone["responses"][0]["error_code"], 0, "{gone:?}");
        create_again(&world.broker, &world.topic).await;
        let told = loop {
            // While the topic is away its partition cannot be read, which waiting cures.
            let told = error(&consumer).await;
            if matches!(told, Error::TopicRecreated { .. }) {
                break told;
            }
        };
        assert!(told.to_string().contains(&*world.topic), "{told}");
        world.write(0, 10..15).await;
        if reset == OffsetReset::None {
            consumer.seek(&world.topic, 0, Offset::At(1)).expect("assigned");
            assert_eq!(next(&consumer).await, (0, 11), "only the program says where");
        } else {
            assert_eq!(next(&consumer).await, (0, 10));
        }
    }
}

/// A real Kafka deletes a moment later.
async fn create_again(broker: &Broker, topic: &str) {
    let create = async {
        loop {
            let wanted = value!({ name: topic, num_partitions: 1, replication_factor: 1 });
            let body = value!({ topics: [wanted], timeout_ms: 10_000 });
            let created = broker.connect().await.call(CREATE_TOPICS, 7, body).await;
            if created["topics"][0]["error_code"] == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    patiently("the topic", create).await;
}

#[tokio::test]
async fn a_reset_by_duration_begins_at_the_first_record_that_is_young_enough() {
    // KIP-1106.
    let world = World::new(1).await;
    let producer = world.kafka.producer().build().await.expect("valid settings");
    let now = Timestamp::now().as_millis();
    for (number, hours) in [(0, 30), (1, 20), (2, 3), (3, 1)] {
        let timestamp = std::time::SystemTime::UNIX_EPOCH
            + Duration::from_millis(u64::try_from(now - hours * 3_600_000).expect("after 1970"));
        let record = Record::to(Arc::clone(&world.topic)).partition(0).value(number.to_string()).timestamp(timestamp);
        producer.send(record).await.expect("room").await.expect("acknowledged");
    }
    let builder = world.kafka.consumer(unique("group")).topics([Arc::clone(&world.topic)]);
    let builder = builder.auto_offset_reset(OffsetReset::ByDuration(Duration::from_secs(4 * 3600)));
    let consumer = builder.build().await.expect("valid settings");
    let record = patiently("a record", consumer.recv()).await.expect("no error").expect("open");
    assert_eq!(record.offset(), 2);
    consumer.close(LIMIT).await.expect("closed");
}

#[tokio::test]
async fn a_consumer_reads_from_the_replica_in_its_rack() {
    // KIP-392. A cluster whose leaders choose by rack answers the first fetch with the replica to go to: a real Kafka of three
    // nodes with `replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector`. Elsewhere, as on the mock,
    // the leader serves.
    let selects = std::env::var("KAFKA_SELECTS_REPLICAS").is_ok();
    let broker = match Broker::real() {
        Some(real) => real,
        None => Broker::mock(MockBroker::builder().nodes(3).start().await),
    };
    let replicas = i16::try_from(broker.nodes().len()).expect("a few");
    let topic = unique("racks");
    create(&broker, &topic, 1, replicas).await;
    let fetched: Arc<Mutex<BTreeMap<u16, Lines>>> = Arc::default();
    let dialled = Arc::clone(&fetched);
    let kafka = Kafka::builder(broker.bootstrap()).dial(move |address| {
        let mut lines = dialled.lock().expect("no panic");
        let line = lines.entry(address.port).or_insert_with(|| Lines::new(|_, _| Fate::Passes)).clone();
        line.dial(address.host.to_string(), address.port)
    });
    let kafka = quick(kafka).connect().await.expect("the broker answers");
    write(&kafka, &topic, 0, 0..3).await;
    for node in broker.nodes() {
        let port: u16 = node.rsplit(':').next().expect("a port").parse().expect("a number");
        let id = broker.nodes().iter().position(|other| other == node).expect("it is there") + 1;
        let count = || fetched.lock().expect("no panic").get(&port).map_or(0, |lines| lines.lengths(FETCH).len());
        let before = count();
        let builder = kafka.assigned_consumer().client_rack(format!("rack-{id}")).assign(&*topic, 0, Offset::Earliest);
        let consumer = builder.build().await.expect("assigned");
        for number in 0..3 {
            assert_eq!(next(&consumer).await, (0, number));
        }
        assert!(!selects || count() > before, "the replica of {node} was read");
        consumer.close();
    }
}
