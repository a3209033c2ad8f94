//! The part of a consumer in its group: joining, staying, and giving partitions back.
//!
//! [`classic`] and [`consumer`] decide, one for each of Kafka's group protocols, and know no clock, connection or lock;
//! [`driver`] is the task that does what they say.

pub(crate) mod classic;
pub(crate) mod consumer;
pub(crate) mod driver;
mod heartbeat;
mod machine;
mod partitions;
mod protocol;
pub(crate) mod requests;
mod topics;

use std::collections::BTreeSet;

use uuid::Uuid;

use self::consumer::Beat;
pub(crate) use self::protocol::Protocol;
use crate::{
    codes::ErrorCode,
    config::Assignor,
    consumer::assignor::{Member, protocol::Subscription},
    error::Error,
    record::TopicPartition,
};

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Give partitions back, and say `on_released`. What is `lost` belongs to others already.
    Release { partitions: Vec<TopicPartition>, lost: bool },
    /// Begin to read partitions.
    Adopt(Vec<TopicPartition>),
    /// Send JoinGroup.
    Join { member_id: String, protocols: Vec<(Assignor, Subscription)> },
    /// Compute the assignment, as the leader.
    Assign { assignor: Assignor, members: Vec<Member> },
    /// Send SyncGroup.
    Sync { assignments: Vec<(String, Vec<TopicPartition>)> },
    /// Send Heartbeat.
    Heartbeat,
    /// Send LeaveGroup.
    Leave { member_id: String },
    /// Send ConsumerGroupHeartbeat.
    Beat(Beat),
    /// Find the names of topics, and say `on_names`.
    Resolve(BTreeSet<Uuid>),
    /// Send the ConsumerGroupHeartbeat that leaves.
    Depart { member_epoch: i32 },
    /// Go on as a classic member.
    FallBack,
    /// The member is out of the group for good.
    End(Option<Error>),
}

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
    /// The group has a later epoch of this member (KIP-848).
    Fenced,
    /// Another member has the `group.instance.id`, or its session is not over yet (KIP-848).
    Unreleased(Error),
    /// The broker has no such protocol, or may not move the group to it.
    Incapable(Error),
    /// Nothing that waiting cures.
    Fatal(Error),
}

impl Failure {
    /// By error code, as `AbstractCoordinator` and `AbstractHeartbeatRequestManager` handle them.
    pub(crate) fn of(error: Error) -> Self {
        match error.code() {
            Some(ErrorCode::UnknownMemberId) => Self::UnknownMember,
            Some(ErrorCode::IllegalGeneration) => Self::IllegalGeneration,
            Some(ErrorCode::RebalanceInProgress) => Self::Rebalance,
            Some(ErrorCode::FencedMemberEpoch) => Self::Fenced,
            Some(ErrorCode::UnreleasedInstanceId) => Self::Unreleased(error),
            // The second one is of a classic group that `group.consumer.migration.policy` keeps as it is.
            Some(ErrorCode::UnsupportedVersion | ErrorCode::GroupIdNotFound) => Self::Incapable(error),
            None if matches!(error, Error::UnsupportedVersion { .. }) => Self::Incapable(error),
            _ if error.is_retriable() => Self::Later(error),
            _ => Self::Fatal(error),
        }
    }
}
