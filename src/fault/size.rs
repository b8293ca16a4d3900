//! How many members each group has: what it starts with, and every change that a fault made to it. Changes add up.

use super::Fault;
use super::timeline::Schedule;
use crate::base::time::Instant;

/// A fault that may change the size of groups.
pub struct Resizing<'a> {
    /// What it is.
    pub fault: &'a dyn Fault,
    /// When it acts.
    pub schedule: Schedule,
    /// The groups that it is aimed at, by number.
    pub groups: &'a [u32],
}

/// The most members that each group ever has, by number of the group: so many backends a plan must hold ready.
/// `counts` is what the groups start with. Faults that do not change sizes may be left out.
pub fn capacities(faults: &[Resizing<'_>], counts: &[u32], horizon: Instant) -> Vec<u32> {
    let schedules: Vec<Schedule> = faults.iter().map(|fault| fault.schedule).collect();
    let mut sizes = Sizes::new(counts.to_vec());
    for occurrence in Schedule::occurrences(&schedules, horizon) {
        let Resizing { fault, groups, .. } = faults[occurrence.fault];
        for group in groups {
            if let Some(after) = fault.resize(sizes.at(*group, occurrence.at)) {
                sizes.change(*group, after, occurrence.at, occurrence.until);
            }
        }
    }
    (0..counts.len() as u32).map(|group| sizes.peak(group, horizon)).collect()
}

/// Sizes of all groups over time.
#[derive(Debug)]
pub struct Sizes {
    initial: Vec<u32>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    at: Instant,
    group: u32,
    by: i64,
}

impl Sizes {
    /// Sizes that never change, so far.
    pub fn new(initial: Vec<u32>) -> Sizes {
        Sizes { initial, changes: Vec::new() }
    }

    /// Size of a group at an instant, after all changes of that instant.
    pub fn at(&self, group: u32, at: Instant) -> u32 {
        let by: i64 = self.changes_of(group).filter(|change| change.at <= at).map(|change| change.by).sum();
        clamped(i64::from(self.initial[group as usize]) + by)
    }

    /// Sizes of all groups at an instant.
    pub fn all_at(&self, at: Instant) -> Vec<u32> {
        (0..self.initial.len() as u32).map(|group| self.at(group, at)).collect()
    }

    /// Gives a group a new size from `at` on; what that adds or removes is taken back at `until`.
    pub fn change(&mut self, group: u32, size: u32, at: Instant, until: Option<Instant>) {
        let by = i64::from(size) - i64::from(self.at(group, at));
        self.changes.push(Change { at, group, by });
        self.changes.extend(until.map(|until| Change { at: until, group, by: -by }));
    }

    /// The largest size of a group until `horizon`.
    fn peak(&self, group: u32, horizon: Instant) -> u32 {
        let begin = self.initial[group as usize];
        let instants = self.changes_of(group).map(|change| change.at).filter(|at| *at <= horizon);
        instants.map(|at| self.at(group, at)).fold(begin, u32::max)
    }

    fn changes_of(&self, group: u32) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.group == group)
    }
}

fn clamped(size: i64) -> u32 {
    u32::try_from(size.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::fault::scale;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn add(add: u32) -> scale::Config {
        scale::Config { add: Some(add), ..scale::Config::default() }
    }

    fn peaks(faults: &[(&dyn Fault, Schedule)], horizon: u64) -> Vec<u32> {
        let faults: Vec<Resizing<'_>> = faults
            .iter()
            .map(|(fault, schedule)| Resizing { fault: *fault, schedule: *schedule, groups: &[0] })
            .collect();
        capacities(&faults, &[3, 7], Instant::ZERO + s(horizon))
    }

    #[test]
    fn the_peak_counts_what_overlaps() {
        let at = |at, lasts: Option<u64>| Schedule { at: s(at), lasts: lasts.map(s), every: None };
        let (two, four) = (add(2), add(4));
        assert_eq!(peaks(&[(&two, at(10, Some(10))), (&four, at(20, Some(10)))], 60), [7, 7], "one after the other");
        assert_eq!(peaks(&[(&two, at(10, Some(11))), (&four, at(20, Some(10)))], 60), [9, 7], "a second together");
        assert_eq!(peaks(&[(&two, at(10, None)), (&four, at(20, None))], 15), [5, 7], "the second is never");
        assert_eq!(peaks(&[], 60), [3, 7]);
    }

    #[test]
    fn each_occurrence_adds() {
        let schedule = Schedule { at: s(10), lasts: None, every: Some(s(10)) };
        assert_eq!(peaks(&[(&add(1), schedule)], 45), [7, 7], "at 10, 20, 30 and 40");
    }

    #[test]
    fn changes_are_taken_back_by_amount() {
        let mut sizes = Sizes::new(vec![3]);
        let at = |seconds| Instant::ZERO + s(seconds);
        sizes.change(0, 5, at(10), Some(at(40)));
        sizes.change(0, 10, at(20), Some(at(30)));
        let seen: Vec<u32> = [0, 10, 19, 20, 30, 40].map(|seconds| sizes.at(0, at(seconds))).into();
        assert_eq!(seen, [3, 5, 5, 10, 5, 3]);
    }
}
