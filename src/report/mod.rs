//! What people and machines look at: a table for the terminal, CSV files, charts and one page.
//!
//! Everything here is drawn from a [`Page`], a study with what was judged about it, and from nothing else: no
//! world, no strategy, no clock, no path. Equal pages give equal bytes, so a folder can be rebuilt years later.
//! A number that is not known is an empty cell, a gap in a line or a dash; it never turns into a zero. Text of
//! others (names, the question, the plan) is escaped for the place it goes to, each place by its own rule.

use crate::measure::stats::mean_and_interval;
use crate::measure::summary::Study;

pub mod beside;
pub mod chart;
pub mod csv;
pub mod folder;
pub mod html;
pub mod judged;
pub mod number;
pub mod recorded;
pub mod score;
pub mod terminal;
pub mod text;
pub mod warning;

#[cfg(test)]
mod sample;

/// All that a page is made of.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    /// The runs.
    pub study: &'a Study,
    /// Every metric of every contender against the baseline. What is missing here is shown without a difference.
    pub comparisons: &'a [Comparison],
    /// The judged rules, in the order of the file.
    pub gates: &'a [GateLine],
    /// The resolved plan as indented JSON, shown as it is.
    pub plan_json: &'a str,
}

/// One metric of one contender over all seeds, and against the baseline.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// Key of the metric.
    pub metric: String,
    /// Index into the contenders of the study.
    pub contender: usize,
    /// Mean over the seeds.
    pub mean: Option<f64>,
    /// 95 % interval of the mean.
    pub ci: Option<(f64, f64)>,
    /// Difference to the baseline: relative (0.05 is 5 % more) if `relative`, else in the metric's own unit.
    pub delta: Option<f64>,
    /// Interval of the difference.
    pub delta_ci: Option<(f64, f64)>,
    /// Whether the seeds separate it from the baseline; `None` where that could not be judged.
    pub separated: Option<bool>,
    /// How `delta` and `delta_ci` are meant.
    pub relative: bool,
}

/// A judged rule, in words that are ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct GateLine {
    /// The rule, as in the file.
    pub rule: String,
    /// The contender that it is about.
    pub contender: String,
    /// Key of the metric.
    pub metric: String,
    /// What is allowed, such as `at most 30s`.
    pub limit: String,
    /// What was measured.
    pub value: String,
    /// Its interval.
    pub interval: String,
    /// How many seeds it was judged over.
    pub seeds: u32,
    /// The judgement.
    pub verdict: Verdict,
    /// Why it is undecided, or what else is worth saying; often empty.
    pub remark: String,
}

/// What a gate says. Undecided is not a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail,
    /// The seeds do not suffice to tell.
    Undecided,
}

impl Verdict {
    /// In capitals, as in the tables.
    pub const fn text(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Undecided => "UNDECIDED",
        }
    }
}

impl Page<'_> {
    /// One failure fails all, else one undecided leaves all undecided; `None` where nothing was to be judged.
    pub fn verdict(&self) -> Option<Verdict> {
        let any = |verdict| self.gates.iter().any(|gate| gate.verdict == verdict);
        match (any(Verdict::Fail), any(Verdict::Undecided), any(Verdict::Pass)) {
            (true, _, _) => Some(Verdict::Fail),
            (_, true, _) => Some(Verdict::Undecided),
            (_, _, true) => Some(Verdict::Pass),
            _ => None,
        }
    }
}

/// One digest for a whole study: over the digests of its runs, in their order. 32 hexadecimal digits.
pub fn digest(study: &Study) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"plimsoll/study\0");
    for run in study.contenders.iter().flat_map(|contender| &contender.runs) {
        hasher.update(&(run.digests.run.len() as u64).to_le_bytes());
        hasher.update(run.digests.run.as_bytes());
    }
    let mut text = hasher.finalize().to_hex().to_string();
    text.truncate(32);
    text
}

/// The mean over seeds and its 95 % interval, `mean ± t(0.975, n - 1) · s / √n`.
///
/// A mean over a part of the seeds would compare different things, so it is unknown unless every seed has a
/// finite value. The interval needs two of them.
pub fn mean_interval(values: &[Option<f64>]) -> (Option<f64>, Option<(f64, f64)>) {
    let known: Vec<f64> = values.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    if known.len() < values.len() {
        return (None, None);
    }
    let (mean, interval) = mean_and_interval(&known);
    (mean, interval.map(|interval| (interval.low, interval.high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_needs_every_seed() {
        assert_eq!(mean_interval(&[Some(2.0)]), (Some(2.0), None));
        assert_eq!(mean_interval(&[Some(2.0), None]), (None, None));
        assert_eq!(mean_interval(&[Some(2.0), Some(f64::INFINITY)]), (None, None));
        assert_eq!(mean_interval(&[]), (None, None));
        let (mean, interval) = mean_interval(&[Some(1.0), Some(3.0)]);
        let (low, high) = interval.expect("two values have an interval");
        assert_eq!(mean, Some(2.0));
        // s = √2, so the half width is t(0.975, 1) = 12.706…
        assert!((high - 2.0 - 12.706_204_736).abs() < 1e-6 && (2.0 - low - 12.706_204_736).abs() < 1e-6);
    }
}
