//! Who got how much of the work: over the whole run, per second, and as a picture.
//!
//! One pair of counters a backend is all that an attempt touches: whoever wants a long stretch of time keeps the counters
//! of its beginning, and the windows, of which there are many, look only at backends that got something in theirs. Fair
//! is a backend's weight over that of all that were up; where another weight is announced under way, the whole stretch
//! counts each weight for as long as it held, and a window that of its end.

use prefetch_index::prefetch_index;

use super::Frame;
use super::windows::step_for;
use crate::base::id::BackendId;
use crate::base::time::Instant;
use crate::measure::oscillation::oscillation;
use crate::measure::series::Heat;
use crate::measure::summary::Spread;

#[derive(Debug)]
pub(super) struct Fold {
    weights: Vec<u32>,
    /// All weigh the same.
    alike: bool,
    up: Vec<bool>,
    /// How many are.
    up_count: u64,
    counts: Vec<Count>,
    /// Backends that got something in the present window.
    touched: Vec<u32>,
    /// When each backend came up, and how long it was up in the measured stretch before.
    up_since: Vec<u64>,
    up_for: Vec<u64>,
    /// What each backend's fair share had come to when its weight changed last: weight times nanoseconds.
    fair_before: Vec<f64>,
    warmup: u64,
    duration: u64,
    /// Counters when the measured stretch began; once it is over, what was counted in it.
    measured: Vec<u64>,
    is_over: bool,
    second: Stretch,
    sums: [f64; 3],
    seconds: u64,
    column: Stretch,
    /// Short bins, for fleets that are small enough to be followed in them, and what each held.
    bin: Stretch,
    bins: Bins,
    heat: Heat,
    next: u64,
}

/// Attempts that a backend got.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    so_far: u64,
    in_window: u64,
}

/// A repeated stretch of time.
#[derive(Debug)]
struct Stretch {
    step: u64,
    next: u64,
    counts: Vec<u64>,
}

const SECOND: u64 = 1_000_000_000;
/// Most bins, and most backends of a fleet whose oscillation is looked for.
const MOST_BINS: u64 = 600;
const MOST_BACKENDS: usize = 200;
/// Of a larger fleet so many are followed, evenly spaced: to look at all would cost more than to simulate them.
const FOLLOWED: usize = 16;

/// What was sent in short bins: to some of the backends, bin by bin, and to all.
#[derive(Debug)]
struct Bins {
    followed: Vec<usize>,
    counts: Vec<u32>,
    totals: Vec<u64>,
}

impl Bins {
    /// Room for so many bins of a fleet of `n`.
    fn new(n: usize, bins: usize) -> Bins {
        let followed = n.min(FOLLOWED);
        let evenly = |i: usize| i * n / followed;
        Bins {
            followed: (0..followed).map(evenly).collect(),
            counts: Vec::with_capacity(bins * followed),
            totals: Vec::with_capacity(bins),
        }
    }

    /// One more, from the counters of its end and of its beginning.
    fn add(&mut self, now: &[Count], then: &[u64]) {
        self.counts.extend(self.followed.iter().map(|i| (now[*i].so_far - then[*i]) as u32));
        self.totals.push(now.iter().map(|count| count.so_far).sum::<u64>() - then.iter().sum::<u64>());
    }
}

impl Fold {
    pub(super) fn new(frame: &Frame) -> Fold {
        let n = frame.backends.len();
        let column = step_for(frame.duration, Heat::COLUMNS_MAX as u64);
        let per_row = n.div_ceil(Heat::ROWS_MAX).max(1);
        let (warmup, duration) = (frame.warmup.as_nanos(), frame.duration.as_nanos());
        let stretch = |step| Stretch { step, next: step, counts: vec![0; n] };
        let mut bin = stretch(step_for(frame.duration, MOST_BINS));
        let bins = if n > MOST_BACKENDS { 0 } else { duration.saturating_sub(warmup) / bin.step };
        bin.next = if bins == 0 { u64::MAX } else { bin.step };
        let mut fold = Fold {
            weights: frame.backends.iter().map(|(weight, _)| *weight).collect(),
            alike: frame.backends.windows(2).all(|two| two[0].0 == two[1].0),
            up: frame.backends.iter().map(|(_, up)| *up).collect(),
            up_count: frame.backends.iter().filter(|(_, up)| *up).count() as u64,
            counts: vec![Count::default(); n],
            touched: Vec::with_capacity(n),
            up_since: vec![0; n],
            up_for: vec![0; n],
            fair_before: vec![0.0; n],
            warmup,
            duration,
            measured: vec![0; n],
            is_over: false,
            second: stretch(SECOND),
            sums: [0.0; 3],
            seconds: 0,
            column: stretch(column),
            bin,
            bins: Bins::new(n, bins as usize),
            heat: Heat {
                step_ns: column,
                backends_per_row: per_row as u32,
                rows: vec![Vec::new(); n.div_ceil(per_row)],
            },
            next: 0,
        };
        fold.next = fold.soonest();
        fold
    }

    #[inline]
    pub(super) fn on_sent(&mut self, backend: BackendId) {
        let count = &mut self.counts[backend.index()];
        count.so_far += 1;
        count.in_window += 1;
        if count.in_window == 1 {
            self.touch(backend);
        }
    }

    /// The first of a window.
    #[cold]
    #[inline(never)]
    fn touch(&mut self, backend: BackendId) {
        self.touched.push(backend.0);
    }

    #[inline(always)]
    pub(super) fn prefetch(&self, backend: BackendId) {
        prefetch_index(self.counts.as_slice(), backend.index());
    }

    /// When the next stretch ends.
    pub(super) fn next(&self) -> Instant {
        Instant::from_nanos(self.next)
    }

    fn soonest(&self) -> u64 {
        let warmup = if self.next < self.warmup { self.warmup } else { u64::MAX };
        let end = if !self.is_over { self.duration } else { u64::MAX };
        self.second.next.min(self.column.next).min(self.bin.next).min(warmup).min(end)
    }

    /// Closes the stretches that end at `at`, which is [`Fold::next`].
    pub(super) fn close(&mut self, at: Instant) {
        let at = at.as_nanos();
        if at == self.second.next {
            self.close_second();
        }
        if at == self.column.next {
            self.close_column();
        }
        if at == self.bin.next {
            self.close_bin();
        }
        if at == self.warmup {
            copy(&self.counts, &mut self.measured);
        }
        if at == self.duration && !self.is_over {
            self.measured = self.measured().collect();
            self.is_over = true;
        }
        self.next = at;
        self.next = self.soonest();
    }

    fn close_second(&mut self) {
        let (from, until) = (self.second.next - SECOND, self.second.next);
        self.second.next += SECOND;
        if from >= self.warmup
            && until <= self.duration
            && let Some(found) = self.unevenness_since(&self.second.counts)
        {
            self.seconds += 1;
            self.sums[0] += found.max_over_mean;
            self.sums[1] += found.cv;
            self.sums[2] += found.jain;
        }
        copy(&self.counts, &mut self.second.counts);
    }

    fn close_column(&mut self) {
        let inside = self.column.next <= self.duration.next_multiple_of(self.column.step);
        self.column.next += self.column.step;
        if inside {
            let per_row = self.heat.backends_per_row as usize;
            let row = |row: usize| {
                let members = row * per_row..((row + 1) * per_row).min(self.counts.len());
                members.fold((0, 0), |(sent, fair), i| {
                    let got = self.counts[i].so_far - self.column.counts[i];
                    let counts = self.up[i] || got > 0;
                    (sent + got, fair + if counts { u64::from(self.weights[i]) } else { 0 })
                })
            };
            let rows: Vec<(u64, u64)> = (0..self.heat.rows.len()).map(row).collect();
            let (total, total_weight) = rows.iter().fold((0, 0), |sums, row| (sums.0 + row.0, sums.1 + row.1));
            for (cells, (sent, fair)) in self.heat.rows.iter_mut().zip(rows) {
                let known = total > 0 && fair > 0;
                cells.push(known.then(|| sent as f64 * total_weight as f64 / (fair as f64 * total as f64)));
            }
        }
        copy(&self.counts, &mut self.column.counts);
    }

    /// Bins count that lie in the measured stretch.
    fn close_bin(&mut self) {
        let (from, until) = (self.bin.next - self.bin.step, self.bin.next);
        if from >= self.warmup && until <= self.duration {
            self.bins.add(&self.counts, &self.bin.counts);
        }
        copy(&self.counts, &mut self.bin.counts);
        self.bin.next = if until < self.duration { until + self.bin.step } else { u64::MAX };
    }

    pub(super) fn on_member(&mut self, at: Instant, backend: BackendId, up: bool) {
        let i = backend.index();
        if self.up[i] && !up {
            self.up_for[i] += self.overlap(self.up_since[i], at.as_nanos());
        }
        if up && !self.up[i] {
            self.up_since[i] = at.as_nanos();
        }
        self.up_count = self.up_count + u64::from(up) - u64::from(self.up[i]);
        self.up[i] = up;
    }

    /// Another weight is fair from now on.
    pub(super) fn on_weighed(&mut self, at: Instant, backend: BackendId, weight: u32) {
        let i = backend.index();
        if self.up[i] {
            self.up_for[i] += self.overlap(self.up_since[i], at.as_nanos());
            self.up_since[i] = at.as_nanos();
        }
        self.fair_before[i] += f64::from(self.weights[i]) * self.up_for[i] as f64;
        self.up_for[i] = 0;
        self.weights[i] = weight;
        self.alike = self.weights.windows(2).all(|two| two[0] == two[1]);
    }

    /// How much of a stretch lies in the measured one.
    fn overlap(&self, from: u64, until: u64) -> u64 {
        until.min(self.duration).saturating_sub(from.max(self.warmup))
    }

    /// How uneven the attempts fell since this was asked last: `(max over mean, cv)`.
    pub(super) fn since_last_window(&mut self) -> Option<(f64, f64)> {
        let found =
            if self.are_equals() { self.unevenness_of_touched() } else { self.unevenness(|count, _| count.in_window) };
        for backend in self.touched.drain(..) {
            self.counts[backend as usize].in_window = 0;
        }
        found.map(|found| (found.max_over_mean, found.cv))
    }

    /// All have the same fair share.
    fn are_equals(&self) -> bool {
        self.alike && self.weights.first().is_some_and(|weight| *weight > 0)
    }

    /// How uneven the attempts of the present window fell among equals.
    fn unevenness_of_touched(&self) -> Option<Unevenness> {
        let (mut sum, mut squares, mut min, mut max, mut down) = (0, 0, u64::MAX, 0, 0);
        for backend in &self.touched {
            let got = self.counts[*backend as usize].in_window;
            sum += got;
            squares += got * got;
            (min, max) = (min.min(got), max.max(got));
            down += u64::from(!self.up[*backend as usize]);
        }
        if self.touched.len() as u64 - down < self.up_count {
            min = 0;
        }
        Unevenness::of((self.up_count + down) as f64, sum as f64, squares as f64, [min as f64, max as f64])
    }

    /// How uneven the attempts fell since the counters stood at `then`. Who went down since but got something still
    /// counts with its weight.
    fn unevenness_since(&self, then: &[u64]) -> Option<Unevenness> {
        self.unevenness(|count, backend| count.so_far - then[backend])
    }

    fn unevenness(&self, got: impl Fn(&Count, usize) -> u64) -> Option<Unevenness> {
        let got = self.counts.iter().enumerate().map(|(backend, count)| got(count, backend));
        if self.are_equals() {
            return unevenness_of_equals(got.zip(&self.up));
        }
        let fair = self.weights.iter().zip(&self.up);
        unevenness(got.zip(fair).map(|(got, (weight, up))| {
            let fair = if *up || got > 0 { f64::from(*weight) } else { 0.0 };
            (got as f64, fair)
        }))
    }

    /// Attempts that each backend got in the measured stretch.
    pub(super) fn measured(&self) -> impl Iterator<Item = u64> {
        let got = |(count, measured): (&Count, &u64)| if self.is_over { *measured } else { count.so_far - measured };
        self.counts.iter().zip(&self.measured).map(got)
    }

    pub(super) fn finish(self) -> (Spread, Heat) {
        let got = self.measured().map(|got| got as f64);
        let fair = |(i, got): (usize, f64)| {
            let last = if self.up[i] { self.overlap(self.up_since[i], self.duration) } else { 0 };
            (got, self.fair_before[i] + f64::from(self.weights[i]) * (self.up_for[i] + last) as f64)
        };
        let whole = unevenness(got.enumerate().map(fair));
        let swing = oscillation(&self.bins.counts, &self.bins.totals);
        let mean = |sum: f64| (self.seconds > 0).then(|| sum / self.seconds as f64);
        let spread = Spread {
            max_over_mean: whole.map(|found| found.max_over_mean),
            min_over_mean: whole.map(|found| found.min_over_mean),
            cv: whole.map(|found| found.cv),
            jain: whole.map(|found| found.jain),
            max_over_mean_1s: mean(self.sums[0]),
            cv_1s: mean(self.sums[1]),
            jain_1s: mean(self.sums[2]),
            oscillation: swing.map(|swing| swing.height),
            oscillation_period_ns: swing.and_then(|swing| swing.period).map(|bins| bins as u64 * self.bin.step),
        };
        (spread, self.heat)
    }
}

/// Keeps what was counted so far.
fn copy(counts: &[Count], to: &mut [u64]) {
    for (to, count) in to.iter_mut().zip(counts) {
        *to = count.so_far;
    }
}

#[derive(Debug, Clone, Copy)]
struct Unevenness {
    max_over_mean: f64,
    min_over_mean: f64,
    cv: f64,
    jain: f64,
}

/// How far what each got is from its fair share; who has no fair share is left out. `None` if nobody got anything.
fn unevenness(got_and_fair: impl Iterator<Item = (f64, f64)>) -> Option<Unevenness> {
    let (mut n, mut sum, mut squares, mut max, mut min) = (0.0, 0.0, 0.0, 0.0f64, f64::INFINITY);
    for (got, fair) in got_and_fair.filter(|(_, fair)| *fair > 0.0) {
        let ratio = got / fair;
        n += 1.0;
        sum += ratio;
        squares += ratio * ratio;
        (max, min) = (max.max(ratio), min.min(ratio));
    }
    Unevenness::of(n, sum, squares, [min, max])
}

/// The same where all have the same fair share: whole numbers are exact, and a large fleet is asked often.
fn unevenness_of_equals<'a>(got_and_up: impl Iterator<Item = (u64, &'a bool)>) -> Option<Unevenness> {
    let (mut n, mut sum, mut squares, mut min, mut max) = (0u64, 0u64, 0u64, u64::MAX, 0u64);
    for (got, up) in got_and_up {
        let counts = *up | (got > 0);
        n += u64::from(counts);
        min = min.min(if counts { got } else { u64::MAX });
        sum += got;
        squares += got * got;
        max = max.max(got);
    }
    Unevenness::of(n as f64, sum as f64, squares as f64, [min as f64, max as f64])
}

impl Unevenness {
    /// From how many there are, and the sum, the sum of squares, the least and the most of what each got over its fair
    /// share.
    fn of(n: f64, sum: f64, squares: f64, [min, max]: [f64; 2]) -> Option<Unevenness> {
        if sum <= 0.0 {
            return None;
        }
        let mean = sum / n;
        let variance = (squares / n - mean * mean).max(0.0);
        let cv = variance.sqrt() / mean;
        Some(Unevenness { max_over_mean: max / mean, min_over_mean: min / mean, cv, jain: sum * sum / (n * squares) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};
    use crate::base::time::Duration;
    use crate::measure::collect::testing::frame;

    #[test]
    fn even_is_one_and_all_on_one_is_n() {
        let even = unevenness([(10.0, 1.0), (20.0, 2.0)].into_iter()).unwrap();
        assert_eq!((even.max_over_mean, even.min_over_mean, even.cv, even.jain), (1.0, 1.0, 0.0, 1.0));
        let one = unevenness([(30.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 0.0)].into_iter()).unwrap();
        assert!((one.max_over_mean - 3.0).abs() < 1e-12 && (one.jain - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(one.min_over_mean, 0.0, "two got nothing; the one without a fair share does not count");
        let three = unevenness([(15.0, 3.0), (20.0, 1.0), (10.0, 1.0)].into_iter()).unwrap();
        assert!((three.min_over_mean - 15.0 / 35.0).abs() < 1e-12, "{}", three.min_over_mean);
        assert!(unevenness([(0.0, 1.0)].into_iter()).is_none(), "missing is not zero");
    }

    #[test]
    fn a_weight_counts_for_as_long_as_it_holds() {
        let at = |s: u64| Instant::ZERO + Duration::from_secs(s);
        // A minute of two backends: the second weighs 1 for 20 s, 3 for 30 s and 2 for 10 s, and is away for the last
        // 15 s of the 30: fair is 60 against 20 + 3 * 15 + 2 * 10.
        let mut fold = Fold::new(&frame(&[true, true]));
        fold.on_weighed(at(20), BackendId(1), 3);
        fold.on_member(at(35), BackendId(1), false);
        fold.on_weighed(at(50), BackendId(1), 2);
        fold.on_member(at(50), BackendId(1), true);
        (0..60).for_each(|_| fold.on_sent(BackendId(0)));
        (0..85).for_each(|_| fold.on_sent(BackendId(1)));
        let spread = fold.finish().0;
        assert!(spread.cv.unwrap() < 1e-9 && (spread.max_over_mean.unwrap() - 1.0).abs() < 1e-9, "{spread:?}");
    }

    /// The oscillation of two backends that swing every 400 ms until `until`, in seconds, and are even from then on.
    fn swinging(until: u64, warmup: u64, backends: usize) -> Spread {
        let ms = Duration::from_millis;
        let frame = Frame { warmup: Instant::ZERO + ms(1_000 * warmup), ..frame(&vec![true; backends]) };
        let mut fold = Fold::new(&frame);
        for at in (0..60_000).step_by(5) {
            while fold.next() <= Instant::ZERO + ms(at) {
                fold.close(fold.next());
            }
            let place = if at < 1_000 * until { at / 400 } else { at / 5 } % 2;
            fold.on_sent(BackendId(place as u32));
        }
        fold.close(Instant::ZERO + ms(60_000));
        fold.finish().0
    }

    #[test]
    fn swings_are_seen_in_the_measured_stretch_of_fleets_that_are_not_too_large() {
        let all = swinging(60, 10, 2);
        assert!(all.oscillation.unwrap() > 0.95, "{all:?}");
        assert_eq!(all.oscillation_period_ns, Some(800_000_000));
        let before = swinging(10, 10, 2);
        assert_eq!((before.oscillation, before.oscillation_period_ns), (Some(0.0), None), "only in the warm-up");
        assert!(swinging(60, 10, 200).oscillation.unwrap() > 0.95, "one of the two is followed");
        assert_eq!(swinging(60, 10, 201).oscillation, None);
        assert_eq!(swinging(60, 59, 2).oscillation, None, "ten bins say nothing");
    }

    #[test]
    fn a_window_counts_the_weights_of_its_end() {
        let mut fold = Fold::new(&frame(&[true, true]));
        fold.on_weighed(Instant::ZERO + Duration::from_secs(1), BackendId(1), 3);
        (0..4).for_each(|i| fold.on_sent(BackendId(u32::from(i > 0))));
        assert_eq!(fold.since_last_window(), Some((1.0, 0.0)));
    }

    #[test]
    fn equals_are_judged_as_the_others() {
        let got = [3, 0, 7, 1, 0, 250, 9];
        let up = [true, true, true, false, false, true, true];
        let fair = |i: usize| if up[i] || got[i] > 0 { 1.0 } else { 0.0 };
        let one = unevenness((0..got.len()).map(|i| (got[i] as f64, fair(i)))).unwrap();
        let other = unevenness_of_equals(got.into_iter().zip(&up)).unwrap();
        let all = |found: Unevenness| (found.max_over_mean, found.min_over_mean, found.cv, found.jain);
        assert_eq!(all(one), all(other));
        assert!(unevenness_of_equals([(0, &true)].into_iter()).is_none(), "missing is not zero");
    }

    /// Looking only at who got something finds what looking at everybody finds.
    #[test]
    fn windows_are_judged_by_who_got_something() {
        let mut rand = Seed::new(1).stream("windows");
        let mut fold = Fold::new(&frame(&[true, true, false, true, false, true, true, false]));
        for window in 1..=300 {
            for _ in 0..rand.below(12) {
                let backend = BackendId(rand.below(8) as u32);
                match rand.below(8) {
                    0 => fold.on_member(Instant::from_nanos(window), backend, true),
                    1 => fold.on_member(Instant::from_nanos(window), backend, false),
                    _ => fold.on_sent(backend),
                }
            }
            assert_eq!(fold.up_count, fold.up.iter().filter(|up| **up).count() as u64);
            let facts = |found: Unevenness| (found.max_over_mean, found.min_over_mean, found.cv, found.jain);
            let all = fold.unevenness(|count, _| count.in_window).map(facts);
            assert_eq!(fold.unevenness_of_touched().map(facts), all);
            assert_eq!(fold.since_last_window(), all.map(|(max_over_mean, _, cv, _)| (max_over_mean, cv)));
            assert!(fold.counts.iter().all(|count| count.in_window == 0), "each window begins empty");
        }
    }
}
