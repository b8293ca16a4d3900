//! Discovery announces a health for the targets, whatever is so: an operator takes servers out, or a control plane errs.
//! Each client hears of it after the discovery's own delay; connections stay, open calls go on, and new calls follow the
//! announcement (Envoy's EDS `health_status`).
//!
//! Written: `announce_health = {}`, `announce_health = { status = "degraded" }`, `announce_health = { status = "draining" }`.
//! Unfolds into: the status announced for the targets from beginning to end; then what was announced before.
//! Does not: touch the servers, or overrule active health checks: of the two the worse counts, so `healthy` only takes
//! back what an earlier announcement said. An unhealthy endpoint stays listed, so levels and panic thresholds still
//! count it, and hashes that keep a place for who is listed do. A draining one gets no calls but those of its sessions,
//! if `session_affinity` is told so; levels and panic thresholds of Envoy's policies leave it out of their count. It does
//! not go by itself: a `scale` or `rolling_deploy` says when.

use serde::{Deserialize, Serialize};

use super::effect::{Announcement, Effect, HealthStatus};
use super::shape::announced;
use super::{Fault, Targets, When};
use crate::base::rand::Seed;
use crate::base::time::Instant;

/// `announce_health = { status = "unhealthy" }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is said.
    pub status: HealthStatus,
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        announced(when, targets.chosen, Announcement::Health(self.status))
    }

    fn label(&self) -> String {
        match self.status {
            HealthStatus::Healthy => "announced healthy",
            HealthStatus::Degraded => "announced degraded",
            HealthStatus::Draining => "announced draining",
            HealthStatus::Unhealthy => "announced unhealthy",
        }
        .to_owned()
    }

    fn affects_backends(&self) -> bool {
        self.status != HealthStatus::Healthy
    }

    fn announces(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::check;

    #[test]
    fn a_status_comes_and_goes() {
        check(&Config::default(), "10 20 | 0 5", "10 announce 0 5 Health(Unhealthy), 20 announce 0 5 off");
        let draining = Config { status: HealthStatus::Draining };
        check(&draining, "10 - | 0", "10 announce 0 Health(Draining)");
        assert!(draining.affects_backends() && draining.label() == "announced draining");
        let healthy = Config { status: HealthStatus::Healthy };
        check(&healthy, "10 - | 0", "10 announce 0 Health(Healthy)");
        assert!(Config::default().affects_backends() && !healthy.affects_backends());
    }
}
