//! Key affinity: calls with the same key go to the same endpoint, and few keys move when endpoints come and go.
//!
//! The tables that say who owns which part of the hash space depend on names and weights alone, never on the
//! client, so clients that list the same endpoints share one ([`shared::Shared`]). A call without a key is routed
//! by its own random number: no stickiness, and no draw from the balancer's stream.

pub mod anchor;
pub mod bounded_load;
pub mod hash_mod;
pub mod hash_ring_vnodes;
pub mod jump;
pub mod ketama_crc32;
pub mod ketama_md5;
mod loads;
pub mod maglev;
pub mod multi_probe;
pub mod owners;
pub mod rendezvous;
pub mod ring_hash;
pub mod shared;

use crate::base::id::EndpointId;
use crate::base::rand::mix;
use crate::policy::balancer::{Endpoints, Pick, Request};

/// Picks by hashing again: `owner` says whom of `owners` a hash belongs to. An endpoint that is not ready is left to
/// others by trying a further hash of the key, which moves no key of anybody else, and after [`TRIES`] hashes by
/// going on to the next ready one of the owners. A further attempt of the call begins at a further hash.
#[inline]
fn rehash_until_ready(
    request: &Request<'_>,
    endpoints: &Endpoints<'_>,
    owners: &[EndpointId],
    owner: impl Fn(u64) -> Option<EndpointId>,
) -> Pick {
    let hash = request.hash_or_random();
    // Nearly always the first owner of the first attempt.
    if request.attempt == 0
        && let Some(id) = owner(hash).filter(|id| is_ready(*id, endpoints))
    {
        return Pick::To(id);
    }
    rehash(request, endpoints, owners, owner)
}

/// True if an owner can be picked. Owners are members, so where all of these are ready nobody has to look the owner up.
#[inline(always)]
fn is_ready(owner: EndpointId, endpoints: &Endpoints<'_>) -> bool {
    let all_are = endpoints.ready.len() == endpoints.members.len();
    debug_assert!(!all_are || endpoints.is_ready(owner), "they changed and nobody said so");
    all_are || endpoints.is_ready(owner)
}

#[cold]
#[inline(never)]
fn rehash(
    request: &Request<'_>,
    endpoints: &Endpoints<'_>,
    owners: &[EndpointId],
    owner: impl Fn(u64) -> Option<EndpointId>,
) -> Pick {
    let hash = request.hash_or_random();
    let mut last = None;
    for attempt in (request.attempt..).take(TRIES) {
        let further = if attempt == 0 { hash } else { mix(hash ^ mix(attempt.into())) };
        last = owner(further);
        if let Some(id) = last.filter(|id| endpoints.is_ready(*id)) {
            return Pick::To(id);
        }
    }
    next_ready(last, owners, hash, endpoints)
}

/// The first ready one of the owners behind this one.
fn next_ready(behind: Option<EndpointId>, owners: &[EndpointId], hash: u64, endpoints: &Endpoints<'_>) -> Pick {
    let from = owners.iter().position(|id| Some(*id) == behind).map_or(0, |place| place + 1);
    let (before, after) = owners.split_at(from);
    let next = after.iter().chain(before).find(|id| endpoints.is_ready(**id));
    next.map_or_else(|| unowned(hash, endpoints), |id| Pick::To(*id))
}

/// No owner is ready. If anybody is, because its weight is 0 say, one of them takes the call.
fn unowned(hash: u64, endpoints: &Endpoints<'_>) -> Pick {
    match endpoints.ready {
        [] => Pick::nobody(endpoints),
        ready => Pick::To(ready[(hash % ready.len() as u64) as usize]),
    }
}

/// As many tries as NGINX makes before it gives the hash up.
const TRIES: usize = 20;

#[cfg(test)]
mod tests {
    use crate::base::rand::mix;
    use crate::policy::balancer::catalog::Spec;
    use crate::policy::balancer::testing::{World, listing};

    /// Who has each of 2,000 keys, by address, with the endpoints in this order.
    fn map(name: &str, order: &[u32]) -> Vec<u32> {
        let spec: Spec = serde_json::from_str(&format!("\"{name}\"")).expect("it is in the catalogue");
        let mut world = World::of(vec![], spec.build(&crate::policy::balancer::catalog::Context::lone(1)));
        world.list(order.iter().map(|address| listing(*address, 1)).collect());
        (0..2_000).map(|key| order[world.pick_hash(mix(key))]).collect()
    }

    #[test]
    fn names_decide_and_not_the_order_of_the_list_but_where_places_are_hashed() {
        // policies.md §14.4.
        let (order, another) = ([0, 1, 2, 3, 4, 5], [4, 2, 0, 5, 1, 3]);
        for name in
            ["ring_hash", "hash_ring_vnodes", "ketama_crc32", "ketama_md5", "maglev", "rendezvous", "multi_probe"]
        {
            assert!(map(name, &order) == map(name, &another), "{name}");
        }
        for name in ["jump", "anchor", "hash_mod"] {
            assert!(map(name, &order) != map(name, &another), "{name}");
        }
    }

    #[test]
    fn who_comes_back_has_its_keys_again() {
        // policies.md §14.5.
        let all = [0, 1, 2, 3, 4, 5];
        for name in
            ["ring_hash", "hash_ring_vnodes", "ketama_crc32", "ketama_md5", "maglev", "rendezvous", "multi_probe"]
        {
            let spec: Spec = serde_json::from_str(&format!("\"{name}\"")).expect("it is in the catalogue");
            let mut world = World::of(vec![], spec.build(&crate::policy::balancer::catalog::Context::lone(1)));
            let mut keys = |members: &[u32]| -> Vec<u32> {
                world.list(members.iter().map(|address| listing(*address, 1)).collect());
                (0..2_000).map(|key| members[world.pick_hash(mix(key))]).collect()
            };
            let before = keys(&all);
            let without = keys(&[0, 1, 3, 4, 5]);
            let moved = before.iter().zip(&without).filter(|(before, after)| **before != 2 && before != after).count();
            // Rings whose points depend on their number, and Maglev, move keys of others too; the rest none.
            let bound = match name {
                "ring_hash" => 300,
                "maglev" => 40,
                "ketama_md5" => 300,
                _ => 0,
            };
            assert!(moved <= bound, "{name}: {moved} keys of those that stayed");
            assert!(keys(&all) == before, "{name}");
        }
    }
}
