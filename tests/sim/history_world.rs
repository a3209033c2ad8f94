//! Who is at work in a history: writers of the input, workers that move it to the output, and a reader of everything. All of them
//! write down what they were told and given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_kafka::{
    ConsumerBatch, ConsumerConfig, GroupProtocol, IsolationLevel, Kafka, Offset, OffsetReset, OnError, Outcome, Record,
    Timestamp, TransactionSender, TransactionalProducer, Written,
};
use mockbroker::{Clock, MarkerKind, MockBroker};
use system_tests::history::{self, Fate, Judged, Logged, Promise, Read};
use tokio::sync::Notify;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Place = (String, i32);

pub(super) const GROUP: &str = "workers";
/// 2026, for broker and records.
const START_MS: i64 = 1_800_000_000_000;
/// What no part of a history takes, in virtual time.
const LIMIT: Duration = Duration::from_secs(3600);

/// What the seed decides about the world.
#[derive(Debug)]
pub(super) struct Plan {
    /// `transaction.version`.
    pub(super) generation: u8,
    /// Topics with their partitions.
    pub(super) inputs: Vec<(String, i32)>,
    pub(super) outputs: Vec<(String, i32)>,
    /// The group protocol of each worker.
    pub(super) workers: Vec<GroupProtocol>,
    pub(super) feeders: usize,
    /// How often each feeder writes.
    pub(super) rounds: u32,
}

impl Plan {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let mut topics = |names: &[&str]| {
            let count = random.usize(1..=names.len());
            names[..count].iter().map(|name| ((*name).to_owned(), random.i32(1..4))).collect::<Vec<_>>()
        };
        let (inputs, outputs) = (topics(&["orders", "returns"]), topics(&["bills", "mails"]));
        let protocols = match random.u8(..3) {
            0 => vec![GroupProtocol::Classic],
            1 => vec![GroupProtocol::Consumer],
            // Both kinds in one group.
            _ => vec![GroupProtocol::Classic, GroupProtocol::Consumer],
        };
        let count = random.usize(1..4);
        let workers = (0..count).map(|index| protocols[index % protocols.len()]).collect();
        Self {
            generation: random.u8(1..3),
            inputs,
            outputs,
            workers,
            feeders: random.usize(1..3),
            rounds: random.u32(4..12),
        }
    }
}

/// What the parties have written down.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) promises: BTreeMap<String, Promise>,
    /// What workers were given of the input.
    pub(super) worked: BTreeMap<Place, Vec<Read>>,
    /// What the reader of everything was given.
    pub(super) read: BTreeMap<Place, Vec<Read>>,
}

pub(super) struct World {
    pub(super) broker: MockBroker,
    pub(super) plan: Plan,
    told: Mutex<Told>,
    random: Mutex<fastrand::Rng>,
}

impl World {
    pub(super) async fn new(seed: u64, random: &mut fastrand::Rng) -> Arc<Self> {
        let plan = Plan::draw(random);
        let start = mockbroker::Timestamp::from_millis(START_MS);
        let builder = MockBroker::builder().nodes(3).in_memory().clock(Clock::real_at(start)).seed(seed);
        let settings = [
            ("default.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("group.initial.rebalance.delay.ms", "0"),
            ("group.consumer.min.session.timeout.ms", "6000"),
            ("group.consumer.session.timeout.ms", "6000"),
            ("group.consumer.min.heartbeat.interval.ms", "1000"),
            ("group.consumer.heartbeat.interval.ms", "1000"),
            ("feature.transaction.version", if plan.generation == 2 { "2" } else { "1" }),
        ];
        let builder = settings.into_iter().fold(builder, |builder, (key, value)| builder.config(key, value));
        let topics = plan.inputs.iter().chain(&plan.outputs);
        let broker = topics.fold(builder, |builder, (name, partitions)| builder.topic(name, *partitions)).start().await;
        Arc::new(Self { broker, plan, told: Mutex::default(), random: Mutex::new(random.fork()) })
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn client(&self, client_id: &str) -> Kafka {
        let connector = self.broker.connector();
        let builder = Kafka::builder(self.broker.bootstrap_servers()).client_id(client_id);
        let builder = builder.request_timeout(Duration::from_secs(8)).dial(move |address| {
            let connector = connector.clone();
            async move { connector.connect(&address.host, address.port).await }
        });
        builder.api_timeout(LIMIT).connect().await.expect("the mock answers some time")
    }

    /// Every request, with the time in milliseconds of the history; with `HISTORY_BODIES` all that was said.
    pub(super) fn journal(&self) -> String {
        // What a journal keeps, if it has forgotten the rest.
        let kept = self.broker.journal().mark().saturating_sub(9_000);
        let entries = self.broker.journal().since(kept).entries().into_iter();
        let bodies = std::env::var("HISTORY_BODIES").is_ok();
        let lines = entries.map(|entry| {
            let line = format!("{:>8} {entry}\n", entry.arrived().as_millis() - START_MS);
            if bodies {
                format!("{line}         > {:?}\n         < {:?}\n", entry.request(), entry.answer())
            } else {
                line
            }
        });
        lines.collect()
    }

    /// Every partition of some topics.
    pub(super) fn places(topics: &[(String, i32)]) -> Vec<Place> {
        let all = topics.iter();
        all.flat_map(|(name, partitions)| (0..*partitions).map(|partition| (name.clone(), partition))).collect()
    }

    /// What is in the log of a partition now, judged by its markers alone.
    pub(super) fn log(&self, place: &Place) -> Vec<Judged> {
        history::judge(&self.logged(place))
    }

    /// What is in the log of a partition now.
    pub(super) fn logged(&self, (topic, partition): &Place) -> Vec<Logged> {
        let records = self.broker.topic(topic).partition(*partition).records();
        let logged = records.iter().map(|record| match record.marker {
            Some(kind) => {
                let (producer_id, is_commit) = (record.batch.producer_id, kind == MarkerKind::Commit);
                Logged::Marker { offset: record.offset, producer_id, is_commit }
            }
            None => {
                let transaction = record.batch.is_transactional.then_some(record.batch.producer_id);
                let value = record.value_str().expect("we write text").to_owned();
                Logged::Record { offset: record.offset, transaction, value }
            }
        });
        logged.collect()
    }

    /// A batch as it was read, with what the log says of its records at this moment.
    fn reads(&self, batch: &ConsumerBatch) -> (Place, Vec<Read>) {
        let place = (batch.topic().to_owned(), batch.partition());
        let log = self.log(&place);
        let reads = batch.records().map(|record| {
            let found = log.iter().find(|judged| judged.offset == record.offset());
            let value = String::from_utf8_lossy(record.value().unwrap_or_default()).into_owned();
            Read { offset: record.offset(), value, fate: found.map_or(Fate::Open, |judged| judged.fate) }
        });
        let reads = reads.collect();
        (place, reads)
    }
}

/// Reads every partition from its beginning with `read_committed`, until it is stopped.
pub(super) async fn read_everything(world: Arc<World>) {
    let kafka = world.client("reader").await;
    let places = [World::places(&world.plan.inputs), World::places(&world.plan.outputs)].concat();
    let consumer = kafka.assigned_consumer().isolation(IsolationLevel::ReadCommitted);
    let consumer = consumer.fetch_max_wait(Duration::from_secs(4));
    let consumer = places
        .into_iter()
        .fold(consumer, |consumer, (topic, partition)| consumer.assign(topic, partition, Offset::Earliest));
    let consumer = consumer.build().await.expect("valid settings");
    while let Some(batch) = consumer.next_batch().await.expect("a reader goes on") {
        let (place, reads) = world.reads(&batch);
        world.told().read.entry(place).or_default().extend(reads);
    }
}

/// Numbers what a feeder writes.
struct Numbering {
    feeder: usize,
    next: BTreeMap<Place, u64>,
}

impl Numbering {
    /// Some records for random partitions of the input, with their values.
    fn draw(&mut self, world: &World) -> Vec<(String, Record)> {
        let places = World::places(&world.plan.inputs);
        let mut random = world.random();
        let count = random.usize(1..9);
        let some = std::iter::repeat_with(|| places[random.usize(..places.len())].clone());
        let records = some.take(count).map(|place| {
            let number = self.next.entry(place.clone()).or_default();
            *number += 1;
            let value = format!("{}/{}/{}-{number}", self.feeder, place.0, place.1);
            let record = Record::to(place.0).partition(place.1).value(value.clone());
            let timestamp = START_MS + i64::try_from(*number).expect("few");
            (value, record.timestamp(Timestamp::from(timestamp)))
        });
        records.collect()
    }
}

/// The writer of a value, and its number.
pub(super) fn writer_of(value: &str) -> (&str, u64) {
    let (writer, number) = value.rsplit_once('-').expect("a value of a feeder");
    (writer, number.parse().expect("a number"))
}

/// Writes input: with transactions, some of which it aborts, or without.
pub(super) async fn feed(world: Arc<World>, feeder: usize) {
    let kafka = world.client(&format!("feeder-{feeder}")).await;
    let mut numbering = Numbering { feeder, next: BTreeMap::new() };
    let in_transactions = world.random().bool();
    let plain = kafka.producer().batch_records(3).build().await.expect("valid settings");
    let mut producer: Option<TransactionalProducer> = None;
    for _ in 0..world.plan.rounds {
        let wait = world.random().u64(0..4_000);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let records = numbering.draw(&world);
        if !in_transactions {
            let (values, records): (Vec<_>, Vec<_>) = records.into_iter().unzip();
            for (value, outcome) in values.into_iter().zip(plain.send_all(records).await) {
                let promise = match outcome {
                    Ok(_) => Promise::Counts,
                    Err(error) if error.written() == Some(Written::NotWritten) => Promise::Never,
                    Err(_) => Promise::Unknown,
                };
                world.told().promises.insert(value, promise);
            }
            continue;
        }
        while producer.is_none() {
            producer = kafka.transactional(format!("feeder-{feeder}")).build().await.ok();
        }
        let values: Vec<_> = records.iter().map(|(value, _)| value.clone()).collect();
        let owner = producer.as_ref().expect("it was built");
        let (promise, is_fatal) = feed_transaction(&world, owner, records).await;
        world.told().promises.extend(values.into_iter().map(|value| (value, promise)));
        if is_fatal {
            producer = None;
        }
    }
}

/// One transaction: what became of it, and whether the producer is of no use any more.
async fn feed_transaction(
    world: &World,
    producer: &TransactionalProducer,
    records: Vec<(String, Record)>,
) -> (Promise, bool) {
    let (aborts, dawdles) = {
        let mut random = world.random();
        (random.u8(..4) == 0, random.u64(0..3_000) * u64::from(random.bool()))
    };
    let transaction = match producer.begin().await {
        Ok(transaction) => transaction,
        Err(error) => return (Promise::Never, error.is_fatal()),
    };
    for (_, record) in records {
        if let Err(error) = transaction.send(record).await {
            return (Promise::Never, error.is_fatal());
        }
    }
    tokio::time::sleep(Duration::from_millis(dawdles)).await;
    if aborts {
        let aborted = transaction.abort().await;
        return (Promise::Never, aborted.is_err_and(|error| error.is_fatal()));
    }
    let mut error = match transaction.commit().await {
        Ok(()) => return (Promise::Counts, false),
        Err(error) => error,
    };
    while error.is_outcome_unknown() && error.is_retriable() {
        error = match producer.resolve().await {
            Ok(Some(Outcome::Committed)) => return (Promise::Counts, false),
            Ok(_) => return (Promise::Never, false),
            Err(error) => error,
        };
    }
    let promise = if error.is_outcome_unknown() { Promise::Unknown } else { Promise::Never };
    (promise, error.is_fatal())
}

/// One life of a worker: the loop under test, until it is stopped, or cannot go on.
pub(super) async fn life(world: Arc<World>, slot: usize, name: String, stop: Arc<Notify>) -> Result<(), BoxError> {
    let kafka = world.client(&name).await;
    let mut random = world.random().fork();
    let mut config = ConsumerConfig::default();
    config.isolation = IsolationLevel::ReadCommitted;
    config.auto_offset_reset = OffsetReset::Earliest;
    config.fetch_max_wait = Duration::from_secs(4);
    let topics = world.plan.inputs.iter().map(|(name, _)| name.as_str());
    let consumer = kafka.consumer(GROUP).topics(topics).config(config).auto_commit_interval(None);
    let consumer = consumer.group_protocol(world.plan.workers[slot]).session_timeout(Duration::from_secs(6));
    let consumer = consumer.heartbeat_interval(Duration::from_secs(1)).build().await?;
    let timeout = Duration::from_secs(random.u64(3..20));
    let producer = kafka.transactional(format!("worker-{slot}")).transaction_timeout(timeout);
    let producer = producer.producer(|producer| producer.batch_records(3)).build().await?;
    let (records, overlaps) = (random.u64(1..20), random.bool());
    let random = Mutex::new(random);
    let looped = kafka.exactly_once(consumer, producer).transaction_records(records).overlap(overlaps);
    let looped = looped.on_error(|_| OnError::Retry);
    let each = |batch: ConsumerBatch, transaction: TransactionSender| {
        let (world, luck) = (Arc::clone(&world), random.lock().unwrap_or_else(PoisonError::into_inner).u64(..));
        work(world, batch, transaction, luck)
    };
    looped.until(async move { stop.notified().await }).for_each_batch(each).await?;
    Ok(())
}

/// What a worker does with a batch: each record has a result in every topic of the output. Now and then it is slow, or fails.
async fn work(
    world: Arc<World>,
    batch: ConsumerBatch,
    transaction: TransactionSender,
    luck: u64,
) -> Result<(), BoxError> {
    let (place, reads) = world.reads(&batch);
    world.told().worked.entry(place).or_default().extend(reads);
    let mut random = fastrand::Rng::with_seed(luck);
    for record in batch.records() {
        for (topic, partitions) in &world.plan.outputs {
            let result = Record::to(topic.as_str()).partition(batch.partition() % partitions);
            let result = result.value(record.value().unwrap_or_default().to_vec());
            transaction.send(result.timestamp(Timestamp::from(START_MS))).await?;
        }
        match random.u8(..60) {
            0 => return Err("the function fails now and then".into()),
            1 => tokio::time::sleep(Duration::from_millis(random.u64(..25_000))).await,
            2..20 => tokio::time::sleep(Duration::from_millis(random.u64(..40))).await,
            _ => {}
        }
    }
    Ok(())
}
