//! `MockBroker`: the handle that a test holds.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::ask::{Group, Topic, Transaction};
use crate::builder::MockBrokerBuilder;
use crate::control::Node;
use crate::engine::Engine;
use crate::error::StartError;
use crate::fault::{FaultBuilder, GateBuilder, HeldLoading, HeldMarkers, Home, LoadingHome, MarkerHome, Scope};
use crate::journal::{Journal, Source};
use crate::net::{Connector, Listener, Registry};
use crate::snapshot::Snapshot;
use crate::types::NodeId;
use crate::wait::until;

/// A Kafka cluster in this process.
///
/// It lives on the tokio runtime that it was started on, has no thread of its own, and is gone when the last clone of this
/// handle is dropped: its ports are free at once, its connections close as soon as the runtime has run.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let broker = mockbroker::MockBroker::builder().topic("orders", 12).start().await;
/// println!("bootstrap.servers={}", broker.bootstrap_servers());
/// # }
/// ```
#[derive(Clone)]
pub struct MockBroker {
    alive: Arc<Alive>,
}

/// What is alive while a handle is.
pub(crate) struct Alive {
    pub(crate) engine: Arc<Engine>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) listeners: Vec<(NodeId, Listener)>,
    pub(crate) timekeeper: AbortHandle,
    pub(crate) idle_watch: AbortHandle,
    pub(crate) bootstrap_servers: String,
    /// What it was built with; the seed is known.
    pub(crate) builder: MockBrokerBuilder,
    pub(crate) connector: Connector,
}

impl MockBroker {
    /// Starts a cluster of one node on a free port of 127.0.0.1, in memory, with Kafka's defaults.
    ///
    /// # Panics
    ///
    /// With the text of the [`StartError`] if there is no tokio runtime or no port. [`MockBroker::try_start`] returns it.
    ///
    /// Dropping the future before it is ready starts nothing.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// As [`MockBroker::start`], with the error as a value.
    ///
    /// # Errors
    ///
    /// No tokio runtime, or no port to listen on.
    pub async fn try_start() -> Result<Self, StartError> {
        Self::builder().try_start().await
    }

    /// A cluster to be configured before it starts.
    pub fn builder() -> MockBrokerBuilder {
        MockBrokerBuilder::default()
    }

    pub(crate) fn new(alive: Alive) -> Self {
        Self { alive: Arc::new(alive) }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.alive.engine
    }

    /// `host:port` of every node, joined by commas: what a client takes as `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.alive.bootstrap_servers
    }

    /// Opens connections to a cluster that was built with [`MockBrokerBuilder::in_memory`]. Of any other it finds no node.
    pub fn connector(&self) -> Connector {
        self.alive.connector.clone()
    }

    /// The ids of the nodes, ascending.
    pub fn node_ids(&self) -> Vec<NodeId> {
        self.alive.listeners.iter().map(|(node, _)| *node).collect()
    }

    /// The seed of every id that this cluster gives out; with [`MockBrokerBuilder::seed`] it does so again.
    pub fn seed(&self) -> u64 {
        self.alive.builder.known_seed()
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.alive.registry.count()
    }

    /// How many requests wait for their answer: long polls.
    pub fn parked_request_count(&self) -> usize {
        self.alive.engine.parked()
    }

    /// Moves the time of a cluster that was built with [`Clock::manual`](crate::Clock::manual), and does all that falls
    /// due on the way in its order: long polls end, retention deletes.
    ///
    /// Awaited, it returns when the cluster is quiet, see [`Advance`]; without, it is done at once and answers are on their way.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use mockbroker::{Clock, MockBroker};
    /// use std::time::Duration;
    ///
    /// let broker = MockBroker::builder().clock(Clock::manual()).topic("orders", 1).start().await;
    /// broker.advance(Duration::from_secs(45)).await; // who has been silent for so long is no member any more
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the cluster lives by the real clock, which nobody moves. Awaited, if what fell due is not with its clients within the
    /// broker's patience: with its report.
    pub fn advance(&self, length: Duration) -> Advance {
        assert!(
            self.alive.engine.is_manual(),
            "this broker lives by the real clock: build it with .clock(Clock::manual()) to advance its time"
        );
        Advance { engine: Some(Arc::clone(&self.alive.engine)), length }
    }

    /// What clients have asked and what became of it. See [`Journal`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let broker = mockbroker::MockBroker::start().await;
    /// assert!(broker.journal().produce().topic("orders").is_empty());
    /// # }
    /// ```
    pub fn journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.alive.engine) as Arc<dyn Source>)
    }

    /// A group: its state, and waiters for it.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// let group = broker.group("billing").wait_stable(2).await;
    /// assert_eq!(group.members[0].assignment, [("orders".to_owned(), vec![0, 1])]);
    /// broker.group("billing").wait_committed("orders", 0, 42).await;
    /// # }
    /// ```
    pub fn group(&self, group_id: impl Into<String>) -> Group {
        Group::new(Arc::clone(&self.alive.engine), group_id.into())
    }

    /// A topic: its partitions with their records, and waiters for it.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// broker.topic("orders").partition(0).wait_log_end(3).await;
    /// let records = broker.topic("orders").partition(0).records();
    /// assert_eq!(records[0].value_str(), Some("first"));
    /// # }
    /// ```
    pub fn topic(&self, name: impl Into<String>) -> Topic {
        Topic::new(Arc::clone(&self.alive.engine), name.into())
    }

    /// The transaction of a transactional id: its state, and waiters for it.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// broker.transaction("payments-1").wait_state("CompleteCommit").await;
    /// # }
    /// ```
    pub fn transaction(&self, transactional_id: impl Into<String>) -> Transaction {
        Transaction::new(Arc::clone(&self.alive.engine), transactional_id.into())
    }

    /// Waits until so many connections are open, no more and no less. Safe to drop.
    ///
    /// # Panics
    ///
    /// If that takes longer than the broker's patience: with its report.
    pub async fn wait_connections(&self, count: usize) {
        let (engine, registry) = (&self.alive.engine, &self.alive.registry);
        let what = format!("{count} connections");
        until(&**engine, None, &what, || (registry.count() == count).then_some(())).await;
    }

    /// The state of the cluster and its last requests, for people: nodes, topics, groups, transactions, faults, connections.
    ///
    /// It is printed once when a test panics that holds this handle.
    pub fn report(&self) -> String {
        self.alive.engine.report_text()
    }

    /// Makes something go wrong with the requests of `scope`, once it is said when and what, and mounted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use mockbroker::{ApiKey, Fault, MockBroker, on};
    ///
    /// let broker = MockBroker::builder().topic("orders", 1).start().await;
    /// // The second write is done, and its answer is lost.
    /// let lost = broker.fault(on(ApiKey::Produce).topic("orders").nth(2)).after_apply(Fault::Disconnect).maybe().mount();
    /// // ... the code under test runs, and is told nothing ...
    /// assert_eq!(lost.hits(), 0); // here nobody wrote; without `maybe()` dropping the guard would fail the test
    /// # }
    /// ```
    pub fn fault(&self, scope: Scope) -> FaultBuilder {
        FaultBuilder::new(Arc::clone(&self.alive.engine) as Arc<dyn Home>, scope)
    }

    /// Holds the next request of `scope` at a gate until the test lets it go.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// use mockbroker::{ApiKey, on};
    ///
    /// let gate = broker.pause_next(on(ApiKey::EndTxn)).before_apply();
    /// // ... the code under test commits its transaction ...
    /// gate.entered().await; // the request is here, and nothing of it has happened
    /// gate.release();
    /// # }
    /// ```
    pub fn pause_next(&self, scope: Scope) -> GateBuilder {
        GateBuilder::new(Arc::clone(&self.alive.engine) as Arc<dyn Home>, scope)
    }

    /// Holds back the markers that end transactions, until the test lets them go one by one, or drops the guard.
    ///
    /// Kafka answers EndTxn when the end is decided, and writes the markers afterwards. In between, consumers that read
    /// committed records see nothing of the transaction, its offsets are pending, and its producer is told
    /// CONCURRENT_TRANSACTIONS when it goes on. That gap is there without this, too, and short.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// let held = broker.hold_markers();
    /// // ... the code under test commits a transaction over two partitions ...
    /// held.wait(3).await; // two markers, and the completion
    /// held.release_next(); // the first partition has its marker, the second has not
    /// held.fail_next(6); // NOT_LEADER_OR_FOLLOWER: it is still pending
    /// held.release_all();
    /// # }
    /// ```
    pub fn hold_markers(&self) -> HeldMarkers {
        HeldMarkers::new(Arc::clone(&self.alive.engine) as Arc<dyn MarkerHome>)
    }

    /// Keeps coordinators that begin their work from reading their log, until the test lets them, or drops the guard.
    ///
    /// When another node comes to lead a partition of `__consumer_offsets` or `__transaction_state` (an election, a
    /// reassignment, a crash, [`move_group_coordinator`](Self::move_group_coordinator)), it coordinates what the partition holds, and has
    /// to read it first. Until it has, it answers COORDINATOR_LOAD_IN_PROGRESS (14), but for heartbeats of classic members, which
    /// it takes. That gap is there without this, too: it ends after the requests that were on their way. Kafka takes
    /// some milliseconds, or minutes if the log is long.
    ///
    /// ```no_run
    /// # async fn test(broker: mockbroker::MockBroker) {
    /// let held = broker.hold_loading();
    /// broker.move_group_coordinator("billing", 2);
    /// held.wait(1).await; // node 2 leads, and knows nothing
    /// // ... the code under test is told to come back ...
    /// held.release_all();
    /// # }
    /// ```
    pub fn hold_loading(&self) -> HeldLoading {
        HeldLoading::new(Arc::clone(&self.alive.engine) as Arc<dyn LoadingHome>)
    }

    /// What a test may do to one node: crash it, bring it back.
    ///
    /// # Panics
    ///
    /// If there is no node with this id; [`MockBroker::node_ids`] lists them, by default from 0 on.
    pub fn node(&self, id: impl Into<NodeId>) -> Node {
        Node::new(&self.alive, id.into())
    }

    /// Everything that the cluster has now, to be started again as often as a test wants.
    pub fn snapshot(&self) -> Snapshot {
        let (state, now) = self.alive.engine.fork();
        Snapshot::new(state, self.alive.builder.clone(), now)
    }

    /// Panics if a request ended in a panic of its handler: a bug of this crate, which a test should not pass over.
    pub fn assert_healthy(&self) {
        let panics = self.alive.engine.panics();
        assert_eq!(panics, 0, "{panics} requests made a handler panic: a bug of mockbroker, see the panic's message");
    }

    /// Closes the ports and every connection, for all clones of this handle, and returns when the last connection is gone.
    ///
    /// Dropping the future half-way leaves the rest to the runtime.
    pub async fn shutdown(self) {
        self.alive.stop();
        self.alive.registry.all_ended().await;
    }
}

/// Time that is about to move. Made by [`MockBroker::advance`].
///
/// - Awaited: requests that have arrived are handled first. Then all that falls due is carried out in its order, each answer
///   handed to its socket or stream before time goes on. It returns when no answer is on its way and no request comes any
///   more. (What clients sent on another thread, or from another process, may still be on its way to the broker.)
/// - Dropped, as by `broker.advance(length);`: time has moved, and answers that fell due are on their way.
#[derive(Debug)]
pub struct Advance {
    /// `None` once it is awaited.
    engine: Option<Arc<Engine>>,
    length: Duration,
}

impl IntoFuture for Advance {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        let (engine, length) = (self.engine.take(), self.length);
        Box::pin(async move {
            if let Some(engine) = engine {
                engine.advance_quietly(length).await;
            }
        })
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.advance(self.length);
        }
    }
}

impl fmt::Debug for MockBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockBroker")
            .field("bootstrap_servers", &self.bootstrap_servers())
            .field("seed", &self.seed())
            .finish_non_exhaustive()
    }
}

/// A test that panics tells what its broker was doing.
impl Drop for MockBroker {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(report) = self.alive.engine.report_if_new()
        {
            eprintln!("{report}");
        }
    }
}

impl Alive {
    fn stop(&self) {
        self.timekeeper.abort();
        self.idle_watch.abort();
        for (_, listener) in &self.listeners {
            listener.close();
        }
        self.registry.close_all();
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.stop();
    }
}
