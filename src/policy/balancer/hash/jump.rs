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

impl Balancer for Jump {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
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
pub fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0, 0);
    while next < u64::from(buckets) {
        bucket = next as u32;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // Both are below 2^53, so the quotient is the nearest double on any machine. The product is below 2^63 and above
        // 0: cutting its fraction off is the floor of the paper, without a call of the mathematics library.
        let stride = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = (f64::from(bucket + 1) * stride) as i64 as u64;
    }
    bucket
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
