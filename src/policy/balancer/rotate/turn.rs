//! Whose turn it is: a counter over a cycle, where it starts, and what a change of the cycle does to it.

use serde::{Deserialize, Serialize};

use crate::base::rand::{Bits, Rand};

/// Where a rotation starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At a random place, as gRPC and Envoy do so that clients do not march in step.
    #[default]
    Random,
    /// At the first.
    Zero,
}

/// What happens to the position when the ready endpoints change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUpdate {
    /// Start anew, as gRPC's new picker does; `rerandomise` is the same.
    #[default]
    #[serde(alias = "rerandomise")]
    Restart,
    /// Go on counting; the one behind a removed endpoint gets a pick more.
    Keep,
}

/// A counter `k` as `laps * len + place`, so that the common step needs no division.
#[derive(Debug)]
pub struct Turn {
    start: Start,
    on_update: OnUpdate,
    rand: Rand,
    laps: u64,
    place: usize,
    /// 0 until the rotation has begun.
    len: usize,
}

impl Turn {
    /// A rotation that has not begun.
    pub fn new(start: Start, on_update: OnUpdate, rand: Rand) -> Turn {
        Turn { start, on_update, rand, laps: 0, place: 0, len: 0 }
    }

    /// The cycle has changed.
    pub fn on_update(&mut self) {
        if self.on_update == OnUpdate::Restart {
            self.len = 0;
        }
    }

    /// The next place in a cycle of `len`. A cycle of one moves nothing and draws nothing.
    #[inline]
    pub fn take(&mut self, len: usize) -> usize {
        self.go_on(len).unwrap_or_else(|| self.begin(len))
    }

    /// The same if the rotation goes on where it was, as nearly always: a pick that then calls nobody is a shorter one.
    #[inline(always)]
    pub fn go_on(&mut self, len: usize) -> Option<usize> {
        if self.len != len {
            return None;
        }
        let place = self.place;
        self.place += 1;
        if self.place == len {
            self.place = 0;
            self.laps += 1;
        }
        Some(place)
    }

    #[cold]
    fn begin(&mut self, len: usize) -> usize {
        if len <= 1 {
            return 0;
        }
        let next = match (self.len, self.start) {
            (1.., _) => self.laps * self.len as u64 + self.place as u64,
            (0, Start::Random) => self.rand.below(len as u64),
            (0, Start::Zero) => 0,
        };
        self.laps = next / len as u64;
        self.place = (next % len as u64) as usize;
        self.len = len;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;

    #[test]
    fn counts_on_when_the_cycle_grows_or_shrinks() {
        let mut turn = Turn::new(Start::Zero, OnUpdate::Keep, Seed::new(1).stream("turn"));
        let taken: Vec<usize> = [3, 3, 3, 3, 3, 4, 4, 1, 4, 2, 2].map(|len| turn.take(len)).into();
        assert_eq!(taken, [0, 1, 2, 0, 1, 5 % 4, 6 % 4, 0, 7 % 4, 8 % 2, 9 % 2]);
    }
}
