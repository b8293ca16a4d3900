//! Latency that jumps up with the worst answer and sinks slowly, times the calls that would be open.

use serde::{Deserialize, Serialize};

use crate::base::ewma::decay;
use crate::base::id::EndpointId;
use crate::base::slots::Slots;
use crate::base::status::{Outcome, Status};
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::{Endpoints, Feedback, Score};

/// Whose rules are followed where the implementations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// tower `load/peak_ewma.rs`: looking at an estimate is a sample of 0, so it sinks faster the more it is looked at.
    #[default]
    Tower,
    /// linkerd2-proxy `linkerd/ewma`: looking changes nothing.
    Linkerd,
    /// Finagle `PeakEwma.scala`: looking counts as in tower; no estimate to begin with: free while idle, shunned
    /// from the first call until it is answered.
    Finagle,
    /// brpc `p2c_ewma_load_balancer.cpp`: looking changes nothing; no estimate to begin with, which counts as one
    /// microsecond; the load is divided by the weight. A failure counts as its latency, the penalty or twice the
    /// estimate, whichever is most, but no more than 30 s.
    Brpc,
}

/// Peak EWMA of latency in nanoseconds, times open calls plus one.
#[derive(Debug)]
pub struct PeakEwma {
    variant: Variant,
    tau: Duration,
    start: f64,
    penalty: Option<f64>,
    estimates: Slots<Estimate>,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    latency: f64,
    at: Instant,
}

impl PeakEwma {
    /// `default_rtt` is the estimate of an endpoint that has not answered yet; Finagle has none. A failure is a
    /// sample of `penalty` at least.
    pub fn new(variant: Variant, tau: Duration, default_rtt: Duration, penalty: Option<Duration>) -> PeakEwma {
        let start = match variant {
            Variant::Finagle | Variant::Brpc => 0.0,
            Variant::Tower | Variant::Linkerd => default_rtt.as_nanos() as f64,
        };
        let penalty = penalty.map(|penalty| penalty.as_nanos() as f64);
        PeakEwma { variant, tau, start, penalty, estimates: Slots::new() }
    }

    /// The estimates as they stand, in nanoseconds.
    pub fn estimates(&self) -> impl Iterator<Item = (EndpointId, f64)> {
        self.estimates.iter().map(|(id, estimate)| (id, estimate.latency))
    }

    /// A failure is no reason to look faster: linkerd's load biaser, and brpc's punishment.
    fn sample(&self, now: Instant, estimate: &Estimate, took: Duration, outcome: Outcome) -> f64 {
        if self.variant == Variant::Brpc && outcome.is_err() {
            let punished = (took.as_nanos() as f64).max(self.penalty.unwrap_or(0.0)).max(2.0 * estimate.latency);
            return punished.min(BRPC_PUNISHMENT_MAX);
        }
        match (self.penalty, outcome) {
            (Some(penalty), Err(failure)) if is_penalised(failure.status) => {
                penalty.max(estimate.latency * decay(now.since(estimate.at), self.tau))
            }
            _ => took.as_nanos() as f64,
        }
    }
}

impl Estimate {
    fn observe(&mut self, now: Instant, tau: Duration, sample: f64) {
        if sample > self.latency {
            self.latency = sample;
        } else {
            let keep = decay(now.since(self.at), tau);
            self.latency = self.latency * keep + sample * (1.0 - keep);
        }
        debug_assert!(self.latency.is_finite(), "a latency of {}", self.latency);
        self.at = now;
    }
}

impl Score for PeakEwma {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let mut before = std::mem::take(&mut self.estimates);
        for id in endpoints.members {
            let estimate = before.remove(*id).unwrap_or(Estimate { latency: self.start, at: now });
            self.estimates.insert(*id, estimate);
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>) {
        // Calls that were cancelled count too, with the time until then (tower, linkerd).
        let Feedback::Done { endpoint, took, outcome, .. } = *feedback else { return };
        let Some(mut estimate) = self.estimates.get(endpoint).copied() else { return };
        let sample = self.sample(now, &estimate, took, outcome);
        estimate.observe(now, self.tau, sample);
        self.estimates.insert(endpoint, estimate);
    }

    #[inline]
    fn load(&mut self, now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let open = f64::from(endpoints.in_flight(endpoint));
        let Some(estimate) = self.estimates.get_mut(endpoint) else { return self.start * (open + 1.0) };
        if self.variant == Variant::Brpc {
            let faded = estimate.latency * decay(now.since(estimate.at), self.tau);
            let weight = endpoints.get(endpoint).map_or(1, |endpoint| endpoint.weight.max(1));
            return faded.max(BRPC_LATENCY_MIN) * (open + 1.0) / f64::from(weight);
        }
        match self.variant {
            Variant::Brpc | Variant::Linkerd => {
                estimate.latency * decay(now.since(estimate.at), self.tau) * (open + 1.0)
            }
            Variant::Tower => {
                estimate.observe(now, self.tau, 0.0);
                estimate.latency * (open + 1.0)
            }
            Variant::Finagle => {
                estimate.observe(now, self.tau, 0.0);
                let unknown = estimate.latency == 0.0 && open > 0.0;
                if unknown { FINAGLE_PENALTY + open } else { estimate.latency * (open + 1.0) }
            }
        }
    }
}

/// Failures that say something about the server (linkerd's load biaser: gRPC 2, 4, 8, 13, 14, 15).
fn is_penalised(status: Status) -> bool {
    use Status::{DataLoss, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    matches!(status, Unknown | DeadlineExceeded | ResourceExhausted | Internal | Unavailable | DataLoss)
}

/// brpc's latency of an endpoint without any, and of all that are faster: 1 µs, in nanoseconds.
const BRPC_LATENCY_MIN: f64 = 1e3;

/// brpc's `p2c_max_punish_ms`, 30 s, in nanoseconds.
const BRPC_PUNISHMENT_MAX: f64 = 30e9;

/// Finagle's cost of an endpoint with an open call and no answer yet: 2^47 - 1.
const FINAGLE_PENALTY: f64 = ((1u64 << 47) - 1) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::testing::World;
    use crate::policy::balancer::{Balancer, Pick, Request};

    const TAU: Duration = Duration::from_secs(10);
    const DEFAULT: Duration = Duration::from_millis(30);

    /// Never asked to pick: a world for one endpoint's score.
    struct Nobody;
    impl Balancer for Nobody {
        fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {}
        fn pick(&mut self, _now: Instant, _request: &Request<'_>, _endpoints: &Endpoints<'_>) -> Pick {
            Pick::Queue
        }
    }

    struct One {
        world: World,
        score: PeakEwma,
    }

    impl One {
        fn new(variant: Variant, penalty: Option<Duration>) -> One {
            let world = World::seeded(1, &[1], |_| Box::new(Nobody));
            let mut score = PeakEwma::new(variant, TAU, DEFAULT, penalty);
            score.on_endpoints(Instant::ZERO, &world.table.view());
            One { world, score }
        }

        /// The load at a time in milliseconds; latencies read as milliseconds.
        fn read(&mut self, ms: u64) -> f64 {
            self.score.load(at(ms), self.world.id(0), &self.world.table.view()) / 1e6
        }

        fn sample(&mut self, ms: u64, took: u64, outcome: Outcome) {
            let endpoint = self.world.id(0);
            let took = Duration::from_millis(took);
            self.score.on_feedback(at(ms), &Feedback::Done { endpoint, took, outcome, retried: 0, load: None });
        }

        fn stored(&self) -> f64 {
            self.score.estimates().next().expect("there is one").1 / 1e6
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-7, "{found} where {expected} is expected");
    }

    #[test]
    fn tower_sinks_by_being_looked_at() {
        let mut one = One::new(Variant::Tower, None);
        close(one.read(1_000), 27.145123);
        one.sample(2_000, 5, Ok(()));
        close(one.stored(), 25.037736);
        one.sample(2_500, 200, Ok(()));
        close(one.stored(), 200.0);
        close(one.read(12_500), 73.575888);

        let mut unread = One::new(Variant::Tower, None);
        unread.sample(2_000, 5, Ok(()));
        close(unread.stored(), 25.468269);

        let mut often = One::new(Variant::Tower, None);
        for ms in 1..2_000 {
            often.read(ms);
        }
        often.sample(2_000, 5, Ok(()));
        close(often.stored(), 24.562423);
    }

    #[test]
    fn linkerd_does_not() {
        let mut one = One::new(Variant::Linkerd, None);
        close(one.read(1_000), 27.145123);
        one.sample(2_000, 5, Ok(()));
        close(one.stored(), 25.468269);
        one.sample(2_500, 200, Ok(()));
        close(one.stored(), 200.0);
        close(one.read(12_500), 73.575888);
        close(one.stored(), 200.0);
    }

    #[test]
    fn the_load_counts_the_call_to_come() {
        for (variant, loads) in [(Variant::Tower, [30.0, 60.0, 90.0]), (Variant::Linkerd, [30.0, 60.0, 90.0])] {
            let mut one = One::new(variant, None);
            for load in loads {
                close(one.read(0), load);
                one.world.sent(one.world.id(0));
            }
        }
        let mut one = One::new(Variant::Finagle, None);
        close(one.read(0), 0.0);
        for open in [1.0, 2.0] {
            one.world.sent(one.world.id(0));
            assert_eq!(one.read(0) * 1e6, 140_737_488_355_327.0 + open);
        }
        one.sample(10, 10, Ok(()));
        close(one.read(10), 30.0);
    }

    #[test]
    fn brpc_begins_at_a_microsecond_and_punishes_failures() {
        let mut one = One::new(Variant::Brpc, Some(Duration::from_millis(100)));
        for load in [0.001, 0.002, 0.003] {
            close(one.read(0), load);
            one.world.sent(one.world.id(0));
        }
        let mut one = One::new(Variant::Brpc, Some(Duration::from_millis(100)));
        one.sample(0, 40, Ok(()));
        close(one.read(0), 40.0);
        close(one.read(10_000), 40.0 * crate::base::math::exp(-1.0));
        close(one.stored(), 40.0);
        let failure = Err(Failure::of(Cause::Backend));
        for expected in [100.0, 200.0, 400.0] {
            one.sample(0, 1, failure);
            close(one.stored(), expected);
        }
        (0..20).for_each(|_| one.sample(0, 1, failure));
        close(one.stored(), 30_000.0);
        close(one.read(1_000_000), 0.001);
        let mut heavy = One::new(Variant::Brpc, None);
        heavy.world.list(vec![crate::policy::balancer::testing::listing(0, 4)]);
        heavy.sample(0, 40, Ok(()));
        close(heavy.read(0), 10.0);
    }

    #[test]
    fn fast_failures_look_excellent_unless_penalised() {
        let failure = Err(Failure::of(Cause::Backend));
        let mut naive = One::new(Variant::Linkerd, None);
        naive.sample(100, 0, failure);
        assert!(naive.stored() < 30.0);
        let mut wary = One::new(Variant::Linkerd, Some(Duration::from_secs(5)));
        wary.sample(100, 0, failure);
        close(wary.stored(), 5_000.0);
        wary.sample(200, 0, failure);
        close(wary.stored(), 5_000.0);
        // The caller's own doing says nothing about the server.
        let mut wary = One::new(Variant::Linkerd, Some(Duration::from_secs(5)));
        wary.sample(0, 7, Err(Failure::of(Cause::Cancelled)));
        close(wary.stored(), 30.0);
        wary.sample(1_000, 70, Err(Failure::of(Cause::Cancelled)));
        close(wary.stored(), 70.0);
    }
}
