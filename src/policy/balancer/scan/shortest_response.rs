//! The lowest mean latency times open calls plus one, of all; means are forgotten every 30 s.
//!
//! Origin: Dubbo `ShortestResponseLoadBalance`. Latencies are whole milliseconds there, and so here.
//! Observes: latency of answers that were well; calls that this client has open; static weights among equals.
//! Cost: O(n) a pick.
//! Draws: one where several are equal, else none.
//! Fails when: answers take less than a millisecond, because all estimates are then 0 and it is a weighted random
//! choice, as it is after each reset until everyone has answered; failures are fast, because they leave no sample and
//! no open call.

use serde::{Deserialize, Serialize};

use super::lowest::Lowest;
use crate::base::id::EndpointId;
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::some_time;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Score};

/// Parameters of `shortest_response`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long answers are remembered: the first pick that comes later forgets them, after it has used them.
    #[serde(deserialize_with = "some_time")]
    pub slide_period: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { slide_period: Duration::from_secs(30) }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("shortest_response");
        Box::new(ShortestResponse {
            slide_period: self.slide_period,
            since: Instant::ZERO,
            scan: Lowest::new(Estimate::default(), Some(rand)),
        })
    }
}

#[derive(Debug)]
struct ShortestResponse {
    slide_period: Duration,
    since: Instant,
    scan: Lowest<Estimate>,
}

/// Mean latency in whole milliseconds times open calls plus one.
#[derive(Debug, Default)]
struct Estimate {
    /// Sum of milliseconds and number of answers.
    answers: Slots<(u64, u64)>,
}

impl Score for Estimate {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.answers, endpoints, |_| (0, 0));
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>) {
        let Feedback::Done { endpoint, took, outcome: Ok(()), .. } = *feedback else { return };
        if let Some((sum, n)) = self.answers.get_mut(endpoint) {
            *sum += took.as_nanos() / 1_000_000;
            *n += 1;
        }
    }

    fn load(&mut self, _now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let (sum, n) = self.answers.get(endpoint).copied().unwrap_or((0, 0));
        let mean = sum.checked_div(n).unwrap_or(0);
        (mean * (u64::from(endpoints.in_flight(endpoint)) + 1)) as f64
    }
}

impl Balancer for ShortestResponse {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.scan.on_endpoints(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let pick = self.scan.pick(now, request, endpoints);
        if endpoints.ready.len() > 1 && now.since(self.since) > self.slide_period {
            self.since = now;
            self.scan.score_mut().answers.iter_mut().for_each(|(_, answers)| *answers = (0, 0));
        }
        pick
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.scan.on_feedback(now, feedback, endpoints);
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for (id, (sum, n)) in self.scan.score().answers.iter() {
            visit("latency_ms", id, sum.checked_div(*n).unwrap_or(0) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::testing::World;

    fn world(ms: &[u64]) -> World {
        let mut world = World::equal(ms.len(), &Config::default());
        for (place, ms) in ms.iter().enumerate() {
            world.sent(world.id(place));
            world.done(place, Duration::from_millis(*ms), Ok(()));
        }
        world
    }

    #[test]
    fn the_lowest_estimate_takes_the_call() {
        let mut world = world(&[10, 25, 31]);
        let places: Vec<usize> = (0..5).map(|_| world.send()).collect();
        // 10, 20, then 25 before 30; 30 before 31, then 31 before 40 and 50.
        assert_eq!(places, [0, 0, 1, 0, 2]);
        world.done(2, Duration::from_secs(9), Err(Failure::of(Cause::Backend)));
        assert_eq!(world.send(), 2, "a failure is no sample");
    }

    #[test]
    fn after_a_reset_it_is_random_by_weight_until_everyone_has_answered() {
        let mut world = world(&[10, 25]);
        world.advance(Duration::from_secs(30));
        assert_eq!(world.send(), 0, "not yet");
        world.advance(Duration::from_nanos(1));
        assert_eq!(world.send(), 0, "the pick that resets still knows: 20 against 25");
        let first = (0..2_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        assert!((900..1_100).contains(&first), "{first}");
        world.done(0, Duration::from_millis(10), Ok(()));
        assert!((0..20).all(|_| world.send() == 1), "who has not answered counts as 0");
    }

    #[test]
    fn less_than_a_millisecond_is_nothing() {
        let mut world = World::weighted(&[3, 1], &Config::default());
        for (place, us) in [(0, 900), (1, 100)] {
            world.sent(world.id(place));
            world.done(place, Duration::from_micros(us), Ok(()));
        }
        let heavy = (0..8_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        assert!((5_850..6_150).contains(&heavy), "{heavy}");
    }
}
