//! Figure `client`: this workspace's client against librdkafka, each in a process of its own, against one broker in turn.
//!
//! Settings are equal, by the names that both know; the CPU time is the client's own, between its first record and its last.

use serde_json::{Value, json};

use crate::Effort;
use crate::pairs::{Measured, Pairs, measure_client, take};
use crate::processes::{Broker, Client, Programs};
use crate::report::{Row, Verdict};
use crate::statistics::Estimate;

/// What producers of both are told besides acks=all and the linger.
const PRODUCER: [&str; 5] = [
    "enable.idempotence=false",
    "batch.size=1000000",
    "batch.num.messages=10000",
    "queue.buffering.max.kbytes=65536",
    "max.in.flight.requests.per.connection=5",
];

/// librdkafka fetches ahead as far as its own benchmark does, and checks nothing; ours keeps its defaults, and checks.
const THEIR_CONSUMER: [&str; 2] = ["queued.min.messages=1000000", "check.crcs=false"];
const OUR_CONSUMER: [&str; 1] = ["check.crcs=true"];

const PRODUCER_CPU_BAR: f64 = 0.7;
const PRODUCER_RATE_BAR: f64 = 1.2;
const AWAIT_BAR: f64 = 0.8;
const CONSUMER_CPU_BAR: f64 = 0.6;
const CONSUMER_RATE_BAR: f64 = 1.5;

/// Partitions of the load that is spread thin, and of the one that it is compared with.
const MANY: i32 = 10_000;
const FEW: i32 = 100;
/// Each linger of 5 ms makes a request for each broker, of which there is one.
const REQUESTS_PER_SECOND_BAR: f64 = 200.0;

/// All the figures, on mockbroker; with `kafka` on a real Kafka as well.
pub fn run(programs: &Programs, effort: Effort, kafka: bool) -> Vec<Row> {
    let mut brokers = vec![programs.mockbroker(1, &["log.retention.bytes=67108864", "log.segment.bytes=16777216"])];
    if kafka {
        brokers.push(programs.kafka());
    }
    let mut rows = Vec::new();
    for broker in &brokers {
        rows.extend(produce(programs, effort, broker, 100, effort.pick(1_500_000, 3_000_000)));
        rows.extend(produce(programs, effort, broker, 1024, effort.pick(300_000, 600_000)));
        rows.push(one_at_a_time(programs, effort, broker, "wherever they run", None));
    }
    drop(brokers);
    // What is promised is judged where both clients take their turns on one processor: elsewhere the figure is how long this
    // machine takes to wake an idle one, and where the system happens to put librdkafka's threads.
    let (apart, together) = (&programs.apart(), &programs.together());
    for (programs, place, bar) in [(apart, "a processor each", None), (together, "on one processor", Some(AWAIT_BAR))] {
        rows.push(one_at_a_time(programs, effort, &programs.mockbroker(1, &[]), place, bar));
    }
    for kafka in [false, true].into_iter().take(1 + usize::from(kafka)) {
        rows.extend(consume(programs, effort, kafka, 100, 3_000_000));
        rows.extend(consume(programs, effort, kafka, 1024, 600_000));
    }
    rows.extend(spread(programs));
    rows
}

/// One kind of load, on one broker, by both clients.
struct Load<'a> {
    programs: &'a Programs,
    broker: &'a Broker,
    ours: Vec<String>,
    theirs: Vec<String>,
}

impl<'a> Load<'a> {
    fn new(programs: &'a Programs, broker: &'a Broker, arguments: &[&str], ours: &[&str], theirs: &[&str]) -> Self {
        let with = |properties: &[&str]| {
            let properties = properties.iter().flat_map(|property| ["--property", property]);
            arguments.iter().copied().chain(properties).map(String::from).collect()
        };
        Self { programs, broker, ours: with(ours), theirs: with(theirs) }
    }

    fn run(&self, client: Client) -> Measured {
        let arguments = if client == Client::Ours { &self.ours } else { &self.theirs };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        measure_client(self.programs, client, self.broker, &arguments)
    }

    /// Pairs of both, after one run of each. librdkafka's comes first: asking for the topic makes it on a new Kafka.
    fn pairs(&self, wanted: usize) -> Pairs {
        self.run(Client::Librdkafka);
        self.run(Client::Ours);
        take(wanted, 2, || self.run(Client::Ours), || self.run(Client::Librdkafka))
    }
}

const fn work(run: &Measured) -> f64 {
    run.work_per_record
}

const fn rate(run: &Measured) -> f64 {
    run.records_per_second
}

fn produce(programs: &Programs, effort: Effort, broker: &Broker, size: usize, count: u64) -> Vec<Row> {
    let (size_text, count_text) = (size.to_string(), count.to_string());
    let arguments = ["produce", "--size", &size_text, "--count", &count_text];
    let pairs = Load::new(programs, broker, &arguments, &PRODUCER, &PRODUCER).pairs(effort.pick(6, 20));
    judged(&pairs, &format!("produce {size} B to {}", broker.name), PRODUCER_CPU_BAR, PRODUCER_RATE_BAR)
}

fn consume(programs: &Programs, effort: Effort, kafka: bool, size: usize, count: u64) -> Vec<Row> {
    let broker = if kafka { programs.kafka() } else { programs.mockbroker(1, &[]) };
    let (size_text, count_text) = (size.to_string(), count.to_string());
    let fill = ["produce", "--size", &size_text, "--count", &count_text];
    Load::new(programs, &broker, &fill, &[], &PRODUCER).run(Client::Librdkafka);
    let arguments = ["consume", "--count", &count_text];
    let pairs = Load::new(programs, &broker, &arguments, &OUR_CONSUMER, &THEIR_CONSUMER).pairs(effort.pick(6, 20));
    judged(&pairs, &format!("consume {size} B from {}", broker.name), CONSUMER_CPU_BAR, CONSUMER_RATE_BAR)
}

fn judged(pairs: &Pairs, what: &str, cpu_bar: f64, rate_bar: f64) -> Vec<Row> {
    let (cpu, rates) = (pairs.ratio(work), pairs.ratio(rate));
    vec![
        Row::info("client", format!("{what}: CPU of a record"), format!("{:.0} ns", pairs.first(work)))
            .against(format!("{:.0} ns (librdkafka)", pairs.second(work)), cpu.to_string())
            .judged(format!("<= {cpu_bar}"), at_most(cpu, cpu_bar))
            .detail(detail(pairs)),
        Row::info("client", format!("{what}: records"), format!("{:.0} k/s", pairs.first(rate) / 1e3))
            .against(format!("{:.0} k/s (librdkafka)", pairs.second(rate) / 1e3), rates.to_string())
            .judged(format!(">= {rate_bar}"), at_least(rates, rate_bar)),
        Row::info("client", format!("{what}: how it was measured"), pairs.describe()),
    ]
}

/// A miss needs an interval that excludes the bar.
fn at_most(ratio: Estimate, bar: f64) -> Verdict {
    if ratio.median > bar && ratio.low <= bar { Verdict::Open } else { Verdict::at_most(ratio.median, bar) }
}

fn at_least(ratio: Estimate, bar: f64) -> Verdict {
    if ratio.median < bar && ratio.high >= bar { Verdict::Open } else { Verdict::at_least(ratio.median, bar) }
}

fn one_at_a_time(programs: &Programs, effort: Effort, broker: &Broker, place: &str, bar: Option<f64>) -> Row {
    let count = effort.pick("5000", "20000");
    let arguments = ["await", "--size", "100", "--count", count];
    let pairs = Load::new(programs, broker, &arguments, &PRODUCER, &PRODUCER).pairs(effort.pick(8, 20));
    let p50 = |run: &Measured| run.p50_us;
    let ratio = pairs.ratio(p50);
    let row = Row::info(
        "client",
        format!("one 100 B record awaited, {}, {place}: p50", broker.name),
        format!("{:.0} us", pairs.first(p50)),
    )
    .against(format!("{:.0} us (librdkafka)", pairs.second(p50)), ratio.to_string())
    .detail(detail(&pairs));
    match bar {
        Some(bar) => row.judged(format!("<= {bar}"), at_most(ratio, bar)),
        None => row,
    }
}

/// Requests for one record a second to each partition, few and many. A count, not a time: one run says it.
fn spread(programs: &Programs) -> Vec<Row> {
    let mut rows = Vec::new();
    for partitions in [FEW, MANY] {
        let broker = programs.mockbroker(partitions, &[]);
        let (text, count) = (partitions.to_string(), (5 * partitions).to_string());
        let arguments = ["spread", "--size", "100", "--partitions", &text, "--count", &count];
        let load = Load::new(programs, &broker, &arguments, &PRODUCER, &PRODUCER);
        let (ours, theirs) = (load.run(Client::Ours), load.run(Client::Librdkafka));
        let what = format!("one 100 B record a second to each of {partitions} partitions: requests");
        let ratio = format!("{:.2}", ours.requests_per_second / theirs.requests_per_second);
        let row = Row::info("client", what, format!("{:.0} /s", ours.requests_per_second))
            .against(format!("{:.0} /s (librdkafka)", theirs.requests_per_second), ratio);
        rows.push(if partitions == MANY {
            let verdict = Verdict::at_most(ours.requests_per_second, REQUESTS_PER_SECOND_BAR);
            row.judged(format!("<= {REQUESTS_PER_SECOND_BAR} /s"), verdict)
        } else {
            row
        });
        let ratio = format!("{:.2}", work(&ours) / work(&theirs));
        rows.push(
            Row::info("client", "the same: CPU of a record", format!("{:.1} us", work(&ours) / 1e3))
                .against(format!("{:.1} us (librdkafka)", work(&theirs) / 1e3), ratio),
        );
    }
    rows
}

fn detail(pairs: &Pairs) -> Value {
    json!({ "pairs": pairs.json(), "first": "async-kafka", "second": "librdkafka" })
}
