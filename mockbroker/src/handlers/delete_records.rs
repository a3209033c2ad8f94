//! DeleteRecords (key 21), v0-v2.
//!
//! Moves the log start of partitions up to an offset: what is before it cannot be read any more.
//!
//! Versions: v2 flexible.
//! Not modelled: an authorizer; waiting for other replicas, since one log stands for all of them.
//! Source: DeleteRecordsRequest.json; KIP-107; KafkaApis.handleDeleteRecordsRequest, ReplicaManager.deleteRecords.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::{Answer, Api, Ctx, Effect};
use crate::state::State;
use crate::types::PartitionId;

pub(super) const API: Api = Api::new::<DeleteRecordsRequest>(0, 2);

/// `DeleteRecordsRequest.HIGH_WATERMARK`: all that consumers can read.
const UP_TO_HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DeleteRecordsRequest,
) -> Answer<DeleteRecordsResponse> {
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut offsets = BTreeMap::new();
    for (topic, partition) in request.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |it| (topic, it)))
    {
        offsets.insert((&**topic.name, partition.partition_index), partition.offset);
    }
    // Kafka works on a map: a topic without partitions is left out, and of a partition named twice the last one counts.
    for topic in request.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let mut results: Vec<DeleteRecordsPartitionResult> = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let Some(offset) = offsets.remove(&(&**topic.name, partition.partition_index)) else { continue };
            let outcome = delete(state, ctx, &topic.name, PartitionId(partition.partition_index), offset);
            results.push(result(partition.partition_index, outcome));
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(results));
    }
    Answer::Now(DeleteRecordsResponse::default().with_topics(topics))
}

pub(super) fn refuse(request: &DeleteRecordsRequest, error: ResponseError) -> DeleteRecordsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| result(partition.partition_index, Err(error)));
        DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

/// The log start after all before `offset` was deleted.
fn delete(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    topic: &str,
    partition: PartitionId,
    offset: i64,
) -> Result<i64, ResponseError> {
    let topic = state.cluster.topics().by_name(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if topic.is_internal() {
        return Err(ResponseError::InvalidTopicException);
    }
    let known = topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let led = known.leader() == Some(ctx.node);
    let log = state.logs.partition_mut(topic.id(), partition).filter(|_| led);
    let log = log.ok_or(ResponseError::NotLeaderOrFollower)?;
    // Whoever only compacts deletes nothing; an empty policy may be told to (KIP-1161, 4.2).
    if topic.config().cleanup_compact && !topic.config().cleanup_delete {
        return Err(ResponseError::PolicyViolation);
    }
    let offset = if offset == UP_TO_HIGH_WATERMARK { log.high_watermark() } else { offset };
    if offset < 0 || offset > log.high_watermark() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    if offset > log.log_start_offset() {
        log.delete_records(offset);
        ctx.effects.push(Effect::PartitionMoved(topic.id(), partition));
    }
    Ok(log.log_start_offset())
}

fn result(index: i32, outcome: Result<i64, ResponseError>) -> DeleteRecordsPartitionResult {
    DeleteRecordsPartitionResult::default()
        .with_partition_index(index)
        .with_low_watermark(outcome.unwrap_or(-1))
        .with_error_code(super::code(outcome.err()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};

    fn ask(rig: &mut Rig, topic: &str, partitions: &[(i32, i64)]) -> Vec<(i16, i64)> {
        let partition = |(index, offset): &(i32, i64)| {
            DeleteRecordsPartition::default().with_partition_index(*index).with_offset(*offset)
        };
        let topic = DeleteRecordsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(partitions.iter().map(partition).collect());
        let response = rig.call(2, handle, DeleteRecordsRequest::default().with_topics(vec![topic]));
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|it| (it.error_code, it.low_watermark)).collect()
    }

    #[test]
    fn each_case_of_an_empty_log_has_its_answer() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 4);
        rig.state.auto_create("__consumer_offsets");
        assert_eq!(
            ask(&mut rig, "p", &[(0, 0), (1, -1), (99, 0), (2, -2), (3, 5)]),
            [(0, 0), (0, 0), (3, -1), (1, -1), (1, -1)]
        );
        assert_eq!(ask(&mut rig, "nope", &[(0, 0)]), [(3, -1)]);
        assert_eq!(ask(&mut rig, "__consumer_offsets", &[(0, 0)]), [(17, -1)]);
        assert_eq!(rig.take_effects(), [], "nothing moved");
    }

    #[test]
    fn only_the_leader_deletes() {
        let mut rig = Rig::new(3, &[]);
        rig.topic("p", 3);
        let codes: Vec<_> = ask(&mut rig, "p", &[(0, 0), (1, 0), (2, 0)]).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes.iter().filter(|code| **code == 6).count(), 2);
    }
}
