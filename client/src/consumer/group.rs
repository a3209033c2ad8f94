//! A consumer of the partitions that its group gives it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use super::{
    ConsumerBatch, ConsumerRecord, ConsumerStats, Offset,
    commits::{Commits, Offsets},
    member::requests::Identity,
    rebalance::Listener,
    shared::Shared,
};
use crate::{
    cluster::{Cluster, Lane},
    config::GroupConfig,
    error::{Error, Result},
    record::TopicPartition,
};

/// Receives the records of the partitions that its group gives it. Clones share one member of the group: a record goes to one
/// of them.
///
/// Three ways to commit. With `auto_commit_interval` (Java's default) the offsets of what the program is done with are
/// committed from time to time, at every rebalance and at the end; done with is what was given out before the program asked
/// for more, so with several clones that read side by side commit yourself. [`Consumer::commit_record`] and its kin commit
/// what they are told and wait for the group's answer. [`Consumer::recv_and_commit`] commits each record before it returns it.
///
/// When the last clone is dropped, the member leaves the group in the background, as long as the runtime lives.
/// [`Consumer::close`] waits for that.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) handle: Arc<Handle>,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) group: Arc<Group>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.group.close();
    }
}

/// An offset that a group committed for a partition: the next one to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The offset.
    pub offset: i64,
    /// The epoch of the leader that wrote the last record before it, where that is known.
    pub leader_epoch: Option<i32>,
    /// Whatever the program wrote beside it.
    pub metadata: String,
}

impl CommittedOffset {
    pub(crate) fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// What the handles, the driver and commits share.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cluster: Cluster,
    /// Commits do not stand behind a JoinGroup, which is answered when all members have joined.
    pub(crate) lane: Lane,
    pub(crate) commits: Commits,
    pub(super) listener: Option<Listener>,
    membership: Mutex<Membership>,
    polls: Mutex<Polls>,
    /// Wakes the driver.
    pub(super) changed: Notify,
    /// A commit was refused as if we were another member than we think.
    suspected: AtomicBool,
    /// The program is done with something.
    pub(super) progress: Notify,
    /// Partitions can be read that could not be before, or the consumer ends.
    pub(super) assigned: Notify,
    /// Why the member is out of the group for good.
    failed: OnceLock<Error>,
    pub(super) ended: watch::Sender<bool>,
}

/// The member as commits see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Membership {
    pub(crate) identity: Identity,
    pub(crate) is_member: bool,
    /// The generation may be another one in a moment.
    pub(crate) is_joining: bool,
    /// The member is one of the consumer protocol, so its generation is its epoch.
    pub(crate) has_epoch: bool,
}

#[derive(Debug)]
struct Polls {
    /// Calls that wait for records.
    waiting: usize,
    /// Calls that run streams of partitions, which then tell by themselves what they are at.
    streaming: usize,
    last: Instant,
}

impl Group {
    pub(super) fn new(config: GroupConfig, shared: Arc<Shared>, cluster: Cluster, listener: Option<Listener>) -> Self {
        let lane = cluster.lane();
        if config.commit_interval.is_some() {
            shared.positions().count_only_named();
        }
        Self {
            config,
            shared,
            cluster,
            lane,
            commits: Commits::default(),
            listener,
            membership: Mutex::default(),
            polls: Mutex::new(Polls { waiting: 0, streaming: 0, last: Instant::now() }),
            changed: Notify::new(),
            suspected: AtomicBool::new(false),
            progress: Notify::new(),
            assigned: Notify::new(),
            failed: OnceLock::new(),
            ended: watch::Sender::new(false),
        }
    }

    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// The coordinator sees this member otherwise than it sees itself: it has to ask.
    pub(crate) fn suspect(&self) {
        self.suspected.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn take_suspicion(&self) -> bool {
        self.suspected.swap(false, Ordering::AcqRel)
    }

    /// Gives out nothing more and lets the driver finish. What the program was given last is not done with.
    fn close(&self) {
        self.shared.close();
        // A rebalance need not wait for the program any more.
        self.progress.notify_waiters();
        self.assigned.notify_waiters();
        self.wake();
    }

    pub(crate) fn membership(&self) -> Membership {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_membership(&self, membership: Membership) {
        *self.membership.lock().unwrap_or_else(PoisonError::into_inner) = membership;
    }

    fn polls(&self) -> MutexGuard<'_, Polls> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the program asked for records last; `None` while it does. With streams of partitions it is the one that has been
    /// busy for longest.
    pub(super) fn last_poll(&self) -> Option<Instant> {
        let Polls { waiting, streaming, last } = *self.polls();
        if streaming > 0 {
            return self.shared.positions().busy_since();
        }
        (waiting == 0).then_some(last)
    }

    /// The program begins to run streams of partitions.
    pub(super) fn stream(&self) -> Streaming<'_> {
        self.polls().streaming += 1;
        self.wake();
        Streaming(self)
    }

    /// The program asks for more.
    pub(super) fn poll(&self) -> Polling<'_> {
        self.polls().waiting += 1;
        self.finish_given();
        self.wake();
        Polling(self)
    }

    /// The program takes more without being done with what it has.
    pub(super) fn reads_on(&self) {
        self.polls().last = Instant::now();
    }

    fn finish_given(&self) {
        if self.shared.positions().finish_given() {
            self.progress.notify_waiters();
        }
    }

    /// Whether a partition is ours.
    pub(crate) fn has(&self, partition: &TopicPartition) -> bool {
        self.shared.positions().slot(&partition.topic, partition.partition).is_some()
    }

    pub(crate) fn on_committed(&self, partition: &TopicPartition, offset: i64) {
        let mut positions = self.shared.positions();
        if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
            positions.on_committed(slot, offset);
        }
    }

    /// What the program is done with and is not committed, of those partitions that `which` chooses.
    pub(super) fn finished(&self, which: impl Fn(&TopicPartition) -> bool) -> Offsets {
        let positions = self.shared.positions();
        let mut offsets = Offsets::new();
        for (topic, partition, slot) in positions.assigned() {
            let partition = TopicPartition { topic: Arc::clone(topic), partition };
            if let Some((offset, leader_epoch)) = positions.to_commit(slot)
                && which(&partition)
            {
                let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
                offsets.insert(partition, CommittedOffset { leader_epoch, ..CommittedOffset::new(offset) });
            }
        }
        offsets
    }

    /// Why the member is out of the group for good.
    pub(super) fn failed(&self) -> Option<Error> {
        self.failed.get().cloned()
    }

    pub(super) fn fail(&self, error: Error) {
        let _ = self.failed.set(error);
        self.shared.arrived.notify_waiters();
        self.assigned.notify_waiters();
    }

    /// Commits now, or notes what is to be committed when `commit_interval` is over.
    async fn commit_or_store(&self, offsets: Offsets) -> Result<()> {
        if self.config.commit_interval.is_none() {
            return self.commit(offsets).await;
        }
        let mut positions = self.shared.positions();
        for (TopicPartition { topic, partition }, offset) in offsets {
            let Some(slot) = positions.slot(&topic, partition) else {
                return Err(Error::PartitionLost { topic, partition });
            };
            positions.store(slot, offset.offset, offset.leader_epoch.unwrap_or(-1));
        }
        Ok(())
    }

    /// An offset to be committed, unless we committed a later one of the partition: records that are done with out of order
    /// must not take the group back.
    fn forward(&self, offsets: &mut Offsets, partition: TopicPartition, offset: i64, leader_epoch: i32) {
        let positions = self.shared.positions();
        let slot = positions.slot(&partition.topic, partition.partition);
        let committed = slot.and_then(|slot| positions.committed(slot).max(positions.stored(slot)));
        drop(positions);
        let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
        let new = CommittedOffset { leader_epoch, ..CommittedOffset::new(offset) };
        let known = offsets.get(&partition).map(|known| known.offset).max(committed);
        if known.is_none_or(|known| known < offset) {
            offsets.insert(partition, new);
        }
    }
}

/// A call that runs streams.
pub(super) struct Streaming<'a>(&'a Group);

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        let mut polls = self.0.polls();
        polls.streaming -= 1;
        polls.last = Instant::now();
    }
}

/// A call that waits for records.
pub(super) struct Polling<'a>(&'a Group);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut polls = self.0.polls();
        polls.waiting -= 1;
        polls.last = Instant::now();
    }
}

impl Consumer {
    /// The next batch of some partition, or `None` after [`Consumer::close`]. Batches of a partition come in order. Asking
    /// tells that the program is done with what it was given before.
    ///
    /// An error about one partition does not stop the others' data. An error about the member, such as
    /// `FENCED_INSTANCE_ID`, comes at every call.
    ///
    /// Dropping the future is safe: nothing is lost and no position moves.
    pub async fn next_batch(&self) -> Result<Option<ConsumerBatch>> {
        self.next(Shared::take_batch).await
    }

    /// The next record of some partition, or `None` after [`Consumer::close`]: kafka-go's `FetchMessage`. Records of a
    /// partition come in order. [`Consumer::next_batch`] costs less per record.
    ///
    /// Dropping the future is safe.
    pub async fn recv(&self) -> Result<Option<ConsumerRecord>> {
        self.next(Shared::take_record).await
    }

    /// [`Consumer::recv`], and commits the record before it returns it: kafka-go's `ReadMessage`. If the program fails at the
    /// record, the group does not give it out again.
    ///
    /// Dropping the future may lose a record: it may be committed and not returned.
    pub async fn recv_and_commit(&self) -> Result<Option<ConsumerRecord>> {
        let Some(record) = self.recv().await? else { return Ok(None) };
        self.commit_record(&record).await?;
        Ok(Some(record))
    }

    /// All records as a [`Stream`](futures::Stream), until the consumer is closed or its member is out of the group for good;
    /// errors of a partition do not end it. Nothing is committed by it, besides what
    /// `auto_commit_interval` commits.
    pub fn stream(&self) -> impl futures::Stream<Item = Result<ConsumerRecord>> + Send + 'static {
        futures::stream::unfold(Some(self.clone()), async |consumer| {
            let consumer = consumer?;
            let record = consumer.recv().await.transpose()?;
            let goes_on = consumer.handle.group.failed().is_none();
            Some((record, goes_on.then_some(consumer)))
        })
    }

    async fn next<T>(&self, take: impl Fn(&Shared) -> Option<Result<T>>) -> Result<Option<T>> {
        let group = &self.handle.group;
        let _polling = group.poll();
        let failed = || group.failed().map(Err);
        group.shared.wait(|shared| failed().or_else(|| take(shared))).await
    }

    /// Commits that the program is done with a record and all before it in its partition, and waits for the group's answer:
    /// kafka-go's `CommitMessages`. A record before what was committed already changes nothing.
    ///
    /// With [`GroupConfig::commit_interval`] it does not wait, but is committed with others a moment later.
    ///
    /// Fails with [`Error::PartitionLost`] if the partition went to another member. Commits are tried again until
    /// `default.api.timeout`. Dropping the future leaves open whether the offset is committed.
    pub async fn commit_record(&self, record: &ConsumerRecord) -> Result<()> {
        self.commit_records(std::iter::once(record)).await
    }

    /// [`Consumer::commit_record`] of many records with one request.
    pub async fn commit_records(&self, records: impl IntoIterator<Item = &ConsumerRecord>) -> Result<()> {
        let mut offsets = Offsets::new();
        for record in records {
            let partition = TopicPartition::new(record.topic(), record.partition());
            self.handle.group.forward(&mut offsets, partition, record.offset() + 1, -1);
        }
        self.handle.group.commit_or_store(offsets).await
    }

    /// Commits that the program is done with a batch. As [`Consumer::commit_record`].
    pub async fn commit(&self, batch: &ConsumerBatch) -> Result<()> {
        let mut offsets = Offsets::new();
        let partition = TopicPartition::new(batch.topic(), batch.partition());
        self.handle.group.forward(&mut offsets, partition, batch.next_offset(), batch.leader_epoch());
        self.handle.group.commit_or_store(offsets).await
    }

    /// Commits any offsets of partitions that the member has, be they before or after what was committed.
    pub async fn commit_offsets(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, CommittedOffset)>,
    ) -> Result<()> {
        self.handle.group.commit(offsets.into_iter().collect()).await
    }

    /// Marks a record as done with: it is committed with the next automatic commit, not now (librdkafka's
    /// `store_offset`).
    pub fn store_record(&self, record: &ConsumerRecord) -> Result<()> {
        let offset = record.offset() + 1;
        self.handle.group.shared.change(record.topic(), record.partition(), |positions, slot| {
            positions.store(slot, offset, -1);
        })
    }

    /// What the group has committed for a partition, asked of the group. `None` if nothing.
    ///
    /// Dropping the future is safe.
    pub async fn committed(&self, topic: &str, partition: i32) -> Result<Option<CommittedOffset>> {
        let group = &self.handle.group;
        let deadline = Instant::now() + group.cluster.config().api_timeout;
        let partition = TopicPartition::new(topic, partition);
        let mut committed = group.fetch_committed(std::slice::from_ref(&partition), deadline).await?;
        Ok(committed.remove(&partition).flatten())
    }

    /// The partitions that the member has now.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        let positions = self.handle.group.shared.positions();
        let assigned =
            positions.assigned().map(|(topic, partition, _)| TopicPartition::new(Arc::clone(topic), partition));
        let mut assigned: Vec<_> = assigned.collect();
        assigned.sort_unstable();
        assigned
    }

    /// The next offset that the program gets. `None` while it is being looked up.
    pub fn position(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        self.handle.group.shared.position(topic, partition)
    }

    /// How many offsets are between the position and the end of the log, as of the last fetch. `None` before the first one.
    #[must_use]
    pub fn lag(&self, topic: &str, partition: i32) -> Option<i64> {
        let positions = self.handle.group.shared.positions();
        positions.lag(positions.slot(topic, partition)?)
    }

    /// What the consumer has done so far, in numbers.
    #[must_use]
    pub fn stats(&self) -> ConsumerStats {
        self.handle.group.shared.stats()
    }

    /// Moves a partition. What was fetched of it before is dropped. Nothing is committed by it.
    pub fn seek(&self, topic: &str, partition: i32, offset: Offset) -> Result<()> {
        if matches!(offset, Offset::At(..0)) {
            return Err(Error::config("seek", "goes to a negative offset"));
        }
        self.handle.group.shared.change(topic, partition, |positions, slot| positions.seek(slot, offset))
    }

    /// Stops giving out and fetching a partition, and keeps its position. Its pause ends when it goes to another member.
    pub fn pause(&self, topic: &str, partition: i32) -> Result<()> {
        self.handle.group.shared.change(topic, partition, |positions, slot| positions.pause(slot, true))
    }

    /// Ends [`Consumer::pause`].
    pub fn resume(&self, topic: &str, partition: i32) -> Result<()> {
        self.handle.group.shared.change(topic, partition, |positions, slot| positions.pause(slot, false))
    }

    /// Ends the consumer for all clones: waiting calls return `None`, what the program was given counts as done with and is
    /// committed if commits are automatic, the partitions are given back and the member leaves the group (a static one stays
    /// in it). Fails with [`Error::Timeout`] if that takes longer than `limit`; it goes on in the background.
    ///
    /// Dropping the future leaves the consumer closed, and the rest goes on in the background.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        let group = &self.handle.group;
        group.finish_given();
        group.close();
        let mut ended = group.ended.subscribe();
        match timeout(limit, ended.wait_for(|ended| *ended)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Timeout { what: "closing a consumer", limit }),
        }
    }
}
