//! What became of a record: one completion for each batch, shared by the deliveries of its records.
//!
//! A [`Ticket`] belongs to whoever holds the batch and settles it exactly once; if it is dropped unsettled, that is an
//! outcome too. [`Delivery`] is what `send` returns.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::sync::Semaphore;

use crate::{
    error::{Error, Result, Written},
    record::{RecordMetadata, Timestamp},
};

/// The outcome of a batch, and who waits for it.
#[derive(Debug)]
pub(crate) struct Completion {
    topic: Arc<str>,
    partition: i32,
    outcome: OnceLock<Outcome>,
    waiting: Mutex<Wakers>,
}

/// What became of a batch.
#[derive(Debug)]
struct Outcome {
    record_count: u32,
    result: Result<Acknowledged>,
}

/// What the broker said about a batch that it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// `None` with acks=0.
    pub(crate) base_offset: Option<i64>,
    /// The broker's time, for a topic with LogAppendTime.
    pub(crate) log_append_time: Option<i64>,
}

#[derive(Debug, Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Completion {
    /// Records that were delivered, surely not written, and maybe written. `None` while that is open.
    pub(crate) fn counts(&self) -> Option<(u64, u64, u64)> {
        let outcome = self.outcome.get()?;
        let records = u64::from(outcome.record_count);
        Some(match &outcome.result {
            Ok(_) => (records, 0, 0),
            Err(error) if error.written() == Some(Written::NotWritten) => (0, records, 0),
            Err(_) => (0, 0, records),
        })
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right, and the duty, to settle a batch. It also holds the memory that the batch's records reserved.
#[derive(Debug)]
pub(crate) struct Ticket {
    completion: Arc<Completion>,
    memory: Arc<Semaphore>,
    reserved_bytes: usize,
    record_count: u32,
}

impl Ticket {
    pub(crate) fn new(topic: Arc<str>, partition: i32, memory: Arc<Semaphore>) -> Self {
        let completion = Completion { topic, partition, outcome: OnceLock::new(), waiting: Mutex::default() };
        Self { completion: Arc::new(completion), memory, reserved_bytes: 0, record_count: 0 }
    }

    pub(crate) fn completion(&self) -> &Arc<Completion> {
        &self.completion
    }

    /// Adds a record, whose memory was reserved, and gives out its delivery.
    pub(crate) fn add(&mut self, index: u32, timestamp: i64, reserved_bytes: usize) -> Delivery {
        self.record_count += 1;
        self.reserved_bytes += reserved_bytes;
        let waiting = Settled { completion: Arc::clone(&self.completion), slot: None };
        Delivery { waiting, index, timestamp }
    }

    pub(crate) fn acknowledge(mut self, acknowledged: Acknowledged) {
        self.settle(Ok(acknowledged));
    }

    pub(crate) fn fail(mut self, written: Written, cause: Error) {
        self.settle(Err(self.error(written, cause)));
    }

    fn error(&self, written: Written, cause: Error) -> Error {
        let Completion { topic, partition, .. } = &*self.completion;
        Error::Delivery { topic: Arc::clone(topic), partition: *partition, written, cause: Arc::new(cause) }
    }

    fn settle(&mut self, result: Result<Acknowledged>) {
        let outcome = Outcome { record_count: self.record_count, result };
        if self.completion.outcome.set(outcome).is_err() {
            return;
        }
        self.memory.add_permits(self.reserved_bytes);
        let wakers = std::mem::take(&mut self.completion.wakers().slots);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The sender is gone, with its runtime perhaps. Whether the bytes went out is not known here.
        if self.completion.outcome.get().is_none() {
            self.settle(Err(self.error(Written::MaybeWritten, Error::Closed { what: "producer" })));
        }
    }
}

/// Resolves when a batch is settled.
#[derive(Debug)]
pub(crate) struct Settled {
    completion: Arc<Completion>,
    slot: Option<usize>,
}

impl Settled {
    pub(crate) fn new(completion: Arc<Completion>) -> Self {
        Self { completion, slot: None }
    }
}

impl Future for Settled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.completion.outcome.get().is_some() {
            return Poll::Ready(());
        }
        let mut wakers = this.completion.wakers();
        // The outcome may have come between the look and the lock; whoever sets it takes the wakers afterwards.
        if this.completion.outcome.get().is_some() {
            return Poll::Ready(());
        }
        let waker = context.waker();
        match this.slot.and_then(|slot| wakers.slots.get_mut(slot)) {
            Some(Some(known)) if known.will_wake(waker) => {}
            Some(known) => *known = Some(waker.clone()),
            None => {
                let slot = wakers.free.pop().unwrap_or(wakers.slots.len());
                if slot == wakers.slots.len() {
                    wakers.slots.push(None);
                }
                wakers.slots[slot] = Some(waker.clone());
                this.slot = Some(slot);
            }
        }
        Poll::Pending
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let mut wakers = self.completion.wakers();
        if let Some(waker) = wakers.slots.get_mut(slot) {
            *waker = None;
            wakers.free.push(slot);
        }
    }
}

/// The future of one record's acknowledgement.
///
/// Dropping it changes nothing: the record is sent all the same. It may be awaited at any later time, and resolves to an
/// [`Error::Delivery`] that says whether the record may be in the log when it was not acknowledged.
#[derive(Debug)]
pub struct Delivery {
    waiting: Settled,
    index: u32,
    timestamp: i64,
}

impl Delivery {
    /// The partition that was chosen for the record.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.waiting.completion.partition
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.waiting).poll(context).is_pending() {
            return Poll::Pending;
        }
        let completion = &self.waiting.completion;
        let outcome = completion.outcome.get().expect("a settled completion has an outcome");
        Poll::Ready(outcome.result.clone().map(|acknowledged| RecordMetadata {
            topic: Arc::clone(&completion.topic),
            partition: completion.partition,
            offset: acknowledged.base_offset.map(|base| base + i64::from(self.index)),
            timestamp: Timestamp(acknowledged.log_append_time.unwrap_or(self.timestamp)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(memory: &Arc<Semaphore>) -> Ticket {
        Ticket::new("t".into(), 3, Arc::clone(memory))
    }

    #[tokio::test]
    async fn every_record_of_a_batch_gets_its_own_offset() {
        let memory = Arc::new(Semaphore::new(0));
        let mut ticket = ticket(&memory);
        let deliveries: Vec<_> = (0..3).map(|index| ticket.add(index, 100 + i64::from(index), 10)).collect();
        let waiting = tokio::spawn(futures::future::join_all(deliveries));
        tokio::task::yield_now().await;
        ticket.acknowledge(Acknowledged { base_offset: Some(40), log_append_time: None });
        let metadata: Vec<_> = waiting.await.unwrap().into_iter().map(|delivered| delivered.unwrap()).collect();
        assert_eq!(metadata.iter().map(|record| record.offset).collect::<Vec<_>>(), [Some(40), Some(41), Some(42)]);
        assert_eq!(metadata[1].timestamp, Timestamp(101));
        assert_eq!(memory.available_permits(), 30);
    }

    #[tokio::test]
    async fn a_ticket_that_is_dropped_fails_its_records_as_maybe_written() {
        let memory = Arc::new(Semaphore::new(0));
        let mut ticket = ticket(&memory);
        let delivery = ticket.add(0, 0, 7);
        drop(ticket);
        assert_eq!(delivery.await.unwrap_err().written(), Some(Written::MaybeWritten));
        assert_eq!(memory.available_permits(), 7);
    }

    #[tokio::test]
    async fn waiters_that_leave_make_room_for_others() {
        let memory = Arc::new(Semaphore::new(0));
        let mut ticket = ticket(&memory);
        for index in 0..100 {
            let mut delivery = ticket.add(index, 0, 0);
            assert!(futures::poll!(&mut delivery).is_pending());
        }
        assert_eq!(ticket.completion().wakers().slots.len(), 1);
    }
}
