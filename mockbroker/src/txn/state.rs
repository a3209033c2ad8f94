//! The states of a transaction, by Kafka's names and numbers, and the moves between them.
//!
//! Source: `TransactionState.java`.

/// How far the transaction of a transactional id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TransactionState {
    /// A producer has its id, and has begun nothing.
    Empty = 0,
    /// At least one partition has joined.
    Ongoing = 1,
    /// The commit is decided, its markers are on their way.
    PrepareCommit = 2,
    /// The abort is decided, its markers are on their way.
    PrepareAbort = 3,
    /// All markers of the commit are written.
    CompleteCommit = 4,
    /// All markers of the abort are written.
    CompleteAbort = 5,
    /// The transactional id is expiring. Never persisted: a tombstone is.
    Dead = 6,
    /// The epoch is being bumped to fence a producer. Never persisted: `PrepareAbort` follows in the same move.
    PrepareEpochFence = 7,
}

use TransactionState::{
    CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
};

impl TransactionState {
    /// In the order of their numbers.
    pub(crate) const ALL: [Self; 8] =
        [Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead, PrepareEpochFence];

    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Empty => "Empty",
            Ongoing => "Ongoing",
            PrepareCommit => "PrepareCommit",
            PrepareAbort => "PrepareAbort",
            CompleteCommit => "CompleteCommit",
            CompleteAbort => "CompleteAbort",
            Dead => "Dead",
            PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The state with this number.
    pub(super) fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i8 == id)
    }

    /// Whether it is decided how the transaction ends, and not yet done.
    pub(super) fn is_prepared(self) -> bool {
        matches!(self, PrepareCommit | PrepareAbort)
    }

    /// Whether there is no transaction: a transactional id in such a state can expire.
    pub(super) fn is_at_rest(self) -> bool {
        matches!(self, Empty | CompleteCommit | CompleteAbort)
    }

    /// The states that it can be entered from (`TransactionState.validPreviousStates`).
    pub(super) fn valid_previous_states(self) -> &'static [Self] {
        match self {
            Empty => &[Empty, CompleteCommit, CompleteAbort],
            Ongoing => &[Ongoing, Empty, CompleteCommit, CompleteAbort],
            PrepareCommit => &[Ongoing],
            PrepareAbort => &[Ongoing, PrepareEpochFence, Empty, CompleteCommit, CompleteAbort],
            CompleteCommit => &[PrepareCommit],
            CompleteAbort => &[PrepareAbort],
            Dead => &[Empty, CompleteAbort, CompleteCommit],
            PrepareEpochFence => &[Ongoing],
        }
    }

    /// Whether it can be entered from `before`.
    pub(super) fn may_follow(self, before: Self) -> bool {
        self.valid_previous_states().contains(&before)
    }
}
