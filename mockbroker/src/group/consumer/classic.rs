//! Members of a consumer group that speak the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! They are told their generation, which is their member epoch, and are assigned like everyone else. Nothing of theirs waits:
//! a JoinGroup is a heartbeat that says what the member owns, a SyncGroup asks what it may own now. When a member has to give
//! something up or may have more, its Heartbeat says REBALANCE_IN_PROGRESS, and it joins again.
//!
//! Source: `GroupMetadataManager.classicGroup*ToConsumerGroup`.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::member::{Admitted, MemberChange, StaticEntry};
use super::migrate::{classic_metadata, to_ids, to_names};
use super::record::{ConsumerRecord, MemberMetadataValue, MemberState};
use super::state::Member;
use super::timers::Timer;
use super::{ConsumerGroup, Ctx, Downgrade};
use crate::group::event::{Join, Joined, Left, MemberIdentity, Protocol, Sync, Synced};
use crate::group::record::{Assignment, Subscription};

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

impl ConsumerGroup {
    /// JoinGroup. `new_member_id` is for a member that has none. With a [`Downgrade`] the member has joined, and the group is
    /// to become a classic one.
    ///
    /// # Errors
    /// INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, UNKNOWN_SERVER_ERROR; then
    /// nothing has changed.
    pub(crate) fn classic_join(
        &mut self,
        ctx: &Ctx<'_>,
        request: &Join,
        new_member_id: String,
        out: &mut Vec<ConsumerRecord>,
    ) -> Result<(Joined, Option<Downgrade>), ResponseError> {
        let is_unknown = request.member_id.is_empty();
        let member_id = if is_unknown { new_member_id } else { request.member_id.to_string() };
        self.check_classic_join(ctx, request, &member_id)?;
        if is_unknown && request.group_instance_id.is_none() && request.requires_known_member_id {
            let named = StrBytes::from_string(member_id);
            return Ok((Joined::refused(ResponseError::MemberIdRequired, named), None));
        }
        let Admitted { member, is_new, replaced } = self.admit_classic(request, &member_id)?;
        let first = request.protocols.first().ok_or(ResponseError::InconsistentGroupProtocol)?;
        let subscription = Subscription::decode(&first.metadata).map_err(|_| ResponseError::UnknownServerError)?;
        let holder = request.group_instance_id.as_deref().and_then(|instance| self.hard.static_member_id(instance));
        let downgrades = holder.is_some_and(|holder| self.is_downgraded_by_replacing(ctx, holder));
        let epoch_before = self.hard.group_epoch();

        if let Some(replaced) = replaced {
            self.replace(&replaced, &member_id, &member, out);
        }
        let updated = update(&member.metadata, request, &subscription);
        let change = MemberChange { member_id: &member_id, before: &member, updated, is_new };
        let subscription_changed = self.update_member(ctx, change, out);
        let rebalance = self.hard.assignment_epoch() < self.hard.group_epoch();
        if !downgrades {
            self.update_target(ctx, is_new.then_some(&member_id), out);
        }
        if !downgrades || !rebalance {
            let owned = to_ids(ctx.topics, &subscription.owned_partitions);
            self.reconcile(ctx, &member_id, subscription_changed, Some(&owned), out);
        }
        let member_epoch = self.member_of(&member_id).assignment.member_epoch;
        self.timers.cancel(&member_id, Timer::Join);
        if !downgrades {
            self.arm_for(ctx, &member_id, Timer::Session, request.session_timeout_ms);
            self.arm_for(ctx, &member_id, Timer::Sync, request.rebalance_timeout_ms);
        }
        let downgrade = downgrades.then(|| self.downgrade_with(ctx.topics, &member_id, epoch_before, rebalance));
        Ok((joined(member_id, member_epoch, first), downgrade))
    }

    fn check_classic_join(&self, ctx: &Ctx<'_>, request: &Join, member_id: &str) -> Result<(), ResponseError> {
        if ctx.config.migration_policy.is_disabled() {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let members = self.hard.members();
        if members.len() >= ctx.config.max_size && !members.contains_key(member_id) {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        let is_common = |protocol: &Protocol| self.hard.is_offered_by_all(&protocol.name);
        if *request.protocol_type != *CONSUMER || !request.protocols.iter().any(is_common) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn admit_classic(&self, request: &Join, member_id: &str) -> Result<Admitted, ResponseError> {
        if let Some(instance_id) = &request.group_instance_id {
            let entry = if request.member_id.is_empty() { StaticEntry::Forced } else { StaticEntry::Known };
            return self.admit_static(member_id, instance_id, entry).map_err(|refusal| refusal.error);
        }
        // Whoever comes with an id is taken in, known or not.
        let known = self.hard.member(member_id).cloned();
        let is_new = known.is_none();
        Ok(Admitted { member: known.unwrap_or_else(Member::unknown), is_new, replaced: None })
    }

    /// SyncGroup.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS.
    pub(crate) fn classic_sync(&mut self, ctx: &Ctx<'_>, request: &Sync) -> Result<Synced, ResponseError> {
        let member_id = &*request.member.member_id;
        let member = self.classic_member(&request.member)?;
        let protocol = classic_protocol(member).ok_or(ResponseError::UnknownServerError)?;
        let differs = |said: &Option<StrBytes>, own: &str| said.as_ref().is_some_and(|said| **said != *own);
        if differs(&request.protocol_type, CONSUMER) || differs(&request.protocol_name, &protocol.name) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let assignment = &member.assignment;
        if self.hard.assignment_epoch() > assignment.member_epoch
            && assignment.state != MemberState::UnrevokedPartitions
        {
            let rebalance_timeout_ms = member.metadata.rebalance_timeout_ms;
            self.await_join(ctx, member_id, rebalance_timeout_ms);
            return Err(ResponseError::RebalanceInProgress);
        }
        let synced = Synced {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: embedded_assignment(ctx, member, &protocol.metadata)?,
        };
        let session_timeout_ms = session_timeout_ms(member);
        self.timers.cancel(member_id, Timer::Sync);
        self.arm_for(ctx, member_id, Timer::Session, session_timeout_ms);
        Ok(synced)
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION; REBALANCE_IN_PROGRESS for a member that has to join again.
    pub(crate) fn classic_heartbeat(&mut self, ctx: &Ctx<'_>, identity: &MemberIdentity) -> Result<(), ResponseError> {
        let member = self.classic_member(identity)?;
        let (session_timeout_ms, rebalance_timeout_ms) =
            (session_timeout_ms(member), member.metadata.rebalance_timeout_ms);
        let must_join = member.assignment.member_epoch < self.hard.assignment_epoch()
            || match member.assignment.state {
                MemberState::UnrevokedPartitions => true,
                MemberState::UnreleasedPartitions => !self.waits_for_others(&identity.member_id, member),
                MemberState::Stable | MemberState::Unknown => false,
            };
        self.arm_for(ctx, &identity.member_id, Timer::Session, session_timeout_ms);
        if must_join {
            self.await_join(ctx, &identity.member_id, rebalance_timeout_ms);
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup, for members of both protocols. With a [`Downgrade`] nobody has been removed yet.
    pub(crate) fn classic_leave(
        &mut self,
        ctx: &Ctx<'_>,
        members: &[(StrBytes, Option<StrBytes>)],
        out: &mut Vec<ConsumerRecord>,
    ) -> (Vec<Left>, Option<Downgrade>) {
        let mut leaving = BTreeSet::new();
        let mut result = Vec::new();
        for (member_id, group_instance_id) in members {
            let found = self.leaving_member(member_id, group_instance_id.as_deref());
            let error = match found {
                Ok(found) => {
                    leaving.insert(found);
                    None
                }
                Err(error) => Some(error),
            };
            let (member_id, group_instance_id) = (member_id.clone(), group_instance_id.clone());
            result.push(Left { member_id, group_instance_id, error });
        }
        (result, self.fence(ctx, &leaving, out))
    }

    fn leaving_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<String, ResponseError> {
        let Some(instance_id) = instance_id else {
            let known = self.hard.member(member_id);
            return known.map(|_| member_id.to_owned()).ok_or(ResponseError::UnknownMemberId);
        };
        let holder = self.hard.static_member_id(instance_id).ok_or(ResponseError::UnknownMemberId)?;
        if !member_id.is_empty() && member_id != holder {
            return Err(ResponseError::FencedInstanceId);
        }
        Ok(holder.to_owned())
    }

    /// The member that says it is `identity`, of the classic protocol, at its epoch (`validateConsumerGroupMember`).
    fn classic_member(&self, identity: &MemberIdentity) -> Result<&Member, ResponseError> {
        let member = match identity.group_instance_id.as_deref() {
            None => self.hard.member(&identity.member_id).ok_or(ResponseError::UnknownMemberId)?,
            Some(instance) => self.check_instance(instance, &identity.member_id).map_err(|refusal| refusal.error)?,
        };
        if !member.uses_classic_protocol() {
            return Err(ResponseError::UnknownMemberId);
        }
        if member.assignment.member_epoch != identity.generation_id {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(member)
    }

    /// Whether something that the member is to have is still another's.
    fn waits_for_others(&self, member_id: &str, member: &Member) -> bool {
        let target = self.hard.target(member_id).into_iter().flatten();
        let mut partitions = target.flat_map(|(id, partitions)| partitions.iter().map(|partition| (*id, *partition)));
        partitions.any(|(topic_id, partition)| {
            let assigned = member.assignment.assigned_partitions.get(&topic_id);
            assigned.is_none_or(|assigned| !assigned.contains_key(&partition))
                && self.hard.owner(topic_id, partition).is_some()
        })
    }

    fn arm_for(&mut self, ctx: &Ctx<'_>, member_id: &str, timer: Timer, length_ms: i32) {
        self.timers.arm(member_id, timer, ctx.now.plus_millis(length_ms.into()), 0);
    }

    /// Gives the member the time of its rebalance timeout to join again, from the first time that it was told to.
    fn await_join(&mut self, ctx: &Ctx<'_>, member_id: &str, rebalance_timeout_ms: i32) {
        let ends = ctx.now.plus_millis(rebalance_timeout_ms.into());
        self.timers.arm_once(member_id, Timer::Join, ends, 0);
    }
}

/// What the member said of itself, with what its JoinGroup says now.
fn update(metadata: &MemberMetadataValue, request: &Join, subscription: &Subscription) -> MemberMetadataValue {
    let mut updated = metadata.clone();
    if let Some(instance_id) = &request.group_instance_id {
        updated.instance_id = Some(instance_id.to_string());
    }
    if let Some(rack_id) = &subscription.rack_id {
        updated.rack_id = Some(rack_id.to_string());
    }
    if request.rebalance_timeout_ms != -1 {
        updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    updated.subscribed_topic_names = subscription.topics.iter().map(ToString::to_string).collect();
    updated.subscribed_topic_regex = Some(String::new());
    updated.client_id = request.client_id.to_string();
    updated.client_host = request.client_host.to_string();
    updated.classic_member_metadata = Some(classic_metadata(request.session_timeout_ms, &request.protocols));
    updated
}

fn joined(member_id: String, generation_id: i32, protocol: &Protocol) -> Joined {
    Joined {
        error: None,
        generation_id,
        protocol_type: Some(CONSUMER.into()),
        protocol_name: Some(protocol.name.clone()),
        leader: StrBytes::new(),
        skip_assignment: false,
        member_id: StrBytes::from_string(member_id),
        members: Vec::new(),
    }
}

/// The protocol that the member was told: the first that it offered.
fn classic_protocol(member: &Member) -> Option<&super::ClassicProtocol> {
    member.metadata.classic_member_metadata.as_ref()?.supported_protocols.first()
}

fn session_timeout_ms(member: &Member) -> i32 {
    member.metadata.classic_member_metadata.as_ref().map_or(0, |classic| classic.session_timeout_ms)
}

/// What the member may own now, at the version of its subscription.
fn embedded_assignment(ctx: &Ctx<'_>, member: &Member, subscription: &[u8]) -> Result<Bytes, ResponseError> {
    let assigned = member.assignment.assigned_partitions.iter();
    let assigned = assigned.map(|(id, partitions)| (*id, partitions.keys().copied().collect())).collect();
    // Where Kafka cannot read the version, it never answers.
    let encoded = Assignment::encode(&to_names(ctx.topics, &assigned), subscription);
    encoded.map_err(|_| ResponseError::UnknownServerError)
}
