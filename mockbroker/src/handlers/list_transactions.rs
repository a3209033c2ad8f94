//! ListTransactions (key 66), v0-v2.
//!
//! The transactional ids that the asked node coordinates, with filters (KIP-664).
//!
//! Versions: v1 duration (KIP-994); v2 a pattern for the id (KIP-1152).
//! Not modelled: an authorizer. Patterns are those of Rust's `regex`, not RE2/J's.
//! Source: ListTransactionsRequest.json; KafkaApis.handleListTransactionsRequest,
//! TransactionStateManager.listTransactionStates.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx};
use crate::cluster::CoordinatorType;
use crate::state::State;
use crate::txn::{self, ListFilter};
use crate::types::ProducerId;

pub(super) const API: Api = Api::new::<ListTransactionsRequest>(0, 2);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: ListTransactionsRequest,
) -> Answer<ListTransactionsResponse> {
    if state.is_any_loading(CoordinatorType::Transaction, ctx.node) {
        return Answer::Now(refuse(&request, ResponseError::CoordinatorLoadInProgress));
    }
    let Ok(pattern) =
        request.transactional_id_pattern.as_deref().filter(|it| !it.is_empty()).map(txn::pattern).transpose()
    else {
        return Answer::Now(refuse(&request, ResponseError::InvalidRegularExpression));
    };
    let is_known = |name: &StrBytes| txn::TransactionState::ALL.iter().any(|state| *state.name() == **name);
    let unknown = request.state_filters.iter().filter(|name| !is_known(name)).cloned().collect();
    let filter = ListFilter {
        states: request.state_filters,
        producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
        longer_than_ms: request.duration_filter,
        pattern,
    };
    let listed = state.transactions.list(&filter, ctx.now).into_iter();
    let here = listed.filter(|it| state.check_transaction_coordinator(ctx.node, &it.transactional_id).is_ok());
    let states = here.map(|it| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(it.transactional_id))
            .with_producer_id(ProducerId(it.producer_id))
            .with_transaction_state(StrBytes::from_static_str(it.state.name()))
    });
    Answer::Now(
        ListTransactionsResponse::default()
            .with_unknown_state_filters(unknown)
            .with_transaction_states(states.collect()),
    )
}

pub(super) fn refuse(_request: &ListTransactionsRequest, error: ResponseError) -> ListTransactionsResponse {
    ListTransactionsResponse::default().with_error_code(error.code())
}
