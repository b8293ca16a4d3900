//! The rate of an open workload over time, and the next arrival under it.
//!
//! Every shape is a rate that is constant for a stretch; the next arrival is where the integral of the rate has
//! grown by one exponential draw (inversion of a non-homogeneous Poisson process, Law, *Simulation Modeling*,
//! §8.6). Shapes that change all the time are cut into short stretches.

use super::spec::Arrivals;
use crate::base::math;
use crate::base::rand::{Bits, Rand};
use crate::base::time::{Duration, Instant};

/// A shape of the rate, in calls per nanosecond.
#[derive(Debug, Clone)]
enum Shape {
    Flat,
    Ramp { from: u64, over: u64, to: f64 },
    Daily { swing: f64, period: u64 },
    Steps(Vec<(u64, f64)>),
}

/// How gaps are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    Poisson,
    Constant,
    Bursts { size: u32, gap: u64 },
}

/// Instants of arrival, one after the other.
#[derive(Debug)]
pub struct Clock {
    shape: Shape,
    spacing: Spacing,
    /// Calls per nanosecond without surge.
    base: f64,
    surge: f64,
    /// Nanoseconds from call to call at a flat rate, surge included.
    gap: f64,
    /// Calls of the present burst that are still to come.
    burst_left: u32,
    at: Instant,
    draws: Exponentials,
}

/// Exponential draws of mean 1, made a block at a time: in a loop of their own the logarithms overlap, where one by
/// one each would be waited for. They belong to nothing but arrivals, so making them early changes nothing.
#[derive(Debug)]
struct Exponentials {
    rand: Rand,
    block: Box<[f64; 64]>,
    used: usize,
}

impl Exponentials {
    fn new(rand: Rand) -> Exponentials {
        Exponentials { rand, block: Box::new([0.0; 64]), used: 64 }
    }

    #[inline(always)]
    fn next(&mut self) -> f64 {
        if self.used == self.block.len() {
            self.refill();
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    #[cold]
    #[inline(never)]
    fn refill(&mut self) {
        for draw in self.block.iter_mut() {
            *draw = math::minus_ln(self.rand.unit());
        }
        self.used = 0;
    }
}

impl Clock {
    /// Arrivals at a mean rate of `per_second`; `duration` is what a ramp without an end runs to.
    pub fn new(arrivals: &Arrivals, per_second: f64, duration: Duration, rand: Rand) -> Clock {
        let shape = match arrivals {
            Arrivals::Poisson(_) | Arrivals::Constant(_) | Arrivals::Bursts(_) => Shape::Flat,
            Arrivals::Ramp(ramp) => Shape::Ramp {
                from: ramp.from.as_nanos(),
                over: ramp.over.unwrap_or(duration.saturating_sub(ramp.from)).as_nanos().max(1),
                to: ramp.to.value() / 1e9,
            },
            Arrivals::Daily(daily) => {
                Shape::Daily { swing: daily.swing.value(), period: daily.period.as_nanos().max(1) }
            }
            Arrivals::Steps(steps) => {
                Shape::Steps(steps.at.iter().map(|(at, rate)| (at.as_nanos(), rate.value() / 1e9)).collect())
            }
        };
        let spacing = match arrivals {
            Arrivals::Constant(_) => Spacing::Constant,
            Arrivals::Bursts(bursts) => Spacing::Bursts { size: bursts.size.max(1), gap: bursts.gap.as_nanos() },
            _ => Spacing::Poisson,
        };
        Clock {
            shape,
            spacing,
            base: per_second / 1e9,
            surge: 1.0,
            gap: 1e9 / per_second,
            burst_left: 0,
            at: Instant::ZERO,
            draws: Exponentials::new(rand),
        }
    }

    /// The next arrival; [`Instant::NEVER`] if the rate is zero for good.
    #[inline(always)]
    pub fn next_arrival(&mut self) -> Instant {
        let need = match self.spacing {
            Spacing::Poisson => self.draws.next(),
            Spacing::Constant => 1.0,
            Spacing::Bursts { gap, .. } if self.burst_left > 0 => {
                self.burst_left -= 1;
                self.at += Duration::from_nanos(gap);
                return self.at;
            }
            Spacing::Bursts { size, .. } => {
                self.burst_left = size - 1;
                self.draws.next() * f64::from(size)
            }
        };
        // A surge that has moved the pending arrival has moved `at` with it, so the integral starts there.
        self.at = match self.shape {
            Shape::Flat if self.gap < 4e18 => self.at + Duration::from_nanos(math::round_to_u64(need * self.gap)),
            _ => self.after(self.at, need),
        };
        self.at
    }

    /// Where the integral of the rate from `at` has grown by `need`.
    fn after(&self, mut at: Instant, mut need: f64) -> Instant {
        loop {
            let (rate, until) = self.rate_at(at);
            let stretch = until.since(at).as_nanos();
            if rate > 0.0 {
                let gap = need / rate;
                if gap <= stretch as f64 || until == Instant::NEVER {
                    return if gap < 4e18 {
                        at + Duration::from_nanos(math::round_to_u64(gap))
                    } else {
                        Instant::NEVER
                    };
                }
                need -= rate * stretch as f64;
            } else if until == Instant::NEVER {
                return Instant::NEVER;
            }
            at = until;
        }
    }

    /// The rate in calls per nanosecond, and until when it stays so.
    #[inline]
    fn rate_at(&self, at: Instant) -> (f64, Instant) {
        let now = at.as_nanos();
        let (rate, until) = match &self.shape {
            Shape::Flat => (self.base, u64::MAX),
            Shape::Ramp { from, .. } if now < *from => (self.base, *from),
            Shape::Ramp { from, over, to } if now - from < *over => {
                let piece = (now - from) / (over / PIECES).max(1);
                let end = from + (piece + 1) * (over / PIECES).max(1);
                let middle = ((end - from) as f64 - 0.5 * (over / PIECES).max(1) as f64) / *over as f64;
                (self.base + (to - self.base) * middle.min(1.0), end.min(from + over).max(now + 1))
            }
            Shape::Ramp { to, .. } => (*to, u64::MAX),
            Shape::Daily { swing, period } => {
                let piece = (period / PIECES).max(1);
                let number = now / piece;
                let phase = (number as f64 + 0.5) * piece as f64 / *period as f64;
                (self.base * (1.0 + swing * math::sin_turns(phase)), (number + 1) * piece)
            }
            Shape::Steps(steps) => {
                let after = steps.partition_point(|(at, _)| *at <= now);
                let rate = if after == 0 { self.base } else { steps[after - 1].1 };
                (rate, steps.get(after).map_or(u64::MAX, |(at, _)| *at))
            }
        };
        (rate * self.surge, Instant::from_nanos(until))
    }

    /// The rate is multiplied by `factor` from `now` on. What was left of the gap to the pending arrival is left
    /// in the same measure. Hands out the pending arrival's new instant.
    pub fn set_surge(&mut self, now: Instant, factor: f64) -> Instant {
        let ratio = self.surge / factor;
        self.surge = factor;
        self.gap = 1.0 / (self.base * factor);
        if self.at != Instant::NEVER && self.at > now {
            self.at = now + (self.at - now).scale(ratio);
        }
        self.at
    }
}

/// Stretches into which a ramp or a day is cut.
const PIECES: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::quantity::{Rate, Ratio};
    use crate::base::rand::Seed;
    use crate::workload::spec::{Bursts, Daily, Plain, Ramp, Steps};

    fn clock(arrivals: Arrivals, per_second: f64) -> Clock {
        Clock::new(&arrivals, per_second, Duration::from_secs(100), Seed::new(1).stream("arrivals"))
    }

    /// Arrivals in each of ten stretches of ten seconds.
    fn per_ten_seconds(mut clock: Clock) -> Vec<u64> {
        let mut counts = vec![0; 10];
        loop {
            let slot = (clock.next_arrival().as_nanos() / 10_000_000_000) as usize;
            match counts.get_mut(slot) {
                Some(count) => *count += 1,
                None => return counts,
            }
        }
    }

    #[test]
    fn constant_arrivals_are_equally_spaced() {
        let mut clock = clock(Arrivals::Constant(Plain {}), 4.0);
        let at: Vec<u64> = (0..3).map(|_| clock.next_arrival().as_nanos()).collect();
        assert_eq!(at, [250_000_000, 500_000_000, 750_000_000]);
    }

    #[test]
    fn bursts_come_together_at_the_same_mean_rate() {
        let mut bursts = clock(Arrivals::Bursts(Bursts { size: 5, gap: Duration::ZERO }), 100.0);
        let at: Vec<Instant> = (0..10).map(|_| bursts.next_arrival()).collect();
        assert!(at[..5].iter().all(|x| *x == at[0]) && at[5..].iter().all(|x| *x == at[5]) && at[0] < at[5]);
        let total: u64 =
            per_ten_seconds(clock(Arrivals::Bursts(Bursts { size: 5, gap: Duration::ZERO }), 100.0)).iter().sum();
        assert!((9_500..10_500).contains(&total), "{total} calls in 100 s at 100/s");
    }

    #[test]
    fn shapes_follow_their_rate() {
        let rate = |text: &str| text.parse::<Rate>().unwrap();
        let ramp = Ramp { to: rate("1k/s"), from: Duration::ZERO, over: None };
        for (slot, count) in per_ten_seconds(clock(Arrivals::Ramp(ramp), 0.0)).into_iter().enumerate() {
            let expected = 10.0 * (100.0 * slot as f64 + 50.0);
            assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt(), "slot {slot}: {count} for {expected}");
        }
        let steps = Steps { at: vec![(Duration::from_secs(50), rate("300/s"))] };
        let counts = per_ten_seconds(clock(Arrivals::Steps(steps), 100.0));
        assert!((850..1150).contains(&counts[4]) && (2_700..3_300).contains(&counts[5]), "{counts:?}");
        let daily = Daily { swing: "50%".parse::<Ratio>().unwrap(), period: Duration::from_secs(100) };
        let counts = per_ten_seconds(clock(Arrivals::Daily(daily), 100.0));
        assert!(counts[2] > 1_350 && counts[7] < 650, "{counts:?}");
    }

    #[test]
    fn a_surge_scales_the_pending_gap() {
        let mut clock = clock(Arrivals::Constant(Plain {}), 1.0);
        assert_eq!(clock.next_arrival(), Instant::from_nanos(1_000_000_000));
        assert_eq!(clock.set_surge(Instant::from_nanos(500_000_000), 5.0), Instant::from_nanos(600_000_000));
        assert_eq!(clock.next_arrival(), Instant::from_nanos(800_000_000));
        assert_eq!(clock.set_surge(Instant::from_nanos(700_000_000), 1.0), Instant::from_nanos(1_200_000_000));
    }
}
