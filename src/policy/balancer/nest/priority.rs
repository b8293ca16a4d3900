//! Levels in order: the first that works takes all calls.
//!
//! Origin: gRPC `priority_experimental` (gRFC A56). A level is a zone or a region, nearest first, where gRPC is given
//! lists.
//! Observes: connectivity and health of each level's endpoints; what its child observes.
//! Cost: that of the child; O(n) when endpoints change.
//! Draws: none of its own.
//! Fails when: the level in use is overloaded but connected, because nothing spills over; a level flaps, because calls
//! go back to it the moment one endpoint is ready.
//!
//! gRPC connects a lower level only when it is needed and drops it after 15 minutes; here the channel connects all.

use serde::{Deserialize, Serialize};

use super::children::{Child, Children};
use super::levels::By;
use crate::base::id::EndpointId;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::{Connectivity, Health};

/// Parameters of `priority`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside a level.
    pub child: Box<Spec>,
    /// What makes a level.
    pub by: By,
    /// How long a level may be connecting before the next is looked at.
    pub failover_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Box::new(Spec::RoundRobin(Default::default())),
            by: By::Zone,
            failover_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Priority {
            config: self.clone(),
            context: context.clone(),
            children: Children::new(&self.child, context),
            levels: vec![],
            current: None,
        })
    }
}

#[derive(Debug)]
struct Priority {
    config: Config,
    context: Context,
    children: Children,
    /// First choice first.
    levels: Vec<Level>,
    current: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    number: u32,
    /// As it was when it was last looked at; `None` if it has never been needed.
    state: Option<Connectivity>,
    /// While it is connecting: when the next level is looked at.
    patience: Option<Instant>,
}

/// The state of a child (gRFC A56 takes what the child says; this is what gRPC's own leaf policies say).
fn state(child: &Child, endpoints: &Endpoints<'_>) -> Connectivity {
    if !child.ready().is_empty() {
        return Connectivity::Ready;
    }
    let usable = child.members().iter().filter_map(|id| endpoints.get(*id)).filter(|e| e.health < Health::Draining);
    let any = |state| usable.clone().any(|endpoint| endpoint.connectivity == state);
    if any(Connectivity::Connecting) {
        Connectivity::Connecting
    } else if any(Connectivity::Idle) {
        Connectivity::Idle
    } else {
        Connectivity::TransientFailure
    }
}

impl Level {
    /// Notes its state. The timer starts when the level is first needed and when it begins to connect after it was
    /// ready or idle; any state but connecting stops it.
    fn note(&mut self, now: Instant, state: Connectivity, failover_timeout: Duration) {
        let starts = matches!(self.state, None | Some(Connectivity::Ready | Connectivity::Idle));
        if state != Connectivity::Connecting {
            self.patience = None;
        } else if starts {
            self.patience = Some(now + failover_timeout);
        }
        self.state = Some(state);
    }
}

impl Priority {
    fn choose(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let mut connecting = None;
        self.current = None;
        for level in &mut self.levels {
            let Some(child) = self.children.get(level.number) else { continue };
            let state = state(child, endpoints);
            level.note(now, state, self.config.failover_timeout);
            let waits = level.patience.is_some_and(|until| until > now);
            if waits || matches!(state, Connectivity::Ready | Connectivity::Idle) {
                self.current = Some(level.number);
                return;
            }
            if state == Connectivity::Connecting {
                connecting = connecting.or(Some(level.number));
            }
        }
        self.current = connecting.or(self.levels.last().map(|level| level.number));
    }
}

impl Balancer for Priority {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let by = self.config.by;
        self.children.on_endpoints(now, endpoints, |endpoint| by.group(endpoint));
        let before = std::mem::take(&mut self.levels);
        let known = |number: u32| before.iter().find(|level| level.number == number).copied();
        let ranked = by.ranked(&self.children, endpoints, &self.context);
        let level = |number| known(number).unwrap_or(Level { number, state: None, patience: None });
        self.levels = ranked.into_iter().map(level).collect();
        self.choose(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.current {
            Some(level) => self.children.pick(level, now, request, endpoints),
            None => Pick::nobody(endpoints),
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.children.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.children.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        // Only the level in use can be waited for: whoever comes before it is not, or it would be in use.
        let waited = self.levels.iter().find(|level| Some(level.number) == self.current);
        waited.and_then(|level| level.patience).into_iter().chain(self.children.next_timeout()).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_timeout(now, endpoints);
        if let Some(level) = self.levels.iter_mut().find(|level| level.patience.is_some_and(|until| until <= now)) {
            level.patience = None;
            self.choose(now, endpoints);
        }
    }

    fn connects_all(&self) -> bool {
        self.children.connects_all()
    }

    fn heeds_health(&self) -> bool {
        self.children.heeds_health()
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.children.gauges(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ZoneId;
    use crate::base::status::Cause;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Listing;

    /// Places 0 and 1 in the nearest zone, 2 and 3 in the next, 4 and 5 in the farthest.
    fn world() -> World {
        let child = serde_json::from_str(r#"{"round_robin": {"start": "zero"}}"#).unwrap();
        let distances = [1, 20, 5].map(Duration::from_millis);
        let context = Context { distances: distances.into(), ..Context::lone(1) };
        let zones = [0, 0, 2, 2, 1, 1];
        let listings: Vec<Listing> =
            (0..6).map(|i| Listing { zone: ZoneId(zones[i as usize]), ..listing(i, 1) }).collect();
        World::of(listings, Config { child, ..Config::default() }.build(&context))
    }

    fn set(world: &mut World, places: [usize; 2], state: Connectivity) {
        places.into_iter().for_each(|place| world.connectivity(place, state));
    }

    #[test]
    fn the_first_level_that_is_ready_takes_all() {
        let mut world = world();
        assert_eq!(world.picks(4), "0101");
        world.connectivity(0, Connectivity::TransientFailure);
        assert_eq!(world.picks(3), "111", "nothing spills over");
        world.connectivity(1, Connectivity::TransientFailure);
        assert_eq!(world.picks(4), "2323");
        set(&mut world, [2, 3], Connectivity::TransientFailure);
        assert_eq!(world.picks(2), "45");
        world.connectivity(1, Connectivity::Ready);
        assert_eq!(world.picks(2), "11", "back at once");
        world.health(1, Health::Failed);
        assert_eq!(world.picks(2), "45");
    }

    #[test]
    fn a_level_that_connects_is_waited_for() {
        let mut world = world();
        set(&mut world, [0, 1], Connectivity::Connecting);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        world.advance(Duration::from_millis(9_999));
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        world.advance(Duration::from_millis(1));
        assert_eq!(world.picks(2), "23");
        // From transient failure to connecting is no new reason to wait.
        set(&mut world, [0, 1], Connectivity::TransientFailure);
        set(&mut world, [0, 1], Connectivity::Connecting);
        assert_eq!(world.picks(2), "23");
        world.connectivity(0, Connectivity::Ready);
        assert_eq!(world.picks(2), "00");
        world.connectivity(0, Connectivity::Connecting);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue, "after ready it is");
    }

    #[test]
    fn a_level_that_has_failed_is_not_waited_for() {
        let mut world = world();
        set(&mut world, [0, 1], Connectivity::Connecting);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        set(&mut world, [0, 1], Connectivity::TransientFailure);
        assert_eq!(world.picks(2), "23", "the failure ends the wait");
    }

    #[test]
    fn a_level_that_only_needs_to_be_asked_is_not_passed_over() {
        let mut world = world();
        set(&mut world, [0, 1], Connectivity::Idle);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue, "idle is as good as ready, whoever else is");
    }

    #[test]
    fn nobody_waits_for_those_that_would_not_be_used_if_they_were_there() {
        let mut world = world();
        set(&mut world, [0, 1], Connectivity::Connecting);
        world.health(0, Health::Failed);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        world.health(1, Health::Failed);
        assert_eq!(world.picks(2), "23");
    }

    #[test]
    fn when_none_is_ready_the_first_that_connects_else_the_last_answers() {
        let mut world = world();
        for places in [[0, 1], [2, 3], [4, 5]] {
            set(&mut world, places, Connectivity::TransientFailure);
        }
        assert_eq!(world.pick(&Request::plain()), Pick::Fail(Cause::NoEndpoint));
        world.connectivity(4, Connectivity::Connecting);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
        world.connectivity(3, Connectivity::Idle);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue, "idle is as good as ready");
    }
}
