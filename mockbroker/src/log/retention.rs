//! What leaves the log: by DeleteRecords, by size, by time. Whole segments go; compaction is not here.
//!
//! Source: `UnifiedLog.deleteOldSegments`, `UnifiedLog.deletableSegments`; KIP-107.

use super::partition::PartitionLog;
use super::segment::Segment;
use crate::cluster::TopicConfig;
use crate::time::Timestamp;

impl PartitionLog {
    /// Moves the log start to `before_offset`, which is at most the high watermark, and drops the segments below it.
    /// Kafka drops them at its next retention pass; no client sees the difference except in sizes.
    pub(crate) fn delete_records(&mut self, before_offset: i64) {
        debug_assert!(before_offset <= self.high_watermark, "DeleteRecords beyond the high watermark");
        self.move_log_start(before_offset.min(self.high_watermark));
        self.drop_segments_below_log_start();
    }

    /// One pass of retention at the time `now`: segments below the log start go, then, if `cleanup.policy` has `delete`,
    /// what exceeds `retention.bytes` and what is older than `retention.ms`. The active segment may go too. Whether the
    /// log start moved.
    pub(crate) fn retain(&mut self, config: &TopicConfig, now: Timestamp) -> bool {
        self.drop_segments_below_log_start();
        if !config.cleanup_delete {
            return false;
        }
        let by_size = self.retain_size(config.retention_bytes);
        let by_time = self.retain_time(config.retention_ms, now);
        by_size || by_time
    }

    fn drop_segments_below_log_start(&mut self) {
        let followers = self.segments().skip(1);
        let below = followers.take_while(|next| next.base_offset() <= self.log_start_offset).count();
        self.closed.drain(..below);
    }

    /// At least `retention_bytes` are kept.
    fn retain_size(&mut self, retention_bytes: i64) -> bool {
        let Ok(kept) = u64::try_from(retention_bytes) else {
            return false;
        };
        let mut excess = self.size_bytes().saturating_sub(kept);
        self.drop_oldest(|segment| match excess.checked_sub(segment.size_bytes()) {
            Some(left) => {
                excess = left;
                true
            }
            None => false,
        })
    }

    /// A segment whose newest record is too young, or in the future, keeps all after it.
    fn retain_time(&mut self, retention_ms: i64, now: Timestamp) -> bool {
        if retention_ms < 0 {
            return false;
        }
        self.drop_oldest(|segment| now.as_millis().saturating_sub(segment.largest_timestamp()) > retention_ms)
    }

    /// Drops segments from the oldest on while `is_due` and while they end at or below the high watermark. If none would
    /// be left, a new one begins at the end of the log.
    fn drop_oldest(&mut self, mut is_due: impl FnMut(&Segment) -> bool) -> bool {
        let mut due = 0;
        let count = self.segment_count();
        while due < count {
            let segment = self.segment(due);
            let is_active = due + 1 == count;
            let end = if is_active { self.log_end_offset } else { self.segment(due + 1).base_offset() };
            let is_last_and_empty = is_active && segment.size_bytes() == 0;
            if end > self.high_watermark || is_last_and_empty || !is_due(segment) {
                break;
            }
            due += 1;
        }
        if due == 0 {
            return false;
        }
        if due == count {
            self.roll();
        }
        self.closed.drain(..due);
        self.move_log_start(self.segment(0).base_offset())
    }
}
