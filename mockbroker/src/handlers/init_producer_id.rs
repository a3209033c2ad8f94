//! InitProducerId (key 22), v0-v5.
//!
//! Gives a producer its id and epoch. Without a transactional id every call gives a new id at epoch 0.
//!
//! Versions: v2 flexible; v3 the current id and epoch in the request (KIP-360); v4 may answer PRODUCER_FENCED; v5 may
//! answer TRANSACTION_ABORTABLE (KIP-890).
//! Not modelled: transactional ids, which are answered with UNSUPPORTED_VERSION: clients give up on it at once and say so.
//! Source: InitProducerIdRequest.json; KIP-98, KIP-360; KafkaApis.handleInitProducerIdRequest, TransactionCoordinator.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Answer, Api, Ctx};
use crate::state::State;
use crate::types::ProducerId;

pub(super) const API: Api = Api::new::<InitProducerIdRequest>(0, 5);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: InitProducerIdRequest,
) -> Answer<InitProducerIdResponse> {
    // An id without an epoch, or an epoch without an id, says nothing.
    if (request.producer_id.0 == -1) != (request.producer_epoch == -1) {
        return Answer::Now(refuse(&request, ResponseError::InvalidRequest));
    }
    match &request.transactional_id {
        None => Answer::Now(
            InitProducerIdResponse::default()
                .with_producer_id(ProducerId(state.ids.producer_id()))
                .with_producer_epoch(0),
        ),
        Some(id) if id.is_empty() => Answer::Now(refuse(&request, ResponseError::InvalidRequest)),
        Some(id) => {
            tracing::warn!(transactional_id = %id.as_str(), "transactions are not modelled yet: see docs/COMPATIBILITY.md");
            Answer::Now(refuse(&request, ResponseError::UnsupportedVersion))
        }
    }
}

pub(super) fn refuse(_request: &InitProducerIdRequest, error: ResponseError) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}
