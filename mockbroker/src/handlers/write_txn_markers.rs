//! WriteTxnMarkers (key 27), v1.
//!
//! Writes the markers that end transactions. Coordinators speak it to leaders, which here is a call; of clients, a tool
//! that aborts a hanging transaction does (KIP-664).
//!
//! Versions: v1 flexible; v2 tells the transaction version, and is beyond the codec.
//! Not modelled: an authorizer.
//! Source: WriteTxnMarkersRequest.json; KIP-98; KafkaApis.handleWriteTxnMarkersRequest.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::{Answer, Api, Ctx, Effect, code, transactions};
use crate::logs::Marker;
use crate::state::State;
use crate::txn::TopicPartition;
use crate::types::{PartitionId, ProducerId};

pub(super) const API: Api = Api::new::<WriteTxnMarkersRequest>(1, 1);

/// What became of each partition, by producer: Kafka gathers the markers of one producer.
type Outcomes = BTreeMap<i64, BTreeMap<TopicPartition, Option<ResponseError>>>;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: WriteTxnMarkersRequest,
) -> Answer<WriteTxnMarkersResponse> {
    let mut outcomes = Outcomes::new();
    for marker in &request.markers {
        let of_producer = outcomes.entry(marker.producer_id.0).or_default();
        for at in partitions(marker) {
            let error = write(state, ctx, marker, &at).err();
            of_producer.insert(at, error);
        }
    }
    Answer::Now(respond(outcomes))
}

pub(super) fn refuse(request: &WriteTxnMarkersRequest, error: ResponseError) -> WriteTxnMarkersResponse {
    let mut outcomes = Outcomes::new();
    for marker in &request.markers {
        outcomes.entry(marker.producer_id.0).or_default().extend(partitions(marker).map(|at| (at, Some(error))));
    }
    respond(outcomes)
}

fn partitions(marker: &WritableTxnMarker) -> impl Iterator<Item = TopicPartition> + '_ {
    marker.topics.iter().flat_map(|topic| transactions::partitions_of(&topic.name, &topic.partition_indexes))
}

fn write(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    asked: &WritableTxnMarker,
    at: &TopicPartition,
) -> Result<(), ResponseError> {
    // What this node does not have is unknown to it.
    let topic = state.cluster.topics().by_name(&at.topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.partition(PartitionId(at.partition)).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if !partition.replicas().contains(&ctx.node) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    if partition.leader() != Some(ctx.node) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    let marker = Marker {
        producer_id: asked.producer_id.0,
        producer_epoch: asked.producer_epoch,
        is_commit: asked.transaction_result,
        coordinator_epoch: asked.coordinator_epoch,
        // This version does not say, so the old and weaker check is made.
        bumps_epoch: false,
    };
    let mut moved = Vec::new();
    let written = state.write_marker(&marker, at, ctx.now, &mut moved);
    ctx.effects.extend(moved.into_iter().map(|(topic_id, partition)| Effect::PartitionMoved(topic_id, partition)));
    written
}

fn respond(outcomes: Outcomes) -> WriteTxnMarkersResponse {
    let marker = |(producer_id, partitions): (i64, BTreeMap<TopicPartition, Option<ResponseError>>)| {
        let topics = transactions::by_topic(&partitions.keys().cloned().collect());
        let topic = |(name, indexes): (crate::types::TopicName, Vec<i32>)| {
            let partition = |index: i32| {
                let at = TopicPartition { topic: name.0.clone(), partition: index };
                WritableTxnMarkerPartitionResult::default()
                    .with_partition_index(index)
                    .with_error_code(code(partitions.get(&at).copied().flatten()))
            };
            let partitions = indexes.into_iter().map(partition).collect();
            WritableTxnMarkerTopicResult::default().with_name(name.clone()).with_partitions(partitions)
        };
        WritableTxnMarkerResult::default()
            .with_producer_id(ProducerId(producer_id))
            .with_topics(topics.into_iter().map(topic).collect())
    };
    WriteTxnMarkersResponse::default().with_markers(outcomes.into_iter().map(marker).collect())
}
