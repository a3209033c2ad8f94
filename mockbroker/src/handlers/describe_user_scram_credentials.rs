//! DescribeUserScramCredentials (key 50), v0.
//!
//! Which users have which SCRAM credentials, without what would help to guess a password.
//!
//! Versions: v0 is flexible.
//! Not modelled: an authorizer.
//! Source: DescribeUserScramCredentialsRequest.json; KIP-554; ScramImage.describe.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};

use super::answers::text;
use super::{Answer, Api, Ctx};
use crate::state::State;

pub(super) const API: Api = Api::new::<DescribeUserScramCredentialsRequest>(0, 0);

pub(super) fn handle(
    state: &mut State,
    _ctx: &mut Ctx<'_>,
    request: DescribeUserScramCredentialsRequest,
) -> Answer<DescribeUserScramCredentialsResponse> {
    // Users, and how often each is named. To name none is to name all.
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for user in request.users.iter().flatten() {
        *named.entry(&user.name).or_default() += 1;
    }
    if named.is_empty() {
        named.extend(state.cluster.scram_users().map(|user| (user, 1)));
    }
    let results = named.into_iter().map(|(user, times)| {
        let result = DescribeUserScramCredentialsResult::default().with_user(text(user));
        let refused = |error: ResponseError, words: &str| {
            result.clone().with_error_code(error.code()).with_error_message(Some(text(format!("{words}: {user}"))))
        };
        if times > 1 {
            let words = "Cannot describe SCRAM credentials for the same user twice in a single request";
            return refused(ResponseError::DuplicateResource, words);
        }
        let Some(credentials) = state.cluster.scram_credentials(user) else {
            let words = "Attempt to describe a user credential that does not exist";
            return refused(ResponseError::ResourceNotFound, words);
        };
        let infos = credentials.into_iter().map(|(mechanism, iterations)| {
            CredentialInfo::default().with_mechanism(mechanism as i8).with_iterations(iterations)
        });
        result.with_error_message(Some(text(""))).with_credential_infos(infos.collect())
    });
    let response = DescribeUserScramCredentialsResponse::default().with_error_message(Some(text("")));
    Answer::Now(response.with_results(results.collect()))
}

pub(super) fn refuse(
    _request: &DescribeUserScramCredentialsRequest,
    error: ResponseError,
) -> DescribeUserScramCredentialsResponse {
    DescribeUserScramCredentialsResponse::default().with_error_code(error.code()).with_error_message(None)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;

    use super::*;
    use crate::cluster::users::{ScramAlteration, ScramCredential};
    use crate::handlers::testing::Rig;

    #[test]
    fn a_user_is_told_once_and_without_secrets() {
        // Seen on 4.3.1.
        let mut rig = Rig::new(1, &[]);
        let credential = ScramCredential { iterations: 4096, salt: Bytes::new(), salted_password: Bytes::new() };
        let add =
            |user: &str| ScramAlteration { user: user.to_owned(), mechanism: 2, credential: Some(credential.clone()) };
        rig.state.cluster.alter_scram(vec![add("a"), add("b")]);
        let mut ask = |users: Option<&[&str]>| {
            let users =
                users.map(|users| users.iter().map(|user| UserName::default().with_name(text(*user))).collect());
            let response = rig.call(0, handle, DescribeUserScramCredentialsRequest::default().with_users(users));
            let told = response.results.into_iter();
            told.map(|it| (it.user.to_string(), it.error_code, it.credential_infos.len())).collect::<Vec<_>>()
        };
        let row = |user: &str, error_code: i16, count: usize| (user.to_owned(), error_code, count);
        assert_eq!(ask(None), [row("a", 0, 1), row("b", 0, 1)]);
        assert_eq!(ask(Some(&[])), [row("a", 0, 1), row("b", 0, 1)]);
        assert_eq!(ask(Some(&["b", "c", "a", "a"])), [row("a", 92, 0), row("b", 0, 1), row("c", 91, 0)]);
    }
}
