//! ListPartitionReassignments (key 46), v0.
//!
//! The partitions that are on their way to other nodes.
//!
//! Versions: v0 is flexible.
//! Not modelled: an authorizer.
//! Source: ListPartitionReassignmentsRequest.json; KIP-455; ReplicationControlManager.listPartitionReassignments.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::answers::broker_ids;
use super::{Answer, Api, Ctx};
use crate::cluster::Topic;
use crate::state::State;
use crate::types::PartitionId;

pub(super) const API: Api = Api::new::<ListPartitionReassignmentsRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: ListPartitionReassignmentsRequest,
) -> Answer<ListPartitionReassignmentsResponse> {
    let topics = state.cluster.topics();
    let ongoing = match request.topics {
        None => topics.iter().filter_map(|topic| of_topic(topic, (0..).take(topic.partitions().len()))).collect(),
        Some(named) => {
            let known = named.into_iter().filter_map(|it| Some((topics.by_name(&it.name)?, it.partition_indexes)));
            known.filter_map(|(topic, partitions)| of_topic(topic, partitions)).collect()
        }
    };
    Answer::Now(ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(ongoing))
}

pub(super) fn refuse(
    _request: &ListPartitionReassignmentsRequest,
    error: ResponseError,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default().with_error_code(error.code()).with_error_message(None)
}

/// Those of `partitions` that are moving; `None` if none is.
fn of_topic(topic: &Topic, partitions: impl IntoIterator<Item = i32>) -> Option<OngoingTopicReassignment> {
    let moving = partitions.into_iter().filter_map(|id| {
        let partition = topic.partition(PartitionId(id)).filter(|partition| partition.is_reassigning())?;
        let ongoing = OngoingPartitionReassignment::default()
            .with_partition_index(id)
            .with_replicas(broker_ids(partition.replicas().iter().copied()))
            .with_adding_replicas(broker_ids(partition.adding().iter().copied()))
            .with_removing_replicas(broker_ids(partition.removing().iter().copied()));
        Some(ongoing)
    });
    let partitions: Vec<_> = moving.collect();
    let told = OngoingTopicReassignment::default().with_name(topic.name().clone());
    (!partitions.is_empty()).then(|| told.with_partitions(partitions))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use crate::types::NodeId;

    #[test]
    fn only_a_partition_that_is_on_its_way_is_listed() {
        // Source: ReplicationControlManager.listReassigningTopic.
        let mut rig = Rig::new(3, &[]);
        rig.topic_on("t", &[&[1], &[1]]);
        rig.state.cluster.set_alive(NodeId(3), false);
        let planned = rig.state.cluster.plan_reassignment("t", PartitionId(1), Some(&[3, 2]), true).unwrap();
        rig.state.move_leader(planned, crate::time::Timestamp::default());
        let all = rig.call(0, handle, ListPartitionReassignmentsRequest::default());
        let [partition] = &all.topics[0].partitions[..] else { panic!("{all:?}") };
        let ids = |nodes: &[kafka_protocol::messages::BrokerId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
        assert_eq!((partition.partition_index, ids(&partition.replicas)), (1, vec![3, 2, 1]));
        assert_eq!((ids(&partition.adding_replicas), ids(&partition.removing_replicas)), (vec![2, 3], vec![1]));
        let named = |partitions: &[i32]| {
            let topic = ListPartitionReassignmentsTopics::default().with_name(topic_name("t"));
            let topic = topic.with_partition_indexes(partitions.to_vec());
            ListPartitionReassignmentsRequest::default().with_topics(Some(vec![topic]))
        };
        assert_eq!(rig.call(0, handle, named(&[0, 7])).topics, []);
        assert_eq!(rig.call(0, handle, named(&[0, 1])).topics, all.topics);
    }
}
