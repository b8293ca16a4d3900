//! Kratos' two choices: success over the square root of smoothed or predicted latency, times open calls.
//!
//! Origin: Kratos `selector/node/ewma/node.go` and `selector/p2c`, there called `p2c`.
//! Observes: latency, outcomes, calls that this client has open and how long they have been. Not weights.
//! Cost: O(1) a pick; where a weight is older than 5 ms, O(open calls) up to 200.
//! Draws: two a pick, none for one endpoint.
//! Fails when: an endpoint is new, because beside peers that answer it weighs little until its first answer, which
//! comes of the calls that force it: the first at once, then one in 3 s; many calls come within 5 ms, because weights
//! do not move in between.

use std::collections::VecDeque;

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

/// Parameters of `kratos_p2c`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A sample's influence falls to 1/e in this time.
    pub tau: Duration,
    /// The loser of a pair is picked if it has not been for longer than this.
    pub force_pick: Duration,
    /// How long a weight is used before it is worked out again.
    pub cache: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { tau: Duration::from_millis(600), force_pick: Duration::from_secs(3), cache: Duration::from_millis(5) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Kratos { config: self.clone(), rand: context.seed.stream("kratos_p2c"), nodes: Slots::new() })
    }
}

#[derive(Debug)]
struct Kratos {
    config: Config,
    rand: Rand,
    nodes: Slots<Node>,
}

/// What is learned of an endpoint, in Kratos' whole numbers.
#[derive(Debug)]
struct Node {
    /// Smoothed latency in nanoseconds; 0 until the first answer.
    lag: u64,
    /// Smoothed success, 0 to 1000.
    success: u64,
    last: Instant,
    /// `None` if it was never picked, which is longer ago than any time.
    picked: Option<Instant>,
    /// When calls were sent that are still open, up to [`TRACKED`] of them.
    open: VecDeque<Instant>,
    cached: Option<(Instant, f64)>,
}

impl Node {
    fn new() -> Node {
        let open = VecDeque::with_capacity(TRACKED);
        Node { lag: 0, success: SUCCESS, last: Instant::ZERO, picked: None, open, cached: None }
    }

    fn learn(&mut self, now: Instant, took: Duration, outcome: Outcome, tau: Duration) {
        let keep = if self.lag == 0 { 0.0 } else { decay(now.since(self.last), tau) };
        let smooth = |old: u64, new: u64| (old as f64 * keep + new as f64 * (1.0 - keep)) as u64;
        self.lag = smooth(self.lag, took.as_nanos());
        self.success = smooth(self.success, if is_failure(outcome) { 0 } else { SUCCESS });
        self.last = now;
    }

    /// Mean age of the open calls that are older than the smoothed latency, if they are more than half and one.
    fn predicted(&self, now: Instant) -> u64 {
        let ages = self.open.iter().map(|since| now.since(*since).as_nanos());
        let (mut slow, mut total) = (0, 0);
        for age in ages.filter(|age| *age > self.lag) {
            slow += 1;
            total += age;
        }
        if slow > self.open.len() as u64 / 2 + 1 { total / slow } else { 0 }
    }

    fn weight(&mut self, now: Instant, open: u32, cache: Duration) -> f64 {
        if let Some((at, weight)) = self.cached
            && now.since(at) <= cache
        {
            return weight;
        }
        let weight = weight(self.success, self.lag, self.predicted(now), open);
        self.cached = Some((now, weight));
        weight
    }
}

/// `success * 10 000 / load`.
fn weight(success: u64, lag_ns: u64, predicted_ns: u64, open: u32) -> f64 {
    (success * 10_000) as f64 / load(lag_ns, predicted_ns, open) as f64
}

/// An endpoint without an answer counts as 100 µs a call, the others as the square root of their latency in
/// nanoseconds and 5 ms. Open calls count from 1.
fn load(lag_ns: u64, predicted_ns: u64, open: u32) -> u64 {
    let calls = u64::from(open) + 1;
    if lag_ns == 0 {
        return NEW_LOAD * calls;
    }
    ((lag_ns.max(predicted_ns) + NEAR_NS) as f64).sqrt() as u64 * calls
}

/// Failures that Kratos holds against the server: deadline, cancellation, unavailable and gateway timeout.
fn is_failure(outcome: Outcome) -> bool {
    use Status::{Cancelled, DeadlineExceeded, Unavailable};
    outcome.is_err_and(|failure| matches!(failure.status, Cancelled | DeadlineExceeded | Unavailable))
}

impl Balancer for Kratos {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.nodes, endpoints, |_| Node::new());
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        let (a, b) = self.rand.two_below(endpoints.ready.len() as u64);
        let (a, b) = (endpoints.ready[a as usize], endpoints.ready[b as usize]);
        let (weight_a, weight_b) = (self.weight(now, a, endpoints), self.weight(now, b, endpoints));
        let (winner, loser) = if weight_b > weight_a { (b, a) } else { (a, b) };
        let since = self.nodes.get(loser).and_then(|node| node.picked).map(|at| now.since(at));
        let forced = since.is_none_or(|since| since > self.config.force_pick);
        Pick::To(if forced { loser } else { winner })
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        match *feedback {
            Feedback::Sent { endpoint } => {
                if let Some(node) = self.nodes.get_mut(endpoint) {
                    node.picked = Some(now);
                    if node.open.len() < TRACKED {
                        node.open.push_back(now);
                    }
                }
            }
            Feedback::Done { endpoint, took, outcome, .. } => {
                let Some(node) = self.nodes.get_mut(endpoint) else { return };
                if let Some(at) = node.open.iter().position(|since| now.since(*since) == took) {
                    node.open.remove(at);
                }
                node.learn(now, took, outcome, self.config.tau);
            }
            Feedback::Probed { .. } | Feedback::Reported { .. } | Feedback::Idle { .. } => {}
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.nodes.iter().for_each(|(id, node)| visit("latency_ms", id, node.lag as f64 / 1e6));
    }
}

impl Kratos {
    fn weight(&mut self, now: Instant, id: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let open = endpoints.in_flight(id);
        self.nodes.get_mut(id).map_or(0.0, |node| node.weight(now, open, self.config.cache))
    }
}

/// Success of an endpoint that never failed.
const SUCCESS: u64 = 1_000;

/// Load of each call on an endpoint that has not answered: 100 µs in nanoseconds.
const NEW_LOAD: u64 = 100_000;

/// Added to all latencies, so that a near zone does not take every call: 5 ms.
const NEAR_NS: u64 = 5_000_000;

/// Open calls of an endpoint that are kept track of.
const TRACKED: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};

    const MS: Duration = Duration::from_millis(1);
    const MS_10: Duration = Duration::from_millis(10);
    const MS_100: Duration = Duration::from_millis(100);

    #[test]
    fn loads_and_weights_of_the_source() {
        assert_eq!(weight(1_000, 0, 0, 0), 100.0);
        assert_eq!((load(10_000_000, 0, 0), load(10_000_000, 0, 2)), (3_872, 11_616));
        let text = |open| format!("{:.1}", weight(1_000, 10_000_000, 0, open));
        assert_eq!((text(0), text(2)), ("2582.6".to_owned(), "860.9".to_owned()));
        assert_eq!(load(10_000_000, 95_000_000, 0), 10_000, "predicted is more");
    }

    #[test]
    fn a_newcomer_gets_one_call_at_once_and_then_one_in_three_seconds() {
        for peer in [MS, MS_100] {
            let mut world = World::equal(1, &Config::default());
            for _ in 0..20 {
                world.sent(world.id(0));
                world.advance(peer);
                world.done(0, peer, Ok(()));
            }
            world.list(vec![listing(0, 1), listing(1, 1)]);
            let (mut seconds, joined) = (vec![], world.now);
            for _ in 0..10_000 {
                world.advance(MS);
                if world.send() == 1 {
                    seconds.push((world.now - joined).as_secs_f64());
                } else {
                    world.done(0, Duration::ZERO, Ok(()));
                }
            }
            // It never answers.
            assert_eq!(seconds, [0.001, 3.002, 6.003, 9.004], "{peer:?}");
        }
    }

    #[test]
    fn weights_do_not_move_for_five_milliseconds() {
        let mut world = World::equal(2, &Config { force_pick: Duration::from_secs(9), ..Config::default() });
        for place in [0, 1] {
            world.sent(world.id(place));
            world.advance(MS_10);
            world.done(place, MS_10, Ok(()));
        }
        world.sent(world.id(1));
        world.advance(MS_10);
        assert_eq!(world.send(), 0);
        (0..5).for_each(|_| assert_eq!(world.send(), 0, "although it has more calls open by now"));
        world.advance(Duration::from_millis(6));
        assert_eq!(world.send(), 1);
    }

    #[test]
    fn open_calls_that_are_late_predict() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut node = Node { lag: 10_000_000, ..Node::new() };
        node.open.extend([at(0), at(10), at(20), at(95)]);
        // 100, 90 and 80 ms old: three of four is no more than half and one.
        assert_eq!(node.predicted(at(100)), 0);
        node.open.pop_back();
        assert_eq!(node.predicted(at(100)), 90_000_000);
        node.lag = 95_000_000;
        assert_eq!(node.predicted(at(100)), 0);
    }

    #[test]
    fn an_answer_closes_its_own_call() {
        let mut world = World::equal(2, &Config::default());
        for _ in 0..300 {
            world.sent(world.id(0));
            world.advance(MS);
        }
        for i in 0..300 {
            world.done(0, MS.scale(f64::from(300 - i)), Ok(()));
        }
        assert_eq!(world.table.in_flight(world.id(0)), 0);
        assert!([0, 1].contains(&world.send()));
    }
}
