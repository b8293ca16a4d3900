//! As many calls as possible stay in the client's zone while every endpoint gets the same load.
//!
//! Origin: Envoy's zone-aware routing (`load_balancer_impl.cc`).
//! Observes: how many endpoints of each zone are ready; how many callers each zone has, which it is told; what its
//! child observes.
//! Cost: that of the child; O(n) when endpoints change.
//! Draws: one a pick while the own zone cannot bear its callers, two for a call that leaves it; else none.
//! Fails when: callers do not send alike, because shares suppose that they do; a few endpoints come or go near
//! `min_cluster_size`, because all zones then share all calls at once.

use serde::{Deserialize, Serialize};

use super::children::{Child, Children};
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::read;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::Eligible;

/// Parameters of `zone_aware`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside a zone, and over all zones while routing by zone is off.
    pub child: Box<Spec>,
    /// Callers in each zone, by number of the zone; none given means as many in each zone that has endpoints.
    pub callers: Vec<u32>,
    /// Ready endpoints below which calls are not routed by zone.
    pub min_cluster_size: u32,
    /// Share of ready endpoints, in percent, below which calls are not routed by zone: 0 to 100.
    #[serde(deserialize_with = "percent")]
    #[schemars(schema_with = "read::percent_schema")]
    pub panic_threshold: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Box::new(Spec::RoundRobin(Default::default())),
            callers: vec![],
            min_cluster_size: 6,
            panic_threshold: 50,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(ZoneAware {
            config: self.clone(),
            own: context.zone.index(),
            rand: context.seed.stream("zone_aware"),
            all: Child::new(self.child.build(&context.child("child"))),
            zones: Children::new(&self.child, &context.child("zones")),
            routes: None,
        })
    }
}

#[derive(Debug)]
struct ZoneAware {
    config: Config,
    own: usize,
    rand: Rand,
    /// While routing by zone is off.
    all: Child,
    zones: Children,
    routes: Option<Routes>,
}

/// Where the calls of one zone go, in ten-thousandths.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Routes {
    /// How many stay.
    local: u64,
    /// What other zones have to spare, by number of the zone.
    residual: Vec<u64>,
}

/// Callers and ready endpoints by zone. `None` where calls are not routed by zone: fewer than two zones on either
/// side, or the own one is missing on one.
fn routes(callers: &[u64], ready: &[u64], own: usize) -> Option<Routes> {
    let two_zones = |counts: &[u64]| counts.iter().filter(|count| **count > 0).count() >= 2;
    let has_own = |counts: &[u64]| counts.get(own).is_some_and(|count| *count > 0);
    if !(two_zones(callers) && two_zones(ready) && has_own(callers) && has_own(ready)) {
        return None;
    }
    let share = |counts: &[u64], zone: usize| {
        WHOLE * counts.get(zone).copied().unwrap_or(0) / counts.iter().sum::<u64>().max(1)
    };
    let (origin, capacity) = (share(callers, own), share(ready, own));
    if capacity >= origin {
        return Some(Routes { local: WHOLE, residual: vec![0; ready.len()] });
    }
    let spare = |zone| share(ready, zone).saturating_sub(share(callers, zone));
    Some(Routes { local: WHOLE * capacity / origin.max(1), residual: (0..ready.len()).map(spare).collect() })
}

impl ZoneAware {
    fn plan(&self, endpoints: &Endpoints<'_>) -> Option<Routes> {
        // Envoy counts neither who is draining nor, in panic, anybody: calls then go to all zones alike.
        let counted = endpoints.members.iter().filter(|id| endpoints.get(**id).is_some_and(|e| !e.is_draining()));
        let (ready, all) = (endpoints.ready.len() as u64, counted.count() as u64);
        if endpoints.eligible == Eligible::Anybody {
            return None;
        }
        if ready < u64::from(self.config.min_cluster_size) || 100 * ready < u64::from(self.config.panic_threshold) * all
        {
            return None;
        }
        let count = self.zones.groups().map(|(zone, _)| zone as usize + 1).max().unwrap_or(0);
        let size = |zone: usize| self.zones.get(zone as u32).map_or(0, |child| child.ready().len() as u64);
        let listed = |zone: usize| self.zones.get(zone as u32).is_some_and(|child| !child.members().is_empty());
        let callers: Vec<u64> = match self.config.callers.as_slice() {
            [] => (0..count).map(|zone| u64::from(listed(zone))).collect(),
            given => given.iter().copied().map(u64::from).collect(),
        };
        routes(&callers, &(0..count).map(size).collect::<Vec<_>>(), self.own)
    }

    /// The zone of a call that is routed by zone.
    fn draw(&mut self, endpoints: &Endpoints<'_>) -> Option<u32> {
        let routes = self.routes.as_ref()?;
        if routes.local == WHOLE || self.rand.below(WHOLE) < routes.local {
            return Some(self.own as u32);
        }
        let spare: u64 = routes.residual.iter().sum();
        if spare == 0 {
            // Rounding left nothing to spare: Envoy takes any zone. Drawing an endpoint is fairer to small ones.
            let id = endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize];
            return endpoints.get(id).map(|endpoint| u32::from(endpoint.zone.0));
        }
        let mut left = self.rand.below(spare);
        let zone = routes.residual.iter().position(|residual| {
            let here = left < *residual;
            left = left.saturating_sub(*residual);
            here
        });
        zone.map(|zone| zone as u32)
    }
}

impl Balancer for ZoneAware {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.all.show(now, endpoints, |_| true);
        self.zones.on_endpoints(now, endpoints, |endpoint| u32::from(endpoint.zone.0));
        self.routes = self.plan(endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.draw(endpoints) {
            Some(zone) => self.zones.pick(zone, now, request, endpoints),
            None => self.all.pick(now, request, endpoints),
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.all.on_feedback(now, feedback, endpoints);
        self.zones.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.all.poll_want().or_else(|| self.zones.poll_want())
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.all.balancer().next_timeout().into_iter().chain(self.zones.next_timeout()).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.all.on_timeout(now, endpoints);
        self.zones.on_timeout(now, endpoints);
    }

    fn connects_all(&self) -> bool {
        self.zones.connects_all()
    }

    fn heeds_health(&self) -> bool {
        self.zones.heeds_health()
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        match self.routes {
            Some(_) => self.zones.gauges(visit),
            None => self.all.balancer().gauges(visit),
        }
    }
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let percent = read::percent(deserializer)?;
    if percent <= 100 {
        return Ok(percent);
    }
    Err(serde::de::Error::custom(format_args!("`panic_threshold` is 0 to 100 percent, not {percent}")))
}

/// All calls of a zone, in Envoy's ten-thousandths.
const WHOLE: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ZoneId;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Health, Listing};

    #[test]
    fn shares_of_the_reference() {
        let uneven = routes(&[4, 4, 2], &[5, 10, 5], 0).unwrap();
        assert_eq!(uneven, Routes { local: 6_250, residual: vec![0, 1_000, 500] });
        // Load of zone z: what its own callers keep there, and its part of what others send away.
        let callers = [0.4, 0.4, 0.2];
        let mut load = [0.0; 3];
        for own in 0..3 {
            let routes = routes(&[4, 4, 2], &[5, 10, 5], own).unwrap();
            let local = routes.local as f64 / 1e4;
            load[own] += callers[own] * local;
            let spare: u64 = routes.residual.iter().sum();
            for zone in (0..3).filter(|_| spare > 0) {
                load[zone] += callers[own] * (1.0 - local) * routes.residual[zone] as f64 / spare as f64;
            }
        }
        assert_eq!(load.map(|load| format!("{load:.2}")), ["0.25", "0.50", "0.25"]);
        let even = routes(&[3, 3, 3], &[1, 4, 4], 0).unwrap();
        assert_eq!(even, Routes { local: 3_333, residual: vec![0, 1_111, 1_111] });
        assert_eq!(routes(&[3, 3, 3], &[4, 1, 4], 0).unwrap().local, WHOLE);
    }

    #[test]
    fn it_is_off_with_one_zone_or_without_the_own() {
        assert_eq!(routes(&[4, 0], &[3, 3], 0), None);
        assert_eq!(routes(&[4, 4], &[6, 0], 0), None);
        assert_eq!(routes(&[0, 4, 4], &[3, 3, 3], 0), None);
        assert_eq!(routes(&[4, 4], &[0, 3, 3], 0), None);
    }

    /// Five endpoints in zone 0, ten in zone 1, five in zone 2; the client is in zone 0.
    fn world(config: &Config) -> World {
        let zone = |i: u32| ZoneId([0, 1, 1, 2][i as usize / 5]);
        let listings: Vec<Listing> = (0..20).map(|i| Listing { zone: zone(i), ..listing(i, 1) }).collect();
        World::of(listings, config.build(&Context::lone(1)))
    }

    fn by_zone(world: &mut World) -> [usize; 3] {
        let counts = world.counts(20_000);
        [&counts[..5], &counts[5..15], &counts[15..]].map(|counts| counts.iter().sum())
    }

    #[test]
    fn calls_stay_as_far_as_the_zone_can_bear_them() {
        let mut world = world(&Config { callers: vec![4, 4, 2], ..Config::default() });
        // 62.5 % stay, of the rest two thirds go to zone 1.
        let [a, b, c] = by_zone(&mut world);
        assert!(a.abs_diff(12_500) < 300 && b.abs_diff(5_000) < 300 && c.abs_diff(2_500) < 300, "{a} {b} {c}");
    }

    #[test]
    fn below_six_endpoints_or_in_panic_all_zones_share() {
        let mut world = world(&Config { callers: vec![1, 1, 8], ..Config::default() });
        assert_eq!(by_zone(&mut world), [20_000, 0, 0], "a quarter of the endpoints for a tenth of the callers");
        (9..20).for_each(|place| world.health(place, Health::Failed));
        // Nine of twenty are below half.
        let [a, b, _] = by_zone(&mut world);
        assert!(a.abs_diff(20_000 * 5 / 9) < 20 && b.abs_diff(20_000 * 4 / 9) < 20, "{a} {b}");
        let mut small = World::of(
            (0..5).map(|i| Listing { zone: ZoneId(i as u16 % 2), ..listing(i, 1) }).collect(),
            Config { callers: vec![1, 9], ..Config::default() }.build(&Context::lone(1)),
        );
        assert_eq!(small.counts(5_000), [1_000; 5]);
    }

    #[test]
    fn who_drains_is_not_missed_and_in_panic_all_zones_share() {
        let callers = || Config { callers: vec![1, 1, 8], ..Config::default() };
        let mut world = world(&callers());
        let announce = |world: &mut World, from: usize, health| {
            let zone = |i: usize| ZoneId([0, 1, 1, 2][i / 5]);
            let said = |i: usize| if i < from { Health::Healthy } else { health };
            world.list((0..20).map(|i| Listing { zone: zone(i), health: said(i), ..listing(i as u32, 1) }).collect());
        };
        // Six of twenty are below half; six of six are not, if nobody counts those that are about to go.
        announce(&mut world, 6, Health::Draining);
        assert_eq!(by_zone(&mut world)[0], 20_000);
        announce(&mut world, 6, Health::Failed);
        assert!(by_zone(&mut world)[0] < 17_000);
        // In panic around it everybody is used, in no zone before others.
        let inside = serde_json::to_value(Config { panic_threshold: 0, ..callers() }).unwrap();
        let spec = serde_json::json!({ "envoy_priority": { "by": "all", "child": { "zone_aware": inside } } });
        let spec: Spec = serde_json::from_value(spec).unwrap();
        world.balancer = spec.build(&Context::lone(1));
        announce(&mut world, 6, Health::Failed);
        assert_eq!(by_zone(&mut world), [5_000, 10_000, 5_000]);
    }
}
