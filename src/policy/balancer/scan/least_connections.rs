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
//! Calls that wait for a connection are not counted (Envoy's `count_pending`): none is ever bound to an endpoint
//! that is not connected.

use serde::{Deserialize, Serialize};

use super::buckets::{Buckets, Place};
use super::tournament::{Key, Tournament};
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `least_connections`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who is picked of those with the least load.
    pub ties: Ties,
    /// What the load is.
    pub load: Load,
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
        Box::new(LeastConnections {
            config: self.clone(),
            rand: context.seed.stream("least_connections"),
            index: Index::Classes(Classes::default()),
        })
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
    /// What a pick compares.
    heads: Vec<Head>,
    /// The endpoints of each class by their open calls.
    classes: Vec<Buckets>,
    /// By slot: which class, and where in it.
    places: Vec<Place>,
}

/// The least loaded of a class: how loaded each is, and how many they are.
#[derive(Debug)]
struct Head {
    standing: Standing,
    weight: u32,
    least: u32,
}

impl Head {
    #[inline]
    fn of(load: Load, weight: u32, buckets: &Buckets) -> Head {
        let least = buckets.least();
        Head { standing: Standing::of(load, least[0].1, weight), weight, least: least.len() as u32 }
    }
}

impl Classes {
    /// `None` where there are too many different weights.
    fn new(load: Load, weighted: &Weighted, endpoints: &Endpoints<'_>) -> Option<Classes> {
        let mut weights: Vec<u32> = vec![];
        for weight in &weighted.weights {
            if !weights.contains(weight) {
                weights.push(*weight);
            }
            if weights.len() > CLASSES_MAX {
                return None;
            }
        }
        let slots = weighted.ids.iter().map(|id| id.slot() + 1).max().unwrap_or(0);
        let mut places = vec![Place::default(); slots];
        let class = |(number, weight): (usize, &u32)| {
            let rows = weighted.ids.iter().zip(&weighted.weights).filter(|(_, of)| *of == weight);
            let rows = rows.map(|(id, _)| (*id, endpoints.in_flight(*id)));
            Buckets::new(number as u32, rows, &mut places)
        };
        let classes: Vec<Buckets> = weights.iter().enumerate().map(class).collect();
        let head = |(weight, buckets): (&u32, &Buckets)| Head::of(load, *weight, buckets);
        Some(Classes { heads: weights.iter().zip(&classes).map(head).collect(), classes, places })
    }

    /// Any of those with the least load.
    #[inline]
    fn pick(&self, config: &Config, rand: &mut Rand) -> Option<EndpointId> {
        match self.classes.as_slice() {
            [] => None,
            [buckets] => Some(any(buckets.least(), rand)),
            classes => Some(any_of_classes(classes, &self.heads, config, rand)),
        }
    }

    #[inline]
    fn note(&mut self, load: Load, id: EndpointId, open: u32) {
        if let Some(class) = self.places.get(id.slot()).map(|place| place.of as usize) {
            self.classes[class].set(id, open, &mut self.places);
            self.heads[class] = Head::of(load, self.heads[class].weight, &self.classes[class]);
        }
    }
}

#[inline]
fn any(least: &[(EndpointId, u32)], rand: &mut Rand) -> EndpointId {
    if let [(only, _)] = least { *only } else { least[rand.below(least.len() as u64) as usize].0 }
}

fn any_of_classes(classes: &[Buckets], heads: &[Head], config: &Config, rand: &mut Rand) -> EndpointId {
    // Chances of each endpoint of a class.
    let each = |weight: u32| if config.ties == Ties::Weighted { weight as usize } else { 1 };
    let mut lowest = ENDLESS;
    // Which classes tie: one bit each.
    let (mut tied, mut ties, mut chances) = (0_u32, 0, 0);
    for (class, head) in heads.iter().enumerate() {
        let (mine, theirs) = head.standing.beside(&lowest);
        if mine > theirs {
            continue;
        }
        if mine < theirs {
            (lowest, tied, ties, chances) = (head.standing, 0, 0, 0);
        }
        tied |= 1 << class;
        ties += head.least as usize;
        chances += head.least as usize * each(head.weight);
    }
    let mut k = if ties > 1 { rand.below(chances as u64) as usize } else { 0 };
    while tied != 0 {
        let class = tied.trailing_zeros() as usize;
        let each = each(heads[class].weight);
        match classes[class].least().get(if each == 1 { k } else { k / each }) {
            Some((id, _)) => return *id,
            None => k -= heads[class].least as usize * each,
        }
        tied &= tied - 1;
    }
    unreachable!("the draw is below the chances of those that tie")
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

    fn note(&mut self, config: &Config, id: EndpointId, open: u32) {
        let Some(place) = self.place(id) else { return };
        let mut standing = Standing::of(config.load, open, self.rows[place].weight);
        if config.ties == Ties::RoundRobin {
            self.moves += 1;
            standing.since = self.moves;
        }
        self.loads.set(place, standing);
    }

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
        let classes = drawn.then(|| Classes::new(self.config.load, &weighted, endpoints)).flatten();
        self.index = match classes {
            Some(classes) => Index::Classes(classes),
            None => Index::Tree(Tree::new(&self.config, &weighted, endpoints, &self.index)),
        };
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let pick = match &mut self.index {
            Index::Classes(classes) => classes.pick(&self.config, &mut self.rand),
            Index::Tree(tree) => tree.pick(self.config.ties, &mut self.rand),
        };
        pick.map_or_else(|| Pick::nobody(endpoints), Pick::To)
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

/// Different weights up to which they are looked at one by one.
const CLASSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::{World, letters, listing};

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
        let mut world = World::weighted(&[128, 256], &Config { ties: Ties::First, load: Load::Haproxy });
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
        let dubbo = Config { ties: Ties::Weighted, load: Load::Count };
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
}
