//! Dense storage for what a client keeps about each endpoint. Membership changes leave everyone else's state where
//! it is, and an id from before a change finds nothing instead of somebody else's state.

use crate::base::id::EndpointId;

/// One `T` for each endpoint that has one, found by slot and checked by generation.
#[derive(Debug, Clone)]
pub struct Slots<T> {
    entries: Vec<Option<Entry<T>>>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    generation: u32,
    value: T,
}

impl<T> Slots<T> {
    /// Empty, without memory.
    pub const fn new() -> Self {
        Slots { entries: Vec::new(), len: 0 }
    }

    /// How many endpoints have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if no endpoint has a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of this endpoint; `None` for one that is unknown or of another generation.
    #[inline]
    pub fn get(&self, id: EndpointId) -> Option<&T> {
        let entry = self.entries.get(id.slot())?.as_ref()?;
        (entry.generation == id.generation()).then_some(&entry.value)
    }

    /// The value of this endpoint, to change.
    #[inline]
    pub fn get_mut(&mut self, id: EndpointId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot())?.as_mut()?;
        (entry.generation == id.generation()).then_some(&mut entry.value)
    }

    /// Gives this endpoint a value and returns what it displaces: its own earlier value, or that of an earlier
    /// generation in the same slot. A later generation is not displaced; then `value` itself comes back.
    pub fn insert(&mut self, id: EndpointId, value: T) -> Option<T> {
        if id.slot() >= self.entries.len() {
            self.entries.resize_with(id.slot() + 1, || None);
        }
        let place = &mut self.entries[id.slot()];
        if place.as_ref().is_some_and(|entry| entry.generation > id.generation()) {
            return Some(value);
        }
        let displaced = place.replace(Entry { generation: id.generation(), value });
        self.len += usize::from(displaced.is_none());
        displaced.map(|entry| entry.value)
    }

    /// Takes the value of this endpoint out.
    pub fn remove(&mut self, id: EndpointId) -> Option<T> {
        self.get(id)?;
        self.len -= 1;
        self.entries[id.slot()].take().map(|entry| entry.value)
    }

    /// Keeps the endpoints that `keep` says yes to, asked in slot order.
    pub fn retain(&mut self, mut keep: impl FnMut(EndpointId) -> bool) {
        for (slot, place) in self.entries.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|entry| !keep(id(slot, entry.generation))) {
                *place = None;
                self.len -= 1;
            }
        }
    }

    /// Forgets all endpoints and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.len = 0;
    }

    /// All endpoints and their values, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, &T)> {
        let entries = self.entries.iter().enumerate();
        entries.filter_map(|(slot, place)| place.as_ref().map(|entry| (id(slot, entry.generation), &entry.value)))
    }

    /// All endpoints and their values to change, in slot order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (EndpointId, &mut T)> {
        let entries = self.entries.iter_mut().enumerate();
        entries.filter_map(|(slot, place)| place.as_mut().map(|entry| (id(slot, entry.generation), &mut entry.value)))
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots::new()
    }
}

fn id(slot: usize, generation: u32) -> EndpointId {
    // Slots come from ids, so they fit.
    EndpointId::new(slot as u32, generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: EndpointId = EndpointId::new(3, 0);
    const A_AGAIN: EndpointId = EndpointId::new(3, 1);
    const B: EndpointId = EndpointId::new(0, 7);

    fn all<'s>(slots: &Slots<&'s str>) -> Vec<(EndpointId, &'s str)> {
        slots.iter().map(|(id, value)| (id, *value)).collect()
    }

    #[test]
    fn an_older_id_finds_nothing() {
        let mut slots = Slots::new();
        assert_eq!(slots.get(A), None);
        assert_eq!(slots.remove(A), None);
        assert_eq!(slots.insert(A, "a"), None);
        assert_eq!(slots.insert(A_AGAIN, "again"), Some("a"));
        assert_eq!(slots.get(A), None);
        assert_eq!(slots.get_mut(A), None);
        assert_eq!(slots.remove(A), None);
        assert_eq!((slots.get(A_AGAIN), slots.len()), (Some(&"again"), 1));
        assert_eq!(slots.insert(A, "late"), Some("late"), "a late insertion displaces nobody");
        assert_eq!(slots.insert(A_AGAIN, "changed"), Some("again"));
        assert_eq!(slots.remove(A_AGAIN), Some("changed"));
        assert!(slots.is_empty());
    }

    #[test]
    fn membership_changes_leave_the_others_alone() {
        let mut slots = Slots::new();
        slots.insert(A, "a");
        slots.insert(B, "b");
        assert_eq!(all(&slots), [(B, "b"), (A, "a")], "in slot order");
        slots.iter_mut().for_each(|(_, value)| *value = "changed");
        let mut asked = Vec::new();
        slots.retain(|id| {
            asked.push(id);
            id == A
        });
        assert_eq!(asked, [B, A]);
        assert_eq!((all(&slots), slots.len()), (vec![(A, "changed")], 1));
        slots.clear();
        assert!(slots.is_empty() && slots.get(A).is_none() && all(&slots).is_empty());
    }
}
