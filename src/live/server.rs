//! A tonic server that behaves as a backend model tells it: an attempt goes into the model, and its answer is held
//! until the model says that it is done. The model is always brought up to date before it is told anything, at the
//! very instants at which its calls were done, so a late wake-up delays an answer and never the work behind it.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tonic::{Request, Response};

use super::link::status_of;
use super::pb::echo_server::Echo;
use super::pb::{CheckReply, CheckRequest, EchoReply, EchoRequest, WatchRequest};
use super::reports::{Voice, Words, sign, wire};
use super::{World, lock};
use crate::backend::meter::Entry;
use crate::backend::server::{Arrival, Kind, Offered, Server};
use crate::base::id::{BackendId, ZoneId};
use crate::base::load::LoadReport;
use crate::base::status::{Cause, Failure, Status};
use crate::base::time::{Duration, Instant};
use crate::record::event::Record;

/// A backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) id: BackendId,
    pub(super) zone: ZoneId,
    world: Arc<World>,
    port: AtomicU16,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) model: Server,
    /// Its process is there.
    pub(super) up: bool,
    /// Nothing moves inside.
    pub(super) frozen: bool,
    /// Who waits for an answer, by job.
    waiting: BTreeMap<u32, oneshot::Sender<Answer>>,
    /// What each call inside found as it came, by job. A probe that takes work has none.
    entries: BTreeMap<u32, Entry>,
    pub(super) voice: Voice,
    jobs: u32,
    /// When its next completion is armed.
    armed: Instant,
    /// Second handles of its connections, for cutting them.
    connections: Vec<std::net::TcpStream>,
}

/// The error that a call is answered with, if it is one, and the report on the answer.
type Answer = (Option<Status>, Option<LoadReport>);

/// What becomes of an attempt.
enum Entered {
    /// It is inside; the guard tells the model when nobody waits any more.
    Inside(oneshot::Receiver<Answer>, Guard),
    /// It fails, after this long.
    Fails(Failure, Duration, Option<LoadReport>),
    /// Nobody answers: the process is gone, and the connection with it.
    Nobody,
}

impl Backend {
    pub(super) fn new(
        id: BackendId,
        zone: ZoneId,
        kind: &Arc<Kind>,
        up: bool,
        voice: Voice,
        world: &Arc<World>,
    ) -> Arc<Backend> {
        let state = State {
            model: Server::new(kind),
            up,
            frozen: false,
            waiting: BTreeMap::new(),
            entries: BTreeMap::new(),
            voice,
            jobs: 0,
            armed: Instant::NEVER,
            connections: Vec::new(),
        };
        Arc::new(Backend { id, zone, world: world.clone(), port: AtomicU16::new(0), state: Mutex::new(state) })
    }

    /// Where it listens, or did.
    pub(super) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    pub(super) fn set_port(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// It is there and moves.
    pub(super) fn answers(&self) -> bool {
        let state = lock(&self.state);
        state.up && !state.frozen
    }

    /// A connection came in. One that comes too late is cut at once.
    pub(super) fn admit(&self, stream: TcpStream) -> std::io::Result<TcpStream> {
        let stream = stream.into_std()?;
        let handle = stream.try_clone()?;
        let mut state = lock(&self.state);
        if state.up {
            state.connections.push(handle);
        } else {
            let _ = handle.shutdown(Shutdown::Both);
        }
        drop(state);
        TcpStream::from_std(stream)
    }

    /// Changes the model, now.
    pub(super) fn change(self: &Arc<Self>, change: impl FnOnce(Instant, &mut State)) {
        let mut state = lock(&self.state);
        let now = self.settle(&mut state);
        change(now, &mut state);
        state.on_change(now);
        self.arm(&mut state);
    }

    /// The process dies: what it held is lost, and its connections break. False if it was not there.
    pub(super) fn die(&self) -> bool {
        let mut state = lock(&self.state);
        if !state.up {
            return false;
        }
        let now = self.settle(&mut state);
        state.up = false;
        self.put(now, Record::Member { backend: self.id, up: false });
        for (_, busy) in state.model.lose_all(now) {
            self.put_lost_work(now, &mut state, busy);
        }
        state.waiting.clear();
        state.entries.clear();
        state.voice.restart(now);
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        true
    }

    /// The process is there again, cold. False if it was there.
    pub(super) fn rise(&self) -> bool {
        let mut state = lock(&self.state);
        if state.up {
            return false;
        }
        let now = self.world.clock.now();
        state.up = true;
        state.model.restart(now);
        state.voice.restart(now);
        self.put(now, Record::Member { backend: self.id, up: true });
        true
    }

    /// An attempt comes in, or the work of answering a probe.
    fn enter(self: &Arc<Self>, request: &EchoRequest, is_call: bool) -> Entered {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if !state.up {
            return Entered::Nobody;
        }
        let now = self.settle(state);
        let job = state.jobs;
        state.jobs = state.jobs.wrapping_add(1);
        let arrival = Arrival {
            job,
            draw_key: request.draw_key,
            attempt: request.attempt,
            key: request.key,
            demand: request.demand,
        };
        let (failure, after) = match state.model.offer(now, &arrival) {
            Offered::Inside => {
                let (answer, answered) = oneshot::channel();
                state.waiting.insert(job, answer);
                if is_call {
                    state.entries.insert(job, Entry { at: now, found: state.model.inside() - 1 });
                    self.put_arrived(now, state);
                }
                state.on_change(now);
                self.arm(state);
                return Entered::Inside(answered, Guard { backend: self.clone(), job });
            }
            Offered::Full => (Failure::of(Cause::QueueFull), Duration::ZERO),
            Offered::Fails { status, after } => {
                if is_call {
                    self.put_arrived(now, state);
                }
                (Failure::backend(status), after)
            }
        };
        let load = if is_call { state.voice.on_answer(now, &state.model, true) } else { None };
        Entered::Fails(failure, after, load)
    }

    /// How loaded it is; `None` if it cannot tell just now.
    async fn load(self: &Arc<Self>, draw_key: u64) -> Option<LoadReport> {
        let demand = lock(&self.state).model.probe_demand();
        if let Some(demand) = demand {
            let request = EchoRequest { draw_key, attempt: 0, key: None, demand };
            match self.enter(&request, false) {
                Entered::Inside(served, _guard) => match served.await {
                    Ok((None, _)) => {}
                    Ok((Some(_), _)) => return None,
                    Err(_) => std::future::pending().await,
                },
                Entered::Fails(..) => return None,
                Entered::Nobody => std::future::pending().await,
            }
        }
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let now = self.settle(state);
        Some(state.voice.answer(now, &state.model))
    }

    /// It begins to report out of band, at a time of its own, if it is to.
    pub(super) fn begin_reports(self: &Arc<Self>) {
        if let Some((period, first)) = lock(&self.state).voice.period() {
            self.report_at(Instant::ZERO + first, period);
        }
    }

    fn report_at(self: &Arc<Self>, at: Instant, period: Duration) {
        let backend = self.clone();
        self.world.alarms.set(at, move || {
            let mut guard = lock(&backend.state);
            let state = &mut *guard;
            if state.up && !state.frozen {
                let now = backend.settle(state);
                state.voice.report(now, &state.model);
            }
            drop(guard);
            backend.report_at(at + period, period);
        });
    }

    fn put_arrived(&self, now: Instant, state: &mut State) {
        let (waiting, inside) = (state.model.waiting(), state.model.inside());
        self.put(now, Record::Arrived { backend: self.id, waiting, inside });
        self.put_looked(now, state);
    }

    fn put_looked(&self, now: Instant, state: &mut State) {
        if let Some(hit) = state.model.take_looked() {
            self.put(now, Record::Looked { backend: self.id, hit });
        }
    }

    /// A worker was held for an attempt that nobody gets.
    fn put_lost_work(&self, now: Instant, state: &mut State, busy: Duration) {
        if !busy.is_zero() {
            self.put(now, Record::Served { backend: self.id, busy, wasted: true });
        }
        self.put_looked(now, state);
    }

    /// Brings the model up to now: each call is done when it was done.
    fn settle(&self, state: &mut State) -> Instant {
        let now = self.world.clock.now();
        while state.model.next_done() <= now {
            let at = state.model.next_done();
            let finished = state.model.finish(at);
            let answer = state.waiting.remove(&finished.job);
            let load = match state.entries.remove(&finished.job) {
                Some(entry) => state.voice.on_served(at, &state.model, entry, &finished),
                None => {
                    state.voice.on_probe_served(at, &state.model);
                    None
                }
            };
            let wasted = answer.is_none();
            self.put(at, Record::Served { backend: self.id, busy: finished.busy, wasted });
            self.put_looked(at, state);
            if let Some(answer) = answer {
                // Who gave up this very moment no longer listens.
                let _ = answer.send((finished.error, load));
            }
            lock(&self.world.log).count_event();
        }
        now
    }

    fn arm(self: &Arc<Self>, state: &mut State) {
        let at = state.model.next_done();
        if at < state.armed {
            state.armed = at;
            let backend = self.clone();
            self.world.alarms.set(at, move || backend.on_alarm());
        }
    }

    fn on_alarm(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.armed = Instant::NEVER;
        self.settle(&mut state);
        self.arm(&mut state);
    }

    /// The client of an attempt has gone.
    fn forget(self: &Arc<Self>, job: u32) {
        let mut state = lock(&self.state);
        let now = self.settle(&mut state);
        if state.waiting.remove(&job).is_none() {
            return;
        }
        if let Some(busy) = state.model.cancel(now, job) {
            state.entries.remove(&job);
            state.on_change(now);
            self.put_lost_work(now, &mut state, busy);
            self.arm(&mut state);
        }
    }

    fn put(&self, at: Instant, record: Record) {
        lock(&self.world.log).put(at, record);
    }
}

impl State {
    /// Something inside has changed.
    fn on_change(&mut self, now: Instant) {
        self.voice.on_change(now, &self.model);
    }
}

/// Held while an attempt waits for its answer; dropped with the call when the client cancels it.
struct Guard {
    backend: Arc<Backend>,
    job: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Where a run ends in a panic, nobody keeps books any more.
        if !std::thread::panicking() {
            self.backend.forget(self.job);
        }
    }
}

/// The service of one backend.
#[derive(Debug, Clone)]
pub(super) struct EchoService(pub(super) Arc<Backend>);

#[tonic::async_trait]
impl Echo for EchoService {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoReply>, tonic::Status> {
        let backend = &self.0;
        let (failure, load) = match backend.enter(request.get_ref(), true) {
            Entered::Inside(answered, _guard) => match answered.await {
                Ok((None, load)) => {
                    let mut response = Response::new(EchoReply { backend: backend.id.0 });
                    sign(response.metadata_mut(), load.as_ref());
                    return Ok(response);
                }
                Ok((Some(status), load)) => (Failure::backend(status), load),
                Err(_) => return std::future::pending().await,
            },
            Entered::Fails(failure, after, load) => {
                if !after.is_zero() {
                    let world = &backend.world;
                    world.alarms.sleep_until(world.clock.now() + after).await;
                }
                (failure, load)
            }
            Entered::Nobody => return std::future::pending().await,
        };
        let mut status = status_of(failure);
        sign(status.metadata_mut(), load.as_ref());
        Err(status)
    }

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckReply>, tonic::Status> {
        let frozen = lock(&self.0.state).frozen;
        if frozen {
            return std::future::pending().await;
        }
        let CheckRequest { load: asked, draw_key } = request.into_inner();
        let load = if asked { self.0.load(draw_key).await } else { None };
        Ok(Response::new(CheckReply { serving: !asked || load.is_some(), load: load.as_ref().map(wire) }))
    }

    type WatchStream = Words;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Words>, tonic::Status> {
        let mut guard = lock(&self.0.state);
        let state = &mut *guard;
        self.0.settle(state);
        Ok(Response::new(state.voice.watch(&state.model)))
    }
}
