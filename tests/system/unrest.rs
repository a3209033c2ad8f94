//! Produce and consume in a group while connections break at random and members come and go: nothing is lost, nothing is in the
//! log twice or out of order, and a partition is read in order. On the mock, or on a real Kafka with `KAFKA_BOOTSTRAP`.
//! `UNREST_SEED` picks another run, `UNREST_RECORDS` a longer one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::{Assignor, Backoff, Consumer, GroupProtocol, Kafka, Offset, OffsetReset, Record};
use system_tests::api::{API_VERSIONS, CREATE_TOPICS};
use system_tests::line::{Fate, Lines};
use system_tests::value;
use system_tests::world::{Broker, unique};
use tokio::task::JoinHandle;

use crate::group_world::mock;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 4;

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What every member read, in its order: partition and number.
type Read = Arc<Mutex<Vec<(i32, i32)>>>;

struct World {
    _broker: Broker,
    quiet: Kafka,
    kafka: Kafka,
    topic: Arc<str>,
    group: String,
    /// All members of a group are to have one in common.
    assignor: Assignor,
    protocol: GroupProtocol,
    random: fastrand::Rng,
}

impl World {
    async fn new(seed: u64, protocol: GroupProtocol) -> Self {
        let broker = match Broker::real() {
            Some(real) => real,
            None => Broker::mock(mock().start().await),
        };
        let topic = unique("unrest");
        let wanted = value!({ name: &topic, num_partitions: PARTITIONS, replication_factor: 1 });
        let mut connection = broker.connect().await;
        let created = connection.call(CREATE_TOPICS, 7, value!({ topics: [wanted], timeout_ms: 10_000 })).await;
        assert_eq!(created["topics"][0]["error_code"], 0, "{created:?}");
        let mut random = fastrand::Rng::with_seed(seed);
        let all = [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];
        let assignor = *random.choice(&all).expect("there are some");
        let chance = Mutex::new(fastrand::Rng::with_seed(random.clone().u64(..)));
        // Whatever it is, every thirtieth request is lost on one of its ways.
        let lines = Lines::new(move |api, _| match chance.lock().expect("no panic").u8(..60) {
            0 if api != API_VERSIONS => Fate::RequestLost,
            1 if api != API_VERSIONS => Fate::AnswerLost,
            _ => Fate::Passes,
        });
        let quiet = Kafka::builder(broker.bootstrap()).connect().await.expect("the broker answers");
        let kafka = Kafka::builder(broker.bootstrap())
            .dial(move |address| lines.clone().dial(address.host.to_string(), address.port))
            .retry_backoff(Backoff { initial: Duration::from_millis(5), maximum: Duration::from_millis(50) });
        let kafka = kafka.connect().await.expect("the broker answers in the end");
        Self { _broker: broker, quiet, kafka, topic: topic.into(), group: unique("group"), assignor, protocol, random }
    }

    /// A member that reads and commits until it is closed, and says what it read.
    async fn member(&mut self) -> (Consumer, JoinHandle<()>, Read) {
        let builder = self.kafka.consumer(self.group.as_str()).topics([Arc::clone(&self.topic)]);
        let builder = builder.auto_offset_reset(OffsetReset::Earliest).group_protocol(self.protocol);
        let builder =
            if self.protocol == GroupProtocol::Classic { builder.assignors([self.assignor]) } else { builder };
        let builder = builder.session_timeout(Duration::from_secs(6)).heartbeat_interval(Duration::from_millis(50));
        let by_hand = self.random.bool();
        let interval = if by_hand { None } else { Some(Duration::from_millis(50)) };
        let consumer = builder.auto_commit_interval(interval).build().await.expect("valid settings");
        let (reader, read) = (consumer.clone(), Read::default());
        let numbers = Arc::clone(&read);
        let reading = tokio::spawn(async move {
            while let Some(batch) = reader.next_batch().await.expect("no error") {
                for record in batch.records() {
                    let text = std::str::from_utf8(record.value().expect("a value")).expect("text");
                    numbers.lock().expect("no panic").push((record.partition(), text.parse().expect("a number")));
                }
                if by_hand {
                    // The partition may be another member's by now, which then reads the batch again.
                    let _ = reader.commit(&batch).await;
                }
            }
        });
        (consumer, reading, read)
    }

    async fn log(&self) -> BTreeMap<i32, Vec<i32>> {
        let builder = (0..PARTITIONS).fold(self.quiet.assigned_consumer(), |builder, partition| {
            builder.assign(Arc::clone(&self.topic), partition, Offset::Earliest)
        });
        let consumer = builder.build().await.expect("assigned");
        let mut log: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        while let Ok(batch) = tokio::time::timeout(Duration::from_millis(700), consumer.next_batch()).await {
            let batch = batch.expect("no error").expect("open");
            let numbers = batch
                .records()
                .map(|record| std::str::from_utf8(record.value().expect("a value")).expect("text").parse());
            log.entry(batch.partition())
                .or_default()
                .extend(numbers.map(|number: Result<i32, _>| number.expect("a number")));
        }
        log
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_connections_break_and_members_come_and_go() {
    unrest(GroupProtocol::Classic).await;
}

#[tokio::test]
async fn the_same_with_members_of_the_consumer_protocol() {
    unrest(GroupProtocol::Consumer).await;
}

async fn unrest(protocol: GroupProtocol) {
    let seed = number_of("UNREST_SEED", 848);
    let total = i32::try_from(number_of("UNREST_RECORDS", 600)).expect("a number of records");
    let mut world = World::new(seed, protocol).await;
    let producer = world.kafka.producer().batch_records(5).build().await.expect("valid settings");
    let topic = Arc::clone(&world.topic);
    let producing = tokio::spawn(async move {
        for start in (0..total).step_by(20) {
            let records = (start..(start + 20).min(total))
                .map(|n| Record::to(Arc::clone(&topic)).partition(n % PARTITIONS).value(n.to_string()));
            for outcome in producer.send_all(records).await {
                outcome.expect("acknowledged");
            }
        }
        producer.close(LIMIT).await.expect("closed");
    });
    let (mut members, mut gone) = (vec![world.member().await], Vec::new());
    let all = |members: &[(Consumer, JoinHandle<()>, Read)], gone: &[Read]| {
        let reads = members.iter().map(|(_, _, read)| read).chain(gone);
        let seen: BTreeSet<i32> =
            reads.flat_map(|read| read.lock().expect("no panic").clone()).map(|(_, n)| n).collect();
        seen.len() == total as usize
    };
    let deadline = tokio::time::Instant::now() + LIMIT + Duration::from_millis(total as u64 * 20);
    while !all(&members, &gone) {
        assert!(tokio::time::Instant::now() < deadline, "seed {seed}: not everything was read");
        tokio::time::sleep(Duration::from_millis(world.random.u64(20..200))).await;
        if members.len() < 3 && world.random.bool() {
            members.push(world.member().await);
        } else if members.len() > 1 && world.random.bool() {
            let (consumer, reading, read) = members.swap_remove(world.random.usize(..members.len()));
            consumer.close(LIMIT).await.expect("closed in time");
            reading.await.expect("no panic");
            gone.push(read);
        }
    }
    producing.await.expect("no panic");
    for (consumer, reading, read) in members {
        consumer.close(LIMIT).await.expect("closed in time");
        reading.await.expect("no panic");
        gone.push(read);
    }
    let expected: BTreeMap<i32, Vec<i32>> =
        (0..PARTITIONS).map(|p| (p, (0..total).filter(|n| n % PARTITIONS == p).collect())).collect();
    assert_eq!(world.log().await, expected, "seed {seed}: every record once and in order");
}
