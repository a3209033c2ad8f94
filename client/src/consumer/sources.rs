//! Where a partition is read from, and whether that is still the log that was read before: the part of [`Positions`] that
//! knows of leaders, replicas and topic ids.
//!
//! Pure, like the rest of it.

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Offset,
    leader_epochs::Verdict,
    positions::{Content, Positions, Slot, State, Wanted},
};
use crate::{config::OffsetReset, error::Error};

impl Positions {
    /// Begins at a committed offset, whose leader epoch is known or not (-1).
    pub(crate) fn seek_to(&mut self, slot: Slot, offset: i64, leader_epoch: i32) {
        self.seek(slot, Offset::At(offset));
        self.partitions[slot].fetched_epoch = leader_epoch;
    }

    /// Whether a leader of this epoch has to be asked first if it has what was read. One of the epoch in which that was
    /// written has.
    pub(crate) fn wants_confirming(&self, wanted: &Wanted<i64>, leader_epoch: i32) -> bool {
        wanted.epoch >= 0 && leader_epoch > wanted.epoch && self.partitions[wanted.slot].confirmed_by != leader_epoch
    }

    /// The leader is asked, instead of being fetched from.
    pub(crate) fn start_confirming(&mut self, wanted: &Wanted<i64>) {
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            partition.state = State::Confirming(wanted.what);
        }
    }

    /// What the leader of an epoch said. If the log was truncated, reading goes on where the logs part, or the program is
    /// told and nothing more is read before a seek.
    pub(crate) fn on_verdict(&mut self, wanted: &Wanted<i64>, leader_epoch: i32, verdict: Verdict, reset: OffsetReset) {
        if !self.is_current(wanted.slot, wanted.version) {
            return;
        }
        let partition = &mut self.partitions[wanted.slot];
        match verdict {
            Verdict::Valid | Verdict::Unknown => {
                partition.confirmed_by = leader_epoch;
                if verdict == Verdict::Unknown {
                    partition.fetched_epoch = -1;
                }
                partition.state = State::Ready(wanted.what);
                partition.succeeded();
            }
            Verdict::Truncated { end_offset, leader_epoch } => {
                let (topic, number) = (wanted.topic.clone(), wanted.partition);
                // What was fetched ahead may be lost while what the program has read is not.
                let offset = partition.position.unwrap_or(wanted.what);
                if offset <= end_offset {
                    self.seek_to(wanted.slot, offset, -1);
                } else if reset == OffsetReset::None {
                    let partition = number;
                    self.tell(wanted, Error::LogTruncated { topic, partition, offset, end_offset }, true);
                } else {
                    tracing::warn!(%topic, partition = number, offset, end_offset, "the log was truncated");
                    self.seek_to(wanted.slot, end_offset, leader_epoch);
                }
            }
        }
    }

    /// The offset is not in the log, as its reader's doubt about the epoch may have made it: asks again without the epoch.
    /// `false` if there was none.
    pub(crate) fn forget_epoch(&mut self, wanted: &Wanted<i64>) -> bool {
        if wanted.epoch >= 0 && self.is_current(wanted.slot, wanted.version) {
            self.partitions[wanted.slot].fetched_epoch = -1;
            self.not_asked(wanted);
        }
        wanted.epoch >= 0
    }

    /// The offset is not in the log: starts somewhere else, or tells the program. `false` if the program is to be given first
    /// what was fetched before.
    pub(crate) fn reset(&mut self, wanted: &Wanted<i64>, reset: OffsetReset) -> bool {
        if !self.is_current(wanted.slot, wanted.version) {
            return true;
        }
        if reset != OffsetReset::None && self.partitions[wanted.slot].buffered_bytes > 0 {
            return false;
        }
        if reset == OffsetReset::None {
            let (topic, partition, offset) = (wanted.topic.clone(), wanted.partition, wanted.what);
            self.tell(wanted, Error::OffsetOutOfRange { topic, partition, offset }, true);
        } else {
            self.seek(wanted.slot, Offset::of(reset));
        }
        true
    }

    /// Whether a partition is of the topic with this id. The first id that is known counts.
    pub(crate) fn is_of(&mut self, wanted: &Wanted<i64>, topic_id: Uuid) -> bool {
        let known = &mut self.partitions[wanted.slot].topic_id;
        if known.is_nil() {
            *known = topic_id;
        }
        topic_id.is_nil() || *known == topic_id
    }

    /// The topic was deleted and created again: its partition begins anew, at its first record, unless only the program may
    /// say where. It is told if `tells`.
    pub(crate) fn recreated(&mut self, wanted: &Wanted<i64>, topic_id: Uuid, reset: OffsetReset, tells: bool) {
        if !self.is_current(wanted.slot, wanted.version) {
            return;
        }
        self.seek(wanted.slot, Offset::Earliest);
        let partition = &mut self.partitions[wanted.slot];
        partition.topic_id = topic_id;
        (partition.preferred, partition.end_offset) = (None, None);
        let stuck = reset == OffsetReset::None;
        if stuck {
            partition.state = State::Stuck;
        }
        if tells || stuck {
            let error = Error::TopicRecreated { topic: wanted.topic.clone() };
            self.put(wanted.slot, Content::Error(error));
        }
    }

    /// The replica to read from instead of the leader.
    pub(crate) fn preferred(&self, slot: Slot, now: Instant) -> Option<i32> {
        self.partitions[slot].preferred.filter(|(_, until)| *until > now).map(|(node_id, _)| node_id)
    }

    /// The leader sends us to another replica, for some time.
    pub(crate) fn prefer(&mut self, wanted: &Wanted<i64>, node_id: i32, until: Instant) {
        if self.is_current(wanted.slot, wanted.version) {
            self.partitions[wanted.slot].preferred = Some((node_id, until));
            self.not_asked(wanted);
        }
    }

    /// The replica was of no use: back to the leader. `false` if it was the leader that was asked.
    pub(crate) fn prefer_leader<T>(&mut self, wanted: &Wanted<T>, node_id: i32) -> bool {
        let preferred = &mut self.partitions[wanted.slot].preferred;
        preferred.take_if(|(preferred, _)| *preferred == node_id).is_some()
    }

    /// The broker has nothing new of a partition of its session.
    pub(crate) fn on_nothing(&mut self, wanted: &Wanted<i64>) {
        self.not_asked(wanted);
        let partition = &mut self.partitions[wanted.slot];
        if partition.version == wanted.version {
            partition.succeeded();
        }
    }
}
