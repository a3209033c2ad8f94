//! A consumer of partitions that the program names.

use std::sync::Arc;

use super::{ConsumerBatch, ConsumerRecord, ConsumerStats, Offset, shared::Shared};
use crate::error::Result;

/// Receives the records of partitions that the program chose. Clones share one consumer and its positions: a record goes to
/// one of them.
///
/// When the last clone is dropped, fetching ends. Nothing is committed anywhere.
#[derive(Clone, Debug)]
pub struct AssignedConsumer {
    pub(super) handle: Arc<Handle>,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl AssignedConsumer {
    /// The next batch of some partition, or `None` after [`AssignedConsumer::close`]. Batches of a partition come in order.
    ///
    /// The position moves to the end of the batch when it is returned. An error about one partition does not stop the
    /// others' data. [`Error::CorruptBatch`](crate::Error::CorruptBatch) comes again and again, among the others' data,
    /// until the partition is sought.
    ///
    /// Dropping the future is safe: nothing is lost and no position moves.
    pub async fn next_batch(&self) -> Result<Option<ConsumerBatch>> {
        self.handle.shared.wait(Shared::take_batch).await
    }

    /// The next record of some partition, or `None` after [`AssignedConsumer::close`]. Records of a partition come in order.
    /// [`AssignedConsumer::next_batch`] costs less per record.
    ///
    /// The position moves to the offset after the record when it is returned. Dropping the future is safe.
    pub async fn recv(&self) -> Result<Option<ConsumerRecord>> {
        self.handle.shared.wait(Shared::take_record).await
    }

    /// The next offset that the program gets. `None` while it is being looked up.
    pub fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        self.handle.shared.position(topic, partition)
    }

    /// What the consumer has done so far, in numbers.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        self.handle.shared.stats()
    }

    /// Moves a partition. What was fetched of it before is dropped.
    pub fn seek(&self, topic: &str, partition: i32, offset: Offset) -> Result<()> {
        self.handle.shared.change(topic, partition, |positions, slot| positions.seek(slot, offset))
    }

    /// Stops giving out and fetching a partition, and keeps its position.
    pub fn pause(&self, topic: &str, partition: i32) -> Result<()> {
        self.handle.shared.change(topic, partition, |positions, slot| positions.pause(slot, true))
    }

    /// Ends [`AssignedConsumer::pause`].
    pub fn resume(&self, topic: &str, partition: i32) -> Result<()> {
        self.handle.shared.change(topic, partition, |positions, slot| positions.pause(slot, false))
    }

    /// Ends the consumer for all clones: waiting calls return `None`, fetching stops.
    pub fn close(&self) {
        self.handle.shared.close();
    }
}
