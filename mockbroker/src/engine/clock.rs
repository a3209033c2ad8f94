//! The broker's clock: real, or moved only by hand. The one place of the crate that reads the time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::time::Timestamp;

/// Which time a broker lives by. Every timer and long poll of the broker is on it.
///
/// The default is [`Clock::real`].
#[derive(Clone, Debug, Default)]
pub struct Clock(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Real,
    RealAt(Timestamp),
    Manual {
        start: Option<Timestamp>,
    },
}

impl Clock {
    /// Time passes by itself. It is monotonic: a step of the machine's wall clock is not seen. (On a tokio runtime whose
    /// clock is paused it stands still with that clock.)
    pub fn real() -> Self {
        Self(Kind::Real)
    }

    /// As [`Clock::real`], beginning at `start`. On a runtime whose clock is paused every run has the same times.
    pub fn real_at(start: Timestamp) -> Self {
        Self(Kind::RealAt(start))
    }

    /// Time stands still until [`MockBroker::advance`](crate::MockBroker::advance) moves it. It begins at the present.
    pub fn manual() -> Self {
        Self(Kind::Manual { start: None })
    }

    /// As [`Clock::manual`], beginning at `start`. Mind that brokers refuse records whose timestamp is over an hour ahead
    /// of their own clock (`message.timestamp.after.max.ms`).
    pub fn manual_at(start: Timestamp) -> Self {
        Self(Kind::Manual { start: Some(start) })
    }
}

impl Clock {
    /// The same clock, beginning at `start`.
    pub(crate) fn beginning_at(self, start: Timestamp) -> Self {
        match self.0 {
            Kind::Real | Kind::RealAt(_) => Self::real_at(start),
            Kind::Manual { .. } => Self::manual_at(start),
        }
    }
}

/// A clock that runs.
#[derive(Debug)]
pub(crate) enum Running {
    /// The wall time at the start, in full precision since 1970, and what has passed since by the monotonic clock.
    Real { started: Instant, wall: Duration },
    /// The present, and who waits for it to move.
    Manual(watch::Sender<Timestamp>),
}

impl Running {
    /// Starts `clock`.
    pub(crate) fn start(clock: &Clock) -> Self {
        match clock.0 {
            Kind::Real => Self::Real { started: monotonic_now(), wall: since_1970() },
            Kind::RealAt(start) => Self::Real { started: monotonic_now(), wall: start.since(Timestamp::default()) },
            Kind::Manual { start } => {
                Self::Manual(watch::Sender::new(start.unwrap_or_else(|| Timestamp::default() + since_1970())))
            }
        }
    }

    /// The present.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Real { started, wall } => Timestamp::default() + (*wall + monotonic_now().duration_since(*started)),
            Self::Manual(now) => *now.borrow(),
        }
    }

    /// Waits until `deadline`.
    pub(crate) async fn sleep_until(&self, deadline: Timestamp) {
        match self {
            Self::Real { .. } => match self.instant_of(deadline) {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            },
            Self::Manual(now) => {
                let reached = now.subscribe().wait_for(|now| *now >= deadline).await.is_ok();
                assert!(reached, "the clock is borrowed, so it cannot be gone");
            }
        }
    }

    /// When `deadline` comes on the runtime's clock; `None` if it comes only by hand.
    pub(crate) fn instant_of(&self, deadline: Timestamp) -> Option<Instant> {
        match self {
            Self::Real { started, wall } => {
                started.checked_add(deadline.since(Timestamp::default()).saturating_sub(*wall))
            }
            Self::Manual(_) => None,
        }
    }

    /// Moves a manual clock to `instant`, never back. A real clock is left alone.
    pub(crate) fn move_to(&self, instant: Timestamp) {
        if let Self::Manual(now) = self {
            now.send_if_modified(|now| {
                let moves = instant > *now;
                *now = instant.max(*now);
                moves
            });
        }
    }

    /// Whether the time is moved by hand.
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self, Self::Manual(_))
    }
}

fn monotonic_now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the clock is where the time is read")]
fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_forward_and_only_by_hand() {
        let clock = Running::start(&Clock::manual_at(Timestamp::from_millis(1000)));
        assert_eq!(clock.now(), Timestamp::from_millis(1000));
        clock.move_to(Timestamp::from_millis(5000));
        clock.move_to(Timestamp::from_millis(2000));
        assert_eq!(clock.now(), Timestamp::from_millis(5000));
        assert!(clock.instant_of(Timestamp::MAX).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_real_clock_goes_with_the_runtimes() {
        let clock = Running::start(&Clock::real());
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(45)).await;
        assert_eq!(clock.now() - before, Duration::from_secs(45));
    }
}
