//! ListOffsets (key 2), v1-v10.
//!
//! Offsets by time, and the special ones: latest, earliest, that of the largest timestamp.
//!
//! Versions: v2 isolation level; v4 leader epochs; v5 OFFSET_NOT_AVAILABLE, which was LEADER_NOT_AVAILABLE; v6 flexible; v7
//! the largest timestamp (-3); v8 earliest local (-4); v9 latest tiered (-5); v10 timeout for remote lookups.
//! Not modelled: tiered storage; its special offsets get what a cluster without it answers.
//! Source: ListOffsetsRequest.json; KIP-79, KIP-207, KIP-734, KIP-405, KIP-1005; KafkaApis.handleListOffsetRequest,
//! ReplicaManager.fetchOffset, Partition.fetchOffsetForTimestamp.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::partitions::{Led, led_by_name};
use super::{Answer, Api, Ctx};
use crate::log::Found;
use crate::state::State;
use crate::types::PartitionId;

pub(super) const API: Api = Api::new::<ListOffsetsRequest>(1, 10);

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// What stands in an answer that has no offset.
const NONE: Found = Found { offset: -1, timestamp: -1, leader_epoch: -1 };

const READ_UNCOMMITTED: i8 = 0;
const READ_COMMITTED: i8 = 1;

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: ListOffsetsRequest) -> Answer<ListOffsetsResponse> {
    if ![READ_UNCOMMITTED, READ_COMMITTED].contains(&request.isolation_level) {
        // IsolationLevel.forId throws, and with it every partition of the request fails: seen on 4.3.1.
        return Answer::Now(refuse(&request, ResponseError::UnknownServerError));
    }
    let twice = named_twice(&request);
    let mut told = BTreeSet::new();
    let mut topics: Vec<ListOffsetsTopicResponse> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        // What is refused for being named twice is refused once.
        let mut once = |index: i32| !twice.contains(&(&topic.name, index)) || told.insert((&topic.name, index));
        let partitions: Vec<_> = topic.partitions.iter().filter(|partition| once(partition.partition_index)).collect();
        let partitions = partitions.into_iter().map(|partition| {
            let outcome = if twice.contains(&(&topic.name, partition.partition_index)) {
                Err(ResponseError::InvalidRequest)
            } else {
                look_up(state, ctx, &request, &topic.name, partition)
            };
            respond(ctx.version, partition, outcome)
        });
        let answers: Vec<_> = partitions.collect();
        // Kafka answers from a map: each topic once, and not without partitions.
        match topics.iter_mut().find(|known| known.name == topic.name) {
            Some(known) => known.partitions.extend(answers),
            None if answers.is_empty() => {}
            None => {
                let new = ListOffsetsTopicResponse::default().with_name(topic.name.clone());
                topics.push(new.with_partitions(answers));
            }
        }
    }
    Answer::Now(ListOffsetsResponse::default().with_topics(topics))
}

pub(super) fn refuse(request: &ListOffsetsRequest, error: ResponseError) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        // Every field that a later version adds has its default here: it encodes at every version.
        let partitions = topic.partitions.iter().map(|partition| respond(1, partition, Err(error)));
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// The partitions that the request names more than once.
fn named_twice(request: &ListOffsetsRequest) -> BTreeSet<(&str, i32)> {
    let mut seen = BTreeSet::new();
    let all =
        request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|p| (&**topic.name, p.partition_index)));
    all.filter(|named| !seen.insert(*named)).collect()
}

fn look_up(
    state: &State,
    ctx: &Ctx<'_>,
    request: &ListOffsetsRequest,
    topic: &str,
    partition: &ListOffsetsPartition,
) -> Result<Found, ResponseError> {
    let lowest_special = match ctx.version {
        ..7 => EARLIEST,
        7 => MAX_TIMESTAMP,
        8 => EARLIEST_LOCAL,
        9.. => LATEST_TIERED,
    };
    if partition.timestamp < lowest_special {
        return Err(ResponseError::UnsupportedVersion);
    }
    let id = PartitionId(partition.partition_index);
    let Led { partition: led, log } = led_by_name(state, ctx.node, topic, id, partition.current_leader_epoch)?;
    let bound = match request.isolation_level {
        READ_COMMITTED => log.last_stable_offset(),
        _ => log.high_watermark(),
    };
    let found = match partition.timestamp {
        LATEST if log.lags_behind_its_epoch() => None,
        LATEST => Some(Found { offset: bound, timestamp: -1, leader_epoch: led.leader_epoch() }),
        EARLIEST | EARLIEST_LOCAL => Some(log.earliest()),
        MAX_TIMESTAMP => log.max_timestamp(bound),
        LATEST_TIERED => Some(NONE),
        timestamp => log.offset_for_timestamp(timestamp, bound),
    };
    match found {
        // What the leader before told may be beyond what this one knows to be replicated.
        None if log.lags_behind_its_epoch() && ctx.version >= 5 => Err(ResponseError::OffsetNotAvailable),
        None if log.lags_behind_its_epoch() => Err(ResponseError::LeaderNotAvailable),
        found => Ok(found.unwrap_or(NONE)),
    }
}

fn respond(
    version: i16,
    partition: &ListOffsetsPartition,
    outcome: Result<Found, ResponseError>,
) -> ListOffsetsPartitionResponse {
    let error_code = outcome.as_ref().err().map_or(0, ResponseError::code);
    let found = outcome.unwrap_or(NONE);
    ListOffsetsPartitionResponse::default()
        .with_partition_index(partition.partition_index)
        .with_error_code(error_code)
        .with_timestamp(found.timestamp)
        .with_offset(found.offset)
        .with_leader_epoch(if version >= 4 { found.leader_epoch } else { -1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{Rig, topic_name};
    use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;

    fn request(topics: &[(&str, &[i32])]) -> ListOffsetsRequest {
        let partition =
            |index: &i32| ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(LATEST);
        let topic = |(name, indexes): &(&str, &[i32])| {
            let partitions = indexes.iter().map(partition).collect();
            ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(partitions)
        };
        ListOffsetsRequest::default().with_topics(topics.iter().map(topic).collect())
    }

    /// Each topic of the answer with its partitions, "index code".
    fn answers(rig: &mut Rig, request: ListOffsetsRequest) -> Vec<(String, Vec<String>)> {
        let response = rig.call(10, handle, request);
        let row = |topic: &ListOffsetsTopicResponse| {
            let partitions = topic.partitions.iter().map(|it| format!("{} {}", it.partition_index, it.error_code));
            (topic.name.to_string(), partitions.collect())
        };
        response.topics.iter().map(row).collect()
    }

    #[test]
    fn each_topic_is_answered_once_and_none_without_partitions() {
        // Seen on 4.3.1: the answers come out of a map.
        let mut rig = Rig::new(1, &[]);
        rig.topic("a", 2);
        assert_eq!(answers(&mut rig, request(&[("a", &[])])), []);
        let both = vec![("a".to_owned(), vec!["0 0".to_owned(), "1 0".to_owned()])];
        assert_eq!(answers(&mut rig, request(&[("a", &[0]), ("a", &[1])])), both);
        let refused = vec![("a".to_owned(), vec!["0 42".to_owned()])];
        assert_eq!(answers(&mut rig, request(&[("a", &[0]), ("a", &[0])])), refused);
    }

    #[test]
    fn an_unknown_isolation_level_fails_every_partition() {
        // Seen on 4.3.1 (IsolationLevel.forId).
        let mut rig = Rig::new(1, &[]);
        rig.topic("a", 1);
        for level in [2, -1] {
            let asked = request(&[("a", &[0])]).with_isolation_level(level);
            assert_eq!(answers(&mut rig, asked), [("a".to_owned(), vec!["0 -1".to_owned()])]);
        }
    }
}
