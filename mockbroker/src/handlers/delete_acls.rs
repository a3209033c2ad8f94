//! DeleteAcls (key 31), v1-v3.
//!
//! Takes away what was said of who may do what. There is no authorizer that would have kept it.
//!
//! Versions: v1 pattern types; v2 flexible; v3 users as resources.
//! Not modelled: an authorizer.
//! Source: DeleteAclsRequest.json; KIP-140, KIP-290; AclApis.handleDeleteAcls, DeleteAclsRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{DeleteAclsRequest, DeleteAclsResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::error::Close;
use crate::state::State;

pub(super) const API: Api = Api::new::<DeleteAclsRequest>(1, 3);

/// What the request's own constructor refuses, so that the connection closes.
const UNKNOWN: i8 = 0;

pub(super) fn handle(_state: &mut State, _ctx: &mut Ctx<'_>, request: DeleteAclsRequest) -> Answer<DeleteAclsResponse> {
    let has_unknown = |filter: &DeleteAclsFilter| {
        [filter.resource_type_filter, filter.pattern_type_filter, filter.operation, filter.permission_type]
            .contains(&UNKNOWN)
    };
    if request.filters.iter().any(has_unknown) {
        return Answer::Close(Close::because("a DeleteAcls asks for something UNKNOWN, which cannot be read"));
    }
    let mut refused = refuse(&request, ResponseError::SecurityDisabled);
    for result in &mut refused.filter_results {
        result.error_message = Some(text("No Authorizer is configured."));
    }
    Answer::Now(refused)
}

pub(super) fn refuse(request: &DeleteAclsRequest, error: ResponseError) -> DeleteAclsResponse {
    let result = DeleteAclsFilterResult::default().with_error_code(error.code()).with_error_message(None);
    DeleteAclsResponse::default().with_filter_results(vec![result; request.filters.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn security_is_disabled_for_each() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let filter = DeleteAclsFilter::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(1)
            .with_permission_type(1);
        let response = rig.call(1, handle, DeleteAclsRequest::default().with_filters(vec![filter.clone(); 2]));
        assert_eq!(response.filter_results.iter().map(|result| result.error_code).collect::<Vec<_>>(), [54, 54]);
        let unknown = DeleteAclsRequest::default().with_filters(vec![filter.with_pattern_type_filter(0)]);
        assert!(rig.closes(3, handle, unknown));
    }
}
