//! Batches that a test puts into a log, past the rules that a producer is held to: at any offset that is not taken, with any
//! timestamps, with a CRC that is wrong.

use bytes::BytesMut;

use super::batch::Batch;
use super::partition::PartitionLog;
use crate::cluster::TopicConfig;
use crate::time::Timestamp;

impl PartitionLog {
    /// Appends `batch` at `base_offset`, or at the end of the log. Offsets that are passed over are a hole, as compaction
    /// leaves it. Returns its base offset.
    ///
    /// # Errors
    ///
    /// In a sentence, if the offset is taken.
    pub(crate) fn seed(
        &mut self,
        batch: Batch,
        base_offset: Option<i64>,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<i64, String> {
        let base_offset = base_offset.unwrap_or(self.log_end_offset);
        if base_offset < self.log_end_offset {
            return Err(format!("offset {base_offset} is taken: the log ends at {}", self.log_end_offset));
        }
        let batch = batch.placed(base_offset, self.leader_epoch());
        self.roll_if_due(&batch, config, now);
        if batch.has_producer_id() {
            self.producers.record(&batch);
        }
        self.push(batch, config, now);
        Ok(base_offset)
    }
}

impl Batch {
    /// The same batch with a last byte that its CRC does not know of.
    pub(crate) fn corrupted(&self) -> Self {
        let mut rest = BytesMut::from(&self.rest()[..]);
        if let Some(last) = rest.last_mut() {
            *last ^= 0x55;
        }
        self.with_rest(rest.freeze())
    }
}
