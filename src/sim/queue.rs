//! What happens next: a calendar queue (Brown, *Calendar queues*, 1988) whose present page is sorted. Events near in
//! time lie near in memory, so what comes soon is known ahead; what is too far off for the calendar waits in a 4-ary
//! min-heap (LaMarca and Ladner, *The influence of caches on the performance of heaps*, 1996).
//!
//! A key orders events by time, then by kind, then by whom it concerns: no order of insertion is needed, so an event
//! that changes nothing moves nothing, and how the calendar is cut changes no result.

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

    /// Ties with nothing, and comes after everything.
    pub const NEVER: Event = Event(u128::MAX);

    /// True if the handle, and nothing else, tells two events apart: the order of two such is the order of their
    /// handles.
    #[inline]
    pub fn ties_with(self, other: Event) -> bool {
        // Equal but for the lowest 32 bits, and not equal.
        self.at() == other.at() && (self.0 as u64 ^ other.0 as u64).wrapping_sub(1) < (1 << 32) - 1
    }
}

/// Pending events.
#[derive(Debug)]
pub struct Queue {
    /// The present page, the soonest last: all events before the calendar but those in `soon`.
    near: Vec<Event>,
    /// What was added to the present page after it was sorted.
    soon: Heap,
    /// The calendar: page `n` lies at `n` modulo their number and covers `2^shift` ns from `n 2^shift` on.
    pages: Vec<Vec<Event>>,
    shift: u32,
    /// The first page of the calendar.
    first: u64,
    /// Events in the calendar.
    listed: usize,
    /// Events beyond it.
    far: Heap,
    /// Events on the pages turned lately, on average and times 16.
    filled: usize,
    /// Pages turned so far.
    turned: u64,
}

/// Events on a page: many more cost sorting, many fewer cost turning.
const FILLED: usize = 8;
const FEWEST_PAGES: usize = 64;
const MOST_PAGES: usize = 1 << 16;

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            near: Vec::new(),
            soon: Heap::default(),
            pages: vec![Vec::new(); FEWEST_PAGES],
            shift: 20,
            first: 0,
            listed: 0,
            far: Heap::default(),
            filled: 16 * FILLED,
            turned: 0,
        }
    }
}

impl Queue {
    /// Adds an event.
    #[inline(always)]
    pub fn push(&mut self, event: Event) {
        if !self.place(event) {
            self.push_far(event);
        }
    }

    /// Puts an event on its page. False if that lies beyond the calendar.
    #[inline(always)]
    fn place(&mut self, event: Event) -> bool {
        let page = event.at().as_nanos() >> self.shift;
        match page.checked_sub(self.first) {
            None => self.soon.push(event),
            Some(ahead) if ahead < self.pages.len() as u64 => {
                let at = page as usize & (self.pages.len() - 1);
                self.pages[at].push(event);
                self.listed += 1;
            }
            Some(_) => return false,
        }
        true
    }

    #[inline(never)]
    fn push_far(&mut self, event: Event) {
        self.far.push(event);
        if self.far.len() > 2 * FILLED * self.pages.len() && self.pages.len() < MOST_PAGES {
            self.cut(self.shift);
        }
    }

    /// The next event, left in place.
    #[inline(always)]
    pub fn peek(&mut self) -> Option<Event> {
        if self.near.is_empty() && self.soon.is_empty() {
            self.turn();
        }
        match (self.near.last(), self.soon.peek()) {
            (Some(near), Some(soon)) => Some(*near.min(&soon)),
            (near, soon) => near.copied().or(soon),
        }
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<Event> {
        self.peek()?;
        self.take_soonest()
    }

    /// Takes the next event, if it comes before `limit`.
    #[inline(always)]
    pub fn pop_before(&mut self, limit: Event) -> Option<Event> {
        match self.near.last() {
            // Nearly always.
            Some(next) if self.soon.is_empty() => {
                if *next < limit {
                    self.near.pop()
                } else {
                    None
                }
            }
            _ => self.pop_across_before(limit),
        }
    }

    /// The same where the present page is over or was added to.
    #[inline(never)]
    fn pop_across_before(&mut self, limit: Event) -> Option<Event> {
        if self.peek()? < limit { self.take_soonest() } else { None }
    }

    /// Takes the next event of the present page.
    fn take_soonest(&mut self) -> Option<Event> {
        match (self.near.last(), self.soon.peek()) {
            (Some(near), Some(soon)) if soon < *near => self.soon.pop(),
            (Some(_), _) => self.near.pop(),
            (None, _) => self.soon.pop(),
        }
    }

    /// Turns pages until one has an event on it.
    #[inline(never)]
    fn turn(&mut self) {
        if self.filled > 16 * 4 * FILLED || 16 * FILLED > 4 * self.filled {
            self.adapt();
        }
        while self.near.is_empty() && self.soon.is_empty() {
            if self.listed == 0 {
                let Some(next) = self.far.peek() else { return };
                self.first = next.at().as_nanos() >> self.shift;
            }
            self.list();
            let at = self.first as usize & (self.pages.len() - 1);
            std::mem::swap(&mut self.near, &mut self.pages[at]);
            self.first += 1;
            self.listed -= self.near.len();
            self.filled += self.near.len();
            self.filled -= self.filled / 16;
        }
        self.near.sort_unstable_by(|a, b| b.cmp(a));
        self.turned += 1;
    }

    /// Moves what the calendar reaches by now into it.
    fn list(&mut self) {
        while let Some(event) = self.far.peek()
            && self.place(event)
        {
            self.far.pop();
        }
    }

    /// Makes pages longer or shorter.
    fn adapt(&mut self) {
        let (ideal, filled) = (16 * FILLED, self.filled.max(1));
        let (longer, shorter) = ((ideal / filled).max(1).ilog2(), (filled / ideal).max(1).ilog2());
        let shift = (self.shift + longer).saturating_sub(shorter).clamp(4, 50);
        self.filled = 16 * FILLED;
        if shift != self.shift {
            self.cut(shift);
        }
    }

    /// Cuts the calendar anew, into pages of `2^shift` ns, as many as there are events to fill them.
    fn cut(&mut self, shift: u32) {
        let mut events: Vec<Event> = self.pages.iter_mut().flat_map(|page| page.drain(..)).collect();
        events.append(&mut self.far.events);
        let pages = (events.len() / 4).next_power_of_two().clamp(FEWEST_PAGES, MOST_PAGES);
        self.pages.resize(pages.max(self.pages.len()), Vec::new());
        // What lies before the first whole page belongs to the present one.
        self.first = (self.first << self.shift).div_ceil(1 << shift);
        self.shift = shift;
        self.listed = 0;
        for event in events {
            if !self.place(event) {
                self.far.push(event);
            }
        }
    }

    /// How many pages were turned so far.
    #[inline(always)]
    pub fn turned(&self) -> u64 {
        self.turned
    }

    /// The events of the page `ahead` pages after the present one, in no order; those of the present one for 0.
    pub fn page(&self, ahead: usize) -> &[Event] {
        match ahead {
            0 => &self.near,
            _ => &self.pages[(self.first as usize + ahead - 1) & (self.pages.len() - 1)],
        }
    }

    /// Number of pending events.
    pub fn len(&self) -> usize {
        self.near.len() + self.soon.len() + self.listed + self.far.len()
    }

    /// True if nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A 4-ary min-heap.
#[derive(Debug, Default)]
struct Heap {
    events: Vec<Event>,
}

impl Heap {
    #[inline]
    fn push(&mut self, event: Event) {
        let mut at = self.events.len();
        self.events.push(event);
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.events[parent] <= event {
                break;
            }
            self.events[at] = self.events[parent];
            at = parent;
        }
        self.events[at] = event;
    }

    #[inline(always)]
    fn peek(&self) -> Option<Event> {
        self.events.first().copied()
    }

    #[inline]
    fn pop(&mut self) -> Option<Event> {
        let last = self.events.pop()?;
        if self.events.is_empty() {
            return Some(last);
        }
        let top = self.events[0];
        self.sift_down(last);
        Some(top)
    }

    /// Puts `event`, which belongs at or below the top, in its place.
    #[inline]
    fn sift_down(&mut self, event: Event) {
        let heap = self.events.as_mut_slice();
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

    fn len(&self) -> usize {
        self.events.len()
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    /// Adds and takes events as a run does, beside a sorted set. `gap` says how far ahead an event lies.
    fn beside_a_set(events: u64, mut gap: impl FnMut(&mut crate::base::rand::Rand) -> u64) {
        let mut rand = Seed::new(5).stream("queue");
        let mut queue = Queue::default();
        let mut set = std::collections::BTreeSet::new();
        let mut now = 0;
        for number in 0..events {
            // As many come as go in the long run, in waves.
            let more = rand.below(100) < if number / 500 % 2 == 0 { 60 } else { 40 };
            if more || set.is_empty() {
                let at = Instant::from_nanos((now + gap(&mut rand)).min(1 << 62));
                let event = Event::new(at, rand.below(4) as u8, rand.below(3) as u32, number as u32);
                queue.push(event);
                set.insert(event);
            } else {
                assert_eq!(queue.peek(), set.first().copied());
                let event = queue.pop();
                assert_eq!(event, set.pop_first());
                now = event.map_or(now, |event| event.at().as_nanos());
            }
            assert_eq!(queue.len(), set.len());
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
        assert!(queue.is_empty() && queue.pop().is_none());
    }

    #[test]
    fn pops_in_order_whatever_the_order_of_pushes() {
        beside_a_set(20_000, |rand| rand.below(50));
        beside_a_set(20_000, |rand| rand.below(1_000_000_000));
        beside_a_set(20_000, |_| 0);
        // From nanoseconds to days, and a few beyond any calendar.
        beside_a_set(50_000, |rand| {
            let bits = rand.below(47);
            rand.below(1 << bits)
        });
        beside_a_set(50_000, |rand| if rand.below(100) == 0 { 1 << 61 } else { rand.below(1_000) });
    }

    #[test]
    fn pages_ahead_hold_what_comes_next() {
        let mut queue = Queue::default();
        for number in 0..1_000 {
            queue.push(Event::new(Instant::from_nanos(u64::from(number) * 100_000), 1, 0, number));
        }
        queue.pop();
        let ahead: Vec<u32> =
            (0..3).flat_map(|page| queue.page(page).iter().rev().map(|event| event.handle())).collect();
        assert!(ahead.len() > 8, "{ahead:?}");
        let mut sorted = ahead.clone();
        sorted.sort();
        assert_eq!(sorted, (1..=ahead.len() as u32).collect::<Vec<_>>(), "nothing between is left out");
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

    #[test]
    fn ties_are_of_two_that_only_their_handles_tell_apart() {
        let event = |at, entity, handle| Event::new(Instant::from_nanos(at), 2, entity, handle);
        let one = event(7, 3, 5);
        assert!(one.ties_with(event(7, 3, 6)) && one.ties_with(event(7, 3, u32::MAX)) && one.ties_with(event(7, 3, 0)));
        assert!(!one.ties_with(one) && !one.ties_with(event(8, 3, 6)));
        assert!(!one.ties_with(event(7, 4, 6)) && !one.ties_with(event(7, 2, 5)), "not even by the last bit");
        assert!(!one.ties_with(Event::NEVER));
    }
}
