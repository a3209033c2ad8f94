//! When transactions time out and transactional ids expire. Kafka looks at fixed intervals, so both are late by up to one.
//!
//! What is due next is found in an index: a thousand open transactions cost nothing while they are idle.
//!
//! Source: `TransactionCoordinator.abortTimedOutTransactions`, `TransactionStateManager.timedOutTransactions`,
//! `removeExpiredTransactionalIds`.

use std::collections::BTreeSet;

use kafka_protocol::protocol::StrBytes;

use super::metadata::Metadata;
use super::{Ctx, Effect, Record, TransactionCoordinator, TransactionState};
use crate::cluster::BrokerConfig;
use crate::time::Timestamp;

/// Transactional ids by a time.
type Index = BTreeSet<(Timestamp, StrBytes)>;

/// What has a time, by that time.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    schedule: Schedule,
    /// Ongoing transactions, by the last instant at which they have not timed out.
    timeouts: Index,
    /// Transactional ids at rest, by their last update.
    at_rest: Index,
}

/// When Kafka's scheduler looks.
#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    begun: Timestamp,
    abort_interval_ms: i64,
    expiry_interval_ms: i64,
    expiration_ms: i64,
}

impl Schedule {
    /// The first look at `instant` or later, of those every `interval_ms`.
    fn look_from(self, instant: Timestamp, interval_ms: i64) -> Timestamp {
        let interval_ms = interval_ms.max(1);
        let since = instant.as_millis().saturating_sub(self.begun.as_millis());
        let looks = since.saturating_add(interval_ms - 1).div_euclid(interval_ms).max(1);
        self.begun.plus_millis(looks.saturating_mul(interval_ms))
    }
}

impl Timers {
    pub(super) fn note(&mut self, transactional_id: &StrBytes, metadata: &Metadata) {
        let (index, key) = self.place(transactional_id, metadata);
        if let Some(index) = index {
            index.insert(key);
        }
    }

    pub(super) fn forget(&mut self, transactional_id: &StrBytes, metadata: &Metadata) {
        let (index, key) = self.place(transactional_id, metadata);
        if let Some(index) = index {
            index.remove(&key);
        }
    }

    fn place(
        &mut self,
        transactional_id: &StrBytes,
        metadata: &Metadata,
    ) -> (Option<&mut Index>, (Timestamp, StrBytes)) {
        let (index, millis) = if metadata.state == TransactionState::Ongoing {
            let end = metadata.start_time_ms.saturating_add(i64::from(metadata.timeout_ms));
            (Some(&mut self.timeouts), end)
        } else if metadata.state.is_at_rest() {
            (Some(&mut self.at_rest), metadata.last_update_time_ms)
        } else {
            (None, 0)
        };
        (index, (Timestamp::from_millis(millis), transactional_id.clone()))
    }
}

impl TransactionCoordinator {
    /// The coordinator begins its work: the intervals count from now.
    pub(crate) fn begin(&mut self, now: Timestamp, config: &BrokerConfig) {
        self.timers.schedule = Schedule {
            begun: now,
            abort_interval_ms: config.transaction_abort_timed_out_transaction_cleanup_interval_ms,
            expiry_interval_ms: config.transaction_remove_expired_transaction_cleanup_interval_ms,
            expiration_ms: config.transactional_id_expiration_ms,
        };
    }

    /// The earliest instant at which [`TransactionCoordinator::expire`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let Timers { schedule, timeouts, at_rest } = &self.timers;
        let timeout =
            timeouts.first().map(|(end, _)| schedule.look_from(end.plus_millis(1), schedule.abort_interval_ms));
        let expiry = at_rest.first().map(|(updated, _)| {
            schedule.look_from(updated.plus_millis(schedule.expiration_ms), schedule.expiry_interval_ms)
        });
        timeout.into_iter().chain(expiry).min()
    }

    /// Does what is due at `ctx.now`: aborts transactions that have timed out, forgets ids that have expired.
    pub(crate) fn expire(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Effect>) {
        let schedule = self.timers.schedule;
        while let Some((end, transactional_id)) = self.timers.timeouts.first().cloned()
            && schedule.look_from(end.plus_millis(1), schedule.abort_interval_ms) <= ctx.now
        {
            if self.is_moving(&transactional_id) || self.fence_and_abort(ctx, &transactional_id, out).is_err() {
                // No epoch is left to fence with: Kafka logs the failure and tries again and again. What is stuck it leaves out.
                self.timers.timeouts.remove(&(end, transactional_id));
            }
        }
        while let Some((updated, transactional_id)) = self.timers.at_rest.first().cloned()
            && schedule.look_from(updated.plus_millis(schedule.expiration_ms), schedule.expiry_interval_ms) <= ctx.now
        {
            let tombstone = Record { transactional_id, metadata: None };
            self.apply(&tombstone);
            out.push(Effect::Persist(tombstone));
        }
    }
}
