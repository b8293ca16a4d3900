//! AnchorHash: a fixed array of buckets of which some have been removed; a key that falls on a removed one is passed
//! on by where that one's keys went when it was removed.
//!
//! Origin: Mendelson, Vargaftik, Barabash, Lorenz, Keslassy, Orda, AnchorHash, IEEE/ACM ToN 2021.
//! Observes: the call's key; who is ready.
//! Cost: O(1 + ln(a/n)) expected for n endpoints and a buckets; 20 bytes a bucket.
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: endpoints come back in another order than they left, because who joins gets the bucket that was
//! removed last, so the map is another than before; the order of the list differs between clients; endpoints differ
//! in size, because there are no weights.

use serde::{Deserialize, Deserializer, Serialize};

use super::rehash_until_ready;
use crate::base::hash::xxh64;
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `anchor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Buckets: as many endpoints as there may ever be, 1 to 1048576. With more it begins anew with twice as many,
    /// and nearly every key moves.
    #[serde(deserialize_with = "capacity")]
    pub capacity: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { capacity: 1024 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(AnchorHash { capacity: self.capacity, anchor: Anchor::new(0, 0), owners: vec![] })
    }
}

/// When nobody stays, or there are more members than buckets, the array begins anew.
#[derive(Debug)]
struct AnchorHash {
    capacity: u32,
    anchor: Anchor,
    /// The endpoint of each working bucket.
    owners: Vec<Option<EndpointId>>,
}

impl Balancer for AnchorHash {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let members = endpoints.members;
        let known = std::collections::BTreeSet::from_iter(self.owners.iter().copied().flatten());
        if members.len() > self.owners.len() || !members.iter().any(|id| known.contains(id)) {
            while members.len() > self.capacity as usize {
                self.capacity *= 2;
            }
            self.anchor = Anchor::new(self.capacity, members.len() as u32);
            self.owners = members.iter().copied().map(Some).collect();
            self.owners.resize(self.capacity as usize, None);
            return;
        }
        let staying = std::collections::BTreeSet::from_iter(members);
        for bucket in 0..self.owners.len() {
            if self.owners[bucket].is_some_and(|id| !staying.contains(&id)) {
                self.owners[bucket] = None;
                self.anchor.remove(bucket as u32);
            }
        }
        for id in members.iter().filter(|id| !known.contains(id)) {
            let bucket = self.anchor.add().expect("there are as many buckets as members");
            self.owners[bucket as usize] = Some(*id);
        }
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
        rehash_until_ready(request, endpoints, endpoints.members, |hash| {
            self.owners[self.anchor.bucket(&hash.to_le_bytes()) as usize]
        })
    }
}

/// The arrays of the paper (algorithm 3).
#[derive(Debug)]
struct Anchor {
    /// `A`: 0 for a working bucket, or how many worked after it was removed.
    removed: Vec<u32>,
    /// `W`: the working buckets, in its first places.
    order: Vec<u32>,
    /// `L`: where each bucket stands in `order`.
    place: Vec<u32>,
    /// `K`: who took over for a bucket.
    heir: Vec<u32>,
    /// `R`: removed buckets, the last one on top.
    stack: Vec<u32>,
    /// `N`: how many work.
    working: u32,
}

impl Anchor {
    /// `capacity` buckets of which the first `working` work.
    fn new(capacity: u32, working: u32) -> Anchor {
        let all: Vec<u32> = (0..capacity).collect();
        let mut anchor = Anchor {
            removed: vec![0; capacity as usize],
            order: all.clone(),
            place: all.clone(),
            heir: all,
            stack: vec![],
            working: capacity,
        };
        (working..capacity).rev().for_each(|bucket| anchor.remove(bucket));
        anchor
    }

    fn remove(&mut self, bucket: u32) {
        let b = bucket as usize;
        self.stack.push(bucket);
        self.working -= 1;
        let n = self.working as usize;
        self.removed[b] = self.working;
        let last = self.order[n];
        self.order[self.place[b] as usize] = last;
        self.place[last as usize] = self.place[b];
        self.heir[b] = last;
    }

    /// The bucket that was removed last works again; `None` if all work.
    fn add(&mut self) -> Option<u32> {
        let bucket = self.stack.pop()?;
        let (b, n) = (bucket as usize, self.working as usize);
        self.removed[b] = 0;
        self.place[self.order[n] as usize] = self.working;
        self.order[self.place[b] as usize] = bucket;
        self.heir[b] = bucket;
        self.working += 1;
        Some(bucket)
    }

    /// The working bucket of a key. There must be one.
    fn bucket(&self, key: &[u8]) -> u32 {
        let mut bucket = (xxh64(key, 0) % self.removed.len() as u64) as u32;
        while self.removed[bucket as usize] > 0 {
            let worked = self.removed[bucket as usize];
            let mut next = (xxh64(key, u64::from(bucket) + 1) % u64::from(worked)) as u32;
            while self.removed[next as usize] >= worked {
                next = self.heir[next as usize];
            }
            bucket = next;
        }
        bucket
    }
}

fn capacity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        buckets @ 1..=1_048_576 => Ok(buckets),
        other => Err(serde::de::Error::custom(format_args!("there are 1 to 1048576 buckets, not {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    fn example() -> Anchor {
        let mut anchor = Anchor::new(7, 7);
        [6, 5, 1, 0].into_iter().for_each(|bucket| anchor.remove(bucket));
        anchor
    }

    #[test]
    fn the_state_of_the_papers_example() {
        let anchor = example();
        assert_eq!(anchor.removed, [3, 4, 0, 0, 0, 5, 6]);
        assert_eq!(anchor.order, [3, 4, 2, 3, 4, 5, 6]);
        assert_eq!(anchor.place, [0, 1, 2, 0, 1, 5, 6]);
        assert_eq!(anchor.heir, [3, 4, 2, 3, 4, 5, 6]);
        assert_eq!(anchor.working, 3);
    }

    #[test]
    fn keys_of_the_example_before_and_after_an_addition() {
        let mut anchor = example();
        let keys = ["user-1", "user-2", "user-3", "hot", "k0"];
        assert_eq!(keys.map(|key| anchor.bucket(key.as_bytes())), [2, 3, 4, 4, 3]);
        assert_eq!(anchor.add(), Some(0));
        assert_eq!(keys.map(|key| anchor.bucket(key.as_bytes())), [2, 3, 0, 4, 0]);
    }

    #[test]
    fn adding_undoes_removing() {
        let (before, mut anchor) = (format!("{:?}", example()), example());
        [3, 2].into_iter().for_each(|bucket| anchor.remove(bucket));
        assert_eq!((anchor.add(), anchor.add()), (Some(2), Some(3)));
        assert_eq!(format!("{anchor:?}"), before);
    }

    fn map(world: &mut World) -> Vec<u32> {
        let address = |world: &mut World, key| {
            let place = world.pick_hash(mix(key));
            world.table.get(world.id(place)).unwrap().address.0
        };
        (0..5_000).map(|key| address(world, key)).collect()
    }

    fn list(world: &mut World, addresses: impl IntoIterator<Item = u32>) {
        world.list(addresses.into_iter().map(|i| listing(i, 1)).collect());
    }

    #[test]
    fn only_keys_of_those_that_leave_move_and_last_out_first_in_restores_the_map() {
        let mut world = World::equal(10, &Config { capacity: 16 });
        let before = map(&mut world);
        let mut counts = [0; 10];
        before.iter().for_each(|address| counts[*address as usize] += 1);
        assert!(counts.iter().all(|count| (400..600).contains(count)), "{counts:?}");
        list(&mut world, (0..10).filter(|i| *i != 4));
        let without_4 = map(&mut world);
        assert!(before.iter().zip(&without_4).all(|(was, is)| (*was == 4) != (was == is)));
        list(&mut world, (0..10).filter(|i| *i != 4 && *i != 7));
        list(&mut world, (0..10).filter(|i| *i != 4));
        assert_eq!(map(&mut world), without_4);
        list(&mut world, 0..10);
        assert_eq!(map(&mut world), before);
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
    }

    #[test]
    fn everybody_can_be_replaced_and_the_array_grows() {
        let mut world = World::equal(3, &Config { capacity: 4 });
        list(&mut world, 10..14);
        assert!(map(&mut world).iter().all(|address| (10..14).contains(address)));
        list(&mut world, 20..29);
        let used: std::collections::BTreeSet<u32> = map(&mut world).into_iter().collect();
        assert_eq!(used.len(), 9);
        list(&mut world, []);
        list(&mut world, 0..2);
        assert_eq!(std::collections::BTreeSet::from_iter(map(&mut world)), [0, 1].into());
    }

    #[test]
    fn a_capacity_is_checked() {
        assert!(toml::from_str::<Config>("capacity = 0").unwrap_err().message().contains("1 to 1048576 buckets"));
    }
}
