//! The same seed does the same, byte for byte, on both sides of every connection; and whatever happens, nothing that was
//! acknowledged is lost, doubled or out of order.

use std::time::Duration;

use mockbroker::{ApiKey, Clock, Fault, MockBroker, on};

use super::line::{Passed, Record};
use super::numbers::{Group, PARTITIONS, START_MS, numbered};
use super::simulate;

const SEEDS: u64 = 100;
const RECORDS: i32 = 60;
/// Beyond this the run is stuck. It is virtual time.
const LIMIT: Duration = Duration::from_secs(3600);

/// What is told of a run: by the line, and by the broker.
struct Run {
    passed: Vec<Passed>,
    journal: String,
}

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
    let group = Group::begin(&kafka).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        deliveries.push(producer.send(numbered(number)).await.expect("room"));
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
        group.reads(RECORDS).await;
    };
    tokio::time::timeout(LIMIT, everything).await.unwrap_or_else(|_| panic!("seed {seed} is stuck"));
    group.assert_in_order(RECORDS, seed).await;
    drop(group);
    broker.assert_healthy();
    drop(broken);
    Run { passed: record.passed(), journal: broker.journal().text() }
}
