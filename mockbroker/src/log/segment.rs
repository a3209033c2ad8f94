//! A segment: the unit that is rolled, searched by time, and deleted. In memory it is the list of its batches.
//!
//! Of Kafka's sparse index files only what can be seen is kept: which batches have an entry, and how full they are,
//! because a full one rolls the segment.
//!
//! Source: `LogSegment.java`, `OffsetIndex.java`, `TimeIndex.java`.

use super::aborted::AbortedTransaction;
use super::batch::Batch;
use crate::cluster::TopicConfig;
use crate::time::Timestamp;

/// A run of batches.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    base_offset: i64,
    /// Where it begins, in bytes. It ends where the next one begins, so what compaction saves moves the segments before
    /// it; what it adds may move them below zero.
    start_position: i64,
    size_bytes: u64,
    entries: Vec<Entry>,
    /// When the first batch came. Kafka's segment is made in that moment too, but for a partition's first.
    created: Timestamp,
    last_modified: Timestamp,
    /// The largest timestamp of the first batch: what the age of a segment is counted from.
    first_timestamp: i64,
    /// The largest timestamp so far and the first batch that has it; -1 and batch 0 without any.
    max_timestamp: i64,
    max_timestamp_entry: usize,
    /// The largest timestamp so far at the end of every [`TIME_BLOCK`] batches, so that a search can skip.
    time_blocks: Vec<i64>,
    index_sizes: IndexSizes,
    /// The aborted transactions whose marker is in this segment (`TransactionIndex`).
    aborted: Vec<AbortedTransaction>,
}

/// A batch and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) batch: Batch,
    /// Bytes from the beginning of the segment, which `segment.bytes` keeps below 2 GiB.
    position: u32,
}

/// How full Kafka's index files of this segment would be.
#[derive(Clone, Debug, Default)]
struct IndexSizes {
    bytes_since_last_entry: u64,
    /// The offset index: the places of the batches that it has an entry for.
    offset_entries: Vec<u32>,
    time_entries: usize,
    last_timestamp: i64,
}

const TIME_BLOCK: usize = 256;

const OFFSET_ENTRY_BYTES: i32 = 8;
const TIME_ENTRY_BYTES: i32 = 12;

impl Segment {
    pub(super) fn new(base_offset: i64, start_position: i64) -> Self {
        Self {
            base_offset,
            start_position,
            size_bytes: 0,
            entries: Vec::new(),
            created: Timestamp::default(),
            last_modified: Timestamp::default(),
            first_timestamp: -1,
            max_timestamp: -1,
            max_timestamp_entry: 0,
            time_blocks: Vec::new(),
            index_sizes: IndexSizes { last_timestamp: -1, ..IndexSizes::default() },
            aborted: Vec::new(),
        }
    }

    /// A segment that a cleaner fills: it counts as last modified when those were that it replaces.
    pub(super) fn cleaned(base_offset: i64, last_modified: Timestamp) -> Self {
        Self { last_modified, ..Self::new(base_offset, 0) }
    }

    pub(super) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(super) fn start_position(&self) -> i64 {
        self.start_position
    }

    /// Where the next segment begins, in bytes.
    pub(super) fn end_position(&self) -> i64 {
        self.start_position + self.size_bytes.cast_signed()
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// When something was last appended.
    pub(super) fn last_modified(&self) -> Timestamp {
        self.last_modified
    }

    /// The largest timestamp of the first batch; -1 without any.
    pub(super) fn first_timestamp(&self) -> i64 {
        self.first_timestamp
    }

    /// The aborted transactions that ended here, in the order in which they did.
    pub(super) fn aborted(&self) -> &[AbortedTransaction] {
        &self.aborted
    }

    /// Notes an aborted transaction whose marker is in this segment.
    pub(super) fn push_aborted(&mut self, transaction: AbortedTransaction) {
        self.aborted.push(transaction);
    }

    /// Puts others in their place: they were found anew.
    pub(super) fn set_aborted(&mut self, aborted: Vec<AbortedTransaction>) {
        self.aborted = aborted;
    }

    /// The last offset of the first batch with an index entry at `position` or after it, counted in bytes from the
    /// segment's beginning (`OffsetIndex.fetchUpperBoundOffset`).
    pub(super) fn index_entry_from(&self, position: u64) -> Option<i64> {
        let entry = |place: &u32| &self.entries[*place as usize];
        let index = &self.index_sizes.offset_entries;
        let at = index.partition_point(|place| u64::from(entry(place).position) < position);
        index.get(at).map(|place| entry(place).batch.last_offset())
    }

    /// How full Kafka's offset index and time index of this segment would be, in bytes.
    pub(super) fn index_bytes(&self) -> (u64, u64) {
        let bytes = |entries: usize, entry: i32| entries as u64 * u64::from(entry.unsigned_abs());
        let sizes = &self.index_sizes;
        (bytes(sizes.offset_entries.len(), OFFSET_ENTRY_BYTES), bytes(sizes.time_entries, TIME_ENTRY_BYTES))
    }

    /// The same segment before another one.
    pub(super) fn ending_at(self, end_position: i64) -> Self {
        Self { start_position: end_position - self.size_bytes.cast_signed(), ..self }
    }

    /// The part of it whose batches end before `end_offset`.
    pub(super) fn before(&self, end_offset: i64, index_interval_bytes: i32) -> Self {
        let mut part = Self::new(self.base_offset, self.start_position);
        let batches = self.entries.iter().map(|entry| &entry.batch);
        for batch in batches.take_while(|batch| batch.last_offset() < end_offset) {
            part.push(batch.clone(), index_interval_bytes, self.created);
        }
        part.aborted = self.aborted.iter().filter(|it| it.last_offset < end_offset).copied().collect();
        part.last_modified = self.last_modified;
        part
    }

    /// Adds a batch that is at its place.
    pub(super) fn push(&mut self, batch: Batch, index_interval_bytes: i32, now: Timestamp) {
        let timestamp = batch.max_timestamp();
        if self.entries.is_empty() {
            self.first_timestamp = timestamp;
            self.created = now;
        }
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_entry = self.entries.len();
        }
        let size = batch.size_bytes() as u64;
        self.index_sizes.count(self.entries.len(), size, self.max_timestamp, index_interval_bytes);
        let position = u32::try_from(self.size_bytes).expect("segment.bytes keeps a segment below 2 GiB");
        self.entries.push(Entry { batch, position });
        self.size_bytes += size;
        self.last_modified = now;
        if self.entries.len().is_multiple_of(TIME_BLOCK) {
            self.time_blocks.push(self.max_timestamp);
        }
    }

    /// Whether `batch` must go to a new segment (`LogSegment.shouldRoll`). An empty segment is never rolled: the new
    /// one would be the same.
    pub(super) fn must_roll(&self, batch: &Batch, config: &TopicConfig, now: Timestamp) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let too_big = self.size_bytes + batch.size_bytes() as u64 > config.segment_bytes.max(0).cast_unsigned().into();
        let too_far = batch.last_offset() - self.base_offset > i64::from(i32::MAX);
        let too_old = self.waited(batch.max_timestamp(), now) > self.roll_after_ms(config);
        too_big || too_far || too_old || self.index_sizes.any_full(config.segment_index_bytes)
    }

    /// What time retention compares: the largest timestamp, or, if no record has one, the file's
    /// (`LogSegment.largestTimestamp`).
    pub(super) fn largest_timestamp(&self) -> i64 {
        if self.max_timestamp >= 0 { self.max_timestamp } else { self.last_modified.as_millis() }
    }

    /// The largest timestamp of a record; -1 if none has one.
    pub(super) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The first batch that has the largest timestamp. Without timestamps the first batch that has -1, if any.
    pub(super) fn batch_with_max_timestamp(&self) -> Option<&Batch> {
        let from = self.entries.get(self.max_timestamp_entry..)?;
        from.iter().map(|entry| &entry.batch).find(|batch| batch.max_timestamp() == self.max_timestamp)
    }

    /// The place of the first batch that ends at `offset` or after it; the number of batches if none does.
    pub(super) fn find(&self, offset: i64) -> usize {
        let after = self.entries.partition_point(|entry| entry.batch.base_offset() <= offset);
        match after.checked_sub(1) {
            Some(at) if self.entries[at].batch.last_offset() >= offset => at,
            _ => after,
        }
    }

    /// Batches with a record at `timestamp` or later, none of which begins before the place `first_entry`.
    pub(super) fn batches_reaching(&self, timestamp: i64, first_entry: usize) -> impl Iterator<Item = &Batch> {
        let skipped = self.time_blocks.partition_point(|max| *max < timestamp) * TIME_BLOCK;
        let from = skipped.max(first_entry).min(self.entries.len());
        self.entries[from..].iter().map(|entry| &entry.batch).filter(move |batch| batch.max_timestamp() >= timestamp)
    }

    /// The bytes of this segment before the batch at place `entry`.
    pub(super) fn position(&self, entry: usize) -> u64 {
        self.entries.get(entry).map_or(self.size_bytes, |entry| u64::from(entry.position))
    }

    /// How old the segment is for rolling: by its records if they bear time, else by the clock
    /// (`LogSegment.timeWaitedForRoll`).
    fn waited(&self, timestamp: i64, now: Timestamp) -> i64 {
        if self.first_timestamp >= 0 {
            timestamp.saturating_sub(self.first_timestamp)
        } else {
            now.as_millis().saturating_sub(self.created.as_millis())
        }
    }

    /// `segment.ms`, at most `max.compaction.lag.ms` on compacted topics, less the segment's jitter. Kafka draws the
    /// jitter; here it follows from the base offset, so that the same run rolls at the same places.
    fn roll_after_ms(&self, config: &TopicConfig) -> i64 {
        let limit = if config.cleanup_compact {
            config.segment_ms.min(config.max_compaction_lag_ms)
        } else {
            config.segment_ms
        };
        let below = config.segment_jitter_ms.min(config.segment_ms);
        if below <= 0 {
            return limit;
        }
        let mixed = self.base_offset.cast_unsigned().wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
        limit.saturating_sub(mixed.cast_signed() % below)
    }
}

impl IndexSizes {
    /// An entry is written once more than `interval` bytes were appended since the last one (`LogSegment.append`).
    fn count(&mut self, place: usize, size: u64, max_timestamp: i64, interval: i32) {
        if self.bytes_since_last_entry > interval.max(0).cast_unsigned().into() {
            self.offset_entries.push(u32::try_from(place).expect("a segment has fewer batches than bytes"));
            if max_timestamp > self.last_timestamp {
                self.time_entries += 1;
                self.last_timestamp = max_timestamp;
            }
            self.bytes_since_last_entry = 0;
        }
        self.bytes_since_last_entry += size;
    }

    /// The time index keeps its last slot for the entry that is written when the segment is rolled.
    fn any_full(&self, index_bytes: i32) -> bool {
        let slots = |entry_bytes: i32| usize::try_from(index_bytes / entry_bytes).unwrap_or(0);
        self.offset_entries.len() >= slots(OFFSET_ENTRY_BYTES) || self.time_entries + 1 >= slots(TIME_ENTRY_BYTES)
    }
}
