//! The four tables of known keys and how a name is found in them.

use super::broker_keys;
use super::group_keys;
use super::key::{Key, Mode, Type, Valid};
use super::topic_keys;

pub(crate) use broker_keys::BROKER_KEYS;
pub(crate) use group_keys::{CLIENT_METRICS_KEYS, GROUP_KEYS};
pub(crate) use topic_keys::TOPIC_KEYS;

/// Broker configs that can be set while the broker runs and nowhere else; they are listed where they are set
/// (`QuotaConfig.brokerQuotaConfigs`).
pub(super) static DYNAMIC_ONLY_KEYS: &[Key] = &[
    Key::new("follower.replication.throttled.rate", Type::Long, Some("9223372036854775807"), Valid::AtLeast(0)),
    Key::new("leader.replication.throttled.rate", Type::Long, Some("9223372036854775807"), Valid::AtLeast(0)),
    Key::new(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        Type::Long,
        Some("9223372036854775807"),
        Valid::AtLeast(0),
    ),
];

/// The broker config `name`, with or without the prefix of a listener (`listener.name.NAME.`).
pub(crate) fn broker_key(name: &str) -> Option<&'static Key> {
    find(BROKER_KEYS, without_listener_prefix(name).unwrap_or(name)).or_else(|| find(DYNAMIC_ONLY_KEYS, name))
}

/// The topic config `name`.
pub(crate) fn topic_key(name: &str) -> Option<&'static Key> {
    find(TOPIC_KEYS, name)
}

/// The group config `name`.
pub(crate) fn group_key(name: &str) -> Option<&'static Key> {
    find(GROUP_KEYS, name)
}

/// The client-metrics config `name`.
pub(crate) fn client_metrics_key(name: &str) -> Option<&'static Key> {
    find(CLIENT_METRICS_KEYS, name)
}

/// Whether the broker config may be changed while the broker runs.
pub(crate) fn mode(name: &str) -> Mode {
    broker_key(name).map_or(Mode::ReadOnly, |key| key.mode)
}

/// `listener.name.internal.ssl.keystore.type` without its prefix; `None` when it has none.
pub(crate) fn without_listener_prefix(name: &str) -> Option<&str> {
    name.strip_prefix("listener.name.")?.split_once('.').map(|(_, key)| key)
}

fn find(table: &'static [Key], name: &str) -> Option<&'static Key> {
    table.binary_search_by(|key| key.name.cmp(name)).ok().map(|index| &table[index])
}
