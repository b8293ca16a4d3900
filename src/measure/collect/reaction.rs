//! How the fleet answered to the faults: the windows that `measure::reaction` judges.

use super::Frame;
use crate::base::id::BackendId;
use crate::base::time::Instant;
use crate::measure::reaction::{DetectSpan, DetectWindow, Reacted, RecoverySpan, RecoveryWindow};
use crate::measure::reaction::{time_to_detect, time_to_fair_share, time_to_recover};
use crate::measure::series::Series;
use crate::measure::summary::Reaction;

/// Counts where attempts go while the first fault lasts that should take traffic from somebody.
#[derive(Debug)]
pub(super) struct Detect {
    from: u64,
    until: u64,
    affected: Vec<bool>,
    fair_share: f64,
    windows: Vec<DetectWindow>,
}

const STEP: u64 = 100_000_000;

impl Detect {
    pub(super) fn new(frame: &Frame) -> Option<Detect> {
        let fault = frame.faults.iter().find(|fault| !fault.affected.is_empty())?;
        let mut affected = vec![false; frame.backends.len()];
        for backend in &fault.affected {
            affected[backend.index()] = true;
        }
        let weight =
            |(i, (weight, up)): (usize, &(u32, bool))| (affected[i], if *up { f64::from(*weight) } else { 0.0 });
        let weights: Vec<(bool, f64)> = frame.backends.iter().enumerate().map(weight).collect();
        let theirs: f64 = weights.iter().filter(|(is, _)| *is).map(|(_, weight)| weight).sum();
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let (from, until) = (fault.from.as_nanos(), fault.until.min(frame.duration).as_nanos());
        let fair_share = if total > 0.0 { theirs / total } else { 0.0 };
        let count = until.saturating_sub(from) / STEP;
        let window = |k| DetectWindow { from_ns: from + k * STEP, ..DetectWindow::default() };
        Some(Detect { from, until, affected, fair_share, windows: (0..count).map(window).collect() })
    }

    #[inline]
    pub(super) fn on_sent(&mut self, at: Instant, backend: BackendId) {
        let at = at.as_nanos();
        if at < self.from || at >= self.until {
            return;
        }
        if let Some(window) = self.windows.get_mut(((at - self.from) / STEP) as usize) {
            window.attempts += 1;
            window.to_affected += u64::from(self.affected[backend.index()]);
        }
    }

    fn span(&self) -> DetectSpan {
        DetectSpan { step_ns: STEP, from_ns: self.from, until_ns: self.until, fair_share: self.fair_share }
    }
}

/// Counts what the first newcomers get: backends that were not there at the start, all that come at one instant.
#[derive(Debug)]
pub(super) struct Newcomers {
    weights: Vec<u32>,
    up: Vec<bool>,
    /// Who was there at the start, or has come later than the first.
    known: Vec<bool>,
    until: u64,
    /// From when the first of them came; `None` before.
    counts: Option<Detect>,
}

impl Newcomers {
    /// `None` where all are there from the start.
    pub(super) fn new(frame: &Frame) -> Option<Newcomers> {
        let up: Vec<bool> = frame.backends.iter().map(|(_, up)| *up).collect();
        up.contains(&false).then(|| Newcomers {
            weights: frame.backends.iter().map(|(weight, _)| *weight).collect(),
            known: up.clone(),
            up,
            until: frame.duration.as_nanos(),
            counts: None,
        })
    }

    pub(super) fn on_member(&mut self, at: Instant, backend: BackendId, up: bool) {
        self.up[backend.index()] = up;
        let is_new = up && !std::mem::replace(&mut self.known[backend.index()], true);
        let from = at.as_nanos();
        if !is_new || from >= self.until || self.counts.as_ref().is_some_and(|counts| counts.from != from) {
            return;
        }
        let counts = self.counts.get_or_insert_with(|| {
            let count = (self.until - from) / STEP;
            let window = |k| DetectWindow { from_ns: from + k * STEP, ..DetectWindow::default() };
            Detect {
                from,
                until: self.until,
                affected: vec![false; self.up.len()],
                fair_share: 0.0,
                windows: (0..count).map(window).collect(),
            }
        });
        counts.affected[backend.index()] = true;
        let weight = |is: &[bool]| -> f64 {
            self.weights.iter().zip(is).filter(|(_, is)| **is).map(|(weight, _)| f64::from(*weight)).sum()
        };
        counts.fair_share = weight(&counts.affected) / weight(&self.up).max(1.0);
    }

    #[inline]
    pub(super) fn on_sent(&mut self, at: Instant, backend: BackendId) {
        if let Some(counts) = &mut self.counts {
            counts.on_sent(at, backend);
        }
    }
}

/// All that is known of the reactions in a run.
pub(super) struct Reactions<'a> {
    pub(super) frame: &'a Frame,
    pub(super) series: &'a Series,
    pub(super) unfinished: &'a [u64],
    pub(super) detect: Option<&'a Detect>,
    pub(super) newcomers: Option<&'a Newcomers>,
}

impl Reactions<'_> {
    pub(super) fn read(&self) -> Reaction {
        let recovered = self.recovered();
        let detected = self.detect.map_or(Reacted::Unknown, |detect| time_to_detect(&detect.windows, &detect.span()));
        let joined = self.newcomers.and_then(|newcomers| newcomers.counts.as_ref());
        let settled = joined.map_or(Reacted::Unknown, |counts| time_to_fair_share(&counts.windows, &counts.span()));
        let after = |reacted| if let Reacted::After(ns) = reacted { Some(ns) } else { None };
        Reaction {
            faulted: recovered != Reacted::Unknown,
            time_to_recover_ns: after(recovered),
            recovered: matches!(recovered, Reacted::After(_)),
            detectable: detected != Reacted::Unknown,
            time_to_detect_ns: after(detected),
            detected: matches!(detected, Reacted::After(_)),
            joined: settled != Reacted::Unknown,
            time_to_fair_share_ns: after(settled),
            settled: matches!(settled, Reacted::After(_)),
        }
    }

    fn recovered(&self) -> Reacted {
        let Reactions { frame, series, unfinished, .. } = self;
        let (Some(first), Some(last)) = (frame.faults.first(), frame.faults.last()) else { return Reacted::Unknown };
        let span = RecoverySpan {
            step_ns: series.step_ns,
            warmup_ns: frame.warmup.as_nanos(),
            first_fault_ns: first.from.as_nanos(),
            last_fault_ns: last.from.as_nanos(),
            end_ns: frame.duration.as_nanos(),
        };
        let window = |(i, window): (usize, &crate::measure::series::Window)| {
            let lost = unfinished.get(i).copied().unwrap_or(0);
            RecoveryWindow {
                from_ns: i as u64 * series.step_ns,
                ended: window.good + window.failed + lost,
                failed: window.failed + lost,
                p99_ns: window.p99_ns,
            }
        };
        let windows: Vec<RecoveryWindow> = series.windows.iter().enumerate().map(window).collect();
        time_to_recover(&windows, &span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::measure::collect::testing::frame;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    /// When two that join ten at 10 s settle, if from `from` on they get every sixth attempt of 1,000 a second, and
    /// before every 15th.
    fn settles(from: u64) -> Reaction {
        let frame = frame(&[vec![true; 10], vec![false; 3]].concat());
        let mut newcomers = Newcomers::new(&frame).unwrap();
        let backends = (10..12).map(BackendId);
        backends.for_each(|id| newcomers.on_member(at(10_000), id, true));
        // Who comes later, and who comes again, is not of the first.
        newcomers.on_member(at(11_000), BackendId(12), true);
        newcomers.on_member(at(12_000), BackendId(10), false);
        newcomers.on_member(at(13_000), BackendId(10), true);
        for ms in 0..60_000 {
            let nth = if ms < from { 15 } else { 6 };
            newcomers.on_sent(
                at(ms),
                BackendId(if ms % nth == 0 { 10 + (ms % 2) as u32 } else { 12 - 12 * (ms % 2) as u32 }),
            );
        }
        let series = Series::default();
        Reactions { frame: &frame, series: &series, unfinished: &[], detect: None, newcomers: Some(&newcomers) }.read()
    }

    #[test]
    fn newcomers_settle_when_they_get_their_share() {
        let found = settles(25_000);
        assert!(found.joined && found.settled && !found.faulted && !found.detectable);
        let after = found.time_to_fair_share_ns.unwrap() / 1_000_000;
        assert!((14_600..=15_000).contains(&after), "{after} ms");
        assert!(!settles(100_000).settled, "never");
        assert!(Newcomers::new(&frame(&[true; 3])).is_none(), "nobody joins");
    }
}
