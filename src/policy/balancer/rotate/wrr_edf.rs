//! Weighted turns by earliest deadline.
//!
//! Origin: Envoy ROUND_ROBIN with weights (`edf_scheduler.h`, `load_balancer_impl.cc`); grpc-go `internal/wrr/edf.go`
//! with `refresh = "fixed"`. The schedule is built anew whenever the endpoints change, as both do.
//! Observes: static weights.
//! Cost: O(log n) a pick, O(n log n) a change; O(1) and nothing when all weights are equal.
//! Draws: none a pick; with the first pick after a change one (`random`, `seed_mod`, and equal weights), one for
//! each endpoint (`uniform`), or none (`zero`).
//! Fails when: endpoints change often and the start is not random, because a schedule that begins anew begins with
//! the heavy ones and rarely gets to the light ones; an endpoint with a tiny weight waits for its first deadline
//! however its weight grows.

use serde::{Deserialize, Serialize};

use super::edf::{Edf, Refresh};
use super::turn::{self, OnUpdate, Turn};
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Pick, Request};

/// Parameters of `wrr_edf`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What breaks ties between equal deadlines.
    pub refresh: Refresh,
    /// Where a new schedule starts.
    pub start: Start,
    /// With equal weights, plain turns instead of a schedule, as in Envoy.
    pub skip_equal: bool,
    /// What happens when only weights change.
    pub on_reweight: OnReweight,
}

/// What happens when only weights change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReweight {
    /// The schedule begins anew, as after any change of the list.
    #[default]
    Restart,
    /// The schedule goes on, and an endpoint's new weight counts from its next turn (Envoy, where slow start changes
    /// weights without changing hosts). Weights are compared with the heaviest.
    Keep,
}

/// Where a new schedule starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// As if a random number of picks had been made (Envoy today).
    #[default]
    Random,
    /// At the beginning.
    Zero,
    /// With fewer real picks than there are endpoints, a random number of them (Envoy before).
    SeedMod,
    /// With each first deadline uniform in `[0, 1/weight)` (gRFC A58).
    Uniform,
}

impl Default for Config {
    fn default() -> Self {
        Config { refresh: Refresh::Fresh, start: Start::Random, skip_equal: true, on_reweight: OnReweight::Restart }
    }
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        let start = if self.start == Start::Zero { turn::Start::Zero } else { turn::Start::Random };
        let turn = Turn::new(start, OnUpdate::Restart, context.seed.stream("wrr_edf/turn"));
        let rand = context.seed.stream("wrr_edf");
        Box::new(WrrEdf { config: self.clone(), rand, turn, weighted: Weighted::default(), weights: vec![], edf: None })
    }
}

#[derive(Debug)]
struct WrrEdf {
    config: Config,
    rand: Rand,
    turn: Turn,
    weighted: Weighted,
    weights: Vec<f64>,
    /// `None` until the first pick after a change.
    edf: Option<Edf>,
}

impl Start {
    /// A schedule of these weights that starts so.
    pub fn schedule(self, weights: &[f64], refresh: Refresh, rand: &mut Rand) -> Edf {
        match self {
            Start::Zero => Edf::new(weights, refresh),
            Start::Random => Edf::after(weights, rand.below(PICKS_MAX), refresh),
            Start::SeedMod => {
                let mut edf = Edf::new(weights, refresh);
                for _ in 0..rand.below(weights.len() as u64) {
                    edf.pick(|i| weights[i]);
                }
                edf
            }
            Start::Uniform => Edf::with_deadlines(weights.iter().map(|weight| rand.unit() / weight), 0.0, refresh),
        }
    }
}

impl Balancer for WrrEdf {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        let before = std::mem::replace(&mut self.weighted, Weighted::of(endpoints));
        let keeps = self.config.on_reweight == OnReweight::Keep;
        let goes_on = keeps && self.edf.is_some() && before.ids == self.weighted.ids;
        self.weights.clear();
        if goes_on || !(self.config.skip_equal && self.weighted.are_equal()) {
            // Deadlines that are kept must not change their scale, however fine the new weights are written.
            let unit = if keeps { self.weighted.weights.iter().max().copied().unwrap_or(1).max(1) } else { 1 };
            self.weights.extend(self.weighted.weights.iter().map(|weight| f64::from(*weight) / f64::from(unit)));
        }
        if goes_on {
            return;
        }
        self.edf = None;
        self.turn.on_update();
    }

    fn only_picks(&self) -> bool {
        true
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.weighted.ids.as_slice() {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        if self.weights.is_empty() {
            return Pick::To(self.weighted.ids[self.turn.take(self.weighted.len())]);
        }
        if self.edf.is_none() {
            let Config { refresh, start, .. } = self.config;
            self.edf = Some(start.schedule(&self.weights, refresh, &mut self.rand));
        }
        let edf = self.edf.as_mut().expect("it was made above");
        Pick::To(self.weighted.ids[edf.pick(|i| self.weights[i])])
    }
}

/// Envoy's bound for the number of picks that a schedule begins after: a tenth of 2^32.
const PICKS_MAX: u64 = 429_496_729;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, letters, listing};

    fn zero() -> Config {
        Config { start: Start::Zero, ..Config::default() }
    }

    #[test]
    fn from_the_beginning() {
        let mut world = World::weighted(&[5, 1, 1], &zero());
        assert_eq!(letters(&world.picks(14)), "AAAABCAAAAAABC");
        world.refresh();
        assert_eq!(letters(&world.picks(7)), "AAAABCA", "a change starts the schedule anew");
        let mut world = World::weighted(&[5, 1, 0, 1], &Config { refresh: Refresh::Fixed, ..zero() });
        assert_eq!(letters(&world.picks(7)), "AAAAABD", "0 is never picked");
    }

    #[test]
    fn a_schedule_that_goes_on_sees_a_new_weight_at_the_next_turn() {
        // The light one's first turn comes after a hundred of the heavy one, whatever becomes of its weight.
        for (on_reweight, waits) in [(OnReweight::Restart, 0..3), (OnReweight::Keep, 89..92)] {
            let mut world = World::weighted(&[100, 1], &Config { on_reweight, ..zero() });
            assert_eq!(letters(&world.picks(10)), "AAAAAAAAAA");
            // Weights are written ten times as fine, and the light one has grown up.
            world.list(vec![listing(0, 1_000), listing(1, 1_000)]);
            let wait = world.picks(200).find('1').unwrap();
            assert!(waits.contains(&wait), "{on_reweight:?}: {wait}");
            let counts = world.counts(200);
            assert!(counts[0].abs_diff(counts[1]) <= 1, "and then it has its share: {counts:?}");
        }
    }

    #[test]
    fn equal_weights_are_plain_turns() {
        for skip_equal in [true, false] {
            let mut world = World::weighted(&[3, 3, 3], &Config { skip_equal, ..zero() });
            assert_eq!(letters(&world.picks(7)), "ABCABCA");
        }
    }

    /// Share of the heavy endpoint over many clients whose list changes after every three picks.
    fn heavy_share(start: Start) -> f64 {
        let weights = [9, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        let (mut heavy, mut all) = (0, 0);
        for seed in 0..200 {
            let config = Config { start, ..Config::default() };
            let mut world = World::seeded(seed, &weights, |context| config.build(context));
            for _ in 0..10 {
                world.refresh();
                heavy += world.counts(3)[0];
                all += 3;
            }
        }
        f64::from(heavy as u32) / f64::from(all)
    }

    #[test]
    fn only_a_random_start_survives_frequent_changes() {
        assert_eq!(heavy_share(Start::Zero), 1.0);
        assert!(heavy_share(Start::SeedMod) > 0.6, "{}", heavy_share(Start::SeedMod));
        for start in [Start::Random, Start::Uniform] {
            let share = heavy_share(start);
            assert!((0.47..0.56).contains(&share), "{start:?} gives {share} where 0.5 is fair");
        }
    }
}
