//! The models of the table as scenarios.

use crate::measure::summary::Study;
use crate::scenario::plan::Plan;
use crate::scenario::resolve::{self, Options};
use crate::study::{self, Settings};

use super::{Check, Fact};

/// A fleet of equal servers, and the facts that hold for it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it is a case of.
    pub group: &'static str,
    /// The inside of `[calls]`.
    pub calls: &'static str,
    /// Clients, each with a view of its own.
    pub clients: u32,
    /// The inside of `[[backends]]`.
    pub backends: &'static str,
    /// The balancer.
    pub balancer: &'static str,
    /// Length of a run in seconds, 20 of them warm-up.
    pub duration_s: u32,
    /// Runs.
    pub seeds: u32,
    /// Seconds that a unit of time of the table takes.
    pub unit_s: f64,
    /// Names of the facts that hold.
    pub facts: &'static [&'static str],
}

impl Case {
    /// The plan of its runs.
    ///
    /// # Panics
    /// When the case is no scenario.
    pub fn plan(&self) -> Plan {
        let Case { calls, clients, backends, balancer, duration_s, seeds, .. } = self;
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
        match resolve::parse(&text, "theory.toml", &Options::default()) {
            Ok(mut loaded) => loaded.plans.remove(0),
            Err(findings) => panic!("a case of theory is wrong:\n{}", findings.render(false)),
        }
    }

    /// Its runs, on as many threads as the settings say; `None` if they were stopped.
    pub fn study(&self, settings: &Settings<'_>) -> Option<Study> {
        study::run(&self.plan(), settings)
    }

    /// Each of its facts beside the estimate from a study of it.
    pub fn checks(&self, study: &Study) -> Vec<Check> {
        let runs = &study.contenders[0].runs;
        self.facts.iter().map(|id| Fact::named(id).check(runs, self.unit_s)).collect()
    }
}

/// One server and one client; the base of most cases.
pub const ONE: Case = Case {
    group: "",
    calls: "",
    clients: 1,
    backends: "",
    balancer: "\"round_robin\"",
    duration_s: 1000,
    seeds: 4,
    unit_s: 0.001,
    facts: &[],
};

// The coefficient of variation of the hyperexponential laws is the square root of five: a squared one of 5, the two
// branches with equal means of work.

/// Every fact of the table is checked by one of these.
pub const CASES: &[Case] = &[
    Case {
        group: "one exponential server",
        calls: r#"rate = "600/s""#,
        backends: r#"service = { exponential = { mean = "1ms" } }"#,
        facts: &["G-mm1-r0.6-mean_sojourn", "G-mm1-r0.6-p50", "G-mm1-r0.6-p90", "G-mm1-r0.6-p99"],
        ..ONE
    },
    Case {
        group: "one exponential server",
        calls: r#"rate = "850/s""#,
        backends: r#"service = { exponential = { mean = "1ms" } }"#,
        facts: &["G-mm1-r0.85-mean_sojourn", "G-mm1-r0.85-p99"],
        ..ONE
    },
    Case {
        group: "several workers with one queue",
        calls: r#"rate = "2250/s""#,
        backends: r#"workers = 3, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 250,
        facts: &["G-mmc-c3-r0.75-mean_sojourn", "G-mmc-c3-r0.75-p50", "G-mmc-c3-r0.75-p99"],
        ..ONE
    },
    Case {
        group: "several workers with one queue",
        calls: r#"rate = "6800/s""#,
        backends: r#"workers = 8, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 120,
        facts: &["G-mmc-c8-r0.85-mean_sojourn", "G-mmc-c8-r0.85-p50", "G-mmc-c8-r0.85-p99"],
        ..ONE
    },
    Case {
        group: "several workers with one queue",
        calls: r#"rate = "30k/s""#,
        backends: r#"workers = 50, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 25,
        facts: &["G-mmc-c50-r0.6-mean_sojourn", "G-mmc-c50-r0.6-p99"],
        ..ONE
    },
    Case {
        group: "other laws of service",
        calls: r#"rate = "600/s""#,
        backends: r#"service = "1ms""#,
        facts: &["G-md1-r0.6-mean_sojourn", "G-md1-r0.6-p50", "G-md1-r0.6-p99"],
        ..ONE
    },
    Case {
        group: "other laws of service",
        calls: r#"rate = "600/s""#,
        backends: r#"service = { lognormal = { mean = "1ms", cv = 1.5 } }"#,
        facts: &["G-mg1-lognormal-r0.6-mean_sojourn", "G-mg1-lognormal-r0.6-p50", "G-mg1-lognormal-r0.6-p99"],
        ..ONE
    },
    Case {
        group: "other laws of service",
        calls: r#"rate = "700/s""#,
        backends: r#"service = { hyperexponential = { mean = "1ms", cv = 2.2360679775 } }"#,
        facts: &["G-mg1-hyperexp2-r0.7-mean_sojourn", "G-mg1-hyperexp2-r0.7-p50", "G-mg1-hyperexp2-r0.7-p99"],
        ..ONE
    },
    Case {
        group: "processor sharing",
        calls: r#"rate = "600/s""#,
        backends: r#"discipline = "processor_sharing", service = { exponential = { mean = "1ms" } }"#,
        facts: &["G-ps-r0.6-mean"],
        ..ONE
    },
    Case {
        group: "processor sharing",
        calls: r#"rate = "600/s""#,
        backends: r#"discipline = "processor_sharing", service = { lognormal = { mean = "1ms", cv = 1.5 } }"#,
        facts: &["G-psins-lognormal-r0.6-mean"],
        ..ONE
    },
    Case {
        group: "processor sharing",
        calls: r#"rate = "600/s""#,
        backends: r#"discipline = "processor_sharing", service = { hyperexponential = { mean = "1ms", cv = 2.2360679775 } }"#,
        facts: &["G-psins-hyperexp2-r0.6-mean"],
        ..ONE
    },
    Case {
        group: "full queues",
        calls: r#"rate = "2k/s""#,
        backends: r#"workers = 4, queue = 0, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 400,
        facts: &["G-erlb-c4-a2-drop"],
        ..ONE
    },
    // Erlang's loss formula asks only for the mean of the law.
    Case {
        group: "full queues",
        calls: r#"rate = "2k/s""#,
        backends: r#"workers = 4, queue = 0, service = "1ms""#,
        duration_s: 400,
        facts: &["G-erlb-c4-a2-drop-det"],
        ..ONE
    },
    Case {
        group: "full queues",
        calls: r#"rate = "600/s""#,
        backends: r#"queue = 3, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 400,
        facts: &["G-mm1k-r0.6-K4-p_drop", "G-mm1k-r0.6-K4-mean_sojourn_accepted", "G-mm1k-r0.6-K4-throughput"],
        ..ONE
    },
    Case {
        group: "full queues",
        calls: r#"rate = "1500/s""#,
        backends: r#"queue = 7, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 400,
        facts: &["G-mm1k-r1.5-K8-p_drop", "G-mm1k-r1.5-K8-mean_sojourn_accepted"],
        ..ONE
    },
    Case {
        group: "rotation and chance",
        calls: r#"rate = "6k/s""#,
        backends: r#"count = 8, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 120,
        facts: &["G-rr-n8-r0.75-mean_sojourn", "G-rr-n8-r0.75-p50", "G-rr-n8-r0.75-p99"],
        ..ONE
    },
    Case {
        group: "rotation and chance",
        calls: r#"rate = "6k/s""#,
        backends: r#"count = 8, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 120,
        balancer: r#""random""#,
        facts: &["G-rrnd-n8-r0.75-mean"],
        ..ONE
    },
    Case {
        group: "rotation and chance",
        calls: r#"rate = "42500/s""#,
        backends: r#"count = 50, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 25,
        facts: &["G-rr-n50-r0.85-mean_sojourn", "G-rr-n50-r0.85-p99"],
        ..ONE
    },
    Case {
        group: "two choices and the shortest queue",
        calls: r#"rate = "1800/s""#,
        backends: r#"count = 3, service = { exponential = { mean = "1ms" } }"#,
        balancer: r#"{ least_request = { choices = 2, sampling = "distinct" } }"#,
        duration_s: 250,
        facts: &["G-sq-n3-d2-n-r0.6-mean_sojourn", "G-sq-n3-d2-n-r0.6-p99"],
        ..ONE
    },
    Case {
        group: "two choices and the shortest queue",
        calls: r#"rate = "1800/s""#,
        backends: r#"count = 3, service = { exponential = { mean = "1ms" } }"#,
        balancer: r#""least_connections""#,
        duration_s: 250,
        facts: &["G-sq-n3-d3-n-r0.6-mean_sojourn", "G-sq-n3-d3-n-r0.6-p99"],
        ..ONE
    },
    Case {
        group: "two choices and the shortest queue",
        calls: r#"rate = "15k/s""#,
        backends: r#"count = 20, service = { exponential = { mean = "1ms" } }"#,
        balancer: r#"{ least_request = { choices = 2, sampling = "replacement" } }"#,
        duration_s: 60,
        facts: &["G-sqfin-n20-d2-r-l0.75"],
        ..ONE
    },
    Case {
        group: "two choices and the shortest queue",
        calls: r#"rate = "42500/s""#,
        backends: r#"count = 50, service = { exponential = { mean = "1ms" } }"#,
        balancer: r#"{ least_request = { choices = 2, sampling = "distinct" } }"#,
        duration_s: 25,
        facts: &["G-sqfin-n50-d2-n-l0.85"],
        ..ONE
    },
    Case {
        group: "many clients see little",
        calls: r#"rate = "6k/s""#,
        backends: r#"count = 8, service = { exponential = { mean = "1ms" } }"#,
        clients: 12,
        duration_s: 120,
        facts: &["G-cli-n8-r0.75-C12-rr-mean_sojourn"],
        ..ONE
    },
    Case {
        group: "many clients see little",
        calls: r#"rate = "6k/s""#,
        backends: r#"count = 8, service = { exponential = { mean = "1ms" } }"#,
        clients: 12,
        balancer: r#"{ least_request = { choices = 2, sampling = "distinct" } }"#,
        duration_s: 120,
        facts: &["G-cli-n8-r0.75-C12-p2c-mean_sojourn", "G-cli-n8-r0.75-C12-p2c-p99"],
        ..ONE
    },
    // Who sees the servers and not his own calls alone is as good as one client that makes all calls.
    Case {
        group: "many clients see little",
        calls: r#"rate = "6k/s""#,
        backends: r#"count = 8, service = { exponential = { mean = "1ms" } }"#,
        clients: 12,
        balancer: r#""oracle.jsq""#,
        duration_s: 120,
        facts: &["G-cli-n8-r0.75-C1-least-mean_sojourn", "G-cli-n8-r0.75-C1-least-p99"],
        ..ONE
    },
    // A hundredth of the times of the table, so that its second is ten milliseconds.
    Case {
        group: "users that wait",
        calls: r#"users = 30, think = { exponential = { mean = "50ms" } }"#,
        backends: r#"service = { exponential = { mean = "2ms" } }"#,
        duration_s: 300,
        unit_s: 0.01,
        facts: &["G-closed-N30-Z5-c1-S0.2-throughput", "G-closed-N30-Z5-c1-S0.2-mean_response"],
        ..ONE
    },
    Case {
        group: "users that wait",
        calls: r#"users = 100, think = { exponential = { mean = "20ms" } }"#,
        backends: r#"workers = 8, service = { exponential = { mean = "1ms" } }"#,
        duration_s: 300,
        unit_s: 0.01,
        facts: &["G-closed-N100-Z2-c8-S0.1-throughput", "G-closed-N100-Z2-c8-S0.1-mean_response"],
        ..ONE
    },
];
