//! What a real Kafka has stored, in `fixtures/wire/batches`: we read in it what Kafka reads in it, and store the same
//! bytes when producers send us the same. The texts are lines of DumpLogSegments and of Java's consumer.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;

use super::kit::{NOW, PRODUCE, batches, bytes, hex, wire};
use crate::cluster::{TimestampType, TopicConfig};
use crate::log::batch::Batch;
use crate::log::records::Record;
use crate::log::{PartitionLog, sole_batch, validate};
use crate::time::Timestamp;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/batches")
}

/// A fixture without its comment.
fn text(file: &str) -> String {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

fn segment(topic: &str) -> Vec<u8> {
    hex(&text(&format!("{topic}.hex")))
}

fn topics() -> Vec<String> {
    let mut topics: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".hex").map(str::to_owned))
        .collect();
    topics.sort();
    assert!(topics.len() >= 16, "{topics:?}");
    topics
}

/// A segment in the words of Kafka's tools.
fn told(segment: &[u8]) -> String {
    let mut lines = String::new();
    let mut position = 0;
    for batch in batches(segment) {
        write_header(&mut lines, &batch, position);
        position += batch.size_bytes();
        for record in &batch.records().unwrap() {
            let record = record.unwrap();
            if batch.is_control() { write_marker(&mut lines, &record) } else { write_record(&mut lines, &record) }
        }
    }
    assert_eq!(position, segment.len(), "a segment ends with a whole batch");
    lines
}

fn write_header(lines: &mut String, batch: &Batch, position: usize) {
    let timestamp_type = match batch.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let codec = format!("{:?}", batch.compression().unwrap()).to_lowercase();
    let crc = u32::from_be_bytes(batch.rest()[1..5].try_into().unwrap());
    writeln!(
        lines,
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: OptionalLong.empty \
         position: {position} {timestamp_type}: {} size: {} magic: {} compresscodec: {codec} crc: {crc} isvalid: {}",
        batch.base_offset(),
        batch.last_offset(),
        batch.record_count(),
        batch.base_sequence(),
        batch.last_sequence(),
        batch.producer_id(),
        batch.producer_epoch(),
        batch.partition_leader_epoch(),
        batch.is_transactional(),
        batch.is_control(),
        batch.max_timestamp(),
        batch.size_bytes(),
        batch.rest()[0],
        batch.crc_matches(),
    )
    .unwrap();
}

/// `ControlRecordType`, `EndTransactionMarker`: the key is a version and a type, the value a version and an epoch.
fn write_marker(lines: &mut String, record: &Record<'_>) {
    let (key, value) = (record.key.unwrap(), record.value.unwrap());
    let kind = if key == [0, 0, 0, 1] { "COMMIT" } else { "ABORT" };
    let coordinator_epoch = i32::from_be_bytes(value[2..].try_into().unwrap());
    writeln!(
        lines,
        "| offset: {} CreateTime: {} keySize: {} valueSize: {} sequence: -1 headerKeys: [] endTxnMarker: {kind} \
         coordinatorEpoch: {coordinator_epoch}",
        record.offset,
        record.timestamp,
        key.len(),
        value.len(),
    )
    .unwrap();
}

fn write_record(lines: &mut String, record: &Record<'_>) {
    let Record { offset, timestamp, key, value, headers } = record;
    let headers: Vec<_> =
        headers.clone().map(|(key, value)| format!("{}: {}", quoted(Some(key)), quoted(value))).collect();
    let (key, value, headers) = (quoted(*key), quoted(*value), headers.join(", "));
    writeln!(lines, "offset: {offset} timestamp: {timestamp} key: {key} value: {value} headers: [{headers}]").unwrap();
}

fn quoted(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()))
}

/// A stored batch as its producer sent it: the broker had assigned the offset and the epoch.
fn as_sent(batch: Batch) -> Bytes {
    bytes(&batch.placed(0, -1)).into()
}

/// What is stored of batches that are produced one after the other at `now`.
fn stored(sent: impl IntoIterator<Item = Bytes>, config: &TopicConfig, now: Timestamp) -> Vec<u8> {
    let mut log = PartitionLog::new(0);
    for batch in sent {
        let valid = validate(sole_batch(&batch, PRODUCE).unwrap(), config, now).unwrap();
        log.append(valid, config, now).unwrap();
    }
    wire(&log, 0, usize::MAX, true)
}

#[test]
fn we_read_in_a_segment_what_kafka_reads_in_it() {
    // DumpLogSegments and KafkaConsumer of 4.3.1
    for topic in topics() {
        assert_eq!(told(&segment(&topic)), text(&format!("{topic}.records.txt")), "{topic}");
    }
}

#[test]
fn what_kafka_stored_of_a_producers_batches_we_store_too() {
    // LogValidator, UnifiedLog.append: every byte but the offset and the epoch is the producer's.
    for topic in topics().iter().filter(|topic| !topic.contains("transactional") && !topic.contains("append-time")) {
        let segment = segment(topic);
        let ours = stored(batches(&segment).into_iter().map(as_sent), &TopicConfig::default(), NOW);
        assert_eq!(ours, segment, "{topic}");
    }
}

#[test]
fn log_append_time_changes_the_bytes_that_kafka_changes() {
    // LogValidator.validateMessagesAndAssignOffsetsCompressed, assignOffsetsNonCompressed
    let config = TopicConfig { message_timestamp_type: TimestampType::LogAppendTime, ..TopicConfig::default() };
    for (sent, expected) in [("java-none", "java-log-append-time"), ("java-zstd", "java-log-append-time-zstd")] {
        let expected = segment(expected);
        let now = Timestamp::from_millis(batches(&expected)[0].max_timestamp());
        assert_eq!(stored(batches(&segment(sent)).into_iter().map(as_sent), &config, now), expected, "{sent}");
    }
}

#[test]
fn a_flipped_bit_of_a_real_batch_is_found() {
    // DefaultRecordBatch.ensureValid
    for topic in topics() {
        let mut damaged = segment(&topic);
        for at in (21..damaged.len().min(120)).step_by(7) {
            damaged[at] ^= 1;
            assert!(!batches(&damaged)[0].crc_matches(), "{topic}, byte {at}");
            damaged[at] ^= 1;
        }
    }
}
