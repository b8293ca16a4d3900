//! Weighted turns by repetition: an endpoint stands in the list as often as its weight says.
//!
//! Origin: the trick of repeating addresses that gRPC users are told of; Ribbon; with `order = "interleaved"` the
//! sweep of LVS (`ip_vs_wrr`); with `reduce = false` pingora RoundRobin (`selection/weighted.rs`), which goes on without
//! weights where the one whose turn it is is not ready.
//! Observes: static weights.
//! Cost: O(1) a pick; the list is rebuilt when endpoints change and has sum/gcd of the weights places, without
//! `reduce` their sum. Above `max_len` the weights are scaled down, each to at least 1.
//! Draws: one when the rotation starts at random, none a pick.
//! Fails when: weights are large, because calls come in bursts of weight/gcd on one endpoint.

use serde::{Deserialize, Serialize};

use super::turn::{OnUpdate, Start, Turn};
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::{Weighted, gcd};
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `wrr_list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How the places are arranged.
    pub order: Order,
    /// Whether weights lose the divisor that all have in common: 10 and 20 are then 1 and 2.
    pub reduce: bool,
    /// Longest list; more endpoints than this still get a place each.
    pub max_len: u32,
    /// Where a rotation starts.
    pub start: Start,
    /// What happens to the position when the endpoints change.
    pub on_update: OnUpdate,
}

/// How the places are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// All places of an endpoint together.
    #[default]
    Blocks,
    /// Sweeps over the endpoints, of which the light ones sit out the first.
    Interleaved,
}

impl Default for Config {
    fn default() -> Self {
        let (start, on_update) = (Start::Random, OnUpdate::Restart);
        Config { order: Order::Blocks, reduce: true, max_len: 65_536, start, on_update }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let turn = Turn::new(self.start, self.on_update, context.seed.stream("wrr_list"));
        Box::new(WrrList { config: self.clone(), turn, list: vec![] })
    }
}

#[derive(Debug)]
struct WrrList {
    config: Config,
    turn: Turn,
    list: Vec<EndpointId>,
}

impl Balancer for WrrList {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let weighted = Weighted::of(endpoints);
        let max_len = self.config.max_len;
        let weights = if self.config.reduce { weighted.reduced_to(max_len) } else { weighted.at_most(max_len) };
        self.list.clear();
        match self.config.order {
            Order::Blocks => {
                for (id, weight) in weighted.ids.iter().zip(&weights) {
                    self.list.extend(std::iter::repeat_n(*id, *weight as usize));
                }
            }
            Order::Interleaved => {
                // LVS: the level falls from the largest weight in steps of the divisor, one sweep a level.
                let step = weights.iter().copied().fold(0, gcd).max(1);
                let mut level = weights.iter().copied().max().unwrap_or(0);
                while level > 0 {
                    let sweep = weighted.ids.iter().zip(&weights).filter(|(_, weight)| **weight >= level);
                    self.list.extend(sweep.map(|(id, _)| *id));
                    level = level.saturating_sub(step);
                }
            }
        }
        self.turn.on_update();
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.list.as_slice() {
            [] => Pick::nobody(endpoints),
            list => Pick::To(list[self.turn.take(list.len())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, letters};

    fn cycle(weights: &[u32], order: Order, n: usize) -> String {
        let config = Config { order, start: Start::Zero, ..Config::default() };
        letters(&World::weighted(weights, &config).picks(n))
    }

    #[test]
    fn blocks() {
        for (weights, expected) in
            [(&[5, 1, 1][..], "AAAAABC"), (&[10, 20, 30], "ABBCCC"), (&[3, 0, 1], "AAAC"), (&[0, 0], "AB")]
        {
            assert_eq!(cycle(weights, Order::Blocks, 2 * expected.len()), expected.repeat(2), "{weights:?}");
        }
    }

    #[test]
    fn interleaved() {
        for (weights, expected) in [(&[4, 3, 2][..], "AABABCABC"), (&[5, 1, 1], "AAAAABC")] {
            assert_eq!(cycle(weights, Order::Interleaved, 2 * expected.len()), expected.repeat(2), "{weights:?}");
        }
    }

    #[test]
    fn a_divisor_in_common_may_stay() {
        let config = Config { reduce: false, start: Start::Zero, ..Config::default() };
        assert_eq!(letters(&World::weighted(&[4, 2], &config).picks(7)), "AAAABBA");
    }

    #[test]
    fn the_list_is_bounded() {
        let config = Config { max_len: 10, start: Start::Zero, ..Config::default() };
        let mut world = World::weighted(&[1_000_000, 1], &config);
        assert_eq!(letters(&world.picks(10)), "AAAAAAAAAB");
    }
}
