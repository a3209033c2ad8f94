//! Gates: requests that wait until the test lets them go.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::scope::{ScopeSpec, When};
use super::{Arc, Hub, Knows};
use crate::fault::Gate;
use crate::http::extract::{At, Body, InCluster, Mounted};
use crate::http::hub::{Cluster, MountedGate};
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(list, pause_next)).routes(routes!(describe, release)).routes(routes!(wait))
}

/// A gate to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGate {
    /// Which request waits. Default: the next one.
    #[serde(default)]
    scope: ScopeSpec,
    /// Before the broker has done anything of the request, or when it has, before it answers.
    when: When,
    /// Not only the next request waits, but every one of the scope until the gate is released. Default: false.
    #[serde(default)]
    every: bool,
    /// What it is called when it is reported. Default: `a gate`.
    name: Option<String>,
}

/// A gate.
#[derive(Serialize, ToSchema)]
pub(super) struct GateState {
    /// Its number in this cluster.
    id: u64,
    /// What it is called when it is reported.
    name: String,
    /// Which request waits, in words.
    scope: String,
    /// Before the broker has done anything of the request, or when it has.
    when: When,
    /// Whether every request of the scope waits.
    every: bool,
    /// How many requests have come to it.
    entered: u64,
}

/// What to wait for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct GateWait {
    /// That so many requests have come to the gate. Default: 1.
    entered: Option<u64>,
    /// How long.
    timeout_ms: Patience,
}

impl GateState {
    fn of(id: u64, mounted: &MountedGate) -> Self {
        let rule = mounted.gate.rule();
        Self {
            id,
            name: rule.name().to_owned(),
            scope: format!("{:?}", rule.scope()),
            when: rule.stage().into(),
            every: mounted.every,
            entered: rule.hits(),
        }
    }
}

/// Holds a gate for whoever asked for it.
pub(super) fn hold(cluster: &Cluster, gate: Gate, every: bool) -> GateState {
    let mounted = MountedGate { gate, every };
    let mut mounts = cluster.mounts();
    let id = mounts.next_id();
    let state = GateState::of(id, &mounted);
    mounts.gates.insert(id, mounted);
    state
}

fn state(cluster: &Cluster, id: u64) -> Outcome<GateState> {
    let mounts = cluster.mounts();
    mounts.gates.get(&id).map(|mounted| GateState::of(id, mounted)).ok_or_else(|| no_gate(id))
}

fn no_gate(id: u64) -> Problem {
    Problem::not_found(format!("there is no gate {id} in this cluster: it never was, or is released"))
}

/// All gates that are not released.
#[utoipa::path(get, path = "/clusters/{cluster}/gates", tag = "faults", operation_id = "list_gates", params(InCluster),
    responses((status = 200, body = Vec<GateState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<GateState>>> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounts = cluster.mounts();
    Ok(Json(mounts.gates.iter().map(|(id, mounted)| GateState::of(*id, mounted)).collect()))
}

/// Holds the next request of a scope until the gate is released.
#[utoipa::path(post, path = "/clusters/{cluster}/gates", tag = "faults", operation_id = "pause_next", params(InCluster),
    request_body = NewGate, responses((status = 201, body = GateState), Refusals))]
async fn pause_next(
    State(hub): Knows,
    At(at): At<InCluster>,
    Body(new): Body<NewGate>,
) -> Outcome<(StatusCode, Json<GateState>)> {
    let cluster = hub.cluster(&at.cluster)?;
    let mut builder = cluster.broker.pause_next(new.scope.scope()?);
    if let Some(name) = new.name {
        builder = builder.named(name);
    }
    if new.every {
        builder = builder.every();
    }
    let gate = match new.when {
        When::BeforeApply => builder.before_apply(),
        When::AfterApply => builder.after_apply(),
    };
    Ok((StatusCode::CREATED, Json(hold(&cluster, gate, new.every))))
}

/// A gate, and how many requests have come to it.
#[utoipa::path(get, path = "/clusters/{cluster}/gates/{id}", tag = "faults", operation_id = "describe_gate", params(Mounted),
    responses((status = 200, body = GateState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<Mounted>) -> Outcome<Json<GateState>> {
    Ok(Json(state(&*hub.cluster(&at.cluster)?, at.id)?))
}

/// Waits until a request has come to the gate.
#[utoipa::path(post, path = "/clusters/{cluster}/gates/{id}/wait", tag = "faults", operation_id = "wait_for_gate", params(Mounted),
    request_body = GateWait, responses((status = 200, body = GateState), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<Mounted>, Body(to): Body<GateWait>) -> Outcome<Json<GateState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounted = cluster.mounts().gates.get(&at.id).map(|mounted| Arc::clone(mounted.gate.rule()));
    let rule = mounted.ok_or_else(|| no_gate(at.id))?;
    let what = format!("a request at {:?} on {:?}", rule.name(), rule.scope());
    cluster.wait(to.timeout_ms, &what, rule.wait(to.entered.unwrap_or(1))).await?;
    Ok(Json(state(&cluster, at.id)?))
}

/// Lets the request go on, and all that come after it.
#[utoipa::path(delete, path = "/clusters/{cluster}/gates/{id}", tag = "faults", operation_id = "release_gate", params(Mounted),
    responses((status = 204, description = "It is open, and gone."), Refusals))]
async fn release(State(hub): Knows, At(at): At<Mounted>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounted = cluster.mounts().gates.remove(&at.id).ok_or_else(|| no_gate(at.id))?;
    mounted.gate.release();
    Ok(StatusCode::NO_CONTENT)
}
