//! Random by weights that grow where recent rewards are above the mean of all and shrink where they are below.
//!
//! Origin: softmax over weights that follow recent against baseline reward; with `update = "gradient"` the gradient
//! bandit of Sutton and Barto, Reinforcement Learning, 2nd edition, section 2.8.
//! Observes: latency and outcome of each answer. Not weights.
//! Cost: O(n) a pick: one exponential for each ready endpoint; O(n) an answer.
//! Draws: one a pick, none for one endpoint.
//! Fails when: one endpoint is a little better for long, because the weights drift apart until nobody else gets a
//! call and the clamp is all that holds them; rewards change faster than the window.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Reward, draw, softmax};
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::Rand;
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{above_zero, samples, share, some_time};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `dynamic_weight_random`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How far an answer moves a weight, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub alpha: f64,
    /// The higher, the less weights matter: above 0.
    #[serde(deserialize_with = "above_zero")]
    pub temperature: f64,
    /// What an answer changes.
    pub update: Update,
    /// How long a reward counts as recent.
    #[serde(deserialize_with = "some_time")]
    pub window: Duration,
    /// How many rewards of an endpoint count at most, 1 to 10000.
    #[serde(deserialize_with = "samples")]
    #[schemars(range(min = 1, max = 10_000))]
    pub window_samples: usize,
    /// Weights stay within this of 0: above 0.
    #[serde(deserialize_with = "above_zero")]
    pub clamp: f64,
    /// Latency from which on an answer is worth nothing.
    pub latency_ref: Reward,
}

/// What an answer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// The weight of its endpoint, by that one's recent mean less the mean of all.
    #[default]
    Recent,
    /// All weights, by its reward less the mean of all, times the chances that the endpoints had.
    Gradient,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            alpha: 0.1,
            temperature: 1.0,
            update: Update::Recent,
            window: Duration::from_secs(10),
            window_samples: 50,
            clamp: 10.0,
            latency_ref: Reward::default(),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("dynamic_weight_random");
        Box::new(DynamicWeightRandom { config: self.clone(), rand, arms: Slots::new(), chances: vec![] })
    }
}

#[derive(Debug)]
struct DynamicWeightRandom {
    config: Config,
    rand: Rand,
    arms: Slots<Arm>,
    /// Of the ready endpoints: kept for its room.
    chances: Vec<f64>,
}

#[derive(Debug)]
struct Arm {
    weight: f64,
    recent: VecDeque<(Instant, f64)>,
}

impl DynamicWeightRandom {
    fn forget_old(&mut self, now: Instant) {
        for (_, arm) in self.arms.iter_mut() {
            while arm.recent.front().is_some_and(|(at, _)| now.since(*at) >= self.config.window) {
                arm.recent.pop_front();
            }
        }
    }

    /// The mean of all rewards in the window.
    fn baseline(&self) -> f64 {
        mean(self.arms.iter().flat_map(|(_, arm)| &arm.recent))
    }

    fn learn(&mut self, now: Instant, endpoint: EndpointId, reward: f64) {
        let Config { alpha, clamp, window_samples, .. } = self.config;
        let Some(arm) = self.arms.get_mut(endpoint) else { return };
        if arm.recent.len() == window_samples {
            arm.recent.pop_front();
        }
        arm.recent.push_back((now, reward));
        self.forget_old(now);
        let baseline = self.baseline();
        match self.config.update {
            Update::Recent => {
                let arm = self.arms.get_mut(endpoint).expect("it was there just now");
                arm.weight += alpha * (mean(&arm.recent) - baseline);
                arm.weight = arm.weight.clamp(-clamp, clamp);
            }
            Update::Gradient => {
                self.chances.clear();
                self.chances.extend(self.arms.iter().map(|(_, arm)| arm.weight));
                let sum = softmax(&mut self.chances, self.config.temperature);
                for ((id, arm), chance) in self.arms.iter_mut().zip(&self.chances) {
                    let step = gradient(id == endpoint, chance / sum, alpha * (reward - baseline));
                    arm.weight = (arm.weight + step).clamp(-clamp, clamp);
                }
            }
        }
    }
}

/// The step of one weight (equation 2.12 of Sutton and Barto).
fn gradient(chosen: bool, chance: f64, step: f64) -> f64 {
    if chosen { step * (1.0 - chance) } else { -step * chance }
}

fn mean<'r>(rewards: impl IntoIterator<Item = &'r (Instant, f64)>) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for (_, reward) in rewards {
        sum += reward;
        n += 1;
    }
    if n == 0 { 0.0 } else { sum / f64::from(n) }
}

impl Balancer for DynamicWeightRandom {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let known: Vec<f64> =
            endpoints.members.iter().filter_map(|id| self.arms.get(*id)).map(|arm| arm.weight).collect();
        // Only differences matter, so whoever joins stands in the middle.
        let weight = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let samples = self.config.window_samples;
        follow(&mut self.arms, endpoints, |_| Arm { weight, recent: VecDeque::with_capacity(samples) });
        self.chances.reserve(endpoints.members.len());
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        self.chances.clear();
        let weight = |id: &EndpointId| self.arms.get(*id).map_or(0.0, |arm| arm.weight);
        self.chances.extend(endpoints.ready.iter().map(weight));
        let sum = softmax(&mut self.chances, self.config.temperature);
        Pick::To(endpoints.ready[draw(&self.chances, sum, &mut self.rand)])
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, took, outcome, .. } = *feedback else { return };
        if let Some(reward) = self.config.latency_ref.of(took, outcome) {
            self.learn(now, endpoint, reward);
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.arms.iter().for_each(|(id, arm)| visit("weight", id, arm.weight));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::policy::balancer::learn::tests::chances;
    use crate::policy::balancer::testing::{World, listing};

    fn weights(world: &World) -> Vec<f64> {
        let mut weights = vec![];
        world.balancer.gauges(&mut |_, id, weight| weights.push((world.place(id), weight)));
        weights.sort_by_key(|(place, _)| *place);
        weights.into_iter().map(|(_, weight)| weight).collect()
    }

    /// An answer that is worth so much.
    fn answer(world: &mut World, place: usize, reward: f64) {
        world.sent(world.id(place));
        world.done(place, Duration::from_nanos(((1.0 - reward) * 5e8).round() as u64), Ok(()));
    }

    #[track_caller]
    fn close(found: &[f64], expected: &[f64]) {
        let far = found.iter().zip(expected).any(|(found, expected)| (found - expected).abs() > 5e-8);
        assert!(!far && found.len() == expected.len(), "{found:?} where {expected:?} is expected");
    }

    #[test]
    fn a_weight_follows_its_recent_mean_less_that_of_all() {
        let mut world = World::equal(3, &Config::default());
        for (place, reward) in [(0, 0.9), (1, 0.5), (2, 0.7)] {
            answer(&mut world, place, reward);
        }
        // Baselines are 0.9, 0.7 and 0.7 as the answers come in.
        close(&weights(&world), &[0.0, -0.02, 0.0]);
        answer(&mut world, 0, 0.9);
        close(&weights(&world), &[0.1 * (0.9 - 0.75), -0.02, 0.0]);
        // The vector: weights 1, 1, 1 moved by 0.1 times 0.2, -0.2 and 0.
        let moved = [0.9, 0.5, 0.7].map(|recent| 1.0 + 0.1 * (recent - 0.7));
        close(&moved, &[1.02, 0.98, 1.0]);
        assert_eq!(chances(&moved, 1.0), ["0.340022", "0.326689", "0.333289"]);
    }

    #[test]
    fn the_gradient_moves_all_weights() {
        let step = 0.1 * (1.0 - 0.6);
        let moved = [true, false, false].map(|chosen| gradient(chosen, 1.0 / 3.0, step));
        close(&moved, &[0.026_666_7, -0.013_333_3, -0.013_333_3]);
        assert_eq!(chances(&moved, 1.0), ["0.342281", "0.328860", "0.328860"]);
        let mut world = World::equal(3, &Config { update: Update::Gradient, ..Config::default() });
        answer(&mut world, 1, 0.2);
        answer(&mut world, 0, 1.0);
        // The baseline is 0.6 with both.
        close(&weights(&world), &[0.026_666_7, -0.013_333_3, -0.013_333_3]);
    }

    #[test]
    fn rewards_leave_the_window_by_age_and_number() {
        for (config, advance, answers) in [
            (Config { window: Duration::from_secs(1), ..Config::default() }, 1_000, 0),
            (Config { window_samples: 2, ..Config::default() }, 1, 2),
        ] {
            let mut world = World::equal(2, &config);
            answer(&mut world, 0, 0.0);
            world.advance(Duration::from_millis(advance));
            (0..answers).for_each(|_| answer(&mut world, 0, 1.0));
            let before = weights(&world)[1];
            answer(&mut world, 1, 1.0);
            close(&[weights(&world)[1]], &[before]);
        }
    }

    #[test]
    fn weights_are_clamped_and_whoever_joins_stands_in_the_middle() {
        let mut world = World::equal(2, &Config { alpha: 1.0, clamp: 0.5, ..Config::default() });
        for _ in 0..60 {
            answer(&mut world, 0, 1.0);
            world.sent(world.id(1));
            world.done(1, Duration::ZERO, Err(Failure::of(Cause::Backend)));
        }
        close(&weights(&world), &[0.5, -0.5]);
        world.list((0..3).map(|i| listing(i, 1)).collect());
        close(&weights(&world), &[0.5, -0.5, 0.0]);
        // exp(1), exp(0.5) and 1.
        let counts = world.counts(0);
        assert_eq!(counts, [0; 3]);
        let picks = (0..20_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        assert!(picks.abs_diff(10_130) < 350, "{picks} where 0.50648 is the chance");
    }

    #[test]
    fn parameters_are_checked() {
        let message = |text| toml::from_str::<Config>(text).unwrap_err().message().to_owned();
        assert!(message("alpha = 1.5").contains("0 to 1"));
        assert!(message("temperature = 0.0").contains("above 0"));
        assert!(message("window_samples = 0").contains("1 to 10000"));
        assert!(message("latency_ref = '0s'").contains("no time at all"));
        let read = toml::from_str::<Config>("latency_ref = '2s'").unwrap();
        assert_eq!(read.latency_ref.latency_ref, Duration::from_secs(2));
    }
}
