//! The three CSV files of a report folder.
//!
//! `summary.csv` is a contract: long form, one row for each metric of each run in catalogue order, then the mean
//! over the seeds (empty `seed`) with its 95 % interval in rows of their own. All files are UTF-8 with `\n`,
//! numbers are fixed-point decimals, and three things are kept apart:
//!
//! - **unknown** is an empty cell, never zero: the latency of a run in which no call ended well;
//! - **endless** is `inf`: the time to recover of a run that never did. It is known, and worse than any number;
//! - the **mean** over seeds is empty unless every seed has a finite value, because a mean over some of them
//!   would compare different things; its interval is empty with fewer than two seeds.
//!
//! `error_rate.<cause>` has rows for the causes that occur in any run of the contender; others are zero.

use ::csv::{Terminator, Writer, WriterBuilder};

use super::mean_interval;
use super::number::{file_digits, plain};
use super::recorded::HEADER;
use crate::base::status::Cause;
use crate::measure::catalog::{ERROR_RATE_BY_CAUSE, METRICS, SHARE_BY_GROUP, Unit, error_rate_of, share_of};
use crate::measure::series::{Series, Window};
use crate::measure::summary::{BackendFact, BackendTally, Contender, Study, Summary};

/// `summary.csv`.
pub fn summary_csv(study: &Study) -> Vec<u8> {
    let mut table = Table::new(&HEADER);
    let rows: Vec<(&Contender, Vec<Row>)> = study.contenders.iter().map(|c| (c, rows_of(c))).collect();
    for (contender, rows) in &rows {
        for (i, run) in contender.runs.iter().enumerate() {
            for row in rows {
                table.metric_row(study, contender, &run.seed.to_string(), &row.key, row.unit, row.values[i]);
            }
        }
    }
    for (contender, rows) in &rows {
        for row in rows {
            let (mean, interval) = mean_interval(&row.values);
            let bound = |suffix: &str| format!("{}{suffix}", row.key);
            table.metric_row(study, contender, "", &row.key, row.unit, mean);
            table.metric_row(study, contender, "", &bound(".ci_low"), row.unit, interval.map(|(low, _)| low));
            table.metric_row(study, contender, "", &bound(".ci_high"), row.unit, interval.map(|(_, high)| high));
        }
    }
    table.finish()
}

/// `series.csv`: one row a contender, seed and window, over the whole run including the warm-up.
pub fn series_csv(study: &Study) -> Vec<u8> {
    let mut table = Table::new(&[
        "scenario",
        "contender",
        "seed",
        "from_s",
        "offered_per_s",
        "good_per_s",
        "failed_per_s",
        "attempts_per_s",
        "p50_ms",
        "p99_ms",
        "in_flight_max",
        "queue_max",
        "max_over_mean",
        "cv",
        "cache_hit_rate",
    ]);
    for contender in &study.contenders {
        for run in &contender.runs {
            let start = [free_text(&study.facts.scenario), free_text(&contender.name), run.seed.to_string()];
            for (i, window) in run.series.windows.iter().enumerate() {
                table.row(start.iter().cloned().chain(window_cells(&run.series, i, window)));
            }
        }
    }
    table.finish()
}

/// `backends.csv`: one row a contender, seed and backend, over the measured stretch.
pub fn backends_csv(study: &Study) -> Vec<u8> {
    let mut table = Table::new(&[
        "scenario",
        "contender",
        "seed",
        "backend",
        "zone",
        "weight",
        "attempts",
        "ok",
        "failed",
        "busy_s",
        "queue_max",
        "in_flight_max",
        "connections",
        "share_over_fair",
    ]);
    for contender in &study.contenders {
        for run in &contender.runs {
            let start = [free_text(&study.facts.scenario), free_text(&contender.name), run.seed.to_string()];
            let shares = share_over_fair(&study.facts.backends, &run.backends);
            let backends = study.facts.backends.iter().zip(&run.backends).zip(shares);
            for ((fact, tally), share) in backends {
                table.row(start.iter().cloned().chain(backend_cells(fact, tally, share)));
            }
        }
    }
    table.finish()
}

/// Attempts of each backend over its weight's share of all of them; unknown without attempts or weight.
pub fn share_over_fair(facts: &[BackendFact], tallies: &[BackendTally]) -> Vec<Option<f64>> {
    let attempts: u64 = tallies.iter().map(|tally| tally.attempts).sum();
    let weight: u64 = facts.iter().map(|fact| u64::from(fact.weight)).sum();
    let share = |(fact, tally): (&BackendFact, &BackendTally)| {
        let fair = attempts as f64 * f64::from(fact.weight) / weight as f64;
        (fair > 0.0).then(|| tally.attempts as f64 / fair)
    };
    facts.iter().zip(tallies).map(share).collect()
}

/// A metric of a contender in all its runs.
struct Row {
    key: String,
    unit: Unit,
    values: Vec<Option<f64>>,
}

fn rows_of(contender: &Contender) -> Vec<Row> {
    let values = |read: &dyn Fn(&Summary) -> Option<f64>| contender.runs.iter().map(read).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for metric in METRICS {
        rows.push(Row { key: metric.key.to_owned(), unit: metric.unit, values: values(&metric.read) });
        if metric.key == "error_rate" {
            rows.extend(Cause::ALL.into_iter().filter(|cause| occurs(contender, *cause)).map(|cause| Row {
                key: format!("{ERROR_RATE_BY_CAUSE}{}", cause.name()),
                unit: metric.unit,
                values: values(&|run| error_rate_of(run, cause.name())),
            }));
        }
        if metric.key == "cross_zone_share" {
            rows.extend(groups_of(contender).iter().map(|(name, _)| Row {
                key: format!("{SHARE_BY_GROUP}{name}"),
                unit: metric.unit,
                values: values(&|run| share_of(run, name).flatten()),
            }));
        }
    }
    rows
}

/// The groups among which attempts are shared; none where there is only one.
fn groups_of(contender: &Contender) -> &[(String, u64)] {
    contender.runs.first().map_or(&[], |run| if run.groups.len() > 1 { &run.groups } else { &[] })
}

fn occurs(contender: &Contender, cause: Cause) -> bool {
    let mut failures = contender.runs.iter().flat_map(|run| &run.outcomes.failures);
    failures.any(|(name, count)| name == cause.name() && *count > 0)
}

fn window_cells(series: &Series, i: usize, window: &Window) -> [String; 12] {
    let step_s = series.step_ns as f64 / 1e9;
    let rate = |count: u64| plain((step_s > 0.0).then(|| count as f64 / step_s), 6);
    let ms = |ns: Option<u64>| plain(ns.map(|ns| ns as f64 / 1e6), 6);
    [
        nanos_as_seconds(series.step_ns as u128 * i as u128),
        rate(window.offered),
        rate(window.good),
        rate(window.failed),
        rate(window.attempts),
        ms(window.p50_ns),
        ms(window.p99_ns),
        window.in_flight_max.to_string(),
        window.queue_max.to_string(),
        plain(window.max_over_mean, 9),
        plain(window.cv, 9),
        plain((window.cache_lookups > 0).then(|| window.cache_hits as f64 / window.cache_lookups as f64), 9),
    ]
}

fn backend_cells(fact: &BackendFact, tally: &BackendTally, share: Option<f64>) -> [String; 11] {
    [
        free_text(&fact.name),
        free_text(&fact.zone),
        fact.weight.to_string(),
        tally.attempts.to_string(),
        tally.ok.to_string(),
        tally.failed.to_string(),
        nanos_as_seconds(tally.served_ns),
        tally.queue_max.to_string(),
        tally.in_flight_max.to_string(),
        tally.connections.map_or(String::new(), |connections| connections.to_string()),
        plain(share, 9),
    ]
}

/// Exact: no float in between.
fn nanos_as_seconds(ns: u128) -> String {
    let (whole, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:09}").trim_end_matches('0').to_owned() }
}

/// A cell that a spreadsheet would take for a formula gets an apostrophe in front, also after blanks.
fn free_text(text: &str) -> String {
    let first = text.chars().find(|c| !matches!(c, ' ' | '\n'));
    if matches!(first, Some('=' | '+' | '-' | '@' | '\t' | '\r')) { format!("'{text}") } else { text.to_owned() }
}

/// Rows on their way into bytes.
struct Table(Writer<Vec<u8>>);

impl Table {
    fn new(head: &[&str]) -> Table {
        let mut table = Table(WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(Vec::new()));
        table.row(head.iter().map(|cell| (*cell).to_owned()));
        table
    }

    fn row(&mut self, cells: impl Iterator<Item = String>) {
        self.0.write_record(cells.map(String::into_bytes)).expect("rows are equally long and memory does not fail");
    }

    fn metric_row(&mut self, study: &Study, contender: &Contender, seed: &str, key: &str, unit: Unit, v: Option<f64>) {
        let cells = [
            free_text(&study.facts.scenario),
            free_text(&contender.name),
            seed.to_owned(),
            key.to_owned(),
            unit.text().to_owned(),
            plain(v, file_digits(unit)),
        ];
        self.row(cells.into_iter());
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("memory does not fail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("CSV is UTF-8")
    }

    fn column(csv: &str, index: usize) -> Vec<String> {
        let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
        reader.records().map(|row| row.expect("well formed")[index].to_owned()).collect()
    }

    #[test]
    fn summary_has_every_metric_of_every_run() {
        let study = sample::study(3, 4, 6);
        let csv = text(summary_csv(&study));
        let rows: Vec<String> = csv.lines().skip(1).map(str::to_owned).collect();
        for contender in &study.contenders {
            for metric in METRICS {
                for run in &contender.runs {
                    let start = format!("{},{},{},{},", study.facts.scenario, contender.name, run.seed, metric.key);
                    assert_eq!(rows.iter().filter(|row| row.starts_with(&start)).count(), 1, "{start}");
                }
                for suffix in ["", ".ci_low", ".ci_high"] {
                    let start = format!("{},{},,{}{suffix},", study.facts.scenario, contender.name, metric.key);
                    assert_eq!(rows.iter().filter(|row| row.starts_with(&start)).count(), 1, "{start}");
                }
            }
        }
        assert!(!csv.contains('\r') && csv.ends_with('\n'));
    }

    #[test]
    fn unknown_is_empty_and_endless_is_inf() {
        let study = sample::study(3, 2, 6);
        let csv = text(summary_csv(&study));
        let value = |contender: &str, seed: &str, key: &str| {
            let start = format!("region-outage,{contender},{seed},{key},");
            let row = csv.lines().find(|row| row.starts_with(&start)).expect("the row exists");
            row.rsplit(',').next().expect("a row has cells").to_owned()
        };
        let dead = sample::DEAD;
        assert_eq!(value(dead, "1", "latency_p99"), "", "no call ended well, so there is no latency");
        assert_eq!(value(dead, "1", "goodput"), "0", "but goodput is known to be zero");
        assert_eq!(value(dead, "", "latency_p99"), "");
        assert_eq!(value(dead, "1", "time_to_recover"), "inf");
        assert_eq!(value(dead, "", "time_to_recover"), "", "a mean with an endless value is unknown");
        assert_eq!(value("round_robin", "1", "cache_hit_rate"), "", "there is no cache");
        assert!(!csv.contains("NaN"));
    }

    #[test]
    fn causes_that_occur_have_rows_in_every_run() {
        let csv = text(summary_csv(&sample::study(2, 2, 6)));
        let keys = column(&csv, 3);
        assert!(keys.contains(&"error_rate.deadline".to_owned()));
        assert!(!keys.contains(&"error_rate.rejected".to_owned()));
    }

    #[test]
    fn formulas_are_disarmed() {
        assert_eq!(free_text("=1+1"), "'=1+1");
        assert_eq!(free_text(" \n@x"), "' \n@x");
        assert_eq!(free_text("\tx"), "'\tx");
        assert_eq!(free_text("a-b"), "a-b");
        let csv = text(backends_csv(&sample::hostile()));
        for cell in column(&csv, 3).iter().chain(&column(&csv, 1)) {
            assert!(!cell.trim_start().starts_with(['=', '+', '-', '@']), "{cell:?}");
        }
    }

    #[test]
    fn snapshot() {
        let study = sample::study(2, 2, 2);
        insta::assert_snapshot!("summary_csv", text(summary_csv(&study)));
        insta::assert_snapshot!("series_csv", text(series_csv(&study)).lines().take(12).collect::<Vec<_>>().join("\n"));
        insta::assert_snapshot!("backends_csv", text(backends_csv(&study)));
    }

    #[test]
    fn seconds_are_exact() {
        assert_eq!(nanos_as_seconds(1_500_000_000), "1.5");
        assert_eq!(nanos_as_seconds(123_456_789_012_345_678_901), "123456789012.345678901");
        assert_eq!(nanos_as_seconds(0), "0");
    }
}
