//! Small multiples: one panel a contender on shared scales, with the legend above and outside.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, fit, text_width};
use super::events::{Events, LANE};
use crate::measure::summary::Study;

/// Width of every chart in pixels.
pub const WIDTH: f64 = 960.0;

/// What the panels of a chart have in common.
pub struct Shape {
    /// What the heights mean, with unit.
    pub y_title: &'static str,
    /// The shared height scale.
    pub y: Axis,
    /// Class of the sample line and its text, for each kind of line.
    pub legend: Vec<(&'static str, String)>,
    /// Height of a panel with few contenders, in pixels.
    pub tall: f64,
    /// Room for tick labels on the left.
    pub left: f64,
    /// Whether faults tint the panel; otherwise only their edges are drawn, over the data.
    pub tint: bool,
}

/// One panel to draw in.
pub struct Frame {
    /// Time in seconds.
    pub x: Axis,
    /// The shared height scale.
    pub y: Axis,
    /// Left edge.
    pub left: f64,
    /// Right edge.
    pub right: f64,
    /// Upper edge.
    pub top: f64,
    /// Lower edge.
    pub bottom: f64,
    /// Points that a line may have here.
    pub points: usize,
    /// Whether this panel stands at the left end of its row.
    pub first: bool,
}

impl Frame {
    /// Points in time and value, as places.
    pub fn places(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        points.iter().map(|(at, value)| (self.x.at(*at), self.y.at(*value))).collect()
    }

    /// The parts of a line; false if there are none.
    pub fn draw_line(&self, canvas: &mut Canvas, class: &str, line: &super::lines::Line) -> bool {
        let parts = super::lines::thinned(line, self.points);
        for part in &parts {
            canvas.line(class, &self.places(part));
        }
        !parts.is_empty()
    }
}

/// Class of contender `i`'s colour.
pub fn hue(i: usize) -> String {
    format!("c{}", i % HUES)
}

/// Class of contender `i`'s dash: changes when the colours begin again.
pub fn dash(i: usize) -> String {
    format!("d{}", (i / HUES) % 3)
}

/// Colours that are told apart by everybody, also in the dark.
pub const HUES: usize = 7;

/// Draws all panels: `draw` gets each frame with the index of its contender, and says whether it had anything
/// to draw there.
pub fn draw(study: &Study, shape: &Shape, draw: impl Fn(&mut Canvas, &Frame, usize) -> bool) -> Canvas {
    let count = study.contenders.len().max(1);
    let layout = Layout::of(count, shape, study);
    let mut canvas = Canvas::new(WIDTH, layout.height);
    legend(&mut canvas, shape, &layout);
    for i in 0..study.contenders.len() {
        let frame = layout.frame(i, shape);
        title(&mut canvas, study, &frame, i);
        if shape.tint {
            layout.events.draw(&mut canvas, &frame.x, frame.top, frame.bottom);
            heights(&mut canvas, &frame);
        }
        if !draw(&mut canvas, &frame, i) {
            let middle = (0.5 * (frame.left + frame.right), 0.5 * (frame.top + frame.bottom));
            canvas.text("tl halo", middle.0, middle.1 + 4.0, Anchor::Middle, "nothing known");
        }
        if !shape.tint {
            layout.events.draw_edges(&mut canvas, &frame.x, frame.top, frame.bottom);
        }
        canvas.line("axis", &[(frame.left, frame.bottom), (frame.right, frame.bottom)]);
        times(&mut canvas, &frame, i + layout.columns >= count);
    }
    let time = if study.facts.world == "live" { "time (s)" } else { "virtual time (s)" };
    canvas.text("ts", WIDTH - RIGHT, layout.height - 4.0, Anchor::End, time);
    canvas
}

struct Layout {
    columns: usize,
    panel: (f64, f64),
    left: f64,
    top: f64,
    height: f64,
    key: Vec<String>,
    events: Events,
    x: Axis,
}

impl Layout {
    fn of(count: usize, shape: &Shape, study: &Study) -> Layout {
        let columns = match count {
            0..=3 => 1,
            4 => 2,
            _ => 3,
        };
        let width = (WIDTH - shape.left - RIGHT - (columns - 1) as f64 * GAP) / columns as f64;
        let height = shape.tall * if columns == 1 { 1.0 } else { 0.85 };
        let x = Axis::time(study.facts.duration_ns as f64 / 1e9);
        let events = Events::of(&study.facts);
        let key = events.key(&x.between(0.0, width));
        let key_lines = lines_of(&key, WIDTH - 8.0).len();
        let top = 24.0 + 16.0 * key_lines as f64;
        let rows = count.div_ceil(columns);
        let whole = top + rows as f64 * (height + HEAD + FOOT) + 16.0;
        Layout { columns, panel: (width, height), left: shape.left, top, height: whole, key, events, x }
    }

    fn frame(&self, i: usize, shape: &Shape) -> Frame {
        let (column, row) = (i % self.columns, i / self.columns);
        let (width, height) = self.panel;
        let left = self.left + column as f64 * (width + GAP);
        let top = self.top + row as f64 * (height + HEAD + FOOT) + HEAD;
        Frame {
            x: self.x.between(left, left + width),
            y: shape.y.between(top + height, top),
            left,
            right: left + width,
            top,
            bottom: top + height,
            // A point for each pixel and a half suffices for the eye.
            points: (width / 1.5) as usize,
            first: column == 0,
        }
    }
}

fn legend(canvas: &mut Canvas, shape: &Shape, layout: &Layout) {
    canvas.text("tb", 0.0, 13.0, Anchor::Start, shape.y_title);
    let mut x = text_width(shape.y_title, 12.0) + 26.0;
    for (class, text) in &shape.legend {
        if class.starts_with("b ") {
            canvas.rect(class, x, 4.0, 22.0, 10.0);
        } else {
            canvas.line(class, &[(x, 9.0), (x + 22.0, 9.0)]);
        }
        canvas.text("tl", x + 27.0, 13.0, Anchor::Start, text);
        x += 27.0 + text_width(text, 11.0) + 18.0;
    }
    for (i, line) in lines_of(&layout.key, WIDTH - 8.0).iter().enumerate() {
        canvas.text("tl fl", 0.0, 30.0 + 16.0 * i as f64, Anchor::Start, line);
    }
}

/// Entries packed into lines.
fn lines_of(entries: &[String], room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        match lines.last_mut() {
            Some(line) if text_width(line, 11.0) + text_width(entry, 11.0) + 20.0 < room => {
                line.push_str("  ·  ");
                line.push_str(entry);
            }
            _ => lines.push(entry.clone()),
        }
    }
    lines
}

fn title(canvas: &mut Canvas, study: &Study, frame: &Frame, i: usize) {
    let contender = &study.contenders[i];
    let y = frame.top - LANE - 7.0;
    canvas.line(&format!("l {} {}", hue(i), dash(i)), &[(frame.left, y - 4.0), (frame.left + 20.0, y - 4.0)]);
    let note = match (i == study.facts.baseline, contender.oracle) {
        (true, _) => " (baseline)",
        (_, true) => " (oracle)",
        _ => "",
    };
    let room = frame.right - frame.left - 26.0 - text_width(note, 12.0);
    canvas.text("tb", frame.left + 26.0, y, Anchor::Start, &(fit(&contender.name, 12.5, room) + note));
}

fn heights(canvas: &mut Canvas, frame: &Frame) {
    let mut taken = f64::INFINITY;
    for (value, label) in &frame.y.ticks {
        let y = frame.y.at(*value);
        canvas.line("grid", &[(frame.left, y), (frame.right, y)]);
        if frame.first && y < taken - 12.0 {
            canvas.text("ts", frame.left - 6.0, y + 3.5, Anchor::End, label);
            taken = y;
        }
    }
}

fn times(canvas: &mut Canvas, frame: &Frame, labelled: bool) {
    let mut taken = f64::NEG_INFINITY;
    for (value, label) in &frame.x.ticks {
        let x = frame.x.at(*value);
        canvas.line("axis", &[(x, frame.bottom), (x, frame.bottom + 3.0)]);
        let half = 0.5 * text_width(label, 10.0);
        if labelled && x - half > taken {
            canvas.text("ts", x, frame.bottom + 14.0, Anchor::Middle, label);
            taken = x + half + 6.0;
        }
    }
}

/// Between panels.
const GAP: f64 = 22.0;
/// Right of the last panel: half of a tick's label.
const RIGHT: f64 = 16.0;
/// Above a panel: its title and the lane.
const HEAD: f64 = 24.0 + LANE;
/// Below a panel: tick labels.
const FOOT: f64 = 18.0;
