//! DescribeConfigs (key 32), v1-v4.
//!
//! The configs of topics, nodes, groups and client-metrics subscriptions with where each value comes from.
//!
//! Versions: v1 config source and synonyms; v3 documentation and types; v4 flexible.
//! Not modelled: documentation (always null), an authorizer, and of broker loggers only `root`, which stays at INFO.
//! Source: DescribeConfigsRequest.json; KIP-133, KIP-226, KIP-569; ConfigHelper.handleDescribeConfigsRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::{default_text, text};
use super::{Answer, Api, Ctx};
use crate::cluster::configs::describe::{Described, Source};
use crate::cluster::{Cluster, Refusal, names};
use crate::state::State;
use crate::types::NodeId;

pub(super) const API: Api = Api::new::<DescribeConfigsRequest>(1, 4);

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeConfigsRequest,
) -> Answer<DescribeConfigsResponse> {
    let is_known = |resource: &DescribeConfigsResource| {
        [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP].contains(&resource.resource_type)
    };
    if !request.resources.iter().all(is_known) {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    }
    let results = request.resources.iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match describe(&state.cluster, ctx.node, resource) {
            Ok(configs) => {
                let configs = configs.into_iter().filter(|config| is_asked_for(resource, &config.name));
                let configs = configs.map(|config| entry(config, request.include_synonyms));
                result.with_configs(configs.collect()).with_error_message(Some(StrBytes::default()))
            }
            Err(refusal) => result
                .with_error_code(refusal.error.code())
                .with_error_message(Some(text(refusal.message.unwrap_or_default()))),
        }
    });
    Answer::Now(DescribeConfigsResponse::default().with_results(results.collect()))
}

pub(super) fn refuse(request: &DescribeConfigsRequest, error: ResponseError) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(error.code())
            .with_error_message(Some(default_text(error)))
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// No list and an empty list both ask for everything.
fn is_asked_for(resource: &DescribeConfigsResource, name: &str) -> bool {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    keys.is_empty() || keys.iter().any(|key| key.as_str() == name)
}

fn describe(cluster: &Cluster, node: NodeId, resource: &DescribeConfigsResource) -> Result<Vec<Described>, Refusal> {
    let invalid = |text: String| Err(Refusal::new(ResponseError::InvalidRequest, text));
    let configs = cluster.configs();
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => {
            names::check(name)?;
            match cluster.topics().by_name(name) {
                Some(_) => Ok(configs.describe_topic(name)),
                None => Err(Refusal::code(ResponseError::UnknownTopicOrPartition)),
            }
        }
        BROKER if name.is_empty() => Ok(configs.describe_broker_default()),
        BROKER => match (broker_id(name)? == node, cluster.node(node)) {
            (true, Some(node)) => Ok(configs.describe_broker(node)),
            _ => invalid(format!("Unexpected broker id, expected {node} or empty string, but received {name}")),
        },
        BROKER_LOGGER if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
        BROKER_LOGGER if broker_id(name)? != node => {
            invalid(format!("Unexpected broker id, expected {node} but received {name}"))
        }
        BROKER_LOGGER => Ok(vec![root_logger()]),
        CLIENT_METRICS if name.is_empty() => invalid("Client metrics subscription name must not be empty".to_owned()),
        CLIENT_METRICS => Ok(configs.describe_client_metrics(name)),
        _ if name.is_empty() => invalid("Group name must not be empty".to_owned()),
        _ => Ok(configs.describe_group(node, name)),
    }
}

fn broker_id(name: &str) -> Result<NodeId, Refusal> {
    let text = format!("Broker id must be an integer, but it is: {name}");
    name.parse().map(NodeId).map_err(|_| Refusal::new(ResponseError::InvalidRequest, text))
}

fn root_logger() -> Described {
    Described {
        name: "root".to_owned(),
        value: Some("INFO".to_owned()),
        source: Source::DynamicBrokerLogger,
        read_only: false,
        is_sensitive: false,
        config_type: 0,
        synonyms: Vec::new(),
    }
}

fn entry(config: Described, include_synonyms: bool) -> DescribeConfigsResourceResult {
    let synonyms = config.synonyms.into_iter().filter(|_| include_synonyms).map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(text(synonym.name))
            .with_value(synonym.value.map(StrBytes::from_string))
            .with_source(synonym.source as i8)
    });
    DescribeConfigsResourceResult::default()
        .with_synonyms(synonyms.collect())
        .with_name(text(config.name))
        .with_value(config.value.map(StrBytes::from_string))
        .with_read_only(config.read_only)
        .with_config_source(config.source as i8)
        .with_is_sensitive(config.is_sensitive)
        .with_config_type(config.config_type)
        .with_documentation(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;

    fn ask(kind: i8, name: &'static str, keys: &[&'static str]) -> DescribeConfigsResource {
        let keys = keys.iter().map(|key| StrBytes::from_static_str(key)).collect();
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configuration_keys(Some(keys))
    }

    #[test]
    fn each_bad_name_is_refused_with_the_text_of_kafka() {
        // Each line was seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        for (kind, name, code, text) in [
            (TOPIC, "nope", 3, ""),
            (TOPIC, "", 17, "Topic name is invalid: the empty string is not allowed"),
            (BROKER, "7", 42, "Unexpected broker id, expected 1 or empty string, but received 7"),
            (BROKER, "x", 42, "Broker id must be an integer, but it is: x"),
            (BROKER_LOGGER, "", 42, "Broker id must not be empty"),
            (BROKER_LOGGER, "7", 42, "Unexpected broker id, expected 1 but received 7"),
            (CLIENT_METRICS, "", 42, "Client metrics subscription name must not be empty"),
            (GROUP, "", 42, "Group name must not be empty"),
        ] {
            let request = DescribeConfigsRequest::default().with_resources(vec![ask(kind, name, &[])]);
            let result = &rig.call(4, handle, request).results[0];
            assert_eq!((result.error_code, result.error_message.as_deref()), (code, Some(text)), "{kind} {name:?}");
        }
    }

    #[test]
    fn one_unknown_type_refuses_the_whole_request() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        rig.topic("t", 1);
        let request = DescribeConfigsRequest::default().with_resources(vec![ask(99, "x", &[]), ask(TOPIC, "t", &[])]);
        let response = rig.call(4, handle, request);
        assert!(response.results.iter().all(|result| result.error_code == 42));
        assert!(response.results[0].error_message.as_deref().unwrap().starts_with("This most likely occurs because"));
    }

    #[test]
    fn keys_and_synonyms_come_on_request() {
        let mut rig = Rig::new(1, &[]);
        rig.topic("t", 1);
        let all = DescribeConfigsRequest::default().with_resources(vec![ask(TOPIC, "t", &[]), ask(BROKER, "1", &[])]);
        let response = rig.call(1, handle, all);
        assert_eq!(response.results.iter().map(|result| result.configs.len()).collect::<Vec<_>>(), [33, 340]);
        let some = ask(TOPIC, "t", &["cleanup.policy", "nope"]);
        let request = DescribeConfigsRequest::default().with_resources(vec![some]);
        let configs = &rig.call(4, handle, request.clone()).results[0].configs;
        assert_eq!((configs.len(), configs[0].synonyms.len()), (1, 0));
        let with = rig.call(4, handle, request.with_include_synonyms(true));
        let synonym = &with.results[0].configs[0].synonyms[0];
        assert_eq!(
            (synonym.name.as_str(), synonym.value.as_deref(), synonym.source),
            ("log.cleanup.policy", Some("delete"), 5)
        );
    }
}
