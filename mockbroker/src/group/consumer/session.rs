//! How members go: they leave, for good or for a while, or are removed because nothing is heard of them or because they do
//! not give up what they must. And what else time does to a group.

use std::collections::{BTreeMap, BTreeSet};

use super::heartbeat::{Heartbeat, HeartbeatAnswer};
use super::record::{AssignedPartitions, ConsumerRecord, MemberState};
use super::regex;
use super::state::LEAVE_GROUP_STATIC_MEMBER_EPOCH;
use super::timers::Timer;
use super::{ConsumerGroup, Ctx, Downgrade};
use crate::cluster::Refusal;
use crate::time::Timestamp;

/// The state of a group, as it is shown to users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerGroupState {
    /// No members.
    Empty,
    /// The target is older than the group epoch.
    Assigning,
    /// Some member has not all that the target gives it.
    Reconciling,
    /// All have.
    Stable,
    /// There is no such group.
    Dead,
}

impl ConsumerGroupState {
    /// As DescribeGroup and ListGroups call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

impl ConsumerGroup {
    /// The earliest instant at which [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        [self.timers.next(), self.regex_refresh].into_iter().flatten().min()
    }

    /// Does what is due: removes members, looks up patterns. With a [`Downgrade`] it has stopped there.
    pub(crate) fn expire(&mut self, ctx: &Ctx<'_>, out: &mut Vec<ConsumerRecord>) -> Option<Downgrade> {
        while let Some((member_id, timer, armed_at)) = self.timers.pop(ctx.now) {
            let Some(member) = self.hard.member(&member_id) else { continue };
            if timer != Timer::Rebalance || member.assignment.member_epoch == armed_at {
                let downgrade = self.fence(ctx, &BTreeSet::from([member_id]), out);
                if downgrade.is_some() {
                    return downgrade;
                }
            }
        }
        if self.regex_refresh.is_some_and(|at| at <= ctx.now) {
            self.regex_refresh = None;
            self.refresh_regexes(ctx, out);
        }
        None
    }

    /// Gives all members their deadlines, after the records were read (`GroupMetadataManager.onLoaded`).
    pub(crate) fn loaded(&mut self, ctx: &Ctx<'_>) {
        for (member_id, member) in self.hard.members() {
            let member_epoch = member.assignment.member_epoch;
            // For members of the classic protocol, too, whatever they said when they joined; as in Kafka.
            let session_ends = ctx.now.plus_millis(ctx.config.session_timeout_ms.into());
            self.timers.arm(member_id, Timer::Session, session_ends, member_epoch);
            if member.assignment.state == MemberState::UnrevokedPartitions {
                let rebalance_ends = ctx.now.plus_millis(member.metadata.rebalance_timeout_ms.into());
                self.timers.arm(member_id, Timer::Rebalance, rebalance_ends, member_epoch);
            }
        }
    }

    /// Whether nobody is a member.
    pub(crate) fn is_empty(&self) -> bool {
        self.hard.members().is_empty()
    }

    /// Whether a member reads `topic`.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.hard.is_subscribed_to(topic)
    }

    /// What users see of the group.
    pub(crate) fn state(&self) -> ConsumerGroupState {
        let assignment_epoch = self.hard.assignment_epoch();
        let mut members = self.hard.members().values();
        if !self.hard.is_persisted() {
            ConsumerGroupState::Dead
        } else if self.hard.members().is_empty() {
            ConsumerGroupState::Empty
        } else if self.hard.group_epoch() > assignment_epoch {
            ConsumerGroupState::Assigning
        } else if members.all(|member| member.is_reconciled_to(assignment_epoch)) {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// Deletes the group: tombstones for all its records, the group's own last (`createGroupTombstoneRecords`).
    pub(crate) fn delete(&mut self, out: &mut Vec<ConsumerRecord>) {
        let group_id = || self.group_id.clone();
        let members: Vec<String> = self.hard.members().keys().cloned().collect();
        let of_member = |tombstone: fn(String, String) -> ConsumerRecord| {
            members.iter().map(move |member_id| tombstone(group_id(), member_id.clone()))
        };
        let mut tombstones: Vec<ConsumerRecord> = Vec::new();
        tombstones.extend(of_member(no_assignment));
        tombstones.extend(of_member(no_target));
        tombstones.push(ConsumerRecord::TargetAssignmentMetadata { group_id: group_id(), value: None });
        tombstones.extend(of_member(no_member));
        for regular_expression in self.hard.resolved_regexes().keys().cloned() {
            tombstones.push(ConsumerRecord::RegularExpression {
                group_id: group_id(),
                regular_expression,
                value: None,
            });
        }
        tombstones.push(ConsumerRecord::PartitionMetadata { group_id: group_id() });
        tombstones.push(ConsumerRecord::GroupMetadata { group_id: group_id(), value: None });
        for member_id in &members {
            self.timers.cancel_all(member_id);
        }
        for tombstone in tombstones {
            self.persist(tombstone, out);
        }
        self.regex_refresh = None;
    }

    /// `consumerGroupLeave`.
    pub(super) fn leave(
        &mut self,
        ctx: &Ctx<'_>,
        request: &Heartbeat,
        out: &mut Vec<ConsumerRecord>,
    ) -> Result<(HeartbeatAnswer, Option<Downgrade>), Refusal> {
        if !self.hard.is_persisted() {
            return Err(self.not_found("Group"));
        }
        let member_id = &request.member_id;
        if let Some(instance_id) = &request.instance_id {
            self.check_instance(instance_id, member_id)?;
        }
        let Some(member) = self.hard.member(member_id) else { return Err(self.unknown_member(member_id)) };
        let mut downgrade = None;
        if request.member_epoch == LEAVE_GROUP_STATIC_MEMBER_EPOCH {
            // It keeps its place and its partitions until its session ends; its last epoch stays the previous one. Whoever
            // comes back may commit for its partitions from the first epoch on.
            let mut value = member.assignment.clone();
            value.member_epoch = LEAVE_GROUP_STATIC_MEMBER_EPOCH;
            value.partitions_pending_revocation = AssignedPartitions::new();
            value.assigned_partitions.values_mut().flat_map(BTreeMap::values_mut).for_each(|epoch| *epoch = 0);
            let (group_id, member_id) = (self.group_id.clone(), member_id.clone());
            self.persist(ConsumerRecord::CurrentMemberAssignment { group_id, member_id, value: Some(value) }, out);
        } else {
            downgrade = self.fence(ctx, &BTreeSet::from([member_id.clone()]), out);
        }
        let answer = HeartbeatAnswer {
            member_id: member_id.clone(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        };
        Ok((answer, downgrade))
    }

    /// Removes members, and raises the group epoch; unless the group is to become a classic one, which the caller does
    /// (`consumerGroupFenceMembers`).
    pub(super) fn fence(
        &mut self,
        ctx: &Ctx<'_>,
        members: &BTreeSet<String>,
        out: &mut Vec<ConsumerRecord>,
    ) -> Option<Downgrade> {
        if members.is_empty() {
            return None;
        }
        let downgrade = self.downgrade_without(ctx, members);
        if downgrade.is_some() {
            return downgrade;
        }
        let patterns: BTreeSet<String> =
            members.iter().filter_map(|id| self.hard.member(id)?.regex().map(str::to_owned)).collect();
        for member_id in members {
            self.timers.cancel_all(member_id);
            self.remove_member(member_id, out);
        }
        for regular_expression in patterns {
            if !self.hard.subscribed_regexes().contains_key(&regular_expression) {
                let group_id = self.group_id.clone();
                self.persist(ConsumerRecord::RegularExpression { group_id, regular_expression, value: None }, out);
            }
        }
        self.update_metadata(ctx, true, out);
        None
    }

    /// Tombstones for a member. Their order matters to who reads them.
    pub(super) fn remove_member(&mut self, member_id: &str, out: &mut Vec<ConsumerRecord>) {
        for tombstone in [no_assignment, no_target, no_member] {
            self.persist(tombstone(self.group_id.clone(), member_id.to_owned()), out);
        }
    }

    /// Looks up all patterns; the group epoch rises if any stands for other topics than before
    /// (`handleRegularExpressionsResult`).
    fn refresh_regexes(&mut self, ctx: &Ctx<'_>, out: &mut Vec<ConsumerRecord>) {
        let mut bump = false;
        for regular_expression in self.hard.subscribed_regexes().keys().cloned().collect::<Vec<_>>() {
            let resolved = regex::resolve(ctx.topics, &regular_expression, ctx.now.as_millis());
            let before = self.hard.resolved_regexes().get(&regular_expression).map(|resolved| &resolved.topics);
            bump |= before.map_or(!resolved.topics.is_empty(), |before| *before != resolved.topics);
            let (group_id, value) = (self.group_id.clone(), Some(resolved));
            self.persist(ConsumerRecord::RegularExpression { group_id, regular_expression, value }, out);
        }
        self.update_metadata(ctx, bump, out);
    }
}

fn no_assignment(group_id: String, member_id: String) -> ConsumerRecord {
    ConsumerRecord::CurrentMemberAssignment { group_id, member_id, value: None }
}

fn no_target(group_id: String, member_id: String) -> ConsumerRecord {
    ConsumerRecord::TargetAssignmentMember { group_id, member_id, value: None }
}

fn no_member(group_id: String, member_id: String) -> ConsumerRecord {
    ConsumerRecord::MemberMetadata { group_id, member_id, value: None }
}
