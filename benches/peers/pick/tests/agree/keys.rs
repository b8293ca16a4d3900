//! Key affinity: every pick is equal, with our hashes in the crates.

use std::hash::{BuildHasher, Hash, Hasher};

use hashring::HashRing;
use maglev::{ConsistentHasher, Maglev};
use plimsoll::base::hash::xxh64;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rendezvous_hash::{Capacity, IdNode, Node, NodeHasher, RendezvousNodes, WeightedNode};

use crate::ours::{Ours, churn, name};

#[test]
fn jump_picks_as_jump_consistent_hash() {
    let mut random = StdRng::seed_from_u64(1);
    let mut ours = Ours::new(r#"{"jump": {"on_leave": "shift"}}"#);
    let (mut list, mut next) = (vec![], 0);
    for _ in 0..300 {
        churn(&mut list, &mut next, 1, &mut random);
        ours.list(&list);
        for _ in 0..100 {
            let hash = random.random();
            let endpoint = ours.pick(hash);
            assert_eq!(ours.number(endpoint), list[jump_consistent_hash::hash(hash, list.len()) as usize].0);
        }
    }
}

/// XXH64 of text, and a number as it is: so that the crate's ring gets our points and our keys.
#[derive(Clone, Default)]
struct AsOurs(u64);

impl Hasher for AsOurs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh64(bytes, 0);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for AsOurs {
    type Hasher = AsOurs;

    fn build_hasher(&self) -> AsOurs {
        AsOurs(0)
    }
}

/// A point of an endpoint on the ring.
struct Point {
    endpoint: u32,
    number: u32,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(format!("{}_{}", name(self.endpoint), self.number).as_bytes());
    }
}

#[test]
fn the_ring_picks_as_hashring() {
    let mut random = StdRng::seed_from_u64(2);
    let mut ours = Ours::new(r#""hash_ring_vnodes""#);
    let mut theirs = HashRing::with_hasher(AsOurs(0));
    let points = |endpoint: u32| (0..160).map(move |number| Point { endpoint, number });
    let (mut list, mut next) = (vec![], 0);
    for _ in 0..200 {
        let before = list.clone();
        churn(&mut list, &mut next, 1, &mut random);
        ours.list(&list);
        for (endpoint, _) in before.iter().filter(|old| !list.contains(old)) {
            points(*endpoint).for_each(|point| drop(theirs.remove(&point)));
        }
        for (endpoint, _) in list.iter().filter(|new| !before.contains(new)) {
            theirs.batch_add(points(*endpoint).collect());
        }
        for _ in 0..200 {
            let hash: u64 = random.random();
            let endpoint = ours.pick(hash);
            assert_eq!(ours.number(endpoint), theirs.get(&hash).unwrap().endpoint, "{list:?}");
        }
    }
}

/// A name in a Maglev table, and what the crate hashes of it.
#[derive(PartialEq, Eq)]
struct Named(u32);

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(name(self.0).as_bytes());
    }
}

/// The crate's two hashes of a name are XXH64 with the seeds 0 and 1 of Envoy, and a number is itself.
#[derive(Clone, Default)]
struct AsEnvoy {
    seed: u64,
    hash: u64,
}

impl Hasher for AsEnvoy {
    fn write_u32(&mut self, seed: u32) {
        self.seed = u64::from(seed == 0xdead_beef);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.hash = xxh64(bytes, self.seed);
    }

    fn write_u64(&mut self, number: u64) {
        self.hash = number;
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

impl BuildHasher for AsEnvoy {
    type Hasher = AsEnvoy;

    fn build_hasher(&self) -> AsEnvoy {
        AsEnvoy::default()
    }
}

/// The crate knows no weights and no readiness: it gets a list of those that are ready.
#[test]
fn maglev_picks_as_maglev() {
    let mut random = StdRng::seed_from_u64(5);
    for (slots, changes) in [(1_021, 150), (13, 50), (65_537, 4)] {
        let mut ours = Ours::new(&format!(r#"{{"maglev": {{"table_size": {slots}}}}}"#));
        let (mut list, mut next) = (vec![], 0);
        for _ in 0..changes {
            churn(&mut list, &mut next, 1, &mut random);
            ours.list(&list);
            let down = list[random.random_range(0..list.len())].0;
            for all_ready in [true, false] {
                ours.ready(down, all_ready || list.len() == 1);
                let ready = list
                    .iter()
                    .map(|(number, _)| *number)
                    .filter(|number| all_ready || list.len() == 1 || *number != down);
                // Ours fills the table in the order of names, whatever that of the list is.
                let theirs = Maglev::with_capacity_and_hasher(ready.map(Named), slots, AsEnvoy::default());
                assert_eq!(theirs.capacity(), slots);
                let hashes: Vec<u64> = (0..slots.min(1_021) as u64).chain((0..100).map(|_| random.random())).collect();
                for hash in hashes {
                    let endpoint = ours.pick(hash);
                    assert_eq!(ours.number(endpoint), theirs.get(&hash).unwrap().0, "slot of {hash}: {list:?}");
                }
            }
            ours.ready(down, true);
        }
    }
}

/// XXH64 of a name with the bytes of the key behind it.
struct NameThenKey;

impl NodeHasher<String> for NameThenKey {
    fn hash<T: Hash>(&self, node: &String, item: &T) -> u64 {
        let mut bytes = Bytes(node.clone().into_bytes());
        item.hash(&mut bytes);
        bytes.finish()
    }
}

struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        xxh64(&self.0, 0)
    }
}

/// The whole order of failover, over endpoints that come and go.
fn ranks<N: Node<NodeId = String>>(heaviest: u32, node: impl Fn(u32, u32) -> N) {
    let mut random = StdRng::seed_from_u64(6);
    let mut ours = Ours::new(r#""rendezvous""#);
    let mut theirs = RendezvousNodes::new(NameThenKey);
    let (mut list, mut next) = (vec![], 0);
    for _ in 0..200 {
        let before = list.clone();
        churn(&mut list, &mut next, heaviest, &mut random);
        ours.list(&list);
        before.iter().filter(|old| !list.contains(old)).for_each(|(old, _)| drop(theirs.remove(&name(*old))));
        list.iter()
            .filter(|new| !before.contains(new))
            .for_each(|(new, weight)| drop(theirs.insert(node(*new, *weight))));
        for _ in 0..50 {
            let hash: u64 = random.random();
            for (attempt, expected) in theirs.calc_candidates(&hash).enumerate() {
                let endpoint = ours.pick_again(hash, attempt as u32);
                assert_eq!(&name(ours.number(endpoint)), expected.node_id(), "attempt {attempt} of {hash}: {list:?}");
            }
        }
    }
}

#[test]
fn rendezvous_ranks_as_rendezvous_hash() {
    ranks(1, |number, _| IdNode::new(name(number)));
}

/// Both score by the logarithm of the hash; they round it to a number below 1 each in their own way.
#[test]
fn rendezvous_ranks_by_weight_as_rendezvous_hash() {
    ranks(7, |number, weight| {
        WeightedNode::new(IdNode::new(name(number)), Capacity::new(f64::from(weight)).expect("above zero"))
    });
}
