//! How the fleet answered to the faults: the windows that `measure::reaction` judges.

use super::Frame;
use crate::base::id::BackendId;
use crate::base::time::Instant;
use crate::measure::reaction::{DetectSpan, DetectWindow, Reacted, RecoverySpan, RecoveryWindow};
use crate::measure::reaction::{time_to_detect, time_to_recover};
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

    fn read(&self) -> Reacted {
        let span = DetectSpan { step_ns: STEP, from_ns: self.from, until_ns: self.until, fair_share: self.fair_share };
        time_to_detect(&self.windows, &span)
    }
}

pub(super) fn read(frame: &Frame, series: &Series, unfinished: &[u64], detect: Option<&Detect>) -> Reaction {
    let (Some(first), Some(last)) = (frame.faults.first(), frame.faults.last()) else { return Reaction::default() };
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
    let recovered = time_to_recover(&windows, &span);
    let detected = detect.map_or(Reacted::Unknown, Detect::read);
    let after = |reacted| if let Reacted::After(ns) = reacted { Some(ns) } else { None };
    Reaction {
        faulted: recovered != Reacted::Unknown,
        time_to_recover_ns: after(recovered),
        recovered: matches!(recovered, Reacted::After(_)),
        detectable: detected != Reacted::Unknown,
        time_to_detect_ns: after(detected),
        detected: matches!(detected, Reacted::After(_)),
    }
}
