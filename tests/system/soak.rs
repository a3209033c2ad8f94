//! Produce and consume in a group while nodes crash and come back at random: nothing is lost, nothing is in the log twice or out
//! of order, what is read again is the same again, and memory does not grow. `just soak` runs it for ten minutes, the
//! ordinary run for moments. `SOAK_SEED` picks another run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_kafka::admin::NewTopic;
use async_kafka::{Backoff, Consumer, Kafka, OffsetReset, Record, TopicPartition};
use mockbroker::MockBroker;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;
const TOPIC: &str = "soak";
/// How many records of each partition the producer may be ahead of the readers.
const AHEAD: u64 = 2000;
const GROUP: &str = "soakers";

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What was read of a partition: the last offset, and the number that the record there carries.
#[derive(Debug, Default)]
struct Seen {
    last: Mutex<Vec<Option<(i64, u64)>>>,
    again: AtomicU64,
}

impl Seen {
    fn new() -> Arc<Self> {
        Arc::new(Self { last: Mutex::new(vec![None; PARTITIONS as usize]), again: AtomicU64::new(0) })
    }

    /// Numbers count from 0 in each partition, so a number that is lost or doubled in the log shows at the next one.
    fn record(&self, partition: i32, offset: i64, number: u64) {
        let mut last = self.last.lock().expect("no panic");
        let last = &mut last[partition as usize];
        match last {
            Some((at, _)) if offset <= *at => drop(self.again.fetch_add(1, Ordering::Relaxed)),
            _ => {
                let expected = last.map_or(0, |(_, number)| number + 1);
                assert_eq!(number, expected, "partition {partition}, offset {offset}: after {last:?}");
                *last = Some((offset, number));
            }
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.last.lock().expect("no panic").iter().map(|last| last.map_or(0, |(_, number)| number + 1)).collect()
    }
}

async fn member(kafka: &Kafka, seen: &Arc<Seen>) -> (Consumer, JoinHandle<()>) {
    let builder = kafka.consumer(GROUP).topics([TOPIC]).auto_offset_reset(OffsetReset::Earliest);
    let builder = builder.auto_commit_interval(None).heartbeat_interval(Duration::from_millis(100));
    let consumer = builder.session_timeout(Duration::from_secs(6)).build().await.expect("valid settings");
    let (reader, seen) = (consumer.clone(), Arc::clone(seen));
    let reading = tokio::spawn(async move {
        while let Some(batch) = reader.next_batch().await.expect("no error") {
            for record in batch.records() {
                let value = std::str::from_utf8(record.value().expect("a value")).expect("text");
                let number = value.trim_end().parse().expect("a number");
                seen.record(record.partition(), record.offset(), number);
            }
            // The coordinator may be away, or the partition another member's: then it is read again.
            let _ = reader.commit(&batch).await;
        }
    });
    (consumer, reading)
}

/// Sends bursts to all partitions until it is told to stop; how many it sent to each.
async fn produce(kafka: Kafka, stop: Arc<AtomicBool>, seen: Arc<Seen>) -> u64 {
    let producer = kafka.producer().delivery_timeout(LIMIT).build().await.expect("valid settings");
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        // Readers commit every batch and are slower: what they are behind is no measure of memory.
        while seen.numbers().iter().any(|read| read + AHEAD < number) && !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let burst = (number..number + 50).flat_map(|number| {
            (0..PARTITIONS).map(move |at| Record::to(TOPIC).partition(at).value(format!("{number:<100}")))
        });
        for outcome in producer.send_all(burst).await {
            outcome.expect("acknowledged");
        }
        number += 50;
    }
    let report = producer.close(LIMIT).await.expect("closed");
    assert_eq!((report.not_written, report.maybe_written), (0, 0));
    number
}

/// Lets go of what the group has committed, so that the broker's memory is no measure of the time.
async fn sweep(kafka: &Kafka) {
    let admin = kafka.admin().timeout(LIMIT);
    let committed = admin.list_group_offsets(GROUP).await.expect("the coordinator comes back");
    let before = committed.into_iter().map(|(of, at): (TopicPartition, _)| (of, Some(at.offset)));
    for (of, deleted) in admin.delete_records(before).await {
        deleted.unwrap_or_else(|error| panic!("{of}: {error}"));
    }
}

/// Memory of this process, broker and clients together, in MiB.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4 / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_memory_is_flat_while_nodes_crash_and_come_back() {
    let (length, seed) = (Duration::from_secs(number_of("SOAK_SECONDS", 2)), number_of("SOAK_SEED", 7));
    let mut random = fastrand::Rng::with_seed(seed);
    let builder = MockBroker::builder().nodes(3).config("group.initial.rebalance.delay.ms", "0");
    // Commits are kept by key, like everything else for as long as somebody wants it: Kafka's own 100 MiB would fill for hours.
    let builder = builder.config("offsets.topic.segment.bytes", "1048576").config("log.cleaner.backoff.ms", "1000");
    let mock = builder.config("offsets.topic.replication.factor", "3").start().await;
    let backoff = Backoff { initial: Duration::from_millis(10), maximum: Duration::from_millis(200) };
    let kafka = Kafka::builder(mock.bootstrap_servers()).retry_backoff(backoff).connect().await.expect("it answers");
    let topic = NewTopic::new(TOPIC).partitions(PARTITIONS).replication_factor(3).config("segment.bytes", "1048576");
    kafka.admin().create_topics([topic]).await[TOPIC].clone().expect("created");

    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Seen::new());
    let producing = tokio::spawn(produce(kafka.clone(), Arc::clone(&stop), Arc::clone(&seen)));
    let mut members = vec![member(&kafka, &seen).await, member(&kafka, &seen).await];
    let (began, mut crashes, mut swept, mut early) = (Instant::now(), 0, Instant::now(), None);
    while began.elapsed() < length {
        let node = mock.node(*random.choice(mock.node_ids().iter()).expect("a node"));
        node.crash();
        crashes += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
        node.restart();
        tokio::time::sleep(Duration::from_millis(random.u64(50..600))).await;
        assert!(members.iter().all(|(_, reading)| !reading.is_finished()), "seed {seed}: a reader ended");
        if random.u8(..8) == 0 {
            let (consumer, reading) = members.swap_remove(0);
            consumer.close(LIMIT).await.expect("closed in time");
            reading.await.expect("no panic");
            members.push(member(&kafka, &seen).await);
        }
        if swept.elapsed() > Duration::from_secs(1) {
            sweep(&kafka).await;
            swept = Instant::now();
        }
        if early.is_none() && began.elapsed() > length / 3 {
            early = Some(resident());
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sent = producing.await.expect("no panic");
    let deadline = Instant::now() + LIMIT;
    while seen.numbers() != vec![sent; PARTITIONS as usize] {
        assert!(Instant::now() < deadline, "seed {seed}: {sent} were sent, {:?} were read", seen.numbers());
        assert!(members.iter().all(|(_, reading)| !reading.is_finished()), "seed {seed}: a reader ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (consumer, reading) in members {
        consumer.close(LIMIT).await.expect("closed in time");
        reading.await.expect("no panic");
    }
    let (early, late, again) = (early.unwrap_or(0), resident(), seen.again.load(Ordering::Relaxed));
    let metrics = kafka.metrics();
    assert_eq!(metrics.producer.record_send_total, sent * PARTITIONS as u64);
    assert_eq!(metrics.producer.record_error_total, 0);
    println!(
        "{:?}: {crashes} crashes, {} records, {} of them sent again, {again} read again; {early} MiB, then {late} MiB",
        began.elapsed(),
        metrics.producer.record_send_total,
        metrics.producer.record_retry_total,
    );
    if length >= Duration::from_secs(60) {
        assert!(late < early * 3 / 2 + 32, "seed {seed}: {early} MiB after a third of the time, {late} MiB at the end");
    }
}
