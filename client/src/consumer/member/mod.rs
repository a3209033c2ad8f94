//! The part of a consumer in its group: joining, staying, and giving partitions back.
//!
//! [`classic`] decides and knows no clock, connection or lock; [`driver`] is the task that does what it says.

pub(crate) mod classic;
pub(crate) mod driver;
pub(crate) mod requests;

use crate::{codes::ErrorCode, error::Error};

/// What a request to the coordinator failed with, by what is to be done about it.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// Ask again later.
    Later(Error),
    /// The group has no such member any more.
    UnknownMember,
    /// The group has gone on without us.
    IllegalGeneration,
    /// The group rebalances.
    Rebalance,
    /// Join again with this id (KIP-394).
    MemberIdRequired(String),
    /// Nothing that waiting cures.
    Fatal(Error),
}

impl Failure {
    /// By error code, as `AbstractCoordinator` handles them.
    pub(crate) fn of(error: Error) -> Self {
        match error.code() {
            Some(ErrorCode::UnknownMemberId) => Self::UnknownMember,
            Some(ErrorCode::IllegalGeneration) => Self::IllegalGeneration,
            Some(ErrorCode::RebalanceInProgress) => Self::Rebalance,
            _ if error.is_retriable() => Self::Later(error),
            _ => Self::Fatal(error),
        }
    }
}
