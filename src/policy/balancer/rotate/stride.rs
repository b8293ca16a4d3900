//! Static stride: weighted turns without a queue, by skipping places of a plain rotation in a fixed pattern.
//!
//! The schedule behind `wrr_static_stride`, for any weights (gRFC A58, "weighted round robin by static stride").

/// A schedule over entries `0..n`.
#[derive(Debug)]
pub struct Stride {
    /// Scaled to [`MAX`]; empty when plain turns do.
    scaled: Vec<u64>,
    n: usize,
    /// A place in the endless rotation.
    sequence: u32,
}

impl Stride {
    /// A schedule that begins at this place. A weight of 0 or less, or a NaN, counts as unknown and gets the mean.
    pub fn new(weights: &[f64], sequence: u32) -> Stride {
        let known = || weights.iter().copied().filter(|weight| *weight > 0.0);
        let count = known().count();
        let largest = known().fold(0.0, f64::max);
        let scale = MAX as f64 / largest;
        let mean = known().sum::<f64>() / count as f64;
        let scaled = |weight: &f64| round(scale * if *weight > 0.0 { *weight } else { mean });
        let scaled: Vec<u64> = if count < 2 { vec![] } else { weights.iter().map(scaled).collect() };
        // A58 steps 2 and 3: with fewer than two weights known, or all alike, it is round robin.
        let equal = scaled.windows(2).all(|pair| pair[0] == pair[1]);
        Stride { scaled: if equal { vec![] } else { scaled }, n: weights.len(), sequence }
    }

    /// The place in the endless rotation that the next pick begins at: the next schedule goes on from it.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// The entry whose turn it is. There must be one.
    pub fn pick(&mut self) -> usize {
        let n = self.n as u64;
        loop {
            let sequence = u64::from(self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
            let (generation, entry) = (sequence / n, sequence % n);
            let Some(weight) = self.scaled.get(entry as usize) else { return entry as usize };
            // The heaviest is accepted in every generation, the others in proportion; an offset of half the range
            // for each entry keeps entries of one weight out of step.
            if (weight * generation + entry * OFFSET) % MAX >= MAX - weight {
                return entry as usize;
            }
        }
    }
}

fn round(x: f64) -> u64 {
    (x + 0.5).floor() as u64
}

/// The heaviest weight, scaled: 2^16 - 1.
const MAX: u64 = 65_535;
const OFFSET: u64 = MAX / 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[f64], n: usize) -> String {
        let mut stride = Stride::new(weights, 0);
        (0..n).map(|_| char::from(b'A' + stride.pick() as u8)).collect()
    }

    #[test]
    fn known_sequences() {
        for (weights, expected) in [
            (&[1.0, 2.0, 3.0][..], "BCCABCBCCABC"),
            (&[5.0, 1.0, 1.0], "ACAABAAACAAB"),
            (&[100.0, 50.0, 0.0], "ABCACABCAABC"),
            (&[10.0, 10.0, 20.0], "BCACBCAC"),
        ] {
            assert_eq!(picks(weights, expected.len()), expected, "{weights:?}");
        }
        assert_eq!(Stride::new(&[1.0, 2.0, 3.0], 0).scaled, [21_845, 43_690, 65_535]);
        assert_eq!(Stride::new(&[5.0, 1.0, 1.0], 0).scaled, [65_535, 13_107, 13_107]);
        assert_eq!(Stride::new(&[100.0, 50.0, 0.0], 0).scaled, [65_535, 32_768, 49_151]);
    }

    #[test]
    fn nine_numbers_make_six_picks_and_shares_are_exact() {
        let mut stride = Stride::new(&[1.0, 2.0, 3.0], 0);
        let mut counts = [0; 3];
        for n in 1..=6_000 {
            counts[stride.pick()] += 1;
            if n % 6 == 0 {
                assert_eq!(stride.sequence(), n / 6 * 9);
            }
        }
        assert_eq!(counts, [1_000, 2_000, 3_000]);
    }

    #[test]
    fn every_entry_is_accepted_as_often_as_its_weight_in_all_generations() {
        let mut stride = Stride::new(&[7.0, 0.3, 2.0], 0);
        let (scaled, mut counts) = (stride.scaled.clone(), [0; 3]);
        let mut entry = stride.pick();
        while stride.sequence() <= 3 * MAX as u32 {
            counts[entry] += 1;
            entry = stride.pick();
        }
        assert_eq!(counts.to_vec(), scaled);
    }

    #[test]
    fn with_one_weight_or_alike_ones_it_is_plain_turns() {
        assert_eq!(picks(&[0.0, 3.0, 0.0], 4), "ABCA");
        assert_eq!(picks(&[2.0, 2.0, f64::NAN], 4), "ABCA");
        assert_eq!(picks(&[-1.0, 0.0], 3), "ABA");
    }
}
