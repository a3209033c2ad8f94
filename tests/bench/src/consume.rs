//! Figure `consume`: reading back with one librdkafka consumer.
//!
//! Two loads. 3 M records of 100 B in one partition, from offset 0: librdkafka's mock cannot hold them, it keeps 5 MiB of a
//! partition. And what it can hold, 64 partitions of 30,000 such records, against it in pairs.

use std::time::Duration;

use serde_json::json;

use crate::Effort;
use crate::pairs::{Measured, measure, take, wait_for_quiet};
use crate::processes::{Broker, Programs};
use crate::report::{Row, Verdict};
use crate::statistics::{median, quantile};

const BAR_PER_SECOND: f64 = 3e6;
const RECORDS: u64 = 3_000_000;
const PARTITIONS: i32 = 64;
const RECORDS_PER_PARTITION: u64 = 30_000;

/// Both loads.
pub fn run(programs: &Programs, effort: Effort) -> Vec<Row> {
    let paired = against_the_mock(programs, effort);
    let ratio = paired.ratio;
    let mut rows = catch_up(programs, effort, ratio);
    rows.extend(paired.rows);
    rows
}

/// The paired load, and the ratio of the rates.
struct Paired {
    rows: Vec<Row>,
    ratio: f64,
}

fn catch_up(programs: &Programs, effort: Effort, ratio_to_mock: f64) -> Vec<Row> {
    let count = RECORDS.to_string();
    let broker = programs.mockbroker(1, &[]);
    measure(programs, &broker, &["produce", "--size", "100", "--count", &count]);
    let resident = broker.status("VmRSS");
    let runs: Vec<Measured> = (0..effort.pick(5, 15))
        .map(|_| {
            wait_for_quiet(Duration::from_secs(effort.pick(2, 10)));
            measure(programs, &broker, &["consume", "--count", &count])
        })
        .collect();
    let rates: Vec<f64> = runs.iter().map(|run| run.records_per_second).collect();
    let costs: Vec<f64> = runs.iter().map(|run| run.cpu_per_gib).collect();
    let foreign: Vec<f64> = runs.iter().map(|run| run.foreign).collect();
    let (rate, best) = (median(&rates), quantile(&rates, 1.0));
    // On a machine that is slower, or not ours alone, the ratio to the mock stands in for the number.
    let verdict = if rate >= BAR_PER_SECOND || ratio_to_mock >= 1.0 { Verdict::Pass } else { Verdict::Miss };
    vec![
        Row::info("consume", "3 M records of 100 B, one partition, from offset 0", format!("{:.2} M/s", rate / 1e6))
            .against("none: the mock keeps 5 MiB", format!("{ratio_to_mock:.2} (64 partitions, below)"))
            .judged(">= 3 M/s, or ratio >= 1", verdict)
            .detail(json!({ "records_per_second": rates, "foreign_share": foreign })),
        Row::info("consume", "the same, best run; others' share of the machine", format!("{:.2} M/s", best / 1e6))
            .against(format!("{:.0} %", 100.0 * median(&foreign)), ""),
        Row::info("consume", "the same, broker CPU", format!("{:.3} s/GiB", median(&costs)))
            .detail(json!({ "cpu_seconds_per_gib": costs })),
        Row::info(
            "consume",
            "the same, resident memory of the broker, of a record",
            format!("{} MiB, {:.0} B", resident / 1024, resident as f64 * 1024.0 / RECORDS as f64),
        ),
    ]
}

fn against_the_mock(programs: &Programs, effort: Effort) -> Paired {
    let partitions = PARTITIONS.to_string();
    let count = (RECORDS_PER_PARTITION * u64::from(PARTITIONS.unsigned_abs())).to_string();
    let ours = programs.mockbroker(PARTITIONS, &[]);
    let mock = programs.librdkafka_mock(PARTITIONS);
    for broker in [&ours, &mock] {
        measure(programs, broker, &["produce", "--size", "100", "--count", &count, "--partitions", &partitions]);
    }
    let load = ["consume", "--count", &count, "--partitions", &partitions];
    let run = |broker: &Broker| measure(programs, broker, &load);
    let pairs = take(effort.pick(5, 20), 2, || run(&ours), || run(&mock));
    let rate = |run: &Measured| run.records_per_second;
    let cpu = |run: &Measured| run.cpu_per_gib;
    let ratio = pairs.ratio(rate);
    let rows = vec![
        Row::info("consume", "64 partitions x 30,000 x 100 B", format!("{:.2} M/s", pairs.first(rate) / 1e6))
            .against(format!("{:.2} M/s (librdkafka mock)", pairs.second(rate) / 1e6), ratio.to_string())
            .detail(pairs.json()),
        Row::info("consume", "the same, broker CPU", format!("{:.3} s/GiB", pairs.first(cpu)))
            .against(format!("{:.3} s/GiB (librdkafka mock)", pairs.second(cpu)), pairs.ratio(cpu).to_string()),
        Row::info("consume", "the same, how it was measured", pairs.describe()),
    ];
    Paired { rows, ratio: ratio.median }
}
