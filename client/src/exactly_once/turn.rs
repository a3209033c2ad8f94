//! One transaction of the loop: the function is called, offsets join what it sent, and all of it is committed, perhaps while
//! the function is called for the next.

use std::{collections::HashMap, future::Future, sync::Arc};

use super::{Extent, Failed, Place, ProgramError, side::with_priority};
use crate::{
    consumer::{Consumer, ConsumerBatch},
    error::{Error, Result},
    producer::{Outcome, Transaction, TransactionSender, TransactionalProducer},
    progress::NextOffset,
    record::{Header, Record},
    retry::Backoff,
};

pub(super) type Failures = HashMap<Place, Failed>;

/// What transactions are made with.
pub(super) struct Means {
    pub(super) consumer: Consumer,
    pub(super) producer: TransactionalProducer,
    pub(super) max_records: u64,
    pub(super) backoff: Backoff,
}

/// What one transaction is made of.
pub(super) struct Hand {
    pub(super) batches: Vec<ConsumerBatch>,
    /// Where each of them begins.
    pub(super) starts: Vec<NextOffset>,
}

/// A transaction is committed.
pub(super) struct Committed;

/// How a turn ended that did not commit.
pub(super) enum Undone {
    /// Again, after a backoff.
    Again(Error),
    /// The function failed.
    Program {
        at: Place,
        batch: ConsumerBatch,
        error: ProgramError,
    },
    Fatal(Error),
    /// Nobody can say any more whether it was committed, but the group's committed offsets.
    Unknown(Error),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        if error.is_fatal() { Self::Fatal(error) } else { Self::Again(error) }
    }
}

impl Means {
    /// What else is there already, up to the size of a transaction.
    pub(super) fn gather(&self, first: ConsumerBatch) -> Result<Hand> {
        let offsets = |batch: &ConsumerBatch| batch.next_offset().abs_diff(batch.start().offset);
        let mut records = offsets(&first);
        let mut batches = vec![first];
        while records < self.max_records
            && let Some(batch) = self.consumer.try_next_batch()
        {
            let batch = batch?;
            records += offsets(&batch);
            batches.push(batch);
        }
        let starts = batches.iter().map(ConsumerBatch::start).collect();
        Ok(Hand { batches, starts })
    }

    /// Begins a transaction and calls the function for all that is in hand.
    pub(super) async fn begin<F, Fut, E>(
        &self,
        hand: &Hand,
        failed: &Failures,
        function: &F,
    ) -> Result<Transaction, Undone>
    where
        F: Fn(ConsumerBatch, TransactionSender) -> Fut + Send + Sync,
        Fut: Future<Output = Result<(), E>> + Send,
        E: Into<ProgramError>,
    {
        let transaction = self.producer.begin().await?;
        call(hand, &transaction, failed, function).await?;
        Ok(transaction)
    }

    /// Commits a transaction and meanwhile calls the function for the next one, which begins when that is done. Fails if the
    /// commit does: then nothing of the next one is left.
    pub(super) async fn turn<F, Fut, E>(
        &self,
        mut transaction: Transaction,
        hand: &Hand,
        next: &Hand,
        failed: &Failures,
        function: &F,
    ) -> Result<(Committed, Result<Transaction, Undone>), Undone>
    where
        F: Fn(ConsumerBatch, TransactionSender) -> Fut + Send + Sync,
        Fut: Future<Output = Result<(), E>> + Send,
        E: Into<ProgramError>,
    {
        let staged = transaction.seal()?;
        let committing = async {
            // The offsets come after the records: two requests that add to a transaction at once are refused now and then
            // (CONCURRENT_TRANSACTIONS), which costs more than the round trip that is hidden here.
            transaction.settled().await;
            let committed = self.commit(transaction, &hand.batches).await;
            let begun = if committed.is_ok() { staged.begin_staged().await } else { Ok(()) };
            if committed.is_err() || begun.is_err() {
                // The function shall not go on for nothing, or wait for room that what is staged has taken.
                staged.give_up();
            }
            (committed, begun)
        };
        let ((committed, begun), called) = with_priority(committing, call(next, &staged, failed, function)).await;
        let committed = committed?;
        let begun = begun.map_err(Undone::from).and(called);
        Ok((committed, begun.map(|()| staged)))
    }

    /// Makes the offsets part of a transaction and commits it.
    pub(super) async fn commit(
        &self,
        transaction: Transaction,
        batches: &[ConsumerBatch],
    ) -> Result<Committed, Undone> {
        #[cfg(planted_bugs)]
        if crate::planted::is("offsets-outside") {
            for batch in batches {
                self.consumer.commit(batch).await?;
            }
            transaction.commit().await?;
            return Ok(Committed);
        }
        transaction.send_offsets(batches, &self.consumer.group_metadata()).await?;
        match transaction.commit().await {
            Err(error) if error.is_outcome_unknown() => self.resolve(error).await?,
            committed => committed?,
        }
        Ok(Committed)
    }

    /// Asks for the outcome of a commit until it is known, or can never be.
    async fn resolve(&self, mut error: Error) -> Result<(), Undone> {
        let mut failures = 0;
        loop {
            if error.is_fatal() || self.consumer.is_closed() {
                return Err(Undone::Fatal(error));
            }
            failures += 1;
            tracing::warn!(%error, "asking again whether the transaction was committed");
            tokio::time::sleep(self.backoff.wait(failures)).await;
            match self.producer.resolve().await {
                Ok(Some(Outcome::Committed)) => return Ok(()),
                Ok(_) => return Err(Undone::Again(Error::TransactionAborted)),
                Err(never) if never.is_outcome_unknown() && !never.is_retriable() => {
                    return Err(if never.is_fatal() { Undone::Fatal(never) } else { Undone::Unknown(never) });
                }
                Err(still) if still.is_outcome_unknown() => error = still,
                Err(other) => return Err(other.into()),
            }
        }
    }
}

/// Calls the function for all that is in hand.
async fn call<F, Fut, E>(hand: &Hand, transaction: &Transaction, failed: &Failures, function: &F) -> Result<(), Undone>
where
    F: Fn(ConsumerBatch, TransactionSender) -> Fut + Send + Sync,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<ProgramError>,
{
    for (batch, start) in hand.batches.iter().zip(&hand.starts) {
        for (part, at) in parts(batch, start, failed) {
            let sender = transaction.sender();
            if let Some((topic, why)) = failed.get(&at).and_then(|failed| failed.dead_letter.as_ref()) {
                bury(&part, &sender, topic, why).await?;
                continue;
            }
            if let Err(error) = function(part.clone(), sender.clone()).await {
                // When the transaction failed, that is what the function could not go on from.
                sender.check()?;
                return Err(Undone::Program { at, batch: part, error: error.into() });
            }
        }
    }
    Ok(())
}

/// What the function is called with for a batch: the batch, or its records one by one.
fn parts(batch: &ConsumerBatch, start: &NextOffset, failed: &Failures) -> Vec<(ConsumerBatch, Place)> {
    let place = |offset, extent| Place { partition: start.partition.clone(), offset, extent };
    let whole = place(start.offset, Extent::Batch);
    match failed.get(&whole) {
        Some(failed) if failed.by_record => {
            let records = batch.single_records();
            records.map(|(offset, record)| (record, place(offset, Extent::Record))).collect()
        }
        _ => vec![(batch.clone(), whole)],
    }
}

/// Sends the records of a batch as they are to another topic.
async fn bury(batch: &ConsumerBatch, sender: &TransactionSender, topic: &Arc<str>, why: &str) -> Result<()> {
    for record in batch.records() {
        let headers = record
            .headers()
            .map(|(key, value)| Header { key: key.to_owned(), value: value.map(bytes::Bytes::copy_from_slice) });
        let mut letter = Record::to(Arc::clone(topic)).timestamp(record.timestamp());
        (letter.key, letter.value) = (record.key_bytes(), record.value_bytes());
        letter.headers = headers.collect();
        let letter = letter
            .header("dead-letter.topic", record.topic().to_owned())
            .header("dead-letter.partition", record.partition().to_string())
            .header("dead-letter.offset", record.offset().to_string())
            .header("dead-letter.error", why.to_owned());
        sender.send(letter).await?;
    }
    Ok(())
}
