//! How long to wait before trying again, and until when.
//!
//! Waits grow exponentially and carry jitter, as in Java's `ExponentialBackoff` (KIP-580). All time here is tokio's, so a
//! test with a paused clock controls it.

use std::time::Duration;

use tokio::time::Instant;

/// The rule by which waits grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub initial: Duration,
    /// No wait is longer than this, jitter apart.
    pub maximum: Duration,
}

impl Backoff {
    /// Java's `CommonClientConfigs.RETRY_BACKOFF_JITTER`: a wait is shortened or lengthened by up to a fifth.
    const JITTER: f64 = 0.2;

    /// The wait after `failures` failures in a row; none after none.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let doublings = (failures - 1).min(30);
        let grown = self.initial.saturating_mul(1 << doublings).min(self.maximum.max(self.initial));
        grown.mul_f64(1.0 - Self::JITTER + 2.0 * Self::JITTER * fastrand::f64())
    }
}

/// One thing that is tried until it succeeds or its time is up.
#[derive(Debug)]
pub(crate) struct Retry {
    backoff: Backoff,
    deadline: Instant,
    failures: u32,
}

impl Retry {
    pub(crate) fn until(deadline: Instant, backoff: Backoff) -> Self {
        Self { backoff, deadline, failures: 0 }
    }

    /// Waits before the next attempt. `false` when the deadline comes first: then nothing is waited for.
    pub(crate) async fn pause(&mut self) -> bool {
        self.failures += 1;
        let next = Instant::now() + self.backoff.wait(self.failures);
        if next >= self.deadline {
            return false;
        }
        tokio::time::sleep_until(next).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(100), maximum: Duration::from_secs(1) };

    #[test]
    fn waits_double_up_to_the_maximum_and_stay_within_the_jitter() {
        // KIP-580: initial * 2^(failures - 1), at most the maximum, times 0.8 to 1.2.
        for (failures, expected) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (40, 1000)] {
            for _ in 0..50 {
                let wait = BACKOFF.wait(failures).as_millis();
                assert!((expected * 8 / 10..=expected * 12 / 10).contains(&wait), "{failures}: {wait}");
            }
        }
        assert_eq!(BACKOFF.wait(0), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_attempts() {
        let mut retry = Retry::until(Instant::now() + Duration::from_secs(3), BACKOFF);
        let mut attempts = 1;
        while retry.pause().await {
            attempts += 1;
        }
        assert!((4..=8).contains(&attempts), "{attempts}");
    }
}
