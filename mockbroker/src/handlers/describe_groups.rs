//! DescribeGroups (key 15), v0-v6.
//!
//! Classic groups: state, protocol, members. A group that does not exist, or is of the other protocol, is `Dead`.
//!
//! Versions: v1 throttle time; v2 throttled after the answer; v3 authorized operations (KIP-430); v4 group instance ids
//! (KIP-345); v5 flexible; v6 error message, and GROUP_ID_NOT_FOUND (KIP-1043).
//! Not modelled: an authorizer.
//! Source: DescribeGroupsRequest.json; KafkaApis.handleDescribeGroupsRequest, GroupMetadataManager.describeGroups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::answers::{GROUP_OPERATIONS, NO_OPERATIONS, text};
use super::{Answer, Api, Ctx};
use crate::group::DescribedMember;
use crate::state::State;

pub(super) const API: Api = Api::new::<DescribeGroupsRequest>(0, 6);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DescribeGroupsRequest,
) -> Answer<DescribeGroupsResponse> {
    let with_operations = ctx.version >= 3 && request.include_authorized_operations;
    let groups = request.groups.iter().map(|group_id| {
        let described = describe(state, ctx, group_id);
        let is_well = described.error_code == 0;
        described.with_authorized_operations(if with_operations && is_well { GROUP_OPERATIONS } else { NO_OPERATIONS })
    });
    Answer::Now(DescribeGroupsResponse::default().with_groups(groups.collect()))
}

pub(super) fn refuse(request: &DescribeGroupsRequest, error: ResponseError) -> DescribeGroupsResponse {
    let groups = request.groups.iter().map(|group_id| refused(group_id, error));
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(state: &State, ctx: &Ctx<'_>, group_id: &GroupId) -> DescribedGroup {
    if let Err(error) = state.check_group_coordinator(ctx.node, group_id) {
        return refused(group_id, error);
    }
    let Some(group) = state.groups.describe_classic(group_id) else {
        let dead = DescribedGroup::default()
            .with_group_id(group_id.clone())
            .with_group_state(StrBytes::from_static_str("Dead"));
        return match ctx.version {
            ..6 => dead,
            _ => dead
                .with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text(state.groups.why_not_described(group_id)))),
        };
    };
    DescribedGroup::default()
        .with_group_id(group_id.clone())
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_protocol_type(group.protocol_type)
        .with_protocol_data(group.protocol_data)
        .with_members(group.members.into_iter().map(|it| member(it, ctx.version)).collect())
}

fn member(member: DescribedMember, version: i16) -> DescribedGroupMember {
    DescribedGroupMember::default()
        .with_member_id(member.member_id)
        .with_group_instance_id(member.group_instance_id.filter(|_| version >= 4))
        .with_client_id(member.client_id)
        .with_client_host(member.client_host)
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

fn refused(group_id: &GroupId, error: ResponseError) -> DescribedGroup {
    DescribedGroup::default().with_group_id(group_id.clone()).with_error_code(error.code())
}
