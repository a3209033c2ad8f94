//! Words counted exactly once, although workers are killed in the middle: `cargo run --example word_count [FILE]`. The text is
//! this repository's README, or a file. Workers are processes, which get SIGKILL: once, or `KILLS` times. On the mock, or on a
//! cluster that `KAFKA_BOOTSTRAP` names, where `NAME` names the topics (`NAME-lines`, `NAME-counts`).

use std::{
    collections::BTreeMap,
    env,
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};

use async_kafka::{IsolationLevel, Kafka, Offset, OffsetReset, Record, admin::NewTopic};
use mockbroker::MockBroker;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const TEXT: &str = include_str!("../../README.md");
const PARTITIONS: i32 = 3;
const WORKERS: usize = 2;

fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|letter: char| !letter.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
}

/// A worker: turns lines into words, in transactions, until it is killed.
async fn work(bootstrap: &str, name: &str, number: &str) -> Result<(), BoxError> {
    let kafka = Kafka::builder(bootstrap).connect().await?;
    let counts: Arc<str> = format!("{name}-counts").into();
    // Whoever comes next with the same names gets the same partitions, and ends the transaction that this one leaves open.
    let lines = kafka.consumer(name).topics([format!("{name}-lines")]).group_instance_id(format!("{name}-{number}"));
    let lines = lines.auto_offset_reset(OffsetReset::Earliest).isolation(IsolationLevel::ReadCommitted);
    let lines = lines.session_timeout(Duration::from_secs(6)).auto_commit_interval(None).build().await?;
    let producer = kafka.transactional(format!("{name}-{number}")).build().await?;
    let looped = kafka.exactly_once(lines, producer).transaction_records(20);
    looped
        .for_each_batch(|batch, transaction| {
            let counts = Arc::clone(&counts);
            async move {
                for line in batch.records() {
                    for word in words(std::str::from_utf8(line.value().unwrap_or_default())?) {
                        transaction.send(Record::to(Arc::clone(&counts)).key(word).value("1")).await?;
                    }
                }
                Ok::<_, BoxError>(())
            }
        })
        .await?;
    Ok(())
}

/// The processes of the workers. They go when this does.
struct Workers {
    arguments: [String; 2],
    processes: Vec<Child>,
}

impl Workers {
    fn start(bootstrap: &str, name: &str) -> Result<Self, BoxError> {
        let mut workers = Self { arguments: [bootstrap.to_owned(), name.to_owned()], processes: Vec::new() };
        for number in 0..WORKERS {
            let process = workers.spawn(number)?;
            workers.processes.push(process);
        }
        Ok(workers)
    }

    fn spawn(&self, number: usize) -> Result<Child, BoxError> {
        let program = env::current_exe()?;
        Ok(Command::new(program).arg("work").args(&self.arguments).arg(number.to_string()).spawn()?)
    }

    /// SIGKILL, in the middle of whatever it does; then another one takes its place.
    fn kill_one(&mut self) -> Result<(), BoxError> {
        let number = fastrand::usize(..self.processes.len());
        self.processes[number].kill()?;
        self.processes[number].wait()?;
        self.processes[number] = self.spawn(number)?;
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

async fn conduct(text: &str) -> Result<(), BoxError> {
    let mock = MockBroker::builder().config("group.min.session.timeout.ms", "6000").start().await;
    let bootstrap = env::var("KAFKA_BOOTSTRAP").unwrap_or_else(|_| mock.bootstrap_servers().to_owned());
    let name = env::var("NAME").unwrap_or_else(|_| format!("word-count-{}", std::process::id()));
    let kills: u32 = env::var("KILLS").map_or(Ok(1), |kills| kills.parse())?;
    let kafka = Kafka::builder(bootstrap.as_str()).connect().await?;
    let (lines, counts): (Arc<str>, Arc<str>) = (format!("{name}-lines").into(), format!("{name}-counts").into());
    let topics = [&lines, &counts].map(|topic| NewTopic::new(Arc::clone(topic)).partitions(PARTITIONS));
    for (_, created) in kafka.admin().create_topics(topics).await {
        created?;
    }
    let producer = kafka.producer().batch_records(5).build().await?;
    for stored in
        producer.send_all(text.lines().map(|line| Record::to(Arc::clone(&lines)).value(line.to_owned()))).await
    {
        stored?;
    }

    let mut expected: BTreeMap<String, u32> = BTreeMap::new();
    text.lines().flat_map(words).for_each(|word| *expected.entry(word).or_default() += 1);
    let total: u32 = expected.values().sum();
    let reader = kafka.assigned_consumer().isolation(IsolationLevel::ReadCommitted);
    let reader = (0..PARTITIONS)
        .fold(reader, |reader, partition| reader.assign(Arc::clone(&counts), partition, Offset::Earliest));
    let reader = reader.build().await?;
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let mut workers = Workers::start(&bootstrap, &name)?;
    // The next one is killed when some more words are there, each time at another one.
    let (mut killed, mut next) = (0, fastrand::u32(..=total / (kills + 1)));
    for seen in 0..total {
        let record = reader.recv().await?.expect("the reader is open");
        *found.entry(String::from_utf8(record.key().unwrap_or_default().to_vec())?).or_default() += 1;
        if killed < kills && seen >= next {
            workers.kill_one()?;
            killed += 1;
            next = seen + fastrand::u32(..=(total - seen) / (kills - killed + 1));
        }
    }
    assert_eq!(found, expected, "every word once");
    println!("{total} words counted exactly once; workers were killed {killed} times");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["work", bootstrap, name, number] => work(bootstrap, name, number).await,
        [file] => conduct(&std::fs::read_to_string(file)?).await,
        _ => conduct(TEXT).await,
    }
}
