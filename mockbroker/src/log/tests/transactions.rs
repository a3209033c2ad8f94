//! C.6, G.8: open transactions, the last stable offset, markers, and what was aborted.

use std::fs;
use std::sync::Arc;

use kafka_protocol::error::ResponseError::{
    self, InvalidProducerEpoch, InvalidTxnState, OutOfOrderSequenceNumber, TransactionCoordinatorFenced,
};

use super::kit::{NOW, batch, batches, bytes, hex, record, records};
use crate::cluster::TopicConfig;
use crate::log::PartitionLog;
use crate::log::control::{EndMarker, Marker, marker_of};
use crate::log::producer_state::ActiveProducer;
use crate::log::validate::ValidBatch;
use crate::log::verification::Joining;
use crate::time::Timestamp;

const TRANSACTIONAL: i16 = 0x10;

/// Writes one record as a verified part of a transaction.
fn write(log: &mut PartitionLog, producer: i64, epoch: i16, sequence: i32) -> Result<i64, ResponseError> {
    send(log, producer, epoch, sequence, true)
}

fn send(
    log: &mut PartitionLog,
    producer: i64,
    epoch: i16,
    sequence: i32,
    is_verified: bool,
) -> Result<i64, ResponseError> {
    let config = TopicConfig::default();
    let raw = batch(&records(1)).producer(producer, epoch, sequence).attributes(TRANSACTIONAL);
    let valid = raw.validate(&config).unwrap();
    let valid = if is_verified { valid.verified() } else { valid };
    log.append(valid, &config, NOW).map(|appended| appended.base_offset).map_err(|rejected| rejected.error)
}

fn marker(producer_id: i64, producer_epoch: i16, is_commit: bool) -> Marker {
    Marker { producer_id, producer_epoch, end: EndMarker { is_commit, coordinator_epoch: 0 }, bumps_epoch: false }
}

fn end(log: &mut PartitionLog, marker: &Marker) -> Result<i64, ResponseError> {
    log.append_marker(marker, &TopicConfig::default(), NOW)
}

fn aborted(log: &PartitionLog, from: i64, to: i64) -> Vec<(i64, i64)> {
    log.aborted_transactions(from, to).iter().map(|it| (it.producer_id, it.first_offset)).collect()
}

#[test]
fn a_marker_is_written_as_kafka_writes_it() {
    // fixtures/wire/batches: a commit and an abort of a real 4.3.1.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/wire/batches/java-transactional.hex");
    let text = fs::read_to_string(path).unwrap();
    let mut seen = Vec::new();
    for of_kafka in batches(&hex(text.split_once('\n').unwrap().1)).iter().filter(|batch| batch.is_control()) {
        let EndMarker { is_commit, coordinator_epoch } = marker_of(of_kafka).unwrap().unwrap();
        let ours = Marker {
            end: EndMarker { is_commit, coordinator_epoch },
            ..marker(of_kafka.producer_id(), of_kafka.producer_epoch(), is_commit)
        };
        let now = Timestamp::from_millis(of_kafka.max_timestamp());
        let placed = ours.batch(now).placed(of_kafka.base_offset(), of_kafka.partition_leader_epoch());
        assert_eq!(bytes(&placed), bytes(of_kafka));
        seen.push(is_commit);
    }
    assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
}

#[test]
fn the_first_open_transaction_bounds_the_last_stable_offset() {
    let log = &mut PartitionLog::new(0);
    batch(&records(2)).append(log, &TopicConfig::default()).unwrap();
    assert_eq!(log.last_stable_offset(), 2);
    assert_eq!(write(log, 1, 0, 0), Ok(2));
    assert_eq!(write(log, 2, 0, 0), Ok(3));
    assert_eq!(write(log, 1, 0, 1), Ok(4));
    assert_eq!((log.last_stable_offset(), log.high_watermark()), (2, 5));
    assert_eq!(end(log, &marker(1, 0, true)), Ok(5));
    assert_eq!(log.last_stable_offset(), 3);
    assert_eq!(end(log, &marker(2, 0, false)), Ok(6));
    assert_eq!((log.last_stable_offset(), log.log_end_offset()), (7, 7));
    // Without data a marker moves nothing and is in no list.
    assert_eq!(end(log, &marker(3, 0, false)), Ok(7));
    assert_eq!((log.last_stable_offset(), aborted(log, 0, 8)), (8, vec![(2, 3)]));
}

#[test]
fn a_transaction_is_stable_when_every_replica_has_its_marker() {
    // ProducerStateManagerTest.testFirstUnstableOffset: the marker counts once the high watermark is beyond it.
    let log = &mut PartitionLog::new(0);
    assert_eq!(write(log, 1, 0, 0), Ok(0));
    log.bound_high_watermark(Some(1));
    assert_eq!(end(log, &marker(1, 0, true)), Ok(1));
    assert_eq!((log.last_stable_offset(), log.high_watermark(), log.log_end_offset()), (0, 1, 2));
    log.bound_high_watermark(None);
    assert_eq!((log.last_stable_offset(), log.high_watermark()), (2, 2));
    // A marker that is cut off leaves its transaction open.
    assert_eq!(write(log, 1, 0, 1), Ok(2));
    log.bound_high_watermark(Some(3));
    assert_eq!(end(log, &marker(1, 0, true)), Ok(3));
    log.truncate_to(3, &TopicConfig::default());
    log.bound_high_watermark(None);
    assert_eq!((log.last_stable_offset(), log.high_watermark()), (2, 3));
    assert_eq!(end(log, &marker(1, 0, false)), Ok(3));
    assert_eq!(log.last_stable_offset(), 4);
}

#[test]
fn the_aborted_transactions_of_a_range_come_in_the_order_of_their_markers() {
    // D.5
    let log = &mut PartitionLog::new(0);
    for producer in 1..=3 {
        write(log, producer, 0, 0).unwrap();
    }
    for producer in [2, 3, 1] {
        end(log, &marker(producer, 0, false)).unwrap();
    }
    assert_eq!(aborted(log, 0, 6), [(2, 1), (3, 2), (1, 0)]);
    assert_eq!(aborted(log, 0, 1), [(1, 0)], "the others begin later");
    assert_eq!(aborted(log, 4, 6), [(3, 2), (1, 0)], "the marker of producer 2 is at 3");
    assert_eq!(aborted(log, 6, 6), []);
    assert_eq!(log.aborted_in_read(0, 1).len(), 3, "there is no index entry before the end");
}

#[test]
fn what_is_told_of_aborted_transactions_ends_with_an_entry_of_the_sparse_index() {
    // LocalLog.addAbortedTransactions, OffsetIndex.fetchUpperBoundOffset: an entry for each 100 bytes here.
    let config = TopicConfig { index_interval_bytes: 100, ..TopicConfig::default() };
    let log = &mut PartitionLog::new(0);
    let size = batch(&records(1)).bytes().len();
    for producer in 0..8 {
        let raw = batch(&records(1)).producer(producer, 0, 0).attributes(TRANSACTIONAL);
        log.append(raw.validate(&config).unwrap().verified(), &config, NOW).unwrap();
    }
    for producer in 0..8 {
        end(log, &marker(producer, 0, false)).unwrap();
    }
    // Entries are written before the third batch, the fifth, and so on: their offsets are 2, 4, 6.
    let told = |offset: i64, count: usize| log.aborted_in_read(offset, count * size).len();
    assert_eq!((told(0, 1), told(0, 2), told(0, 3), told(1, 1), told(1, 2)), (2, 2, 4, 2, 4));
}

#[test]
fn a_record_of_no_transaction_must_not_come_while_one_is_open() {
    let log = &mut PartitionLog::new(0);
    let plain = |log: &mut PartitionLog, sequence: i32| {
        let outcome = batch(&records(1)).producer(1, 0, sequence).append(log, &TopicConfig::default());
        outcome.map(|appended| appended.base_offset).map_err(|rejected| rejected.error)
    };
    assert_eq!(plain(log, 0), Ok(0));
    assert_eq!(write(log, 1, 0, 1), Ok(1));
    assert_eq!(plain(log, 2), Err(InvalidTxnState));
    end(log, &marker(1, 0, true)).unwrap();
    assert_eq!(plain(log, 2), Ok(3));
}

#[test]
fn nothing_joins_a_transaction_unless_its_coordinator_says_so() {
    // KIP-890; a stale epoch is told before a missing verification (4.1).
    let log = &mut PartitionLog::new(0);
    let joining = |epoch: i16, sequence: i32| Joining {
        producer_id: 1,
        producer_epoch: epoch,
        base_sequence: sequence,
        supports_epoch_bump: false,
    };
    assert_eq!(send(log, 1, 3, 0, false), Err(InvalidTxnState));
    assert_eq!(log.joins_transaction(joining(3, 0), NOW), Ok(true));
    assert_eq!(write(log, 1, 3, 0), Ok(0));
    assert_eq!(log.joins_transaction(joining(3, 1), NOW), Ok(false));
    assert_eq!(send(log, 1, 3, 1, false), Ok(1), "it has joined");
    assert_eq!(send(log, 1, 2, 2, false), Err(InvalidProducerEpoch));
    assert_eq!(log.joins_transaction(joining(2, 0), NOW).unwrap_err().error, InvalidProducerEpoch);
    end(log, &marker(1, 3, false)).unwrap();
    assert_eq!(send(log, 1, 3, 2, false), Err(InvalidTxnState), "a batch that the abort has overtaken");
    assert_eq!(send(log, 1, 3, 1, false), Ok(1), "but a duplicate is a duplicate");
}

#[test]
fn whoever_asks_to_join_may_not_begin_later_than_it_asked() {
    // VerificationStateEntry: the batch that was sent first may still come.
    let log = &mut PartitionLog::new(0);
    let joining = |producer_id: i64, base_sequence: i32, supports_epoch_bump: bool| Joining {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        supports_epoch_bump,
    };
    log.joins_transaction(joining(1, 5, false), NOW).unwrap();
    log.joins_transaction(joining(1, 7, false), NOW).unwrap();
    assert_eq!(write(log, 1, 0, 7), Err(OutOfOrderSequenceNumber));
    assert_eq!(write(log, 1, 0, 5), Ok(0));
    // With transaction version 2 a producer that is not known here begins at zero (KAFKA-19446).
    log.joins_transaction(joining(2, 5, true), NOW).unwrap();
    assert_eq!(write(log, 2, 0, 5), Err(OutOfOrderSequenceNumber));
    log.joins_transaction(joining(2, 0, true), NOW).unwrap();
    assert_eq!(write(log, 2, 0, 0), Ok(1));
    // What was asked long ago is forgotten.
    log.joins_transaction(joining(3, 5, true), NOW).unwrap();
    log.expire_producers(NOW.plus_millis(1000), 1000);
    assert_eq!(write(log, 3, 0, 5), Ok(2));
}

#[test]
fn a_marker_of_the_past_is_refused() {
    // ProducerAppendInfo.appendEndTxnMarker; KAFKA-19999.
    let log = &mut PartitionLog::new(0);
    write(log, 1, 5, 0).unwrap();
    assert_eq!(end(log, &marker(1, 4, true)), Err(InvalidProducerEpoch));
    let of = |epoch: i16, coordinator_epoch: i32, bumps_epoch: bool| Marker {
        end: EndMarker { is_commit: true, coordinator_epoch },
        bumps_epoch,
        ..marker(1, epoch, true)
    };
    assert_eq!(end(log, &of(5, 3, true)), Err(InvalidProducerEpoch), "with version 2 it has the epoch after");
    assert_eq!(end(log, &of(6, 3, true)), Ok(1));
    assert_eq!(end(log, &of(6, 3, true)), Ok(2), "a retry");
    assert_eq!(end(log, &of(6, 2, true)), Err(TransactionCoordinatorFenced));
    assert_eq!(write(log, 1, 5, 1), Err(InvalidProducerEpoch));
    assert_eq!(write(log, 1, 6, 1), Err(OutOfOrderSequenceNumber), "a new epoch begins at zero");
    assert_eq!(write(log, 1, 6, 0), Ok(3));
    assert_eq!(end(log, &of(6, 3, true)), Err(InvalidProducerEpoch), "now a transaction is open");
    assert_eq!(end(log, &of(6, 3, false)), Ok(4), "as version 1 writes it");
}

#[test]
fn a_producer_is_described_with_its_transaction_and_not_forgotten_while_it_is_open() {
    let log = &mut PartitionLog::new(0);
    write(log, 1, 2, 0).unwrap();
    let expected = ActiveProducer {
        producer_id: 1,
        producer_epoch: 2,
        last_sequence: 0,
        last_timestamp: NOW.as_millis(),
        coordinator_epoch: -1,
        current_transaction_start_offset: 0,
    };
    log.expire_producers(NOW.plus_millis(10_000), 10_000);
    assert_eq!(log.producers().collect::<Vec<_>>(), [expected]);
    let bumped = Marker { bumps_epoch: true, ..marker(1, 3, true) };
    end(log, &bumped).unwrap();
    let ended = ActiveProducer {
        producer_epoch: 3,
        last_sequence: -1,
        coordinator_epoch: 0,
        current_transaction_start_offset: -1,
        ..expected
    };
    assert_eq!(log.producers().collect::<Vec<_>>(), [ended]);
    log.expire_producers(NOW.plus_millis(10_000), 10_000);
    assert_eq!(log.producers().count(), 0);
}

#[test]
fn a_coordinators_batches_have_no_sequence_but_an_epoch() {
    // AppendOrigin.COORDINATOR: TxnOffsetCommit.
    let log = &mut PartitionLog::new(0);
    let config = TopicConfig::default();
    let mut commit = |epoch: i16| {
        let mut builder = crate::log::rebuild::BatchBuilder::new();
        builder.producer_id = 9;
        builder.producer_epoch = epoch;
        builder.is_transactional = true;
        builder.push(crate::log::rebuild::NewRecord::default());
        let batch = builder.build(config.compression_type).unwrap();
        log.append(ValidBatch::of_broker(batch), &config, NOW).map(|it| it.base_offset).map_err(|it| it.error)
    };
    assert_eq!((commit(1), commit(1), commit(0)), (Ok(0), Ok(1), Err(InvalidProducerEpoch)));
    assert_eq!(log.last_stable_offset(), 0);
    end(log, &marker(9, 1, true)).unwrap();
    assert_eq!(log.last_stable_offset(), 3);
}

#[test]
fn when_retention_takes_the_beginning_of_a_transaction_the_rest_of_it_is_unstable() {
    let log = &mut PartitionLog::new(0);
    write(log, 1, 0, 0).unwrap();
    write(log, 1, 0, 1).unwrap();
    log.delete_records(1);
    assert_eq!((log.log_start_offset(), log.last_stable_offset()), (1, 1));
}

#[test]
fn compaction_takes_aborted_records_and_then_their_marker() {
    // J.3: an aborted value never supersedes a committed one; a marker stays as long as a record of its transaction does,
    // and then until its horizon.
    let config = TopicConfig {
        cleanup_compact: true,
        segment_ms: 0,
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: 1000,
        ..TopicConfig::default()
    };
    let log = &mut PartitionLog::new(0);
    let at = |second: i64| NOW.plus_millis(second * 1000);
    let write = |log: &mut PartitionLog, second: i64, producer: i64, sequence: i32, value: &[u8]| {
        let raw = batch(&[record(0).value(Some(value))]).timestamps(at(second).as_millis(), at(second).as_millis());
        let raw = raw.producer(producer, 0, sequence).attributes(if producer < 0 { 0 } else { TRANSACTIONAL });
        log.append(raw.validate(&config).unwrap().verified(), &config, at(second)).unwrap();
    };
    let clean = |log: &mut PartitionLog, now: Timestamp| {
        assert!(log.cleanable(&config, now).is_some());
        let cleaned = log.begin_cleaning(Arc::new(config.clone()), now).run();
        drop(log.swap_cleaned(cleaned));
        let all = log.segments().flat_map(|segment| segment.entries()).map(|entry| &entry.batch);
        all.map(|batch| (batch.base_offset(), batch.record_count())).collect::<Vec<_>>()
    };
    write(log, 0, -1, -1, b"committed");
    write(log, 1, 1, 0, b"aborted");
    write(log, 2, 1, 1, b"aborted");
    log.append_marker(&marker(1, 0, false), &config, at(3)).unwrap();
    write(log, 4, -1, -1, b"active");
    // The producer's last batch stays, empty, because of its sequence.
    assert_eq!(clean(log, at(5)), [(0, 1), (2, 0), (3, 1), (4, 1)]);
    assert_eq!(aborted(log, 0, 5), [(1, 1)], "its batch is still there, so it is told of");
    log.expire_producers(at(1_000_000), 1000);
    write(log, 6, -1, -1, b"a");
    assert_eq!(clean(log, at(7)), [(3, 1), (4, 1), (5, 1)], "the cleaner met the batch once more");
    assert_eq!(aborted(log, 0, 6), [(1, 1)]);
    write(log, 8, -1, -1, b"b");
    assert_eq!(clean(log, at(9)), [(3, 1), (5, 1), (6, 1)], "the marker gets a horizon");
    assert_eq!(aborted(log, 0, 7), []);
    write(log, 10, -1, -1, b"c");
    assert_eq!(clean(log, at(11)), [(6, 1), (7, 1)]);
}
