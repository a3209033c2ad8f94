//! What a consumer has done so far, in numbers: kafka-go's `ReaderStats`.

use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::Shared;

/// Counts since the consumer was built, and what is so now. Unlike kafka-go's they are not reset by being looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Records that the program was given (`Messages`).
    pub records: u64,
    /// Bytes of record batches that were fetched, as they were sent (`Bytes`).
    pub bytes: u64,
    /// Requests for records that were answered (`Fetches`).
    pub fetches: u64,
    /// Requests for records, or parts of them, that failed (`Errors`).
    pub fetch_errors: u64,
    /// Assignments that the group gave, each of them perhaps empty (`Rebalances`).
    pub rebalances: u64,
    /// OffsetCommit requests that were answered, whatever the answer.
    pub commits: u64,
    /// Bytes that were fetched and that the program has not had (`QueueLength`, in bytes).
    pub buffered_bytes: usize,
    /// The most that this may be, `prefetch_bytes` (`QueueCapacity`, in bytes).
    pub buffer_capacity_bytes: usize,
    /// Partitions that the consumer has.
    pub partitions: usize,
    /// Offsets between the positions and the ends of the logs, as of the last fetch of each, all together (`Lag`). `None`
    /// while that is not known of every partition.
    pub lag: Option<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) fetches: AtomicU64,
    pub(crate) fetch_errors: AtomicU64,
    pub(crate) rebalances: AtomicU64,
    pub(crate) commits: AtomicU64,
}

/// Counts on.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Shared {
    pub(crate) fn stats(&self) -> ConsumerStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { records, bytes, fetches, fetch_errors, rebalances, commits } = &self.counters;
        let positions = self.positions();
        ConsumerStats {
            records: count(records),
            bytes: count(bytes),
            fetches: count(fetches),
            fetch_errors: count(fetch_errors),
            rebalances: count(rebalances),
            commits: count(commits),
            buffered_bytes: positions.buffered_bytes(),
            buffer_capacity_bytes: self.config.prefetch_bytes,
            partitions: positions.assigned().count(),
            lag: positions.assigned().map(|(_, _, slot)| positions.lag(slot)).sum(),
        }
    }
}
