//! Heartbeat (key 12), v0-v4.
//!
//! A member of a classic group says that it is there, and hears whether it has to join anew.
//!
//! Versions: v1 throttle time; v2 throttled after the answer; v3 group instance id (KIP-345); v4 flexible.
//! Not modelled: an authorizer.
//! Source: HeartbeatRequest.json; KafkaApis.handleHeartbeatRequest, GroupCoordinatorService.heartbeat.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{Answer, Api, Ctx, code, groups};
use crate::group::{Event, MemberIdentity, Response};
use crate::state::State;

pub(super) const API: Api = Api::new::<HeartbeatRequest>(0, 4);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: HeartbeatRequest) -> Answer<HeartbeatResponse> {
    let admitted = groups::admit(state, ctx, &request.group_id);
    if admitted == Err(ResponseError::CoordinatorLoadInProgress) {
        // Nobody knows better yet (GroupCoordinatorService.heartbeat).
        return Answer::Now(HeartbeatResponse::default());
    }
    let outcome = admitted.and_then(|()| {
        let member = MemberIdentity {
            group_id: request.group_id.0,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            generation_id: request.generation_id,
        };
        match groups::step_now(state, ctx, |ticket| Event::Heartbeat(ticket, member)) {
            Response::Heartbeat(outcome) => outcome,
            other => panic!("a heartbeat is not answered with {other:?}"),
        }
    });
    Answer::Now(HeartbeatResponse::default().with_error_code(code(outcome.err())))
}

pub(super) fn refuse(_request: &HeartbeatRequest, error: ResponseError) -> HeartbeatResponse {
    HeartbeatResponse::default().with_error_code(error.code())
}
