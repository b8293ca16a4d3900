//! The hash modulo the sum of the weights: the simplest map, and the yardstick for those that move fewer keys.
//!
//! Origin: NGINX `hash` and `ip_hash` (`ngx_http_upstream_hash_module.c`, `ngx_http_upstream_ip_hash_module.c`);
//! HAProxy `hash-type map-based` (`lb_map.c`); pingora's weighted FNV (`selection/weighted.rs`); spymemcached's
//! `ArrayModNodeLocator`.
//! Observes: the call's key; static weights; who is ready.
//! Cost: O(1) a pick, by a guide to the sums of the weights; with `next` O(n) where the owner is not ready. O(n) a
//! change.
//! Draws: none; a call without a key is routed by its own random number.
//! Fails when: anyone joins or leaves, because nearly every key moves, with `haproxy` also when anyone fails; the
//! order of the list differs between clients, because the map depends on it; with `next` somebody is not ready, because
//! one alone takes all of its keys.

use serde::{Deserialize, Serialize};

use super::{TRIES, is_ready, next_ready, rehash_until_ready};
use crate::base::hash::{Crc32, fnv1a};
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::{Shares, Weighted};
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `hash_mod`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is divided, and who takes over for an endpoint that is not ready.
    pub variant: Variant,
}

/// What is divided, and who takes over for an endpoint that is not ready. All but `haproxy` keep the slots of an
/// endpoint that is not ready, so its keys alone move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// The 64-bit hash; then further hashes of it.
    #[default]
    Modulo,
    /// The 64-bit hash, modulo the weights of those that are ready: every change of readiness moves most keys.
    Haproxy,
    /// A running sum of 15-bit checksums of the key, one more for each try; after 20 tries the next in the list,
    /// where NGINX turns to its weighted rotation.
    Nginx,
    /// NGINX `ip_hash`: three bytes, as of an IPv4 network, folded to a number below 6271, and on from there for each
    /// try. The key's hash lends its highest bytes.
    IpHash,
    /// FNV-1a of the key by weight; then, of the index before, among all alike.
    Pingora,
    /// The 64-bit hash; then the next in the list (spymemcached).
    Next,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(HashMod { variant: self.variant, slots: Slots::default() })
    }
}

#[derive(Debug)]
struct HashMod {
    variant: Variant,
    slots: Slots,
}

/// Who owns which of as many slots as there is weight.
#[derive(Debug, Default)]
struct Slots {
    /// Those with a weight, in the order of the list.
    ids: Vec<EndpointId>,
    shares: Shares,
}

impl Slots {
    fn of(weighted: Weighted) -> Slots {
        Slots { shares: Shares::of(&weighted.weights), ids: weighted.ids }
    }

    /// The owner of the slot that is the number modulo all slots.
    #[inline]
    fn owner(&self, number: u64) -> Option<EndpointId> {
        let slot = number.checked_rem(self.shares.total())?;
        self.ids.get(self.shares.owner(slot)).copied()
    }

    /// The owner if all had one slot.
    fn any(&self, number: u64) -> Option<EndpointId> {
        self.ids.get((number % self.ids.len().max(1) as u64) as usize).copied()
    }
}

impl Balancer for HashMod {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let among = if self.variant == Variant::Haproxy { endpoints.ready } else { endpoints.members };
        self.slots = Slots::of(Weighted::of(&endpoints.narrowed(endpoints.members, among)));
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
        let slots = &self.slots;
        let key = request.hash_or_random().to_le_bytes();
        match self.variant {
            Variant::Modulo | Variant::Haproxy => {
                rehash_until_ready(request, endpoints, &slots.ids, |hash| slots.owner(hash))
            }
            Variant::Next => slots.next_of(request, endpoints),
            Variant::Nginx => slots.first_ready(request, endpoints, nginx_sums(&key).map(|sum| slots.owner(sum))),
            Variant::IpHash => {
                let hashes = ip_hashes([key[7], key[6], key[5]]);
                slots.first_ready(request, endpoints, hashes.map(|hash| slots.owner(hash)))
            }
            Variant::Pingora => {
                let owner = |(k, index)| if k == 0 { slots.owner(index) } else { slots.any(index) };
                slots.first_ready(request, endpoints, pingora_indices(&key).enumerate().map(owner))
            }
        }
    }
}

impl Slots {
    /// The owner, or who is ready next behind it; a further attempt goes on from there.
    fn next_of(&self, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let hash = request.hash_or_random();
        let owner = self.owner(hash);
        let first = owner.filter(|id| is_ready(*id, endpoints)).map(Pick::To);
        let behind = |id| next_ready(id, &self.ids, hash, endpoints);
        (0..request.attempt.min(TRIES as u32)).fold(first.unwrap_or_else(|| behind(owner)), |pick, _| match pick {
            Pick::To(id) => behind(Some(id)),
            nobody => nobody,
        })
    }

    /// The first of 20 owners that is ready; a further attempt begins one later.
    #[inline(always)]
    fn first_ready(
        &self,
        request: &Request<'_>,
        endpoints: &Endpoints<'_>,
        owners: impl Iterator<Item = Option<EndpointId>> + Clone,
    ) -> Pick {
        // Nearly always the first owner of the first attempt.
        if request.attempt == 0
            && let Some(id) = owners.clone().next().flatten().filter(|id| is_ready(*id, endpoints))
        {
            return Pick::To(id);
        }
        self.further(request, endpoints, owners)
    }

    #[cold]
    #[inline(never)]
    fn further(
        &self,
        request: &Request<'_>,
        endpoints: &Endpoints<'_>,
        owners: impl Iterator<Item = Option<EndpointId>>,
    ) -> Pick {
        let mut last = None;
        for owner in owners.skip(request.attempt as usize % TRIES).take(TRIES) {
            last = owner;
            if let Some(id) = last.filter(|id| endpoints.is_ready(*id)) {
                return Pick::To(id);
            }
        }
        next_ready(last, &self.ids, request.hash_or_random(), endpoints)
    }
}

/// The numbers that NGINX divides, try by try: the sum of bits 16 to 30 of the checksums of the key, from the second
/// on with the number of the try as text before it. There are fewer than 100.
fn nginx_sums(key: &[u8]) -> impl Iterator<Item = u64> + Clone + '_ {
    let mut sum = 0;
    (0_u8..100).map(move |retry| {
        let digits = [b'0' + retry / 10, b'0' + retry % 10];
        let before = match retry {
            0 => &[][..],
            1..10 => &digits[1..],
            _ => &digits,
        };
        let crc = Crc32::new().update(before).update(key).value();
        sum += u64::from((crc >> 16) & 0x7fff);
        sum
    })
}

/// The hashes of NGINX's `ip_hash`, try by try: each goes on from the one before.
fn ip_hashes(octets: [u8; 3]) -> impl Iterator<Item = u64> + Clone {
    let next =
        move |hash: &u64| Some(octets.iter().fold(*hash, |hash, octet| (113 * hash + u64::from(*octet)) % 6_271));
    std::iter::successors(Some(89), next).skip(1)
}

/// The indices of pingora's weighted selection: the hash of the key, then the hash of the index before.
fn pingora_indices(key: &[u8]) -> impl Iterator<Item = u64> + Clone {
    std::iter::successors(Some(fnv1a(key)), |index| Some(fnv1a(&index.to_le_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    const STEADY: [Variant; 5] = [Variant::Modulo, Variant::Nginx, Variant::IpHash, Variant::Pingora, Variant::Next];

    #[test]
    fn nginx_sums_checksums() {
        let sums: Vec<u64> = nginx_sums(b"user-1").take(4).collect();
        assert_eq!(sums, [32_294, 56_002, 84_022, 103_225]);
        assert_eq!(sums.iter().map(|sum| sum % 3).collect::<Vec<_>>(), [2, 1, 1, 1]);
        let eleventh = nginx_sums(b"user-1").nth(10).unwrap() - nginx_sums(b"user-1").nth(9).unwrap();
        assert_eq!(eleventh, u64::from((crate::base::hash::crc32(b"10user-1") >> 16) & 0x7fff));
    }

    #[test]
    fn ip_hash_folds_three_octets() {
        assert_eq!(ip_hashes([10, 0, 0]).take(2).collect::<Vec<_>>(), [2_565, 1_753]);
        assert_eq!(ip_hashes([192, 168, 1]).next(), Some(154));
        let mut world = World::equal(3, &Config { variant: Variant::IpHash });
        let network = |octets: [u64; 3]| octets[0] << 56 | octets[1] << 48 | octets[2] << 40;
        assert_eq!([network([10, 0, 0]), network([10, 0, 0]) + 77].map(|key| world.pick_hash(key)), [0, 0]);
        assert_eq!(world.pick_hash(network([192, 168, 1])), 1);
        world.health(0, Health::Failed);
        assert_eq!(world.pick_hash(network([10, 0, 0])), 1);
    }

    #[test]
    fn nginx_tries_the_sums_in_order() {
        let mut world = World::equal(3, &Config { variant: Variant::Nginx });
        let key = 77_u64;
        let order: Vec<usize> = nginx_sums(&key.to_le_bytes()).take(20).map(|sum| (sum % 3) as usize).collect();
        assert_eq!(world.pick_hash(key), order[0]);
        world.health(order[0], Health::Failed);
        let second = order.iter().find(|place| **place != order[0]).unwrap();
        assert_eq!(world.pick_hash(key), *second);
        let further = Request { hash: Some(key), attempt: 3, ..Request::plain() };
        let expected = order[3..].iter().find(|place| **place != order[0]).unwrap();
        assert_eq!(world.pick(&further), Pick::To(world.id(*expected)));
    }

    #[test]
    fn pingora_looks_at_weights_once() {
        let mut world = World::weighted(&[3, 1], &Config { variant: Variant::Pingora });
        let index = |key: u64| fnv1a(&key.to_le_bytes());
        for key in 0..200 {
            assert_eq!(world.pick_hash(key), if index(key) % 4 < 3 { 0 } else { 1 });
        }
        for key in 0..200 {
            let request = Request { hash: Some(key), attempt: 1, ..Request::plain() };
            let second = fnv1a(&index(key).to_le_bytes()) as usize % 2;
            assert_eq!(world.pick(&request), Pick::To(world.id(second)));
        }
        let mut world = World::weighted(&[1, 1, 7], &Config { variant: Variant::Pingora });
        world.health(2, Health::Failed);
        let even = (0..1_000).filter(|key| world.pick_hash(*key) == 0).count();
        assert!((430..570).contains(&even), "{even}: its keys go to the others alike");
    }

    #[test]
    fn slots_follow_weights() {
        for variant in [Variant::Modulo, Variant::Haproxy] {
            let mut world = World::weighted(&[2, 0, 3], &Config { variant });
            let row: Vec<usize> = (0..10).map(|hash| world.pick_hash(hash)).collect();
            assert_eq!(row, [0, 0, 2, 2, 2, 0, 0, 2, 2, 2]);
            let mut zeros = World::weighted(&[0, 0], &Config { variant });
            assert_eq!((zeros.pick_hash(0), zeros.pick_hash(1)), (0, 1));
            let mut equal = World::weighted(&[2, 2, 2], &Config { variant });
            assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|hash| equal.pick_hash(hash)), [0, 0, 1, 1, 2, 2, 0]);
        }
    }

    fn map(world: &mut World) -> Vec<usize> {
        (0..10_000).map(|key| world.pick_hash(mix(key))).collect()
    }

    #[test]
    fn nearly_all_keys_move_when_one_joins() {
        for variant in STEADY.into_iter().chain([Variant::Haproxy]) {
            let mut world = World::equal(9, &Config { variant });
            let before = map(&mut world);
            world.list((0..10).map(|i| listing(i, 1)).collect());
            let moved = before.iter().zip(map(&mut world)).filter(|(was, is)| **was != *is).count();
            assert!((8_800..9_200).contains(&moved), "{variant:?}: {moved} of 10000, where 9 of 10 is expected");
        }
    }

    #[test]
    fn an_unready_endpoint_moves_its_own_keys_only_and_gets_them_back() {
        for variant in STEADY {
            let mut world = World::equal(10, &Config { variant });
            let before = map(&mut world);
            world.health(3, Health::Failed);
            let during = map(&mut world);
            assert!(before.iter().zip(&during).all(|(was, is)| (*was == 3) != (was == is)));
            world.health(3, Health::Healthy);
            assert_eq!(map(&mut world), before);
            for place in 1..9 {
                world.health(place, Health::Failed);
            }
            assert!(map(&mut world).iter().all(|place| [0, 9].contains(place)));
        }
    }

    #[test]
    fn the_next_takes_all_keys_of_who_is_not_ready_and_a_further_hash_shares_them_out() {
        let taken = |variant| {
            let mut world = World::equal(10, &Config { variant });
            world.health(3, Health::Failed);
            world.health(4, Health::Failed);
            map(&mut world).into_iter().filter(|place| *place == 5).count()
        };
        assert!((2_850..3_150).contains(&taken(Variant::Next)), "{}", taken(Variant::Next));
        assert!((1_150..1_350).contains(&taken(Variant::Modulo)), "{}", taken(Variant::Modulo));
        let mut world = World::equal(4, &Config { variant: Variant::Next });
        world.health(1, Health::Failed);
        let at = |world: &mut World, attempt| {
            let pick = world.pick(&Request { hash: Some(0), attempt, ..Request::plain() });
            if let Pick::To(id) = pick { world.place(id) } else { panic!("{pick:?}") }
        };
        assert_eq!([0, 1, 2, 3].map(|attempt| at(&mut world, attempt)), [0, 2, 3, 0], "retries walk on");
    }

    #[test]
    fn haproxy_maps_anew_without_who_failed() {
        let mut world = World::equal(10, &Config { variant: Variant::Haproxy });
        let before = map(&mut world);
        world.health(3, Health::Failed);
        let moved = before.iter().zip(map(&mut world)).filter(|(was, is)| **was != 3 && **was != *is).count();
        assert!((7_800..8_300).contains(&moved), "{moved} of 10000 keys of those that stay");
    }
}
