//! Random by how far each endpoint's mean latency is below the sum of all, from a table that is made every 30 s.
//!
//! Origin: Netflix Ribbon `WeightedResponseTimeRule`.
//! Observes: latency of all calls that ended, well or not, since the endpoint joined. Not weights.
//! Cost: O(n) a pick, O(n) a table.
//! Draws: one a pick with a table; without one it takes turns.
//! Fails when: latencies change, because means are over all time and the table is up to 30 s old; there are many
//! endpoints, because weights then hardly differ; the list changes often, because a table is of one list only.

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::some_time;
use crate::policy::balancer::rotate::turn::{OnUpdate, Start, Turn};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `weighted_response_time`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often a table is made.
    #[serde(deserialize_with = "some_time")]
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { interval: Duration::from_secs(30) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(WeightedResponseTime {
            interval: self.interval,
            rand: context.seed.stream("weighted_response_time"),
            turn: Turn::new(Start::Zero, OnUpdate::Keep, context.seed.stream("weighted_response_time/turn")),
            means: Slots::new(),
            members: vec![],
            table: vec![],
            next: Instant::ZERO,
        })
    }
}

#[derive(Debug)]
struct WeightedResponseTime {
    interval: Duration,
    rand: Rand,
    turn: Turn,
    means: Slots<Mean>,
    members: Vec<EndpointId>,
    /// The weight of each member when the last table was made, in the order of the list.
    table: Vec<(EndpointId, f64)>,
    /// When the next one is due.
    next: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum_ms: f64,
    n: u64,
}

impl Mean {
    fn value(self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum_ms / self.n as f64 }
    }
}

impl WeightedResponseTime {
    /// Makes the table that was due. Nothing has been learned since then, so it is the one that a timer would have
    /// made.
    fn catch_up(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        let interval = self.interval.as_nanos();
        self.next = Instant::from_nanos((now.as_nanos() / interval + 1).saturating_mul(interval));
        let mean = |id: &EndpointId| self.means.get(*id).map_or(0.0, |mean| mean.value());
        let total: f64 = self.members.iter().map(mean).sum();
        self.table = self.members.iter().map(|id| (*id, total - mean(id))).collect();
    }
}

impl Balancer for WeightedResponseTime {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.catch_up(now);
        follow(&mut self.means, endpoints, |_| Mean::default());
        self.members.clear();
        self.members.extend_from_slice(endpoints.members);
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.catch_up(now);
        let is_of_this_list = self.table.iter().map(|(id, _)| id).eq(&self.members);
        // Ribbon draws from all and again until it hits one that is alive: the same as drawing from those.
        let usable = || self.table.iter().filter(|(id, _)| endpoints.is_ready(*id));
        let total: f64 = usable().map(|(_, weight)| weight).sum();
        if !is_of_this_list || total < LEAST_TOTAL {
            return Pick::To(endpoints.ready[self.turn.take(endpoints.ready.len())]);
        }
        let mut left = self.rand.unit() * total;
        let hit = usable().find(|(_, weight)| {
            left -= weight;
            left <= 0.0
        });
        hit.or_else(|| usable().next_back()).map_or_else(|| Pick::nobody(endpoints), |(id, _)| Pick::To(*id))
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, took, .. } = *feedback else { return };
        self.catch_up(now);
        if let Some(mean) = self.means.get_mut(endpoint) {
            mean.sum_ms += took.as_millis_f64();
            mean.n += 1;
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.table.iter().for_each(|(id, weight)| visit("weight", *id, *weight));
    }
}

/// Below this sum of weights, in milliseconds, nothing is known.
const LEAST_TOTAL: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    fn answer(world: &mut World, place: usize, ms: u64) {
        world.sent(world.id(place));
        world.done(place, Duration::from_millis(ms), Ok(()));
    }

    fn share(world: &mut World, place: usize) -> f64 {
        let picks = (0..10_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(place))).count();
        picks as f64 / 10_000.0
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.02, "{found} where {expected} is expected");
    }

    #[test]
    fn with_two_endpoints_the_weights_swap_the_means() {
        let mut world = World::equal(2, &Config::default());
        answer(&mut world, 0, 10);
        answer(&mut world, 1, 20);
        answer(&mut world, 1, 40);
        assert_eq!(world.picks(4), "0101", "turns, until there is a table");
        world.advance(Duration::from_secs(30));
        // picks() answered in no time, twice each: means 10/3 and 60/4.
        near(share(&mut world, 0), 15.0 / (15.0 + 10.0 / 3.0));
    }

    #[test]
    fn the_table_is_as_old_as_its_making() {
        let mut world = World::equal(3, &Config::default());
        [(0, 10), (1, 20), (2, 30)].into_iter().for_each(|(place, ms)| answer(&mut world, place, ms));
        world.advance(Duration::from_secs(31));
        // The answer that comes at 31 s is not in the table of 30 s: weights 50, 40, 30.
        answer(&mut world, 0, 100_000);
        near(share(&mut world, 0), 50.0 / 120.0);
        world.health(1, Health::Failed);
        near(share(&mut world, 0), 50.0 / 80.0);
        world.health(1, Health::Healthy);
        near(share(&mut world, 2), 30.0 / 120.0);
        world.list((0..4).map(|i| listing(i, 1)).collect());
        assert_eq!(share(&mut world, 3), 0.25, "a table is of one list: turns until the next");
        world.advance(Duration::from_secs(29));
        assert!(share(&mut world, 0) < 0.01, "by far the slowest");
    }

    #[test]
    fn an_interval_is_some_time() {
        assert!(toml::from_str::<Config>("interval = '0s'").unwrap_err().message().contains("no time at all"));
    }
}
