//! What a server says about itself: the one word that servers and clients share about load.

use super::time::Duration;

/// A load report (gRPC backend metrics, ORCA; gRFC A51). What a server does not say is 0 or `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct LoadReport {
    /// ORCA's `application_utilization`: how full it is by its own measure, 0 and above; beyond 1 it is overloaded.
    pub utilization: f64,
    /// ORCA's `cpu_utilization`: busy share of its workers, 0 to 1.
    pub cpu: f64,
    /// Calls it answers per second, well or not.
    pub qps: f64,
    /// Errors it answers per second.
    pub eps: f64,
    /// Calls inside: waiting and in service, without the one that is answered.
    pub in_flight: u32,
    /// Those of them that wait for a worker.
    pub waiting: u32,
    /// Mean time that calls held a worker lately.
    pub service: Option<Duration>,
    /// What a call that came now would take inside: the median of recent calls that found about as many inside as
    /// there are now (Prequal, NSDI 2024, §4). On answers to probes only.
    pub latency: Option<Duration>,
}
