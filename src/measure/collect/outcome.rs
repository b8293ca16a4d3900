//! How the counted calls ended, and how long they took.

use crate::base::hist::Histogram;
use crate::base::status::{Cause, Outcome};
use crate::base::time::{Duration, Instant};
use crate::measure::summary::{Latency, Outcomes, QUANTILES};

#[derive(Debug)]
pub(super) struct Fold {
    warmup: Instant,
    duration: Instant,
    calls: u64,
    ok: u64,
    attempts: u64,
    failures: [u64; Cause::ALL.len()],
    good: Histogram,
    bad: Histogram,
}

impl Fold {
    pub(super) fn new(warmup: Instant, duration: Instant) -> Fold {
        let (good, bad) = (Histogram::new(), Histogram::new());
        Fold { warmup, duration, calls: 0, ok: 0, attempts: 0, failures: [0; Cause::ALL.len()], good, bad }
    }

    #[inline]
    pub(super) fn on_ended(&mut self, at: Instant, born: Instant, outcome: Outcome, attempts: u32) {
        // A call is counted by its intended start, so that what is slow is not lost at the end.
        if born < self.warmup || born >= self.duration {
            return;
        }
        self.calls += 1;
        self.attempts += u64::from(attempts);
        let took = at - born;
        match outcome {
            Ok(()) => {
                self.ok += 1;
                self.good.record(took);
            }
            Err(failure) => {
                self.failures[failure.cause as usize] += 1;
                self.bad.record(took);
            }
        }
    }

    pub(super) fn finish(&mut self) -> (Outcomes, Latency, Latency) {
        let failures = Cause::ALL.into_iter().map(|cause| (cause.name().to_owned(), self.failures[cause as usize]));
        let outcomes = Outcomes {
            calls: self.calls,
            ok: self.ok,
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            attempts: self.attempts,
        };
        let good = latency(&self.good);
        self.bad.merge(&self.good);
        (outcomes, good, latency(&self.bad))
    }
}

fn latency(histogram: &Histogram) -> Latency {
    let values = histogram.quantiles(QUANTILES);
    Latency {
        count: histogram.count(),
        sum_ns: histogram.sum_ns(),
        max_ns: histogram.max().unwrap_or(Duration::ZERO).as_nanos(),
        quantiles: QUANTILES.iter().copied().zip(values.iter().map(|value| value.as_nanos())).collect(),
    }
}
