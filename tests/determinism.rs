//! The same file and the same seed give the same bytes: on 1, 2 and 8 threads, in either order of the runs, in
//! debug and in release, whatever else competes.
//!
//! The golden digests are one snapshot for all builds. Whoever changes a result on purpose raises
//! `record::digest::SEMANTICS`, rewrites the snapshot with `INSTA_UPDATE=always cargo test --test determinism`
//! and says in the commit why each number moved.

mod common;

use std::fmt::Write;

use common::{plan, run, runs};
use plimsoll::measure::summary::{Study, Summary};
use plimsoll::report::csv::{backends_csv, series_csv, summary_csv};
use plimsoll::scenario::plan::Plan;
use plimsoll::study::{self, Settings};

const SCENARIOS: &[(&str, &str)] = &[
    ("plain", include_str!("determinism/plain.toml")),
    ("regions", include_str!("determinism/regions.toml")),
    ("keys", include_str!("determinism/keys.toml")),
    ("closed", include_str!("determinism/closed.toml")),
    ("trouble", include_str!("determinism/trouble.toml")),
    ("ties", include_str!("determinism/ties.toml")),
    ("reports", include_str!("determinism/reports.toml")),
    ("announced", include_str!("determinism/announced.toml")),
];

fn run_with(plan: &Plan, threads: usize, reversed: bool) -> Study {
    study::run(plan, &Settings { threads, reversed, ..Settings::default() }).expect("nothing stops it")
}

/// Contender, seed and digests of every run, a line each.
fn digests(study: &Study) -> String {
    let mut text = String::new();
    for contender in &study.contenders {
        for run in &contender.runs {
            let (name, seed, digests) = (&contender.name, run.seed, &run.digests);
            writeln!(text, "{name} {seed} run {} outcome {}", digests.run, digests.outcome).expect("a string grows");
        }
    }
    text
}

/// The first line that differs, so that a failure says which run it was.
fn same_lines(what: &str, left: &str, right: &str) {
    let differs = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert!(differs.is_none(), "{what}: the first difference is\n  {}\n  {}", differs.unwrap().0, differs.unwrap().1);
    assert_eq!(left.len(), right.len(), "{what}: one is longer");
}

fn same_bytes(what: &str, left: &Study, right: &Study) {
    for (file, write) in [
        ("summary.csv", summary_csv as fn(&Study) -> Vec<u8>),
        ("series.csv", series_csv),
        ("backends.csv", backends_csv),
    ] {
        let text = |study| String::from_utf8(write(study)).expect("CSV files are UTF-8");
        same_lines(&format!("{what}: {file}"), &text(left), &text(right));
    }
}

#[test]
fn neither_threads_nor_order_change_a_result() {
    for (name, text) in SCENARIOS {
        let plan = plan(text);
        let one = run_with(&plan, 1, false);
        for (threads, reversed) in [(2, false), (8, false), (1, true), (8, true)] {
            let what = format!("{name} on 1 thread and on {threads} (reversed: {reversed})");
            let other = run_with(&plan, threads, reversed);
            same_lines(&what, &digests(&one), &digests(&other));
            same_bytes(&what, &one, &other);
            assert_eq!(one, other, "{what}");
        }
    }
}

#[test]
fn golden_digests() {
    let mut text = String::new();
    for (name, scenario) in SCENARIOS {
        let study = run(&plan(scenario));
        writeln!(text, "[{name}]\n{}", digests(&study)).expect("a string grows");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_contender_changes_nobody_else() {
    for (name, text) in SCENARIOS {
        let whole = plan(text);
        let all = run(&whole);
        for (at, alone) in whole.contenders.iter().enumerate() {
            let mut plan = whole.clone();
            plan.contenders = vec![alone.clone()];
            plan.baseline = 0;
            let single = run(&plan);
            assert_eq!(single.contenders[0], all.contenders[at], "{name}: {} alone and among others", alone.name);
        }
    }
}

#[test]
fn contenders_of_a_seed_face_the_same_calls() {
    for (name, text) in SCENARIOS {
        let study = run(&plan(text));
        let workload = |run: &Summary| run.digests.workload.clone();
        let first: Vec<String> = study.contenders[0].runs.iter().map(workload).collect();
        for contender in &study.contenders {
            let own: Vec<String> = contender.runs.iter().map(workload).collect();
            assert_eq!(own, first, "{name}: {} faces other calls", contender.name);
        }
        assert_ne!(first[0], first[1], "{name}: two seeds are two workloads");
    }
}

/// A further metric, name or window of the report must not be able to change a run; a further seed neither.
#[test]
fn a_further_seed_changes_no_other() {
    for (name, text) in SCENARIOS {
        let few = plan(text);
        let mut many = few.clone();
        many.seeds.push(many.seeds.last().unwrap() + 1);
        let (few, many) = (run(&few), run(&many));
        for (few, many) in few.contenders.iter().zip(&many.contenders) {
            assert_eq!(few.runs, many.runs[..few.runs.len()], "{name}: {}", few.name);
            let last = &many.runs[few.runs.len()].digests;
            assert!(few.runs.iter().all(|run| run.digests.workload != last.workload), "{name}: seeds differ");
        }
    }
}

#[test]
fn the_books_of_every_run_balance() {
    for (name, text) in SCENARIOS {
        let plan = plan(text);
        let study = run(&plan);
        for contender in &study.contenders {
            for run in &contender.runs {
                books(&format!("{name}, {}, seed {}", contender.name, run.seed), run);
            }
        }
    }
}

fn books(what: &str, run: &Summary) {
    let books = &run.accounting;
    assert!(books.scheduled > 0, "{what}: nothing was called");
    assert_eq!(books.scheduled, books.ended + books.unfinished, "{what}: calls were lost");
    assert_eq!(books.sojourn_sum_ns, books.in_flight_area_ns, "{what}: Little's law");
    let failures: u64 = run.outcomes.failures.iter().map(|(_, count)| count).sum();
    assert_eq!(run.outcomes.calls, run.outcomes.ok + failures, "{what}: a counted call ended in no way or in two");
    assert!(run.outcomes.calls <= books.scheduled, "{what}: more calls counted than born");
    assert!(run.outcomes.attempts <= books.attempts, "{what}: more attempts counted than sent");
    assert_eq!(run.latency.count, run.outcomes.ok, "{what}: one latency for each call that ended well");
    assert_eq!(run.latency_all.count, run.outcomes.calls, "{what}: one latency for each counted call");
    let attempts: u64 = run.backends.iter().map(|backend| backend.attempts).sum();
    assert_eq!(attempts, run.work.attempts, "{what}: every attempt is sent to one backend");
    assert!(run.work.wasted_ns <= run.work.served_ns, "{what}: wasted more than was done");
    let served: u128 = run.backends.iter().map(|backend| backend.served_ns).sum();
    assert_eq!(served, run.work.served_ns, "{what}: service time");
}

/// The other tests would also pass if nothing ever happened in these scenarios.
#[test]
fn the_scenarios_are_not_idle() {
    let study = run(&plan(SCENARIOS.iter().find(|(name, _)| *name == "trouble").expect("it is there").1));
    let failures: Vec<&str> =
        runs(&study, "least").iter().flat_map(|run| &run.outcomes.failures).map(|(cause, _)| cause.as_str()).collect();
    assert!(failures.contains(&"deadline"), "{failures:?}");
    assert!(runs(&study, "least")[0].outcomes.attempts > runs(&study, "least")[0].outcomes.calls, "it retries");
    let study = run(&plan(SCENARIOS.iter().find(|(name, _)| *name == "keys").expect("it is there").1));
    let hits = |name| runs(&study, name)[0].work.cache_hits;
    assert!(hits("maglev") > 0 && runs(&study, "maglev")[0].work.keys_moved > 0);
}
