//! Where each assigned partition stands: what to look up, what to fetch, what is buffered, what the program has had.
//!
//! Pure. Every partition has a version that grows with each seek; an answer to an older version is dropped, so what was
//! fetched before a seek never shows up after it. Two positions are kept: where to fetch next, and what the program gets
//! next. The second one moves only when the program has been given something.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Offset, isolation::Aborted};
use crate::{batch::cursor::Batches, error::Error};

/// A partition's number in the consumer.
pub(crate) type Slot = usize;

/// One assigned partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Grows with each seek.
    pub(super) version: u64,
    pub(super) state: State,
    /// The leader epoch of the batch before the next one to be fetched, -1 if it is not known.
    pub(super) fetched_epoch: i32,
    /// The epoch of the leader that has confirmed that, -1 for none.
    pub(super) confirmed_by: i32,
    /// Which topic it is, by the id that it had when it was fetched first; nil before.
    pub(crate) topic_id: Uuid,
    /// The replica that the leader sent us to, and until when we go there (KIP-392).
    pub(super) preferred: Option<(i32, Instant)>,
    /// The next offset that the program gets, once it is known.
    pub(super) position: Option<i64>,
    pub(super) paused: bool,
    /// Not to be read for now, whatever the program says: its offset is not known yet, or another member is to have it.
    pub(super) held: bool,
    /// The leader epoch of the last batch that the program was given.
    pub(super) leader_epoch: i32,
    /// Everything below is done with, as far as the program told by asking for more, or by name.
    pub(super) finished: Option<i64>,
    /// The leader epoch of the last batch before that, where it is known.
    pub(super) finished_epoch: i32,
    /// Given out since the program asked for more.
    pub(super) given: bool,
    /// Which of its assignments this is.
    pub(super) assignment: u64,
    /// A stream of its own gives it out, and may be at work on it still.
    pub(super) streamed: bool,
    /// A stream of its own was begun for this assignment.
    pub(super) stream_begun: bool,
    /// Since when the program has been at work on what its stream gave out.
    pub(super) busy_since: Option<Instant>,
    /// What was committed last, by us.
    pub(super) committed: Option<i64>,
    /// Where the log ends for a reader, as of the last fetch.
    pub(super) end_offset: Option<i64>,
    pub(super) buffered_bytes: usize,
    pub(super) failures: u32,
    pub(super) muted_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The offset has to be looked up.
    Unresolved(Offset),
    /// A lookup is under way.
    Resolving(Offset),
    /// To be fetched from this offset.
    Ready(i64),
    /// A fetch from this offset is under way.
    Fetching(i64),
    /// The leader is asked whether its log has what was read before this offset.
    Confirming(i64),
    /// Cannot be read from here. Only a seek helps.
    Stuck,
}

/// A partition in a request: what it was asked for, and at which version.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<T> {
    pub(crate) slot: Slot,
    pub(crate) version: u64,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) what: T,
    /// The leader epoch of the batch before it, -1 if it is not known.
    pub(crate) epoch: i32,
}

/// What waits for the program.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) slot: Slot,
    pub(crate) version: u64,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// Batches as they were fetched, those that are left out, and their size.
    Batches(Batches, Arc<Aborted>, usize),
    /// Told once.
    Error(Error),
}

#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(super) partitions: Vec<Partition>,
    pub(super) by_name: BTreeMap<Arc<str>, BTreeMap<i32, Slot>>,
    arrived: VecDeque<Arrived>,
    pub(super) buffered_bytes: usize,
    /// Counts assignments.
    pub(super) assignments: u64,
    /// Slots of partitions that were taken away.
    pub(super) free: Vec<Slot>,
    /// Partitions of which the program was given something since it asked last.
    pub(super) given: Vec<Slot>,
    /// Whether only what the program names is done with.
    pub(super) only_named: bool,
    /// Where the next request begins, so that no partition is always the last.
    turn: usize,
}

impl Positions {
    pub(crate) fn assign(&mut self, topic: Arc<str>, partition: i32, offset: Offset) {
        let slot = self.add(topic, partition);
        self.seek(slot, offset);
    }

    pub(crate) fn slot(&self, topic: &str, partition: i32) -> Option<Slot> {
        self.by_name.get(topic)?.get(&partition).copied()
    }

    pub(crate) fn partition(&self, slot: Slot) -> &Partition {
        &self.partitions[slot]
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.keys()
    }

    /// Moves a partition. What was fetched or asked for before is of no use any more.
    pub(crate) fn seek(&mut self, slot: Slot, offset: Offset) {
        let partition = &mut self.partitions[slot];
        partition.version += 1;
        partition.failures = 0;
        partition.muted_until = None;
        (partition.fetched_epoch, partition.confirmed_by) = (-1, -1);
        // What the program had before says nothing about where it goes on.
        (partition.finished, partition.committed) = (None, None);
        (partition.state, partition.position) = match offset {
            Offset::At(offset) => (State::Ready(offset), Some(offset)),
            other => (State::Unresolved(other), None),
        };
        self.buffered_bytes -= std::mem::take(&mut partition.buffered_bytes);
        self.arrived.retain(|arrived| arrived.slot != slot);
    }

    pub(crate) fn pause(&mut self, slot: Slot, paused: bool) {
        self.partitions[slot].paused = paused;
    }

    /// The next offset that the program gets. `None` while it is looked up.
    pub(crate) fn position(&self, slot: Slot) -> Option<i64> {
        self.partitions[slot].position
    }

    /// The program was given everything below `position`. `false` when the partition was sought meanwhile.
    pub(crate) fn advance(&mut self, slot: Slot, version: u64, position: i64, leader_epoch: i32) -> bool {
        let partition = &mut self.partitions[slot];
        let current = partition.version == version;
        if current {
            partition.position = Some(position);
            partition.leader_epoch = leader_epoch;
            if !std::mem::replace(&mut partition.given, true) {
                self.given.push(slot);
            }
        }
        current
    }

    /// There is nothing for the program below `position`: markers, or what compaction left out.
    pub(crate) fn skip(&mut self, slot: Slot, version: u64, position: i64) {
        let partition = &mut self.partitions[slot];
        if partition.version == version {
            partition.position = Some(position);
            if !partition.given && !self.only_named {
                (partition.finished, partition.finished_epoch) = (Some(position), partition.leader_epoch);
            }
        }
    }

    pub(crate) fn is_current(&self, slot: Slot, version: u64) -> bool {
        self.partitions[slot].version == version
    }

    /// Partitions whose offset has to be looked up. They count as being looked up from here on.
    pub(crate) fn start_resolving(&mut self, now: Instant) -> Vec<Wanted<Offset>> {
        let mut wanted = Vec::new();
        for (slot, partition) in self.partitions.iter_mut().enumerate() {
            if let State::Unresolved(offset) = partition.state
                && !partition.is_muted(now)
                && !partition.held
            {
                partition.state = State::Resolving(offset);
                wanted.push(partition.wanted(slot, offset));
            }
        }
        wanted
    }

    /// Partitions to be fetched, and how many bytes may come. They count as being fetched from here on.
    ///
    /// A partition whose data is used up is fetched while there is any room; one that still has some, only in the first half
    /// of it. So a slow program is never without the partitions that it has read to the end.
    pub(crate) fn start_fetching(&mut self, now: Instant, prefetch_bytes: usize) -> (Vec<Wanted<i64>>, usize) {
        let room = prefetch_bytes.saturating_sub(self.buffered_bytes);
        if room == 0 || self.partitions.is_empty() {
            return (Vec::new(), 0);
        }
        let ample = room >= prefetch_bytes / 2;
        let count = self.partitions.len();
        self.turn = (self.turn + 1) % count;
        let mut wanted = Vec::new();
        for slot in (0..count).map(|index| (self.turn + index) % count) {
            let partition = &mut self.partitions[slot];
            if let State::Ready(offset) = partition.state
                && !partition.paused
                && !partition.held
                && !partition.is_muted(now)
                && (ample || partition.buffered_bytes == 0)
            {
                partition.state = State::Fetching(offset);
                wanted.push(partition.wanted(slot, offset));
            }
        }
        (wanted, room)
    }

    /// A lookup found an offset.
    pub(crate) fn on_resolved(&mut self, wanted: &Wanted<Offset>, offset: i64) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            partition.state = State::Ready(offset);
            partition.position = Some(offset);
            partition.succeeded();
        }
    }

    /// A lookup found nothing, such as a time after the last record: look up something else.
    pub(crate) fn resolve_instead(&mut self, wanted: &Wanted<Offset>, offset: Offset) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            partition.state = State::Unresolved(offset);
        }
    }

    /// A fetch brought bytes, or none.
    pub(crate) fn on_fetched(&mut self, wanted: &Wanted<i64>, bytes: Bytes, aborted: Aborted, end_offset: i64) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version != wanted.version {
            return;
        }
        partition.succeeded();
        partition.end_offset = Some(end_offset).filter(|end| *end >= 0);
        let Measured { next, leader_epoch, size, damaged } = measure(&bytes, wanted.what);
        if size > 0 {
            partition.fetched_epoch = leader_epoch;
        }
        partition.state = if damaged { State::Stuck } else { State::Ready(next) };
        if size == 0 && !damaged {
            return;
        }
        // The tail that was cut off comes again with the next fetch; there is no use in keeping it.
        let kept = if damaged { bytes } else { bytes.slice(..size) };
        let size = kept.len();
        partition.buffered_bytes += size;
        self.buffered_bytes += size;
        let content = Content::Batches(Batches::new(kept), Arc::new(aborted), size);
        self.arrived.push_back(Arrived { slot: wanted.slot, version: wanted.version, content });
    }

    /// A request failed. The partition waits, and is asked for again.
    pub(crate) fn on_failed<T>(&mut self, wanted: &Wanted<T>, now: Instant, wait: impl Fn(u32) -> Duration) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            partition.failures += 1;
            partition.muted_until = Some(now + wait(partition.failures));
            partition.state = partition.state.asked_again();
        }
    }

    /// The fetch did not go out after all.
    pub(crate) fn not_asked(&mut self, wanted: &Wanted<i64>) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            partition.state = partition.state.asked_again();
        }
    }

    /// Tells the program about an error. With `stuck` the partition is not asked for again before a seek.
    pub(crate) fn tell<T>(&mut self, wanted: &Wanted<T>, error: Error, stuck: bool) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            if stuck {
                partition.state = State::Stuck;
            }
            self.put(wanted.slot, Content::Error(error));
        }
    }

    pub(super) fn put(&mut self, slot: Slot, content: Content) {
        self.arrived.push_back(Arrived { slot, version: self.partitions[slot].version, content });
    }

    /// Tells the program about an error of a partition that only a seek helps.
    pub(crate) fn report(&mut self, slot: Slot, error: Error) {
        self.partitions[slot].state = State::Stuck;
        self.put(slot, Content::Error(error));
    }

    /// The earliest instant at which a partition that waits can be asked for again.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.partitions.iter().filter_map(|partition| partition.muted_until).filter(|until| *until > now).min()
    }

    /// What waits for the program, oldest first. The version is current, because a seek takes the older ones out.
    pub(crate) fn take_arrived(&mut self, only: Option<Slot>) -> Option<Arrived> {
        let wanted = |arrived: &Arrived| only.is_none_or(|slot| arrived.slot == slot) && !self.is_paused(arrived.slot);
        let index = self.arrived.iter().position(wanted)?;
        self.arrived.remove(index)
    }

    /// What was taken waits again: before everything else if the partition was paused, behind it if it cannot be read, so
    /// that the others get their turn.
    pub(crate) fn give_back(&mut self, arrived: Arrived, first: bool) {
        if self.is_current(arrived.slot, arrived.version) {
            if first { self.arrived.push_front(arrived) } else { self.arrived.push_back(arrived) }
        }
    }

    pub(crate) fn is_paused(&self, slot: Slot) -> bool {
        self.partitions[slot].paused || self.partitions[slot].held
    }

    /// The program is done with bytes that it took. `true` when there is room again where there was little.
    pub(crate) fn release(&mut self, slot: Slot, version: u64, size: usize) -> bool {
        let partition = &mut self.partitions[slot];
        if partition.version != version {
            return false;
        }
        partition.buffered_bytes -= size;
        self.buffered_bytes -= size;
        true
    }
}

impl Partition {
    fn is_muted(&self, now: Instant) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.muted_until = None;
    }

    fn wanted<T>(&self, slot: Slot, what: T) -> Wanted<T> {
        Wanted {
            slot,
            version: self.version,
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            what,
            epoch: self.fetched_epoch,
        }
    }
}

impl State {
    fn asked_again(self) -> Self {
        match self {
            Self::Resolving(offset) => Self::Unresolved(offset),
            Self::Fetching(offset) | Self::Confirming(offset) => Self::Ready(offset),
            other => other,
        }
    }
}

/// What fetched bytes hold.
struct Measured {
    /// The offset after the last whole batch.
    next: i64,
    /// The leader epoch of that batch.
    leader_epoch: i32,
    /// The length of the whole batches.
    size: usize,
    /// Something there cannot be read.
    damaged: bool,
}

/// Walks the headers of fetched batches.
fn measure(bytes: &Bytes, from: i64) -> Measured {
    let mut batches = Batches::new(bytes.clone());
    let (mut next, mut leader_epoch) = (from, -1);
    loop {
        match batches.next_batch() {
            Ok(Some(batch)) => (next, leader_epoch) = (next.max(batch.next_offset()), batch.leader_epoch),
            Ok(None) => {
                let size = bytes.len() - batches.remaining_bytes();
                return Measured { next, leader_epoch, size, damaged: false };
            }
            Err(_) => return Measured { next, leader_epoch, size: 0, damaged: true },
        }
    }
}

#[cfg(test)]
#[path = "positions_tests.rs"]
mod tests;
