//! Values per window of virtual time, and the picture of who carried the load when.

use serde::{Deserialize, Serialize};

/// Values per window, over the whole run including the warm-up. Windows are equally long and start at zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Series {
    /// Length of a window in nanoseconds.
    pub step_ns: u64,
    /// One entry a window.
    pub windows: Vec<Window>,
}

/// One window. Latencies belong to the window in which the call *ended*; `offered` to that of its birth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Window {
    /// Calls born.
    pub offered: u64,
    /// Calls that ended well.
    pub good: u64,
    /// Calls that ended otherwise.
    pub failed: u64,
    /// Attempts sent.
    pub attempts: u64,
    /// Median latency of those that ended well, in nanoseconds.
    pub p50_ns: Option<u64>,
    /// 99th percentile, likewise.
    pub p99_ns: Option<u64>,
    /// Largest number of open calls in the window.
    pub in_flight_max: u64,
    /// Most attempts waiting for a worker at any one backend.
    pub queue_max: u32,
    /// Largest load over fair share among the backends; `None` without attempts.
    pub max_over_mean: Option<f64>,
    /// Coefficient of variation of load over fair share.
    pub cv: Option<f64>,
    /// Look-ups in the backends' caches.
    #[serde(default)]
    pub cache_lookups: u64,
    /// Those that found their key.
    #[serde(default)]
    pub cache_hits: u64,
}

/// Load over fair share by backend and time. Rows are backends in id order, or equal runs of neighbouring
/// backends where there are more than [`Heat::ROWS_MAX`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Heat {
    /// Length of a column in nanoseconds.
    pub step_ns: u64,
    /// Number of backends in each row.
    pub backends_per_row: u32,
    /// `rows[r][t]`: attempts of row `r` in column `t`, over its fair share of all attempts of that column.
    /// `None` where the column has no attempts.
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Heat {
    /// More rows than this are merged.
    pub const ROWS_MAX: usize = 200;
    /// More columns than this are never made.
    pub const COLUMNS_MAX: usize = 240;
}
