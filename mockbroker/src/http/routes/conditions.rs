//! What is wrong with a node for as long as the test says: its line to clients, its line to other nodes, its replicas.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::cluster::HeldBack;
use crate::http::extract::{At, Body, InCluster, Mounted, OfNode};
use crate::http::hub::{Cluster, ConditionGuard, MountedCondition};
use crate::http::problem::{Outcome, Problem, Refusals};

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(begin)).routes(routes!(heal))
}

/// What is wrong with a node.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::http) enum Condition {
    /// It is cut off from its clients: nothing that either sends arrives, and connections stay open.
    Partition {},
    /// Everything between it and its clients takes longer, in each direction, on the broker's clock.
    Latency {
        /// So many milliseconds.
        latency_ms: u64,
    },
    /// All clients together send it no more than this, and get no more from it.
    Bandwidth {
        /// Bytes.
        #[schema(minimum = 1)]
        bytes_per_second: u64,
    },
    /// It is cut off from the other nodes and from the controllers. Clients still reach it.
    Isolate {},
    /// Its replica of a partition fetches nothing.
    StopReplica {
        /// Of which topic.
        topic: String,
        /// Of which partition.
        partition: i32,
    },
    /// Its replica of a partition stays behind the end of the log.
    LagReplica {
        /// Of which topic.
        topic: String,
        /// Of which partition.
        partition: i32,
        /// By at least so many records; whole batches are fetched.
        records: u32,
    },
}

/// Something that is wrong with a node.
#[derive(Serialize, ToSchema)]
struct ConditionState {
    /// Its number in this cluster.
    id: u64,
    /// Of which node.
    node_id: i32,
    /// What.
    condition: Condition,
}

impl ConditionState {
    fn of(id: u64, mounted: &MountedCondition) -> Self {
        Self { id, node_id: mounted.node.0, condition: mounted.asked.clone() }
    }
}

/// Everything that is wrong with nodes.
#[utoipa::path(get, path = "/clusters/{cluster}/conditions", tag = "nodes", operation_id = "list_conditions", params(InCluster),
    responses((status = 200, body = Vec<ConditionState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<ConditionState>>> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounts = cluster.mounts();
    Ok(Json(mounts.conditions.iter().map(|(id, mounted)| ConditionState::of(*id, mounted)).collect()))
}

/// Something is wrong with a node from here on, until it is healed.
#[utoipa::path(post, path = "/clusters/{cluster}/nodes/{node}/conditions", tag = "nodes", operation_id = "begin_condition",
    params(OfNode), request_body = Condition, responses((status = 201, body = ConditionState), Refusals))]
async fn begin(
    State(hub): Knows,
    At(at): At<OfNode>,
    Body(condition): Body<Condition>,
) -> Outcome<(StatusCode, Json<ConditionState>)> {
    let cluster = hub.cluster(&at.cluster)?;
    let guard = guard(&cluster, at.node, &condition)?;
    let mounted = MountedCondition::new(cluster.node(at.node)?.id(), condition, guard);
    let mut mounts = cluster.mounts();
    let id = mounts.next_id();
    let state = ConditionState::of(id, &mounted);
    mounts.conditions.insert(id, mounted);
    Ok((StatusCode::CREATED, Json(state)))
}

/// Puts right what is wrong: what was held back arrives, the replica has everything.
#[utoipa::path(delete, path = "/clusters/{cluster}/conditions/{id}", tag = "nodes", operation_id = "heal", params(Mounted),
    responses((status = 204, description = "It is healed."), Refusals))]
async fn heal(State(hub): Knows, At(at): At<Mounted>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    let mounted = cluster.mounts().conditions.remove(&at.id);
    let mounted = mounted.ok_or_else(|| Problem::not_found(format!("there is no condition {} here", at.id)))?;
    drop(mounted);
    Ok(StatusCode::NO_CONTENT)
}

fn guard(cluster: &Cluster, node: i32, condition: &Condition) -> Outcome<ConditionGuard> {
    let node = cluster.node(node)?;
    let held = |topic: &str, partition: i32, held: HeldBack| {
        cluster.partition(topic, partition)?;
        let guard = node.replica(topic, partition).try_hold(held).map_err(Problem::conflict)?;
        Ok(ConditionGuard::Replica(guard))
    };
    match condition {
        Condition::Partition {} => Ok(ConditionGuard::Line(node.partition())),
        Condition::Latency { latency_ms } => Ok(ConditionGuard::Line(node.latency(Duration::from_millis(*latency_ms)))),
        Condition::Bandwidth { bytes_per_second: 0 } => {
            Err(Problem::bad("bytes_per_second: with 0 nothing passes, which is the kind `partition`"))
        }
        Condition::Bandwidth { bytes_per_second } => Ok(ConditionGuard::Line(node.bandwidth(*bytes_per_second))),
        Condition::Isolate {} => Ok(ConditionGuard::Isolated(node.isolate())),
        Condition::StopReplica { topic, partition } => held(topic, *partition, HeldBack::Stopped),
        Condition::LagReplica { topic, partition, records } => {
            held(topic, *partition, HeldBack::Behind(i64::from(*records)))
        }
    }
}
