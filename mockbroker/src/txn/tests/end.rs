//! G.5, G.8: how transactions end.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError::{
    ConcurrentTransactions, InvalidProducerIdMapping, InvalidTxnState, ProducerFenced,
};

use super::kit::*;
use crate::txn::*;

#[test]
fn a_transaction_is_complete_when_its_last_marker_is_written() {
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    let partitions = BTreeSet::from([partition("p", 0), partition("p", 1), partition("q", 0)]);
    kit.step(ID, Event::AddPartitions { producer, partitions: partitions.clone(), client_version: V2 }).unwrap();
    let next = kit.end(producer, true, V2).unwrap();
    assert_eq!(next, (producer.0, producer.1 + 1));
    assert_eq!(kit.markers[0].partitions, partitions);
    let written = |kit: &mut Kit, partitions: &[TopicPartition]| {
        kit.step(ID, Event::MarkersWritten { partitions: partitions.iter().cloned().collect() }).unwrap();
    };
    written(&mut kit, &[partition("p", 1)]);
    kit.step(ID, Event::Complete).unwrap();
    let described = kit.machine.describe(&text(ID)).unwrap();
    assert_eq!(described.state, TransactionState::PrepareCommit);
    assert_eq!(described.partitions, BTreeSet::from([partition("p", 0), partition("q", 0)]));
    assert_eq!(kit.add(next, V2), Err(ConcurrentTransactions));
    written(&mut kit, &[partition("p", 0), partition("q", 0)]);
    assert_eq!(kit.state(), Some(TransactionState::PrepareCommit), "until that is written, too");
    assert_eq!(kit.add(next, V2), Err(ConcurrentTransactions));
    kit.step(ID, Event::Complete).unwrap();
    let described = kit.machine.describe(&text(ID)).unwrap();
    assert_eq!((described.state, described.partitions.len()), (TransactionState::CompleteCommit, 0));
    assert_eq!(described.start_time_ms, NOW.as_millis(), "when it began stays to be seen");
    assert_eq!(kit.add(next, V2), Ok(next));
}

#[test]
fn when_the_epochs_are_used_up_the_end_of_a_transaction_gives_a_new_id() {
    // G.5: the marker bears 32767, which no client ever has.
    let mut kit = Kit::new(2);
    kit.init(None).unwrap();
    let producer = kit.skip_to_epoch(32_766);
    kit.add(producer, V2).unwrap();
    let next = kit.end(producer, true, V2).unwrap();
    assert_eq!(next, (producer.0 + 1, 0));
    assert_eq!((kit.markers[0].producer_id, kit.markers[0].producer_epoch), (producer.0, 32_767));
    kit.write_markers();
    assert_eq!(kit.producer(), next);
    assert_eq!(kit.end(producer, true, V2), Ok(next), "a retry of what has overflowed");
    assert_eq!(kit.end(producer, false, V2), Err(InvalidTxnState));
    assert_eq!(kit.end((producer.0, 32_765), true, V2), Err(InvalidProducerIdMapping));
    kit.restart();
    assert_eq!(kit.end(producer, true, V2), Ok(next), "the previous id is written");
}

#[test]
fn an_empty_transaction_can_be_aborted_with_version_2() {
    // KIP-890
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    let next = kit.end(producer, false, V2).unwrap();
    assert_eq!((next, kit.state()), ((producer.0, 1), Some(TransactionState::PrepareAbort)));
    assert_eq!(kit.markers[0].partitions, BTreeSet::new());
    kit.write_markers();
    assert_eq!(kit.state(), Some(TransactionState::CompleteAbort));
    assert_eq!(kit.end(next, true, V2), Err(InvalidTxnState));
}

#[test]
fn a_restart_sends_the_markers_of_what_was_prepared_again() {
    for is_commit in [true, false] {
        let mut kit = Kit::new(2);
        let producer = kit.init(None).unwrap();
        kit.add(producer, V2).unwrap();
        let next = kit.end(producer, is_commit, V2).unwrap();
        let before = kit.markers.clone();
        kit.restart();
        assert_eq!(kit.markers, before);
        assert_eq!(kit.init(None), Err(ConcurrentTransactions));
        kit.write_markers();
        assert_eq!(kit.end(producer, is_commit, V2), Ok(next), "the answer may have been lost with it");
    }
}

#[test]
fn markers_that_nobody_waits_for_change_nothing() {
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    let written = Event::MarkersWritten { partitions: BTreeSet::from([partition("p", 0)]) };
    kit.step(ID, written.clone()).unwrap();
    kit.step("nobody", written).unwrap();
    kit.step(ID, Event::Complete).unwrap();
    kit.step("nobody", Event::Complete).unwrap();
    assert_eq!((kit.state(), kit.records.len()), (Some(TransactionState::Empty), 1));
    assert_eq!(kit.end((producer.0, 4), true, V0), Err(ProducerFenced));
}

#[test]
fn what_the_log_does_not_take_has_not_happened() {
    // TransactionStateManager.appendTransactionToLog: the metadata of before, and no move is pending.
    let mut kit = Kit::new(2);
    let refusal = Err(ResponseError::CoordinatorNotAvailable);
    kit.host.refusal = refusal.err();
    assert_eq!((kit.init(None), kit.state()), (refusal, None));
    kit.host.refusal = None;
    let producer = kit.init(None).unwrap();
    kit.host.refusal = refusal.err();
    assert_eq!((kit.add(producer, V2), kit.state()), (refusal, Some(TransactionState::Empty)));
    kit.host.refusal = None;
    kit.add(producer, V2).unwrap();
    kit.host.refusal = refusal.err();
    assert_eq!((kit.end(producer, true, V2), kit.state()), (refusal, Some(TransactionState::Ongoing)));
    assert_eq!(kit.init(None), refusal, "nor can it be fenced");
    kit.host.refusal = None;
    assert_eq!(kit.end(producer, true, V2), Ok((producer.0, 1)));
}

#[test]
fn a_completion_that_cannot_be_written_is_tried_again() {
    // TransactionMarkerChannelManager.tryAppendToLog: what is not available now goes into a queue.
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    kit.add(producer, V2).unwrap();
    kit.end(producer, true, V2).unwrap();
    let markers = kit.markers.pop().unwrap();
    kit.step(ID, Event::MarkersWritten { partitions: markers.partitions }).unwrap();
    kit.host.refusal = Some(ResponseError::CoordinatorNotAvailable);
    assert_eq!(kit.step(ID, Event::Complete), Err(ResponseError::CoordinatorNotAvailable));
    assert_eq!(kit.init(None), Err(ConcurrentTransactions));
    assert_eq!(kit.state(), Some(TransactionState::PrepareCommit));
    kit.host.refusal = None;
    kit.step(ID, Event::Complete).unwrap();
    assert_eq!(kit.state(), Some(TransactionState::CompleteCommit));
}
