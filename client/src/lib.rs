//! An async, pure-Rust Apache Kafka client.

pub mod codes;
pub mod config;
pub mod error;
pub mod record;
pub mod retry;
mod batch;
mod cluster;
mod conn;
mod wire;

pub use crate::{config::Acks, error::{Error,Result}, record::Record};
