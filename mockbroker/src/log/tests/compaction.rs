//! J.3: what is cleaned when, and what is left of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kit::{NOW, RawRecord, batch, record};
use crate::cluster::TopicConfig;
use crate::log::PartitionLog;
use crate::time::Timestamp;

const HOUR: i64 = 3_600_000;

/// Batches that are an hour apart are segments of their own.
fn config() -> TopicConfig {
    TopicConfig {
        cleanup_compact: true,
        cleanup_delete: false,
        segment_ms: HOUR / 2,
        min_cleanable_dirty_ratio: 0.0,
        ..TopicConfig::default()
    }
}

fn keyed(records: &[(&str, Option<&str>)]) -> Vec<RawRecord> {
    let raw = |(delta, (key, value)): (i64, &(&str, Option<&str>))| {
        record(delta).key(Some(key.as_bytes())).value(value.map(str::as_bytes))
    };
    (0..).zip(records).map(raw).collect()
}

fn write(log: &mut PartitionLog, hour: i64, records: &[(&str, Option<&str>)]) {
    let time = NOW.as_millis() + hour * HOUR;
    batch(&keyed(records)).timestamps(time, time).append_at(log, &open(), NOW).unwrap();
}

/// The same, for records from the future.
fn open() -> TopicConfig {
    TopicConfig { message_timestamp_after_max_ms: i64::MAX, ..config() }
}

fn clean(log: &mut PartitionLog, config: &TopicConfig, now: Timestamp) -> bool {
    let is_dirty = log.cleanable(config, now).is_some();
    if is_dirty {
        let cleaned = log.begin_cleaning(Arc::new(config.clone()), now).run();
        drop(log.swap_cleaned(cleaned));
    }
    is_dirty
}

/// Offset, key and value of every record, from the log start on.
fn records(log: &PartitionLog) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::new();
    for batch in log.segments().flat_map(|segment| segment.entries()).map(|entry| &entry.batch) {
        for record in &batch.records().unwrap() {
            let record = record.unwrap();
            if record.offset >= log.log_start_offset() {
                all.push((record.offset, text(record.key.unwrap()), record.value.map(text)));
            }
        }
    }
    all
}

fn offsets(log: &PartitionLog) -> Vec<i64> {
    records(log).into_iter().map(|(offset, ..)| offset).collect()
}

#[test]
fn a_log_is_cleaned_when_enough_of_it_is_dirty() {
    // LogCleanerManager.grabFilthiestCompactedLog: the ratio must be above the least one, not equal to it.
    let mut log = PartitionLog::new(0);
    let least = |ratio: f64| TopicConfig { min_cleanable_dirty_ratio: ratio, ..config() };
    write(&mut log, 0, &[("a", Some("1"))]);
    assert_eq!(log.cleanable(&least(0.0), NOW), None, "one segment, and it is active");
    write(&mut log, 1, &[("a", Some("1"))]);
    assert_eq!(log.cleanable(&least(0.99), NOW), Some(1.0));
    assert_eq!(log.cleanable(&least(1.0), NOW), None);
    assert!(clean(&mut log, &config(), NOW));
    assert_eq!(log.cleanable(&least(0.0), NOW), None);
    write(&mut log, 2, &[("a", Some("1"))]);
    assert_eq!(log.cleanable(&least(0.49), NOW), Some(0.5), "the clean half counts");
    assert_eq!(log.cleanable(&least(0.5), NOW), None);
    assert!(clean(&mut log, &config(), NOW));
    assert_eq!(offsets(&log), [1, 2]);
}

#[test]
fn what_is_too_old_is_cleaned_however_little_is_dirty() {
    // KIP-354
    let mut log = PartitionLog::new(0);
    let config = TopicConfig { max_compaction_lag_ms: 10 * HOUR, min_cleanable_dirty_ratio: 1.0, ..config() };
    write(&mut log, 0, &[("a", Some("1"))]);
    write(&mut log, 1, &[("a", Some("2"))]);
    assert_eq!(log.cleanable(&config, NOW.plus_millis(10 * HOUR)), None);
    assert!(log.cleanable(&config, NOW.plus_millis(10 * HOUR + 1)).is_some());
}

#[test]
fn what_is_too_young_is_left_alone() {
    // `min.compaction.lag.ms`: by the largest timestamp of a segment.
    let mut log = PartitionLog::new(0);
    let config = TopicConfig { min_compaction_lag_ms: 2 * HOUR, ..config() };
    for hour in 0..5 {
        write(&mut log, hour, &[("a", Some("v"))]);
    }
    assert!(!clean(&mut log, &config, NOW.plus_millis(HOUR)));
    assert!(clean(&mut log, &config, NOW.plus_millis(3 * HOUR)));
    assert_eq!(offsets(&log), [1, 2, 3, 4], "the records at 0 and 1 are old enough, and 1 is the last of them");
    assert!(clean(&mut log, &config, NOW.plus_millis(9 * HOUR)));
    assert_eq!(offsets(&log), [3, 4]);
}

#[test]
fn a_record_without_a_key_goes() {
    // Cleaner.shouldRetainRecord: it can only be from before the topic was compacted.
    let mut log = PartitionLog::new(0);
    let before = TopicConfig { cleanup_compact: false, ..open() };
    let unkeyed = [record(0), record(1).key(None)];
    batch(&unkeyed).append_at(&mut log, &before, NOW).unwrap();
    write(&mut log, 1, &[("b", Some("1"))]);
    write(&mut log, 2, &[("c", Some("1"))]);
    assert!(clean(&mut log, &config(), NOW));
    assert_eq!(offsets(&log), [0, 2, 3]);
}

#[test]
fn cleaned_segments_are_put_together() {
    // Cleaner.groupSegmentsBySize: up to `segment.bytes`.
    let mut log = PartitionLog::new(0);
    for hour in 0..7 {
        write(&mut log, hour, &[("a", Some("v")), ("b", Some("v"))]);
    }
    let size = log.segment(0).size_bytes();
    let config = TopicConfig { segment_bytes: i32::try_from(2 * size).unwrap(), ..config() };
    assert!(clean(&mut log, &config, NOW));
    let bases: Vec<i64> = log.segments().map(|segment| segment.base_offset()).collect();
    assert_eq!(bases, [0, 4, 8, 12]);
    assert_eq!(log.segment(0).size_bytes(), 0, "an empty segment stays until it is put together with another");
    assert_eq!(log.size_bytes(), 2 * size, "the last batch that was cleaned, and the active segment");
    assert_eq!(log.available_bytes(0, log.high_watermark()) as u64, 2 * size);
    write(&mut log, 7, &[("c", Some("v"))]);
    assert!(clean(&mut log, &config, NOW));
    assert_eq!(log.segments().map(|segment| segment.base_offset()).collect::<Vec<_>>(), [0, 14]);
}

#[test]
fn what_was_cleaned_meanwhile_deleted_stays_deleted() {
    let mut log = PartitionLog::new(0);
    for hour in 0..4 {
        write(&mut log, hour, &[("a", Some("v"))]);
    }
    let cleaned = log.begin_cleaning(Arc::new(config()), NOW).run();
    log.delete_records(2);
    drop(log.swap_cleaned(cleaned));
    assert_eq!(offsets(&log), [2, 3], "neither comes back what retention took, nor goes what it left");
    assert!(clean(&mut log, &config(), NOW), "the next round makes up for it");
    // What is appended meanwhile is no conflict.
    write(&mut log, 4, &[("a", Some("v"))]);
    let cleaned = log.begin_cleaning(Arc::new(config()), NOW).run();
    write(&mut log, 5, &[("a", Some("v"))]);
    drop(log.swap_cleaned(cleaned));
    assert_eq!(offsets(&log), [3, 4, 5]);
}

#[test]
fn a_batch_that_cannot_be_decoded_ends_the_cleaning_of_its_log() {
    // LogCleanerManager.markPartitionUncleanable.
    let mut log = PartitionLog::new(0);
    write(&mut log, 0, &[("a", Some("1"))]);
    write(&mut log, 1, &[("a", Some("2"))]);
    let broken = Err(crate::log::records::Malformed::Structure);
    drop(log.swap_cleaned(broken));
    assert!(!clean(&mut log, &config(), NOW));
    assert_eq!(offsets(&log), [0, 1]);
}

#[test]
fn whatever_is_written_the_last_value_of_every_key_can_be_read() {
    // Spec J.3, guarantees 1 to 3, for many random logs.
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut log = PartitionLog::new(0);
        let mut latest: BTreeMap<String, (i64, Option<String>)> = BTreeMap::new();
        let config = TopicConfig { delete_retention_ms: random.i64(0..3) * HOUR, ..config() };
        let mut now = NOW;
        for hour in 0..random.i64(2..30) {
            now = now.plus_millis(HOUR);
            let keys: Vec<String> = (0..random.usize(1..6)).map(|_| random.u8(0..8).to_string()).collect();
            let value = hour.to_string();
            let pairs: Vec<_> = keys.iter().map(|key| (&**key, random.bool().then_some(&*value))).collect();
            for (offset, (key, value)) in (log.log_end_offset()..).zip(&pairs) {
                latest.insert((*key).to_owned(), (offset, value.map(str::to_owned)));
            }
            write(&mut log, hour, &pairs);
            if random.u8(0..3) == 0 {
                clean(&mut log, &config, now);
            }
        }
        let left = records(&log);
        assert!(left.windows(2).all(|pair| pair[0].0 < pair[1].0), "order stays (seed {seed})");
        for (key, (offset, value)) in latest {
            let found = left.iter().find(|(at, ..)| *at == offset);
            let expected = (offset, key, value);
            // A tombstone may be gone; a value may not.
            assert!(found == Some(&expected) || (expected.2.is_none() && found.is_none()), "seed {seed}: {expected:?}");
        }
        for offset in 0..log.log_end_offset() {
            let read = log.read(offset, log.high_watermark(), usize::MAX, true);
            let next = left.iter().map(|(at, ..)| *at).find(|at| *at >= offset);
            assert!(next.is_none() || read.size_bytes > 0, "seed {seed}: nothing at {offset}");
        }
    }
}
