//! What the sender does for transactions: adds partitions where that takes a request, and tells the state of the transaction
//! what went out, what was written and what failed.

use std::{sync::Arc, time::Duration};

use kafka_protocol::messages::ProduceRequest;
use tokio::time::Instant;

use super::{Done, Sender};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    producer::{
        batcher::{Batch, LaneId},
        txn::Generation,
    },
    record::TopicPartition,
    wire::{produce::IMPLICIT_ADD, versions::Api},
};

impl Sender {
    /// Adds the partitions that wait for it to the transaction, in the first generation. One request at a time, with all
    /// that came meanwhile in the next.
    pub(super) fn add_partitions(&mut self) {
        let Some(conversation) = &self.shared.conversation else { return };
        if self.adding {
            return;
        }
        let (wanted, transaction) = {
            let mut queues = self.shared.queues();
            let Some((number, _)) = conversation.machine().open() else { return };
            (queues.batcher.take_unadmitted(), number)
        };
        if wanted.is_empty() {
            return;
        }
        self.adding = true;
        let conversation = Arc::clone(conversation);
        self.work.push(Box::pin(async move {
            let partitions: Vec<_> =
                wanted.iter().map(|(_, topic, partition)| TopicPartition::new(Arc::clone(topic), *partition)).collect();
            let result = conversation.add_partitions(transaction, &partitions).await;
            Done::Added { lanes: wanted.into_iter().map(|(lane, ..)| lane).collect(), transaction, result }
        }));
    }

    pub(super) fn on_added(&mut self, lanes: Vec<LaneId>, transaction: u64, result: Result<()>) {
        self.adding = false;
        let Some(conversation) = &self.shared.conversation else { return };
        if conversation.machine().open().is_none_or(|(number, _)| number != transaction) {
            return;
        }
        match result {
            Ok(()) => {
                let mut queues = self.shared.queues();
                lanes.into_iter().for_each(|lane| queues.batcher.admit(lane));
            }
            Err(error) => {
                let error = conversation.machine().on_failure(transaction, error, Instant::now());
                // Nothing of the transaction is of use any more, and nobody shall wait for it.
                let waiting = self.shared.queues().batcher.drain();
                waiting.into_iter().for_each(|batch| batch.fail(error.clone()));
            }
        }
    }

    /// Settles a batch that is not sent again. A transaction that it was part of can only be aborted.
    pub(super) fn fail(&self, batch: Batch, error: Error) {
        self.count_failed(&batch, &error);
        if let Some(conversation) = &self.shared.conversation {
            conversation.machine().on_batch_failure(&error, Instant::now());
        }
        batch.fail(error);
    }

    /// A request with batches goes out: in the second generation it begins the transaction.
    pub(super) fn on_started(&self) {
        self.tell(|machine, number| machine.on_started(number));
    }

    /// A batch was written.
    pub(super) fn on_confirmed(&self) {
        self.tell(|machine, number| machine.on_confirmed(number));
    }

    fn tell(&self, what: impl FnOnce(&mut crate::producer::txn::Machine, u64)) {
        if let Some(conversation) = &self.shared.conversation {
            let mut machine = conversation.machine();
            if let Some((number, _)) = machine.open() {
                what(&mut machine, number);
            }
        }
    }

    pub(super) fn is_aborting(&self) -> bool {
        self.shared.conversation.is_some() && self.shared.queues().aborting
    }

    /// The highest version of Produce that means what the transaction means: from v12 on it adds partitions by itself.
    pub(super) fn transaction_cap(&self) -> i16 {
        let conversation = self.shared.conversation.as_ref();
        let generation = conversation.and_then(|conversation| conversation.machine().generation());
        if generation == Some(Generation::One) { IMPLICIT_ADD - 1 } else { ProduceRequest::MAX }
    }

    /// How long a batch waits that failed.
    pub(super) fn backoff(&self, failures: u32, code: Option<ErrorCode>) -> Duration {
        match &self.shared.conversation {
            Some(conversation) => conversation.machine().rules().wait(failures, code),
            None => self.cluster.config().retry_backoff.wait(failures),
        }
    }
}
