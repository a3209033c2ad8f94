//! Whether a change of configs is allowed, and what the configs are afterwards. Nothing is stored here.
//!
//! Source: `ConfigAdminManager` (what a broker checks), `ConfigurationControlManager` and
//! `ControllerConfigurationValidator` (what the controller checks), `LogConfig.validate`, `GroupConfig.validate`,
//! `ClientMetricsConfigs.validate`, `DynamicBrokerConfig.validateConfigs`. Texts are those of 4.3.1.
//! Not modelled: most rules of single dynamic settings (thread counts may at most double, the cleaner's threads and its
//! buffer fit each other), the syntax of the patterns of client-metrics subscriptions, and policies.

use kafka_protocol::error::ResponseError;

use super::key::{Mode, Type};
use super::topic_values::number;
use super::{Configs, MIN_INSYNC_REPLICAS, Properties, Resource, tables};
use crate::cluster::{Refusal, names};
use crate::types::NodeId;

/// One change of one key (`AlterConfigOp`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Set(String),
    Delete,
    Append(String),
    Subtract(String),
}

impl Configs {
    /// What `resource` has after `changes`, if they are allowed. That the topic exists is the caller's to check, after
    /// this, as Kafka does.
    pub(crate) fn altered(&self, resource: &Resource, changes: &[(String, Op)]) -> Result<Properties, Refusal> {
        let before = self.overrides(resource).cloned().unwrap_or_default();
        let mut after = before.clone();
        for (name, op) in changes {
            match op {
                Op::Set(value) => {
                    after.insert(name.clone(), value.clone());
                }
                Op::Delete => {
                    after.remove(name);
                }
                Op::Append(value) => {
                    let mut items = list_items(resource, name, &after, "APPEND", "append")?;
                    for item in value.split(',') {
                        if !items.iter().any(|present| present == item) {
                            items.push(item.to_owned());
                        }
                    }
                    after.insert(name.clone(), items.join(","));
                }
                Op::Subtract(value) => {
                    let mut items = list_items(resource, name, &after, "SUBTRACT", "subtract")?;
                    items.retain(|present| !value.split(',').any(|item| item == present));
                    after.insert(name.clone(), items.join(","));
                }
            }
            if after.get(name).is_some_and(|value| value.len() > MAX_VALUE_LENGTH) {
                let text =
                    "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.";
                return Err(Refusal::new(ResponseError::InvalidConfig, text));
            }
        }
        self.check(resource, &before, &after)?;
        Ok(after)
    }

    /// Checks that `resource` may have the configs `after` instead of `before`.
    pub(crate) fn check(&self, resource: &Resource, before: &Properties, after: &Properties) -> Result<(), Refusal> {
        match resource {
            Resource::Topic(name) => self.check_topic(name, after),
            Resource::Broker(node) => check_broker(*node, before, after),
            Resource::Group(name) => self.check_group(name, after),
            Resource::ClientMetrics(name) => check_client_metrics(name, after),
        }
    }

    fn check_topic(&self, name: &str, after: &Properties) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::new(ResponseError::InvalidRequest, "Default topic resources are not allowed."));
        }
        names::check(name)?;
        for name in after.keys() {
            if tables::topic_key(name).is_none() {
                return Err(invalid_config(format!("Unknown topic config name: {name}")));
            }
        }
        for (name, value) in after {
            if let Some(key) = tables::topic_key(name) {
                key.canonical(value).map_err(invalid_config)?;
            }
        }
        let least = number(after, "min.compaction.lag.ms").unwrap_or(0);
        let most = number(after, "max.compaction.lag.ms").unwrap_or(i64::MAX);
        if least > most {
            return Err(invalid_config(format!(
                "conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
            )));
        }
        if after.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            let text = "Tiered Storage functionality is disabled in the broker. \
                        Topic cannot be configured with remote log storage.";
            return Err(invalid_config(text.to_owned()));
        }
        Ok(())
    }

    fn check_group(&self, name: &str, after: &Properties) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::new(ResponseError::InvalidRequest, "Default group resources are not allowed."));
        }
        for name in after.keys() {
            if tables::group_key(name).is_none() {
                return Err(invalid_config(format!("Unknown group config name: {name}")));
            }
        }
        for (name, value) in after {
            let Some(key) = tables::group_key(name) else { continue };
            let value = key.canonical(value).map_err(invalid_config)?;
            let Ok(value) = value.parse::<i64>() else { continue };
            for (bound, is_broken, text) in [
                (bound_key(name, "min"), (|value, bound| value < bound) as fn(i64, i64) -> bool, "greater"),
                (bound_key(name, "max"), |value, bound| value > bound, "less"),
            ] {
                let limit = self.broker_number(&bound);
                if limit.is_some_and(|limit| is_broken(value, limit)) {
                    return Err(invalid_config(format!("{name} must be {text} than or equal to {bound}")));
                }
            }
        }
        for kind in ["consumer", "share", "streams"] {
            let (session, heartbeat) = (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
            let value = |name: &str| {
                let own = after.get(name).and_then(|value| value.trim().parse().ok());
                own.or_else(|| self.broker_number(&format!("group.{name}")))
            };
            let is_set = after.contains_key(&session) || after.contains_key(&heartbeat);
            if is_set && value(&session) <= value(&heartbeat) {
                return Err(invalid_config(format!("{session} must be greater than {heartbeat}")));
            }
        }
        Ok(())
    }

    /// The value of a broker config with a number, as all nodes see it.
    fn broker_number(&self, name: &str) -> Option<i64> {
        let value = self.set_value(None, name).or_else(|| tables::broker_key(name)?.default)?;
        value.trim().parse().ok()
    }
}

/// The broker config that bounds the group config `name`: `consumer.session.timeout.ms` is bounded by
/// `group.consumer.min.session.timeout.ms`. One name is irregular: the bound of `streams.num.standby.replicas`.
fn bound_key(name: &str, bound: &str) -> String {
    let (kind, rest) = name.split_once('.').unwrap_or((name, ""));
    format!("group.{kind}.{bound}.{}", if rest == "num.standby.replicas" { "standby.replicas" } else { rest })
}

/// The items that APPEND and SUBTRACT start from: the value, or the default of the key. Kafka has one text for what the
/// controller checks and one for what a broker checks before it forwards the request.
fn list_items(
    resource: &Resource,
    name: &str,
    properties: &Properties,
    op: &str,
    broker_op: &str,
) -> Result<Vec<String>, Refusal> {
    let key = match resource {
        Resource::Topic(_) => tables::topic_key(name),
        Resource::Broker(_) => tables::broker_key(name),
        // ConfigurationControlManager knows the types of topic and broker keys only (KafkaConfigSchema.isSplittable).
        Resource::Group(_) | Resource::ClientMetrics(_) => None,
    };
    if !key.is_some_and(|key| key.value_type == Type::List) {
        let text = match (resource, key) {
            (Resource::Broker(_), None) => format!("Unknown config name: {name}"),
            (Resource::Broker(_), Some(_)) => format!("Config value {broker_op} is not allowed for config key: {name}"),
            _ => format!("Can't {op} to key {name} because its type is not LIST."),
        };
        return Err(invalid_config(text));
    }
    let value = properties.get(name).map(String::as_str).or_else(|| key?.default).unwrap_or("");
    Ok(value.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect())
}

fn check_broker(node: Option<NodeId>, before: &Properties, after: &Properties) -> Result<(), Refusal> {
    let invalid = |text: String| Refusal::new(ResponseError::InvalidRequest, text);
    let names_where = |is_wrong: fn(&str) -> bool| {
        after.keys().map(String::as_str).filter(|name| is_wrong(name)).collect::<Vec<_>>().join(", ")
    };
    let per_listener = names_where(|name| PER_LISTENER_ONLY.contains(&name));
    if !per_listener.is_empty() {
        return Err(invalid(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [{per_listener}]"
        )));
    }
    let fixed = names_where(|name| tables::broker_key(name).is_some() && tables::mode(name) == Mode::ReadOnly);
    if !fixed.is_empty() {
        return Err(invalid(format!("Cannot update these configs dynamically: [{fixed}]")));
    }
    let of_one_node = names_where(|name| tables::mode(name) == Mode::PerBroker && tables::broker_key(name).is_some());
    if node.is_none() && !of_one_node.is_empty() {
        return Err(invalid(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: [{of_one_node}]"
        )));
    }
    for (name, value) in after {
        if let Some(key) = tables::broker_key(name) {
            key.canonical(value).map_err(invalid)?;
        }
    }
    // KafkaConfig.validateValues.
    if after.get("log.retention.ms").is_some_and(|value| !value.trim().parse().is_ok_and(|ms: i64| ms == -1 || ms >= 1))
    {
        let text = "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1";
        return Err(invalid(text.to_owned()));
    }
    let changed = before.get(MIN_INSYNC_REPLICAS) != after.get(MIN_INSYNC_REPLICAS);
    match (node, after.get(MIN_INSYNC_REPLICAS)) {
        (Some(_), Some(_)) => {
            let text = "Broker-level min.insync.replicas cannot be altered while ELR is enabled.";
            Err(invalid_config(text.to_owned()))
        }
        (None, None) if changed => {
            let text = "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.";
            Err(invalid_config(text.to_owned()))
        }
        _ => Ok(()),
    }
}

fn check_client_metrics(name: &str, after: &Properties) -> Result<(), Refusal> {
    let invalid = |text: String| Refusal::new(ResponseError::InvalidRequest, text);
    if name.is_empty() {
        return Err(invalid("Subscription name can't be empty".to_owned()));
    }
    for name in after.keys() {
        if tables::client_metrics_key(name).is_none() {
            return Err(invalid(format!("Unknown client metrics configuration: {name}")));
        }
    }
    for (name, value) in after {
        let Some(key) = tables::client_metrics_key(name) else { continue };
        let value = key.canonical(value).map_err(invalid_config)?;
        match name.as_str() {
            "interval.ms" if !value.parse().is_ok_and(|millis: i64| (100..=3_600_000).contains(&millis)) => {
                return Err(invalid(format!(
                    "Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                )));
            }
            "match" => {
                for pattern in value.split(',').filter(|pattern| !pattern.is_empty()) {
                    let (selector, regex) = pattern.split_once('=').unwrap_or((pattern, ""));
                    if regex.is_empty() || !CLIENT_SELECTORS.contains(&selector.trim()) {
                        return Err(invalid_config(format!("Illegal client matching pattern: {pattern}")));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn invalid_config(text: String) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, text)
}

/// `ConfigurationControlManager`: values longer than a short string of the protocol cannot be stored.
const MAX_VALUE_LENGTH: usize = 32_767;

/// `DynamicSecurityConfigs`: they belong to one listener.
const PER_LISTENER_ONLY: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// `ClientMetricsConfigs.ALLOWED_MATCH_PARAMS`.
const CLIENT_SELECTORS: &[&str] = &[
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Resource {
        Resource::Topic("t".to_owned())
    }

    fn set(name: &str, value: &str) -> Vec<(String, Op)> {
        vec![(name.to_owned(), Op::Set(value.to_owned()))]
    }

    /// The code and text of changing `resource` in a cluster of one node.
    fn outcome(resource: &Resource, changes: &[(String, Op)]) -> (i16, String) {
        let configs = Configs::new([NodeId(1)], []);
        match configs.altered(resource, changes) {
            Ok(_) => (0, String::new()),
            Err(refusal) => (refusal.error.code(), refusal.message.unwrap_or_default()),
        }
    }

    #[test]
    fn a_bad_topic_config_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        for (name, value, text) in [
            ("nope", "1", "Unknown topic config name: nope"),
            ("retention.ms", "abc", "Invalid value abc for configuration retention.ms: Not a number of type LONG"),
            ("retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"),
            ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
            ("segment.bytes", "14", "Invalid value 14 for configuration segment.bytes: Value must be at least 1048576"),
            (
                "cleanup.policy",
                "foo",
                "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            ("cleanup.policy", ",", "Configuration 'cleanup.policy' values must not be empty."),
            (
                "compression.gzip.level",
                "0",
                "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
            ),
            (
                "preallocate",
                "yes",
                "Invalid value yes for configuration preallocate: Expected value to be either true or false",
            ),
            (
                "min.cleanable.dirty.ratio",
                "2",
                "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                "min.compaction.lag.ms",
                "10",
                "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
            ),
        ] {
            let mut changes = set(name, value);
            if name == "min.compaction.lag.ms" {
                changes.extend(set("max.compaction.lag.ms", "5"));
            }
            assert_eq!(outcome(&topic(), &changes), (40, text.to_owned()));
        }
        for (name, value) in [("retention.ms", " 5000 "), ("preallocate", "TRUE"), ("cleanup.policy", "")] {
            assert_eq!(outcome(&topic(), &set(name, value)).0, 0, "{name}={value}");
        }
    }

    #[test]
    fn a_bad_broker_config_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let (all, one) = (Resource::Broker(None), Resource::Broker(Some(NodeId(1))));
        for (resource, name, value, code, text) in [
            (&one, "num.partitions", "3", 42, "Cannot update these configs dynamically: [num.partitions]"),
            (
                &all,
                "listeners",
                "x",
                42,
                "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
            ),
            (
                &one,
                "background.threads",
                "0",
                42,
                "Invalid value 0 for configuration background.threads: Value must be at least 1",
            ),
            (
                &one,
                "ssl.keystore.location",
                "/x",
                42,
                "These security configs can be dynamically updated only per-listener using the listener prefix: \
                 [ssl.keystore.location]",
            ),
            (
                &one,
                "min.insync.replicas",
                "1",
                40,
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            ),
            (
                &one,
                "follower.replication.throttled.rate",
                "-5",
                42,
                "Invalid value -5 for configuration follower.replication.throttled.rate: Value must be at least 0",
            ),
            (
                &one,
                "log.retention.ms",
                "0",
                42,
                "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
            ),
            (&one, "foo", "x", 0, ""),
            (&all, "min.insync.replicas", "2", 0, ""),
        ] {
            assert_eq!(outcome(resource, &set(name, value)), (code, text.to_owned()));
        }
        let delete = [("min.insync.replicas".to_owned(), Op::Delete)];
        assert_eq!(outcome(&all, &delete).0, 40);
        let append = |name: &str| [(name.to_owned(), Op::Append("1".to_owned()))];
        assert_eq!(
            outcome(&one, &append("background.threads")),
            (40, "Config value append is not allowed for config key: background.threads".to_owned())
        );
        assert_eq!(outcome(&one, &append("foo")), (40, "Unknown config name: foo".to_owned()));
    }

    #[test]
    fn a_bad_group_config_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let group = Resource::Group("g".to_owned());
        for (name, value, text) in [
            ("foo", "1", "Unknown group config name: foo"),
            (
                "consumer.session.timeout.ms",
                "1",
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                "share.delivery.count.limit",
                "50",
                "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit",
            ),
            (
                "streams.num.standby.replicas",
                "50",
                "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
            ),
        ] {
            assert_eq!(outcome(&group, &set(name, value)), (40, text.to_owned()));
        }
        assert_eq!(outcome(&group, &set("consumer.session.timeout.ms", "46000")).0, 0);
        assert_eq!(outcome(&Resource::Group(String::new()), &set("x", "y")).0, 42);
    }

    #[test]
    fn appending_starts_from_the_default_and_adds_what_is_missing() {
        // Source: ConfigurationControlManager.getParts; seen on 4.3.1.
        let mut configs = Configs::new([NodeId(1)], []);
        let mut change = |op: Op| {
            let after = configs.altered(&topic(), &[("cleanup.policy".to_owned(), op)]).unwrap();
            let value = after.get("cleanup.policy").cloned();
            configs.replace(topic(), after);
            value
        };
        assert_eq!(change(Op::Append("compact".into())).as_deref(), Some("delete,compact"));
        assert_eq!(change(Op::Append("compact,delete".into())).as_deref(), Some("delete,compact"));
        assert_eq!(change(Op::Subtract("delete".into())).as_deref(), Some("compact"));
        assert_eq!(change(Op::Subtract("compact".into())).as_deref(), Some(""));
        assert_eq!(change(Op::Delete), None);
    }

    #[test]
    fn a_client_metrics_subscription_is_checked() {
        // Each line was seen on 4.3.1.
        let metrics = Resource::ClientMetrics("m".to_owned());
        assert_eq!(outcome(&metrics, &set("interval.ms", "5000")).0, 0);
        assert_eq!(outcome(&metrics, &set("interval.ms", "5")).0, 42);
        assert_eq!(outcome(&metrics, &set("foo", "5")).0, 42);
        let pattern = (40, "Illegal client matching pattern: foo".to_owned());
        assert_eq!(outcome(&metrics, &set("match", "foo")), pattern);
        assert_eq!(outcome(&metrics, &set("match", "client_id=a.*")).0, 0);
    }
}
