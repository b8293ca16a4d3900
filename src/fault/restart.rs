//! The targets are restarted: away for `down`, then back, cold. All at once, or each `stagger` after the one before.
//! With `drain` each says goodbye first and `down` counts from there; calls still open after `grace`, or when the
//! new process starts, are lost. Without, connections are reset.
//!
//! Written: `restart = { down = "5s" }`, `restart = { down = "5s", drain = true, grace = "2s", stagger = "10s" }`.
//! Unfolds into: for each target, in id order, down with resets or a drain, and up `down` later.
//! Does not: wait for one target to be back before the next goes; that is `rolling_deploy`. It ends by itself
//! and takes no `for`.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::not_too_short;
use super::{Fault, Targets, When, later};
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};

/// `restart = { down = "5s" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long each is away.
    pub down: Duration,
    /// Whether it says goodbye first.
    pub drain: bool,
    /// How long open calls may take after the goodbye; by default until the new process starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
    /// From one target to the next; by default all at once.
    pub stagger: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { down: Duration::from_secs(5), drain: false, grace: None, stagger: Duration::ZERO }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let grace = self.grace.unwrap_or(self.down).min(self.down);
        let restart = |(number, &backend): (usize, _)| {
            let at = later(when.at, self.stagger.saturating_mul(number as u64));
            let away = if self.drain { Effect::Drain { backend, grace } } else { Effect::Down { backend, loud: true } };
            [(at, away), (later(at, self.down), Effect::Up { backend })]
        };
        targets.chosen.iter().enumerate().flat_map(restart).collect()
    }

    fn label(&self) -> String {
        match (self.drain, self.stagger.is_zero()) {
            (true, true) => "drained restart".to_owned(),
            (true, false) => "staggered, drained restart".to_owned(),
            (false, true) => "restart".to_owned(),
            (false, false) => "staggered restart".to_owned(),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.grace.is_some() && !self.drain {
            return Err("`grace` needs `drain = true`: without a goodbye nobody is given time".to_owned());
        }
        not_too_short([("down", Some(self.down))])
    }

    fn affects_backends(&self) -> bool {
        // One after the other, they are never without traffic together.
        self.stagger.is_zero()
    }

    fn ends_by_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn all_at_once() {
        check(&Config::default(), "10 - | 0 1", "10 down 0 loud, 15 up 0, 10 down 1 loud, 15 up 1");
    }

    #[test]
    fn staggered_with_a_goodbye() {
        let restart = Config { drain: true, stagger: s(2), ..Config::default() };
        check(&restart, "10 - | 0 1", "10 drain 0 in 5s, 15 up 0, 12 drain 1 in 5s, 17 up 1");
        let impatient = Config { grace: Some(s(1)), ..restart.clone() };
        check(&impatient, "10 - | 0", "10 drain 0 in 1s, 15 up 0");
        let patient = Config { grace: Some(s(60)), ..restart };
        check(&patient, "10 - | 0", "10 drain 0 in 5s, 15 up 0");
    }

    #[test]
    fn grace_without_goodbye_is_refused() {
        assert!(Config { grace: Some(s(1)), ..Config::default() }.check().unwrap_err().contains("`drain"));
        assert!(Config { down: Duration::ZERO, ..Config::default() }.check().unwrap_err().contains("`down`"));
    }
}
