//! The rules for a batch that a client produces, and what Kafka rewrites in it. Everything here runs outside the lock:
//! it needs the batch, the topic's configs and the time, not the log.
//!
//! Source: `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`; answers checked on a real 4.3.1. Not here: duplicates,
//! epochs and sequences, which need the producer's state (`PartitionLog::append`).

use kafka_protocol::error::ResponseError;

use super::batch::{Batch, Compression};
use super::compression;
use super::producer_state::Origin;
use super::rebuild;
use super::record_walk::{RecordShape, walk, walk_compressed};
use super::records::Malformed;
use super::rejected::{RecordError, Rejected};
use crate::cluster::{CompressionType, TimestampType, TopicConfig};
use crate::time::Timestamp;

/// A batch that passed, with its timestamps stamped and in the topic's codec. What is left is its place in the log.
#[derive(Clone, Debug)]
pub(crate) struct ValidBatch {
    batch: Batch,
    log_append_time_ms: i64,
    origin: Origin,
}

/// Checks `batch` against the rules for clients at the time `now`.
///
/// # Errors
///
/// In Kafka's order: INVALID_RECORD for a base offset, MESSAGE_TOO_LARGE, CORRUPT_MESSAGE for the CRC, INVALID_RECORD for
/// counts, control batches, a missing sequence; INVALID_RECORD or INVALID_TIMESTAMP for records; MESSAGE_TOO_LARGE again
/// if recompression made it so. UNKNOWN_SERVER_ERROR, as Kafka, where it trips: an unknown codec, a block that does not
/// decompress, offsets out of order in a compressed block.
pub(crate) fn validate(batch: Batch, config: &TopicConfig, now: Timestamp) -> Result<ValidBatch, Rejected> {
    let source = check_header(&batch, config)?;
    let in_place = match config.compression_type {
        CompressionType::Producer => true,
        CompressionType::Uncompressed => source == Compression::None,
        CompressionType::Gzip { .. } => source == Compression::Gzip,
        CompressionType::Snappy => source == Compression::Snappy,
        CompressionType::Lz4 { .. } => source == Compression::Lz4,
        CompressionType::Zstd { .. } => source == Compression::Zstd,
    };
    let batch =
        if in_place { check_in_place(batch, source, config, now)? } else { recompress(&batch, source, config, now)? };
    let log_append_time_ms = match config.message_timestamp_type {
        TimestampType::CreateTime => -1,
        TimestampType::LogAppendTime => now.as_millis(),
    };
    Ok(ValidBatch { batch, log_append_time_ms, origin: Origin::Client })
}

impl ValidBatch {
    /// A batch that a coordinator of this cluster made.
    pub(crate) fn of_broker(batch: Batch) -> Self {
        Self { batch, log_append_time_ms: -1, origin: Origin::Coordinator }
    }

    /// The same batch, whose transaction's coordinator said that the partition is in it.
    pub(crate) fn verified(self) -> Self {
        Self { origin: Origin::Verified, ..self }
    }

    /// How it came.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// What the answer says of time: the broker's for LogAppendTime, else -1.
    pub(crate) fn log_append_time_ms(&self) -> i64 {
        self.log_append_time_ms
    }

    /// The batch as it will be stored, but for its place.
    pub(super) fn into_batch(self) -> Batch {
        self.batch
    }
}

/// What can be told from the header alone. The batch's codec.
fn check_header(batch: &Batch, config: &TopicConfig) -> Result<Compression, Rejected> {
    if batch.base_offset() != 0 {
        return Err(Rejected::in_log(ResponseError::InvalidRecord));
    }
    check_size(batch, config)?;
    if !batch.crc_matches() {
        return Err(Rejected::outside_log(ResponseError::CorruptMessage));
    }
    let codec = batch.compression().ok_or(Rejected::in_log(ResponseError::UnknownServerError))?;
    // LogValidator.validateBatch
    let count = batch.record_count();
    let count_from_offsets = i64::from(batch.last_offset_delta()) + 1;
    let miscounted = count <= 0 || count_from_offsets != i64::from(count);
    if miscounted || batch.is_control() || (batch.has_producer_id() && batch.base_sequence() < 0) {
        return Err(Rejected::in_log(ResponseError::InvalidRecord));
    }
    Ok(codec)
}

fn check_size(batch: &Batch, config: &TopicConfig) -> Result<(), Rejected> {
    if i64::try_from(batch.size_bytes()).is_ok_and(|size| size <= i64::from(config.max_message_bytes)) {
        Ok(())
    } else {
        Err(Rejected::outside_log(ResponseError::MessageTooLarge))
    }
}

/// Keeps the producer's bytes, but for the timestamps in the header.
fn check_in_place(batch: Batch, source: Compression, config: &TopicConfig, now: Timestamp) -> Result<Batch, Rejected> {
    let mut checks = Checks::new(&batch, config, now);
    let count = batch.record_count();
    if source == Compression::None {
        // Kafka does not look at the inner offsets here and keeps whatever they are.
        walk(&batch.payload(), count, |record| checks.record(record.shape())).map_err(malformed)?;
        checks.finish()?;
    } else {
        checks.record_name = "PartialDefaultRecord";
        walk_compressed(source, &batch.payload(), count, |record| checks.record(record)).map_err(malformed)?;
        checks.finish()?;
        if !checks.offsets_are_dense {
            // LogValidator wants to rebuild the batch then, but has skipped over the keys and values: it fails with an
            // UnsupportedOperationException of PartialDefaultRecord.
            return Err(Rejected::in_log(ResponseError::UnknownServerError));
        }
    }
    let max_timestamp = checks.max_timestamp;
    Ok(match config.message_timestamp_type {
        TimestampType::CreateTime => batch.stamped(TimestampType::CreateTime, max_timestamp),
        TimestampType::LogAppendTime => batch.stamped(TimestampType::LogAppendTime, now.as_millis()),
    })
}

/// Rebuilds the batch in the topic's codec, with offsets from zero on.
fn recompress(batch: &Batch, source: Compression, config: &TopicConfig, now: Timestamp) -> Result<Batch, Rejected> {
    let decompressed;
    let payload = batch.payload();
    let plain: &[u8] = if source == Compression::None {
        &payload
    } else {
        decompressed = compression::decompress(source, &payload).map_err(|error| malformed(error.into()))?;
        &decompressed
    };
    let mut checks = Checks::new(batch, config, now);
    let walked = walk(plain, batch.record_count(), |record| checks.record(record.shape()));
    walked.map_err(|reason| match reason {
        // Read from a stream, as Kafka reads a compressed block, a record's length has no answer of its own.
        Malformed::OverlongLength if source != Compression::None => malformed(Malformed::Structure),
        reason => malformed(reason),
    })?;
    checks.finish()?;
    let rebuilt = rebuild::rebuild(batch, plain, config, now)?;
    check_size(&rebuilt, config)?;
    Ok(rebuilt)
}

/// Which answer Kafka has for bytes that are not records: it depends on which Java exception they run into.
fn malformed(reason: Malformed) -> Rejected {
    Rejected::in_log(match reason {
        Malformed::Structure | Malformed::Surplus => ResponseError::InvalidRecord,
        Malformed::OverlongLength | Malformed::Compression => ResponseError::UnknownServerError,
    })
}

/// The rules for single records, and what is learnt on the way.
struct Checks<'a> {
    config: &'a TopicConfig,
    now: i64,
    base_timestamp: i64,
    log_append_time: Option<i64>,
    /// What Kafka's texts call a record: the name of the Java class that read it.
    record_name: &'static str,
    index: i32,
    /// The largest timestamp so far; -1 at least.
    max_timestamp: i64,
    offsets_are_dense: bool,
    any_timestamp_error: bool,
    errors: Vec<RecordError>,
}

impl<'a> Checks<'a> {
    fn new(batch: &Batch, config: &'a TopicConfig, now: Timestamp) -> Self {
        Self {
            config,
            now: now.as_millis(),
            base_timestamp: batch.base_timestamp(),
            log_append_time: batch.log_append_time(),
            record_name: "DefaultRecord",
            index: 0,
            max_timestamp: -1,
            offsets_are_dense: true,
            any_timestamp_error: false,
            errors: Vec::new(),
        }
    }

    /// `LogValidator.validateRecord`: the key, then the timestamp.
    #[inline]
    fn record(&mut self, record: RecordShape) {
        let timestamp = match self.log_append_time {
            Some(time) => time,
            None => self.base_timestamp.wrapping_add(record.timestamp_delta),
        };
        let lacks_key = self.config.cleanup_compact && record.key_size < 0;
        if lacks_key || !self.is_good_time(timestamp) {
            self.reject(&record, timestamp, lacks_key);
        } else {
            self.max_timestamp = self.max_timestamp.max(timestamp);
            self.offsets_are_dense &= record.offset_delta == self.index;
        }
        self.index += 1;
    }

    /// `LogValidator.validateTimestamp`. A batch may claim LogAppendTime only where the range is checked, which looks
    /// like an accident and is Kafka's behaviour.
    #[inline]
    fn is_good_time(&self, timestamp: i64) -> bool {
        if self.checks_range(timestamp) { self.is_in_range(timestamp) } else { self.log_append_time.is_none() }
    }

    #[inline]
    fn checks_range(&self, timestamp: i64) -> bool {
        self.config.message_timestamp_type == TimestampType::CreateTime && timestamp != -1
    }

    /// In Java's wrapping arithmetic (`LogValidator.recordHasInvalidTimestamp`).
    #[inline]
    fn is_in_range(&self, timestamp: i64) -> bool {
        let difference = self.now.wrapping_sub(timestamp);
        difference <= self.config.message_timestamp_before_max_ms
            && difference.wrapping_neg() <= self.config.message_timestamp_after_max_ms
    }

    #[cold]
    fn reject(&mut self, record: &RecordShape, timestamp: i64, lacks_key: bool) {
        self.errors.push(if lacks_key {
            RecordError::null_key(self.index)
        } else {
            self.any_timestamp_error = true;
            let text = if self.checks_range(timestamp) {
                self.out_of_range(record, timestamp)
            } else {
                self.claims_log_append_time(record, timestamp)
            };
            RecordError { batch_index: self.index, message: Some(text) }
        });
    }

    fn out_of_range(&self, record: &RecordShape, timestamp: i64) -> String {
        let earliest = self.now.wrapping_sub(self.config.message_timestamp_before_max_ms);
        let latest = self.now.wrapping_add(self.config.message_timestamp_after_max_ms);
        format!(
            "Timestamp {timestamp} of message with offset {} is out of range. The timestamp should be within \
             [{earliest}, {latest}]",
            record.offset_delta
        )
    }

    fn claims_log_append_time(&self, record: &RecordShape, timestamp: i64) -> String {
        format!(
            "Invalid timestamp type in message {}(offset={}, timestamp={timestamp}, key={} bytes, value={} bytes). \
             Producer should not set timestamp type to LogAppendTime.",
            self.record_name,
            record.offset_delta,
            self.shown_size(record.key_size),
            self.shown_size(record.value_size)
        )
    }

    /// `DefaultRecord.toString` shows null as 0 bytes, `PartialDefaultRecord.toString` as what was read.
    fn shown_size(&self, size: i32) -> i32 {
        if self.record_name == "DefaultRecord" { size.max(0) } else { size }
    }

    /// One bad record rejects the batch.
    fn finish(&mut self) -> Result<(), Rejected> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Rejected::records(std::mem::take(&mut self.errors), self.any_timestamp_error))
    }
}
