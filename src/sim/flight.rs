//! Attempts under way, in places that are used again.

use prefetch_index::prefetch_index;

use crate::base::id::{AttemptId, BackendId};
use crate::base::status::Outcome;
use crate::base::time::{Duration, Instant};

/// Where an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    /// The place is free.
    Free,
    /// On its way to the backend.
    Out,
    /// Inside the backend.
    Inside,
    /// On its way back, with its outcome.
    Back,
    /// Vanished on its way to the backend.
    LostOut,
    /// Its answer vanished.
    LostBack,
}

/// One attempt: half a cache line. What it shares with its call stands in [`super::call::OpenCall`].
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Flight {
    pub(super) leg: Leg,
    /// The client no longer waits for it.
    pub(super) gone: bool,
    pub(super) outcome: Outcome,
    pub(super) backend: BackendId,
    pub(super) attempt: AttemptId,
    /// The place of its call.
    pub(super) call: u32,
    /// When it was sent. Once the client has gone: when the news of that reaches the backend, or [`Instant::NEVER`] if
    /// none is on its way.
    at: Instant,
}

impl Flight {
    const FREE: Flight = Flight {
        leg: Leg::Free,
        gone: false,
        outcome: Ok(()),
        backend: BackendId(0),
        attempt: AttemptId { slot: 0, generation: 0, number: 0 },
        call: 0,
        at: Instant::ZERO,
    };

    /// An attempt that sets out.
    #[inline(always)]
    pub(super) fn new(now: Instant, attempt: AttemptId, call: u32, backend: BackendId) -> Flight {
        Flight { leg: Leg::Out, gone: false, outcome: Ok(()), backend, attempt, call, at: now }
    }

    /// How long ago it was sent, while its client waits for it.
    #[inline(always)]
    pub(super) fn took(&self, now: Instant) -> Duration {
        debug_assert!(!self.gone, "nobody asks how long it took");
        now - self.at
    }

    /// The client no longer waits, and no news of that is on its way.
    pub(super) fn abandon(&mut self) {
        self.gone = true;
        self.at = Instant::NEVER;
    }

    /// The news that the client has gone is on its way.
    pub(super) fn cancel_at(&mut self, at: Instant) {
        debug_assert!(self.gone, "news of somebody who is there");
        self.at = at;
    }

    /// The client has gone, and no news of that is on its way.
    #[inline(always)]
    pub(super) fn is_forgotten(&self) -> bool {
        self.gone && self.at == Instant::NEVER
    }

    /// Takes the news that the client has gone, if it is that which arrives now.
    pub(super) fn take_news(&mut self, now: Instant) -> bool {
        let arrives = self.gone && self.at == now;
        if arrives {
            self.at = Instant::NEVER;
        }
        arrives
    }
}

/// All attempts under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    places: Vec<Flight>,
    free: Vec<u32>,
}

impl Flights {
    /// No flight.
    pub(super) const NONE: u32 = u32::MAX;

    #[inline(always)]
    pub(super) fn add(&mut self, flight: Flight) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| self.grow());
        // The one place that writes it, so that it is written there and not copied.
        self.places[at as usize] = flight;
        at
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        self.places.push(Flight::FREE);
        self.places.len() as u32 - 1
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, at: u32) {
        let flight = &mut self.places[at as usize];
        debug_assert_ne!(flight.leg, Leg::Free, "an attempt ends once");
        flight.leg = Leg::Free;
        flight.gone = false;
        self.free.push(at);
    }

    #[inline(always)]
    pub(super) fn at(&self, at: u32) -> &Flight {
        &self.places[at as usize]
    }

    #[inline(always)]
    pub(super) fn at_mut(&mut self, at: u32) -> &mut Flight {
        &mut self.places[at as usize]
    }

    /// Whether a place was ever given away.
    pub(super) fn holds(&self, at: u32) -> bool {
        (at as usize) < self.places.len()
    }

    /// Soon to be looked at.
    pub(super) fn prefetch(&self, at: u32) {
        prefetch_index(self.places.as_slice(), at as usize);
    }

    /// All that are under way, in order of place.
    pub(super) fn each(&self) -> impl Iterator<Item = (u32, &Flight)> {
        let places = self.places.iter().enumerate().map(|(at, flight)| (at as u32, flight));
        places.filter(|(_, flight)| flight.leg != Leg::Free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_call_touches_is_cut_to_cache_lines() {
        assert_eq!(size_of::<Flight>(), 32);
        assert_eq!(size_of::<crate::sim::call::OpenCall>(), 64);
        assert_eq!(size_of::<crate::sim::server::Backend>(), 128);
    }

    #[test]
    fn the_news_that_a_client_has_gone_is_taken_once_and_only_when_it_arrives() {
        let at = Instant::from_nanos;
        let attempt = AttemptId { slot: 0, generation: 0, number: 0 };
        let mut flight = Flight::new(at(5), attempt, 0, BackendId(0));
        assert_eq!(flight.took(at(9)), Duration::from_nanos(4));
        assert!(!flight.take_news(at(5)) && !flight.is_forgotten(), "its client is there");
        flight.abandon();
        assert!(flight.is_forgotten() && !flight.take_news(at(5)), "nobody tells the backend");
        flight.cancel_at(at(20));
        assert!(!flight.is_forgotten(), "the backend will be told");
        assert!(!flight.take_news(at(19)), "of somebody who had this place before");
        assert!(flight.take_news(at(20)) && flight.is_forgotten());
        assert!(!flight.take_news(at(20)), "it is told once");
    }
}
