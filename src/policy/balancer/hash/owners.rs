//! Who owns which part of the hash space: a ring of points, or a table of equal slots. Both are a circle of
//! entries that a walk goes round; they differ in how they are laid out and where a hash enters.
//!
//! Members come sorted by name with weights above zero, so the map from key to name does not depend on the
//! order of the resolver's answer.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::{ketama_crc32, ketama_md5, maglev};
use crate::base::hash::{murmur2, xxh64};

/// How the entries are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// As many points as make the lightest member's share of `min` a whole number, at most `max` in all: a ring
    /// whose points a member change with the number of members (gRFC A42).
    AutoSized {
        /// Points that the ring should have at least.
        min: u32,
        /// Points that it has at most.
        max: u32,
        /// What places a point.
        hash: PointHash,
    },
    /// This many points for each unit of weight.
    PerWeight(u32),
    /// One point each, at the hash of its name.
    Once,
    /// NGINX's and pingora's points: this many for each unit of weight.
    KetamaCrc32(u32),
    /// libketama's points: on average 160 each, by weight.
    Libketama,
    /// Dubbo's points: 160 each.
    Dubbo,
    /// A Maglev table of this many slots.
    Maglev(u32),
}

/// What places the points of a ring. Keys are hashed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointHash {
    /// XXH64 with seed 0: gRPC, and Envoy's default.
    #[default]
    XxHash,
    /// Envoy's `MURMUR_HASH_2`, the `std::hash` of GNU's C++ library.
    #[serde(rename = "murmur_hash_2")]
    MurmurHash2,
}

impl PointHash {
    fn of(self, bytes: &[u8]) -> u64 {
        match self {
            PointHash::XxHash => xxh64(bytes, 0),
            PointHash::MurmurHash2 => murmur2(bytes),
        }
    }
}

/// A circle of entries and their owners. Owners are places in the list of members it was built from.
#[derive(Debug, PartialEq, Eq)]
pub struct Owners {
    /// Where each entry of a ring stands, ascending; empty for a table of slots.
    points: Box<[u64]>,
    /// The first point of each of equal parts of a ring, a few points each: where a search begins.
    parts: Box<[u32]>,
    /// How far a hash is shifted to give its part.
    shift: u32,
    /// Who owns each entry.
    owners: Box<[u32]>,
}

impl Owners {
    /// Lays out the members.
    pub fn build<N: AsRef<str>>(layout: Layout, members: &[(N, u32)]) -> Owners {
        let weights = || members.iter().map(|(_, weight)| *weight);
        match layout {
            _ if members.is_empty() => Owners::table([].into()),
            Layout::AutoSized { min, max, hash } => ring(members, &auto_sized(weights(), min, max), hash),
            Layout::PerWeight(points) => ring(members, &per_weight(weights(), points), PointHash::XxHash),
            Layout::Once => {
                let point = |(place, (name, _)): (usize, &(N, u32))| (xxh64(name.as_ref().as_bytes(), 0), place as u32);
                Owners::ring(members.iter().enumerate().map(point).collect())
            }
            Layout::KetamaCrc32(points) => {
                let mut entries = ketama_crc32::points(members, &per_weight(weights(), points));
                entries.sort_unstable();
                entries.dedup_by_key(|(point, _)| *point);
                Owners::ring(entries)
            }
            Layout::Libketama => Owners::ring(ketama_md5::libketama(members)),
            Layout::Dubbo => Owners::ring(ketama_md5::dubbo(members)),
            Layout::Maglev(slots) => Owners::table(maglev::table(members, slots)),
        }
    }

    /// A table of equal slots.
    fn table(owners: Box<[u32]>) -> Owners {
        Owners { points: [].into(), parts: [].into(), shift: 0, owners }
    }

    /// A ring of these points and their owners, in any order. Of two members at one point the first by name owns
    /// it.
    fn ring(mut entries: Vec<(u64, u32)>) -> Owners {
        entries.sort_unstable();
        let bits = (entries.len() / 4).max(2).ilog2();
        let mut first = 0;
        let part = |part: u64| {
            first += entries[first..].iter().take_while(|(point, _)| point >> (64 - bits) < part).count();
            first as u32
        };
        Owners {
            parts: (0..1 << bits).map(part).collect(),
            shift: 64 - bits,
            points: entries.iter().map(|(point, _)| *point).collect(),
            owners: entries.iter().map(|(_, owner)| *owner).collect(),
        }
    }

    /// Number of entries; 0 if nobody owns anything.
    #[inline]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// True if nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The entry that a hash belongs to: the first point at or after it, or the slot `hash mod slots`. There must
    /// be an entry.
    #[inline]
    pub fn entry(&self, hash: u64) -> usize {
        if self.points.is_empty() {
            return (hash % self.owners.len() as u64) as usize;
        }
        let from = self.parts[(hash >> self.shift) as usize] as usize;
        self.points[from..].iter().position(|point| *point >= hash).map_or(0, |steps| from + steps)
    }

    /// The entry of a further attempt. On a ring it is that many entries on, in a table the hash is turned as in
    /// Envoy; neither promises another owner.
    #[inline]
    pub fn enter(&self, hash: u64, attempt: u32) -> usize {
        match attempt {
            0 => self.entry(hash),
            _ if self.points.is_empty() => self.entry(hash ^ u64::from(attempt).wrapping_neg()),
            _ => (self.entry(hash) + attempt as usize) % self.len(),
        }
    }

    /// The point nearest to a hash, before or after it, of two as near the one before (HAProxy `chash_get_server_hash`).
    /// In a table of slots it is the slot of the hash.
    #[inline]
    pub fn nearest(&self, hash: u64) -> usize {
        let next = self.entry(hash);
        if self.points.is_empty() {
            return next;
        }
        let before = if next == 0 { self.len() - 1 } else { next - 1 };
        let (back, ahead) = (hash.wrapping_sub(self.points[before]), self.points[next].wrapping_sub(hash));
        if back <= ahead { before } else { next }
    }

    /// How far clockwise the next point of a ring is from a hash, and which it is.
    #[inline]
    pub fn distance(&self, hash: u64) -> (u64, usize) {
        let entry = self.entry(hash);
        (self.points[entry].wrapping_sub(hash), entry)
    }

    /// Who owns an entry.
    #[inline]
    pub fn owner(&self, entry: usize) -> usize {
        self.owners[entry] as usize
    }

    /// The owners of all entries, clockwise from this one: once round.
    #[inline]
    pub fn walk(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        self.owners[from..].iter().chain(&self.owners[..from]).map(|owner| *owner as usize)
    }
}

/// How many points each member gets (gRFC A42; grpc-go `balancer/ringhash/ring.go`). Running sums of doubles in
/// this order: they decide who gets one more.
fn auto_sized(weights: impl Iterator<Item = u32> + Clone, min: u32, max: u32) -> Vec<u32> {
    let sum = weights.clone().map(f64::from).sum::<f64>();
    let lightest = weights.clone().map(|weight| f64::from(weight) / sum).fold(1.0, f64::min);
    let scale = ((lightest * f64::from(min)).ceil() / lightest).min(f64::from(max));
    let (mut placed, mut target) = (0.0, 0.0);
    let count = |weight: u32| {
        target += scale * (f64::from(weight) / sum);
        let mut points = 0;
        while placed < target {
            points += 1;
            placed += 1.0;
        }
        points
    };
    weights.map(count).collect()
}

/// `points` for each unit of weight, or in proportion to that where all together would be more than
/// [`MOST_POINTS`].
fn per_weight(weights: impl Iterator<Item = u32> + Clone, points: u32) -> Vec<u32> {
    let wanted = |weight: u32| u64::from(weight) * u64::from(points);
    let sum: u64 = weights.clone().map(wanted).sum();
    if sum <= MOST_POINTS {
        return weights.map(|weight| wanted(weight) as u32).collect();
    }
    let cut = |weight| u128::from(wanted(weight)) * u128::from(MOST_POINTS) / u128::from(sum);
    weights.map(|weight| cut(weight).max(1) as u32).collect()
}

/// A ring: the `k`-th point of a member is the hash of its name, an underscore and `k` (gRFC A42).
fn ring<N: AsRef<str>>(members: &[(N, u32)], counts: &[u32], hash: PointHash) -> Owners {
    let mut entries: Vec<(u64, u32)> = Vec::with_capacity(counts.iter().map(|count| *count as usize).sum());
    let mut key = Vec::with_capacity(64);
    for (place, (name, _)) in members.iter().enumerate() {
        key.clear();
        key.extend_from_slice(name.as_ref().as_bytes());
        key.push(b'_');
        let stem = key.len();
        for k in 0..counts[place] {
            key.truncate(stem);
            write!(key, "{k}").expect("a vector takes every byte");
            entries.push((hash.of(&key), place as u32));
        }
    }
    Owners::ring(entries)
}

/// Envoy's upper limit for a ring.
pub const MOST_POINTS: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[&str]) -> Vec<(String, u32)> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    }

    fn auto(min: u32) -> Layout {
        Layout::AutoSized { min, max: 4096, hash: PointHash::XxHash }
    }

    fn sizes(weights: &[u32], min: u32, max: u32) -> Vec<u32> {
        auto_sized(weights.iter().copied(), min, max)
    }

    #[test]
    fn a_search_from_its_part_finds_what_a_search_of_all_finds() {
        for points in [1, 2, 3, 7, 8, 9, 100, 5_000] {
            let ring = Owners::ring((0..points).map(|i| (xxh64(&u32::to_le_bytes(i), 0), i)).collect());
            let near = |point: &u64| [point.wrapping_sub(1), *point, point.wrapping_add(1)];
            let spread = (0..1_000_u64).map(|i| i << 54);
            for hash in ring.points.iter().flat_map(near).chain(spread).chain([u64::MAX]) {
                let all = ring.points.partition_point(|point| *point < hash);
                assert_eq!(ring.entry(hash), all % ring.len(), "{hash} of {points} points");
            }
        }
    }

    #[test]
    fn auto_sized_rings_have_the_published_sizes() {
        assert_eq!(sizes(&[1, 1, 1], 1024, 4096), [342, 342, 342]);
        assert_eq!(sizes(&[1, 2], 1024, 4096), [342, 684]);
        assert_eq!(sizes(&[3, 3, 4], 10, 4096), [3, 3, 4]);
        assert_eq!(sizes(&[3, 3, 4], 7, 4096), [3, 3, 4]);
        assert_eq!(sizes(&[1, 100], 1024, 4096), [11, 1100]);
        assert_eq!(sizes(&[1; 4], 1024, 6), [2, 1, 2, 1]);
        // A thousand points more than the cap: somebody owns nothing.
        let counts = sizes(&[1; 4097], 1024, 4096);
        assert_eq!((counts.iter().sum::<u32>(), counts.iter().filter(|count| **count == 0).count()), (4096, 1));
    }

    #[test]
    fn auto_sized_counts_change_with_the_number_of_members() {
        let each = |n: usize| sizes(&vec![1; n], 1024, 4096)[0];
        let counts = [3, 2, 5, 4, 10, 9, 20, 19, 50, 49].map(each);
        assert_eq!(counts, [342, 512, 205, 256, 103, 114, 52, 54, 21, 21]);
    }

    #[test]
    fn points_per_weight_are_exact_up_to_the_limit() {
        assert_eq!(per_weight([1, 3].into_iter(), 160), [160, 480]);
        let cut = per_weight([1, u32::MAX, u32::MAX].into_iter(), 160);
        assert_eq!(cut, [1, 4_194_303, 4_194_303]);
    }

    /// The hash values are those of Envoy's own test of a ring of twelve.
    #[test]
    fn vector_a_a_ring_of_twelve() {
        let names = ["127.0.0.1:90", "127.0.0.1:91", "127.0.0.1:92", "127.0.0.1:93", "127.0.0.1:94", "127.0.0.1:95"];
        let ring = Owners::build(auto(12), &members(&names));
        let expected: [(u64, u32); 12] = [
            (833_437_586_790_550_860, 94),
            (928_266_305_478_181_108, 92),
            (1_033_482_794_131_418_490, 90),
            (3_551_244_743_356_806_947, 95),
            (3_851_675_632_748_031_481, 93),
            (5_583_722_120_771_150_861, 91),
            (6_311_230_543_546_372_928, 91),
            (7_700_377_290_971_790_572, 93),
            (13_144_177_310_400_110_813, 95),
            (13_444_792_449_719_432_967, 92),
            (15_516_499_411_664_133_160, 94),
            (16_117_243_373_044_804_889, 90),
        ];
        assert_eq!(*ring.points, expected.map(|(point, _)| point));
        assert_eq!(*ring.owners, expected.map(|(_, port)| port - 90));
        assert_eq!(ring.entry(0), 0);
        assert_eq!(ring.entry(expected[3].0), 3, "a point owns its own hash");
        assert_eq!(ring.entry(expected[3].0 + 1), 4);
        assert_eq!(ring.entry(u64::MAX), 0, "past the last point it begins anew");
    }

    #[test]
    fn the_nearest_point_may_be_the_one_before() {
        let ring = Owners::ring(vec![(100, 0), (200, 1), (1 << 63, 2)]);
        let nearest = |hash: u64| ring.owner(ring.nearest(hash));
        assert_eq!([100, 149, 150, 151, 200].map(nearest), [0, 0, 0, 1, 1], "of two as near the one before");
        assert_eq!([99, u64::MAX, (1 << 63) - 1].map(nearest), [0, 0, 2], "round the end too");
    }

    #[test]
    fn murmur_places_other_points() {
        let names = ["127.0.0.1:90"];
        let layout = Layout::AutoSized { min: 1, max: 1, hash: PointHash::MurmurHash2 };
        assert_eq!(*Owners::build(layout, &members(&names)).points, [5_656_417_760_668_758_976]);
    }

    /// Share of the hash space by owner.
    fn arcs(ring: &Owners, members: usize) -> Vec<f64> {
        let mut arcs = vec![0.0; members];
        for (i, point) in ring.points.iter().enumerate() {
            let before = ring.points[(i + ring.len() - 1) % ring.len()];
            arcs[ring.owner(i)] += point.wrapping_sub(before) as f64 / 18_446_744_073_709_551_616.0;
        }
        arcs
    }

    #[test]
    fn vector_b_arcs_of_three() {
        let names = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
        let ring = Owners::build(auto(1024), &members(&names));
        let shares: Vec<String> = arcs(&ring, 3).iter().map(|share| format!("{share:.6}")).collect();
        assert_eq!(shares, ["0.331766", "0.335526", "0.332708"]);
    }

    #[test]
    fn arcs_of_ten_are_uneven_and_more_points_help() {
        let names: Vec<String> = (1..=10).map(|i| format!("10.0.0.{i}:80")).collect();
        let mut members: Vec<(String, u32)> = names.into_iter().map(|name| (name, 1)).collect();
        members.sort();
        let spread = |min| {
            let ring = Owners::build(auto(min), &members);
            let mut arcs = arcs(&ring, 10);
            arcs.sort_by(f64::total_cmp);
            (ring.len(), format!("{:.3}", arcs[0] * 10.0), format!("{:.3}", arcs[9] * 10.0))
        };
        assert_eq!(spread(1024), (1030, "0.819".to_owned(), "1.115".to_owned()));
        assert_eq!(spread(100), (100, "0.556".to_owned(), "1.898".to_owned()));
    }

    /// Of 100,000 keys, those that move although their owner stays, when the middle one of `n` leaves.
    fn collateral(layout: Layout, n: usize) -> usize {
        let mut all: Vec<(String, u32)> = (1..=n).map(|i| (format!("10.0.0.{i}:80"), 1)).collect();
        let gone = all[n / 2].0.clone();
        all.sort();
        let rest: Vec<_> = all.iter().filter(|member| member.0 != gone).cloned().collect();
        let (before, after) = (Owners::build(layout, &all), Owners::build(layout, &rest));
        let moved = |key: &u32| {
            let hash = xxh64(format!("key{key}").as_bytes(), 0);
            let was = &all[before.owner(before.entry(hash))].0;
            *was != gone && *was != rest[after.owner(after.entry(hash))].0
        };
        (0..100_000).filter(moved).count()
    }

    #[test]
    fn a_ring_that_sizes_itself_moves_keys_of_those_that_stay() {
        let moved = [3, 5, 10, 20, 50].map(|n| collateral(auto(1024), n));
        assert_eq!(moved, [8_247, 10_061, 5_549, 2_472, 0], "8.2, 10.1, 5.5, 2.5 and 0 %");
        assert_eq!(collateral(Layout::PerWeight(160), 5), 0, "a fixed number of points moves none");
    }
}
