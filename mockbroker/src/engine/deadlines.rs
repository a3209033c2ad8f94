//! Time: one sleeping task for the whole cluster, and what it does when it wakes.

use std::sync::Weak;

use super::{Engine, Shared};
use crate::handlers::table::Response;
use crate::handlers::{Effect, fetch};
use crate::state::State;
use crate::time::Timestamp;

/// The work that Kafka's brokers do by the clock.
#[derive(Debug)]
pub(super) struct Chores {
    /// `log.retention.check.interval.ms`, the first time after `log.initial.task.delay.ms`.
    next_retention: Timestamp,
    /// `producer.id.expiration.check.interval.ms`.
    next_producer_expiry: Timestamp,
}

impl Chores {
    pub(super) fn new(state: &State, now: Timestamp) -> Self {
        let settings = state.cluster.settings();
        Self {
            next_retention: now.plus_millis(settings.log_initial_task_delay_ms),
            next_producer_expiry: now.plus_millis(settings.producer_id_expiration_check_interval_ms),
        }
    }

    fn next_deadline(&self) -> Timestamp {
        self.next_retention.min(self.next_producer_expiry)
    }
}

impl Shared {
    /// The earliest instant at which `tick` has something to do.
    pub(super) fn next_deadline(&self) -> Timestamp {
        let held = self.state.held.next_deadline().unwrap_or(Timestamp::MAX);
        held.min(self.chores.next_deadline())
    }

    fn tick(&mut self, now: Timestamp) {
        for (ticket, answer) in fetch::expire(&mut self.state, now) {
            self.parked.answer(ticket, Response::Fetch(answer));
        }
        if self.chores.next_retention <= now {
            let interval_ms = self.state.cluster.settings().log_retention_check_interval_ms;
            self.chores.next_retention = now.plus_millis(interval_ms);
            let moved = self.state.retain(now);
            let effects = moved.into_iter().map(|(topic_id, partition)| Effect::PartitionMoved(topic_id, partition));
            self.carry_out(effects.collect(), now);
        }
        if self.chores.next_producer_expiry <= now {
            let settings = self.state.cluster.settings();
            let interval_ms = settings.producer_id_expiration_check_interval_ms;
            self.chores.next_producer_expiry = now.plus_millis(interval_ms);
            self.state.expire_producers(now);
        }
    }
}

impl Engine {
    /// Does all that is due.
    pub(super) fn tick(&self) {
        let now = self.now();
        let mut shared = self.lock();
        shared.tick(now);
        let next = shared.next_deadline();
        assert!(next > now, "a deadline is left at {next:?} after the tick of {now:?}");
    }

    /// Wakes `keep_time` if something is due before the instant it sleeps until.
    pub(super) fn rearm(&self, shared: &mut Shared) {
        if shared.next_deadline() < shared.armed {
            self.alarm.notify_one();
        }
    }

    /// Decides how long to sleep.
    fn arm(&self) -> Timestamp {
        let mut shared = self.lock();
        shared.armed = shared.next_deadline();
        shared.armed
    }
}

/// Keeps the time of `engine` for as long as it lives.
pub(crate) async fn keep_time(engine: Weak<Engine>) {
    loop {
        let Some(strong) = engine.upgrade() else { return };
        let deadline = strong.clock.instant_of(strong.arm());
        let alarmed = strong.alarm.notified();
        tokio::select! {
            biased;
            () = alarmed => {}
            () = sleep_until(deadline) => strong.tick(),
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
