//! Every endpoint scores for the key; the highest score takes it.
//!
//! Origin: Thaler and Ravishankar, IEEE/ACM ToN 1998 (highest random weight); weights as in Schindelhauer and
//! Schomaker, SPAA 2005.
//! Observes: the call's key; static weights; who is ready.
//! Cost: O(n) a pick: one hash for each ready endpoint, and a logarithm where weights differ.
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: there are many endpoints, because each pick scores them all; a few keys carry most of the calls.

use serde::{Deserialize, Serialize};

use crate::base::hash::xxh64;
use crate::base::id::EndpointId;
use crate::base::math;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// `rendezvous` has no parameters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(Rendezvous::default())
    }
}

#[derive(Debug, Default)]
struct Rendezvous {
    /// Those that can be picked.
    candidates: Vec<Candidate>,
    weights_differ: bool,
    /// Scores of all of them, for further attempts: kept for its room.
    ranked: Vec<(f64, u64, EndpointId)>,
}

#[derive(Debug)]
struct Candidate {
    id: EndpointId,
    weight: u32,
    /// Its name, and room for the eight bytes of a key behind it.
    text: Box<[u8]>,
}

impl Balancer for Rendezvous {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let weighted = Weighted::of(endpoints);
        self.weights_differ = !weighted.are_equal();
        let candidate = |(id, weight): (&EndpointId, &u32)| {
            let text = [endpoints.table.name(*id).as_bytes(), &[0; KEY]].concat().into();
            Candidate { id: *id, weight: *weight, text }
        };
        self.candidates = weighted.ids.iter().zip(&weighted.weights).map(candidate).collect();
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.candidates.as_slice() {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(only.id),
            _ => {}
        }
        let key = request.hash_or_random();
        if request.attempt == 0 && !self.weights_differ {
            let best = self.candidates.iter_mut().map(|candidate| (candidate.hash(key), candidate.id));
            // The first of equal hashes keeps its lead.
            let best = best.reduce(|best, next| if next.0 > best.0 { next } else { best });
            return best.map_or_else(|| Pick::nobody(endpoints), |(_, id)| Pick::To(id));
        }
        // The order of failover is that of the scores.
        let weights_differ = self.weights_differ;
        self.ranked.clear();
        self.ranked.extend(self.candidates.iter_mut().map(|candidate| {
            let hash = candidate.hash(key);
            (if weights_differ { score(hash, candidate.weight) } else { 0.0 }, hash, candidate.id)
        }));
        let rank = request.attempt as usize % self.ranked.len();
        self.ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        Pick::To(self.ranked[rank].2)
    }
}

impl Candidate {
    /// The hash of its name with the key behind it.
    fn hash(&mut self, key: u64) -> u64 {
        let name = self.text.len() - KEY;
        self.text[name..].copy_from_slice(&key.to_le_bytes());
        xxh64(&self.text, 0)
    }
}

/// `-w / ln(u)` for the u in (0, 1) that the hash stands for: the chance to be the highest is proportional to w.
fn score(hash: u64, weight: u32) -> f64 {
    let u = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    // The last u of all rounds to 1: the highest score there is, not minus infinity.
    f64::from(weight) / math::ln(u).abs()
}

/// Bytes of a key.
const KEY: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    /// Hashes of the names of three endpoints with the text of a key behind.
    fn hashes(key: &str) -> [u64; 3] {
        [1, 2, 3].map(|i| xxh64(format!("10.0.0.{i}:80{key}").as_bytes(), 0))
    }

    #[test]
    fn the_highest_hash_takes_the_key() {
        for (key, expected) in [("user-1", 1), ("user-2", 3), ("hot", 3)] {
            let hashes = hashes(key);
            let best = (0..3).max_by_key(|i| hashes[*i]).unwrap() + 1;
            assert_eq!(best, expected, "{key}");
        }
    }

    #[test]
    fn scores_by_weight() {
        let hashes = hashes("user-1");
        let scores = [1, 1, 2].iter().zip(hashes).map(|(weight, hash)| format!("{:.6}", score(hash, *weight)));
        assert_eq!(scores.collect::<Vec<_>>(), ["3.884769", "2.484675", "1.051689"]);
        assert!(score(u64::MAX, 1) > 1e300 && score(0, 1) > 0.0);
    }

    #[test]
    fn the_balancer_hashes_the_name_with_the_key_behind() {
        let mut world = World::equal(3, &Config {});
        for key in 0..200_u64 {
            let hash = |i: usize| xxh64(&[format!("10.0.0.{}:80", i + 1).as_bytes(), &key.to_le_bytes()].concat(), 0);
            assert_eq!(world.pick_hash(key), (0..3).max_by_key(|i| hash(*i)).unwrap());
        }
    }

    fn map(world: &mut World) -> Vec<usize> {
        (0..2_000).map(|key| world.pick_hash(key)).collect()
    }

    #[test]
    fn only_keys_of_the_one_that_fails_move_and_they_return() {
        for weights in [vec![1; 8], vec![1, 2, 3, 4, 1, 2, 3, 4]] {
            let mut world = World::weighted(&weights, &Config {});
            let before = map(&mut world);
            world.health(5, Health::Failed);
            let during = map(&mut world);
            assert!(before.iter().zip(&during).all(|(was, is)| (*was == 5) != (was == is)));
            world.health(5, Health::Healthy);
            assert_eq!(map(&mut world), before);
        }
    }

    #[test]
    fn further_attempts_follow_the_scores() {
        for weights in [[1; 4], [4, 1, 2, 1]] {
            let mut world = World::weighted(&weights, &Config {});
            for key in 0..50 {
                let mut picks = vec![];
                for attempt in 0..5 {
                    let request = Request { hash: Some(key), attempt, ..Request::plain() };
                    let Pick::To(id) = world.pick(&request) else { panic!("all are ready") };
                    picks.push(world.place(id));
                }
                assert_eq!(picks[0], picks[4], "after all have been tried it begins anew");
                picks.truncate(4);
                let second = picks[1];
                picks.sort();
                assert_eq!(picks, [0, 1, 2, 3]);
                let first = world.pick_hash(key);
                world.health(first, Health::Failed);
                assert_eq!(world.pick_hash(key), second, "where the key falls when the first is gone");
                world.health(first, Health::Healthy);
            }
        }
    }

    #[test]
    fn keys_follow_weights() {
        let mut world = World::weighted(&[1, 3, 0], &Config {});
        let second = map(&mut world).iter().filter(|place| **place == 1).count();
        assert!((1_430..1_570).contains(&second), "{second} of 2000 at three quarters");
    }

    #[test]
    fn the_map_does_not_depend_on_the_order_of_the_list() {
        let order = [3, 0, 4, 2, 1];
        let listings = order.iter().map(|i| listing(*i, 1 + i % 2)).collect();
        let mut mixed = World::of(listings, Config {}.build(&Context::lone(1)));
        let mut straight =
            World::of((0..5).map(|i| listing(i, 1 + i % 2)).collect(), Config {}.build(&Context::lone(1)));
        let places: Vec<usize> = map(&mut mixed).into_iter().map(|place| order[place] as usize).collect();
        assert_eq!(places, map(&mut straight));
    }
}
