//! The world stops inside a process: garbage collection, a page fault storm, a live migration. With `every`, each
//! target on its own beat, whose phase is drawn; with `length` alone, once; with neither, for the whole of `for`.
//!
//! Written: `pause = { length = "200ms", every = "5s" }`, `pause = {}`.
//! Unfolds into: for each pause a freeze of the target, and its end. A pause that outlasts its beat swallows the
//! beats that it covers. One stream for each backend: the times of one do not depend on the others.
//! Does not: depend on load: a busy process does not collect more often. Connections stay, nothing is lost.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::shape::{held, not_too_short, own_stream};
use super::{Fault, Targets, When, later};
use crate::base::dist::Law;
use crate::base::id::BackendId;
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::time::{Duration, Instant};

/// `pause = { length = "200ms", every = "5s" }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a pause is: a duration or a distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Law>,
    /// From one pause of a target to its next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

impl Config {
    /// Pauses of one target.
    fn pauses(&self, length: &Law, when: &When, rand: &mut Rand) -> Vec<(Instant, Instant)> {
        let length = length.compile();
        let Some(every) = self.every else {
            return vec![(when.at, when.cut(later(when.at, length.sample(rand))))];
        };
        let mut pauses = Vec::new();
        let mut free = when.at;
        let mut beat = later(when.at, Duration::from_nanos(rand.below(every.as_nanos())));
        while beat < when.end() {
            let end = later(beat, length.sample(rand));
            if beat >= free {
                pauses.push((beat, when.cut(end)));
                free = end;
            }
            beat = later(beat, every);
        }
        pauses
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, seed: &Seed) -> Vec<(Instant, Effect)> {
        let freeze = |backend, on| Effect::Freeze { backend, cause: when.cause, on };
        let Some(length) = &self.length else {
            return held(when, targets.chosen, |id| freeze(id, true), |id| freeze(id, false));
        };
        let of = |&id: &BackendId| {
            let pauses = self.pauses(length, when, &mut own_stream(seed, id));
            let real = pauses.into_iter().filter(|(from, to)| from < to);
            real.flat_map(move |(from, to)| [(from, freeze(id, true)), (to, freeze(id, false))])
        };
        targets.chosen.iter().flat_map(of).collect()
    }

    fn label(&self) -> String {
        match self.every {
            Some(every) => format!("pauses every {every}"),
            None => "pause".to_owned(),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.every.is_some() && self.length.is_none() {
            return Err("`every` needs `length`: how long is each pause?".to_owned());
        }
        not_too_short([("every", self.every)])
    }

    fn affects_backends(&self) -> bool {
        self.every.is_none()
    }

    fn ends_by_itself(&self) -> bool {
        self.length.is_some() && self.every.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::{check, unfolded};

    fn pause(length_ms: u64, every_ms: Option<u64>) -> Config {
        let length = Some(Law::constant(Duration::from_millis(length_ms)));
        Config { length, every: every_ms.map(Duration::from_millis) }
    }

    #[test]
    fn once() {
        check(&Config::default(), "10 20 | 0", "10 freeze 0, 20 thaw 0");
        check(&pause(200, None), "10 - | 0 1", "10 freeze 0, 10.2 thaw 0, 10 freeze 1, 10.2 thaw 1");
        check(&pause(0, None), "10 - | 0", "");
    }

    #[test]
    fn on_a_beat_of_its_own() {
        let effects = unfolded(&pause(200, Some(5_000)), "10 60 | 0 1");
        let mut phases = Vec::new();
        for id in [BackendId(0), BackendId(1)] {
            let own = |effect: &Effect, wanted| matches!(effect, Effect::Freeze { backend, on, .. } if *backend == id && *on == wanted);
            let begins: Vec<Instant> = effects.iter().filter(|(_, e)| own(e, true)).map(|(at, _)| *at).collect();
            let ends: Vec<Instant> = effects.iter().filter(|(_, e)| own(e, false)).map(|(at, _)| *at).collect();
            assert_eq!(begins.len(), 10, "one each 5 s");
            assert!(begins.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_secs(5)));
            assert!(begins.iter().zip(&ends).all(|(begin, end)| *end - *begin == Duration::from_millis(200)));
            phases.push(begins[0]);
        }
        assert_ne!(phases[0], phases[1]);
    }

    #[test]
    fn a_long_pause_swallows_beats_and_ends_with_the_fault() {
        let effects = unfolded(&pause(12_000, Some(5_000)), "10 60 | 0");
        let times: Vec<Instant> = effects.iter().map(|(at, _)| *at).collect();
        for pair in times.chunks(2) {
            let length = pair[1] - pair[0];
            assert!(length == Duration::from_secs(12) || pair[1] == Instant::ZERO + Duration::from_secs(60));
        }
        let begins: Vec<Instant> = times.iter().copied().step_by(2).collect();
        assert!(begins.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_secs(15)), "every third beat");
    }

    #[test]
    fn a_beat_without_a_length_is_refused() {
        let beat = Config { length: None, every: Some(Duration::from_secs(1)) };
        assert!(beat.check().unwrap_err().contains("`length`"));
    }
}
