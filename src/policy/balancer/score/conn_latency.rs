//! Open calls and round-trip time on one scale: each as a share of what counts as full, weighted and added.

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::members::follow;
use crate::policy::balancer::{Endpoints, Feedback, Score};

/// How much calls and time count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scale {
    /// Weight of open calls.
    pub connections: f64,
    /// Open calls that count as full.
    pub connections_full: f64,
    /// Weight of the round-trip time.
    pub rtt: f64,
    /// Round-trip time that counts as full.
    pub rtt_full: Duration,
}

impl Default for Scale {
    fn default() -> Self {
        Scale { connections: 0.6, connections_full: 1_000.0, rtt: 0.4, rtt_full: Duration::from_millis(500) }
    }
}

impl Scale {
    /// The score: lowest is best. Neither share counts for more than full.
    pub fn score(&self, open: u32, rtt_ns: f64) -> f64 {
        let connections = (f64::from(open) / self.connections_full).min(1.0);
        let rtt = (rtt_ns / self.rtt_full.as_nanos() as f64).min(1.0);
        self.connections * connections + self.rtt * rtt
    }
}

/// The score with an average of the round-trip times of answers that were well.
#[derive(Debug)]
pub struct ConnLatency {
    scale: Scale,
    alpha: f64,
    initial: f64,
    rtts: Slots<f64>,
}

impl ConnLatency {
    /// Each answer moves the average by `alpha` of the difference; it begins at `initial`.
    pub fn new(scale: Scale, alpha: f64, initial: Duration) -> ConnLatency {
        ConnLatency { scale, alpha, initial: initial.as_nanos() as f64, rtts: Slots::new() }
    }

    /// The averages, in nanoseconds.
    pub fn rtts(&self) -> impl Iterator<Item = (EndpointId, f64)> {
        self.rtts.iter().map(|(id, rtt)| (id, *rtt))
    }
}

impl Score for ConnLatency {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.rtts, endpoints, |_| self.initial);
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>) {
        let Feedback::Done { endpoint, took, outcome: Ok(()), .. } = *feedback else { return };
        if let Some(rtt) = self.rtts.get_mut(endpoint) {
            *rtt += self.alpha * (took.as_nanos() as f64 - *rtt);
        }
    }

    #[inline]
    fn load(&mut self, _now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let rtt = self.rtts.get(endpoint).copied().unwrap_or(self.initial);
        self.scale.score(endpoints.in_flight(endpoint), rtt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_the_reference() {
        let score = |open, ms: f64| format!("{:.3}", Scale::default().score(open, ms * 1e6));
        let scores = [(100, 50.0), (40, 120.0), (10, 300.0), (0, 500.0), (1_000, 500.0), (0, 0.0)];
        let expected = ["0.100", "0.120", "0.246", "0.400", "1.000", "0.000"];
        assert_eq!(scores.map(|(open, ms)| score(open, ms)), expected);
        assert_eq!(score(5_000, 9_000.0), "1.000", "full is full");
        // One millisecond is worth 1.333 calls: 3 ms are worth 4.
        assert!((Scale::default().score(4, 0.0) - Scale::default().score(0, 3e6)).abs() < 1e-15);
    }
}
