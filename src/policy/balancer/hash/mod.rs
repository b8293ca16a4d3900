//! Key affinity: calls with the same key go to the same endpoint, and few keys move when endpoints come and go.
//!
//! The tables that say who owns which part of the hash space depend on names and weights alone, never on the
//! client, so clients that list the same endpoints share one ([`shared::Shared`]). A call without a key is routed
//! by its own random number: no stickiness, and no draw from the balancer's stream.

pub mod bounded_load;
pub mod hash_ring_vnodes;
mod loads;
pub mod maglev;
pub mod owners;
pub mod ring_hash;
pub mod shared;
