//! The first ketama rings: four points from each MD5 digest.
//!
//! Origin: libketama (Richard Jones, Last.fm, 2007) and brpc's `c_ketama`; Dubbo `consistenthash`.
//! Observes: the call's key; who is ready.
//! Cost: O(log V) for V points in all, and a digest of the key. The ring is built at the first pick after members or
//! weights change; clients of one run with the same members share it (13 bytes a point).
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: a few keys carry most of the calls; members come and go with `libketama`, because weights are shares
//! of all and rounded down, so points of those that stay change where weights differ; endpoints differ in size with
//! `dubbo`, which has no weights.

use serde::{Deserialize, Serialize};

use super::ketama_crc32::{Ketama, place};
use super::owners::Layout;
use crate::base::hash::md5;
use crate::policy::balancer::Balancer;
use crate::policy::balancer::catalog::Context;

/// Parameters of `ketama_md5`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose points they are.
    pub points: Points,
}

/// Whose points they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Points {
    /// 160 on average, by weight: digests of `name-0`, `name-1` …
    #[default]
    Libketama,
    /// 160 each: digests of `name0`, `name1` …
    Dubbo,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let layout = match self.points {
            Points::Libketama => Layout::Libketama,
            Points::Dubbo => Layout::Dubbo,
        };
        Box::new(Ketama::new(layout, context, |key| md5(&key.to_le_bytes())[0]))
    }
}

/// libketama's points: `⌊40 n w / W⌋` digests each. It computes the share in floats; whole numbers do not lose a
/// digest to rounding.
pub fn libketama<N: AsRef<str>>(members: &[(N, u32)]) -> Vec<(u64, u32)> {
    let sum: u128 = members.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let digests = |weight: u32| (DIGESTS as u128 * members.len() as u128 * u128::from(weight) / sum) as u32;
    let members = members.iter().map(|(name, weight)| (name.as_ref(), digests(*weight)));
    digest_points(members, |name, k| format!("{name}-{k}"))
}

/// Dubbo's points: 40 digests each.
pub fn dubbo<N: AsRef<str>>(members: &[(N, u32)]) -> Vec<(u64, u32)> {
    digest_points(members.iter().map(|(name, _)| (name.as_ref(), DIGESTS)), |name, k| format!("{name}{k}"))
}

fn digest_points<'n>(
    members: impl Iterator<Item = (&'n str, u32)>,
    text: impl Fn(&str, u32) -> String,
) -> Vec<(u64, u32)> {
    let mut points = vec![];
    for (owner, (name, digests)) in members.enumerate() {
        for k in 0..digests {
            points.extend(md5(text(name, k).as_bytes()).map(|word| (place(word), owner as u32)));
        }
    }
    points
}

/// Digests of an endpoint of average weight.
const DIGESTS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Health;

    fn first(points: &[(u64, u32)]) -> Vec<u64> {
        points[..4].iter().map(|(point, _)| point >> 32).collect()
    }

    #[test]
    fn points_are_the_words_of_digests() {
        let points = libketama(&[("10.0.1.1:11211", 1)]);
        assert_eq!(points.len(), 160);
        assert_eq!(first(&points), [2_431_485_715, 4_123_933_443, 100_894_374, 2_720_740_989]);
        let points = dubbo(&[("10.0.0.1:20880", 7), ("10.0.0.2:20880", 1)]);
        assert_eq!(points.len(), 320);
        assert_eq!(first(&points), [1_592_126_881, 2_304_069_046, 3_038_814_219, 1_693_096_856]);
    }

    #[test]
    fn digests_are_shared_by_weight_and_rounded_down() {
        let counts = |weights: &[u32]| {
            let members: Vec<(String, u32)> = weights.iter().map(|weight| (format!("h{weight}"), *weight)).collect();
            let points = libketama(&members);
            (0..weights.len())
                .map(|i| points.iter().filter(|(_, owner)| *owner as usize == i).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(&[1, 1, 1]), [160; 3]);
        assert_eq!(counts(&[1, 2, 4]), [68, 136, 272], "17, 34 and 68 digests of 120, one of them lost");
    }

    #[test]
    fn an_unready_endpoint_moves_its_own_keys_only_and_gets_them_back() {
        for points in [Points::Libketama, Points::Dubbo] {
            let mut world = World::equal(5, &Config { points });
            let map = |world: &mut World| (0..2_000).map(|key| world.pick_hash(mix(key))).collect::<Vec<_>>();
            let before = map(&mut world);
            world.health(3, Health::Failed);
            let during = map(&mut world);
            assert!(before.iter().zip(&during).all(|(was, is)| (*was == 3) != (was == is)));
            world.health(3, Health::Healthy);
            assert_eq!(map(&mut world), before);
        }
    }
}
