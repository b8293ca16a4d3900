//! The metrics. One entry here is a row in `summary.csv`, a key for gates, a label in charts and a line of
//! documentation: nothing else declares them.

use super::summary::Summary;

/// What a number is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count of calls.
    Calls,
    /// Calls per second of virtual time.
    PerSecond,
    /// A fraction or a quotient, without unit.
    Ratio,
    /// Milliseconds.
    Ms,
}

impl Unit {
    /// As written in the `unit` column.
    pub const fn text(self) -> &'static str {
        match self {
            Unit::Calls => "calls",
            Unit::PerSecond => "calls/s",
            Unit::Ratio => "ratio",
            Unit::Ms => "ms",
        }
    }
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less is good.
    Lower,
    /// More is good.
    Higher,
    /// Neither: a fact.
    Neither,
}

/// How differences of a metric are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Positive: compared by its logarithm, margins are relative.
    Log,
    /// A fraction: compared by its difference, margins are absolute.
    Fraction,
    /// Can be endless: compared by its median.
    Endless,
    /// A count that may be zero: compared by its difference.
    Count,
}

/// One number that a run has.
pub struct Metric {
    /// Its key in files, gates and tables.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// Which way is good.
    pub better: Better,
    /// How it is compared.
    pub scale: Scale,
    /// What it means, in one sentence.
    pub about: &'static str,
    /// Reads it; `None` is unknown, never zero.
    pub read: fn(&Summary) -> Option<f64>,
}

impl Metric {
    /// True for fractions that people read and write in percent.
    pub fn is_in_percent(&self) -> bool {
        self.unit == Unit::Ratio && self.scale == Scale::Fraction && !self.key.starts_with("load_")
    }
}

/// Prefix of the family of metrics that splits the error rate by cause.
pub const ERROR_RATE_BY_CAUSE: &str = "error_rate.";
/// Prefix of the family of metrics that splits the attempts by group of backends.
pub const SHARE_BY_GROUP: &str = "share.";

/// What the members of the `share.<group>` family have in common.
pub static SHARE: Metric = Metric {
    key: "share.<group>",
    title: "Share of a group",
    unit: Unit::Ratio,
    better: Better::Neither,
    scale: Scale::Fraction,
    about: "Attempts sent to the backends of one group of the file over all attempts; where there are several groups.",
    read: |_| None,
};

/// The value of a metric of any key, the families `error_rate.<cause>` and `share.<group>` included.
///
/// Outer `None`: there is no such metric. Inner `None`: it is unknown in this run.
pub fn value(summary: &Summary, key: &str) -> Option<Option<f64>> {
    if let Some(cause) = key.strip_prefix(ERROR_RATE_BY_CAUSE) {
        return crate::base::status::Cause::from_name(cause).map(|_| error_rate_of(summary, cause));
    }
    if let Some(group) = key.strip_prefix(SHARE_BY_GROUP) {
        return share_of(summary, group);
    }
    find(key).map(|metric| (metric.read)(summary))
}

/// The metric of this key, not counting the families `error_rate.<cause>` and `share.<group>`.
pub fn find(key: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.key == key)
}

/// The metric of this key; for a member of a family the one that it is written and judged like. Whether there is
/// such a group of backends is not looked at.
pub fn like(key: &str) -> Option<&'static Metric> {
    match key.strip_prefix(ERROR_RATE_BY_CAUSE) {
        Some(cause) => crate::base::status::Cause::from_name(cause).and_then(|_| find("error_rate")),
        None if key.starts_with(SHARE_BY_GROUP) => Some(&SHARE),
        None => find(key),
    }
}

/// The share of the attempts that a group of backends got. `None`: there is no such group.
pub fn share_of(summary: &Summary, group: &str) -> Option<Option<f64>> {
    let (_, attempts) = summary.groups.iter().find(|(name, _)| name == group)?;
    Some(ratio(u128::from(*attempts), u128::from(summary.work.attempts)))
}

/// The share of counted calls that failed for one cause.
pub fn error_rate_of(summary: &Summary, cause: &str) -> Option<f64> {
    let failed = summary.outcomes.failures.iter().find(|(name, _)| name == cause).map_or(0, |(_, count)| *count);
    ratio(u128::from(failed), u128::from(summary.outcomes.calls))
}

fn ratio(part: u128, whole: u128) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn ms(ns: Option<u64>) -> Option<f64> {
    ns.map(|ns| ns as f64 / 1e6)
}

fn latency(summary: &Summary, q: f64) -> Option<f64> {
    ms(summary.latency.quantile_ns(q))
}

macro_rules! metrics {
    ($( $key:literal, $title:literal, $unit:ident, $better:ident, $scale:ident, $read:expr, $about:literal; )*) => {
        /// All metrics, in the order of the columns and rows in which they are shown.
        pub static METRICS: &[Metric] = &[ $( Metric {
            key: $key, title: $title, unit: Unit::$unit, better: Better::$better, scale: Scale::$scale, about: $about, read: $read,
        } ),* ];
    };
}

metrics! {
    "calls", "Calls", Calls, Neither, Count, |s| Some(s.outcomes.calls as f64),
        "Calls whose intended start lies after the warm-up and before the end.";
    "goodput", "Goodput", PerSecond, Higher, Log, |s| s.goodput(),
        "Calls that ended well within their deadline, per second.";
    "error_rate", "Error rate", Ratio, Lower, Fraction, |s| ratio(u128::from(s.outcomes.calls - s.outcomes.ok), u128::from(s.outcomes.calls)),
        "Calls that did not end well over calls; unfinished ones count as errors.";
    "latency_mean", "Mean latency", Ms, Lower, Log, |s| s.latency.mean_ns().map(|ns| ns / 1e6),
        "Client-side, from the first intent to send to the final status, over calls that ended well.";
    "latency_p50", "p50", Ms, Lower, Log, |s| latency(s, 0.5), "Median of the same.";
    "latency_p90", "p90", Ms, Lower, Log, |s| latency(s, 0.9), "90th percentile of the same.";
    "latency_p99", "p99", Ms, Lower, Log, |s| latency(s, 0.99), "99th percentile of the same.";
    "latency_p999", "p99.9", Ms, Lower, Log, |s| latency(s, 0.999), "99.9th percentile of the same.";
    "latency_max", "Maximum latency", Ms, Lower, Log, |s| (s.latency.count > 0).then(|| s.latency.max_ns as f64 / 1e6),
        "Largest of the same.";
    "latency_all_p99", "p99 of all calls", Ms, Lower, Log, |s| ms(s.latency_all.quantile_ns(0.99)),
        "99th percentile over all calls, a failed one counting until its failure.";
    "attempts_per_call", "Attempts per call", Ratio, Lower, Log, |s| ratio(u128::from(s.outcomes.attempts), u128::from(s.outcomes.calls)),
        "Amplification: attempts sent for a call, over calls.";
    "load_max_over_mean", "Load max/mean", Ratio, Lower, Log, |s| s.spread.max_over_mean,
        "Attempts per backend over its fair (weight) share, the largest, over the whole measured stretch.";
    "load_min_over_mean", "Load min/mean", Ratio, Higher, Fraction, |s| s.spread.min_over_mean,
        "The same for the backend that got least; 0 if somebody got nothing.";
    "load_cv", "Load variation", Ratio, Lower, Fraction, |s| s.spread.cv, "Coefficient of variation of the same.";
    "load_jain", "Load fairness (Jain)", Ratio, Higher, Fraction, |s| s.spread.jain, "Jain's fairness index of the same; 1 is even.";
    "load_max_over_mean_1s", "Load max/mean in 1 s", Ratio, Lower, Log, |s| s.spread.max_over_mean_1s, "The same in windows of one second, mean over the windows.";
    "load_cv_1s", "Load variation in 1 s", Ratio, Lower, Fraction, |s| s.spread.cv_1s, "The same in windows of one second, mean over the windows.";
    "load_jain_1s", "Load fairness in 1 s", Ratio, Higher, Fraction, |s| s.spread.jain_1s, "The same in windows of one second, mean over the windows.";
    "load_oscillation", "Load oscillation", Ratio, Lower, Fraction, |s| s.spread.oscillation,
        "How far the shares of the backends swing in step, 0 to 1: the first peak of their autocorrelation in bins of 100 ms or \
         more; for fleets of up to 200, of which 16 are followed.";
    "load_oscillation_period", "Oscillation period", Ms, Neither, Log, |s| ms(s.spread.oscillation_period_ns),
        "After how long these swings return; where they do.";
    "time_to_recover", "Time to recover", Ms, Lower, Endless, |s| s.time_to_recover_ms(),
        "From the start of the last fault until error rate and p99 are back within 10 % of their value before it, for good.";
    "time_to_detect", "Time to detect", Ms, Lower, Endless, |s| s.time_to_detect_ms(),
        "From the start of a fault until the affected backends get less than 10 % of their fair share.";
    "time_to_fair_share", "Time to fair share", Ms, Lower, Endless, |s| s.time_to_fair_share_ms(),
        "From when the first backends join until they get 80 % of their fair share for a second.";
    "queue_max", "Longest queue", Calls, Lower, Count, |s| s.backends.iter().map(|backend| f64::from(backend.queue_max)).reduce(f64::max),
        "Most attempts that waited for a worker at one backend.";
    "connections_max_over_mean", "Connections max/mean", Ratio, Lower, Log, |s| s.connections_max_over_mean(),
        "Connections that a backend has when the run ends, the most of any over their mean.";
    "calls_to_dead", "Calls to the dead", Calls, Lower, Count, |s| Some(s.work.calls_to_dead as f64),
        "Attempts sent to a backend that could not answer.";
    "keys_moved", "Keys moved", Ratio, Lower, Fraction, |s| ratio(u128::from(s.work.keys_moved), u128::from(s.work.keys_compared)),
        "Keys whose backend changed across membership changes.";
    "keys_moved_collateral", "Keys moved for nothing", Ratio, Lower, Fraction,
        |s| ratio(u128::from(s.work.keys_collateral), u128::from(s.work.keys_compared)),
        "Of the same, those that moved between two backends which were there before and after.";
    "affinity_rate", "Affinity", Ratio, Higher, Fraction, |s| ratio(u128::from(s.work.keys_stayed), u128::from(s.work.keys_repeated)),
        "Calls with a key that went where the key's call before went, over those whose key was seen before.";
    "cache_hit_rate", "Cache hit rate", Ratio, Higher, Fraction, |s| ratio(u128::from(s.work.cache_hits), u128::from(s.work.cache_lookups)),
        "Hits over look-ups in the backends' caches.";
    "cross_zone_share", "Out-of-region share", Ratio, Lower, Fraction, |s| ratio(u128::from(s.work.cross_zone), u128::from(s.work.attempts)),
        "Attempts that left the client's region.";
    "wasted_work", "Wasted work", Ratio, Lower, Fraction, |s| ratio(s.work.wasted_ns, s.work.served_ns),
        "Service time spent on calls whose client had gone.";
}

impl Summary {
    /// Calls that ended well per second of the measured stretch.
    fn goodput(&self) -> Option<f64> {
        (self.measured_ns > 0).then(|| self.outcomes.ok as f64 / (self.measured_ns as f64 / 1e9))
    }

    /// Milliseconds; infinite if the run ended unrecovered; `None` without a fault.
    fn time_to_recover_ms(&self) -> Option<f64> {
        let reaction = &self.reaction;
        reaction
            .faulted
            .then(|| if reaction.recovered { ms(reaction.time_to_recover_ns) } else { Some(f64::INFINITY) })?
    }

    /// Milliseconds; infinite if it never happened; `None` where no fault has affected backends.
    fn time_to_detect_ms(&self) -> Option<f64> {
        let reaction = &self.reaction;
        reaction
            .detectable
            .then(|| if reaction.detected { ms(reaction.time_to_detect_ns) } else { Some(f64::INFINITY) })?
    }

    /// Milliseconds; infinite if it never happened; `None` where nobody has joined.
    fn time_to_fair_share_ms(&self) -> Option<f64> {
        let reaction = &self.reaction;
        reaction
            .joined
            .then(|| if reaction.settled { ms(reaction.time_to_fair_share_ns) } else { Some(f64::INFINITY) })?
    }

    /// `None` where connections are not counted, or where there are none.
    fn connections_max_over_mean(&self) -> Option<f64> {
        let counts: Vec<u32> = self.backends.iter().map(|backend| backend.connections).collect::<Option<_>>()?;
        let sum: u64 = counts.iter().copied().map(u64::from).sum();
        let max = counts.iter().max().copied()?;
        (sum > 0).then(|| f64::from(max) * counts.len() as f64 / sum as f64)
    }
}
