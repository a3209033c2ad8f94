//! The load: librdkafka's producer or consumer, in a process of its own, one line of JSON at the end.
//!
//! `drive produce` writes records of pseudo-random bytes; `drive consume` reads each partition from offset 0. Both
//! leave every property at librdkafka's default but those in `produce` and `consume` below, so that each broker gets
//! the same load. `drive join` lets two consumers of a new group take a partition each. The consumer takes messages in batches from librdkafka's queue, as `rdkafka_performance` does: the
//! call per message costs more than the message.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use mockbroker_bench::machine::own_cpu_time;
use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t, rd_kafka_queue_destroy,
    rd_kafka_queue_get_consumer,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

/// One run of a librdkafka client.
#[derive(Clone, Parser)]
struct Load {
    /// What to do: `produce`, `consume` or `join`.
    #[arg(value_parser = ["produce", "consume", "join"])]
    direction: String,
    /// The broker, host:port.
    #[arg(long)]
    bootstrap: String,
    /// The topic.
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Records go to, or come from, partitions 0 to N-1, the same number for each, one partition after the other.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Bytes in the value of a record.
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Records in all.
    #[arg(long, default_value_t = 2)]
    count: u64,
    /// Other properties of librdkafka, KEY=VALUE.
    #[arg(long = "property", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

fn main() {
    let load = Load::parse();
    let run = match load.direction.as_str() {
        "produce" => produce(&load),
        "join" => join(&load),
        _ => consume(&load),
    };
    let report = serde_json::json!({
        "client": "librdkafka",
        "version": rdkafka::util::get_rdkafka_version().1,
        "records": run.records,
        "bytes": run.bytes,
        "failed": run.failed,
        "wall_ns": nanoseconds(run.wall),
        "cpu_ns": nanoseconds(own_cpu_time()),
    });
    println!("{report}");
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).expect("a run is shorter than 584 years")
}

/// What a run did.
struct Run {
    records: u64,
    bytes: u64,
    failed: u64,
    wall: Duration,
}

impl Load {
    /// librdkafka's configuration: the broker, and what was asked for on the command line.
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for property in &self.properties {
            let (key, value) = property.split_once('=').expect("a property is KEY=VALUE");
            config.set(key, value);
        }
        config
    }
}

/// Counts what the broker acknowledged.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes the records, acks=all, linger 5 ms. The clock runs from the first record to the last acknowledgement; the
/// connection and the metadata are there before.
fn produce(load: &Load) -> Run {
    let mut config = load.config();
    config.set("acks", "all").set("linger.ms", "5").set("queue.buffering.max.messages", "500000");
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).expect("librdkafka's producer starts");
    producer.client().fetch_metadata(Some(&load.topic), Duration::from_secs(10)).expect("the broker answers");
    let mut pool = vec![0; (1 << 20) + load.size];
    fastrand::Rng::with_seed(7).fill(&mut pool);
    let per_partition = load.count.div_ceil(u64::try_from(load.partitions).expect("partitions is positive"));

    let begin = Instant::now();
    for number in 0..load.count {
        let at = usize::try_from(number * 61 % (1 << 20)).expect("below 1 MiB");
        let partition = i32::try_from(number / per_partition).expect("below the number of partitions");
        let mut record =
            BaseRecord::<(), [u8]>::to(&load.topic).payload(&pool[at..at + load.size]).partition(partition);
        while let Err((error, back)) = producer.send(record) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "send: {error}");
            producer.poll(Duration::from_millis(1));
            record = back;
        }
        if number % 1024 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60)).expect("every record is answered");
    let wall = begin.elapsed();
    let context = producer.context();
    let records = context.delivered.load(Ordering::Relaxed);
    Run { records, bytes: records * load.size as u64, failed: context.failed.load(Ordering::Relaxed), wall }
}

/// Reads the records from offset 0. The clock runs from the first message to the last.
fn consume(load: &Load) -> Run {
    let mut config = load.config();
    config.set("group.id", "bench").set("enable.auto.commit", "false").set("queued.min.messages", "1000000");
    let consumer: BaseConsumer = config.create().expect("librdkafka's consumer starts");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..load.partitions {
        assignment.add_partition_offset(&load.topic, partition, Offset::Offset(0)).expect("offset 0 is valid");
    }
    consumer.assign(&assignment).expect("the partitions are assigned");
    // SAFETY: the handle is alive as long as `consumer`, which outlives `queue`.
    let queue = unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    let mut messages: Vec<*mut rd_kafka_message_t> = vec![ptr::null_mut(); 10_000];
    let mut run = Run { records: 0, bytes: 0, failed: 0, wall: Duration::ZERO };
    let mut begin = None;
    while run.records < load.count {
        // SAFETY: `messages` has room for as many pointers as its length says.
        let taken = unsafe { rd_kafka_consume_batch_queue(queue, 10_000, messages.as_mut_ptr(), messages.len()) };
        let taken = usize::try_from(taken).expect("librdkafka's consumer goes on");
        assert!(taken > 0, "no message within 10 s: {} of {} were read", run.records, load.count);
        begin.get_or_insert_with(Instant::now);
        for &message in &messages[..taken] {
            // SAFETY: librdkafka filled the first `taken` pointers; each is destroyed once, here.
            unsafe {
                if (*message).err as i32 == 0 {
                    run.records += 1;
                    run.bytes += (*message).len as u64;
                } else {
                    run.failed += 1;
                }
                rd_kafka_message_destroy(message);
            }
        }
    }
    run.wall = begin.expect("at least one batch was read").elapsed();
    // SAFETY: the reference taken above is given back once.
    unsafe { rd_kafka_queue_destroy(queue) };
    run
}

/// Two consumers of a new group. The clock runs from the second subscribe until each has got a record.
fn join(load: &Load) -> Run {
    let two = Load { partitions: 2, ..load.clone() };
    produce(&two);
    let group = format!("join-{:x}", fastrand::u64(..));
    let mut config = load.config();
    config.set("group.id", &group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    let consumers: Vec<BaseConsumer> = (0..2).map(|_| config.create().expect("librdkafka's consumer starts")).collect();
    for consumer in &consumers {
        consumer.client().fetch_metadata(Some(&load.topic), Duration::from_secs(10)).expect("the broker answers");
    }
    consumers[0].subscribe(&[&load.topic]).expect("a topic");
    let begin = Instant::now();
    consumers[1].subscribe(&[&load.topic]).expect("a topic");
    let mut waiting = [true, true];
    while waiting.contains(&true) {
        assert!(begin.elapsed() < Duration::from_secs(30), "no record for {waiting:?} within 30 s");
        for (consumer, waits) in consumers.iter().zip(&mut waiting) {
            if let Some(message) = consumer.poll(Duration::from_millis(1)) {
                *waits &= message.is_err();
            }
        }
    }
    Run { records: 2, bytes: 0, failed: 0, wall: begin.elapsed() }
}
