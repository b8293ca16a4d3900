//! Discovery announces another weight for the targets, as an operator does who shifts traffic to a new version. Each
//! client hears of it after the discovery's own delay, its connections stay, and its balancer sees the new weight.
//!
//! Written: `reweight = { weight = 10 }`, `reweight = { weight = 0 }`.
//! Unfolds into: the weight announced for the targets from beginning to end; then what was announced before.
//! Does not: change how fast the targets serve. Balancers that look at no weights go on as before; 0 takes all calls
//! from those that do, unless everybody weighs 0. Fair shares in the reports follow the announced weight.

use serde::{Deserialize, Serialize};

use super::effect::{Announcement, Effect};
use super::shape::announced;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `reweight = { weight = 10 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The weight of each target from now on, 0 to 1,000,000.
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        announced(when, targets.chosen, Announcement::Weight(self.weight))
    }

    fn label(&self) -> String {
        format!("weight {}", self.weight)
    }

    fn check(&self) -> Result<(), String> {
        if self.weight > MOST {
            return Err(format!("`weight` is {}, and must be 0 to {MOST}", self.weight));
        }
        Ok(())
    }

    fn affects_backends(&self) -> bool {
        false
    }

    fn announces(&self) -> bool {
        true
    }
}

/// Largest weight, as in `[[backends]]`.
const MOST: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn one_announcement_for_all_targets() {
        let reweight = Config { weight: 10 };
        check(&reweight, "10 20 | 0 1", "10 announce 0 1 Weight(10), 20 announce 0 1 off");
        check(&reweight, "10 - | 5", "10 announce 5 Weight(10)");
        assert_eq!(reweight.label(), "weight 10");
    }

    #[test]
    fn nobody_weighs_more_than_the_most() {
        assert!(Config { weight: 0 }.check().is_ok() && Config { weight: MOST }.check().is_ok());
        assert!(Config { weight: MOST + 1 }.check().unwrap_err().contains("`weight`"));
    }
}
