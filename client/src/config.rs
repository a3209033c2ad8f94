//! Every setting, with Kafka's property, its unit and its default.
//!
//! The defaults are those of Kafka's Java clients (4.3), unless a field says otherwise and why. The structs are plain data;
//! the builders ([`KafkaBuilder`](crate::KafkaBuilder), [`ProducerBuilder`](crate::ProducerBuilder),
//! [`AssignedConsumerBuilder`](crate::AssignedConsumerBuilder)) fill them in and check them once.

use std::{sync::Arc, time::Duration};

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
        }
    }
}

impl ProducerConfig {
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

/// Where a consumer starts when its position does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// At the first record that is still there.
    Earliest,
    /// After the last record. The default, as in Java.
    #[default]
    Latest,
    /// At the first record that is not older than this (`by_duration:`, KIP-1106); after the last one if all are.
    ByDuration(Duration),
    /// Nowhere: the consumer reports [`Error::OffsetOutOfRange`], or [`Error::NoCommittedOffset`].
    None,
}

/// Which records of transactions a consumer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// `read_uncommitted`. All of them, whatever becomes of their transaction. The default, as in Java.
    #[default]
    ReadUncommitted,
    /// `read_committed`. Those of transactions that were committed, and records outside of transactions; nothing from the
    /// first transaction on that is still open (the last stable offset).
    ReadCommitted,
}

/// What a consumer of assigned partitions can be told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// `fetch.min.bytes`. The broker waits until it has so much for us. Default 1.
    pub fetch_min_bytes: i32,
    /// `fetch.max.wait.ms`. The broker waits no longer than this. Default 500 ms.
    pub fetch_max_wait: Duration,
    /// `fetch.max.bytes`. How much one answer brings, unless its first batch is bigger. Default 50 MiB.
    pub fetch_max_bytes: i32,
    /// `max.partition.fetch.bytes`. How much one answer brings of one partition, with the same exception. Default 1 MiB.
    pub max_partition_fetch_bytes: i32,
    /// How much may be fetched ahead of the program, in bytes as fetched (librdkafka: `queued.max.messages.kbytes`; Java has
    /// no such bound but fetches a partition only when its last data is used up). A partition that still has data waiting
    /// is not fetched once half of this is taken. Default 32 MiB.
    pub prefetch_bytes: usize,
    /// `auto.offset.reset`. Default [`OffsetReset::Latest`].
    pub auto_offset_reset: OffsetReset,
    /// `isolation.level`. Default [`IsolationLevel::ReadUncommitted`].
    pub isolation: IsolationLevel,
    /// `check.crcs`. Whether the checksum of every batch is verified. Default true.
    pub check_crcs: bool,
    /// The most that one batch may decompress to. Kafka has no such property; it bounds what a hostile batch can cost.
    /// Default 256 MiB.
    pub max_decompressed_bytes: usize,
    /// `allow.auto.create.topics`. Whether looking up an assigned topic may create it. Default true.
    pub allow_auto_create_topics: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 50 << 20,
            max_partition_fetch_bytes: 1 << 20,
            prefetch_bytes: 32 << 20,
            auto_offset_reset: OffsetReset::Latest,
            isolation: IsolationLevel::ReadUncommitted,
            check_crcs: true,
            max_decompressed_bytes: 256 << 20,
            allow_auto_create_topics: true,
        }
    }
}

impl ConsumerConfig {
    pub(crate) fn check(&self, request_timeout: Duration) -> Result<()> {
        positive("prefetch_bytes", self.prefetch_bytes)?;
        if self.fetch_max_bytes <= 0 || self.max_partition_fetch_bytes <= 0 || self.fetch_min_bytes < 0 {
            return Err(Error::config("fetch_max_bytes", "and its kin must be positive"));
        }
        if self.fetch_max_wait >= request_timeout {
            return Err(Error::config(
                "fetch_max_wait",
                format!("must be less than request_timeout, {request_timeout:?}"),
            ));
        }
        Ok(())
    }
}

/// A rule by which the partitions of a classic group are assigned (`partition.assignment.strategy`). The results are those of
/// Java's assignors, so that members of either client can share a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Assignor {
    /// Neighbouring partitions of each topic to each member: `RangeAssignor`.
    Range,
    /// Partitions one by one to the members in turn: `RoundRobinAssignor`.
    RoundRobin,
    /// As even as can be, and as few moves as can be: `StickyAssignor`.
    Sticky,
    /// The same; and partitions that stay with a member are read on through a rebalance: `CooperativeStickyAssignor`
    /// (KIP-429).
    CooperativeSticky,
}

impl Assignor {
    /// The name by which members agree on it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether partitions that stay with a member are kept through a rebalance.
    pub(crate) const fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky)
    }
}

/// What a member of a group can be told, besides its [`ConsumerConfig`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupConfig {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// `group.instance.id`. Makes the member static: it may be away for [`session_timeout`](Self::session_timeout) without a
    /// rebalance, and does not leave the group when it is closed (KIP-345). Default none.
    pub group_instance_id: Option<String>,
    /// `partition.assignment.strategy`. The group takes the first one that all its members offer. Default
    /// [`Assignor::Range`], then [`Assignor::CooperativeSticky`], as in Java: a group changes to the second when no member
    /// offers the first any more.
    pub assignors: Vec<Assignor>,
    /// `session.timeout.ms`. A member that is not heard of for so long is put out of the group. Default 45 s.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`. Default 3 s.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`. A program that does not ask for records for so long loses its partitions; while it waits for
    /// records it counts as asking. Also how long a rebalance waits for a program to finish what it was given. Default 5 min.
    pub max_poll_interval: Duration,
    /// `enable.auto.commit` and `auto.commit.interval.ms`: how often the offsets of records that the program is done with
    /// are committed, besides at every rebalance and at the end. Done with is what was given out before the program asked for
    /// more. `None` leaves committing to the program. Default every 5 s.
    pub auto_commit_interval: Option<Duration>,
}

impl GroupConfig {
    pub(crate) fn new(group_id: Arc<str>) -> Self {
        Self {
            group_id,
            group_instance_id: None,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit_interval: Some(Duration::from_secs(5)),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.group_id.is_empty() {
            return Err(Error::config("group_id", "must not be empty"));
        }
        if self.assignors.is_empty() {
            return Err(Error::config("assignors", "must name one at least"));
        }
        if self.heartbeat_interval >= self.session_timeout {
            return Err(Error::config("heartbeat_interval", "must be less than session_timeout"));
        }
        positive_time("heartbeat_interval", self.heartbeat_interval)?;
        positive_time("max_poll_interval", self.max_poll_interval)
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
