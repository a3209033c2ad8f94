//! An Apache Kafka cluster in one process, for tests and local development.

// outer
pub mod blocking;
mod broker;
mod builder;
#[cfg(feature = "cli")]
pub mod cli;

// shell
mod engine;
mod net;

// adapt
mod handlers;

// core
mod cluster;
mod fetch_plan;
mod held;
mod log;
mod logs;
mod state;

// ground
mod error;
mod ids;
mod time;
mod types;
mod wire;

pub use broker::MockBroker;
pub use builder::MockBrokerBuilder;
pub use engine::clock::Clock;
pub use error::StartError;
pub use time::Timestamp;
pub use types::{NodeId, PartitionId, ProducerId, TopicId, TopicName};
#[doc(hidden)]
pub use wire::{guard, schema};
