//! Transactions: records to any number of partitions, and the offsets of what they were made of, that count together or not
//! at all.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Delivery, Producer, ProducerBuilder,
    ahead::{Next, Sealed},
    coordinator::Conversation,
    delivery::Settled,
    txn::{Generation, Outcome},
};
use crate::{
    cluster::Cluster,
    config::{Acks, ProducerConfig},
    error::{Error, Result},
    progress::{Consumed, GroupMetadata},
    record::Record,
};

/// Builds a [`TransactionalProducer`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TransactionalBuilder {
    id: Arc<str>,
    timeout: Duration,
    producer: ProducerBuilder,
}

impl TransactionalBuilder {
    pub(crate) fn new(cluster: Cluster, id: Arc<str>) -> Self {
        Self { id, timeout: Duration::from_secs(60), producer: ProducerBuilder::new(cluster) }
    }

    /// `transaction.timeout.ms`: how long a transaction may be open before its coordinator aborts it. The broker's
    /// `transaction.max.timeout.ms` (15 min) bounds it. Default 60 s.
    ///
    /// Readers with `read_committed` wait for open transactions, so this is also how long a producer that died holds them up.
    pub fn transaction_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Changes settings that every producer has. `max_block` also bounds each of [`TransactionalProducer::begin`],
    /// [`Transaction::commit`] and their kin.
    pub fn producer(mut self, change: impl FnOnce(ProducerBuilder) -> ProducerBuilder) -> Self {
        self.producer = change(self.producer);
        self
    }

    /// Replaces the settings that every producer has.
    pub fn config(self, config: ProducerConfig) -> Self {
        self.producer(|producer| producer.config(config))
    }

    /// `linger.ms`, see [`ProducerConfig::linger`]. A commit waits for no linger.
    pub fn linger(self, linger: Duration) -> Self {
        self.producer(|producer| producer.linger(linger))
    }

    /// Checks the settings, takes the transactional id over and ends what its last owner left open: that one is fenced from
    /// here on (Java's `initTransactions`). Tried until `max_block`.
    ///
    /// Dropping the future may leave the id taken over.
    pub async fn build(self) -> Result<TransactionalProducer> {
        let Self { id, timeout, producer } = self;
        let config = producer.settings();
        if id.is_empty() || id.len() > i16::MAX as usize {
            return Err(Error::config("transactional", "needs an id of 1 to 32767 bytes"));
        }
        if timeout.as_millis() == 0 || timeout.as_millis() > i32::MAX as u128 {
            return Err(Error::config("transaction_timeout", "must be 1 ms to 2147483647 ms"));
        }
        if config.acks != Acks::All || !config.is_idempotent() {
            return Err(Error::config(
                "idempotence",
                "is what transactions are made of: Acks::All, retries, 5 in flight",
            ));
        }
        let conversation = Conversation::new(id, producer.cluster().clone(), timeout, config.max_block);
        let conversation = Arc::new(conversation);
        let deadline = conversation.deadline();
        {
            let _turn = conversation.turn.lock().await;
            conversation.drive(deadline).await?;
        }
        let producer = producer.start(Some(Arc::clone(&conversation)))?;
        Ok(TransactionalProducer { inner: Arc::new(Inner { producer, conversation }) })
    }
}

/// Sends records in transactions, one at a time. Clones share one producer.
///
/// ```no_run
/// # async fn example(kafka: async_kafka::Kafka, consumer: async_kafka::Consumer) -> async_kafka::Result<()> {
/// use async_kafka::Record;
///
/// let producer = kafka.transactional("billing-1").build().await?;
/// while let Some(batch) = consumer.next_batch().await? {
///     let transaction = producer.begin().await?;
///     for order in batch.records() {
///         transaction.send(Record::to("bills").value(order.value().unwrap_or_default().to_vec())).await?;
///     }
///     transaction.send_offsets(&batch, &consumer.group_metadata()).await?;
///     transaction.commit().await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// That is the whole idea; [`Kafka::exactly_once`](crate::Kafka::exactly_once) is the loop that also survives what goes
/// wrong in it.
///
/// # Errors
///
/// - [`Error::requires_abort`]: the transaction can only be aborted, and another one begun.
/// - [`Error::is_fatal`]: the producer is of no further use. Most often another instance has the transactional id now
///   (`PRODUCER_FENCED`).
/// - [`Error::is_outcome_unknown`]: a commit may have happened. [`TransactionalProducer::resolve`] asks until it is known, or
///   never will be.
#[derive(Clone)]
pub struct TransactionalProducer {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) producer: Producer,
    pub(super) conversation: Arc<Conversation>,
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TransactionalProducer").field("id", &self.transactional_id()).finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    /// `transactional.id`.
    #[must_use]
    pub fn transactional_id(&self) -> &str {
        &self.inner.conversation.id
    }

    /// Begins a transaction. A transaction that was dropped without an end is aborted first, and a decision whose answer was
    /// lost is brought to its end.
    ///
    /// Fails if a transaction of this producer is open. Dropping the future is safe.
    pub async fn begin(&self) -> Result<Transaction> {
        self.settle().await?;
        let Inner { producer, conversation } = &*self.inner;
        let deadline = conversation.deadline();
        let _turn = conversation.turn.lock().await;
        conversation.drive(deadline).await?;
        let generation = conversation.generation(deadline).await?;
        let number = {
            let mut queues = producer.handle.shared.queues();
            let mut machine = conversation.machine();
            let identity = machine.identity().ok_or(Error::TransactionEnded)?;
            let number = machine.begin(generation, Instant::now());
            let number = number.ok_or_else(|| Error::config("begin", "was called while a transaction is open"))?;
            queues.batcher.begin_transaction(identity, generation == Generation::One);
            (queues.transaction, queues.aborting) = (Some(number), false);
            number
        };
        let sender = TransactionSender { inner: Arc::clone(&self.inner), number };
        Ok(Transaction::new(sender))
    }

    /// Brings to its end what an earlier transaction left behind. Dropping the future is safe.
    pub(crate) async fn settle(&self) -> Result<()> {
        let conversation = &self.inner.conversation;
        let open = conversation.machine().open();
        match open {
            Some((number, true)) => self.abort(number).await,
            Some(_) => Err(Error::config("begin", "was called while a transaction is open")),
            None => {
                let _turn = conversation.turn.lock().await;
                conversation.drive(conversation.deadline()).await
            }
        }
    }

    /// What became of the last transaction. A decision whose answer was lost is asked about again, with the same decision,
    /// until `max_block`; `None` if no transaction was ended yet.
    ///
    /// Fails with [`Error::is_outcome_unknown`] as long as it is open. If that error is not [retriable](Error::is_retriable),
    /// another call says the same at once, for the producer cannot learn it any more: it is fenced, or the coordinator has
    /// aborted the transaction or forgotten it meanwhile ([`Error::TransactionTimedOut`] is the cause). The committed offsets
    /// of the group tell, if the transaction had any.
    pub async fn resolve(&self) -> Result<Option<Outcome>> {
        let conversation = &self.inner.conversation;
        let deadline = conversation.deadline();
        let _turn = conversation.turn.lock().await;
        let driven = conversation.drive(deadline).await;
        let last = conversation.machine().last();
        match last {
            Some(Ok(outcome)) => Ok(Some(outcome)),
            Some(Err(error)) => Err(error),
            None => driven.map(|()| None),
        }
    }

    /// No more records are taken, and what was not sent never will be.
    fn stop_taking(&self) {
        let shared = &self.inner.producer.handle.shared;
        let waiting = {
            let mut queues = shared.queues();
            (queues.transaction, queues.aborting) = (None, true);
            queues.batcher.drain()
        };
        waiting.into_iter().for_each(|batch| batch.fail(Error::TransactionAborted));
        shared.changed.notify_one();
    }

    /// Waits until nothing is in flight.
    async fn settle_all(producer: &Producer) {
        loop {
            let unsettled = producer.wake_lingering();
            if unsettled.is_empty() {
                return;
            }
            for completion in unsettled {
                Settled::new(completion).await;
            }
            // The batch is settled a moment before the queues know it.
            tokio::task::yield_now().await;
        }
    }

    async fn abort(&self, number: u64) -> Result<()> {
        self.stop_taking();
        Self::settle_all(&self.inner.producer).await;
        self.end(number, false).await.map(|_| ())
    }

    async fn commit(&self, number: u64, sealed: Option<Sealed>) -> Result<()> {
        let sealed = match sealed {
            Some(sealed) => sealed,
            None => self.seal(number, Next::Later)?.0,
        };
        sealed.settled().await;
        match self.end(number, true).await? {
            Outcome::Committed => Ok(()),
            Outcome::Aborted => Err(Error::TransactionAborted),
        }
    }

    async fn end(&self, number: u64, committed: bool) -> Result<Outcome> {
        let Inner { producer, conversation } = &*self.inner;
        let deadline = conversation.deadline();
        let _turn = conversation.turn.lock().await;
        let broken = producer.handle.shared.queues().batcher.is_broken();
        conversation.machine().end(number, committed, broken)?;
        let driven = conversation.drive(deadline).await;
        let machine = conversation.machine();
        match (machine.last(), driven) {
            (Some(last), _) => last,
            (None, Err(error)) => Err(error),
            // The coordinator refused the commit, and the transaction is open to be aborted.
            (None, Ok(())) => Err(machine.check(number).err().unwrap_or(Error::TransactionEnded)),
        }
    }
}

/// An open transaction. It must be committed or aborted: one that is dropped takes no more records at once, and is aborted when
/// its producer is used next, or by its coordinator after `transaction.timeout.ms`. Until then readers with `read_committed`
/// do not get past it.
#[must_use = "a transaction that is dropped is aborted"]
#[derive(Debug)]
pub struct Transaction {
    pub(super) sender: TransactionSender,
    ended: bool,
    /// It takes no more records, and these are on their way.
    pub(super) sealed: Option<Sealed>,
}

impl Transaction {
    pub(super) fn new(sender: TransactionSender) -> Self {
        Self { sender, ended: false, sealed: None }
    }

    /// Hands over a record, as [`Producer::send`] does. It counts when the transaction is committed.
    ///
    /// Dropping the future is safe: the record was not taken. The deliveries need not be awaited: a commit fails if one of
    /// them did.
    pub async fn send(&self, record: Record) -> Result<Delivery> {
        self.sender.send(record).await
    }

    /// A handle that sends into this transaction, for other tasks. It is of no use when the transaction has ended.
    #[must_use]
    pub fn sender(&self) -> TransactionSender {
        self.sender.clone()
    }

    /// Commits the offsets of what was read together with what was sent, for the group (KIP-447). Fails with
    /// [`Error::PartitionLost`] if the partition was given to another member since it was read.
    ///
    /// If it fails, or its future is dropped, the transaction can only be aborted.
    pub async fn send_offsets(&self, read: impl Consumed + Send, group: &GroupMetadata) -> Result<()> {
        let TransactionSender { inner, number } = &self.sender;
        let conversation = &inner.conversation;
        conversation.machine().check(*number)?;
        let offsets = read.next_offsets();
        if offsets.is_empty() {
            return Ok(());
        }
        let mut unfinished = Unfinished { conversation, number: *number, error: None };
        let lost = offsets.iter().find(|next| !group.covers(next));
        let sent = match lost {
            Some(next) => {
                let partition = &next.partition;
                Err(Error::PartitionLost { topic: Arc::clone(&partition.topic), partition: partition.partition })
            }
            None => conversation.send_offsets(*number, &offsets, group).await,
        };
        let result = match sent {
            Ok(()) => Ok(()),
            Err(error) => Err(conversation.machine().on_failure(*number, error, Instant::now())),
        };
        unfinished.error.get_or_insert(());
        result
    }

    /// Sends what lingers, waits until everything is acknowledged, and makes it count. Tried until `max_block`.
    ///
    /// If it fails with [`Error::requires_abort`] nothing counts, and the transaction is aborted at the next use of the
    /// producer. If it fails with [`Error::is_outcome_unknown`], or its future is dropped, it may have happened:
    /// [`TransactionalProducer::resolve`] tells. It is never aborted after that.
    pub async fn commit(mut self) -> Result<()> {
        self.ended = true;
        let guard = Abandon { sender: &self.sender };
        let producer = TransactionalProducer { inner: Arc::clone(&self.sender.inner) };
        let result = producer.commit(self.sender.number, self.sealed.take()).await;
        drop(guard);
        result
    }

    /// Makes sure that nothing of it counts. Tried until `max_block`.
    ///
    /// Dropping the future leaves the rest to the next use of the producer.
    pub async fn abort(mut self) -> Result<()> {
        self.ended = true;
        let guard = Abandon { sender: &self.sender };
        let producer = TransactionalProducer { inner: Arc::clone(&self.sender.inner) };
        let result = producer.abort(self.sender.number).await;
        drop(guard);
        result
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            self.sender.abandon();
        }
    }
}

/// Whatever way an end is left, a transaction that is still open after it has no handle any more.
struct Abandon<'a> {
    sender: &'a TransactionSender,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        self.sender.abandon();
    }
}

/// Offsets of which nobody will know whether they arrived must not be committed.
struct Unfinished<'a> {
    conversation: &'a Conversation,
    number: u64,
    error: Option<()>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.error.is_none() {
            let given_up = Error::Closed { what: "call that sends offsets" };
            let failed = Error::TransactionFailed { cause: Arc::new(given_up) };
            self.conversation.machine().on_failure(self.number, failed, Instant::now());
        }
    }
}

/// Sends into one [`Transaction`], from any task.
#[derive(Clone)]
pub struct TransactionSender {
    pub(super) inner: Arc<Inner>,
    pub(super) number: u64,
}

impl fmt::Debug for TransactionSender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TransactionSender").field("transaction", &self.number).finish_non_exhaustive()
    }
}

impl TransactionSender {
    /// [`Transaction::send`]. Fails with [`Error::TransactionEnded`] once the transaction is being committed or aborted.
    pub async fn send(&self, record: Record) -> Result<Delivery> {
        let Inner { producer, conversation } = &*self.inner;
        conversation.machine().check(self.number)?;
        producer.send_in(record, Some(self.number)).await
    }

    /// Whether the transaction can still be committed; otherwise why not.
    pub(crate) fn check(&self) -> Result<()> {
        self.inner.conversation.machine().check(self.number)
    }

    pub(super) fn abandon(&self) {
        let Inner { producer, conversation } = &*self.inner;
        let mut queues = producer.handle.shared.queues();
        if queues.transaction == Some(self.number) {
            queues.transaction = None;
        }
        let is_staged = conversation.machine().unstage(self.number);
        let unsent = if is_staged { queues.batcher.drain_barred() } else { Vec::new() };
        drop(queues);
        unsent.into_iter().for_each(|batch| batch.fail(Error::TransactionAborted));
        conversation.machine().abandon(self.number);
    }
}
