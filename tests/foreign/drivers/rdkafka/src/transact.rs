//! Consume, transform, produce, exactly once: librdkafka through the crate `rdkafka`. What it does is told in
//! `../../python/confluent_transact.py`, what it says in `member.py`.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::ClientContext;
use rdkafka::Offset;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::Outcome;

const AT_MOST: usize = 500;
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

type Transactor = ThreadedProducer<DefaultProducerContext>;

/// Says what the consumer owns.
struct Owning;

impl ClientContext for Owning {}

impl ConsumerContext for Owning {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut owns: Vec<i32> = match rebalance {
            Rebalance::Assign(partitions) => partitions.elements().iter().map(|it| it.partition()).collect(),
            _ => Vec::new(),
        };
        owns.sort_unstable();
        say("owns", &format!("{owns:?}"));
    }
}

pub fn run(given: &HashMap<&str, Vec<&str>>) -> Outcome<()> {
    let of = |name: &str| given[name][0];
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", of("--bootstrap"));
    let consumer: BaseConsumer<Owning> = config
        .clone()
        .set("group.id", of("--group"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "100")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", of("--session-ms"))
        .set("heartbeat.interval.ms", "500")
        .create_with_context(Owning)?;
    // An abort waits for reports of delivery, which somebody has to take.
    let producer: Transactor = config
        .set("transactional.id", of("--instance"))
        .set("linger.ms", "2")
        .set("transaction.timeout.ms", "20000")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    consumer.subscribe(&[of("--topic")])?;
    let leaving = leaving();
    let mut random = seed();
    while !leaving.load(Ordering::Relaxed) {
        let messages = read(&consumer)?;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let aborts = (random >> 33).is_multiple_of(10);
        if !messages.is_empty() && !transacted(&consumer, &producer, of("--output"), &messages, aborts)? {
            rewind(&consumer)?;
        }
    }
    drop(consumer);
    say("left", "true");
    Ok(())
}

/// What there is within a moment: partition and value.
fn read(consumer: &BaseConsumer<Owning>) -> Outcome<Vec<(i32, Vec<u8>)>> {
    let end = Instant::now() + POLL;
    let mut messages = Vec::new();
    while messages.len() < AT_MOST {
        match consumer.poll(end.saturating_duration_since(Instant::now())) {
            None => break,
            Some(Ok(message)) => messages.push((message.partition(), message.payload().unwrap_or_default().to_vec())),
            // Of a connection, or that it is too early: librdkafka goes on by itself.
            Some(Err(error)) => say("refused", &format!("{:?}", error.to_string())),
        }
    }
    Ok(messages)
}

/// Whether what was read has gone through. An error that no abort can mend ends the process.
fn transacted(
    consumer: &BaseConsumer<Owning>,
    producer: &Transactor,
    output: &str,
    messages: &[(i32, Vec<u8>)],
    aborts: bool,
) -> Outcome<bool> {
    let ended = go_through(consumer, producer, output, messages, aborts);
    match ended {
        Ok(()) => say(if aborts { "aborted" } else { "transacted" }, &messages.len().to_string()),
        Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
            say("refused", &format!("{:?}", error.to_string()));
            producer.abort_transaction(PATIENCE)?;
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(!aborts)
}

fn go_through(
    consumer: &BaseConsumer<Owning>,
    producer: &Transactor,
    output: &str,
    messages: &[(i32, Vec<u8>)],
    aborts: bool,
) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    for (partition, value) in messages {
        let mut record = BaseRecord::<(), [u8]>::to(output).partition(*partition).payload(&value[..]);
        while let Err((error, unsent)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            producer.flush(POLL).ok();
            record = unsent;
        }
    }
    let metadata = consumer.group_metadata().expect("a consumer with a group");
    producer.send_offsets_to_transaction(&consumer.position()?, &metadata, PATIENCE)?;
    if !aborts {
        return producer.commit_transaction(PATIENCE);
    }
    // What was not sent yet would not be written at all.
    producer.flush(PATIENCE)?;
    producer.abort_transaction(PATIENCE)
}

/// To what is committed: the records that were aborted come again.
fn rewind(consumer: &BaseConsumer<Owning>) -> Outcome<()> {
    for each in consumer.committed(PATIENCE)?.elements() {
        let offset = if each.offset() == Offset::Invalid { Offset::Beginning } else { each.offset() };
        if let Err(error) = consumer.seek(each.topic(), each.partition(), offset, PATIENCE) {
            // It was revoked meanwhile.
            say("refused", &format!("{:?}", error.to_string()));
        }
    }
    Ok(())
}

/// Set when stdin ends.
fn leaving() -> Arc<AtomicBool> {
    let leaving = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&leaving);
    std::thread::spawn(move || {
        let _whatever = std::io::stdin().read_to_end(&mut Vec::new());
        set.store(true, Ordering::Relaxed);
    });
    leaving
}

fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |it| it.as_nanos() as u64) ^ u64::from(std::process::id())
}

fn say(what: &str, value: &str) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |it| it.as_secs_f64() * 1000.0);
    println!("{{\"{what}\": {value}, \"at\": {at}}}");
}
