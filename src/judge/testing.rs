//! Studies out of thin air for the tests of this room: seeded noise around a truth that the test knows.

use crate::base::math;
use crate::base::rand::{Bits, Rand, Seed};
use crate::measure::summary::{Contender, Digests, Facts, Latency, Outcomes, Reaction, Study, Summary};

/// The truth behind a contender.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Latencies, as a multiple of the baseline's.
    pub p99: f64,
    /// Standard deviation of the logarithm of the pair's own noise.
    pub noise: f64,
    /// Probability of a call to fail.
    pub errors: f64,
    /// Counted calls in a run.
    pub calls: u64,
    /// Time to recover, give or take 10 %; `None` without a fault.
    pub recovers_ms: Option<f64>,
}

impl Model {
    /// What others are compared with.
    pub const BASE: Model = Model { p99: 1.0, noise: 0.0, errors: 0.0005, calls: 50_000, recovers_ms: None };
    /// The same with its own coin flips: a moved balancer stream.
    pub const TWIN: Model = Model { noise: 0.012, ..Model::BASE };
}

/// A study over the seeds 1, 2, ….
pub fn study(seeds: u64, models: &[Model]) -> Study {
    study_from(1, seeds, models)
}

/// A study over the seeds `first`, `first + 1`, ….
pub fn study_from(first: u64, seeds: u64, models: &[Model]) -> Study {
    let contenders = models.iter().enumerate().map(|(i, model)| Contender {
        name: format!("c{i}"),
        runs: (first..first + seeds).map(|seed| run(seed, i, model)).collect(),
        ..Contender::default()
    });
    Study { contenders: contenders.collect(), facts: Facts::default() }
}

/// One run. The workload moves all contenders of a seed together by 10 %; their own noise is on top.
fn run(seed: u64, contender: usize, model: &Model) -> Summary {
    let shared = 0.1 * normal(&mut Seed::new(seed).stream("test/workload"));
    let mut own = Seed::new(seed).child(&format!("contender/{contender}")).stream("test/noise");
    let level = model.p99 * math::exp(shared + model.noise * normal(&mut own));
    let expected = model.calls as f64 * model.errors;
    let failed =
        (expected + expected.sqrt() * normal(&mut own)).round_ties_even().clamp(0.0, model.calls as f64) as u64;
    let latency = latency(model.calls - failed, level);
    let recovery = model.recovers_ms.map(|ms| ms * (1.0 + 0.1 * (own.unit() - 0.5)));
    Summary {
        seed,
        measured_ns: 100_000_000_000,
        digests: Digests {
            workload: format!("workload/{seed}"),
            outcome: format!("outcome/{seed}/{level}/{failed}"),
            run: String::new(),
        },
        outcomes: Outcomes {
            calls: model.calls,
            ok: model.calls - failed,
            failures: vec![("deadline".to_owned(), failed)],
            attempts: model.calls,
        },
        latency_all: latency.clone(),
        latency,
        reaction: Reaction {
            faulted: recovery.is_some(),
            recovered: recovery.is_some_and(f64::is_finite),
            time_to_recover_ns: recovery.filter(|ms| ms.is_finite()).map(|ms| (ms * 1e6) as u64),
            ..Reaction::default()
        },
        ..Summary::default()
    }
}

fn latency(count: u64, level: f64) -> Latency {
    let ns = |ms: f64| (ms * level * 1e6) as u64;
    Latency {
        count,
        sum_ns: u128::from(count) * u128::from(ns(25.0)),
        max_ns: ns(400.0),
        quantiles: vec![(0.5, ns(20.0)), (0.9, ns(60.0)), (0.99, ns(100.0)), (0.999, ns(200.0))],
    }
}

/// A standard normal variate: twelve uniform ones less six are near enough.
fn normal(rand: &mut Rand) -> f64 {
    (0..12).fold(-6.0, |sum, _| sum + rand.unit())
}
