//! ElectLeaders (key 43), v0-v2.
//!
//! Makes the first replica of a partition its leader, or gives a partition without a leader one that may have lost records.
//!
//! Versions: v0 elects preferred leaders only and has no error of its own; v2 flexible.
//! Not modelled: an authorizer. Kafka's nodes hear of the new leader a moment after the answer; here it leads at once.
//! Source: ElectLeadersRequest.json; KIP-183, KIP-460; ReplicationControlManager.electLeaders.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};

use super::answers::outcome;
use super::{Answer, Api, Ctx, Effect};
use crate::cluster::{Election, Refusal};
use crate::state::State;
use crate::types::{PartitionId, TopicName};

pub(super) const API: Api = Api::new::<ElectLeadersRequest>(0, 2);

/// The answer. Its error on top has no place in v0, where the codec would refuse it and Kafka leaves it out.
#[derive(Debug)]
pub(crate) struct ElectLeadersAnswer(ElectLeadersResponse);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: ElectLeadersRequest) -> Answer<ElectLeadersAnswer> {
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        other => {
            let refusal = Refusal::new(ResponseError::InvalidRequest, format!("Unknown election type {other}"));
            return Answer::Now(refused(&request, refusal));
        }
    };
    if request.timeout_ms <= 0 {
        return Answer::Now(refuse(&request, ResponseError::RequestTimedOut));
    }
    // Of all partitions, those whose leader is the right one already are not told.
    let tells_all = request.topic_partitions.is_some();
    let wanted: Vec<(TopicName, Vec<i32>)> = match request.topic_partitions {
        Some(named) => named.into_iter().map(|topic| (topic.topic, topic.partitions)).collect(),
        None => {
            let topics = state.cluster.topics().iter();
            topics.map(|topic| (topic.name().clone(), (0..).take(topic.partitions().len()).collect())).collect()
        }
    };
    let results = wanted.into_iter().map(|(topic, partitions)| {
        let outcomes = partitions.into_iter().map(|id| (id, elect(state, ctx, &topic, PartitionId(id), election)));
        let told: Vec<_> = outcomes.filter(|(_, outcome)| tells_all || is_needed(outcome)).collect();
        let results = told.iter().map(|(id, outcome)| result(*id, outcome)).collect();
        ReplicaElectionResult::default().with_topic(topic).with_partition_result(results)
    });
    Answer::Now(ElectLeadersAnswer(ElectLeadersResponse::default().with_replica_election_results(results.collect())))
}

pub(super) fn refuse(request: &ElectLeadersRequest, error: ResponseError) -> ElectLeadersAnswer {
    refused(request, Refusal::code(error))
}

/// The error on top and at every partition that is named.
fn refused(request: &ElectLeadersRequest, refusal: Refusal) -> ElectLeadersAnswer {
    let error_code = refusal.error.code();
    let outcome = Err(refusal);
    let topics = request.topic_partitions.iter().flatten().map(|topic| {
        let results = topic.partitions.iter().map(|id| result(*id, &outcome)).collect();
        ReplicaElectionResult::default().with_topic(topic.topic.clone()).with_partition_result(results)
    });
    let response = ElectLeadersResponse::default().with_error_code(error_code);
    ElectLeadersAnswer(response.with_replica_election_results(topics.collect()))
}

impl ElectLeadersAnswer {
    /// The answer as the codec has it, for a test that changes it.
    pub(super) fn response_mut(&mut self) -> &mut ElectLeadersResponse {
        &mut self.0
    }

    /// What `version` has of it.
    pub(super) fn at(&self, version: i16) -> ElectLeadersResponse {
        let response = self.0.clone();
        if version == 0 { response.with_error_code(0) } else { response }
    }
}

fn elect(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    topic: &TopicName,
    partition: PartitionId,
    election: Election,
) -> Result<(), Refusal> {
    let planned = state.cluster.plan_election(topic, partition, election)?;
    let topic_id = planned.topic_id;
    if state.move_leader(planned, ctx.now) {
        ctx.effects.push(Effect::LeaderMoved(topic_id, partition));
    }
    Ok(())
}

fn is_needed(outcome: &Result<(), Refusal>) -> bool {
    outcome.as_ref().err().is_none_or(|refusal| refusal.error != ResponseError::ElectionNotNeeded)
}

fn result(partition: i32, elected: &Result<(), Refusal>) -> PartitionResult {
    let (error_code, error_message) = outcome(elected);
    PartitionResult::default()
        .with_partition_id(partition)
        .with_error_code(error_code)
        .with_error_message(error_message)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::elect_leaders_request::TopicPartitions;

    use super::*;
    use crate::handlers::testing::{Rig, encodes, topic_name};
    use crate::types::NodeId;

    fn of(topic: &str, partitions: &[i32]) -> ElectLeadersRequest {
        let topic = TopicPartitions::default().with_topic(topic_name(topic)).with_partitions(partitions.to_vec());
        ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic]))
    }

    fn told(state: &mut State, ctx: &mut Ctx<'_>, request: ElectLeadersRequest) -> Answer<ElectLeadersResponse> {
        let version = ctx.version;
        handle(state, ctx, request).map(|answer| answer.at(version))
    }

    #[test]
    fn a_refusal_is_on_top_where_there_is_room_and_at_every_partition() {
        for version in API.min..=API.max {
            let refused = refuse(&of("t", &[0, 1]), ResponseError::UnknownServerError).at(version);
            encodes(&refused, version);
            assert_eq!(refused.error_code, if version == 0 { 0 } else { -1 });
            let partitions = &refused.replica_election_results[0].partition_result;
            assert_eq!(partitions.iter().map(|it| it.error_code).collect::<Vec<_>>(), [-1, -1]);
        }
    }

    /// A topic of two partitions, of which the second is not led by its first replica.
    fn rig() -> Rig {
        let mut rig = Rig::new(3, &[]);
        rig.topic_on("t", &[&[1, 2], &[1, 2]]);
        let planned = rig.state.cluster.plan_reassignment("t", PartitionId(1), Some(&[2, 1]), true).unwrap();
        assert!(
            !rig.state.move_leader(planned, crate::time::Timestamp::default()),
            "the order of the replicas moves no leader"
        );
        rig
    }

    #[test]
    fn the_preferred_leader_begins_a_new_epoch_in_the_log() {
        // Source: ReplicationControlManager.electLeader, Partition.makeLeader.
        let mut rig = rig();
        let response = rig.call(2, told, of("t", &[1, 0]));
        let results = &response.replica_election_results[0].partition_result;
        let outcomes: Vec<_> = results.iter().map(|result| (result.partition_id, result.error_code)).collect();
        assert_eq!((response.error_code, outcomes), (0, vec![(1, 0), (0, 84)]));
        let topic = rig.state.cluster.topics().by_name("t").unwrap();
        let (topic_id, moved) = (topic.id(), &topic.partitions()[1]);
        assert_eq!((moved.leader(), moved.leader_epoch()), (Some(NodeId(2)), 1));
        assert_eq!(rig.state.logs.partition(topic_id, PartitionId(1)).unwrap().leader_epoch(), 1);
        assert_eq!(rig.take_effects(), [Effect::LeaderMoved(topic_id, PartitionId(1))]);
    }

    #[test]
    fn of_all_partitions_only_those_that_needed_an_election_are_told() {
        let mut rig = rig();
        let response = rig.call(1, told, ElectLeadersRequest::default().with_topic_partitions(None));
        let [topic] = &response.replica_election_results[..] else { panic!("{response:?}") };
        assert_eq!(topic.partition_result.iter().map(|result| result.partition_id).collect::<Vec<_>>(), [1]);
        let again = rig.call(0, told, ElectLeadersRequest::default().with_topic_partitions(None));
        assert_eq!(again.replica_election_results[0].partition_result, []);
    }

    #[test]
    fn a_request_without_time_or_of_an_unknown_type_moves_nothing() {
        // Seen on 4.3.1.
        let mut rig = rig();
        let late = rig.call(1, told, of("t", &[1]).with_timeout_ms(0));
        assert_eq!((late.error_code, late.replica_election_results[0].partition_result[0].error_code), (7, 7));
        let unknown = rig.call(1, told, of("t", &[1]).with_election_type(2));
        let result = &unknown.replica_election_results[0].partition_result[0];
        assert_eq!((unknown.error_code, result.error_message.as_deref()), (42, Some("Unknown election type 2")));
        assert_eq!(rig.take_effects(), []);
    }
}
