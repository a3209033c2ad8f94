//! An Apache Kafka cluster in one process, for tests and local development.

// ground
mod error;
mod ids;
mod time;
mod types;
mod wire;

// core
mod cluster;
mod log;
mod state;

// adapt
mod handlers;

pub use error::StartError;
pub use time::Timestamp;
pub use types::{NodeId, PartitionId, ProducerId, TopicId, TopicName};
#[doc(hidden)]
pub use wire::{guard, schema};
