//! CreatePartitions (key 37), v0-v3.
//!
//! Adds partitions to topics. Any node takes it; Kafka forwards it to the controller.
//!
//! Versions: v2 flexible; v3 may be throttled.
//! Not modelled: an authorizer, quotas. Kafka 4.3.1 answers UNKNOWN_SERVER_ERROR to a request for more than 10000
//! partitions and yet adds 10000 of them; here none is added.
//! Source: CreatePartitionsRequest.json; KIP-195, KIP-599; ControllerApis.createPartitions, ReplicationControlManager.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::answers::outcome;
use super::{Answer, Api, Ctx};
use crate::cluster::{MAX_RECORDS, Refusal};
use crate::state::State;
use crate::types::TopicName;

pub(super) const API: Api = Api::new::<CreatePartitionsRequest>(0, 3);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: CreatePartitionsRequest,
) -> Answer<CreatePartitionsResponse> {
    let (once, twice) = split(&request);
    // The controller is not asked when nothing is left for it, so nothing times out.
    if !once.is_empty() && request.timeout_ms <= 0 {
        return Answer::Now(refuse(&request, ResponseError::RequestTimedOut));
    }
    let duplicate: Result<(), _> = Err(Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name."));
    let mut results: Vec<_> = twice.into_iter().map(|name| result(name, &duplicate)).collect();
    let plans: Vec<_> = once
        .iter()
        .map(|topic| {
            let nodes = |it: &Vec<_>| it.iter().map(node_ids).collect::<Vec<Vec<i32>>>();
            let assignments = topic.assignments.as_ref().map(nodes);
            state.cluster.plan_partitions(&topic.name, topic.count, assignments.as_deref(), &mut state.ids)
        })
        .collect();
    let added: usize = plans.iter().flatten().map(|(_, partitions)| partitions.len()).sum();
    let unknown_server_error = |plan: &Result<_, Refusal>| {
        plan.as_ref().is_err_and(|refusal| refusal.error == ResponseError::UnknownServerError)
    };
    if added > MAX_RECORDS || plans.iter().any(unknown_server_error) {
        let too_many: Result<(), _> = Err(Refusal::code(ResponseError::UnknownServerError));
        results.extend(once.iter().map(|topic| result(&topic.name, &too_many)));
        return Answer::Now(CreatePartitionsResponse::default().with_results(results));
    }
    results.extend(once.iter().zip(&plans).map(|(topic, plan)| result(&topic.name, plan)));
    if !request.validate_only {
        for (id, partitions) in plans.into_iter().flatten() {
            state.add_partitions(id, partitions);
        }
    }
    Answer::Now(CreatePartitionsResponse::default().with_results(results))
}

pub(super) fn refuse(request: &CreatePartitionsRequest, error: ResponseError) -> CreatePartitionsResponse {
    let refusal: Result<(), _> = Err(Refusal::code(error));
    let results = request.topics.iter().map(|topic| result(&topic.name, &refusal));
    CreatePartitionsResponse::default().with_results(results.collect())
}

/// The topics that come once, and the names that come more than once, each once.
fn split(request: &CreatePartitionsRequest) -> (Vec<&CreatePartitionsTopic>, Vec<&TopicName>) {
    let mut counts: BTreeMap<&str, (&TopicName, usize)> = BTreeMap::new();
    for topic in &request.topics {
        counts.entry(&topic.name).or_insert((&topic.name, 0)).1 += 1;
    }
    let once = request.topics.iter().filter(|topic| counts.get(&**topic.name).is_some_and(|(_, count)| *count == 1));
    let twice = counts.values().filter(|(_, count)| *count > 1).map(|(name, _)| *name);
    (once.collect(), twice.collect())
}

fn node_ids(assignment: &kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment) -> Vec<i32> {
    assignment.broker_ids.iter().map(|broker| broker.0).collect()
}

fn result<T>(name: &TopicName, plan: &Result<T, Refusal>) -> CreatePartitionsTopicResult {
    let (code, message) = outcome(plan);
    CreatePartitionsTopicResult::default().with_name(name.clone()).with_error_code(code).with_error_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use crate::types::PartitionId;
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;

    fn topic(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic {
        let assignment = |nodes: &&[i32]| {
            CreatePartitionsAssignment::default().with_broker_ids(nodes.iter().copied().map(BrokerId).collect())
        };
        CreatePartitionsTopic::default()
            .with_name(topic_name(name))
            .with_count(count)
            .with_assignments(assignments.map(|all| all.iter().map(assignment).collect()))
    }

    fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
        CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(5000)
    }

    fn outcome_of(rig: &mut Rig, topic: CreatePartitionsTopic) -> (i16, String) {
        let response = rig.call(3, handle, request(vec![topic]).with_validate_only(true));
        let result = &response.results[0];
        (result.error_code, result.error_message.as_deref().unwrap_or("null").to_owned())
    }

    #[test]
    fn each_bad_count_or_assignment_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 2);
        for (count, assignments, code, text) in [
            (2, None, 37, "Topic already has 2 partition(s)."),
            (-1, None, 37, "The topic p currently has 2 partition(s); -1 would not be an increase."),
            (
                4,
                Some([&[1][..]].as_slice()),
                39,
                "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
            ),
            (
                3,
                Some([&[5][..]].as_slice()),
                39,
                "The manual partition assignment includes broker 5, but no such broker is registered.",
            ),
            (3, Some([&[][..]].as_slice()), 39, "The manual partition assignment includes an empty replica list."),
            (3, None, 0, "null"),
            (20_003, None, -1, "null"),
            (i32::MAX, None, -1, "null"),
        ] {
            assert_eq!(outcome_of(&mut rig, topic("p", count, assignments)), (code, text.to_owned()), "{count}");
        }
        assert_eq!(outcome_of(&mut rig, topic("nope", 3, None)), (3, "null".to_owned()));
    }

    #[test]
    fn partitions_are_added_after_those_that_are_there() {
        let mut rig = Rig::new(1, &[]);
        let id = rig.topic("p", 2);
        let before = rig.state.cluster.topics().by_id(id).unwrap().partitions().to_vec();
        let response = rig.call(0, handle, request(vec![topic("p", 5, None)]));
        assert_eq!(response.results[0].error_code, 0);
        let after = rig.state.cluster.topics().by_id(id).unwrap().partitions();
        assert_eq!((after.len(), &after[..2]), (5, &before[..]));
        assert!(rig.state.logs.partition(id, PartitionId(4)).is_some());
    }

    #[test]
    fn a_topic_that_comes_twice_is_answered_once() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 2);
        let response = rig.call(3, handle, request(vec![topic("p", 3, None), topic("p", 4, None)]).with_timeout_ms(0));
        assert_eq!(response.results.len(), 1);
        assert_eq!(response.results[0].error_code, 42);
        let late = rig.call(3, handle, request(vec![topic("p", 3, None)]).with_timeout_ms(-1));
        assert_eq!(late.results[0].error_code, 7);
    }
}
