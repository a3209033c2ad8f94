//! An async Apache Kafka client in pure Rust, on tokio.
//!
//! ```no_run
//! use async_kafka::{Kafka, Offset, Record};
//!
//! # async fn example() -> async_kafka::Result<()> {
//! let kafka = Kafka::builder("localhost:9092").connect().await?;
//!
//! let producer = kafka.producer().build().await?;
//! let delivery = producer.send(Record::to("orders").key("customer-7").value("two coffees")).await?;
//! println!("stored at offset {:?}", delivery.await?.offset);
//!
//! let consumer = kafka.assigned_consumer().assign("orders", 0, Offset::Earliest).build().await?;
//! while let Some(batch) = consumer.next_batch().await? {
//!     for record in batch.records() {
//!         println!("{}: {:?}", record.offset(), record.value());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What to know first
//!
//! - [`Producer::send`] returns when the producer has the record and its order is fixed; the [`Delivery`] that it returns
//!   resolves when the record is acknowledged. Dropping a delivery never takes a record back.
//! - An error about a record that was sent says whether it is [`Written::NotWritten`] or [`Written::MaybeWritten`].
//! - Every handle is `Clone + Send + Sync`, every future says what dropping it does, and nothing blocks in `Drop`.
//! - Every setting names Kafka's property, its unit and its default: [`ClientConfig`], [`ProducerConfig`],
//!   [`ConsumerConfig`].
//!
//! # The modules, from the outside to the wire
//!
//! `client` opens `producer` and `consumer`; both know the `cluster` (metadata, leaders, connections by broker), which uses
//! `conn` (one task per connection) on top of `wire` (frames, versions, messages). `batch` is the format of records.

mod batch;
mod client;
mod cluster;
mod codes;
mod config;
mod conn;
mod consumer;
mod error;
mod producer;
mod record;
mod retry;
mod wire;

pub use crate::{
    client::{Kafka, KafkaBuilder},
    codes::ErrorCode,
    config::{Acks, Assignor, ClientConfig, Compression, ConsumerConfig, GroupConfig, OffsetReset, ProducerConfig},
    conn::transport::{Address, Stream},
    consumer::{
        AssignedConsumer, AssignedConsumerBuilder, CommittedOffset, Consumer, ConsumerBatch, ConsumerBuilder,
        ConsumerRecord, Offset, Rebalance, RebalanceKind, RecordView,
    },
    error::{BatchError, CloseReason, Error, Result, Written},
    producer::{CloseReport, Delivery, Murmur2, Partitioner, Producer, ProducerBuilder, Refused, TrySendError},
    record::{Header, Record, RecordMetadata, Timestamp, TopicPartition},
    retry::Backoff,
};

#[doc(hidden)]
pub use crate::wire::{guard, schema};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
