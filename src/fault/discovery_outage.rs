//! The registry or the name service is away: nobody learns anything new.
//!
//! Written: `discovery_outage = {}`.
//! Unfolds into: discovery off at the beginning, on at the end.
//! Does not: end what clients know already; they go on with stale lists, which is the point.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::held_once;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `discovery_outage = {}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

impl Fault for Config {
    fn effects(&self, when: &When, _targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let outage = |on| Effect::DiscoveryOutage { cause: when.cause, on };
        held_once(when, outage(true), outage(false))
    }

    fn label(&self) -> String {
        "discovery outage".to_owned()
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
    fn off_then_on() {
        check(&Config {}, "10 20 | 0", "10 discovery off, 20 discovery on");
    }
}
