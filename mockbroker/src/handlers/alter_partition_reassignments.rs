//! AlterPartitionReassignments (key 45), v0-v1.
//!
//! Moves partitions to other nodes, or takes such a move back.
//!
//! Versions: v0 is flexible already; v1 may insist on the replication factor (KIP-860).
//! Not modelled: an authorizer. In Kafka the new replicas copy the log first, which takes some hundred milliseconds; here a
//! partition whose new nodes are up is moved at once.
//! Source: AlterPartitionReassignmentsRequest.json; KIP-455, KIP-860; ReplicationControlManager.alterPartitionReassignments.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::ReassignablePartition;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use super::answers::{outcome, text};
use super::{Answer, Api, Ctx, Effect};
use crate::cluster::Refusal;
use crate::state::State;
use crate::types::{PartitionId, TopicName};

pub(super) const API: Api = Api::new::<AlterPartitionReassignmentsRequest>(0, 1);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: AlterPartitionReassignmentsRequest,
) -> Answer<AlterPartitionReassignmentsResponse> {
    if request.topics.is_empty() {
        // QuorumController answers with a new response, whose text is "" and not null.
        return Answer::Now(AlterPartitionReassignmentsResponse::default().with_error_message(Some(text(""))));
    }
    if request.timeout_ms <= 0 {
        return Answer::Now(refuse(&request, ResponseError::RequestTimedOut));
    }
    let may_change = request.allow_replication_factor_change;
    let response = respond(&request, |topic, partition| {
        let id = PartitionId(partition.partition_index);
        let replicas: Option<Vec<i32>> =
            partition.replicas.as_ref().map(|nodes| nodes.iter().map(|node| node.0).collect());
        let planned = state.cluster.plan_reassignment(topic, id, replicas.as_deref(), may_change)?;
        let topic_id = planned.topic_id;
        if state.move_leader(planned, ctx.now) {
            ctx.effects.push(Effect::LeaderMoved(topic_id, id));
        }
        Ok(())
    });
    let response = if ctx.version >= 1 { response.with_allow_replication_factor_change(may_change) } else { response };
    Answer::Now(response)
}

pub(super) fn refuse(
    request: &AlterPartitionReassignmentsRequest,
    error: ResponseError,
) -> AlterPartitionReassignmentsResponse {
    respond(request, |_, _| Err(Refusal::code(error))).with_error_code(error.code())
}

fn respond(
    request: &AlterPartitionReassignmentsRequest,
    mut alter: impl FnMut(&TopicName, &ReassignablePartition) -> Result<(), Refusal>,
) -> AlterPartitionReassignmentsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let (error_code, error_message) = outcome(&alter(&topic.name, partition));
            ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error_code)
                .with_error_message(error_message)
        });
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    AlterPartitionReassignmentsResponse::default().with_error_message(None).with_responses(topics.collect())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;

    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use crate::types::NodeId;

    fn to(replicas: Option<&[i32]>) -> AlterPartitionReassignmentsRequest {
        let replicas = replicas.map(|ids| ids.iter().copied().map(BrokerId).collect());
        let partition = ReassignablePartition::default().with_partition_index(0).with_replicas(replicas);
        let topic = ReassignableTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])
    }

    fn told(response: &AlterPartitionReassignmentsResponse) -> (i16, Option<&str>) {
        let partition = &response.responses[0].partitions[0];
        (partition.error_code, partition.error_message.as_deref())
    }

    #[test]
    fn a_partition_whose_leader_goes_is_led_by_the_first_of_the_others() {
        // Source: PartitionChangeBuilder; tests/leaders shows the same on 4.3.1.
        let mut rig = Rig::new(3, &[]);
        let topic_id = rig.topic_on("t", &[&[1, 2]]);
        assert_eq!(told(&rig.call(1, handle, to(Some(&[3, 2])))), (0, None));
        let partition = &rig.state.cluster.topics().by_name("t").unwrap().partitions()[0];
        assert_eq!((partition.leader(), partition.leader_epoch()), (Some(NodeId(3)), 1));
        assert_eq!(rig.take_effects(), [Effect::LeaderMoved(topic_id, PartitionId(0))]);
        assert_eq!(told(&rig.call(1, handle, to(Some(&[3, 2, 1])))), (0, None));
        assert_eq!(rig.take_effects(), [], "a new replica moves no leader");
        assert_eq!(told(&rig.call(0, handle, to(None))), (85, None));
    }

    #[test]
    fn the_replication_factor_stays_if_the_request_says_so() {
        // KIP-860.
        let mut rig = Rig::new(3, &[]);
        rig.topic_on("t", &[&[1, 2]]);
        let request = to(Some(&[1])).with_allow_replication_factor_change(false);
        let response = rig.call(1, handle, request);
        assert_eq!(told(&response), (38, Some("The replication factor is changed from 2 to 1")));
        assert!(!response.allow_replication_factor_change);
    }

    #[test]
    fn a_request_without_time_is_too_late_for_every_partition() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("t", 1);
        let response = rig.call(1, handle, to(Some(&[1])).with_timeout_ms(-1));
        assert_eq!((response.error_code, told(&response)), (7, (7, None)));
    }
}
