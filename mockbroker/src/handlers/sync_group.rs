//! SyncGroup (key 14), v0-v5.
//!
//! A member of a classic group asks for its assignment; the leader brings everyone's. The answer comes with the leader's.
//!
//! Versions: v1 throttle time; v2 throttled after the answer; v3 group instance id (KIP-345); v4 flexible; v5 protocol type
//! and name must be there (KIP-559).
//! Not modelled: an authorizer.
//! Source: SyncGroupRequest.json; KafkaApis.handleSyncGroupRequest, GroupCoordinatorService.syncGroup.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::groups::{self, Step};
use super::{Answer, Api, Ctx};
use crate::group::{Event, MemberIdentity, Response, Sync};
use crate::state::State;

pub(super) const API: Api = Api::new::<SyncGroupRequest>(0, 5);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: SyncGroupRequest) -> Answer<SyncGroupResponse> {
    let version = ctx.version;
    let lacks_protocol = request.protocol_type.is_none() || request.protocol_name.is_none();
    if version >= 5 && lacks_protocol {
        return Answer::Now(refuse(&request, ResponseError::InconsistentGroupProtocol));
    }
    if let Err(error) = groups::admit(state, ctx, &request.group_id) {
        return Answer::Now(refuse(&request, error));
    }
    let sync = Sync {
        member: MemberIdentity {
            group_id: request.group_id.0,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            generation_id: request.generation_id,
        },
        protocol_type: request.protocol_type,
        protocol_name: request.protocol_name,
        assignments: request.assignments.into_iter().map(|it| (it.member_id, it.assignment)).collect(),
    };
    match groups::step(state, ctx, |ticket| Event::Sync(ticket, sync)) {
        Step::Waits(ticket) => Answer::Later(ticket),
        Step::Answered(Response::Sync(synced)) => Answer::Now(groups::synced_answer(synced, version)),
        Step::Answered(other) => panic!("a sync is not answered with {other:?}"),
    }
}

pub(super) fn refuse(_request: &SyncGroupRequest, error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}
