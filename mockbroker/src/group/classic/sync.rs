//! SyncGroup: the leader brings everyone's assignment, and everyone asks for its own.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::state::ClassicState;
use super::{Record, Turn};
use crate::group::event::{Response, Sync, Synced};
use crate::types::Ticket;

impl Turn<'_, '_> {
    /// A member asks for its assignment (`classicGroupSyncToClassicGroup`).
    pub(in crate::group) fn sync(&mut self, ticket: Ticket, request: &Sync) {
        if let Err(error) = self.validate_sync(request) {
            return self.answer(ticket, Response::Sync(Err(error)));
        }
        let member_id = &request.member.member_id;
        match self.group.state {
            ClassicState::CompletingRebalance => {
                self.park_sync(ticket, member_id);
                if self.group.is_leader(member_id) {
                    self.assign(&request.assignments);
                }
            }
            ClassicState::Stable => {
                self.has_synced(member_id);
                let assignment = self.group.members.by_id(member_id).map(|member| member.assignment.clone());
                let synced = Synced {
                    protocol_type: self.group.protocol_type.clone(),
                    protocol_name: self.group.protocol_name.clone(),
                    assignment: assignment.unwrap_or_default(),
                };
                self.answer(ticket, Response::Sync(Ok(synced)));
            }
            ClassicState::PreparingRebalance => {
                self.answer(ticket, Response::Sync(Err(ResponseError::RebalanceInProgress)));
            }
            ClassicState::Empty | ClassicState::Dead => {
                self.answer(ticket, Response::Sync(Err(ResponseError::UnknownMemberId)));
            }
        }
    }

    /// `GroupMetadataManager.validateSyncGroup`.
    fn validate_sync(&self, request: &Sync) -> Result<(), ResponseError> {
        let differs = |said: &Option<StrBytes>, own: &Option<StrBytes>| {
            said.as_ref().zip(own.as_ref()).is_some_and(|(said, own)| said != own)
        };
        let member = &request.member;
        self.group.validate_member(&member.member_id, member.group_instance_id.as_ref())?;
        if member.generation_id != self.group.generation_id {
            return Err(ResponseError::IllegalGeneration);
        }
        if differs(&request.protocol_type, &self.group.protocol_type)
            || differs(&request.protocol_name, &self.group.protocol_name)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// The log did not take the assignment: nobody has one, and all join again (`resetAndPropagateAssignmentWithError`).
    pub(in crate::group) fn on_assignment_refused(&mut self) {
        for member in self.group.members.iter_mut() {
            member.assignment = Bytes::new();
        }
        self.rebalance_or_complete_join();
    }

    fn park_sync(&mut self, ticket: Ticket, member_id: &StrBytes) {
        let member = self.group.members.by_id_mut(member_id).expect("the member was validated");
        if let Some(superseded) = member.sync.replace(ticket) {
            // Kafka forgets the first of two SyncGroups that wait for one member and never answers it.
            self.answer(superseded, Response::Sync(Err(ResponseError::RebalanceInProgress)));
        }
        self.has_synced(member_id);
    }

    fn has_synced(&mut self, member_id: &StrBytes) {
        self.group.pending_sync.remove(member_id);
        if self.group.pending_sync.is_empty() {
            self.disarm_sync();
        }
    }

    /// The leader has assigned. Who is not in its list has nothing; who is not a member is passed over.
    fn assign(&mut self, assignments: &[(StrBytes, Bytes)]) {
        // The last one counts if a member is named twice.
        let assignments: HashMap<&StrBytes, &Bytes> =
            assignments.iter().map(|(member, bytes)| (member, bytes)).collect();
        for member in self.group.members.iter_mut() {
            member.assignment = assignments.get(&member.member_id).map(|bytes| (*bytes).clone()).unwrap_or_default();
        }
        // Before the move: the record says when the generation was fixed, not when it was assigned, as in Kafka.
        let value = self.group.to_record(|member| member.assignment.clone());
        self.persist(Record::GroupMetadata(self.group_id.clone(), Some(value)));
        self.propagate_assignments(None);
        self.group.transition_to(ClassicState::Stable, self.ctx.now);
    }
}
