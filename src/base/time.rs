//! Virtual time: whole nanoseconds since the run began. Only a world makes an [`Instant`]; everyone else
//! is handed one.

use std::ops::{Add, AddAssign, Sub};

/// A point in time: nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

/// A stretch of time in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Instant {
    /// The beginning of the run.
    pub const ZERO: Instant = Instant(0);
    /// Later than anything that happens.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// From nanoseconds since the run began.
    pub const fn from_nanos(ns: u64) -> Self {
        Instant(ns)
    }

    /// Nanoseconds since the run began.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Duration = Duration(0);
    /// The longest, about 584 years.
    pub const MAX: Duration = Duration(u64::MAX);

    /// From nanoseconds.
    pub const fn from_nanos(ns: u64) -> Self {
        Duration(ns)
    }

    /// From microseconds.
    pub const fn from_micros(us: u64) -> Self {
        Duration(us * 1_000)
    }

    /// From milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Duration(ms * 1_000_000)
    }

    /// From seconds.
    pub const fn from_secs(s: u64) -> Self {
        Duration(s * 1_000_000_000)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds, rounded to the nearest double.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Milliseconds, rounded to the nearest double.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// True for zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self * factor`, rounded to the nearest nanosecond, ties to even; [`Duration::MAX`] where it does not fit.
    /// `factor` must be finite and not negative.
    pub fn scale(self, factor: f64) -> Duration {
        debug_assert!(factor.is_finite() && factor >= 0.0, "a duration is scaled by {factor}");
        let ns = self.0 as f64 * factor;
        if ns < 18e18 { Duration(crate::base::math::round_to_u64(ns)) } else { Duration::MAX }
    }

    /// The sum, or [`Duration::MAX`].
    pub const fn saturating_add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }

    /// The difference, or zero.
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }

    /// `self * n`, or [`Duration::MAX`].
    pub const fn saturating_mul(self, n: u64) -> Duration {
        Duration(self.0.saturating_mul(n))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    /// When virtual time runs over, after 584 years: a plan is refused long before.
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.checked_add(duration.0).expect("virtual time runs over"))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    /// # Panics
    /// When `earlier` is later: time never runs backwards.
    fn sub(self, earlier: Instant) -> Duration {
        Duration(self.0.checked_sub(earlier.0).expect("time ran backwards"))
    }
}

impl Add for Duration {
    type Output = Duration;

    /// # Panics
    /// When the sum does not fit in 64 bits.
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.checked_add(other.0).expect("a duration runs over"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_exact() {
        let at = Instant::from_nanos(5) + Duration::from_micros(1);
        assert_eq!(at.as_nanos(), 1_005);
        assert_eq!(at - Instant::from_nanos(5), Duration::from_micros(1));
        assert_eq!(Instant::ZERO.since(at), Duration::ZERO);
        assert_eq!(Duration::from_nanos(5).scale(0.5), Duration::from_nanos(2), "ties go to even");
        assert_eq!(Duration::MAX.scale(2.0), Duration::MAX);
    }

    #[test]
    #[should_panic(expected = "time ran backwards")]
    fn time_never_runs_backwards() {
        let _ = Instant::ZERO - Instant::from_nanos(1);
    }
}
