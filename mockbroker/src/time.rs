//! An instant and its arithmetic. There is no clock here: time is handed in.

use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant, in milliseconds since 1970-01-01T00:00:00Z, as Kafka's records and protocol count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest instant there is: a deadline that never comes.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant `millis` milliseconds after 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant plus `millis` milliseconds, at most [`Timestamp::MAX`].
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This instant minus `length`.
    pub fn minus(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to this instant; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        self.plus_millis(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_past_the_end_of_time_stays_there() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(5).plus_millis(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn the_length_to_a_later_instant_is_zero() {
        assert_eq!(Timestamp::from_millis(5) - Timestamp::from_millis(9), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(9) - Timestamp::from_millis(5), Duration::from_millis(4));
    }
}
