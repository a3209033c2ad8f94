//! C.3 and C.4: the rules for a batch and its records. Every answer was seen on a real 4.3.1.

use kafka_protocol::error::ResponseError::{
    self, CorruptMessage, InvalidRecord, InvalidTimestamp, MessageTooLarge, UnknownServerError,
};

use super::kit::{NOW, RawBatch, batch, payload, plain, record, records, varint};
use crate::cluster::{CompressionType, TimestampType, TopicConfig};
use crate::log::Rejected;
use crate::log::compression::compress;
use crate::log::rejected::RecordError;
use crate::types::PartitionId;

fn outcome(raw: &RawBatch) -> Option<(ResponseError, bool)> {
    raw.validate(&TopicConfig::default()).err().map(|rejected| {
        assert!(!rejected.whole_request && rejected.message.is_none() && rejected.record_errors.is_empty());
        (rejected.error, rejected.log_start_known)
    })
}

fn corrupted(raw: &RawBatch) -> Option<(ResponseError, bool)> {
    let mut bytes = raw.bytes().to_vec();
    bytes[17] ^= 1;
    let batch = crate::log::sole_batch(&bytes.into(), 9).unwrap();
    crate::log::validate(batch, &TopicConfig::default(), NOW).err().map(|r| (r.error, r.log_start_known))
}

/// A record with a right length around `body`.
fn with_body(body: &[u8]) -> RawBatch {
    payload(&[varint(body.len() as i64), body.to_vec()].concat(), 1)
}

#[test]
fn the_base_offset_the_size_and_the_crc_are_checked_in_this_order() {
    let large = batch(&[record(0).value(Some(&vec![0; 1_048_588]))]);
    let placed = |raw: &RawBatch| RawBatch { base_offset: 1, ..raw.clone() };
    assert_eq!(corrupted(&placed(&large)), Some((InvalidRecord, true)));
    assert_eq!(corrupted(&large), Some((MessageTooLarge, false)));
    assert_eq!(corrupted(&batch(&records(3))), Some((CorruptMessage, false)));
    assert_eq!(outcome(&batch(&records(3))), None);
}

#[test]
fn the_largest_message_is_as_large_as_max_message_bytes() {
    let raw = batch(&records(3));
    let size = raw.bytes().len() as i32;
    for (max_message_bytes, accepted) in [(size, true), (size - 1, false)] {
        let config = TopicConfig { max_message_bytes, ..TopicConfig::default() };
        assert_eq!(raw.validate(&config).is_ok(), accepted);
    }
}

#[test]
fn the_count_must_agree_with_the_offsets_and_the_records() {
    let three = batch(&records(3));
    for last_offset_delta in [5, 1, -1, i32::MIN, i32::MAX] {
        assert_eq!(outcome(&RawBatch { last_offset_delta, ..three.clone() }), Some((InvalidRecord, true)));
    }
    for count in [-1, 0, 2, 4, i32::MAX] {
        let raw = payload(&plain(&records(3)), count);
        assert_eq!(outcome(&raw), Some((InvalidRecord, true)), "{count}");
    }
    assert_eq!(outcome(&payload(b"", 1)), Some((InvalidRecord, true)));
    assert_eq!(outcome(&payload(&[plain(&records(3)), vec![b'x']].concat(), 3)), Some((InvalidRecord, true)));
}

#[test]
fn clients_write_no_control_batches_and_no_producer_without_a_sequence() {
    let three = batch(&records(3));
    assert_eq!(outcome(&three.clone().attributes(0x20)), Some((InvalidRecord, true)));
    assert_eq!(outcome(&three.clone().producer(5, 0, -1)), Some((InvalidRecord, true)));
    // A negative producer id is none, whatever the rest says.
    assert_eq!(outcome(&three.clone().producer(-2, 0, -1)), None);
    assert_eq!(outcome(&three.clone().producer(-1, -1, 3)), None);
    assert_eq!(outcome(&three.attributes(0x7f80)), None);
}

#[test]
fn a_codec_that_does_not_exist_is_an_unknown_error() {
    for codec in [5, 6, 7] {
        assert_eq!(outcome(&batch(&records(3)).attributes(codec)), Some((UnknownServerError, true)));
        assert_eq!(corrupted(&batch(&records(3)).attributes(codec)), Some((CorruptMessage, false)));
    }
}

#[test]
fn malformed_records_are_invalid() {
    let invalid = Some((InvalidRecord, true));
    for length in [-1, 3, 9, 100, i64::from(i32::MAX)] {
        assert_eq!(outcome(&payload(&record(0).length(length).bytes(), 1)), invalid, "{length}");
    }
    let key = |length| [&[0, 0, 0][..], &varint(length), b"k", &varint(1), b"v", &[0]].concat();
    let value = |length| [&[0, 0, 0][..], &varint(1), b"k", &varint(length), b"v", &[0]].concat();
    assert_eq!((outcome(&with_body(&key(100))), outcome(&with_body(&value(100)))), (invalid, invalid));
    let headers = |rest: &[u8]| outcome(&with_body(&[&[0, 0, 0, 2, b'k', 1][..], rest].concat()));
    assert_eq!(headers(&varint(-1)), invalid);
    assert_eq!(headers(&varint(5)), invalid);
    assert_eq!(headers(&varint(1)), invalid);
    assert_eq!(headers(&[varint(1), varint(-1), varint(-1)].concat()), invalid);
    assert_eq!(outcome(&with_body(&[&[0][..], &[0xff; 10], &[1, 0, 0, 0, 0]].concat())), invalid);
    assert_eq!(outcome(&with_body(&[0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0])), invalid);
    assert_eq!(outcome(&payload(&[0xff, 0xff], 1)), invalid);
}

#[test]
fn a_record_length_that_does_not_end_is_an_unknown_error() {
    // ByteUtils throws an IllegalArgumentException that DefaultRecordBatch.uncompressedIterator does not expect.
    for overlong in [&[0xff; 20][..], &[0xff; 5]] {
        assert_eq!(outcome(&payload(overlong, 1)), Some((UnknownServerError, true)));
    }
}

#[test]
fn odd_records_that_kafka_takes_are_taken() {
    // Any negative length is null.
    assert_eq!(outcome(&with_body(&[&[0, 0, 0][..], &varint(-5), &varint(-9), &[0]].concat())), None);
    let headers = |rest: &[u8]| outcome(&with_body(&[&[0, 0, 0, 2, b'k', 1][..], rest].concat()));
    assert_eq!(headers(&[varint(1), varint(1), vec![0xff], varint(-7)].concat()), None);
    // Padded varints, and upper bits in the fifth byte.
    assert_eq!(outcome(&with_body(&[0, 0x80, 0, 0x80, 0, 0x82, 0, b'k', 1, 0])), None);
    assert_eq!(outcome(&with_body(&[0, 0, 0, 0x82, 0x80, 0x80, 0x80, 0x70, b'k', 1, 0])), None);
    // Inner offsets of an uncompressed batch, and times that overflow.
    assert_eq!(outcome(&batch(&[record(-1), record(7), record(7)])), None);
    assert_eq!(outcome(&batch(&[record(0).at(1 << 62)]).timestamps((1 << 62) + (1 << 61), 0)), None);
}

fn compacted() -> TopicConfig {
    TopicConfig { cleanup_compact: true, cleanup_delete: false, ..TopicConfig::default() }
}

#[test]
fn a_compacted_topic_wants_keys_and_names_every_record_without_one() {
    let keyless: Vec<_> = (0..5).map(|i| if i == 0 { record(0) } else { record(i).key(None) }).collect();
    let gzip = compress(CompressionType::Gzip { level: -1 }, &plain(&keyless)).unwrap();
    for raw in [batch(&keyless), payload(&gzip, 5).attributes(1)] {
        let rejected = raw.validate(&compacted()).unwrap_err().in_partition("t", PartitionId(0));
        assert_eq!((rejected.error, rejected.log_start_known), (InvalidRecord, true));
        let text = "Compacted topic cannot accept message without key in topic partition t-0";
        let expected: Vec<_> =
            (1..5).map(|batch_index| RecordError { batch_index, message: Some(text.to_owned()) }).collect();
        assert_eq!(rejected.record_errors, expected);
        let summary = format!(
            "One or more records have been rejected due to 4 record errors in total, and only showing the first three \
             errors at most: [RecordError(batchIndex=1, message='{text}'), RecordError(batchIndex=2, \
             message='{text}'), RecordError(batchIndex=3, message='{text}')]"
        );
        assert_eq!(rejected.message, Some(summary));
    }
    assert!(batch(&[record(0).key(Some(b""))]).validate(&compacted()).is_ok());
}

#[test]
fn a_malformed_record_outweighs_bad_ones_before_it() {
    let raw = batch(&[record(0).key(None), record(1).length(3)]);
    assert_eq!(raw.validate(&compacted()).unwrap_err(), Rejected::in_log(InvalidRecord));
    // A bad record outweighs offsets that trip Kafka.
    let gzip = compress(CompressionType::Gzip { level: -1 }, &record(1).key(None).bytes()).unwrap();
    assert_eq!(payload(&gzip, 1).attributes(1).validate(&compacted()).unwrap_err().error, InvalidRecord);
}

#[test]
fn timestamps_must_lie_within_the_limits_and_one_error_names_the_batch() {
    let config =
        TopicConfig { message_timestamp_before_max_ms: 1000, message_timestamp_after_max_ms: 500, ..compacted() };
    let now = NOW.as_millis();
    let at = |delta: i64| batch(&[record(0).at(delta)]).validate(&config);
    assert!(at(-1000).is_ok() && at(500).is_ok());
    for delta in [-1001, 501] {
        let rejected = at(delta).unwrap_err();
        let text = format!(
            "Timestamp {} of message with offset 0 is out of range. The timestamp should be within [{}, {}]",
            now + delta,
            now - 1000,
            now + 500
        );
        assert_eq!(rejected.error, InvalidTimestamp);
        assert_eq!(rejected.record_errors, [RecordError { batch_index: 0, message: Some(text) }]);
        let summary = "One or more records have been rejected due to invalid timestamp";
        assert_eq!(rejected.message.as_deref(), Some(summary));
    }
    let mixed = batch(&[record(0).key(None), record(1).at(501), record(2)]).validate(&config).unwrap_err();
    assert_eq!((mixed.error, mixed.record_errors.len()), (InvalidTimestamp, 2));
    // -1 is no time; -2 is a time long ago.
    assert!(batch(&[record(0)]).timestamps(-1, -1).validate(&config).is_ok());
    assert_eq!(batch(&[record(0)]).timestamps(-2, -2).validate(&config).unwrap_err().error, InvalidTimestamp);
}

#[test]
fn the_default_limits_are_one_hour_ahead_and_none_back() {
    // KIP-1030; the text shows Java's wrapped difference.
    let at = |timestamp| batch(&[record(0)]).timestamps(timestamp, 0).validate(&TopicConfig::default());
    assert!(at(0).is_ok() && at(NOW.as_millis() + 3_600_000).is_ok());
    assert_eq!(at(NOW.as_millis() + 3_600_001).unwrap_err().error, InvalidTimestamp);
    let text = at(i64::MIN).unwrap_err().record_errors[0].message.clone().unwrap();
    assert!(text.contains("[-9223370241463775807, 1795394600000]"), "{text}");
}

#[test]
fn a_batch_may_claim_log_append_time_only_where_the_range_is_checked() {
    let claim = |timestamp| batch(&[record(0).key(None)]).attributes(8).timestamps(5, timestamp);
    let accepted = claim(NOW.as_millis()).validate(&TopicConfig::default()).unwrap().into_batch();
    assert_eq!(accepted.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(accepted.max_timestamp(), NOW.as_millis());
    let text = |name: &str, key: i32, timestamp: i64| {
        format!(
            "Invalid timestamp type in message {name}(offset=0, timestamp={timestamp}, key={key} bytes, value=1 \
             bytes). Producer should not set timestamp type to LogAppendTime."
        )
    };
    let none = claim(-1).validate(&TopicConfig::default()).unwrap_err();
    assert_eq!(none.error, InvalidTimestamp);
    assert_eq!(none.record_errors[0].message, Some(text("DefaultRecord", 0, -1)));
    let gzip = compress(CompressionType::Gzip { level: -1 }, &record(0).key(None).bytes()).unwrap();
    let rejected = payload(&gzip, 1).attributes(9).timestamps(5, 77).validate(&log_append_time()).unwrap_err();
    assert_eq!(rejected.record_errors[0].message, Some(text("PartialDefaultRecord", -1, 77)));
}

fn log_append_time() -> TopicConfig {
    TopicConfig { message_timestamp_type: TimestampType::LogAppendTime, ..TopicConfig::default() }
}

#[test]
fn create_time_recomputes_the_largest_timestamp() {
    let three = [record(0), record(1).at(5), record(2).at(3)];
    for claimed in [77, 0, 5000] {
        let valid = batch(&three).attributes(0x7fc0).timestamps(1000, claimed).validate(&TopicConfig::default());
        let valid = valid.unwrap();
        assert_eq!(valid.log_append_time_ms(), -1);
        let valid = valid.into_batch();
        assert_eq!(valid.max_timestamp(), 1005);
        // Unknown attribute bits go with the rewrite; the delete horizon stays.
        assert_eq!(valid.attributes(), 0x40);
        assert!(valid.crc_matches());
    }
    // Without a time that counts it is -1.
    let early = batch(&three).timestamps(-9, -9).validate(&TopicConfig::default()).unwrap();
    assert_eq!(early.into_batch().max_timestamp(), -1);
}

#[test]
fn log_append_time_is_the_brokers_whatever_the_records_say() {
    let gzip = compress(CompressionType::Gzip { level: -1 }, &plain(&records(3))).unwrap();
    for raw in [batch(&records(3)), payload(&gzip, 3).attributes(1), batch(&[record(0).at(1 << 50)])] {
        let valid = raw.timestamps(1000, 77).validate(&log_append_time()).unwrap();
        assert_eq!(valid.log_append_time_ms(), NOW.as_millis());
        let valid = valid.into_batch();
        assert_eq!((valid.base_timestamp(), valid.max_timestamp()), (1000, NOW.as_millis()));
        assert!(valid.timestamp_type() == TimestampType::LogAppendTime && valid.crc_matches());
    }
    let claimed = batch(&records(3)).attributes(8).validate(&log_append_time()).unwrap_err();
    assert_eq!((claimed.error, claimed.record_errors.len()), (InvalidTimestamp, 3));
}

#[test]
fn a_batch_that_needs_no_rewrite_is_kept_by_reference() {
    let raw = batch(&records(3));
    let batch = raw.batch();
    let before = batch.rest().as_ptr();
    let valid = crate::log::validate(batch, &TopicConfig::default(), NOW).unwrap();
    assert_eq!(valid.into_batch().rest().as_ptr(), before);
}

#[test]
fn no_records_make_it_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let bytes = plain(&[record(0).header(b"h", None), record(1).key(None), record(2).at(-5)]);
    for _ in 0..5_000 {
        let mut changed = bytes[..random.usize(1..=bytes.len())].to_vec();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..changed.len());
            changed[at] = random.u8(..);
        }
        let _either = payload(&changed, random.i32(1..5)).validate(&compacted());
    }
}
