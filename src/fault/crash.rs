//! The process dies and its connections are reset: clients know at once. After `for` it is back, cold.
//!
//! Written: `crash = {}`.
//! Unfolds into: down with resets at the beginning, up at the end of `for`; without `for` it stays away.
//! Does not: say goodbye to discovery; a lease ends when it runs out. A death that nobody notices is `kill`.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::held;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `crash = {}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        held(when, targets.chosen, |backend| Effect::Down { backend, loud: true }, |backend| Effect::Up { backend })
    }

    fn label(&self) -> String {
        "crash".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn down_with_resets_then_up() {
        check(&Config {}, "10 20 | 0 2", "10 down 0 loud, 10 down 2 loud, 20 up 0, 20 up 2");
        check(&Config {}, "10 - | 1", "10 down 1 loud");
    }
}
