//! Time: one sleeping task for the whole cluster, and what it does when it wakes.

use std::sync::Weak;

use super::{Engine, Shared};
use crate::handlers::table::Response;
use crate::handlers::{Effect, fetch, follow, produce};
use crate::state::{Changed, State};
use crate::time::Timestamp;
use crate::types::{PartitionId, TopicId};

/// The work that Kafka's brokers do by the clock.
#[derive(Debug)]
pub(super) struct Chores {
    /// `log.retention.check.interval.ms`, the first time after `log.initial.task.delay.ms`.
    next_retention: Timestamp,
    /// `producer.id.expiration.check.interval.ms`.
    next_producer_expiry: Timestamp,
    /// When the cleaner last found nothing to do. It looks again after `log.cleaner.backoff.ms`, which may change.
    last_cleaning: Timestamp,
    /// A cleaner is at work.
    is_cleaning: bool,
    /// When leaders last looked for replicas that are too far behind, or when there last were none.
    last_look_at_replicas: Timestamp,
}

impl Chores {
    pub(super) fn new(state: &State, now: Timestamp) -> Self {
        let settings = state.cluster.settings();
        Self {
            next_retention: now.plus_millis(settings.log_initial_task_delay_ms),
            next_producer_expiry: now.plus_millis(settings.producer_id_expiration_check_interval_ms),
            last_cleaning: now,
            is_cleaning: false,
            last_look_at_replicas: now,
        }
    }

    fn next_look_at_replicas(&self, state: &State) -> Timestamp {
        state.cluster.next_look_at_replicas(self.last_look_at_replicas)
    }

    /// Some replica may lack something from now on.
    pub(super) fn begin_looking_at_replicas(&mut self, now: Timestamp) {
        self.last_look_at_replicas = now;
    }

    fn next_deadline(&self, state: &State) -> Timestamp {
        let chores = self.next_retention.min(self.next_producer_expiry).min(self.next_cleaning(state));
        chores.min(self.next_look_at_replicas(state)).min(state.next_fencing())
    }

    /// Never while a cleaner is at work, nor without `log.cleaner.enable`, nor without anything to compact: a test that
    /// advances its clock by years should not pay for every look at nothing.
    fn next_cleaning(&self, state: &State) -> Timestamp {
        let settings = state.cluster.settings();
        if self.is_cleaning || !settings.log_cleaner_enable || !state.cluster.topics().any_is_compacted() {
            return Timestamp::MAX;
        }
        self.last_cleaning.plus_millis(settings.log_cleaner_backoff_ms.max(1))
    }
}

impl Shared {
    /// The earliest instant at which `tick` has something to do.
    pub(super) fn next_deadline(&self) -> Timestamp {
        let next = self.state.next_deadline().min(self.chores.next_deadline(&self.state));
        if self.state.is_whole() { next } else { next.min(self.state.next_deadline_alone()) }
    }

    /// Does what is due of what requests, groups and transactions wait for.
    pub(super) fn tick_requests(&mut self, now: Timestamp) {
        for (ticket, answer) in fetch::expire(&mut self.state, now) {
            self.parked.answer(ticket, Response::Fetch(answer));
        }
        for (ticket, answer) in produce::expire(&mut self.state, now) {
            self.parked.answer(ticket, Response::Produce(answer));
        }
        if self.state.groups.next_deadline().is_some_and(|deadline| deadline <= now) {
            let outcome = self.state.expire_groups(now);
            self.carry_out(follow(outcome).collect(), now);
        }
        if self.state.transactions.next_deadline().is_some_and(|deadline| deadline <= now) {
            let moved = self.state.expire_transactions(now);
            self.tell_moved(moved, now);
        }
    }

    fn tick(&mut self, now: Timestamp) {
        self.tick_requests(now);
        self.tick_alone(now);
        if self.state.next_fencing() <= now {
            let changed = self.state.fence_isolated(now);
            self.tell_changed(changed, now);
        }
        if self.chores.next_look_at_replicas(&self.state) <= now {
            self.chores.last_look_at_replicas = now;
            let changed = self.state.shrink_in_sync(now);
            self.tell_changed(changed, now);
        }
        if self.chores.next_retention <= now {
            let interval_ms = self.state.cluster.settings().log_retention_check_interval_ms;
            self.chores.next_retention = now.plus_millis(interval_ms);
            let moved = self.state.retain(now);
            self.tell_moved(moved, now);
        }
        if self.chores.next_producer_expiry <= now {
            let settings = self.state.cluster.settings();
            let interval_ms = settings.producer_id_expiration_check_interval_ms;
            self.chores.next_producer_expiry = now.plus_millis(interval_ms);
            self.state.expire_producers(now);
        }
    }

    /// Does what comes a moment after the answers: coordinators read what they lead, and the markers of transactions that have
    /// been decided are written, now that whoever decided has been answered.
    fn follow_up(&mut self, now: Timestamp) {
        let loaded = self.state.finish_loading(now);
        self.carry_out(follow(loaded).collect(), now);
        let moved = self.state.write_markers(now);
        self.tell_moved(moved, now);
    }

    pub(super) fn tell_moved(&mut self, moved: Vec<(TopicId, PartitionId)>, now: Timestamp) {
        let effects = moved.into_iter().map(|(topic_id, partition)| Effect::PartitionMoved(topic_id, partition));
        self.carry_out(effects.collect(), now);
    }

    /// Tells everybody of partitions that are led, or in sync, otherwise than before.
    pub(super) fn tell_changed(&mut self, changed: Changed, now: Timestamp) {
        let leaders = changed.leaders.into_iter().map(|(topic_id, id)| Effect::LeaderMoved(topic_id, id));
        let in_sync = changed.in_sync.into_iter().map(|(topic_id, id)| Effect::PartitionMoved(topic_id, id));
        self.carry_out(leaders.chain(in_sync).collect(), now);
    }

    /// Whether the cleaner is to start now; it then counts as at work.
    fn starts_cleaning(&mut self, now: Timestamp) -> bool {
        let starts = self.chores.next_cleaning(&self.state) <= now;
        self.chores.is_cleaning |= starts;
        starts
    }

    /// The cleaner found nothing more to do: retention of the compacted logs is its work too, and then it rests.
    fn finish_cleaning(&mut self, now: Timestamp) {
        let moved = self.state.retain_compacted(now);
        self.tell_moved(moved, now);
        self.chores.last_cleaning = now;
        self.chores.is_cleaning = false;
    }
}

impl Engine {
    /// Does all that is due, but for the cleaning of logs. Returns whether that is due as well: the caller then calls
    /// [`Engine::clean`], here or elsewhere.
    #[must_use]
    pub(super) fn tick(&self) -> bool {
        let now = self.now();
        let mut shared = self.lock();
        shared.tick(now);
        shared.follow_up(now);
        if shared.next_deadline() <= now {
            // A coordinator that begins where an isolated one was given up may have read what is overdue.
            shared.tick(now);
        }
        self.count_steps(&shared);
        let cleans = shared.starts_cleaning(now);
        let next = shared.next_deadline();
        assert!(next > now, "a deadline is left at {next:?} after the tick of {now:?}");
        cleans
    }

    /// Compacts every log that is dirty enough, the dirtiest first (`LogCleaner.CleanerThread`). The lock is held to share
    /// segments and to swap them; what is read, rewritten and dropped is not under it.
    pub(super) fn clean(&self) {
        loop {
            let now = self.now();
            let Some(round) = self.lock().state.begin_cleaning(now) else { break };
            let cleaned = round.run();
            let garbage = self.lock().state.logs.swap_cleaned(cleaned);
            drop(garbage);
        }
        let mut shared = self.lock();
        shared.finish_cleaning(self.now());
        self.rearm(&mut shared);
    }

    /// Does what a request has made due at once, and wakes `keep_time` if something is due before the instant it sleeps until.
    pub(super) fn rearm(&self, shared: &mut Shared) {
        let now = self.now();
        if shared.next_deadline() <= now {
            shared.tick(now);
        }
        self.count_steps(shared);
        if shared.next_deadline() < shared.armed || shared.state.has_markers() || shared.state.has_loads() {
            self.alarm.notify_one();
        }
    }

    /// Does what was left for after the answers.
    pub(super) fn follow_up_now(&self) {
        let mut shared = self.lock();
        if shared.state.has_markers() || shared.state.has_loads() {
            shared.follow_up(self.now());
            self.rearm(&mut shared);
        }
    }

    /// Does what was left for after the answers, and decides how long to sleep.
    fn arm(&self) -> Timestamp {
        let mut shared = self.lock();
        shared.follow_up(self.now());
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
            () = sleep_until(deadline) => {
                if strong.tick() {
                    // Cleaning takes as long as there is data: it must not hold up the time of the cluster.
                    tokio::task::spawn_blocking(move || strong.clean());
                }
            }
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
