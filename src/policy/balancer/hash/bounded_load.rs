//! Consistent hashing in which no endpoint gets much more than the mean: a key goes on to another endpoint while
//! its own is full.
//!
//! Origin: Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350 (walk `paper`); HAProxy `hash-balance-factor`
//! (`lb_chash.c`); Envoy `hash_balance_factor` (`thread_aware_lb_impl.cc`), which jumps at random after Chen et al.,
//! arXiv 1908.08762.
//! Observes: the call's key; attempts that this client has open on each endpoint; who is ready.
//! Cost: O(log V) for V points, plus the walk past full endpoints; O(n) at worst with the walk `envoy`. The ring is
//! built as in `hash_ring_vnodes`.
//! Draws: none; a call without a key is routed by its own random number, and Envoy's jumps are seeded by the hash.
//! Fails when: each client sees a small part of the load, because it bounds its own attempts only; the factor is
//! near 1, because most calls then leave the endpoint of their key.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::loads::Loads;
use super::owners::{Layout, PointHash};
use super::shared::Hold;
use super::{hash_ring_vnodes, maglev, ring_hash, unowned};
use crate::base::choice::choice;
use crate::base::rand::{Bits, mix};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `bounded_load`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How far above its fair share of the open attempts an endpoint may be: 1.25 is a quarter.
    pub factor: Factor,
    /// What full means, and where a call goes then.
    pub walk: Walk,
    /// How keys are laid out.
    pub layout: Keys,
}

/// What full means, and where a call goes then. The share of an endpoint is by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Walk {
    /// Full at factor times its share of the attempts on ready endpoints, this one included, rounded up; then
    /// clockwise.
    #[default]
    Paper,
    /// As many slots in all as factor times all attempts, this one included, shared out as whole numbers; full when
    /// they are taken; then clockwise.
    Haproxy,
    /// Slots as in HAProxy but each share rounded up; full when there are more attempts than slots; then through
    /// all others in an order that the hash decides; if all are full, the least so.
    Envoy,
}

choice! {
    /// How keys are laid out.
    pub enum Keys as "layout" {
        /// A fixed number of points for each unit of weight.
        Vnodes = "hash_ring_vnodes" => hash_ring_vnodes::Config,
        /// gRPC's ring.
        RingHash = "ring_hash" => ring_hash::Sizes,
        /// A table of slots.
        Maglev = "maglev" => Slots,
    }
}

/// A Maglev table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Slots {
    /// Slots of the table: a prime number.
    pub table_size: maglev::TableSize,
}

impl Default for Keys {
    fn default() -> Self {
        Keys::Vnodes(hash_ring_vnodes::Config::default())
    }
}

impl Keys {
    fn layout(&self) -> Layout {
        match self {
            Keys::Vnodes(config) => config.vnodes.layout(),
            Keys::RingHash(sizes) => sizes.layout(PointHash::default()),
            Keys::Maglev(slots) => Layout::Maglev(slots.table_size.slots()),
        }
    }
}

/// More than 1 and at most 1000, in whole millionths: bounds are compared as integers, so no rounding decides a pick.
/// Written `1.25`, or `"125%"` as HAProxy and Envoy count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "f64")]
pub struct Factor {
    millionths: u64,
}

impl Default for Factor {
    fn default() -> Self {
        Factor { millionths: 1_250_000 }
    }
}

impl TryFrom<f64> for Factor {
    type Error = String;

    fn try_from(factor: f64) -> Result<Factor, String> {
        let millionths = (factor * ONE as f64).round_ties_even();
        if millionths > ONE as f64 && millionths <= 1_000.0 * ONE as f64 {
            return Ok(Factor { millionths: millionths as u64 });
        }
        Err(format!("a bound is more than 1 and at most 1000 times the fair share, not {factor}; 1.25 is usual"))
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Factor, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl schemars::JsonSchema for Factor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "bound".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": PERCENT },
                { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?%$" },
            ],
        })
    }
}

/// A factor as it is written.
struct Written;

impl Visitor<'_> for Written {
    type Value = Factor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a factor like 1.25 or \"125%\"")
    }

    fn visit_f64<E: Error>(self, factor: f64) -> Result<Factor, E> {
        if factor >= PERCENT {
            let said = format_args!("is {factor} times the fair share meant? That bounds nothing: write \"{factor}%\"");
            return Err(E::custom(said));
        }
        Factor::try_from(factor).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, factor: i64) -> Result<Factor, E> {
        self.visit_f64(factor as f64)
    }

    fn visit_u64<E: Error>(self, factor: u64) -> Result<Factor, E> {
        self.visit_f64(factor as f64)
    }

    fn visit_str<E: Error>(self, factor: &str) -> Result<Factor, E> {
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = factor.strip_suffix('%').filter(digits).and_then(|percent| percent.parse::<f64>().ok());
        let number = number.ok_or_else(|| E::custom(format_args!("\"{factor}\" is no factor: write 1.25 or \"125%\"")));
        Factor::try_from(number? / 100.0).map_err(E::custom)
    }
}

impl From<Factor> for f64 {
    fn from(factor: Factor) -> f64 {
        factor.millionths as f64 / ONE as f64
    }
}

impl Factor {
    /// Slots for all endpoints together, while `open` attempts are open and one more is placed.
    fn slots(self, open: u64) -> u64 {
        ((u128::from(open) + 1) * u128::from(self.millionths)).div_ceil(u128::from(ONE)) as u64
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(BoundedLoad {
            factor: self.factor,
            walk: self.walk,
            hold: Hold::new(self.layout.layout(), &context.tables),
            loads: Loads::default(),
            order: vec![],
        })
    }
}

#[derive(Debug)]
struct BoundedLoad {
    factor: Factor,
    walk: Walk,
    hold: Hold,
    loads: Loads,
    /// Places in the order of Envoy's jumps: kept for its room.
    order: Vec<u32>,
}

impl Balancer for BoundedLoad {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.hold.note(endpoints.members, endpoints);
        self.loads.forget();
    }

    fn pick(&mut self, _now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.hold.refresh(endpoints);
        self.loads.refresh(&self.hold, endpoints);
        let hash = request.hash_or_random();
        if self.loads.sharing.is_empty() {
            return unowned(hash, endpoints);
        }
        let entry = self.hold.owners().enter(hash, request.attempt);
        let place = match self.walk {
            Walk::Paper => self.clockwise(entry, endpoints, |place, open| self.has_room(place, open)),
            Walk::Haproxy => {
                let total = self.factor.slots(self.loads.open_all);
                self.clockwise(entry, endpoints, |place, open| open < self.haproxy_slots(total, place))
            }
            Walk::Envoy => self.jump(entry, hash, endpoints),
        };
        Pick::To(self.hold.id(place))
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        match feedback {
            Feedback::Sent { endpoint } => self.loads.count(*endpoint, 1),
            Feedback::Done { endpoint, .. } => self.loads.count(*endpoint, -1),
            Feedback::Probed { .. } | Feedback::Reported { .. } | Feedback::Idle { .. } => {}
        }
    }
}

impl BoundedLoad {
    /// The first ready place from `entry` on that has room, or the first ready one if none has. Somebody must be
    /// ready.
    fn clockwise(&self, entry: usize, endpoints: &Endpoints<'_>, has_room: impl Fn(usize, u64) -> bool) -> usize {
        let mut first = None;
        for place in self.hold.owners().walk(entry) {
            let id = self.hold.id(place);
            if !endpoints.is_ready(id) {
                continue;
            }
            if has_room(place, u64::from(endpoints.in_flight(id))) {
                return place;
            }
            first = first.or(Some(place));
        }
        // Nobody on the ring has room only if whoever has room owns no point of it.
        first.unwrap_or(self.loads.sharing[0] as usize)
    }

    /// `open` is below ⌈c·m·w/W⌉, with m the attempts including this one (section 2 of the paper, by weight). A
    /// whole number is below ⌈x⌉ just when it is below x, so nothing is divided.
    fn has_room(&self, place: usize, open: u64) -> bool {
        let bound = u128::from(self.factor.millionths) * u128::from(self.loads.open + 1);
        let weight = u128::from(self.hold.weights()[place]);
        u128::from(open) * u128::from(ONE) * u128::from(self.loads.weight) < bound * weight
    }

    fn haproxy_slots(&self, total: u64, place: usize) -> u64 {
        haproxy_slots(total, self.hold.weights()[place], self.loads.before[place], self.loads.weight)
    }

    /// Envoy: the owner unless it is overloaded, then the others in an order that belongs to the hash; if all are,
    /// the least so.
    fn jump(&mut self, entry: usize, hash: u64, endpoints: &Endpoints<'_>) -> usize {
        let own = self.clockwise(entry, endpoints, |_, _| true);
        let total = self.factor.slots(self.loads.open_all);
        let load = |place: usize| {
            let slots = envoy_slots(total, self.hold.weights()[place], self.loads.weight);
            (u64::from(endpoints.in_flight(self.hold.id(place))), slots)
        };
        let mut least = (own, load(own));
        if !overloaded(least.1) {
            return own;
        }
        self.order.clone_from(&self.loads.sharing);
        for place in jumps(&mut self.order, hash) {
            let load = load(place);
            if !overloaded(load) {
                return place;
            }
            if less(load, least.1) {
                least = (place, load);
            }
        }
        least.0
    }
}

/// HAProxy: each unit of weight gets the same whole number, and the rest goes where the running sum of weights
/// passes a further whole slot. Nobody has none.
fn haproxy_slots(total: u64, weight: u32, before: u64, all: u64) -> u64 {
    let (each, rest) = (total / all, u128::from(total % all));
    let passed = |weight: u64| (u128::from(weight) * rest / u128::from(all)) as u64;
    let weight = u64::from(weight);
    (weight * each + passed(before + weight) - passed(before)).max(1)
}

/// Envoy: the share by weight, rounded up. In whole numbers, where Envoy multiplies by a rounded weight.
fn envoy_slots(total: u64, weight: u32, all: u64) -> u64 {
    ((u128::from(total) * u128::from(weight)).div_ceil(u128::from(all)) as u64).max(1)
}

/// More attempts than slots.
fn overloaded((open, slots): (u64, u64)) -> bool {
    open > slots
}

/// Fewer attempts for each slot.
fn less(a: (u64, u64), b: (u64, u64)) -> bool {
    u128::from(a.0) * u128::from(b.1) < u128::from(b.0) * u128::from(a.1)
}

/// The places in the order that belongs to the hash, shuffled only as far as they are asked for. Envoy draws from a
/// Mersenne twister; this order is as good, but another.
fn jumps(places: &mut [u32], hash: u64) -> impl Iterator<Item = usize> {
    let mut draws = Jumps(hash);
    (0..places.len()).map(move |i| {
        let j = i + draws.below((places.len() - i) as u64) as usize;
        places.swap(i, j);
        places[i] as usize
    })
}

/// The draws that belong to a hash (SplitMix64).
struct Jumps(u64);

impl Bits for Jumps {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// A factor of 1 in millionths.
const ONE: u64 = 1_000_000;

/// A number from here on is a percentage that forgot its sign: nobody would ask for a bound that never binds.
const PERCENT: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::xxh64;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Health;

    fn config(factor: f64, walk: Walk) -> Config {
        let layout = Keys::RingHash(ring_hash::Sizes::default());
        Config { factor: factor.try_into().unwrap(), walk, layout }
    }

    /// Sends calls that never end, all of one key: the last octets.
    fn send(world: &mut World, key: &str, calls: usize) -> String {
        let request = Request { hash: Some(xxh64(key.as_bytes(), 0)), ..Request::plain() };
        let one = |_| {
            let Pick::To(id) = world.pick(&request) else { panic!("somebody is ready") };
            world.sent(id);
            (world.place(id) + 1).to_string()
        };
        (0..calls).map(one).collect()
    }

    #[test]
    fn the_paper_spills_one_key_over_all() {
        let mut world = World::equal(3, &config(1.25, Walk::Paper));
        assert_eq!(send(&mut world, "hot", 9), "131313213");
    }

    #[test]
    fn slots_of_haproxy_and_envoy() {
        let slots = |factor: f64, open| Factor::try_from(factor).unwrap().slots(open);
        assert_eq!((slots(1.5, 9), slots(1.25, 11)), (15, 15));
        let haproxy = |weights: &[u32]| {
            let (mut before, all) = (0, weights.iter().map(|w| u64::from(*w)).sum());
            let share = |weight: &u32| {
                let slots = haproxy_slots(15, *weight, before, all);
                before += u64::from(*weight);
                slots
            };
            weights.iter().map(share).collect::<Vec<_>>()
        };
        assert_eq!((haproxy(&[1; 4]), haproxy(&[1, 2, 3])), (vec![3, 4, 4, 4], vec![2, 5, 8]));
        assert_eq!(haproxy(&[1; 20]).iter().min(), Some(&1), "nobody has none");
        assert_eq!([1; 4].map(|weight| envoy_slots(15, weight, 4)), [4; 4]);
        assert_eq!([1, 2, 3].map(|weight| envoy_slots(15, weight, 6)), [3, 5, 8]);
    }

    #[test]
    fn haproxy_fills_slots_clockwise() {
        // Slots in all are ⌈1.25 (open + 1)⌉ = 2 3 4 5 7 8, so the three have 1 1 1, 1 1 1, 1 1 2, 1 2 2, 2 2 3,
        // 2 3 3. The failover order of `hot` is .1 .3 .2.
        let mut world = World::equal(3, &config(1.25, Walk::Haproxy));
        assert_eq!(send(&mut world, "hot", 6), "133213");
    }

    #[test]
    fn envoy_stays_until_there_are_more_attempts_than_slots() {
        // Slots are ⌈⌈1.25 (open + 1)⌉ / 3⌉: 1 1 2 2 3 3 …, and one more than that is let in.
        let mut world = World::equal(3, &config(1.25, Walk::Envoy));
        let picks = send(&mut world, "hot", 6);
        assert!(picks.starts_with("11") && picks[2..].contains('1') && picks.matches('1').count() == 4, "{picks}");
        let mut again = World::equal(3, &config(1.25, Walk::Envoy));
        assert_eq!(send(&mut again, "hot", 6), picks, "the order of the jumps belongs to the hash");
    }

    #[test]
    fn envoy_takes_the_least_overloaded_when_all_are() {
        let mut world = World::weighted(&[1, 1, 2], &config(1.000_001, Walk::Envoy));
        for (place, open) in [(0, 9), (1, 8), (2, 17)] {
            let id = world.id(place);
            (0..open).for_each(|_| world.table.on_sent(id));
        }
        world.refresh();
        // 36 slots for 35 attempts: 9, 9, 18, nobody is over. Without the third: 9 and 9.
        assert_eq!(envoy_slots(36, 1, 4), 9);
        assert_eq!(send(&mut world, "hot", 1), "1");
        let (own, other) = ((12, 9), (11, 9));
        assert!(overloaded(own) && overloaded(other) && less(other, own) && !less(own, own));
    }

    /// Random histories: whoever is picked is within the bound right after (section 14 of the reference).
    #[test]
    fn nobody_is_picked_beyond_the_bound() {
        for (seed, weights) in [(1, vec![1; 7]), (2, vec![1, 5, 2, 1, 1]), (3, vec![3, 0, 1])] {
            let mut world = World::weighted(&weights, &config(1.25, Walk::Paper));
            let mut draws = Jumps(seed);
            let mut open: Vec<usize> = vec![];
            for step in 0..3_000 {
                if step % 500 == 250 {
                    world.health(0, Health::Failed);
                } else if step % 500 == 400 {
                    world.health(0, Health::Healthy);
                }
                if !open.is_empty() && draws.below(5) < 2 {
                    let ended = open.swap_remove(draws.below(open.len() as u64) as usize);
                    world.done(ended, crate::base::time::Duration::ZERO, Ok(()));
                    continue;
                }
                // Two keys carry everything.
                let request = Request { hash: Some(mix(draws.below(2))), ..Request::plain() };
                let Pick::To(id) = world.pick(&request) else { panic!("somebody is ready") };
                world.sent(id);
                let place = world.place(id);
                open.push(place);
                let ready: Vec<usize> = world.table.view().ready.iter().map(|id| world.place(*id)).collect();
                if ready.len() > 1 {
                    let sum = |of: &dyn Fn(usize) -> u64| {
                        ready.iter().filter(|p| weights[**p] > 0).map(|p| of(*p)).sum::<u64>()
                    };
                    let all = sum(&|place| u64::from(weights[place]));
                    let m = sum(&|place| u64::from(world.table.in_flight(world.id(place))));
                    let bound = (5 * m * u64::from(weights[place])).div_ceil(4 * all);
                    let has = u64::from(world.table.in_flight(id));
                    assert!(has <= bound, "{has} on place {place} at a bound of {bound}, step {step}");
                }
            }
        }
    }

    #[test]
    fn incremental_sums_are_those_of_the_view() {
        let mut world = World::equal(4, &config(1.25, Walk::Haproxy));
        let mut fresh = World::equal(4, &config(1.25, Walk::Haproxy));
        for key in 0..200_u64 {
            let hash = mix(key % 3);
            let request = Request { hash: Some(hash), ..Request::plain() };
            fresh.refresh();
            let (a, b) = (world.pick(&request), fresh.pick(&request));
            assert_eq!(a, b, "key {key}");
            let Pick::To(id) = a else { panic!("all are ready") };
            world.sent(id);
            fresh.sent(id);
            if key % 4 == 3 {
                let place = world.place(id);
                world.done(place, crate::base::time::Duration::ZERO, Ok(()));
                fresh.done(place, crate::base::time::Duration::ZERO, Ok(()));
            }
        }
    }

    #[test]
    fn a_factor_is_more_than_one() {
        let message = |text| toml::from_str::<Config>(text).unwrap_err().message().to_owned();
        for wrong in
            ["factor = 1.0", "factor = 1", "factor = 0.5", "factor = nan", "factor = '100%'", "factor = '100001%'"]
        {
            assert!(message(wrong).contains("more than 1 and at most 1000"), "{wrong}: {}", message(wrong));
        }
        assert!(message("factor = 125").ends_with("write \"125%\""), "{}", message("factor = 125"));
        assert!(message("factor = '1.25'").contains("write 1.25 or \"125%\""));
        let percent = toml::from_str::<Config>("factor = '112.5%'").unwrap();
        assert_eq!(f64::from(percent.factor), 1.125);
        let read = toml::from_str::<Config>("factor = 2\nlayout = { maglev = { table_size = 13 } }").unwrap();
        assert_eq!((f64::from(read.factor), read.layout.layout()), (2.0, Layout::Maglev(13)));
        assert!(message("layout = 'jump'").contains("expected one of `hash_ring_vnodes`, `ring_hash`, `maglev`"));
    }
}
