//! AlterUserScramCredentials (key 51), v0.
//!
//! Sets and deletes the SCRAM credentials of users. They are kept and listed; nobody logs in with them yet.
//!
//! Versions: v0 is flexible.
//! Not modelled: an authorizer; SASL.
//! Source: AlterUserScramCredentialsRequest.json; KIP-554; ScramControlManager.alterCredentials.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};

use super::answers::{outcome, text};
use super::{Answer, Api, Ctx};
use crate::cluster::Refusal;
use crate::cluster::users::{ScramAlteration, ScramCredential};
use crate::state::State;

pub(super) const API: Api = Api::new::<AlterUserScramCredentialsRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: AlterUserScramCredentialsRequest,
) -> Answer<AlterUserScramCredentialsResponse> {
    let outcomes = state.cluster.alter_scram(alterations(request));
    let results = outcomes.iter().map(|(user, outcome)| told(user, outcome));
    Answer::Now(AlterUserScramCredentialsResponse::default().with_results(results.collect()))
}

pub(super) fn refuse(
    request: &AlterUserScramCredentialsRequest,
    error: ResponseError,
) -> AlterUserScramCredentialsResponse {
    let refusal = Err(Refusal::code(error));
    let mut users: Vec<&str> = request.deletions.iter().map(|it| it.name.as_str()).collect();
    users.extend(request.upsertions.iter().map(|it| it.name.as_str()));
    users.sort_unstable();
    users.dedup();
    let results = users.into_iter().map(|user| told(user, &refusal));
    AlterUserScramCredentialsResponse::default().with_results(results.collect())
}

fn alterations(request: AlterUserScramCredentialsRequest) -> Vec<ScramAlteration> {
    let deletions = request.deletions.into_iter().map(|it| ScramAlteration {
        user: it.name.to_string(),
        mechanism: it.mechanism,
        credential: None,
    });
    let upsertions = request.upsertions.into_iter().map(|it| ScramAlteration {
        user: it.name.to_string(),
        mechanism: it.mechanism,
        credential: Some(ScramCredential {
            iterations: it.iterations,
            salt: it.salt,
            salted_password: it.salted_password,
        }),
    });
    deletions.chain(upsertions).collect()
}

fn told(user: &str, altered: &Result<(), Refusal>) -> AlterUserScramCredentialsResult {
    let (error_code, error_message) = outcome(altered);
    let result = AlterUserScramCredentialsResult::default().with_user(text(user));
    result.with_error_code(error_code).with_error_message(error_message)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_user_scram_credentials_request::{
        ScramCredentialDeletion, ScramCredentialUpsertion,
    };

    use super::*;
    use crate::handlers::testing::Rig;

    #[test]
    fn each_user_has_one_outcome() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let deletion = |user: &'static str| ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(1);
        let upsertion = |user: &'static str| {
            ScramCredentialUpsertion::default().with_name(text(user)).with_mechanism(1).with_iterations(4096)
        };
        let request = AlterUserScramCredentialsRequest::default()
            .with_deletions(vec![deletion("both"), deletion("absent")])
            .with_upsertions(vec![upsertion("both"), upsertion("new")]);
        let response = rig.call(0, handle, request);
        let told: Vec<_> = response.results.iter().map(|it| (it.user.as_str(), it.error_code)).collect();
        assert_eq!(told, [("absent", 91), ("both", 92), ("new", 0)]);
    }
}
