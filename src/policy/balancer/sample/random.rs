//! Any ready endpoint, each with the same chance.
//!
//! Origin: balls into bins; Envoy RANDOM, pingora Random, Dubbo `random` with equal weights.
//! Observes: nothing.
//! Cost: O(1) a pick.
//! Draws: one a pick, none when there is one endpoint.
//! Fails when: load is high, because chance alone leaves some backend well above the mean; it is the yardstick
//! that stale information has to beat.

use serde::{Deserialize, Serialize};

use super::places::Places;
use crate::base::rand::{Bits, Rand, below};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// `random` has no parameters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Random { rand: context.seed.stream("random"), places: Places::default() })
    }
}

#[derive(Debug)]
struct Random {
    rand: Rand,
    places: Places,
}

impl Balancer for Random {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.places = Places::of(endpoints);
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if self.places.are_several()
            && let Some([draw]) = self.rand.made()
            && let Some(id) = self.places.at(below(draw, endpoints.ready.len() as u64), endpoints)
        {
            return Pick::To(id);
        }
        self.pick_slowly(endpoints)
    }
}

impl Random {
    #[cold]
    #[inline(never)]
    fn pick_slowly(&mut self, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => Pick::nobody(endpoints),
            [only] => Pick::To(*only),
            ready => Pick::To(ready[self.rand.below(ready.len() as u64) as usize]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;

    #[test]
    fn each_has_the_same_chance() {
        let mut world = World::equal(4, &Config::default());
        let counts = world.counts(40_000);
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }
}
