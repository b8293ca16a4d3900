//! Two levels: a name server gives each client a region for a while; inside the region a child balancer decides.
//!
//! Origin: global server load balancing by DNS: weighted answers, health monitors, regional failover. The region's
//! weight is the sum of its endpoints' weights.
//! Observes: which share of each region is ready, as of the monitor's last look; what its child observes.
//! Cost: that of the child; O(n) a look of the monitor.
//! Draws: one an answer, derived from its number, so that clients of one resolver draw alike; none a pick.
//! Fails when: a region goes down, because a client stays there until the monitor has looked and its answer has
//! run out; many clients share a resolver, because they move together.
//!
//! The monitor sees a region as this client does: where a network fault cuts off this client alone, a real monitor
//! would still call the region healthy and the client would stay; where it cuts off the monitor, the reverse.

use serde::{Deserialize, Deserializer, Serialize};

use super::children::Children;
use crate::base::bounds::above_zero;
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::mix;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::{Context, Spec};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Parameters of `gslb`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The balancer inside the region.
    pub child: Box<Spec>,
    /// How long a client keeps an answer. The first one has been in its resolver's cache for a random while.
    #[serde(deserialize_with = "above_zero")]
    pub ttl: Duration,
    /// How often the monitor looks.
    #[serde(deserialize_with = "above_zero")]
    pub monitor_interval: Duration,
    /// Share of a region's endpoints that must be ready for the region to be healthy.
    pub min_healthy: Ratio,
    /// Who takes over for a region that is not healthy. If none is, all of them are served as if they were.
    pub failover: Failover,
    /// Clients that share a resolver, and so an answer: as many clients in a row, by number.
    #[serde(deserialize_with = "one_or_more")]
    pub clients_per_resolver: u32,
}

/// Who takes over for a region that is not healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Failover {
    /// The healthy ones, by weight.
    #[default]
    Reweight,
    /// The healthy one nearest to the client.
    Ordered,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            child: Box::new(Spec::WrrSmooth(Default::default())),
            ttl: Duration::from_secs(30),
            monitor_interval: Duration::from_secs(10),
            min_healthy: Ratio::of(0.5),
            failover: Failover::Reweight,
            clients_per_resolver: 1,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let key = match self.clients_per_resolver {
            1 => context.seed.number("gslb"),
            share => context.seed.root().number(&format!("gslb/resolver/{}", context.client.0 / share)),
        };
        Box::new(Gslb {
            config: self.clone(),
            context: context.clone(),
            children: Children::new(&self.child, context),
            regions: vec![],
            answer: None,
            next_look: Instant::ZERO,
            resolver: Resolver { key, ttl: self.ttl },
        })
    }
}

#[derive(Debug)]
struct Gslb {
    config: Config,
    context: Context,
    children: Children,
    /// Nearest first.
    regions: Vec<Region>,
    answer: Option<Answer>,
    /// When the monitor looks again. It looks at whole multiples of its interval, for all clients alike.
    next_look: Instant,
    resolver: Resolver,
}

#[derive(Debug, Clone, Copy)]
struct Region {
    number: u32,
    distance: Duration,
    /// Sum over its endpoints.
    weight: u64,
    /// What the monitor said last. A region that it has not looked at yet is healthy.
    healthy: bool,
}

/// What the resolver said.
#[derive(Debug, Clone, Copy)]
struct Answer {
    region: u32,
    until: Instant,
}

/// When answers run out and what they draw: functions of their number alone, so clients of one resolver agree
/// without sharing anything.
#[derive(Debug, Clone, Copy)]
struct Resolver {
    key: u64,
    ttl: Duration,
}

impl Resolver {
    /// The end of the answer that is given at `now`, and its draw.
    fn answer(self, now: Instant) -> (Instant, u64) {
        let ttl = u128::from(self.ttl.as_nanos());
        let phase = u128::from(mix(self.key)) % ttl;
        let number = (u128::from(now.as_nanos()) + phase) / ttl;
        let until = u64::try_from((number + 1) * ttl - phase).unwrap_or(u64::MAX);
        (Instant::from_nanos(until), mix(self.key ^ mix(number as u64 + 1)))
    }
}

impl Balancer for Gslb {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_endpoints(now, endpoints, |endpoint| u32::from(endpoint.region.0));
        self.note_regions(endpoints);
        self.catch_up(now);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.answer {
            Some(answer) => self.children.pick(answer.region, now, request, endpoints),
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
        let own = self.answer.map(|answer| answer.until.min(self.next_look));
        own.into_iter().chain(self.children.next_timeout()).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.children.on_timeout(now, endpoints);
        self.catch_up(now);
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

impl Gslb {
    /// Weights and distances as listed now; what the monitor said stays.
    fn note_regions(&mut self, endpoints: &Endpoints<'_>) {
        let before = std::mem::take(&mut self.regions);
        for (number, child) in self.children.groups().filter(|(_, child)| !child.members().is_empty()) {
            let members = || child.members().iter().filter_map(|id| endpoints.get(*id));
            let far = |zone: usize| self.context.distances.get(zone).copied().unwrap_or(Duration::MAX);
            let was = before.iter().find(|region| region.number == number);
            self.regions.push(Region {
                number,
                distance: members().map(|endpoint| far(endpoint.zone.index())).min().unwrap_or(Duration::MAX),
                weight: members().map(|endpoint| u64::from(endpoint.weight)).sum(),
                healthy: was.is_none_or(|region| region.healthy),
            });
        }
        self.regions.sort_by_key(|region| (region.distance, region.number));
    }

    /// Looks and asks again, if it is time. The monitor goes first: an answer knows what it has just seen.
    fn catch_up(&mut self, now: Instant) {
        if now >= self.next_look {
            let interval = self.config.monitor_interval.as_nanos();
            self.next_look = Instant::from_nanos((now.as_nanos() / interval + 1).saturating_mul(interval));
            self.look();
        }
        if self.answer.is_none_or(|answer| now >= answer.until) {
            let (until, draw) = self.resolver.answer(now);
            self.answer = self.draw_region(draw).map(|region| Answer { region, until });
        }
    }

    fn look(&mut self) {
        for region in &mut self.regions {
            let child = self.children.get(region.number).expect("a region has a child");
            let serving = child.serving(self.children.connects_all());
            region.healthy = serving as f64 / child.members().len() as f64 >= self.config.min_healthy.value();
        }
    }

    /// The region of an answer; `None` if there is none at all.
    fn draw_region(&self, draw: u64) -> Option<u32> {
        let any_healthy = self.regions.iter().any(|region| region.healthy);
        let by_weight = |usable: &dyn Fn(&Region) -> bool| weighted(self.regions.iter().filter(|r| usable(r)), draw);
        match self.config.failover {
            Failover::Reweight => by_weight(&|region| region.healthy || !any_healthy),
            Failover::Ordered => by_weight(&|_| true)
                .filter(|drawn| drawn.healthy || !any_healthy)
                .or_else(|| self.regions.iter().find(|region| region.healthy)),
        }
        .map(|region| region.number)
    }
}

/// One of the regions, in proportion to weight; alike if all weights are 0.
fn weighted<'r>(regions: impl Iterator<Item = &'r Region> + Clone, draw: u64) -> Option<&'r Region> {
    let all_zero = regions.clone().all(|region| region.weight == 0);
    let weight = |region: &Region| if all_zero { 1 } else { region.weight };
    let sum: u64 = regions.clone().map(weight).sum();
    let mut left = ((u128::from(draw) * u128::from(sum)) >> 64) as u64;
    regions.into_iter().find(|region| {
        let weight = weight(region);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("a resolver has 1 client or more, not 0")),
        clients => Ok(clients),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ClientId, RegionId, ZoneId};
    use crate::base::status::Cause;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::{Health, Listing};

    /// Three regions of two endpoints each, 30, 10 and 20 ms away, with weights 1, 2 and 5 an endpoint.
    fn listings() -> Vec<Listing> {
        let region = |i: u32| (i / 2) as u16;
        (0..6)
            .map(|i| Listing {
                zone: ZoneId(region(i)),
                region: RegionId(region(i)),
                ..listing(i, [1, 2, 5][region(i) as usize])
            })
            .collect()
    }

    fn client(config: &Config, number: u32) -> World {
        let distances = [30, 10, 20].map(Duration::from_millis);
        let seed = crate::base::rand::Seed::new(1).child(&format!("client/{number}"));
        let context = Context { seed, client: ClientId(number), distances: distances.into(), ..Context::lone(1) };
        World::of(listings(), config.build(&context))
    }

    fn region(world: &mut World) -> usize {
        let Pick::To(id) = world.pick(&Request::plain()) else { panic!("nobody is ready") };
        world.place(id) / 2
    }

    fn fail_region(world: &mut World, region: usize) {
        world.health(2 * region, Health::Failed);
        world.health(2 * region + 1, Health::Failed);
    }

    /// Clients by region.
    fn share(worlds: &mut [World]) -> [usize; 3] {
        let mut counts = [0; 3];
        worlds.iter_mut().for_each(|world| counts[region(world)] += 1);
        counts
    }

    fn fleet(config: &Config, clients: u32) -> Vec<World> {
        (0..clients).map(|number| client(config, number)).collect()
    }

    #[test]
    fn clients_spread_over_regions_by_weight() {
        let counts = share(&mut fleet(&Config::default(), 4_000));
        for (count, expected) in counts.iter().zip([500, 1_000, 2_500]) {
            assert!(count.abs_diff(expected) < 100, "{counts:?}");
        }
    }

    #[test]
    fn an_answer_is_kept_until_it_runs_out() {
        let mut world = client(&Config::default(), 7);
        let mut changes = vec![];
        let mut last = region(&mut world);
        for second in 1..=600_u64 {
            world.advance(Duration::from_secs(1));
            let now = region(&mut world);
            if now != last {
                changes.push(second);
            }
            last = now;
        }
        assert!(changes.len() > 3, "in 20 answers the region changes");
        let phase = changes[0] % 30;
        assert!(changes.iter().all(|second| second % 30 == phase), "{changes:?}");
    }

    #[test]
    fn clients_leave_a_dead_region_after_detection_and_the_rest_of_the_ttl() {
        let mut worlds = fleet(&Config::default(), 300);
        for world in &mut worlds {
            world.advance(Duration::from_secs(61));
            fail_region(world, 2);
        }
        let stuck = |worlds: &mut [World]| {
            worlds
                .iter_mut()
                .filter_map(|world| matches!(world.pick(&Request::plain()), Pick::Fail(_)).then_some(()))
                .count()
        };
        let at_once = stuck(&mut worlds);
        assert!((150..230).contains(&at_once), "{at_once} of 300 were in the heaviest region");
        worlds.iter_mut().for_each(|world| world.advance(Duration::from_secs(8)));
        let before = stuck(&mut worlds);
        assert!(before > 100, "until the monitor looks at 70 s answers still name the dead region");
        worlds.iter_mut().for_each(|world| world.advance(Duration::from_secs(16)));
        assert!((1..before).contains(&stuck(&mut worlds)), "half of the answers have run out");
        worlds.iter_mut().for_each(|world| world.advance(Duration::from_secs(15)));
        assert_eq!(stuck(&mut worlds), 0, "10 s for the monitor and 30 s for the answer have passed");
        let counts = share(&mut worlds);
        assert!(counts[1] > counts[0] && counts[2] == 0, "the others share by weight: {counts:?}");
        for world in &mut worlds {
            world.health(4, Health::Healthy);
            world.advance(Duration::from_secs(40));
        }
        assert!(share(&mut worlds)[2] > 120, "half of its endpoints are enough");
    }

    #[test]
    fn ordered_failover_goes_to_the_nearest_and_leaves_the_others_alone() {
        let ordered = Config { failover: Failover::Ordered, ..Config::default() };
        for number in 0..50 {
            let mut plain = client(&ordered, number);
            let mut failed = client(&ordered, number);
            fail_region(&mut failed, 2);
            for world in [&mut plain, &mut failed] {
                world.advance(Duration::from_secs(100));
            }
            let (was, is) = (region(&mut plain), region(&mut failed));
            assert_eq!(is, if was == 2 { 1 } else { was }, "region 1 is nearest");
        }
    }

    #[test]
    fn with_no_healthy_region_all_are_served() {
        let mut worlds = fleet(&Config { min_healthy: Ratio::ONE, ..Config::default() }, 400);
        for world in &mut worlds {
            [0, 2, 4].into_iter().for_each(|place| world.health(place, Health::Failed));
            world.advance(Duration::from_secs(100));
        }
        let counts = share(&mut worlds);
        assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
        for place in 0..6 {
            worlds[0].health(place, Health::Failed);
        }
        assert_eq!(worlds[0].pick(&Request::plain()), Pick::Fail(Cause::NoEndpoint));
    }

    #[test]
    fn an_empty_list_is_lived_through() {
        let mut world = client(&Config::default(), 0);
        world.list(vec![]);
        world.advance(Duration::from_secs(100));
        assert_eq!(world.pick(&Request::plain()), Pick::Fail(Cause::NoEndpoint));
        world.list(listings());
        region(&mut world);
        world.advance(Duration::from_secs(100));
        region(&mut world);
    }

    #[test]
    fn times_as_long_as_there_are_do_not_run_over() {
        let long = Duration::MAX;
        let mut world = client(&Config { ttl: long, monitor_interval: long, ..Config::default() }, 0);
        let first = region(&mut world);
        world.advance(Duration::from_secs(1_000_000));
        assert_eq!(region(&mut world), first);
    }

    #[test]
    fn clients_of_one_resolver_move_together() {
        let mut worlds = fleet(&Config { clients_per_resolver: 10, ..Config::default() }, 40);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..30 {
            let regions: Vec<usize> = worlds.iter_mut().map(region).collect();
            assert!(regions.chunks(10).all(|group| group.iter().all(|region| *region == group[0])), "{regions:?}");
            seen.insert([regions[0], regions[10], regions[20], regions[30]]);
            worlds.iter_mut().for_each(|world| world.advance(Duration::from_secs(7)));
        }
        assert!(seen.len() > 5, "resolvers do not agree among themselves");
    }

    #[test]
    fn waking_early_or_twice_changes_nothing() {
        let (mut woken, mut left) = (client(&Config::default(), 3), client(&Config::default(), 3));
        for _ in 0..200 {
            for world in [&mut woken, &mut left] {
                world.advance(Duration::from_millis(777));
            }
            woken.balancer.on_timeout(woken.now, &woken.table.view());
            woken.balancer.on_timeout(woken.now, &woken.table.view());
            assert_eq!(region(&mut woken), region(&mut left));
        }
    }

    #[test]
    fn it_is_written_as_in_the_language() {
        let config: Config = toml::from_str("child = 'wrr_smooth'\nttl = '5s'").unwrap();
        assert_eq!(config, Config { ttl: Duration::from_secs(5), ..Config::default() });
        let message = |text| toml::from_str::<Config>(text).unwrap_err().message().to_owned();
        assert!(message("ttl = '0s'").contains("no time at all"));
        assert!(message("clients_per_resolver = 0").contains("1 client or more"));
        assert!(message("min_healthy = '150%'").contains("150"));
    }
}
