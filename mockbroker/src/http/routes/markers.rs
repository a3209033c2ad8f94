//! Transactions held half-way: the markers that end them, released one by one, or failing.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::transactions::TopicPartition;
use super::{Arc, Hub, Knows};
use crate::fault::{self, HeldMarkers};
use crate::http::extract::{At, Body, InCluster};
use crate::http::hub::Cluster;
use crate::http::model::error_code;
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new()
        .routes(routes!(pending, hold, let_go))
        .routes(routes!(release))
        .routes(routes!(fail))
        .routes(routes!(wait))
}

/// A step that is left of a transaction whose end is decided and answered.
#[derive(Serialize, ToSchema)]
struct PendingMarker {
    /// Whose transaction it is.
    transactional_id: String,
    /// The producer id that the marker bears.
    producer_id: i64,
    /// The epoch that the marker bears.
    producer_epoch: i16,
    /// Whether it commits; else it aborts.
    is_commit: bool,
    /// Where the marker is written; null for the last step: the coordinator writes down that the transaction is complete.
    partition: Option<TopicPartition>,
}

/// What is held back.
#[derive(Serialize, ToSchema)]
struct MarkersState {
    /// Whether markers are held.
    is_held: bool,
    /// What is left of all transactions whose end was answered, in the order in which it is released.
    pending: Vec<PendingMarker>,
}

/// What to release.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Release {
    /// So many. Default: all that are pending now.
    pub(super) count: Option<u64>,
}

/// What was taken.
#[derive(Serialize, ToSchema)]
struct Released {
    /// The steps, in their order. The marker of a partition that nobody leads stays pending.
    released: Vec<PendingMarker>,
}

/// With which error.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Fail {
    /// Its number: 3, 6, 7, 19, 20 and 56 are tried again, after 47 and 52 the coordinator gives up.
    code: Option<i16>,
    /// Or Kafka's name of it, as `NOT_LEADER_OR_FOLLOWER`.
    name: Option<String>,
}

/// What to wait for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MarkersWait {
    /// That at least so many steps are pending.
    pending: usize,
    /// How long.
    #[serde(default)]
    timeout_ms: Patience,
}

impl PendingMarker {
    fn of(marker: fault::PendingMarker) -> Self {
        let fault::PendingMarker { transactional_id, producer_id, producer_epoch, is_commit, partition } = marker;
        let partition = partition.map(|(topic, partition)| TopicPartition { topic, partition: partition.0 });
        Self { transactional_id, producer_id: producer_id.0, producer_epoch, is_commit, partition }
    }
}

fn state(held: &HeldMarkers) -> MarkersState {
    MarkersState { is_held: true, pending: held.pending().into_iter().map(PendingMarker::of).collect() }
}

fn held(cluster: &Cluster) -> Outcome<Arc<HeldMarkers>> {
    let held = cluster.mounts().markers.clone();
    held.ok_or_else(|| Problem::conflict("no markers are held: POST /clusters/{cluster}/markers first"))
}

/// The markers that are held back.
#[utoipa::path(get, path = "/clusters/{cluster}/markers", tag = "groups", operation_id = "pending_markers", params(InCluster),
    responses((status = 200, body = MarkersState), Refusals))]
async fn pending(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<MarkersState>> {
    let held = hub.cluster(&at.cluster)?.mounts().markers.clone();
    Ok(Json(held.map_or(MarkersState { is_held: false, pending: Vec::new() }, |held| state(&held))))
}

/// Holds back the markers that end transactions from here on. EndTxn is answered as ever; nothing happens if they are held already.
#[utoipa::path(post, path = "/clusters/{cluster}/markers", tag = "groups", operation_id = "hold_markers", params(InCluster),
    responses((status = 200, body = MarkersState), Refusals))]
async fn hold(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<MarkersState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let held = {
        let mut mounts = cluster.mounts();
        Arc::clone(mounts.markers.get_or_insert_with(|| Arc::new(cluster.broker.hold_markers())))
    };
    Ok(Json(state(&held)))
}

/// Writes what is left, and holds nothing back any longer.
#[utoipa::path(delete, path = "/clusters/{cluster}/markers", tag = "groups", operation_id = "let_markers_go", params(InCluster),
    responses((status = 204, description = "Nothing is held."), Refusals))]
async fn let_go(State(hub): Knows, At(at): At<InCluster>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    held(&cluster)?;
    let held = cluster.mounts().markers.take();
    drop(held);
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the next steps.
#[utoipa::path(post, path = "/clusters/{cluster}/markers/release", tag = "groups", operation_id = "release_markers",
    params(InCluster), request_body = Release, responses((status = 200, body = Released), Refusals))]
async fn release(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<Release>) -> Outcome<Json<Released>> {
    let held = held(&*hub.cluster(&at.cluster)?)?;
    let count = to.count.unwrap_or_else(|| held.pending().len() as u64);
    let mut released = Vec::new();
    for _ in 0..count {
        let before = held.pending().len();
        let Some(step) = held.release_next() else { break };
        if held.pending().len() >= before {
            // Nobody leads the partition of this step: what comes after it waits for it.
            break;
        }
        released.push(PendingMarker::of(step));
    }
    Ok(Json(Released { released }))
}

/// The leader of the next partition answers an error to the marker instead of writing it.
#[utoipa::path(post, path = "/clusters/{cluster}/markers/fail", tag = "groups", operation_id = "fail_marker", params(InCluster),
    request_body = Fail, responses((status = 200, body = PendingMarker), Refusals))]
async fn fail(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<Fail>) -> Outcome<Json<PendingMarker>> {
    let held = held(&*hub.cluster(&at.cluster)?)?;
    let failed = held.try_fail_next(error_code(to.code, to.name.as_deref())?).map_err(Problem::bad)?;
    let failed = failed.ok_or_else(|| Problem::conflict("nothing is pending: no transaction has ended since"))?;
    Ok(Json(PendingMarker::of(failed)))
}

/// Waits until steps are pending.
#[utoipa::path(post, path = "/clusters/{cluster}/markers/wait", tag = "groups", operation_id = "wait_for_markers", params(InCluster),
    request_body = MarkersWait, responses((status = 200, body = MarkersState), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<MarkersWait>) -> Outcome<Json<MarkersState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let held = held(&cluster)?;
    let what = format!("{} markers pending", to.pending);
    cluster.wait(to.timeout_ms, &what, held.come(to.pending)).await?;
    Ok(Json(state(&held)))
}
