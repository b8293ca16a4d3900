//! Whoever is ready, by number: what a draw turns into an endpoint.

use crate::base::id::EndpointId;
use crate::policy::balancer::Endpoints;

/// What is known of the ready endpoints until they change.
///
/// As long as each is the first at the place in the client's table that its number says, as in a fleet that never changed,
/// the number says who it is and the list need not be read: it is as large as everything else that a call touches, and
/// with a large fleet all of it hardly fits in a processor's cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    in_place: bool,
    several: bool,
}

impl Places {
    /// Of the endpoints that `on_endpoints` shows.
    pub fn of(endpoints: &Endpoints<'_>) -> Places {
        let ready = endpoints.ready;
        Places { in_place: are_first_in_place(ready), several: ready.len() > 1 }
    }

    /// True if there is something to choose.
    #[inline(always)]
    pub fn are_several(self) -> bool {
        self.several
    }

    /// The ready endpoint with this number, counted from 0; `None` if there are fewer.
    #[inline(always)]
    pub fn at(self, number: u64, endpoints: &Endpoints<'_>) -> Option<EndpointId> {
        let listed = || endpoints.ready.get(number as usize).copied();
        let found = if self.in_place { Some(EndpointId::new(number as u32, 0)) } else { listed() };
        debug_assert_eq!(found, listed(), "they changed and nobody said so");
        found
    }
}

/// True if each id follows from its number: its slot is the number, and nobody had that before.
pub fn are_first_in_place(ids: &[EndpointId]) -> bool {
    ids.iter().zip(0..EndpointId::SLOTS).all(|(id, number)| *id == EndpointId::new(number, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::policy::balancer::sample::random::Config;
    use crate::policy::balancer::testing::World;
    use crate::policy::endpoints::Connectivity;

    #[test]
    fn whoever_is_ready_is_found_by_number_in_place_or_not() {
        let mut world = World::equal(5, &Config::default());
        for (lost, in_place) in [(None, true), (Some(4), true), (Some(1), false), (Some(0), false)] {
            if let Some(lost) = lost {
                world.table.set_connectivity(Instant::ZERO, world.id(lost), Connectivity::Idle);
            }
            let view = world.table.view();
            let places = Places::of(&view);
            assert_eq!((places.in_place, places.are_several()), (in_place, true), "without {lost:?}");
            let found: Vec<EndpointId> = (0..view.ready.len() as u64).filter_map(|i| places.at(i, &view)).collect();
            assert_eq!(found, view.ready);
        }
    }

    #[test]
    fn one_or_nobody_is_nothing_to_choose() {
        for n in [0, 1] {
            let world = World::equal(n, &Config::default());
            assert!(!Places::of(&world.table.view()).are_several());
        }
    }
}
