//! A cluster whose markers are held, and producers that send it transactions as clients do.

use std::collections::{BTreeSet, VecDeque};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProduceRequest,
    ProducerId, TransactionalId, TxnOffsetCommitRequest,
};

use super::*;
use crate::cluster::CompressionType;
use crate::fault::MarkerHome;
use crate::group::{FetchedOffset, RequireStable};
use crate::log::tests::bytes_of;
use crate::log::{BatchBuilder, NewRecord, PartitionLog, marker_of};
use crate::txn::TransactionState;

/// Which generation of the protocol a producer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    V1,
    V2,
}

/// A producer as it knows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

pub(super) type Told<T> = Result<T, ResponseError>;

impl World {
    /// With the topics of both coordinators, and markers that are held.
    pub(super) fn transactional(level: i16) -> Self {
        let level = level.to_string();
        let world = Self::with(&[("feature.transaction.version", &*level)]);
        world.0.lock().state.auto_create("__transaction_state");
        MarkerHome::hold(&*world.0, true);
        world
    }

    pub(super) fn init(&self, id: &str, expected: Option<Known>) -> Told<Known> {
        let Known { id: producer_id, epoch } = expected.unwrap_or(Known { id: -1, epoch: -1 });
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(named(id)))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(epoch);
        let answer = self.now((22, 5), Request::InitProducerId(request));
        let Response::InitProducerId(answer) = answer else { panic!("{answer:?}") };
        told(answer.error_code)?;
        Ok(Known { id: answer.producer_id.0, epoch: answer.producer_epoch })
    }

    pub(super) fn add(&self, id: &str, producer: Known, partitions: &[i32]) -> Told<()> {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name()).with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(named(id))
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let answer = self.now((24, 3), Request::AddPartitionsToTxn(request));
        let Response::AddPartitionsToTxn(answer) = answer else { panic!("{answer:?}") };
        let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
        results.iter().try_for_each(|result| told(result.partition_error_code))
    }

    /// Writes one record. Its offset.
    pub(super) fn write(
        &self,
        speaks: Speaks,
        id: &str,
        producer: Known,
        (partition, sequence): (i32, i32),
        value: &str,
    ) -> Told<i64> {
        let mut batch = BatchBuilder::new();
        batch.producer_id = producer.id;
        batch.producer_epoch = producer.epoch;
        batch.base_sequence = sequence;
        batch.is_transactional = true;
        batch.push(NewRecord {
            timestamp: self.0.now().as_millis(),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        });
        let records = bytes_of(&batch.build(CompressionType::Uncompressed).unwrap());
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
        let topic = TopicProduceData::default().with_name(topic_name()).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_transactional_id(Some(named(id))).with_acks(-1).with_topic_data(vec![topic]);
        let version = if speaks == Speaks::V1 { 11 } else { 12 };
        let answer = self.now((0, version), Request::Produce(request));
        let Response::Produce(answer) = answer else { panic!("{answer:?}") };
        let partition = &answer.responses[0].partition_responses[0];
        told(partition.error_code).map(|()| partition.base_offset)
    }

    /// Commits an offset of partition 1 in the transaction.
    pub(super) fn send_offset(&self, speaks: Speaks, id: &str, producer: Known, offset: i64) -> Told<()> {
        if speaks == Speaks::V1 {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(named(id))
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch)
                .with_group_id(group());
            let answer = self.now((25, 4), Request::AddOffsetsToTxn(request));
            let Response::AddOffsetsToTxn(answer) = answer else { panic!("{answer:?}") };
            told(answer.error_code)?;
        }
        self.commit_in(speaks, id, producer, offset)
    }

    /// The same without AddOffsetsToTxn.
    pub(super) fn commit_in(&self, speaks: Speaks, id: &str, producer: Known, offset: i64) -> Told<()> {
        let partition =
            TxnOffsetCommitRequestPartition::default().with_partition_index(1).with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name()).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(named(id))
            .with_group_id(group())
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_topics(vec![topic]);
        let version = if speaks == Speaks::V1 { 4 } else { 5 };
        let answer = self.now((28, version), Request::TxnOffsetCommit(request));
        let Response::TxnOffsetCommit(answer) = answer else { panic!("{answer:?}") };
        told(answer.topics[0].partitions[0].error_code)
    }

    /// Ends the transaction. What the producer goes on with.
    pub(super) fn end(&self, speaks: Speaks, id: &str, producer: Known, commits: bool) -> Told<Known> {
        let request = EndTxnRequest::default()
            .with_transactional_id(named(id))
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(commits);
        let version = if speaks == Speaks::V1 { 4 } else { 5 };
        let answer = self.now((26, version), Request::EndTxn(request));
        let Response::EndTxn(answer) = answer else { panic!("{answer:?}") };
        told(answer.error_code)?;
        let next = Known { id: answer.producer_id.0, epoch: answer.producer_epoch };
        Ok(if speaks == Speaks::V1 { producer } else { next })
    }

    /// Every node crashes and comes back.
    pub(super) fn crash(&self) {
        let now = self.0.now();
        self.0.lock().state.crash_all(now);
    }

    pub(super) fn state_of(&self, id: &str) -> Option<TransactionState> {
        let id = StrBytes::from_string(id.to_owned());
        self.0.read(|state| state.transactions.describe(&id)).map(|described| described.state)
    }

    pub(super) fn producer_of(&self, id: &str) -> Option<Known> {
        let id = StrBytes::from_string(id.to_owned());
        let described = self.0.read(|state| state.transactions.describe(&id))?;
        Some(Known { id: described.producer_id, epoch: described.producer_epoch })
    }

    /// Looks at a log of the topic `t`.
    pub(super) fn log<R>(&self, partition: i32, look: impl FnOnce(&PartitionLog) -> R) -> R {
        self.log_of("t", partition, look)
    }

    pub(super) fn log_of<R>(&self, topic: &str, partition: i32, look: impl FnOnce(&PartitionLog) -> R) -> R {
        self.0.read(|state| {
            let topic_id = state.cluster.topics().id(topic).unwrap();
            look(state.logs.partition(topic_id, PartitionId(partition)).unwrap())
        })
    }

    /// What a consumer with `read_committed` gets of a partition: offsets and values.
    pub(super) fn read_committed(&self, partition: i32) -> Vec<(i64, String)> {
        self.log(partition, committed)
    }

    pub(super) fn offset(&self, require_stable: RequireStable) -> FetchedOffset {
        self.0.read(|state| state.groups.fetch_offset("g", "t", None, 1, require_stable))
    }
}

/// A client's own way through a log (`CompletedFetch.nextFetchedRecord`), not the broker's.
fn committed(log: &PartitionLog) -> Vec<(i64, String)> {
    let end = log.last_stable_offset();
    let mut told = log.aborted_transactions(log.log_start_offset(), end);
    told.sort_by_key(|aborted| aborted.first_offset);
    let mut told = VecDeque::from(told);
    let mut skipped = BTreeSet::new();
    let mut seen = Vec::new();
    for batch in log.batches().take_while(|batch| batch.base_offset() < end) {
        while let Some(aborted) = told.pop_front_if(|aborted| aborted.first_offset <= batch.last_offset()) {
            skipped.insert(aborted.producer_id);
        }
        if batch.is_control() {
            if !marker_of(batch).unwrap().unwrap().is_commit {
                skipped.remove(&batch.producer_id());
            }
        } else if !(batch.is_transactional() && skipped.contains(&batch.producer_id())) {
            let records = batch.records().unwrap();
            let records = records.iter().map(Result::unwrap);
            seen.extend(records.map(|it| (it.offset, String::from_utf8(it.value.unwrap().to_vec()).unwrap())));
        }
    }
    seen
}

fn told(error_code: i16) -> Told<()> {
    ResponseError::try_from_code(error_code).map_or(Ok(()), Err)
}

fn named(id: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(id.to_owned()))
}

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}
