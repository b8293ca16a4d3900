//! What a pick may know about a call. Never its demand: that is the server's secret until the reply.

use crate::base::id::EndpointId;
use crate::base::time::Instant;

/// A call, as a balancer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Hash of the call's key; a call without a key has none, and hashing balancers then use `random`.
    pub hash: Option<u64>,
    /// A number that belongs to this call and attempt, for calls without a key.
    pub random: u64,
    /// Class of the call in the mix, from 0.
    pub class: u16,
    /// 0 for the first attempt.
    pub attempt: u32,
    /// Endpoints that this call has already tried; the channel picks again when one of them is picked while
    /// another is ready.
    pub tried: &'a [EndpointId],
    /// When the application stops waiting.
    pub deadline: Instant,
}

impl Request<'_> {
    /// A first attempt without key, deadline or history: for tests and for balancers that look at none of it.
    pub fn plain() -> Request<'static> {
        Request { hash: None, random: 0, class: 0, attempt: 0, tried: &[], deadline: Instant::NEVER }
    }

    /// The hash to route by: the key's, or the call's own random number.
    pub fn hash_or_random(&self) -> u64 {
        self.hash.unwrap_or(self.random)
    }
}
