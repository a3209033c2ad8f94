//! Coordinators that are kept from reading their logs, and let one by one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::markers::Release;
use super::{Arc, Hub, Knows};
use crate::fault::{self, HeldLoading};
use crate::http::extract::{At, Body, InCluster};
use crate::http::hub::Cluster;
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(pending, hold, let_go)).routes(routes!(release)).routes(routes!(wait))
}

/// A partition of a coordinator's topic whose leader has not read it yet.
#[derive(Serialize, ToSchema)]
struct PendingLoad {
    /// `__consumer_offsets` or `__transaction_state`.
    topic: String,
    /// Its number.
    partition: i32,
    /// The node that leads it; null if it has gone meanwhile.
    leader: Option<i32>,
}

/// What is held back.
#[derive(Serialize, ToSchema)]
struct LoadingState {
    /// Whether coordinators are kept from loading.
    is_held: bool,
    /// What is to be read, in the order in which it is.
    pending: Vec<PendingLoad>,
}

/// What was read.
#[derive(Serialize, ToSchema)]
struct Loaded {
    /// In its order.
    released: Vec<PendingLoad>,
}

/// What to wait for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoadingWait {
    /// That at least so many partitions are to be read.
    pending: usize,
    /// How long.
    #[serde(default)]
    timeout_ms: Patience,
}

impl PendingLoad {
    fn of(load: fault::PendingLoad) -> Self {
        let fault::PendingLoad { topic, partition, leader } = load;
        Self { topic, partition: partition.0, leader: leader.map(|node| node.0) }
    }
}

fn state(held: &HeldLoading) -> LoadingState {
    LoadingState { is_held: true, pending: held.pending().into_iter().map(PendingLoad::of).collect() }
}

fn held(cluster: &Cluster) -> Outcome<Arc<HeldLoading>> {
    let held = cluster.mounts().loading.clone();
    held.ok_or_else(|| Problem::conflict("no loading is held: POST /clusters/{cluster}/loading first"))
}

/// The coordinators that are kept from reading their logs.
#[utoipa::path(get, path = "/clusters/{cluster}/loading", tag = "groups", operation_id = "pending_loads", params(InCluster),
    responses((status = 200, body = LoadingState), Refusals))]
async fn pending(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<LoadingState>> {
    let held = hub.cluster(&at.cluster)?.mounts().loading.clone();
    Ok(Json(held.map_or(LoadingState { is_held: false, pending: Vec::new() }, |held| state(&held))))
}

/// Keeps coordinators that begin their work from here on from reading their logs: until they have, they answer
/// COORDINATOR_LOAD_IN_PROGRESS. Nothing happens if they are kept already.
#[utoipa::path(post, path = "/clusters/{cluster}/loading", tag = "groups", operation_id = "hold_loading", params(InCluster),
    responses((status = 200, body = LoadingState), Refusals))]
async fn hold(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<LoadingState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let held = {
        let mut mounts = cluster.mounts();
        Arc::clone(mounts.loading.get_or_insert_with(|| Arc::new(cluster.broker.hold_loading())))
    };
    Ok(Json(state(&held)))
}

/// Lets them read what is left, and holds nothing back any longer.
#[utoipa::path(delete, path = "/clusters/{cluster}/loading", tag = "groups", operation_id = "let_loading_go", params(InCluster),
    responses((status = 204, description = "Nothing is held."), Refusals))]
async fn let_go(State(hub): Knows, At(at): At<InCluster>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    held(&cluster)?;
    let held = cluster.mounts().loading.take();
    drop(held);
    Ok(StatusCode::NO_CONTENT)
}

/// Lets the next ones read their logs.
#[utoipa::path(post, path = "/clusters/{cluster}/loading/release", tag = "groups", operation_id = "release_loading",
    params(InCluster), request_body = Release, responses((status = 200, body = Loaded), Refusals))]
async fn release(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<Release>) -> Outcome<Json<Loaded>> {
    let held = held(&*hub.cluster(&at.cluster)?)?;
    let count = to.count.unwrap_or_else(|| held.pending().len() as u64);
    let released = (0..count).map_while(|_| held.release_next()).map(PendingLoad::of).collect();
    Ok(Json(Loaded { released }))
}

/// Waits until coordinators are to read their logs.
#[utoipa::path(post, path = "/clusters/{cluster}/loading/wait", tag = "groups", operation_id = "wait_for_loading", params(InCluster),
    request_body = LoadingWait, responses((status = 200, body = LoadingState), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<LoadingWait>) -> Outcome<Json<LoadingState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let held = held(&cluster)?;
    let what = format!("{} coordinators that are to load", to.pending);
    cluster.wait(to.timeout_ms, &what, held.come(to.pending)).await?;
    Ok(Json(state(&held)))
}
