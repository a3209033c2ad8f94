//! The deadlines of a group's members. Soft state: after a replay they start anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The member has not been heard of.
    Session,
    /// The member has not given up what it must.
    Rebalance,
    /// The member speaks the classic protocol, was told to join again, and has not.
    Join,
    /// The member speaks the classic protocol, has joined, and has not asked for its assignment.
    Sync,
}

/// Deadlines, at most one of each kind for each member.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Timestamp, Timer, String)>,
    /// When, and the member epoch at which it was armed.
    armed: BTreeMap<(String, Timer), (Timestamp, i32)>,
}

impl Timers {
    /// Arms a deadline, in place of an earlier one of its kind.
    pub(super) fn arm(&mut self, member_id: &str, timer: Timer, at: Timestamp, member_epoch: i32) {
        self.cancel(member_id, timer);
        self.due.insert((at, timer, member_id.to_owned()));
        self.armed.insert((member_id.to_owned(), timer), (at, member_epoch));
    }

    /// Arms a deadline, unless one of its kind is armed.
    pub(super) fn arm_once(&mut self, member_id: &str, timer: Timer, at: Timestamp, member_epoch: i32) {
        if !self.armed.contains_key(&(member_id.to_owned(), timer)) {
            self.arm(member_id, timer, at, member_epoch);
        }
    }

    /// Disarms a deadline, if it is armed.
    pub(super) fn cancel(&mut self, member_id: &str, timer: Timer) {
        if let Some((at, _)) = self.armed.remove(&(member_id.to_owned(), timer)) {
            self.due.remove(&(at, timer, member_id.to_owned()));
        }
    }

    /// Disarms all deadlines of a member.
    pub(super) fn cancel_all(&mut self, member_id: &str) {
        for timer in [Timer::Session, Timer::Rebalance, Timer::Join, Timer::Sync] {
            self.cancel(member_id, timer);
        }
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Takes out the earliest if it is due: whose, which, and the member epoch at which it was armed.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<(String, Timer, i32)> {
        let (at, timer, member_id) = self.due.pop_first()?;
        if at > now {
            self.due.insert((at, timer, member_id));
            return None;
        }
        let (_, member_epoch) = self.armed.remove(&(member_id.clone(), timer)).expect("what is due is armed");
        Some((member_id, timer, member_epoch))
    }
}
