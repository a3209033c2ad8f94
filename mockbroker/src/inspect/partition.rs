//! A partition: who has it, and how far its log is.

use crate::log::PartitionLog;
use crate::state::State;
use crate::types::{NodeId, PartitionId};

/// A partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionState {
    /// The node that leads it; `None` while no node can.
    pub leader: Option<NodeId>,
    /// Rises with every election.
    pub leader_epoch: i32,
    /// The nodes that have it; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// Those of them that are in sync.
    pub isr: Vec<NodeId>,
    /// The offset of the first record that is not deleted.
    pub log_start_offset: i64,
    /// Up to where a consumer with `read_committed` reads.
    pub last_stable_offset: i64,
    /// Up to where any consumer reads.
    pub high_watermark: i64,
    /// The offset that the next record will have.
    pub log_end_offset: i64,
    /// What all its batches weigh.
    pub size_bytes: u64,
}

/// The partition, if there is one.
pub(crate) fn partition(state: &State, topic: &str, partition: i32) -> Option<PartitionState> {
    let known = state.cluster.topics().by_name(topic)?.partition(PartitionId(partition))?;
    let log = log(state, topic, partition)?;
    Some(PartitionState {
        leader: known.leader(),
        leader_epoch: known.leader_epoch(),
        replicas: known.replicas().to_vec(),
        isr: known.isr().to_vec(),
        log_start_offset: log.log_start_offset(),
        last_stable_offset: log.last_stable_offset(),
        high_watermark: log.high_watermark(),
        log_end_offset: log.log_end_offset(),
        size_bytes: log.size_bytes(),
    })
}

/// Its log.
pub(crate) fn log<'a>(state: &'a State, topic: &str, partition: i32) -> Option<&'a PartitionLog> {
    state.logs.partition(state.cluster.topics().id(topic)?, PartitionId(partition))
}
