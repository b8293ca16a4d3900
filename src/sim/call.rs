//! Calls, as the world knows them: from their birth until they have ended and nothing of them is under way.

use prefetch_index::prefetch_index;

use super::flight::Flights;
use crate::base::id::{CallId, ClientId};
use crate::base::time::Instant;
use crate::workload::birth::Birth;

/// A call: a cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct OpenCall {
    pub(super) born: Instant,
    pub(super) draw_key: u64,
    key: u64,
    pub(super) demand: f64,
    pub(super) call: CallId,
    pub(super) client: ClientId,
    pub(super) user: u32,
    /// The flight of the attempt that its client waits for.
    pub(super) flight: u32,
    pub(super) class: u16,
    /// Attempts under way, awaited or not.
    pub(super) under_way: u16,
    /// The client is done with it.
    pub(super) ended: bool,
    /// It was born in the measured stretch.
    pub(super) counted: bool,
    keyed: bool,
}

impl OpenCall {
    /// A call that has just been born.
    #[inline(always)]
    pub(super) fn new(call: CallId, birth: &Birth, user: u32, counted: bool) -> OpenCall {
        OpenCall {
            born: birth.at,
            draw_key: birth.draw_key,
            key: birth.key.unwrap_or(0),
            keyed: birth.key.is_some(),
            demand: birth.demand,
            call,
            client: birth.client,
            user,
            flight: Flights::NONE,
            class: birth.class,
            under_way: 0,
            ended: false,
            counted,
        }
    }

    /// Its key, if calls have keys.
    #[inline(always)]
    pub(super) fn key(&self) -> Option<u64> {
        self.keyed.then_some(self.key)
    }
}

/// All calls, in places that are used again.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    places: Vec<OpenCall>,
    free: Vec<u32>,
}

impl OpenCalls {
    #[inline(always)]
    pub(super) fn add(&mut self, open: OpenCall) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| self.grow());
        // The one place that writes it, so that it is written there and not copied.
        self.places[at as usize] = open;
        at
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        self.places.push(OpenCall::default());
        self.places.len() as u32 - 1
    }

    #[inline(always)]
    pub(super) fn at(&self, at: u32) -> &OpenCall {
        &self.places[at as usize]
    }

    #[inline(always)]
    pub(super) fn at_mut(&mut self, at: u32) -> &mut OpenCall {
        &mut self.places[at as usize]
    }

    /// The client is done with a call.
    #[inline(always)]
    pub(super) fn end(&mut self, at: u32) -> OpenCall {
        let open = &mut self.places[at as usize];
        open.ended = true;
        if open.under_way == 0 {
            self.free.push(at);
        }
        *open
    }

    /// An attempt of a call is no longer under way.
    #[inline(always)]
    pub(super) fn land(&mut self, at: u32) {
        let open = &mut self.places[at as usize];
        open.under_way -= 1;
        if open.ended && open.under_way == 0 {
            self.free.push(at);
        }
    }

    /// Soon to be looked at.
    pub(super) fn prefetch(&self, at: u32) {
        prefetch_index(self.places.as_slice(), at as usize);
    }

    /// All that have not ended, in the order of their births.
    pub(super) fn into_sorted(mut self) -> Vec<OpenCall> {
        self.places.retain(|open| !open.ended);
        self.places.sort_unstable_by_key(|open| open.call);
        self.places
    }
}
