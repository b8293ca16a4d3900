//! A key stays with the endpoint that its first call went to; a child balancer chooses that one.
//!
//! Origin: gRPC stateful session affinity (gRFC A55) and Envoy's `stateful_session`: the answer carries a cookie that
//! names the endpoint. The call's key stands for the session here, and the cookie is set when the call is sent, not
//! when its answer comes.
//! Observes: the call's key; connectivity and health of the endpoint of its session; what its child observes.
//! Cost: O(log s) for s sessions, about 40 bytes each; they are kept for as long as the client lives.
//! Draws: none of its own.
//! Fails when: sessions differ in weight, because none ever moves to a new or idle endpoint; an endpoint leaves,
//! because all of its sessions lose their state at once.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::{Connectivity, Health};

/// Parameters of `session_affinity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer of calls without a session, and of those whose endpoint is gone.
    pub child: Box<Spec>,
}

impl Default for Config {
    fn default() -> Self {
        Config { child: Box::new(Spec::RoundRobin(Default::default())) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let child = self.child.build(&context.child("child"));
        Box::new(SessionAffinity { child, sessions: BTreeMap::new(), wants: VecDeque::new() })
    }
}

struct SessionAffinity {
    child: Box<dyn Balancer>,
    /// The endpoint of each key. One that has left is found out when its key comes again.
    sessions: BTreeMap<u64, EndpointId>,
    /// Endpoints to connect.
    wants: VecDeque<EndpointId>,
}

impl Balancer for SessionAffinity {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.wants.retain(|id| endpoints.get(*id).is_some_and(|entry| entry.connectivity == Connectivity::Idle));
        self.child.on_endpoints(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let Some(key) = request.hash else { return self.child.pick(now, request, endpoints) };
        // A retry does not insist on the endpoint that just failed: as in Envoy, the session moves.
        let session = self.sessions.get(&key).copied().filter(|_| request.attempt == 0);
        if let Some(pick) = session.and_then(|id| self.kept(id, endpoints)) {
            return pick;
        }
        let pick = self.child.pick(now, request, endpoints);
        if let Pick::To(id) | Pick::Pend { on: id, .. } = pick {
            self.sessions.insert(key, id);
        }
        pick
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.child.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front().map(Want::Connect).or_else(|| self.child.poll_want())
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.child.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.child.on_timeout(now, endpoints);
    }

    fn connects_all(&self) -> bool {
        self.child.connects_all()
    }

    fn keeps_to_some(&self) -> bool {
        self.child.keeps_to_some()
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.child.gauges(visit);
    }
}

impl SessionAffinity {
    /// The answer for a session with this endpoint, unless that is gone, unhealthy or failed (A55).
    fn kept(&mut self, id: EndpointId, endpoints: &Endpoints<'_>) -> Option<Pick> {
        if endpoints.is_ready(id) {
            return Some(Pick::To(id));
        }
        let endpoint = endpoints.get(id).filter(|endpoint| endpoint.health == Health::Healthy)?;
        match endpoint.connectivity {
            Connectivity::Connecting => Some(Pick::Queue),
            Connectivity::Idle => {
                if !self.wants.contains(&id) {
                    self.wants.push_back(id);
                }
                Some(Pick::Queue)
            }
            Connectivity::Ready | Connectivity::TransientFailure => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};

    fn world() -> World {
        let child = serde_json::from_str(r#"{"round_robin": {"start": "zero", "on_update": "keep"}}"#).unwrap();
        World::equal(3, &Config { child })
    }

    #[test]
    fn a_key_stays_and_new_ones_follow_the_child() {
        let mut world = world();
        assert_eq!([7, 8, 9, 10].map(|key| world.pick_hash(key)), [0, 1, 2, 0]);
        assert_eq!([9, 9, 7, 8].map(|key| world.pick_hash(key)), [2, 2, 0, 1]);
        assert_eq!(world.picks(2), "12", "calls without a key are the child's");
    }

    #[test]
    fn a_session_moves_when_its_endpoint_is_gone_and_stays_moved() {
        let mut world = world();
        assert_eq!(world.pick_hash(7), 0);
        world.health(0, Health::Failed);
        let heir = world.pick_hash(7);
        assert_ne!(heir, 0);
        world.health(0, Health::Healthy);
        assert_eq!(world.pick_hash(7), heir);
        world.list((0..3).filter(|i| *i != heir as u32).map(|i| listing(i, 1)).collect());
        let moved = world.pick_hash(7);
        world.list((0..3).map(|i| listing(i, 1)).collect());
        let address = [0, 1, 2].into_iter().filter(|i| *i != heir).nth(moved).unwrap();
        assert_eq!(world.pick_hash(7), address, "an endpoint that returns is another");
    }

    #[test]
    fn a_session_waits_for_its_connection() {
        let mut world = world();
        let request = Request { hash: Some(7), ..Request::plain() };
        assert_eq!(world.pick_hash(7), 0);
        world.connectivity(0, Connectivity::Connecting);
        assert_eq!(world.pick(&request), Pick::Queue);
        world.connectivity(0, Connectivity::Idle);
        assert_eq!((world.pick(&request), world.pick(&request)), (Pick::Queue, Pick::Queue));
        assert_eq!(world.balancer.poll_want(), Some(Want::Connect(world.id(0))));
        assert_eq!(world.balancer.poll_want(), None, "it is asked for once");
        world.connectivity(0, Connectivity::TransientFailure);
        assert_eq!(world.pick_hash(7), 2, "the child's second turn among the two that are left");
    }

    #[test]
    fn a_session_does_not_wait_for_one_that_is_not_healthy() {
        for health in [Health::Failed, Health::Suspect] {
            let mut world = world();
            assert_eq!(world.pick_hash(7), 0);
            world.health(0, health);
            world.connectivity(0, Connectivity::Connecting);
            assert_ne!(world.pick_hash(7), 0, "{health:?}");
        }
    }

    #[test]
    fn a_retry_takes_the_session_elsewhere() {
        let mut world = world();
        assert_eq!(world.pick_hash(7), 0);
        let retry = Request { hash: Some(7), attempt: 1, ..Request::plain() };
        assert_eq!(world.pick(&retry), Pick::To(world.id(1)));
        assert_eq!(world.pick_hash(7), 1);
    }

    #[test]
    fn a_session_begins_with_a_call_that_waits_for_its_connection() {
        let child = r#"{ "connect_on_pick": { "child": { "round_robin": { "start": "zero" } } } }"#;
        let mut world = World::equal(3, &Config { child: serde_json::from_str(child).unwrap() });
        (0..3).for_each(|place| world.connectivity(place, Connectivity::Idle));
        let request = Request { hash: Some(7), ..Request::plain() };
        assert_eq!(world.pick(&request), Pick::Pend { on: world.id(0), counts: false });
        world.connectivity(0, Connectivity::Ready);
        assert_eq!(world.pick(&request), Pick::To(world.id(0)), "the second turn is the next one's");
    }
}
