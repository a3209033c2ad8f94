//! Every config of the cluster: what Kafka knows of each key, what was set where, and the values that follow from it.
//!
//! Levels, the strongest first: dynamic config of one node, dynamic default of all nodes, static properties of one node,
//! static properties of all nodes, the key's default. Topics, groups and client-metrics subscriptions have one level of
//! overrides on top. Nothing here depends on a clock. Not done here: deciding whether a change is allowed (`alter.rs`) and
//! listing values with their origin (`describe.rs`).

pub(crate) mod alter;
mod broker_config;
mod broker_keys;
pub(crate) mod describe;
mod group_keys;
pub(crate) mod key;
pub(crate) mod tables;
mod topic_keys;
mod topic_values;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use broker_config::BrokerConfig;

use crate::cluster::{TopicConfig, features};
use crate::types::NodeId;

/// Names and values as they were given, sorted.
pub(crate) type Properties = BTreeMap<String, String>;

/// A thing that has dynamic configs of its own (`ConfigResource`, without broker loggers, which are not stored).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Topic(String),
    /// One node, or the default of all nodes.
    Broker(Option<NodeId>),
    Group(String),
    ClientMetrics(String),
}

/// What was set where, and the typed views of it.
#[derive(Clone, Debug)]
pub(crate) struct Configs {
    static_all: Properties,
    static_nodes: BTreeMap<NodeId, Properties>,
    dynamic: BTreeMap<Resource, Properties>,
    brokers: BTreeMap<NodeId, BrokerConfig>,
    /// The settings of a node of which nothing is said.
    broker_base: BrokerConfig,
    /// The config of a topic without overrides.
    topic_base: Arc<TopicConfig>,
}

/// Says what is wrong with the property `key = value` of the builder or the command line, if anything is. A property is
/// a key of `server.properties`, `node.ID.KEY` for one node only, or `feature.NAME` for a finalized feature level. An
/// unknown key is no error: Kafka starts with it as well.
pub(crate) fn check_property(key: &str, value: &str) -> Result<(), String> {
    if let Some(feature) = key.strip_prefix("feature.") {
        return features::check_level(feature, value);
    }
    let key = node_property(key).map_or(key, |(_, key)| key);
    if key == "group.consumer.assignors" {
        return check_assignors(value);
    }
    tables::broker_key(key).map_or(Ok(()), |known| known.canonical(value).map(|_| ()))
}

/// Classes cannot be loaded here: only Kafka's own assignors can be chosen.
fn check_assignors(value: &str) -> Result<(), String> {
    const PACKAGE: &str = "org.apache.kafka.coordinator.group.assignor.";
    let is_known = |name: &str| match name.strip_prefix(PACKAGE) {
        Some(class) => ["UniformAssignor", "RangeAssignor"].contains(&class),
        None => ["uniform", "range"].contains(&name),
    };
    match value.split(',').map(str::trim).find(|name| !is_known(name)) {
        Some(name) => Err(format!("group.consumer.assignors: there are uniform and range, not {name:?}")),
        None => Ok(()),
    }
}

/// `node.3.num.partitions` as `(3, "num.partitions")`. `node.id` is a key of its own.
fn node_property(key: &str) -> Option<(NodeId, &str)> {
    let (node, key) = key.strip_prefix("node.")?.split_once('.')?;
    Some((NodeId(node.parse().ok()?), key))
}

impl Configs {
    /// The configs of a new cluster of `nodes` with the static `properties`, all of which pass [`check_property`]. Its
    /// features are not kept here.
    pub(crate) fn new<'a>(
        nodes: impl IntoIterator<Item = NodeId>,
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut configs = Self {
            static_all: Properties::new(),
            static_nodes: BTreeMap::new(),
            dynamic: BTreeMap::new(),
            brokers: nodes.into_iter().map(|node| (node, BrokerConfig::default())).collect(),
            broker_base: BrokerConfig::default(),
            topic_base: Arc::default(),
        };
        for (key, value) in properties {
            if let Some((node, key)) = node_property(key) {
                configs.static_nodes.entry(node).or_default().insert(key.to_owned(), value.to_owned());
            } else if !key.starts_with("feature.") {
                configs.static_all.insert(key.to_owned(), value.to_owned());
            }
        }
        configs.broker_base.fit_internal_topics(configs.brokers.len());
        configs.broker_base.set(INITIAL_REBALANCE_DELAY.0, INITIAL_REBALANCE_DELAY.1);
        // Formatting a cluster with eligible leader replicas stores the cluster-wide minimum, so that DescribeConfigs of a
        // fresh Kafka 4.3.1 gives it as a dynamic default (ConfigurationControlManager.maybeGenerateElrSafetyRecords).
        let minimum = configs.static_all.get(MIN_INSYNC_REPLICAS).map_or("1", String::as_str).to_owned();
        configs.dynamic.insert(Resource::Broker(None), Properties::from([(MIN_INSYNC_REPLICAS.to_owned(), minimum)]));
        configs.rebuild();
        configs
    }

    /// The typed settings of `node`; those of a node without overrides if there is no such node.
    pub(crate) fn broker(&self, node: NodeId) -> &BrokerConfig {
        self.brokers.get(&node).unwrap_or(&self.broker_base)
    }

    /// What the properties of `node` say of `name`, before anything was changed.
    pub(crate) fn static_value(&self, node: NodeId, name: &str) -> Option<&str> {
        let own = self.static_nodes.get(&node).and_then(|properties| properties.get(name));
        own.or_else(|| self.static_all.get(name)).map(String::as_str)
    }

    /// The broker config `name` as every node sees it, for those that have no field in [`BrokerConfig`]. Empty if there is
    /// no such key.
    pub(crate) fn broker_text(&self, name: &str) -> &str {
        let set = self.set_value(None, name);
        set.or_else(|| tables::broker_key(name)?.default).unwrap_or_default()
    }

    /// The settings of the controller, which decides the defaults of new topics: those of the first node.
    pub(crate) fn controller(&self) -> &BrokerConfig {
        self.brokers.values().next().unwrap_or(&self.broker_base)
    }

    /// The typed config of the topic `name`, whether it exists or not.
    pub(crate) fn topic(&self, name: &str) -> Arc<TopicConfig> {
        match self.dynamic.get(&Resource::Topic(name.to_owned())) {
            None => Arc::clone(&self.topic_base),
            Some(overrides) => Arc::new(self.topic_values(overrides)),
        }
    }

    /// What `resource` has of its own.
    pub(crate) fn overrides(&self, resource: &Resource) -> Option<&Properties> {
        self.dynamic.get(resource)
    }

    /// Replaces all that `resource` has of its own, and rebuilds what follows from it within this store. A resource
    /// without configs is gone.
    pub(crate) fn replace(&mut self, resource: Resource, properties: Properties) {
        let is_broker = matches!(resource, Resource::Broker(_));
        if properties.is_empty() {
            self.dynamic.remove(&resource);
        } else {
            self.dynamic.insert(resource, properties);
        }
        if is_broker {
            self.rebuild();
        }
    }

    /// All resources that have configs of their own, sorted.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.dynamic.keys()
    }

    /// The value that was set for the broker config `name` as `node` sees it, on the strongest level that has one;
    /// without a node, as every node sees it.
    fn set_value(&self, node: Option<NodeId>, name: &str) -> Option<&str> {
        let set = self.levels(node).into_iter().flatten().find_map(|level| level.get(name));
        set.map(String::as_str).or_else(|| self.fitted_value(name))
    }

    /// The stores to look in for a broker config, the strongest first: dynamic of the node, dynamic default, static of the
    /// node, static.
    fn levels(&self, node: Option<NodeId>) -> [Option<&Properties>; 4] {
        [
            node.and_then(|node| self.dynamic.get(&Resource::Broker(Some(node)))),
            self.dynamic.get(&Resource::Broker(None)),
            node.and_then(|node| self.static_nodes.get(&node)),
            Some(&self.static_all),
        ]
    }

    /// The node whose broker configs decide the defaults of topics. With one node, that node; with several a topic has one
    /// config in this cluster although its replicas are on nodes that may differ, so only what holds for all nodes counts.
    fn node_for_topics(&self) -> Option<NodeId> {
        let mut nodes = self.brokers.keys();
        nodes.next().copied().filter(|_| nodes.next().is_none())
    }

    /// Kafka's defaults for its internal topics need three nodes; with fewer, Kafka fails until it is configured. A mock
    /// starts with what such a cluster would have been configured with: the static value of `name` where none is given.
    fn fitted_value(&self, name: &str) -> Option<&'static str> {
        if name == INITIAL_REBALANCE_DELAY.0 {
            return Some(INITIAL_REBALANCE_DELAY.1);
        }
        let (_, kafka) = INTERNAL_TOPIC_REPLICAS.iter().find(|(key, _)| *key == name)?;
        match self.brokers.len().min(*kafka) {
            _ if self.brokers.len() >= 3 => None,
            0 | 1 => Some("1"),
            _ => Some("2"),
        }
    }

    fn rebuild(&mut self) {
        let nodes: Vec<NodeId> = self.brokers.keys().copied().collect();
        for node in nodes {
            let mut config = self.broker_base.clone();
            for (key, value) in self.levels(Some(node)).into_iter().rev().flatten().flatten() {
                config.set(key, value);
            }
            self.brokers.insert(node, config);
        }
        self.topic_base = Arc::new(self.topic_values(&Properties::new()));
    }
}

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// How long the first rebalance of a group waits for further members here, unless it is configured. Kafka's default is 3
/// seconds, its own `server.properties` says 0. This is too short to be noticed, and long enough that consumers that are
/// started together come into one rebalance instead of disturbing each other.
const INITIAL_REBALANCE_DELAY: (&str, &str) = ("group.initial.rebalance.delay.ms", "20");

/// Replication factor and minimum of in-sync replicas of the internal topics, with Kafka's defaults.
const INTERNAL_TOPIC_REPLICAS: &[(&str, usize)] = &[
    ("offsets.topic.replication.factor", 3),
    ("share.coordinator.state.topic.min.isr", 2),
    ("share.coordinator.state.topic.replication.factor", 3),
    ("transaction.state.log.min.isr", 2),
    ("transaction.state.log.replication.factor", 3),
];

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId(1);

    fn configs(nodes: i32, properties: &[(&str, &str)]) -> Configs {
        Configs::new((1..=nodes).map(NodeId), properties.iter().copied())
    }

    #[test]
    fn a_property_of_one_node_is_stronger_than_one_of_all() {
        let configs = configs(2, &[("num.partitions", "4"), ("node.2.num.partitions", "7")]);
        assert_eq!(configs.broker(ONE).num_partitions, 4);
        assert_eq!(configs.broker(NodeId(2)).num_partitions, 7);
    }

    #[test]
    fn internal_topics_fit_a_small_cluster_unless_they_are_configured() {
        // Our documented difference: Kafka's default of 3 makes FindCoordinator fail on one node.
        assert_eq!(configs(1, &[]).controller().offsets_topic_replication_factor, 1);
        assert_eq!(configs(2, &[]).controller().transaction_state_log_min_isr, 2);
        assert_eq!(configs(3, &[]).controller().transaction_state_log_replication_factor, 3);
        let asked = configs(1, &[("offsets.topic.replication.factor", "3")]);
        assert_eq!(asked.controller().offsets_topic_replication_factor, 3);
    }

    #[test]
    fn the_first_rebalance_is_quick_unless_it_is_configured() {
        // Our documented difference: Kafka's default of 3 s is for large deployments.
        let key = INITIAL_REBALANCE_DELAY.0;
        assert_eq!(configs(1, &[]).controller().group_initial_rebalance_delay_ms, 20);
        assert_eq!(configs(1, &[(key, "3000")]).controller().group_initial_rebalance_delay_ms, 3000);
        let described = configs(1, &[]).fitted_value(key);
        assert_eq!(described, Some("20"));
    }

    #[test]
    fn a_dynamic_change_is_seen_in_the_typed_views() {
        let mut configs = configs(1, &[("message.max.bytes", "5000")]);
        assert_eq!(configs.topic("t").max_message_bytes, 5000);
        let all = Resource::Broker(None);
        configs.replace(all.clone(), Properties::from([("message.max.bytes".to_owned(), "6000".to_owned())]));
        assert_eq!(configs.topic("t").max_message_bytes, 6000);
        configs.replace(Resource::Topic("t".to_owned()), Properties::from([("max.message.bytes".into(), "7".into())]));
        assert_eq!((configs.topic("t").max_message_bytes, configs.topic("u").max_message_bytes), (7, 6000));
        configs.replace(all, Properties::new());
        assert_eq!(configs.topic("u").max_message_bytes, 5000);
    }

    #[test]
    fn a_bad_value_of_a_known_key_is_named_and_an_unknown_key_is_accepted() {
        assert_eq!(
            check_property("num.partitions", "many").unwrap_err(),
            "Invalid value many for configuration num.partitions: Not a number of type INT"
        );
        assert!(check_property("node.2.num.partitions", "0").unwrap_err().ends_with("Value must be at least 1"));
        assert!(check_property("feature.group.version", "9").is_err());
        assert_eq!(check_property("group.consumer.assignors", "range, uniform"), Ok(()));
        assert!(
            check_property("group.consumer.assignors", "org.example.Mine").unwrap_err().contains("org.example.Mine")
        );
        assert_eq!(check_property("my.own.key", "x"), Ok(()));
        assert_eq!(check_property("node.id", "5"), Ok(()));
    }
}
