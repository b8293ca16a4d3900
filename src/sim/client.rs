//! Channels in the virtual world: messages become inputs, actions become messages.

use std::sync::Arc;

use super::call::OpenCall;
use super::engine::{World, kind};
use super::flight::{Flight, Flights, Leg};
use super::link::{CONNECT_TIMEOUT, Place};
use super::queue::Event;
use super::reports;
use crate::base::id::{Address, AttemptId, BackendId, ClientId};
use crate::base::load::LoadReport;
use crate::base::metadata::Metadata;
use crate::base::rand::{Purpose, Seed, mix};
use crate::base::status::{Cause, Failure, Outcome};
use crate::base::time::{Duration, Instant};
use crate::fault::effect::CutMode;
use crate::policy::balancer::catalog::{Context, Tables};
use crate::policy::channel::{Action, Channel, Input, Start};
use crate::policy::endpoints::Listing;
use crate::policy::health::Probe;
use crate::policy::truth::Truth;
use crate::record::Sink;
use crate::record::event::Record;
use crate::scenario::plan::{ClientGroup, Plan};
use crate::workload::keys;

/// A client.
pub(super) struct Client {
    pub(super) channel: Channel,
    pub(super) place: Place,
    /// When its wake-up is armed; [`Instant::NEVER`] if it is not.
    pub(super) armed: Instant,
    pub(super) list_version: u64,
    /// Its watch of the registry is broken, and not open again yet.
    pub(super) deaf: bool,
    /// Number of messages that it has sent besides attempts: where their draws come from.
    sent: u64,
    key: u64,
}

impl Client {
    pub(super) fn new(
        plan: &Plan,
        contender: usize,
        id: ClientId,
        group: &ClientGroup,
        seed: &Seed,
        (asks, tables, truth): (&Arc<[Metadata]>, &Tables, &Truth),
    ) -> Client {
        let region = plan.region_of(group.zone);
        let mean = |zone| plan.delay(group.zone, crate::base::id::ZoneId(zone)).mean().unwrap_or(Duration::MAX);
        let context = Context {
            seed: seed.child(&format!("client/{}", id.0)),
            client: id,
            clients: plan.client_count(),
            zone: group.zone,
            region,
            distances: (0..plan.zones.len() as u16).map(mean).collect(),
            retries: 0,
            asks: asks.clone(),
            tables: tables.clone(),
            truth: truth.clone(),
        };
        Client {
            channel: Channel::new(&plan.contenders[contender].channel, &context),
            place: Place { zone: group.zone, region, backend: None },
            armed: Instant::NEVER,
            list_version: 0,
            deaf: false,
            sent: 0,
            key: context.seed.number("messages"),
        }
    }

    pub(super) fn draw_key(&mut self) -> u64 {
        self.sent += 1;
        mix(self.key ^ mix(self.sent))
    }
}

/// What reaches a client besides replies.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// A list of endpoints.
    List { version: u64, list: Arc<[Listing]>, again: bool },
    /// A connection is there.
    Connected(Address),
    /// A connection could not be made.
    ConnectFailed(Address),
    /// A connection broke.
    Disconnected(Address),
    /// A probe is on its way or was answered.
    Probe { probe: Probe, address: Address, client: ClientId, sent: Instant, ok: bool, load: Option<LoadReport> },
    /// A client wants to hear what a backend says by itself.
    Watch { address: Address, client: ClientId },
    /// A load report out of band.
    Report { address: Address, load: LoadReport },
    /// A backend has nothing to do.
    Idle(Address),
    /// The place is free.
    Free,
}

/// Messages under way.
#[derive(Debug, Default)]
pub(super) struct Messages {
    places: Vec<Message>,
    free: Vec<u32>,
}

impl Messages {
    pub(super) fn add(&mut self, message: Message) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.places[at as usize] = message;
                at
            }
            None => {
                self.places.push(message);
                self.places.len() as u32 - 1
            }
        }
    }

    pub(super) fn take(&mut self, at: u32) -> Message {
        self.free.push(at);
        std::mem::replace(&mut self.places[at as usize], Message::Free)
    }
}

impl<S: Sink> World<'_, S> {
    pub(super) fn begin_client(&mut self, client: usize, list: Arc<[Listing]>) {
        self.input(client, Input::Begin(list));
    }

    /// Feeds one input, drains all actions, keeps the wake-up armed: a world's whole duty.
    pub(super) fn input(&mut self, client: usize, input: Input) {
        self.clients[client].channel.on_input(self.now, input);
        self.drain(client);
    }

    /// Carries out what a channel wants done, and arms its wake-up if it is not armed early enough.
    #[inline(always)]
    pub(super) fn drain(&mut self, client: usize) {
        while self.act(client) {}
        let entry = &mut self.clients[client];
        let at = entry.channel.next_timeout();
        if at < entry.armed {
            entry.armed = at;
            self.queue.push(Event::new(at, kind::TIMER, client as u32, 0));
        }
    }

    /// Carries out the next action, if there is one. True if there are more: what an action leads to is an input of
    /// its own, and whoever feeds that drains what comes of it.
    #[inline(always)]
    fn act(&mut self, client: usize) -> bool {
        let channel = &mut self.clients[client].channel;
        let Some(action) = channel.next_action() else { return false };
        match *action {
            Action::Send { attempt, tag, address, .. } => {
                let more = channel.drop_action();
                self.send(client, attempt, tag, address);
                more
            }
            Action::Complete { tag, outcome, attempts, address, .. } => {
                let more = channel.drop_action();
                self.complete(tag, outcome, attempts, address);
                more
            }
            other => {
                let more = channel.drop_action();
                self.act_rarely(client, other);
                more
            }
        }
    }

    /// Actions that are not of every call.
    #[inline(never)]
    fn act_rarely(&mut self, client: usize, action: Action) {
        match action {
            Action::Cancel { attempt, tag, .. } => self.cancel(client, attempt, tag),
            Action::Connect(address) => self.connect(client, address),
            Action::Probe { probe, address } => self.probe(client, probe, address),
            Action::Watch(address) => self.watch(client, address),
            // The registries that exist so far push every change by themselves.
            Action::Resolve => {}
            Action::Send { .. } | Action::Complete { .. } => unreachable!("handled where calls are"),
        }
    }

    #[inline(always)]
    pub(super) fn start_call(&mut self, open: OpenCall, deadline: Option<Duration>) {
        let client = open.client;
        let start = Start {
            call: open.call,
            tag: self.calls.add(open),
            hash: open.key().map(keys::hash_of),
            random: mix(open.draw_key ^ Purpose::HashKey as u64),
            class: open.class,
            deadline,
        };
        let client = client.index();
        self.clients[client].channel.start(self.now, &start);
        self.drain(client);
    }

    #[inline(always)]
    fn send(&mut self, client: usize, attempt: AttemptId, tag: u32, address: Address) {
        let backend = BackendId(address.0);
        self.backends[backend.index()].prefetch();
        self.sink.prefetch(backend);
        let (from, to) = (self.clients[client].place, self.place(backend));
        let cut = self.network.cut(&from, &to);
        let open = self.calls.at_mut(tag);
        open.under_way += 1;
        let record = Record::Sent {
            call: open.call,
            attempt: attempt.number,
            client: ClientId(client as u32),
            backend,
            key: open.key(),
            leaves_region: from.region != to.region,
            dead: cut.is_some() || !self.backends[backend.index()].answers(),
        };
        self.sink.put(self.now, &record);
        let draw_key = open.draw_key;
        let flight = self.flights.add(Flight::new(self.now, attempt, tag, backend));
        open.flight = flight;
        if let Some(way) = self.network.every_way() {
            return self.arrive_in(flight, way);
        }
        match cut {
            Some(CutMode::Blackhole) => self.flights.at_mut(flight).leg = Leg::LostOut,
            Some(CutMode::Refuse) => self.answer_in(flight, Duration::ZERO, Err(Failure::of(Cause::Connection))),
            None => self.travel_out(flight, &from, &to, draw_key, attempt.number),
        }
    }

    fn travel_out(&mut self, flight: u32, from: &Place, to: &Place, draw_key: u64, attempt: u32) {
        let delay = self.network.one_way(from, to, draw_key, attempt, Purpose::Outbound);
        self.arrive_in(flight, delay);
    }

    #[inline(always)]
    fn arrive_in(&mut self, flight: u32, delay: Duration) {
        if delay.is_zero() {
            self.on_arrive(flight);
        } else {
            if self.reports.is_some() {
                self.testify_coming(flight);
            }
            let entity = self.flights.at(flight).backend.0;
            self.queue.push(Event::new(self.now + delay, kind::ARRIVE, entity, flight));
        }
    }

    /// An answer that is there after `delay`, whatever the network is like.
    pub(super) fn answer_in(&mut self, flight: u32, delay: Duration, outcome: Outcome) {
        let entry = self.flights.at_mut(flight);
        entry.leg = Leg::Back;
        entry.outcome = outcome;
        let client = self.calls.at(entry.call).client;
        self.queue.push(Event::new(self.now + delay, kind::REPLY, client.0, flight));
    }

    /// Whose attempt it is.
    #[inline(always)]
    pub(super) fn client_of(&self, flight: &Flight) -> ClientId {
        self.calls.at(flight.call).client
    }

    /// An attempt is no longer under way.
    #[inline(always)]
    pub(super) fn land(&mut self, flight: u32) {
        self.calls.land(self.flights.at(flight).call);
        self.flights.remove(flight);
    }

    #[inline]
    pub(super) fn on_reply(&mut self, flight: u32) {
        self.reply(flight, self.flights.at(flight).outcome);
    }

    /// An answer reaches its client.
    #[inline(always)]
    pub(super) fn reply(&mut self, flight: u32, outcome: Outcome) {
        let entry = self.flights.at(flight);
        let (gone, attempt, call) = (entry.gone, entry.attempt, entry.call);
        let client = self.calls.at(call).client.index();
        if !gone {
            self.put_done(flight, outcome);
            self.calls.at_mut(call).flight = Flights::NONE;
        }
        self.land(flight);
        if !gone {
            if self.reports.is_some() {
                self.replied_with_report(client, flight, attempt, outcome);
            } else {
                self.clients[client].channel.replied(self.now, attempt, outcome, None);
            }
            self.drain(client);
        }
    }

    #[cold]
    fn replied_with_report(&mut self, client: usize, flight: u32, attempt: AttemptId, outcome: Outcome) {
        let load = self.reports.as_mut().and_then(|reports| reports.take_reply(flight, outcome));
        self.clients[client].channel.replied(self.now, attempt, outcome, load.as_ref());
    }

    #[inline(always)]
    fn put_done(&mut self, flight: u32, outcome: Outcome) {
        let flight = self.flights.at(flight);
        let record = Record::Done {
            call: self.calls.at(flight.call).call,
            attempt: flight.attempt.number,
            backend: flight.backend,
            took: flight.took(self.now),
            outcome,
        };
        self.sink.put(self.now, &record);
    }

    /// The client no longer waits: the news travels after the attempt.
    fn cancel(&mut self, client: usize, attempt: AttemptId, tag: u32) {
        let open = self.calls.at_mut(tag);
        let flight = std::mem::replace(&mut open.flight, Flights::NONE);
        if flight == Flights::NONE {
            return;
        }
        let draw_key = open.draw_key;
        let entry = *self.flights.at(flight);
        self.put_done(flight, Err(Failure::of(Cause::Deadline)));
        self.flights.at_mut(flight).abandon();
        match entry.leg {
            // Nothing will ever come of these.
            Leg::LostOut | Leg::LostBack => self.land(flight),
            Leg::Out | Leg::Inside => {
                let from = self.clients[client].place;
                let to = self.backends[entry.backend.index()].place(entry.backend);
                if self.network.cut(&from, &to).is_some() {
                    return;
                }
                let delay = self.network.one_way(&from, &to, draw_key, attempt.number, Purpose::Cancel);
                let at = self.now + delay;
                self.flights.at_mut(flight).cancel_at(at);
                self.queue.push(Event::new(at, kind::CANCEL, entry.backend.0, flight));
            }
            Leg::Back | Leg::Free => {}
        }
    }

    /// A connection breaks under an attempt: the client learns now, the server too.
    pub(super) fn break_flight(&mut self, flight: u32) {
        let entry = *self.flights.at(flight);
        if entry.gone {
            return;
        }
        let open = self.calls.at_mut(entry.call);
        open.flight = Flights::NONE;
        let client = open.client.index();
        let failure = Err(Failure::of(Cause::Connection));
        self.put_done(flight, failure);
        self.flights.at_mut(flight).abandon();
        match entry.leg {
            Leg::LostOut | Leg::LostBack => self.land(flight),
            Leg::Inside => {
                self.flights.at_mut(flight).cancel_at(self.now);
                self.queue.push(Event::new(self.now, kind::CANCEL, entry.backend.0, flight));
            }
            Leg::Out | Leg::Back | Leg::Free => {}
        }
        self.input(client, Input::Replied { attempt: entry.attempt, outcome: failure, load: None });
    }

    #[inline(always)]
    fn complete(&mut self, tag: u32, outcome: Outcome, attempts: u32, address: Option<Address>) {
        let open = self.calls.end(tag);
        let record = Record::Ended {
            call: open.call,
            client: open.client,
            class: open.class,
            born: open.born,
            outcome,
            attempts,
            backend: address.map(|address| BackendId(address.0)),
        };
        self.on_ended(&open, &record);
    }

    pub(super) fn put_unfinished(&mut self, open: &OpenCall) {
        let record = Record::Ended {
            call: open.call,
            client: open.client,
            class: open.class,
            born: open.born,
            outcome: Err(Failure::of(Cause::Unfinished)),
            attempts: 0,
            backend: None,
        };
        self.sink.put(self.now, &record);
    }

    /// A connection is asked for: the answer depends on who is there when the question arrives.
    fn connect(&mut self, client: usize, address: Address) {
        let (from, to) = (self.clients[client].place, self.place(BackendId(address.0)));
        let draw_key = self.clients[client].draw_key();
        let takes = self.network.connect_time(&from, &to, draw_key);
        let backend = &self.backends[address.index()];
        let (after, message) = match self.network.cut(&from, &to) {
            Some(CutMode::Refuse) => (Duration::ZERO, Message::ConnectFailed(address)),
            Some(CutMode::Blackhole) => (CONNECT_TIMEOUT, Message::ConnectFailed(address)),
            None if backend.accepts() => (takes, Message::Connected(address)),
            None if backend.is_silent() => (CONNECT_TIMEOUT, Message::ConnectFailed(address)),
            None => (takes, Message::ConnectFailed(address)),
        };
        self.tell(client, after, message);
    }

    /// A message reaches a client after a while.
    pub(super) fn tell(&mut self, client: usize, after: Duration, message: Message) {
        let handle = self.messages.add(message);
        self.queue.push(Event::new(self.now + after, kind::MESSAGE, client as u32, handle));
    }

    fn probe(&mut self, client: usize, probe: Probe, address: Address) {
        let (from, to) = (self.clients[client].place, self.place(BackendId(address.0)));
        // What is lost is never answered: the prober counts it.
        if self.network.cut(&from, &to) == Some(CutMode::Blackhole) {
            return;
        }
        let draw_key = self.clients[client].draw_key();
        let delay = self.network.one_way(&from, &to, draw_key, 0, Purpose::Outbound);
        let client = ClientId(client as u32);
        let handle =
            self.messages.add(Message::Probe { probe, address, client, sent: self.now, ok: false, load: None });
        self.queue.push(Event::new(self.now + delay, kind::PROBE, client.0, handle));
    }

    pub(super) fn on_probe_arrives(&mut self, client: u32, handle: u32) {
        let (probe, address, id, sent) = match self.messages.take(handle) {
            Message::Probe { probe, address, client, sent, .. } => (probe, address, client, sent),
            Message::Watch { address, client } => return self.on_watch_arrives(client, address),
            _ => return,
        };
        let client = client as usize;
        let (from, to) = (self.clients[client].place, self.place(BackendId(address.0)));
        let backend = &self.backends[address.index()];
        let cut = self.network.cut(&from, &to);
        if backend.is_silent() || backend.is_frozen() || cut == Some(CutMode::Blackhole) {
            return;
        }
        let ok = cut.is_none() && backend.accepts();
        let draw_key = self.clients[client].draw_key();
        if ok && reports::is_balancers(probe) {
            let message = Message::Probe { probe, address, client: id, sent, ok, load: None };
            return self.ask(BackendId(address.0), message, draw_key);
        }
        let delay = self.network.one_way(&to, &from, draw_key, 0, Purpose::Inbound);
        self.tell(client, delay, Message::Probe { probe, address, client: id, sent, ok, load: None });
    }

    pub(super) fn deliver(&mut self, client: usize, message: Message) {
        let input = match message {
            Message::List { list, again: false, .. } => Input::Resolved(list),
            Message::List { list, again: true, .. } => Input::Refreshed(list),
            Message::Connected(address) => self.connected(client, address),
            Message::ConnectFailed(address) => Input::ConnectFailed(address),
            Message::Disconnected(address) => Input::Disconnected(address),
            Message::Probe { probe, sent, ok, load, .. } => Input::Probed { probe, took: self.now - sent, ok, load },
            Message::Report { address, load } => Input::Reported { address, load },
            Message::Idle(address) => Input::Idle(address),
            Message::Watch { .. } | Message::Free => return,
        };
        self.input(client, input);
    }

    /// Who was there when the connection was asked for may be gone when the answer arrives.
    fn connected(&self, client: usize, address: Address) -> Input {
        let backend = &self.backends[address.index()];
        let cut = self.network.cut(&self.clients[client].place, &self.place(BackendId(address.0)));
        if backend.accepts() && cut.is_none() { Input::Connected(address) } else { Input::ConnectFailed(address) }
    }
}
