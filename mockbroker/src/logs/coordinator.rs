//! The logs that coordinators keep their state in: `__consumer_offsets` and `__transaction_state`. Records go in as batches of
//! the broker's own, and come back when a coordinator is loaded.
//!
//! Not here: what the records say, which partition is whose, who may write.
//! Source: `CoordinatorRuntime.CoordinatorContext.append`, `CoordinatorLoaderImpl`.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::Logs;
use crate::cluster::{CompressionType, Topic};
use crate::log::{self, Batch, BatchBuilder, EndMarker, NewRecord, PartitionLog, Rejected, ValidBatch, marker_of};
use crate::time::Timestamp;
use crate::types::{PartitionId, ProducerId};

/// A record that a coordinator writes. Without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoordinatorRecord {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

/// The transaction that records belong to: whose it is, and at which epoch.
pub(crate) type Transaction = (ProducerId, i16);

/// A marker that ends a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) is_commit: bool,
    /// Of the coordinator that decided.
    pub(crate) coordinator_epoch: i32,
    /// Its epoch is the one after that of the transaction's records (transaction version 2).
    pub(crate) bumps_epoch: bool,
}

/// What a coordinator reads back from its log, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// A record, and the producer whose transaction wrote it, if one did.
    Record(Option<ProducerId>, CoordinatorRecord),
    /// The transaction of a producer has ended.
    Marker { producer_id: ProducerId, committed: bool },
}

impl Logs {
    /// Appends `records` as one batch.
    ///
    /// # Errors
    /// MESSAGE_TOO_LARGE; what the log says of a batch that it cannot take.
    pub(crate) fn append_of_coordinator(
        &mut self,
        topic: &Topic,
        partition: PartitionId,
        codec: CompressionType,
        transaction: Option<Transaction>,
        records: &[CoordinatorRecord],
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let mut batch = BatchBuilder::new();
        // Whether or not there is a producer whose sequence it could be.
        batch.base_sequence = 0;
        if let Some((producer_id, producer_epoch)) = transaction {
            batch.producer_id = producer_id.0;
            batch.producer_epoch = producer_epoch;
            batch.is_transactional = true;
        }
        for CoordinatorRecord { key, value } in records {
            let (timestamp, key) = (now.as_millis(), Some(&key[..]));
            batch.push(NewRecord { timestamp, key, value: value.as_deref(), headers: &[] });
        }
        let batch = batch.build(codec).map_err(|_| ResponseError::RecordListTooLarge)?;
        if i64::try_from(batch.size_bytes()).is_ok_and(|size| size > i64::from(topic.config().max_message_bytes)) {
            return Err(ResponseError::MessageTooLarge.into());
        }
        let log = self.partition_mut(topic.id(), partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        roll_early(log);
        log.append(ValidBatch::of_broker(batch), topic.config(), now).map(drop)
    }

    /// Appends the record of a transaction.
    ///
    /// # Errors
    /// What the log says of a batch that it cannot take.
    pub(crate) fn append_of_transactions(
        &mut self,
        topic: &Topic,
        partition: PartitionId,
        record: &CoordinatorRecord,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let batch = batch_of_transaction(record, now)?;
        let log = self.partition_mut(topic.id(), partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        roll_early(log);
        log.append(ValidBatch::of_broker(batch), topic.config(), now).map(drop)
    }

    /// Appends a marker.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED; UNKNOWN_TOPIC_OR_PARTITION.
    pub(crate) fn append_marker(
        &mut self,
        topic: &Topic,
        partition: PartitionId,
        marker: &Marker,
        now: Timestamp,
    ) -> Result<(), ResponseError> {
        let Marker { producer_id, producer_epoch, is_commit, coordinator_epoch, bumps_epoch } = *marker;
        let end = EndMarker { is_commit, coordinator_epoch };
        let marker = log::Marker { producer_id, producer_epoch, end, bumps_epoch };
        let log = self.partition_mut(topic.id(), partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        log.append_marker(&marker, topic.config(), now).map(drop)
    }

    /// All that the log of a coordinator's partition holds. What does not decode is left out: nobody but a coordinator can
    /// have written it, unless a test did.
    pub(crate) fn replay(&self, topic: &Topic, partition: PartitionId) -> impl Iterator<Item = Replayed> {
        let log = self.partition(topic.id(), partition);
        log.into_iter().flat_map(|log| log.batches()).flat_map(replayed)
    }
}

/// How much of a coordinator's log is kept as it was written. Only closed segments are compacted, and Kafka closes those of
/// coordinators at 100 MiB, of each partition: that is a disk's measure, and this is memory.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Begins a new segment before `segment.bytes` does. No client can tell, but by the records that are compacted earlier.
fn roll_early(log: &mut PartitionLog) {
    if log.active_bytes() >= SEGMENT_BYTES {
        log.roll_segment();
    }
}

/// The record of a transaction as it is written: a batch of its own, not compressed whatever the topic says, without a
/// sequence (`TransactionStateManager.appendTransactionToLog`).
pub(crate) fn batch_of_transaction(record: &CoordinatorRecord, now: Timestamp) -> Result<Batch, ResponseError> {
    let mut batch = BatchBuilder::new();
    let CoordinatorRecord { key, value } = record;
    batch.push(NewRecord { timestamp: now.as_millis(), key: Some(&key[..]), value: value.as_deref(), headers: &[] });
    batch.build(CompressionType::Uncompressed).map_err(|_| ResponseError::RecordListTooLarge)
}

fn replayed(batch: &Batch) -> Vec<Replayed> {
    let producer_id = ProducerId(batch.producer_id());
    if batch.is_control() {
        let end = marker_of(batch).ok().flatten();
        return end.map(|end| Replayed::Marker { producer_id, committed: end.is_commit }).into_iter().collect();
    }
    let Ok(records) = batch.records() else { return Vec::new() };
    let records = records.iter().map_while(Result::ok);
    let producer_id = batch.is_transactional().then_some(producer_id);
    let record = |key: &[u8], value: Option<&[u8]>| CoordinatorRecord {
        key: Bytes::copy_from_slice(key),
        value: value.map(Bytes::copy_from_slice),
    };
    let records = records.filter_map(|it| Some(record(it.key?, it.value)));
    records.map(|record| Replayed::Record(producer_id, record)).collect()
}
