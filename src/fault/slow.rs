//! Service takes `factor` times as long: a failing disk, a hot core, a bad build.
//!
//! Written: `slow = { factor = 10 }`.
//! Unfolds into: the factor on each target from beginning to end.
//! Does not: reduce the number of workers (that is `brownout`) or come and go (that is `noisy_neighbour`).

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::{held, times};
use super::{Fault, Targets, When};
use crate::base::quantity::Factor;
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `slow = { factor = 10 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many times as long; above 0, below 1 speeds up.
    pub factor: Factor,
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let slow = |factor| move |backend| Effect::Slow { backend, cause: when.cause, factor };
        held(when, targets.chosen, slow(Some(self.factor.value())), slow(None))
    }

    fn label(&self) -> String {
        format!("slow {}", times(self.factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn the_factor_comes_and_goes() {
        let slow = Config { factor: Factor::of(10.0) };
        check(&slow, "10 20 | 0 1", "10 slow 0 ×10, 10 slow 1 ×10, 20 slow 0 off, 20 slow 1 off");
        check(&slow, "10 - | 0", "10 slow 0 ×10");
        assert_eq!(slow.label(), "slow ×10");
    }
}
