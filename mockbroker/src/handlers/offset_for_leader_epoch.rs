//! OffsetForLeaderEpoch (key 23), v2-v4.
//!
//! Where a leader epoch ended in the log: a client compares it with its own position to see whether the log was truncated
//! beneath it.
//!
//! Versions: v2 is the lowest that Kafka 4.0 serves; v3 replica id; v4 flexible.
//! Source: OffsetForLeaderEpochRequest.json; KIP-101, KIP-279, KIP-320; ReplicaManager.lastOffsetForLeaderEpoch.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use super::partitions::led_by_name;
use super::{Answer, Api, Ctx};
use crate::log::EpochEnd;
use crate::state::State;
use crate::types::PartitionId;

pub(super) const API: Api = Api::new::<OffsetForLeaderEpochRequest>(2, 4);

/// What stands in an answer without an end.
const UNDEFINED: EpochEnd = EpochEnd { leader_epoch: -1, end_offset: -1 };

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: OffsetForLeaderEpochRequest,
) -> Answer<OffsetForLeaderEpochResponse> {
    Answer::Now(respond(&request, |topic, asked| {
        let partition = PartitionId(asked.partition);
        let led = led_by_name(state, ctx.node, topic, partition, asked.current_leader_epoch)?;
        Ok(led.log.end_offset_for_epoch(asked.leader_epoch))
    }))
}

pub(super) fn refuse(request: &OffsetForLeaderEpochRequest, error: ResponseError) -> OffsetForLeaderEpochResponse {
    respond(request, |_, _| Err(error))
}

fn respond(
    request: &OffsetForLeaderEpochRequest,
    look_up: impl Fn(&str, &OffsetForLeaderPartition) -> Result<EpochEnd, ResponseError>,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let outcome = look_up(&topic.topic, asked);
            let error_code = outcome.as_ref().err().map_or(0, ResponseError::code);
            let end = outcome.unwrap_or(UNDEFINED);
            EpochEndOffset::default()
                .with_partition(asked.partition)
                .with_error_code(error_code)
                .with_leader_epoch(end.leader_epoch)
                .with_end_offset(end.end_offset)
        });
        OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
