//! The process stands still: a deadlock, a full disk, a debugger. Connections stay, calls pile up, probes are not
//! answered. After `for` it goes on where it stopped, and answers what waited.
//!
//! Written: `hang = {}`.
//! Unfolds into: a freeze of each target from beginning to end.
//! Does not: close connections or lose calls. Short freezes that come again are `pause`.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::held;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `hang = {}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let freeze = |on| move |backend| Effect::Freeze { backend, cause: when.cause, on };
        held(when, targets.chosen, freeze(true), freeze(false))
    }

    fn label(&self) -> String {
        "hang".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn frozen_from_beginning_to_end() {
        check(&Config {}, "10 20 | 0 1", "10 freeze 0, 10 freeze 1, 20 thaw 0, 20 thaw 1");
    }
}
