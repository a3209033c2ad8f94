//! Waiting for a state, bounded in real time; what was waited for in vain is answered with the cluster's report.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::hub::Cluster;
use super::problem::{Kind, Outcome, Problem};
use crate::wait::search;

/// How long somebody waits who does not say how long, as in Rust.
const PATIENCE_MS: u64 = 10_000;
/// How long anybody may wait. Nobody should have to.
const MOST_PATIENCE_MS: u64 = 600_000;

/// How long to wait, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Patience(Option<u64>);

impl PartialSchema for Patience {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Integer, Type::Null]));
        let text = "How long, in milliseconds of real time. Default: 10000.";
        number.minimum(Some(0)).maximum(Some(600_000)).description(Some(text)).into()
    }
}

impl ToSchema for Patience {}

impl Patience {
    fn length(self) -> Outcome<Duration> {
        match self.0.unwrap_or(PATIENCE_MS) {
            millis @ 0..=MOST_PATIENCE_MS => Ok(Duration::from_millis(millis)),
            millis => Err(Problem::bad(format!("timeout_ms: {millis} is too long, {MOST_PATIENCE_MS} is the most"))),
        }
    }
}

impl Cluster {
    /// What `look` finds, as soon as it finds something.
    pub(super) async fn until<T>(&self, patience: Patience, what: &str, look: impl FnMut() -> Option<T>) -> Outcome<T> {
        self.wait(patience, what, search(self.broker.engine(), look)).await
    }

    /// What `wait` comes to, unless the time is over before, or the cluster is gone.
    pub(super) async fn wait<T>(&self, patience: Patience, what: &str, wait: impl Future<Output = T>) -> Outcome<T> {
        let length = patience.length()?;
        let mut is_gone = self.is_gone.subscribe();
        tokio::select! {
            biased;
            found = wait => Ok(found),
            _ = is_gone.wait_for(|is_gone| *is_gone) => {
                Err(Problem::not_found(format!("cluster {:?} was dropped while {what} was waited for", self.name)))
            }
            () = tokio::time::sleep(length) => {
                let detail = format!("waited {length:?} in vain: {what}");
                Err(Problem::new(Kind::Timeout, detail).with_report(self.broker.report()))
            }
        }
    }
}

/// Does what takes long on a thread where nobody waits for the CPU.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled, so it panicked: for the gatekeeper to catch.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
