//! Target `sim`: client and broker in one process, in memory, on tokio's paused clock. Time is virtual and jumps, so that a day
//! of it takes milliseconds, and the same seed does the same, byte for byte.
//!
//! - `assignment`: partitions that come back while their offsets are looked up.
//! - `determinism`: each seed twice, with nodes that crash and connections that break.
//! - `history`: random accidents to workers and cluster, judged by the logs (`history_world`, `history_accidents`).
//! - `leisure`: brokers that take nothing, topics that nobody uses.
//! - `time`: what takes long takes no time.
//! - `isolation`: a leader that is cut off, and transactions.
//! - `unhelpful`: the same with the legal adversary, for producers, groups and transactions.
//! - `line`: what passes between client and broker, recorded. `numbers`: what is written and read, and judged.

mod assignment;
mod determinism;
mod history;
mod history_accidents;
mod history_world;
mod isolation;
mod leisure;
mod line;
mod numbers;
mod time;
mod unhelpful;

use std::future::Future;

/// Runs a test on a runtime of its own, whose clock is paused, with everything random drawn from `seed`.
fn simulate<T>(seed: u64, test: impl Future<Output = T>) -> T {
    // The client's random numbers are those of the thread.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(test)
}

/// A number from the environment.
fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
