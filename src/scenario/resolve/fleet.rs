//! Clients, backends and the zones they are in.

use std::sync::Arc;

use super::sections::Sections;
use crate::backend::spec::{Errors, Profile};
use crate::base::id::{RegionId, ZoneId};
use crate::base::quantity::Ratio;
use crate::scenario::diagnose::{Finding, Findings};
use crate::scenario::plan::{BackendGroup, ClientGroup, Zone};
use crate::scenario::schema::{Backends, Clients};
use crate::scenario::tree::Node;
use crate::scenario::words::{Name, ZoneName};

/// Who there is, and where.
pub struct Fleet {
    /// All zones.
    pub zones: Vec<Zone>,
    /// All regions.
    pub regions: Vec<String>,
    /// Groups of clients.
    pub clients: Vec<ClientGroup>,
    /// Groups of backends.
    pub backends: Vec<BackendGroup>,
}

/// The fleet, if all of it makes sense.
pub fn resolve(file: &Sections, root: &Node<'_, '_>, findings: &mut Findings) -> Option<Fleet> {
    let errors = findings.errors();
    if file.backends.is_empty() && !root.key("backends").exists() {
        let help =
            "add `[[backends]]` and beneath it `count = 10` and `service = { exponential = { mean = \"10ms\" } }`";
        findings.push(Finding::error(root.span().start..root.span().start, "the file has no backends", help));
    }
    count_all(file, root, findings);
    let mut fleet = Fleet { zones: Vec::new(), regions: Vec::new(), clients: Vec::new(), backends: Vec::new() };
    number_zones(file, root, &mut fleet, findings);
    fleet.clients = clients(file, root, &fleet, findings);
    fleet.backends = backends(file, root, &fleet, findings);
    let all_read = file.clients.iter().all(Option::is_some) && file.backends.iter().all(Option::is_some);
    (all_read && findings.errors() == errors).then_some(fleet)
}

/// Refuses groups of nobody, and more than a machine can hold.
fn count_all(file: &Sections, root: &Node<'_, '_>, findings: &mut Findings) {
    let clients: Vec<Option<u32>> = file.clients.iter().map(|group| group.as_ref().map(|group| group.count)).collect();
    let backends: Vec<Option<u32>> =
        file.backends.iter().map(|group| group.as_ref().map(|group| group.count)).collect();
    for (key, counts) in [("clients", clients), ("backends", backends)] {
        let mut sum = 0u64;
        for (number, count) in counts.into_iter().enumerate() {
            let place = root.key(key).index(number).key("count").span();
            let Some(count) = count else { continue };
            let before = sum;
            sum += u64::from(count);
            if count == 0 {
                let finding = Finding::error(place, format!("a group of no {key}"), "write `count = 1` or more");
                findings.push(finding);
            } else if sum > MOST && before <= MOST {
                let message = format!("`count`: {sum} {key} are more than the limit of {MOST}");
                let help = "take fewer: this limit is fixed, and the effects show with hundreds";
                findings.push(Finding::error(place, message, help));
            }
        }
    }
}

/// Numbers the zones in the order of the file.
fn number_zones(file: &Sections, root: &Node<'_, '_>, fleet: &mut Fleet, findings: &mut Findings) {
    let clients = file.clients.iter().map(|group| group.as_ref().map(|group| group.zone.as_ref()));
    let backends = file.backends.iter().map(|group| group.as_ref().map(|group| group.zone.as_ref()));
    let place = |key: &str, number: usize| root.key(key).index(number).key("zone");
    let mut named: Vec<(Node<'_, '_>, Option<&ZoneName>)> = Vec::new();
    named.extend(clients.enumerate().filter_map(|(n, zone)| zone.map(|zone| (place("clients", n), zone))));
    named.extend(backends.enumerate().filter_map(|(n, zone)| zone.map(|zone| (place("backends", n), zone))));
    named.sort_by_key(|(node, _)| node.span().start);
    let some_named = named.iter().any(|(_, zone)| zone.is_some());
    for (node, zone) in &named {
        if zone.is_none() && some_named {
            let message = format!("this group has no zone, and others have: it is in `{NOWHERE}`, a region of its own");
            findings.push(Finding::warning(node.span(), message, "give it a `zone`, too"));
        }
    }
    if file.clients.is_empty() {
        let message = format!("there are no `[[clients]]`: the one client is in `{NOWHERE}`, a region of its own");
        if some_named {
            let help = "add `[[clients]]` with a `zone`";
            findings.push(Finding::warning(root.span().start..root.span().start, message, help));
        }
        fleet.zone_id(None);
    }
    for (node, zone) in named {
        if fleet.zones.len() >= MOST_ZONES {
            let message = format!("more than {MOST_ZONES} zones, the limit");
            findings.push(Finding::error(node.span(), message, "put more groups into one zone"));
            return;
        }
        fleet.zone_id(zone);
    }
}

fn clients(file: &Sections, root: &Node<'_, '_>, fleet: &Fleet, findings: &mut Findings) -> Vec<ClientGroup> {
    let groups: Vec<Option<Clients>> = match file.clients.as_slice() {
        [] => vec![Some(Clients { name: None, zone: None, count: 1, share: None })],
        groups => groups.to_vec(),
    };
    let names = names(
        root,
        "clients",
        groups.iter().map(|group| group.as_ref().and_then(|group| group.name.as_ref())),
        findings,
    );
    let Some(groups) = groups.into_iter().collect::<Option<Vec<Clients>>>() else { return Vec::new() };
    let shares = shares(&groups, root, findings);
    let members = groups.iter().zip(names).zip(shares);
    members
        .map(|((group, name), share)| ClientGroup {
            name,
            zone: fleet.find_zone(group.zone.as_ref()),
            count: group.count,
            share,
        })
        .collect()
}

/// The share of each group of clients: as it says, and the rest by number of clients.
fn shares(groups: &[Clients], root: &Node<'_, '_>, findings: &mut Findings) -> Vec<f64> {
    let given: f64 = groups.iter().filter_map(|group| group.share).map(Ratio::value).sum();
    let others: u64 = groups.iter().filter(|group| group.share.is_none()).map(|group| u64::from(group.count)).sum();
    let wrong = if given > 1.0 + 1e-9 {
        Some(("add up to more than 100 %", "lower them"))
    } else if others == 0 && given < 1.0 - 1e-9 && groups.iter().all(|group| group.share.is_some()) {
        Some(("do not add up to 100 %", "raise them, or leave `share` out in one group: it gets the rest"))
    } else if given > 1.0 - 1e-9 && groups.iter().any(|group| group.share.is_none()) {
        Some(("add up to 100 %, and leave nothing for the groups without `share`", "lower them"))
    } else {
        None
    };
    if let Some((message, help)) = wrong {
        let last = groups.iter().rposition(|group| group.share.is_some()).unwrap_or(0);
        let place = root.key("clients").index(last).key("share").span();
        findings.push(Finding::error(place, format!("the shares of the clients {message}"), help));
    }
    let rest = (1.0 - given).max(0.0) / others.max(1) as f64;
    groups.iter().map(|group| group.share.map_or(rest * f64::from(group.count), Ratio::value)).collect()
}

fn backends(file: &Sections, root: &Node<'_, '_>, fleet: &Fleet, findings: &mut Findings) -> Vec<BackendGroup> {
    let groups = file.backends.iter();
    let names =
        names(root, "backends", groups.map(|group| group.as_ref().and_then(|group| group.name.as_ref())), findings);
    let mut resolved = Vec::new();
    for (number, (group, name)) in file.backends.iter().zip(names).enumerate() {
        let Some(group) = group else { continue };
        check(group, &root.key("backends").index(number), file, findings);
        resolved.push(BackendGroup {
            name,
            zone: fleet.find_zone(group.zone.as_ref()),
            count: group.count,
            capacity: group.count,
            weight: group.weight,
            metadata: group.metadata.clone(),
            profile: Arc::new(profile(group)),
        });
    }
    resolved
}

fn profile(group: &Backends) -> Profile {
    Profile {
        workers: group.workers,
        discipline: group.discipline,
        queue: group.queue,
        service: group.service.clone(),
        errors: group.errors.as_ref().map_or_else(Errors::default, |errors| errors.0.clone()),
        warm_up: group.warm_up.clone(),
        cache: group.cache.clone(),
        abandoned: group.abandoned,
        load_reports: group.load_reports.clone(),
        probe_demand: group.probe_demand,
    }
}

/// Refuses a group that could not serve.
fn check(group: &Backends, node: &Node<'_, '_>, file: &Sections, findings: &mut Findings) {
    let mut refuse = |keys: [&str; 2], message: String, help: &str| {
        let at = node.key(keys[0]);
        let at = if keys[1].is_empty() { at } else { at.key(keys[1]) };
        findings.push(Finding::error(at.span(), message, help));
    };
    if group.workers == 0 || group.workers > MOST_WORKERS {
        let message = format!("`workers` is {}, and must be 1 to {MOST_WORKERS}", group.workers);
        refuse(["workers", ""], message, "write `workers = 4`: calls that each backend serves at once");
    }
    if group.weight > MOST_WEIGHT {
        let message = format!("`weight` is {}, and must be 0 to {MOST_WEIGHT}", group.weight);
        refuse(["weight", ""], message, "write `weight = 1`: weights matter relative to each other");
    }
    if group.service.mean().is_none() {
        let help = "give the law a `max`, or a `shape` above 1";
        refuse(["service", ""], "the mean service time is infinite".to_owned(), help);
    }
    if group.cache.as_ref().is_some_and(|cache| cache.entries == 0) {
        refuse(
            ["cache", "entries"],
            "a cache that holds nothing".to_owned(),
            "write `entries = 1000`, or leave `cache` out",
        );
    }
    if group.warm_up.as_ref().is_some_and(|warm_up| warm_up.factor.value() < 1.0) {
        let message = "a cold backend is slower than a warm one: `factor` is 1 or more".to_owned();
        refuse(["warm_up", "factor"], message, "write `factor = 10`");
    }
    if group.cache.is_some() && file.calls.as_ref().is_some_and(|calls| calls.keys.is_none()) {
        let message = "the backends have a cache by key, and the calls have no keys";
        let help = "add `keys = { zipf = { count = 10_000, exponent = 1.1 } }` to `[calls]`, or leave `cache` out";
        findings.push(Finding::error(node.key("cache").key_span(), message, help));
    }
}

/// The name of each group: its own, or `kind`, with a number where there are several groups.
fn names<'a>(
    root: &Node<'_, '_>,
    kind: &str,
    given: impl Iterator<Item = Option<&'a Name>>,
    findings: &mut Findings,
) -> Vec<String> {
    let given: Vec<Option<&Name>> = given.collect();
    let mut names: Vec<String> = Vec::new();
    for (number, name) in given.iter().enumerate() {
        let name = match name {
            Some(name) => name.as_str().to_owned(),
            None if given.len() == 1 => kind.to_owned(),
            None => format!("{kind}-{}", number + 1),
        };
        if names.contains(&name) {
            let place = root.key(kind).index(number).key("name").span();
            let message = format!("two groups of {kind} are called `{name}`");
            findings.push(Finding::error(place, message, "give each a name of its own"));
        }
        names.push(name);
    }
    names
}

impl Fleet {
    /// The number of a zone, new or not.
    fn zone_id(&mut self, name: Option<&ZoneName>) -> ZoneId {
        let (zone, region) = name.map_or((NOWHERE, NOWHERE), |name| (name.as_str(), name.region()));
        if let Some(known) = self.zones.iter().position(|other| other.name == zone) {
            return ZoneId(known as u16);
        }
        let region = self.regions.iter().position(|other| other == region).unwrap_or_else(|| {
            self.regions.push(region.to_owned());
            self.regions.len() - 1
        });
        self.zones.push(Zone { name: zone.to_owned(), region: RegionId(region as u16) });
        ZoneId(self.zones.len() as u16 - 1)
    }

    fn find_zone(&self, name: Option<&ZoneName>) -> ZoneId {
        let name = name.map_or(NOWHERE, ZoneName::as_str);
        ZoneId(self.zones.iter().position(|zone| zone.name == name).unwrap_or(0) as u16)
    }

    /// The zones that a name stands for: itself, or all zones of the region.
    ///
    /// # Errors
    /// When nobody is there; says so, with what to do.
    pub fn zones_named(&self, name: &str) -> Result<Vec<ZoneId>, (String, String)> {
        let region = self.regions.iter().position(|region| region == name);
        let meant = |zone: &Zone| match region {
            Some(region) => zone.region.index() == region,
            None => zone.name == name,
        };
        let found: Vec<ZoneId> =
            self.zones.iter().enumerate().filter(|(_, zone)| meant(zone)).map(|(id, _)| ZoneId(id as u16)).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let mut known: Vec<&str> = self.regions.iter().map(String::as_str).collect();
        known.extend(self.zones.iter().map(|zone| zone.name.as_str()).filter(|zone| zone.contains('/')));
        Err((format!("nobody is in the zone or region `{name}`"), super::suggestion(name, &known, "zones and regions")))
    }
}

/// The zone of groups that name none.
const NOWHERE: &str = "default";
/// Most clients, and most backends.
pub const MOST: u64 = 100_000;
/// Most zones: there is a law for each pair.
const MOST_ZONES: usize = 1_000;
/// Most workers of a backend.
const MOST_WORKERS: u32 = 1_000_000;
/// Largest weight.
const MOST_WEIGHT: u32 = 1_000_000;
