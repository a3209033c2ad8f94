//! C.5: duplicates, epochs, sequences. Every sequence of answers was seen on a real 4.3.1.

use kafka_protocol::error::ResponseError::{self, InvalidProducerEpoch, OutOfOrderSequenceNumber, RecordListTooLarge};

use super::kit::{NOW, batch, record, records};
use crate::cluster::TopicConfig;
use crate::log::producer_state::ActiveProducer;
use crate::log::{Appended, PartitionLog};

/// The base offset, and whether it was a duplicate.
type Outcome = Result<(i64, bool), ResponseError>;

fn send(log: &mut PartitionLog, epoch: i16, sequence: i32, count: i64) -> Outcome {
    let end = log.log_end_offset();
    let outcome = batch(&records(count)).producer(7, epoch, sequence).append(log, &TopicConfig::default());
    match outcome {
        Ok(appended) => {
            assert_eq!(log.log_end_offset(), if appended.duplicate { end } else { end + count });
            Ok((appended.base_offset, appended.duplicate))
        }
        Err(rejected) => {
            assert_eq!(log.log_end_offset(), end);
            assert!(rejected.log_start_known && rejected.message.is_none());
            Err(rejected.error)
        }
    }
}

#[test]
fn a_retried_batch_is_answered_with_its_first_offset_as_long_as_five_batches_remember_it() {
    let log = &mut PartitionLog::new(0);
    // A producer without state may begin anywhere.
    assert_eq!(send(log, 0, 5, 3), Ok((0, false)));
    assert_eq!(send(log, 0, 5, 3), Ok((0, true)));
    assert_eq!(send(log, 0, 8, 2), Ok((3, false)));
    assert_eq!(send(log, 0, 5, 3), Ok((0, true)));
    for sequence in 10..14 {
        assert_eq!(send(log, 0, sequence, 1), Ok((i64::from(sequence) - 5, false)));
    }
    assert_eq!(send(log, 0, 5, 3), Err(OutOfOrderSequenceNumber));
    assert_eq!(send(log, 0, 8, 2), Ok((3, true)));
    assert_eq!(send(log, 0, 13, 1), Ok((8, true)));
    assert_eq!(send(log, 0, 10, 1), Ok((5, true)));
}

#[test]
fn an_overlap_is_no_duplicate_and_a_gap_is_out_of_order() {
    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, 0, 0, 3), Ok((0, false)));
    for (sequence, count) in [(0, 2), (1, 2), (2, 1), (0, 4), (4, 1), (i32::MAX, 1)] {
        assert_eq!(send(log, 0, sequence, count), Err(OutOfOrderSequenceNumber), "{sequence}");
    }
    assert_eq!(send(log, 0, 3, 1), Ok((3, false)));
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old_one() {
    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, 0, 0, 1), Ok((0, false)));
    assert_eq!(send(log, 1, 1, 1), Err(OutOfOrderSequenceNumber));
    assert_eq!(send(log, 1, 0, 1), Ok((1, false)));
    assert_eq!(send(log, 0, 1, 1), Err(InvalidProducerEpoch));
    assert_eq!(send(log, 0, 0, 1), Err(InvalidProducerEpoch));
    assert_eq!(send(log, 1, 0, 1), Ok((1, true)));
    assert_eq!(send(log, 1, 2, 1), Err(OutOfOrderSequenceNumber));
}

#[test]
fn epochs_below_none_are_stale_and_none_itself_begins_anywhere() {
    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, -5, 0, 1), Err(InvalidProducerEpoch));
    assert_eq!(send(log, -1, 0, 1), Ok((0, false)));
    assert_eq!(send(log, -1, 9, 1), Ok((1, false)));
    assert_eq!(send(log, 3, 9, 1), Ok((2, false)));
}

#[test]
fn sequences_wrap_to_zero() {
    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, 0, i32::MAX - 1, 2), Ok((0, false)));
    assert_eq!(send(log, 0, 0, 1), Ok((2, false)));
    assert_eq!(send(log, 0, i32::MAX - 1, 2), Ok((0, true)));

    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, 0, i32::MAX - 1, 4), Ok((0, false)));
    assert_eq!(send(log, 0, i32::MAX - 1, 4), Ok((0, true)));
    assert_eq!(send(log, 0, 1, 1), Err(OutOfOrderSequenceNumber));
    assert_eq!(send(log, 0, 2, 1), Ok((4, false)));

    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, 0, i32::MAX, 1), Ok((0, false)));
    assert_eq!(send(log, 0, 1, 1), Err(OutOfOrderSequenceNumber));
    assert_eq!(send(log, 0, 0, 1), Ok((1, false)));
}

#[test]
fn a_duplicate_is_answered_with_the_time_of_the_batch_in_the_log() {
    let log = &mut PartitionLog::new(0);
    let config = TopicConfig::default();
    let at = |timestamp| batch(&records(2)).producer(7, 0, 0).timestamps(timestamp, timestamp);
    let first = at(5000).append(log, &config).unwrap();
    let expected =
        Appended { base_offset: 0, last_offset: 1, log_append_time_ms: -1, log_start_offset: 0, duplicate: false };
    assert_eq!(first, expected);
    log.delete_records(1);
    let again = at(6000).append(log, &config).unwrap();
    assert_eq!(again, Appended { log_append_time_ms: 5000, log_start_offset: 1, duplicate: true, ..expected });
}

#[test]
fn batches_without_a_producer_id_are_never_duplicates() {
    let log = &mut PartitionLog::new(0);
    for offset in 0..3 {
        let appended = batch(&records(1)).producer(-1, -1, 0).append(log, &TopicConfig::default()).unwrap();
        assert_eq!((appended.base_offset, appended.duplicate), (offset, false));
    }
    assert_eq!(log.producers().count(), 0);
}

#[test]
fn a_batch_longer_than_a_segment_leaves_no_trace() {
    let log = &mut PartitionLog::new(0);
    let config = TopicConfig { segment_bytes: 200, ..TopicConfig::default() };
    let rejected = batch(&[record(0).value(Some(&[0; 200]))]).producer(7, 0, 0).append(log, &config).unwrap_err();
    assert_eq!((rejected.error, rejected.log_start_known), (RecordListTooLarge, false));
    assert_eq!((log.log_end_offset(), log.producers().count()), (0, 0));
}

#[test]
fn a_producer_outlives_its_data() {
    // KIP-360; a real 4.3.1 keeps the state when DeleteRecords empties the log.
    let log = &mut PartitionLog::new(0);
    assert_eq!(send(log, 0, 0, 5), Ok((0, false)));
    log.delete_records(5);
    assert_eq!(send(log, 0, 77, 1), Err(OutOfOrderSequenceNumber));
    assert_eq!(send(log, 0, 0, 5), Ok((0, true)));
    assert_eq!(send(log, 0, 5, 1), Ok((5, false)));
}

#[test]
fn a_producer_expires_by_the_time_of_its_records() {
    let log = &mut PartitionLog::new(0);
    let config = TopicConfig::default();
    batch(&records(2)).producer(8, 3, 4).timestamps(1000, 1000).append(log, &config).unwrap();
    batch(&records(1)).producer(9, 0, 0).append(log, &config).unwrap();
    let old = ActiveProducer {
        producer_id: 8,
        producer_epoch: 3,
        last_sequence: 5,
        last_timestamp: 1000,
        coordinator_epoch: -1,
        current_transaction_start_offset: -1,
    };
    log.expire_producers(NOW, NOW.as_millis() - 999);
    assert_eq!(log.producers().next(), Some(old));
    log.expire_producers(NOW, NOW.as_millis() - 1000);
    assert_eq!(log.producers().map(|producer| producer.producer_id).collect::<Vec<_>>(), [9]);
    // Without state it may begin anywhere.
    assert!(batch(&records(1)).producer(8, 0, 40).append(log, &config).is_ok());
}
