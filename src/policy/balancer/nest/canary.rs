//! A small share of the calls goes to the endpoints of one zone, the canary, to try what runs there.
//!
//! Origin: canary releases as meshes offer them: 90 to 10, drawn or by key, with a guard that takes the canary out
//! when it fails more than the rest.
//! Observes: whether anyone of the canary is ready; outcomes of both sides; with `split = "key"` the call's key; what
//! its child observes.
//! Cost: that of the child.
//! Draws: one a pick, none with `split = "key"` or without a canary.
//! Fails when: the canary is slow but does not fail, because the guard counts failures only; there are few calls,
//! because the guard then needs long to tell.

use serde::{Deserialize, Serialize};

use super::children::Children;
use super::weighted_target::{Child, Split};
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::{Bits, Rand};
use crate::base::time::{Duration, Instant};
use crate::base::window::SlidingCount;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::{Zone, some_time};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::Endpoint;

/// Parameters of `canary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer of the canary, and of the rest.
    pub child: Child,
    /// The zone whose endpoints are the canary: its name, or its number in the order of the file, from 0.
    pub zone: Zone,
    /// The canary's share of the calls.
    pub share: Ratio,
    /// What decides whether a call is for the canary; with `key` the hash of its key modulo 100, in whole percent.
    pub split: Split,
    /// Without anyone of the canary ready, its calls fail instead of going to the rest.
    pub strict: bool,
    /// Takes the canary out for good when it fails more than the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// When a canary is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// By how much its share of failed calls exceeds that of the rest.
    pub excess: Ratio,
    /// For how long, which is also how far both shares look back.
    #[serde(deserialize_with = "some_time")]
    pub during: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Child::default(),
            zone: Zone::Number(1),
            share: Ratio::of(0.1),
            split: Split::Random,
            strict: false,
            guard: None,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Canary {
            config: self.clone(),
            rand: context.seed.stream("canary"),
            children: Children::new(self.child.spec(), context),
            watch: self.guard.map(Watch::new),
        })
    }

    fn group(&self, endpoint: &Endpoint) -> u32 {
        if Zone::Number(endpoint.zone.0) == self.zone { CANARY } else { STABLE }
    }
}

#[derive(Debug)]
struct Canary {
    config: Config,
    rand: Rand,
    children: Children,
    watch: Option<Watch>,
}

/// Failures and calls of both sides, and since when the canary has failed too often.
#[derive(Debug)]
struct Watch {
    guard: Guard,
    failed: [SlidingCount; 2],
    ended: [SlidingCount; 2],
    since: Option<Instant>,
    is_out: bool,
}

impl Watch {
    fn new(guard: Guard) -> Watch {
        let count = || SlidingCount::new(guard.during, BUCKETS);
        Watch { guard, failed: [count(), count()], ended: [count(), count()], since: None, is_out: false }
    }

    fn note(&mut self, now: Instant, group: u32, failed: bool) {
        self.ended[group as usize].add(now, 1);
        self.failed[group as usize].add(now, u64::from(failed));
        let share = |side: u32| {
            let ended = self.ended[side as usize].sum(now);
            self.failed[side as usize].sum(now) as f64 / ended.max(1) as f64
        };
        if share(CANARY) - share(STABLE) <= self.guard.excess.value() {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert(now);
        self.is_out |= now.since(since) >= self.guard.during;
    }
}

impl Balancer for Canary {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_endpoints(now, endpoints, |endpoint| self.config.group(endpoint));
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let serves =
            |group| self.children.get(group).map_or(0, |child| child.serving(self.children.connects_all())) > 0;
        let is_listed = self.children.get(CANARY).is_some_and(|child| !child.members().is_empty());
        let is_out = !is_listed || self.watch.as_ref().is_some_and(|watch| watch.is_out);
        let (canary, stable) = (serves(CANARY), serves(STABLE));
        let group = if is_out { STABLE } else { self.draw(request) };
        let group = match group {
            CANARY if !canary && !self.config.strict => STABLE,
            // The rest is gone: a canary is better than nobody.
            STABLE if !stable && canary && !self.config.strict => CANARY,
            group => group,
        };
        self.children.pick(group, now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.children.on_feedback(now, feedback, endpoints);
        if let (Some(watch), Feedback::Done { endpoint, outcome, .. }) = (&mut self.watch, feedback)
            && let Some(endpoint) = endpoints.get(*endpoint)
        {
            watch.note(now, self.config.group(endpoint), outcome.is_err());
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.children.poll_want()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.children.next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_timeout(now, endpoints);
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

impl Canary {
    fn draw(&mut self, request: &Request<'_>) -> u32 {
        let hit = match self.config.split {
            Split::Random => self.rand.chance(self.config.share.chance()),
            Split::Key => ((request.hash_or_random() % 100) as f64) < 100.0 * self.config.share.value(),
        };
        if hit { CANARY } else { STABLE }
    }
}

const STABLE: u32 = 0;
const CANARY: u32 = 1;

/// Parts of the time that the guard looks back.
const BUCKETS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ZoneId;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Health, Listing};

    /// Four endpoints, of which place 3 is the canary.
    fn world(config: &Config) -> World {
        let listings: Vec<Listing> =
            (0..4).map(|i| Listing { zone: ZoneId(u16::from(i == 3)), ..listing(i, 1) }).collect();
        World::of(listings, config.build(&Context::lone(1)))
    }

    #[test]
    fn a_tenth_goes_to_the_canary() {
        let canary = world(&Config::default()).counts(10_000)[3];
        assert!(canary.abs_diff(1_000) < 150, "{canary}");
        let none = world(&Config { share: Ratio::ZERO, ..Config::default() }).counts(1_000)[3];
        assert_eq!(none, 0);
    }

    #[test]
    fn by_key_a_cohort_sticks() {
        let mut world = world(&Config { split: Split::Key, ..Config::default() });
        for hash in 0..1_000 {
            assert_eq!(world.pick_hash(hash) == 3, hash % 100 < 10, "hash {hash}");
        }
    }

    #[test]
    fn without_a_canary_the_rest_takes_its_calls_unless_strict() {
        for (strict, refused) in [(false, 0..1), (true, 60..140)] {
            let mut world = world(&Config { strict, ..Config::default() });
            world.health(3, Health::Failed);
            let failed = (0..1_000).filter(|_| world.pick(&Request::plain()) == Pick::Fail(Cause::NoEndpoint)).count();
            assert!(refused.contains(&failed), "{failed} with strict {strict}");
        }
        let mut world = world(&Config::default());
        (0..3).for_each(|place| world.health(place, Health::Failed));
        assert_eq!(world.counts(100)[3], 100);
    }

    /// Calls of 10 ms at each side; the canary fails the given share of them. Canary picks afterwards.
    fn after(guard: Guard, seconds: u64, fails: impl Fn(u64) -> bool) -> usize {
        let mut world = world(&Config { guard: Some(guard), ..Config::default() });
        for i in 0..seconds * 100 {
            for place in [0, 3] {
                world.sent(world.id(place));
                let failed = place == 3 && fails(i);
                world.done(place, Duration::ZERO, if failed { Err(Failure::of(Cause::Backend)) } else { Ok(()) });
            }
            world.advance(Duration::from_millis(10));
        }
        world.counts(1_000)[3]
    }

    #[test]
    fn a_canary_that_fails_too_often_for_long_is_taken_out() {
        let guard = Guard { excess: Ratio::of(0.2), during: Duration::from_secs(5) };
        assert_eq!(after(guard, 6, |i| i % 4 == 0), 0, "a quarter for six seconds");
        assert!(after(guard, 4, |i| i % 4 == 0) > 50, "not for long enough");
        assert!(after(guard, 60, |i| i % 6 == 5) > 50, "a sixth is allowed");
        let twice = |i| i % 4 == 0 && !(350..1_000).contains(&i);
        assert!(after(guard, 15, twice) > 50, "twice for a few seconds is not for five");
    }

    #[test]
    fn it_is_written_as_in_the_language() {
        let read = toml::from_str::<Config>("share = '5%'\nguard = { excess = '2%', during = '1m' }").unwrap();
        assert_eq!(read.guard.unwrap().during, Duration::from_secs(60));
        assert!(toml::from_str::<Config>("guard = { excess = '2%', during = '0s' }").is_err());
    }
}
