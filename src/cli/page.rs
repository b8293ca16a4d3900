//! From a study to what reports show: comparisons, gates and the files' contents.

use serde_json::json;

use crate::judge::compare;
use crate::judge::gate;
use crate::judge::rule::Rule;
use crate::measure::summary::Study;
use crate::report::{self, Comparison, GateLine, Page, judged};
use crate::scenario::plan::Plan;

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
    let rules: Vec<Rule> = plan.expects.iter().map(|expect| expect.rule(&plan.name)).collect();
    let report = gate::judge(&study, &rules);
    let gates: Vec<GateLine> = judged::gate_lines(&study, &report);
    let comparisons = judged::comparisons(&compare::compare(&study));
    let plan_json = serde_json::to_string_pretty(plan).unwrap_or_default();
    let run_json = run_json(plan, &study, &report);
    Judged { study, comparisons, report, gates, plan_json, run_json }
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
        "format": report::recorded::FORMAT,
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
