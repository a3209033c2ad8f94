//! Configs of topics, nodes, groups and client metrics: describe, alter, list what has some.

use std::{collections::BTreeMap, fmt, sync::Arc};

use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    ListConfigResourcesRequest, ListConfigResourcesResponse,
    describe_configs_request::DescribeConfigsResource,
    describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult},
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};

use super::{Admin, Results, ask::Place, name, outcome, text};
use crate::{error::Result, wire::versions::Api};

/// What has configs (`ConfigResource.Type`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(Arc<str>),
    /// A node.
    Broker(i32),
    /// What holds for every node that is not told otherwise.
    EveryBroker,
    /// The levels of a node's loggers.
    BrokerLogger(i32),
    /// A subscription to metrics of clients (KIP-714).
    ClientMetrics(Arc<str>),
    /// A group (KIP-848).
    Group(Arc<str>),
}

impl ConfigResource {
    /// A topic.
    #[must_use]
    pub fn topic(name: impl Into<Arc<str>>) -> Self {
        Self::Topic(name.into())
    }

    /// A group.
    #[must_use]
    pub fn group(group_id: impl Into<Arc<str>>) -> Self {
        Self::Group(group_id.into())
    }

    /// Type and name as on the wire.
    fn wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (2, name.to_string()),
            Self::Broker(node_id) => (4, node_id.to_string()),
            Self::EveryBroker => (4, String::new()),
            Self::BrokerLogger(node_id) => (8, node_id.to_string()),
            Self::ClientMetrics(name) => (16, name.to_string()),
            Self::Group(name) => (32, name.to_string()),
        }
    }

    fn read(kind: i8, name: &str) -> Option<Self> {
        Some(match kind {
            2 => Self::Topic(name.into()),
            4 if name.is_empty() => Self::EveryBroker,
            4 => Self::Broker(name.parse().ok()?),
            8 => Self::BrokerLogger(name.parse().ok()?),
            16 => Self::ClientMetrics(name.into()),
            32 => Self::Group(name.into()),
            _ => return None,
        })
    }

    /// A node knows its own configs; of the others every node knows (`KafkaAdminClient.nodeFor`).
    fn place(&self) -> Place {
        match self {
            Self::Broker(node_id) | Self::BrokerLogger(node_id) => Place::Node(*node_id),
            _ => Place::Any,
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(formatter, "topic {name}"),
            Self::Broker(node_id) => write!(formatter, "broker {node_id}"),
            Self::EveryBroker => formatter.write_str("every broker"),
            Self::BrokerLogger(node_id) => write!(formatter, "loggers of broker {node_id}"),
            Self::ClientMetrics(name) => write!(formatter, "client metrics {name}"),
            Self::Group(name) => write!(formatter, "group {name}"),
        }
    }
}

/// The value of a config and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// The value; `None` where it is secret, or has none.
    pub value: Option<String>,
    /// Where the value is from.
    pub source: ConfigSource,
    /// Whether it cannot be altered while the broker runs.
    pub is_read_only: bool,
    /// Whether the value is kept from readers.
    pub is_sensitive: bool,
    /// All the values that it could have, that which holds first.
    pub synonyms: Vec<ConfigSynonym>,
}

impl ConfigEntry {
    /// Whether nobody has set it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }
}

/// A value that a config has, or would have without another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigSynonym {
    /// The key there: `log.retention.ms` for the topic's `retention.ms`.
    pub key: String,
    /// The value; `None` where it is secret.
    pub value: Option<String>,
    /// Where it is from.
    pub source: ConfigSource,
}

/// Where the value of a config is from (`ConfigEntry.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the node while it runs.
    DynamicBroker,
    /// Set for every node while it runs.
    DynamicEveryBroker,
    /// From the file that the node was started with.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// Set for the node's loggers.
    DynamicBrokerLogger,
    /// Set for client metrics.
    ClientMetrics,
    /// Set for the group.
    Group,
    /// A source that this release does not know, or that the broker does not.
    Unknown(i8),
}

impl ConfigSource {
    fn from_number(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicEveryBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            other => Self::Unknown(other),
        }
    }
}

/// A change of one config. The others stay as they are (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    key: String,
    operation: i8,
    value: Option<String>,
}

impl ConfigChange {
    /// Sets a value.
    #[must_use]
    pub fn set(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), operation: 0, value: Some(value.into()) }
    }

    /// Goes back to the default.
    #[must_use]
    pub fn delete(key: impl Into<String>) -> Self {
        Self { key: key.into(), operation: 1, value: None }
    }

    /// Adds to a list, values separated by commas.
    #[must_use]
    pub fn append(key: impl Into<String>, values: impl Into<String>) -> Self {
        Self { key: key.into(), operation: 2, value: Some(values.into()) }
    }

    /// Takes out of a list, values separated by commas.
    #[must_use]
    pub fn subtract(key: impl Into<String>, values: impl Into<String>) -> Self {
        Self { key: key.into(), operation: 3, value: Some(values.into()) }
    }

    fn request(&self) -> AlterableConfig {
        AlterableConfig::default()
            .with_name(text(self.key.as_str()))
            .with_config_operation(self.operation)
            .with_value(self.value.as_deref().map(text))
    }
}

impl Admin {
    /// The configs of resources, by key. Errors: `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_REQUEST`.
    pub async fn describe_configs(
        &self,
        resources: impl IntoIterator<Item = ConfigResource>,
    ) -> Results<ConfigResource, BTreeMap<String, ConfigEntry>> {
        self.each(
            resources,
            ConfigResource::place,
            |_, resources| {
                let resources = resources.iter().map(|resource| {
                    let (kind, name) = resource.wire();
                    DescribeConfigsResource::default()
                        .with_resource_type(kind)
                        .with_resource_name(text(name))
                        .with_configuration_keys(None)
                });
                DescribeConfigsRequest::default().with_resources(resources.collect()).with_include_synonyms(true)
            },
            |_, answer: DescribeConfigsResponse| answer.results.iter().filter_map(described).collect(),
        )
        .await
    }

    /// Alters configs: only those that are named, all of a resource or none. Errors: `INVALID_CONFIG`,
    /// `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_REQUEST`, `POLICY_VIOLATION`.
    pub async fn alter_configs(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, Vec<ConfigChange>)>,
    ) -> Results<ConfigResource> {
        self.alter(changes, IncrementalAlterConfigsRequest::default()).await
    }

    /// Checks what [`Admin::alter_configs`] would do, and does not do it.
    pub async fn validate_configs(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, Vec<ConfigChange>)>,
    ) -> Results<ConfigResource> {
        self.alter(changes, IncrementalAlterConfigsRequest::default().with_validate_only(true)).await
    }

    async fn alter(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, Vec<ConfigChange>)>,
        request: IncrementalAlterConfigsRequest,
    ) -> Results<ConfigResource> {
        let changes: BTreeMap<ConfigResource, Vec<ConfigChange>> = changes.into_iter().collect();
        self.each(
            changes.keys().cloned(),
            ConfigResource::place,
            |_, resources| {
                let resources = resources.iter().map(|resource| {
                    let (kind, name) = resource.wire();
                    AlterConfigsResource::default()
                        .with_resource_type(kind)
                        .with_resource_name(text(name))
                        .with_configs(changes[resource].iter().map(ConfigChange::request).collect())
                });
                request.clone().with_resources(resources.collect())
            },
            |_, answer: IncrementalAlterConfigsResponse| {
                let resources = answer.responses.iter().filter_map(|of| {
                    let resource = ConfigResource::read(of.resource_type, &of.resource_name)?;
                    let api = IncrementalAlterConfigsRequest::NAME;
                    Some((resource, outcome(api, of.error_code, of.error_message.as_ref())))
                });
                resources.collect()
            },
        )
        .await
    }

    /// Everything that has, or may have, configs of its own: groups, nodes, client metrics, topics (KIP-1142; Kafka 4.1).
    pub async fn list_config_resources(&self) -> Result<Vec<ConfigResource>> {
        let read = |answer: ListConfigResourcesResponse| {
            outcome(ListConfigResourcesRequest::NAME, answer.error_code, None)?;
            let resources = answer.config_resources.iter();
            Ok(resources.filter_map(|of| ConfigResource::read(of.resource_type, &of.resource_name)).collect())
        };
        self.one(Place::Any, |_| ListConfigResourcesRequest::default(), read).await
    }
}

fn described(of: &DescribeConfigsResult) -> Option<(ConfigResource, Result<BTreeMap<String, ConfigEntry>>)> {
    let resource = ConfigResource::read(of.resource_type, &of.resource_name)?;
    let result = outcome(DescribeConfigsRequest::NAME, of.error_code, of.error_message.as_ref());
    let configs = result.map(|()| of.configs.iter().map(|config| (config.name.to_string(), entry(config))).collect());
    Some((resource, configs))
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = config.synonyms.iter().map(|synonym| ConfigSynonym {
        key: name(&synonym.name).to_string(),
        value: synonym.value.as_ref().map(ToString::to_string),
        source: ConfigSource::from_number(synonym.source),
    });
    ConfigEntry {
        value: config.value.as_ref().map(ToString::to_string),
        source: ConfigSource::from_number(config.config_source),
        is_read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        synonyms: synonyms.collect(),
    }
}
