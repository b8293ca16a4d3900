//! Weighted turns from a map that is filled once, as evenly as a greedy pass can.
//!
//! Origin: HAProxy `static-rr`, `src/lb_map.c`.
//! Observes: static weights.
//! Cost: O(1) a pick; filling the map takes n times sum/gcd of the weights when endpoints change. Above `max_len`
//! the weights are scaled down, each to at least 1.
//! Draws: one when the rotation starts at random, none a pick.
//! Fails when: endpoints change often, because every change fills the map again.

use serde::{Deserialize, Serialize};

use super::turn::{OnUpdate, Start, Turn};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `wrr_map`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest map; more endpoints than this still get a slot each.
    pub max_len: u32,
    /// Where a rotation starts.
    pub start: Start,
    /// What happens to the position when the endpoints change.
    pub on_update: OnUpdate,
}

impl Default for Config {
    fn default() -> Self {
        Config { max_len: 65_536, start: Start::Random, on_update: OnUpdate::Restart }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let turn = Turn::new(self.start, self.on_update, context.seed.stream("wrr_map"));
        Box::new(WrrMap { max_len: self.max_len, turn, weighted: Weighted::default(), map: None })
    }
}

#[derive(Debug)]
struct WrrMap {
    max_len: u32,
    turn: Turn,
    weighted: Weighted,
    /// `None` until the first pick after a change.
    map: Option<Vec<u32>>,
}

impl Balancer for WrrMap {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.weighted = Weighted::of(endpoints);
        self.map = None;
        self.turn.on_update();
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if self.weighted.is_empty() {
            return Pick::nobody(endpoints);
        }
        let map = self.map.get_or_insert_with(|| fill(&self.weighted, self.max_len));
        Pick::To(self.weighted.ids[map[self.turn.take(map.len())] as usize])
    }
}

/// Slot by slot every endpoint earns its weight; the first with the most whole turns takes the slot and pays the
/// sum of all weights.
fn fill(weighted: &Weighted, max_len: u32) -> Vec<u32> {
    if weighted.are_equal() {
        return (0..weighted.len() as u32).collect();
    }
    let weights = weighted.reduced_to(max_len);
    let total: i64 = weights.iter().copied().map(i64::from).sum();
    let mut scores = vec![0i64; weights.len()];
    let slot = |_| {
        let (mut best, mut most) = (0, 0);
        for (i, (score, weight)) in scores.iter_mut().zip(&weights).enumerate() {
            *score += i64::from(*weight);
            let turns = (*score + total).div_euclid(total);
            if turns > most {
                (best, most) = (i, turns);
            }
        }
        scores[best] -= total;
        best as u32
    };
    (0..total).map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, letters};

    #[test]
    fn one_map() {
        for (weights, expected) in [
            (&[5, 1, 1][..], "AAABAAC"),
            (&[2, 1], "AAB"),
            (&[3, 2, 1], "AABABC"),
            (&[30, 20, 0, 10], "AABABD"),
            (&[4, 4, 4], "ABC"),
        ] {
            let mut world = World::weighted(weights, &Config { start: Start::Zero, ..Config::default() });
            assert_eq!(letters(&world.picks(2 * expected.len())), expected.repeat(2), "{weights:?}");
        }
    }

    #[test]
    fn a_map_holds_each_as_often_as_its_weight_says() {
        let weights = [13, 1, 7, 4, 4, 9, 2];
        let mut world = World::weighted(&weights, &Config::default());
        assert_eq!(world.counts(40), weights.map(|weight| weight as usize));
    }
}
