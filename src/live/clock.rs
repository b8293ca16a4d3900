//! The one place that reads a clock, and the one thread that waits for it.
//!
//! Everything that is due at an instant of a live run (a call, an answer of a backend, a wake-up of a channel, an
//! effect) hangs on one list of alarms that one plain thread serves. A timer of the async runtime rounds up to whole
//! milliseconds; a thread that waits on a condition variable is late by a twentieth of that on a quiet machine.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::base::time::{Duration, Instant};

/// Time since a run began.
#[derive(Debug, Default)]
pub struct Clock {
    began: OnceLock<std::time::Instant>,
}

impl Clock {
    /// The run begins.
    pub fn start(&self) {
        let _ = self.began.set(read());
    }

    /// Now; the beginning, as long as the run has not begun.
    pub fn now(&self) -> Instant {
        let since = self.began.get().map(|began| read().saturating_duration_since(*began));
        since.map_or(Instant::ZERO, |since| Instant::from_nanos(since.as_nanos().min(u128::from(u64::MAX - 1)) as u64))
    }
}

#[allow(clippy::disallowed_methods, reason = "live runs happen in real time, and it is read here only")]
fn read() -> std::time::Instant {
    std::time::Instant::now()
}

/// What happens when an alarm goes off.
type Ring = Box<dyn FnOnce() + Send>;

/// Everything that is due.
#[derive(Default)]
pub struct Alarms {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    /// By instant, then in the order in which they were set.
    due: BTreeMap<(Instant, u64), Ring>,
    set: u64,
    stopped: bool,
}

impl Alarms {
    /// Rings at `at`, or as soon as possible if that has passed; never for [`Instant::NEVER`].
    pub fn set(&self, at: Instant, ring: impl FnOnce() + Send + 'static) {
        if at == Instant::NEVER {
            return;
        }
        let mut pending = self.lock();
        if pending.stopped {
            return;
        }
        pending.set += 1;
        let number = pending.set;
        let soonest = pending.due.first_key_value().is_none_or(|(first, _)| at < first.0);
        pending.due.insert((at, number), Box::new(ring));
        drop(pending);
        if soonest {
            self.changed.notify_one();
        }
    }

    /// Returns at `at`, in a task; at once when no alarm goes off any more.
    pub async fn sleep_until(&self, at: Instant) {
        let (ring, rung) = oneshot::channel();
        self.set(at, move || {
            let _ = ring.send(());
        });
        let _ = rung.await;
    }

    /// Starts the thread.
    pub fn start(self: &Arc<Alarms>, clock: &Arc<Clock>) -> std::io::Result<JoinHandle<()>> {
        let (alarms, clock) = (self.clone(), clock.clone());
        std::thread::Builder::new().name("alarms".to_owned()).spawn(move || alarms.serve(&clock))
    }

    /// No alarm goes off any more; the thread ends.
    pub fn stop(&self) {
        let mut pending = self.lock();
        pending.stopped = true;
        let due = std::mem::take(&mut pending.due);
        drop(pending);
        drop(due);
        self.changed.notify_all();
    }

    fn serve(&self, clock: &Clock) {
        let mut pending = self.lock();
        while !pending.stopped {
            let Some((at, _)) = pending.due.first_key_value().map(|(key, _)| *key) else {
                pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = clock.now();
            if at > now {
                let wait = to_std(at - now);
                pending = self.changed.wait_timeout(pending, wait).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some((_, ring)) = pending.due.pop_first() else { continue };
            drop(pending);
            ring();
            pending = self.lock();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        // Nothing panics while it is held.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Alarms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alarms").field("pending", &self.lock().due.len()).finish()
    }
}

/// As the standard library counts.
pub fn to_std(duration: Duration) -> std::time::Duration {
    std::time::Duration::from_nanos(duration.as_nanos())
}

/// How late something was, again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lag {
    nanos: Vec<u64>,
}

impl Lag {
    /// One more.
    pub fn add(&mut self, late: Duration) {
        self.nanos.push(late.as_nanos());
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.nanos.len()
    }

    /// The smallest lag that a share `q` of all does not exceed; zero if there is none.
    pub fn quantile(&self, q: f64) -> Duration {
        let mut nanos = self.nanos.clone();
        nanos.sort_unstable_by_key(|ns| Reverse(*ns));
        let above = ((1.0 - q) * nanos.len() as f64) as usize;
        nanos.get(above).map_or(Duration::ZERO, |ns| Duration::from_nanos(*ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn alarms_go_off_in_order_and_not_too_early() {
        let (alarms, clock) = (Arc::new(Alarms::default()), Arc::new(Clock::default()));
        let (tell, told) = mpsc::channel();
        clock.start();
        for ms in [20, 5, 10, 5] {
            let at = Instant::ZERO + Duration::from_millis(ms);
            let (tell, clock) = (tell.clone(), clock.clone());
            alarms.set(at, move || tell.send((ms, clock.now() >= at)).expect("somebody listens"));
        }
        let thread = alarms.start(&clock).expect("a thread can be started");
        let all: Vec<_> =
            (0..4).map(|_| told.recv_timeout(to_std(Duration::from_secs(5))).expect("it rings")).collect();
        assert_eq!(all, [(5, true), (5, true), (10, true), (20, true)]);
        alarms.stop();
        thread.join().expect("the thread ends");
    }

    #[test]
    fn lag_is_read_from_its_upper_end() {
        let mut lag = Lag::default();
        assert_eq!(lag.quantile(0.999), Duration::ZERO);
        for ns in 1..=1_000 {
            lag.add(Duration::from_nanos(ns));
        }
        assert_eq!(lag.quantile(0.5).as_nanos(), 500);
        assert_eq!(lag.quantile(0.999).as_nanos(), 999);
    }
}
