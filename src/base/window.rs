//! Counts over the last stretch of time, in buckets: what breakers and budgets ask for. Reading never changes them.

use crate::base::time::{Duration, Instant};

/// A count of what happened during the last `span`, to the width of one bucket: the current bucket is always in,
/// and the oldest one falls out as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlidingCount {
    width_ns: u64,
    /// A ring: bucket number `b` (its start divided by the width) is at `b` modulo the length.
    counts: Box<[u64]>,
    /// The number of the latest bucket that was written. All those before it, back to the ring's length, are valid.
    newest: u64,
}

impl SlidingCount {
    /// An empty count over `span`, in `buckets` equal parts. Both at least 1 (of a nanosecond and of a bucket).
    pub fn new(span: Duration, buckets: u32) -> Self {
        let buckets = buckets.max(1);
        let width_ns = span.as_nanos().div_ceil(u64::from(buckets)).max(1);
        SlidingCount { width_ns, counts: vec![0; buckets as usize].into_boxed_slice(), newest: 0 }
    }

    /// Counts `n` more. What comes late, for a time before the latest bucket, counts as of the latest.
    pub fn add(&mut self, now: Instant, n: u64) {
        let bucket = self.bucket(now);
        let length = self.counts.len() as u64;
        // Empty the buckets that begin between the last time and now; one turn of the ring empties all.
        for passed in 0..bucket.saturating_sub(self.newest).min(length) {
            self.counts[((bucket - passed) % length) as usize] = 0;
        }
        self.newest = self.newest.max(bucket);
        self.counts[(self.newest % length) as usize] += n;
    }

    /// The count over the last span as of `now`.
    pub fn sum(&self, now: Instant) -> u64 {
        let length = self.counts.len() as u64;
        let aged = self.bucket(now).saturating_sub(self.newest).min(length);
        // Of the ring's buckets, the `aged` oldest have fallen out since the last addition.
        (0..length - aged).map(|back| self.counts[((self.newest + length - back) % length) as usize]).sum()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    fn bucket(&self, now: Instant) -> u64 {
        now.as_nanos() / self.width_ns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ns: u64) -> Instant {
        Instant::from_nanos(ns)
    }

    #[test]
    fn buckets_fall_out_as_a_whole() {
        let mut count = SlidingCount::new(Duration::from_nanos(30), 3);
        count.add(at(5), 1);
        count.add(at(9), 1);
        count.add(at(12), 4);
        assert_eq!((count.sum(at(12)), count.sum(at(29)), count.sum(at(30)), count.sum(at(40))), (6, 6, 4, 0));
        assert_eq!(count.sum(at(12)), 6, "reading later has changed nothing");
        count.add(at(3), 1);
        assert_eq!((count.sum(at(39)), count.sum(at(40))), (5, 0), "what comes late counts as of the latest bucket");
        count.clear();
        assert_eq!(count.sum(at(12)), 0);
    }

    proptest! {
        #[test]
        fn as_a_list_of_events(
            span in 1u64..100, buckets in 1u32..12, steps in prop::collection::vec((0u64..60, 0u64..5), 0..80),
        ) {
            let mut count = SlidingCount::new(Duration::from_nanos(span), buckets);
            let width = span.div_ceil(u64::from(buckets));
            let (mut now, mut events) = (0, Vec::new());
            for (step, n) in steps {
                now += step;
                count.add(at(now), n);
                events.push((now / width, n));
                for later in [now, now + width, now + span, now + 10 * span] {
                    let live = |bucket: u64| bucket + u64::from(buckets) > later / width;
                    let expected: u64 = events.iter().filter(|event| live(event.0)).map(|event| event.1).sum();
                    prop_assert_eq!(count.sum(at(later)), expected);
                }
            }
        }
    }
}
