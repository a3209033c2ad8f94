//! The same seed does the same, byte for byte, on both sides of every connection; and whatever happens, nothing that was
//! acknowledged is lost, doubled or out of order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_kafka::{OffsetReset, Record as NewRecord, Timestamp};
use mockbroker::{ApiKey, Clock, Fault, MockBroker, on};
use tokio::sync::Mutex;

use super::line::{Passed, Record};
use super::simulate;

const SEEDS: u64 = 100;
const PARTITIONS: i32 = 4;
const RECORDS: i32 = 60;
/// Beyond this the run is stuck. It is virtual time.
const LIMIT: Duration = Duration::from_secs(3600);
/// 2026, for broker and records.
const START_MS: i64 = 1_800_000_000_000;

/// What is told of a run: by the line, and by the broker.
struct Run {
    passed: Vec<Passed>,
    journal: String,
}

/// What members of the group have read: the numbers of each partition, with their offsets.
type Read = Arc<Mutex<BTreeMap<i32, BTreeMap<i64, i32>>>>;

#[test]
fn the_same_seed_does_the_same_for_fifty_seeds() {
    twice_each(0..SEEDS / 2);
}

#[test]
fn the_same_seed_does_the_same_for_fifty_other_seeds() {
    twice_each(SEEDS / 2..SEEDS);
}

fn twice_each(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let [first, second] = [(); 2].map(|()| simulate(seed, run(seed)));
        assert!(first.passed.len() > 100, "seed {seed}: only {} pieces have passed", first.passed.len());
        assert!(first.journal.lines().count() > 20, "seed {seed}: {}", first.journal);
        assert_eq!(first.journal, second.journal, "the journals of seed {seed}");
        let (first, second) = (first.passed, second.passed);
        if first == second {
            continue;
        }
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        let place = differs.unwrap_or(first.len().min(second.len()));
        let told = |run: &[Passed]| run.get(place).map_or("nothing".to_owned(), Passed::to_string);
        let (one, other) = (told(&first), told(&second));
        panic!("seed {seed} differs from itself at piece {place} of {}:\n  {one}\n  {other}", first.len());
    }
}

#[test]
fn another_seed_does_another_thing() {
    let [first, second] = [1, 2].map(|seed| simulate(seed, run(seed)));
    assert!(first.passed != second.passed && first.journal != second.journal);
}

/// A producer, and a group of two members, while nodes crash and connections break as the seed has it.
async fn run(seed: u64) -> Run {
    let start = mockbroker::Timestamp::from_millis(START_MS);
    let broker = MockBroker::builder().nodes(3).in_memory().clock(Clock::real_at(start)).seed(seed);
    let broker = broker.topic("t", PARTITIONS).config("default.replication.factor", "3");
    let broker = broker.config("min.insync.replicas", "2").start().await;
    let broken = broker.fault(on(ApiKey::Produce).probability(0.05)).after_apply(Fault::Disconnect).maybe().mount();
    let record = Record::default();
    let kafka = record.client(&broker).connect().await.expect("the mock answers");
    let read = Read::default();
    let members: Vec<_> = (0..2)
        .map(|_| {
            let consumer = kafka.consumer("g").topics(["t"]).auto_offset_reset(OffsetReset::Earliest);
            (consumer, Arc::clone(&read))
        })
        .collect();
    let mut tasks = Vec::new();
    for (consumer, read) in members {
        let consumer = consumer.build().await.expect("valid settings");
        tasks.push(tokio::spawn(async move {
            while let Ok(Some(record)) = consumer.recv().await {
                let number = String::from_utf8(record.value().expect("a value").to_vec()).expect("text");
                let number = number.parse().expect("a number");
                let before = read.lock().await.entry(record.partition()).or_default().insert(record.offset(), number);
                assert!(before.is_none_or(|before| before == number), "two records at one offset");
            }
        }));
    }
    let producer = kafka.producer().build().await.expect("valid settings");
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let timestamp = Timestamp::from(START_MS + i64::from(number));
        let to = NewRecord::to("t").partition(number % PARTITIONS).value(number.to_string()).timestamp(timestamp);
        deliveries.push(producer.send(to).await.expect("room"));
        if number % 20 == 10 {
            let node = broker.node(fastrand::i32(0..3));
            node.crash();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..5_000))).await;
            node.restart();
        }
    }
    let everything = async {
        for delivery in deliveries {
            delivery.await.expect("acknowledged");
        }
        while read.lock().await.values().map(BTreeMap::len).sum::<usize>() < RECORDS as usize {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT, everything).await.unwrap_or_else(|_| panic!("seed {seed} is stuck"));
    for (partition, numbers) in &*read.lock().await {
        let wrote: Vec<_> = (0..RECORDS).filter(|number| number % PARTITIONS == *partition).collect();
        assert_eq!(numbers.values().copied().collect::<Vec<_>>(), wrote, "seed {seed}, partition {partition}");
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    broker.assert_healthy();
    drop(broken);
    Run { passed: record.passed(), journal: broker.journal().text() }
}
