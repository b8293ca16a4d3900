//! Charts: SVG text, no scripts, no fonts of their own, equal bytes for equal studies.
//!
//! Every chart draws all contenders on shared scales, leaves gaps where nothing is known, and tells contenders
//! apart by colour *and* dash or marker *and* a name beside the line. Charts decide what is drawn where;
//! [`canvas`] how a shape becomes text; `theme.css` what it looks like in light, in the dark and on paper.

pub mod axis;
pub mod canvas;
pub mod catalog;
pub mod events;
pub mod lines;
pub mod panels;

mod heat;
mod imbalance;
mod latency;
mod paired;
mod percentiles;
mod pressure;
mod reaction;
mod throughput;

use super::Page;
use super::text::clean;
use canvas::{Canvas, escape};
use catalog::CHARTS;

/// Colours, dashes and fonts of all charts; a page that shows charts inline needs it once.
pub const THEME: &str = include_str!("theme.css");

/// What a chart's function returns.
pub struct Figure {
    /// The drawing.
    pub canvas: Canvas,
    /// What holds for this drawing only, in full sentences.
    pub notes: Vec<String>,
    /// The same numbers as text.
    pub table: Table,
}

/// Numbers behind a chart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// What the numbers are.
    pub caption: String,
    /// One cell a column.
    pub head: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
}

/// A chart of a page, ready to be shown.
pub struct Chart {
    /// Its name in files and links.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// How to read it.
    pub read: &'static str,
    /// What holds for this drawing only.
    pub notes: Vec<String>,
    /// The same numbers as text.
    pub table: Table,
    /// The scenario and the version, for a picture that stands alone.
    origin: (String, String),
    body: String,
    size: (u32, u32),
}

/// All charts for which the page has something to show, in the order of the catalogue.
pub fn all(page: &Page<'_>) -> Vec<Chart> {
    let draw = |row: &catalog::Row| {
        let figure = (row.draw)(page)?;
        let (body, width, height) = figure.canvas.finish();
        let (notes, table) = (figure.notes, figure.table);
        let origin = (clean(&page.study.facts.scenario), clean(&page.study.facts.version));
        Some(Chart {
            name: row.name,
            title: row.title,
            read: row.read,
            notes,
            table,
            origin,
            body,
            size: (width, height),
        })
    };
    CHARTS.iter().filter_map(draw).collect()
}

impl Chart {
    /// For a page that has the theme already.
    pub fn inline(&self) -> String {
        let (width, height) = self.size;
        format!("{}{}</svg>", self.head("", &format!("0 0 {width} {height}")), self.body)
    }

    /// A file of its own: with the theme, a margin, and a line that says what it shows.
    pub fn standalone(&self) -> String {
        let (width, height) = (self.size.0 + 2 * MARGIN, self.size.1 + 2 * MARGIN + HEADING);
        let more = format!(" xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"", width / 10, height / 10);
        let head = self.head(&more, &format!("-{MARGIN} -{} {width} {height}", MARGIN + HEADING));
        let (scenario, version) = &self.origin;
        let title = canvas::fit(&format!("{scenario} · {}", self.title), 15.0, f64::from(self.size.0) / 10.0 - 160.0);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{head}<style>\n{THEME}</style>\n\
             <rect class=\"paper\" x=\"-{MARGIN}\" y=\"-{}\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"th\" x=\"0\" y=\"-{}\">{}</text>\n\
             <text class=\"ts\" x=\"{}\" y=\"-{}\" text-anchor=\"end\">plimsoll {}</text>\n{}</svg>\n",
            MARGIN + HEADING,
            HEADING / 2,
            escape(&title),
            self.size.0,
            HEADING / 2,
            escape(version),
            self.body
        )
    }

    fn head(&self, more: &str, view: &str) -> String {
        let name = self.name;
        format!(
            "<svg class=\"chart\"{more} viewBox=\"{view}\" role=\"img\" aria-labelledby=\"{name}-t {name}-d\">\n\
             <title id=\"{name}-t\">{}</title>\n<desc id=\"{name}-d\">{}</desc>\n",
            escape(self.title),
            escape(self.read)
        )
    }
}

/// Around a chart that stands alone, in units of the drawing.
const MARGIN: u32 = 160;
/// Above it, for its heading.
const HEADING: u32 = 320;

/// How lines over several seeds came about, as a sentence.
fn seeds_note(page: &Page<'_>) -> Option<String> {
    match page.study.facts.seeds.len() {
        0 | 1 => None,
        n => Some(format!("Lines are the median over {n} seeds, window by window.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn charts(study: &crate::measure::summary::Study) -> Vec<Chart> {
        let comparisons = sample::comparisons(study);
        all(&sample::page(study, &comparisons, &[]))
    }

    /// Tags are balanced, attributes quoted, and no text is left unescaped.
    fn well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'), "a stray > in {:?}", &rest[..start]);
            let end = rest[start..].find('>').expect("a tag ends") + start;
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
            match tag.chars().next() {
                Some('/') => assert_eq!(open.pop(), Some(&tag[1..])),
                Some('?') => {}
                _ if tag.ends_with('/') => {}
                _ => open.push(tag.split([' ', '\n']).next().unwrap_or(tag)),
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn every_study_draws_well_formed_charts() {
        let studies = [
            sample::study(1, 1, 6),
            sample::study(3, 4, 37),
            sample::study(12, 2, 20),
            sample::calm(),
            sample::torn(),
            sample::empty(),
            sample::hostile(),
        ];
        for study in &studies {
            for chart in charts(study) {
                let svg = chart.standalone();
                well_formed(&svg);
                assert!(!svg.contains("NaN") && !svg.contains("inf,") && !svg.contains(",inf"), "{}", chart.name);
                assert!(!svg.contains("<script") && !svg.contains("onload=x>"), "{}", chart.name);
                assert!(!svg.contains('#') || !svg.contains("stroke=\"#"), "colours belong to the theme");
                assert_eq!(
                    svg.matches("://").count(),
                    svg.matches("http://www.w3.org/2000/svg").count() + svg.matches("://evil").count()
                );
            }
        }
    }

    #[test]
    fn what_is_shown_follows_the_study() {
        let names =
            |study: &crate::measure::summary::Study| charts(study).iter().map(|chart| chart.name).collect::<Vec<_>>();
        let all: Vec<&str> = CHARTS.iter().map(|row| row.name).collect();
        assert_eq!(names(&sample::study(3, 2, 6)), all);
        assert!(!names(&sample::calm()).contains(&"reaction"), "nothing to react to");
        assert!(!names(&sample::study(1, 2, 6)).contains(&"paired"), "nobody to compare with");
        assert!(names(&sample::empty()).is_empty());
    }

    #[test]
    fn equal_studies_draw_equal_bytes() {
        let draw = || charts(&sample::study(4, 3, 12)).iter().map(Chart::standalone).collect::<String>();
        assert_eq!(draw(), draw());
    }

    #[test]
    fn lines_stay_short_and_inside() {
        let mut study = sample::study(2, 1, 6);
        for run in study.contenders.iter_mut().flat_map(|contender| &mut contender.runs) {
            run.series.windows = run.series.windows.iter().cycle().take(20_000).cloned().collect();
            run.series.step_ns = 9_000_000;
        }
        for chart in charts(&study) {
            let (width, height) = (f64::from(chart.size.0), f64::from(chart.size.1));
            for points in chart.body.split("points=\"").skip(1) {
                let points: Vec<&str> = points.split('"').next().unwrap_or("").split(' ').collect();
                assert!(points.len() <= 2 * lines::POINTS_MAX, "{}: {}", chart.name, points.len());
                for point in points {
                    let (x, y) = point.split_once(',').expect("a point has two numbers");
                    let (x, y): (f64, f64) = (x.parse().expect("a number"), y.parse().expect("a number"));
                    assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{}: {point}", chart.name);
                }
            }
        }
    }
}
