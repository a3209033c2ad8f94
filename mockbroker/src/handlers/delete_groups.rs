//! DeleteGroups (key 42), v0-v2.
//!
//! Deletes groups that have no members, with all that they have committed.
//!
//! Versions: v1 throttled after the answer; v2 flexible.
//! Not modelled: an authorizer.
//! Source: DeleteGroupsRequest.json; KIP-229; KafkaApis.handleDeleteGroupsRequest, GroupCoordinatorShard.deleteGroups.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use super::{Answer, Api, Ctx, code, groups};
use crate::group::{Event, Response};
use crate::state::State;

pub(super) const API: Api = Api::new::<DeleteGroupsRequest>(0, 2);

pub(super) fn handle(
    state: &mut State,
    ctx: &mut Ctx<'_>,
    request: DeleteGroupsRequest,
) -> Answer<DeleteGroupsResponse> {
    let mut seen = BTreeSet::new();
    let once = request.groups_names.into_iter().filter(|group_id| seen.insert(group_id.clone()));
    let (mut here, mut refused) = (Vec::new(), Vec::new());
    for group_id in once {
        match state.check_group_coordinator(ctx.node, &group_id) {
            Ok(()) => here.push(group_id.0),
            Err(error) => refused.push(result(group_id, Some(error))),
        }
    }
    let deleted = match groups::step_now(state, ctx, |ticket| Event::DeleteGroups(ticket, here)) {
        Response::DeleteGroups(deleted) => deleted,
        other => panic!("a deletion is not answered with {other:?}"),
    };
    let deleted = deleted.into_iter().map(|(group_id, error)| result(GroupId(group_id), error));
    Answer::Now(DeleteGroupsResponse::default().with_results(deleted.chain(refused).collect()))
}

pub(super) fn refuse(request: &DeleteGroupsRequest, error: ResponseError) -> DeleteGroupsResponse {
    let results = request.groups_names.iter().map(|group_id| result(group_id.clone(), Some(error)));
    DeleteGroupsResponse::default().with_results(results.collect())
}

fn result(group_id: GroupId, error: Option<ResponseError>) -> DeletableGroupResult {
    DeletableGroupResult::default().with_group_id(group_id).with_error_code(code(error))
}
