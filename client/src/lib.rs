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
//! # In a group
//!
//! Members of a group share its topics' partitions, and what one of them commits the next one goes on from.
//!
//! ```no_run
//! use async_kafka::{Kafka, OffsetReset};
//!
//! # async fn example() -> async_kafka::Result<()> {
//! # let kafka = Kafka::builder("localhost:9092").connect().await?;
//! let builder = kafka.consumer("billing").topics(["orders"]).auto_offset_reset(OffsetReset::Earliest);
//! let consumer = builder.auto_commit_interval(None).build().await?; // commits are ours
//! while let Some(record) = consumer.recv().await? {
//!     // ... work ...
//!     consumer.commit_record(&record).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - Asking for more tells that the program is done with what it was given: by that the automatic commits go, and the
//!   rebalances, which wait for it. [`Consumer`] names the ways to commit.
//! - [`Consumer::run_partitions`] gives each partition a stream of its own, which ends when the partition goes.
//! - [`ConsumerBuilder::on_rebalance`] tells what comes and goes, in time for a last commit.
//!
//! # Administration
//!
//! ```no_run
//! use async_kafka::{Kafka, admin::NewTopic};
//!
//! # async fn example() -> async_kafka::Result<()> {
//! # let kafka = Kafka::builder("localhost:9092").connect().await?;
//! let wanted = [NewTopic::new("orders").partitions(6), NewTopic::new("bills")];
//! for (topic, result) in kafka.admin().create_topics(wanted).await {
//!     println!("{topic}: {result:?}"); // each has a result of its own
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`Kafka::metrics`] says what was done so far, [`Kafka::events`] what happens; both cover all that was opened from it.
//!
//! # What to know first
//!
//! - [`Producer::send`] returns when the producer has the record and its order is fixed; the [`Delivery`] that it returns
//!   resolves when the record is acknowledged. Dropping a delivery never takes a record back.
//! - An error about a record that was sent says whether it is [`Written::NotWritten`] or [`Written::MaybeWritten`].
//! - Every handle is `Clone + Send + Sync`, every future says what dropping it does, and nothing blocks in `Drop`.
//! - Every setting names Kafka's property, its unit and its default: [`ClientConfig`], [`ProducerConfig`],
//!   [`ConsumerConfig`], [`GroupConfig`].
//! - The producer is idempotent: a lost answer neither doubles nor reorders what it writes, unless it is told otherwise.
//!
//! # Secured clusters, and settings by Kafka's names
//!
//! - [`KafkaBuilder::tls`] and [`KafkaBuilder::sasl`]: [`Tls`] says whom to trust, [`Sasl`] as whom to log in. Whoever is refused
//!   is told why, at once and with what to do: [`Error::Tls`], [`Error::Authentication`].
//! - [`Kafka::from_properties`] takes the names of Java's clients and of librdkafka, and says what became of each.
//! - Features, all on by default: `tls`, `sasl`, and `gzip`, `snappy`, `lz4`, `zstd`.
//!
//! # The modules, from the outside to the wire
//!
//! `client` opens `producer` and `consumer`; both know the `cluster` (metadata, leaders, connections by broker), which uses
//! `conn` (one task per connection) on top of `wire` (frames, versions, messages). `batch` is the format of records.

pub mod admin;
mod batch;
mod client;
mod cluster;
mod codes;
mod config;
mod conn;
mod consumer;
mod error;
mod exactly_once;
mod metrics;
#[cfg(planted_bugs)]
mod planted;
mod producer;
mod progress;
mod properties;
mod record;
mod retry;
mod security;
pub mod store;
mod wire;

#[cfg(feature = "tls")]
pub use crate::security::Tls;
#[cfg(feature = "sasl")]
pub use crate::security::{OAuthToken, Sasl};
pub use crate::{
    admin::Admin,
    client::{FromProperties, Kafka, KafkaBuilder},
    codes::ErrorCode,
    config::{
        Acks, Assignor, ClientConfig, Compression, ConsumerConfig, GroupConfig, GroupProtocol, IsolationLevel,
        OffsetReset, ProducerConfig,
    },
    conn::transport::{Address, Stream},
    consumer::{
        AssignedConsumer, AssignedConsumerBuilder, CommittedOffset, Consumer, ConsumerBatch, ConsumerBuilder,
        ConsumerRecord, ConsumerStats, Offset, PartitionStream, Rebalance, RebalanceKind, RecordView,
    },
    error::{BatchError, CloseReason, Error, Result, Written},
    exactly_once::{ExactlyOnce, ExactlyOnceError, Failure, OnError},
    metrics::{Event, Events, Metrics, ProducerMetrics, RequestMetrics},
    producer::{
        CloseReport, Delivery, Murmur2, Outcome, Partitioner, Producer, ProducerBuilder, Refused, Transaction,
        TransactionSender, TransactionalBuilder, TransactionalProducer, TrySendError,
    },
    progress::{Consumed, GroupMetadata, NextOffset},
    properties::{PropertyNote, PropertyNoteKind},
    record::{Header, Record, RecordMetadata, Timestamp, TopicPartition},
    retry::Backoff,
};

pub mod partitioners {
    //! Rules by which a record's partition is chosen, bit for bit as in Java, librdkafka and kafka-go.
    pub use crate::producer::partitioner::{
        Crc32, Crc32Consistent, Fnv1a, Fnv1aConsistent, Hash, LeastBytes, Murmur2, Murmur2Consistent, Partitioner,
        ReferenceHash, RoundRobin,
    };
}

#[doc(hidden)]
pub use crate::wire::{guard, schema};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
