//! The load: librdkafka's producer or consumer, in a process of its own, one line of JSON at the end.
//!
//! `drive produce` writes records of pseudo-random bytes; `drive consume` reads each partition from offset 0. Both
//! leave every property at librdkafka's default but those in `produce` and `consume` below, so that each broker gets
//! the same load. `drive join` lets two consumers of a new group take a partition each. The consumer takes messages in
//! batches from librdkafka's queue, as `rdkafka_performance` does: the call per message costs more than the message.
//! `drive-ours` is the same by the client of this workspace, with the same arguments.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use mockbroker_bench::load::{Direction, Load, Run, Stopwatch, TRANSACTION_RECORDS};
use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_event_destroy, rd_kafka_event_message_next, rd_kafka_message_destroy,
    rd_kafka_message_t, rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_queue_get_main,
    rd_kafka_queue_poll, rd_kafka_queue_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, Statistics, TopicPartitionList};

fn main() {
    let load = Load::parse();
    let run = match load.direction {
        Direction::Produce => produce(&load),
        Direction::Consume => consume(&load),
        Direction::Join => join(&load),
        Direction::Await => one_at_a_time(&load),
        Direction::Spread => spread(&load),
        Direction::Transact => transact(&load),
        Direction::Batches => Load::refuse("the loop is compared with its own client's producer: drive-ours batches"),
        Direction::Loop | Direction::LoopInTurn => Load::refuse("librdkafka has no such loop: drive-ours does it"),
    };
    run.print("librdkafka", &rdkafka::util::get_rdkafka_version().1);
}

/// librdkafka's configuration: the broker, and what was asked for on the command line.
fn config(load: &Load) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &load.bootstrap);
    for (key, value) in load.properties() {
        config.set(key, value);
    }
    config
}

/// Counts what the broker acknowledged.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// Produce requests so far, as of the last statistics.
    requests: AtomicU64,
}

impl Deliveries {
    fn counts(&self) -> (u64, u64) {
        (self.delivered.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

impl ClientContext for Deliveries {
    fn stats(&self, statistics: Statistics) {
        let of_broker = |broker: &rdkafka::statistics::Broker| broker.req.get("Produce").copied().unwrap_or(0);
        let requests: i64 = statistics.brokers.values().map(of_broker).sum();
        self.requests.store(requests.unsigned_abs(), Ordering::Relaxed);
    }
}

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
    let mut config = config(load);
    config.set("acks", "all").set("linger.ms", "5").set("queue.buffering.max.messages", "500000");
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).expect("librdkafka's producer starts");
    producer.client().fetch_metadata(Some(&load.topic), Duration::from_secs(10)).expect("the broker answers");
    let pool = load.pool();

    let clock = Stopwatch::start();
    for number in 0..load.count {
        let (partition, value) = (load.partition_of(number), &pool[load.value_of(number)]);
        let mut record = BaseRecord::<(), [u8]>::to(&load.topic).payload(value).partition(partition);
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
    let mut run = clock.stop();
    (run.records, run.failed) = producer.context().counts();
    run.bytes = run.records * load.size as u64;
    run
}

/// Writes the records in transactions, each of which is committed before the next begins.
fn transact(load: &Load) -> Run {
    const LIMIT: Duration = Duration::from_secs(60);
    let mut config = config(load);
    config.set("transactional.id", &load.topic).set("linger.ms", "5").set("queue.buffering.max.messages", "500000");
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).expect("librdkafka's producer starts");
    producer.client().fetch_metadata(Some(&load.topic), Duration::from_secs(10)).expect("the broker answers");
    producer.init_transactions(LIMIT).expect("a producer id");
    let pool = load.pool();

    let clock = Stopwatch::start();
    let mut number = 0;
    while number < load.count {
        producer.begin_transaction().expect("none is open");
        for _ in 0..TRANSACTION_RECORDS.min(load.count - number) {
            let record = BaseRecord::<(), [u8]>::to(&load.topic).payload(&pool[load.value_of(number)]).partition(0);
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
            number += 1;
        }
        producer.flush(LIMIT).expect("every record is answered");
        producer.commit_transaction(LIMIT).expect("it is committed");
    }
    let mut run = clock.stop();
    (run.records, run.failed) = producer.context().counts();
    run.bytes = run.records * load.size as u64;
    run
}

/// Sends one record and waits for its delivery report, again and again, by the shortest way that librdkafka has: the thread
/// that sends is the one that is told.
fn one_at_a_time(load: &Load) -> Run {
    let mut config = config(load);
    config.set("acks", "all").set("linger.ms", "0");
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).expect("librdkafka's producer starts");
    producer.client().fetch_metadata(Some(&load.topic), Duration::from_secs(10)).expect("the broker answers");
    let pool = load.pool();
    // SAFETY: the handle is alive as long as `producer`, which outlives `queue`.
    let queue = unsafe { rd_kafka_queue_get_main(producer.client().native_ptr()) };
    let mut latencies = Vec::new();
    let (mut clock, mut failed) = (Stopwatch::start(), 0);
    for number in 0..load.warm_up() + load.count {
        if number == load.warm_up() {
            latencies.clear();
            clock = Stopwatch::start();
        }
        let begin = Instant::now();
        let value = &pool[load.value_of(number)];
        let record = BaseRecord::<(), [u8]>::to(&load.topic).payload(value).partition(0);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
        failed += u64::from(!reported(queue));
        latencies.push(begin.elapsed());
    }
    let run = clock.stop();
    // SAFETY: the reference taken above is given back once.
    unsafe { rd_kafka_queue_destroy(queue) };
    Run { records: load.count, bytes: load.count * load.size as u64, failed, latencies, ..run }
}

/// Waits for the next delivery report; whether it is of a success. `BaseProducer::poll` would go on until its time is up.
fn reported(queue: *mut rd_kafka_queue_t) -> bool {
    loop {
        // SAFETY: the queue is alive; an event is destroyed once, here, and its message is of no use after that.
        unsafe {
            let event = rd_kafka_queue_poll(queue, 10_000);
            assert!(!event.is_null(), "no report within 10 s");
            let message = rd_kafka_event_message_next(event);
            let succeeded = (!message.is_null()).then(|| (*message).err as i32 == 0);
            rd_kafka_event_destroy(event);
            if let Some(succeeded) = succeeded {
                return succeeded;
            }
        }
    }
}

/// One record for each partition each second, in equal steps. Requests are counted by librdkafka's statistics.
fn spread(load: &Load) -> Run {
    let mut config = config(load);
    config.set("acks", "all").set("linger.ms", "5").set("statistics.interval.ms", "200");
    let producer: BaseProducer<Deliveries> =
        config.create_with_context(Deliveries::default()).expect("librdkafka's producer starts");
    producer.client().fetch_metadata(Some(&load.topic), Duration::from_secs(30)).expect("the broker answers");
    let pool = load.pool();
    let send = |number: u64| {
        let value = &pool[load.value_of(number)];
        let record = BaseRecord::<(), [u8]>::to(&load.topic).payload(value).partition(load.spread_over(number));
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
        producer.poll(Duration::ZERO);
    };
    // One round by which every partition is known.
    (0..load.partitions.unsigned_abs().into()).for_each(send);
    producer.flush(Duration::from_secs(60)).expect("every record is answered");
    let settle = || {
        let until = Instant::now() + Duration::from_millis(450);
        while Instant::now() < until {
            producer.poll(Duration::from_millis(10));
        }
        producer.context().requests.load(Ordering::Relaxed)
    };
    let (before, known) = (settle(), producer.context().counts());
    let clock = Stopwatch::start();
    for number in 0..load.count {
        let turn = load.turn_of(number, clock.begin());
        std::thread::sleep(turn.saturating_duration_since(Instant::now()));
        send(number);
    }
    producer.flush(Duration::from_secs(60)).expect("every record is answered");
    let mut run = clock.stop();
    run.requests = settle() - before;
    let counts = producer.context().counts();
    (run.records, run.failed) = (counts.0 - known.0, counts.1);
    run.bytes = run.records * load.size as u64;
    run
}

/// Reads the records from offset 0. The clock runs from the first message to the last.
fn consume(load: &Load) -> Run {
    let mut config = config(load);
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
    let mut run = Run::default();
    let mut clock = None;
    while run.records < load.count {
        // SAFETY: `messages` has room for as many pointers as its length says.
        let taken = unsafe { rd_kafka_consume_batch_queue(queue, 10_000, messages.as_mut_ptr(), messages.len()) };
        let taken = usize::try_from(taken).expect("librdkafka's consumer goes on");
        assert!(taken > 0, "no message within 10 s: {} of {} were read", run.records, load.count);
        clock.get_or_insert_with(Stopwatch::start);
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
    let clock = clock.expect("at least one batch was read").stop();
    (run.wall, run.work) = (clock.wall, clock.work);
    // SAFETY: the reference taken above is given back once.
    unsafe { rd_kafka_queue_destroy(queue) };
    run
}

/// Two consumers of a new group. The clock runs from the second subscribe until each has got a record.
fn join(load: &Load) -> Run {
    let two = Load { partitions: 2, ..load.clone() };
    produce(&two);
    let group = format!("join-{:x}", fastrand::u64(..));
    let mut config = config(load);
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
    Run { records: 2, wall: begin.elapsed(), ..Run::default() }
}
