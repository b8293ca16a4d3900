//! Levels in order, each as much as its healthy share can bear: what is too much spills over to the next.
//!
//! Origin: Envoy's priority levels, over-provisioning factor, degraded hosts and panic threshold
//! (`load_balancer_impl.cc`). A level is a zone or a region, nearest first, or all endpoints together.
//! Observes: how many endpoints of each level are ready, how many are degraded and how many are draining; what its child
//! observes.
//! Cost: that of the child; O(n) when endpoints change.
//! Draws: one a pick while calls are shared among levels, or with degraded endpoints, else none.
//! Fails when: fewer than 1/1.4 of a level are ready, because its callers then reach the next level at once, near or
//! far; many levels are half ready, because all together panic.
//!
//! Degraded are suspects while they are a last resort, whether announced as degraded or with a missed probe. They need not
//! wait until nobody is healthy: they take what the healthy of all levels together cannot bear, and each level has a child
//! of its own for them. Where a health check includes suspects they are healthy here, and where it excludes them they are
//! as failed. Envoy's hash policies look at healthy hosts only; here any child can be that of the degraded. A draining
//! endpoint counts neither as healthy nor among all of its level, as in Envoy since 1.29.
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
use crate::policy::endpoints::{Connectivity, Eligible, Health};

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
    /// Share of healthy and degraded endpoints, in percent, below which a level panics while all levels together cannot
    /// bear the load; 0 is never.
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
        // A single level has the draws of a child that stands alone, so its parent takes others.
        let (children, rand) = match self.by {
            By::All => (Children::sole(&self.child, context), context.child("level").seed.stream("envoy_priority")),
            _ => (Children::new(&self.child, context), context.seed.stream("envoy_priority")),
        };
        Box::new(EnvoyPriority {
            config: self.clone(),
            context: context.clone(),
            rand,
            children,
            degraded: None,
            levels: vec![],
        })
    }
}

#[derive(Debug)]
struct EnvoyPriority {
    config: Config,
    context: Context,
    rand: Rand,
    /// Of the healthy endpoints of each level, or of all in panic.
    children: Children,
    /// Of the degraded ones, from the first on.
    degraded: Option<Children>,
    /// First choice first: number, percent of the calls, and whether it panics.
    levels: Vec<(u32, Share)>,
}

/// Endpoints of a level.
#[derive(Debug, Clone, Copy, Default)]
struct Hosts {
    healthy: u64,
    degraded: u64,
    draining: u64,
    all: u64,
}

impl Hosts {
    /// All but those that are draining (Envoy's excluded hosts).
    fn counted(&self) -> u64 {
        self.all - self.draining
    }

    /// Below this share in percent of hosts that can take calls; nobody at all is below any.
    fn are_below(&self, threshold: u64) -> bool {
        threshold > 0 && (self.counted() == 0 || 100 * (self.healthy + self.degraded) < threshold * self.counted())
    }
}

/// What a level gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    /// For its healthy hosts or, in panic, for all of them.
    healthy: u64,
    /// For its degraded hosts.
    degraded: u64,
    panics: bool,
}

/// The shares of all levels, in whole percent. They add up to 100 unless there is no host at all.
fn shares(levels: &[Hosts], overprovisioning: u64, panic_threshold: u64) -> Vec<Share> {
    let bearable = |up: u64, hosts: &Hosts| (overprovisioning * up).checked_div(hosts.counted()).unwrap_or(0).min(100);
    let healthy: Vec<u64> = levels.iter().map(|hosts| bearable(hosts.healthy, hosts)).collect();
    let degraded: Vec<u64> = levels.iter().map(|hosts| bearable(hosts.degraded, hosts)).collect();
    let available = healthy.iter().chain(&degraded).sum::<u64>().min(100);
    let panic: Vec<bool> = levels.iter().map(|hosts| available < 100 && hosts.are_below(panic_threshold)).collect();
    let (healthy, degraded) = if panic.iter().all(|panics| *panics) {
        // Everybody panics: by the number of hosts, whatever their health, and also of those that are draining.
        let hosts: Vec<u64> = levels.iter().map(|hosts| hosts.all).collect();
        let all = hosts.iter().sum();
        split(&hosts, &vec![0; hosts.len()], all)
    } else {
        split(&healthy, &degraded, available)
    };
    let shares = healthy.into_iter().zip(degraded).zip(panic);
    shares.map(|((healthy, degraded), panics)| Share { healthy, degraded, panics }).collect()
}

/// 100 in proportion to the parts of `all`, rounded down, and no more than is left: the healthy parts come first, then
/// the degraded ones, each in the order of the levels. The first that has a part gets what rounding left over.
fn split(healthy: &[u64], degraded: &[u64], all: u64) -> (Vec<u64>, Vec<u64>) {
    let mut left = 100;
    let mut share = |part: &u64| {
        let share = (100 * part).checked_div(all).unwrap_or(0).min(left);
        left -= share;
        share
    };
    let mut percents: Vec<u64> = healthy.iter().chain(degraded).map(&mut share).collect();
    if let Some(first) = healthy.iter().chain(degraded).position(|part| *part > 0) {
        percents[first] += left;
    }
    let of_degraded = percents.split_off(healthy.len());
    (percents, of_degraded)
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
        let eligible = |level: u32| match panics.get(&level) {
            Some(true) if !self.config.fail_traffic_on_panic => Eligible::Anybody,
            _ => Eligible::Ready,
        };
        self.children.on_endpoints_eligible(now, endpoints, |endpoint| by.group(endpoint), eligible);
        if self.degraded.is_none() && hosts.values().any(|hosts| hosts.degraded > 0) {
            self.degraded = Some(Children::new(&self.config.child, &self.context.child("degraded")));
        }
        if let Some(degraded) = &mut self.degraded {
            degraded.on_endpoints_eligible(now, endpoints, |endpoint| by.group(endpoint), |_| Eligible::Degraded);
        }
        let ranked = by.ranked(&self.children, endpoints, &self.context);
        let shares = shares(&ranked.iter().map(|level| hosts[level]).collect::<Vec<_>>());
        self.levels = ranked.into_iter().zip(shares).collect();
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if endpoints.ready.is_empty() && self.children.connects_all() && !self.uses_unready() {
            return Pick::nobody(endpoints);
        }
        let Some((number, share, is_degraded)) = self.draw() else { return Pick::nobody(endpoints) };
        if share.panics && self.config.fail_traffic_on_panic {
            return Pick::Fail(Cause::NoEndpoint);
        }
        match &mut self.degraded {
            // In panic all hosts are one (`hostSourceToUse`).
            Some(degraded) if is_degraded && !share.panics => degraded.pick(number, now, request, endpoints),
            _ => self.children.pick(number, now, request, endpoints),
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.children.on_feedback(now, feedback, endpoints);
        if let Some(degraded) = &mut self.degraded {
            degraded.on_feedback(now, feedback, endpoints);
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.children.poll_want().or_else(|| self.degraded.as_mut().and_then(Children::poll_want))
    }

    fn next_timeout(&self) -> Option<Instant> {
        let degraded = self.degraded.as_ref().and_then(Children::next_timeout);
        self.children.next_timeout().into_iter().chain(degraded).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_timeout(now, endpoints);
        if let Some(degraded) = &mut self.degraded {
            degraded.on_timeout(now, endpoints);
        }
    }

    fn only_picks(&self) -> bool {
        self.children.only_picks()
    }

    fn connects_all(&self) -> bool {
        self.children.connects_all()
    }

    fn heeds_health(&self) -> bool {
        true
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.children.gauges(visit);
    }
}

impl EnvoyPriority {
    /// The endpoints of each level: all, and those that are thought to serve.
    fn count(&self, endpoints: &Endpoints<'_>) -> BTreeMap<u32, Hosts> {
        let mut levels: BTreeMap<u32, Hosts> = BTreeMap::new();
        for endpoint in endpoints.members.iter().filter_map(|id| endpoints.get(*id)) {
            let untried = endpoint.connectivity == Connectivity::Idle && !self.children.connects_all();
            let hosts = levels.entry(self.config.by.group(endpoint)).or_default();
            hosts.all += 1;
            if endpoint.is_draining() {
                hosts.draining += 1;
            } else if endpoints.is_degraded(endpoint) {
                hosts.degraded += u64::from(endpoint.connectivity == Connectivity::Ready || untried);
            } else {
                let serves = endpoints.is_ready(endpoint.id) || (untried && endpoint.health == Health::Healthy);
                hosts.healthy += u64::from(serves);
            }
        }
        levels
    }

    /// True if calls go to endpoints that are not ready.
    fn uses_unready(&self) -> bool {
        let to_all = !self.config.fail_traffic_on_panic;
        self.levels.iter().any(|(_, share)| share.degraded > 0 || (to_all && share.panics))
    }

    /// The level of a call, and whether its degraded endpoints take it.
    fn draw(&mut self) -> Option<(u32, Share, bool)> {
        let sure = self.levels.iter().find(|(_, share)| share.healthy == 100 || share.degraded == 100);
        if let Some((number, share)) = sure {
            return Some((*number, *share, share.degraded == 100));
        }
        let mut left = if self.levels.is_empty() { 0 } else { self.rand.below(100) };
        let parts =
            [false, true].into_iter().flat_map(|degraded| self.levels.iter().map(move |level| (level, degraded)));
        for ((number, share), is_degraded) in parts {
            let percent = if is_degraded { share.degraded } else { share.healthy };
            if left < percent {
                return Some((*number, *share, is_degraded));
            }
            left -= percent;
        }
        None
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
    use crate::policy::endpoints::{Health, Listing, SuspectRule, Table};

    /// Shares of levels of 100 hosts of which so many are ready, and who panics.
    fn of(ready: &[u64]) -> (Vec<u64>, Vec<bool>) {
        let hosts: Vec<Hosts> =
            ready.iter().map(|ready| Hosts { healthy: *ready, all: 100, ..Hosts::default() }).collect();
        let shares = shares(&hosts, 140, 50);
        assert!(shares.iter().all(|share| share.degraded == 0));
        shares.into_iter().map(|share| (share.healthy, share.panics)).unzip()
    }

    /// Shares of the healthy and the degraded of levels of 100 hosts, so many of each, and who panics.
    fn with_degraded(levels: &[(u64, u64)]) -> (Vec<u64>, Vec<u64>, Vec<bool>) {
        let hosts =
            |(healthy, degraded): &(u64, u64)| Hosts { healthy: *healthy, degraded: *degraded, all: 100, draining: 0 };
        let shares = shares(&levels.iter().map(hosts).collect::<Vec<_>>(), 140, 50);
        let of = |part: fn(&Share) -> u64| shares.iter().map(part).collect();
        (of(|share| share.healthy), of(|share| share.degraded), shares.iter().map(|share| share.panics).collect())
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
            let (percents, degraded) = split(&health, &vec![0; health.len()], available);
            assert!(degraded.iter().all(|percent| *percent == 0));
            (percents, available)
        };
        assert_eq!(parts(&[25, 25]), (vec![50, 50], 70));
        assert_eq!(parts(&[10, 20, 10]), (vec![25, 50, 25], 56));
        assert_eq!(of(&[10, 20, 10]).1, [true; 3]);
        assert_eq!(split(&[0, 1, 1, 1], &[0; 4], 3).0, [0, 34, 33, 33]);
        // Not all panic: 60 % of one level bears 84.
        assert_eq!(of(&[60, 5]), (vec![93, 7], vec![false, true]));
    }

    /// A level of Envoy's own tests: all hosts, and of them healthy, degraded and excluded ones.
    fn level((all, healthy, degraded, draining): (u64, u64, u64, u64)) -> Hosts {
        Hosts { healthy, degraded, draining, all }
    }

    #[test]
    fn degraded_hosts_of_envoys_documentation() {
        // "Degraded endpoints": one level of which so many percent are healthy and degraded.
        for (healthy, degraded, to_healthy, to_degraded) in
            [(100, 0, 100, 0), (71, 0, 100, 0), (71, 29, 99, 1), (25, 65, 35, 65), (5, 0, 100, 0)]
        {
            let found = with_degraded(&[(healthy, degraded)]);
            assert_eq!((found.0[0], found.1[0]), (to_healthy, to_degraded), "{healthy} % and {degraded} %");
        }
        // The comment in `recalculatePerPriorityState`: health 10, 20, 10 and 20, 10, 0; 2 are left by rounding.
        assert_eq!(split(&[10, 20, 10], &[20, 10, 0], 70), (vec![16, 28, 14], vec![28, 14, 0]));
    }

    #[test]
    fn degraded_and_excluded_hosts_of_envoys_tests() {
        // `load_balancer_impl_base_test.cc`: GentleFailover and GentleFailoverWithExtraLevels.
        type Case<'l> = (&'l [(u64, u64, u64, u64)], u64, &'l [u64], &'l [u64], bool);
        let cases: &[Case<'_>] = &[
            (&[(4, 1, 0, 3), (5, 1, 0, 0)], 50, &[100, 0], &[0, 0], false),
            (&[(4, 0, 0, 4), (4, 1, 0, 0)], 50, &[50, 50], &[0, 0], true),
            (&[(4, 0, 0, 1), (6, 1, 0, 2)], 50, &[40, 60], &[0, 0], true),
            (&[(5, 0, 5, 0), (5, 2, 2, 0), (5, 2, 0, 0)], 50, &[0, 56, 44], &[0, 0, 0], false),
            (&[(5, 0, 1, 0), (5, 0, 5, 0), (5, 1, 0, 0)], 50, &[0, 0, 28], &[28, 44, 0], false),
            (&[(5, 0, 0, 0), (5, 0, 2, 0), (5, 0, 1, 0)], 0, &[0, 0, 0], &[0, 67, 33], false),
            (&[(5, 0, 0, 0), (5, 0, 2, 0), (5, 0, 1, 0)], 50, &[34, 33, 33], &[0, 0, 0], true),
            (&[(5, 0, 0, 0), (6, 2, 0, 0), (3, 1, 0, 0)], 50, &[37, 42, 21], &[0, 0, 0], true),
        ];
        for (levels, threshold, healthy, degraded, panic) in cases {
            let hosts: Vec<Hosts> = levels.iter().copied().map(level).collect();
            let found = shares(&hosts, 140, *threshold);
            assert_eq!(found.iter().map(|share| share.healthy).collect::<Vec<_>>(), *healthy, "{levels:?}");
            assert_eq!(found.iter().map(|share| share.degraded).collect::<Vec<_>>(), *degraded, "{levels:?}");
            assert!(found.iter().all(|share| share.panics == *panic), "{levels:?}: {found:?}");
        }
        // WeightedPriorityHealthDegraded, where hosts stand for units of weight.
        let weighed = shares(&[(10, 4, 3, 0), (10, 1, 9, 0)].map(level), 100, 50);
        let parts: Vec<_> = weighed.iter().map(|share| (share.healthy, share.degraded)).collect();
        assert_eq!(parts, [(40, 30), (10, 20)]);
    }

    #[test]
    fn the_shares_of_all_levels_are_100_percent() {
        let mut rand = crate::base::rand::Seed::new(1).stream("levels");
        for _ in 0..5_000 {
            let levels: Vec<Hosts> = (0..=rand.below(4))
                .map(|_| {
                    let part = |rand: &mut Rand| rand.below(7);
                    let (healthy, degraded, draining) = (part(&mut rand), part(&mut rand), part(&mut rand));
                    Hosts { healthy, degraded, draining, all: healthy + degraded + draining + part(&mut rand) }
                })
                .collect();
            let threshold = [0, 50, 100][rand.below(3) as usize];
            let shares = shares(&levels, 140, threshold);
            let sum: u64 = shares.iter().map(|share| share.healthy + share.degraded).sum();
            let nobody = levels.iter().all(|hosts| hosts.healthy + hosts.degraded == 0);
            let expected = if threshold == 0 && nobody || levels.iter().all(|hosts| hosts.all == 0) { 0 } else { 100 };
            assert_eq!(sum, expected, "{levels:?} with {threshold}");
            for (hosts, share) in levels.iter().zip(&shares) {
                assert!(share.panics || share.healthy == 0 || hosts.healthy > 0, "{levels:?}: {shares:?}");
                assert!(share.degraded == 0 || hosts.degraded > 0, "{levels:?}: {shares:?}");
            }
        }
    }

    #[test]
    fn when_all_panic_hosts_count() {
        let percents = |hosts: &[(u64, u64)], threshold| -> Vec<u64> {
            let of = |(healthy, all): &(u64, u64)| Hosts { healthy: *healthy, all: *all, ..Hosts::default() };
            let hosts: Vec<Hosts> = hosts.iter().map(of).collect();
            shares(&hosts, 140, threshold).iter().map(|share| share.healthy).collect()
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

    /// Twenty endpoints as one level, of these healths from the first on.
    fn one_level(child: &str, rule: SuspectRule, healths: &[(usize, Health)]) -> World {
        let config: Config = serde_json::from_str(&format!(r#"{{ "by": "all", "child": {child} }}"#)).unwrap();
        let mut world = world(&config);
        world.table = Table::new(rule);
        let healths = healths.iter().flat_map(|(count, health)| std::iter::repeat_n(*health, *count));
        world.list(healths.enumerate().map(|(i, health)| Listing { health, ..listing(i as u32, 1) }).collect());
        world
    }

    const MIXED: &[(usize, Health)] = &[(5, Health::Healthy), (13, Health::Suspect), (2, Health::Failed)];

    #[test]
    fn calls_that_the_healthy_cannot_bear_go_to_the_degraded() {
        for child in [r#""round_robin""#, r#""wrr_smooth""#, r#""ring_hash""#, r#""least_connections""#] {
            let mut world = one_level(child, SuspectRule::LastResort, MIXED);
            let mut counts = [0; 20];
            (0..10_000).for_each(|i| counts[world.pick_hash(crate::base::rand::mix(i))] += 1);
            let (healthy, degraded): (usize, usize) = (counts[..5].iter().sum(), counts[5..18].iter().sum());
            // 25 % healthy and 65 % degraded: 35 and 65, as Envoy's documentation has it.
            assert!(healthy.abs_diff(3_500) < 200 && healthy + degraded == 10_000, "{child}: {counts:?}");
            assert!(counts[..18].iter().all(|count| *count > 0), "{child}: {counts:?}");
        }
    }

    #[test]
    fn healthy_and_degraded_have_children_of_their_own() {
        let mut world = one_level(r#"{ "round_robin": { "start": "zero" } }"#, SuspectRule::LastResort, MIXED);
        let picks: Vec<usize> = (0..400).map(|_| world.pick_hash(0)).collect();
        let turns = |of: std::ops::Range<usize>| -> Vec<usize> {
            picks.iter().copied().filter(|place| of.contains(place)).collect()
        };
        let in_turn = |of: std::ops::Range<usize>, n| of.cycle().take(n).collect::<Vec<_>>();
        assert_eq!(turns(0..5), in_turn(0..5, turns(0..5).len()), "the degraded take no turns of the healthy");
        assert_eq!(turns(5..18), in_turn(5..18, turns(5..18).len()));
    }

    #[test]
    fn suspects_are_degraded_only_while_they_are_a_last_resort() {
        let used = |rule| {
            let counts =
                one_level(r#""round_robin""#, rule, &[(15, Health::Healthy), (5, Health::Suspect)]).counts(1_000);
            (counts[..15].iter().sum::<usize>(), counts[15..].iter().sum::<usize>())
        };
        // 75 % healthy bear everything; who is included has a quarter.
        assert_eq!(used(SuspectRule::LastResort), (1_000, 0));
        assert_eq!(used(SuspectRule::Include), (750, 250));
        let few = [(8, Health::Healthy), (12, Health::Suspect)];
        let few = |rule| one_level(r#""round_robin""#, rule, &few).counts(2_000)[8..].iter().sum::<usize>();
        let spilled = few(SuspectRule::LastResort);
        assert!(spilled.abs_diff(880) < 100, "40 % bear 56: {spilled}");
        // Excluded ones are gone: 40 % are too few, and everybody is used.
        assert_eq!(few(SuspectRule::Exclude), 1_200);
    }

    #[test]
    fn with_nobody_healthy_the_degraded_take_all() {
        let mut world =
            one_level(r#""round_robin""#, SuspectRule::LastResort, &[(12, Health::Suspect), (8, Health::Failed)]);
        let counts = world.counts(1_200);
        assert_eq!((&counts[..12], &counts[12..]), (&[100; 12][..], &[0; 8][..]));
        // One that fails makes it 11 of 20, and a suspect that has no connection takes no calls.
        world.health(0, Health::Failed);
        world.connectivity(1, Connectivity::TransientFailure);
        let counts = world.counts(1_000);
        assert_eq!((&counts[..2], &counts[2..12], &counts[12..]), (&[0; 2][..], &[100; 10][..], &[0; 8][..]));
    }

    #[test]
    fn who_drains_is_not_missed() {
        let mostly = &[(5, Health::Healthy), (14, Health::Draining), (1, Health::Failed)];
        let counts = one_level(r#""round_robin""#, SuspectRule::LastResort, mostly).counts(1_000);
        assert_eq!((&counts[..5], &counts[5..]), (&[200; 5][..], &[0; 15][..]), "five of six are enough");
        // Without them it is one of six, and in panic even they are used, as Envoy does (its issue 46800).
        let few = &[(1, Health::Healthy), (14, Health::Draining), (5, Health::Failed)];
        let counts = one_level(r#""round_robin""#, SuspectRule::LastResort, few).counts(1_000);
        assert_eq!(counts, [50; 20]);
    }

    #[test]
    fn a_single_level_draws_as_its_child_alone() {
        for child in [r#""random""#, r#""least_request""#, r#""round_robin""#, r#""maglev""#] {
            let config: Config = serde_json::from_str(&format!(r#"{{ "by": "all", "child": {child} }}"#)).unwrap();
            let alone: Spec = serde_json::from_str(child).unwrap();
            let (mut inside, mut alone) = (World::equal(9, &config), World::equal(9, &alone));
            assert_eq!(inside.picks(500), alone.picks(500), "{child}");
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
