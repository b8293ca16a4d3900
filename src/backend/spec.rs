//! A group of servers as a scenario file writes it.

use serde::{Deserialize, Serialize};

use crate::base::dist::Law;
use crate::base::quantity::{Factor, Ratio};
use crate::base::status::Status;
use crate::base::time::Duration;

/// How waiting calls get a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Discipline {
    /// First come, first served.
    #[default]
    Fifo,
    /// Last come, first served; what runs is not interrupted.
    Lifo,
    /// All at once, the workers shared evenly.
    ProcessorSharing,
}

/// What becomes of work whose client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Abandoned {
    /// The cancellation, once it arrives, takes it out of the queue or off its worker.
    #[default]
    Drop,
    /// It is done to the end for nobody.
    Work,
}

/// How a server behaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Calls served at once, 1 or more.
    pub workers: u32,
    /// Who is next.
    pub discipline: Discipline,
    /// Calls that may wait; more are refused with `resource_exhausted`. `None`: no limit.
    pub queue: Option<u32>,
    /// Service time of a call of demand 1.
    pub service: Law,
    /// Calls that fail by themselves.
    pub errors: Errors,
    /// Slower for a while after a start.
    pub warm_up: Option<WarmUp>,
    /// A cache by key.
    pub cache: Option<Cache>,
    /// What becomes of work whose client has gone.
    pub abandoned: Abandoned,
}

/// Calls that fail by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Their share.
    pub rate: Ratio,
    /// What they answer.
    #[serde(default = "unavailable")]
    pub status: Status,
    /// How long a failing answer takes without a worker; by default it takes a worker as long as a good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
}

fn unavailable() -> Status {
    Status::Unavailable
}

impl Default for Errors {
    fn default() -> Self {
        Errors { rate: Ratio::ZERO, status: Status::Unavailable, latency: None }
    }
}

/// Slower for a while after a start: the factor falls steadily to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// How long.
    #[serde(rename = "for")]
    pub over: Duration,
    /// How many times as long a service takes at the start, 1 or more.
    pub factor: Factor,
}

/// A least-recently-used cache by key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Keys that fit, 1 or more.
    pub entries: u32,
    /// Service time of a hit.
    pub hit_service: Law,
}
