//! How a fleet answers to a fault, read off windows of virtual time: how long until it is back, how long until the
//! clients stay away from what is broken. Pure functions of counts; folding records into windows is done elsewhere.
//!
//! Both metrics have to tell a change from noise, and a window's p99 is noisy. What noise is, is learnt from the
//! quiet: the windows between the warm-up and the *first* fault, because between later faults nothing may be quiet.

use super::stats;

/// What a reaction comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reacted {
    /// There is nothing to measure it by.
    Unknown,
    /// After so many nanoseconds since the fault began.
    After(u64),
    /// Not within the run.
    Never,
}

/// One window of what callers saw. Windows are equally long and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryWindow {
    /// Begin, in nanoseconds since the run began.
    pub from_ns: u64,
    /// Calls that ended in the window, well or not.
    pub ended: u64,
    /// Those that did not end well. A call that never ends belongs here (and under `ended`) too, in the window of
    /// its birth: otherwise a fleet that swallows calls looks healthy.
    pub failed: u64,
    /// 99th percentile of the latency of those that ended well. A hundred calls or more make it worth its name.
    pub p99_ns: Option<u64>,
}

/// The instants that recovery is measured between, in nanoseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoverySpan {
    /// Length of a window.
    pub step_ns: u64,
    /// End of the warm-up, where the quiet begins.
    pub warmup_ns: u64,
    /// Start of the first fault, where the quiet ends.
    pub first_fault_ns: u64,
    /// Start of the last fault, from where recovery counts.
    pub last_fault_ns: u64,
    /// End of the measurement.
    pub end_ns: u64,
}

/// From the start of the last fault until error rate and p99 are back within 10 % of their value before the first
/// one, for good: until the end of the measurement. In whole windows: the end of the last disturbed one counts.
///
/// A window is disturbed if it stands out by itself, or if it is raised and so are its neighbours:
///
/// - *Values before*: over the windows of the quiet, the median of their p99 and the error rate of their sum.
/// - *Within 10 %*: below 1.1 times the p99; below 1.1 times the error rate plus 0.1 percentage points, because
///   10 % of hardly any errors is nothing.
/// - *Noise*: a stretch that looks like the quiet is recovered. So [`GROUP`] neighbouring windows together (their
///   median p99, their errors summed up) may also be above by 3 scatters of single windows of the quiet, and one
///   window alone by 8, or by whatever the quiet itself reached. The scatter is 1.4826 times the median absolute
///   deviation (Hampel, JASA 1974), which a few odd windows do not move. Errors may also be above by 4 standard
///   deviations of a count of that size.
///
/// With independent lognormal noise of up to 25 % on a window's p99, 40 quiet windows and 120 after the fault, this
/// shows a quiet fleet as disturbed in one run of twenty at most; where three scatters stay below 10 %, in none.
///
/// [`Reacted::Unknown`] without a call in the quiet; [`Reacted::Never`] if one of the last [`GROUP`] windows is
/// disturbed, or if nothing is left to see after the fault.
pub fn time_to_recover(windows: &[RecoveryWindow], span: &RecoverySpan) -> Reacted {
    let end = |window: &RecoveryWindow| window.from_ns.saturating_add(span.step_ns);
    let between = |from: u64, until: u64| -> Vec<RecoveryWindow> {
        windows.iter().filter(|window| window.from_ns >= from && end(window) <= until).copied().collect()
    };
    let Some(quiet) = Quiet::of(&between(span.warmup_ns, span.first_fault_ns)) else { return Reacted::Unknown };
    // The window in which the fault begins belongs to what comes after.
    let first = span.last_fault_ns.saturating_sub(span.step_ns.saturating_sub(1));
    let after = between(first, span.end_ns);
    match quiet.last_disturbed(&after) {
        _ if after.is_empty() => Reacted::Never,
        None => Reacted::After(0),
        Some(last) if last + GROUP >= after.len() => Reacted::Never,
        Some(last) => Reacted::After(end(&after[last]).saturating_sub(span.last_fault_ns)),
    }
}

/// Windows that are looked at together: enough for a steady median, few enough to see a short relapse.
pub const GROUP: usize = 10;

/// What the windows before the first fault look like.
#[derive(Debug)]
struct Quiet {
    errors: Level,
    /// `None` if no call ended well.
    p99: Option<Level>,
}

/// A usual value, how far single windows scatter around it, and the largest of them.
#[derive(Debug)]
struct Level {
    usual: f64,
    scatter: f64,
    max: f64,
}

impl Quiet {
    fn of(windows: &[RecoveryWindow]) -> Option<Quiet> {
        let ended: u64 = windows.iter().map(|window| window.ended).sum();
        let failed: u64 = windows.iter().map(|window| window.failed).sum();
        let rates: Vec<f64> = windows.iter().filter_map(error_rate).collect();
        let p99s: Vec<f64> = windows.iter().filter_map(|window| window.p99_ns).map(|ns| ns as f64).collect();
        let errors = Level::of(&rates, failed as f64 / ended as f64)?;
        Some(Quiet { errors, p99: stats::median(&p99s).and_then(|usual| Level::of(&p99s, usual)) })
    }

    /// Index of the last disturbed window.
    fn last_disturbed(&self, after: &[RecoveryWindow]) -> Option<usize> {
        let errors = Signal {
            alone: &|one| {
                error_rate(one).is_some_and(|rate| rate > self.error_limit(one.ended, ALONE).max(self.errors.max))
            },
            together: &|group| self.has_more_errors(group),
            raises: &|one| error_rate(one).is_none_or(|rate| rate > self.error_limit(one.ended, TOGETHER)),
        };
        let by_errors = errors.last_disturbed(after);
        let Some(level) = &self.p99 else { return by_errors };
        let p99 = |one: &RecoveryWindow| one.p99_ns.map_or(0.0, |ns| ns as f64);
        let by_latency = Signal {
            alone: &|one| p99(one) > p99_limit(level, ALONE).max(level.max),
            together: &|group| median_p99(group).is_some_and(|ns| ns > p99_limit(level, TOGETHER)),
            raises: &|one| p99(one) > p99_limit(level, TOGETHER),
        };
        by_errors.max(by_latency.last_disturbed(after))
    }

    fn has_more_errors(&self, group: &[RecoveryWindow]) -> bool {
        let ended: u64 = group.iter().map(|window| window.ended).sum();
        let failed: u64 = group.iter().map(|window| window.failed).sum();
        // Where nothing ends, nothing is well.
        ended == 0 || failed as f64 / ended as f64 > self.error_limit(ended, TOGETHER)
    }

    /// The error rate that `ended` calls may have.
    fn error_limit(&self, ended: u64, scatters: f64) -> f64 {
        let Level { usual, scatter, .. } = self.errors;
        let (ended, slack) = (ended as f64, 0.1 * usual + 0.001);
        let counting = 4.0 * (usual * ended).max(1.0).sqrt() / ended;
        usual + slack.max(scatters * scatter).max(counting)
    }
}

/// One way to be disturbed.
struct Signal<'a> {
    /// A window stands out by itself.
    alone: &'a dyn Fn(&RecoveryWindow) -> bool,
    /// A group of windows is raised.
    together: &'a dyn Fn(&[RecoveryWindow]) -> bool,
    /// A window is what raises its group.
    raises: &'a dyn Fn(&RecoveryWindow) -> bool,
}

impl Signal<'_> {
    fn last_disturbed(&self, after: &[RecoveryWindow]) -> Option<usize> {
        let size = GROUP.min(after.len()).max(1);
        let raised = after.windows(size).rposition(|group| (self.together)(group));
        // Where no window is to blame by itself, many have a little more than usual: all of them are.
        let blamed = raised.map(|at| at + after[at..at + size].iter().rposition(self.raises).unwrap_or(size - 1));
        after.iter().rposition(self.alone).max(blamed)
    }
}

impl Level {
    fn of(values: &[f64], usual: f64) -> Option<Level> {
        let distances: Vec<f64> = values.iter().map(|value| (value - usual).abs()).collect();
        let scatter = 1.4826 * stats::median(&distances)?;
        Some(Level { usual, scatter, max: values.iter().copied().fold(0.0, f64::max) })
    }
}

fn p99_limit(level: &Level, scatters: f64) -> f64 {
    level.usual + (0.1 * level.usual).max(scatters * level.scatter)
}

fn median_p99(windows: &[RecoveryWindow]) -> Option<f64> {
    let p99s: Vec<f64> = windows.iter().filter_map(|window| window.p99_ns).map(|ns| ns as f64).collect();
    stats::median(&p99s)
}

fn error_rate(window: &RecoveryWindow) -> Option<f64> {
    (window.ended > 0).then(|| window.failed as f64 / window.ended as f64)
}

/// Scatters that a group may be above the usual value.
const TOGETHER: f64 = 3.0;
/// Scatters that one window may.
const ALONE: f64 = 8.0;

/// One window of where attempts went. Windows are equally long and in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DetectWindow {
    /// Begin, in nanoseconds since the run began.
    pub from_ns: u64,
    /// Attempts sent to the affected backends.
    pub to_affected: u64,
    /// Attempts sent to any backend.
    pub attempts: u64,
}

/// The fault that is to be detected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectSpan {
    /// Length of a window in nanoseconds.
    pub step_ns: u64,
    /// Start of the fault, in nanoseconds since the run began.
    pub from_ns: u64,
    /// End of the fault, or of the measurement: to stay away from what works again is no detection.
    pub until_ns: u64,
    /// The share of all attempts that is fair for the affected backends: their weight over that of all.
    pub fair_share: f64,
}

/// From the start of a fault until the affected backends get less than 10 % of their fair share of the attempts,
/// for the first time. To the beginning of the first window that shows it.
///
/// As many windows are taken together as it takes for a fair share of [`EVIDENCE`] attempts: fewer could all go
/// elsewhere by chance. [`Reacted::Unknown`] if the affected are none of the backends or all of them.
pub fn time_to_detect(windows: &[DetectWindow], span: &DetectSpan) -> Reacted {
    if !(span.fair_share > 0.0 && span.fair_share < 1.0) {
        return Reacted::Unknown;
    }
    first_stretch(windows, span, 0, |share| 10.0 * share < 1.0)
}

/// From when backends join until they get 80 % of their fair share of the attempts over a second, for the first
/// time: to the beginning of that second. The affected backends of the span are those that joined.
///
/// Where a second holds too few attempts for that, a longer stretch is looked at, as in [`time_to_detect`].
pub fn time_to_fair_share(windows: &[DetectWindow], span: &DetectSpan) -> Reacted {
    if !(span.fair_share > 0.0 && span.fair_share < 1.0) {
        return Reacted::Unknown;
    }
    first_stretch(windows, span, SECOND_NS, |share| share >= 0.8)
}

/// The beginning of the first stretch of at least `least_ns` in which what the affected backends get, over their fair
/// share, shows it.
fn first_stretch(windows: &[DetectWindow], span: &DetectSpan, least_ns: u64, shows: impl Fn(f64) -> bool) -> Reacted {
    let inside = |window: &&DetectWindow| {
        window.from_ns >= span.from_ns && window.from_ns.saturating_add(span.step_ns) <= span.until_ns
    };
    let windows: Vec<&DetectWindow> = windows.iter().filter(inside).collect();
    let least = least_ns.div_ceil(span.step_ns.max(1)) as usize;
    let (mut end, mut to_affected, mut attempts) = (0, 0, 0);
    for (number, first) in windows.iter().enumerate() {
        while attempts as f64 * span.fair_share < EVIDENCE || end - number < least {
            let Some(next) = windows.get(end) else { return Reacted::Never };
            (end, to_affected, attempts) = (end + 1, to_affected + next.to_affected, attempts + next.attempts);
        }
        if shows(to_affected as f64 / (span.fair_share * attempts as f64)) {
            return Reacted::After(first.from_ns - span.from_ns);
        }
        (to_affected, attempts) = (to_affected - first.to_affected, attempts - first.attempts);
    }
    Reacted::Never
}

const SECOND_NS: u64 = 1_000_000_000;

/// With 20 attempts expected, fewer than 2 come by chance once in 2 x 10^7 groups.
pub const EVIDENCE: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::math;
    use crate::base::rand::{Bits, Rand, Seed};

    const S: u64 = 1_000_000_000;
    /// Warm-up to 20 s, a fault at 60 s, the end at 180 s.
    const SPAN: RecoverySpan =
        RecoverySpan { step_ns: S, warmup_ns: 20 * S, first_fault_ns: 60 * S, last_fault_ns: 60 * S, end_ns: 180 * S };

    /// 200 windows of 5,000 calls: p99 100 ms with lognormal noise, 1 in 1,000 fails.
    fn windows(noise: f64, rand: &mut Rand) -> Vec<RecoveryWindow> {
        let normal = |rand: &mut Rand| (0..12).fold(-6.0, |sum, _| sum + rand.unit());
        (0..200)
            .map(|second| RecoveryWindow {
                from_ns: second * S,
                ended: 5_000,
                failed: (5.0 + 5.0f64.sqrt() * normal(rand)).round_ties_even().max(0.0) as u64,
                p99_ns: Some((1e8 * math::exp(noise * normal(rand))) as u64),
            })
            .collect()
    }

    /// The same over and over, with p99 and failures of some stretches multiplied.
    fn disturbed(noise: f64, seed: u64, stretches: &[(std::ops::Range<usize>, f64, u64)]) -> Vec<RecoveryWindow> {
        let mut windows = windows(noise, &mut Seed::new(seed).stream("test/windows"));
        for (range, p99, failed) in stretches {
            for window in &mut windows[range.clone()] {
                window.p99_ns = window.p99_ns.map(|ns| (ns as f64 * p99) as u64);
                window.failed += failed;
            }
        }
        windows
    }

    #[test]
    fn without_noise_ten_percent_are_ten_percent() {
        let recovers = |factor| time_to_recover(&disturbed(0.0, 1, &[(60..90, factor, 0)]), &SPAN);
        assert_eq!(recovers(1.11), Reacted::After(30 * S));
        assert_eq!(recovers(1.09), Reacted::After(0));
    }

    #[test]
    fn it_recovers_late_or_at_once_or_never() {
        for seed in 1..20 {
            let recovers = |stretches: &_| time_to_recover(&disturbed(0.07, seed, stretches), &SPAN);
            assert_eq!(recovers(&[]), Reacted::After(0), "seed {seed}");
            assert_eq!(recovers(&[(60..95, 3.0, 400)]), Reacted::After(35 * S), "seed {seed}");
            assert_eq!(recovers(&[(60..95, 1.0, 400)]), Reacted::After(35 * S), "errors alone, seed {seed}");
            assert_eq!(recovers(&[(60..95, 3.0, 0)]), Reacted::After(35 * S), "p99 alone, seed {seed}");
            assert_eq!(recovers(&[(60..200, 1.5, 0)]), Reacted::Never, "seed {seed}");
            assert_eq!(recovers(&[(60..175, 3.0, 0)]), Reacted::Never, "too late to be sure, seed {seed}");
        }
    }

    #[test]
    fn a_relapse_counts_until_it_is_over() {
        for seed in 1..20 {
            let recovers = |stretches: &_| time_to_recover(&disturbed(0.07, seed, stretches), &SPAN);
            assert_eq!(recovers(&[(60..70, 3.0, 0), (120..121, 3.0, 0)]), Reacted::After(61 * S), "one window");
            assert_eq!(recovers(&[(60..70, 3.0, 0), (120..121, 1.0, 500)]), Reacted::After(61 * S), "of errors");
            let Reacted::After(ns) = recovers(&[(60..70, 3.0, 0), (120..140, 1.3, 0)]) else { panic!("seed {seed}") };
            assert!((78 * S..=80 * S).contains(&ns), "a slight, long one ends at {ns}, seed {seed}");
        }
    }

    #[test]
    fn noise_is_no_relapse() {
        let late = |noise: f64| {
            (0..200).filter(|seed| time_to_recover(&disturbed(noise, *seed, &[]), &SPAN) != Reacted::After(0)).count()
        };
        for (noise, most) in [(0.03, 0), (0.15, 6), (0.25, 10)] {
            let late = late(noise);
            assert!(late <= most, "noise {noise}: {late} of 200 quiet runs look disturbed");
        }
    }

    #[test]
    fn rare_errors_in_small_windows_are_no_relapse() {
        let mut windows = disturbed(0.0, 1, &[]);
        windows.iter_mut().for_each(|window| (window.ended, window.failed) = (90, 0));
        windows[100].failed = 1;
        windows[150].failed = 2;
        assert_eq!(time_to_recover(&windows, &SPAN), Reacted::After(0));
        windows[120].failed = 30;
        assert_eq!(time_to_recover(&windows, &SPAN), Reacted::After(61 * S));
    }

    #[test]
    fn silence_is_not_health() {
        let mut windows = disturbed(0.0, 1, &[]);
        let hushed = RecoveryWindow::default();
        windows[60..].iter_mut().for_each(|window| *window = RecoveryWindow { from_ns: window.from_ns, ..hushed });
        assert_eq!(time_to_recover(&windows, &SPAN), Reacted::Never, "nothing ends any more");
        windows[..60].iter_mut().for_each(|window| *window = RecoveryWindow { from_ns: window.from_ns, ..hushed });
        assert_eq!(time_to_recover(&windows, &SPAN), Reacted::Unknown, "nothing ever ended");
        assert_eq!(time_to_recover(&[], &SPAN), Reacted::Unknown);
        let no_quiet = RecoverySpan { first_fault_ns: 20 * S, ..SPAN };
        assert_eq!(time_to_recover(&disturbed(0.0, 1, &[]), &no_quiet), Reacted::Unknown);
    }

    #[test]
    fn faults_need_not_begin_with_a_window() {
        let span = RecoverySpan { last_fault_ns: 60 * S + S / 2, ..SPAN };
        let recovers = |range| time_to_recover(&disturbed(0.0, 1, &[(range, 3.0, 0)]), &span);
        assert_eq!(recovers(60..61), Reacted::After(S / 2));
        assert_eq!(recovers(59..60), Reacted::After(0), "before the last fault");
    }

    fn detects(to_affected: impl Fn(u64) -> u64, attempts: u64, fair_share: f64) -> Reacted {
        let step_ns = S / 10;
        let window =
            |i: u64| DetectWindow { from_ns: i * step_ns, to_affected: to_affected(i).min(attempts), attempts };
        let windows: Vec<DetectWindow> = (0..200).map(window).collect();
        let span = DetectSpan { step_ns, from_ns: 5 * S, until_ns: 15 * S, fair_share };
        time_to_detect(&windows, &span)
    }

    #[test]
    fn detection_is_the_first_window_that_shows_it() {
        let from = |second_tenths, before, after| move |i| if i < second_tenths { before } else { after };
        assert_eq!(detects(from(63, 100, 9), 1_000, 0.1), Reacted::After(1_300_000_000));
        assert_eq!(detects(from(50, 100, 0), 1_000, 0.1), Reacted::After(0));
        assert_eq!(detects(from(50, 100, 10), 1_000, 0.1), Reacted::Never, "10 % is not less than 10 %");
        assert_eq!(detects(from(150, 100, 0), 1_000, 0.1), Reacted::Never, "the fault is over");
        assert_eq!(detects(|_| 0, 0, 0.1), Reacted::Never, "no attempts, no evidence");
        assert_eq!(detects(|_| 0, 1_000, 1.0), Reacted::Unknown);
        assert_eq!(detects(|_| 0, 1_000, 0.0), Reacted::Unknown);
    }

    #[test]
    fn an_empty_window_is_no_detection() {
        // 5 attempts a window of which 1 would be fair: 20 windows make the evidence.
        assert_eq!(detects(|i| u64::from(i % 3 == 0), 5, 0.2), Reacted::Never);
        let Reacted::After(ns) = detects(|i| u64::from(i < 80), 5, 0.2) else { panic!("never") };
        assert!((2_800_000_000..=3_000_000_000).contains(&ns), "{ns}");
    }
}
