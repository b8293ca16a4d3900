//! Histograms of durations: a fine one for a whole run, a coarse and cheap one for each window of a series.
//!
//! Both answer "the `ceil(q n)`-th smallest" by bucket and keep count, sum and extremes exactly beside. Neither
//! loses a value: what lies above the range is counted in the last bucket, and said so.

use hdrhistogram::serialization::{Serializer, V2Serializer};

use crate::base::quantity::Ratio;
use crate::base::time::Duration;

/// The rank of the quantile `q` among `n` values: the `ceil(q n)`-th smallest, from 1; 0 if there are no values.
/// The product is exact for a `q` of up to 12 decimals: 7 % of 100 is the 7th, not the 8th.
///
/// # Panics
/// When `q` is not in `[0, 1]`.
pub fn rank(q: f64, n: u64) -> u64 {
    let (parts, whole) = (u128::from(Ratio::of(q).parts()), u128::from(Ratio::ONE.parts()));
    // At most n, so it fits; and at least the first, if there is one.
    ((parts * u128::from(n)).div_ceil(whole) as u64).max(n.min(1))
}

/// A histogram of durations with buckets at most 2^-14 as wide as the values in them, up to 146 years. Its buckets are
/// those of HdrHistogram with four significant digits, the fewest that keep below 2^-11: three give 2^-10.
///
/// The counters are our own: every simulated call makes one go up, and half the memory at a third of the crate's
/// instructions shows. Values up to [`Histogram::ROOM`] never allocate; the first one above makes the table grow.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u32>,
    /// Buckets whose counter went round, once for each time.
    carries: Vec<u32>,
    count: u64,
    sum_ns: u128,
    min: Duration,
    max: Duration,
    clamped: u64,
}

/// As a power of two, how many buckets there are for each power of two.
const FINE: u32 = 14;

impl Histogram {
    /// No bucket is wider than this share of the values in it (width 1 ns excepted).
    pub const RELATIVE_WIDTH: f64 = 1.0 / (1 << FINE) as f64;
    /// The longest that fits without allocating: 2^34 - 1 ns, 17 seconds.
    pub const ROOM: Duration = Duration::from_nanos((1 << 34) - 1);

    /// An empty histogram, 1.4 MB. Make it once and [`reset`](Self::reset) it: that and a quantile cost 0.2 ms.
    pub fn new() -> Self {
        let counts = vec![0; bucket::<FINE>(Self::ROOM.as_nanos()) + 1];
        let (min, max) = (Duration::MAX, Duration::ZERO);
        Histogram { counts, carries: Vec::new(), count: 0, sum_ns: 0, min, max, clamped: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: Duration) {
        let ns = value.as_nanos();
        match self.counts.get_mut(bucket::<FINE>(ns)) {
            Some(counter) if *counter < u32::MAX => *counter += 1,
            _ => self.record_rare(ns),
        }
        self.count += 1;
        self.sum_ns += u128::from(ns);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Counts one value where there is no counter yet, or it is full.
    #[cold]
    fn record_rare(&mut self, ns: u64) {
        self.clamped += u64::from(ns > LAST_NS);
        self.add(bucket::<FINE>(ns.min(LAST_NS)), 1);
    }

    fn add(&mut self, index: usize, count: u32) {
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        let (sum, goes_round) = self.counts[index].overflowing_add(count);
        self.counts[index] = sum;
        if goes_round {
            self.carries.push(index as u32);
        }
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their exact sum in nanoseconds.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// How many of them lay above 146 years (2^62 ns) and share the last bucket.
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The smallest value, exact.
    pub fn min(&self) -> Option<Duration> {
        (self.count() > 0).then_some(self.min)
    }

    /// The largest value, exact.
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then_some(self.max)
    }

    /// The mean to the nearest nanosecond, from the exact sum.
    pub fn mean(&self) -> Option<Duration> {
        let count = u128::from(self.count());
        // A mean is no larger than the largest value, so it fits.
        (self.sum_ns + count / 2).checked_div(count).map(|ns| Duration::from_nanos(ns as u64))
    }

    /// The `ceil(q n)`-th smallest value: the upper end of its bucket, and never beyond the extremes.
    ///
    /// # Panics
    /// When `q` is not in `[0, 1]`.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.quantiles(&[q]).pop()
    }

    /// The same for several `q`, in rising order: one walk over the buckets. Empty if there are no values.
    ///
    /// # Panics
    /// When a `q` is not in `[0, 1]`.
    pub fn quantiles(&self, qs: &[f64]) -> Vec<Duration> {
        debug_assert!(qs.is_sorted(), "one walk needs them in rising order");
        let mut buckets = self.used();
        let (mut seen, mut upper) = (0, 0);
        let mut at = |q: &f64| {
            let rank = rank(*q, self.count());
            while seen < rank || seen == 0 {
                let (index, count) = buckets.next()?;
                seen += count;
                upper = upper_end::<FINE>(index);
            }
            // The last bucket also holds what was clamped.
            let upper = if upper >= LAST_NS { self.max } else { Duration::from_nanos(upper) };
            Some(upper.clamp(self.min, self.max))
        };
        qs.iter().map_while(&mut at).collect()
    }

    /// Buckets in use, from the lowest, each with its count.
    fn used(&self) -> impl Iterator<Item = (usize, u64)> {
        let whole = |(index, low): (usize, &u32)| {
            let rounds = self.carries.iter().filter(|carry| **carry as usize == index).count() as u64;
            (index, u64::from(*low) + (rounds << 32))
        };
        self.counts.iter().enumerate().map(whole).filter(|(_, count)| *count > 0)
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Histogram) {
        for (index, count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.add(index, *count);
        }
        self.carries.extend(&other.carries);
        self.count += other.count;
        self.sum_ns += other.sum_ns;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.clamped += other.clamped;
    }

    /// Forgets all values and keeps the memory.
    pub fn reset(&mut self) {
        self.counts.fill(0);
        self.carries.clear();
        (self.count, self.sum_ns, self.min, self.max, self.clamped) = (0, 0, Duration::MAX, Duration::ZERO, 0);
    }

    /// The buckets in the V2 format of HdrHistogram (without compression), which other tools read.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail, and no count comes near 2^63.
        V2Serializer::new().serialize(&self.to_hdr(), &mut bytes).expect("a histogram fits in memory twice");
        bytes
    }

    fn to_hdr(&self) -> hdrhistogram::Histogram<u64> {
        let mut hdr = hdrhistogram::Histogram::new_with_bounds(1, Self::ROOM.as_nanos(), 4)
            .expect("the bounds are constants within the crate's limits");
        hdr.auto(true);
        for (index, count) in self.used() {
            hdr.record_n(upper_end::<FINE>(index).min(LAST_NS), count)
                .expect("the table grows as far as the last bucket");
        }
        hdr
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

/// A coarse histogram of durations for one window of a series: buckets at most 1/128 as wide as the values in them
/// (below 256 ns: exact), cleared at the cost of the buckets that were used.
#[derive(Debug, Clone)]
pub struct WindowHistogram {
    counts: Box<[u32]>,
    /// The buckets in use lie in `low..=high`.
    low: usize,
    high: usize,
    count: u64,
    max: Duration,
}

/// The same for a window.
const COARSE: u32 = 7;

impl WindowHistogram {
    /// An empty histogram, 29 KB.
    pub fn new() -> Self {
        let counts = vec![0; bucket::<COARSE>(LAST_NS) + 1].into_boxed_slice();
        WindowHistogram { low: counts.len(), high: 0, counts, count: 0, max: Duration::ZERO }
    }

    /// Counts one value. A bucket holds up to 2^32 - 1 of them: more in one window take a quantile to the largest value.
    #[inline]
    pub fn record(&mut self, value: Duration) {
        let index = bucket::<COARSE>(value.as_nanos().min(LAST_NS));
        self.counts[index] = self.counts[index].saturating_add(1);
        self.count += 1;
        self.low = self.low.min(index);
        self.high = self.high.max(index);
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exact.
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then_some(self.max)
    }

    /// The `ceil(q n)`-th smallest value: the upper end of its bucket, and never above the largest.
    ///
    /// # Panics
    /// When `q` is not in `[0, 1]`.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let mut left = rank(q, self.count);
        if left == 0 {
            return None;
        }
        for index in self.low..self.high {
            let here = u64::from(self.counts[index]);
            if left <= here {
                return Some(Duration::from_nanos(upper_end::<COARSE>(index)));
            }
            left -= here;
        }
        // The last bucket ends at the largest value.
        Some(self.max)
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        if self.count > 0 {
            self.counts[self.low..=self.high].fill(0);
        }
        (self.low, self.high, self.count, self.max) = (self.counts.len(), 0, 0, Duration::ZERO);
    }
}

impl Default for WindowHistogram {
    fn default() -> Self {
        WindowHistogram::new()
    }
}

/// The bucket of a value: itself below `2^(BITS + 1)`, then `2^BITS` buckets for each power of two.
#[inline]
fn bucket<const BITS: u32>(ns: u64) -> usize {
    let shift = (ns | 1).ilog2().saturating_sub(BITS);
    ((shift as usize) << BITS) + (ns >> shift) as usize
}

/// The largest value in a bucket.
fn upper_end<const BITS: u32>(index: usize) -> u64 {
    let shift = (index >> BITS).saturating_sub(1);
    let top = (index - (shift << BITS)) as u64;
    ((top + 1) << shift) - 1
}

/// The largest value with a bucket of its own: 2^62 ns, 146 years.
const LAST_NS: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;
    use crate::base::rand::{Bits, Draws, Purpose};

    /// Values over all magnitudes, the same every time.
    fn values(n: u64, most_bits: u64) -> Vec<Duration> {
        let mut draws = Draws::new(1, 0, Purpose::Service);
        (0..n)
            .map(|_| {
                let shift = 64 - draws.below(most_bits + 1) as u32;
                Duration::from_nanos(draws.next_u64().checked_shr(shift).unwrap_or(0))
            })
            .collect()
    }

    const QUANTILES: [f64; 9] = [0.0, 0.001, 0.07, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0];

    /// The quantile of the sorted values, and that `found` is at or above it within `width`.
    fn assert_near(found: Option<Duration>, sorted: &[Duration], q: f64, width: f64) {
        let exact = sorted[rank(q, sorted.len() as u64) as usize - 1].as_nanos();
        let found = found.unwrap().as_nanos();
        assert!(found >= exact && (found - exact) as f64 <= width * exact as f64, "q {q}: {found}, exact {exact}");
    }

    #[test]
    fn ranks_are_exact() {
        assert_eq!((rank(0.07, 100), rank(0.99, 100), rank(0.999, 1_000)), (7, 99, 999));
        assert_eq!((rank(0.0, 5), rank(1.0, 5), rank(0.5, 5), rank(0.5, 0)), (1, 5, 3, 0));
        assert_eq!(rank(1.0, u64::MAX), u64::MAX);
    }

    #[test]
    fn quantiles_are_within_the_stated_width() {
        let (mut hist, mut window) = (Histogram::new(), WindowHistogram::new());
        let mut sorted = values(20_000, 62);
        for &value in &sorted {
            hist.record(value);
            window.record(value);
        }
        sorted.sort();
        for q in QUANTILES {
            assert_near(hist.quantile(q), &sorted, q, Histogram::RELATIVE_WIDTH);
            assert_near(window.quantile(q), &sorted, q, 1.0 / 128.0);
        }
        let together = hist.quantiles(&QUANTILES);
        assert_eq!(together, QUANTILES.map(|q| hist.quantile(q).unwrap()));
    }

    #[test]
    fn sums_and_extremes_are_exact() {
        let mut hist = Histogram::new();
        assert_eq!((hist.mean(), hist.min(), hist.max(), hist.quantile(0.5)), (None, None, None, None));
        let values = values(10_000, 64);
        values.iter().for_each(|&value| hist.record(value));
        assert_eq!(hist.count(), 10_000);
        assert_eq!(hist.sum_ns(), values.iter().map(|value| u128::from(value.as_nanos())).sum());
        assert_eq!((hist.min(), hist.max()), (values.iter().min().copied(), values.iter().max().copied()));
        assert_eq!(hist.clamped(), values.iter().filter(|value| value.as_nanos() > 1 << 62).count() as u64);
        assert!(hist.clamped() > 0);
        assert_eq!(hist.quantile(1.0), hist.max(), "clamped values are not lost");
        let mut small = Histogram::new();
        [1, 2, 4].into_iter().for_each(|ns| small.record(Duration::from_nanos(ns)));
        assert_eq!(small.mean(), Some(Duration::from_nanos(2)), "7 / 3 to the nearest");
    }

    #[test]
    fn nothing_grows_within_the_room() {
        let mut hist = Histogram::new();
        let before = (hist.counts.len(), hist.counts.capacity());
        hist.record(Histogram::ROOM);
        assert_eq!((hist.counts.len(), hist.counts.capacity()), before);
        assert!(before.0 * 4 <= 1_400_000, "{before:?} buckets");
        hist.record(Duration::MAX);
        assert!(hist.counts.len() > before.0);
        assert_eq!((hist.count(), hist.quantile(0.5)), (2, Some(Histogram::ROOM)));
    }

    #[test]
    fn merged_is_as_if_recorded_together() {
        let (mut all, mut one, mut other) = (Histogram::new(), Histogram::new(), Histogram::new());
        for (i, &value) in values(2_000, 63).iter().enumerate() {
            all.record(value);
            if i % 3 == 0 { one.record(value) } else { other.record(value) }
        }
        one.merge(&other);
        one.merge(&Histogram::new());
        assert_eq!(one.encode(), all.encode());
        let facts = |h: &Histogram| (h.count(), h.sum_ns(), h.min(), h.max(), h.clamped());
        assert_eq!(facts(&one), facts(&all));
        one.reset();
        assert_eq!(facts(&one), facts(&Histogram::new()));
        assert_eq!(one.quantile(0.5), None);
    }

    /// Beside the crate with the same buckets.
    #[test]
    fn counts_and_encodes_like_hdr_histogram() {
        let (mut hist, mut hdr) = (Histogram::new(), hdrhistogram::Histogram::<u64>::new(4).unwrap());
        for value in values(20_000, 62) {
            hist.record(value);
            hdr.record(value.as_nanos()).unwrap();
        }
        let used: Vec<_> = hist.used().map(|(index, count)| (upper_end::<FINE>(index), count)).collect();
        let theirs: Vec<_> = hdr.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect();
        assert_eq!(used, theirs);
        let read = Deserializer::new().deserialize::<u64, _>(&mut hist.encode().as_slice()).unwrap();
        assert_eq!(read, hdr);
    }

    /// A counter of 32 bits holds no more than 4 thousand million; what comes after is counted all the same.
    #[test]
    fn full_counters_go_round_and_lose_nothing() {
        let (at, one) = (bucket::<FINE>(1_000), Duration::from_nanos(1_000));
        let mut hist = Histogram::new();
        (hist.counts[at], hist.count, hist.min, hist.max) = (u32::MAX - 1, u64::from(u32::MAX) - 1, one, one);
        let mut twice = hist.clone();
        (0..3).for_each(|_| hist.record(one));
        assert_eq!(hist.used().collect::<Vec<_>>(), [(at, (1 << 32) + 1)]);
        hist.record(Duration::from_nanos(2_000));
        assert_eq!(hist.quantiles(&[0.5, 1.0]), [one, Duration::from_nanos(2_000)]);
        twice.merge(&hist);
        assert_eq!(twice.used().map(|(_, count)| count).sum::<u64>(), twice.count());
        assert_eq!(twice.count(), (1 << 33));
    }

    fn assert_without_gaps<const BITS: u32>() {
        let mut index = 0;
        for ns in (0..100_000).chain((17..=62).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1u64 << bit) + 1])) {
            let next = bucket::<BITS>(ns);
            assert!(next >= index, "{ns} ns in bucket {next} after {index}");
            assert!(upper_end::<BITS>(next) >= ns, "{ns} ns in bucket {next}");
            assert!(next == 0 || upper_end::<BITS>(next - 1) < ns, "{ns} ns in bucket {next}");
            index = next;
        }
        let exact = (2 << BITS) - 1;
        assert_eq!(upper_end::<BITS>(bucket::<BITS>(exact)), exact);
    }

    #[test]
    fn buckets_have_no_gaps() {
        assert_without_gaps::<COARSE>();
        assert_without_gaps::<FINE>();
    }

    #[test]
    fn a_cleared_window_is_a_new_one() {
        let mut window = WindowHistogram::new();
        values(1_000, 64).iter().for_each(|&value| window.record(value));
        assert_eq!(window.count(), 1_000);
        window.clear();
        assert_eq!((window.count(), window.max(), window.quantile(0.5)), (0, None, None));
        assert!(window.counts.iter().all(|&count| count == 0));
        window.record(Duration::from_nanos(5));
        assert_eq!(window.quantile(0.5), Some(Duration::from_nanos(5)));
    }
}
