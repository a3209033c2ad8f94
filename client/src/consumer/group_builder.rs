//! Building a consumer in a group: settings in, checked once.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use super::{
    Consumer, Rebalance,
    fetcher::Fetcher,
    group::{Group, Handle},
    member::driver::Driver,
    positions::Positions,
    rebalance::Listener,
    shared::Shared,
};
use crate::{
    cluster::Cluster,
    config::{Assignor, ConsumerConfig, GroupConfig, IsolationLevel, OffsetReset},
    error::{Error, Result},
};

/// Builds a [`Consumer`]. Every setting is documented at its field of [`GroupConfig`] or [`ConsumerConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ConsumerBuilder {
    cluster: Cluster,
    config: ConsumerConfig,
    group: GroupConfig,
    topics: BTreeSet<Arc<str>>,
    listener: Option<Listener>,
}

impl ConsumerBuilder {
    pub(crate) fn new(cluster: Cluster, group_id: Arc<str>) -> Self {
        let (config, group) = (ConsumerConfig::default(), GroupConfig::new(group_id));
        Self { cluster, config, group, topics: BTreeSet::new(), listener: None }
    }

    /// Subscribes to topics, besides those that were named before.
    pub fn topics<T: Into<Arc<str>>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
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
    /// live on. Whether the group can be joined shows in the first call that asks for records.
    ///
    /// Dropping the future is safe: there is no consumer then.
    #[expect(
        clippy::unused_async,
        reason = "opening anything is asynchronous, so that a later version may ask a broker"
    )]
    pub async fn build(self) -> Result<Consumer> {
        let Self { cluster, config, group, topics, listener } = self;
        config.check(cluster.config().request_timeout)?;
        group.check()?;
        if topics.is_empty() {
            return Err(Error::config("topics", "was not called: there is nothing to subscribe to"));
        }
        let shared = Arc::new(Shared::new(config, Positions::default()));
        tokio::spawn(Fetcher::new(Arc::clone(&shared), cluster.clone()).run());
        let group = Arc::new(Group::new(group, shared, cluster, listener));
        tokio::spawn(Driver::new(Arc::clone(&group), topics).run());
        Ok(Consumer { handle: Arc::new(Handle { group }) })
    }
}
