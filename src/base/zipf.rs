//! Zipf's law over ranks: rank `r` of `n` is drawn with a probability proportional to `1 / r^s`.
//!
//! The law is an integer table built once, inverted by search: one uniform for each draw, and the rank is monotone
//! in it, so runs that differ in the exponent draw correlated keys. A second table, indexed by the leading bits of
//! the uniform, leaves only a few ranks to search.

use std::fmt;

use crate::base::math;
use crate::base::rand::Bits;

/// Zipf's law over the ranks `1..=count`. Rank 1 is the most popular.
#[derive(Clone)]
pub struct Zipf {
    /// `ends[i]` is where rank `i + 1` ends in 2^64; the last rank has no end.
    ends: Box<[u64]>,
    /// For each value of the leading bits, how many ranks end at or before its first uniform; and one more entry.
    guide: Box<[u32]>,
    shift: u32,
}

impl Zipf {
    /// The law over `count` ranks with this exponent; 0 makes all ranks alike. Takes 8 to 16 bytes for each rank.
    ///
    /// # Panics
    /// When `count` is 0 or above 2^32 - 1, or the exponent is negative or not finite: the plan has refused both.
    pub fn new(count: u64, exponent: f64) -> Zipf {
        assert!((1..=u64::from(u32::MAX)).contains(&count), "a Zipf law of {count} ranks");
        assert!(exponent >= 0.0 && exponent.is_finite(), "a Zipf law of exponent {exponent}");
        let mut total = 0.0;
        let sums: Vec<f64> = (1..=count)
            .map(|rank| {
                total += math::pow(rank as f64, -exponent);
                total
            })
            .collect();
        // The cast saturates where the last ranks are too improbable to tell from the end.
        let ends: Box<[u64]> = sums[..sums.len() - 1].iter().map(|sum| (sum / total * TWO_64) as u64).collect();
        let bits = count.next_power_of_two().ilog2().clamp(1, 20);
        let shift = 64 - bits;
        let mut guide: Vec<u32> = Vec::with_capacity((1 << bits) + 1);
        let mut below = 0;
        for cell in 0..1u64 << bits {
            while ends.get(below).is_some_and(|&end| end <= cell << shift) {
                below += 1;
            }
            guide.push(below as u32);
        }
        guide.push(ends.len() as u32);
        Zipf { ends, guide: guide.into(), shift }
    }

    /// The number of ranks.
    pub fn count(&self) -> u64 {
        self.ends.len() as u64 + 1
    }

    /// A rank in `1..=count`. One draw.
    #[inline]
    pub fn sample<B: Bits>(&self, bits: &mut B) -> u64 {
        self.rank(bits.next_u64())
    }

    /// The rank at `x` of 2^64: one more than the number of ranks that end at or before `x`.
    #[inline]
    pub fn rank(&self, x: u64) -> u64 {
        let cell = (x >> self.shift) as usize;
        let (low, high) = (self.guide[cell] as usize, self.guide[cell + 1] as usize);
        (low + self.ends[low..high].partition_point(|&end| end <= x)) as u64 + 1
    }

    /// The share of all draws that goes to the ranks `1..=rank`.
    pub fn share_of_top(&self, rank: u64) -> f64 {
        match rank.checked_sub(1) {
            None => 0.0,
            Some(last) => self.ends.get(last as usize).map_or(1.0, |&end| end as f64 / TWO_64),
        }
    }
}

impl fmt::Debug for Zipf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zipf({} ranks)", self.count())
    }
}

const TWO_64: f64 = 18_446_744_073_709_551_616.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;

    /// By plain search, without the guide.
    fn searched(zipf: &Zipf, x: u64) -> u64 {
        zipf.ends.iter().filter(|&&end| end <= x).count() as u64 + 1
    }

    #[test]
    fn the_guide_changes_no_rank() {
        for (count, exponent) in [(1, 1.1), (2, 0.5), (3, 0.0), (100, 1.1), (1_000, 2.0), (1_025, 0.8), (500, 40.0)] {
            let zipf = Zipf::new(count, exponent);
            assert_eq!(zipf.count(), count);
            let near_ends = zipf.ends.iter().flat_map(|&end| [end.saturating_sub(1), end, end.saturating_add(1)]);
            for x in near_ends.chain((0..1_000).map(mix)).chain([0, u64::MAX]) {
                assert_eq!(zipf.rank(x), searched(&zipf, x), "{count} ranks, exponent {exponent}, at {x}");
            }
            assert_eq!(zipf.rank(0), 1);
        }
        assert_eq!(Zipf::new(1_000, 0.5).rank(u64::MAX), 1_000);
    }

    #[test]
    fn ranks_are_monotone_in_the_uniform() {
        let zipf = Zipf::new(100_000, 1.1);
        let ranks = (0..=65_535u64).map(|i| zipf.rank(i << 48 | i));
        assert!(ranks.is_sorted());
    }

    #[test]
    fn shares_are_those_of_the_law() {
        // 1 + 1/2 + 1/3 + 1/4 = 25/12.
        let zipf = Zipf::new(4, 1.0);
        for (rank, share) in [(0, 0.0), (1, 12.0 / 25.0), (2, 18.0 / 25.0), (3, 22.0 / 25.0), (4, 1.0), (9, 1.0)] {
            assert!((zipf.share_of_top(rank) - share).abs() < 1e-15, "rank {rank}");
        }
        assert!((Zipf::new(8, 0.0).share_of_top(2) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn draws_follow_the_law() {
        let zipf = Zipf::new(1_000, 1.1);
        let mut counts = [0u32; 1_001];
        (0..200_000u64).for_each(|i| counts[zipf.rank(mix(i)) as usize] += 1);
        for top in [1, 2, 10, 100, 900] {
            let found = f64::from(counts[..=top].iter().sum::<u32>()) / 200_000.0;
            let expected = zipf.share_of_top(top as u64);
            assert!((found - expected).abs() < 0.005, "top {top}: {found}, expected {expected}");
        }
    }

    #[test]
    fn every_rank_is_the_one_that_results_were_made_of() {
        let zipf = Zipf::new(100_000, 1.1);
        let digest = (0..100_000u64).fold(0, |digest, i| mix(digest ^ zipf.rank(mix(i))));
        assert_eq!(digest, 0x2127_e93e_316c_5178, "{digest:#018x}: keys changed, and with them every result");
    }
}
