//! The smallest parts of a scenario file that are neither plain numbers nor members of a catalogue: names,
//! settings that can be undone, stretches of time, limits.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::backend::spec;
use crate::base::quantity::Ratio;
use crate::base::time::Duration;

/// A name: 1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`, beginning with a letter or a digit. Safe as a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// A zone: `region/zone`, both of them names; or `region` alone, for the only zone of a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZoneName(String);

/// `errors = "0.01%"`, or a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Errors(pub spec::Errors);

/// A setting that `"none"` undoes.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting<T> {
    /// `"none"`.
    Undone,
    /// The setting.
    To(T),
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From here.
    pub from: Duration,
    /// To here.
    pub to: Duration,
}

/// A limit as it is written; what it means depends on the metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// With a unit.
    Text(String),
    /// Without one.
    Number(f64),
}

/// True for 1 to 64 of `a`-`z`, `0`-`9`, `_` and `-` that begin with a letter or a digit.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let rest = |byte: u8| plain(byte) || byte == b'_' || byte == b'-';
    text.len() <= 64 && text.bytes().next().is_some_and(plain) && text.bytes().all(rest)
}

/// The name that a text could become, if anything of it is left.
pub fn as_name(text: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(plain).collect();
    let name: String = name.trim_matches(['-', '_']).chars().take(64).collect();
    is_name(&name).then_some(name)
}

/// What is wrong with a name, and how to write one.
pub fn not_a_name(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let rule = "write 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or a digit";
    match as_name(text) {
        Some(name) if text.is_ascii() && name.len() < 40 => {
            format!("\"{shown}\" cannot be a name: {rule}, such as \"{name}\"")
        }
        _ => format!("\"{shown}\" cannot be a name: {rule}"),
    }
}

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ZoneName {
    /// The zone of this name, if it is one.
    pub fn parse(text: &str) -> Option<ZoneName> {
        let (region, zone) = text.split_once('/').unwrap_or((text, text));
        (is_name(region) && is_name(zone)).then(|| ZoneName(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn region(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_name(&text) { Ok(Name(text)) } else { Err(de::Error::custom(not_a_name(&text))) }
    }
}

impl<'de> Deserialize<'de> for ZoneName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ZoneName::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            let rule = "write `region/zone`, each of a-z, 0-9, _ and -, such as \"eu-west/a\"";
            de::Error::custom(format_args!("\"{shown}\" cannot be a zone: {rule}"))
        })
    }
}

impl<'de> Deserialize<'de> for Errors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Errors;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share like \"0.01%\", or a table like { rate = \"1%\", latency = \"1ms\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Errors, E> {
                Ratio::deserialize(text.into_deserializer()).map(rate)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Errors, E> {
                Ratio::deserialize(number.into_deserializer()).map(rate)
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Errors, E> {
                Ratio::deserialize(number.into_deserializer()).map(rate)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Errors, A::Error> {
                spec::Errors::deserialize(MapAccessDeserializer::new(map)).map(Errors)
            }
        }
        fn rate(rate: Ratio) -> Errors {
            Errors(spec::Errors { rate, ..spec::Errors::default() })
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Setting<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Setting<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, or \"none\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Setting<T>, E> {
                match text {
                    "none" => Ok(Setting::Undone),
                    _ => T::deserialize(text.into_deserializer()).map(Setting::To),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Setting<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Setting::To)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ends {
            from: Duration,
            to: Duration,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Window;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a stretch of time like [\"60s\", \"90s\"]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Window, A::Error> {
                let (from, to) = Deserialize::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Window { from, to })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Window, A::Error> {
                let Ends { from, to } = Ends::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Window { from, to })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Bound;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit like \"30ms\", \"1%\" or 1.5")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bound, E> {
                Ok(Bound::Text(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bound, E> {
                Ok(Bound::Number(number as f64))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Bound, E> {
                Ok(Bound::Number(number))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Declares the JSON Schema of a type.
macro_rules! schema {
    ($Type:ident $(<$T:ident>)?, |$generator:ident| $schema:tt) => {
        impl $(<$T: schemars::JsonSchema>)? schemars::JsonSchema for $Type $(<$T>)? {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($Type).into()
            }
            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

schema!(Name, |_generator| { "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" });
schema!(ZoneName, |_generator| {
    "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}(/[a-z0-9][a-z0-9_-]{0,63})?$",
});
schema!(Errors, |generator| {
    "anyOf": [generator.subschema_for::<Ratio>(), generator.subschema_for::<spec::Errors>()],
});
schema!(Setting<T>, |generator| { "anyOf": [generator.subschema_for::<T>(), { "const": "none" }] });
schema!(Window, |generator| {
    "anyOf": [
        { "type": "array", "items": generator.subschema_for::<Duration>(), "minItems": 2, "maxItems": 2 },
        {
            "type": "object", "required": ["from", "to"], "additionalProperties": false,
            "properties": { "from": end(generator, "From here."), "to": end(generator, "To here.") },
        },
    ],
});
/// An end of a stretch of time.
fn end(generator: &mut schemars::SchemaGenerator, about: &str) -> schemars::Schema {
    let mut end = generator.subschema_for::<Duration>();
    end.insert("description".to_owned(), about.into());
    end
}

schema!(Bound, |_generator| { "type": ["string", "number"] });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        for good in ["a", "0", "eu-west_1", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a/b", "..", "a b", "ä", "a\u{202e}b", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(as_name("../My Fleet!").as_deref(), Some("my-fleet"));
        assert_eq!(as_name("…"), None);
    }

    #[test]
    fn a_zone_has_a_region() {
        assert_eq!(ZoneName::parse("eu-west/a").unwrap().region(), "eu-west");
        assert_eq!(ZoneName::parse("eu-west").unwrap().region(), "eu-west");
        for bad in ["", "/", "a/", "/a", "a/b/c", "A/b"] {
            assert_eq!(ZoneName::parse(bad), None, "{bad}");
        }
    }
}
