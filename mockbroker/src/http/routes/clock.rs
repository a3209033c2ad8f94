//! The time of a cluster.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Arc, Hub, Knows};
use crate::broker::MockBroker;
use crate::engine::clock::Clock;
use crate::http::extract::{At, Body, InCluster};
use crate::http::problem::{Outcome, Problem, Refusals, WaitRefusals};
use crate::http::wait::Patience;
use crate::time::Timestamp;

/// Ten years, in which everything has fallen due: what a broker does every few minutes it does so often.
const MOST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

pub(super) fn router() -> OpenApiRouter<Arc<Hub>> {
    OpenApiRouter::new().routes(routes!(clock)).routes(routes!(advance))
}

/// A clock to be.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewClock {
    /// Whether time passes by itself or is moved by hand.
    kind: ClockKind,
    /// When it begins, in milliseconds since 1970. Default: now. Mind that brokers refuse records whose timestamp is over an
    /// hour ahead of their own clock (`message.timestamp.after.max.ms`).
    #[schema(minimum = 0)]
    start_ms: Option<i64>,
}

/// By which time a cluster lives.
#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClockKind {
    /// Time passes by itself.
    #[default]
    Real,
    /// It stands still until it is advanced.
    Manual,
}

/// The time of a cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct ClockState {
    /// Whether time passes by itself or is moved by hand.
    kind: ClockKind,
    /// When it is, in milliseconds since 1970.
    now_ms: i64,
}

/// How far to move the time.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Advance {
    /// So many milliseconds, at most ten years.
    #[schema(maximum = 315_360_000_000_u64)]
    by_ms: u64,
    /// How long to wait until all that fell due is with its clients.
    #[serde(default)]
    timeout_ms: Patience,
}

impl NewClock {
    pub(super) fn clock(&self) -> Outcome<Clock> {
        let start = self.start_ms.map(|millis| match millis {
            0..=253_402_300_799_999 => Ok(Timestamp::from_millis(millis)),
            _ => Err(Problem::bad("clock.start_ms: give a time from 1970 to 9999")),
        });
        Ok(match (self.kind, start.transpose()?) {
            (ClockKind::Real, None) => Clock::real(),
            (ClockKind::Real, Some(start)) => Clock::real_at(start),
            (ClockKind::Manual, None) => Clock::manual(),
            (ClockKind::Manual, Some(start)) => Clock::manual_at(start),
        })
    }
}

impl ClockState {
    pub(super) fn of(broker: &MockBroker) -> Self {
        let engine = broker.engine();
        let kind = if engine.is_manual() { ClockKind::Manual } else { ClockKind::Real };
        Self { kind, now_ms: engine.now().as_millis() }
    }
}

/// What time it is.
#[utoipa::path(get, path = "/clusters/{cluster}/clock", tag = "clusters", params(InCluster),
    responses((status = 200, body = ClockState), Refusals))]
async fn clock(State(hub): Knows, At(at): At<InCluster>) -> Outcome<Json<ClockState>> {
    Ok(Json(ClockState::of(&hub.cluster(&at.cluster)?.broker)))
}

/// Moves the time of a cluster with a manual clock, and does all that falls due on the way in its order: sessions end, long polls
/// end, retention deletes. It answers when all of that is with its clients and no request comes any more; after 408 time stands where
/// what fell due is not with its client yet.
#[utoipa::path(post, path = "/clusters/{cluster}/clock/advance", tag = "clusters", params(InCluster), request_body = Advance,
    responses((status = 200, body = ClockState), WaitRefusals))]
async fn advance(State(hub): Knows, At(at): At<InCluster>, Body(to): Body<Advance>) -> Outcome<Json<ClockState>> {
    let cluster = hub.cluster(&at.cluster)?;
    if !cluster.broker.engine().is_manual() {
        let detail = "this cluster lives by the real clock, which nobody moves: create it with \"clock\": {\"kind\": \"manual\"}";
        return Err(Problem::conflict(detail));
    }
    if to.by_ms > MOST_MS {
        return Err(Problem::bad(format!("by_ms: {} is more than ten years, {MOST_MS}", to.by_ms)));
    }
    let length = Duration::from_millis(to.by_ms);
    let what = format!("what falls due within {length:?} to be with its clients");
    cluster.wait(to.timeout_ms, &what, cluster.broker.engine().advance_quietly(length)).await?;
    Ok(Json(ClockState::of(&cluster.broker)))
}
