//! ConsumerGroupHeartbeat (key 68), v0-v1.
//!
//! A member of a consumer group (KIP-848) joins, says what it owns, learns what it may own, and leaves.
//!
//! Versions: v0 flexible; v1 subscription by pattern, and the member brings its own id (KIP-1082).
//! Not modelled: an authorizer, so a pattern stands for every topic whose name it matches.
//! Source: ConsumerGroupHeartbeatRequest.json; KIP-848; KafkaApis.handleConsumerGroupHeartbeat,
//! GroupCoordinatorService.consumerGroupHeartbeat.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::text;
use super::{Answer, Api, Ctx, groups};
use crate::cluster::Refusal;
use crate::group::consumer::{Heartbeat, HeartbeatAnswer, Partitions};
use crate::group::{ConsumerGroupHeartbeat, Event, Response};
use crate::state::State;
use crate::types::{PartitionId, TopicId};

pub(super) const API: Api = Api::new::<ConsumerGroupHeartbeatRequest>(0, 1);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> Answer<ConsumerGroupHeartbeatResponse> {
    if !state.cluster.serves_consumer_protocol() {
        return Answer::Now(refuse(&request, ResponseError::UnsupportedVersion));
    }
    let event = event(ctx, request);
    // What is wrong whatever the group is comes before the question who coordinates it.
    let outcome = event.check(&state.cluster, state.cluster.settings()).and_then(|()| {
        state.check_group_coordinator(ctx.node, &event.group_id).map_err(Refusal::code)?;
        match groups::step_now(state, ctx, |ticket| Event::ConsumerGroupHeartbeat(ticket, event)) {
            Response::ConsumerGroupHeartbeat(outcome) => outcome,
            other => panic!("a heartbeat of a consumer is not answered with {other:?}"),
        }
    });
    Answer::Now(match outcome {
        Ok(heard) => accepted(heard),
        Err(Refusal { error, message }) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(error.code())
            .with_error_message(message.map(text)),
    })
}

pub(super) fn refuse(_request: &ConsumerGroupHeartbeatRequest, error: ResponseError) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default().with_error_code(error.code())
}

fn event(ctx: &Ctx<'_>, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeat {
    let nullable = |value: Option<StrBytes>| value.map(|value| value.to_string());
    let mut owned = None;
    if let Some(topics) = request.topic_partitions {
        let owned: &mut Partitions = owned.insert(Partitions::new());
        for topic in topics {
            let partitions = topic.partitions.into_iter().map(PartitionId);
            owned.entry(TopicId(topic.topic_id)).or_default().extend(partitions);
        }
    }
    let names = request.subscribed_topic_names;
    let heartbeat = Heartbeat {
        member_id: request.member_id.to_string(),
        member_epoch: request.member_epoch,
        instance_id: nullable(request.instance_id),
        rack_id: nullable(request.rack_id),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        subscribed_topic_names: names.map(|names| names.into_iter().map(|name| name.to_string()).collect()),
        subscribed_topic_regex: nullable(request.subscribed_topic_regex),
        server_assignor: nullable(request.server_assignor),
        topic_partitions: owned,
        client_id: ctx.client_id.to_owned(),
        client_host: groups::client_host(ctx.client_address).to_string(),
    };
    ConsumerGroupHeartbeat { group_id: request.group_id.0, requires_member_id: ctx.version >= 1, heartbeat }
}

fn accepted(heard: HeartbeatAnswer) -> ConsumerGroupHeartbeatResponse {
    let assignment = heard.assignment.map(|assignment| {
        let topics = assignment.into_iter().map(|(topic_id, partitions)| {
            let partitions = partitions.into_iter().map(|partition| partition.0).collect();
            TopicPartitions::default().with_topic_id(topic_id.0).with_partitions(partitions)
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(heard.member_id)))
        .with_member_epoch(heard.member_epoch)
        .with_heartbeat_interval_ms(heard.heartbeat_interval_ms)
        .with_assignment(assignment)
}
