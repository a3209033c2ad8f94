//! D.7: ListOffsets. The answers to the odd questions were seen on a real 4.3.1.

use super::kit::{batch, payload, plain, record, records};
use crate::cluster::{CompressionType, TimestampType, TopicConfig};
use crate::log::compression::compress;
use crate::log::{Found, PartitionLog};
use crate::time::Timestamp;

fn append(log: &mut PartitionLog, base: i64, deltas: &[i64]) {
    append_with(log, base, deltas, &TopicConfig::default());
}

fn append_with(log: &mut PartitionLog, base: i64, deltas: &[i64], config: &TopicConfig) {
    let records: Vec<_> = deltas.iter().enumerate().map(|(i, &delta)| record(i as i64).at(delta)).collect();
    batch(&records).timestamps(base, base).append(log, config).unwrap();
}

/// Offset and timestamp, bounded by the high watermark.
fn at(log: &PartitionLog, timestamp: i64) -> Option<(i64, i64)> {
    log.offset_for_timestamp(timestamp, log.high_watermark()).map(|found| (found.offset, found.timestamp))
}

fn max(log: &PartitionLog) -> Option<(i64, i64)> {
    log.max_timestamp(log.high_watermark()).map(|found| (found.offset, found.timestamp))
}

#[test]
fn the_first_record_at_or_after_the_time_is_found_whatever_the_order() {
    let mut log = PartitionLog::new(0);
    append(&mut log, 10_000, &[0, 0]);
    append(&mut log, 20_000, &[0, -9_000, 5]);
    append(&mut log, 15_000, &[0]);
    assert_eq!(at(&log, 0), Some((0, 10_000)));
    assert_eq!(at(&log, 10_000), Some((0, 10_000)));
    assert_eq!(at(&log, 10_001), Some((2, 20_000)));
    assert_eq!(at(&log, 15_000), Some((2, 20_000)));
    assert_eq!(at(&log, 20_001), Some((4, 20_005)));
    assert_eq!(at(&log, 20_006), None);
}

#[test]
fn a_record_at_or_after_the_bound_is_no_answer() {
    let mut log = PartitionLog::new(0);
    append(&mut log, 1000, &[0, 5, 9]);
    assert_eq!(log.offset_for_timestamp(1005, 1), None);
    assert_eq!(log.offset_for_timestamp(1005, 2).map(|found| found.offset), Some(1));
    assert_eq!(log.max_timestamp(2), None);
}

#[test]
fn the_answer_bears_the_epoch_of_the_batch() {
    let mut log = PartitionLog::new(3);
    append(&mut log, 1000, &[0]);
    log.begin_leader_epoch(6);
    append(&mut log, 2000, &[0]);
    assert_eq!(log.offset_for_timestamp(500, 2), Some(Found { offset: 0, timestamp: 1000, leader_epoch: 3 }));
    assert_eq!(log.offset_for_timestamp(1500, 2), Some(Found { offset: 1, timestamp: 2000, leader_epoch: 6 }));
    assert_eq!(log.max_timestamp(2), Some(Found { offset: 1, timestamp: 2000, leader_epoch: 6 }));
    assert_eq!(log.earliest(), Found { offset: 0, timestamp: -1, leader_epoch: 3 });
}

#[test]
fn the_largest_timestamp_is_that_of_the_first_record_that_has_it() {
    // KIP-734
    let mut log = PartitionLog::new(0);
    assert_eq!(max(&log), None);
    append(&mut log, 9000, &[0, 5, 5]);
    append(&mut log, 9000, &[5, 0]);
    append(&mut log, 1000, &[0, 0]);
    assert_eq!(max(&log), Some((1, 9005)));
    // The log start does not matter to -3 as long as the segment is there; it does to a time.
    log.delete_records(5);
    assert_eq!((max(&log), at(&log, 9000)), (Some((1, 9005)), None));
    log.delete_records(7);
    assert_eq!(max(&log), Some((1, 9005)));
}

#[test]
fn records_without_a_time_are_found_by_no_time_but_by_the_largest() {
    let mut log = PartitionLog::new(0);
    append(&mut log, -1, &[0, 0]);
    assert_eq!((max(&log), at(&log, 0)), (Some((0, -1)), None));
    append(&mut log, -7, &[0, 0]);
    append(&mut log, 100, &[0, 0]);
    assert_eq!((max(&log), at(&log, 0)), (Some((4, 100)), Some((4, 100))));
}

#[test]
fn the_log_start_hides_earlier_records_from_a_search() {
    let mut log = PartitionLog::new(0);
    append(&mut log, 1000, &[0, 10, 20]);
    append(&mut log, 500, &[0]);
    log.delete_records(2);
    assert_eq!((at(&log, 0), at(&log, 1015)), (Some((2, 1020)), Some((2, 1020))));
    log.delete_records(3);
    assert_eq!((at(&log, 0), at(&log, 501)), (Some((3, 500)), None));
}

#[test]
fn only_the_first_segment_that_reaches_the_time_is_searched() {
    // UnifiedLog.searchOffsetInLocalLog: seen with three batches of 600 kB in segments of 1 MiB.
    let config = TopicConfig { segment_bytes: 100, ..TopicConfig::default() };
    let mut log = PartitionLog::new(0);
    append_with(&mut log, 30_000, &[0, 0], &config);
    append_with(&mut log, 10_000, &[0], &config);
    append_with(&mut log, 40_000, &[0], &config);
    assert_eq!(
        (at(&log, 20_000), at(&log, 30_001), max(&log)),
        (Some((0, 30_000)), Some((3, 40_000)), Some((3, 40_000)))
    );
    log.delete_records(1);
    assert_eq!(at(&log, 20_000), Some((1, 30_000)));
    log.delete_records(2);
    assert_eq!((at(&log, 20_000), at(&log, 5_000)), (Some((3, 40_000)), Some((2, 10_000))));
}

#[test]
fn a_compressed_batch_is_searched_inside() {
    let gzip = compress(CompressionType::Gzip { level: -1 }, &plain(&[record(0), record(1).at(7), record(2).at(7)]));
    let mut log = PartitionLog::new(0);
    let raw = payload(&gzip.unwrap(), 3).attributes(1).timestamps(500, 0);
    raw.append(&mut log, &TopicConfig::default()).unwrap();
    assert_eq!((at(&log, 501), at(&log, 507), at(&log, 508)), (Some((1, 507)), Some((1, 507)), None));
    assert_eq!(max(&log), Some((1, 507)));
}

#[test]
fn records_of_a_log_append_time_batch_share_its_time() {
    let config = TopicConfig { message_timestamp_type: TimestampType::LogAppendTime, ..TopicConfig::default() };
    let mut log = PartitionLog::new(0);
    for now in [100, 200] {
        batch(&records(3)).append_at(&mut log, &config, Timestamp::from_millis(now)).unwrap();
    }
    assert_eq!((at(&log, 5), at(&log, 101), max(&log)), (Some((0, 100)), Some((3, 200)), Some((3, 200))));
}

#[test]
fn a_search_skips_over_many_batches_to_the_right_one() {
    let mut log = PartitionLog::new(0);
    for i in 0..3000 {
        append(&mut log, 10 * i + 1, &[0]);
    }
    for i in (0..3000).step_by(37) {
        assert_eq!(at(&log, 10 * i), Some((i, 10 * i + 1)));
        assert_eq!(at(&log, 10 * i + 1), Some((i, 10 * i + 1)));
    }
    log.delete_records(2000);
    assert_eq!((at(&log, 0), at(&log, 29_991), at(&log, 29_992)), (Some((2000, 20_001)), Some((2999, 29_991)), None));
}
