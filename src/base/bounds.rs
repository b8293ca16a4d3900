//! Bounds that parameters are read against, for `#[serde(deserialize_with = "…")]`: a value that makes no sense is
//! refused where it is written.

use serde::de::{Deserialize, Deserializer, Error};

use super::time::Duration;

/// A duration above zero.
///
/// # Errors
/// When it is no time at all.
pub fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = Duration::deserialize(deserializer)?;
    if duration.is_zero() {
        return Err(D::Error::custom("no time at all: write how long, such as \"30s\""));
    }
    Ok(duration)
}

/// A duration above zero, if there is one.
///
/// # Errors
/// When it is no time at all.
pub fn some_above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    above_zero(deserializer).map(Some)
}

/// A number of things, one or more.
///
/// # Errors
/// When it is none.
pub fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("0 is too few: write 1 or more")),
        number => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Config {
        #[serde(deserialize_with = "above_zero")]
        interval: Duration,
        #[serde(deserialize_with = "some_above_zero")]
        limit: Option<Duration>,
        #[serde(deserialize_with = "one_or_more")]
        count: u32,
    }

    #[test]
    fn nothing_is_refused_and_something_is_read() {
        let read = |text: &str| toml::from_str::<Config>(text).map_err(|error| error.message().to_owned());
        let (interval, limit) = (Duration::from_secs(2), Some(Duration::from_secs(3)));
        assert_eq!(read("interval = '2s'\nlimit = '3s'\ncount = 4"), Ok(Config { interval, limit, count: 4 }));
        assert_eq!(read(""), Ok(Config::default()), "a default is not read");
        for (text, part) in
            [("interval = '0s'", "no time at all"), ("limit = '0ms'", "no time at all"), ("count = 0", "1 or more")]
        {
            assert!(read(text).unwrap_err().contains(part), "{text}");
        }
    }
}
