//! The scoreboard: contenders × metrics, as the terminal and the page show it.
//!
//! A rank by point estimate alone would sell noise, so a cell is marked as best only together with all others
//! whose intervals reach into its own, and not at all where that leaves nobody out.

use super::{Comparison, Page, mean_interval};
use crate::measure::catalog::{Better, METRICS, Metric, Scale, find};
use crate::measure::stats::{median, median_interval};
use crate::measure::summary::Contender;

/// Values that a quantile needs beyond itself in every run before it is judged: `n · (1 - q)`.
pub const TAIL_VALUES: f64 = 450.0;

/// One metric over all contenders.
pub struct Column {
    /// The metric.
    pub metric: &'static Metric,
    /// One cell a contender.
    pub cells: Vec<Cell>,
}

/// One metric of one contender.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// Mean over the seeds; for what can be endless the median, which may be infinite.
    pub value: Option<f64>,
    /// 95 % interval of the mean, or of the median, which may reach to infinity.
    pub interval: Option<(f64, f64)>,
    /// Against the baseline; `None` for the baseline itself.
    pub delta: Option<Delta>,
    /// Best, or not told apart from the best.
    pub best: bool,
    /// Runs.
    pub runs: usize,
    /// Runs without a value.
    pub unknown: usize,
    /// Runs with an endless value.
    pub endless: usize,
    /// A quantile with too few values beyond it to be judged.
    pub thin: bool,
}

/// A difference to the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delta {
    /// Relative (0.05 is 5 % more) or in the unit of the metric.
    pub value: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// How the two are meant.
    pub relative: bool,
    /// What may be said about it.
    pub standing: Standing,
}

/// What the seeds say about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Better than the baseline.
    Better,
    /// Worse than the baseline.
    Worse,
    /// Different, of a metric where neither way is good.
    Different,
    /// Not separated by the seeds.
    Tie,
    /// Too few seeds to say anything.
    Unjudged,
}

/// The metrics that every scoreboard has, in the order in which people ask for them.
const ALWAYS: [&str; 7] =
    ["latency_p50", "latency_p99", "latency_p999", "latency_mean", "error_rate", "goodput", "load_max_over_mean"];

/// The metrics of the terminal: those that are always asked for, and those of the scenario's own subject.
pub fn essential(page: &Page<'_>) -> Vec<Column> {
    columns(
        page,
        &[
            ALWAYS.as_slice(),
            &[
                "time_to_recover",
                "time_to_fair_share",
                "cache_hit_rate",
                "keys_moved",
                "keys_moved_collateral",
                "affinity_rate",
            ],
        ]
        .concat(),
    )
}

/// The metrics of the page's scoreboard: what the scenario is about stands where nobody has to scroll for it.
pub fn wide(page: &Page<'_>) -> Vec<Column> {
    let first = ["latency_p50", "latency_p99", "error_rate", "goodput", "load_max_over_mean"];
    let subject = [
        "cache_hit_rate",
        "affinity_rate",
        "keys_moved",
        "keys_moved_collateral",
        "time_to_recover",
        "time_to_detect",
        "time_to_fair_share",
        "calls_to_dead",
    ];
    let rest = [
        "latency_p999",
        "latency_mean",
        "load_min_over_mean",
        "load_cv_1s",
        "queue_max",
        "attempts_per_call",
        "cross_zone_share",
        "wasted_work",
    ];
    columns(page, &[first.as_slice(), &subject, &rest].concat())
}

/// All metrics of the catalogue that are known in some run.
pub fn all(page: &Page<'_>) -> Vec<Column> {
    let keys: Vec<&str> = METRICS.iter().map(|metric| metric.key).collect();
    columns(page, &keys)
}

fn columns(page: &Page<'_>, keys: &[&str]) -> Vec<Column> {
    let metrics = keys.iter().filter_map(|key| find(key));
    let columns = metrics.map(|metric| column(page, metric));
    columns.filter(|column| ALWAYS.contains(&column.metric.key) || column.has_news()).collect()
}

impl Column {
    /// Whether some contender has a value that is not zero.
    fn has_news(&self) -> bool {
        self.cells.iter().any(|cell| cell.value.is_some_and(|value| value != 0.0))
    }

    fn mark_best(&mut self) {
        let sign = match self.metric.better {
            Better::Lower => 1.0,
            Better::Higher => -1.0,
            Better::Neither => return,
        };
        let score = |cell: &Cell| cell.value.map(|value| value * sign);
        let Some(best) = self.cells.iter().filter_map(score).min_by(f64::total_cmp) else { return };
        let bounds = |cell: &Cell| cell.interval.map(|(a, b)| ((a * sign).min(b * sign), (a * sign).max(b * sign)));
        let bests = self.cells.iter().filter(|cell| score(cell) == Some(best)).filter_map(bounds);
        // Without an interval there is only a point estimate, and no rank.
        let Some(edge) = bests.map(|(_, high)| high).max_by(f64::total_cmp) else { return };
        let reaches = |cell: &Cell| bounds(cell).is_some_and(|(low, _)| low <= edge);
        let good: Vec<bool> = self.cells.iter().map(reaches).collect();
        if good.iter().all(|good| *good) || best == f64::INFINITY {
            return;
        }
        for (cell, good) in self.cells.iter_mut().zip(good) {
            cell.best = good;
        }
    }
}

fn column(page: &Page<'_>, metric: &'static Metric) -> Column {
    let contenders = &page.study.contenders;
    let cells = contenders.iter().enumerate().map(|(i, contender)| cell(page, metric, i, contender)).collect();
    let mut column = Column { metric, cells };
    column.mark_best();
    column
}

fn cell(page: &Page<'_>, metric: &Metric, index: usize, contender: &Contender) -> Cell {
    let values: Vec<Option<f64>> = contender.runs.iter().map(metric.read).collect();
    let known = || values.iter().flatten();
    let told = page.comparisons.iter().find(|c| c.contender == index && c.metric == metric.key);
    let own = mean_interval(&values);
    let (value, interval) = match (metric.scale, told) {
        (Scale::Endless, _) => endless(&known().copied().collect::<Vec<_>>()),
        (_, Some(told)) => (told.mean, told.ci),
        _ => own,
    };
    Cell {
        value,
        interval,
        delta: told.filter(|_| index != page.study.facts.baseline).and_then(|told| delta(metric, told)),
        best: false,
        runs: values.len(),
        unknown: values.len() - known().count(),
        endless: known().filter(|value| value.is_infinite()).count(),
        thin: is_thin(metric, contender),
    }
}

/// The median and its distribution-free interval.
fn endless(values: &[f64]) -> (Option<f64>, Option<(f64, f64)>) {
    (median(values), median_interval(values, 0.05).map(|interval| (interval.low, interval.high)))
}

fn delta(metric: &Metric, told: &Comparison) -> Option<Delta> {
    let value = told.delta.filter(|delta| !delta.is_nan())?;
    let standing = match (told.separated, metric.better) {
        (None, _) => Standing::Unjudged,
        (Some(false), _) => Standing::Tie,
        (Some(true), Better::Neither) => Standing::Different,
        (Some(true), Better::Lower) if value < 0.0 => Standing::Better,
        (Some(true), Better::Higher) if value > 0.0 => Standing::Better,
        (Some(true), _) => Standing::Worse,
    };
    Some(Delta { value, interval: told.delta_ci, relative: told.relative, standing })
}

/// The quantile that a metric reads.
fn quantile_of(metric: &Metric) -> Option<f64> {
    match metric.key {
        "latency_p50" => Some(0.5),
        "latency_p90" => Some(0.9),
        "latency_p99" | "latency_all_p99" => Some(0.99),
        "latency_p999" => Some(0.999),
        _ => None,
    }
}

/// Whether some run has values, but too few beyond the quantile.
fn is_thin(metric: &Metric, contender: &Contender) -> bool {
    let Some(q) = quantile_of(metric) else { return false };
    let of_all = metric.key == "latency_all_p99";
    let mut counts = contender.runs.iter().map(|run| if of_all { run.latency_all.count } else { run.latency.count });
    counts.any(|count| count > 0 && !enough_beyond(count, q))
}

/// Whether `count` values leave enough beyond `q`.
pub fn enough_beyond(count: u64, q: f64) -> bool {
    // Half a value of slack: `1 - 0.99` is not quite a hundredth in binary.
    count as f64 * (1.0 - q) + 0.5 >= TAIL_VALUES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn with(values: &[(f64, f64)]) -> Column {
        let cell = |(value, half): &(f64, f64)| Cell {
            value: Some(*value),
            interval: Some((value - half, value + half)),
            ..Cell::default()
        };
        let mut column =
            Column { metric: find("latency_p99").expect("known"), cells: values.iter().map(cell).collect() };
        column.mark_best();
        column
    }

    fn bests(values: &[(f64, f64)]) -> Vec<bool> {
        with(values).cells.iter().map(|cell| cell.best).collect()
    }

    #[test]
    fn keys_and_caches_are_in_sight_where_there_are_any() {
        let mut study = sample::study(3, 2, 6);
        for run in study.contenders.iter_mut().flat_map(|contender| &mut contender.runs) {
            let work = &mut run.work;
            (work.keys_moved, work.keys_compared, work.cache_hits, work.cache_lookups) = (1, 10, 9, 10);
        }
        let comparisons = sample::comparisons(&study);
        let gates = [];
        let page = sample::page(&study, &comparisons, &gates);
        let place = |columns: &[Column], key: &str| columns.iter().position(|column| column.metric.key == key);
        for key in ["cache_hit_rate", "keys_moved"] {
            assert!(place(&wide(&page), key).is_some_and(|at| at < 7), "{key} has to be scrolled for");
            assert!(place(&essential(&page), key).is_some(), "{key} is not on the terminal");
        }
        for key in ALWAYS {
            assert!(place(&wide(&page), key).is_some(), "{key} is always asked for");
        }
        let calm = sample::calm();
        let comparisons = sample::comparisons(&calm);
        let none = essential(&sample::page(&calm, &comparisons, &gates));
        assert_eq!(place(&none, "keys_moved"), None, "no keys, no column");
    }

    #[test]
    fn best_is_a_group_and_may_be_empty() {
        assert_eq!(bests(&[(10.0, 1.0), (11.5, 1.0), (20.0, 1.0)]), [true, true, false]);
        assert_eq!(bests(&[(10.0, 1.0), (11.5, 1.0)]), [false, false], "nobody is left out");
        assert_eq!(bests(&[(10.0, 0.1), (11.5, 0.1)]), [true, false]);
        assert_eq!(bests(&[(f64::INFINITY, 0.0), (f64::INFINITY, 0.0)]), [false, false]);
        let mut bare = with(&[(10.0, 0.1), (11.5, 0.1)]);
        for cell in &mut bare.cells {
            *cell = Cell { value: cell.value, ..Cell::default() };
        }
        bare.mark_best();
        assert!(bare.cells.iter().all(|cell| !cell.best), "a point estimate alone has no rank");
    }

    #[test]
    fn ties_and_unknowns_are_told_apart() {
        let study = sample::study(3, 4, 6);
        let comparisons = sample::comparisons(&study);
        let columns = all(&sample::page(&study, &comparisons, &[]));
        let p99 = columns.iter().find(|column| column.metric.key == "latency_p99").expect("known");
        assert!(p99.cells[0].delta.is_none(), "the baseline has no difference to itself");
        assert_eq!(p99.cells[1].delta.expect("known").standing, Standing::Worse);
        assert_eq!(p99.cells[2].value, None);
        assert_eq!(p99.cells[2].unknown, 4);
        let recover = columns.iter().find(|column| column.metric.key == "time_to_recover").expect("faulted");
        assert_eq!(recover.cells[2].endless, 4);
        assert_eq!(recover.cells[2].value, Some(f64::INFINITY));
        assert!(columns.iter().all(|column| column.metric.key != "cache_hit_rate"), "there is no cache");
    }

    #[test]
    fn the_tail_rule_is_exact_at_its_edge() {
        assert!(enough_beyond(45_000, 0.99));
        assert!(!enough_beyond(44_900, 0.99));
        assert!(enough_beyond(450_000, 0.999));
    }
}
