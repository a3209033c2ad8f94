//! A member of a classic group, without input, output or clock: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! [`Classic::step`] says what is to be done now, the `on_…` functions take in what came of it. With eager assignors a member
//! gives everything back before it joins again; with cooperative ones it keeps what it has, and gives back what the new
//! assignment takes away from it, and then joins once more (KIP-429). What it has in a group that no longer knows it is
//! lost: another member may have it already, so nothing is committed for it.
//!
//! Source: `AbstractCoordinator`, `ConsumerCoordinator.onJoinPrepare` and `onJoinComplete`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Failure, Step};
use crate::{
    config::Assignor,
    consumer::assignor::{
        Member,
        protocol::{Subscription, decode_assignment},
    },
    error::Error,
    record::TopicPartition,
    retry::Backoff,
};

/// What a member goes by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) assignors: Vec<Assignor>,
    pub(crate) is_static: bool,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) backoff: Backoff,
    /// Told to the leader, whose assignor may look at it (KIP-881).
    pub(crate) rack_id: Option<String>,
}

/// A successful answer to JoinGroup.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) generation_id: i32,
    pub(crate) member_id: String,
    pub(crate) protocol_name: String,
    pub(crate) is_leader: bool,
    /// The group has members of the consumer protocol as well, and its coordinator assigns (`classicGroupJoinToConsumerGroup`).
    pub(crate) nobody_leads: bool,
    /// KIP-814: the leader came back, and the assignment stays.
    pub(crate) skip_assignment: bool,
    pub(crate) members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    /// To join, when `not_before` has come.
    Unjoined,
    /// Partitions are being given back.
    Releasing(Then),
    Joining,
    Assigning,
    Syncing,
    Stable,
    /// The program does not ask for records; nothing until it does.
    Idle,
    Leaving,
    Ended,
}

/// What comes after partitions were given back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Join,
    /// The rest of a cooperative assignment.
    Adopt,
    Leave,
}

/// The member.
#[derive(Debug)]
pub(crate) struct Classic {
    rules: Rules,
    topics: BTreeSet<Arc<str>>,
    phase: Phase,
    member_id: String,
    generation_id: i32,
    assignor: Option<Assignor>,
    is_leader: bool,
    nobody_leads: bool,
    /// The coordinator may be another one by now, or have read the group from its log.
    doubts_coordinator: bool,
    owned: BTreeSet<TopicPartition>,
    /// The last assignment, and its generation.
    last_assignment: (Vec<TopicPartition>, i32),
    /// Assigned, and waiting for others to be given back first.
    added: Vec<TopicPartition>,
    rejoin: bool,
    closing: bool,
    fatal: Option<Error>,
    failures: u32,
    not_before: Option<Instant>,
    heartbeat_due: Instant,
    heartbeat_in_flight: bool,
}

/// `JoinGroupRequest.UNKNOWN_GENERATION_ID`.
pub(crate) const NO_GENERATION: i32 = -1;

impl Classic {
    pub(crate) fn new(rules: Rules, topics: BTreeSet<Arc<str>>, now: Instant) -> Self {
        Self {
            rules,
            topics,
            phase: Phase::Unjoined,
            member_id: String::new(),
            generation_id: NO_GENERATION,
            assignor: None,
            is_leader: false,
            nobody_leads: false,
            doubts_coordinator: false,
            owned: BTreeSet::new(),
            last_assignment: (Vec::new(), NO_GENERATION),
            added: Vec::new(),
            rejoin: false,
            closing: false,
            fatal: None,
            failures: 0,
            not_before: None,
            heartbeat_due: now,
            heartbeat_in_flight: false,
        }
    }

    /// What commits are sent with.
    pub(crate) fn identity(&self) -> (&str, i32) {
        (&self.member_id, self.generation_id)
    }

    /// Whether a partition is ours, and the group knows us.
    pub(crate) fn may_read(&self, partition: &TopicPartition) -> bool {
        self.generation_id != NO_GENERATION && self.owned.contains(partition)
    }

    /// The assignor that the group chose.
    pub(crate) fn assignor(&self) -> Option<Assignor> {
        self.assignor
    }

    /// Whether the program is expected to ask for records.
    pub(crate) fn is_stable(&self) -> bool {
        self.phase == Phase::Stable
    }

    /// Whether the generation may be another one in a moment.
    pub(crate) fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining | Phase::Assigning | Phase::Syncing)
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.is_leader && self.phase == Phase::Stable
    }

    /// What is to be done now, if anything.
    pub(crate) fn step(&mut self, now: Instant) -> Option<Step> {
        let waits = self.not_before.is_some_and(|until| until > now);
        match &self.phase {
            Phase::Unjoined | Phase::Stable | Phase::Idle if self.closing || self.fatal.is_some() => Some(self.end()),
            // Joining may take as long as the others take; the answer is not waited for.
            Phase::Joining | Phase::Assigning | Phase::Syncing if self.closing => Some(self.end()),
            Phase::Unjoined if !waits => Some(self.prepare()),
            Phase::Stable if self.rejoin && !waits => Some(self.prepare()),
            Phase::Stable | Phase::Releasing(Then::Join | Then::Adopt) => self.heartbeat(now),
            _ => None,
        }
    }

    /// The earliest instant at which `step` has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let heartbeat =
            (self.generation_id != NO_GENERATION && !self.heartbeat_in_flight).then_some(self.heartbeat_due);
        match self.phase {
            Phase::Unjoined => self.not_before,
            Phase::Stable if self.rejoin => self.not_before.into_iter().chain(heartbeat).min(),
            Phase::Stable | Phase::Releasing(Then::Join | Then::Adopt) => heartbeat,
            _ => None,
        }
    }

    fn heartbeat(&mut self, now: Instant) -> Option<Step> {
        if self.generation_id == NO_GENERATION || self.heartbeat_in_flight || self.heartbeat_due > now {
            return None;
        }
        self.heartbeat_in_flight = true;
        self.heartbeat_due = now + self.rules.heartbeat_interval;
        Some(Step::Heartbeat)
    }

    /// Cooperative only if every assignor that we offer is: otherwise the group may choose one that is not.
    fn is_cooperative(&self) -> bool {
        self.rules.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    /// The first step to joining (`onJoinPrepare`).
    fn prepare(&mut self) -> Step {
        self.rejoin = false;
        self.not_before = None;
        let lost = self.generation_id == NO_GENERATION;
        let released: Vec<_> = match lost || !self.is_cooperative() {
            true => self.owned.iter().cloned().collect(),
            false => self.owned.iter().filter(|owned| !self.topics.contains(&owned.topic)).cloned().collect(),
        };
        if released.is_empty() { self.join() } else { self.release(released, lost, Then::Join) }
    }

    fn release(&mut self, partitions: Vec<TopicPartition>, lost: bool, then: Then) -> Step {
        self.owned.retain(|owned| !partitions.contains(owned));
        self.phase = Phase::Releasing(then);
        Step::Release { partitions, lost }
    }

    fn join(&mut self) -> Step {
        self.phase = Phase::Joining;
        let owned: Vec<_> = self.owned.iter().cloned().collect();
        let protocols = self.rules.assignors.iter().map(|assignor| {
            let subscription = Subscription {
                topics: self.topics.iter().cloned().collect(),
                user_data: assignor.user_data(&self.last_assignment.0, self.last_assignment.1),
                owned: owned.clone(),
                generation_id: Some(self.generation_id),
                rack_id: self.rules.rack_id.clone(),
            };
            (*assignor, subscription)
        });
        Step::Join { member_id: self.member_id.clone(), protocols: protocols.collect() }
    }

    /// Partitions were given back. The next `step` goes on; `Some` is to be done before.
    pub(crate) fn on_released(&mut self) -> Option<Step> {
        let Phase::Releasing(then) = self.phase else { return None };
        match then {
            Then::Join if self.closing || self.fatal.is_some() => self.phase = Phase::Unjoined,
            Then::Join => return Some(self.join()),
            Then::Adopt => {
                self.phase = Phase::Stable;
                // The partitions that are free now go to others in the next generation.
                self.rejoin = true;
                let added = std::mem::take(&mut self.added);
                return (!added.is_empty()).then_some(Step::Adopt(added));
            }
            Then::Leave => return Some(self.leave()),
        }
        None
    }

    pub(crate) fn on_join(&mut self, answer: Result<Joined, Failure>, now: Instant) -> Option<Step> {
        if self.phase != Phase::Joining {
            return None;
        }
        let joined = match answer {
            Ok(joined) => joined,
            Err(failure) => {
                self.on_failure(failure, now);
                return None;
            }
        };
        self.failures = 0;
        (self.member_id, self.generation_id) = (joined.member_id, joined.generation_id);
        self.assignor = self.rules.assignors.iter().find(|known| known.name() == joined.protocol_name).copied();
        self.is_leader = joined.is_leader;
        (self.nobody_leads, self.doubts_coordinator) = (joined.nobody_leads, false);
        let Some(assignor) = self.assignor else {
            let reason = format!("the group chose {:?}, which was not offered", joined.protocol_name);
            self.fatal = Some(Error::config("assignors", reason));
            self.phase = Phase::Unjoined;
            return None;
        };
        if joined.is_leader && !joined.skip_assignment {
            self.phase = Phase::Assigning;
            return Some(Step::Assign { assignor, members: joined.members });
        }
        self.phase = Phase::Syncing;
        Some(Step::Sync { assignments: Vec::new() })
    }

    /// The leader has computed the assignment, or could not.
    pub(crate) fn on_assignment(
        &mut self,
        assignment: Result<Vec<(String, Vec<TopicPartition>)>, Failure>,
        now: Instant,
    ) -> Option<Step> {
        if self.phase != Phase::Assigning {
            return None;
        }
        match assignment {
            Ok(assignments) => {
                self.phase = Phase::Syncing;
                Some(Step::Sync { assignments })
            }
            Err(failure) => {
                self.on_failure(failure, now);
                None
            }
        }
    }

    /// The member's part of the assignment (`onJoinComplete`).
    pub(crate) fn on_sync(&mut self, answer: Result<&[u8], Failure>, now: Instant) -> Option<Step> {
        if self.phase != Phase::Syncing {
            return None;
        }
        let assigned: BTreeSet<_> = match answer.map(decode_assignment) {
            Ok(Some(partitions)) => partitions.into_iter().collect(),
            Ok(None) => {
                self.fatal = Some(Error::config("assignors", "got an assignment from the group that cannot be read"));
                self.phase = Phase::Unjoined;
                return None;
            }
            Err(failure) => {
                self.on_failure(failure, now);
                return None;
            }
        };
        self.failures = 0;
        self.heartbeat_due = now + self.rules.heartbeat_interval;
        self.last_assignment = (assigned.iter().cloned().collect(), self.generation_id);
        let added: Vec<_> = assigned.difference(&self.owned).cloned().collect();
        let revoked: Vec<_> = self.owned.difference(&assigned).cloned().collect();
        self.owned.extend(added.iter().cloned());
        if revoked.is_empty() {
            self.phase = Phase::Stable;
            return Some(Step::Adopt(added));
        }
        self.added = added;
        Some(self.release(revoked, false, Then::Adopt))
    }

    pub(crate) fn on_heartbeat(&mut self, generation_id: i32, answer: Result<(), Failure>, now: Instant) {
        self.heartbeat_in_flight = false;
        if generation_id != self.generation_id {
            return;
        }
        match answer {
            Ok(()) => {
                self.failures = 0;
                // When the last member of the consumer protocol leaves, the rebalance that follows is in the coordinator's memory
                // alone (`GroupMetadataManager.convertToClassicGroup`). Another coordinator knows of none, and would keep us for
                // ever at the part that we had; whoever joins again makes it begin one. Elsewhere that changes nothing.
                self.rejoin |= std::mem::take(&mut self.doubts_coordinator) && self.phase == Phase::Stable;
            }
            Err(Failure::Rebalance) => self.rejoin |= self.phase == Phase::Stable,
            Err(Failure::Later(error)) => {
                tracing::debug!(%error, "a heartbeat failed");
                self.failures += 1;
                self.doubts_coordinator = self.nobody_leads;
                self.heartbeat_due = now + self.rules.backoff.wait(self.failures);
            }
            Err(Failure::Fatal(error) | Failure::Incapable(error) | Failure::Unreleased(error)) => {
                self.fatal = Some(error);
            }
            Err(Failure::UnknownMember | Failure::Fenced) => self.forget(true),
            Err(Failure::IllegalGeneration | Failure::MemberIdRequired(_)) => self.forget(false),
        }
    }

    /// The group goes on without us. What we have is lost, which the next step tells.
    fn forget(&mut self, member_id: bool) {
        self.generation_id = NO_GENERATION;
        self.is_leader = false;
        if member_id {
            self.member_id.clear();
        }
        self.rejoin |= self.phase == Phase::Stable;
    }

    /// JoinGroup or SyncGroup failed: join again, at once or later.
    fn on_failure(&mut self, failure: Failure, now: Instant) {
        tracing::debug!(?failure, "joining the group failed");
        self.phase = Phase::Unjoined;
        match failure {
            Failure::MemberIdRequired(member_id) => {
                self.member_id = member_id;
                return;
            }
            Failure::UnknownMember | Failure::Fenced => self.forget(true),
            Failure::IllegalGeneration => self.forget(false),
            Failure::Rebalance => {}
            Failure::Fatal(error) | Failure::Incapable(error) | Failure::Unreleased(error) => self.fatal = Some(error),
            Failure::Later(_) => {}
        }
        self.failures += 1;
        self.not_before = Some(now + self.rules.backoff.wait(self.failures));
    }

    /// The leader found that topics have other partitions than those it assigned.
    pub(crate) fn request_rejoin(&mut self) {
        self.rejoin |= self.phase == Phase::Stable;
    }

    /// Other topics match the member's pattern now.
    pub(crate) fn subscribe(&mut self, topics: &BTreeSet<Arc<str>>) {
        if self.topics != *topics {
            self.topics.clone_from(topics);
            // A join that is under way was sent with the old ones.
            self.rejoin |= self.generation_id != NO_GENERATION || self.phase != Phase::Unjoined;
        }
    }

    /// Somebody learned that the coordinator sees us otherwise than we do: ask it now.
    pub(crate) fn hasten(&mut self, now: Instant) {
        if self.failures == 0 {
            self.heartbeat_due = self.heartbeat_due.min(now);
        }
    }

    /// The program has not asked for records for `max.poll.interval`: somebody else shall have its partitions.
    pub(crate) fn on_poll_expired(&mut self) -> Option<Step> {
        if self.phase != Phase::Stable {
            return None;
        }
        let member_id = std::mem::take(&mut self.member_id);
        self.forget(true);
        self.rejoin = false;
        self.phase = Phase::Idle;
        Some(Step::Leave { member_id })
    }

    /// The program asks for records again.
    pub(crate) fn on_polled(&mut self) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Unjoined;
        }
    }

    /// The consumer is being closed: give everything back and leave.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    fn end(&mut self) -> Step {
        let owned: Vec<_> = self.owned.iter().cloned().collect();
        let lost = self.generation_id == NO_GENERATION || self.fatal.is_some();
        if owned.is_empty() { self.leave() } else { self.release(owned, lost, Then::Leave) }
    }

    /// Static members stay in the group until their session ends (KIP-345).
    fn leave(&mut self) -> Step {
        if self.member_id.is_empty() || self.rules.is_static || self.fatal.is_some() {
            self.phase = Phase::Ended;
            return Step::End(self.fatal.take());
        }
        self.phase = Phase::Leaving;
        Step::Leave { member_id: self.member_id.clone() }
    }

    /// LeaveGroup was answered, or not: the member is gone in any case.
    pub(crate) fn on_left(&mut self) -> Option<Step> {
        if self.phase != Phase::Leaving {
            return None;
        }
        self.phase = Phase::Ended;
        Some(Step::End(None))
    }
}

#[cfg(test)]
#[path = "classic_tests.rs"]
mod tests;
