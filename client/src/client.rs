//! The entry: one [`Kafka`] per application, from which producers and consumers are opened.
//!
//! It holds what they share, the view of the cluster; each of them has connections of its own.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::time::Instant;

#[cfg(feature = "sasl")]
use crate::security::Sasl;
#[cfg(feature = "tls")]
use crate::security::Tls;
use crate::{
    cluster::Cluster,
    config::ClientConfig,
    conn::transport::{Address, Stream, Transport},
    consumer::{AssignedConsumerBuilder, Consumer, ConsumerBuilder},
    error::{Error, Result},
    exactly_once::ExactlyOnce,
    producer::{ProducerBuilder, TransactionalBuilder, TransactionalProducer},
    retry::{Backoff, Retry},
};

/// A client of one Kafka cluster. Clones share everything.
#[derive(Clone, Debug)]
pub struct Kafka {
    cluster: Cluster,
}

impl Kafka {
    /// Begins a client: `"b1:9092,b2:9092"` are the brokers to ask first (`bootstrap.servers`).
    pub fn builder(bootstrap: impl Into<String>) -> KafkaBuilder {
        KafkaBuilder { bootstrap: bootstrap.into(), config: ClientConfig::default(), transport: Transport::tcp() }
    }

    /// Begins a producer.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder::new(self.cluster.clone())
    }

    /// Begins a producer of transactions (`transactional.id`). The id names what must not be done twice: while one producer has
    /// it, an older one with the same id is fenced.
    pub fn transactional(&self, transactional_id: impl Into<Arc<str>>) -> TransactionalBuilder {
        TransactionalBuilder::new(self.cluster.clone(), transactional_id.into())
    }

    /// The loop from topics to topics, exactly once: what a consumer reads, a function turns into records, and both count
    /// together or not at all. The consumer needs `auto_commit_interval(None)` and `ReadCommitted`.
    pub fn exactly_once(&self, consumer: Consumer, producer: TransactionalProducer) -> ExactlyOnce {
        ExactlyOnce::new(consumer, producer, self.cluster.config().retry_backoff)
    }

    /// Begins a consumer of partitions that the program chooses, without a group.
    pub fn assigned_consumer(&self) -> AssignedConsumerBuilder {
        AssignedConsumerBuilder::new(self.cluster.clone())
    }

    /// Begins a consumer that is a member of a group (`group.id`).
    pub fn consumer(&self, group_id: impl Into<Arc<str>>) -> ConsumerBuilder {
        ConsumerBuilder::new(self.cluster.clone(), group_id.into())
    }

    /// How many partitions a topic has. Looks the topic up without creating it, and waits for it until `default.api.timeout`.
    ///
    /// Dropping the future is safe.
    pub async fn partition_count(&self, topic: &str) -> Result<usize> {
        let limit = self.cluster.config().api_timeout;
        Ok(self.cluster.topic(&topic.into(), false, limit).await?.partitions.len())
    }
}

/// Builds a [`Kafka`]. Every setting is documented at its field of [`ClientConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `connect` is called"]
pub struct KafkaBuilder {
    bootstrap: String,
    config: ClientConfig,
    transport: Transport,
}

impl KafkaBuilder {
    /// Replaces all settings at once.
    pub fn config(mut self, config: ClientConfig) -> Self {
        self.config = config;
        self
    }

    /// `client.id`, see [`ClientConfig::client_id`].
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.config.client_id = client_id.into();
        self
    }

    /// `request.timeout.ms`, see [`ClientConfig::request_timeout`].
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.config.request_timeout = limit;
        self
    }

    /// `default.api.timeout.ms`, see [`ClientConfig::api_timeout`].
    pub fn api_timeout(mut self, limit: Duration) -> Self {
        self.config.api_timeout = limit;
        self
    }

    /// `metadata.max.age.ms`, see [`ClientConfig::metadata_max_age`].
    pub fn metadata_max_age(mut self, age: Duration) -> Self {
        self.config.metadata_max_age = age;
        self
    }

    /// `retry.backoff.ms` and `retry.backoff.max.ms`, see [`ClientConfig::retry_backoff`].
    pub fn retry_backoff(mut self, backoff: Backoff) -> Self {
        self.config.retry_backoff = backoff;
        self
    }

    /// Encrypts connections (`security.protocol`), see [`Tls`].
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.config.tls = Some(tls);
        self
    }

    /// Logs in on connections (`sasl.mechanism`), see [`Sasl`].
    #[cfg(feature = "sasl")]
    pub fn sasl(mut self, sasl: Sasl) -> Self {
        self.config.sasl = Some(sasl);
        self
    }

    /// Dials in another way than TCP: any function from an address to a stream, such as a proxy, or memory in a test.
    /// TLS, if any, is spoken over that stream.
    pub fn dial<F, Fut, S>(mut self, dial: F) -> Self
    where
        F: Fn(Address) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream,
    {
        self.transport = Transport::new(dial);
        self
    }

    /// Checks the settings and asks a broker for the cluster, again and again until `default.api.timeout`. Must be called
    /// within a tokio runtime, which the connections live on.
    ///
    /// Dropping the future is safe: there is no client then.
    pub async fn connect(self) -> Result<Kafka> {
        let Self { bootstrap, config, transport } = self;
        config.check()?;
        let addresses = bootstrap.split(',').filter(|part| !part.trim().is_empty());
        let addresses = addresses.map(Address::parse).collect::<Result<Vec<_>>>()?;
        if addresses.is_empty() {
            return Err(Error::config("bootstrap", "names no broker"));
        }
        #[cfg(feature = "tls")]
        let transport = match &config.tls {
            Some(tls) => transport.with_tls(tls).await?,
            None => transport,
        };
        let (limit, backoff) = (config.api_timeout, config.retry_backoff);
        let cluster = Cluster::new(addresses, transport, Arc::new(config));
        let mut retry = Retry::until(Instant::now() + limit, backoff);
        while let Err(error) = cluster.refresh([]).await {
            tracing::debug!(%error, "no broker reached yet");
            if !error.is_retriable() || !retry.pause().await {
                return Err(error);
            }
        }
        Ok(Kafka { cluster })
    }
}
