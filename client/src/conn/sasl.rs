//! Logging in on a connection: SaslHandshake, then the mechanism's messages in SaslAuthenticate (KIP-43, KIP-152).
//!
//! The same for the first time and again before the session ends (KIP-368); when that is, `session` knows.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest},
    protocol::StrBytes,
};

use super::{Line, scram};
use crate::{
    codes::ErrorCode,
    error::{Error, Result},
    security::{Credentials, OAuthToken, Sasl, ScramMechanism},
    wire::versions::{Api, BrokerVersions},
};

/// RFC 7628, section 3.1: what separates the fields of a bearer message, and the answer to an error.
const SEPARATOR: char = '\x01';

/// Logs in. Returns how long that is good for, if not for ever.
///
/// Dropping the future leaves the connection in the middle of a login: it is then of no use.
pub(super) async fn log_in(
    line: Line,
    sasl: Sasl,
    versions: Arc<BrokerVersions>,
    client_id: Arc<str>,
    limit: Duration,
) -> Result<Option<Duration>> {
    let login = Login { line, mechanism: sasl.mechanism(), versions, client_id, limit };
    login.agree().await?;
    let last = match &sasl.credentials {
        Credentials::Plain { user, password } => login.send(format!("\0{user}\0{password}")).await?,
        Credentials::Scram { hash, user, password } => login.scram(*hash, user, password).await?,
        Credentials::OAuthBearer(token) => {
            let token = token().await.map_err(|error| login.no_token(&error.to_string()))?;
            login.bearer(&token).await?
        }
    };
    Ok(u64::try_from(last.session_lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis))
}

struct Login {
    line: Line,
    mechanism: &'static str,
    versions: Arc<BrokerVersions>,
    client_id: Arc<str>,
    limit: Duration,
}

impl Login {
    async fn agree(&self) -> Result<()> {
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(self.mechanism));
        let answer = self.call(&request).await?;
        match ErrorCode::from_number(answer.error_code) {
            ErrorCode::None => Ok(()),
            ErrorCode::UnsupportedSaslMechanism => {
                let offered = answer.mechanisms.iter().map(StrBytes::as_str).collect::<Vec<_>>().join(", ");
                Err(self.refused(format!("the broker offers {offered}; choose one of those (sasl.mechanism)")))
            }
            ErrorCode::IllegalSaslState => {
                let instead = "use the port of a SASL listener, or leave `sasl` out (security.protocol)";
                Err(self.refused(format!("this listener takes no login; {instead}")))
            }
            code => Err(Error::server(SaslHandshakeRequest::NAME, code.number())),
        }
    }

    async fn scram(&self, hash: ScramMechanism, user: &str, password: &Arc<str>) -> Result<SaslAuthenticateResponse> {
        let first = scram::ClientFirst::new(hash, user, nonce()?);
        let answer = self.send(first.message()).await?;
        let challenge = first.challenged(&answer.auth_bytes).map_err(|problem| self.refused(problem))?;
        let password = Arc::clone(password);
        // Thousands of hashes: as long as hundreds of requests take.
        let answered = tokio::task::spawn_blocking(move || challenge.answer(&password)).await;
        let last = answered.map_err(|error| self.refused(error.to_string()))?;
        let answer = self.send(last.message.clone()).await?;
        last.verify(&answer.auth_bytes).map_err(|problem| self.refused(problem))?;
        Ok(answer)
    }

    async fn bearer(&self, token: &OAuthToken) -> Result<SaslAuthenticateResponse> {
        let message = bearer_message(token).map_err(|problem| self.refused(problem))?;
        let answer = self.send(message).await?;
        if answer.auth_bytes.is_empty() {
            return Ok(answer);
        }
        // RFC 7628, section 3.2.3: an error comes as a challenge, and the login fails when it was acknowledged.
        let problem = String::from_utf8_lossy(&answer.auth_bytes).into_owned();
        match self.send(SEPARATOR.to_string()).await {
            Err(Error::Authentication { reason, .. }) => Err(self.refused(format!("{reason} ({problem})"))),
            Err(error) => Err(error),
            Ok(_) => Err(self.refused(problem)),
        }
    }

    /// Sends a message of the mechanism and waits for the broker's.
    async fn send(&self, message: String) -> Result<SaslAuthenticateResponse> {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
        let answer = self.call(&request).await?;
        match ErrorCode::from_number(answer.error_code) {
            ErrorCode::None => Ok(answer),
            ErrorCode::SaslAuthenticationFailed => {
                let said = answer.error_message.as_ref().map_or("the login failed", StrBytes::as_str);
                Err(self.refused(format!("{said}; check the credentials")))
            }
            code => Err(Error::server(SaslAuthenticateRequest::NAME, code.number())),
        }
    }

    async fn call<A: Api>(&self, request: &A) -> Result<A::Response> {
        let version = self.versions.choose::<A>(&self.line.address, i16::MAX)?;
        Ok(self.line.call(request, version, &self.client_id, self.limit).await?)
    }

    fn refused(&self, reason: String) -> Error {
        let (address, mechanism) = (Arc::clone(&self.line.address), self.mechanism);
        Error::Authentication { address, mechanism, reason: reason.into() }
    }

    /// A service that gives out tokens may be back in a moment, so this is worth another attempt.
    fn no_token(&self, problem: &str) -> Error {
        let source = io::Error::other(format!("no token for OAUTHBEARER: {problem}"));
        Error::Connect { address: Arc::clone(&self.line.address), source: Arc::new(source) }
    }
}

/// `n,,^Aauth=Bearer token^Akey=value^A^A` (RFC 7628; extensions by KIP-342).
fn bearer_message(token: &OAuthToken) -> Result<String, String> {
    let mut message = format!("n,,{SEPARATOR}auth=Bearer {}{SEPARATOR}", token.value);
    if token.value.is_empty() || token.value.contains(|c: char| c.is_control() || c == ' ') {
        return Err("the token is empty, or has spaces or control characters".to_owned());
    }
    for (key, value) in &token.extensions {
        // OAuthBearerClientInitialResponse.validateExtensions; `auth` would be the token.
        let is_key = !key.is_empty() && key != "auth" && key.chars().all(|c| c.is_ascii_alphabetic());
        if !is_key || value.contains(|c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n')) {
            return Err(format!("the extension {key:?} has a name or a value that cannot be sent"));
        }
        message.push_str(&format!("{key}={value}{SEPARATOR}"));
    }
    message.push(SEPARATOR);
    Ok(message)
}

/// 144 bits that nobody can guess: two conversations with one nonce could be replayed.
fn nonce() -> Result<String> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|error| Error::config("sasl", format!("needs randomness: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_message_carries_token_and_extensions() {
        // RFC 7628, section 4.1, without the host and port that Kafka does not send.
        let token = OAuthToken::new("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        assert_eq!(
            bearer_message(&token).unwrap(),
            "n,,\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
        );
        let token = token.extension("logicalCluster", "lkc-1").extension("identityPoolId", "pool-2");
        assert!(
            bearer_message(&token).unwrap().ends_with("==\x01identityPoolId=pool-2\x01logicalCluster=lkc-1\x01\x01")
        );
    }

    #[test]
    fn what_would_break_out_of_the_message_is_refused() {
        for token in [
            OAuthToken::new(""),
            OAuthToken::new("a\x01b"),
            OAuthToken::new("a b"),
            OAuthToken::new("a").extension("auth", "Bearer b"),
            OAuthToken::new("a").extension("k=", "v"),
            OAuthToken::new("a").extension("k", "v\x01auth=Bearer b"),
        ] {
            bearer_message(&token).unwrap_err();
        }
    }

    #[test]
    fn nonces_differ_and_can_be_sent() {
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(one, two);
        assert!(one.len() >= 24 && !one.contains(','));
    }
}
