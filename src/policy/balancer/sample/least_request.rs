//! Draw a few endpoints and take the one with the fewest open calls.
//!
//! Origin: power of two choices (Mitzenmacher, IEEE TPDS 2001); Envoy LEAST_REQUEST, gRPC `least_request_experimental`
//! (gRFC A48); with `sampling = "distinct"` the way of Finagle, tower and linkerd.
//! With `weights = "respect"` HAProxy `random(d)` (`src/backend.c`) and, distinct, NGINX `random two least_conn`.
//! Observes: calls that this client has open; with `weights = "respect"` static weights.
//! Cost: O(choices) a pick; O(n) a change with weights.
//! Draws: `choices` a pick, at most as many as there are endpoints when they are distinct; none for one endpoint. By
//! weight a distinct draw that hits an endpoint again is repeated, up to 20 times a pick (NGINX).
//! Fails when: many clients share the backends, because each counts only its own calls; a backend fails fast,
//! because it then looks idle; with replacement and two endpoints, because the worse one keeps a quarter.

use serde::{Deserialize, Serialize};

use super::choices::{Choices, Sampling};
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::score::in_flight::InFlight;
use crate::policy::balancer::weights::{Shares, Weighted};
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

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
}

/// Whether static weights count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// They do not: Envoy with equal weights, gRPC, Finagle, tower, linkerd.
    #[default]
    Ignore,
    /// A heavier endpoint is drawn more often and may have more calls open: what is compared is calls over weight
    /// (HAProxy, NGINX).
    Respect,
}

impl Default for Config {
    fn default() -> Self {
        Config { choices: 2, sampling: Sampling::Replacement, weights: Weights::Ignore }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("least_request");
        match self.weights {
            Weights::Ignore => Box::new(Choices::new(self.choices, self.sampling, InFlight, rand)),
            Weights::Respect => Box::new(ByWeight {
                choices: self.choices as usize,
                sampling: self.sampling,
                rand,
                weighted: Weighted::default(),
                shares: Shares::default(),
                drawn: Vec::with_capacity(self.choices as usize),
            }),
        }
    }
}

/// Draws by weight and compares calls over weight.
#[derive(Debug)]
struct ByWeight {
    choices: usize,
    sampling: Sampling,
    rand: Rand,
    weighted: Weighted,
    shares: Shares,
    /// Places drawn for one pick.
    drawn: Vec<usize>,
}

impl Balancer for ByWeight {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.weighted = Weighted::of(endpoints);
        self.shares = Shares::of(&self.weighted.weights);
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.weighted.ids.as_slice() {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.draw();
        let open = |place: usize| u64::from(endpoints.in_flight(self.weighted.ids[place]));
        let weight = |place: usize| u64::from(self.weighted.weights[place]);
        let better = |best: usize, next: usize| {
            // Of equals the first drawn stays. HAProxy goes on to compare request rates.
            if open(next) * weight(best) < open(best) * weight(next) { next } else { best }
        };
        let best = self.drawn.iter().copied().reduce(better).expect("one is drawn");
        Pick::To(self.weighted.ids[best])
    }
}

impl ByWeight {
    fn draw(&mut self) {
        self.drawn.clear();
        let mut repeats = 0;
        while self.drawn.len() < self.choices && repeats <= TRIES {
            let place = self.shares.owner(self.rand.below(self.shares.total()));
            if self.sampling == Sampling::Distinct && self.drawn.contains(&place) {
                repeats += 1;
            } else {
                self.drawn.push(place);
            }
        }
    }
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

/// How often a draw is repeated that hits an endpoint again (`ngx_http_upstream_random_module.c`).
const TRIES: u32 = 20;

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
    fn by_weight_draws_and_loads_are_in_proportion() {
        for sampling in [Sampling::Replacement, Sampling::Distinct] {
            let config = Config { sampling, weights: Weights::Respect, ..Config::default() };
            let mut world = World::weighted(&[6, 3, 0, 1], &config);
            let mut counts = [0; 4];
            (0..10_000).for_each(|_| counts[world.send()] += 1);
            for (count, expected) in counts.iter().zip([6_000_i32, 3_000, 0, 1_000]) {
                assert!((count - expected).abs() < 15, "{sampling:?}: {counts:?}, kept close by comparing");
            }
        }
        // While nothing is open the first drawn stays: 0.9, not what two draws would make of it.
        let config = Config { weights: Weights::Respect, ..Config::default() };
        let idle = World::weighted(&[9, 1], &config).counts(10_000)[0];
        assert!((8_900..9_100).contains(&idle), "{idle}");
        // Distinct, the busy one of two is never taken, however heavy.
        let config = Config { sampling: Sampling::Distinct, ..config };
        let mut world = World::weighted(&[9, 1], &config);
        world.sent(world.id(0));
        assert!(world.counts(1_000)[0] <= 150, "but where 20 draws in a row hit the same, 0.9^20");
    }

    #[test]
    fn one_choice_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{ "choices": 1 }"#).unwrap_err().to_string();
        assert!(error.starts_with("`choices` is 1, but least_request compares 2 to 100 endpoints"), "{error}");
        assert_eq!(serde_json::from_str::<Config>(r#"{ "choices": 3 }"#).unwrap().choices, 3);
    }
}
