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
}
