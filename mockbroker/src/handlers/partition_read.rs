//! How a fetch reads its partitions: which are refused, and how the bytes are shared out among the rest.
//!
//! Source: ReplicaManager.readFromLog, LocalLog.addAbortedTransactions, Partition.fetchRecords, DelayedFetch.tryComplete.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::AbortedTransaction;

use super::partitions::{check_leader_epoch, log_of};
use crate::cluster::{PartitionFacts, WantedPartition};
use crate::fetch_plan::{FetchPlan, IsolationLevel};
use crate::log::{self, EpochEnd, PartitionLog, Records};
use crate::state::State;
use crate::types::ProducerId;

/// The first version at which a replica that does not lead may answer a consumer (KIP-392).
const FOLLOWER_FETCH_VERSION: i16 = 11;

/// What one partition gives to one fetch.
#[derive(Debug)]
pub(crate) struct PartitionRead {
    pub(crate) error: Option<ResponseError>,
    /// The partition was refused before it was read: there is no such topic or partition.
    pub(crate) unknown: bool,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// Where the client's log parts from this one (KIP-595).
    pub(crate) diverging_epoch: Option<EpochEnd>,
    pub(crate) aborted_transactions: Option<Vec<AbortedTransaction>>,
    pub(crate) records: Records,
}

impl PartitionRead {
    /// Refused by the log: Kafka leaves the aborted transactions null.
    fn refused(error: ResponseError) -> Self {
        Self {
            error: Some(error),
            unknown: false,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            aborted_transactions: None,
            records: Records::default(),
        }
    }

    /// Refused before any log was asked: Kafka leaves an empty list of aborted transactions.
    pub(super) fn refused_by_request(error: ResponseError) -> Self {
        Self { unknown: true, aborted_transactions: Some(Vec::new()), ..Self::refused(error) }
    }
}

impl PartitionRead {
    /// What its session is to know.
    pub(super) fn facts(&self) -> PartitionFacts {
        PartitionFacts {
            high_watermark: self.high_watermark,
            log_start_offset: self.log_start_offset,
            has_records: self.records.size_bytes > 0,
            has_error: self.error.is_some(),
            has_diverging_epoch: self.diverging_epoch.is_some(),
        }
    }
}

/// Reads every partition of `plan`, in its order.
pub(super) fn read(state: &State, plan: &FetchPlan) -> Vec<PartitionRead> {
    let mut remaining_bytes = plan.max_bytes;
    let mut none_yet = true;
    let read = |wanted: &WantedPartition| {
        let log = match readable(state, plan, wanted) {
            Ok(log) => log,
            Err(Refusal::Unknown(error)) => return PartitionRead::refused_by_request(error),
            Err(Refusal::Log(error)) => return PartitionRead::refused(error),
        };
        let mut read = match diverging(log, wanted) {
            Ok(diverging_epoch) => PartitionRead {
                error: None,
                unknown: false,
                high_watermark: log.high_watermark(),
                last_stable_offset: log.last_stable_offset(),
                log_start_offset: log.log_start_offset(),
                diverging_epoch,
                aborted_transactions: (plan.isolation_level == IsolationLevel::ReadCommitted).then(Vec::new),
                records: Records::default(),
            },
            Err(error) => return PartitionRead::refused(error),
        };
        if read.diverging_epoch.is_none() {
            let Ok(limit) = usize::try_from(wanted.max_bytes) else {
                // LogSegment.read throws: seen on 4.3.1.
                return PartitionRead::refused(ResponseError::UnknownServerError);
            };
            let limit = remaining_bytes.min(limit);
            let bound = bound(log, plan);
            read.records = log.read(wanted.fetch_offset, bound, limit, none_yet);
            if plan.isolation_level == IsolationLevel::ReadCommitted && wanted.fetch_offset < bound {
                let aborted = log.aborted_in_read(wanted.fetch_offset, read.records.size_bytes);
                read.aborted_transactions = Some(aborted.into_iter().map(told).collect());
            }
            none_yet &= read.records.size_bytes == 0;
            remaining_bytes = remaining_bytes.saturating_sub(read.records.size_bytes);
        }
        read
    };
    plan.partitions.iter().map(read).collect()
}

fn told(aborted: log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(ProducerId(aborted.producer_id))
        .with_first_offset(aborted.first_offset)
}

/// How many bytes a held fetch can count on from a partition; `None` if the partition ends the wait.
pub(super) fn available_bytes(state: &State, plan: &FetchPlan, wanted: &WantedPartition) -> Option<usize> {
    let log = readable(state, plan, wanted).ok()?;
    if diverging(log, wanted).ok()?.is_some() {
        return None;
    }
    let bound = bound(log, plan);
    if log.is_in_older_segment(wanted.fetch_offset, bound) {
        return None;
    }
    let available = log.available_bytes(wanted.fetch_offset, bound);
    Some(available.min(usize::try_from(wanted.max_bytes).unwrap_or(0)))
}

/// Why a partition is not read.
enum Refusal {
    Unknown(ResponseError),
    Log(ResponseError),
}

fn readable<'a>(state: &'a State, plan: &FetchPlan, wanted: &WantedPartition) -> Result<&'a PartitionLog, Refusal> {
    let topic = state.cluster.topics().by_id(wanted.topic_id);
    // What has had a name once is known by it, to this fetch and its session, also when the topic is gone.
    let missing = if plan.version >= 13 && topic.is_none() && !wanted.topic_was_known {
        ResponseError::UnknownTopicId
    } else {
        ResponseError::UnknownTopicOrPartition
    };
    let partition = topic.and_then(|topic| topic.partition(wanted.partition)).ok_or(Refusal::Unknown(missing))?;
    let log = log_of(state, wanted.topic_id, wanted.partition).map_err(Refusal::Unknown)?;
    if !partition.replicas().contains(&plan.node) {
        return Err(Refusal::Log(ResponseError::NotLeaderOrFollower));
    }
    // Unlike in ListOffsets, every negative epoch is none here (FetchRequest.optionalEpoch). Seen on 4.3.1.
    let leader_epoch = wanted.current_leader_epoch.max(-1);
    check_leader_epoch(leader_epoch, partition.leader_epoch()).map_err(Refusal::Log)?;
    if plan.version < FOLLOWER_FETCH_VERSION && partition.leader() != Some(plan.node) {
        return Err(Refusal::Log(ResponseError::NotLeaderOrFollower));
    }
    Ok(log)
}

/// Whether the client's last epoch parts from this log, and whether its offset is in the log at all (D.6 and D.5 of the
/// specification: in this order, Partition.readRecords).
fn diverging(log: &PartitionLog, wanted: &WantedPartition) -> Result<Option<EpochEnd>, ResponseError> {
    let fetch_offset = wanted.fetch_offset;
    if wanted.last_fetched_epoch >= 0 {
        let end = log.end_offset_for_epoch(wanted.last_fetched_epoch);
        let undefined = end.leader_epoch == -1 && end.end_offset == -1;
        if undefined || fetch_offset < log.log_start_offset() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        if end.leader_epoch < wanted.last_fetched_epoch || end.end_offset < fetch_offset {
            return Ok(Some(end));
        }
    }
    if fetch_offset < log.log_start_offset() || fetch_offset > log.log_end_offset() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    Ok(None)
}

/// The offset that the fetch may read up to.
fn bound(log: &PartitionLog, plan: &FetchPlan) -> i64 {
    match plan.isolation_level {
        IsolationLevel::ReadUncommitted => log.high_watermark(),
        IsolationLevel::ReadCommitted => log.last_stable_offset(),
    }
}
