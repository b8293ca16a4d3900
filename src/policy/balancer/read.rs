//! Readers of parameters that several balancers check alike.

use serde::{Deserialize, Deserializer, de::Error};

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

/// A share in [0, 1].
///
/// # Errors
/// When it is another number.
pub fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(Error::custom(format_args!("a number from 0 to 1 is needed, not {share}")))
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
    }

    impl Default for Config {
        fn default() -> Self {
            Config { time: Duration::MAX, share: 0.5, above: 1.0, one: 1, samples: 1 }
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
        ] {
            let error = toml::from_str::<Config>(bad).unwrap_err();
            assert!(error.message().contains(message), "{bad}: {error}");
        }
        let good = toml::from_str::<Config>("time = '1ns'\nshare = 0.0\nabove = 0.1\none = 7\nsamples = 9").unwrap();
        assert_eq!(
            (good.time, good.share, good.above, good.one, good.samples),
            (Duration::from_nanos(1), 0.0, 0.1, 7, 9)
        );
    }
}
