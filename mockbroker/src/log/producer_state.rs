//! What a partition knows of its producers: epoch, sequence, the last five batches (KIP-98, KIP-360).
//!
//! And its open transactions: the first of them bounds what `read_committed` consumers see.
//!
//! Source: `ProducerStateEntry`, `ProducerAppendInfo`, `ProducerStateManager`. Not here: whether a partition is part of a
//! transaction, which its coordinator knows; `verification` remembers that it was asked.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::batch::Batch;
use super::compaction::LastRecord;
use super::control::Marker;
use super::rejected::Rejected;
use super::verification::{Joining, Verifications};
use crate::time::Timestamp;

/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`: as many as a producer may have in flight.
const BATCHES_TO_RETAIN: usize = 5;

/// The producers of one partition, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    by_id: BTreeMap<i64, Producer>,
    /// The open transactions: producer id by the offset of the first record.
    open: BTreeMap<i64, i64>,
    verifications: Verifications,
    /// Of `by_id` when the last segment was begun: what a restart begins with.
    snapshot: BTreeMap<i64, Producer>,
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

/// How a batch came to the log (`AppendOrigin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a client.
    Client,
    /// From a client whose coordinator said that the partition is in the transaction.
    Verified,
    /// From a coordinator of this cluster: its batches have no sequence.
    Coordinator,
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

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    last_timestamp: i64,
    /// Of the last marker; -1 before there was one.
    coordinator_epoch: i32,
    /// Where the open transaction begins.
    transaction_start: Option<i64>,
    /// Of the current epoch, oldest first.
    batches: [KnownBatch; BATCHES_TO_RETAIN],
    batch_count: u8,
}

impl Producers {
    /// Where `batch` stands in its producer's sequence, and whether it may be written now. `origin` says how it came.
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_EPOCH if the epoch is an older one, OUT_OF_ORDER_SEQUENCE_NUMBER if the sequence is not the one
    /// after the last, INVALID_TXN_STATE if it is of a transaction that nobody knows of here, or is of none while its
    /// producer has one open.
    pub(super) fn sequence(&self, batch: &Batch, origin: Origin) -> Result<Sequenced, Rejected> {
        if !batch.has_producer_id() {
            return Ok(Sequenced::Unsequenced);
        }
        let producer = self.by_id.get(&batch.producer_id());
        let epoch = producer.map_or(-1, |producer| producer.epoch);
        if origin == Origin::Coordinator {
            // A coordinator does not number its records.
            return if batch.producer_epoch() < epoch { Err(stale_epoch()) } else { Ok(Sequenced::Next) };
        }
        if let Some(known) = producer.and_then(|producer| producer.duplicate_of(batch)) {
            return Ok(Sequenced::Duplicate(known));
        }
        #[cfg(planted_bugs)]
        if batch.producer_epoch() < epoch && crate::planted::is("no-fencing") {
            return Ok(Sequenced::Next);
        }
        if batch.producer_epoch() < epoch {
            return Err(stale_epoch());
        }
        let is_open = producer.is_some_and(|producer| producer.transaction_start.is_some());
        if batch.is_transactional() {
            let has_joined = is_open && epoch == batch.producer_epoch();
            if !has_joined && origin != Origin::Verified {
                return Err(Rejected::in_log(ResponseError::InvalidTxnState));
            }
        }
        self.verifications.check(batch, producer.is_none_or(|producer| producer.batch_count == 0))?;
        if let Some(producer) = producer {
            producer.check(batch)?;
        }
        if is_open && !batch.is_transactional() {
            return Err(Rejected::in_log(ResponseError::InvalidTxnState));
        }
        Ok(Sequenced::Next)
    }

    /// Remembers a batch that is being appended, and that its transaction has begun here.
    pub(super) fn record(&mut self, batch: &Batch) {
        let id = batch.producer_id();
        let producer = self.by_id.entry(id).or_insert_with(|| Producer::new(batch.producer_epoch()));
        producer.push(batch);
        if batch.is_transactional() {
            if producer.transaction_start.is_none() {
                producer.transaction_start = Some(batch.base_offset());
                self.open.insert(batch.base_offset(), id);
            }
            self.verifications.forget(id);
        }
    }

    /// Whether the batch has a transaction open here, or its coordinator has to be asked first.
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_EPOCH if the epoch is an older one.
    pub(super) fn joins(&mut self, joining: Joining, now: Timestamp) -> Result<bool, Rejected> {
        let producer = self.by_id.get(&joining.producer_id);
        #[cfg(planted_bugs)]
        let joining = Joining {
            producer_epoch: crate::planted::unfenced(joining.producer_epoch, producer.map_or(-1, |it| it.epoch)),
            ..joining
        };
        if producer.is_some_and(|producer| producer.epoch > joining.producer_epoch) {
            return Err(stale_epoch());
        }
        let is_open = producer.is_some_and(|it| it.epoch == joining.producer_epoch && it.transaction_start.is_some());
        if !is_open {
            self.verifications.begin(joining, now);
        }
        Ok(!is_open)
    }

    /// Whether a marker may be written.
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED: whoever writes it is not the one of today.
    pub(super) fn check_marker(&self, marker: &Marker) -> Result<(), ResponseError> {
        let Some(producer) = self.by_id.get(&marker.producer_id) else { return Ok(()) };
        let is_stale = if marker.bumps_epoch {
            // With transaction version 2 the marker bears the epoch after the producer's. The same again is a retry, unless
            // a transaction is open; 32767 is the last epoch there is (KAFKA-19999, KAFKA-20090).
            let is_again = marker.producer_epoch == producer.epoch
                && (producer.transaction_start.is_none() || marker.producer_epoch == i16::MAX);
            marker.producer_epoch <= producer.epoch && !is_again
        } else {
            marker.producer_epoch < producer.epoch
        };
        if is_stale {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if marker.end.coordinator_epoch < producer.coordinator_epoch {
            return Err(ResponseError::TransactionCoordinatorFenced);
        }
        Ok(())
    }

    /// Ends the open transaction of the marker's producer, if there is one. Returns where it began.
    pub(super) fn end(&mut self, marker: &Marker, timestamp: i64) -> Option<i64> {
        let producer = self.by_id.entry(marker.producer_id).or_insert_with(|| Producer::new(marker.producer_epoch));
        if producer.epoch != marker.producer_epoch {
            producer.epoch = marker.producer_epoch;
            producer.batch_count = 0;
        }
        producer.coordinator_epoch = marker.end.coordinator_epoch;
        producer.last_timestamp = timestamp;
        self.verifications.forget(marker.producer_id);
        let start = producer.transaction_start.take()?;
        self.open.remove(&start);
        Some(start)
    }

    /// Where the first open transaction begins.
    pub(super) fn first_unstable_offset(&self) -> Option<i64> {
        self.open.first_key_value().map(|(offset, _)| *offset)
    }

    /// Remembers the producers as they are now: a segment begins (`ProducerStateManager.takeSnapshot`).
    pub(super) fn take_snapshot(&mut self) {
        self.snapshot.clone_from(&self.by_id);
    }

    /// As they were then, without those that have expired since.
    pub(super) fn restore(&mut self, now: Timestamp, producer_id_expiration_ms: i64) {
        let kept = self.snapshot.iter().filter(|(_, producer)| producer.is_kept(now, producer_id_expiration_ms));
        self.by_id = kept.map(|(id, producer)| (*id, producer.clone())).collect();
        let open = self.by_id.iter().filter_map(|(id, producer)| Some((producer.transaction_start?, *id)));
        self.open = open.collect();
        self.verifications = Verifications::default();
    }

    /// Drops producers whose last timestamp is `producer_id_expiration_ms` or more ago, unless they have a transaction
    /// open.
    pub(super) fn expire(&mut self, now: Timestamp, producer_id_expiration_ms: i64) {
        self.by_id.retain(|_, producer| producer.is_kept(now, producer_id_expiration_ms));
        self.verifications.expire(now, producer_id_expiration_ms);
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
            coordinator_epoch: producer.coordinator_epoch,
            current_transaction_start_offset: producer.transaction_start.unwrap_or(-1),
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
        Self {
            epoch,
            last_timestamp: -1,
            coordinator_epoch: -1,
            transaction_start: None,
            batches: Default::default(),
            batch_count: 0,
        }
    }

    fn is_kept(&self, now: Timestamp, producer_id_expiration_ms: i64) -> bool {
        self.transaction_start.is_some()
            || now.as_millis().saturating_sub(self.last_timestamp) < producer_id_expiration_ms
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
pub(super) fn stale_epoch() -> Rejected {
    Rejected::in_log(ResponseError::InvalidProducerEpoch)
}
