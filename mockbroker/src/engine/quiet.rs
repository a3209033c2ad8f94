//! Quiet: when all that fell due is with its client. What an awaited `advance` waits for.
//!
//! What is due is counted, not looked for: an answer from the moment it is made until it is written, a sleeper from the
//! instant that it sleeps until. What has only just been sent to the broker cannot be counted; for that the runtime is given
//! its turns until nothing comes any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::Engine;
use crate::time::Timestamp;
use crate::wait::within_patience;

/// After so many turns of the runtime without a request none is on its way. A turn polls its sockets.
const CALM_TURNS: usize = 16;
/// The same where other threads have the sockets: a turn is no more than a moment then.
const CALM_MOMENTS: usize = 1000;
/// Clients that never stop asking are not waited for any longer.
const MOST_TURNS: usize = 20_000;

/// What is on its way to clients.
#[derive(Debug, Default)]
pub(crate) struct OnItsWay {
    answers: AtomicUsize,
    /// How many sleep until when.
    sleepers: Mutex<BTreeMap<Timestamp, usize>>,
    one_less: Notify,
    /// How many requests have been submitted.
    submitted: AtomicU64,
}

/// One answer that is on its way. It is with its client, or will never be, when this is dropped.
#[derive(Debug)]
pub(crate) struct Due(Arc<OnItsWay>);

/// Somebody who sleeps.
struct Sleeper<'a>(&'a OnItsWay, Timestamp);

impl OnItsWay {
    /// Another answer is on its way.
    pub(super) fn begin(self: &Arc<Self>) -> Due {
        self.answers.fetch_add(1, Ordering::SeqCst);
        Due(Arc::clone(self))
    }

    /// Notes a request.
    #[inline]
    pub(super) fn submit(&self) {
        self.submitted.fetch_add(1, Ordering::Relaxed);
    }

    fn sleeper(&self, until: Timestamp) -> Sleeper<'_> {
        *self.sleepers().entry(until).or_default() += 1;
        Sleeper(self, until)
    }

    /// When the next sleeper wakes.
    fn next(&self) -> Timestamp {
        self.sleepers().first_key_value().map_or(Timestamp::MAX, |(until, _)| *until)
    }

    fn is_none(&self, now: Timestamp) -> bool {
        self.answers.load(Ordering::SeqCst) == 0 && self.next() > now
    }

    fn sleepers(&self) -> MutexGuard<'_, BTreeMap<Timestamp, usize>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        self.0.answers.fetch_sub(1, Ordering::SeqCst);
        self.0.one_less.notify_waiters();
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.0.sleepers();
        if let Some(count) = sleepers.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                sleepers.remove(&self.1);
            }
        }
        drop(sleepers);
        self.0.one_less.notify_waiters();
    }
}

impl Engine {
    /// Waits until `deadline` by the broker's clock. What follows from it counts as on its way while the result is kept.
    pub(crate) async fn sleep_until(&self, deadline: Timestamp) -> Due {
        let sleeper = self.on_its_way.sleeper(deadline);
        self.clock.sleep_until(deadline).await;
        let due = self.on_its_way.begin();
        drop(sleeper);
        due
    }

    /// As [`Engine::advance`], but each thing that falls due is with its client before time goes on.
    pub(crate) async fn advance_quietly(&self, length: Duration) {
        self.let_requests_arrive().await;
        let target = self.now() + length;
        loop {
            self.settle().await;
            let next = self.lock().next_deadline().min(self.on_its_way.next());
            if next > target {
                break;
            }
            self.move_to(next);
        }
        self.clock.move_to(target);
        self.settle().await;
        self.let_requests_arrive().await;
    }

    /// Waits until nothing that is due is on its way, and does what was left for after the answers.
    async fn settle(&self) {
        loop {
            let settled = async {
                loop {
                    let one_less = self.on_its_way.one_less.notified();
                    tokio::pin!(one_less);
                    one_less.as_mut().enable();
                    if self.on_its_way.is_none(self.now()) {
                        return;
                    }
                    one_less.await;
                }
            };
            within_patience(self, "what fell due to be with its clients", settled).await;
            self.follow_up_now();
            if self.on_its_way.is_none(self.now()) {
                return;
            }
        }
    }

    /// Gives the runtime its turns until no request comes any more.
    async fn let_requests_arrive(&self) {
        let is_alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        let enough = if is_alone { CALM_TURNS } else { CALM_MOMENTS };
        let (mut seen, mut calm) = (self.on_its_way.submitted.load(Ordering::Relaxed), 0);
        for _ in 0..MOST_TURNS {
            yield_now().await;
            let submitted = self.on_its_way.submitted.load(Ordering::Relaxed);
            calm = if submitted == seen && self.on_its_way.is_none(self.now()) { calm + 1 } else { 0 };
            seen = submitted;
            if calm == enough {
                return;
            }
        }
    }
}
