//! Issue 6: crash and restart at every gap of a transaction. Whatever was no record is gone; what is left goes on to the same
//! end.

use kafka_protocol::error::ResponseError::{ConcurrentTransactions, UnstableOffsetCommit};

use super::transactor::{Known, Speaks};
use super::*;
use crate::fault::MarkerHome;
use crate::group::RequireStable;
use crate::txn::TransactionState;

const ID: &str = "mover";

/// What a producer does, and then the coordinator: each is followed by a gap.
const STEPS: usize = 12;

struct Mover {
    world: World,
    speaks: Speaks,
    commits: bool,
    producer: Known,
}

impl Mover {
    fn new(speaks: Speaks, commits: bool) -> Self {
        let world = World::transactional(2);
        assert_eq!(world.commit(&StrBytes::default(), -1, 3), 0, "an offset from before");
        Self { world, speaks, commits, producer: Known { id: -1, epoch: -1 } }
    }

    fn take(&mut self, step: usize) {
        let Self { ref world, speaks, commits, producer } = *self;
        match step {
            0 => self.producer = world.init(ID, None).unwrap(),
            // The second generation adds in passing.
            1 if speaks == Speaks::V1 => world.add(ID, producer, &[0]).unwrap(),
            2 => drop(world.write(speaks, ID, producer, (0, 0), "a").unwrap()),
            3 if speaks == Speaks::V1 => world.add(ID, producer, &[1]).unwrap(),
            4 => drop(world.write(speaks, ID, producer, (1, 0), "b").unwrap()),
            5 => drop(world.write(speaks, ID, producer, (0, 1), "c").unwrap()),
            6 => world.send_offset(speaks, ID, producer, 7).unwrap(),
            7 => drop(world.end(speaks, ID, producer, commits).unwrap()),
            // Three markers and the completion; after a crash there are more of them.
            8..=11 => drop(world.0.take(None)),
            _ => {}
        }
    }

    /// All that a client can see: stable offset and committed records of both partitions, the offset of the group, the state.
    fn seen(&self) -> String {
        let of = |partition| {
            let stable = self.world.log(partition, crate::log::PartitionLog::last_stable_offset);
            (stable, self.world.read_committed(partition))
        };
        let offsets = [RequireStable::No, RequireStable::Yes].map(|stable| self.world.offset(stable));
        let (state, producer) = (self.world.state_of(ID), self.world.producer_of(ID));
        format!("{:?} {:?} {offsets:?} {state:?} {producer:?}", of(0), of(1))
    }
}

#[test]
fn a_crash_in_any_gap_of_a_transaction_loses_and_adds_nothing() {
    for (speaks, commits) in [(Speaks::V1, true), (Speaks::V1, false), (Speaks::V2, true), (Speaks::V2, false)] {
        let mut without = Mover::new(speaks, commits);
        (0..STEPS).for_each(|step| without.take(step));
        for gap in 0..STEPS {
            let mut mover = Mover::new(speaks, commits);
            for step in 0..STEPS {
                mover.take(step);
                if step == gap {
                    let before = mover.seen();
                    mover.world.crash();
                    assert_eq!(mover.seen(), before, "{speaks:?}, commits: {commits}, after step {gap}");
                    mover.world.crash();
                    assert_eq!(mover.seen(), before, "and once more");
                }
            }
            mover.world.0.take_all();
            let context = format!("{speaks:?}, commits: {commits}, a crash after step {gap}");
            let committed = |partition| {
                let seen = mover.world.read_committed(partition);
                seen.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
            };
            let expected: [&[&str]; 2] = if commits { [&["a", "c"], &["b"]] } else { [&[], &[]] };
            assert_eq!((committed(0), committed(1)), (own(expected[0]), own(expected[1])), "{context}");
            let offset = mover.world.offset(RequireStable::Yes);
            assert_eq!((offset.error, offset.offset), (None, if commits { 7 } else { 3 }), "{context}");
            let state = mover.world.state_of(ID).unwrap();
            assert!(matches!(state, TransactionState::CompleteCommit | TransactionState::CompleteAbort), "{context}");
            assert_eq!(state == TransactionState::CompleteCommit, commits, "{context}");
            assert_eq!(mover.world.producer_of(ID), without.world.producer_of(ID), "{context}");
            for partition in [0, 1] {
                let is_stable = mover.world.log(partition, |log| log.last_stable_offset() == log.log_end_offset());
                assert!(is_stable, "{context}");
            }
        }
    }
}

fn own(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn a_producer_goes_on_after_a_crash_as_if_there_had_been_none() {
    for speaks in [Speaks::V1, Speaks::V2] {
        let world = World::transactional(2);
        let mut producer = world.init(ID, None).unwrap();
        let mut sequence = 0;
        for round in 0..3 {
            if speaks == Speaks::V1 {
                world.add(ID, producer, &[0]).unwrap();
            }
            let offset = world.write(speaks, ID, producer, (0, sequence), "v").unwrap();
            world.crash();
            assert_eq!(world.write(speaks, ID, producer, (0, sequence), "v"), Ok(offset), "a retry is a duplicate");
            world.write(speaks, ID, producer, (0, sequence + 1), "w").unwrap();
            let next = world.end(speaks, ID, producer, true).unwrap();
            world.crash();
            // The answer was lost with the broker: the markers are on their way again, and then it is told what it was.
            assert_eq!(world.end(speaks, ID, producer, true), Err(ConcurrentTransactions));
            world.0.take_all();
            assert_eq!(world.end(speaks, ID, producer, true), Ok(next));
            assert_eq!(world.read_committed(0).len(), 2 * (round + 1));
            sequence = if speaks == Speaks::V1 { sequence + 2 } else { 0 };
            producer = next;
        }
    }
}

#[test]
fn an_offset_that_is_pending_is_pending_after_a_crash_and_so_is_its_timeout() {
    let world = World::transactional(2);
    let producer = world.init(ID, None).unwrap();
    world.send_offset(Speaks::V2, ID, producer, 7).unwrap();
    world.crash();
    assert_eq!(world.offset(RequireStable::Yes).error, Some(UnstableOffsetCommit));
    assert_eq!(world.offset(RequireStable::No).offset, -1);
    world.0.advance(Duration::from_secs(70));
    assert_eq!(world.state_of(ID), Some(TransactionState::PrepareAbort));
    world.crash();
    assert_eq!(world.offset(RequireStable::Yes).error, Some(UnstableOffsetCommit));
    world.0.take_all();
    assert_eq!((world.offset(RequireStable::Yes).error, world.offset(RequireStable::Yes).offset), (None, -1));
}
