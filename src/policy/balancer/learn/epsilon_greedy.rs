//! Mostly the endpoint with the best average reward, now and then any.
//!
//! Origin: Sutton and Barto, Reinforcement Learning, 2nd edition, sections 2.2 to 2.6 (epsilon-greedy, constant step,
//! optimistic start).
//! Observes: latency and outcome of each answer; with `count_open` calls that this client has open. Not weights.
//! Cost: O(n) a pick.
//! Draws: one a pick, another to explore or among equals; none for one endpoint.
//! Fails when: answers take longer than calls are apart, because until they come the best endpoint gets every call,
//! and all clients that agree on it go there together; a bad endpoint keeps epsilon / n of the calls for ever.

use serde::{Deserialize, Serialize};

use super::Reward;
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::{Bits, Chance, Rand};
use crate::base::slots::Slots;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::share;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `epsilon_greedy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Share of calls that explore, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub epsilon: f64,
    /// How an average moves.
    pub step: Step,
    /// With `step = "constant"`: the share of the difference, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub alpha: f64,
    /// Average of an endpoint that has not answered yet: 1 is the best there is, so it is tried soon.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub initial: f64,
    /// Averages are divided by the open calls plus one, so that the best is not buried before it answers.
    pub count_open: bool,
    /// Whoever has never answered goes first.
    pub explore_new: bool,
    /// Latency from which on an answer is worth nothing.
    pub latency_ref: Reward,
}

/// How an average moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// By the share `alpha` of the difference, so that old answers fade.
    #[default]
    Constant,
    /// As the mean of all answers so far.
    Mean,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            epsilon: 0.1,
            step: Step::Constant,
            alpha: 0.1,
            initial: 1.0,
            count_open: false,
            explore_new: false,
            latency_ref: Reward::default(),
        }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(EpsilonGreedy {
            config: self.clone(),
            explore: Chance::new(self.epsilon),
            rand: context.seed.stream("epsilon_greedy"),
            arms: Slots::new(),
            best: vec![],
        })
    }
}

#[derive(Debug)]
struct EpsilonGreedy {
    config: Config,
    explore: Chance,
    rand: Rand,
    arms: Slots<Arm>,
    /// Those with the highest value of one pick: kept for its room.
    best: Vec<EndpointId>,
}

/// What is learned of an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Arm {
    /// The average reward.
    pub value: f64,
    answers: u64,
}

impl Arm {
    /// Of an endpoint that has not answered.
    pub fn new(value: f64) -> Arm {
        Arm { value, answers: 0 }
    }

    /// Takes in a reward: by this share of the difference, or as the mean of all answers.
    pub fn learn(&mut self, alpha: Option<f64>, reward: f64) {
        self.answers += 1;
        let share = alpha.unwrap_or(1.0 / self.answers as f64);
        self.value += share * (reward - self.value);
    }
}

impl Balancer for EpsilonGreedy {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.arms, endpoints, |_| Arm::new(self.config.initial));
        self.best.reserve(endpoints.ready.len());
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        if self.rand.chance(self.explore) {
            return Pick::To(endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize]);
        }
        self.find_best(endpoints);
        match self.best.as_slice() {
            [best] => Pick::To(*best),
            several => Pick::To(several[self.rand.below(several.len() as u64) as usize]),
        }
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        let Feedback::Done { endpoint, took, outcome, .. } = *feedback else { return };
        if let (Some(arm), Some(reward)) = (self.arms.get_mut(endpoint), self.config.latency_ref.of(took, outcome)) {
            arm.learn((self.config.step == Step::Constant).then_some(self.config.alpha), reward);
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.arms.iter().for_each(|(id, arm)| visit("value", id, arm.value));
    }
}

impl EpsilonGreedy {
    fn find_best(&mut self, endpoints: &Endpoints<'_>) {
        let mut most = f64::NEG_INFINITY;
        self.best.clear();
        for id in endpoints.ready {
            let value = self.value(*id, endpoints);
            if value > most {
                most = value;
                self.best.clear();
            }
            if value >= most {
                self.best.push(*id);
            }
        }
    }

    fn value(&self, id: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        let arm = self.arms.get(id).copied().unwrap_or(Arm::new(self.config.initial));
        let open = f64::from(endpoints.in_flight(id));
        if self.config.explore_new && arm.answers == 0 && open == 0.0 {
            return f64::INFINITY;
        }
        if self.config.count_open { arm.value / (open + 1.0) } else { arm.value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::{Cause, Failure};
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::{World, listing};

    fn greedy() -> Config {
        Config { epsilon: 0.0, ..Config::default() }
    }

    fn answer(world: &mut World, place: usize, ms: u64) {
        world.sent(world.id(place));
        world.done(place, Duration::from_millis(ms), Ok(()));
    }

    fn value(world: &World, place: usize) -> f64 {
        let mut found = f64::NAN;
        world.balancer.gauges(&mut |_, id, value| found = if id == world.id(place) { value } else { found });
        found
    }

    #[test]
    fn averages_move_by_a_share_or_as_a_mean() {
        let mut world = World::equal(2, &greedy());
        [250, 250].into_iter().for_each(|ms| answer(&mut world, 0, ms));
        assert!((value(&world, 0) - 0.905).abs() < 1e-12);
        let mut world = World::equal(2, &Config { step: Step::Mean, ..greedy() });
        [250, 0, 125].into_iter().for_each(|ms| answer(&mut world, 0, ms));
        assert!((value(&world, 0) - 0.75).abs() < 1e-12, "the optimistic start is gone with the first answer");
        world.sent(world.id(0));
        world.done(0, Duration::ZERO, Err(Failure::of(Cause::Backend)));
        assert!((value(&world, 0) - 0.5625).abs() < 1e-12);
    }

    #[test]
    fn until_the_answer_comes_the_best_gets_every_call() {
        let mut world = World::equal(3, &greedy());
        for (place, ms) in [(0, 100), (1, 50), (2, 400)] {
            answer(&mut world, place, ms);
        }
        assert!((0..50).all(|_| world.send() == 1));
        let mut world = World::equal(3, &Config { count_open: true, ..greedy() });
        for (place, ms) in [(0, 100), (1, 50), (2, 400)] {
            answer(&mut world, place, ms);
        }
        let places: Vec<usize> = (0..4).map(|_| world.send()).collect();
        assert_eq!(places, [1, 0, 2, 1], "0.99, 0.98, 0.92, then 0.495");
    }

    #[test]
    fn a_share_of_the_calls_explores() {
        let mut world = World::equal(4, &Config { epsilon: 0.2, ..Config::default() });
        answer(&mut world, 0, 100);
        answer(&mut world, 1, 100);
        answer(&mut world, 2, 100);
        let mut counts = [0; 4];
        (0..10_000).for_each(|_| counts[world.send()] += 1);
        assert!((8_350..8_650).contains(&counts[3]), "{counts:?}: 0.8 and a quarter of 0.2");
        assert!(counts[..3].iter().all(|count| (430..570).contains(count)), "{counts:?}");
    }

    #[test]
    fn equals_share_alike_and_new_ones_can_go_first() {
        let mut world = World::equal(2, &greedy());
        let first = (0..2_000).filter(|_| world.send() == 0).count();
        assert!((900..1_100).contains(&first), "{first}");
        for (explore_new, expected) in [(false, 0), (true, 1)] {
            let mut world = World::equal(1, &Config { explore_new, initial: 0.2, ..greedy() });
            answer(&mut world, 0, 100);
            world.list(vec![listing(0, 1), listing(1, 1)]);
            assert_eq!([world.send(), world.send()], [expected, 0], "{explore_new}: one call to find out");
        }
    }

    #[test]
    fn it_is_written_as_in_the_language() {
        let read = toml::from_str::<Config>("step = 'mean'\nepsilon = 0.05").unwrap();
        assert_eq!((read.step, read.epsilon), (Step::Mean, 0.05));
        assert!(toml::from_str::<Config>("alpha = -0.1").unwrap_err().message().contains("0 to 1"));
        assert!(toml::from_str::<Config>("epsilon = 2.0").unwrap_err().message().contains("0 to 1"));
    }
}
