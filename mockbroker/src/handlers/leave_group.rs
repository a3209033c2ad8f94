//! LeaveGroup (key 13), v0-v5.
//!
//! Members of a classic group leave it, or an administrator makes them.
//!
//! Versions: v1 throttle time; v2 throttled after the answer; v3 many members with an error each, and instance ids (KIP-345);
//! before, the one member's error is the answer's; v4 flexible; v5 reason (KIP-800).
//! Not modelled: an authorizer. The reason is not kept: Kafka logs it.
//! Source: LeaveGroupRequest.json; KafkaApis.handleLeaveGroupRequest, GroupCoordinatorService.leaveGroup.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Answer, Api, Ctx, code, groups};
use crate::group::{Event, Leave, Left, Response};
use crate::state::State;

pub(super) const API: Api = Api::new::<LeaveGroupRequest>(0, 5);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: LeaveGroupRequest) -> Answer<LeaveGroupResponse> {
    if let Err(error) = groups::admit(state, ctx, &request.group_id) {
        return Answer::Now(refuse(&request, error));
    }
    let members = match ctx.version {
        ..3 => vec![(request.member_id, None)],
        _ => request.members.into_iter().map(|it| (it.member_id, it.group_instance_id)).collect(),
    };
    let leave = Leave { group_id: request.group_id.0, members };
    let left = match groups::step_now(state, ctx, |ticket| Event::Leave(ticket, leave)) {
        Response::Leave(left) => left,
        other => panic!("a leave is not answered with {other:?}"),
    };
    let response = LeaveGroupResponse::default();
    Answer::Now(match left {
        Err(error) => response.with_error_code(error.code()),
        Ok(left) if ctx.version < 3 => response.with_error_code(code(left.first().and_then(|left| left.error))),
        Ok(left) => response.with_members(left.into_iter().map(member).collect()),
    })
}

pub(super) fn refuse(_request: &LeaveGroupRequest, error: ResponseError) -> LeaveGroupResponse {
    LeaveGroupResponse::default().with_error_code(error.code())
}

fn member(left: Left) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(left.member_id)
        .with_group_instance_id(left.group_instance_id)
        .with_error_code(code(left.error))
}
