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
        Box::new(Random { rand: context.seed.stream("random"), places: Places::default(), reads_list: false })
    }
}

#[derive(Debug)]
struct Random {
    rand: Rand,
    places: Places,
    /// Whether the list of several is read: if it is short, because that is the shorter way, or if it has to be.
    reads_list: bool,
}

/// From here on the list does not fit in a processor's first caches.
const LONG: usize = 20_000;

impl Balancer for Random {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.places = Places::of(endpoints);
        let may_skip_list = self.places.are_in_place() && endpoints.ready.len() >= LONG;
        self.reads_list = self.places.are_several() && !may_skip_list;
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let ready = endpoints.ready;
        if self.reads_list
            && let Some([draw]) = self.rand.made()
            && let Some(id) = ready.get(below(draw, ready.len() as u64) as usize)
        {
            return Pick::To(*id);
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
                let number = self.rand.below(ready.len() as u64);
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
    fn a_long_list_is_picked_from_like_a_short_one() {
        let n = LONG as u64 + 1;
        let mut draws = Context::lone(3).seed.stream("random");
        let mut world = World::seeded(3, &vec![1; n as usize], |context| Config::default().build(context));
        for _ in 0..100 {
            assert_eq!(world.send() as u64, draws.below(n));
        }
        // The first has left: nobody is in place, and all move up by one.
        world.connectivity(0, Connectivity::Idle);
        for _ in 0..100 {
            assert_eq!(world.send() as u64, draws.below(n - 1) + 1);
        }
    }

    #[test]
    fn each_has_the_same_chance() {
        let mut world = World::equal(4, &Config::default());
        let counts = world.counts(40_000);
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }
}
