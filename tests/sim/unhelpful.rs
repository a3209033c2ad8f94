//! The legal adversary: the cluster is as unhelpful as Kafka may be, and whoever is right stays right; and it is so by its seed.

use std::collections::BTreeSet;
use std::time::Duration;

use async_kafka::{IsolationLevel, Kafka, Offset, Record as NewRecord, Timestamp};
use mockbroker::{Clock, MockBroker};

use super::line::Record;
use super::numbers::{Group, PARTITIONS, START_MS, numbered};
use super::{number_of, simulate};

/// Twice each. `UNHELPFUL_SEEDS` takes more.
const SEEDS: u64 = 20;
const RECORDS: i32 = 24;
const TRANSACTIONS: i32 = 6;
/// Beyond this the run is stuck. It is virtual time.
const LIMIT: Duration = Duration::from_secs(3600);

#[test]
fn an_adversary_does_the_same_twice_and_breaks_nobody() {
    let seeds = number_of("UNHELPFUL_SEEDS", SEEDS);
    let halves = [0..seeds / 2, seeds / 2..seeds].map(|half| std::thread::spawn(|| twice_each(half)));
    let met = halves.into_iter().flat_map(|half| half.join().expect("both halves are right"));
    let met: BTreeSet<String> = met.collect();
    // Each of them has happened to somebody.
    for whim in [
        "CoordinatorNotAvailable",
        "CoordinatorLoadInProgress",
        "ConcurrentTransactions",
        "NotEnoughReplicas",
        "FetchSessionIdNotFound",
        "done, and NotEnoughReplicasAfterAppend",
        "done, and RequestTimedOut",
        "idle, closed",
        "throttled",
        "one batch",
        "at once",
        "leader moves",
        "coordinator moves",
        "member removed",
        "old metadata",
    ] {
        assert!(met.iter().any(|it| it.starts_with(whim)), "nobody has met {whim:?}, but {met:#?}");
    }
}

/// What the adversaries of `seeds` did, in the words of the journal without their numbers.
fn twice_each(seeds: std::ops::Range<u64>) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    for seed in seeds {
        let [first, second] = [(); 2].map(|()| simulate(seed, run(seed)));
        assert_eq!(first, second, "the journals of seed {seed}");
        let whims = first.lines().filter_map(|line| line.split("unhelpful: ").nth(1));
        met.extend(whims.map(|whim| whim.split(|is: char| is.is_ascii_digit()).next().unwrap_or(whim).to_owned()));
    }
    met
}

/// A producer, a group of two members and a transactional producer; what is asked, and what became of it.
async fn run(seed: u64) -> String {
    let start = mockbroker::Timestamp::from_millis(START_MS);
    let broker = MockBroker::builder().nodes(3).in_memory().clock(Clock::real_at(start)).seed(seed).unhelpful(seed);
    let broker = broker.topic("t", PARTITIONS).topic("paid", 2).config("default.replication.factor", "3");
    let broker = broker.config("min.insync.replicas", "2").config("offsets.topic.replication.factor", "3");
    let broker = broker.config("transaction.state.log.replication.factor", "3").start().await;
    let kafka = Record::default().client(&broker).connect().await.expect("the mock answers");
    let everything = async { tokio::join!(produced_and_read(&kafka, seed), transactions(&kafka, seed)) };
    if tokio::time::timeout(LIMIT, everything).await.is_err() {
        panic!("seed {seed} is stuck:\n{}", broker.report());
    }
    broker.assert_healthy();
    broker.journal().text()
}

/// Nothing that was acknowledged is lost, doubled or out of order, and each record is read.
async fn produced_and_read(kafka: &Kafka, seed: u64) {
    let group = Group::begin(kafka).await;
    let producer = kafka.producer().build().await.expect("valid settings");
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        deliveries.push(producer.send(numbered(number)).await.expect("room"));
        if number % 8 == 0 {
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
    }
    for delivery in deliveries {
        delivery.await.expect("acknowledged");
    }
    group.reads(RECORDS).await;
    group.assert_in_order(RECORDS, seed).await;
}

/// What is committed is there once, what is aborted is not.
async fn transactions(kafka: &Kafka, seed: u64) {
    let producer = kafka.transactional("payments").build().await.expect("the id is taken over");
    for number in 0..TRANSACTIONS {
        let transaction = producer.begin().await.expect("it begins");
        for partition in 0..2 {
            let to = NewRecord::to("paid").partition(partition).value(number.to_string());
            let to = to.timestamp(Timestamp::from(START_MS + i64::from(number)));
            transaction.send(to).await.expect("taken").await.expect("written");
        }
        if number % 3 == 2 {
            transaction.abort().await.expect("aborted");
        } else {
            transaction.commit().await.expect("committed");
        }
    }
    for partition in 0..2 {
        let consumer = kafka.assigned_consumer().assign("paid", partition, Offset::Earliest);
        let consumer = consumer.isolation(IsolationLevel::ReadCommitted).build().await.expect("valid settings");
        let mut values = Vec::new();
        for _ in (0..TRANSACTIONS).filter(|number| number % 3 != 2) {
            let record = consumer.recv().await.expect("no error").expect("open");
            values.push(String::from_utf8(record.value().expect("a value").to_vec()).expect("text"));
        }
        assert_eq!(values, ["0", "1", "3", "4"], "seed {seed}, partition {partition}");
    }
}
