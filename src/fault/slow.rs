//! Service takes `factor` times as long: a failing disk, a noisy host, a hot core.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::{Fault, Targets, When};
use crate::base::quantity::Factor;
use crate::base::rand::Rand;
use crate::base::time::Instant;

/// `slow = { factor = 10 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many times as long; above 0, below 1 speeds up.
    pub factor: Factor,
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _rand: &mut Rand) -> Vec<(Instant, Effect)> {
        let set = |backend, factor| Effect::Slow { backend, cause: when.cause, factor };
        let begin = targets.chosen.iter().map(|id| (when.at, set(*id, Some(self.factor.value()))));
        let end = when.until.into_iter().flat_map(|until| targets.chosen.iter().map(move |id| (until, set(*id, None))));
        begin.chain(end).collect()
    }

    fn label(&self) -> String {
        format!("slow ×{}", self.factor)
    }
}
