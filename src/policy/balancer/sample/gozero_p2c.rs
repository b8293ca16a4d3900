//! go-zero's two choices: the square root of smoothed latency times open calls, and now and then the loser.
//!
//! Origin: go-zero `zrpc/internal/balancer/p2c/p2c.go`, there called `p2c_ewma`.
//! Observes: latency, outcomes and calls that this client has open. Not weights.
//! Cost: O(1) a pick, one exponential a call ended; O(n) a change.
//! Draws: two a pick, up to three pairs while one of a pair is unhealthy; none for two endpoints or one.
//! Fails when: the ready endpoints change often, because every change forgets all that was learned; an endpoint is
//! new, because it counts as a nanosecond and is flooded until it answers.

use serde::{Deserialize, Serialize};

use crate::base::ewma::decay;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::status::{Outcome, Status};
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `gozero_p2c`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A sample's influence falls to 1/e in this time.
    pub decay_time: Duration,
    /// The loser of a pair is picked if it has not been for longer than this.
    pub force_pick: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { decay_time: Duration::from_secs(10), force_pick: Duration::from_secs(1) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("gozero_p2c");
        Box::new(GoZero { config: self.clone(), rand, nodes: Slots::new(), ready: vec![] })
    }
}

#[derive(Debug)]
struct GoZero {
    config: Config,
    rand: Rand,
    nodes: Slots<Node>,
    /// Who was ready when the picker was last built.
    ready: Vec<EndpointId>,
}

/// What is learned of an endpoint, in go-zero's whole numbers.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Smoothed latency in nanoseconds; 0 until the first answer.
    lag: u64,
    /// Smoothed success, 0 to 1000.
    success: u64,
    last: Instant,
    /// `None` if it was never picked, which is longer ago than any time.
    picked: Option<Instant>,
}

impl Node {
    const NEW: Node = Node { lag: 0, success: SUCCESS, last: Instant::ZERO, picked: None };

    fn is_healthy(&self) -> bool {
        self.success > SUCCESS / 2
    }

    fn load(&self, open: u32) -> u64 {
        load(self.lag, open)
    }

    fn learn(&mut self, now: Instant, took: Duration, outcome: Outcome, tau: Duration) {
        // The first answer is taken whole, as latency and as success.
        let keep = if self.lag == 0 { 0.0 } else { decay(now.since(self.last), tau) };
        let smooth = |old: u64, new: u64| (old as f64 * keep + new as f64 * (1.0 - keep)) as u64;
        self.lag = smooth(self.lag, took.as_nanos());
        self.success = smooth(self.success, if is_acceptable(outcome) { SUCCESS } else { 0 });
        self.last = now;
    }
}

/// `⌊√(lag + 1)⌋ * (open + 1)`.
fn load(lag_ns: u64, open: u32) -> u64 {
    ((lag_ns + 1) as f64).sqrt() as u64 * (u64::from(open) + 1)
}

/// Failures that go-zero does not hold against the server (`zrpc/internal/codes/accept.go`).
fn is_acceptable(outcome: Outcome) -> bool {
    use Status::{DataLoss, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unimplemented};
    let bad = [DeadlineExceeded, Internal, Unavailable, DataLoss, Unimplemented, ResourceExhausted];
    outcome.is_ok_and(|()| true) || outcome.is_err_and(|failure| !bad.contains(&failure.status))
}

impl Balancer for GoZero {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        // A new picker is built of all ready connections, with nothing known of them.
        if self.ready != endpoints.ready {
            self.nodes.clear();
            self.ready.clear();
            self.ready.extend_from_slice(endpoints.ready);
        }
        follow(&mut self.nodes, endpoints, |_| Node::NEW);
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let (a, b) = match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            [a, b] => (*a, *b),
            several => self.draw(several),
        };
        let load = |id: EndpointId| self.node(id).load(endpoints.in_flight(id));
        let (winner, loser) = if load(a) > load(b) { (b, a) } else { (a, b) };
        let since = self.node(loser).picked.map(|at| now.since(at));
        let forced = since.is_none_or(|since| since > self.config.force_pick);
        Pick::To(if forced { loser } else { winner })
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        match *feedback {
            Feedback::Sent { endpoint } => {
                if let Some(node) = self.nodes.get_mut(endpoint) {
                    node.picked = Some(now);
                }
            }
            Feedback::Done { endpoint, took, outcome, .. } => {
                if let Some(node) = self.nodes.get_mut(endpoint) {
                    node.learn(now, took, outcome, self.config.decay_time);
                }
            }
            Feedback::Probed { .. } | Feedback::Reported { .. } | Feedback::Idle { .. } => {}
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.nodes.iter().for_each(|(id, node)| visit("latency_ms", id, node.lag as f64 / 1e6));
    }
}

impl GoZero {
    fn node(&self, id: EndpointId) -> Node {
        self.nodes.get(id).copied().unwrap_or(Node::NEW)
    }

    /// A pair of healthy ones, or the last of three pairs.
    fn draw(&mut self, among: &[EndpointId]) -> (EndpointId, EndpointId) {
        let mut pair = (among[0], among[1]);
        for _ in 0..PAIRS {
            let (a, b) = self.rand.two_below(among.len() as u64);
            pair = (among[a as usize], among[b as usize]);
            if self.node(pair.0).is_healthy() && self.node(pair.1).is_healthy() {
                break;
            }
        }
        pair
    }
}

/// Success of an endpoint that never failed.
const SUCCESS: u64 = 1_000;

/// Pairs drawn at most.
const PAIRS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::testing::{World, listing};

    const MS: Duration = Duration::from_millis(1);
    const MS_100: Duration = Duration::from_millis(100);

    #[test]
    fn loads_of_the_source() {
        assert_eq!([load(10_000_000, 0), load(10_000_000, 4), load(100_000_000, 0)], [3_162, 15_810, 10_000]);
        assert_eq!([0, 1, 2].map(|open| load(0, open)), [1, 2, 3]);
    }

    fn answer(world: &mut World, place: usize, took: Duration, outcome: Outcome) {
        world.sent(world.id(place));
        world.done(place, took, outcome);
    }

    /// Two endpoints, of which 0 has answered; both have been picked just now.
    fn world(peer: Duration) -> World {
        let mut world = World::equal(2, &Config::default());
        answer(&mut world, 0, peer, Ok(()));
        world.sent(world.id(1));
        world
    }

    #[test]
    fn a_newcomer_is_flooded_until_its_first_answer() {
        for (peer, calls) in [(MS, 998), (MS_100, 9_998)] {
            let mut world = world(peer);
            // √1 * (open + 1) against √(peer in ns): the call that is already open is one of them.
            assert!((0..calls).all(|_| world.send() == 1), "{peer:?}");
            world.done(1, peer, Ok(()));
            assert_eq!(world.send(), 0, "{peer:?}");
        }
    }

    #[test]
    fn every_change_of_the_list_forgets_all() {
        let mut world = world(MS_100);
        world.done(1, MS, Ok(()));
        world.refresh();
        assert_eq!(world.send(), 1, "1 ms against 100 ms");
        world.list((0..3).map(|i| listing(i, 1)).collect());
        let mut latencies = vec![];
        world.balancer.gauges(&mut |_, _, ms| latencies.push(ms));
        assert_eq!(latencies, [0.0; 3]);
    }

    #[test]
    fn the_loser_is_picked_when_it_has_not_been_for_a_second() {
        let mut world = world(MS);
        world.done(1, MS_100, Ok(()));
        for _ in 0..3 {
            let mut places = vec![];
            for _ in 0..11 {
                world.advance(MS_100);
                let place = world.send();
                world.done(place, if place == 0 { MS } else { MS_100 }, Ok(()));
                places.push(place);
            }
            assert_eq!(places, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
        let mut fresh = World::equal(2, &Config::default());
        assert_eq!([fresh.send(), fresh.send()], [1, 0], "who was never picked is forced at once");
    }

    #[test]
    fn smoothing_takes_the_first_sample_whole() {
        let mut node = Node::NEW;
        let tau = Duration::from_secs(10);
        node.learn(Instant::from_nanos(1), MS, Err(Failure::of(Cause::Backend)), tau);
        assert_eq!((node.lag, node.success, node.is_healthy()), (1_000_000, 0, false));
        node.learn(Instant::from_nanos(10_000_000_001), MS_100, Ok(()), tau);
        // e^-1 of the old and the rest of the new.
        assert_eq!((node.lag, node.success, node.is_healthy()), (63_579_935, 632, true));
        assert!(is_acceptable(Err(Failure::of(Cause::Cancelled))), "the caller's own doing");
    }

    #[test]
    fn of_three_pairs_a_healthy_one_is_taken() {
        let mut world = World::equal(4, &Config { force_pick: Duration::from_secs(1_000), ..Config::default() });
        for place in 0..4 {
            let outcome = if place == 0 { Err(Failure::of(Cause::Backend)) } else { Ok(()) };
            answer(&mut world, place, if place == 0 { Duration::from_nanos(1) } else { MS }, outcome);
        }
        // The unhealthy one is fastest and wins each pair that it is in: half of the pairs, three times in a row.
        let counts = world.counts(8_000);
        assert!((900..1_100).contains(&counts[0]), "{counts:?} where an eighth is expected");
    }
}
