//! Turns a part of the tree into a structure, and finds all that is wrong with it, not only the first thing: what
//! was refused is struck out, and the rest is read again.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeValue, ValueDeserializer};

use super::diagnose::Findings;
use super::explain::{self, Place};
use super::tree::{Filled, Value};

/// Reads parts of one tree.
pub struct Reader<'t> {
    /// Where refusals go.
    pub findings: Findings,
    /// What came from variables.
    pub filled: &'t Filled,
    /// The folder of the file; `None` where there is only a text.
    pub folder: Option<&'t Path>,
}

/// How to get from a table or list to one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl<'t> Reader<'t> {
    /// The value as a `T`; `None` if something in it is wrong, and all of that is among the findings then.
    /// `what` is how the value is called in messages, `[calls]` say.
    pub fn read<T: DeserializeOwned>(&mut self, value: &Value<'t>, what: &str) -> Option<T> {
        let mut rest = value.clone();
        let mut struck: Vec<(Range<usize>, String)> = Vec::new();
        let mut clean = true;
        while !self.findings.is_full() {
            let error = match T::deserialize(ValueDeserializer::from(rest.clone())) {
                Ok(read) => return clean.then_some(read),
                Err(error) => error,
            };
            let (span, message) = (error.span().unwrap_or(value.span()), error.message());
            let path = locate(&rest, &span).unwrap_or_default();
            if self.reread_as_number(&mut rest, &path, message) {
                continue;
            }
            clean = false;
            let broken = self.filled.broken.contains(&span.start);
            let follows = struck.iter().any(|(table, key)| *table == span && explain::follows(message, key));
            if !broken && !follows {
                self.findings.push(explain::finding(message, &place(&rest, &path, span, what)));
            }
            struck.push(strike(&mut rest, &path)?);
        }
        self.findings.skip();
        None
    }

    /// A variable's value is text; where a number or a truth value is needed, it is read as one.
    fn reread_as_number(&self, value: &mut Value<'t>, path: &[Step], message: &str) -> bool {
        let Some(at) = descend(value, path).filter(|_| message.starts_with("invalid type: string")) else {
            return false;
        };
        let text = self.filled.texts.get(&at.span().start).filter(|_| at.get_ref().is_str());
        match text.and_then(|text| DeValue::parse(text).ok()).map(Spanned::into_inner) {
            Some(read @ (DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_))) => {
                *at.get_mut() = read;
                true
            }
            _ => false,
        }
    }
}

/// Where an error is, in words and in bytes.
fn place(root: &Value<'_>, path: &[Step], span: Range<usize>, what: &str) -> Place {
    let keys: Vec<&str> = path
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let table = path.iter().try_fold(root, |value, step| step.of(value)).unwrap_or(root);
    let keys_there = table
        .get_ref()
        .as_table()
        .map_or_else(Vec::new, |table| table.keys().map(|key| (key.get_ref().to_string(), key.span())).collect());
    let is_time = table.get_ref().is_datetime();
    Place { what: what.to_owned(), path: keys.iter().map(|key| (*key).to_owned()).collect(), span, keys_there, is_time }
}

impl Step {
    fn of<'v, 't>(&self, value: &'v Value<'t>) -> Option<&'v Value<'t>> {
        match self {
            Step::Key(key) => value.get_ref().as_table()?.get(key.as_str()),
            Step::Index(index) => value.get_ref().as_array()?.get(*index),
        }
    }
}

/// The way to the member whose key or value is at this place.
fn locate(value: &Value<'_>, span: &Range<usize>) -> Option<Vec<Step>> {
    if value.span() == *span {
        return Some(Vec::new());
    }
    let below = |step: Step, value: &Value<'_>| {
        locate(value, span).map(|rest| std::iter::once(step).chain(rest).collect::<Vec<_>>())
    };
    match value.get_ref() {
        DeValue::Table(table) => table.iter().find_map(|(key, value)| {
            let step = Step::Key(key.get_ref().to_string());
            if key.span() == *span { Some(vec![step]) } else { below(step, value) }
        }),
        DeValue::Array(array) => array.iter().enumerate().find_map(|(index, value)| below(Step::Index(index), value)),
        _ => None,
    }
}

/// The member at the end of the way.
fn descend<'v, 't>(value: &'v mut Value<'t>, path: &[Step]) -> Option<&'v mut Value<'t>> {
    path.iter().try_fold(value, |value, step| match (step, value.get_mut()) {
        (Step::Key(key), DeValue::Table(table)) => table.get_mut(key.as_str()),
        (Step::Index(index), DeValue::Array(array)) => array.get_mut(*index),
        _ => None,
    })
}

/// Removes the member at the end of the way; returns the place of the table or list it was in, and its key there.
fn strike(root: &mut Value<'_>, path: &[Step]) -> Option<(Range<usize>, String)> {
    let (last, way) = path.split_last()?;
    let around = descend(root, way)?;
    let span = around.span();
    match (last, around.get_mut()) {
        (Step::Key(key), DeValue::Table(table)) => table.remove(key.as_str()).map(|_| (span, key.clone())),
        (Step::Index(index), DeValue::Array(array)) => {
            let kept = std::mem::replace(array, DeArray::new()).into_iter().enumerate().filter(|(at, _)| at != index);
            *array = kept.map(|(_, value)| value).collect();
            Some((span, String::new()))
        }
        _ => None,
    }
}
