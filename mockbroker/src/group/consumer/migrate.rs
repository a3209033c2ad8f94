//! A group that changes its protocol while it has members: a classic group that becomes a consumer group, because a member
//! joins that speaks the consumer protocol, and a consumer group whose last such member has gone, which becomes a classic one.
//!
//! Here is what a group of the one kind says of itself to the other. When that happens and what is written is
//! `group::migration`'s.
//!
//! Sources: `ConsumerGroup.fromClassicGroup`, `validateOnlineDowngradeWithFencedMembers`,
//! `validateOnlineDowngradeWithReplacedMember`.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::record::{
    AssignedPartitions, ClassicMemberMetadata, ClassicProtocol, ConsumerRecord, CurrentMemberAssignmentValue,
    GroupMetadataValue, MemberMetadataValue, MemberState, Partitions, TargetAssignmentMemberValue,
    TargetAssignmentMetadataValue,
};
use super::state::Member;
use super::timers::Timer;
use super::topics::{TopicCatalog, metadata_hash};
use super::{ConsumerGroup, Ctx};
use crate::cluster::Refusal;
use crate::group::event::Protocol;
use crate::group::record::{Assignment, NamedPartitions, Subscription};
use crate::types::PartitionId;

/// A consumer group that is to become a classic one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Downgrade {
    /// The group epoch.
    pub(crate) generation_id: i32,
    /// The first one leads.
    pub(crate) members: Vec<(MigratingMember, NamedPartitions)>,
    /// Whether what the members are assigned is not what they should have, so that they have to join again.
    pub(crate) rebalance: bool,
}

/// A classic group that is to become a consumer group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Upgrade {
    pub(crate) generation_id: i32,
    pub(crate) members: Vec<UpgradingMember>,
}

/// A member of a classic group that becomes a consumer group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UpgradingMember {
    pub(crate) member: MigratingMember,
    /// Its metadata for the protocol of the group; `None` if there is no protocol yet, or it does not know it.
    pub(crate) subscription: Option<Bytes>,
    pub(crate) assignment: Bytes,
}

/// What both kinds of group know of a member that speaks the classic protocol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MigratingMember {
    pub(crate) member_id: StrBytes,
    pub(crate) group_instance_id: Option<StrBytes>,
    pub(crate) client_id: StrBytes,
    pub(crate) client_host: StrBytes,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    pub(crate) protocols: Vec<Protocol>,
}

/// Down to a classic group.
impl ConsumerGroup {
    /// The classic group that is left when `leaving` go, if it is to be one.
    pub(super) fn downgrade_without(&self, ctx: &Ctx<'_>, leaving: &BTreeSet<String>) -> Option<Downgrade> {
        let left = || self.hard.members().iter().filter(|(member_id, _)| !leaving.contains(*member_id));
        let is_due = left().next().is_some() && left().all(|(_, member)| member.uses_classic_protocol());
        if !is_due || !ctx.config.migration_policy.allows_downgrade() || left().count() > ctx.config.classic_max_size {
            return None;
        }
        let members = left().map(|(member_id, member)| self.migrating(ctx.topics, member_id, member)).collect();
        Some(Downgrade { generation_id: self.hard.group_epoch(), members, rebalance: true })
    }

    /// Whether the group is to be a classic one when a member of the classic protocol takes the place of `replaced`.
    pub(super) fn is_downgraded_by_replacing(&self, ctx: &Ctx<'_>, replaced: &str) -> bool {
        let is_last = self.hard.member(replaced).is_some_and(|member| !member.uses_classic_protocol())
            && self.hard.classic_members() == self.hard.members().len() - 1;
        is_last
            && ctx.config.migration_policy.allows_downgrade()
            && self.hard.members().len() <= ctx.config.classic_max_size
    }

    /// The classic group of all members, the last of which has just joined.
    pub(super) fn downgrade_with(
        &self,
        topics: &dyn TopicCatalog,
        joined: &str,
        generation_id: i32,
        rebalance: bool,
    ) -> Downgrade {
        let others = self.hard.members().iter().filter(|(member_id, _)| *member_id != joined);
        let joined = self.hard.members().get_key_value(joined);
        let members = others.chain(joined).map(|(id, member)| self.migrating(topics, id, member)).collect();
        Downgrade { generation_id, members, rebalance }
    }

    fn migrating(
        &self,
        topics: &dyn TopicCatalog,
        member_id: &str,
        member: &Member,
    ) -> (MigratingMember, NamedPartitions) {
        let metadata = &member.metadata;
        let classic = metadata.classic_member_metadata.as_ref();
        let protocols = classic.into_iter().flat_map(|classic| &classic.supported_protocols);
        let to_protocol = |it: &ClassicProtocol| Protocol { name: text(&it.name), metadata: it.metadata.clone() };
        let migrating = MigratingMember {
            member_id: text(member_id),
            group_instance_id: metadata.instance_id.as_deref().map(text),
            client_id: text(&metadata.client_id),
            client_host: text(&metadata.client_host),
            rebalance_timeout_ms: metadata.rebalance_timeout_ms,
            session_timeout_ms: classic.map_or(0, |classic| classic.session_timeout_ms),
            protocols: protocols.map(to_protocol).collect(),
        };
        let target = self.hard.target(member_id);
        (migrating, target.map(|target| to_names(topics, target)).unwrap_or_default())
    }
}

/// Up from a classic group.
impl ConsumerGroup {
    /// The consumer group that a classic one becomes: its members keep what they have, and their generation is their epoch.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND if what the members say cannot be read, or would be lost. UNKNOWN_SERVER_ERROR if two of them have
    /// one partition, or the group has no protocol that all of them know.
    pub(crate) fn upgraded(
        ctx: &Ctx<'_>,
        group_id: &str,
        upgrade: &Upgrade,
        out: &mut Vec<ConsumerRecord>,
    ) -> Result<Self, Refusal> {
        let mut group = Self::new(group_id);
        let epoch = upgrade.generation_id;
        let mut members = Vec::new();
        let mut taken = BTreeSet::new();
        for upgrading in &upgrade.members {
            let (metadata, assigned) = read(ctx.topics, group_id, upgrading)?;
            let mut partitions =
                assigned.iter().flat_map(|(id, partitions)| partitions.iter().map(move |it| (*id, *it)));
            if !partitions.all(|partition| taken.insert(partition)) {
                // An IllegalStateException in Kafka: a partition has one owner.
                return Err(Refusal::code(ResponseError::UnknownServerError));
            }
            members.push((upgrading.member.member_id.to_string(), metadata, assigned));
        }
        let ids = |member_id: &String| (group_id.to_owned(), member_id.clone());
        for (member_id, metadata, _) in &members {
            let ((group_id, member_id), value) = (ids(member_id), Some(metadata.clone()));
            group.persist(ConsumerRecord::MemberMetadata { group_id, member_id, value }, out);
        }
        let metadata_hash = metadata_hash(ctx.topics, &group.hard.subscribed_names());
        let value = Some(GroupMetadataValue { epoch, metadata_hash });
        group.persist(ConsumerRecord::GroupMetadata { group_id: group_id.to_owned(), value }, out);
        for (member_id, _, assigned) in &members {
            let (group_id, member_id) = ids(member_id);
            let value = Some(TargetAssignmentMemberValue { topic_partitions: assigned.clone() });
            group.persist(ConsumerRecord::TargetAssignmentMember { group_id, member_id, value }, out);
        }
        let value = Some(TargetAssignmentMetadataValue { assignment_epoch: epoch, assignment_timestamp: 0 });
        group.persist(ConsumerRecord::TargetAssignmentMetadata { group_id: group_id.to_owned(), value }, out);
        for (member_id, _, assigned) in &members {
            let ((group_id, member_id), value) = (ids(member_id), Some(stable(epoch, assigned)));
            group.persist(ConsumerRecord::CurrentMemberAssignment { group_id, member_id, value }, out);
        }
        for upgrading in &upgrade.members {
            let member = &upgrading.member;
            let session_ends = ctx.now.plus_millis(member.session_timeout_ms.into());
            group.timers.arm(&member.member_id, Timer::Session, session_ends, epoch);
        }
        Ok(group)
    }
}

/// What a classic member says of itself and what it is assigned, in the words of a consumer group.
fn read(
    topics: &dyn TopicCatalog,
    group_id: &str,
    upgrading: &UpgradingMember,
) -> Result<(MemberMetadataValue, Partitions), Refusal> {
    let refused = |why: &str| {
        let text = format!("Cannot upgrade classic group {group_id} to consumer group because {why}");
        Refusal::new(ResponseError::GroupIdNotFound, text)
    };
    let malformed = |_| refused("the embedded consumer protocol is malformed.");
    let assigned = match upgrading.assignment.is_empty() {
        true => Partitions::new(),
        false => {
            let assignment = Assignment::decode(&upgrading.assignment).map_err(malformed)?;
            if assignment.has_user_data {
                return Err(refused(
                    "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
                     assignor before re-attempting the upgrade.",
                ));
            }
            to_ids(topics, &assignment.assigned_partitions)
        }
    };
    let Some(subscription) = &upgrading.subscription else {
        // What Kafka does not expect, either: the group has no protocol yet, or the member has joined with others.
        return Err(Refusal::code(ResponseError::UnknownServerError));
    };
    let subscription = Subscription::decode(subscription).map_err(malformed)?;
    let member = &upgrading.member;
    let metadata = MemberMetadataValue {
        instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        rack_id: subscription.rack_id.map(|rack_id| rack_id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        subscribed_topic_names: subscription.topics.iter().map(ToString::to_string).collect(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        classic_member_metadata: Some(classic_metadata(member.session_timeout_ms, &member.protocols)),
        ..Member::unknown().metadata
    };
    Ok((metadata, assigned))
}

/// What a member of the classic protocol is known by.
pub(super) fn classic_metadata(session_timeout_ms: i32, protocols: &[Protocol]) -> ClassicMemberMetadata {
    let to_protocol = |it: &Protocol| ClassicProtocol { name: it.name.to_string(), metadata: it.metadata.clone() };
    ClassicMemberMetadata { session_timeout_ms, supported_protocols: protocols.iter().map(to_protocol).collect() }
}

/// The partitions of those topics that exist, by id.
pub(super) fn to_ids(topics: &dyn TopicCatalog, named: &NamedPartitions) -> Partitions {
    let mut partitions = Partitions::new();
    for (name, numbers) in named {
        if let Some((topic_id, _)) = topics.topic(name) {
            partitions.entry(topic_id).or_default().extend(numbers.iter().map(|number| PartitionId(*number)));
        }
    }
    partitions
}

/// The partitions of those topics that exist, by name.
pub(super) fn to_names(topics: &dyn TopicCatalog, partitions: &Partitions) -> NamedPartitions {
    let named = partitions.iter().filter_map(|(topic_id, partitions)| {
        Some((text(topics.name(*topic_id)?), partitions.iter().map(|partition| partition.0).collect()))
    });
    named.collect()
}

fn stable(epoch: i32, assigned: &Partitions) -> CurrentMemberAssignmentValue {
    let of_topic =
        |partitions: &BTreeSet<PartitionId>| partitions.iter().map(|partition| (*partition, epoch)).collect();
    CurrentMemberAssignmentValue {
        member_epoch: epoch,
        previous_member_epoch: epoch,
        state: MemberState::Stable,
        assigned_partitions: assigned.iter().map(|(id, partitions)| (*id, of_topic(partitions))).collect(),
        partitions_pending_revocation: AssignedPartitions::new(),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
