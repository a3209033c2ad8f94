//! The view over a batch, and the records in it.

use super::kit::{NOW, batch, bytes, hex, record, records};
use crate::cluster::TimestampType;
use crate::log::batch::{Batch, Compression};
use crate::log::records::Malformed;

#[test]
fn every_header_field_is_read_from_its_place() {
    // C.9
    let raw = batch(&records(3)).attributes(0x1b).timestamps(1000, 2000).producer(7, 8, 9);
    let batch = raw.batch();
    assert_eq!(bytes(&batch), raw.bytes());
    assert_eq!(batch.size_bytes(), raw.bytes().len());
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.last_offset_delta()), (0, 2, 2));
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1000, 2000));
    assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (7, 8, 9));
    assert_eq!((batch.last_sequence(), batch.record_count(), batch.partition_leader_epoch()), (11, 3, -1));
    assert_eq!(batch.compression(), Some(Compression::Lz4));
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert!(batch.is_transactional() && !batch.is_control() && batch.has_producer_id() && batch.crc_matches());
}

#[test]
fn the_last_sequence_wraps_to_zero() {
    // DefaultRecordBatch.incrementSequence
    let last = |base| batch(&records(4)).producer(7, 0, base).batch().last_sequence();
    assert_eq!((last(i32::MAX - 3), last(i32::MAX - 1), last(i32::MAX), last(-1)), (i32::MAX, 1, 2, -1));
}

#[test]
fn a_batch_that_a_real_kafka_wrote_is_read() {
    // Apache Kafka 4.3.1, topic with compression.type=snappy, 2026-11-22.
    let stored = hex("0000000000000004 00000066 00000000 02 35ff238b 0002 00000002 00000000000003e8 00000000000003e8 \
         ffffffffffffffff ffff ffffffff 00000003 82534e41505059000000000100000001 00000021 \
         203010000000026b0276001e00000201093804026102620261010c000d04010100");
    let batch = Batch::from_bytes(&stored.into()).unwrap();
    assert!(batch.crc_matches());
    let decoded = batch.records().unwrap();
    let records: Vec<_> = decoded.iter().map(Result::unwrap).collect();
    let offsets: Vec<_> = records.iter().map(|record| (record.offset, record.timestamp)).collect();
    assert_eq!(offsets, [(4, 1000), (5, 1000), (6, 993)]);
    assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!((records[2].key, records[2].value), (None, None));
    let headers: Vec<_> = records[1].headers.clone().collect();
    assert_eq!(headers, [(&b"a"[..], Some(&b"b"[..])), (b"a", None)]);
    assert_eq!((records[1].headers.remaining(), records[0].headers.remaining()), (2, 0));
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let batch = batch(&[record(0).at(5), record(1).at(-9)]).attributes(8).timestamps(1000, 77).batch();
    let decoded = batch.records().unwrap();
    assert!(decoded.iter().all(|record| record.unwrap().timestamp == 77));
}

#[test]
fn iteration_ends_at_the_first_malformed_record() {
    let raw = batch(&[record(0), record(1).length(3), record(2)]);
    let batch = raw.batch();
    let decoded = batch.records().unwrap();
    let seen: Vec<_> = decoded.iter().map(|record| record.map(|record| record.offset)).collect();
    assert_eq!(seen, [Ok(0), Err(Malformed::Structure)]);
}

#[test]
fn stamping_what_is_there_already_shares_the_bytes() {
    // DefaultRecordBatch.setMaxTimestamp: no new CRC if nothing changes.
    let before = batch(&records(2)).attributes(0x7f80_u16 as i16).batch();
    let same = before.clone().stamped(TimestampType::CreateTime, NOW.as_millis());
    assert_eq!(same.rest().as_ptr(), before.rest().as_ptr());
    let changed = before.stamped(TimestampType::CreateTime, 5);
    assert!(changed.crc_matches());
    assert_eq!((changed.attributes(), changed.max_timestamp()), (0, 5));
}
