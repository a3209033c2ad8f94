//! The loop from topics to topics: it owns the transactions, so that a program owns only what it does with records.
//!
//! One turn: batches that are there are read, the function is called for each, their offsets join what it sent, and all of it
//! is committed. One more turn is taken meanwhile, unless the loop is not to overlap, or a partition has to go already, which
//! waits for the commit. Whatever fails on the way aborts the transaction and moves the positions back to where the turn began,
//! and so those of the turn that was taken meanwhile, as far as the partitions are still ours; those that are not begin,
//! wherever they are now, at the offset that was committed last.

mod side;
mod turn;

use std::{collections::HashMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::FutureExt;

use self::turn::{Committed, Hand, Means, Undone};
use crate::{
    consumer::{Consumer, ConsumerBatch},
    error::Error,
    producer::{TransactionSender, TransactionalProducer},
    progress::NextOffset,
    record::TopicPartition,
    retry::Backoff,
};

/// An error of the program's function.
type ProgramError = Box<dyn std::error::Error + Send + Sync>;
type Decide = Box<dyn Fn(&Failure<'_>) -> OnError + Send + Sync>;

/// What to do when the program's function fails. In every case its transaction is aborted first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnError {
    /// End the loop with the error. The default.
    Stop,
    /// Read the batch again, after a backoff, and call the function again.
    Retry,
    /// Read the batch again and send its records as they are to this topic, in place of calling the function, in the
    /// transaction that also moves the offsets beyond them. Headers tell where they came from (`dead-letter.topic`,
    /// `dead-letter.partition`, `dead-letter.offset`) and why (`dead-letter.error`).
    DeadLetter(Arc<str>),
    /// The same for single records: from here on the function is called for the records of this batch one at a time, each as a
    /// batch of its own, and those at which it fails again are what goes to the topic. What to do about each of them is asked
    /// anew. All of it is one transaction still, with the offsets of the whole batch; every record that fails costs one
    /// transaction that is aborted.
    DeadLetterRecords(Arc<str>),
}

/// A failure of the program's function.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// What the function returned.
    pub error: &'a (dyn std::error::Error + Send + Sync + 'static),
    /// What it was called with.
    pub batch: &'a ConsumerBatch,
    /// How often it failed at this batch in a row, this time included. A record that is tried by itself has its own count.
    pub attempts: u32,
}

/// Why the loop ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExactlyOnceError {
    /// The consumer or the producer cannot go on. The transaction that was open is aborted, or was never committed, unless
    /// [`Error::is_outcome_unknown`] says otherwise. In all cases another loop of the same group goes on exactly where the
    /// group's committed offsets are, which is right whatever became of it.
    #[error(transparent)]
    Kafka(#[from] Error),
    /// The program's function failed, and [`OnError::Stop`] was what to do. Its transaction is aborted.
    #[error("the function failed, its transaction is aborted: {0}")]
    Program(#[source] ProgramError),
}

/// A loop that is about to run. Made by [`Kafka::exactly_once`](crate::Kafka::exactly_once).
///
/// ```no_run
/// # async fn example(kafka: async_kafka::Kafka) -> Result<(), Box<dyn std::error::Error>> {
/// use async_kafka::{IsolationLevel, OnError, Record};
///
/// let orders = kafka.consumer("billing").topics(["orders"]);
/// let orders = orders.auto_commit_interval(None).isolation(IsolationLevel::ReadCommitted).build().await?;
/// let bills = kafka.transactional("billing-1").build().await?;
/// kafka
///     .exactly_once(orders, bills)
///     .on_error(|failure| if failure.attempts < 3 { OnError::Retry } else { OnError::DeadLetter("bad-orders".into()) })
///     .for_each_batch(|batch, transaction| async move {
///         for order in batch.records() {
///             let total = std::str::from_utf8(order.value().unwrap_or_default())?.parse::<u64>()?;
///             transaction.send(Record::to("bills").value(total.to_string())).await?;
///         }
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
///     })
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// What the function does besides sending is done again when a transaction is aborted: an effect elsewhere needs to be
/// idempotent, or to keep its own offsets.
#[must_use = "the loop runs when `for_each_batch` is awaited"]
pub struct ExactlyOnce {
    means: Means,
    /// The function is called for what comes next while a transaction is committed.
    overlaps: bool,
    decide: Decide,
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What failed, until it is committed.
    failed: HashMap<Place, Failed>,
    failures_in_a_row: u32,
    /// What reading on came to, to be told when everything before it is committed.
    unread: Option<Error>,
}

/// A batch at which the function failed, or a record of one that is tried record by record.
#[derive(Default)]
struct Failed {
    attempts: u32,
    /// Where it is to go, and the last error's words.
    dead_letter: Option<(Arc<str>, String)>,
    /// It is tried record by record.
    by_record: bool,
}

/// Where something is that the function was called with, by which it is known again.
#[derive(PartialEq, Eq, Hash)]
struct Place {
    partition: TopicPartition,
    offset: i64,
    extent: Extent,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Extent {
    Batch,
    /// One record of a batch that is tried record by record.
    Record,
}

impl fmt::Debug for ExactlyOnce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ExactlyOnce").field("producer", &self.means.producer).finish_non_exhaustive()
    }
}

impl ExactlyOnce {
    /// How long leaving the group may take at the end.
    const CLOSE_LIMIT: Duration = Duration::from_secs(30);

    pub(crate) fn new(consumer: Consumer, producer: TransactionalProducer, backoff: Backoff) -> Self {
        Self {
            means: Means { consumer, producer, max_records: 1000, backoff },
            overlaps: true,
            decide: Box::new(|_| OnError::Stop),
            until: Box::pin(std::future::pending()),
            failed: HashMap::new(),
            failures_in_a_row: 0,
            unread: None,
        }
    }

    /// A transaction takes batches that are there already, until it has so many records. More make it cheaper, and longer
    /// until readers see them. Default 1000.
    pub fn transaction_records(mut self, records: u64) -> Self {
        self.means.max_records = records;
        self
    }

    /// Whether the function is called for what comes next while a transaction is being committed, instead of after it. That
    /// hides the round trips of a commit behind the function's work. Default true. Kafka has no such property.
    ///
    /// A transaction still begins when the one before it is committed: until then what the function sends is encoded, waits in
    /// `buffer.memory`, and goes nowhere. If the commit fails, none of it ever does, its sends and deliveries fail, and both
    /// transactions are done again, in their order. So everything that is promised of the result holds as without it, and
    /// the function is called for one batch at a time still, in the order of each partition. Nobody but the function itself
    /// can tell the two apart, which is why it is the default: without it a loop waits while its commits are on their way.
    ///
    /// What it costs:
    ///
    /// - A commit that fails takes the work of two transactions along, not of one, and so may a program that is killed.
    /// - When the function is called, what it was called with before may not be committed: what it reads of the output, or
    ///   of the group's offsets, may be one transaction behind.
    /// - A [`Delivery`](crate::Delivery) that the function awaits takes as long as the commit before it, and a send that finds
    ///   `buffer.memory` full waits for that as well, for `max.block.ms` at most. What waits ages by `delivery.timeout.ms`.
    /// - A partition that has to go to another member waits for up to two transactions, and so does a shutdown.
    /// - A function that computes without awaiting anything lets no commit go on meanwhile, so nothing is gained.
    ///
    /// After a failure of the function there is no overlap until what failed is committed.
    pub fn overlap(mut self, overlaps: bool) -> Self {
        self.overlaps = overlaps;
        self
    }

    /// What to do when the function fails. Default [`OnError::Stop`]. It is not asked when a transaction fails of itself: that
    /// is tried again, with `retry.backoff.ms` growing up to `retry.backoff.max.ms`, until it succeeds or cannot.
    pub fn on_error(mut self, decide: impl Fn(&Failure<'_>) -> OnError + Send + Sync + 'static) -> Self {
        self.decide = Box::new(decide);
        self
    }

    /// Ends the loop when this future does: the transaction in hand is finished, then the consumer is closed.
    pub fn until(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.until = Box::pin(shutdown);
        self
    }

    /// Runs until [`ExactlyOnce::until`], until the consumer is closed, or until it cannot go on.
    ///
    /// The function is called for each batch, in the order of each partition, one call at a time. What it sends into the
    /// transaction counts together with the offset of the batch.
    ///
    /// Dropping the future drops the transaction in hand: it is aborted by the producer's next use, or by its timeout.
    pub async fn for_each_batch<F, Fut, E>(mut self, function: F) -> Result<(), ExactlyOnceError>
    where
        F: Fn(ConsumerBatch, TransactionSender) -> Fut + Send + Sync,
        Fut: Future<Output = Result<(), E>> + Send,
        E: Into<ProgramError>,
    {
        self.means.consumer.suits_transactions()?;
        loop {
            let batch = tokio::select! {
                biased;
                () = &mut self.until => {
                    self.means.consumer.close(Self::CLOSE_LIMIT).await?;
                    return Ok(());
                }
                batch = self.means.consumer.next_batch() => batch?,
            };
            let Some(batch) = batch else { return Ok(()) };
            let hand = self.means.gather(batch)?;
            if let Err((undone, starts)) = self.turns(hand, &function).await {
                self.recover(undone, &starts).await?;
            }
            if let Some(error) = self.unread.take() {
                return Err(error.into());
            }
        }
    }

    /// One transaction, and those that follow without a pause between them. If one of them is undone, says where everything
    /// begins that is not committed.
    async fn turns<F, Fut, E>(&mut self, mut hand: Hand, function: &F) -> Result<(), (Undone, Vec<NextOffset>)>
    where
        F: Fn(ConsumerBatch, TransactionSender) -> Fut + Send + Sync,
        Fut: Future<Output = Result<(), E>> + Send,
        E: Into<ProgramError>,
    {
        let begun = self.means.begin(&hand, &self.failed, function).await;
        let mut transaction = begun.map_err(|undone| (undone, hand.starts.clone()))?;
        while let Some(next) = self.read_on() {
            // Boxed: it holds two transactions, and a loop that does not overlap need not be so large.
            let turned = Box::pin(self.means.turn(transaction, &hand, &next, &self.failed, function)).await;
            let (committed, begun) = turned.map_err(|undone| (undone, [&*hand.starts, &next.starts].concat()))?;
            self.on_committed(committed);
            transaction = begun.map_err(|undone| (undone, next.starts.clone()))?;
            hand = next;
        }
        let committed = self.means.commit(transaction, &hand.batches).await;
        self.on_committed(committed.map_err(|undone| (undone, hand.starts))?);
        Ok(())
    }

    fn on_committed(&mut self, Committed: Committed) {
        self.failures_in_a_row = 0;
        self.failed.clear();
    }

    /// What is there to be worked at while the transaction in hand is committed. Nothing if somebody waits for that commit, or
    /// if something failed that has to be watched.
    fn read_on(&mut self) -> Option<Hand> {
        let consumer = &self.means.consumer;
        if !self.overlaps || !self.failed.is_empty() || consumer.is_waited_for() {
            return None;
        }
        if (&mut self.until).now_or_never().is_some() {
            self.until = futures::future::ready(()).boxed();
            return None;
        }
        let first = consumer.try_next_batch()?;
        consumer.reads_on();
        let hand = first.and_then(|first| self.means.gather(first));
        hand.map_err(|error| self.unread = Some(error)).ok()
    }

    /// Aborts, goes back to where the turn began, and finds out whether to go on.
    async fn recover(&mut self, undone: Undone, starts: &[NextOffset]) -> Result<(), ExactlyOnceError> {
        rewind(starts, |start| self.means.consumer.rewind(start));
        let mut stop = None;
        let is_unknown = matches!(undone, Undone::Unknown(_));
        match undone {
            Undone::Fatal(error) => return Err(error.into()),
            Undone::Unknown(error) => tracing::warn!(%error, "going on at the group's committed offsets"),
            Undone::Again(error) => tracing::warn!(%error, "the transaction is aborted and done again"),
            Undone::Program { at, batch, error } => stop = self.judge(at, &batch, error),
        }
        self.failures_in_a_row += 1;
        while let Err(error) = self.means.producer.settle().await {
            if error.is_fatal() || !error.is_retriable() && !error.requires_abort() || stop.is_some() {
                return Err(stop.map_or_else(|| error.into(), ExactlyOnceError::Program));
            }
            tracing::warn!(%error, "the transaction is not aborted yet");
            if self.pause().await {
                return Ok(());
            }
            self.failures_in_a_row += 1;
        }
        if let Some(error) = stop {
            return Err(ExactlyOnceError::Program(error));
        }
        if is_unknown {
            return self.follow_the_group(starts).await;
        }
        self.pause().await;
        Ok(())
    }

    /// Goes on where the group is: after an outcome that nobody knows. The transaction has ended, for the producer has begun anew.
    async fn follow_the_group(&mut self, starts: &[NextOffset]) -> Result<(), ExactlyOnceError> {
        for start in starts {
            let TopicPartition { topic, partition } = &start.partition;
            let committed = loop {
                match self.means.consumer.committed(topic, *partition).await {
                    Ok(committed) => break committed,
                    Err(error) if !error.is_retriable() => return Err(error.into()),
                    Err(error) => tracing::warn!(%error, "the group's offsets are not known yet"),
                }
                if self.pause().await {
                    return Ok(());
                }
            };
            if let Some(committed) = committed {
                self.means.consumer.rewind(&NextOffset { offset: committed.offset, ..start.clone() });
            }
        }
        Ok(())
    }

    /// Waits after a failure. `true` if the loop is to end.
    async fn pause(&mut self) -> bool {
        let wait = self.means.backoff.wait(self.failures_in_a_row);
        tokio::select! {
            biased;
            () = &mut self.until => {
                self.until = futures::future::ready(()).boxed();
                true
            }
            () = tokio::time::sleep(wait) => false,
        }
    }

    /// What to do about a failure of the function: its error again if the loop is to stop.
    fn judge(&mut self, at: Place, batch: &ConsumerBatch, error: ProgramError) -> Option<ProgramError> {
        let attempts = self.failed.get(&at).map_or(0, |failed| failed.attempts) + 1;
        let mut failed = Failed { attempts, ..Failed::default() };
        match (self.decide)(&Failure { error: &*error, batch, attempts }) {
            OnError::Stop => return Some(error),
            OnError::Retry => {}
            OnError::DeadLetterRecords(_) if at.extent == Extent::Batch => failed.by_record = true,
            OnError::DeadLetter(topic) | OnError::DeadLetterRecords(topic) => {
                failed.dead_letter = Some((topic, error.to_string()));
            }
        }
        tracing::warn!(partition = %at.partition, offset = at.offset, attempts, %error, "the function failed");
        self.failed.insert(at, failed);
        None
    }
}

/// Goes back to where the first batch of each partition begins. `go_back` says whether it did: not to what was read under an
/// assignment that is over, for the partition may have come back and been read again, from what was committed.
fn rewind(starts: &[NextOffset], mut go_back: impl FnMut(&NextOffset) -> bool) {
    #[cfg(planted_bugs)]
    if crate::planted::is("no-rewind") {
        return;
    }
    let mut rewound: Vec<&TopicPartition> = Vec::new();
    for start in starts {
        if !rewound.contains(&&start.partition) && go_back(start) {
            rewound.push(&start.partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_came_back_is_rewound_to_what_was_read_since() {
        let partition = |number| TopicPartition::new("t", number);
        let read = |number, offset, assignment| NextOffset {
            assignment: Some(assignment),
            ..NextOffset::new(partition(number), offset)
        };
        // The first partition was lost with assignment 1 and came back with 2; of the last nothing was read since.
        let starts =
            [read(0, 0, 1), read(1, 40, 2), read(0, 4, 1), read(0, 0, 2), read(1, 44, 2), read(0, 4, 2), read(2, 7, 1)];
        let mut rewound = Vec::new();
        rewind(&starts, |start| {
            let still_has = start.assignment == Some(2);
            rewound.extend(still_has.then_some((start.partition.partition, start.offset)));
            still_has
        });
        assert_eq!(rewound, [(1, 40), (0, 0)]);
    }
}
