//! Learners: balancers that treat endpoints as the arms of a bandit. Each answer is a reward, and what is learned
//! decides how often an endpoint is tried.
//!
//! What they share is late feedback: between a decision and its reward all other calls are decided without it.

use serde::{Deserialize, Serialize};

use crate::base::math;
use crate::base::rand::{Bits, Rand};
use crate::base::status::{Cause, Outcome};
use crate::base::time::Duration;
use crate::policy::balancer::read::some_time;

pub mod dynamic_weight_random;
pub mod epsilon_greedy;
pub mod ewma_dynamic_weights;
pub mod softmax_annealed;

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Reward {
    /// Latency from which on an answer is worth nothing.
    #[serde(deserialize_with = "some_time")]
    pub latency_ref: Duration,
}

impl Default for Reward {
    fn default() -> Self {
        Reward { latency_ref: Duration::from_millis(500) }
    }
}

impl Reward {
    /// 0 for a failure, else 1 less the share of `latency_ref` that it took. A call that its caller cancelled says
    /// nothing.
    pub fn of(self, took: Duration, outcome: Outcome) -> Option<f64> {
        match outcome {
            Ok(()) => Some(1.0 - self.delay(took)),
            Err(failure) if failure.cause == Cause::Cancelled => None,
            Err(_) => Some(0.0),
        }
    }

    /// The share of `latency_ref`, at most 1.
    pub fn delay(self, took: Duration) -> f64 {
        (took.as_nanos() as f64 / self.latency_ref.as_nanos() as f64).min(1.0)
    }
}

/// Turns values into chances in proportion to `exp(value / temperature)`, not normalised: their sum is returned. The
/// greatest value is subtracted first, so that nothing overflows.
pub fn softmax(values: &mut [f64], temperature: f64) -> f64 {
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for value in values {
        *value = math::exp((*value - greatest) / temperature);
        sum += *value;
    }
    sum
}

/// A place with a chance in proportion to its value; `sum` is that of all values. One draw.
pub fn draw(chances: &[f64], sum: f64, rand: &mut Rand) -> usize {
    let mut left = rand.unit() * sum;
    for (place, chance) in chances.iter().enumerate() {
        left -= chance;
        if left < 0.0 {
            return place;
        }
    }
    // Rounding may leave a crumb: it belongs to the last that has a chance.
    chances.iter().rposition(|chance| *chance > 0.0).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;
    use crate::base::status::Failure;

    /// The chances as decimals.
    pub(super) fn chances(values: &[f64], temperature: f64) -> Vec<String> {
        let mut values = values.to_vec();
        let sum = softmax(&mut values, temperature);
        values.iter().map(|value| format!("{:.6}", value / sum)).collect()
    }

    #[test]
    fn softmax_at_three_temperatures() {
        let values = [1.0, 0.5, 0.0];
        assert_eq!(chances(&values, 1.0), ["0.506480", "0.307196", "0.186324"]);
        assert_eq!(chances(&values, 0.1), ["0.993262", "0.006693", "0.000045"]);
        assert_eq!(chances(&values, 10.0), ["0.350132", "0.333056", "0.316812"]);
        assert_eq!(chances(&[1e9, 0.0], 0.05), ["1.000000", "0.000000"], "nothing overflows");
    }

    #[test]
    fn draws_follow_chances() {
        let mut rand = Seed::new(1).stream("draws");
        let mut counts = [0_i32; 4];
        (0..10_000).for_each(|_| counts[draw(&[1.0, 0.0, 3.0, 0.0], 4.0, &mut rand)] += 1);
        assert!((counts[0] - 2_500).abs() < 150 && counts[1] == 0 && counts[3] == 0, "{counts:?}");
        assert_eq!(draw(&[1.0, 1.0, 0.0], 1e9, &mut rand), 1, "a crumb belongs to the last with a chance");
    }

    #[test]
    fn rewards() {
        let reward = Reward::default();
        let of = |ms, outcome| reward.of(Duration::from_millis(ms), outcome);
        assert_eq!((of(0, Ok(())), of(125, Ok(())), of(900, Ok(()))), (Some(1.0), Some(0.75), Some(0.0)));
        assert_eq!(of(1, Err(Failure::of(Cause::Backend))), Some(0.0));
        assert_eq!(of(1, Err(Failure::of(Cause::Cancelled))), None);
    }
}
