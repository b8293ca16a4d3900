//! Levels in order, each as much as its healthy share can bear: what is too much spills over to the next.
//!
//! Origin: Envoy's priority levels, over-provisioning factor and panic threshold (`load_balancer_impl.cc`). A level is
//! a zone or a region, nearest first, or all endpoints together. Hosts are ready or not; there are no degraded ones.
//! Observes: how many endpoints of each level are ready; what its child observes.
//! Cost: that of the child; O(n) when endpoints change.
//! Draws: one a pick while calls are shared among levels, else none.
//! Fails when: fewer than 1/1.4 of a level are ready, because its callers then reach the next level at once, near or
//! far; many levels are half ready, because all together panic.
//!
//! In panic a level's calls go to whoever is connected, whatever its health; where nobody is, its part fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::children::Children;
use super::levels::By;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::status::Cause;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::read;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::{Connectivity, Health};

/// Parameters of `envoy_priority`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside a level.
    pub child: Box<Spec>,
    /// What makes a level.
    pub by: By,
    /// How many times its part a level can bear, in percent: 100 or more.
    #[serde(deserialize_with = "factor")]
    #[schemars(schema_with = "read::percent_schema")]
    pub overprovisioning: u32,
    /// Share of ready endpoints, in percent, below which a level panics while all levels together cannot bear the
    /// load; 0 is never.
    #[serde(deserialize_with = "percent")]
    #[schemars(schema_with = "read::percent_schema")]
    pub panic_threshold: u32,
    /// A level in panic fails its calls.
    pub fail_traffic_on_panic: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Box::new(Spec::RoundRobin(Default::default())),
            by: By::Zone,
            overprovisioning: 140,
            panic_threshold: 50,
            fail_traffic_on_panic: false,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(EnvoyPriority {
            config: self.clone(),
            context: context.clone(),
            rand: context.seed.stream("envoy_priority"),
            children: Children::new(&self.child, context),
            levels: vec![],
        })
    }
}

#[derive(Debug)]
struct EnvoyPriority {
    config: Config,
    context: Context,
    rand: Rand,
    children: Children,
    /// First choice first: number, percent of the calls, and whether it panics.
    levels: Vec<(u32, Share)>,
}

/// Endpoints of a level.
#[derive(Debug, Clone, Copy)]
struct Hosts {
    ready: u64,
    all: u64,
}

/// What a level gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    percent: u64,
    panics: bool,
}

/// The shares of all levels, in whole percent. They add up to 100 unless there is no host at all.
fn shares(levels: &[Hosts], overprovisioning: u64, panic_threshold: u64) -> Vec<Share> {
    let health = |hosts: &Hosts| (overprovisioning * hosts.ready).checked_div(hosts.all).unwrap_or(0).min(100);
    let available = levels.iter().map(health).sum::<u64>().min(100);
    let panics = |hosts: &Hosts| available < 100 && 100 * hosts.ready < panic_threshold * hosts.all;
    let panic: Vec<bool> = levels.iter().map(panics).collect();
    let percents = if panic.iter().zip(levels).all(|(panics, hosts)| *panics || hosts.all == 0) {
        // Everybody panics: by the number of hosts, whatever their health.
        let all: u64 = levels.iter().map(|hosts| hosts.all).sum();
        split(levels.iter().map(|hosts| hosts.all), all)
    } else {
        split(levels.iter().map(health), available)
    };
    percents.into_iter().zip(panic).map(|(percent, panics)| Share { percent, panics }).collect()
}

/// 100 in proportion to the parts of `all`, rounded down, and no more than is left; the first that has a part gets
/// what rounding left over.
fn split(parts: impl Iterator<Item = u64> + Clone, all: u64) -> Vec<u64> {
    let mut left = 100;
    let share = |part: u64| {
        let share = (100 * part).checked_div(all).unwrap_or(0).min(left);
        left -= share;
        share
    };
    let mut percents: Vec<u64> = parts.clone().map(share).collect();
    if let Some(first) = parts.clone().position(|part| part > 0) {
        percents[first] += left;
    }
    percents
}

impl Balancer for EnvoyPriority {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let by = self.config.by;
        let hosts = self.count(endpoints);
        let shares = |levels: &[Hosts]| {
            let Config { overprovisioning, panic_threshold, .. } = self.config;
            shares(levels, u64::from(overprovisioning), u64::from(panic_threshold))
        };
        // Who panics does not depend on the order of the levels; who is first of them on what the children hold.
        let panics = shares(&hosts.values().copied().collect::<Vec<_>>()).into_iter().map(|share| share.panics);
        let panics: BTreeMap<u32, bool> = hosts.keys().copied().zip(panics).collect();
        let to_all =
            |level: u32| !self.config.fail_traffic_on_panic && panics.get(&level).is_some_and(|panics| *panics);
        self.children.on_endpoints_with_panic(now, endpoints, |endpoint| by.group(endpoint), to_all);
        let ranked = by.ranked(&self.children, endpoints, &self.context);
        let shares = shares(&ranked.iter().map(|level| hosts[level]).collect::<Vec<_>>());
        self.levels = ranked.into_iter().zip(shares).collect();
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let to_all = !self.config.fail_traffic_on_panic && self.levels.iter().any(|(_, share)| share.panics);
        if endpoints.ready.is_empty() && self.children.connects_all() && !to_all {
            return Pick::nobody(endpoints);
        }
        let Some((number, share)) = self.draw() else { return Pick::nobody(endpoints) };
        if share.panics && self.config.fail_traffic_on_panic {
            return Pick::Fail(Cause::NoEndpoint);
        }
        self.children.pick(number, now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.children.on_feedback(now, feedback, endpoints);
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

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.children.gauges(visit);
    }
}

impl EnvoyPriority {
    /// The endpoints of each level: all, and those that are thought to serve.
    fn count(&self, endpoints: &Endpoints<'_>) -> BTreeMap<u32, Hosts> {
        let mut levels = BTreeMap::new();
        let connects_all = self.children.connects_all();
        for endpoint in endpoints.members.iter().filter_map(|id| endpoints.get(*id)) {
            let untried = endpoint.connectivity == Connectivity::Idle && endpoint.health == Health::Healthy;
            let serves = endpoints.is_ready(endpoint.id) || (!connects_all && untried);
            let hosts = levels.entry(self.config.by.group(endpoint)).or_insert(Hosts { ready: 0, all: 0 });
            hosts.ready += u64::from(serves);
            hosts.all += 1;
        }
        levels
    }

    fn draw(&mut self) -> Option<(u32, Share)> {
        if let Some(level) = self.levels.iter().find(|(_, share)| share.percent == 100) {
            return Some(*level);
        }
        let mut left = if self.levels.is_empty() { 0 } else { self.rand.below(100) };
        let hit = self.levels.iter().find(|(_, share)| {
            let here = left < share.percent;
            left = left.saturating_sub(share.percent);
            here
        });
        hit.copied()
    }
}

fn factor<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let percent = read::percent(deserializer)?;
    if (100..=100_000).contains(&percent) {
        return Ok(percent);
    }
    Err(serde::de::Error::custom(format_args!("`overprovisioning` is 100 to 100000 percent, not {percent}")))
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let percent = read::percent(deserializer)?;
    if percent <= 100 {
        return Ok(percent);
    }
    Err(serde::de::Error::custom(format_args!("`panic_threshold` is 0 to 100 percent, not {percent}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ZoneId;
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Health, Listing};

    /// Shares of levels of 100 hosts of which so many are ready, and who panics.
    fn of(ready: &[u64]) -> (Vec<u64>, Vec<bool>) {
        let hosts: Vec<Hosts> = ready.iter().map(|ready| Hosts { ready: *ready, all: 100 }).collect();
        shares(&hosts, 140, 50).into_iter().map(|share| (share.percent, share.panics)).unzip()
    }

    #[test]
    fn loads_of_envoys_documentation() {
        for (ready, expected) in [
            ([100, 100], [100, 0]),
            ([72, 100], [100, 0]),
            ([71, 100], [99, 1]),
            ([50, 100], [70, 30]),
            ([25, 100], [35, 65]),
            ([0, 100], [0, 100]),
        ] {
            assert_eq!(of(&ready), (expected.to_vec(), vec![false; 2]), "{ready:?}");
        }
        assert_eq!(of(&[25, 25]), (vec![50, 50], vec![true; 2]));
    }

    #[test]
    fn availability_is_shared_in_order_and_rounding_goes_first() {
        let parts = |ready: &[u64]| -> (Vec<u64>, u64) {
            let health: Vec<u64> = ready.iter().map(|ready| 140 * ready / 100).collect();
            let available = health.iter().sum::<u64>().min(100);
            (split(health.iter().copied(), available), available)
        };
        assert_eq!(parts(&[25, 25]), (vec![50, 50], 70));
        assert_eq!(parts(&[10, 20, 10]), (vec![25, 50, 25], 56));
        assert_eq!(of(&[10, 20, 10]).1, [true; 3]);
        assert_eq!(split([0, 1, 1, 1].into_iter(), 3), [0, 34, 33, 33]);
        // Not all panic: 60 % of one level bears 84.
        assert_eq!(of(&[60, 5]), (vec![93, 7], vec![false, true]));
    }

    #[test]
    fn when_all_panic_hosts_count() {
        let percents = |hosts: &[(u64, u64)], threshold| -> Vec<u64> {
            let hosts: Vec<Hosts> = hosts.iter().map(|(ready, all)| Hosts { ready: *ready, all: *all }).collect();
            shares(&hosts, 140, threshold).iter().map(|share| share.percent).collect()
        };
        assert_eq!(percents(&[(0, 3), (1, 7)], 50), [30, 70]);
        assert_eq!(percents(&[(0, 1), (0, 1), (0, 1)], 50), [34, 33, 33]);
        assert_eq!(percents(&[(0, 3), (1, 7)], 0), [0, 100], "without a threshold nobody panics");
    }

    /// Ten endpoints in zone 0 and ten in zone 1.
    fn world(config: &Config) -> World {
        let distances = [1, 20].map(Duration::from_millis);
        let context = Context { distances: distances.into(), ..Context::lone(1) };
        let listings: Vec<Listing> =
            (0..20).map(|i| Listing { zone: ZoneId(i as u16 / 10), ..listing(i, 1) }).collect();
        World::of(listings, config.build(&context))
    }

    fn fail(world: &mut World, places: std::ops::Range<usize>) {
        places.for_each(|place| world.health(place, Health::Failed));
    }

    #[test]
    fn what_is_too_much_spills_over() {
        let mut world = world(&Config::default());
        let far = |world: &mut World| world.counts(10_000)[10..].iter().sum::<usize>();
        assert_eq!(far(&mut world), 0);
        fail(&mut world, 0..5);
        let spilled = far(&mut world);
        assert!((2_850..3_150).contains(&spilled), "{spilled} where 30 % are expected");
    }

    #[test]
    fn in_panic_health_does_not_count_and_connections_do() {
        for child in [r#""round_robin""#, r#""ring_hash""#, r#""least_connections""#] {
            let mut world = world(&serde_json::from_str(&format!(r#"{{ "child": {child} }}"#)).unwrap());
            let used = |world: &mut World| {
                let mut used: Vec<usize> = (0..400).map(|i| world.pick_hash(crate::base::rand::mix(i))).collect();
                used.sort_unstable();
                used.dedup();
                used
            };
            fail(&mut world, 0..8);
            fail(&mut world, 10..18);
            // 20 % of each level are healthy: both panic, and all hosts of both are used …
            assert_eq!(used(&mut world), (0..20).collect::<Vec<_>>(), "{child}");
            // … also where nobody at all is healthy, but for those without a connection …
            fail(&mut world, 0..20);
            world.connectivity(3, Connectivity::TransientFailure);
            let connected: Vec<usize> = (0..20).filter(|place| *place != 3).collect();
            assert_eq!(used(&mut world), connected, "{child}");
            // … until enough are healthy again.
            world.connectivity(3, Connectivity::Ready);
            (0..20).for_each(|place| world.health(place, if place < 8 { Health::Healthy } else { Health::Failed }));
            assert_eq!(used(&mut world), (0..8).collect::<Vec<_>>(), "{child}");
        }
    }

    #[test]
    fn all_can_be_one_level() {
        let mut world = world(&Config { by: By::All, overprovisioning: 100, ..Config::default() });
        fail(&mut world, 0..9);
        let counts = world.counts(1_100);
        // 55 % are healthy: nobody panics, and near or far does not count.
        assert_eq!((&counts[..9], &counts[9..]), (&[0; 9][..], &[100; 11][..]));
        fail(&mut world, 0..11);
        assert!(world.counts(1_100).iter().all(|count| *count == 55), "45 % are below the threshold");
    }

    #[test]
    fn a_level_in_panic_can_fail_its_calls() {
        for (fail_traffic_on_panic, failed) in [(false, 0..1), (true, 100..101)] {
            let mut world = world(&Config { fail_traffic_on_panic, ..Config::default() });
            fail(&mut world, 0..8);
            fail(&mut world, 10..18);
            let refused = (0..100).filter(|_| world.pick(&Request::plain()) == Pick::Fail(Cause::NoEndpoint)).count();
            assert!(failed.contains(&refused), "{refused} of 100 with {fail_traffic_on_panic}");
        }
    }

    #[test]
    fn percentages_are_checked() {
        let message = |text| toml::from_str::<Config>(text).unwrap_err().message().to_owned();
        assert!(message("overprovisioning = 99").contains("100 to 100000"));
        assert!(message("panic_threshold = 101").contains("0 to 100"));
    }
}
