//! What comes soon is fetched into the processor's caches beforehand. A large fleet does not fit in them, and a load
//! that has to wait for memory costs more than everything else that an event does. The queue knows what its next
//! pages hold: two pages ahead the backends are fetched, one page ahead what they will be done with, and what belongs
//! to that as its page begins. Nothing here changes anything.

use super::engine::{World, kind};
use super::queue::Event;
use crate::base::id::BackendId;
use crate::record::Sink;

/// Fewer backends than these fit in the caches anyway.
const LARGE: usize = 1_000;

impl<S: Sink> World<'_, S> {
    /// A page of the queue has begun.
    #[inline(never)]
    pub(super) fn look_ahead(&mut self) {
        self.looked_ahead = self.queue.turned();
        if self.backends.len() < LARGE {
            return;
        }
        self.queue.page(2).iter().for_each(|event| self.fetch_backend(*event));
        self.queue.page(1).iter().for_each(|event| self.fetch_flight(*event));
        self.queue.page(0).iter().for_each(|event| self.fetch_call(*event));
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
        if let Some(flight) = self.flight_of(event).filter(|flight| self.flights.holds(*flight)) {
            let flight = self.flights.at(flight);
            self.calls.prefetch(flight.call);
            self.clients[flight.client.index()].channel.prefetch(flight.attempt);
        }
    }
}
