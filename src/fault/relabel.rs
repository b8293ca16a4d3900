//! Discovery announces the targets in another zone: a label that is corrected, or wrong. Each client hears of it after
//! the discovery's own delay, its connections stay, and its balancer believes the new zone.
//!
//! Written: `relabel = { zone = "shanghai/a" }`.
//! Unfolds into: the zone announced for the targets from beginning to end; then what was announced before.
//! Does not: move anything. A server stays where its packets go: delays, partitions and the out-of-region share follow
//! the zone of its group, and what `relabel` changes is only what clients believe. A backend that really moves is one
//! that leaves there and another that joins here: two `scale`.

use serde::{Deserialize, Serialize};

use super::effect::{Announcement, Effect};
use super::shape::announced;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `relabel = { zone = "shanghai/a" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The zone that the targets are said to be in: a `region/zone` with a client or a backend, or a region that has
    /// only one zone.
    pub zone: String,
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        announced(when, targets.chosen, Announcement::Zone(targets.zone_of_name(&self.zone)))
    }

    fn label(&self) -> String {
        format!("labelled {}", self.zone)
    }

    fn affects_backends(&self) -> bool {
        false
    }

    fn one_zone(&self) -> Option<&str> {
        Some(&self.zone)
    }

    fn announces(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::BackendId;
    use crate::fault::testing::{affected, check};

    #[test]
    fn the_zone_by_its_name_or_that_of_its_region() {
        let relabel = |zone: &str| Config { zone: zone.to_owned() };
        check(&relabel("south/b"), "10 20 | 0 1", "10 announce 0 1 Zone(ZoneId(2)), 20 announce 0 1 off");
        check(&relabel("north"), "10 - | 3", "10 announce 3 Zone(ZoneId(0))");
        assert_eq!(affected(&relabel("south/b"), &[1]), [BackendId(1)], "it is about the targets, not about the zone");
    }
}
