//! Each client keeps to a few endpoints, which a hash with the client's own seed chooses.
//!
//! Origin: gRPC `random_subsetting_experimental` (gRFC A68).
//! Observes: names of the endpoints; what its child observes.
//! Cost: that of the child; O(n log n) when the list changes.
//! Draws: none of its own; the seed belongs to the client.
//! Fails when: clients are few or subsets small, because some endpoints are then in many subsets and some in none;
//! the child can repair it only inside its subset.

use serde::{Deserialize, Serialize};

use super::subset::Subset;
use super::weighted_target::Child;
use crate::base::hash::xxh64;
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `random_subsetting`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside the subset.
    pub child: Child,
    /// Endpoints in a subset, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub size: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { child: Child::default(), size: 20 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(RandomSubsetting {
            size: self.size as usize,
            seed: context.seed.number("random_subsetting"),
            subset: Subset::new(&self.child, context),
            order: vec![],
        })
    }
}

#[derive(Debug)]
struct RandomSubsetting {
    size: usize,
    seed: u64,
    subset: Subset,
    /// Hashes of all members: kept for its room.
    order: Vec<(u64, EndpointId)>,
}

impl Balancer for RandomSubsetting {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let hash = |id: &EndpointId| (xxh64(endpoints.table.name(*id).as_bytes(), self.seed), *id);
        self.order.clear();
        self.order.extend(endpoints.members.iter().map(hash));
        self.order.sort_unstable();
        self.subset.show(now, endpoints, self.order.iter().take(self.size).map(|(_, id)| *id));
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.subset.pick(now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.subset.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.subset.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.subset.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.subset.on_timeout(now, endpoints);
    }

    fn connects_all(&self) -> bool {
        false
    }

    fn heeds_health(&self) -> bool {
        self.subset.heeds_health()
    }

    fn keeps_to_some(&self) -> bool {
        true
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.subset.gauges(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Connectivity;

    fn machine(seed: u64, size: usize) -> Box<RandomSubsetting> {
        let subset = Subset::new(&Child::default(), &Context::lone(1));
        Box::new(RandomSubsetting { size, seed, subset, order: vec![] })
    }

    /// Who is used, in rising order of last octets.
    fn used(world: &mut World) -> Vec<usize> {
        let counts = world.counts(200);
        (1..=counts.len()).filter(|octet| counts[octet - 1] > 0).collect()
    }

    #[test]
    fn orders_of_the_reference() {
        for (seed, order) in [(0, [1, 4, 5, 2, 3]), (1, [5, 2, 4, 1, 3]), (2, [1, 5, 4, 3, 2])] {
            for size in 1..=5 {
                let mut world = World::seeded(1, &[1; 5], |_| machine(seed, size));
                let mut expected = order[..size].to_vec();
                expected.sort_unstable();
                assert_eq!(used(&mut world), expected, "seed {seed}, {size} of 5");
            }
        }
    }

    #[test]
    fn who_joins_or_leaves_changes_one_member_at_most() {
        for seed in 0..50 {
            let mut world = World::seeded(1, &[1; 12], |_| machine(seed, 4));
            let before = used(&mut world);
            world.list((0..13).map(|i| listing(i, 1)).collect());
            let after = used(&mut world);
            assert!(before.iter().filter(|octet| !after.contains(octet)).count() <= 1, "{before:?} {after:?}");
            let gone = after[0] as u32;
            world.list((0..13).filter(|i| i + 1 != gone).map(|i| listing(i, 1)).collect());
            let left = world.table.view().members.to_vec();
            let kept = left.iter().filter(|id| {
                let counts = world.table.get(**id).unwrap().address.0 as usize + 1;
                after.contains(&counts)
            });
            assert_eq!(kept.count(), 3, "the others stay");
        }
    }

    #[test]
    fn only_the_subset_is_connected() {
        let mut world = World::seeded(1, &[], |_| machine(0, 2));
        assert!(!world.balancer.connects_all());
        world.list_cold((0..5).map(|i| listing(i, 1)).collect());
        let mut wanted = vec![];
        while let Some(want) = world.balancer.poll_want() {
            wanted.push(want);
        }
        assert_eq!(wanted, [Want::Connect(world.id(0)), Want::Connect(world.id(3))]);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        world.connectivity(1, Connectivity::Ready);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue, "it is not in the subset");
        world.connectivity(3, Connectivity::Ready);
        assert_eq!(world.send(), 3);
    }
}
