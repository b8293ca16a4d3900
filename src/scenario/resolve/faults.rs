//! `[[faults]]`: when each acts, whom it may touch, and how large the groups become.

use super::calls::Times;
use super::fleet::Fleet;
use super::sections::Sections;
use crate::base::id::BackendId;
use crate::base::quantity::Ratio;
use crate::base::time::{Duration, Instant};
use crate::fault::catalog::Spec;
use crate::fault::{Resizing, Schedule, capacities};
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::plan::{BackendGroup, FaultPlan, Target, TargetPick};
use crate::scenario::schema::{Discovery, Fault};
use crate::scenario::tree::Node;
use crate::workload::spec::Keys;

/// The faults, and the backends with room for all that will ever be there.
pub struct Faults {
    /// In the order of the file.
    pub list: Vec<FaultPlan>,
    /// The groups, with their capacities.
    pub backends: Vec<BackendGroup>,
}

/// A fault with the groups that it is aimed at.
struct Aimed<'f> {
    when: &'f Fault,
    what: &'f Spec,
    groups: Vec<u32>,
}

/// The faults, if all of them make sense. Without a fleet or times, what can be judged is judged all the same.
pub fn resolve(
    file: &Sections,
    root: &Node<'_, '_>,
    fleet: Option<&Fleet>,
    times: Option<&Times>,
    findings: &mut Findings,
) -> Option<Faults> {
    let errors = findings.errors();
    let mut aimed = Vec::new();
    for (number, entry) in file.faults.iter().enumerate() {
        let Some((when, what)) = entry else { continue };
        let node = root.key("faults").index(number);
        check_times(when, what, &node, times, findings);
        check_fault(what, file, &node, findings);
        let groups = fleet.map(|fleet| aim(when, what, fleet, &node, findings)).unwrap_or_default();
        aimed.push(Aimed { when, what, groups });
    }
    check_key_moves(file, root, times, findings);
    if findings.errors() != errors || file.faults.iter().any(Option::is_none) {
        return None;
    }
    let backends = with_capacity(&aimed, fleet?, times?, root, findings)?;
    let list = aimed.iter().map(|fault| fault.plan(&backends)).collect();
    Some(Faults { list, backends })
}

fn check_times(when: &Fault, what: &Spec, node: &Node<'_, '_>, times: Option<&Times>, findings: &mut Findings) {
    let at = |key: &str| node.key(key).span();
    for (key, value) in [("for", when.lasts), ("every", when.every)] {
        if value.is_some_and(Duration::is_zero) {
            let help = format!("write `{key} = \"10s\"`, or leave it out");
            findings.push(Finding::error(at(key), format!("`{key}` is no time at all"), help));
        }
    }
    if let Some(lasts) = when.lasts.filter(|_| what.fault().ends_by_itself()) {
        let message = format!("`{}` ends by itself, and `for` ({lasts}) says nothing", what.name());
        findings.push(Finding::error(node.key("for").key_span(), message, "leave `for` out"));
    }
    let Some(times) = times else { return };
    if when.at >= times.duration {
        let message = format!("the fault begins at {}, and the run ends at {}", when.at, times.duration);
        findings.push(Finding::error(at("at"), message, "let it begin earlier, or lengthen `duration`"));
        return;
    }
    if when.at < times.warmup {
        let message = format!("the fault begins during the warm-up, which lasts {}", times.warmup);
        let help = "let it begin later, so that there is a time before it to compare with";
        findings.push(Finding::warning(at("at"), message, help));
    }
    if when.lasts.is_some_and(|lasts| when.at.saturating_add(lasts) > times.horizon()) {
        let message = "the fault lasts longer than the run";
        findings.push(Finding::warning(at("for"), message, "shorten it, or leave `for` out: it lasts to the end then"));
    }
    let occurrences = occurrences(when, times);
    if occurrences > MOST_OCCURRENCES {
        let message = format!("the fault comes {occurrences} times, and the limit is {MOST_OCCURRENCES}");
        findings.push(Finding::error(at("every"), message, "lengthen `every`"));
    }
}

/// How often a fault comes.
fn occurrences(when: &Fault, times: &Times) -> u64 {
    let left = times.horizon().saturating_sub(when.at).as_nanos();
    1 + when.every.map_or(0, |every| left.checked_div(every.as_nanos()).unwrap_or(0))
}

/// The parameters of the fault itself, and whether it can do anything here.
fn check_fault(what: &Spec, file: &Sections, node: &Node<'_, '_>, findings: &mut Findings) {
    let own = node.key(what.name());
    if let Err(why) = what.fault().check() {
        let quoted = why.split('`').nth(1).unwrap_or_default();
        let place = own.key(quoted).span();
        let help = format!("`plimsoll explain {}` says what its parameters mean", what.name());
        findings.push(Finding::error(place, format!("`{}`: {why}", what.name()), help));
    }
    let is_static = matches!(file.discovery, Some(Discovery::Static(_)));
    if is_static && what.fault().resize(1).is_some() {
        let message = "clients never hear of new backends: discovery is static";
        findings.push(Finding::warning(own.key_span(), message, "add `discovery = \"push\"`, or a lease"));
    }
    if is_static && what.fault().announces() {
        let message = "nobody hears what is announced: discovery is static";
        findings.push(Finding::error(own.key_span(), message, "add `discovery = \"push\"`, or a lease"));
    }
}

/// Keys that move need keys, and enough of them.
fn check_key_moves(file: &Sections, root: &Node<'_, '_>, times: Option<&Times>, findings: &mut Findings) {
    let Some(calls) = &file.calls else { return };
    let count = match &calls.keys {
        Some(Keys::Zipf(keys)) => keys.count,
        Some(Keys::Uniform(keys)) => keys.count,
        None => 0,
    };
    let mut moved = 0u64;
    for (number, entry) in file.faults.iter().enumerate() {
        let Some((when, what @ Spec::MoveHotKeys(config))) = entry else { continue };
        let node = root.key("faults").index(number).key(what.name());
        if calls.keys.is_none() {
            let help = "add `keys = { zipf = { count = 10_000, exponent = 1.1 } }` to `[calls]`";
            findings.push(Finding::error(node.key_span(), "there are no keys to move", help));
            continue;
        }
        let times = times.map_or(1, |times| occurrences(when, times));
        moved = moved.saturating_add(config.top.saturating_mul(times));
        if moved.saturating_add(config.top) > count {
            let message = format!("with {count} keys there are not enough cold ones to swap {moved} hot ones with");
            findings.push(Finding::error(node.key("top").span(), message, "lower `top`, or raise the number of keys"));
        }
    }
}

/// The groups that a fault is aimed at.
fn aim(when: &Fault, what: &Spec, fleet: &Fleet, node: &Node<'_, '_>, findings: &mut Findings) -> Vec<u32> {
    let target = node.key("target");
    if (target.exists() || when.share.is_some()) && !what.fault().aims_at_backends() {
        let place = if target.exists() { target.key_span() } else { node.key("share").key_span() };
        let message = format!("`{}` is not aimed at backends, and a target says nothing", what.name());
        findings.push(Finding::error(place, message, "leave it out"));
    }
    for zone in what.fault().zones() {
        if let Err((message, help)) = fleet.zones_named(zone) {
            findings.push(Finding::error(node.key(what.name()).key("zone").span(), message, help));
        }
    }
    check_one_zone(what, fleet, node, findings);
    check_amount(when, &target, node, findings);
    let errors = findings.errors();
    let zones = when.target.zone.as_ref().map(|zone| {
        fleet.zones_named(zone.as_str()).unwrap_or_else(|(message, help)| {
            findings.push(Finding::error(target.key("zone").span(), message, help));
            Vec::new()
        })
    });
    let name = when.target.backends.as_ref().map(|name| name.as_str());
    let names: Vec<&str> = fleet.backends.iter().map(|group| group.name.as_str()).collect();
    if let Some(name) = name.filter(|name| !names.contains(name)) {
        let help = super::suggestion(name, &names, "groups of backends");
        findings.push(Finding::error(target.key("backends").span(), format!("no backends are called `{name}`"), help));
    }
    let meant = |group: &BackendGroup| {
        name.is_none_or(|name| group.name == name) && zones.as_ref().is_none_or(|zones| zones.contains(&group.zone))
    };
    let groups: Vec<u32> = (0..).zip(&fleet.backends).filter(|(_, group)| meant(group)).map(|(id, _)| id).collect();
    if groups.is_empty() && findings.errors() == errors {
        let (message, help) = match name {
            Some(_) => ("no backend is both in that group and in that zone", "leave out one of the two"),
            None => ("there are only clients in that zone", "aim at a zone with backends"),
        };
        findings.push(Finding::error(target.span(), message, help));
    }
    groups
}

/// A zone that has to be one must not be a region of several.
fn check_one_zone(what: &Spec, fleet: &Fleet, node: &Node<'_, '_>, findings: &mut Findings) {
    let Some(name) = what.fault().one_zone() else { return };
    let place = node.key(what.name()).key("zone").span();
    match fleet.zones_named(name) {
        Ok(zones) if zones.len() == 1 => {}
        Ok(zones) => {
            let known: Vec<String> = zones.iter().map(|zone| format!("`{}`", fleet.zones[zone.index()].name)).collect();
            let message = format!("`{name}` is a region of {} zones, and a backend is in one", zones.len());
            findings.push(Finding::error(place, message, format!("write one of {}", known.join(", "))));
        }
        Err((message, help)) => findings.push(Finding::error(place, message, help)),
    }
}

/// How many: at most one way of saying it.
fn check_amount(when: &Fault, target: &Node<'_, '_>, node: &Node<'_, '_>, findings: &mut Findings) {
    let share = when.share.or(when.target.share);
    let place = if when.share.is_some() { node.key("share") } else { target.key("share") };
    if (when.share.is_some() && when.target.share.is_some()) || (share.is_some() && when.target.count.is_some()) {
        let message = "how many are touched is said twice";
        findings.push(Finding::error(place.key_span(), message, "keep one of `count` and `share`"));
    }
    if share.is_some_and(Ratio::is_zero) {
        findings.push(Finding::error(place.span(), "a share of nothing touches nobody", "write `share = \"10%\"`"));
    }
    if when.target.count == Some(0) {
        let finding = Finding::error(target.key("count").span(), "a count of nobody", "write `count = 1`");
        findings.push(finding);
    }
}

/// The groups with room for all members that scaling will ever bring.
fn with_capacity(
    aimed: &[Aimed<'_>],
    fleet: &Fleet,
    times: &Times,
    root: &Node<'_, '_>,
    findings: &mut Findings,
) -> Option<Vec<BackendGroup>> {
    let resizing: Vec<Resizing<'_>> = aimed
        .iter()
        .map(|fault| Resizing { fault: fault.what.fault(), schedule: fault.schedule(), groups: &fault.groups })
        .collect();
    let counts: Vec<u32> = fleet.backends.iter().map(|group| group.count).collect();
    let horizon = Instant::ZERO + times.duration + times.drain;
    let capacities = capacities(&resizing, &counts, horizon);
    let sum: u64 = capacities.iter().map(|capacity| u64::from(*capacity)).sum();
    if sum > super::fleet::MOST {
        let last = aimed.iter().rposition(|fault| fault.what.fault().resize(1).is_some()).unwrap_or(0);
        let place = root.key("faults").index(last).key(aimed[last].what.name()).span();
        let message = format!("scaling makes {sum} backends, more than the limit of {}", super::fleet::MOST);
        findings.push(Finding::error(place, message, "scale to fewer: this limit is fixed"));
        return None;
    }
    let grown = fleet.backends.iter().zip(capacities);
    Some(grown.map(|(group, capacity)| BackendGroup { capacity: capacity.max(group.count), ..group.clone() }).collect())
}

impl Aimed<'_> {
    fn schedule(&self) -> Schedule {
        Schedule { at: self.when.at, lasts: self.when.lasts, every: self.when.every }
    }

    fn plan(&self, backends: &[BackendGroup]) -> FaultPlan {
        let mut candidates = Vec::new();
        let mut next = 0u32;
        let mut initial = 0u32;
        for (number, group) in (0..).zip(backends) {
            if self.groups.contains(&number) {
                candidates.extend((next..next + group.capacity).map(BackendId));
                initial += group.count;
            }
            next += group.capacity;
        }
        let share = self.when.share.or(self.when.target.share).map(Ratio::value);
        let pick = match (self.when.target.count, share) {
            (Some(count), _) => TargetPick::Count(count),
            (None, Some(share)) => TargetPick::Random((share * f64::from(initial) - 1e-9).ceil().max(1.0) as u32),
            (None, None) => TargetPick::All,
        };
        FaultPlan {
            at: self.when.at,
            lasts: self.when.lasts,
            every: self.when.every,
            target: Target { candidates, pick },
            fault: self.what.clone(),
        }
    }
}

/// Most occurrences of a fault.
const MOST_OCCURRENCES: u64 = 100_000;
