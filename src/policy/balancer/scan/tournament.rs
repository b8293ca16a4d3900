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
    keys: Vec<K>,
    /// A binary tree: the root at 1, the children of `i` at `2i` and `2i + 1`, entry `i` at `size + i`.
    nodes: Vec<Node>,
    size: usize,
}

/// The first of the lowest below a node, and how many are as low. Nobody: `ties` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Node {
    winner: u32,
    ties: u32,
}

impl<K: Key> Tournament<K> {
    /// A tree over these entries.
    pub fn new(keys: Vec<K>) -> Self {
        let size = keys.len().next_power_of_two();
        let mut nodes = vec![Node::default(); 2 * size];
        for entry in 0..keys.len() {
            nodes[size + entry] = Node { winner: entry as u32, ties: 1 };
        }
        let mut tournament = Tournament { keys, nodes, size };
        for node in (1..size).rev() {
            tournament.nodes[node] = tournament.play(node);
        }
        tournament
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of an entry.
    pub fn key(&self, entry: usize) -> &K {
        &self.keys[entry]
    }

    /// Changes the key of an entry.
    pub fn set(&mut self, entry: usize, key: K) {
        self.keys[entry] = key;
        let mut node = (self.size + entry) / 2;
        while node > 0 {
            let played = self.play(node);
            // Above here the same winner meets the same others, unless it is the one whose key changed.
            if played == self.nodes[node] && played.winner as usize != entry {
                return;
            }
            self.nodes[node] = played;
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
        let lowest = &self.keys[self.first()];
        let mut node = 1;
        while node < self.size {
            let left = self.nodes[2 * node];
            let as_low = left.ties > 0 && !lowest.below(&self.keys[left.winner as usize]);
            let on_the_left = if as_low { left.ties } else { 0 };
            node = if k < on_the_left {
                2 * node
            } else {
                k -= on_the_left;
                2 * node + 1
            };
        }
        node - self.size
    }

    fn play(&self, node: usize) -> Node {
        let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
        if right.ties == 0 {
            return left;
        }
        if left.ties == 0 {
            return right;
        }
        let (a, b) = (&self.keys[left.winner as usize], &self.keys[right.winner as usize]);
        if b.below(a) {
            right
        } else if a.below(b) {
            left
        } else {
            Node { winner: left.winner, ties: left.ties + right.ties }
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
            let mut tournament = Tournament::new(keys.clone());
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
