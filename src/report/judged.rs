//! What judges hand over, in words and numbers that are ready to be shown.

use super::number::{UNKNOWN, difference, short, with_unit};
use super::{Comparison, GateLine, Verdict};
use crate::judge::{self, Line, Shown};
use crate::measure::catalog::{Metric, like};
use crate::measure::stats::Interval;
use crate::measure::summary::Study;

/// Every comparison of a study.
pub fn comparisons(found: &[judge::Comparison]) -> Vec<Comparison> {
    let ends = |interval: Option<Interval>| interval.map(|interval| (interval.low, interval.high));
    let comparison = |found: &judge::Comparison| Comparison {
        metric: found.metric.to_owned(),
        contender: found.contender,
        mean: found.mean,
        ci: ends(found.ci),
        delta: found.delta,
        delta_ci: ends(found.delta_ci),
        separated: found.separated,
        relative: found.relative,
    };
    found.iter().map(comparison).collect()
}

/// Every gate of a study, in the order of the report.
pub fn gate_lines(study: &Study, report: &judge::Report) -> Vec<GateLine> {
    report.lines.iter().map(|line| gate_line(study, line)).collect()
}

fn gate_line(study: &Study, line: &Line) -> GateLine {
    let contender = study.contenders.get(line.contender).map_or(String::new(), |contender| contender.name.clone());
    let interval =
        line.interval.map_or(String::new(), |ends| format!("[{}, {}]", end(line, ends.low), end(line, ends.high)));
    GateLine {
        rule: if line.implied { format!("{} (implied)", line.place) } else { line.place.clone() },
        contender,
        metric: line.metric.clone(),
        limit: line.window.map_or(line.limit.clone(), |window| format!("{}, {}", line.limit, stretch_of(window))),
        value: line.value.map_or(UNKNOWN.to_owned(), |value| shown(line, value)),
        interval,
        seeds: line.seeds,
        verdict: match &line.verdict {
            judge::Verdict::Pass => Verdict::Pass,
            judge::Verdict::Fail => Verdict::Fail,
            judge::Verdict::Undecided(_) => Verdict::Undecided,
        },
        remark: remark(line),
    }
}

/// The reason for an undecided line, the remark on any, and what the seeds could have judged.
fn remark(line: &Line) -> String {
    let reason = match &line.verdict {
        judge::Verdict::Undecided(reason) => Some(reason.clone()),
        _ => None,
    };
    let judgeable = line.judgeable.map(|judgeable| match judgeable.passes_to {
        Some(to) => format!("these seeds could tell {} from {}", shown(line, to), shown(line, judgeable.fails_from)),
        None => format!("these seeds could only tell a failure from {} on", shown(line, judgeable.fails_from)),
    });
    let implied = line.implied.then(|| "not written in the file, but implied".to_owned());
    let parts: Vec<String> = [reason, line.remark.clone(), judgeable, implied].into_iter().flatten().collect();
    parts.join("; ")
}

/// An end of an interval, no further out than the metric itself can be: nothing that is measured is negative, and no
/// share is above all. Few seeds leave open more than that.
fn end(line: &Line, value: f64) -> String {
    let most = if like(&line.metric).is_some_and(Metric::is_in_percent) { 1.0 } else { f64::INFINITY };
    match line.shown {
        Shown::Mean | Shown::Median => shown(line, value.clamp(0.0, most)),
        Shown::Change | Shown::Difference => shown(line, value),
    }
}

/// A number of a line in the unit that its reader expects.
fn shown(line: &Line, value: f64) -> String {
    if value.is_infinite() {
        return "never".to_owned();
    }
    // The parts of the error rate are shown like the whole.
    match (like(&line.metric), line.shown) {
        (None, _) => short(value),
        (Some(metric), Shown::Mean | Shown::Median) => with_unit(metric, value),
        (Some(metric), Shown::Change) => difference(metric, value, true),
        (Some(metric), Shown::Difference) => difference(metric, value, false),
    }
}

fn stretch_of((from, until): (u64, u64)) -> String {
    format!("{} – {}", super::number::stretch(from), super::number::stretch(until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn line(verdict: judge::Verdict) -> Line {
        Line {
            contender: 1,
            metric: "error_rate".to_owned(),
            window: Some((60_000_000_000, 90_000_000_000)),
            limit: "at most 1 %".to_owned(),
            place: "x.toml:9".to_owned(),
            implied: false,
            shown: Shown::Mean,
            value: Some(0.0098),
            interval: Some(Interval { low: 0.0091, high: 0.0105 }),
            seeds: 10,
            verdict,
            remark: None,
            judgeable: Some(judge::Judgeable { passes_to: Some(0.0086), fails_from: 0.0123 }),
        }
    }

    #[test]
    fn an_undecided_gate_says_why() {
        let study = sample::study(2, 2, 6);
        let shown = gate_line(&study, &line(judge::Verdict::Undecided("the interval contains the limit".to_owned())));
        assert_eq!(shown.contender, "nearest_first");
        assert_eq!(shown.limit, "at most 1 %, 60 s – 90 s");
        assert_eq!((shown.value.as_str(), shown.interval.as_str()), ("0.980 %", "[0.910 %, 1.05 %]"));
        assert_eq!(shown.verdict, Verdict::Undecided);
        assert_eq!(shown.remark, "the interval contains the limit; these seeds could tell 0.860 % from 1.23 %");
    }

    #[test]
    fn no_interval_ends_where_no_metric_can_be() {
        let study = sample::study(2, 2, 6);
        let interval = |metric: &str, shown: Shown| {
            let wide = Some(Interval { low: -5.02, high: 8.44 });
            let line = Line { metric: metric.to_owned(), interval: wide, shown, ..line(judge::Verdict::Pass) };
            gate_line(&study, &line).interval
        };
        assert_eq!(interval("error_rate", Shown::Mean), "[0 %, 100 %]");
        assert_eq!(interval("error_rate.deadline", Shown::Mean), "[0 %, 100 %]");
        assert_eq!(interval("load_cv", Shown::Mean), "[0, 8.44]");
        assert_eq!(interval("error_rate", Shown::Difference), "[−502 pp, +844 pp]");
    }

    #[test]
    fn unknown_values_and_other_metrics_are_shown() {
        let study = sample::study(2, 2, 6);
        let books = Line {
            metric: "accounting".to_owned(),
            value: None,
            interval: None,
            judgeable: None,
            ..line(judge::Verdict::Fail)
        };
        let shown = gate_line(&study, &books);
        assert_eq!((shown.value.as_str(), shown.interval.as_str(), shown.remark.as_str()), (UNKNOWN, "", ""));
        let change = Line {
            metric: "latency_p99".to_owned(),
            shown: Shown::Change,
            value: Some(0.05),
            ..line(judge::Verdict::Fail)
        };
        assert_eq!(gate_line(&study, &change).value, "+5.0 %");
        let cause = Line { metric: "error_rate.deadline".to_owned(), ..line(judge::Verdict::Pass) };
        assert_eq!(gate_line(&study, &cause).value, "0.980 %");
    }

    #[test]
    fn a_judged_study_makes_a_page() {
        let study = sample::study(3, 6, 12);
        let comparisons = comparisons(&judge::compare(&study));
        let report = judge::judge(&study, &[]);
        let gates = gate_lines(&study, &report);
        let page = super::super::html::document(&sample::page(&study, &comparisons, &gates));
        assert!(page.contains("Scoreboard") && !page.contains("NaN"));
    }
}
