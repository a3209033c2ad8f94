//! Logins against a scripted broker: what is sent, what is made of refusals, and sessions that end.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    error::Result,
    security::{OAuthToken, Sasl},
};

const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;

impl Script {
    /// Reads SaslHandshake v1 and answers it.
    async fn handshake(&mut self, mechanism: &str, error_code: i16, offered: &[&str]) {
        let request = self.request().await;
        assert_eq!((request.api_key, request.version), (HANDSHAKE, 1));
        assert_eq!(request.body[2..], *mechanism.as_bytes());
        let mut body = BytesMut::new();
        body.put_i16(error_code);
        body.put_i32(offered.len().try_into().unwrap());
        for name in offered {
            body.put_i16(name.len().try_into().unwrap());
            body.put_slice(name.as_bytes());
        }
        self.answer(request.correlation_id, &body).await;
    }

    /// Reads SaslAuthenticate v1: its correlation id and the message.
    async fn message(&mut self) -> (i32, Vec<u8>) {
        let request = self.request().await;
        assert_eq!((request.api_key, request.version), (AUTHENTICATE, 1));
        (request.correlation_id, request.body[4..].to_vec())
    }

    async fn reply(&mut self, correlation_id: i32, error: Option<&str>, message: &[u8], lifetime: Duration) {
        let mut body = BytesMut::new();
        body.put_i16(if error.is_some() { 58 } else { 0 });
        body.put_i16(error.map_or(-1, |text| text.len().try_into().unwrap()));
        body.put_slice(error.unwrap_or_default().as_bytes());
        body.put_i32(message.len().try_into().unwrap());
        body.put_slice(message);
        body.put_i64(lifetime.as_millis().try_into().unwrap());
        self.answer(correlation_id, &body).await;
    }

    async fn log_in_plain(&mut self, lifetime: Duration) {
        self.handshake("PLAIN", 0, &["PLAIN"]).await;
        let (id, message) = self.message().await;
        assert_eq!(message, b"\0app\0secret");
        self.reply(id, None, b"", lifetime).await;
    }
}

/// Begins to connect, and speaks until the login.
async fn begin(sasl: Sasl) -> (JoinHandle<Result<Connection>>, Script) {
    let (transport, mut streams) = transport();
    let config = Arc::new(ClientConfig { sasl: Some(sasl), ..ClientConfig::default() });
    let address = Address::parse("b:9092").unwrap();
    let opening = tokio::spawn(async move { Connection::open(address, &transport, &config, &Arc::default()).await });
    let mut script = Script(streams.recv().await.unwrap());
    script.greet().await;
    (opening, script)
}

async fn refusal(opening: JoinHandle<Result<Connection>>) -> String {
    let error = opening.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }) && !error.is_retriable(), "{error:?}");
    error.to_string()
}

fn plain() -> Sasl {
    Sasl::plain("app", "secret")
}

#[tokio::test(start_paused = true)]
async fn requests_follow_the_login() {
    let (opening, mut script) = begin(plain()).await;
    script.log_in_plain(Duration::ZERO).await;
    let connection = opening.await.unwrap().unwrap();
    let pending = metadata(&connection, LIMIT);
    let request = script.request().await;
    script.answer(request.correlation_id, METADATA).await;
    pending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_says_what_the_broker_said() {
    let (opening, mut script) = begin(plain()).await;
    script.handshake("PLAIN", 0, &["PLAIN"]).await;
    let (id, _) = script.message().await;
    script.reply(id, Some("Authentication failed: Invalid username or password"), b"", Duration::ZERO).await;
    let error = refusal(opening).await;
    assert_eq!(
        error,
        "no login by PLAIN at b:9092: Authentication failed: Invalid username or password; check the credentials"
    );
}

#[tokio::test(start_paused = true)]
async fn another_mechanism_and_a_listener_without_logins_are_told_apart() {
    let (opening, mut script) = begin(plain()).await;
    script.handshake("PLAIN", 33, &["SCRAM-SHA-512", "GSSAPI"]).await;
    assert!(refusal(opening).await.contains("the broker offers SCRAM-SHA-512, GSSAPI; choose one of those"));
    let (opening, mut script) = begin(plain()).await;
    script.handshake("PLAIN", 34, &[]).await;
    assert!(refusal(opening).await.contains("this listener takes no login"));
}

/// A broker that knows the user's password, or makes one up.
async fn serve_scram(script: &mut Script, password: &str) {
    let hmac = |key: &[u8], text: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    };
    script.handshake("SCRAM-SHA-256", 0, &["SCRAM-SHA-256"]).await;
    let (id, first) = script.message().await;
    let bare = String::from_utf8(first).unwrap().strip_prefix("n,,").unwrap().to_owned();
    let nonce = format!("{}theirs", bare.strip_prefix("n=app,r=").unwrap());
    let server_first = format!("r={nonce},s={},i=4096", BASE64.encode("salt"));
    script.reply(id, None, server_first.as_bytes(), Duration::ZERO).await;
    let (id, last) = script.message().await;
    let last = String::from_utf8(last).unwrap();
    let (without_proof, proof) = last.rsplit_once(",p=").unwrap();
    let auth_message = format!("{bare},{server_first},{without_proof}");
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), b"salt", 4096);
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key"));
    let signature = hmac(&stored_key, auth_message.as_bytes());
    let client_key: Vec<u8> = BASE64.decode(proof).unwrap().iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    assert_eq!(Sha256::digest(&client_key) == stored_key, password == "secret", "the proof is one of `secret`");
    let signature = hmac(&hmac(&salted, b"Server Key"), auth_message.as_bytes());
    script.reply(id, None, format!("v={}", BASE64.encode(signature)).as_bytes(), Duration::ZERO).await;
}

#[tokio::test]
async fn scram_proves_the_password_to_both_sides() {
    let (opening, mut script) = begin(Sasl::scram_sha256("app", "secret")).await;
    serve_scram(&mut script, "secret").await;
    opening.await.unwrap().unwrap();
}

#[tokio::test]
async fn trap_129_a_broker_that_only_pretends_to_know_the_password_is_refused() {
    let (opening, mut script) = begin(Sasl::scram_sha256("app", "secret")).await;
    serve_scram(&mut script, "something else").await;
    assert!(refusal(opening).await.contains("signature is wrong"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_explained_by_the_challenge() {
    // RFC 7628, section 3.2.3: the error is a challenge, ^A acknowledges it, then the login fails.
    let sasl = Sasl::oauthbearer(|| async { Ok::<_, std::io::Error>(OAuthToken::new("stale")) });
    let (opening, mut script) = begin(sasl).await;
    script.handshake("OAUTHBEARER", 0, &["OAUTHBEARER"]).await;
    let (id, message) = script.message().await;
    assert_eq!(message, b"n,,\x01auth=Bearer stale\x01\x01");
    script.reply(id, None, b"{\"status\":\"invalid_token\"}", Duration::ZERO).await;
    let (id, message) = script.message().await;
    assert_eq!(message, b"\x01");
    script.reply(id, Some("expired"), b"", Duration::ZERO).await;
    let error = refusal(opening).await;
    assert!(error.contains("expired") && error.contains("invalid_token"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_had_now_is_worth_another_attempt() {
    let sasl = Sasl::oauthbearer(|| async { Err::<OAuthToken, _>("the issuer is away") });
    let (opening, mut script) = begin(sasl).await;
    script.handshake("OAUTHBEARER", 0, &["OAUTHBEARER"]).await;
    let error = opening.await.unwrap().unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains("the issuer is away"), "{error}");
}

/// A connection whose session lasts so long.
async fn with_session(lifetime: Duration) -> (Connection, Script) {
    let (opening, mut script) = begin(plain()).await;
    script.log_in_plain(lifetime).await;
    (opening.await.unwrap().unwrap(), script)
}

#[tokio::test(start_paused = true)]
async fn trap_128_a_session_that_ends_is_renewed_between_two_requests() {
    // KIP-368. What is in flight is answered first, what comes meanwhile waits, and nothing stands between the messages.
    let (connection, mut script) = with_session(Duration::from_secs(10)).await;
    let in_flight = metadata(&connection, LIMIT);
    let first = script.request().await;
    tokio::time::advance(Duration::from_millis(9600)).await;
    let (held, waiting) = (metadata(&connection, LIMIT), metadata(&connection, LIMIT));
    script.answer(first.correlation_id, METADATA).await;
    in_flight.await.unwrap();
    script.log_in_plain(Duration::from_secs(10)).await;
    for pending in [held, waiting] {
        let request = script.request().await;
        assert_eq!(request.api_key, 3);
        script.answer(request.correlation_id, METADATA).await;
        pending.await.unwrap();
    }
    // And once more, but not before its time.
    tokio::time::advance(Duration::from_secs(8)).await;
    let pending = metadata(&connection, LIMIT);
    let request = script.request().await;
    assert_eq!(request.api_key, 3);
    script.answer(request.correlation_id, METADATA).await;
    pending.await.unwrap();
    tokio::time::advance(Duration::from_millis(1600)).await;
    let pending = metadata(&connection, LIMIT);
    script.log_in_plain(Duration::ZERO).await;
    let request = script.request().await;
    script.answer(request.correlation_id, METADATA).await;
    pending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_does_not_log_in_again_and_is_closed() {
    let (connection, mut script) = with_session(Duration::from_secs(10)).await;
    assert!(script.0.read_u8().await.is_err(), "nothing is sent, then the stream ends");
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_fails_later_ends_the_connection_and_the_request_was_not_sent() {
    let (connection, mut script) = with_session(Duration::from_secs(10)).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let held = metadata(&connection, LIMIT);
    script.handshake("PLAIN", 0, &["PLAIN"]).await;
    let (id, _) = script.message().await;
    script.reply(id, Some("the password was changed"), b"", Duration::ZERO).await;
    let failed = held.await.unwrap_err();
    assert_eq!(failed.written, Written::NotWritten);
    assert!(matches!(reason(&failed), CloseReason::NotAuthenticated(_)), "{failed:?}");
    assert!(failed.error.is_retriable(), "another connection tells whether the login is good");
    assert!(failed.error.to_string().contains("the password was changed"), "{}", failed.error);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_at_the_first_request_may_want_a_login() {
    // A SASL listener answers ApiVersions, and closes the connection of whoever does not log in then.
    let (connection, mut script) = open(ClientConfig::default()).await;
    let pending = metadata(&connection, LIMIT);
    script.request().await;
    drop(script);
    let failed = pending.await.unwrap_err();
    assert!(failed.error.to_string().contains("want a login"), "{}", failed.error);
}

#[test]
fn secrets_are_not_printed_and_empty_ones_are_refused() {
    let shown = format!("{:?} {:?}", Sasl::plain("app", "hunter2"), OAuthToken::new("hunter2"));
    assert!(shown.contains("app") && !shown.contains("hunter2"), "{shown}");
    for sasl in [Sasl::plain("", "x"), Sasl::scram_sha512("x", ""), Sasl::plain("a\0b", "x")] {
        sasl.check().unwrap_err();
    }
}
