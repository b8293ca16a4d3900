//! Faults: named patterns of trouble. Each unfolds, before the run, into effects at instants; the worlds only
//! ever see effects. Unfolding draws from a stream of its own, so a timeline is the same for every contender.

pub mod catalog;
pub mod effect;
pub mod slow;

use serde::{Deserialize, Serialize};

use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::rand::Rand;
use crate::base::time::{Duration, Instant};
use effect::{Cause, Effect};

/// When a fault acts: one occurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// It begins.
    pub at: Instant,
    /// It ends, if it does.
    pub until: Option<Instant>,
    /// Nothing is unfolded past this point: the end of the run, drain included.
    pub horizon: Instant,
    /// The name under which its lasting changes stack.
    pub cause: Cause,
}

/// A backend as faults see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetBackend {
    /// Its id.
    pub id: BackendId,
    /// Number of its group in the file.
    pub group: u32,
    /// Its zone.
    pub zone: ZoneId,
    /// The region of its zone.
    pub region: RegionId,
    /// Whether it is there from the start; the others are kept for `scale`.
    pub initial: bool,
}

/// Whom an occurrence may touch.
#[derive(Debug, Clone)]
pub struct Targets<'a> {
    /// All backends of the plan, in id order.
    pub all: &'a [TargetBackend],
    /// Those the fault is aimed at, in id order: `target` and `share` are already applied.
    pub chosen: &'a [BackendId],
}

/// A named pattern of trouble.
pub trait Fault {
    /// Unfolds one occurrence. The order of equal instants is the order of the list.
    fn effects(&self, when: &When, targets: &Targets<'_>, rand: &mut Rand) -> Vec<(Instant, Effect)>;

    /// How it is called in charts, `slow ×10` say.
    fn label(&self) -> String;

    /// Whether the chosen backends are expected to lose their traffic, so that detection means something.
    fn affects_backends(&self) -> bool {
        true
    }
}

/// Length of the part of an occurrence that lies within the horizon.
pub fn length(when: &When) -> Duration {
    when.until.unwrap_or(when.horizon).min(when.horizon).since(when.at)
}
