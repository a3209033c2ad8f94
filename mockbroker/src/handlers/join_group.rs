//! JoinGroup (key 11), v0-v9.
//!
//! A member enters a group of the classic protocol, or comes back to it. The answer comes when the group is complete.
//!
//! Versions: v1 rebalance timeout; v2 throttle time; v3 throttled after the answer; v4 a new member is told its id and
//! comes back with it (KIP-394); v5 group instance id (KIP-345); v6 flexible; v7 protocol type in the answer (KIP-559);
//! v8 reason (KIP-800); v9 skip assignment (KIP-814).
//! Not modelled: an authorizer. The reason is not kept: Kafka logs it.
//! Source: JoinGroupRequest.json; KafkaApis.handleJoinGroupRequest, GroupCoordinatorService.joinGroup.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::groups::{self, Step};
use super::{Answer, Api, Ctx};
use crate::group::{Event, Join, Joined, Protocol, Response};
use crate::state::State;

pub(super) const API: Api = Api::new::<JoinGroupRequest>(0, 9);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: JoinGroupRequest) -> Answer<JoinGroupResponse> {
    let version = ctx.version;
    let join = event(ctx, request);
    // These two are looked at before the coordinator is, and name the member.
    let refusal = join.check(state.cluster.settings()).map_err(|error| Joined::refused(error, join.member_id.clone()));
    let refusal = refusal.and_then(|()| {
        let coordinated = state.check_group_coordinator(ctx.node, &join.group_id);
        coordinated.map_err(|error| Joined::refused(error, StrBytes::new()))
    });
    if let Err(refused) = refusal {
        return Answer::Now(groups::joined_answer(refused, version));
    }
    match groups::step(state, ctx, |ticket| Event::Join(ticket, join)) {
        Step::Waits(ticket) => Answer::Later(ticket),
        Step::Answered(Response::Join(joined)) => Answer::Now(groups::joined_answer(joined, version)),
        Step::Answered(other) => panic!("a join is not answered with {other:?}"),
    }
}

pub(super) fn refuse(request: &JoinGroupRequest, error: ResponseError) -> JoinGroupResponse {
    groups::joined_answer(Joined::refused(error, request.member_id.clone()), 0)
}

fn event(ctx: &Ctx<'_>, request: JoinGroupRequest) -> Join {
    let protocols = request.protocols.into_iter();
    Join {
        group_id: request.group_id.0,
        member_id: request.member_id,
        group_instance_id: request.group_instance_id,
        client_id: StrBytes::from_string(ctx.client_id.to_owned()),
        client_host: groups::client_host(ctx.client_address),
        protocol_type: request.protocol_type,
        protocols: protocols.map(|it| Protocol { name: it.name, metadata: it.metadata }).collect(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if ctx.version >= 1 { request.rebalance_timeout_ms } else { request.session_timeout_ms },
        requires_known_member_id: ctx.version >= 4,
        supports_skipping_assignment: ctx.version >= 9,
    }
}
