//! What a plan may ask of the live world. Everything else is refused before anything starts, all of it at once.

use crate::base::time::{Duration, Instant};
use crate::fault::effect::Effect;
use crate::scenario::plan::{Discovery, Plan};
use crate::workload::birth::{Birth, Births};
use crate::workload::spec::Source;

/// Calls a second that are played faithfully.
pub const MOST_CALLS: u32 = 1_000;

/// Connections of all clients together: each needs three open files in this one process, which usually has 1,024.
pub const MOST_CONNECTIONS: u32 = 300;

/// How long a run may take.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What the live world can do, for those who asked for more.
pub const SUPPORTED: &str = "the live world plays static discovery, open workloads of up to 1,000 calls/s, network \
     delays, and the faults crash, restart (without drain), churn, slow, noisy_neighbour, brownout, errors, hang, \
     pause, surge and move_hot_keys; `plimsoll run` plays everything";

/// Why a plan cannot be played, a sentence each; empty if it can.
pub fn refusals(plan: &Plan, timeline: &[(Instant, Effect)]) -> Vec<String> {
    let mut out = Vec::new();
    if plan.discovery != Discovery::Static {
        out.push("clients learn of backends by other than static discovery".to_owned());
    }
    for contender in plan.contenders.iter().filter(|contender| contender.channel.balancer.is_oracle()) {
        out.push(format!("`{}` is an oracle, and nobody sees into real servers", contender.name));
    }
    if !plan.network.loss.is_zero() {
        out.push("the network loses messages".to_owned());
    }
    if plan.horizon() > Instant::ZERO + LONGEST {
        out.push("it takes longer than an hour, drain included, and live time is real time".to_owned());
    }
    let connections = plan.client_count().saturating_mul(plan.backend_count());
    if connections > MOST_CONNECTIONS {
        out.push(format!("it takes {connections} connections, more than {MOST_CONNECTIONS}"));
    }
    let effects: std::collections::BTreeSet<&str> = timeline.iter().filter_map(|(_, effect)| refused(effect)).collect();
    out.extend(effects.into_iter().map(str::to_owned));
    out.extend(rate_refusal(plan));
    if out.is_empty() {
        out.extend(peak_refusal(plan, timeline));
    }
    out
}

fn rate_refusal(plan: &Plan) -> Option<String> {
    match &plan.calls.source {
        Source::Closed { .. } => Some("users wait for their replies (a closed workload)".to_owned()),
        Source::Open { rate, .. } if rate.value() > f64::from(MOST_CALLS) => {
            Some(format!("calls arrive at {rate}, faster than {MOST_CALLS}/s"))
        }
        Source::Open { .. } => None,
    }
}

/// The schedule tells what ramps, steps and surges come to.
fn peak_refusal(plan: &Plan, timeline: &[(Instant, Effect)]) -> Option<String> {
    // A Poisson process at the limit exceeds this once in thousands of years.
    let most = f64::from(MOST_CALLS) + 6.0 * f64::from(MOST_CALLS).sqrt();
    let second = |birth: &Birth| birth.at.as_nanos() / Duration::from_secs(1).as_nanos();
    let enough = (most * (plan.horizon().since(Instant::ZERO).as_secs_f64() + 1.0)) as usize;
    let calls = schedule(plan, plan.seeds[0], timeline, enough);
    let busiest = calls.chunk_by(|a, b| second(a) == second(b)).map(<[Birth]>::len).max().unwrap_or(0);
    (busiest as f64 > most).then(|| format!("{busiest} calls come in one second, more than {MOST_CALLS}"))
}

fn refused(effect: &Effect) -> Option<&'static str> {
    match effect {
        Effect::Down { loud: true, .. }
        | Effect::Up { .. }
        | Effect::Slow { .. }
        | Effect::Capacity { .. }
        | Effect::Freeze { .. }
        | Effect::Errors { .. }
        | Effect::Surge { .. }
        | Effect::MoveHotKeys { .. } => None,
        Effect::Down { loud: false, .. } => Some("a fault makes a backend vanish without a word (kill)"),
        Effect::Drain { .. } => Some("a fault drains a backend"),
        Effect::Cut { .. } => Some("a fault cuts the network (partition)"),
        Effect::Loss { .. } => Some("a fault makes the network lose messages"),
        Effect::DiscoveryOutage { .. } => Some("a fault stops discovery"),
        Effect::Announce { .. } => {
            Some("a fault lets discovery announce something (reweight, relabel, announce_health)")
        }
    }
}

/// Every call of a run, until its very end: computed beforehand, so that nothing that happens can hold it up.
/// Stops at `most` calls.
pub(super) fn schedule(plan: &Plan, seed: u64, timeline: &[(Instant, Effect)], most: usize) -> Vec<Birth> {
    let groups = plan.clients.iter().map(|group| (group.count, group.share)).collect();
    let seed = crate::base::rand::Seed::new(seed).child("calls");
    let mut births = Births::new(&plan.calls, &groups, plan.duration, &seed);
    let mut surges: Vec<(crate::fault::effect::Cause, f64)> = Vec::new();
    let mut effects = timeline.iter().peekable();
    let mut schedule = Vec::new();
    loop {
        let mut birth = births.next_open();
        while let Some((at, effect)) = effects.next_if(|(at, _)| *at <= birth.at) {
            match effect {
                Effect::Surge { cause, factor } => {
                    surges.retain(|(by, _)| by != cause);
                    surges.extend(factor.map(|factor| (*cause, factor)));
                    let product = surges.iter().map(|(_, factor)| factor).product();
                    birth.at = births.set_surge(*at, product).unwrap_or(birth.at);
                }
                Effect::MoveHotKeys { top } => births.move_hot_keys(*top),
                _ => {}
            }
        }
        if birth.at > plan.horizon() || schedule.len() >= most {
            break;
        }
        schedule.push(birth);
    }
    schedule
}
