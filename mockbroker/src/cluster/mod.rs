//! The cluster: nodes, topics, configs, features, and who leads what. Plain data and rules, without a clock.
//!
//! What a node does with its partitions is in `log`; who is in which group is in `group`.

pub(crate) mod configs;
mod create;
pub(crate) mod features;
mod fencing;
mod fetch_sessions;
mod internal_topics;
mod leadership;
mod log_dirs;
pub(crate) mod names;
mod partition;
mod placement;
mod producer_ids;
pub(crate) mod quotas;
mod replicas;
pub(crate) mod telemetry;
mod topic_config;
mod topics;
pub(crate) mod users;

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;

pub(crate) use configs::{BrokerConfig, check_property};
pub(crate) use create::{MAX_RECORDS, NewTopic, PlannedTopic};
pub(crate) use fetch_sessions::{
    FetchSessions, Finished, PartitionFacts, SessionContext, SessionRequest, WantedPartition,
};
pub(crate) use internal_topics::{CONSUMER_OFFSETS, SHARE_GROUP_STATE, TRANSACTION_STATE};
pub(crate) use leadership::{Election, PlannedPartition};
pub(crate) use partition::Partition;
pub(crate) use producer_ids::ProducerIds;
pub(crate) use replicas::{HeldBack, Replicas, min_insync_replicas};
pub(crate) use topic_config::{CompressionType, TimestampType, TopicConfig};
pub(crate) use topics::{Topic, Topics};

use self::configs::{Configs, Properties, Resource};
use self::features::Features;
use self::log_dirs::LogDirs;
use self::quotas::Quotas;
use self::users::ScramUsers;
use crate::ids::{IdSource, base64_url};
use crate::types::{NodeId, PartitionId};

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// The advertised host.
    pub(crate) host: String,
    /// The advertised port.
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
    /// Whether the controllers hear of the node; one that they do not hear of is what Kafka calls fenced.
    pub(crate) alive: bool,
    /// Whether it has not crashed, whoever hears of it.
    pub(crate) is_running: bool,
}

impl Node {
    /// A node that is up. Its rack is the property `broker.rack`.
    pub(crate) fn new(id: NodeId, host: String, port: u16) -> Self {
        Self { id, host, port, rack: None, alive: true, is_running: true }
    }
}

/// Why the cluster will not do something: the code, and the text that goes with it (null where Kafka gives none).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) message: Option<String>,
}

impl Refusal {
    /// A refusal with a text.
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self { error, message: Some(message.into()) }
    }

    /// A refusal without a text.
    pub(crate) fn code(error: ResponseError) -> Self {
        Self { error, message: None }
    }
}

/// What a coordinator coordinates (`FindCoordinatorRequest.CoordinatorType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoordinatorType {
    Group = 0,
    Transaction = 1,
    Share = 2,
}

impl CoordinatorType {
    /// The type with this number on the wire.
    pub(crate) fn from_wire(number: i8) -> Option<Self> {
        [Self::Group, Self::Transaction, Self::Share].into_iter().find(|kind| *kind as i8 == number)
    }

    /// The type whose coordinators keep their state in this topic, if it is one of theirs.
    pub(crate) fn of_topic(name: &str) -> Option<Self> {
        [Self::Group, Self::Transaction, Self::Share].into_iter().find(|kind| kind.topic() == name)
    }

    /// The internal topic whose partition leaders are the coordinators.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::Group => CONSUMER_OFFSETS,
            Self::Transaction => TRANSACTION_STATE,
            Self::Share => SHARE_GROUP_STATE,
        }
    }
}

/// Who is in the cluster, and what topics and configs it has.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    cluster_id: String,
    nodes: BTreeMap<NodeId, Node>,
    topics: Topics,
    replicas: Replicas,
    features: Features,
    configs: Configs,
    quotas: Quotas,
    scram_users: ScramUsers,
    log_dirs: LogDirs,
    metadata_offset: i64,
    /// The node that leads the controllers.
    controller: NodeId,
    controller_epoch: i32,
}

impl Cluster {
    /// A cluster without topics, with the broker properties (`server.properties`, `node.ID.KEY`, `feature.NAME`).
    ///
    /// # Errors
    /// What is wrong with a property.
    pub(crate) fn new(
        nodes: Vec<Node>,
        properties: &BTreeMap<String, String>,
        ids: &mut IdSource,
    ) -> Result<Self, String> {
        for (key, value) in properties {
            check_property(key, value)?;
        }
        let pairs = || properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let configs = Configs::new(nodes.iter().map(|node| node.id), pairs());
        let with_rack = |mut node: Node| {
            node.rack = node.rack.or_else(|| configs.static_value(node.id, "broker.rack").map(str::to_owned));
            (node.id, node)
        };
        let features = Features::new(pairs());
        // What a fresh cluster's metadata log has: the levels of its features, the smallest ISR (`Configs::new`), and of each
        // node that it registered as a controller and as a broker and was unfenced.
        let records = features.finalized().count() + 1 + 3 * nodes.len();
        let controller = nodes.iter().map(|node| node.id).min().unwrap_or(NodeId(-1));
        Ok(Self {
            cluster_id: base64_url(ids.uuid().as_bytes()),
            nodes: nodes.into_iter().map(with_rack).collect(),
            topics: Topics::default(),
            replicas: Replicas::default(),
            features,
            configs,
            quotas: Quotas::default(),
            scram_users: ScramUsers::default(),
            log_dirs: LogDirs::default(),
            metadata_offset: i64::try_from(records).unwrap_or(i64::MAX),
            controller,
            controller_epoch: 1,
        })
    }

    /// As Kafka writes it: 16 bytes in URL-safe base64.
    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// All nodes by id, up or not. They are fixed from the start; none joins or leaves.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node `id`, up or not.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Takes a node down, or brings it up. Who leads what is not changed by it, see [`Cluster::fence`].
    pub(crate) fn set_alive(&mut self, id: NodeId, alive: bool) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.alive = alive;
        }
    }

    /// Gives the nodes other addresses.
    pub(crate) fn readdress(&mut self, nodes: &[Node]) {
        for new in nodes {
            if let Some(node) = self.nodes.get_mut(&new.id) {
                (node.host, node.port) = (new.host.clone(), new.port);
            }
        }
    }

    /// Notes that a node has crashed, or runs again.
    pub(crate) fn set_running(&mut self, id: NodeId, is_running: bool) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.is_running = is_running;
        }
    }

    /// Whether a node has not crashed: it answers its clients.
    pub(crate) fn is_running(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.is_running)
    }

    /// The topics.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The features.
    pub(crate) fn features(&self) -> &Features {
        &self.features
    }

    /// Gives features the levels that `updates` say, all of them or, if one cannot be, none.
    ///
    /// # Errors
    /// Kafka's text for the first that cannot be.
    pub(crate) fn update_features(
        &mut self,
        updates: &[features::FeatureUpdate<'_>],
        validate_only: bool,
    ) -> Result<(), String> {
        let controller = self.controller_id();
        updates.iter().try_for_each(|update| self.features.check_update(*update, controller))?;
        if !validate_only {
            updates.iter().for_each(|update| self.features.set_level(update.name, update.level));
            self.metadata_offset += i64::from(!updates.is_empty());
        }
        Ok(())
    }

    /// The node that leads the quorum of controllers: the first, until it crashes.
    pub(crate) fn controller_id(&self) -> NodeId {
        self.controller
    }

    /// The epoch of that leader: how many there have been.
    pub(crate) fn controller_epoch(&self) -> i32 {
        self.controller_epoch
    }

    /// Whether groups of the consumer protocol (KIP-848) are served: `group.version` is finalized at 1 or above, and
    /// `group.coordinator.rebalance.protocols` has `consumer`. Their APIs are advertised either way.
    pub(crate) fn serves_consumer_protocol(&self) -> bool {
        let mut protocols = self.configs.broker_text("group.coordinator.rebalance.protocols").split(',');
        self.features.level("group.version") >= 1
            && protocols.any(|protocol| protocol.trim().eq_ignore_ascii_case("consumer"))
    }

    /// The typed settings that count for the whole cluster: those of the first node, which is the first controller.
    pub(crate) fn settings(&self) -> &BrokerConfig {
        self.configs.controller()
    }

    /// The typed settings of one node.
    pub(crate) fn settings_of(&self, node: NodeId) -> &BrokerConfig {
        self.configs.broker(node)
    }

    /// How many changes of the metadata there were: the epoch of the finalized features.
    pub(crate) fn metadata_offset(&self) -> i64 {
        self.metadata_offset
    }

    /// All configs, read-only; [`Cluster::set_configs`] changes them.
    pub(crate) fn configs(&self) -> &Configs {
        &self.configs
    }

    /// Replaces what `resource` has of its own, and gives the topics the configs that follow.
    pub(crate) fn set_configs(&mut self, resource: Resource, properties: Properties) {
        self.metadata_offset += 1;
        let topic = match &resource {
            Resource::Topic(name) => Some(name.clone()),
            Resource::Broker(_) => None,
            Resource::Group(_) | Resource::ClientMetrics(_) => {
                self.configs.replace(resource, properties);
                return;
            }
        };
        self.configs.replace(resource, properties);
        let configs = &self.configs;
        match topic {
            Some(name) => self.topics.set_config(&name, configs.topic(&name)),
            None => self.topics.set_configs(|name| configs.topic(name)),
        }
    }

    /// The node `id`, if it is up.
    pub(crate) fn alive(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id).filter(|node| node.alive)
    }

    /// The nodes that are up, by id.
    pub(crate) fn alive_nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.alive)
    }

    /// The id that a broker gives for the controller: any node that is up, at random, since KRaft brokers hide the real
    /// one (`KRaftMetadataCache.getRandomAliveBrokerId`). -1 if all are down.
    pub(crate) fn random_alive_node(&self, ids: &mut IdSource) -> i32 {
        let mut alive = self.alive_nodes();
        let count = self.alive_nodes().count();
        let chosen = match count {
            0 => None,
            1 => alive.next(),
            _ => alive.nth(ids.below(count)),
        };
        chosen.map_or(-1, |node| node.id.0)
    }

    /// The node that coordinates `key`: the leader of its partition, if it is up.
    pub(crate) fn coordinator(&self, kind: CoordinatorType, key: &str) -> Option<&Node> {
        let topic = self.topics.by_name(kind.topic())?;
        self.alive(topic.partition(partition_for(key, topic.partitions().len()))?.leader()?)
    }
}

/// The partition of a coordinator's topic that a key belongs to: `Utils.abs(key.hashCode) % partitions`; 0 without partitions.
pub(crate) fn partition_for(key: &str, partitions: usize) -> PartitionId {
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Utils.abs maps i32::MIN to 0 by masking the sign, which is not the same as negating the rest.
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    PartitionId(i32::try_from(partitions).ok().filter(|count| *count > 0).map_or(0, |count| positive % count))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A cluster of `nodes` nodes that are up, numbered from 1.
    pub(crate) fn cluster(nodes: i32, properties: &[(&str, &str)]) -> Cluster {
        let node = |id: i32| Node::new(NodeId(id), "localhost".to_owned(), 9091 + u16::try_from(id).unwrap());
        let properties = properties.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Cluster::new((1..=nodes).map(node).collect(), &properties, &mut IdSource::new(1)).unwrap()
    }

    #[test]
    fn a_key_is_hashed_as_java_hashes_strings() {
        // Source: String.hashCode over UTF-16 units, Utils.abs. "polygenelubricants" hashes to i32::MIN.
        assert_eq!(partition_for("hello", 50), PartitionId(99_162_322 % 50));
        assert_eq!(partition_for("polygenelubricants", 50), PartitionId(0));
        assert_eq!(partition_for("\u{1F600}", i32::MAX as usize), PartitionId(0xD83D * 31 + 0xDE00));
        assert_eq!(partition_for("", 50), PartitionId(0));
    }

    #[test]
    fn a_rack_is_a_property_of_a_node() {
        let cluster = cluster(2, &[("node.2.broker.rack", "b")]);
        let racks: Vec<_> = cluster.nodes().map(|node| node.rack.as_deref()).collect();
        assert_eq!(racks, [None, Some("b")]);
    }

    #[test]
    fn a_change_of_a_broker_config_reaches_the_topics() {
        let mut cluster = cluster(1, &[]);
        let mut ids = IdSource::new(1);
        let planned = cluster.plan_topic(&NewTopic::named("t"), &mut ids).unwrap();
        cluster.add_topic(planned);
        let properties = Properties::from([("log.retention.ms".to_owned(), "77".to_owned())]);
        cluster.set_configs(Resource::Broker(None), properties);
        assert_eq!(cluster.topics().by_name("t").unwrap().config().retention_ms, 77);
    }
}
