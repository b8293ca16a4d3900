//! The folds: records become a summary while a run goes on. Each file folds one kind of fact; this one hands the
//! records round. Memory does not grow with the number of calls.

mod balance;
mod keys;
mod outcome;
mod reaction;
mod windows;

use prefetch_index::prefetch_index;

use super::summary::{Accounting, BackendTally, Summary, Work};
use crate::base::id::BackendId;
use crate::base::status::Outcome;
use crate::base::time::{Duration, Instant};
use crate::record::Sink;
use crate::record::digest::Digester;
use crate::record::event::Record;

/// What the folds must know about a run before it begins.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The seed.
    pub seed: u64,
    /// Calls are counted from here.
    pub warmup: Instant,
    /// Calls are counted until here.
    pub duration: Instant,
    /// Whether calls wait for replies.
    pub closed: bool,
    /// Whether calls have keys.
    pub keyed: bool,
    /// Weight of each backend, and whether it is there from the start.
    pub backends: Vec<(u32, bool)>,
    /// Name and size of each group of backends; together they are the backends, in order.
    pub groups: Vec<(String, usize)>,
    /// The faults, in the order of their starts.
    pub faults: Vec<Fault>,
    /// What identifies the workload besides the calls: a word for each part.
    pub workload: Vec<u64>,
}

/// A fault as the folds know it.
#[derive(Debug, Clone)]
pub struct Fault {
    /// It begins.
    pub from: Instant,
    /// It ends.
    pub until: Instant,
    /// Backends that should lose their traffic meanwhile; empty if none should.
    pub affected: Vec<BackendId>,
}

/// All folds of one run.
#[derive(Debug)]
pub struct Fold {
    frame: Frame,
    digests: Digester,
    in_flight: InFlight,
    outcome: outcome::Fold,
    balance: balance::Fold,
    windows: windows::Fold,
    keys: Option<keys::Fold>,
    detect: Option<reaction::Detect>,
    newcomers: Option<reaction::Newcomers>,
    tallies: Vec<BackendTally>,
    work: Work,
    /// Something ends here: a window, a second, the warm-up.
    turn_at: Instant,
    /// The warm-up is over.
    warm: bool,
    /// The same, and the measured stretch is not.
    counting: bool,
}

/// Calls in flight, and the integral of that over time: Little's law is checked to the nanosecond.
#[derive(Debug, Default)]
struct InFlight {
    scheduled: u64,
    ended: u64,
    unfinished: u64,
    attempts: u64,
    area: u128,
    since: u64,
}

impl InFlight {
    #[inline]
    fn advance(&mut self, at: Instant) {
        let open = self.scheduled - self.ended;
        self.area += u128::from(open) * u128::from(at.as_nanos() - self.since);
        self.since = at.as_nanos();
    }
}

impl Fold {
    /// Folds for a run of this frame.
    pub fn new(frame: Frame) -> Fold {
        let mut digests = Digester::new(frame.duration, frame.closed);
        for word in &frame.workload {
            digests.workload_word(*word);
        }
        let windows = windows::Fold::new(&frame);
        Fold {
            digests,
            in_flight: InFlight::default(),
            outcome: outcome::Fold::new(frame.warmup, frame.duration),
            balance: balance::Fold::new(&frame),
            windows,
            keys: frame.keyed.then(|| keys::Fold::new(&frame)),
            detect: reaction::Detect::new(&frame),
            newcomers: reaction::Newcomers::new(&frame),
            tallies: vec![BackendTally::default(); frame.backends.len()],
            work: Work::default(),
            turn_at: Instant::ZERO,
            warm: false,
            counting: false,
            frame,
        }
    }

    #[inline(always)]
    fn on_sent(&mut self, at: Instant, backend: BackendId, leaves_region: bool, dead: bool) {
        self.in_flight.attempts += 1;
        self.balance.on_sent(backend);
        self.windows.on_sent();
        if let Some(detect) = &mut self.detect {
            detect.on_sent(at, backend);
        }
        if let Some(newcomers) = &mut self.newcomers {
            newcomers.on_sent(at, backend);
        }
        if self.counting {
            self.work.cross_zone += u64::from(leaves_region);
            self.work.calls_to_dead += u64::from(dead);
        }
    }

    #[inline]
    fn on_served(&mut self, backend: BackendId, busy: Duration, wasted: bool) {
        if self.counting {
            let busy = u128::from(busy.as_nanos());
            self.tallies[backend.index()].served_ns += busy;
            if wasted {
                self.work.wasted_ns += busy;
            }
        }
    }

    #[inline]
    fn on_ended(&mut self, at: Instant, born: Instant, outcome: Outcome, attempts: u32) {
        self.in_flight.advance(at);
        self.in_flight.ended += 1;
        self.outcome.on_ended(at, born, outcome, attempts);
        self.windows.on_ended(at, born, outcome);
    }

    /// Closes every stretch of time that ends at or before `at`. The warm-up and the measured stretch are two of them.
    #[cold]
    #[inline(never)]
    fn turn(&mut self, at: Instant) {
        self.warm = at >= self.frame.warmup;
        self.counting = self.warm && at < self.frame.duration;
        loop {
            let next = self.windows.next().min(self.balance.next());
            self.turn_at = next;
            if next > at {
                return;
            }
            if self.windows.next() == next {
                let uneven = self.balance.since_last_window();
                self.windows.close(uneven);
            }
            if self.balance.next() == next {
                self.balance.close(next);
            }
        }
    }

    /// What the run comes to. `events` and `ties` are the world's own counts.
    pub fn finish(mut self, events: u64, ties: u64, sojourn_sum_ns: u128) -> Summary {
        let series = self.windows.finish();
        self.sum_up();
        let groups = self.groups();
        let (outcomes, latency, latency_all) = self.outcome.finish();
        let (spread, heat) = self.balance.finish();
        if let Some(keys) = &self.keys {
            keys.finish(&mut self.work);
        }
        Summary {
            seed: self.frame.seed,
            measured_ns: (self.frame.duration - self.frame.warmup).as_nanos(),
            digests: self.digests.finish(),
            accounting: Accounting {
                scheduled: self.in_flight.scheduled,
                ended: self.in_flight.ended - self.in_flight.unfinished,
                unfinished: self.in_flight.unfinished,
                attempts: self.in_flight.attempts,
                events,
                sojourn_sum_ns,
                in_flight_area_ns: self.in_flight.area,
                ties,
            },
            reaction: reaction::Reactions {
                frame: &self.frame,
                series: &series,
                unfinished: self.windows.unfinished_births(),
                detect: self.detect.as_ref(),
                newcomers: self.newcomers.as_ref(),
            }
            .read(),
            groups,
            outcomes,
            latency,
            latency_all,
            spread,
            work: self.work,
            series,
            heat,
            backends: self.tallies,
        }
    }

    /// Takes over what was counted elsewhere, and adds up over the backends.
    fn sum_up(&mut self) {
        for (tally, attempts) in self.tallies.iter_mut().zip(self.balance.measured()) {
            tally.attempts = attempts;
            self.work.attempts += attempts;
            self.work.served_ns += tally.served_ns;
        }
    }

    /// What each group of backends got.
    fn groups(&self) -> Vec<(String, u64)> {
        let mut tallies = self.tallies.iter();
        let attempts = |size: usize, tallies: &mut std::slice::Iter<'_, BackendTally>| {
            tallies.by_ref().take(size).map(|tally| tally.attempts).sum()
        };
        self.frame.groups.iter().map(|(name, size)| (name.clone(), attempts(*size, &mut tallies))).collect()
    }
}

impl Sink for Fold {
    #[inline(always)]
    fn prefetch(&self, backend: BackendId) {
        prefetch_index(self.tallies.as_slice(), backend.index());
        self.balance.prefetch(backend);
    }

    #[inline(always)]
    fn put(&mut self, at: Instant, record: &Record) {
        self.digests.put(at, record);
        if at >= self.turn_at {
            self.turn(at);
        }
        match record {
            Record::Born { .. } => {
                self.in_flight.advance(at);
                self.in_flight.scheduled += 1;
                self.windows.on_born(self.in_flight.scheduled - self.in_flight.ended);
            }
            Record::Sent { attempt, backend, key, leaves_region, dead, .. } => {
                self.on_sent(at, *backend, *leaves_region, *dead);
                if let (0, Some(key), Some(keys)) = (attempt, key, &mut self.keys) {
                    keys.on_sent(*key, *backend, self.counting);
                }
            }
            Record::Arrived { backend, waiting, inside } => {
                self.windows.on_arrived(*waiting);
                if self.warm {
                    let tally = &mut self.tallies[backend.index()];
                    tally.queue_max = tally.queue_max.max(*waiting);
                    tally.in_flight_max = tally.in_flight_max.max(*inside);
                }
            }
            Record::Served { backend, busy, wasted } => self.on_served(*backend, *busy, *wasted),
            Record::Looked { hit, .. } => {
                self.windows.on_looked(*hit);
                if self.counting {
                    self.work.cache_lookups += 1;
                    self.work.cache_hits += u64::from(*hit);
                }
            }
            Record::Done { backend, outcome, .. } => {
                if self.counting {
                    let tally = &mut self.tallies[backend.index()];
                    match outcome {
                        Ok(()) => tally.ok += 1,
                        Err(_) => tally.failed += 1,
                    }
                }
            }
            Record::Ended { born, outcome, attempts, .. } => self.on_ended(at, *born, *outcome, *attempts),
            Record::Member { backend, up } => {
                self.balance.on_member(at, *backend, *up);
                if let Some(keys) = &mut self.keys {
                    keys.on_member(*backend, *up);
                }
                if let Some(newcomers) = &mut self.newcomers {
                    newcomers.on_member(at, *backend, *up);
                }
            }
            Record::Weighed { backend, weight } => self.balance.on_weighed(at, *backend, *weight),
            Record::Effect { .. } => {}
            Record::Connected { backend, clients } => self.tallies[backend.index()].connections = Some(*clients),
            Record::Over { unfinished } => {
                self.in_flight.unfinished = *unfinished;
                self.windows.over();
            }
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A minute of backends of weight 1 that are or are not there from the start, in one group.
    pub fn frame(up: &[bool]) -> Frame {
        Frame {
            seed: 1,
            warmup: Instant::ZERO,
            duration: Instant::ZERO + Duration::from_secs(60),
            closed: false,
            keyed: true,
            backends: up.iter().map(|up| (1, *up)).collect(),
            groups: vec![("all".to_owned(), up.len())],
            faults: vec![],
            workload: vec![],
        }
    }
}
