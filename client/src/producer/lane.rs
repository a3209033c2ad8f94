//! The queue of one partition, and the batches in it. Pure, like the [`batcher`](super::batcher) that owns it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    delivery::Ticket,
    sequence::{Sequence, Stamp},
};
use crate::{
    batch::{
        Compression,
        builder::{BatchBuilder, ClosedBatch, ProducerFields, RecordParts},
        cursor::{self, Batches},
    },
    error::{BatchError, Error, Written},
    record::Header,
};

/// What the batcher goes by.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) batch_size: usize,
    pub(crate) batch_records: usize,
    pub(crate) linger: Duration,
    pub(crate) delivery_timeout: Duration,
    /// Batches of one partition in flight: one, unless their order cannot be lost.
    pub(crate) in_flight_per_partition: usize,
    pub(crate) compression: Compression,
    pub(crate) idempotence: bool,
    /// Epochs are given out by the coordinator of transactions, not by the first broker that is asked.
    pub(crate) transactional: bool,
    /// Whether shorter queues get more (KIP-794).
    pub(crate) adaptive: bool,
    /// How long a broker may take nothing before records without a partition go elsewhere; zero is for ever.
    pub(crate) availability_timeout: Duration,
}

impl Limits {
    /// Whether a batch needs nothing before it can be sent.
    pub(super) fn is_closed(&self, content: &Content) -> bool {
        match content {
            Content::Records(_) => self.compression == Compression::None,
            Content::Compressing => false,
            Content::Closed(_) | Content::Bytes(..) => true,
        }
    }
}

/// A partition's number in the batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(pub(super) u32);

/// A sealed batch. Whoever holds it settles its ticket.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) lane: LaneId,
    pub(crate) content: Content,
    pub(crate) ticket: Ticket,
    pub(crate) record_count: u32,
    pub(crate) created_at: Instant,
    /// Its sequence, from the first attempt on (with idempotence).
    pub(crate) stamp: Option<Stamp>,
    /// Attempts that failed.
    pub(crate) failures: u32,
    /// Whether one of them may have written it.
    pub(crate) maybe_written: bool,
    /// Why the last one failed.
    pub(crate) last_error: Option<Error>,
}

/// The records of a batch, on their way to bytes.
#[derive(Debug)]
pub(crate) enum Content {
    /// To be closed.
    Records(BatchBuilder),
    /// Being compressed somewhere else.
    Compressing,
    /// Closed, and never sent.
    Closed(ClosedBatch),
    /// What was sent, and the stamp in it.
    Bytes(Bytes, Option<Stamp>),
}

impl Batch {
    /// Its place among the batches of the partition: parts of a batch that was split have one number.
    pub(super) fn order(&self) -> (u64, u32) {
        (self.number, self.ticket.first())
    }

    /// How many bytes it takes in a request, as far as is known.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            Content::Records(builder) => builder.len(),
            Content::Compressing => 0,
            Content::Closed(closed) => closed.len(),
            Content::Bytes(bytes, _) => bytes.len(),
        }
    }

    /// What is sent. The same at every attempt with the same stamp.
    pub(super) fn bytes(&mut self) -> Bytes {
        let closed = match std::mem::replace(&mut self.content, Content::Compressing) {
            Content::Bytes(bytes, stamp) if stamp == self.stamp => {
                self.content = Content::Bytes(bytes.clone(), stamp);
                return bytes;
            }
            Content::Bytes(bytes, _) => ClosedBatch::reopen(bytes),
            Content::Closed(closed) => closed,
            Content::Records(builder) => {
                let closed = builder.close(Compression::None);
                closed.expect("without compression a batch only fails above 2 GiB, which max_request_size excludes")
            }
            Content::Compressing => unreachable!("a batch that is being compressed is not ready to be taken"),
        };
        let bytes = closed.finish(self.stamp.map_or(ProducerFields::NONE, Stamp::fields));
        self.content = Content::Bytes(bytes.clone(), self.stamp);
        bytes
    }

    /// Settles a batch that will not be sent again.
    pub(super) fn fail(mut self, error: Error) {
        let written = if self.maybe_written { Written::MaybeWritten } else { Written::NotWritten };
        let cause = self.last_error.take().unwrap_or(error);
        self.ticket.fail(written, cause);
    }

    /// Makes two batches of one that a broker found too large. Both begin anew, but with the sequences and the age that they
    /// have.
    pub(super) fn split(mut self) -> Result<(Self, Self), Box<(Self, BatchError)>> {
        let Content::Bytes(bytes, _) = &self.content else {
            let reason = BatchError::Malformed("a batch that was never sent is not split");
            return Err(Box::new((self, reason)));
        };
        let in_first = self.record_count / 2;
        let (first, second) = match halves(bytes, in_first) {
            Ok(halves) => halves,
            Err(error) => return Err(Box::new((self, error))),
        };
        let ticket = self.ticket.split_off(in_first);
        let second = Self {
            number: self.number,
            lane: self.lane,
            content: Content::Records(second),
            ticket,
            record_count: self.record_count - in_first,
            created_at: self.created_at,
            stamp: self.stamp.map(|stamp| stamp.skip(in_first)),
            failures: 0,
            maybe_written: false,
            last_error: None,
        };
        self.content = Content::Records(first);
        self.record_count = in_first;
        self.failures = 0;
        Ok((self, second))
    }
}

/// Writes the records of a batch into two builders, `in_first` into the first one.
fn halves(bytes: &Bytes, in_first: u32) -> Result<(BatchBuilder, BatchBuilder), BatchError> {
    let whole = Batches::new(bytes.clone()).next_batch()?.ok_or(BatchError::Malformed("a batch of ours is cut off"))?;
    let open = whole.open(false, i32::MAX as usize)?;
    let mut halves = [BatchBuilder::new(open.records.len() / 2), BatchBuilder::new(open.records.len() / 2)];
    let mut walk = open.walk();
    let mut index = 0;
    while let Some(span) = walk.next_record(&open) {
        let span = span?;
        let headers: Vec<Header> = cursor::headers(&open.records, &span)
            .map(|(key, value)| Header { key: key.to_owned(), value: value.map(Bytes::copy_from_slice) })
            .collect();
        halves[usize::from(index >= in_first)].append(RecordParts {
            timestamp: span.timestamp.as_millis(),
            key: span.key.map(|key| cursor::part(&open.records, key)),
            value: span.value.map(|value| cursor::part(&open.records, value)),
            headers: &headers,
        });
        index += 1;
    }
    let [first, second] = halves;
    Ok((first, second))
}

/// The batch that takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) number: u64,
    pub(super) builder: BatchBuilder,
    pub(super) ticket: Ticket,
    pub(super) created_at: Instant,
    pub(super) linger_until: Instant,
    /// Lingered long enough, and waits for its partition.
    pub(super) due: bool,
}

/// The queue of a partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) open: Option<OpenBatch>,
    /// Oldest first.
    pub(super) sealed: VecDeque<Batch>,
    /// The orders of the batches in flight.
    pub(super) flying: Vec<(u64, u32)>,
    /// The connection that those in flight took.
    pub(super) route: u64,
    pub(super) sequence: Sequence,
    /// Whether the open transaction has the partition, so that it can be written to.
    pub(super) admitted: bool,
    /// Backing off until then.
    pub(super) muted_until: Option<Instant>,
    /// What the last batch came to, as a guess for the next.
    pub(super) last_size: usize,
    /// The lane's entries in the indexes of the batcher.
    pub(super) ready_since: Option<Instant>,
    pub(super) expires_since: Option<Instant>,
}

impl Lane {
    /// The first batch of a partition reserves this much; later ones go by the last.
    const FIRST_BATCH_BYTES: usize = 1024;

    pub(super) fn new(topic: Arc<str>, partition: i32) -> Self {
        Self {
            topic,
            partition,
            open: None,
            sealed: VecDeque::new(),
            flying: Vec::new(),
            route: 0,
            sequence: Sequence::default(),
            admitted: true,
            muted_until: None,
            last_size: Self::FIRST_BATCH_BYTES,
            ready_since: None,
            expires_since: None,
        }
    }

    /// Batches that wait, the open one among them (`RecordAccumulator.partitionReady`: the length of the deque).
    pub(super) fn queued(&self) -> usize {
        self.sealed.len() + usize::from(self.open.is_some())
    }

    /// Whether anything waits or is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.queued() > 0 || !self.flying.is_empty()
    }

    /// Whether the next batch is one that waits for its transaction to begin.
    pub(super) fn is_behind(&self, barrier: Option<u64>) -> bool {
        let open = || self.open.as_ref().map(|open| open.number);
        let next = self.sealed.front().map(|batch| batch.number).or_else(open);
        #[cfg(planted_bugs)]
        if crate::planted::is("staged-early") {
            return false;
        }
        barrier.zip(next).is_some_and(|(barrier, next)| next >= barrier)
    }

    /// Whether the partition can have another batch in flight.
    pub(super) fn is_free(&self, limits: &Limits) -> bool {
        self.admitted && self.flying.len() < limits.in_flight_per_partition && self.muted_until.is_none()
    }

    /// Since when the next batch waits, if it can be sent.
    ///
    /// A batch that was sent before goes out by itself, when nothing else of its partition is in flight: whatever it was that
    /// failed, the batches are then written in their order (Java `RecordAccumulator.shouldStopDrainBatchesForPartition`).
    pub(super) fn ready_since(&self, limits: &Limits) -> Option<Instant> {
        if !self.is_free(limits) {
            return None;
        }
        let behind_others = !self.flying.is_empty();
        let takes_new =
            !limits.idempotence || (self.sequence.takes_new() && (!behind_others || self.sequence.takes_several()));
        match self.sealed.front() {
            Some(batch) if !limits.is_closed(&batch.content) => None,
            Some(batch) if batch.stamp.is_some() => self.flying.is_empty().then_some(batch.created_at),
            Some(batch) => takes_new.then_some(batch.created_at),
            None => self.open.as_ref().filter(|open| open.due && takes_new).map(|open| open.created_at),
        }
    }

    /// Since when the next batch waits for its broker alone, whether what is in flight keeps it back or a connection does. A
    /// batch that was full sooner counts from the end of its lingering.
    pub(super) fn waits_since(&self, limits: &Limits) -> Option<Instant> {
        if !self.admitted || self.muted_until.is_some() {
            return None;
        }
        match self.sealed.front() {
            Some(batch) => limits.is_closed(&batch.content).then_some(batch.created_at + limits.linger),
            None => self.open.as_ref().filter(|open| open.due).map(|open| open.linger_until),
        }
    }

    /// Since when the next batch waits, if it may be given up. What is in flight is older, and settled before.
    pub(super) fn expires_since(&self, limits: &Limits) -> Option<Instant> {
        if !self.flying.is_empty() {
            return None;
        }
        match self.sealed.front() {
            Some(batch) => limits.is_closed(&batch.content).then_some(batch.created_at),
            None => self.open.as_ref().filter(|open| open.due).map(|open| open.created_at),
        }
    }

    /// Puts a batch back in its place.
    pub(super) fn insert(&mut self, batch: Batch) {
        let place = self.sealed.partition_point(|other| other.order() < batch.order());
        self.sealed.insert(place, batch);
    }

    /// A batch is no longer in flight.
    pub(super) fn landed(&mut self, batch: &Batch) {
        let order = batch.order();
        self.flying.retain(|flying| *flying != order);
    }

    /// Whether no older batch is unsettled, where `batch` is in flight.
    pub(super) fn is_oldest(&self, batch: &Batch) -> bool {
        let order = batch.order();
        self.flying.iter().all(|other| *other >= order) && self.sealed.front().is_none_or(|other| other.order() > order)
    }

    /// What waits is given up: whatever of it was sent before may be in the log or not.
    pub(super) fn doubt_waiting(&mut self) {
        for batch in &self.sealed {
            if let Some(stamp) = batch.stamp {
                self.sequence.on_given_up(stamp, batch.record_count);
            }
        }
    }

    /// Starts the sequences over, if that is due. `Some` with the producer id when that has no epoch left.
    pub(super) fn restart_if_due(&mut self) -> Option<i64> {
        if !self.flying.is_empty() {
            return None;
        }
        let answers_lost = self.sealed.iter().any(|batch| batch.stamp.is_some() && batch.maybe_written);
        if !self.sequence.needs_restart(answers_lost) {
            return None;
        }
        tracing::warn!(topic = %self.topic, partition = self.partition, "sequences start over with the next epoch");
        self.sealed.iter_mut().for_each(|batch| batch.stamp = None);
        self.sequence.restart()
    }
}
