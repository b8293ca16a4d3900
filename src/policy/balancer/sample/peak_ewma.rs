//! Of two endpoints drawn, the one whose recent worst latency times open calls is lower.
//!
//! Origin: Finagle `PeakEwma.scala` and `P2CPick.scala`; tower `load/peak_ewma.rs` with `balance/p2c`; linkerd2-proxy
//! `linkerd/ewma`; brpc `p2c_ewma_load_balancer.cpp`; the penalty for failures is linkerd's load biaser (seed 1 s there: `default_rtt = "1s"`).
//! Observes: latency and calls that this client has open; with `failure_penalty` also outcomes. Weights with `brpc` only.
//! Cost: two exponentials a pick, one a call ended.
//! Draws: two a pick; with `variant = "finagle"` up to `max_effort` + 1 pairs while some listed endpoint is not
//! ready; none for one endpoint.
//! Fails when: failures are fast, because they look like excellent latency; peers are faster than `default_rtt`,
//! because a new endpoint then starves until its estimate has sunk, tau * ln(default_rtt / peer), and is flooded
//! when they are slower; one slow answer shuns an endpoint for long.

use serde::{Deserialize, Serialize};

use super::choices::{Choices, Sampling};
use crate::base::id::EndpointId;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::score::peak_ewma::{PeakEwma, Variant};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `peak_ewma`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose rules are followed where the implementations differ.
    pub variant: Variant,
    /// A latency's influence falls to 1/e in this time.
    pub tau: Duration,
    /// Estimate of an endpoint that has not answered yet; Finagle and brpc have none.
    pub default_rtt: Duration,
    /// What a failure counts as, at least; by default it counts as what it took. For brpc it is the call's timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_penalty: Option<Duration>,
    /// Finagle: pairs are drawn from all listed endpoints, anew up to so often while neither is ready.
    pub max_effort: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            variant: Variant::Tower,
            tau: Duration::from_secs(10),
            default_rtt: Duration::from_millis(30),
            failure_penalty: None,
            max_effort: 4,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let score = PeakEwma::new(self.variant, self.tau, self.default_rtt, self.failure_penalty);
        let pair = Choices::new(2, Sampling::Distinct, score, context.seed.stream("peak_ewma"));
        let max_effort = if self.variant == Variant::Finagle { self.max_effort } else { 0 };
        Box::new(TwoByLatency { pair, max_effort, ready: vec![] })
    }
}

#[derive(Debug)]
struct TwoByLatency {
    pair: Choices<PeakEwma>,
    max_effort: u32,
    /// By slot, while some member is not ready and that matters.
    ready: Vec<bool>,
}

impl TwoByLatency {
    fn is_ready(&self, id: EndpointId) -> bool {
        self.ready.get(id.slot()).copied().unwrap_or(false)
    }

    /// Finagle `P2CPick.scala`: of any two listed endpoints the healthier, else the less loaded; another two while
    /// that one cannot take the call. Its last resort is an endpoint that cannot; ours is a pair of ready ones.
    fn with_effort(&mut self, now: Instant, endpoints: &Endpoints<'_>) -> EndpointId {
        for _ in 0..self.max_effort {
            let (a, b) = self.pair.draw_two(endpoints.members);
            let pick = match (self.is_ready(a), self.is_ready(b)) {
                (true, false) => a,
                (false, true) => b,
                _ => self.pair.less_loaded(now, a, b, endpoints),
            };
            if self.is_ready(pick) {
                return pick;
            }
        }
        self.pair.choose(now, endpoints.ready, endpoints)
    }
}

impl Balancer for TwoByLatency {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.pair.on_endpoints(now, endpoints);
        self.ready.clear();
        if self.max_effort > 0 && endpoints.ready.len() < endpoints.members.len() {
            let slots = endpoints.ready.iter().map(|id| id.slot() + 1).max().unwrap_or(0);
            self.ready.resize(slots, false);
            for id in endpoints.ready {
                self.ready[id.slot()] = true;
            }
        }
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if endpoints.ready.len() < 2 || self.ready.is_empty() {
            return self.pair.pick(now, request, endpoints);
        }
        Pick::To(self.with_effort(now, endpoints))
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.pair.on_feedback(now, feedback, endpoints);
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for (id, latency) in self.pair.score().estimates() {
            visit("latency_ms", id, latency / 1e6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Connectivity;

    /// Endpoint 0 has long answered within `peer`; endpoint 1 is new.
    fn with_newcomer(variant: Variant, peer: Duration) -> World {
        let mut world = World::equal(1, &Config { variant, ..Config::default() });
        for _ in 0..20_000 {
            call(&mut world, peer);
        }
        world.list(vec![listing(0, 1), listing(1, 1)]);
        world
    }

    /// One call that takes so long, 10 ms after the last.
    fn call(world: &mut World, took: Duration) -> usize {
        let place = world.send();
        world.advance(took);
        world.done(place, took, Ok(()));
        world.advance(Duration::from_millis(10).saturating_sub(took));
        place
    }

    const MS: Duration = Duration::from_millis(1);
    const MS_100: Duration = Duration::from_millis(100);

    #[test]
    fn beside_fast_peers_a_newcomer_starves_until_its_estimate_has_sunk() {
        for variant in [Variant::Tower, Variant::Linkerd] {
            let mut world = with_newcomer(variant, MS);
            let joined = world.now;
            while call(&mut world, MS) == 0 {}
            // 10 s * ln(30 ms / 1 ms)
            let starved = (world.now - joined).as_secs_f64();
            assert!((33.9..34.1).contains(&starved), "{variant:?}: {starved} s");
        }
    }

    #[test]
    fn beside_slow_peers_it_is_flooded() {
        for variant in [Variant::Tower, Variant::Linkerd] {
            let mut world = with_newcomer(variant, MS_100);
            // 30, 60 and 90 ms against 100 ms.
            let places: Vec<usize> = (0..4).map(|_| world.send()).collect();
            assert_eq!(places, [1, 1, 1, 0], "{variant:?}");
        }
    }

    #[test]
    fn brpc_floods_a_newcomer_until_it_answers() {
        for (peer, calls) in [(MS, 999), (MS_100, 5_000)] {
            let mut world = with_newcomer(Variant::Brpc, peer);
            // 1 µs times open calls against the peer's 1 ms or 100 ms.
            assert!((0..calls).all(|_| world.send() == 1), "{peer:?}");
            world.done(1, peer.scale(2.0), Ok(()));
            assert_eq!(world.send(), 0, "{peer:?}");
        }
    }

    #[test]
    fn finagle_sends_exactly_one_call_to_find_out() {
        for peer in [MS, MS_100] {
            let mut world = with_newcomer(Variant::Finagle, peer);
            assert_eq!(world.send(), 1);
            for _ in 0..5_000 {
                assert_eq!(call(&mut world, peer), 0, "shunned until it answers");
            }
            world.done(1, peer.scale(0.5), Ok(()));
            assert_eq!(world.send(), 1);
        }
    }

    #[test]
    fn among_equals_the_first_drawn_and_of_two_the_faster() {
        let mut world = World::equal(2, &Config::default());
        assert!(world.counts(1_000).iter().all(|count| *count > 400));
        let slow = world.id(0);
        world.sent(slow);
        world.done(0, MS_100, Ok(()));
        assert_eq!(world.counts(1_000), [0, 1_000]);
    }

    #[test]
    fn finagle_falls_from_the_unready_on_whoever_is_beside_it() {
        // 0 is slow and 2, 3 are gone: pairs of the slow one and a gone one give it calls that a pair of the ready
        // never would.
        let share = |variant| {
            let mut world = World::equal(4, &Config { variant, ..Config::default() });
            for place in [0, 1] {
                world.sent(world.id(place));
                world.done(place, if place == 0 { MS_100 } else { MS }, Ok(()));
            }
            world.connectivity(2, Connectivity::TransientFailure);
            world.connectivity(3, Connectivity::TransientFailure);
            let mut counts = [0; 4];
            for _ in 0..10_000 {
                let Pick::To(id) = world.pick(&Request::plain()) else { panic!("two are ready") };
                counts[world.place(id)] += 1;
            }
            assert_eq!(counts[2] + counts[3], 0);
            counts[0]
        };
        assert_eq!(share(Variant::Tower), 0);
        // Of 6 pairs, 2 join the slow one with a gone one, 3 give the fast one, 1 is drawn again: 2/5 but for 6^-4.
        assert!((3_850..4_150).contains(&share(Variant::Finagle)), "{}", share(Variant::Finagle));
    }
}
