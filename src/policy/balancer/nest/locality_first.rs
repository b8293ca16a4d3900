//! The nearest zone that serves takes all calls; inside it a child balancer decides.
//!
//! Origin: geographic and nearest-first routing as clouds and meshes offer it; gRPC's `priority` policy (gRFC A56)
//! with zones in order of distance. All or nothing: no share of the calls spills over to the next zone.
//! Observes: delay from the client to each zone; how many endpoints of a zone are ready; what its child observes.
//! Cost: that of the child; O(n) when endpoints change.
//! Draws: none of its own.
//! Fails when: callers are spread unevenly, because the zone next to most of them gets most of the load while
//! others idle; a zone is slow but not down; a zone dies and the next one cannot take all of its calls at once.

use serde::{Deserialize, Serialize};

use super::children::{Child, Children};
use crate::base::id::{EndpointId, ZoneId};
use crate::base::quantity::Ratio;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `locality_first`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside a zone.
    pub child: Box<Spec>,
    /// Share of a zone's endpoints that must be ready for the zone to be used; one endpoint must be in any case.
    /// If no zone has so many, the nearest with anyone ready is used.
    pub min_healthy: Ratio,
    /// How long a zone that was given up must have served again before calls return to it.
    pub fail_back_delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Box::new(Spec::RoundRobin(Default::default())),
            min_healthy: Ratio::ZERO,
            fail_back_delay: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(LocalityFirst {
            min_healthy: self.min_healthy,
            fail_back_delay: self.fail_back_delay,
            context: context.clone(),
            children: Children::new(&self.child, context),
            zones: vec![],
            current: None,
        })
    }
}

#[derive(Debug)]
struct LocalityFirst {
    min_healthy: Ratio,
    fail_back_delay: Duration,
    context: Context,
    children: Children,
    /// Nearest first.
    zones: Vec<Zone>,
    /// The zone in use.
    current: Option<u32>,
}

/// What is remembered of a zone.
#[derive(Debug, Clone)]
struct Zone {
    number: u32,
    /// It has served without a break since then.
    serving_since: Option<Instant>,
    /// It has been given up, and not served for long enough since.
    doubted: bool,
}

impl Balancer for LocalityFirst {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_endpoints(now, endpoints, |endpoint| u32::from(endpoint.zone.0));
        self.note_zones();
        for zone in &mut self.zones {
            let serves = self.children.get(zone.number).is_some_and(|child| {
                let (serving, all) = (child.serving(self.children.connects_all()), child.members().len());
                serving > 0 && serving as f64 / all as f64 >= self.min_healthy.value()
            });
            if !serves {
                zone.doubted |= zone.serving_since.take().is_some();
            } else if zone.serving_since.is_none() {
                zone.serving_since = Some(now);
            }
        }
        self.choose(now);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if let Some(zone) = self.current {
            return self.children.pick(zone, now, request, endpoints);
        }
        // Nobody serves. The nearest zone that may yet come up says what to do.
        let mut answer = Pick::nobody(&endpoints.narrowed(&[], &[]));
        for zone in &self.zones {
            answer = self.children.pick(zone.number, now, request, endpoints);
            if !matches!(answer, Pick::Fail(_)) {
                break;
            }
        }
        answer
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.children.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.children.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let nearer = self.zones.iter().take_while(|zone| Some(zone.number) != self.current);
        let returns = nearer.filter(|zone| zone.doubted).filter_map(|zone| self.trusted_at(zone));
        returns.chain(self.children.next_timeout()).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_timeout(now, endpoints);
        self.choose(now);
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

impl LocalityFirst {
    /// Takes new zones in, at their place in the order.
    fn note_zones(&mut self) {
        let known = |number: u32, zones: &[Zone]| zones.iter().any(|zone| zone.number == number);
        let before = self.zones.len();
        for (number, _) in self.children.groups() {
            if !known(number, &self.zones) {
                self.zones.push(Zone { number, serving_since: None, doubted: false });
            }
        }
        if self.zones.len() > before {
            let context = &self.context;
            self.zones.sort_by_key(|zone| {
                let distance = context.distances.get(zone.number as usize).copied().unwrap_or(Duration::MAX);
                // Of zones equally far the client's own is nearest.
                (distance, ZoneId(zone.number as u16) != context.zone, zone.number)
            });
        }
    }

    /// When a zone that serves will be trusted again.
    fn trusted_at(&self, zone: &Zone) -> Option<Instant> {
        zone.serving_since.map(|since| since + self.fail_back_delay)
    }

    /// The nearest zone that serves and is trusted, or else serves, or else has anyone ready. The one in use is
    /// trusted for as long as it serves. A zone that was never given up needs no trial: at the start of a channel
    /// the nearest takes over as soon as it is connected.
    fn choose(&mut self, now: Instant) {
        for at in 0..self.zones.len() {
            if self.trusted_at(&self.zones[at]).is_some_and(|at| at <= now) {
                self.zones[at].doubted = false;
            }
        }
        let serving = || self.zones.iter().filter(|zone| zone.serving_since.is_some());
        let trusted = serving().find(|zone| !zone.doubted || Some(zone.number) == self.current);
        let ready = |zone: &&Zone| !self.children.get(zone.number).is_none_or(|child: &Child| child.ready().is_empty());
        let chosen = trusted.or_else(|| serving().next()).or_else(|| self.zones.iter().find(ready));
        self.current = chosen.map(|zone| zone.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Connectivity, Health, Listing};

    /// Six endpoints, two a zone: places 0 and 1 in zone 0, 1 ms away; 2 and 3 in zone 1, 20 ms; 4 and 5 in zone 2,
    /// 5 ms.
    fn world(config: &Config) -> World {
        World::of(listings(), config.build(&context()))
    }

    fn context() -> Context {
        let distances = [1, 20, 5].map(Duration::from_millis);
        Context { distances: distances.into(), ..Context::lone(1) }
    }

    fn listings() -> Vec<Listing> {
        (0..6).map(|i| Listing { zone: ZoneId(i as u16 / 2), ..listing(i, 1) }).collect()
    }

    fn rotation() -> Config {
        Config { child: serde_json::from_str(r#"{"round_robin": {"start": "zero"}}"#).unwrap(), ..Config::default() }
    }

    fn fail(world: &mut World, places: &[usize]) {
        places.iter().for_each(|place| world.health(*place, Health::Failed));
    }

    fn heal(world: &mut World, places: &[usize]) {
        places.iter().for_each(|place| world.health(*place, Health::Healthy));
    }

    #[test]
    fn the_nearest_zone_takes_all_until_it_is_gone() {
        let mut world = world(&rotation());
        assert_eq!(world.picks(4), "0101");
        fail(&mut world, &[0]);
        assert_eq!(world.picks(3), "111", "one endpoint is enough");
        fail(&mut world, &[1]);
        assert_eq!(world.picks(4), "4545", "zone 2 is nearer than zone 1");
        fail(&mut world, &[4, 5]);
        assert_eq!(world.picks(4), "2323");
        fail(&mut world, &[2, 3]);
        assert_eq!(world.pick(&Request::plain()), Pick::Fail(Cause::NoEndpoint));
    }

    #[test]
    fn a_zone_that_was_given_up_returns_after_the_delay_without_a_break() {
        let mut world = world(&rotation());
        fail(&mut world, &[0, 1]);
        world.advance(Duration::from_secs(5));
        heal(&mut world, &[0]);
        world.advance(Duration::from_secs(29));
        assert_eq!(world.picks(2), "45", "it has served for 29 s only");
        fail(&mut world, &[0]);
        heal(&mut world, &[0]);
        world.advance(Duration::from_secs(29));
        assert_eq!(world.picks(2), "45", "the break starts the delay anew");
        world.advance(Duration::from_secs(1));
        assert_eq!(world.picks(2), "00");
        assert_eq!(world.balancer.next_timeout(), None, "nothing is left to wait for");
    }

    #[test]
    fn a_doubted_zone_is_better_than_none() {
        let mut world = world(&rotation());
        fail(&mut world, &[0, 1]);
        heal(&mut world, &[0]);
        fail(&mut world, &[4, 5, 2, 3]);
        assert_eq!(world.picks(2), "00");
        heal(&mut world, &[4]);
        assert_eq!(world.picks(2), "00", "the zone in use is not left for a farther one");
    }

    #[test]
    fn of_zones_equally_far_the_own_one_is_the_nearest() {
        for own in 0..3 {
            let distances = [5; 3].map(Duration::from_millis);
            let context = Context { zone: ZoneId(own), distances: distances.into(), ..Context::lone(1) };
            let mut world = World::of(listings(), rotation().build(&context));
            assert_eq!(world.picks(2), ["01", "23", "45"][usize::from(own)]);
        }
    }

    #[test]
    fn a_share_of_the_zone_can_be_asked_for() {
        let mut world = world(&Config { min_healthy: Ratio::of(0.75), ..rotation() });
        fail(&mut world, &[0]);
        assert_eq!(world.picks(2), "45", "half is not three quarters");
        fail(&mut world, &[2, 4]);
        assert_eq!(world.picks(2), "11", "where no zone has so many, the nearest with anyone");
    }

    #[test]
    fn at_the_start_the_nearest_takes_over_as_soon_as_it_is_connected() {
        let mut world = World::of(vec![], rotation().build(&context()));
        assert_eq!(world.pick(&Request::plain()), Pick::Fail(Cause::NoEndpoint), "nobody is listed");
        world.list(listings()[2..4].to_vec());
        assert_eq!(world.picks(2), "01");
        world.list(listings());
        assert_eq!(world.picks(2), "01", "zone 0 was never given up");
    }

    #[test]
    fn while_nobody_is_ready_a_call_waits_for_whoever_connects() {
        let mut world = world(&rotation());
        (0..6).for_each(|place| world.connectivity(place, Connectivity::TransientFailure));
        assert_eq!(world.pick(&Request::plain()), Pick::Fail(Cause::NoEndpoint));
        world.connectivity(3, Connectivity::Connecting);
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
    }

    #[test]
    fn a_child_that_connects_lazily_is_asked_zone_by_zone() {
        let child = serde_json::from_str(r#"{"ring_hash": {"connect": "lazy"}}"#).unwrap();
        let mut world = world(&Config { child, ..Config::default() });
        assert!(!world.balancer.connects_all());
        (0..6).for_each(|place| world.connectivity(place, Connectivity::Idle));
        let keyed = Request { hash: Some(7), ..Request::plain() };
        let wanted = |world: &mut World| match world.balancer.poll_want() {
            Some(Want::Connect(id)) => Some(world.place(id)),
            _ => None,
        };
        assert_eq!(world.pick(&keyed), Pick::Queue);
        let first = wanted(&mut world).unwrap();
        assert!(first < 2, "the nearest zone is tried first");
        world.connectivity(0, Connectivity::TransientFailure);
        world.connectivity(1, Connectivity::TransientFailure);
        while wanted(&mut world).is_some() {}
        assert_eq!(world.pick(&keyed), Pick::Queue);
        assert!(wanted(&mut world).is_some_and(|place| place >= 4), "then the next");
    }

    #[test]
    fn feedback_reaches_the_child_that_owns_the_endpoint() {
        // A child that counts attempts itself, beside the same balancer over the two endpoints of zone 2 alone.
        let bounded: Spec = serde_json::from_str(r#"{"bounded_load": {}}"#).unwrap();
        let mut nested = world(&Config { child: Box::new(bounded.clone()), ..Config::default() });
        let mut alone = World::of(listings()[4..].to_vec(), bounded.build(&context()));
        let send = |world: &mut World| {
            let Pick::To(id) = world.pick(&Request { hash: Some(1), ..Request::plain() }) else {
                panic!("somebody is ready")
            };
            world.sent(id);
            world.place(id)
        };
        let near: Vec<usize> = (0..4).map(|_| send(&mut nested)).collect();
        fail(&mut nested, &[0, 1]);
        for step in 0..40 {
            let place = send(&mut nested);
            assert_eq!(place, 4 + send(&mut alone), "call {step}");
            if step % 3 == 0 {
                nested.done(place, Duration::ZERO, Ok(()));
                alone.done(place - 4, Duration::ZERO, Ok(()));
            }
            // These end in a zone that is not in use.
            if let Some(place) = near.get(step) {
                nested.done(*place, Duration::ZERO, Err(Failure::of(Cause::Connection)));
            }
        }
    }

    #[test]
    fn with_one_zone_it_is_its_child() {
        let child: Spec = serde_json::from_str(r#""least_request""#).unwrap();
        let nested = Config { child: Box::new(child.clone()), ..Config::default() };
        let mut nested = World::seeded(3, &[1; 5], |context| nested.build(context));
        let mut alone = World::seeded(3, &[1; 5], |context| child.build(&context.child("child/0")));
        for step in 0..500 {
            assert_eq!(nested.send(), alone.send(), "pick {step}");
            if step % 3 == 0 {
                for world in [&mut nested, &mut alone] {
                    let place = world.table.view().members.iter().position(|id| world.table.in_flight(*id) > 0);
                    world.done(place.unwrap(), Duration::ZERO, Ok(()));
                }
            }
        }
    }

    #[test]
    fn what_happens_elsewhere_does_not_restart_a_child() {
        let mut world = world(&rotation());
        world.picks(1);
        fail(&mut world, &[2]);
        assert_eq!(world.picks(2), "10");
    }

    #[test]
    fn it_is_written_as_in_the_language() {
        let config: Config =
            toml::from_str("child = 'least_request'\nfail_back_delay = '5s'\nmin_healthy = '50%'").unwrap();
        assert_eq!(config.child.name(), "least_request");
        assert_eq!((config.fail_back_delay, config.min_healthy), (Duration::from_secs(5), Ratio::of(0.5)));
        let error = toml::from_str::<Config>("child = 'least_requests'").unwrap_err();
        assert!(error.message().contains("unknown variant `least_requests`"), "{error}");
        let schema = schemars::schema_for!(Spec);
        assert!(serde_json::to_string(&schema).unwrap().contains("fail_back_delay"));
    }
}
