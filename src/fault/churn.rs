//! Backends come and go all the time: spot instances, an autoscaler that cannot decide, a crash loop.
//! `rolling`: every `interval` the next target, in turn, goes away for `down`. `random`: each target on its own is
//! there for an exponential time of mean `up`, then away for one of mean `down`, and so on.
//!
//! Written: `churn = { mode = "rolling", interval = "10s", down = "2s" }`,
//! `churn = { mode = "random", up = "60s", down = "5s", graceful = true }`.
//! Unfolds into: for each absence, down with resets (`graceful`: a drain whose calls have until the return) and up.
//! Whoever is away when `for` is over comes back then. One stream for each backend: the times of one do not
//! depend on the others.
//! Does not: change who belongs to the fleet; that is `scale`.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::{alternate, not_too_short, own_stream};
use super::{Fault, Targets, When, later};
use crate::base::id::BackendId;
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};

/// `churn = {}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// One after the other, or each on its own.
    pub mode: Mode,
    /// `rolling`: from one to the next; 10 s by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// `random`: mean time that a target is there; 60 s by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<Duration>,
    /// How long a target is away; its mean for `random`.
    pub down: Duration,
    /// Whether it says goodbye first.
    pub graceful: bool,
}

/// How churn chooses who goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each target in turn.
    #[default]
    Rolling,
    /// Each target on its own, at random times.
    Random,
}

impl Default for Config {
    fn default() -> Self {
        Config { mode: Mode::Rolling, interval: None, up: None, down: Duration::from_secs(2), graceful: false }
    }
}

impl Config {
    fn interval(&self) -> Duration {
        self.interval.unwrap_or(Duration::from_secs(10))
    }

    fn absence(&self, backend: BackendId, from: Instant, to: Instant) -> [(Instant, Effect); 2] {
        let away = match self.graceful {
            true => Effect::Drain { backend, grace: to - from },
            false => Effect::Down { backend, loud: true },
        };
        [(from, away), (to, Effect::Up { backend })]
    }

    /// One target after the other. A turn whose target is still away from the last one is skipped.
    fn rolling(&self, when: &When, chosen: &[BackendId]) -> Vec<(Instant, Effect)> {
        let mut effects = Vec::new();
        let mut back = vec![Instant::ZERO; chosen.len()];
        let mut at = when.at;
        for place in (0..chosen.len()).cycle() {
            if at >= when.end() {
                break;
            }
            if back[place] <= at {
                back[place] = when.cut(later(at, self.down));
                effects.extend(self.absence(chosen[place], at, back[place]));
            }
            at = later(at, self.interval());
        }
        effects
    }

    fn random(&self, when: &When, chosen: &[BackendId], seed: &Seed) -> Vec<(Instant, Effect)> {
        let up = self.up.unwrap_or(Duration::from_secs(60));
        let of = |&id: &BackendId| {
            let stretches = alternate(when, up, self.down, &mut own_stream(seed, id));
            stretches.into_iter().flat_map(move |(from, to)| self.absence(id, from, to))
        };
        chosen.iter().flat_map(of).collect()
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, seed: &Seed) -> Vec<(Instant, Effect)> {
        match self.mode {
            Mode::Rolling => self.rolling(when, targets.chosen),
            Mode::Random => self.random(when, targets.chosen, seed),
        }
    }

    fn label(&self) -> String {
        match self.mode {
            Mode::Rolling => "rolling churn".to_owned(),
            Mode::Random => "random churn".to_owned(),
        }
    }

    fn check(&self) -> Result<(), String> {
        match (self.mode, self.interval, self.up) {
            (Mode::Rolling, _, Some(_)) => return Err("`up` is for `mode = \"random\"`; write `interval`".to_owned()),
            (Mode::Random, Some(_), _) => return Err("`interval` is for `mode = \"rolling\"`; write `up`".to_owned()),
            _ => {}
        }
        not_too_short([("interval", self.interval), ("up", self.up), ("down", Some(self.down))])
    }

    fn affects_backends(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::{check, unfolded};

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_after_the_other_until_it_ends() {
        check(
            &Config::default(),
            "10 41 | 0 1",
            "10 down 0 loud, 12 up 0, 20 down 1 loud, 22 up 1, 30 down 0 loud, 32 up 0, 40 down 1 loud, 41 up 1",
        );
        let graceful = Config { graceful: true, ..Config::default() };
        check(&graceful, "10 11 | 0", "10 drain 0 in 1s, 11 up 0");
    }

    #[test]
    fn a_turn_of_whoever_is_away_is_skipped() {
        let slow = Config { interval: Some(s(10)), down: s(15), ..Config::default() };
        check(&slow, "10 45 | 0", "10 down 0 loud, 25 up 0, 30 down 0 loud, 45 up 0");
    }

    #[test]
    fn nobody_to_touch() {
        check(&Config::default(), "10 41 |", "");
    }

    #[test]
    fn random_times_have_their_means() {
        let churn = Config { mode: Mode::Random, up: Some(s(6)), down: s(2), ..Config::default() };
        let effects = unfolded(&churn, "0 40000 | 0 1 2 3 4");
        let downs = effects.iter().filter(|(_, effect)| matches!(effect, Effect::Down { loud: true, .. })).count();
        // 5 backends, cycles of 8 s in the mean: 25,000, give or take 3 standard deviations.
        assert!((24_600..=25_400).contains(&downs), "{downs} absences");
    }

    #[test]
    fn a_backend_does_not_depend_on_the_others() {
        let churn = Config { mode: Mode::Random, graceful: true, ..Config::default() };
        let of_2 = |spec| {
            let mut effects = unfolded(&churn, spec);
            effects.retain(|(_, effect)| match effect {
                Effect::Drain { backend, .. } | Effect::Up { backend } => *backend == BackendId(2),
                other => panic!("{other:?}"),
            });
            effects
        };
        assert!(of_2("10 900 | 2").len() > 4);
        assert_eq!(of_2("10 900 | 0 1 2 3"), of_2("10 900 | 2"));
    }

    #[test]
    fn a_parameter_of_the_other_mode_is_refused() {
        assert!(Config { up: Some(s(1)), ..Config::default() }.check().unwrap_err().contains("`up`"));
        let random = Config { mode: Mode::Random, interval: Some(s(1)), ..Config::default() };
        assert!(random.check().unwrap_err().contains("`interval`"));
        let endless = Config { interval: Some(Duration::from_nanos(1)), ..Config::default() };
        assert!(endless.check().unwrap_err().contains("1ms"));
    }
}
