//! CreateTopics (key 19), v2-v7.
//!
//! Creates topics, or says whether they could be. Any node takes it; Kafka forwards it to the controller.
//!
//! Versions: v2 throttle time; v4 partitions and replication factor may be -1 for the defaults (Kafka 4 takes that at every
//! version it has); v5 flexible, counts and configs in the answer; v6 may be throttled; v7 topic id.
//! Not modelled: an authorizer, quotas, policies.
//! Source: CreateTopicsRequest.json; KIP-4, KIP-525, KIP-516; ControllerApis.createTopics, ReplicationControlManager.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::{outcome, text};
use super::{Answer, Api, Ctx};
use crate::cluster::{Cluster, MAX_RECORDS, NewTopic, PlannedTopic, Refusal, names};
use crate::state::State;
use crate::types::TopicName;

pub(super) const API: Api = Api::new::<CreateTopicsRequest>(2, 7);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: CreateTopicsRequest,
) -> Answer<CreateTopicsResponse> {
    let (once, twice) = split(&request);
    // The controller is not asked when nothing is left for it, so nothing times out.
    if !once.is_empty() && request.timeout_ms <= 0 {
        return Answer::Now(refuse(&request, ResponseError::RequestTimedOut));
    }
    if asked_partitions(&state.cluster, &once) > MAX_RECORDS {
        return Answer::Now(too_large(&request, "Excessively large number of partitions per request."));
    }
    let plan = |topic: &&CreatableTopic| state.cluster.plan_topic(&new_topic(topic), &mut state.ids);
    let plans: Vec<Result<PlannedTopic, Refusal>> = once.iter().map(plan).collect();
    let records = |plan: &PlannedTopic| 1 + plan.configs.len() + plan.topic.partitions().len();
    if plans.iter().flatten().map(records).sum::<usize>() > MAX_RECORDS {
        return Answer::Now(too_large(&request, "Unable to perform excessively large batch operation."));
    }
    let mut results: Vec<CreatableTopicResult> =
        once.iter().zip(&plans).map(|(topic, plan)| result(&state.cluster, &topic.name, plan)).collect();
    let mut refuse_one = |name: &TopicName, message: &str| {
        let refusal = Refusal::new(ResponseError::InvalidRequest, message);
        results.push(refused(name, &refusal));
    };
    for name in twice {
        refuse_one(name, "Duplicate topic name.");
    }
    for topic in request.topics.iter().filter(|topic| **topic.name == *names::CLUSTER_METADATA) {
        refuse_one(&topic.name, "Creation of internal topic __cluster_metadata is prohibited.");
        break;
    }
    if !request.validate_only {
        for plan in plans.into_iter().flatten() {
            state.create_topic(plan);
        }
    }
    Answer::Now(CreateTopicsResponse::default().with_topics(results))
}

pub(super) fn refuse(request: &CreateTopicsRequest, error: ResponseError) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|topic| refused(&topic.name, &Refusal::code(error)));
    CreateTopicsResponse::default().with_topics(topics.collect())
}

/// The topics that the controller gets, and the names that come more than once, each once.
fn split(request: &CreateTopicsRequest) -> (Vec<&CreatableTopic>, Vec<&TopicName>) {
    let mut counts: BTreeMap<&str, (usize, &TopicName)> = BTreeMap::new();
    for topic in &request.topics {
        counts.entry(&topic.name).or_insert((0, &topic.name)).0 += 1;
    }
    let is_once = |name: &TopicName| counts.get(&***name).is_some_and(|(count, _)| *count == 1);
    let once = request.topics.iter().filter(|topic| is_once(&topic.name) && **topic.name != *names::CLUSTER_METADATA);
    let twice = counts.values().filter(|(count, name)| *count > 1 && ***name != *names::CLUSTER_METADATA);
    (once.collect(), twice.map(|(_, name)| *name).collect())
}

/// How many partitions the topics have together as they are asked for, before anything is checked.
fn asked_partitions(cluster: &Cluster, topics: &[&CreatableTopic]) -> usize {
    let default = cluster.settings().num_partitions;
    let count = |topic: &&CreatableTopic| match topic.num_partitions {
        _ if !topic.assignments.is_empty() => topic.assignments.len(),
        -1 => usize::try_from(default).unwrap_or(0),
        asked => usize::try_from(asked).unwrap_or(0),
    };
    topics.iter().map(count).sum()
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    let assignments = topic.assignments.iter();
    let configs = topic.configs.iter();
    NewTopic {
        name: topic.name.to_string(),
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments
            .map(|it| (it.partition_index, it.broker_ids.iter().map(|broker| broker.0).collect()))
            .collect(),
        configs: configs.map(|it| (it.name.to_string(), it.value.as_ref().map(StrBytes::to_string))).collect(),
    }
}

fn result(cluster: &Cluster, name: &TopicName, plan: &Result<PlannedTopic, Refusal>) -> CreatableTopicResult {
    let PlannedTopic { topic, configs } = match plan {
        Ok(plan) => plan,
        Err(refusal) => return refused(name, refusal),
    };
    let configs = cluster.configs().effective_of_new_topic(configs).into_iter().map(|config| {
        CreatableTopicConfigs::default()
            .with_name(text(config.name))
            .with_value(config.value.map(StrBytes::from_string))
            .with_read_only(config.read_only)
            .with_config_source(config.source as i8)
            .with_is_sensitive(config.is_sensitive)
    });
    let replicas = topic.partitions().first().map_or(0, |partition| partition.replicas().len());
    CreatableTopicResult::default()
        .with_name(name.clone())
        .with_topic_id(topic.id().0)
        // The codec's default is "".
        .with_error_message(None)
        .with_num_partitions(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
        .with_replication_factor(i16::try_from(replicas).unwrap_or(i16::MAX))
        .with_configs(Some(configs.collect()))
}

fn refused(name: &TopicName, refusal: &Refusal) -> CreatableTopicResult {
    let (code, message) = outcome::<()>(&Err(refusal.clone()));
    CreatableTopicResult::default()
        .with_name(name.clone())
        .with_error_code(code)
        .with_error_message(message)
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

/// Every topic of the request is refused, also those that would have been for another reason.
fn too_large(request: &CreateTopicsRequest, message: &str) -> CreateTopicsResponse {
    let refusal = Refusal::new(ResponseError::PolicyViolation, message);
    let topics = request.topics.iter().map(|topic| refused(&topic.name, &refusal));
    CreateTopicsResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopicConfig};

    fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
        CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(replication_factor)
    }

    fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
        CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(5000)
    }

    fn outcomes<'a>(response: &'a CreateTopicsResponse) -> Vec<(&'a str, i16, &'a str)> {
        let row = |topic: &'a CreatableTopicResult| {
            (topic.name.as_str(), topic.error_code, topic.error_message.as_deref().unwrap_or(""))
        };
        response.topics.iter().map(row).collect()
    }

    #[test]
    fn a_topic_is_created_and_described() {
        // Seen on 4.3.1: 33 configs, own values as given, min.insync.replicas a dynamic default.
        let mut rig = Rig::new(1, &[]);
        let config = CreatableTopicConfig::default()
            .with_name(StrBytes::from_static_str("retention.ms"))
            .with_value(Some(StrBytes::from_static_str(" 5000 ")));
        let created = rig.call(7, handle, request(vec![topic("t", 3, -1).with_configs(vec![config])]));
        let result = &created.topics[0];
        assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 3, 1));
        let configs = result.configs.as_ref().unwrap();
        assert_eq!(configs.len(), 33);
        let find = |name: &str| configs.iter().find(|config| config.name.as_str() == name).unwrap();
        let retention = find("retention.ms");
        assert_eq!((retention.value.as_deref(), retention.config_source), (Some(" 5000 "), 1));
        assert_eq!(find("min.insync.replicas").config_source, 3);
        let topic = rig.state.cluster.topics().by_name("t").unwrap();
        assert_eq!((topic.id().0, topic.config().retention_ms), (result.topic_id, 5000));
        assert!(rig.state.logs.partition(topic.id(), crate::types::PartitionId(2)).is_some());
    }

    #[test]
    fn each_bad_topic_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("a.b", 1);
        let response = rig.call(
            7,
            handle,
            request(vec![
                topic("", 1, 1),
                topic("a_b", 1, 1),
                topic("a.b", 0, 1),
                topic("d1", 0, 1),
                topic("d3", 1, 0),
                topic("d6", 0, 0),
                topic("d5", 1, 2),
                topic("e", 1, 1),
                topic("e", 1, 1),
                topic("__cluster_metadata", 1, 1),
            ]),
        );
        let expected = [
            ("", 17, "Topic name is invalid: the empty string is not allowed"),
            ("a_b", 17, "Topic 'a_b' collides with existing topic: a.b"),
            ("a.b", 36, "Topic 'a.b' already exists."),
            ("d1", 37, "Number of partitions was set to an invalid non-positive value."),
            ("d3", 38, "Replication factor must be larger than 0, or -1 to use the default value."),
            ("d6", 38, "Replication factor must be larger than 0, or -1 to use the default value."),
            (
                "d5",
                38,
                "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached \
                 because only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
            ),
            ("e", 42, "Duplicate topic name."),
            ("__cluster_metadata", 42, "Creation of internal topic __cluster_metadata is prohibited."),
        ];
        assert_eq!(outcomes(&response), expected);
        assert!(response.topics.iter().all(|it| it.num_partitions == -1 && it.configs == Some(Vec::new())));
    }

    #[test]
    fn each_bad_assignment_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let assigned = |name: &str, assignments: &[(i32, &[i32])]| {
            let assignment = |(index, nodes): &(i32, &[i32])| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(*index)
                    .with_broker_ids(nodes.iter().copied().map(BrokerId).collect())
            };
            topic(name, -1, -1).with_assignments(assignments.iter().map(assignment).collect())
        };
        let response = rig.call(
            7,
            handle,
            request(vec![
                assigned("m1", &[(0, &[1])]).with_replication_factor(1),
                assigned("m1b", &[(0, &[1])]).with_num_partitions(1),
                assigned("m2", &[(0, &[1]), (0, &[1])]),
                assigned("m3", &[(0, &[])]),
                assigned("m4", &[(0, &[7])]),
                assigned("m5", &[(0, &[1, 1])]),
                assigned("m6", &[(1, &[1])]),
                assigned("m8", &[(1, &[1]), (0, &[1])]),
            ]),
        );
        let expected = [
            ("m1", 42, "A manual partition assignment was specified, but replication factor was not set to -1."),
            ("m1b", 42, "A manual partition assignment was specified, but numPartitions was not set to -1."),
            ("m2", 39, "Found multiple manual partition assignments for partition 0"),
            ("m3", 39, "The manual partition assignment includes an empty replica list."),
            ("m4", 39, "The manual partition assignment includes broker 7, but no such broker is registered."),
            ("m5", 39, "The manual partition assignment includes the broker 1 more than once."),
            ("m6", 39, "partitions should be a consecutive 0-based integer sequence"),
            ("m8", 0, ""),
        ];
        assert_eq!(outcomes(&response), expected);
    }

    #[test]
    fn a_request_may_not_be_too_large() {
        // Seen on 4.3.1: more than 10000 partitions, and 10000 partitions with their topic's own record.
        let mut rig = Rig::new(1, &[]);
        let many = rig.call(7, handle, request(vec![topic("a", 9999, 1), topic("bad name", 2, 1)]));
        let text = "Excessively large number of partitions per request.";
        assert_eq!(outcomes(&many), [("a", 44, text), ("bad name", 44, text)]);
        let one_more = rig.call(7, handle, request(vec![topic("a", 10_000, 1)]));
        assert_eq!(outcomes(&one_more), [("a", 44, "Unable to perform excessively large batch operation.")]);
        assert_eq!(rig.call(7, handle, request(vec![topic("a", 9999, 1)])).topics[0].error_code, 0);
    }

    #[test]
    fn validating_creates_nothing_and_no_time_creates_nothing() {
        // Seen on 4.3.1: timeout_ms 0 or below is REQUEST_TIMED_OUT for every topic.
        let mut rig = Rig::new(1, &[]);
        let validated = rig.call(7, handle, request(vec![topic("t", -1, -1)]).with_validate_only(true));
        assert_eq!((validated.topics[0].error_code, validated.topics[0].num_partitions), (0, 1));
        assert!(!validated.topics[0].topic_id.is_nil());
        let late = rig.call(7, handle, request(vec![topic("t", 1, 1), topic("u", 1, 1)]).with_timeout_ms(0));
        assert!(late.topics.iter().all(|topic| topic.error_code == 7));
        assert_eq!(rig.state.cluster.topics().len(), 0);
    }

    #[test]
    fn an_internal_topic_can_be_created_by_hand_and_is_internal() {
        let mut rig = Rig::new(1, &[]);
        rig.call(7, handle, request(vec![topic("__consumer_offsets", 3, 1)]));
        assert!(rig.state.cluster.topics().by_name("__consumer_offsets").unwrap().is_internal());
    }
}
