//! Every contender against the baseline, metric by metric, over pairs of runs with the same seed.
//!
//! Which differences are called separated is settled for the whole table at once: Holm's step-down at family level
//! 0.05 (Scand. J. Statistics 1979), so that a table full of ties shows a false winner in one study of twenty at
//! most. Intervals of differences are at the Bonferroni level of the same table. A difference that is not separated
//! is a tie, whatever its point estimate: there is no rank here.

use serde::Serialize;

use super::prepare::comparable;
use super::reading;
use crate::base::math;
use crate::measure::catalog::{Better, METRICS, Metric, Scale};
use crate::measure::stats::{self, Interval, Sample};
use crate::measure::summary::{Contender, Study};

/// One contender and one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Index of the contender.
    pub contender: usize,
    /// Key of the metric.
    pub metric: &'static str,
    /// Arithmetic mean over the seeds, in the unit of the metric; for metrics that can be endless the median, which
    /// can be infinite. `None` if the metric is unknown for some seed.
    pub mean: Option<f64>,
    /// 95 % t-interval of the mean; for a median, of order statistics. `None` for too few seeds.
    pub ci: Option<Interval>,
    /// Against the baseline: a relative change (0.05 is 5 % more) if `relative`, else a difference in the unit of
    /// the metric. `None` for the baseline itself, for runs that are no pairs, and between endless medians.
    pub delta: Option<f64>,
    /// Interval of `delta` at the Bonferroni level of the table. `None` for medians and for a single seed.
    pub delta_ci: Option<Interval>,
    /// Whether these seeds tell contender and baseline apart, by Holm over the table. `None` where nothing could be
    /// tested: no pairs, a single seed, unknown values, or a metric that has no better side.
    pub separated: Option<bool>,
    /// True if `delta` is relative.
    pub relative: bool,
}

/// Every contender times every metric of the catalogue, contenders first, in the order of the study.
pub fn compare(study: &Study) -> Vec<Comparison> {
    let baseline = study.contenders.get(study.facts.baseline);
    let mut cells: Vec<Cell> = Vec::new();
    for (contender, ours) in study.contenders.iter().enumerate() {
        let theirs = baseline.filter(|theirs| contender != study.facts.baseline && comparable(ours, theirs).is_ok());
        cells.extend(METRICS.iter().map(|metric| Cell::new(contender, metric, ours, theirs)));
    }
    let tested: Vec<usize> = (0..cells.len()).filter(|i| cells[*i].is_tested()).collect();
    let level = FAMILY / tested.len().max(1) as f64;
    let separated = stats::holm(tested.len(), FAMILY, |i, level| cells[tested[i]].pairs.is_separated(level));
    let mut table: Vec<Comparison> = cells.iter().map(|cell| cell.show(level)).collect();
    for (i, separated) in tested.into_iter().zip(separated) {
        table[i].separated = Some(separated);
    }
    table
}

/// One place in the table, before the size of the family is known.
struct Cell {
    contender: usize,
    metric: &'static Metric,
    /// One a seed; empty if one is unknown.
    values: Vec<f64>,
    pairs: Pairs,
}

/// What the pairs of a cell say.
pub(super) enum Pairs {
    /// There are none.
    None,
    /// Log-ratios, summed up.
    Ratios(Sample),
    /// Differences, summed up.
    Differences(Sample),
    /// Medians, with the number of pairs in which ours is above and below theirs.
    Signs { ours: f64, theirs: f64, above: u64, below: u64 },
}

impl Cell {
    fn new(contender: usize, metric: &'static Metric, ours: &Contender, theirs: Option<&Contender>) -> Cell {
        let values = values(metric, ours);
        let pairs = match theirs.map(|theirs| self::values(metric, theirs)) {
            Some(others) if !values.is_empty() && !others.is_empty() => {
                let trials = |contender: &Contender| {
                    contender.runs.iter().filter_map(|run| reading::trials(run, metric.key, None)).min()
                };
                let step = match metric.scale {
                    Scale::Count => 1.0,
                    _ => trials(ours).map_or(0.0, |trials| 1.0 / trials.max(1) as f64),
                };
                Pairs::new(metric.scale, &values, &others, step)
            }
            _ => Pairs::None,
        };
        Cell { contender, metric, values, pairs }
    }

    fn is_tested(&self) -> bool {
        self.metric.better != Better::Neither && self.values.len() >= 2 && !matches!(self.pairs, Pairs::None)
    }

    fn show(&self, level: f64) -> Comparison {
        let (mean, ci) = match self.metric.scale {
            Scale::Endless => (stats::median(&self.values), stats::median_interval(&self.values, 0.05)),
            _ => stats::mean_and_interval(&self.values),
        };
        let (delta, delta_ci) = self.pairs.delta(level);
        let relative = matches!(self.pairs, Pairs::Ratios(_));
        let metric = self.metric.key;
        Comparison { contender: self.contender, metric, mean, ci, delta, delta_ci, separated: None, relative }
    }
}

impl Pairs {
    /// `step` is what one call more or less moves a value by: equal differences of a coarse measurement in two or
    /// three seeds are no proof, so no standard deviation is taken to be below half a step.
    pub(super) fn new(scale: Scale, ours: &[f64], theirs: &[f64], step: f64) -> Pairs {
        if scale == Scale::Endless {
            let count = |is: fn(&f64, &f64) -> bool| ours.iter().zip(theirs).filter(|(o, t)| is(o, t)).count() as u64;
            let (above, below) = (count(|o, t| o > t), count(|o, t| o < t));
            let median = |values| stats::median(values).unwrap_or(f64::INFINITY);
            return Pairs::Signs { ours: median(ours), theirs: median(theirs), above, below };
        }
        let sample = |values: Option<Vec<f64>>| values.and_then(|values| Sample::of(&values));
        let ratios = if scale == Scale::Log { sample(stats::log_ratios(ours, theirs)) } else { None };
        match (ratios, sample(stats::differences(ours, theirs))) {
            (Some(ratios), _) => Pairs::Ratios(ratios.with_sd_at_least(SD_MIN)),
            (None, Some(sample)) => Pairs::Differences(sample.with_sd_at_least((0.5 * step).max(SD_MIN))),
            (None, None) => Pairs::None,
        }
    }

    pub(super) fn is_separated(&self, level: f64) -> bool {
        match self {
            Pairs::None => false,
            Pairs::Ratios(sample) | Pairs::Differences(sample) => sample.is_off_zero(level),
            // Two-sided, ties left out (Conover).
            Pairs::Signs { above, below, .. } => 2.0 * stats::sign_tail(*above.max(below), above + below) <= level,
        }
    }

    pub(super) fn delta(&self, level: f64) -> (Option<f64>, Option<Interval>) {
        match self {
            Pairs::None => (None, None),
            Pairs::Ratios(sample) => {
                let interval = sample.interval(level).map(|interval| interval.map(math::exp_m1));
                (Some(math::exp_m1(sample.mean)), interval)
            }
            Pairs::Differences(sample) => (Some(sample.mean), sample.interval(level)),
            Pairs::Signs { ours, theirs, .. } => {
                let delta = ours - theirs;
                ((!delta.is_nan()).then_some(delta), None)
            }
        }
    }
}

/// One a seed, in order; empty if one is unknown.
fn values(metric: &Metric, contender: &Contender) -> Vec<f64> {
    let values: Option<Vec<f64>> = contender.runs.iter().map(|run| reading::value(run, metric.key, None)).collect();
    values.unwrap_or_default()
}

/// Probability of any false separation in a table.
pub(super) const FAMILY: f64 = 0.05;
/// Standard deviations below this are rounding.
const SD_MIN: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Model};
    use super::*;

    fn cell<'a>(table: &'a [Comparison], contender: usize, metric: &str) -> &'a Comparison {
        table.iter().find(|cell| cell.contender == contender && cell.metric == metric).unwrap()
    }

    #[test]
    fn differences_are_separated_and_ties_are_not() {
        let slower = Model { p99: 1.05, ..Model::TWIN };
        let table = compare(&testing::study(16, &[Model::BASE, Model::TWIN, slower]));
        assert_eq!(table.len(), 3 * METRICS.len());
        assert_eq!(cell(&table, 0, "latency_p99").delta, None, "the baseline is not compared with itself");
        assert_eq!(cell(&table, 1, "latency_p99").separated, Some(false));
        let slow = cell(&table, 2, "latency_p99");
        assert_eq!((slow.separated, slow.relative), (Some(true), true));
        assert!((slow.delta.unwrap() - 0.05).abs() < 0.02 && slow.delta_ci.unwrap().low > 0.0);
        let errors = cell(&table, 1, "error_rate");
        assert!(!errors.relative && errors.separated == Some(false));
        assert_eq!(cell(&table, 1, "calls").separated, None, "a fact without a better side");
    }

    #[test]
    fn intervals_of_differences_share_the_table() {
        let study = testing::study(8, &[Model::BASE, Model::TWIN]);
        let table = compare(&study);
        let tested = table.iter().filter(|cell| cell.separated.is_some()).count();
        let p99 = |i: usize| {
            let runs = study.contenders[i].runs.iter();
            runs.map(|run| run.latency.quantile_ns(0.99).unwrap() as f64).collect::<Vec<f64>>()
        };
        let sample = Sample::of(&stats::log_ratios(&p99(1), &p99(0)).unwrap()).unwrap();
        let expected = sample.interval(0.05 / tested as f64).unwrap().map(math::exp_m1);
        let found = cell(&table, 1, "latency_p99").delta_ci.unwrap();
        assert!((found.low - expected.low).abs() < 1e-9 && (found.high - expected.high).abs() < 1e-9);
    }

    #[test]
    fn means_carry_student_intervals() {
        let study = testing::study(4, &[Model::BASE]);
        let values: Vec<f64> = study.contenders[0].runs.iter().map(|run| run.latency.max_ns as f64 / 1e6).collect();
        let table = compare(&study);
        let cell = cell(&table, 0, "latency_max");
        assert_eq!((cell.mean, cell.ci), stats::mean_and_interval(&values));
        assert!(cell.ci.unwrap().contains(cell.mean.unwrap()));
    }

    #[test]
    fn without_pairs_there_is_no_difference() {
        let mut study = testing::study(8, &[Model::BASE, Model { p99: 2.0, ..Model::TWIN }]);
        study.contenders[1].runs[3].digests.workload = "another".into();
        let table = compare(&study);
        let cell = cell(&table, 1, "latency_p99");
        assert_eq!((cell.delta, cell.delta_ci, cell.separated), (None, None, None));
        assert!(cell.mean.is_some() && cell.ci.is_some());
    }

    #[test]
    fn one_seed_shows_and_does_not_test() {
        let table = compare(&testing::study(1, &[Model::BASE, Model { p99: 2.0, ..Model::TWIN }]));
        let cell = cell(&table, 1, "latency_p99");
        assert!(cell.delta.unwrap() > 0.9 && cell.mean.is_some());
        assert_eq!((cell.ci, cell.delta_ci, cell.separated), (None, None, None));
    }

    #[test]
    fn unknown_is_not_zero() {
        let mut study = testing::study(8, &[Model::BASE, Model::TWIN]);
        assert_eq!(cell(&compare(&study), 1, "cache_hit_rate").mean, None, "there are no caches");
        study.contenders[1].runs[2].latency.quantiles.clear();
        let table = compare(&study);
        assert_eq!((cell(&table, 1, "latency_p99").mean, cell(&table, 1, "latency_p99").delta), (None, None));
        assert!(cell(&table, 0, "latency_p99").mean.is_some());
    }

    #[test]
    fn endless_values_are_compared_by_sign() {
        let recovers = |ms| Model { recovers_ms: Some(ms), ..Model::TWIN };
        let never = Model { recovers_ms: Some(f64::INFINITY), ..Model::TWIN };
        let table = compare(&testing::study(16, &[recovers(1_000.0), recovers(5_000.0), never]));
        let slow = cell(&table, 1, "time_to_recover");
        assert_eq!((slow.separated, slow.relative), (Some(true), false));
        assert!((slow.delta.unwrap() - 4_000.0).abs() < 500.0);
        let never = cell(&table, 2, "time_to_recover");
        assert_eq!((never.mean, never.delta), (Some(f64::INFINITY), Some(f64::INFINITY)));
        assert_eq!(never.separated, Some(true));
    }

    #[test]
    fn a_metric_at_zero_falls_back_to_differences() {
        let mut study = testing::study(8, &[Model::BASE, Model::TWIN]);
        study.contenders[1].runs.iter_mut().for_each(|run| run.outcomes.ok = 0);
        let table = compare(&study);
        let cell = cell(&table, 1, "goodput");
        assert!(!cell.relative && cell.delta.unwrap() < 0.0);
        assert_eq!((cell.mean, cell.separated), (Some(0.0), Some(true)));
    }

    #[test]
    fn equal_steps_in_a_few_seeds_prove_nothing() {
        let mut study = testing::study(3, &[Model::BASE, Model::TWIN]);
        study.contenders[1].runs.iter_mut().for_each(|run| run.work.calls_to_dead += 1);
        let table = compare(&study);
        assert_eq!(cell(&table, 1, "calls_to_dead").delta, Some(1.0));
        assert_eq!(cell(&table, 1, "calls_to_dead").separated, Some(false));
    }

    #[test]
    fn a_table_of_ties_shows_no_winner() {
        let winners = (0..100)
            .filter(|i| {
                let study = testing::study_from(1_000 * i, 8, &[Model::BASE, Model::TWIN, Model::TWIN]);
                compare(&study).iter().any(|cell| cell.separated == Some(true))
            })
            .count();
        assert!(winners <= 11, "{winners} of 100 tables of ties show a difference; 5 are expected at most");
    }
}
