//! Issue 6: random histories of producers that transact, with zombies, answers that get lost, markers that come one by one or
//! fail, timeouts, and crashes. After every event:
//!
//! - no aborted record is visible to `read_committed`, and nothing that is undecided;
//! - no committed record before the last stable offset is invisible, and without open transactions that is the end;
//! - the last stable offset never falls;
//! - offsets that are pending resolve with their transaction, as it was decided;
//! - a producer that is fenced never writes, but into the transaction that was its own and has no marker yet.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;

use super::transactor::{Known, Speaks};
use super::*;
use crate::fault::MarkerHome;
use crate::group::RequireStable;
use crate::ids::IdSource;
use crate::txn::TransactionState;

const IDS: [&str; 3] = ["a", "b", "c"];

/// One transaction.
#[derive(Debug)]
struct Transaction {
    of: usize,
    /// Whether it was committed, once that is decided.
    fate: Option<bool>,
    /// By when they were committed.
    offsets: Vec<(u64, i64)>,
}

struct History {
    world: World,
    speaks: [Speaks; 3],
    chance: IdSource,
    /// What each producer knows of itself, and all that it has been.
    producers: [Option<Known>; 3],
    been: [BTreeSet<Known>; 3],
    sequences: BTreeMap<(Known, i32), i32>,
    transactions: Vec<Transaction>,
    /// Every record: where it is, and the transaction that it belongs to.
    records: BTreeMap<(i32, i64), usize>,
    stable: [i64; 2],
    plain_offsets: Vec<(u64, i64)>,
    /// Counts what is written.
    count: u64,
    crashes: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut chance = IdSource::new(seed);
        let level = [1, 2, 2][chance.below(3)];
        // A new cluster has old clients, too; an old one has no new ones.
        let mut speaks = || if level == 1 || chance.below(3) == 0 { Speaks::V1 } else { Speaks::V2 };
        let speaks = [speaks(), speaks(), speaks()];
        Self {
            world: World::transactional(level),
            speaks,
            chance,
            producers: [None; 3],
            been: Default::default(),
            sequences: BTreeMap::new(),
            transactions: Vec::new(),
            records: BTreeMap::new(),
            stable: [0; 2],
            plain_offsets: Vec::new(),
            count: 0,
            crashes: 0,
        }
    }

    fn states(&self) -> [Option<TransactionState>; 3] {
        IDS.map(|id| self.world.state_of(id))
    }

    /// One event, and what it means for the transactions.
    fn happen(&mut self) {
        let before = self.states();
        let is_commit = self.act();
        for (of, (before, after)) in before.into_iter().zip(self.states()).enumerate() {
            let (was_open, is_open) =
                (before == Some(TransactionState::Ongoing), after == Some(TransactionState::Ongoing));
            match (was_open, is_open) {
                // A record of it may have come already.
                (false, true) if self.open(of).is_none() => self.begin(of),
                (true, false) => {
                    let fate = after == Some(TransactionState::PrepareCommit);
                    assert!(fate || after == Some(TransactionState::PrepareAbort), "{after:?}");
                    assert!(!fate || is_commit == Some(of), "nobody has committed {}", IDS[of]);
                    let open = self.open(of).expect("it was open");
                    self.transactions[open].fate = Some(fate);
                }
                _ => {}
            }
        }
    }

    fn open(&self, of: usize) -> Option<usize> {
        let newest = self.newest(of)?;
        self.transactions[newest].fate.is_none().then_some(newest)
    }

    fn newest(&self, of: usize) -> Option<usize> {
        self.transactions.iter().rposition(|transaction| transaction.of == of)
    }

    fn begin(&mut self, of: usize) {
        self.transactions.push(Transaction { of, fate: None, offsets: Vec::new() });
    }

    /// Returns whose commit was taken, if one was.
    fn act(&mut self) -> Option<usize> {
        let of = self.chance.below(IDS.len());
        let (id, speaks) = (IDS[of], self.speaks[of]);
        let current = self.producers[of];
        let is_lost = self.chance.below(6) == 0;
        let mut committed = None;
        let answer = match self.chance.below(20) {
            0 => self.world.init(id, None).ok(),
            1 => self.world.init(id, current).ok(),
            2..=7 => {
                self.write(of, current?);
                None
            }
            8 | 9 => {
                self.send_offset(of, current?);
                None
            }
            10..=12 => {
                let commits = self.chance.below(3) > 0;
                let ended = self.world.end(speaks, id, current?, commits).ok();
                committed = (ended.is_some() && commits).then_some(of);
                ended
            }
            13 => {
                self.count += 1;
                let offset = i64::try_from(self.count).unwrap();
                // In a group that is empty, as a consumer without a group does.
                if self.world.commit(&StrBytes::default(), -1, offset) == 0 {
                    self.plain_offsets.push((self.count, offset));
                }
                None
            }
            14 => {
                let zombies: Vec<_> = self.been[of].iter().copied().collect();
                let zombie = (!zombies.is_empty()).then(|| zombies[self.chance.below(zombies.len())])?;
                if self.chance.below(2) == 0 {
                    self.write(of, zombie)
                } else {
                    self.send_offset(of, zombie)
                }
                None
            }
            15 | 16 => {
                self.world.0.take(None);
                None
            }
            17 => {
                self.world.0.take_all();
                None
            }
            18 => {
                let errors = [ResponseError::NotLeaderOrFollower, ResponseError::TransactionCoordinatorFenced];
                self.world.0.take(Some(errors[self.chance.below(2)]));
                None
            }
            _ => {
                if self.chance.below(2) == 0 {
                    self.world.crash();
                    self.crashes += 1;
                } else {
                    self.world.0.advance(Duration::from_secs(self.chance.below(40) as u64));
                }
                None
            }
        };
        if let Some(told) = answer.filter(|_| !is_lost) {
            self.been[of].insert(told);
            self.producers[of] = Some(told);
        }
        committed
    }

    fn write(&mut self, of: usize, producer: Known) {
        let (id, speaks) = (IDS[of], self.speaks[of]);
        let partition = i32::try_from(self.chance.below(2)).unwrap();
        let may = self.may_write(of, producer, "t", partition);
        if speaks == Speaks::V1 && self.chance.below(8) > 0 {
            let added = self.world.add(id, producer, &[partition]);
            assert!(added.is_err() || self.world.producer_of(id) == Some(producer), "{producer:?} was added");
        }
        let sequence = self.sequences.get(&(producer, partition)).copied().unwrap_or(0);
        let value = self.records.len().to_string();
        if let Ok(offset) = self.world.write(speaks, id, producer, (partition, sequence), &value) {
            assert!(may, "{producer:?} is fenced and has written");
            self.sequences.insert((producer, partition), sequence + 1);
            // With the second generation it has begun in passing.
            if self.newest(of).is_none()
                || (self.open(of).is_none() && self.world.state_of(id) == Some(TransactionState::Ongoing))
            {
                self.begin(of);
            }
            self.records.insert((partition, offset), self.newest(of).unwrap());
        }
    }

    fn send_offset(&mut self, of: usize, producer: Known) {
        let (id, speaks) = (IDS[of], self.speaks[of]);
        let at = self.world.0.read(|state| state.offsets_partition("g"));
        let may = self.may_write(of, producer, CONSUMER_OFFSETS, at.partition);
        self.count += 1;
        let offset = i64::try_from(self.count).unwrap();
        let sent = if self.chance.below(8) == 0 {
            self.world.commit_in(speaks, id, producer, offset)
        } else {
            self.world.send_offset(speaks, id, producer, offset)
        };
        if sent.is_ok() {
            assert!(may, "{producer:?} is fenced and has committed an offset");
            if self.open(of).is_none() && self.world.state_of(id) == Some(TransactionState::Ongoing) {
                self.begin(of);
            }
            let newest = self.newest(of).unwrap();
            self.transactions[newest].offsets.push((self.count, offset));
        }
    }

    /// Whether a write can be taken: it is the producer of today, or a transaction of its own is still open there.
    fn may_write(&self, of: usize, producer: Known, topic: &str, partition: i32) -> bool {
        let is_open = self.world.log_of(topic, partition, |log| {
            log.producers().any(|it| {
                (it.producer_id, it.producer_epoch) == (producer.id, producer.epoch)
                    && it.current_transaction_start_offset >= 0
            })
        });
        is_open || self.world.producer_of(IDS[of]) == Some(producer)
    }

    fn check(&mut self) {
        for partition in [0, 1] {
            let (stable, end) = self.world.log(partition, |log| (log.last_stable_offset(), log.log_end_offset()));
            let index = usize::try_from(partition).unwrap();
            assert!(
                stable >= self.stable[index],
                "the last stable offset fell from {} to {stable}",
                self.stable[index]
            );
            self.stable[index] = stable;
            let visible: BTreeSet<i64> =
                self.world.read_committed(partition).iter().map(|(offset, _)| *offset).collect();
            let records = self.records.range((partition, 0)..(partition, i64::MAX));
            for (&(_, offset), &transaction) in records {
                let fate = self.transactions[transaction].fate;
                assert!(offset >= stable || fate.is_some(), "offset {offset} is stable and undecided");
                assert_eq!(
                    visible.contains(&offset),
                    offset < stable && fate == Some(true),
                    "offset {offset}: {fate:?}"
                );
            }
            let is_any_open = self
                .world
                .log(partition, |log| log.producers().any(|producer| producer.current_transaction_start_offset >= 0));
            assert!(is_any_open || stable == end, "{stable} of {end} is stable although nothing is open");
        }
        self.check_offsets();
    }

    fn check_offsets(&self) {
        let offset = self.world.offset(RequireStable::Yes);
        if offset.error.is_some() {
            assert_eq!(offset.error, Some(ResponseError::UnstableOffsetCommit));
            return;
        }
        let with_offsets = self.transactions.iter().filter(|transaction| !transaction.offsets.is_empty());
        let mut counted = self.plain_offsets.clone();
        for transaction in with_offsets {
            assert_ne!(transaction.fate, None, "offsets of {} are stable and undecided", IDS[transaction.of]);
            if transaction.fate == Some(true) {
                counted.extend(&transaction.offsets);
            }
        }
        let last = counted.iter().max().map_or(-1, |(_, offset)| *offset);
        assert_eq!(offset.offset, last, "what was committed last counts, whichever marker came last");
    }
}

#[test]
fn no_history_shows_what_was_aborted_or_hides_what_was_committed() {
    let mut seen = (0, 0, 0, 0);
    for seed in 0..16 {
        let mut history = History::new(seed);
        for event in 0..250 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                history.happen();
                history.check();
            }));
            assert!(outcome.is_ok(), "seed {seed}, event {event}");
        }
        // What was given up is taken up again by the next coordinator; what is open times out.
        for _ in 0..2 {
            let before = history.states();
            history.world.crash();
            history.world.0.take_all();
            history.world.0.advance(Duration::from_secs(80));
            for (of, before) in before.into_iter().enumerate() {
                if before == Some(TransactionState::Ongoing)
                    && let Some(open) = history.open(of)
                {
                    history.transactions[open].fate = Some(false);
                }
            }
        }
        history.world.crash();
        history.world.0.take_all();
        history.check();
        for partition in [0, 1] {
            let (stable, end) = history.world.log(partition, |log| (log.last_stable_offset(), log.log_end_offset()));
            assert_eq!(stable, end, "seed {seed}: whatever was open has come to an end");
        }
        assert_eq!(history.world.offset(RequireStable::Yes).error, None, "seed {seed}");
        let fates = |fate: bool| history.transactions.iter().filter(|it| it.fate == Some(fate)).count();
        seen = (seen.0 + fates(true), seen.1 + fates(false), seen.2 + history.records.len(), seen.3 + history.crashes);
    }
    let (committed, aborted, records, crashes) = seen;
    let is_enough = committed > 50 && aborted > 50 && records > 300 && crashes > 30;
    assert!(is_enough, "the histories are too dull: {seen:?}");
}
