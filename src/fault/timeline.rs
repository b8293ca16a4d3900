//! From the faults of a plan to one sorted list of effects, and to the spans that reports draw.

use super::effect::{Cause, Effect};
use super::presence::{Presence, group_count};
use super::size::Sizes;
use super::{Fault, TargetBackend, Targets, When, ZoneLookup, later};
use crate::base::id::{BackendId, RegionId};
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::time::{Duration, Instant};

/// When a fault acts, as the file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// It begins.
    pub at: Duration,
    /// How long it lasts; to the end if it does not say.
    pub lasts: Option<Duration>,
    /// It begins again this often, above 0.
    pub every: Option<Duration>,
}

/// How many of the candidates an occurrence touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// All.
    All,
    /// The first so many.
    Count(u32),
    /// So many, drawn at random.
    Random(u32),
}

/// One fault of a plan.
pub struct Planned<'a> {
    /// What it is.
    pub fault: &'a dyn Fault,
    /// When it acts.
    pub schedule: Schedule,
    /// The backends that it may touch, in id order.
    pub candidates: &'a [BackendId],
    /// How many of them.
    pub pick: Pick,
}

/// The world that faults act on.
#[derive(Clone, Copy)]
pub struct Fleet<'a> {
    /// All backends of the plan, in id order, numbered from 0; in each group the initial ones come first.
    pub all: &'a [TargetBackend],
    /// The zones of the plan.
    pub zone: ZoneLookup<'a>,
    /// The region of each zone of the plan.
    pub regions: &'a [RegionId],
    /// Nothing happens later.
    pub horizon: Instant,
}

/// What reports say about one occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Number of the fault in the plan.
    pub fault: usize,
    /// How many occurrences of it came before.
    pub occurrence: u32,
    /// The name under which its lasting changes stack.
    pub cause: Cause,
    /// How it is called in charts.
    pub label: String,
    /// It begins.
    pub from: Instant,
    /// It ends, if it does before the run.
    pub until: Option<Instant>,
    /// The backends that it is about, in id order.
    pub backends: Vec<BackendId>,
    /// Whether they are expected to lose their traffic, so that detection means something.
    pub affects_backends: bool,
}

/// All faults of a run, unfolded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timeline {
    /// What happens, sorted by time; at one instant in this order.
    pub effects: Vec<(Instant, Effect)>,
    /// The occurrences behind it, sorted by their beginning.
    pub spans: Vec<Span>,
}

/// Unfolds the faults of a plan. Draws from `seed.child("fault/<number>").child("<occurrence>")`.
pub fn unfold(faults: &[Planned<'_>], fleet: &Fleet<'_>, seed: &Seed) -> Timeline {
    debug_assert!(fleet.all.iter().enumerate().all(|(place, backend)| backend.id.index() == place));
    let schedules: Vec<Schedule> = faults.iter().map(|planned| planned.schedule).collect();
    let mut sizes = Sizes::new(initial_sizes(fleet.all));
    let mut timeline = Timeline::default();
    let mut raw = Vec::new();
    for (number, occurrence) in Schedule::occurrences(&schedules, fleet.horizon).into_iter().enumerate() {
        let planned = &faults[occurrence.fault];
        let seed = seed.child(&format!("fault/{}", occurrence.fault)).child(&occurrence.number.to_string());
        let when = occurrence.when(planned.fault, fleet.horizon, Cause(number as u32));
        let now = sizes.all_at(when.at);
        let chosen = choose(planned, fleet.all, &now, &mut seed.stream("targets"));
        let Fleet { all, zone, regions, .. } = *fleet;
        let targets = Targets { all, chosen: &chosen, sizes: &now, zone, regions };
        let effects = planned.fault.effects(&when, &targets, &seed);
        timeline.spans.push(occurrence.span(planned.fault, &when, &targets, &effects));
        let resizing = note_sizes(&mut sizes, planned.fault, &when, &targets);
        raw.extend(effects.into_iter().map(|(at, effect)| (at, effect, resizing)));
    }
    timeline.effects = merge(raw, fleet);
    timeline
}

/// Sorts, cuts at the horizon, and counts absences that overlap.
fn merge(mut raw: Vec<(Instant, Effect, bool)>, fleet: &Fleet<'_>) -> Vec<(Instant, Effect)> {
    raw.retain(|(at, ..)| *at <= fleet.horizon);
    raw.sort_by_key(|(at, ..)| *at);
    let mut presence = Presence::new(fleet.all);
    let seen = |(at, effect, resizing)| presence.seen(at, effect, resizing).map(|effect| (at, effect));
    raw.into_iter().filter_map(seen).collect()
}

/// Notes how an occurrence changes the size of groups. True if it is of the kind that does.
fn note_sizes(sizes: &mut Sizes, fault: &dyn Fault, when: &When, targets: &Targets<'_>) -> bool {
    if !resizes(fault) {
        return false;
    }
    for group in targets.groups() {
        let most = targets.members(group).len() as u32;
        if let Some(size) = fault.resize(targets.sizes[group as usize]) {
            sizes.change(group, size.min(most), when.at, when.until);
        }
    }
    true
}

fn resizes(fault: &dyn Fault) -> bool {
    fault.resize(0).is_some()
}

fn initial_sizes(all: &[TargetBackend]) -> Vec<u32> {
    let mut sizes = vec![0; group_count(all)];
    for backend in all {
        sizes[backend.group as usize] += u32::from(backend.initial);
    }
    sizes
}

/// The targets of an occurrence, in id order. Faults that resize groups get all candidates, also those in reserve.
fn choose(planned: &Planned<'_>, all: &[TargetBackend], sizes: &[u32], rand: &mut Rand) -> Vec<BackendId> {
    if resizes(planned.fault) {
        return planned.candidates.to_vec();
    }
    let mut seen = vec![0; sizes.len()];
    let mut counted_in = vec![false; all.len()];
    for (place, backend) in all.iter().enumerate() {
        let group = backend.group as usize;
        counted_in[place] = seen[group] < sizes[group];
        seen[group] += 1;
    }
    let mut chosen: Vec<BackendId> = planned.candidates.iter().copied().filter(|id| counted_in[id.index()]).collect();
    match planned.pick {
        Pick::All => {}
        Pick::Count(count) => chosen.truncate(count as usize),
        Pick::Random(count) => draw(&mut chosen, count as usize, rand),
    }
    chosen
}

/// Keeps `count` of the items, drawn without replacement and sorted again. One draw for each.
fn draw(items: &mut Vec<BackendId>, count: usize, rand: &mut Rand) {
    for place in 0..count.min(items.len()) {
        let other = place as u64 + rand.below((items.len() - place) as u64);
        items.swap(place, other as usize);
    }
    items.truncate(count);
    items.sort();
}

/// One time that a fault begins.
#[derive(Debug, Clone, Copy)]
pub struct Occurrence {
    /// Number of the fault.
    pub fault: usize,
    /// How many occurrences of it came before.
    pub number: u32,
    /// It begins.
    pub at: Instant,
    /// It ends, if the file says so.
    pub until: Option<Instant>,
}

impl Schedule {
    /// All occurrences before `horizon`, sorted by their beginning; at one instant the order is that of the list.
    pub fn occurrences(schedules: &[Schedule], horizon: Instant) -> Vec<Occurrence> {
        let mut occurrences = Vec::new();
        for (fault, schedule) in schedules.iter().enumerate() {
            let mut at = later(Instant::ZERO, schedule.at);
            let mut number = 0;
            while at < horizon {
                occurrences.push(Occurrence { fault, number, at, until: schedule.lasts.map(|lasts| later(at, lasts)) });
                let Some(every) = schedule.every.filter(|every| !every.is_zero()) else { break };
                at = later(at, every);
                number += 1;
            }
        }
        occurrences.sort_by_key(|occurrence| occurrence.at);
        occurrences
    }
}

impl Occurrence {
    fn when(&self, fault: &dyn Fault, horizon: Instant, cause: Cause) -> When {
        let until = self.until.filter(|_| !fault.ends_by_itself());
        When { at: self.at, until, horizon, cause }
    }

    fn span(&self, fault: &dyn Fault, when: &When, targets: &Targets<'_>, effects: &[(Instant, Effect)]) -> Span {
        let last = effects.iter().map(|(at, _)| *at).max().unwrap_or(when.at);
        let until = if fault.ends_by_itself() { Some(last) } else { when.until };
        Span {
            fault: self.fault,
            occurrence: self.number,
            cause: when.cause,
            label: fault.label(),
            from: when.at,
            until: until.filter(|until| *until <= when.horizon),
            backends: fault.affected(targets),
            affects_backends: fault.affects_backends(),
        }
    }
}

#[cfg(test)]
mod tests;
