//! OffsetDelete (key 47), v0.
//!
//! Deletes committed offsets of partitions that the group does not read now.
//!
//! Versions: there is only one.
//! Not modelled: an authorizer.
//! Source: OffsetDeleteRequest.json; KIP-496; KafkaApis.handleOffsetDeleteRequest, OffsetMetadataManager.deleteOffsets.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx, code, groups};
use crate::group::{DeleteOffsets, Event, Response, TopicResult};
use crate::state::State;

pub(super) const API: Api = Api::new::<OffsetDeleteRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: OffsetDeleteRequest,
) -> Answer<OffsetDeleteResponse> {
    if let Err(error) = groups::admit(state, ctx, &request.group_id) {
        return Answer::Now(refuse(&request, error));
    }
    let topics = state.cluster.topics();
    let (mut unknown, mut known): (Vec<_>, Vec<(StrBytes, Vec<i32>)>) = (Vec::new(), Vec::new());
    for topic in request.topics {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        let exists = |index: &i32| groups::partition_exists(topics, &topic.name, *index);
        let (here, absent): (Vec<_>, Vec<_>) = indexes.partition(exists);
        if !absent.is_empty() || topics.by_name(&topic.name).is_none() {
            let absent = absent.into_iter().map(|index| (index, Some(ResponseError::UnknownTopicOrPartition)));
            unknown.push(answer(topic.name.clone(), absent));
        }
        if !here.is_empty() {
            known.push((topic.name.0, here));
        }
    }
    let delete = DeleteOffsets { group_id: request.group_id.0, topics: known };
    let deleted = match groups::step_now(state, ctx, |ticket| Event::DeleteOffsets(ticket, delete)) {
        Response::DeleteOffsets(deleted) => deleted,
        other => panic!("a deletion is not answered with {other:?}"),
    };
    Answer::Now(match deleted {
        Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        Ok(deleted) => OffsetDeleteResponse::default().with_topics(merged(unknown, deleted)),
    })
}

pub(super) fn refuse(_request: &OffsetDeleteRequest, error: ResponseError) -> OffsetDeleteResponse {
    OffsetDeleteResponse::default().with_error_code(error.code())
}

/// The coordinator's answers after those that did not need it; of a topic that has both in one place.
fn merged(mut topics: Vec<OffsetDeleteResponseTopic>, deleted: Vec<TopicResult>) -> Vec<OffsetDeleteResponseTopic> {
    for result in deleted {
        let new = answer(TopicName(result.name), result.partitions.into_iter());
        match topics.iter_mut().find(|topic| topic.name == new.name) {
            Some(topic) => topic.partitions.extend(new.partitions),
            None => topics.push(new),
        }
    }
    topics
}

fn answer(
    name: TopicName,
    partitions: impl Iterator<Item = (i32, Option<ResponseError>)>,
) -> OffsetDeleteResponseTopic {
    let partition = |(index, error)| {
        OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code(error))
    };
    OffsetDeleteResponseTopic::default().with_name(name).with_partitions(partitions.map(partition).collect())
}
