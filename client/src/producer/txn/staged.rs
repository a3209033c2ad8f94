//! The transaction after the one that is being committed: records are taken for it, and nothing else happens to it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Generation, Machine, State};
use crate::error::Error;

/// The transaction after the one that is being committed: its records are taken already, and go nowhere.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    number: u64,
    /// Why it cannot be begun any more.
    failed: Option<Arc<Error>>,
}

impl Machine {
    /// Takes records for the transaction after the open one, which is about to be committed.
    pub(crate) fn stage(&mut self, behind: u64) -> Result<u64, Error> {
        self.check(behind)?;
        if self.staged.is_some() {
            return Err(Error::TransactionEnded);
        }
        self.number += 1;
        self.staged = Some(Staged { number: self.number, failed: None });
        Ok(self.number)
    }

    /// Begins what was staged: the transaction before it is committed.
    pub(crate) fn begin_staged(&mut self, number: u64, generation: Generation, now: Instant) -> Result<(), Error> {
        if !matches!(self.state, State::Idle) || !self.is_staged(number) {
            return Err(self.fatal().unwrap_or(Error::TransactionEnded));
        }
        self.check(number)?;
        self.staged = None;
        self.open_as(number, generation, now);
        Ok(())
    }

    fn is_staged(&self, number: u64) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.number == number)
    }

    /// What was staged will not be begun. `false` if it is not what is staged.
    pub(crate) fn unstage(&mut self, number: u64) -> bool {
        let is_staged = self.is_staged(number);
        if is_staged {
            self.staged = None;
        }
        is_staged
    }

    /// A batch is given up, perhaps one of what is staged.
    pub(crate) fn on_batch_failure(&mut self, error: &Error, now: Instant) {
        if let Some(staged) = &mut self.staged {
            staged.failed.get_or_insert_with(|| Arc::new(error.clone()));
        }
        if let Some((number, _)) = self.open() {
            self.on_failure(number, error.clone(), now);
        }
    }

    /// [`Machine::check`] of what is not open.
    pub(super) fn check_staged(&self, number: u64) -> Result<(), Error> {
        match &self.staged {
            Some(Staged { number: staged, failed }) if *staged == number => {
                failed.as_ref().map_or(Ok(()), |cause| Err(Error::TransactionFailed { cause: Arc::clone(cause) }))
            }
            _ => Err(Error::TransactionEnded),
        }
    }
}
