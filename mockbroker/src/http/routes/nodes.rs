//! Nodes that crash and come back.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::http::extract::{At, InCluster, OfNode};
use crate::http::hub::Cluster;
use crate::http::problem::{Outcome, Problem, Refusals};
use crate::types::NodeId;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(describe)).routes(routes!(crash)).routes(routes!(restart))
}

/// A node.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct NodeState {
    /// `node.id`.
    node_id: i32,
    /// The host that clients are told.
    host: String,
    /// The port that clients are told.
    port: u16,
    /// Whether it runs: it has not been crashed, or was restarted.
    is_up: bool,
    /// Whether the controllers hear of it: one that they do not hear of leads nothing and is in no ISR.
    is_alive: bool,
    /// Whether it leads the controllers.
    is_controller: bool,
}

impl NodeState {
    /// All of a cluster, by id.
    pub(super) fn all(broker: &MockBroker) -> Vec<Self> {
        broker.engine().read(|state| {
            let nodes = state.cluster.nodes().map(|node| Self {
                node_id: node.id.0,
                host: node.host.clone(),
                port: node.port,
                is_up: node.is_running,
                is_alive: node.alive,
                is_controller: state.cluster.controller_id() == node.id,
            });
            nodes.collect()
        })
    }

    pub(super) fn node_id(&self) -> i32 {
        self.node_id
    }

    fn of(cluster: &Cluster, id: NodeId) -> Outcome<Json<Self>> {
        let found = Self::all(&cluster.broker).into_iter().find(|node| node.node_id == id.0);
        found.map(Json).ok_or_else(|| Problem::not_found(format!("there is no node {id}")))
    }
}

/// All nodes, by id.
#[utoipa::path(get, path = "/clusters/{cluster}/nodes", tag = "nodes", operation_id = "list_nodes", params(InCluster),
    responses((status = 200, body = Vec<NodeState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<NodeState>>> {
    Ok(Json(NodeState::all(&hub.cluster(&at.cluster)?.broker)))
}

/// A node.
#[utoipa::path(get, path = "/clusters/{cluster}/nodes/{node}", tag = "nodes", operation_id = "describe_node", params(OfNode),
    responses((status = 200, body = NodeState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<OfNode>) -> Outcome<Json<NodeState>> {
    let cluster = hub.cluster(&at.cluster)?;
    NodeState::of(&cluster, cluster.node(at.node)?.id())
}

/// Kills the node, as `kill -9` does: its connections end, others lead what it led, what is in its logs stays. Nothing happens if
/// it is down.
#[utoipa::path(post, path = "/clusters/{cluster}/nodes/{node}/crash", tag = "nodes", operation_id = "crash_node", params(OfNode),
    responses((status = 200, body = NodeState), Refusals))]
async fn crash(State(hub): Knows, At(at): At<OfNode>) -> Outcome<Json<NodeState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let node = cluster.node(at.node)?;
    node.crash();
    NodeState::of(&cluster, node.id())
}

/// Starts the node again after a crash, on the same port, with all it had written. Nothing happens if it is up.
#[utoipa::path(post, path = "/clusters/{cluster}/nodes/{node}/restart", tag = "nodes", operation_id = "restart_node", params(OfNode),
    responses((status = 200, body = NodeState), Refusals))]
async fn restart(State(hub): Knows, At(at): At<OfNode>) -> Outcome<Json<NodeState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let node = cluster.node(at.node)?;
    node.try_restart().map_err(Problem::conflict)?;
    NodeState::of(&cluster, node.id())
}
