//! As whom a client logs in. `conn/sasl.rs` has the conversation, `conn/scram.rs` and `scram` the
//! arithmetic.

use std::{collections::BTreeMap, fmt, sync::Arc};

use futures::future::BoxFuture;

use super::scram::ScramMechanism;
use crate::error::{Error, Result};

/// How a client logs in (`sasl.mechanism` and the login in `sasl.jaas.config`; librdkafka's `sasl.username`,
/// `sasl.password`).
///
/// A login is made on each connection, and again on it before the broker's `connections.max.reauth.ms` or the token's life
/// is over (KIP-368), between two requests and without a new connection.
///
/// ```no_run
/// # async fn example() -> async_kafka::Result<()> {
/// use async_kafka::{Kafka, Sasl, Tls};
///
/// let kafka = Kafka::builder("b1:9093").tls(Tls::native_roots()).sasl(Sasl::scram_sha512("app", "secret"));
/// let kafka = kafka.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sasl {
    pub(crate) credentials: Credentials,
}

#[derive(Clone)]
pub(crate) enum Credentials {
    Plain { user: Arc<str>, password: Arc<str> },
    Scram { hash: ScramMechanism, user: Arc<str>, password: Arc<str> },
    OAuthBearer(TokenSource),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type TokenSource = Arc<dyn Fn() -> BoxFuture<'static, Result<OAuthToken, BoxError>> + Send + Sync>;

/// A mechanism by its name, which is what brokers and properties call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OAuthBearer,
}

impl Mechanism {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl From<ScramMechanism> for Mechanism {
    fn from(mechanism: ScramMechanism) -> Self {
        match mechanism {
            ScramMechanism::Sha256 => Self::ScramSha256,
            ScramMechanism::Sha512 => Self::ScramSha512,
        }
    }
}

impl Sasl {
    /// `PLAIN`: the password itself is sent, so use it with TLS only.
    pub fn plain(user: impl Into<Arc<str>>, password: impl Into<Arc<str>>) -> Self {
        Self { credentials: Credentials::Plain { user: user.into(), password: password.into() } }
    }

    /// `SCRAM-SHA-256`: the password is proved and not sent, and the broker proves that it knows it (RFC 5802, RFC 7677).
    pub fn scram_sha256(user: impl Into<Arc<str>>, password: impl Into<Arc<str>>) -> Self {
        Self::scram(ScramMechanism::Sha256, user.into(), password.into())
    }

    /// `SCRAM-SHA-512`: [`Sasl::scram_sha256`] with the longer hash.
    pub fn scram_sha512(user: impl Into<Arc<str>>, password: impl Into<Arc<str>>) -> Self {
        Self::scram(ScramMechanism::Sha512, user.into(), password.into())
    }

    fn scram(hash: ScramMechanism, user: Arc<str>, password: Arc<str>) -> Self {
        Self { credentials: Credentials::Scram { hash, user, password } }
    }

    /// `OAUTHBEARER` (RFC 7628, KIP-255): `token` is asked for a token at every login, that is for each connection and again
    /// before a session ends. It should remember one for as long as it is good. Its error becomes that of the connection,
    /// which is tried again.
    ///
    /// The token is sent as it is, so use it with TLS only.
    pub fn oauthbearer<F, Fut, E>(token: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<OAuthToken, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let token: TokenSource = Arc::new(move || {
            let token = token();
            Box::pin(async move { token.await.map_err(Into::into) })
        });
        Self { credentials: Credentials::OAuthBearer(token) }
    }

    /// The mechanism's name, as in `sasl.mechanism`.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        match &self.credentials {
            Credentials::Plain { .. } => Mechanism::Plain,
            Credentials::Scram { hash, .. } => Mechanism::from(*hash),
            Credentials::OAuthBearer(_) => Mechanism::OAuthBearer,
        }
        .name()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let (user, password) = match &self.credentials {
            Credentials::Plain { user, password } | Credentials::Scram { user, password, .. } => (user, password),
            Credentials::OAuthBearer(_) => return Ok(()),
        };
        if user.is_empty() || password.is_empty() {
            return Err(Error::config("sasl", "needs a user and a password that are not empty"));
        }
        if user.contains('\0') || password.contains('\0') {
            // RFC 4616: NUL is what separates them.
            return Err(Error::config("sasl", "has a NUL in the user or the password"));
        }
        Ok(())
    }
}

impl fmt::Debug for Sasl {
    /// Says who logs in, and never with what.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = match &self.credentials {
            Credentials::Plain { user, .. } | Credentials::Scram { user, .. } => Some(user),
            Credentials::OAuthBearer(_) => None,
        };
        formatter
            .debug_struct("Sasl")
            .field("mechanism", &self.mechanism())
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

/// A token for [`Sasl::oauthbearer`].
#[derive(Clone)]
pub struct OAuthToken {
    pub(crate) value: String,
    pub(crate) extensions: BTreeMap<String, String>,
}

impl OAuthToken {
    /// A token as its issuer wrote it, for example a JWT in its compact form.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), extensions: BTreeMap::new() }
    }

    /// Adds a SASL extension (KIP-342), such as `logicalCluster`. Keys are letters, values have no control characters.
    #[must_use]
    pub fn extension(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.insert(key.into(), value.into());
        self
    }
}

impl fmt::Debug for OAuthToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OAuthToken").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}
