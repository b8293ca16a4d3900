//! From windows of several seeds to lines that a chart can bear.
//!
//! A line shows the **median over the seeds**, window by window, for every quantity alike. Where fewer than half
//! of the seeds know a value there is a gap. Long lines are thinned by keeping the smallest and the largest value
//! of each bucket, so that no spike gets lost.

use crate::measure::series::Window;
use crate::measure::stats::median;
use crate::measure::summary::Contender;

/// Points of a line, in seconds of virtual time; `None` is a gap.
pub type Line = Vec<(f64, Option<f64>)>;

/// More points than this are never drawn for one line.
pub const POINTS_MAX: usize = 600;

/// The median over the seeds of one quantity, one point in the middle of each window up to `end` seconds.
pub fn over_seeds(contender: &Contender, end: f64, read: impl Fn(&Window, f64) -> Option<f64>) -> Line {
    let step = step_s(contender);
    let count = contender.runs.iter().map(|run| run.series.windows.len()).max().unwrap_or(0);
    let point = |i: usize| {
        let windows = contender.runs.iter().map(|run| run.series.windows.get(i));
        let known: Vec<f64> = windows.flatten().filter_map(|window| read(window, step)).collect();
        let enough = known.len() * 2 >= contender.runs.len();
        ((i as f64 + 0.5) * step, if enough { median(&known) } else { None })
    };
    if step <= 0.0 {
        return Line::new();
    }
    (0..count).map(point).take_while(|(at, _)| *at <= end).collect()
}

/// Length of a window in seconds; zero without windows.
pub fn step_s(contender: &Contender) -> f64 {
    contender.runs.iter().map(|run| run.series.step_ns).max().map_or(0.0, |ns| ns as f64 / 1e9)
}

/// At most about `limit` points, split at gaps. A gap narrower than a bucket is too narrow to be seen.
pub fn thinned(line: &Line, limit: usize) -> Vec<Vec<(f64, f64)>> {
    let limit = limit.clamp(2, POINTS_MAX);
    let mut parts: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for bucket in line.chunks(bucket_size(line.len(), limit)) {
        let points = extremes_in_order(bucket);
        match parts.last_mut() {
            Some(part) if !points.is_empty() => part.extend(points),
            Some(part) if !part.is_empty() => parts.push(Vec::new()),
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn bucket_size(points: usize, limit: usize) -> usize {
    // Two points leave each bucket of more than one.
    if points <= limit { 1 } else { points.div_ceil(limit / 2) }
}

fn extremes_in_order(bucket: &[(f64, Option<f64>)]) -> Vec<(f64, f64)> {
    let known = || bucket.iter().filter_map(|(at, value)| value.map(|value| (*at, value)));
    let low = known().min_by(|a, b| a.1.total_cmp(&b.1));
    let high = known().max_by(|a, b| a.1.total_cmp(&b.1));
    match (low, high) {
        (Some(low), Some(high)) if low.0 < high.0 => vec![low, high],
        (Some(low), Some(high)) if low.0 > high.0 => vec![high, low],
        (Some(only), _) => vec![only],
        _ => Vec::new(),
    }
}

/// For tables: `rows` stretches of equal length, each with its beginning and one value by `fold`.
pub fn condensed(line: &Line, rows: usize, fold: fn(&[f64]) -> Option<f64>) -> Line {
    let size = line.len().div_ceil(rows.max(1)).max(1);
    // Points stand in the middle of their windows, the first one half a window after zero.
    let half = line.first().map_or(0.0, |(at, _)| *at);
    let condense = |bucket: &[(f64, Option<f64>)]| {
        let known: Vec<f64> = bucket.iter().filter_map(|(_, value)| *value).collect();
        (bucket[0].0 - half, fold(&known))
    };
    line.chunks(size).map(condense).collect()
}

/// The largest, if there is one.
pub fn largest(values: &[f64]) -> Option<f64> {
    values.iter().copied().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn thinning_keeps_spikes_and_the_limit() {
        let mut line: Line = (0..10_000).map(|i| (f64::from(i), Some(1.0))).collect();
        line[7_777].1 = Some(99.0);
        line[1_234].1 = Some(-5.0);
        let parts = thinned(&line, 600);
        let points: Vec<(f64, f64)> = parts.concat();
        assert_eq!(parts.len(), 1);
        assert!(points.len() <= 600, "{}", points.len());
        assert!(points.contains(&(7_777.0, 99.0)) && points.contains(&(1_234.0, -5.0)));
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let line: Line = vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0)), (3.0, Some(3.0)), (4.0, None)];
        assert_eq!(thinned(&line, 600), [vec![(0.0, 1.0)], vec![(2.0, 2.0), (3.0, 3.0)]]);
        assert!(thinned(&vec![(0.0, None); 9], 600).is_empty());
    }

    #[test]
    fn half_of_the_seeds_must_know() {
        let mut study = sample::study(1, 3, 6);
        let read = |window: &Window, _: f64| window.p99_ns.map(|ns| ns as f64);
        let contender = &mut study.contenders[0];
        contender.runs[0].series.windows[5].p99_ns = None;
        assert!(over_seeds(contender, 180.0, read)[5].1.is_some());
        contender.runs[1].series.windows[5].p99_ns = None;
        assert!(over_seeds(contender, 180.0, read)[5].1.is_none());
        assert_eq!(over_seeds(contender, 90.0, read).len(), 90);
    }
}
