//! The aborted transactions of a log, which a `read_committed` consumer is told of so that it can leave their records out.
//!
//! Source: `TransactionIndex`, `UnifiedLog.collectAbortedTransactions`; KIP-98.

use super::partition::PartitionLog;

/// One aborted transaction of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    pub(crate) producer_id: i64,
    /// Of its first record.
    pub(crate) first_offset: i64,
    /// Of its marker.
    pub(crate) last_offset: i64,
    /// The last stable offset once it had ended: no transaction that ends later begins before it.
    pub(crate) last_stable_offset: i64,
}

impl PartitionLog {
    /// The aborted transactions that have records from `fetch_offset` on and before `upper_bound`, in the order in which
    /// they were aborted.
    pub(crate) fn aborted_transactions(&self, fetch_offset: i64, upper_bound: i64) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        for place in self.segment_of(fetch_offset)..self.segment_count() {
            for aborted in self.segment(place).aborted() {
                if aborted.last_offset >= fetch_offset && aborted.first_offset < upper_bound {
                    found.push(*aborted);
                }
                if aborted.last_stable_offset >= upper_bound {
                    return found;
                }
            }
        }
        found
    }
}
