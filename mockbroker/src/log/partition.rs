//! `PartitionLog`: one partition's batches in segments, and what is known of its producers and leaders.
//!
//! Appends give offsets, reads serve what was appended up to the high watermark, which follows the log end at once unless it is
//! bound. How transactions end is in `aborted`, what is cut off in `truncation`.
//!
//! Source: `UnifiedLog.append`; KIP-98, KIP-101.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;

use super::batch::Batch;
use super::compaction::LastRecord;
use super::leader_epochs::{EpochEnd, LeaderEpochs};
use super::producer_state::{ActiveProducer, Origin, Producers, Sequenced};
use super::rejected::Rejected;
use super::segment::Segment;
use super::validate::ValidBatch;
use super::verification::Joining;
use crate::cluster::TopicConfig;
use crate::time::Timestamp;

/// The log of one partition.
#[derive(Clone, Debug)]
pub(crate) struct PartitionLog {
    pub(super) log_start_offset: i64,
    pub(super) log_end_offset: i64,
    pub(super) high_watermark: i64,
    /// How far the high watermark may go, if not to the log end: replicas that are in sync lack what comes after it.
    high_watermark_bound: Option<i64>,
    /// Segments that nothing is appended to any more, in the order of offsets. Shared with whoever cleans them, which
    /// happens outside of the lock.
    pub(super) closed: Vec<Arc<Segment>>,
    /// The segment that is appended to.
    pub(super) active: Segment,
    /// The end of what the cleaner has read (its checkpoint).
    pub(super) first_dirty_offset: i64,
    /// The cleaner failed once and leaves the log alone.
    pub(super) is_uncleanable: bool,
    pub(super) leader_epochs: LeaderEpochs,
    pub(super) producers: Producers,
    /// Transactions whose marker is not below the high watermark yet: where they begin, and their marker
    /// (`ProducerStateManager.unreplicatedTxns`).
    pub(super) unreplicated: BTreeMap<i64, i64>,
}

/// What an append says of a batch, new or known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The offset of the batch's first record.
    pub(crate) base_offset: i64,
    /// The offset of its last record.
    pub(crate) last_offset: i64,
    /// The broker's time for LogAppendTime, else -1. Of a duplicate: the largest timestamp of the batch that is in the
    /// log, whichever the timestamp type.
    pub(crate) log_append_time_ms: i64,
    /// Where the log starts.
    pub(crate) log_start_offset: i64,
    /// Whether the batch was in the log already and nothing was appended.
    pub(crate) duplicate: bool,
}

impl PartitionLog {
    /// An empty log whose leader starts `leader_epoch` at offset 0.
    pub(crate) fn new(leader_epoch: i32) -> Self {
        Self {
            log_start_offset: 0,
            log_end_offset: 0,
            high_watermark: 0,
            high_watermark_bound: None,
            closed: Vec::new(),
            active: Segment::new(0, 0),
            first_dirty_offset: 0,
            is_uncleanable: false,
            leader_epochs: LeaderEpochs::new(leader_epoch),
            producers: Producers::default(),
            unreplicated: BTreeMap::new(),
        }
    }

    /// Appends `batch` at the end, under the current leader epoch, or recognises it as one of its producer's last five.
    ///
    /// # Errors
    ///
    /// RECORD_LIST_TOO_LARGE if it is longer than a segment; INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
    /// INVALID_TXN_STATE. The
    /// log is then as it was, except that a segment may have been rolled, as in Kafka.
    pub(crate) fn append(
        &mut self,
        batch: ValidBatch,
        config: &TopicConfig,
        now: Timestamp,
    ) -> Result<Appended, Rejected> {
        let (log_append_time_ms, origin) = (batch.log_append_time_ms(), batch.origin());
        let batch = batch.into_batch().placed(self.log_end_offset, self.leader_epoch());
        let is_too_long = i64::try_from(batch.size_bytes()).is_ok_and(|size| size > i64::from(config.segment_bytes));
        // What a coordinator writes has happened: it cannot be refused any more.
        if is_too_long && origin != Origin::Coordinator {
            return Err(Rejected::outside_log(ResponseError::RecordListTooLarge));
        }
        self.roll_if_due(&batch, config, now);
        match self.producers.sequence(&batch, origin)? {
            Sequenced::Duplicate(known) => {
                return Ok(Appended {
                    base_offset: known.first_offset(),
                    last_offset: known.last_offset(),
                    log_append_time_ms: known.timestamp(),
                    log_start_offset: self.log_start_offset,
                    duplicate: true,
                });
            }
            Sequenced::Next => self.producers.record(&batch),
            Sequenced::Unsequenced => {}
        }
        let (base_offset, last_offset) = (batch.base_offset(), batch.last_offset());
        self.push(batch, config, now);
        let log_start_offset = self.log_start_offset;
        Ok(Appended { base_offset, last_offset, log_append_time_ms, log_start_offset, duplicate: false })
    }

    /// Whether a batch that wants to join a transaction has to be verified by the transaction's coordinator: it is the first
    /// of its transaction here. The append then wants to be told (`ValidBatch::verified`).
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_EPOCH if the epoch is an older one.
    pub(crate) fn joins_transaction(&mut self, joining: Joining, now: Timestamp) -> Result<bool, Rejected> {
        self.producers.joins(joining, now)
    }

    /// The first offset that can be read.
    pub(crate) fn log_start_offset(&self) -> i64 {
        self.log_start_offset
    }

    /// The offset after the last record that every in-sync replica has.
    pub(crate) fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Whether something keeps the high watermark from the log end.
    pub(crate) fn is_bound(&self) -> bool {
        self.high_watermark_bound.is_some()
    }

    /// Lets the high watermark go as far as `bound`, or to the log end. It never goes back. Returns whether it moved.
    pub(crate) fn bound_high_watermark(&mut self, bound: Option<i64>) -> bool {
        let before = self.high_watermark;
        self.high_watermark_bound = bound;
        self.advance_high_watermark();
        self.high_watermark > before
    }

    fn advance_high_watermark(&mut self) {
        let to = self.high_watermark_bound.map_or(self.log_end_offset, |bound| bound.min(self.log_end_offset));
        self.high_watermark = self.high_watermark.max(to);
        self.forget_replicated();
    }

    /// A transaction is unstable until its marker is below the high watermark: before that, another leader may not have it.
    pub(super) fn forget_replicated(&mut self) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, marker_offset| *marker_offset >= self.high_watermark);
        }
    }

    /// The offset up to which every transaction has ended, on every replica that is in sync.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        #[cfg(planted_bugs)]
        if crate::planted::is("stable-too-far") {
            return self.high_watermark;
        }
        let ended = self.unreplicated.first_key_value().map(|(offset, _)| *offset);
        match self.producers.first_unstable_offset().into_iter().chain(ended).min() {
            None => self.high_watermark,
            // Retention may have taken the beginning of a transaction (`UnifiedLog.maybeIncrementFirstUnstableOffset`).
            Some(first) => first.max(self.log_start_offset).min(self.high_watermark),
        }
    }

    /// The offset the next record gets.
    pub(crate) fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// The epoch that batches are appended under.
    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epochs.latest()
    }

    /// A leader begins `leader_epoch` here: what is appended from now on bears it (`Partition.makeLeader`). An epoch that is
    /// not newer changes nothing.
    pub(crate) fn begin_leader_epoch(&mut self, leader_epoch: i32) {
        if leader_epoch > self.leader_epoch() {
            self.leader_epochs.assign(leader_epoch, self.log_end_offset);
        }
    }

    /// Whether its leader does not know yet which of the records that it began with are on all replicas in sync: what the
    /// high watermark says is older than what the leader before may have told (KIP-207).
    pub(crate) fn lags_behind_its_epoch(&self) -> bool {
        self.high_watermark < self.leader_epochs.latest_start_offset()
    }

    /// Where `requested_epoch` ended in this log (OffsetForLeaderEpoch, and `last_fetched_epoch` of Fetch).
    pub(crate) fn end_offset_for_epoch(&self, requested_epoch: i32) -> EpochEnd {
        self.leader_epochs.end_offset(requested_epoch, self.log_end_offset)
    }

    /// The bytes of all batches that are kept.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.end_position().abs_diff(self.segment(0).start_position())
    }

    /// All batches that are kept, in the order of offsets.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.segments().flat_map(Segment::entries).map(|entry| &entry.batch)
    }

    /// The producers whose state is kept, by id (DescribeProducers).
    pub(crate) fn producers(&self) -> impl Iterator<Item = ActiveProducer> + '_ {
        self.producers.iter()
    }

    /// Where each known producer wrote last: compaction keeps that batch.
    pub(super) fn last_records(&self) -> BTreeMap<i64, LastRecord> {
        self.producers.last_records()
    }

    /// Forgets producers whose last batch bears a timestamp `producer_id_expiration_ms` or more before `now`
    /// (`producer.id.expiration.ms`). The timestamp is the records', so old ones expire at once.
    pub(crate) fn expire_producers(&mut self, now: Timestamp, producer_id_expiration_ms: i64) {
        self.producers.expire(now, producer_id_expiration_ms);
    }

    /// All segments in the order of offsets, the active one last.
    pub(super) fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.closed.iter().map(Arc::as_ref).chain(std::iter::once(&self.active))
    }

    /// How many segments there are: one at least.
    pub(super) fn segment_count(&self) -> usize {
        self.closed.len() + 1
    }

    /// The segment at `place`; whatever is after the closed ones is the active one.
    pub(super) fn segment(&self, place: usize) -> &Segment {
        self.closed.get(place).map_or(&self.active, Arc::as_ref)
    }

    /// Where the next batch goes, in bytes.
    pub(super) fn end_position(&self) -> i64 {
        self.active.end_position()
    }

    /// How large the segment is that is written to.
    pub(crate) fn active_bytes(&self) -> u64 {
        self.active.size_bytes()
    }

    /// Begins a new segment, unless the active one is empty.
    pub(crate) fn roll_segment(&mut self) {
        if !self.active.entries().is_empty() {
            self.roll();
        }
    }

    /// Begins a new segment at the end of the log.
    pub(super) fn roll(&mut self) {
        let next = Segment::new(self.log_end_offset, self.end_position());
        self.closed.push(Arc::new(std::mem::replace(&mut self.active, next)));
        self.producers.take_snapshot();
    }

    /// Moves the log start forward, never back. Producers are kept: a producer whose data is gone still has its
    /// sequence, as a 4.3.1 shows.
    pub(super) fn move_log_start(&mut self, log_start_offset: i64) -> bool {
        if log_start_offset <= self.log_start_offset {
            return false;
        }
        self.log_start_offset = log_start_offset;
        self.leader_epochs.truncate_from_start(log_start_offset);
        self.check();
        true
    }

    /// Adds a batch that is at its place.
    pub(super) fn push(&mut self, batch: Batch, config: &TopicConfig, now: Timestamp) {
        self.log_end_offset = batch.last_offset() + 1;
        self.advance_high_watermark();
        self.active.push(batch, config.index_interval_bytes, now);
        self.check();
    }

    pub(super) fn roll_if_due(&mut self, batch: &Batch, config: &TopicConfig, now: Timestamp) {
        if self.active.must_roll(batch, config, now) {
            self.roll();
        }
    }

    fn check(&self) {
        debug_assert!(
            self.log_start_offset <= self.last_stable_offset()
                && self.last_stable_offset() <= self.high_watermark
                && self.high_watermark <= self.log_end_offset,
            "offsets out of order: {} {} {}",
            self.log_start_offset,
            self.high_watermark,
            self.log_end_offset
        );
    }
}
