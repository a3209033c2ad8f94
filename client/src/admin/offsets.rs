//! What the leaders of partitions know: offsets by time, producers; and the deletion of records.

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, DeleteRecordsResponse, DescribeProducersRequest, DescribeProducersResponse,
    ListOffsetsRequest, ListOffsetsResponse,
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    describe_producers_request::TopicRequest,
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
};

use super::{Admin, Results, ask::Place, by_topic, name, partition_outcome};
use crate::{
    config::IsolationLevel,
    record::{Timestamp, TopicPartition},
    wire::versions::Api,
};

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first one that is still there.
    Earliest,
    /// The next one that a reader will see: the high watermark, or the last stable offset with
    /// [`IsolationLevel::ReadCommitted`].
    Latest,
    /// The one of the record with the highest timestamp (KIP-734; Kafka 3.0).
    MaxTimestamp,
    /// The first one that is not older.
    Timestamp(Timestamp),
    /// The first one that is on the node itself, where storage is tiered (KIP-405; Kafka 3.4).
    EarliestLocal,
    /// The last one that is in the tiered storage (KIP-1005; Kafka 3.9).
    LatestTiered,
}

impl OffsetSpec {
    /// What stands for it in ListOffsets (`ListOffsetsRequest.java`).
    fn wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::Timestamp(at) => at.as_millis(),
        }
    }
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedOffset {
    /// The offset; `None` when no record is as asked for.
    pub offset: Option<i64>,
    /// The timestamp of the record there, where the question was about one.
    pub timestamp: Option<Timestamp>,
    /// The epoch of the leader that wrote the record there, where that is known.
    pub leader_epoch: Option<i32>,
}

/// A producer that a partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence of the last record that it wrote; -1 if that is forgotten.
    pub last_sequence: i32,
    /// When it wrote that, by the record's timestamp.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that ended its last transaction, if there was one.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins, if there is one.
    pub current_transaction_start_offset: Option<i64>,
}

impl Admin {
    /// Offsets of partitions, one question for each. Errors: `UNKNOWN_TOPIC_OR_PARTITION` once the call's time is over,
    /// because a topic may be about to appear; `UNSUPPORTED_VERSION`.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
        isolation: IsolationLevel,
    ) -> Results<TopicPartition, ListedOffset> {
        let specs: BTreeMap<TopicPartition, OffsetSpec> = partitions.into_iter().collect();
        self.each(
            specs.keys().cloned(),
            |of| Place::Leader(of.clone()),
            |_, partitions| {
                let partitions = partitions.iter().map(|of| {
                    let partition = ListOffsetsPartition::default()
                        .with_partition_index(of.partition)
                        .with_current_leader_epoch(-1)
                        .with_timestamp(specs[of].wire());
                    (of, partition)
                });
                let topics = by_topic(partitions).map(|(topic, partitions)| {
                    ListOffsetsTopic::default().with_name(topic).with_partitions(partitions)
                });
                ListOffsetsRequest::default()
                    .with_replica_id(BrokerId(-1))
                    .with_isolation_level(match isolation {
                        IsolationLevel::ReadUncommitted => 0,
                        IsolationLevel::ReadCommitted => 1,
                    })
                    .with_topics(topics.collect())
                    .with_timeout_ms(self.timeout_ms())
            },
            |_, answer: ListOffsetsResponse| {
                let partitions = answer.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
                });
                let listed = partitions.map(|(of, at)| {
                    let result = partition_outcome(ListOffsetsRequest::NAME, &of, at.error_code, None);
                    let listed = result.map(|()| ListedOffset {
                        offset: Some(at.offset).filter(|offset| *offset >= 0),
                        timestamp: Some(Timestamp(at.timestamp)).filter(|timestamp| timestamp.0 >= 0),
                        leader_epoch: Some(at.leader_epoch).filter(|epoch| *epoch >= 0),
                    });
                    (of, listed)
                });
                listed.collect()
            },
        )
        .await
    }

    /// Deletes the records before an offset, `None` for all that are there (up to the high watermark). Returns the offset
    /// that each log now begins with. Errors: `OFFSET_OUT_OF_RANGE`, `POLICY_VIOLATION` (a compacted topic).
    pub async fn delete_records(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, Option<i64>)>,
    ) -> Results<TopicPartition, i64> {
        /// `DeleteRecordsRequest.HIGH_WATERMARK`.
        const HIGH_WATERMARK: i64 = -1;
        let before: BTreeMap<TopicPartition, Option<i64>> = partitions.into_iter().collect();
        self.each(
            before.keys().cloned(),
            |of| Place::Leader(of.clone()),
            |_, partitions| {
                let partitions = partitions.iter().map(|of| {
                    let partition = DeleteRecordsPartition::default()
                        .with_partition_index(of.partition)
                        .with_offset(before[of].unwrap_or(HIGH_WATERMARK));
                    (of, partition)
                });
                let topics = by_topic(partitions).map(|(topic, partitions)| {
                    DeleteRecordsTopic::default().with_name(topic).with_partitions(partitions)
                });
                DeleteRecordsRequest::default().with_topics(topics.collect()).with_timeout_ms(self.timeout_ms())
            },
            |_, answer: DeleteRecordsResponse| {
                let partitions = answer.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
                });
                let deleted = partitions.map(|(of, at)| {
                    let result = partition_outcome(DeleteRecordsRequest::NAME, &of, at.error_code, None);
                    (of, result.map(|()| at.low_watermark))
                });
                deleted.collect()
            },
        )
        .await
    }

    /// The idempotent and transactional producers that the leaders of partitions remember (KIP-664; Kafka 2.8).
    pub async fn describe_producers(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Results<TopicPartition, Vec<ProducerState>> {
        self.each(
            partitions,
            |of| Place::Leader(of.clone()),
            |_, partitions| {
                let topics = by_topic(partitions.iter().map(|of| (of, of.partition))).map(|(topic, partitions)| {
                    TopicRequest::default().with_name(topic).with_partition_indexes(partitions)
                });
                DescribeProducersRequest::default().with_topics(topics.collect())
            },
            |_, answer: DescribeProducersResponse| {
                let partitions = answer.topics.iter().flat_map(|topic| {
                    topic.partitions.iter().map(|at| (TopicPartition::new(name(&topic.name), at.partition_index), at))
                });
                let described = partitions.map(|(of, at)| {
                    let (api, message) = (DescribeProducersRequest::NAME, at.error_message.as_ref());
                    let producers = at.active_producers.iter().map(|producer| ProducerState {
                        producer_id: producer.producer_id.0,
                        producer_epoch: producer.producer_epoch,
                        last_sequence: producer.last_sequence,
                        last_timestamp: Timestamp(producer.last_timestamp),
                        coordinator_epoch: Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0),
                        current_transaction_start_offset: Some(producer.current_txn_start_offset)
                            .filter(|offset| *offset >= 0),
                    });
                    let result = partition_outcome(api, &of, at.error_code, message);
                    (of, result.map(|()| producers.collect()))
                });
                described.collect()
            },
        )
        .await
    }
}
