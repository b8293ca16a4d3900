//! Laws of random durations: how long a service takes, a hop, a pause, a thought.
//!
//! A [`Law`] is what a file says, checked; a [`Sampler`] is its compiled form. Every draw is by inversion with a
//! number of uniforms that the law alone fixes: no rejection and nothing cached, so two runs that differ in a
//! parameter stay in step, and a duration is monotone in its uniform. The only roundings are those of `math` and
//! one to the nearest nanosecond at the end.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::base::choice::choice;
use crate::base::math;
use crate::base::quantity::{Factor, Ratio};
use crate::base::rand::{Bits, Chance};
use crate::base::time::Duration;

/// A checked law of durations. In a file: `"8ms"` for a constant, or a distribution such as
/// `{ lognormal = { mean = "8ms", cv = 0.6 } }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Law(Distribution);

choice! {
    /// The distributions that a file can name.
    pub enum Distribution as "distribution" {
        /// Always the same.
        Constant = "constant" => Constant,
        /// Without memory: variation 1.
        Exponential = "exponential" => Exponential,
        /// Every duration between two bounds alike.
        Uniform = "uniform" => Uniform,
        /// The exponential of a normal: the usual shape of service times.
        Lognormal = "lognormal" => Lognormal,
        /// A heavy tail, with or without an end.
        Pareto = "pareto" => Pareto,
        /// Shape below 1: a heavier tail than the exponential; above 1: a lighter one.
        Weibull = "weibull" => Weibull,
        /// Two exponential branches with equal shares of the work: variation above 1.
        Hyperexponential = "hyperexponential" => Hyperexponential,
        /// A sum of equal exponential stages: variation below 1.
        Erlang = "erlang" => Erlang,
        /// Measured values, or quantiles with straight lines between them.
        Empirical = "empirical" => Empirical,
    }
}

/// Parameters of `constant`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The duration.
    pub value: Duration,
}

/// Parameters of `exponential`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// The mean.
    pub mean: Duration,
}

/// Parameters of `uniform`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// The shortest duration.
    pub min: Duration,
    /// The longest duration.
    pub max: Duration,
}

/// Parameters of `lognormal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lognormal {
    /// The mean of the durations (not of their logarithms).
    pub mean: Duration,
    /// Coefficient of variation: standard deviation over mean.
    pub cv: Factor,
}

/// Parameters of `pareto`: one of `min` and `mean`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pareto {
    /// The shortest duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Duration>,
    /// The mean; `min` follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Duration>,
    /// The exponent of the tail; smaller is heavier. The mean is finite above 1, the variance above 2.
    pub shape: Factor,
    /// The longest duration. Left out: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
}

/// Parameters of `weibull`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weibull {
    /// The mean.
    pub mean: Duration,
    /// 1 is the exponential, below 1 varies more.
    pub shape: Factor,
}

/// Parameters of `hyperexponential`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hyperexponential {
    /// The mean.
    pub mean: Duration,
    /// Coefficient of variation, 1 or more.
    pub cv: Factor,
}

/// Parameters of `erlang`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erlang {
    /// The mean of the whole.
    pub mean: Duration,
    /// The number of stages.
    pub k: u32,
}

/// Parameters of `empirical`: one of `values` and `quantiles`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Empirical {
    /// Durations that are equally likely.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Duration>,
    /// Pairs of a share and the duration that this share does not exceed, from `"0%"` to `"100%"`; straight lines
    /// between them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<(Ratio, Duration)>,
}

/// Why a distribution cannot be drawn from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{law}: {why}")]
pub struct LawError {
    law: &'static str,
    why: String,
}

/// A law ready to draw from, with everything that can be computed beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler(Form);

/// All numbers are nanoseconds.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    Constant(f64),
    Exponential {
        mean: f64,
    },
    Uniform {
        min: u64,
        count: u64,
    },
    Lognormal {
        mu: f64,
        sigma: f64,
    },
    /// `floor` is `(min / max)^shape`: how likely an unbounded draw would exceed `max`.
    Pareto {
        min: f64,
        max: f64,
        floor: f64,
        power: f64,
    },
    Weibull {
        scale: f64,
        power: f64,
    },
    Hyperexponential {
        first: Chance,
        means: [f64; 2],
    },
    Erlang {
        stages: u32,
        mean: f64,
    },
    Values(Arc<[u64]>),
    /// Thresholds out of 2^64, and the values there.
    Quantiles(Arc<[(u128, u64)]>),
}

impl Law {
    /// Always `value`, as the text `"8ms"` means it.
    ///
    /// # Panics
    /// When `value` is above 104 days: longer ones from users are refused by the parser.
    pub fn constant(value: Duration) -> Law {
        assert!(value <= LONGEST, "a constant of {value}");
        Law(Distribution::Constant(Constant { value }))
    }

    /// What the file says.
    pub fn distribution(&self) -> &Distribution {
        &self.0
    }

    /// The form to draw from.
    pub fn compile(&self) -> Sampler {
        Sampler(self.0.form())
    }

    /// The mean, to the nearest nanosecond; `None` if it is infinite.
    pub fn mean(&self) -> Option<Duration> {
        let (mean, _) = self.0.moments();
        mean.is_finite().then(|| nearest(mean))
    }

    /// The squared coefficient of variation (variance over squared mean), 0 for a constant; `None` if infinite.
    pub fn scv(&self) -> Option<f64> {
        let (mean, second) = self.0.moments();
        if mean == 0.0 {
            return Some(0.0);
        }
        let scv = second / (mean * mean) - 1.0;
        // The subtraction leaves a rounding error of either sign around zero.
        (mean.is_finite() && scv.is_finite()).then_some(scv.max(0.0))
    }
}

impl Sampler {
    /// The value of a law that has only one, so that a caller need not draw.
    pub fn constant(&self) -> Option<Duration> {
        match self.0 {
            Form::Constant(value) => Some(nearest(value)),
            _ => None,
        }
    }

    /// One duration.
    ///
    /// # Panics
    /// Never for a law that was checked: no draw of one reaches 2^62 ns.
    #[inline]
    pub fn sample<B: Bits>(&self, bits: &mut B) -> Duration {
        nearest(self.0.draw(bits))
    }

    /// One duration times `factor` (a call's demand, a backend's slowness), rounded once; 146 years (2^62 ns)
    /// where it would be longer.
    ///
    /// # Panics
    /// When `factor` is negative.
    #[inline]
    pub fn sample_scaled<B: Bits>(&self, bits: &mut B, factor: f64) -> Duration {
        debug_assert!(factor >= 0.0 && factor.is_finite(), "a draw is scaled by {factor}");
        // The law of most models deserves a short way.
        let drawn = if let Form::Exponential { mean } = self.0 { exponential(bits) * mean } else { self.0.draw(bits) };
        nearest((drawn * factor).min(LARGEST_DRAW))
    }
}

impl Form {
    /// One duration in nanoseconds, not rounded yet.
    #[inline]
    fn draw<B: Bits>(&self, bits: &mut B) -> f64 {
        match *self {
            Form::Constant(value) => value,
            Form::Exponential { mean } => exponential(bits) * mean,
            Form::Uniform { min, count } => (min + bits.below(count)) as f64,
            Form::Lognormal { mu, sigma } => math::exp(mu + sigma * math::normal_quantile(bits.unit())),
            Form::Pareto { min, max, floor, power } => {
                let above = floor + (1.0 - floor) * bits.unit();
                (min * math::exp(-math::ln(above) * power)).min(max)
            }
            Form::Weibull { scale, power } => scale * math::exp(math::ln(exponential(bits)) * power),
            Form::Hyperexponential { first, means } => {
                let mean = if bits.chance(first) { means[0] } else { means[1] };
                exponential(bits) * mean
            }
            Form::Erlang { stages, mean } => (0..stages).map(|_| exponential(bits)).sum::<f64>() * mean,
            Form::Values(ref values) => values[bits.below(values.len() as u64) as usize] as f64,
            Form::Quantiles(ref knots) => interpolate(knots, bits.next_u64()) as f64,
        }
    }
}

impl Distribution {
    /// Refuses what cannot be drawn from.
    fn check(&self) -> Result<(), LawError> {
        let refuse = |why: String| Err(LawError { law: self.name(), why });
        let parameters = match self {
            Distribution::Constant(c) => at_most_longest("value", c.value),
            Distribution::Exponential(c) => positive("mean", c.mean),
            Distribution::Uniform(c) => c.check(),
            Distribution::Lognormal(c) => positive("mean", c.mean),
            Distribution::Pareto(c) => c.check(),
            Distribution::Weibull(c) => positive("mean", c.mean).and_then(|()| shape_in_range(c.shape)),
            Distribution::Hyperexponential(c) => c.check(),
            Distribution::Erlang(c) => c.check(),
            Distribution::Empirical(c) => c.check(),
        };
        if let Err(why) = parameters {
            return refuse(why);
        }
        let form = self.form();
        let in_range = |uniforms: &[u64; 2]| {
            let ns = form.draw(&mut Extreme { uniforms: *uniforms, drawn: 0 });
            (0.0..=LARGEST_DRAW).contains(&ns)
        };
        if !EXTREMES.iter().all(in_range) {
            return refuse(
                "some draws would be longer than 146 years: lower the mean or the variation, or give a `max`".into(),
            );
        }
        Ok(())
    }

    fn form(&self) -> Form {
        match self {
            Distribution::Constant(c) => Form::Constant(ns(c.value)),
            Distribution::Exponential(c) => Form::Exponential { mean: ns(c.mean) },
            Distribution::Uniform(c) => {
                let min = c.min.as_nanos();
                Form::Uniform { min, count: c.max.as_nanos() - min + 1 }
            }
            Distribution::Lognormal(c) => {
                let variance = math::ln_1p(c.cv.value() * c.cv.value());
                Form::Lognormal { mu: math::ln(ns(c.mean)) - 0.5 * variance, sigma: variance.sqrt() }
            }
            Distribution::Pareto(c) => c.form(),
            Distribution::Weibull(c) => {
                let power = 1.0 / c.shape.value();
                Form::Weibull { scale: ns(c.mean) / math::gamma(1.0 + power), power }
            }
            Distribution::Hyperexponential(c) => c.form(),
            Distribution::Erlang(c) => Form::Erlang { stages: c.k, mean: ns(c.mean) / f64::from(c.k) },
            Distribution::Empirical(c) => c.form(),
        }
    }

    /// The first two moments about zero, in ns and ns^2; infinite where they are.
    fn moments(&self) -> (f64, f64) {
        let with_scv = |mean: Duration, scv: f64| (ns(mean), ns(mean) * ns(mean) * (1.0 + scv));
        match self {
            Distribution::Constant(c) => with_scv(c.value, 0.0),
            Distribution::Exponential(c) => with_scv(c.mean, 1.0),
            Distribution::Uniform(c) => {
                let (mean, width) = (0.5 * (ns(c.min) + ns(c.max)), ns(c.max) - ns(c.min));
                (mean, mean * mean + width * width / 12.0)
            }
            Distribution::Lognormal(c) => with_scv(c.mean, c.cv.value() * c.cv.value()),
            Distribution::Pareto(c) => c.moments(),
            Distribution::Weibull(c) => {
                let power = 1.0 / c.shape.value();
                let first = math::gamma(1.0 + power);
                with_scv(c.mean, math::gamma(1.0 + 2.0 * power) / (first * first) - 1.0)
            }
            Distribution::Hyperexponential(c) => with_scv(c.mean, c.cv.value() * c.cv.value()),
            Distribution::Erlang(c) => with_scv(c.mean, 1.0 / f64::from(c.k)),
            Distribution::Empirical(c) => c.moments(),
        }
    }
}

impl Uniform {
    fn check(&self) -> Result<(), String> {
        at_most_longest("max", self.max)?;
        if self.min < self.max {
            Ok(())
        } else {
            Err(format!("`min` ({}) must be below `max` ({})", self.min, self.max))
        }
    }
}

impl Pareto {
    fn check(&self) -> Result<(), String> {
        shape_in_range(self.shape)?;
        let (name, value) = match (self.min, self.mean) {
            (Some(min), None) => ("min", min),
            (None, Some(mean)) => ("mean", mean),
            (None, None) => return Err("one of `min` and `mean` is needed".into()),
            (Some(_), Some(_)) => {
                return Err("give one of `min` and `mean`, not both: each follows from the other".into());
            }
        };
        positive(name, value)?;
        if let Some(max) = self.max {
            at_most_longest("max", max)?;
            if value >= max {
                return Err(format!("`{name}` ({value}) must be below `max` ({max})"));
            }
        } else if name == "mean" && self.shape.value() <= 1.0 {
            return Err(format!("with `shape` {} the mean is infinite: give `min`, or a `max`", self.shape));
        }
        Ok(())
    }

    /// The shortest duration, in ns: as given, or the one that yields the mean.
    fn shortest(&self) -> f64 {
        let shape = self.shape.value();
        match (self.min, self.mean, self.max) {
            (Some(min), _, _) => ns(min),
            (None, mean, None) => ns(mean.unwrap_or_default()) * (shape - 1.0) / shape,
            (None, mean, Some(max)) => {
                // The mean rises with the lower bound, so halving an interval finds it.
                let (mean, max) = (ns(mean.unwrap_or_default()), ns(max));
                let (mut low, mut high) = (0.0, mean);
                for _ in 0..200 {
                    let middle = 0.5 * (low + high);
                    if bounded_moment(middle, max, shape, 1.0) < mean {
                        low = middle;
                    } else {
                        high = middle;
                    }
                }
                high
            }
        }
    }

    fn form(&self) -> Form {
        let (min, shape) = (self.shortest(), self.shape.value());
        let (max, floor) = match self.max {
            None => (f64::INFINITY, 0.0),
            Some(max) => (ns(max), math::exp(shape * math::ln(min / ns(max)))),
        };
        Form::Pareto { min, max, floor, power: 1.0 / shape }
    }

    fn moments(&self) -> (f64, f64) {
        let (min, shape) = (self.shortest(), self.shape.value());
        let moment = |order: f64| match self.max {
            Some(max) => bounded_moment(min, ns(max), shape, order),
            None if shape > order => shape * math::pow(min, order) / (shape - order),
            None => f64::INFINITY,
        };
        (moment(1.0), moment(2.0))
    }
}

impl Hyperexponential {
    fn check(&self) -> Result<(), String> {
        if self.cv.value() < 1.0 {
            return Err(format!("`cv` is 1 or more, not {}: for less choose `erlang` or `lognormal`", self.cv));
        }
        positive("mean", self.mean)
    }

    /// Balanced means: the branches are taken with `p = (1 + s) / 2` and `1 - p`, where
    /// `s = sqrt((scv - 1) / (scv + 1))`, and last `mean / 2p` and `mean / 2(1 - p)`.
    fn form(&self) -> Form {
        let scv = self.cv.value() * self.cv.value();
        let s = ((scv - 1.0) / (scv + 1.0)).sqrt();
        // 1 - s without cancellation, for large scv.
        let rest = 2.0 / ((scv + 1.0) * (1.0 + s));
        let mean = ns(self.mean);
        Form::Hyperexponential { first: Chance::new(0.5 * (1.0 + s)), means: [mean / (1.0 + s), mean / rest] }
    }
}

impl Erlang {
    fn check(&self) -> Result<(), String> {
        if !(1..=MOST_STAGES).contains(&self.k) {
            return Err(format!("`k`, the number of stages, is 1 to {MOST_STAGES}, not {}", self.k));
        }
        positive("mean", self.mean)
    }
}

impl Empirical {
    fn check(&self) -> Result<(), String> {
        match (self.values.is_empty(), self.quantiles.is_empty()) {
            (true, true) => Err("one of `values` and `quantiles` is needed".into()),
            (false, false) => Err("give one of `values` and `quantiles`, not both".into()),
            (false, true) => self.values.iter().try_for_each(|&value| at_most_longest("values", value)),
            (true, false) => self.check_quantiles(),
        }
    }

    fn check_quantiles(&self) -> Result<(), String> {
        let (first, last) = (self.quantiles[0], self.quantiles[self.quantiles.len() - 1]);
        if first.0 != Ratio::ZERO {
            return Err(format!("`quantiles` begin with \"0%\", the shortest duration, not with \"{}\"", first.0));
        }
        if last.0 != Ratio::ONE {
            return Err(format!("`quantiles` end with \"100%\", the longest duration, not with \"{}\"", last.0));
        }
        for pair in self.quantiles.windows(2) {
            let ((share, value), (next_share, next_value)) = (pair[0], pair[1]);
            if next_share <= share {
                return Err(format!("the shares of `quantiles` rise, but {next_share} follows {share}"));
            }
            if next_value < value {
                return Err(format!(
                    "the durations of `quantiles` never fall, but {next_value} at {next_share} follows {value}"
                ));
            }
        }
        at_most_longest("quantiles", last.1)
    }

    fn form(&self) -> Form {
        if self.quantiles.is_empty() {
            // In order, so that the duration is monotone in its uniform.
            let mut values: Vec<u64> = self.values.iter().map(|value| value.as_nanos()).collect();
            values.sort();
            return Form::Values(values.into());
        }
        Form::Quantiles(self.quantiles.iter().map(|(share, value)| (share.threshold(), value.as_nanos())).collect())
    }

    fn moments(&self) -> (f64, f64) {
        let mut sums = (0.0, 0.0);
        for &value in &self.values {
            let (value, weight) = (ns(value), 1.0 / self.values.len() as f64);
            sums = (sums.0 + weight * value, sums.1 + weight * value * value);
        }
        for pair in self.quantiles.windows(2) {
            let (a, b, weight) = (ns(pair[0].1), ns(pair[1].1), pair[1].0.value() - pair[0].0.value());
            sums = (sums.0 + weight * 0.5 * (a + b), sums.1 + weight * (a * a + a * b + b * b) / 3.0);
        }
        sums
    }
}

impl TryFrom<Distribution> for Law {
    type Error = LawError;

    /// # Errors
    /// When the parameters do not go together, or could yield durations beyond 146 years.
    fn try_from(distribution: Distribution) -> Result<Law, LawError> {
        distribution.check()?;
        Ok(Law(distribution))
    }
}

/// A constant is written as its duration.
impl Serialize for Law {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Distribution::Constant(c) => c.value.serialize(serializer),
            distribution => distribution.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Law {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LawVisitor;

        impl LawVisitor {
            /// What is no name and no table is read as a duration, whose errors say how to write one.
            fn constant<'de, D: Deserializer<'de>>(value: D) -> Result<Law, D::Error> {
                let value = Duration::deserialize(value)?;
                Law::try_from(Distribution::Constant(Constant { value })).map_err(de::Error::custom)
            }
        }

        impl<'de> Visitor<'de> for LawVisitor {
            type Value = Law;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like \"8ms\", or a distribution like { exponential = { mean = \"8ms\" } }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Law, E> {
                let text_as: StrDeserializer<'_, E> = text.into_deserializer();
                if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    Law::try_from(Distribution::deserialize(text_as)?).map_err(E::custom)
                } else {
                    Self::constant(text_as)
                }
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Law, E> {
                Self::constant(number.into_deserializer())
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Law, E> {
                Self::constant(number.into_deserializer())
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Law, E> {
                Self::constant(number.into_deserializer())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Law, A::Error> {
                let distribution = Distribution::deserialize(MapAccessDeserializer::new(map))?;
                Law::try_from(distribution).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(LawVisitor)
    }
}

impl schemars::JsonSchema for Law {
    fn schema_name() -> Cow<'static, str> {
        "Law".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (constant, other) = (generator.subschema_for::<Duration>(), generator.subschema_for::<Distribution>());
        schemars::json_schema!({
            "description": "how long something takes: a duration, or a distribution of durations",
            "anyOf": [constant, other],
        })
    }
}

/// Two uniforms, over and over.
struct Extreme {
    uniforms: [u64; 2],
    drawn: usize,
}

impl Bits for Extreme {
    fn next_u64(&mut self) -> u64 {
        self.drawn += 1;
        self.uniforms[(self.drawn - 1) % 2]
    }
}

/// Exponential with mean 1. One draw.
fn exponential<B: Bits>(bits: &mut B) -> f64 {
    math::minus_ln(bits.unit())
}

/// The value at `x` of 2^64, on the straight line between two knots, to the nearest nanosecond.
fn interpolate(knots: &[(u128, u64)], x: u64) -> u64 {
    let x = u128::from(x);
    // The first threshold is 0 and the last one 2^64, so a knot lies on either side.
    let after = knots.partition_point(|(threshold, _)| *threshold <= x);
    let ((from, low), (to, high)) = (knots[after - 1], knots[after]);
    let width = to - from;
    // Values stay below 2^53 and thresholds within 2^64: the product fits.
    low + ((u128::from(high - low) * (x - from) + width / 2) / width) as u64
}

/// The moment of `order` of the Pareto law of this shape on `[min, max]`. The powers that cancel for a shape near
/// the order are subtracted by `exp_m1`.
fn bounded_moment(min: f64, max: f64, shape: f64, order: f64) -> f64 {
    let log = math::ln(min / max);
    let rest = shape - order;
    let weight = if rest == 0.0 { -log } else { -math::exp_m1(rest * log) / rest };
    shape * math::pow(min, order) * weight / -math::exp_m1(shape * log)
}

/// Rounds nanoseconds to a duration.
#[inline(always)]
fn nearest(ns: f64) -> Duration {
    assert!((0.0..=LARGEST_DRAW).contains(&ns), "a duration of {ns} ns was drawn");
    Duration::from_nanos(math::round_to_u64(ns))
}

fn ns(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

fn positive(name: &str, value: Duration) -> Result<(), String> {
    if value.is_zero() {
        return Err(format!("`{name}` must be above 0 (a fixed duration stands alone, like \"0s\")"));
    }
    at_most_longest(name, value)
}

fn at_most_longest(name: &str, value: Duration) -> Result<(), String> {
    if value <= LONGEST { Ok(()) } else { Err(format!("`{name}` is at most 2500h (104 days), not {value}")) }
}

fn shape_in_range(shape: Factor) -> Result<(), String> {
    if (0.05..=1_000.0).contains(&shape.value()) {
        Ok(())
    } else {
        Err(format!("`shape` is 0.05 to 1000, not {shape}"))
    }
}

/// The longest duration in a law: 2,500 hours, so that every one is exact in a double.
const LONGEST: Duration = Duration::from_secs(2_500 * 3_600);
const _: () = assert!(LONGEST.as_nanos() < 1 << 53);

/// The largest double below 2^62 ns, 146 years. No draw is longer.
const LARGEST_DRAW: f64 = ((1u64 << 62) - 512) as f64;

/// More stages than this are a constant in all but name, and each costs a draw.
const MOST_STAGES: u32 = 1_000;

/// Uniforms that yield the shortest and the longest draw of every law: the lowest, the highest, and one of each for
/// the second branch of the hyperexponential.
const EXTREMES: [[u64; 2]; 3] = [[0, 0], [u64::MAX, u64::MAX], [u64::MAX, 0]];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::mix;

    /// The uniforms of these tests, apart from the streams of runs: those may be renamed.
    struct Uniforms {
        state: u64,
        draws: u64,
    }

    impl Uniforms {
        fn new(seed: u64) -> Self {
            Uniforms { state: seed << 32, draws: 0 }
        }
    }

    impl Bits for Uniforms {
        fn next_u64(&mut self) -> u64 {
            self.draws += 1;
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(self.state)
        }
    }

    fn read(text: &str) -> Result<Law, String> {
        #[derive(Deserialize)]
        struct File {
            law: Law,
        }
        toml::from_str::<File>(&format!("law = {text}"))
            .map(|file| file.law)
            .map_err(|error| error.message().to_owned())
    }

    fn law(text: &str) -> Law {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn normal_cdf(z: f64) -> f64 {
        0.5 * libm::erfc(-z / 2f64.sqrt())
    }

    type Cdf = fn(f64) -> f64;

    /// A law, the draws that each duration takes, its mean in ms, its squared variation, its distribution function
    /// of ms (written down apart from the code above), and the digest of 100,000 durations.
    struct Case {
        text: &'static str,
        draws: u64,
        mean: f64,
        scv: f64,
        cdf: Cdf,
        digest: u64,
    }

    const CASES: [Case; 13] = [
        Case {
            text: "{ exponential = { mean = '8ms' } }",
            draws: 1,
            mean: 8.0,
            scv: 1.0,
            cdf: |x| -math::exp_m1(-x / 8.0),
            digest: 0x6d47_e68c_0c5c_0b30,
        },
        Case {
            text: "{ uniform = { min = '2ms', max = '6ms' } }",
            draws: 1,
            mean: 4.0,
            scv: 16.0 / 12.0 / 16.0,
            cdf: |x| ((x - 2.0) / 4.0).clamp(0.0, 1.0),
            digest: 0x3b69_e1c0_ae8a_f066,
        },
        Case {
            text: "{ lognormal = { mean = '8ms', cv = 0.6 } }",
            draws: 1,
            mean: 8.0,
            scv: 0.36,
            cdf: |x| {
                let variance = math::ln(1.36);
                normal_cdf((math::ln(x / 8.0) + 0.5 * variance) / variance.sqrt())
            },
            digest: 0xee01_272a_ece4_8053,
        },
        Case {
            text: "{ pareto = { min = '1ms', shape = 3 } }",
            draws: 1,
            mean: 1.5,
            scv: 1.0 / 3.0,
            cdf: |x| 1.0 - 1.0 / (x * x * x),
            digest: 0x4fc7_4918_b6b6_9120,
        },
        Case {
            text: "{ pareto = { mean = '3ms', shape = 2.5 } }",
            draws: 1,
            mean: 3.0,
            scv: 0.8,
            cdf: |x| 1.0 - math::pow(1.8 / x, 2.5),
            digest: 0x89bf_56ce_130e_cfa5,
        },
        Case {
            // On [1, 16] ms with shape 2: the mean is 2 (1 - 1/16) / (1 - 1/256), the second moment 2 ln 16 / (…).
            text: "{ pareto = { min = '1ms', shape = 2, max = '16ms' } }",
            draws: 1,
            mean: 1.875 * 256.0 / 255.0,
            scv: 0.571_133_609_269_209_4,
            cdf: |x| (1.0 - 1.0 / (x * x)) * 256.0 / 255.0,
            digest: 0xb50e_d894_4cf8_9bd1,
        },
        Case {
            // The same law by its mean, to the nearest nanosecond.
            text: "{ pareto = { mean = '1.882353ms', shape = 2, max = '16ms' } }",
            draws: 1,
            mean: 1.875 * 256.0 / 255.0,
            scv: 0.571_133_609_269_209_4,
            cdf: |x| (1.0 - 1.0 / (x * x)) * 256.0 / 255.0,
            digest: 0x7ea8_8ec0_641d_bbc7,
        },
        Case {
            text: "{ weibull = { mean = '8ms', shape = 0.5 } }",
            draws: 1,
            mean: 8.0,
            scv: 5.0,
            cdf: |x| -math::exp_m1(-(x / 4.0).sqrt()),
            digest: 0x29fa_0843_495a_5af9,
        },
        Case {
            text: "{ weibull = { mean = '8ms', shape = 2 } }",
            draws: 1,
            mean: 8.0,
            scv: 0.273_239_544_735_162_7,
            // The scale is 8 / gamma(1.5), and gamma(1.5) is sqrt(pi) / 2.
            cdf: |x| -math::exp_m1(-x * x * std::f64::consts::PI / 256.0),
            digest: 0xd0ce_feeb_9475_0d16,
        },
        Case {
            // s = 0.6: branches 0.8 and 0.2 with means 8 / 1.6 and 8 / 0.4.
            text: "{ hyperexponential = { mean = '8ms', cv = 1.4577379737113252 } }",
            draws: 2,
            mean: 8.0,
            scv: 2.125,
            cdf: |x| 1.0 - 0.8 * math::exp(-x / 5.0) - 0.2 * math::exp(-x / 20.0),
            digest: 0xf555_46c3_5512_71a8,
        },
        Case {
            text: "{ erlang = { mean = '8ms', k = 4 } }",
            draws: 4,
            mean: 8.0,
            scv: 0.25,
            cdf: |x| {
                let y = x / 2.0;
                1.0 - math::exp(-y) * (1.0 + y + y * y / 2.0 + y * y * y / 6.0)
            },
            digest: 0x3680_a147_2ced_83b6,
        },
        Case {
            text: "{ empirical = { quantiles = [['0%', '1ms'], ['50%', '3ms'], ['90%', '7ms'], [1.0, '17ms']] } }",
            draws: 1,
            mean: 0.5 * 2.0 + 0.4 * 5.0 + 0.1 * 12.0,
            scv: 0.583_522_297_808_012_1,
            cdf: |x| match x {
                ..3.0 => 0.5 * (x - 1.0) / 2.0,
                3.0..7.0 => 0.5 + 0.4 * (x - 3.0) / 4.0,
                _ => 0.9 + 0.1 * (x - 7.0) / 10.0,
            },
            digest: 0x5078_e036_d6ae_b02e,
        },
        Case {
            text: "{ exponential = { mean = '2000s' } }",
            draws: 1,
            mean: 2e6,
            scv: 1.0,
            cdf: |x| -math::exp_m1(-x / 2e6),
            digest: 0x970a_3900_627f_1f4e,
        },
    ];

    const N: u64 = 100_000;

    fn draw(text: &str, seed: u64) -> Vec<u64> {
        let (sampler, mut uniforms) = (law(text).compile(), Uniforms::new(seed));
        (0..N).map(|_| sampler.sample(&mut uniforms).as_nanos()).collect()
    }

    fn digest(values: &[u64]) -> u64 {
        values.iter().fold(0, |digest, value| mix(digest ^ value))
    }

    #[test]
    fn every_draw_is_the_one_that_results_were_made_of() {
        let mut changed = String::new();
        for case in &CASES {
            let found = digest(&draw(case.text, 1));
            if found != case.digest {
                changed += &format!("{}: {found:#018x}\n", case.text);
            }
        }
        assert!(changed.is_empty(), "draws changed, and with them every result:\n{changed}");
    }

    #[test]
    fn draws_follow_their_law() {
        for case in &CASES {
            let mut values = draw(case.text, 2);
            values.sort();
            // Kolmogorov and Smirnov's distance; 1.95 / sqrt(n) is exceeded by chance once in a thousand.
            let distance = values.iter().enumerate().fold(0.0, |distance: f64, (i, &ns)| {
                let (expected, below) = ((case.cdf)(ns as f64 / 1e6), i as f64 / N as f64);
                distance.max((expected - below).abs()).max((expected - below - 1.0 / N as f64).abs())
            });
            assert!(distance * (N as f64).sqrt() < 1.95, "{}: distance {distance}", case.text);
        }
    }

    #[test]
    fn means_and_variations_are_as_declared() {
        for case in &CASES {
            let law = law(case.text);
            let (mean, scv) = (law.mean().unwrap().as_millis_f64(), law.scv().unwrap());
            assert!((mean / case.mean - 1.0).abs() < 1e-6, "{}: mean {mean}", case.text);
            assert!((scv / case.scv - 1.0).abs() < 1e-6, "{}: scv {scv}", case.text);
            let drawn = draw(case.text, 3).iter().map(|&ns| ns as f64 / 1e6).sum::<f64>() / N as f64;
            let error = mean * scv.sqrt() / (N as f64).sqrt();
            assert!((drawn - mean).abs() < 4.0 * error, "{}: drawn mean {drawn}", case.text);
        }
    }

    #[test]
    fn the_law_alone_fixes_how_many_uniforms_are_drawn() {
        for case in &CASES {
            let (sampler, mut uniforms) = (law(case.text).compile(), Uniforms::new(4));
            for _ in 0..1_000 {
                sampler.sample(&mut uniforms);
            }
            assert_eq!(uniforms.draws, 1_000 * case.draws, "{}", case.text);
        }
        let mut uniforms = Uniforms::new(4);
        assert_eq!(law("'5ms'").compile().sample(&mut uniforms), Duration::from_millis(5));
        assert_eq!(uniforms.draws, 0);
    }

    #[test]
    fn durations_are_monotone_in_their_uniform() {
        struct One(u64);
        impl Bits for One {
            fn next_u64(&mut self) -> u64 {
                self.0
            }
        }
        for case in CASES.iter().filter(|case| case.draws == 1) {
            let sampler = law(case.text).compile();
            let values: Vec<Duration> =
                (0..=4_096u64).map(|i| sampler.sample(&mut One(i * (u64::MAX / 4_096)))).collect();
            assert!(values.is_sorted() || values.iter().rev().is_sorted(), "{}", case.text);
        }
    }

    #[test]
    fn scaling_multiplies_before_rounding() {
        for case in &CASES {
            let sampler = law(case.text).compile();
            for seed in 0..100 {
                let one = sampler.sample(&mut Uniforms::new(seed)).as_nanos();
                let three = sampler.sample_scaled(&mut Uniforms::new(seed), 3.0).as_nanos();
                assert!(three.abs_diff(3 * one) <= 2, "{}: {one} ns three times is {three} ns", case.text);
            }
        }
        let sampler = law("{ exponential = { mean = '1h' } }").compile();
        assert_eq!(sampler.sample_scaled(&mut Uniforms::new(1), 0.0), Duration::ZERO);
        assert_eq!(sampler.sample_scaled(&mut Uniforms::new(1), f64::MAX), Duration::from_nanos((1 << 62) - 512));
    }

    #[test]
    fn measured_values_are_equally_likely() {
        let values = draw("{ empirical = { values = ['3ms', '1ms', '1ms', '5ms'] } }", 5);
        let share = |ms: u64| values.iter().filter(|&&ns| ns == ms * 1_000_000).count() as f64 / N as f64;
        assert!((share(1) - 0.5).abs() < 0.006 && (share(3) - 0.25).abs() < 0.006 && (share(5) - 0.25).abs() < 0.006);
        let law = law("{ empirical = { values = ['3ms', '1ms', '1ms', '5ms'] } }");
        assert_eq!((law.mean(), law.scv()), (Some(Duration::from_micros(2_500)), Some(9.0 / 6.25 - 1.0)));
    }

    #[test]
    fn constants_are_durations() {
        let eight = Law::constant(Duration::from_millis(8));
        assert_eq!(law("'8ms'"), eight);
        assert_eq!(law("{ constant = { value = '8ms' } }"), eight);
        assert_eq!((eight.mean(), eight.scv()), (Some(Duration::from_millis(8)), Some(0.0)));
        assert_eq!(law("'0s'").scv(), Some(0.0));
    }

    #[test]
    fn infinite_moments_are_none() {
        let heavy = law("{ pareto = { min = '1ns', shape = 0.95 } }");
        assert_eq!((heavy.mean(), heavy.scv()), (None, None));
        let heavy = law("{ pareto = { min = '1ms', shape = 1.5 } }");
        assert_eq!((heavy.mean(), heavy.scv()), (Some(Duration::from_millis(3)), None));
        // At shape 1 the mean of [L, H] is L H ln(H / L) / (H - L).
        let one = law("{ pareto = { min = '1ms', shape = 1, max = '2ms' } }");
        assert_eq!(one.mean(), Some(Duration::from_nanos(1_386_294)));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        for (text, message) in [
            ("8", "a duration needs a unit: write \"8ms\" or \"8s\" instead of 8"),
            ("0.5", "a duration needs a unit: write \"0.5ms\" or \"0.5s\" instead of 0.5"),
            ("'8'", "a duration needs a unit: write \"8ms\" or \"8s\" instead of 8"),
            ("'-8ms'", "\"-8ms\" is negative (a duration is written like \"20ms\")"),
            ("''", "a duration is needed here, like \"20ms\""),
            ("'3000h'", "constant: `value` is at most 2500h (104 days), not 3000h"),
            (
                "{ exponential = { mean = '0s' } }",
                "exponential: `mean` must be above 0 (a fixed duration stands alone, like \"0s\")",
            ),
            ("{ exponential = { mean = 8 } }", "a duration needs a unit: write \"8ms\" or \"8s\" instead of 8"),
            ("{ uniform = { min = '2s', max = '2s' } }", "uniform: `min` (2s) must be below `max` (2s)"),
            ("{ lognormal = { mean = '8ms', cv = -1 } }", "\"-1\" is negative (a factor is written like 1.25)"),
            ("{ lognormal = { mean = '8ms', cv = 0.0 } }", "a factor is a number above 0, like 1.25, and not 0"),
            ("{ pareto = { shape = 2 } }", "pareto: one of `min` and `mean` is needed"),
            (
                "{ pareto = { min = '1s', mean = '2s', shape = 2 } }",
                "pareto: give one of `min` and `mean`, not both: each follows from the other",
            ),
            (
                "{ pareto = { mean = '1s', shape = 1 } }",
                "pareto: with `shape` 1 the mean is infinite: give `min`, or a `max`",
            ),
            ("{ pareto = { min = '1s', shape = 2, max = '1s' } }", "pareto: `min` (1s) must be below `max` (1s)"),
            ("{ pareto = { min = '1s', shape = 0.01, max = '2s' } }", "pareto: `shape` is 0.05 to 1000, not 0.01"),
            (
                "{ pareto = { min = '1ms', shape = 1.1 } }",
                "pareto: some draws would be longer than 146 years: lower the mean or the variation, or give a `max`",
            ),
            (
                "{ hyperexponential = { mean = '1s', cv = 0.5 } }",
                "hyperexponential: `cv` is 1 or more, not 0.5: for less choose `erlang` or `lognormal`",
            ),
            ("{ erlang = { mean = '1s', k = 0 } }", "erlang: `k`, the number of stages, is 1 to 1000, not 0"),
            ("{ empirical = {} }", "empirical: one of `values` and `quantiles` is needed"),
            ("'empirical'", "empirical: one of `values` and `quantiles` is needed"),
            (
                "{ empirical = { quantiles = [['50%', '3ms']] } }",
                "empirical: `quantiles` begin with \"0%\", the shortest duration, not with \"50%\"",
            ),
            (
                "{ empirical = { quantiles = [['0%', '3ms']] } }",
                "empirical: `quantiles` end with \"100%\", the longest duration, not with \"0%\"",
            ),
            (
                "{ empirical = { quantiles = [['0%', '3ms'], ['0%', '4ms'], ['100%', '5ms']] } }",
                "empirical: the shares of `quantiles` rise, but 0% follows 0%",
            ),
            (
                "{ empirical = { quantiles = [['0%', '3ms'], ['100%', '2ms']] } }",
                "empirical: the durations of `quantiles` never fall, but 2ms at 100% follows 3ms",
            ),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text}");
        }
        for text in [
            "'gauss'",
            "'exponential'",
            "{ gauss = {} }",
            "{}",
            "[]",
            "true",
            "{ exponential = { mean = '1s', cv = 1 } }",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn written_as_it_is_read() {
        for text in CASES.iter().map(|case| case.text).chain(["'8ms'", "{ empirical = { values = ['3ms'] } }"]) {
            let law = law(text);
            let json = serde_json::to_string(&law).unwrap();
            assert_eq!(serde_json::from_str::<Law>(&json).unwrap(), law, "{json}");
        }
        assert_eq!(serde_json::to_string(&law("'8ms'")).unwrap(), r#""8ms""#);
        assert_eq!(serde_json::to_string(&law(CASES[3].text)).unwrap(), r#"{"pareto":{"min":"1ms","shape":3.0}}"#);
    }
}
