//! Which leader wrote which offsets (KIP-101, KIP-279, KIP-320).
//!
//! Source: `LeaderEpochFileCache.java`.

/// The epochs of a partition's leaders, each with the offset it began at. Both rise strictly; never empty.
#[derive(Clone, Debug)]
pub(super) struct LeaderEpochs {
    entries: Vec<Entry>,
}

/// Where a leader epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    /// The largest known epoch that is not above the requested one; -1 if that is undefined.
    pub(crate) leader_epoch: i32,
    /// The offset after that epoch's last record; -1 if that is undefined.
    pub(crate) end_offset: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    leader_epoch: i32,
    start_offset: i64,
}

impl EpochEnd {
    /// Kafka's answer when it knows nothing; not an error.
    pub(crate) const UNDEFINED: Self = Self { leader_epoch: -1, end_offset: -1 };
}

impl LeaderEpochs {
    pub(super) fn new(leader_epoch: i32) -> Self {
        Self { entries: vec![Entry { leader_epoch, start_offset: 0 }] }
    }

    /// `leader_epoch` begins at `start_offset`. Entries that it contradicts go: an epoch that wrote nothing disappears.
    pub(super) fn assign(&mut self, leader_epoch: i32, start_offset: i64) {
        let contradicts = |entry: &Entry| entry.leader_epoch >= leader_epoch || entry.start_offset >= start_offset;
        while self.entries.pop_if(|entry| contradicts(entry)).is_some() {}
        self.entries.push(Entry { leader_epoch, start_offset });
    }

    /// The epoch that batches are appended under.
    pub(super) fn latest(&self) -> i32 {
        self.entries.last().expect("never empty").leader_epoch
    }

    /// Where the epoch began that batches are appended under.
    pub(super) fn latest_start_offset(&self) -> i64 {
        self.entries.last().expect("never empty").start_offset
    }

    /// The epoch of the log start, as ListOffsets has it: -1 if the first entry begins later.
    pub(super) fn earliest(&self, log_start_offset: i64) -> i32 {
        let first = self.entries.first().expect("never empty");
        if first.start_offset <= log_start_offset { first.leader_epoch } else { -1 }
    }

    /// `LeaderEpochFileCache.endOffsetFor`.
    pub(super) fn end_offset(&self, requested_epoch: i32, log_end_offset: i64) -> EpochEnd {
        if requested_epoch == -1 {
            return EpochEnd::UNDEFINED;
        }
        if requested_epoch == self.latest() {
            return EpochEnd { leader_epoch: requested_epoch, end_offset: log_end_offset };
        }
        let above = self.entries.partition_point(|entry| entry.leader_epoch <= requested_epoch);
        let Some(next) = self.entries.get(above) else {
            return EpochEnd::UNDEFINED;
        };
        // Below every known epoch: the data of the requested one is gone, and this is where what is left begins.
        let leader_epoch = above.checked_sub(1).map_or(requested_epoch, |floor| self.entries[floor].leader_epoch);
        EpochEnd { leader_epoch, end_offset: next.start_offset }
    }

    /// The log now ends at `log_end_offset`: epochs that began there or later wrote nothing that is left. The first stays.
    pub(super) fn truncate_from_end(&mut self, log_end_offset: i64) {
        let kept = self.entries.partition_point(|entry| entry.start_offset < log_end_offset).max(1);
        self.entries.truncate(kept);
    }

    /// The log now starts at `log_start_offset`: what lies wholly below goes, the epoch that covers it begins there.
    pub(super) fn truncate_from_start(&mut self, log_start_offset: i64) {
        let below = self.entries.partition_point(|entry| entry.start_offset <= log_start_offset);
        if let Some(covering) = below.checked_sub(1) {
            self.entries.drain(..covering);
            self.entries[0].start_offset = log_start_offset;
        }
    }
}
