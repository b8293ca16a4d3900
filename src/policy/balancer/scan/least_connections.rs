//! The endpoint with the fewest open calls for its weight, of all of them.
//!
//! Origin: join the shortest queue; NGINX `least_conn`, HAProxy `leastconn` (`src/lb_fwlc.c`), Envoy LEAST_REQUEST with
//! FULL_SCAN, Dubbo `leastactive`, Finagle `heap`, Ribbon BestAvailable.
//! Observes: calls that this client has open; static weights.
//! Cost: no scan. With random ties O(1) a pick and a call sent or ended, for up to 16 different weights; else
//! O(log n) each, from a tree. `ties = "smooth_wrr"`, and `"weighted"` for more weights, look at all endpoints. O(n) a
//! change.
//! Draws: with `ties = "random"` or `"weighted"` one where several tie, none else. Envoy lets the k-th tied endpoint replace the one
//! held with probability 1/k, one draw each; one draw among all that tie has the same distribution.
//! Fails when: many clients share the backends, because each counts only its own calls and all see the same
//! minimum; a backend fails fast or is new, because it then takes every call.
//!
//! With `count_pending` an endpoint need not be connected to be picked, and calls that wait for its connection count
//! (Envoy): what `connect_on_pick` around it does.

use std::hint::select_unpredictable;

use serde::{Deserialize, Serialize};

use super::buckets::{Buckets, Least, Step};
use super::tournament::{Key, Tournament};
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand, below};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::nest::connect_on_pick;
use crate::policy::balancer::weights::{Weighted, gcd};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `least_connections`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who is picked of those with the least load.
    pub ties: Ties,
    /// What the load is.
    pub load: Load,
    /// Endpoints are connected when they are picked, and calls that wait for that count as open.
    pub count_pending: bool,
}

/// Who is picked of those with the least load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// Any, with equal chances (Envoy).
    #[default]
    Random,
    /// The first in the list. Clients that start together all begin with it.
    First,
    /// The one whose turn it is among them, by smooth weighted round robin (NGINX).
    SmoothWrr,
    /// The one whose count has not moved for longest (HAProxy).
    RoundRobin,
    /// Any, with chances by weight (Dubbo).
    Weighted,
}

/// What the load is, for `F` open calls at weight `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// `F / w`, exactly.
    #[default]
    Ratio,
    /// 0 for no open call, else `(F + 1) * 256 / w` rounded down, as HAProxy has it: without load, weights do not count.
    Haproxy,
    /// `F`: weights do not count (Dubbo).
    Count,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let machine = LeastConnections {
            config: self.clone(),
            rand: context.seed.stream("least_connections"),
            index: Index::Classes(Classes::default()),
        };
        if self.count_pending { connect_on_pick::around(Box::new(machine), true) } else { Box::new(machine) }
    }
}

#[derive(Debug)]
struct LeastConnections {
    config: Config,
    rand: Rand,
    index: Index,
}

#[derive(Debug)]
enum Index {
    /// Random ties, few different weights.
    Classes(Classes),
    Tree(Tree),
}

/// Endpoints of one weight are in order of their load when they are in order of their open calls.
#[derive(Debug, Default)]
struct Classes {
    /// By class.
    heads: Vec<Head>,
    /// The endpoints of each class by their open calls.
    buckets: Buckets,
    /// How many endpoints of each class have the least load of all. Filled up with classes of nobody to whole [`LANES`].
    tied: Vec<u32>,
    /// How many that are in all.
    ties: u32,
    /// Whether which classes tie has to be worked out anew.
    stale: bool,
    /// Whether loads have one denominator.
    scaled: bool,
    /// Whether those that tie have chances by weight.
    by_weight: bool,
}

/// The least loaded of a class.
#[derive(Debug)]
struct Head {
    least: Least,
    /// All bits if they have the least load of all, else none.
    ties: u32,
    weight: u32,
    /// What loads are multiplied with to have the denominator of all classes.
    scale: u64,
    standing: Standing,
}

impl Head {
    #[inline(always)]
    fn set(&mut self, load: Load, least: Least) {
        self.least = least;
        self.standing = Standing::of(load, least.count, self.weight);
        if self.scale > 0 {
            self.standing = Standing { load: self.standing.load * self.scale, per: 1, since: 0 };
        }
    }
}

impl Classes {
    /// `None` where there are too many different weights.
    fn new(config: &Config, weighted: &Weighted, endpoints: &Endpoints<'_>) -> Option<Classes> {
        let mut weights: Vec<u32> = vec![];
        for weight in &weighted.weights {
            if !weights.contains(weight) {
                weights.push(*weight);
            }
            if weights.len() > CLASSES_MAX {
                return None;
            }
        }
        let class = |weight: &u32| {
            let rows = weighted.ids.iter().zip(&weighted.weights).filter(|(_, of)| *of == weight);
            rows.map(|(id, _)| (*id, endpoints.in_flight(*id))).collect()
        };
        let buckets = Buckets::new(weights.iter().map(class).collect());
        let scales = scales(config.load, &weights);
        let head = |(class, weight): (usize, &u32)| {
            let least = buckets.least(class, buckets.least_count(class));
            let scale = scales.as_ref().map_or(0, |scales| scales[class]);
            let mut head = Head { least, ties: 0, weight: *weight, scale, standing: ENDLESS };
            head.set(config.load, least);
            head
        };
        let heads: Vec<Head> = weights.iter().enumerate().map(head).collect();
        let tied = vec![0; heads.len().next_multiple_of(LANES)];
        let by_weight = config.ties == Ties::Weighted;
        Some(Classes { heads, buckets, tied, ties: 0, stale: true, scaled: scales.is_some(), by_weight })
    }

    /// Any of those with the least load: the common case, which calls nobody.
    #[inline(always)]
    fn quick_pick(&self, rand: &mut Rand) -> Option<EndpointId> {
        if self.stale || self.by_weight || self.ties < 2 {
            return None;
        }
        let [draw] = rand.made()?;
        Some(self.drawn(below(draw, u64::from(self.ties)) as u32))
    }

    #[inline(always)]
    fn pick(&mut self, rand: &mut Rand) -> Option<EndpointId> {
        if self.stale {
            let class = if self.scaled { self.compare_scaled() } else { self.compare() };
            if self.ties == 1 {
                return Some(self.buckets.at(self.heads[class].least.first));
            }
        }
        match self.ties {
            0 => None,
            1 => Some(self.drawn(0)),
            _ if self.by_weight => Some(self.drawn_by_weight(rand)),
            ties => Some(self.drawn(rand.below(u64::from(ties)) as u32)),
        }
    }

    /// The `k`-th of those that tie, class by class.
    #[inline(always)]
    fn drawn(&self, k: u32) -> EndpointId {
        if let [head] = self.heads.as_slice() {
            return self.buckets.at(head.least.first + k);
        }
        // Without a branch that depends on the draw: chance alone says where it goes.
        let (mut class, mut before, mut after) = (0, 0, 0);
        for lanes in self.tied.as_chunks::<LANES>().0 {
            for tied in lanes {
                after += tied;
                let is_further = after <= k;
                class += usize::from(is_further);
                before = select_unpredictable(is_further, after, before);
            }
        }
        self.buckets.at(self.heads[class].least.first + (k - before))
    }

    /// Any of those that tie, with chances by weight.
    #[inline(never)]
    fn drawn_by_weight(&self, rand: &mut Rand) -> EndpointId {
        let chances = |(head, tied): (&Head, &u32)| u64::from(head.weight) * u64::from(*tied);
        let mut left = rand.below(self.heads.iter().zip(&self.tied).map(chances).sum());
        for (head, tied) in self.heads.iter().zip(&self.tied) {
            let chances = chances((head, tied));
            if left < chances {
                return self.buckets.at(head.least.first + (left / u64::from(head.weight)) as u32);
            }
            left -= chances;
        }
        unreachable!("the draw is below the chances of those that tie")
    }

    /// Which classes have the least load of all: notes them, and returns the first.
    #[cold]
    #[inline(never)]
    fn compare(&mut self) -> usize {
        let (mut lowest, mut class) = (ENDLESS, 0);
        for (number, Head { standing, .. }) in self.heads.iter().enumerate() {
            if standing.below(&lowest) {
                (lowest, class) = (*standing, number);
            }
        }
        self.tie(|standing| !lowest.below(standing));
        class
    }

    /// The same where loads have one denominator. It is short, and again without a branch that depends on who it is: with
    /// many calls open nearly every pick asks.
    #[inline(always)]
    fn compare_scaled(&mut self) -> usize {
        let (mut lowest, mut class) = (u64::MAX, 0);
        for (number, Head { standing, .. }) in self.heads.iter().enumerate() {
            let is_lower = standing.load < lowest;
            lowest = select_unpredictable(is_lower, standing.load, lowest);
            class = select_unpredictable(is_lower, number, class);
        }
        self.tie(|standing| standing.load == lowest);
        class
    }

    #[inline(always)]
    fn tie(&mut self, is_lowest: impl Fn(&Standing) -> bool) {
        (self.ties, self.stale) = (0, false);
        for (head, tied) in self.heads.iter_mut().zip(&mut self.tied) {
            head.ties = if is_lowest(&head.standing) { u32::MAX } else { 0 };
            *tied = head.least.len & head.ties;
            self.ties += *tied;
        }
    }

    #[inline(always)]
    fn note(&mut self, load: Load, id: EndpointId, open: u32) {
        let Some(before) = self.buckets.count(id) else { return };
        if open.abs_diff(before) == 1 {
            self.step(load, id, open > before);
        } else {
            self.steps(load, id, before, open);
        }
    }

    /// Counts that nobody told of.
    #[cold]
    #[inline(never)]
    fn steps(&mut self, load: Load, id: EndpointId, before: u32, open: u32) {
        (before..open).for_each(|_| self.step(load, id, true));
        (open..before).for_each(|_| self.step(load, id, false));
    }

    #[inline(always)]
    fn step(&mut self, load: Load, id: EndpointId, is_up: bool) {
        let Step { class, lower } = self.buckets.step(id, is_up);
        let head = &mut self.heads[class as usize];
        // Joins the least of its class, leaves them or, most often where many calls are open, neither.
        let one = if is_up { u32::MAX } else { 1 };
        let more = if lower == head.least.count { one } else { 0 };
        head.least.len = head.least.len.wrapping_add(more);
        let tied = &mut self.tied[class as usize];
        *tied = tied.wrapping_add(more & head.ties);
        self.ties = self.ties.wrapping_add(more & head.ties);
        if head.least.len == 0 || lower < head.least.count {
            self.renew(load, class as usize, lower + u32::from(is_up));
        }
    }

    /// Others of a class than before are the least loaded: those with so many open calls.
    #[inline(never)]
    fn renew(&mut self, load: Load, class: usize, count: u32) {
        let least = self.buckets.least(class, count);
        if let [head] = self.heads.as_mut_slice()
            && head.ties != 0
        {
            // Whatever their load is, it is the least of all.
            head.least = least;
            (self.tied[0], self.ties) = (least.len, least.len);
            return;
        }
        self.heads[class].set(load, least);
        self.stale = true;
    }
}

/// What the loads of endpoints of each weight are multiplied with to have one denominator; `None` if that is too large.
fn scales(load: Load, weights: &[u32]) -> Option<Vec<u64>> {
    if load != Load::Ratio {
        return Some(vec![1; weights.len()]);
    }
    let multiple = |all: u32, weight: &u32| all.checked_mul(weight / gcd(all, *weight));
    let all = weights.iter().try_fold(1, multiple)?;
    Some(weights.iter().map(|weight| u64::from(all / weight)).collect())
}

/// Endpoints by load, for any weights and ties.
#[derive(Debug)]
struct Tree {
    rows: Vec<Row>,
    loads: Tournament<Standing>,
    /// By slot: row, plus 1; 0 for none.
    places: Vec<u32>,
    /// Number of changes so far, for ties by age.
    moves: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    id: EndpointId,
    weight: u32,
    /// What it has earned in smooth turns.
    current: i64,
}

/// Where an endpoint stands: its load as a fraction, then its age where ties go by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Standing {
    load: u64,
    per: u64,
    since: u64,
}

/// Above every load: 1 over 0.
const ENDLESS: Standing = Standing { load: 1, per: 0, since: 0 };

impl Standing {
    fn of(load: Load, open: u32, weight: u32) -> Standing {
        let (open, weight) = (u64::from(open), u64::from(weight));
        match load {
            Load::Ratio => Standing { load: open, per: weight, since: 0 },
            Load::Haproxy if open == 0 => Standing { load: 0, per: 1, since: 0 },
            Load::Haproxy => Standing { load: (open + 1) * 256 / weight, per: 1, since: 0 },
            Load::Count => Standing { load: open, per: 1, since: 0 },
        }
    }

    /// Both loads as fractions of one denominator.
    #[inline]
    fn beside(&self, other: &Standing) -> (u64, u64) {
        // Both factors are below 2^32, or one is below 2^41 and the other is 1.
        (self.load * other.per, other.load * self.per)
    }
}

impl Key for Standing {
    fn below(&self, other: &Standing) -> bool {
        let (mine, theirs) = self.beside(other);
        mine < theirs || (mine == theirs && self.since < other.since)
    }
}

impl Tree {
    fn new(config: &Config, weighted: &Weighted, endpoints: &Endpoints<'_>, before: &Index) -> Tree {
        let mut rows = vec![];
        let mut standings = vec![];
        let mut places = vec![0; weighted.ids.iter().map(|id| id.slot() + 1).max().unwrap_or(0)];
        for (id, weight) in weighted.ids.iter().zip(&weighted.weights) {
            let known = before.tree().and_then(|tree| Some((tree, tree.place(*id)?)));
            let current = known.map_or(0, |(tree, place)| tree.rows[place].current);
            let mut standing = Standing::of(config.load, endpoints.in_flight(*id), *weight);
            if config.ties == Ties::RoundRobin {
                standing.since = known.map_or(0, |(tree, place)| tree.loads.key(place).since);
            }
            rows.push(Row { id: *id, weight: *weight, current });
            standings.push(standing);
            places[id.slot()] = rows.len() as u32;
        }
        let moves = before.tree().map_or(0, |tree| tree.moves);
        Tree { rows, loads: Tournament::new(&standings), places, moves }
    }

    fn place(&self, id: EndpointId) -> Option<usize> {
        let place = (*self.places.get(id.slot())? as usize).checked_sub(1)?;
        (self.rows[place].id == id).then_some(place)
    }

    #[inline(never)]
    fn note(&mut self, config: &Config, id: EndpointId, open: u32) {
        let Some(place) = self.place(id) else { return };
        let mut standing = Standing::of(config.load, open, self.rows[place].weight);
        if config.ties == Ties::RoundRobin {
            self.moves += 1;
            standing.since = self.moves;
        }
        self.loads.set(place, standing);
    }

    #[inline(never)]
    fn pick(&mut self, ties: Ties, rand: &mut Rand) -> Option<EndpointId> {
        if self.loads.is_empty() {
            return None;
        }
        let place = match (self.loads.ties(), ties) {
            (_, Ties::SmoothWrr) if self.rows.len() > 1 => self.smooth(),
            (many @ 2.., Ties::Random) => self.loads.tied(rand.below(u64::from(many)) as u32),
            (2.., Ties::Weighted) => self.by_weight(rand),
            _ => self.loads.first(),
        };
        Some(self.rows[place].id)
    }

    /// Dubbo: any of those that tie, in proportion to weight.
    fn by_weight(&self, rand: &mut Rand) -> usize {
        let least = *self.loads.key(self.loads.first());
        let rows = || self.rows.iter().enumerate().filter(|(place, _)| !least.below(self.loads.key(*place)));
        let mut left = rand.below(rows().map(|(_, row)| u64::from(row.weight)).sum());
        let drawn = rows().find(|(_, row)| {
            let here = left < u64::from(row.weight);
            left = left.saturating_sub(u64::from(row.weight));
            here
        });
        drawn.map_or(0, |(place, _)| place)
    }

    /// NGINX: those that tie earn their weights, the richest pays for all.
    fn smooth(&mut self) -> usize {
        let (mut best, mut most, mut total) = (0, i64::MIN, 0);
        let least = *self.loads.key(self.loads.first());
        for (place, row) in self.rows.iter_mut().enumerate() {
            if least.below(self.loads.key(place)) {
                continue;
            }
            row.current += i64::from(row.weight);
            total += i64::from(row.weight);
            if row.current > most {
                (best, most) = (place, row.current);
            }
        }
        self.rows[best].current -= total;
        best
    }
}

impl Index {
    fn tree(&self) -> Option<&Tree> {
        match self {
            Index::Tree(tree) => Some(tree),
            Index::Classes(_) => None,
        }
    }
}

impl Balancer for LeastConnections {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let weighted = Weighted::of(endpoints);
        let drawn = matches!(self.config.ties, Ties::Random | Ties::Weighted);
        let classes = drawn.then(|| Classes::new(&self.config, &weighted, endpoints)).flatten();
        self.index = match classes {
            Some(classes) => Index::Classes(classes),
            None => Index::Tree(Tree::new(&self.config, &weighted, endpoints, &self.index)),
        };
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if let Index::Classes(classes) = &self.index
            && let Some(id) = classes.quick_pick(&mut self.rand)
        {
            return Pick::To(id);
        }
        self.pick_slowly(endpoints)
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        let (Feedback::Sent { endpoint } | Feedback::Done { endpoint, .. }) = *feedback else { return };
        // Either index ignores an endpoint that has left, whatever its place in the view counts now.
        let open = endpoints.in_flight(endpoint);
        match &mut self.index {
            Index::Classes(classes) => classes.note(self.config.load, endpoint, open),
            Index::Tree(tree) => tree.note(&self.config, endpoint, open),
        }
    }
}

impl LeastConnections {
    #[inline(never)]
    fn pick_slowly(&mut self, endpoints: &Endpoints<'_>) -> Pick {
        let pick = match &mut self.index {
            Index::Classes(classes) => classes.pick(&mut self.rand),
            Index::Tree(tree) => tree.pick(self.config.ties, &mut self.rand),
        };
        pick.map_or_else(|| Pick::nobody(endpoints), Pick::To)
    }
}

/// Different weights up to which they are looked at one by one.
const CLASSES_MAX: usize = 16;

/// Of so many classes at a time a draw finds the one that it is for.
const LANES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;
    use crate::base::time::Duration;
    use crate::policy::balancer::scan::buckets::tests::Plain;
    use crate::policy::balancer::testing::{World, letters, listing};
    use crate::policy::endpoints::Listing;

    fn config(ties: Ties) -> Config {
        Config { ties, ..Config::default() }
    }

    fn sends(world: &mut World, n: usize) -> String {
        (0..n).map(|_| char::from(b'A' + world.send() as u8)).collect()
    }

    #[test]
    fn the_least_for_its_weight() {
        // Loads after each send: A 1/3, B 1/1, A 2/3, A 3/3, and so on in proportion to the weights.
        let mut world = World::weighted(&[3, 1], &config(Ties::First));
        assert_eq!(sends(&mut world, 8), "ABAAABAA");
        world.done(1, Duration::ZERO, Ok(()));
        assert_eq!(sends(&mut world, 1), "B");
        let mut world = World::weighted(&[1, 0, 1], &config(Ties::First));
        assert_eq!(sends(&mut world, 4), "ACAC", "weight 0 is never picked");
        let mut world = World::weighted(&[0, 0], &config(Ties::First));
        assert_eq!(sends(&mut world, 4), "ABAB", "unless all are 0");
    }

    #[test]
    fn haproxy_keys() {
        let key = |open, weight| Standing::of(Load::Haproxy, open, weight).load;
        assert_eq!([key(1, 256), key(1, 128), key(3, 256), key(3, 128)], [2, 4, 4, 8]);
        assert_eq!([key(0, 1), key(0, 256)], [0, 0], "without load, weights do not count");
        let mut world = World::weighted(&[128, 256], &Config { load: Load::Haproxy, ..config(Ties::First) });
        assert_eq!(sends(&mut world, 6), "ABBBAB");
    }

    #[test]
    fn ties() {
        for (ties, expected) in [(Ties::First, "AAAAAA"), (Ties::RoundRobin, "ABCABC")] {
            assert_eq!(letters(&World::equal(3, &config(ties)).picks(6)), expected, "{ties:?}");
        }
        // Without load all tie, and NGINX's choice among them is its smooth round robin.
        assert_eq!(letters(&World::weighted(&[5, 1, 1], &config(Ties::SmoothWrr)).picks(14)), "AABACAAAABACAA");
        for weights in [[1, 1, 1], [2, 1, 1]] {
            let counts = World::weighted(&weights, &config(Ties::Random)).counts(30_000);
            assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{weights:?}: {counts:?}");
        }
    }

    #[test]
    fn dubbo_counts_calls_alone_and_draws_by_weight() {
        let dubbo = Config { load: Load::Count, ..config(Ties::Weighted) };
        // Few weights and many: by class and from the tree.
        for weights in [vec![3, 1, 1, 5], (1..=20).collect()] {
            let total: u32 = weights.iter().sum();
            let counts = World::weighted(&weights, &dubbo).counts(40_000);
            for (count, weight) in counts.iter().zip(&weights) {
                let expected = 40_000 * *weight as usize / total as usize;
                assert!(count.abs_diff(expected) < 500, "{weights:?}: {counts:?}");
            }
        }
        let mut world = World::weighted(&[9, 1], &dubbo);
        world.sent(world.id(0));
        assert_eq!(world.send(), 1, "one call is more than none, whatever the weight");
        world.sent(world.id(0));
        assert_eq!(world.send(), 1, "and two are more than one: 2/9 would be less");
        assert_eq!(
            World::weighted(&[2, 2, 2], &dubbo).counts(3_000).iter().filter(|n| n.abs_diff(1_000) < 150).count(),
            3
        );
    }

    #[test]
    fn only_those_that_tie_earn_smooth_turns() {
        let mut world = World::equal(3, &config(Ties::SmoothWrr));
        world.sent(world.id(0));
        assert_eq!(letters(&world.picks(4)), "BCBC");
        world.done(0, Duration::ZERO, Ok(()));
        assert_eq!(letters(&world.picks(3)), "ABC");
    }

    #[test]
    fn a_new_endpoint_takes_every_call_until_it_is_level() {
        for ties in [Ties::Random, Ties::First, Ties::RoundRobin, Ties::SmoothWrr] {
            let mut world = World::equal(2, &config(ties));
            sends(&mut world, 6);
            world.list((0..3).map(|i| listing(i, 1)).collect());
            assert_eq!(sends(&mut world, 3), "CCC", "{ties:?}");
        }
    }

    #[test]
    fn every_index_agrees_with_a_scan() {
        // However calls come and go, whoever is picked has the least load of all; both kinds of index are used.
        let few = vec![1, 5, 2, 2, 7, 1, 1, 3, 4];
        for (seed, weights) in [(1, vec![2; 9]), (2, few), (3, vec![0, 1, 0, 1, 2]), (4, (1..=20).collect())] {
            for ties in [Ties::Random, Ties::First, Ties::RoundRobin, Ties::SmoothWrr] {
                let mut world = World::weighted(&weights, &config(ties));
                let mut rand = Seed::new(seed).stream("history");
                let mut open = vec![];
                for step in 0..2_000 {
                    if rand.below(100) < 52 || open.is_empty() {
                        let load = |i: usize| f64::from(world.table.in_flight(world.id(i))) / f64::from(weights[i]);
                        let counted = (0..weights.len()).filter(|i| weights[*i] > 0);
                        let least = counted.map(load).fold(f64::INFINITY, f64::min);
                        let loads: Vec<f64> = (0..weights.len()).map(load).collect();
                        let place = world.send();
                        assert_eq!(loads[place], least, "step {step}, {ties:?}");
                        open.push(place);
                    } else {
                        let place = open.swap_remove(rand.below(open.len() as u64) as usize);
                        world.done(place, Duration::ZERO, Ok(()));
                    }
                    if rand.below(50) == 0 {
                        world.refresh();
                    }
                }
            }
        }
    }

    /// Whom the plain definition picks: of all that have the least load, class by class, one draw if they are several.
    fn plainly(config: &Config, classes: &[(u32, Plain)], rand: &mut Rand) -> Option<EndpointId> {
        let load = |(weight, class): &(u32, Plain)| {
            let Standing { load, per, .. } = Standing::of(config.load, class.0[0][0].1, *weight);
            (u128::from(load), u128::from(per))
        };
        let is_below = |a: (u128, u128), b: (u128, u128)| a.0 * b.1 < b.0 * a.1;
        let least = classes.iter().map(load).reduce(|a, b| if is_below(b, a) { b } else { a })?;
        let tied = classes.iter().filter(|class| !is_below(least, load(class)));
        let tied: Vec<(EndpointId, u64)> = tied
            .flat_map(|(weight, class)| {
                let chances = if config.ties == Ties::Weighted { u64::from(*weight) } else { 1 };
                class.least(0).into_iter().map(move |id| (id, chances))
            })
            .collect();
        let all = tied.iter().map(|(_, chances)| chances).sum();
        let mut left = if tied.len() > 1 { rand.below(all) } else { 0 };
        let drawn = tied.iter().find(|(_, chances)| {
            let is_here = left < *chances;
            left = left.saturating_sub(*chances);
            is_here
        });
        drawn.map(|(id, _)| *id)
    }

    fn plain_classes(world: &World) -> Vec<(u32, Plain)> {
        let view = world.table.view();
        let weighted = Weighted::of(&view);
        let mut classes: Vec<(u32, Vec<(EndpointId, u32)>)> = vec![];
        for (id, weight) in weighted.ids.iter().zip(&weighted.weights) {
            let row = (*id, view.in_flight(*id));
            match classes.iter_mut().find(|(of, _)| of == weight) {
                Some((_, class)) => class.push(row),
                None => classes.push((*weight, vec![row])),
            }
        }
        classes.into_iter().map(|(weight, class)| (weight, Plain::new(vec![class]))).collect()
    }

    #[test]
    fn classes_draw_whom_the_plain_definition_draws() {
        // Weights with a small common denominator, and some without.
        let large = [u32::MAX, u32::MAX - 4, 65_537, 65_539, 3];
        let choices: [&[u32]; 4] = [&[2], &[1, 2, 3, 4, 5], &[0, 1, 100, 50], &large];
        let kinds = [Load::Ratio, Load::Haproxy, Load::Count];
        let kinds = kinds
            .iter()
            .flat_map(|load| [Ties::Random, Ties::Weighted].map(|ties| Config { load: *load, ..config(ties) }));
        for (config, weights) in kinds.flat_map(|config| choices.map(|weights| (config.clone(), weights))) {
            for (n, open) in [(1, 3), (3, 2), (12, 5), (12, 40), (40, 300)] {
                let mut rand = Seed::new(n + open).stream("history");
                let mut listings: Vec<Listing> =
                    (0..n).map(|i| listing(i as u32, weights[i as usize % weights.len()])).collect();
                let mut world = World::of(listings.clone(), config.build(&Context::lone(1)));
                let mut draws = Context::lone(1).seed.stream("least_connections");
                let mut classes = plain_classes(&world);
                let mut sent = vec![];
                for step in 0..1_500 {
                    if rand.below(100) == 0 {
                        // Somebody weighs otherwise, or leaves and comes back as another.
                        let place = rand.below(n) as usize;
                        listings[place].weight = weights[rand.below(weights.len() as u64) as usize];
                        if n > 1 && rand.below(2) == 0 {
                            world.list(
                                listings
                                    .iter()
                                    .enumerate()
                                    .filter(|(i, _)| *i != place)
                                    .map(|(_, l)| l.clone())
                                    .collect(),
                            );
                        }
                        world.list(listings.clone());
                        classes = plain_classes(&world);
                    }
                    let moved = if rand.below(100) < if sent.len() < open as usize { 70 } else { 30 } {
                        let expected = plainly(&config, &classes, &mut draws).unwrap();
                        assert_eq!(
                            world.pick(&Request::plain()),
                            Pick::To(expected),
                            "step {step}, {config:?}, {weights:?}"
                        );
                        sent.push(expected);
                        // Now and then the balancer is not told of a call, and later sees two more at once.
                        if rand.below(20) == 0 {
                            sent.push(expected);
                            world.table.on_sent(expected);
                        }
                        world.sent(expected);
                        expected
                    } else if sent.is_empty() {
                        continue;
                    } else {
                        let id = sent.swap_remove(rand.below(sent.len() as u64) as usize);
                        world.ended(id, Duration::ZERO, Ok(()), None);
                        id
                    };
                    let count = world.table.in_flight(moved);
                    classes.iter_mut().for_each(|(_, class)| class.set(moved, count));
                }
            }
        }
    }
}
