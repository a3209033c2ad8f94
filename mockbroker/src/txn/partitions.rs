//! What joins a transaction, and what has.
//!
//! Source: `TransactionCoordinator.handleAddPartitionsToTransaction`, `handleVerifyPartitionsInTransaction`; KIP-890.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::{Answer, ClientVersion, Ctx, Effect, TopicPartition, TransactionCoordinator, TransactionState};

impl TransactionCoordinator {
    pub(super) fn join(
        &mut self,
        ctx: &Ctx<'_>,
        transactional_id: &StrBytes,
        producer: (i64, i16),
        partitions: BTreeSet<TopicPartition>,
        client_version: ClientVersion,
        out: &mut Vec<Effect>,
    ) -> Answer {
        let current = self.known(transactional_id).ok_or(ResponseError::InvalidProducerIdMapping)?;
        if self.is_moving(transactional_id) {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let (producer_id, producer_epoch) = producer;
        #[cfg(planted_bugs)]
        let producer_epoch = crate::planted::unfenced(producer_epoch, current.producer_epoch);
        if current.producer_id != producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if current.producer_epoch != producer_epoch {
            return Err(ResponseError::ProducerFenced);
        }
        if current.state.is_prepared() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let is_ongoing = current.state == TransactionState::Ongoing;
        if is_ongoing && partitions.is_subset(&current.partitions) {
            return Ok(producer);
        }
        let mut next = current.moved(TransactionState::Ongoing, ctx.now);
        next.partitions.extend(partitions);
        next.client_version = client_version;
        if !is_ongoing {
            next.start_time_ms = ctx.now.as_millis();
        }
        self.persist(ctx, transactional_id, next, out)?;
        Ok(producer)
    }

    /// Whether `partition` has joined the transaction of this producer. Nothing changes.
    ///
    /// # Errors
    ///
    /// INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS; TRANSACTION_ABORTABLE if it has not joined.
    pub(crate) fn verify(
        &self,
        transactional_id: &StrBytes,
        (producer_id, producer_epoch): (i64, i16),
        partition: &TopicPartition,
    ) -> Result<(), ResponseError> {
        let current = self.known(transactional_id).filter(|current| current.producer_id == producer_id);
        let current = current.ok_or(ResponseError::InvalidProducerIdMapping)?;
        #[cfg(planted_bugs)]
        let producer_epoch = crate::planted::unfenced(producer_epoch, current.producer_epoch);
        if current.producer_epoch != producer_epoch {
            return Err(ResponseError::ProducerFenced);
        }
        if current.state.is_prepared() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if current.partitions.contains(partition) { Ok(()) } else { Err(ResponseError::TransactionAbortable) }
    }
}
