//! Pumps one channel: inputs in, actions out, one wake-up. One lock a client; whatever takes time is a task that
//! comes back with an input.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::task::AbortHandle;

use super::link::{Driver, Link, STREAMS, dial};
use super::pb::watch_reply::Says;
use super::pb::{CheckRequest, EchoRequest, WatchReply};
use super::reports::read;
use super::server::Backend;
use super::tape::{Stir, Turn};
use super::{World, lock};
use crate::base::id::{Address, AttemptId, BackendId, CallId, ClientId, RegionId, ZoneId};
use crate::base::load::LoadReport;
use crate::base::rand::{Draws, Purpose, mix};
use crate::base::status::{Cause, Failure, Outcome};
use crate::base::time::{Duration, Instant};
use crate::policy::channel::{Action, BALANCER_PROBE, Channel, Input, Start};
use crate::policy::endpoints::Listing;
use crate::policy::health::Probe;
use crate::record::event::Record;
use crate::workload::birth::Birth;
use crate::workload::keys;

/// Where a client is, and where its random streams come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) id: ClientId,
    pub(super) zone: ZoneId,
    pub(super) region: RegionId,
    /// Where the draws of its messages besides attempts come from.
    pub(super) key: u64,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    place: Place,
    world: Arc<World>,
    backends: Arc<[Arc<Backend>]>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    channel: Channel,
    /// The connection to each backend, with its number.
    links: Vec<Option<(u64, Link)>>,
    /// Connections made so far.
    made: u64,
    /// Messages sent so far besides attempts.
    sent: u64,
    /// Attempts under way, by the slot of their call.
    flights: BTreeMap<u32, Flight>,
    /// When its wake-up is armed; [`Instant::NEVER`] if it is not.
    armed: Instant,
    /// The call that begins right now.
    starting: Option<u32>,
    tape: Option<Vec<Turn>>,
}

/// What an attempt carries.
#[derive(Debug, Clone, Copy)]
struct Trip {
    attempt: AttemptId,
    birth: Birth,
    sent: Instant,
    to: ZoneId,
    /// It was sent as its call began: if it is late, the machine is.
    prompt: bool,
}

/// An attempt under way.
#[derive(Debug)]
struct Flight {
    attempt: AttemptId,
    call: CallId,
    backend: BackendId,
    sent: Instant,
    task: AbortHandle,
}

impl Client {
    pub(super) fn new(
        place: Place,
        channel: Channel,
        world: &Arc<World>,
        backends: &Arc<[Arc<Backend>]>,
        taped: bool,
    ) -> Arc<Client> {
        let state = State {
            channel,
            links: vec![None; backends.len()],
            made: 0,
            sent: 0,
            flights: BTreeMap::new(),
            armed: Instant::NEVER,
            starting: None,
            tape: taped.then(Vec::new),
        };
        Arc::new(Client { place, world: world.clone(), backends: backends.clone(), state: Mutex::new(state) })
    }

    /// Connects before the run begins.
    pub(super) async fn connect_early(self: &Arc<Self>, backend: BackendId) -> std::io::Result<()> {
        let (link, driver) = dial(self.backends[backend.index()].port()).await?;
        // The first answer proves that the other side is there: a handshake alone does not.
        let check = link.clone().check(CheckRequest::default());
        let number = self.keep(&mut lock(&self.state), backend, link);
        self.drive(backend, number, driver);
        if check.await.0 { Ok(()) } else { Err(std::io::Error::other("a backend does not answer")) }
    }

    /// It has been up for long: it knows the list and is connected.
    pub(super) fn begin(self: &Arc<Self>, list: Arc<[Listing]>) {
        self.input(Input::Begin(list));
    }

    /// The application calls.
    pub(super) fn start(self: &Arc<Self>, tag: u32, birth: &Birth) {
        let mut state = lock(&self.state);
        let now = self.world.clock.now();
        let start = Start {
            call: CallId(u64::from(tag)),
            tag,
            hash: birth.key.map(keys::hash_of),
            random: mix(birth.draw_key ^ Purpose::HashKey as u64),
            class: birth.class,
            // The application waits from the due time on, however late the call begins.
            deadline: birth.deadline.map(|deadline| deadline.saturating_sub(now.since(birth.at))),
        };
        state.starting = Some(tag);
        self.stir(&mut state, now, Stir::Input(Input::Start(start)));
        state.starting = None;
    }

    /// What was recorded of it.
    pub(super) fn take_tape(&self) -> Vec<Turn> {
        lock(&self.state).tape.take().unwrap_or_default()
    }

    fn input(self: &Arc<Self>, input: Input) {
        let mut state = lock(&self.state);
        let now = self.world.clock.now();
        self.stir(&mut state, now, Stir::Input(input));
    }

    /// Feeds one input, drains all actions, keeps the wake-up armed: a world's whole duty.
    fn stir(self: &Arc<Self>, state: &mut State, now: Instant, stir: Stir) {
        lock(&self.world.log).count_event();
        if let Some(tape) = &mut state.tape {
            tape.push(Turn { now, stir: stir.clone(), actions: Vec::new() });
        }
        match stir {
            Stir::Input(input) => state.channel.on_input(now, input),
            Stir::Timeout => state.channel.on_timeout(now),
        }
        while let Some(action) = state.channel.poll_action() {
            if let Some(turn) = state.tape.as_mut().and_then(|tape| tape.last_mut()) {
                turn.actions.push(action);
            }
            self.act(state, now, action);
        }
        self.arm(state);
    }

    fn act(self: &Arc<Self>, state: &mut State, now: Instant, action: Action) {
        match action {
            Action::Send { attempt, tag, address, .. } => self.send(state, now, attempt, tag, address),
            Action::Complete { call, tag, outcome, attempts, address } => {
                let birth = &self.world.schedule[tag as usize];
                let backend = address.map(|address| BackendId(address.0));
                let (client, class, born) = (birth.client, birth.class, birth.at);
                self.put(now, Record::Ended { call, client, class, born, outcome, attempts, backend });
            }
            Action::Cancel { attempt, .. } => self.cancel(state, now, attempt),
            Action::Connect(address) => self.connect(state, address),
            Action::Probe { probe, address } => self.probe(state, now, probe, address),
            Action::Watch(address) => self.watch(state, now, address),
            // Discovery is static.
            Action::Resolve => {}
        }
    }

    fn arm(self: &Arc<Self>, state: &mut State) {
        let at = state.channel.next_timeout();
        if at < state.armed {
            state.armed = at;
            let client = self.clone();
            self.world.alarms.set(at, move || client.on_alarm(at));
        }
    }

    fn on_alarm(self: &Arc<Self>, at: Instant) {
        let mut state = lock(&self.state);
        // A wake-up that was armed later and then moved forward leaves an old alarm behind.
        if state.armed == at {
            state.armed = Instant::NEVER;
            let now = self.world.clock.now();
            self.stir(&mut state, now, Stir::Timeout);
        }
    }

    // Attempts.

    fn send(self: &Arc<Self>, state: &mut State, now: Instant, attempt: AttemptId, tag: u32, address: Address) {
        let birth = self.world.schedule[tag as usize];
        let backend = &self.backends[address.index()];
        let record = Record::Sent {
            call: CallId(u64::from(tag)),
            attempt: attempt.number,
            client: self.place.id,
            backend: backend.id,
            key: birth.key,
            leaves_region: self.world.region_of(backend.zone) != self.place.region,
            dead: !backend.answers(),
        };
        self.put(now, record);
        // What is above the limit of a connection waits in it, unseen.
        let open = || state.flights.values().filter(|flight| flight.backend == backend.id).count();
        if state.flights.len() >= STREAMS as usize && open() >= STREAMS as usize {
            lock(&self.world.vitals).crowded += 1;
        }
        let link = state.links[address.index()].as_ref().map(|(_, link)| link.clone());
        let prompt = state.starting == Some(tag);
        let trip = Trip { attempt, birth, sent: now, to: backend.zone, prompt };
        let task = self.world.runtime.spawn(self.clone().attempt(trip, link));
        let call = CallId(u64::from(tag));
        let flight = Flight { attempt, call, backend: backend.id, sent: now, task: task.abort_handle() };
        state.flights.insert(attempt.slot, flight);
    }

    /// One attempt, from the channel's decision to the answer.
    async fn attempt(self: Arc<Self>, trip: Trip, link: Option<Link>) {
        let (world, Trip { attempt, birth, sent, to, .. }) = (&self.world, trip);
        let request =
            EchoRequest { draw_key: birth.draw_key, attempt: attempt.number, key: birth.key, demand: birth.demand };
        let way = |from, to, leg| world.delays.one_way(from, to, birth.draw_key, attempt.number, leg);
        let out = way(self.place.zone, to, Purpose::Outbound);
        world.wait(sent, out).await;
        if trip.prompt {
            lock(&world.vitals).lag.add(world.clock.now().since(birth.at + out));
        }
        let (outcome, load) = match link {
            Some(link) => link.echo(request).await,
            None => (Err(Failure::of(Cause::Connection)), None),
        };
        world.wait(world.clock.now(), way(to, self.place.zone, Purpose::Inbound)).await;
        self.replied(attempt, outcome, load);
    }

    fn replied(self: &Arc<Self>, attempt: AttemptId, outcome: Outcome, load: Option<LoadReport>) {
        let mut state = lock(&self.state);
        let now = self.world.clock.now();
        // An answer that was on its way when its call was given up finds nothing.
        if state.flights.get(&attempt.slot).is_none_or(|flight| flight.attempt != attempt) {
            return;
        }
        if let Some(flight) = state.flights.remove(&attempt.slot) {
            self.put_done(now, &flight, outcome);
        }
        self.stir(&mut state, now, Stir::Input(Input::Replied { attempt, outcome, load }));
    }

    /// The client no longer waits: the call is dropped, which resets its stream.
    fn cancel(&self, state: &mut State, now: Instant, attempt: AttemptId) {
        let Some(flight) = state.flights.remove(&attempt.slot) else { return };
        flight.task.abort();
        self.put_done(now, &flight, Err(Failure::of(Cause::Deadline)));
    }

    fn put_done(&self, now: Instant, flight: &Flight, outcome: Outcome) {
        let record = Record::Done {
            call: flight.call,
            attempt: flight.attempt.number,
            backend: flight.backend,
            took: now.since(flight.sent),
            outcome,
        };
        self.put(now, record);
    }

    fn put(&self, at: Instant, record: Record) {
        lock(&self.world.log).put(at, record);
    }

    // Connections.

    fn connect(self: &Arc<Self>, state: &mut State, address: Address) {
        let backend = self.backends[address.index()].clone();
        let takes = self.connect_time(state, backend.zone);
        let (client, world) = (self.clone(), self.world.clone());
        self.world.runtime.spawn(async move {
            world.wait(world.clock.now(), takes).await;
            match dial(backend.port()).await {
                Ok((link, driver)) => client.connected(backend.id, link, driver),
                Err(_) => client.input(Input::ConnectFailed(address)),
            }
        });
    }

    fn connect_time(&self, state: &mut State, to: ZoneId) -> Duration {
        let draw_key = self.draw_key(state);
        let delays = &self.world.delays;
        let out = delays.one_way(self.place.zone, to, draw_key, 0, Purpose::Outbound);
        let back = delays.one_way(to, self.place.zone, draw_key, 0, Purpose::Inbound);
        out.saturating_add(back).saturating_add(delays.connect)
    }

    fn connected(self: &Arc<Self>, backend: BackendId, link: Link, driver: Driver) {
        let mut state = lock(&self.state);
        let number = self.keep(&mut state, backend, link);
        let now = self.world.clock.now();
        self.stir(&mut state, now, Stir::Input(Input::Connected(Address(backend.0))));
        drop(state);
        self.drive(backend, number, driver);
    }

    fn keep(&self, state: &mut State, backend: BackendId, link: Link) -> u64 {
        state.made += 1;
        state.links[backend.index()] = Some((state.made, link));
        state.made
    }

    /// Moves what goes over a connection, until it ends.
    fn drive(self: &Arc<Self>, backend: BackendId, number: u64, driver: Driver) {
        let client = self.clone();
        self.world.runtime.spawn(async move {
            // An end is an end, be it a farewell or a reset.
            let _ = driver.await;
            let (world, from) = (&client.world, client.backends[backend.index()].zone);
            let (place, key) = (client.place, u64::from(backend.0));
            let news = world.delays.one_way(from, place.zone, key, place.id.0, Purpose::Inbound);
            world.wait(world.clock.now(), news).await;
            client.disconnected(backend, number);
        });
    }

    fn disconnected(self: &Arc<Self>, backend: BackendId, number: u64) {
        let mut state = lock(&self.state);
        let link = &mut state.links[backend.index()];
        if link.as_ref().is_none_or(|(current, _)| *current != number) {
            return;
        }
        *link = None;
        let now = self.world.clock.now();
        self.stir(&mut state, now, Stir::Input(Input::Disconnected(Address(backend.0))));
    }

    // Probes.

    fn probe(self: &Arc<Self>, state: &mut State, sent: Instant, probe: Probe, address: Address) {
        let draw_key = self.draw_key(state);
        let link = state.links[address.index()].as_ref().map(|(_, link)| link.clone());
        let (client, to) = (self.clone(), self.backends[address.index()].zone);
        self.world.runtime.spawn(async move {
            let world = &client.world;
            let way = |from, to, leg| world.delays.one_way(from, to, draw_key, 0, leg);
            world.wait(sent, way(client.place.zone, to, Purpose::Outbound)).await;
            let request = CheckRequest { load: probe.number == BALANCER_PROBE, draw_key };
            let (ok, load) = match link {
                Some(link) => link.check(request).await,
                None => (false, None),
            };
            world.wait(world.clock.now(), way(to, client.place.zone, Purpose::Inbound)).await;
            let took = world.clock.now().since(sent);
            client.input(Input::Probed { probe, took, ok, load });
        });
    }

    /// Hears what a backend says by itself, as long as the connection holds.
    fn watch(self: &Arc<Self>, state: &mut State, now: Instant, address: Address) {
        let draw_key = self.draw_key(state);
        let Some(link) = state.links[address.index()].as_ref().map(|(_, link)| link.clone()) else { return };
        let (client, to) = (self.clone(), self.backends[address.index()].zone);
        self.world.runtime.spawn(async move {
            let world = &client.world;
            let here = client.place.zone;
            world.wait(now, world.delays.one_way(here, to, draw_key, 0, Purpose::Outbound)).await;
            let Ok(mut words) = link.watch().await else { return };
            let mut heard = 0;
            // An error is the end of the connection, of which the client hears elsewhere.
            while let Ok(Some(WatchReply { says: Some(says) })) = words.message().await {
                heard += 1;
                world.wait(world.clock.now(), world.delays.one_way(to, here, draw_key, heard, Purpose::Inbound)).await;
                client.input(match says {
                    Says::Load(load) => Input::Reported { address, load: read(&load) },
                    Says::Idle(_) => Input::Idle(address),
                });
            }
        });
    }

    fn draw_key(&self, state: &mut State) -> u64 {
        state.sent += 1;
        mix(self.place.key ^ mix(state.sent))
    }
}

/// How long messages take, besides what loopback takes.
#[derive(Debug)]
pub(super) struct Delays {
    zones: usize,
    laws: Vec<crate::base::dist::Sampler>,
    connect: Duration,
}

impl Delays {
    pub(super) fn new(plan: &crate::scenario::plan::Plan) -> Delays {
        Delays {
            zones: plan.zones.len(),
            laws: plan.network.delays.iter().map(|law| law.compile()).collect(),
            connect: plan.network.connect,
        }
    }

    fn one_way(&self, from: ZoneId, to: ZoneId, draw_key: u64, attempt: u32, leg: Purpose) -> Duration {
        self.laws[from.index() * self.zones + to.index()].sample(&mut Draws::new(draw_key, attempt, leg))
    }
}
