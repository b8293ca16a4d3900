//! Servers in the virtual world: attempts go in, answers come out.

use std::sync::Arc;

use prefetch_index::prefetch_index;

use super::engine::{World, kind};
use super::flight::Leg;
use super::link::Place;
use super::queue::Event;
use super::reports::PROBE_JOB;
use crate::backend::server::{Arrival, Kind, Offered, Server};
use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::rand::Purpose;
use crate::base::status::{Cause, Failure, Outcome};
use crate::base::time::{Duration, Instant};
use crate::fault::effect::{self, CutMode};
use crate::record::Sink;
use crate::record::event::Record;
use crate::scenario::plan::Plan;

/// What a backend is, besides how it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It serves.
    Up,
    /// It serves what it has and what still comes, and takes no new connection.
    Draining,
    /// Its host is there and refuses.
    Down,
    /// Nobody is there to refuse.
    Silent,
}

/// A backend: two cache lines, so that a large fleet stays small. What only faults touch is a [`Lasting`].
#[repr(align(64))]
pub(super) struct Backend {
    pub(super) server: Server,
    pub(super) life: Life,
    /// When its next completion is armed; [`Instant::NEVER`] if it is not.
    armed: Instant,
    zone: ZoneId,
    region: RegionId,
}

/// What faults left on a backend, each with the fault that did it.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) slow: Vec<(effect::Cause, f64)>,
    pub(super) capacity: Vec<(effect::Cause, f64)>,
    pub(super) freezes: Vec<effect::Cause>,
    pub(super) errors: Vec<(effect::Cause, effect::ErrorLaw)>,
    /// When it is down for good after a drain.
    pub(super) drained_at: Instant,
    /// It is in a cut that keeps it from the registry.
    pub(super) cut_off: bool,
}

impl Default for Lasting {
    fn default() -> Lasting {
        Lasting {
            slow: Vec::new(),
            capacity: Vec::new(),
            freezes: Vec::new(),
            errors: Vec::new(),
            drained_at: Instant::NEVER,
            cut_off: false,
        }
    }
}

impl Backend {
    pub(super) fn all(plan: &Plan) -> Vec<Backend> {
        let kinds: Vec<Arc<Kind>> = plan.backends.iter().map(|group| Kind::new(&group.profile)).collect();
        let mut all = Vec::with_capacity(plan.backend_count() as usize);
        for (group, kind) in plan.backends.iter().zip(&kinds) {
            for number in 0..group.capacity {
                all.push(Backend {
                    server: Server::new(kind),
                    life: if number < group.count { Life::Up } else { Life::Silent },
                    armed: Instant::NEVER,
                    zone: group.zone,
                    region: plan.region_of(group.zone),
                });
            }
        }
        all
    }

    /// Where it is; `id` is its own.
    #[inline(always)]
    pub(super) fn place(&self, id: BackendId) -> Place {
        Place { zone: self.zone, region: self.region, backend: Some(id) }
    }

    /// Soon to be looked at: both lines of it.
    pub(super) fn prefetch(&self) {
        prefetch_index(std::slice::from_ref(&self.life), 0);
        self.server.prefetch();
    }

    /// It is there and moves.
    #[inline(always)]
    pub(super) fn answers(&self) -> bool {
        matches!(self.life, Life::Up | Life::Draining) && !self.server.is_frozen()
    }

    /// It takes new connections; a frozen process' kernel does.
    pub(super) fn accepts(&self) -> bool {
        self.life == Life::Up
    }

    pub(super) fn is_silent(&self) -> bool {
        self.life == Life::Silent
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.server.is_frozen()
    }
}

impl<S: Sink> World<'_, S> {
    /// Where a backend is.
    #[inline(always)]
    pub(super) fn place(&self, backend: BackendId) -> Place {
        self.backends[backend.index()].place(backend)
    }

    /// An attempt that was on its way reaches its backend.
    #[inline]
    pub(super) fn on_come(&mut self, flight: u32) {
        if self.reports.is_some() {
            self.testify_come(flight);
        }
        self.on_arrive(flight);
    }

    /// An attempt reaches its backend.
    #[inline(always)]
    pub(super) fn on_arrive(&mut self, flight: u32) {
        let entry = self.flights.at_mut(flight);
        if entry.is_forgotten() {
            // Its client had gone and the news of that came before it.
            return self.land(flight);
        }
        let id = entry.backend;
        let open = self.calls.at(entry.call);
        let arrival = Arrival {
            job: flight,
            draw_key: open.draw_key,
            attempt: entry.attempt.number,
            key: open.key(),
            demand: open.demand,
        };
        let backend = &mut self.backends[id.index()];
        match backend.life {
            Life::Up | Life::Draining => {}
            Life::Silent => {
                entry.leg = Leg::LostOut;
                return;
            }
            Life::Down => return self.travel_back(flight, Duration::ZERO, Err(Failure::of(Cause::Connection))),
        }
        match backend.server.offer(self.now, &arrival) {
            Offered::Inside => {
                entry.leg = Leg::Inside;
                self.put_arrived(id);
                if self.reports.is_some() {
                    self.note_arrival(id, flight);
                }
                self.arm_server(id);
            }
            Offered::Full => self.refuse(flight, id, Duration::ZERO, Failure::of(Cause::QueueFull)),
            Offered::Fails { status, after } => {
                self.put_arrived(id);
                self.refuse(flight, id, after, Failure::backend(status));
            }
        }
    }

    /// An attempt is answered without having been inside.
    fn refuse(&mut self, flight: u32, backend: BackendId, after: Duration, failure: Failure) {
        if self.reports.is_some() {
            self.note_refusal(backend, flight);
        }
        self.travel_back(flight, after, Err(failure));
    }

    #[inline(always)]
    fn put_arrived(&mut self, backend: BackendId) {
        let server = &mut self.backends[backend.index()].server;
        let (waiting, inside, looked) = (server.waiting(), server.inside(), server.take_looked());
        self.sink.put(self.now, &Record::Arrived { backend, waiting, inside });
        if let Some(hit) = looked {
            self.sink.put(self.now, &Record::Looked { backend, hit });
        }
    }

    /// Something changed in a server: arms its next completion, if that is sooner than the one that is armed.
    #[inline(always)]
    pub(super) fn arm_server(&mut self, backend: BackendId) {
        let entry = &mut self.backends[backend.index()];
        let at = entry.server.next_done();
        if at < entry.armed {
            entry.armed = at;
            self.queue.push(Event::new(at, kind::DONE, backend.0, 0));
        }
    }

    /// The next call of a backend is done, unless things have changed meanwhile.
    #[inline(always)]
    pub(super) fn on_done(&mut self, backend: BackendId) {
        let entry = &mut self.backends[backend.index()];
        if entry.armed != self.now {
            return;
        }
        entry.armed = Instant::NEVER;
        if entry.server.next_done() != self.now {
            return self.arm_server(backend);
        }
        let finished = entry.server.finish(self.now);
        let looked = entry.server.take_looked();
        self.arm_server(backend);
        if self.reports.is_some() {
            if finished.job & PROBE_JOB != 0 {
                return self.on_probe_served(backend, &finished);
            }
            self.note_served(backend, &finished);
        }
        let gone = self.flights.at(finished.job).gone;
        self.sink.put(self.now, &Record::Served { backend, busy: finished.busy, wasted: gone });
        if let Some(hit) = looked {
            self.sink.put(self.now, &Record::Looked { backend, hit });
        }
        if gone {
            return self.land(finished.job);
        }
        let outcome = finished.error.map_or(Ok(()), |status| Err(Failure::backend(status)));
        match self.travel_back_after(finished.job, Duration::ZERO, outcome) {
            // Nothing lies between: the answer is there, and needs no event of its own.
            Some(at) if at == self.now => self.reply(finished.job, self.flights.at(finished.job).outcome),
            Some(at) => self.push_reply(at, finished.job),
            None => {}
        }
    }

    fn travel_back(&mut self, flight: u32, after: Duration, outcome: Outcome) {
        if let Some(at) = self.travel_back_after(flight, after, outcome) {
            self.push_reply(at, flight);
        }
    }

    fn push_reply(&mut self, at: Instant, flight: u32) {
        let client = self.client_of(self.flights.at(flight));
        self.queue.push(Event::new(at, kind::REPLY, client.0, flight));
    }

    /// An answer sets out after a while. Hands out when it arrives, if it does.
    #[inline(always)]
    fn travel_back_after(&mut self, flight: u32, after: Duration, outcome: Outcome) -> Option<Instant> {
        let entry = self.flights.at_mut(flight);
        entry.leg = Leg::Back;
        entry.outcome = outcome;
        if let Some(way) = self.network.every_way() {
            return Some(self.now + after + way);
        }
        let open = self.calls.at(entry.call);
        let (attempt, draw_key, client) = (entry.attempt.number, open.draw_key, open.client);
        let (from, to) =
            (self.backends[entry.backend.index()].place(entry.backend), self.clients[client.index()].place);
        match self.network.cut(&from, &to) {
            None => {}
            Some(CutMode::Blackhole) => {
                self.flights.at_mut(flight).leg = Leg::LostBack;
                return None;
            }
            Some(CutMode::Refuse) => self.flights.at_mut(flight).outcome = Err(Failure::of(Cause::Connection)),
        }
        let way = self.network.one_way(&from, &to, draw_key, attempt, Purpose::Inbound);
        Some(self.now + after + way)
    }

    /// The news that a client has gone reaches the backend.
    pub(super) fn on_cancel_arrives(&mut self, flight: u32) {
        if !self.flights.at_mut(flight).take_news(self.now) {
            return;
        }
        let entry = *self.flights.at(flight);
        if entry.leg != Leg::Inside {
            return;
        }
        let backend = entry.backend;
        if let Some(busy) = self.backends[backend.index()].server.cancel(self.now, flight) {
            self.put_lost_work(backend, busy);
            self.land(flight);
            self.arm_server(backend);
            self.meter(backend);
        }
    }

    /// A worker was held for an attempt that nobody gets.
    fn put_lost_work(&mut self, backend: BackendId, busy: Duration) {
        if !busy.is_zero() {
            self.sink.put(self.now, &Record::Served { backend, busy, wasted: true });
        }
        if let Some(hit) = self.backends[backend.index()].server.take_looked() {
            self.sink.put(self.now, &Record::Looked { backend, hit });
        }
    }

    /// What is inside is lost. Loud: every client learns that its connection broke.
    pub(super) fn lose_all(&mut self, backend: BackendId, loud: bool) {
        let lost = self.backends[backend.index()].server.lose_all(self.now);
        self.meter(backend);
        for (flight, busy) in lost {
            self.put_lost_work(backend, busy);
            if flight & PROBE_JOB != 0 {
                self.lose_probe(flight);
            } else if self.flights.at(flight).gone {
                self.land(flight);
            } else if loud {
                self.travel_back(flight, Duration::ZERO, Err(Failure::of(Cause::Connection)));
            } else {
                self.flights.at_mut(flight).leg = Leg::LostOut;
            }
        }
    }
}
