//! `plimsoll check`: run, judge every gate, and tell a build.

use super::Exit;
use super::args::{Format, RunOptions};
use super::page::Judged;
use super::run::{each_plan, say};
use crate::report::GateLine;

/// Runs every file and judges it. One line a gate; the report is written also when it fails.
pub(super) fn check(options: &RunOptions) -> Exit {
    each_plan(options, "check", |judged| {
        let said = match options.format {
            Format::Json => say(&judged.run_json),
            Format::Human => say(&lines(judged)),
        };
        said.worse(exit_of(judged))
    })
}

fn exit_of(judged: &Judged) -> Exit {
    match judged.report.exit_code() {
        0 => Exit::Pass,
        3 => Exit::Failed,
        _ => Exit::Undecided,
    }
}

fn lines(judged: &Judged) -> String {
    let name = &judged.study.facts.scenario;
    if judged.gates.is_empty() {
        return format!("PASS       {name}: no [[expect]] to judge; the books of all runs balance\n");
    }
    judged.gates.iter().map(|gate| line(name, gate)).collect()
}

fn line(scenario: &str, gate: &GateLine) -> String {
    let GateLine { contender, metric, limit, value, interval, seeds, verdict, remark, .. } = gate;
    let gap = if interval.is_empty() { "" } else { " " };
    let more = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
    let text = format!("{scenario} · {contender}: {metric} {limit}: {value}{gap}{interval}, {seeds} seeds{more}");
    format!("{:<10} {}\n", verdict.text(), crate::report::text::clean(&text))
}
