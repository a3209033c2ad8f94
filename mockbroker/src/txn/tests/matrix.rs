//! Every event in every state, as a table to be read beside the specification (G.3 to G.5).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kafka_protocol::error::ResponseError;

use super::kit::*;
use crate::txn::*;

/// How a state is reached by a client of this version. The producer that belongs to it is asked of the coordinator.
fn reach(state: &str, version: ClientVersion) -> Option<Kit> {
    let mut kit = Kit::new(if version == V0 { 1 } else { 2 });
    if state == "unknown" {
        return Some(kit);
    }
    let mut producer = kit.init(None).unwrap();
    let end = match state {
        "Empty" => return Some(kit),
        "Ongoing" => None,
        _ => Some(state.ends_with("Commit")),
    };
    kit.add(producer, version).unwrap();
    if let Some(is_commit) = end {
        producer = kit.end(producer, is_commit, version).unwrap();
        if state.starts_with("Complete") {
            kit.write_markers();
        }
        if state.starts_with("Loaded") {
            // The markers are on their way again after a restart, which does not know the last epoch.
            kit.restart();
        }
    }
    (kit.producer() == producer).then_some(kit)
}

const STATES: [&str; 9] = [
    "unknown",
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "LoadedPrepareCommit",
    "LoadedPrepareAbort",
];

type Act = fn(&mut Kit, (i64, i16), ClientVersion) -> Answer;

const EVENTS: [(&str, Act); 21] = [
    ("init", |kit, _, _| kit.init(None)),
    ("init current", |kit, producer, _| kit.init(Some(producer))),
    ("init one epoch before", |kit, (id, epoch), _| kit.init(Some((id, epoch - 1)))),
    ("init of another id", |kit, (id, epoch), _| kit.init(Some((id + 9, epoch)))),
    ("add", |kit, producer, version| kit.add(producer, version)),
    ("add old epoch", |kit, (id, epoch), version| kit.add((id, epoch - 1), version)),
    ("add other id", |kit, (id, epoch), version| kit.add((id + 9, epoch), version)),
    ("commit", |kit, producer, version| kit.end(producer, true, version)),
    ("abort", |kit, producer, version| kit.end(producer, false, version)),
    ("commit one epoch before", |kit, (id, epoch), version| kit.end((id, epoch - 1), true, version)),
    ("abort one epoch before", |kit, (id, epoch), version| kit.end((id, epoch - 1), false, version)),
    ("commit other id", |kit, (id, epoch), version| kit.end((id + 9, epoch), true, version)),
    ("init of an id before the last", |kit, (id, _), _| kit.init(Some((id - 1, 32_766)))),
    ("init too long", |kit, _, _| kit.step(ID, Event::InitProducerId { timeout_ms: 900_001, expected: None })),
    ("add another partition", |kit, producer, client_version| {
        let partitions = BTreeSet::from([partition("q", 3)]);
        kit.step(ID, Event::AddPartitions { producer, partitions, client_version })
    }),
    ("commit next epoch", |kit, (id, epoch), version| kit.end((id, epoch + 1), true, version)),
    ("markers written", |kit, producer, _| {
        let partitions = BTreeSet::from([partition("p", 0)]);
        kit.step(ID, Event::MarkersWritten { partitions }).map(|_| producer)
    }),
    ("complete too early", |kit, producer, _| kit.step(ID, Event::Complete).map(|_| producer)),
    ("markers written and complete", |kit, producer, _| {
        kit.write_markers();
        Ok(producer)
    }),
    ("70 s pass", |kit, producer, _| {
        kit.advance(70_000);
        Ok(producer)
    }),
    ("verify", |kit, producer, _| kit.machine.verify(&text(ID), producer, &partition("p", 0)).map(|()| producer)),
];

fn outcome(kit: &Kit, answer: Answer, before: (i64, i16)) -> String {
    let state = kit.state().map_or("unknown", TransactionState::name);
    match answer {
        Ok((id, epoch)) => format!("{}+{} {state}", id - before.0, epoch - before.1),
        Err(error) => format!("{error:?} {state}"),
    }
}

#[test]
fn every_event_in_every_state_has_its_outcome() {
    let mut table = String::new();
    for version in [V0, V2] {
        for state in STATES {
            writeln!(table, "{state} ({version:?})").unwrap();
            for (name, act) in EVENTS {
                let mut kit = reach(state, version).expect("the state is reached by its own producer");
                let producer = if state == "unknown" { (0, 0) } else { kit.producer() };
                let answer = act(&mut kit, producer, version);
                writeln!(table, "    {name}: {}", outcome(&kit, answer, producer)).unwrap();
            }
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/snapshots");
    insta::with_settings!({ snapshot_path => folder, omit_expression => true }, { insta::assert_snapshot!(table) });
}

#[test]
fn states_move_as_in_kafka() {
    // TransactionState.VALID_PREVIOUS_STATES.
    let line = |state: TransactionState| {
        let from: Vec<_> = state.valid_previous_states().iter().map(|state| state.name()).collect();
        format!("{} {} <- {}", state as i8, state.name(), from.join(" "))
    };
    let moves: Vec<String> = TransactionState::ALL.into_iter().map(line).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/snapshots");
    insta::with_settings!({ snapshot_path => folder, omit_expression => true }, {
        insta::assert_snapshot!(moves.join("\n"));
    });
}

#[test]
fn a_wrong_timeout_is_refused() {
    // G.3
    let mut kit = Kit::new(2);
    for (timeout_ms, answer) in [
        (0, Err(ResponseError::InvalidTransactionTimeout)),
        (-1, Err(ResponseError::InvalidTransactionTimeout)),
        (900_001, Err(ResponseError::InvalidTransactionTimeout)),
        (900_000, Ok((0, 0))),
        (1, Ok((0, 1))),
    ] {
        assert_eq!(kit.step(ID, Event::InitProducerId { timeout_ms, expected: None }), answer, "{timeout_ms}");
    }
    assert_eq!(kit.machine.describe(&text(ID)).unwrap().timeout_ms, 1, "the last one counts");
}
