//! The task of a group's member: does what [`Classic`] says, and tells it what came of it.
//!
//! JoinGroup, SyncGroup and heartbeats have connections of their own; commits, OffsetFetch and LeaveGroup go by the group's
//! lane, because a broker answers a JoinGroup only when all members have joined.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    Failure,
    classic::{Classic, Joined, NO_GENERATION, Rules, Step},
    requests::{self, Identity},
};
use crate::{
    cluster::Lane,
    codes::ErrorCode,
    config::{Assignor, OffsetReset},
    consumer::{
        Offset,
        assignor::Member,
        group::{CommittedOffset, Group, Membership},
        rebalance::{Rebalance, RebalanceKind},
    },
    error::Error,
    record::TopicPartition,
};

pub(crate) struct Driver {
    group: Arc<Group>,
    lane: Arc<Lane>,
    member: Classic,
    topics: BTreeSet<Arc<str>>,
    /// The partitions that the last assignment was made of, if we made it.
    assigned_counts: Option<BTreeMap<Arc<str>, i32>>,
    /// Topics of all members, as the leader learned them.
    group_topics: BTreeSet<Arc<str>>,
    assignor: Option<Assignor>,
    next_refresh: Instant,
    refreshing: bool,
    next_commit: Option<Instant>,
    committing: bool,
    ended: bool,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
}

type Assignments = Vec<(String, Vec<TopicPartition>)>;

/// What came back.
enum Done {
    Released,
    Joined(Result<Joined, Failure>),
    Assigned(Result<(Assignments, BTreeMap<Arc<str>, i32>), Failure>),
    Synced(Result<Bytes, Failure>),
    Beaten { generation_id: i32, result: Result<(), Failure> },
    Left,
    Adopted(Vec<TopicPartition>),
    Committed,
    Refreshed,
}

impl Driver {
    /// While a subscribed topic does not exist, it is looked for this often.
    const MISSING_TOPIC_REFRESH: Duration = Duration::from_secs(1);

    pub(crate) fn new(group: Arc<Group>, topics: BTreeSet<Arc<str>>) -> Self {
        let now = Instant::now();
        let rules = Rules {
            assignors: group.config.assignors.clone(),
            is_static: group.config.group_instance_id.is_some(),
            heartbeat_interval: group.config.heartbeat_interval,
            backoff: group.cluster.config().retry_backoff,
        };
        let lane = Arc::new(group.cluster.lane());
        let next_commit = group.config.auto_commit_interval.map(|interval| now + interval);
        Self {
            member: Classic::new(rules, topics.clone(), now),
            group,
            lane,
            topics,
            assigned_counts: None,
            group_topics: BTreeSet::new(),
            assignor: None,
            next_refresh: now,
            refreshing: false,
            next_commit,
            committing: false,
            ended: false,
            work: FuturesUnordered::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.watch(now);
            while let Some(step) = self.member.step(now) {
                self.perform(step);
            }
            if self.ended {
                return self.group.ended.send_modify(|ended| *ended = true);
            }
            self.publish();
            self.commit(now);
            self.refresh(now);
            let deadline = self.next_deadline();
            tokio::select! {
                Some(done) = self.work.next(), if !self.work.is_empty() => self.on_done(done),
                () = self.group.changed.notified() => {}
                () = sleep_until(deadline) => {}
            }
            while let Some(Some(done)) = self.work.next().now_or_never() {
                self.on_done(done);
            }
        }
    }

    /// When there is something to do. What is under way already is not waited for by the clock.
    fn next_deadline(&self) -> Instant {
        let last_poll = self.group.last_poll().filter(|_| self.member.is_stable());
        let poll = last_poll.map(|last| last + self.group.config.max_poll_interval);
        let refresh = (!self.refreshing).then_some(self.next_refresh);
        let commit = self.next_commit.filter(|_| !self.committing);
        let others = [self.member.next_deadline(), poll, refresh, commit].into_iter().flatten();
        others.min().unwrap_or_else(|| Instant::now() + self.group.cluster.config().metadata_max_age)
    }

    /// Takes in what the program does: asks for records, does not ask any more, closes the consumer.
    fn watch(&mut self, now: Instant) {
        if self.group.shared.is_closed() {
            self.member.close();
            return;
        }
        match self.group.last_poll() {
            Some(last) if last + self.group.config.max_poll_interval <= now => {
                if let Some(step) = self.member.on_poll_expired() {
                    tracing::warn!(group = %self.group.config.group_id, "max_poll_interval is over: leaving the group");
                    self.hold_all();
                    self.perform(step);
                }
            }
            _ => self.member.on_polled(),
        }
    }

    fn hold_all(&self) {
        let mut positions = self.group.shared.positions();
        let slots: Vec<_> = positions.assigned().map(|(_, _, slot)| slot).collect();
        slots.into_iter().for_each(|slot| positions.hold(slot, true));
    }

    /// Tells commits who we are.
    fn publish(&self) {
        let (member_id, generation_id) = self.member.identity();
        self.group.set_membership(Membership {
            identity: Identity { member_id: member_id.to_owned(), generation_id },
            is_member: generation_id != NO_GENERATION,
            is_joining: self.member.is_joining(),
        });
    }

    fn perform(&mut self, step: Step) {
        tracing::debug!(group = %self.group.config.group_id, ?step, "group member");
        match step {
            Step::Release { partitions, lost } => self.release(partitions, lost),
            Step::Join { member_id, protocols } => {
                let (group, lane) = (Arc::clone(&self.group), Arc::clone(&self.lane));
                self.work.push(Box::pin(async move {
                    // The answer comes when the others have joined, or the time of the rebalance is up.
                    let limit = group.config.max_poll_interval + Duration::from_secs(5);
                    let limit = limit.max(group.cluster.config().request_timeout);
                    let make = |version| requests::join(&group.config, &member_id, &protocols, version);
                    let answer = group.cluster.call_coordinator(&lane, &group.config.group_id, make, limit).await;
                    Done::Joined(forgetting(&group, requests::joined(answer)))
                }));
            }
            Step::Assign { assignor, members } => self.assign(assignor, members),
            Step::Sync { assignments } => {
                let (group, lane, identity) = (Arc::clone(&self.group), Arc::clone(&self.lane), self.identity());
                let protocol = self.member.assignor();
                self.work.push(Box::pin(async move {
                    let limit = group.config.max_poll_interval.max(group.cluster.config().request_timeout);
                    let make = |version| requests::sync(&group.config, &identity, protocol, &assignments, version);
                    let answer = group.cluster.call_coordinator(&lane, &group.config.group_id, make, limit).await;
                    Done::Synced(forgetting(&group, requests::synced(answer)))
                }));
            }
            Step::Adopt(partitions) => self.adopt(partitions),
            Step::Heartbeat => {
                let (group, lane, identity) = (Arc::clone(&self.group), Arc::clone(&self.lane), self.identity());
                self.work.push(Box::pin(async move {
                    let limit = group.cluster.config().request_timeout.min(group.config.session_timeout);
                    let make = |version| requests::heartbeat(&group.config, &identity, version);
                    let answer = group.cluster.call_coordinator(&lane, &group.config.group_id, make, limit).await;
                    let result = forgetting(&group, requests::beaten(answer));
                    Done::Beaten { generation_id: identity.generation_id, result }
                }));
            }
            Step::Leave { member_id } => {
                let group = Arc::clone(&self.group);
                self.work.push(Box::pin(async move {
                    let limit = group.cluster.config().request_timeout;
                    let make = |version| requests::leave(&group.config, &member_id, version);
                    let answer = group.cluster.call_coordinator(&group.lane, &group.config.group_id, make, limit).await;
                    if let Err(error) = answer {
                        tracing::debug!(%error, "leaving the group failed; its session will end");
                    }
                    Done::Left
                }));
            }
            Step::End(error) => {
                if let Some(error) = error {
                    self.group.fail(error);
                }
                self.ended = true;
            }
        }
    }

    fn identity(&self) -> Identity {
        let (member_id, generation_id) = self.member.identity();
        Identity { member_id: member_id.to_owned(), generation_id }
    }

    fn on_done(&mut self, done: Done) {
        let now = Instant::now();
        let step = match done {
            Done::Released => self.member.on_released(),
            Done::Joined(answer) => self.member.on_join(answer, now),
            Done::Assigned(Ok((assignments, counts))) => {
                self.assigned_counts = Some(counts);
                self.member.on_assignment(Ok(assignments), now)
            }
            Done::Assigned(Err(failure)) => self.member.on_assignment(Err(failure), now),
            Done::Synced(answer) => self.member.on_sync(answer.as_deref().map_err(Clone::clone), now),
            Done::Beaten { generation_id, result } => {
                self.member.on_heartbeat(generation_id, result, now);
                None
            }
            Done::Left => self.member.on_left(),
            Done::Adopted(partitions) => {
                self.let_go(&partitions);
                None
            }
            Done::Committed => {
                self.committing = false;
                None
            }
            Done::Refreshed => {
                self.on_refreshed(now);
                None
            }
        };
        // Whoever commits next must do it as who we are now.
        self.publish();
        if let Some(step) = step {
            self.perform(step);
        }
    }

    /// Gives partitions back: nothing more of them is given out, the program finishes what it has, and what it is done with
    /// is committed.
    fn release(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        let group = Arc::clone(&self.group);
        {
            let mut positions = group.shared.positions();
            for partition in &partitions {
                if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
                    positions.hold(slot, true);
                }
            }
        }
        group.shared.woken();
        self.work.push(Box::pin(async move {
            if lost {
                remove(&group, &partitions);
                tell(&group, RebalanceKind::Lost, partitions).await;
                return Done::Released;
            }
            let limit = group.config.max_poll_interval;
            let _ = timeout(limit, finished(&group, &partitions)).await;
            tell(&group, RebalanceKind::Revoked, partitions.clone()).await;
            if group.config.auto_commit_interval.is_some() {
                let offsets = group.finished(|partition| partitions.contains(partition));
                if let Err(error) = group.commit(offsets).await {
                    tracing::warn!(%error, "what was read of partitions that go is not committed");
                }
            }
            remove(&group, &partitions);
            Done::Released
        }));
    }

    /// Computes the assignment of all members.
    fn assign(&mut self, assignor: Assignor, members: Vec<Member>) {
        self.assignor = Some(assignor);
        self.group_topics = members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect();
        let (group, topics) = (Arc::clone(&self.group), self.group_topics.clone());
        self.work.push(Box::pin(async move {
            let create = group.shared.config.allow_auto_create_topics;
            let refreshed = group.cluster.refresh(topics.iter().map(|topic| (Arc::clone(topic), create))).await;
            if let Err(error) = refreshed {
                return Done::Assigned(Err(Failure::of(error)));
            }
            let counts = counts(&group, &topics);
            let assignments = assignor.assign(&members, &counts);
            Done::Assigned(Ok((assignments.into_iter().collect(), counts)))
        }));
    }

    /// Finds where to begin in new partitions, tells the program, and lets them go.
    fn adopt(&mut self, partitions: Vec<TopicPartition>) {
        let group = Arc::clone(&self.group);
        {
            let mut positions = group.shared.positions();
            for partition in &partitions {
                let slot = positions.add(Arc::clone(&partition.topic), partition.partition);
                positions.hold(slot, true);
            }
        }
        self.work.push(Box::pin(async move {
            let committed = committed(&group, &partitions).await;
            {
                let mut positions = group.shared.positions();
                for (partition, committed) in committed {
                    let Some(slot) = positions.slot(&partition.topic, partition.partition) else { continue };
                    match (committed, group.shared.config.auto_offset_reset) {
                        (Some(committed), _) => {
                            positions.seek(slot, Offset::At(committed.offset));
                            positions.on_committed(slot, committed.offset);
                        }
                        (None, OffsetReset::None) => {
                            let TopicPartition { topic, partition } = partition;
                            positions.report(slot, Error::NoCommittedOffset { topic, partition });
                        }
                        (None, reset) => positions.seek(slot, Offset::of(reset)),
                    }
                }
            }
            tell(&group, RebalanceKind::Assigned, partitions.clone()).await;
            Done::Adopted(partitions)
        }));
    }

    /// Lets the program have partitions, as far as they did not go again meanwhile.
    fn let_go(&self, partitions: &[TopicPartition]) {
        let mut positions = self.group.shared.positions();
        for partition in partitions.iter().filter(|partition| self.member.may_read(partition)) {
            if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
                positions.hold(slot, false);
            }
        }
        drop(positions);
        self.group.shared.woken();
        self.group.assigned.notify_waiters();
    }

    /// Commits what the program is done with, from time to time.
    fn commit(&mut self, now: Instant) {
        let (Some(interval), Some(due)) = (self.group.config.auto_commit_interval, self.next_commit) else { return };
        if due > now || self.committing {
            return;
        }
        self.next_commit = Some(now + interval);
        let offsets = self.group.finished(|_| true);
        if offsets.is_empty() {
            return;
        }
        self.committing = true;
        let group = Arc::clone(&self.group);
        self.work.push(Box::pin(async move {
            if let Err(error) = group.commit(offsets).await {
                tracing::warn!(%error, "an automatic commit failed; the next one tries again");
            }
            Done::Committed
        }));
    }

    /// Looks from time to time whether topics have other partitions now.
    fn refresh(&mut self, now: Instant) {
        if self.refreshing || now < self.next_refresh {
            return;
        }
        self.refreshing = true;
        let group = Arc::clone(&self.group);
        let topics: BTreeSet<_> = self.topics.union(&self.group_topics).cloned().collect();
        self.work.push(Box::pin(async move {
            let create = group.shared.config.allow_auto_create_topics;
            if let Err(error) = group.cluster.refresh(topics.into_iter().map(|topic| (topic, create))).await {
                tracing::debug!(%error, "no metadata of the subscribed topics");
            }
            Done::Refreshed
        }));
    }

    fn on_refreshed(&mut self, now: Instant) {
        self.refreshing = false;
        let missing = self.topics.iter().any(|topic| self.group.cluster.metadata().topic(topic).is_none());
        let age = self.group.cluster.config().metadata_max_age;
        self.next_refresh = now + if missing { age.min(Self::MISSING_TOPIC_REFRESH) } else { age };
        if self.member.is_leader() && self.assigned_counts.as_ref() != Some(&counts(&self.group, &self.group_topics)) {
            self.member.request_rejoin();
        }
    }
}

/// Forgets the coordinator if it says that it is none.
fn forgetting<T>(group: &Group, result: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(Failure::Later(error)) = &result
        && matches!(error.code(), Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable))
    {
        group.cluster.forget_coordinator(&group.config.group_id);
    }
    result
}

fn counts(group: &Group, topics: &BTreeSet<Arc<str>>) -> BTreeMap<Arc<str>, i32> {
    let known = topics.iter().filter_map(|name| group.cluster.metadata().topic(name));
    known.map(|topic| (Arc::clone(&topic.name), topic.partitions.len() as i32)).collect()
}

/// Waits until the program is done with what it was given of the partitions.
async fn finished(group: &Group, partitions: &[TopicPartition]) {
    loop {
        let mut progress = std::pin::pin!(group.progress.notified());
        progress.as_mut().enable();
        let closed = group.shared.is_closed();
        let at_work = {
            let positions = group.shared.positions();
            let slot = |partition: &TopicPartition| positions.slot(&partition.topic, partition.partition);
            // After the end nobody asks for more; a stream still ends by itself.
            let busy = |slot| if closed { positions.is_streamed(slot) } else { positions.is_given(slot) };
            partitions.iter().filter_map(slot).any(busy)
        };
        if !at_work {
            return;
        }
        progress.await;
    }
}

async fn tell(group: &Arc<Group>, kind: RebalanceKind, partitions: Vec<TopicPartition>) {
    if let Some(listener) = &group.listener
        && !partitions.is_empty()
    {
        listener.tell(Rebalance::new(kind, partitions, Arc::clone(group))).await;
    }
}

fn remove(group: &Group, partitions: &[TopicPartition]) {
    let mut positions = group.shared.positions();
    for partition in partitions {
        if let Some(slot) = positions.slot(&partition.topic, partition.partition) {
            positions.remove(slot);
        }
    }
    drop(positions);
    group.shared.woken();
}

/// What the group has committed for partitions, asked as long as they are ours.
async fn committed(group: &Group, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Option<CommittedOffset>> {
    loop {
        let ours: Vec<_> = partitions.iter().filter(|partition| group.has(partition)).cloned().collect();
        if ours.is_empty() || group.shared.is_closed() {
            return BTreeMap::new();
        }
        let deadline = Instant::now() + group.cluster.config().request_timeout;
        match group.fetch_committed(&ours, deadline).await {
            Ok(committed) => return committed,
            Err(error) if error.is_retriable() => tracing::debug!(%error, "committed offsets are not known yet"),
            Err(error) => {
                group.fail(error);
                return BTreeMap::new();
            }
        }
    }
}
