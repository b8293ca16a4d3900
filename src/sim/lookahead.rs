//! What comes soon is fetched into the processor's caches beforehand. A large fleet does not fit in them, and a load
//! that has to wait for memory costs more than everything else that an event does. The queue knows what its next
//! pages hold: two pages ahead the backends are fetched, one page ahead what they will be done with and then the calls
//! of that, and a few events ahead what their clients know of those. A processor has only so many loads under way, so
//! this is done a little with each event and not a page at once. Where the next call goes is between two, if its
//! balancer can tell: both are fetched. Nothing here changes anything.

use super::engine::{World, kind};
use super::flight::Flight;
use super::queue::Event;
use crate::base::id::BackendId;
use crate::record::Sink;

/// Fewer backends than these fit in the caches anyway.
const LARGE: usize = 1_000;

/// As many events of a later page are looked at with each event of the present one: it may be shorter than they.
const AT_ONCE: usize = 3;
/// What belongs to an event is fetched so many events before.
const SOON: usize = 4;

/// How far the world has looked ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Pages turned when it last did.
    page: u64,
    /// Events looked at of each later page since then. What is left when a page is over is fetched by its use.
    seen: usize,
}

impl<S: Sink> World<'_, S> {
    /// An event was taken from the queue.
    #[inline(always)]
    pub(super) fn look_ahead(&mut self) {
        if self.backends.len() >= LARGE {
            self.look_further();
        }
    }

    #[inline(never)]
    fn look_further(&mut self) {
        let present = self.queue.page(0);
        if self.queue.turned() == self.ahead.page {
            present.iter().nth_back(SOON - 1).into_iter().for_each(|event| self.fetch_attempt(*event));
        } else {
            self.ahead = Ahead { page: self.queue.turned(), seen: 0 };
            present.iter().rev().take(SOON).for_each(|event| self.fetch_attempt(*event));
        }
        let (seen, next) = (self.ahead.seen, self.queue.page(1));
        self.queue.page(2).iter().skip(seen).take(AT_ONCE).for_each(|event| self.fetch_backend(*event));
        next.iter().skip(seen).take(AT_ONCE).for_each(|event| self.fetch_flight(*event));
        if let Some(fetched) = seen.checked_sub(next.len()) {
            next.iter().skip(fetched).take(AT_ONCE).for_each(|event| self.fetch_call(*event));
        }
        self.ahead.seen += AT_ONCE;
    }

    /// A call was born, and the next is known.
    #[inline(always)]
    pub(super) fn look_at_next_birth(&mut self) {
        if self.backends.len() >= LARGE {
            self.fetch_next_pick();
        }
    }

    #[inline(never)]
    fn fetch_next_pick(&self) {
        let Some(client) = self.clients.get(self.next_birth.client.index()) else { return };
        for address in client.channel.likely_next().into_iter().flatten() {
            self.backends[address.index()].prefetch();
            self.sink.prefetch(BackendId(address.0));
        }
    }

    fn fetch_backend(&self, event: Event) {
        match event.kind() {
            kind::DONE | kind::ARRIVE => {
                self.backends[event.entity() as usize].prefetch();
                self.sink.prefetch(BackendId(event.entity()));
            }
            _ => {}
        }
    }

    /// The attempt that an event is about.
    fn flight_of(&self, event: Event) -> Option<u32> {
        match event.kind() {
            kind::DONE => self.backends[event.entity() as usize].server.next_job(),
            kind::ARRIVE | kind::REPLY => Some(event.handle()),
            _ => None,
        }
    }

    fn fetch_flight(&self, event: Event) {
        if event.kind() == kind::DONE {
            self.backends[event.entity() as usize].server.prefetch_queue();
        }
        if let Some(flight) = self.flight_of(event) {
            self.flights.prefetch(flight);
        }
    }

    fn fetch_call(&self, event: Event) {
        if let Some(flight) = self.known_flight_of(event) {
            self.calls.prefetch(flight.call);
        }
    }

    fn fetch_attempt(&self, event: Event) {
        if let Some(flight) = self.known_flight_of(event) {
            self.clients[self.client_of(flight).index()].channel.prefetch(flight.attempt);
        }
    }

    fn known_flight_of(&self, event: Event) -> Option<&Flight> {
        self.flight_of(event).filter(|flight| self.flights.holds(*flight)).map(|flight| self.flights.at(flight))
    }
}
