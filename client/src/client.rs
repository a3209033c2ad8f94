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
    admin::Admin,
    cluster::Cluster,
    config::{ClientConfig, ConsumerConfig, GroupConfig, ProducerConfig},
    conn::transport::{Address, Stream, Transport},
    consumer::{AssignedConsumerBuilder, Consumer, ConsumerBuilder},
    error::{Error, Result},
    exactly_once::ExactlyOnce,
    metrics::{Events, Metrics},
    producer::{ProducerBuilder, TransactionalBuilder, TransactionalProducer, partitioner::Partitioner},
    properties::{self, PropertyNote, Read, Settings},
    retry::{Backoff, Retry},
};

/// A client of one Kafka cluster. Clones share everything.
#[derive(Clone, Debug)]
pub struct Kafka {
    cluster: Cluster,
    defaults: Arc<Defaults>,
}

/// What producers and consumers begin with.
#[derive(Debug)]
struct Defaults {
    producer: ProducerConfig,
    partitioner: Arc<dyn Partitioner>,
    transaction_timeout: Duration,
    consumer: ConsumerConfig,
    group: GroupConfig,
}

impl From<Settings> for Defaults {
    fn from(settings: Settings) -> Self {
        let Settings { producer, partitioner, transaction_timeout, consumer, group, .. } = settings;
        Self { producer, partitioner, transaction_timeout, consumer, group }
    }
}

impl Kafka {
    /// Begins a client: `"b1:9092,b2:9092"` are the brokers to ask first (`bootstrap.servers`).
    pub fn builder(bootstrap: impl Into<String>) -> KafkaBuilder {
        KafkaBuilder {
            bootstrap: bootstrap.into(),
            config: ClientConfig::default(),
            transport: Transport::tcp(),
            defaults: Settings::default().into(),
            needs_token: false,
        }
    }

    /// Begins a client by the names that Java's clients and librdkafka have for settings, as in a `.properties` file.
    ///
    /// Names of both are taken, of producers, consumers and admin clients alike; what is not given has Kafka's default. What
    /// they say of producers and consumers is where [`producer`](Self::producer), [`transactional`](Self::transactional), [`consumer`](Self::consumer) and
    /// [`assigned_consumer`](Self::assigned_consumer) begin. Reads the PEM files that are named.
    ///
    /// The notes say what has no effect, what means something else here, and what nobody knows. Look at them once, or print
    /// them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the first property whose value cannot be meant, contradicts another, or would be less safe or
    /// lose what the program relies on if it were ignored, and says what to do.
    ///
    /// ```no_run
    /// # async fn example() -> async_kafka::Result<()> {
    /// use async_kafka::Kafka;
    ///
    /// let properties = [("bootstrap.servers", "b1:9092"), ("linger.ms", "20"), ("compression.type", "lz4")];
    /// let given = Kafka::from_properties(properties)?;
    /// given.notes.iter().for_each(|note| eprintln!("{note}"));
    /// let kafka = given.builder.connect().await?;
    /// let producer = kafka.producer().build().await?; // lingers for 20 ms
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_properties<K: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<FromProperties> {
        let properties = properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let Read { mut settings, notes, needs_token } = properties::read(properties)?;
        let Some(bootstrap) = settings.bootstrap.take() else {
            return Err(Error::config(
                "bootstrap.servers",
                "is missing: it names the brokers to ask first, host:port[,host:port]",
            ));
        };
        let config = std::mem::take(&mut settings.client);
        let (group_id, transactional_id) = (settings.group_id.take(), settings.transactional_id.take());
        let builder = KafkaBuilder { config, defaults: settings.into(), needs_token, ..Self::builder(bootstrap) };
        Ok(FromProperties { builder, notes, group_id, transactional_id })
    }

    /// Begins a producer.
    pub fn producer(&self) -> ProducerBuilder {
        let Defaults { producer, partitioner, .. } = &*self.defaults;
        let builder = ProducerBuilder::new(self.cluster.clone()).config(producer.clone());
        builder.partitioner(Arc::clone(partitioner))
    }

    /// Begins a producer of transactions (`transactional.id`). The id names what must not be done twice: while one producer has
    /// it, an older one with the same id is fenced.
    pub fn transactional(&self, transactional_id: impl Into<Arc<str>>) -> TransactionalBuilder {
        TransactionalBuilder::new(self.cluster.clone(), transactional_id.into())
            .producer(|_| self.producer())
            .transaction_timeout(self.defaults.transaction_timeout)
    }

    /// The loop from topics to topics, exactly once: what a consumer reads, a function turns into records, and both count
    /// together or not at all. The consumer needs `auto_commit_interval(None)` and `ReadCommitted`.
    pub fn exactly_once(&self, consumer: Consumer, producer: TransactionalProducer) -> ExactlyOnce {
        ExactlyOnce::new(consumer, producer, self.cluster.config().retry_backoff)
    }

    /// Begins a consumer of partitions that the program chooses, without a group.
    pub fn assigned_consumer(&self) -> AssignedConsumerBuilder {
        AssignedConsumerBuilder::new(self.cluster.clone()).config(self.defaults.consumer.clone())
    }

    /// Begins a consumer that is a member of a group (`group.id`).
    pub fn consumer(&self, group_id: impl Into<Arc<str>>) -> ConsumerBuilder {
        let builder = ConsumerBuilder::new(self.cluster.clone(), group_id.into());
        builder.config(self.defaults.consumer.clone()).group_config(|group| {
            let group_id = Arc::clone(&group.group_id);
            *group = GroupConfig { group_id, ..self.defaults.group.clone() };
        })
    }

    /// Begins administration: topics, configs, groups, transactions and the rest.
    pub fn admin(&self) -> Admin {
        Admin::new(self.cluster.clone())
    }

    /// What this client, and all that was opened from it, has done so far: counters and gauges by Java's names.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.cluster.recorder().snapshot()
    }

    /// What happens from now on: connections, requests that fail, batches that are retried, delivered or given up.
    #[must_use]
    pub fn events(&self) -> Events {
        self.cluster.recorder().listen()
    }

    /// How many partitions a topic has. Looks the topic up without creating it, and waits for it until `default.api.timeout`.
    ///
    /// Dropping the future is safe.
    pub async fn partition_count(&self, topic: &str) -> Result<usize> {
        let limit = self.cluster.config().api_timeout;
        Ok(self.cluster.topic(&topic.into(), false, limit).await?.partitions.len())
    }
}

/// What [`Kafka::from_properties`] made of properties.
#[derive(Debug)]
#[non_exhaustive]
pub struct FromProperties {
    /// The client, ready to [`connect`](KafkaBuilder::connect) or to be changed before.
    pub builder: KafkaBuilder,
    /// What was ignored, what means something else here, and what is unknown.
    pub notes: Vec<PropertyNote>,
    /// `group.id`, for [`Kafka::consumer`].
    pub group_id: Option<String>,
    /// `transactional.id`, for [`Kafka::transactional`].
    pub transactional_id: Option<String>,
}

/// Builds a [`Kafka`]. Every setting is documented at its field of [`ClientConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `connect` is called"]
pub struct KafkaBuilder {
    bootstrap: String,
    config: ClientConfig,
    transport: Transport,
    defaults: Defaults,
    needs_token: bool,
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
        let Self { bootstrap, config, transport, defaults, needs_token } = self;
        config.check()?;
        #[cfg(feature = "sasl")]
        let needs_token = needs_token && config.sasl.is_none();
        if needs_token {
            return Err(Error::config(
                "sasl",
                "needs a source of tokens for OAUTHBEARER: KafkaBuilder::sasl(Sasl::oauthbearer(..))",
            ));
        }
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
        Ok(Kafka { cluster, defaults: Arc::new(defaults) })
    }
}
