//! Values per window of time, for the curves.

use super::Frame;
use crate::base::hist::WindowHistogram;
use crate::base::status::{Cause, Outcome};
use crate::base::time::{Duration, Instant};
use crate::measure::series::{Series, Window};

#[derive(Debug)]
pub(super) struct Fold {
    step: u64,
    /// Windows begin before here; what ends later in the drain belongs to none.
    end: u64,
    next: u64,
    windows: Vec<Window>,
    present: Window,
    latency: WindowHistogram,
    open: u64,
    /// Calls that never ended, by the window of their birth.
    unfinished: Vec<u64>,
}

/// Steps that people read easily, in milliseconds.
const STEPS_MS: &[u64] = &[100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000];
/// More windows than this are not made, if a longer step is known.
const MOST: u64 = 600;

/// The shortest easy step that makes no more than `most` windows of a duration.
pub(super) fn step_for(duration: Instant, most: u64) -> u64 {
    let ns = duration.as_nanos();
    let fits = |step: &u64| ns.div_ceil(step * 1_000_000) <= most;
    STEPS_MS.iter().copied().find(fits).map_or(ns.div_ceil(most), |ms| ms * 1_000_000)
}

impl Fold {
    pub(super) fn new(frame: &Frame) -> Fold {
        let step = step_for(frame.duration, MOST);
        Fold {
            step,
            end: frame.duration.as_nanos(),
            next: step,
            windows: Vec::new(),
            present: Window::default(),
            latency: WindowHistogram::new(),
            open: 0,
            unfinished: Vec::new(),
        }
    }

    /// When the present window ends.
    pub(super) fn next(&self) -> Instant {
        Instant::from_nanos(self.next)
    }

    /// The present window ends; `uneven` is the balance within it, `(max over mean, cv)`.
    pub(super) fn close(&mut self, uneven: Option<(f64, f64)>) {
        let mut window = std::mem::take(&mut self.present);
        window.p50_ns = self.latency.quantile(0.5).map(Duration::as_nanos);
        window.p99_ns = self.latency.quantile(0.99).map(Duration::as_nanos);
        window.in_flight_max = window.in_flight_max.max(self.open);
        (window.max_over_mean, window.cv) = uneven.map_or((None, None), |(max, cv)| (Some(max), Some(cv)));
        self.latency.clear();
        if self.next < self.end.saturating_add(self.step) {
            self.windows.push(window);
        }
        self.next += self.step;
    }

    #[inline]
    pub(super) fn on_born(&mut self, open: u64) {
        self.present.offered += 1;
        self.open = open;
        self.present.in_flight_max = self.present.in_flight_max.max(open);
    }

    #[inline]
    pub(super) fn on_sent(&mut self) {
        self.present.attempts += 1;
    }

    #[inline]
    pub(super) fn on_looked(&mut self, hit: bool) {
        self.present.cache_lookups += 1;
        self.present.cache_hits += u64::from(hit);
    }

    #[inline]
    pub(super) fn on_arrived(&mut self, waiting: u32) {
        self.present.queue_max = self.present.queue_max.max(waiting);
    }

    #[inline]
    pub(super) fn on_ended(&mut self, at: Instant, born: Instant, outcome: Outcome) {
        self.open = self.open.saturating_sub(1);
        match outcome {
            Ok(()) => {
                self.present.good += 1;
                self.latency.record(at - born);
            }
            Err(failure) if failure.cause == Cause::Unfinished => self.on_unfinished(born),
            Err(_) => self.present.failed += 1,
        }
    }

    fn on_unfinished(&mut self, born: Instant) {
        let window = (born.as_nanos() / self.step) as usize;
        if self.unfinished.len() <= window {
            self.unfinished.resize(window + 1, 0);
        }
        self.unfinished[window] += 1;
    }

    /// The last window ends with the run, if it has begun within the measured stretch.
    pub(super) fn over(&mut self) {
        if self.next - self.step < self.end {
            self.close(None);
        }
    }

    /// Calls that never ended, by the window of their birth.
    pub(super) fn unfinished_births(&self) -> &[u64] {
        &self.unfinished
    }

    pub(super) fn finish(&mut self) -> Series {
        Series { step_ns: self.step, windows: std::mem::take(&mut self.windows) }
    }
}
