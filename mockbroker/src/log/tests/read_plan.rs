//! D.3: what bytes a read returns. The cuts were seen on a real 4.3.1.

use super::kit::{batch, batches, record, records, wire};
use crate::cluster::TopicConfig;
use crate::log::{PartitionLog, Records};

/// Four batches of one record; the size of each.
fn four() -> (PartitionLog, usize) {
    let mut log = PartitionLog::new(0);
    let raw = batch(&[record(0).value(Some(&[b'a'; 100]))]);
    for _ in 0..4 {
        raw.append(&mut log, &TopicConfig::default()).unwrap();
    }
    assert_eq!(log.high_watermark(), 4);
    (log, raw.bytes().len())
}

#[test]
fn what_was_appended_is_read_with_its_offset_and_epoch() {
    let mut log = PartitionLog::new(5);
    let raw = batch(&records(3)).producer(7, 1, 0);
    raw.append(&mut log, &TopicConfig::default()).unwrap();
    raw.clone().producer(7, 1, 3).append(&mut log, &TopicConfig::default()).unwrap();
    let read = batches(&wire(&log, 0, usize::MAX, true));
    let places: Vec<_> = read.iter().map(|b| (b.base_offset(), b.last_offset(), b.partition_leader_epoch())).collect();
    assert_eq!(places, [(0, 2, 5), (3, 5, 5)]);
    assert!(read.iter().all(crate::log::batch::Batch::crc_matches));
    assert_eq!(read[0].rest(), raw.batch().rest());
}

#[test]
fn stored_bytes_are_served_by_reference() {
    let mut log = PartitionLog::new(0);
    let raw = batch(&records(3)).batch();
    let sent = raw.rest().as_ptr();
    let valid = crate::log::validate(raw, &TopicConfig::default(), super::kit::NOW).unwrap();
    log.append(valid, &TopicConfig::default(), super::kit::NOW).unwrap();
    assert_eq!(log.read(0, 3, 1000, true).pieces[0].rest.as_ptr(), sent);
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset() {
    let mut log = PartitionLog::new(0);
    for count in [3, 2] {
        batch(&records(count)).append(&mut log, &TopicConfig::default()).unwrap();
    }
    let bases = |offset| batches(&wire(&log, offset, 1000, true)).iter().map(|b| b.base_offset()).collect::<Vec<_>>();
    for offset in 0..3 {
        assert_eq!(bases(offset), [0, 3]);
    }
    assert_eq!((bases(3), bases(4), bases(5)), (vec![3], vec![3], vec![]));
}

#[test]
fn the_last_batch_is_cut_at_the_limit() {
    let (log, size) = four();
    let all = wire(&log, 0, usize::MAX, true);
    assert_eq!(all.len(), 4 * size);
    for limit in [size, size + 5, size + 15, size + 16, size + 17, size + 20, 3 * size, 4 * size] {
        assert_eq!(wire(&log, 0, limit, false), all[..limit], "{limit}");
        assert_eq!(wire(&log, 0, limit, true), all[..limit], "{limit}");
    }
    assert_eq!(wire(&log, 1, 2 * size + 20, true), all[size..3 * size + 20]);
}

#[test]
fn a_first_batch_that_does_not_fit_comes_whole_or_not_at_all() {
    let (log, size) = four();
    let all = wire(&log, 0, usize::MAX, true);
    for limit in [0, 1, 16, size - 1] {
        assert_eq!(wire(&log, 0, limit, true), all[..size], "{limit}");
        assert_eq!(log.read(0, 4, limit, false), Records::default(), "{limit}");
    }
}

#[test]
fn nothing_at_or_beyond_the_bound_is_read() {
    let (log, size) = four();
    assert_eq!(log.read(1, 3, usize::MAX, true).size_bytes, 2 * size);
    for (offset, bound) in [(4, 4), (3, 3), (3, 2), (3, 0)] {
        assert!(log.read(offset, bound, usize::MAX, true).pieces.is_empty(), "{offset} {bound}");
        assert_eq!(log.available_bytes(offset, bound), 0);
    }
    assert!(PartitionLog::new(0).read(0, 0, usize::MAX, true).pieces.is_empty());
}

#[test]
fn a_read_stays_in_one_segment_and_goes_on_in_the_next() {
    let config = TopicConfig { segment_bytes: 200, ..TopicConfig::default() };
    let mut log = PartitionLog::new(0);
    let raw = batch(&records(3));
    for _ in 0..5 {
        raw.append(&mut log, &config).unwrap();
    }
    let size = raw.bytes().len();
    assert_eq!(2 * size, 176);
    let bases = |offset| batches(&wire(&log, offset, 10_000, true)).iter().map(|b| b.base_offset()).collect::<Vec<_>>();
    assert_eq!((bases(0), bases(5), bases(6), bases(14)), (vec![0, 3], vec![3], vec![6, 9], vec![12]));
    // What is available is counted over segments.
    assert_eq!(log.available_bytes(0, 15), 5 * size);
    assert_eq!(log.available_bytes(4, 12), 3 * size);
    assert!(log.is_in_older_segment(5, 15) && log.is_in_older_segment(5, 6));
    assert!(!log.is_in_older_segment(13, 15) && !log.is_in_older_segment(0, 5));
    assert_eq!(log.size_bytes(), 5 * size as u64);
}

#[test]
fn a_bound_within_a_batch_leaves_the_batch_out() {
    // The bound's position is that of the batch that holds it (UnifiedLog.convertToOffsetMetadataOrThrow).
    let mut log = PartitionLog::new(0);
    for _ in 0..2 {
        batch(&records(3)).append(&mut log, &TopicConfig::default()).unwrap();
    }
    let size = batch(&records(3)).bytes().len();
    assert_eq!(log.read(0, 4, 10_000, true).size_bytes, size);
    assert_eq!(log.available_bytes(0, 4), size);
}
