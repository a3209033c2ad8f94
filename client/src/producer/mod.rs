//! Sending records.
//!
//! `send` encodes a record into the open batch of its partition, on the task of the caller: that is where the order is
//! fixed. [`batcher`] holds the queues and knows no clock, [`lane`] the queue of one partition, [`sequence`] its sequences;
//! [`sender`] is the one task of a producer, which drains them.
//!
//! [`transactional`] is the producer of transactions: the same queues and the same task, opened for one transaction at a time.
//! [`txn`] is its state, pure; [`coordinator`] what it says to coordinators.

mod ahead;
mod answer;
pub(crate) mod batcher;
mod builder;
mod coordinator;
mod delivery;
mod lane;
pub(crate) mod partitioner;
mod sender;
mod sequence;
mod sticky;
mod transactional;
mod txn;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError},
    task::consume_budget,
    time::{Instant, timeout_at},
};

use self::{
    batcher::Batcher,
    coordinator::Conversation,
    delivery::{Completion, Settled},
};
pub use self::{
    builder::ProducerBuilder,
    delivery::Delivery,
    partitioner::{Murmur2, Partitioner},
    transactional::{Transaction, TransactionSender, TransactionalBuilder, TransactionalProducer},
    txn::Outcome,
};
use crate::{
    batch::{HEADER_BYTES, builder::RecordParts},
    cluster::Cluster,
    config::ProducerConfig,
    error::{Error, Result},
    record::{Record, RecordMetadata, Timestamp},
};

/// Sends records. Clones share one producer; each may send from its own task.
///
/// When the last clone is dropped, what was sent so far is still delivered in the background, as long as the runtime lives.
/// [`Producer::close`] waits for that and says what became of it.
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// What the clones share. Its drop is the end of the producer.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    cluster: Cluster,
    partitioner: Box<dyn Partitioner>,
    interceptors: Vec<Interceptor>,
}

/// See [`ProducerBuilder::on_send`].
struct Interceptor(Box<dyn Fn(&mut Record) + Send + Sync>);

impl std::fmt::Debug for Interceptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Interceptor")
    }
}

/// What the clones and the sender share.
#[derive(Debug)]
pub(crate) struct Shared {
    config: ProducerConfig,
    queues: Mutex<Queues>,
    /// Bytes that may still be buffered. Closed with the producer, so that nobody waits for room in vain.
    memory: Arc<Semaphore>,
    /// Tells the sender that `queues` changed.
    changed: Notify,
    /// Of a transactional producer.
    conversation: Option<Arc<Conversation>>,
}

#[derive(Debug)]
struct Queues {
    batcher: Batcher,
    /// No record is taken any more.
    closed: bool,
    /// The sender shall end now and fail what is left.
    abandoned: bool,
    /// The transaction that records are taken for.
    transaction: Option<u64>,
    /// It is being aborted: what fails is not sent again.
    aborting: bool,
}

impl Queues {
    fn new(batcher: Batcher) -> Self {
        Self { batcher, closed: false, abandoned: false, transaction: None, aborting: false }
    }
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more records and lets the sender finish.
    fn close(&self) -> Vec<Arc<Completion>> {
        self.memory.close();
        let mut queues = self.queues();
        queues.closed = true;
        let unsettled = queues.batcher.flush();
        drop(queues);
        self.changed.notify_one();
        unsettled
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

const CLOSED: Error = Error::Closed { what: "producer" };

impl Producer {
    /// Hands over a record and returns once the producer has it: then its place in the order of its partition is fixed.
    /// Waits, for `max_block` at most, until the topic is known and there is room in `buffer_memory`.
    ///
    /// The returned [`Delivery`] resolves when the record is acknowledged. Errors here mean that the record was not taken.
    ///
    /// Dropping the future is safe: the record was not taken.
    pub async fn send(&self, record: Record) -> Result<Delivery> {
        self.send_in(record, None).await
    }

    /// [`Producer::send`] within a transaction.
    async fn send_in(&self, mut record: Record, transaction: Option<u64>) -> Result<Delivery> {
        let handle = &*self.handle;
        handle.intercept(&mut record);
        let (parts, size) = handle.measure(&record)?;
        // A program that sends without end lets the sender run, on a runtime with one thread as well.
        consume_budget().await;
        // Clocks are read, and timers made, by those alone who have to wait.
        let mut deadline = None;
        let limit = handle.shared.config.max_block;
        loop {
            let permits = u32::try_from(size).unwrap_or(u32::MAX);
            let room = match handle.shared.memory.try_acquire_many(permits) {
                Ok(room) => room,
                Err(TryAcquireError::Closed) => return Err(CLOSED),
                Err(TryAcquireError::NoPermits) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
                    handle.wait_for_room(permits, deadline).await?
                }
            };
            if let Some(delivery) = handle.push(&record, parts, size, transaction)? {
                // From here on the batch owes the memory.
                room.forget();
                return Ok(delivery);
            }
            drop(room);
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
            let left = deadline.saturating_duration_since(Instant::now());
            handle.cluster.topic(&record.topic, true, left).await?;
        }
    }

    /// [`Producer::send`] for callers that cannot wait: refuses, and gives the record back, when the topic is not known yet
    /// or there is no room.
    pub fn try_send(&self, mut record: Record) -> Result<Delivery, TrySendError> {
        let handle = &*self.handle;
        let refuse = |record, reason| Err(TrySendError { record: Box::new(record), reason });
        if handle.cluster.metadata().topic(&record.topic).is_none() {
            return refuse(record, Refused::TopicNotKnown);
        }
        handle.intercept(&mut record);
        let (parts, size) = match handle.measure(&record) {
            Ok(measured) => measured,
            Err(error) => return refuse(record, Refused::Error(error)),
        };
        let permits = u32::try_from(size).unwrap_or(u32::MAX);
        let room = match handle.shared.memory.try_acquire_many(permits) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => {
                handle.cluster.recorder().producers.exhausted.add(1);
                return refuse(record, Refused::Full);
            }
            Err(TryAcquireError::Closed) => return refuse(record, Refused::Error(CLOSED)),
        };
        match handle.push(&record, parts, size, None) {
            Ok(Some(delivery)) => {
                room.forget();
                Ok(delivery)
            }
            Ok(None) => {
                drop(room);
                refuse(record, Refused::TopicNotKnown)
            }
            Err(error) => {
                drop(room);
                refuse(record, Refused::Error(error))
            }
        }
    }

    /// Sends records in order and waits for all of them. One result for each, in the same order.
    ///
    /// Dropping the future leaves an unknown number of the records sent.
    pub async fn send_all(&self, records: impl IntoIterator<Item = Record>) -> Vec<Result<RecordMetadata>> {
        let mut deliveries = Vec::new();
        for record in records {
            deliveries.push(self.send(record).await);
        }
        self.wake_lingering();
        let mut results = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            results.push(match delivery {
                Ok(delivery) => delivery.await,
                Err(error) => Err(error),
            });
        }
        results
    }

    /// Sends what lingers and waits until every record that was taken before this call is settled. Records of later sends
    /// do not prolong it. What became of a record, its [`Delivery`] says.
    ///
    /// Dropping the future is safe: what was flushed is on its way.
    pub async fn flush(&self) -> Result<()> {
        let unsettled = self.wake_lingering();
        for completion in unsettled {
            Settled::new(completion).await;
        }
        Ok(())
    }

    fn wake_lingering(&self) -> Vec<Arc<Completion>> {
        let shared = &self.handle.shared;
        let unsettled = shared.queues().batcher.flush();
        shared.changed.notify_one();
        unsettled
    }

    /// Takes no more records, from any clone, and waits until what was taken is settled or the time is up; then what is left
    /// fails. Reports what became of the records that were open at the call.
    ///
    /// Dropping the future leaves the producer closed, and what was taken on its way.
    pub async fn close(&self, limit: Duration) -> Result<CloseReport> {
        let shared = &self.handle.shared;
        let deadline = Instant::now() + limit;
        let unsettled = shared.close();
        let mut in_time = true;
        for completion in &unsettled {
            let settled = Settled::new(Arc::clone(completion));
            if in_time && timeout_at(deadline, settled).await.is_err() {
                in_time = false;
                shared.queues().abandoned = true;
                shared.changed.notify_one();
            }
            if !in_time {
                // The sender settles the rest as soon as it runs.
                Settled::new(Arc::clone(completion)).await;
            }
        }
        let mut report = CloseReport::default();
        for (delivered, not_written, maybe_written) in unsettled.iter().filter_map(|completion| completion.counts()) {
            report.delivered += delivered;
            report.not_written += not_written;
            report.maybe_written += maybe_written;
        }
        Ok(report)
    }
}

impl Handle {
    fn intercept(&self, record: &mut Record) {
        self.interceptors.iter().for_each(|interceptor| interceptor.0(record));
    }

    async fn wait_for_room(&self, permits: u32, deadline: Instant) -> Result<SemaphorePermit<'_>> {
        let room = timeout_at(deadline, self.shared.memory.acquire_many(permits)).await;
        let room = room.map_err(|_| {
            self.cluster.recorder().producers.exhausted.add(1);
            Error::Timeout { what: "waiting for room in buffer_memory", limit: self.shared.config.max_block }
        })?;
        room.map_err(|_| CLOSED)
    }

    /// The parts of a record as they will be written, and the most that they take.
    fn measure<'a>(&self, record: &'a Record) -> Result<(RecordParts<'a>, usize)> {
        let parts = RecordParts {
            timestamp: record.timestamp.unwrap_or_else(Timestamp::now).as_millis(),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let size = parts.upper_bound();
        let limit_bytes = self.shared.config.max_request_size.min(self.shared.config.buffer_memory);
        if HEADER_BYTES + size > limit_bytes {
            return Err(Error::RecordTooLarge { size_bytes: HEADER_BYTES + size, limit_bytes });
        }
        Ok((parts, size))
    }

    /// Chooses the partition and appends: the order of the appends is the order of the log. `None` when nothing is known of
    /// the topic.
    fn push(
        &self,
        record: &Record,
        parts: RecordParts<'_>,
        size: usize,
        transaction: Option<u64>,
    ) -> Result<Option<Delivery>> {
        let mut queues = self.shared.queues();
        let metadata = self.cluster.metadata();
        let known = queues.batcher.topic(&record.topic, metadata.edition(), || metadata.topic(&record.topic));
        let Some((topic, count)) = known else { return Ok(None) };
        let chosen = match record.partition {
            Some(partition) => Some(usize::try_from(partition).unwrap_or(usize::MAX)),
            None => {
                // It may be the program's own, which must not run under our lock.
                drop(queues);
                let chosen = self.partitioner.partition(record, count);
                queues = self.shared.queues();
                chosen
            }
        };
        if queues.closed {
            return Err(CLOSED);
        }
        // A record that comes when its transaction is being ended must not become part of the next one.
        if queues.transaction != transaction {
            return Err(Error::TransactionEnded);
        }
        let partition = chosen.unwrap_or_else(|| queues.batcher.sticky_partition(topic, size, Instant::now));
        if partition >= count {
            let partition = i32::try_from(partition).unwrap_or(record.partition.unwrap_or(i32::MAX));
            return Err(Error::UnknownPartition {
                topic: Arc::clone(&record.topic),
                partition,
                partition_count: count,
            });
        }
        let (delivery, wake) = queues.batcher.push(topic, partition, parts, size, Instant::now);
        drop(queues);
        if wake {
            self.shared.changed.notify_one();
        }
        Ok(Some(delivery))
    }
}

/// A record that [`Producer::try_send`] did not take.
#[derive(Debug, thiserror::Error)]
#[error("the record was not taken: {reason}")]
pub struct TrySendError {
    /// The record.
    pub record: Box<Record>,
    /// Why it was not taken.
    pub reason: Refused,
}

/// Why [`Producer::try_send`] did not take a record.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// `buffer_memory` is used up. Await a delivery, or use [`Producer::send`].
    #[error("buffer_memory is used up")]
    Full,
    /// Nothing is known of the topic. [`Producer::send`] looks it up.
    #[error("nothing is known of the topic yet")]
    TopicNotKnown,
    /// The record would be refused at any time.
    #[error(transparent)]
    Error(Error),
}

/// What became of the records that a producer still had when it was closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport {
    /// Acknowledged.
    pub delivered: u64,
    /// Not in the log.
    pub not_written: u64,
    /// In the log or not: the answer did not come.
    pub maybe_written: u64,
}
