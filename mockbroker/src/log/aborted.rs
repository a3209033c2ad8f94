//! How transactions end in a log, and those of them that were aborted: a `read_committed` consumer is told of them so that it
//! can leave their records out.
//!
//! Source: `TransactionIndex`, `UnifiedLog.collectAbortedTransactions`; KIP-98.

use kafka_protocol::error::ResponseError;

use super::control::Marker;
use super::partition::PartitionLog;
use crate::cluster::{TimestampType, TopicConfig};
use crate::time::Timestamp;

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
    /// Writes the marker that ends a transaction of one producer. Returns its offset.
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED: an older coordinator, or one that does not know how the
    /// producer has gone on.
    pub(crate) fn append_marker(
        &mut self,
        marker: &Marker,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<i64, ResponseError> {
        self.producers.check_marker(marker)?;
        let mut batch = marker.batch(now);
        if config.message_timestamp_type == TimestampType::LogAppendTime {
            batch = batch.stamped(TimestampType::LogAppendTime, now.as_millis());
        }
        let batch = batch.placed(self.log_end_offset, self.leader_epoch());
        self.roll_if_due(&batch, config, now);
        let marker_offset = batch.base_offset();
        self.push(batch, config, now);
        let Some(first_offset) = self.producers.end(marker, now.as_millis()) else { return Ok(marker_offset) };
        self.unreplicated.insert(first_offset, marker_offset);
        self.forget_replicated();
        if !marker.end.is_commit {
            let aborted = AbortedTransaction {
                producer_id: marker.producer_id,
                first_offset,
                last_offset: marker_offset,
                last_stable_offset: self.producers.first_unstable_offset().unwrap_or(marker_offset + 1),
            };
            self.active.push_aborted(aborted);
        }
        Ok(marker_offset)
    }

    /// What a `read_committed` fetch that got `size_bytes` from `fetch_offset` on is told of aborted transactions. The
    /// range that Kafka looks at ends with the entry of its sparse index after what was read, so it may name transactions
    /// of which nothing was read (`LocalLog.addAbortedTransactions`).
    pub(crate) fn aborted_in_read(&self, fetch_offset: i64, size_bytes: usize) -> Vec<AbortedTransaction> {
        let Some((place, entry)) = self.locate(fetch_offset) else { return Vec::new() };
        let segment = self.segment(place);
        let end = segment.position(entry) + size_bytes as u64;
        let upper_bound = segment.index_entry_from(end).unwrap_or_else(|| match place + 1 < self.segment_count() {
            true => self.segment(place + 1).base_offset(),
            false => self.log_end_offset,
        });
        self.aborted_transactions(fetch_offset, upper_bound)
    }

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
