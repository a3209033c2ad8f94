//! CreateAcls (key 30), v1-v3.
//!
//! Says who may do what. There is no authorizer that would keep it.
//!
//! Versions: v1 pattern types; v2 flexible; v3 users as resources.
//! Not modelled: an authorizer.
//! Source: CreateAclsRequest.json; KIP-140, KIP-290; AclApis.handleCreateAcls, CreateAclsRequest.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::{CreateAclsRequest, CreateAclsResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::error::Close;
use crate::state::State;

pub(super) const API: Api = Api::new::<CreateAclsRequest>(1, 3);

/// What the request's own constructor refuses, so that the connection closes.
const UNKNOWN: i8 = 0;

pub(super) fn handle(_state: &mut State, _ctx: &mut Ctx<'_>, request: CreateAclsRequest) -> Answer<CreateAclsResponse> {
    let has_unknown = |creation: &AclCreation| {
        [creation.resource_type, creation.resource_pattern_type, creation.operation, creation.permission_type]
            .contains(&UNKNOWN)
    };
    if request.creations.iter().any(has_unknown) {
        return Answer::Close(Close::because("a CreateAcls has something UNKNOWN in it, which cannot be read"));
    }
    let mut refused = refuse(&request, ResponseError::SecurityDisabled);
    for result in &mut refused.results {
        result.error_message = Some(text("No Authorizer is configured."));
    }
    Answer::Now(refused)
}

pub(super) fn refuse(request: &CreateAclsRequest, error: ResponseError) -> CreateAclsResponse {
    let result = AclCreationResult::default().with_error_code(error.code()).with_error_message(None);
    CreateAclsResponse::default().with_results(vec![result; request.creations.len()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn security_is_disabled_for_each() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let creation = AclCreation::default()
            .with_resource_type(2)
            .with_resource_pattern_type(3)
            .with_operation(3)
            .with_permission_type(3);
        let request = CreateAclsRequest::default().with_creations(vec![creation.clone(); 2]);
        let response = rig.call(1, handle, request);
        assert_eq!(response.results.iter().map(|result| result.error_code).collect::<Vec<_>>(), [54, 54]);
        let unknown = CreateAclsRequest::default().with_creations(vec![creation.with_permission_type(0)]);
        assert!(rig.closes(3, handle, unknown));
    }
}
