//! Building a producer: settings in, checked once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore};

use super::{
    Handle, Interceptor, Producer, Queues, Shared,
    batcher::{Batcher, Limits},
    coordinator::Conversation,
    partitioner::{Murmur2, Partitioner},
    sender::Sender,
};
use crate::{
    cluster::Cluster,
    config::{Acks, Compression, ProducerConfig},
    error::Result,
    record::Record,
};

/// Builds a [`Producer`]. Every setting is documented at its field of [`ProducerConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ProducerBuilder {
    cluster: Cluster,
    config: ProducerConfig,
    partitioner: Box<dyn Partitioner>,
    interceptors: Vec<Interceptor>,
}

impl ProducerBuilder {
    pub(crate) fn new(cluster: Cluster) -> Self {
        let (config, partitioner) = (ProducerConfig::default(), Box::new(Murmur2));
        Self { cluster, config, partitioner, interceptors: Vec::new() }
    }

    /// Replaces all settings at once.
    pub fn config(mut self, config: ProducerConfig) -> Self {
        self.config = config;
        self
    }

    /// `acks`, see [`ProducerConfig::acks`].
    pub fn acks(mut self, acks: Acks) -> Self {
        self.config.acks = acks;
        self
    }

    /// `linger.ms`, see [`ProducerConfig::linger`].
    pub fn linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// `batch.size`, see [`ProducerConfig::batch_size`].
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.config.batch_size = bytes;
        self
    }

    /// Records after which a batch is sent, see [`ProducerConfig::batch_records`].
    pub fn batch_records(mut self, records: usize) -> Self {
        self.config.batch_records = records;
        self
    }

    /// `enable.idempotence`, see [`ProducerConfig::idempotence`].
    pub fn idempotence(mut self, idempotence: bool) -> Self {
        self.config.idempotence = Some(idempotence);
        self
    }

    /// `buffer.memory`, see [`ProducerConfig::buffer_memory`].
    pub fn buffer_memory(mut self, bytes: usize) -> Self {
        self.config.buffer_memory = bytes;
        self
    }

    /// `max.block.ms`, see [`ProducerConfig::max_block`].
    pub fn max_block(mut self, limit: Duration) -> Self {
        self.config.max_block = limit;
        self
    }

    /// `delivery.timeout.ms`, see [`ProducerConfig::delivery_timeout`].
    pub fn delivery_timeout(mut self, limit: Duration) -> Self {
        self.config.delivery_timeout = limit;
        self
    }

    /// `retries`, see [`ProducerConfig::retries`].
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.retries = retries;
        self
    }

    /// `max.in.flight.requests.per.connection`, see [`ProducerConfig::max_in_flight`].
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.config.max_in_flight = requests;
        self
    }

    /// `max.request.size`, see [`ProducerConfig::max_request_size`].
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.config.max_request_size = bytes;
        self
    }

    /// `compression.type`, see [`ProducerConfig::compression`].
    pub fn compression(mut self, compression: Compression) -> Self {
        self.config.compression = compression;
        self
    }

    /// `compression.gzip.level` and its kin, see [`ProducerConfig::compression_level`].
    pub fn compression_level(mut self, level: i32) -> Self {
        self.config.compression_level = Some(level);
        self
    }

    /// `partitioner.adaptive.partitioning.enable`, see [`ProducerConfig::adaptive_partitioning`].
    pub fn adaptive_partitioning(mut self, adaptive: bool) -> Self {
        self.config.adaptive_partitioning = adaptive;
        self
    }

    /// `partitioner.availability.timeout.ms`, see [`ProducerConfig::availability_timeout`].
    pub fn availability_timeout(mut self, limit: Duration) -> Self {
        self.config.availability_timeout = limit;
        self
    }

    /// `metadata.max.idle.ms`, see [`ProducerConfig::metadata_max_idle`].
    pub fn metadata_max_idle(mut self, idle: Duration) -> Self {
        self.config.metadata_max_idle = idle;
        self
    }

    /// Looks at, and may change, every record before its partition is chosen (`interceptor.classes`, `onSend`). Called on the
    /// task that sends; must not block. What became of records tell [`Delivery`](crate::Delivery) and
    /// [`Kafka::events`](crate::Kafka::events).
    pub fn on_send(mut self, interceptor: impl Fn(&mut Record) + Send + Sync + 'static) -> Self {
        self.interceptors.push(Interceptor(Box::new(interceptor)));
        self
    }

    /// Chooses partitions in another way than [`Murmur2`]; see [`partitioners`](crate::partitioners).
    pub fn partitioner(mut self, partitioner: impl Partitioner) -> Self {
        self.partitioner = Box::new(partitioner);
        self
    }

    /// Checks the settings and starts the producer. Must be called within a tokio runtime, which the producer's task lives
    /// on.
    ///
    /// Dropping the future is safe: there is no producer then.
    // The producer id is asked for when the first record comes: a broker that is away must not keep a program from starting.
    #[expect(
        clippy::unused_async,
        reason = "opening anything is asynchronous, so that a later version may ask a broker"
    )]
    pub async fn build(self) -> Result<Producer> {
        self.start(None)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn settings(&self) -> &ProducerConfig {
        &self.config
    }

    /// Starts the producer, whose records belong to transactions if it has a conversation about them.
    pub(super) fn start(self, conversation: Option<Arc<Conversation>>) -> Result<Producer> {
        let Self { cluster, config, partitioner, interceptors } = self;
        config.check(cluster.config().request_timeout)?;
        let idempotence = config.is_idempotent();
        // Without sequences a batch that is retried would come after the ones behind it, unless these wait.
        let in_flight_per_partition = if config.retries == 0 || idempotence { config.max_in_flight } else { 1 };
        let limits = Limits {
            // A batch that no request may carry would be refused by the broker.
            batch_size: config.batch_size.min(config.max_request_size),
            batch_records: config.batch_records,
            linger: config.linger,
            delivery_timeout: config.delivery_timeout,
            in_flight_per_partition,
            compression: config.compression,
            idempotence,
            transactional: conversation.is_some(),
            adaptive: config.adaptive_partitioning,
            availability_timeout: config.availability_timeout,
        };
        let memory = Arc::new(Semaphore::new(config.buffer_memory));
        cluster.recorder().producer_began(config.buffer_memory, &memory);
        let batcher = Batcher::new(limits, Arc::clone(&memory), fastrand::Rng::new());
        let queues = Mutex::new(Queues::new(batcher));
        let shared = Arc::new(Shared { config, queues, memory, changed: Notify::new(), conversation });
        tokio::spawn(Sender::new(Arc::clone(&shared), cluster.clone()).run());
        Ok(Producer { handle: Arc::new(Handle { shared, cluster, partitioner, interceptors }) })
    }
}
