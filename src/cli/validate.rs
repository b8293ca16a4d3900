//! `plimsoll validate`: the simulator against queueing theory.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::args::{Format, ValidateOptions};
use super::run::{say, width};
use super::{Exit, progress};
use crate::report::text::wrap;
use crate::study::Settings;
use crate::theory::{CASES, Case, Check, Fact};

/// Runs every model whose answer is known and compares. A simulator that is wrong is our bug.
pub(super) fn validate(options: &ValidateOptions) -> Exit {
    let wanted = options.model.as_deref().unwrap_or_default();
    let cases: Vec<&Case> = CASES.iter().filter(|case| is_about(case, wanted)).collect();
    if cases.is_empty() {
        eprintln!(
            "error: no model has `{wanted}` in its name\n  help: `plimsoll validate` without it takes all of them"
        );
        return Exit::BadInput;
    }
    let stop = progress::stop_flag();
    let bar = progress::bar(cases.len(), "theory", options.quiet);
    let settings = Settings { threads: options.threads, stop: Some(&stop), ..Settings::default() };
    let mut checks = Vec::new();
    for case in cases {
        let Some(study) = case.study(&settings).filter(|_| !stop.load(Ordering::SeqCst)) else {
            bar.finish_and_clear();
            return Exit::Interrupted;
        };
        checks.extend(case.checks(&study));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let said = match options.format {
        Format::Json => say(&serde_json::to_string_pretty(&document(&checks)).unwrap_or_default()),
        Format::Human => say(&table(&checks, options.quiet, width())),
    };
    said.worse(exit_of(&checks))
}

/// Whether one of its facts is about a model with this in its name.
fn is_about(case: &Case, model: &str) -> bool {
    case.facts.iter().any(|id| Fact::named(id).model.contains(model))
}

fn exit_of(checks: &[Check]) -> Exit {
    if checks.iter().all(Check::agrees) { Exit::Pass } else { Exit::Bug }
}

fn document(checks: &[Check]) -> Value {
    let row = |check: &Check| {
        json!({
            "fact": check.fact.id,
            "model": check.fact.model,
            "parameters": check.fact.parameters,
            "source": check.fact.source,
            "metric": check.fact.metric,
            "expected": check.fact.expected,
            "simulated": check.simulated,
            "off": check.off(),
            "allowed": check.allowed,
            "calls": check.calls,
            "agrees": check.agrees(),
        })
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "semantics": crate::record::digest::SEMANTICS,
        "agrees": checks.iter().all(Check::agrees),
        "checks": checks.iter().map(row).collect::<Vec<_>>(),
    })
}

/// A head for each model and a row for each of its facts. Where less is wanted, only what disagrees.
fn table(checks: &[Check], quiet: bool, width: usize) -> String {
    let mut out = String::new();
    let mut model = (String::new(), String::new());
    for check in checks.iter().filter(|check| !quiet || !check.agrees()) {
        let fact = &check.fact;
        let next = (fact.model.clone(), fact.parameters.clone());
        if next != model {
            let head = format!("{} ({}; {})", next.0, next.1.replace(',', ", "), fact.source);
            wrap(&head, width).iter().for_each(|line| out += &format!("{line}\n"));
            model = next;
        }
        out += &row(check);
    }
    let agreeing = checks.iter().filter(|check| check.agrees()).count();
    let calls: u64 = CASES.iter().filter_map(|case| calls_of(case.facts, checks)).sum();
    out + &format!("\n{agreeing} of {} facts agree, over {:.1} million calls\n", checks.len(), calls as f64 / 1e6)
}

/// Calls of a case, which all of its facts share.
fn calls_of(facts: &[&str], checks: &[Check]) -> Option<u64> {
    checks.iter().find(|check| facts.first() == Some(&check.fact.id.as_str())).map(|check| check.calls)
}

fn row(check: &Check) -> String {
    let verdict = if check.agrees() { "agrees" } else { "DIFFERS" };
    let (off, allowed) = (100.0 * check.off(), 100.0 * check.allowed);
    format!(
        "  {verdict:<8} {:<22} expected {:>9.5}   simulated {:>9.5}   {off:>+7.2} % of ±{allowed:.2} %\n",
        check.fact.metric, check.fact.expected, check.simulated
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(simulated: f64) -> Check {
        Check { fact: Fact::named("G-mm1-r0.6-mean_sojourn"), simulated, allowed: 0.013, calls: 2_000_000 }
    }

    #[test]
    fn the_table_says_what_differs() {
        let text = table(&[check(2.51), check(2.6)], false, 100);
        assert!(text.starts_with("M/M/1 FCFS (lambda=0.6, mu=1; exact)\n  agrees   mean_sojourn"), "{text}");
        assert!(text.contains("  DIFFERS  mean_sojourn           expected   2.50000   simulated   2.60000"), "{text}");
        assert!(text.contains("+4.00 % of ±1.30 %") && text.contains("1 of 2 facts agree"), "{text}");
        let quiet = table(&[check(2.51), check(2.6)], true, 100);
        assert!(!quiet.contains("agrees ") && quiet.contains("DIFFERS"), "{quiet}");
    }

    #[test]
    fn the_document_holds_every_number() {
        let document = document(&[check(2.51), check(2.6)]);
        assert_eq!(document["agrees"], false);
        assert_eq!((exit_of(&[check(2.51)]), exit_of(&[check(2.51), check(2.6)])), (Exit::Pass, Exit::Bug));
        assert_eq!(document["checks"][0]["agrees"], true);
        assert_eq!(document["checks"][1]["simulated"], 2.6);
    }
}
