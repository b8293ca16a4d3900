//! What a server measures of itself, to say it in a load report. A meter exists only where somebody listens.
//!
//! Averages forget exponentially with one time constant. Why not a sliding window? It needs memory for each bucket and
//! steps when one falls out; this needs two numbers, is exact between events because levels are constant there, and
//! gives rates and utilization the same past, so that their quotient, what weights are made of, has no lag of its own.
//! All are divided by the weight of the past that was really seen, so a server that has just started does not look
//! idle.

use smallvec::SmallVec;

use super::server::Server;
use super::spec::Utilization;
use crate::base::ewma::decay;
use crate::base::load::LoadReport;
use crate::base::time::{Duration, Instant};

/// The measurements of one server.
#[derive(Debug)]
pub struct Meter {
    window: Duration,
    utilization: Utilization,
    /// Averages are as of here, and levels have been what they are since.
    at: Instant,
    /// Weight of the past that was seen, 0 to 1.
    seen: f64,
    busy: Level,
    full: Level,
    /// Answers and errors, each counted 1 when it was given and fading since.
    answers: f64,
    errors: f64,
    /// Calls served and the seconds that they held a worker, fading alike.
    served: f64,
    worked: f64,
    latencies: Latencies,
}

/// A share that is constant between events.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    now: f64,
    average: f64,
}

/// What a call found as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it came.
    pub at: Instant,
    /// Calls inside before it (requests in flight, RIF).
    pub found: u32,
}

impl Meter {
    /// A meter of an idle server that starts now. `window`: what was measured this long ago counts 1/e.
    pub fn new(now: Instant, window: Duration, utilization: Utilization) -> Meter {
        Meter {
            window,
            utilization,
            at: now,
            seen: 0.0,
            busy: Level::default(),
            full: Level::default(),
            answers: 0.0,
            errors: 0.0,
            served: 0.0,
            worked: 0.0,
            latencies: Latencies::default(),
        }
    }

    /// Something in the server has changed just now.
    pub fn on_change(&mut self, now: Instant, server: &Server) {
        self.age(now);
        let workers = f64::from(server.workers());
        self.busy.now = (f64::from(server.busy()) / workers).min(1.0);
        self.full.now = f64::from(server.inside()) / workers;
    }

    /// An answer is given, well or not.
    pub fn on_answer(&mut self, now: Instant, failed: bool) {
        self.age(now);
        self.answers += 1.0;
        self.errors += f64::from(u8::from(failed));
    }

    /// A call that came in with `entry` was served, and held a worker for `busy`.
    pub fn on_served(&mut self, now: Instant, entry: Entry, busy: Duration) {
        self.age(now);
        self.served += 1.0;
        self.worked += busy.as_secs_f64();
        self.latencies.add(now, entry.found, now.since(entry.at));
    }

    /// The process starts again and knows nothing.
    pub fn restart(&mut self, now: Instant) {
        *self = Meter::new(now, self.window, self.utilization);
    }

    /// What a report says now.
    pub fn report(&mut self, now: Instant, server: &Server) -> LoadReport {
        self.age(now);
        let share = |level: Level| if self.seen > 0.0 { level.average / self.seen } else { level.now };
        let span = self.window.as_secs_f64() * self.seen;
        let rate = |count: f64| if span > 0.0 { count / span } else { 0.0 };
        LoadReport {
            utilization: if self.utilization == Utilization::Application { share(self.full) } else { 0.0 },
            cpu: share(self.busy),
            qps: rate(self.answers),
            eps: rate(self.errors),
            in_flight: server.inside(),
            waiting: server.waiting(),
            service: (self.served > TRACE).then(|| seconds(self.worked / self.served)),
            latency: None,
        }
    }

    /// What the answer to a probe says now: a report, and the latency that a call that came now can expect.
    pub fn answer(&mut self, now: Instant, server: &Server) -> LoadReport {
        let latency = self.latencies.estimate(now, server.inside());
        LoadReport { latency, ..self.report(now, server) }
    }

    /// Brings averages and rates up to now.
    fn age(&mut self, now: Instant) {
        let passed = now.since(self.at);
        if passed.is_zero() {
            return;
        }
        let keep = decay(passed, self.window);
        for level in [&mut self.busy, &mut self.full] {
            level.average = level.average * keep + level.now * (1.0 - keep);
        }
        for faded in [&mut self.answers, &mut self.errors, &mut self.served, &mut self.worked] {
            *faded *= keep;
        }
        self.seen = self.seen * keep + (1.0 - keep);
        self.at = now;
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs(1).scale(seconds)
}

/// Below this a faded count says nothing any more.
const TRACE: f64 = 1e-9;

/// Latencies of recent calls, by how many they found inside.
#[derive(Debug, Default)]
struct Latencies {
    by_found: Vec<Ring>,
}

/// The latest of them: `(when, how long)`.
#[derive(Debug, Clone, Default)]
struct Ring {
    kept: Vec<(Instant, Duration)>,
    next: usize,
}

impl Latencies {
    fn add(&mut self, now: Instant, found: u32, took: Duration) {
        let found = (found as usize).min(MOST_FOUND);
        if self.by_found.len() <= found {
            self.by_found.resize_with(found + 1, Ring::default);
        }
        let ring = &mut self.by_found[found];
        if ring.kept.len() < KEPT {
            ring.kept.push((now, took));
        } else {
            ring.kept[ring.next] = (now, took);
        }
        ring.next = (ring.next + 1) % KEPT;
    }

    /// The median of those who found `inside`, or the number nearest to it that recent calls found; of two equally
    /// near the greater, because a server that is more loaded than it looks costs more than the other mistake.
    fn estimate(&self, now: Instant, inside: u32) -> Option<Duration> {
        let inside = (inside as usize).min(MOST_FOUND);
        let mut recent: SmallVec<[Duration; KEPT]> = SmallVec::new();
        for away in 0..self.by_found.len().max(inside + 1) {
            for at in [Some(inside + away), inside.checked_sub(away)].into_iter().flatten() {
                let ring = self.by_found.get(at).map_or(&[][..], |ring| &ring.kept);
                recent.extend(ring.iter().filter(|(when, _)| now.since(*when) <= RECENT).map(|(_, took)| *took));
                if !recent.is_empty() {
                    recent.sort_unstable();
                    return Some(recent[(recent.len() - 1) / 2]);
                }
            }
        }
        None
    }
}

/// Latencies kept for each number of calls found. The paper leaves it open.
const KEPT: usize = 16;
/// Older ones say nothing about now. The paper leaves it open.
const RECENT: Duration = Duration::from_secs(10);
/// Calls that found more inside count as if they had found so many.
const MOST_FOUND: usize = 1_023;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::server::{Arrival, Kind};
    use crate::backend::spec::Profile;
    use crate::base::math;

    const WINDOW: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn server(workers: u32) -> Server {
        let profile = Profile {
            workers,
            discipline: Default::default(),
            queue: None,
            service: crate::base::dist::Law::constant(Duration::from_millis(100)),
            errors: Default::default(),
            warm_up: None,
            cache: None,
            abandoned: Default::default(),
            load_reports: None,
            probe_demand: None,
        };
        Server::new(&Kind::new(&profile))
    }

    fn arrive(server: &mut Server, now: Instant, job: u32) {
        server.offer(now, &Arrival { job, draw_key: u64::from(job), attempt: 0, key: None, demand: 1.0 });
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} where {expected} is expected");
    }

    #[test]
    fn utilization_is_the_faded_mean_of_the_busy_share() {
        let (mut server, mut meter) = (server(4), Meter::new(at(0), WINDOW, Utilization::Application));
        near(meter.report(at(0), &server).cpu, 0.0);
        for job in 0..6 {
            arrive(&mut server, at(1_000), job);
        }
        meter.on_change(at(1_000), &server);
        near(meter.report(at(1_000), &server).cpu, 0.0);
        // For half a second four of four workers are busy and two calls wait.
        let report = meter.report(at(1_500), &server);
        let share = (1.0 - math::exp(-0.5)) / (1.0 - math::exp(-1.5));
        near(report.cpu, share);
        near(report.utilization, 1.5 * share);
        assert_eq!((report.in_flight, report.waiting), (6, 2));
        near(meter.report(at(1_500), &server).cpu, share);
    }

    #[test]
    fn a_young_server_does_not_look_idle() {
        let (mut server, mut meter) = (server(1), Meter::new(at(0), WINDOW, Utilization::Cpu));
        arrive(&mut server, at(0), 0);
        meter.on_change(at(0), &server);
        for ms in [0, 1, 50, 5_000] {
            let report = meter.report(at(ms), &server);
            near(report.cpu, 1.0);
            near(report.utilization, 0.0);
        }
    }

    #[test]
    fn rates_count_answers_and_errors() {
        let (server, mut meter) = (server(1), Meter::new(at(0), WINDOW, Utilization::Cpu));
        for n in 1..=200 {
            meter.on_answer(at(n * 50), n % 4 == 0);
        }
        let report = meter.report(at(10_025), &server);
        // Twenty a second, seen half an interval after the last: exact but for the grid, which is coarse for errors.
        assert!((report.qps - 20.0).abs() < 0.01 && (report.eps - 5.0).abs() < 0.5, "{report:?}");
        let later = meter.report(at(12_025), &server);
        assert!((later.qps / report.qps - math::exp(-2.0)).abs() < 1e-4, "{later:?}");
        meter.restart(at(12_025));
        assert_eq!(meter.report(at(12_100), &server), LoadReport::default());
    }

    #[test]
    fn service_is_the_mean_time_on_a_worker() {
        let (server, mut meter) = (server(1), Meter::new(at(0), WINDOW, Utilization::Cpu));
        assert_eq!(meter.report(at(0), &server).service, None);
        for (ms, busy) in [(1, 4), (1, 8)] {
            meter.on_served(at(ms), Entry { at: at(0), found: 0 }, Duration::from_millis(busy));
        }
        assert_eq!(meter.report(at(1), &server).service, Some(Duration::from_millis(6)));
    }

    #[test]
    fn the_estimate_is_the_median_of_those_who_found_as_many() {
        let (mut server, mut meter) = (server(1), Meter::new(at(0), WINDOW, Utilization::Cpu));
        assert_eq!(meter.answer(at(0), &server).latency, None);
        let mut served = |found: u32, took: u64| {
            meter.on_served(at(1_000), Entry { at: at(1_000 - took), found }, Duration::ZERO);
        };
        for (found, took) in [(0, 10), (0, 30), (0, 12), (3, 70), (3, 90), (5, 400)] {
            served(found, took);
        }
        let mut estimate = |inside: u32, server: &mut Server| {
            while server.inside() < inside {
                arrive(server, at(1_000), server.inside());
            }
            meter.answer(at(1_000), server).latency.map(|latency| latency.as_nanos() / 1_000_000)
        };
        let found: Vec<_> = [0, 1, 2, 3, 4, 9].map(|inside| estimate(inside, &mut server)).into();
        assert_eq!(found, [12, 12, 70, 70, 400, 400].map(Some));
        assert_eq!(meter.answer(at(12_000), &server).latency, None, "all of them are old");
    }

    #[test]
    fn the_latest_are_kept() {
        let (server, mut meter) = (server(1), Meter::new(at(0), WINDOW, Utilization::Cpu));
        for ms in 1..=40 {
            let took = if ms <= 24 { 1 } else { 5 };
            meter.on_served(at(1_000 + ms), Entry { at: at(1_000 + ms - took), found: 0 }, Duration::ZERO);
        }
        assert_eq!(meter.answer(at(1_050), &server).latency, Some(Duration::from_millis(5)));
    }
}
