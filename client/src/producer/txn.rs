//! What a transactional producer may do next, without input, output or clock: answers and time in, requests out.
//!
//! ```text
//!          Init             begin            end             answer
//!   New ----------> Idle ----------> Open ----------> Ending ----------> Idle, or Spent
//!    ^               ^                 |                 |                          |
//!    |               +-----------------+ nothing sent    | given up: still Ending   | Init with the old epoch
//!    |                                                   v                          v
//!    +--------- the coordinator timed the transaction out               another epoch: Idle
//! ```
//!
//! Two generations. In the first (KIP-98) partitions and groups are added by requests of their own, and the epoch changes
//! only when the producer asks for it after something failed (KIP-360). In the second (KIP-890) the brokers add them
//! when they are written to, and every end answers another epoch. Which one it is, is asked anew at each begin.
//!
//! The decision to commit is made once. While its answer is lost the same request is sent again; nothing else is, because a
//! commit that may have happened must not be followed by an abort (Java's `TransactionManager` treats it so as well).

mod staged;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use self::staged::Staged;
use super::sequence::Identity;
use crate::{
    cluster::CallError,
    codes::ErrorCode,
    error::{Error, Written},
    retry::Backoff,
};

/// How transactions are spoken of with the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// `transaction.version` 0 and 1: partitions are added by request.
    One,
    /// `transaction.version` 2: they are added as they are written to, and every end answers another epoch.
    Two,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its records and offsets count.
    Committed,
    /// Nothing of it counts.
    Aborted,
}

/// A request to the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// InitProducerId, with what we were if only another epoch is wanted.
    Init(Option<Identity>),
    /// EndTxn.
    End { identity: Identity, committed: bool, generation: Generation },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Send(Ask),
    /// Nothing before this instant.
    Wait(Instant),
    /// Nothing: the producer is idle, has an open transaction, or is of no use any more.
    Rest,
}

#[derive(Debug)]
enum State {
    /// Without an identity, or with one that a newer epoch must replace.
    New,
    /// The transaction that failed is aborted, and its epoch must not be used again.
    Spent,
    Idle,
    Open(Open),
    Ending(Ending),
    Fatal(Error),
}

#[derive(Clone, Debug)]
struct Open {
    generation: Generation,
    number: u64,
    began_at: Instant,
    /// A request went out that makes the coordinator take the transaction as begun.
    started: bool,
    /// One of them was answered.
    confirmed: bool,
    /// Why it can only be aborted.
    failed: Option<Arc<Error>>,
    /// Its handle is gone.
    abandoned: bool,
}

#[derive(Debug)]
struct Ending {
    open: Open,
    committed: bool,
    /// A request is out.
    asked: bool,
    /// An earlier one may have been carried out although its answer did not come.
    in_doubt: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) backoff: Backoff,
    /// `transaction.timeout.ms`.
    pub(crate) timeout: Duration,
}

impl Rules {
    /// The first wait after CONCURRENT_TRANSACTIONS, which says that markers are being written and is over in a moment
    /// (`TransactionManager.ADD_PARTITIONS_RETRY_BACKOFF_MS`).
    const MARKERS: Duration = Duration::from_millis(20);

    /// How long to wait after so many failures in a row.
    pub(crate) fn wait(&self, failures: u32, code: Option<ErrorCode>) -> Duration {
        match code {
            Some(ErrorCode::ConcurrentTransactions) => {
                Backoff { initial: Self::MARKERS, ..self.backoff }.wait(failures)
            }
            _ => self.backoff.wait(failures),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    state: State,
    identity: Option<Identity>,
    number: u64,
    staged: Option<Staged>,
    failures: u32,
    not_before: Option<Instant>,
    last_error: Option<Error>,
    /// What became of the last transaction, once it is known, or why it cannot be.
    last: Option<Result<Outcome, Error>>,
}

impl Machine {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::New,
            identity: None,
            number: 0,
            staged: None,
            failures: 0,
            not_before: None,
            last_error: None,
            last: None,
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        self.rules
    }

    /// Who writes, once a coordinator said so.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The error that makes the producer useless.
    pub(crate) fn fatal(&self) -> Option<Error> {
        match &self.state {
            State::Fatal(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// What became of the last transaction, as far as it is known.
    pub(crate) fn last(&self) -> Option<Result<Outcome, Error>> {
        self.last.clone()
    }

    /// The number of the open transaction, and whether its handle is gone.
    pub(crate) fn open(&self) -> Option<(u64, bool)> {
        match &self.state {
            State::Open(open) => Some((open.number, open.abandoned)),
            _ => None,
        }
    }

    /// The generation of the open transaction.
    pub(crate) fn generation(&self) -> Option<Generation> {
        match &self.state {
            State::Open(open) => Some(open.generation),
            _ => None,
        }
    }

    /// What is to be done now.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        if matches!(self.state, State::Idle | State::Open(_) | State::Fatal(_)) {
            return Step::Rest;
        }
        if let Some(instant) = self.not_before.filter(|instant| *instant > now) {
            return Step::Wait(instant);
        }
        match (&mut self.state, self.identity) {
            (State::Ending(ending), Some(identity)) => {
                // Whoever waited for the last answer went away before it came.
                ending.in_doubt |= std::mem::replace(&mut ending.asked, true);
                let Ending { committed, open: Open { generation, .. }, .. } = *ending;
                Step::Send(Ask::End { identity, committed, generation })
            }
            (State::Spent, identity) => Step::Send(Ask::Init(identity)),
            _ => Step::Send(Ask::Init(None)),
        }
    }

    /// Begins a transaction. `None` if the producer is not idle.
    pub(crate) fn begin(&mut self, generation: Generation, now: Instant) -> Option<u64> {
        if !matches!(self.state, State::Idle) || self.staged.is_some() {
            return None;
        }
        self.number += 1;
        self.open_as(self.number, generation, now);
        Some(self.number)
    }

    fn open_as(&mut self, number: u64, generation: Generation, now: Instant) {
        self.last = None;
        self.state = State::Open(Open {
            generation,
            number,
            began_at: now,
            started: false,
            confirmed: false,
            failed: None,
            abandoned: false,
        });
    }

    fn open_mut(&mut self, number: u64) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) if open.number == number => Some(open),
            _ => None,
        }
    }

    /// A request goes out that begins the transaction in the eyes of the coordinator.
    pub(crate) fn on_started(&mut self, number: u64) {
        if let Some(open) = self.open_mut(number) {
            open.started = true;
        }
    }

    /// Such a request was answered.
    pub(crate) fn on_confirmed(&mut self, number: u64) {
        if let Some(open) = self.open_mut(number) {
            open.confirmed = true;
        }
    }

    /// The handle of a transaction that was neither committed nor aborted is gone.
    pub(crate) fn abandon(&mut self, number: u64) {
        if let Some(open) = self.open_mut(number) {
            open.abandoned = true;
        }
    }

    /// Something of the transaction failed: it can only be aborted, or the producer is of no use any more.
    pub(crate) fn on_failure(&mut self, number: u64, error: Error, now: Instant) -> Error {
        let limit = self.rules.timeout;
        let Some(open) = self.open_mut(number) else { return error };
        let took_too_long = now.saturating_duration_since(open.began_at) >= limit;
        let error = match error.code() {
            Some(ErrorCode::ProducerFenced) if took_too_long => Error::TransactionTimedOut { limit },
            _ => error,
        };
        // A member that was replaced is no business of the transactional id.
        if error.is_fatal() && error.code() != Some(ErrorCode::FencedInstanceId) {
            self.die(error.clone());
            return error;
        }
        let cause = match error {
            Error::TransactionFailed { cause } => cause,
            error => Arc::new(error),
        };
        if let Some(open) = self.open_mut(number) {
            open.failed.get_or_insert_with(|| Arc::clone(&cause));
        }
        Error::TransactionFailed { cause }
    }

    /// Whether a transaction is open, or the next one, and nothing of it failed.
    pub(crate) fn check(&self, number: u64) -> Result<(), Error> {
        match &self.state {
            State::Open(open) if open.number == number => {
                open.failed.as_ref().map_or(Ok(()), |cause| Err(Error::TransactionFailed { cause: Arc::clone(cause) }))
            }
            State::Fatal(error) => Err(error.clone()),
            _ => self.check_staged(number),
        }
    }

    /// Decides the end of the open transaction. Everything that was sent is settled.
    pub(crate) fn end(&mut self, number: u64, committed: bool, broken: bool) -> Result<(), Error> {
        if committed {
            self.check(number)?;
        }
        let Some(open) = self.open_mut(number).map(|open| open.clone()) else {
            return self.fatal().map_or(Err(Error::TransactionEnded), Err);
        };
        if broken && open.failed.is_none() {
            self.open_mut(number).expect("it is open").failed = Some(Arc::new(Error::TransactionAborted));
        }
        self.begin_attempts();
        if !open.started {
            // No coordinator knows of it.
            self.settle(if committed { Outcome::Committed } else { Outcome::Aborted });
            return Ok(());
        }
        let State::Open(open) = std::mem::replace(&mut self.state, State::Idle) else { unreachable!("it is open") };
        self.state = State::Ending(Ending { open, committed, asked: false, in_doubt: false });
        Ok(())
    }

    fn begin_attempts(&mut self) {
        (self.failures, self.not_before, self.last_error) = (0, None, None);
    }

    fn settle(&mut self, outcome: Outcome) {
        self.last = Some(Ok(outcome));
        self.state = State::Idle;
        self.begin_attempts();
    }

    fn again(&mut self, error: Error, now: Instant) {
        self.failures += 1;
        self.not_before = Some(now + self.rules.wait(self.failures, error.code()));
        self.last_error = Some(error);
    }

    fn die(&mut self, error: Error) {
        tracing::warn!(%error, "the transactional producer is of no further use");
        if matches!(self.state, State::Ending(_)) {
            self.last = Some(Err(error.clone()));
        }
        self.state = State::Fatal(error);
    }

    /// The answer to InitProducerId.
    pub(crate) fn on_init(&mut self, answer: Result<Identity, CallError>, now: Instant) {
        match answer {
            Ok(identity) => {
                self.identity = Some(identity);
                self.state = State::Idle;
                self.begin_attempts();
            }
            Err(CallError { error, .. }) if error.is_retriable() => self.again(error, now),
            Err(CallError { error, .. }) => self.die(fenced(error)),
        }
    }

    /// The answer to EndTxn: the identity to go on with, in the second generation.
    pub(crate) fn on_end(&mut self, answer: Result<Option<Identity>, CallError>, now: Instant) {
        let State::Ending(ending) = &mut self.state else { return };
        ending.asked = false;
        let CallError { error, written } = match answer {
            Ok(identity) => return self.on_ended(identity),
            Err(failed) => failed,
        };
        ending.in_doubt |= written == Written::MaybeWritten;
        let (in_doubt, committed, open) = (ending.in_doubt, ending.committed, ending.open.clone());
        let took_too_long = now.saturating_duration_since(open.began_at) >= self.rules.timeout;
        match error.code() {
            _ if error.is_retriable() => self.again(error, now),
            // A coordinator that never heard of the transaction has nothing to abort.
            Some(ErrorCode::InvalidTxnState) if !committed && !open.confirmed => self.on_ended(None),
            Some(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidTxnState)
                if took_too_long =>
            {
                // Most likely the coordinator aborted it and took its epoch (`abortTimedOutTransactions`). If it is another
                // instance after all, that one finds out in its next request: who takes the id last has it.
                let cause = Error::TransactionTimedOut { limit: self.rules.timeout };
                self.last = Some(match (committed, in_doubt) {
                    (true, true) => Err(Error::TransactionOutcomeUnknown { cause: Arc::new(cause) }),
                    (true, false) => Err(cause),
                    (false, _) => Ok(Outcome::Aborted),
                });
                self.begin_attempts();
                self.state = State::New;
            }
            Some(
                ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerIdMapping | ErrorCode::TransactionAbortable,
            ) if committed && !in_doubt => {
                let failed = Some(Arc::new(error));
                self.state = State::Open(Open { failed, ..open });
            }
            Some(ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerIdMapping) if !committed => {
                // The coordinator forgot the id, and with it the transaction (`transactional.id.expiration.ms`).
                self.settle(Outcome::Aborted);
                self.state = State::New;
            }
            _ => self.die(match committed && in_doubt {
                true => Error::TransactionOutcomeUnknown { cause: Arc::new(fenced(error)) },
                false => fenced(error),
            }),
        }
    }

    fn on_ended(&mut self, identity: Option<Identity>) {
        let State::Ending(Ending { committed, open, .. }) = &self.state else { return };
        let (committed, failed) = (*committed, open.failed.is_some());
        self.settle(if committed { Outcome::Committed } else { Outcome::Aborted });
        match identity {
            Some(identity) => self.identity = Some(identity),
            // What was written under this epoch may still arrive somewhere, or leaves a gap in the sequences.
            None if failed => self.state = State::Spent,
            None => {}
        }
    }

    /// The time for what is under way is up. Says why it did not succeed; a decision that was made stays made.
    pub(crate) fn give_up(&mut self, limit: Duration) -> Error {
        let timeout = Error::Timeout { what: "the coordinator of transactions", limit };
        let error = self.last_error.take().unwrap_or(timeout);
        let State::Ending(ending) = &mut self.state else { return error };
        if !ending.committed {
            return error;
        }
        let cause = Arc::new(error);
        if ending.in_doubt || ending.asked {
            let unknown = Error::TransactionOutcomeUnknown { cause };
            self.last = Some(Err(unknown.clone()));
            return unknown;
        }
        // The request never left, so the transaction is as open as before, and can be aborted.
        let open = Open { failed: Some(Arc::clone(&cause)), ..ending.open.clone() };
        self.state = State::Open(open);
        Error::TransactionFailed { cause }
    }
}

/// Old coordinators say INVALID_PRODUCER_EPOCH where they mean PRODUCER_FENCED; to a batch it means something else.
pub(crate) fn fenced(error: Error) -> Error {
    match error {
        Error::Server { api, code: ErrorCode::InvalidProducerEpoch, topic, partition, message } => {
            Error::Server { api, code: ErrorCode::ProducerFenced, topic, partition, message }
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "txn_tests.rs"]
mod tests;
