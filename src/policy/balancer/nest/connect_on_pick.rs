//! Picks first and connects then: an endpoint need not be connected to be picked, and its call waits for the connection.
//!
//! Origin: connection pools of proxies (Envoy: a pool is made when a host is first picked, and requests are pending until
//! it has a connection); `count_pending` is the option that Envoy's LEAST_REQUEST lacks by default.
//! Observes: health of the endpoints, and whether connecting one has failed; what its child observes.
//! Cost: that of the child; O(n) when endpoints change.
//! Draws: none of its own.
//! Fails when: connecting takes long, because calls are bound to an endpoint before anybody knows whether it answers; more
//! so without `count_pending`, because an endpoint with calls that wait then looks idle to a child that counts.
//!
//! One whose connection has just failed is not picked until it is tried again, after gRPC's backoff.

use serde::{Deserialize, Serialize};

use super::children::Sight;
use super::weighted_target::Child;
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `connect_on_pick`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer that picks.
    pub child: Child,
    /// Whether a call that waits for its connection counts as open on its endpoint.
    pub count_pending: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { child: Child::of(Spec::LeastRequest(Default::default())), count_pending: false }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        around(self.child.spec().build(&context.child("child")), self.count_pending)
    }
}

/// The same around a balancer that is there already.
pub fn around(child: Box<dyn Balancer>, count_pending: bool) -> Box<dyn Balancer> {
    Box::new(ConnectOnPick { child, count_pending, told: None, candidates: vec![] })
}

struct ConnectOnPick {
    child: Box<dyn Balancer>,
    count_pending: bool,
    /// What the child was last told of each member; `None` before it was told anything. How a connection fares is none of
    /// it, as in Envoy.
    told: Option<Vec<Sight>>,
    /// Whom the child may pick.
    candidates: Vec<EndpointId>,
}

/// What a child is shown: whoever may be picked as ready.
fn shown<'b>(endpoints: &Endpoints<'b>, candidates: &'b [EndpointId]) -> Endpoints<'b> {
    Endpoints { ready: candidates, unconnected: true, ..*endpoints }
}

impl ConnectOnPick {
    /// What a health checker thinks is no news for a child that does not look at health, unless it changes who may be
    /// picked.
    fn sees_the_same(&self, told: &[Sight], next: &[Sight]) -> bool {
        let heeds = self.child.heeds_health();
        let same = |(told, next): (&Sight, &Sight)| next == told || (!heeds && next.is_but_for_health(told));
        told.len() == next.len() && told.iter().zip(next).all(same)
    }
}

impl Balancer for ConnectOnPick {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let all = Endpoints { unconnected: true, ..*endpoints };
        let candidates: Vec<EndpointId> = endpoints.members.iter().copied().filter(|id| all.is_ready(*id)).collect();
        let sight = |endpoint| Sight::of(endpoint, endpoints).whatever_its_connection();
        let sights: Vec<Sight> = endpoints.members.iter().filter_map(|id| endpoints.get(*id)).map(sight).collect();
        if self.candidates == candidates && self.told.as_ref().is_some_and(|told| self.sees_the_same(told, &sights)) {
            return;
        }
        (self.candidates, self.told) = (candidates, Some(sights));
        self.child.on_endpoints(now, &shown(endpoints, &self.candidates));
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let pick = self.child.pick(now, request, &shown(endpoints, &self.candidates));
        match pick {
            Pick::To(on) if !endpoints.is_ready(on) => Pick::Pend { on, counts: self.count_pending },
            pick => pick,
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.child.on_feedback(now, feedback, &shown(endpoints, &self.candidates));
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.child.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.child.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.child.on_timeout(now, &shown(endpoints, &self.candidates));
    }

    fn only_picks(&self) -> bool {
        self.child.only_picks()
    }

    /// Who may be connected depends on the health of those that are not ready too.
    fn heeds_health(&self) -> bool {
        true
    }

    fn connects_all(&self) -> bool {
        false
    }

    fn keeps_to_some(&self) -> bool {
        self.child.keeps_to_some()
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.child.gauges(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::{Connectivity, Health};

    fn world(count_pending: bool) -> World {
        let child = serde_json::from_str(r#"{ "least_connections": { "ties": "first" } }"#).unwrap();
        World::equal(3, &Config { child, count_pending })
    }

    #[test]
    fn whoever_is_not_connected_is_picked_like_others() {
        for counts in [false, true] {
            let mut world = world(counts);
            world.sent(world.id(0));
            world.connectivity(1, Connectivity::Idle);
            let pend = Pick::Pend { on: world.id(1), counts };
            assert_eq!(world.pick(&Request::plain()), pend);
            world.connectivity(1, Connectivity::Connecting);
            assert_eq!(world.pick(&Request::plain()), pend, "the child does not see that it is being connected");
            world.sent(world.id(1));
            assert_eq!(world.pick(&Request::plain()), Pick::To(world.id(2)));
        }
    }

    #[test]
    fn whoever_could_not_be_connected_or_is_not_healthy_is_not() {
        let mut world = world(false);
        world.connectivity(0, Connectivity::TransientFailure);
        world.connectivity(1, Connectivity::Idle);
        world.health(1, Health::Failed);
        assert_eq!(world.pick(&Request::plain()), Pick::To(world.id(2)));
        world.connectivity(2, Connectivity::TransientFailure);
        assert!(matches!(world.pick(&Request::plain()), Pick::Fail(_) | Pick::Queue));
        world.health(1, Health::Healthy);
        assert_eq!(world.pick(&Request::plain()), Pick::Pend { on: world.id(1), counts: false });
    }

    #[test]
    fn a_connection_that_comes_or_goes_does_not_restart_the_child() {
        let child = serde_json::from_str(r#"{ "round_robin": { "start": "zero" } }"#).unwrap();
        let mut world = World::equal(3, &Config { child, count_pending: false });
        assert_eq!(world.picks(2), "01");
        world.connectivity(0, Connectivity::Idle);
        world.connectivity(0, Connectivity::Ready);
        assert_eq!(world.picks(2), "20", "its turns go on");
        world.health(0, Health::Failed);
        assert_eq!(world.picks(3), "121", "and start again with who is healthy");
        world.health(0, Health::Suspect);
        assert_eq!(world.picks(2), "21", "what a checker thinks of one that is not picked anyway is no news");
    }
}
