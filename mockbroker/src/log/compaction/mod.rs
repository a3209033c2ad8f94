//! Compaction: the last record of each key stays, offsets do not change (`cleanup.policy=compact`).
//!
//! ```text
//!   first dirty            first uncleanable
//!       v                        v
//!   [ segment ][ segment ][ segment ][ active ]
//!     clean      \________/
//!                  dirty: its keys decide, and everything up to its end is filtered by them
//! ```
//!
//! Three steps, so that the lock around the cluster's state is held only to share and to swap segments: a log says
//! whether it is worth cleaning ([`PartitionLog::cleanable`]) and hands out its closed segments
//! ([`PartitionLog::begin_cleaning`]); [`Cleaning::run`] reads and rewrites them; [`PartitionLog::swap_cleaned`] puts the
//! new ones in the place of the old, unless the log has lost some of them meanwhile.
//!
//! Source: `LogCleaner`, `LogCleanerManager`, `Cleaner`. Not here: when to look, and which log first; the limits of the
//! cleaner's buffers and of its speed.

mod filter;
mod keys;
mod transactions;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use self::filter::LastRecord;
use self::filter::{Filter, Kept};
use self::keys::LatestOffsets;
use self::transactions::Transactions;
use super::aborted::AbortedTransaction;
use super::batch::Batch;
use super::partition::PartitionLog;
use super::records::Malformed;
use super::segment::Segment;
use crate::cluster::TopicConfig;
use crate::time::Timestamp;

/// One round of cleaning of one log: what is needed for it, by reference.
#[derive(Debug)]
pub(crate) struct Cleaning {
    /// All up to the first uncleanable one.
    segments: Vec<Arc<Segment>>,
    first_dirty_offset: i64,
    end_offset: i64,
    aborted: Vec<AbortedTransaction>,
    last_records: BTreeMap<i64, LastRecord>,
    config: Arc<TopicConfig>,
    now: Timestamp,
}

/// What has become of the segments of a [`Cleaning`].
#[derive(Debug)]
pub(crate) struct Cleaned {
    old: Vec<Arc<Segment>>,
    new: Vec<Segment>,
    end_offset: i64,
}

/// Segments that a log no longer needs. To be dropped without the lock: there may be many batches in them.
#[derive(Debug)]
pub(crate) struct Garbage {
    _segments: Vec<Arc<Segment>>,
}

/// The range of a log that could be cleaned.
#[derive(Debug)]
struct Range {
    first_dirty_offset: i64,
    /// The base of a segment.
    end_offset: i64,
    clean_bytes: u64,
    dirty_bytes: u64,
}

impl PartitionLog {
    /// How dirty the log is, from 0 to 1, if it is dirty enough to be cleaned: the share of bytes that no cleaner has
    /// read is above `min.cleanable.dirty.ratio`, or some are older than `max.compaction.lag.ms`.
    pub(crate) fn cleanable(&self, config: &TopicConfig, now: Timestamp) -> Option<f64> {
        if self.closed.is_empty() || self.is_uncleanable {
            return None;
        }
        let range = self.cleanable_range(config, now);
        let total_bytes = range.clean_bytes + range.dirty_bytes;
        if range.dirty_bytes == 0 || total_bytes == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio, as in Kafka")]
        let ratio = range.dirty_bytes as f64 / total_bytes as f64;
        (ratio > config.min_cleanable_dirty_ratio || self.is_overdue(range.first_dirty_offset, config, now))
            .then_some(ratio)
    }

    /// As [`PartitionLog::begin_cleaning`], if there is anything to clean, however little.
    pub(crate) fn begin_compaction(&self, config: Arc<TopicConfig>, now: Timestamp) -> Option<Cleaning> {
        let is_dirty =
            !self.closed.is_empty() && !self.is_uncleanable && self.cleanable_range(&config, now).dirty_bytes > 0;
        is_dirty.then(|| self.begin_cleaning(config, now))
    }

    /// What a cleaner needs, to be cleaned without the log. Batches are shared, not copied.
    pub(crate) fn begin_cleaning(&self, config: Arc<TopicConfig>, now: Timestamp) -> Cleaning {
        let Range { first_dirty_offset, end_offset, .. } = self.cleanable_range(&config, now);
        let count = self.closed.partition_point(|segment| segment.base_offset() < end_offset);
        Cleaning {
            segments: self.closed[..count].to_vec(),
            first_dirty_offset,
            end_offset,
            aborted: self.aborted_transactions(self.segment(0).base_offset(), end_offset),
            last_records: self.last_records(),
            config,
            now,
        }
    }

    /// Puts what is left in the place of what was cleaned. Returns what the log no longer needs. If retention has taken a segment away meanwhile, nothing changes, and the log stays dirty.
    pub(crate) fn swap_cleaned(&mut self, cleaned: Result<Cleaned, Malformed>) -> Garbage {
        let Ok(Cleaned { old, new, end_offset }) = cleaned else {
            // As Kafka, which would otherwise fail at the same batch for ever (`markPartitionUncleanable`).
            self.is_uncleanable = true;
            return Garbage { _segments: Vec::new() };
        };
        let still_there =
            self.closed.len() >= old.len() && self.closed.iter().zip(&old).all(|(a, b)| Arc::ptr_eq(a, b));
        if !still_there {
            return Garbage { _segments: old };
        }
        let mut position = self.segment(old.len()).start_position();
        let mut replacement: Vec<_> = new
            .into_iter()
            .rev()
            .map(|segment| {
                let segment = segment.ending_at(position);
                position = segment.start_position();
                Arc::new(segment)
            })
            .collect();
        replacement.reverse();
        self.first_dirty_offset = end_offset;
        self.closed.splice(..old.len(), replacement);
        Garbage { _segments: old }
    }

    /// `LogCleanerManager.cleanableOffsets`, `calculateCleanableBytes`.
    fn cleanable_range(&self, config: &TopicConfig, now: Timestamp) -> Range {
        let first_dirty_offset = self.first_dirty_offset.max(self.log_start_offset);
        let dirty = self.segment_of(first_dirty_offset);
        let mut uncleanable = self.last_stable_offset().min(self.active.base_offset());
        if config.min_compaction_lag_ms > 0 {
            let youngest = now.as_millis().saturating_sub(config.min_compaction_lag_ms);
            let closed = self.closed.get(dirty..).unwrap_or_default();
            if let Some(young) = closed.iter().find(|segment| segment.largest_timestamp() > youngest) {
                uncleanable = uncleanable.min(young.base_offset());
            }
        }
        let uncleanable = uncleanable.max(first_dirty_offset);
        let end = self.segment_of(uncleanable);
        let end_offset = self.segment(end).base_offset();
        let bytes = |from: usize, to: usize| (from..to).map(|at| self.segment(at).size_bytes()).sum();
        let clean_end = self.segments().take_while(|segment| segment.base_offset() < first_dirty_offset).count();
        Range {
            first_dirty_offset,
            end_offset,
            clean_bytes: bytes(0, clean_end),
            dirty_bytes: bytes(self.segment_of(first_dirty_offset.min(end_offset)), end),
        }
    }

    /// Whether a dirty segment began longer than `max.compaction.lag.ms` ago (KIP-354).
    fn is_overdue(&self, first_dirty_offset: i64, config: &TopicConfig, now: Timestamp) -> bool {
        let closed = self.closed.get(self.segment_of(first_dirty_offset)..).unwrap_or_default();
        let earliest = closed.iter().map(|segment| segment.first_timestamp()).filter(|time| *time > 0).min();
        let clean_until = now.as_millis().saturating_sub(config.max_compaction_lag_ms.max(0));
        earliest.is_some_and(|earliest| earliest < clean_until)
    }
}

impl Cleaning {
    /// Reads the segments and makes those that take their place.
    ///
    /// # Errors
    ///
    /// If a batch cannot be decoded.
    pub(crate) fn run(self) -> Result<Cleaned, Malformed> {
        let (first_dirty_offset, end_offset) = (self.first_dirty_offset, self.end_offset);
        let dirty = self.batches().filter(|batch| batch.last_offset() >= first_dirty_offset);
        let dirty_aborted: Vec<_> =
            self.aborted.iter().filter(|aborted| aborted.last_offset >= first_dirty_offset).copied().collect();
        let latest = LatestOffsets::read(dirty, first_dirty_offset, &dirty_aborted)?;
        let mut filter = Filter {
            latest,
            transactions: Transactions::new(&self.aborted),
            last_records: self.last_records,
            end_offset,
            now_ms: self.now.as_millis(),
            delete_retention_ms: self.config.delete_retention_ms,
        };
        let mut new = Vec::new();
        for group in groups(&self.segments, &self.config) {
            let last_modified = group[group.len() - 1].last_modified();
            let mut segment = Segment::cleaned(group[0].base_offset(), last_modified);
            for entry in group.iter().flat_map(|segment| segment.entries()) {
                let Kept { batch, aborted } = filter.keep(&entry.batch)?;
                if let Some(batch) = batch {
                    // What has been cleaned before has memory of its own already.
                    let is_shared = matches!(batch, Cow::Borrowed(_));
                    let is_new = batch.last_offset() >= first_dirty_offset;
                    let batch = if is_shared && is_new { batch.copied() } else { batch.into_owned() };
                    segment.push(batch, self.config.index_interval_bytes, last_modified);
                }
                if let Some(aborted) = aborted {
                    segment.push_aborted(aborted);
                }
            }
            new.push(segment);
        }
        Ok(Cleaned { old: self.segments, new, end_offset })
    }

    fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.segments.iter().flat_map(|segment| segment.entries()).map(|entry| &entry.batch)
    }
}

/// Consecutive segments that together are no larger than one may be: each group becomes one segment, so that cleaning
/// does not leave ever more ever smaller ones (`Cleaner.groupSegmentsBySize`).
fn groups<'a>(segments: &'a [Arc<Segment>], config: &TopicConfig) -> Vec<&'a [Arc<Segment>]> {
    let max_bytes = u64::from(config.segment_bytes.max(0).unsigned_abs());
    let max_index_bytes = u64::from(config.segment_index_bytes.max(0).unsigned_abs());
    let mut groups = Vec::new();
    let mut rest = segments;
    while !rest.is_empty() {
        let base_offset = rest[0].base_offset();
        let (mut bytes, mut offset_index, mut time_index) = (0, 0, 0);
        let fits = |segment: &&Arc<Segment>| {
            let (of_offsets, of_times) = segment.index_bytes();
            bytes += segment.size_bytes();
            offset_index += of_offsets;
            time_index += of_times;
            let last_offset = segment.entries().last().map_or(segment.base_offset(), |entry| entry.batch.last_offset());
            bytes <= max_bytes
                && offset_index <= max_index_bytes
                && time_index <= max_index_bytes
                && last_offset - base_offset <= i64::from(i32::MAX)
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (group, others) = rest.split_at(count);
        groups.push(group);
        rest = others;
    }
    groups
}
