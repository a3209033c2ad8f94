//! The consumer group protocol (KIP-848): the coordinator computes who reads what, members follow at their own pace.
//!
//! Three epochs:
//!
//! - the *group epoch* rises when subscriptions, membership or topics change;
//! - the *assignment epoch* is the group epoch for which the target assignment was computed;
//! - the *member epoch* is the assignment epoch that a member has reached. A member gives up partitions at its old epoch,
//!   and gets new ones at the new epoch, when nobody else has them any more.
//!
//! ```text
//!   heartbeat --> 1 create or update the member, maybe bump the group epoch     heartbeat
//!                 2 maybe compute the target assignment                         target, assignor
//!                 3 reconcile the member with its target                        reconcile
//!   JoinGroup ... --> the same for members that speak the classic protocol        classic, migrate
//!   time      --> sessions and rebalances end, patterns are looked up           session, timers, regex
//!   records   --> the one way in which hard state changes                       state, record
//! ```
//!
//! One [`ConsumerGroup`] is one group. It never waits: every request is answered at once. Reads no clock and knows of no
//! connection; time, topics and configs come in with [`Ctx`].
//!
//! Not here: which groups there are, what a group's records are as bytes, committed offsets, and when a group changes its
//! protocol.

mod classic;
mod commit;
mod convert;
mod describe;
mod heartbeat;
mod member;
mod migrate;
mod record;
mod session;

mod assignor;
mod reconcile;
mod regex;
mod target;

mod state;
mod timers;
mod topics;

#[cfg(test)]
pub(in crate::group) mod tests;

pub(crate) use assignor::Assignor;
pub(crate) use commit::{CommitScope, CommitterEpoch, OffsetCommitter};
pub(crate) use describe::{DescribedGroup, DescribedMember, DescribedPartitions};
pub(crate) use heartbeat::{Heartbeat, HeartbeatAnswer};
pub(crate) use migrate::{Downgrade, MigratingMember, Upgrade, UpgradingMember};
pub(crate) use record::{ClassicProtocol, ConsumerRecord, Partitions};
#[cfg(test)]
pub(crate) use record::{CurrentMemberAssignmentValue, MemberState};
pub(crate) use session::ConsumerGroupState;
pub(crate) use state::HardState;
pub(crate) use topics::TopicCatalog;

use crate::time::Timestamp;
use timers::Timers;

/// What a group is told with everything that happens to it.
#[derive(Clone, Copy)]
pub(crate) struct Ctx<'a> {
    pub(crate) now: Timestamp,
    pub(crate) topics: &'a dyn TopicCatalog,
    pub(crate) config: &'a ConsumerConfig,
}

/// The configs of a group: its own where it has them, within the bounds of the broker's.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerConfig {
    /// `group.consumer.session.timeout.ms`.
    pub(crate) session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub(crate) heartbeat_interval_ms: i32,
    /// `group.consumer.assignment.interval.ms` (KIP-1263).
    pub(crate) assignment_interval_ms: i32,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub(crate) regex_refresh_interval_ms: i32,
    /// `group.consumer.max.size`.
    pub(crate) max_size: usize,
    /// `group.consumer.assignors`, not empty; the first is for members that ask for none.
    pub(crate) assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub(crate) migration_policy: MigrationPolicy,
    /// `group.max.size`, for a group that is to become a classic one.
    pub(crate) classic_max_size: usize,
}

/// Which way a group with members may change its protocol (`ConsumerGroupMigrationPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MigrationPolicy {
    /// Neither, and no member of the classic protocol may join a consumer group.
    Disabled,
    /// From consumer to classic.
    Downgrade,
    /// From classic to consumer.
    Upgrade,
    Bidirectional,
}

impl MigrationPolicy {
    /// The policy called `name`, in whatever case. A name that Kafka does not know is refused when it is set.
    pub(crate) fn by_name(name: &str) -> Self {
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        match () {
            () if is("bidirectional") => Self::Bidirectional,
            () if is("upgrade") => Self::Upgrade,
            () if is("downgrade") => Self::Downgrade,
            () => Self::Disabled,
        }
    }

    pub(crate) fn is_disabled(self) -> bool {
        self == Self::Disabled
    }

    pub(crate) fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub(crate) fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

impl Default for ConsumerConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            assignment_interval_ms: 1_000,
            regex_refresh_interval_ms: 600_000,
            max_size: i32::MAX as usize,
            assignors: Assignor::ALL.to_vec(),
            migration_policy: MigrationPolicy::Bidirectional,
            classic_max_size: i32::MAX as usize,
        }
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    group_id: String,
    hard: HardState,
    // Soft.
    timers: Timers,
    /// The version of the topics for which the metadata hash was last computed.
    seen_topics: Option<i64>,
    /// When the patterns are to be looked up. Kafka does it on another thread, after the heartbeat that asked for it.
    regex_refresh: Option<Timestamp>,
}

impl ConsumerGroup {
    /// A group of which there are no records. It exists, for others, once there are ([`HardState::is_persisted`]).
    pub(crate) fn new(group_id: impl Into<String>) -> Self {
        let (hard, timers) = (HardState::new(), Timers::default());
        Self { group_id: group_id.into(), hard, timers, seen_topics: None, regex_refresh: None }
    }

    /// What its records say.
    #[cfg(test)]
    pub(crate) fn hard_state(&self) -> &HardState {
        &self.hard
    }

    /// Applies one record. The only way in which hard state changes; recovery calls it too.
    pub(crate) fn apply(&mut self, record: &ConsumerRecord) {
        debug_assert_eq!(record.group_id(), self.group_id, "a record of another group");
        self.hard.apply(record);
    }

    /// Applies a record, and asks for it to be written.
    fn persist(&mut self, record: ConsumerRecord, out: &mut Vec<ConsumerRecord>) {
        self.apply(&record);
        out.push(record);
    }
}
