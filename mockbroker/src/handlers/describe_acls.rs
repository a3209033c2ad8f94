//! DescribeAcls (key 29), v1-v3.
//!
//! Who may do what. There is no authorizer, so there is nothing to tell.
//!
//! Versions: v1 pattern types; v2 flexible; v3 users as resources.
//! Not modelled: an authorizer.
//! Source: DescribeAclsRequest.json; KIP-140, KIP-290; AclApis.handleDescribeAcls, DescribeAclsRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{DescribeAclsRequest, DescribeAclsResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::error::Close;
use crate::state::State;

pub(super) const API: Api = Api::new::<DescribeAclsRequest>(1, 3);

pub(super) fn handle(
    _state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: DescribeAclsRequest,
) -> Answer<DescribeAclsResponse> {
    let kinds = [request.resource_type_filter, request.pattern_type_filter, request.operation, request.permission_type];
    if kinds.contains(&UNKNOWN) {
        return Answer::Close(Close::because("a DescribeAcls asks for something UNKNOWN, which cannot be read"));
    }
    let refused = refuse(&request, ResponseError::SecurityDisabled);
    Answer::Now(refused.with_error_message(Some(text("No Authorizer is configured on the broker"))))
}

pub(super) fn refuse(_request: &DescribeAclsRequest, error: ResponseError) -> DescribeAclsResponse {
    DescribeAclsResponse::default().with_error_code(error.code()).with_error_message(None)
}

/// The number of UNKNOWN among resource types, pattern types, operations and permissions. The request's own constructor
/// refuses it, so the connection closes; other numbers that nobody knows pass.
const UNKNOWN: i8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn security_is_disabled() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let request = DescribeAclsRequest::default()
            .with_resource_type_filter(1)
            .with_pattern_type_filter(1)
            .with_operation(1)
            .with_permission_type(1);
        for version in 1..=3 {
            let response = rig.call(version, handle, request.clone());
            let message = Some("No Authorizer is configured on the broker");
            assert_eq!((response.error_code, response.error_message.as_deref()), (54, message));
        }
        assert!(rig.closes(1, handle, request.with_operation(0)));
    }
}
