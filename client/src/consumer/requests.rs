//! Fetch and ListOffsets as the fetcher says them, and what their answers mean for each partition.
//!
//! Pure. A partition that an answer leaves out counts as failed; one that was not asked for is ignored.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use kafka_protocol::{
    messages::{
        BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse,
        fetch_request::{FetchPartition, FetchTopic, ForgottenTopic},
        fetch_response::PartitionData,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::StrBytes,
};

use super::{
    Offset,
    fetch_session::{Asked, FetchSession, Plan},
    isolation::Aborted,
    leader_epochs::Verdict,
    positions::Wanted,
};
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
    /// There is no news of it in the session.
    Nothing,
    /// The log is not the one that was read.
    Diverged(Verdict),
    /// Another replica is closer.
    Elsewhere(i32),
    Failed(Error),
}

/// A fetch of what `plan` names of `asked`, and of what the session has besides.
pub(crate) fn fetch_request(config: &ConsumerConfig, max_bytes: usize, asked: &[Asked], plan: &Plan) -> FetchRequest {
    let named = || plan.named.iter().map(|place| &asked[*place]);
    let ids: HashMap<&Arc<str>, uuid::Uuid> = named().map(|asked| (&asked.topic, asked.topic_id)).collect();
    let partitions = named().map(|asked| {
        FetchPartition::default()
            .with_partition(asked.partition)
            .with_current_leader_epoch(asked.current_leader_epoch)
            .with_fetch_offset(asked.offset)
            .with_last_fetched_epoch(asked.last_fetched_epoch)
            .with_partition_max_bytes(config.max_partition_fetch_bytes)
    });
    let topics = grouped(named().map(|asked| &asked.topic), partitions).map(|(name, partitions)| {
        FetchTopic::default()
            .with_topic(StrBytes::from_string(name.to_string()).into())
            .with_topic_id(ids[name])
            .with_partitions(partitions)
    });
    let mut forgotten: BTreeMap<(&Arc<str>, uuid::Uuid), Vec<i32>> = BTreeMap::new();
    for asked in &plan.forgotten {
        forgotten.entry((&asked.topic, asked.topic_id)).or_default().push(asked.partition);
    }
    let forgotten = forgotten.into_iter().map(|((name, id), partitions)| {
        ForgottenTopic::default()
            .with_topic(StrBytes::from_string(name.to_string()).into())
            .with_topic_id(id)
            .with_partitions(partitions)
    });
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::try_from(config.fetch_max_wait.as_millis()).unwrap_or(i32::MAX))
        .with_min_bytes(config.fetch_min_bytes)
        .with_max_bytes(config.fetch_max_bytes.min(i32::try_from(max_bytes).unwrap_or(i32::MAX)))
        .with_isolation_level(isolation_level(config.isolation))
        .with_session_id(plan.session_id)
        .with_session_epoch(plan.session_epoch)
        .with_topics(topics.collect())
        .with_forgotten_topics_data(forgotten.collect())
        .with_rack_id(StrBytes::from_string(config.client_rack.clone().unwrap_or_default()))
}

/// Ends a session.
pub(crate) fn last_fetch_request(session_id: i32) -> FetchRequest {
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_session_id(session_id)
        .with_session_epoch(FetchSession::FINAL)
}

/// What an answer says about each partition. Leaders that the broker names are told to `metadata` (KIP-951).
pub(crate) fn fetch_outcomes(
    fetched: Vec<(Wanted<i64>, Asked)>,
    is_full: bool,
    isolation: IsolationLevel,
    answer: FetchResponse,
    metadata: &Metadata,
) -> Vec<(Wanted<i64>, FetchOutcome)> {
    let FetchResponse { responses, node_endpoints, .. } = answer;
    let mut answers: HashMap<(Arc<str>, i32), PartitionData> = HashMap::new();
    let by_id: HashMap<_, _> = fetched.iter().map(|(wanted, asked)| (asked.topic_id, &wanted.topic)).collect();
    for topic in responses {
        let name = match topic.topic_id.is_nil() {
            true => topic.topic.as_str().into(),
            false => match by_id.get(&topic.topic_id) {
                Some(name) => Arc::clone(name),
                None => continue,
            },
        };
        for partition in topic.partitions {
            answers.entry((Arc::clone(&name), partition.partition_index)).or_insert(partition);
        }
    }
    let mut outcome = |wanted: &Wanted<i64>| {
        let Some(answer) = answers.remove(&(Arc::clone(&wanted.topic), wanted.partition)) else {
            return if is_full { FetchOutcome::Failed(unanswered("Fetch", wanted)) } else { FetchOutcome::Nothing };
        };
        let leader = &answer.current_leader;
        if answer.error_code != 0 && leader.leader_id.0 >= 0 {
            let endpoint = node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
            let endpoint = endpoint.and_then(|node| address(&node.host, node.port));
            metadata.hint(&wanted.topic, wanted.partition, (leader.leader_id.0, leader.leader_epoch), endpoint);
        }
        partition_outcome(wanted, isolation, answer)
    };
    fetched
        .into_iter()
        .map(|(wanted, _)| {
            let result = outcome(&wanted);
            (wanted, result)
        })
        .collect()
}

fn partition_outcome(wanted: &Wanted<i64>, isolation: IsolationLevel, answer: PartitionData) -> FetchOutcome {
    if answer.error_code != 0 {
        let code = ErrorCode::from_number(answer.error_code);
        return FetchOutcome::Failed(Error::of_partition(FetchRequest::NAME, &wanted.topic, wanted.partition, code));
    }
    let diverging = &answer.diverging_epoch;
    if diverging.end_offset >= 0 {
        return FetchOutcome::Diverged(Verdict::of(wanted.what, wanted.epoch, diverging.end_offset, diverging.epoch));
    }
    let bytes = answer.records.unwrap_or_default();
    if answer.preferred_read_replica.0 >= 0 && bytes.is_empty() {
        return FetchOutcome::Elsewhere(answer.preferred_read_replica.0);
    }
    let transactions = answer.aborted_transactions.unwrap_or_default().into_iter();
    let transactions = transactions.map(|it| (it.producer_id.0, it.first_offset)).collect();
    match isolation {
        IsolationLevel::ReadUncommitted => FetchOutcome::Records(bytes, Aborted::default(), answer.high_watermark),
        IsolationLevel::ReadCommitted => {
            let aborted = Aborted::find(&bytes, transactions);
            FetchOutcome::Records(bytes, aborted, answer.last_stable_offset)
        }
    }
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
    let names = wanted.iter().map(|wanted| &wanted.topic);
    let topics = grouped(names, partitions).map(|(name, partitions)| {
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

pub(crate) fn unanswered<T>(api: &'static str, wanted: &Wanted<T>) -> Error {
    let place = format!("the answer to {api} leaves out {}-{}", wanted.topic, wanted.partition);
    let reason = CloseReason::Io(Arc::new(std::io::Error::other(place)));
    Error::Disconnected { address: "the broker".into(), reason }
}

/// Collects the partitions of each topic, topics in the order in which they first come.
pub(crate) fn grouped<'a, P>(
    names: impl Iterator<Item = &'a Arc<str>>,
    partitions: impl Iterator<Item = P>,
) -> impl Iterator<Item = (&'a Arc<str>, Vec<P>)> {
    let mut topics: Vec<(&Arc<str>, Vec<P>)> = Vec::new();
    let mut places: HashMap<&Arc<str>, usize> = HashMap::new();
    for (name, partition) in names.zip(partitions) {
        let place = *places.entry(name).or_insert_with(|| {
            topics.push((name, Vec::new()));
            topics.len() - 1
        });
        topics[place].1.push(partition);
    }
    topics.into_iter()
}
