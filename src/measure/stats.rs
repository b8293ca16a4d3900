//! How sure a number is. One value a seed is one sample: runs with different seeds are independent, the calls
//! within a run are not, and nothing here ever takes a call for a sample.
//!
//! Everything is a pure function of its arguments. Sums run in the order of the seeds, transcendental functions
//! and critical values come from [`crate::base::math`]; so a verdict cannot differ between machines.
//!
//! Sources: Student, *The probable error of a mean*, Biometrika 1908 (t-intervals);
//! Conover, *Practical Nonparametric Statistics* (sign test, order-statistic interval of a median); Holm, *A
//! simple sequentially rejective multiple test procedure*, Scand. J. Statistics 1979.

use serde::{Deserialize, Serialize};

use crate::base::math;

/// A closed stretch of values, in the unit of what it was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// True if `value` lies inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Both ends through a function. A falling function swaps them.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Interval {
        let (a, b) = (f(self.low), f(self.high));
        if a <= b { Interval { low: a, high: b } } else { Interval { low: b, high: a } }
    }
}

/// One value a seed, summed up for Student's t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Number of values.
    pub n: u32,
    /// Arithmetic mean, in the unit of the values.
    pub mean: f64,
    /// Standard deviation with divisor `n - 1`, in the unit of the values; 0 where `n` is 1.
    pub sd: f64,
    /// True if all values are the same double, so that there is no spread to estimate.
    pub constant: bool,
}

impl Sample {
    /// Sums the values up in their order. `None` if there is none, or if one is not finite.
    pub fn of(values: &[f64]) -> Option<Sample> {
        let first = *values.first()?;
        if values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let n = u32::try_from(values.len()).ok()?;
        if values.iter().all(|value| *value == first) {
            return Some(Sample { n, mean: first, sd: 0.0, constant: true });
        }
        let mean = sum(values.iter().copied()) / f64::from(n);
        let squares = sum(values.iter().map(|value| (value - mean) * (value - mean)));
        Some(Sample { n, mean, sd: (squares / f64::from(n - 1)).sqrt(), constant: false })
    }

    /// The same with a standard deviation of `floor` or more: what the resolution of a measurement hides.
    pub fn with_sd_at_least(self, floor: f64) -> Sample {
        Sample { sd: self.sd.max(floor), ..self }
    }

    /// Standard error of the mean.
    pub fn standard_error(&self) -> f64 {
        self.sd / f64::from(self.n).sqrt()
    }

    /// One-sided lower bound: the true mean lies below it with probability `alpha` at most. `None` for one value.
    pub fn lower(&self, alpha: f64) -> Option<f64> {
        Some(self.mean - t_critical(alpha, self.n)? * self.standard_error())
    }

    /// One-sided upper bound: the true mean lies above it with probability `alpha` at most. `None` for one value.
    pub fn upper(&self, alpha: f64) -> Option<f64> {
        Some(self.mean + t_critical(alpha, self.n)? * self.standard_error())
    }

    /// Two-sided interval that misses the true mean with probability `alpha`, half of it on each side.
    pub fn interval(&self, alpha: f64) -> Option<Interval> {
        Some(Interval { low: self.lower(alpha / 2.0)?, high: self.upper(alpha / 2.0)? })
    }

    /// True if a two-sided t-test at level `alpha` rejects a true mean of zero.
    pub fn is_off_zero(&self, alpha: f64) -> bool {
        self.interval(alpha).is_some_and(|interval| !interval.contains(0.0))
    }
}

/// `t_{1 - alpha, n - 1}`: the one-sided critical value for `n` values. `None` where `n` is below 2.
pub fn t_critical(alpha: f64, n: u32) -> Option<f64> {
    (n >= 2).then(|| math::student_t_upper(alpha, n - 1))
}

/// Arithmetic mean, summed in order. `None` if there is no value; infinite if one is.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| sum(values.iter().copied()) / values.len() as f64)
}

/// Mean and its two-sided 95 % t-interval, as in `summary.csv`. The interval is `None` for a single value or
/// where a value is not finite.
pub fn mean_and_interval(values: &[f64]) -> (Option<f64>, Option<Interval>) {
    (mean(values), Sample::of(values).and_then(|sample| sample.interval(0.05)))
}

/// The middle value, or the mean of the two in the middle. Infinite values count as larger than all others.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        // Not the mean of equal values: infinity minus nothing must stay infinity, and 0.1 must stay 0.1.
        _ if sorted[middle - 1] == sorted[middle] => Some(sorted[middle]),
        _ => Some(0.5 * (sorted[middle - 1] + sorted[middle])),
    }
}

/// The order-statistic interval of a median: the narrowest `[x_(k), x_(n+1-k)]` that misses the true median with
/// probability `alpha` at most, whatever the law. `None` where even the extremes do not reach it (n < 6 for 5 %).
pub fn median_interval(values: &[f64], alpha: f64) -> Option<Interval> {
    let sorted = sorted(values);
    let n = sorted.len() as u64;
    // P(miss) = 2 P(Bin(n, 1/2) < k); the largest k that keeps it is the narrowest interval.
    let k = (1..=n / 2).take_while(|k| 2.0 * math::binomial_half_cdf(k - 1, n) <= alpha).last()? as usize;
    Some(Interval { low: sorted[k - 1], high: sorted[sorted.len() - k] })
}

/// `ln(candidate / baseline)` for each seed. `None` if the lengths differ or a value is not positive and finite.
pub fn log_ratios(candidate: &[f64], baseline: &[f64]) -> Option<Vec<f64>> {
    let (candidate, baseline) = (logs(candidate)?, logs(baseline)?);
    differences(&candidate, &baseline)
}

/// `candidate - baseline` for each seed. `None` if the lengths differ.
pub fn differences(candidate: &[f64], baseline: &[f64]) -> Option<Vec<f64>> {
    (candidate.len() == baseline.len()).then(|| candidate.iter().zip(baseline).map(|(c, b)| c - b).collect())
}

/// Natural logarithms. `None` if a value is not positive and finite.
pub fn logs(values: &[f64]) -> Option<Vec<f64>> {
    values.iter().map(|value| (*value > 0.0 && value.is_finite()).then(|| math::ln(*value))).collect()
}

/// Sign test: how likely `hits` or more of `n` fair coins fall on one given side.
pub fn sign_tail(hits: u64, n: u64) -> f64 {
    debug_assert!(hits <= n, "{hits} of {n}");
    // Symmetry: as many heads or more is as many tails or fewer.
    if hits == 0 { 1.0 } else { math::binomial_half_cdf(n - hits, n) }
}

/// The fewest values with which a one-sided sign test can reach `alpha` at all: `2^-n <= alpha`.
pub fn sign_seeds_needed(alpha: f64) -> u64 {
    let (mut n, mut tail) = (0, 1.0);
    while tail > alpha && n < 1_074 {
        n += 1;
        tail *= 0.5;
    }
    n
}

/// Holm's step-down over `count` hypotheses at family level `family`: which are rejected. `rejects(i, level)` says
/// whether hypothesis `i` alone is rejected at `level`, and must not turn false as the level grows.
///
/// Holm orders by p-value and compares the k-th smallest with `family / (count - k + 1)`. Asking for rejection at
/// the level of the round instead gives the same answer without computing a p-value: levels only grow from round
/// to round, so what one round rejects every later one would too.
pub fn holm(count: usize, family: f64, rejects: impl Fn(usize, f64) -> bool) -> Vec<bool> {
    let mut rejected = vec![false; count];
    loop {
        let open: Vec<usize> = (0..count).filter(|i| !rejected[*i]).collect();
        if open.is_empty() {
            return rejected;
        }
        let level = family / open.len() as f64;
        let mut any = false;
        for i in open {
            if rejects(i, level) {
                rejected[i] = true;
                any = true;
            }
        }
        if !any {
            return rejected;
        }
    }
}

/// In order, from the left. `Iterator::sum` starts at -0.0, which would show in an empty sum.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};
    use proptest::prelude::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
    }

    #[test]
    fn critical_values_of_the_gate() {
        // (looks, seeds, t for FAIL at 0.001, t for PASS at 0.01), the shares of alpha split over the looks.
        let table = [
            (4.0, 16, 4.417, 3.286),
            (4.0, 32, 3.887, 3.022),
            (4.0, 64, 3.671, 2.909),
            (4.0, 128, 3.573, 2.857),
            (1.0, 10, 4.297, 2.821),
        ];
        for (looks, n, fail, pass) in table {
            near(t_critical(0.001 / looks, n).unwrap(), fail, 5.01e-4);
            near(t_critical(0.01 / looks, n).unwrap(), pass, 5.01e-4);
        }
        for (n, fail) in [(16, 6.086), (32, 5.011), (64, 4.601), (128, 4.421)] {
            near(t_critical(0.001 / (4.0 * 24.0), n).unwrap(), fail, 5.01e-4);
        }
        assert_eq!(t_critical(0.01, 1), None);
    }

    #[test]
    fn a_textbook_interval() {
        // Student's own sleep data (1908), differences of the two drugs: mean 1.58, sd 1.23, 95 % [0.70, 2.46].
        let hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let sample = Sample::of(&hours).unwrap();
        near(sample.mean, 1.58, 1e-12);
        near(sample.sd, 1.229_995, 1e-6);
        let interval = sample.interval(0.05).unwrap();
        near(interval.low, 0.700_114, 1e-6);
        near(interval.high, 2.459_886, 1e-6);
        assert!(sample.is_off_zero(0.003) && !sample.is_off_zero(0.0028), "its p-value is 0.00283");
    }

    #[test]
    fn constant_values_have_no_spread() {
        let sample = Sample::of(&[0.1; 7]).unwrap();
        assert_eq!((sample.mean, sample.sd, sample.constant), (0.1, 0.0, true));
        assert_eq!(sample.with_sd_at_least(1e-6).sd, 1e-6);
        assert_eq!(Sample::of(&[3.0]).unwrap().interval(0.05), None);
        assert_eq!(Sample::of(&[]), None);
        assert_eq!(Sample::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn medians_and_endless_values() {
        let inf = f64::INFINITY;
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[1.0, inf, inf]), Some(inf));
        assert_eq!(median(&[1.0, 2.0, inf, inf]), Some(inf));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_interval_of_a_median_covers_as_published() {
        // R = 16, k = 4 misses with probability 2 P(Bin(16, 1/2) < 4) = 2.1 %; k = 5 with 7.7 %.
        let values: Vec<f64> = (1..=16).map(f64::from).collect();
        assert_eq!(median_interval(&values, 0.05), Some(Interval { low: 4.0, high: 13.0 }));
        near(1.0 - 2.0 * math::binomial_half_cdf(3, 16), 0.979, 5e-4);
        assert_eq!(median_interval(&values[..5], 0.05), None);
        assert_eq!(median_interval(&values[..6], 0.05), Some(Interval { low: 1.0, high: 6.0 }));
    }

    #[test]
    fn sign_tests() {
        near(sign_tail(10, 10), 1.0 / 1_024.0, 1e-15);
        near(sign_tail(9, 10), 11.0 / 1_024.0, 1e-15);
        assert_eq!(sign_tail(0, 10), 1.0);
        assert_eq!(sign_seeds_needed(0.001), 10);
        assert_eq!(sign_seeds_needed(0.01), 7);
    }

    #[test]
    fn pairs() {
        let ratios = log_ratios(&[2.0, 4.0], &[1.0, 2.0]).unwrap();
        near(math::exp(ratios[0]), 2.0, 1e-12);
        assert_eq!(ratios[0], ratios[1]);
        assert_eq!(log_ratios(&[0.0], &[1.0]), None);
        assert_eq!(log_ratios(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(differences(&[3.0, 0.0], &[1.0, 2.0]), Some(vec![2.0, -2.0]));
    }

    /// Holm as it is usually written, over p-values.
    fn holm_by_the_book(p: &[f64], family: f64) -> Vec<bool> {
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
        let mut rejected = vec![false; p.len()];
        for (k, i) in order.into_iter().enumerate() {
            if p[i] > family / (p.len() - k) as f64 {
                break;
            }
            rejected[i] = true;
        }
        rejected
    }

    #[test]
    fn holm_known_answer() {
        // Four p-values at 5 %: 0.005 <= 1.25 %, 0.011 <= 1.67 %, 0.02 <= 2.5 %, 0.04 <= 5 %: all; with 0.03
        // instead of 0.02 the third stops it.
        let test = |p: [f64; 4]| holm(4, 0.05, |i, level| p[i] <= level);
        assert_eq!(test([0.02, 0.04, 0.005, 0.011]), [true; 4]);
        assert_eq!(test([0.03, 0.04, 0.005, 0.011]), [false, false, true, true]);
        assert_eq!(holm(0, 0.05, |_, _| true), Vec::<bool>::new());
    }

    #[test]
    fn nominal_coverage_holds() {
        // 95 % intervals of 8 uniform values, 4,000 times: the published band for coverage is 93.5 to 96.5 %.
        let mut rand = Seed::new(5).stream("test/coverage");
        let covered = (0..4_000)
            .filter(|_| {
                let values: Vec<f64> = (0..8).map(|_| rand.unit()).collect();
                Sample::of(&values).unwrap().interval(0.05).unwrap().contains(0.5)
            })
            .count();
        assert!((3_740..=3_860).contains(&covered), "{covered} of 4000 intervals cover");
    }

    proptest! {
        #[test]
        fn holm_needs_no_p_values(p in prop::collection::vec(0.0f64..0.1, 0..12)) {
            prop_assert_eq!(holm(p.len(), 0.05, |i, level| p[i] <= level), holm_by_the_book(&p, 0.05));
        }

        #[test]
        fn bounds_enclose_the_mean_and_widen(values in prop::collection::vec(-1e6f64..1e6, 2..40)) {
            let sample = Sample::of(&values).unwrap();
            let (wide, narrow) = (sample.interval(0.001).unwrap(), sample.interval(0.05).unwrap());
            prop_assert!(wide.low <= narrow.low && narrow.low <= sample.mean);
            prop_assert!(sample.mean <= narrow.high && narrow.high <= wide.high);
            prop_assert_eq!(sample.lower(0.025), Some(narrow.low));
        }

        #[test]
        fn shifting_and_scaling(values in prop::collection::vec(-100.0f64..100.0, 2..20), by in -50.0f64..50.0) {
            let (plain, moved) = (Sample::of(&values).unwrap(), {
                let moved: Vec<f64> = values.iter().map(|value| 2.0 * value + by).collect();
                Sample::of(&moved).unwrap()
            });
            prop_assert!((moved.mean - (2.0 * plain.mean + by)).abs() < 1e-9);
            prop_assert!((moved.sd - 2.0 * plain.sd).abs() < 1e-9);
        }

        #[test]
        fn the_median_splits_the_values(values in prop::collection::vec(-1e3f64..1e3, 1..30)) {
            let median = median(&values).unwrap();
            prop_assert!(2 * values.iter().filter(|value| **value < median).count() <= values.len());
            prop_assert!(2 * values.iter().filter(|value| **value > median).count() <= values.len());
        }

        #[test]
        fn swapping_the_sides_flips_the_sign(pairs in prop::collection::vec((0.01f64..1e3, 0.01f64..1e3), 2..20)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (there, back) = (log_ratios(&a, &b).unwrap(), log_ratios(&b, &a).unwrap());
            prop_assert!(there.iter().zip(&back).all(|(t, b)| *t == -*b));
        }
    }
}
