//! G.7: timeouts and expiry, at the intervals of Kafka's scheduler; G.9: what is listed.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError::{
    CoordinatorNotAvailable, InvalidProducerIdMapping, InvalidTxnState, ProducerFenced,
};
use regex::Regex;

use super::kit::*;
use crate::txn::*;

#[test]
fn a_transaction_times_out_at_the_next_look_after_its_time() {
    let mut kit = Kit::new(2);
    kit.advance(1);
    let producer = kit.init(None).unwrap();
    kit.add(producer, V2).unwrap();
    // It began at 1 ms and has a minute: the look at 60 s is too early by a millisecond.
    kit.advance(69_998);
    assert_eq!(kit.state(), Some(TransactionState::Ongoing));
    kit.advance(1);
    assert_eq!(kit.state(), Some(TransactionState::PrepareAbort));
    kit.write_markers();
    assert_eq!(kit.end(producer, true, V2), Err(InvalidTxnState));
    assert_eq!(kit.add(producer, V2), Err(ProducerFenced));
    assert_eq!(kit.end(producer, false, V2), Ok((producer.0, 1)), "it looks like a retry");
}

#[test]
fn with_version_1_a_producer_that_was_timed_out_is_fenced() {
    let mut kit = Kit::new(1);
    let producer = kit.init(None).unwrap();
    kit.add(producer, V0).unwrap();
    kit.advance(70_000);
    kit.write_markers();
    assert_eq!(kit.end(producer, false, V0), Err(ProducerFenced));
    assert_eq!(kit.init(Some(producer)), Err(ProducerFenced));
    assert_eq!(kit.init(None), Ok((producer.0, 2)));
}

#[test]
fn a_timeout_that_cannot_be_written_is_tried_at_the_next_look() {
    // TransactionCoordinator.onEndTransactionComplete logs COORDINATOR_NOT_AVAILABLE, and the scheduler looks again.
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    kit.add(producer, V2).unwrap();
    kit.host.refusal = Some(CoordinatorNotAvailable);
    kit.advance(70_000);
    assert_eq!(kit.state(), Some(TransactionState::Ongoing));
    assert_eq!(kit.machine.next_deadline(), Some(NOW.plus_millis(80_000)));
    kit.advance(10_000);
    assert_eq!(kit.state(), Some(TransactionState::Ongoing));
    kit.host.refusal = None;
    kit.advance(10_000);
    assert_eq!(kit.state(), Some(TransactionState::PrepareAbort));
}

#[test]
fn a_transaction_that_ended_after_a_timeout_could_not_be_written_has_not_timed_out() {
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    kit.add(producer, V2).unwrap();
    kit.host.refusal = Some(CoordinatorNotAvailable);
    kit.advance(70_000);
    kit.host.refusal = None;
    kit.end(producer, true, V2).unwrap();
    kit.write_markers();
    kit.advance(30_000);
    assert_eq!(kit.state(), Some(TransactionState::CompleteCommit));
}

#[test]
fn an_id_at_rest_expires_after_a_week() {
    let mut kit = Kit::new(2);
    let producer = kit.init(None).unwrap();
    kit.advance(604_799_999);
    assert_eq!(kit.state(), Some(TransactionState::Empty));
    kit.advance(1);
    assert_eq!(kit.state(), None);
    assert_eq!(kit.records.last().unwrap().metadata, None);
    assert_eq!(kit.add(producer, V2), Err(InvalidProducerIdMapping));
    assert_eq!(kit.init(Some(producer)), Ok((1, 0)), "it begins anew, whatever it has");
}

#[test]
fn an_open_transaction_costs_one_deadline_and_an_id_at_rest_another() {
    let mut kit = Kit::new(2);
    assert_eq!(kit.machine.next_deadline(), None);
    let producer = kit.init(None).unwrap();
    assert_eq!(kit.machine.next_deadline(), Some(NOW.plus_millis(604_800_000)));
    kit.add(producer, V2).unwrap();
    assert_eq!(kit.machine.next_deadline(), Some(NOW.plus_millis(70_000)));
    kit.end(producer, true, V2).unwrap();
    assert_eq!(kit.machine.next_deadline(), None, "what is prepared has no timeout");
}

#[test]
fn transactions_are_listed_by_state_producer_duration_and_name() {
    // G.9; KIP-664, KIP-994, KIP-1152.
    let mut kit = Kit::new(2);
    for id in ["alpha", "beta"] {
        kit.step(id, Event::InitProducerId { timeout_ms: 60_000, expected: None }).unwrap();
    }
    let partitions = BTreeSet::from([partition("p", 0)]);
    kit.step("beta", Event::AddPartitions { producer: (1, 0), partitions, client_version: V2 }).unwrap();
    kit.now = kit.now.plus_millis(1000);
    let listed = |filter: ListFilter| {
        let all = kit.machine.list(&filter, kit.now);
        all.into_iter().map(|listed| listed.transactional_id.to_string()).collect::<Vec<_>>()
    };
    let all = || ListFilter { longer_than_ms: -1, ..ListFilter::default() };
    assert_eq!(listed(all()), ["alpha", "beta"]);
    assert_eq!(listed(ListFilter { states: vec![text("Ongoing")], ..all() }), ["beta"]);
    assert_eq!(listed(ListFilter { states: vec![text("ongoing")], ..all() }), [""; 0]);
    assert_eq!(listed(ListFilter { producer_ids: vec![0, 7], ..all() }), ["alpha"]);
    assert_eq!(listed(ListFilter { longer_than_ms: 1000, ..all() }), ["alpha"], "what has not begun runs for ever");
    assert_eq!(listed(ListFilter { longer_than_ms: 999, ..all() }), ["alpha", "beta"]);
    assert_eq!(listed(ListFilter { pattern: Some(Regex::new("^(?:b.*)$").unwrap()), ..all() }), ["beta"]);
}
