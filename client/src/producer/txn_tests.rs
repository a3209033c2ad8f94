//! The rules of the client's side of transactions, without a broker. Named after Java's `TransactionManager` and KIP-890.

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

struct World {
    machine: Machine,
    start: Instant,
}

fn identity(producer_epoch: i16) -> Identity {
    Identity { producer_id: 7, producer_epoch, is_transactional: true }
}

fn refused(code: ErrorCode) -> CallError {
    let written = if code.may_have_been_written() { Written::MaybeWritten } else { Written::NotWritten };
    CallError { error: Error::server("EndTxn", code.number()), written }
}

fn lost() -> CallError {
    let limit = Duration::from_secs(30);
    CallError { error: Error::Timeout { what: "an answer", limit }, written: Written::MaybeWritten }
}

impl World {
    fn new() -> Self {
        let backoff = Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(1) };
        Self { machine: Machine::new(Rules { backoff, timeout: TIMEOUT }), start: Instant::now() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    /// With an identity and an open transaction that a request began.
    fn open(generation: Generation) -> (Self, u64) {
        let mut world = Self::new();
        assert_eq!(world.machine.step(world.start), Step::Send(Ask::Init(None)));
        world.machine.on_init(Ok(identity(0)), world.start);
        let number = world.machine.begin(generation, world.start).unwrap();
        world.machine.on_started(number);
        world.machine.on_confirmed(number);
        (world, number)
    }

    fn ending(generation: Generation, committed: bool) -> Self {
        let (mut world, number) = Self::open(generation);
        world.machine.end(number, committed, false).unwrap();
        assert_eq!(world.step(0), Step::Send(Ask::End { identity: identity(0), committed, generation }));
        world
    }

    fn step(&mut self, millis: u64) -> Step {
        self.machine.step(self.at(millis))
    }
}

#[test]
fn the_second_generation_goes_on_with_the_epoch_that_the_end_answers() {
    // KIP-890: every end raises the epoch, so that nothing late can get into the next transaction.
    let mut world = World::ending(Generation::Two, true);
    world.machine.on_end(Ok(Some(identity(1))), world.start);
    assert_eq!((world.machine.identity(), world.step(0)), (Some(identity(1)), Step::Rest));
    assert_eq!(world.machine.last().unwrap().unwrap(), Outcome::Committed);
}

#[test]
fn the_first_generation_takes_another_epoch_only_after_a_failure() {
    // KIP-360: TransactionManager.needToTriggerEpochBumpFromClient.
    let mut world = World::ending(Generation::One, true);
    world.machine.on_end(Ok(None), world.start);
    assert_eq!((world.machine.identity(), world.step(0)), (Some(identity(0)), Step::Rest));

    let (mut world, number) = World::open(Generation::One);
    let limit = TIMEOUT;
    let error = world.machine.on_failure(number, Error::Timeout { what: "delivery", limit }, world.start);
    assert!(error.requires_abort() && !error.is_fatal());
    world.machine.end(number, false, false).unwrap();
    world.step(0);
    world.machine.on_end(Ok(None), world.start);
    assert_eq!(world.step(0), Step::Send(Ask::Init(Some(identity(0)))));
    world.machine.on_init(Ok(identity(1)), world.start);
    assert_eq!((world.machine.identity(), world.step(0)), (Some(identity(1)), Step::Rest));
}

#[test]
fn sequences_that_are_broken_cost_the_epoch_as_a_failure_does() {
    let (mut world, number) = World::open(Generation::One);
    world.machine.end(number, false, true).unwrap();
    world.step(0);
    world.machine.on_end(Ok(None), world.start);
    assert_eq!(world.step(0), Step::Send(Ask::Init(Some(identity(0)))));
}

#[test]
fn a_transaction_of_which_no_broker_knows_ends_without_a_request() {
    // TransactionManager.nextRequest: EndTxn is left out if nothing was added.
    for committed in [true, false] {
        let mut world = World::new();
        world.machine.on_init(Ok(identity(0)), world.start);
        let number = world.machine.begin(Generation::Two, world.start).unwrap();
        world.machine.end(number, committed, false).unwrap();
        assert_eq!(world.step(0), Step::Rest);
        let outcome = if committed { Outcome::Committed } else { Outcome::Aborted };
        assert_eq!(world.machine.last().unwrap().unwrap(), outcome);
    }
}

#[test]
fn a_failed_transaction_cannot_be_committed() {
    let (mut world, number) = World::open(Generation::Two);
    world.machine.on_failure(number, Error::server("Produce", ErrorCode::InvalidRecord.number()), world.start);
    let error = world.machine.end(number, true, false).unwrap_err();
    assert!(error.requires_abort());
    assert_eq!(error.code(), Some(ErrorCode::InvalidRecord), "the first failure is the one that is told");
    world.machine.end(number, false, false).unwrap();
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_decision() {
    // Client trap 42: a commit that may have happened is never followed by an abort.
    let mut world = World::ending(Generation::Two, true);
    world.machine.on_end(Err(lost()), world.start);
    let Step::Wait(until) = world.step(0) else { panic!("it backs off") };
    assert!(until <= world.at(120), "{until:?}");
    let again = Step::Send(Ask::End { identity: identity(0), committed: true, generation: Generation::Two });
    assert_eq!(world.step(200), again);
    world.machine.on_end(Ok(Some(identity(1))), world.at(200));
    assert_eq!(world.machine.last().unwrap().unwrap(), Outcome::Committed);
}

#[test]
fn an_outcome_that_nobody_told_is_unknown_and_can_still_be_asked_for() {
    let mut world = World::ending(Generation::Two, true);
    world.machine.on_end(Err(lost()), world.start);
    let error = world.machine.give_up(TIMEOUT);
    assert!(error.is_outcome_unknown() && !error.requires_abort() && !error.is_fatal(), "{error}");
    assert!(error.is_retriable(), "the same question may be answered: {error}");
    assert!(world.machine.last().unwrap().unwrap_err().is_outcome_unknown());
    assert!(matches!(world.step(200), Step::Send(Ask::End { committed: true, .. })));
    world.machine.on_end(Ok(Some(identity(1))), world.at(200));
    assert_eq!(world.machine.last().unwrap().unwrap(), Outcome::Committed);
}

#[test]
fn a_commit_that_nobody_waited_for_is_in_doubt_as_well() {
    let mut world = World::ending(Generation::Two, true);
    // The future was dropped while the request was out; then the coordinator says that somebody else has the id.
    assert!(matches!(world.step(0), Step::Send(_)));
    world.machine.on_end(Err(refused(ErrorCode::ProducerFenced)), world.start);
    let error = world.machine.fatal().unwrap();
    assert!(error.is_outcome_unknown() && error.is_fatal() && !error.is_retriable(), "{error}");
}

#[test]
fn a_commit_that_never_left_can_be_aborted() {
    let mut world = World::ending(Generation::Two, true);
    let unsent = CallError::not_written(Error::Timeout { what: "connecting", limit: TIMEOUT });
    world.machine.on_end(Err(unsent), world.start);
    let error = world.machine.give_up(TIMEOUT);
    assert!(error.requires_abort() && !error.is_outcome_unknown(), "{error}");
    let (number, _) = world.machine.open().expect("it is open as before");
    world.machine.end(number, false, false).unwrap();
    assert!(matches!(world.step(0), Step::Send(Ask::End { committed: false, .. })));
}

#[test]
fn another_instance_with_the_id_is_fatal_and_a_clear_refusal_of_the_commit() {
    for code in [ErrorCode::ProducerFenced, ErrorCode::InvalidProducerEpoch] {
        let mut world = World::ending(Generation::Two, true);
        world.machine.on_end(Err(refused(code)), world.at(10));
        let error = world.machine.fatal().unwrap();
        assert_eq!(error.code(), Some(ErrorCode::ProducerFenced), "old coordinators say {code:?}");
        assert!(error.is_fatal() && !error.is_outcome_unknown());
        assert!(world.machine.begin(Generation::Two, world.start).is_none());
    }
}

#[test]
fn a_transaction_that_took_too_long_is_aborted_and_the_id_taken_over_anew() {
    // TransactionCoordinator.abortTimedOutTransactions takes the epoch away.
    let mut world = World::ending(Generation::Two, true);
    world.machine.on_end(Err(refused(ErrorCode::ProducerFenced)), world.start + TIMEOUT);
    let error = world.machine.last().unwrap().unwrap_err();
    assert!(matches!(error, Error::TransactionTimedOut { .. }) && error.requires_abort());
    assert_eq!(world.machine.step(world.start + TIMEOUT), Step::Send(Ask::Init(None)));

    let mut world = World::ending(Generation::Two, true);
    world.machine.on_end(Err(lost()), world.start);
    world.machine.on_end(Err(refused(ErrorCode::ProducerFenced)), world.start + TIMEOUT);
    let error = world.machine.last().unwrap().unwrap_err();
    assert!(error.is_outcome_unknown(), "the lost one may have been in time: {error}");
    assert!(!error.is_retriable() && !error.is_fatal(), "nobody will ever tell: {error}");
}

#[test]
fn an_abort_of_what_never_arrived_is_done() {
    let mut world = World::new();
    world.machine.on_init(Ok(identity(0)), world.start);
    let number = world.machine.begin(Generation::One, world.start).unwrap();
    world.machine.on_started(number);
    world.machine.end(number, false, false).unwrap();
    world.step(0);
    world.machine.on_end(Err(refused(ErrorCode::InvalidTxnState)), world.start);
    assert_eq!(world.machine.last().unwrap().unwrap(), Outcome::Aborted);
}

#[test]
fn markers_that_are_being_written_are_waited_for_briefly_and_ever_longer() {
    // CONCURRENT_TRANSACTIONS, TransactionManager.ADD_PARTITIONS_RETRY_BACKOFF_MS.
    let mut world = World::new();
    let mut now = world.start;
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(world.machine.step(now), Step::Send(Ask::Init(None)));
        world.machine.on_init(Err(refused(ErrorCode::ConcurrentTransactions)), now);
        let Step::Wait(until) = world.machine.step(now) else { panic!("it backs off") };
        waits.push((until - now).as_millis());
        now = until;
    }
    assert!((16..=24).contains(&waits[0]) && (800..=1200).contains(&waits[7]), "{waits:?}");
}

#[test]
fn only_the_handle_of_the_open_transaction_can_do_anything() {
    let (mut world, number) = World::open(Generation::Two);
    assert!(matches!(world.machine.check(number + 1), Err(Error::TransactionEnded)));
    assert!(matches!(world.machine.end(number + 1, false, false), Err(Error::TransactionEnded)));
    world.machine.abandon(number + 1);
    assert_eq!(world.machine.open(), Some((number, false)));
    world.machine.abandon(number);
    assert_eq!(world.machine.open(), Some((number, true)));
}

#[test]
fn a_right_that_is_missing_for_the_id_is_fatal_and_for_a_topic_abortable() {
    // Client trap 52.
    let (mut world, number) = World::open(Generation::Two);
    let topic = Error::server("Produce", ErrorCode::TopicAuthorizationFailed.number());
    assert!(world.machine.on_failure(number, topic, world.start).requires_abort());
    let id = Error::server("AddPartitionsToTxn", ErrorCode::TransactionalIdAuthorizationFailed.number());
    assert!(world.machine.on_failure(number, id, world.start).is_fatal());
    assert!(world.machine.fatal().is_some());
}

#[test]
fn the_next_transaction_takes_records_while_the_last_one_is_committed_and_begins_after_it() {
    let (mut world, number) = World::open(Generation::Two);
    let next = world.machine.stage(number).unwrap();
    assert!(world.machine.stage(number).is_err() && world.machine.stage(next).is_err(), "there is one at a time");
    assert!(world.machine.check(number).is_ok() && world.machine.check(next).is_ok());
    world.machine.end(number, true, false).unwrap();
    world.step(0);
    assert!(world.machine.begin_staged(next, Generation::Two, world.start).is_err(), "the commit is not answered");
    assert!(world.machine.check(next).is_ok());
    world.machine.on_end(Ok(Some(identity(1))), world.start);
    assert_eq!(world.machine.begin(Generation::Two, world.start), None, "its place is taken");
    world.machine.begin_staged(next, Generation::Two, world.start).unwrap();
    assert_eq!((world.machine.open(), world.machine.last().is_none()), (Some((next, false)), true));
}

#[test]
fn what_is_staged_takes_nothing_once_it_is_given_up_or_the_producer_is_of_no_use() {
    let (mut world, number) = World::open(Generation::Two);
    let next = world.machine.stage(number).unwrap();
    assert!(!world.machine.unstage(number) && world.machine.unstage(next) && !world.machine.unstage(next));
    assert!(world.machine.check(next).is_err() && world.machine.check(number).is_ok());

    let next = world.machine.stage(number).unwrap();
    world.machine.end(number, true, false).unwrap();
    world.step(0);
    world.machine.on_end(Err(refused(ErrorCode::ProducerFenced)), world.start);
    assert!(world.machine.check(next).is_err_and(|error| error.is_fatal()));
    assert!(world.machine.begin_staged(next, Generation::Two, world.start).is_err_and(|error| error.is_fatal()));
}

#[test]
fn a_staged_transaction_of_which_a_batch_was_given_up_is_never_begun() {
    let (mut world, number) = World::open(Generation::Two);
    let next = world.machine.stage(number).unwrap();
    world.machine.end(number, true, false).unwrap();
    world.step(0);
    let late = Error::Timeout { what: "delivery", limit: TIMEOUT };
    world.machine.on_batch_failure(&late, world.start);
    world.machine.on_end(Ok(Some(identity(1))), world.start);
    assert_eq!(world.machine.last().unwrap().unwrap(), Outcome::Committed, "the one before it is none the worse");
    assert!(world.machine.begin_staged(next, Generation::Two, world.start).is_err_and(|error| error.requires_abort()));
}
