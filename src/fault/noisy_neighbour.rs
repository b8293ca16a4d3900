//! Somebody else on the same host takes its share, now and then: each target on its own is quiet for an exponential
//! time of mean `quiet`, then `factor` times as slow for one of mean `noisy`, and so on. It begins quiet.
//!
//! Written: `noisy_neighbour = { factor = 3, quiet = "20s", noisy = "5s" }`.
//! Unfolds into: for each noisy stretch of each target the factor, and its end. One stream for each backend: the
//! times of one do not depend on the others.
//! Does not: know hosts; two backends never share a neighbour.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::{alternate, not_too_short, own_stream, times};
use super::{Fault, Targets, When};
use crate::base::id::BackendId;
use crate::base::quantity::Factor;
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};

/// `noisy_neighbour = {}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many times as long service takes while it is noisy.
    pub factor: Factor,
    /// Mean time without noise.
    pub quiet: Duration,
    /// Mean time with noise.
    pub noisy: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { factor: Factor::of(3.0), quiet: Duration::from_secs(20), noisy: Duration::from_secs(5) }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, seed: &Seed) -> Vec<(Instant, Effect)> {
        let slow = |backend, factor| Effect::Slow { backend, cause: when.cause, factor };
        let of = |&id: &BackendId| {
            let stretches = alternate(when, self.quiet, self.noisy, &mut own_stream(seed, id));
            let pair = move |(from, to)| [(from, slow(id, Some(self.factor.value()))), (to, slow(id, None))];
            stretches.into_iter().flat_map(pair)
        };
        targets.chosen.iter().flat_map(of).collect()
    }

    fn label(&self) -> String {
        format!("noisy neighbour {}", times(self.factor))
    }

    fn check(&self) -> Result<(), String> {
        not_too_short([("quiet", Some(self.quiet)), ("noisy", Some(self.noisy))])
    }

    fn affects_backends(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::unfolded;

    #[test]
    fn noise_comes_and_goes_and_ends_with_the_fault() {
        let effects = unfolded(&Config::default(), "10 400 | 4");
        for pair in effects.chunks(2) {
            let [(from, Effect::Slow { factor: Some(3.0), .. }), (to, Effect::Slow { factor: None, .. })] = pair else {
                panic!("{pair:?}")
            };
            assert!(from < to && *from > Instant::ZERO + Duration::from_secs(10));
            assert!(*to <= Instant::ZERO + Duration::from_secs(400));
        }
        assert!(effects.len() >= 10, "{} effects in 390 s", effects.len());
    }

    #[test]
    fn the_share_of_noise_is_that_of_the_means() {
        let effects = unfolded(&Config::default(), "0 100000 | 0");
        let noise: f64 = effects.chunks(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).sum();
        // 4,000 cycles of 25 s, 5 of them noisy.
        assert!((18_000.0..22_000.0).contains(&noise), "{noise} s");
    }

    #[test]
    fn two_targets_are_not_in_step() {
        let effects = unfolded(&Config::default(), "10 400 | 0 1");
        let firsts: Vec<_> = [0, 1]
            .map(|id| effects.iter().find(|(_, e)| matches!(e, Effect::Slow { backend, .. } if backend.0 == id)))
            .into_iter()
            .map(|first| first.unwrap().0)
            .collect();
        assert_ne!(firsts[0], firsts[1]);
    }
}
