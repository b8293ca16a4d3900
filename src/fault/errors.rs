//! Calls fail with a status of the backend's own: a broken dependency, a bad configuration. With a short
//! `latency` the backend is a black hole: it looks fast and idle to whoever does not look at outcomes.
//!
//! Written: `errors = { rate = "30%", status = "unavailable", latency = "0.5ms" }`.
//! Unfolds into: the law of errors on each target from beginning to end.
//! Does not: touch connections or probes; without `latency` a failing call takes a worker as long as a good one.

use serde::{Deserialize, Serialize};

use super::effect::{Effect, ErrorLaw};
use super::shape::held;
use super::{Fault, Targets, When};
use crate::base::quantity::Ratio;
use crate::base::rand::Seed;
use crate::base::status::Status;
use crate::base::time::{Duration, Instant};

/// `errors = { rate = "30%" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Share of the calls that fail.
    pub rate: Ratio,
    /// What they answer.
    #[serde(default = "unavailable")]
    pub status: Status,
    /// How long a failing answer takes, without a worker; by default it takes a worker as long as a good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
}

fn unavailable() -> Status {
    Status::Unavailable
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let law = ErrorLaw { probability: self.rate.value(), status: self.status, latency: self.latency };
        let errors =
            |law: Option<ErrorLaw>| move |backend| Effect::Errors { backend, cause: when.cause, law: law.clone() };
        held(when, targets.chosen, errors(Some(law)), errors(None))
    }

    fn label(&self) -> String {
        format!("{} errors", self.rate)
    }

    fn check(&self) -> Result<(), String> {
        match self.status {
            Status::Ok => Err("`status` must be an error, such as \"unavailable\"".to_owned()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn the_law_comes_and_goes() {
        let latency = Some(Duration::from_micros(500));
        let errors = Config { rate: Ratio::of(0.3), status: Status::Unavailable, latency };
        check(&errors, "10 20 | 1", "10 errors 1 0.3 Unavailable in 500us, 20 errors 1 off");
        assert_eq!(errors.label(), "30% errors");
    }

    #[test]
    fn an_error_is_not_ok() {
        let errors = Config { rate: Ratio::ONE, status: Status::Ok, latency: None };
        assert!(errors.check().unwrap_err().contains("`status`"));
    }
}
