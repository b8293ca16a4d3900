//! The next completion of each backend: a tournament tree of one leaf a backend, the soonest at the root. It holds
//! what the queue would hold most of, moves in place when a server changes its mind, and leaves nothing stale behind.

use std::hint::select_unpredictable;

use super::engine::kind;
use super::queue::Event;
use crate::base::id::BackendId;
use crate::base::time::Instant;

/// A backend and when it is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: u64,
    backend: u32,
}

/// Node 1 is the root, the children of node `i` are `2 i` and `2 i + 1`, the leaves are the last half.
#[derive(Debug)]
pub(super) struct Departures {
    nodes: Vec<Entry>,
}

impl Departures {
    /// Of `n` backends, none of which has anything to do yet.
    pub(super) fn new(n: usize) -> Departures {
        let leaves = n.next_power_of_two().max(2);
        let leaf = |i: usize| Entry { at: Instant::NEVER.as_nanos(), backend: (i % leaves) as u32 };
        Departures { nodes: (0..2 * leaves).map(leaf).collect() }
    }

    /// The next completion of all; at [`Instant::NEVER`] if there is none.
    #[inline(always)]
    pub(super) fn soonest(&self) -> Event {
        let Entry { at, backend } = self.nodes[1];
        Event::new(Instant::from_nanos(at), kind::DONE, backend, 0)
    }

    /// The next completion of one backend is at `at`.
    #[inline(always)]
    pub(super) fn set(&mut self, backend: BackendId, at: Instant) {
        let (leaf, at) = (self.nodes.len() / 2 + backend.index(), at.as_nanos());
        if self.nodes[leaf].at != at {
            self.climb(leaf, Entry { at, backend: backend.0 });
        }
    }

    /// Puts an entry in its leaf and plays the matches above again, until one ends as it had.
    #[inline(never)]
    fn climb(&mut self, leaf: usize, entry: Entry) {
        let nodes = self.nodes.as_mut_slice();
        // The length is a power of two, so the mask changes nothing; it spares the bounds checks.
        let mask = nodes.len() - 1;
        let (mut at, mut winner) = (leaf & mask, entry);
        nodes[at] = winner;
        while at > 1 {
            let other = nodes[(at ^ 1) & mask];
            // Among equals the lower backend wins, which is the left one: a right one must be strictly sooner.
            let other_wins = other.at < winner.at.saturating_add((at & 1) as u64);
            winner.at = select_unpredictable(other_wins, other.at, winner.at);
            winner.backend = select_unpredictable(other_wins, other.backend, winner.backend);
            at /= 2;
            if nodes[at & mask] == winner {
                return;
            }
            nodes[at & mask] = winner;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    #[test]
    fn the_soonest_is_at_the_root_and_the_lowest_among_equals() {
        let mut rand = Seed::new(7).stream("departures");
        for n in [1usize, 2, 3, 4, 7, 100] {
            let mut tree = Departures::new(n);
            let mut plain = vec![Instant::NEVER; n];
            assert_eq!(tree.soonest().at(), Instant::NEVER);
            for _ in 0..2_000 {
                let backend = rand.below(n as u64) as usize;
                // Few values, so that equal ones are common; one in ten is out of work.
                let at = match rand.below(10) {
                    0 => Instant::NEVER,
                    _ => Instant::from_nanos(rand.below(20)),
                };
                plain[backend] = at;
                tree.set(BackendId(backend as u32), at);
                let soonest = *plain.iter().min().unwrap();
                let first = plain.iter().position(|at| *at == soonest).unwrap() as u32;
                assert_eq!(tree.soonest().at(), soonest);
                assert!(soonest == Instant::NEVER || tree.soonest().entity() == first);
            }
        }
    }
}
