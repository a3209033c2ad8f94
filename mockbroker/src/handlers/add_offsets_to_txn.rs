//! AddOffsetsToTxn (key 25), v0-v4.
//!
//! The partition of `__consumer_offsets` that a group belongs to joins a transaction, so that offsets can be committed in it.
//!
//! Versions: v2 may answer PRODUCER_FENCED; v3 flexible; v4 may answer TRANSACTION_ABORTABLE (KIP-890).
//! Not modelled: an authorizer.
//! Source: AddOffsetsToTxnRequest.json; KIP-98; KafkaApis.handleAddOffsetsToTxnRequest.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Answer, Api, Ctx, code, transactions};
use crate::state::State;
use crate::txn::{ClientVersion, Event};

pub(super) const API: Api = Api::new::<AddOffsetsToTxnRequest>(0, 4);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: AddOffsetsToTxnRequest,
) -> Answer<AddOffsetsToTxnResponse> {
    let event = Event::AddPartitions {
        producer: (request.producer_id.0, request.producer_epoch),
        partitions: BTreeSet::from([state.offsets_partition(&request.group_id)]),
        client_version: ClientVersion::V0,
    };
    let error = transactions::step(state, ctx, &request.transactional_id.0, event).err();
    let error = error.map(|error| if ctx.version < 2 { transactions::before_fencing(error) } else { error });
    Answer::Now(AddOffsetsToTxnResponse::default().with_error_code(code(error)))
}

pub(super) fn refuse(_request: &AddOffsetsToTxnRequest, error: ResponseError) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse::default().with_error_code(error.code())
}
