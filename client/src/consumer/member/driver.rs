//! The task of a group's member: does what its [`Machine`] says, and tells it what came of it.
//!
//! JoinGroup, SyncGroup and heartbeats have connections of their own; commits, OffsetFetch and LeaveGroup go by the group's
//! lane, because a broker answers a JoinGroup only when all members have joined. What becomes of partitions is in
//! [`partitions`](super::partitions), what topics there are in [`topics`](super::topics).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    Failure, Protocol, Step,
    classic::{self, Classic, Joined},
    consumer::{self, Beat, ConsumerMember, Heard},
    heartbeat,
    machine::Machine,
    partitions::Adopted,
    requests::{self, Identity},
};
use crate::{
    cluster::Lane,
    consumer::{assignor::Topics, group::Group, subscription::Subscription},
    error::Result as ClientResult,
    record::TopicPartition,
    wire::versions::Api,
};

pub(crate) struct Driver {
    pub(super) group: Arc<Group>,
    lane: Arc<Lane>,
    pub(super) member: Machine,
    pub(super) subscription: Subscription,
    /// The topics by name, and those that match the pattern, once that is known.
    pub(super) topics: BTreeSet<Arc<str>>,
    /// Whether there is something to join for.
    pub(super) is_ready: bool,
    /// The partitions that the last assignment was made of, if we made it.
    pub(super) assigned_topics: Option<Topics>,
    /// Topics of all members, as the leader learned them.
    pub(super) group_topics: BTreeSet<Arc<str>>,
    pub(super) next_refresh: Instant,
    pub(super) refreshing: bool,
    pub(super) next_commit: Option<Instant>,
    pub(super) committing: bool,
    ended: bool,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Done>>,
}

type Assignments = Vec<(String, Vec<TopicPartition>)>;

/// What came back.
pub(super) enum Done {
    Released,
    Joined(Result<Joined, Failure>),
    Assigned(Result<(Assignments, Topics), Failure>),
    Synced(Result<Bytes, Failure>),
    Beaten {
        generation_id: i32,
        result: Result<(), Failure>,
    },
    Heard {
        life: u64,
        answer: Result<Heard, Failure>,
    },
    Named(BTreeMap<Uuid, Arc<str>>),
    Left,
    Adopted(Vec<Adopted>),
    Committed,
    /// The topics that match the pattern, if there is one and they could be asked for.
    Refreshed(Option<BTreeSet<Arc<str>>>),
}

impl Driver {
    pub(crate) fn new(group: Arc<Group>, subscription: Subscription, protocol: Protocol) -> Self {
        let now = Instant::now();
        let lane = Arc::new(group.cluster.lane());
        let next_commit = group.config.background_commits().map(|interval| now + interval);
        let topics = subscription.topics.clone();
        let member = match protocol {
            Protocol::Classic => Self::classic(&group, &topics, now),
            Protocol::Consumer { may_fall_back } => {
                let rules = consumer::Rules {
                    is_static: group.config.group_instance_id.is_some(),
                    patience: group.config.session_timeout,
                    backoff: group.cluster.config().retry_backoff,
                    may_fall_back,
                };
                let id = Uuid::from_u128(fastrand::u128(..));
                Machine::Consumer(Box::new(ConsumerMember::new(rules, id, now)))
            }
        };
        Self {
            // The members of a classic group match the names themselves.
            is_ready: subscription.pattern.is_none() || matches!(member, Machine::Consumer(_)),
            member,
            group,
            lane,
            subscription,
            topics,
            assigned_topics: None,
            group_topics: BTreeSet::new(),
            next_refresh: now,
            refreshing: false,
            next_commit,
            committing: false,
            ended: false,
            work: FuturesUnordered::new(),
        }
    }

    fn classic(group: &Group, topics: &BTreeSet<Arc<str>>, now: Instant) -> Machine {
        let rules = classic::Rules {
            assignors: group.config.assignors.clone(),
            is_static: group.config.group_instance_id.is_some(),
            heartbeat_interval: group.config.heartbeat_interval,
            backoff: group.cluster.config().retry_backoff,
            rack_id: group.shared.config.client_rack.clone(),
        };
        Machine::Classic(Box::new(Classic::new(rules, topics.clone(), now)))
    }

    pub(crate) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.watch(now);
            while let Some(step) = self.next_step(now) {
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
                biased;
                Some(done) = self.work.next(), if !self.work.is_empty() => self.on_done(done),
                () = self.group.changed.notified() => {}
                () = sleep_until(deadline) => {}
            }
            while let Some(Some(done)) = self.work.next().now_or_never() {
                self.on_done(done);
            }
        }
    }

    fn next_step(&mut self, now: Instant) -> Option<Step> {
        let may_step = self.is_ready || self.group.shared.is_closed();
        if may_step { self.member.step(now) } else { None }
    }

    /// When there is something to do. What is under way already is not waited for by the clock.
    fn next_deadline(&self) -> Instant {
        let last_poll = self.group.last_poll().filter(|_| self.member.is_stable());
        let poll = last_poll.map(|last| last + self.group.config.max_poll_interval);
        let step = self.member.next_deadline().filter(|_| self.is_ready);
        let refresh = (!self.refreshing).then_some(self.next_refresh);
        let commit = self.next_commit.filter(|_| !self.committing);
        let others = [step, poll, refresh, commit].into_iter().flatten();
        others.min().unwrap_or_else(|| Instant::now() + self.group.cluster.config().metadata_max_age)
    }

    /// Takes in what the program does: asks for records, does not ask any more, closes the consumer.
    fn watch(&mut self, now: Instant) {
        if self.group.shared.is_closed() {
            self.member.close();
            return;
        }
        if self.group.take_suspicion() {
            self.member.hasten(now);
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
        self.group.set_membership(self.member.membership());
    }

    fn perform(&mut self, step: Step) {
        tracing::debug!(group = %self.group.config.group_id, ?step, "group member");
        match step {
            Step::Release { partitions, lost } => self.release(partitions, lost),
            Step::Adopt(partitions) => self.adopt(partitions),
            Step::Join { member_id, protocols } => {
                // The answer comes when the others have joined, or the time of the rebalance is up.
                let limit = self.group.config.max_poll_interval + Duration::from_secs(5);
                let make = move |group: &Group, version| requests::join(&group.config, &member_id, &protocols, version);
                self.ask(limit, make, |answer| Done::Joined(requests::joined(answer)));
            }
            Step::Assign { assignor, members } => self.assign(assignor, members),
            Step::Sync { assignments } => {
                let (identity, protocol) = (self.member.identity(), self.member.assignor());
                let make = move |group: &Group, version| {
                    requests::sync(&group.config, &identity, protocol, &assignments, version)
                };
                let limit = self.group.config.max_poll_interval;
                self.ask(limit, make, |answer| Done::Synced(requests::synced(answer)));
            }
            Step::Heartbeat => {
                let identity = self.member.identity();
                let Identity { generation_id, .. } = identity;
                let make = move |group: &Group, version| requests::heartbeat(&group.config, &identity, version);
                self.ask(Duration::ZERO, make, move |answer| Done::Beaten {
                    generation_id,
                    result: requests::beaten(answer),
                });
            }
            Step::Beat(beat) => self.beat(beat),
            Step::Resolve(ids) => {
                let group = Arc::clone(&self.group);
                self.work.push(Box::pin(async move {
                    let names = group.cluster.topic_names(&ids).await;
                    Done::Named(names.unwrap_or_else(|error| {
                        tracing::debug!(%error, "no names of assigned topics");
                        BTreeMap::new()
                    }))
                }));
            }
            Step::Leave { member_id } => {
                let make = move |group: &Group, version| requests::leave(&group.config, &member_id, version);
                self.ask(Duration::ZERO, make, |answer| left(answer.map(drop)));
            }
            Step::Depart { member_epoch } => {
                let Identity { member_id, .. } = self.member.identity();
                let make = move |group: &Group, _| heartbeat::depart(&group.config, &member_id, member_epoch);
                self.ask(Duration::ZERO, make, |answer| left(answer.map(drop)));
            }
            Step::FallBack => {
                let now = Instant::now();
                self.member = Self::classic(&self.group, &self.topics, now);
                self.is_ready = self.subscription.pattern.is_none();
                self.next_refresh = now;
            }
            Step::End(error) => {
                if let Some(error) = error {
                    self.group.fail(error);
                }
                self.ended = true;
            }
        }
    }

    /// Sends a request to the coordinator, with at least the time that any request has. What the coordinator says of itself
    /// is taken in.
    fn ask<A: Api + Send + Sync>(
        &self,
        least: Duration,
        make: impl FnOnce(&Group, i16) -> A + Send + 'static,
        done: impl FnOnce(ClientResult<A::Response>) -> Done + Send + 'static,
    ) where
        A::Response: Send,
    {
        let (group, lane) = (Arc::clone(&self.group), Arc::clone(&self.lane));
        self.work.push(Box::pin(async move {
            let limit = group.cluster.config().request_timeout.max(least);
            let make = |version| make(&group, version);
            let done = done(group.cluster.call_coordinator(&lane, &group.config.group_id, make, limit).await);
            if done.failure().is_some_and(Failure::moves_coordinator) {
                group.cluster.forget_coordinator(&group.config.group_id);
            }
            done
        }));
    }

    fn beat(&self, beat: Beat) {
        let Identity { member_id, .. } = self.member.identity();
        let (subscription, life) = (self.subscription.clone(), beat.life);
        let make = move |group: &Group, _| {
            heartbeat::beat((&group.config, &group.shared.config), &subscription, &member_id, &beat)
        };
        self.ask(Duration::ZERO, make, move |answer| Done::Heard { life, answer: heartbeat::heard(answer) });
    }

    fn on_done(&mut self, done: Done) {
        let now = Instant::now();
        let member = &mut self.member;
        let step = match done {
            Done::Released => member.on_released(),
            Done::Joined(answer) => member.classic(|member| member.on_join(answer, now)),
            Done::Assigned(Ok((assignments, topics))) => {
                self.assigned_topics = Some(topics);
                member.classic(|member| member.on_assignment(Ok(assignments), now))
            }
            Done::Assigned(Err(failure)) => member.classic(|member| member.on_assignment(Err(failure), now)),
            Done::Synced(answer) => {
                member.classic(|member| member.on_sync(answer.as_deref().map_err(Clone::clone), now))
            }
            Done::Beaten { generation_id, result } => member.classic(|member| {
                member.on_heartbeat(generation_id, result, now);
                None
            }),
            Done::Heard { life, answer } => member.consumer(|member| member.on_heartbeat(life, answer, now)),
            Done::Named(names) => member.consumer(|member| {
                member.on_names(names, now);
                None
            }),
            Done::Left => member.on_left(),
            Done::Adopted(adopted) => {
                self.let_go(&adopted);
                None
            }
            Done::Committed => {
                self.committing = false;
                None
            }
            Done::Refreshed(matching) => {
                self.on_refreshed(matching, now);
                None
            }
        };
        // Whoever commits next must do it as who we are now.
        self.publish();
        if let Some(step) = step {
            self.perform(step);
        }
    }
}

impl Done {
    /// What a request to the coordinator failed with.
    fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Joined(Err(failure))
            | Self::Synced(Err(failure))
            | Self::Beaten { result: Err(failure), .. }
            | Self::Heard { answer: Err(failure), .. } => Some(failure),
            _ => None,
        }
    }
}

/// A member that cannot say goodbye is gone when its session ends.
fn left(answer: ClientResult<()>) -> Done {
    if let Err(error) = answer {
        tracing::debug!(%error, "leaving the group failed; its session will end");
    }
    Done::Left
}
