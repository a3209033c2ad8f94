//! Who may ask. On loopback everybody on this machine, but no web page: neither one whose name was pointed at this address (DNS
//! rebinding) nor one of another origin. Anywhere else whoever has the token.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Kind, Problem};

/// What is asked of a request before it is looked at.
#[derive(Clone, Debug)]
pub(super) struct Gatekeeper {
    /// What has to follow `Bearer`, if anything has to.
    pub(super) token: Option<String>,
    /// Whether only this machine can reach the port.
    pub(super) is_loopback: bool,
}

impl Gatekeeper {
    fn admits(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.is_loopback {
            self.is_from_here(headers)?;
        }
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let given = given.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
        if given.is_some_and(|(_, given)| is_equal(given, token.as_bytes())) {
            return Ok(());
        }
        let detail = "send the header `authorization: Bearer TOKEN` with the token of --control-token, or with the one that \
                      mockbroker printed at its start";
        Err(Problem::new(Kind::Unauthorized, detail))
    }

    /// A page of another site is told apart by what it cannot forge: the name that the browser looked up, and the page's origin.
    fn is_from_here(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let Some(host) = host.filter(|host| is_local(host.host())) else {
            let detail = "the Host header names another host: ask for 127.0.0.1, [::1] or localhost";
            return Err(Problem::new(Kind::Forbidden, detail));
        };
        match headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default()) {
            None => Ok(()),
            Some(origin) if origin.strip_prefix("http://") == Some(host.as_str()) => Ok(()),
            Some(_) => {
                let detail = "the Origin header is that of another site: web pages may not control this broker";
                Err(Problem::new(Kind::Forbidden, detail))
            }
        }
    }
}

/// Whether a name or address can only be this machine.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

/// In a time that does not tell how much of it is right.
fn is_equal(given: &[u8], wanted: &[u8]) -> bool {
    given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Lets a request in, or refuses it. Whatever panics behind it is one answer, not the process.
pub(super) async fn guard(State(gatekeeper): State<Gatekeeper>, request: Request, next: Next) -> Response {
    if let Err(problem) = gatekeeper.admits(request.headers()) {
        return problem.into_response();
    }
    let mut answer = pin!(next.run(request));
    let caught =
        std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Some(answer)),
            Err(_) => Poll::Ready(None),
        });
    caught.await.unwrap_or_else(|| {
        Problem::new(Kind::Panic, "the request panicked, see stderr: please report it").into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &str)], gatekeeper: &Gatekeeper) -> bool {
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        gatekeeper.admits(&headers).is_ok()
    }

    #[test]
    fn a_loopback_address_listens_to_this_machine_and_to_no_page() {
        let gatekeeper = Gatekeeper { token: None, is_loopback: true };
        for host in ["127.0.0.1:9", "127.1.2.3", "[::1]:9", "localhost", "LOCALHOST:9"] {
            assert!(asked(&[("host", host)], &gatekeeper), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9",
            "127.0.0.1.evil.example",
            "10.0.0.1:9",
            "",
            "a b",
            "localhost@evil.example",
        ] {
            assert!(!asked(&[("host", host)], &gatekeeper), "{host}");
        }
        assert!(!asked(&[], &gatekeeper), "HTTP/1.1 has a host");
        assert!(asked(&[("host", "127.0.0.1:9"), ("origin", "http://127.0.0.1:9")], &gatekeeper));
        for origin in ["http://evil.example", "http://127.0.0.1:10", "https://127.0.0.1:9", "null", ""] {
            assert!(!asked(&[("host", "127.0.0.1:9"), ("origin", origin)], &gatekeeper), "{origin}");
        }
    }

    #[test]
    fn elsewhere_only_the_token_counts() {
        let gatekeeper = Gatekeeper { token: Some("secret".into()), is_loopback: false };
        assert!(asked(&[("host", "broker:9"), ("authorization", "Bearer secret")], &gatekeeper));
        assert!(asked(&[("authorization", "bearer secret")], &gatekeeper));
        for wrong in ["Bearer secre", "Bearer secret2", "Basic secret", "secret", "Bearer", "Bearer ", ""] {
            assert!(!asked(&[("authorization", wrong)], &gatekeeper), "{wrong:?}");
        }
        assert!(!asked(&[], &gatekeeper));
    }
}
