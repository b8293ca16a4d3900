//! Scales and ticks. Round numbers, few of them, each with its unit.

use crate::base::math::{ln, pow};
use crate::report::number::{latency, loose, tick_count};

/// How a value becomes a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Map {
    /// Evenly.
    Linear,
    /// By its logarithm; values below the axis stand at its edge.
    Log,
    /// By the logarithm of one more than the value, so that zero has a place.
    LogPlusOne,
}

/// A stretch of values on a stretch of pixels. `from` may be larger than `to`: pixels grow downwards.
#[derive(Debug, Clone)]
pub struct Axis {
    map: Map,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    /// Value and label of each tick.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The same values on other pixels.
    pub fn between(&self, from: f64, to: f64) -> Axis {
        Axis { from, to, ..self.clone() }
    }

    /// Where a value stands; what lies outside stands at the edge.
    pub fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share =
            (self.map.apply(value) - self.map.apply(self.low)) / (self.map.apply(self.high) - self.map.apply(self.low));
        self.from + share * (self.to - self.from)
    }

    /// The smallest and the largest value.
    pub fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Virtual time from zero to `end` seconds.
    pub fn time(end: f64) -> Axis {
        let end = if end > 0.0 { end } else { 1.0 };
        let round = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0].into_iter();
        let step = round.clone().find(|step| (5.0..=8.5).contains(&(end / step))).unwrap_or(nice_step(end / 6.0));
        let ticks = steps(0.0, end, step).map(|t| (t, loose(t))).collect();
        Axis { map: Map::Linear, low: 0.0, high: end, from: 0.0, to: 1.0, ticks }
    }

    /// From zero to a little above the largest of `values`, with `label` for the ticks.
    pub fn linear(values: impl Iterator<Item = f64>, count: f64, label: fn(f64) -> String) -> Axis {
        let high = extremes(values).map(|(_, high)| high).filter(|high| *high > 0.0).unwrap_or(1.0);
        let step = nice_step(high * 1.02 / count);
        let high = step * ceil(high * 1.02 / step);
        let ticks = steps(0.0, high, step).map(|v| (v, label(v))).collect();
        Axis { map: Map::Linear, low: 0.0, high, from: 0.0, to: 1.0, ticks }
    }

    /// Latencies in milliseconds, logarithmic, with their unit at every tick.
    pub fn latency(values: impl Iterator<Item = f64>) -> Axis {
        Axis::log(values, 1e-3, latency)
    }

    /// Positive numbers, logarithmic. Values below `floor` stand at the edge.
    pub fn log(values: impl Iterator<Item = f64>, floor: f64, label: fn(f64) -> String) -> Axis {
        let (low, high) = extremes(values.filter(|value| *value > 0.0)).unwrap_or((1.0, 10.0));
        let (low, high) = (low.max(floor), high.max(floor));
        let grid = one_two_five(low, high);
        let (low, high) = (grid[0], grid[grid.len() - 1]);
        let ticks = grid.iter().copied().filter(|v| keep_tick(*v, high / low)).map(|v| (v, label(v))).collect();
        Axis { map: Map::Log, low, high, from: 0.0, to: 1.0, ticks }
    }

    /// From zero up to very many.
    pub fn counts(values: impl Iterator<Item = f64>) -> Axis {
        let (_, high) = extremes(values).unwrap_or((0.0, 1.0));
        let high = one_two_five(1.0, high.max(2.0)).pop().unwrap_or(10.0);
        let wide = high > 50.0;
        let tens = one_two_five(1.0, high).into_iter().filter(|v| !wide || is_power_of_ten(*v));
        let ticks = [0.0].into_iter().chain(tens).map(|v| (v, tick_count(v))).collect();
        Axis { map: Map::LogPlusOne, low: 0.0, high, from: 0.0, to: 1.0, ticks }
    }

    /// A stretch with given ticks.
    pub fn with_ticks(map: Map, low: f64, high: f64, ticks: Vec<(f64, String)>) -> Axis {
        Axis { map, low, high, from: 0.0, to: 1.0, ticks }
    }
}

impl Map {
    fn apply(self, value: f64) -> f64 {
        match self {
            Map::Linear => value,
            Map::Log => ln(value),
            Map::LogPlusOne => ln(1.0 + value),
        }
    }
}

/// The smallest and the largest finite value.
pub fn extremes(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |seen, value| match seen {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// The smallest of 1, 2, 5 × 10ⁿ that is not below `step`.
pub fn nice_step(step: f64) -> f64 {
    let mut power = 1e-9;
    while power * 10.0 < step {
        power *= 10.0;
    }
    // Multiples of an exact power where there is one, so that labels are round.
    let power = if power >= 0.5 { power.round() } else { 1.0 / (1.0 / power).round() };
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|nice| *nice >= step * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// Multiples of `step` from `low` to `high`.
pub fn steps(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = ceil(low / step - 1e-9) as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(move |i| i as f64 * step)
}

fn ceil(value: f64) -> f64 {
    (value - 1e-9).ceil()
}

/// 1, 2, 5 × 10ⁿ from the last one not above `low` to the first one not below `high`; at least two.
fn one_two_five(low: f64, high: f64) -> Vec<f64> {
    let grid: Vec<f64> = (-6..=15)
        .flat_map(|power| {
            [1.0, 2.0, 5.0]
                .map(|m| if power < 0 { m / pow(10.0, -f64::from(power)) } else { m * pow(10.0, f64::from(power)) })
        })
        .collect();
    let first = grid.iter().rposition(|v| *v <= low).unwrap_or(0);
    let last = grid.iter().position(|v| *v >= high).unwrap_or(grid.len() - 1).max(first + 1).min(grid.len() - 1);
    grid[first.min(last - 1)..=last].to_vec()
}

fn keep_tick(value: f64, span: f64) -> bool {
    span <= 400.0 || is_power_of_ten(value)
}

fn is_power_of_ten(value: f64) -> bool {
    let mut rest = if value < 1.0 { 1.0 / value } else { value };
    while rest > 9.999_999 {
        rest /= 10.0;
    }
    (rest - 1.0).abs() < 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(labels(&Axis::time(180.0)), ["0", "30", "60", "90", "120", "150", "180"]);
        assert_eq!(labels(&Axis::time(2000.0)), ["0", "300", "600", "900", "1,200", "1,500", "1,800"]);
        assert_eq!(labels(&Axis::time(0.6)), ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]);
        assert_eq!(labels(&Axis::latency([7.0, 61.0].into_iter())), ["5 ms", "10 ms", "20 ms", "50 ms", "100 ms"]);
        assert_eq!(labels(&Axis::latency([0.7, 6100.0].into_iter())), ["1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
        assert_eq!(labels(&Axis::linear([9000.0].into_iter(), 4.0, tick_count)), ["0", "5,000", "10k"]);
        assert_eq!(labels(&Axis::counts([3000.0].into_iter())), ["0", "1", "10", "100", "1,000"]);
    }

    #[test]
    fn nothing_leaves_the_axis() {
        let axis = Axis::latency([1.0, 100.0].into_iter()).between(200.0, 100.0);
        assert_eq!(axis.at(1.0), 200.0);
        assert_eq!(axis.at(1e9), 100.0);
        assert!((axis.at(10.0) - 150.0).abs() < 1e-9);
        for values in [vec![], vec![0.0], vec![f64::NAN, f64::INFINITY], vec![5.0], vec![1e-12], vec![1e30]] {
            let of = || values.iter().copied();
            for axis in [Axis::latency(of()), Axis::linear(of(), 4.0, loose), Axis::counts(of())] {
                let at = axis.at(3.0);
                assert!(at.is_finite(), "{values:?} {axis:?}");
                assert!(!axis.ticks.is_empty() && axis.ticks.len() < 40, "{values:?} {axis:?}");
            }
        }
    }

    #[test]
    fn steps_are_nice() {
        assert_eq!(nice_step(30.0), 50.0);
        assert_eq!(nice_step(0.03), 0.05);
        assert_eq!(nice_step(1.0), 1.0);
    }
}
