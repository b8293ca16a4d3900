//! Processor sharing: everybody inside is served at once, each at an even share of the workers.
//!
//! The classic trick: a virtual clock runs at the speed at which one call is served, so a call is done when that
//! clock has advanced by what the call needs, and one ordered list of such moments is enough however often the
//! speed changes. The clock counts whole units of 2^-20 ns, so that nothing is summed in floating point.

use super::server::Job;
use crate::base::time::{Duration, Instant};

/// A shared set of workers.
#[derive(Debug)]
pub(super) struct Sharing {
    workers: u32,
    slow: f64,
    frozen: bool,
    /// Reading of the virtual clock at `at`, in units.
    clock: u128,
    at: Instant,
    /// Everybody inside, the soonest done last.
    inside: Vec<Inside>,
}

#[derive(Debug, Clone, Copy)]
struct Inside {
    done: u128,
    need: u64,
    joined: u128,
    job: Job,
}

const UNITS: u32 = 20;

impl Sharing {
    pub(super) fn new(workers: u32) -> Sharing {
        Sharing { workers, slow: 1.0, frozen: false, clock: 0, at: Instant::ZERO, inside: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.inside.len()
    }

    /// Lets the virtual clock run up to now.
    fn advance(&mut self, now: Instant) {
        self.clock = self.clock_at(now);
        self.at = now;
    }

    /// What the virtual clock will read, if nothing changes until then.
    fn clock_at(&self, now: Instant) -> u128 {
        let passed = (now - self.at).as_nanos();
        if self.inside.is_empty() || self.frozen || passed == 0 {
            return self.clock;
        }
        let n = self.inside.len() as u128;
        let units = u128::from(passed) << UNITS;
        let shared = if n <= u128::from(self.workers) { units } else { units * u128::from(self.workers) / n };
        self.clock + if self.slow == 1.0 { shared } else { (shared as f64 / self.slow) as u128 }
    }

    pub(super) fn join(&mut self, now: Instant, job: Job, need: u64) {
        self.advance(now);
        let done = self.clock + (u128::from(need) << UNITS);
        let at = self.inside.partition_point(|other| (other.done, other.job.job) > (done, job.job));
        self.inside.insert(at, Inside { done, need, joined: self.clock, job });
    }

    pub(super) fn next_done(&self) -> Instant {
        let Some(next) = self.inside.last() else { return Instant::NEVER };
        let left = next.done.saturating_sub(self.clock);
        let n = self.inside.len() as u128;
        let shared = if n <= u128::from(self.workers) { left } else { (left * n).div_ceil(u128::from(self.workers)) };
        let slowed = if self.slow == 1.0 { shared } else { (shared as f64 * self.slow).ceil() as u128 };
        self.at + Duration::from_nanos((slowed.div_ceil(1 << UNITS) as u64).min(1 << 61))
    }

    /// The soonest leaves: at the instant of `next_done` it is done by definition, whatever rounding says.
    pub(super) fn finish(&mut self, now: Instant) -> (Job, Duration) {
        self.advance(now);
        let next = self.inside.pop().expect("a call is done only where one is in service");
        self.clock = self.clock.max(next.done);
        (next.job, Duration::from_nanos(next.need))
    }

    /// One leaves before its time. Hands out the work it got.
    pub(super) fn remove(&mut self, now: Instant, job: u32) -> Option<Duration> {
        self.advance(now);
        let at = self.inside.iter().position(|inside| inside.job.job == job)?;
        let inside = self.inside.remove(at);
        Some(self.got(&inside))
    }

    fn got(&self, inside: &Inside) -> Duration {
        let got = ((self.clock - inside.joined) >> UNITS) as u64;
        Duration::from_nanos(got.min(inside.need))
    }

    /// Time of workers that everybody inside still takes, at the speed of now.
    pub(super) fn work_left(&self, now: Instant) -> Duration {
        let clock = self.clock_at(now);
        let left = |inside: &Inside| (inside.done.saturating_sub(clock) >> UNITS) as u64;
        let sum = self.inside.iter().map(left).fold(0, u64::saturating_add);
        Duration::from_nanos(sum).scale(self.slow)
    }

    pub(super) fn lose_all(&mut self, now: Instant) -> Vec<(u32, Duration)> {
        self.advance(now);
        let lost = self.inside.iter().map(|inside| (inside.job.job, self.got(inside))).collect();
        self.inside.clear();
        lost
    }

    pub(super) fn set_slow(&mut self, now: Instant, factor: f64) {
        self.advance(now);
        self.slow = factor;
    }

    pub(super) fn set_workers(&mut self, now: Instant, workers: u32) {
        self.advance(now);
        self.workers = workers;
    }

    pub(super) fn set_frozen(&mut self, now: Instant, frozen: bool) {
        self.advance(now);
        self.frozen = frozen;
    }
}
