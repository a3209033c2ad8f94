//! InitProducerId with a transactional id: a new producer, or the same one again, fences whoever came before.
//!
//! Source: `TransactionCoordinator.handleInitProducerId`, `TransactionMetadata.prepareIncrementProducerEpoch`; KIP-360.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::metadata::{Metadata, is_exhausted};
use super::{Answer, Ctx, Effect, TransactionCoordinator, TransactionState};
use crate::cluster::BrokerConfig;

impl TransactionCoordinator {
    pub(super) fn init_producer_id(
        &mut self,
        ctx: &mut Ctx<'_>,
        transactional_id: &StrBytes,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
        out: &mut Vec<Effect>,
    ) -> Answer {
        if !is_valid_timeout(timeout_ms, ctx.config) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let current = match self.known(transactional_id) {
            Some(known) => known.clone(),
            None => Metadata::fresh(ctx.host.producer_id(transactional_id)?, timeout_ms, ctx.now),
        };
        if self.is_moving(transactional_id) {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if expected.is_some_and(|expected| !is_valid(expected, &current)) {
            return Err(ResponseError::ProducerFenced);
        }
        match current.state {
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                let epoch = expected.map(|(_, epoch)| epoch);
                self.begin_anew(ctx, transactional_id, &current, timeout_ms, epoch, out)
            }
            TransactionState::Ongoing => {
                // The epoch that fences is never told: the client comes back and gets one more, or a new id.
                self.fence_and_abort(ctx, transactional_id, out)?;
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Err(ResponseError::ConcurrentTransactions),
        }
    }

    fn begin_anew(
        &mut self,
        ctx: &mut Ctx<'_>,
        transactional_id: &StrBytes,
        current: &Metadata,
        timeout_ms: i32,
        expected_epoch: Option<i16>,
        out: &mut Vec<Effect>,
    ) -> Answer {
        let epoch = current.producer_epoch;
        let mut next = current.moved(TransactionState::Empty, ctx.now);
        next.timeout_ms = timeout_ms;
        next.partitions = BTreeSet::new();
        next.start_time_ms = -1;
        let last_epoch = if is_exhausted(epoch) && expected_epoch.is_none_or(|expected| expected == epoch) {
            next.producer_id = ctx.host.producer_id(transactional_id)?;
            next.producer_epoch = 0;
            if expected_epoch.is_some() { epoch } else { -1 }
        } else {
            let last_epoch = self.last_producer_epoch(transactional_id);
            let (bumped, last_epoch) = match expected_epoch {
                None => (true, -1),
                Some(expected) if epoch == -1 || expected == epoch => (true, epoch),
                // A retry of a bump that was made already: nobody else has been here, or the last epoch would be -1.
                Some(expected) if expected == last_epoch => (false, last_epoch),
                Some(_) => return Err(ResponseError::ProducerFenced),
            };
            if bumped {
                next.producer_epoch = epoch + 1;
            }
            last_epoch
        };
        let answer = (next.producer_id, next.producer_epoch);
        self.persist(ctx, transactional_id, next, out)?;
        self.remember_last_epoch(transactional_id, last_epoch);
        Ok(answer)
    }
}

/// Whether a transaction may take so long (`transaction.max.timeout.ms`).
pub(crate) fn is_valid_timeout(timeout_ms: i32, config: &BrokerConfig) -> bool {
    timeout_ms > 0 && i64::from(timeout_ms) <= config.transaction_max_timeout_ms
}

/// A producer may come back with the current id, with the previous one if its epochs were used up, and with anything if the
/// coordinator has forgotten it.
fn is_valid((producer_id, producer_epoch): (i64, i16), current: &Metadata) -> bool {
    current.producer_epoch == -1
        || producer_id == current.producer_id
        || (producer_id == current.previous_producer_id && is_exhausted(producer_epoch))
}
