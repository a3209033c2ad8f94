//! OffsetFetch (key 9), v1-v9.
//!
//! What groups have committed: of some partitions, or of all that they have. A group that does not exist has committed
//! nothing, which is no error.
//!
//! Versions: v2 all partitions, and an error at the top; v3 throttle time; v4 throttled after the answer; v5 leader epoch
//! (KIP-320); v6 flexible; v7 can wait for the end of transactions (KIP-447); v8 many groups (KIP-709); v9 for members of
//! consumer groups (KIP-848).
//! Not modelled: an authorizer. v10 (topic ids) is beyond the codec.
//! Source: OffsetFetchRequest.json; KafkaApis.handleOffsetFetchRequest, OffsetMetadataManager.fetchOffsets.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx, code};
use crate::group::{FetchedOffset, RequireStable};
use crate::state::State;

pub(super) const API: Api = Api::new::<OffsetFetchRequest>(1, 9);

/// What is asked of one group, whichever the version.
struct Question<'a> {
    group_id: &'a str,
    member_id: Option<&'a str>,
    member_epoch: i32,
    /// `None` for all that have been committed.
    topics: Option<Vec<(&'a TopicName, &'a [i32])>>,
    require_stable: RequireStable,
}

/// Offsets by topic, or why there are none.
type Found = Result<Vec<(TopicName, Vec<(i32, FetchedOffset)>)>, ResponseError>;

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
    let require_stable = if request.require_stable { RequireStable::Yes } else { RequireStable::No };
    if ctx.version < 8 {
        let topics = request.topics.as_ref();
        let found = find(
            state,
            ctx,
            &Question {
                group_id: &request.group_id,
                member_id: None,
                member_epoch: -1,
                topics: topics.map(|topics| topics.iter().map(|it| (&it.name, &it.partition_indexes[..])).collect()),
                require_stable,
            },
        );
        return Answer::Now(match found {
            Ok(topics) => OffsetFetchResponse::default().with_topics(topics.into_iter().map(alone).collect()),
            Err(error) => refused_alone(&request, ctx.version, error),
        });
    }
    let groups = request.groups.iter().map(|group| {
        let topics = group.topics.as_ref();
        let found = find(
            state,
            ctx,
            &Question {
                group_id: &group.group_id,
                member_id: group.member_id.as_deref(),
                member_epoch: group.member_epoch,
                topics: topics.map(|topics| topics.iter().map(|it| (&it.name, &it.partition_indexes[..])).collect()),
                require_stable,
            },
        );
        let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
        match found {
            Ok(topics) => answer.with_topics(topics.into_iter().map(among_others).collect()),
            Err(error) => answer.with_error_code(error.code()),
        }
    });
    Answer::Now(OffsetFetchResponse::default().with_groups(groups.collect()))
}

pub(super) fn refuse(request: &OffsetFetchRequest, error: ResponseError) -> OffsetFetchResponse {
    if request.groups.is_empty() {
        // Each version leaves out what it has no room for.
        return refused_alone(request, 1, error).with_error_code(error.code());
    }
    let group = |group_id| OffsetFetchResponseGroup::default().with_group_id(group_id).with_error_code(error.code());
    let groups = request.groups.iter().map(|it| group(it.group_id.clone()));
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn find(state: &State, ctx: &Ctx<'_>, question: &Question<'_>) -> Found {
    let Question { group_id, member_id, member_epoch, topics, require_stable } = question;
    state.check_group_coordinator(ctx.node, group_id)?;
    state.groups.check_offset_fetch(group_id, *member_id, *member_epoch)?;
    let Some(topics) = topics else {
        let all = state.groups.fetch_all_offsets(group_id, *require_stable);
        return Ok(all.into_iter().map(|(name, offsets)| (TopicName(name), offsets)).collect());
    };
    let of_partition =
        |name: &str, index: i32| (index, state.groups.fetch_offset(group_id, name, None, index, *require_stable));
    let of_topic = |(name, indexes): &(&TopicName, &[i32])| {
        ((*name).clone(), indexes.iter().map(|index| of_partition(name, *index)).collect())
    };
    Ok(topics.iter().map(of_topic).collect())
}

/// An answer about one group, before v8. Before v2 there is no room at the top for an error.
fn refused_alone(request: &OffsetFetchRequest, version: i16, error: ResponseError) -> OffsetFetchResponse {
    if version >= 2 {
        return OffsetFetchResponse::default().with_error_code(error.code());
    }
    let refused = |index: &i32| {
        let none = FetchedOffset { offset: -1, leader_epoch: -1, metadata: StrBytes::new(), error: Some(error) };
        (*index, none)
    };
    let topics = request.topics.iter().flatten();
    let topics = topics.map(|topic| alone((topic.name.clone(), topic.partition_indexes.iter().map(refused).collect())));
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn alone((name, offsets): (TopicName, Vec<(i32, FetchedOffset)>)) -> OffsetFetchResponseTopic {
    let partition = |(index, offset): (i32, FetchedOffset)| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_metadata(Some(offset.metadata))
            .with_error_code(code(offset.error))
    };
    let partitions = offsets.into_iter().map(partition).collect();
    OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions)
}

fn among_others((name, offsets): (TopicName, Vec<(i32, FetchedOffset)>)) -> OffsetFetchResponseTopics {
    let partition = |(index, offset): (i32, FetchedOffset)| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_metadata(Some(offset.metadata))
            .with_error_code(code(offset.error))
    };
    let partitions = offsets.into_iter().map(partition).collect();
    OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions)
}
