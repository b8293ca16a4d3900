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

    /// Closes the windows that end at or before `at`.
    #[inline]
    pub(super) fn turn(&mut self, at: Instant) {
        while at.as_nanos() >= self.next {
            self.close();
        }
    }

    /// When the present window ends.
    pub(super) fn next(&self) -> Instant {
        Instant::from_nanos(self.next)
    }

    fn close(&mut self) {
        let mut window = std::mem::take(&mut self.present);
        window.p50_ns = self.latency.quantile(0.5).map(Duration::as_nanos);
        window.p99_ns = self.latency.quantile(0.99).map(Duration::as_nanos);
        window.in_flight_max = window.in_flight_max.max(self.open);
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
    pub(super) fn on_arrived(&mut self, waiting: u32) {
        self.present.queue_max = self.present.queue_max.max(waiting);
    }

    #[inline]
    pub(super) fn on_ended(&mut self, took: Duration, outcome: Outcome) {
        self.open = self.open.saturating_sub(1);
        match outcome {
            Ok(()) => {
                self.present.good += 1;
                self.latency.record(took);
            }
            Err(failure) if failure.cause == Cause::Unfinished => self.on_unfinished(took),
            Err(_) => self.present.failed += 1,
        }
    }

    fn on_unfinished(&mut self, age: Duration) {
        let now = self.next - self.step;
        let window = (now.saturating_sub(age.as_nanos()) / self.step) as usize;
        if self.unfinished.len() <= window {
            self.unfinished.resize(window + 1, 0);
        }
        self.unfinished[window] += 1;
    }

    pub(super) fn over(&mut self, at: Instant) {
        self.turn(at);
        if self.next - self.step < self.end {
            self.close();
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
