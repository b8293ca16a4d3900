//! Any ready endpoint, each with the same chance.
//!
//! Origin: balls into bins; Envoy RANDOM, pingora Random, Dubbo `random` with equal weights.
//! Observes: nothing.
//! Cost: O(1) a pick.
//! Draws: half of one a pick, the rest where that is not enough (n times in 2^32); none when there is one endpoint.
//! Fails when: load is high, because chance alone leaves some backend well above the mean; it is the yardstick
//! that stale information has to beat.

use serde::{Deserialize, Serialize};

use super::places::Places;
use crate::base::rand::{Rand, below, below_by_upper_half};
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
        let n = endpoints.ready.len() as u32;
        if self.places.are_several()
            && let Some((number, _)) = self.rand.by_upper_half(|draw| below_by_upper_half(draw, n))
            && let Some(id) = self.places.at(u64::from(number), endpoints)
        {
            return Pick::To(id);
        }
        self.pick_slowly(endpoints)
    }
}

impl Random {
    #[inline(never)]
    fn pick_slowly(&mut self, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => Pick::nobody(endpoints),
            [only] => Pick::To(*only),
            ready => {
                let number = below(self.rand.next_upper_first(), ready.len() as u64);
                self.places.at(number, endpoints).map_or_else(|| Pick::nobody(endpoints), Pick::To)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Connectivity;

    #[test]
    fn half_a_draw_or_a_whole_one_finds_who_is_picked() {
        let n = 2_000;
        let mut rand = Context::lone(3).seed.stream("random");
        let mut one_of = |n: u32| match rand.by_upper_half(|draw| below_by_upper_half(draw, n)) {
            Some((number, _)) => u64::from(number),
            None => below(rand.next_upper_first(), u64::from(n)),
        };
        let mut world = World::seeded(3, &vec![1; n as usize], |context| Config::default().build(context));
        for _ in 0..100 {
            assert_eq!(world.send() as u64, one_of(n));
        }
        // The first has left: nobody is in place, and all move up by one.
        world.connectivity(0, Connectivity::Idle);
        for _ in 0..100 {
            assert_eq!(world.send() as u64, one_of(n - 1) + 1);
        }
    }

    #[test]
    fn each_has_the_same_chance() {
        let mut world = World::equal(4, &Config::default());
        let counts = world.counts(40_000);
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }
}
