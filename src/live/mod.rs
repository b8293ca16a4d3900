//! The real world: tonic servers on loopback that behave as backend models say, and the very channels of the virtual
//! world over connections of our own. It feeds inputs, carries out actions and applies effects; it decides nothing.
//!
//! Why not tonic's own balanced channel? It picks by itself, and what is compared here is who picks. A live run is
//! the proof that the core has no clock, socket or task in it: what its channels were told, told again to fresh ones,
//! gives the same actions (`tests/replay.rs`). It is no benchmark of a network, and its numbers carry the machine's
//! noise: [`Finish::vitals`] says how much.

mod client;
pub mod clock;
mod door;
mod link;
mod log;
mod pb;
mod reports;
mod server;
mod stage;
pub mod support;
pub mod tape;
pub mod vitals;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};

use tokio::runtime::{Builder, Handle};

use crate::backend::server::Kind;
use crate::base::id::{Address, BackendId, ClientId, RegionId, ZoneId};
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};
use crate::fault::effect::Effect;
use crate::policy::balancer::catalog::{Context, Tables};
use crate::policy::channel::Channel;
use crate::policy::endpoints::Listing;
use crate::policy::truth::Truth;
use crate::record::Sink;
use crate::record::event::Record;
use crate::scenario::plan::{ClientGroup, Plan};
use crate::workload::birth::Birth;

use client::{Client, Delays, Place};
use clock::{Alarms, Clock, to_std};
use log::Log;
use reports::Voice;
use server::Backend;
use stage::Stage;
use tape::Turn;
use vitals::Vitals;

pub use log::Books;

/// How a run is made.
#[derive(Default)]
pub struct Settings<'a> {
    /// Keep what every channel was told and what it wanted.
    pub taped: bool,
    /// Once true, the run ends early.
    pub stop: Option<&'a AtomicBool>,
    /// Told several times a second how far the run is.
    pub progress: Option<&'a dyn Fn(Instant)>,
}

/// What a run says of itself besides its records.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The books.
    pub books: Books,
    /// Whether the machine was up to it.
    pub vitals: Vitals,
    /// What each channel was told, if that was kept.
    pub tapes: Vec<Vec<Turn>>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan asks for what is not played here; nothing was started.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// The machine did not do what it had to.
    #[error("{0}")]
    Environment(String),
    /// It was stopped.
    #[error("the run was stopped")]
    Stopped,
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Environment(error.to_string())
    }
}

/// What all parts of a run share.
#[derive(Debug)]
struct World {
    clock: Arc<Clock>,
    alarms: Arc<Alarms>,
    log: Mutex<Log>,
    schedule: Arc<[Birth]>,
    delays: Delays,
    regions: Vec<RegionId>,
    runtime: Handle,
    vitals: Mutex<Vitals>,
    /// Calls that have begun, in the order of the schedule.
    begun: AtomicU64,
    failure: OnceLock<String>,
}

impl World {
    /// Waits for `delay` from `since`; not at all for no delay.
    async fn wait(&self, since: Instant, delay: Duration) {
        if !delay.is_zero() {
            self.alarms.sleep_until(since + delay).await;
        }
    }

    fn region_of(&self, zone: ZoneId) -> RegionId {
        self.regions[zone.index()]
    }

    fn fail(&self, error: &std::io::Error) {
        let _ = self.failure.set(error.to_string());
        lock(&self.log).end(self.clock.now());
    }
}

/// Runs one contender on one seed of a plan, in real time, with records as they come into `sink`. `timeline` is the
/// plan's faults, unfolded for this seed. Not to be called from a task.
///
/// # Errors
/// When the plan is refused, the machine fails, or the run is stopped.
///
/// # Panics
/// When a channel or a backend model breaks an invariant: our bug.
pub fn run<S: Sink>(
    plan: &Plan,
    contender: usize,
    seed: u64,
    timeline: &[(Instant, Effect)],
    settings: &Settings<'_>,
    sink: &mut S,
) -> Result<Finish, Error> {
    let refusals = support::refusals(plan, timeline);
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let (sender, records) = mpsc::channel();
    let schedule: Arc<[Birth]> = support::schedule(plan, seed, timeline, usize::MAX).into();
    let world = Arc::new(World {
        clock: Arc::default(),
        alarms: Arc::default(),
        log: Mutex::new(Log::new(plan, schedule.clone(), sender)),
        schedule,
        delays: Delays::new(plan),
        regions: plan.zones.iter().map(|zone| zone.region).collect(),
        runtime: runtime.handle().clone(),
        vitals: Mutex::default(),
        begun: AtomicU64::new(0),
        failure: OnceLock::new(),
    });
    let ended = match runtime.block_on(Cast::assemble(plan, contender, seed, timeline, &world, settings.taped)) {
        Ok((cast, stage)) => cast.perform(stage, plan, timeline, settings, &records, sink),
        Err(error) => Err(error.into()),
    };
    world.alarms.stop();
    runtime.shutdown_timeout(to_std(PATIENCE));
    ended
}

/// Who plays.
#[derive(Clone)]
struct Cast {
    world: Arc<World>,
    clients: Arc<[Arc<Client>]>,
}

impl Cast {
    /// Starts all servers and connects all clients.
    async fn assemble(
        plan: &Plan,
        contender: usize,
        seed: u64,
        timeline: &[(Instant, Effect)],
        world: &Arc<World>,
        taped: bool,
    ) -> std::io::Result<(Cast, Stage)> {
        let backends = backends(plan, seed, world);
        let stage = Stage::new(world, &backends, timeline)?;
        let clients: Arc<[Arc<Client>]> = channels(plan, contender, seed)
            .into_iter()
            .zip(plan.each_client())
            .map(|(channel, (id, group))| Client::new(place(plan, id, group, seed), channel, world, &backends, taped))
            .collect();
        for client in clients.iter() {
            for listing in listings(plan).iter() {
                client.connect_early(BackendId(listing.address.0)).await?;
            }
        }
        backends.iter().for_each(Backend::begin_reports);
        Ok((Cast { world: world.clone(), clients }, stage))
    }

    /// Plays everything at its time, until the run is over.
    fn perform<S: Sink>(
        self,
        stage: Stage,
        plan: &Plan,
        timeline: &[(Instant, Effect)],
        settings: &Settings<'_>,
        records: &Receiver<(Instant, Record)>,
        sink: &mut S,
    ) -> Result<Finish, Error> {
        let world = self.world.clone();
        self.direct(stage, timeline);
        for at in [Instant::ZERO + plan.duration, plan.horizon()] {
            let (world, last) = (world.clone(), at == plan.horizon());
            world.clone().alarms.set(at, move || {
                let mut log = lock(&world.log);
                if last { log.end(at) } else { log.on_time(at) }
            });
        }
        let used = vitals::processor_seconds();
        world.clock.start();
        probe(&world, Instant::ZERO + PROBE, Instant::ZERO + plan.duration);
        for client in self.clients.iter() {
            client.begin(listings(plan));
        }
        self.clone().pace(0);
        let alarms = world.alarms.start(&world.clock)?;
        let stopped = receive(&world, settings, records, sink, || alarms.is_finished());
        world.alarms.stop();
        if let Err(panic) = alarms.join() {
            std::panic::resume_unwind(panic);
        }
        if let Some(failure) = world.failure.get() {
            return Err(Error::Environment(failure.clone()));
        }
        if stopped {
            return Err(Error::Stopped);
        }
        let (books, mut vitals) = (lock(&world.log).books(), lock(&world.vitals).clone());
        let spent = vitals::processor_seconds().zip(used).map(|(now, before)| now - before);
        vitals.cpu =
            spent.map(|spent| spent / (world.clock.now().since(Instant::ZERO).as_secs_f64() * vitals::processors()));
        vitals.skipped = skipped(&world.schedule, plan, world.begun.load(Ordering::Relaxed));
        Ok(Finish { books, vitals, tapes: self.clients.iter().map(|client| client.take_tape()).collect() })
    }

    /// Effects, one after the other and none on the thread that wakes everybody.
    fn direct(&self, mut stage: Stage, timeline: &[(Instant, Effect)]) {
        let (cue, mut cues) = tokio::sync::mpsc::unbounded_channel();
        for (number, (at, _)) in timeline.iter().enumerate() {
            let cue = cue.clone();
            self.world.alarms.set(*at, move || {
                let _ = cue.send(number as u32);
            });
        }
        let world = self.world.clone();
        self.world.runtime.spawn(async move {
            while let Some(number) = cues.recv().await {
                if let Err(error) = stage.play(number).await {
                    world.fail(&error);
                }
            }
            // The doors stay as they are until the runtime ends.
            std::future::pending::<()>().await;
            drop(stage);
        });
    }

    /// Calls at their due times, whatever became of those before.
    fn pace(self, mut next: usize) {
        while let Some(birth) = self.world.schedule.get(next) {
            if birth.at > self.world.clock.now() {
                let at = birth.at;
                let world = self.world.clone();
                return world.alarms.set(at, move || self.pace(next));
            }
            self.clients[birth.client.index()].start(next as u32, birth);
            next += 1;
            self.world.begun.store(next as u64, Ordering::Relaxed);
        }
    }
}

/// Calls that were due before the end of the measurement, less those that have begun.
fn skipped(schedule: &[Birth], plan: &Plan, begun: u64) -> u64 {
    let end = Instant::ZERO + plan.duration;
    (schedule.partition_point(|birth| birth.at < end) as u64).saturating_sub(begun)
}

/// An alarm on a beat, which does nothing but look how late it goes off.
fn probe(world: &Arc<World>, at: Instant, until: Instant) {
    let own = world.clone();
    world.alarms.set(at, move || {
        lock(&own.vitals).probe.add(own.clock.now().since(at));
        if at + PROBE < until {
            probe(&own, at + PROBE, until);
        }
    });
}

/// Hands records on until the run is over. True if it was stopped.
fn receive<S: Sink>(
    world: &World,
    settings: &Settings<'_>,
    records: &Receiver<(Instant, Record)>,
    sink: &mut S,
    broken: impl Fn() -> bool,
) -> bool {
    let mut stopped = false;
    let mut tell = Instant::ZERO;
    loop {
        match records.recv_timeout(to_std(TICK)) {
            Ok((at, record)) => sink.put(at, &record),
            Err(RecvTimeoutError::Disconnected) => return stopped,
            // A panic on the thread that wakes everybody is shown by who joins it.
            Err(RecvTimeoutError::Timeout) if broken() => return stopped,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = world.clock.now();
        if settings.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) && !stopped {
            stopped = true;
            lock(&world.log).end(now);
        }
        if let (Some(progress), true) = (settings.progress, now >= tell) {
            progress(now);
            tell = now + TICK;
        }
    }
}

fn backends(plan: &Plan, seed: u64, world: &Arc<World>) -> Arc<[Arc<Backend>]> {
    let mut all = Vec::with_capacity(plan.backend_count() as usize);
    for group in &plan.backends {
        let kind = Kind::new(&group.profile);
        for number in 0..group.capacity {
            let id = BackendId(all.len() as u32);
            let reports = group.profile.load_reports.as_ref().filter(|reports| reports.is_by(number));
            let voice = Voice::new(reports, Seed::new(seed).stream(&format!("reports/{}", id.0)));
            all.push(Backend::new(id, group.zone, &kind, number < group.count, voice, world));
        }
    }
    all.into()
}

/// Fresh channels, one a client: those that a run of this contender and seed begins with, here and in virtual time.
pub fn channels(plan: &Plan, contender: usize, seed: u64) -> Vec<Channel> {
    let (asks, tables) = (plan.calls.asks(), Tables::default());
    let channel = |(id, group): (ClientId, &ClientGroup)| {
        let mean = |zone| plan.delay(group.zone, ZoneId(zone)).mean().unwrap_or(Duration::MAX);
        let context = Context {
            seed: Seed::new(seed).child(&format!("client/{}", id.0)),
            client: id,
            clients: plan.client_count(),
            zone: group.zone,
            region: plan.region_of(group.zone),
            distances: (0..plan.zones.len() as u16).map(mean).collect(),
            retries: 0,
            asks: asks.clone(),
            tables: tables.clone(),
            truth: Truth::default(),
        };
        Channel::new(&plan.contenders[contender].channel, &context)
    };
    plan.each_client().map(channel).collect()
}

fn place(plan: &Plan, id: ClientId, group: &ClientGroup, seed: u64) -> Place {
    let key = Seed::new(seed).child(&format!("client/{}", id.0)).number("messages");
    Place { id, zone: group.zone, region: plan.region_of(group.zone), key }
}

/// The list that every client begins with. Hashing balancers hash the names, so they are those of the virtual world.
fn listings(plan: &Plan) -> Arc<[Listing]> {
    let initial = plan.each_backend().filter(|(_, group, number)| *number < group.count);
    let listing = |(id, group, _): (BackendId, &crate::scenario::plan::BackendGroup, u32)| {
        let n = id.0 + 1;
        Listing {
            address: Address(id.0),
            name: format!("10.{}.{}.{}:80", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff).into(),
            weight: group.weight,
            zone: group.zone,
            region: plan.region_of(group.zone),
            started: None,
            health: Default::default(),
            metadata: group.metadata.clone(),
        }
    };
    initial.map(listing).collect()
}

/// Locks. Whoever panicked with a lock has lost the run, and everybody who needs the lock loses it with them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no part of the run has panicked")
}

/// Threads for sockets: the machine's other cores belong to nobody in particular.
const WORKERS: usize = 2;

/// From one look at the alarms to the next.
const PROBE: Duration = Duration::from_millis(10);

/// How often the outside world is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long tasks may take to notice that the run is over.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::CallId;
    use crate::policy::exchange::{Action, Input, Start};

    #[test]
    fn a_call_that_never_began_is_missed() {
        let text = "name = 'x'\nduration = '2s'\ncalls = { rate = '100/s' }\nbackends = [{ service = '1ms' }]\n\
                    contenders = { rr = { balancer = 'round_robin' } }\n";
        let plan = crate::scenario::resolve::parse(text, "x.toml", &Default::default());
        let plan = plan.unwrap_or_else(|findings| panic!("{findings}")).plans.remove(0);
        let schedule = support::schedule(&plan, 1, &[], usize::MAX);
        let due = schedule.iter().filter(|birth| birth.at < Instant::ZERO + plan.duration).count() as u64;
        assert!(due > 100 && due < schedule.len() as u64, "calls go on while those before end");
        assert_eq!(skipped(&schedule, &plan, schedule.len() as u64), 0);
        assert_eq!(skipped(&schedule, &plan, due), 0);
        assert_eq!(skipped(&schedule, &plan, due - 3), 3);
    }

    #[test]
    fn channels_know_what_backends_are_and_what_calls_ask_for() {
        let text = "name = 'x'\n[calls]\nrate = '1/s'\nmetadata = { version = 'v1' }\n\
                    [[calls.mix]]\nname = 'a'\nshare = 1\n\
                    [[calls.mix]]\nname = 'b'\nshare = 1\nmetadata = { version = 'v2' }\n\
                    [[backends]]\nservice = '1ms'\nmetadata = { version = 'v2' }\n\
                    [[backends]]\nservice = '1ms'\nmetadata = { version = 'v1' }\n\
                    [contenders]\nsubsets = { balancer = { metadata_subsets = { selectors = [{ keys = ['version'] }] } } }\n";
        let plan = crate::scenario::resolve::parse(text, "x.toml", &Default::default());
        let plan = plan.unwrap_or_else(|findings| panic!("{findings}")).plans.remove(0);
        let mut channel = channels(&plan, 0, 1).remove(0);
        channel.on_input(Instant::ZERO, Input::Begin(listings(&plan)));
        for (class, address) in [(0, 1), (1, 0), (0, 1)] {
            let (hash, random, deadline) = (None, 0, None);
            channel.start(Instant::ZERO, &Start { call: CallId(7), tag: 7, hash, random, class, deadline });
            let sent = std::iter::from_fn(|| channel.poll_action()).find_map(|action| match action {
                Action::Send { address, .. } => Some(address),
                _ => None,
            });
            assert_eq!(sent, Some(Address(address)), "class {class}");
        }
    }
}
