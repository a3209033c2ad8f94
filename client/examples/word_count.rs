//! Words counted exactly once, although the worker is killed in the middle: `cargo run --example word_count`. The text is this
//! repository's README. On the mock, or on a cluster that `KAFKA_BOOTSTRAP` names.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_kafka::{IsolationLevel, Kafka, Offset, OffsetReset, Record};
use mockbroker::MockBroker;
use tokio::{sync::Notify, task::JoinHandle};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const TEXT: &str = include_str!("../../README.md");

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// What both workers are told.
#[derive(Clone)]
struct Job {
    kafka: Kafka,
    lines: Arc<str>,
    counts: Arc<str>,
    name: String,
    progress: Arc<Notify>,
    batches: Arc<AtomicU32>,
}

/// Turns lines into words, in transactions, until it is killed.
async fn work(job: Job) -> Result<(), BoxError> {
    let lines = job.kafka.consumer(job.name.as_str()).topics([Arc::clone(&job.lines)]);
    let lines = lines.auto_offset_reset(OffsetReset::Earliest).isolation(IsolationLevel::ReadCommitted);
    let lines = lines.session_timeout(Duration::from_secs(6)).auto_commit_interval(None).build().await?;
    // The next worker has the same id, so what this one leaves open is ended by it.
    let counts = job.kafka.transactional(job.name.as_str()).build().await?;
    let inner = job.clone();
    job.kafka
        .exactly_once(lines, counts)
        .transaction_records(20)
        .for_each_batch(move |batch, transaction| {
            let job = inner.clone();
            async move {
                for line in batch.records() {
                    for word in words(std::str::from_utf8(line.value().unwrap_or_default())?) {
                        transaction.send(Record::to(Arc::clone(&job.counts)).key(word).value("1")).await?;
                    }
                }
                job.batches.fetch_add(1, Ordering::Relaxed);
                job.progress.notify_one();
                Ok::<_, BoxError>(())
            }
        })
        .await?;
    Ok(())
}

fn start(job: &Job) -> JoinHandle<Result<(), BoxError>> {
    tokio::spawn(work(job.clone()))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mock = MockBroker::builder().config("group.min.session.timeout.ms", "6000").start().await;
    let bootstrap = env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| mock.bootstrap_servers().to_owned());
    let kafka = Kafka::builder(bootstrap).connect().await?;
    let name = format!("word-count-{}", std::process::id());
    let job = Job {
        kafka: kafka.clone(),
        lines: format!("{name}-lines").into(),
        counts: format!("{name}-counts").into(),
        name,
        progress: Arc::default(),
        batches: Arc::default(),
    };

    let text = kafka.producer().batch_records(5).build().await?;
    for stored in text.send_all(TEXT.lines().map(|line| Record::to(Arc::clone(&job.lines)).value(line))).await {
        stored?;
    }

    let first = start(&job);
    while job.batches.load(Ordering::Relaxed) < 7 {
        job.progress.notified().await;
    }
    // In the middle of a transaction, most likely: nothing is closed, nothing is told to anybody.
    first.abort();
    let killed_after = job.batches.load(Ordering::Relaxed);
    let second = start(&job);

    let mut expected: BTreeMap<String, u32> = BTreeMap::new();
    TEXT.lines().flat_map(words).for_each(|word| *expected.entry(word).or_default() += 1);
    let total: u32 = expected.values().sum();
    let reader = kafka.assigned_consumer().isolation(IsolationLevel::ReadCommitted);
    let reader = reader.assign(Arc::clone(&job.counts), 0, Offset::Earliest).build().await?;
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..total {
        let record = reader.recv().await?.expect("the reader is open");
        *found.entry(String::from_utf8(record.key().unwrap_or_default().to_vec())?).or_default() += 1;
    }
    second.abort();
    assert_eq!(found, expected, "every word once");
    println!("{total} words counted exactly once; the first worker was killed after {killed_after} batches");
    Ok(())
}
