//! The sheet that charts are drawn on. Shapes come from plotters' SVG backend; looks come from the style sheet.
//!
//! plotters writes fixed colours and whole pixels, a page needs themes and fine lines. So shapes are drawn at ten
//! times their size, and each element keeps its geometry but trades colour, width and font for the classes of
//! `theme.css`. Nothing outside this file knows plotters.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, IntoFont, TextStyle};

use crate::report::text::clean;

/// Units of the drawing per pixel of the finished chart.
const FINE: f64 = 10.0;

/// Where a text stands relative to its point. Its base line is always at the point's height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// A shape that stands for a contender besides its colour and dash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "shapes are what they are called")]
pub enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
    Down,
}

impl Marker {
    /// All of them, in the order in which contenders get them.
    pub const ALL: [Marker; 6] =
        [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Cross, Marker::Down];
}

/// A sheet of a given size in pixels, origin at the top left.
pub struct Canvas {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    body: String,
}

impl Canvas {
    /// An empty sheet.
    pub fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, body: String::new() }
    }

    /// A line through points. A single point becomes a dot, because line ends are round.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path: Vec<(i32, i32)> = points.iter().map(fine).collect();
        path.dedup();
        if let [only] = path[..] {
            path.push(only);
        }
        if !path.is_empty() {
            self.shape(class, |backend| backend.draw_path(path, &BLACK));
        }
    }

    /// A filled area with this outline.
    pub fn area(&mut self, class: &str, outline: &[(f64, f64)]) {
        let mut path: Vec<(i32, i32)> = outline.iter().map(fine).collect();
        path.dedup();
        if path.len() > 2 {
            self.shape(class, |backend| backend.fill_polygon(path, &BLACK));
        }
    }

    /// A rectangle. What is not wide or high enough to be seen is not drawn.
    pub fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let (from, to) = (fine(&(x, y)), fine(&(x + width, y + height)));
        if to.0 > from.0 && to.1 > from.1 {
            self.shape(class, |backend| backend.draw_rect(from, to, &BLACK, true));
        }
    }

    /// A dot with a radius.
    pub fn dot(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        self.shape(class, |backend| backend.draw_circle(fine(&(x, y)), (radius * FINE) as u32, &BLACK, true));
    }

    /// A marker of about eight pixels.
    pub fn marker(&mut self, class: &str, marker: Marker, x: f64, y: f64) {
        let outline: &[(f64, f64)] = match marker {
            Marker::Circle => return self.dot(class, x, y, 3.6),
            Marker::Square => &[(-3.2, -3.2), (3.2, -3.2), (3.2, 3.2), (-3.2, 3.2)],
            Marker::Triangle => &[(0.0, -4.4), (4.2, 3.2), (-4.2, 3.2)],
            Marker::Down => &[(0.0, 4.4), (4.2, -3.2), (-4.2, -3.2)],
            Marker::Diamond => &[(0.0, -4.6), (4.6, 0.0), (0.0, 4.6), (-4.6, 0.0)],
            Marker::Cross => &CROSS,
        };
        self.area(class, &outline.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>());
    }

    /// A text. Hidden characters are left out.
    pub fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, text: &str) {
        let h_pos = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let style = TextStyle::from(("sans-serif", 10).into_font()).pos(Pos::new(h_pos, VPos::Bottom));
        let text = clean(text);
        self.shape(class, |backend| backend.draw_text(&text, &style, fine(&(x, y))));
    }

    /// A path in units of the drawing, moved to a corner and stretched: many cells in one element.
    pub fn cells(&mut self, class: &str, origin: (f64, f64), cell: (f64, f64), path: &str) {
        let (x, y) = fine(&origin);
        let (sx, sy) = (scale(cell.0), scale(cell.1));
        self.body +=
            &format!("<path class=\"{class}\" transform=\"translate({x},{y})scale({sx},{sy})\" d=\"{path}\"/>\n");
    }

    /// Many rectangles of one height, as one element.
    pub fn spans(&mut self, class: &str, spans: impl Iterator<Item = (f64, f64)>, top: f64, height: f64) {
        let (mut path, mut pen) = (String::new(), 0);
        for (from, until) in spans {
            let (from, until) = (fine(&(from, 0.0)).0, fine(&(until, 0.0)).0);
            if until > from {
                path += &if path.is_empty() { format!("M{from} .5") } else { format!("m{} 0", from - pen) };
                path += &format!("h{}", until - from);
                pen = until;
            }
        }
        if !path.is_empty() {
            self.cells(&format!("h {class}"), (0.0, top), (1.0 / FINE, height), &path);
        }
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// What `draw` draws gets a tooltip.
    pub fn with_tip(&mut self, tip: &str, draw: impl FnOnce(&mut Canvas)) {
        self.body += "<g><title>";
        self.body += &escape(&clean(tip));
        self.body += "</title>\n";
        draw(self);
        self.body += "</g>\n";
    }

    /// The elements, and the size in units of the drawing.
    pub fn finish(self) -> (String, u32, u32) {
        (self.body, (self.width * FINE) as u32, (self.height * FINE) as u32)
    }

    fn shape<E: std::fmt::Debug>(&mut self, class: &str, draw: impl FnOnce(&mut SVGBackend<'_>) -> Result<(), E>) {
        let mut raw = String::new();
        let mut backend = SVGBackend::with_string(&mut raw, (1, 1));
        draw(&mut backend).expect("drawing into memory does not fail");
        backend.present().expect("drawing into memory does not fail");
        drop(backend);
        restyle(&raw, class, &mut self.body);
    }
}

/// Copies the element inside plotters' document, without its looks, with a class.
fn restyle(document: &str, class: &str, out: &mut String) {
    let inside = document.split_once(">\n").map_or("", |(_, rest)| rest);
    let inside = inside.rsplit_once("</svg>").map_or(inside, |(element, _)| element);
    let Some((tag, content)) = inside.split_once('>') else { return };
    let (name, attributes) = tag.trim_start_matches('<').split_once(' ').unwrap_or((tag, ""));
    out.push('<');
    out.push_str(name);
    if !class.is_empty() {
        *out += &format!(" class=\"{class}\"");
    }
    // Values are escaped, so a quote always ends one: names and values alternate.
    let mut parts = attributes.split('"');
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        let key = key.trim().trim_end_matches('=');
        if KEPT.contains(&key) && (key, value) != ("text-anchor", "start") {
            *out += &format!(" {key}=\"{}\"", value.trim_end());
        }
    }
    match content.trim().split_once("</") {
        Some((text, _)) => *out += &format!(">{}</{name}>\n", text.trim()),
        None => out.push_str("/>\n"),
    }
}

/// Attributes that are geometry; all others are looks.
const KEPT: [&str; 10] = ["points", "x", "y", "width", "height", "cx", "cy", "r", "text-anchor", "transform"];

const CROSS: [(f64, f64); 12] = [
    (-1.3, -4.2),
    (1.3, -4.2),
    (1.3, -1.3),
    (4.2, -1.3),
    (4.2, 1.3),
    (1.3, 1.3),
    (1.3, 4.2),
    (-1.3, 4.2),
    (-1.3, 1.3),
    (-4.2, 1.3),
    (-4.2, -1.3),
    (-1.3, -1.3),
];

fn fine((x, y): &(f64, f64)) -> (i32, i32) {
    ((x * FINE).round_ties_even() as i32, (y * FINE).round_ties_even() as i32)
}

fn scale(size: f64) -> String {
    crate::report::number::trimmed(size * FINE, 3)
}

/// Text inside markup.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// About how wide a text is in pixels at a font size; rather too wide, because fonts differ between machines.
pub fn text_width(text: &str, size: f64) -> f64 {
    let wide = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' | '(' | ')' | '·' => 0.34,
        'f' | 't' | 'r' | '-' | '–' | '/' => 0.45,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.95,
        'A'..='Z' | '+' | '−' | '±' | '×' | '=' | '~' => 0.72,
        c if c.is_ascii() => 0.62,
        _ => 1.0,
    };
    text.chars().map(wide).sum::<f64>() * size
}

/// As much of a text as fits into `room` pixels at a font size.
pub fn fit(text: &str, size: f64, room: f64) -> String {
    let text = clean(text);
    let mut limit = text.chars().count();
    while limit > 1 && text_width(&crate::report::text::shorten(&text, limit), size) > room {
        limit -= 1;
    }
    crate::report::text::shorten(&text, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: impl FnOnce(&mut Canvas)) -> String {
        let mut canvas = Canvas::new(100.0, 50.0);
        draw(&mut canvas);
        canvas.finish().0
    }

    #[test]
    fn looks_are_traded_for_classes() {
        assert_eq!(
            drawn(|c| c.line("l", &[(0.0, 1.0), (2.55, 3.0)])),
            "<polyline class=\"l\" points=\"0,10 26,30\"/>\n"
        );
        assert_eq!(drawn(|c| c.line("l", &[(1.0, 1.0)])), "<polyline class=\"l\" points=\"10,10 10,10\"/>\n");
        assert_eq!(
            drawn(|c| c.rect("r", 1.0, 2.0, 3.0, 4.0)),
            "<rect class=\"r\" x=\"10\" y=\"20\" width=\"30\" height=\"40\"/>\n"
        );
        assert_eq!(drawn(|c| c.rect("r", 1.0, 2.0, 0.0, 4.0)), "");
        assert_eq!(
            drawn(|c| c.spans("s", [(1.0, 2.0), (3.0, 3.0), (5.0, 6.5)].into_iter(), 7.0, 9.0)),
            "<path class=\"h s\" transform=\"translate(0,70)scale(1,90)\" d=\"M10 .5h10m30 0h15\"/>\n"
        );
        assert_eq!(drawn(|c| c.dot("d", 1.0, 2.0, 3.0)), "<circle class=\"d\" cx=\"10\" cy=\"20\" r=\"30\"/>\n");
        assert_eq!(
            drawn(|c| c.text("t", 1.0, 2.0, Anchor::End, "p99")),
            "<text class=\"t\" x=\"10\" y=\"20\" text-anchor=\"end\">p99</text>\n"
        );
    }

    #[test]
    fn text_of_others_stays_text() {
        let evil = "</text><script> \"x\" & \u{1b}\u{202e}'";
        assert_eq!(
            drawn(|c| c.text("t", 0.0, 0.0, Anchor::Start, evil)),
            "<text class=\"t\" x=\"0\" y=\"0\">&lt;/text&gt;&lt;script&gt; &quot;x&quot; &amp; &apos;</text>\n"
        );
        let tip = drawn(|c| c.with_tip(evil, |c| c.dot("d", 0.0, 0.0, 1.0)));
        assert!(tip.starts_with("<g><title>&lt;/text&gt;&lt;script&gt;"), "{tip}");
    }

    #[test]
    fn texts_are_cut_to_their_room() {
        assert_eq!(fit("round_robin", 11.0, 200.0), "round_robin");
        let cut = fit("subset_deterministic_with_outlier_ejection", 11.0, 100.0);
        assert!(cut.contains('…') && text_width(&cut, 11.0) <= 100.0, "{cut}");
    }
}
