//! Dubbo's adaptive choice: of two drawn, the one whose processor is less busy for its success.
//!
//! Origin: Dubbo `AdaptiveLoadBalance` and `AdaptiveMetrics`. The moving average of latency that these keep does not
//! enter the load in the version followed here.
//! Observes: the CPU utilization in load reports; successes, requests and when an endpoint was last picked; static
//! weights.
//! Cost: O(1) a pick.
//! Draws: two a pick, one more among equals; none of the two for two endpoints.
//! Fails when: there are no load reports, because then all loads are 0 and it is a weighted coin; an endpoint has been
//! idle for two timeouts, because it then wins against any.

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::scan::lowest::drawn;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `adaptive`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The calls' timeout: an endpoint that was not picked for longer than two of them has load 0.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { timeout: Duration::from_secs(1) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let idle = self.timeout.saturating_mul(2);
        Box::new(Adaptive { idle, rand: context.seed.stream("adaptive"), nodes: Slots::new() })
    }
}

#[derive(Debug)]
struct Adaptive {
    idle: Duration,
    rand: Rand,
    nodes: Slots<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    cpu: f64,
    requests: u64,
    successes: u64,
    picked: Instant,
}

impl Node {
    /// `cpu / (successes / (requests + 1) * weight + 1)`.
    fn load(&self, weight: u32) -> f64 {
        let success = self.successes as f64 / (self.requests + 1) as f64;
        self.cpu / (success * f64::from(weight) + 1.0)
    }
}

impl Balancer for Adaptive {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let new = |_| Node { cpu: 0.0, requests: 0, successes: 0, picked: now };
        follow(&mut self.nodes, endpoints, new);
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let (a, b) = match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            [a, b] => (*a, *b),
            several => {
                let (a, b) = self.rand.two_below(several.len() as u64);
                (several[a as usize], several[b as usize])
            }
        };
        let (load_a, load_b) = (self.load(now, a, endpoints), self.load(now, b, endpoints));
        if load_a == load_b {
            return Pick::To(drawn(&[a, b], endpoints, &mut self.rand));
        }
        Pick::To(if load_a > load_b { b } else { a })
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        match *feedback {
            Feedback::Sent { endpoint } => {
                if let Some(node) = self.nodes.get_mut(endpoint) {
                    node.requests += 1;
                    node.picked = now;
                }
            }
            Feedback::Done { endpoint, outcome, load, .. } => {
                let Some(node) = self.nodes.get_mut(endpoint) else { return };
                node.successes += u64::from(outcome.is_ok());
                if let Some(load) = load.filter(|load| load.cpu.is_finite() && load.cpu >= 0.0) {
                    node.cpu = load.cpu;
                }
            }
            Feedback::Probed { .. } | Feedback::Reported { .. } | Feedback::Idle { .. } => {}
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.nodes.iter().for_each(|(id, node)| visit("cpu", id, node.cpu));
    }
}

impl Adaptive {
    fn load(&self, now: Instant, id: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let Some(node) = self.nodes.get(id).filter(|node| now.since(node.picked) <= self.idle) else { return 0.0 };
        node.load(endpoints.get(id).map_or(1, |endpoint| endpoint.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::LoadReport;
    use crate::policy::balancer::testing::World;

    #[test]
    fn success_and_weight_divide_the_load() {
        let node = Node { cpu: 0.6, requests: 9, successes: 5, picked: Instant::ZERO };
        assert_eq!((node.load(100), node.load(1), node.load(0)), (0.6 / 51.0, 0.6 / 1.5, 0.6));
    }

    fn answer(world: &mut World, place: usize, cpu: f64, ok: bool) {
        let report = LoadReport { cpu, ..LoadReport::default() };
        world.sent(world.id(place));
        let outcome = if ok { Ok(()) } else { Err(Failure::of(Cause::Backend)) };
        world.done_with(place, Duration::from_millis(5), outcome, Some(&report));
    }

    #[test]
    fn of_two_the_less_busy_one_for_its_success() {
        let mut world = World::equal(2, &Config::default());
        answer(&mut world, 0, 0.9, true);
        answer(&mut world, 1, 0.3, true);
        assert!((0..20).all(|_| world.send() == 1));
        // 0.3 / (1/22 + 1) against 0.9 / (1/2 + 1): nine more failures do not turn it, another report does.
        answer(&mut world, 1, f64::NAN, false);
        assert_eq!(world.send(), 1, "what is no number is no report");
        answer(&mut world, 1, 0.8, false);
        assert_eq!(world.send(), 0);
    }

    #[test]
    fn equally_busy_the_one_that_succeeds() {
        let mut world = World::equal(2, &Config::default());
        for _ in 0..10 {
            answer(&mut world, 0, 0.5, false);
            answer(&mut world, 1, 0.5, true);
        }
        assert!((0..8).all(|_| world.send() == 1));
    }

    #[test]
    fn an_endpoint_that_was_idle_for_two_timeouts_is_picked() {
        let mut world = World::equal(2, &Config::default());
        answer(&mut world, 0, 0.9, true);
        answer(&mut world, 1, 0.3, true);
        world.advance(Duration::from_millis(2_000));
        assert_eq!(world.send(), 1);
        world.advance(Duration::from_nanos(1));
        assert_eq!([world.send(), world.send()], [0, 1]);
    }

    #[test]
    fn among_equals_a_coin_by_weight() {
        let heavy = World::weighted(&[3, 1], &Config::default()).counts(8_000)[0];
        assert!((5_850..6_150).contains(&heavy), "{heavy}");
    }
}
