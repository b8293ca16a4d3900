//! A file as a tree of values that know their places. Syntax is judged here, and `${NAME}` is filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnose::{Finding, Findings, nearest};

/// A value and its place.
pub type Value<'t> = Spanned<DeValue<'t>>;

/// Where `${NAME}` gets its values.
pub struct Variables<'v> {
    /// `--set NAME=value`; the last one of a name counts.
    pub sets: &'v [(String, String)],
    /// The environment.
    pub environment: fn(&str) -> Option<String>,
}

/// What became of the texts with variables in them, by the place where each begins.
#[derive(Debug, Default)]
pub struct Filled {
    /// What they turned into. It may stand for a number, too.
    pub texts: BTreeMap<usize, String>,
    /// Those that could not be filled in: what else is wrong with them does not matter.
    pub broken: BTreeSet<usize>,
}

/// A file as text.
///
/// # Errors
/// When it is too long or not text.
pub fn decode(origin: &str, bytes: &[u8]) -> Result<String, Findings> {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_BYTES)]).into_owned();
    let refuse = |finding| {
        let mut findings = Findings::new(origin, &shown);
        findings.push(finding);
        findings
    };
    if bytes.len() > MOST_BYTES {
        let end = shown.len().saturating_sub(1);
        let message = "the file is longer than 1 MiB, the limit for scenario files";
        return Err(refuse(Finding::error(end..end, message, "ask one question a file").label("1 MiB ends here")));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => {
            let at = error.valid_up_to();
            let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            let help = if wide { "it looks like UTF-16: save it as UTF-8" } else { "save it as UTF-8" };
            Err(refuse(Finding::error(at..at + 3, "the file is not UTF-8 text", help)))
        }
    }
}

/// Reads the text. `None` when its syntax is broken: what it means is not worth judging then.
pub fn parse<'t>(text: &'t str, findings: &mut Findings) -> Option<Value<'t>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        syntax(text, &errors, findings);
        return None;
    }
    let root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    if let Some(deep) = deeper_than(&root, MOST_NESTED) {
        let message = format!("tables and lists are nested more than {MOST_NESTED} deep");
        findings.push(Finding::error(deep, message, "a scenario needs four or five levels: flatten it"));
        return None;
    }
    Some(root)
}

/// What every text with a `${NAME}` or `${NAME:default}` becomes.
pub fn variables(root: &Value<'_>, variables: &Variables<'_>, findings: &mut Findings) -> Filled {
    let mut filler = Filler { variables, findings, filled: Filled::default(), used: BTreeSet::new() };
    filler.visit(root);
    filler.report_unused();
    filler.filled
}

/// Puts those texts in their places.
pub fn fill<'t>(value: &mut Value<'t>, filled: &'t Filled) {
    let start = value.span().start;
    match value.get_mut() {
        DeValue::String(text) => {
            if let Some(new) = filled.texts.get(&start) {
                *text = new.as_str().into();
            }
        }
        DeValue::Array(array) => array.iter_mut().for_each(|value| fill(value, filled)),
        DeValue::Table(table) => table.iter_mut().for_each(|(_, value)| fill(value, filled)),
        _ => {}
    }
}

/// A place in the tree that may be missing: its span is then that of the nearest table around it.
#[derive(Clone)]
pub struct Node<'n, 't> {
    value: Option<&'n Value<'t>>,
    key: Range<usize>,
    span: Range<usize>,
}

impl<'n, 't> Node<'n, 't> {
    /// The whole tree.
    pub fn root(value: &'n Value<'t>) -> Node<'n, 't> {
        Node { value: Some(value), key: value.span(), span: value.span() }
    }

    /// The member of this key.
    pub fn key(&self, key: &str) -> Node<'n, 't> {
        let found = self.value.and_then(|value| value.get_ref().as_table()).and_then(|table| table.get_key_value(key));
        match found {
            Some((name, value)) => Node { value: Some(value), key: name.span(), span: value.span() },
            None => Node { value: None, ..self.clone() },
        }
    }

    /// The member of this number.
    pub fn index(&self, index: usize) -> Node<'n, 't> {
        let found = self.value.and_then(|value| value.get_ref().as_array()).and_then(|array| array.get(index));
        match found {
            Some(value) => Node { value: Some(value), key: value.span(), span: value.span() },
            None => Node { value: None, ..self.clone() },
        }
    }

    /// What is there.
    pub fn value(&self) -> Option<&'n Value<'t>> {
        self.value
    }

    /// True if the file says something here.
    pub fn exists(&self) -> bool {
        self.value.is_some()
    }

    /// The place of the value.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The place of its key.
    pub fn key_span(&self) -> Range<usize> {
        self.key.clone()
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&'n str> {
        self.value.and_then(|value| value.get_ref().as_str())
    }

    /// The members of a list; none if it is not a list.
    pub fn items(&self) -> Vec<Node<'n, 't>> {
        let length = self.value.and_then(|value| value.get_ref().as_array()).map_or(0, |array| array.len());
        (0..length).map(|index| self.index(index)).collect()
    }

    /// The members of a table in the order of the file; none if it is not a table.
    pub fn entries(&self) -> Vec<(&'n str, Node<'n, 't>)> {
        let Some(table) = self.value.and_then(|value| value.get_ref().as_table()) else { return Vec::new() };
        let mut entries: Vec<(&'n str, Node<'n, 't>)> = table
            .iter()
            .map(|(key, value)| {
                (key.get_ref().as_ref(), Node { value: Some(value), key: key.span(), span: value.span() })
            })
            .collect();
        entries.sort_by_key(|(_, node)| node.key.start);
        entries
    }
}

/// The first place that is nested deeper than `limit`.
fn deeper_than(value: &Value<'_>, limit: usize) -> Option<Range<usize>> {
    if limit == 0 {
        return Some(value.span());
    }
    match value.get_ref() {
        DeValue::Array(array) => array.iter().find_map(|value| deeper_than(value, limit - 1)),
        DeValue::Table(table) => table.values().find_map(|value| deeper_than(value, limit - 1)),
        _ => None,
    }
}

/// Turns the parser's errors into findings, without the ones that only follow from an earlier one.
fn syntax(text: &str, errors: &[toml::de::Error], findings: &mut Findings) {
    let place = |error: &toml::de::Error| error.span().unwrap_or(text.len()..text.len());
    let mut errors: Vec<_> = errors.iter().map(|error| (place(error), error.message())).collect();
    errors.sort_by_key(|(span, _)| (span.start, span.end));
    let mut last_line = None;
    for (span, message) in errors.into_iter().take(200) {
        let line = text.as_bytes()[..span.start.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        if last_line == Some(line) {
            continue;
        }
        last_line = Some(line);
        let (said, help) = in_plain_words(message, text.get(span.clone()).unwrap_or_default());
        findings.push(Finding::error(span, said, help));
        // A list or table that is never closed swallows what follows, and all of it looks wrong.
        if ["array", "inline table", "unclosed", "recurs", "multi-line", "missing comma"]
            .iter()
            .any(|word| message.contains(word))
        {
            return;
        }
    }
}

/// The parser's message about `there`, and what to do about it.
fn in_plain_words(message: &str, there: &str) -> (String, &'static str) {
    if message.starts_with("duplicate key") {
        let help = "keep one of the two; a list of tables is written `[[name]]`";
        return (format!("`{there}` is given twice"), help);
    }
    let rows: [(&str, &str, &'static str); 9] = [
        ("string values must be quoted", "text must be quoted", "write \"…\" around it: quantities are text, too"),
        ("cannot recurse", "tables and lists are nested too deep", "a scenario needs four or five levels: flatten it"),
        ("invalid basic string", "the text is not closed", "close it with a quotation mark on the same line"),
        ("invalid literal string", "the text is not closed", "close it with an apostrophe on the same line"),
        (
            "missing comma",
            "a comma is missing here, or a list or table is not closed",
            "write `[a, b]` or `{ a = 1, b = 2 }`",
        ),
        ("unclosed array", "the list is not closed", "close it with `]`"),
        ("unclosed inline table", "the table is not closed", "close it with `}`"),
        ("unclosed table", "the table's header is not closed", "write `[name]`, or `[[name]]` for one of several"),
        ("key with no value", "the key has no value", "write `key = value`"),
    ];
    for (pattern, said, help) in rows {
        if message.starts_with(pattern) {
            return (said.to_owned(), help);
        }
    }
    let help = "scenario files are TOML: a line is `key = value`, `[table]`, `[[one of several]]` or `# a comment`";
    (format!("this is not TOML: {message}"), help)
}

/// Finds out what `${NAME}` and `${NAME:default}` stand for.
struct Filler<'f> {
    variables: &'f Variables<'f>,
    findings: &'f mut Findings,
    filled: Filled,
    used: BTreeSet<String>,
}

impl Filler<'_> {
    fn visit(&mut self, value: &Value<'_>) {
        match value.get_ref() {
            DeValue::String(text) if text.contains("${") => {
                let start = value.span().start;
                match self.replaced(text, &value.span()) {
                    Some(new) => drop(self.filled.texts.insert(start, new)),
                    None => drop(self.filled.broken.insert(start)),
                }
            }
            DeValue::Array(array) => array.iter().for_each(|value| self.visit(value)),
            DeValue::Table(table) => table.values().for_each(|value| self.visit(value)),
            _ => {}
        }
    }

    fn replaced(&mut self, text: &str, span: &Range<usize>) -> Option<String> {
        let mut new = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else {
                let message = "a `${` without its `}`";
                self.findings.push(Finding::error(span.clone(), message, "write `${NAME}` or `${NAME:default}`"));
                return None;
            };
            new += &rest[..start];
            new += &self.looked_up(&rest[start + 2..start + length], span)?;
            rest = &rest[start + length + 1..];
        }
        Some(new + rest)
    }

    fn looked_up(&mut self, inside: &str, span: &Range<usize>) -> Option<String> {
        let (name, default) = inside.split_once(':').map_or((inside, None), |(name, default)| (name, Some(default)));
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(word) || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("`{name}` cannot be the name of a variable");
            let help = "write `${NAME}` or `${NAME:default}`; a name has letters, digits and `_`";
            self.findings.push(Finding::error(span.clone(), message, help));
            return None;
        }
        self.used.insert(name.to_owned());
        let set = self.variables.sets.iter().rev().find(|(set, _)| set == name).map(|(_, value)| value.clone());
        let value = set.or_else(|| (self.variables.environment)(name)).or_else(|| default.map(str::to_owned));
        if value.is_none() {
            let message = format!("the variable `{name}` has no value");
            let help = format!("give it one with `--set {name}=…`, or a default with `${{{name}:…}}`");
            self.findings.push(Finding::error(span.clone(), message, help));
        }
        value
    }

    /// A `--set` that sets nothing is most likely a slip.
    fn report_unused(&mut self) {
        for (name, _) in self.variables.sets {
            if !self.used.contains(name) {
                let help = match nearest(name, self.used.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `--set {near}=…`?"),
                    None => format!("use it in the file as `${{{name}}}`, or leave it out"),
                };
                let mut finding = Finding::warning(0..0, format!("`--set {name}=…` sets nothing in this file"), help);
                finding.span = None;
                self.findings.push(finding);
            }
        }
    }
}

/// Longest file, in bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// Deepest nesting.
const MOST_NESTED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_late_init, reason = "the tree borrows from it, and must be dropped first")]
    fn value_of_a(text: &str, sets: &[(String, String)]) -> (Option<String>, Vec<String>) {
        let mut findings = Findings::new("a.toml", text);
        let environment = |name: &str| (name == "HOME_TOWN").then(|| "delft".to_owned());
        let filled;
        let mut root = parse(text, &mut findings).unwrap();
        filled = variables(&root, &Variables { sets, environment }, &mut findings);
        fill(&mut root, &filled);
        let value = Node::root(&root).key("a").text().map(str::to_owned);
        (value, findings.iter().map(|finding| finding.message.clone()).collect())
    }

    #[test]
    fn variables_come_from_the_command_line_then_the_environment_then_the_default() {
        let set = [("HOME_TOWN".to_owned(), "ghent".to_owned())];
        assert_eq!(value_of_a("a = 'x${HOME_TOWN}y'", &set).0.unwrap(), "xghenty");
        assert_eq!(value_of_a("a = '${HOME_TOWN:bruges}'", &[]).0.unwrap(), "delft");
        assert_eq!(value_of_a("a = '${OTHER:bruges}'", &[]).0.unwrap(), "bruges");
        assert_eq!(value_of_a("a = '${OTHER:}'", &[]).0.unwrap(), "");
        assert_eq!(value_of_a("a = '${OTHER}'", &[]).1, ["the variable `OTHER` has no value"]);
        assert_eq!(value_of_a("a = 'x'", &set).1, ["`--set HOME_TOWN=…` sets nothing in this file"]);
        assert_eq!(value_of_a("a = '${'", &[]).1, ["a `${` without its `}`"]);
        assert_eq!(value_of_a("a = '${a b}'", &[]).1, ["`a b` cannot be the name of a variable"]);
    }

    #[test]
    fn what_is_not_there_is_placed_at_the_table_around_it() {
        let text = "[calls]\nrate = '1/s'\n[[clients]]\ncount = 1\n[[clients]]\n";
        let mut findings = Findings::new("a.toml", text);
        let tree = parse(text, &mut findings).unwrap();
        let root = Node::root(&tree);
        assert_eq!(&text[root.key("calls").key("rate").span()], "'1/s'");
        assert_eq!(&text[root.key("calls").key("rate").key_span()], "rate");
        assert_eq!(&text[root.key("calls").key("users").span()], "[calls]");
        assert_eq!(&text[root.key("clients").index(1).key("count").span()], "[[clients]]");
        assert!(!root.key("clients").index(2).exists());
        let order: Vec<&str> = root.entries().into_iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["calls", "clients"]);
    }

    #[test]
    fn files_that_are_not_text_are_refused_with_a_place() {
        let refused = decode("a.toml", b"# ok\nname = \"\xff\"").unwrap_err();
        assert_eq!(refused.place(refused.iter().next().unwrap()), Some((2, 9)));
        assert!(decode("a.toml", &vec![b' '; MOST_BYTES + 1]).is_err());
        assert_eq!(decode("a.toml", "\u{feff}x".as_bytes()).unwrap(), "x");
    }
}
