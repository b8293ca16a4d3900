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

/// A histogram of durations with buckets at most 2^-14 as wide as the values in them, up to 146 years.
///
/// The crate's four significant digits are the fewest that keep below 2^-11: three give 2^-10. Values up to
/// [`Histogram::ROOM`] never allocate; the first one above makes the table grow.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: hdrhistogram::Histogram<u64>,
    sum_ns: u128,
    min: Duration,
    max: Duration,
    clamped: u64,
}

impl Histogram {
    /// No bucket is wider than this share of the values in it (width 1 ns excepted).
    pub const RELATIVE_WIDTH: f64 = 1.0 / 16_384.0;
    /// The longest that fits without allocating: 2^34 - 1 ns, 17 seconds.
    pub const ROOM: Duration = Duration::from_nanos((1 << 34) - 1);

    /// An empty histogram, 2.8 MB. Make it once and [`reset`](Self::reset) it: that and a quantile cost 0.2 ms.
    pub fn new() -> Self {
        let mut buckets = hdrhistogram::Histogram::new_with_bounds(1, Self::ROOM.as_nanos(), 4)
            .expect("the bounds are constants within the crate's limits");
        buckets.auto(true);
        Histogram { buckets, sum_ns: 0, min: Duration::MAX, max: Duration::ZERO, clamped: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: Duration) {
        let ns = value.as_nanos();
        self.clamped += u64::from(ns > LAST_NS);
        self.buckets.record(ns.min(LAST_NS)).expect("the table grows as far as the last bucket");
        self.sum_ns += u128::from(ns);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.len()
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
        let mut buckets = self.buckets.iter_recorded();
        let (mut seen, mut upper) = (0, 0);
        let mut at = |q: &f64| {
            let rank = rank(*q, self.count());
            while seen < rank || seen == 0 {
                let bucket = buckets.next()?;
                seen += bucket.count_at_value();
                upper = bucket.value_iterated_to();
            }
            // The last bucket also holds what was clamped.
            let upper = if upper >= LAST_NS { self.max } else { Duration::from_nanos(upper) };
            Some(upper.clamp(self.min, self.max))
        };
        qs.iter().map_while(&mut at).collect()
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Histogram) {
        // Cannot fail: this table grows to the other's size.
        let added = self.buckets.add(&other.buckets);
        debug_assert!(added.is_ok(), "histograms of one shape always add up");
        self.sum_ns += other.sum_ns;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.clamped += other.clamped;
    }

    /// Forgets all values and keeps the memory.
    pub fn reset(&mut self) {
        self.buckets.reset();
        (self.sum_ns, self.min, self.max, self.clamped) = (0, Duration::MAX, Duration::ZERO, 0);
    }

    /// The buckets in the V2 format of HdrHistogram (without compression), which other tools read.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail, and no count comes near 2^63.
        V2Serializer::new().serialize(&self.buckets, &mut bytes).expect("a histogram fits in memory twice");
        bytes
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

impl WindowHistogram {
    /// An empty histogram, 29 KB.
    pub fn new() -> Self {
        let counts = vec![0; bucket(LAST_NS) + 1].into_boxed_slice();
        WindowHistogram { low: counts.len(), high: 0, counts, count: 0, max: Duration::ZERO }
    }

    /// Counts one value. A bucket holds up to 2^32 - 1 of them; more are counted as that many.
    #[inline]
    pub fn record(&mut self, value: Duration) {
        let index = bucket(value.as_nanos().min(LAST_NS));
        let before = self.counts[index];
        self.counts[index] = before.saturating_add(1);
        self.count += u64::from(self.counts[index] - before);
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
                return Some(Duration::from_nanos(upper_end(index)));
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

/// The bucket of a value: itself below 256, then 128 buckets for each power of two.
#[inline]
fn bucket(ns: u64) -> usize {
    let shift = (ns | 1).ilog2().saturating_sub(7);
    (shift as usize) * 128 + (ns >> shift) as usize
}

/// The largest value in a bucket.
fn upper_end(index: usize) -> u64 {
    let shift = (index / 128).saturating_sub(1);
    let top = (index - shift * 128) as u64;
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
        let before = hist.buckets.distinct_values();
        hist.record(Histogram::ROOM);
        assert_eq!(hist.buckets.distinct_values(), before);
        assert!(before * 8 <= 2_800_000, "{before} buckets");
        hist.record(Duration::MAX);
        assert!(hist.buckets.distinct_values() > before);
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

    #[test]
    fn other_tools_read_what_is_encoded() {
        let mut hist = Histogram::new();
        values(1_000, 40).iter().for_each(|&value| hist.record(value));
        let read = Deserializer::new().deserialize::<u64, _>(&mut hist.encode().as_slice()).unwrap();
        assert_eq!(read, hist.buckets);
    }

    #[test]
    fn window_buckets_have_no_gaps() {
        let mut index = 0;
        for ns in (0..100_000).chain((17..=62).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1u64 << bit) + 1])) {
            let next = bucket(ns);
            assert!(next >= index, "{ns} ns in bucket {next} after {index}");
            assert!(upper_end(next) >= ns && (next == 0 || upper_end(next - 1) < ns), "{ns} ns in bucket {next}");
            index = next;
        }
        assert_eq!(upper_end(bucket(255)), 255);
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
