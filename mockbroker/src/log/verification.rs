//! Which producers have asked to join a transaction here and not yet written: what they may begin with (KIP-890).
//!
//! Source: `VerificationStateEntry`, `ProducerAppendInfo.checkSequence`. The guard that Kafka keeps between the answer of the
//! coordinator and the append is not needed: here nothing comes between the two.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

use super::batch::Batch;
use super::rejected::Rejected;
use crate::time::Timestamp;

/// What a batch says when it wants to join a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joining {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    /// Its client speaks transaction version 2.
    pub(crate) supports_epoch_bump: bool,
}

/// The producers that have asked, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Verifications {
    by_producer: BTreeMap<i64, Verification>,
}

#[derive(Clone, Debug)]
struct Verification {
    begun: Timestamp,
    epoch: i16,
    /// The lowest sequence that was seen since: what is sent first may be met last.
    lowest_sequence: i32,
    supports_epoch_bump: bool,
}

impl Verifications {
    /// A producer asks.
    pub(super) fn begin(&mut self, joining: Joining, now: Timestamp) {
        let Joining { producer_id, producer_epoch, base_sequence, supports_epoch_bump } = joining;
        let entry = self.by_producer.entry(producer_id).or_insert(Verification {
            begun: now,
            epoch: producer_epoch,
            lowest_sequence: base_sequence,
            supports_epoch_bump,
        });
        if entry.epoch < producer_epoch {
            entry.epoch = producer_epoch;
            entry.lowest_sequence = base_sequence;
        } else if entry.epoch == producer_epoch {
            entry.lowest_sequence = entry.lowest_sequence.min(base_sequence);
        }
    }

    /// Whether `batch` may be its producer's first. `has_no_batches`: the log remembers none of the producer's.
    ///
    /// # Errors
    ///
    /// OUT_OF_ORDER_SEQUENCE_NUMBER.
    pub(super) fn check(&self, batch: &Batch, has_no_batches: bool) -> Result<(), Rejected> {
        let Some(entry) = self.by_producer.get(&batch.producer_id()) else { return Ok(()) };
        let skips_the_first = entry.supports_epoch_bump && has_no_batches && batch.base_sequence() != 0;
        if skips_the_first || batch.base_sequence() > entry.lowest_sequence {
            return Err(Rejected::in_log(ResponseError::OutOfOrderSequenceNumber));
        }
        Ok(())
    }

    /// The producer has written, or its transaction has ended.
    pub(super) fn forget(&mut self, producer_id: i64) {
        self.by_producer.remove(&producer_id);
    }

    /// Forgets those that asked `expiration_ms` or more ago.
    pub(super) fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        self.by_producer.retain(|_, entry| now.as_millis().saturating_sub(entry.begun.as_millis()) < expiration_ms);
    }
}
