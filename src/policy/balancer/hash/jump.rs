//! Jump consistent hash: a key's bucket from arithmetic alone, without a table.
//!
//! Origin: Lamping and Veach, arXiv 1406.2294.
//! Observes: the call's key; who is ready.
//! Cost: O(ln n) a pick, no memory but the list of buckets.
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: an endpoint leaves that is not the last of the buckets, because a share of the other keys moves too
//! (about as many as were its own when the last one takes its place, about half of all when the list closes up);
//! endpoints differ in size, because there are no weights; the order of the list differs between clients, because
//! the map depends on it.

use serde::{Deserialize, Serialize};

use super::rehash_until_ready;
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `jump`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who takes the bucket of an endpoint that has left.
    pub on_leave: OnLeave,
}

/// Who takes the bucket of an endpoint that has left. Who joins takes a new one at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLeave {
    /// The endpoint of the last bucket. The map then depends on who left in which order.
    #[default]
    Swap,
    /// All behind it move up: buckets are the places of the list.
    Shift,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(Jump { on_leave: self.on_leave, buckets: vec![] })
    }
}

#[derive(Debug)]
struct Jump {
    on_leave: OnLeave,
    /// Members, ready or not: one that comes back finds its bucket.
    buckets: Vec<EndpointId>,
}

impl Jump {
    fn keep_up(&mut self, endpoints: &Endpoints<'_>) {
        if self.on_leave == OnLeave::Shift {
            self.buckets.clear();
            self.buckets.extend_from_slice(endpoints.members);
            return;
        }
        let members = std::collections::BTreeSet::from_iter(endpoints.members);
        let mut bucket = 0;
        while bucket < self.buckets.len() {
            if members.contains(&self.buckets[bucket]) {
                bucket += 1;
            } else {
                self.buckets.swap_remove(bucket);
            }
        }
        let known = std::collections::BTreeSet::from_iter(self.buckets.iter().copied());
        self.buckets.extend(endpoints.members.iter().filter(|id| !known.contains(id)));
    }
}

impl Balancer for Jump {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.keep_up(endpoints);
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
        rehash_until_ready(request, endpoints, &self.buckets, |hash| {
            self.buckets.get(jump(hash, self.buckets.len() as u32) as usize).copied()
        })
    }
}

/// The bucket of a key among `buckets`, which must be 1 or more (figure 1 of the paper).
///
/// The paper's loop jumps ahead from bucket to bucket until it is past the end, and how many jumps that takes is chance:
/// a processor guesses the end of the loop wrongly, and what it has begun of the next calls is lost. So first as many
/// jumps are made for every key as most need, past the end as well, and the last bucket before it is kept.
#[inline]
pub fn jump(key: u64, buckets: u32) -> u32 {
    let end = f64::from(buckets);
    // The bucket that is jumped to, plus 1. It stays a double, because each jump waits for the one before: to an integer
    // and back takes as long as all the rest of a jump.
    let (mut sequence, mut after) = (key, 1.0);
    // The last that is not past the end, and how far the nearest integer was above where a jump would land.
    let (mut kept, mut nearest) = (1.0, 1.0);
    for _ in 0..most_need(buckets) / 2 {
        for _ in 0..2 {
            sequence = further(sequence);
            let landing = after * stride(sequence);
            after = floor_plus_1(landing);
            nearest = if after - landing < nearest { after - landing } else { nearest };
            // Strides are 1 or more: whoever is past the end stays there.
            let within = if after <= end { after } else { 0.0 };
            kept = if within > kept { within } else { kept };
        }
    }
    while after <= end {
        kept = after;
        sequence = further(sequence);
        let landing = after * stride(sequence);
        after = floor_plus_1(landing);
        nearest = if after - landing < nearest { after - landing } else { nearest };
    }
    if nearest > 0.0 { kept as u32 - 1 } else { jump_by_jump(key, buckets) }
}

/// Of `n` buckets about ln n jumps are made, and seldom more than this. Where many are made anyway, there is nothing to
/// be won.
#[inline(always)]
fn most_need(buckets: u32) -> u32 {
    if buckets < 1 << 14 { buckets.ilog2() + 3 } else { 0 }
}

/// The floor of a number from 1 to 2^32, plus 1; of an integer it may be the integer itself. The floor of what is above
/// stays above.
#[inline(always)]
fn floor_plus_1(x: f64) -> f64 {
    // From 2^52 to 2^53 doubles are the integers, so the sum of x - 1/2 and 2^52 is rounded to the nearest of them, which
    // is the floor of x: exactly, unless x is an integer. Then two are as near, and the even one is taken.
    (x + ((1_u64 << 52) as f64 - 0.5)) - ((1_u64 << 52) - 1) as f64
}

/// As published.
#[cold]
#[inline(never)]
fn jump_by_jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0, 0);
    while next < u64::from(buckets) {
        bucket = next as u32;
        key = further(key);
        // The product is below 2^63 and above 0: cutting its fraction off is the floor of the paper, without a call of
        // the mathematics library.
        next = (f64::from(bucket + 1) * stride(key)) as i64 as u64;
    }
    bucket
}

/// The next number of the paper's sequence.
#[inline(always)]
fn further(key: u64) -> u64 {
    key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1)
}

/// How many times as far the next bucket is. Both numbers are below 2^53, so the quotient is the nearest double on any
/// machine.
#[inline(always)]
fn stride(key: u64) -> f64 {
    (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    #[test]
    fn as_published() {
        let of_100: Vec<u32> = (0..20).map(|key| jump(key, 100)).collect();
        assert_eq!(of_100, [0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83]);
        assert_eq!(jump(10_863_919_174_838_991, 11), 6);
        assert_eq!(jump(2_016_238_256_797_177_309, 11), 3);
        assert_eq!(jump(1_673_758_223_894_951_030, 11), 5);
        assert_eq!((jump(2, 100_001), jump(2_201, 100_001)), (80_343, 22_152));
        let of_key_1: Vec<u32> = (1..20).map(|buckets| jump(1, buckets)).collect();
        assert_eq!(of_key_1, [0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 17, 17]);
    }

    /// A key whose sequence comes to this number after so many steps.
    fn key_before(mut number: u64, steps: u32) -> u64 {
        // The inverse of an odd factor by Newton's iteration: each round doubles the bits that are right.
        let factor = 2_862_933_555_777_941_757_u64;
        let inverse = (0..6).fold(1_u64, |x, _| x.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(x))));
        for _ in 0..steps {
            number = number.wrapping_sub(1).wrapping_mul(inverse);
        }
        number
    }

    #[test]
    fn many_jumps_at_once_end_where_one_by_one_ends() {
        let sizes = (1..300).chain((0..32).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        for buckets in sizes.chain([10_000, 100_000, u32::MAX]).filter(|buckets| *buckets > 0) {
            let ends = [0, 1, u64::MAX, u64::MAX - 1, 1 << 63];
            for key in ends.into_iter().chain((0..2_000).map(|key| mix(key ^ u64::from(buckets) << 32))) {
                assert_eq!(jump(key, buckets), jump_by_jump(key, buckets), "{key} among {buckets}");
            }
        }
    }

    #[test]
    fn a_jump_that_lands_on_an_integer_is_rounded_down_too() {
        let mut stays = 0;
        for (steps, low, buckets) in (1..4).flat_map(|steps| (0..500).map(move |low| (steps, low, 2 + low as u32))) {
            for power in 0..=31 {
                // A stride of a power of 2, at last of 1: from a bucket to the next.
                let number = ((1_u64 << power) - 1) << 33 | mix(low) >> 31;
                let key = key_before(number, steps);
                assert_eq!(stride((0..steps).fold(key, |key, _| further(key))), f64::from(1_u32 << (31 - power)));
                assert_eq!(jump(key, buckets), jump_by_jump(key, buckets), "{key} among {buckets}");
                stays += u32::from(power == 31 && jump(key, buckets) == steps);
            }
        }
        assert!(stays > 0);
    }

    #[test]
    fn a_new_bucket_takes_its_share_and_no_more() {
        let moved = (0..100_000).filter(|key| jump(*key, 10) != jump(*key, 11)).count();
        assert_eq!(moved, 9_042, "9.04 % of integer keys, where 9.09 % would be even");
    }

    fn map(world: &mut World) -> Vec<u32> {
        let address = |world: &mut World, key| {
            let place = world.pick_hash(key);
            world.table.get(world.id(place)).unwrap().address.0
        };
        (0..10_000).map(|key| address(world, mix(key))).collect()
    }

    #[test]
    fn who_takes_a_bucket_decides_how_many_foreign_keys_move() {
        for (on_leave, range) in [(OnLeave::Swap, 800..1_000), (OnLeave::Shift, 4_500..5_200)] {
            let mut world = World::equal(10, &Config { on_leave });
            let before = map(&mut world);
            world.list((0..10).filter(|i| *i != 4).map(|i| listing(i, 1)).collect());
            let after = map(&mut world);
            let moved = before.iter().zip(&after).filter(|(was, is)| **was != 4 && was != is).count();
            assert!(range.contains(&moved), "{on_leave:?}: {moved} of 10000");
        }
    }

    #[test]
    fn an_unready_endpoint_moves_its_own_keys_only_and_gets_them_back() {
        let mut world = World::equal(10, &Config::default());
        let before = map(&mut world);
        world.health(3, Health::Failed);
        let during = map(&mut world);
        assert!(before.iter().zip(&during).all(|(was, is)| (*was == 3) != (was == is)));
        world.health(3, Health::Healthy);
        assert_eq!(map(&mut world), before);
        for place in 1..9 {
            world.health(place, Health::Failed);
        }
        let left: std::collections::BTreeSet<u32> = map(&mut world).into_iter().collect();
        assert_eq!(left, [0, 9].into(), "whoever is left takes all");
    }
}
