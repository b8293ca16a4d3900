//! Endpoints that have just become ready weigh less for a while; the child balancer sees the weights of the moment.
//!
//! Origin: Envoy slow start (`load_balancer_impl.cc`), HAProxy `slowstart`, the slow start of AWS ALB target groups,
//! Dubbo's warm-up (`AbstractLoadBalance`).
//! Observes: since when each endpoint is ready; static weights; what its child observes.
//! Cost: that of the child; O(n) a step while anyone warms up.
//! Draws: none of its own.
//! Fails when: the child looks at no weights, or only when it picks; all endpoints are new together, because the
//! factors cancel; the window is shorter than the warm-up of the backend.
//!
//! The child is told of new weights once a step, and a child that begins anew when weights change does so. Envoy
//! supports it for its round robin and least request only; on a ring keys would move with every step.

use serde::{Deserialize, Serialize};

use super::weighted_target::Child;
use crate::base::id::EndpointId;
use crate::base::math;
use crate::base::quantity::Ratio;
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::read::{above_zero, share, some_time};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::Endpoint;

/// Parameters of `slow_start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer that sees the weights of the moment: one that looks at weights.
    pub child: Child,
    /// How long an endpoint warms up.
    #[serde(deserialize_with = "some_time")]
    pub window: Duration,
    /// How its weight grows meanwhile.
    pub shape: Shape,
    /// Envoy: above 1 it grows faster at first, below 1 slower.
    #[serde(deserialize_with = "above_zero")]
    pub aggression: f64,
    /// Envoy: the least factor, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub min_weight: f64,
    /// Endpoints of the first list do not warm up until they have failed once (HAProxy, ALB). In Envoy they do, all
    /// alike.
    pub exempt_first: bool,
    /// How often the child is told.
    #[serde(deserialize_with = "some_time")]
    pub step: Duration,
}

/// How a weight grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `max(f^(1/aggression), min_weight)` for the elapsed share `f` of the window, at least a millisecond of it.
    #[default]
    Envoy,
    /// From 1 % to all of it (HAProxy, ALB).
    Linear,
    /// The whole part of the weight times the elapsed share, at least 1 (Dubbo, where weights are 100 by default).
    Dubbo,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Child::of(Spec::WrrEdf(Default::default())),
            window: Duration::from_secs(60),
            shape: Shape::Envoy,
            aggression: 1.0,
            min_weight: 0.1,
            exempt_first: true,
            step: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(SlowStart {
            config: self.clone(),
            child: self.child.spec().build(&context.child("child")),
            old: Slots::new(),
            seen_any: false,
            next: None,
        })
    }

    /// The weight of an endpoint that has been ready for `age`, [`FINE`] times as fine as the weight itself.
    fn weight(&self, weight: u32, age: Duration) -> u32 {
        let whole = u64::from(weight) * FINE;
        if age >= self.window {
            return whole.min(u64::from(u32::MAX)) as u32;
        }
        let fine = match self.shape {
            Shape::Envoy => whole as f64 * self.envoy_factor(age),
            Shape::Linear => whole as f64 * self.elapsed(age).max(0.01),
            Shape::Dubbo => ((f64::from(weight) * self.elapsed(age)) as u64).max(1) as f64 * FINE as f64,
        };
        // Weight 0 stays 0; nobody else falls to it.
        if weight == 0 { 0 } else { math::round_to_u64(fine).clamp(1, u64::from(u32::MAX)) as u32 }
    }

    fn elapsed(&self, age: Duration) -> f64 {
        age.as_nanos() as f64 / self.window.as_nanos() as f64
    }

    fn envoy_factor(&self, age: Duration) -> f64 {
        let elapsed = self.elapsed(age.max(Duration::from_millis(1)));
        math::pow(elapsed, 1.0 / self.aggression).max(self.min_weight)
    }
}

struct SlowStart {
    config: Config,
    child: Box<dyn Balancer>,
    /// Members of the first list, and since when they were ready first: they need no warming up from then on.
    old: Slots<Option<Instant>>,
    seen_any: bool,
    /// When the child is told of new weights, while anyone warms up.
    next: Option<Instant>,
}

impl SlowStart {
    fn is_warming(&self, endpoint: &Endpoint, now: Instant) -> bool {
        let exempt = self.old.get(endpoint.id).copied().flatten() == Some(endpoint.ready_since);
        !exempt && now.since(endpoint.ready_since) < self.config.window
    }

    /// Notes who is of the first list, and when it first became ready.
    fn note(&mut self, endpoints: &Endpoints<'_>) {
        let first = !self.seen_any && self.config.exempt_first;
        if first || !self.old.is_empty() {
            let before = std::mem::take(&mut self.old);
            for id in endpoints.members.iter().filter(|id| first || before.get(**id).is_some()) {
                let known = before.get(*id).copied().flatten();
                let since = || endpoints.get(*id).filter(|_| endpoints.is_ready(*id)).map(|e| e.ready_since);
                self.old.insert(*id, known.or_else(since));
            }
        }
        self.seen_any |= !endpoints.members.is_empty();
    }

    /// Shows the child the weights of the moment.
    fn show(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let members = || endpoints.ready.iter().filter_map(|id| endpoints.get(*id));
        if !members().any(|endpoint| self.is_warming(endpoint, now)) {
            self.next = None;
            return self.child.on_endpoints(now, endpoints);
        }
        let fine = |endpoint: &Endpoint| {
            let warming = self.is_warming(endpoint, now);
            let age = if warming { now.since(endpoint.ready_since) } else { Duration::MAX };
            self.config.weight(endpoint.weight, age)
        };
        let table = endpoints.table.reweighted(fine);
        let shown = Endpoints { table: &table, ..*endpoints };
        self.child.on_endpoints(now, &shown);
        let step = self.config.step.as_nanos();
        self.next = Some(Instant::from_nanos((now.as_nanos() / step + 1).saturating_mul(step)));
    }
}

impl Balancer for SlowStart {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.note(endpoints);
        self.show(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.child.pick(now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.child.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.child.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.next.into_iter().chain(self.child.next_timeout()).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        if self.child.next_timeout().is_some_and(|at| at <= now) {
            self.child.on_timeout(now, endpoints);
        }
        if self.next.is_some_and(|at| at <= now) {
            self.show(now, endpoints);
        }
    }

    fn connects_all(&self) -> bool {
        self.child.connects_all()
    }

    fn heeds_health(&self) -> bool {
        self.child.heeds_health()
    }

    fn keeps_to_some(&self) -> bool {
        self.child.keeps_to_some()
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.child.gauges(visit);
    }
}

/// While anyone warms up weights are multiplied by this, so that a fraction of a small one can be told.
const FINE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    const AGES: [u64; 5] = [0, 6, 15, 30, 45];

    #[test]
    fn factors_of_envoy() {
        for (aggression, expected) in [
            (1.0, ["0.100000", "0.100000", "0.250000", "0.500000", "0.750000"]),
            (2.0, ["0.100000", "0.316228", "0.500000", "0.707107", "0.866025"]),
            (0.5, ["0.100000", "0.100000", "0.100000", "0.250000", "0.562500"]),
        ] {
            let config = Config { aggression, ..Config::default() };
            let factors = AGES.map(|age| format!("{:.6}", config.envoy_factor(Duration::from_secs(age))));
            assert_eq!(factors, expected, "aggression {aggression}");
        }
    }

    #[test]
    fn weights_of_the_others() {
        let of = |shape, weight, age| {
            let window = Duration::from_secs(600);
            Config { shape, window, ..Config::default() }.weight(weight, Duration::from_secs(age))
        };
        assert_eq!([0, 60, 300, 600].map(|age| of(Shape::Linear, 2, age)), [20, 200, 1_000, 2_000]);
        assert_eq!([0, 3, 60, 603].map(|age| of(Shape::Dubbo, 100, age)), [1_000, 1_000, 10_000, 100_000]);
        assert_eq!([0, 599, 600].map(|age| of(Shape::Envoy, 0, age)), [0; 3]);
    }

    fn share(world: &mut World, place: usize) -> f64 {
        world.counts(4_000)[place] as f64 / 4_000.0
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.02, "{found} where {expected} is expected");
    }

    #[test]
    fn a_newcomer_grows_into_its_share() {
        let mut world = World::equal(1, &Config::default());
        near(share(&mut world, 0), 1.0);
        world.list(vec![listing(0, 1), listing(1, 1)]);
        for (seconds, factor) in [(0, 0.1), (15, 0.25), (15, 0.5), (15, 0.75), (15, 1.0)] {
            world.advance(Duration::from_secs(seconds));
            near(share(&mut world, 1), factor / (1.0 + factor));
        }
        assert_eq!(world.balancer.next_timeout(), None, "nothing is left to tell");
    }

    #[test]
    fn a_child_is_woken_at_its_own_times() {
        use crate::policy::balancer::LoadReport;
        let config = toml::from_str::<Config>("child = { orca_wrr = { blackout = '0s' } }").unwrap();
        let mut world = World::equal(2, &config);
        for (place, cpu) in [(0, 0.8), (1, 0.2)] {
            let report = LoadReport { qps: 100.0, cpu, ..LoadReport::default() };
            world.sent(world.id(place));
            world.done_with(place, Duration::ZERO, Ok(()), Some(&report));
        }
        near(share(&mut world, 0), 0.5);
        world.advance(Duration::from_secs(2));
        near(share(&mut world, 0), 0.2);
    }

    #[test]
    fn the_first_list_warms_up_only_after_a_failure() {
        let mut world = World::weighted(&[3, 1], &Config::default());
        near(share(&mut world, 0), 0.75);
        assert_eq!(world.balancer.next_timeout(), None);
        world.advance(Duration::from_secs(100));
        world.health(0, Health::Failed);
        world.health(0, Health::Healthy);
        near(share(&mut world, 0), 0.3 / 1.3);
        let mut envoy = World::weighted(&[3, 1], &Config { exempt_first: false, ..Config::default() });
        near(share(&mut envoy, 0), 0.75);
        assert!(envoy.balancer.next_timeout().is_some(), "all alike, so the factors cancel");
    }
}
