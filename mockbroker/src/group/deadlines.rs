//! When something is due: every timer of every group in one ordered index, so that the next one is found without a look at
//! the groups, and an idle group costs nothing.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::protocol::StrBytes;

use crate::time::Timestamp;

/// What can fall due. One of each at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    /// A member of a classic group has not been heard of.
    ClassicSession { group_id: StrBytes, member_id: StrBytes },
    /// The time to join a classic group is over, or a part of its initial delay.
    ClassicJoin { group_id: StrBytes },
    /// The time to ask a classic group for an assignment is over.
    ClassicSync { group_id: StrBytes },
    /// A consumer group has something to do. It keeps the deadlines of its members in order; this is the first of them.
    Consumer { group_id: StrBytes },
    /// It is time to look for offsets that have expired.
    OffsetExpiry,
}

/// The timers that run.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    /// The instant of each, and its number: of two that are due at once, the one that was armed first goes first.
    by_timer: HashMap<Timer, (Timestamp, u64)>,
    by_instant: BTreeMap<(Timestamp, u64), Timer>,
    armed: u64,
}

impl Deadlines {
    /// Lets `timer` fall due at `instant`, and not when it would have.
    pub(super) fn arm(&mut self, timer: Timer, instant: Timestamp) {
        self.disarm(&timer);
        self.armed += 1;
        self.by_timer.insert(timer.clone(), (instant, self.armed));
        self.by_instant.insert((instant, self.armed), timer);
    }

    /// Stops `timer`, if it runs.
    pub(super) fn disarm(&mut self, timer: &Timer) {
        if let Some(place) = self.by_timer.remove(timer) {
            self.by_instant.remove(&place);
        }
    }

    /// Lets `timer` fall due at `instant`, if it does not run already.
    pub(super) fn arm_once(&mut self, timer: Timer, instant: Timestamp) {
        if !self.by_timer.contains_key(&timer) {
            self.arm(timer, instant);
        }
    }

    /// The earliest instant at which one falls due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_instant.first_key_value().map(|((instant, _), _)| *instant)
    }

    /// Takes the earliest that is due at `now`. It does not run any more.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Timer> {
        let first = self.by_instant.first_entry().filter(|first| first.key().0 <= now)?;
        let timer = first.remove();
        self.by_timer.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fall_due_in_the_order_of_their_instants_and_then_of_their_arming() {
        let join = |group_id: &'static str| Timer::ClassicJoin { group_id: group_id.into() };
        let at = Timestamp::from_millis;
        let mut deadlines = Deadlines::default();
        deadlines.arm(join("late"), at(9));
        deadlines.arm(join("first"), at(5));
        deadlines.arm(join("second"), at(5));
        deadlines.arm(join("moved"), at(1));
        deadlines.arm(join("moved"), at(7));
        deadlines.arm(join("stopped"), at(2));
        deadlines.disarm(&join("stopped"));
        assert_eq!(deadlines.next(), Some(at(5)));
        let due: Vec<_> = std::iter::from_fn(|| deadlines.take_due(at(7))).collect();
        assert_eq!(due, [join("first"), join("second"), join("moved")]);
        assert_eq!(deadlines.next(), Some(at(9)));
    }
}
