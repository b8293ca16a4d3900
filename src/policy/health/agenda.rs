//! One appointment for each endpoint, and which comes first: a binary heap that knows the place of every
//! member, so that moving an appointment leaves no stale one behind.

use crate::base::time::Instant;

/// Appointments by slot. Setting and clearing cost O(log n) and, once every slot has been seen, no allocation.
#[derive(Debug, Default)]
pub struct Agenda {
    /// `(when, slot)`: no entry is before its parent.
    heap: Vec<(Instant, u32)>,
    /// Place in the heap by slot; `NOWHERE` for those without an appointment.
    place: Vec<u32>,
}

impl Agenda {
    /// The first appointment: the earliest, and among equals that of the lowest slot.
    #[inline]
    pub fn first(&self) -> Option<(Instant, usize)> {
        self.heap.first().map(|&(at, slot)| (at, slot as usize))
    }

    /// Makes or moves the appointment of a slot.
    pub fn set(&mut self, slot: usize, at: Instant) {
        if self.place.len() <= slot {
            self.place.resize(slot + 1, NOWHERE);
        }
        let place = match self.place[slot] {
            NOWHERE => {
                self.heap.push((at, slot as u32));
                self.heap.len() - 1
            }
            place => {
                self.heap[place as usize].0 = at;
                place as usize
            }
        };
        self.settle(place);
    }

    /// Drops the appointment of a slot, if it has one.
    pub fn clear(&mut self, slot: usize) {
        let place = match self.place.get(slot) {
            None | Some(&NOWHERE) => return,
            Some(&place) => place as usize,
        };
        self.place[slot] = NOWHERE;
        self.heap.swap_remove(place);
        if place < self.heap.len() {
            self.settle(place);
        }
    }

    /// Puts the entry at `place` where it belongs.
    fn settle(&mut self, mut place: usize) {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            place = self.swap(place, (place - 1) / 2);
        }
        loop {
            let children = [2 * place + 1, 2 * place + 2].into_iter().filter(|child| *child < self.heap.len());
            match children.min_by_key(|child| self.heap[*child]) {
                Some(child) if self.heap[child] < self.heap[place] => place = self.swap(place, child),
                _ => break,
            }
        }
        self.place[self.heap[place].1 as usize] = place as u32;
    }

    /// Swaps two entries, notes where the one that was at `to` went, and follows the other.
    fn swap(&mut self, from: usize, to: usize) -> usize {
        self.heap.swap(from, to);
        self.place[self.heap[from].1 as usize] = from as u32;
        to
    }
}

const NOWHERE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::rand::{Bits, Seed};

    #[test]
    fn agrees_with_a_sorted_map() {
        let mut rand = Seed::new(1).stream("agenda");
        let mut agenda = Agenda::default();
        let mut model: BTreeMap<usize, Instant> = BTreeMap::new();
        for _ in 0..20_000 {
            let slot = rand.below(40) as usize;
            let at = Instant::from_nanos(rand.below(50));
            match rand.below(3) {
                0 => {
                    agenda.clear(slot);
                    model.remove(&slot);
                }
                _ => {
                    agenda.set(slot, at);
                    model.insert(slot, at);
                }
            }
            let expected = model.iter().map(|(slot, at)| (*at, *slot)).min();
            assert_eq!(agenda.first(), expected);
        }
    }

    #[test]
    fn clearing_what_is_not_there_does_nothing() {
        let mut agenda = Agenda::default();
        agenda.clear(3);
        agenda.set(3, Instant::from_nanos(1));
        agenda.clear(3);
        agenda.clear(3);
        agenda.clear(9);
        assert_eq!(agenda.first(), None);
    }
}
