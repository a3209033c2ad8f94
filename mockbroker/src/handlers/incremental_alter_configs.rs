//! IncrementalAlterConfigs (key 44), v0-v1.
//!
//! Sets, deletes, extends and shrinks single configs of topics, nodes, groups and client-metrics subscriptions.
//!
//! Versions: v1 flexible.
//! Not modelled: an authorizer, policies. The level of the `root` logger is checked and not kept, other loggers do not
//! exist. Kafka applies changes a moment later; here they hold at once.
//! Source: IncrementalAlterConfigsRequest.json; KIP-339; ConfigAdminManager, ConfigurationControlManager.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::outcome;
use super::config_changes::{self, Asked, BROKER, BROKER_LOGGER};
use super::{Answer, Api, Ctx};
use crate::cluster::Refusal;
use crate::cluster::configs::alter::Op;
use crate::state::State;
use crate::types::NodeId;

pub(super) const API: Api = Api::new::<IncrementalAlterConfigsRequest>(0, 1);

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: IncrementalAlterConfigsRequest,
) -> Answer<IncrementalAlterConfigsResponse> {
    let repeated = config_changes::repeated(request.resources.iter().map(asked));
    let checked: Vec<Result<(), Refusal>> = request
        .resources
        .iter()
        .map(|resource| match repeated.contains(&(resource.resource_type, resource.resource_name.as_str())) {
            true => Err(config_changes::repeated_resource()),
            false => preprocess(resource, ctx.node),
        })
        .collect();
    // Kafka forwards what is left as one request, and the controller throws on an operation it does not know.
    let forwarded = request.resources.iter().zip(&checked).filter(|(_, checked)| checked.is_ok());
    let has_unknown =
        |(resource, _): (&AlterConfigsResource, _)| resource.configs.iter().any(|it| !is_known(it.config_operation));
    let controller_throws = forwarded.clone().any(has_unknown);
    let outcomes = request.resources.iter().zip(checked).map(|(resource, checked)| {
        let forwarded = checked.is_ok() && resource.resource_type != BROKER_LOGGER;
        let outcome = checked.and_then(|()| match resource.resource_type {
            BROKER_LOGGER => Ok(()),
            _ if controller_throws => Err(Refusal::code(ResponseError::UnknownServerError)),
            _ => alter(state, ctx.node, resource, request.validate_only),
        });
        (forwarded, outcome)
    });
    let mut outcomes: Vec<_> = outcomes.collect();
    config_changes::answered_together(&mut outcomes);
    let responses = request.resources.iter().zip(&outcomes).map(|(resource, (_, outcome))| response(resource, outcome));
    Answer::Now(IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
}

pub(super) fn refuse(
    request: &IncrementalAlterConfigsRequest,
    error: ResponseError,
) -> IncrementalAlterConfigsResponse {
    let refusal = Err(Refusal::code(error));
    let responses = request.resources.iter().map(|resource| response(resource, &refusal));
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// What a node checks before it forwards the rest to the controller.
fn preprocess(resource: &AlterConfigsResource, node: NodeId) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::new(ResponseError::InvalidRequest, text));
    let nulls = resource.configs.iter().filter(|it| it.config_operation != DELETE && it.value.is_none());
    config_changes::check_keys(resource.configs.iter().map(|it| &it.name), nulls.map(|it| &it.name))?;
    if resource.resource_type == BROKER_LOGGER {
        return check_loggers(resource, node);
    }
    config_changes::resource(&asked(resource), node)?;
    let unknown = resource.configs.iter().find(|it| !is_known(it.config_operation));
    match unknown {
        Some(it) if resource.resource_type == BROKER => {
            invalid(format!("Unknown operations type {}", it.config_operation))
        }
        _ => Ok(()),
    }
}

/// `RuntimeLoggerManager.validateLogLevelConfigs`.
fn check_loggers(resource: &AlterConfigsResource, node: NodeId) -> Result<(), Refusal> {
    let invalid = |text: String| Err(Refusal::new(ResponseError::InvalidRequest, text));
    let name = resource.resource_name.as_str();
    if config_changes::node_id(name)? != node {
        return invalid(format!("Unexpected node id. Expected {node}, but received {name}"));
    }
    for config in &resource.configs {
        let logger = config.name.as_str();
        let invalid_config = |text: String| Err(Refusal::new(ResponseError::InvalidConfig, text));
        match config.config_operation {
            SET | DELETE if logger != "root" => return invalid_config(format!("Logger {logger} does not exist!")),
            SET => {
                let level = config.value.as_deref().unwrap_or("");
                if !["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"].contains(&level) {
                    return invalid_config(format!(
                        "Cannot set the log level of {logger} to {level} as it is not a supported log level. Valid log \
                         levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"
                    ));
                }
            }
            DELETE => return invalid("Removing the log level of the root logger is not allowed".to_owned()),
            APPEND => return invalid("APPEND operation is not allowed for the BROKER_LOGGER resource".to_owned()),
            SUBTRACT => return invalid("SUBTRACT operation is not allowed for the BROKER_LOGGER resource".to_owned()),
            other => {
                return invalid(format!(
                    "Unknown operation type {other} is not allowed for the BROKER_LOGGER resource"
                ));
            }
        }
    }
    Ok(())
}

fn alter(state: &mut State, node: NodeId, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let target = config_changes::resource(&asked(resource), node)?;
    let changes = resource.configs.iter().map(|config| {
        let value = config.value.as_ref().map(StrBytes::to_string).unwrap_or_default();
        let op = match config.config_operation {
            SET => Op::Set(value),
            APPEND => Op::Append(value),
            SUBTRACT => Op::Subtract(value),
            _ => Op::Delete,
        };
        (config.name.to_string(), op)
    });
    let properties = state.cluster.configs().altered(&target, &changes.collect::<Vec<_>>())?;
    config_changes::commit(&mut state.cluster, target, properties, validate_only)
}

fn is_known(operation: i8) -> bool {
    (SET..=SUBTRACT).contains(&operation)
}

fn asked(resource: &AlterConfigsResource) -> Asked<'_> {
    Asked { kind: resource.resource_type, name: resource.resource_name.as_str() }
}

fn response(resource: &AlterConfigsResource, result: &Result<(), Refusal>) -> AlterConfigsResourceResponse {
    let (code, message) = outcome(result);
    AlterConfigsResourceResponse::default()
        .with_error_code(code)
        .with_error_message(message)
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;
    use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;

    type Change = (&'static str, i8, Option<&'static str>);

    fn ask(kind: i8, name: &'static str, changes: &[Change]) -> AlterConfigsResource {
        let change = |(name, op, value): &Change| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_config_operation(*op)
                .with_value(value.map(StrBytes::from_static_str))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(changes.iter().map(change).collect())
    }

    fn request(resources: Vec<AlterConfigsResource>) -> IncrementalAlterConfigsRequest {
        IncrementalAlterConfigsRequest::default().with_resources(resources)
    }

    fn outcomes(rig: &mut Rig, resources: Vec<AlterConfigsResource>) -> Vec<(i16, String)> {
        let response = rig.call(1, handle, request(resources));
        let text = |message: &Option<StrBytes>| message.as_deref().unwrap_or("null").to_owned();
        response.responses.iter().map(|it| (it.error_code, text(&it.error_message))).collect()
    }

    #[test]
    fn each_bad_change_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        let set: Change = ("retention.ms", 0, Some("5"));
        for (resource, code, text) in [
            (ask(2, "nope", &[set]), 3, "The topic 'nope' does not exist."),
            (
                ask(2, "nope", &[("retention.ms", 0, Some("x"))]),
                40,
                "Invalid value x for configuration retention.ms: Not a number of type LONG",
            ),
            (ask(2, "", &[set]), 42, "Default topic resources are not allowed."),
            (ask(2, "p", &[set, set]), 42, "Error due to duplicate config keys"),
            (ask(2, "p", &[("a", 0, None), ("b", 2, None), ("c", 1, None)]), 42, "Null value not supported for : a, b"),
            (
                ask(2, "p", &[("retention.ms", 2, Some("4"))]),
                40,
                "Can't APPEND to key retention.ms because its type is not LIST.",
            ),
            (ask(7, "x", &[("a", 0, Some("b"))]), 42, "Unknown resource type 7"),
            (ask(4, "2", &[set]), 42, "Unexpected broker id, expected 1, but received 2"),
            (ask(4, "x", &[set]), 42, "Node id must be an integer, but it is: x"),
            (ask(4, "1", &[("background.threads", 9, Some("1"))]), 42, "Unknown operations type 9"),
            (ask(8, "2", &[]), 42, "Unexpected node id. Expected 1, but received 2"),
            (ask(8, "1", &[("nope", 0, Some("INFO"))]), 40, "Logger nope does not exist!"),
            (ask(8, "1", &[("root", 0, Some("INFO"))]), 0, "null"),
            (ask(2, "p", &[("foo", 1, None)]), 0, "null"),
            (ask(2, "p", &[]), 0, "null"),
        ] {
            assert_eq!(outcomes(&mut rig, vec![resource.clone()]), [(code, text.to_owned())], "{resource:?}");
        }
    }

    #[test]
    fn a_resource_that_comes_twice_is_refused_twice_and_the_others_go_on() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        rig.topic("q", 1);
        let set: Change = ("retention.ms", 0, Some("5"));
        let rows = outcomes(&mut rig, vec![ask(2, "p", &[set]), ask(2, "p", &[set]), ask(2, "q", &[set])]);
        let twice = (42, "Each resource must appear at most once.".to_owned());
        assert_eq!(rows, [twice.clone(), twice, (0, "null".to_owned())]);
        let retention = |name: &str| rig.state.cluster.topics().by_name(name).unwrap().config().retention_ms;
        assert_eq!((retention("p"), retention("q")), (604_800_000, 5));
    }

    #[test]
    fn an_unknown_operation_fails_all_that_goes_to_the_controller() {
        // Seen on 4.3.1: -1 for each of them, while what a node refuses itself has its own error.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        rig.topic("q", 1);
        let set: Change = ("retention.ms", 0, Some("5"));
        let rows = outcomes(&mut rig, vec![ask(2, "p", &[set]), ask(2, "q", &[("a", 9, Some("b"))]), ask(7, "x", &[])]);
        assert_eq!(rows.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [-1, -1, 42]);
        assert_eq!(rig.state.cluster.topics().by_name("p").unwrap().config().retention_ms, 604_800_000);
    }

    #[test]
    fn a_refusal_that_is_too_long_to_be_written_is_the_error_of_all_that_went_with_it() {
        // Seen on 4.3.1: the value is quoted in the text.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        rig.topic("q", 1);
        let long: &'static str = "x".repeat(32_700).leak();
        let set: Change = ("retention.ms", 0, Some("5"));
        let quoted: Change = ("follower.replication.throttled.replicas", 0, Some(long));
        let rows = outcomes(&mut rig, vec![ask(2, "p", &[set]), ask(2, "q", &[quoted]), ask(7, "x", &[])]);
        let expected = [(-1, "null"), (-1, "null"), (42, "Unknown resource type 7")];
        assert_eq!(rows, expected.map(|(code, text)| (code, text.to_owned())));
        assert_eq!(rig.state.cluster.topics().by_name("p").unwrap().config().retention_ms, 5, "it was changed");
    }

    #[test]
    fn validating_changes_nothing() {
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        let asked = request(vec![ask(2, "p", &[("retention.ms", 0, Some("5"))])]).with_validate_only(true);
        assert_eq!(rig.call(0, handle, asked).responses[0].error_code, 0);
        assert_eq!(rig.state.cluster.topics().by_name("p").unwrap().config().retention_ms, 604_800_000);
    }
}
