//! Healthy, suspect, failed: a prober that doubts before it condemns.

use serde::{Deserialize, Serialize};

use crate::base::time::Duration;
use crate::policy::endpoints::SuspectRule;

/// Parameters of `three_state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// From one regular probe to the next.
    pub interval: Duration,
    /// A probe without an answer for this long is a miss.
    pub timeout: Duration,
    /// Misses in a row until it has failed, 1 or more.
    pub misses: u32,
    /// Further answered probes that a failed endpoint needs after the first.
    pub recover_successes: u32,
    /// What becomes of suspects.
    pub suspect: SuspectRule,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            misses: 3,
            recover_successes: 1,
            suspect: SuspectRule::LastResort,
        }
    }
}
