//! OffsetCommit (key 8), v2-v9.
//!
//! A group remembers how far it has read. Members of a group must be current; a group without members lets anyone.
//!
//! Versions: v2 to v4 retention time; v3 throttle time; v4 throttled after the answer; v5 without retention time; v6 leader
//! epoch (KIP-320); v7 group instance id (KIP-345); v8 flexible; v9 for members of consumer groups (KIP-848), and an unknown
//! group is GROUP_ID_NOT_FOUND.
//! Not modelled: an authorizer. v10 (topic ids) is beyond the codec.
//! Source: OffsetCommitRequest.json; KafkaApis.handleOffsetCommitRequest, OffsetMetadataManager.commitOffset.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestTopic;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, TopicName};

use super::{Answer, Api, Ctx, code, groups};
use crate::cluster::Topics;
use crate::group::{CommitPartition, CommitTopic, Event, MemberIdentity, OffsetCommit, Response, TopicResult};
use crate::state::State;

pub(super) const API: Api = Api::new::<OffsetCommitRequest>(2, 9);

/// What a retention time says that names none (`OffsetCommitRequest.DEFAULT_RETENTION_TIME`).
const BROKER_RETENTION: i64 = -1;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: OffsetCommitRequest,
) -> Answer<OffsetCommitResponse> {
    let (mut results, topics) = sort(state.cluster.topics(), request.topics);
    if !topics.is_empty() {
        let commit = OffsetCommit {
            member: MemberIdentity {
                group_id: request.group_id.0,
                member_id: request.member_id,
                group_instance_id: request.group_instance_id,
                generation_id: request.generation_id_or_member_epoch,
            },
            knows_group_id_not_found: ctx.version >= 9,
            retention_time_ms: Some(request.retention_time_ms).filter(|length| *length != BROKER_RETENTION),
            topics,
        };
        merge(&mut results, run(state, ctx, commit));
    }
    Answer::Now(OffsetCommitResponse::default().with_topics(results))
}

pub(super) fn refuse(request: &OffsetCommitRequest, error: ResponseError) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| result(it.partition_index, Some(error))).collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// What is answered without the coordinator, since there is no such partition, and what it is asked.
fn sort(
    topics: &Topics,
    requested: Vec<OffsetCommitRequestTopic>,
) -> (Vec<OffsetCommitResponseTopic>, Vec<CommitTopic>) {
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    for topic in requested {
        let found = topics.by_name(&topic.name);
        let is_known = |index: i32| groups::partition_exists(topics, &topic.name, index);
        let (here, absent): (Vec<_>, Vec<_>) =
            topic.partitions.into_iter().partition(|partition| is_known(partition.partition_index));
        if !absent.is_empty() || found.is_none() {
            let error = Some(ResponseError::UnknownTopicOrPartition);
            let absent = absent.iter().map(|partition| result(partition.partition_index, error)).collect();
            merge(&mut unknown, vec![of_topic(topic.name.clone(), absent)]);
        }
        if let Some(found) = found
            && !here.is_empty()
        {
            let partition =
                |it: kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition| CommitPartition {
                    partition: it.partition_index,
                    offset: it.committed_offset,
                    leader_epoch: it.committed_leader_epoch,
                    metadata: it.committed_metadata,
                };
            let partitions = here.into_iter().map(partition).collect();
            known.push(CommitTopic { name: topic.name.0, topic_id: found.id(), partitions });
        }
    }
    (unknown, known)
}

fn run(state: &mut State, ctx: &mut Ctx<'_>, commit: OffsetCommit) -> Vec<OffsetCommitResponseTopic> {
    // The empty group id is as good as any here, as in the days before groups had members.
    if let Err(error) = state.check_group_coordinator(ctx.node, &commit.member.group_id) {
        let refused = |topic: &CommitTopic| {
            let partitions = topic.partitions.iter().map(|it| result(it.partition, Some(error))).collect();
            of_topic(TopicName(topic.name.clone()), partitions)
        };
        return commit.topics.iter().map(refused).collect();
    }
    match groups::step_now(state, ctx, |ticket| Event::OffsetCommit(ticket, commit)) {
        Response::OffsetCommit(results) => results.into_iter().map(committed).collect(),
        other => panic!("a commit is not answered with {other:?}"),
    }
}

fn committed(topic: TopicResult) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.into_iter().map(|(index, error)| result(index, error)).collect();
    of_topic(TopicName(topic.name), partitions)
}

/// Adds the answers of `more` to topics that have one already, and after them (`OffsetCommitResponse.Builder.merge`).
fn merge(topics: &mut Vec<OffsetCommitResponseTopic>, more: Vec<OffsetCommitResponseTopic>) {
    for new in more {
        match topics.iter_mut().find(|topic| topic.name == new.name) {
            Some(topic) => topic.partitions.extend(new.partitions),
            None => topics.push(new),
        }
    }
}

fn of_topic(name: TopicName, partitions: Vec<OffsetCommitResponsePartition>) -> OffsetCommitResponseTopic {
    OffsetCommitResponseTopic::default().with_name(name).with_partitions(partitions)
}

fn result(partition: i32, error: Option<ResponseError>) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition::default().with_partition_index(partition).with_error_code(code(error))
}
