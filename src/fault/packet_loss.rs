//! Messages are lost, and the transport sends them again after its time-out: a dirty cable, a congested link.
//! With `zone` all messages to and from a region or `region/zone`; without, those of the targeted backends.
//!
//! Written: `packet_loss = { rate = "5%" }`, `packet_loss = { rate = "5%", zone = "shenzhen" }`.
//! Unfolds into: the probability of a loss on that side from beginning to end.
//! Does not: lose a call for good; a lost message is late. A link that carries nothing at all is a `partition`.

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Side};
use super::shape::held_once;
use super::{Fault, Targets, When};
use crate::base::quantity::Ratio;
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `packet_loss = { rate = "5%" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Probability that a message is lost, below 100 %.
    pub rate: Ratio,
    /// The region or `region/zone` whose messages are lost; without it those of the targeted backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl Config {
    fn side(&self, targets: &Targets<'_>) -> Side {
        match &self.zone {
            Some(zone) => targets.side(zone),
            None if targets.everybody() => Side::All,
            None => Side::Backends(targets.chosen.to_vec()),
        }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let loss = |probability| Effect::Loss { cause: when.cause, side: self.side(targets), probability };
        held_once(when, loss(Some(self.rate.value())), loss(None))
    }

    fn label(&self) -> String {
        match &self.zone {
            Some(zone) => format!("{} packet loss in {zone}", self.rate),
            None => format!("{} packet loss", self.rate),
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.rate.value() < 1.0 {
            true => Ok(()),
            false => Err("`rate` must be below 100%: write `partition = { mode = \"blackhole\" }` instead".to_owned()),
        }
    }

    fn aims_at_backends(&self) -> bool {
        self.zone.is_none()
    }

    fn affects_backends(&self) -> bool {
        false
    }

    fn zones(&self) -> Vec<&str> {
        self.zone.as_deref().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn a_zone_the_targets_or_everybody() {
        let loss = |zone: Option<&str>| Config { rate: Ratio::of(0.05), zone: zone.map(str::to_owned) };
        check(&loss(Some("south")), "10 20 | 0", "10 loss region 1 0.05, 20 loss region 1 off");
        check(&loss(None), "10 20 | 0 4", "10 loss backends 0 4 0.05, 20 loss backends 0 4 off");
        check(&loss(None), "10 - | 0 1 2 5 6", "10 loss all 0.05");
        assert_eq!(loss(Some("south")).label(), "5% packet loss in south");
    }

    #[test]
    fn all_lost_is_a_partition() {
        assert!(Config { rate: Ratio::ONE, zone: None }.check().unwrap_err().contains("`rate`"));
    }
}
