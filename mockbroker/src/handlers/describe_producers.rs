//! DescribeProducers (key 61), v0.
//!
//! The producers that a partition remembers: what is needed to find one that hangs in a transaction.
//!
//! Versions: v0 is flexible.
//! Not modelled: an authorizer.
//! Source: DescribeProducersRequest.json; KIP-664; KafkaApis.handleDescribeProducersRequest, Partition.activeProducerState.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};

use super::answers::{default_text, text};
use super::{Answer, Api, Ctx};
use crate::cluster::{Refusal, Topic, names};
use crate::state::State;
use crate::types::{NodeId, PartitionId, ProducerId};

pub(super) const API: Api = Api::new::<DescribeProducersRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeProducersRequest,
) -> Answer<DescribeProducersResponse> {
    Answer::Now(respond(&request, |name, partition| {
        names::check(name)?;
        let topic = state.cluster.topics().by_name(name).ok_or_else(|| {
            let error = ResponseError::UnknownTopicOrPartition;
            Refusal::new(error, default_text(error).to_string())
        })?;
        producers(state, ctx.node, topic, partition).map_err(Refusal::code)
    }))
}

pub(super) fn refuse(request: &DescribeProducersRequest, error: ResponseError) -> DescribeProducersResponse {
    respond(request, |_, _| Err(Refusal::code(error)))
}

fn producers(state: &State, node: NodeId, topic: &Topic, id: PartitionId) -> Result<Vec<ProducerState>, ResponseError> {
    let partition = topic.partition(id).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if !partition.replicas().contains(&node) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    let log = state.logs.partition(topic.id(), id).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let producers = log.producers().map(|producer| {
        ProducerState::default()
            .with_producer_id(ProducerId(producer.producer_id))
            .with_producer_epoch(producer.producer_epoch.into())
            .with_last_sequence(producer.last_sequence)
            .with_last_timestamp(producer.last_timestamp)
            .with_coordinator_epoch(producer.coordinator_epoch)
            .with_current_txn_start_offset(producer.current_transaction_start_offset)
    });
    Ok(producers.collect())
}

fn respond(
    request: &DescribeProducersRequest,
    producers: impl Fn(&str, PartitionId) -> Result<Vec<ProducerState>, Refusal>,
) -> DescribeProducersResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            let answer = PartitionResponse::default().with_partition_index(*index);
            match producers(&topic.name, PartitionId(*index)) {
                Ok(producers) => answer.with_active_producers(producers),
                Err(Refusal { error, message }) => {
                    answer.with_error_code(error.code()).with_error_message(message.map(text))
                }
            }
        });
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_producers_request::TopicRequest;

    use super::*;
    use crate::handlers::testing::{Rig, topic_name};

    #[test]
    fn a_partition_is_asked_of_a_node_that_has_it() {
        // Source: Partition.activeProducerState; the codes were seen on 4.3.1 (tests/kit/scenarios/producers.rs).
        let mut rig = Rig::new(3, &[]);
        rig.topic_on("t", &[&[1, 3], &[2, 3], &[2, 1]]);
        let of = |name: &str, indexes: &[i32]| {
            TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(indexes.to_vec())
        };
        let topics = vec![of("t", &[0, 1, 2, 7]), of("nowhere", &[0]), of("a b", &[0])];
        let response = rig.call(0, handle, DescribeProducersRequest::default().with_topics(topics));
        let codes = response.topics.iter().flat_map(|topic| topic.partitions.iter().map(|it| it.error_code));
        assert_eq!(codes.collect::<Vec<_>>(), [0, 6, 0, 3, 3, 17]);
        let texts = response.topics.iter().map(|topic| topic.partitions[0].error_message.as_deref());
        let invalid = "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', \
                       '_' and '-'";
        let unknown = "This server does not host this topic-partition.";
        assert_eq!(texts.collect::<Vec<_>>(), [None, Some(unknown), Some(invalid)]);
    }
}
