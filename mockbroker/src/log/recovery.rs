//! What a log knows besides its batches, rebuilt from them: its producers, their open transactions, what was aborted. That is
//! what a broker does when it starts, and all that is left of a log when whoever led it is gone.
//!
//! As in Kafka a snapshot of the producers is taken when a segment is rolled, and the batches after it are read again. So a
//! producer whose records retention has deleted is still known, and one that had expired may come back until it expires again.
//! What is lost is who has asked to join a transaction and not written yet.
//!
//! Source: `UnifiedLog.rebuildProducerState`, `ProducerStateManager.truncateAndReload`, `LogSegment.recover`.

use super::aborted::AbortedTransaction;
use super::control::{Marker, marker_of};
use super::partition::PartitionLog;
use crate::time::Timestamp;

impl PartitionLog {
    /// Forgets what is known of producers, and takes it from the last snapshot and the batches after it.
    /// `producer_id_expiration_ms`: producers of the snapshot that wrote last so long ago stay forgotten.
    pub(crate) fn recover(&mut self, now: Timestamp, producer_id_expiration_ms: i64) {
        self.producers.restore(now, producer_id_expiration_ms);
        let mut aborted = Vec::new();
        for entry in self.active.entries() {
            let batch = &entry.batch;
            if !batch.has_producer_id() {
                continue;
            }
            if !batch.is_control() {
                self.producers.record(batch);
                continue;
            }
            // Other control records are not of producers; a marker was read when it was written.
            let Ok(Some(end)) = marker_of(batch) else { continue };
            let (producer_id, producer_epoch) = (batch.producer_id(), batch.producer_epoch());
            let marker = Marker { producer_id, producer_epoch, end, bumps_epoch: false };
            aborted.extend(self.producers.end(&marker, batch.max_timestamp()).filter(|_| !end.is_commit).map(
                |first_offset| AbortedTransaction {
                    producer_id,
                    first_offset,
                    last_offset: batch.base_offset(),
                    last_stable_offset: self.producers.first_unstable_offset().unwrap_or(batch.base_offset() + 1),
                },
            ));
        }
        self.active.set_aborted(aborted);
    }
}
