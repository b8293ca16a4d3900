//! Who has the lowest key, and how many tie with it: a knock-out tree over a fixed number of entries.
//!
//! The winner is known at once; a key that changes is played again on the way to the root, O(log n).

/// What the tree compares. Ties are allowed.
pub trait Key {
    /// True if `self` is strictly below `other`.
    fn below(&self, other: &Self) -> bool;
}

/// Entries `0..n`, each with a key.
#[derive(Debug)]
pub struct Tournament<K> {
    /// A binary tree: the root at 1, the children of `i` side by side at `2i` and `2i + 1`, entry `i` at `size + i`.
    nodes: Vec<Node<K>>,
    size: usize,
    len: usize,
}

/// The first of the lowest below a node, its key, and how many are as low. Nobody: `ties` is 0.
#[derive(Debug, Clone, Copy, Default)]
struct Node<K> {
    key: K,
    winner: u32,
    ties: u32,
}

impl<K: Key + Copy + Default> Tournament<K> {
    /// A tree over these entries.
    pub fn new(keys: &[K]) -> Self {
        let size = keys.len().next_power_of_two();
        let mut nodes = vec![Node::default(); 2 * size];
        for (entry, key) in keys.iter().enumerate() {
            nodes[size + entry] = Node { key: *key, winner: entry as u32, ties: 1 };
        }
        let mut tournament = Tournament { nodes, size, len: keys.len() };
        for node in (1..size).rev() {
            tournament.nodes[node] = tournament.play(node);
        }
        tournament
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The key of an entry.
    pub fn key(&self, entry: usize) -> &K {
        &self.nodes[self.size + entry].key
    }

    /// Changes the key of an entry.
    pub fn set(&mut self, entry: usize, key: K) {
        let mut node = self.size + entry;
        self.nodes[node].key = key;
        node /= 2;
        while node > 0 {
            let played = self.play(node);
            let before = std::mem::replace(&mut self.nodes[node], played);
            // Above here the same winner meets the same others, unless it is the one whose key changed.
            let unchanged = (played.winner, played.ties) == (before.winner, before.ties);
            if unchanged && played.winner as usize != entry {
                return;
            }
            node /= 2;
        }
    }

    /// The first of the entries with the lowest key. There must be one.
    #[inline]
    pub fn first(&self) -> usize {
        self.nodes[1].winner as usize
    }

    /// How many entries have the lowest key.
    #[inline]
    pub fn ties(&self) -> u32 {
        self.nodes[1].ties
    }

    /// The `k`-th of them, from 0, in order of entries.
    pub fn tied(&self, mut k: u32) -> usize {
        debug_assert!(k < self.ties());
        let lowest = self.nodes[1].key;
        let mut node = 1;
        while node < self.size {
            let left = &self.nodes[2 * node];
            let on_the_left = if left.ties > 0 && !lowest.below(&left.key) { left.ties } else { 0 };
            let go_left = k < on_the_left;
            k -= if go_left { 0 } else { on_the_left };
            node = 2 * node + usize::from(!go_left);
        }
        node - self.size
    }

    #[inline]
    fn play(&self, node: usize) -> Node<K> {
        let (left, right) = (&self.nodes[2 * node], &self.nodes[2 * node + 1]);
        if right.ties == 0 || (left.ties > 0 && left.key.below(&right.key)) {
            *left
        } else if left.ties == 0 || right.key.below(&left.key) {
            *right
        } else {
            Node { ties: left.ties + right.ties, ..*left }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    impl Key for u64 {
        fn below(&self, other: &Self) -> bool {
            self < other
        }
    }

    #[test]
    fn agrees_with_a_scan() {
        let mut rand = Seed::new(1).stream("tournament");
        for n in [1, 2, 3, 8, 13] {
            let mut keys: Vec<u64> = (0..n).map(|_| rand.below(4)).collect();
            let mut tournament = Tournament::new(&keys);
            for _ in 0..2_000 {
                let lowest = keys.iter().min().copied().unwrap();
                let scan: Vec<usize> = (0..keys.len()).filter(|entry| keys[*entry] == lowest).collect();
                let tied: Vec<usize> = (0..tournament.ties()).map(|k| tournament.tied(k)).collect();
                assert_eq!((tied, tournament.first()), (scan.clone(), scan[0]), "{keys:?}");
                let entry = rand.below(n) as usize;
                keys[entry] = rand.below(4);
                tournament.set(entry, keys[entry]);
            }
        }
    }
}
