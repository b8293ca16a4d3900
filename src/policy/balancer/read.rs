//! Readers of parameters that several balancers check alike.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::quantity::Ratio;
use crate::base::time::Duration;

/// A duration that is not zero.
///
/// # Errors
/// When it is.
pub fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = Duration::deserialize(deserializer)?;
    if duration.is_zero() {
        return Err(Error::custom("no time at all: write how long, such as \"30s\""));
    }
    Ok(duration)
}

/// A share in [0, 1], written `0.1` or `"10%"`. A number keeps all its digits, which a [`Ratio`] does not.
///
/// # Errors
/// When it is another number.
pub fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Share)
}

struct Share;

impl Visitor<'_> for Share {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share like \"10%\" or 0.1")
    }

    fn visit_f64<E: Error>(self, share: f64) -> Result<f64, E> {
        if (0.0..=1.0).contains(&share) {
            return Ok(share);
        }
        Err(Error::custom(format_args!("a number from 0 to 1 is needed, not {share}")))
    }

    fn visit_i64<E: Error>(self, share: i64) -> Result<f64, E> {
        self.visit_f64(share as f64)
    }

    fn visit_u64<E: Error>(self, share: u64) -> Result<f64, E> {
        self.visit_f64(share as f64)
    }

    fn visit_str<E: Error>(self, share: &str) -> Result<f64, E> {
        share.parse().map(Ratio::value).map_err(E::custom)
    }
}

/// A whole number of percent, written `140` or `"140%"`.
///
/// # Errors
/// When it is something else.
pub fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    deserializer.deserialize_any(Percent)
}

/// The same where it may be left out.
///
/// # Errors
/// Likewise.
pub fn some_percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    percent(deserializer).map(Some)
}

struct Percent;

impl Visitor<'_> for Percent {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of percent like 50 or \"50%\"")
    }

    fn visit_i64<E: Error>(self, percent: i64) -> Result<u32, E> {
        u32::try_from(percent).map_err(|_| E::custom(format_args!("{percent} % is out of range")))
    }

    fn visit_u64<E: Error>(self, percent: u64) -> Result<u32, E> {
        u32::try_from(percent).map_err(|_| E::custom(format_args!("{percent} % is out of range")))
    }

    fn visit_str<E: Error>(self, percent: &str) -> Result<u32, E> {
        let digits = percent.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| E::custom(format_args!("\"{percent}\" is no whole percentage: write one like \"140%\"")))
    }
}

/// A zone of the scenario: its name, or its number in the order in which the file first names zones, from 0. Whoever is
/// built of a plan has the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    /// Its number.
    Number(u16),
    /// Its name.
    Name(String),
}

impl Default for Zone {
    fn default() -> Self {
        Zone::Number(0)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::Number(number) => number.fmt(f),
            Zone::Name(name) => name.fmt(f),
        }
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Zone::Number(number) => serializer.serialize_u16(*number),
            Zone::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Zone;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a zone, or its number")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Zone, E> {
                let zone = u16::try_from(number).map(Zone::Number);
                zone.map_err(|_| E::custom(format_args!("there is no zone {number}")))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Zone, E> {
                let zone = u16::try_from(number).map(Zone::Number);
                zone.map_err(|_| E::custom(format_args!("there is no zone {number}")))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Zone, E> {
                Ok(Zone::Name(name.to_owned()))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl schemars::JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "zone".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "the name of a zone, or its number in the order of the file",
            "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0, "maximum": u16::MAX }],
        })
    }
}

/// The JSON Schema of [`percent`].
pub fn percent_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+%$" }],
    })
}

/// A number above zero.
///
/// # Errors
/// When it is another number.
pub fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number > 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(Error::custom(format_args!("a number above 0 is needed, not {number}")))
}

/// A number of 1 or more.
///
/// # Errors
/// When it is 0.
pub fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(Error::custom("a number of 1 or more is needed, not 0")),
        number => Ok(number),
    }
}

/// A number of samples that are kept, 1 to 10000.
///
/// # Errors
/// When it is another number.
pub fn samples<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let samples = usize::deserialize(deserializer)?;
    if (1..=10_000).contains(&samples) {
        return Ok(samples);
    }
    Err(Error::custom(format_args!("1 to 10000 samples are kept, not {samples}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(default)]
    struct Config {
        #[serde(deserialize_with = "some_time")]
        time: Duration,
        #[serde(deserialize_with = "share")]
        share: f64,
        #[serde(deserialize_with = "above_zero")]
        above: f64,
        #[serde(deserialize_with = "one_or_more")]
        one: u32,
        #[serde(deserialize_with = "samples")]
        samples: usize,
        #[serde(deserialize_with = "percent")]
        percent: u32,
        #[serde(deserialize_with = "some_percent")]
        maybe: Option<u32>,
    }

    impl Default for Config {
        fn default() -> Self {
            Config { time: Duration::MAX, share: 0.5, above: 1.0, one: 1, samples: 1, percent: 1, maybe: None }
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for (bad, message) in [
            ("time = '0s'", "no time at all"),
            ("share = 1.5", "from 0 to 1 is needed, not 1.5"),
            ("share = nan", "from 0 to 1"),
            ("above = 0.0", "above 0 is needed, not 0"),
            ("above = inf", "above 0 is needed, not inf"),
            ("one = 0", "1 or more"),
            ("samples = 0", "1 to 10000 samples"),
            ("share = '101%'", "at most 1"),
            ("share = 2", "from 0 to 1 is needed, not 2"),
            ("share = '10'", "ratio"),
            ("share = true", "expected a share like \"10%\" or 0.1"),
            ("percent = 0.5", "expected a whole number of percent like 50 or \"50%\""),
            ("percent = '0.5%'", "no whole percentage: write one like \"140%\""),
            ("percent = '140'", "no whole percentage"),
            ("percent = -1", "-1 % is out of range"),
            ("maybe = '%'", "no whole percentage"),
        ] {
            let error = toml::from_str::<Config>(bad).unwrap_err();
            assert!(error.message().contains(message), "{bad}: {error}");
        }
        let percents = toml::from_str::<Config>("share = '12.5%'\npercent = '140%'\nmaybe = 7").unwrap();
        assert_eq!((percents.share, percents.percent, percents.maybe), (0.125, 140, Some(7)));
        assert_eq!(toml::from_str::<Config>("share = 0.8408964152537145").unwrap().share, 0.840_896_415_253_714_5);
        assert_eq!(toml::from_str::<Config>("percent = 0\nshare = 1").unwrap().percent, 0);
        let good = toml::from_str::<Config>("time = '1ns'\nshare = 0.0\nabove = 0.1\none = 7\nsamples = 9").unwrap();
        assert_eq!(
            (good.time, good.share, good.above, good.one, good.samples),
            (Duration::from_nanos(1), 0.0, 0.1, 7, 9)
        );
    }
}
