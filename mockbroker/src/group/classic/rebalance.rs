//! How a join phase begins and ends.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::state::{ClassicState, InitialDelay};
use super::{Record, Turn};
use crate::group::event::{Response, Synced};

impl Turn<'_, '_> {
    /// Begins a join phase, or ends the one that runs if all have joined (`maybePrepareRebalanceOrCompleteJoin`).
    pub(in crate::group) fn rebalance_or_complete_join(&mut self) {
        if ClassicState::PreparingRebalance.previous().contains(&self.group.state) {
            self.prepare_rebalance();
        } else {
            self.maybe_complete_join();
        }
    }

    /// Begins a join phase (`prepareRebalance`).
    pub(super) fn prepare_rebalance(&mut self) {
        if self.group.state == ClassicState::CompletingRebalance {
            self.reset_assignments(ResponseError::RebalanceInProgress);
        }
        self.group.pending_sync.clear();
        self.disarm_sync();
        let is_initial = self.group.is_empty();
        self.group.transition_to(ClassicState::PreparingRebalance, self.ctx.now);
        let rebalance_timeout_ms = i64::from(self.group.members.rebalance_timeout_ms());
        if is_initial {
            let delay_ms = self.ctx.config.group_initial_rebalance_delay_ms;
            let remaining_ms = (rebalance_timeout_ms - delay_ms).max(0);
            self.group.initial_delay = Some(InitialDelay { delay_ms, remaining_ms, new_member_added: false });
            self.arm_join(delay_ms);
        } else if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            self.arm_join(rebalance_timeout_ms);
        }
    }

    /// Ends the join phase if all have joined; but not the first one of a group that was empty, which waits for more
    /// (`maybeCompleteJoinPhase`).
    pub(super) fn maybe_complete_join(&mut self) {
        let is_preparing = self.group.state == ClassicState::PreparingRebalance;
        if is_preparing && self.group.initial_delay.is_none() && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    /// The time to join is over, or a part of the initial delay (`tryCompleteInitialRebalanceElseSchedule`).
    pub(in crate::group) fn on_join_deadline(&mut self) {
        let group_delay_ms = self.ctx.config.group_initial_rebalance_delay_ms;
        if let Some(initial) = &mut self.group.initial_delay
            && initial.new_member_added
            && initial.remaining_ms != 0
        {
            let delay_ms = group_delay_ms.min(initial.remaining_ms);
            let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
            *initial = InitialDelay { delay_ms, remaining_ms, new_member_added: false };
            return self.arm_join(delay_ms);
        }
        self.complete_join();
    }

    /// Ends the join phase: the next generation begins with those who have joined (`completeClassicGroupJoin`).
    pub(super) fn complete_join(&mut self) {
        self.disarm_join();
        self.remove_dynamic_members_that_have_not_joined();
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Static members stay, and nobody has joined. A timeout of 0 ms, which a client may ask for, must not keep
            // the broker busy.
            let rebalance_timeout_ms = i64::from(self.group.members.rebalance_timeout_ms());
            return self.arm_join(rebalance_timeout_ms.max(1));
        }
        self.group.initial_delay = None;
        self.group.begin_generation(self.ctx.now);
        if self.group.is_empty() {
            let value = self.group.to_record(|_| Bytes::new());
            return self.persist(Record::GroupMetadata(self.group_id.clone(), Some(value)));
        }
        for member_id in self.group.members.ids() {
            if let Some(ticket) = self.group.members.take_join(&member_id) {
                let is_leader = self.group.is_leader(&member_id);
                self.answer_join(ticket, &member_id, is_leader);
            }
            self.rearm_session(&member_id);
            if let Some(member) = self.group.members.by_id_mut(&member_id) {
                member.is_new = false;
            }
            self.group.pending_sync.insert(member_id);
        }
        self.arm_sync(i64::from(self.group.members.rebalance_timeout_ms()));
    }

    fn remove_dynamic_members_that_have_not_joined(&mut self) {
        let is_late = |member: &&super::Member| !member.awaits_join() && member.group_instance_id.is_none();
        let late: Vec<StrBytes> =
            self.group.members.iter().filter(is_late).map(|member| member.member_id.clone()).collect();
        for member_id in late {
            self.disarm_session(&member_id);
            if let Some(member) = self.group.remove(&member_id) {
                self.answer_what_waits(member, ResponseError::UnknownMemberId);
            }
        }
    }

    /// Takes all assignments back and tells those who wait for one why.
    fn reset_assignments(&mut self, error: ResponseError) {
        for member in self.group.members.iter_mut() {
            member.assignment = Bytes::new();
        }
        self.propagate_assignments(Some(error));
    }

    /// Answers every SyncGroup that waits (`propagateAssignment`).
    pub(super) fn propagate_assignments(&mut self, error: Option<ResponseError>) {
        let mut waiting = Vec::new();
        for member in self.group.members.iter_mut() {
            if let Some(ticket) = member.sync.take() {
                waiting.push((ticket, member.member_id.clone(), member.assignment.clone()));
            }
        }
        for (ticket, member_id, assignment) in waiting {
            let synced = match error {
                Some(error) => Err(error),
                None => Ok(Synced {
                    protocol_type: self.group.protocol_type.clone(),
                    protocol_name: self.group.protocol_name.clone(),
                    assignment,
                }),
            };
            self.answer(ticket, Response::Sync(synced));
            self.rearm_session(&member_id);
        }
    }
}
