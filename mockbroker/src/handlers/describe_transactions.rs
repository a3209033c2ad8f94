//! DescribeTransactions (key 65), v0.
//!
//! How far the transaction of each transactional id is (KIP-664).
//!
//! Versions: v0 only.
//! Not modelled: an authorizer.
//! Source: DescribeTransactionsRequest.json; KafkaApis.handleDescribeTransactionsRequest,
//! TransactionCoordinator.handleDescribeTransactions.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx, transactions};
use crate::state::State;
use crate::types::ProducerId;

pub(super) const API: Api = Api::new::<DescribeTransactionsRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeTransactionsRequest,
) -> Answer<DescribeTransactionsResponse> {
    let describe = |id: &TransactionalId| describe(state, ctx, id).unwrap_or_else(|error| refused(id, error));
    let states = request.transactional_ids.iter().map(describe).collect();
    Answer::Now(DescribeTransactionsResponse::default().with_transaction_states(states))
}

pub(super) fn refuse(request: &DescribeTransactionsRequest, error: ResponseError) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.iter().map(|id| refused(id, error)).collect();
    DescribeTransactionsResponse::default().with_transaction_states(states)
}

fn describe(state: &State, ctx: &Ctx<'_>, id: &TransactionalId) -> Result<TransactionState, ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    state.check_transaction_coordinator(ctx.node, id)?;
    let described = state.transactions.describe(&id.0).ok_or(ResponseError::TransactionalIdNotFound)?;
    let topics = transactions::by_topic(&described.partitions).into_iter();
    let topics = topics.map(|(name, partitions)| TopicData::default().with_topic(name).with_partitions(partitions));
    Ok(TransactionState::default()
        .with_transactional_id(id.clone())
        .with_transaction_state(StrBytes::from_static_str(described.state.name()))
        .with_transaction_timeout_ms(described.timeout_ms)
        .with_transaction_start_time_ms(described.start_time_ms)
        .with_producer_id(ProducerId(described.producer_id))
        .with_producer_epoch(described.producer_epoch)
        .with_topics(topics.collect()))
}

fn refused(id: &TransactionalId, error: ResponseError) -> TransactionState {
    TransactionState::default().with_transactional_id(id.clone()).with_error_code(error.code())
}
