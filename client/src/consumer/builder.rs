//! Building a consumer of assigned partitions: settings in, checked once.

use std::{sync::Arc, time::Duration};

use super::{AssignedConsumer, Offset, assigned::Handle, fetcher::Fetcher, positions::Positions, shared::Shared};
use crate::{
    cluster::Cluster,
    config::{ConsumerConfig, IsolationLevel, OffsetReset},
    error::{Error, Result},
};

/// Builds an [`AssignedConsumer`]. Every setting is documented at its field of [`ConsumerConfig`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AssignedConsumerBuilder {
    cluster: Cluster,
    config: ConsumerConfig,
    assigned: Vec<(Arc<str>, i32, Offset)>,
}

impl AssignedConsumerBuilder {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster, config: ConsumerConfig::default(), assigned: Vec::new() }
    }

    /// Adds a partition and where to start in it. A partition that is named twice starts where it was named last.
    pub fn assign(mut self, topic: impl Into<Arc<str>>, partition: i32, offset: Offset) -> Self {
        self.assigned.push((topic.into(), partition, offset));
        self
    }

    /// Replaces all settings at once.
    pub fn config(mut self, config: ConsumerConfig) -> Self {
        self.config = config;
        self
    }

    /// `fetch.min.bytes`, see [`ConsumerConfig::fetch_min_bytes`].
    pub fn fetch_min_bytes(mut self, bytes: i32) -> Self {
        self.config.fetch_min_bytes = bytes;
        self
    }

    /// `fetch.max.wait.ms`, see [`ConsumerConfig::fetch_max_wait`].
    pub fn fetch_max_wait(mut self, limit: Duration) -> Self {
        self.config.fetch_max_wait = limit;
        self
    }

    /// `fetch.max.bytes`, see [`ConsumerConfig::fetch_max_bytes`].
    pub fn fetch_max_bytes(mut self, bytes: i32) -> Self {
        self.config.fetch_max_bytes = bytes;
        self
    }

    /// `max.partition.fetch.bytes`, see [`ConsumerConfig::max_partition_fetch_bytes`].
    pub fn max_partition_fetch_bytes(mut self, bytes: i32) -> Self {
        self.config.max_partition_fetch_bytes = bytes;
        self
    }

    /// How far to fetch ahead, see [`ConsumerConfig::prefetch_bytes`].
    pub fn prefetch_bytes(mut self, bytes: usize) -> Self {
        self.config.prefetch_bytes = bytes;
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

    /// `check.crcs`, see [`ConsumerConfig::check_crcs`].
    pub fn check_crcs(mut self, check: bool) -> Self {
        self.config.check_crcs = check;
        self
    }

    /// `client.rack`, see [`ConsumerConfig::client_rack`].
    pub fn client_rack(mut self, rack: impl Into<String>) -> Self {
        self.config.client_rack = Some(rack.into());
        self
    }

    /// `allow.auto.create.topics`, see [`ConsumerConfig::allow_auto_create_topics`].
    pub fn allow_auto_create_topics(mut self, allow: bool) -> Self {
        self.config.allow_auto_create_topics = allow;
        self
    }

    /// Checks the settings, looks the topics up (until `default.api.timeout`), and starts fetching. Must be called within a
    /// tokio runtime, which the consumer's task lives on.
    ///
    /// Dropping the future is safe: there is no consumer then.
    pub async fn build(self) -> Result<AssignedConsumer> {
        let Self { cluster, config, assigned } = self;
        config.check(cluster.config().request_timeout)?;
        if assigned.is_empty() {
            return Err(Error::config("assign", "was not called: there is nothing to consume"));
        }
        let mut positions = Positions::default();
        for (name, partition, offset) in assigned {
            let limit = cluster.config().api_timeout;
            let topic = cluster.topic(&name, config.allow_auto_create_topics, limit).await?;
            let partition_count = topic.partitions.len();
            if usize::try_from(partition).map_or(true, |partition| partition >= partition_count) {
                return Err(Error::UnknownPartition { topic: name, partition, partition_count });
            }
            if matches!(offset, Offset::At(..0)) {
                return Err(Error::config("assign", format!("names a negative offset of {name}-{partition}")));
            }
            positions.assign(name, partition, offset);
        }
        let shared = Arc::new(Shared::new(config, positions));
        tokio::spawn(Fetcher::new(Arc::clone(&shared), cluster).run());
        Ok(AssignedConsumer { handle: Arc::new(Handle { shared }) })
    }
}
