//! The SCRAM credentials of users, as they are set and asked for (KIP-554). Nobody logs in with them yet.
//!
//! Source: `ScramControlManager`, `ScramImage`; texts are those of 4.3.1.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::{Cluster, Refusal};

/// How a user proves to know a password, by the numbers of the wire (`ScramMechanism`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ScramMechanism {
    Sha256 = 1,
    Sha512 = 2,
}

impl ScramMechanism {
    fn from_wire(number: i8) -> Result<Self, Refusal> {
        let known = [Self::Sha256, Self::Sha512].into_iter().find(|known| *known as i8 == number);
        known.ok_or_else(|| Refusal::new(ResponseError::UnsupportedSaslMechanism, "Unknown SCRAM mechanism"))
    }
}

/// What is kept of a password: never the password itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScramCredential {
    pub(crate) iterations: i32,
    pub(crate) salt: Bytes,
    pub(crate) salted_password: Bytes,
}

/// What is to become of one credential.
#[derive(Clone, Debug)]
pub(crate) struct ScramAlteration {
    pub(crate) user: String,
    /// The mechanism's number on the wire.
    pub(crate) mechanism: i8,
    /// `None` deletes it.
    pub(crate) credential: Option<ScramCredential>,
}

/// The users that have credentials.
#[derive(Clone, Debug, Default)]
pub(super) struct ScramUsers {
    users: BTreeMap<String, BTreeMap<ScramMechanism, ScramCredential>>,
}

/// `ScramMechanism.minIterations`, of both mechanisms.
const LEAST_ITERATIONS: i32 = 4096;
/// `ScramMechanism.maxIterations`.
const MOST_ITERATIONS: i32 = 16_384;

impl Cluster {
    /// Alters credentials. Each user has one outcome; a user that is named twice is refused, whatever for.
    pub(crate) fn alter_scram(&mut self, alterations: Vec<ScramAlteration>) -> BTreeMap<String, Result<(), Refusal>> {
        let mut named: BTreeMap<String, usize> = BTreeMap::new();
        for alteration in &alterations {
            *named.entry(alteration.user.clone()).or_default() += 1;
        }
        let mut outcomes = BTreeMap::new();
        for alteration in alterations {
            let user = alteration.user.clone();
            let outcome = if named[&user] > 1 {
                let text = "A user credential cannot be altered twice in the same request";
                Err(Refusal::new(ResponseError::DuplicateResource, text))
            } else {
                self.alter_credential(alteration)
            };
            outcomes.insert(user, outcome);
        }
        outcomes
    }

    fn alter_credential(&mut self, alteration: ScramAlteration) -> Result<(), Refusal> {
        let ScramAlteration { user, mechanism, credential } = alteration;
        let unacceptable = |text: &str| Err(Refusal::new(ResponseError::UnacceptableCredential, text));
        if user.is_empty() {
            return unacceptable("Username must not be empty");
        }
        let mechanism = ScramMechanism::from_wire(mechanism)?;
        let users = &mut self.scram_users.users;
        match credential {
            Some(credential) if credential.iterations < LEAST_ITERATIONS => return unacceptable("Too few iterations"),
            Some(credential) if credential.iterations > MOST_ITERATIONS => return unacceptable("Too many iterations"),
            Some(credential) => {
                users.entry(user).or_default().insert(mechanism, credential);
            }
            None => {
                let known = users.get_mut(&user);
                if known.and_then(|credentials| credentials.remove(&mechanism)).is_none() {
                    let text = "Attempt to delete a user credential that does not exist";
                    return Err(Refusal::new(ResponseError::ResourceNotFound, text));
                }
                users.retain(|_, credentials| !credentials.is_empty());
            }
        }
        self.metadata_offset += 1;
        Ok(())
    }

    /// The users that have credentials.
    pub(crate) fn scram_users(&self) -> impl Iterator<Item = &str> {
        self.scram_users.users.keys().map(String::as_str)
    }

    /// Mechanism and iterations of each credential of `user`, if there are any.
    pub(crate) fn scram_credentials(&self, user: &str) -> Option<Vec<(ScramMechanism, i32)>> {
        let credentials = self.scram_users.users.get(user)?;
        Some(credentials.iter().map(|(mechanism, credential)| (*mechanism, credential.iterations)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::cluster;

    fn alteration(user: &str, mechanism: i8, iterations: Option<i32>) -> ScramAlteration {
        let credential = iterations.map(|iterations| ScramCredential {
            iterations,
            salt: Bytes::from_static(b"salt"),
            salted_password: Bytes::from_static(b"password"),
        });
        ScramAlteration { user: user.to_owned(), mechanism, credential }
    }

    #[test]
    fn a_credential_is_there_from_its_upsertion_to_its_deletion() {
        let mut cluster = cluster(1, &[]);
        let ok = |outcomes: BTreeMap<String, Result<(), Refusal>>| outcomes.values().all(Result::is_ok);
        assert!(ok(cluster.alter_scram(vec![alteration("u", 2, Some(4096)), alteration("v", 1, Some(16_384))])));
        assert!(ok(cluster.alter_scram(vec![alteration("u", 1, Some(8192))])));
        let of = |cluster: &Cluster| cluster.scram_credentials("u");
        assert_eq!(of(&cluster).unwrap(), [(ScramMechanism::Sha256, 8192), (ScramMechanism::Sha512, 4096)]);
        assert!(ok(cluster.alter_scram(vec![alteration("u", 1, None)])));
        assert!(ok(cluster.alter_scram(vec![alteration("u", 2, None)])));
        assert_eq!(of(&cluster), None);
        assert_eq!(cluster.scram_users().collect::<Vec<_>>(), ["v"]);
    }

    #[test]
    fn what_is_wrong_with_one_user_does_not_stop_the_others() {
        // Source: ScramControlManager; seen on 4.3.1 (tests/kit/scenarios/security.rs).
        let mut cluster = cluster(1, &[]);
        let outcomes = cluster.alter_scram(vec![
            alteration("twice", 1, Some(4096)),
            alteration("twice", 2, None),
            alteration("", 1, Some(4096)),
            alteration("few", 1, Some(4095)),
            alteration("many", 1, Some(16_385)),
            alteration("unknown", 3, Some(4096)),
            alteration("absent", 1, None),
            alteration("right", 1, Some(4096)),
        ]);
        let codes: Vec<_> = outcomes
            .iter()
            .map(|(user, outcome)| {
                (user.as_str(), outcome.as_ref().map_or_else(|refusal| refusal.error.code(), |()| 0))
            })
            .collect();
        let expected =
            [("", 93), ("absent", 91), ("few", 93), ("many", 93), ("right", 0), ("twice", 92), ("unknown", 33)];
        assert_eq!(codes, expected);
        assert_eq!(cluster.scram_users().collect::<Vec<_>>(), ["right"]);
    }
}
