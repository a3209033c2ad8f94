//! When a connection has to log in again (KIP-368), and the login while it runs.
//!
//! A broker ends the connection of a session that is over at the next request. Nothing but the login may be sent while one
//! runs, so the task takes no other request meanwhile; what is in flight is answered before it. An idle connection does not
//! log in again: that is done when the next request comes, as in Java's `NetworkClient`.

use std::{
    fmt,
    future::pending,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::mpsc, time::Instant};

use super::{Line, task::Command};
use crate::error::{CloseReason, Error, Result};

/// Logs in by requests on a line, and tells for how long.
pub(super) type LogIn = Arc<dyn Fn(Line) -> BoxFuture<'static, Result<Option<Duration>>> + Send + Sync>;

/// A login that does not last for ever.
pub(crate) struct Session {
    log_in: LogIn,
    due: Instant,
    running: Option<Running>,
}

struct Running {
    outcome: BoxFuture<'static, Result<Option<Duration>>>,
    requests: mpsc::UnboundedReceiver<Command>,
}

/// What happens in a login.
pub(super) enum Progress {
    /// It wants this sent.
    Send(Command),
    /// It is over. There may be no next one.
    Over(Result<Option<Duration>>),
}

impl Session {
    #[cfg_attr(not(feature = "sasl"), expect(dead_code, reason = "there are no logins"))]
    pub(super) fn new(log_in: LogIn, lifetime: Duration) -> Self {
        Self { log_in, due: due(lifetime), running: None }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(super) fn is_due(&self) -> bool {
        !self.is_running() && self.due <= Instant::now()
    }

    pub(super) fn begin(&mut self, address: &Arc<str>, ended: &Arc<OnceLock<CloseReason>>) {
        let (commands, requests) = mpsc::unbounded_channel();
        let line = Line { address: Arc::clone(address), commands, ended: Arc::clone(ended) };
        self.running = Some(Running { outcome: (self.log_in)(line), requests });
    }

    /// Waits for the next step of the login that runs, for ever if none does. Cancel safe.
    pub(super) async fn progress(session: &mut Option<Self>) -> Progress {
        let Some(running) = session.as_mut().and_then(|session| session.running.as_mut()) else {
            return pending().await;
        };
        // The line lives in the future: when that is over there is nothing more to be sent.
        tokio::select! {
            biased;
            Some(request) = running.requests.recv() => Progress::Send(request),
            outcome = &mut running.outcome => Progress::Over(outcome),
        }
    }

    /// The login succeeded and is good for so long.
    pub(super) fn renew(&mut self, lifetime: Duration) {
        (self.running, self.due) = (None, due(lifetime));
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("due", &self.due).finish_non_exhaustive()
    }
}

/// Between 85 and 95 of a hundred parts, as `SaslClientAuthenticator.ReauthInfo`: early enough for the way there, and not all
/// connections at once.
fn due(lifetime: Duration) -> Instant {
    Instant::now() + lifetime.mul_f64(0.85 + 0.10 * fastrand::f64())
}

/// Why a connection ends on which a login failed.
pub(super) fn ended(error: Error) -> CloseReason {
    CloseReason::NotAuthenticated(Arc::new(error))
}
