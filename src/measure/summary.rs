//! What one run left behind after folding, and all runs of a plan together. Plain data: every table, chart,
//! gate and file is made from this and from nothing else, so a page can be rebuilt years later.

use serde::{Deserialize, Serialize};

use super::series::{Heat, Series};
pub use crate::record::digest::Digests;

/// All runs of one plan, with the facts about the plan that a reader of the results needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// What was asked, and of which fleet.
    pub facts: Facts,
    /// One entry a contender, in the order of the file; `runs[i]` are its runs in the order of the seeds.
    pub contenders: Vec<Contender>,
}

/// The facts of a plan that results are read against.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The scenario's name, as in `name = "…"`.
    pub scenario: String,
    /// The question of the file's first comment line; empty if it has none.
    pub question: String,
    /// Program version that made the runs.
    pub version: String,
    /// Version of the semantics: equal input gives equal bytes only within one.
    pub semantics: u32,
    /// `virtual` or `live`.
    pub world: String,
    /// A command line that makes these results again.
    pub command: String,
    /// Nanoseconds of virtual time measured from zero: calls are counted from `warmup_ns` to `duration_ns`.
    pub duration_ns: u64,
    /// End of the discarded warm-up.
    pub warmup_ns: u64,
    /// The seeds, in order.
    pub seeds: Vec<u64>,
    /// Index into `contenders` of the one that others are compared with.
    pub baseline: usize,
    /// Number of client channels.
    pub clients: u32,
    /// One entry a backend, in id order.
    pub backends: Vec<BackendFact>,
    /// What was done to the fleet, for shading and for the story.
    pub events: Vec<EventFact>,
}

/// A backend as a reader knows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BackendFact {
    /// `group-number`, unique.
    pub name: String,
    /// `region/zone`.
    pub zone: String,
    /// Static weight.
    pub weight: u32,
}

/// A fault as a reader knows it: a name and a stretch of time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EventFact {
    /// Short text, such as `partition shenzhen`.
    pub label: String,
    /// Start in nanoseconds of virtual time.
    pub from_ns: u64,
    /// End in nanoseconds; equal to the start for an instant, the duration for one that never ends.
    pub until_ns: u64,
}

/// One contender with its runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Contender {
    /// Its name in the file.
    pub name: String,
    /// One line that says what it is, such as `least_request(choices=2) · retry 3`.
    pub about: String,
    /// True if it sees what no client can see.
    pub oracle: bool,
    /// In the order of the seeds.
    pub runs: Vec<Summary>,
}

/// The numbers folded out of one run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The seed of the run.
    pub seed: u64,
    /// Length of the measured stretch (`duration - warmup`) in nanoseconds.
    pub measured_ns: u64,
    /// Digests of the run.
    pub digests: Digests,
    /// Counts that must balance.
    pub accounting: Accounting,
    /// Calls whose intended start lies in the measured stretch, and how they ended.
    pub outcomes: Outcomes,
    /// Latency of the counted calls that ended well.
    pub latency: Latency,
    /// Latency of all counted calls, a failed one counting until its failure.
    pub latency_all: Latency,
    /// How evenly the attempts fell.
    pub spread: Spread,
    /// Keys, caches, zones, dead endpoints, wasted work.
    pub work: Work,
    /// Reaction to the faults; `None` where there was no fault or no way to tell.
    pub reaction: Reaction,
    /// Values per window of time.
    pub series: Series,
    /// Attempts per backend and window over the fair share.
    pub heat: Heat,
    /// One entry a backend, in id order.
    pub backends: Vec<BackendTally>,
    /// `(name, attempts in the measured stretch)` of each group of backends, in the order of the file.
    #[serde(default)]
    pub groups: Vec<(String, u64)>,
}

/// Counts over the whole run, warm-up and drain included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Accounting {
    /// Calls born.
    pub scheduled: u64,
    /// Calls that ended, well or not.
    pub ended: u64,
    /// Calls still open when the run was over.
    pub unfinished: u64,
    /// Attempts sent.
    pub attempts: u64,
    /// Events handled.
    pub events: u64,
    /// Sum of all sojourn times in nanoseconds; equal to `in_flight_area_ns` (Little's law).
    pub sojourn_sum_ns: u128,
    /// Integral of calls in flight over time in nanoseconds.
    pub in_flight_area_ns: u128,
    /// Times that only the order of insertion decided between two events.
    pub ties: u64,
}

/// How the counted calls ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// Counted calls.
    pub calls: u64,
    /// Those that ended well within their deadline.
    pub ok: u64,
    /// `(cause, count)` of the others, causes with zero left out, in catalogue order.
    pub failures: Vec<(String, u64)>,
    /// Attempts made for the counted calls.
    pub attempts: u64,
}

/// A distribution of latencies, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Exact sum.
    pub sum_ns: u128,
    /// Exact maximum; 0 if there is none.
    pub max_ns: u64,
    /// `(q, value)` for the fixed grid [`QUANTILES`], empty if there is no value.
    pub quantiles: Vec<(f64, u64)>,
}

/// The grid on which latency distributions are kept: dense enough for a percentile plot.
pub const QUANTILES: &[f64] = &[
    0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.94,
    0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.992, 0.994, 0.996, 0.998, 0.999, 0.9995, 0.9999, 0.99995, 0.99999,
];

impl Latency {
    /// The value at `q`, if `q` is on the grid and there are values.
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        self.quantiles.iter().find(|(at, _)| *at == q).map(|(_, value)| *value)
    }

    /// The exact mean.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64)
    }
}

/// Attempts per backend over the fair (weight) share.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// Largest ratio of load to fair share over the measured stretch.
    pub max_over_mean: Option<f64>,
    /// Smallest ratio, 0 for a backend that got nothing.
    #[serde(default)]
    pub min_over_mean: Option<f64>,
    /// Coefficient of variation of that ratio.
    pub cv: Option<f64>,
    /// Jain's index of that ratio.
    pub jain: Option<f64>,
    /// Mean of the same over 1-s windows.
    pub max_over_mean_1s: Option<f64>,
    /// Mean over 1-s windows.
    pub cv_1s: Option<f64>,
    /// Mean over 1-s windows.
    pub jain_1s: Option<f64>,
    /// First peak of the autocorrelation of the backends' shares; `None` for large fleets and short runs.
    #[serde(default)]
    pub oscillation: Option<f64>,
    /// Its lag, where the peak is high enough to mean something.
    #[serde(default)]
    pub oscillation_period_ns: Option<u64>,
}

/// What the work went into.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Work {
    /// Attempts sent to a backend that could not answer.
    pub calls_to_dead: u64,
    /// Attempts that left the client's region.
    pub cross_zone: u64,
    /// Attempts in the measured stretch: what `cross_zone` is a share of.
    pub attempts: u64,
    /// Cache hits and look-ups in the measured stretch.
    pub cache_hits: u64,
    /// Look-ups.
    pub cache_lookups: u64,
    /// Service time spent, in nanoseconds.
    pub served_ns: u128,
    /// Of that, on calls whose client had gone.
    pub wasted_ns: u128,
    /// Keys seen both before and after a membership change whose backend changed.
    pub keys_moved: u64,
    /// Keys seen both before and after a membership change.
    pub keys_compared: u64,
    /// Of those moved: from a backend that stayed to one that was there already.
    #[serde(default)]
    pub keys_collateral: u64,
    /// Calls of the measured stretch whose key was seen before.
    #[serde(default)]
    pub keys_repeated: u64,
    /// Of those: calls that went where their key went last.
    #[serde(default)]
    pub keys_stayed: u64,
}

/// How the fleet answered to the faults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reaction {
    /// True if the scenario has a fault, so that the others mean something.
    pub faulted: bool,
    /// From the start of the last fault until things are back for good; `f64::INFINITY` never appears here:
    /// a run that does not recover has `recovered = false`.
    pub time_to_recover_ns: Option<u64>,
    /// Whether it recovered within the run.
    pub recovered: bool,
    /// True if some fault has affected backends, so that detection means something.
    pub detectable: bool,
    /// From the start of the first fault with affected backends until these get less than a tenth of their share.
    pub time_to_detect_ns: Option<u64>,
    /// Whether that was ever so.
    pub detected: bool,
    /// True if a backend joined that was not there at the start.
    #[serde(default)]
    pub joined: bool,
    /// From then until those that joined together get 80 % of their fair share for a second.
    #[serde(default)]
    pub time_to_fair_share_ns: Option<u64>,
    /// Whether that was ever so.
    #[serde(default)]
    pub settled: bool,
}

/// One backend over the measured stretch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BackendTally {
    /// Attempts sent to it.
    pub attempts: u64,
    /// Replies that were well.
    pub ok: u64,
    /// Attempts that failed there.
    pub failed: u64,
    /// Busy worker time in nanoseconds.
    pub served_ns: u128,
    /// Most attempts waiting for a worker at one time.
    pub queue_max: u32,
    /// Most attempts inside at one time.
    pub in_flight_max: u32,
    /// Clients that are connected to it when the run ends; `None` where nobody counts them.
    #[serde(default)]
    pub connections: Option<u32>,
}
