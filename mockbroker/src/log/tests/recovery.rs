//! C.6, trap 177: what is known of producers is all in the log, and a snapshot where the log is gone.

use super::kit::{NOW, batch, records};
use crate::cluster::TopicConfig;
use crate::ids::IdSource;
use crate::log::PartitionLog;
use crate::log::control::{EndMarker, Marker};
use crate::log::verification::Joining;
use crate::time::Timestamp;

const NEVER: i64 = i64::MAX;

/// All that a restart could change.
fn known(log: &PartitionLog) -> String {
    let producers: Vec<_> = log.producers().collect();
    let aborted = log.aborted_transactions(log.log_start_offset(), log.log_end_offset());
    format!("{} {} {producers:?} {aborted:?}", log.last_stable_offset(), log.log_end_offset())
}

/// Writes one record, verified if it is of a transaction. Whether it was new, or why it was refused.
fn write(log: &mut PartitionLog, config: &TopicConfig, producer: (i64, i16, i32), attributes: i16) -> String {
    let (id, epoch, sequence) = producer;
    let raw = batch(&records(1)).producer(id, epoch, sequence).attributes(attributes);
    match log.append(raw.validate(config).unwrap().verified(), config, NOW) {
        Ok(appended) => format!("{} {}", appended.base_offset, appended.duplicate),
        Err(rejected) => format!("{:?}", rejected.error),
    }
}

fn end(log: &mut PartitionLog, config: &TopicConfig, producer: (i64, i16), is_commit: bool, bumps_epoch: bool) -> bool {
    let end = EndMarker { is_commit, coordinator_epoch: 3 };
    let (producer_id, producer_epoch) = producer;
    log.append_marker(&Marker { producer_id, producer_epoch, end, bumps_epoch }, config, NOW).is_ok()
}

#[test]
fn whatever_was_written_the_log_knows_it_again_after_a_restart() {
    // Segments of a few batches, so that the snapshot counts as much as what comes after it.
    let size = i32::try_from(batch(&records(1)).bytes().len()).unwrap();
    for seed in 0..60 {
        let config = TopicConfig { segment_bytes: size * 7, ..TopicConfig::default() };
        let mut chance = IdSource::new(seed);
        let mut log = PartitionLog::new(0);
        let mut twin = PartitionLog::new(0);
        let mut sequences = [(0_i16, 0_i32); 4];
        for step in 0..150 {
            let producer = chance.below(sequences.len());
            let (id, (epoch, sequence)) = (i64::try_from(producer).unwrap(), sequences[producer]);
            let is_commit = chance.below(2) == 0;
            match chance.below(10) {
                0..=5 => {
                    // Sometimes the one before again, sometimes one too far.
                    let sequence = (sequence + [0, 0, 0, 0, -1, 1][chance.below(6)]).max(0);
                    let attributes = if producer == 3 { 0 } else { 0x10 };
                    let answer = write(&mut log, &config, (id, epoch, sequence), attributes);
                    assert_eq!(answer, write(&mut twin, &config, (id, epoch, sequence), attributes), "seed {seed}");
                    if answer.ends_with("false") {
                        sequences[producer].1 = sequence + 1;
                    }
                }
                6 | 7 => {
                    let bumps_epoch = chance.below(2) == 0;
                    let ended = end(&mut log, &config, (id, epoch + i16::from(bumps_epoch)), is_commit, bumps_epoch);
                    end(&mut twin, &config, (id, epoch + i16::from(bumps_epoch)), is_commit, bumps_epoch);
                    if ended && bumps_epoch {
                        sequences[producer] = (epoch + 1, 0);
                    }
                }
                8 => {
                    let offset = i64::try_from(chance.below(step + 1)).unwrap().min(log.last_stable_offset());
                    log.delete_records(offset);
                    twin.delete_records(offset);
                }
                _ => {}
            }
            // The twin never restarts: each answer and all that is known are the same.
            log.recover(NOW, NEVER);
            assert_eq!(known(&log), known(&twin), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_producer_whose_records_are_gone_is_known_by_the_snapshot_until_it_expires() {
    // Trap 51; UnifiedLog.rebuildProducerState, ProducerStateManager.isProducerExpired.
    let config = TopicConfig::default();
    let log = &mut PartitionLog::new(0);
    write(log, &config, (1, 0, 0), 0);
    write(log, &config, (2, 0, 0), 0x10);
    log.roll();
    log.delete_records(1);
    log.recover(NOW.plus_millis(10_000), 10_001);
    assert_eq!(log.producers().map(|it| it.producer_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(write(log, &config, (1, 0, 0), 0), "0 true", "its last batch is still a duplicate");
    log.recover(NOW.plus_millis(10_000), 10_000);
    assert_eq!(log.producers().map(|it| it.producer_id).collect::<Vec<_>>(), [2], "an open transaction stays");
    assert_eq!(log.last_stable_offset(), 1);
}

#[test]
fn who_had_expired_comes_back_with_its_records() {
    // Kafka reads the batches after the snapshot whatever their age.
    let config = TopicConfig::default();
    let log = &mut PartitionLog::new(0);
    write(log, &config, (1, 0, 0), 0);
    let late: Timestamp = NOW.plus_millis(10_000);
    log.expire_producers(late, 10_000);
    assert_eq!(log.producers().count(), 0);
    log.recover(late, 10_000);
    assert_eq!(log.producers().count(), 1);
    log.expire_producers(late, 10_000);
    assert_eq!(log.producers().count(), 0);
}

#[test]
fn who_had_only_asked_to_join_is_forgotten() {
    let config = TopicConfig::default();
    let log = &mut PartitionLog::new(0);
    let joining = Joining { producer_id: 1, producer_epoch: 0, base_sequence: 5, supports_epoch_bump: false };
    log.joins_transaction(joining, NOW).unwrap();
    assert_eq!(write(log, &config, (1, 0, 7), 0x10), "OutOfOrderSequenceNumber");
    log.recover(NOW, NEVER);
    assert_eq!(write(log, &config, (1, 0, 7), 0x10), "0 false");
}

#[test]
fn a_log_that_is_cut_knows_what_is_left_and_no_more() {
    // ProducerStateManager.truncateAndReload; in the last segment, and before it.
    let size = i32::try_from(batch(&records(1)).bytes().len()).unwrap();
    let config = TopicConfig { segment_bytes: size * 4, ..TopicConfig::default() };
    let build = |until: i64| {
        let mut log = PartitionLog::new(0);
        let mut sequence = 0;
        for offset in 0..until {
            if offset % 3 == 2 {
                end(&mut log, &config, (1, 0), offset % 2 == 0, false);
            } else {
                write(&mut log, &config, (1, 0, sequence), 0x10);
                sequence += 1;
            }
        }
        log
    };
    for until in 0..20 {
        let mut log = build(20);
        log.truncate_to(until, &config);
        assert_eq!(known(&log), known(&build(until)), "cut at {until}");
        log.recover(NOW, NEVER);
        assert_eq!(known(&log), known(&build(until)), "cut at {until} and restarted");
    }
}
