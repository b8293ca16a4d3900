//! The whole client machine: inputs in, actions out, one wake-up. The only place where the machines meet.
//!
//! A world's whole duty: feed one input, drain actions until there are none, keep one wake-up armed. The channel
//! has no clock, socket or task, so what a live client decided can be decided again from its recorded inputs.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::avoid::avoid_tried;
use super::balancer::catalog::Context;
use super::balancer::{Balancer, Feedback, LoadReport, Pick, Want};
use super::call::{Calls, State};
use super::connect::Reconnect;
use super::endpoints::{Connectivity, Listing, SuspectRule, Table};
use super::exchange::Actions;
pub use super::exchange::{Action, Input, Start};
use super::hash_policy::Hasher;
use super::health::{self, HealthCheck, Probe};
use super::limit::{self, Admit, Guard};
use super::request::Request;
use super::retry::{Next, Retry, Tried};
pub use super::spec::ChannelSpec;
use crate::base::id::{Address, AttemptId, CallId, EndpointId};
use crate::base::status::{Cause, Failure, Outcome};
use crate::base::time::{Duration, Instant};

mod pending;
mod wants;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Deadline,
    PerTry,
    Retry,
}

type Timer = Reverse<(Instant, Alarm, u32, u32)>;

/// A client.
pub struct Channel {
    table: Table,
    balancer: Box<dyn Balancer>,
    /// It [only picks](Balancer::only_picks).
    only_picks: bool,
    /// Nothing but a call's own timers, or a broken connection, ever wants a wake-up.
    sleeps: bool,
    retry: Option<Box<dyn Retry>>,
    guards: Vec<Box<dyn Guard>>,
    health: Option<Box<dyn HealthCheck>>,
    reconnect: Reconnect,
    wait_for_ready: bool,
    /// No call takes longer, whatever its own deadline.
    longest: Duration,
    hasher: Hasher,
    calls: Calls,
    waiting: VecDeque<(u32, u32)>,
    /// Calls that wait for the connection of their own endpoint; some may have ended since.
    pending: Vec<(u32, u32)>,
    timers: BinaryHeap<Timer>,
    actions: Actions,
    now: Instant,
}

impl Channel {
    /// A channel that knows nobody yet.
    pub fn new(spec: &ChannelSpec, context: &Context) -> Channel {
        let suspects = spec.health.as_ref().map_or(SuspectRule::LastResort, health::Spec::suspects);
        let retries = spec.retry.as_ref().map_or(0, |retry| retry.attempts - 1);
        let balancer = spec.balancer.build(&Context { retries, ..context.child("balancer") });
        Channel {
            table: Table::new(suspects),
            only_picks: balancer.only_picks(),
            sleeps: balancer.only_picks() && spec.health.is_none() && spec.limit.is_none(),
            balancer,
            retry: spec.retry.as_ref().map(|retry| retry.build(&context.seed)),
            guards: spec.limit.iter().map(limit::Spec::build).collect(),
            health: spec.health.as_ref().map(|health| health.build(&context.seed)),
            reconnect: Reconnect::new(context.seed.stream("reconnect")),
            wait_for_ready: spec.wait_for_ready,
            longest: spec.deadline.unwrap_or(Duration::MAX),
            hasher: Hasher::new(&spec.hash, context.client),
            calls: Calls::default(),
            waiting: VecDeque::new(),
            pending: vec![],
            timers: BinaryHeap::new(),
            actions: Actions::default(),
            now: Instant::ZERO,
        }
    }

    /// Something happened.
    ///
    /// # Panics
    /// When `now` runs backwards.
    pub fn on_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Start(start) => return self.start(now, &start),
            Input::Replied { attempt, outcome, load } => return self.replied(now, attempt, outcome, load.as_ref()),
            _ => self.turn(now),
        }
        match input {
            Input::Start(_) | Input::Replied { .. } => {}
            Input::Begin(list) => self.on_begin(now, list),
            Input::Resolved(list) => _ = self.on_list(now, list),
            Input::Refreshed(list) => self.on_refreshed(now, list),
            Input::Connected(address) => self.on_connected(now, address),
            Input::ConnectFailed(address) => self.on_connect_failed(now, address),
            Input::Disconnected(address) => self.on_disconnected(now, address),
            Input::Probed { probe, took, ok, load } => self.on_probed(now, probe, took, ok, load.as_ref()),
            Input::Reported { address, load } => self.on_reported(now, address, Some(&load)),
            Input::Idle(address) => self.on_reported(now, address, None),
            Input::Abandon(call) => self.on_abandon(now, call),
        }
        self.collect_wants(now);
    }

    /// [`Input::Start`], without wrapping it: the way of a call is worth a door of its own.
    #[inline(always)]
    pub fn start(&mut self, now: Instant, start: &Start) {
        self.turn(now);
        self.on_start(now, start);
        self.collect_wants(now);
    }

    /// [`Input::Replied`], likewise.
    #[inline(always)]
    pub fn replied(&mut self, now: Instant, attempt: AttemptId, outcome: Outcome, load: Option<&LoadReport>) {
        self.turn(now);
        self.on_replied(now, attempt, outcome, load);
        self.collect_wants(now);
    }

    /// The next thing to do.
    #[inline(always)]
    pub fn poll_action(&mut self) -> Option<Action> {
        let action = self.next_action().copied()?;
        self.drop_action();
        Some(action)
    }

    /// The next thing to do, to be [dropped](Self::drop_action) when it was read. On the way of every call: copied
    /// as a whole right after it was written in parts, an action would hold the processor up.
    #[inline(always)]
    pub fn next_action(&self) -> Option<&Action> {
        self.actions.peek()
    }

    /// The next thing to do was read. True if there is another.
    #[inline(always)]
    pub fn drop_action(&mut self) -> bool {
        self.actions.pop()
    }

    /// When the channel wants to be woken; [`Instant::NEVER`] if nothing is pending.
    #[inline(always)]
    pub fn next_timeout(&mut self) -> Instant {
        let sleeps = self.sleeps && self.timers.is_empty() && self.reconnect.is_idle();
        if sleeps { Instant::NEVER } else { self.soonest_timeout() }
    }

    fn soonest_timeout(&mut self) -> Instant {
        while let Some(Reverse((_, _, slot, generation))) = self.timers.peek() {
            if self.calls.is_open(*slot, *generation) {
                break;
            }
            self.timers.pop();
        }
        let mut soonest = self.timers.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at);
        let mut wake = |at: Option<Instant>| soonest = at.map_or(soonest, |at| soonest.min(at));
        wake(self.balancer.next_timeout());
        wake(self.reconnect.next_timeout());
        if let Some(health) = &self.health {
            wake(health.next_timeout());
        }
        for guard in &self.guards {
            wake(guard.next_timeout());
        }
        soonest
    }

    /// Its time may have come. Waking early or twice changes nothing.
    pub fn on_timeout(&mut self, now: Instant) {
        self.turn(now);
        while let Some(Reverse((at, alarm, slot, generation))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            if self.calls.is_open(slot, generation) {
                match alarm {
                    Alarm::Deadline => self.on_deadline(now, slot),
                    Alarm::PerTry => self.on_per_try(now, slot),
                    Alarm::Retry => self.try_send(now, slot),
                }
            }
        }
        self.balancer.on_timeout(now, &self.table.view());
        for guard in &mut self.guards {
            guard.on_timeout(now);
        }
        while let Some(address) = self.reconnect.poll(now) {
            self.connect(now, address);
        }
        if let Some(health) = &mut self.health {
            health.on_timeout(now);
        }
        self.collect_wants(now);
    }

    /// An answer to this attempt is soon to come: its call is fetched into the processor's caches, and nothing else.
    pub fn prefetch(&self, attempt: AttemptId) {
        self.calls.prefetch(attempt.slot);
    }

    /// Where the next call will probably be sent, if the balancer can tell: one of the two.
    pub fn likely_next(&self) -> Option<[Address; 2]> {
        let [a, b] = self.balancer.likely_next(&self.table.view())?;
        Some([self.table.address(a)?, self.table.address(b)?])
    }

    /// The client's view, for charts and tests.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The balancer's own numbers, for charts.
    pub fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.balancer.gauges(visit);
    }

    #[inline(always)]
    fn turn(&mut self, now: Instant) {
        assert!(now >= self.now, "time ran backwards in a channel");
        self.now = now;
    }

    // Calls.

    #[inline(always)]
    fn on_start(&mut self, now: Instant, start: &Start) {
        // The shorter of the application's deadline and the channel's (the service config's `timeout`).
        let allowed = start.deadline.map_or(self.longest, |deadline| deadline.min(self.longest));
        let deadline = if allowed == Duration::MAX { Instant::NEVER } else { now + allowed };
        let (slot, generation) = self.calls.open(start);
        if deadline != Instant::NEVER {
            self.timers.push(Reverse((deadline, Alarm::Deadline, slot, generation)));
        }
        let (hash, random, class) = (self.hasher.hash(start.hash, start.class), start.random, start.class);
        let request = Request { hash, random, class, attempt: 0, tried: &[], deadline };
        let pick = self.balancer.pick(now, &request, &self.table.view());
        if self.retry.is_some() || !matches!(pick, Pick::To(_)) {
            self.calls.keep(slot, &request);
        }
        self.follow(now, slot, pick);
    }

    /// Picks again for a call that was not sent, or failed.
    fn try_send(&mut self, now: Instant, slot: u32) {
        let pick = self.pick(now, slot);
        self.follow(now, slot, pick);
    }

    fn pick(&mut self, now: Instant, slot: u32) -> Pick {
        let request = self.calls.request(slot);
        let view = self.table.view();
        let pick = self.balancer.pick(now, &request, &view);
        if request.tried.is_empty() || !self.retry.as_ref().is_some_and(|retry| retry.excludes_tried()) {
            return pick;
        }
        avoid_tried(pick, &request, &view, || self.balancer.pick(now, &request, &view))
    }

    /// Sends, or queues, or fails.
    #[inline(always)]
    fn follow(&mut self, now: Instant, slot: u32, pick: Pick) {
        match pick {
            Pick::To(endpoint) => self.send(now, slot, endpoint),
            Pick::Pend { on, counts } => self.pend(now, slot, on, counts),
            Pick::Drop(cause) => self.complete(now, slot, Err(Failure::of(cause))),
            Pick::Fail(cause) if !self.wait_for_ready => self.attempt_failed(now, slot, Failure::of(cause), false),
            Pick::Queue | Pick::Fail(_) => {
                let call = self.calls.at_mut(slot);
                call.state = State::Waiting;
                self.waiting.push_back((slot, call.generation));
            }
        }
    }

    #[inline(always)]
    fn send(&mut self, now: Instant, slot: u32, endpoint: EndpointId) {
        // In panic health does not count (`Endpoints::eligible`).
        debug_assert!(self.table.is_connected(endpoint), "a balancer picks only who is connected");
        if !self.is_admitted(now, slot, endpoint) {
            return;
        }
        let Some(address) = self.table.send_to(endpoint) else { return };
        self.calls.at_mut(slot).attempts += 1;
        self.dispatch(now, slot, endpoint, address);
        self.feed_back(now, &Feedback::Sent { endpoint });
    }

    /// Asks the guards; the attempt has failed if one says no.
    #[inline(always)]
    fn is_admitted(&mut self, now: Instant, slot: u32, endpoint: EndpointId) -> bool {
        for guard in &mut self.guards {
            if let Admit::No(cause) = guard.admit(now, endpoint) {
                self.attempt_failed(now, slot, Failure::of(cause), false);
                return false;
            }
        }
        true
    }

    /// Hands an attempt, numbered and counted, to the world.
    #[inline(always)]
    fn dispatch(&mut self, now: Instant, slot: u32, endpoint: EndpointId, address: Address) {
        let call = self.calls.at_mut(slot);
        call.state = State::Sent { endpoint, address, at: now };
        let attempt = call.attempt_id(slot);
        self.actions.push(Action::Send { attempt, call: call.id, tag: call.tag, address });
        if let Some(limit) = self.retry.as_ref().and_then(|retry| retry.per_try()) {
            self.timers.push(Reverse((now + limit, Alarm::PerTry, slot, attempt.generation)));
        }
    }

    #[inline(always)]
    fn on_replied(&mut self, now: Instant, attempt: AttemptId, outcome: Outcome, load: Option<&LoadReport>) {
        // A late answer names an attempt that is over, and changes nothing.
        if !self.calls.is_current(attempt) {
            return;
        }
        self.end_attempt(now, attempt.slot, outcome, load);
        match outcome {
            Ok(()) => self.finish(now, attempt.slot, Ok(())),
            Err(failure) => self.attempt_failed(now, attempt.slot, failure, false),
        }
    }

    /// The open attempt of a call is over: exactly one `Done` for each `Sent`.
    #[inline(always)]
    fn end_attempt(&mut self, now: Instant, slot: u32, outcome: Outcome, load: Option<&LoadReport>) {
        let call = self.calls.at_mut(slot);
        let State::Sent { endpoint, address, at } = call.state else { return self.end_pending(now, slot, outcome) };
        call.state = State::Between;
        call.last = Some(address);
        let retried = call.attempts - 1;
        if outcome.is_err() && self.retry.is_some() {
            self.calls.failed_on(slot, endpoint);
        }
        self.table.on_ended(endpoint);
        self.feed_back(now, &Feedback::Done { endpoint, took: now - at, outcome, retried, load });
    }

    /// An attempt failed, sent or not: is there another?
    fn attempt_failed(&mut self, now: Instant, slot: u32, failure: Failure, timed_out: bool) {
        let tried = Tried { attempts: self.calls.at(slot).attempts.max(1), failure, timed_out };
        let next = self.retry.as_mut().map_or(Next::Stop, |retry| retry.on_failure(now, &tried));
        match next {
            Next::Stop => self.complete(now, slot, Err(failure)),
            Next::Again { after } => {
                let call = self.calls.at_mut(slot);
                call.state = State::Between;
                self.timers.push(Reverse((now + after, Alarm::Retry, slot, call.generation)));
            }
        }
    }

    fn on_deadline(&mut self, now: Instant, slot: u32) {
        self.give_up(now, slot, Failure::of(Cause::Deadline));
    }

    /// The open attempt has taken as long as one may, unless it is a later one than the alarm was set for.
    fn on_per_try(&mut self, now: Instant, slot: u32) {
        let limit = self.retry.as_ref().and_then(|retry| retry.per_try()).unwrap_or(Duration::MAX);
        let call = self.calls.at(slot);
        if matches!(call.state, State::Sent { at, .. } if now.since(at) >= limit) {
            let failure = Failure::of(Cause::Deadline);
            self.actions.push(Action::Cancel { attempt: call.attempt_id(slot), call: call.id, tag: call.tag });
            self.end_attempt(now, slot, Err(failure), None);
            self.attempt_failed(now, slot, failure, true);
        }
    }

    fn on_abandon(&mut self, now: Instant, call: CallId) {
        if let Some(slot) = self.calls.find(call) {
            self.give_up(now, slot, Failure::of(Cause::Cancelled));
        }
    }

    fn give_up(&mut self, now: Instant, slot: u32, failure: Failure) {
        let call = self.calls.at(slot);
        if let State::Sent { .. } = call.state {
            self.actions.push(Action::Cancel { attempt: call.attempt_id(slot), call: call.id, tag: call.tag });
        }
        self.end_attempt(now, slot, Err(failure), None);
        self.complete(now, slot, Err(failure));
    }

    #[inline(never)]
    fn complete(&mut self, now: Instant, slot: u32, outcome: Outcome) {
        self.finish(now, slot, outcome);
    }

    /// [`Self::complete`] where calls usually end.
    #[inline(always)]
    fn finish(&mut self, now: Instant, slot: u32, outcome: Outcome) {
        if let (Ok(()), Some(retry)) = (outcome, &mut self.retry) {
            retry.on_success(now);
        }
        let call = self.calls.close(slot);
        self.actions.push(Action::Complete {
            call: call.id,
            tag: call.tag,
            outcome,
            attempts: call.attempts,
            address: call.last,
        });
    }

    #[inline(always)]
    fn feed_back(&mut self, now: Instant, feedback: &Feedback<'_>) {
        if !self.only_picks {
            self.balancer.on_feedback(now, feedback, &self.table.view());
        }
        for guard in &mut self.guards {
            guard.on_feedback(now, feedback);
        }
    }

    // Endpoints.

    /// Everybody has been up for long: all are connected, but for those to whom a balancer never goes.
    fn on_begin(&mut self, now: Instant, list: Arc<[Listing]>) {
        let change = self.table.update(list);
        if let Some(health) = &mut self.health {
            health.on_endpoints(now, &change.joined, &change.left);
        }
        if self.balancer.keeps_to_some() {
            self.balancer.on_endpoints(now, &self.table.view());
            while let Some(want) = self.balancer.poll_want() {
                if let Want::Connect(id) = want {
                    self.table.connect_all(now, &[id]);
                }
            }
        } else {
            self.table.connect_all(now, &change.joined);
        }
        if !change.is_empty() {
            self.endpoints_changed(now);
        }
    }

    /// True if it says anything new.
    fn on_list(&mut self, now: Instant, list: Arc<[Listing]>) -> bool {
        let change = self.table.update(list);
        if change.is_empty() {
            return false;
        }
        self.table.renew(now, &change.returned);
        if let Some(health) = &mut self.health {
            health.on_endpoints(now, &change.joined, &change.left);
        }
        if self.balancer.connects_all() {
            for id in &change.joined {
                if let Some(address) = self.table.get(*id).map(|entry| entry.address) {
                    self.connect(now, address);
                }
            }
        }
        self.endpoints_changed(now);
        true
    }

    fn on_refreshed(&mut self, now: Instant, list: Arc<[Listing]>) {
        if !self.on_list(now, list) {
            self.endpoints_changed(now);
        }
    }

    fn endpoints_changed(&mut self, now: Instant) {
        self.balancer.on_endpoints(now, &self.table.view());
        if !self.pending.is_empty() {
            self.settle_pending(now);
        }
        self.pick_again(now);
    }

    /// Asks again for all calls that wait.
    fn pick_again(&mut self, now: Instant) {
        for _ in 0..self.waiting.len() {
            let Some((slot, generation)) = self.waiting.pop_front() else { break };
            if self.calls.is_waiting(slot, generation) {
                self.try_send(now, slot);
            }
        }
    }

    fn connect(&mut self, now: Instant, address: Address) {
        let Some(id) = self.table.at(address) else { return };
        self.table.set_connectivity(now, id, Connectivity::Connecting);
        self.actions.push(Action::Connect(address));
    }

    fn on_connected(&mut self, now: Instant, address: Address) {
        self.reconnect.on_success(address);
        self.set_connectivity(now, address, Connectivity::Ready);
    }

    fn on_connect_failed(&mut self, now: Instant, address: Address) {
        if self.table.at(address).is_some() {
            self.reconnect.on_failure(now, address);
            self.set_connectivity(now, address, Connectivity::TransientFailure);
        }
    }

    /// gRPC reconnects at once after a connection broke, and backs off only when that fails.
    fn on_disconnected(&mut self, now: Instant, address: Address) {
        if self.table.at(address).is_none() {
            return;
        }
        let next = if self.balancer.connects_all() { Connectivity::Connecting } else { Connectivity::Idle };
        self.set_connectivity(now, address, next);
        if next == Connectivity::Connecting {
            self.connect(now, address);
        }
    }

    fn set_connectivity(&mut self, now: Instant, address: Address, connectivity: Connectivity) {
        let Some(id) = self.table.at(address) else { return };
        self.table.set_connectivity(now, id, connectivity);
        self.endpoints_changed(now);
    }

    fn on_probed(&mut self, now: Instant, probe: Probe, took: Duration, ok: bool, load: Option<&LoadReport>) {
        let endpoint = probe.endpoint;
        if self.table.get(endpoint).is_none() {
            return;
        }
        self.feed_back(now, &Feedback::Probed { endpoint, took, ok, load });
        if let Some(health) = &mut self.health {
            health.on_probed(now, probe, ok);
        }
    }

    /// What a watched endpoint says by itself: a report, or that it is idle.
    fn on_reported(&mut self, now: Instant, address: Address, load: Option<&LoadReport>) {
        let Some(endpoint) = self.table.at(address) else { return };
        let feedback = match load {
            Some(load) => Feedback::Reported { endpoint, load },
            None => Feedback::Idle { endpoint },
        };
        self.feed_back(now, &feedback);
    }
}

/// Number of a probe that a balancer asked for: no health checker gives it. Its answer carries a load report.
pub const BALANCER_PROBE: u32 = u32::MAX;

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("now", &self.now).field("open", &self.calls.len()).finish_non_exhaustive()
    }
}
