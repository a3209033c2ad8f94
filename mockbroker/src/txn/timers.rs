//! When transactions time out and transactional ids expire. Kafka looks at fixed intervals, so both are late by up to one.
//!
//! What is due next is found in an index: a thousand open transactions cost nothing while they are idle.
//!
//! Source: `TransactionCoordinator.abortTimedOutTransactions`, `TransactionStateManager.timedOutTransactions`,
//! `removeExpiredTransactionalIds`.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
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
    /// Those whose abort the log did not take, by the look at which that was.
    refused: Index,
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
        let Timers { schedule, timeouts, refused, at_rest } = &self.timers;
        let next_abort = |index: &Index| {
            index.first().map(|(end, _)| schedule.look_from(end.plus_millis(1), schedule.abort_interval_ms))
        };
        let expiry = at_rest.first().map(|(updated, _)| {
            schedule.look_from(updated.plus_millis(schedule.expiration_ms), schedule.expiry_interval_ms)
        });
        [next_abort(timeouts), next_abort(refused), expiry].into_iter().flatten().min()
    }

    /// Does what is due at `ctx.now`: aborts transactions that have timed out, forgets ids that have expired.
    pub(crate) fn expire(&mut self, ctx: &mut Ctx<'_>, out: &mut Vec<Effect>) {
        let schedule = self.timers.schedule;
        let is_due = |end: Timestamp, now| schedule.look_from(end.plus_millis(1), schedule.abort_interval_ms) <= now;
        while let Some((since, transactional_id)) = self.timers.refused.first().cloned()
            && is_due(since, ctx.now)
        {
            self.timers.refused.remove(&(since, transactional_id.clone()));
            if let Some(metadata) = self.known(&transactional_id).cloned() {
                // If it has ended meanwhile, that is not a timeout.
                self.timers.note(&transactional_id, &metadata);
            }
        }
        while let Some((end, transactional_id)) = self.timers.timeouts.first().cloned()
            && is_due(end, ctx.now)
        {
            let is_stuck = self.is_moving(&transactional_id);
            let aborted = if is_stuck { Ok(()) } else { self.fence_and_abort(ctx, &transactional_id, out) };
            if !is_stuck && aborted.is_ok() {
                continue;
            }
            if aborted.is_err_and(|error| error != ResponseError::UnknownServerError) {
                self.timers.refused.insert((ctx.now, transactional_id.clone()));
            }
            // No epoch is left to fence with: Kafka logs the failure and tries again and again. What is stuck it leaves out.
            self.timers.timeouts.remove(&(end, transactional_id));
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
