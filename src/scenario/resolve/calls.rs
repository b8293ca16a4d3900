//! The times of the whole, and `[calls]`.

use super::Options;
use super::sections::Sections;
use crate::base::dist::Law;
use crate::base::quantity::Factor;
use crate::base::time::Duration;
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::schema;
use crate::scenario::tree::Node;
use crate::workload::spec::{Arrivals, Calls, Class, Keys, Plain, Source};

/// The times of the whole.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Calls are made and counted until here.
    pub duration: Duration,
    /// Calls are counted from here.
    pub warmup: Duration,
    /// How long open calls may finish.
    pub drain: Duration,
    /// Replications.
    pub seeds: u32,
}

impl Times {
    /// Nothing happens later.
    pub fn horizon(&self) -> Duration {
        self.duration.saturating_add(self.drain)
    }
}

/// The times, if they make sense.
pub fn times(file: &Sections, root: &Node<'_, '_>, options: &Options, findings: &mut Findings) -> Option<Times> {
    let top = file.times.as_ref()?;
    let before = findings.clone();
    let at = |key: &str| root.key(key).span();
    let duration = top.duration;
    if duration.is_zero() {
        findings.push(Finding::error(
            at("duration"),
            "a run of no duration shows nothing",
            "write `duration = \"60s\"`",
        ));
    }
    for (key, value) in [("duration", duration), ("drain", top.drain)] {
        if value > LONGEST {
            let message = format!("`{key}` is {value}, and the limit is {LONGEST}");
            findings.push(Finding::error(at(key), message, "shorten it: a few minutes show most effects"));
        }
    }
    let warmup = top.warmup.unwrap_or(Duration::from_nanos(duration.as_nanos() / 10));
    if warmup >= duration && !duration.is_zero() {
        let place = if top.warmup.is_some() { at("warmup") } else { at("duration") };
        let message = format!("the warm-up ({warmup}) leaves nothing of the duration ({duration}) to measure");
        findings.push(Finding::error(place, message, "shorten `warmup` or lengthen `duration`"));
    }
    let seeds = options.seeds.unwrap_or(top.seeds);
    if seeds == 0 || seeds > MOST_SEEDS {
        let message = format!("`seeds` is {seeds}, and must be 1 to {MOST_SEEDS}");
        let help = "write `seeds = 10`, or `--seeds 10`: each contender runs once for each";
        findings.push(Finding::error(at("seeds"), message, help));
    }
    (*findings == before).then_some(Times { duration, warmup, drain: top.drain, seeds })
}

/// The calls, if they make sense.
pub fn resolve(file: &Sections, root: &Node<'_, '_>, times: Option<Times>, findings: &mut Findings) -> Option<Calls> {
    let calls = file.calls.as_ref()?;
    let node = root.key("calls");
    let errors = findings.errors();
    let source = source(calls, &node, findings);
    if let Some(Source::Open { arrivals, .. }) = &source {
        check_arrivals(arrivals, &node.key("arrivals"), times, findings);
    }
    if calls.deadline.is_some_and(Duration::is_zero) {
        let message = "a deadline of no time fails every call";
        findings.push(Finding::error(
            node.key("deadline").span(),
            message,
            "write `deadline = \"250ms\"`, or leave it out",
        ));
    }
    check_keys(calls.keys.as_ref(), &node.key("keys"), findings);
    let mix = mix(calls, &node, findings);
    let source = source.filter(|_| findings.errors() == errors)?;
    Some(Calls { source, deadline: calls.deadline, keys: calls.keys.clone(), mix })
}

/// Open or closed.
fn source(calls: &schema::Calls, node: &Node<'_, '_>, findings: &mut Findings) -> Option<Source> {
    let place = |key: &str| node.key(key).key_span();
    match (calls.rate, calls.users) {
        (Some(rate), None) if rate.is_zero() => {
            let finding = Finding::error(node.key("rate").span(), "no calls would arrive", "write `rate = \"1k/s\"`");
            findings.push(finding);
            None
        }
        (Some(rate), None) => {
            if calls.think.is_some() {
                let message = "`think` belongs to a closed workload, and this one is open";
                findings.push(Finding::error(
                    place("think"),
                    message,
                    "leave it out, or write `users` instead of `rate`",
                ));
            }
            let arrivals = calls.arrivals.clone().unwrap_or(Arrivals::Poisson(Plain {}));
            Some(Source::Open { rate, arrivals })
        }
        (None, Some(0)) => {
            let finding = Finding::error(node.key("users").span(), "nobody would call", "write `users = 100`");
            findings.push(finding);
            None
        }
        (None, Some(users)) => {
            if calls.arrivals.is_some() {
                let message = "`arrivals` belongs to an open workload, and this one is closed";
                let help = "leave it out: users call when they have thought; or write `rate` instead of `users`";
                findings.push(Finding::error(place("arrivals"), message, help));
            }
            Some(Source::Closed { users, think: calls.think.clone().unwrap_or(Law::constant(Duration::ZERO)) })
        }
        (Some(_), Some(_)) => {
            let message = "`rate` and `users` are both given: a workload is open or closed";
            let help = "keep `rate` if calls arrive whatever happens, `users` if they wait for their reply";
            findings.push(Finding::error(place("users"), message, help).label("the second of the two"));
            None
        }
        (None, None) => {
            let (message, help) = if node.exists() {
                ("`[calls]` needs `rate` or `users`", "add `rate = \"1k/s\"`, or `users = 100` for a closed workload")
            } else {
                ("the file does not say which calls are made", "add `[calls]` and beneath it `rate = \"1k/s\"`")
            };
            findings.push(Finding::error(node.span(), message, help));
            None
        }
    }
}

fn check_arrivals(arrivals: &Arrivals, node: &Node<'_, '_>, times: Option<Times>, findings: &mut Findings) {
    let node = node.key(arrivals.name());
    let mut refuse = |key: &str, message: &str, help: &str| {
        findings.push(Finding::error(node.key(key).span(), message, help));
    };
    match arrivals {
        Arrivals::Bursts(bursts) if bursts.size == 0 => refuse("size", "a burst of no calls", "write `size = 10`"),
        Arrivals::Daily(daily) if daily.period.is_zero() => {
            refuse("period", "a day of no length", "write `period = \"60s\"`");
        }
        Arrivals::Ramp(ramp) if times.is_some_and(|times| ramp.from >= times.duration) => {
            refuse("from", "the ramp begins after the end of the run", "begin it earlier, or lengthen `duration`");
        }
        Arrivals::Steps(steps) if steps.at.is_empty() => {
            refuse("at", "steps without a step", "write `at = [[\"30s\", \"4k/s\"]]`");
        }
        Arrivals::Steps(steps) if steps.at.windows(2).any(|pair| pair[0].0 >= pair[1].0) => {
            refuse("at", "the steps are not in the order of time", "sort them; no two at the same time");
        }
        _ => {}
    }
}

fn check_keys(keys: Option<&Keys>, node: &Node<'_, '_>, findings: &mut Findings) {
    let count = match keys {
        Some(Keys::Uniform(keys)) => keys.count,
        Some(Keys::Zipf(keys)) => keys.count,
        None => return,
    };
    if count == 0 || count > MOST_KEYS {
        let place = node.key(keys.map_or("", Keys::name)).key("count").span();
        let message = format!("the number of keys is {count}, and must be 1 to {MOST_KEYS}");
        findings.push(Finding::error(place, message, "write `count = 10_000`"));
    }
}

/// The classes, with the deadline, demand and metadata of all calls where they have none of their own.
fn mix(calls: &schema::Calls, node: &Node<'_, '_>, findings: &mut Findings) -> Vec<Class> {
    let demand = calls.demand.unwrap_or(Factor::ONE);
    let metadata = calls.metadata.clone().unwrap_or_default();
    let one = Class {
        name: "all".to_owned(),
        share: Factor::ONE,
        demand,
        deadline: calls.deadline,
        metadata: metadata.clone(),
    };
    let mut mix: Vec<Class> = Vec::new();
    for (number, class) in calls.mix.iter().enumerate() {
        if mix.iter().any(|other| other.name == class.name.as_str()) {
            let message = format!("two classes are called `{}`", class.name.as_str());
            let place = node.key("mix").index(number).key("name").span();
            findings.push(Finding::error(place, message, "give each a name of its own"));
        }
        mix.push(Class {
            name: class.name.as_str().to_owned(),
            share: class.share,
            demand: class.demand.unwrap_or(demand),
            deadline: class.deadline.or(calls.deadline),
            metadata: class.metadata.as_ref().unwrap_or(&metadata).clone(),
        });
    }
    if mix.is_empty() { vec![one] } else { mix }
}

/// Longest run, and longest drain.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Most replications.
pub const MOST_SEEDS: u32 = 10_000;
/// Most keys.
const MOST_KEYS: u64 = 1_000_000_000_000;
