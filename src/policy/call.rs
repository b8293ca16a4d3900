//! The open calls of a channel, in places that are used again.

use prefetch_index::prefetch_index;

use super::endpoints::MOST_OPEN;
use super::exchange::Start;
use super::request::Request;
use crate::base::id::{Address, AttemptId, CallId, EndpointId};
use crate::base::time::Instant;

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its place is free.
    Free,
    /// No attempt is open: it waits for its next, or to be completed.
    Between,
    /// It waits until somebody is ready.
    Waiting,
    /// An attempt waits for the connection of its endpoint.
    Pending {
        /// Which.
        endpoint: EndpointId,
        /// Since when.
        since: Instant,
        /// It counts as open.
        counts: bool,
    },
    /// An attempt is open.
    Sent {
        /// On which endpoint.
        endpoint: EndpointId,
        /// Where that is.
        address: Address,
        /// Since when.
        at: Instant,
    },
}

/// One call: a cache line. What only a pick asks of it is an [`Ask`].
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Call {
    pub(super) state: State,
    pub(super) id: CallId,
    pub(super) tag: u32,
    pub(super) generation: u32,
    /// Attempts that were sent, or are [pending](State::Pending) or were in vain.
    pub(super) attempts: u32,
    /// Where the last attempt went.
    pub(super) last: Option<Address>,
    /// Some attempt has failed.
    failed: bool,
}

impl Call {
    /// The id of the attempt that is open.
    #[inline(always)]
    pub(super) fn attempt_id(&self, slot: u32) -> AttemptId {
        AttemptId { slot, generation: self.generation, number: self.attempts - 1 }
    }
}

/// What a pick asks of a call. Most calls are picked for once, as they start, and need none.
#[derive(Debug, Default)]
struct Ask {
    class: u16,
    hash: Option<u64>,
    random: u64,
    deadline: Instant,
    /// Endpoints on which it failed. Kept empty and allocated when the place is free.
    tried: Vec<EndpointId>,
}

/// All open calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    places: Vec<Call>,
    asks: Vec<Ask>,
    free: Vec<u32>,
}

impl Calls {
    /// Opens a call. Hands out its place and the generation of that place.
    #[inline(always)]
    pub(super) fn open(&mut self, start: &Start) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let call = &mut self.places[slot as usize];
        call.id = start.call;
        call.tag = start.tag;
        call.state = State::Between;
        call.attempts = 0;
        call.last = None;
        (slot, call.generation)
    }

    /// Keeps what later picks are told of a call.
    pub(super) fn keep(&mut self, slot: u32, first: &Request<'_>) {
        if self.asks.len() <= slot as usize {
            self.asks.resize_with(self.places.len(), Ask::default);
        }
        let ask = &mut self.asks[slot as usize];
        ask.class = first.class;
        ask.hash = first.hash;
        ask.random = first.random;
        ask.deadline = first.deadline;
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let slot = new_slot(self.places.len());
        let state = State::Free;
        self.places.push(Call { state, id: CallId(0), tag: 0, generation: 0, attempts: 0, last: None, failed: false });
        slot
    }

    /// What a pick after the first is told of a call that was [kept](Self::keep).
    #[inline(always)]
    pub(super) fn request(&self, slot: u32) -> Request<'_> {
        let ask = &self.asks[slot as usize];
        Request {
            hash: ask.hash,
            random: ask.random,
            class: ask.class,
            attempt: self.places[slot as usize].attempts,
            tried: &ask.tried,
            deadline: ask.deadline,
        }
    }

    /// An attempt failed on an endpoint.
    pub(super) fn failed_on(&mut self, slot: u32, endpoint: EndpointId) {
        self.places[slot as usize].failed = true;
        self.asks[slot as usize].tried.push(endpoint);
    }

    /// Frees a place. Hands out what was there.
    #[inline(always)]
    pub(super) fn close(&mut self, slot: u32) -> &Call {
        let call = &mut self.places[slot as usize];
        call.state = State::Free;
        call.generation = call.generation.wrapping_add(1);
        if std::mem::take(&mut call.failed) {
            self.asks[slot as usize].tried.clear();
        }
        self.free.push(slot);
        call
    }

    #[inline(always)]
    pub(super) fn at(&self, slot: u32) -> &Call {
        &self.places[slot as usize]
    }

    #[inline(always)]
    pub(super) fn at_mut(&mut self, slot: u32) -> &mut Call {
        &mut self.places[slot as usize]
    }

    /// Soon to be looked at.
    pub(super) fn prefetch(&self, slot: u32) {
        prefetch_index(self.places.as_slice(), slot as usize);
    }

    /// True if this place still holds the call of this generation.
    #[inline(always)]
    pub(super) fn is_open(&self, slot: u32, generation: u32) -> bool {
        self.places.get(slot as usize).is_some_and(|call| call.generation == generation && call.state != State::Free)
    }

    /// The same, and it waits until somebody is ready.
    pub(super) fn is_waiting(&self, slot: u32, generation: u32) -> bool {
        self.is_open(slot, generation) && self.places[slot as usize].state == State::Waiting
    }

    /// Whose connection the call of this generation waits for, and whether it counts there as open.
    pub(super) fn pending_on(&self, slot: u32, generation: u32) -> Option<(EndpointId, bool)> {
        match self.places[slot as usize].state {
            State::Pending { endpoint, counts, .. } if self.is_open(slot, generation) => Some((endpoint, counts)),
            _ => None,
        }
    }

    /// True if this attempt is the open one of its call.
    #[inline(always)]
    pub(super) fn is_current(&self, attempt: AttemptId) -> bool {
        self.is_open(attempt.slot, attempt.generation) && {
            let call = &self.places[attempt.slot as usize];
            matches!(call.state, State::Sent { .. }) && call.attempts == attempt.number + 1
        }
    }

    /// The place of a call.
    pub(super) fn find(&self, id: CallId) -> Option<u32> {
        let at = self.places.iter().position(|call| call.id == id && call.state != State::Free)?;
        Some(at as u32)
    }

    /// Number of open calls.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

/// The place after so many that are taken.
///
/// # Panics
/// With 16 million calls open, gigabytes of them: what is open on an endpoint is counted up to there.
fn new_slot(taken: usize) -> u32 {
    assert!(taken < MOST_OPEN as usize, "a client has {MOST_OPEN} calls open, and that is the most");
    taken as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_cache_line() {
        assert_eq!(size_of::<Call>(), 64);
    }

    #[test]
    #[should_panic = "16777215 calls open, and that is the most"]
    fn no_more_calls_are_open_than_can_be_counted() {
        assert_eq!(new_slot((MOST_OPEN - 1) as usize), MOST_OPEN - 1);
        new_slot(MOST_OPEN as usize);
    }
}
