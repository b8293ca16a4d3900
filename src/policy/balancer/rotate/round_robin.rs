//! Each ready endpoint in turn.
//!
//! Origin: the oldest policy there is; gRFC A27 and grpc-go `balancer/roundrobin`, Envoy ROUND_ROBIN.
//! Observes: nothing.
//! Cost: O(1) a pick.
//! Draws: one when the rotation starts at random, none a pick.
//! Fails when: endpoints or calls differ, because it gives each the same number of calls whatever they cost;
//! many clients that start at index 0 at one instant fall on one backend together.

use serde::{Deserialize, Serialize};

use super::turn::{OnUpdate, Start, Turn};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `round_robin`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where a rotation starts.
    pub start: Start,
    /// What happens to the position when the ready endpoints change.
    pub on_update: OnUpdate,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("round_robin");
        Box::new(RoundRobin { turn: Turn::new(self.start, self.on_update, rand) })
    }
}

#[derive(Debug)]
struct RoundRobin {
    turn: Turn,
}

impl Balancer for RoundRobin {
    fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {
        self.turn.on_update();
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if let Some(id) = self.turn.go_on(endpoints.ready.len()).and_then(|place| endpoints.ready.get(place)) {
            return Pick::To(*id);
        }
        self.pick_slowly(endpoints)
    }
}

impl RoundRobin {
    #[cold]
    #[inline(never)]
    fn pick_slowly(&mut self, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => Pick::nobody(endpoints),
            ready => Pick::To(ready[self.turn.take(ready.len())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;

    #[test]
    fn takes_each_in_turn() {
        let mut world = World::equal(3, &Config { start: Start::Zero, ..Config::default() });
        assert_eq!(world.picks(7), "0120120");
    }

    #[test]
    fn keeps_or_restarts_when_the_list_changes() {
        for (on_update, expected) in [(OnUpdate::Keep, "201"), (OnUpdate::Restart, "012")] {
            let mut world = World::equal(3, &Config { start: Start::Zero, on_update });
            world.picks(2);
            world.refresh();
            assert_eq!(world.picks(3), expected);
        }
    }

    #[test]
    fn starting_anew_has_two_names() {
        for name in ["restart", "rerandomise"] {
            let config: Config = serde_json::from_str(&format!(r#"{{ "on_update": "{name}" }}"#)).unwrap();
            assert_eq!(config, Config::default(), "{name}");
        }
    }

    #[test]
    fn a_random_start_differs_between_clients() {
        let starts: std::collections::BTreeSet<String> = (0..20)
            .map(|seed| World::seeded(seed, &[1; 5], |context| Config::default().build(context)).picks(1))
            .collect();
        assert_eq!(starts.len(), 5);
    }
}
