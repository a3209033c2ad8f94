//! The topic configs of Apache Kafka 4.3.1 and the broker configs that give their defaults. Data only; the test in
//! `key.rs` holds every line to `fixtures/kafka/configs.txt`, which Kafka itself printed.

use super::key::Key;
use super::key::Type::{Boolean, Double, Int, List, Long, String};
use super::key::Valid::{Any, AtLeast, Between, GzipLevel, ListOf, OneOf, Ratio, ThrottledReplicas};

/// Sorted by name. The first synonym is the one DescribeConfigs lists.
#[rustfmt::skip]
pub(crate) static TOPIC_KEYS: &[Key] = &[
    Key::new("cleanup.policy", List, Some("delete"), ListOf(&["compact", "delete"])).synonyms(&["log.cleanup.policy"]),
    Key::new("compression.gzip.level", Int, Some("-1"), GzipLevel).synonyms(&["compression.gzip.level"]),
    Key::new("compression.lz4.level", Int, Some("9"), Between(1, 17)).synonyms(&["compression.lz4.level"]),
    Key::new("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])).synonyms(&["compression.type"]),
    Key::new("compression.zstd.level", Int, Some("3"), Between(-131072, 22)).synonyms(&["compression.zstd.level"]),
    Key::new("delete.retention.ms", Long, Some("86400000"), AtLeast(0)).synonyms(&["log.cleaner.delete.retention.ms"]),
    Key::new("file.delete.delay.ms", Long, Some("60000"), AtLeast(0)).synonyms(&["log.segment.delete.delay.ms"]),
    Key::new("flush.messages", Long, Some("9223372036854775807"), AtLeast(1)).synonyms(&["log.flush.interval.messages"]),
    Key::new("flush.ms", Long, Some("9223372036854775807"), AtLeast(0)).synonyms(&["log.flush.interval.ms", "log.flush.scheduler.interval.ms"]),
    Key::new("follower.replication.throttled.replicas", List, Some(""), ThrottledReplicas),
    Key::new("index.interval.bytes", Int, Some("4096"), AtLeast(0)).synonyms(&["log.index.interval.bytes"]),
    Key::new("internal.segment.bytes", Int, None, Any).internal(),
    Key::new("leader.replication.throttled.replicas", List, Some(""), ThrottledReplicas),
    Key::new("local.retention.bytes", Long, Some("-2"), AtLeast(-2)).synonyms(&["log.local.retention.bytes"]),
    Key::new("local.retention.ms", Long, Some("-2"), AtLeast(-2)).synonyms(&["log.local.retention.ms"]),
    Key::new("max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1)).synonyms(&["log.cleaner.max.compaction.lag.ms"]),
    Key::new("max.message.bytes", Int, Some("1048588"), AtLeast(0)).synonyms(&["message.max.bytes"]),
    Key::new("message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0)).synonyms(&["log.message.timestamp.after.max.ms"]),
    Key::new("message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0)).synonyms(&["log.message.timestamp.before.max.ms"]),
    Key::new("message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"])).synonyms(&["log.message.timestamp.type"]),
    Key::new("min.cleanable.dirty.ratio", Double, Some("0.5"), Ratio(0.0, 1.0)).synonyms(&["log.cleaner.min.cleanable.ratio"]),
    Key::new("min.compaction.lag.ms", Long, Some("0"), AtLeast(0)).synonyms(&["log.cleaner.min.compaction.lag.ms"]),
    Key::new("min.insync.replicas", Int, Some("1"), AtLeast(1)).synonyms(&["min.insync.replicas"]),
    Key::new("preallocate", Boolean, Some("false"), Any).synonyms(&["log.preallocate"]),
    Key::new("remote.log.copy.disable", Boolean, Some("false"), Any),
    Key::new("remote.log.delete.on.disable", Boolean, Some("false"), Any),
    Key::new("remote.storage.enable", Boolean, Some("false"), Any),
    Key::new("retention.bytes", Long, Some("-1"), Any).synonyms(&["log.retention.bytes"]),
    Key::new("retention.ms", Long, Some("604800000"), AtLeast(-1)).synonyms(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"]),
    Key::new("segment.bytes", Int, Some("1073741824"), AtLeast(1048576)).synonyms(&["log.segment.bytes"]),
    Key::new("segment.index.bytes", Int, Some("10485760"), AtLeast(4)).synonyms(&["log.index.size.max.bytes"]),
    Key::new("segment.jitter.ms", Long, Some("0"), AtLeast(0)).synonyms(&["log.roll.jitter.ms", "log.roll.jitter.hours"]),
    Key::new("segment.ms", Long, Some("604800000"), AtLeast(1)).synonyms(&["log.roll.ms", "log.roll.hours"]),
    Key::new("unclean.leader.election.enable", Boolean, Some("false"), Any).synonyms(&["unclean.leader.election.enable"]),
];
