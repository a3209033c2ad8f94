//! What the two APIs that change configs have in common: what a resource is called, and what every change is checked for
//! before the configs are looked at (`ConfigAdminManager.preprocess`).

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::answers::is_too_long;
use crate::cluster::configs::{Properties, Resource};
use crate::cluster::{Cluster, Refusal};
use crate::types::NodeId;

/// A resource type on the wire (`ConfigResource.Type`).
pub(super) const TOPIC: i8 = 2;
/// See [`TOPIC`].
pub(super) const BROKER: i8 = 4;
/// See [`TOPIC`].
pub(super) const BROKER_LOGGER: i8 = 8;
/// See [`TOPIC`].
pub(super) const CLIENT_METRICS: i8 = 16;
/// See [`TOPIC`].
pub(super) const GROUP: i8 = 32;

/// What a request says of one resource, whatever it wants.
pub(super) struct Asked<'a> {
    pub(super) kind: i8,
    pub(super) name: &'a str,
}

/// Which of `asked` come more than once.
pub(super) fn repeated<'a>(asked: impl Iterator<Item = Asked<'a>>) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    asked.map(|it| (it.kind, it.name)).filter(|it| !seen.insert(*it)).collect()
}

/// The refusal of a resource that comes more than once.
pub(super) fn repeated_resource() -> Refusal {
    invalid("Each resource must appear at most once.")
}

/// Refuses keys that come twice, and `nulls`: the keys that need a value and have none.
pub(super) fn check_keys<'a>(
    keys: impl Iterator<Item = &'a StrBytes>,
    nulls: impl Iterator<Item = &'a StrBytes>,
) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key.as_str()) {
            return Err(invalid("Error due to duplicate config keys"));
        }
    }
    let nulls: Vec<&str> = nulls.map(StrBytes::as_str).collect();
    if !nulls.is_empty() {
        return Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))));
    }
    Ok(())
}

/// The resource that is meant. A node answers for itself and for the default of all nodes.
pub(super) fn resource(asked: &Asked<'_>, node: NodeId) -> Result<Resource, Refusal> {
    let name = asked.name;
    match asked.kind {
        TOPIC => Ok(Resource::Topic(name.to_owned())),
        GROUP => Ok(Resource::Group(name.to_owned())),
        CLIENT_METRICS => Ok(Resource::ClientMetrics(name.to_owned())),
        BROKER if name.is_empty() => Ok(Resource::Broker(None)),
        BROKER => {
            let id = node_id(name)?;
            if id != node {
                return Err(invalid(format!("Unexpected broker id, expected {node}, but received {name}")));
            }
            Ok(Resource::Broker(Some(id)))
        }
        other => Err(invalid(format!("Unknown resource type {other}"))),
    }
}

/// The node called `name`.
pub(super) fn node_id(name: &str) -> Result<NodeId, Refusal> {
    name.parse().map(NodeId).map_err(|_| invalid(format!("Node id must be an integer, but it is: {name}")))
}

/// Checks that a topic exists, which comes last, and makes the change unless it is only to be validated.
pub(super) fn commit(
    cluster: &mut Cluster,
    resource: Resource,
    properties: Properties,
    validate_only: bool,
) -> Result<(), Refusal> {
    if let Resource::Topic(name) = &resource
        && cluster.topics().by_name(name).is_none()
    {
        let text = format!("The topic '{name}' does not exist.");
        return Err(Refusal::new(ResponseError::UnknownTopicOrPartition, text));
    }
    if !validate_only {
        cluster.set_configs(resource, properties);
    }
    Ok(())
}

/// Looks at the outcomes of a request, each with whether a node forwarded it to the controller: all of those are one answer
/// of the controller. If one text does not fit an answer, all of them have the error of an answer that could not be written;
/// what was changed is changed all the same.
pub(super) fn answered_together(outcomes: &mut [(bool, Result<(), Refusal>)]) {
    let too_long =
        |(forwarded, outcome): &(bool, Result<(), Refusal>)| *forwarded && outcome.as_ref().is_err_and(is_too_long);
    if outcomes.iter().any(too_long) {
        for (_, outcome) in outcomes.iter_mut().filter(|(forwarded, _)| *forwarded) {
            *outcome = Err(Refusal::code(ResponseError::UnknownServerError));
        }
    }
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, text)
}
