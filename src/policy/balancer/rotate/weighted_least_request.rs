//! Weighted turns in which an endpoint counts for less the more calls it has open.
//!
//! Origin: Envoy LEAST_REQUEST with unequal weights (`least_request_lb.cc`): the effective weight is
//! `weight / (open + 1)^bias`, scheduled by earliest deadline (`edf_scheduler.h`).
//! Observes: static weights; calls that this client has open, at the moment when an endpoint is picked.
//! Cost: O(log n) a pick and one power, O(n log n) a change; O(choices) with equal weights.
//! Draws: one at the first pick after a change (see `wrr_edf`), then none; with equal weights `choices` a pick.
//! Fails when: an endpoint is much busier than the others, because it is slowed down but never left alone; loads
//! change faster than turns come round, because an endpoint's calls are looked at only when it is picked.

use serde::{Deserialize, Serialize};

use super::edf::{Edf, Refresh};
use super::wrr_edf::Start;
use crate::base::id::EndpointId;
use crate::base::math;
use crate::base::rand::Rand;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::sample::least_request;
use crate::policy::balancer::scan::least_connections;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `weighted_least_request`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much open calls count, 0 to 100: with 0 not at all, which is plain weighted turns.
    #[serde(deserialize_with = "bias")]
    #[schemars(range(min = 0, max = 100))]
    pub bias: f64,
    /// What endpoints of equal weight are compared by, as in Envoy: the fewest open calls among a few drawn. Without
    /// it they take turns by schedule too.
    pub equal: Equal,
    /// How many of equal weight are drawn, 2 to 100 (Envoy's `choice_count`).
    #[serde(deserialize_with = "least_request::choices")]
    #[schemars(range(min = 2, max = 100))]
    pub choices: u32,
    /// Where a new schedule starts.
    pub start: Start,
}

/// What becomes of endpoints of equal weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Equal {
    /// They are drawn and compared as by `least_request`.
    #[default]
    LeastRequest,
    /// All are compared, and one of those with the fewest is drawn (Envoy's `FULL_SCAN`).
    FullScan,
    /// They are scheduled like others.
    Schedule,
}

impl Default for Config {
    fn default() -> Self {
        Config { bias: 1.0, equal: Equal::LeastRequest, choices: 2, start: Start::Random }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(WeightedLeastRequest {
            config: self.clone(),
            rand: context.seed.stream("weighted_least_request"),
            equal: self.among_equals(&context.child("equal")),
            weighted: Weighted::default(),
            scheduled: false,
            edf: None,
        })
    }

    /// What compares endpoints of equal weight.
    fn among_equals(&self, context: &Context) -> Box<dyn Balancer> {
        match self.equal {
            Equal::FullScan => least_connections::Config::default().build(context),
            Equal::LeastRequest | Equal::Schedule => {
                least_request::Config { choices: self.choices, ..Default::default() }.build(context)
            }
        }
    }
}

struct WeightedLeastRequest {
    config: Config,
    rand: Rand,
    equal: Box<dyn Balancer>,
    weighted: Weighted,
    /// Weights differed when the endpoints last changed: Envoy decides then, and stays with it.
    scheduled: bool,
    /// `None` until the first pick after a change.
    edf: Option<Edf>,
}

impl Balancer for WeightedLeastRequest {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.weighted = Weighted::of(endpoints);
        self.scheduled = self.config.equal == Equal::Schedule || !self.weighted.are_equal();
        self.edf = None;
        self.equal.on_endpoints(now, endpoints);
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.weighted.ids.as_slice() {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        if !self.scheduled {
            return self.equal.pick(now, request, &endpoints.narrowed(endpoints.members, &self.weighted.ids));
        }
        let (Weighted { ids, weights }, bias) = (&self.weighted, self.config.bias);
        let weight = |i: usize| effective(weights[i], endpoints.in_flight(ids[i]), bias);
        let edf = self.edf.get_or_insert_with(|| {
            let weights: Vec<f64> = (0..ids.len()).map(weight).collect();
            self.config.start.schedule(&weights, Refresh::Fresh, &mut self.rand)
        });
        Pick::To(ids[edf.pick(weight)])
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        // The others count nothing themselves.
        if self.config.equal == Equal::FullScan {
            self.equal.on_feedback(now, feedback, &endpoints.narrowed(endpoints.members, &self.weighted.ids));
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for (id, weight) in self.weighted.ids.iter().zip(&self.weighted.weights) {
            visit("weight", *id, f64::from(*weight));
        }
    }
}

/// `weight / (open + 1)^bias`.
fn effective(weight: u32, open: u32, bias: f64) -> f64 {
    let (weight, open) = (f64::from(weight), f64::from(open) + 1.0);
    // Envoy takes this way around the power too; it is exact.
    if bias == 1.0 { weight / open } else { weight / math::pow(open, bias) }
}

fn bias<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let bias = f64::deserialize(deserializer)?;
    if (0.0..=100.0).contains(&bias) {
        return Ok(bias);
    }
    Err(serde::de::Error::custom(format_args!("`bias` is 0 to 100, not {bias}; 1 is usual")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::policy::balancer::rotate::wrr_edf;
    use crate::policy::balancer::testing::{World, letters, listing};
    use crate::policy::endpoints::Listing;

    fn zero(bias: f64) -> Config {
        Config { bias, equal: Equal::Schedule, start: Start::Zero, ..Config::default() }
    }

    #[test]
    fn the_example_of_envoys_documentation() {
        assert_eq!(effective(2, 4, 1.0), 0.4);
        assert_eq!((effective(2, 4, 0.0), effective(2, 3, 2.0), effective(9, 0, 7.0)), (2.0, 0.125, 9.0));
    }

    #[test]
    fn without_bias_it_is_weighted_turns() {
        // policies.md §14.8.
        let turns = wrr_edf::Config { start: Start::Zero, skip_equal: false, ..Default::default() };
        for weights in [&[5, 1, 1][..], &[7, 3, 3, 2], &[4, 0, 1], &[2, 2]] {
            let (mut one, mut other) = (World::weighted(weights, &zero(0.0)), World::weighted(weights, &turns));
            for pick in 0..200 {
                assert_eq!(one.send(), other.send(), "{weights:?}, pick {pick}");
            }
        }
    }

    #[test]
    fn a_busy_endpoint_is_slowed_down_and_never_left_alone() {
        let mut world = World::equal(2, &zero(1.0));
        (0..9).for_each(|_| world.sent(world.id(0)));
        // Weights 1/10 and 1: deadlines 10 and 1, 2, 3 … of which the tenth ties with the first, which is older.
        assert_eq!(letters(&world.picks(12)), "BBBBBBBBBABB");
        for _ in 0..9 {
            world.done(0, Duration::ZERO, Ok(()));
        }
        // The weight is read when it is picked: not before 20.
        assert_eq!(letters(&world.picks(12)), "BBBBBBBBABAB");
    }

    #[test]
    fn a_change_starts_a_new_schedule() {
        let mut world = World::weighted(&[2, 1], &zero(1.0));
        world.picks(4);
        world.list(listings(&[2, 1, 3]));
        assert_eq!(letters(&world.picks(6)), "CACBAC", "in which who joined has its turns");
    }

    #[test]
    fn equal_weights_are_compared_by_two_choices() {
        let mut world = World::equal(2, &Config::default());
        world.sent(world.id(0));
        let hung = world.counts(10_000)[0];
        assert!((2_400..2_600).contains(&hung), "{hung}: a quarter, as with replacement");
        let mut world = World::weighted(&[2, 1], &Config::default());
        (0..19).for_each(|_| world.sent(world.id(0)));
        let busy = world.counts(1_100)[0];
        assert!((95..=105).contains(&busy), "{busy}: 2/20 against 1");
    }

    #[test]
    fn equal_weights_are_compared_by_more_choices_or_all() {
        let mut world = World::equal(2, &Config { choices: 3, ..Config::default() });
        world.sent(world.id(0));
        let hung = world.counts(10_000)[0];
        assert!((1_150..1_350).contains(&hung), "{hung}: an eighth");
        let mut world = World::equal(3, &Config { equal: Equal::FullScan, ..Config::default() });
        world.sent(world.id(0));
        world.sent(world.id(1));
        assert_eq!(world.counts(100), [0, 0, 100], "a scan misses nobody");
        world.sent(world.id(2));
        world.done(1, Duration::ZERO, Ok(()));
        assert_eq!(world.counts(100), [0, 100, 0], "and hears of what ends");
    }

    fn listings(weights: &[u32]) -> Vec<Listing> {
        weights.iter().zip(0..).map(|(weight, i)| listing(i, *weight)).collect()
    }

    #[test]
    fn a_bias_is_checked() {
        assert!(toml::from_str::<Config>("bias = -1.0").unwrap_err().message().contains("0 to 100, not -1"));
        assert!(toml::from_str::<Config>("bias = nan").is_err());
    }
}
