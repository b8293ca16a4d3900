//! One table for all clients of a run that see the same endpoints. Sharing saves memory and time; it never
//! changes an answer, because a table is a function of its key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::is_ready;
use super::owners::{Layout, Owners};
use crate::base::id::EndpointId;
use crate::policy::balancer::Endpoints;

/// The tables of one run, for as long as some client holds them.
#[derive(Debug, Default)]
pub struct Shared(Mutex<BTreeMap<Key, Weak<Owners>>>);

/// All that a table depends on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    layout: Layout,
    /// Names and weights, by name.
    members: Vec<(Box<str>, u32)>,
}

impl Shared {
    /// The table of this layout and these members, built unless somebody holds it.
    fn table(&self, key: Key) -> Arc<Owners> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(&key).and_then(Weak::upgrade) {
            return table;
        }
        tables.retain(|_, table| table.strong_count() > 0);
        let table = Arc::new(Owners::build(key.layout, &key.members));
        tables.insert(key, Arc::downgrade(&table));
        table
    }
}

/// A client's hold on the table of its endpoints. The table is looked up when it is first needed after a change,
/// so a client that never picks never builds, and changes that come together cost one table.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    layout: Layout,
    /// Whom the table is to be of, in the order of the list, with the weights as listed.
    listed: Vec<(EndpointId, u32)>,
    stale: bool,
    owners: Arc<Owners>,
    /// The endpoint at each place of the table's members.
    ids: Vec<EndpointId>,
    /// The weight at each place: above zero.
    weights: Vec<u32>,
}

impl Hold {
    /// A hold on the table of nobody.
    pub fn new(layout: Layout, shared: &Arc<Shared>) -> Hold {
        Hold {
            shared: shared.clone(),
            layout,
            listed: vec![],
            stale: false,
            owners: Arc::new(Owners::build::<&str>(layout, &[])),
            ids: vec![],
            weights: vec![],
        }
    }

    /// Notes whom the table is to be of. True if that differs from before.
    pub fn note(&mut self, among: &[EndpointId], endpoints: &Endpoints<'_>) -> bool {
        let weight = |id: &EndpointId| endpoints.get(*id).map_or(0, |endpoint| endpoint.weight);
        let same = among.len() == self.listed.len()
            && among.iter().zip(&self.listed).all(|(id, (listed, was))| id == listed && weight(id) == *was);
        if !same {
            self.listed.clear();
            self.listed.extend(among.iter().map(|id| (*id, weight(id))));
            self.stale = true;
        }
        !same
    }

    /// Brings the table up to what was noted. True if it did anything: places have changed.
    #[inline]
    pub fn refresh(&mut self, endpoints: &Endpoints<'_>) -> bool {
        if self.stale {
            self.look_up(endpoints);
            return true;
        }
        false
    }

    /// The table. Call [`Hold::refresh`] before.
    #[inline]
    pub fn owners(&self) -> &Owners {
        debug_assert!(!self.stale);
        &self.owners
    }

    /// The endpoint at a place of the table's members.
    #[inline]
    pub fn id(&self, place: usize) -> EndpointId {
        self.ids[place]
    }

    /// The first ready owner of the `most` entries from this one on.
    #[inline]
    pub fn first_ready(&self, entry: usize, most: usize, endpoints: &Endpoints<'_>) -> Option<EndpointId> {
        self.owners.walk(entry).take(most).map(|place| self.ids[place]).find(|id| is_ready(*id, endpoints))
    }

    /// The endpoints of the table's members, by place.
    pub fn ids(&self) -> &[EndpointId] {
        &self.ids
    }

    /// The weights of the table's members, by place.
    pub fn weights(&self) -> &[u32] {
        &self.weights
    }

    #[cold]
    fn look_up(&mut self, endpoints: &Endpoints<'_>) {
        self.stale = false;
        // Weight 0 is never picked, unless all weights are 0: then all count alike.
        let all_zero = self.listed.iter().all(|(_, weight)| *weight == 0);
        let effective = |weight: u32| if all_zero { 1 } else { weight };
        let weighted = self.listed.iter().map(|(id, weight)| (*id, effective(*weight)));
        let mut members: Vec<_> = weighted.filter(|(_, weight)| *weight > 0).collect();
        members.sort_by(|(a, _), (b, _)| endpoints.table.name(*a).cmp(endpoints.table.name(*b)).then(a.cmp(b)));
        self.ids = members.iter().map(|(id, _)| *id).collect();
        self.weights = members.iter().map(|(_, weight)| *weight).collect();
        let named = members.iter().map(|(id, weight)| (endpoints.table.name(*id).into(), *weight));
        self.owners = self.shared.table(Key { layout: self.layout, members: named.collect() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::policy::balancer::testing::listing;
    use crate::policy::endpoints::{SuspectRule, Table};

    fn view(listings: impl Iterator<Item = (u32, u32)>) -> Table {
        let mut table = Table::new(SuspectRule::LastResort);
        let change = table.update(listings.map(|(i, weight)| listing(i, weight)).collect());
        table.connect_all(Instant::ZERO, &change.joined);
        table
    }

    fn hold(shared: &Arc<Shared>, table: &Table) -> Hold {
        let mut hold = Hold::new(Layout::PerWeight(10), shared);
        assert!(hold.note(table.view().members, &table.view()) && hold.refresh(&table.view()));
        hold
    }

    #[test]
    fn equal_views_share_a_table_in_any_order_and_it_goes_with_the_last() {
        let shared = Arc::new(Shared::default());
        let (up, down) = (view((0..5).map(|i| (i, 1))), view((0..5).rev().map(|i| (i, 1))));
        let (a, b) = (hold(&shared, &up), hold(&shared, &down));
        assert!(Arc::ptr_eq(&a.owners, &b.owners));
        let other = hold(&shared, &view((0..5).map(|i| (i, 2))));
        assert!(!Arc::ptr_eq(&a.owners, &other.owners), "weights belong to the key");
        drop((a, b, other));
        let _last = hold(&shared, &view((0..4).map(|i| (i, 1))));
        assert_eq!(shared.0.lock().unwrap().len(), 1, "tables that nobody holds are forgotten");
    }

    #[test]
    fn only_a_new_member_or_weight_makes_it_stale() {
        let mut table = view((0..3).map(|i| (i, 1)));
        let mut hold = hold(&Arc::new(Shared::default()), &table);
        assert!(!hold.note(table.view().members, &table.view()) && !hold.refresh(&table.view()));
        table.update((0..3).map(|i| listing(i, 1 + i)).collect());
        assert!(hold.note(table.view().members, &table.view()) && hold.refresh(&table.view()));
        assert_eq!(hold.weights(), [1, 2, 3]);
    }

    #[test]
    fn weight_zero_owns_nothing_unless_all_are_zero() {
        let shared = Arc::new(Shared::default());
        assert_eq!(hold(&shared, &view([(0, 0), (1, 3)].into_iter())).weights(), [3]);
        assert_eq!(hold(&shared, &view([(0, 0), (1, 0)].into_iter())).weights(), [1, 1]);
    }
}
