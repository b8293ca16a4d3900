//! Weights that follow success and speed of each endpoint's answers, never below a floor.
//!
//! Origin: a rule of operations practice: 0.7 of the success ratio plus 0.3 of the speed, smoothed.
//! Observes: latency and outcome of each answer. Not static weights.
//! Cost: O(n) a pick.
//! Draws: one a pick, none for one endpoint or with `pick = "smooth_wrr"`.
//! Fails when: an endpoint is dead, because the floor keeps it at 0.1 / (0.1 + n - 1) of the calls: it needs a health
//! check or a breaker beside it; failures are fast, because speed counts although nothing succeeds.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Reward, draw};
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::Rand;
use crate::base::slots::Slots;
use crate::base::status::Cause;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{samples, share};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `ewma_dynamic_weights`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much the success ratio counts, 0 to 1; speed counts for the rest.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub accuracy: f64,
    /// How far an answer moves a weight, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub alpha: f64,
    /// Weights stay at or above this, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub floor: f64,
    /// Answers of which the success ratio is taken, 1 to 10000.
    #[serde(deserialize_with = "samples")]
    #[schemars(range(min = 1, max = 10_000))]
    pub window: usize,
    /// Delay that counts as no speed at all.
    pub delay_ref: Reward,
    /// How weights become picks.
    pub pick: By,
}

/// How weights become picks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// With a chance in proportion.
    #[default]
    WeightedRandom,
    /// In turns, spread evenly.
    SmoothWrr,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            accuracy: 0.7,
            alpha: 0.1,
            floor: 0.1,
            window: 50,
            delay_ref: Reward::default(),
            pick: By::WeightedRandom,
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let rand = context.seed.stream("ewma_dynamic_weights");
        Box::new(EwmaDynamicWeights { config: self.clone(), rand, arms: Slots::new(), chances: vec![] })
    }

    /// The weight after an answer.
    fn moved(&self, weight: f64, accuracy: f64, delay: f64) -> f64 {
        let score = self.accuracy * accuracy + (1.0 - self.accuracy) * (1.0 - delay);
        ((1.0 - self.alpha) * weight + self.alpha * score).clamp(self.floor, 1.0)
    }
}

#[derive(Debug)]
struct EwmaDynamicWeights {
    config: Config,
    rand: Rand,
    arms: Slots<Arm>,
    /// Of the ready endpoints: kept for its room.
    chances: Vec<f64>,
}

#[derive(Debug)]
struct Arm {
    weight: f64,
    /// What it has earned in smooth turns.
    current: f64,
    recent: VecDeque<bool>,
    successes: usize,
}

impl Arm {
    fn note(&mut self, ok: bool, window: usize) -> f64 {
        if self.recent.len() == window {
            self.successes -= usize::from(self.recent.pop_front() == Some(true));
        }
        self.recent.push_back(ok);
        self.successes += usize::from(ok);
        self.successes as f64 / self.recent.len() as f64
    }
}

impl Balancer for EwmaDynamicWeights {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let recent = || VecDeque::with_capacity(self.config.window);
        let new = |_| Arm { weight: 1.0, current: 0.0, recent: recent(), successes: 0 };
        follow(&mut self.arms, endpoints, new);
        self.chances.reserve(endpoints.members.len());
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        if self.config.pick == By::SmoothWrr {
            return Pick::To(self.smooth(endpoints));
        }
        self.chances.clear();
        self.chances.extend(endpoints.ready.iter().map(|id| self.arms.get(*id).map_or(1.0, |arm| arm.weight)));
        let sum = self.chances.iter().sum();
        Pick::To(endpoints.ready[draw(&self.chances, sum, &mut self.rand)])
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, took, outcome, .. } = *feedback else { return };
        let Some(arm) = self.arms.get_mut(endpoint) else { return };
        if outcome.is_err_and(|failure| failure.cause == Cause::Cancelled) {
            return;
        }
        let accuracy = arm.note(outcome.is_ok(), self.config.window);
        arm.weight = self.config.moved(arm.weight, accuracy, self.config.delay_ref.delay(took));
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.arms.iter().for_each(|(id, arm)| visit("weight", id, arm.weight));
    }
}

impl EwmaDynamicWeights {
    /// Everyone earns its weight, the richest pays for all. Two or more are ready.
    fn smooth(&mut self, endpoints: &Endpoints<'_>) -> EndpointId {
        let (mut best, mut most, mut total) = (endpoints.ready[0], f64::NEG_INFINITY, 0.0);
        for id in endpoints.ready {
            let Some(arm) = self.arms.get_mut(*id) else { continue };
            arm.current += arm.weight;
            total += arm.weight;
            if arm.current > most {
                (best, most) = (*id, arm.current);
            }
        }
        if let Some(arm) = self.arms.get_mut(best) {
            arm.current -= total;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::Failure;
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::World;

    fn series(mut weight: f64, accuracy: f64, delay: f64, n: usize) -> Vec<String> {
        let next = |_| {
            weight = Config::default().moved(weight, accuracy, delay);
            format!("{weight:.6}")
        };
        (0..n).map(next).collect()
    }

    #[test]
    fn weights_of_the_reference() {
        let falling = ["0.935000", "0.876500", "0.823850", "0.776465", "0.733819", "0.695437"];
        assert_eq!(series(1.0, 0.5, 1.0, 6), falling);
        assert_eq!(series(0.5, 1.0, 0.0, 3), ["0.550000", "0.595000", "0.635500"]);
        let dead = series(1.0, 0.0, 1.0, 23);
        assert_eq!(dead.iter().position(|weight| weight == "0.100000"), Some(21), "the 22nd reaches the floor");
    }

    /// Fails ten of ten calls slowly at place 0, answers at once elsewhere.
    fn with_a_dead_one(config: &Config) -> World {
        let mut world = World::equal(10, config);
        for _ in 0..40 {
            world.sent(world.id(0));
            world.done(0, Duration::from_secs(1), Err(Failure::of(Cause::Deadline)));
        }
        world
    }

    #[test]
    fn the_floor_leaks() {
        // 0.1 / 9.1 is 1.10 %.
        let share = |config: &Config| {
            let mut world = with_a_dead_one(config);
            (0..9_100).filter(|_| world.pick(&Request::plain()) == Pick::To(world.id(0))).count()
        };
        assert_eq!(share(&Config { pick: By::SmoothWrr, ..Config::default() }), 100);
        let random = share(&Config::default());
        assert!((60..140).contains(&random), "{random}");
        // Without a floor its weight goes on falling: 0.9^40 is 1.5 %, a sixth of the floor.
        let unbounded = share(&Config { floor: 0.0, pick: By::SmoothWrr, ..Config::default() });
        assert!((14..=16).contains(&unbounded), "{unbounded}");
    }

    #[test]
    fn the_ratio_is_of_the_last_answers() {
        let mut world = World::equal(2, &Config { window: 2, alpha: 1.0, ..Config::default() });
        let mut weight_after = |outcomes: &[bool]| {
            for ok in outcomes {
                world.sent(world.id(0));
                world.done(0, Duration::ZERO, if *ok { Ok(()) } else { Err(Failure::of(Cause::Backend)) });
            }
            let mut weights = vec![];
            world.balancer.gauges(&mut |_, id, weight| weights.push((world.place(id), weight)));
            weights.iter().find(|(place, _)| *place == 0).unwrap().1
        };
        assert!((weight_after(&[false]) - 0.3).abs() < 1e-12);
        assert!((weight_after(&[true]) - 0.65).abs() < 1e-12);
        assert!((weight_after(&[true]) - 1.0).abs() < 1e-12, "the failure has left the window");
    }
}
