//! What a server is and what a call asks for, in words of their owner: names with values, such as `version = "v2"`.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// Names, each with a value. Clones share them, so a hundred thousand servers that are alike hold one.
#[derive(Debug, Clone, Default, Eq, PartialOrd, Ord)]
pub struct Metadata(Option<Arc<BTreeMap<Label, Label>>>);

/// A name or a value: 1 to 128 visible characters of ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(String);

impl Label {
    /// The label of this text, if it is one.
    pub fn parse(text: &str) -> Option<Label> {
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Label(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Metadata {
    /// Says nothing.
    pub const NONE: Metadata = Metadata(None);

    /// These names with their values; of a name that comes twice the last value.
    ///
    /// # Panics
    /// When one of them is no [`Label`].
    pub fn of(pairs: &[(&str, &str)]) -> Metadata {
        let label = |text: &str| Label::parse(text).unwrap_or_else(|| panic!("{text:?} is no label"));
        pairs.iter().map(|(name, value)| (label(name), label(value))).collect()
    }

    /// True if it says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(Label::as_str)
    }

    /// Names and values, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, &Label)> {
        self.0.iter().flat_map(|pairs| pairs.iter())
    }

    /// True if it says all that the other says, and perhaps more.
    pub fn includes(&self, other: &Metadata) -> bool {
        other.iter().all(|(name, value)| self.get(name.as_str()) == Some(value.as_str()))
    }

    /// True if its names are these and no others.
    pub fn has_names(&self, names: &BTreeSet<Label>) -> bool {
        self.iter().map(|(name, _)| name).eq(names)
    }

    /// What it says of these names; `None` unless it says something of each.
    pub fn only(&self, names: &BTreeSet<Label>) -> Option<Metadata> {
        let pair = |name: &Label| Some((name.clone(), self.0.as_ref()?.get(name)?.clone()));
        names.iter().map(pair).collect()
    }

    /// True if both are one and the same in memory: a quick yes, where a no says nothing.
    pub fn is_shared_with(&self, other: &Metadata) -> bool {
        match (&self.0, &other.0) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (own, others) => own.is_none() && others.is_none(),
        }
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Metadata) -> bool {
        self.is_shared_with(other) || self.0 == other.0
    }
}

impl FromIterator<(Label, Label)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (Label, Label)>>(pairs: I) -> Metadata {
        let pairs: BTreeMap<Label, Label> = pairs.into_iter().collect();
        Metadata((!pairs.is_empty()).then(|| Arc::new(pairs)))
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(at, (name, value))| {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", name.as_str(), value.as_str())
        })
    }
}

impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Label, D::Error> {
        let text = String::deserialize(deserializer)?;
        Label::parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(MOST_SHOWN).collect();
            let rule = format_args!("write 1 to {LONGEST} visible characters of ASCII, such as \"v2\"");
            de::Error::custom(format_args!("{shown:?} cannot be metadata: {rule}"))
        })
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Metadata, D::Error> {
        Ok(BTreeMap::<Label, Label>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl schemars::JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "label".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[!-~]{1,128}$" })
    }
}

impl schemars::JsonSchema for Metadata {
    fn schema_name() -> Cow<'static, str> {
        "metadata".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let label = generator.subschema_for::<Label>();
        schemars::json_schema!({
            "description": "names with values, such as `{ version = \"v2\" }`",
            "type": "object", "propertyNames": label, "additionalProperties": label,
        })
    }
}

/// Longest name, and longest value, in bytes.
const LONGEST: usize = 128;
/// Characters of what is no label that a message shows.
const MOST_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<Label> {
        names.iter().map(|name| Label::parse(name).unwrap()).collect()
    }

    #[test]
    fn it_is_what_it_says_and_not_where_it_lies() {
        let (one, other) = (Metadata::of(&[("a", "1"), ("b", "2")]), Metadata::of(&[("b", "2"), ("a", "1")]));
        assert!(one == other && !one.is_shared_with(&other) && one.is_shared_with(&one.clone()));
        assert_eq!(one.cmp(&other), std::cmp::Ordering::Equal);
        assert_ne!(one, Metadata::of(&[("a", "1"), ("b", "3")]));
        assert!(Metadata::of(&[]).is_shared_with(&Metadata::default()) && Metadata::of(&[]).is_empty());
        assert_eq!((one.get("b"), one.get("c"), one.to_string().as_str()), (Some("2"), None, "a=1,b=2"));
    }

    #[test]
    fn parts_of_it_are_found() {
        let all = Metadata::of(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(all.only(&names(&["c", "a"])), Some(Metadata::of(&[("a", "1"), ("c", "3")])));
        assert_eq!(all.only(&names(&["a", "d"])), None, "all or nothing");
        assert!(all.includes(&Metadata::of(&[("b", "2")])) && all.includes(&Metadata::default()));
        assert!(!all.includes(&Metadata::of(&[("b", "1")])) && !all.includes(&Metadata::of(&[("d", "1")])));
        assert!(all.has_names(&names(&["a", "b", "c"])) && Metadata::default().has_names(&names(&[])));
        assert!(!all.has_names(&names(&["a", "b"])) && !all.has_names(&names(&["a", "b", "c", "d"])));
    }

    #[test]
    fn it_is_written_as_a_table_of_text() {
        let read = |text: &str| serde_json::from_str::<Metadata>(text).map_err(|error| error.to_string());
        let known = read(r#"{ "version": "v2", "app.kubernetes.io/stage": "prod" }"#).unwrap();
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(text, r#"{"app.kubernetes.io/stage":"prod","version":"v2"}"#);
        assert!(read("{}").unwrap().is_empty());
        for bad in [r#"{ "": "x" }"#, r#"{ "a": "" }"#, r#"{ "a": "v 2" }"#, r#"{ "ä": "x" }"#] {
            assert!(read(bad).unwrap_err().contains("cannot be metadata: write 1 to 128"), "{bad}");
        }
        assert!(read(&format!(r#"{{ "a": "{}" }}"#, "x".repeat(128))).is_ok());
        assert!(read(&format!(r#"{{ "a": "{}" }}"#, "x".repeat(129))).is_err());
        assert!(read(r#"{ "a": 2 }"#).is_err() && read(r#""a""#).is_err());
    }
}
