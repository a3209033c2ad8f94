//! Which partitions a consumer has, and how far the program got with them: the part of [`Positions`] that a group needs.
//!
//! Pure, like the rest of it. What the program was given counts as done with when it asks for more.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Offset,
    positions::{Partition, Positions, Slot, State},
};

impl Positions {
    /// Adds a partition that is held. One that is there already stays as it is.
    pub(crate) fn add(&mut self, topic: Arc<str>, partition: i32) -> Slot {
        if let Some(slot) = self.slot(&topic, partition) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or(self.partitions.len());
        self.by_name.entry(Arc::clone(&topic)).or_default().insert(partition, slot);
        let version = self.partitions.get(slot).map_or(0, |previous| previous.version + 1);
        self.assignments += 1;
        let new = Partition {
            topic,
            partition,
            version,
            state: State::Stuck,
            fetched_epoch: -1,
            confirmed_by: -1,
            topic_id: uuid::Uuid::nil(),
            preferred: None,
            position: None,
            paused: false,
            held: false,
            leader_epoch: -1,
            finished: None,
            finished_epoch: -1,
            given: false,
            committed: None,
            end_offset: None,
            assignment: self.assignments,
            streamed: false,
            stream_begun: false,
            busy_since: None,
            buffered_bytes: 0,
            failures: 0,
            muted_until: None,
        };
        match self.partitions.get_mut(slot) {
            Some(place) => *place = new,
            None => self.partitions.push(new),
        }
        slot
    }

    /// Takes a partition away. What was fetched of it is dropped, and answers about it mean nothing any more.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.seek(slot, Offset::At(0));
        self.given.retain(|given| *given != slot);
        let partition = &mut self.partitions[slot];
        (partition.state, partition.position, partition.streamed) = (State::Stuck, None, false);
        partition.busy_since = None;
        let topic = Arc::clone(&partition.topic);
        let number = partition.partition;
        if let Some(partitions) = self.by_name.get_mut(&topic) {
            partitions.remove(&number);
            if partitions.is_empty() {
                self.by_name.remove(&topic);
            }
        }
        self.free.push(slot);
    }

    /// Holds a partition, or lets it go on.
    pub(crate) fn hold(&mut self, slot: Slot, held: bool) {
        self.partitions[slot].held = held;
    }

    /// The program asks for more: what it was given before, it is done with.
    pub(crate) fn finish_given(&mut self) -> bool {
        let any = !self.given.is_empty();
        for slot in std::mem::take(&mut self.given) {
            let partition = &mut self.partitions[slot];
            partition.given = false;
            if !self.only_named {
                (partition.finished, partition.finished_epoch) = (partition.position, partition.leader_epoch);
            }
        }
        any
    }

    /// Whether the program may still be at work on records of a partition.
    pub(crate) fn is_given(&self, slot: Slot) -> bool {
        self.partitions[slot].given || self.partitions[slot].streamed
    }

    /// Whether a stream of its own gives a partition out, and the program has not dropped it.
    pub(crate) fn is_streamed(&self, slot: Slot) -> bool {
        self.partitions[slot].streamed
    }

    /// The program is done with what it was given of one partition.
    pub(crate) fn finish(&mut self, slot: Slot) {
        let partition = &mut self.partitions[slot];
        if std::mem::take(&mut partition.given) {
            self.given.retain(|given| *given != slot);
            if !self.only_named {
                (partition.finished, partition.finished_epoch) = (partition.position, partition.leader_epoch);
            }
        }
    }

    /// Begins a stream for each partition that can be read and has none, with the number of its assignment.
    pub(crate) fn begin_streams(&mut self, now: Instant) -> Vec<(Slot, u64)> {
        let slots: Vec<_> = self.assigned().map(|(_, _, slot)| slot).collect();
        let mut begun = Vec::new();
        for slot in slots {
            let partition = &mut self.partitions[slot];
            if !partition.held && !partition.stream_begun {
                (partition.streamed, partition.stream_begun) = (true, true);
                partition.busy_since = Some(now);
                begun.push((slot, partition.assignment));
            }
        }
        begun
    }

    /// Whether a partition is still in the assignment that a stream was begun for, and is not to be given back.
    pub(crate) fn is_streaming(&self, slot: Slot, assignment: u64) -> bool {
        let partition = &self.partitions[slot];
        partition.assignment == assignment && partition.streamed && !partition.held
    }

    /// The program asks a stream for more, and is done with what it had.
    pub(crate) fn ask_stream(&mut self, slot: Slot, assignment: u64) {
        if self.partitions[slot].assignment == assignment {
            self.finish(slot);
            self.partitions[slot].busy_since = None;
        }
    }

    /// The program was given something by a stream.
    pub(crate) fn work_stream(&mut self, slot: Slot, assignment: u64, now: Instant) {
        if self.partitions[slot].assignment == assignment {
            self.partitions[slot].busy_since = Some(now);
        }
    }

    /// Since when the program has been at work on some stream without asking it for more.
    pub(crate) fn busy_since(&self) -> Option<Instant> {
        self.partitions.iter().filter_map(|partition| partition.busy_since).min()
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// The program is done with a stream.
    pub(crate) fn end_stream(&mut self, slot: Slot, assignment: u64) {
        if self.partitions[slot].assignment == assignment {
            self.finish(slot);
            (self.partitions[slot].streamed, self.partitions[slot].busy_since) = (false, None);
        }
    }

    /// What the program is done with in a partition and we have not committed: the offset, and the epoch of its last batch.
    pub(crate) fn to_commit(&self, slot: Slot) -> Option<(i64, i32)> {
        let partition = &self.partitions[slot];
        let finished = partition.finished.filter(|finished| partition.committed != Some(*finished))?;
        Some((finished, partition.finished_epoch))
    }

    /// From now on only what the program names is done with, and not what it was given before it asked for more.
    pub(crate) fn count_only_named(&mut self) {
        self.only_named = true;
    }

    /// The program says itself how far it is.
    pub(crate) fn store(&mut self, slot: Slot, offset: i64, leader_epoch: i32) {
        let partition = &mut self.partitions[slot];
        (partition.finished, partition.finished_epoch) = (Some(offset), leader_epoch);
    }

    /// How far the program said that it is.
    pub(crate) fn stored(&self, slot: Slot) -> Option<i64> {
        self.partitions[slot].finished.filter(|_| self.only_named)
    }

    pub(crate) fn committed(&self, slot: Slot) -> Option<i64> {
        self.partitions[slot].committed
    }

    /// An offset was committed, or read from the group.
    pub(crate) fn on_committed(&mut self, slot: Slot, offset: i64) {
        self.partitions[slot].committed = Some(offset);
    }

    /// Records between the position and the end of the log, as of the last fetch.
    pub(crate) fn lag(&self, slot: Slot) -> Option<i64> {
        let partition = &self.partitions[slot];
        Some((partition.end_offset? - partition.position?).max(0))
    }

    /// Every partition, by name and number.
    pub(crate) fn assigned(&self) -> impl Iterator<Item = (&Arc<str>, i32, Slot)> {
        self.by_name
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(partition, slot)| (topic, *partition, *slot)))
    }
}
