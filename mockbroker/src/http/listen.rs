//! The port of the control address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;

use super::extract::MOST_BODY_BYTES;
use super::gatekeeper::{Gatekeeper, guard};
use super::hub::Hub;
use super::routes;
use crate::error::StartError;

/// A port that is ours, before anybody is answered.
#[derive(Debug)]
pub(crate) struct Control {
    listener: TcpListener,
    address: SocketAddr,
    gatekeeper: Gatekeeper,
    /// The token, if it was made here and nobody knows it yet.
    made_token: Option<String>,
}

impl Control {
    /// Listens on `address`; port 0 takes a free one. With a token, whoever asks has to send it; beyond loopback there always is
    /// one, which is made here if none is given.
    ///
    /// # Errors
    ///
    /// The address is taken or not ours, the token is none that a header can carry, or there is no randomness to make one.
    pub(crate) async fn bind(address: SocketAddr, token: Option<String>) -> Result<Self, StartError> {
        let is_loopback = address.ip().is_loopback();
        let is_fine = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !token.as_ref().is_none_or(is_fine) {
            return Err(StartError::Setting("a token has letters, digits and signs of ASCII, no spaces".into()));
        }
        let made_token = if is_loopback || token.is_some() { None } else { Some(new_token()?) };
        let token = token.or_else(|| made_token.clone());
        let failed = |source| StartError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, gatekeeper: Gatekeeper { token, is_loopback }, made_token })
    }

    /// What to ask: `http://host:port`. Of an address that stands for all of this machine's, the loopback one.
    pub(crate) fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// The token that was made here, for whoever is to ask.
    pub(crate) fn made_token(&self) -> Option<&str> {
        self.made_token.as_deref()
    }

    /// Answers until the future is dropped.
    pub(crate) async fn serve(self, hub: Arc<Hub>) {
        let outcome = axum::serve(self.listener, app(hub, self.gatekeeper)).await;
        tracing::error!(?outcome, "the control address ended");
    }
}

/// 128 bits that nobody guesses.
fn new_token() -> Result<String, StartError> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes);
    filled
        .map_err(|error| StartError::Setting(format!("cannot make a token: {error}; give one with --control-token")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn app(hub: Arc<Hub>, gatekeeper: Gatekeeper) -> Router {
    let (router, _) = routes::router().split_for_parts();
    router
        .fallback(routes::nothing_here)
        .method_not_allowed_fallback(routes::not_with_this)
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .layer(from_fn_with_state(gatekeeper, guard))
        .with_state(hub)
}
