//! One server: workers, a queue, a speed. It is told the time with everything that happens to it and says when
//! its next call will be done; it never looks at a clock and never knows who is calling.

use std::collections::VecDeque;
use std::sync::Arc;

use prefetch_index::prefetch_index;

use super::running::{Running, Workers};
use super::sharing::Sharing;
use super::spec::{Abandoned, Discipline, Profile};
use crate::base::dist::Sampler;
use crate::base::lru::Lru;
use crate::base::quantity::Factor;
use crate::base::rand::{Bits, Chance, Draws, Purpose};
use crate::base::status::Status;
use crate::base::time::{Duration, Instant};

/// A profile with its laws compiled: shared by the servers of a group.
#[derive(Debug, Clone)]
pub struct Kind {
    workers: u32,
    discipline: Discipline,
    queue: u32,
    service: Sampler,
    errors: ErrorRule,
    warm_up: Option<(Duration, f64)>,
    cache: Option<(u32, Sampler)>,
    abandoned: Abandoned,
    probe_demand: Option<f64>,
}

/// How calls fail by themselves.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRule {
    /// Of a call.
    pub chance: Chance,
    /// What it answers.
    pub status: Status,
    /// How long a failing answer takes without a worker; `None`: it takes a worker as long as a good one.
    pub latency: Option<Duration>,
}

impl Kind {
    /// Compiles a profile.
    pub fn new(profile: &Profile) -> Arc<Kind> {
        Arc::new(Kind {
            workers: profile.workers,
            discipline: profile.discipline,
            queue: profile.queue.unwrap_or(u32::MAX),
            service: profile.service.compile(),
            errors: ErrorRule {
                chance: Chance::new(profile.errors.rate.value()),
                status: profile.errors.status,
                latency: profile.errors.latency,
            },
            warm_up: profile.warm_up.as_ref().map(|warm_up| (warm_up.over, warm_up.factor.value())),
            cache: profile.cache.as_ref().map(|cache| (cache.entries, cache.hit_service.compile())),
            abandoned: profile.abandoned,
            probe_demand: profile.probe_demand.map(Factor::value),
        })
    }

    /// Whether everybody inside is served at once.
    fn shares(&self) -> bool {
        self.discipline == Discipline::ProcessorSharing
    }
}

/// An attempt, as it reaches a server.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The world's handle for it.
    pub job: u32,
    /// Where its draws come from.
    pub draw_key: u64,
    /// 0 for the first attempt of its call.
    pub attempt: u32,
    /// The key of its call.
    pub key: Option<u64>,
    /// Work it carries; service times are multiplied by it.
    pub demand: f64,
}

/// What became of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is inside: waiting or in service.
    Inside,
    /// The queue is full.
    Full,
    /// It fails by itself, without a worker, after this long.
    Fails {
        /// What it answers.
        status: Status,
        /// From arrival to answer.
        after: Duration,
    },
}

/// A call that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// The world's handle.
    pub job: u32,
    /// How long it held a worker.
    pub busy: Duration,
    /// The error that it answers, if it does.
    pub error: Option<Status>,
}

/// A call inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Service time at normal speed, in nanoseconds.
    pub(super) need: u64,
    /// The same if the cache has its key.
    hit_need: u64,
    key: u64,
    pub(super) job: u32,
    pub(super) fails: bool,
    pub(super) status: Status,
    /// Whether it has a key and there is a cache to look it up in.
    cached: bool,
}

/// One server. What every call touches stands first; whatever sets a server apart from a warm and healthy one of its
/// kind stands elsewhere, so that a large fleet stays small.
#[derive(Debug)]
pub struct Server {
    queue: VecDeque<Job>,
    running: Workers,
    kind: Arc<Kind>,
    /// Workers that may work now.
    workers: u32,
    looked: Option<bool>,
    odd: Option<Box<Odd>>,
}

/// What sets a server apart.
#[derive(Debug)]
struct Odd {
    sharing: Option<Sharing>,
    cache: Option<Lru>,
    /// Service takes this many times as long.
    slow: f64,
    frozen_since: Option<Instant>,
    /// When it was started; warm-up counts from here. `None`: it was warm when the run began.
    started: Option<Instant>,
    errors: Option<ErrorRule>,
}

impl Odd {
    fn of(kind: &Kind) -> Box<Odd> {
        Box::new(Odd {
            sharing: kind.shares().then(|| Sharing::new(kind.workers)),
            cache: kind.cache.as_ref().map(|(entries, _)| Lru::new(*entries as usize)),
            slow: 1.0,
            frozen_since: None,
            started: None,
            errors: None,
        })
    }
}

impl Server {
    /// A warm, idle server.
    pub fn new(kind: &Arc<Kind>) -> Server {
        Server {
            queue: VecDeque::new(),
            running: Workers::default(),
            workers: kind.workers,
            looked: None,
            odd: (kind.shares() || kind.cache.is_some()).then(|| Odd::of(kind)),
            kind: kind.clone(),
        }
    }

    fn odd_mut(&mut self) -> &mut Odd {
        self.odd.get_or_insert_with(|| Odd::of(&self.kind))
    }

    #[inline(always)]
    fn sharing(&self) -> Option<&Sharing> {
        self.odd.as_ref().and_then(|odd| odd.sharing.as_ref())
    }

    #[inline(always)]
    fn sharing_mut(&mut self) -> Option<&mut Sharing> {
        self.odd.as_mut().and_then(|odd| odd.sharing.as_mut())
    }

    /// Whether nothing moves.
    #[inline(always)]
    pub fn is_frozen(&self) -> bool {
        self.frozen_since().is_some()
    }

    #[inline(always)]
    fn frozen_since(&self) -> Option<Instant> {
        self.odd.as_ref().and_then(|odd| odd.frozen_since)
    }

    /// An attempt arrives.
    #[inline(always)]
    pub fn offer(&mut self, now: Instant, arrival: &Arrival) -> Offered {
        let rule = self.odd.as_ref().and_then(|odd| odd.errors.as_ref()).unwrap_or(&self.kind.errors);
        let fails = !rule.chance.is_never()
            && Draws::new(arrival.draw_key, arrival.attempt, Purpose::Error).chance(rule.chance);
        if let (true, Some(after)) = (fails, rule.latency) {
            return Offered::Fails { status: rule.status, after };
        }
        let job = self.job(arrival, fails, rule.status);
        if self.kind.shares() {
            return self.share(now, job);
        }
        if self.running.len() < self.workers {
            self.start(now, job);
        } else if self.queue.len() as u64 >= u64::from(self.kind.queue) {
            return Offered::Full;
        } else {
            self.queue.push_back(job);
        }
        Offered::Inside
    }

    fn share(&mut self, now: Instant, job: Job) -> Offered {
        if u64::from(self.inside()) >= u64::from(self.workers) + u64::from(self.kind.queue) {
            return Offered::Full;
        }
        let need = self.need(now, &job);
        if let Some(sharing) = self.sharing_mut() {
            sharing.join(now, job, need);
        }
        Offered::Inside
    }

    #[inline(always)]
    fn job(&self, arrival: &Arrival, fails: bool, status: Status) -> Job {
        let draw = |law: &Sampler, purpose| {
            let mut draws = Draws::new(arrival.draw_key, arrival.attempt, purpose);
            law.sample_scaled(&mut draws, arrival.demand).as_nanos()
        };
        let need = draw(&self.kind.service, Purpose::Service);
        let plain = Job { need, hit_need: need, key: 0, job: arrival.job, fails, status, cached: false };
        match (&self.kind.cache, arrival.key) {
            (Some((_, law)), Some(key)) => Job { hit_need: draw(law, Purpose::CacheHit), key, cached: true, ..plain },
            _ => plain,
        }
    }

    #[inline(always)]
    fn start(&mut self, now: Instant, job: Job) {
        let done = if self.odd.is_none() { now.as_nanos() + job.need } else { self.done_if_odd(now, &job) };
        self.running.push(Running::new(now, done, &job));
    }

    /// When a call that starts now will be done on a server that is set apart by something.
    fn done_if_odd(&mut self, now: Instant, job: &Job) -> u64 {
        let need = self.need(now, job);
        let (takes, from) = match &self.odd {
            // While nothing moves, what is left counts from the moment things stopped, as it does for all inside.
            Some(odd) => (stretch(need, odd.slow), odd.frozen_since.unwrap_or(now)),
            None => (need, now),
        };
        from.as_nanos() + takes
    }

    /// What a call needs as it starts: the cache and the warm-up decide now.
    fn need(&mut self, now: Instant, job: &Job) -> u64 {
        let Some(odd) = &mut self.odd else { return job.need };
        let mut need = job.need;
        if let (true, Some(cache)) = (job.cached, &mut odd.cache) {
            let hit = cache.touch(job.key);
            self.looked = Some(hit);
            if hit {
                need = job.hit_need;
            }
        }
        match (self.kind.warm_up, odd.started) {
            (Some((over, factor)), Some(started)) if now.since(started) < over => {
                let age = now.since(started).as_nanos() as f64 / over.as_nanos() as f64;
                stretch(need, factor + (1.0 - factor) * age)
            }
            _ => need,
        }
    }

    /// When its next call will be done; [`Instant::NEVER`] if none is in service or nothing moves.
    #[inline(always)]
    pub fn next_done(&self) -> Instant {
        match &self.odd {
            None => self.running.next_done(),
            Some(odd) if odd.frozen_since.is_some() => Instant::NEVER,
            Some(odd) => odd.sharing.as_ref().map_or(self.running.next_done(), Sharing::next_done),
        }
    }

    /// The attempt that will be done next, if workers are not shared.
    pub fn next_job(&self) -> Option<u32> {
        self.running.next().map(|running| running.job)
    }

    /// It is soon to be looked at: fetched into the processor's caches, and nothing else.
    pub fn prefetch(&self) {
        prefetch_index(std::slice::from_ref(&self.queue), 0);
        prefetch_index(std::slice::from_ref(&self.running), 0);
    }

    /// Its queue is soon to be looked at: fetched into the processor's caches, and nothing else.
    pub fn prefetch_queue(&self) {
        prefetch_index(self.queue.as_slices().0, 0);
    }

    /// The call whose time has come leaves, and one that waits takes its worker.
    ///
    /// # Panics
    /// When nothing is in service.
    #[inline(always)]
    pub fn finish(&mut self, now: Instant) -> Finished {
        if let Some(sharing) = self.sharing_mut() {
            let (job, busy) = sharing.finish(now);
            return Finished { job: job.job, busy, error: job.fails.then_some(job.status) };
        }
        let running = self.running.pop().expect("a call is done only where one is in service");
        debug_assert_eq!(running.done, now.as_nanos());
        self.refill(now);
        Finished { job: running.job, busy: running.held(now), error: running.fails.then_some(running.status) }
    }

    #[inline(always)]
    fn refill(&mut self, now: Instant) {
        while self.running.len() < self.workers {
            let next = match self.kind.discipline {
                Discipline::Lifo => self.queue.pop_back(),
                _ => self.queue.pop_front(),
            };
            match next {
                Some(job) => self.start(now, job),
                None => return,
            }
        }
    }

    /// The client has gone. `Some(busy)` if the attempt is out, with the time it held a worker; `None` if it is
    /// worked on for nobody, or not here.
    pub fn cancel(&mut self, now: Instant, job: u32) -> Option<Duration> {
        if self.kind.abandoned == Abandoned::Work {
            return None;
        }
        if let Some(sharing) = self.sharing_mut() {
            return sharing.remove(now, job);
        }
        if let Some(at) = self.queue.iter().position(|waiting| waiting.job == job) {
            self.queue.remove(at);
            return Some(Duration::ZERO);
        }
        let running = self.running.remove(job)?;
        // What is frozen frees its worker only when things move again.
        let frozen_since = self.frozen_since();
        if frozen_since.is_none() {
            self.refill(now);
        }
        Some(running.held(frozen_since.unwrap_or(now)))
    }

    /// Everything inside is lost. Hands out the jobs with the time that each held a worker, in order of handle.
    pub fn lose_all(&mut self, now: Instant) -> Vec<(u32, Duration)> {
        let until = self.frozen_since().unwrap_or(now);
        let mut lost: Vec<(u32, Duration)> = self.queue.drain(..).map(|job| (job.job, Duration::ZERO)).collect();
        lost.extend(self.running.take_all().map(|running| (running.job, running.held(until))));
        if let Some(sharing) = self.sharing_mut() {
            lost.extend(sharing.lose_all(now));
        }
        lost.sort_unstable_by_key(|(job, _)| *job);
        lost
    }

    /// The process starts: cold, with an empty cache.
    pub fn restart(&mut self, now: Instant) {
        self.odd_mut().started = Some(now);
        if let Some(cache) = self.odd.as_mut().and_then(|odd| odd.cache.as_mut()) {
            cache.clear();
        }
    }

    /// Service takes `factor` times as long from now on, for what is on a worker as well.
    pub fn set_slow(&mut self, now: Instant, factor: f64) {
        let frozen_since = self.frozen_since();
        let ratio = factor / std::mem::replace(&mut self.odd_mut().slow, factor);
        if let Some(sharing) = self.sharing_mut() {
            sharing.set_slow(now, factor);
        }
        // What is frozen keeps its remainder relative to the moment it was frozen.
        let from = frozen_since.unwrap_or(now).as_nanos();
        self.running.reschedule(|done| from + stretch(done - from, ratio));
    }

    /// So many workers work from now on, at least one; what is in service goes on.
    pub fn set_workers(&mut self, now: Instant, fraction: f64) {
        self.workers = ((f64::from(self.kind.workers) * fraction).ceil() as u32).clamp(1, self.kind.workers);
        let frozen = self.frozen_since().is_some();
        let workers = self.workers;
        match self.sharing_mut() {
            Some(sharing) => sharing.set_workers(now, workers),
            None if !frozen => self.refill(now),
            None => {}
        }
    }

    /// Nothing moves from now on, or everything goes on where it stopped.
    pub fn set_frozen(&mut self, now: Instant, frozen: bool) {
        match (self.frozen_since(), frozen) {
            (None, true) => {
                self.odd_mut().frozen_since = Some(now);
                if let Some(sharing) = self.sharing_mut() {
                    sharing.set_frozen(now, true);
                }
            }
            (Some(since), false) => {
                self.odd_mut().frozen_since = None;
                let stood = now.since(since).as_nanos();
                self.running.reschedule(|done| done + stood);
                match self.sharing_mut() {
                    Some(sharing) => sharing.set_frozen(now, false),
                    None => self.refill(now),
                }
            }
            _ => {}
        }
    }

    /// Calls fail by another rule from now on; `None`: by the profile's.
    pub fn set_errors(&mut self, rule: Option<ErrorRule>) {
        self.odd_mut().errors = rule;
    }

    /// Calls that wait for a worker. Where the workers are shared: those beyond one a worker.
    #[inline]
    pub fn waiting(&self) -> u32 {
        match self.sharing() {
            Some(sharing) => (sharing.len() as u32).saturating_sub(self.workers),
            None => self.queue.len() as u32,
        }
    }

    /// Calls inside.
    #[inline]
    pub fn inside(&self) -> u32 {
        match self.sharing() {
            Some(sharing) => sharing.len() as u32,
            None => self.queue.len() as u32 + self.running.len(),
        }
    }

    /// Workers that hold a call.
    #[inline]
    pub fn busy(&self) -> u32 {
        match self.sharing() {
            Some(sharing) => (sharing.len() as u32).min(self.workers),
            None => self.running.len(),
        }
    }

    /// Workers that may work now.
    #[inline]
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// Time of workers that the calls inside still take, at the speed of now and as if nothing were cached. For
    /// oracles, and O(n) in the calls inside.
    pub fn work_left(&self, now: Instant) -> Duration {
        let from = self.frozen_since().unwrap_or(now).as_nanos();
        let slow = self.odd.as_ref().map_or(1.0, |odd| odd.slow);
        let waiting = self.queue.iter().map(|job| stretch(job.need, slow));
        let running = self.running.each().map(|running| running.done.saturating_sub(from));
        let sum = waiting.chain(running).fold(0, u64::saturating_add);
        self.sharing()
            .map_or(Duration::ZERO, |sharing| sharing.work_left(now))
            .saturating_add(Duration::from_nanos(sum))
    }

    /// What an attempt would take of a worker at normal speed. For oracles.
    pub fn need_of(&self, arrival: &Arrival) -> Duration {
        Duration::from_nanos(self.job(arrival, false, Status::Ok).need)
    }

    /// Work that an answer to a balancer's probe takes; `None`: it is answered at once.
    pub fn probe_demand(&self) -> Option<f64> {
        self.kind.probe_demand
    }

    /// Whether the cache had the key of the call that was started last, once.
    #[inline]
    pub fn take_looked(&mut self) -> Option<bool> {
        self.looked.take()
    }
}

#[inline]
fn stretch(ns: u64, factor: f64) -> u64 {
    if factor == 1.0 { ns } else { Duration::from_nanos(ns).scale(factor).as_nanos().min(1 << 61) }
}
