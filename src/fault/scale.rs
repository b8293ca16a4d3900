//! The targeted groups grow or shrink: `to` a size, or by `add` or `remove` members. Newcomers start cold; the last
//! members leave first and say goodbye, with `grace` for open calls. With `for` the change is taken back.
//!
//! Written: `scale = { add = 5 }`, `scale = { remove = 2, grace = "30s" }`, `scale = { to = 12 }`.
//! Unfolds into: up of the backends that the plan keeps in reserve, in id order, or a drain of the last ones;
//! at the end of `for` the reverse.
//! Does not: take time to decide or to start; give `at` the moment when the newcomers listen. It changes whole
//! groups: a `count` or `share` of a target means nothing.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::{Fault, Targets, When};
use crate::base::id::BackendId;
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};

/// `scale = { add = 5 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The new size of each group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u32>,
    /// How many join each group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<u32>,
    /// How many leave each group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<u32>,
    /// Calls still open this long after the goodbye are lost.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { to: None, add: None, remove: None, grace: Duration::from_secs(30) }
    }
}

impl Fault for Config {
    fn effects(&self, when: &When, targets: &Targets<'_>, _seed: &Seed) -> Vec<(Instant, Effect)> {
        let mut effects = Vec::new();
        for group in targets.groups() {
            let members = targets.members(group);
            let before = (targets.sizes[group as usize] as usize).min(members.len());
            let after = (self.size_after(before as u32) as usize).min(members.len());
            let up = |&backend: &BackendId| Effect::Up { backend };
            let drain = |&backend: &BackendId| Effect::Drain { backend, grace: self.grace };
            let moved = &members[before.min(after)..before.max(after)];
            // The one who came last leaves first.
            let grow = |at| moved.iter().map(up).map(move |effect| (at, effect));
            let shrink = |at| moved.iter().rev().map(drain).map(move |effect| (at, effect));
            if after > before {
                effects.extend(grow(when.at));
                effects.extend(when.until.into_iter().flat_map(shrink));
            } else {
                effects.extend(shrink(when.at));
                effects.extend(when.until.into_iter().flat_map(grow));
            }
        }
        effects
    }

    fn label(&self) -> String {
        match (self.to, self.add, self.remove) {
            (Some(to), ..) => format!("scale to {to}"),
            (_, Some(add), _) => format!("scale by +{add}"),
            (.., remove) => format!("scale by -{}", remove.unwrap_or(0)),
        }
    }

    fn check(&self) -> Result<(), String> {
        match (self.to, self.add, self.remove) {
            (Some(_), None, None) => Ok(()),
            (None, Some(by), None) | (None, None, Some(by)) if by > 0 => Ok(()),
            (None, Some(_), None) => Err("`add` must be 1 or more".to_owned()),
            (None, None, Some(_)) => Err("`remove` must be 1 or more".to_owned()),
            _ => Err("exactly one of `to`, `add` and `remove` is needed".to_owned()),
        }
    }

    fn affects_backends(&self) -> bool {
        false
    }

    fn resize(&self, size: u32) -> Option<u32> {
        Some(self.size_after(size))
    }

    fn affected(&self, targets: &Targets<'_>) -> Vec<BackendId> {
        let of = |group| {
            let members = targets.members(group);
            let before = targets.sizes[group as usize];
            let after = self.size_after(before);
            let place = |size: u32| (size as usize).min(members.len());
            members[place(before.min(after))..place(before.max(after))].to_vec()
        };
        let mut affected: Vec<BackendId> = targets.groups().into_iter().flat_map(of).collect();
        affected.sort();
        affected
    }
}

impl Config {
    fn size_after(&self, size: u32) -> u32 {
        let grown = self.to.unwrap_or(size).saturating_add(self.add.unwrap_or(0));
        grown.saturating_sub(self.remove.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::testing::{affected, check};

    fn to(size: u32) -> Config {
        Config { to: Some(size), ..Config::default() }
    }

    // Group 0 has the backends 0 to 4, three of them from the start; group 1 has 5, 6, 7 and begins with two.

    #[test]
    fn grows_from_the_reserve() {
        check(&to(5), "10 - | 0", "10 up 3, 10 up 4");
        check(
            &Config { add: Some(1), ..Config::default() },
            "10 20 | 1 5",
            "10 up 3, 20 drain 3 in 30s, 10 up 7, 20 drain 7 in 30s",
        );
        check(&to(9), "10 - | 5", "10 up 7");
    }

    #[test]
    fn shrinks_from_the_end() {
        let remove = Config { remove: Some(2), grace: Duration::from_secs(4), ..Config::default() };
        check(&remove, "10 20 | 0 1", "10 drain 2 in 4s, 10 drain 1 in 4s, 20 up 1, 20 up 2");
        check(&to(0), "10 - | 6", "10 drain 6 in 30s, 10 drain 5 in 30s");
        check(&to(3), "10 20 | 0", "");
    }

    #[test]
    fn affected_is_who_comes_or_goes() {
        assert_eq!(affected(&to(4), &[0, 5]), [3, 7].map(BackendId));
        assert_eq!(affected(&to(1), &[0]), [1, 2].map(BackendId));
    }

    #[test]
    fn exactly_one_way_to_say_it() {
        assert!(to(3).check().is_ok() && to(0).check().is_ok());
        assert!(Config::default().check().unwrap_err().contains("exactly one"));
        assert!(Config { add: Some(1), ..to(3) }.check().unwrap_err().contains("exactly one"));
        assert!(Config { add: Some(0), ..Config::default() }.check().unwrap_err().contains("`add`"));
    }
}
