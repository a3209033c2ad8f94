//! ABBA pairs: the same load against two brokers in turn, so that what drifts drifts for both.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::machine::{MachineTime, processors};
use crate::processes::{Broker, Client, Driven, Programs};
use crate::statistics::{Estimate, median};

/// A pair is quiet while others take no more than this share of the machine.
const QUIET_SHARE: f64 = 0.05;

/// One run against one broker.
#[derive(Debug)]
pub struct Measured {
    /// CPU seconds of the broker for each GiB of values.
    pub cpu_per_gib: f64,
    /// Records per second, by the driver.
    pub records_per_second: f64,
    /// The share of the machine that others took.
    pub foreign: f64,
    /// The client's version.
    pub version: String,
    /// CPU nanoseconds of the client for each record, from the first one to the last.
    pub work_per_record: f64,
    /// The median wait of a record that is awaited before the next one is sent.
    pub p50_us: f64,
    /// Produce requests of a load that counts them.
    pub requests_per_second: f64,
}

/// One run against each of two brokers.
#[derive(Debug)]
pub struct Pair {
    /// Against the first.
    pub a: Measured,
    /// Against the second.
    pub b: Measured,
}

impl Pair {
    fn is_quiet(&self) -> bool {
        self.a.foreign.max(self.b.foreign) <= QUIET_SHARE
    }
}

/// Pairs of one comparison.
#[derive(Debug)]
pub struct Pairs {
    kept: Vec<Pair>,
    /// How many were dropped because others took more than 5 % of the machine.
    dropped: usize,
    /// Whether the machine was too busy to drop the pairs that were not quiet.
    busy: bool,
}

/// Runs the load once.
pub fn measure(programs: &Programs, broker: &Broker, load: &[&str]) -> Measured {
    measure_client(programs, Client::Librdkafka, broker, load)
}

/// Runs the load once, by one client or the other.
pub fn measure_client(programs: &Programs, client: Client, broker: &Broker, load: &[&str]) -> Measured {
    let (machine, begin, cpu) = (MachineTime::now(), Instant::now(), broker.cpu_time());
    let driven: Driven = programs.drive_by(client, broker, load);
    let cpu = broker.cpu_time() - cpu;
    let foreign = machine.foreign_share(begin.elapsed(), cpu + driven.cpu);
    Measured {
        cpu_per_gib: cpu.as_secs_f64() / (driven.bytes as f64 / f64::from(1 << 30)),
        records_per_second: driven.records as f64 / driven.wall.as_secs_f64(),
        foreign,
        version: driven.version,
        work_per_record: driven.work.as_nanos() as f64 / driven.records.max(1) as f64,
        p50_us: driven.p50_us,
        requests_per_second: driven.requests as f64 / driven.wall.as_secs_f64(),
    }
}

/// Takes `wanted` quiet pairs, AB and BA in turn, and no more than `patience` times as many in all.
///
/// If the machine is too busy for even half of `wanted`, all pairs count, and the result says so.
pub fn take(wanted: usize, patience: usize, mut a: impl FnMut() -> Measured, mut b: impl FnMut() -> Measured) -> Pairs {
    let mut all: Vec<Pair> = Vec::new();
    while all.iter().filter(|pair| pair.is_quiet()).count() < wanted && all.len() < wanted * patience {
        let pair = if all.len().is_multiple_of(2) {
            let a = a();
            Pair { a, b: b() }
        } else {
            let b = b();
            Pair { a: a(), b }
        };
        all.push(pair);
    }
    let total = all.len();
    let quiet = all.iter().filter(|pair| pair.is_quiet()).count();
    let busy = quiet * 2 < wanted;
    let kept: Vec<Pair> = all.into_iter().filter(|pair| busy || pair.is_quiet()).collect();
    Pairs { dropped: total - kept.len(), kept, busy }
}

impl Pairs {
    /// First through second.
    pub fn ratio(&self, value: impl Fn(&Measured) -> f64) -> Estimate {
        Estimate::of(&self.kept.iter().map(|pair| value(&pair.a) / value(&pair.b)).collect::<Vec<_>>())
    }

    /// The median of the first's values.
    pub fn first(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        median(&self.kept.iter().map(|pair| value(&pair.a)).collect::<Vec<_>>())
    }

    /// The median of the second's values.
    pub fn second(&self, value: impl Fn(&Measured) -> f64) -> f64 {
        median(&self.kept.iter().map(|pair| value(&pair.b)).collect::<Vec<_>>())
    }

    /// How many pairs, and under which circumstances.
    pub fn describe(&self) -> String {
        let (count, dropped) = (self.kept.len(), self.dropped);
        if self.busy { format!("{count} pairs, machine busy") } else { format!("{count} pairs, {dropped} dropped") }
    }

    /// Every run of every pair.
    pub fn json(&self) -> Value {
        let run = |run: &Measured| {
            json!({
                "cpu_seconds_per_gib": run.cpu_per_gib, "records_per_second": run.records_per_second,
                "foreign_share": run.foreign, "version": run.version,
                "client_ns_per_record": run.work_per_record, "p50_us": run.p50_us,
            })
        };
        json!({
            "dropped": self.dropped,
            "busy": self.busy,
            "pairs": self.kept.iter().map(|pair| json!([run(&pair.a), run(&pair.b)])).collect::<Vec<_>>(),
        })
    }
}

/// Waits until others leave the machine nearly alone, for at most `patience`.
pub fn wait_for_quiet(patience: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        let machine = MachineTime::now();
        let moment = Instant::now();
        std::thread::sleep(Duration::from_millis(300));
        // This process slept: whoever ran was someone else. One tick of 10 ms is the resolution.
        if machine.foreign_share(moment.elapsed(), Duration::ZERO) * processors() as f64 <= 0.2 {
            return;
        }
    }
}
