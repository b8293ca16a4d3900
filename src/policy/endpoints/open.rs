//! How many attempts are open on an endpoint, in four bytes: those of a large fleet hardly fit in a processor's cache,
//! and every pick and every end changes one of them.

use crate::base::id::EndpointId;

/// Attempts open on whoever has a place now, and how often that place was given away before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open(u32);

/// Bits of the generation; the others count. A byte, because that is what a processor compares.
const GENERATION_BITS: u32 = 8;

/// A place is given away so often and then left empty for good.
pub(super) const GENERATIONS: u32 = 1 << GENERATION_BITS;

/// Attempts that one client can have open on one endpoint. Whoever opens calls keeps to it, where that costs nothing.
pub const MOST_OPEN: u32 = u32::MAX >> GENERATION_BITS;

const ONE: u32 = 1 << GENERATION_BITS;

impl Open {
    /// No attempts; `generation` is below [`GENERATIONS`].
    pub(super) fn none(generation: u32) -> Open {
        debug_assert!(generation < GENERATIONS);
        Open(generation)
    }

    /// Attempts that are open.
    #[inline(always)]
    pub(super) fn in_flight(self) -> u32 {
        self.0 >> GENERATION_BITS
    }

    /// How often the place was given away before.
    #[inline(always)]
    pub(super) fn generation(self) -> u32 {
        self.0 % GENERATIONS
    }

    /// True if this is that endpoint, and not another at its place.
    #[inline(always)]
    pub(super) fn is_of(self, id: EndpointId) -> bool {
        self.generation() == id.generation()
    }

    /// One more; there are fewer than [`MOST_OPEN`].
    #[inline(always)]
    pub(super) fn begin(&mut self) {
        debug_assert!(self.in_flight() < MOST_OPEN, "whoever opens calls keeps to the most");
        self.0 = self.0.wrapping_add(ONE);
    }

    /// One less.
    #[inline(always)]
    pub(super) fn end(&mut self) {
        debug_assert!(self.in_flight() > 0, "in-flight never goes below zero");
        self.0 = self.0.wrapping_sub(ONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_leaves_the_generation_alone() {
        for generation in [0, 1, GENERATIONS - 1] {
            let mut open = Open::none(generation);
            for _ in 0..1_000 {
                open.begin();
            }
            open.end();
            assert_eq!((open.in_flight(), open.generation()), (999, generation));
            assert!(open.is_of(EndpointId::new(7, generation)) && !open.is_of(EndpointId::new(7, generation ^ 1)));
            (0..999).for_each(|_| open.end());
            assert_eq!((open.in_flight(), open.generation()), (0, generation));
        }
    }

    #[test]
    fn the_most_that_can_be_open_are_counted() {
        let mut open = Open(u32::MAX - ONE);
        assert_eq!(open.in_flight(), MOST_OPEN - 1);
        open.begin();
        assert_eq!((open.in_flight(), open.generation()), (MOST_OPEN, GENERATIONS - 1));
    }
}
