//! A view over one record batch of format v2, without decoding its records.
//!
//! The first sixteen bytes are kept as numbers, because the broker assigns two of them and none is under the CRC; the
//! rest is the producer's bytes, untouched:
//!
//! ```text
//!  0  base offset            i64   assigned by the broker
//!  8  batch length           i32   the bytes after this field
//! 12  partition leader epoch i32   assigned by the broker
//! -- rest --
//! 16  magic                  i8    2
//! 17  CRC-32C                u32   of everything from 21 on
//! 21  attributes             i16   0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
//! 23  last offset delta      i32
//! 27  base timestamp         i64
//! 35  max timestamp          i64
//! 43  producer id            i64   -1 none
//! 51  producer epoch         i16   -1 none
//! 53  base sequence          i32   -1 none
//! 57  record count           i32
//! 61  records                      one block if a codec is set
//! ```
//!
//! Source: `DefaultRecordBatch.java`; KIP-98. Nothing here trusts a field: counts and lengths are checked by `validate`.

use std::io;

use bytes::{Bytes, BytesMut};

use super::checksum;
use super::records::{DecodedRecords, Malformed};
use crate::cluster::TimestampType;

/// The size of the header: what a batch without records weighs.
pub(super) const HEADER_BYTES: usize = 61;

/// The bytes that are kept as numbers.
pub(super) const PREFIX_BYTES: usize = 16;

const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

pub(super) const COMPRESSION_MASK: i16 = 0x07;
pub(super) const LOG_APPEND_TIME_FLAG: i16 = 0x08;
pub(super) const TRANSACTIONAL_FLAG: i16 = 0x10;
pub(super) const CONTROL_FLAG: i16 = 0x20;
pub(super) const DELETE_HORIZON_FLAG: i16 = 0x40;

/// One record batch. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    base_offset: i64,
    partition_leader_epoch: i32,
    /// From the magic byte on; at least the rest of the header.
    rest: Bytes,
}

/// The codec of a batch, by Kafka's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    /// Kafka's name of the codec.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Batch {
    /// The batch that `bytes` is. `None` if it is shorter than a header or longer than a length field can say; the
    /// length field itself is not looked at.
    pub(crate) fn from_bytes(bytes: &Bytes) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || i32::try_from(bytes.len()).is_err() {
            return None;
        }
        let base_offset = i64::from_be_bytes(*bytes.first_chunk()?);
        let partition_leader_epoch = i32::from_be_bytes(*bytes[12..].first_chunk()?);
        Some(Self { base_offset, partition_leader_epoch, rest: bytes.slice(PREFIX_BYTES..) })
    }

    /// The whole size on the wire and in the log, length field included.
    pub(crate) fn size_bytes(&self) -> usize {
        PREFIX_BYTES + self.rest.len()
    }

    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta()))
    }

    pub(crate) fn partition_leader_epoch(&self) -> i32 {
        self.partition_leader_epoch
    }

    pub(crate) fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field(LAST_OFFSET_DELTA))
    }

    pub(crate) fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(BASE_TIMESTAMP))
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(MAX_TIMESTAMP))
    }

    pub(crate) fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.field(PRODUCER_ID))
    }

    /// Whether a producer id is set: any that is not negative.
    pub(crate) fn has_producer_id(&self) -> bool {
        self.producer_id() >= 0
    }

    pub(crate) fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.field(PRODUCER_EPOCH))
    }

    pub(crate) fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.field(BASE_SEQUENCE))
    }

    /// The sequence of the last record; -1 if there is none. After 2147483647 comes 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            -1 => -1,
            base => increment_sequence(base, self.last_offset_delta()),
        }
    }

    /// The count the header declares.
    pub(crate) fn record_count(&self) -> i32 {
        i32::from_be_bytes(self.field(RECORD_COUNT))
    }

    /// The codec; `None` for an id that no codec has.
    pub(crate) fn compression(&self) -> Option<Compression> {
        Some(match self.attributes() & COMPRESSION_MASK {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => return None,
        })
    }

    pub(crate) fn timestamp_type(&self) -> TimestampType {
        if self.has_flag(LOG_APPEND_TIME_FLAG) { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// The timestamp all records have if the batch bears LogAppendTime.
    pub(crate) fn log_append_time(&self) -> Option<i64> {
        self.has_flag(LOG_APPEND_TIME_FLAG).then(|| self.max_timestamp())
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.has_flag(TRANSACTIONAL_FLAG)
    }

    pub(crate) fn is_control(&self) -> bool {
        self.has_flag(CONTROL_FLAG)
    }

    /// When its tombstones, or its marker, may go; compaction writes it in the place of the base timestamp (KIP-534).
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        self.has_flag(DELETE_HORIZON_FLAG).then(|| self.base_timestamp())
    }

    /// Whether the stored CRC is that of the bytes.
    pub(crate) fn crc_matches(&self) -> bool {
        u32::from_be_bytes(self.field(17)) == checksum::crc32c(&self.rest[ATTRIBUTES - PREFIX_BYTES..])
    }

    /// The records, decoded one by one as they are iterated; decompressed first if need be.
    ///
    /// # Errors
    ///
    /// If the codec is unknown or the block does not decompress.
    pub(crate) fn records(&self) -> Result<DecodedRecords, Malformed> {
        DecodedRecords::of(self)
    }

    /// What follows the header: the records, or the one compressed block of them.
    pub(super) fn payload(&self) -> Bytes {
        self.rest.slice(HEADER_BYTES - PREFIX_BYTES..)
    }

    /// From the magic byte on.
    pub(super) fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// The same batch with other bytes from the magic byte on.
    pub(super) fn with_rest(&self, rest: Bytes) -> Self {
        Self { rest, ..*self }
    }

    /// The first sixteen bytes on the wire.
    pub(super) fn prefix(&self) -> [u8; PREFIX_BYTES] {
        let length = i32::try_from(self.rest.len() + 4).expect("a batch is as long as its length field can say");
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        prefix[8..12].copy_from_slice(&length.to_be_bytes());
        prefix[12..].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        prefix
    }

    /// The same batch at its place in the log.
    pub(super) fn placed(self, base_offset: i64, partition_leader_epoch: i32) -> Self {
        Self { base_offset, partition_leader_epoch, ..self }
    }

    /// The same batch with its timestamp type and largest timestamp set. The bytes are copied only if one of them
    /// changes; then the attribute bits that Kafka does not know are dropped too
    /// (`DefaultRecordBatch.setMaxTimestamp`).
    pub(super) fn stamped(self, timestamp_type: TimestampType, max_timestamp: i64) -> Self {
        if self.timestamp_type() == timestamp_type && self.max_timestamp() == max_timestamp {
            return self;
        }
        let kept = COMPRESSION_MASK | TRANSACTIONAL_FLAG | CONTROL_FLAG | DELETE_HORIZON_FLAG;
        let mut attributes = self.attributes() & kept;
        if timestamp_type == TimestampType::LogAppendTime {
            attributes |= LOG_APPEND_TIME_FLAG;
        }
        let mut rest = BytesMut::from(&self.rest[..]);
        let at = |offset: usize| offset - PREFIX_BYTES;
        rest[at(ATTRIBUTES)..at(LAST_OFFSET_DELTA)].copy_from_slice(&attributes.to_be_bytes());
        rest[at(MAX_TIMESTAMP)..at(PRODUCER_ID)].copy_from_slice(&max_timestamp.to_be_bytes());
        let crc = checksum::crc32c(&rest[at(ATTRIBUTES)..]);
        rest[1..5].copy_from_slice(&crc.to_be_bytes());
        Self { rest: rest.freeze(), ..self }
    }

    /// The same batch without records: what compaction leaves of a batch whose place, or whose producer's sequence, must
    /// not be forgotten (`DefaultRecordBatch.writeEmptyHeader`).
    pub(super) fn emptied(&self) -> Self {
        let mut rest = BytesMut::from(&self.rest[..HEADER_BYTES - PREFIX_BYTES]);
        let at = |offset: usize| offset - PREFIX_BYTES;
        let attributes = self.attributes() & (LOG_APPEND_TIME_FLAG | TRANSACTIONAL_FLAG | CONTROL_FLAG);
        rest[at(ATTRIBUTES)..at(LAST_OFFSET_DELTA)].copy_from_slice(&attributes.to_be_bytes());
        rest[at(BASE_TIMESTAMP)..at(MAX_TIMESTAMP)].copy_from_slice(&(-1_i64).to_be_bytes());
        rest[at(RECORD_COUNT)..].copy_from_slice(&0_i32.to_be_bytes());
        let crc = checksum::crc32c(&rest[at(ATTRIBUTES)..]);
        rest[1..5].copy_from_slice(&crc.to_be_bytes());
        Self { rest: rest.freeze(), ..*self }
    }

    /// The same batch in memory of its own: it no longer holds on to the request that it came in.
    pub(super) fn copied(&self) -> Self {
        Self { rest: Bytes::copy_from_slice(&self.rest), ..*self }
    }

    pub(super) fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field(ATTRIBUTES))
    }

    fn has_flag(&self, flag: i16) -> bool {
        self.attributes() & flag != 0
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        *self.rest[offset - PREFIX_BYTES..].first_chunk().expect("a batch has its whole header")
    }
}

/// The sequence `increment` after `sequence`: sequences wrap from 2147483647 to 0
/// (`DefaultRecordBatch.incrementSequence`).
pub(super) fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    sequence.wrapping_add(increment) & i32::MAX
}

impl From<io::Error> for Malformed {
    fn from(_: io::Error) -> Self {
        Self::Compression
    }
}
