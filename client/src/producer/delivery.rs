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

/// The outcome of a batch, and who waits for it. A batch that is split keeps its one completion, which is settled when all
/// its parts are.
#[derive(Debug)]
pub(crate) struct Completion {
    topic: Arc<str>,
    partition: i32,
    outcome: OnceLock<Vec<Part>>,
    waiting: Mutex<Waiting>,
}

/// What became of records of a batch that travelled together.
#[derive(Debug)]
struct Part {
    /// The index in the batch of the first record.
    first: u32,
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

#[derive(Debug)]
struct Waiting {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
    callbacks: Callbacks,
    /// Parts that are not settled.
    open_parts: usize,
    /// Parts that are.
    parts: Vec<Part>,
}

type Callback = Box<dyn FnOnce(&Completion) + Send>;

#[derive(Default)]
struct Callbacks(Vec<Callback>);

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} callbacks", self.0.len())
    }
}

impl Completion {
    fn new(topic: Arc<str>, partition: i32) -> Self {
        let waiting = Waiting {
            slots: Vec::new(),
            free: Vec::new(),
            callbacks: Callbacks::default(),
            open_parts: 1,
            parts: Vec::new(),
        };
        Self { topic, partition, outcome: OnceLock::new(), waiting: Mutex::new(waiting) }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(crate) fn partition(&self) -> i32 {
        self.partition
    }

    /// Records that were delivered, surely not written, and maybe written. `None` while that is open.
    pub(crate) fn counts(&self) -> Option<(u64, u64, u64)> {
        let mut counts = (0, 0, 0);
        for part in self.outcome.get()? {
            let of_kind = match &part.result {
                Ok(_) => &mut counts.0,
                Err(error) if error.written() == Some(Written::NotWritten) => &mut counts.1,
                Err(_) => &mut counts.2,
            };
            *of_kind += u64::from(part.record_count);
        }
        Some(counts)
    }

    /// What became of one record. `None` while that is open.
    fn record(&self, index: u32, timestamp: i64) -> Option<Result<RecordMetadata>> {
        let part =
            self.outcome.get()?.iter().find(|part| (part.first..part.first + part.record_count).contains(&index));
        let part = part.expect("every record of a batch is in one of its parts");
        Some(part.result.clone().map(|acknowledged| RecordMetadata {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offset: acknowledged.base_offset.map(|base| base + i64::from(index - part.first)),
            timestamp: Timestamp(acknowledged.log_append_time.unwrap_or(timestamp)),
        }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right, and the duty, to settle a batch or a part of one. It also holds the memory that its records reserved.
#[derive(Debug)]
pub(crate) struct Ticket {
    completion: Arc<Completion>,
    memory: Arc<Semaphore>,
    reserved_bytes: usize,
    first: u32,
    record_count: u32,
    settled: bool,
}

impl Ticket {
    pub(crate) fn new(topic: Arc<str>, partition: i32, memory: Arc<Semaphore>) -> Self {
        let completion = Arc::new(Completion::new(topic, partition));
        Self { completion, memory, reserved_bytes: 0, first: 0, record_count: 0, settled: false }
    }

    pub(crate) fn completion(&self) -> &Arc<Completion> {
        &self.completion
    }

    /// The index of its first record among those that were one batch once.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    /// Adds a record, whose memory was reserved, and gives out its delivery.
    pub(crate) fn add(&mut self, index: u32, timestamp: i64, reserved_bytes: usize) -> Delivery {
        self.record_count += 1;
        self.reserved_bytes += reserved_bytes;
        let waiting = Settled { completion: Arc::clone(&self.completion), slot: None };
        Delivery { waiting, index, timestamp }
    }

    /// Splits off everything from the record `records` on: what was one batch is two now.
    pub(crate) fn split_off(&mut self, records: u32) -> Self {
        self.completion.waiting().open_parts += 1;
        let record_count = self.record_count - records;
        let reserved_bytes = self.reserved_bytes * record_count as usize / self.record_count as usize;
        self.record_count = records;
        self.reserved_bytes -= reserved_bytes;
        Self {
            completion: Arc::clone(&self.completion),
            memory: Arc::clone(&self.memory),
            reserved_bytes,
            first: self.first + records,
            record_count,
            settled: false,
        }
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
        self.settled = true;
        self.memory.add_permits(self.reserved_bytes);
        let mut waiting = self.completion.waiting();
        waiting.parts.push(Part { first: self.first, record_count: self.record_count, result });
        waiting.open_parts -= 1;
        if waiting.open_parts > 0 {
            return;
        }
        let parts = std::mem::take(&mut waiting.parts);
        self.completion.outcome.set(parts).expect("the last open part is settled once");
        let wakers = std::mem::take(&mut waiting.slots);
        let Callbacks(callbacks) = std::mem::take(&mut waiting.callbacks);
        drop(waiting);
        wakers.into_iter().flatten().for_each(Waker::wake);
        callbacks.into_iter().for_each(|callback| callback(&self.completion));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The sender is gone, with its runtime perhaps. Whether the bytes went out is not known here.
        if !self.settled {
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
        let mut waiting = this.completion.waiting();
        // The outcome may have come between the look and the lock; whoever sets it takes the wakers afterwards.
        if this.completion.outcome.get().is_some() {
            return Poll::Ready(());
        }
        let waker = context.waker();
        match this.slot.and_then(|slot| waiting.slots.get_mut(slot)) {
            Some(Some(known)) if known.will_wake(waker) => {}
            Some(known) => *known = Some(waker.clone()),
            None => {
                let slot = waiting.free.pop().unwrap_or(waiting.slots.len());
                if slot == waiting.slots.len() {
                    waiting.slots.push(None);
                }
                waiting.slots[slot] = Some(waker.clone());
                this.slot = Some(slot);
            }
        }
        Poll::Pending
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let mut waiting = self.completion.waiting();
        if let Some(waker) = waiting.slots.get_mut(slot) {
            *waker = None;
            waiting.free.push(slot);
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

    /// Calls `callback` with what becomes of the record: on the producer's own task, so it must be short and must not block; or
    /// at once, if that is known already. Java's `Callback` and kafka-go's `Completion`.
    pub fn on_completion(self, callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static) {
        let Self { waiting, index, timestamp } = self;
        let completion = Arc::clone(&waiting.completion);
        let mut waiting = completion.waiting();
        if completion.outcome.get().is_none() {
            let callback = move |completion: &Completion| {
                callback(completion.record(index, timestamp).expect("callbacks are called when a batch is settled"));
            };
            waiting.callbacks.0.push(Box::new(callback));
            return;
        }
        drop(waiting);
        callback(completion.record(index, timestamp).expect("there is an outcome"));
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if Pin::new(&mut self.waiting).poll(context).is_pending() {
            return Poll::Pending;
        }
        let settled = self.waiting.completion.record(self.index, self.timestamp);
        Poll::Ready(settled.expect("a settled completion has an outcome"))
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
        assert_eq!(ticket.completion().waiting().slots.len(), 1);
    }

    #[tokio::test]
    async fn a_batch_that_was_split_is_settled_when_its_last_part_is() {
        let memory = Arc::new(Semaphore::new(0));
        let mut first = ticket(&memory);
        let deliveries: Vec<_> = (0..5).map(|index| first.add(index, 0, 10)).collect();
        let mut second = first.split_off(2);
        let third = second.split_off(1);
        first.acknowledge(Acknowledged { base_offset: Some(10), log_append_time: None });
        third.acknowledge(Acknowledged { base_offset: Some(50), log_append_time: None });
        assert!(deliveries[0].waiting.completion.counts().is_none());
        let large = Error::RecordTooLarge { size_bytes: 2, limit_bytes: 1 };
        second.fail(Written::NotWritten, large);
        assert_eq!(deliveries[0].waiting.completion.counts(), Some((4, 1, 0)));
        let mut offsets = Vec::new();
        for delivery in deliveries {
            offsets.push(delivery.await.ok().and_then(|record| record.offset));
        }
        assert_eq!(offsets, [Some(10), Some(11), None, Some(50), Some(51)]);
        assert_eq!(memory.available_permits(), 50, "every part gives back its share");
    }

    #[test]
    fn a_callback_is_called_once_whether_it_comes_before_the_outcome_or_after() {
        let (sender, outcomes) = std::sync::mpsc::channel();
        let mut ticket = ticket(&Arc::new(Semaphore::new(0)));
        let (early, late) = (ticket.add(0, 0, 0), ticket.add(1, 0, 0));
        let told = sender.clone();
        early.on_completion(move |result| told.send(result.unwrap().offset).unwrap());
        assert!(outcomes.try_recv().is_err());
        ticket.acknowledge(Acknowledged { base_offset: Some(5), log_append_time: None });
        late.on_completion(move |result| sender.send(result.unwrap().offset).unwrap());
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [Some(5), Some(6)]);
    }
}
