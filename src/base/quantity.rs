//! Quantities as people write them: `"250ms"`, `"9k/s"`, `"0.01%"`, `"64KiB"`. One grammar: plain digits with an
//! optional decimal point, then one unit, nothing between. The text becomes an integer exactly or is refused with
//! a sentence that says how to write it; nothing is rounded on the way in, so what a file says is what runs.
//!
//! A bare number where a unit is needed is an error. Negative numbers, "NaN", "inf" and "-0" stop here.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::base::rand::Chance;
use crate::base::time::Duration;

/// Why a text is not the quantity that was asked for, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QuantityError(String);

/// A rate in calls per second, such as `"9k/s"`, `"0.2/s"` or `"30/m"`. Held in millionths of a call per hour,
/// so that every rate per second with six decimals, per minute and per hour is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate(u64);

/// A share or a probability in `[0, 1]`, written `"10%"` or `0.10`. Held in parts of 10^12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ratio(u64);

/// A size in bytes, such as `"64KiB"`, `"1MB"` or `"512B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(u64);

/// A positive, finite number without a unit, such as `1.25`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Factor(f64);

impl Rate {
    /// Nothing at all.
    pub const ZERO: Rate = Rate(0);

    /// `per_second` calls per second, rounded to a millionth of a call per hour.
    ///
    /// # Panics
    /// When `per_second` is negative, not finite, or above 5 * 10^9: rates from users come through the parser.
    pub fn of(per_second: f64) -> Rate {
        assert!((0.0..=5e9).contains(&per_second), "a rate of {per_second}/s");
        Rate((per_second * SECOND_RATE as f64).round_ties_even() as u64)
    }

    /// Calls per second, rounded to the nearest double.
    pub fn value(self) -> f64 {
        self.0 as f64 / SECOND_RATE as f64
    }

    /// True for no calls at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The mean time from one call to the next, to the nearest nanosecond, ties up; `None` for no calls at all.
    pub fn interval(self) -> Option<Duration> {
        let per_hour = u128::from(self.0);
        // An hour in ns times a million: at most 3.6e18, so the quotient fits.
        let ns = (HOUR as u128 * 1_000_000 + per_hour / 2).checked_div(per_hour)?;
        Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX)))
    }
}

impl Ratio {
    /// 0 %.
    pub const ZERO: Ratio = Ratio(0);
    /// 100 %.
    pub const ONE: Ratio = Ratio(ONE_RATIO);

    /// The ratio nearest to `value`.
    ///
    /// # Panics
    /// When `value` is not in `[0, 1]`: ratios from users come through the parser.
    pub fn of(value: f64) -> Ratio {
        assert!((0.0..=1.0).contains(&value), "a ratio of {value}");
        Ratio((value * ONE_RATIO as f64).round_ties_even() as u64)
    }

    /// The ratio as a number in `[0, 1]`, rounded to the nearest double.
    pub fn value(self) -> f64 {
        self.0 as f64 / ONE_RATIO as f64
    }

    /// The ratio in parts of 10^12.
    pub const fn parts(self) -> u64 {
        self.0
    }

    /// True for 0 %.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The integer threshold `floor(ratio * 2^64)`, exact; 2^64 for 100 %.
    pub const fn threshold(self) -> u128 {
        // 10^12 is below 2^40, so the product fits in 104 bits.
        ((self.0 as u128) << 64) / ONE_RATIO as u128
    }

    /// The ratio as a chance to draw with.
    pub fn chance(self) -> Chance {
        Chance::new(self.value())
    }
}

impl Bytes {
    /// From a number of bytes.
    pub const fn of(bytes: u64) -> Bytes {
        Bytes(bytes)
    }

    /// The number of bytes.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl Factor {
    /// 1.
    pub const ONE: Factor = Factor(1.0);

    /// A factor that the code knows.
    ///
    /// # Panics
    /// When `value` is not positive and finite: factors from users come through the parser.
    pub const fn of(value: f64) -> Factor {
        assert!(value > 0.0 && value.is_finite(), "a factor is positive and finite");
        Factor(value)
    }

    /// The number.
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        DURATION.parse(text).map(Duration::from_nanos)
    }
}

impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        RATE.parse(text).map(Rate)
    }
}

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        BYTES.parse(text).map(Bytes)
    }
}

impl FromStr for Ratio {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let parts = RATIO.parse(text)?;
        if parts <= ONE_RATIO {
            return Ok(Ratio(parts));
        }
        let number = text.trim_end_matches('%');
        Err(QuantityError(if number.len() == text.len() && parts <= 100 * ONE_RATIO {
            let fraction = Plain { value: parts, unit: 100 * ONE_RATIO };
            format!("a ratio is between 0 and 1: write \"{number}%\" or {fraction} instead of {number}")
        } else {
            format!("a ratio is at most 1, or \"100%\", and this is {}", shown(text))
        }))
    }
}

impl FromStr for Factor {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (_, unit) = FACTOR.number(text)?;
        if !unit.is_empty() {
            return Err(FACTOR.unknown_unit(text, unit));
        }
        let value: f64 = text.parse().map_err(|_| FACTOR.refuse(text, "is not a number"))?;
        Factor::try_from(value)
    }
}

impl TryFrom<f64> for Factor {
    type Error = QuantityError;

    /// # Errors
    /// When the number is not positive and finite.
    fn try_from(value: f64) -> Result<Factor, QuantityError> {
        if value > 0.0 && value.is_finite() {
            Ok(Factor(value))
        } else {
            Err(QuantityError(format!("a factor is a number above 0, like {}, and not {value}", FACTOR.example)))
        }
    }
}

/// The largest unit that needs no rounding: `250ms`, `1.5s`, `3m`. Minutes and hours are whole.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.as_nanos();
        let (unit, name) = match ns {
            0 => (SECOND, "s"),
            _ if ns.is_multiple_of(HOUR) => (HOUR, "h"),
            _ if ns.is_multiple_of(MINUTE) => (MINUTE, "m"),
            SECOND.. => (SECOND, "s"),
            1_000_000.. => (1_000_000, "ms"),
            1_000.. => (1_000, "us"),
            _ => (1, "ns"),
        };
        pad(f, format_args!("{}{name}", Plain { value: ns, unit }))
    }
}

/// Per second if that is exact, else per minute or per hour.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (period, per) = match self.0 {
            n if n.is_multiple_of(3_600) => (3_600, "/s"),
            n if n.is_multiple_of(60) => (60, "/m"),
            _ => (1, "/h"),
        };
        let value = self.0 / period;
        let (unit, prefix) = match value {
            1_000_000_000_000_000.. => (1_000_000_000_000_000, "G"),
            1_000_000_000_000.. => (1_000_000_000_000, "M"),
            1_000_000_000.. => (1_000_000_000, "k"),
            _ => (1_000_000, ""),
        };
        pad(f, format_args!("{}{prefix}{per}", Plain { value, unit }))
    }
}

/// In percent.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, format_args!("{}%", Plain { value: self.0, unit: ONE_RATIO / 100 }))
    }
}

/// The shortest exact text, binary units before decimal ones.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = BYTES.units.iter().filter(|unit| u128::from(self.0) >= unit.1);
        let texts = exact.filter_map(|&(name, unit)| {
            let text = format!("{}{name}", Plain { value: self.0, unit: unit as u64 });
            // More than three decimals help nobody; plain bytes are always exact.
            (u128::from(self.0) * 1_000 % unit == 0).then_some(text)
        });
        f.pad(&texts.min_by_key(String::len).unwrap_or_else(|| "0B".to_owned()))
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pad(f, format_args!("{}", self.0))
    }
}

/// Quantities that are always text: a number becomes an error that says how to write it.
macro_rules! text_quantity {
    ($Type:ident, $kind:expr, $pattern:literal) => {
        impl Serialize for $Type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $Type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $Type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} like \"{}\"", $kind.what, $kind.example)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$Type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$Type, E> {
                        Err(E::custom($kind.bare_number(&number.to_string())))
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$Type, E> {
                        Err(E::custom($kind.bare_number(&number.to_string())))
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$Type, E> {
                        Err(E::custom($kind.bare_number(&number.to_string())))
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl schemars::JsonSchema for $Type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($Type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "pattern": $pattern,
                    "description": format!("{} with its unit, like \"{}\"", $kind.what, $kind.example),
                })
            }
        }
    };
}

text_quantity!(Duration, DURATION, r"^[0-9]+(\.[0-9]+)?(ns|us|µs|μs|ms|s|m|h)$");
text_quantity!(Rate, RATE, r"^[0-9]+(\.[0-9]+)?[kMG]?/[smh]$");
text_quantity!(Bytes, BYTES, r"^[0-9]+(\.[0-9]+)?([kKMGT]B|[KMGT]iB|B)$");

/// Quantities that may be plain numbers: a number is read as the text that it was written as.
macro_rules! number_quantity {
    ($Type:ident, $kind:expr, $to:expr, $schema:tt) => {
        impl Serialize for $Type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $to(*self, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $Type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Number;
                impl Visitor<'_> for Number {
                    type Value = $Type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} like {}", $kind.what, $kind.example)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$Type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$Type, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$Type, E> {
                        self.visit_str(&number.to_string())
                    }
                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$Type, E> {
                        // The shortest text that reads as this double is what the file said, for 15 digits.
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Number)
            }
        }

        impl schemars::JsonSchema for $Type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($Type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

number_quantity!(Ratio, RATIO, |ratio: Ratio, s: S| s.collect_str(&ratio), {
    "description": "a share: \"10%\", or 0.1 as a number",
    "anyOf": [
        { "type": "number", "minimum": 0, "maximum": 1 },
        { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%?$" },
    ],
});
number_quantity!(Factor, FACTOR, |factor: Factor, s: S| s.serialize_f64(factor.0), {
    "description": "a number above 0",
    "anyOf": [
        { "type": "number", "exclusiveMinimum": 0 },
        { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$" },
    ],
});

/// What one kind of quantity is called, and which units it knows.
struct Kind {
    what: &'static str,
    example: &'static str,
    /// What the smallest step is, for refusing what lies between two.
    step: &'static str,
    /// Names and sizes in steps.
    units: &'static [(&'static str, u128)],
    /// Units that a message suggests for a bare number.
    suggested: [&'static str; 2],
    /// Common spellings in lower case, separated by blanks, and what to write instead.
    slips: &'static [(&'static str, &'static str)],
}

/// Decimal digits: `mantissa / 10^scale`, without trailing zeros behind the point.
struct Decimal {
    mantissa: u128,
    scale: u32,
}

impl Kind {
    fn parse(&self, text: &str) -> Result<u64, QuantityError> {
        let (number, unit) = self.number(text)?;
        let Some((_, size)) = self.units.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() { self.bare_number(text) } else { self.unknown_unit(text, unit) });
        };
        let too_large = || self.refuse(text, "is too large");
        let product = number.mantissa.checked_mul(*size).ok_or_else(too_large)?;
        let divisor = 10u128.checked_pow(number.scale).ok_or_else(|| self.too_fine(text))?;
        if product % divisor != 0 {
            return Err(self.too_fine(text));
        }
        u64::try_from(product / divisor).map_err(|_| too_large())
    }

    /// Splits a text into its digits and its unit.
    fn number<'t>(&self, text: &'t str) -> Result<(Decimal, &'t str), QuantityError> {
        let first = text.chars().next();
        match first {
            None => return Err(QuantityError(format!("{} is needed here, like {}", self.what, self.quoted_example()))),
            Some('-') => return Err(self.refuse(text, "is negative")),
            Some('+') => return Err(self.refuse(text, "has a sign: leave out the \"+\"")),
            Some('.') => return Err(self.refuse(text, "has no digit before the point: write a \"0\" there")),
            Some(c) if !c.is_ascii_digit() => return Err(self.refuse(text, "does not begin with a digit")),
            Some(_) => {}
        }
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (whole, rest) = text.split_at(end);
        let (fraction, unit) = match rest.strip_prefix('.') {
            None => ("", rest),
            Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        };
        if fraction.is_empty() && rest.starts_with('.') {
            return Err(self.refuse(text, "has no digit behind the point"));
        }
        self.check_unit(text, unit)?;
        let fraction = fraction.trim_end_matches('0');
        let digits = whole.trim_start_matches('0').len() + fraction.len();
        if digits > 38 {
            return Err(if whole.len() > 38 { self.refuse(text, "is too large") } else { self.too_fine(text) });
        }
        let mantissa = whole.bytes().chain(fraction.bytes()).fold(0, |sum, c| sum * 10 + u128::from(c - b'0'));
        Ok((Decimal { mantissa, scale: fraction.len() as u32 }, unit))
    }

    /// Refuses what is no unit at all, but a slip in writing the number.
    fn check_unit(&self, text: &str, unit: &str) -> Result<(), QuantityError> {
        let mut letters = unit.chars();
        match letters.next() {
            Some('.') => Err(self.refuse(text, "has two decimal points")),
            Some(',' | '_' | '\'') => Err(self.refuse(text, "has a separator among its digits: leave it out")),
            Some(c) if c.is_whitespace() => Err(self.refuse(text, "has a blank behind the number: leave it out")),
            Some('e' | 'E') if letters.next().is_some_and(|c| c.is_ascii_digit() || c == '-' || c == '+') => {
                Err(self.refuse(text, "has an exponent: write the digits out"))
            }
            Some(_) if unit.contains(|c: char| c.is_ascii_digit()) => {
                Err(self.refuse(text, "has more than one unit: write it with one"))
            }
            _ => Ok(()),
        }
    }

    fn bare_number(&self, number: &str) -> QuantityError {
        if number.starts_with('-') {
            return self.refuse(number, "is negative");
        }
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return self.refuse(number, "is not a number");
        }
        let (what, [first, second]) = (self.what, self.suggested);
        QuantityError(format!(
            "{what} needs a unit: write \"{number}{first}\" or \"{number}{second}\" instead of {number}"
        ))
    }

    fn unknown_unit(&self, text: &str, unit: &str) -> QuantityError {
        let lower = unit.to_lowercase();
        let known = self.units.iter().map(|(name, _)| *name).find(|name| name.to_lowercase() == lower);
        let slip =
            self.slips.iter().find(|(slips, _)| slips.split(' ').any(|slip| slip == lower)).map(|(_, right)| *right);
        let number = text.strip_suffix(unit).unwrap_or(text);
        QuantityError(match slip.or(known) {
            Some(right) => format!("unknown unit {} in {}: write \"{number}{right}\"", shown(unit), shown(text)),
            None if self.units.is_empty() => format!("{} has no unit, and this is {}", self.what, shown(text)),
            None => {
                let names: Vec<&str> =
                    self.units.iter().map(|(name, _)| *name).filter(|name| name.is_ascii()).collect();
                let names = names.join(", ");
                format!("unknown unit {} in {}: the units of {} are {names}", shown(unit), shown(text), self.what)
            }
        })
    }

    fn too_fine(&self, text: &str) -> QuantityError {
        self.refuse(text, &format!("is not a whole number of {}", self.step))
    }

    fn refuse(&self, text: &str, why: &str) -> QuantityError {
        QuantityError(format!("{} {why} ({} is written like {})", shown(text), self.what, self.quoted_example()))
    }

    fn quoted_example(&self) -> String {
        if self.units.is_empty() { self.example.to_owned() } else { format!("\"{}\"", self.example) }
    }
}

/// `value / unit` without trailing zeros. `unit` is a power of ten, or of 1,024 with few decimals.
struct Plain {
    value: u64,
    unit: u64,
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value / self.unit)?;
        let mut rest = self.value % self.unit;
        if rest != 0 {
            f.write_str(".")?;
        }
        while rest != 0 {
            let tenfold = u128::from(rest) * 10;
            write!(f, "{}", tenfold / u128::from(self.unit))?;
            rest = (tenfold % u128::from(self.unit)) as u64;
        }
        Ok(())
    }
}

/// Obeys the width and the alignment that the caller asked for.
fn pad(f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    if f.width().is_some() { f.pad(&text.to_string()) } else { f.write_fmt(text) }
}

/// A text from a file, quoted, escaped and cut for a message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// One call per second, in millionths of a call per hour.
const SECOND_RATE: u64 = 3_600 * 1_000_000;
const ONE_RATIO: u64 = 1_000_000_000_000;

const DURATION: Kind = Kind {
    what: "a duration",
    example: "20ms",
    step: "nanoseconds",
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", SECOND as u128),
        ("m", MINUTE as u128),
        ("h", HOUR as u128),
    ],
    suggested: ["ms", "s"],
    slips: &[
        ("nsec nanos", "ns"),
        ("usec micros", "us"),
        ("msec msecs millis", "ms"),
        ("sec secs second seconds", "s"),
        ("min mins minute minutes", "m"),
        ("hr hrs hour hours", "h"),
    ],
};

const RATE: Kind = Kind {
    what: "a rate",
    example: "90/s",
    step: "millionths of a call per hour",
    units: &[
        ("/s", SECOND_RATE as u128),
        ("k/s", 1_000 * SECOND_RATE as u128),
        ("M/s", 1_000_000 * SECOND_RATE as u128),
        ("G/s", 1_000_000_000 * SECOND_RATE as u128),
        ("/m", 60_000_000),
        ("k/m", 60_000_000_000),
        ("M/m", 60_000_000_000_000),
        ("G/m", 60_000_000_000_000_000),
        ("/h", 1_000_000),
        ("k/h", 1_000_000_000),
        ("M/h", 1_000_000_000_000),
        ("G/h", 1_000_000_000_000_000),
    ],
    suggested: ["/s", "/m"],
    slips: &[
        ("k krps kqps k/sec", "k/s"),
        ("m", "M/s"),
        ("g", "G/s"),
        ("rps qps /sec /second", "/s"),
        ("/min /minute", "/m"),
        ("k/min", "k/m"),
        ("/hour", "/h"),
    ],
};

const RATIO: Kind = Kind {
    what: "a ratio",
    example: "10%",
    step: "parts of 10^12",
    units: &[("%", ONE_RATIO as u128 / 100), ("", ONE_RATIO as u128)],
    suggested: ["%", "%"],
    slips: &[("percent", "%"), ("pct", "%")],
};

const BYTES: Kind = Kind {
    what: "a size",
    example: "64KiB",
    step: "bytes",
    units: &[
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("B", 1),
        ("KB", 1_000),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ],
    suggested: ["KiB", "B"],
    slips: &[("b byte bytes", "B"), ("k ki", "KiB"), ("m mi", "MiB"), ("g gi", "GiB"), ("t ti", "TiB")],
};

const FACTOR: Kind =
    Kind { what: "a factor", example: "1.25", step: "factors", units: &[], suggested: ["", ""], slips: &[] };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ns(text: &str) -> Result<u64, String> {
        text.parse::<Duration>().map(Duration::as_nanos).map_err(|error| error.to_string())
    }

    fn refusal<T: FromStr<Err = QuantityError> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().expect_err(text).to_string()
    }

    /// Reads `v = <toml>`.
    fn toml<T: de::DeserializeOwned>(value: &str) -> Result<T, String> {
        #[derive(serde::Deserialize)]
        struct File<T> {
            v: T,
        }
        toml::from_str::<File<T>>(&format!("v = {value}"))
            .map(|file| file.v)
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            ("3m", 180_000_000_000),
            ("2h", 7_200_000_000_000),
            ("500us", 500_000),
            ("500µs", 500_000),
            ("500μs", 500_000),
            ("10ns", 10),
            ("0s", 0),
            ("0.0s", 0),
            ("007ms", 7_000_000),
            ("0.25ms", 250_000),
            ("0.000000001s", 1),
            ("1.1m", 66_000_000_000),
            ("1.500000000000000000000000000000000000000s", 1_500_000_000),
            ("18446744073.709551615s", u64::MAX),
        ] {
            assert_eq!(ns(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn durations_refused() {
        for (text, message) in [
            ("", "a duration is needed here, like \"20ms\""),
            ("20", "a duration needs a unit: write \"20ms\" or \"20s\" instead of 20"),
            ("-5ms", "\"-5ms\" is negative (a duration is written like \"20ms\")"),
            ("-0s", "\"-0s\" is negative (a duration is written like \"20ms\")"),
            ("+5s", "\"+5s\" has a sign: leave out the \"+\" (a duration is written like \"20ms\")"),
            ("NaN", "\"NaN\" does not begin with a digit (a duration is written like \"20ms\")"),
            ("inf", "\"inf\" does not begin with a digit (a duration is written like \"20ms\")"),
            ("ms", "\"ms\" does not begin with a digit (a duration is written like \"20ms\")"),
            (".5s", "\".5s\" has no digit before the point: write a \"0\" there (a duration is written like \"20ms\")"),
            ("5.s", "\"5.s\" has no digit behind the point (a duration is written like \"20ms\")"),
            ("1.2.3s", "\"1.2.3s\" has two decimal points (a duration is written like \"20ms\")"),
            ("1e3s", "\"1e3s\" has an exponent: write the digits out (a duration is written like \"20ms\")"),
            ("1h30m", "\"1h30m\" has more than one unit: write it with one (a duration is written like \"20ms\")"),
            ("5 s", "\"5 s\" has a blank behind the number: leave it out (a duration is written like \"20ms\")"),
            (
                "1_000s",
                "\"1_000s\" has a separator among its digits: leave it out (a duration is written like \"20ms\")",
            ),
            ("5sec", "unknown unit \"sec\" in \"5sec\": write \"5s\""),
            ("5msec", "unknown unit \"msec\" in \"5msec\": write \"5ms\""),
            ("5min", "unknown unit \"min\" in \"5min\": write \"5m\""),
            ("5MS", "unknown unit \"MS\" in \"5MS\": write \"5ms\""),
            ("5ss", "unknown unit \"ss\" in \"5ss\": the units of a duration are ns, us, ms, s, m, h"),
            ("0.5ns", "\"0.5ns\" is not a whole number of nanoseconds (a duration is written like \"20ms\")"),
            ("18446744073.709551616s", "\"18446744073.709551616s\" is too large (a duration is written like \"20ms\")"),
        ] {
            assert_eq!(ns(text), Err(message.to_owned()), "{text}");
        }
        assert!(ns(&format!("{}s", "9".repeat(5_000))).unwrap_err().contains("is too large"));
        assert!(ns(&format!("0.{}1s", "0".repeat(5_000))).unwrap_err().contains("not a whole number"));
        assert!(ns("99999999999999999999999999999999999999h").unwrap_err().contains("is too large"));
    }

    #[test]
    fn rates() {
        for (text, per_second) in
            [("9k/s", 9_000.0), ("90/s", 90.0), ("1.5M/s", 1.5e6), ("30/m", 0.5), ("0.2/s", 0.2), ("1/m", 1.0 / 60.0)]
        {
            assert_eq!(text.parse::<Rate>().unwrap().value(), per_second, "{text}");
        }
        for (text, shown) in [("9000/s", "9k/s"), ("1/m", "1/m"), ("30/m", "0.5/s"), ("0.000001/h", "0.000001/h")] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
        }
        assert_eq!("90/s".parse::<Rate>().unwrap(), Rate::of(90.0));
        assert_eq!("8k/s".parse::<Rate>().unwrap().interval(), Some(Duration::from_micros(125)));
        assert_eq!("1/h".parse::<Rate>().unwrap().interval(), Some(Duration::from_secs(3_600)));
        assert_eq!(
            "7/h".parse::<Rate>().unwrap().interval(),
            Some(Duration::from_nanos(514_285_714_286)),
            "rounded up"
        );
        assert_eq!(Rate::ZERO.interval(), None);
        assert_eq!(refusal::<Rate>("9k"), "unknown unit \"k\" in \"9k\": write \"9k/s\"");
        assert_eq!(refusal::<Rate>("9/sec"), "unknown unit \"/sec\" in \"9/sec\": write \"9/s\"");
        assert_eq!(refusal::<Rate>("9K/s"), "unknown unit \"K/s\" in \"9K/s\": write \"9k/s\"");
        assert_eq!(refusal::<Rate>("90"), "a rate needs a unit: write \"90/s\" or \"90/m\" instead of 90");
        assert!(refusal::<Rate>("10G/s").contains("too large"));
        assert!(refusal::<Rate>("0.0000001/h").contains("not a whole number of millionths of a call per hour"));
    }

    #[test]
    fn ratios() {
        assert_eq!("10%".parse::<Ratio>().unwrap(), Ratio::of(0.1));
        assert_eq!(toml::<Ratio>("0.10"), Ok(Ratio::of(0.1)));
        assert_eq!(toml::<Ratio>("0.0001"), "0.01%".parse().map_err(|_| String::new()));
        assert_eq!((toml::<Ratio>("0"), toml::<Ratio>("1")), (Ok(Ratio::ZERO), Ok(Ratio::ONE)));
        assert_eq!("33.3%".parse::<Ratio>().unwrap().value(), 0.333);
        assert_eq!(Ratio::of(0.0001).to_string(), "0.01%");
        assert_eq!((Ratio::of(0.5).threshold(), Ratio::ONE.threshold()), (1 << 63, 1 << 64));
        assert_eq!(Ratio::ONE.chance(), Chance::new(1.0));
        assert_eq!(toml::<Ratio>("10"), Err("a ratio is between 0 and 1: write \"10%\" or 0.1 instead of 10".into()));
        assert_eq!(
            toml::<Ratio>("2.5"),
            Err("a ratio is between 0 and 1: write \"2.5%\" or 0.025 instead of 2.5".into())
        );
        assert_eq!(refusal::<Ratio>("101%"), "a ratio is at most 1, or \"100%\", and this is \"101%\"");
        assert_eq!(refusal::<Ratio>("250"), "a ratio is at most 1, or \"100%\", and this is \"250\"");
        for text in ["-0.1", "-0.0", "nan", "inf", "-inf", "-1", "1e-20", "1e300", "true", "'10 %'", "'5pct'", "[]"] {
            assert!(toml::<Ratio>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, shown) in [
            ("64KiB", 65_536, "64KiB"),
            ("1MB", 1_000_000, "1MB"),
            ("1000KB", 1_000_000, "1MB"),
            ("1kB", 1_000, "1KB"),
            ("512B", 512, "512B"),
            ("1.5KiB", 1_536, "1536B"),
            ("0B", 0, "0B"),
            ("16MB", 16_000_000, "16MB"),
            ("2TiB", 1 << 41, "2TiB"),
        ] {
            let parsed: Bytes = text.parse().unwrap();
            assert_eq!((parsed, parsed.to_string().as_str()), (Bytes::of(bytes), shown));
        }
        assert_eq!(refusal::<Bytes>("64kib"), "unknown unit \"kib\" in \"64kib\": write \"64KiB\"");
        assert_eq!(refusal::<Bytes>("64k"), "unknown unit \"k\" in \"64k\": write \"64KiB\"");
        assert_eq!(toml::<Bytes>("64"), Err("a size needs a unit: write \"64KiB\" or \"64B\" instead of 64".into()));
        assert!(refusal::<Bytes>("0.3B").contains("not a whole number of bytes"));
        assert!(refusal::<Bytes>("17179869184GiB").contains("too large"));
    }

    #[test]
    fn factors() {
        assert_eq!(toml::<Factor>("1.25"), Ok(Factor::of(1.25)));
        assert_eq!(toml::<Factor>("10"), Ok(Factor::of(10.0)));
        assert_eq!(toml::<Factor>("'0.5'"), Ok(Factor::of(0.5)));
        assert_eq!(toml::<Factor>("0"), Err("a factor is a number above 0, like 1.25, and not 0".into()));
        assert_eq!(toml::<Factor>("'10ms'"), Err("a factor has no unit, and this is \"10ms\"".into()));
        for text in ["-1", "-0.0", "0.0", "nan", "inf", "'inf'", "''", "'1e3'", "true"] {
            assert!(toml::<Factor>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bare_numbers_say_how_to_write_it() {
        let message = |text| toml::<Duration>(text).unwrap_err();
        assert_eq!(message("20"), "a duration needs a unit: write \"20ms\" or \"20s\" instead of 20");
        assert_eq!(message("1.5"), "a duration needs a unit: write \"1.5ms\" or \"1.5s\" instead of 1.5");
        assert_eq!(message("-20"), "\"-20\" is negative (a duration is written like \"20ms\")");
        assert_eq!(message("nan"), "\"NaN\" is not a number (a duration is written like \"20ms\")");
        assert_eq!(message("true"), "invalid type: boolean `true`, expected a duration like \"20ms\"");
        assert_eq!(toml::<Rate>("90").unwrap_err(), "a rate needs a unit: write \"90/s\" or \"90/m\" instead of 90");
    }

    #[test]
    fn durations_are_shown_in_the_largest_exact_unit() {
        for (ns, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (999, "999ns"),
            (1_000, "1us"),
            (250_000, "250us"),
            (250_000_000, "250ms"),
            (1_234_567, "1.234567ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "90s"),
            (180_000_000_000, "3m"),
            (2_000_000_000_000, "2000s"),
            (7_200_000_000_000, "2h"),
        ] {
            assert_eq!(Duration::from_nanos(ns).to_string(), expected);
        }
        assert_eq!(format!("[{:>6}]", Duration::from_millis(5)), "[   5ms]");
    }

    #[test]
    fn messages_are_cut_and_escaped() {
        assert!(ns("5\u{1b}[31m").unwrap_err().contains("\\u{1b}"));
        assert!(ns(&"x".repeat(1_000_000)).unwrap_err().len() < 200);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(n: u64, shift in 0u32..64) {
            let n = n >> shift;
            let duration = Duration::from_nanos(n);
            prop_assert_eq!(duration.to_string().parse::<Duration>(), Ok(duration));
            prop_assert_eq!(Rate(n).to_string().parse::<Rate>(), Ok(Rate(n)));
            prop_assert_eq!(Bytes(n).to_string().parse::<Bytes>(), Ok(Bytes(n)));
            let ratio = Ratio(n % (ONE_RATIO + 1));
            prop_assert_eq!(ratio.to_string().parse::<Ratio>(), Ok(ratio));
            let json = serde_json::to_string(&duration).unwrap();
            prop_assert_eq!(serde_json::from_str::<Duration>(&json).unwrap(), duration);
        }

        #[test]
        fn factors_read_back(n in 1u64..u64::MAX) {
            let factor = Factor::of(n as f64 / 1e9);
            prop_assert_eq!(factor.to_string().parse::<Factor>(), Ok(factor));
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9a-zA-Zµ%/ _]{0,12}|\\PC{0,20}") {
            let _ = (text.parse::<Duration>(), text.parse::<Rate>(), text.parse::<Ratio>());
            let _ = (text.parse::<Bytes>(), text.parse::<Factor>());
        }
    }
}
