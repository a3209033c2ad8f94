//! J.1: when a segment is rolled.

use super::kit::{NOW, batch, records};
use crate::cluster::TopicConfig;
use crate::log::PartitionLog;
use crate::log::segment::{Entry, Segment};

/// Appends batches of one record at these times and returns the base offsets of the segments.
fn rolled(config: &TopicConfig, timestamps: &[i64]) -> Vec<i64> {
    let mut log = PartitionLog::new(0);
    for &timestamp in timestamps {
        batch(&records(1)).timestamps(timestamp, timestamp).append(&mut log, config).unwrap();
    }
    bases(&log)
}

fn bases(log: &PartitionLog) -> Vec<i64> {
    log.segments().map(|segment| segment.base_offset()).collect()
}

#[test]
fn a_segment_is_rolled_before_it_would_exceed_segment_bytes() {
    let size = batch(&records(1)).bytes().len() as i32;
    let of = |segment_bytes| rolled(&TopicConfig { segment_bytes, ..TopicConfig::default() }, &[0; 5]);
    assert_eq!(of(size), [0, 1, 2, 3, 4]);
    assert_eq!(of(2 * size), [0, 2, 4]);
    assert_eq!(of(2 * size + 1), [0, 2, 4]);
    assert_eq!(of(3 * size - 1), [0, 2, 4]);
    assert_eq!(of(3 * size), [0, 3]);
}

#[test]
fn age_is_counted_from_the_first_batch_of_the_segment_in_record_time() {
    let config = TopicConfig { segment_ms: 1000, ..TopicConfig::default() };
    assert_eq!(rolled(&config, &[5000, 6000, 6001, 7001, 7002]), [0, 2, 4]);
    // Older records do not roll, nor do they make the segment younger.
    assert_eq!(rolled(&config, &[5000, 0, 6000, 6001]), [0, 3]);
}

#[test]
fn without_record_time_age_is_counted_by_the_clock() {
    let config = TopicConfig { segment_ms: 1000, ..TopicConfig::default() };
    let mut log = PartitionLog::new(0);
    for (later, expected) in
        [(0, vec![0]), (1000, vec![0]), (1001, vec![0, 2]), (2001, vec![0, 2]), (2002, vec![0, 2, 4])]
    {
        batch(&records(1)).timestamps(-1, -1).append_at(&mut log, &config, NOW.plus_millis(later)).unwrap();
        assert_eq!(bases(&log), expected, "{later}");
    }
}

#[test]
fn compacted_topics_roll_by_the_compaction_lag_too() {
    let config = TopicConfig { segment_ms: 1000, max_compaction_lag_ms: 10, ..TopicConfig::default() };
    assert_eq!(rolled(&config, &[5000, 5011]), [0]);
    assert_eq!(rolled(&TopicConfig { cleanup_compact: true, ..config }, &[5000, 5010, 5011]), [0, 2]);
}

#[test]
fn jitter_only_makes_a_segment_roll_earlier() {
    let config = TopicConfig { segment_ms: 1000, segment_jitter_ms: 100, ..TopicConfig::default() };
    assert_eq!(rolled(&config, &[5000, 5900]), [0]);
    assert_eq!(rolled(&config, &[5000, 6001]), [0, 1]);
}

#[test]
fn a_full_index_rolls() {
    // One entry whenever more than index.interval.bytes came since the last; 8 bytes each in the offset index, 12 in
    // the time index, which keeps its last slot free.
    let config = TopicConfig { index_interval_bytes: 0, segment_index_bytes: 48, ..TopicConfig::default() };
    // Equal timestamps fill the offset index only: six entries after seven batches.
    assert_eq!(rolled(&config, &[5; 8]), [0, 7]);
    // Rising ones fill the time index first: four slots, three of them used.
    assert_eq!(rolled(&config, &[1, 2, 3, 4, 5, 6]), [0, 4]);
}

#[test]
fn an_idle_partition_is_small() {
    let log = PartitionLog::new(0);
    assert!(log.closed.capacity() == 0 && size_of::<Segment>() <= 300);
    assert!(size_of::<Entry>() <= 56);
}
