//! Groups of endpoints by weight: each call is drawn for a group, and a child balancer decides inside it.
//!
//! Origin: gRPC `weighted_target` (gRFC A28): groups without anyone ready get nothing; with `overprovisioning` Envoy's
//! locality-weighted load balancing, in which a group's weight shrinks with its healthy share. A group is a zone or a
//! region.
//! Observes: how many endpoints of each group are ready; with `split = "key"` the call's key; what its child observes.
//! Cost: O(groups) and that of the child.
//! Draws: one a pick while more than one group has a share; none with `split = "key"`.
//! Fails when: the weights no longer fit the groups' capacities; a group is small, because its few endpoints get its
//! whole share.

use serde::{Deserialize, Serialize};

use super::children::Children;
use super::levels::By;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::read;
use crate::policy::balancer::sample::{choices, least_request};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `weighted_target`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside a group.
    pub child: Child,
    /// What makes a group.
    pub by: By,
    /// Weights by number of the zone or region; a group without one weighs what its endpoints weigh together.
    pub weights: Vec<u32>,
    /// What decides a call's group.
    pub split: Split,
    /// How many times its part a group can bear, in percent (Envoy: 140): with fewer ready than that leaves, it weighs
    /// less. Without it a group weighs all or nothing.
    #[serde(deserialize_with = "read::some_percent", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "read::percent_schema")]
    pub overprovisioning: Option<u32>,
}

/// The balancer inside a group, by default `round_robin`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Child(Box<Spec>);

impl Child {
    /// This one.
    pub fn of(spec: Spec) -> Child {
        Child(Box::new(spec))
    }

    /// Two distinct choices by open calls.
    pub fn distinct_p2c() -> Child {
        let sampling = choices::Sampling::Distinct;
        Child(Box::new(Spec::LeastRequest(least_request::Config { sampling, ..Default::default() })))
    }

    /// What it is.
    pub fn spec(&self) -> &Spec {
        &self.0
    }
}

impl Default for Child {
    fn default() -> Self {
        Child(Box::new(Spec::RoundRobin(Default::default())))
    }
}

/// What decides a call's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// A draw.
    #[default]
    Random,
    /// The hash of its key, so that a key stays in its group while the weights stay.
    Key,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(WeightedTarget {
            config: self.clone(),
            rand: context.seed.stream("weighted_target"),
            children: Children::new(self.child.spec(), context),
            groups: vec![],
            total: 0,
        })
    }
}

#[derive(Debug)]
struct WeightedTarget {
    config: Config,
    rand: Rand,
    children: Children,
    /// Groups that have a share, and their weights in hundredths.
    groups: Vec<(u32, u64)>,
    total: u64,
}

/// Envoy: the weight times `min(1, 1.4 * ready / all)`, in hundredths (gRPC: all of it while anyone is ready).
fn effective(weight: u64, ready: u64, all: u64, overprovisioning: Option<u32>) -> u64 {
    match overprovisioning {
        _ if ready == 0 => 0,
        None => 100 * weight,
        Some(percent) => weight * (u64::from(percent) * ready / all.max(1)).min(100),
    }
}

impl WeightedTarget {
    fn weigh(&mut self, endpoints: &Endpoints<'_>) {
        let connects_all = self.children.connects_all();
        self.groups.clear();
        for (number, child) in self.children.groups() {
            let listed = || child.members().iter().filter_map(|id| endpoints.get(*id));
            let sum = || listed().map(|endpoint| u64::from(endpoint.weight)).sum();
            let weight = self.config.weights.get(number as usize).map_or_else(sum, |weight| u64::from(*weight));
            let serving = child.serving(connects_all) as u64;
            // Envoy's `effectiveLocalityWeight` leaves out who is draining.
            let all = listed().filter(|endpoint| !endpoint.is_draining()).count() as u64;
            let weight = effective(weight, serving, all, self.config.overprovisioning);
            if weight > 0 {
                self.groups.push((number, weight));
            }
        }
        self.total = self.groups.iter().map(|(_, weight)| weight).sum();
    }

    fn draw(&mut self, request: &Request<'_>) -> Option<u32> {
        if let [(only, _)] = self.groups.as_slice() {
            return Some(*only);
        }
        let mut left = match self.config.split {
            _ if self.total == 0 => 0,
            Split::Random => self.rand.below(self.total),
            Split::Key => request.hash_or_random() % self.total,
        };
        let hit = self.groups.iter().find(|(_, weight)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        hit.map(|(number, _)| *number)
    }
}

impl Balancer for WeightedTarget {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let by = self.config.by;
        self.children.on_endpoints(now, endpoints, |endpoint| by.group(endpoint));
        self.weigh(endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.draw(request) {
            Some(group) => self.children.pick(group, now, request, endpoints),
            // Groups of weight 0 alone are ready: better they than nobody.
            None => match endpoints.ready.first().and_then(|id| endpoints.get(*id)) {
                Some(endpoint) => self.children.pick(self.config.by.group(endpoint), now, request, endpoints),
                None => Pick::nobody(endpoints),
            },
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.children.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.children.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.children.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_timeout(now, endpoints);
    }

    fn connects_all(&self) -> bool {
        self.children.connects_all()
    }

    fn heeds_health(&self) -> bool {
        self.children.heeds_health()
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.children.gauges(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ZoneId;
    use crate::base::rand::mix;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Health, Listing};

    /// Ten endpoints in zone 0 and ten in zone 1.
    fn world(config: &Config) -> World {
        let listings: Vec<Listing> =
            (0..20).map(|i| Listing { zone: ZoneId(i as u16 / 10), ..listing(i, 1) }).collect();
        World::of(listings, config.build(&Context::lone(1)))
    }

    fn second(world: &mut World) -> usize {
        world.counts(10_000)[10..].iter().sum()
    }

    #[test]
    fn weights_decide_while_anyone_of_the_group_is_ready() {
        let config = Config { weights: vec![90, 10], ..Config::default() };
        let mut world = world(&config);
        assert!(second(&mut world).abs_diff(1_000) < 150);
        (1..10).for_each(|place| world.health(place, Health::Failed));
        assert!(second(&mut world).abs_diff(1_000) < 150, "gRPC: one ready endpoint takes nine tenths");
        world.health(0, Health::Failed);
        assert_eq!(second(&mut world), 10_000);
    }

    #[test]
    fn a_locality_weighs_less_with_fewer_healthy() {
        let expected = [(10, 100), (8, 100), (7, 98), (5, 70), (1, 14), (0, 0)];
        for (ready, weight) in expected {
            assert_eq!(effective(1, ready, 10, Some(140)), weight, "{ready} of 10");
        }
        let mut world = world(&Config { weights: vec![1, 1], overprovisioning: Some(140), ..Config::default() });
        (0..5).for_each(|place| world.health(place, Health::Failed));
        // 70 against 100.
        assert!(second(&mut world).abs_diff(5_882) < 200);
    }

    #[test]
    fn without_weights_groups_weigh_what_their_endpoints_do() {
        let listings = (0..4).map(|i| Listing { zone: ZoneId(u16::from(i > 0)), ..listing(i, 1 + i) }).collect();
        let mut world = World::of(listings, Config::default().build(&Context::lone(1)));
        assert!(world.counts(10_000)[0].abs_diff(1_000) < 150, "1 against 2 + 3 + 4");
    }

    #[test]
    fn a_key_stays_in_its_group() {
        let config = Config { weights: vec![90, 10], split: Split::Key, ..Config::default() };
        let mut world = world(&config);
        let groups: Vec<bool> = (0..2_000).map(|key| world.pick_hash(mix(key)) >= 10).collect();
        let again: Vec<bool> = (0..2_000).map(|key| world.pick_hash(mix(key)) >= 10).collect();
        let few = groups.iter().filter(|second| **second).count();
        assert!(groups == again && few.abs_diff(200) < 50, "{few} of 2000 at a tenth");
    }

    #[test]
    fn a_group_without_weight_is_better_than_nobody() {
        let mut world = world(&Config { weights: vec![0, 1], ..Config::default() });
        (10..20).for_each(|place| world.health(place, Health::Failed));
        assert_eq!(second(&mut world), 0);
    }

    #[test]
    fn a_group_does_not_weigh_less_for_those_that_drain() {
        // Half of the ten in zone 0, either way; ten in zone 1 weigh as much.
        let share = |health| {
            let said = |i| if i < 5 { health } else { Health::Healthy };
            let list = (0..20).map(|i| Listing { zone: ZoneId(i as u16 / 10), health: said(i), ..listing(i, 1) });
            let config: Config = serde_json::from_str(r#"{ "overprovisioning": 140 }"#).unwrap();
            let mut world = World::of(list.collect(), config.build(&Context::lone(1)));
            world.counts(10_000)[..10].iter().sum::<usize>()
        };
        assert!(share(Health::Draining).abs_diff(5_000) < 200);
        // 70 of 170.
        assert!(share(Health::Failed).abs_diff(4_118) < 200);
    }
}
