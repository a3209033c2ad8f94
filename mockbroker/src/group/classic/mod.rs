//! The classic group protocol: members join, the leader assigns, everyone asks for its part.
//!
//! ```text
//!             a member joins                 all joined, or time is up
//!   Empty -------------------> PreparingRebalance -------------------> CompletingRebalance
//!     ^                          |   ^       ^                             |       |
//!     |      nobody is left      |   |       |   a member joins or leaves  |       | the leader's SyncGroup
//!     +--------------------------+   |       +-----------------------------+       v
//!                                    +------------------------------------------ Stable
//!                                      a member joins, leaves, or is not heard of
//! ```
//!
//! - `state`: the group, its moves, what it agreed on; `members`: who is in it
//! - `join`: JoinGroup (KIP-394, KIP-345, KIP-814); `rebalance`: how a join phase begins and ends (KIP-134)
//! - `sync`: SyncGroup; `session`: Heartbeat, LeaveGroup, and what happens when time is up
//! - `migrate`: how a classic group becomes a consumer group (KIP-848), and comes to be from one
//!
//! Sources: `GroupMetadataManager.classicGroup*`, `ClassicGroup`, `ClassicGroupMember`.
//!
//! Not here: groups of other kinds, and when a group becomes one. A record is taken to be written when it
//! is asked for, so nothing is undone because a write failed.

mod join;
mod members;
mod migrate;
mod rebalance;
mod session;
mod state;
mod sync;

use kafka_protocol::protocol::StrBytes;

pub(crate) use self::state::{ClassicGroup, ClassicState, ExpiresFrom};
use super::Ctx;
use super::deadlines::{Deadlines, Timer};
use super::event::{Effect, Response};
use super::hard::HardState;
use super::record::Record;
use crate::types::Ticket;

use self::members::Member;

/// One group's turn: the group, and all that a step of it may touch.
#[derive(Debug)]
pub(super) struct Turn<'a, 'c> {
    pub(super) group_id: &'a StrBytes,
    pub(super) group: &'a mut ClassicGroup,
    pub(super) hard: &'a mut HardState,
    pub(super) deadlines: &'a mut Deadlines,
    pub(super) ctx: &'a mut Ctx<'c>,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Turn<'_, '_> {
    fn answer(&mut self, ticket: Ticket, response: Response) {
        self.out.push(Effect::Answer(ticket, response));
    }

    fn persist(&mut self, record: Record) {
        self.hard.apply(&record);
        self.out.push(Effect::Persist(record));
    }

    /// Restarts the session of a member: it was heard of.
    fn rearm_session(&mut self, member_id: &StrBytes) {
        let Some(member) = self.group.members.by_id(member_id) else { return };
        self.arm_session(member_id.clone(), i64::from(member.session_timeout_ms));
    }

    fn arm_session(&mut self, member_id: StrBytes, timeout_ms: i64) {
        let timer = Timer::ClassicSession { group_id: self.group_id.clone(), member_id };
        self.deadlines.arm(timer, self.ctx.now.plus_millis(timeout_ms));
    }

    fn disarm_session(&mut self, member_id: &StrBytes) {
        let (group_id, member_id) = (self.group_id.clone(), member_id.clone());
        self.deadlines.disarm(&Timer::ClassicSession { group_id, member_id });
    }

    fn arm_join(&mut self, length_ms: i64) {
        let timer = Timer::ClassicJoin { group_id: self.group_id.clone() };
        self.deadlines.arm(timer, self.ctx.now.plus_millis(length_ms));
    }

    fn disarm_join(&mut self) {
        self.deadlines.disarm(&Timer::ClassicJoin { group_id: self.group_id.clone() });
    }

    fn arm_sync(&mut self, length_ms: i64) {
        let timer = Timer::ClassicSync { group_id: self.group_id.clone() };
        self.deadlines.arm(timer, self.ctx.now.plus_millis(length_ms));
    }

    fn disarm_sync(&mut self) {
        self.deadlines.disarm(&Timer::ClassicSync { group_id: self.group_id.clone() });
    }
}
