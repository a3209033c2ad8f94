//! The records of `__transaction_state`: bytes and back, and what makes no sense.

use std::collections::BTreeSet;

use super::kit::*;
use crate::txn::record::Malformed;
use crate::txn::*;

fn metadata() -> Metadata {
    Metadata {
        producer_id: 7,
        previous_producer_id: 6,
        next_producer_id: 8,
        producer_epoch: 3,
        timeout_ms: 60_000,
        state: TransactionState::PrepareAbort,
        partitions: BTreeSet::from([partition("p", 1), partition("p", 0), partition("q", 300)]),
        start_time_ms: 1000,
        last_update_time_ms: 2000,
        client_version: V2,
    }
}

fn record(metadata: Option<Metadata>) -> Record {
    Record { transactional_id: text(ID), metadata }
}

#[test]
fn a_record_comes_back_from_its_bytes() {
    for state in TransactionState::ALL {
        for version in [0, 1, 2] {
            let partitions = if state == TransactionState::Empty { BTreeSet::new() } else { metadata().partitions };
            let mut written = Metadata { state, partitions, ..metadata() };
            let bytes = record(Some(written.clone())).value(version).unwrap();
            if version == 0 {
                // What version 0 of the record has no place for.
                (written.previous_producer_id, written.next_producer_id, written.client_version) = (-1, -1, V0);
            }
            let read = Record::read(&record(None).key(), Some(&bytes)).unwrap();
            assert_eq!(read, record(Some(written)));
        }
    }
    assert_eq!(Record::read(&record(None).key(), None), Ok(record(None)));
}

#[test]
fn only_what_differs_from_its_default_is_tagged() {
    // TransactionLogValue.json
    let plain = Metadata {
        previous_producer_id: -1,
        next_producer_id: -1,
        client_version: V0,
        partitions: BTreeSet::new(),
        ..metadata()
    };
    let bytes = record(Some(plain)).value(2).unwrap();
    assert_eq!(&bytes[..2], [0, 1]);
    assert_eq!(bytes.len(), 2 + 8 + 2 + 4 + 1 + 1 + 8 + 8 + 1);
    assert_eq!((bytes[17], bytes[34]), (1, 0), "an empty array, and no tags");
}

#[test]
fn cut_or_changed_bytes_are_refused_and_never_panic() {
    for version in [0, 2] {
        let (key, value) = (record(None).key(), record(Some(metadata())).value(version).unwrap());
        for cut in 0..value.len() {
            assert_eq!(Record::read(&key, Some(&value[..cut])), Err(Malformed), "{cut} bytes");
        }
        for at in 0..value.len() {
            for byte in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = value.to_vec();
                changed[at] = byte;
                let _whatever = Record::read(&key, Some(&changed));
            }
        }
    }
    assert_eq!(Record::read(&[0, 1, 0, 1, b't'], None), Err(Malformed), "the type of another record");
}

#[test]
fn at_level_0_what_a_client_of_version_2_does_cannot_be_written_and_blocks_the_id() {
    // Observed on 4.3.1 (tests/fidelity/transaction_version.rs); TransactionLog.valueToBytes.
    use kafka_protocol::error::ResponseError::{ConcurrentTransactions, UnsupportedVersion};
    let mut kit = Kit::new(0);
    let producer = kit.init(None).unwrap();
    assert_eq!(kit.add(producer, V2), Err(UnsupportedVersion));
    let blocked = [kit.add(producer, V0), kit.init(None), kit.end(producer, true, V0), kit.end(producer, true, V2)];
    assert_eq!(blocked, [Err(ConcurrentTransactions); 4]);
    kit.restart();
    assert_eq!(kit.add(producer, V0), Ok(producer), "until another coordinator takes over");
    assert_eq!(kit.end(producer, true, V2), Err(UnsupportedVersion));
    kit.advance(1_000_000);
    assert_eq!(kit.state(), Some(TransactionState::Ongoing), "not even a timeout ends it");
    kit.restart();
    assert_eq!(kit.end(producer, true, V0), Ok(producer));
}
