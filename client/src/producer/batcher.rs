//! Records in, batches due: the queues of a producer, without any input, output or clock.
//!
//! Each partition is a lane of batches: at most one that takes records, then sealed ones, oldest first. A batch is due when
//! it is full, when it lingered long enough, or when a flush wants it. While the partition already has as many batches in
//! flight as it may have, a batch that is due stays open and takes more records, so that a linger of zero still makes
//! batches. Which lanes can send is kept in ordered indexes; nothing scans every partition.

mod admission;
mod ahead;
mod spare;
mod stalls;
mod topics;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use tokio::{sync::Semaphore, time::Instant};

pub(crate) use self::topics::TopicIndex;
use self::{spare::Spare, topics::Topics};
pub(crate) use super::lane::{Batch, Content, LaneId, Limits};
use super::{
    delivery::{Completion, Delivery, Ticket},
    lane::{Lane, OpenBatch},
    sequence::Identity,
};
use crate::{
    batch::{
        Compression, HEADER_BYTES,
        builder::{BatchBuilder, ClosedBatch, RecordParts},
    },
    error::BatchError,
};

/// The queues of a producer.
#[derive(Debug)]
pub(crate) struct Batcher {
    limits: Limits,
    memory: Arc<Semaphore>,
    topics: Topics,
    lanes: Vec<Lane>,
    /// With idempotence, once a broker gave one out.
    producer_id: Option<i64>,
    /// Of a transactional producer.
    identity: Option<Identity>,
    /// Partitions need to be added to the transaction before they are written to.
    admits_by_request: bool,
    /// Lanes that wait to be added.
    unadmitted: Vec<LaneId>,
    /// Brokers that take nothing of what waits for them, and since when.
    stalled: BTreeMap<i32, Instant>,
    /// Batches from this number on belong to the transaction after the one that is being committed, and wait for it.
    barrier: Option<u64>,
    /// Lanes whose open batch is not due yet, by when it will be.
    lingering: BTreeSet<(Instant, LaneId)>,
    /// Lanes that can send, the oldest batch first.
    ready: BTreeSet<(Instant, LaneId)>,
    /// Lanes whose next batch may be given up, the oldest first.
    expiring: BTreeSet<(Instant, LaneId)>,
    /// Lanes that back off, by when that ends.
    muted: BTreeSet<(Instant, LaneId)>,
    /// Batches to be compressed, oldest first.
    to_compress: VecDeque<(LaneId, (u64, u32))>,
    /// Everything that is not settled, by age, with the number of its parts.
    unsettled: BTreeMap<u64, (Arc<Completion>, usize)>,
    next_number: u64,
    random: fastrand::Rng,
    spare: Spare,
}

impl Batcher {
    pub(crate) fn new(limits: Limits, memory: Arc<Semaphore>, random: fastrand::Rng) -> Self {
        Self {
            limits,
            memory,
            topics: Topics::default(),
            lanes: Vec::new(),
            producer_id: None,
            identity: None,
            admits_by_request: false,
            unadmitted: Vec::new(),
            stalled: BTreeMap::new(),
            barrier: None,
            lingering: BTreeSet::new(),
            ready: BTreeSet::new(),
            expiring: BTreeSet::new(),
            muted: BTreeSet::new(),
            to_compress: VecDeque::new(),
            unsettled: BTreeMap::new(),
            next_number: 0,
            random,
            spare: Spare::default(),
        }
    }

    /// Appends a record, which takes `size` bytes at most and has reserved them, to the queue of its partition. `true` when the
    /// sender has something new to look at. The time is asked for only where a batch begins.
    pub(crate) fn push(
        &mut self,
        topic: TopicIndex,
        partition: usize,
        record: RecordParts<'_>,
        size: usize,
        now: impl FnOnce() -> Instant,
    ) -> (Delivery, bool) {
        let id = self.lane(topic, partition);
        let full = |open: &OpenBatch| open.builder.len() + size > self.limits.batch_size;
        let mut wake = false;
        if self.lanes[id.0 as usize].open.as_ref().is_some_and(full) {
            self.seal(id);
            wake = true;
        }
        if self.lanes[id.0 as usize].open.is_none() {
            let now = now();
            self.open(id, size, now);
            self.topics.used(topic, now);
            wake = true;
        }
        let lane = &mut self.lanes[id.0 as usize];
        let open = lane.open.as_mut().expect("a batch was opened if there was none");
        let index = open.builder.append_bounded(record, size);
        let delivery = open.ticket.add(index, record.timestamp, size);
        let records = open.builder.record_count() as usize;
        if open.builder.len() >= self.limits.batch_size || records >= self.limits.batch_records {
            self.seal(id);
            wake = true;
        }
        if wake {
            self.index(id);
        }
        (delivery, wake)
    }

    fn open(&mut self, id: LaneId, first_record: usize, now: Instant) {
        let lane = &mut self.lanes[id.0 as usize];
        let capacity = lane.last_size.min(self.limits.batch_size).max(HEADER_BYTES + first_record);
        let ticket = Ticket::new(Arc::clone(&lane.topic), lane.partition, Arc::clone(&self.memory));
        let number = self.next_number;
        self.next_number += 1;
        self.unsettled.insert(number, (Arc::clone(ticket.completion()), 1));
        let linger_until = now + self.limits.linger;
        let builder = BatchBuilder::within(self.spare.take(capacity), capacity);
        if !lane.admitted && self.barrier.is_none() && !self.unadmitted.contains(&id) {
            self.unadmitted.push(id);
        }
        lane.open = Some(OpenBatch { number, builder, ticket, created_at: now, linger_until, due: false });
        self.lingering.insert((linger_until, id));
    }

    fn seal(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0 as usize];
        let Some(open) = lane.open.take() else { return };
        self.lingering.remove(&(open.linger_until, id));
        lane.last_size = open.builder.len();
        if self.limits.compression != Compression::None {
            self.to_compress.push_back((id, (open.number, 0)));
        }
        lane.sealed.push_back(Batch {
            number: open.number,
            lane: id,
            record_count: open.builder.record_count(),
            content: Content::Records(open.builder),
            ticket: open.ticket,
            created_at: open.created_at,
            stamp: None,
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
        let expiry = self.expiring.first().map(|entry| entry.0 + self.limits.delivery_timeout);
        [self.lingering.first().map(|entry| entry.0), self.muted.first().map(|entry| entry.0), expiry]
            .into_iter()
            .flatten()
            .min()
    }

    /// Puts a lane into the indexes that it belongs to, as its state is now.
    fn index(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.0 as usize];
        if let Some(used_up) = lane.restart_if_due() {
            match self.producer_id {
                // Another partition has got a new one already.
                Some(producer_id) if producer_id != used_up => lane.sequence.identify(producer_id),
                _ => self.producer_id = None,
            }
        }
        let due = lane.sealed.is_empty() && lane.open.as_ref().is_some_and(|open| open.due);
        if due && self.limits.compression != Compression::None && lane.is_free(&self.limits) {
            // Compression takes its time, so it begins as soon as the partition can take the batch.
            self.seal(id);
        }
        let lane = &mut self.lanes[id.0 as usize];
        let ready = lane.ready_since(&self.limits).filter(|_| !lane.is_behind(self.barrier));
        let expires = lane.expires_since(&self.limits);
        reindex(&mut self.ready, id, &mut lane.ready_since, ready);
        reindex(&mut self.expiring, id, &mut lane.expires_since, expires);
    }

    /// The lanes that can send, the oldest batch first, with topic and partition; and the route that the next batch has to
    /// take, because others that it must not overtake are on it.
    pub(crate) fn ready(&self) -> impl Iterator<Item = (LaneId, &Arc<str>, i32, Option<u64>)> {
        self.ready.iter().map(|(_, id)| {
            let lane = &self.lanes[id.0 as usize];
            (*id, &lane.topic, lane.partition, self.route(*id))
        })
    }

    /// The route that the next batch of a lane has to take.
    pub(crate) fn route(&self, id: LaneId) -> Option<u64> {
        let lane = &self.lanes[id.0 as usize];
        (!lane.flying.is_empty()).then_some(lane.route)
    }

    /// How big the next batch of a ready lane is.
    pub(crate) fn next_size(&self, id: LaneId) -> usize {
        let lane = &self.lanes[id.0 as usize];
        let open = || lane.open.as_ref().map_or(0, |open| open.builder.len());
        lane.sealed.front().map_or_else(open, Batch::size)
    }

    /// Takes the next batch of a ready lane; it counts as in flight until it comes back or is settled. With idempotence it
    /// gets its sequence here, so sequences are in the order of the takes.
    pub(crate) fn take(&mut self, id: LaneId, route: u64) -> Option<Batch> {
        self.lanes[id.0 as usize].ready_since?;
        if self.lanes[id.0 as usize].sealed.is_empty() {
            self.seal(id);
        }
        let lane = &mut self.lanes[id.0 as usize];
        let mut batch = lane.sealed.pop_front()?;
        if self.limits.idempotence && batch.stamp.is_none() {
            batch.stamp = lane.sequence.stamp(batch.record_count);
        }
        lane.flying.push(batch.order());
        lane.route = route;
        self.index(id);
        Some(batch)
    }

    /// A batch that was taken is in the log.
    pub(crate) fn written(&mut self, batch: &Batch) {
        if let Some(stamp) = batch.stamp {
            self.lanes[batch.lane.0 as usize].sequence.on_written(stamp);
        }
        self.landed(batch);
    }

    /// A batch that was taken is not sent again.
    pub(crate) fn given_up(&mut self, batch: &Batch) {
        if let Some(stamp) = batch.stamp {
            self.lanes[batch.lane.0 as usize].sequence.on_given_up(stamp, batch.record_count);
        }
        self.landed(batch);
    }

    fn landed(&mut self, batch: &Batch) {
        self.settled(batch.number);
        self.lanes[batch.lane.0 as usize].landed(batch);
        self.index(batch.lane);
    }

    fn settled(&mut self, number: u64) {
        if let Some((_, parts)) = self.unsettled.get_mut(&number) {
            *parts -= 1;
            if *parts == 0 {
                self.unsettled.remove(&number);
            }
        }
    }

    /// A batch that was taken was refused because of its sequence. `true` if that proves a gap before it; otherwise it will
    /// follow what it has to follow when it is sent again.
    pub(crate) fn out_of_sequence(&mut self, batch: &Batch) -> bool {
        let lane = &mut self.lanes[batch.lane.0 as usize];
        let oldest = lane.is_oldest(batch);
        if let Some(stamp) = batch.stamp
            && oldest
        {
            lane.sequence.on_gap(stamp);
        }
        oldest
    }

    /// A batch that was taken failed and goes out again, before everything behind it.
    pub(crate) fn put_back(&mut self, batch: Batch, not_before: Instant, now: Instant) {
        let id = batch.lane;
        let lane = &mut self.lanes[id.0 as usize];
        lane.landed(&batch);
        #[cfg(planted_bugs)]
        let batch = if crate::planted::is("sequence-reset") {
            Batch { stamp: lane.sequence.stamp(batch.record_count), ..batch }
        } else {
            batch
        };
        lane.insert(batch);
        if not_before > now && lane.muted_until.is_none_or(|until| until < not_before) {
            if let Some(old) = lane.muted_until.replace(not_before) {
                self.muted.remove(&(old, id));
            }
            self.muted.insert((not_before, id));
        }
        self.index(id);
    }

    /// A batch that was taken was too large for the broker: it goes out again as two.
    pub(crate) fn split(&mut self, batch: Batch) -> Result<(), Box<(Batch, BatchError)>> {
        let id = batch.lane;
        let (first, second) = batch.split()?;
        let lane = &mut self.lanes[id.0 as usize];
        lane.landed(&first);
        self.unsettled.entry(first.number).and_modify(|(_, parts)| *parts += 1);
        for part in [first, second] {
            if self.limits.compression != Compression::None {
                self.to_compress.push_back((id, part.order()));
            }
            lane.insert(part);
        }
        self.index(id);
        Ok(())
    }

    /// The next batch to be compressed, with the place to bring it back to.
    pub(crate) fn next_to_compress(&mut self) -> Option<(LaneId, (u64, u32), BatchBuilder)> {
        while let Some((id, order)) = self.to_compress.pop_front() {
            if let Some(batch) = self.find(id, order)
                && let Content::Records(builder) = std::mem::replace(&mut batch.content, Content::Compressing)
            {
                return Some((id, order, builder));
            }
        }
        None
    }

    /// A batch was compressed.
    pub(crate) fn compressed(&mut self, id: LaneId, order: (u64, u32), closed: ClosedBatch) {
        if let Some(batch) = self.find(id, order) {
            batch.content = Content::Closed(closed);
        }
        self.index(id);
    }

    fn find(&mut self, id: LaneId, order: (u64, u32)) -> Option<&mut Batch> {
        self.lanes[id.0 as usize].sealed.iter_mut().find(|batch| batch.order() == order)
    }

    /// Takes a batch out of its queue for good, such as one that could not be compressed.
    pub(crate) fn remove(&mut self, id: LaneId, order: (u64, u32)) -> Option<Batch> {
        let lane = &mut self.lanes[id.0 as usize];
        let index = lane.sealed.iter().position(|batch| batch.order() == order)?;
        let batch = lane.sealed.remove(index)?;
        if let Some(stamp) = batch.stamp {
            lane.sequence.on_given_up(stamp, batch.record_count);
        }
        self.settled(batch.number);
        self.index(id);
        Some(batch)
    }

    /// The batches whose time is up and that are not in flight, in the order of each partition.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Batch> {
        let Some(created_before) = now.checked_sub(self.limits.delivery_timeout) else { return Vec::new() };
        let mut expired = Vec::new();
        while let Some((_, id)) = self.expiring.first().copied().filter(|(since, _)| *since <= created_before) {
            if self.lanes[id.0 as usize].sealed.is_empty() {
                self.seal(id);
            }
            let lane = &mut self.lanes[id.0 as usize];
            while let Some(batch) = lane
                .sealed
                .pop_front_if(|batch| batch.created_at <= created_before && self.limits.is_closed(&batch.content))
            {
                if let Some(stamp) = batch.stamp {
                    lane.sequence.on_given_up(stamp, batch.record_count);
                }
                expired.push(batch);
            }
            self.index(id);
        }
        for batch in &expired {
            self.settled(batch.number);
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
        self.unsettled.values().map(|(completion, _)| Arc::clone(completion)).collect()
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.unsettled.is_empty()
    }

    /// Gives up everything that is not in flight.
    pub(crate) fn drain(&mut self) -> Vec<Batch> {
        self.drain_if(|_| true)
    }

    /// Gives up everything that waits for a producer id.
    pub(crate) fn drain_unidentified(&mut self) -> Vec<Batch> {
        self.drain_if(|lane| !lane.sequence.is_identified())
    }

    fn drain_if(&mut self, condition: impl Fn(&Lane) -> bool) -> Vec<Batch> {
        let mut drained = Vec::new();
        for index in 0..self.lanes.len() {
            if condition(&self.lanes[index]) {
                let id = LaneId(index as u32);
                self.seal(id);
                let lane = &mut self.lanes[index];
                if self.limits.transactional {
                    lane.doubt_waiting();
                }
                drained.extend(lane.sealed.drain(..));
                self.index(id);
            }
        }
        for batch in &drained {
            self.settled(batch.number);
        }
        drained
    }
}

/// Moves a lane in an index from the instant that it is under to another one.
fn reindex(index: &mut BTreeSet<(Instant, LaneId)>, id: LaneId, entry: &mut Option<Instant>, instant: Option<Instant>) {
    if *entry == instant {
        return;
    }
    if let Some(old) = std::mem::replace(entry, instant) {
        index.remove(&(old, id));
    }
    if let Some(new) = instant {
        index.insert((new, id));
    }
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;
