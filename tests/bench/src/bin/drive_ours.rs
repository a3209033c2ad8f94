//! The load by the client of this workspace, with the arguments and the answers of `drive`, which is librdkafka's.
//!
//! Every outcome is looked at, as `drive` does with its delivery reports: a delivery is awaited once a fixed number of
//! records was sent after it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_kafka::{Delivery, IsolationLevel, Kafka, Offset, OffsetReset, Producer, Record};
use bytes::Bytes;
use clap::Parser;
use mockbroker_bench::load::{Direction, Load, OUTPUT, Run, Stopwatch, TRANSACTION_RECORDS};

type Result<T> = async_kafka::Result<T>;

/// Deliveries that are kept before the oldest is awaited.
const WINDOW: usize = 100_000;
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let load = Load::parse();
    // One thread: what a program does beside its client is its own, and the broker has the other processor.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let run = runtime.block_on(async {
        match load.direction {
            Direction::Produce => produce(&load, u64::MAX).await,
            Direction::Batches => produce(&load, TRANSACTION_RECORDS).await,
            Direction::Consume => consume(&load).await,
            Direction::Await => one_at_a_time(&load).await,
            Direction::Spread => spread(&load).await,
            Direction::Loop => exactly_once(&load, true).await,
            Direction::LoopInTurn => exactly_once(&load, false).await,
            Direction::Transact => Load::refuse("of this client the loop is measured: drive-ours loop"),
            Direction::Join => Load::refuse("of this client the figure `groups` has its own members: bench groups"),
        }
    })?;
    run.print("async-kafka", env!("CARGO_PKG_VERSION"));
    Ok(())
}

async fn connect(load: &Load, defaults: &[(&str, &str)]) -> Result<Kafka> {
    let bootstrap = ("bootstrap.servers", load.bootstrap.as_str());
    let all = defaults.iter().copied().chain(load.properties()).chain([bootstrap]);
    Kafka::from_properties(all)?.builder.connect().await
}

/// Takes outcomes, oldest first.
#[derive(Default)]
struct Outcomes {
    open: VecDeque<Delivery>,
    delivered: u64,
    failed: u64,
}

impl Outcomes {
    async fn take_oldest(&mut self) {
        if let Some(delivery) = self.open.pop_front() {
            match delivery.await {
                Ok(_) => self.delivered += 1,
                Err(_) => self.failed += 1,
            }
        }
    }

    async fn push(&mut self, delivery: Delivery) {
        self.open.push_back(delivery);
        if self.open.len() > WINDOW {
            self.take_oldest().await;
        }
    }

    async fn take_all(&mut self) {
        while !self.open.is_empty() {
            self.take_oldest().await;
        }
    }
}

/// Writes so many records and waits for them before it writes as many more, as the loop would without its transactions.
async fn produce(load: &Load, at_a_time: u64) -> Result<Run> {
    let kafka = connect(load, &[("acks", "all"), ("linger.ms", "5")]).await?;
    let producer = kafka.producer().build().await?;
    kafka.partition_count(&load.topic).await?;
    let (pool, topic): (_, Arc<str>) = (Bytes::from(load.pool()), load.topic.as_str().into());
    let mut outcomes = Outcomes::default();

    let clock = Stopwatch::start();
    for number in 0..load.count {
        let value = pool.slice(load.value_of(number));
        let record = Record::to(Arc::clone(&topic)).value(value).partition(load.partition_of(number));
        outcomes.push(producer.send(record).await?).await;
        if (number + 1).is_multiple_of(at_a_time) {
            producer.flush().await?;
            outcomes.take_all().await;
        }
    }
    producer.flush().await?;
    outcomes.take_all().await;
    Ok(counted(clock.stop(), load, &outcomes))
}

fn counted(run: Run, load: &Load, outcomes: &Outcomes) -> Run {
    let bytes = outcomes.delivered * load.size as u64;
    Run { records: outcomes.delivered, bytes, failed: outcomes.failed, ..run }
}

async fn one_at_a_time(load: &Load) -> Result<Run> {
    let kafka = connect(load, &[("acks", "all"), ("linger.ms", "0")]).await?;
    let producer = kafka.producer().build().await?;
    let (pool, topic): (_, Arc<str>) = (Bytes::from(load.pool()), load.topic.as_str().into());
    let (mut latencies, mut clock) = (Vec::new(), Stopwatch::start());
    for number in 0..load.warm_up() + load.count {
        if number == load.warm_up() {
            latencies.clear();
            clock = Stopwatch::start();
        }
        let begin = Instant::now();
        let record = Record::to(Arc::clone(&topic)).value(pool.slice(load.value_of(number))).partition(0);
        producer.send(record).await?.await?;
        latencies.push(begin.elapsed());
    }
    Ok(Run { records: load.count, bytes: load.count * load.size as u64, latencies, ..clock.stop() })
}

async fn spread(load: &Load) -> Result<Run> {
    let kafka = connect(load, &[("acks", "all"), ("linger.ms", "5")]).await?;
    let producer = kafka.producer().build().await?;
    let (pool, topic): (_, Arc<str>) = (Bytes::from(load.pool()), load.topic.as_str().into());
    let send = async |producer: &Producer, number: u64| {
        let value = pool.slice(load.value_of(number));
        let record = Record::to(Arc::clone(&topic)).value(value).partition(load.spread_over(number));
        producer.send(record).await
    };
    let mut outcomes = Outcomes::default();
    // One round by which every partition is known.
    for number in 0..u64::from(load.partitions.unsigned_abs()) {
        outcomes.push(send(&producer, number).await?).await;
    }
    producer.flush().await?;
    outcomes.take_all().await;
    let requests = || kafka.metrics().requests.get("Produce").map_or(0, |of| of.request_total);
    let (before, mut outcomes) = (requests(), Outcomes::default());
    let clock = Stopwatch::start();
    for number in 0..load.count {
        let turn = load.turn_of(number, clock.begin());
        if turn > Instant::now() {
            tokio::time::sleep_until(turn.into()).await;
        }
        outcomes.push(send(&producer, number).await?).await;
    }
    producer.flush().await?;
    outcomes.take_all().await;
    let run = counted(clock.stop(), load, &outcomes);
    producer.close(LIMIT).await?;
    Ok(Run { requests: requests() - before, ..run })
}

async fn consume(load: &Load) -> Result<Run> {
    let kafka = connect(load, &[]).await?;
    let mut builder = kafka.assigned_consumer();
    for partition in 0..load.partitions {
        builder = builder.assign(load.topic.as_str(), partition, Offset::At(0));
    }
    let consumer = builder.build().await?;
    let (mut run, mut clock) = (Run::default(), None);
    while run.records < load.count {
        let batch = tokio::time::timeout(Duration::from_secs(10), consumer.next_batch()).await;
        let batch = batch.expect("a batch within 10 s")?.expect("the consumer is open");
        clock.get_or_insert_with(Stopwatch::start);
        for record in batch.records() {
            run.records += 1;
            run.bytes += record.value().map_or(0, <[u8]>::len) as u64;
        }
    }
    let times = clock.map(|clock| clock.stop()).unwrap_or_default();
    Ok(Run { wall: times.wall, work: times.work, ..run })
}

/// What the loop has seen.
#[derive(Default)]
struct Seen {
    clock: OnceLock<Stopwatch>,
    records: AtomicU64,
    bytes: AtomicU64,
    all: tokio::sync::Notify,
}

/// The clock runs from the first batch to the end of the loop, which is after its last commit.
async fn exactly_once(load: &Load, overlaps: bool) -> Result<Run> {
    let kafka = connect(load, &[("acks", "all"), ("linger.ms", "5")]).await?;
    kafka.partition_count(OUTPUT).await?;
    // A new group each time: it begins at the beginning.
    let group = format!("loop-{:x}", fastrand::u64(..));
    let input = kafka.consumer(group.as_str()).topics([load.topic.as_str()]).auto_commit_interval(None);
    let input = input.auto_offset_reset(OffsetReset::Earliest).isolation(IsolationLevel::ReadCommitted).build().await?;
    let output = kafka.transactional(group).build().await?;
    let (seen, topic, count): (_, Arc<str>, _) = (Arc::new(Seen::default()), OUTPUT.into(), load.count);
    let end = Arc::clone(&seen);
    let ended = kafka
        .exactly_once(input, output)
        .transaction_records(TRANSACTION_RECORDS)
        .overlap(overlaps)
        .until(async move { end.all.notified().await })
        .for_each_batch(|batch, transaction| {
            let (seen, topic) = (Arc::clone(&seen), Arc::clone(&topic));
            async move {
                seen.clock.get_or_init(Stopwatch::start);
                let (mut records, mut bytes) = (0, 0);
                for record in batch.records() {
                    let value = record.value_bytes().unwrap_or_default();
                    (records, bytes) = (records + 1, bytes + value.len() as u64);
                    transaction.send(Record::to(Arc::clone(&topic)).value(value)).await?;
                }
                seen.bytes.fetch_add(bytes, Ordering::Relaxed);
                if seen.records.fetch_add(records, Ordering::Relaxed) + records >= count {
                    seen.all.notify_one();
                }
                Ok::<_, async_kafka::Error>(())
            }
        })
        .await;
    ended.expect("nothing is in its way");
    let times = seen.clock.get().map(Stopwatch::stop).unwrap_or_default();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Run { records: of(&seen.records), bytes: of(&seen.bytes), ..times })
}
