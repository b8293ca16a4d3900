//! One point for each endpoint and several probes for each key: the probe nearest to a point decides.
//!
//! Origin: Appleton and O'Reilly, Multi-probe consistent hashing, arXiv 1505.00062; 21 probes give a peak of 1.05
//! times the mean for many endpoints.
//! Observes: the call's key; who is ready.
//! Cost: O(k log n) a pick for k probes; 12 bytes an endpoint, where a ring of 160 points has 1920.
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: endpoints differ in size, because weights are not looked at; a few keys carry most of the calls.

use serde::{Deserialize, Deserializer, Serialize};

use super::owners::{Layout, Owners};
use super::shared::Hold;
use crate::base::hash::xxh64;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `multi_probe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Probes for each key, 1 to 1000.
    #[serde(deserialize_with = "probes")]
    pub probes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { probes: 21 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(MultiProbe { probes: self.probes, hold: Hold::new(Layout::Once, &context.tables) })
    }
}

#[derive(Debug)]
struct MultiProbe {
    probes: u32,
    hold: Hold,
}

impl Balancer for MultiProbe {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.hold.note(endpoints.ready, endpoints);
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
        let key = request.hash_or_random().to_le_bytes();
        // A further attempt goes on with further probes.
        let from = u64::from(request.attempt) * u64::from(self.probes);
        let (_, entry) = nearest(self.hold.owners(), xxh64(&key, 1), xxh64(&key, 2), from, self.probes);
        Pick::To(self.hold.id(self.hold.owners().owner(entry)))
    }
}

/// Of the probes `first + i * step`, the one nearest to the next point, the earlier of two alike; and that point.
fn nearest(ring: &Owners, first: u64, step: u64, from: u64, probes: u32) -> (u64, usize) {
    let probe = |i: u64| {
        let (distance, entry) = ring.distance(first.wrapping_add(step.wrapping_mul(i)));
        (distance, i, entry)
    };
    let (_, i, entry) = (from..from + u64::from(probes)).map(probe).min().expect("there is at least one probe");
    (i, entry)
}

fn probes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        probes @ 1..=1_000 => Ok(probes),
        other => Err(serde::de::Error::custom(format_args!("a key has 1 to 1000 probes, not {other}; 21 is usual"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Health;

    fn ring(n: u32) -> Owners {
        let members: Vec<(String, u32)> = (1..=n).map(|i| (format!("10.0.0.{i}:80"), 1)).collect();
        Owners::build(Layout::Once, &members)
    }

    fn probe(ring: &Owners, key: &[u8], probes: u32) -> (u64, usize) {
        let (i, entry) = nearest(ring, xxh64(key, 1), xxh64(key, 2), 0, probes);
        (i, ring.owner(entry))
    }

    #[test]
    fn the_nearest_probe_decides() {
        let ring = ring(5);
        let expected = [("user-1", 2, 9), ("user-2", 3, 11), ("user-3", 2, 3), ("user-42", 1, 3), ("hot", 5, 11)];
        for (key, endpoint, by) in expected {
            let (i, owner) = probe(&ring, key.as_bytes(), 21);
            assert_eq!((owner + 1, i), (endpoint, by), "{key}");
        }
    }

    #[test]
    fn one_probe_on_one_point_each_is_a_ring() {
        let ring = ring(9);
        for key in 0..500_u64 {
            let key = key.to_le_bytes();
            assert_eq!(probe(&ring, &key, 1).1, ring.owner(ring.entry(xxh64(&key, 1))));
        }
    }

    fn map(world: &mut World) -> Vec<usize> {
        (0..5_000).map(|key| world.pick_hash(key)).collect()
    }

    #[test]
    fn the_balancer_probes_with_the_bytes_of_the_hash() {
        let (mut world, ring) = (World::equal(5, &Config::default()), ring(5));
        let expected: Vec<usize> = (0..5_000_u64).map(|key| probe(&ring, &key.to_le_bytes(), 21).1).collect();
        assert_eq!(map(&mut world), expected);
    }

    #[test]
    fn only_keys_of_the_one_that_fails_move_and_they_return() {
        let mut world = World::equal(8, &Config::default());
        let before = map(&mut world);
        world.health(5, Health::Failed);
        let during = map(&mut world);
        assert!(before.iter().zip(&during).all(|(was, is)| (*was == 5) != (was == is)));
        world.health(5, Health::Healthy);
        assert_eq!(map(&mut world), before);
    }

    #[test]
    fn more_probes_balance_better() {
        let peak = |probes| {
            let mut world = World::equal(30, &Config { probes });
            let mut counts = [0; 30];
            map(&mut world).into_iter().for_each(|place| counts[place] += 1);
            f64::from(*counts.iter().max().unwrap()) * 30.0 / 5_000.0
        };
        let (one, many) = (peak(1), peak(21));
        assert!(one > 2.0 && many < 1.35, "{one} and {many} times the mean");
    }

    #[test]
    fn a_further_attempt_goes_on_probing() {
        let (mut world, ring) = (World::equal(5, &Config::default()), ring(5));
        for key in 0..100_u64 {
            let request = Request { hash: Some(key), attempt: 2, ..Request::plain() };
            let Pick::To(id) = world.pick(&request) else { panic!("all are ready") };
            let bytes = key.to_le_bytes();
            let (_, entry) = nearest(&ring, xxh64(&bytes, 1), xxh64(&bytes, 2), 42, 21);
            assert_eq!(world.place(id), ring.owner(entry));
        }
    }

    #[test]
    fn a_number_of_probes_is_checked() {
        assert!(toml::from_str::<Config>("probes = 0").unwrap_err().message().contains("1 to 1000 probes"));
        assert_eq!(toml::from_str::<Config>("probes = 5").unwrap(), Config { probes: 5 });
    }
}
