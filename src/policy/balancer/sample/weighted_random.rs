//! Any ready endpoint, with a chance in proportion to its weight.
//!
//! Origin: grpc-go `internal/wrr/random.go` (`weighted_target`), NGINX `random`, ALB `weighted_random`, Dubbo `random`;
//! the alias method is Walker's (ACM TOMS 1977) as Vose builds it (IEEE TSE 1991), in whole numbers.
//! Observes: static weights.
//! Cost: O(1) a pick, with `"prefix_sums"` by a guide to the sums; O(n) a change.
//! Draws: one a pick, none for one endpoint; with `alias` half of one, the rest where that is not enough (2n times in
//! 2^32). With `alias` it finds the column by its high bits and the place in the column by its low ones, which leaves a
//! bias below n / 2^64.
//! Fails when: load is high, because chance alone leaves some backend well above its share.

use prefetch_index::prefetch_index;
use serde::{Deserialize, Serialize};

use super::places::are_first_in_place;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand, below, below_by_upper_half};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::{Shares, Weighted};
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `weighted_random`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How a draw finds its endpoint. The chances are the same.
    pub method: Method,
}

/// How a draw finds its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A column of a table, then one of the two endpoints in it.
    #[default]
    Alias,
    /// The first whose sum of weights is above the draw.
    PrefixSums,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("weighted_random");
        Box::new(WeightedRandom { method: self.method, rand, ids: vec![], chances: Chances::Equal })
    }
}

#[derive(Debug)]
struct WeightedRandom {
    method: Method,
    rand: Rand,
    ids: Vec<EndpointId>,
    chances: Chances,
}

#[derive(Debug)]
enum Chances {
    Equal,
    Alias(Table),
    PrefixSums(Shares),
}

/// For which later pick a column is fetched: early enough to arrive, late enough to be there still.
const PICKS_AHEAD: usize = 4;

/// An alias table. What a draw looks at is small, because a large fleet's table does not fit in a processor's cache.
#[derive(Debug)]
struct Table {
    columns: Vec<Column>,
    /// Each column's own endpoint; empty where the number of the column says who that is.
    own: Vec<EndpointId>,
    /// By column: the lower half of the share that its own endpoint has. One draw in 2^32 has to look.
    own_low: Vec<u32>,
}

/// A column of an alias table: as wide as all others, shared by two endpoints at most.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// The upper half of the share of its own endpoint, in parts of 2^64.
    own_high: u32,
    /// Whose the rest is.
    other: EndpointId,
}

impl Table {
    fn of(weighted: &Weighted) -> Table {
        let height = u128::from(weighted.total());
        let columns = alias(&weighted.weights);
        // A column that is all its own names itself twice, so the share that does not fit does not matter.
        let share = |own: u64| u64::try_from((u128::from(own) << 64) / height).unwrap_or(u64::MAX);
        let ids = &weighted.ids;
        let column =
            |(own, other): &(u64, u32)| Column { own_high: (share(*own) >> 32) as u32, other: ids[*other as usize] };
        Table {
            own_low: columns.iter().map(|(own, _)| share(*own) as u32).collect(),
            columns: columns.iter().map(column).collect(),
            own: if are_first_in_place(ids) { vec![] } else { ids.clone() },
        }
    }

    /// Fetches the column of a draw with this upper half: that of a large fleet is rarely in the first cache.
    #[inline(always)]
    fn fetch(&self, upper: u32) {
        let column = below(u64::from(upper) << 32, self.columns.len() as u64);
        prefetch_index(&self.columns, column as usize);
    }

    /// The endpoint that a draw stands for, if its upper half says it.
    #[inline(always)]
    fn at_upper_half(&self, draw: u32) -> Option<EndpointId> {
        let n = self.columns.len() as u32;
        let (place, depth) = below_by_upper_half(draw, n)?;
        let column = self.columns.get(place as usize)?;
        // The rest of the draw goes less than `n` deeper, which may be into the last part of its own share or past it.
        if column.own_high.wrapping_sub(depth) < n {
            return None;
        }
        let own = self.own(place as usize);
        Some(std::hint::select_unpredictable(depth < column.own_high, own, column.other))
    }

    /// The endpoint that a draw stands for: `below(n)` finds the column, and the fraction that it drops is the depth inside
    /// the column.
    #[inline(always)]
    fn at(&self, draw: u64) -> EndpointId {
        let draw = u128::from(draw) * self.columns.len() as u128;
        let (place, depth) = ((draw >> 64) as usize, draw as u64);
        let column = self.columns[place];
        let high = (depth >> 32) as u32;
        // Taken once in 2^32 draws, so that nothing else depends on it.
        let is_own =
            if high == column.own_high { (depth as u32) < self.own_low[place] } else { high < column.own_high };
        std::hint::select_unpredictable(is_own, self.own(place), column.other)
    }

    #[inline(always)]
    fn own(&self, place: usize) -> EndpointId {
        self.own.get(place).copied().unwrap_or(EndpointId::new(place as u32, 0))
    }
}

/// Vose's construction in whole numbers. Each of `n` endpoints brings `n` times its weight, and each of `n` columns
/// holds the sum of all weights: by column, how much of it is its own endpoint's, and whose the rest is.
fn alias(weights: &[u32]) -> Vec<(u64, u32)> {
    let n = weights.len() as u64;
    let height: u64 = weights.iter().copied().map(u64::from).sum();
    let own = |(i, weight): (usize, &u32)| (u64::from(*weight) * n, i as u32);
    let mut columns: Vec<(u64, u32)> = weights.iter().enumerate().map(own).collect();
    let (mut low, mut high): (Vec<u32>, Vec<u32>) = (0..n as u32).partition(|i| columns[*i as usize].0 < height);
    while let (Some(poor), Some(rich)) = (low.pop(), high.last().copied()) {
        columns[poor as usize].1 = rich;
        columns[rich as usize].0 -= height - columns[poor as usize].0;
        if columns[rich as usize].0 < height {
            high.pop();
            low.push(rich);
        }
    }
    columns
}

impl Balancer for WeightedRandom {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let weighted = Weighted::of(endpoints);
        self.chances = match self.method {
            _ if weighted.are_equal() => Chances::Equal,
            Method::Alias => Chances::Alias(Table::of(&weighted)),
            Method::PrefixSums => Chances::PrefixSums(Shares::of(&weighted.weights)),
        };
        self.ids = weighted.ids;
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if let Chances::Alias(table) = &self.chances {
            table.fetch(self.rand.word_to_come(PICKS_AHEAD));
            if let Some(id) = self.rand.by_upper_half(|draw| table.at_upper_half(draw)) {
                return Pick::To(id);
            }
        }
        self.pick_slowly(endpoints)
    }
}

impl WeightedRandom {
    #[inline(never)]
    fn pick_slowly(&mut self, endpoints: &Endpoints<'_>) -> Pick {
        match self.ids.as_slice() {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        let n = self.ids.len() as u64;
        let place = match &self.chances {
            Chances::Equal => self.rand.below(n) as usize,
            Chances::Alias(table) => return Pick::To(table.at(self.rand.next_upper_first())),
            Chances::PrefixSums(shares) => shares.owner(self.rand.below(shares.total())),
        };
        Pick::To(self.ids[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;

    #[test]
    fn an_alias_table_holds_each_weight_exactly() {
        for weights in [&[5, 1, 1][..], &[1, 2, 3, 4], &[1, 1_000_000_000, 7], &[u32::MAX, 1, u32::MAX], &[2, 1]] {
            let height: u64 = weights.iter().copied().map(u64::from).sum();
            let mut area = vec![0; weights.len()];
            for (i, (own, other)) in alias(weights).into_iter().enumerate() {
                assert!(own <= height && (own < height || other as usize == i));
                area[i] += own;
                area[other as usize] += height - own;
            }
            let expected: Vec<u64> = weights.iter().map(|w| u64::from(*w) * weights.len() as u64).collect();
            assert_eq!(area, expected);
        }
    }

    #[test]
    fn a_column_is_divided_to_the_last_bit() {
        let ids: Vec<EndpointId> = (0..3).map(|slot| EndpointId::new(7 - slot, 2)).collect();
        let weighted = Weighted { ids: ids.clone(), weights: vec![5, 1, 1] };
        let table = Table::of(&weighted);
        let (mut others, mut early) = (0, [0; 2]);
        for (column, (own, other)) in alias(&weighted.weights).into_iter().enumerate() {
            // Draws that `below(3)` maps to this column, at its top and around the end of its own share.
            let first = u64::try_from(((column as u128) << 64).div_ceil(3)).unwrap();
            let share = (u128::from(own) << 64) / 7;
            let edge = first + u64::try_from(share / 3).unwrap();
            let steps = (0..9).flat_map(|step| [step, step << 32]);
            let draws = steps.flat_map(|step| [first + step, edge - step, edge + step]);
            for draw in draws.filter(|draw| below(*draw, 3) == column as u64) {
                let is_own = own == 7 || u128::from(draw.wrapping_mul(3)) < share;
                let expected = ids[if is_own { column } else { other as usize }];
                assert_eq!(table.at(draw), expected, "{draw} in column {column}");
                let by_upper_half = table.at_upper_half((draw >> 32) as u32);
                assert!(by_upper_half.is_none_or(|id| id == expected), "{draw} in column {column}");
                early[usize::from(by_upper_half.is_some())] += 1;
                others += u32::from(!is_own);
            }
        }
        assert!(others > 0, "nothing is beyond the edge");
        assert!(early.into_iter().all(|seen| seen > 20), "where the upper half is enough, and where not: {early:?}");
    }

    #[test]
    fn half_a_draw_or_a_whole_one_finds_who_is_picked() {
        let weights = [5, 1, 1];
        let mut rand = Context::lone(3).seed.stream("weighted_random");
        let ids = (0..3).map(|slot| EndpointId::new(slot, 0)).collect();
        let table = Table::of(&Weighted { ids, weights: weights.to_vec() });
        let mut world = World::seeded(3, &weights, |context| Config::default().build(context));
        let mut whole = 0;
        for _ in 0..200 {
            let by_half = rand.by_upper_half(|draw| table.at_upper_half(draw));
            whole += u32::from(by_half.is_none());
            let id = by_half.unwrap_or_else(|| table.at(rand.next_upper_first()));
            assert_eq!(world.send(), id.slot());
        }
        assert!(whole > 0, "at the end of a block none is made");
    }

    #[test]
    fn chances_are_weights() {
        for method in [Method::Alias, Method::PrefixSums] {
            let mut world = World::weighted(&[5, 0, 3, 2], &Config { method });
            let counts = world.counts(100_000);
            for (count, expected) in counts.iter().zip([50_000usize, 0, 30_000, 20_000]) {
                assert!(count.abs_diff(expected) < 700, "{method:?}: {counts:?}");
            }
            let counts = World::weighted(&[0, 0], &Config { method }).counts(10_000);
            assert!(counts[0].abs_diff(5_000) < 300, "all 0 are all 1: {counts:?}");
        }
    }
}
