//! Latency over virtual time: the 99th percentile, the median, and what lies between.

use super::axis::Axis;
use super::canvas::Canvas;
use super::lines::{Line, condensed, largest, over_seeds, thinned};
use super::panels::{self, Frame, Shape, dash, hue};
use super::{Figure, Table, seeds_note};
use crate::measure::stats::median;
use crate::report::Page;
use crate::report::number::{UNKNOWN, short, trimmed};
use crate::report::text::clean;

/// The two lines of a contender.
struct Pair {
    p50: Line,
    p99: Line,
}

/// Draws it, if any latency is known.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let end = page.study.facts.duration_ns as f64 / 1e9;
    let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
    let pair = |contender| Pair {
        p50: over_seeds(contender, end, |window, _| ms(window.p50_ns)),
        p99: over_seeds(contender, end, |window, _| ms(window.p99_ns)),
    };
    let pairs: Vec<Pair> = page.study.contenders.iter().map(pair).collect();
    let known = || pairs.iter().flat_map(|pair| pair.p50.iter().chain(&pair.p99)).filter_map(|(_, value)| *value);
    known().next()?;
    let baseline = page.study.facts.baseline;
    let mut legend = vec![("l ink", "p99".to_owned()), ("l2 ink", "p50".to_owned())];
    if pairs.len() > 1 {
        legend.push(("l2 ref", "p99 of the baseline".to_owned()));
    }
    let shape = Shape { y_title: "Latency", y: Axis::latency(known()), legend, tall: 150.0, left: 52.0, tint: true };
    let canvas = panels::draw(page.study, &shape, |canvas, frame, i| {
        if let Some(base) = pairs.get(baseline).filter(|_| i != baseline) {
            frame.draw_line(canvas, "l2 ref", &base.p99);
        }
        panel(canvas, frame, i, &pairs[i])
    });
    Some(Figure { canvas, notes: seeds_note(page).into_iter().collect(), table: table(page, &pairs) })
}

fn panel(canvas: &mut Canvas, frame: &Frame, i: usize, pair: &Pair) -> bool {
    let (low, high) = (thinned(&pair.p50, frame.points), thinned(&pair.p99, frame.points));
    // Both are known in the same windows, so their parts belong together.
    for (low, high) in low.iter().zip(&high) {
        let outline: Vec<(f64, f64)> = high.iter().chain(low.iter().rev()).copied().collect();
        canvas.area(&format!("band f{}", &hue(i)[1..]), &frame.places(&outline));
    }
    for part in low {
        canvas.line(&format!("l2 {}", hue(i)), &frame.places(&part));
    }
    for part in &high {
        canvas.line(&format!("l {} {}", hue(i), dash(i)), &frame.places(part));
    }
    !high.is_empty()
}

fn table(page: &Page<'_>, pairs: &[Pair]) -> Table {
    let mut head = vec!["from (s)".to_owned()];
    let mut columns: Vec<Line> = Vec::new();
    for (contender, pair) in page.study.contenders.iter().zip(pairs) {
        head.push(format!("{} p50 (ms)", clean(&contender.name)));
        head.push(format!("{} p99 (ms)", clean(&contender.name)));
        columns.push(condensed(&pair.p50, ROWS, median));
        columns.push(condensed(&pair.p99, ROWS, largest));
    }
    Table { caption: "Stretches of time: median of p50, largest p99".to_owned(), head, rows: rows(&columns, short) }
}

/// Rows of a table from lines of equal stretches: the time, then a cell a line.
pub fn rows(columns: &[Line], show: fn(f64) -> String) -> Vec<Vec<String>> {
    let longest = columns.iter().max_by_key(|line| line.len());
    let row = |(i, (at, _)): (usize, &(f64, Option<f64>))| {
        let cell = |line: &Line| line.get(i).and_then(|(_, value)| *value).map_or(UNKNOWN.to_owned(), show);
        [trimmed(*at, 3)].into_iter().chain(columns.iter().map(cell)).collect()
    };
    longest.map_or(Vec::new(), |line| line.iter().enumerate().map(row).collect())
}

/// Rows of the tables behind charts over time.
pub const ROWS: usize = 36;
