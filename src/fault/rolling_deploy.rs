//! A new version is rolled out: `batch` targets at a time, in id order, say goodbye, are away for `down`, and come
//! back cold; `pause` later the next batch goes. `down` counts from the goodbye; calls still open after `grace`,
//! or when the new process starts, are lost.
//!
//! Written: `rolling_deploy = { batch = 1, down = "5s", pause = "10s", grace = "30s" }`.
//! Unfolds into: for each batch a drain of its members and, `down` later, up.
//! Does not: start the new process beside the old one, or stop when the new version is bad. It ends by itself and
//! takes no `for`.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::not_too_short;
use super::{Fault, Targets, When, later};
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};

/// `rolling_deploy = {}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many go together, 1 or more.
    pub batch: NonZeroU32,
    /// How long each is away.
    pub down: Duration,
    /// From a batch that is back to the next that goes.
    pub pause: Duration,
    /// How long open calls may take after the goodbye, at most until the new process starts.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            batch: NonZeroU32::MIN,
            down: Duration::from_secs(5),
            pause: Duration::from_secs(10),
            grace: Duration::from_secs(30),
        }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let grace = self.grace.min(self.down);
        let mut effects = Vec::new();
        let mut at = when.at;
        for batch in targets.chosen.chunks(self.batch.get() as usize) {
            let back = later(at, self.down);
            effects.extend(batch.iter().map(|&backend| (at, Effect::Drain { backend, grace })));
            effects.extend(batch.iter().map(|&backend| (back, Effect::Up { backend })));
            at = later(back, self.pause);
        }
        effects
    }

    fn label(&self) -> String {
        match self.batch.get() {
            1 => "rolling deploy".to_owned(),
            batch => format!("rolling deploy by {batch}"),
        }
    }

    fn check(&self) -> Result<(), String> {
        not_too_short([("down", Some(self.down))])
    }

    fn affects_backends(&self) -> bool {
        false
    }

    fn ends_by_itself(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn batches_in_order() {
        let deploy = Config { batch: NonZeroU32::new(2).unwrap(), ..Config::default() };
        check(
            &deploy,
            "10 - | 0 1 2",
            "10 drain 0 in 5s, 10 drain 1 in 5s, 15 up 0, 15 up 1, 25 drain 2 in 5s, 30 up 2",
        );
        assert_eq!(deploy.label(), "rolling deploy by 2");
    }

    #[test]
    fn grace_counts_from_the_goodbye() {
        let deploy = Config { grace: Duration::from_secs(2), pause: Duration::ZERO, ..Config::default() };
        check(&deploy, "10 - | 0 1", "10 drain 0 in 2s, 15 up 0, 15 drain 1 in 2s, 20 up 1");
    }
}
