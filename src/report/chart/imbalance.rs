//! How unevenly the load fell, window by window.

use super::axis::Axis;
use super::latency::{ROWS, rows};
use super::lines::{Line, condensed, largest, over_seeds};
use super::panels::{self, Shape, hue};
use super::{Figure, Table, seeds_note};
use crate::report::Page;
use crate::report::number::short;
use crate::report::text::clean;

/// The two lines of a contender.
struct Pair {
    largest: Line,
    cv: Line,
}

/// Draws it, if any load is known.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let end = page.study.facts.duration_ns as f64 / 1e9;
    let pair = |contender| Pair {
        largest: over_seeds(contender, end, |window, _| window.max_over_mean),
        cv: over_seeds(contender, end, |window, _| window.cv),
    };
    let pairs: Vec<Pair> = page.study.contenders.iter().map(pair).collect();
    let known = || pairs.iter().flat_map(|pair| pair.largest.iter().chain(&pair.cv)).filter_map(|(_, value)| *value);
    known().next()?;
    let legend = vec![
        ("l ink", "busiest backend ÷ fair share".to_owned()),
        ("l2 ink dashed", "coefficient of variation".to_owned()),
    ];
    let shape = Shape { y_title: "Ratio", y: Axis::counts(known()), legend, tall: 120.0, left: 44.0, tint: true };
    let canvas = panels::draw(page.study, &shape, |canvas, frame, i| {
        let one = frame.y.at(1.0);
        canvas.line("even", &[(frame.left, one), (frame.right, one)]);
        frame.draw_line(canvas, &format!("l2 dashed {}", hue(i)), &pairs[i].cv);
        frame.draw_line(canvas, &format!("l {}", hue(i)), &pairs[i].largest)
    });
    let mut notes: Vec<String> = seeds_note(page).into_iter().collect();
    notes.push("The scale is logarithmic, with a place for zero.".to_owned());
    Some(Figure { canvas, notes, table: table(page, &pairs) })
}

fn table(page: &Page<'_>, pairs: &[Pair]) -> Table {
    let mut head = vec!["from (s)".to_owned()];
    let mut columns = Vec::new();
    for (contender, pair) in page.study.contenders.iter().zip(pairs) {
        for (what, line) in [("max/mean", &pair.largest), ("cv", &pair.cv)] {
            head.push(format!("{} {what}", clean(&contender.name)));
            columns.push(condensed(line, ROWS, largest));
        }
    }
    Table { caption: "Stretches of time: largest values".to_owned(), head, rows: rows(&columns, short) }
}
