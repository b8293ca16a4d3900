//! A set of the most recently used keys, as a cache of one backend holds it. All memory is taken at the start, and
//! the hash function is fixed: what is evicted depends on the touches alone.

use crate::base::rand::mix;

/// At most `capacity` keys; touching one more evicts the least recently used.
#[derive(Debug, Clone)]
pub struct Lru {
    capacity: usize,
    /// Open addressing with linear probing: a node's number plus one, or 0. At most half full.
    table: Box<[u32]>,
    nodes: Vec<Node>,
    /// The most and the least recently used node, if there is one.
    newest: u32,
    oldest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    key: u64,
    newer: u32,
    older: u32,
}

impl Lru {
    /// An empty set. Takes 24 to 32 bytes for each key of `capacity`, now; nothing later.
    pub fn new(capacity: usize) -> Lru {
        let capacity = capacity.min(NONE as usize - 1);
        let places = (2 * capacity).next_power_of_two().max(2);
        Lru {
            capacity,
            table: vec![0; places].into_boxed_slice(),
            nodes: Vec::with_capacity(capacity),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if it holds no key.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Uses a key: true if the set held it. Afterwards it does (unless the capacity is 0), as its newest.
    pub fn touch(&mut self, key: u64) -> bool {
        if self.capacity == 0 {
            return false;
        }
        let mut place = self.home(key);
        while let Some(node) = self.node_at(place) {
            if self.nodes[node as usize].key == key {
                self.unlink(node);
                self.link_newest(node);
                return true;
            }
            place = self.after(place);
        }
        let node = if self.nodes.len() < self.capacity {
            self.nodes.push(Node { key, newer: NONE, older: NONE });
            self.nodes.len() as u32 - 1
        } else {
            self.evict()
        };
        self.nodes[node as usize].key = key;
        self.link_newest(node);
        self.put(node);
        false
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.table.fill(0);
        self.nodes.clear();
        (self.newest, self.oldest) = (NONE, NONE);
    }

    /// Takes the oldest node out of the list and the table, for another key.
    fn evict(&mut self) -> u32 {
        let node = self.oldest;
        self.unlink(node);
        let mut hole = self.home(self.nodes[node as usize].key);
        while self.node_at(hole) != Some(node) {
            hole = self.after(hole);
        }
        // Close the hole: whoever probed past it on the way from home moves back, so no marks are left behind.
        let mut place = self.after(hole);
        while let Some(next) = self.node_at(place) {
            let home = self.home(self.nodes[next as usize].key);
            if self.distance(home, place) >= self.distance(hole, place) {
                self.table[hole] = self.table[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.table[hole] = 0;
        node
    }

    fn put(&mut self, node: u32) {
        let mut place = self.home(self.nodes[node as usize].key);
        while self.node_at(place).is_some() {
            place = self.after(place);
        }
        self.table[place] = node + 1;
    }

    fn unlink(&mut self, node: u32) {
        let Node { newer, older, .. } = self.nodes[node as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(neighbour) => neighbour.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(neighbour) => neighbour.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, node: u32) {
        let older = self.newest;
        match self.nodes.get_mut(older as usize) {
            Some(neighbour) => neighbour.newer = node,
            None => self.oldest = node,
        }
        self.nodes[node as usize].newer = NONE;
        self.nodes[node as usize].older = older;
        self.newest = node;
    }

    fn home(&self, key: u64) -> usize {
        mix(key) as usize & (self.table.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.table.len() - 1)
    }

    /// Steps from one place to another, forwards.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.table.len() - 1)
    }

    fn node_at(&self, place: usize) -> Option<u32> {
        self.table[place].checked_sub(1)
    }
}

/// No node: beyond every index.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut lru = Lru::new(2);
        assert!(!lru.touch(1) && !lru.touch(2));
        assert!(lru.touch(1), "1 is newer than 2 now");
        assert!(!lru.touch(3), "2 goes");
        assert!(lru.touch(1) && !lru.touch(2), "1 stayed and 2 went; now 3 goes");
        assert!(!lru.touch(3));
        lru.clear();
        assert!(lru.is_empty() && !lru.touch(3) && lru.touch(3));
    }

    #[test]
    fn without_room_nothing_hits() {
        let mut lru = Lru::new(0);
        assert!(!lru.touch(1) && !lru.touch(1) && lru.is_empty());
    }

    #[test]
    fn a_full_set_never_allocates() {
        let mut lru = Lru::new(100);
        let before = (lru.nodes.capacity(), lru.nodes.as_ptr());
        assert!((0..10_000).all(|key| !lru.touch(key % 300)));
        assert_eq!((lru.nodes.capacity(), lru.nodes.as_ptr(), lru.len()), (before.0, before.1, 100));
    }

    /// What an operation does: `None` clears.
    fn operations() -> impl Strategy<Value = Vec<Option<u64>>> {
        let key = prop_oneof![400 => (0u64..60).prop_map(Some), 1 => Just(None)];
        prop::collection::vec(key, 0..600)
    }

    proptest! {
        #[test]
        fn as_the_naive_list(capacity in 0usize..40, operations in operations()) {
            let mut lru = Lru::new(capacity);
            let mut naive: Vec<u64> = Vec::new();
            for operation in operations {
                match operation {
                    None => {
                        lru.clear();
                        naive.clear();
                    }
                    Some(key) => {
                        let hit = naive.contains(&key);
                        naive.retain(|&held| held != key);
                        naive.push(key);
                        if naive.len() > capacity {
                            naive.remove(0);
                        }
                        prop_assert_eq!(lru.touch(key), hit);
                    }
                }
                prop_assert_eq!(lru.len(), naive.len());
            }
            let occupied = lru.table.iter().filter(|&&place| place != 0).count();
            prop_assert_eq!(occupied, naive.len());
        }
    }
}
