//! NGINX's consistent hash: 160 points for each unit of weight, each the checksum of the one before.
//!
//! Origin: NGINX `hash … consistent` (`ngx_http_upstream_hash_module.c`) and pingora-ketama, which places the same
//! points.
//! Observes: the call's key; who is ready.
//! Cost: O(log V) for V points in all. The ring is built at the first pick after members or weights change; clients
//! of one run with the same members share it (13 bytes a point).
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: a few keys carry most of the calls; there are many endpoints, because points of 32 bits begin to
//! coincide, and of two at one place one is dropped.

use serde::{Deserialize, Serialize};

use super::hash_ring_vnodes::Vnodes;
use super::owners::Layout;
use super::shared::Hold;
use super::unowned;
use crate::base::hash::{Crc32, crc32};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::rotate::wrr_smooth;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `ketama_crc32`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Points of an endpoint of weight 1.
    pub points: Vnodes,
    /// Points that a call looks at for a ready owner, 1 or more; after them weighted turns take it, as in NGINX.
    #[serde(deserialize_with = "one_or_more")]
    #[schemars(range(min = 1))]
    pub tries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { points: Vnodes::default(), tries: 20 }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let layout = Layout::KetamaCrc32(self.points.into());
        let turns = wrr_smooth::Config::default().build(&context.child("turns"));
        Box::new(Ketama {
            hold: Hold::new(layout, &context.tables),
            key: |key| crc32(&key.to_le_bytes()),
            then: Some((self.tries as usize, turns)),
        })
    }
}

/// A ring of 32-bit points: the hash of a call is hashed once more, as the system does with keys, and the first
/// ready owner clockwise takes the call.
pub struct Ketama {
    hold: Hold,
    key: fn(u64) -> u32,
    /// How many points are looked at, and who takes the call then; by default the whole ring is.
    then: Option<(usize, Box<dyn Balancer>)>,
}

impl Ketama {
    /// A ring on which a call may go all the way round, with the function that gives the point of a hash.
    pub fn new(layout: Layout, context: &Context, key: fn(u64) -> u32) -> Ketama {
        Ketama { hold: Hold::new(layout, &context.tables), key, then: None }
    }
}

impl Balancer for Ketama {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.hold.note(endpoints.members, endpoints);
        if let Some((_, turns)) = &mut self.then {
            turns.on_endpoints(now, endpoints);
        }
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.hold.refresh(endpoints);
        let owners = self.hold.owners();
        let hash = request.hash_or_random();
        let entry = owners.enter(place((self.key)(hash)), request.attempt);
        let tries = self.then.as_ref().map_or(usize::MAX, |(tries, _)| *tries);
        match (self.hold.first_ready(entry, tries, endpoints), &mut self.then) {
            (Some(id), _) => Pick::To(id),
            (None, Some((_, turns))) => turns.pick(now, request, endpoints),
            (None, None) => unowned(hash, endpoints),
        }
    }
}

/// Where a 32-bit point stands on a ring of 64 bits.
pub fn place(point: u32) -> u64 {
    u64::from(point) << 32
}

/// The points of all members: checksums of host, a zero byte, port and the point before.
pub fn points<N: AsRef<str>>(members: &[(N, u32)], counts: &[u32]) -> Vec<(u64, u32)> {
    let mut entries = Vec::with_capacity(counts.iter().map(|count| *count as usize).sum());
    for (owner, ((name, _), count)) in members.iter().zip(counts).enumerate() {
        let (host, port) = name.as_ref().rsplit_once(':').unwrap_or((name.as_ref(), ""));
        let base = Crc32::new().update(host.as_bytes()).update(&[0]).update(port.as_bytes());
        let mut point = 0_u32;
        for _ in 0..*count {
            point = base.update(&point.to_le_bytes()).value();
            entries.push((place(point), owner as u32));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;
    use crate::policy::balancer::hash::owners::Owners;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Health;

    const TWO: [(&str, u32); 2] = [("127.0.0.1:7777", 1), ("127.0.0.1:7778", 1)];

    #[test]
    fn points_of_pingoras_tests() {
        let first = |i: usize| points(&TWO[i..=i], &[4]).iter().map(|(point, _)| point >> 32).collect::<Vec<_>>();
        assert_eq!(first(0), [842_782_624, 66_278_312, 1_921_422_695, 3_166_719_452]);
        assert_eq!(first(1), [2_959_818_865, 1_578_765_224, 136_255_570, 14_414_652]);
    }

    #[test]
    fn keys_of_pingoras_tests() {
        let ring = Owners::build(Layout::KetamaCrc32(160), &TWO);
        assert_eq!(ring.len(), 320);
        let lowest = [(1_475_464_u32, 0), (14_414_652, 1), (29_299_196, 1)];
        for (i, (point, owner)) in lowest.into_iter().enumerate() {
            assert_eq!((ring.distance(place(point)), ring.owner(i)), ((0, i), owner));
        }
        let port = |key: &str| TWO[ring.owner(ring.entry(place(crc32(key.as_bytes()))))].0;
        assert_eq!(port("/some/path"), "127.0.0.1:7778");
        assert_eq!(port("/some/longer/path"), "127.0.0.1:7777");
        assert_eq!(port("/sad/zaidoon"), "127.0.0.1:7778");
        assert_eq!(port("/g"), "127.0.0.1:7777");
    }

    #[test]
    fn of_two_points_at_one_place_one_is_dropped() {
        let members: Vec<(String, u32)> = (0..2_000).map(|i| (format!("10.0.{}.{}:80", i / 250, i % 250), 1)).collect();
        let ring = Owners::build(Layout::KetamaCrc32(160), &members);
        // The birthday bound for 320,000 points in 2^32 places is 12.
        assert!((319_950..320_000).contains(&ring.len()), "{} points", ring.len());
    }

    #[test]
    fn an_unready_endpoint_moves_its_own_keys_only_and_gets_them_back() {
        let mut world = World::weighted(&[1, 2, 1, 3, 1], &Config::default());
        let map = |world: &mut World| (0..3_000).map(|key| world.pick_hash(mix(key))).collect::<Vec<_>>();
        let before = map(&mut world);
        world.health(3, Health::Failed);
        let during = map(&mut world);
        assert!(before.iter().zip(&during).all(|(was, is)| (*was == 3) != (was == is)));
        world.health(3, Health::Healthy);
        assert_eq!(map(&mut world), before);
    }

    #[test]
    fn after_its_tries_a_call_takes_turns() {
        let mut world = World::weighted(&[1, 1, 2], &Config { tries: 1, ..Config::default() });
        let all: Vec<u64> = (0..400).filter(|key| world.pick_hash(*key) == 0).collect();
        world.health(0, Health::Failed);
        let turns: String = all[..6].iter().map(|key| world.pick_hash(*key).to_string()).collect();
        assert_eq!(turns, "212212", "smooth turns of weights 1 and 2");
        assert!(toml::from_str::<Config>("tries = 0").unwrap_err().message().contains("1 or more"));
    }
}
