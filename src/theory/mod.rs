//! The simulator against queueing theory: this is why the other numbers deserve belief.
//!
//! `ground-truth.csv` holds closed forms (`source` is `exact`) and a few long independent simulations (`computed`) of
//! models whose exact value is known only in a limit. One unit of time there is one mean service; in the
//! [`CASES`] a mean service takes a millisecond unless a case says otherwise.
//!
//! A fact's tolerance holds for the length in its note. These runs are shorter, so the tolerance widens as theory
//! says it must: five standard errors, `5 sigma / sqrt(n)` with the n of all seeds together, which are independent.
//! That bound is passed by a right simulator all but once in a million.

mod cases;

pub use cases::{CASES, Case, ONE};

use crate::measure::summary::Summary;

/// A row of the table: what is known of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its name.
    pub id: String,
    /// The model, such as `M/M/1 FCFS`.
    pub model: String,
    /// Its parameters, in mean services.
    pub parameters: String,
    /// What is known of it, such as `p99` (of the sojourn time).
    pub metric: String,
    /// The known value: times in mean services (seconds in closed loops), shares as fractions, throughput per unit of time.
    pub expected: f64,
    /// Relative error that is always allowed.
    pub tolerance: f64,
    /// Relative standard deviation of the estimate from one call; `None` where it is unknown.
    pub sigma: Option<f64>,
    /// `exact` or `computed`.
    pub source: String,
}

/// A fact beside its estimate from runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What is known.
    pub fact: Fact,
    /// The mean of the estimates over the runs, in the unit of `fact.expected`.
    pub simulated: f64,
    /// Relative error that is allowed for so many calls.
    pub allowed: f64,
    /// Calls behind the estimate, over all runs.
    pub calls: u64,
}

/// Every fact of the table, in its order.
///
/// # Panics
/// When the table is not what it should be: our bug.
pub fn facts() -> Vec<Fact> {
    let mut table = csv::Reader::from_reader(include_str!("ground-truth.csv").as_bytes());
    table.records().map(|row| Fact::of(&row.expect("the table is CSV"))).collect()
}

impl Fact {
    /// The fact of this name.
    ///
    /// # Panics
    /// When there is none: our bug.
    pub fn named(id: &str) -> Fact {
        facts().into_iter().find(|fact| fact.id == id).unwrap_or_else(|| panic!("there is no fact {id}"))
    }

    fn of(row: &csv::StringRecord) -> Fact {
        let text = |at: usize| row[at].to_owned();
        let number = |at: usize| row[at].parse().unwrap_or_else(|_| panic!("{}: `{}` is no number", &row[0], &row[at]));
        let sigma = row[7].split("sigma_rel=").nth(1).and_then(|rest| rest.split(']').next());
        Fact {
            id: text(0),
            model: text(1),
            parameters: text(2),
            metric: text(3),
            expected: number(4),
            tolerance: number(5),
            sigma: sigma.map(|text| text.parse().expect("sigma_rel is a number")),
            source: text(6),
        }
    }

    /// How far an estimate from `calls` calls may be away, relatively.
    pub fn allowed(&self, calls: u64) -> f64 {
        let errors = self.sigma.map_or(0.0, |sigma| 5.0 * sigma / (calls as f64).sqrt());
        self.tolerance.max(errors)
    }

    /// Beside the estimate from `runs`, whose unit of time is `unit_s` seconds.
    ///
    /// # Panics
    /// When the metric of the fact has no estimate, or no call ended well.
    pub fn check(&self, runs: &[Summary], unit_s: f64) -> Check {
        let calls = runs.iter().map(|run| run.outcomes.calls).sum();
        let simulated = runs.iter().map(|run| estimate(&self.metric, run, unit_s)).sum::<f64>() / runs.len() as f64;
        Check { fact: self.clone(), simulated, allowed: self.allowed(calls), calls }
    }
}

impl Check {
    /// How far the estimate is off, relatively: 0.01 is 1 % too much.
    pub fn off(&self) -> f64 {
        self.simulated / self.fact.expected - 1.0
    }

    /// Whether the simulator agrees with the fact.
    pub fn agrees(&self) -> bool {
        self.off().abs() <= self.allowed
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Check { fact, simulated, allowed, calls } = self;
        let (off, allowed) = (100.0 * self.off(), 100.0 * allowed);
        let Fact { id, expected, .. } = fact;
        write!(
            f,
            "{id}: {simulated:.5} where {expected:.5} is expected, {off:+.2} % of ±{allowed:.2} % over {calls} calls"
        )
    }
}

/// One run's estimate, in units of the table.
fn estimate(metric: &str, run: &Summary, unit_s: f64) -> f64 {
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
        other => panic!("nothing estimates {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_its_case_and_every_case_its_facts() {
        let facts = facts();
        assert!(facts.len() >= 50, "{}", facts.len());
        let in_cases: Vec<&str> = CASES.iter().flat_map(|case| case.facts.iter().copied()).collect();
        for fact in &facts {
            let cases = in_cases.iter().filter(|id| **id == fact.id).count();
            assert_eq!(cases, 1, "{} is checked in {cases} cases", fact.id);
            assert!(["exact", "computed"].contains(&fact.source.as_str()), "{fact:?}");
        }
        assert_eq!(in_cases.len(), facts.len(), "a case names a fact that is not in the table");
    }

    #[test]
    fn tolerance_widens_for_short_runs_only() {
        let fact = Fact::named("G-mm1-r0.6-mean_sojourn");
        assert_eq!((fact.expected, fact.tolerance, fact.sigma), (2.5, 0.013, Some(3.42)));
        assert!((fact.allowed(90_000) - 0.057).abs() < 1e-9);
        assert_eq!(fact.allowed(1_000_000_000), 0.013);
    }

    #[test]
    fn an_estimate_agrees_within_what_is_allowed() {
        let check =
            |simulated| Check { fact: Fact::named("G-mm1-r0.6-mean_sojourn"), simulated, allowed: 0.02, calls: 1 };
        assert!(check(2.549).agrees() && check(2.451).agrees());
        assert!(!check(2.551).agrees() && !check(2.449).agrees() && !check(f64::NAN).agrees());
    }
}
