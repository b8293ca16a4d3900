//! Static weights, as all weighted balancers read them: one rule for 0, one for common factors.

use super::Endpoints;
use crate::base::id::EndpointId;

/// The endpoints that weighted balancers choose among, with their weights, in the order of the list.
///
/// Weight 0 is never chosen, unless all that are ready have weight 0: then each counts as 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weighted {
    /// Who may be chosen.
    pub ids: Vec<EndpointId>,
    /// Their weights, 1 or more.
    pub weights: Vec<u32>,
}

impl Weighted {
    /// Of those that are ready, those whose weight counts.
    pub fn of(endpoints: &Endpoints<'_>) -> Weighted {
        let weight = |id: &EndpointId| endpoints.get(*id).map_or(0, |endpoint| endpoint.weight);
        if endpoints.ready.iter().all(|id| weight(id) == 0) {
            return Weighted { ids: endpoints.ready.to_vec(), weights: vec![1; endpoints.ready.len()] };
        }
        let (ids, weights) =
            endpoints.ready.iter().map(|id| (*id, weight(id))).filter(|(_, weight)| *weight > 0).unzip();
        Weighted { ids, weights }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True if nobody is ready.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// True if no two weights differ.
    pub fn are_equal(&self) -> bool {
        self.weights.windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The sum of the weights.
    pub fn total(&self) -> u64 {
        self.weights.iter().copied().map(u64::from).sum()
    }

    /// The weights without their greatest common divisor: `10, 20, 30` is `1, 2, 3`.
    pub fn reduced(&self) -> Vec<u32> {
        let divisor = self.weights.iter().copied().fold(0, gcd).max(1);
        self.weights.iter().map(|weight| weight / divisor).collect()
    }

    /// The same, scaled down until their sum is at most `max_total`, or as close as giving each at least 1 allows.
    pub fn reduced_to(&self, max_total: u32) -> Vec<u32> {
        scaled_to(self.reduced(), max_total)
    }

    /// The weights as they are, scaled down likewise.
    pub fn at_most(&self, max_total: u32) -> Vec<u32> {
        scaled_to(self.weights.clone(), max_total)
    }
}

/// Who owns which of as many places as there is weight: each endpoint as many in a row as it weighs.
///
/// A number finds its owner in O(1): a guide table says where the search for it begins (Chen and Asau, "On generating
/// random variates from an empirical distribution", AIIE Transactions 1974). Of light endpoints the guide names the
/// owner of each place.
#[derive(Debug, Clone, Default)]
pub struct Shares {
    /// Sums of the weights up to and with each.
    sums: Vec<u64>,
    /// By cell of 2^`shift` places: who owns the first of them. Then who owns the last place of all.
    guide: Vec<u32>,
    shift: u32,
}

impl Shares {
    /// The shares of these weights, in their order.
    pub fn of(weights: &[u32]) -> Shares {
        let sum = |sum: &mut u64, weight: &u32| {
            *sum += u64::from(*weight);
            Some(*sum)
        };
        let sums: Vec<u64> = weights.iter().scan(0, sum).collect();
        let Some(last) = sums.last().and_then(|total| total.checked_sub(1)) else { return Shares::default() };
        let most = CELLS_EACH * sums.len() as u64;
        let shift = (0..).find(|shift| last >> shift < most).expect("nothing is left of any number in the end");
        let mut owner = 0;
        let first = |cell: u64| {
            while sums[owner as usize] <= cell << shift {
                owner += 1;
            }
            owner
        };
        let mut guide: Vec<u32> = (0..=last >> shift).map(first).collect();
        guide.push(weights.len() as u32 - 1);
        Shares { sums, guide, shift }
    }

    /// The sum of the weights.
    #[inline]
    pub fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    /// The owner of a place, which must be below the sum of the weights: the first whose sum is above it.
    #[inline]
    pub fn owner(&self, place: u64) -> usize {
        let cell = (place >> self.shift) as usize;
        let from = self.guide[cell] as usize;
        if self.shift == 0 {
            return from;
        }
        // Whoever owns the first place of the next cell may own the last ones of this.
        let to = self.guide[cell + 1] as usize;
        from + self.sums[from..to].partition_point(|sum| *sum <= place)
    }
}

/// Cells of a guide for each endpoint, at most.
const CELLS_EACH: u64 = 8;

fn scaled_to(weights: Vec<u32>, max_total: u32) -> Vec<u32> {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let max_total = u64::from(max_total);
    if total <= max_total {
        return weights;
    }
    weights.iter().map(|weight| (u64::from(*weight) * max_total / total).max(1) as u32).collect()
}

/// The greatest common divisor; that of 0 and `n` is `n`.
pub fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    fn weighted(weights: &[u32]) -> Weighted {
        let ids = (0..weights.len() as u32).map(|slot| EndpointId::new(slot, 0)).collect();
        Weighted { ids, weights: weights.to_vec() }
    }

    #[test]
    fn common_factors_go() {
        assert_eq!(weighted(&[10, 20, 30]).reduced(), [1, 2, 3]);
        assert_eq!(weighted(&[7, 3]).reduced(), [7, 3]);
        assert!(weighted(&[]).reduced().is_empty());
    }

    #[test]
    fn large_sums_shrink_in_proportion() {
        assert_eq!(weighted(&[3_000_000, 1_000_001]).reduced_to(100), [74, 25]);
        assert_eq!(weighted(&[3, 1]).reduced_to(100), [3, 1]);
        assert_eq!(weighted(&[1_000_000, 1]).reduced_to(100), [99, 1], "nobody is lost");
        assert_eq!(weighted(&[20, 10]).at_most(30), [20, 10]);
        assert_eq!(weighted(&[20, 10]).at_most(12), [8, 4]);
    }

    #[test]
    fn each_place_has_the_owner_that_a_search_in_the_sums_finds() {
        let mut rand = Seed::new(1).stream("shares");
        let mut drawn = |n: usize, most: u64| (0..n).map(|_| 1 + rand.below(most) as u32).collect::<Vec<u32>>();
        // Light and heavy ones, and many light ones beside one that is as heavy as can be: one cell is nearly all theirs.
        let mut rows = vec![vec![1], vec![u32::MAX], vec![1; 9], vec![8; 9], vec![9; 9], vec![2, 0, 3], vec![0, 1, 0]];
        rows.extend([1, 2, 3, 17, 200].into_iter().flat_map(|n| [drawn(n, 5), drawn(n, 40), drawn(n, 1 << 32)]));
        rows.extend([0, 500, 1_000].map(|at| (0..=1_000).map(|i| if i == at { u32::MAX } else { 1 }).collect()));
        for weights in rows {
            let shares = Shares::of(&weights);
            let total: u64 = weights.iter().copied().map(u64::from).sum();
            assert_eq!(shares.total(), total);
            assert!(shares.guide.len() as u64 <= CELLS_EACH * weights.len() as u64 + 1, "memory is bounded");
            let ends: Vec<u64> = weights
                .iter()
                .scan(0, |sum, weight| {
                    Some({
                        *sum += u64::from(*weight);
                        *sum
                    })
                })
                .collect();
            let edges = ends.iter().flat_map(|end| [end.wrapping_sub(1), *end, end + 1]);
            let cells =
                (0..shares.guide.len() as u64).flat_map(|cell| [cell << shares.shift, (cell << shares.shift) + 1]);
            let places = edges.chain(cells).chain(0..1_000).chain((0..1_000).map(|_| rand.below(total)));
            for place in places.filter(|place| *place < total) {
                let searched = ends.iter().position(|end| *end > place);
                assert_eq!(Some(shares.owner(place)), searched, "{place} of {total}");
            }
        }
        assert_eq!(Shares::of(&[]).total(), 0);
    }
}
