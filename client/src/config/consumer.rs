//! What consumers and members of groups can be told.

use std::{sync::Arc, time::Duration};

use super::{positive, positive_time};
use crate::error::{Error, Result};

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
    /// `client.rack`. Where this client is: brokers whose `replica.selector.class` looks at racks send it to the closest
    /// replica (KIP-392), and groups assign by it (KIP-881). Default none.
    pub client_rack: Option<String>,
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
            client_rack: None,
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

/// By which of Kafka's two protocols a consumer is a member of its group (`group.protocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// `classic`: the members assign the partitions. Every broker knows it. The default, as in Java.
    #[default]
    Classic,
    /// `consumer` (KIP-848): the broker assigns the partitions, and members that keep theirs notice nothing of a rebalance.
    /// Sessions and heartbeats go by the broker's settings, not by [`GroupConfig::session_timeout`] and
    /// [`GroupConfig::heartbeat_interval`]. Wants Kafka 4.0.
    Consumer,
    /// Kafka has no such value. `Consumer` if the cluster has finalised the feature `group.version` at 1 or above, its
    /// brokers offer all that the subscription needs, and [`GroupConfig::assignors`] was left at its default; otherwise
    /// `Classic`. If the coordinator refuses the first heartbeat because the group or the broker cannot, the member goes on
    /// as a classic one.
    Auto,
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
    /// `group.protocol`. Default [`GroupProtocol::Classic`].
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`: by which of the broker's assignors a group of the consumer protocol is assigned, such as
    /// `uniform` or `range`. Default none: the broker's first one.
    pub group_remote_assignor: Option<String>,
    /// `session.timeout.ms`. A member that is not heard of for so long is put out of the group. With the consumer protocol
    /// it is how long a static member waits for a predecessor of the same `group.instance.id` that did not say goodbye.
    /// Default 45 s.
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
    /// How often what the program asked to be committed is committed (kafka-go: `CommitInterval`). With it,
    /// [`Consumer::commit_record`](crate::Consumer::commit_record) and its kin return at once, and the offsets go to the group
    /// at this interval, at every rebalance and at the end. Excludes `auto_commit_interval`, which is off then. Default none:
    /// commits wait for the group's answer.
    pub commit_interval: Option<Duration>,
}

impl GroupConfig {
    const DEFAULT_ASSIGNORS: [Assignor; 2] = [Assignor::Range, Assignor::CooperativeSticky];

    pub(crate) fn new(group_id: Arc<str>) -> Self {
        Self {
            group_id,
            group_instance_id: None,
            assignors: Self::DEFAULT_ASSIGNORS.to_vec(),
            group_protocol: GroupProtocol::Classic,
            group_remote_assignor: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit_interval: Some(Duration::from_secs(5)),
            commit_interval: None,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.group_id.is_empty() {
            return Err(Error::config("group_id", "must not be empty"));
        }
        if self.assignors.is_empty() {
            return Err(Error::config("assignors", "must name one at least"));
        }
        // Java refuses all settings of the classic protocol here (ConsumerConfig.CLASSIC_PROTOCOL_UNSUPPORTED_CONFIGS).
        if self.group_protocol == GroupProtocol::Consumer && self.chose_assignors() {
            return Err(Error::config("assignors", "are for the classic protocol: set group_remote_assignor"));
        }
        if self.heartbeat_interval >= self.session_timeout {
            return Err(Error::config("heartbeat_interval", "must be less than session_timeout"));
        }
        positive_time("heartbeat_interval", self.heartbeat_interval)?;
        positive_time("max_poll_interval", self.max_poll_interval)?;
        [self.auto_commit_interval, self.commit_interval]
            .into_iter()
            .flatten()
            .try_for_each(|interval| positive_time("commit_interval", interval))
    }

    /// Whether the members are to assign the partitions, by rules that the program chose.
    pub(crate) fn chose_assignors(&self) -> bool {
        self.assignors != Self::DEFAULT_ASSIGNORS
    }

    /// How often offsets are committed without being waited for.
    pub(crate) fn background_commits(&self) -> Option<Duration> {
        self.commit_interval.or(self.auto_commit_interval)
    }
}
