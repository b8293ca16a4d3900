//! Draw a few endpoints and take the one with the fewest open calls.
//!
//! Origin: power of two choices (Mitzenmacher, IEEE TPDS 2001); Envoy LEAST_REQUEST, gRPC `least_request_experimental`
//! (gRFC A48); with `sampling = "distinct"` the way of Finagle, tower and linkerd.
//! With `weights = "ring"` and `ties = "request_rate"` HAProxy `random(d)` (`src/backend.c`); with `weights = "respect"`,
//! distinct and `ties = "last"` NGINX `random two least_conn`, which turns to smooth weighted round robin after 20 draws
//! that hit an endpoint again.
//! Observes: calls that this client has open; static weights, unless they are ignored; how many calls it has sent to each
//! in the last second, with `ties = "request_rate"`.
//! Cost: O(choices) a pick, with a ring O(choices · log n); O(n) a change with weights or ties.
//! Draws: `choices` a pick, at most as many as there are endpoints when they are distinct; none for one endpoint. With
//! weights or ties a distinct draw that hits an endpoint again is repeated, up to 20 times a pick (NGINX).
//! Fails when: many clients share the backends, because each counts only its own calls; a backend fails fast,
//! because it then looks idle; with replacement and two endpoints, because the worse one keeps a quarter.

use serde::{Deserialize, Serialize};

use super::by_weight::{ByWeight, Rule, Ties, Weights};
use super::choices::{Choices, Sampling};
use crate::policy::balancer::Balancer;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::read::one_or_more;
use crate::policy::balancer::score::in_flight::InFlight;

/// Parameters of `least_request`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many are drawn, 2 to 100; gRPC caps it at 10.
    #[serde(deserialize_with = "choices")]
    #[schemars(range(min = 2, max = 100))]
    pub choices: u32,
    /// Whether an endpoint can be drawn twice for one pick.
    pub sampling: Sampling,
    /// Whether static weights count.
    pub weights: Weights,
    /// Who stays of two that have as many calls open.
    pub ties: Ties,
    /// A call waits if whoever stays has so many of this client's calls open, 1 or more (HAProxy's `maxconn`); by default
    /// nobody is full.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "room")]
    #[schemars(range(min = 1))]
    pub max_open: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            choices: 2,
            sampling: Sampling::Replacement,
            weights: Weights::Ignore,
            ties: Ties::First,
            max_open: None,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let Config { choices, sampling, weights, ties, max_open } = *self;
        if weights == Weights::Ignore && ties == Ties::First && max_open.is_none() {
            return Box::new(Choices::new(choices, sampling, InFlight, context.seed.stream("least_request")));
        }
        Box::new(ByWeight::new(Rule { choices: choices as usize, sampling, weights, ties, max_open }, context))
    }
}

fn room<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    one_or_more(deserializer).map(Some)
}

/// Reads a number of choices: one choice compares nothing.
///
/// # Errors
/// When it is not 2 to 100.
pub fn choices<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let choices = u32::deserialize(deserializer)?;
    if (2..=100).contains(&choices) {
        return Ok(choices);
    }
    Err(serde::de::Error::custom(format_args!("`choices` is {choices}, but least_request compares 2 to 100 endpoints")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::World;

    #[test]
    fn a_hung_endpoint_of_two_keeps_what_the_sampling_says() {
        // policies.md §4.2: 0.25 with replacement, 0 with distinct draws.
        for (sampling, expected) in [(Sampling::Replacement, 2_400..2_600), (Sampling::Distinct, 0..1)] {
            let mut world = World::equal(2, &Config { sampling, ..Config::default() });
            world.sent(world.id(0));
            let hung = world.counts(10_000)[0];
            assert!(expected.contains(&hung), "{sampling:?}: {hung} of 10,000 to the hung one");
        }
    }

    #[test]
    fn one_choice_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{ "choices": 1 }"#).unwrap_err().to_string();
        assert!(error.starts_with("`choices` is 1, but least_request compares 2 to 100 endpoints"), "{error}");
        assert_eq!(serde_json::from_str::<Config>(r#"{ "choices": 3 }"#).unwrap().choices, 3);
    }
}
