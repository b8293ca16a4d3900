//! Gates as a plan resolves them: names are indices, quantities are numbers in the unit of the metric.

use serde::{Deserialize, Serialize};

use super::reading::{self, Traits, WINDOW_KEYS};
use crate::base::time::Duration;
use crate::measure::catalog::{Better, Scale, Unit};

/// One `[[expect]]` of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Index of the contender under the gate; `None` for every contender (but the one it is compared with).
    pub contender: Option<usize>,
    /// Key of a metric of the catalogue, or `error_rate.<cause>`.
    pub metric: String,
    /// Judge over this stretch of virtual time only, `(from, until)` in nanoseconds since the run began.
    pub window: Option<(u64, u64)>,
    /// What is promised.
    pub limit: Limit,
    /// Where the gate was written, for messages, such as `region-outage.toml:74`.
    pub place: String,
}

/// What a gate promises about a metric. Numbers are in the unit of the metric: milliseconds for times, fractions
/// (not percent) for ratios.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Not above this.
    AtMost(f64),
    /// Not below this.
    AtLeast(f64),
    /// Not worse than another contender under the same seeds, by more than a margin.
    NoWorseThan {
        /// Index of the other contender.
        contender: usize,
        /// How much worse is still fine; `None` for [`default_margin`]. Relative (0.025 is 2.5 %), but absolute for
        /// fractions (0.001 is 0.1 percentage points).
        margin: Option<f64>,
    },
}

/// The margin of a gate that names none: 2.5 % for what is compared by its ratio, 0.1 percentage points for
/// fractions, whose ratio means nothing near zero.
pub const fn default_margin(scale: Scale) -> f64 {
    match scale {
        Scale::Log | Scale::Count | Scale::Endless => 0.025,
        Scale::Fraction => 0.001,
    }
}

/// Why a gate can never be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The key of the gate that is wrong, such as `window`.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Refusal {
    fn new(key: &'static str, message: impl Into<String>, help: impl Into<String>) -> Refusal {
        Refusal { key, message: message.into(), help: help.into() }
    }
}

impl Rule {
    /// Why this gate can never be judged, if so: for a plan to refuse it at its place. What is left to find is in
    /// the data.
    pub fn refusal(&self) -> Option<Refusal> {
        let Rule { metric, window, .. } = self;
        let Some(traits) = reading::traits(metric) else {
            let help = "`plimsoll list metrics` shows all of them";
            return Some(Refusal::new("metric", format!("there is no metric `{metric}`"), help));
        };
        if let Some((from, until)) = window {
            if !WINDOW_KEYS.contains(&metric.as_str()) {
                let help = format!("leave `window` out, or take one of `{}`", WINDOW_KEYS.join("`, `"));
                return Some(Refusal::new("window", format!("`{metric}` is not known by window"), help));
            }
            if from >= until {
                let help = "write `window = [\"60s\", \"90s\"]`";
                return Some(Refusal::new("window", "the window ends before it begins", help));
            }
        }
        match self.limit {
            Limit::AtMost(bound) | Limit::AtLeast(bound) if !bound.is_finite() => {
                let key = if matches!(self.limit, Limit::AtMost(_)) { "at_most" } else { "at_least" };
                Some(Refusal::new(key, format!("{bound} is not a bound"), "write a number"))
            }
            Limit::NoWorseThan { margin: Some(margin), .. } if !(margin.is_finite() && margin >= 0.0) => {
                Some(Refusal::new("margin", format!("{margin} is not a margin"), "it is 0 or more"))
            }
            Limit::NoWorseThan { .. } if traits.better == Better::Neither => {
                let message = format!("neither more nor less of `{metric}` is worse");
                Some(Refusal::new("no_worse_than", message, "use `at_most` or `at_least`"))
            }
            _ => None,
        }
    }

    /// The margin of a `no_worse_than`, resolved. 0 for the other limits.
    pub(super) fn margin(&self, scale: Scale) -> f64 {
        match self.limit {
            Limit::NoWorseThan { margin, .. } => margin.unwrap_or(default_margin(scale)),
            Limit::AtMost(_) | Limit::AtLeast(_) => 0.0,
        }
    }

    /// The limit as a scenario says it: `at most 250ms`, `no worse than p2c by more than 2.5 %`. `name` gives the name
    /// of a contender.
    pub fn limit_text<'a>(&self, name: impl Fn(usize) -> &'a str) -> String {
        let traits = reading::traits(&self.metric);
        let bound = |bound| traits.map_or_else(|| number(bound), |traits| quantity(bound, traits));
        match self.limit {
            Limit::AtMost(most) => format!("at most {}", bound(most)),
            Limit::AtLeast(least) => format!("at least {}", bound(least)),
            Limit::NoWorseThan { contender, .. } => {
                format!("no worse than {} by more than {}", name(contender), self.margin_text(traits))
            }
        }
    }

    fn margin_text(&self, traits: Option<Traits>) -> String {
        let scale = traits.map_or(Scale::Log, |traits| traits.scale);
        let percent = number(100.0 * self.margin(scale));
        if scale == Scale::Fraction { format!("{percent} percentage points") } else { format!("{percent} %") }
    }
}

/// A bound with its unit, as it stands in a scenario: `30s`, `10.5%`, `900 calls/s`.
fn quantity(bound: f64, traits: Traits) -> String {
    match traits.unit {
        Unit::Ms if (0.0..LONGEST_MS).contains(&bound) => {
            Duration::from_nanos((bound * 1e6).round_ties_even() as u64).to_string()
        }
        Unit::Ratio if traits.in_percent => format!("{}%", number(100.0 * bound)),
        Unit::Ratio => number(bound),
        unit => format!("{} {}", number(bound), unit.text()),
    }
}

/// Durations are whole nanoseconds in 64 bits.
const LONGEST_MS: f64 = 1e13;

/// A number as a person would have written it: nine digits at most, no trailing zeros.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() || value == 0.0 || value.abs() < 1e-6 || value.abs() >= 1e15 {
        return format!("{value}");
    }
    let rounded = format!("{value:.9}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(metric: &str, limit: Limit) -> Rule {
        Rule { contender: Some(0), metric: metric.into(), window: None, limit, place: String::new() }
    }

    fn versus(margin: Option<f64>) -> Limit {
        Limit::NoWorseThan { contender: 1, margin }
    }

    #[test]
    fn limits_read_like_sentences() {
        let text = |metric: &str, limit| rule(metric, limit).limit_text(|_| "p2c");
        assert_eq!(text("latency_p99", Limit::AtMost(250.0)), "at most 250ms");
        assert_eq!(text("latency_p99", Limit::AtMost(0.25)), "at most 250us");
        assert_eq!(text("time_to_recover", Limit::AtMost(30_000.0)), "at most 30s");
        assert_eq!(text("load_cv", Limit::AtMost(0.05)), "at most 0.05");
        assert_eq!(text("error_rate.deadline", Limit::AtMost(0.105)), "at most 10.5%");
        assert_eq!(text("goodput", Limit::AtLeast(8_999.5)), "at least 8999.5 calls/s");
        assert_eq!(text("error_rate", Limit::AtMost(0.001)), "at most 0.1%");
        assert_eq!(text("error_rate", Limit::AtMost(1e-7)), "at most 0.00001%");
        assert_eq!(text("latency_p99", versus(None)), "no worse than p2c by more than 2.5 %");
        assert_eq!(text("latency_p99", versus(Some(0.07))), "no worse than p2c by more than 7 %");
        assert_eq!(text("error_rate", versus(None)), "no worse than p2c by more than 0.1 percentage points");
    }

    #[test]
    fn what_can_never_be_judged_is_refused() {
        let refusal = |metric: &str, limit| rule(metric, limit).refusal();
        assert_eq!(refusal("latency_p99", Limit::AtMost(1.0)), None);
        assert_eq!(refusal("error_rate.deadline", versus(None)), None);
        assert_eq!(refusal("calls", Limit::AtLeast(1.0)), None);
        let key = |metric: &str, limit| refusal(metric, limit).map(|refusal| refusal.key);
        assert_eq!(key("calls", versus(None)), Some("no_worse_than"));
        assert!(refusal("calls", versus(None)).unwrap().help.contains("use `at_most` or `at_least`"));
        assert!(refusal("latency_p98", Limit::AtMost(1.0)).unwrap().message.contains("no metric `latency_p98`"));
        assert_eq!(key("error_rate", Limit::AtMost(f64::NAN)), Some("at_most"));
        assert_eq!(key("error_rate", versus(Some(-0.1))), Some("margin"));
    }

    #[test]
    fn windows_are_for_some_metrics() {
        let windowed = |metric: &str, window| Rule { window, ..rule(metric, Limit::AtMost(1.0)) }.refusal();
        assert_eq!(windowed("error_rate", Some((5, 9))), None);
        assert!(windowed("error_rate", Some((9, 5))).unwrap().message.contains("ends before"));
        let refusal = windowed("time_to_recover", Some((5, 9))).unwrap();
        assert_eq!(refusal.key, "window");
        assert!(refusal.help.contains("`goodput`, `error_rate`"));
    }
}
