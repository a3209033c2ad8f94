//! Fetch and ListOffsets as the fetcher says them, and what their answers mean for each partition.
//!
//! Pure. A partition that an answer leaves out counts as failed; one that was not asked for is ignored.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::PartitionData,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::StrBytes,
};

use super::{Offset, fetcher::Topics, isolation::Aborted, positions::Wanted};
use crate::{
    cluster::metadata::{Metadata, address},
    codes::ErrorCode,
    config::{ConsumerConfig, IsolationLevel},
    error::{CloseReason, Error, Result},
    wire::versions::Api,
};

/// What came of fetching one partition.
#[derive(Debug)]
pub(crate) enum FetchOutcome {
    /// The batches, those of them that are left out, and where the log ends for a reader.
    Records(Bytes, Aborted, i64),
    Failed(Error),
}

/// A full fetch (session epoch -1) of `wanted`, in this order; `leader_epochs` goes with it.
pub(crate) fn fetch_request(
    config: &ConsumerConfig,
    room_bytes: usize,
    wanted: &[Wanted<i64>],
    leader_epochs: &[i32],
    topics: &Topics,
) -> FetchRequest {
    let partitions = wanted.iter().zip(leader_epochs).map(|(wanted, leader_epoch)| {
        FetchPartition::default()
            .with_partition(wanted.partition)
            .with_current_leader_epoch(*leader_epoch)
            .with_fetch_offset(wanted.what)
            .with_partition_max_bytes(config.max_partition_fetch_bytes)
    });
    let topics = grouped(wanted, partitions).map(|(name, partitions)| {
        FetchTopic::default()
            .with_topic(StrBytes::from_string(name.to_string()).into())
            .with_topic_id(topics.get(name).copied().unwrap_or_default())
            .with_partitions(partitions)
    });
    let room_bytes = i32::try_from(room_bytes).unwrap_or(i32::MAX);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(config.fetch_max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(config.fetch_min_bytes)
        .with_max_bytes(config.fetch_max_bytes.min(room_bytes))
        .with_isolation_level(isolation_level(config.isolation))
        .with_session_epoch(-1)
        .with_topics(topics.collect())
}

/// What an answer says about each partition. Leaders that the broker names are told to `metadata` (KIP-951).
pub(crate) fn fetch_outcomes(
    wanted: Vec<Wanted<i64>>,
    topics: &Topics,
    isolation: IsolationLevel,
    answer: FetchResponse,
    metadata: &Metadata,
) -> Vec<(Wanted<i64>, FetchOutcome)> {
    let FetchResponse { responses, node_endpoints, .. } = answer;
    let mut answers: HashMap<(Arc<str>, i32), PartitionData> = HashMap::new();
    for topic in responses {
        let named = |(name, id): (&Arc<str>, &uuid::Uuid)| {
            let same = if topic.topic_id.is_nil() { **name == **topic.topic } else { *id == topic.topic_id };
            same.then(|| Arc::clone(name))
        };
        let Some(name) = topics.iter().find_map(named) else { continue };
        for partition in topic.partitions {
            answers.entry((Arc::clone(&name), partition.partition_index)).or_insert(partition);
        }
    }
    let outcome = |wanted: &Wanted<i64>| {
        let Some(answer) = answers.remove(&(Arc::clone(&wanted.topic), wanted.partition)) else {
            return FetchOutcome::Failed(unanswered("Fetch", wanted));
        };
        if answer.error_code == 0 {
            let bytes = answer.records.unwrap_or_default();
            let transactions = answer.aborted_transactions.unwrap_or_default().into_iter();
            let transactions = transactions.map(|it| (it.producer_id.0, it.first_offset)).collect();
            return match isolation {
                IsolationLevel::ReadUncommitted => {
                    FetchOutcome::Records(bytes, Aborted::default(), answer.high_watermark)
                }
                IsolationLevel::ReadCommitted => {
                    let aborted = Aborted::find(&bytes, transactions);
                    FetchOutcome::Records(bytes, aborted, answer.last_stable_offset)
                }
            };
        }
        let leader = &answer.current_leader;
        if leader.leader_id.0 >= 0 {
            let endpoint = node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
            let endpoint = endpoint.and_then(|node| address(&node.host, node.port));
            metadata.hint(&wanted.topic, wanted.partition, (leader.leader_id.0, leader.leader_epoch), endpoint);
        }
        let code = ErrorCode::from_number(answer.error_code);
        FetchOutcome::Failed(Error::of_partition(FetchRequest::NAME, &wanted.topic, wanted.partition, code))
    };
    let mut outcome = outcome;
    wanted
        .into_iter()
        .map(|wanted| {
            let result = outcome(&wanted);
            (wanted, result)
        })
        .collect()
}

/// A lookup of `wanted`, in this order; `leader_epochs` goes with it.
pub(crate) fn list_offsets_request(
    wanted: &[Wanted<Offset>],
    leader_epochs: &[i32],
    isolation: IsolationLevel,
) -> ListOffsetsRequest {
    let partitions = wanted.iter().zip(leader_epochs).map(|(wanted, leader_epoch)| {
        ListOffsetsPartition::default()
            .with_partition_index(wanted.partition)
            .with_current_leader_epoch(*leader_epoch)
            .with_timestamp(timestamp(wanted.what))
    });
    let topics = grouped(wanted, partitions).map(|(name, partitions)| {
        ListOffsetsTopic::default()
            .with_name(StrBytes::from_string(name.to_string()).into())
            .with_partitions(partitions)
    });
    ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation_level(isolation))
        .with_topics(topics.collect())
}

/// `IsolationLevel.id`.
fn isolation_level(isolation: IsolationLevel) -> i8 {
    match isolation {
        IsolationLevel::ReadUncommitted => 0,
        IsolationLevel::ReadCommitted => 1,
    }
}

/// `ListOffsetsRequest.java`: EARLIEST_TIMESTAMP is -2, LATEST_TIMESTAMP is -1.
fn timestamp(offset: Offset) -> i64 {
    match offset {
        Offset::Earliest => -2,
        // An offset that is known is never looked up.
        Offset::Latest | Offset::At(_) => -1,
        Offset::Timestamp(timestamp) => timestamp.as_millis().max(0),
    }
}

/// The offset of each partition; `None` where no record is so late.
pub(crate) fn list_offsets_outcomes(
    wanted: Vec<Wanted<Offset>>,
    answer: &ListOffsetsResponse,
) -> Vec<(Wanted<Offset>, Result<Option<i64>>)> {
    let find = |wanted: &Wanted<Offset>| {
        let topic = answer.topics.iter().find(|topic| **topic.name == *wanted.topic)?;
        topic.partitions.iter().find(|partition| partition.partition_index == wanted.partition)
    };
    let outcome = |wanted: &Wanted<Offset>| match find(wanted) {
        None => Err(unanswered("ListOffsets", wanted)),
        Some(answer) if answer.error_code == 0 => Ok(Some(answer.offset).filter(|offset| *offset >= 0)),
        Some(answer) => {
            let code = ErrorCode::from_number(answer.error_code);
            Err(Error::of_partition(ListOffsetsRequest::NAME, &wanted.topic, wanted.partition, code))
        }
    };
    wanted
        .into_iter()
        .map(|wanted| {
            let result = outcome(&wanted);
            (wanted, result)
        })
        .collect()
}

fn unanswered<T>(api: &'static str, wanted: &Wanted<T>) -> Error {
    let place = format!("the answer to {api} leaves out {}-{}", wanted.topic, wanted.partition);
    let reason = CloseReason::Io(Arc::new(std::io::Error::other(place)));
    Error::Disconnected { address: "the broker".into(), reason }
}

/// Collects the partitions of each topic, topics in the order in which they first come.
fn grouped<T, P>(
    wanted: &[Wanted<T>],
    partitions: impl Iterator<Item = P>,
) -> impl Iterator<Item = (&Arc<str>, Vec<P>)> {
    let mut topics: Vec<(&Arc<str>, Vec<P>)> = Vec::new();
    let mut places: HashMap<&Arc<str>, usize> = HashMap::new();
    for (wanted, partition) in wanted.iter().zip(partitions) {
        let place = *places.entry(&wanted.topic).or_insert_with(|| {
            topics.push((&wanted.topic, Vec::new()));
            topics.len() - 1
        });
        topics[place].1.push(partition);
    }
    topics.into_iter()
}
