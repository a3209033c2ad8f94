//! Quotas of users, clients and addresses, as they are set and asked for (KIP-546, KIP-612). Nobody is throttled by them.
//!
//! Source: `ClientQuotaControlManager`, `ClientQuotasImage`; texts are those of 4.3.1.

use std::collections::BTreeMap;
use std::fmt::Write;

use kafka_protocol::error::ResponseError;

use super::{Cluster, Refusal};

/// What an entity may be made of, in the order in which Kafka's hash map lists it.
const TYPES: [&str; 3] = ["client-id", "user", "ip"];
const CLIENT_ID: &str = TYPES[0];
const USER: &str = TYPES[1];
const IP: &str = TYPES[2];

/// Whom a quota is for: types with names. Without a name it is the default of the type.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entity(Vec<(String, Option<String>)>);

/// What is to become of one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QuotaOp {
    pub(crate) key: String,
    /// `None` takes the key away.
    pub(crate) value: Option<f64>,
}

/// Which names of one type are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// This name; without one, the default.
    Exact(Option<String>),
    /// Any name, and the default.
    Any,
}

/// The quotas of a cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas {
    entities: BTreeMap<Entity, BTreeMap<String, f64>>,
}

impl Entity {
    /// An entity of these parts. Of a type that comes twice the last name counts, as in a map.
    pub(crate) fn new(parts: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let parts: BTreeMap<String, Option<String>> = parts.into_iter().collect();
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|(kind, _)| TYPES.iter().position(|known| known == kind).unwrap_or(TYPES.len()));
        Self(parts)
    }

    /// Types with names.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(kind, name)| (kind.as_str(), name.as_deref()))
    }

    fn name(&self, kind: &str) -> Option<Option<&str>> {
        self.parts().find(|(known, _)| *known == kind).map(|(_, name)| name)
    }

    /// As `ClientQuotaEntity.toString` has it.
    fn text(&self) -> String {
        let mut text = "ClientQuotaEntity(entries={".to_owned();
        for (index, (kind, name)) in self.parts().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}{kind}={}", name.unwrap_or("null"));
        }
        text + "})"
    }

    /// `validateEntity` and `configKeysForEntityType`: which keys it may have.
    fn keys(&self) -> Result<&'static [(&'static str, Number)], Refusal> {
        if self.0.is_empty() {
            return invalid("Invalid empty client quota entity");
        }
        for (kind, name) in self.parts() {
            if !TYPES.contains(&kind) {
                return invalid(format!("Unhandled client quota entity type: {kind}"));
            }
            if name == Some("") {
                return invalid(format!("Empty {kind} not supported"));
            }
        }
        match self.name(IP) {
            None => Ok(USER_AND_CLIENT_KEYS),
            // The text lacks a blank in Kafka.
            Some(_) if self.0.len() > 1 => {
                invalid("Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId")
            }
            Some(Some(address)) if !is_address(address) => {
                invalid(format!("{address} is not a valid IP or resolvable host."))
            }
            Some(_) => Ok(IP_KEYS),
        }
    }
}

/// Kafka asks the resolver for a name; here only `localhost` has an address.
fn is_address(text: &str) -> bool {
    text == "localhost" || text.parse::<std::net::IpAddr>().is_ok()
}

/// What a quota's value is stored as (`QuotaConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Double,
    Int,
    Long,
}

const USER_AND_CLIENT_KEYS: &[(&str, Number)] = &[
    ("producer_byte_rate", Number::Long),
    ("consumer_byte_rate", Number::Long),
    ("request_percentage", Number::Double),
    ("controller_mutation_rate", Number::Double),
];
const IP_KEYS: &[(&str, Number)] = &[("connection_creation_rate", Number::Int)];

/// `validateQuotaKeyValue`.
fn check(keys: &[(&str, Number)], key: &str, value: f64) -> Result<(), Refusal> {
    let Some((_, number)) = keys.iter().find(|(known, _)| *known == key) else {
        return invalid(format!("Invalid configuration key {key}"));
    };
    if value <= 0.0 {
        return invalid(format!("Quota {key} must be greater than 0"));
    }
    // i64::MAX as f64 is 2^63, and Kafka compares with the same number.
    let (most, name) = match number {
        Number::Double => return Ok(()),
        Number::Int => (f64::from(i32::MAX), "an INT"),
        Number::Long => (9_223_372_036_854_775_808.0, "a LONG"),
    };
    if value > most {
        return invalid(format!("Proposed value for {key} is too large for {name}."));
    }
    if (value % 1.0).abs() > 1e-6 {
        return invalid(format!("{key} cannot be a fractional value."));
    }
    Ok(())
}

fn invalid<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(ResponseError::InvalidRequest, text))
}

impl Cluster {
    /// Alters quotas, unless they are only to be validated. Each entity has one outcome, its last: of an entity that comes
    /// twice the first alteration holds, and it is refused all the same.
    pub(crate) fn alter_quotas(
        &mut self,
        alterations: Vec<(Entity, Vec<QuotaOp>)>,
        validate_only: bool,
    ) -> Vec<(Entity, Result<(), Refusal>)> {
        let mut outcomes: Vec<(Entity, Result<(), Refusal>)> = Vec::new();
        let mut allowed = Vec::new();
        for (entity, ops) in alterations {
            let known = outcomes.iter().position(|(other, _)| *other == entity);
            let mut keys: Vec<&str> = ops.iter().map(|op| op.key.as_str()).collect();
            keys.sort_unstable();
            // Kafka notes a key that comes twice as the outcome of its entity, and then takes the entity for a second one.
            let is_repeated = known.is_some() || keys.windows(2).any(|pair| pair[0] == pair[1]);
            let outcome = if is_repeated {
                invalid(format!("Ignoring duplicate entity {}", entity.text()))
            } else {
                entity.keys().and_then(|keys| {
                    let set = ops.iter().filter_map(|op| Some((&op.key, op.value?)));
                    set.into_iter().try_for_each(|(key, value)| check(keys, key, value))
                })
            };
            if outcome.is_ok() {
                allowed.push((entity.clone(), ops));
            }
            match known {
                Some(index) => outcomes[index].1 = outcome,
                None => outcomes.push((entity, outcome)),
            }
        }
        if !validate_only {
            allowed.into_iter().for_each(|(entity, ops)| self.set_quotas(entity, ops));
        }
        outcomes
    }

    fn set_quotas(&mut self, entity: Entity, ops: Vec<QuotaOp>) {
        let quotas = &mut self.quotas.entities;
        let values = quotas.entry(entity.clone()).or_default();
        for QuotaOp { key, value } in ops {
            let before = match value {
                Some(value) => values.insert(key, value),
                None => values.remove(&key),
            };
            self.metadata_offset += i64::from(before != value);
        }
        if values.is_empty() {
            quotas.remove(&entity);
        }
    }

    /// The quotas of the entities that have every one of `parts`, and with `strict` nothing else.
    pub(crate) fn quotas_of<'a>(
        &'a self,
        parts: &'a [(String, Match)],
        strict: bool,
    ) -> impl Iterator<Item = (&'a Entity, &'a BTreeMap<String, f64>)> {
        let fits = move |entity: &Entity| {
            let has = |(kind, wanted): &(String, Match)| match (entity.name(kind), wanted) {
                (None, _) => false,
                (Some(_), Match::Any) => true,
                (Some(name), Match::Exact(wanted)) => name == wanted.as_deref(),
            };
            (!strict || entity.0.len() == parts.len()) && parts.iter().all(has)
        };
        self.quotas.entities.iter().filter(move |(entity, _)| fits(entity))
    }
}

/// Checks what quotas are looked for (`ClientQuotasImage.describe`), each type with the name that was given.
///
/// # Errors
/// UNSUPPORTED_VERSION for a type that nobody knows, else INVALID_REQUEST.
pub(crate) fn check_filter(
    components: impl IntoIterator<Item = (String, i8, Option<String>)>,
) -> Result<Vec<(String, Match)>, Refusal> {
    let mut parts: Vec<(String, Match)> = Vec::new();
    for (kind, match_type, name) in components {
        if kind.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        if parts.iter().any(|(known, _)| *known == kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if !TYPES.contains(&kind.as_str()) {
            return Err(Refusal::new(ResponseError::UnsupportedVersion, format!("Unsupported entity type {kind}")));
        }
        let named = |what: &str| invalid(format!("Request specified {what}, but also specified a match string."));
        let wanted = match (match_type, name) {
            (0, None) => return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
            (0, name) => Match::Exact(name),
            (1, Some(_)) => return named("MATCH_TYPE_DEFAULT"),
            (1, None) => Match::Exact(None),
            (2, Some(_)) => return named("MATCH_TYPE_SPECIFIED"),
            (2, None) => Match::Any,
            (other, _) => return invalid(format!("Unknown match type {other}")),
        };
        parts.push((kind, wanted));
    }
    let has = |kind: &str| parts.iter().any(|(known, _)| known == kind);
    if has(IP) && (has(USER) || has(CLIENT_ID)) {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        );
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::cluster;

    fn entity(parts: &[(&str, Option<&str>)]) -> Entity {
        Entity::new(parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))))
    }

    fn set(key: &str, value: f64) -> Vec<QuotaOp> {
        vec![QuotaOp { key: key.to_owned(), value: Some(value) }]
    }

    /// The code and text of each outcome.
    fn alter(cluster: &mut Cluster, alterations: Vec<(Entity, Vec<QuotaOp>)>) -> Vec<(i16, String)> {
        let told = |refusal: Refusal| (refusal.error.code(), refusal.message.unwrap_or_default());
        let outcomes = cluster.alter_quotas(alterations, false).into_iter();
        outcomes.map(|(_, outcome)| outcome.map_or_else(told, |()| (0, String::new()))).collect()
    }

    #[test]
    fn a_quota_is_kept_until_its_last_key_is_taken_away() {
        let mut cluster = cluster(1, &[]);
        let user = entity(&[("user", Some("u"))]);
        alter(&mut cluster, vec![(user.clone(), set("producer_byte_rate", 5.0))]);
        alter(&mut cluster, vec![(user.clone(), set("consumer_byte_rate", 7.0))]);
        let keys = |cluster: &Cluster| cluster.quotas_of(&[], false).map(|(_, values)| values.len()).sum::<usize>();
        assert_eq!(keys(&cluster), 2);
        for key in ["producer_byte_rate", "consumer_byte_rate"] {
            alter(&mut cluster, vec![(user.clone(), vec![QuotaOp { key: key.to_owned(), value: None }])]);
        }
        assert_eq!(cluster.quotas_of(&[], false).count(), 0);
    }

    #[test]
    fn an_entity_that_comes_twice_is_refused_and_yet_altered_once() {
        // Source: ClientQuotaControlManager.alterClientQuotas; seen on 4.3.1.
        let mut cluster = cluster(1, &[]);
        let both = || entity(&[("user", None), ("client-id", Some("c"))]);
        let twice = vec![(both(), set("producer_byte_rate", 5.0)), (both(), set("consumer_byte_rate", 7.0))];
        let text = "Ignoring duplicate entity ClientQuotaEntity(entries={client-id=c, user=null})";
        assert_eq!(alter(&mut cluster, twice), [(42, text.to_owned())]);
        let values: Vec<_> = cluster.quotas_of(&[], false).flat_map(|(_, values)| values.keys()).collect();
        assert_eq!(values, ["producer_byte_rate"]);
        let same_key = [set("consumer_byte_rate", 1.0), set("consumer_byte_rate", 2.0)].concat();
        assert_eq!(alter(&mut cluster, vec![(both(), same_key)]), [(42, text.to_owned())]);
    }

    #[test]
    fn a_value_has_to_fit_the_type_of_its_key() {
        // Each line was seen on 4.3.1 (tests/kit/scenarios/quotas.rs).
        let mut cluster = cluster(1, &[]);
        for (kind, key, value, text) in [
            ("user", "producer_byte_rate", 0.0, "Quota producer_byte_rate must be greater than 0"),
            ("user", "producer_byte_rate", 0.5, "producer_byte_rate cannot be a fractional value."),
            ("user", "producer_byte_rate", 1e300, "Proposed value for producer_byte_rate is too large for a LONG."),
            ("user", "request_percentage", 0.5, ""),
            (
                "ip",
                "connection_creation_rate",
                4e9,
                "Proposed value for connection_creation_rate is too large for an INT.",
            ),
            ("ip", "producer_byte_rate", 1.0, "Invalid configuration key producer_byte_rate"),
        ] {
            let outcome = alter(&mut cluster, vec![(entity(&[(kind, None)]), set(key, value))]);
            assert_eq!(outcome[0].1, text);
        }
    }

    #[test]
    fn a_filter_finds_what_has_all_its_parts() {
        // Source: ClientQuotasImage.matches.
        let mut cluster = cluster(1, &[]);
        for parts in [&[("user", Some("u"))][..], &[("user", Some("u")), ("client-id", Some("c"))], &[("user", None)]] {
            alter(&mut cluster, vec![(entity(parts), set("producer_byte_rate", 5.0))]);
        }
        let find =
            |kind: &str, wanted: Match, strict: bool| cluster.quotas_of(&[(kind.to_owned(), wanted)], strict).count();
        assert_eq!(find("user", Match::Any, false), 3);
        assert_eq!(find("user", Match::Any, true), 2);
        assert_eq!(find("user", Match::Exact(None), false), 1);
        assert_eq!(find("user", Match::Exact(Some("u".to_owned())), false), 2);
        assert_eq!(find("client-id", Match::Exact(Some("c".to_owned())), true), 0);
    }
}
