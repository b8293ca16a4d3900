//! Simulated queues agree with queueing theory: this is why the other numbers deserve belief.
//!
//! `theory/ground-truth.csv` holds closed forms (`source` is `exact`) and a few long independent simulations
//! (`computed`) of models whose exact value is known only in a limit. One unit of time there is one mean service;
//! here a mean service takes a millisecond unless a case says otherwise.
//!
//! A row's tolerance holds for the length in its note. These runs are shorter, so the tolerance widens as theory
//! says it must: five standard errors, `5 sigma_rel / sqrt(n)` with the n of all seeds together, which are
//! independent. That bound is passed by a right simulator all but once in a million; the last tests show that
//! a server with the wrong law or the wrong order is not let through.

mod common;

use common::{plan, run, runs};
use plimsoll::measure::summary::{Study, Summary};

/// A fact from the table.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    metric: String,
    expected: f64,
    tolerance: f64,
    sigma: Option<f64>,
}

impl Row {
    fn of(id: &str) -> Row {
        let mut table = csv::Reader::from_reader(include_str!("theory/ground-truth.csv").as_bytes());
        let found = table.records().map(|row| row.expect("the table is CSV")).find(|row| &row[0] == id);
        let row = found.unwrap_or_else(|| panic!("there is no row {id}"));
        let number = |at: usize| row[at].parse().unwrap_or_else(|_| panic!("{id}: `{}` is no number", &row[at]));
        let sigma = row[7].split("sigma_rel=").nth(1).and_then(|rest| rest.split(']').next());
        Row {
            id: id.to_owned(),
            metric: row[3].to_owned(),
            expected: number(4),
            tolerance: number(5),
            sigma: sigma.map(|text| text.parse().expect("sigma_rel is a number")),
        }
    }

    /// How far a run over `n` calls may be away, relatively.
    fn allowed(&self, n: u64) -> f64 {
        let errors = self.sigma.map_or(0.0, |sigma| 5.0 * sigma / (n as f64).sqrt());
        self.tolerance.max(errors)
    }

    /// Whether runs agree with the row, `unit_s` being the length of a unit of time there.
    fn judge(&self, runs: &[Summary], unit_s: f64) -> Result<(), String> {
        let n = runs.iter().map(|run| run.outcomes.calls).sum();
        let measured = runs.iter().map(|run| measure(&self.metric, run, unit_s)).sum::<f64>() / runs.len() as f64;
        let off = measured / self.expected - 1.0;
        let allowed = self.allowed(n);
        let text = format!(
            "{}: measured {measured:.5}, expected {:.5}, {:+.2} % of ±{:.2} % over {n} calls",
            self.id,
            self.expected,
            off * 100.0,
            allowed * 100.0
        );
        println!("{text}");
        if off.abs() <= allowed { Ok(()) } else { Err(text) }
    }
}

/// One run's estimate, in units of the table.
fn measure(metric: &str, run: &Summary, unit_s: f64) -> f64 {
    let unit_ns = unit_s * 1e9;
    let quantile = |q| run.latency.quantile_ns(q).expect("calls ended well") as f64 / unit_ns;
    match metric {
        "mean_sojourn" | "mean_sojourn_accepted" | "mean_response" => {
            run.latency.mean_ns().expect("calls ended well") / unit_ns
        }
        "p50" => quantile(0.5),
        "p90" => quantile(0.9),
        "p99" => quantile(0.99),
        "p_drop" => (run.outcomes.calls - run.outcomes.ok) as f64 / run.outcomes.calls as f64,
        "throughput" => run.outcomes.ok as f64 / (run.measured_ns as f64 / unit_ns),
        other => panic!("no test measures {other}"),
    }
}

/// A fleet of equal servers behind one client.
struct Case {
    calls: &'static str,
    clients: u32,
    backends: &'static str,
    balancer: &'static str,
    duration_s: u32,
    seeds: u32,
}

impl Case {
    fn study(&self) -> Study {
        let Case { calls, clients, backends, balancer, duration_s, seeds } = self;
        let text = format!(
            r#"
            name = "theory"
            duration = "{duration_s}s"
            warmup = "20s"
            seeds = {seeds}
            calls = {{ {calls} }}
            clients = [{{ count = {clients} }}]
            backends = [{{ {backends} }}]
            network = {{ delay = "0ms" }}
            contenders = {{ it = {{ balancer = {balancer} }} }}
            "#
        );
        run(&plan(&text))
    }

    /// Every row holds.
    fn agrees(&self, rows: &[&str]) {
        self.agrees_in_units_of(0.001, rows);
    }

    fn agrees_in_units_of(&self, unit_s: f64, rows: &[&str]) {
        let study = self.study();
        let wrong: Vec<String> =
            rows.iter().filter_map(|id| Row::of(id).judge(runs(&study, "it"), unit_s).err()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// The row is refused: something in this case is not as the row says.
    fn is_caught_by(&self, row: &str) {
        let study = self.study();
        let verdict = Row::of(row).judge(runs(&study, "it"), 0.001);
        assert!(verdict.is_err(), "a wrong server passed: {row}");
    }
}

/// One server and one client; the base of most cases.
const ONE: Case = Case { calls: "", clients: 1, backends: "", balancer: "\"round_robin\"", duration_s: 1000, seeds: 4 };
const EXPONENTIAL: &str = r#"service = { exponential = { mean = "1ms" } }"#;
const LOGNORMAL: &str = r#"service = { lognormal = { mean = "1ms", cv = 1.5 } }"#;
// The square root of five: a squared coefficient of variation of 5, the two branches with equal means of work.
const HYPEREXPONENTIAL: &str = r#"service = { hyperexponential = { mean = "1ms", cv = 2.2360679775 } }"#;

#[test]
fn one_exponential_server() {
    Case { calls: r#"rate = "600/s""#, backends: EXPONENTIAL, ..ONE }.agrees(&[
        "G-mm1-r0.6-mean_sojourn",
        "G-mm1-r0.6-p50",
        "G-mm1-r0.6-p90",
        "G-mm1-r0.6-p99",
    ]);
    Case { calls: r#"rate = "850/s""#, backends: EXPONENTIAL, ..ONE }
        .agrees(&["G-mm1-r0.85-mean_sojourn", "G-mm1-r0.85-p99"]);
}

#[test]
fn several_workers_with_one_queue() {
    const THREE: &str = r#"workers = 3, service = { exponential = { mean = "1ms" } }"#;
    const EIGHT: &str = r#"workers = 8, service = { exponential = { mean = "1ms" } }"#;
    const FIFTY: &str = r#"workers = 50, service = { exponential = { mean = "1ms" } }"#;
    let at = |calls, backends, duration_s| Case { calls, backends, duration_s, ..ONE };
    at(r#"rate = "2250/s""#, THREE, 250).agrees(&[
        "G-mmc-c3-r0.75-mean_sojourn",
        "G-mmc-c3-r0.75-p50",
        "G-mmc-c3-r0.75-p99",
    ]);
    at(r#"rate = "6800/s""#, EIGHT, 120).agrees(&[
        "G-mmc-c8-r0.85-mean_sojourn",
        "G-mmc-c8-r0.85-p50",
        "G-mmc-c8-r0.85-p99",
    ]);
    at(r#"rate = "30k/s""#, FIFTY, 25).agrees(&["G-mmc-c50-r0.6-mean_sojourn", "G-mmc-c50-r0.6-p99"]);
}

#[test]
fn other_laws_of_service() {
    Case { calls: r#"rate = "600/s""#, backends: r#"service = "1ms""#, ..ONE }.agrees(&[
        "G-md1-r0.6-mean_sojourn",
        "G-md1-r0.6-p50",
        "G-md1-r0.6-p99",
    ]);
    Case { calls: r#"rate = "600/s""#, backends: LOGNORMAL, ..ONE }.agrees(&[
        "G-mg1-lognormal-r0.6-mean_sojourn",
        "G-mg1-lognormal-r0.6-p50",
        "G-mg1-lognormal-r0.6-p99",
    ]);
    Case { calls: r#"rate = "700/s""#, backends: HYPEREXPONENTIAL, ..ONE }.agrees(&[
        "G-mg1-hyperexp2-r0.7-mean_sojourn",
        "G-mg1-hyperexp2-r0.7-p50",
        "G-mg1-hyperexp2-r0.7-p99",
    ]);
}

#[test]
fn processor_sharing_does_not_see_the_law() {
    const EXPONENTIAL: &str = r#"discipline = "processor_sharing", service = { exponential = { mean = "1ms" } }"#;
    const LOGNORMAL: &str = r#"discipline = "processor_sharing", service = { lognormal = { mean = "1ms", cv = 1.5 } }"#;
    const HYPEREXPONENTIAL: &str =
        r#"discipline = "processor_sharing", service = { hyperexponential = { mean = "1ms", cv = 2.2360679775 } }"#;
    let at = |backends| Case { calls: r#"rate = "600/s""#, backends, ..ONE };
    at(EXPONENTIAL).agrees(&["G-ps-r0.6-mean"]);
    at(LOGNORMAL).agrees(&["G-psins-lognormal-r0.6-mean"]);
    at(HYPEREXPONENTIAL).agrees(&["G-psins-hyperexp2-r0.6-mean"]);
}

#[test]
fn full_queues_refuse() {
    let at = |calls, backends| Case { calls, backends, duration_s: 400, ..ONE };
    let four = r#"workers = 4, queue = 0, service = { exponential = { mean = "1ms" } }"#;
    at(r#"rate = "2k/s""#, four).agrees(&["G-erlb-c4-a2-drop"]);
    // Erlang's loss formula asks only for the mean of the law.
    let constant = r#"workers = 4, queue = 0, service = "1ms""#;
    at(r#"rate = "2k/s""#, constant).agrees(&["G-erlb-c4-a2-drop-det"]);
    let room_for_four = r#"queue = 3, service = { exponential = { mean = "1ms" } }"#;
    at(r#"rate = "600/s""#, room_for_four).agrees(&[
        "G-mm1k-r0.6-K4-p_drop",
        "G-mm1k-r0.6-K4-mean_sojourn_accepted",
        "G-mm1k-r0.6-K4-throughput",
    ]);
    let room_for_eight = r#"queue = 7, service = { exponential = { mean = "1ms" } }"#;
    at(r#"rate = "1500/s""#, room_for_eight).agrees(&["G-mm1k-r1.5-K8-p_drop", "G-mm1k-r1.5-K8-mean_sojourn_accepted"]);
}

#[test]
fn rotation_and_chance_over_many_servers() {
    const EIGHT: &str = r#"count = 8, service = { exponential = { mean = "1ms" } }"#;
    const FIFTY: &str = r#"count = 50, service = { exponential = { mean = "1ms" } }"#;
    let eight = Case { calls: r#"rate = "6k/s""#, backends: EIGHT, duration_s: 120, ..ONE };
    eight.agrees(&["G-rr-n8-r0.75-mean_sojourn", "G-rr-n8-r0.75-p50", "G-rr-n8-r0.75-p99"]);
    Case { balancer: "\"random\"", ..eight }.agrees(&["G-rrnd-n8-r0.75-mean"]);
    Case { calls: r#"rate = "42500/s""#, backends: FIFTY, duration_s: 25, ..ONE }
        .agrees(&["G-rr-n50-r0.85-mean_sojourn", "G-rr-n50-r0.85-p99"]);
}

#[test]
fn two_choices_and_the_shortest_queue() {
    const THREE: &str = r#"count = 3, service = { exponential = { mean = "1ms" } }"#;
    const TWENTY: &str = r#"count = 20, service = { exponential = { mean = "1ms" } }"#;
    const FIFTY: &str = r#"count = 50, service = { exponential = { mean = "1ms" } }"#;
    const DISTINCT: &str = r#"{ least_request = { choices = 2, sampling = "distinct" } }"#;
    const REPLACED: &str = r#"{ least_request = { choices = 2, sampling = "replacement" } }"#;
    let three = Case { calls: r#"rate = "1800/s""#, backends: THREE, balancer: DISTINCT, duration_s: 250, ..ONE };
    three.agrees(&["G-sq-n3-d2-n-r0.6-mean_sojourn", "G-sq-n3-d2-n-r0.6-p99"]);
    Case { balancer: "\"least_connections\"", ..three }
        .agrees(&["G-sq-n3-d3-n-r0.6-mean_sojourn", "G-sq-n3-d3-n-r0.6-p99"]);
    Case { calls: r#"rate = "15k/s""#, backends: TWENTY, balancer: REPLACED, duration_s: 60, ..ONE }
        .agrees(&["G-sqfin-n20-d2-r-l0.75"]);
    Case { calls: r#"rate = "42500/s""#, backends: FIFTY, balancer: DISTINCT, duration_s: 25, ..ONE }
        .agrees(&["G-sqfin-n50-d2-n-l0.85"]);
}

/// Each client sees its own calls only, so two choices fade as the clients grow many.
#[test]
fn many_clients_see_little() {
    const EIGHT: &str = r#"count = 8, service = { exponential = { mean = "1ms" } }"#;
    let twelve = Case { calls: r#"rate = "6k/s""#, clients: 12, backends: EIGHT, duration_s: 120, ..ONE };
    twelve.agrees(&["G-cli-n8-r0.75-C12-rr-mean_sojourn"]);
    Case { balancer: r#"{ least_request = { choices = 2, sampling = "distinct" } }"#, ..twelve }
        .agrees(&["G-cli-n8-r0.75-C12-p2c-mean_sojourn", "G-cli-n8-r0.75-C12-p2c-p99"]);
}

/// A hundredth of the table's times, so that a second of the table is ten milliseconds here.
#[test]
fn users_that_wait() {
    const THIRTY: &str = r#"users = 30, think = { exponential = { mean = "50ms" } }"#;
    const HUNDRED: &str = r#"users = 100, think = { exponential = { mean = "20ms" } }"#;
    let at = |calls, backends| Case { calls, backends, duration_s: 300, ..ONE };
    at(THIRTY, r#"service = { exponential = { mean = "2ms" } }"#)
        .agrees_in_units_of(0.01, &["G-closed-N30-Z5-c1-S0.2-throughput", "G-closed-N30-Z5-c1-S0.2-mean_response"]);
    at(HUNDRED, r#"workers = 8, service = { exponential = { mean = "1ms" } }"#)
        .agrees_in_units_of(0.01, &["G-closed-N100-Z2-c8-S0.1-throughput", "G-closed-N100-Z2-c8-S0.1-mean_response"]);
}

// Four laws that need no table, because they hold for every system whatever its laws.

#[test]
fn littles_law_to_the_nanosecond() {
    let study = Case { calls: r#"rate = "700/s""#, backends: HYPEREXPONENTIAL, duration_s: 100, ..ONE }.study();
    for run in runs(&study, "it") {
        let books = &run.accounting;
        assert!(books.sojourn_sum_ns > 0);
        assert_eq!(books.sojourn_sum_ns, books.in_flight_area_ns, "calls in flight = rate × sojourn");
    }
}

#[test]
fn busy_time_is_rate_times_service() {
    let backends = r#"count = 3, service = "1ms""#;
    let study = Case { calls: r#"rate = "1800/s""#, backends, duration_s: 100, ..ONE }.study();
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
        let study = Case { calls, backends, duration_s: 120, ..ONE }.study();
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
    poisson.agrees(&["G-mm1k-r0.6-K4-p_drop"]);
    Case { calls: r#"rate = "600/s", arrivals = "constant""#, ..poisson }.is_caught_by("G-mm1k-r0.6-K4-p_drop");
}

// A check that lets everything through is worth nothing: each of these servers is wrong in one way.

#[test]
fn wrong_servers_are_caught() {
    let at = |calls, backends| Case { calls, backends, duration_s: 300, ..ONE };
    let right = r#"rate = "600/s""#;
    at(right, r#"service = "1ms""#).is_caught_by("G-mm1-r0.6-mean_sojourn");
    at(right, LOGNORMAL).is_caught_by("G-mm1-r0.6-mean_sojourn");
    // Neither order changes the mean here; the tail tells.
    let lifo = r#"discipline = "lifo", service = { exponential = { mean = "1ms" } }"#;
    at(right, lifo).is_caught_by("G-mm1-r0.6-p99");
    let sharing = r#"discipline = "processor_sharing", service = { exponential = { mean = "1ms" } }"#;
    at(right, sharing).is_caught_by("G-mm1-r0.6-p99");
    // First come, first served, where the row shares the processor.
    at(right, HYPEREXPONENTIAL).is_caught_by("G-psins-hyperexp2-r0.6-mean");
    at(r#"rate = "615/s""#, EXPONENTIAL).is_caught_by("G-mm1-r0.6-mean_sojourn");
    at(right, r#"service = { exponential = { mean = "1.025ms" } }"#).is_caught_by("G-mm1-r0.6-mean_sojourn");
    let three_queues = r#"count = 3, service = { exponential = { mean = "1ms" } }"#;
    Case { calls: r#"rate = "2250/s""#, backends: three_queues, duration_s: 100, ..ONE }
        .is_caught_by("G-mmc-c3-r0.75-mean_sojourn");
}
