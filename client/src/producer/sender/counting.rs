//! What the sender counts and tells: once for a batch, never for a record.

use std::sync::Arc;

use super::Sender;
use crate::{
    error::{Error, Written},
    metrics::Event,
    producer::{batcher::Batch, delivery::Acknowledged},
};

impl Sender {
    pub(super) fn count_written(&self, batch: &Batch, acknowledged: Acknowledged) {
        let recorder = self.cluster.recorder();
        recorder.producers.batches.add(1);
        recorder.producers.records.add(u64::from(batch.record_count));
        recorder.producers.bytes.add(batch.size() as u64);
        recorder.tell(|| {
            let (topic, partition) = place(batch);
            let base_offset = acknowledged.base_offset;
            Event::BatchDelivered { topic, partition, record_count: batch.record_count, base_offset }
        });
    }

    pub(super) fn count_retried(&self, batch: &Batch, error: &Error) {
        let recorder = self.cluster.recorder();
        recorder.producers.retries.add(u64::from(batch.record_count));
        recorder.tell(|| {
            let (topic, partition) = place(batch);
            let (record_count, failures, error) = (batch.record_count, batch.failures, error.clone());
            Event::BatchRetried { topic, partition, record_count, failures, error }
        });
    }

    pub(super) fn count_split(&self, batch: &Batch) {
        let recorder = self.cluster.recorder();
        recorder.producers.splits.add(1);
        recorder.tell(|| {
            let (topic, partition) = place(batch);
            Event::BatchSplit { topic, partition, record_count: batch.record_count }
        });
    }

    pub(super) fn count_failed(&self, batch: &Batch, error: &Error) {
        let recorder = self.cluster.recorder();
        recorder.producers.errors.add(u64::from(batch.record_count));
        recorder.tell(|| {
            let (topic, partition) = place(batch);
            let written = if batch.maybe_written { Written::MaybeWritten } else { Written::NotWritten };
            let error = batch.last_error.clone().unwrap_or_else(|| error.clone());
            Event::BatchFailed { topic, partition, record_count: batch.record_count, written, error }
        });
    }
}

fn place(batch: &Batch) -> (Arc<str>, i32) {
    let completion = batch.ticket.completion();
    (Arc::clone(completion.topic()), completion.partition())
}
