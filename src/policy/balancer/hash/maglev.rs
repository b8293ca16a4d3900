//! Maglev: a table of slots that the endpoints fill in turn, each along its own permutation; `hash mod slots` picks.
//!
//! Origin: Eisenbud et al., Maglev, NSDI 2016, section 3.4; Envoy MAGLEV (`maglev_lb.cc`), whose weights and hash
//! functions these are.
//! Observes: the call's key; who is ready.
//! Cost: O(1) a pick. A table is O(M log M) for M slots and is built at the first pick after the ready endpoints
//! change; clients of one run that see the same ones share it (four bytes a slot).
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: a few keys carry most of the calls; readiness flaps, because every change builds a table and moves
//! a few keys of endpoints that stayed (0.2 % when one of ten leaves a table of 65537); there are more endpoints
//! than a hundredth of the slots, because shares become uneven.

use serde::{Deserialize, Serialize};

use super::owners::Layout;
use super::shared::Hold;
use super::unowned;
use crate::base::hash::xxh64;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `maglev`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Slots of the table: a prime number.
    pub table_size: TableSize,
    /// What becomes of the slots of an endpoint that is not ready.
    pub unready: Unready,
}

/// What becomes of the slots of an endpoint that is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unready {
    /// The table is built anew from those that are ready, as in the paper and in Envoy.
    #[default]
    Rebuild,
    /// The table stays, and the next slot of a ready endpoint takes the call: no other key moves.
    Walk,
}

/// Slots of a Maglev table: a prime number, so that every skip visits every slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
pub struct TableSize(u32);

impl TableSize {
    /// The number of slots.
    pub fn slots(self) -> u32 {
        self.0
    }
}

impl Default for TableSize {
    fn default() -> Self {
        TableSize(65_537)
    }
}

impl TryFrom<u32> for TableSize {
    type Error = String;

    fn try_from(slots: u32) -> Result<TableSize, String> {
        if slots > MOST_SLOTS {
            return Err(format!("a table has at most {MOST_SLOTS} slots (Envoy's limit), not {slots}"));
        }
        if !is_prime(slots) {
            let next = (slots..).find(|n| is_prime(*n)).expect("there is always a larger prime");
            return Err(format!("the number of slots is prime, and {slots} is not; the next prime is {next}"));
        }
        Ok(TableSize(slots))
    }
}

impl From<TableSize> for u32 {
    fn from(size: TableSize) -> u32 {
        size.0
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let hold = Hold::new(Layout::Maglev(self.table_size.0), &context.tables);
        Box::new(Maglev { unready: self.unready, hold })
    }
}

#[derive(Debug)]
struct Maglev {
    unready: Unready,
    hold: Hold,
}

impl Balancer for Maglev {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let among = match self.unready {
            Unready::Rebuild => endpoints.ready,
            Unready::Walk => endpoints.members,
        };
        self.hold.note(among, endpoints);
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.hold.refresh(endpoints);
        let owners = self.hold.owners();
        let hash = request.hash_or_random();
        let entry = owners.enter(hash, request.attempt);
        match self.unready {
            Unready::Rebuild => Pick::To(self.hold.id(owners.owner(entry))),
            Unready::Walk => {
                self.hold.first_ready(entry, usize::MAX, endpoints).map_or_else(|| unowned(hash, endpoints), Pick::To)
            }
        }
    }
}

/// The owner of each slot.
pub fn table<N: AsRef<str>>(members: &[(N, u32)], slots: u32) -> Box<[u32]> {
    let turn = |(name, weight): &(N, u32)| {
        let hash = |seed| xxh64(name.as_ref().as_bytes(), seed);
        let skip = hash(1) % u64::from(slots - 1) + 1;
        Turn::new((hash(0) % u64::from(slots)) as u32, skip as u32, *weight)
    };
    fill(slots, &mut members.iter().map(turn).collect::<Vec<_>>())
}

/// One endpoint on its way along its permutation.
#[derive(Debug)]
struct Turn {
    /// The slot that it looks at next.
    next: u32,
    skip: u32,
    weight: u32,
    /// It plays the pass `t` once `t * weight` has reached this.
    target: u64,
}

impl Turn {
    fn new(offset: u32, skip: u32, weight: u32) -> Turn {
        Turn { next: offset, skip, weight, target: 0 }
    }

    /// The first slot along the permutation that is free.
    #[inline]
    fn next_free(&mut self, slots: u32, taken: &[u64]) -> u32 {
        loop {
            let slot = self.next;
            let after = slot + self.skip;
            self.next = if after >= slots { after - slots } else { after };
            if taken[slot as usize / 64] >> (slot % 64) & 1 == 0 {
                return slot;
            }
        }
    }
}

/// Fills a table in turns (listing 1 of the paper), the heaviest playing every pass and the others as often as
/// their weight says. Envoy compares normalised doubles; whole weights say the same without rounding.
fn fill(slots: u32, turns: &mut [Turn]) -> Box<[u32]> {
    let heaviest = turns.iter().map(|turn| turn.weight).max().map_or(0, u64::from);
    debug_assert!(heaviest > 0, "somebody must play");
    let mut owners = vec![0; slots as usize];
    // One bit a slot: the search for a free one stays in the fastest cache.
    let mut taken = vec![0_u64; slots as usize / 64 + 1];
    let mut left = slots;
    for pass in 1_u64.. {
        for (place, turn) in turns.iter_mut().enumerate() {
            if pass * u64::from(turn.weight) < turn.target {
                continue;
            }
            turn.target += heaviest;
            let slot = turn.next_free(slots, &taken);
            taken[slot as usize / 64] |= 1 << (slot % 64);
            owners[slot as usize] = place as u32;
            left -= 1;
            if left == 0 {
                return owners.into();
            }
        }
    }
    unreachable!("the heaviest takes a slot in every pass")
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// Envoy's upper limit for a table.
const MOST_SLOTS: u32 = 5_000_011;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    fn named(names: &[(&str, u32)], slots: u32) -> String {
        let table = table(names, slots);
        let last = |name: &str| name.trim_end_matches(":80").rsplit(['.', ':']).next().unwrap().to_owned();
        table.iter().map(|owner| last(names[*owner as usize].0)).collect::<Vec<_>>().join(" ")
    }

    /// B0 = 3 0 4 1 5 2 6, B1 = 0 2 4 6 1 3 5, B2 = 3 4 5 6 0 1 2.
    #[test]
    fn table_1_of_the_paper() {
        let mut all = [Turn::new(3, 4, 1), Turn::new(0, 2, 1), Turn::new(3, 1, 1)];
        assert_eq!(*fill(7, &mut all), [1, 0, 1, 0, 2, 2, 0]);
        let mut without_b1 = [Turn::new(3, 4, 1), Turn::new(3, 1, 1)];
        assert_eq!(*fill(7, &mut without_b1), [0, 0, 0, 0, 1, 1, 1]);
    }

    /// Both want slots 0 1 2 … in turn, so the table shows who played when: the lighter one in passes 1, 2, 4, 6.
    #[test]
    fn half_the_weight_plays_every_other_pass() {
        assert_eq!(*fill(9, &mut [Turn::new(0, 1, 1), Turn::new(0, 1, 2)]), [0, 1, 0, 1, 1, 0, 1, 1, 0]);
    }

    #[test]
    fn tables_of_envoys_tests() {
        let ports: Vec<String> = (90..96).map(|port| format!("127.0.0.1:{port}")).collect();
        let members: Vec<(&str, u32)> = ports.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(named(&members, 7), "92 94 90 91 95 90 93");
        let weighted = [("127.0.0.1:90", 1), ("127.0.0.1:91", 2)];
        assert_eq!(named(&weighted, 17), "91 90 90 91 90 91 91 90 91 91 91 91 91 90 91 90 91");
    }

    #[test]
    fn three_and_two_share_thirteen_slots() {
        let (one, two, three) = (("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1));
        assert_eq!(named(&[one, two, three], 13), "3 1 2 1 3 2 2 1 2 1 3 1 3");
        assert_eq!(named(&[one, three], 13), "3 1 1 1 3 1 3 1 3 1 3 1 3");
    }

    #[test]
    fn slots_are_shared_by_weight() {
        let table = table(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 2)], 65_537);
        let first = table.iter().filter(|owner| **owner == 0).count();
        assert_eq!((first, table.len() - first), (21_846, 43_691));
    }

    #[test]
    fn few_other_keys_move_when_one_of_ten_leaves() {
        let names: Vec<String> = (1..=10).map(|i| format!("10.0.0.{i}:80")).collect();
        let mut all: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        all.sort_unstable();
        let without: Vec<_> = all.iter().copied().filter(|(name, _)| *name != "10.0.0.5:80").collect();
        for (slots, expected) in [(65_537, 128), (1_021, 22)] {
            let (before, after) = (table(&all, slots), table(&without, slots));
            let owners = before.iter().zip(&after).map(|(was, is)| (all[*was as usize].0, without[*is as usize].0));
            let moved = owners.filter(|(was, is)| *was != "10.0.0.5:80" && was != is).count();
            assert_eq!(moved, expected, "0.195 % of 65537 slots, 2.15 % of 1021");
        }
    }

    #[test]
    fn only_primes_are_sizes() {
        assert!(TableSize::try_from(65_537).is_ok() && TableSize::try_from(MOST_SLOTS).is_ok());
        let error = toml::from_str::<Config>("table_size = 65536").unwrap_err();
        assert!(error.message().contains("65536 is not; the next prime is 65537"), "{error}");
        assert!(TableSize::try_from(1).unwrap_err().ends_with("the next prime is 2"));
        assert!(TableSize::try_from(6_000_000).unwrap_err().contains("at most 5000011"));
        assert_eq!(serde_json::to_string(&Config::default()).unwrap(), r#"{"table_size":65537,"unready":"rebuild"}"#);
    }

    fn small(unready: Unready) -> Config {
        Config { table_size: TableSize(13), unready }
    }

    fn row(world: &mut World) -> String {
        (0..13).map(|hash| (world.pick_hash(hash) + 1).to_string()).collect()
    }

    #[test]
    fn the_hash_modulo_the_slots_picks() {
        let mut world = World::equal(3, &small(Unready::Rebuild));
        assert_eq!(row(&mut world), "3121322121313");
        assert_eq!(world.pick_hash(13 * 1_000_003 + 2), 1);
    }

    #[test]
    fn an_unready_endpoint_leaves_the_table_and_returns_to_its_slots() {
        for (unready, without) in [(Unready::Rebuild, "3111313131313"), (Unready::Walk, "3111311111313")] {
            let mut world = World::equal(3, &small(unready));
            let before = row(&mut world);
            world.health(1, Health::Failed);
            assert_eq!(row(&mut world), without);
            world.health(1, Health::Healthy);
            assert_eq!(row(&mut world), before);
        }
    }

    #[test]
    fn the_map_does_not_depend_on_the_order_of_the_list() {
        let world = |order: &[u32]| {
            let listings = order.iter().map(|i| listing(*i, 1 + i % 3)).collect();
            World::of(listings, Config::default().build(&Context::lone(1)))
        };
        let (mut up, mut down) = (world(&[0, 1, 2, 3, 4]), world(&[3, 0, 4, 2, 1]));
        for hash in 0..2_000 {
            assert_eq!(up.pick_hash(hash), [3, 0, 4, 2, 1][down.pick_hash(hash)]);
        }
    }

    #[test]
    fn a_further_attempt_turns_the_hash() {
        let mut world = World::equal(3, &small(Unready::Rebuild));
        for attempt in 1..5_u64 {
            let request = Request { hash: Some(4), attempt: attempt as u32, ..Request::plain() };
            let Pick::To(id) = world.pick(&request) else { panic!("all are ready") };
            let turned = 4 ^ (u64::MAX - attempt + 1);
            assert_eq!(world.place(id), world.pick_hash(turned));
        }
    }
}
