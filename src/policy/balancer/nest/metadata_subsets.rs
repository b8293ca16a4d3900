//! Endpoints in subsets by what they are, and each call to the subset that it asks for.
//!
//! Origin: Envoy's subset load balancer (`subset_lb.cc`, `lb_subset_config`). A selector is a set of keys: endpoints that
//! have all of them form a subset for each combination of values.
//! Observes: metadata of the endpoints, and what calls of each class ask for; what its child observes.
//! Cost: that of the child; O(n) for each selector when endpoints change.
//! Draws: none of its own.
//! Fails when: a subset is small, because its few endpoints get all calls that ask for it; a subset has members but none
//! is healthy, because no fallback helps then; calls ask for a combination of keys that no selector has.
//!
//! A call matches a subset only if it asks for exactly the keys of a selector. Without such a subset, or with nobody in
//! it, the fallback decides; health does not matter for that: whether a subset without a healthy endpoint fails, waits
//! or panics is up to its child, as in Envoy. An endpoint may be in many subsets; what is learned of it is told to all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::children::Child;
use super::weighted_target;
use crate::base::id::EndpointId;
use crate::base::metadata::{Label, Metadata};
use crate::base::slots::Slots;
use crate::base::status::Cause;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::Eligible;

/// Parameters of `metadata_subsets`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Config {
    /// Whom calls without a subset get.
    pub fallback: Fallback,
    /// What endpoints of the default subset say at least.
    pub default_subset: Option<Metadata>,
    /// What makes subsets; the keys of each are another set.
    pub selectors: Vec<Selector>,
    /// Where the fallback finds nobody, any endpoint is taken.
    pub panic_mode_any: bool,
    /// Calls may ask for more than a selector has.
    pub allow_redundant_keys: bool,
    /// The balancer inside of each subset.
    pub child: weighted_target::Child,
}

/// What makes subsets: keys, and what becomes of calls that ask for values that nobody has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Endpoints that have all of these keys form a subset for each combination of values.
    pub keys: BTreeSet<Label>,
    /// Whom calls get that ask for exactly these keys, and for values that nobody has; by default that of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<SelectorFallback>,
    /// With `keys_subset` the keys that are left.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fallback_keys: BTreeSet<Label>,
    /// Each subset has one endpoint, the first of the list that fits, whatever its health; others like it get no calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_host_per_subset: bool,
}

/// Whom calls without a subset get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Nobody: they fail.
    #[default]
    NoFallback,
    /// Any endpoint.
    AnyEndpoint,
    /// One of those that say all that `default_subset` says.
    DefaultSubset,
}

/// Whom calls of a selector get where their subset has nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelectorFallback {
    /// Nobody: they fail.
    NoFallback,
    /// Any endpoint.
    AnyEndpoint,
    /// One of those that say all that `default_subset` says.
    DefaultSubset,
    /// Whom they would get if they asked for `fallback_keys` only.
    KeysSubset,
}

/// Parameters as they are written, before they are checked.
#[derive(Debug, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Written {
    /// Whom calls get that ask for nothing, for keys that no selector has, or for values that nobody has.
    fallback: Fallback,
    /// What endpoints of the default subset say at least: `{ version = "v1" }`; `{}` is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_subset: Option<Metadata>,
    /// What makes subsets: `[{ keys = ["version"] }, { keys = ["stage", "version"] }]`, each with other keys. A call
    /// has a subset only if it asks for exactly the keys of one of them. A selector may have a `fallback` of its own,
    /// which is final; `"keys_subset"` looks again for `fallback_keys` only. With `single_host_per_subset` each of its
    /// subsets has one endpoint, the first of the list, whatever its health.
    selectors: Vec<Selector>,
    /// Where the fallback of all finds nobody who can be picked, any endpoint is taken.
    panic_mode_any: bool,
    /// Calls may ask for more than a selector has: the first selector counts whose keys they all ask for.
    allow_redundant_keys: bool,
    /// The balancer inside of each subset, and of the fallbacks.
    child: weighted_target::Child,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            fallback: Fallback::NoFallback,
            default_subset: None,
            selectors: vec![],
            panic_mode_any: false,
            allow_redundant_keys: false,
            child: weighted_target::Child::default(),
        }
    }
}

impl From<Config> for Written {
    fn from(config: Config) -> Written {
        let Config { fallback, default_subset, selectors, panic_mode_any, allow_redundant_keys, child } = config;
        Written { fallback, default_subset, selectors, panic_mode_any, allow_redundant_keys, child }
    }
}

impl TryFrom<Written> for Config {
    type Error = String;

    fn try_from(written: Written) -> Result<Config, String> {
        let Written { fallback, default_subset, selectors, panic_mode_any, allow_redundant_keys, child } = written;
        let config = Config { fallback, default_subset, selectors, panic_mode_any, allow_redundant_keys, child };
        config.check().map(|()| config)
    }
}

impl schemars::JsonSchema for Config {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "metadata_subsets".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

impl Selector {
    /// What Envoy refuses, too (`subset_lb_config.cc`), and a selector of nothing.
    fn check(&self) -> Result<(), String> {
        let keys = listed(&self.keys);
        let falls = self.fallback == Some(SelectorFallback::KeysSubset);
        if self.keys.is_empty() {
            return Err("a selector without keys selects nobody: write `keys = [\"version\"]`".to_owned());
        }
        if !falls && !self.fallback_keys.is_empty() {
            return Err(format!("`fallback_keys` of {keys} belongs to `fallback = \"keys_subset\"`: leave it out"));
        }
        if falls && !(self.fallback_keys.is_subset(&self.keys) && self.fallback_keys.len() < self.keys.len()) {
            return Err(format!("`fallback_keys` of {keys} is not a part of them: write some of them, and not all"));
        }
        if falls && self.fallback_keys.is_empty() {
            return Err(format!("`keys_subset` of {keys} needs `fallback_keys`: write those that are left"));
        }
        Ok(())
    }
}

impl Config {
    fn check(&self) -> Result<(), String> {
        self.selectors.iter().try_for_each(Selector::check)?;
        for (at, selector) in self.selectors.iter().enumerate() {
            if self.selectors[..at].iter().any(|other| other.keys == selector.keys) {
                return Err(format!("two selectors have the keys {}: leave one of them out", listed(&selector.keys)));
            }
        }
        let is_used = self.uses(Fallback::DefaultSubset, SelectorFallback::DefaultSubset);
        if is_used != self.default_subset.is_some() {
            return Err(match is_used {
                true => "the fallback needs `default_subset`: write what its endpoints say, `{ version = \"v1\" }`",
                false => {
                    "no fallback is `default_subset`: leave out what it says, or write `fallback = \"default_subset\"`"
                }
            }
            .to_owned());
        }
        if self.panic_mode_any && self.fallback == Fallback::NoFallback {
            return Err("`panic_mode_any` helps a `fallback` that finds nobody: write one, or leave it out".to_owned());
        }
        Ok(())
    }

    /// True if calls of all, or of some selector, may have this fallback.
    fn uses(&self, of_all: Fallback, of_one: SelectorFallback) -> bool {
        self.fallback == of_all || self.selectors.iter().any(|selector| selector.fallback == Some(of_one))
    }

    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(self.machine(context))
    }

    fn machine(&self, context: &Context) -> MetadataSubsets {
        let probe = self.child.spec().build(&context.child("child"));
        let mut machine = MetadataSubsets {
            config: self.clone(),
            context: context.clone(),
            only_picks: probe.only_picks(),
            connects_all: probe.connects_all(),
            keeps_to_some: probe.keeps_to_some(),
            heeds_health: probe.heeds_health(),
            subsets: vec![],
            any: None,
            default: None,
            places: BTreeMap::new(),
            kinds: vec![],
            kind_of: BTreeMap::new(),
            owners: Slots::new(),
            routes: vec![],
            otherwise: Route::NOWHERE,
            asked: BTreeSet::new(),
        };
        if self.panic_mode_any || self.uses(Fallback::AnyEndpoint, SelectorFallback::AnyEndpoint) {
            machine.any = Some(machine.subset("any", false));
        }
        if self.default_subset.is_some() {
            machine.default = Some(machine.subset("default", false));
        }
        machine
    }
}

fn listed(keys: &BTreeSet<Label>) -> String {
    format!("{:?}", keys.iter().map(Label::as_str).collect::<Vec<_>>())
}

#[derive(Debug)]
struct MetadataSubsets {
    config: Config,
    context: Context,
    /// What all children say of themselves.
    only_picks: bool,
    connects_all: bool,
    keeps_to_some: bool,
    heeds_health: bool,
    /// All children. One that has lost its endpoints stays, empty.
    subsets: Vec<Subset>,
    /// Place of the child of all endpoints, if it may be needed.
    any: Option<usize>,
    /// Place of the child of the default subset, likewise.
    default: Option<usize>,
    /// Places of the others, by what calls ask for. Selectors have different keys, so this says which selector it is.
    places: BTreeMap<Metadata, usize>,
    /// Endpoints that say the same are in the same subsets: those, by number of the kind.
    kinds: Vec<Kind>,
    kind_of: BTreeMap<Metadata, usize>,
    /// The kind of each endpoint. One that has left keeps its entry until its place is used again, so what is learned
    /// late still finds its way.
    owners: Slots<usize>,
    /// Where calls go, by class.
    routes: Vec<Route>,
    /// Where calls of all other classes go.
    otherwise: Route,
    /// Who was asked to be connected (false) or watched (true) since endpoints changed: children that share an
    /// endpoint must not do so twice.
    asked: BTreeSet<(EndpointId, bool)>,
}

#[derive(Debug)]
struct Subset {
    child: Child,
    /// Only the first who fits is in it, whatever its health.
    single: bool,
}

#[derive(Debug)]
struct Kind {
    metadata: Metadata,
    /// Places of its subsets.
    subsets: Vec<usize>,
}

/// Where calls go: whom they ask, and whom if that one has nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    first: Option<usize>,
    then: Option<usize>,
}

impl Route {
    const NOWHERE: Route = Route { first: None, then: None };

    fn to(first: Option<usize>) -> Route {
        Route { first, then: None }
    }
}

/// Whoever is alone in its subset counts as ready whatever its health.
fn eligible(single: bool) -> Eligible {
    if single { Eligible::Anybody } else { Eligible::Ready }
}

impl MetadataSubsets {
    /// The place of a new child, which is told nothing yet.
    fn subset(&mut self, name: &str, single: bool) -> usize {
        let mut child = Child::new(self.config.child.spec().build(&self.context.child(&format!("child/{name}"))));
        child.begin(eligible(single));
        self.subsets.push(Subset { child, single });
        self.subsets.len() - 1
    }

    /// The number of the kind of endpoints that say this. Their subsets begin to exist with the first of them.
    fn kind(&mut self, metadata: &Metadata) -> usize {
        if let Some(known) = self.kind_of.get(metadata) {
            return *known;
        }
        let mut subsets: Vec<usize> = self.any.into_iter().collect();
        let is_default = self.config.default_subset.as_ref().is_some_and(|least| metadata.includes(least));
        subsets.extend(self.default.filter(|_| is_default));
        for number in 0..self.config.selectors.len() {
            let Selector { keys, single_host_per_subset: single, .. } = &self.config.selectors[number];
            let (single, Some(asked)) = (*single, metadata.only(keys)) else { continue };
            let place = self.places.get(&asked).copied().unwrap_or_else(|| self.subset(&asked.to_string(), single));
            self.places.insert(asked, place);
            subsets.push(place);
        }
        self.kinds.push(Kind { metadata: metadata.clone(), subsets });
        self.kind_of.insert(metadata.clone(), self.kinds.len() - 1);
        self.kinds.len() - 1
    }

    /// Adds everybody to the children that they belong to.
    fn share_out(&mut self, endpoints: &Endpoints<'_>) {
        // Those who say the same mostly stand together in the list.
        let mut last: Option<usize> = None;
        for endpoint in endpoints.members.iter().filter_map(|id| endpoints.get(*id)) {
            let metadata = endpoints.table.metadata(endpoint.id);
            let same = last.filter(|kind| self.kinds[*kind].metadata.is_shared_with(metadata));
            let kind = same.unwrap_or_else(|| self.kind(metadata));
            last = Some(kind);
            self.owners.insert(endpoint.id, kind);
            for place in &self.kinds[kind].subsets {
                let Subset { child, single } = &mut self.subsets[*place];
                if !*single || child.has_none_yet() {
                    child.add(endpoint, endpoints);
                }
            }
        }
        for id in endpoints.ready {
            let Some(kind) = self.owners.get(*id) else { continue };
            for place in &self.kinds[*kind].subsets {
                self.subsets[*place].child.add_ready(*id);
            }
        }
    }

    /// Where calls that ask for this go (`chooseHostIteration` in `subset_lb.cc`). A fallback of a selector is final.
    fn route(&self, asked: &Metadata) -> Route {
        let selectors = &self.config.selectors;
        let mut asked = asked.clone();
        loop {
            if self.config.allow_redundant_keys {
                asked = selectors.iter().find_map(|selector| asked.only(&selector.keys)).unwrap_or(asked);
            }
            let place = self.places.get(&asked).copied();
            if let Some(place) = place.filter(|place| !self.subsets[*place].child.members().is_empty()) {
                return Route::to(Some(place));
            }
            let Some(selector) = selectors.iter().find(|selector| asked.has_names(&selector.keys)) else {
                return self.fallback();
            };
            match selector.fallback {
                None => return self.fallback(),
                Some(SelectorFallback::NoFallback) => return Route::NOWHERE,
                Some(SelectorFallback::AnyEndpoint) => return Route::to(self.any),
                Some(SelectorFallback::DefaultSubset) => return Route::to(self.default),
                Some(SelectorFallback::KeysSubset) => {
                    let Some(rest) = asked.only(&selector.fallback_keys) else { return Route::NOWHERE };
                    asked = rest;
                }
            }
        }
    }

    /// Where calls without a subset go. Panic helps this fallback only.
    fn fallback(&self) -> Route {
        let then = self.any.filter(|_| self.config.panic_mode_any);
        match self.config.fallback {
            Fallback::NoFallback => Route::NOWHERE,
            Fallback::AnyEndpoint => Route::to(self.any),
            Fallback::DefaultSubset => Route { first: self.default, then },
        }
    }

    fn ask(&mut self, place: usize, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.subsets[place].child.pick(now, request, endpoints)
    }
}

impl Balancer for MetadataSubsets {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.asked.clear();
        for Subset { child, single } in &mut self.subsets {
            child.begin(eligible(*single));
        }
        self.share_out(endpoints);
        for subset in &mut self.subsets {
            subset.child.end(now, endpoints);
        }
        let asks = self.context.asks.clone();
        self.routes = asks.iter().map(|asked| self.route(asked)).collect();
        self.otherwise = self.fallback();
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let Route { first, then } = self.routes.get(usize::from(request.class)).copied().unwrap_or(self.otherwise);
        let Some(first) = first else { return Pick::Fail(Cause::NoEndpoint) };
        match (self.ask(first, now, request, endpoints), then) {
            (Pick::Fail(_), Some(then)) => self.ask(then, now, request, endpoints),
            (pick, _) => pick,
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        let Some(kind) = self.owners.get(feedback.endpoint()) else { return };
        for place in &self.kinds[*kind].subsets {
            self.subsets[*place].child.on_feedback(now, feedback, endpoints);
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        for subset in &mut self.subsets {
            while let Some(want) = subset.child.poll_want() {
                let is_new = match want {
                    Want::Connect(id) => self.asked.insert((id, false)),
                    Want::Watch(id) => self.asked.insert((id, true)),
                    Want::Probe(_) | Want::PickAgain | Want::Resolve => true,
                };
                if is_new {
                    return Some(want);
                }
            }
        }
        None
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.subsets.iter().filter_map(|subset| subset.child.balancer().next_timeout()).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        for subset in &mut self.subsets {
            subset.child.on_timeout(now, endpoints);
        }
    }

    fn only_picks(&self) -> bool {
        self.only_picks
    }

    fn connects_all(&self) -> bool {
        self.connects_all
    }

    fn keeps_to_some(&self) -> bool {
        self.keeps_to_some
    }

    fn heeds_health(&self) -> bool {
        self.heeds_health
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for subset in &self.subsets {
            subset.child.balancer().gauges(visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Connectivity, Health, Listing};

    /// Places 0 and 1 are the old version, 2 and 3 the new one, of which 3 is on trial; 4 is nothing.
    const FLEET: [&[(&str, &str)]; 5] = [
        &[("version", "v1"), ("stage", "prod")],
        &[("version", "v1"), ("stage", "prod")],
        &[("version", "v2"), ("stage", "prod")],
        &[("version", "v2"), ("stage", "dev")],
        &[],
    ];

    fn fleet(labels: &[&[(&str, &str)]]) -> Vec<Listing> {
        labels.iter().enumerate().map(|(i, labels)| listing(i as u32, 1).labelled(labels)).collect()
    }

    /// A client whose calls of each class ask for this. The child takes turns that begin with the first, so that it
    /// shows when it is told anything.
    fn world(config: &str, asks: &[&[(&str, &str)]]) -> World {
        with_child(config, r#"{ "round_robin": { "start": "zero" } }"#, asks)
    }

    fn with_child(config: &str, child: &str, asks: &[&[(&str, &str)]]) -> World {
        let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
        config["child"] = serde_json::from_str(child).unwrap();
        let config: Config = serde_json::from_value(config).unwrap();
        let context = Context { asks: asks.iter().map(|asked| Metadata::of(asked)).collect(), ..Context::lone(1) };
        World::of(fleet(&FLEET), config.build(&context))
    }

    fn class(class: u16) -> Request<'static> {
        Request { class, ..Request::plain() }
    }

    /// Where the next calls of a class go, as digits of places.
    fn goes(world: &mut World, number: u16, calls: usize) -> String {
        let place = |world: &mut World| match world.pick(&class(number)) {
            Pick::To(id) => world.place(id).to_string(),
            Pick::Queue => "q".to_owned(),
            Pick::Fail(Cause::NoEndpoint) => "-".to_owned(),
            other => panic!("{other:?}"),
        };
        (0..calls).map(|_| place(world)).collect()
    }

    const VERSION: &str = r#""selectors": [{ "keys": ["version"] }]"#;

    #[test]
    fn calls_go_to_those_that_are_what_they_ask_for() {
        let config = r#"{ "selectors": [{ "keys": ["version"] }, { "keys": ["version", "stage"] }] }"#;
        let asks: [&[(&str, &str)]; 3] =
            [&[("version", "v2")], &[("stage", "prod"), ("version", "v2")], &[("version", "v1")]];
        let mut world = world(config, &asks);
        assert_eq!([0, 1, 2].map(|class| goes(&mut world, class, 4)), ["2323", "2222", "0101"]);
    }

    #[test]
    fn without_a_subset_the_fallback_decides() {
        let asks: [&[(&str, &str)]; 4] =
            [&[], &[("stage", "dev")], &[("version", "v3")], &[("stage", "prod"), ("version", "v2")]];
        for (fallback, expected) in [
            (r#""fallback": "no_fallback""#, "------"),
            (r#""fallback": "any_endpoint""#, "012340"),
            (r#""fallback": "default_subset", "default_subset": { "stage": "prod" }"#, "012012"),
            (r#""fallback": "default_subset", "default_subset": { "stage": "test" }"#, "------"),
            (r#""fallback": "default_subset", "default_subset": {}"#, "012340"),
            (
                r#""fallback": "default_subset", "default_subset": { "stage": "test" }, "panic_mode_any": true"#,
                "012340",
            ),
        ] {
            let config = format!("{{ {fallback}, {VERSION} }}");
            // No class, nothing asked, no such key, no such value, and a key too many.
            for number in [9, 0, 1, 2, 3] {
                assert_eq!(goes(&mut world(&config, &asks), number, 6), expected, "{config}, class {number}");
            }
        }
    }

    #[test]
    fn a_selector_may_fall_back_otherwise_and_finally() {
        let selector = |fallback: &str| format!(r#"{{ "keys": ["stage", "version"], "fallback": {fallback} }}"#);
        let top = r#""fallback": "default_subset", "default_subset": { "stage": "dev" }, "panic_mode_any": true"#;
        let asks: [&[(&str, &str)]; 2] = [&[("stage", "lost"), ("version", "v1")], &[("version", "v3")]];
        for (fallback, expected) in [
            (r#""no_fallback""#, "----"),
            (r#""any_endpoint""#, "0123"),
            (r#""default_subset""#, "3333"),
            (r#""keys_subset", "fallback_keys": ["version"]"#, "0101"),
            // No selector has the keys that are left: the fallback of all.
            (r#""keys_subset", "fallback_keys": ["stage"]"#, "3333"),
        ] {
            let config = format!(r#"{{ {top}, "selectors": [{{ "keys": ["version"] }}, {}] }}"#, selector(fallback));
            let mut world = world(&config, &asks);
            assert_eq!(goes(&mut world, 0, 4), expected, "{fallback}");
            assert_eq!(goes(&mut world, 1, 2), "33", "the other has that of all");
            world.health(3, Health::Failed);
            let dead = goes(&mut world, 0, 2);
            match fallback {
                r#""default_subset""# => assert_eq!(dead, "--", "panic helps the fallback of all only"),
                _ => assert_ne!(goes(&mut world, 1, 2), "--", "{fallback}"),
            }
        }
    }

    #[test]
    fn redundant_keys_are_a_mismatch_unless_they_are_allowed() {
        let asks: [&[(&str, &str)]; 1] = [&[("stage", "dev"), ("user", "me"), ("version", "v2")]];
        for (selectors, expected) in [
            (r#"[{ "keys": ["version"] }, { "keys": ["stage"] }]"#, "2323"),
            (r#"[{ "keys": ["stage"] }, { "keys": ["version"] }]"#, "3333"),
            (r#"[{ "keys": ["stage", "version"] }, { "keys": ["version"] }]"#, "3333"),
            (r#"[{ "keys": ["zone", "version"] }, { "keys": ["version"] }]"#, "2323"),
            (r#"[{ "keys": ["zone"] }]"#, "----"),
        ] {
            let config = |more: &str| format!(r#"{{ "selectors": {selectors}{more} }}"#);
            assert_eq!(goes(&mut world(&config(""), &asks), 0, 4), "----", "{selectors}");
            let allowed = config(r#", "allow_redundant_keys": true"#);
            assert_eq!(goes(&mut world(&allowed, &asks), 0, 4), expected, "{selectors}");
        }
    }

    #[test]
    fn a_subset_that_is_not_healthy_is_nobodys_fallback() {
        let config = format!(r#"{{ "fallback": "any_endpoint", {VERSION} }}"#);
        let mut world = world(&config, &[&[("version", "v2")]]);
        world.health(2, Health::Failed);
        assert_eq!(goes(&mut world, 0, 2), "33");
        world.health(3, Health::Failed);
        assert_eq!((goes(&mut world, 0, 2), goes(&mut world, 1, 4)), ("--".to_owned(), "0140".to_owned()));
        world.health(3, Health::Healthy);
        world.connectivity(3, Connectivity::Connecting);
        assert_eq!(goes(&mut world, 0, 2), "qq", "it waits for its own, whoever else is there");
        let child = r#"{ "envoy_priority": { "by": "all", "child": { "round_robin": { "start": "zero" } } } }"#;
        let mut panics = with_child(&config, child, &[&[("version", "v2")]]);
        [2, 3].into_iter().for_each(|place| panics.health(place, Health::Failed));
        assert_eq!(goes(&mut panics, 0, 4), "2323", "a child that panics does so inside of its subset");
    }

    #[test]
    fn panic_takes_any_where_the_default_subset_has_nobody_to_pick() {
        let config =
            r#"{ "fallback": "default_subset", "default_subset": { "version": "v2" }, "panic_mode_any": true }"#;
        let mut world = world(config, &[]);
        assert_eq!(goes(&mut world, 0, 3), "232");
        [2, 3].into_iter().for_each(|place| world.health(place, Health::Failed));
        assert_eq!(goes(&mut world, 0, 4), "0140");
        world.health(3, Health::Healthy);
        assert_eq!(goes(&mut world, 0, 2), "33");
    }

    #[test]
    fn subsets_follow_what_the_list_says() {
        let config = format!(r#"{{ "fallback": "any_endpoint", {VERSION} }}"#);
        let mut world = world(&config, &[&[("version", "v2")], &[("version", "v3")]]);
        assert_eq!((goes(&mut world, 0, 2), goes(&mut world, 1, 2)), ("23".to_owned(), "01".to_owned()));
        let mut labels = FLEET;
        labels[0] = &[("version", "v3")];
        labels[2] = &[("version", "v3")];
        world.list(fleet(&labels));
        assert_eq!((goes(&mut world, 0, 2), goes(&mut world, 1, 2)), ("33".to_owned(), "02".to_owned()));
        labels[3] = &[];
        world.list(fleet(&labels));
        assert_eq!(goes(&mut world, 0, 5), "01234", "nobody is in it any more");
        world.list(fleet(&FLEET));
        assert_eq!((goes(&mut world, 0, 2), goes(&mut world, 1, 2)), ("23".to_owned(), "01".to_owned()));
    }

    #[test]
    fn what_happens_to_other_subsets_changes_nothing_in_one() {
        let config = format!(r#"{{ {VERSION} }}"#);
        let mut world = world(&config, &[&[("version", "v1")], &[("version", "v2")]]);
        assert_eq!((goes(&mut world, 0, 1), goes(&mut world, 1, 1)), ("0".to_owned(), "2".to_owned()));
        world.health(3, Health::Failed);
        assert_eq!(goes(&mut world, 0, 1), "1", "its turns did not begin anew");
        let mut labels = FLEET.to_vec();
        labels[2] = &[("version", "v4")];
        labels.push(&[("version", "v2")]);
        world.list(fleet(&labels));
        assert_eq!((goes(&mut world, 0, 1), goes(&mut world, 1, 1)), ("0".to_owned(), "5".to_owned()));
        labels[0] = &[("version", "v1"), ("stage", "test")];
        world.list(fleet(&labels));
        assert_eq!(goes(&mut world, 0, 1), "0", "and a child is told what its own members are");
    }

    #[test]
    fn a_subset_of_one_host_has_the_first_whatever_its_health() {
        let config = r#"{ "selectors": [{ "keys": ["version"], "single_host_per_subset": true }] }"#;
        let mut world = world(config, &[&[("version", "v1")], &[("version", "v2")]]);
        assert_eq!((goes(&mut world, 0, 3), goes(&mut world, 1, 3)), ("000".to_owned(), "222".to_owned()));
        world.health(2, Health::Failed);
        assert_eq!(goes(&mut world, 1, 2), "22");
        world.connectivity(2, Connectivity::Connecting);
        assert_eq!(goes(&mut world, 1, 2), "qq");
        world.connectivity(2, Connectivity::TransientFailure);
        assert_eq!(goes(&mut world, 1, 2), "--", "there is no other");
        world.list(fleet(&[FLEET[0], FLEET[1], FLEET[0], FLEET[3]]));
        assert_eq!(goes(&mut world, 1, 2), "33");
    }

    #[test]
    fn what_is_learned_of_an_endpoint_is_told_to_all_of_its_subsets() {
        let config =
            format!(r#"{{ "fallback": "default_subset", "default_subset": {{ "version": "v2" }}, {VERSION} }}"#);
        for (slow, fast) in [(2, 3), (3, 2)] {
            let mut world = with_child(&config, r#""shortest_response""#, &[&[("version", "v2")]]);
            for (place, took) in [(slow, 900), (fast, 1)] {
                let id = world.id(place);
                world.sent(id);
                world.done(place, Duration::from_millis(took), Ok(()));
            }
            let expected = fast.to_string().repeat(20);
            assert_eq!(
                (goes(&mut world, 0, 20), goes(&mut world, 1, 20)),
                (expected.clone(), expected),
                "{fast} is fast"
            );
        }
    }

    #[test]
    fn who_is_in_two_subsets_is_connected_once() {
        let config = format!(r#"{{ "fallback": "any_endpoint", {VERSION} }}"#);
        let mut world = with_child(&config, r#""pick_first""#, &[&[("version", "v1")]]);
        assert!(!world.balancer.connects_all());
        world.list_cold(vec![]);
        world.list_cold(fleet(&FLEET));
        let wants = |world: &mut World| std::iter::from_fn(|| world.balancer.poll_want()).collect::<Vec<_>>();
        let connects = |world: &mut World| wants(world).iter().filter(|want| matches!(want, Want::Connect(_))).count();
        assert_eq!(connects(&mut world), 2, "the first of v1, who is the first of all, and the first of v2");
        world.connectivity(0, Connectivity::TransientFailure);
        assert_eq!(wants(&mut world), [Want::Connect(world.id(1))], "both go on to the next");
    }

    #[test]
    fn it_only_picks_if_its_child_does() {
        let only = |child: &str| with_child("{}", child, &[]).balancer.only_picks();
        assert!(only(r#""random""#) && !only(r#""peak_ewma""#));
    }

    #[test]
    fn subsets_of_one_kind_share_no_seed() {
        let config: Config = serde_json::from_str(&format!(r#"{{ {VERSION}, "child": "random" }}"#)).unwrap();
        let asks = [Metadata::of(&[("version", "v1")]), Metadata::of(&[("version", "v2")])];
        let context = Context { asks: asks.into(), ..Context::lone(1) };
        let halves = (0..40).map(|i| listing(i, 1).labelled(&[("version", if i < 20 { "v1" } else { "v2" })]));
        let mut world = World::of(halves.collect(), config.build(&context));
        let picks = |world: &mut World, number| -> Vec<Pick> { (0..20).map(|_| world.pick(&class(number))).collect() };
        let places = |world: &mut World, number| -> Vec<usize> {
            let picks = picks(world, number);
            picks.iter().map(|pick| if let Pick::To(id) = pick { world.place(*id) % 20 } else { panic!() }).collect()
        };
        assert_ne!(places(&mut world, 0), places(&mut world, 1));
    }

    /// Whom a call may get, from Envoy's description of subsets and without any of the tables above.
    fn allowed(config: &Config, fleet: &[Metadata], asked: &Metadata) -> Vec<usize> {
        let all = |fits: &dyn Fn(&Metadata) -> bool| (0..fleet.len()).filter(|i| fits(&fleet[*i])).collect::<Vec<_>>();
        let any = || all(&|_| true);
        let default = || all(&|host| host.includes(config.default_subset.as_ref().unwrap()));
        let wanted = config.selectors.iter().filter(|_| config.allow_redundant_keys);
        let asked = wanted.filter_map(|selector| asked.only(&selector.keys)).next().unwrap_or(asked.clone());
        let selector = config.selectors.iter().find(|selector| asked.has_names(&selector.keys));
        let mut members = all(&|host| selector.is_some() && host.includes(&asked));
        if selector.is_some_and(|selector| selector.single_host_per_subset) {
            members.truncate(1);
        }
        if !members.is_empty() {
            return members;
        }
        match selector.and_then(|selector| selector.fallback) {
            Some(SelectorFallback::NoFallback) => vec![],
            Some(SelectorFallback::AnyEndpoint) => any(),
            Some(SelectorFallback::DefaultSubset) => default(),
            Some(SelectorFallback::KeysSubset) => {
                allowed(config, fleet, &asked.only(&selector.unwrap().fallback_keys).unwrap())
            }
            None => match config.fallback {
                Fallback::NoFallback => vec![],
                Fallback::AnyEndpoint => any(),
                Fallback::DefaultSubset if default().is_empty() && config.panic_mode_any => any(),
                Fallback::DefaultSubset => default(),
            },
        }
    }

    #[test]
    fn any_configuration_picks_whom_it_should_after_any_change() {
        let mut rand = Seed::new(7).stream("subsets");
        let (mut subsets, mut fallbacks, mut nobody) = (0, 0, 0);
        for _ in 0..400 {
            let keys = ["a", "b", "c"];
            let mut some = |least: u64| -> Vec<&str> {
                let chosen = least + rand.below(8 - least);
                keys.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, key)| *key).collect()
            };
            let sets = [some(1), some(1), some(1)];
            let mut distinct: Vec<Vec<&str>> = vec![];
            sets.into_iter().for_each(|set| {
                if !distinct.contains(&set) {
                    distinct.push(set)
                }
            });
            let names = [None, Some("no_fallback"), Some("any_endpoint"), Some("default_subset"), Some("keys_subset")];
            let selectors: Vec<serde_json::Value> = distinct
                .iter()
                .map(|keys| {
                    let mut selector = serde_json::json!({ "keys": keys });
                    let name = names[rand.below(5) as usize];
                    match name {
                        Some("keys_subset") if keys.len() > 1 => selector["fallback_keys"] = vec![keys[0]].into(),
                        Some("keys_subset") => return selector,
                        _ => {}
                    }
                    if let Some(name) = name {
                        selector["fallback"] = name.into();
                    }
                    selector["single_host_per_subset"] = (rand.below(4) == 0).into();
                    selector
                })
                .collect();
            let fallback = ["any_endpoint", "default_subset", "no_fallback"][rand.below(3) as usize];
            let mut config = serde_json::json!({ "selectors": selectors, "fallback": fallback });
            if config.to_string().contains("default_subset") {
                config["default_subset"] = serde_json::json!({ "a": "1" });
            }
            config["panic_mode_any"] = (fallback == "default_subset" && rand.below(2) == 0).into();
            config["allow_redundant_keys"] = (rand.below(2) == 0).into();
            config["child"] = serde_json::json!({ "round_robin": { "start": "zero" } });
            let config: Config = serde_json::from_value(config).unwrap();

            let mut labels = |most: u64| {
                let pairs: Vec<(&str, &str)> = keys
                    .iter()
                    .filter_map(|key| {
                        [None, Some("1"), Some("2")][rand.below(most) as usize].map(|value| (*key, value))
                    })
                    .collect();
                Metadata::of(&pairs)
            };
            let asks: Vec<Metadata> = (0..12).map(|_| labels(3)).collect();
            let context = Context { asks: asks.clone().into(), ..Context::lone(1) };
            let mut world = World::of(vec![], config.build(&context));
            for hosts in [0, 6, 6, 3, 9] {
                let fleet: Vec<Metadata> = (0..hosts).map(|_| labels(3)).collect();
                let hosts = fleet.iter().enumerate();
                world.list(hosts.map(|(i, host)| Listing { metadata: host.clone(), ..listing(i as u32, 1) }).collect());
                for (number, asked) in asks.iter().enumerate() {
                    let expected = allowed(&config, &fleet, asked);
                    let mut found: Vec<usize> = goes(&mut world, number as u16, 9)
                        .chars()
                        .filter_map(|c| c.to_digit(10).map(|digit| digit as usize))
                        .collect();
                    found.sort_unstable();
                    found.dedup();
                    assert_eq!(found, expected, "{asked} of {fleet:?} with {config:?}");
                    match expected.len() {
                        0 => nobody += 1,
                        n if n == fleet.len() => fallbacks += 1,
                        _ => subsets += 1,
                    }
                }
            }
        }
        assert!(subsets > 3_000 && fallbacks > 3_000 && nobody > 3_000, "{subsets}, {fallbacks}, {nobody}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (bad, message) in [
            (r#"{ "selectors": [{ "keys": [] }] }"#, "a selector without keys"),
            (r#"{ "selectors": [{}] }"#, "missing field `keys`"),
            (r#"{ "selectors": [{ "keys": ["a", "b"] }, { "keys": ["b", "a"] }] }"#, r#"have the keys ["a", "b"]"#),
            (r#"{ "selectors": [{ "keys": ["a"], "fallback_keys": ["a"] }] }"#, "belongs to `fallback"),
            (r#"{ "selectors": [{ "keys": ["a"], "fallback": "keys_subset" }] }"#, "needs `fallback_keys`"),
            (
                r#"{ "selectors": [{ "keys": ["a"], "fallback": "keys_subset", "fallback_keys": ["a"] }] }"#,
                "is not a part of them",
            ),
            (
                r#"{ "selectors": [{ "keys": ["a", "b"], "fallback": "keys_subset", "fallback_keys": ["c"] }] }"#,
                "is not a part of them",
            ),
            (r#"{ "fallback": "default_subset" }"#, "the fallback needs `default_subset`"),
            (r#"{ "selectors": [{ "keys": ["a"], "fallback": "default_subset" }] }"#, "needs `default_subset`"),
            (r#"{ "default_subset": { "a": "b" } }"#, "no fallback is `default_subset`"),
            (r#"{ "panic_mode_any": true }"#, "`panic_mode_any` helps a `fallback`"),
            (r#"{ "default_subset": { "a": "b c" }, "fallback": "default_subset" }"#, "cannot be metadata"),
            (r#"{ "list_as_any": true }"#, "unknown field `list_as_any`"),
            (r#"{ "fallback": "keys_subset" }"#, "unknown variant"),
        ] {
            let error = serde_json::from_str::<Config>(bad).unwrap_err().to_string();
            assert!(error.contains(message), "{bad}: {error}");
        }
    }
}
