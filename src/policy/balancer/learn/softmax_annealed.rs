//! Random by average reward, at a temperature that falls: first nearly any endpoint, in the end nearly always the
//! best.
//!
//! Origin: Boltzmann exploration with a geometric schedule (Sutton and Barto, Reinforcement Learning, 2nd edition,
//! section 2.8 and its exercises).
//! Observes: latency and outcome of each answer. Not weights.
//! Cost: O(n) a pick: one exponential for each ready endpoint, and a power.
//! Draws: one a pick, none for one endpoint.
//! Fails when: backends change after it has cooled, because it no longer explores; answers come so fast that it cools
//! before it has seen anything.

use serde::{Deserialize, Serialize};

use super::epsilon_greedy::Arm;
use super::{Reward, draw, softmax};
use crate::base::id::EndpointId;
use crate::base::math;
use crate::base::quantity::Ratio;
use crate::base::rand::Rand;
use crate::base::slots::Slots;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{above_zero, share};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `softmax_annealed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Temperature at the start: above 0.
    #[serde(deserialize_with = "above_zero")]
    pub temperature: f64,
    /// What is left of it after each step, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub gamma: f64,
    /// Temperature below which it does not fall: above 0.
    #[serde(deserialize_with = "above_zero")]
    pub temperature_min: f64,
    /// What a step is.
    pub step: Clock,
    /// How far an answer moves an average, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub alpha: f64,
    /// Average of an endpoint that has not answered yet.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub initial: f64,
    /// When endpoints join or leave, the temperature is that of the start again.
    pub reheat_on_update: bool,
    /// Latency from which on an answer is worth nothing.
    pub latency_ref: Reward,
}

/// What cools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Each answer is a step.
    #[default]
    Answer,
    /// Each whole second is.
    Second,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            temperature: 1.0,
            gamma: 0.995,
            temperature_min: 0.05,
            step: Clock::Answer,
            alpha: 0.1,
            initial: 1.0,
            reheat_on_update: true,
            latency_ref: Reward::default(),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(SoftmaxAnnealed {
            config: self.clone(),
            rand: context.seed.stream("softmax_annealed"),
            arms: Slots::new(),
            members: vec![],
            answers: 0,
            since: Instant::ZERO,
            chances: vec![],
        })
    }

    fn temperature_after(&self, steps: u64) -> f64 {
        (self.temperature * math::pow(self.gamma, steps as f64)).max(self.temperature_min)
    }
}

#[derive(Debug)]
struct SoftmaxAnnealed {
    config: Config,
    rand: Rand,
    arms: Slots<Arm>,
    members: Vec<EndpointId>,
    /// Answers since it was last heated, and when that was.
    answers: u64,
    since: Instant,
    /// Of the ready endpoints: kept for its room.
    chances: Vec<f64>,
}

impl Balancer for SoftmaxAnnealed {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.arms, endpoints, |_| Arm::new(self.config.initial));
        if self.members != endpoints.members {
            if self.members.is_empty() || self.config.reheat_on_update {
                (self.answers, self.since) = (0, now);
            }
            self.members.clear();
            self.members.extend_from_slice(endpoints.members);
        }
        self.chances.reserve(endpoints.members.len());
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        let steps = match self.config.step {
            Clock::Answer => self.answers,
            Clock::Second => now.since(self.since).as_nanos() / 1_000_000_000,
        };
        self.chances.clear();
        let value = |id: &EndpointId| self.arms.get(*id).map_or(self.config.initial, |arm| arm.value);
        self.chances.extend(endpoints.ready.iter().map(value));
        let sum = softmax(&mut self.chances, self.config.temperature_after(steps));
        Pick::To(endpoints.ready[draw(&self.chances, sum, &mut self.rand)])
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, took, outcome, .. } = *feedback else { return };
        if let (Some(arm), Some(reward)) = (self.arms.get_mut(endpoint), self.config.latency_ref.of(took, outcome)) {
            arm.learn(Some(self.config.alpha), reward);
            self.answers += 1;
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.arms.iter().for_each(|(id, arm)| visit("value", id, arm.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::{World, listing};
    use crate::policy::endpoints::Health;

    #[test]
    fn the_schedule_of_the_reference() {
        let config = Config::default();
        let at = |steps| format!("{:.6}", config.temperature_after(steps));
        let expected = ["1.000000", "0.995000", "0.605770", "0.081572", "0.050000"];
        assert_eq!([0, 1, 100, 500, 1_000].map(at), expected);
    }

    /// Share of picks of the better of two, whose averages are 1 and 0.5.
    fn share(world: &mut World) -> f64 {
        let picks = (0..4_000).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count();
        picks as f64 / 4_000.0
    }

    fn learned(config: Config, answers: usize) -> World {
        let mut world = World::equal(2, &Config { alpha: 1.0, ..config });
        for _ in 0..answers {
            world.sent(world.id(1));
            world.done(1, Duration::from_millis(250), Ok(()));
        }
        world
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.04, "{found} where {expected} is expected");
    }

    #[test]
    fn it_cools_with_every_answer_and_heats_up_when_someone_joins() {
        // 1 / (1 + exp(-0.5 / T)) at T = 0.995, 0.367 and 0.05.
        near(share(&mut learned(Config::default(), 1)), 0.623);
        near(share(&mut learned(Config::default(), 200)), 0.796);
        let mut cold = learned(Config::default(), 1_000);
        near(share(&mut cold), 1.0);
        cold.refresh();
        cold.health(1, Health::Failed);
        cold.health(1, Health::Healthy);
        near(share(&mut cold), 1.0);
        cold.list((0..3).map(|i| listing(i, 1)).collect());
        // Averages 1, 0.5 and 1 at T = 1.
        near(share(&mut cold), 0.384);
        let mut kept = learned(Config { reheat_on_update: false, ..Config::default() }, 1_000);
        kept.list((0..3).map(|i| listing(i, 1)).collect());
        near(share(&mut kept), 0.5);
    }

    #[test]
    fn it_can_cool_with_time_instead() {
        let mut world = learned(Config { step: Clock::Second, ..Config::default() }, 1_000);
        near(share(&mut world), 0.622);
        world.advance(Duration::from_secs(200));
        near(share(&mut world), 0.796);
    }
}
