//! The charts. A row here is a file in `charts/`, a section of the page with its caption, and a link from every
//! gate on one of its metrics.

use super::Figure;
use super::{heat, imbalance, latency, paired, percentiles, pressure, reaction, throughput};
use crate::report::Page;

/// One chart.
pub struct Row {
    /// Name of the file without `.svg`, and of the section.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// How to read it, for somebody who sees it for the first time.
    pub read: &'static str,
    /// Metrics whose keys begin so are explained by it.
    pub metrics: &'static [&'static str],
    /// Draws it; `None` where the page has nothing to show.
    pub draw: fn(&Page<'_>) -> Option<Figure>,
}

/// The chart that explains a metric best.
pub fn explaining(metric: &str) -> Option<&'static Row> {
    CHARTS.iter().find(|row| row.metrics.iter().any(|start| metric.starts_with(start)))
}

/// In the order of the page.
pub static CHARTS: &[Row] = &[
    Row {
        name: "latency",
        title: "Latency over time",
        read: "The strong line is the 99th percentile of each window, the thin one the median, and the band lies between \
               them. Scales are logarithmic and shared, so equal heights are equal latencies. A call belongs to the \
               window in which it ended; only calls that ended well count.",
        metrics: &["latency_mean", "latency_max"],
        draw: latency::draw,
    },
    Row {
        name: "throughput",
        title: "Offered, good and failed calls",
        read: "Good calls should follow the offered ones. Where they part, calls fail or wait; failed calls rise from \
               the bottom. All panels share one scale.",
        metrics: &["goodput", "error_rate", "calls", "attempts_per_call"],
        draw: throughput::draw,
    },
    Row {
        name: "heat",
        title: "Who carried the load, and when",
        read: "A row is a backend, a column a moment, the colour its load over its fair share of all attempts of that \
               moment. Muted is fair; warm colours carry too much, cool ones too little, and the \
               strongest cool one got nothing at all. Rows are grouped by zone; thin lines mark faults.",
        metrics: &["calls_to_dead", "cross_zone_share", "share."],
        draw: heat::draw,
    },
    Row {
        name: "imbalance",
        title: "Imbalance over time",
        read: "The strong line is the busiest backend's load over its fair share (1 is even), the dashed one the \
               coefficient of variation over all backends (0 is even). Few calls per window look uneven by chance \
               alone, so compare contenders, not absolute heights.",
        metrics: &["load_", "connections_"],
        draw: imbalance::draw,
    },
    Row {
        name: "pressure",
        title: "Calls in flight and queues",
        read: "The strong line is the largest number of open calls in a window over all clients, the dashed one the \
               longest queue at any one backend. What keeps rising does not recover by itself.",
        metrics: &["wasted_work", "queue_max"],
        draw: pressure::draw,
    },
    Row {
        name: "percentiles",
        title: "The whole latency distribution",
        read: "Each step to the right leaves out nine tenths of the calls that are left, so the slowest of a thousand \
               get as much room as all the others. Lower and flatter is better. Latency counts from the intended \
               start of a call, so that a stalled client cannot hide its waiting calls; dotted stretches rest on \
               fewer than 450 calls beyond them in some run.",
        metrics: &["latency_p", "latency_all"],
        draw: percentiles::draw,
    },
    Row {
        name: "reaction",
        title: "Reaction to the faults",
        read: "From the beginning of the fault: the hollow mark is when the affected backends got less than a tenth \
               of their share, the full mark when error rate and p99 were back to normal for good. Small marks are \
               seeds, large ones their median. An arrow at the right end never got there within the run.",
        metrics: &["time_to"],
        draw: reaction::draw,
    },
    Row {
        name: "paired",
        title: "Differences to the baseline, seed by seed",
        read: "A dot is one seed: the contender against the baseline on exactly the same calls. The bar is the interval of the mean \
               difference, wide enough for all of them to hold at once. A bar that touches the zero line is a tie, however far its middle lies from it.",
        metrics: &[],
        draw: paired::draw,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::catalog::METRICS;

    #[test]
    fn gates_find_their_charts() {
        assert_eq!(explaining("latency_p99").map(|row| row.name), Some("percentiles"));
        assert_eq!(explaining("error_rate.deadline").map(|row| row.name), Some("throughput"));
        assert_eq!(explaining("time_to_recover").map(|row| row.name), Some("reaction"));
        let lost: Vec<&str> = METRICS.iter().map(|metric| metric.key).filter(|key| explaining(key).is_none()).collect();
        assert_eq!(explaining("share.canary").map(|row| row.name), Some("heat"));
        let none_yet = ["keys_moved", "keys_moved_collateral", "affinity_rate", "cache_hit_rate"];
        assert_eq!(lost, none_yet, "these have no chart yet");
    }
}
