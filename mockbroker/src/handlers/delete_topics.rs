//! DeleteTopics (key 20), v1-v6.
//!
//! Deletes topics by name or by id. Any node takes it; Kafka forwards it to the controller.
//!
//! Versions: v1 throttle time; v3 TOPIC_DELETION_DISABLED where v1 and v2 have INVALID_REQUEST; v4 flexible; v5 error
//! message, may be throttled; v6 by id as well.
//! Not modelled: an authorizer, quotas.
//! Source: DeleteTopicsRequest.json; KIP-4, KIP-516, KIP-599; ControllerApis.deleteTopics.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::answers::{default_text, text};
use super::{Answer, Api, Ctx, Effect};
use crate::cluster::Topics;
use crate::state::State;
use crate::types::{PartitionId, TopicId, TopicName};

pub(super) const API: Api = Api::new::<DeleteTopicsRequest>(1, 6);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DeleteTopicsRequest,
) -> Answer<DeleteTopicsResponse> {
    if !state.cluster.settings().delete_topic_enable {
        let error = match ctx.version {
            ..3 => ResponseError::InvalidRequest,
            _ => ResponseError::TopicDeletionDisabled,
        };
        return Answer::Now(refuse(&request, error));
    }
    let Sorted { names, ids, mut results } = sort(&request);
    // The controller is not asked when nothing is left for it, so nothing times out.
    if !(names.is_empty() && ids.is_empty()) && request.timeout_ms <= 0 {
        return Answer::Now(refuse(&request, ResponseError::RequestTimedOut));
    }
    let found = resolve(state.cluster.topics(), names, ids, &mut results);
    for (id, name) in found {
        let partitions = state.cluster.topics().by_id(id).map_or(0, |topic| topic.partitions().len());
        let outcome = state.delete_topic(id, ctx.now);
        ctx.follow(outcome);
        // Whoever waits for one of them has nothing to wait for any more.
        let gone = (0..).map(PartitionId).take(partitions);
        ctx.effects.extend(gone.map(|partition| Effect::PartitionMoved(id, partition)));
        results.push(DeletableTopicResult::default().with_name(Some(name)).with_topic_id(id.0));
    }
    // Kafka shuffles, so that nobody can tell absent topics from those that must not be seen.
    state.ids.shuffle(&mut results);
    Answer::Now(DeleteTopicsResponse::default().with_responses(results))
}

pub(super) fn refuse(request: &DeleteTopicsRequest, error: ResponseError) -> DeleteTopicsResponse {
    let refused = DeletableTopicResult::default().with_error_code(error.code());
    let named = request.topic_names.iter().map(|name| refused.clone().with_name(Some(name.clone())));
    let topics = request.topics.iter().map(|it| refused.clone().with_name(it.name.clone()).with_topic_id(it.topic_id));
    DeleteTopicsResponse::default().with_responses(named.chain(topics).collect())
}

/// What a request names once, and the answers to what it should not have said.
struct Sorted {
    names: Vec<TopicName>,
    ids: Vec<TopicId>,
    results: Vec<DeletableTopicResult>,
}

fn sort(request: &DeleteTopicsRequest) -> Sorted {
    let mut names: BTreeMap<&str, (&TopicName, usize)> = BTreeMap::new();
    let mut ids: BTreeMap<TopicId, usize> = BTreeMap::new();
    let mut results = Vec::new();
    let listed = request.topics.iter().map(|topic| (topic.name.as_ref(), TopicId(topic.topic_id)));
    for (name, id) in request.topic_names.iter().map(|name| (Some(name), TopicId::ZERO)).chain(listed) {
        match name {
            None if id.is_zero() => results.push(invalid(None, id, "Neither topic name nor id were specified.")),
            None => *ids.entry(id).or_default() += 1,
            Some(name) if id.is_zero() => names.entry(name).or_insert((name, 0)).1 += 1,
            Some(name) => results.push(invalid(Some(name), id, "You may not specify both topic name and topic id.")),
        }
    }
    for (name, _) in names.values().filter(|(_, count)| *count > 1) {
        results.push(invalid(Some(name), TopicId::ZERO, "Duplicate topic name."));
    }
    for (id, _) in ids.iter().filter(|(_, count)| **count > 1) {
        results.push(invalid(None, *id, "Duplicate topic id."));
    }
    Sorted {
        names: names.into_values().filter(|(_, count)| *count == 1).map(|(name, _)| name.clone()).collect(),
        ids: ids.into_iter().filter(|(_, count)| *count == 1).map(|(id, _)| id).collect(),
        results,
    }
}

/// The topics to delete, by id. What does not exist, and what is meant twice, goes to `results`.
fn resolve(
    topics: &Topics,
    names: Vec<TopicName>,
    ids: Vec<TopicId>,
    results: &mut Vec<DeletableTopicResult>,
) -> BTreeMap<TopicId, TopicName> {
    let missing = |name: Option<TopicName>, id: TopicId, error: ResponseError| {
        DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(id.0)
            .with_error_code(error.code())
            .with_error_message(Some(default_text(error)))
    };
    let mut found = BTreeMap::new();
    for id in ids {
        match topics.by_id(id) {
            Some(topic) => {
                found.insert(id, topic.name().clone());
            }
            None => results.push(missing(None, id, ResponseError::UnknownTopicId)),
        }
    }
    for name in names {
        match topics.id(&name) {
            None => results.push(missing(Some(name), TopicId::ZERO, ResponseError::UnknownTopicOrPartition)),
            Some(id) if found.remove(&id).is_some() => {
                results.push(invalid(
                    Some(&name),
                    id,
                    "The provided topic name maps to an ID that was already supplied.",
                ));
            }
            Some(id) => {
                found.insert(id, name);
            }
        }
    }
    found
}

fn invalid(name: Option<&TopicName>, id: TopicId, message: &str) -> DeletableTopicResult {
    DeletableTopicResult::default()
        .with_name(name.cloned())
        .with_topic_id(id.0)
        .with_error_code(ResponseError::InvalidRequest.code())
        .with_error_message(Some(text(message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
    use uuid::Uuid;

    fn state(name: Option<&str>, id: TopicId) -> DeleteTopicState {
        DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id.0)
    }

    fn request(topics: Vec<DeleteTopicState>) -> DeleteTopicsRequest {
        DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(5000)
    }

    /// Code and text by name, sorted: the order on the wire is random.
    fn outcomes(response: &DeleteTopicsResponse) -> Vec<(String, i16, String)> {
        let text = |it: &Option<kafka_protocol::protocol::StrBytes>| it.as_deref().unwrap_or("").to_owned();
        let name = |it: &DeletableTopicResult| it.name.as_ref().map_or("null".to_owned(), |name| name.to_string());
        let row = |it: &DeletableTopicResult| (name(it), it.error_code, text(&it.error_message));
        let mut rows: Vec<_> = response.responses.iter().map(row).collect();
        rows.sort();
        rows
    }

    #[test]
    fn each_way_to_name_a_topic_wrongly_has_its_answer() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let both = rig.topic("both", 1);
        let (p, q) = (rig.topic("p", 1), rig.topic("q", 1));
        let topics = vec![
            state(Some("nope"), TopicId::ZERO),
            state(None, TopicId(Uuid::from_u128(7))),
            state(None, TopicId::ZERO),
            state(Some("both"), both),
            state(Some("p"), TopicId::ZERO),
            state(Some("p"), TopicId::ZERO),
            state(None, q),
            state(Some("q"), TopicId::ZERO),
        ];
        let rows = outcomes(&rig.call(6, handle, request(topics)));
        let row = |name: &str, code: i16, text: &str| (name.to_owned(), code, text.to_owned());
        let expected = [
            row("both", 42, "You may not specify both topic name and topic id."),
            row("nope", 3, "This server does not host this topic-partition."),
            row("null", 42, "Neither topic name nor id were specified."),
            row("null", 100, "This server does not host this topic ID."),
            row("p", 42, "Duplicate topic name."),
            row("q", 42, "The provided topic name maps to an ID that was already supplied."),
        ];
        assert_eq!(rows, expected);
        assert!([both, p, q].iter().all(|id| rig.state.cluster.topics().by_id(*id).is_some()));
    }

    #[test]
    fn a_deleted_topic_is_gone_with_its_log_and_its_configs() {
        let mut rig = Rig::new(1, &[]);
        let (a, b) = (rig.topic("a", 1), rig.topic("b", 1));
        let answer = rig.call(6, handle, request(vec![state(None, a), state(Some("b"), TopicId::ZERO)]));
        let mut answered: Vec<_> = answer.responses.iter().map(|it| (it.error_code, it.topic_id)).collect();
        answered.sort_unstable();
        let mut expected = [(0, a.0), (0, b.0)];
        expected.sort_unstable();
        assert_eq!(answered, expected);
        assert_eq!(rig.state.cluster.topics().len(), 0);
        assert!(rig.state.logs.partition(a, PartitionId(0)).is_none());
        assert_ne!(rig.topic("a", 1), a, "the same name gets a new id");
    }

    #[test]
    fn deletion_can_be_forbidden_and_can_be_late() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[("delete.topic.enable", "false")]);
        rig.topic("a", 1);
        let by_name = || DeleteTopicsRequest::default().with_topic_names(vec![topic_name("a")]);
        assert_eq!(rig.call(2, handle, by_name()).responses[0].error_code, 42);
        assert_eq!(rig.call(5, handle, by_name()).responses[0].error_code, 73);
        let mut rig = Rig::new(1, &[]);
        rig.topic("a", 1);
        assert_eq!(rig.call(5, handle, by_name().with_timeout_ms(0)).responses[0].error_code, 7);
        assert_eq!(rig.state.cluster.topics().len(), 1);
    }
}
