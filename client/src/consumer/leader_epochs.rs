//! Whether the log beneath a position was truncated, asked of a new leader (KIP-320): OffsetForLeaderEpoch.
//!
//! Pure. The position knows the leader epoch of the batch before it. A leader that ended that epoch earlier, or never had it,
//! has other records at the position than those that were read.

use std::sync::Arc;

use kafka_protocol::{
    messages::{
        BrokerId, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
    },
    protocol::StrBytes,
};

use super::{
    positions::Wanted,
    requests::{grouped, unanswered},
};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    wire::versions::Api,
};

/// What a leader says about a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The log has what was read.
    Valid,
    /// The leader knows nothing of that time, such as after retention: not a sign of loss.
    Unknown,
    /// The logs part here; the records before it are of this epoch.
    Truncated { end_offset: i64, leader_epoch: i32 },
}

impl Verdict {
    /// By where the epoch ended on the leader (`OffsetsForLeaderEpochUtils`, `SubscriptionState.maybeCompleteValidation`).
    pub(crate) fn of(position: i64, epoch: i32, end_offset: i64, end_epoch: i32) -> Self {
        if end_offset < 0 || end_epoch < 0 {
            Self::Unknown
        } else if end_epoch < epoch || end_offset < position {
            Self::Truncated { end_offset: end_offset.min(position), leader_epoch: end_epoch }
        } else {
            Self::Valid
        }
    }
}

/// Asks where the epochs of `wanted` ended, in this order; `leader_epochs` goes with it.
pub(crate) fn request(wanted: &[Wanted<i64>], leader_epochs: &[i32]) -> OffsetForLeaderEpochRequest {
    let partitions = wanted.iter().zip(leader_epochs).map(|(wanted, leader_epoch)| {
        OffsetForLeaderPartition::default()
            .with_partition(wanted.partition)
            .with_current_leader_epoch(*leader_epoch)
            .with_leader_epoch(wanted.epoch)
    });
    let topics = grouped(wanted.iter().map(|wanted| &wanted.topic), partitions).map(|(name, partitions)| {
        let topic = OffsetForLeaderTopic::default().with_topic(StrBytes::from_string(name.to_string()).into());
        topic.with_partitions(partitions)
    });
    OffsetForLeaderEpochRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics.collect())
}

/// What the leader says about each position.
pub(crate) fn verdicts(
    wanted: Vec<Wanted<i64>>,
    answer: &OffsetForLeaderEpochResponse,
) -> Vec<(Wanted<i64>, Result<Verdict>)> {
    let verdict = |wanted: &Wanted<i64>| {
        let topic = answer.topics.iter().find(|topic| **topic.topic == *wanted.topic);
        let found = topic.and_then(|topic| topic.partitions.iter().find(|p| p.partition == wanted.partition));
        let Some(found) = found else { return Err(unanswered(OffsetForLeaderEpochRequest::NAME, wanted)) };
        if found.error_code != 0 {
            let code = ErrorCode::from_number(found.error_code);
            let topic: &Arc<str> = &wanted.topic;
            return Err(Error::of_partition(OffsetForLeaderEpochRequest::NAME, topic, wanted.partition, code));
        }
        Ok(Verdict::of(wanted.what, wanted.epoch, found.end_offset, found.leader_epoch))
    };
    wanted
        .into_iter()
        .map(|wanted| {
            let verdict = verdict(&wanted);
            (wanted, verdict)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_beyond_the_end_of_its_epoch_is_of_another_log() {
        // KIP-320; a read record was the last before offset 10, in epoch 3.
        for (end, verdict) in [
            ((10, 3), Verdict::Valid),
            ((20, 3), Verdict::Valid),
            ((7, 3), Verdict::Truncated { end_offset: 7, leader_epoch: 3 }),
            // The leader has nothing of epoch 3: its log parted in epoch 2.
            ((15, 2), Verdict::Truncated { end_offset: 10, leader_epoch: 2 }),
            // UNDEFINED_EPOCH_OFFSET: client trap 67.
            ((-1, -1), Verdict::Unknown),
        ] {
            assert_eq!(Verdict::of(10, 3, end.0, end.1), verdict, "{end:?}");
        }
    }
}
