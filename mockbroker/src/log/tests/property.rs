//! Random batches against a model that is a list of records: every offset is read back, at every limit.

use super::kit::{NOW, RawBatch, batch, batches, record, wire};
use crate::cluster::TopicConfig;
use crate::log::PartitionLog;

struct Model {
    log: PartitionLog,
    /// Base offset, record count, size, timestamps of every batch ever appended.
    batches: Vec<(i64, i64, usize, Vec<i64>)>,
}

fn random_batch(random: &mut fastrand::Rng) -> (RawBatch, Vec<i64>) {
    let count = random.i64(1..6);
    let base = 1_000_000 + random.i64(0..1000);
    let deltas: Vec<i64> = (0..count).map(|_| random.i64(-500..500)).collect();
    let records: Vec<_> = deltas
        .iter()
        .zip(0..)
        .map(|(&delta, offset)| record(offset).at(delta).value(Some(&vec![b'x'; random.usize(..40)])))
        .collect();
    (batch(&records).timestamps(base, 0), deltas.iter().map(|delta| base + delta).collect())
}

fn grow(seed: u64) -> Model {
    let mut random = fastrand::Rng::with_seed(seed);
    let config = TopicConfig { segment_bytes: random.i32(400..3000), ..TopicConfig::default() };
    let mut model = Model { log: PartitionLog::new(0), batches: Vec::new() };
    for _ in 0..60 {
        let (raw, timestamps) = random_batch(&mut random);
        let count = timestamps.len() as i64;
        let appended = raw.append_at(&mut model.log, &config, NOW).unwrap();
        assert_eq!(appended.base_offset, model.batches.last().map_or(0, |last| last.0 + last.1));
        model.batches.push((appended.base_offset, count, raw.bytes().len(), timestamps));
        if random.u8(..) < 10 {
            let to = random.i64(model.log.log_start_offset()..=model.log.high_watermark());
            model.log.delete_records(to);
        }
        if random.u8(..) < 30 {
            model.log.begin_leader_epoch(model.log.leader_epoch() + random.i32(0..3));
        }
    }
    model
}

#[test]
fn every_offset_reads_back_the_batches_that_follow_it() {
    for seed in 0..20 {
        let Model { log, batches: model } = grow(seed);
        for offset in log.log_start_offset()..=log.log_end_offset() {
            let expected: Vec<_> = model.iter().filter(|batch| batch.0 + batch.1 > offset).collect();
            let total: usize = expected.iter().map(|batch| batch.2).sum();
            assert_eq!(log.available_bytes(offset, log.high_watermark()), total, "seed {seed}");
            // A read stays in one segment, so follow it to the end.
            let mut at = offset;
            let mut read = Vec::new();
            while at < log.log_end_offset() {
                let more = batches(&wire(&log, at, usize::MAX, false));
                at = more.last().expect("there is more").last_offset() + 1;
                read.extend(more);
            }
            assert_eq!(read.len(), expected.len());
            for (batch, (base, count, size, timestamps)) in read.iter().zip(expected) {
                assert_eq!((batch.base_offset(), batch.size_bytes()), (*base, *size), "seed {seed}");
                assert_eq!((i64::from(batch.record_count()), batch.crc_matches()), (*count, true));
                let decoded = batch.records().unwrap();
                let seen: Vec<_> = decoded.iter().map(Result::unwrap).map(|r| (r.offset, r.timestamp)).collect();
                assert_eq!(seen, (*base..).zip(timestamps.iter().copied()).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn every_limit_cuts_what_no_limit_returns() {
    let log = grow(99).log;
    for offset in log.log_start_offset()..log.log_end_offset() {
        let whole = wire(&log, offset, usize::MAX, true);
        let first = batches(&whole)[0].size_bytes();
        for limit in (0..whole.len() + 3).step_by(7) {
            let cut = if limit < first { 0 } else { limit.min(whole.len()) };
            assert_eq!(wire(&log, offset, limit, false), whole[..cut]);
        }
    }
}

#[test]
fn every_time_finds_what_a_scan_of_one_segment_finds() {
    for seed in 0..20 {
        let Model { log, batches: model } = grow(seed);
        let records: Vec<(i64, i64)> =
            model.iter().flat_map(|batch| (batch.0..).zip(batch.3.iter().copied())).collect();
        let bases: Vec<i64> = log.segments().map(|segment| segment.base_offset()).collect();
        for timestamp in (999_400..1_001_600).step_by(13) {
            let mut ends = bases[1..].to_vec();
            ends.push(log.log_end_offset());
            let segment = bases
                .iter()
                .zip(ends)
                .find(|&(&base, end)| records.iter().any(|r| (base..end).contains(&r.0) && r.1 >= timestamp));
            let expected = segment.and_then(|(&base, end)| {
                records.iter().find(|r| (base.max(log.log_start_offset())..end).contains(&r.0) && r.1 >= timestamp)
            });
            let found = log.offset_for_timestamp(timestamp, log.high_watermark());
            assert_eq!(found.map(|found| (found.offset, found.timestamp)), expected.copied(), "seed {seed}");
        }
    }
}
