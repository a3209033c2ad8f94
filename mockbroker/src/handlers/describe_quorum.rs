//! DescribeQuorum (key 55), v0-v2.
//!
//! The controllers of the cluster and how far each has the metadata log. Every node is a controller here; the first leads until
//! it crashes.
//!
//! Versions: v0 is flexible; v1 timestamps of voters; v2 texts, directory ids, endpoints of the voters (KIP-853).
//! Not modelled: an authorizer; a metadata log that can be read, a quorum that is lost, directory ids, listeners of
//! controllers (a node's own address is given).
//! Source: DescribeQuorumRequest.json; KIP-595, KIP-836; KafkaRaftClient.handleDescribeQuorumRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::{default_text, text};
use super::{Answer, Api, Ctx};
use crate::state::State;

pub(super) const API: Api = Api::new::<DescribeQuorumRequest>(0, 2);

/// The topic whose one partition is the metadata log.
const CLUSTER_METADATA: &str = "__cluster_metadata";

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeQuorumRequest,
) -> Answer<DescribeQuorumResponse> {
    let is_the_quorum = match &request.topics[..] {
        [topic] if *topic.topic_name.0 == *CLUSTER_METADATA => {
            matches!(&topic.partitions[..], [partition] if partition.partition_index == 0)
        }
        _ => false,
    };
    if !is_the_quorum {
        let partition = unknown(ctx.version);
        return Answer::Now(respond(&request, &partition));
    }
    let cluster = &state.cluster;
    let end_offset = cluster.metadata_offset();
    let voters = cluster.alive_nodes().map(|node| {
        let voter = ReplicaState::default().with_replica_id(BrokerId(node.id.0)).with_log_end_offset(end_offset);
        match ctx.version {
            0 => voter,
            _ => {
                voter.with_last_fetch_timestamp(ctx.now.as_millis()).with_last_caught_up_timestamp(ctx.now.as_millis())
            }
        }
    });
    let partition = PartitionData::default()
        .with_leader_id(BrokerId(cluster.controller_id().0))
        .with_leader_epoch(cluster.controller_epoch())
        .with_high_watermark(end_offset)
        .with_current_voters(voters.collect())
        .with_error_message(some_text(ctx.version, ""));
    let response = respond(&request, &partition);
    let nodes = cluster.alive_nodes().map(|node| {
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("CONTROLLER"))
            .with_host(text(node.host.as_str()))
            .with_port(node.port);
        Node::default().with_node_id(BrokerId(node.id.0)).with_listeners(vec![listener])
    });
    let nodes = if ctx.version >= 2 { nodes.collect() } else { Vec::new() };
    Answer::Now(response.with_nodes(nodes))
}

pub(super) fn refuse(_request: &DescribeQuorumRequest, error: ResponseError) -> DescribeQuorumResponse {
    DescribeQuorumResponse::default().with_error_code(error.code())
}

/// What is said of a partition of any other topic.
fn unknown(version: i16) -> PartitionData {
    let error = ResponseError::UnknownTopicOrPartition;
    PartitionData::default().with_error_code(error.code()).with_error_message(some_text(version, &default_text(error)))
}

/// A text, at the versions that have one.
fn some_text(version: i16, words: &str) -> Option<StrBytes> {
    (version >= 2).then(|| text(words))
}

/// The same said of every partition that was asked for.
fn respond(request: &DescribeQuorumRequest, partition: &PartitionData) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions =
            topic.partitions.iter().map(|asked| partition.clone().with_partition_index(asked.partition_index));
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_quorum_request;

    use super::*;
    use crate::handlers::testing::{Rig, topic_name};

    fn of(topic: &str, indexes: &[i32]) -> DescribeQuorumRequest {
        let partition = |index: &i32| describe_quorum_request::PartitionData::default().with_partition_index(*index);
        let topic = describe_quorum_request::TopicData::default()
            .with_topic_name(topic_name(topic))
            .with_partitions(indexes.iter().map(partition).collect());
        DescribeQuorumRequest::default().with_topics(vec![topic])
    }

    #[test]
    fn the_quorum_is_all_nodes_and_the_first_leads() {
        let mut rig = Rig::new(3, &[]);
        rig.topic("t", 1);
        for version in 0..=2 {
            let response = rig.call(version, handle, of(CLUSTER_METADATA, &[0]));
            let partition = &response.topics[0].partitions[0];
            assert_eq!((partition.leader_id.0, partition.leader_epoch, partition.error_code), (1, 1, 0));
            assert_eq!(partition.high_watermark, rig.state.cluster.metadata_offset());
            assert_eq!(partition.current_voters.iter().map(|it| it.replica_id.0).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!(response.nodes.len(), if version == 2 { 3 } else { 0 });
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        for (request, count) in [
            (of("t", &[0]), 1),
            (of(CLUSTER_METADATA, &[1]), 1),
            (of(CLUSTER_METADATA, &[0, 1]), 2),
            (of(CLUSTER_METADATA, &[]), 0),
        ] {
            let response = rig.call(2, handle, request);
            let partitions = &response.topics[0].partitions;
            assert_eq!((response.error_code, partitions.len()), (0, count));
            assert!(partitions.iter().all(|partition| partition.error_code == 3));
        }
    }
}
