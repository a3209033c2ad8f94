//! Features: what this broker supports, and the level the cluster has finalized (KIP-584, KIP-1022).
//!
//! A feature whose APIs are not modelled is not promised: it is neither supported nor finalized here, although Kafka has
//! it. The table says what Kafka 4.3.1 has and which of it is modelled.

use std::collections::BTreeMap;

use crate::types::NodeId;

/// One feature of Kafka 4.3.1.
#[derive(Debug)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// The lowest level that is supported.
    pub(crate) min: i16,
    /// The highest level that is supported.
    pub(crate) max: i16,
    /// The level a freshly formatted cluster has; 0 means it is not finalized.
    level: i16,
    modelled: bool,
}

/// Whether replicas that left a small ISR stay eligible to lead (KIP-966).
pub(crate) const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";

/// In the order in which a broker lists them.
static FEATURES: &[Feature] = &[
    Feature { name: "group.version", min: 0, max: 1, level: 1, modelled: true },
    Feature { name: "kraft.version", min: 0, max: 1, level: 0, modelled: true },
    Feature { name: "metadata.version", min: 7, max: 30, level: 30, modelled: true },
    Feature { name: "share.version", min: 0, max: 1, level: 1, modelled: false },
    Feature { name: "streams.version", min: 0, max: 1, level: 1, modelled: false },
    Feature { name: "transaction.version", min: 0, max: 2, level: 2, modelled: true },
    Feature { name: ELIGIBLE_LEADER_REPLICAS, min: 0, max: 1, level: 1, modelled: true },
];

/// Which level each feature has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Features {
    /// What differs from a fresh cluster.
    levels: BTreeMap<&'static str, i16>,
}

impl Features {
    /// The features of a fresh cluster, with the levels that the properties `feature.NAME=LEVEL` set. Other properties
    /// are not looked at.
    pub(super) fn new<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut features = Self::default();
        for (key, value) in properties {
            let Some(feature) = key.strip_prefix("feature.").and_then(find) else { continue };
            if let Ok(level) = value.trim().parse() {
                features.levels.insert(feature.name, level);
            }
        }
        features
    }

    /// What is supported.
    pub(crate) fn supported(&self) -> impl Iterator<Item = &'static Feature> {
        modelled()
    }

    /// Name and level of what is finalized. Level 0 is not listed.
    pub(crate) fn finalized(&self) -> impl Iterator<Item = (&'static str, i16)> {
        modelled().map(|feature| (feature.name, self.level(feature.name))).filter(|(_, level)| *level != 0)
    }

    /// The level of the feature `name`; 0 when it is not finalized, not modelled or not known.
    pub(crate) fn level(&self, name: &str) -> i16 {
        let Some(feature) = find(name).filter(|feature| feature.modelled) else { return 0 };
        self.levels.get(feature.name).copied().unwrap_or(feature.level)
    }
}

/// Which way a feature's level is to go (`FeatureUpdate.UpgradeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeType {
    Unknown,
    Upgrade,
    SafeDowngrade,
    UnsafeDowngrade,
}

impl UpgradeType {
    /// The type with this number on the wire.
    pub(crate) fn from_wire(number: i8) -> Self {
        match number {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => Self::Unknown,
        }
    }
}

/// A level that a feature is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeatureUpdate<'a> {
    pub(crate) name: &'a str,
    pub(crate) level: i16,
    pub(crate) upgrade_type: UpgradeType,
}

/// Changes of levels (`FeatureControlManager.updateFeatures`). The texts are those of 4.3.1.
impl Features {
    /// Says why `update` cannot be, if it cannot. `controller` is the node that decides.
    pub(super) fn check_update(&self, update: FeatureUpdate<'_>, controller: NodeId) -> Result<(), String> {
        let FeatureUpdate { name, level, upgrade_type } = update;
        let invalid = |text: String| Err(format!("Invalid update version {level} for feature {name}. {text}"));
        if upgrade_type == UpgradeType::Unknown {
            return invalid("The controller does not support the given upgrade type.".to_owned());
        }
        if level < 0 {
            return invalid("A feature version cannot be less than 0.".to_owned());
        }
        let known = find(name).filter(|feature| feature.modelled);
        match known {
            Some(feature) if !(feature.min..=feature.max).contains(&level) => {
                return invalid(format!(
                    "Local controller {controller} only supports versions {}-{}",
                    feature.min, feature.max
                ));
            }
            None if level > 0 => {
                return invalid(format!("Local controller {controller} does not support this feature."));
            }
            None if find(name).is_none() => return invalid(format!("Feature {name} not found.")),
            Some(_) | None => {}
        }
        let current = self.level(name);
        if level < current && upgrade_type == UpgradeType::Upgrade {
            return invalid(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
                 downgrade."
                    .to_owned(),
            );
        }
        if level > current && upgrade_type != UpgradeType::Upgrade {
            return invalid("Can't downgrade to a newer version.".to_owned());
        }
        let loses_metadata =
            name == METADATA_VERSION && CHANGED_METADATA.iter().any(|it| level < *it && *it <= current);
        if loses_metadata {
            let why = match upgrade_type {
                UpgradeType::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
                _ => "Refusing to perform the requested downgrade because it might delete metadata information.",
            };
            return Err(format!("Unsupported metadata.version downgrade from {current} to {level}. {why}"));
        }
        Ok(())
    }

    /// Gives the feature `name` the level that was checked.
    pub(super) fn set_level(&mut self, name: &str, level: i16) {
        if let Some(feature) = find(name).filter(|feature| feature.modelled) {
            self.levels.insert(feature.name, level);
        }
    }
}

const METADATA_VERSION: &str = "metadata.version";

/// The levels of `metadata.version` that can write what the level before cannot read (`MetadataVersion.didMetadataChange`).
const CHANGED_METADATA: &[i16] = &[7, 8, 11, 13, 14, 15, 17, 23, 30];

/// Says what is wrong with `feature.NAME = level`, if anything is.
pub(super) fn check_level(name: &str, level: &str) -> Result<(), String> {
    let Some(feature) = find(name) else {
        let known: Vec<&str> = FEATURES.iter().map(|feature| feature.name).collect();
        return Err(format!("feature.{name} is not a feature of Kafka 4.3; it has {}", known.join(", ")));
    };
    let range = feature.min..=feature.max;
    match level.trim().parse::<i16>() {
        Ok(level) if !range.contains(&level) => {
            Err(format!("feature.{name} must be between {} and {}, not {level}", feature.min, feature.max))
        }
        Ok(level) if !feature.modelled && level != 0 => {
            Err(format!("feature.{name} is not modelled yet: only level 0 is possible, not {level}"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(format!("feature.{name} must be a number, not {level:?}")),
    }
}

fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

fn modelled() -> impl Iterator<Item = &'static Feature> {
    FEATURES.iter().filter(|feature| feature.modelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_a_real_broker_answers() {
        // Seen in the ApiVersions v4 answer of a fresh 4.3.1; kraft.version is 0 with a static quorum, so not finalized.
        let supported: Vec<_> = FEATURES.iter().map(|f| (f.name, f.min, f.max)).collect();
        let kafka = [
            ("group.version", 0, 1),
            ("kraft.version", 0, 1),
            ("metadata.version", 7, 30),
            ("share.version", 0, 1),
            ("streams.version", 0, 1),
            ("transaction.version", 0, 2),
            ("eligible.leader.replicas.version", 0, 1),
        ];
        assert_eq!(supported, kafka);
        let mut finalized: Vec<_> =
            FEATURES.iter().map(|f| (f.name, f.level)).filter(|(_, level)| *level > 0).collect();
        finalized.sort_unstable();
        let kafka = [
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("metadata.version", 30),
            ("share.version", 1),
            ("streams.version", 1),
            ("transaction.version", 2),
        ];
        assert_eq!(finalized, kafka);
    }

    #[test]
    fn what_is_not_modelled_is_not_promised() {
        let features = Features::new([]);
        assert!(features.supported().all(|feature| feature.modelled));
        for (name, _) in features.finalized() {
            assert!(find(name).unwrap().modelled);
        }
    }

    #[test]
    fn a_level_can_be_set_within_the_range() {
        let features = Features::new([("feature.metadata.version", "25"), ("num.partitions", "3")]);
        assert_eq!(features.level("metadata.version"), 25);
        assert!(check_level("metadata.version", "31").unwrap_err().contains("between 7 and 30"));
        assert!(check_level("metadata.version", "x").is_err());
        assert!(check_level("nope", "1").unwrap_err().contains("metadata.version"));
    }

    #[test]
    fn a_level_goes_up_or_down_only_as_the_upgrade_type_says() {
        // Each line was seen on 4.3.1 (tests/kit/scenarios/controllers.rs).
        use UpgradeType::{SafeDowngrade, Unknown, UnsafeDowngrade, Upgrade};
        let fresh = Features::new([]);
        let old = Features::new([("feature.metadata.version", "29")]);
        let check = |features: &Features, level: i16, upgrade_type: UpgradeType| {
            let update = FeatureUpdate { name: METADATA_VERSION, level, upgrade_type };
            features.check_update(update, NodeId(1)).err().unwrap_or_default()
        };
        for (features, level, upgrade_type, text) in [
            (&fresh, 30, Upgrade, ""),
            (&fresh, 30, SafeDowngrade, ""),
            (&fresh, 30, Unknown, "The controller does not support the given upgrade type."),
            (&fresh, -1, Upgrade, "A feature version cannot be less than 0."),
            (&fresh, 31, Upgrade, "Local controller 1 only supports versions 7-30"),
            (&fresh, 29, Upgrade, "Can't downgrade the version of this feature without setting the upgrade type to"),
            (&fresh, 29, SafeDowngrade, "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform"),
            (&fresh, 29, UnsafeDowngrade, "Unsafe metadata downgrade is not supported in this version."),
            (&old, 30, Upgrade, ""),
            (&old, 30, SafeDowngrade, "Can't downgrade to a newer version."),
            (&old, 23, SafeDowngrade, ""),
            (&old, 22, SafeDowngrade, "Refusing to perform the requested downgrade"),
        ] {
            let said = check(features, level, upgrade_type);
            assert_eq!(said.is_empty(), text.is_empty(), "{level} {upgrade_type:?}: {said}");
            assert!(said.contains(text), "{level} {upgrade_type:?}: {said}");
        }
    }
}
