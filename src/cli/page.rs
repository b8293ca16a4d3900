//! From a study to what reports show: comparisons, gates and the files' contents.

use serde_json::json;

use crate::judge::compare;
use crate::judge::gate::{self, Line, Shown, Verdict};
use crate::judge::rule::{Limit as RuleLimit, Rule};
use crate::measure::catalog::{self, Unit};
use crate::measure::summary::Study;
use crate::report::{self, Comparison, GateLine, Page};
use crate::scenario::plan::{Expect, Limit, Plan};

/// A study with what was judged about it.
pub(super) struct Judged {
    pub(super) study: Study,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) report: gate::Report,
    pub(super) gates: Vec<GateLine>,
    pub(super) plan_json: String,
    pub(super) run_json: String,
}

impl Judged {
    pub(super) fn page(&self) -> Page<'_> {
        Page { study: &self.study, comparisons: &self.comparisons, gates: &self.gates, plan_json: &self.plan_json }
    }
}

/// Compares and judges.
pub(super) fn judge(plan: &Plan, study: Study) -> Judged {
    let rules: Vec<Rule> = plan.expects.iter().map(|expect| rule(plan, expect)).collect();
    let report = gate::judge(&study, &rules);
    let gates: Vec<GateLine> = report.lines.iter().map(|line| gate_line(&study, line)).collect();
    let comparisons = compare::compare(&study).into_iter().map(comparison).collect();
    let plan_json = serde_json::to_string_pretty(plan).unwrap_or_default();
    let run_json = run_json(plan, &study, &report);
    Judged { study, comparisons, report, gates, plan_json, run_json }
}

fn rule(plan: &Plan, expect: &Expect) -> Rule {
    Rule {
        contender: expect.contender,
        metric: expect.metric.clone(),
        window: expect.window.map(|(from, until)| (from.as_nanos(), until.as_nanos())),
        limit: match expect.limit {
            Limit::AtMost(bound) => RuleLimit::AtMost(bound),
            Limit::AtLeast(bound) => RuleLimit::AtLeast(bound),
            Limit::NoWorseThan { contender, margin } => RuleLimit::NoWorseThan { contender, margin },
        },
        place: format!("{}:{}", plan.name, expect.line),
    }
}

fn comparison(found: compare::Comparison) -> Comparison {
    Comparison {
        metric: found.metric.to_owned(),
        contender: found.contender,
        mean: found.mean,
        ci: found.ci.map(|interval| (interval.low, interval.high)),
        delta: found.delta,
        delta_ci: found.delta_ci.map(|interval| (interval.low, interval.high)),
        separated: found.separated,
        relative: found.relative,
    }
}

fn gate_line(study: &Study, line: &Line) -> GateLine {
    let show = |value: f64| match line.shown {
        Shown::Change => format!("{:+.2} %", value * 100.0),
        Shown::Mean | Shown::Median | Shown::Difference => in_unit(&line.metric, value),
    };
    let mut value = line.value.map_or_else(|| "unknown".to_owned(), show);
    if let Some(remark) = &line.remark {
        value = format!("{value} ({remark})");
    }
    if let Verdict::Undecided(why) = &line.verdict {
        value = format!("{value} ({why})");
    }
    GateLine {
        rule: if line.implied { format!("{} (implied)", line.place) } else { line.place.clone() },
        contender: study.contenders[line.contender].name.clone(),
        metric: line.metric.clone(),
        limit: line.limit.clone(),
        value,
        interval: line
            .interval
            .map_or_else(String::new, |interval| format!("{} … {}", show(interval.low), show(interval.high))),
        seeds: line.seeds,
        verdict: match line.verdict {
            Verdict::Pass => report::Verdict::Pass,
            Verdict::Fail => report::Verdict::Fail,
            Verdict::Undecided(_) => report::Verdict::Undecided,
        },
    }
}

/// A value with the unit of its metric.
fn in_unit(metric: &str, value: f64) -> String {
    if value.is_infinite() {
        return "never".to_owned();
    }
    let digits = |value: f64| report::number::short(value);
    match catalog::find(metric).map(|metric| metric.unit) {
        Some(Unit::Ms) => format!("{} ms", digits(value)),
        Some(Unit::PerSecond) => format!("{}/s", digits(value)),
        Some(Unit::Calls) => digits(value),
        Some(Unit::Ratio) | None => digits(value),
    }
}

/// `run.json`: version, plan, seeds, one digest a run, verdicts.
fn run_json(plan: &Plan, study: &Study, report: &gate::Report) -> String {
    let run = |run: &crate::measure::summary::Summary| {
        json!({
            "seed": run.seed,
            "digest": run.digests.run,
            "outcome": run.digests.outcome,
            "workload": run.digests.workload,
            "accounting": {
                "scheduled": run.accounting.scheduled,
                "ended": run.accounting.ended,
                "unfinished": run.accounting.unfinished,
                "attempts": run.accounting.attempts,
                "events": run.accounting.events,
                "ties": run.accounting.ties,
            },
        })
    };
    let contenders: Vec<_> = study
        .contenders
        .iter()
        .map(|contender| {
            json!({
                "name": contender.name,
                "about": contender.about,
                "runs": contender.runs.iter().map(run).collect::<Vec<_>>(),
            })
        })
        .collect();
    let document = json!({
        "format": 1,
        "version": study.facts.version,
        "semantics": study.facts.semantics,
        "world": study.facts.world,
        "scenario": study.facts.scenario,
        "command": study.facts.command,
        "seeds": study.facts.seeds,
        "digest": report::digest(study),
        "verdict": report.verdict,
        "gates": report.lines,
        "contenders": contenders,
        "plan": plan,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
