//! What a read of the log returns: pieces of batches that a response is written from without copying.
//!
//! Source: `UnifiedLog.read`, `LocalLog.read`, `LogSegment.read`, `ReplicaManager.readFromLog`. Not here: which offsets
//! may be asked for, sharing a limit between partitions, waiting.

use bytes::Bytes;

use super::batch::{Batch, PREFIX_BYTES};
use super::partition::PartitionLog;

/// Consecutive batches as they are on the wire; the last may be cut short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// One per batch. Concatenated, prefix then rest, they are the records field of a Fetch answer.
    pub(crate) pieces: Vec<Piece>,
    /// The sum of all prefixes and rests.
    pub(crate) size_bytes: usize,
}

/// A batch, or the front of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Base offset, batch length, partition leader epoch.
    pub(crate) prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix counts: all of it, unless the piece is cut within it.
    pub(crate) prefix_len: u8,
    /// The batch from its magic byte on.
    pub(crate) rest: Bytes,
}

impl PartitionLog {
    /// Reads from the batch that holds `fetch_offset` up to the one that holds `upper_bound`, at most `max_bytes`, which
    /// may cut the last batch, and within one segment. If not even the first batch fits, there are no records, unless
    /// `at_least_one` asks for it whatever its size. The caller has checked that `fetch_offset` is in the log.
    pub(crate) fn read(&self, fetch_offset: i64, upper_bound: i64, max_bytes: usize, at_least_one: bool) -> Records {
        let mut records = Records::default();
        let Some((segment, first)) = self.locate(fetch_offset) else {
            return records;
        };
        let entries = self.segment(segment).entries();
        let end = self.segment(segment).find(upper_bound);
        let mut left = max_bytes;
        for (place, entry) in entries.iter().enumerate().take(end).skip(first) {
            let size = entry.batch.size_bytes();
            if place == first && size > left {
                if !at_least_one {
                    break;
                }
                left = size;
            }
            let piece = Piece::of(&entry.batch, left);
            records.size_bytes += piece.size_bytes();
            left -= piece.size_bytes();
            records.pieces.push(piece);
            if left == 0 {
                break;
            }
        }
        records
    }

    /// The bytes from the batch that holds `fetch_offset` up to the one that holds `upper_bound`, whatever the limits:
    /// what a waiting Fetch counts.
    pub(crate) fn available_bytes(&self, fetch_offset: i64, upper_bound: i64) -> usize {
        let bytes = self.position(upper_bound) - self.position(fetch_offset);
        usize::try_from(bytes.max(0)).unwrap_or(usize::MAX)
    }

    /// Whether `fetch_offset` lies in an older segment than `upper_bound`: a waiting Fetch then ends, because a read
    /// stays in one segment and would not get more (`DelayedFetch.tryComplete`).
    pub(crate) fn is_in_older_segment(&self, fetch_offset: i64, upper_bound: i64) -> bool {
        // After compaction, what is read for an offset may be in a later segment than the offset.
        self.locate(fetch_offset).is_some_and(|(segment, _)| segment < self.segment_of(upper_bound))
    }

    /// The segment and the place in it of the first batch that ends at `offset` or after it.
    pub(super) fn locate(&self, offset: i64) -> Option<(usize, usize)> {
        let mut places = (self.segment_of(offset)..self.segment_count()).map(|at| (at, self.segment(at).find(offset)));
        places.find(|&(segment, place)| place < self.segment(segment).entries().len())
    }

    /// Where the batch that holds `offset` begins, in bytes.
    fn position(&self, offset: i64) -> i64 {
        match self.locate(offset) {
            Some((segment, place)) => {
                let segment = self.segment(segment);
                segment.start_position() + segment.position(place).cast_signed()
            }
            None => self.end_position(),
        }
    }

    /// The place of the last segment that begins at `offset` or before it; the first one's if none does.
    pub(super) fn segment_of(&self, offset: i64) -> usize {
        if self.active.base_offset() <= offset {
            return self.closed.len();
        }
        self.closed.partition_point(|segment| segment.base_offset() <= offset).saturating_sub(1)
    }
}

impl Records {
    /// Bytes that need not be batches: what a test has made of an answer.
    pub(crate) fn raw(bytes: &Bytes) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let prefix_len = bytes.len().min(PREFIX_BYTES);
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..prefix_len].copy_from_slice(&bytes[..prefix_len]);
        let prefix_len = u8::try_from(prefix_len).expect("at most 16");
        let piece = Piece { prefix, prefix_len, rest: bytes.slice(usize::from(prefix_len)..) };
        Self { pieces: vec![piece], size_bytes: bytes.len() }
    }

    /// All bytes, in one piece.
    pub(crate) fn bytes(&self) -> Bytes {
        self.pieces.iter().flat_map(|piece| [piece.prefix(), &piece.rest[..]]).collect::<Vec<_>>().concat().into()
    }
}

impl Piece {
    /// The front of `batch`, at most `max_bytes`.
    fn of(batch: &Batch, max_bytes: usize) -> Self {
        let prefix_len = max_bytes.min(PREFIX_BYTES);
        let rest_len = batch.rest().len().min(max_bytes - prefix_len);
        Self {
            prefix: batch.prefix(),
            prefix_len: u8::try_from(prefix_len).expect("at most 16"),
            rest: batch.rest().slice(..rest_len),
        }
    }

    /// The part of the prefix that counts.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix[..usize::from(self.prefix_len)]
    }

    pub(crate) fn size_bytes(&self) -> usize {
        usize::from(self.prefix_len) + self.rest.len()
    }
}
