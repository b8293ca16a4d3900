//! Earliest deadline first: the schedule behind `wrr_edf`, for any positive weights.
//!
//! Whoever has the earliest deadline is picked and gets the next one `1 / weight` later. The vectors depend on the
//! order of the floating-point operations, so they stand here as the sources have them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// What breaks ties between equal deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// Who was put into the queue first; a pick goes to the back (Envoy `edf_scheduler.h`).
    #[default]
    Fresh,
    /// The place in the list (grpc-go `internal/wrr/edf.go`).
    Fixed,
}

/// A schedule over entries `0..n`.
#[derive(Debug, Default)]
pub struct Edf {
    queue: BinaryHeap<Entry>,
    now: f64,
    order: u64,
    refresh: Refresh,
}

impl Edf {
    /// Entries that all begin now.
    pub fn new(weights: &[f64], refresh: Refresh) -> Edf {
        Edf::with_deadlines(weights.iter().map(|weight| 1.0 / weight), 0.0, refresh)
    }

    /// As if so many picks had been made already (Envoy `EdfScheduler::createWithPicks`), in O(n log n).
    pub fn after(weights: &[f64], picks: u64, refresh: Refresh) -> Edf {
        // Envoy adds a little to each weight, so that a heavy entry's deadline does not tie with a light one's.
        let nudged: Vec<f64> = weights.iter().map(|weight| weight + 1e-13).collect();
        let total: f64 = nudged.iter().sum();
        let share = |weight: &f64| {
            let whole = (weight * picks as f64 / total).floor();
            // Where rounding gave an entry one too many, that pick is made below instead.
            if whole > 0.0 && whole / weight >= picks as f64 / total { whole - 1.0 } else { whole }
        };
        let made: Vec<f64> = nudged.iter().map(share).collect();
        let now = made.iter().zip(&nudged).map(|(made, weight)| made / weight).fold(0.0, f64::max);
        let deadlines = made.iter().zip(&nudged).map(|(made, weight)| (made + 1.0) / weight);
        let mut edf = Edf::with_deadlines(deadlines, now, refresh);
        let made: u64 = made.iter().map(|made| *made as u64).sum();
        for _ in made..picks {
            edf.pick(|i| weights[i]);
        }
        edf
    }

    /// Entries with these first deadlines.
    pub fn with_deadlines(deadlines: impl Iterator<Item = f64>, now: f64, refresh: Refresh) -> Edf {
        let entry = |(i, deadline)| Entry { deadline, order: i as u64, index: i as u32 };
        let queue: BinaryHeap<Entry> = deadlines.enumerate().map(entry).collect();
        Edf { now, order: queue.len() as u64, queue, refresh }
    }

    /// The entry whose turn it is. Its weight is read now, for its next deadline: until it is picked again, no
    /// change of its weight is seen.
    ///
    /// # Panics
    /// When there is no entry.
    pub fn pick(&mut self, weight: impl FnOnce(usize) -> f64) -> usize {
        let mut first = self.queue.peek_mut().expect("a schedule has entries");
        let index = first.index as usize;
        self.now = first.deadline;
        first.deadline = self.now + 1.0 / weight(index);
        debug_assert!(first.deadline.is_finite(), "weights are positive");
        if self.refresh == Refresh::Fresh {
            first.order = self.order;
            self.order += 1;
        }
        drop::<PeekMut<'_, Entry>>(first);
        index
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: f64,
    order: u64,
    index: u32,
}

impl Ord for Entry {
    /// The earliest deadline is the greatest entry, because the heap has the greatest on top.
    fn cmp(&self, other: &Entry) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(mut edf: Edf, weights: &[f64], n: usize) -> String {
        (0..n).map(|_| char::from(b'A' + edf.pick(|i| weights[i]) as u8)).collect()
    }

    #[test]
    fn two_cycles() {
        for (weights, fresh, fixed) in [
            (&[5.0, 1.0, 1.0][..], "AAAABCA AAAAABC", "AAAAABC AAAAABC"),
            (&[3.0, 2.0], "ABABA ABAAB", "ABAAB ABAAB"),
            (&[2.0, 1.0], "ABA ABA", "AAB AAB"),
            (&[4.0, 2.0, 1.0], "ABAACBA ABAACBA", "AABAABC AABAABC"),
            (&[5.0, 3.0, 2.0], "ABACABACBA ABACABABAC", "ABACABAABC ABACABAABC"),
            (&[1.0, 2.0, 3.0], "CBCABC CBCCAB", "CBCABC CBCCAB"),
            (&[11.0, 3.0], "AAABAAAABAAABA AAABAAAABAAAAB", "AAABAAAABAAABA AAABAAAABAAAAB"),
        ] {
            for (refresh, expected) in [(Refresh::Fresh, fresh), (Refresh::Fixed, fixed)] {
                let expected = expected.replace(' ', "");
                let found = picks(Edf::new(weights, refresh), weights, expected.len());
                assert_eq!(found, expected, "{weights:?} {refresh:?}");
            }
        }
    }

    #[test]
    fn after_some_picks() {
        let weights = [5.0, 1.0, 1.0];
        for (made, expected) in [(0, "AAAABCA"), (1, "AAABCAA"), (3, "ABCAAAA"), (5, "CAAAAAB")] {
            assert_eq!(picks(Edf::after(&weights, made, Refresh::Fresh), &weights, 7), expected, "after {made}");
        }
        // Far out, each still gets its share of every cycle.
        let far = picks(Edf::after(&weights, 400_000_003, Refresh::Fresh), &weights, 70);
        assert_eq!(far.matches('A').count(), 50);
    }

    #[test]
    fn no_prefix_strays_far() {
        // policies.md §14: -1 < picks - N w / W <= n w / W for every prefix N.
        let weights = [13.0, 1.0, 7.0, 4.0, 4.0, 9.0, 2.0];
        let total: f64 = weights.iter().sum();
        for refresh in [Refresh::Fresh, Refresh::Fixed] {
            let mut edf = Edf::new(&weights, refresh);
            let mut counts = [0.0; 7];
            for n in 1..=400 {
                counts[edf.pick(|i| weights[i])] += 1.0;
                for (count, weight) in counts.iter().zip(weights) {
                    let stray: f64 = count - f64::from(n) * weight / total;
                    assert!(stray > -1.0 && stray <= 7.0 * weight / total, "after {n}: {counts:?}");
                }
            }
        }
    }

    #[test]
    fn a_tiny_weight_is_not_rescued_when_it_grows() {
        let mut weights = vec![1.0; 130];
        weights.push(0.01);
        let mut edf = Edf::new(&weights, Refresh::Fresh);
        weights[130] = 1.0;
        let first = (1..).find(|_| edf.pick(|i| weights[i]) == 130).unwrap();
        // Its first deadline is 100; the others have been picked 99 times before it, and it came first into the queue.
        assert_eq!(first, 99 * 130 + 1);
    }
}
