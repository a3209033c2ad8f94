//! What the handlers that read a partition ask of it first.

use kafka_protocol::error::ResponseError;

use crate::cluster::Partition;
use crate::log::PartitionLog;
use crate::state::State;
use crate::types::{NodeId, PartitionId, TopicId};

/// A partition that a node may answer for.
#[derive(Debug)]
pub(super) struct Led<'a> {
    pub(super) partition: &'a Partition,
    pub(super) log: &'a PartitionLog,
}

/// The partition and its log, if `node` leads it and the client's idea of the leader epoch is right.
///
/// The order is Kafka's (Partition.getLocalLog): the partition exists, the epoch is the current one, the node leads it.
/// A `current_leader_epoch` of -1 is not checked (KIP-320).
pub(super) fn led<'a>(
    state: &'a State,
    node: NodeId,
    topic_id: TopicId,
    partition: PartitionId,
    current_leader_epoch: i32,
) -> Result<Led<'a>, ResponseError> {
    let topic = state.cluster.topics().by_id(topic_id);
    let found = topic.and_then(|topic| topic.partition(partition)).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let log = log_of(state, topic_id, partition)?;
    if !found.replicas().contains(&node) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    check_leader_epoch(current_leader_epoch, found.leader_epoch())?;
    if found.leader() != Some(node) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    Ok(Led { partition: found, log })
}

/// KIP-320: a client that is behind is fenced, a client that is ahead waits for this node to catch up.
pub(super) fn check_leader_epoch(of_client: i32, current: i32) -> Result<(), ResponseError> {
    match of_client {
        -1 => Ok(()),
        epoch if epoch < current => Err(ResponseError::FencedLeaderEpoch),
        epoch if epoch > current => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

/// As [`led`], for a topic that is named.
pub(super) fn led_by_name<'a>(
    state: &'a State,
    node: NodeId,
    topic: &str,
    partition: PartitionId,
    current_leader_epoch: i32,
) -> Result<Led<'a>, ResponseError> {
    let topic = state.cluster.topics().by_name(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
    led(state, node, topic.id(), partition, current_leader_epoch)
}

/// The log of a partition that exists.
pub(super) fn log_of(state: &State, topic_id: TopicId, partition: PartitionId) -> Result<&PartitionLog, ResponseError> {
    state.logs.partition(topic_id, partition).ok_or(ResponseError::UnknownTopicOrPartition)
}
