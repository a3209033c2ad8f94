//! Brings a member one step nearer to its target: (member, target, owners, owned) to the member's next assignment.
//!
//! ```text
//!            target gives all                      has not given up what it must
//!   STABLE <------------------ (newer target) --------------------> UNREVOKED_PARTITIONS
//!     ^                             |                                        |
//!     |                             | others have not given up               | given up
//!     |                             v                                        v
//!     +------------------- UNRELEASED_PARTITIONS <---------------- (newer target)
//! ```
//!
//! A member gives up first, at its old epoch; then its epoch is the target's, and it gets partitions as others release
//! them. Source: KIP-848; `CurrentAssignmentBuilder`.

use std::collections::BTreeSet;

use super::record::{AssignedPartitions, CurrentMemberAssignmentValue, MemberState, Partitions};
use crate::types::{PartitionId, TopicId};

/// All that the next assignment of a member depends on.
pub(super) struct Reconciliation<'a> {
    /// What the member has.
    pub(super) current: &'a CurrentMemberAssignmentValue,
    pub(super) target_epoch: i32,
    pub(super) target: &'a Partitions,
    /// The topics that it is subscribed to. Those of others are not in its target, whatever that says.
    pub(super) subscribed: &'a BTreeSet<TopicId>,
    /// Whether the subscription is another since the last heartbeat.
    pub(super) subscription_changed: bool,
    /// What the member says that it owns. Trusted only to confirm that it has given something up.
    pub(super) owned: Option<&'a Partitions>,
    /// Whether a partition is another member's, or another must still give it up.
    pub(super) is_taken: &'a dyn Fn(TopicId, PartitionId) -> bool,
}

impl Reconciliation<'_> {
    /// The next assignment, which may be the current one.
    pub(super) fn next(&self) -> CurrentMemberAssignmentValue {
        let member_epoch = self.current.member_epoch;
        match self.current.state {
            MemberState::Stable if member_epoch == self.target_epoch => self.without_unsubscribed(),
            MemberState::UnrevokedPartitions if self.owns_any(&self.current.partitions_pending_revocation) => {
                self.without_unsubscribed()
            }
            MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.towards_target(member_epoch)
            }
            // One that owns anything has been fenced: this begins anew.
            MemberState::Unknown => self.towards_target(self.target_epoch),
        }
    }

    /// `computeNextAssignment`.
    fn towards_target(&self, member_epoch: i32) -> CurrentMemberAssignmentValue {
        let mut keep = AssignedPartitions::new();
        let mut revoke = AssignedPartitions::new();
        for (topic_id, partitions) in &self.current.assigned_partitions {
            for (partition, assignment_epoch) in partitions {
                let side = if self.is_in_target(*topic_id, *partition) { &mut keep } else { &mut revoke };
                side.entry(*topic_id).or_default().insert(*partition, *assignment_epoch);
            }
        }
        if !revoke.is_empty() && self.owns_any(&revoke) {
            return self.with(MemberState::UnrevokedPartitions, member_epoch, keep, revoke);
        }
        let mut state = MemberState::Stable;
        for (topic_id, partitions) in self.target.iter().filter(|(topic_id, _)| self.subscribed.contains(topic_id)) {
            for partition in partitions {
                if contains(&self.current.assigned_partitions, *topic_id, *partition) {
                    continue;
                }
                if self.is_unreleased(*topic_id, *partition) {
                    state = MemberState::UnreleasedPartitions;
                } else {
                    keep.entry(*topic_id).or_default().insert(*partition, self.target_epoch);
                }
            }
        }
        self.with(state, self.target_epoch, keep, AssignedPartitions::new())
    }

    /// `updateCurrentAssignment`: takes away what the member is no longer subscribed to, and nothing else.
    fn without_unsubscribed(&self) -> CurrentMemberAssignmentValue {
        let (keep, gone): (AssignedPartitions, AssignedPartitions) =
            self.current.assigned_partitions.clone().into_iter().partition(|(id, _)| self.subscribed.contains(id));
        if !self.subscription_changed || gone.is_empty() {
            return self.current.clone();
        }
        let mut revoke = self.current.partitions_pending_revocation.clone();
        for (topic_id, partitions) in gone {
            revoke.entry(topic_id).or_default().extend(partitions);
        }
        if self.owns_any(&revoke) {
            self.with(MemberState::UnrevokedPartitions, self.current.member_epoch, keep, revoke)
        } else {
            let pending = self.current.partitions_pending_revocation.clone();
            self.with(self.current.state, self.current.member_epoch, keep, pending)
        }
    }

    /// The epoch that the member leaves becomes the previous one, even if it is the same (`updateMemberEpoch`).
    fn with(
        &self,
        state: MemberState,
        member_epoch: i32,
        assigned_partitions: AssignedPartitions,
        partitions_pending_revocation: AssignedPartitions,
    ) -> CurrentMemberAssignmentValue {
        CurrentMemberAssignmentValue {
            member_epoch,
            previous_member_epoch: self.current.member_epoch,
            state,
            assigned_partitions,
            partitions_pending_revocation,
        }
    }

    /// Whether the member still owns any of `partitions`. One that does not say what it owns may own all.
    fn owns_any(&self, partitions: &AssignedPartitions) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic_id, owned)| owned.iter().any(|partition| contains(partitions, *topic_id, *partition)))
    }

    fn is_in_target(&self, topic_id: TopicId, partition: PartitionId) -> bool {
        self.subscribed.contains(&topic_id)
            && self.target.get(&topic_id).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// What the member itself must still give up is free for it.
    fn is_unreleased(&self, topic_id: TopicId, partition: PartitionId) -> bool {
        (self.is_taken)(topic_id, partition)
            && !contains(&self.current.partitions_pending_revocation, topic_id, partition)
    }
}

/// Whether `partitions` has this one.
pub(super) fn contains(partitions: &AssignedPartitions, topic_id: TopicId, partition: PartitionId) -> bool {
    partitions.get(&topic_id).is_some_and(|partitions| partitions.contains_key(&partition))
}
