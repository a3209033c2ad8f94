//! Building a consumer in a group: settings in, checked once.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use super::{
    Consumer, Rebalance,
    fetcher::Fetcher,
    group::{Group, Handle},
    member::{Protocol, driver::Driver},
    positions::Positions,
    rebalance::Listener,
    shared::Shared,
    starts,
    subscription::{Pattern, Subscription},
};
use crate::{
    cluster::Cluster,
    config::{Assignor, ConsumerConfig, GroupConfig, GroupProtocol, IsolationLevel, OffsetReset},
    error::{Error, Result},
    store::{OffsetStore, Starts},
};

/// Builds a [`Consumer`]. Every setting is documented at its field of [`GroupConfig`] or [`ConsumerConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConsumerBuilder {
    cluster: Cluster,
    config: ConsumerConfig,
    group: GroupConfig,
    topics: BTreeSet<Arc<str>>,
    pattern: Option<String>,
    listener: Option<Listener>,
    starts: Option<Starting>,
}

/// A store, of which there is nothing to print.
struct Starting(Arc<dyn Starts>);

impl std::fmt::Debug for Starting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OffsetStore")
    }
}

impl ConsumerBuilder {
    pub(crate) fn new(cluster: Cluster, group_id: Arc<str>) -> Self {
        let (config, group) = (ConsumerConfig::default(), GroupConfig::new(group_id));
        Self { cluster, config, group, topics: BTreeSet::new(), pattern: None, listener: None, starts: None }
    }

    /// Subscribes to topics, besides those that were named before.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Subscribes to every topic whose whole name matches a regular expression, besides those that were named: those that are
    /// there, and those that come. What was given as a pattern before is replaced.
    ///
    /// With the classic protocol this client matches the names, in the syntax of the crate `regex`, whenever it refreshes
    /// its metadata ([`ClientConfig::metadata_max_age`](crate::ClientConfig::metadata_max_age)); internal topics are left
    /// out (Java's `exclude.internal.topics`). With the consumer protocol the broker matches them, in the syntax of RE2/J.
    /// Both take linear time and have neither look-around nor back references. They differ at the edges: RE2/J knows `\Q..\E`
    /// and `\C`, the crate knows `(?x)` and `[a&&b]`. With `GroupProtocol::Auto` the crate has to understand it as well.
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// Calls a function whenever partitions come or go, and waits for what it returns before the rebalance goes on. It must
    /// not wait for the consumer to receive something.
    pub fn on_rebalance<F, Fut>(mut self, listener: F) -> Self
    where
        F: Fn(Rebalance) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.listener = Some(Listener::new(listener));
        self
    }

    /// Begins where a [store](crate::store) says, at every assignment, and claims the partitions there for this member. Where the
    /// store has no offset yet, the group's committed one counts, and then `auto.offset.reset`.
    ///
    /// While the database fails the partitions are not read. A member that the store refuses gets [`Error::OffsetStore`] from
    /// its next call: another member is ahead of it.
    pub fn offset_store(mut self, store: impl OffsetStore) -> Self {
        self.starts = Some(Starting(Arc::new(store)));
        self
    }

    /// Replaces all settings of reading at once.
    pub fn config(mut self, config: ConsumerConfig) -> Self {
        self.config = config;
        self
    }

    /// Changes settings of the group, such as those that have no method of their own.
    pub fn group_config(mut self, change: impl FnOnce(&mut GroupConfig)) -> Self {
        change(&mut self.group);
        self
    }

    /// `group.instance.id`, see [`GroupConfig::group_instance_id`].
    pub fn group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.group.group_instance_id = Some(id.into());
        self
    }

    /// `group.protocol`, see [`GroupConfig::group_protocol`].
    pub fn group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.group.group_protocol = protocol;
        self
    }

    /// `group.remote.assignor`, see [`GroupConfig::group_remote_assignor`].
    pub fn group_remote_assignor(mut self, assignor: impl Into<String>) -> Self {
        self.group.group_remote_assignor = Some(assignor.into());
        self
    }

    /// `client.rack`, see [`ConsumerConfig::client_rack`].
    pub fn client_rack(mut self, rack: impl Into<String>) -> Self {
        self.config.client_rack = Some(rack.into());
        self
    }

    /// `partition.assignment.strategy`, see [`GroupConfig::assignors`].
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Assignor>) -> Self {
        self.group.assignors = assignors.into_iter().collect();
        self
    }

    /// `session.timeout.ms`, see [`GroupConfig::session_timeout`].
    pub fn session_timeout(mut self, limit: Duration) -> Self {
        self.group.session_timeout = limit;
        self
    }

    /// `heartbeat.interval.ms`, see [`GroupConfig::heartbeat_interval`].
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.group.heartbeat_interval = interval;
        self
    }

    /// `max.poll.interval.ms`, see [`GroupConfig::max_poll_interval`].
    pub fn max_poll_interval(mut self, limit: Duration) -> Self {
        self.group.max_poll_interval = limit;
        self
    }

    /// `enable.auto.commit` and `auto.commit.interval.ms`, see [`GroupConfig::auto_commit_interval`].
    pub fn auto_commit_interval(mut self, interval: Option<Duration>) -> Self {
        self.group.auto_commit_interval = interval;
        self
    }

    /// kafka-go's `CommitInterval`, see [`GroupConfig::commit_interval`].
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.group.commit_interval = Some(interval);
        self
    }

    /// `isolation.level`, see [`ConsumerConfig::isolation`].
    pub fn isolation(mut self, isolation: IsolationLevel) -> Self {
        self.config.isolation = isolation;
        self
    }

    /// `auto.offset.reset`, see [`ConsumerConfig::auto_offset_reset`].
    pub fn auto_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.config.auto_offset_reset = reset;
        self
    }

    /// Checks the settings and begins to join the group. Must be called within a tokio runtime, which the consumer's tasks
    /// live on. Whether the group can be joined shows in the first call that asks for records. With `GroupProtocol::Auto` a
    /// broker is asked what it offers, until `default.api.timeout`.
    ///
    /// Dropping the future is safe: there is no consumer then.
    pub async fn build(self) -> Result<Consumer> {
        let Self { cluster, config, mut group, topics, pattern, listener, starts } = self;
        let listener = match starts {
            Some(Starting(starts)) => Some(starts::listener(starts, listener)),
            None => listener,
        };
        config.check(cluster.config().request_timeout)?;
        group.check()?;
        if group.commit_interval.is_some() {
            group.auto_commit_interval = None;
        }
        let pattern = match (pattern, group.group_protocol) {
            (Some(pattern), GroupProtocol::Consumer) => Some(Pattern::unread(&pattern)),
            (Some(pattern), GroupProtocol::Classic | GroupProtocol::Auto) => Some(Pattern::compile(&pattern)?),
            (None, _) => None,
        };
        let subscription = Subscription { topics, pattern };
        if subscription.is_empty() {
            return Err(Error::config("topics", "was not called: there is nothing to subscribe to"));
        }
        let protocol = Protocol::choose(&cluster, &group, &subscription).await?;
        let shared = Arc::new(Shared::new(config, Positions::default()));
        tokio::spawn(Fetcher::new(Arc::clone(&shared), cluster.clone()).run());
        let group = Arc::new(Group::new(group, shared, cluster, listener));
        tokio::spawn(Driver::new(Arc::clone(&group), subscription, protocol).run());
        Ok(Consumer { handle: Arc::new(Handle { group }) })
    }
}
