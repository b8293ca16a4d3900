//! Part of a server is lost: workers gone, maybe the rest slower, maybe some calls failing.
//!
//! Written: `brownout = { capacity = "25%", slow = 2, errors = "5%" }`.
//! Unfolds into: the fraction of workers and, where asked for, a factor and a law of errors on each target, from
//! beginning to end. At least one worker works.
//! Does not: shed load cleverly; queues and limits are the backend's own.

use serde::{Deserialize, Serialize};

use super::effect::{Effect, ErrorLaw};
use super::shape::held;
use super::{Fault, Targets, When};
use crate::base::quantity::{Factor, Ratio};
use crate::base::rand::Seed;
use crate::base::status::Status;
use crate::base::time::Instant;

/// `brownout = { capacity = "50%" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fraction of the workers that is left, above 0.
    pub capacity: Ratio,
    /// How many times as long service takes besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Factor>,
    /// Share of the calls that fail besides, with `unavailable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Ratio>,
}

impl Default for Config {
    fn default() -> Self {
        Config { capacity: Ratio::of(0.5), slow: None, errors: None }
    }
}

impl Config {
    fn law(&self) -> Option<ErrorLaw> {
        let law = |rate: Ratio| ErrorLaw { probability: rate.value(), status: Status::Unavailable, latency: None };
        self.errors.map(law)
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let cause = when.cause;
        let capacity = |fraction| move |backend| Effect::Capacity { backend, cause, fraction };
        let mut effects = held(when, targets.chosen, capacity(Some(self.capacity.value())), capacity(None));
        if let Some(factor) = self.slow {
            let slow = |factor| move |backend| Effect::Slow { backend, cause, factor };
            effects.extend(held(when, targets.chosen, slow(Some(factor.value())), slow(None)));
        }
        if let Some(law) = self.law() {
            let errors = |law: Option<ErrorLaw>| move |backend| Effect::Errors { backend, cause, law: law.clone() };
            effects.extend(held(when, targets.chosen, errors(Some(law)), errors(None)));
        }
        effects
    }

    fn label(&self) -> String {
        format!("brownout to {}", self.capacity)
    }

    fn check(&self) -> Result<(), String> {
        match self.capacity.value() > 0.0 {
            true => Ok(()),
            false => Err("`capacity` must be above 0: a server without workers is a `hang`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn half_the_workers_by_default() {
        check(&Config::default(), "10 20 | 0", "10 capacity 0 0.5, 20 capacity 0 off");
    }

    #[test]
    fn all_three_begin_and_end_together() {
        let brownout = Config { capacity: Ratio::of(0.25), slow: Some(Factor::of(2.0)), errors: Some(Ratio::of(0.05)) };
        check(
            &brownout,
            "10 20 | 3",
            "10 capacity 3 0.25, 20 capacity 3 off, 10 slow 3 ×2, 20 slow 3 off, \
             10 errors 3 0.05 Unavailable, 20 errors 3 off",
        );
        assert_eq!(brownout.label(), "brownout to 25%");
    }

    #[test]
    fn nothing_left_is_refused() {
        assert!(Config { capacity: Ratio::ZERO, ..Config::default() }.check().unwrap_err().contains("`capacity`"));
    }
}
