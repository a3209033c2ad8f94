//! The sequences of an idempotent producer for one partition, without input, output or clock.
//!
//! A broker takes a batch of a producer id and epoch only if its first sequence follows the last one in the log, and knows
//! the last five batches again (KIP-98, `ProducerStateManager`). So a batch keeps its [`Stamp`] through every attempt, and
//! while the broker's answers are lost nothing is written twice or out of order.
//!
//! A broker that knows nothing of a producer id takes any sequence as its first (`ProducerAppendInfo.checkSequence`). So until
//! the first batch is known to be in the log, the second one waits: otherwise it would take the place of a first one that was
//! refused or lost. Java does not wait (`RecordAccumulator.shouldStopDrainBatchesForPartition`), and loses the order then.
//!
//! A batch that is given up leaves a doubt: if it is not in the log, everything stamped after it is refused. Until an answer
//! settles the doubt, nothing new is stamped. A gap that is certain ends in a restart: the next epoch, which a producer
//! without transactions may take by itself, from sequence 0 on (KIP-360). Java raises one epoch for all partitions
//! (`TransactionManager.bumpIdempotentProducerEpoch`); here each partition has its own, because brokers keep the state of
//! each partition by itself and the others need not wait.

use crate::batch::builder::ProducerFields;

/// Sequences go from 0 to `i32::MAX` and start over at 0 (`DefaultRecordBatch.incrementSequence`).
const SEQUENCE_COUNT: u64 = 1 << 31;

/// The producer id and epoch that a batch is sent with, and the place of its first record among the producer's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    identity: Identity,
    /// Sequences without their wrapping around.
    position: u64,
}

/// The producer as brokers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Its epochs are given out by a coordinator, and what it writes belongs to transactions.
    pub(crate) is_transactional: bool,
}

impl Stamp {
    /// What the header of the batch says.
    pub(crate) fn fields(self) -> ProducerFields {
        ProducerFields {
            producer_id: self.identity.producer_id,
            producer_epoch: self.identity.producer_epoch,
            base_sequence: (self.position % SEQUENCE_COUNT) as i32,
            is_transactional: self.identity.is_transactional,
        }
    }

    /// The stamp of a batch that begins `records` records later: the second part of a batch that is split keeps its
    /// sequences, because they count records and not batches (KIP-126, `ProducerBatch.split`).
    pub(crate) fn skip(self, records: u32) -> Self {
        Self { position: self.position + u64::from(records), ..self }
    }
}

/// Where a partition stands.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// `None` until the producer has an id, and again when the epochs of that id are used up.
    identity: Option<Identity>,
    next: u64,
    /// Where the last batch ended that was given up without proof that it is in the log.
    doubt: Option<u64>,
    /// A broker refused the oldest batch: what it should follow is not in the log.
    gap: bool,
    /// The log has a batch of this producer id, so that the broker checks what follows.
    known: bool,
}

impl Sequence {
    /// The producer got an id.
    pub(crate) fn identify(&mut self, producer_id: i64) {
        if self.identity.is_none() {
            let identity = Identity { producer_id, producer_epoch: 0, is_transactional: false };
            *self = Self { identity: Some(identity), ..Self::default() };
        }
    }

    /// The coordinator of transactions gave the producer an id or another epoch: sequences begin anew with it. Nothing is in
    /// flight and nothing waits.
    pub(crate) fn adopt(&mut self, identity: Identity) {
        if self.identity != Some(identity) {
            let same_producer = self.identity.is_some_and(|old| old.producer_id == identity.producer_id);
            *self = Self { identity: Some(identity), known: self.known && same_producer, ..Self::default() };
        }
    }

    pub(crate) fn is_identified(&self) -> bool {
        self.identity.is_some()
    }

    /// Whether a batch that was never sent may be stamped now.
    pub(crate) fn takes_new(&self) -> bool {
        self.is_identified() && self.doubt.is_none() && !self.gap
    }

    /// Whether a batch may go out while others are on their way.
    pub(crate) fn takes_several(&self) -> bool {
        self.known
    }

    /// Stamps the next batch. Batches are stamped in the order in which they are sent.
    pub(crate) fn stamp(&mut self, records: u32) -> Option<Stamp> {
        let stamp = Stamp { identity: self.identity?, position: self.next };
        self.next += u64::from(records);
        Some(stamp)
    }

    /// A batch is in the log, so everything that was stamped before it is as well.
    pub(crate) fn on_written(&mut self, stamp: Stamp) {
        self.known |= self.identity.is_some_and(|identity| identity.producer_id == stamp.identity.producer_id);
        if self.identity == Some(stamp.identity) && self.doubt.is_some_and(|end| end <= stamp.position) {
            self.doubt = None;
        }
    }

    /// A broker refused the oldest batch that is not settled for its sequence (OUT_OF_ORDER_SEQUENCE_NUMBER,
    /// UNKNOWN_PRODUCER_ID). None of the younger ones can be in the log then: they would have to follow it.
    pub(crate) fn on_gap(&mut self, stamp: Stamp) {
        self.gap |= self.identity == Some(stamp.identity);
    }

    /// A batch will not be sent again, and whether it is in the log is not known, or it is not.
    pub(crate) fn on_given_up(&mut self, stamp: Stamp, records: u32) {
        if self.identity == Some(stamp.identity) {
            let end = stamp.position + u64::from(records);
            self.doubt = Some(self.doubt.map_or(end, |earlier| earlier.max(end)));
        }
    }

    /// Whether the partition has to start over, asked when nothing of it is in flight. `answers_lost` says that a batch which
    /// waits to be sent again may be in the log: then it goes out as it is, and its answer settles the doubt.
    ///
    /// A transactional producer does not: its transaction is aborted, and the coordinator gives it another epoch.
    pub(crate) fn needs_restart(&self, answers_lost: bool) -> bool {
        if self.identity.is_some_and(|identity| identity.is_transactional) {
            return false;
        }
        self.gap || (self.doubt.is_some() && !answers_lost)
    }

    /// Whether something stamped is missing in the log, or may be.
    pub(crate) fn is_broken(&self) -> bool {
        self.gap || self.doubt.is_some()
    }

    /// Starts over: nothing is in flight, and what waits is to be stamped again. `Some` with the producer id when that has no
    /// epoch left: then another one is needed.
    pub(crate) fn restart(&mut self) -> Option<i64> {
        let old = self.identity.take()?;
        let producer_epoch = old.producer_epoch.checked_add(1);
        let identity = producer_epoch.map(|producer_epoch| Identity { producer_epoch, ..old });
        // A gap may mean that the broker has forgotten the producer.
        *self = Self { identity, known: self.known && !self.gap && identity.is_some(), ..Self::default() };
        identity.is_none().then_some(old.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identified() -> Sequence {
        let mut sequence = Sequence::default();
        assert!(!sequence.takes_new() && sequence.stamp(1).is_none(), "without an id nothing is stamped");
        sequence.identify(7);
        sequence
    }

    fn fields(stamp: Stamp) -> (i16, i32) {
        (stamp.fields().producer_epoch, stamp.fields().base_sequence)
    }

    #[test]
    fn sequences_count_records_and_not_batches() {
        let mut sequence = identified();
        let bases: Vec<_> = [3, 1, 5].map(|records| fields(sequence.stamp(records).unwrap())).into();
        assert_eq!(bases, [(0, 0), (0, 3), (0, 4)]);
    }

    #[test]
    fn several_go_out_once_the_broker_knows_the_producer() {
        // ProducerAppendInfo.checkSequence: whoever is unknown may begin with any sequence.
        let mut sequence = identified();
        let first = sequence.stamp(2).unwrap();
        assert!(!sequence.takes_several());
        sequence.on_written(first);
        assert!(sequence.takes_several());
        sequence.restart();
        assert!(sequence.takes_several(), "another epoch of a known producer has to begin with 0");
        let next = sequence.stamp(1).unwrap();
        sequence.on_gap(next);
        sequence.restart();
        assert!(!sequence.takes_several(), "after a gap it may be forgotten");
    }

    #[test]
    fn sequences_wrap_from_the_greatest_number_to_zero() {
        // DefaultRecordBatch.incrementSequence.
        let mut sequence = Sequence { next: SEQUENCE_COUNT - 2, ..identified() };
        assert_eq!(fields(sequence.stamp(5).unwrap()), (0, i32::MAX - 1));
        assert_eq!(fields(sequence.stamp(1).unwrap()), (0, 3));
    }

    #[test]
    fn the_parts_of_a_batch_that_is_split_have_its_sequences() {
        // KIP-126, ProducerBatch.split: what follows keeps its stamp.
        let mut sequence = identified();
        let whole = sequence.stamp(5).unwrap();
        let behind = sequence.stamp(1).unwrap();
        assert_eq!((fields(whole.skip(2)), fields(behind)), ((0, 2), (0, 5)));
    }

    #[test]
    fn after_a_batch_is_given_up_nothing_new_is_stamped_until_a_later_one_is_written() {
        let mut sequence = identified();
        let (first, second) = (sequence.stamp(2).unwrap(), sequence.stamp(2).unwrap());
        sequence.on_given_up(first, 2);
        assert!(!sequence.takes_new());
        sequence.on_written(second);
        assert!(sequence.takes_new(), "the second follows the first, so that one is in the log");
        assert_eq!(fields(sequence.stamp(1).unwrap()), (0, 4));
    }

    #[test]
    fn an_earlier_batch_does_not_settle_the_doubt_about_a_later_one() {
        let mut sequence = identified();
        let (first, second) = (sequence.stamp(2).unwrap(), sequence.stamp(2).unwrap());
        sequence.on_given_up(second, 2);
        sequence.on_written(first);
        assert!(!sequence.takes_new() && sequence.needs_restart(false));
    }

    #[test]
    fn a_doubt_waits_for_the_answer_of_a_batch_that_may_be_written() {
        // Stamping it again under a new epoch would write it twice.
        let mut sequence = identified();
        let (first, second) = (sequence.stamp(1).unwrap(), sequence.stamp(1).unwrap());
        sequence.on_given_up(first, 1);
        assert!(!sequence.needs_restart(true));
        sequence.on_gap(second);
        assert!(sequence.needs_restart(true), "now it is certain that neither is in the log");
    }

    #[test]
    fn a_restart_takes_the_next_epoch_and_begins_at_zero() {
        // KIP-360.
        let mut sequence = identified();
        let old = sequence.stamp(9).unwrap();
        sequence.on_gap(old);
        sequence.restart();
        assert_eq!(fields(sequence.stamp(1).unwrap()), (1, 0));
        sequence.on_gap(old);
        sequence.on_given_up(old, 9);
        assert!(sequence.takes_new(), "what became of the old epoch's batches is of no interest any more");
    }

    #[test]
    fn a_transactional_producer_waits_for_the_epoch_that_its_coordinator_gives() {
        // KIP-360 and KIP-890: only the coordinator raises the epoch of a transactional id.
        let mut sequence = Sequence::default();
        let identity = Identity { producer_id: 7, producer_epoch: 3, is_transactional: true };
        sequence.adopt(identity);
        let first = sequence.stamp(4).unwrap();
        assert!(first.fields().is_transactional);
        sequence.adopt(identity);
        assert_eq!(fields(sequence.stamp(1).unwrap()), (3, 4), "the same epoch goes on");
        sequence.on_gap(first);
        assert!(sequence.is_broken() && !sequence.takes_new() && !sequence.needs_restart(false));
        sequence.adopt(Identity { producer_epoch: 4, ..identity });
        assert!(!sequence.is_broken());
        assert_eq!(fields(sequence.stamp(1).unwrap()), (4, 0));
    }

    #[test]
    fn after_the_last_epoch_another_producer_id_is_needed() {
        // TransactionManager.resetIdempotentProducerId.
        let mut sequence = identified();
        for _ in 0..i16::MAX {
            assert_eq!(sequence.restart(), None);
        }
        assert_eq!(fields(sequence.stamp(1).unwrap()), (i16::MAX, 0));
        assert_eq!(sequence.restart(), Some(7));
        assert!(!sequence.is_identified());
        sequence.identify(8);
        let stamp = sequence.stamp(1).unwrap();
        assert_eq!((stamp.fields().producer_id, fields(stamp)), (8, (0, 0)));
    }
}
