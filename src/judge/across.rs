//! One contender in two studies, metric by metric: yesterday's numbers against today's.
//!
//! The procedure is that of [`compare()`](super::compare()): pairs of runs with the same seed, Holm's step-down over
//! the whole table, intervals at the Bonferroni level. Runs of other seeds or other calls are no pairs: their means
//! stand side by side, and nothing is said about how sure the difference is.

use super::compare::{FAMILY, Pairs};
use super::reading::{self, Traits};
use crate::measure::catalog::{Better, Scale};
use crate::measure::stats;

/// A metric of a contender on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Both {
    /// Key of the metric.
    pub metric: String,
    /// On the one side, one value a seed, in the unit of the metric; `None` where it is unknown.
    pub before: Vec<Option<f64>>,
    /// On the other.
    pub after: Vec<Option<f64>>,
    /// Whether the values of both sides are pairs, in their order.
    pub paired: bool,
    /// The fewest calls of any run, which say how coarse a fraction is.
    pub calls: u64,
}

/// What the two sides come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Across {
    /// Mean over the seeds on the one side; for metrics that can be endless the median. `None` if it is unknown in
    /// some seed.
    pub before: Option<f64>,
    /// On the other.
    pub after: Option<f64>,
    /// From before to after: a relative change if `relative`, else a difference in the unit of the metric.
    pub delta: Option<f64>,
    /// True if `delta` is relative.
    pub relative: bool,
    /// Interval of `delta` at the Bonferroni level of the table; only for pairs.
    pub interval: Option<stats::Interval>,
    /// Whether the pairs tell the sides apart, by Holm over the table. `None` where nothing could be tested.
    pub separated: Option<bool>,
    /// Whether the later side is better; `None` where it is not separated or neither way is good.
    pub better: Option<bool>,
}

/// Both sides of every metric, in order. A metric that the catalogue does not know is compared as a count.
pub fn across(table: &[Both]) -> Vec<Across> {
    let rows: Vec<Row> = table.iter().map(Row::new).collect();
    let tested: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].is_tested()).collect();
    let level = FAMILY / tested.len().max(1) as f64;
    let separated = stats::holm(tested.len(), FAMILY, |i, level| rows[tested[i]].pairs.is_separated(level));
    let mut shown: Vec<Across> = rows.iter().map(|row| row.show(level)).collect();
    for (i, separated) in tested.into_iter().zip(separated) {
        shown[i].separated = Some(separated);
        let more = shown[i].delta.filter(|delta| separated && *delta != 0.0).map(|delta| delta > 0.0);
        shown[i].better = more.map(|more| more == (rows[i].better == Better::Higher));
    }
    shown
}

struct Row {
    scale: Scale,
    better: Better,
    before: Vec<f64>,
    after: Vec<f64>,
    pairs: Pairs,
}

impl Row {
    fn new(both: &Both) -> Row {
        let traits = reading::traits(&both.metric);
        let (scale, better) =
            traits.map_or((Scale::Count, Better::Neither), |Traits { scale, better, .. }| (scale, better));
        let known = |values: &[Option<f64>]| values.iter().copied().collect::<Option<Vec<f64>>>().unwrap_or_default();
        let (before, after) = (known(&both.before), known(&both.after));
        let step = match scale {
            Scale::Count => 1.0,
            Scale::Fraction => 1.0 / both.calls.max(1) as f64,
            Scale::Log | Scale::Endless => 0.0,
        };
        let are_pairs = both.paired && !before.is_empty() && before.len() == after.len();
        let pairs = if are_pairs { Pairs::new(scale, &after, &before, step) } else { Pairs::None };
        Row { scale, better, before, after, pairs }
    }

    fn is_tested(&self) -> bool {
        self.better != Better::Neither && self.before.len() >= 2 && !matches!(self.pairs, Pairs::None)
    }

    fn show(&self, level: f64) -> Across {
        let middle = |values| if self.scale == Scale::Endless { stats::median(values) } else { stats::mean(values) };
        let (before, after) = (middle(&self.before), middle(&self.after));
        let (delta, interval) = self.pairs.delta(level);
        let mut relative = matches!(self.pairs, Pairs::Ratios(_));
        let delta = match (&self.pairs, before, after) {
            (Pairs::None, Some(before), Some(after)) => {
                relative = self.scale == Scale::Log && before > 0.0;
                let delta = if relative { after / before - 1.0 } else { after - before };
                (!delta.is_nan()).then_some(delta)
            }
            _ => delta,
        };
        Across { before, after, delta, relative, interval, separated: None, better: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(metric: &str, before: &[f64], after: &[f64]) -> Both {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect();
        Both { metric: metric.into(), before: some(before), after: some(after), paired: true, calls: 50_000 }
    }

    /// Give or take 2 %, in steps.
    fn around(value: f64, by: f64) -> Vec<f64> {
        (0..16).map(|i| value * by * (1.0 + 0.01 * f64::from(i % 5 - 2))).collect()
    }

    /// The same with a little noise of its own.
    fn noisy(value: f64, by: f64) -> Vec<f64> {
        around(value, by).iter().zip([1.001, 0.999, 1.0].iter().cycle()).map(|(value, noise)| value * noise).collect()
    }

    #[test]
    fn pairs_are_told_apart_and_say_which_way_is_good() {
        let found = across(&[
            both("latency_p99", &around(100.0, 1.0), &noisy(100.0, 1.05)),
            both("goodput", &around(900.0, 1.0), &noisy(900.0, 1.05)),
            both("latency_p50", &around(10.0, 1.0), &noisy(10.0, 1.0)),
            both("calls", &around(1_000.0, 1.0), &noisy(1_000.0, 2.0)),
        ]);
        assert_eq!((found[0].separated, found[0].better, found[0].relative), (Some(true), Some(false), true));
        assert!((found[0].delta.unwrap() - 0.05).abs() < 0.001 && found[0].interval.unwrap().low > 0.04);
        assert!((found[0].before.unwrap() - 99.875).abs() < 1e-9);
        assert_eq!((found[1].separated, found[1].better), (Some(true), Some(true)));
        assert_eq!((found[2].separated, found[2].better), (Some(false), None));
        assert_eq!((found[3].separated, found[3].better), (None, None), "neither way is good");
    }

    #[test]
    fn without_pairs_nothing_is_sure() {
        let unpaired = Both { paired: false, ..both("latency_p99", &[100.0, 110.0], &[200.0, 210.0, 220.0]) };
        let found = across(&[unpaired]).remove(0);
        assert_eq!((found.before, found.after), (Some(105.0), Some(210.0)));
        assert_eq!((found.delta, found.relative), (Some(1.0), true));
        assert_eq!((found.interval, found.separated, found.better), (None, None, None));
    }

    #[test]
    fn unknown_and_endless_values_stay_what_they_are() {
        let mut torn = both("latency_p99", &around(100.0, 1.0), &around(100.0, 1.0));
        torn.after[3] = None;
        let never = both("time_to_recover", &around(4_000.0, 1.0), &[f64::INFINITY; 16]);
        let found = across(&[torn, never]);
        assert_eq!((found[0].after, found[0].delta, found[0].separated), (None, None, None));
        assert_eq!((found[1].after, found[1].delta), (Some(f64::INFINITY), Some(f64::INFINITY)));
        assert_eq!((found[1].separated, found[1].better), (Some(true), Some(false)));
    }

    #[test]
    fn a_metric_from_elsewhere_is_a_fact() {
        let found = across(&[both("mood", &[1.0, 2.0], &[3.0, 4.0])]).remove(0);
        assert_eq!((found.delta, found.relative, found.separated), (Some(2.0), false, None));
    }
}
