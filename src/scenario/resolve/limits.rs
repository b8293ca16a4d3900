//! Refuses plans that would need more calls or more memory than allowed, before anything is allocated.

use super::Options;
use crate::base::time::{Duration, Instant};
use crate::fault::catalog::Spec;
use crate::fault::effect::{Cause, Effect};
use crate::policy::balancer::hash::owners::MOST_POINTS;
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::plan::{ContenderPlan, Plan};
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
        Source::Open { rate, arrivals } => peak(rate.value(), arrivals) * surged_seconds(plan),
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

/// Seconds of a run, those of a surge counting as often as its factor says; where surges meet, their product.
fn surged_seconds(plan: &Plan) -> f64 {
    let end = plan.horizon();
    let seconds = |from: Instant, until: Instant| until.min(end).since(from).as_secs_f64();
    let has_surges = plan.faults.iter().any(|fault| matches!(fault.fault, Spec::Surge(_)));
    if !has_surges {
        return seconds(Instant::ZERO, end);
    }
    // Surges are the same for every seed.
    let timeline = plan.timeline(plan.seeds.first().copied().unwrap_or_default());
    let (mut sum, mut from, mut open) = (0.0, Instant::ZERO, Vec::<(Cause, f64)>::new());
    for (at, effect) in &timeline.effects {
        let Effect::Surge { cause, factor } = effect else { continue };
        // A lull spares calls, but an estimate that is too high refuses nothing that is right.
        sum += seconds(from, *at) * open.iter().map(|(_, factor)| factor.max(1.0)).product::<f64>();
        from = (*at).min(end);
        open.retain(|(other, _)| other != cause);
        open.extend(factor.map(|factor| (*cause, factor)));
    }
    sum + seconds(from, end) * open.iter().map(|(_, factor)| factor.max(1.0)).product::<f64>()
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
/// backend, the tables of balancers by key, calls, series by second, keys and caches.
fn memory_of_a_run(plan: &Plan) -> f64 {
    let clients = f64::from(plan.client_count());
    let backends = f64::from(plan.backend_count());
    let seconds = plan.duration.saturating_add(plan.drain).as_secs_f64();
    let calls = calls_of_a_run(plan);
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
    clients * PER_CLIENT
        + clients * backends * PER_PAIR
        + backends * (PER_BACKEND + seconds * PER_SECOND)
        + tables_of_a_run(plan)
        + keys_of_a_run(plan, calls)
        + entries * PER_ENTRY
        + users * PER_USER
        + calls.min(MOST_EXACT) * PER_CALL
}

/// The law of the keys, and where each key went last.
fn keys_of_a_run(plan: &Plan, calls: f64) -> f64 {
    match &plan.calls.keys {
        None => 0.0,
        Some(Keys::Zipf(keys)) => keys.count as f64 * PER_KEY + calls.min(keys.count as f64) * PER_KEY_SEEN,
        Some(Keys::Uniform(keys)) => calls.min(keys.count as f64) * PER_KEY_SEEN,
    }
}

/// Rings and tables of slots. Clients with the same view share one; views differ for a moment when the members
/// change, and for long where each client has its own opinion of who is ready.
fn tables_of_a_run(plan: &Plan) -> f64 {
    let clients = f64::from(plan.client_count());
    let weight: f64 =
        plan.backends.iter().map(|group| f64::from(group.capacity) * f64::from(group.weight.max(1))).sum();
    let table = |contender: &ContenderPlan| {
        let spec = contender.channel.balancer.listed().and_then(|spec| serde_json::to_value(spec).ok());
        let tables = Tables::of(&spec.unwrap_or_default(), weight);
        let may_differ = !plan.faults.is_empty() || contender.channel.health.is_some();
        let copies = if may_differ { clients } else { 1.0 };
        tables.by_members * copies.min(VIEWS) + tables.by_readiness * copies
    };
    plan.contenders.iter().map(table).fold(0.0, f64::max)
}

/// Bytes of the tables that one client looks keys up in.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Tables {
    /// Built of all members.
    by_members: f64,
    /// Built of those that are ready.
    by_readiness: f64,
}

impl Tables {
    /// Those of a balancer, and of the balancers inside it; `weight` is that of all backends together.
    fn of(balancer: &serde_json::Value, weight: f64) -> Tables {
        let mut sum = Tables::default();
        for (key, inside) in balancer.as_object().into_iter().flatten() {
            let number = |name: &str| inside.get(name).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
            match key.as_str() {
                "ring_hash" => sum.by_members += number("max_ring") * PER_POINT,
                "hash_ring_vnodes" => sum.by_members += (number("vnodes") * weight).min(MOST_POINTS as f64) * PER_POINT,
                "maglev" => sum.by_readiness += number("table_size") * PER_SLOT,
                _ => {}
            }
            let below = Tables::of(inside, weight);
            sum.by_members += below.by_members;
            sum.by_readiness += below.by_readiness;
        }
        sum
    }
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
const PER_PAIR: f64 = 256.0;
const PER_BACKEND: f64 = 4_096.0;
const PER_SECOND: f64 = 16.0;
/// While the law is built.
const PER_KEY: f64 = 20.0;
/// A key that has been seen, in a tree.
const PER_KEY_SEEN: f64 = 32.0;
/// A point of a ring: 12 bytes, and 16 more while it is built.
const PER_POINT: f64 = 28.0;
/// A slot of a table.
const PER_SLOT: f64 = 4.0;
/// Views of the members that clients have at one time.
const VIEWS: f64 = 4.0;
const PER_ENTRY: f64 = 48.0;
const PER_USER: f64 = 64.0;
/// Latencies are kept exactly up to this many calls.
const MOST_EXACT: f64 = 1e7;
const PER_CALL: f64 = 16.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::resolve::{Options, parse};

    fn plan(calls: &str, balancer: &str, more: &str) -> Plan {
        let text = format!(
            "name = 'x'\nduration = '60s'\ndrain = '0s'\ncalls = {{ rate = '100/s'{calls} }}\nclients = [{{ count = 100 }}]\n\
             backends = [{{ count = 10, weight = 2, service = '1ms' }}]\ncontenders = {{ it = {{ balancer = {balancer} }} }}\n{more}"
        );
        parse(&text, "x.toml", &Options::default()).unwrap_or_else(|findings| panic!("{findings}")).plans.remove(0)
    }

    #[test]
    fn surges_count_as_often_as_they_say() {
        let calls = |more: &str| calls_of_a_run(&plan("", "'random'", more));
        assert_eq!(calls(""), 6_000.0);
        let surge = |at: u32, lasts: u32, factor: f64| {
            format!("[[faults]]\nat = '{at}s'\nfor = '{lasts}s'\nsurge = {{ factor = {factor:?} }}\n")
        };
        assert_eq!(calls(&surge(10, 20, 5.0)), 6_000.0 + 4.0 * 2_000.0);
        assert_eq!(calls(&surge(50, 20, 5.0)), 6_000.0 + 4.0 * 1_000.0, "until the end");
        assert_eq!(calls(&surge(10, 20, 0.5)), 6_000.0, "a lull spares nothing");
        let met = surge(10, 20, 5.0) + &surge(20, 20, 3.0);
        assert_eq!(calls(&met), 100.0 * (10.0 + 10.0 * 5.0 + 10.0 * 15.0 + 10.0 * 3.0 + 20.0));
    }

    #[test]
    fn tables_count_with_their_points_and_views() {
        let tables = |balancer: &str, more: &str| {
            tables_of_a_run(&plan(", keys = { uniform = { count = 10 } }", balancer, more))
        };
        let crash = "[[faults]]\nat = '10s'\nfor = '5s'\ncrash = {}\n";
        assert_eq!(tables("'random'", crash), 0.0);
        assert_eq!(tables("'ring_hash'", ""), 4_096.0 * PER_POINT);
        assert_eq!(tables("{ ring_hash = { max_ring = 8000 } }", crash), 8_000.0 * PER_POINT * VIEWS);
        assert_eq!(tables("{ hash_ring_vnodes = { vnodes = 100 } }", ""), 2_000.0 * PER_POINT);
        assert_eq!(tables("{ hash_ring_vnodes = { vnodes = 60000 } }", ""), 1_200_000.0 * PER_POINT);
        assert_eq!(tables("'maglev'", ""), 65_537.0 * PER_SLOT);
        assert_eq!(tables("'maglev'", crash), 65_537.0 * PER_SLOT * 100.0, "each client has its own opinion");
        assert_eq!(tables("'bounded_load'", ""), 3_200.0 * PER_POINT);
        assert_eq!(tables("{ locality_first = { child = 'ring_hash' } }", ""), 4_096.0 * PER_POINT);
    }

    #[test]
    fn keys_and_caches_take_memory() {
        let memory = |calls: &str| memory_of_a_run(&plan(calls, "'random'", ""));
        let none = memory("");
        let uniform = memory(", keys = { uniform = { count = 1_000_000 } }") - none;
        assert_eq!(uniform, 6_000.0 * PER_KEY_SEEN, "no more than there are calls");
        let zipf = memory(", keys = { zipf = { count = 1_000, exponent = 1.1 } }") - none;
        assert_eq!(zipf, 1_000.0 * (PER_KEY + PER_KEY_SEEN));
    }
}
