//! Calls arrive `factor` times as often: a flash crowd, a broadcast, a job that somebody started.
//!
//! Written: `surge = { factor = 5 }`.
//! Unfolds into: the factor on the rate of arrivals from beginning to end.
//! Does not: touch backends, or closed workloads, where nobody calls before an answer came.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::{held_once, times};
use super::{Fault, Targets, When};
use crate::base::quantity::Factor;
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `surge = { factor = 5 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many times as often; above 0, below 1 is a lull.
    pub factor: Factor,
}

impl Fault for Config {
    fn effects(&self, when: &When, _targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let surge = |factor| Effect::Surge { cause: when.cause, factor };
        held_once(when, surge(Some(self.factor.value())), surge(None))
    }

    fn label(&self) -> String {
        format!("surge {}", times(self.factor))
    }

    fn aims_at_backends(&self) -> bool {
        false
    }

    fn affects_backends(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn the_rate_rises_and_falls() {
        let surge = Config { factor: Factor::of(5.0) };
        check(&surge, "10 20 | 0 1", "10 surge ×5, 20 surge off");
        assert_eq!(surge.label(), "surge ×5");
    }
}
