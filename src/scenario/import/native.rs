//! What a configuration becomes: the settings that a person would have written in the scenario, each with the place
//! that it comes from.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use serde_path_to_error::Segment;

use super::message::Reading;
use crate::policy::balancer::catalog::{CARDS, Spec};
use crate::policy::balancer::presets::PRESETS;
use crate::scenario::explain::{self, Place};

/// A value of the scenario language and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Native {
    /// The place in the configuration.
    pub at: Range<usize>,
    made: Made,
}

#[derive(Debug, Clone, PartialEq)]
enum Made {
    Plain(Json),
    Table(Vec<(String, Native)>),
    List(Vec<Native>),
}

impl Native {
    /// A plain value.
    pub fn plain(at: Range<usize>, value: impl Into<Json>) -> Native {
        Native { at, made: Made::Plain(value.into()) }
    }

    /// A table of settings.
    pub fn table(at: Range<usize>, members: Vec<(String, Native)>) -> Native {
        Native { at, made: Made::Table(members) }
    }

    /// A list of settings.
    pub fn list(at: Range<usize>, items: Vec<Native>) -> Native {
        Native { at, made: Made::List(items) }
    }

    /// The place of the first setting of this name, here or further inside.
    pub fn place_of(&self, name: &str) -> Option<Range<usize>> {
        match &self.made {
            Made::Plain(_) => None,
            Made::List(items) => items.iter().find_map(|item| item.place_of(name)),
            Made::Table(members) => members.iter().find_map(|(key, value)| match key == name {
                true => Some(value.at.clone()),
                false => value.place_of(name),
            }),
        }
    }

    fn json(&self) -> Json {
        match &self.made {
            Made::Plain(value) => value.clone(),
            Made::List(items) => items.iter().map(Native::json).collect(),
            Made::Table(members) => {
                members.iter().map(|(key, value)| (key.clone(), value.json())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// The place of what the path leads to, or of what is nearest around it.
    fn place<'k>(&self, mut path: impl Iterator<Item = &'k Segment>) -> Range<usize> {
        let found = match (path.next(), &self.made) {
            (Some(Segment::Map { key }), Made::Table(members)) => {
                members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            (Some(Segment::Seq { index }), Made::List(items)) => items.get(*index),
            _ => None,
        };
        found.map_or(self.at.clone(), |value| value.place(path))
    }

    /// As a setting of a contender. What it may not be is a finding at the place that it comes from.
    pub fn read<T: DeserializeOwned>(&self, setting: &str, reading: &mut Reading<'_>) -> Option<T> {
        let error = match serde_path_to_error::deserialize(self.json()) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let path: Vec<String> = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Map { key } => Some(key.clone()),
                _ => None,
            })
            .collect();
        let span = self.place(error.path().iter());
        let place = Place { what: format!("`{setting}`"), path, span, keys_there: Vec::new(), is_time: false };
        reading.findings.push(explain::finding(&error.inner().to_string(), &place));
        None
    }
}

/// A balancer of the catalogue by the name of a member or preset, with these parameters; `None`, and a finding, if the
/// catalogue does not have it. `named` is how the configuration calls it.
pub fn balancer(
    reading: &mut Reading<'_>,
    at: &Range<usize>,
    (name, named): (&str, &str),
    given: Vec<(&str, Native)>,
) -> Option<Native> {
    let preset = PRESETS.iter().find(|(preset, _)| *preset == name);
    let member = CARDS.iter().find(|card| card.name == name);
    let (member, mut parameters) = match (preset, member) {
        (Some((_, stands_for)), _) => expanded(stands_for, at)?,
        (None, Some(card)) => (card.name.to_owned(), Vec::new()),
        (None, None) => {
            reading.not_yet(at, named, "`plimsoll list balancers` shows what there is");
            return None;
        }
    };
    for (key, value) in given {
        parameters.retain(|(other, _)| other != key);
        parameters.push((key.to_owned(), value));
    }
    Some(Native::table(at.clone(), vec![(member, Native::table(at.clone(), parameters))]))
}

/// The member that a preset stands for, and its parameters.
fn expanded(stands_for: &str, at: &Range<usize>) -> Option<(String, Vec<(String, Native)>)> {
    let json: Json = serde_json::from_str(stands_for).ok()?;
    let (member, parameters) = json.as_object()?.iter().next()?;
    let plain = |(key, value): (&String, &Json)| (key.clone(), Native::plain(at.clone(), value.clone()));
    Some((member.clone(), parameters.as_object()?.iter().map(plain).collect()))
}

/// The first of these names that the balancer, or the one that a preset stands for, has a parameter of.
pub fn parameter<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let spec: Spec = serde_json::from_value(name.into()).ok()?;
    let card = CARDS.iter().find(|card| card.name == spec.name())?;
    let schema = (card.schema)();
    let properties = schema.get("properties")?.as_object()?;
    names.iter().copied().find(|name| properties.contains_key(*name))
}
