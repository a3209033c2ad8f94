//! What a consumer's handles and its fetcher share, and how the program gets records out of it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::Notify, task::consume_budget};

use super::{
    isolation::Aborted,
    positions::{Arrived, Content, Positions, Slot},
    record::{ConsumerBatch, ConsumerRecord, Source},
    stats::{Counters, count},
};
use crate::{
    batch::cursor::{At, Batch, Batches},
    config::ConsumerConfig,
    error::{BatchError, Error, Result},
};

/// What the clones and the fetcher share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) config: ConsumerConfig,
    pub(super) positions: Mutex<Positions>,
    /// What is being read. Held while a batch is verified and decompressed, which the fetcher does not wait for.
    pub(super) reading: Mutex<Reading>,
    /// Tells readers that something arrived.
    pub(super) arrived: Notify,
    /// Tells the fetcher that there is something to do.
    pub(super) changed: Notify,
    pub(super) closed: AtomicBool,
    pub(crate) counters: Counters,
}

/// Fetched bytes of one partition between the fetcher and the program.
#[derive(Debug, Default)]
pub(super) struct Reading {
    chunk: Option<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    slot: Slot,
    version: u64,
    source: Arc<Source>,
    size_bytes: usize,
    aborted: Arc<Aborted>,
    /// What was not opened yet.
    batches: Batches,
    /// `batches` as it was before the last batch was opened. The position says how far the program got in it.
    before: Batches,
    /// What `recv` has not given out of the last batch.
    rest: Option<ConsumerBatch>,
}

impl Chunk {
    /// The chunk as it arrived, from the last batch on.
    fn into_arrived(self) -> Arrived {
        let content = Content::Batches(self.before, self.aborted, self.size_bytes);
        Arrived { slot: self.slot, version: self.version, content }
    }
}

impl Shared {
    pub(crate) fn new(config: ConsumerConfig, positions: Positions) -> Self {
        Self {
            config,
            positions: Mutex::new(positions),
            reading: Mutex::default(),
            arrived: Notify::new(),
            changed: Notify::new(),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    pub(crate) fn positions(&self) -> MutexGuard<'_, Positions> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
        self.arrived.notify_waiters();
    }

    /// Waits until `take` has something, or the consumer is closed.
    pub(crate) async fn wait<T>(&self, take: impl Fn(&Self) -> Option<Result<T>>) -> Result<Option<T>> {
        // A program that is never without data lets the fetcher run, on a runtime with one thread as well.
        consume_budget().await;
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // From here on nothing that arrives is missed.
            arrived.as_mut().enable();
            if self.is_closed() {
                return Ok(None);
            }
            if let Some(taken) = take(self) {
                return taken.map(Some);
            }
            arrived.await;
        }
    }

    /// The next offset that the program gets. `None` while it is being looked up.
    pub(crate) fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        let positions = self.positions();
        Ok(positions.position(slot(&positions, topic, partition)?))
    }

    /// Does something to a partition that the consumer has.
    pub(crate) fn change(&self, topic: &str, partition: i32, change: impl FnOnce(&mut Positions, Slot)) -> Result<()> {
        let mut positions = self.positions();
        let slot = slot(&positions, topic, partition)?;
        change(&mut positions, slot);
        drop(positions);
        self.woken();
        Ok(())
    }

    /// Partitions came, went or changed.
    pub(crate) fn woken(&self) {
        self.changed.notify_one();
        // A partition that was resumed may have data waiting.
        self.arrived.notify_waiters();
    }
}

fn slot(positions: &Positions, topic: &str, partition: i32) -> Result<Slot> {
    positions.slot(topic, partition).ok_or_else(|| Error::NotAssigned { topic: topic.into(), partition })
}

impl Shared {
    pub(crate) fn take_batch(&self) -> Option<Result<ConsumerBatch>> {
        self.take_batch_of(&mut self.reading(), None)
    }

    /// The next batch of any partition, or of one, by way of what is being read.
    pub(super) fn take_batch_of(&self, reading: &mut Reading, only: Option<Slot>) -> Option<Result<ConsumerBatch>> {
        loop {
            let (chunk, batch) = match self.next(reading, only)? {
                Ok(next) => next,
                Err(error) => return Some(Err(error)),
            };
            if self.positions().advance(chunk.slot, chunk.version, batch.next_offset(), batch.leader_epoch()) {
                count(&self.counters.records, batch.records_left());
                return Some(Ok(batch));
            }
        }
    }

    pub(crate) fn take_record(&self) -> Option<Result<ConsumerRecord>> {
        let mut reading = self.reading();
        loop {
            let (chunk, mut batch) = match self.next(&mut reading, None)? {
                Ok(next) => next,
                Err(error) => return Some(Err(error)),
            };
            let Some(record) = batch.take_record() else {
                // The position gets beyond what compaction left out after the last record.
                self.positions().skip(chunk.slot, chunk.version, batch.next_offset());
                continue;
            };
            if self.positions().advance(chunk.slot, chunk.version, record.offset() + 1, batch.leader_epoch()) {
                chunk.rest = Some(batch);
                count(&self.counters.records, 1);
                return Some(Ok(record));
            }
        }
    }

    /// The next batch with records that was not given out, and its chunk; or an error to be told.
    fn next<'a>(&self, reading: &'a mut Reading, only: Option<Slot>) -> Option<Result<(&'a mut Chunk, ConsumerBatch)>> {
        loop {
            let mut chunk = match reading.chunk.take() {
                Some(chunk) => chunk,
                None => match self.take_chunk(only)? {
                    Ok(chunk) => chunk,
                    Err(error) => return Some(Err(error)),
                },
            };
            let position = {
                let mut positions = self.positions();
                if !positions.is_current(chunk.slot, chunk.version) {
                    continue;
                }
                if positions.is_paused(chunk.slot) {
                    positions.give_back(chunk.into_arrived(), true);
                    continue;
                }
                positions.position(chunk.slot).unwrap_or(0)
            };
            let batch = match chunk.rest.take() {
                Some(rest) => Ok(Some(rest)),
                None => self.open(&mut chunk, position),
            };
            match batch {
                Ok(Some(batch)) => return Some(Ok((reading.chunk.insert(chunk), batch))),
                Ok(None) => {
                    if self.positions().release(chunk.slot, chunk.version, chunk.size_bytes) {
                        self.changed.notify_one();
                    }
                }
                Err(reason) => {
                    // The same batch fails again until the program seeks beyond it.
                    let Source { topic, partition, .. } = &*chunk.source;
                    let at = At { topic: Arc::clone(topic), partition: *partition, offset: position };
                    self.positions().give_back(chunk.into_arrived(), false);
                    return Some(Err(at.corrupt(reason)));
                }
            }
        }
    }

    fn take_chunk(&self, only: Option<Slot>) -> Option<Result<Chunk>> {
        let mut positions = self.positions();
        let Arrived { slot, version, content } = positions.take_arrived(only)?;
        match content {
            Content::Error(error) => Some(Err(error)),
            Content::Batches(batches, aborted, size_bytes) => {
                let partition = positions.partition(slot);
                let source = Source {
                    topic: Arc::clone(&partition.topic),
                    partition: partition.partition,
                    topic_id: partition.topic_id,
                    assignment: Some(partition.assignment),
                };
                let before = batches.clone();
                Some(Ok(Chunk {
                    slot,
                    version,
                    source: Arc::new(source),
                    size_bytes,
                    aborted,
                    batches,
                    before,
                    rest: None,
                }))
            }
        }
    }

    /// The next batch of a chunk that has records at or after the position. Batches without any still move the position.
    fn open(&self, chunk: &mut Chunk, position: i64) -> Result<Option<ConsumerBatch>, BatchError> {
        loop {
            chunk.before = chunk.batches.clone();
            let Some(batch) = chunk.batches.next_batch()? else { return Ok(None) };
            if batch.next_offset() <= position {
                continue;
            }
            if !chunk.aborted.contains(&batch)
                && let Some(opened) = self.open_batch(&batch, &chunk.source, position)?
            {
                return Ok(Some(opened));
            }
            self.positions().skip(chunk.slot, chunk.version, batch.next_offset());
        }
    }

    fn open_batch(
        &self,
        batch: &Batch,
        source: &Arc<Source>,
        position: i64,
    ) -> Result<Option<ConsumerBatch>, BatchError> {
        // A transaction marker is not for programs, but takes an offset.
        if batch.is_control() {
            return Ok(None);
        }
        let open = batch.open(self.config.check_crcs, self.config.max_decompressed_bytes)?;
        // One walk over all records: it finds the first one that is wanted, and after it reading cannot fail.
        let mut first = None;
        let mut walk = open.walk();
        loop {
            let before = walk;
            let Some(span) = walk.next_record(&open) else { break };
            if span?.offset >= position {
                first.get_or_insert(before);
            }
        }
        let opened = |walk| ConsumerBatch::new(Arc::clone(source), batch.leader_epoch, batch.next_offset(), open, walk);
        Ok(first.map(opened))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
