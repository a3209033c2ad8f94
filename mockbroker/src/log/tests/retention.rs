//! J.2 and DeleteRecords: what leaves the log.

use super::kit::{NOW, batch, records};
use crate::cluster::TopicConfig;
use crate::log::PartitionLog;

const SIZE: i64 = 70;

fn config() -> TopicConfig {
    // Two batches to a segment.
    TopicConfig { segment_bytes: 140, retention_ms: -1, ..TopicConfig::default() }
}

/// One batch of one record for each timestamp; segments at 0, 2, 4, ...
fn log_of(timestamps: &[i64]) -> PartitionLog {
    let mut log = PartitionLog::new(0);
    for &timestamp in timestamps {
        let raw = batch(&records(1)).timestamps(timestamp, timestamp);
        assert_eq!(raw.bytes().len() as i64, SIZE);
        raw.append(&mut log, &config()).unwrap();
    }
    log
}

fn bases(log: &PartitionLog) -> Vec<i64> {
    log.segments().map(|segment| segment.base_offset()).collect()
}

#[test]
fn delete_records_moves_the_log_start_and_drops_whole_segments_below_it() {
    // KIP-107
    let mut log = log_of(&[0; 6]);
    log.delete_records(3);
    assert_eq!((log.log_start_offset(), bases(&log), log.size_bytes()), (3, vec![2, 4], 280));
    log.delete_records(2);
    assert_eq!(log.log_start_offset(), 3);
    // The active segment stays.
    log.delete_records(6);
    assert_eq!((log.log_start_offset(), log.high_watermark(), bases(&log)), (6, 6, vec![4]));
    let appended = batch(&records(1)).append(&mut log, &config()).unwrap();
    assert_eq!((appended.base_offset, appended.log_start_offset), (6, 6));
}

#[test]
fn size_retention_keeps_at_least_retention_bytes() {
    for (retention_bytes, start) in
        [(420, 0), (419, 0), (281, 0), (280, 2), (279, 2), (141, 2), (140, 4), (1, 4), (0, 6)]
    {
        let mut log = log_of(&[0; 6]);
        let moved = log.retain(&TopicConfig { retention_bytes, ..config() }, NOW);
        assert_eq!((log.log_start_offset(), moved), (start, start > 0), "{retention_bytes}");
        assert!(log.size_bytes() >= retention_bytes as u64);
    }
}

#[test]
fn time_retention_goes_by_the_largest_timestamp_of_a_segment() {
    let now = NOW.as_millis();
    let config = TopicConfig { retention_ms: 1000, ..config() };
    // The second record keeps the first segment although the first is old.
    let mut log = log_of(&[now - 5000, now - 1000, now - 9000, now - 9000]);
    assert!(!log.retain(&config, NOW));
    assert!(log.retain(&config, NOW.plus_millis(1)));
    assert_eq!((log.log_start_offset(), bases(&log)), (4, vec![4]));
    // A time in the future keeps everything after it.
    let mut log = log_of(&[now - 5000, now - 5000, now + 1_000_000, 0, 0, 0]);
    assert!(log.retain(&config, NOW));
    assert_eq!(log.log_start_offset(), 2);
}

#[test]
fn an_idle_log_becomes_empty() {
    let mut log = log_of(&[0; 5]);
    assert!(log.retain(&TopicConfig { retention_ms: 1000, ..config() }, NOW));
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size_bytes()), (5, 5, 0));
    assert_eq!(bases(&log), [5]);
    assert!(!log.retain(&TopicConfig { retention_ms: 0, retention_bytes: 0, ..config() }, NOW.plus_millis(9)));
    assert_eq!(batch(&records(1)).append(&mut log, &config()).unwrap().base_offset, 5);
}

#[test]
fn a_segment_without_timestamps_goes_by_when_it_was_written() {
    let config = TopicConfig { retention_ms: 1000, ..config() };
    let mut log = log_of(&[-1; 4]);
    assert!(!log.retain(&config, NOW.plus_millis(1000)));
    assert!(log.retain(&config, NOW.plus_millis(1001)));
    assert_eq!(log.log_start_offset(), 4);
}

#[test]
fn without_the_delete_policy_nothing_is_deleted_by_size_or_time() {
    let mut log = log_of(&[0; 6]);
    let config = TopicConfig { cleanup_delete: false, retention_ms: 0, retention_bytes: 0, ..config() };
    assert!(!log.retain(&config, NOW));
    assert_eq!(log.log_start_offset(), 0);
    // Unlimited retention deletes nothing either.
    assert!(!log.retain(&TopicConfig { retention_bytes: -1, ..self::config() }, NOW));
}
