//! Open calls, and the longest queue.

use super::axis::Axis;
use super::latency::{ROWS, rows};
use super::lines::{Line, condensed, largest, over_seeds};
use super::panels::{self, Shape, dash, hue};
use super::{Figure, Table, seeds_note};
use crate::report::Page;
use crate::report::number::loose;
use crate::report::text::clean;

/// The two lines of a contender.
struct Pair {
    in_flight: Line,
    queue: Line,
}

/// Draws it, if there are windows.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let end = page.study.facts.duration_ns as f64 / 1e9;
    let pair = |contender| Pair {
        in_flight: over_seeds(contender, end, |window, _| Some(window.in_flight_max as f64)),
        queue: over_seeds(contender, end, |window, _| Some(f64::from(window.queue_max))),
    };
    let pairs: Vec<Pair> = page.study.contenders.iter().map(pair).collect();
    let known =
        || pairs.iter().flat_map(|pair| pair.in_flight.iter().chain(&pair.queue)).filter_map(|(_, value)| *value);
    known().next()?;
    let legend = vec![
        ("l ink", "open calls, largest of the window".to_owned()),
        ("l2 ink dashed", "longest queue at one backend".to_owned()),
    ];
    let shape =
        Shape { y_title: "Calls, attempts", y: Axis::counts(known()), legend, tall: 120.0, left: 44.0, tint: true };
    let canvas = panels::draw(page.study, &shape, |canvas, frame, i| {
        frame.draw_line(canvas, &format!("l2 dashed {}", hue(i)), &pairs[i].queue);
        frame.draw_line(canvas, &format!("l {} {}", hue(i), dash(i)), &pairs[i].in_flight)
    });
    let mut notes: Vec<String> = seeds_note(page).into_iter().collect();
    notes.push("The scale is logarithmic, with a place for zero.".to_owned());
    Some(Figure { canvas, notes, table: table(page, &pairs) })
}

fn table(page: &Page<'_>, pairs: &[Pair]) -> Table {
    let mut head = vec!["from (s)".to_owned()];
    let mut columns = Vec::new();
    for (contender, pair) in page.study.contenders.iter().zip(pairs) {
        for (what, line) in [("open calls", &pair.in_flight), ("queue", &pair.queue)] {
            head.push(format!("{} {what}", clean(&contender.name)));
            columns.push(condensed(line, ROWS, largest));
        }
    }
    Table { caption: "Stretches of time: largest values".to_owned(), head, rows: rows(&columns, loose) }
}
