//! How many attempts are open on an endpoint, in four bytes: those of a large fleet hardly fit in a processor's cache,
//! and every pick and every end changes one of them.

use crate::base::id::EndpointId;

/// Attempts open on whoever has a place now, and how often that place was given away before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open(u32);

/// Attempts that one client can have open on one endpoint. Whoever opens calls keeps to it, where that costs nothing.
pub const MOST_OPEN: u32 = u32::MAX / ONE;

/// The generation is in the bits below.
const ONE: u32 = EndpointId::GENERATIONS;

impl Open {
    /// No attempts on that endpoint.
    pub(super) fn none(id: EndpointId) -> Open {
        Open(id.generation())
    }

    /// Attempts that are open.
    #[inline(always)]
    pub(super) fn in_flight(self) -> u32 {
        self.0 / ONE
    }

    /// True if this is that endpoint, and not another at its place.
    #[inline(always)]
    pub(super) fn is_of(self, id: EndpointId) -> bool {
        self.0 % ONE == id.generation()
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
    fn a_count_leaves_alone_whose_it_is() {
        for generation in [0, 1, EndpointId::GENERATIONS - 1] {
            let (id, other) = (EndpointId::new(7, generation), EndpointId::new(7, generation ^ 1));
            let mut open = Open::none(id);
            for counted in (1..1_000).chain((0..999).rev()) {
                if open.in_flight() < counted {
                    open.begin()
                } else {
                    open.end()
                }
                assert_eq!((open.in_flight(), open.is_of(id), open.is_of(other)), (counted, true, false));
            }
        }
    }

    #[test]
    fn the_most_that_can_be_open_are_counted() {
        let mut open = Open(u32::MAX - ONE);
        assert_eq!(open.in_flight(), MOST_OPEN - 1);
        open.begin();
        assert_eq!((open.in_flight(), open.0 % ONE), (MOST_OPEN, ONE - 1));
    }
}
