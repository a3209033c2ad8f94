//! The connections of Kafka clients.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::http::extract::{At, Body, InCluster};
use crate::http::problem::{Outcome, Refusals, WaitRefusals};
use crate::http::wait::Patience;
use crate::journal::Peer;
use crate::types::ConnectionId;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(wait))
}

/// A connection of a Kafka client.
#[derive(Serialize, ToSchema)]
pub(super) struct ConnectionState {
    /// Its number.
    id: u64,
    /// The node that took it.
    node_id: i32,
    /// Where it comes from.
    client_address: String,
    /// When it began, in milliseconds since 1970 by the broker's clock.
    opened_ms: i64,
    /// When it ended; null while it is open.
    closed_ms: Option<i64>,
    /// Why it ended; null while it is open.
    closed_because: Option<String>,
}

/// How many connections there are.
#[derive(Serialize, ToSchema)]
struct Connections {
    /// How many are open.
    open: usize,
    /// Those that are known, by number: the open ones and the last thousand that ended. None in a cluster without a journal.
    known: Vec<ConnectionState>,
}

/// What to wait for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ConnectionsWait {
    /// That so many are open, no more and no less.
    open: usize,
    /// How long.
    #[serde(default)]
    timeout_ms: Patience,
}

impl ConnectionState {
    fn of((id, peer): (ConnectionId, Peer)) -> Self {
        let (closed_ms, closed_because) = peer.closed.map(|(when, why)| (when.as_millis(), why)).unzip();
        Self {
            id: id.0,
            node_id: peer.node.0,
            client_address: peer.client.to_string(),
            opened_ms: peer.opened.as_millis(),
            closed_ms,
            closed_because,
        }
    }

    /// All that are known, by number.
    pub(super) fn all(broker: &MockBroker) -> Vec<Self> {
        broker.engine().connections().into_iter().map(Self::of).collect()
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Connections {
    fn of(broker: &MockBroker) -> Json<Self> {
        Json(Self { open: broker.connection_count(), known: ConnectionState::all(broker) })
    }
}

/// The connections of Kafka clients.
#[utoipa::path(get, path = "/clusters/{cluster}/connections", tag = "journal", operation_id = "list_connections", params(InCluster),
    responses((status = 200, body = Connections), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Connections>> {
    Ok(Connections::of(&hub.cluster(&at.cluster)?.broker))
}

/// Waits until so many connections are open.
#[utoipa::path(post, path = "/clusters/{cluster}/connections/wait", tag = "journal", operation_id = "wait_for_connections",
    params(InCluster), request_body = ConnectionsWait, responses((status = 200, body = Connections), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<ConnectionsWait>) -> Outcome<Json<Connections>> {
    let cluster = hub.cluster(&at.cluster)?;
    let what = format!("{} connections", to.open);
    cluster.until(to.timeout_ms, &what, || (cluster.broker.connection_count() == to.open).then_some(())).await?;
    Ok(Connections::of(&cluster.broker))
}
