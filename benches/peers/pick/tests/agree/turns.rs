//! Weighted turns: every turn is equal.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weighted_rs::{RoundrobinWeight, SmoothWeight, Weight};

use crate::ours::Ours;

/// A thousand turns each of two hundred random lists.
fn turns<W: Weight<Item = u32>>(balancer: &str, theirs: impl Fn() -> W) {
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..200 {
        let endpoints: Vec<(u32, u32)> =
            (0..random.random_range(1..20)).map(|number| (number, random.random_range(1..30))).collect();
        let mut ours = Ours::new(balancer);
        ours.list(&endpoints);
        let mut theirs = theirs();
        endpoints.iter().for_each(|(number, weight)| theirs.add(*number, *weight as isize));
        for turn in 0..1_000 {
            let endpoint = ours.pick(0);
            assert_eq!(Some(ours.number(endpoint)), theirs.next(), "turn {turn} of {endpoints:?}");
        }
    }
}

#[test]
fn smooth_turns_are_those_of_weighted_rs() {
    turns(r#""wrr_smooth""#, SmoothWeight::new);
}

#[test]
fn interleaved_turns_are_those_of_weighted_rs() {
    turns(r#"{"wrr_list": {"order": "interleaved", "start": "zero"}}"#, RoundrobinWeight::new);
}
