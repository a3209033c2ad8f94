//! The classic accidents of exactly-once programs, one call each.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::faults::{self, FaultState};
use super::gates::{self, GateState};
use super::{Arc, Hub, Knows};
use crate::fault::FaultGuard;
use crate::http::extract::{At, Body, InCluster};
use crate::http::model::ApiName;
use crate::http::problem::{Outcome, Problem, Refusals};
use crate::wire::api_key::ApiKey;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(happen))
}

/// An accident. Each is a fault that has to fire before it is deleted; `freeze` is a gate.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Accident {
    /// Transactions of the id end as they should, and nobody is told: the connection breaks in place of every answer to EndTxn.
    LoseCommitAnswers {
        /// Of which id.
        transactional_id: String,
    },
    /// The next write to the topic is stored, and its answer is lost.
    LoseProduceAnswer {
        /// To which topic.
        topic: String,
    },
    /// Offsets of the group become part of a transaction, and nobody is told: once.
    LoseTransactionOffsetsAnswer {
        /// Of which group.
        group: String,
    },
    /// Offsets of the group are committed outside of transactions, and nobody is told.
    LoseOffsetCommitAnswers {
        /// Of which group.
        group: String,
    },
    /// The next commit of offsets comes when the group has gone on without the member: ILLEGAL_GENERATION.
    RebalanceBeforeCommit {
        /// `OffsetCommit` or `TxnOffsetCommit`.
        api: ApiName,
        /// Of which group.
        group: String,
    },
    /// A process pauses: whatever this client sends arrives when the gate is released.
    Freeze {
        /// `client.id` of the process.
        client_id: String,
    },
}

/// What was mounted for an accident.
#[derive(Serialize, ToSchema)]
struct AccidentState {
    /// The fault, for all but `freeze`.
    fault: Option<FaultState>,
    /// The gate, for `freeze`.
    gate: Option<GateState>,
}

/// Lets an accident happen.
#[utoipa::path(post, path = "/clusters/{cluster}/accidents", tag = "faults", operation_id = "let_accident_happen", params(InCluster),
    request_body = Accident, responses((status = 201, body = AccidentState), Refusals))]
async fn happen(
    State(hub): Knows,
    At(at): At<InCluster>,
    Body(accident): Body<Accident>,
) -> Outcome<(StatusCode, Json<AccidentState>)> {
    let cluster = hub.cluster(&at.cluster)?;
    let accidents = cluster.broker.accidents();
    let fault = |guard: FaultGuard| AccidentState { fault: Some(faults::hold(&cluster, guard, true)), gate: None };
    let state = match accident {
        Accident::LoseCommitAnswers { transactional_id } => fault(accidents.lose_commit_answers(&transactional_id)),
        Accident::LoseProduceAnswer { topic } => fault(accidents.lose_produce_answer(&topic)),
        Accident::LoseTransactionOffsetsAnswer { group } => fault(accidents.lose_transaction_offsets_answer(&group)),
        Accident::LoseOffsetCommitAnswers { group } => fault(accidents.lose_offset_commit_answers(&group)),
        Accident::RebalanceBeforeCommit { api: ApiName(api), group } => match api {
            ApiKey::OffsetCommit | ApiKey::TxnOffsetCommit => fault(accidents.rebalance_before_commit(api, &group)),
            _ => return Err(Problem::bad("api: offsets are committed by OffsetCommit and TxnOffsetCommit")),
        },
        Accident::Freeze { client_id } => {
            AccidentState { fault: None, gate: Some(gates::hold(&cluster, accidents.freeze(&client_id), true)) }
        }
    };
    Ok((StatusCode::CREATED, Json(state)))
}
