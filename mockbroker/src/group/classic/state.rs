//! The state of a classic group: its moves, its members, what it agreed on.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::members::{Member, Members};
use crate::group::describe::{DescribedGroup, DescribedMember};
use crate::group::event::{JoinedMember, MemberIdentity, Protocol};
use crate::group::record::GroupMetadataValue;
use crate::time::Timestamp;

/// The protocol type of consumers. Connect has another; any is allowed.
pub(super) const CONSUMER: &str = "consumer";

/// Where a classic group is (`ClassicGroupState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ClassicState {
    /// Nobody is a member. There may be offsets.
    Empty,
    /// Members join.
    PreparingRebalance,
    /// The generation is fixed; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everyone has an assignment.
    Stable,
    /// The group is gone from here. No request sees it: it is what DescribeGroups calls a group that does not exist.
    Dead,
}

impl ClassicState {
    /// All, in Kafka's order.
    pub(crate) const ALL: [Self; 5] =
        [Self::Empty, Self::PreparingRebalance, Self::CompletingRebalance, Self::Stable, Self::Dead];

    /// As DescribeGroups and ListGroups write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }

    /// From where a group comes into this state.
    pub(crate) fn previous(self) -> &'static [Self] {
        match self {
            Self::Empty | Self::CompletingRebalance => &[Self::PreparingRebalance],
            Self::PreparingRebalance => &[Self::Stable, Self::CompletingRebalance, Self::Empty],
            Self::Stable => &[Self::CompletingRebalance],
            Self::Dead => &Self::ALL,
        }
    }
}

/// From when on the offsets of a group grow old (KIP-211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpiresFrom {
    /// From their commit.
    Commit,
    /// From this instant: the group became empty.
    Instant(i64),
    /// They do not.
    Never,
}

/// A classic group, alive (`ClassicGroup`). What of it outlives a restart is in the hard state.
#[derive(Clone, Debug)]
pub(crate) struct ClassicGroup {
    pub(super) state: ClassicState,
    /// -1 if it is not known.
    pub(super) current_state_timestamp: i64,
    pub(super) generation_id: i32,
    /// `None` for a group that never had a member.
    pub(super) protocol_type: Option<StrBytes>,
    pub(super) protocol_name: Option<StrBytes>,
    pub(super) leader: Option<StrBytes>,
    pub(super) members: Members,
    /// Ids that were given out and not yet joined with (KIP-394).
    pub(super) pending_join: BTreeSet<StrBytes>,
    /// Members of this generation that have not asked for their assignment.
    pub(super) pending_sync: BTreeSet<StrBytes>,
    /// Set while a group that was empty waits for more members.
    pub(super) initial_delay: Option<InitialDelay>,
    /// What consumers subscribe to; `None` if that cannot be read.
    subscribed_topics: Option<BTreeSet<StrBytes>>,
}

/// How long a group that was empty waits for more members (KIP-134).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// The length of the wait that runs.
    pub(super) delay_ms: i64,
    /// What of the rebalance timeout is left for more.
    pub(super) remaining_ms: i64,
    pub(super) new_member_added: bool,
}

impl ClassicGroup {
    /// A group that has just come to be.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            state: ClassicState::Empty,
            current_state_timestamp: now.as_millis(),
            generation_id: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: Members::default(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            initial_delay: None,
            subscribed_topics: None,
        }
    }

    /// The group as a restarted coordinator finds it: stable if it has members (`GroupMetadataManager.replay`).
    pub(crate) fn from_record(record: &GroupMetadataValue) -> Self {
        let mut group = Self::new(Timestamp::from_millis(record.current_state_timestamp));
        group.generation_id = record.generation;
        group.protocol_type = Some(record.protocol_type.clone()).filter(|name| !name.is_empty());
        group.protocol_name = record.protocol.clone();
        group.leader = record.leader.clone();
        if !record.members.is_empty() {
            group.state = ClassicState::Stable;
        }
        let protocol = record.protocol.clone().unwrap_or_default();
        for member in &record.members {
            if group.members.by_id(&member.member_id).is_none() {
                group.members.add(Member::from_record(member, &protocol));
            }
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// Where the group is.
    pub(crate) fn state(&self) -> ClassicState {
        self.state
    }

    /// Whether nobody is a member. Ids that were given out do not count.
    pub(crate) fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// Whether it has no member.
    pub(crate) fn is_empty(&self) -> bool {
        self.state == ClassicState::Empty
    }

    /// "consumer", "connect", ...; empty for a simple group.
    pub(crate) fn protocol_type(&self) -> StrBytes {
        self.protocol_type.clone().unwrap_or_default()
    }

    /// Whether it never had a member: it has offsets that somebody commits from outside.
    pub(crate) fn is_simple(&self) -> bool {
        self.protocol_type.is_none()
    }

    /// Whether its members are consumers, so that what they subscribe to can be read.
    pub(crate) fn uses_consumer_group_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether a member reads `topic`. If that cannot be known of consumers, they read every topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic.as_bytes()),
            None => self.uses_consumer_group_protocol(),
        }
    }

    /// From when on its offsets grow old.
    pub(crate) fn offsets_expire_from(&self) -> ExpiresFrom {
        match (&self.protocol_type, self.state) {
            (None, _) => ExpiresFrom::Commit,
            (Some(_), ClassicState::Empty) if self.current_state_timestamp >= 0 => {
                ExpiresFrom::Instant(self.current_state_timestamp)
            }
            (Some(_), ClassicState::Empty) => ExpiresFrom::Commit,
            (Some(_), ClassicState::Stable)
                if self.uses_consumer_group_protocol() && self.subscribed_topics.is_some() =>
            {
                ExpiresFrom::Commit
            }
            _ => ExpiresFrom::Never,
        }
    }

    /// Whether `member` is one of this group (`ClassicGroup.validateMember`).
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID for a static member that another one has replaced.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        group_instance_id: Option<&StrBytes>,
    ) -> Result<&Member, ResponseError> {
        if let Some(group_instance_id) = group_instance_id {
            let existing = self.members.by_instance(group_instance_id).ok_or(ResponseError::UnknownMemberId)?;
            if *existing != *member_id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        self.members.by_id(member_id).ok_or(ResponseError::UnknownMemberId)
    }

    /// Whether `member` may commit offsets (`ClassicGroup.validateOffsetCommit`).
    ///
    /// # Errors
    /// Why it may not.
    pub(crate) fn validate_offset_commit(
        &self,
        member: &MemberIdentity,
        is_transactional: bool,
    ) -> Result<(), ResponseError> {
        let is_named = member.generation_id >= 0 || !member.member_id.is_empty() || member.group_instance_id.is_some();
        if member.generation_id < 0 && self.is_empty() {
            // Offsets set from outside, by whomever. A transaction of a consumer without a group ends here, too.
            return Ok(());
        }
        if is_named {
            self.validate_member(&member.member_id, member.group_instance_id.as_ref())?;
            if member.generation_id != self.generation_id {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !is_transactional && !self.is_empty() {
            return Err(ResponseError::UnknownMemberId);
        }
        if !is_transactional && self.state == ClassicState::CompletingRebalance {
            // The member that commits has not been told its assignment of this generation.
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a member with these protocols can be in this group (`ClassicGroup.supportsProtocols`).
    pub(super) fn supports_protocols(&self, protocol_type: &StrBytes, protocols: &[Protocol]) -> bool {
        if self.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type) && self.members.all_support_one_of(protocols)
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| **leader == *member_id)
    }

    /// Whether everyone who may join has joined.
    pub(super) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.members.awaiting_join() && self.pending_join.is_empty()
    }

    /// What the leader is told of the members.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let joined = |member: &Member| JoinedMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.iter().map(joined).collect()
    }

    /// The group as DescribeGroups shows it (`ClassicGroupMember.describe`, `describeNoMetadata`).
    pub(crate) fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol_name.clone().filter(|_| self.state == ClassicState::Stable);
        let described = |member: &Member| DescribedMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: protocol.as_deref().map(|protocol| member.metadata(protocol)).unwrap_or_default(),
            assignment: member.assignment.clone(),
        };
        DescribedGroup {
            state: self.state,
            protocol_type: self.protocol_type(),
            members: self.members.iter().map(described).collect(),
            protocol_data: protocol.unwrap_or_default(),
        }
    }

    /// The group as it is persisted, with what everyone is assigned.
    pub(in crate::group) fn to_full_record(&self) -> GroupMetadataValue {
        self.to_record(|member| member.assignment.clone())
    }

    /// The group as it is persisted, with what `assignment` says.
    pub(super) fn to_record(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupMetadataValue {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        GroupMetadataValue {
            protocol_type: self.protocol_type(),
            generation: self.generation_id,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.current_state_timestamp,
            members: self.members.iter().map(|member| member.to_record(protocol, assignment(member))).collect(),
        }
    }
}

/// What changes it.
impl ClassicGroup {
    pub(super) fn transition_to(&mut self, state: ClassicState, now: Timestamp) {
        assert!(state.previous().contains(&self.state), "a classic group goes from {:?} to {state:?}", self.state);
        self.state = state;
        self.current_state_timestamp = now.as_millis();
    }

    /// Takes a member in. The first one defines the protocol type and leads.
    pub(super) fn add(&mut self, member: Member, protocol_type: &StrBytes) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| member.member_id.clone());
        self.pending_join.remove(&member.member_id);
        self.members.add(member);
    }

    /// Takes a member or a pending id out. If it was the leader, another one leads.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let removed = self.members.remove(member_id);
        if self.is_leader(member_id) {
            self.leader = self.members.iter().next().map(|member| member.member_id.clone());
        }
        self.pending_join.remove(member_id.as_bytes());
        self.pending_sync.remove(member_id.as_bytes());
        removed
    }

    /// Makes a member lead that has joined, if the leader has not. Whether there is one.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.by_id(leader).is_some_and(Member::awaits_join) {
            return true;
        }
        let joined = self.members.iter().find(|member| member.awaits_join());
        let elected = joined.map(|member| member.member_id.clone());
        if elected.is_some() {
            self.leader.clone_from(&elected);
        }
        elected.is_some()
    }

    /// Begins the next generation: with a protocol, or empty.
    pub(super) fn begin_generation(&mut self, now: Timestamp) {
        // Kafka's number wraps, too; it takes a rebalance a second for 68 years.
        self.generation_id = self.generation_id.wrapping_add(1);
        self.choose_protocol();
        let next = if self.members.is_empty() { ClassicState::Empty } else { ClassicState::CompletingRebalance };
        self.transition_to(next, now);
        self.pending_sync.clear();
    }

    /// Chooses the protocol that the members speak, and finds out what they subscribe to in it.
    pub(super) fn choose_protocol(&mut self) {
        self.protocol_name = self.members.select_protocol();
        self.subscribed_topics = self.compute_subscribed_topics();
    }

    /// `ClassicGroup.computeSubscribedTopics`.
    fn compute_subscribed_topics(&self) -> Option<BTreeSet<StrBytes>> {
        if !self.uses_consumer_group_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut subscribed = BTreeSet::new();
        for member in self.members.iter() {
            subscribed.extend(subscription_topics(member.metadata(protocol))?);
        }
        Some(subscribed)
    }
}

/// The topics of an embedded subscription (ConsumerProtocolSubscription), whose first fields are the same at every version:
/// `version i16, topics [string], user_data nullable bytes`. `None` if it is something else.
fn subscription_topics(mut bytes: Bytes) -> Option<Vec<StrBytes>> {
    let _version = bytes.try_get_i16().ok()?;
    let count = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        if length > bytes.len() {
            return None;
        }
        topics.push(StrBytes::from_utf8(bytes.split_to(length)).ok()?);
    }
    let user_data = bytes.try_get_i32().ok()?;
    let fits = usize::try_from(user_data).is_ok_and(|length| length <= bytes.len());
    (fits || user_data == -1).then_some(topics)
}
