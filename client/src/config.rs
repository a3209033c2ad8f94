//! Every setting, with Kafka's property, its unit and its default.
//!
//! The defaults are those of Kafka's Java clients (4.3), unless a field says otherwise and why. The structs are plain data;
//! the builders ([`KafkaBuilder`](crate::KafkaBuilder), [`ProducerBuilder`](crate::ProducerBuilder),
//! [`AssignedConsumerBuilder`](crate::AssignedConsumerBuilder)) fill them in and check them once.

mod consumer;

use std::time::Duration;

pub use self::consumer::{Assignor, ConsumerConfig, GroupConfig, GroupProtocol, IsolationLevel, OffsetReset};
pub use crate::batch::Compression;
#[cfg(feature = "sasl")]
use crate::security::Sasl;
#[cfg(feature = "tls")]
use crate::security::Tls;
use crate::{
    error::{BatchError, Error, Result},
    retry::Backoff,
};

/// What connections, metadata and retries have in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// `client.id`. The name that brokers log and count quotas by. Default `async-kafka` (Java: empty).
    pub client_id: String,
    /// `request.timeout.ms`. How long one request may take on its connection. Default 30 s.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`. How long it may take to connect and to agree on versions. Default 10 s.
    pub connection_setup_timeout: Duration,
    /// `connections.max.idle.ms`. A connection that is not used for so long is closed, before the broker's ten minutes are
    /// over. Default 9 min.
    pub connections_max_idle: Duration,
    /// `retry.backoff.ms` (100 ms) and `retry.backoff.max.ms` (1 s).
    pub retry_backoff: Backoff,
    /// `reconnect.backoff.ms` (50 ms) and `reconnect.backoff.max.ms` (1 s).
    pub reconnect_backoff: Backoff,
    /// `metadata.max.age.ms`. Metadata of topics in use is refreshed when it is older. Default 5 min.
    pub metadata_max_age: Duration,
    /// `metadata.recovery.strategy` and `metadata.recovery.rebootstrap.trigger.ms`. When every broker that is known has been
    /// out of reach for so long, what is known of brokers is forgotten and the bootstrap addresses are asked again, under
    /// names that are resolved anew (KIP-899, KIP-1102); a broker can ask for the same at once. `None` is the strategy
    /// `none`. Default 5 min.
    ///
    /// Unlike Java's clients, this one tries the bootstrap addresses as well whenever no broker that it knows answers, without
    /// forgetting any; with `None` it does not.
    pub rebootstrap_after: Option<Duration>,
    /// `default.api.timeout.ms`. How long a call that needs several requests may take, such as
    /// [`connect`](crate::KafkaBuilder::connect). Default 60 s.
    pub api_timeout: Duration,
    /// Requests that one connection may have in flight. Kafka has `max.in.flight.requests.per.connection` for producers
    /// only, see [`ProducerConfig::max_in_flight`]; this one bounds every connection. Default 64.
    pub max_in_flight: usize,
    /// TLS (`security.protocol` `SSL` or `SASL_SSL`). Default none.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// The login (`security.protocol` `SASL_PLAINTEXT` or `SASL_SSL`). Default none.
    #[cfg(feature = "sasl")]
    pub sasl: Option<Sasl>,
    /// The longest answer that is accepted (librdkafka: `receive.message.max.bytes`). Default 100 MiB: a batch bigger than
    /// `max.partition.fetch.bytes` still arrives whole (KIP-74), so this must exceed the brokers' `message.max.bytes`.
    pub max_frame_bytes: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            client_id: "async-kafka".to_owned(),
            request_timeout: Duration::from_secs(30),
            connection_setup_timeout: Duration::from_secs(10),
            connections_max_idle: Duration::from_secs(540),
            retry_backoff: Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(1) },
            reconnect_backoff: Backoff { initial: Duration::from_millis(50), maximum: Duration::from_secs(1) },
            metadata_max_age: Duration::from_secs(300),
            rebootstrap_after: Some(Duration::from_secs(300)),
            api_timeout: Duration::from_secs(60),
            max_in_flight: 64,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "sasl")]
            sasl: None,
            max_frame_bytes: 100 << 20,
        }
    }
}

impl ClientConfig {
    pub(crate) fn check(&self) -> Result<()> {
        positive_time("request_timeout", self.request_timeout)?;
        positive_time("connection_setup_timeout", self.connection_setup_timeout)?;
        positive("max_in_flight", self.max_in_flight)?;
        if self.max_frame_bytes < 4096 || i32::try_from(self.max_frame_bytes).is_err() {
            return Err(Error::config("max_frame_bytes", "must be from 4096 to 2147483647"));
        }
        if self.client_id.len() > usize::from(u16::MAX / 2) {
            return Err(Error::config("client_id", "must be at most 32767 bytes"));
        }
        #[cfg(feature = "sasl")]
        self.sasl.as_ref().map_or(Ok(()), Sasl::check)?;
        Ok(())
    }
}

/// Which replicas have to have a record before the producer counts it as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Acks {
    /// `acks=0`. The broker answers nothing. A delivery completes when its bytes were handed to the system, without an
    /// offset; a record can be lost without any error.
    None,
    /// `acks=1`. The leader has it. It is lost if the leader fails before a follower copied it.
    Leader,
    /// `acks=all`. Every replica in sync has it. The default.
    #[default]
    All,
}

impl Acks {
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// What a producer can be told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// `acks`. Default [`Acks::All`].
    pub acks: Acks,
    /// `linger.ms`. How long a batch waits for more records. The clock ticks in milliseconds and rounds up, so 5 is nearly 6.
    /// Default 5 ms.
    pub linger: Duration,
    /// `batch.size`, bytes. A batch is sent when it holds so much before compression. A bigger record gets a batch of its
    /// own. Default 16384.
    pub batch_size: usize,
    /// Records after which a batch is sent (librdkafka: `batch.num.messages`; kafka-go: `BatchSize`). Java has no such limit,
    /// and there is none by default.
    pub batch_records: usize,
    /// `buffer.memory`, bytes. Records that are not acknowledged yet may take so much; beyond it `send` waits and `try_send`
    /// refuses. Counted as the uncompressed size of the records. Default 32 MiB.
    pub buffer_memory: usize,
    /// `max.block.ms`. How long `send` waits for metadata and for room. Default 60 s.
    pub max_block: Duration,
    /// `delivery.timeout.ms`. How long a record may take from `send` to its acknowledgement, over all attempts. A batch that
    /// is in flight at that moment is given until its answer or `request_timeout`. Default 120 s.
    pub delivery_timeout: Duration,
    /// `retries`. Attempts after the first. Default 2147483647: `delivery_timeout` is the limit that matters.
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`. Requests in flight to one broker. Default 5.
    ///
    /// Unlike Java's, this producer never reorders a partition without idempotence: while retries are allowed, a partition
    /// then has one batch in flight, and the others of the five belong to other partitions.
    pub max_in_flight: usize,
    /// `enable.idempotence`. Whether every batch carries a producer id and a sequence, by which brokers drop what they have
    /// already when an answer was lost, and keep the order of a partition with up to five batches in flight (KIP-98).
    ///
    /// Default `None`: on, unless [`acks`](Self::acks), [`retries`](Self::retries) or
    /// [`max_in_flight`](Self::max_in_flight) exclude it, as in Java (KIP-679). With `Some(true)` such settings are
    /// refused.
    pub idempotence: Option<bool>,
    /// `max.request.size`, bytes. A record with its overhead, before compression, and the batches of one request together,
    /// are at most so big. Default 1 MiB.
    pub max_request_size: usize,
    /// `compression.type`. Default [`Compression::None`].
    pub compression: Compression,
    /// `compression.gzip.level`, 1 to 9, default 6; `compression.zstd.level`, -131072 to 22, default 3 (KIP-390). The other
    /// codecs have one level here (`compression.lz4.level` is not served). Default `None`, the codec's own.
    pub compression_level: Option<i32>,
    /// `partitioner.adaptive.partitioning.enable`. Whether records without a partition go more often to partitions whose
    /// queues are shorter, because their brokers are faster (KIP-794). Only where the partitioner leaves the choice to the
    /// producer. Default true.
    pub adaptive_partitioning: bool,
    /// `partitioner.availability.timeout.ms`. A broker that has taken nothing for so long of what waits for it (it is away, or
    /// has [`max_in_flight`](Self::max_in_flight) requests to answer) gets no more records without a partition while there
    /// are other brokers, until it takes what it has to. Of no effect without
    /// [`adaptive_partitioning`](Self::adaptive_partitioning) (KIP-794). Default zero: such a broker gets records as its queue
    /// allows.
    pub availability_timeout: Duration,
    /// `metadata.max.idle.ms`. A topic that was not sent to for so long is no longer looked up every
    /// [`metadata_max_age`](crate::ClientConfig::metadata_max_age), until it is sent to again: then it is looked up at once, and
    /// meanwhile what was known of it is held to be true. At least 5 s. Default 5 minutes.
    pub metadata_max_idle: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            linger: Duration::from_millis(5),
            batch_size: 16 << 10,
            batch_records: usize::MAX,
            buffer_memory: 32 << 20,
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            retries: i32::MAX.unsigned_abs(),
            max_in_flight: 5,
            idempotence: None,
            max_request_size: 1 << 20,
            compression: Compression::None,
            compression_level: None,
            adaptive_partitioning: true,
            availability_timeout: Duration::ZERO,
            metadata_max_idle: Duration::from_secs(300),
        }
    }
}

impl ProducerConfig {
    /// Kafka's least `metadata.max.idle.ms`.
    const LEAST_IDLE: Duration = Duration::from_secs(5);

    /// Batches of a partition that brokers know again (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
    const REMEMBERED_BATCHES: usize = 5;

    /// Whether the producer is idempotent (`ProducerConfig.postProcessAndValidateIdempotenceConfigs`).
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotence.unwrap_or_else(|| self.allows_idempotence())
    }

    fn allows_idempotence(&self) -> bool {
        self.acks == Acks::All && self.retries > 0 && self.max_in_flight <= Self::REMEMBERED_BATCHES
    }

    /// What Java's `ProducerConfig` and `KafkaProducer.configureDeliveryTimeout` refuse.
    pub(crate) fn check(&self, request_timeout: Duration) -> Result<()> {
        positive("max_in_flight", self.max_in_flight)?;
        positive("batch_records", self.batch_records)?;
        if self.idempotence == Some(true) && !self.allows_idempotence() {
            return Err(Error::config("idempotence", "needs Acks::All, retries, and at most 5 in max_in_flight"));
        }
        if !self.compression.is_built() {
            return Err(Error::config("compression", BatchError::NotBuilt(self.compression.name()).to_string()));
        }
        if let Some(level) = self.compression_level
            && !self.compression.levels().contains(&level)
        {
            let levels = self.compression.levels();
            return Err(Error::config(
                "compression_level",
                format!("{level} is not in {levels:?} of {:?}", self.compression),
            ));
        }
        positive("max_request_size", self.max_request_size)?;
        positive("buffer_memory", self.buffer_memory)?;
        if self.max_request_size > i32::MAX as usize / 2 {
            return Err(Error::config("max_request_size", "must be at most 1073741823"));
        }
        if self.buffer_memory > u32::MAX as usize {
            return Err(Error::config("buffer_memory", "must be at most 4294967295"));
        }
        if self.metadata_max_idle < Self::LEAST_IDLE {
            return Err(Error::config("metadata_max_idle", format!("must be at least {:?}", Self::LEAST_IDLE)));
        }
        if self.delivery_timeout < self.linger + request_timeout {
            let least = self.linger + request_timeout;
            return Err(Error::config(
                "delivery_timeout",
                format!("must be at least linger + request_timeout, {least:?}"),
            ));
        }
        Ok(())
    }
}

fn positive(setting: &'static str, value: usize) -> Result<()> {
    if value == 0 { Err(Error::config(setting, "must not be 0")) } else { Ok(()) }
}

fn positive_time(setting: &'static str, value: Duration) -> Result<()> {
    if value.is_zero() { Err(Error::config(setting, "must not be 0")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent() {
        let client = ClientConfig::default();
        client.check().unwrap();
        ProducerConfig::default().check(client.request_timeout).unwrap();
        ConsumerConfig::default().check(client.request_timeout).unwrap();
    }

    #[test]
    fn a_delivery_timeout_below_one_request_is_refused() {
        // KafkaProducer.configureDeliveryTimeout (KIP-91).
        let config = ProducerConfig { delivery_timeout: Duration::from_secs(29), ..ProducerConfig::default() };
        let error = config.check(Duration::from_secs(30)).unwrap_err();
        assert!(error.to_string().contains("delivery_timeout"), "{error}");
    }

    #[test]
    fn idempotence_is_on_unless_the_settings_exclude_it() {
        // ProducerConfig.postProcessAndValidateIdempotenceConfigs (KIP-679).
        assert!(ProducerConfig::default().is_idempotent());
        let limit = Duration::from_secs(30);
        let without = [
            ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() },
            ProducerConfig { retries: 0, ..ProducerConfig::default() },
            ProducerConfig { max_in_flight: 6, ..ProducerConfig::default() },
        ];
        for config in without {
            assert!(!config.is_idempotent());
            config.check(limit).unwrap();
            let demanded = ProducerConfig { idempotence: Some(true), ..config };
            assert!(demanded.check(limit).unwrap_err().to_string().contains("idempotence"));
        }
    }
}
