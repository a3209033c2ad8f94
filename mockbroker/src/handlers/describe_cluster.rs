//! DescribeCluster (key 60), v0-v2.
//!
//! The nodes of the cluster, by itself rather than beside topics.
//!
//! Versions: v0 is flexible already; v1 endpoint type; v2 fenced brokers.
//! Not modelled: an authorizer, controller endpoints.
//! Source: DescribeClusterRequest.json; KIP-700, KIP-919, KIP-1073; KafkaApis.handleDescribeCluster.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

use super::answers::{CLUSTER_OPERATIONS, NO_OPERATIONS, text};
use super::{Answer, Api, Ctx};
use crate::state::State;

pub(super) const API: Api = Api::new::<DescribeClusterRequest>(0, 2);

/// `EndpointType.BROKER`, the one a broker answers for.
const BROKERS: i8 = 1;
/// `EndpointType.CONTROLLER`.
const CONTROLLERS: i8 = 2;

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeClusterRequest,
) -> Answer<DescribeClusterResponse> {
    let wrong = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ResponseError::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((ResponseError::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"))),
    };
    if let Some((error, message)) = wrong {
        return Answer::Now(refuse(&request, error).with_error_message(Some(text(message))));
    }
    let with_fenced = ctx.version >= 2 && request.include_fenced_brokers;
    let brokers = state.cluster.nodes().filter(|node| node.alive || with_fenced).map(|node| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(node.id.0))
            .with_host(text(node.host.as_str()))
            .with_port(i32::from(node.port))
            .with_rack(node.rack.clone().map(StrBytes::from_string))
            .with_is_fenced(!node.alive)
    });
    let operations = if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { NO_OPERATIONS };
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(text(state.cluster.cluster_id()))
        .with_brokers(brokers.collect())
        .with_cluster_authorized_operations(operations);
    let controller = state.cluster.random_alive_node(&mut state.ids);
    Answer::Now(response.with_controller_id(BrokerId(controller)))
}

pub(super) fn refuse(_request: &DescribeClusterRequest, error: ResponseError) -> DescribeClusterResponse {
    DescribeClusterResponse::default()
        .with_error_code(error.code())
        .with_endpoint_type(BROKERS)
        .with_controller_id(BrokerId(-1))
        .with_cluster_authorized_operations(NO_OPERATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;
    use crate::types::NodeId;

    #[test]
    fn the_nodes_that_are_up_are_listed_and_from_v2_the_others_on_request() {
        // Source: DescribeClusterRequest.json, KIP-1073.
        let mut rig = Rig::new(3, &[]);
        rig.state.cluster.set_alive(NodeId(2), false);
        let all = DescribeClusterRequest::default().with_include_fenced_brokers(true);
        let up = rig.call(0, handle, DescribeClusterRequest::default());
        assert_eq!(up.brokers.iter().map(|broker| broker.broker_id.0).collect::<Vec<_>>(), [1, 3]);
        assert!([1, 3].contains(&up.controller_id.0));
        let fenced = rig.call(2, handle, all);
        assert_eq!(fenced.brokers.iter().map(|broker| broker.is_fenced).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!((fenced.cluster_id.len(), fenced.cluster_authorized_operations), (22, i32::MIN));
        let operations = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        assert_eq!(rig.call(1, handle, operations).cluster_authorized_operations, 8096);
    }

    #[test]
    fn a_broker_answers_for_brokers_only() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let mut ask = |endpoint: i8| {
            let response = rig.call(2, handle, DescribeClusterRequest::default().with_endpoint_type(endpoint));
            (response.error_code, response.error_message.as_deref().unwrap_or("").to_owned(), response.controller_id.0)
        };
        assert_eq!(ask(0), (115, "Unsupported endpoint type 0".to_owned(), -1));
        let text = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
        assert_eq!(ask(2), (114, text.to_owned(), -1));
    }
}
