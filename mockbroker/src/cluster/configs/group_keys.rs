//! The group configs of Apache Kafka 4.3.1 and the broker configs that give their defaults, and the client-metrics
//! configs. Data only; the test in `key.rs` holds every line to `fixtures/kafka/configs.txt`.

use super::key::Key;
use super::key::Type::{Boolean, Int, List, String};
use super::key::Valid::{Any, AtLeast, AutoOffsetReset, OneOf};

/// Sorted by name.
#[rustfmt::skip]
pub(crate) static GROUP_KEYS: &[Key] = &[
    Key::new("consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).synonyms(&["group.consumer.assignment.interval.ms"]),
    Key::new("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).synonyms(&["group.consumer.heartbeat.interval.ms"]),
    Key::new("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1)).synonyms(&["group.consumer.session.timeout.ms"]),
    Key::new("share.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).synonyms(&["group.share.assignment.interval.ms"]),
    Key::new("share.auto.offset.reset", String, Some("latest"), AutoOffsetReset),
    Key::new("share.delivery.count.limit", Int, Some("5"), AtLeast(2)).synonyms(&["group.share.delivery.count.limit"]),
    Key::new("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).synonyms(&["group.share.heartbeat.interval.ms"]),
    Key::new("share.isolation.level", String, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"])),
    Key::new("share.partition.max.record.locks", Int, Some("2000"), AtLeast(100)).synonyms(&["group.share.partition.max.record.locks"]),
    Key::new("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000)).synonyms(&["group.share.record.lock.duration.ms"]),
    Key::new("share.renew.acknowledge.enable", Boolean, Some("true"), Any),
    Key::new("share.session.timeout.ms", Int, Some("45000"), AtLeast(1)).synonyms(&["group.share.session.timeout.ms"]),
    Key::new("streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0)).synonyms(&["group.streams.assignment.interval.ms"]),
    Key::new("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1)).synonyms(&["group.streams.heartbeat.interval.ms"]),
    Key::new("streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0)).synonyms(&["group.streams.initial.rebalance.delay.ms"]),
    Key::new("streams.num.standby.replicas", Int, Some("0"), AtLeast(0)).synonyms(&["group.streams.num.standby.replicas"]),
    Key::new("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1)).synonyms(&["group.streams.session.timeout.ms"]),
];

/// Sorted by name.
#[rustfmt::skip]
pub(crate) static CLIENT_METRICS_KEYS: &[Key] = &[
    Key::new("interval.ms", Int, Some("300000"), Any),
    Key::new("match", List, Some(""), Any),
    Key::new("metrics", List, Some(""), Any),
];
