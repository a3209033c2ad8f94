//! From config texts to the typed [`TopicConfig`]: overrides of the topic, else the broker configs that stand for them.

use super::key::Key;
use super::tables::{TOPIC_KEYS, topic_key};
use super::{Configs, Properties};
use crate::cluster::{CompressionType, TimestampType, TopicConfig};

impl Configs {
    /// The typed config of a topic with `overrides`.
    pub(super) fn topic_values(&self, overrides: &Properties) -> TopicConfig {
        let mut config = TopicConfig::default();
        // A cluster starts in microseconds, so only the keys that something was said of are looked at.
        for key in TOPIC_KEYS.iter().filter(|key| overrides.contains_key(key.name) || self.is_set_for_topics(key)) {
            let own = overrides.get(key.name).and_then(|value| key.canonical(value).ok());
            if let Some(value) = own.or_else(|| self.broker_value_for_topic(key)) {
                set(&mut config, key.name, &value);
            }
        }
        // For tests, Kafka's internal key goes below the least size the public one allows, and wins (LogConfig.segmentSize).
        if let Some(bytes) = overrides.get("internal.segment.bytes") {
            set(&mut config, "segment.bytes", bytes.trim());
        }
        let level = |name: &str| {
            let own = overrides.get(name).map(String::as_str);
            own.or_else(|| self.set_value(self.node_for_topics(), name)).and_then(|value| value.trim().parse().ok())
        };
        // The codec's own level counts only with that codec, so it is read once the codec is known.
        match &mut config.compression_type {
            CompressionType::Gzip { level: gzip } => *gzip = level("compression.gzip.level").unwrap_or(-1),
            CompressionType::Lz4 { level: lz4 } => *lz4 = level("compression.lz4.level").unwrap_or(9),
            CompressionType::Zstd { level: zstd } => *zstd = level("compression.zstd.level").unwrap_or(3),
            CompressionType::Producer | CompressionType::Uncompressed | CompressionType::Snappy => {}
        }
        config
    }

    /// Whether some broker config that stands for `key` was set.
    fn is_set_for_topics(&self, key: &Key) -> bool {
        let mut set = self.levels(self.node_for_topics()).into_iter().flatten().flat_map(|level| level.keys());
        set.any(|name| key.synonyms.contains(&name.as_str()))
    }

    /// The value a broker config gives to the topic config `key`, in the topic's unit; `None` when no broker config for it
    /// was set (`KafkaConfig.extractLogConfigMap`). Of several, the first one set counts.
    pub(super) fn broker_value_for_topic(&self, key: &Key) -> Option<String> {
        let node = self.node_for_topics();
        let (name, value) = key.synonyms.iter().find_map(|name| Some((name, self.set_value(node, name)?)))?;
        let unit: i64 = match name.rsplit('.').next() {
            Some("hours") => 3_600_000,
            Some("minutes") => 60_000,
            _ => return key.canonical(value).ok(),
        };
        // KafkaConfig.logRetentionTimeMillis: any negative length is "for ever".
        let number: i64 = value.trim().parse().ok()?;
        Some(if number < 0 { -1 } else { number.saturating_mul(unit) }.to_string())
    }
}

/// The value of the topic config `name` in `properties`, parsed, or its default. For checks between two values.
pub(super) fn number(properties: &Properties, name: &str) -> Option<i64> {
    let value = properties.get(name).map(String::as_str).or_else(|| topic_key(name)?.default);
    value?.trim().parse().ok()
}

/// Sets what `name` stands for. Values have been validated when they were set; what does not parse changes nothing.
fn set(config: &mut TopicConfig, name: &str, value: &str) {
    fn number<T: std::str::FromStr>(field: &mut T, value: &str) {
        if let Ok(number) = value.parse() {
            *field = number;
        }
    }
    match name {
        "cleanup.policy" => {
            config.cleanup_compact = value.split(',').any(|policy| policy == "compact");
            config.cleanup_delete = value.split(',').any(|policy| policy == "delete");
        }
        "compression.type" => config.compression_type = compression_type(value),
        "unclean.leader.election.enable" => config.unclean_leader_election_enable = value == "true",
        "max.message.bytes" => number(&mut config.max_message_bytes, value),
        "message.timestamp.type" => {
            config.message_timestamp_type = match value {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            }
        }
        "message.timestamp.before.max.ms" => number(&mut config.message_timestamp_before_max_ms, value),
        "message.timestamp.after.max.ms" => number(&mut config.message_timestamp_after_max_ms, value),
        "min.insync.replicas" => number(&mut config.min_insync_replicas, value),
        "retention.bytes" => number(&mut config.retention_bytes, value),
        "retention.ms" => number(&mut config.retention_ms, value),
        "segment.bytes" => number(&mut config.segment_bytes, value),
        "segment.ms" => number(&mut config.segment_ms, value),
        "segment.jitter.ms" => number(&mut config.segment_jitter_ms, value),
        "segment.index.bytes" => number(&mut config.segment_index_bytes, value),
        "index.interval.bytes" => number(&mut config.index_interval_bytes, value),
        "max.compaction.lag.ms" => number(&mut config.max_compaction_lag_ms, value),
        "min.compaction.lag.ms" => number(&mut config.min_compaction_lag_ms, value),
        "min.cleanable.dirty.ratio" => number(&mut config.min_cleanable_dirty_ratio, value),
        "delete.retention.ms" => number(&mut config.delete_retention_ms, value),
        _ => {}
    }
}

/// The codec of `compression.type`, with Kafka's default level.
fn compression_type(name: &str) -> CompressionType {
    match name {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip { level: -1 },
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4 { level: 9 },
        "zstd" => CompressionType::Zstd { level: 3 },
        _ => CompressionType::Producer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn topic(properties: &[(&str, &str)], overrides: &[(&str, &str)]) -> TopicConfig {
        let configs = Configs::new([NodeId(1)], properties.iter().copied());
        configs.topic_values(&overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn without_settings_every_field_has_the_default_of_its_key() {
        let mut from_table = TopicConfig::default();
        for key in TOPIC_KEYS {
            set(&mut from_table, key.name, key.default.unwrap_or("none"));
        }
        assert_eq!(from_table, TopicConfig::default());
        assert_eq!(topic(&[], &[]), TopicConfig::default());
    }

    #[test]
    fn the_finest_of_the_retention_settings_of_a_broker_counts() {
        // Source: KafkaConfig.logRetentionTimeMillis; seen on 4.3.1 with hours=5 and minutes=70.
        assert_eq!(topic(&[("log.retention.hours", "5")], &[]).retention_ms, 18_000_000);
        let both = [("log.retention.hours", "5"), ("log.retention.minutes", "70")];
        assert_eq!(topic(&both, &[]).retention_ms, 4_200_000);
        assert_eq!(topic(&[("log.retention.minutes", "-1")], &[]).retention_ms, -1);
        assert_eq!(topic(&both, &[("retention.ms", " 8 ")]).retention_ms, 8);
    }

    #[test]
    fn a_codec_takes_its_level_from_the_topic_or_the_broker() {
        let zstd = [("compression.type", "zstd"), ("compression.zstd.level", "7")];
        assert_eq!(topic(&zstd, &[]).compression_type, CompressionType::Zstd { level: 7 });
        let own = [("compression.type", "gzip"), ("compression.gzip.level", "+7")];
        assert_eq!(topic(&zstd, &own).compression_type, CompressionType::Gzip { level: 7 });
        assert_eq!(topic(&zstd, &[("compression.type", "lz4")]).compression_type, CompressionType::Lz4 { level: 9 });
    }

    #[test]
    fn a_topic_may_have_no_cleanup_policy_at_all() {
        // Source: KIP-1161 (4.2): an empty cleanup.policy keeps everything.
        let config = topic(&[], &[("cleanup.policy", "")]);
        assert_eq!((config.cleanup_compact, config.cleanup_delete), (false, false));
        assert!(topic(&[], &[("cleanup.policy", " compact , delete ")]).cleanup_compact);
    }
}
