//! The loop: take the next event, hand it to whom it concerns, apply what that leaves. Nothing else.

use std::collections::BTreeMap;

use crate::base::id::{BackendId, CallId};
use crate::base::rand::Seed;
use crate::base::time::Instant;
use crate::fault;
use crate::fault::effect::Effect;
use crate::policy::balancer::catalog::Tables;
use crate::policy::endpoints::Connectivity;
use crate::policy::truth::Truth;
use crate::record::Sink;
use crate::record::event::Record;
use crate::scenario::plan::Plan;
use crate::workload::birth::{Birth, Births};

use super::call::{OpenCall, OpenCalls};
use super::client::{Client, Message, Messages};
use super::flight::Flights;
use super::link::Network;
use super::lookahead::Ahead;
use super::queue::{Event, Queue};
use super::registry::Registry;
use super::reports::Reports;
use super::server::{Backend, Lasting};

/// Kinds of events. At one instant: control, then what frees capacity, then timers, then what asks for it, so
/// that new picks see the world as it is (determinism: the order is part of the semantics).
pub(super) mod kind {
    pub(in crate::sim) const EFFECT: u8 = 0;
    pub(in crate::sim) const REGISTRY: u8 = 1;
    pub(in crate::sim) const DRAINED: u8 = 2;
    pub(in crate::sim) const RELIST: u8 = 3;
    pub(in crate::sim) const REFRESH: u8 = 4;
    pub(in crate::sim) const DONE: u8 = 8;
    pub(in crate::sim) const CANCEL: u8 = 9;
    pub(in crate::sim) const REPLY: u8 = 10;
    pub(in crate::sim) const MESSAGE: u8 = 11;
    pub(in crate::sim) const REPORT: u8 = 12;
    pub(in crate::sim) const TIMER: u8 = 16;
    pub(in crate::sim) const PROBE: u8 = 24;
    pub(in crate::sim) const ARRIVE: u8 = 25;
    pub(in crate::sim) const USER: u8 = 26;
    /// The next birth of an open workload comes after everything else of its instant.
    pub(in crate::sim) const BIRTH: u8 = 27;
    /// A backend that begins idle says so once everybody who begins at this instant can have asked.
    pub(in crate::sim) const IDLE: u8 = 28;
}

/// What a run says of itself besides its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finish {
    /// Events handled.
    pub events: u64,
    /// Times that only the handle decided between two events.
    pub ties: u64,
    /// Calls born.
    pub scheduled: u64,
    /// Calls that ended.
    pub ended: u64,
    /// Sum of sojourn times of all calls in nanoseconds, open ones until the end of the run.
    pub sojourn_sum_ns: u128,
    /// When the run was over.
    pub at: Instant,
}

/// No user: the call is of an open workload.
const NO_USER: u32 = u32::MAX;

/// One run.
pub(super) struct World<'a, S: Sink> {
    pub(super) plan: &'a Plan,
    pub(super) queue: Queue,
    pub(super) ahead: Ahead,
    pub(super) now: Instant,
    pub(super) clients: Vec<Client>,
    pub(super) calls: OpenCalls,
    pub(super) backends: Vec<Backend>,
    pub(super) lasting: BTreeMap<BackendId, Lasting>,
    pub(super) flights: Flights,
    pub(super) messages: Messages,
    pub(super) network: Network,
    pub(super) registry: Registry,
    pub(super) list_version: u64,
    pub(super) births: Births,
    /// The next call of an open workload; at [`Instant::NEVER`] if none ever comes.
    pub(super) next_birth: Birth,
    pub(super) script: Vec<(Instant, Effect)>,
    pub(super) surges: Vec<(fault::effect::Cause, f64)>,
    /// What servers say about themselves; `None` while nobody reports and nobody asks.
    pub(super) reports: Option<Box<Reports>>,
    pub(super) seed: Seed,
    pub(super) sink: &'a mut S,
    /// Calls that are counted and still open.
    counted_open: u64,
    next_call: u64,
    count_from: Instant,
    count_until: Instant,
    finish: Finish,
}

/// Runs one contender on one seed of a plan. `timeline` is the plan's faults, unfolded for this seed.
pub fn run<S: Sink>(plan: &Plan, contender: usize, seed: u64, timeline: &[(Instant, Effect)], sink: &mut S) -> Finish {
    let mut world = World::new(plan, contender, seed, timeline, sink);
    world.begin();
    world.run();
    world.end()
}

impl<'a, S: Sink> World<'a, S> {
    fn new(
        plan: &'a Plan,
        contender: usize,
        seed: u64,
        timeline: &[(Instant, Effect)],
        sink: &'a mut S,
    ) -> World<'a, S> {
        let seed = Seed::new(seed);
        let groups = plan.clients.iter().map(|group| (group.count, group.share)).collect();
        let (asks, tables) = (plan.calls.asks(), Tables::default());
        let sees = plan.contenders[contender].channel.balancer.is_oracle();
        let truth = if sees { Truth::open() } else { Truth::default() };
        World {
            plan,
            queue: Queue::default(),
            ahead: Ahead::default(),
            now: Instant::ZERO,
            clients: plan
                .each_client()
                .map(|(id, group)| Client::new(plan, contender, id, group, &seed, (&asks, &tables, &truth)))
                .collect(),
            calls: OpenCalls::default(),
            backends: Backend::all(plan),
            lasting: BTreeMap::new(),
            flights: Flights::default(),
            messages: Messages::default(),
            network: Network::new(plan),
            registry: Registry::new(plan, &seed),
            list_version: 0,
            births: Births::new(&plan.calls, &groups, plan.duration, &seed.child("calls")),
            next_birth: Birth::NEVER,
            script: timeline.to_vec(),
            surges: Vec::new(),
            reports: Reports::new(plan, &seed, &truth),
            sink,
            counted_open: 0,
            next_call: 0,
            count_from: Instant::ZERO + plan.warmup,
            count_until: Instant::ZERO + plan.duration,
            finish: Finish::default(),
            seed,
        }
    }

    /// Everybody has been up for long: clients know the list and are connected.
    fn begin(&mut self) {
        for number in 0..self.script.len() {
            self.queue.push(Event::new(self.script[number].0, kind::EFFECT, 0, number as u32));
        }
        self.begin_reports();
        self.testify_all();
        let list = self.registry.list();
        for client in 0..self.clients.len() {
            self.begin_client(client, list.clone());
        }
        if let Some(period) = self.registry.refresh() {
            self.queue.push(Event::new(Instant::ZERO + period, kind::REFRESH, 0, 0));
        }
        for user in 0..self.births.users() {
            let at = self.births.think(Instant::ZERO, user);
            self.queue.push(Event::new(at, kind::USER, user, 0));
        }
        self.next_birth = self.births.next_open();
        self.look_at_next_birth();
    }

    fn run(&mut self) {
        let horizon = self.plan.horizon();
        let mut last = Event::NEVER;
        loop {
            let event = self.next_event();
            let at = event.at();
            if at > horizon || (at >= self.count_until && self.counted_open == 0) {
                let end = if at > horizon && at != Instant::NEVER { horizon } else { self.count_until };
                self.now = end.max(self.now);
                return;
            }
            debug_assert!(at >= self.now, "time ran backwards");
            self.now = at;
            self.finish.events += 1;
            self.finish.ties += u64::from(event.ties_with(last));
            last = event;
            self.handle(event);
        }
    }

    /// The next event: of those in the queue, or the next birth, which is never in it. At [`Instant::NEVER`] if
    /// nothing will ever happen again.
    #[inline(always)]
    fn next_event(&mut self) -> Event {
        let birth = self.next_birth_event();
        let Some(event) = self.queue.pop_before(birth) else { return birth };
        self.look_ahead();
        event
    }

    #[inline(always)]
    fn next_birth_event(&self) -> Event {
        Event::new(self.next_birth.at, kind::BIRTH, 0, 0)
    }

    #[inline(always)]
    fn handle(&mut self, event: Event) {
        let entity = event.entity();
        match event.kind() {
            kind::BIRTH => self.on_birth(),
            kind::DONE => self.on_done(BackendId(entity)),
            kind::REPLY => self.on_reply(event.handle()),
            kind::ARRIVE => self.on_come(event.handle()),
            kind::TIMER => self.on_timer(entity as usize),
            kind::USER => self.on_user(entity),
            kind::CANCEL => self.on_cancel_arrives(event.handle()),
            kind::MESSAGE => self.on_message(entity as usize, event.handle()),
            kind::PROBE => self.on_probe_arrives(entity, event.handle()),
            kind::EFFECT => self.on_effect(event.handle()),
            kind::REGISTRY => self.on_registry_due(BackendId(entity)),
            kind::DRAINED => self.on_drained(BackendId(entity)),
            kind::RELIST => self.on_relist(),
            kind::REPORT => self.on_report_due(BackendId(entity)),
            kind::IDLE => self.on_idle_due(BackendId(entity)),
            kind::REFRESH => self.on_refresh(),
            other => unreachable!("an event of kind {other}"),
        }
    }

    #[inline(always)]
    fn on_birth(&mut self) {
        let birth = self.next_birth;
        self.bear(&birth, NO_USER);
        self.next_birth = self.births.next_open();
    }

    fn on_user(&mut self, user: u32) {
        let birth = self.births.next_closed(self.now, user);
        self.bear(&birth, user);
    }

    /// A call begins.
    #[inline(always)]
    fn bear(&mut self, birth: &Birth, user: u32) {
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.finish.scheduled += 1;
        let counted = birth.at >= self.count_from && birth.at < self.count_until;
        self.counted_open += u64::from(counted);
        let record = Record::Born {
            call,
            client: birth.client,
            class: birth.class,
            key: birth.key,
            demand: birth.demand,
            deadline: birth.deadline,
        };
        self.sink.put(self.now, &record);
        let open = OpenCall::new(call, birth, user, counted);
        self.start_call(open, birth.deadline);
    }

    /// A call has ended.
    #[inline(always)]
    pub(super) fn on_ended(&mut self, open: &OpenCall, record: &Record) {
        self.finish.ended += 1;
        self.finish.sojourn_sum_ns += u128::from((self.now - open.born).as_nanos());
        self.counted_open -= u64::from(open.counted);
        self.sink.put(self.now, record);
        if open.user != NO_USER {
            let at = self.births.think(self.now, open.user);
            self.queue.push(Event::new(at, kind::USER, open.user, 0));
        }
    }

    fn end(mut self) -> Finish {
        let unfinished = std::mem::take(&mut self.calls).into_sorted();
        for open in &unfinished {
            self.finish.sojourn_sum_ns += u128::from((self.now - open.born).as_nanos());
            self.put_unfinished(open);
        }
        self.put_connections();
        self.sink.put(self.now, &Record::Over { unfinished: unfinished.len() as u64 });
        self.finish.at = self.now;
        self.finish
    }

    fn put_connections(&mut self) {
        let mut clients = vec![0; self.backends.len()];
        for client in &self.clients {
            let view = client.channel.table().view();
            let connected = view.members.iter().filter_map(|id| view.get(*id));
            let connected = connected.filter(|endpoint| endpoint.connectivity == Connectivity::Ready);
            connected.for_each(|endpoint| clients[endpoint.address.index()] += 1);
        }
        for (id, clients) in clients.into_iter().enumerate() {
            self.sink.put(self.now, &Record::Connected { backend: BackendId(id as u32), clients });
        }
    }

    fn on_timer(&mut self, client: usize) {
        // A wake-up that was armed later and then moved forward leaves an old event behind.
        if self.clients[client].armed != self.now {
            return;
        }
        self.clients[client].armed = Instant::NEVER;
        self.clients[client].channel.on_timeout(self.now);
        self.drain(client);
    }

    fn on_message(&mut self, client: usize, handle: u32) {
        let message = self.messages.take(handle);
        if let Message::List { version, .. } = &message {
            // An older list that was slower than a newer one is not believed.
            if *version < self.clients[client].list_version {
                return;
            }
            self.clients[client].list_version = *version;
        }
        self.deliver(client, message);
    }
}
