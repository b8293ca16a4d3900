//! Whether the shares of backends swing to and fro: the first peak of their autocorrelation.
//!
//! A crowd that runs from one backend to the next whenever it hears anew is even in the long run and uneven at every
//! moment, like chance. What tells them apart is that its swings come back in step. Shares of the attempts in short bins
//! are correlated with themselves so many bins later, all backends together. Where shares merely scatter nothing comes
//! back; a slow drift is correlated at once and never again; a swing goes to the opposite and returns, and the lag at
//! which it does is its period.

/// What is found in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Oscillation {
    /// The highest autocorrelation after it first fell to nothing, 0 to 1; 0 where it never does, or never returns.
    pub height: f64,
    /// The lag of that peak in bins; `None` where the peak is too low to mean anything.
    pub period: Option<usize>,
}

/// A peak below this may be chance.
const LEAST: f64 = 0.2;
/// Fewer bins than this say nothing.
const FEWEST_BINS: usize = 20;
/// The longest lag that is looked at, in bins.
const LONGEST: usize = 100;

/// The oscillation of the attempts `counts[bin * backends + backend]` of some backends, where `totals[bin]` were sent to
/// the whole fleet. `None` where there is too little to judge by.
pub fn oscillation(counts: &[u32], totals: &[u64]) -> Option<Oscillation> {
    let bins = totals.len();
    let backends = counts.len() / bins.max(1);
    if bins < FEWEST_BINS || backends < 2 || totals.iter().all(|total| *total == 0) {
        return None;
    }
    let off = deviations(counts, totals, backends);
    let whole = product(&off, bins, 0);
    if whole <= 0.0 {
        return Some(Oscillation { height: 0.0, period: None });
    }
    let lags = 1..=LONGEST.min(bins / 2);
    let after = lags.map(|lag| (lag, product(&off, bins, lag) / whole)).skip_while(|(_, r)| *r > 0.0);
    let peak = after.fold((0, 0.0), |best: (usize, f64), found| if found.1 > best.1 { found } else { best });
    Some(Oscillation { height: peak.1, period: (peak.1 >= LEAST).then_some(peak.0) })
}

/// How far each backend's share of a bin is from its mean share, backend by backend. Bins without attempts are at it.
fn deviations(counts: &[u32], totals: &[u64], backends: usize) -> Vec<f64> {
    let full = totals.iter().filter(|total| **total > 0).count() as f64;
    let mut off = Vec::with_capacity(counts.len());
    for backend in 0..backends {
        let share = |(bin, total): (usize, &u64)| {
            (*total > 0).then(|| f64::from(counts[bin * backends + backend]) / *total as f64)
        };
        let mean = totals.iter().enumerate().filter_map(share).sum::<f64>() / full;
        off.extend(totals.iter().enumerate().map(|bin| share(bin).map_or(0.0, |share| share - mean)));
    }
    off
}

/// The sum of the products of all deviations with those `lag` bins later: fewer of them the longer the lag, so that of
/// peaks that are alike the first is the highest.
fn product(off: &[f64], bins: usize, lag: usize) -> f64 {
    off.chunks(bins).map(|own| dot(&own[..bins - lag], &own[lag..])).sum()
}

/// Four sums side by side, which the processor can work on at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    /// The oscillation of all of these backends.
    fn of(counts: &[u32], backends: usize) -> Option<Oscillation> {
        let total = |bin: &[u32]| bin.iter().copied().map(u64::from).sum();
        oscillation(counts, &counts.chunks(backends).map(total).collect::<Vec<u64>>())
    }

    /// Counts of 10 backends over 600 bins.
    fn fleet(count: impl FnMut(usize) -> u32) -> Oscillation {
        of(&(0..6_000).map(count).collect::<Vec<u32>>(), 10).unwrap()
    }

    #[test]
    fn a_herd_that_moves_on_every_tenth_bin_returns_in_step() {
        let herd = fleet(|i| if (i / 10 / 10) % 10 == i % 10 { 200 } else { 0 });
        assert_eq!(herd.period, Some(100), "ten backends in turn, ten bins each");
        assert!((herd.height - 500.0 / 600.0).abs() < 0.01, "{herd:?}");
        // Two halves of the fleet by turns: a sawtooth with a period of 12 bins.
        let sawtooth = fleet(|i| 5 + if (i % 10 < 5) == (i / 10 % 12 < 6) { 30 } else { 0 });
        assert_eq!(sawtooth.period, Some(12));
        assert!(sawtooth.height > 0.95, "{sawtooth:?}");
        let mut rand = Seed::new(1).stream("noise");
        let noisy = fleet(|i| rand.below(30) as u32 + if (i % 10 < 5) == (i / 10 % 12 < 6) { 30 } else { 0 });
        assert_eq!(noisy.period, Some(12));
        assert!((0.5..0.9).contains(&noisy.height), "{noisy:?}");
    }

    #[test]
    fn some_backends_tell_of_a_swing_of_all_and_more_calls_for_all_are_none() {
        // Two of a fleet in which everybody gets ten times as much every other second bin.
        let totals: Vec<u64> = (0..600).map(|bin| if bin % 4 < 2 { 1_000 } else { 10_000 }).collect();
        let surge: Vec<u32> = totals.iter().flat_map(|total| [*total as u32 / 10; 2]).collect();
        assert_eq!(oscillation(&surge, &totals), Some(Oscillation { height: 0.0, period: None }));
        let swing: Vec<u32> = (0..600).flat_map(|bin| [100 + 50 * (bin / 3 % 2), 100]).collect();
        assert_eq!(oscillation(&swing, &[1_000; 600]).unwrap().period, Some(6));
    }

    #[test]
    fn what_scatters_drifts_or_stands_does_not_swing() {
        let mut rand = Seed::new(2).stream("noise");
        let chance = fleet(|_| rand.below(40) as u32);
        assert!(chance.height < 0.06 && chance.period.is_none(), "{chance:?}");
        let drift = fleet(|i| if i % 10 == 0 { (i / 10) as u32 } else { 100 });
        assert!(drift.height < 0.06 && drift.period.is_none(), "{drift:?}");
        assert_eq!(fleet(|_| 7), Oscillation { height: 0.0, period: None });
    }

    #[test]
    fn too_little_is_no_answer() {
        assert_eq!(of(&[1; 38], 2), None, "19 bins");
        assert_eq!(of(&[0; 400], 2), None, "nothing was sent");
        assert_eq!(of(&[3; 400], 1), None, "one backend has it all");
        assert_eq!(oscillation(&[], &[]), None);
    }
}
