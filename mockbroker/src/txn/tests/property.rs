//! Producers that do anything at any time, and a coordinator that crashes. What the kit checks holds after every step; here
//! is what must hold beyond it.

use std::collections::BTreeSet;

use super::kit::*;
use crate::ids::IdSource;
use crate::txn::*;

#[test]
fn whatever_happens_every_transaction_ends_as_it_was_decided_and_nobody_old_comes_back() {
    for seed in 0..40 {
        let mut chance = IdSource::new(seed);
        let level = [1, 2][chance.below(2)];
        let version = ClientVersion::of_feature(level);
        let mut kit = Kit::new(level);
        // The newest producer, and all that were before it.
        let mut newest = None;
        let mut old: BTreeSet<(i64, i16)> = BTreeSet::new();
        for _ in 0..200 {
            let producer = newest.unwrap_or((0, 0));
            let is_commit = chance.below(2) == 0;
            let told = match chance.below(9) {
                0 => kit.init(None).ok(),
                1 => kit.init(newest).ok(),
                2 | 3 => kit.add(producer, version).ok().filter(|_| false),
                4 | 5 => kit.end(producer, is_commit, version).ok().filter(|_| version == V2),
                6 => {
                    kit.write_markers();
                    None
                }
                7 => {
                    kit.restart();
                    None
                }
                _ => {
                    kit.advance(i64::try_from(chance.below(80_000)).unwrap());
                    None
                }
            };
            if let Some(told) = told {
                old.extend(newest.filter(|newest| *newest != told));
                newest = Some(told);
            }
            let zombies: Vec<_> = old.iter().copied().filter(|zombie| newest != Some(*zombie)).collect();
            if !zombies.is_empty() {
                let zombie = zombies[chance.below(zombies.len())];
                let state = kit.state();
                assert!(kit.add(zombie, version).is_err(), "seed {seed}: {zombie:?} is back, newest {newest:?}");
                assert_eq!(kit.state(), state);
            }
        }
        let mut prepared = None;
        for metadata in kit.records.iter().filter_map(|record| record.metadata.as_ref()) {
            use TransactionState::{CompleteAbort, CompleteCommit, PrepareAbort, PrepareCommit};
            match metadata.state {
                PrepareCommit | PrepareAbort => prepared = Some(metadata.state),
                CompleteCommit => assert_eq!(prepared.take(), Some(PrepareCommit)),
                CompleteAbort => assert_eq!(prepared.take(), Some(PrepareAbort)),
                _ => assert_eq!(prepared, None, "seed {seed}: nothing comes between the two steps"),
            }
        }
        // Without anybody's help whatever is open comes to an end.
        kit.advance(100_000);
        kit.write_markers();
        assert!(kit.state().is_none_or(TransactionState::is_at_rest), "seed {seed}: {:?}", kit.state());
    }
}
