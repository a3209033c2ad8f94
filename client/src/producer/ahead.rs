//! Taking the records of a transaction while the one before it is being committed.
//!
//! A producer has one transaction at a time, so those records are encoded and queued and go nowhere: not before the commit is
//! answered, and nowhere at all if that fails. What a coordinator sees is the same as without it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Producer,
    delivery::{Completion, Settled},
    transactional::{Transaction, TransactionSender, TransactionalProducer},
    txn::Generation,
};
use crate::error::{Error, Result};

/// The records of a transaction that takes no more, on their way.
#[derive(Debug)]
pub(super) struct Sealed(Vec<Arc<Completion>>);

/// Whether the records of the next transaction are taken from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    Later,
}

impl Sealed {
    /// Waits until each of them is acknowledged, or failed.
    pub(super) async fn settled(self) {
        for completion in self.0 {
            Settled::new(completion).await;
        }
    }
}

impl TransactionalProducer {
    /// Takes no more records for a transaction, and sends what lingers. With the number of the next one, if its records are
    /// taken now.
    pub(super) fn seal(&self, number: u64, next: Next) -> Result<(Sealed, Option<u64>)> {
        let Producer { handle } = &self.inner.producer;
        let shared = &handle.shared;
        let (unsettled, staged) = {
            let mut queues = shared.queues();
            let mut machine = self.inner.conversation.machine();
            if queues.transaction != Some(number) {
                return Err(machine.check(number).err().unwrap_or(Error::TransactionEnded));
            }
            let staged = if next == Next::Now { Some(machine.stage(number)?) } else { None };
            let unsettled = queues.batcher.flush();
            if staged.is_some() {
                queues.batcher.bar();
            }
            queues.transaction = staged;
            (unsettled, staged)
        };
        shared.changed.notify_one();
        Ok((Sealed(unsettled), staged))
    }
}

impl Transaction {
    /// Takes no more records, and opens the next transaction for them. That one must be begun ([`Transaction::begin_staged`])
    /// when this one is committed, and be dropped if it was not; until then no byte of it is sent.
    pub(crate) fn seal(&mut self) -> Result<Self> {
        let TransactionSender { inner, number } = &self.sender;
        let producer = TransactionalProducer { inner: Arc::clone(inner) };
        let (sealed, staged) = producer.seal(*number, Next::Now)?;
        self.sealed = Some(sealed);
        let number = staged.ok_or(Error::TransactionEnded)?;
        Ok(Self::new(TransactionSender { inner: Arc::clone(inner), number }))
    }

    /// Waits until what was sealed is acknowledged, or failed.
    pub(crate) async fn settled(&mut self) {
        if let Some(sealed) = self.sealed.replace(Sealed(Vec::new())) {
            sealed.settled().await;
        }
    }

    /// Begins a transaction whose records are taken already: the one before it is committed. Dropping the future is safe.
    pub(crate) async fn begin_staged(&self) -> Result<()> {
        let TransactionSender { inner, number } = &self.sender;
        let conversation = &inner.conversation;
        let deadline = conversation.deadline();
        let _turn = conversation.turn.lock().await;
        conversation.drive(deadline).await?;
        let generation = conversation.generation(deadline).await?;
        let shared = &inner.producer.handle.shared;
        {
            let mut queues = shared.queues();
            let mut machine = conversation.machine();
            let identity = machine.identity().ok_or(Error::TransactionEnded)?;
            machine.begin_staged(*number, generation, Instant::now())?;
            queues.batcher.begin_transaction(identity, generation == Generation::One);
            queues.aborting = false;
        }
        shared.changed.notify_one();
        Ok(())
    }

    /// What was staged is not begun: its sends fail from here on, and what it took is given up.
    pub(crate) fn give_up(&self) {
        self.sender.abandon();
    }
}
