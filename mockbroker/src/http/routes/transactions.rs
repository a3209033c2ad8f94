//! Transactions: how far they are, and waiting for how far they are to be.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::topics::MoveTo;
use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::cluster::CoordinatorType;
use crate::http::extract::{At, Body, InCluster, OfTransaction};
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;
use crate::inspect;
use crate::types::NodeId;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(describe))
        .routes(routes!(wait))
        .routes(routes!(move_coordinator))
}

/// The transaction of a transactional id.
#[derive(Serialize, ToSchema)]
pub(super) struct TransactionState {
    /// The id.
    transactional_id: String,
    /// Kafka's name of its state: `Empty`, `Ongoing`, `PrepareCommit`, `PrepareAbort`, `CompleteCommit`, `CompleteAbort`.
    state: &'static str,
    /// Who writes it.
    producer_id: i64,
    /// The epoch that is not fenced.
    producer_epoch: i16,
    /// `transaction.timeout.ms`.
    timeout_ms: i32,
    /// When it began, in milliseconds since 1970; null if it has not.
    started_ms: Option<i64>,
    /// The partitions that have joined and have no marker yet.
    partitions: Vec<TopicPartition>,
}

/// A partition of a topic.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicPartition {
    /// The name of the topic.
    pub(super) topic: String,
    /// The number of the partition.
    pub(super) partition: i32,
}

impl TransactionState {
    fn of(state: inspect::TransactionState) -> Self {
        let inspect::TransactionState {
            transactional_id,
            state,
            producer_id,
            producer_epoch,
            timeout_ms,
            started,
            partitions,
        } = state;
        let partition = |(topic, partition)| TopicPartition { topic, partition };
        Self {
            transactional_id,
            state,
            producer_id,
            producer_epoch,
            timeout_ms,
            started_ms: started.map(|started| started.as_millis()),
            partitions: partitions.into_iter().map(partition).collect(),
        }
    }

    /// All of a cluster, by id.
    pub(super) fn all(broker: &MockBroker) -> Vec<Self> {
        broker.engine().read(inspect::transactions).into_iter().map(Self::of).collect()
    }

    pub(super) fn transactional_id(&self) -> &str {
        &self.transactional_id
    }
}

/// How far a transaction is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransactionWait {
    /// In this state.
    state: TransactionStateName,
    /// How long.
    #[serde(default)]
    timeout_ms: Patience,
}

/// A state of a transaction, as Kafka spells it.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
enum TransactionStateName {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

/// The transactions of all ids.
#[utoipa::path(get, path = "/clusters/{cluster}/transactions", tag = "groups", operation_id = "list_transactions", params(InCluster),
    responses((status = 200, body = Vec<TransactionState>), Refusals))]
async fn list(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<Vec<TransactionState>>> {
    Ok(Json(TransactionState::all(&hub.cluster(&at.cluster)?.broker)))
}

/// The transaction of an id.
#[utoipa::path(get, path = "/clusters/{cluster}/transactions/{transactional_id}", tag = "groups",
    operation_id = "describe_transaction", params(OfTransaction), responses((status = 200, body = TransactionState), Refusals))]
async fn describe(State(hub): Knows, At(at): At<OfTransaction>) -> Outcome<Json<TransactionState>> {
    let found = hub.cluster(&at.cluster)?.broker.transaction(&at.transactional_id).state();
    let unknown = || Problem::not_found(format!("the transactional id {:?} is not known", at.transactional_id));
    Ok(Json(TransactionState::of(found.ok_or_else(unknown)?)))
}

/// Waits until the transaction of an id is so far. The id need not be known before.
#[utoipa::path(post, path = "/clusters/{cluster}/transactions/{transactional_id}/wait", tag = "groups",
    operation_id = "wait_for_transaction", params(OfTransaction), request_body = TransactionWait,
    responses((status = 200, body = TransactionState), WaitRefusals))]
async fn wait(
    State(hub): Knows,
    At(at): At<OfTransaction>,
    Body(to): Body<TransactionWait>,
) -> Outcome<Json<TransactionState>> {
    let cluster = hub.cluster(&at.cluster)?;
    let transaction = cluster.broker.transaction(&at.transactional_id);
    let wanted = format!("{:?}", to.state);
    let what = format!("transaction {:?}: {wanted}", at.transactional_id);
    let found = cluster.until(to.timeout_ms, &what, || transaction.state().filter(|it| it.state == wanted)).await?;
    Ok(Json(TransactionState::of(found)))
}

/// Lets a node coordinate a transactional id, which it reads from the log; and with it every id of the same partition of
/// `__transaction_state`.
#[utoipa::path(post, path = "/clusters/{cluster}/transactions/{transactional_id}/coordinator", tag = "groups",
    operation_id = "move_transaction_coordinator", params(OfTransaction), request_body = MoveTo,
    responses((status = 204, description = "It does."), Refusals))]
async fn move_coordinator(State(hub): Knows, At(at): At<OfTransaction>, Body(to): Body<MoveTo>) -> Outcome<StatusCode> {
    let cluster = hub.cluster(&at.cluster)?;
    let engine = cluster.broker.engine();
    let moved = engine.coordinate(CoordinatorType::Transaction, &at.transactional_id, NodeId(to.node));
    moved.map_err(Problem::conflict)?;
    Ok(StatusCode::NO_CONTENT)
}
