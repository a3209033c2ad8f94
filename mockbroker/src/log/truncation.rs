//! What happens to a log whose end nobody else has: it is cut, and what was known of the records that go goes with them.
//!
//! Source: `UnifiedLog.truncateTo`, `ProducerStateManager.truncateAndReload`, `LeaderEpochFileCache.truncateFromEnd`.

use std::sync::Arc;

use super::partition::PartitionLog;
use super::segment::Segment;
use crate::cluster::TopicConfig;
use crate::time::Timestamp;

impl PartitionLog {
    /// Takes away every batch that reaches `end_offset` or beyond, and the high watermark back to what is left. Nothing
    /// happens if the log ends there.
    pub(crate) fn truncate_to(&mut self, end_offset: i64, config: &TopicConfig) {
        if end_offset >= self.log_end_offset {
            return;
        }
        let end_offset = self.batch_boundary(end_offset).max(self.log_start_offset);
        let is_in_active = end_offset >= self.active.base_offset();
        let kept: Vec<Segment> = self
            .segments()
            .take_while(|segment| segment.base_offset() <= end_offset)
            .map(|segment| segment.before(end_offset, config.index_interval_bytes))
            .collect();
        self.closed = kept.into_iter().map(Arc::new).collect();
        let last = self.closed.pop().and_then(Arc::into_inner);
        self.active = last.unwrap_or_else(|| Segment::new(end_offset, 0));
        self.log_end_offset = end_offset;
        self.high_watermark = self.high_watermark.min(end_offset);
        self.unreplicated.retain(|_, marker_offset| *marker_offset < end_offset);
        self.first_dirty_offset = self.first_dirty_offset.min(end_offset);
        self.leader_epochs.truncate_from_end(end_offset);
        if is_in_active {
            self.recover(Timestamp::default(), i64::MAX);
        } else {
            self.recover_all();
        }
    }

    /// The largest offset up to `offset` at which a batch begins, or the log ends: replicas fetch whole batches.
    pub(crate) fn batch_boundary(&self, offset: i64) -> i64 {
        if offset >= self.log_end_offset {
            return self.log_end_offset;
        }
        let found =
            self.locate(offset).map(|(segment, place)| self.segment(segment).entries()[place].batch.base_offset());
        found.map_or(offset, |base_offset| base_offset.min(offset))
    }
}
