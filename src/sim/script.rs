//! Effects at their instants.

use super::client::Message;
use super::engine::{World, kind};
use super::flight::Leg;
use super::queue::Event;
use super::server::Life;
use crate::backend::server::ErrorRule;
use crate::base::id::BackendId;
use crate::base::rand::{Chance, Purpose};
use crate::base::time::{Duration, Instant};
use crate::fault::effect::{Cause, CutMode, Effect, Side};
use crate::record::Sink;
use crate::record::event::Record;

impl<S: Sink> World<'_, S> {
    pub(super) fn on_effect(&mut self, number: u32) {
        let effect = self.script[number as usize].1.clone();
        self.sink.put(self.now, &Record::Effect { number });
        match effect {
            Effect::Down { backend, loud } => self.go_down(backend, loud),
            Effect::Up { backend } => self.come_up(backend),
            Effect::Drain { backend, grace } => self.begin_drain(backend, grace),
            Effect::Slow { backend, cause, factor } => {
                let all = &mut self.lasting.entry(backend).or_default().slow;
                stack(all, cause, factor);
                let product = all.iter().map(|(_, factor)| factor).product();
                self.backends[backend.index()].server.set_slow(self.now, product);
                self.arm_server(backend);
            }
            Effect::Capacity { backend, cause, fraction } => {
                let all = &mut self.lasting.entry(backend).or_default().capacity;
                stack(all, cause, fraction);
                let product = all.iter().map(|(_, fraction)| fraction).product();
                self.backends[backend.index()].server.set_workers(self.now, product);
                self.arm_server(backend);
                self.meter(backend);
            }
            Effect::Errors { backend, cause, law } => {
                let all = &mut self.lasting.entry(backend).or_default().errors;
                stack(all, cause, law);
                // The fault that came last speaks.
                let rule = all.last().map(|(_, law)| ErrorRule {
                    chance: Chance::new(law.probability),
                    status: law.status,
                    latency: law.latency,
                });
                self.backends[backend.index()].server.set_errors(rule);
            }
            Effect::Freeze { backend, cause, on } => self.set_frozen(backend, cause, on),
            Effect::Cut { cause, side, mode } => self.set_cut(cause, &side, mode),
            Effect::Loss { cause, side, probability } => self.network.set_loss(cause, &side, probability),
            Effect::Surge { cause, factor } => self.set_surge(cause, factor),
            Effect::MoveHotKeys { top } => self.births.move_hot_keys(top),
            Effect::DiscoveryOutage { on, .. } => {
                for (at, backend) in self.registry.set_outage(self.now, on) {
                    self.queue.push(Event::new(at, kind::REGISTRY, backend.0, 0));
                }
                self.note_weights();
                self.publish();
            }
            Effect::Announce { cause, backends, what } => {
                self.registry.announce(cause, &backends, what);
                self.note_weights();
                self.publish();
            }
        }
        self.testify_all();
    }

    /// Fair shares follow the weights that are announced.
    fn note_weights(&mut self) {
        for (backend, weight) in self.registry.take_reweighed() {
            self.sink.put(self.now, &Record::Weighed { backend, weight });
        }
    }

    fn go_down(&mut self, backend: BackendId, loud: bool) {
        let entry = &mut self.backends[backend.index()];
        if matches!(entry.life, Life::Down | Life::Silent) {
            return;
        }
        entry.life = if loud { Life::Down } else { Life::Silent };
        self.lasting.entry(backend).or_default().drained_at = Instant::NEVER;
        self.sink.put(self.now, &Record::Member { backend, up: false });
        self.lose_all(backend, loud);
        if loud {
            self.disconnect_all(backend);
        }
        if let Some(at) = self.registry.on_down(self.now, backend) {
            self.queue.push(Event::new(at, kind::REGISTRY, backend.0, 0));
        }
        self.publish();
    }

    fn come_up(&mut self, backend: BackendId) {
        let was = self.backends[backend.index()].life;
        match was {
            Life::Up => return,
            Life::Draining => self.go_down(backend, true),
            Life::Down => {}
            // Whoever still holds a connection from before learns now that it is dead.
            Life::Silent => self.disconnect_all(backend),
        }
        let entry = &mut self.backends[backend.index()];
        entry.life = Life::Up;
        entry.server.restart(self.now);
        self.restart_reports(backend);
        if was == Life::Silent {
            self.break_lost(|flight| flight.backend == backend);
        }
        self.sink.put(self.now, &Record::Member { backend, up: true });
        self.registry.on_up(self.now, backend);
        self.publish();
    }

    fn begin_drain(&mut self, backend: BackendId, grace: Duration) {
        let entry = &mut self.backends[backend.index()];
        if entry.life != Life::Up {
            return;
        }
        entry.life = Life::Draining;
        let at = self.now + grace;
        self.lasting.entry(backend).or_default().drained_at = at;
        self.queue.push(Event::new(at, kind::DRAINED, backend.0, 0));
        self.sink.put(self.now, &Record::Member { backend, up: false });
        self.registry.on_leave(backend);
        self.disconnect_all(backend);
        self.publish();
    }

    pub(super) fn on_drained(&mut self, backend: BackendId) {
        let due = self.lasting.get(&backend).is_some_and(|lasting| lasting.drained_at == self.now);
        if due && self.backends[backend.index()].life == Life::Draining {
            self.backends[backend.index()].life = Life::Down;
            self.lose_all(backend, true);
            if let Some(at) = self.registry.on_down(self.now, backend) {
                self.queue.push(Event::new(at, kind::REGISTRY, backend.0, 0));
            }
            self.testify(backend);
        }
    }

    /// Every client that can hear it learns that its connection to a backend is gone.
    fn disconnect_all(&mut self, backend: BackendId) {
        for client in 0..self.clients.len() {
            self.disconnect(client, backend);
        }
    }

    fn disconnect(&mut self, client: usize, backend: BackendId) {
        let (from, to) = (self.place(backend), self.clients[client].place);
        if self.network.cut(&from, &to) == Some(CutMode::Blackhole) {
            return;
        }
        let address = crate::base::id::Address(backend.0);
        if self.clients[client].channel.table().at(address).is_none() {
            return;
        }
        let delay = self.network.one_way(&from, &to, u64::from(backend.0), client as u32, Purpose::Inbound);
        self.tell(client, delay, Message::Disconnected(address));
    }

    fn set_frozen(&mut self, backend: BackendId, cause: Cause, on: bool) {
        let freezes = &mut self.lasting.entry(backend).or_default().freezes;
        freezes.retain(|by| *by != cause);
        if on {
            freezes.push(cause);
        }
        let frozen = !freezes.is_empty();
        let server = &mut self.backends[backend.index()].server;
        if frozen == server.is_frozen() {
            return;
        }
        server.set_frozen(self.now, frozen);
        self.arm_server(backend);
        self.set_mute(backend, frozen);
    }

    /// Keep-alives of a backend stop or come again.
    fn set_mute(&mut self, backend: BackendId, mute: bool) {
        let due = match mute {
            true => self.registry.on_mute(self.now, backend),
            false => self.registry.on_unmute(self.now, backend),
        };
        if let Some(at) = due {
            self.queue.push(Event::new(at, kind::REGISTRY, backend.0, 0));
        }
    }

    fn set_cut(&mut self, cause: Cause, side: &Side, mode: Option<CutMode>) {
        self.network.set_cut(cause, side, mode);
        for backend in (0..self.backends.len() as u32).map(BackendId) {
            let cut_off = self.network.is_cut_off(&self.place(backend));
            let before = self.lasting.get(&backend).is_some_and(|lasting| lasting.cut_off);
            if cut_off != before {
                self.lasting.entry(backend).or_default().cut_off = cut_off;
                self.set_mute(backend, cut_off);
            }
        }
        for client in &mut self.clients {
            client.deaf |= self.network.is_cut_off(&client.place);
        }
        if mode == Some(CutMode::Refuse) {
            self.break_across_cuts();
        }
        if mode.is_none() {
            self.heal();
        }
    }

    /// Connections across a cut that refuses are reset on both sides.
    fn break_across_cuts(&mut self) {
        for client in 0..self.clients.len() {
            for backend in (0..self.backends.len() as u32).map(BackendId) {
                if self.network.cut(&self.clients[client].place, &self.place(backend)) == Some(CutMode::Refuse) {
                    self.disconnect_now(client, backend);
                }
            }
        }
        let crossing: Vec<u32> = self
            .flights
            .each()
            .filter(|(_, flight)| {
                let (from, to) = (self.clients[self.client_of(flight).index()].place, self.place(flight.backend));
                self.network.cut(&from, &to) == Some(CutMode::Refuse)
            })
            .map(|(at, _)| at)
            .collect();
        for flight in crossing {
            self.break_flight(flight);
        }
    }

    fn disconnect_now(&mut self, client: usize, backend: BackendId) {
        let address = crate::base::id::Address(backend.0);
        if self.clients[client].channel.table().at(address).is_some() {
            self.tell(client, Duration::ZERO, Message::Disconnected(address));
        }
    }

    /// What a black hole swallowed is sent again by the transport once the way is free.
    fn heal(&mut self) {
        let lost: Vec<u32> = self
            .flights
            .each()
            .filter(|(_, flight)| matches!(flight.leg, Leg::LostOut | Leg::LostBack))
            .filter(|(_, flight)| {
                let (from, to) = (self.clients[self.client_of(flight).index()].place, self.place(flight.backend));
                self.network.cut(&from, &to).is_none() && !self.backends[flight.backend.index()].is_silent()
            })
            .map(|(at, _)| at)
            .collect();
        for at in lost {
            let flight = *self.flights.at(at);
            let (from, to) = (self.clients[self.client_of(&flight).index()].place, self.place(flight.backend));
            let out = flight.leg == Leg::LostOut;
            let leg = if out { Purpose::Outbound } else { Purpose::Inbound };
            let delay =
                self.network.one_way(&from, &to, self.calls.at(flight.call).draw_key, flight.attempt.number, leg);
            self.flights.at_mut(at).leg = if out { Leg::Out } else { Leg::Back };
            if out {
                self.testify_coming(at);
            }
            let to_whom = if out { flight.backend.0 } else { self.client_of(&flight).0 };
            let kind = if out { kind::ARRIVE } else { kind::REPLY };
            self.queue.push(Event::new(self.now + delay, kind, to_whom, at));
        }
        let at = self.now + self.registry.retry();
        self.queue.push(Event::new(at, kind::RELIST, 0, 0));
    }

    /// Attempts that vanished and are now known to be dead.
    fn break_lost(&mut self, which: impl Fn(&super::flight::Flight) -> bool) {
        let lost: Vec<u32> = self
            .flights
            .each()
            .filter(|(_, flight)| matches!(flight.leg, Leg::LostOut | Leg::LostBack) && which(flight))
            .map(|(at, _)| at)
            .collect();
        for flight in lost {
            self.break_flight(flight);
        }
    }

    fn set_surge(&mut self, cause: Cause, factor: Option<f64>) {
        stack(&mut self.surges, cause, factor);
        let product: f64 = self.surges.iter().map(|(_, factor)| factor).product();
        if let Some(at) = self.births.set_surge(self.now, product) {
            self.next_birth.at = at;
        }
    }

    pub(super) fn on_registry_due(&mut self, backend: BackendId) {
        if let Some(at) = self.registry.on_due(self.now, backend) {
            self.queue.push(Event::new(at, kind::REGISTRY, backend.0, 0));
        }
        self.publish();
    }

    /// Tells every client that can be reached of a change.
    pub(super) fn publish(&mut self) {
        if self.registry.is_out() || !self.registry.take_changed() {
            return;
        }
        self.list_version += 1;
        self.publish_again();
    }

    /// Whoever can reach the registry opens a broken watch again, and hears of what it missed.
    pub(super) fn on_relist(&mut self) {
        for client in &mut self.clients {
            client.deaf &= self.network.is_cut_off(&client.place);
        }
        self.publish_again();
    }

    /// Sends everybody who listens the whole list, though they may know it.
    pub(super) fn on_refresh(&mut self) {
        let Some(period) = self.registry.refresh() else { return };
        self.queue.push(Event::new(self.now + period, kind::REFRESH, 0, 0));
        if self.registry.is_out() {
            return;
        }
        let list = self.registry.list();
        let version = self.list_version;
        for client in 0..self.clients.len() {
            // As in [`World::publish_again`], the draw is made for everybody.
            let delay = self.registry.delay();
            if !self.clients[client].deaf {
                self.tell(client, delay, Message::List { version, list: list.clone(), again: true });
            }
        }
    }

    /// Tells everybody who listens and has not heard of the present list.
    fn publish_again(&mut self) {
        if self.registry.is_out() {
            return;
        }
        let list = self.registry.list();
        let version = self.list_version;
        for client in 0..self.clients.len() {
            // The draw is made for everybody, so that who is cut off moves nothing for the others.
            let delay = self.registry.delay();
            let told = self.clients[client].list_version >= version;
            if !told && !self.clients[client].deaf {
                self.tell(client, delay, Message::List { version, list: list.clone(), again: false });
            }
        }
    }
}

/// Sets or ends one lasting change among those that stack.
fn stack<T>(all: &mut Vec<(Cause, T)>, cause: Cause, value: Option<T>) {
    all.retain(|(by, _)| *by != cause);
    all.extend(value.map(|value| (cause, value)));
}
