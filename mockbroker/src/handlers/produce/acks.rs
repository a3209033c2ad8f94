//! acks=all: the answer waits until every replica in sync has what was appended.
//!
//! Source: `DelayedProduce`, `Partition.checkEnoughReplicasReachOffset`; KIP-966.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceResponse;

use super::name_leaders;
use crate::cluster::min_insync_replicas;
use crate::state::State;
use crate::time::Timestamp;
use crate::types::{NodeId, PartitionId, Ticket, TopicId};
use crate::unacked::{UnackedProduce, Waiting};

/// Answers those that need not wait for the partition any longer, and for no other.
pub(crate) fn on_partition_moved(
    state: &mut State,
    topic_id: TopicId,
    partition: PartitionId,
) -> Vec<(Ticket, ProduceResponse)> {
    if state.unacked.is_empty() {
        return Vec::new();
    }
    let mut answers = Vec::new();
    for ticket in state.unacked.waiting_for(topic_id, partition) {
        let Some(mut request) = state.unacked.take(ticket) else { continue };
        let waiting = std::mem::take(&mut request.waiting);
        request.waiting = waiting.into_iter().filter(|it| !settle(state, &mut request, it)).collect();
        if request.waiting.is_empty() {
            answers.push((ticket, finish(state, request)));
        } else {
            state.unacked.hold(ticket, request);
        }
    }
    answers
}

/// Answers those whose time is up: what was appended stays in the log.
pub(crate) fn expire(state: &mut State, now: Timestamp) -> Vec<(Ticket, ProduceResponse)> {
    let mut answers = Vec::new();
    while let Some((ticket, mut request)) = state.unacked.take_due(now) {
        for waiting in std::mem::take(&mut request.waiting) {
            fail(&mut request.response, &waiting, ResponseError::RequestTimedOut);
        }
        answers.push((ticket, finish(state, request)));
    }
    answers
}

/// Whether a partition need not be waited for any longer; the answer then says how it went.
fn settle(state: &State, request: &mut UnackedProduce, waiting: &Waiting) -> bool {
    match reached(state, request.node, waiting) {
        Ok(has_reached) => has_reached,
        Err(error) => {
            fail(&mut request.response, waiting, error);
            true
        }
    }
}

fn reached(state: &State, node: NodeId, waiting: &Waiting) -> Result<bool, ResponseError> {
    let topic = state.cluster.topics().by_id(waiting.topic_id).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.partition(waiting.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let log = state.logs.partition(waiting.topic_id, waiting.partition);
    let log = log.ok_or(ResponseError::UnknownTopicOrPartition)?;
    if partition.leader() != Some(node) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    if log.high_watermark() < waiting.required_offset {
        return Ok(false);
    }
    let is_enough = partition.isr().len() >= min_insync_replicas(topic, partition);
    if is_enough { Ok(true) } else { Err(ResponseError::NotEnoughReplicasAfterAppend) }
}

/// The offsets stay in the answer, as in Kafka.
fn fail(response: &mut ProduceResponse, waiting: &Waiting, error: ResponseError) {
    let (topic, partition) = waiting.place;
    let partitions = response.responses.get_mut(topic).map(|topic| &mut topic.partition_responses);
    if let Some(answer) = partitions.and_then(|all| all.get_mut(partition)) {
        answer.error_code = error.code();
    }
}

fn finish(state: &State, request: UnackedProduce) -> ProduceResponse {
    let mut response = request.response;
    if request.version >= 10 {
        let mut endpoints = Vec::new();
        name_leaders(state, &mut response, &mut endpoints);
        response.node_endpoints = endpoints;
    }
    response
}
