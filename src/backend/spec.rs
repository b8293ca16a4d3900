//! A group of servers as a scenario file writes it.

use serde::{Deserialize, Serialize};

use crate::base::bounds::above_zero;
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
    /// What it says about its load.
    pub load_reports: Option<LoadReports>,
    /// Work that an answer to a balancer's probe takes.
    pub probe_demand: Option<Factor>,
}

/// What a server says about its load, and how (gRPC backend metrics, ORCA; gRFC A51).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoadReports {
    /// A report on each reply.
    pub per_call: bool,
    /// Reports between replies, to the clients that listen; by default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_band: Option<OutOfBand>,
    /// What was measured this long ago counts 1/e in averages and rates.
    #[serde(deserialize_with = "above_zero")]
    pub window: Duration,
    /// What it calls its utilization.
    pub utilization: Utilization,
    /// Share of the group that reports, rounded up: the first so many. The others never do.
    pub share: Ratio,
}

impl Default for LoadReports {
    fn default() -> Self {
        LoadReports {
            per_call: true,
            out_of_band: None,
            window: Duration::from_secs(1),
            utilization: Utilization::Cpu,
            share: Ratio::ONE,
        }
    }
}

impl LoadReports {
    /// Whether the backend of this number in its group reports: of the first `n`, the share of `n`, rounded up. So those
    /// that do are spread over the group, and a group that grows changes nobody.
    pub fn is_by(&self, number: u32) -> bool {
        let (share, whole) = (u128::from(self.share.parts()), u128::from(Ratio::ONE.parts()));
        let among = |n: u32| (u128::from(n) * share).div_ceil(whole);
        among(number + 1) > among(number)
    }
}

/// Load reports between replies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutOfBand {
    /// From one to the next (10 s is what gRFC A51's clients ask for).
    #[serde(deserialize_with = "above_zero")]
    pub period: Duration,
    /// Share of them that never arrives.
    pub loss: Ratio,
}

impl Default for OutOfBand {
    fn default() -> Self {
        OutOfBand { period: Duration::from_secs(10), loss: Ratio::ZERO }
    }
}

/// Which of ORCA's two utilizations a server fills in besides rates and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Utilization {
    /// `cpu_utilization` alone: the busy share of its workers, 1 at most.
    #[default]
    Cpu,
    /// `application_utilization` as well: calls inside, waiting ones included, for each worker. It passes 1 where calls
    /// wait.
    Application,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_spread() {
        let of = |share: f64| {
            let reports = LoadReports { share: Ratio::of(share), ..LoadReports::default() };
            (0..10).map(|number| if reports.is_by(number) { '1' } else { '0' }).collect::<String>()
        };
        assert_eq!([0.0, 0.01, 0.5, 1.0].map(of), ["0000000000", "1000000000", "1010101010", "1111111111"]);
        assert_eq!(of(0.8), "1111011110");
    }
}
