//! An async, pure-Rust Apache Kafka client.
