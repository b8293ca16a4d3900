//! Random by weights of throughput over latency; an endpoint whose open calls are late weighs less at once.
//!
//! Origin: brpc `la`, the "locality-aware" balancer (`locality_aware_load_balancer.h` and `.cpp`, `docs/cn/lalb.md`).
//! Its locality is in the latency; zones play no part.
//! Observes: latency, outcomes, throughput and the age of calls that this client has open. Not weights.
//! Cost: O(log n) a pick and a call ended: a walk in a complete binary tree of weights.
//! Draws: one a pick, and one more for each endpoint that turned out too late or not ready, at most n; none for one
//! endpoint.
//! Fails when: throughput is so low that a window of 128 answers is older than what it should tell; all endpoints get
//! slow together, because weights are only relative.
//!
//! A failed attempt counts as what brpc takes it for: the more of the call's retries are left to mend it, the more its own
//! latency, and the fewer, the more the timeout.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `lalb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Weight below which none falls: 1 or more. 1008680231 is one call a second that takes one microsecond.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub min_weight: u32,
    /// How many times the mean latency open calls may be old, on the mean, before the weight falls: 1 or more.
    #[serde(deserialize_with = "ratio")]
    #[schemars(range(min = 1))]
    pub punish_inflight_ratio: f64,
    /// How many times its own latency a failed attempt counts as, as far as retries may still mend it: 1 or more.
    #[serde(deserialize_with = "ratio")]
    #[schemars(range(min = 1))]
    pub punish_error_ratio: f64,
    /// What the last attempt counts as if it fails.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            min_weight: 1_000,
            punish_inflight_ratio: 1.5,
            punish_error_ratio: 1.2,
            timeout: Duration::from_millis(500),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Lalb {
            config: self.clone(),
            retries: i64::from(context.retries),
            rand: context.seed.stream("lalb"),
            places: Slots::new(),
            nodes: vec![],
            tree: Tree::default(),
        })
    }
}

#[derive(Debug)]
struct Lalb {
    config: Config,
    /// Further attempts that a call may make.
    retries: i64,
    rand: Rand,
    /// Where each member stands in the tree.
    places: Slots<usize>,
    nodes: Vec<Node>,
    tree: Tree,
}

/// What is learned of an endpoint, in brpc's whole microseconds.
#[derive(Debug)]
struct Node {
    id: EndpointId,
    base: i64,
    /// Mean latency of the window; 0 until the first answer.
    latency: i64,
    /// Answers of the window: the sum of latencies up to it, and when it came.
    window: VecDeque<(i64, i64)>,
    /// Times at which open calls began, added up, and how many.
    begun: i128,
    open: i64,
}

impl Node {
    fn new(id: EndpointId, base: i64) -> Node {
        Node { id, base, latency: 0, window: VecDeque::with_capacity(WINDOW), begun: 0, open: 0 }
    }

    /// The weight now: less than the base while open calls are late.
    fn weight(&self, config: &Config, now: i64) -> i64 {
        let mut weight = self.base;
        if self.open > 0 && self.latency > 0 {
            let age = now - (self.begun / i128::from(self.open)) as i64;
            let punished = (self.latency as f64 * config.punish_inflight_ratio) as i64;
            if age >= punished {
                weight = (i128::from(weight) * i128::from(punished) / i128::from(age.max(1))) as i64;
            }
        }
        weight.max(i64::from(config.min_weight))
    }

    /// Takes in an answer, or what a failure counts as.
    fn learn(&mut self, now: i64, took: i64, failed: Option<Failed>) {
        match (failed, self.window.back_mut()) {
            (None, last) => {
                let sum = last.map_or(0, |(sum, _)| *sum) + took;
                if self.window.len() == WINDOW {
                    self.window.pop_front();
                }
                self.window.push_back((sum, now));
            }
            // A failure makes the answer before it later and longer, so it lowers throughput and raises latency.
            (Some(failed), Some(last)) => *last = (last.0 + failed.counts, now),
            // Of an endpoint that has not answered yet nothing is known but that.
            (Some(failed), None) => self.window.push_back((failed.counts.max(failed.timeout), now)),
        }
        self.rebase(now);
    }

    fn rebase(&mut self, now: i64) {
        let (Some(first), Some(last)) = (self.window.front(), self.window.back()) else { return };
        let n = self.window.len() as i64;
        let mut throughput = SCALE;
        if now > first.1 {
            if n == WINDOW as i64 || now >= first.1 + SECOND {
                throughput = ((n - 1) * SECOND * SCALE / (now - first.1)).max(SCALE);
            }
            self.latency = (last.0 - first.0) / (n - 1);
        } else if n == 1 {
            self.latency = last.0;
        } else {
            return;
        }
        self.base = (throughput / self.latency.max(1)).min(MOST);
    }
}

/// A failure, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Failed {
    /// What it counts as.
    counts: i64,
    /// What it would count as at worst.
    timeout: i64,
}

impl Failed {
    /// An attempt that failed after so long, with so many retries done and left. Without any retry the timeout counts
    /// (`Weight::Update`).
    fn after(took: i64, done: i64, left: i64, config: &Config) -> Failed {
        let timeout = (config.timeout.as_nanos() / 1_000) as i64;
        let (done, left) = if done + left == 0 { (1, 0) } else { (done, left) };
        let own = (took as f64 * config.punish_error_ratio) as i64;
        Failed { counts: (left * own + done * timeout) / (done + left), timeout }
    }
}

/// Weights in a complete binary tree: the children of `i` are `2i + 1` and `2i + 2`, and each place knows the sum of
/// the weights below it on the left.
#[derive(Debug, Default)]
struct Tree {
    weights: Vec<i64>,
    left: Vec<i64>,
    total: i64,
}

impl Tree {
    fn push(&mut self, weight: i64) {
        self.weights.push(0);
        self.left.push(0);
        self.set(self.weights.len() - 1, weight);
    }

    fn pop(&mut self) {
        self.set(self.weights.len() - 1, 0);
        self.weights.pop();
        self.left.pop();
    }

    fn set(&mut self, place: usize, weight: i64) {
        let change = weight - self.weights[place];
        self.weights[place] = weight;
        self.total += change;
        let mut place = place;
        while place > 0 {
            let parent = (place - 1) / 2;
            if place == 2 * parent + 1 {
                self.left[parent] += change;
            }
            place = parent;
        }
    }

    /// The place that a point in `[0, total)` falls on, and how far into its weight.
    fn find(&self, mut point: i64) -> (usize, i64) {
        let mut place = 0;
        loop {
            let (left, own) = (self.left[place], self.weights[place]);
            if point < left {
                place = 2 * place + 1;
            } else if point < left + own {
                return (place, point - left);
            } else {
                point -= left + own;
                place = 2 * place + 2;
            }
        }
    }
}

impl Balancer for Lalb {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        // The last one fills the place of one that leaves; who joins comes last, with the mean of all weights.
        let mut place = 0;
        let members = std::collections::BTreeSet::from_iter(endpoints.members);
        while place < self.nodes.len() {
            if members.contains(&self.nodes[place].id) {
                place += 1;
                continue;
            }
            let last = self.tree.weights[self.nodes.len() - 1];
            self.tree.pop();
            self.places.remove(self.nodes.swap_remove(place).id);
            if place < self.nodes.len() {
                self.tree.set(place, last);
                self.places.insert(self.nodes[place].id, place);
            }
        }
        for id in endpoints.members {
            if self.places.get(*id).is_none() {
                let n = self.nodes.len() as i64;
                let weight = if n == 0 { SCALE } else { self.tree.total / n };
                self.places.insert(*id, self.nodes.len());
                self.nodes.push(Node::new(*id, weight));
                self.tree.push(weight);
            }
        }
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        for _ in 0..self.nodes.len() {
            let (place, point) = self.tree.find(self.rand.below(self.tree.total as u64) as i64);
            let node = &mut self.nodes[place];
            let ready = endpoints.is_ready(node.id);
            if !ready {
                // Whoever is not ready weighs no more than the mean, so that it does not swallow draws.
                node.base = node.base.min(self.tree.total / self.tree.weights.len() as i64);
            }
            let (id, weight) = (node.id, node.weight(&self.config, micros(now)));
            self.tree.set(place, weight);
            // The late calls may have made the weight so small that the point is beyond it.
            if ready && weight >= point {
                return Pick::To(id);
            }
        }
        // brpc fails the call here; any ready endpoint is better.
        Pick::To(endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize])
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let (Feedback::Sent { endpoint } | Feedback::Done { endpoint, .. }) = *feedback else { return };
        let Some(place) = self.places.get(endpoint).copied() else { return };
        let node = &mut self.nodes[place];
        let at = micros(now);
        match *feedback {
            Feedback::Done { took, outcome, retried, .. } => {
                node.begun -= i128::from(micros(Instant::from_nanos(now.as_nanos().saturating_sub(took.as_nanos()))));
                node.open -= 1;
                let took = (took.as_nanos() / 1_000) as i64;
                if took > 0 {
                    let done = i64::from(retried);
                    let failed = || Failed::after(took, done, (self.retries - done).max(0), &self.config);
                    node.learn(at, took, outcome.is_err().then(failed));
                    self.tree.set(place, node.weight(&self.config, at));
                }
            }
            _ => {
                node.begun += i128::from(at);
                node.open += 1;
            }
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for (node, weight) in self.nodes.iter().zip(&self.tree.weights) {
            visit("weight", node.id, *weight as f64);
        }
    }
}

fn micros(at: Instant) -> i64 {
    (at.as_nanos() / 1_000) as i64
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let ratio = f64::deserialize(deserializer)?;
    if (1.0..=1_000.0).contains(&ratio) {
        return Ok(ratio);
    }
    Err(serde::de::Error::custom(format_args!("a punishment is 1 to 1000 times, not {ratio}")))
}

/// Answers that are looked back on.
const WINDOW: usize = 128;

/// A second in microseconds.
const SECOND: i64 = 1_000_000;

/// What one call a second of one microsecond weighs: (2^63 - 1) / 72 000 000 / 127, rounded down twice.
const SCALE: i64 = i64::MAX / 72_000_000 / 127;

/// No weight is above this, so that thousands of them can be added.
const MOST: i64 = 1 << 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::CallId;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::channel::{Action, Channel, Input, Start};
    use crate::policy::endpoints::Health;

    const ID: EndpointId = EndpointId::new(0, 0);

    /// After 128 answers, 1 ms apart, that took so long.
    fn answered(took_us: i64) -> Node {
        let mut node = Node::new(ID, SCALE);
        (0..128).for_each(|i| node.learn(i * 1_000, took_us, None));
        node
    }

    #[test]
    fn weights_of_the_source() {
        assert_eq!(SCALE, 1_008_680_231);
        let config = Config::default();
        assert_eq!(answered(2_000).weight(&config, 127_000), 504_340_115);
        assert_eq!(answered(4_000).weight(&config, 127_000), 252_170_057);
        let mut late = answered(2_000);
        (late.open, late.begun) = (2, 2 * 121_000);
        assert_eq!(late.weight(&config, 127_000), 252_170_057, "6 ms old where 3 ms are fair");
        assert_eq!(late.weight(&config, 123_999), 504_340_115, "not late yet");
        assert_eq!(Node::new(ID, 7).weight(&config, 0), 1_000, "the least there is");
    }

    #[test]
    fn throughput_counts_once_it_can_be_told() {
        let mut node = Node::new(ID, 5);
        node.learn(1_000, 50, None);
        assert_eq!((node.base, node.latency), (SCALE / 50, 50), "one answer is one call a second");
        node.learn(1_000, 70, None);
        assert_eq!(node.base, SCALE / 50, "no time has passed");
        node.learn(2_000, 100, None);
        assert_eq!((node.base, node.latency), (SCALE / 85, 85));
        node.learn(1_001_000, 100, None);
        assert_eq!(node.base, 3 * SCALE / 90, "three calls in the second after the first");
    }

    #[test]
    fn a_failure_lengthens_the_answer_before_it() {
        let mut node = answered(2_000);
        node.learn(128_000, 1, Some(Failed { counts: 70_000, timeout: 500_000 }));
        assert_eq!((node.window.len(), node.latency), (128, (127 * 2_000 + 70_000) / 127));
        let mut first = Node::new(ID, 5);
        first.learn(1_000, 1, Some(Failed { counts: 70_000, timeout: 500_000 }));
        assert_eq!(first.latency, 500_000, "without an answer the timeout, at least");
        let mut slow = Node::new(ID, 5);
        slow.learn(1_000, 1, Some(Failed { counts: 720_000, timeout: 500_000 }));
        assert_eq!(slow.latency, 720_000);
    }

    #[test]
    fn a_failure_counts_by_the_retries_that_may_mend_it() {
        // The examples of `Weight::Update`, for 2 ms where the timeout is 500: its own latency is punished by 1.2.
        let counts =
            |retried, retries: i64| Failed::after(2_000, retried, retries - retried, &Config::default()).counts;
        assert_eq!(counts(0, 0), 500_000);
        assert_eq!([counts(0, 1), counts(1, 1)], [2_400, 500_000]);
        assert_eq!([counts(0, 2), counts(1, 2), counts(2, 2)], [2_400, (2_400 + 500_000) / 2, 500_000]);
    }

    #[test]
    fn retries_of_the_contender_soften_failures() {
        let failing_share = |retries: u32, retried: u32| {
            let context = Context { retries, ..Context::lone(1) };
            let mut world = World::of((0..2).map(|i| listing(i, 1)).collect(), Config::default().build(&context));
            world.retried = retried;
            let ms = Duration::from_millis;
            for i in 0..300 {
                let bad = i % 10 == 0;
                world.sent(world.id(0));
                world.sent(world.id(1));
                world.advance(ms(2));
                world.done(0, ms(2), Ok(()));
                let outcome = if bad { Err(Failure::of(Cause::Connection)) } else { Ok(()) };
                world.done(1, ms(2), outcome);
            }
            (0..10_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(1))).count()
        };
        let (alone, mended, last) = (failing_share(0, 0), failing_share(3, 0), failing_share(3, 3));
        assert_eq!(alone, last, "the last of four attempts is as one without retries");
        assert!((4_000..5_000).contains(&mended), "{mended}: a tenth fewer answers, and a latency 22 % higher");
        assert!(alone < 500, "{alone}: each failure is 500 ms among nine answers of 2");
    }

    #[test]
    fn a_point_falls_on_its_weight_in_tree_order() {
        let mut tree = Tree::default();
        [5, 3, 2, 4].into_iter().for_each(|weight| tree.push(weight));
        // In order: 3 below 1 on its left, then 1, 0, 2.
        let found: Vec<usize> = (0..14).map(|point| tree.find(point).0).collect();
        assert_eq!(found, [3, 3, 3, 3, 1, 1, 1, 0, 0, 0, 0, 0, 2, 2]);
        tree.set(3, 0);
        tree.set(1, 1);
        assert_eq!((0..8).map(|point| tree.find(point)).collect::<Vec<_>>()[..2], [(1, 0), (0, 0)]);
        tree.pop();
        assert_eq!(tree.total, 8);
    }

    #[test]
    fn calls_follow_speed_and_late_ones_cost_weight_at_once() {
        let mut world = World::equal(2, &Config::default());
        let ms = Duration::from_millis;
        for _ in 0..300 {
            world.sent(world.id(0));
            world.sent(world.id(1));
            world.advance(ms(2));
            world.done(0, ms(2), Ok(()));
            world.advance(ms(4));
            world.done(1, ms(6), Ok(()));
        }
        // Same throughput, a third of the latency: three times the weight.
        let fast = (0..8_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        assert!((5_800..6_200).contains(&fast), "{fast}");
        world.sent(world.id(0));
        world.advance(ms(300));
        // Its one open call is 300 ms old where 3 ms are fair: a hundredth of its weight.
        let fast = (0..8_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        assert!((130..360).contains(&fast), "{fast} where 3 of 103 are expected");
    }

    #[test]
    fn whoever_turns_out_to_be_late_is_passed_over_at_once() {
        let first_pick = |seed| {
            let mut world = World::seeded(seed, &[1, 1], |context| Config::default().build(context));
            world.sent(world.id(0));
            world.advance(Duration::from_millis(1));
            world.done(0, Duration::from_millis(1), Ok(()));
            world.sent(world.id(0));
            world.sent(world.id(1));
            world.advance(Duration::from_millis(1));
            world.done(1, Duration::from_millis(1), Ok(()));
            // Level weights, but the call on 0 is a second old by now.
            world.advance(Duration::from_secs(1));
            world.send()
        };
        let late = (0..60).filter(|seed| first_pick(*seed) == 0).count();
        assert!(late < 8, "{late} of 60 first picks, where half would be fair without a look at its open call");
    }

    #[test]
    fn an_endpoint_that_is_not_ready_swallows_no_draws() {
        let mut world = World::equal(3, &Config::default());
        world.sent(world.id(0));
        world.advance(Duration::from_micros(10));
        world.done(0, Duration::from_micros(10), Ok(()));
        world.health(1, Health::Failed);
        assert!((0..500).all(|_| world.pick(&Request::plain()) != Pick::To(world.id(1))));
        world.list((1..5).map(|i| listing(i, 1)).collect());
        world.list((0..5).map(|i| listing(i, 1)).collect());
        let counts = world.counts(1_000);
        assert!(counts[1] == 0 && counts.iter().filter(|count| **count > 0).count() == 4, "{counts:?}");
    }

    #[test]
    fn errors_are_taken_at_the_timeout() {
        let mut world = World::equal(2, &Config::default());
        for place in [0, 1] {
            world.sent(world.id(place));
            world.advance(Duration::from_millis(1));
            let outcome = if place == 0 { Err(Failure::of(Cause::Backend)) } else { Ok(()) };
            world.done(place, Duration::from_millis(1), outcome);
        }
        let failing = (0..5_010).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        assert!(failing < 40, "{failing} where 1 of 501 is expected");
    }

    #[test]
    fn a_channel_tells_how_many_retries_are_left() {
        let latencies = |retries: u32| {
            let retry = format!(r#"{{ "attempts": {}, "backoff": "1ms" }}"#, retries + 1);
            let text = format!(r#"{{ "balancer": {{ "lalb": {{ "timeout": "5ms" }} }}, "retry": {retry} }}"#);
            let mut channel = Channel::new(&serde_json::from_str(&text).unwrap(), &Context::lone(1));
            channel.on_input(Instant::ZERO, Input::Begin([listing(0, 1)].into()));
            let start = Start { call: CallId(0), tag: 0, hash: None, random: 0, class: 0, deadline: None };
            channel.on_input(Instant::ZERO, Input::Start(start));
            let (mut now, mut latencies) = (Instant::ZERO, vec![]);
            loop {
                channel.on_timeout(now);
                match channel.poll_action() {
                    Some(Action::Send { attempt, .. }) => {
                        now += Duration::from_millis(6);
                        let outcome = Err(Failure::of(Cause::Connection));
                        channel.on_input(now, Input::Replied { attempt, outcome, load: None });
                        channel.gauges(&mut |_, _, weight| latencies.push(SCALE / weight as i64 / 100));
                    }
                    Some(Action::Complete { .. }) => return latencies,
                    _ => now += Duration::from_millis(1),
                }
            }
        };
        // In tenths of a millisecond. Each attempt takes 6 ms: 7.2 as far as retries may mend it, else the timeout of 5. Each
        // failure adds to the one before it.
        assert_eq!(latencies(0), [50]);
        assert_eq!(latencies(1), [72, 72 + 50]);
        assert_eq!(latencies(2), [72, 72 + 61, 72 + 61 + 50]);
    }
}
