//! A configuration file of another product as a tree of values that know their places: JSON or YAML, judged for its
//! syntax alone.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast;
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::scenario::diagnose::{Finding, Findings};

/// A value and its place, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The place.
    pub at: Range<usize>,
    /// What stands there.
    pub kind: Kind,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing: in protobuf's JSON the same as a field that is left out.
    Null,
    /// `true` or `false`.
    Truth(bool),
    /// A number as it is written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A table, in the order of the file. No key comes twice.
    Table(Vec<Member>),
}

/// A member of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its key.
    pub key: String,
    /// The place of the key.
    pub key_at: Range<usize>,
    /// Its value.
    pub value: Value,
}

impl Kind {
    /// What it is, in words.
    pub fn in_words(&self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Truth(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON (RFC 8259), and nothing that only looks like it.
    Json,
    /// YAML 1.2: one document, without aliases and tags.
    Yaml,
}

/// Reads the text; `None` if its syntax is broken.
pub fn parse(text: &str, syntax: Syntax, findings: &mut Findings) -> Option<Value> {
    let errors = findings.errors();
    let value = match syntax {
        Syntax::Json => json(text, findings),
        Syntax::Yaml => yaml(text, findings),
    };
    value.filter(|_| findings.errors() == errors)
}

/// Finds keys that stand for the second time in their table.
fn note_twice(table: &[Member], findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for Member { key, key_at, .. } in table {
        if !seen.insert(key) {
            let message = format!("`{}` is given twice", shortened(key));
            findings.push(Finding::error(key_at.clone(), message, "keep one of the two").label("the second one"));
        }
    }
}

fn too_deep(at: Range<usize>) -> Finding {
    let message = format!("tables and lists are nested more than {MOST_NESTED} deep");
    Finding::error(at, message, "keep what a client is configured with, and nothing else")
}

fn empty(text: &str) -> Finding {
    Finding::error(text.len()..text.len(), "the file is empty", "copy the configuration into it")
}

/// A text of the file in a message.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

// JSON.

fn json(text: &str, findings: &mut Findings) -> Option<Value> {
    // The parser would allow much that is not JSON.
    let strict = jsonc_parser::ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match jsonc_parser::parse_to_ast(text, &Default::default(), &strict).map(|read| read.value) {
        Ok(Some(value)) => of_json(value, MOST_NESTED, findings),
        Ok(None) => {
            findings.push(empty(text));
            None
        }
        Err(error) => {
            let (start, end) = (error.range().start, error.range().end);
            let mut said = error.kind().to_string();
            said[..1].make_ascii_lowercase();
            let help = "`python3 -m json.tool FILE` and `jq . FILE` check a file too";
            findings.push(Finding::error(start..end, format!("this is not JSON: {said}"), help));
            None
        }
    }
}

fn of_json(value: ast::Value<'_>, depth: usize, findings: &mut Findings) -> Option<Value> {
    use jsonc_parser::common::Ranged;
    let at = value.range().start..value.range().end;
    if depth == 0 {
        findings.push(too_deep(at));
        return None;
    }
    let kind = match value {
        ast::Value::NullKeyword(_) => Kind::Null,
        ast::Value::BooleanLit(truth) => Kind::Truth(truth.value),
        ast::Value::NumberLit(number) => Kind::Number(number.value.to_owned()),
        ast::Value::StringLit(text) => Kind::Text(text.value.into_owned()),
        ast::Value::Array(list) => {
            let items = list.elements.into_iter();
            Kind::List(items.map(|item| of_json(item, depth - 1, findings)).collect::<Option<_>>()?)
        }
        ast::Value::Object(object) => {
            let mut table = Vec::with_capacity(object.properties.len());
            for property in object.properties {
                let (start, end) = (property.name.range().start, property.name.range().end);
                let (key, key_at) = (property.name.into_string(), start..end);
                let value = of_json(property.value, depth - 1, findings)?;
                table.push(Member { key, key_at, value });
            }
            note_twice(&table, findings);
            Kind::Table(table)
        }
    };
    Some(Value { at, kind })
}

// YAML.

fn yaml(text: &str, findings: &mut Findings) -> Option<Value> {
    let mut builder = Builder { places: Places::of(text), open: Vec::new(), root: None, findings };
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(read) => read,
            Err(error) => {
                let at = builder.places.byte(error.marker().index());
                let help = "indent with spaces, put `: ` behind keys and quote text with special characters";
                let said = format!("this is not YAML: {}", error.info());
                builder.findings.push(Finding::error(at..at + 1, said, help));
                return None;
            }
        };
        let at = builder.places.range(&span);
        builder.take(event, at)?;
    }
    if builder.root.is_none() {
        builder.findings.push(empty(text));
    }
    builder.root
}

/// The bytes that characters begin at.
struct Places {
    /// Empty where every character is one byte.
    starts: Vec<usize>,
    length: usize,
}

impl Places {
    fn of(text: &str) -> Places {
        let starts = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Places { starts, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        if self.starts.is_empty() {
            return character.min(self.length);
        }
        self.starts.get(character).copied().unwrap_or(self.length)
    }

    fn range(&self, span: &Span) -> Range<usize> {
        self.byte(span.start.index())..self.byte(span.end.index())
    }
}

/// Puts events together.
struct Builder<'f> {
    places: Places,
    /// Lists and tables that are not closed, the outermost first.
    open: Vec<Open>,
    root: Option<Value>,
    findings: &'f mut Findings,
}

struct Open {
    value: Value,
    /// The key that waits for its value.
    key: Option<(String, Range<usize>)>,
}

impl Builder<'_> {
    /// `None` where reading on is pointless.
    fn take(&mut self, event: Event<'_>, at: Range<usize>) -> Option<()> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.check_tag(tag.as_deref(), &at);
                let kind = if style == ScalarStyle::Plain { plain(&text) } else { Kind::Text(text.into_owned()) };
                self.put(Value { at, kind });
            }
            Event::SequenceStart(_, tag) => self.begin(Kind::List(Vec::new()), tag.as_deref(), at)?,
            Event::MappingStart(_, tag) => self.begin(Kind::Table(Vec::new()), tag.as_deref(), at)?,
            Event::SequenceEnd | Event::MappingEnd => {
                let mut closed = self.open.pop()?.value;
                closed.at.end = at.end.max(closed.at.start);
                if let Kind::Table(table) = &closed.kind {
                    note_twice(table, self.findings);
                }
                self.put(closed);
            }
            Event::Alias(_) => {
                let help = "write out what it stands for";
                self.findings.push(Finding::error(at.clone(), "aliases are not supported here", help));
                self.put(Value { at, kind: Kind::Null });
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                let help = "keep the one that the contender is made of";
                self.findings.push(Finding::error(at, "the file holds more than one document", help));
                return None;
            }
            _ => {}
        }
        Some(())
    }

    fn begin(&mut self, kind: Kind, tag: Option<&Tag>, at: Range<usize>) -> Option<()> {
        self.check_tag(tag, &at);
        if self.open.len() == MOST_NESTED {
            self.findings.push(too_deep(at.start..at.start + 1));
            return None;
        }
        self.open.push(Open { value: Value { at, kind }, key: None });
        Some(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, at: &Range<usize>) {
        if tag.is_some() {
            let help = "leave it out: quotes make text of a value";
            self.findings.push(Finding::error(at.clone(), "tags are not supported here", help));
        }
    }

    fn put(&mut self, value: Value) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return;
        };
        match (&mut open.value.kind, open.key.take()) {
            (Kind::List(list), _) => list.push(value),
            (Kind::Table(table), Some((key, key_at))) => table.push(Member { key, key_at, value }),
            (Kind::Table(_), None) => {
                let key = match value.kind {
                    Kind::Text(text) | Kind::Number(text) => text,
                    Kind::Truth(truth) => truth.to_string(),
                    kind => {
                        let message = format!("a key is text, and not {}", kind.in_words());
                        self.findings.push(Finding::error(value.at.clone(), message, "write `key: value`"));
                        String::new()
                    }
                };
                open.key = Some((key, value.at));
            }
            _ => {}
        }
    }
}

/// A scalar without quotes (YAML 1.2, core schema).
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Truth(true),
        "false" | "False" | "FALSE" => Kind::Truth(false),
        _ if is_number(text) => Kind::Number(text.to_owned()),
        _ => Kind::Text(text.to_owned()),
    }
}

/// Decimal numbers only: nobody writes a configuration in octal.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && text.contains(|c: char| c.is_ascii_digit())
        && text.parse::<f64>().is_ok()
}

/// Deepest nesting: as in scenario files.
const MOST_NESTED: usize = 64;
/// Characters of a name that a message shows.
const MOST_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, syntax: Syntax) -> Result<Value, Vec<String>> {
        let mut findings = Findings::new("a", text);
        let value = parse(text, syntax, &mut findings);
        value.ok_or_else(|| findings.iter().map(|finding| finding.message.clone()).collect())
    }

    /// The value without its places.
    fn shown(value: &Value) -> serde_json::Value {
        match &value.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Truth(truth) => (*truth).into(),
            Kind::Number(number) => format!("#{number}").into(),
            Kind::Text(text) => text.as_str().into(),
            Kind::List(list) => list.iter().map(shown).collect(),
            Kind::Table(table) => table.iter().map(|member| (member.key.clone(), shown(&member.value))).collect(),
        }
    }

    /// The text at the place of each scalar and key.
    fn places(value: &Value, text: &str, into: &mut Vec<String>) {
        match &value.kind {
            Kind::List(list) => list.iter().for_each(|value| places(value, text, into)),
            Kind::Table(table) => {
                for member in table {
                    into.push(text[member.key_at.clone()].to_owned());
                    places(&member.value, text, into);
                }
            }
            _ => into.push(text[value.at.clone()].to_owned()),
        }
    }

    #[test]
    fn the_same_tree_comes_from_json_and_from_yaml() {
        let json = "{\"ä\": [1, 2.5e1, true, null, \"x\"],\t\"b\":\t{\"c\": \"1\", \"\\uD83D\\uDE00\": {}}}";
        let yaml = "ä:\n- 1\n- 2.5e1\n- true\n- ~\n- x\nb:\n  c: '1'\n  😀: {}\n";
        let (a, b) = (read(json, Syntax::Json).unwrap(), read(yaml, Syntax::Yaml).unwrap());
        assert_eq!(shown(&a), shown(&b));
        let expected = serde_json::json!({
            "ä": ["#1", "#2.5e1", true, null, "x"], "b": { "c": "1", "😀": {} },
        });
        assert_eq!(shown(&a), expected);
        let mut found = Vec::new();
        places(&a, json, &mut found);
        assert_eq!(found[..7], ["\"ä\"", "1", "2.5e1", "true", "null", "\"x\"", "\"b\""]);
        found.clear();
        places(&b, yaml, &mut found);
        assert_eq!(found, ["ä", "1", "2.5e1", "true", "~", "x", "b", "c", "'1'", "😀"]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "{a: 1}",
            "{'a': 1}",
            "{\"a\": 1,}",
            "[1 2]",
            "// no\n{}",
            "{\"a\": 0x1}",
            "{\"a\": .5}",
            "{\"a\": NaN}",
            "{\"a\": +1}",
            "{} {}",
            "{\"a\": \"\\x41\"}",
            "",
            "{",
            "\"a",
        ] {
            assert!(read(text, Syntax::Json).is_err(), "{text}");
        }
    }

    #[test]
    fn what_yaml_can_do_but_nobody_needs_here_is_refused() {
        for (text, message) in [
            ("a: &x 1\nb: *x\n", "aliases are not supported here"),
            ("a: !!str 1\n", "tags are not supported here"),
            ("a: 1\n---\nb: 2\n", "the file holds more than one document"),
            ("a: 1\na: 2\n", "`a` is given twice"),
            ("? [a]\n: 1\n", "a key is text, and not a list"),
            ("# nothing\n", "the file is empty"),
        ] {
            assert_eq!(read(text, Syntax::Yaml).unwrap_err()[0], message, "{text}");
        }
        assert!(read("a: [1\nb: 2\n", Syntax::Yaml).unwrap_err()[0].starts_with("this is not YAML: "));
        assert!(read("a:\n\tb: 1\n", Syntax::Yaml).is_err());
    }

    #[test]
    fn no_nesting_is_too_deep_for_the_program() {
        for (text, syntax) in [
            ("[".repeat(500_000), Syntax::Json),
            ("[".repeat(100) + &"]".repeat(100), Syntax::Json),
            ("{\"a\":".repeat(300_000), Syntax::Json),
            ("[".repeat(500_000), Syntax::Yaml),
            ("- ".repeat(400_000), Syntax::Yaml),
            ("? ".repeat(400_000), Syntax::Yaml),
            ("{a: ".repeat(200_000), Syntax::Yaml),
        ] {
            assert!(read(&text, syntax).is_err(), "{}", &text[..20]);
        }
        let fits = "[".repeat(MOST_NESTED) + &"]".repeat(MOST_NESTED);
        assert!(read(&fits, Syntax::Json).is_ok() && read(&fits, Syntax::Yaml).is_ok());
    }
}
