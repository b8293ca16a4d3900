//! Faults: named patterns of trouble. Each unfolds, before the run, into effects at instants; the worlds only
//! ever see effects. Unfolding draws from streams of its own, so a timeline is the same for every contender,
//! and neither a longer run nor a further backend nor a further fault moves what was there before.
//!
//! **When.** A fault begins `at`. With `for` it ends that much later, and everything it changed ends with it;
//! without, it lasts to the end of the run. Some faults end by themselves (a restart) and take no `for`. With
//! `every` it begins again and again, counted from `at`, until the run is over; each time is an *occurrence*
//! of its own, with its own targets and draws. An `every` shorter than `for` makes occurrences overlap.
//!
//! **Overlap.** What overlaps adds up and ends apart: two slow faults multiply, and each ends at its own time.
//! A backend is there while a group's size says so and no fault keeps it away; of two crashes that overlap the
//! later end brings it back. Sizes add up too: a `scale` with `for` takes back what it gave, whatever other
//! scales did meanwhile.
//!
//! **Whom.** An occurrence chooses its targets when it begins, among the candidates that the group sizes of that
//! instant count in, also if another fault keeps one of them away just then. Backends that start later are not
//! touched by it.
//!
//! At one instant, what began earlier goes first, so an end comes before the next beginning. Nothing happens
//! after the horizon.

pub mod announce_health;
pub mod brownout;
pub mod catalog;
pub mod churn;
pub mod crash;
pub mod discovery_outage;
pub mod effect;
pub mod errors;
pub mod hang;
pub mod kill;
pub mod move_hot_keys;
pub mod noisy_neighbour;
pub mod packet_loss;
pub mod partition;
pub mod pause;
mod presence;
pub mod relabel;
pub mod restart;
pub mod reweight;
pub mod rolling_deploy;
pub mod scale;
mod shape;
mod size;
pub mod slow;
pub mod surge;
#[cfg(test)]
mod testing;
mod timeline;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};
use effect::{Cause, Effect, Side};

pub use size::{Resizing, capacities};
pub use timeline::{Fleet, Pick, Planned, Schedule, Span, Timeline, unfold};

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

impl When {
    /// It begins nothing new at or after this instant.
    pub fn end(&self) -> Instant {
        self.until.unwrap_or(self.horizon).min(self.horizon)
    }

    /// The instant at which something ends that would go on until `end`: not after the fault itself.
    pub fn cut(&self, end: Instant) -> Instant {
        self.until.map_or(end, |until| until.min(end))
    }
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

/// Finds the zone or region that a scenario file means by a name.
pub type ZoneLookup<'a> = &'a dyn Fn(&str) -> Option<Side>;

/// Whom an occurrence may touch.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// All backends of the plan, in id order, numbered from 0.
    pub all: &'a [TargetBackend],
    /// Those the fault is aimed at, in id order: `target` and `share` are already applied.
    pub chosen: &'a [BackendId],
    /// How many members each group has when the occurrence begins, by number of the group.
    pub sizes: &'a [u32],
    /// The zones of the plan.
    pub zone: ZoneLookup<'a>,
    /// The region of each zone of the plan.
    pub regions: &'a [RegionId],
}

impl Targets<'_> {
    /// The zone or region of this name.
    ///
    /// # Panics
    /// When there is none: a plan was checked for that with [`Fault::zones`].
    pub fn side(&self, name: &str) -> Side {
        (self.zone)(name).unwrap_or_else(|| panic!("a fault names the zone `{name}`, which the plan does not have"))
    }

    /// The zone of this name, or the one that the region of this name has.
    ///
    /// # Panics
    /// When there is none: a plan was checked for that with [`Fault::one_zone`].
    pub fn zone_of_name(&self, name: &str) -> ZoneId {
        let only = |region| self.regions.iter().position(|other| *other == region).map(|zone| ZoneId(zone as u16));
        match self.side(name) {
            Side::Zone(zone) => zone,
            Side::Region(region) => only(region).expect("every region has a zone"),
            side => panic!("`{name}` is no zone but {side:?}"),
        }
    }

    /// True if all backends are chosen that there are.
    pub fn everybody(&self) -> bool {
        self.chosen.len() == self.sizes.iter().map(|size| *size as usize).sum::<usize>()
    }

    /// The groups of the chosen backends, in order.
    pub fn groups(&self) -> Vec<u32> {
        let groups: BTreeSet<u32> = self.chosen.iter().map(|id| self.all[id.index()].group).collect();
        groups.into_iter().collect()
    }

    /// All members of a group, those in reserve included, in id order.
    pub fn members(&self, group: u32) -> Vec<BackendId> {
        self.all.iter().filter(|backend| backend.group == group).map(|backend| backend.id).collect()
    }

    /// The backends on a side, in id order.
    pub fn on(&self, side: &Side) -> Vec<BackendId> {
        let within = |backend: &&TargetBackend| match side {
            Side::Region(region) => backend.region == *region,
            Side::Zone(zone) => backend.zone == *zone,
            Side::Backends(ids) => ids.contains(&backend.id),
            Side::All => true,
        };
        self.all.iter().filter(within).map(|backend| backend.id).collect()
    }
}

/// A named pattern of trouble.
pub trait Fault {
    /// Unfolds one occurrence. The order of equal instants is the order of the list.
    fn effects(&self, when: &When, targets: &Targets<'_>, seed: &Seed) -> Vec<(Instant, Effect)>;

    /// How it is called in charts, `slow ×10` say.
    fn label(&self) -> String;

    /// Whether the parameters make sense together.
    ///
    /// # Errors
    /// Names the parameter and says what it may be.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether it is aimed at backends, so that a `target` says something.
    fn aims_at_backends(&self) -> bool {
        true
    }

    /// Whether the affected backends are expected to lose their traffic, so that detection means something.
    fn affects_backends(&self) -> bool {
        true
    }

    /// Whether it is over after its last effect, so that a `for` says nothing.
    fn ends_by_itself(&self) -> bool {
        false
    }

    /// The names of zones and regions that its parameters mention.
    fn zones(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The zone that its parameters mention, for faults that need exactly one: its name, or that of a region with no
    /// other.
    fn one_zone(&self) -> Option<&str> {
        None
    }

    /// Whether all it does is to change what discovery says, so that it takes a discovery that says something.
    fn announces(&self) -> bool {
        false
    }

    /// The size of a group after it, for faults that change the size of groups.
    fn resize(&self, _size: u32) -> Option<u32> {
        None
    }

    /// The backends that an occurrence is about, in id order.
    fn affected(&self, targets: &Targets<'_>) -> Vec<BackendId> {
        match self.zones().first() {
            Some(zone) => targets.on(&targets.side(zone)),
            None if self.aims_at_backends() => targets.chosen.to_vec(),
            None => Vec::new(),
        }
    }
}

/// The instant so much later, or the last there is.
pub fn later(at: Instant, by: Duration) -> Instant {
    Instant::from_nanos(at.as_nanos().saturating_add(by.as_nanos()))
}
