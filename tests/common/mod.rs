//! What several test files share: scenario texts become plans, plans become studies.

#![allow(dead_code, reason = "every test file takes what it needs")]

use plimsoll::measure::summary::{Study, Summary};
use plimsoll::scenario::plan::Plan;
use plimsoll::scenario::resolve;
use plimsoll::study::{self, Settings};

/// The plan of a scenario text.
pub fn plan(text: &str) -> Plan {
    plan_with(text, &resolve::Options::default())
}

/// The plan of a scenario text with what a command line says about it.
pub fn plan_with(text: &str, options: &resolve::Options) -> Plan {
    let mut loaded = match resolve::parse(text, "test.toml", options) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("the scenario of a test is wrong:\n{}", findings.render(false)),
    };
    assert_eq!(loaded.plans.len(), 1, "no sweeps here");
    loaded.plans.remove(0)
}

/// All runs of a plan on as many threads as there are.
pub fn run(plan: &Plan) -> Study {
    study::run(plan, &Settings::default()).expect("nothing stops it")
}

/// The runs of a contender, by its name.
pub fn runs<'a>(study: &'a Study, contender: &str) -> &'a [Summary] {
    let found = study.contenders.iter().find(|found| found.name == contender);
    &found.unwrap_or_else(|| panic!("there is no contender {contender}")).runs
}
