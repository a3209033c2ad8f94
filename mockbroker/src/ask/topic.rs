//! A topic and its partitions as a test asks for them.

use std::sync::Arc;
use std::time::Duration;

use super::Asker;
use crate::engine::Engine;
use crate::inspect::{self, LogRecord, PartitionState};
use crate::types::TopicId;

/// A topic of the broker, whether it exists or not. Made by [`MockBroker::topic`](crate::MockBroker::topic).
#[derive(Clone, Debug)]
pub struct Topic {
    asker: Asker,
    name: String,
}

/// A partition of the broker, whether it exists or not. Made by [`Topic::partition`].
#[derive(Clone, Debug)]
pub struct Partition {
    pub(super) asker: Asker,
    pub(super) topic: String,
    pub(super) number: i32,
}

impl Topic {
    pub(crate) fn new(engine: Arc<Engine>, name: String) -> Self {
        Self { asker: Asker::new(engine), name }
    }

    /// How long waiters wait, in real time, instead of what the broker was built with.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.asker.patience = Some(patience);
        self
    }

    /// The partition of this number.
    pub fn partition(&self, number: i32) -> Partition {
        Partition { asker: self.asker.clone(), topic: self.name.clone(), number }
    }

    /// Its id; `None` if there is no such topic.
    pub fn id(&self) -> Option<TopicId> {
        self.asker.now(|state| state.cluster.topics().id(&self.name))
    }

    /// How many partitions it has; 0 if there is no such topic.
    pub fn partition_count(&self) -> usize {
        self.asker.now(|state| state.cluster.topics().by_name(&self.name).map_or(0, |topic| topic.partitions().len()))
    }

    /// The records of all its partitions, of one after the other. See [`Partition::records`].
    pub fn records(&self) -> Vec<LogRecord> {
        let count = i32::try_from(self.partition_count()).unwrap_or(i32::MAX);
        (0..count).flat_map(|number| self.partition(number).records()).collect()
    }

    /// Waits until it exists. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience: with the broker's report.
    pub async fn wait_created(&self) -> TopicId {
        let what = format!("topic {:?} created", self.name);
        self.asker.until(&what, |state| state.cluster.topics().id(&self.name)).await
    }

    /// Waits until it does not exist. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_deleted(&self) {
        let what = format!("topic {:?} deleted", self.name);
        self.asker.until(&what, |state| state.cluster.topics().id(&self.name).is_none().then_some(())).await;
    }
}

impl Partition {
    /// What it is now; `None` if there is no such partition.
    pub fn state(&self) -> Option<PartitionState> {
        self.asker.now(|state| inspect::partition(state, &self.topic, self.number))
    }

    /// The offset that the next record will have; 0 if there is no such partition.
    pub fn log_end_offset(&self) -> i64 {
        self.state().map_or(0, |state| state.log_end_offset)
    }

    /// What its log holds, decoded: the records of every transaction, open, committed and aborted, and the markers that ended
    /// them. Records of batches that do not decode are left out.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let broker = mockbroker::MockBroker::builder().topic("orders", 1).start().await;
    /// for record in broker.topic("orders").partition(0).records() {
    ///     println!("{} {:?} {:?}", record.offset, record.key_str(), record.batch.producer_id);
    /// }
    /// # }
    /// ```
    pub fn records(&self) -> Vec<LogRecord> {
        // The batches are shared under the lock, and decoded without it.
        let batches = self.asker.now(|state| {
            let log = inspect::log(state, &self.topic, self.number);
            log.map(|log| log.batches().cloned().collect::<Vec<_>>()).unwrap_or_default()
        });
        inspect::records(&batches)
    }

    /// Waits until the partition is as `is_so` says. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience: with `what` and the broker's report.
    pub async fn wait_for(&self, what: &str, is_so: impl Fn(&PartitionState) -> bool) -> PartitionState {
        let what = format!("{}-{}: {what}", self.topic, self.number);
        let look = |state: &crate::state::State| inspect::partition(state, &self.topic, self.number);
        self.asker.until(&what, |state| look(state).filter(|it| is_so(it))).await
    }

    /// Waits until its log ends at `offset` or later. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_log_end(&self, offset: i64) -> PartitionState {
        self.wait_for(&format!("log end at {offset} or later"), |it| it.log_end_offset >= offset).await
    }

    /// Waits until consumers can read up to `offset` or further. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience.
    pub async fn wait_high_watermark(&self, offset: i64) -> PartitionState {
        self.wait_for(&format!("high watermark at {offset} or later"), |it| it.high_watermark >= offset).await
    }
}
