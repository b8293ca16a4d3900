//! `[contenders]`: what is shared is filled in, and the baseline is found.

use std::cell::Cell;
use std::ops::Range;

use globset::Glob;

use super::Options;
use super::fleet::Fleet;
use super::sections::Sections;
use crate::policy::balancer;
use crate::policy::balancer::catalog::{Need, Spec, needs};
use crate::policy::balancer::read::Zone;
use crate::policy::channel::ChannelSpec;
use crate::policy::hash_policy;
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::explain;
use crate::scenario::import;
use crate::scenario::plan::ContenderPlan;
use crate::scenario::schema::Contender;
use crate::scenario::tree::Node;
use crate::scenario::words::Setting;
use crate::workload::spec::Calls;

/// Who competes.
pub struct Contenders {
    /// Those that run, in the order of the file.
    pub list: Vec<ContenderPlan>,
    /// Index of the one that others are compared with.
    pub baseline: usize,
}

/// The contenders, if all of them make sense.
pub fn resolve(file: &Sections, root: &Node<'_, '_>, options: &Options, findings: &mut Findings) -> Option<Contenders> {
    let errors = findings.errors();
    let node = root.key("contenders");
    if file.contenders.is_empty() && node.value().is_none_or(|value| value.get_ref().is_table()) {
        let help = "add `[contenders]` and beneath it a line for each, `p2c = { balancer = \"least_request\" }`";
        let place = if node.exists() { node.span() } else { root.span().start..root.span().start };
        findings.push(Finding::error(place, "the file has no contenders", help));
    }
    if file.contenders.len() > MOST {
        let message = format!("{} contenders are more than the limit of {MOST}", file.contenders.len());
        findings.push(Finding::error(node.span(), message, "ask one question a file"));
        return None;
    }
    let mut all = Vec::new();
    for (name, contender) in &file.contenders {
        let Some((own, shared)) = contender.as_ref().zip(file.client.as_ref()) else { continue };
        let Some(channel) = channel(own, shared, file) else {
            let help = format!("add `balancer = \"round_robin\"` to it, or to `[client]` for all; {LIST}");
            let place = node.key(name);
            let finding = Finding::error(place.key_span(), format!("the contender `{name}` needs a `balancer`"), help);
            findings.push(finding);
            continue;
        };
        let imported = own.imported.as_ref().or(shared.imported.as_ref()).map(|(imported, _)| imported.clone());
        all.push(ContenderPlan { name: name.clone(), channel, imported });
    }
    check_subsets(file, root, findings);
    let baseline = baseline(file, root, findings);
    let chosen = chosen(&all, file, options, findings);
    let complete = all.len() == file.contenders.len();
    if findings.errors() != errors || !complete || shared_is_wrong(file) {
        return None;
    }
    let list: Vec<ContenderPlan> = all.into_iter().filter(|contender| chosen.contains(&contender.name)).collect();
    let baseline = baseline.and_then(|name| list.iter().position(|contender| contender.name == name)).unwrap_or(0);
    Some(Contenders { list, baseline })
}

/// True if something that all contenders share is wrong, or there are none.
fn shared_is_wrong(file: &Sections) -> bool {
    file.client.is_none() || file.health.is_none() || file.contenders.is_empty()
}

/// A contender's settings, with the shared ones where it has none.
fn channel(own: &Contender, shared: &Contender, file: &Sections) -> Option<ChannelSpec> {
    let health = own.health.clone().or_else(|| shared.health.clone());
    let imported = own.imported.as_ref().or(shared.imported.as_ref());
    let otherwise = || imported.and_then(|(_, name)| import::named(name));
    let balancer = own.balancer.clone().or_else(|| shared.balancer.clone()).or_else(otherwise)?;
    Some(ChannelSpec {
        balancer: in_subset(balancer, own, shared).into(),
        retry: setting(own.retry.clone().or_else(|| shared.retry.clone())),
        limit: setting(own.limit.clone().or_else(|| shared.limit.clone())),
        health: match health {
            Some(health) => setting(Some(health)),
            None => file.health.clone().flatten(),
        },
        wait_for_ready: own.wait_for_ready.or(shared.wait_for_ready).unwrap_or(false),
        deadline: own.deadline.or(shared.deadline),
        hash: own.hash.clone().or_else(|| shared.hash.clone()).unwrap_or_default(),
    })
}

/// The balancer of a contender, inside of the subset that it keeps to.
fn in_subset(balancer: Spec, own: &Contender, shared: &Contender) -> Spec {
    match setting(own.subset.clone().or_else(|| shared.subset.clone())) {
        Some(subset) => subset.around(balancer),
        None => balancer,
    }
}

/// The balancer inside of a subset is the contender's, and is said in one place.
fn check_subsets(file: &Sections, root: &Node<'_, '_>, findings: &mut Findings) {
    let shared = file.client.as_ref().map(|client| (client, root.key("client")));
    let own = file.contenders.iter().filter_map(|(name, own)| Some((own.as_ref()?, root.key("contenders").key(name))));
    for (settings, node) in shared.into_iter().chain(own) {
        let Some(Setting::To(subset)) = &settings.subset else { continue };
        if let Some(child) = subset.child() {
            let message =
                format!("the balancer inside of a subset is that of the contender, and not `{}`", child.name());
            let help = format!("leave `child` out, and write `balancer = \"{}\"` beside `subset`", child.name());
            findings.push(Finding::error(node.key("subset").span(), message, help));
        }
    }
}

fn setting<T>(setting: Option<Setting<T>>) -> Option<T> {
    match setting? {
        Setting::To(value) => Some(value),
        Setting::Undone => None,
    }
}

/// The name after `baseline`.
fn baseline<'f>(file: &'f Sections, root: &Node<'_, '_>, findings: &mut Findings) -> Option<&'f str> {
    let name = file.baseline.as_ref()?.baseline.as_deref()?;
    let known = names(file);
    if !known.contains(&name) {
        let help = super::suggestion(name, &known, "contenders");
        findings.push(Finding::error(root.key("baseline").span(), format!("there is no contender `{name}`"), help));
    }
    Some(name)
}

/// The contenders of the file, also those that are wrong.
pub fn names(file: &Sections) -> Vec<&str> {
    file.contenders.iter().map(|(name, _)| name.as_str()).collect()
}

/// The names that the command line asks for.
fn chosen(all: &[ContenderPlan], file: &Sections, options: &Options, findings: &mut Findings) -> Vec<String> {
    let known = names(file);
    if options.contenders.is_empty() {
        return known.into_iter().map(str::to_owned).collect();
    }
    let mut chosen = Vec::new();
    for glob in &options.contenders {
        let matcher = match Glob::new(glob) {
            Ok(glob) => glob.compile_matcher(),
            Err(error) => {
                let message = format!("`--contenders {glob}` is not a pattern: {}", error.kind());
                findings.push(Finding::outside(message, "write names, or patterns with `*`"));
                continue;
            }
        };
        let before = chosen.len();
        chosen.extend(known.iter().filter(|name| matcher.is_match(name)).map(|name| (*name).to_owned()));
        if chosen.len() == before && !all.is_empty() {
            let help = super::suggestion(glob, &known, "contenders");
            findings.push(Finding::outside(format!("`--contenders {glob}` matches no contender"), help));
        }
    }
    chosen
}

/// Puts numbers where balancers name zones. A name that nobody has is refused; a number, which may be a default, makes
/// a canary of nobody and is only doubted.
pub fn settle_zones(contenders: &mut Contenders, fleet: &Fleet, root: &Node<'_, '_>, findings: &mut Findings) {
    let known: Vec<&str> = fleet.zones.iter().map(|zone| zone.name.as_str()).collect();
    for contender in &mut contenders.list {
        let absent = Cell::new(None);
        let number = |zone: &Zone| match zone {
            Zone::Number(number) => {
                absent.set(absent.get().or(Some(*number).filter(|number| usize::from(*number) >= known.len())));
                Some(*number)
            }
            Zone::Name(name) => match fleet.zones_named(name).as_deref() {
                Ok([only]) => Some(only.0),
                _ => None,
            },
        };
        let settled = contender.channel.balancer.settle(&number);
        let place = root.key("contenders").key(&contender.name).key("balancer");
        let place = if place.exists() { place } else { root.key("client").key("balancer") };
        if let Err(zone) = settled {
            let name = zone.to_string();
            let message = format!("`{name}` is not one zone with a client or a backend");
            findings.push(Finding::error(place.span(), message, super::suggestion(&name, &known, "zones")));
        } else if let Some(number) = absent.get() {
            let message = format!("zone {number} of `{}` has nobody: there are {}", contender.name, known.len());
            let help = format!("name one, such as `zone = \"{}\"`", known.first().unwrap_or(&"default"));
            findings.push(Finding::warning(place.span(), message, help));
        }
    }
}

/// Warns of names that are taken for one balancer where some mean another: nothing is guessed in silence.
pub fn check_names(root: &Node<'_, '_>, findings: &mut Findings) {
    let contenders = root.key("contenders").entries();
    let own = contenders.iter().map(|(_, contender)| contender.key("balancer"));
    for balancer in own.chain([root.key("client").key("balancer")]) {
        doubt_names(&balancer, findings);
    }
}

fn doubt_names(balancer: &Node<'_, '_>, findings: &mut Findings) {
    if let Some(name) = balancer.text() {
        doubt(name, balancer.span(), findings);
    }
    for (name, child) in balancer.entries() {
        doubt(name, child.key_span(), findings);
        doubt_names(&child, findings);
    }
    for child in balancer.items() {
        doubt_names(&child, findings);
    }
}

fn doubt(name: &str, place: Range<usize>, findings: &mut Findings) {
    if let Some((meaning, others)) = explain::taken_for(name) {
        let help = format!("write that, or, to compare by latency, {others}");
        findings.push(Finding::warning(place, format!("`{name}` is taken for {meaning}"), help));
    }
}

/// Warns of balancers that route by key where calls have none.
pub fn check_keys(file: &Sections, calls: Option<&Calls>, root: &Node<'_, '_>, findings: &mut Findings) {
    if calls.is_none_or(|calls| calls.keys.is_some()) {
        return;
    }
    for (name, contender) in &file.contenders {
        let Some(balancer) = contender.as_ref().and_then(|contender| contender.balancer.as_ref()) else { continue };
        let hash = contender.as_ref().and_then(|contender| contender.hash.as_ref());
        let by_others = hash.into_iter().flatten().any(|policy| !matches!(policy, hash_policy::Policy::Key(_)));
        if routes_by_key(balancer) && !by_others {
            let place = root.key("contenders").key(name).key("balancer").span();
            let message = format!("`{name}` routes by key, and the calls have no keys: each gets a key of its own");
            let help = "add `keys = { zipf = { count = 10_000, exponent = 1.1 } }` to `[calls]`";
            findings.push(Finding::warning(place, message, help));
        }
    }
}

/// Warns of balancers that need something of backends that none of them has. It is a warning because what they do then
/// is defined (gRFC A58: round robin; Envoy's subsets: the fallback) and may be the question; where some have it and
/// others do not, it is no mistake.
pub fn check_needs(file: &Sections, root: &Node<'_, '_>, findings: &mut Findings) {
    if file.backends.is_empty() || file.backends.iter().any(Option::is_none) {
        return;
    }
    for (name, contender) in &file.contenders {
        let Some((settings, shared)) = contender.as_ref().zip(file.client.as_ref()) else { continue };
        let own = settings.balancer.as_ref();
        let Some(balancer) = own.or(shared.balancer.as_ref()) else { continue };
        let balancer = in_subset(balancer.clone(), settings, shared);
        let unmet = needs(&balancer).into_iter().find_map(|(by, need)| Some((by, unmet(need, file)?)));
        let Some((by, (what, help))) = unmet else { continue };
        let contender = root.key("contenders").key(name).key("balancer");
        let place = if own.is_some() { contender } else { root.key("client").key("balancer") };
        findings.push(Finding::warning(place.span(), format!("`{by}` of `{name}` {what}"), help));
    }
}

/// What is missing for a need, and what to do about it; `None` if nothing is.
fn unmet(need: Need, file: &Sections) -> Option<(&'static str, &'static str)> {
    let reports = || file.backends.iter().flatten().filter_map(|group| group.load_reports.as_ref());
    let per_call = || reports().any(|reports| reports.per_call && !reports.share.is_zero());
    let out_of_band = || reports().any(|reports| reports.out_of_band.is_some() && !reports.share.is_zero());
    let described = || file.backends.iter().flatten().any(|group| !group.metadata.is_empty());
    let asked = || file.calls.as_ref().is_none_or(|calls| calls.asked().any(|asked| !asked.is_empty()));
    match need {
        Need::PerCall if !per_call() => Some((
            "lives on load reports, and no backend reports on its replies: it learns nothing",
            "add `load_reports = {}` to the `[[backends]]` that report",
        )),
        Need::OutOfBand if !out_of_band() => Some((
            "lives on load reports, and no backend reports out of band: it learns nothing",
            "add `load_reports = { out_of_band = {} }` to the `[[backends]]` that report",
        )),
        Need::Metadata if !described() => Some((
            "sorts backends by metadata, and none has any: all calls take its fallback",
            "add `metadata = { version = \"v2\" }` to the `[[backends]]` that are something",
        )),
        Need::Metadata if !asked() => Some((
            "sorts calls by metadata, and none asks for any: all take its fallback",
            "add `metadata = { version = \"v2\" }` to `[calls]`, or to a class of its `mix`",
        )),
        Need::PerCall | Need::OutOfBand | Need::Metadata | Need::Truth => None,
    }
}

/// True if the balancer, or one inside it, is of the family that routes by key.
pub fn routes_by_key(balancer: &balancer::catalog::Spec) -> bool {
    fn any(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::Object(members) => members
                .iter()
                .any(|(key, value)| (members.len() == 1 && value.is_object() && by_key(key)) || any(value)),
            serde_json::Value::Array(items) => items.iter().any(any),
            _ => false,
        }
    }
    fn by_key(name: &str) -> bool {
        balancer::catalog::CARDS.iter().any(|card| card.name == name && card.family == "hash")
    }
    serde_json::to_value(balancer).is_ok_and(|value| any(&value))
}

/// Most contenders.
const MOST: usize = 1_000;
const LIST: &str = "`plimsoll list balancers` shows all of them";
