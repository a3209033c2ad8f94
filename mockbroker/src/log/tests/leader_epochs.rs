//! J.4 and D.8: leader epochs.

use super::kit::{batch, batches, records, wire};
use crate::cluster::TopicConfig;
use crate::log::{EpochEnd, PartitionLog};

fn append(log: &mut PartitionLog, count: i64) {
    batch(&records(count)).append(log, &TopicConfig::default()).unwrap();
}

fn end(log: &PartitionLog, epoch: i32) -> (i32, i64) {
    let EpochEnd { leader_epoch, end_offset } = log.end_offset_for_epoch(epoch);
    (leader_epoch, end_offset)
}

/// Epoch 2 from 0, 5 from 3, 9 from 5; the log ends at 6.
fn three_epochs() -> PartitionLog {
    let mut log = PartitionLog::new(2);
    append(&mut log, 3);
    log.begin_leader_epoch(5);
    append(&mut log, 2);
    log.begin_leader_epoch(7);
    log.begin_leader_epoch(9);
    append(&mut log, 1);
    log
}

#[test]
fn the_end_of_an_epoch_is_where_the_next_one_began() {
    // LeaderEpochFileCache.endOffsetFor. Epoch 7 wrote nothing and is gone.
    let log = three_epochs();
    let expected = [
        (-1, (-1, -1)),
        (0, (0, 0)),
        (1, (1, 0)),
        (2, (2, 3)),
        (3, (2, 3)),
        (5, (5, 5)),
        (7, (5, 5)),
        (8, (5, 5)),
        (9, (9, 6)),
        (10, (-1, -1)),
    ];
    for (requested, answer) in expected {
        assert_eq!(end(&log, requested), answer, "{requested}");
    }
}

#[test]
fn batches_bear_the_epoch_they_were_appended_under() {
    let log = three_epochs();
    let epochs: Vec<_> = batches(&wire(&log, 0, usize::MAX, true)).iter().map(|b| b.partition_leader_epoch()).collect();
    assert_eq!((epochs, log.leader_epoch()), (vec![2, 5, 9], 9));
}

#[test]
fn an_epoch_that_is_not_newer_changes_nothing() {
    let mut log = three_epochs();
    log.begin_leader_epoch(9);
    log.begin_leader_epoch(4);
    assert_eq!((log.leader_epoch(), end(&log, 5)), (9, (5, 5)));
}

#[test]
fn moving_the_log_start_keeps_the_epoch_that_covers_it() {
    // LeaderEpochFileCache.truncateFromStart
    let mut log = three_epochs();
    assert_eq!(log.earliest().leader_epoch, 2);
    log.delete_records(1);
    assert_eq!((log.earliest().leader_epoch, end(&log, 1), end(&log, 2)), (2, (1, 1), (2, 3)));
    log.delete_records(3);
    assert_eq!((log.earliest().leader_epoch, end(&log, 2), end(&log, 5)), (5, (2, 3), (5, 5)));
    log.delete_records(6);
    assert_eq!((log.earliest().leader_epoch, end(&log, 5), end(&log, 9)), (9, (5, 6), (9, 6)));
}
