//! Receiving records.
//!
//! [`AssignedConsumer`] reads partitions that the program names, [`Consumer`] those that its group gives it. What both share
//! is in [`shared`]: [`positions`] knows where each partition stands and has no clock; [`fetcher`] is the one task that keeps
//! bytes coming; verifying and decompressing happens on the task of the program that reads. [`member`] is the part that a
//! consumer plays in its group, [`commits`] what it tells the group about its progress.

mod assigned;
mod assignor;
mod builder;
mod commits;
#[cfg(test)]
mod cost;
mod fetch_session;
mod fetcher;
mod group;
mod group_builder;
mod group_metadata;
mod isolation;
mod leader_epochs;
mod member;
mod ownership;
mod partition_stream;
pub(crate) mod positions;
mod rebalance;
mod record;
mod requests;
pub(crate) mod shared;
mod sources;
mod starts;
mod stats;
mod subscription;

pub use self::{
    assigned::AssignedConsumer,
    builder::AssignedConsumerBuilder,
    group::{CommittedOffset, Consumer},
    group_builder::ConsumerBuilder,
    partition_stream::PartitionStream,
    rebalance::{Rebalance, RebalanceKind},
    record::{ConsumerBatch, ConsumerRecord, RecordView},
    stats::ConsumerStats,
};
use crate::{config::OffsetReset, record::Timestamp};

/// Where to start in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// At the first record that is still there.
    Earliest,
    /// After the last record.
    Latest,
    /// At this offset. If the log does not have it, `auto_offset_reset` decides.
    At(i64),
    /// At the first record whose time is this or later; after the last record if there is none.
    Timestamp(Timestamp),
}

impl Offset {
    /// Where to start when there is nothing to go on from; at the end if the program is to be told.
    fn of(reset: OffsetReset) -> Self {
        match reset {
            OffsetReset::Earliest => Self::Earliest,
            OffsetReset::Latest | OffsetReset::None => Self::Latest,
            OffsetReset::ByDuration(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                Self::Timestamp(Timestamp(Timestamp::now().as_millis().saturating_sub(age)))
            }
        }
    }
}
