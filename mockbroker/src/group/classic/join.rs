//! JoinGroup: members that are new, that are known, that are static.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::members::Member;
use super::state::ClassicState;
use super::{Record, Turn};
use crate::group::event::{Join, Joined, Response};
use crate::types::Ticket;

/// How long a new member may stay silent until its first rebalance ends (`classicGroupNewMemberJoinTimeoutMs`). It cannot
/// send heartbeats before.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

impl Turn<'_, '_> {
    /// A member joins this group (`classicGroupJoinToClassicGroup`).
    pub(in crate::group) fn join(&mut self, ticket: Ticket, request: &Join) {
        if !self.has_room_for(&request.member_id) {
            if let Some(member) = self.group.remove(&request.member_id) {
                self.disarm_session(&member.member_id);
                self.answer_what_waits(member, ResponseError::UnknownMemberId);
            }
            self.refuse_join(ticket, ResponseError::GroupMaxSizeReached, StrBytes::new());
        } else if !self.group.supports_protocols(&request.protocol_type, &request.protocols) {
            self.refuse_join(ticket, ResponseError::InconsistentGroupProtocol, request.member_id.clone());
        } else if request.member_id.is_empty() {
            self.join_as_new_member(ticket, request);
        } else {
            self.join_as_existing_member(ticket, request);
        }
    }

    /// `group.max.size`. Who waits for the end of a join phase is in it already.
    fn has_room_for(&self, member_id: &str) -> bool {
        let group_max_size = usize::try_from(self.ctx.config.group_max_size).unwrap_or(0);
        let members = &self.group.members;
        let member = members.by_id(member_id);
        match self.group.state {
            ClassicState::Empty | ClassicState::Dead => true,
            ClassicState::PreparingRebalance => {
                member.is_some_and(Member::awaits_join) || members.awaiting_join() < group_max_size
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                member.is_some() || members.len() < group_max_size
            }
        }
    }

    fn join_as_new_member(&mut self, ticket: Ticket, request: &Join) {
        let existing =
            request.group_instance_id.as_deref().and_then(|instance| self.group.members.by_instance(instance));
        let existing = existing.cloned();
        let member_id = self.new_member_id(request);
        match existing {
            Some(existing) => self.replace_static_member(ticket, request, &existing, member_id),
            // A static member is known by its instance id and need not be told another one.
            None if request.group_instance_id.is_some() => self.add_member(ticket, request, member_id),
            None if request.requires_known_member_id => {
                self.group.pending_join.insert(member_id.clone());
                self.arm_session(member_id.clone(), i64::from(request.session_timeout_ms));
                self.refuse_join(ticket, ResponseError::MemberIdRequired, member_id);
            }
            None => self.add_member(ticket, request, member_id),
        }
    }

    fn join_as_existing_member(&mut self, ticket: Ticket, request: &Join) {
        let member_id = &request.member_id;
        if self.group.pending_join.contains(member_id) {
            if request.group_instance_id.is_some() {
                // An IllegalStateException in Kafka: a static member is never given an id to come back with.
                return self.refuse_join(ticket, ResponseError::UnknownServerError, StrBytes::new());
            }
            return self.add_member(ticket, request, member_id.clone());
        }
        let member = match self.group.validate_member(member_id, request.group_instance_id.as_ref()) {
            Ok(member) => member,
            Err(error) => return self.refuse_join(ticket, error, member_id.clone()),
        };
        let is_unchanged = member.protocols == request.protocols;
        let is_leader = self.group.is_leader(member_id);
        match self.group.state {
            // It has not got the answer to its JoinGroup, or asks again.
            ClassicState::CompletingRebalance if is_unchanged => self.answer_join(ticket, member_id, is_leader),
            ClassicState::Stable if is_unchanged && !is_leader => self.answer_join(ticket, member_id, false),
            ClassicState::PreparingRebalance | ClassicState::CompletingRebalance | ClassicState::Stable => {
                self.update_member(ticket, request);
                self.rebalance_or_complete_join();
            }
            ClassicState::Empty | ClassicState::Dead => {
                self.refuse_join(ticket, ResponseError::UnknownMemberId, member_id.clone());
            }
        }
    }

    /// `<client id or instance id>-<uuid>`.
    fn new_member_id(&mut self, request: &Join) -> StrBytes {
        let prefix = request.group_instance_id.as_ref().unwrap_or(&request.client_id);
        StrBytes::from_string(format!("{prefix}-{}", self.ctx.ids.uuid()))
    }

    fn add_member(&mut self, ticket: Ticket, request: &Join, member_id: StrBytes) {
        if let Some(initial) = &mut self.group.initial_delay {
            initial.new_member_added = true;
        }
        self.group.add(Member::new(member_id.clone(), request), &request.protocol_type);
        self.group.members.park_join(&member_id, ticket);
        self.arm_session(member_id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete_join();
    }

    /// Takes what a member says of itself, and lets it wait.
    fn update_member(&mut self, ticket: Ticket, request: &Join) {
        if let Some(superseded) = self.group.members.update(&request.member_id, request, ticket) {
            // Kafka forgets the first of two JoinGroups that wait for one member and never answers it.
            self.refuse_join(superseded, ResponseError::RebalanceInProgress, request.member_id.clone());
        }
    }

    /// A static member is back under a new id (KIP-345).
    fn replace_static_member(&mut self, ticket: Ticket, request: &Join, old: &StrBytes, new: StrBytes) {
        let old_leader = self.group.leader.clone();
        self.rename_member(old, &new);
        let renamed = Join { member_id: new.clone(), ..request.clone() };
        // With the timeout that the member had: what it says now counts from its next heartbeat on, as in Kafka.
        self.rearm_session(&new);
        self.update_member(ticket, &renamed);
        match self.group.state {
            ClassicState::Stable if self.group.members.select_protocol() == self.group.protocol_name => {
                self.keep_generation(&new, request.supports_skipping_assignment, old_leader);
            }
            ClassicState::Stable => self.rebalance_or_complete_join(),
            ClassicState::CompletingRebalance => self.prepare_rebalance(),
            _ => self.maybe_complete_join(),
        }
    }

    /// `ClassicGroup.replaceStaticMember`.
    fn rename_member(&mut self, old: &StrBytes, new: &StrBytes) {
        let was_leader = self.group.is_leader(old);
        let was_pending_sync = self.group.pending_sync.contains(old);
        let member = self.group.remove(old).expect("a static member's id is that of a member");
        let renamed = member.renamed(new.clone());
        self.disarm_session(old);
        self.answer_what_waits(member, ResponseError::FencedInstanceId);
        let protocol_type = self.group.protocol_type();
        self.group.add(renamed, &protocol_type);
        if was_leader {
            self.group.leader = Some(new.clone());
        }
        if was_pending_sync {
            // Under the id that nobody has any more, so that the group rebalances when the time to sync is over, whether
            // or not the member has synced. Kafka does.
            self.group.pending_sync.insert(old.clone());
        }
    }

    /// A static member is back in a stable group, and nothing else changes: its new id is persisted and it goes on
    /// (KIP-814).
    fn keep_generation(&mut self, member_id: &StrBytes, supports_skipping: bool, old_leader: Option<StrBytes>) {
        let value = self.group.to_record(|member| member.assignment.clone());
        self.persist(Record::GroupMetadata(self.group_id.clone(), Some(value)));
        let Some(ticket) = self.group.members.take_join(member_id) else { return };
        let is_leader = self.group.is_leader(member_id);
        let mut joined = self.joined(member_id, supports_skipping && is_leader);
        if supports_skipping {
            joined.skip_assignment = is_leader;
        } else {
            // Who cannot be told to skip the assignment is told that somebody else leads, so that it makes none.
            joined.leader = old_leader.unwrap_or_default();
        }
        self.answer(ticket, Response::Join(joined));
    }

    /// The answer to a member of this generation, with all members for the leader.
    pub(super) fn answer_join(&mut self, ticket: Ticket, member_id: &StrBytes, is_leader: bool) {
        let joined = self.joined(member_id, is_leader);
        self.answer(ticket, Response::Join(joined));
    }

    fn joined(&self, member_id: &StrBytes, with_members: bool) -> Joined {
        Joined {
            error: None,
            generation_id: self.group.generation_id,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            leader: self.group.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if with_members { self.group.joined_members() } else { Vec::new() },
        }
    }

    pub(super) fn refuse_join(&mut self, ticket: Ticket, error: ResponseError, member_id: StrBytes) {
        self.answer(ticket, Response::Join(Joined::refused(error, member_id)));
    }

    /// Answers what waits for a member that is gone. Where the id of the member is fenced, Kafka names it.
    pub(super) fn answer_what_waits(&mut self, member: Member, error: ResponseError) {
        let named = if error == ResponseError::FencedInstanceId { member.member_id.clone() } else { StrBytes::new() };
        let (join, sync) = member.into_tickets();
        if let Some(join) = join {
            self.refuse_join(join, error, named);
        }
        if let Some(sync) = sync {
            // Kafka never answers the SyncGroup of a member that has left; its connection would hang.
            self.answer(sync, Response::Sync(Err(error)));
        }
    }
}
