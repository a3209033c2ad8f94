//! Faults: what is to go wrong, how often it has, and that it did.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::clusters::Verify;
use super::scope::{ScopeSpec, When};
use super::{Arc, Hub, Knows};
use crate::fault::{Fault, FaultGuard};
use crate::http::extract::{Asked, At, Body, InCluster, Mounted};
use crate::http::hub::{Cluster, MountedFault};
use crate::http::model::error_code;
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(list, mount)).routes(routes!(describe, unmount)).routes(routes!(wait))
}

/// A fault to be mounted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFault {
    /// To which requests. Default: to every one.
    #[serde(default)]
    scope: ScopeSpec,
    /// Before the broker has done what is asked, or after.
    when: When,
    /// What.
    fault: FaultSpec,
    /// What it is called when it is reported. Default: what it is.
    name: Option<String>,
    /// It need not fire: deleting it, or its cluster, does not insist. Default: false.
    #[serde(default)]
    maybe: bool,
}

/// What goes wrong.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum FaultSpec {
    /// The answer says this error wherever the API has room for one, by its number or by Kafka's name of it.
    Error {
        /// The number. One that Kafka does not have is sent as it is.
        code: Option<i16>,
        /// The name, as `NOT_LEADER_OR_FOLLOWER`.
        name: Option<String>,
    },
    /// The connection ends without an answer.
    Disconnect {},
    /// No answer comes, and the connection stays open.
    Silence {},
    /// It takes this long by the broker's clock.
    Delay {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// The records are corrupted: before apply those of a Produce, after apply those that a Fetch is answered with.
    CorruptRecords {},
    /// Only so many bytes of the answer are sent, and the connection ends. After apply.
    Partial {
        /// Bytes of the frame, its length field among them.
        bytes: usize,
    },
    /// The answer has this `throttle_time_ms`, and the connection is not read for as long (KIP-219). After apply.
    Throttle {
        /// Milliseconds.
        throttle_ms: u64,
    },
}

/// A fault that is mounted.
#[derive(Serialize, ToSchema)]
pub(super) struct FaultState {
    /// Its number in this cluster.
    id: u64,
    /// What it is called when it is reported.
    name: String,
    /// To which requests, in words.
    scope: String,
    /// Before the broker has done what is asked, or after.
    when: When,
    /// How many requests it has happened to.
    hits: u64,
    /// How many requests of its scope there have been.
    in_scope: u64,
    /// Whether deleting it insists that it fired.
    must_fire: bool,
}

/// What to wait for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct FaultWait {
    /// That it has happened to so many requests. Default: 1.
    hits: Option<u64>,
    /// How long.
    timeout_ms: Patience,
}

impl FaultSpec {
    fn fault(self) -> Outcome<Fault> {
        Ok(match self {
            Self::Error { code, name } => Fault::Error(error_code(code, name.as_deref())?),
            Self::Disconnect {} => Fault::Disconnect,
            Self::Silence {} => Fault::Silence,
            Self::Delay { delay_ms } => Fault::Delay(Duration::from_millis(delay_ms)),
            Self::CorruptRecords {} => Fault::CorruptRecords,
            Self::Partial { bytes } => Fault::Partial(bytes),
            Self::Throttle { throttle_ms } => Fault::Throttle(Duration::from_millis(throttle_ms)),
        })
    }
}

impl FaultState {
    fn of(id: u64, mounted: &MountedFault) -> Self {
        let rule = mounted.guard.rule();
        Self {
            id,
            name: rule.name().to_owned(),
            scope: format!("{:?}", rule.scope()),
            when: rule.stage().into(),
            hits: rule.hits(),
            in_scope: rule.in_scope(),
            must_fire: mounted.must_fire,
        }
    }
}

/// Holds a guard for whoever mounted it.
pub(super) fn hold(cluster: &Cluster, guard: FaultGuard, must_fire: bool) -> FaultState {
    let mounted = MountedFault { guard: guard.tolerant(), must_fire };
    let mut mounts = cluster.mounts();
    let id = mounts.next_id();
    let state = FaultState::of(id, &mounted);
    mounts.faults.insert(id, mounted);
    state
}

fn state(cluster: &Cluster, id: u64) -> Outcome<FaultState> {
    let mounts = cluster.mounts();
    mounts.faults.get(&id).map(|mounted| FaultState::of(id, mounted)).ok_or_else(|| no_fault(id))
}

fn no_fault(id: u64) -> Problem {
    Problem::not_found(format!("there is no fault {id} in this cluster: it was never mounted, or is deleted"))
}

/// All faults that are mounted.
#[utoipa::path(get, path = "/clusters/{cluster}/faults", tag = "faults", operation_id = "list_faults", params(InCluster),
    responses((status = 200, body = Vec<FaultState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<FaultState>>> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounts = cluster.mounts();
    Ok(Json(mounts.faults.iter().map(|(id, mounted)| FaultState::of(*id, mounted)).collect()))
}

/// Makes something go wrong from here on, until it is deleted.
#[utoipa::path(post, path = "/clusters/{cluster}/faults", tag = "faults", operation_id = "mount_fault", params(InCluster),
    request_body = NewFault, responses((status = 201, body = FaultState), Refusals))]
async fn mount(
    State(hub): Knows,
    At(at): At<InCluster>,
    Body(new): Body<NewFault>,
) -> Outcome<(StatusCode, Json<FaultState>)> {
    let cluster = hub.cluster(&at.cluster)?;
    let (scope, fault) = (new.scope.scope()?, new.fault.fault()?);
    let builder = cluster.broker.fault(scope);
    let mount = match new.when {
        When::BeforeApply if fault.needs_an_answer() => {
            return Err(Problem::bad("when: this happens to an answer, so it is \"after_apply\""));
        }
        When::BeforeApply => builder.before_apply(fault),
        When::AfterApply => builder.after_apply(fault),
    };
    let mount = match new.name {
        Some(name) => mount.named(name),
        None => mount,
    };
    Ok((StatusCode::CREATED, Json(hold(&cluster, mount.mount(), !new.maybe))))
}

/// A fault, and how often it has fired.
#[utoipa::path(get, path = "/clusters/{cluster}/faults/{id}", tag = "faults", operation_id = "describe_fault", params(Mounted),
    responses((status = 200, body = FaultState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<Mounted>) -> Outcome<Json<FaultState>> {
    Ok(Json(state(&*hub.cluster(&at.cluster)?, at.id)?))
}

/// Waits until the fault has fired.
#[utoipa::path(post, path = "/clusters/{cluster}/faults/{id}/wait", tag = "faults", operation_id = "wait_for_fault", params(Mounted),
    request_body = FaultWait, responses((status = 200, body = FaultState), WaitRefusals))]
async fn wait(State(hub): Knows, At(at): At<Mounted>, Body(to): Body<FaultWait>) -> Outcome<Json<FaultState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounted = cluster.mounts().faults.get(&at.id).map(|mounted| Arc::clone(mounted.guard.rule()));
    let rule = mounted.ok_or_else(|| no_fault(at.id))?;
    let hits = to.hits.unwrap_or(1);
    let what = format!("the fault {:?} to fire {hits} times", rule.name());
    cluster.wait(to.timeout_ms, &what, rule.wait(hits)).await?;
    Ok(Json(state(&cluster, at.id)?))
}

/// Takes the fault away, and answers 409 if it had to fire and never did: a test whose fault missed proves nothing.
#[utoipa::path(delete, path = "/clusters/{cluster}/faults/{id}", tag = "faults", operation_id = "unmount_fault",
    params(Mounted, Verify), responses((status = 204, description = "It is gone."), Refusals))]
async fn unmount(State(hub): Knows, At(at): At<Mounted>, Asked(verify): Asked<Verify>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounted = cluster.mounts().faults.remove(&at.id).ok_or_else(|| no_fault(at.id))?;
    let missed = mounted.missed();
    drop(mounted);
    verify.judge(missed.as_slice())
}
