//! Where each assigned partition stands: what to look up, what to fetch, what is buffered, what the program has had.
//!
//! Pure. Every partition has a version that grows with each seek; an answer to an older version is dropped, so what was
//! fetched before a seek never shows up after it. Two positions are kept: where to fetch next, and what the program gets
//! next. The second one moves only when the program has been given something.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::Offset;
use crate::{batch::cursor::Batches, error::Error};

/// A partition's number in the consumer.
pub(crate) type Slot = usize;

/// One assigned partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Grows with each seek.
    version: u64,
    state: State,
    /// The next offset that the program gets, once it is known.
    position: Option<i64>,
    paused: bool,
    buffered_bytes: usize,
    failures: u32,
    muted_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The offset has to be looked up.
    Unresolved(Offset),
    /// A lookup is under way.
    Resolving(Offset),
    /// To be fetched from this offset.
    Ready(i64),
    /// A fetch from this offset is under way.
    Fetching(i64),
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
    /// Batches as they were fetched, and their size.
    Batches(Batches, usize),
    /// Told once.
    Error(Error),
}

#[derive(Debug, Default)]
pub(crate) struct Positions {
    partitions: Vec<Partition>,
    by_name: HashMap<Arc<str>, HashMap<i32, Slot>>,
    arrived: VecDeque<Arrived>,
    buffered_bytes: usize,
    /// Where the next request begins, so that no partition is always the last.
    turn: usize,
}

impl Positions {
    pub(crate) fn assign(&mut self, topic: Arc<str>, partition: i32, offset: Offset) {
        let slot = self.partitions.len();
        let previous = self.by_name.entry(Arc::clone(&topic)).or_default().insert(partition, slot);
        if let Some(slot) = previous {
            // Named twice: the later offset counts.
            self.by_name.entry(topic).or_default().insert(partition, slot);
            self.seek(slot, offset);
            return;
        }
        self.partitions.push(Partition {
            topic,
            partition,
            version: 0,
            state: State::Stuck,
            position: None,
            paused: false,
            buffered_bytes: 0,
            failures: 0,
            muted_until: None,
        });
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
    pub(crate) fn advance(&mut self, slot: Slot, version: u64, position: i64) -> bool {
        let partition = &mut self.partitions[slot];
        let current = partition.version == version;
        if current {
            partition.position = Some(position);
        }
        current
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
    pub(crate) fn on_fetched(&mut self, wanted: &Wanted<i64>, bytes: Bytes) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version != wanted.version {
            return;
        }
        partition.succeeded();
        let (next, size, damaged) = measure(&bytes, wanted.what);
        partition.state = if damaged { State::Stuck } else { State::Ready(next) };
        if size == 0 && !damaged {
            return;
        }
        // The tail that was cut off comes again with the next fetch; there is no use in keeping it.
        let kept = if damaged { bytes } else { bytes.slice(..size) };
        let size = kept.len();
        partition.buffered_bytes += size;
        self.buffered_bytes += size;
        let content = Content::Batches(Batches::new(kept), size);
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

    /// The offset is not in the log: start somewhere else, without forgetting that the program was at `position`.
    pub(crate) fn reset(&mut self, wanted: &Wanted<i64>, offset: Offset) {
        if self.is_current(wanted.slot, wanted.version) {
            self.seek(wanted.slot, offset);
        }
    }

    /// Tells the program about an error. With `stuck` the partition is not asked for again before a seek.
    pub(crate) fn tell<T>(&mut self, wanted: &Wanted<T>, error: Error, stuck: bool) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            if stuck {
                partition.state = State::Stuck;
            }
            let content = Content::Error(error);
            self.arrived.push_back(Arrived { slot: wanted.slot, version: wanted.version, content });
        }
    }

    /// The earliest instant at which a partition that waits can be asked for again.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        self.partitions.iter().filter_map(|partition| partition.muted_until).filter(|until| *until > now).min()
    }

    /// What waits for the program, oldest first. The version is current, because a seek takes the older ones out.
    pub(crate) fn take_arrived(&mut self) -> Option<Arrived> {
        let index = self.arrived.iter().position(|arrived| !self.partitions[arrived.slot].paused)?;
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
        self.partitions[slot].paused
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

    fn succeeded(&mut self) {
        self.failures = 0;
        self.muted_until = None;
    }

    fn wanted<T>(&self, slot: Slot, what: T) -> Wanted<T> {
        Wanted { slot, version: self.version, topic: Arc::clone(&self.topic), partition: self.partition, what }
    }
}

impl State {
    fn asked_again(self) -> Self {
        match self {
            Self::Resolving(offset) => Self::Unresolved(offset),
            Self::Fetching(offset) => Self::Ready(offset),
            other => other,
        }
    }
}

/// Walks the headers of fetched batches: the offset after the last whole one, the length of the whole ones, and whether
/// something there cannot be read.
fn measure(bytes: &Bytes, from: i64) -> (i64, usize, bool) {
    let mut batches = Batches::new(bytes.clone());
    let mut next = from;
    loop {
        match batches.next_batch() {
            Ok(Some(batch)) => next = next.max(batch.next_offset()),
            Ok(None) => return (next, bytes.len() - batches.remaining_bytes(), false),
            Err(_) => return (next, 0, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch::builder::{BatchBuilder, ProducerFields, RecordParts},
        config::Compression,
    };

    fn batch(base_offset: i64, records: usize) -> Bytes {
        let mut builder = BatchBuilder::new(100);
        for _ in 0..records {
            builder.append(RecordParts { timestamp: 0, key: None, value: Some(b"v"), headers: &[] });
        }
        let mut bytes = builder.close(Compression::None).unwrap().finish(ProducerFields::NONE).to_vec();
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes.into()
    }

    fn assigned(offsets: &[Offset]) -> Positions {
        let mut positions = Positions::default();
        for (partition, offset) in offsets.iter().enumerate() {
            positions.assign("t".into(), partition as i32, *offset);
        }
        positions
    }

    #[test]
    fn the_next_fetch_begins_after_the_last_whole_batch() {
        let mut positions = assigned(&[Offset::At(10)]);
        let (wanted, _) = positions.start_fetching(Instant::now(), 1000);
        assert_eq!(wanted[0].what, 10);
        assert!(positions.start_fetching(Instant::now(), 1000).0.is_empty(), "one fetch of a partition at a time");
        let bytes = [&batch(8, 5)[..], &batch(13, 2), &batch(15, 9)[..50]].concat();
        positions.on_fetched(&wanted[0], bytes.into());
        assert_eq!(positions.start_fetching(Instant::now(), 1000).0[0].what, 15);
        assert_eq!(positions.position(0), Some(10), "the program has been given nothing yet");
    }

    #[test]
    fn what_was_fetched_before_a_seek_is_dropped() {
        let mut positions = assigned(&[Offset::At(0)]);
        let (wanted, _) = positions.start_fetching(Instant::now(), 1000);
        positions.on_fetched(&wanted[0], batch(0, 1));
        let (second, _) = positions.start_fetching(Instant::now(), 1000);
        positions.seek(0, Offset::At(100));
        positions.on_fetched(&second[0], batch(1, 1));
        assert!(positions.take_arrived().is_none());
        let (wanted, room) = positions.start_fetching(Instant::now(), 1000);
        assert_eq!((wanted[0].what, room), (100, 1000));
    }

    #[test]
    fn prefetching_is_bounded_and_an_empty_partition_goes_first() {
        let mut positions = assigned(&[Offset::At(0), Offset::At(0)]);
        let one = batch(0, 50);
        let prefetch = one.len() + one.len() / 2;
        let (wanted, _) = positions.start_fetching(Instant::now(), prefetch);
        let first = wanted.iter().find(|wanted| wanted.slot == 0).unwrap();
        positions.on_fetched(first, one.clone());
        positions.on_failed(wanted.iter().find(|wanted| wanted.slot == 1).unwrap(), Instant::now(), |_| Duration::ZERO);
        let (wanted, room) = positions.start_fetching(Instant::now(), prefetch);
        assert_eq!(wanted.iter().map(|wanted| wanted.slot).collect::<Vec<_>>(), [1]);
        assert_eq!(room, prefetch - one.len());
    }

    #[test]
    fn a_failed_partition_waits_for_its_backoff() {
        let now = Instant::now();
        let mut positions = assigned(&[Offset::Earliest]);
        let wanted = positions.start_resolving(now);
        positions.on_failed(&wanted[0], now, |failures| Duration::from_secs(failures.into()));
        assert!(positions.start_resolving(now).is_empty());
        assert_eq!(positions.next_deadline(now), Some(now + Duration::from_secs(1)));
        assert_eq!(positions.start_resolving(now + Duration::from_secs(1)).len(), 1);
    }

    #[test]
    fn damage_stops_the_partition_until_a_seek() {
        let mut positions = assigned(&[Offset::At(0)]);
        let (wanted, _) = positions.start_fetching(Instant::now(), 1000);
        let mut bytes = batch(0, 1).to_vec();
        bytes[16] = 1;
        positions.on_fetched(&wanted[0], bytes.into());
        assert!(positions.take_arrived().is_some(), "the program is to learn of it");
        assert!(positions.start_fetching(Instant::now(), 1000).0.is_empty());
        positions.seek(0, Offset::At(1));
        assert_eq!(positions.start_fetching(Instant::now(), 1000).0.len(), 1);
    }
}
