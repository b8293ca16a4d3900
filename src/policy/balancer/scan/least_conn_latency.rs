//! Open calls and round-trip time on one scale; the lowest sum takes the call.
//!
//! Origin: a formula of operations practice: 0.6 of the open calls over 1000 plus 0.4 of the round-trip time over
//! 500 ms.
//! Observes: calls that this client has open; latency of answers that were well. Not weights.
//! Cost: O(n) a pick, or O(choices).
//! Draws: none; with `choices` as many a pick.
//! Fails when: an endpoint is new, because it looks like the fastest of all and takes every call until it has as many
//! open as its latency is worth; failures are fast, because they keep no call open; calls and milliseconds are of
//! another size than the scale supposes, because then one of the two decides alone.

use serde::{Deserialize, Deserializer, Serialize};

use super::lowest::Lowest;
use crate::base::id::EndpointId;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::sample::choices::{Choices, Sampling};
use crate::policy::balancer::score::conn_latency::{ConnLatency, Scale};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `least_conn_latency`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What calls and time are worth.
    #[serde(deserialize_with = "scale")]
    pub scale: Scale,
    /// How far an answer moves the average round-trip time, above 0 to 1.
    #[serde(deserialize_with = "alpha")]
    pub alpha: f64,
    /// Average of an endpoint that has not answered yet.
    pub initial_rtt: Duration,
    /// How many distinct endpoints are drawn and compared, 2 to 100; by default all are, and the first of equals is
    /// taken.
    #[serde(deserialize_with = "choices", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 100))]
    pub choices: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Config { scale: Scale::default(), alpha: 0.3, initial_rtt: Duration::ZERO, choices: None }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let score = ConnLatency::new(self.scale.clone(), self.alpha, self.initial_rtt);
        let rand = || context.seed.stream("least_conn_latency");
        Box::new(match self.choices {
            None => LeastConnLatency::Scan(Lowest::new(score, None)),
            Some(choices) => LeastConnLatency::Sample(Choices::new(choices, Sampling::Distinct, score, rand())),
        })
    }
}

#[derive(Debug)]
enum LeastConnLatency {
    Scan(Lowest<ConnLatency>),
    Sample(Choices<ConnLatency>),
}

impl LeastConnLatency {
    fn as_balancer(&mut self) -> &mut dyn Balancer {
        match self {
            LeastConnLatency::Scan(scan) => scan,
            LeastConnLatency::Sample(sample) => sample,
        }
    }
}

impl Balancer for LeastConnLatency {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.as_balancer().on_endpoints(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.as_balancer().pick(now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.as_balancer().on_feedback(now, feedback, endpoints);
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        let score = match self {
            LeastConnLatency::Scan(scan) => scan.score(),
            LeastConnLatency::Sample(sample) => sample.score(),
        };
        score.rtts().for_each(|(id, rtt)| visit("latency_ms", id, rtt / 1e6));
    }
}

fn scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scale, D::Error> {
    let scale = Scale::deserialize(deserializer)?;
    let counts = |x: f64| x.is_finite() && x >= 0.0;
    if !counts(scale.connections) || !counts(scale.rtt) {
        return Err(serde::de::Error::custom("`connections` and `rtt` count for 0 or more each"));
    }
    if !(scale.connections_full.is_finite() && scale.connections_full > 0.0) || scale.rtt_full.is_zero() {
        return Err(serde::de::Error::custom("`connections_full` and `rtt_full` are more than 0"));
    }
    Ok(scale)
}

fn alpha<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let alpha = f64::deserialize(deserializer)?;
    if alpha > 0.0 && alpha <= 1.0 {
        return Ok(alpha);
    }
    Err(serde::de::Error::custom(format_args!("`alpha` is above 0 and at most 1, not {alpha}")))
}

fn choices<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(choices) if !(2..=100).contains(&choices) => {
            Err(serde::de::Error::custom(format_args!("`choices` is {choices}, but 2 to 100 can be compared")))
        }
        choices => Ok(choices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::scan::least_connections;
    use crate::policy::balancer::testing::{World, listing};

    const MS_100: Duration = Duration::from_millis(100);

    #[test]
    fn time_and_calls_trade_at_the_scale() {
        let mut world = World::equal(2, &Config { alpha: 1.0, ..Config::default() });
        let place = world.send();
        assert_eq!(place, 0);
        world.done(0, Duration::from_micros(2_900), Ok(()));
        // 3 ms are worth 4 calls, and this is a little less: the other takes four.
        let places: Vec<usize> = (0..5).map(|_| world.send()).collect();
        assert_eq!(places, [1, 1, 1, 1, 0]);
    }

    #[test]
    fn the_average_follows_answers_that_were_well() {
        let mut world = World::equal(2, &Config::default());
        let rtt = |world: &World| {
            let mut of_first = 0.0;
            world.balancer.gauges(&mut |_, id, ms| of_first = if id == world.id(0) { ms } else { of_first });
            of_first
        };
        for expected in [30.0, 51.0, 65.7] {
            world.sent(world.id(0));
            world.done(0, MS_100, Ok(()));
            assert!((rtt(&world) - expected).abs() < 1e-9, "{} ms", rtt(&world));
        }
        world.sent(world.id(0));
        world.done(0, Duration::from_secs(9), Err(Failure::of(Cause::Backend)));
        assert!((rtt(&world) - 65.7).abs() < 1e-9, "failures are no samples");
    }

    #[test]
    fn a_newcomer_is_rushed_unless_it_starts_with_an_estimate() {
        for (initial_rtt, expected) in [(Duration::ZERO, 2), (MS_100, 0)] {
            let mut world = World::equal(2, &Config { alpha: 1.0, initial_rtt, ..Config::default() });
            for place in [0, 1] {
                world.sent(world.id(place));
                world.done(place, Duration::from_millis(90), Ok(()));
            }
            world.list((0..3).map(|i| listing(i, 1)).collect());
            let rush: Vec<usize> = (0..10).map(|_| world.send()).filter(|place| *place == 2).collect();
            assert_eq!(rush.len() * 5, expected * 25, "{initial_rtt:?}");
        }
    }

    #[test]
    fn without_time_it_is_least_connections() {
        // policies.md §14.8.
        let scale = Scale { rtt: 0.0, ..Scale::default() };
        let mut one = World::equal(5, &Config { scale, ..Config::default() });
        let first = least_connections::Config { ties: least_connections::Ties::First, ..Default::default() };
        let mut other = World::equal(5, &first);
        let (mut rand, mut open) = (Seed::new(1).stream("history"), vec![]);
        for step in 0..2_000 {
            if rand.below(100) < 52 || open.is_empty() {
                let place = one.send();
                assert_eq!(place, other.send(), "step {step}");
                open.push(place);
            } else {
                let place = open.swap_remove(rand.below(open.len() as u64) as usize);
                let took = Duration::from_millis(rand.below(400));
                one.done(place, took, Ok(()));
                other.done(place, took, Ok(()));
            }
        }
    }

    #[test]
    fn of_a_few_drawn_the_worst_is_never_taken() {
        let mut world = World::equal(3, &Config { choices: Some(2), ..Config::default() });
        world.sent(world.id(1));
        assert_eq!(world.counts(300)[1], 0);
    }

    #[test]
    fn parameters_are_checked() {
        let message = |text| toml::from_str::<Config>(text).unwrap_err().message().to_owned();
        assert!(message("alpha = 0.0").contains("above 0 and at most 1"));
        assert!(message("choices = 1").contains("2 to 100"));
        assert!(message("scale = { rtt_full = '0s' }").contains("more than 0"));
        assert!(message("scale = { rtt = -1.0 }").contains("0 or more"));
        let read = toml::from_str::<Config>("scale = { rtt = 0.5 }\nchoices = 3").unwrap();
        assert_eq!((read.scale.rtt, read.scale.connections, read.choices), (0.5, 0.6, Some(3)));
    }
}
