//! What happens next: a 4-ary min-heap of 16-byte keys (LaMarca and Ladner, *The influence of caches on the
//! performance of heaps*, 1996). A key orders events by time, then by kind, then by whom it concerns: no order of
//! insertion is needed, so an event that changes nothing moves nothing.

use crate::base::time::Instant;

/// An event: when, what kind, whom it concerns, and a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event(u128);

impl Event {
    /// `entity` must be below 2^26.
    #[inline]
    pub fn new(at: Instant, kind: u8, entity: u32, handle: u32) -> Event {
        debug_assert!(entity < 1 << 26 && kind < 64);
        let what = u64::from(kind) << 58 | u64::from(entity) << 32 | u64::from(handle);
        Event(u128::from(at.as_nanos()) << 64 | u128::from(what))
    }

    /// When.
    #[inline]
    pub fn at(self) -> Instant {
        Instant::from_nanos((self.0 >> 64) as u64)
    }

    /// What kind.
    #[inline]
    pub fn kind(self) -> u8 {
        (self.0 as u64 >> 58) as u8
    }

    /// Whom it concerns.
    #[inline]
    pub fn entity(self) -> u32 {
        (self.0 as u64 >> 32) as u32 & ((1 << 26) - 1)
    }

    /// The handle.
    #[inline]
    pub fn handle(self) -> u32 {
        self.0 as u32
    }

    /// True if only the handle tells two events apart: the order of two such is the order of their handles.
    #[inline]
    pub fn ties_with(self, other: Event) -> bool {
        self.0 >> 32 == other.0 >> 32
    }
}

/// Pending events.
#[derive(Debug, Default)]
pub struct Queue {
    heap: Vec<Event>,
}

impl Queue {
    /// Adds an event.
    #[inline]
    pub fn push(&mut self, event: Event) {
        let mut at = self.heap.len();
        self.heap.push(event);
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.heap[parent] <= event {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = event;
    }

    /// The next event, left in place.
    #[inline]
    pub fn peek(&self) -> Option<Event> {
        self.heap.first().copied()
    }

    /// Takes the next event.
    #[inline]
    pub fn pop(&mut self) -> Option<Event> {
        let last = self.heap.pop()?;
        if self.heap.is_empty() {
            return Some(last);
        }
        let top = self.heap[0];
        self.sift_down(last);
        Some(top)
    }

    /// Puts `event`, which belongs at or below the top, in its place.
    #[inline]
    fn sift_down(&mut self, event: Event) {
        let heap = self.heap.as_mut_slice();
        let mut at = 0;
        loop {
            let first = 4 * at + 1;
            let smallest = if let Some(children) = heap.get(first..first + 4) {
                // Two rounds of a small tournament: no branch depends on the keys.
                let left = usize::from(children[1] < children[0]);
                let right = 2 + usize::from(children[3] < children[2]);
                first + if children[right] < children[left] { right } else { left }
            } else if first < heap.len() {
                (first + 1..heap.len())
                    .fold(first, |least, child| if heap[child] < heap[least] { child } else { least })
            } else {
                break;
            };
            if event <= heap[smallest] {
                break;
            }
            heap[at] = heap[smallest];
            at = smallest;
        }
        heap[at] = event;
    }

    /// Number of pending events.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True if nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    #[test]
    fn pops_in_order_whatever_the_order_of_pushes() {
        let mut rand = Seed::new(5).stream("queue");
        for n in [1usize, 2, 5, 6, 100, 1000] {
            let mut events: Vec<Event> = (0..n)
                .map(|i| {
                    Event::new(Instant::from_nanos(rand.below(50)), rand.below(4) as u8, rand.below(3) as u32, i as u32)
                })
                .collect();
            let mut queue = Queue::default();
            for event in &events {
                queue.push(*event);
            }
            events.sort();
            let popped: Vec<Event> = std::iter::from_fn(|| queue.pop()).collect();
            assert_eq!(popped, events);
        }
    }

    #[test]
    fn a_key_keeps_its_parts() {
        let event = Event::new(Instant::from_nanos(7), 11, (1 << 26) - 1, u32::MAX);
        assert_eq!(
            (event.at().as_nanos(), event.kind(), event.entity(), event.handle()),
            (7, 11, (1 << 26) - 1, u32::MAX)
        );
        assert_eq!(size_of::<Event>(), 16);
    }
}
