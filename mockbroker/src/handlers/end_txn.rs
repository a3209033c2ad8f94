//! EndTxn (key 26), v0-v5.
//!
//! Commits or aborts a transaction. It is answered when that is decided; the markers come after.
//!
//! Versions: v2 may answer PRODUCER_FENCED; v3 flexible; v4 may answer TRANSACTION_ABORTABLE; v5 bumps the epoch and answers
//! with the producer to go on with (KIP-890).
//! Not modelled: an authorizer.
//! Source: EndTxnRequest.json; KIP-98, KIP-890; KafkaApis.handleEndTxnRequest, TransactionCoordinator.endTransaction.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::{Answer, Api, Ctx, transactions};
use crate::state::State;
use crate::txn::{ClientVersion, Event};
use crate::types::ProducerId;

pub(super) const API: Api = Api::new::<EndTxnRequest>(0, 5);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: EndTxnRequest) -> Answer<EndTxnResponse> {
    let bumps_epoch = ctx.version >= 5;
    let event = Event::EndTransaction {
        producer: (request.producer_id.0, request.producer_epoch),
        is_commit: request.committed,
        client_version: if bumps_epoch { ClientVersion::V2 } else { ClientVersion::V0 },
    };
    Answer::Now(match transactions::step(state, ctx, &request.transactional_id.0, event) {
        Ok((producer_id, producer_epoch)) if bumps_epoch => {
            EndTxnResponse::default().with_producer_id(ProducerId(producer_id)).with_producer_epoch(producer_epoch)
        }
        Ok(_) => EndTxnResponse::default(),
        Err(error) if ctx.version < 2 => refuse(&request, transactions::before_fencing(error)),
        Err(error) => refuse(&request, error),
    })
}

pub(super) fn refuse(_request: &EndTxnRequest, error: ResponseError) -> EndTxnResponse {
    EndTxnResponse::default().with_error_code(error.code())
}
