//! Oracles: better than whoever cannot see, worse the older their knowledge, marked, and no part of other runs.

mod common;

use common::{plan, run, runs};
use plimsoll::measure::summary::Study;

/// The supermarket model with many clients: ten exponential servers at 75 %.
fn supermarket(contenders: &str, more: &str) -> Study {
    run(&plan(&format!(
        r#"
        name = "oracles"
        duration = "12s"
        warmup = "2s"
        seeds = 3
        calls = {{ rate = "7500/s" }}
        clients = [{{ count = 20 }}]
        backends = [{{ count = 10, service = {{ exponential = {{ mean = "1ms" }} }} }}]
        {more}
        [contenders]
        {contenders}
        "#
    )))
}

const AT_ONCE: &str = r#"network = { delay = "0ms" }"#;

/// Mean latency over all runs in milliseconds.
fn mean(study: &Study, contender: &str) -> f64 {
    let all = runs(study, contender);
    all.iter().map(|run| run.latency.mean_ns().expect("calls ended well")).sum::<f64>() / all.len() as f64 / 1e6
}

fn digests(study: &Study, contender: &str) -> Vec<String> {
    runs(study, contender).iter().map(|run| format!("{} {}", run.digests.run, run.digests.outcome)).collect()
}

#[test]
fn nobody_without_sight_is_as_good() {
    for network in [AT_ONCE, r#"network = { delay = "0.5ms" }"#] {
        let others = ["round_robin", "random", "least_request", "least_connections", "peak_ewma", "prequal"];
        let rows: String = others.iter().map(|name| format!("{name} = {{ balancer = '{name}' }}\n")).collect();
        let study = supermarket(
            &format!("{rows}jsq = {{ balancer = 'oracle.jsq' }}\nwork = {{ balancer = 'oracle.least_work' }}"),
            network,
        );
        let (jsq, work) = (mean(&study, "jsq"), mean(&study, "work"));
        for other in others {
            assert!(jsq < 0.8 * mean(&study, other), "{network}: {jsq} beside {other} {}", mean(&study, other));
        }
        assert!(work < jsq, "{network}: who knows how long each call takes is better: {work}, {jsq}");
        let marked = |name: &str| study.contenders.iter().find(|found| found.name == name).unwrap().oracle;
        assert!(marked("jsq") && marked("work") && others.iter().all(|other| !marked(other)));
    }
}

#[test]
fn the_older_the_worse() {
    let ages = [0, 500, 2_000, 10_000, 100_000];
    let row = |us: &i32| format!("age-{us} = {{ balancer = {{ oracle = {{ age = '{us}us' }} }} }}\n");
    let rows: String = ages.iter().map(row).collect();
    let study = supermarket(&format!("jsq = {{ balancer = 'oracle.jsq' }}\n{rows}"), AT_ONCE);
    assert_eq!(digests(&study, "jsq"), digests(&study, "age-0"), "no age at all, pick for pick");
    let means: Vec<f64> = ages.iter().map(|us| mean(&study, &format!("age-{us}"))).collect();
    assert!(means.windows(2).all(|pair| pair[0] * 1.05 < pair[1]), "{means:?}");
}

#[test]
fn an_oracle_avoids_who_does_not_answer() {
    let trouble = r#"
        network = { delay = "0.5ms" }
        faults = [
            { at = "3s", for = "1s", target = { count = 1 }, hang = {} },
            { at = "5s", for = "2s", target = { count = 1 }, crash = {} },
            { at = "8s", for = "2s", target = { count = 1 }, slow = { factor = 4 } },
        ]"#;
    let study = supermarket(
        "jsq = { balancer = 'oracle.jsq' }\nwork = { balancer = 'oracle.least_work' }\nlc = { balancer = 'least_connections' }",
        trouble,
    );
    for oracle in ["jsq", "work"] {
        assert!(mean(&study, oracle) < 0.8 * mean(&study, "lc"), "{oracle} {}", mean(&study, oracle));
    }
}

/// An oracle inside another balancer makes that an oracle too, and what competes beside it does not change.
#[test]
fn nothing_of_it_is_felt_by_others() {
    let nested = "{ weighted_target = { child = 'oracle.jsq' } }";
    let beside = supermarket(&format!("rr = {{ balancer = 'round_robin' }}\nit = {{ balancer = {nested} }}"), AT_ONCE);
    let alone = supermarket("rr = { balancer = 'round_robin' }", AT_ONCE);
    assert_eq!(digests(&beside, "rr"), digests(&alone, "rr"));
    assert!(beside.contenders[1].oracle && !beside.contenders[0].oracle);
    assert!(mean(&beside, "it") < 0.8 * mean(&beside, "rr"), "it sees through its parent");
}
