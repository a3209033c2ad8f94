//! What `/proc` knows: CPU time of a process, what a process holds, and how much of the machine others took.

use std::fs;
use std::io;
use std::time::Duration;

/// CPU time of all threads of a process, by the scheduler's own nanosecond count.
///
/// Threads that ended no longer count; the brokers measured here end none during a run.
pub fn cpu_time(process: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Duration::ZERO };
    let nanoseconds = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// CPU time of this process, threads that ended included, in ticks of 10 ms.
pub fn own_cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program may hold spaces; after its bracket come the state, ten numbers, and then the two times.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// A field of `/proc/PID/status` in KiB or as a count: `VmRSS`, `VmHWM`, `Threads`.
pub fn status(process: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// How many file descriptors this process holds.
pub fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// CPU time of the whole machine: used by anyone, and stolen by the host.
#[derive(Clone, Copy)]
pub struct MachineTime {
    busy: Duration,
    stolen: Duration,
}

impl MachineTime {
    /// Reads `/proc/stat`, which counts in ticks of 10 ms.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<u64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        let tick = |place: usize| Duration::from_millis(10 * ticks.get(place).copied().unwrap_or(0));
        // user, nice, system, idle, iowait, irq, softirq, steal
        Self { busy: tick(0) + tick(1) + tick(2) + tick(5) + tick(6), stolen: tick(7) }
    }

    /// The share of the machine that others took since `self`, when `wall` passed and `ours` was our own CPU time.
    pub fn foreign_share(self, wall: Duration, ours: Duration) -> f64 {
        let now = Self::now();
        let capacity = wall.as_secs_f64() * processors() as f64;
        let foreign = (now.busy - self.busy).as_secs_f64() - ours.as_secs_f64();
        (foreign.max(0.0) + (now.stolen - self.stolen).as_secs_f64()) / capacity.max(1e-9)
    }
}

/// The number of processors this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a reader of the numbers wants to know about the machine.
pub fn describe() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processor = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
        .unwrap_or_default();
    serde_json::json!({
        "processor": processor,
        "processors": processors(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "tcp_congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_average": read("/proc/loadavg"),
    })
}
