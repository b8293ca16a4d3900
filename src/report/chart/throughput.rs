//! Offered, good and failed calls per second.

use super::axis::Axis;
use super::latency::{ROWS, rows};
use super::lines::{Line, condensed, over_seeds, thinned};
use super::panels::{self, Shape};
use super::{Figure, Table, seeds_note};
use crate::measure::series::Window;
use crate::measure::stats::mean;
use crate::report::Page;
use crate::report::number::{grouped, tick_count};
use crate::report::text::clean;

/// The three lines of a contender.
struct Rates {
    offered: Line,
    good: Line,
    failed: Line,
}

/// Draws it, if there are windows.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let end = page.study.facts.duration_ns as f64 / 1e9;
    let rate =
        |contender, count: fn(&Window) -> u64| over_seeds(contender, end, |w, step| Some(count(w) as f64 / step));
    let rates: Vec<Rates> = page
        .study
        .contenders
        .iter()
        .map(|contender| Rates {
            offered: rate(contender, |w| w.offered),
            good: rate(contender, |w| w.good),
            failed: rate(contender, |w| w.failed),
        })
        .collect();
    let known = || rates.iter().flat_map(|r| r.offered.iter().chain(&r.good).chain(&r.failed)).filter_map(|(_, v)| *v);
    known().next()?;
    let legend =
        vec![("l2 offered", "offered".to_owned()), ("l good", "good".to_owned()), ("l failed", "failed".to_owned())];
    let y = Axis::linear(known(), 4.0, tick_count);
    let shape = Shape { y_title: "Calls per second", y, legend, tall: 120.0, left: 52.0, tint: true };
    let canvas = panels::draw(page.study, &shape, |canvas, frame, i| {
        for part in thinned(&rates[i].failed, frame.points) {
            let floor = [part[part.len() - 1], part[0]].map(|(at, _)| (at, 0.0));
            let outline: Vec<(f64, f64)> = part.iter().copied().chain(floor).collect();
            canvas.area("failedband", &frame.places(&outline));
        }
        frame.draw_line(canvas, "l2 offered", &rates[i].offered);
        frame.draw_line(canvas, "l failed", &rates[i].failed);
        frame.draw_line(canvas, "l good", &rates[i].good)
    });
    Some(Figure { canvas, notes: seeds_note(page).into_iter().collect(), table: table(page, &rates) })
}

fn table(page: &Page<'_>, rates: &[Rates]) -> Table {
    let mut head = vec!["from (s)".to_owned()];
    let mut columns = Vec::new();
    for (contender, rates) in page.study.contenders.iter().zip(rates) {
        for (what, line) in [("offered", &rates.offered), ("good", &rates.good), ("failed", &rates.failed)] {
            head.push(format!("{} {what} (/s)", clean(&contender.name)));
            columns.push(condensed(line, ROWS, mean));
        }
    }
    let caption = "Stretches of time: mean calls per second".to_owned();
    Table { caption, head, rows: rows(&columns, |rate| grouped(rate, usize::from(rate < 99.95))) }
}
