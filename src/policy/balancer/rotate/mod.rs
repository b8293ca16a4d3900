//! Rotations: balancers that take the endpoints in a fixed order and look at nothing but static weights.
//!
//! The weighted ones differ in how evenly they spread a heavy endpoint's calls over the cycle, in what a pick
//! costs, and in where a cycle begins after the endpoints changed, which is where they go wrong in practice.

pub mod edf;
pub mod pick_first;
pub mod round_robin;
pub mod stride;
pub mod turn;
pub mod weighted_least_request;
pub mod wrr_dynamic;
pub mod wrr_edf;
pub mod wrr_list;
pub mod wrr_map;
pub mod wrr_smooth;
pub mod wrr_static_stride;

#[cfg(test)]
mod tests {
    use super::super::catalog::Spec;
    use super::super::testing::World;

    const WEIGHTED: &[&str] = &["wrr_smooth", "wrr_edf", "wrr_list", "wrr_map", "wrr_dynamic", "wrr_static_stride"];

    fn picks(name: &str, weights: &[u32], n: usize) -> String {
        let spec: Spec = serde_json::from_str(&format!("\"{name}\"")).expect("it is in the catalogue");
        World::weighted(weights, &spec).picks(n)
    }

    #[test]
    fn with_equal_weights_all_are_round_robin_up_to_rotation() {
        for name in WEIGHTED {
            let picks = picks(name, &[4; 5], 25);
            let start = "01234012340123401234012340123401234".find(&picks[..5]);
            assert!(start.is_some() && picks == picks[..5].repeat(5), "{name}: {picks}");
        }
    }

    #[test]
    fn a_common_factor_changes_nothing() {
        for name in WEIGHTED {
            let count = |weights: &[u32]| {
                let picks = picks(name, weights, 60);
                ['0', '1', '2'].map(|place| picks.matches(place).count())
            };
            assert_eq!(count(&[1, 2, 3]), count(&[7, 14, 21]), "{name}");
            assert_eq!(count(&[1, 2, 3]), [10, 20, 30], "{name}");
        }
    }
}
