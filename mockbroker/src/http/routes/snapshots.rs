//! Warmed clusters that are kept, and started as often as a test wants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::clusters::{ClusterState, start};
use super::{Arc, Hub, Knows};
use crate::http::extract::{At, Body, InCluster, OfSnapshot};
use crate::http::hub::Taken;
use crate::http::problem::{Outcome, Refusals};

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(take)).routes(routes!(list)).routes(routes!(forget)).routes(routes!(fork))
}

/// A snapshot.
#[derive(Serialize, ToSchema)]
struct SnapshotState {
    /// Its number.
    id: u64,
    /// The cluster that it was taken of.
    of: String,
}

/// A cluster to be, of a snapshot.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewFork {
    /// Its name in the paths of this address. Default: a free one.
    name: Option<String>,
}

/// Keeps everything that the cluster has now: records, groups, transactions. Not connections, faults, gates.
#[utoipa::path(post, path = "/clusters/{cluster}/snapshots", tag = "clusters", operation_id = "take_snapshot", params(InCluster),
    responses((status = 201, body = SnapshotState), Refusals))]
async fn take(State(hub): Knows, At(at): At<InCluster>) -> Outcome<(StatusCode, Json<SnapshotState>)> {
    let cluster = hub.cluster(&at.cluster)?;
    let taken = Taken { of: cluster.name.clone(), snapshot: cluster.broker.snapshot() };
    let id = hub.keep(taken)?;
    Ok((StatusCode::CREATED, Json(SnapshotState { id, of: cluster.name.clone() })))
}

/// All snapshots.
#[utoipa::path(get, path = "/snapshots", tag = "clusters", operation_id = "list_snapshots",
    responses((status = 200, body = Vec<SnapshotState>), Refusals))]
async fn list(State(hub): Knows) -> Json<Vec<SnapshotState>> {
    Json(hub.snapshots().into_iter().map(|(id, taken)| SnapshotState { id, of: taken.of }).collect())
}

/// Forgets a snapshot. The clusters that were started from it stay.
#[utoipa::path(delete, path = "/snapshots/{snapshot}", tag = "clusters", operation_id = "forget_snapshot", params(OfSnapshot),
    responses((status = 204, description = "It is forgotten."), Refusals))]
async fn forget(State(hub): Knows, At(at): At<OfSnapshot>) -> Outcome<StatusCode> {
    hub.forget_snapshot(at.snapshot)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts a cluster that has all that the snapshot has, on ports of its own. It takes microseconds besides those.
#[utoipa::path(post, path = "/snapshots/{snapshot}/clusters", tag = "clusters", operation_id = "fork_snapshot", params(OfSnapshot),
    request_body = NewFork, responses((status = 201, body = ClusterState), Refusals))]
async fn fork(
    State(hub): Knows,
    At(at): At<OfSnapshot>,
    Body(new): Body<NewFork>,
) -> Outcome<(StatusCode, Json<ClusterState>)> {
    let snapshot = hub.snapshot(at.snapshot)?;
    let cluster = start(&hub, new.name, async { snapshot.try_start().await }).await?;
    Ok((StatusCode::CREATED, Json(ClusterState::of(&cluster))))
}
