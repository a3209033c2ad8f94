//! InitProducerId (key 22), v0-v5.
//!
//! Gives a producer its id and epoch. Without a transactional id every call gives a new id at epoch 0. With one, the
//! previous holder is fenced and its open transaction aborted.
//!
//! Versions: v2 flexible; v3 the current id and epoch in the request (KIP-360); v4 may answer PRODUCER_FENCED; v5 may
//! answer TRANSACTION_ABORTABLE (KIP-890).
//! Not modelled: two-phase commit (KIP-939, v6, which Kafka does not advertise either).
//! Source: InitProducerIdRequest.json; KIP-98, KIP-360; KafkaApis.handleInitProducerIdRequest, TransactionCoordinator.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, Api, Ctx, transactions};
use crate::state::State;
use crate::txn::{self, Event};
use crate::types::ProducerId;

pub(super) const API: Api = Api::new::<InitProducerIdRequest>(0, 5);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: InitProducerIdRequest,
) -> Answer<InitProducerIdResponse> {
    // An id without an epoch, or an epoch without an id, says nothing.
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    }
    let given = match &request.transactional_id {
        None => state.producer_ids.next(ctx.node).map(|producer_id| (producer_id, 0)),
        // A timeout is looked at before anybody's coordinator is.
        Some(id)
            if !id.is_empty() && !txn::is_valid_timeout(request.transaction_timeout_ms, state.cluster.settings()) =>
        {
            Err(ResponseError::InvalidTransactionTimeout)
        }
        Some(id) => {
            let expected = (request.producer_id.0 != -1).then_some((request.producer_id.0, request.producer_epoch));
            let event = Event::InitProducerId { timeout_ms: request.transaction_timeout_ms, expected };
            transactions::step(state, ctx, id, event)
        }
    };
    Answer::Now(match given {
        Ok((producer_id, producer_epoch)) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer_id))
            .with_producer_epoch(producer_epoch),
        Err(error) if ctx.version < 4 => refuse(&request, transactions::before_fencing(error)),
        Err(error) => refuse(&request, error),
    })
}

pub(super) fn refuse(_request: &InitProducerIdRequest, error: ResponseError) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}
