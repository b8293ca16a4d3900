//! A claim about your fleet as an ordinary test: the scenario stands in the test, and the test fails when the
//! claim no longer holds. The outcome is the same on every machine, so such a test is never flaky.
//!
//! ```text
//! cargo run --release --example inside_a_test
//! ```

use plimsoll::measure::catalog;
use plimsoll::measure::summary::Study;
use plimsoll::scenario::resolve;
use plimsoll::study::{self, Settings};

/// A server that answers slowly, and two ways to cope with it.
const SCENARIO: &str = r#"
    # Does least_request keep a slow server from being felt?
    name = "one-slow-server"
    duration = "40s"
    warmup = "5s"
    seeds = 3
    calls = { rate = "600/s", deadline = "1s" }
    backends = [{ count = 10, workers = 2, service = { exponential = { mean = "10ms" } } }]
    contenders = { least_request = { balancer = "p2c" }, round_robin = { balancer = "round_robin" } }

    [[faults]]
    at = "10s"
    for = "20s"
    target = { count = 1 }
    slow = { factor = 20 }
"#;

fn study() -> Study {
    let loaded = match resolve::parse(SCENARIO, "inside_a_test.toml", &resolve::Options::default()) {
        Ok(loaded) => loaded,
        Err(findings) => panic!("{}", findings.render(false)),
    };
    study::run(&loaded.plans[0], &Settings::default()).expect("nothing stops it")
}

/// The worst value of a metric over the seeds, by its key as in `plimsoll list metrics`.
fn worst(study: &Study, contender: &str, metric: &str) -> f64 {
    let found = study.contenders.iter().find(|found| found.name == contender).expect("it competes");
    let value = |run| catalog::value(run, metric).expect("there is such a metric").expect("it is known");
    found.runs.iter().map(value).fold(f64::MIN, f64::max)
}

fn a_slow_server_is_not_felt() {
    let study = study();
    let (least_request, round_robin) =
        (worst(&study, "least_request", "error_rate"), worst(&study, "round_robin", "error_rate"));
    println!("worst error rate: least_request {least_request:.4}, round_robin {round_robin:.4}");
    assert!(least_request < 0.01, "least_request loses {least_request} of the calls");
    assert!(least_request < round_robin / 4.0, "and clearly fewer than round_robin, which loses {round_robin}");
}

fn main() {
    a_slow_server_is_not_felt();
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_slow_server_is_not_felt() {
        super::a_slow_server_is_not_felt();
    }
}
