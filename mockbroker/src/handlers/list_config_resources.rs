//! ListConfigResources (key 74), v0-v1.
//!
//! What has configs. v0 is what was ListClientMetricsResources.
//!
//! Versions: v0 client-metrics subscriptions only, flexible already; v1 all types.
//! Not modelled: an authorizer.
//! Source: ListConfigResourcesRequest.json; KIP-714, KIP-1142; KafkaApis.handleListConfigResources.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::cluster::Cluster;
use crate::cluster::configs::Resource;
use crate::state::State;

pub(super) const API: Api = Api::new::<ListConfigResourcesRequest>(0, 1);

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: ListConfigResourcesRequest,
) -> Answer<ListConfigResourcesResponse> {
    let all = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];
    if !request.resource_types.iter().all(|kind| all.contains(kind)) {
        return Answer::Now(refuse(&request, ResponseError::UnsupportedVersion));
    }
    let asked: Vec<i8> = match ctx.version {
        0 => vec![CLIENT_METRICS],
        _ if request.resource_types.is_empty() => all.to_vec(),
        _ => all.into_iter().filter(|kind| request.resource_types.contains(kind)).collect(),
    };
    let resources = asked.into_iter().flat_map(|kind| {
        // v0 knows no types, and its only one is the default of the field.
        let resource = ConfigResource::default().with_resource_type(kind);
        names(&state.cluster, kind).into_iter().map(move |name| resource.clone().with_resource_name(text(name)))
    });
    Answer::Now(ListConfigResourcesResponse::default().with_config_resources(resources.collect()))
}

pub(super) fn refuse(_request: &ListConfigResourcesRequest, error: ResponseError) -> ListConfigResourcesResponse {
    ListConfigResourcesResponse::default().with_error_code(error.code())
}

/// Topics and nodes are all listed, groups and subscriptions where they have configs.
fn names(cluster: &Cluster, kind: i8) -> Vec<String> {
    let name = |resource: &Resource| match resource {
        Resource::Group(name) if kind == GROUP => Some(name.clone()),
        Resource::ClientMetrics(name) if kind == CLIENT_METRICS => Some(name.clone()),
        _ => None,
    };
    match kind {
        TOPIC => cluster.topics().iter().map(|topic| topic.name().to_string()).collect(),
        BROKER | BROKER_LOGGER => cluster.nodes().map(|node| node.id.to_string()).collect(),
        _ => cluster.configs().resources().filter_map(name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::configs::Properties;
    use crate::handlers::testing::Rig;

    #[test]
    fn resources_are_listed_by_type() {
        // Seen on 4.3.1; the order of the types as well.
        let mut rig = Rig::new(1, &[]);
        rig.topic("t", 1);
        let set = |key: &str| Properties::from([(key.to_owned(), "5000".to_owned())]);
        rig.state.cluster.set_configs(Resource::ClientMetrics("m".into()), set("interval.ms"));
        rig.state.cluster.set_configs(Resource::Group("g".into()), set("consumer.heartbeat.interval.ms"));
        let mut list = |version: i16, types: &[i8]| {
            let request = ListConfigResourcesRequest::default().with_resource_types(types.to_vec());
            let response = rig.call(version, handle, request);
            let rows = response.config_resources.iter();
            let rows: Vec<_> = rows.map(|it| (it.resource_name.to_string(), it.resource_type)).collect();
            (response.error_code, rows)
        };
        let row = |name: &str, kind: i8| (name.to_owned(), kind);
        assert_eq!(list(0, &[]), (0, vec![row("m", 16)]));
        assert_eq!(list(1, &[]), (0, vec![row("g", 32), row("m", 16), row("1", 8), row("1", 4), row("t", 2)]));
        assert_eq!(list(1, &[2, 32]), (0, vec![row("g", 32), row("t", 2)]));
        assert_eq!(list(1, &[2, 77]), (35, vec![]));
    }
}
