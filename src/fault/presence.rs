//! Who is there. A backend is present while the size of its group counts it in and no fault keeps it away;
//! absences that overlap are counted, so the world sees one departure and one return.

use super::TargetBackend;
use super::effect::Effect;
use super::later;
use crate::base::id::BackendId;
use crate::base::time::Instant;

/// The fleet as it changes while a timeline is read from its beginning.
#[derive(Debug)]
pub struct Presence {
    /// By backend.
    backends: Vec<State>,
    /// By group.
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct State {
    group: u32,
    /// Whether the size of its group counts it in.
    wanted: bool,
    /// Faults that keep it away.
    absences: u32,
    /// It has said goodbye, and its open calls may take until then.
    draining: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    /// In id order: the size counts from the first.
    members: Vec<BackendId>,
    /// Below 0 or above the number of members where changes that overlap ask for that.
    size: i64,
}

impl Presence {
    /// The fleet at the start.
    pub fn new(all: &[TargetBackend]) -> Presence {
        let mut groups = vec![Group::default(); group_count(all)];
        for backend in all {
            let group = &mut groups[backend.group as usize];
            group.members.push(backend.id);
            group.size += i64::from(backend.initial);
        }
        let state = |backend: &TargetBackend| State {
            group: backend.group,
            wanted: backend.initial,
            absences: 0,
            draining: None,
        };
        Presence { backends: all.iter().map(state).collect(), groups }
    }

    /// What the world sees of an effect; `resizing` if the fault behind it changes the size of a group.
    pub fn seen(&mut self, at: Instant, effect: Effect, resizing: bool) -> Option<Effect> {
        match (&effect, resizing) {
            (Effect::Up { backend }, true) => return self.grow(*backend),
            (Effect::Drain { backend, .. }, true) => return self.shrink(at, *backend, effect),
            (Effect::Up { backend }, false) => self.returned(*backend),
            (Effect::Down { backend, .. } | Effect::Drain { backend, .. }, false) => self.left(at, *backend, &effect),
            _ => true,
        }
        .then_some(effect)
    }

    /// One more of the group of `like`.
    fn grow(&mut self, like: BackendId) -> Option<Effect> {
        let group = &mut self.groups[self.backends[like.index()].group as usize];
        group.size += 1;
        let backend = member(group, group.size - 1)?;
        let state = &mut self.backends[backend.index()];
        state.wanted = true;
        (state.absences == 0).then_some(Effect::Up { backend })
    }

    /// One less of the group of `like`: the last one leaves, as `effect` says.
    fn shrink(&mut self, at: Instant, like: BackendId, effect: Effect) -> Option<Effect> {
        let group = &mut self.groups[self.backends[like.index()].group as usize];
        group.size -= 1;
        let backend = member(group, group.size)?;
        let effect = match effect {
            Effect::Drain { grace, .. } => Effect::Drain { backend, grace },
            other => other,
        };
        let state = &mut self.backends[backend.index()];
        state.wanted = false;
        if state.absences > 0 {
            return None;
        }
        state.say_goodbye(at, &effect);
        Some(effect)
    }

    /// A fault takes a backend away. True if the world sees it: it was there, or still busy with its goodbye.
    fn left(&mut self, at: Instant, backend: BackendId, effect: &Effect) -> bool {
        let state = &mut self.backends[backend.index()];
        let was_there = state.wanted && state.absences == 0;
        let dies_draining = matches!(effect, Effect::Down { .. }) && state.draining.is_some_and(|until| at < until);
        state.absences += 1;
        if was_there || dies_draining {
            state.say_goodbye(at, effect);
        }
        was_there || dies_draining
    }

    /// A fault gives a backend back. True if the world sees it: nothing else keeps it away.
    fn returned(&mut self, backend: BackendId) -> bool {
        let state = &mut self.backends[backend.index()];
        let was_away = state.absences > 0;
        state.absences = state.absences.saturating_sub(1);
        was_away && state.absences == 0 && state.wanted
    }
}

impl State {
    fn say_goodbye(&mut self, at: Instant, effect: &Effect) {
        self.draining = match effect {
            Effect::Drain { grace, .. } => Some(later(at, *grace)),
            _ => None,
        };
    }
}

/// Number of groups.
pub fn group_count(all: &[TargetBackend]) -> usize {
    all.iter().map(|backend| backend.group as usize + 1).max().unwrap_or(0)
}

fn member(group: &Group, place: i64) -> Option<BackendId> {
    group.members.get(usize::try_from(place).ok()?).copied()
}
