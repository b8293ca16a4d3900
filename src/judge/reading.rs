//! What the judge reads out of one run: a metric over the whole run or a stretch of it, how many calls stand
//! behind it, and whether the run's books balance.

use crate::measure::catalog::{self, Better, ERROR_RATE_BY_CAUSE, SHARE_BY_GROUP, Scale, Unit};
use crate::measure::series::Window;
use crate::measure::summary::Summary;

/// A stretch of virtual time `(from, until)` in nanoseconds since the run began.
pub(super) type Stretch = (u64, u64);

/// The metrics that can be judged over a stretch of time, because windows hold what they need.
pub const WINDOW_KEYS: &[&str] =
    &["goodput", "error_rate", "latency_p50", "latency_p99", "load_max_over_mean", "load_cv", "cache_hit_rate"];

/// The value of a metric over the windows that lie wholly in `[from_ns, until_ns)`, in the unit of the metric.
///
/// `goodput`, `error_rate` and `cache_hit_rate` are of the sums over the windows, `latency_p50` and `latency_p99` are the largest of
/// the windows (a quantile of parts cannot be had from their quantiles, and a gate wants the worst stretch), load
/// metrics are means over the windows. Calls belong to the window in which they ended.
///
/// Outer `None`: the metric has no values by window. Inner `None`: no window has one.
pub fn window_value(summary: &Summary, key: &str, from_ns: u64, until_ns: u64) -> Option<Option<f64>> {
    let step_ns = summary.series.step_ns;
    let inside = || windows_inside(summary, (from_ns, until_ns));
    let largest_ms = |read: fn(&Window) -> Option<u64>| inside().filter_map(read).max().map(|ns| ns as f64 / 1e6);
    Some(match key {
        "goodput" => {
            let (mut good, mut windows) = (0, 0);
            inside().for_each(|window| (good, windows) = (good + window.good, windows + 1));
            (windows > 0).then(|| good as f64 / (windows as f64 * step_ns as f64 / 1e9))
        }
        "error_rate" => {
            let failed: u64 = inside().map(|window| window.failed).sum();
            let ended = ended_inside(summary, (from_ns, until_ns));
            (ended > 0).then(|| failed as f64 / ended as f64)
        }
        "latency_p50" => largest_ms(|window| window.p50_ns),
        "latency_p99" => largest_ms(|window| window.p99_ns),
        "load_max_over_mean" => mean_of(inside().filter_map(|window| window.max_over_mean)),
        "load_cv" => mean_of(inside().filter_map(|window| window.cv)),
        "cache_hit_rate" => {
            let hits: u64 = inside().map(|window| window.cache_hits).sum();
            let lookups = lookups_inside(summary, (from_ns, until_ns));
            (lookups > 0).then(|| hits as f64 / lookups as f64)
        }
        _ => return None,
    })
}

/// The value of a metric, over the whole run or a stretch. `None`: unknown in this run, or no such metric. Values
/// that are not numbers are unknown; infinity is a value only where a metric can be endless.
pub(super) fn value(summary: &Summary, key: &str, stretch: Option<Stretch>) -> Option<f64> {
    let value = match stretch {
        None => catalog::value(summary, key)??,
        Some((from, until)) => window_value(summary, key, from, until)??,
    };
    let endless = traits(key)?.scale == Scale::Endless;
    (value.is_finite() || (endless && value == f64::INFINITY)).then_some(value)
}

/// How a metric of any key is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    pub scale: Scale,
    pub better: Better,
    pub unit: Unit,
    /// People read and write it in percent.
    pub in_percent: bool,
}

/// `None` if there is no such metric.
pub(super) fn traits(key: &str) -> Option<Traits> {
    let of = |metric: &catalog::Metric| Traits {
        scale: metric.scale,
        better: metric.better,
        unit: metric.unit,
        in_percent: metric.is_in_percent(),
    };
    catalog::like(key).map(of)
}

/// How many yes-or-no trials a fraction counts: the calls under an error rate, the look-ups under a hit rate.
/// `None` where the fraction is not a count over a count.
pub(super) fn trials(summary: &Summary, key: &str, stretch: Option<Stretch>) -> Option<u64> {
    match (stretch, key) {
        (Some(stretch), "error_rate") => return Some(ended_inside(summary, stretch)),
        (Some(stretch), "cache_hit_rate") => return Some(lookups_inside(summary, stretch)),
        _ => {}
    }
    match key {
        "error_rate" => Some(summary.outcomes.calls),
        "cross_zone_share" => Some(summary.work.attempts),
        "cache_hit_rate" => Some(summary.work.cache_lookups),
        "keys_moved" | "keys_moved_collateral" => Some(summary.work.keys_compared),
        "affinity_rate" => Some(summary.work.keys_repeated),
        _ if key.starts_with(SHARE_BY_GROUP) => Some(summary.work.attempts),
        _ if key.starts_with(ERROR_RATE_BY_CAUSE) => Some(summary.outcomes.calls),
        _ => None,
    }
}

/// Calls beyond a quantile, `n (1 - q)`, for a metric that is one; `None` for the others. Over a stretch `n` counts
/// the calls of all its windows.
pub(super) fn tail_calls(summary: &Summary, key: &str, stretch: Option<Stretch>) -> Option<u64> {
    let per_mille = match key {
        "latency_p50" => 500,
        "latency_p90" => 100,
        "latency_p99" | "latency_all_p99" => 10,
        "latency_p999" => 1,
        _ => return None,
    };
    let calls = match stretch {
        Some(stretch) => windows_inside(summary, stretch).map(|window| window.good).sum(),
        None if key == "latency_all_p99" => summary.latency_all.count,
        None => summary.latency.count,
    };
    Some(calls.saturating_mul(per_mille) / 1_000)
}

/// What does not balance in the books of a run, if anything: calls born are calls ended or unfinished, counted
/// calls are well or failed for some cause, and sojourns sum up to the integral of calls in flight (Little, 1961).
pub(super) fn imbalance(summary: &Summary) -> Option<String> {
    let books = &summary.accounting;
    let found = u128::from(books.ended) + u128::from(books.unfinished);
    if found != u128::from(books.scheduled) {
        return Some(format!("{} calls were born, {found} ended or are unfinished", books.scheduled));
    }
    let outcomes = &summary.outcomes;
    let failed: u128 = outcomes.failures.iter().map(|(_, count)| u128::from(*count)).sum();
    let found = u128::from(outcomes.ok) + failed;
    if found != u128::from(outcomes.calls) {
        return Some(format!("{} calls are counted, {found} ended well or failed", outcomes.calls));
    }
    let (sojourns, area) = (books.sojourn_sum_ns, books.in_flight_area_ns);
    (sojourns != area).then(|| format!("sojourns sum up to {sojourns} ns, calls in flight to {area} ns"))
}

fn windows_inside(summary: &Summary, (from_ns, until_ns): Stretch) -> impl Iterator<Item = &Window> {
    let step_ns = summary.series.step_ns.max(1);
    let (first, end) = (from_ns.div_ceil(step_ns), until_ns / step_ns);
    let end = usize::try_from(end).unwrap_or(usize::MAX).min(summary.series.windows.len());
    let first = usize::try_from(first).unwrap_or(usize::MAX).min(end);
    summary.series.windows[first..end].iter()
}

fn ended_inside(summary: &Summary, stretch: Stretch) -> u64 {
    windows_inside(summary, stretch).map(|window| window.good + window.failed).sum()
}

fn lookups_inside(summary: &Summary, stretch: Stretch) -> u64 {
    windows_inside(summary, stretch).map(|window| window.cache_lookups).sum()
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    crate::measure::stats::mean(&values.collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::series::Series;

    const S: u64 = 1_000_000_000;

    fn run() -> Summary {
        let window = |good, failed, p99_ms: Option<u64>, load| Window {
            good,
            failed,
            p50_ns: p99_ms.map(|ms| ms * 500_000),
            p99_ns: p99_ms.map(|ms| ms * 1_000_000),
            max_over_mean: load,
            ..Window::default()
        };
        let windows = vec![
            window(100, 0, Some(10), Some(1.0)),
            window(50, 50, Some(90), Some(3.0)),
            window(0, 100, None, None),
            window(90, 10, Some(20), Some(2.0)),
        ];
        Summary { series: Series { step_ns: S, windows }, ..Summary::default() }
    }

    #[test]
    fn only_whole_windows_count() {
        let rate = |from, until| window_value(&run(), "error_rate", from, until).unwrap();
        assert_eq!(rate(0, 4 * S), Some(0.4));
        assert_eq!(rate(S, 2 * S), Some(0.5));
        assert_eq!(rate(S - 1, 2 * S + 1), Some(0.5));
        assert_eq!(rate(1, 2 * S - 1), None, "no window lies in there");
        assert_eq!(rate(3 * S, 99 * S), Some(0.1), "there are no windows after the end");
        assert_eq!(rate(99 * S, S), None, "an empty stretch");
    }

    #[test]
    fn windows_are_folded_by_kind() {
        let value = |key| window_value(&run(), key, S, 4 * S).unwrap();
        assert_eq!(value("goodput"), Some(140.0 / 3.0));
        assert_eq!(value("latency_p99"), Some(90.0));
        assert_eq!(value("latency_p50"), Some(45.0));
        assert_eq!(value("load_max_over_mean"), Some(2.5));
        assert_eq!(value("load_cv"), None);
        assert_eq!(window_value(&run(), "latency_p99", 2 * S, 3 * S), Some(None), "nobody ended well");
        assert_eq!(window_value(&run(), "time_to_recover", 0, S), None);
        for key in WINDOW_KEYS {
            assert!(window_value(&run(), key, 0, S).is_some() && traits(key).is_some(), "{key}");
        }
    }

    #[test]
    fn families_and_unknown_keys() {
        assert_eq!(traits("error_rate.deadline").unwrap().scale, Scale::Fraction);
        assert!(traits("error_rate.weather").is_none() && traits("weather").is_none());
    }

    #[test]
    fn every_quantile_of_the_catalogue_has_a_tail() {
        for metric in catalog::METRICS.iter().filter(|metric| metric.key.contains("_p")) {
            let quantile = metric.key.starts_with("latency");
            assert_eq!(tail_calls(&run(), metric.key, None).is_some(), quantile, "{}", metric.key);
        }
        let run =
            Summary { latency: crate::measure::summary::Latency { count: 45_099, ..Default::default() }, ..run() };
        assert_eq!(tail_calls(&run, "latency_p99", None), Some(450));
        assert_eq!(tail_calls(&run, "latency_p99", Some((0, 4 * S))), Some(2));
    }

    #[test]
    fn broken_books_are_named() {
        assert_eq!(imbalance(&Summary::default()), None);
        let mut lost = Summary::default();
        (lost.accounting.scheduled, lost.accounting.ended) = (10, 9);
        assert_eq!(imbalance(&lost).unwrap(), "10 calls were born, 9 ended or are unfinished");
        let mut uncounted = Summary::default();
        (uncounted.outcomes.calls, uncounted.outcomes.ok) = (10, 8);
        uncounted.outcomes.failures = vec![("deadline".into(), 1)];
        assert_eq!(imbalance(&uncounted).unwrap(), "10 calls are counted, 9 ended well or failed");
        let mut area = Summary::default();
        area.accounting.sojourn_sum_ns = 5;
        assert_eq!(imbalance(&area).unwrap(), "sojourns sum up to 5 ns, calls in flight to 0 ns");
    }
}
