//! What a partition knows of its producers: epoch, sequence, the last five batches (KIP-98, KIP-360).
//!
//! Source: `ProducerStateEntry`, `ProducerAppendInfo`, `ProducerStateManager`. Not here yet: transactions, and the
//! verification that precedes them (KIP-890).

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::batch::Batch;
use super::compaction::LastRecord;
use super::rejected::Rejected;
use crate::time::Timestamp;

/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`: as many as a producer may have in flight.
const BATCHES_TO_RETAIN: usize = 5;

/// The producers of one partition, by id.
#[derive(Debug, Default)]
pub(super) struct Producers {
    by_id: BTreeMap<i64, Producer>,
}

/// What DescribeProducers says of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// -1 if no batch of this epoch is known.
    pub(crate) last_sequence: i32,
    pub(crate) last_timestamp: i64,
    /// Of the last transaction marker; -1 if there was none.
    pub(crate) coordinator_epoch: i32,
    /// Where its open transaction begins; -1 if none is open.
    pub(crate) current_transaction_start_offset: i64,
}

/// What the state of its producer says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequenced {
    /// It bears no producer id.
    Unsequenced,
    /// It is the next one.
    Next,
    /// It is in the log already.
    Duplicate(KnownBatch),
}

/// A batch as its producer's state remembers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownBatch {
    first_sequence: i32,
    last_sequence: i32,
    first_offset: i64,
    last_offset: i64,
    timestamp: i64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    last_timestamp: i64,
    /// Of the current epoch, oldest first.
    batches: [KnownBatch; BATCHES_TO_RETAIN],
    batch_count: u8,
}

impl Producers {
    /// Where `batch` stands in its producer's sequence.
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_EPOCH if the epoch is an older one, OUT_OF_ORDER_SEQUENCE_NUMBER if the sequence is not the one
    /// after the last.
    pub(super) fn sequence(&self, batch: &Batch) -> Result<Sequenced, Rejected> {
        if !batch.has_producer_id() {
            return Ok(Sequenced::Unsequenced);
        }
        let Some(producer) = self.by_id.get(&batch.producer_id()) else {
            // A producer without state is at epoch -1 and may begin anywhere (KIP-360).
            return if batch.producer_epoch() < -1 { Err(stale_epoch()) } else { Ok(Sequenced::Next) };
        };
        if let Some(known) = producer.duplicate_of(batch) {
            return Ok(Sequenced::Duplicate(known));
        }
        producer.check(batch)?;
        Ok(Sequenced::Next)
    }

    /// Remembers a batch that is being appended.
    pub(super) fn record(&mut self, batch: &Batch) {
        let producer = self.by_id.entry(batch.producer_id()).or_insert_with(|| Producer::new(batch.producer_epoch()));
        producer.push(batch);
    }

    /// Drops producers whose last timestamp is `producer_id_expiration_ms` or more ago.
    pub(super) fn expire(&mut self, now: Timestamp, producer_id_expiration_ms: i64) {
        let is_kept =
            |producer: &Producer| now.as_millis().saturating_sub(producer.last_timestamp) < producer_id_expiration_ms;
        self.by_id.retain(|_, producer| is_kept(producer));
    }

    /// Where each producer wrote last (`ProducerStateManager.lastEntry`, `UnifiedLog.lastRecordsOfActiveProducers`).
    pub(super) fn last_records(&self) -> BTreeMap<i64, LastRecord> {
        let last = |producer: &Producer| LastRecord {
            data_offset: producer.batches().last().map(KnownBatch::last_offset),
            producer_epoch: producer.epoch,
        };
        self.by_id.iter().map(|(id, producer)| (*id, last(producer))).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = ActiveProducer> + '_ {
        self.by_id.iter().map(|(&producer_id, producer)| ActiveProducer {
            producer_id,
            producer_epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp: producer.last_timestamp,
            coordinator_epoch: -1,
            current_transaction_start_offset: -1,
        })
    }
}

impl KnownBatch {
    pub(super) fn first_offset(&self) -> i64 {
        self.first_offset
    }

    pub(super) fn last_offset(&self) -> i64 {
        self.last_offset
    }

    pub(super) fn timestamp(&self) -> i64 {
        self.timestamp
    }
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self { epoch, last_timestamp: -1, batches: Default::default(), batch_count: 0 }
    }

    fn batches(&self) -> &[KnownBatch] {
        &self.batches[..usize::from(self.batch_count)]
    }

    fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(-1, |batch| batch.last_sequence)
    }

    /// Exactly the same sequences in the same epoch; an overlap is no duplicate.
    fn duplicate_of(&self, batch: &Batch) -> Option<KnownBatch> {
        if batch.producer_epoch() != self.epoch {
            return None;
        }
        let (first, last) = (batch.base_sequence(), batch.last_sequence());
        self.batches().iter().find(|known| known.first_sequence == first && known.last_sequence == last).copied()
    }

    /// `ProducerAppendInfo.checkProducerEpoch`, `checkSequence`.
    fn check(&self, batch: &Batch) -> Result<(), Rejected> {
        let (epoch, sequence) = (batch.producer_epoch(), batch.base_sequence());
        if epoch < self.epoch {
            return Err(stale_epoch());
        }
        // Epoch -1 is no epoch: whatever comes after it may begin anywhere.
        let in_order = self.epoch == -1
            || if epoch == self.epoch { follows(self.last_sequence(), sequence) } else { sequence == 0 };
        if in_order { Ok(()) } else { Err(Rejected::in_log(ResponseError::OutOfOrderSequenceNumber)) }
    }

    fn push(&mut self, batch: &Batch) {
        if self.epoch != batch.producer_epoch() {
            self.epoch = batch.producer_epoch();
            self.batch_count = 0;
        }
        let known = KnownBatch {
            first_sequence: batch.base_sequence(),
            last_sequence: batch.last_sequence(),
            first_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            timestamp: batch.max_timestamp(),
        };
        self.last_timestamp = known.timestamp;
        if usize::from(self.batch_count) == BATCHES_TO_RETAIN {
            self.batches.rotate_left(1);
            self.batches[BATCHES_TO_RETAIN - 1] = known;
        } else {
            self.batches[usize::from(self.batch_count)] = known;
            self.batch_count += 1;
        }
    }
}

/// Whether `next` comes right after `last`; 0 comes after 2147483647 (`ProducerAppendInfo.inSequence`).
fn follows(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}

/// Produce answers 47, never 90: since 2.7 a producer may abort and go on.
fn stale_epoch() -> Rejected {
    Rejected::in_log(ResponseError::InvalidProducerEpoch)
}
