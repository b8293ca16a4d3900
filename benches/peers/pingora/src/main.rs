//! What a pick costs here and in pingora, in one run, in CPU time.
//!
//! pingora's selections pick and nothing else: the first choice of a key, without the load balancer around them, which
//! would ask for health and copy the backend.

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection, Consistent, FNVHash, Random, RoundRobin};

#[expect(dead_code, reason = "the table of benches/pick.rs judges by the aims")]
#[path = "../../../pick/ours.rs"]
mod ours;
#[path = "../../../pick/rounds.rs"]
mod rounds;
#[path = "../../pick/src/table.rs"]
mod table;

use ours::{Keys, weight};
use table::{Peer, Work, peer, repeated};

const PEERS: &[Peer] = &[
    peer("pingora RoundRobin", "round_robin", 10_000, |n| selection::<RoundRobin>(n, false)),
    peer("pingora RoundRobin, weighted", "wrr_list, interleaved", 10_000, |n| selection::<RoundRobin>(n, true)),
    peer("pingora Random, weighted", "weighted_random", 10_000, |n| selection::<Random>(n, true)),
    peer("pingora Consistent", "ketama_crc32", 10_000, |n| selection::<Consistent>(n, false)),
    peer("pingora FNVHash, weighted", "hash_mod, pingora's", 10_000, |n| selection::<FNVHash>(n, true)),
];

fn selection<S: BackendSelection + 'static>(n: usize, weighted: bool) -> Work
where
    S::Iter: BackendIter,
{
    let backend = |place: usize| {
        let address = format!("10.{}.{}.{}:80", place >> 16, (place >> 8) & 255, place & 255);
        let weight = if weighted { weight(place) as usize } else { 1 };
        Backend::new_with_weight(&address, weight).expect("an address")
    };
    let selection = Arc::new(S::build(&(0..n).map(backend).collect::<BTreeSet<Backend>>()));
    let mut keys = Keys::new();
    repeated(move || selection.iter(&keys.next().to_le_bytes()).next().map(|backend| backend.weight))
}

fn main() {
    table::print(&PEERS.iter().map(|peer| peer.ours).collect::<Vec<_>>(), PEERS);
}
