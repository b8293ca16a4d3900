//! Averages that forget with time: a value counts less the older it is. Reading never changes them, so a chart or
//! a second reader moves no decision.

use crate::base::math;
use crate::base::time::{Duration, Instant};

/// An exponentially weighted moving average over time. After `dt` the old average keeps the weight
/// `exp(-dt / tau)` and the new value gets the rest.
///
/// Values at one and the same instant therefore change nothing after the first: no time has passed. Who needs all
/// of them feeds their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma {
    tau: Duration,
    state: Option<(Instant, f64)>,
}

impl Ewma {
    /// An empty average with this time constant. Zero forgets at once: the average is the last value.
    pub const fn new(tau: Duration) -> Self {
        Ewma { tau, state: None }
    }

    /// Takes a value in. The first one is the average as it stands.
    pub fn observe(&mut self, now: Instant, value: f64) {
        debug_assert!(value.is_finite(), "an average of {value}");
        self.state = Some(match self.state {
            None => (now, value),
            Some((at, average)) => {
                let keep = decay(now.since(at), self.tau);
                // An event that reports late must not turn the average's clock back.
                (now.max(at), average * keep + value * (1.0 - keep))
            }
        });
    }

    /// Makes `value` the average, whatever it was: how a peak is taken over at once.
    pub fn set(&mut self, now: Instant, value: f64) {
        debug_assert!(value.is_finite(), "an average of {value}");
        self.state = Some((now, value));
    }

    /// The average as of the last value; `None` before the first. It does not age by itself.
    pub fn value(&self) -> Option<f64> {
        self.state.map(|(_, average)| average)
    }

    /// The average as it fades towards zero while nothing is heard; `None` before the first value.
    pub fn faded(&self, now: Instant) -> Option<f64> {
        self.state.map(|(at, average)| average * decay(now.since(at), self.tau))
    }

    /// When the last value came.
    pub fn updated_at(&self) -> Option<Instant> {
        self.state.map(|(at, _)| at)
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.state = None;
    }
}

/// What remains of a weight after `dt`: `exp(-dt / tau)`. For a `tau` of zero nothing remains of the past.
pub fn decay(dt: Duration, tau: Duration) -> f64 {
    if tau.is_zero() {
        return 0.0;
    }
    math::exp(-(dt.as_nanos() as f64) / tau.as_nanos() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAU: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn weights_follow_time() {
        let mut ewma = Ewma::new(TAU);
        assert_eq!((ewma.value(), ewma.faded(at(5)), ewma.updated_at()), (None, None, None));
        ewma.observe(at(0), 10.0);
        assert_eq!(ewma.value(), Some(10.0));
        ewma.observe(at(100), 20.0);
        let e = math::exp(-1.0);
        assert_eq!(ewma.value(), Some(10.0 * e + 20.0 * (1.0 - e)));
        ewma.observe(at(100), 1e9);
        assert_eq!(ewma.value(), Some(10.0 * e + 20.0 * (1.0 - e)), "no time has passed");
        ewma.observe(at(50), 1e9);
        assert_eq!(ewma.updated_at(), Some(at(100)), "a late report does not turn the clock back");
        ewma.set(at(120), 3.0);
        assert_eq!((ewma.value(), ewma.updated_at()), (Some(3.0), Some(at(120))));
        ewma.reset();
        assert_eq!(ewma, Ewma::new(TAU));
    }

    #[test]
    fn reading_changes_nothing() {
        let mut read = Ewma::new(TAU);
        let mut unread = read;
        for ms in [0, 7, 30, 31, 500] {
            read.observe(at(ms), ms as f64);
            unread.observe(at(ms), ms as f64);
            for later in 0..20 {
                assert!(read.faded(at(ms + later)) <= read.value());
            }
        }
        assert_eq!(read, unread);
        assert_eq!(read.faded(at(600)), read.value().map(|value| value * math::exp(-1.0)));
    }

    #[test]
    fn without_a_past_the_last_value_stands() {
        let mut ewma = Ewma::new(Duration::ZERO);
        ewma.observe(at(0), 1.0);
        ewma.observe(at(0), 2.0);
        assert_eq!(ewma.value(), Some(2.0));
    }
}
