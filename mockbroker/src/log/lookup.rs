//! ListOffsets: by timestamp, earliest, largest timestamp.
//!
//! Source: `UnifiedLog.fetchOffsetByTimestamp`, `LogSegment.findOffsetByTimestamp`, `FileRecords.searchForTimestamp`;
//! KIP-79, KIP-734; oddities checked on a real 4.3.1. A batch whose records cannot be decoded ends a search without a
//! result; Kafka answers INVALID_RECORD.

use super::batch::Batch;
use super::partition::PartitionLog;
use super::records::Malformed;

/// What ListOffsets answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    /// -1 where the question was for an end of the log.
    pub(crate) timestamp: i64,
    /// Of the batch, or of that end of the log; -1 if unknown.
    pub(crate) leader_epoch: i32,
}

impl PartitionLog {
    /// Where the log starts (timestamp -2).
    pub(crate) fn earliest(&self) -> Found {
        let leader_epoch = self.leader_epochs.earliest(self.log_start_offset);
        Found { offset: self.log_start_offset, timestamp: -1, leader_epoch }
    }

    /// The first record at `timestamp` or later. Only the first segment that has such a timestamp is searched, from the
    /// log start on; a record at `bound` or after it does not count.
    pub(crate) fn offset_for_timestamp(&self, timestamp: i64, bound: i64) -> Option<Found> {
        let segment = self.segments().find(|segment| segment.largest_timestamp() >= timestamp)?;
        let start = segment.find(self.log_start_offset);
        for batch in segment.batches_reaching(timestamp, start) {
            let found = first_record(batch, |offset, at| at >= timestamp && offset >= self.log_start_offset).ok()?;
            if let Some(found) = found {
                return Some(found).filter(|found| found.offset < bound);
            }
        }
        None
    }

    /// The first record of those with the largest timestamp (timestamp -3). Kafka does not compare it with the log
    /// start: a deleted record is found as long as its segment is there. Nor does it mind that -1 is no time.
    pub(crate) fn max_timestamp(&self, bound: i64) -> Option<Found> {
        // From the back, because of equals the first counts and `max_by_key` takes the last it meets.
        let latest = self.segments().rev().max_by_key(|segment| segment.max_timestamp())?;
        let batch = latest.batch_with_max_timestamp()?;
        let max_timestamp = batch.max_timestamp();
        let found = first_record(batch, |_, timestamp| timestamp == max_timestamp).ok()??;
        Some(found).filter(|found| found.offset < bound)
    }
}

fn first_record(batch: &Batch, mut wanted: impl FnMut(i64, i64) -> bool) -> Result<Option<Found>, Malformed> {
    for record in &batch.records()? {
        let record = record?;
        if wanted(record.offset, record.timestamp) {
            let leader_epoch = batch.partition_leader_epoch();
            return Ok(Some(Found { offset: record.offset, timestamp: record.timestamp, leader_epoch }));
        }
    }
    Ok(None)
}
