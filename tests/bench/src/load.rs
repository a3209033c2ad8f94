//! What the drivers have in common: the arguments, the values that are sent, the clock and the line of JSON at the end.

use std::ops::Range;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, ValueEnum};

use crate::machine::{cpu_time, own_cpu_time};
use crate::statistics::quantile;

/// Values are cut out of so many random bytes.
const POOL_BYTES: usize = 1 << 20;

/// Records of a transaction.
pub const TRANSACTION_RECORDS: u64 = 1_000;
/// Where [`Direction::Loop`] writes.
pub const OUTPUT: &str = "bench-output";

/// What a driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// Writes as fast as it can.
    Produce,
    /// Writes [`TRANSACTION_RECORDS`], waits until all of them are acknowledged, writes as many more.
    Batches,
    /// Reads from offset 0.
    Consume,
    /// Two consumers of a new group.
    Join,
    /// Writes one record, waits for its acknowledgement, writes the next.
    Await,
    /// Writes one record to each partition each second.
    Spread,
    /// Writes in transactions of [`TRANSACTION_RECORDS`].
    Transact,
    /// Reads the topic from its beginning, and writes every record to [`OUTPUT`] in such transactions, exactly once.
    Loop,
    /// The same, where the function is called for what comes next only when a transaction is committed.
    LoopInTurn,
}

/// One run of a client.
#[derive(Clone, Debug, Parser)]
pub struct Load {
    /// What to do.
    pub direction: Direction,
    /// The broker, host:port.
    #[arg(long)]
    pub bootstrap: String,
    /// The topic.
    #[arg(long, default_value = "bench")]
    pub topic: String,
    /// Records go to, or come from, partitions 0 to N-1, the same number for each, one partition after the other.
    #[arg(long, default_value_t = 1)]
    pub partitions: i32,
    /// Bytes in the value of a record.
    #[arg(long, default_value_t = 1024)]
    pub size: usize,
    /// Records in all.
    #[arg(long, default_value_t = 2)]
    pub count: u64,
    /// Other properties of the client, KEY=VALUE.
    #[arg(long = "property", value_name = "KEY=VALUE")]
    pub properties: Vec<String>,
}

impl Load {
    /// Ends the program as clap does: a driver that does not do what was asked for says who does.
    pub fn refuse(why: &str) -> ! {
        Self::command().error(clap::error::ErrorKind::InvalidValue, why).exit()
    }

    /// The properties, taken apart.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|property| property.split_once('=').expect("a property is KEY=VALUE"))
    }

    /// Pseudo-random bytes, the same in every run.
    pub fn pool(&self) -> Vec<u8> {
        let mut pool = vec![0; POOL_BYTES + self.size];
        fastrand::Rng::with_seed(7).fill(&mut pool);
        pool
    }

    /// Which of them are the value of a record.
    pub fn value_of(&self, number: u64) -> Range<usize> {
        let at = usize::try_from(number * 61 % POOL_BYTES as u64).expect("below 1 MiB");
        at..at + self.size
    }

    /// Where a record goes: one partition after the other.
    pub fn partition_of(&self, number: u64) -> i32 {
        let per_partition = self.count.div_ceil(u64::from(self.partitions.unsigned_abs()));
        i32::try_from(number / per_partition).expect("below the number of partitions")
    }

    /// Where a record goes: the partitions in turn.
    pub fn spread_over(&self, number: u64) -> i32 {
        i32::try_from(number % u64::from(self.partitions.unsigned_abs())).expect("below the number of partitions")
    }

    /// When it is the turn of a record of [`Direction::Spread`]. Turns come every 2 ms.
    pub fn turn_of(&self, number: u64, begin: Instant) -> Instant {
        let nanos = number * 1_000_000_000 / u64::from(self.partitions.unsigned_abs());
        begin + Duration::from_millis(nanos / 2_000_000 * 2)
    }

    /// How many records of [`Direction::Await`] come before those that count.
    pub fn warm_up(&self) -> u64 {
        self.count / 10
    }
}

/// Time and CPU time of this process from a moment on.
pub struct Stopwatch {
    begin: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Begins.
    pub fn start() -> Self {
        Self { begin: Instant::now(), cpu: cpu_time(std::process::id()) }
    }

    /// When it began.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// A run with its times.
    pub fn stop(&self) -> Run {
        let wall = self.begin.elapsed();
        Run { wall, work: cpu_time(std::process::id()).saturating_sub(self.cpu), ..Run::default() }
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Run {
    /// Records that were acknowledged or read.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Records that were refused.
    pub failed: u64,
    /// From the first record to the last.
    pub wall: Duration,
    /// CPU time of this process meanwhile.
    pub work: Duration,
    /// Of each record of [`Direction::Await`].
    pub latencies: Vec<Duration>,
    /// Produce requests of [`Direction::Spread`].
    pub requests: u64,
}

impl Run {
    /// Prints the line.
    pub fn print(&self, client: &str, version: &str) {
        let micros: Vec<f64> = self.latencies.iter().map(|latency| latency.as_secs_f64() * 1e6).collect();
        let at = |share: f64| if micros.is_empty() { 0.0 } else { quantile(&micros, share) };
        let report = serde_json::json!({
            "client": client,
            "version": version,
            "records": self.records,
            "bytes": self.bytes,
            "failed": self.failed,
            "wall_ns": nanoseconds(self.wall),
            "work_ns": nanoseconds(self.work),
            "cpu_ns": nanoseconds(own_cpu_time()),
            "p50_us": at(0.5),
            "p99_us": at(0.99),
            "requests": self.requests,
        });
        println!("{report}");
    }
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).expect("a run is shorter than 584 years")
}
