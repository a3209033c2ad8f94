//! The credentials of users that log in with SCRAM (KIP-554; Kafka 2.7).
//!
//! A password never leaves the client: brokers are sent what [`ScramMechanism::salted`] makes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion},
    describe_user_scram_credentials_request::UserName,
    describe_user_scram_credentials_response::DescribeUserScramCredentialsResult,
};

use super::{Admin, Results, all, ask::Place, name, outcome, text};
use crate::{
    error::{Error, Result},
    security::ScramMechanism,
    wire::versions::Api,
};

/// How many bytes of a salt are drawn: the strength of SHA-256 against tables made in advance.
const SALT_BYTES: usize = 32;

/// A password that a user is to have for a mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    mechanism: ScramMechanism,
    password: Arc<str>,
    iterations: u32,
    salt: Option<Bytes>,
}

impl ScramCredential {
    /// A password, with 4096 iterations (as `kafka-configs.sh`) and a salt of 32 random bytes.
    #[must_use]
    pub fn new(mechanism: ScramMechanism, password: impl Into<Arc<str>>) -> Self {
        Self { mechanism, password: password.into(), iterations: ScramMechanism::MIN_ITERATIONS, salt: None }
    }

    /// How often the password is hashed: what it costs to guess it, and to log in. 4096 to 16384.
    #[must_use]
    pub fn iterations(mut self, count: u32) -> Self {
        self.iterations = count;
        self
    }

    /// With this salt, for credentials that must be the same elsewhere.
    #[must_use]
    pub fn salt(mut self, salt: impl Into<Bytes>) -> Self {
        self.salt = Some(salt.into());
        self
    }

    /// What Java leaves to the broker, which refuses it with `UNACCEPTABLE_CREDENTIAL` after the work was done.
    fn check(&self) -> Result<()> {
        let taken = ScramMechanism::MIN_ITERATIONS..=ScramMechanism::MAX_ITERATIONS;
        if self.password.is_empty() {
            return Err(Error::config("password", "is empty"));
        }
        if !taken.contains(&self.iterations) {
            let (least, most) = taken.into_inner();
            return Err(Error::config("iterations", format!("is {}; Kafka takes {least} to {most}", self.iterations)));
        }
        Ok(())
    }

    /// Takes milliseconds.
    fn upsertion(&self, user: &str) -> Result<ScramCredentialUpsertion> {
        let salt = match &self.salt {
            Some(salt) => salt.clone(),
            None => {
                let mut salt = [0; SALT_BYTES];
                getrandom::fill(&mut salt)
                    .map_err(|error| Error::config("salt", format!("needs randomness: {error}")))?;
                Bytes::copy_from_slice(&salt)
            }
        };
        let salted_password = self.mechanism.salted(self.password.as_bytes(), &salt, self.iterations);
        Ok(ScramCredentialUpsertion::default()
            .with_name(text(user))
            .with_mechanism(number(self.mechanism))
            .with_iterations(i32::try_from(self.iterations).expect("checked"))
            .with_salt(salt)
            .with_salted_password(salted_password.into()))
    }
}

/// Tells neither the password nor the salt.
impl fmt::Debug for ScramCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("ScramCredential");
        fields.field("mechanism", &self.mechanism).field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A change of one credential of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramChange {
    user: Arc<str>,
    what: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Upsert(ScramCredential),
    Delete(ScramMechanism),
}

impl ScramChange {
    /// Gives a user a credential, in place of the one that it may have for the mechanism. A user with credentials is all that
    /// Kafka knows of a user.
    #[must_use]
    pub fn upsert(user: impl Into<Arc<str>>, credential: ScramCredential) -> Self {
        Self { user: user.into(), what: Change::Upsert(credential) }
    }

    /// Takes a user's credential for a mechanism away. Its connections stay until their session ends
    /// (`connections.max.reauth.ms`).
    #[must_use]
    pub fn delete(user: impl Into<Arc<str>>, mechanism: ScramMechanism) -> Self {
        Self { user: user.into(), what: Change::Delete(mechanism) }
    }

    fn check(&self) -> Result<()> {
        match &self.what {
            _ if self.user.is_empty() => Err(Error::config("user", "is empty")),
            Change::Upsert(credential) => credential.check(),
            Change::Delete(_) => Ok(()),
        }
    }
}

/// What brokers are asked to change, by user.
#[derive(Debug, Default)]
struct Alterations {
    upsertions: Vec<(Arc<str>, ScramCredentialUpsertion)>,
    deletions: Vec<(Arc<str>, ScramMechanism)>,
}

impl Alterations {
    /// Derives the keys of all passwords: milliseconds for each.
    fn derived(changes: Vec<ScramChange>) -> Result<Self> {
        let mut alterations = Self::default();
        for ScramChange { user, what } in changes {
            match what {
                Change::Upsert(credential) => {
                    let upsertion = credential.upsertion(&user)?;
                    alterations.upsertions.push((user, upsertion));
                }
                Change::Delete(mechanism) => alterations.deletions.push((user, mechanism)),
            }
        }
        Ok(alterations)
    }

    fn request(&self, users: &[Arc<str>]) -> AlterUserScramCredentialsRequest {
        let upsertions = self.upsertions.iter().filter(|(user, _)| users.contains(user));
        let deletions = self.deletions.iter().filter(|(user, _)| users.contains(user)).map(|(user, mechanism)| {
            ScramCredentialDeletion::default().with_name(text(user.as_ref())).with_mechanism(number(*mechanism))
        });
        AlterUserScramCredentialsRequest::default()
            .with_upsertions(upsertions.map(|(_, upsertion)| upsertion.clone()).collect())
            .with_deletions(deletions.collect())
    }
}

impl Admin {
    /// The SCRAM credentials of all users that have some: for each mechanism how many iterations. Those of mechanisms that this
    /// release does not know are left out. Error: `CLUSTER_AUTHORIZATION_FAILED`.
    pub async fn list_scram_credentials(&self) -> Result<BTreeMap<Arc<str>, BTreeMap<ScramMechanism, u32>>> {
        // Not null, though that means the same: Kafka 4.3.1 answers a null that it has to refuse with nothing at all.
        let make = |_| DescribeUserScramCredentialsRequest::default().with_users(Some(Vec::new()));
        let users = self.one(Place::Any, make, described).await?;
        users.into_iter().map(|(user, credentials)| Ok((user, credentials?))).collect()
    }

    /// The SCRAM credentials of users: for each mechanism how many iterations. Those of mechanisms that this release does not
    /// know are left out.
    ///
    /// Errors: `RESOURCE_NOT_FOUND` for a user that has none, `CLUSTER_AUTHORIZATION_FAILED`.
    pub async fn describe_scram_credentials(
        &self,
        users: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Results<Arc<str>, BTreeMap<ScramMechanism, u32>> {
        self.each(
            users.into_iter().map(Into::into),
            |_| Place::Any,
            |_, users: &[Arc<str>]| {
                let users = users.iter().map(|user| UserName::default().with_name(text(user.as_ref())));
                DescribeUserScramCredentialsRequest::default().with_users(Some(users.collect()))
            },
            |users, answer| described(answer).unwrap_or_else(|error| all(users, &error)),
        )
        .await
    }

    /// Changes SCRAM credentials, one of each user. Brokers hear of it a moment later. After a lost answer the second request
    /// may be refused because the first one did its work: `RESOURCE_NOT_FOUND` can mean that this call deleted the credential.
    ///
    /// Errors: `RESOURCE_NOT_FOUND` for a deletion of what is not there, `DUPLICATE_RESOURCE` for two changes of one user in a
    /// call, even of two mechanisms; `UNACCEPTABLE_CREDENTIAL`, `CLUSTER_AUTHORIZATION_FAILED`; [`Error::Config`] for an empty
    /// user or password and for iterations that Kafka does not take, and then no change of that user is asked for.
    pub async fn alter_scram_credentials(&self, changes: impl IntoIterator<Item = ScramChange>) -> Results<Arc<str>> {
        let mut changes: Vec<ScramChange> = changes.into_iter().collect();
        let refused = changes.iter().filter_map(|change| Some((Arc::clone(&change.user), Err(change.check().err()?))));
        let mut results: Results<Arc<str>> = refused.collect();
        changes.retain(|change| !results.contains_key(&change.user));
        let users: BTreeSet<Arc<str>> = changes.iter().map(|change| Arc::clone(&change.user)).collect();
        // Thousands of hashes: as long as hundreds of requests take.
        let derived = tokio::task::spawn_blocking(|| Alterations::derived(changes)).await;
        let derived =
            derived.unwrap_or_else(|error| Err(Error::config("password", format!("was not hashed: {error}"))));
        match derived {
            Ok(alterations) => {
                let make = |_, users: &[Arc<str>]| alterations.request(users);
                results.extend(self.each(users, |_| Place::Controller, make, altered).await);
            }
            Err(error) => results.extend(users.into_iter().map(|user| (user, Err(error.clone())))),
        }
        results
    }
}

/// `ScramMechanism` of Kafka's admin client.
const fn number(mechanism: ScramMechanism) -> i8 {
    match mechanism {
        ScramMechanism::Sha256 => 1,
        ScramMechanism::Sha512 => 2,
    }
}

type Described = (Arc<str>, Result<BTreeMap<ScramMechanism, u32>>);

fn described(answer: DescribeUserScramCredentialsResponse) -> Result<Vec<Described>> {
    let api = DescribeUserScramCredentialsRequest::NAME;
    outcome(api, answer.error_code, answer.error_message.as_ref())?;
    let credentials = |of: &DescribeUserScramCredentialsResult| {
        outcome(api, of.error_code, of.error_message.as_ref())?;
        let known = [ScramMechanism::Sha256, ScramMechanism::Sha512];
        let credentials = of.credential_infos.iter().filter_map(|info| {
            let mechanism = known.into_iter().find(|known| number(*known) == info.mechanism)?;
            Some((mechanism, u32::try_from(info.iterations).unwrap_or(0)))
        });
        Ok(credentials.collect())
    };
    Ok(answer.results.iter().map(|of| (name(&of.user), credentials(of))).collect())
}

fn altered(_: &[Arc<str>], answer: AlterUserScramCredentialsResponse) -> Vec<(Arc<str>, Result<()>)> {
    let api = AlterUserScramCredentialsRequest::NAME;
    let results = answer.results.iter();
    results.map(|of| (name(&of.user), outcome(api, of.error_code, of.error_message.as_ref()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677's example: its password, salt and iterations, and the salted password by Python's hashlib.pbkdf2_hmac.
    const SALT: [u8; 16] =
        [0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81];
    const SALTED: &str = "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn upsertions(changes: impl Into<Vec<ScramChange>>) -> Vec<ScramCredentialUpsertion> {
        let alterations = Alterations::derived(changes.into()).unwrap();
        alterations.upsertions.into_iter().map(|(_, upsertion)| upsertion).collect()
    }

    #[test]
    fn the_salted_password_is_sent_and_the_password_is_not() {
        let credential = ScramCredential::new(ScramMechanism::Sha256, "pencil").salt(SALT.to_vec());
        let upsertion = upsertions([ScramChange::upsert("user", credential)]).remove(0);
        assert_eq!((&*upsertion.name, upsertion.mechanism, upsertion.iterations), ("user", 1, 4096));
        assert_eq!((&upsertion.salt[..], hex(&upsertion.salted_password).as_str()), (&SALT[..], SALTED));
    }

    #[test]
    fn each_upsertion_has_a_salt_of_its_own() {
        let change = || ScramChange::upsert("user", ScramCredential::new(ScramMechanism::Sha512, "pencil"));
        let [one, two] = upsertions([change(), change()]).try_into().unwrap();
        assert_eq!((one.mechanism, one.salt.len(), one.salted_password.len()), (2, SALT_BYTES, 64));
        assert_ne!(one.salt, two.salt);
        assert_ne!(one.salted_password, two.salted_password);
    }

    #[test]
    fn a_request_names_only_the_users_that_are_still_asked_for() {
        let credential = ScramCredential::new(ScramMechanism::Sha256, "pencil");
        let changes = vec![
            ScramChange::upsert("a", credential.clone()),
            ScramChange::upsert("b", credential),
            ScramChange::delete("c", ScramMechanism::Sha512),
            ScramChange::delete("a", ScramMechanism::Sha512),
        ];
        let request = Alterations::derived(changes).unwrap().request(&["a".into(), "c".into()]);
        let upserted: Vec<_> = request.upsertions.iter().map(|of| of.name.to_string()).collect();
        let deleted: Vec<_> = request.deletions.iter().map(|of| (of.name.to_string(), of.mechanism)).collect();
        assert_eq!(upserted, ["a"]);
        assert_eq!(deleted, [("c".to_owned(), 2), ("a".to_owned(), 2)]);
    }

    #[test]
    fn what_kafka_would_refuse_is_refused_before_it_is_hashed() {
        let of = |password: &str| ScramCredential::new(ScramMechanism::Sha256, password);
        for (refused, setting) in [
            (ScramChange::upsert("", of("x")), "user"),
            (ScramChange::delete("", ScramMechanism::Sha256), "user"),
            (ScramChange::upsert("user", of("")), "password"),
            (ScramChange::upsert("user", of("x").iterations(4095)), "iterations"),
            (ScramChange::upsert("user", of("x").iterations(16_385)), "iterations"),
            (ScramChange::upsert("user", of("x").iterations(u32::MAX)), "iterations"),
        ] {
            let error = refused.check().unwrap_err();
            assert!(matches!(error, Error::Config { setting: found, .. } if found == setting), "{error}");
        }
        ScramChange::upsert("user", of("x").iterations(16_384)).check().unwrap();
    }

    #[test]
    fn a_password_and_its_salt_are_not_printed() {
        let credential = ScramCredential::new(ScramMechanism::Sha256, "pencil").salt(&b"NaCl"[..]);
        let printed = format!("{:?}", ScramChange::upsert("user", credential));
        assert!(printed.contains("user") && printed.contains("4096"), "{printed}");
        assert!(!printed.contains("pencil") && !printed.contains("NaCl"), "{printed}");
    }
}
