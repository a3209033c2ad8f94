//! What consumer groups are told of the cluster: its topics, and the configs of each group.

use super::consumer::{Assignor, ConsumerConfig, MigrationPolicy, TopicCatalog};
use crate::cluster::configs::Resource;
use crate::cluster::{BrokerConfig, Cluster};
use crate::types::{PartitionId, TopicId};

impl TopicCatalog for Cluster {
    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        let topic = self.topics().by_name(name)?;
        Some((topic.id(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)))
    }

    fn name(&self, id: TopicId) -> Option<&str> {
        self.topics().by_id(id).map(|topic| &***topic.name())
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.topics().iter().map(|topic| &***topic.name()))
    }

    fn racks(&self, id: TopicId, partition: PartitionId) -> Vec<String> {
        let partition = self.topics().by_id(id).and_then(|topic| topic.partition(partition));
        let replicas = partition.into_iter().flat_map(|partition| partition.replicas());
        replicas.filter_map(|node| self.node(*node)?.rack.clone()).collect()
    }

    fn version(&self) -> i64 {
        self.topics().version()
    }

    fn version_of_last_creation(&self) -> i64 {
        self.topics().version_of_last_creation()
    }
}

/// The configs of a group: its own where it has them, within the bounds of the broker (`GroupConfig.evaluate`), and the
/// broker's where it has none.
pub(super) fn consumer_config(cluster: &Cluster, broker: &BrokerConfig, group_id: &str) -> ConsumerConfig {
    let configs = cluster.configs();
    let own = configs.overrides(&Resource::Group(group_id.to_owned()));
    let value = |name: &str, [default, min, max]: [i64; 3]| {
        let own: Option<i64> = own.and_then(|own| own.get(name)?.trim().parse().ok());
        i32::try_from(own.map_or(default, |own| own.max(min).min(max))).unwrap_or(i32::MAX)
    };
    let sessions = [
        broker.group_consumer_session_timeout_ms,
        broker.group_consumer_min_session_timeout_ms,
        broker.group_consumer_max_session_timeout_ms,
    ];
    let heartbeats = [
        broker.group_consumer_heartbeat_interval_ms,
        broker.group_consumer_min_heartbeat_interval_ms,
        broker.group_consumer_max_heartbeat_interval_ms,
    ];
    let assignments = [
        broker.group_consumer_assignment_interval_ms,
        broker.group_consumer_min_assignment_interval_ms,
        broker.group_consumer_max_assignment_interval_ms,
    ];
    let assignors = configs.broker_text("group.consumer.assignors");
    let regexes = broker.group_consumer_regex_refresh_interval_ms;
    ConsumerConfig {
        session_timeout_ms: value("consumer.session.timeout.ms", sessions),
        heartbeat_interval_ms: value("consumer.heartbeat.interval.ms", heartbeats),
        assignment_interval_ms: value("consumer.assignment.interval.ms", assignments),
        regex_refresh_interval_ms: i32::try_from(regexes).unwrap_or(i32::MAX),
        max_size: usize::try_from(broker.group_consumer_max_size).unwrap_or(0),
        assignors: assignors.split(',').filter_map(|name| Assignor::by_config(name.trim())).collect(),
        migration_policy: MigrationPolicy::by_name(configs.broker_text("group.consumer.migration.policy")),
        classic_max_size: usize::try_from(broker.group_max_size).unwrap_or(0),
    }
}
