//! AlterConfigs (key 33), v0-v2.
//!
//! Replaces all configs that a resource has of its own: what the request leaves out is reset.
//!
//! Versions: v2 flexible.
//! Not modelled: an authorizer, policies. A request with the same resource twice, which Kafka 4.3.1 never answers, gets
//! INVALID_REQUEST for it. Kafka applies changes a moment later; here they hold at once.
//! Source: AlterConfigsRequest.json; KIP-133; ConfigAdminManager, ConfigurationControlManager.legacyAlterConfigs.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::answers::outcome;
use super::config_changes::{self, Asked};
use super::{Answer, Api, Ctx};
use crate::cluster::Refusal;
use crate::cluster::configs::{Properties, Resource};
use crate::state::State;
use crate::types::NodeId;

pub(super) const API: Api = Api::new::<AlterConfigsRequest>(0, 2);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: AlterConfigsRequest,
) -> Answer<AlterConfigsResponse> {
    let repeated = config_changes::repeated(request.resources.iter().map(asked));
    let outcomes = request.resources.iter().map(|resource| {
        if repeated.contains(&(resource.resource_type, resource.resource_name.as_str())) {
            return (false, Err(config_changes::repeated_resource()));
        }
        match preprocess(resource, ctx.node) {
            Ok(target) => (true, alter(state, target, resource, request.validate_only)),
            Err(refusal) => (false, Err(refusal)),
        }
    });
    let mut outcomes: Vec<_> = outcomes.collect();
    config_changes::answered_together(&mut outcomes);
    let responses = request.resources.iter().zip(&outcomes).map(|(resource, (_, outcome))| response(resource, outcome));
    Answer::Now(AlterConfigsResponse::default().with_responses(responses.collect()))
}

pub(super) fn refuse(request: &AlterConfigsRequest, error: ResponseError) -> AlterConfigsResponse {
    let refusal = Err(Refusal::code(error));
    let responses = request.resources.iter().map(|resource| response(resource, &refusal));
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// What a node checks before it forwards the rest to the controller.
fn preprocess(resource: &AlterConfigsResource, node: NodeId) -> Result<Resource, Refusal> {
    let nulls = resource.configs.iter().filter(|config| config.value.is_none());
    config_changes::check_keys(resource.configs.iter().map(|it| &it.name), nulls.map(|it| &it.name))?;
    config_changes::resource(&asked(resource), node)
}

fn alter(
    state: &mut State,
    target: Resource,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), Refusal> {
    let configs = resource.configs.iter();
    let after: Properties =
        configs.filter_map(|it| Some((it.name.to_string(), it.value.as_ref()?.to_string()))).collect();
    let none = Properties::new();
    let before = state.cluster.configs().overrides(&target).unwrap_or(&none);
    state.cluster.configs().check(&target, before, &after)?;
    config_changes::commit(&mut state.cluster, target, after, validate_only)
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
    use kafka_protocol::messages::alter_configs_request::AlterableConfig;
    use kafka_protocol::protocol::StrBytes;

    fn ask(kind: i8, name: &'static str, configs: &[(&'static str, Option<&'static str>)]) -> AlterConfigsResource {
        let config = |(name, value): &(&'static str, Option<&'static str>)| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(value.map(StrBytes::from_static_str))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(configs.iter().map(config).collect())
    }

    fn code(rig: &mut Rig, resources: Vec<AlterConfigsResource>) -> Vec<i16> {
        let response = rig.call(2, handle, AlterConfigsRequest::default().with_resources(resources));
        response.responses.iter().map(|response| response.error_code).collect()
    }

    #[test]
    fn what_is_left_out_is_reset() {
        // Source: ConfigurationControlManager.legacyAlterConfigResource.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        assert_eq!(code(&mut rig, vec![ask(2, "p", &[("retention.ms", Some("5")), ("segment.ms", Some("6"))])]), [0]);
        assert_eq!(code(&mut rig, vec![ask(2, "p", &[("retention.ms", Some("7"))])]), [0]);
        let config = rig.state.cluster.topics().by_name("p").unwrap().config().clone();
        assert_eq!((config.retention_ms, config.segment_ms), (7, 604_800_000));
    }

    #[test]
    fn each_bad_change_has_the_code_of_kafka() {
        // Each line was seen on 4.3.1, but for the resource that comes twice, which Kafka does not answer.
        let mut rig = Rig::new(1, &[]);
        rig.topic("p", 1);
        for (resource, expected) in [
            (ask(2, "nope", &[("retention.ms", Some("5"))]), 3),
            (ask(2, "p", &[("retention.ms", None)]), 42),
            (ask(2, "p", &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]), 42),
            (ask(8, "1", &[("root", Some("INFO"))]), 42),
            (ask(2, "p", &[("nope", Some("1"))]), 40),
            (ask(32, "g", &[]), 0),
            (ask(4, "2", &[]), 42),
            (ask(4, "", &[]), 40),
        ] {
            assert_eq!(code(&mut rig, vec![resource.clone()]), [expected], "{resource:?}");
        }
        assert_eq!(code(&mut rig, vec![ask(2, "p", &[]), ask(2, "p", &[])]), [42, 42]);
    }
}
