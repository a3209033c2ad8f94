//! A member of a consumer group (KIP-848), without input, output or clock: ConsumerGroupHeartbeat is its only request.
//!
//! The broker says which partitions the member is to have; the member gives back what is not among them, and only then
//! acknowledges, so that nobody else gets a partition before. [`ConsumerMember::step`] says what is to be done now, the `on_…`
//! functions take in what came of it. A member that is put out loses what it has and joins again with epoch 0: under its id if
//! the group still knows it, else under another one.
//!
//! Source: `AbstractMembershipManager`, `ConsumerHeartbeatRequestManager.HeartbeatState`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::{Failure, Step};
use crate::{error::Error, record::TopicPartition, retry::Backoff};

/// What a member goes by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) is_static: bool,
    /// How long a static member waits for its predecessor to be gone.
    pub(crate) patience: Duration,
    pub(crate) backoff: Backoff,
    /// Whether the member may go on as a classic one if the first heartbeat is refused.
    pub(crate) may_fall_back: bool,
}

/// Partitions by topic id, as this protocol names them.
pub(crate) type Partitions = BTreeSet<(Uuid, i32)>;

/// A heartbeat to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Beat {
    /// Which life of the member it is of; its answer is of no use to the next one.
    pub(crate) life: u64,
    pub(crate) member_epoch: i32,
    /// Whether all that the member wants is to be said, because the coordinator may not have it.
    pub(crate) is_full: bool,
    /// What the member has, if that is to be said.
    pub(crate) owned: Option<Partitions>,
}

/// A heartbeat that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) member_epoch: i32,
    pub(crate) heartbeat_interval: Duration,
    /// `None` if it is as before.
    pub(crate) assignment: Option<Partitions>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// To join, when `not_before` has come.
    Outside,
    Member,
    /// Partitions are being given back.
    Releasing(Then),
    /// The program does not ask for records; nothing until it does.
    Idle,
    Leaving,
    Ended,
}

/// What comes after partitions were given back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Join,
    Acknowledge,
    Leave,
}

/// The member.
#[derive(Debug)]
pub(crate) struct ConsumerMember {
    rules: Rules,
    phase: Phase,
    life: u64,
    id: Uuid,
    /// The same as text.
    member_id: String,
    /// 0 while the group does not know the member.
    member_epoch: i32,
    heartbeat_interval: Duration,
    heartbeat_due: Instant,
    heartbeat_in_flight: bool,
    /// Whether the coordinator was told all that the member wants, as far as we know.
    told: bool,
    /// Whether to say now what the member has.
    acknowledges: bool,
    owned: Partitions,
    /// Being given back, and ours until that is done.
    releasing: Partitions,
    target: Option<Partitions>,
    names: BTreeMap<Uuid, Arc<str>>,
    resolving: bool,
    resolve_after: Option<Instant>,
    was_member: bool,
    /// Since when the predecessor of a static member has been in the way.
    blocked_since: Option<Instant>,
    closing: bool,
    fatal: Option<Error>,
    failures: u32,
    not_before: Option<Instant>,
}

impl ConsumerMember {
    /// `ConsumerGroupHeartbeatRequest.JOIN_GROUP_MEMBER_EPOCH`.
    const JOIN: i32 = 0;
    /// `LEAVE_GROUP_MEMBER_EPOCH` and `LEAVE_GROUP_STATIC_MEMBER_EPOCH`.
    const LEAVE: i32 = -1;
    const LEAVE_STATIC: i32 = -2;

    /// A member under an id that it made up itself (KIP-1082).
    pub(crate) fn new(rules: Rules, id: Uuid, now: Instant) -> Self {
        Self {
            rules,
            phase: Phase::Outside,
            life: 0,
            id,
            member_id: id.to_string(),
            member_epoch: Self::JOIN,
            // Until the broker says otherwise: `group.consumer.heartbeat.interval.ms`.
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_due: now,
            heartbeat_in_flight: false,
            told: false,
            acknowledges: false,
            owned: Partitions::new(),
            releasing: Partitions::new(),
            target: None,
            names: BTreeMap::new(),
            resolving: false,
            resolve_after: None,
            was_member: false,
            blocked_since: None,
            closing: false,
            fatal: None,
            failures: 0,
            not_before: None,
        }
    }

    /// What commits are sent with.
    pub(crate) fn identity(&self) -> (&str, i32) {
        (&self.member_id, self.member_epoch)
    }

    pub(crate) fn is_member(&self) -> bool {
        self.member_epoch > 0
    }

    /// Whether a partition is ours, and the group knows us.
    pub(crate) fn may_read(&self, partition: &TopicPartition) -> bool {
        let named = |id: &Uuid| self.names.get(id).is_some_and(|name| *name == partition.topic);
        self.is_member() && self.owned.iter().any(|(id, number)| *number == partition.partition && named(id))
    }

    /// Whether the program is expected to ask for records.
    pub(crate) fn is_stable(&self) -> bool {
        self.phase == Phase::Member
    }

    /// What is to be done now, if anything.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Step> {
        let waits = self.not_before.is_some_and(|until| until > now);
        match self.phase {
            Phase::Outside | Phase::Member | Phase::Idle if self.closing || self.fatal.is_some() => Some(self.end()),
            Phase::Outside if !self.owned.is_empty() => Some(self.release(self.owned.clone(), true, Then::Join)),
            Phase::Outside if !waits && !self.heartbeat_in_flight => Some(self.beat(now)),
            Phase::Member => self.reconcile(now).or_else(|| self.heartbeat(now)),
            Phase::Releasing(Then::Acknowledge) if self.is_member() => self.heartbeat(now),
            _ => None,
        }
    }

    /// The earliest instant at which `step` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let heartbeat = (!self.heartbeat_in_flight).then_some(self.heartbeat_due);
        match self.phase {
            Phase::Outside if !self.heartbeat_in_flight => self.not_before,
            Phase::Member => heartbeat.into_iter().chain(self.resolve_after.filter(|_| !self.resolving)).min(),
            Phase::Releasing(Then::Acknowledge) if self.is_member() => heartbeat,
            _ => None,
        }
    }

    /// One step from what the member has to what it is to have (`maybeReconcile`).
    fn reconcile(&mut self, now: Instant) -> Option<Step> {
        let target = self.target.as_ref()?;
        let unknown: BTreeSet<_> = target.iter().map(|(id, _)| *id).filter(|id| !self.names.contains_key(id)).collect();
        if unknown.is_empty() {
            self.resolve_after = None;
        } else if !self.resolving && self.resolve_after.is_none_or(|after| after <= now) {
            self.resolving = true;
            return Some(Step::Resolve(unknown));
        }
        let revoked: Partitions = self.owned.difference(target).copied().collect();
        if !revoked.is_empty() {
            return Some(self.release(revoked, false, Then::Acknowledge));
        }
        let added = target.difference(&self.owned).filter(|(id, _)| !unknown.contains(id));
        let added: Partitions = added.copied().collect();
        if added.is_empty() {
            return None;
        }
        self.owned.extend(added.iter().copied());
        self.acknowledges = true;
        Some(Step::Adopt(self.named(&added)))
    }

    fn named(&self, partitions: &Partitions) -> Vec<TopicPartition> {
        let named = |(id, number): &(Uuid, i32)| Some(TopicPartition::new(Arc::clone(self.names.get(id)?), *number));
        partitions.iter().filter_map(named).collect()
    }

    fn heartbeat(&mut self, now: Instant) -> Option<Step> {
        let due = self.heartbeat_due <= now || (self.acknowledges && self.phase == Phase::Member);
        (due && !self.heartbeat_in_flight).then(|| self.beat(now))
    }

    fn beat(&mut self, now: Instant) -> Step {
        let is_full = !std::mem::replace(&mut self.told, true);
        // What is being given back is acknowledged when that is done, and not before.
        let says_owned = is_full || (self.acknowledges && self.phase == Phase::Member);
        self.acknowledges &= !says_owned;
        self.heartbeat_in_flight = true;
        self.heartbeat_due = now + self.heartbeat_interval;
        Step::Beat(Beat {
            life: self.life,
            member_epoch: self.member_epoch,
            is_full,
            owned: says_owned.then(|| self.owned.union(&self.releasing).copied().collect()),
        })
    }

    fn release(&mut self, partitions: Partitions, lost: bool, then: Then) -> Step {
        self.owned.retain(|owned| !partitions.contains(owned));
        self.phase = Phase::Releasing(then);
        let released = Step::Release { partitions: self.named(&partitions), lost };
        self.releasing = partitions;
        released
    }

    /// Partitions were given back. The next `step` goes on; `Some` is to be done before.
    pub(crate) fn on_released(&mut self) -> Option<Step> {
        let Phase::Releasing(then) = self.phase else { return None };
        self.releasing.clear();
        match then {
            Then::Leave => return Some(self.leave()),
            Then::Acknowledge if self.is_member() => {
                self.phase = Phase::Member;
                self.acknowledges = true;
            }
            Then::Join | Then::Acknowledge => self.phase = Phase::Outside,
        }
        None
    }

    /// The names of topics were found, as far as there are such topics.
    pub(crate) fn on_names(&mut self, names: BTreeMap<Uuid, Arc<str>>, now: Instant) {
        self.resolving = false;
        self.names.extend(names);
        // A broker may not have heard of a topic that the coordinator assigns already.
        self.resolve_after = Some(now + self.rules.backoff.wait(2));
    }

    /// A heartbeat was answered.
    pub(crate) fn on_heartbeat(&mut self, life: u64, answer: Result<Heard, Failure>, now: Instant) -> Option<Step> {
        if life != self.life || matches!(self.phase, Phase::Leaving | Phase::Ended) {
            return None;
        }
        self.heartbeat_in_flight = false;
        match answer {
            Ok(heard) => {
                self.on_heard(heard, now);
                None
            }
            Err(failure) => self.on_failure(failure, now),
        }
    }

    fn on_heard(&mut self, heard: Heard, now: Instant) {
        self.failures = 0;
        (self.not_before, self.blocked_since) = (None, None);
        self.was_member = true;
        self.member_epoch = heard.member_epoch;
        self.heartbeat_interval = heard.heartbeat_interval;
        self.heartbeat_due = now + heard.heartbeat_interval;
        if let Some(assignment) = heard.assignment {
            self.target = Some(assignment);
            self.acknowledges = true;
            self.resolve_after = None;
        }
        if self.phase == Phase::Outside {
            self.phase = Phase::Member;
        }
    }

    fn on_failure(&mut self, failure: Failure, now: Instant) -> Option<Step> {
        tracing::debug!(?failure, "a heartbeat was not accepted");
        // Whether the coordinator knows what we want is not certain any more.
        self.told = false;
        match failure {
            Failure::Later(_) => self.wait(now),
            // The group goes on without us: what we have is lost, which the next step tells.
            Failure::Fenced | Failure::IllegalGeneration => self.forget(),
            Failure::UnknownMember => {
                self.forget();
                self.rename();
            }
            Failure::Unreleased(error) => {
                // KIP-848: until the session of the predecessor is over.
                if *self.blocked_since.get_or_insert(now) + self.rules.patience <= now {
                    self.fatal = Some(error);
                }
                self.wait(now);
            }
            Failure::Incapable(error) if self.rules.may_fall_back && !self.was_member && !self.closing => {
                tracing::info!(%error, "the group or its coordinator has no consumer protocol: joining as a classic member");
                self.phase = Phase::Ended;
                return Some(Step::FallBack);
            }
            Failure::Incapable(error) | Failure::Fatal(error) => self.fatal = Some(error),
            Failure::Rebalance | Failure::MemberIdRequired(_) => self.wait(now),
        }
        None
    }

    fn wait(&mut self, now: Instant) {
        self.failures += 1;
        let again = now + self.rules.backoff.wait(self.failures);
        (self.heartbeat_due, self.not_before) = (again, Some(again));
        // The next one says everything.
        self.acknowledges = false;
    }

    fn forget(&mut self) {
        self.life += 1;
        (self.member_epoch, self.told, self.target) = (Self::JOIN, false, None);
        (self.heartbeat_in_flight, self.acknowledges, self.resolve_after) = (false, false, None);
        if self.phase == Phase::Member {
            self.phase = Phase::Outside;
        }
    }

    /// Takes another id than the one that the group does not know any more. Java keeps its id. But a group that was empty and
    /// changes its protocol begins anew at epoch 0 (`GroupMetadataManager.maybeDeleteEmptyClassicGroup`), so that a commit which
    /// was on its way when the member was put out could come in when the same id has reached the same epoch again.
    fn rename(&mut self) {
        self.id = Uuid::from_u128(self.id.as_u128().wrapping_add(1));
        self.member_id = self.id.to_string();
    }

    /// Somebody learned that the coordinator sees us otherwise than we do: ask it now.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if self.failures == 0 {
            self.heartbeat_due = self.heartbeat_due.min(now);
        }
    }

    /// The program has not asked for records for `max.poll.interval`: somebody else shall have its partitions.
    pub(crate) fn on_poll_expired(&mut self) -> Option<Step> {
        if self.phase != Phase::Member {
            return None;
        }
        self.forget();
        self.phase = Phase::Idle;
        Some(self.depart())
    }

    /// The program asks for records again.
    pub(crate) fn on_polled(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Outside;
        }
    }

    /// The consumer is being closed: give everything back and leave.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    fn end(&mut self) -> Step {
        let lost = !self.is_member() || self.fatal.is_some();
        if self.owned.is_empty() { self.leave() } else { self.release(self.owned.clone(), lost, Then::Leave) }
    }

    fn leave(&mut self) -> Step {
        // A first heartbeat that is under way may have made us a member.
        if self.fatal.is_some() || !(self.is_member() || self.heartbeat_in_flight) {
            self.phase = Phase::Ended;
            return Step::End(self.fatal.take());
        }
        self.phase = Phase::Leaving;
        self.depart()
    }

    /// Static members keep their partitions for as long as a session (KIP-345, KIP-848).
    fn depart(&self) -> Step {
        let member_epoch = if self.rules.is_static { Self::LEAVE_STATIC } else { Self::LEAVE };
        Step::Depart { member_epoch }
    }

    /// The last heartbeat was answered, or not: the member is gone in any case.
    pub(crate) fn on_left(&mut self) -> Option<Step> {
        if self.phase != Phase::Leaving {
            return None;
        }
        self.phase = Phase::Ended;
        Some(Step::End(None))
    }
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
