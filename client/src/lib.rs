//! An async, pure-Rust Apache Kafka client.

mod wire;

#[doc(hidden)]
pub use wire::{guard, schema};
