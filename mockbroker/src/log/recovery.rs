//! What a log knows besides its batches, rebuilt from them: its producers, their open transactions, what was aborted. That is
//! what a broker does when it starts, and all that is left of a log when whoever led it is gone.
//!
//! As in Kafka a snapshot of the producers is taken when a segment is rolled, and the batches after it are read again. So a
//! producer whose records retention has deleted is still known, and one that had expired may come back until it expires again.
//! What is lost is who has asked to join a transaction and not written yet.
//!
//! Source: `UnifiedLog.rebuildProducerState`, `ProducerStateManager.truncateAndReload`, `LogSegment.recover`.

use super::aborted::AbortedTransaction;
use super::batch::Batch;
use super::control::{Marker, marker_of};
use super::partition::PartitionLog;
use super::producer_state::Producers;
use super::segment::Segment;
use crate::time::Timestamp;

impl PartitionLog {
    /// Forgets what is known of producers, and takes it from the last snapshot and the batches after it.
    /// `producer_id_expiration_ms`: producers of the snapshot that wrote last so long ago stay forgotten.
    pub(crate) fn recover(&mut self, now: Timestamp, producer_id_expiration_ms: i64) {
        self.producers.restore(now, producer_id_expiration_ms);
        let aborted = replay(&mut self.producers, batches(&self.active));
        self.active.set_aborted(aborted);
    }

    /// The same of a log that was cut before its last snapshot: the snapshot is made anew.
    pub(super) fn recover_all(&mut self) {
        self.producers = Producers::default();
        for segment in &self.closed {
            replay(&mut self.producers, batches(segment));
        }
        self.producers.take_snapshot();
        self.recover(Timestamp::default(), i64::MAX);
    }
}

fn batches(segment: &Segment) -> impl Iterator<Item = &Batch> {
    segment.entries().iter().map(|entry| &entry.batch)
}

/// Lets the batches that follow what `producers` knows have their effect on it. The transactions that were aborted in them.
fn replay<'a>(producers: &mut Producers, batches: impl Iterator<Item = &'a Batch>) -> Vec<AbortedTransaction> {
    let mut aborted = Vec::new();
    for batch in batches.filter(|batch| batch.has_producer_id()) {
        if !batch.is_control() {
            producers.record(batch);
            continue;
        }
        // Other control records are not of producers; a marker was read when it was written.
        let Ok(Some(end)) = marker_of(batch) else { continue };
        let (producer_id, producer_epoch) = (batch.producer_id(), batch.producer_epoch());
        // How it was checked when it was written no longer matters.
        let marker = Marker { producer_id, producer_epoch, end, bumps_epoch: false };
        if let Some(first_offset) = producers.end(&marker, batch.max_timestamp())
            && !end.is_commit
        {
            let last_offset = batch.base_offset();
            let last_stable_offset = producers.first_unstable_offset().unwrap_or(last_offset + 1);
            aborted.push(AbortedTransaction { producer_id, first_offset, last_offset, last_stable_offset });
        }
    }
    aborted
}
