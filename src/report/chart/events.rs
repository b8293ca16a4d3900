//! Faults and the warm-up on a time axis: shades behind the data, and a narrow lane above it that says what
//! they are, so that no label ever lies on a line.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, fit, text_width};
use crate::measure::summary::Facts;
use crate::report::number::stretch;
use crate::report::text::clean;

/// Height of the lane in pixels.
pub const LANE: f64 = 15.0;
/// Half the width of a line at the end of a fault.
const EDGE: f64 = 0.4;
/// Font size in the lane.
const SIZE: f64 = 10.0;
/// More separate shades than this are drawn as fewer, wider ones.
const SPANS_MAX: usize = 60;
/// More ends than this are not marked by lines.
const EDGES_MAX: usize = 24;
/// More kinds of faults than this share the last letter's line in the key.
const KINDS_MAX: usize = 8;

/// What happens during a run, ready to be drawn on any number of panels.
pub struct Events {
    warmup: f64,
    kinds: Vec<Kind>,
    spans: Vec<Span>,
}

/// All faults with the same label.
struct Kind {
    label: String,
    count: usize,
    first: (u64, u64),
}

/// A stretch in seconds; without a kind where several were merged.
#[derive(Clone, Copy)]
struct Span {
    from: f64,
    until: f64,
    kind: Option<usize>,
}

impl Events {
    /// Of a plan.
    pub fn of(facts: &Facts) -> Events {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut spans: Vec<Span> = Vec::new();
        for event in &facts.events {
            let label = clean(&event.label);
            let kind = kinds.iter().position(|kind| kind.label == label).unwrap_or_else(|| {
                kinds.push(Kind { label, count: 0, first: (event.from_ns, event.until_ns) });
                kinds.len() - 1
            });
            kinds[kind].count += 1;
            let end = facts.duration_ns;
            let seconds = |ns: u64| ns.min(end) as f64 / 1e9;
            spans.push(Span { from: seconds(event.from_ns), until: seconds(event.until_ns), kind: Some(kind) });
        }
        spans.sort_by(|a, b| a.from.total_cmp(&b.from));
        Events { warmup: facts.warmup_ns as f64 / 1e9, kinds, spans: merged(spans, facts.duration_ns as f64 / 1e9) }
    }

    /// Lines for the key of a chart; empty where the lane itself has room for the words.
    pub fn key(&self, x: &Axis) -> Vec<String> {
        if self.speaks(x) {
            return Vec::new();
        }
        let mut lines: Vec<String> = self
            .kinds
            .iter()
            .enumerate()
            .take(KINDS_MAX)
            .map(|(i, kind)| format!("{} {}", letter(i), kind.words()))
            .collect();
        if self.kinds.len() > KINDS_MAX {
            lines.push(format!("and {} more", self.kinds.len() - KINDS_MAX));
        }
        lines
    }

    /// Shades over the height of a panel, and the lane above it.
    pub fn draw(&self, canvas: &mut Canvas, x: &Axis, top: f64, bottom: f64) {
        self.draw_lane(canvas, x, top);
        if self.warmup > 0.0 {
            canvas.rect("warm", x.at(0.0), top, x.at(self.warmup) - x.at(0.0), bottom - top);
        }
        let places = || self.spans.iter().map(|span| (x.at(span.from), x.at(span.until)));
        canvas.spans("fault", places(), top, bottom - top);
        edges(canvas, places().map(|(from, _)| from), top, bottom);
    }

    /// Only the lane, and thin lines at both ends of each fault: for panels whose colours must not be tinted.
    pub fn draw_edges(&self, canvas: &mut Canvas, x: &Axis, top: f64, bottom: f64) {
        self.draw_lane(canvas, x, top);
        let ends = self.spans.iter().flat_map(|span| [span.from, span.until]).map(|at| x.at(at));
        edges(canvas, ends, top, bottom);
    }

    fn draw_lane(&self, canvas: &mut Canvas, x: &Axis, top: f64) {
        let speaks = self.speaks(x);
        let first = self.spans.first().map_or(f64::INFINITY, |span| x.at(span.from));
        if self.warmup > 0.0 {
            let (from, until) = (x.at(0.0), x.at(self.warmup));
            canvas.rect("warmbar", from, top - 4.0, until - from, 3.0);
            if from + text_width("warm-up", SIZE) < until.min(first) + 8.0 {
                canvas.text("ts", from, top - 7.5, Anchor::Start, "warm-up");
            }
        }
        let bars = self.spans.iter().map(|span| (x.at(span.from), x.at(span.until).max(x.at(span.from) + 1.5)));
        canvas.spans("faultbar", bars, top - 4.0, 3.0);
        let mut taken = f64::NEG_INFINITY;
        for span in &self.spans {
            let from = x.at(span.from);
            let Some(kind) = span.kind else { continue };
            let text = if speaks { self.kinds[kind].label.clone() } else { letter(kind) };
            if from > taken {
                canvas.text("ts fl", from, top - 7.5, Anchor::Start, &text);
                taken = from + text_width(&text, SIZE) + 4.0;
            }
        }
    }

    /// Whether every label fits between its fault and the next.
    fn speaks(&self, x: &Axis) -> bool {
        let (_, end) = x.range();
        let room = |i: usize| x.at(self.spans.get(i + 1).map_or(end, |next| next.from)) - x.at(self.spans[i].from);
        let width = |kind: usize| text_width(&self.kinds[kind].label, SIZE) + 4.0;
        self.spans.iter().enumerate().all(|(i, span)| span.kind.is_some_and(|kind| width(kind) < room(i)))
    }
}

impl Kind {
    fn words(&self) -> String {
        let (from, until) = self.first;
        let label = fit(&self.label, 11.0, 260.0);
        match self.count {
            1 if until > from => format!("{label}, {} – {}", stretch(from), stretch(until)),
            1 => format!("{label} at {}", stretch(from)),
            n => format!("{label}, {n} times from {}", stretch(from)),
        }
    }
}

/// Thin lines, unless there are so many that they would hide what they mark.
fn edges(canvas: &mut Canvas, places: impl Iterator<Item = f64> + Clone, top: f64, bottom: f64) {
    if places.clone().count() <= EDGES_MAX {
        canvas.spans("edge", places.map(|at| (at - EDGE, at + EDGE)), top, bottom - top);
    }
}

/// Neighbours that would melt into one shade anyway, until there are few enough. Close ones of one kind melt
/// first; what melts across kinds has no name any more.
fn merged(mut spans: Vec<Span>, end: f64) -> Vec<Span> {
    let mut gap = end / 1_000.0;
    loop {
        let across = gap > end / 200.0;
        spans = spans.into_iter().fold(Vec::new(), |out, span| melt(out, span, gap, across));
        if spans.len() <= SPANS_MAX || gap > end {
            return spans;
        }
        gap *= 2.0;
    }
}

fn melt(mut out: Vec<Span>, span: Span, gap: f64, across: bool) -> Vec<Span> {
    match out.last_mut() {
        Some(last) if span.from - last.until <= gap && (across || last.kind == span.kind) => {
            last.until = last.until.max(span.until);
            last.kind = last.kind.filter(|kind| Some(*kind) == span.kind);
        }
        _ => out.push(span),
    }
    out
}

fn letter(i: usize) -> String {
    char::from(b'A' + i.min(25) as u8).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::summary::EventFact;

    fn facts(labels: &[(&str, u64, u64)]) -> Facts {
        let event = |(label, from, until): &(&str, u64, u64)| EventFact {
            label: (*label).to_owned(),
            from_ns: from * 1_000_000_000,
            until_ns: until * 1_000_000_000,
        };
        Facts { duration_ns: 100_000_000_000, events: labels.iter().map(event).collect(), ..Facts::default() }
    }

    #[test]
    fn the_lane_speaks_where_there_is_room() {
        let wide = Axis::time(100.0).between(0.0, 800.0);
        let events = Events::of(&facts(&[("crash beijing", 20, 30), ("crash shanghai", 60, 70)]));
        assert!(events.key(&wide).is_empty());
        let narrow = wide.between(0.0, 120.0);
        assert_eq!(events.key(&narrow), ["A crash beijing, 20 s – 30 s", "B crash shanghai, 60 s – 70 s"]);
    }

    #[test]
    fn many_faults_become_few_shades() {
        let many: Vec<(&str, u64, u64)> = (0..99).map(|i| (["crash", "slow"][i as usize % 2], i, i)).collect();
        let events = Events::of(&facts(&many));
        assert!(events.spans.len() <= SPANS_MAX);
        assert!(events.spans.last().expect("some").until > 97.0, "none is lost");
        assert_eq!(events.key(&Axis::time(100.0).between(0.0, 800.0))[0], "A crash, 50 times from 0 s");
    }
}
