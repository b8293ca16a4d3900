//! The hottest keys change: another product is on the front page. Affinity has to follow, and caches are cold
//! where the new keys land.
//!
//! Written: `move_hot_keys = { top = 10 }`.
//! Unfolds into: one swap of the `top` most popular keys with as many of the least popular.
//! Does not: change how skewed popularity is, and does not end: what was swapped stays so. Calls without keys
//! do not notice.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `move_hot_keys = { top = 10 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many keys, 1 or more.
    pub top: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { top: 10 }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, _targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        vec![(when.at, Effect::MoveHotKeys { top: self.top })]
    }

    fn label(&self) -> String {
        match self.top {
            1 => "the hottest key moves".to_owned(),
            top => format!("{top} hottest keys move"),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.top == 0 { Err("`top` must be 1 or more".to_owned()) } else { Ok(()) }
    }

    fn aims_at_backends(&self) -> bool {
        false
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
    fn one_swap() {
        check(&Config::default(), "10 - | 0", "10 move 10 keys");
        assert_eq!(Config::default().label(), "10 hottest keys move");
        assert!(Config { top: 0 }.check().unwrap_err().contains("`top`"));
    }
}
