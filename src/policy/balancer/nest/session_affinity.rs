//! A key stays with the endpoint that its first call went to; a child balancer chooses that one.
//!
//! Origin: gRPC stateful session affinity (gRFC A55) and Envoy's `stateful_session`: the answer carries a cookie that
//! names the endpoint. The call's key stands for the session here, and the cookie is set when the call is sent, not
//! when its answer comes. `override_host_status` is theirs, too, with gRPC's default: Envoy's has `degraded` besides.
//! Observes: the call's key; connectivity and health of the endpoint of its session; what its child observes.
//! Cost: O(log s) for s sessions, about 40 bytes each; they are kept for as long as the client lives. O(n) when
//! endpoints change while one of them is draining.
//! Draws: none of its own.
//! Fails when: sessions differ in weight, because none ever moves to a new or idle endpoint; an endpoint leaves,
//! because all of its sessions lose their state at once, if they were not over when its draining was.
//!
//! A session whose endpoint is idle or connecting waits for it; one whose endpoint cannot be connected, or has a status
//! that is not allowed, is the child's, which gives it another endpoint. An endpoint that is announced as draining is
//! hidden from the child, whatever is allowed (A55), and stays connected. Whoever can be picked though it is not
//! healthy, as suspects can where nobody is, keeps its sessions as a healthy one does.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::{Connectivity, Endpoint, Health, SuspectRule};

/// Parameters of `session_affinity`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer of calls without a session, and of those whose endpoint is gone.
    pub child: Box<Spec>,
    /// Statuses with which an endpoint keeps its sessions: `unknown` and `healthy`, which are the same here, `degraded`
    /// and `draining`. None at all: a session never stays.
    pub override_host_status: Vec<HostStatus>,
}

/// How discovery says that an endpoint is: those of the words of Envoy's EDS with which calls can reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostStatus {
    /// Nothing is said.
    Unknown,
    /// Nothing speaks against it.
    Healthy,
    /// Announced as degraded, or a probe was missed.
    Degraded,
    /// Announced as draining.
    Draining,
}

impl<'de> Deserialize<'de> for HostStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<HostStatus, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "unknown" => Ok(HostStatus::Unknown),
            "healthy" => Ok(HostStatus::Healthy),
            "degraded" => Ok(HostStatus::Degraded),
            "draining" => Ok(HostStatus::Draining),
            // A55: a gRPC client ignores those two.
            "unhealthy" | "timeout" => Err(serde::de::Error::custom(format_args!(
                "calls of a session do not go to an endpoint that is `{text}`, and gRPC ignores that status (A55)"
            ))),
            other => Err(serde::de::Error::unknown_variant(other, &["unknown", "healthy", "degraded", "draining"])),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Box::new(Spec::RoundRobin(Default::default())),
            override_host_status: vec![HostStatus::Unknown, HostStatus::Healthy],
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let child = self.child.build(&context.child("child"));
        Box::new(SessionAffinity {
            child,
            allowed: self.override_host_status.clone(),
            sessions: BTreeMap::new(),
            wants: VecDeque::new(),
            others: Others::default(),
        })
    }
}

struct SessionAffinity {
    child: Box<dyn Balancer>,
    /// Statuses with which an endpoint keeps its sessions.
    allowed: Vec<HostStatus>,
    /// The endpoint of each key. One that has left is found out when its key comes again.
    sessions: BTreeMap<u64, EndpointId>,
    /// Endpoints to connect.
    wants: VecDeque<EndpointId>,
    others: Others,
}

/// What is left for the child while somebody is draining.
#[derive(Default)]
struct Others {
    hides: bool,
    members: Vec<EndpointId>,
    ready: Vec<EndpointId>,
}

impl Others {
    /// Takes those that are draining out.
    fn update(&mut self, endpoints: &Endpoints<'_>) {
        let draining = |id: &EndpointId| endpoints.get(*id).is_some_and(Endpoint::is_draining);
        self.hides = endpoints.members.iter().any(draining);
        self.members.clear();
        self.ready.clear();
        if self.hides {
            self.members.extend(endpoints.members.iter().filter(|id| !draining(id)));
            self.ready.extend(endpoints.ready.iter().filter(|id| !draining(id)));
        }
    }

    /// What the child sees.
    fn of<'b>(&'b self, endpoints: &Endpoints<'b>) -> Endpoints<'b> {
        if self.hides { endpoints.narrowed(&self.members, &self.ready) } else { *endpoints }
    }
}

impl Balancer for SessionAffinity {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.wants.retain(|id| endpoints.get(*id).is_some_and(|entry| entry.connectivity == Connectivity::Idle));
        self.others.update(endpoints);
        self.child.on_endpoints(now, &self.others.of(endpoints));
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let Some(key) = request.hash else {
            return self.child.pick(now, request, &self.others.of(endpoints));
        };
        // A retry does not insist on the endpoint that just failed: as in Envoy, the session moves.
        let session = self.sessions.get(&key).copied().filter(|_| request.attempt == 0);
        if let Some(pick) = session.and_then(|id| self.kept(id, endpoints)) {
            return pick;
        }
        let pick = self.child.pick(now, request, &self.others.of(endpoints));
        if let Pick::To(id) | Pick::Pend { on: id, .. } = pick {
            self.sessions.insert(key, id);
        }
        pick
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.child.on_feedback(now, feedback, &self.others.of(endpoints));
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front().map(Want::Connect).or_else(|| self.child.poll_want())
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.child.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.child.on_timeout(now, &self.others.of(endpoints));
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

impl SessionAffinity {
    /// True if an endpoint of this health keeps its sessions.
    fn allows(&self, endpoint: &Endpoint, endpoints: &Endpoints<'_>) -> bool {
        let listed = |status| self.allowed.contains(&status);
        let as_healthy = || listed(HostStatus::Unknown) || listed(HostStatus::Healthy);
        match endpoint.health {
            Health::Healthy => as_healthy(),
            Health::Draining => listed(HostStatus::Draining),
            // Whoever never uses suspects does not use them for sessions.
            Health::Suspect if listed(HostStatus::Degraded) => endpoints.table.suspects() != SuspectRule::Exclude,
            Health::Suspect | Health::Failed => as_healthy() && endpoints.is_ready(endpoint.id),
        }
    }

    /// The answer for a session with this endpoint, unless that is gone, has no status that is allowed, or failed (A55).
    fn kept(&mut self, id: EndpointId, endpoints: &Endpoints<'_>) -> Option<Pick> {
        let endpoint = endpoints.get(id).filter(|endpoint| self.allows(endpoint, endpoints))?;
        match endpoint.connectivity {
            Connectivity::Ready => Some(Pick::To(id)),
            Connectivity::Connecting => Some(Pick::Queue),
            Connectivity::Idle => {
                if !self.wants.contains(&id) {
                    self.wants.push_back(id);
                }
                Some(Pick::Queue)
            }
            Connectivity::TransientFailure => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Listing, Table};

    fn world() -> World {
        let child = serde_json::from_str(r#"{"round_robin": {"start": "zero", "on_update": "keep"}}"#).unwrap();
        World::equal(3, &Config { child, ..Config::default() })
    }

    fn with_statuses(statuses: &str) -> World {
        let child = r#"{ "round_robin": { "start": "zero", "on_update": "keep" } }"#;
        let text = format!(r#"{{ "child": {child}, "override_host_status": {statuses} }}"#);
        World::equal(3, &serde_json::from_str::<Config>(&text).unwrap())
    }

    /// The endpoint at place 0 is announced so.
    fn announce(world: &mut World, health: Health) {
        world.list(
            (0..3)
                .map(|i| Listing { health: if i == 0 { health } else { Health::Healthy }, ..listing(i, 1) })
                .collect(),
        );
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
    fn a_session_stays_while_the_status_of_its_endpoint_is_allowed() {
        let default = r#"["unknown", "healthy"]"#;
        for (statuses, healthy, degraded, draining) in [
            (default, true, false, false),
            (r#"["unknown"]"#, true, false, false),
            (r#"["healthy", "draining"]"#, true, false, true),
            (r#"["healthy", "degraded"]"#, true, true, false),
            (r#"["draining"]"#, false, false, true),
            ("[]", false, false, false),
        ] {
            for (health, stays) in [
                (Health::Healthy, healthy),
                (Health::Suspect, degraded),
                (Health::Draining, draining),
                (Health::Failed, false),
            ] {
                let mut world = with_statuses(statuses);
                assert_eq!(world.pick_hash(7), 0);
                announce(&mut world, health);
                let moved = world.pick_hash(7);
                assert_eq!(moved == 0, stays, "{statuses} and {health:?}: {moved}");
                assert_eq!(world.picks(4).contains('0'), health == Health::Healthy, "nobody new comes to {health:?}");
            }
        }
        assert_eq!(
            serde_json::to_value(Config::default()).unwrap()["override_host_status"].to_string(),
            default.replace(' ', "")
        );
    }

    #[test]
    fn who_drains_is_hidden_from_the_child_and_returns_to_it() {
        for statuses in [r#"["healthy"]"#, r#"["healthy", "draining"]"#] {
            let text = format!(r#"{{ "child": "ring_hash", "override_host_status": {statuses} }}"#);
            let draining = serde_json::from_str::<Config>(&text).unwrap();
            let (mut world, mut without) = (World::equal(3, &draining), World::equal(3, &draining));
            announce(&mut world, Health::Draining);
            without.list(vec![listing(1, 1), listing(2, 1)]);
            // A ring with a place for it would give its neighbour what it would take.
            let keys = || (0..64).map(crate::base::rand::mix);
            let others: Vec<usize> = keys().map(|key| without.pick_hash(key) + 1).collect();
            assert_eq!(keys().map(|key| world.pick_hash(key)).collect::<Vec<_>>(), others, "{statuses}");
            announce(&mut world, Health::Healthy);
            assert!((64..200).any(|key| world.pick_hash(crate::base::rand::mix(key)) == 0));
        }
    }

    #[test]
    fn a_session_waits_for_the_connection_of_one_that_drains() {
        let mut world = with_statuses(r#"["healthy", "draining"]"#);
        let request = Request { hash: Some(7), ..Request::plain() };
        assert_eq!(world.pick_hash(7), 0);
        announce(&mut world, Health::Draining);
        world.connectivity(0, Connectivity::Idle);
        assert_eq!(world.pick(&request), Pick::Queue);
        assert_eq!(world.balancer.poll_want(), Some(Want::Connect(world.id(0))));
        world.connectivity(0, Connectivity::Connecting);
        assert_eq!(world.pick(&request), Pick::Queue);
        world.connectivity(0, Connectivity::Ready);
        assert_eq!(world.pick_hash(7), 0);
        world.health(0, Health::Failed);
        assert_ne!(world.pick_hash(7), 0, "its probes fail, which is worse");
    }

    #[test]
    fn who_is_used_as_a_last_resort_keeps_its_sessions_and_who_is_never_used_does_not() {
        let mut world = world();
        assert_eq!(world.pick_hash(7), 0);
        (0..3).for_each(|place| world.health(place, Health::Suspect));
        assert_eq!(world.pick_hash(7), 0);
        let mut world = with_statuses(r#"["healthy", "degraded"]"#);
        world.table = Table::new(SuspectRule::Exclude);
        announce(&mut world, Health::Healthy);
        assert_eq!(world.pick_hash(7), 0);
        announce(&mut world, Health::Suspect);
        assert_ne!(world.pick_hash(7), 0);
    }

    #[test]
    fn statuses_that_no_call_can_have_are_refused() {
        let said = |status: &str| {
            let text = format!("override_host_status = ['healthy', '{status}']");
            toml::from_str::<Config>(&text).unwrap_err().message().to_owned()
        };
        assert!(said("unhealthy").contains("gRPC ignores that status (A55)") && said("timeout").contains("`timeout`"));
        assert!(said("drained").contains("unknown variant `drained`"), "{}", said("drained"));
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
        let mut world = World::equal(3, &Config { child: serde_json::from_str(child).unwrap(), ..Config::default() });
        (0..3).for_each(|place| world.connectivity(place, Connectivity::Idle));
        let request = Request { hash: Some(7), ..Request::plain() };
        assert_eq!(world.pick(&request), Pick::Pend { on: world.id(0), counts: false });
        world.connectivity(0, Connectivity::Ready);
        assert_eq!(world.pick(&request), Pick::To(world.id(0)), "the second turn is the next one's");
    }
}
