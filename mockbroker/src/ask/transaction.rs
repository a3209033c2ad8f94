//! A transaction as a test asks for it.

use std::sync::Arc;
use std::time::Duration;

use super::Asker;
use crate::engine::Engine;
use crate::inspect::{self, TransactionState};

/// The transaction of a transactional id, whether the id is known or not. Made by
/// [`MockBroker::transaction`](crate::MockBroker::transaction).
#[derive(Clone, Debug)]
pub struct Transaction {
    asker: Asker,
    transactional_id: String,
}

impl Transaction {
    pub(crate) fn new(engine: Arc<Engine>, transactional_id: String) -> Self {
        Self { asker: Asker::new(engine), transactional_id }
    }

    /// How long waiters wait, in real time, instead of what the broker was built with.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.asker.patience = Some(patience);
        self
    }

    /// How far it is now; `None` if the id is not known.
    pub fn state(&self) -> Option<TransactionState> {
        self.asker.now(|state| inspect::transaction(state, &self.transactional_id))
    }

    /// Waits until the transaction is as `is_so` says. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience: with `what` and the broker's report.
    pub async fn wait_for(&self, what: &str, is_so: impl Fn(&TransactionState) -> bool) -> TransactionState {
        let what = format!("transaction {:?}: {what}", self.transactional_id);
        let look = |state: &crate::state::State| inspect::transaction(state, &self.transactional_id);
        self.asker.until(&what, |state| look(state).filter(|it| is_so(it))).await
    }

    /// Waits until it is in the state of this name, as Kafka spells it: `Ongoing`, `CompleteCommit`, `CompleteAbort`, ... Safe
    /// to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the patience; if no transaction ever has such a state.
    pub async fn wait_state(&self, name: &str) -> TransactionState {
        const NAMES: [&str; 6] =
            ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"];
        assert!(NAMES.contains(&name), "no transaction is ever {name:?}: one of {NAMES:?}");
        self.wait_for(name, |it| it.state == name).await
    }
}
