//! Consistent hashing with a fixed number of points for each unit of weight; the next endpoint that is ready takes
//! the calls of one that is not.
//!
//! Origin: Karger et al., STOC 1997; the virtual nodes of Dynamo (DeCandia et al., SOSP 2007). The number of
//! points is libketama's 160.
//! Observes: the call's key; who is ready.
//! Cost: O(log V) for V points in all, plus 1/(1-f) steps when a share f of them belongs to endpoints that are not
//! ready, at worst V. The ring is built at the first pick after members or weights change, not when readiness
//! does; clients of one run with the same members share it (12 bytes a point).
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: a few keys carry most of the calls; weights are large numbers, because every unit costs points (of
//! more than 8 million in all, each gets its share).

use serde::{Deserialize, Serialize};

use super::owners::Layout;
use super::shared::Hold;
use super::{is_ready, unowned};
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `hash_ring_vnodes`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Points of an endpoint of weight 1.
    pub vnodes: Vnodes,
    /// Which point a key belongs to.
    pub entry: Entry,
}

/// Which point of a ring a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first at or after the key.
    #[default]
    Next,
    /// The nearest, before or after it, and clockwise from there past those that are not ready (HAProxy
    /// `hash-type consistent`, `lb_chash.c`).
    Nearest,
}

/// Points for each unit of weight: 1 to 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vnodes(u32);

impl Vnodes {
    /// As a layout.
    pub fn layout(self) -> Layout {
        Layout::PerWeight(self.0)
    }
}

impl Default for Vnodes {
    fn default() -> Self {
        Vnodes(160)
    }
}

impl TryFrom<u32> for Vnodes {
    type Error = String;

    fn try_from(points: u32) -> Result<Vnodes, String> {
        match points {
            1..=65_536 => Ok(Vnodes(points)),
            _ => Err(format!("an endpoint has 1 to 65536 points for each unit of weight, not {points}")),
        }
    }
}

impl From<Vnodes> for u32 {
    fn from(vnodes: Vnodes) -> u32 {
        vnodes.0
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Ring { entry: self.entry, hold: Hold::new(self.vnodes.layout(), &context.tables), passed: vec![] })
    }
}

#[derive(Debug)]
struct Ring {
    entry: Entry,
    hold: Hold,
    /// Endpoints that a further attempt has passed: kept for its room.
    passed: Vec<EndpointId>,
}

impl Balancer for Ring {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.hold.note(endpoints.members, endpoints);
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.hold.refresh(endpoints);
        let owners = self.hold.owners();
        // A further attempt goes to the next endpoint, the one that the key would fall to if the first were gone.
        // After all of them have had their turn it begins anew.
        let pass = if request.attempt == 0 { 0 } else { request.attempt as usize % endpoints.ready.len() };
        self.passed.clear();
        let hash = request.hash_or_random();
        let entry = match self.entry {
            Entry::Next => owners.entry(hash),
            Entry::Nearest => owners.nearest(hash),
        };
        for place in owners.walk(entry) {
            let id = self.hold.id(place);
            if !is_ready(id, endpoints) || self.passed.contains(&id) {
                continue;
            }
            if self.passed.len() == pass {
                return Pick::To(id);
            }
            self.passed.push(id);
        }
        // Ready endpoints of weight 0 own no point: there were fewer than `pass`.
        self.passed.first().map_or_else(|| unowned(hash, endpoints), |id| Pick::To(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::xxh64;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    const KEYS: u64 = 3_000;

    fn map(world: &mut World) -> Vec<usize> {
        (0..KEYS).map(|key| world.pick_hash(xxh64(&key.to_le_bytes(), 0))).collect()
    }

    #[test]
    fn an_unready_endpoint_moves_its_own_keys_only_and_gets_them_back() {
        let mut world = World::equal(10, &Config::default());
        let before = map(&mut world);
        world.health(3, Health::Failed);
        let during = map(&mut world);
        assert!(before.iter().zip(&during).all(|(was, is)| if *was == 3 { *is != 3 } else { was == is }));
        let heirs: std::collections::BTreeSet<_> =
            before.iter().zip(&during).filter(|(was, _)| **was == 3).map(|(_, is)| is).collect();
        assert!(heirs.len() >= 8, "its keys spread over {heirs:?} only");
        world.health(3, Health::Healthy);
        assert_eq!(map(&mut world), before);
    }

    #[test]
    fn a_departed_endpoint_moves_its_own_keys_only_and_gets_them_back() {
        let mut world = World::weighted(&[1, 2, 3, 1, 2], &Config::default());
        let before = map(&mut world);
        let all: Vec<_> = [1, 2, 3, 1, 2].into_iter().zip(0..).map(|(weight, i)| listing(i, weight)).collect();
        world.list(all[..4].to_vec());
        let during = map(&mut world);
        assert!(before.iter().zip(&during).all(|(was, is)| *was == 4 || was == is));
        world.list(all);
        assert_eq!(map(&mut world), before);
    }

    #[test]
    fn the_map_does_not_depend_on_the_order_of_the_list() {
        let order = [3, 0, 4, 2, 1];
        let listings = order.iter().map(|i| listing(*i, 1)).collect();
        let mut mixed = World::of(listings, Config::default().build(&Context::lone(1)));
        let straight = map(&mut World::equal(5, &Config::default()));
        let places: Vec<usize> = map(&mut mixed).into_iter().map(|place| order[place] as usize).collect();
        assert_eq!(places, straight);
    }

    #[test]
    fn further_attempts_visit_everyone_once() {
        let mut world = World::equal(4, &Config::default());
        for key in 0..100_u64 {
            let mut seen = std::collections::BTreeSet::new();
            for attempt in 0..4 {
                let request = Request { hash: Some(xxh64(&key.to_le_bytes(), 0)), attempt, ..Request::plain() };
                let Pick::To(id) = world.pick(&request) else { panic!("all are ready") };
                assert!(seen.insert(id), "attempt {attempt} of key {key} went where an earlier one was");
            }
        }
    }

    #[test]
    fn points_follow_weights() {
        let mut world = World::weighted(&[1, 3, 0], &Config::default());
        let places = map(&mut world);
        let second = places.iter().filter(|place| **place == 1).count() as f64 / KEYS as f64;
        assert!((0.68..0.82).contains(&second) && !places.contains(&2), "{second} of the keys at three quarters");
    }

    #[test]
    fn the_nearest_point_splits_each_arc_in_the_middle() {
        let config = Config { entry: Entry::Nearest, ..Config::default() };
        let (mut nearest, mut next) = (World::equal(3, &config), World::equal(3, &Config::default()));
        let before = map(&mut nearest);
        // Half of each arc belongs to the point before it, and that is another's in two cases of three.
        let differ = before.iter().zip(map(&mut next)).filter(|(a, b)| **a != *b).count();
        assert!((850..1_150).contains(&differ), "{differ} of {KEYS} where a third is expected");
        nearest.health(1, Health::Failed);
        assert!(before.iter().zip(map(&mut nearest)).all(|(was, is)| (*was == 1) != (*was == is)));
    }

    #[test]
    fn a_number_of_points_is_checked() {
        assert!(toml::from_str::<Config>("vnodes = 0").unwrap_err().message().contains("1 to 65536 points"));
        assert_eq!(toml::from_str::<Config>("vnodes = 7").unwrap(), Config { vnodes: Vnodes(7), entry: Entry::Next });
    }
}
