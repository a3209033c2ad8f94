//! A stream for each partition, which ends when the partition goes to another member.

use std::{future::Future, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use super::{Consumer, ConsumerBatch, group::Group, positions::Slot, shared::Reading};
use crate::{error::Result, record::TopicPartition};

/// The records of one partition, for as long as the member has it; see [`Consumer::run_partitions`].
///
/// A rebalance that takes the partition away waits, for `max_poll_interval` at most, until the stream is dropped.
#[derive(Debug)]
pub struct PartitionStream {
    group: Arc<Group>,
    partition: TopicPartition,
    slot: Slot,
    assignment: u64,
    reading: Reading,
}

impl PartitionStream {
    /// Which partition it is.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The next batch, or `None` when the partition goes to another member or the consumer is closed. Asking tells that the
    /// program is done with the batch before.
    ///
    /// Dropping the future is safe.
    pub async fn next_batch(&mut self) -> Result<Option<ConsumerBatch>> {
        let shared = &self.group.shared;
        shared.positions().ask_stream(self.slot, self.assignment);
        loop {
            let mut arrived = std::pin::pin!(shared.arrived.notified());
            arrived.as_mut().enable();
            if shared.is_closed() || !shared.positions().is_streaming(self.slot, self.assignment) {
                // A member that left because of us may join again.
                self.group.wake();
                return Ok(None);
            }
            if let Some(taken) = shared.take_batch_of(&mut self.reading, Some(self.slot)) {
                shared.positions().work_stream(self.slot, self.assignment, Instant::now());
                return taken.map(Some);
            }
            arrived.await;
        }
    }
}

impl Drop for PartitionStream {
    fn drop(&mut self) {
        self.group.shared.positions().end_stream(self.slot, self.assignment);
        self.group.progress.notify_waiters();
        self.group.wake();
    }
}

impl Consumer {
    /// Calls a function with a [`PartitionStream`] for each partition that the member gets, and runs the futures that it
    /// returns side by side, until the consumer is closed and all of them have ended. A stream ends when its partition goes;
    /// what the function does after that, such as a last commit, still belongs to the member.
    ///
    /// A stream that is not asked for its next batch for `max_poll_interval` takes the member out of the group, as if the program
    /// had stopped to ask for records: all streams end, and the member joins again when that one is asked or dropped. It is
    /// noticed at the next heartbeat. The futures run on the task that awaits this one:
    /// to use more than one thread, let them spawn. Do not call [`Consumer::recv`] and its kin meanwhile.
    ///
    /// Dropping the future ends all of them where they are.
    pub async fn run_partitions<F, Fut>(&self, task: F) -> Result<()>
    where
        F: Fn(PartitionStream) -> Fut,
        Fut: Future<Output = ()>,
    {
        let group = &self.handle.group;
        let _streaming = group.stream();
        let mut running = FuturesUnordered::new();
        loop {
            let mut assigned = std::pin::pin!(group.assigned.notified());
            assigned.as_mut().enable();
            if group.shared.is_closed() {
                while running.next().await.is_some() {}
                return Ok(());
            }
            if let Some(error) = group.failed() {
                return Err(error);
            }
            for stream in begin(group) {
                running.push(task(stream));
            }
            tokio::select! {
                biased;
                () = assigned => {}
                Some(()) = running.next(), if !running.is_empty() => {}
            }
        }
    }
}

fn begin(group: &Arc<Group>) -> Vec<PartitionStream> {
    let mut positions = group.shared.positions();
    let begun = positions.begin_streams(Instant::now());
    let stream = |(slot, assignment)| {
        let partition = positions.partition(slot);
        PartitionStream {
            group: Arc::clone(group),
            partition: TopicPartition::new(Arc::clone(&partition.topic), partition.partition),
            slot,
            assignment,
            reading: Reading::default(),
        }
    };
    begun.into_iter().map(stream).collect()
}
