//! The engine: the one lock around the state, time, and the requests that wait.
//!
//! `submit` takes a request to its handler and carries out what the handler asks for; `tick` does what has become due. Nothing
//! awaits while the lock is held, and no byte of a record batch is looked at under it.

pub(crate) mod changes;
pub(crate) mod clock;
mod deadlines;
mod dispatch;
mod effects;
mod isolation;
mod loading;
mod markers;
mod nodes;
mod operations;
mod parked;
pub(crate) mod quiet;
mod recorder;
mod report;
pub(crate) mod steering;
#[cfg(test)]
mod tests;
mod unhelpful;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use self::changes::{Changes, Locked};
use self::deadlines::Chores;
pub(crate) use self::deadlines::keep_time;
use self::parked::Parked;
use self::quiet::{Due, OnItsWay};
use self::recorder::Recorder;
use self::steering::{Afterwards, HeldRequest};
use self::unhelpful::Unhelpful;
use crate::error::Close;
use crate::fault::Faults;
use crate::handlers::table::Response;
use crate::state::State;
use crate::time::Timestamp;
use crate::types::{ConnectionId, NodeId, Ticket};

/// A whole cluster, alive.
#[derive(Debug)]
pub(crate) struct Engine {
    shared: Mutex<Shared>,
    clock: clock::Running,
    /// Wakes `keep_time` when an earlier deadline has come up.
    alarm: Notify,
    /// Requests whose handler panicked: bugs of ours.
    panics: AtomicUsize,
    /// Whether any fault or gate is mounted: a request of a cluster without one pays for this look and no more.
    is_steered: AtomicBool,
    /// How many steps of transactions are pending, for as long as somebody waits for them.
    pending_steps: watch::Sender<usize>,
    recorder: Recorder,
    /// What clients have not got yet.
    on_its_way: Arc<OnItsWay>,
    /// Wakes the waiters of the test.
    changes: Changes,
    /// How long they wait, in real time.
    patience: Duration,
    /// When the cluster came to be, by its clock.
    started: Timestamp,
    /// Whether the report has been printed, which is done once.
    is_reported: AtomicBool,
}

/// What of the engine itself, not of the cluster, is up to whoever starts it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether requests are kept for the test to ask about.
    pub(crate) journal: bool,
    /// How long waiters wait, in real time.
    pub(crate) patience: Duration,
    /// By which seed it is unhelpful, if it is.
    pub(crate) unhelpful: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { journal: true, patience: Duration::from_secs(10), unhelpful: None }
    }
}

/// What the lock guards.
#[derive(Debug)]
struct Shared {
    state: State,
    parked: Parked,
    chores: Chores,
    faults: Faults,
    /// As unhelpful as Kafka may be, if the test wants it so.
    unhelpful: Option<Unhelpful>,
    /// The deadline that `keep_time` sleeps until.
    armed: Timestamp,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The node whose listener took the connection.
    pub(crate) node: NodeId,
    /// The connection.
    pub(crate) connection: ConnectionId,
    /// The other end of it.
    pub(crate) client_address: IpAddr,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is answered.
    Answer(Response),
    /// It waits.
    Parked(Pending),
    /// It has no answer.
    Nothing,
    /// Its connection ends.
    Close(Close),
    /// The same, after this long.
    Late(Box<Self>, Duration),
    /// Nothing ever comes, and the connection stays.
    Silent,
    /// It is held before it is applied; [`Engine::resume`] goes on with it.
    Held(Box<HeldRequest>),
    /// Something happens to its answer.
    Steered(Box<Self>, Box<Afterwards>),
}

/// A request that waits. Dropping it gives the request up, as Kafka does when a connection is gone.
#[derive(Debug)]
pub(crate) struct Pending {
    engine: Arc<Engine>,
    ticket: Ticket,
    answer: oneshot::Receiver<(Response, Due)>,
}

impl Engine {
    /// An engine over `state` that lives by `clock`.
    pub(crate) fn new(mut state: State, clock: &clock::Clock, options: &Options) -> Arc<Self> {
        let clock = clock::Running::start(clock);
        let loaded = state.load_groups(clock.now());
        debug_assert!(loaded.answers.is_empty() && loaded.moved.is_empty(), "nobody waits yet: {loaded:?}");
        state.begin_transactions(clock.now());
        Self::over(state, clock, options)
    }

    /// An engine over `state`, which was another's until now.
    pub(crate) fn go_on(state: State, clock: &clock::Clock, options: &Options) -> Arc<Self> {
        Self::over(state, clock::Running::start(clock), options)
    }

    /// What the state is now, without anybody who waits; and when now is.
    pub(crate) fn fork(&self) -> (State, Timestamp) {
        let now = self.now();
        (self.look().state.fork(), now)
    }

    fn over(state: State, clock: clock::Running, options: &Options) -> Arc<Self> {
        let (chores, faults) = (Chores::new(&state, clock.now()), Faults::new(state.ids.seed()));
        let on_its_way = Arc::<OnItsWay>::default();
        Arc::new(Self {
            shared: Mutex::new(Shared {
                state,
                parked: Parked::new(Arc::clone(&on_its_way)),
                chores,
                faults,
                unhelpful: options.unhelpful.map(Unhelpful::new),
                armed: Timestamp::MAX,
            }),
            started: clock.now(),
            clock,
            alarm: Notify::new(),
            panics: AtomicUsize::new(0),
            is_steered: AtomicBool::new(options.unhelpful.is_some()),
            pending_steps: watch::Sender::default(),
            recorder: Recorder::new(options.journal),
            on_its_way,
            changes: Changes::default(),
            patience: options.patience,
            is_reported: AtomicBool::new(false),
        })
    }

    /// The present by the broker's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many requests ended in a panic of their handler.
    pub(crate) fn panics(&self) -> usize {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many requests wait for their answer.
    pub(crate) fn parked(&self) -> usize {
        self.look().parked.count()
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.look().state)
    }

    /// Moves a manual clock by `length`, and does all that falls due on the way, in its order.
    pub(crate) fn advance(&self, length: Duration) {
        let target = self.now() + length;
        loop {
            let next = self.lock().next_deadline();
            if next > target {
                break;
            }
            self.move_to(next);
        }
        self.clock.move_to(target);
    }

    /// Moves a manual clock to the next deadline, and does what falls due there.
    fn move_to(&self, deadline: Timestamp) {
        self.clock.move_to(deadline);
        if self.tick() {
            self.clean();
        }
    }

    /// Whether the clock is moved by hand.
    pub(crate) fn is_manual(&self) -> bool {
        self.clock.is_manual()
    }

    /// The lock, to change something.
    fn lock(&self) -> Locked<'_> {
        Locked::new(self.look(), &self.changes)
    }

    /// The lock, only to look.
    fn look(&self) -> MutexGuard<'_, Shared> {
        // A handler that panicked is a bug of ours, counted and reported; the other connections go on.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Waits for the answer. `None` if it will never come: the broker is being dropped. Safe to drop and call again.
    pub(crate) async fn answer(&mut self) -> Option<(Response, Due)> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut shared = self.engine.lock();
        shared.parked.forget(self.ticket);
        shared.state.give_up(self.ticket);
    }
}
