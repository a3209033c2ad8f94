//! Records in, batches due: the queues of a producer, without any input, output or clock.
//!
//! Each partition is a lane of batches: at most one that takes records, then sealed ones, oldest first. A batch is due when
//! it is full, when it lingered long enough, or when a flush wants it. While the partition already has as many batches in
//! flight as it may have, a batch that is due stays open and takes more records, so that a linger of zero still makes
//! batches. Which lanes can send is kept in ordered indexes; nothing scans every partition.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    delivery::{Completion, Delivery, Ticket},
    partitioner::Sticky,
};
use crate::{
    batch::{
        Compression, HEADER_BYTES,
        builder::{BatchBuilder, RecordParts},
    },
    cluster::metadata::Topic,
    error::Error,
};

/// What the batcher goes by.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) batch_size: usize,
    pub(crate) linger: Duration,
    pub(crate) delivery_timeout: Duration,
    /// Batches of one partition in flight: one, unless their order cannot be lost.
    pub(crate) in_flight_per_partition: usize,
    pub(crate) compression: Compression,
}

/// A partition's number in the batcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneId(u32);

/// A sealed batch. Whoever holds it settles its ticket.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) lane: LaneId,
    pub(crate) content: Content,
    pub(crate) ticket: Ticket,
    pub(crate) created_at: Instant,
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
    /// What is sent, and never changed again.
    Bytes(Bytes),
}

#[derive(Debug)]
struct OpenBatch {
    number: u64,
    builder: BatchBuilder,
    ticket: Ticket,
    created_at: Instant,
    linger_until: Instant,
    /// Lingered long enough, and waits for its partition.
    due: bool,
}

#[derive(Debug)]
struct Lane {
    topic: Arc<str>,
    partition: i32,
    open: Option<OpenBatch>,
    sealed: VecDeque<Batch>,
    in_flight: usize,
    /// Backing off until then.
    muted_until: Option<Instant>,
    /// What the last batch came to, as a guess for the next.
    last_size: usize,
    /// The entry of the lane in `Batcher::ready`.
    ready_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct TopicLanes {
    by_partition: Vec<Option<LaneId>>,
    sticky: Sticky,
}

/// The queues of a producer.
#[derive(Debug)]
pub(crate) struct Batcher {
    limits: Limits,
    memory: Arc<Semaphore>,
    topics: HashMap<Arc<str>, TopicLanes>,
    lanes: Vec<Lane>,
    /// Lanes whose open batch is not due yet, by when it will be.
    lingering: BTreeSet<(Instant, LaneId)>,
    /// Lanes that can send, the oldest batch first.
    ready: BTreeSet<(Instant, LaneId)>,
    /// Lanes that back off, by when that ends.
    muted: BTreeSet<(Instant, LaneId)>,
    /// Batches to be compressed, oldest first.
    to_compress: VecDeque<(LaneId, u64)>,
    /// Everything that is not settled, by age.
    unsettled: BTreeMap<u64, Arc<Completion>>,
    next_number: u64,
    random: fastrand::Rng,
}

impl Batcher {
    /// The first batch of a partition reserves this much; later ones go by the last.
    const FIRST_BATCH_BYTES: usize = 1024;

    pub(crate) fn new(limits: Limits, memory: Arc<Semaphore>, random: fastrand::Rng) -> Self {
        Self {
            limits,
            memory,
            topics: HashMap::new(),
            lanes: Vec::new(),
            lingering: BTreeSet::new(),
            ready: BTreeSet::new(),
            muted: BTreeSet::new(),
            to_compress: VecDeque::new(),
            unsettled: BTreeMap::new(),
            next_number: 0,
            random,
        }
    }

    /// The partition for a record without key.
    pub(crate) fn sticky_partition(&mut self, topic: &Topic, size: usize) -> usize {
        let (lanes, batch_size) = (&self.lanes, self.limits.batch_size);
        let queues = self.topics.entry(Arc::clone(&topic.name)).or_default();
        let by_partition = &queues.by_partition;
        let begins_batch = |partition: usize| {
            let lane = by_partition.get(partition).copied().flatten();
            lane.is_none_or(|lane| match &lanes[lane.0 as usize].open {
                Some(open) => open.builder.len() + size > batch_size,
                None => true,
            })
        };
        let partition = queues.sticky.partition(&topic.partitions, batch_size, begins_batch, &mut self.random);
        queues.sticky.produced(size);
        partition
    }

    /// Appends a record to the queue of its partition. `true` when the sender has something new to look at.
    pub(crate) fn push(
        &mut self,
        topic: &Arc<str>,
        partition: usize,
        record: RecordParts<'_>,
        reserved_bytes: usize,
        now: Instant,
    ) -> (Delivery, bool) {
        let id = self.lane(topic, partition);
        let size = record.upper_bound();
        let full = |open: &OpenBatch| open.builder.len() + size > self.limits.batch_size;
        let mut wake = false;
        if self.lanes[id.0 as usize].open.as_ref().is_some_and(full) {
            self.seal(id);
            wake = true;
        }
        if self.lanes[id.0 as usize].open.is_none() {
            self.open(id, size, now);
            wake = true;
        }
        let lane = &mut self.lanes[id.0 as usize];
        let open = lane.open.as_mut().expect("a batch was opened if there was none");
        let index = open.builder.append(record);
        let delivery = open.ticket.add(index, record.timestamp, reserved_bytes);
        if open.builder.len() >= self.limits.batch_size {
            self.seal(id);
            wake = true;
        }
        if wake {
            self.index(id);
        }
        (delivery, wake)
    }

    fn lane(&mut self, topic: &Arc<str>, partition: usize) -> LaneId {
        let queues = match self.topics.get_mut(topic) {
            Some(queues) => queues,
            None => self.topics.entry(Arc::clone(topic)).or_default(),
        };
        if queues.by_partition.len() <= partition {
            queues.by_partition.resize(partition + 1, None);
        }
        *queues.by_partition[partition].get_or_insert_with(|| {
            self.lanes.push(Lane {
                topic: Arc::clone(topic),
                partition: partition as i32,
                open: None,
                sealed: VecDeque::new(),
                in_flight: 0,
                muted_until: None,
                last_size: Self::FIRST_BATCH_BYTES,
                ready_since: None,
            });
            LaneId((self.lanes.len() - 1) as u32)
        })
    }

    fn open(&mut self, id: LaneId, first_record: usize, now: Instant) {
        let lane = &mut self.lanes[id.0 as usize];
        let capacity = lane.last_size.min(self.limits.batch_size).max(HEADER_BYTES + first_record);
        let ticket = Ticket::new(Arc::clone(&lane.topic), lane.partition, Arc::clone(&self.memory));
        let number = self.next_number;
        self.next_number += 1;
        self.unsettled.insert(number, Arc::clone(ticket.completion()));
        let linger_until = now + self.limits.linger;
        let builder = BatchBuilder::new(capacity);
        lane.open = Some(OpenBatch { number, builder, ticket, created_at: now, linger_until, due: false });
        self.lingering.insert((linger_until, id));
    }

    fn seal(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0 as usize];
        let Some(open) = lane.open.take() else { return };
        self.lingering.remove(&(open.linger_until, id));
        lane.last_size = open.builder.len();
        if self.limits.compression != Compression::None {
            self.to_compress.push_back((id, open.number));
        }
        lane.sealed.push_back(Batch {
            number: open.number,
            lane: id,
            content: Content::Records(open.builder),
            ticket: open.ticket,
            created_at: open.created_at,
            failures: 0,
            maybe_written: false,
            last_error: None,
        });
    }

    /// Does what is due at `now`: lingering ends, backing off ends.
    pub(crate) fn poll(&mut self, now: Instant) {
        while let Some((instant, id)) = self.lingering.first().copied().filter(|(instant, _)| *instant <= now) {
            self.lingering.remove(&(instant, id));
            if let Some(open) = &mut self.lanes[id.0 as usize].open {
                open.due = true;
            }
            self.index(id);
        }
        while let Some((instant, id)) = self.muted.first().copied().filter(|(instant, _)| *instant <= now) {
            self.muted.remove(&(instant, id));
            self.lanes[id.0 as usize].muted_until = None;
            self.index(id);
        }
    }

    /// The earliest instant at which `poll` or `expire` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let expiry = |since: &(Instant, LaneId)| since.0 + self.limits.delivery_timeout;
        let ready = self.ready.first().map(expiry);
        [self.lingering.first().map(|entry| entry.0), self.muted.first().map(|entry| entry.0), ready]
            .into_iter()
            .flatten()
            .min()
    }

    /// Puts a lane into `ready` or takes it out, as its state is now.
    fn index(&mut self, id: LaneId) {
        let compressing = self.limits.compression != Compression::None;
        let lane = &self.lanes[id.0 as usize];
        let free = lane.in_flight < self.limits.in_flight_per_partition && lane.muted_until.is_none();
        let due = lane.sealed.is_empty() && lane.open.as_ref().is_some_and(|open| open.due);
        if free && due && compressing {
            // Compression takes its time, so it begins as soon as the partition can take the batch.
            self.seal(id);
        }
        let lane = &mut self.lanes[id.0 as usize];
        let since = match lane.sealed.front() {
            _ if !free => None,
            Some(Batch { content: Content::Compressing, .. }) => None,
            Some(Batch { content: Content::Records(_), .. }) if compressing => None,
            Some(batch) => Some(batch.created_at),
            None => lane.open.as_ref().filter(|open| open.due).map(|open| open.created_at),
        };
        if lane.ready_since == since {
            return;
        }
        if let Some(old) = std::mem::replace(&mut lane.ready_since, since) {
            self.ready.remove(&(old, id));
        }
        if let Some(new) = since {
            self.ready.insert((new, id));
        }
    }

    /// The lanes that can send, the oldest batch first, with topic and partition.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (LaneId, &Arc<str>, i32)> {
        self.ready.iter().map(|(_, id)| {
            let lane = &self.lanes[id.0 as usize];
            (*id, &lane.topic, lane.partition)
        })
    }

    /// How big the next batch of a ready lane is.
    pub(crate) fn next_size(&self, id: LaneId) -> usize {
        let lane = &self.lanes[id.0 as usize];
        match lane.sealed.front().map(|batch| &batch.content) {
            Some(Content::Bytes(bytes)) => bytes.len(),
            Some(Content::Records(builder)) => builder.len(),
            Some(Content::Compressing) => 0,
            None => lane.open.as_ref().map_or(0, |open| open.builder.len()),
        }
    }

    /// Takes the next batch of a ready lane; it counts as in flight until it comes back or is settled.
    pub(crate) fn take(&mut self, id: LaneId) -> Option<Batch> {
        self.lanes[id.0 as usize].ready_since?;
        if self.lanes[id.0 as usize].sealed.is_empty() {
            self.seal(id);
        }
        let lane = &mut self.lanes[id.0 as usize];
        let batch = lane.sealed.pop_front()?;
        lane.in_flight += 1;
        self.index(id);
        Some(batch)
    }

    /// A batch that was taken is settled, whatever its outcome.
    pub(crate) fn settled(&mut self, id: LaneId, number: u64) {
        self.unsettled.remove(&number);
        self.lanes[id.0 as usize].in_flight -= 1;
        self.index(id);
    }

    /// A batch that was taken failed and goes out again, before everything behind it.
    pub(crate) fn put_back(&mut self, batch: Batch, not_before: Instant, now: Instant) {
        let id = batch.lane;
        let lane = &mut self.lanes[id.0 as usize];
        lane.in_flight -= 1;
        let place = lane.sealed.partition_point(|other| other.number < batch.number);
        lane.sealed.insert(place, batch);
        if not_before > now {
            if let Some(old) = lane.muted_until.replace(not_before) {
                self.muted.remove(&(old, id));
            }
            self.muted.insert((not_before, id));
        }
        self.index(id);
    }

    /// The next batch to be compressed, with the number to bring it back under.
    pub(crate) fn next_to_compress(&mut self) -> Option<(LaneId, u64, BatchBuilder)> {
        while let Some((id, number)) = self.to_compress.pop_front() {
            let mut sealed = self.lanes[id.0 as usize].sealed.iter_mut();
            if let Some(batch) = sealed.find(|batch| batch.number == number)
                && let Content::Records(builder) = std::mem::replace(&mut batch.content, Content::Compressing)
            {
                return Some((id, number, builder));
            }
        }
        None
    }

    /// A batch was compressed.
    pub(crate) fn compressed(&mut self, id: LaneId, number: u64, bytes: Bytes) {
        let mut sealed = self.lanes[id.0 as usize].sealed.iter_mut();
        if let Some(batch) = sealed.find(|batch| batch.number == number) {
            batch.content = Content::Bytes(bytes);
        }
        self.index(id);
    }

    /// Takes a batch out of its queue for good, such as one that could not be compressed.
    pub(crate) fn remove(&mut self, id: LaneId, number: u64) -> Option<Batch> {
        let sealed = &mut self.lanes[id.0 as usize].sealed;
        let index = sealed.iter().position(|batch| batch.number == number)?;
        let batch = sealed.remove(index);
        self.unsettled.remove(&number);
        self.index(id);
        batch
    }

    /// The batches whose time is up and that are not in flight, in the order of each partition.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Batch> {
        let created_before = now.checked_sub(self.limits.delivery_timeout);
        let Some(created_before) = created_before else { return Vec::new() };
        let ready = self.ready.iter().take_while(|(since, _)| *since <= created_before).map(|(_, id)| *id);
        let lanes: Vec<_> = ready.chain(self.muted.iter().map(|(_, id)| *id)).collect();
        let mut expired = Vec::new();
        for id in lanes {
            if self.lanes[id.0 as usize].open.as_ref().is_some_and(|open| open.created_at <= created_before) {
                self.seal(id);
            }
            let lane = &mut self.lanes[id.0 as usize];
            while lane.sealed.front().is_some_and(|batch| {
                batch.created_at <= created_before && !matches!(batch.content, Content::Compressing)
            }) {
                let batch = lane.sealed.pop_front().expect("there is a front");
                self.unsettled.remove(&batch.number);
                expired.push(batch);
            }
            self.index(id);
        }
        expired
    }

    /// Seals every open batch, and names everything that was pushed so far and is not settled.
    pub(crate) fn flush(&mut self) -> Vec<Arc<Completion>> {
        for index in 0..self.lanes.len() {
            if self.lanes[index].open.is_some() {
                self.seal(LaneId(index as u32));
                self.index(LaneId(index as u32));
            }
        }
        self.unsettled.values().map(Arc::clone).collect()
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Every topic that was ever sent to.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.keys()
    }

    /// Gives up everything that is not in flight.
    pub(crate) fn drain(&mut self) -> Vec<Batch> {
        self.flush();
        let batches: Vec<_> = self.lanes.iter_mut().flat_map(|lane| lane.sealed.drain(..)).collect();
        for batch in &batches {
            self.unsettled.remove(&batch.number);
        }
        (0..self.lanes.len()).for_each(|index| self.index(LaneId(index as u32)));
        batches
    }
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
