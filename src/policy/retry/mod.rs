//! What happens after a failed attempt.

use serde::{Deserialize, Serialize};

use crate::base::bounds::some_above_zero;
use crate::base::quantity::Factor;
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::status::{Cause, Failure, Status};
use crate::base::time::{Duration, Instant};

/// What comes after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The call has failed.
    Stop,
    /// Another attempt, after a wait.
    Again {
        /// The wait.
        after: Duration,
    },
}

/// What a call has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Attempts so far, 1 or more.
    pub attempts: u32,
    /// How the last one failed.
    pub failure: Failure,
    /// It was given up because it took longer than one attempt may; the call itself still has time.
    pub timed_out: bool,
}

/// Decides about further attempts.
pub trait Retry: Send {
    /// A call ended well.
    fn on_success(&mut self, _now: Instant) {}

    /// An attempt failed: what now?
    fn on_failure(&mut self, now: Instant, tried: &Tried) -> Next;

    /// When to send a further attempt while the first is still open; nothing by default.
    fn hedge(&mut self, _now: Instant, _tried: &Tried) -> Next {
        Next::Stop
    }

    /// How long one attempt may take; no limit but the call's deadline by default.
    fn per_try(&self) -> Option<Duration> {
        None
    }

    /// True if a retry should avoid endpoints that the call has tried, while another is ready.
    fn excludes_tried(&self) -> bool {
        true
    }
}

/// `retry = { attempts = 3, backoff = "20ms" }`: attempts with growing waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Attempts in all, the first included; 1 to 100 (gRPC makes 5 at most).
    #[serde(deserialize_with = "attempts")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// Wait before the second attempt.
    pub backoff: Duration,
    /// Each further wait is this many times the last.
    pub multiplier: Factor,
    /// No wait is longer.
    pub max_backoff: Duration,
    /// How a wait is spread.
    pub jitter: Jitter,
    /// An attempt that takes longer is given up and counts as failed (Envoy's `per_try_timeout`); by default only the
    /// call's deadline ends an attempt.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_above_zero")]
    pub per_try: Option<Duration>,
    /// Statuses that are tried again. A connection that was refused or reset always is.
    pub on: Vec<Status>,
    /// Further attempts avoid endpoints that the call has tried.
    pub exclude_tried: bool,
}

/// How a wait is spread around its nominal length `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// `w`.
    #[default]
    None,
    /// Uniform in `[0, w]`.
    Full,
    /// Uniform in `[w/2, w]`.
    Equal,
    /// Uniform in `[0.8 w, 1.2 w]` (gRFC A6 as amended).
    Fifth,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            attempts: 3,
            backoff: Duration::from_millis(100),
            multiplier: Factor::of(2.0),
            max_backoff: Duration::from_secs(1),
            jitter: Jitter::None,
            per_try: None,
            on: vec![Status::Unavailable],
            exclude_tried: true,
        }
    }
}

impl Config {
    /// The machine of one client.
    pub fn build(&self, seed: &Seed) -> Box<dyn Retry> {
        Box::new(Backoff { config: self.clone(), rand: seed.stream("retry") })
    }
}

/// Reads a number of attempts: a call makes one, and a hundred without a wait between them go round in circles.
fn attempts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        attempts @ 1..=100 => Ok(attempts),
        attempts => Err(serde::de::Error::custom(format_args!("{attempts} attempts make no sense: write 1 to 100"))),
    }
}

#[derive(Debug)]
struct Backoff {
    config: Config,
    rand: Rand,
}

impl Backoff {
    /// Nominal wait before attempt `attempts + 1`.
    fn wait(&self, attempts: u32) -> Duration {
        let mut wait = self.config.backoff;
        for _ in 1..attempts {
            wait = wait.scale(self.config.multiplier.value()).min(self.config.max_backoff);
        }
        wait.min(self.config.max_backoff)
    }

    fn spread(&mut self, wait: Duration) -> Duration {
        match self.config.jitter {
            Jitter::None => wait,
            Jitter::Full => wait.scale(self.rand.unit()),
            Jitter::Equal => wait.scale(0.5 + 0.5 * self.rand.unit()),
            Jitter::Fifth => wait.scale(0.8 + 0.4 * self.rand.unit()),
        }
    }
}

impl Retry for Backoff {
    fn on_failure(&mut self, _now: Instant, tried: &Tried) -> Next {
        let Failure { status, cause } = tried.failure;
        let out_of_time = cause == Cause::Deadline && !tried.timed_out;
        let final_cause = out_of_time || matches!(cause, Cause::Dropped | Cause::Cancelled);
        let retryable = tried.timed_out || cause == Cause::Connection || self.config.on.contains(&status);
        if final_cause || !retryable || tried.attempts >= self.config.attempts {
            return Next::Stop;
        }
        let wait = self.wait(tried.attempts);
        Next::Again { after: self.spread(wait) }
    }

    fn per_try(&self) -> Option<Duration> {
        self.config.per_try
    }

    fn excludes_tried(&self) -> bool {
        self.config.exclude_tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(config: &Config, failure: Failure) -> Vec<Option<u64>> {
        let mut retry = config.build(&Seed::new(1));
        let next = |attempts| match retry.on_failure(Instant::ZERO, &Tried { attempts, failure, timed_out: false }) {
            Next::Stop => None,
            Next::Again { after } => Some(after.as_nanos() / 1_000_000),
        };
        (1..=7).map(next).collect()
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let config = Config { attempts: 7, ..Config::default() };
        let expected = [Some(100), Some(200), Some(400), Some(800), Some(1000), Some(1000), None];
        assert_eq!(waits(&config, Failure::of(Cause::Connection)), expected);
    }

    #[test]
    fn only_what_may_be_tried_again_is() {
        assert_eq!(waits(&Config::default(), Failure::of(Cause::Connection))[..3], [Some(100), Some(200), None]);
        assert_eq!(waits(&Config::default(), Failure::backend(Status::Internal))[0], None);
        assert_eq!(waits(&Config::default(), Failure::of(Cause::Dropped))[0], None, "a drop is never retried");
        let config = Config { on: vec![Status::ResourceExhausted], ..Config::default() };
        assert_eq!(waits(&config, Failure::of(Cause::QueueFull))[0], Some(100));
    }

    #[test]
    fn one_attempt_may_run_out_of_time_but_not_the_call() {
        let mut retry = Config::default().build(&Seed::new(1));
        let failure = Failure::of(Cause::Deadline);
        let mut next = |timed_out| retry.on_failure(Instant::ZERO, &Tried { attempts: 1, failure, timed_out });
        assert_eq!(next(false), Next::Stop);
        assert_eq!(next(true), Next::Again { after: Duration::from_millis(100) });
    }

    #[test]
    fn jitter_stays_in_its_range() {
        for (jitter, low, high) in [(Jitter::Full, 0, 100), (Jitter::Equal, 50, 100), (Jitter::Fifth, 80, 120)] {
            let mut retry = Config { jitter, ..Config::default() }.build(&Seed::new(1));
            let tried = Tried { attempts: 1, failure: Failure::of(Cause::Connection), timed_out: false };
            let drawn: Vec<u64> = (0..200)
                .map(|_| match retry.on_failure(Instant::ZERO, &tried) {
                    Next::Again { after } => after.as_nanos() / 1_000_000,
                    Next::Stop => panic!("it may be tried again"),
                })
                .collect();
            assert!(drawn.iter().all(|ms| (low..=high).contains(ms)), "{jitter:?}: {drawn:?}");
            assert!(drawn.iter().max().unwrap() - drawn.iter().min().unwrap() > (high - low) / 2);
        }
    }
}
