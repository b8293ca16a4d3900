//! Round robin over the zones that are not worst off, without endpoints whose breaker has tripped.
//!
//! Origin: Netflix Ribbon `ZoneAvoidanceRule`, `ServerStats` and `LoadBalancerStats`.
//! Observes: calls that this client has open; connection failures in a row; zones.
//! Cost: O(n) a pick.
//! Draws: one where a zone is to be left out and several share the highest load; none else.
//! Fails when: zones are few, because leaving out the busiest of two sends every call to the other one and back; a
//! backend fails without breaking the connection, because the breaker does not see it.

use serde::{Deserialize, Serialize};

use crate::base::id::{EndpointId, ZoneId};
use crate::base::quantity::Ratio;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::status::Cause;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{above_zero, one_or_more};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `zone_avoidance`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Open calls an endpoint from which on the busiest zone is left out: above 0.
    #[serde(deserialize_with = "above_zero")]
    pub triggering_load: f64,
    /// Share of tripped endpoints from which on a zone is left out.
    pub blackout_share: Ratio,
    /// Connection failures in a row that trip the breaker, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub failures: u32,
    /// How long the breaker stays open at first; each failure more doubles it.
    pub blackout: Duration,
    /// How long it stays open at most.
    pub blackout_max: Duration,
    /// Calls count as open no longer than this after the count has changed.
    pub forget_open: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            triggering_load: 0.2,
            blackout_share: Ratio::of(0.99999),
            failures: 3,
            blackout: Duration::from_secs(10),
            blackout_max: Duration::from_secs(30),
            forget_open: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(ZoneAvoidance {
            config: self.clone(),
            rand: context.seed.stream("zone_avoidance"),
            stats: Slots::new(),
            zones: vec![],
            eligible: vec![],
            turn: 0,
        })
    }

    /// How long the breaker stays open after so many failures in a row.
    fn blackout(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.failures) {
            None => Duration::ZERO,
            Some(more) => self.blackout.saturating_mul(1 << more.min(16)).min(self.blackout_max),
        }
    }
}

#[derive(Debug)]
struct ZoneAvoidance {
    config: Config,
    rand: Rand,
    stats: Slots<Stats>,
    /// The zones of all members, for one pick.
    zones: Vec<Zone>,
    /// Who may be picked, for one pick.
    eligible: Vec<EndpointId>,
    turn: usize,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Stats {
    /// Connection failures in a row, and when the last one was.
    failures: u32,
    failed_at: Instant,
    /// Calls that count as open, and when that changed last.
    open: u32,
    changed_at: Instant,
}

impl Stats {
    /// Calls open, unless that is too old to be believed.
    fn open(&self, now: Instant, forget: Duration) -> u32 {
        if now.since(self.changed_at) > forget { 0 } else { self.open }
    }
}

/// What is known of a zone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Zone {
    zone: ZoneId,
    /// Ready endpoints.
    instances: u64,
    /// Those of them whose breaker has tripped.
    tripped: u64,
    /// Calls open on the others.
    open: u64,
    dropped: bool,
}

impl Zone {
    /// Open calls for each endpoint that has not tripped; `None` if there is none.
    fn load(&self) -> Option<f64> {
        let serving = self.instances - self.tripped;
        (serving > 0).then(|| self.open as f64 / serving as f64)
    }

    /// Whether it is left out whatever the others are like.
    fn is_out(&self, blackout_share: f64) -> bool {
        self.load().is_none() || self.tripped as f64 / self.instances as f64 >= blackout_share
    }
}

/// Marks the zones that are left out. A draw below the number given is made where several share the highest load.
fn drop_zones(zones: &mut [Zone], config: &Config, mut below: impl FnMut(u64) -> u64) {
    if zones.len() < 2 {
        return;
    }
    let mut highest = 0.0;
    for zone in zones.iter_mut() {
        zone.dropped = zone.is_out(config.blackout_share.value());
        highest = zone.load().filter(|_| !zone.dropped).map_or(highest, |load| load.max(highest));
    }
    let limited = zones.iter().any(|zone| zone.dropped);
    if highest < config.triggering_load && !limited {
        return;
    }
    let is_worst = |zone: &Zone| !zone.dropped && zone.load().is_some_and(|load| highest - load < SAME);
    let worst = zones.iter().filter(|zone| is_worst(zone));
    let (count, instances) = worst.fold((0, 0), |(count, sum), zone| (count + 1, sum + zone.instances));
    let mut left = if count > 1 { below(instances) } else { 0 };
    for zone in zones.iter_mut().filter(|zone| is_worst(zone)) {
        if left < zone.instances {
            zone.dropped = true;
            return;
        }
        left -= zone.instances;
    }
}

impl ZoneAvoidance {
    fn is_tripped(&self, now: Instant, id: EndpointId) -> bool {
        self.stats.get(id).is_some_and(|stats| now.since(stats.failed_at) < self.config.blackout(stats.failures))
    }

    fn count(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        for zone in &mut self.zones {
            *zone = Zone { instances: 0, tripped: 0, open: 0, dropped: false, ..*zone };
        }
        for id in endpoints.ready {
            let Some(endpoint) = endpoints.get(*id) else { continue };
            let tripped = self.is_tripped(now, *id);
            let open = self.stats.get(*id).map_or(0, |stats| stats.open(now, self.config.forget_open));
            let Ok(place) = self.zones.binary_search_by_key(&endpoint.zone, |zone| zone.zone) else { continue };
            let zone = &mut self.zones[place];
            zone.instances += 1;
            zone.tripped += u64::from(tripped);
            zone.open += if tripped { 0 } else { u64::from(open) };
        }
    }

    /// Who may be picked: in a zone that is not left out and not tripped, or else not tripped, or else anyone.
    fn filter(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let dropped = |id: &EndpointId| {
            let zone = endpoints.get(*id).map(|endpoint| endpoint.zone);
            self.zones.iter().any(|known| known.dropped && Some(known.zone) == zone)
        };
        let mut eligible = std::mem::take(&mut self.eligible);
        eligible.clear();
        let available = || endpoints.ready.iter().copied().filter(|id| !self.is_tripped(now, *id));
        eligible.extend(available().filter(|id| !dropped(id)));
        if eligible.is_empty() {
            eligible.extend(available());
        }
        if eligible.is_empty() {
            eligible.extend_from_slice(endpoints.ready);
        }
        self.eligible = eligible;
    }
}

impl Balancer for ZoneAvoidance {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.stats, endpoints, |id| {
            let open = endpoints.in_flight(id);
            Stats { open, changed_at: now, ..Stats::default() }
        });
        let zones = endpoints.members.iter().filter_map(|id| endpoints.get(*id)).map(|endpoint| endpoint.zone);
        let zones: std::collections::BTreeSet<ZoneId> = zones.collect();
        let empty = |zone| Zone { zone, instances: 0, tripped: 0, open: 0, dropped: false };
        self.zones = zones.into_iter().map(empty).collect();
        self.eligible.clear();
        self.eligible.reserve(endpoints.ready.len());
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.count(now, endpoints);
        let rand = &mut self.rand;
        drop_zones(&mut self.zones, &self.config, |n| rand.below(n));
        self.filter(now, endpoints);
        // Ribbon's counter is kept modulo the length of each list that it meets; where it is beyond a shorter one it
        // moves on and is read again.
        let n = self.eligible.len();
        while self.turn >= n {
            self.turn = (self.turn + 1) % n;
        }
        let id = self.eligible[self.turn];
        self.turn = (self.turn + 1) % n;
        Pick::To(id)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let (Feedback::Sent { endpoint } | Feedback::Done { endpoint, .. }) = *feedback else { return };
        let Some(stats) = self.stats.get_mut(endpoint) else { return };
        // What was too old to be believed is forgotten for good: its ends take nothing away.
        let open = stats.open(now, self.config.forget_open);
        stats.changed_at = now;
        match *feedback {
            Feedback::Sent { .. } => stats.open = open + 1,
            _ => stats.open = open.saturating_sub(1),
        }
        match *feedback {
            Feedback::Done { outcome: Err(failure), .. } if failure.cause == Cause::Connection => {
                stats.failures = stats.failures.saturating_add(1);
                stats.failed_at = now;
            }
            Feedback::Done { .. } => stats.failures = 0,
            _ => {}
        }
    }
}

/// Loads that differ by less are the same.
const SAME: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::Failure;
    use crate::policy::balancer::testing::{World, letters, listing};
    use crate::policy::endpoints::Listing;

    fn zone(zone: u16, instances: u64, tripped: u64, open: u64) -> Zone {
        Zone { zone: ZoneId(zone), instances, tripped, open, dropped: false }
    }

    /// The zones that stay, where the draw comes out as given.
    fn stay(zones: &[(u64, u64, u64)], draw: u64) -> Vec<u16> {
        let rows = zones.iter().enumerate().map(|(at, (n, tripped, open))| zone(at as u16, *n, *tripped, *open));
        let mut zones: Vec<Zone> = rows.collect();
        drop_zones(&mut zones, &Config::default(), |n| draw.min(n - 1));
        zones.iter().filter(|zone| !zone.dropped).map(|zone| zone.zone.0).collect()
    }

    #[test]
    fn the_busiest_zone_is_left_out_from_the_triggering_load_on() {
        assert_eq!(stay(&[(10, 0, 1), (10, 0, 0)], 0), [0, 1], "0.1 is below 0.2");
        assert_eq!(stay(&[(10, 0, 1), (10, 0, 2)], 0), [0], "0.2 is enough");
        // Load is by endpoints that have not tripped: 4 of 2 is more than 6 of 4.
        assert_eq!(stay(&[(4, 2, 4), (4, 0, 6)], 0), [1]);
        assert_eq!(stay(&[(3, 0, 9)], 0), [0], "the only zone stays");
    }

    #[test]
    fn a_dead_zone_goes_and_takes_the_busiest_with_it() {
        assert_eq!(stay(&[(0, 0, 0), (5, 0, 1), (5, 0, 0)], 0), [2], "no instance");
        assert_eq!(stay(&[(2, 2, 0), (5, 0, 0), (5, 0, 1)], 0), [1], "all tripped");
        assert_eq!(stay(&[(2, 2, 0), (5, 0, 0)], 0), [0; 0], "then nobody is left, and the filter relaxes");
    }

    #[test]
    fn equal_loads_are_drawn_by_instances() {
        let three = [(2, 0, 2), (5, 0, 5), (3, 0, 3)];
        assert_eq!([0, 1, 2, 6, 7, 9].map(|draw| stay(&three, draw)[0]), [1, 1, 0, 0, 0, 0]);
        assert_eq!([stay(&three, 6), stay(&three, 7)], [vec![0, 2], vec![0, 1]]);
    }

    #[test]
    fn the_breaker_stays_open_longer_and_longer() {
        let config = Config::default();
        let after = |failures| config.blackout(failures).as_secs_f64();
        assert_eq!([2, 3, 4, 5, 6, 99].map(after), [0.0, 10.0, 20.0, 30.0, 30.0, 30.0]);
    }

    /// `n` endpoints, every second one in zone 1.
    fn world(n: u32) -> World {
        let listings = (0..n).map(|i| Listing { zone: ZoneId(i as u16 % 2), ..listing(i, 1) }).collect();
        World::of(listings, Config::default().build(&Context::lone(1)))
    }

    fn break_connection(world: &mut World, place: usize, times: usize) {
        for _ in 0..times {
            world.sent(world.id(place));
            world.done(place, Duration::ZERO, Err(Failure::of(Cause::Connection)));
        }
    }

    #[test]
    fn whoever_has_tripped_is_skipped_for_the_blackout() {
        let mut world = World::equal(3, &Config::default());
        break_connection(&mut world, 1, 2);
        assert_eq!(letters(&world.picks(3)), "ABC", "two are not enough, and an answer clears them");
        break_connection(&mut world, 1, 3);
        assert_eq!(letters(&world.picks(4)), "ACAC");
        world.advance(Duration::from_millis(9_999));
        assert_eq!(letters(&world.picks(2)), "AC");
        world.advance(Duration::from_millis(1));
        assert_eq!(letters(&world.picks(3)), "ABC");
        for place in 0..3 {
            break_connection(&mut world, place, 3);
        }
        assert_eq!([world.send(), world.send(), world.send()], [0, 1, 2], "all have tripped: anyone");
    }

    #[test]
    fn the_filter_relaxes_to_those_that_have_not_tripped() {
        // Zone 1 has tripped as a whole, which takes the only other zone with it.
        let mut world = world(4);
        break_connection(&mut world, 1, 3);
        break_connection(&mut world, 3, 3);
        assert_eq!(letters(&world.picks(4)), "ACAC");
    }

    #[test]
    fn calls_at_those_that_have_tripped_make_no_zone_busy() {
        let mut world = world(6);
        (0..6).for_each(|_| world.sent(world.id(0)));
        break_connection(&mut world, 0, 3);
        [1, 3, 5].into_iter().for_each(|place| world.sent(world.id(place)));
        assert_eq!(letters(&world.picks(4)), "CECE", "zone 1 is the busiest");
    }

    #[test]
    fn a_counter_beyond_a_shorter_list_moves_on_before_it_is_read_again() {
        let mut world = World::equal(5, &Config::default());
        assert_eq!(letters(&world.picks(4)), "ABCD");
        world.list((0..3).map(|i| listing(i, 1)).collect());
        assert_eq!(letters(&world.picks(3)), "CAB", "4 becomes 5, and 5 modulo 3 is 2");
    }

    #[test]
    fn calls_that_nobody_has_heard_of_for_long_count_no_more() {
        let mut world = world(4);
        for place in [0, 0, 2, 2] {
            world.sent(world.id(place));
        }
        assert_eq!(letters(&world.picks(4)), "BDBD", "zone 0 is the busiest");
        world.advance(Duration::from_secs(600));
        assert_eq!(letters(&world.picks(4)), "BDBD");
        world.advance(Duration::from_millis(1));
        let mut all: Vec<char> = letters(&world.picks(4)).chars().collect();
        all.sort_unstable();
        assert_eq!(all, ['A', 'B', 'C', 'D']);
    }
}
