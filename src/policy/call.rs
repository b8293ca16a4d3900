//! The open calls of a channel, in places that are used again.

use super::exchange::Start;
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

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) tag: u32,
    pub(super) state: State,
    pub(super) generation: u32,
    /// Attempts sent.
    pub(super) attempts: u32,
    pub(super) class: u16,
    pub(super) hash: Option<u64>,
    pub(super) random: u64,
    pub(super) deadline: Instant,
    /// Where the last attempt went.
    pub(super) last: Option<Address>,
    /// Endpoints on which it failed. Kept empty and allocated when the place is free.
    pub(super) tried: Vec<EndpointId>,
}

impl Call {
    /// The id of the attempt that is open.
    pub(super) fn attempt_id(&self, slot: u32) -> AttemptId {
        AttemptId { slot, generation: self.generation, number: self.attempts - 1 }
    }
}

/// All open calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    places: Vec<Call>,
    free: Vec<u32>,
}

impl Calls {
    /// Opens a call. Hands out its place and the generation of that place.
    #[inline(always)]
    pub(super) fn open(&mut self, start: &Start, deadline: Instant) -> (u32, u32) {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let call = &mut self.places[slot as usize];
        call.id = start.call;
        call.tag = start.tag;
        call.state = State::Between;
        call.attempts = 0;
        call.class = start.class;
        call.hash = start.hash;
        call.random = start.random;
        call.deadline = deadline;
        call.last = None;
        (slot, call.generation)
    }

    fn grow(&mut self) -> u32 {
        self.places.push(Call {
            id: CallId(0),
            tag: 0,
            state: State::Free,
            generation: 0,
            attempts: 0,
            class: 0,
            hash: None,
            random: 0,
            deadline: Instant::NEVER,
            last: None,
            tried: Vec::new(),
        });
        self.places.len() as u32 - 1
    }

    /// Frees a place. Hands out what was there.
    #[inline(always)]
    pub(super) fn close(&mut self, slot: u32) -> &Call {
        let call = &mut self.places[slot as usize];
        call.state = State::Free;
        call.generation = call.generation.wrapping_add(1);
        call.tried.clear();
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

    /// True if this place still holds the call of this generation.
    #[inline(always)]
    pub(super) fn is_open(&self, slot: u32, generation: u32) -> bool {
        self.places.get(slot as usize).is_some_and(|call| call.generation == generation && call.state != State::Free)
    }

    /// The same, and it waits until somebody is ready.
    pub(super) fn is_waiting(&self, slot: u32, generation: u32) -> bool {
        self.is_open(slot, generation) && self.places[slot as usize].state == State::Waiting
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
