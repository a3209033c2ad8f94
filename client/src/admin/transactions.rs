//! Transactions: list, describe, abort one that hangs, fence producers.

use std::{fmt, sync::Arc, time::Duration};

use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, ListTransactionsResponse, ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
    describe_transactions_response as describe,
    write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic},
};

use super::{Admin, Listed, ProducerState, Results, ask::Place, name, outcome, partition_outcome, text, topic_name};
use crate::{
    error::{Error, Result},
    record::{Timestamp, TopicPartition},
    wire::versions::Api,
};

/// Where a transaction is (`TransactionState`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionState {
    /// None has begun.
    Empty,
    /// It is open.
    Ongoing,
    /// It is to be committed, its markers are being written.
    PrepareCommit,
    /// It is to be aborted, its markers are being written.
    PrepareAbort,
    /// It was committed.
    CompleteCommit,
    /// It was aborted.
    CompleteAbort,
    /// Its producer is being fenced.
    PrepareEpochFence,
    /// It is being forgotten.
    Dead,
    /// A state that this release does not know, by Kafka's name.
    Other(Arc<str>),
}

impl TransactionState {
    /// Kafka's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
            Self::PrepareEpochFence => "PrepareEpochFence",
            Self::Dead => "Dead",
            Self::Other(name) => name,
        }
    }

    fn named(name: &str) -> Self {
        let known = [
            Self::Empty,
            Self::Ongoing,
            Self::PrepareCommit,
            Self::PrepareAbort,
            Self::CompleteCommit,
            Self::CompleteAbort,
            Self::PrepareEpochFence,
            Self::Dead,
        ];
        known.into_iter().find(|state| state.name() == name).unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl fmt::Display for TransactionState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which transactions are listed. What is left out does not matter.
#[derive(Clone, Debug, Default)]
pub struct TransactionFilter {
    states: Vec<TransactionState>,
    producer_ids: Vec<i64>,
    longer_than: Option<Duration>,
}

impl TransactionFilter {
    /// All transactions.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Transactions in this state, or in another one that is named so.
    #[must_use]
    pub fn state(mut self, state: TransactionState) -> Self {
        self.states.push(state);
        self
    }

    /// Transactions of this producer id, or of another one that is named so.
    #[must_use]
    pub fn producer_id(mut self, producer_id: i64) -> Self {
        self.producer_ids.push(producer_id);
        self
    }

    /// Transactions that have been open for longer (KIP-994; Kafka 3.8: brokers before that are sent no such filter).
    #[must_use]
    pub fn longer_than(mut self, duration: Duration) -> Self {
        self.longer_than = Some(duration);
        self
    }
}

/// A transaction in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedTransaction {
    /// `transactional.id`.
    pub transactional_id: Arc<str>,
    /// Its producer.
    pub producer_id: i64,
    /// Where it is.
    pub state: TransactionState,
}

/// What is known of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionDescription {
    /// Where its transaction is.
    pub state: TransactionState,
    /// Its producer.
    pub producer_id: i64,
    /// The epoch of its producer.
    pub producer_epoch: i16,
    /// `transaction.timeout.ms`.
    pub timeout: Duration,
    /// When the open transaction began, if there is one.
    pub started_at: Option<Timestamp>,
    /// The partitions in the transaction.
    pub partitions: Vec<TopicPartition>,
}

/// A transaction of a partition that no coordinator will end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HangingTransaction {
    /// Where it is open.
    pub partition: TopicPartition,
    /// Whose it is.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch of the coordinator that the partition heard of last; 0 if it heard of none.
    pub coordinator_epoch: i32,
}

impl HangingTransaction {
    /// The open transaction of a producer that [`Admin::describe_producers`] told of; `None` if it has none open.
    #[must_use]
    pub fn of(partition: TopicPartition, producer: &ProducerState) -> Option<Self> {
        producer.current_transaction_start_offset?;
        Some(Self {
            partition,
            producer_id: producer.producer_id,
            producer_epoch: i16::try_from(producer.producer_epoch).ok()?,
            coordinator_epoch: producer.coordinator_epoch.unwrap_or(0),
        })
    }
}

/// A transactional id whose producers so far can no longer write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FencedProducer {
    /// The producer id that it has now.
    pub producer_id: i64,
    /// The epoch that it has now, higher than that of any producer before.
    pub producer_epoch: i16,
}

impl Admin {
    /// The transactions of all nodes (KIP-664; Kafka 3.0).
    pub async fn list_transactions(&self, filter: &TransactionFilter) -> Listed<ListedTransaction> {
        let make = |version| {
            let duration = filter.longer_than.filter(|_| version >= 1);
            let duration = duration.map_or(-1, |duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
            ListTransactionsRequest::default()
                .with_state_filters(filter.states.iter().map(|state| text(state.name())).collect())
                .with_producer_id_filters(filter.producer_ids.iter().copied().map(ProducerId).collect())
                .with_duration_filter(duration)
        };
        let read = |answer: ListTransactionsResponse| {
            outcome(ListTransactionsRequest::NAME, answer.error_code, None)?;
            let transactions = answer.transaction_states.iter().map(|of| ListedTransaction {
                transactional_id: name(&of.transactional_id),
                producer_id: of.producer_id.0,
                state: TransactionState::named(&of.transaction_state),
            });
            Ok(transactions.collect())
        };
        Listed::new(self.every_node(make, read).await)
    }

    /// Describes transactional ids (KIP-664; Kafka 3.0). Error: `TRANSACTIONAL_ID_NOT_FOUND`.
    pub async fn describe_transactions(
        &self,
        transactional_ids: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Results<Arc<str>, TransactionDescription> {
        self.each(
            transactional_ids.into_iter().map(Into::into),
            Place::transaction,
            |_, ids| {
                let ids = ids.iter().map(|id| text(id.as_ref()).into());
                DescribeTransactionsRequest::default().with_transactional_ids(ids.collect())
            },
            |_, answer: DescribeTransactionsResponse| answer.transaction_states.iter().map(described).collect(),
        )
        .await
    }

    /// Aborts a transaction that hangs in a partition, by a marker that its leader writes (KIP-664; Kafka 3.0). Only for
    /// transactions that no coordinator knows: it would not learn of it. Errors: `INVALID_PRODUCER_EPOCH`,
    /// `TRANSACTION_COORDINATOR_FENCED`, `CLUSTER_AUTHORIZATION_FAILED`.
    pub async fn abort_transaction(&self, transaction: &HangingTransaction) -> Result<()> {
        let (of, api) = (&transaction.partition, WriteTxnMarkersRequest::NAME);
        let make = |_| {
            let topic = WritableTxnMarkerTopic::default()
                .with_name(topic_name(&of.topic))
                .with_partition_indexes(vec![of.partition]);
            let marker = WritableTxnMarker::default()
                .with_producer_id(ProducerId(transaction.producer_id))
                .with_producer_epoch(transaction.producer_epoch)
                .with_coordinator_epoch(transaction.coordinator_epoch)
                .with_transaction_result(false)
                .with_topics(vec![topic]);
            WriteTxnMarkersRequest::default().with_markers(vec![marker])
        };
        let read = |answer: WriteTxnMarkersResponse| {
            let partitions =
                answer.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
            match partitions.into_iter().find(|at| at.partition_index == of.partition) {
                Some(at) => partition_outcome(api, of, at.error_code, None),
                None => {
                    let reason = "it leaves out the partition".into();
                    Err(Error::Malformed { api, version: -1, reason })
                }
            }
        };
        self.one(Place::Leader(of.clone()), make, read).await
    }

    /// Fences the producers of transactional ids and aborts what they have open (KIP-588; Kafka 2.5). An id that was never
    /// used is given a producer id by it, as in Java.
    pub async fn fence_producers(
        &self,
        transactional_ids: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Results<Arc<str>, FencedProducer> {
        // FenceProducersHandler: the next real producer sets a timeout of its own, this one only has to be valid.
        let timeout_ms = self.timeout_ms();
        let fences = transactional_ids.into_iter().map(Into::into).map(|id: Arc<str>| async move {
            let make = |_| {
                InitProducerIdRequest::default()
                    .with_transactional_id(Some(text(id.as_ref()).into()))
                    .with_transaction_timeout_ms(timeout_ms)
                    .with_producer_id(ProducerId(-1))
                    .with_producer_epoch(-1)
            };
            let read = |answer: InitProducerIdResponse| {
                outcome(InitProducerIdRequest::NAME, answer.error_code, None)?;
                Ok(FencedProducer { producer_id: answer.producer_id.0, producer_epoch: answer.producer_epoch })
            };
            let fenced = self.one(Place::transaction(&id), make, read).await;
            (id, fenced)
        });
        futures::future::join_all(fences).await.into_iter().collect()
    }
}

fn described(of: &describe::TransactionState) -> (Arc<str>, Result<TransactionDescription>) {
    let id = name(&of.transactional_id);
    let partitions = of.topics.iter().flat_map(|topic| {
        let topic_name = name(&topic.topic);
        topic.partitions.iter().map(move |partition| TopicPartition::new(Arc::clone(&topic_name), *partition))
    });
    let described = outcome(DescribeTransactionsRequest::NAME, of.error_code, None).map(|()| TransactionDescription {
        state: TransactionState::named(&of.transaction_state),
        producer_id: of.producer_id.0,
        producer_epoch: of.producer_epoch,
        timeout: Duration::from_millis(u64::try_from(of.transaction_timeout_ms).unwrap_or(0)),
        started_at: Some(Timestamp(of.transaction_start_time_ms)).filter(|at| at.0 >= 0),
        partitions: partitions.collect(),
    });
    (id, described)
}
