//! Refuses plans that would need more calls or more memory than allowed, before anything is allocated.

use super::Options;
use super::contenders::routes_by_key;
use crate::base::time::Duration;
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::plan::Plan;
use crate::scenario::tree::Node;
use crate::workload::spec::{Arrivals, Keys, Source};

/// Checks all plans of a file together.
pub fn check(plans: &[Plan], root: &Node<'_, '_>, options: &Options, findings: &mut Findings) {
    let calls: f64 = plans.iter().map(|plan| calls_of_a_run(plan) * runs(plan)).sum();
    if calls > options.max_calls as f64 {
        let place = calls_place(root);
        let message = format!(
            "the runs may make {} calls, and the limit is {}",
            rounded(calls),
            rounded(options.max_calls as f64)
        );
        let help = "lower the rate, the duration, the seeds or the number of contenders, or raise `--max-calls`";
        findings.push(Finding::error(place.span(), message, help));
    }
    let memory = plans.iter().map(memory_of_a_run).fold(0.0, f64::max);
    if memory > options.max_memory as f64 {
        let place = if root.key("clients").exists() {
            root.key("clients").index(0).key("count")
        } else {
            root.key("backends").index(0).key("count")
        };
        let message = format!(
            "a run may need {} of memory, and the limit is {}",
            bytes(memory),
            bytes(options.max_memory as f64)
        );
        let help = "take fewer `clients`, `backends` or keys, or a shorter `duration`, or raise `--max-memory`";
        findings.push(Finding::error(place.span(), message, help));
    }
}

fn calls_place<'n, 't>(root: &Node<'n, 't>) -> Node<'n, 't> {
    let calls = root.key("calls");
    if calls.key("rate").exists() { calls.key("rate") } else { calls.key("users") }
}

fn runs(plan: &Plan) -> f64 {
    (plan.seeds.len() * plan.contenders.len()) as f64
}

/// Calls of one run, at most: arrivals go on while open calls finish.
fn calls_of_a_run(plan: &Plan) -> f64 {
    let seconds = plan.duration.saturating_add(plan.drain).as_secs_f64();
    match &plan.calls.source {
        Source::Open { rate, arrivals } => peak(rate.value(), arrivals) * seconds,
        Source::Closed { users, think } => {
            let shortest = plan.backends.iter().filter_map(|group| group.profile.service.mean()).min();
            let hop = plan.network.delays.iter().filter_map(|law| law.mean()).min().unwrap_or(Duration::ZERO);
            let cycle = think.mean().unwrap_or(Duration::MAX).as_secs_f64()
                + shortest.unwrap_or(Duration::ZERO).as_secs_f64()
                + 2.0 * hop.as_secs_f64();
            f64::from(*users) * seconds / cycle.max(1e-6)
        }
    }
}

/// The highest rate that an arrival process comes to.
fn peak(rate: f64, arrivals: &Arrivals) -> f64 {
    match arrivals {
        Arrivals::Ramp(ramp) => rate.max(ramp.to.value()),
        Arrivals::Daily(_) => rate,
        Arrivals::Steps(steps) => steps.at.iter().map(|(_, rate)| rate.value()).fold(rate, f64::max),
        Arrivals::Poisson(_) | Arrivals::Constant(_) | Arrivals::Bursts(_) => rate,
    }
}

/// Memory of one run, in bytes. The weights are rough and rather too high: what every client keeps of every
/// backend, what balancers by key keep, calls, series by second, keys and caches.
fn memory_of_a_run(plan: &Plan) -> f64 {
    let clients = f64::from(plan.client_count());
    let backends = f64::from(plan.backend_count());
    let seconds = plan.duration.saturating_add(plan.drain).as_secs_f64();
    let tables =
        if plan.contenders.iter().any(|contender| contender.channel.balancer.listed().is_some_and(routes_by_key)) {
            PER_CLIENT_BY_KEY
        } else {
            0.0
        };
    let keys = match &plan.calls.keys {
        Some(Keys::Zipf(keys)) => keys.count as f64 * PER_KEY,
        _ => 0.0,
    };
    let entries: f64 = plan
        .backends
        .iter()
        .map(|group| {
            f64::from(group.capacity) * group.profile.cache.as_ref().map_or(0.0, |cache| f64::from(cache.entries))
        })
        .sum();
    let users = match plan.calls.source {
        Source::Closed { users, .. } => f64::from(users),
        Source::Open { .. } => 0.0,
    };
    clients * (PER_CLIENT + tables)
        + clients * backends * PER_PAIR
        + backends * (PER_BACKEND + seconds * PER_SECOND)
        + keys
        + entries * PER_ENTRY
        + users * PER_USER
        + calls_of_a_run(plan).min(MOST_EXACT) * PER_CALL
}

/// `1.2e12` for people.
fn rounded(number: f64) -> String {
    if number < 1e6 { format!("{number:.0}") } else { format!("{number:.1e}") }
}

fn bytes(number: f64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    let unit = units.iter().find(|(size, _)| number >= *size as f64).unwrap_or(&(1 << 20, "MiB"));
    format!("{:.1} {}", number / unit.0 as f64, unit.1)
}

const PER_CLIENT: f64 = 2_048.0;
const PER_CLIENT_BY_KEY: f64 = 300_000.0;
const PER_PAIR: f64 = 256.0;
const PER_BACKEND: f64 = 4_096.0;
const PER_SECOND: f64 = 16.0;
const PER_KEY: f64 = 8.0;
const PER_ENTRY: f64 = 48.0;
const PER_USER: f64 = 64.0;
/// Latencies are kept exactly up to this many calls.
const MOST_EXACT: f64 = 1e7;
const PER_CALL: f64 = 16.0;
