//! The process is gone and nobody says goodbye: the host lost power, or its network card did. Clients find out
//! by waiting. After `for` it is back, cold.
//!
//! Written: `kill = {}`.
//! Unfolds into: down without resets at the beginning, up at the end of `for`; without `for` it stays away.
//! Does not: touch discovery; its registration runs out, or stays for ever where nothing runs out.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::held;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `kill = {}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        held(when, targets.chosen, |backend| Effect::Down { backend, loud: false }, |backend| Effect::Up { backend })
    }

    fn label(&self) -> String {
        "kill".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn down_without_a_word_then_up() {
        check(&Config {}, "10 20 | 0", "10 down 0 silent, 20 up 0");
    }
}
