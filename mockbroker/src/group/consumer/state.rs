//! The hard state of a consumer group: what its records say. Only [`HardState::apply`] changes it.
//!
//! What can be derived from the records (who owns a partition, which instance is which member, how many members are
//! subscribed to a pattern) is kept beside them and changes with them.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{
    AssignedPartitions, ConsumerRecord, CurrentMemberAssignmentValue, GroupMetadataValue, MemberMetadataValue,
    MemberState, Partitions, RegularExpressionValue, TargetAssignmentMetadataValue,
};
use crate::types::{PartitionId, TopicId};

/// The member epoch of one that leaves for good.
pub(super) const LEAVE_GROUP_MEMBER_EPOCH: i32 = -1;

/// The member epoch of a static member that will be back.
pub(super) const LEAVE_GROUP_STATIC_MEMBER_EPOCH: i32 = -2;

/// A member: what it said of itself and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(super) metadata: MemberMetadataValue,
    pub(super) assignment: CurrentMemberAssignmentValue,
}

impl Member {
    /// A member of which nothing is known yet (`ConsumerGroupMember.Builder`).
    pub(super) fn unknown() -> Self {
        Self {
            metadata: MemberMetadataValue {
                instance_id: None,
                rack_id: None,
                client_id: String::new(),
                client_host: String::new(),
                subscribed_topic_names: BTreeSet::new(),
                subscribed_topic_regex: Some(String::new()),
                rebalance_timeout_ms: -1,
                server_assignor: None,
                classic_member_metadata: None,
            },
            assignment: CurrentMemberAssignmentValue {
                member_epoch: 0,
                previous_member_epoch: -1,
                state: MemberState::Stable,
                assigned_partitions: AssignedPartitions::new(),
                partitions_pending_revocation: AssignedPartitions::new(),
            },
        }
    }

    /// What it has, and at which epoch it is.
    #[cfg(test)]
    pub(crate) fn assignment(&self) -> &CurrentMemberAssignmentValue {
        &self.assignment
    }

    /// The pattern it is subscribed to.
    pub(super) fn regex(&self) -> Option<&str> {
        self.metadata.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }

    /// Whether it speaks the classic protocol.
    pub(super) fn uses_classic_protocol(&self) -> bool {
        self.metadata.classic_member_metadata.is_some()
    }

    /// Whether it has all that the target of `assignment_epoch` gives it.
    pub(super) fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.assignment.state == MemberState::Stable && self.assignment.member_epoch == assignment_epoch
    }
}

/// What the records of a group say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HardState {
    persisted: bool,
    metadata: GroupMetadataValue,
    target_metadata: TargetAssignmentMetadataValue,
    members: BTreeMap<String, Member>,
    target: BTreeMap<String, Partitions>,
    resolved_regexes: BTreeMap<String, RegularExpressionValue>,
    // Derived.
    static_members: BTreeMap<String, String>,
    owners: BTreeMap<(TopicId, PartitionId), String>,
    subscribed_names: BTreeMap<String, usize>,
    subscribed_regexes: BTreeMap<String, usize>,
    classic: ClassicMembers,
}

/// Of the members that speak the classic protocol: how many they are, and how often they offer each protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ClassicMembers {
    members: usize,
    protocols: BTreeMap<String, usize>,
}

impl HardState {
    /// A group of which there are no records. Since 4.3 it is at epoch 1 with an empty target of that epoch
    /// (`ModernGroup`, KAFKA-19862).
    pub(super) fn new() -> Self {
        Self {
            persisted: false,
            metadata: GroupMetadataValue { epoch: 1, metadata_hash: 0 },
            target_metadata: TargetAssignmentMetadataValue { assignment_epoch: 1, assignment_timestamp: 0 },
            members: BTreeMap::new(),
            target: BTreeMap::new(),
            resolved_regexes: BTreeMap::new(),
            static_members: BTreeMap::new(),
            owners: BTreeMap::new(),
            subscribed_names: BTreeMap::new(),
            subscribed_regexes: BTreeMap::new(),
            classic: ClassicMembers::default(),
        }
    }

    /// Applies one record.
    pub(super) fn apply(&mut self, record: &ConsumerRecord) {
        self.persisted = true;
        match record {
            ConsumerRecord::GroupMetadata { value: Some(value), .. } => self.metadata = value.clone(),
            ConsumerRecord::GroupMetadata { value: None, .. } => *self = Self::new(),
            ConsumerRecord::PartitionMetadata { .. } => {}
            ConsumerRecord::MemberMetadata { member_id, value: Some(value), .. } => {
                self.describe_member(member_id, value)
            }
            ConsumerRecord::MemberMetadata { member_id, value: None, .. } => self.remove_member(member_id),
            ConsumerRecord::TargetAssignmentMetadata { value, .. } => {
                let none = TargetAssignmentMetadataValue { assignment_epoch: -1, assignment_timestamp: 0 };
                self.target_metadata = value.clone().unwrap_or(none);
            }
            ConsumerRecord::TargetAssignmentMember { member_id, value: Some(value), .. } => {
                self.target.insert(member_id.clone(), value.topic_partitions.clone());
            }
            ConsumerRecord::TargetAssignmentMember { member_id, value: None, .. } => {
                self.target.remove(member_id);
            }
            ConsumerRecord::CurrentMemberAssignment { member_id, value, .. } => self.assign(member_id, value.as_ref()),
            ConsumerRecord::RegularExpression { regular_expression, value: Some(value), .. } => {
                self.resolved_regexes.insert(regular_expression.clone(), value.clone());
            }
            ConsumerRecord::RegularExpression { regular_expression, value: None, .. } => {
                self.resolved_regexes.remove(regular_expression);
            }
        }
    }

    fn describe_member(&mut self, member_id: &str, value: &MemberMetadataValue) {
        let mut member = self.take_member(member_id).unwrap_or_else(Member::unknown);
        member.metadata = value.clone();
        for name in &value.subscribed_topic_names {
            *self.subscribed_names.entry(name.clone()).or_default() += 1;
        }
        if let Some(regex) = member.regex() {
            *self.subscribed_regexes.entry(regex.to_owned()).or_default() += 1;
        }
        if let Some(classic) = &value.classic_member_metadata {
            self.classic.members += 1;
            for protocol in &classic.supported_protocols {
                *self.classic.protocols.entry(protocol.name.clone()).or_default() += 1;
            }
        }
        if let Some(instance_id) = &value.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.to_owned());
        }
        self.members.insert(member_id.to_owned(), member);
    }

    fn remove_member(&mut self, member_id: &str) {
        if let Some(member) = self.take_member(member_id) {
            self.release(member_id, &member.assignment);
        }
    }

    /// Takes a member out, with all that follows from what it said of itself, but not what it owns.
    fn take_member(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        for name in &member.metadata.subscribed_topic_names {
            decrement(&mut self.subscribed_names, name);
        }
        if let Some(regex) = member.regex() {
            decrement(&mut self.subscribed_regexes, regex);
        }
        if let Some(classic) = &member.metadata.classic_member_metadata {
            self.classic.members -= 1;
            for protocol in &classic.supported_protocols {
                decrement(&mut self.classic.protocols, &protocol.name);
            }
        }
        if let Some(instance_id) = &member.metadata.instance_id {
            // The instance may be another member's by now: a replacement is written after the tombstones of the replaced.
            if self.static_members.get(instance_id).is_some_and(|holder| holder == member_id) {
                self.static_members.remove(instance_id);
            }
        }
        Some(member)
    }

    /// `GroupMetadataManager.replay(ConsumerGroupCurrentMemberAssignment..)`.
    fn assign(&mut self, member_id: &str, value: Option<&CurrentMemberAssignmentValue>) {
        let Some(value) = value else {
            // A tombstone for a member that is not there says nothing.
            let Some(mut member) = self.members.remove(member_id) else { return };
            self.release(member_id, &member.assignment);
            member.assignment = CurrentMemberAssignmentValue {
                member_epoch: LEAVE_GROUP_MEMBER_EPOCH,
                previous_member_epoch: LEAVE_GROUP_MEMBER_EPOCH,
                ..Member::unknown().assignment
            };
            self.members.insert(member_id.to_owned(), member);
            return;
        };
        let mut member = self.members.remove(member_id).unwrap_or_else(Member::unknown);
        self.release(member_id, &member.assignment);
        for partition in partitions(value) {
            self.owners.insert(partition, member_id.to_owned());
        }
        member.assignment = value.clone();
        self.members.insert(member_id.to_owned(), member);
    }

    fn release(&mut self, member_id: &str, assignment: &CurrentMemberAssignmentValue) {
        for partition in partitions(assignment) {
            if self.owners.get(&partition).is_some_and(|owner| owner == member_id) {
                self.owners.remove(&partition);
            }
        }
    }
}

/// Reading.
impl HardState {
    /// Whether there is a record of the group.
    pub(crate) fn is_persisted(&self) -> bool {
        self.persisted
    }

    /// Rises when subscriptions, membership or topics change.
    pub(crate) fn group_epoch(&self) -> i32 {
        self.metadata.epoch
    }

    /// The hash of the subscribed topics when the group epoch last rose.
    pub(super) fn metadata_hash(&self) -> i64 {
        self.metadata.metadata_hash
    }

    /// The group epoch for which the target was computed.
    pub(crate) fn assignment_epoch(&self) -> i32 {
        self.target_metadata.assignment_epoch
    }

    /// When the target was computed; zero if it never was.
    pub(super) fn assignment_timestamp(&self) -> i64 {
        self.target_metadata.assignment_timestamp
    }

    /// All members, by id.
    pub(crate) fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// The member with this id.
    pub(crate) fn member(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    /// How many members speak the classic protocol.
    pub(super) fn classic_members(&self) -> usize {
        self.classic.members
    }

    /// Whether all members that speak the classic protocol, if there are any, offer the protocol `name`.
    pub(super) fn is_offered_by_all(&self, name: &str) -> bool {
        self.classic.protocols.get(name).copied().unwrap_or(0) == self.classic.members
    }

    /// The id of the member that is this instance.
    pub(crate) fn static_member_id(&self, instance_id: &str) -> Option<&str> {
        self.static_members.get(instance_id).map(String::as_str)
    }

    /// What the target gives to a member.
    pub(super) fn target(&self, member_id: &str) -> Option<&Partitions> {
        self.target.get(member_id)
    }

    /// Who has a partition, or must still give it up.
    pub(super) fn owner(&self, topic_id: TopicId, partition: PartitionId) -> Option<&str> {
        self.owners.get(&(topic_id, partition)).map(String::as_str)
    }

    /// What each pattern stood for when it was last looked up.
    pub(super) fn resolved_regexes(&self) -> &BTreeMap<String, RegularExpressionValue> {
        &self.resolved_regexes
    }

    /// How many members are subscribed to each pattern.
    pub(super) fn subscribed_regexes(&self) -> &BTreeMap<String, usize> {
        &self.subscribed_regexes
    }

    /// The names of all topics that any member is subscribed to, by name or by pattern.
    pub(super) fn subscribed_names(&self) -> BTreeSet<&str> {
        let by_regex = self.subscribed_regexes.keys().filter_map(|regex| self.resolved_regexes.get(regex));
        let by_regex = by_regex.flat_map(|resolved| &resolved.topics);
        self.subscribed_names.keys().chain(by_regex).map(String::as_str).collect()
    }

    /// Whether all members are subscribed in the same way (`ConsumerGroup.subscriptionType`): to the same names and no
    /// pattern, or to one pattern and no name.
    pub(super) fn is_homogeneous(&self) -> bool {
        let members = self.members.len();
        match self.subscribed_regexes.values().next() {
            None => self.subscribed_names.values().all(|subscribers| *subscribers == members),
            Some(subscribers) => *subscribers == members && self.subscribed_names.is_empty(),
        }
    }

    /// Whether any member is subscribed to the topic called `name`, by name or by a pattern.
    pub(super) fn is_subscribed_to(&self, name: &str) -> bool {
        let mut by_regex = self.subscribed_regexes.keys().filter_map(|regex| self.resolved_regexes.get(regex));
        self.subscribed_names.contains_key(name) || by_regex.any(|resolved| resolved.topics.contains(name))
    }

    /// The names of the topics that `member` is subscribed to. A pattern that was not looked up yet stands for none.
    pub(super) fn names_of<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a str> {
        let resolved = member.regex().and_then(|regex| self.resolved_regexes.get(regex));
        let by_regex = resolved.into_iter().flat_map(|resolved| &resolved.topics);
        member.metadata.subscribed_topic_names.iter().chain(by_regex).map(String::as_str)
    }
}

/// All partitions that a member has or must still give up.
fn partitions(assignment: &CurrentMemberAssignmentValue) -> impl Iterator<Item = (TopicId, PartitionId)> {
    let all = assignment.assigned_partitions.iter().chain(&assignment.partitions_pending_revocation);
    all.flat_map(|(topic_id, partitions)| partitions.keys().map(|partition| (*topic_id, *partition)))
}

fn decrement(counts: &mut BTreeMap<String, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
