//! An Apache Kafka 4.x cluster in one process, for tests and local development.
//!
//! Any Kafka client in any language can talk to it over TCP; it does what Kafka does, down to the error codes, and says
//! so only of what it does (`docs/COMPATIBILITY.md` in the repository).
//!
//! # Start
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use mockbroker::MockBroker;
//!
//! let broker = MockBroker::start().await; // one node, a free port, in memory
//! let bootstrap_servers = broker.bootstrap_servers(); // "127.0.0.1:40123": give it to any client
//! # let _ = bootstrap_servers;
//! # }
//! ```
//!
//! The cluster lives on the runtime of the test and is gone with it: no thread, no file, no port is left. Start one for
//! each test; hundreds live side by side. Code without tokio takes [`blocking::MockBroker`].
//!
//! # Shape it
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use mockbroker::{Clock, MockBroker};
//! use std::time::Duration;
//!
//! let broker = MockBroker::builder()
//!     .nodes(3)
//!     .topic("orders", 12)
//!     .config("message.max.bytes", "2000") // any broker property, by Kafka's name
//!     .clock(Clock::manual())
//!     .seed(7)
//!     .start()
//!     .await;
//! broker.advance(Duration::from_secs(45)).await; // long polls end, retention deletes, without waiting
//! broker.assert_healthy();
//! # }
//! ```
//!
//! # Break it
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use mockbroker::{ApiKey, Fault, MockBroker, on};
//!
//! let broker = MockBroker::builder().topic("orders", 1).start().await;
//! // The second write is done, and its answer is lost. Dropping the guard fails the test if it never happened.
//! let lost = broker.fault(on(ApiKey::Produce).topic("orders").nth(2)).after_apply(Fault::Disconnect);
//! let lost = lost.named("answer lost").maybe().mount();
//! broker.node(0).crash(); // its connections break, and are refused
//! broker.node(0).restart(); // it has all that it had written
//! // The next commit of offsets waits until the test lets it go.
//! let gate = broker.pause_next(on(ApiKey::OffsetCommit).group("billing")).before_apply();
//! # drop(lost);
//! gate.release();
//! # }
//! ```
//!
//! It is always said whether something goes wrong before the broker has done what is asked or after; a [`Scope`] says to
//! which requests, and a [`FaultGuard`] for how long.
//!
//! # Ask it
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use mockbroker::{MockBroker, SeedBatch};
//!
//! let broker = MockBroker::builder().topic("orders", 1).start().await;
//! broker.topic("orders").partition(0).write(SeedBatch::of(["first"])); // without a client
//! broker.topic("orders").partition(0).wait_log_end(1).await; // a state, not a time
//! assert_eq!(broker.topic("orders").partition(0).records()[0].value_str(), Some("first"));
//! assert_eq!(broker.group("billing").state(), None); // members, assignments, offsets; `wait_stable(2)`
//! assert_eq!(broker.journal().produce().topic("orders").count(), 0); // what clients asked, and what became of it
//! println!("{}", broker.report()); // all of it in words; a test that panics prints it
//! # }
//! ```
//!
//! # Hold a transaction half-way
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let broker = mockbroker::MockBroker::builder().topic("orders", 2).start().await;
//! let held = broker.hold_markers();
//! // ... the code under test commits a transaction, and is answered; its consumers see nothing of it yet ...
//! held.release_next(); // the marker of one partition is written: what it holds is visible, the rest is not
//! held.release_all(); // all of it, and the transaction is complete
//! # }
//! ```
//!
//! # Be hard on it
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // All that Kafka may do and seldom does, by a seed that the report of a failed test tells.
//! let broker = mockbroker::MockBroker::builder().nodes(3).topic("orders", 6).unhelpful(7).start().await;
//! # drop(broker);
//! # }
//! ```
//!
//! # Where to read on
//!
//! In reading order, from a test's hand to the log:
//!
//! - the handle: `builder`, `broker`, `control` and `operations` (what a test does), `ask` and `inspect` (what is so)
//! - the way of a request: `net` (frames off a connection), `wire` (bytes to requests), `engine` (the one lock, time), `fault`
//!   (what goes wrong), `journal` (what was asked), `handlers` (one file per API)
//! - the cluster itself: `state`, `cluster` (topics, configs, fetch sessions), `log` (record batches and their rules), `group`
//!   (members and their offsets), `txn` (transactions)

// outer
mod accidents;
mod ask;
pub mod blocking;
mod broker;
mod builder;
#[cfg(feature = "cli")]
pub mod cli;
mod control;
#[cfg(feature = "control")]
mod http;
mod operations;
mod snapshot;

// shell
mod engine;
mod fault;
mod journal;
mod net;
mod wait;

// adapt
mod handlers;
mod inspect;

// core
mod cluster;
mod fetch_plan;
mod group;
mod held;
mod log;
mod logs;
#[cfg(planted_bugs)]
mod planted;
mod state;
mod txn;
mod unacked;

// ground
mod error;
mod ids;
mod time;
mod types;
mod wire;

pub use accidents::Accidents;
pub use ask::{Codec, Group, Partition, SeedBatch, SeedRecord, Topic, Transaction};
pub use broker::{Advance, MockBroker};
pub use builder::MockBrokerBuilder;
pub use control::{HeldReplica, Isolated, LineGuard, Node, Replica};
pub use engine::clock::Clock;
pub use error::StartError;
pub use fault::{
    Edit, Fault, FaultBuilder, FaultGuard, Gate, GateBuilder, HeldLoading, HeldMarkers, Mount, PendingLoad,
    PendingMarker, Scope, on, on_any,
};
pub use inspect::{
    GroupMember, GroupOffset, GroupState, LogBatch, LogHeader, LogRecord, MarkerKind, PartitionState, PendingOffset,
    TransactionState,
};
pub use journal::{Decision, Entry, Journal};
/// The types of all requests and answers, for [`Fault::edit`]: those of the crate `kafka-protocol`.
pub use kafka_protocol::messages;
pub use net::{Connector, MemoryStream};
pub use snapshot::Snapshot;
pub use time::Timestamp;
pub use types::{ConnectionId, NodeId, PartitionId, ProducerId, TopicId, TopicName};
pub use wire::api_key::ApiKey;
pub use wire::value::Value;
#[doc(hidden)]
pub use wire::{guard, schema};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
