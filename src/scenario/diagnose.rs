//! What is wrong with a file, said so that it can be mended: a message, the place underlined, and a next step.
//! All findings of a file are shown at once, in the order of the file.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, but perhaps not as meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// What to write beneath the underlined place; may be empty.
    pub label: String,
    /// The place, in bytes of the file; `None` where the file is not to blame.
    pub span: Option<Range<usize>>,
    /// The next step.
    pub help: String,
}

impl Finding {
    /// An error at a place.
    pub fn error(span: Range<usize>, message: impl AsRef<str>, help: impl AsRef<str>) -> Finding {
        Finding {
            severity: Severity::Error,
            message: printable(message.as_ref()),
            label: String::new(),
            span: Some(span),
            help: printable(help.as_ref()),
        }
    }

    /// A warning at a place.
    pub fn warning(span: Range<usize>, message: impl AsRef<str>, help: impl AsRef<str>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(span, message, help) }
    }

    /// An error that is not in the file: an argument, say.
    pub fn outside(message: impl AsRef<str>, help: impl AsRef<str>) -> Finding {
        Finding { span: None, ..Finding::error(0..0, message, help) }
    }

    /// The same with a few words beneath the place.
    #[must_use]
    pub fn label(mut self, label: impl AsRef<str>) -> Finding {
        self.label = printable(label.as_ref());
        self
    }
}

/// All findings of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    origin: String,
    text: String,
    list: Vec<Finding>,
    left_out: usize,
    /// What was found in files that this one asks for.
    files: Vec<Findings>,
}

impl Findings {
    /// None yet, about the file of this name and text.
    pub fn new(origin: &str, text: &str) -> Findings {
        Findings { origin: printable(origin), text: text.to_owned(), ..Findings::default() }
    }

    /// Adds one. What was said about a place before is not said again, and a flood is cut off.
    pub fn push(&mut self, finding: Finding) {
        if self.list.contains(&finding) {
            return;
        }
        if self.is_full() {
            return self.skip();
        }
        self.list.push(finding);
    }

    /// Adds what was found in a file that this one asks for; asking twice changes nothing.
    pub fn attach(&mut self, file: Findings) {
        if !file.is_empty() && !self.files.contains(&file) {
            self.files.push(file);
        }
    }

    /// What was found in files that this one asks for.
    pub fn files(&self) -> &[Findings] {
        &self.files
    }

    /// Says that more was not looked for.
    pub fn skip(&mut self) {
        self.left_out += 1;
    }

    /// True if so many were found that looking for more is pointless.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MOST
    }

    /// How many errors there are, those of further files included.
    pub fn errors(&self) -> usize {
        self.number_of(Severity::Error)
    }

    fn number_of(&self, severity: Severity) -> usize {
        let own = self.list.iter().filter(|finding| finding.severity == severity).count();
        own + self.files.iter().map(|file| file.number_of(severity)).sum::<usize>()
    }

    /// True if nothing may run.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// True if there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.files.is_empty()
    }

    /// The findings in the order of the file; those without a place come first. Further files are not looked into.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        let mut order: Vec<&Finding> = self.list.iter().collect();
        order.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
        order.into_iter()
    }

    /// Line and column of a finding, both from 1; the column counts characters.
    pub fn place(&self, finding: &Finding) -> Option<(usize, usize)> {
        finding.span.as_ref().map(|span| self.line(span.start)).map(|line| (line.number, line.column))
    }

    /// For people: every finding with its line, then a count.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        self.shown(&renderer) + &self.count() + "\n"
    }

    fn shown(&self, renderer: &Renderer) -> String {
        let own: String = self.iter().map(|finding| renderer.render(&[self.group(finding)]) + "\n\n").collect();
        own + &self.files.iter().map(|file| file.shown(renderer)).collect::<String>()
    }

    /// How many of what, in one line.
    pub fn count(&self) -> String {
        let of = |severity| self.number_of(severity);
        let errors = plural(of(Severity::Error), "error");
        let warnings = plural(of(Severity::Warning), "warning");
        let found = match (of(Severity::Error), of(Severity::Warning)) {
            (_, 0) => errors,
            (0, _) => warnings,
            _ => format!("{errors} and {warnings}"),
        };
        let more = if self.left_out + self.files.iter().map(|file| file.left_out).sum::<usize>() > 0 {
            ", and more that are not shown"
        } else {
            ""
        };
        let end = if self.has_errors() { ": nothing was run" } else { "" };
        format!("{found} in {}{more}{end}", self.origins())
    }

    /// The files that something was found in.
    fn origins(&self) -> String {
        let own = (!self.list.is_empty() || self.files.is_empty()).then_some(self.origin.as_str());
        let all: Vec<&str> = own.into_iter().chain(self.files.iter().map(|file| file.origin.as_str())).collect();
        all.join(", ")
    }

    fn group<'a>(&'a self, finding: &'a Finding) -> Group<'a> {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = Group::with_title(level.primary_title(finding.message.as_str()));
        let group = match &finding.span {
            None => group.element(Origin::path(self.origin.as_str())),
            Some(span) => self.underline(group, span, &finding.label),
        };
        group.element(Level::HELP.message(finding.help.as_str()))
    }

    /// Shows the first line of a span, and of a very long line only the surroundings.
    fn underline<'a>(&'a self, group: Group<'a>, span: &Range<usize>, label: &'a str) -> Group<'a> {
        let text = self.text.as_str();
        let line = self.line(span.start);
        let (start, stop) = (floor(text, span.start), floor(text, span.end));
        let cut = if start - line.start > LONG { floor(text, start - LONG / 4) } else { line.start };
        let end = line.end.min(floor(text, stop.max(start) + LONG / 4)).max(start);
        let mark = start - cut..stop.clamp(start, end) - cut;
        let label = Some(label).filter(|label| !label.is_empty());
        let snippet = Snippet::source(&text[cut..end])
            .line_start(line.number)
            .annotation(AnnotationKind::Primary.span(mark).label(label));
        if cut == line.start {
            return group.element(snippet.path(self.origin.as_str()));
        }
        group.element(Origin::path(self.origin.as_str()).line(line.number).char_column(line.column)).element(snippet)
    }

    fn line(&self, at: usize) -> Line {
        let at = floor(&self.text, at);
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let length = self.text[at..].find('\n').unwrap_or(self.text.len() - at);
        let end = at + self.text[at..at + length].trim_end_matches('\r').len();
        let number = self.text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1;
        Line { number, column: self.text[start..at].chars().count() + 1, start, end }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Findings {}

struct Line {
    number: usize,
    column: usize,
    start: usize,
    end: usize,
}

/// The last boundary between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// `1 error`, `2 errors`.
fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Text with everything escaped that could steer a terminal or reorder what is read.
pub fn printable(text: &str) -> String {
    let plain = |c: char| c == '\n' || !(c.is_control() || reorders(c));
    if text.chars().all(plain) {
        return text.to_owned();
    }
    text.chars().map(|c| if plain(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// Bidirectional controls, zero-width characters and other invisible ones.
fn reorders(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `names` as a sentence would list them: "`a`, `b` and `c`".
pub fn listed<S: AsRef<str>>(names: &[S], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// The name that was probably meant, if one is close.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = folded(wrong);
    let far = (wrong.chars().count() / 3).clamp(1, 4);
    let scored = names.into_iter().map(|name| (distance(&wrong, &folded(name)), name));
    scored.filter(|(distance, _)| *distance <= far).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Spelling without case, hyphens and underscores, cut where no name is so long.
fn folded(name: &str) -> String {
    name.chars().take(80).filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// More findings than this are a flood, and the first ones explain it.
const MOST: usize = 50;
/// Lines longer than this are shown in part.
const LONG: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_underlined_at_its_line_and_column() {
        let text = "# q\r\nname = \"ü\" \tx\r\n";
        let mut findings = Findings::new("a.toml", text);
        findings.push(Finding::error(18..19, "what is `x`?", "leave it out").label("here"));
        assert_eq!(findings.place(findings.iter().next().unwrap()), Some((2, 13)));
        let shown = findings.to_string();
        for part in [
            "error: what is `x`?",
            "--> a.toml:2:13",
            "^ here",
            "help: leave it out",
            "1 error in a.toml: nothing was run",
        ] {
            assert!(shown.contains(part), "{part} in:\n{shown}");
        }
    }

    #[test]
    fn findings_come_in_the_order_of_the_file_and_once() {
        let mut findings = Findings::new("a.toml", "abc\ndef\n");
        for (span, message) in [(4..5, "second"), (0..1, "first"), (4..5, "second")] {
            findings.push(Finding::error(span, message, "-"));
        }
        let messages: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["first", "second"]);
    }

    #[test]
    fn any_place_in_any_text_can_be_shown() {
        for text in ["", "\n", "a", "é", "\u{feff}x = ü\r\n\r\n", &"é".repeat(5_000)] {
            for start in 0..text.len().min(20) + 2 {
                for length in [0, 1, 3, 10_000] {
                    let mut findings = Findings::new("a.toml", text);
                    findings.push(Finding::error(start..start + length, "m", "h"));
                    assert!(findings.to_string().contains("error: m"));
                }
            }
        }
    }

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        let finding = Finding::error(0..0, "`a\u{1b}[31m\u{202e}b`", "");
        assert_eq!(finding.message, "`a\\u{1b}[31m\\u{202e}b`");
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["round_robin", "random", "least_request"];
        assert_eq!(nearest("roundrobin", names), Some("round_robin"));
        assert_eq!(nearest("LeastRequest", names), Some("least_request"));
        assert_eq!(nearest("randmo", names), Some("random"));
        assert_eq!(nearest("maglev", names), None);
        assert_eq!(distance("ca", "ac"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_flood_is_cut_off() {
        let mut findings = Findings::new("a.toml", &"x".repeat(100));
        (0..100).for_each(|at| findings.push(Finding::error(at..at, "m", "h")));
        assert_eq!(findings.iter().count(), MOST);
        assert!(findings.count().contains("and more"));
    }
}
