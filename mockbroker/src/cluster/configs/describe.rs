//! Every config of a resource with where its value comes from: what DescribeConfigs and CreateTopics answer.
//!
//! Source: `ConfigHelper`, `KafkaConfigSchema`, seen on 4.3.1. Not given: documentation texts.

use super::key::{Key, Mode};
use super::tables::{self, BROKER_KEYS, CLIENT_METRICS_KEYS, GROUP_KEYS, TOPIC_KEYS, without_listener_prefix};
use super::{Configs, Properties, Resource};
use crate::cluster::Node;
use crate::types::NodeId;

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicBrokerLogger = 6,
    ClientMetrics = 7,
    Group = 8,
}

/// A config that decides the one described, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Synonym {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
}

/// One config of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    /// Null when it is not set or must not be shown.
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
    pub(crate) read_only: bool,
    pub(crate) is_sensitive: bool,
    /// `DescribeConfigsResponse.ConfigType`; 0 for a key nobody knows.
    pub(crate) config_type: i8,
    pub(crate) synonyms: Vec<Synonym>,
}

impl Configs {
    /// The configs of the topic `name`, sorted, values as Kafka parses them.
    pub(crate) fn describe_topic(&self, name: &str) -> Vec<Described> {
        let empty = Properties::new();
        let own = self.overrides(&Resource::Topic(name.to_owned())).unwrap_or(&empty);
        self.describe_topic_with(own)
    }

    /// The configs of a topic that has `own`.
    fn describe_topic_with(&self, own: &Properties) -> Vec<Described> {
        let keys = TOPIC_KEYS.iter().filter(|key| !key.internal || own.contains_key(key.name));
        keys.map(|key| {
            let mut synonyms = match key.synonyms.first() {
                None => Vec::new(),
                Some(primary) => self.broker_synonyms(self.node_for_topics(), primary, key.is_sensitive()),
            };
            let own_value = own.get(key.name).map(|raw| key.canonical(raw).unwrap_or_else(|_| raw.clone()));
            let value = own_value
                .clone()
                .or_else(|| self.broker_value_for_topic(key))
                .or_else(|| key.default.map(str::to_owned));
            if own_value.is_some() {
                synonyms.insert(0, Synonym { name: key.name.to_owned(), value: own_value, source: Source::Topic });
            }
            described(key, value, synonyms)
        })
        .collect()
    }

    /// The configs of a topic that would have `own`, sorted, own values exactly as given: CreateTopics answers so
    /// (`ConfigurationControlManager.computeEffectiveTopicConfigs`).
    pub(crate) fn effective_of_new_topic(&self, own: &Properties) -> Vec<Described> {
        let mut configs = self.describe_topic_with(own);
        for config in &mut configs {
            if let Some(raw) = own.get(&config.name) {
                config.value = Some(raw.clone());
            }
        }
        configs
    }

    /// The configs of `node`, sorted: all that Kafka knows, and those that were set although nobody knows them.
    pub(crate) fn describe_broker(&self, node: &Node) -> Vec<Described> {
        let identity = identity(node);
        let mut names: Vec<&str> = BROKER_KEYS.iter().filter(|key| !key.internal).map(|key| key.name).collect();
        names.extend(
            self.levels(Some(node.id)).into_iter().flatten().flat_map(|level| level.keys().map(String::as_str)),
        );
        names.sort_unstable();
        names.dedup();
        let describe = |name: &str| {
            let mut config = self.describe_broker_config(Some(node.id), name);
            if let Some((_, value)) = identity.iter().find(|(key, _)| *key == name)
                && config.source == Source::Default
            {
                config.value = Some(value.clone());
                config.source = Source::StaticBroker;
                config.synonyms.insert(
                    0,
                    Synonym { name: name.to_owned(), value: Some(value.clone()), source: Source::StaticBroker },
                );
            }
            config
        };
        names.into_iter().map(describe).collect()
    }

    /// What is set dynamically for all nodes, sorted.
    pub(crate) fn describe_broker_default(&self) -> Vec<Described> {
        let Some(properties) = self.overrides(&Resource::Broker(None)) else { return Vec::new() };
        let describe = |name: &String| {
            let mut config = self.describe_broker_config(None, name);
            config.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
            config
        };
        properties.keys().map(describe).collect()
    }

    /// The configs of the group `name`, whether there is such a group or not, sorted.
    pub(crate) fn describe_group(&self, node: NodeId, name: &str) -> Vec<Described> {
        let own = self.overrides(&Resource::Group(name.to_owned()));
        let describe = |key: &'static Key| {
            let mut synonyms = match key.synonyms.first() {
                Some(primary) => self.broker_synonyms(Some(node), primary, false),
                None => Vec::from([Synonym {
                    name: key.name.to_owned(),
                    value: key.default.map(str::to_owned),
                    source: Source::Default,
                }]),
            };
            let own =
                own.and_then(|own| own.get(key.name)).map(|raw| key.canonical(raw).unwrap_or_else(|_| raw.clone()));
            let broker =
                key.synonyms.first().and_then(|primary| self.set_value(Some(node), primary)).map(str::to_owned);
            let value = own.clone().or(broker).or_else(|| key.default.map(str::to_owned));
            if own.is_some() {
                synonyms.insert(0, Synonym { name: key.name.to_owned(), value: own, source: Source::Group });
            }
            described(key, value, synonyms)
        };
        GROUP_KEYS.iter().map(describe).collect()
    }

    /// The configs of the client-metrics subscription `name`, whether there is one or not, sorted.
    pub(crate) fn describe_client_metrics(&self, name: &str) -> Vec<Described> {
        let own = self.overrides(&Resource::ClientMetrics(name.to_owned()));
        let describe = |key: &'static Key| {
            let own =
                own.and_then(|own| own.get(key.name)).map(|raw| key.canonical(raw).unwrap_or_else(|_| raw.clone()));
            let value = own.clone().or_else(|| key.default.map(str::to_owned));
            let own = own.map(|value| Synonym {
                name: key.name.to_owned(),
                value: Some(value),
                source: Source::ClientMetrics,
            });
            described(key, value, own.into_iter().collect())
        };
        CLIENT_METRICS_KEYS.iter().map(describe).collect()
    }

    fn describe_broker_config(&self, node: Option<NodeId>, name: &str) -> Described {
        let Some(key) = tables::broker_key(name) else {
            // KafkaConfig.maybeSensitive: what has no type might be a secret.
            let synonyms = self.broker_synonyms(node, name, true);
            let source = synonyms.first().map_or(Source::Default, |synonym| synonym.source);
            return Described {
                name: name.to_owned(),
                value: None,
                source,
                read_only: true,
                is_sensitive: true,
                config_type: 0,
                synonyms,
            };
        };
        let set = self.set_value(node, name).map(|raw| key.canonical(raw).unwrap_or_else(|_| raw.to_owned()));
        let value = set.or_else(|| key.default.map(str::to_owned));
        let mut config = described(key, value, self.broker_synonyms(node, name, key.is_sensitive()));
        config.name = name.to_owned();
        config.read_only = key.mode == Mode::ReadOnly || without_listener_prefix(name).is_some();
        config
    }

    /// Where the broker config `name` is set, the strongest first (`ConfigHelper.configSynonyms`): level by level, and on
    /// each level the synonyms of the name. What comes before the name itself is left out, so that a broker with
    /// `log.retention.minutes` shows no synonym of `log.retention.ms`, and the source of that is "default".
    fn broker_synonyms(&self, node: Option<NodeId>, name: &str, is_sensitive: bool) -> Vec<Synonym> {
        let itself = [name];
        let names: &[&str] = match tables::broker_key(name) {
            Some(key) if !key.synonyms.is_empty() => key.synonyms,
            _ => &itself,
        };
        let sources = [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::StaticBroker];
        let [dynamic_node, dynamic_all, static_node, static_all] = self.levels(node);
        // The properties of a node replace those of all nodes: one server.properties has one value of a key.
        let static_all_unless_node = |name: &str| match static_node.and_then(|level| level.get(name)) {
            Some(_) => None,
            None => static_all.and_then(|level| level.get(name)),
        };
        let mut synonyms = Vec::new();
        for (index, source) in sources.into_iter().enumerate() {
            for &name in names {
                let value = match index {
                    0 => dynamic_node.and_then(|level| level.get(name)),
                    1 => dynamic_all.and_then(|level| level.get(name)),
                    2 => static_node.and_then(|level| level.get(name)),
                    _ => static_all_unless_node(name),
                };
                let Some(value) = value else { continue };
                let value = Some(value.clone()).filter(|_| !is_sensitive);
                synonyms.push(Synonym { name: name.to_owned(), value, source });
            }
        }
        if let Some(value) = self.fitted_value(name)
            && synonyms.iter().all(|synonym| synonym.source != Source::StaticBroker)
        {
            synonyms.push(Synonym {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                source: Source::StaticBroker,
            });
        }
        for &name in names {
            if let Some(value) = tables::broker_key(name).and_then(|key| key.default) {
                let value = Some(value.to_owned()).filter(|_| !is_sensitive);
                synonyms.push(Synonym { name: name.to_owned(), value, source: Source::Default });
            }
        }
        let first = synonyms.iter().position(|synonym| synonym.name == name).unwrap_or(synonyms.len());
        synonyms.split_off(first)
    }
}

/// What every broker has in its `server.properties` because it would not start without.
fn identity(node: &Node) -> Vec<(&'static str, String)> {
    let listener = format!("PLAINTEXT://{}:{}", node.host, node.port);
    let mut identity = vec![
        ("advertised.listeners", listener.clone()),
        ("broker.id", node.id.to_string()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listeners", listener),
        ("node.id", node.id.to_string()),
        ("process.roles", "broker,controller".to_owned()),
    ];
    identity.extend(node.rack.clone().map(|rack| ("broker.rack", rack)));
    identity
}

fn described(key: &Key, value: Option<String>, synonyms: Vec<Synonym>) -> Described {
    Described {
        name: key.name.to_owned(),
        value: value.filter(|_| !key.is_sensitive()),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only: false,
        is_sensitive: key.is_sensitive(),
        config_type: key.value_type as i8,
        synonyms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node::new(NodeId(1), "localhost".to_owned(), 9092)
    }

    fn configs(properties: &[(&str, &str)]) -> Configs {
        Configs::new([NodeId(1)], properties.iter().copied())
    }

    fn find(configs: Vec<Described>, name: &str) -> Described {
        configs.into_iter().find(|config| config.name == name).unwrap()
    }

    fn sources(config: &Described) -> Vec<(&str, Option<&str>, i8)> {
        config.synonyms.iter().map(|s| (s.name.as_str(), s.value.as_deref(), s.source as i8)).collect()
    }

    #[test]
    fn a_topic_lists_its_own_value_then_the_broker_levels() {
        // Seen on 4.3.1: cleanup.policy set on the topic, log.cleanup.policy left alone.
        let mut configs = configs(&[("log.cleanup.policy", "compact")]);
        configs.replace(Resource::Topic("t".into()), Properties::from([("cleanup.policy".into(), "delete".into())]));
        let policy = find(configs.describe_topic("t"), "cleanup.policy");
        let expected = [
            ("cleanup.policy", Some("delete"), 1),
            ("log.cleanup.policy", Some("compact"), 4),
            ("log.cleanup.policy", Some("delete"), 5),
        ];
        assert_eq!(sources(&policy), expected);
        assert_eq!((policy.config_type, policy.source), (7, Source::Topic));
    }

    #[test]
    fn a_coarser_synonym_gives_the_value_but_is_not_listed() {
        // Seen on 4.3.1 with log.retention.minutes=70: value 4200000, source 5, no synonyms.
        let configs = configs(&[("log.retention.hours", "5"), ("log.retention.minutes", "70")]);
        let retention = find(configs.describe_topic("t"), "retention.ms");
        assert_eq!((retention.value.as_deref(), retention.source), (Some("4200000"), Source::Default));
        assert_eq!(sources(&retention), []);
        let minutes = find(configs.describe_broker(&node()), "log.retention.minutes");
        let expected = [
            ("log.retention.minutes", Some("70"), 4),
            ("log.retention.hours", Some("5"), 4),
            ("log.retention.hours", Some("168"), 5),
        ];
        assert_eq!(sources(&minutes), expected);
    }

    #[test]
    fn an_unknown_broker_config_is_listed_and_its_value_hidden() {
        // Seen on 4.3.1 with my.unknown.key=abc.
        let configs = configs(&[("my.unknown.key", "abc"), ("ssl.key.password", "sss")]);
        let unknown = find(configs.describe_broker(&node()), "my.unknown.key");
        assert_eq!((unknown.value.as_deref(), unknown.config_type, unknown.read_only), (None, 0, true));
        assert_eq!(sources(&unknown), [("my.unknown.key", None, 4)]);
        let password = find(configs.describe_broker(&node()), "ssl.key.password");
        assert_eq!((password.value.as_deref(), password.config_type, password.read_only), (None, 9, false));
        assert_eq!(sources(&password), [("ssl.key.password", None, 4)]);
    }

    #[test]
    fn a_broker_lists_what_a_real_one_lists() {
        // Seen on 4.3.1: 340 configs; min.insync.replicas is a dynamic default since the cluster has ELR.
        let all = configs(&[("num.partitions", "3")]).describe_broker(&node());
        assert_eq!(all.len(), 340);
        assert!(all.is_sorted_by(|a, b| a.name < b.name));
        let minimum = find(all.clone(), "min.insync.replicas");
        let expected = [("min.insync.replicas", Some("1"), 3), ("min.insync.replicas", Some("1"), 5)];
        assert_eq!((sources(&minimum).as_slice(), minimum.read_only), (expected.as_slice(), false));
        assert_eq!(sources(&find(all.clone(), "node.id")), [("node.id", Some("1"), 4)]);
        assert!(find(all, "num.partitions").read_only);
    }

    #[test]
    fn the_replicas_of_internal_topics_are_listed_as_if_configured() {
        // Our documented difference, shown as a real cluster of one node that works would show it.
        let replicas = find(configs(&[]).describe_broker(&node()), "offsets.topic.replication.factor");
        let expected =
            [("offsets.topic.replication.factor", Some("1"), 4), ("offsets.topic.replication.factor", Some("3"), 5)];
        assert_eq!((sources(&replicas).as_slice(), replicas.value.as_deref()), (expected.as_slice(), Some("1")));
        let asked = configs(&[("offsets.topic.replication.factor", "2")]);
        let replicas = find(asked.describe_broker(&node()), "offsets.topic.replication.factor");
        assert_eq!(sources(&replicas)[0], ("offsets.topic.replication.factor", Some("2"), 4));
        assert_eq!(replicas.synonyms.len(), 2);
    }

    #[test]
    fn a_group_lists_the_broker_config_that_gives_its_default() {
        // Seen on 4.3.1, with and without an override, and for a key that no broker config stands for.
        let mut configs = configs(&[("group.consumer.session.timeout.ms", "50000")]);
        let key = "consumer.session.timeout.ms";
        let broker = "group.consumer.session.timeout.ms";
        let session = find(configs.describe_group(NodeId(1), "g"), key);
        assert_eq!(sources(&session), [(broker, Some("50000"), 4), (broker, Some("45000"), 5)]);
        assert_eq!(session.value.as_deref(), Some("50000"));
        configs.replace(Resource::Group("g".into()), Properties::from([(key.into(), "46000".into())]));
        let session = find(configs.describe_group(NodeId(1), "g"), key);
        assert_eq!(sources(&session)[0], (key, Some("46000"), 8));
        let reset = find(configs.describe_group(NodeId(1), "g"), "share.auto.offset.reset");
        assert_eq!(sources(&reset), [("share.auto.offset.reset", Some("latest"), 5)]);
    }
}
