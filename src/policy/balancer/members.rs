//! What a balancer keeps about each endpoint, through changes of the list: who stays keeps it, who joins starts cold,
//! whoever leaves is forgotten.

use super::Endpoints;
use crate::base::id::EndpointId;
use crate::base::slots::Slots;

/// Follows the members: `new` makes what is kept about one that was not there before.
pub fn follow<T>(kept: &mut Slots<T>, endpoints: &Endpoints<'_>, mut new: impl FnMut(EndpointId) -> T) {
    let mut before = std::mem::take(kept);
    for id in endpoints.members {
        let value = before.remove(*id).unwrap_or_else(|| new(*id));
        kept.insert(*id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::policy::balancer::testing::listing;
    use crate::policy::endpoints::{SuspectRule, Table};

    #[test]
    fn who_stays_keeps_it_and_who_returns_starts_cold() {
        let mut table = Table::new(SuspectRule::LastResort);
        let mut kept = Slots::new();
        let mut list = |places: &[u32], kept: &mut Slots<u32>, mark: u32| {
            let change = table.update(places.iter().map(|i| listing(*i, 1)).collect());
            table.connect_all(Instant::ZERO, &change.joined);
            follow(kept, &table.view(), |_| mark);
            let of = |id: &EndpointId| *kept.get(*id).expect("every member has a value");
            (table.view().members.iter().map(of).collect::<Vec<_>>(), kept.len())
        };
        assert_eq!(list(&[0, 1], &mut kept, 1), (vec![1, 1], 2));
        assert_eq!(list(&[1, 2], &mut kept, 2), (vec![1, 2], 2));
        assert_eq!(list(&[0, 1, 2], &mut kept, 3), (vec![3, 1, 2], 3));
    }
}
