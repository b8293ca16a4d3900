//! The first endpoint of the list that has room: as few as possible serve, the others can sleep.
//!
//! Origin: HAProxy `balance first` (`src/lb_fas.c`), made for fleets that scale to the fewest servers.
//! Observes: calls that this client has open; the order of the list. Not weights.
//! Cost: O(n) a pick at worst.
//! Draws: none.
//! Fails when: `max_open` is more than an endpoint bears, because nothing else protects the first; several clients
//! share the list, because each fills the first by itself.

use serde::{Deserialize, Serialize};

use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `pack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Open calls at which an endpoint is full, 1 or more: HAProxy's `maxconn` of a server. When all are full the one
    /// with the fewest takes the call, the first of equals; HAProxy would queue it.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub max_open: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { max_open: 100 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(Pack { max_open: self.max_open })
    }
}

#[derive(Debug)]
struct Pack {
    max_open: u32,
}

impl Balancer for Pack {
    fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {}

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let with_room = endpoints.ready.iter().find(|id| endpoints.in_flight(**id) < self.max_open);
        let pick = with_room.or_else(|| endpoints.ready.iter().min_by_key(|id| endpoints.in_flight(**id)));
        pick.map_or_else(|| Pick::nobody(endpoints), |id| Pick::To(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Health;

    #[test]
    fn one_after_the_other_is_filled() {
        let mut world = World::equal(3, &Config { max_open: 2 });
        let sends = |world: &mut World, n: usize| (0..n).map(|_| world.send()).collect::<Vec<_>>();
        assert_eq!(sends(&mut world, 3), [0, 0, 1]);
        world.done(0, Duration::ZERO, Ok(()));
        assert_eq!(sends(&mut world, 4), [0, 1, 2, 2]);
        assert_eq!(sends(&mut world, 2), [0, 1], "all are full: the fewest");
        world.health(0, Health::Failed);
        world.done(2, Duration::ZERO, Ok(()));
        assert_eq!(sends(&mut world, 1), [2]);
    }
}
