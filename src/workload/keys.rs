//! Which key a call carries.

use super::spec::Keys;
use crate::base::rand::{Bits, mix};
use crate::base::zipf::Zipf;

/// Draws keys by popularity, and lets popularity move.
#[derive(Debug)]
pub struct KeyLaw {
    count: u64,
    zipf: Option<Zipf>,
    /// This many of the most popular ranks have swapped keys with as many of the least popular, so often.
    moved: Vec<u64>,
}

impl KeyLaw {
    /// Compiles the law.
    pub fn new(keys: &Keys) -> KeyLaw {
        let (count, zipf) = match keys {
            Keys::Uniform(uniform) => (uniform.count.max(1), None),
            Keys::Zipf(zipf) => (zipf.count.max(1), Some(Zipf::new(zipf.count.max(1), zipf.exponent.value()))),
        };
        KeyLaw { count, zipf, moved: Vec::new() }
    }

    /// A key, from 0. One draw.
    #[inline]
    pub fn sample<B: Bits>(&self, bits: &mut B) -> u64 {
        let rank = match &self.zipf {
            Some(zipf) => zipf.sample(bits) - 1,
            None => bits.below(self.count),
        };
        self.key_of(rank)
    }

    fn key_of(&self, rank: u64) -> u64 {
        self.moved.iter().enumerate().rev().fold(rank, |at, (nth, top)| {
            // The n-th move swaps with its own stretch at the cold end, so that each move brings new hot keys.
            let cold = self.count - top * (nth as u64 + 1);
            if at < *top {
                cold + at
            } else if (cold..cold + top).contains(&at) {
                at - cold
            } else {
                at
            }
        })
    }

    /// The `top` most popular keys swap their popularity with as many unpopular ones. Moves beyond what the
    /// number of keys allows do nothing.
    pub fn move_hot(&mut self, top: u64) {
        if top > 0 && top.saturating_mul(self.moved.len() as u64 + 2) <= self.count {
            self.moved.push(top);
        }
    }
}

/// The hash of a key, as clients compute it.
#[inline]
pub fn hash_of(key: u64) -> u64 {
    mix(key ^ 0x706c_696d_736f_6c6c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::spec::UniformKeys;

    #[test]
    fn moving_swaps_and_keeps_every_key() {
        let mut law = KeyLaw::new(&Keys::Uniform(UniformKeys { count: 10 }));
        law.move_hot(2);
        let keys: Vec<u64> = (0..10).map(|rank| law.key_of(rank)).collect();
        assert_eq!(keys, [8, 9, 2, 3, 4, 5, 6, 7, 0, 1]);
        law.move_hot(2);
        let mut keys: Vec<u64> = (0..10).map(|rank| law.key_of(rank)).collect();
        assert_ne!(keys[..2], [8, 9], "the second move brings other keys");
        keys.sort_unstable();
        assert_eq!(keys, (0..10).collect::<Vec<_>>(), "no key is lost");
    }
}
