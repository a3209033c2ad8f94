//! ListGroups (key 16), v0-v5.
//!
//! The groups that this node coordinates, of every kind.
//!
//! Versions: v1 throttle time; v2 throttled after the answer; v3 flexible; v4 states, and a filter on them (KIP-518); v5
//! types, and a filter on them (KIP-848).
//! Not modelled: an authorizer.
//! Source: ListGroupsRequest.json; KafkaApis.handleListGroupsRequest, GroupMetadataManager.listGroups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Answer, Api, Ctx};
use crate::cluster::CoordinatorType;
use crate::state::State;

pub(super) const API: Api = Api::new::<ListGroupsRequest>(0, 5);

pub(super) fn handle(state: &mut State, ctx: &mut Ctx<'_>, request: ListGroupsRequest) -> Answer<ListGroupsResponse> {
    if state.is_any_loading(CoordinatorType::Group, ctx.node) {
        return Answer::Now(refuse(&request, ResponseError::CoordinatorLoadInProgress));
    }
    let groups = state.groups.list();
    let groups = groups.filter(|group| {
        passes(&request.states_filter, group.state) && passes(&request.types_filter, group.group_type.name())
    });
    let here = groups.filter(|group| state.check_group_coordinator(ctx.node, &group.group_id).is_ok());
    let listed = here.map(|group| {
        let mut listed =
            ListedGroup::default().with_group_id(GroupId(group.group_id)).with_protocol_type(group.protocol_type);
        if ctx.version >= 4 {
            listed.group_state = StrBytes::from_static_str(group.state);
        }
        if ctx.version >= 5 {
            listed.group_type = StrBytes::from_static_str(group.group_type.name());
        }
        listed
    });
    Answer::Now(ListGroupsResponse::default().with_groups(listed.collect()))
}

pub(super) fn refuse(_request: &ListGroupsRequest, error: ResponseError) -> ListGroupsResponse {
    ListGroupsResponse::default().with_error_code(error.code())
}

/// An empty filter lets all pass. A name that means nothing lets none pass.
fn passes(filter: &[StrBytes], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
}
