//! Who is alive: Heartbeat, LeaveGroup, and what happens when a member is not heard of.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::Turn;
use super::state::{ClassicGroup, ClassicState};
use crate::group::event::{Effect, Joined, Left, MemberIdentity, Response};

impl Turn<'_, '_> {
    /// A member says that it lives (`classicGroupHeartbeatToClassicGroup`).
    ///
    /// # Errors
    /// What it should know: it is none, another generation has begun, or it has to join again.
    pub(in crate::group) fn heartbeat(&mut self, member: &MemberIdentity) -> Result<(), ResponseError> {
        self.group.validate_member(&member.member_id, member.group_instance_id.as_ref())?;
        if member.generation_id != self.group.generation_id {
            return Err(ResponseError::IllegalGeneration);
        }
        self.rearm_session(&member.member_id);
        match self.group.state {
            ClassicState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            ClassicState::CompletingRebalance | ClassicState::Stable => Ok(()),
            ClassicState::Empty | ClassicState::Dead => Err(ResponseError::UnknownMemberId),
        }
    }

    /// A commit counts as a heartbeat, but not while an assignment is awaited (`OffsetMetadataManager.commitOffset`).
    pub(in crate::group) fn has_committed(&mut self, member_id: &StrBytes) {
        if matches!(self.group.state, ClassicState::Stable | ClassicState::PreparingRebalance) {
            self.rearm_session(member_id);
        }
    }

    /// Members leave (`classicGroupLeaveToClassicGroup`).
    pub(in crate::group) fn leave(&mut self, members: &[(StrBytes, Option<StrBytes>)]) -> Vec<Left> {
        let mut result = Vec::with_capacity(members.len());
        for (member_id, group_instance_id) in members {
            let error = self.leave_one(member_id, group_instance_id.as_ref()).err();
            let (member_id, group_instance_id) = (member_id.clone(), group_instance_id.clone());
            result.push(Left { member_id, group_instance_id, error });
        }
        if result.iter().any(|left| left.error.is_none()) {
            match self.group.state {
                ClassicState::Stable | ClassicState::CompletingRebalance => self.rebalance_or_complete_join(),
                ClassicState::PreparingRebalance => self.maybe_complete_join(),
                ClassicState::Empty | ClassicState::Dead => {}
            }
        }
        result
    }

    fn leave_one(&mut self, member_id: &StrBytes, instance: Option<&StrBytes>) -> Result<(), ResponseError> {
        let leaving = if member_id.is_empty() {
            // A static member may be taken out by whoever knows its instance id (KIP-345).
            let member_id = instance.and_then(|instance| self.group.members.by_instance(instance));
            member_id.ok_or(ResponseError::UnknownMemberId)?.clone()
        } else if self.group.pending_join.contains(member_id) {
            member_id.clone()
        } else {
            self.group.validate_member(member_id, instance)?.member_id.clone()
        };
        self.disarm_session(&leaving);
        if let Some(member) = self.group.remove(&leaving) {
            self.answer_what_waits(member, ResponseError::UnknownMemberId);
        }
        Ok(())
    }

    /// The session of `member_id` is over (`expireClassicGroupMemberHeartbeat`).
    pub(in crate::group) fn on_session_deadline(&mut self, member_id: &StrBytes) {
        let is_pending = self.group.pending_join.contains(member_id);
        match self.group.members.by_id(member_id) {
            None if !is_pending => return,
            Some(member) if member.has_satisfied_heartbeat() => return,
            _ => {}
        }
        if let Some(member) = self.group.remove(member_id) {
            self.answer_what_waits(member, ResponseError::UnknownMemberId);
        }
        match self.group.state {
            ClassicState::Stable | ClassicState::CompletingRebalance if !is_pending => {
                self.rebalance_or_complete_join();
            }
            // Unlike a member that leaves, one that is lost ends the initial delay, too, if all others have joined.
            ClassicState::PreparingRebalance if self.group.has_all_members_joined() => self.complete_join(),
            _ => {}
        }
    }

    /// The time to ask for an assignment is over: who has not is taken out (`expirePendingSync`).
    pub(in crate::group) fn on_sync_deadline(&mut self) {
        let is_awaited = matches!(self.group.state, ClassicState::CompletingRebalance | ClassicState::Stable);
        if !is_awaited || self.group.pending_sync.is_empty() {
            return;
        }
        for member_id in std::mem::take(&mut self.group.pending_sync) {
            self.disarm_session(&member_id);
            if let Some(member) = self.group.remove(&member_id) {
                self.answer_what_waits(member, ResponseError::UnknownMemberId);
            }
        }
        self.prepare_rebalance();
    }

    /// What a coordinator does with a group that was a consumer group until now: everyone has a session's time to be heard of,
    /// and has to join again if what it has is not what it is to have (`convertToClassicGroup`).
    pub(in crate::group) fn on_downgraded(&mut self, rebalance: bool) {
        for member_id in self.group.members.ids() {
            self.rearm_session(&member_id);
        }
        if rebalance {
            self.prepare_rebalance();
        }
    }

    /// What a coordinator does with a group that it has just loaded: everyone has a session's time to be heard of. A group
    /// that is too large has to join again, so that its members can commit before some are turned away (`onLoaded`).
    pub(in crate::group) fn on_loaded(&mut self) {
        for member_id in self.group.members.ids() {
            self.rearm_session(&member_id);
        }
        let group_max_size = usize::try_from(self.ctx.config.group_max_size).unwrap_or(0);
        if self.group.members.len() > group_max_size {
            self.prepare_rebalance();
        }
    }
}

impl ClassicGroup {
    /// Ends the group here: what waits is answered with `error` (`onUnloaded`, and the upgrade of KIP-848).
    pub(in crate::group) fn dissolve(&mut self, error: ResponseError, out: &mut Vec<Effect>) {
        self.state = ClassicState::Dead;
        for member_id in self.members.ids() {
            let Some(member) = self.remove(&member_id) else { continue };
            let (join, sync) = member.into_tickets();
            if let Some(ticket) = join {
                out.push(Effect::Answer(ticket, Response::Join(Joined::refused(error, member_id.clone()))));
            }
            if let Some(ticket) = sync {
                out.push(Effect::Answer(ticket, Response::Sync(Err(error))));
            }
        }
    }

    /// The ids of all who have a session: members and pending ones.
    pub(in crate::group) fn session_ids(&self) -> Vec<StrBytes> {
        let mut ids = self.members.ids();
        ids.extend(self.pending_join.iter().cloned());
        ids
    }
}
