//! Simulated queues agree with queueing theory: this is why the other numbers deserve belief.
//!
//! The facts and the scenarios of their models are those of `plimsoll validate`, in `src/theory`. Here each group is a
//! test, four laws are checked that need no table, and servers that are wrong in one way show that none of this lets
//! everything through.

mod common;

use common::runs;
use plimsoll::measure::summary::Study;
use plimsoll::study::Settings;
use plimsoll::theory::{CASES, Case, Check, Fact, ONE};

fn study(case: &Case) -> Study {
    case.study(&Settings::default()).expect("nothing stops it")
}

/// Every fact of a group of cases holds.
fn agrees(group: &str) {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.group == group).collect();
    assert!(!cases.is_empty(), "there is no group {group}");
    let checks: Vec<Check> = cases.iter().flat_map(|case| case.checks(&study(case))).collect();
    checks.iter().for_each(|check| println!("{check}"));
    let wrong: Vec<String> = checks.iter().filter(|check| !check.agrees()).map(Check::to_string).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The fact is refused: something in this case is not as it says.
#[track_caller]
fn is_caught_by(case: &Case, fact: &str) {
    let check = Fact::named(fact).check(runs(&study(case), "it"), case.unit_s);
    assert!(!check.agrees(), "a wrong server passed: {check}");
}

const EXPONENTIAL: &str = r#"service = { exponential = { mean = "1ms" } }"#;
const LOGNORMAL: &str = r#"service = { lognormal = { mean = "1ms", cv = 1.5 } }"#;
const HYPEREXPONENTIAL: &str = r#"service = { hyperexponential = { mean = "1ms", cv = 2.2360679775 } }"#;

#[test]
fn one_exponential_server() {
    agrees("one exponential server");
}

#[test]
fn several_workers_with_one_queue() {
    agrees("several workers with one queue");
}

#[test]
fn other_laws_of_service() {
    agrees("other laws of service");
}

#[test]
fn processor_sharing_does_not_see_the_law() {
    agrees("processor sharing");
}

#[test]
fn full_queues_refuse() {
    agrees("full queues");
}

#[test]
fn rotation_and_chance_over_many_servers() {
    agrees("rotation and chance");
}

#[test]
fn two_choices_and_the_shortest_queue() {
    agrees("two choices and the shortest queue");
}

/// Each client sees its own calls only, so two choices fade as the clients grow many.
#[test]
fn many_clients_see_little() {
    agrees("many clients see little");
}

#[test]
fn users_that_wait() {
    agrees("users that wait");
}

/// No group of the program is left out here.
#[test]
fn every_group_is_a_test() {
    let text = include_str!("theory.rs");
    for case in CASES {
        assert!(text.contains(&format!("agrees(\"{}\")", case.group)), "{}", case.group);
    }
}

// Four laws that need no table, because they hold for every system whatever its laws.

#[test]
fn littles_law_to_the_nanosecond() {
    let study = study(&Case { calls: r#"rate = "700/s""#, backends: HYPEREXPONENTIAL, duration_s: 100, ..ONE });
    for run in runs(&study, "it") {
        let books = &run.accounting;
        assert!(books.sojourn_sum_ns > 0);
        assert_eq!(books.sojourn_sum_ns, books.in_flight_area_ns, "calls in flight = rate × sojourn");
    }
}

#[test]
fn busy_time_is_rate_times_service() {
    let backends = r#"count = 3, service = "1ms""#;
    let study = study(&Case { calls: r#"rate = "1800/s""#, backends, duration_s: 100, ..ONE });
    for run in runs(&study, "it") {
        for backend in &run.backends {
            // What began before the measured stretch and what ends after it: at most a queue at either edge.
            let edge = f64::from(backend.in_flight_max + 1) * 1e6;
            let off = backend.served_ns as f64 - backend.attempts as f64 * 1e6;
            assert!(off.abs() <= 2.0 * edge, "{off} ns beside {edge} ns: {backend:?}");
        }
        let busy: f64 = run.backends.iter().map(|backend| backend.served_ns as f64 / run.measured_ns as f64).sum();
        assert!((busy / 3.0 - 0.6).abs() < 0.01, "{busy}");
    }
}

/// Response time = users / throughput - think time, up to what the edges of the run cut off.
#[test]
fn the_closed_loop_closes() {
    for (calls, users, think_ns) in
        [(r#"users = 30, think = "50ms""#, 30.0, 50e6), (r#"users = 16, think = "0ms""#, 16.0, 0.0)]
    {
        let backends = r#"service = { exponential = { mean = "2ms" } }"#;
        let study = study(&Case { calls, backends, duration_s: 120, ..ONE });
        for run in runs(&study, "it") {
            let latency = run.latency.mean_ns().unwrap();
            let cycle = users * run.measured_ns as f64 / run.outcomes.ok as f64;
            let edges = 2.0 * users / run.outcomes.ok as f64;
            let off = (latency + think_ns) / cycle - 1.0;
            assert!(off.abs() <= edges, "{calls}: {off} where the edges allow {edges}");
        }
    }
}

/// Poisson arrivals see time averages, so they are refused as often as the server is full; clockwork does not.
#[test]
fn poisson_arrivals_see_time_averages() {
    let backends = r#"queue = 3, service = { exponential = { mean = "1ms" } }"#;
    let poisson = Case { calls: r#"rate = "600/s""#, backends, duration_s: 400, ..ONE };
    assert!(Fact::named("G-mm1k-r0.6-K4-p_drop").check(&study(&poisson).contenders[0].runs, 0.001).agrees());
    is_caught_by(&Case { calls: r#"rate = "600/s", arrivals = "constant""#, ..poisson }, "G-mm1k-r0.6-K4-p_drop");
}

// A check that lets everything through is worth nothing: each of these servers is wrong in one way.

#[test]
fn wrong_servers_are_caught() {
    let at = |calls, backends| Case { calls, backends, duration_s: 300, ..ONE };
    let right = r#"rate = "600/s""#;
    is_caught_by(&at(right, r#"service = "1ms""#), "G-mm1-r0.6-mean_sojourn");
    is_caught_by(&at(right, LOGNORMAL), "G-mm1-r0.6-mean_sojourn");
    // Neither order changes the mean here; the tail tells.
    let lifo = r#"discipline = "lifo", service = { exponential = { mean = "1ms" } }"#;
    is_caught_by(&at(right, lifo), "G-mm1-r0.6-p99");
    let sharing = r#"discipline = "processor_sharing", service = { exponential = { mean = "1ms" } }"#;
    is_caught_by(&at(right, sharing), "G-mm1-r0.6-p99");
    // First come, first served, where the row shares the processor.
    is_caught_by(&at(right, HYPEREXPONENTIAL), "G-psins-hyperexp2-r0.6-mean");
    is_caught_by(&at(r#"rate = "615/s""#, EXPONENTIAL), "G-mm1-r0.6-mean_sojourn");
    is_caught_by(&at(right, r#"service = { exponential = { mean = "1.025ms" } }"#), "G-mm1-r0.6-mean_sojourn");
    let three_queues = r#"count = 3, service = { exponential = { mean = "1ms" } }"#;
    is_caught_by(
        &Case { calls: r#"rate = "2250/s""#, backends: three_queues, duration_s: 100, ..ONE },
        "G-mmc-c3-r0.75-mean_sojourn",
    );
}
