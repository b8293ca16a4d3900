//! Endpoints ranked by what replies say of their queues and service times, cubed; each gets no more calls than it has
//! been seen to answer, and a call for whom nobody has room waits.
//!
//! Origin: Suresh, Canini, Schmid, Feldmann, *C3: Cutting Tail Latency in Cloud Data Stores via Adaptive Replica
//! Selection*, NSDI 2015, §3; the authors' simulator absim (`simulations/client.py`).
//! Observes: waiting calls and service time in load reports on replies, latency, calls that this client has open. Not
//! weights.
//! Cost: O(n log n) a pick.
//! Draws: one a pick: where ties begin.
//! Fails when: the fleet is large, because every pick ranks all of it; calls are rare or come in bursts, because an
//! endpoint that was asked for little is allowed little and calls wait at the client; replies carry no reports, because
//! latency alone then stands for the service time; many clients do not know how many they are.

use serde::{Deserialize, Serialize};

use crate::base::bounds::above_zero as some_time;
use crate::base::id::EndpointId;
use crate::base::math;
use crate::base::quantity::Ratio;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::status::Cause;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{above_zero, share};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, LoadReport, Pick, Request, Want};

/// Parameters of `c3`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether endpoints get no more calls than they answer; without, every call goes to the first in the ranking.
    pub rate_control: bool,
    /// What the estimate of a queue is raised to.
    #[serde(deserialize_with = "above_zero")]
    pub exponent: f64,
    /// Clients that share the endpoints; by default as many as there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// How much of an average the newest value is, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub smoothing: f64,
    /// Rates are for this stretch of time.
    #[serde(deserialize_with = "some_time")]
    pub interval: Duration,
    /// What remains of a rate that was too high, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub beta: f64,
    /// How fast a rate grows with the cube of the time in ms since it was too high.
    #[serde(deserialize_with = "above_zero")]
    pub gamma: f64,
    /// The most by which a rate grows at once.
    #[serde(deserialize_with = "above_zero")]
    pub max_step: f64,
    /// The first rate, and calls that may follow each other at once.
    #[serde(deserialize_with = "above_zero")]
    pub first_rate: f64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            rate_control: true,
            exponent: 3.0,
            clients: None,
            smoothing: 0.9,
            interval: Duration::from_millis(20),
            beta: 0.2,
            gamma: 4e-6,
            max_step: 10.0,
            first_rate: 10.0,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(C3 {
            clients: f64::from(self.clients.unwrap_or(context.clients)),
            config: self.clone(),
            rand: context.seed.stream("c3"),
            nodes: Slots::new(),
            ranking: vec![],
            wake: None,
            again: false,
        })
    }

    /// The rate after the last was too high at `highest`, so many ms ago (§3.3, after CUBIC).
    fn cubic(&self, highest: f64, ms: f64) -> f64 {
        let from_flat = ms - math::pow(self.beta * highest / self.gamma, 1.0 / 3.0);
        self.gamma * (from_flat * from_flat * from_flat) + highest
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone)]
struct Node {
    /// Averages, once it has answered: response and service time in ms, waiting calls.
    seen: Option<(f64, f64, f64)>,
    rate: Rate,
}

/// How many calls an endpoint may get, and how many answers it gives, for each interval.
#[derive(Debug, Clone)]
struct Rate {
    send: f64,
    tokens: f64,
    filled_at: Instant,
    receive: f64,
    answers: f64,
    /// The number of the interval that `answers` counts.
    interval: u64,
    /// The rate that was last too high, and when.
    highest: f64,
    lowered_at: Instant,
    raised_at: Instant,
}

impl Node {
    fn new(now: Instant, config: &Config) -> Node {
        let first = config.first_rate;
        let rate = Rate {
            send: first,
            tokens: first.max(1.0),
            filled_at: now,
            receive: 0.0,
            answers: 0.0,
            interval: now.as_nanos() / config.interval.as_nanos(),
            highest: first,
            lowered_at: now,
            raised_at: now,
        };
        Node { seen: None, rate }
    }

    /// Takes over what an answer tells. One without a report tells the latency, as if all of it were service.
    fn learn(&mut self, took: Duration, load: Option<&LoadReport>, smoothing: f64) {
        let response = took.as_millis_f64();
        let service = load.and_then(|load| load.service).map(Duration::as_millis_f64);
        let waiting = load.map(|load| f64::from(load.waiting));
        let mix = |old: f64, new: f64| smoothing * new + (1.0 - smoothing) * old;
        self.seen = Some(match self.seen {
            None => (response, service.unwrap_or(response), waiting.unwrap_or(0.0)),
            Some((r, t, q)) => (mix(r, response), mix(t, service.unwrap_or(response)), mix(q, waiting.unwrap_or(0.0))),
        });
    }

    /// `R - T + q^3 T` with `q = 1 + open calls * clients + waiting`; 0 before the first answer.
    fn score(&self, open: u32, clients: f64, exponent: f64) -> f64 {
        let Some((response, service, waiting)) = self.seen else { return 0.0 };
        let queue = 1.0 + f64::from(open) * clients + waiting;
        response - service + math::pow(queue, exponent) * service
    }
}

impl Rate {
    fn fill(&mut self, now: Instant, config: &Config) {
        let intervals = now.since(self.filled_at).as_nanos() as f64 / config.interval.as_nanos() as f64;
        self.tokens = (self.tokens + self.send * intervals).min(config.first_rate.max(1.0));
        self.filled_at = now;
    }

    /// How long until there is a token.
    fn wait(&self, config: &Config) -> Duration {
        if self.tokens > 1.0 - CRUMB {
            return Duration::ZERO;
        }
        config.interval.scale((1.0 - self.tokens) / self.send).saturating_add(Duration::from_nanos(1))
    }

    /// An answer came: counts it, and adapts the rate (§3.3, algorithm 2; hysteresis as in absim).
    fn adapt(&mut self, now: Instant, config: &Config) {
        self.fill(now, config);
        let interval = now.as_nanos() / config.interval.as_nanos();
        for passed in 0..(interval - self.interval).min(LONG_AGO) {
            let answers = if passed == 0 { std::mem::take(&mut self.answers) } else { 0.0 };
            self.receive = RECEIVE_SMOOTHING * answers + (1.0 - RECEIVE_SMOOTHING) * self.receive;
        }
        self.interval = interval;
        self.answers += 1.0;
        if self.send < self.receive {
            self.raised_at = now;
            let grown = config.cubic(self.highest, now.since(self.lowered_at).as_millis_f64());
            self.send = grown.min(self.send + config.max_step).max(LEAST_RATE);
        } else if self.receive > 0.0
            && self.send > self.receive
            && now.since(self.raised_at) > config.interval.saturating_mul(HYSTERESIS)
        {
            self.highest = self.send;
            self.send = (self.send * config.beta).max(LEAST_RATE);
            self.lowered_at = now;
        }
    }
}

#[derive(Debug)]
struct C3 {
    config: Config,
    clients: f64,
    rand: Rand,
    nodes: Slots<Node>,
    /// Score, place in the order of this pick, and endpoint.
    ranking: Vec<(f64, usize, EndpointId)>,
    /// When the first token comes that a call waits for.
    wake: Option<Instant>,
    /// It has come.
    again: bool,
}

impl C3 {
    fn rank(&mut self, endpoints: &Endpoints<'_>) {
        let from = self.rand.below(endpoints.ready.len() as u64) as usize;
        let (before, after) = endpoints.ready.split_at(from);
        self.ranking.clear();
        for (place, id) in after.iter().chain(before).enumerate() {
            let open = endpoints.in_flight(*id);
            let score = self.nodes.get(*id).map_or(0.0, |node| node.score(open, self.clients, self.config.exponent));
            self.ranking.push((score, place, *id));
        }
        self.ranking.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }
}

impl Balancer for C3 {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let config = &self.config;
        follow(&mut self.nodes, endpoints, |_| Node::new(now, config));
        self.ranking.reserve(endpoints.ready.len());
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => self.rank(endpoints),
        }
        if !self.config.rate_control {
            return Pick::To(self.ranking[0].2);
        }
        let mut soonest = Duration::MAX;
        for (_, _, id) in &self.ranking {
            let Some(node) = self.nodes.get_mut(*id) else { continue };
            node.rate.fill(now, &self.config);
            let wait = node.rate.wait(&self.config);
            if wait.is_zero() {
                node.rate.tokens -= 1.0;
                return Pick::To(*id);
            }
            soonest = soonest.min(wait);
        }
        let at = now + soonest;
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        Pick::Queue
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, took, outcome, load, .. } = *feedback else { return };
        // A call that its caller gave up was not answered.
        if outcome.is_err_and(|failure| matches!(failure.cause, Cause::Cancelled | Cause::Deadline)) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(endpoint) {
            node.learn(took, load, self.config.smoothing);
            node.rate.adapt(now, &self.config);
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        std::mem::take(&mut self.again).then_some(Want::PickAgain)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.wake
    }

    fn on_timeout(&mut self, now: Instant, _endpoints: &Endpoints<'_>) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            self.again = true;
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.nodes.iter().for_each(|(id, node)| visit("rate", id, node.rate.send));
    }
}

/// How much of the rate of answers is that of the last interval (absim).
const RECEIVE_SMOOTHING: f64 = 0.1;
/// A rate that was raised is not lowered for so many intervals (absim).
const HYSTERESIS: u64 = 2;
/// No rate is lower (absim).
const LEAST_RATE: f64 = 0.01;
/// After so many intervals without an answer nothing is left of the rate.
const LONG_AGO: u64 = 500;
/// What rounding may take from a whole token.
const CRUMB: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;

    const MS: Duration = Duration::from_millis(1);

    fn node(response: f64, service: f64, waiting: f64) -> Node {
        Node { seen: Some((response, service, waiting)), ..Node::new(Instant::ZERO, &Config::default()) }
    }

    #[test]
    fn scores_cube_the_queue() {
        assert_eq!(node(6.0, 4.0, 1.0).score(0, 20.0, 3.0), 34.0);
        assert_eq!(node(6.0, 4.0, 1.0).score(1, 20.0, 3.0), 42_594.0);
        assert_eq!(node(22.0, 20.0, 1.0).score(0, 20.0, 3.0), 162.0);
        assert_eq!(Node::new(Instant::ZERO, &Config::default()).score(9, 20.0, 3.0), 0.0, "nothing is known yet");
    }

    #[test]
    fn rates_grow_with_the_cube_of_time() {
        let config = Config::default();
        let rate = |ms| format!("{:.4}", config.cubic(50.0, ms));
        assert_eq!([0.0, 50.0, 100.0, 150.0, 200.0].map(rate), ["40.0000", "47.4805", "49.8177", "50.0116", "51.0624"]);
        assert_eq!(format!("{:.4}", math::pow(0.2 * 50.0 / 4e-6, 1.0 / 3.0)), "135.7209");
    }

    #[test]
    fn averages_follow_the_newest() {
        let mut node = Node::new(Instant::ZERO, &Config::default());
        let load = |ms, waiting| LoadReport { service: Some(MS.saturating_mul(ms)), waiting, ..LoadReport::default() };
        node.learn(MS.saturating_mul(6), Some(&load(4, 1)), 0.9);
        assert_eq!(node.seen, Some((6.0, 4.0, 1.0)));
        node.learn(MS.saturating_mul(16), Some(&load(14, 11)), 0.9);
        assert_eq!(node.seen.map(|(r, t, q)| (r.round(), t.round(), q.round())), Some((15.0, 13.0, 10.0)));
        let mut silent = Node::new(Instant::ZERO, &Config::default());
        silent.learn(MS.saturating_mul(6), None, 0.9);
        assert_eq!(silent.seen, Some((6.0, 6.0, 0.0)), "no report: all of it counts as service");
    }

    fn answer(world: &mut World, place: usize, took: u64, service: u64, waiting: u32) {
        let load = LoadReport { service: Some(MS.saturating_mul(service)), waiting, ..LoadReport::default() };
        world.done_with(place, MS.saturating_mul(took), Ok(()), Some(&load));
    }

    #[test]
    fn the_unknown_first_and_then_the_shortest_queue() {
        let mut world = World::equal(3, &Config { clients: Some(1), ..Config::default() });
        let mut tried: Vec<usize> = vec![];
        for (took, waiting) in [(6, 5), (4, 0), (5, 2)] {
            let place = world.send();
            tried.push(place);
            answer(&mut world, place, took, 4, waiting);
        }
        tried.sort_unstable();
        assert_eq!(tried, [0, 1, 2], "whoever has not answered yet is tried first");
        let scores = |world: &mut World| {
            let place = world.send();
            answer(world, place, 4, 4, 0);
            place
        };
        let first = scores(&mut world);
        assert!((0..5).all(|_| scores(&mut world) == first));
    }

    #[test]
    fn calls_for_whom_nobody_has_room_wait_for_a_token() {
        let mut world = World::equal(2, &Config { first_rate: 2.0, ..Config::default() });
        for _ in 0..4 {
            world.send();
        }
        assert_eq!(world.pick(&Request::plain()), Pick::Queue, "each has had its two");
        // Two for each 20 ms: the next comes after 10 ms.
        world.advance(Duration::from_millis(9));
        assert_eq!(world.balancer.poll_want(), None);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        world.advance(Duration::from_micros(1_001));
        assert_eq!(world.balancer.poll_want(), Some(Want::PickAgain));
        assert!(matches!(world.pick(&Request::plain()), Pick::To(_)));
        assert_eq!(world.balancer.poll_want(), None);
    }

    #[test]
    fn a_rate_above_that_of_the_answers_is_lowered_and_grows_again() {
        let mut world = World::equal(2, &Config { clients: Some(1), ..Config::default() });
        let rate = |world: &World| {
            let mut rates = vec![];
            world.balancer.gauges(&mut |_, _, rate| rates.push(rate));
            rates[0]
        };
        // Two answers an interval where ten are allowed.
        for _ in 0..6 {
            world.advance(Duration::from_millis(10));
            world.sent(world.id(0));
            answer(&mut world, 0, 1, 1, 0);
        }
        assert!(rate(&world) <= 2.0, "{}", rate(&world));
        for _ in 0..400 {
            world.advance(Duration::from_millis(1));
            world.sent(world.id(0));
            answer(&mut world, 0, 1, 1, 0);
        }
        assert!(rate(&world) > 5.0, "{} where 20 are answered", rate(&world));
    }

    #[test]
    fn without_rate_control_nobody_waits() {
        let mut world = World::equal(2, &Config { rate_control: false, ..Config::default() });
        for _ in 0..500 {
            world.send();
        }
        assert_eq!(world.balancer.next_timeout(), None);
    }
}
