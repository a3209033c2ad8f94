//! Figure `produce`: what a GiB of 1 KiB records costs the broker, against librdkafka's own mock cluster.
//!
//! Both brokers keep 5 MiB of the one partition, and both are warm: the records of the warm-up fill that many times over.
//! mockbroker checks the CRC of each batch, the mock checks none.

use crate::Effort;
use crate::pairs::{Measured, measure, take};
use crate::processes::{Broker, Programs};
use crate::report::{Row, Verdict};

const BAR: f64 = 1.0;

/// The 5 MiB ring of librdkafka's mock, in Kafka's words. Retention looks every 5 ms, so that the log holds 5 MiB and one
/// segment, not what arrives in Kafka's five minutes.
const RETENTION: [&str; 4] = [
    "log.segment.bytes=1048576",
    "log.retention.bytes=5242880",
    "log.retention.check.interval.ms=5",
    "log.initial.task.delay.ms=1",
];

/// Pairs of both brokers, then of mockbroker with another mockbroker (the A/A control).
pub fn run(programs: &Programs, effort: Effort) -> Vec<Row> {
    let rows = effort.pick(vec![(1024, 200_000)], vec![(1024, 300_000), (100, 1_500_000), (10_240, 60_000)]);
    rows.into_iter().flat_map(|(size, count)| compare(programs, effort, size, count)).collect()
}

fn compare(programs: &Programs, effort: Effort, size: usize, count: u64) -> Vec<Row> {
    let (size_text, count_text) = (size.to_string(), count.to_string());
    let load = ["produce", "--size", &size_text, "--count", &count_text];
    let ours = programs.mockbroker(1, &RETENTION);
    let again = programs.mockbroker(1, &RETENTION);
    let mock = programs.librdkafka_mock(1);
    for broker in [&ours, &again, &mock] {
        measure(programs, broker, &load);
    }
    let run = |broker: &Broker| measure(programs, broker, &load);
    let pairs = take(effort.pick(8, 30), 3, || run(&ours), || run(&mock));
    let control = take(effort.pick(6, 20), 3, || run(&ours), || run(&again));

    let cpu = |run: &Measured| run.cpu_per_gib;
    let rate = |run: &Measured| run.records_per_second;
    let (ratio, noise) = (pairs.ratio(cpu), control.ratio(cpu));
    let bar = if size == 1024 { Some(BAR) } else { None };
    let resident = |broker: &Broker| broker.status("VmRSS") / 1024;
    let memory = format!("{} MiB, mock {} MiB", resident(&ours), resident(&mock));
    let what = |rest: &str| format!("{size} B records, {rest}");
    let costs = Row::info("produce", what("broker CPU"), format!("{:.3} s/GiB", pairs.first(cpu)))
        .against(format!("{:.3} s/GiB (librdkafka mock)", pairs.second(cpu)), ratio.to_string());
    vec![
        match bar {
            Some(bar) => costs.judged(format!("<= {bar:.1}"), Verdict::ratio_at_most(ratio, bar, noise)),
            None => costs,
        }
        .detail(pairs.json()),
        Row::info("produce", what("broker CPU, A/A control"), format!("{:.3} s/GiB", control.first(cpu)))
            .against(format!("{:.3} s/GiB (itself)", control.second(cpu)), noise.to_string())
            .detail(control.json()),
        Row::info("produce", what("throughput"), format!("{:.0} k/s", pairs.first(rate) / 1e3))
            .against(format!("{:.0} k/s (librdkafka mock)", pairs.second(rate) / 1e3), pairs.ratio(rate).to_string()),
        Row::info("produce", what("resident memory after it"), memory),
        Row::info("produce", what("how it was measured"), pairs.describe()),
    ]
}
