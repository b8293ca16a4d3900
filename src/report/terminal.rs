//! The comparison as text, made to be read at a glance: a row a contender, the difference to the baseline below
//! each value, ties shown as ties.
//!
//! Columns are packed into as many blocks as the width needs, so nothing is ever cut off or wrapped by the
//! terminal. Colour only repeats what the text says.

use anstyle::{AnsiColor, Style};

use super::number::{UNKNOWN, bare, difference, estimate, shown_unit, stretch};
use super::score::{Cell, Column, Delta, Standing, essential};
use super::text::{clean, count_of, shorten, wrap};
use super::{GateLine, Page, Verdict};
use crate::measure::catalog::Scale;
use crate::measure::summary::{EventFact, Facts};

/// The comparison of a page in lines of at most `width` characters (never fewer than 60).
pub fn comparison(page: &Page<'_>, width: usize, colour: bool) -> String {
    let width = width.max(60);
    let mut out = Lines::new(colour);
    header(&mut out, &page.study.facts, width);
    let columns = essential(page);
    let names = names(page);
    for block in blocks(&names, &columns, width) {
        out.end();
        table(&mut out, &names, &block);
    }
    legend(&mut out, page, &columns, width);
    gates(&mut out, page, width);
    out.text()
}

/// Text that grows, with or without colour.
pub(super) struct Lines {
    text: String,
    colour: bool,
}

impl Lines {
    pub(super) fn new(colour: bool) -> Lines {
        Lines { text: String::new(), colour }
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        self.text
    }

    /// Goes on with the line.
    pub(super) fn put(&mut self, style: Style, text: &str) {
        if self.colour && style != PLAIN && !text.trim().is_empty() {
            self.text += &format!("{style}{text}{style:#}");
        } else {
            self.text += text;
        }
    }

    /// Ends the line, without blanks at its end.
    pub(super) fn end(&mut self) {
        self.text.truncate(self.text.trim_end_matches(' ').len());
        self.text.push('\n');
    }

    /// A piece and the end of the line.
    pub(super) fn line(&mut self, style: Style, text: &str) {
        self.put(style, text);
        self.end();
    }
}

fn header(out: &mut Lines, facts: &Facts, width: usize) {
    out.line(BOLD, &shorten(&clean(&facts.scenario), width));
    for line in wrap(&clean(&facts.question), width) {
        out.line(PLAIN, &line);
    }
    for line in wrap_parts(&fact_parts(facts), width) {
        out.line(DIM, &line);
    }
}

/// The facts of a plan, each short enough to stand between dots.
pub fn fact_parts(facts: &Facts) -> Vec<String> {
    let mut parts = vec![
        if facts.world == "live" { "live servers".to_owned() } else { "virtual time".to_owned() },
        format!("{} ({} of it warm-up)", stretch(facts.duration_ns), stretch(facts.warmup_ns)),
        count_of(facts.seeds.len(), "seed", "seeds"),
        count_of(facts.clients as usize, "client", "clients"),
        count_of(facts.backends.len(), "backend", "backends"),
    ];
    parts.extend(facts.events.iter().take(EVENTS_SHOWN).map(event));
    if facts.events.len() > EVENTS_SHOWN {
        parts.push(format!("and {}", count_of(facts.events.len() - EVENTS_SHOWN, "more event", "more events")));
    }
    parts
}

/// A fault with its time.
pub fn event(event: &EventFact) -> String {
    let label = shorten(&clean(&event.label), 40);
    let from = stretch(event.from_ns);
    if event.until_ns > event.from_ns {
        format!("{label} {from} – {}", stretch(event.until_ns))
    } else {
        format!("{label} at {from}")
    }
}

fn wrap_parts(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + part.chars().count() <= width => {
                line.push_str(" · ");
                line.push_str(part);
            }
            _ => lines.push(shorten(part, width)),
        }
    }
    lines
}

/// The first column: a name, and below it what the contender is besides.
struct Name {
    name: String,
    note: &'static str,
}

fn names(page: &Page<'_>) -> Vec<Name> {
    let name = |(i, contender): (usize, &crate::measure::summary::Contender)| Name {
        name: shorten(&clean(&contender.name), NAME_WIDTH),
        note: match (i == page.study.facts.baseline, contender.oracle) {
            (true, true) => "baseline, oracle",
            (true, false) => "baseline",
            (false, true) => "oracle",
            (false, false) => "",
        },
    };
    page.study.contenders.iter().enumerate().map(name).collect()
}

/// A column ready to be set: its head, and for each contender the two lines of its cell.
struct Block {
    head: Vec<String>,
    cells: Vec<[Piece; 2]>,
    width: usize,
}

/// A text with its style.
struct Piece(Style, String);

fn blocks(names: &[Name], columns: &[Column], width: usize) -> Vec<Vec<Block>> {
    let room = width - first_width(names);
    let mut blocks: Vec<Vec<Block>> = Vec::new();
    let mut used = 0;
    for column in columns.iter().map(block) {
        if blocks.is_empty() || used + GAP + column.width > room {
            blocks.push(Vec::new());
            used = 0;
        }
        used += GAP + column.width;
        if let Some(block) = blocks.last_mut() {
            block.push(column);
        }
    }
    blocks
}

fn first_width(names: &[Name]) -> usize {
    names.iter().map(|name| name.name.chars().count().max(name.note.len() + 2)).max().unwrap_or(0)
}

fn block(column: &Column) -> Block {
    let (_, unit) = shown_unit(column.metric);
    let mut head = wrap(column.metric.title, 9);
    head.push(unit.to_owned());
    let cells: Vec<[Piece; 2]> = column.cells.iter().map(|cell| [value(column, cell), delta(column, cell)]).collect();
    let length = |text: &String| text.chars().count();
    let widest = cells.iter().flatten().map(|piece| length(&piece.1)).chain(head.iter().map(length)).max();
    Block { head, cells, width: widest.unwrap_or(0) }
}

fn value(column: &Column, cell: &Cell) -> Piece {
    let Some(value) = cell.value else { return Piece(DIM, UNKNOWN.to_owned()) };
    let star = if cell.best { "*" } else { "" };
    let dagger = if cell.thin { "†" } else { "" };
    let symmetric = cell.interval.filter(|_| column.metric.scale != Scale::Endless);
    let (text, width) = match symmetric.map(|interval| estimate(column.metric, value, interval)) {
        Some((text, half)) => (text, format!(" ±{half}")),
        None => (bare(column.metric, value), String::new()),
    };
    Piece(if cell.best { BOLD } else { PLAIN }, format!("{star}{text}{dagger}{width}"))
}

fn delta(column: &Column, cell: &Cell) -> Piece {
    match cell.delta {
        _ if cell.endless > 0 && cell.value.is_some_and(f64::is_finite) => {
            Piece(DIM, format!("{} of {} never", cell.endless, cell.runs))
        }
        None => Piece(PLAIN, String::new()),
        Some(delta) => Piece(style_of(delta.standing), delta_text(column, &delta)),
    }
}

/// `=` for equal, `~` for not separated, `?` for unjudged, else the bare difference.
fn delta_text(column: &Column, delta: &Delta) -> String {
    let text = difference(column.metric, delta.value, delta.relative);
    match delta.standing {
        Standing::Tie | Standing::Unjudged if delta.value == 0.0 => "=".to_owned(),
        Standing::Tie => format!("~ {text}"),
        Standing::Unjudged => format!("? {text}"),
        _ => text,
    }
}

fn style_of(standing: Standing) -> Style {
    match standing {
        Standing::Better => GREEN,
        Standing::Worse => RED,
        Standing::Different => PLAIN,
        Standing::Tie | Standing::Unjudged => DIM,
    }
}

fn table(out: &mut Lines, names: &[Name], blocks: &[Block]) {
    let first = first_width(names);
    let depth = blocks.iter().map(|block| block.head.len()).max().unwrap_or(0);
    for line in 0..depth {
        out.put(PLAIN, &" ".repeat(first));
        for block in blocks {
            // The unit always stands in the last line, the title right above it.
            let text = (line + block.head.len()).checked_sub(depth).map_or("", |at| block.head[at].as_str());
            out.put(DIM, &format!("{:>1$}", text, GAP + block.width));
        }
        out.end();
    }
    let whole = first + blocks.iter().map(|block| GAP + block.width).sum::<usize>();
    out.line(DIM, &"─".repeat(whole));
    for (i, name) in names.iter().enumerate() {
        row(out, first, PLAIN, &name.name, blocks.iter().map(|block| (&block.cells[i][0], block.width)));
        let below = if name.note.is_empty() { String::new() } else { format!("  {}", name.note) };
        if !below.is_empty() || blocks.iter().any(|block| !block.cells[i][1].1.is_empty()) {
            row(out, first, DIM, &below, blocks.iter().map(|block| (&block.cells[i][1], block.width)));
        }
    }
}

fn row<'a>(out: &mut Lines, first: usize, style: Style, name: &str, cells: impl Iterator<Item = (&'a Piece, usize)>) {
    out.put(style, name);
    out.put(PLAIN, &" ".repeat(first - name.chars().count()));
    for (Piece(style, text), width) in cells {
        out.put(PLAIN, &" ".repeat(GAP + width - text.chars().count()));
        out.put(*style, text);
    }
    out.end();
}

fn legend(out: &mut Lines, page: &Page<'_>, columns: &[Column], width: usize) {
    let cells = || columns.iter().flat_map(|column| &column.cells);
    let any = |standing| cells().any(|cell| cell.delta.is_some_and(|delta| delta.standing == standing));
    let seeds = count_of(page.study.facts.seeds.len(), "seed", "seeds");
    let mut parts = vec![format!("mean over {seeds}")];
    if cells().any(|cell| cell.interval.is_some()) {
        parts[0] += " ± half its 95 % interval";
    }
    if let Some(baseline) =
        page.study.contenders.get(page.study.facts.baseline).filter(|_| cells().any(|c| c.delta.is_some()))
    {
        parts.push(format!("below: against {}", shorten(&clean(&baseline.name), NAME_WIDTH)));
    }
    if any(Standing::Tie) {
        parts.push(format!("~ = not separated by {seeds}"));
    }
    if any(Standing::Unjudged) {
        parts.push("? unjudged".to_owned());
    }
    if cells().any(|cell| cell.best) {
        parts.push("* best, or not told apart from it".to_owned());
    }
    if cells().any(|cell| cell.thin) {
        parts.push("† fewer than 450 values beyond the quantile in a run: shown, unjudged".to_owned());
    }
    if columns.iter().any(|column| column.metric.key == "time_to_recover") {
        parts.push("time to recover: median".to_owned());
    }
    if cells().any(|cell| cell.value.is_none()) {
        parts.push(format!("{UNKNOWN} unknown"));
    }
    out.end();
    for line in wrap_parts(&parts, width) {
        out.line(DIM, &line);
    }
}

fn gates(out: &mut Lines, page: &Page<'_>, width: usize) {
    out.end();
    let Some(verdict) = page.verdict() else {
        return out.line(DIM, "no gates");
    };
    for gate in page.gates {
        gate_line(out, gate, width);
    }
    out.put(PLAIN, &format!("{}: ", count_of(page.gates.len(), "gate", "gates")));
    out.line(style_of_verdict(verdict), verdict.text());
}

fn gate_line(out: &mut Lines, gate: &GateLine, width: usize) {
    let mut parts = vec![clean(&gate.contender), clean(&gate.metric), clean(&gate.limit), clean(&gate.value)];
    parts.push(clean(&gate.interval));
    parts.push(count_of(gate.seeds as usize, "seed", "seeds"));
    parts.retain(|part| !part.is_empty() && part != UNKNOWN);
    let mut lines = wrap_parts(&parts, width - VERDICT_WIDTH);
    lines.extend(wrap(&clean(&gate.remark), width - VERDICT_WIDTH));
    for (i, line) in lines.iter().enumerate() {
        let verdict = if i == 0 { gate.verdict.text() } else { "" };
        out.put(style_of_verdict(gate.verdict), verdict);
        out.put(PLAIN, &" ".repeat(VERDICT_WIDTH - verdict.len()));
        out.line(PLAIN, line);
    }
}

fn style_of_verdict(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => GREEN.bold(),
        Verdict::Fail => RED.bold(),
        Verdict::Undecided => YELLOW.bold(),
    }
}

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Blanks between columns.
const GAP: usize = 2;
/// Longer names are shortened.
const NAME_WIDTH: usize = 24;
/// Room for `UNDECIDED` and two blanks.
const VERDICT_WIDTH: usize = 11;
/// Events named in the head.
const EVENTS_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn shown(study: &crate::measure::summary::Study, width: usize, colour: bool) -> String {
        let comparisons = sample::comparisons(study);
        comparison(&sample::page(study, &comparisons, &sample::gates()), width, colour)
    }

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn fits_the_width() {
        for study in
            [sample::study(2, 1, 6), sample::study(12, 5, 40), sample::hostile(), sample::torn(), sample::empty()]
        {
            for width in [60, 80, 100] {
                let text = shown(&study, width, false);
                assert!(widest(&text) <= width, "{} > {width}\n{text}", widest(&text));
                assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            }
        }
    }

    #[test]
    fn colour_only_when_asked_and_hidden_characters_never() {
        let study = sample::hostile();
        let plain = shown(&study, 100, false);
        assert!(!plain.contains('\u{1b}') && !plain.contains('\u{202e}') && !plain.contains('\u{0}'), "{plain:?}");
        let coloured = shown(&study, 100, true);
        assert!(coloured.contains("\u{1b}["));
        assert!(!coloured.contains('\u{202e}') && !coloured.contains("\u{1b}[31m desrever"));
    }

    #[test]
    fn snapshot() {
        insta::assert_snapshot!("terminal_100", shown(&sample::study(3, 10, 37), 100, false));
        insta::assert_snapshot!("terminal_80", shown(&sample::study(4, 2, 6), 80, false));
        insta::assert_snapshot!("terminal_calm", shown(&sample::calm(), 100, false));
    }
}
