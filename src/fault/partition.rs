//! The network between a part of the fleet and everybody else is cut. With `zone`, a region or a `region/zone`,
//! its clients and backends are cut off together and still reach each other; without, the targeted backends are.
//! Messages vanish (`blackhole`), or connections are reset and refused (`refuse`).
//!
//! Written: `partition = { zone = "shenzhen", mode = "blackhole" }`, `partition = { mode = "refuse" }`.
//! Unfolds into: a cut around that side from beginning to end.
//! Does not: stop the servers inside, which go on with what they have and answer into the void.

use serde::{Deserialize, Serialize};

use super::effect::{CutMode, Effect, Side};
use super::shape::held_once;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `partition = { zone = "shenzhen" }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The region or `region/zone` that is cut off; without it the targeted backends are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How it shows.
    pub mode: CutMode,
}

impl Config {
    fn side(&self, targets: &Targets<'_>) -> Side {
        match &self.zone {
            Some(zone) => targets.side(zone),
            None => Side::Backends(targets.chosen.to_vec()),
        }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let cut = |mode| Effect::Cut { cause: when.cause, side: self.side(targets), mode };
        held_once(when, cut(Some(self.mode)), cut(None))
    }

    fn label(&self) -> String {
        let whose = self.zone.as_ref().map_or(String::new(), |zone| format!(" {zone}"));
        match self.mode {
            CutMode::Blackhole => format!("partition{whose}"),
            CutMode::Refuse => format!("partition{whose} (refuse)"),
        }
    }

    fn aims_at_backends(&self) -> bool {
        self.zone.is_none()
    }

    fn zones(&self) -> Vec<&str> {
        self.zone.as_deref().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::BackendId;
    use crate::fault::testing::{affected, check};

    #[test]
    fn a_region_a_zone_or_the_targets() {
        let partition = |zone: Option<&str>, mode| Config { zone: zone.map(str::to_owned), mode };
        let north = partition(Some("north"), CutMode::Blackhole);
        check(&north, "10 20 | 0 1", "10 cut region 0 Blackhole, 20 cut region 0 off");
        let south_b = partition(Some("south/b"), CutMode::Refuse);
        check(&south_b, "10 - | 0", "10 cut zone 2 Refuse");
        let lone = partition(None, CutMode::Refuse);
        check(&lone, "10 20 | 1 3", "10 cut backends 1 3 Refuse, 20 cut backends 1 3 off");
        assert_eq!(
            (north.label(), south_b.label()),
            ("partition north".to_owned(), "partition south/b (refuse)".to_owned())
        );
        assert_eq!(lone.label(), "partition (refuse)");
    }

    #[test]
    fn affected_is_who_is_inside() {
        let inside = |zone: Option<&str>| {
            let partition = Config { zone: zone.map(str::to_owned), ..Config::default() };
            affected(&partition, &[1]).iter().map(|BackendId(id)| *id).collect::<Vec<_>>()
        };
        assert_eq!(inside(Some("north")), [0, 1, 2]);
        assert_eq!(inside(Some("south/b")), [5, 6, 7]);
        assert_eq!(inside(None), [1]);
    }
}
