//! How long the fleet took to notice the fault, and to get over it.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, fit};
use super::panels::{WIDTH, hue};
use super::{Figure, Table};
use crate::measure::catalog::find;
use crate::measure::stats::median;
use crate::measure::summary::Contender;
use crate::report::Page;
use crate::report::number::{UNKNOWN, loose, short};
use crate::report::text::clean;

const LEFT: f64 = 176.0;
const RIGHT: f64 = 112.0;
const TOP: f64 = 40.0;
const ROW: f64 = 30.0;
const BOTTOM: f64 = 36.0;

/// Seconds until something happened, a run each; infinite where it never did.
struct Times {
    detect: Vec<f64>,
    recover: Vec<f64>,
}

/// Draws it, if some run had a fault.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let times: Vec<Times> = page.study.contenders.iter().map(times).collect();
    let known = || times.iter().flat_map(|times| times.detect.iter().chain(&times.recover)).copied();
    known().next()?;
    let height = TOP + ROW * times.len() as f64 + BOTTOM;
    // Without any finite time the axis shows how long there would have been time.
    let first = page.study.facts.events.iter().map(|event| event.from_ns).min().unwrap_or(0);
    let rest = page.study.facts.duration_ns.saturating_sub(first) as f64 / 1e9;
    let finite = known().filter(|s| s.is_finite()).max_by(f64::total_cmp).unwrap_or(rest);
    let x = Axis::linear([finite].into_iter(), 8.0, loose).between(LEFT, WIDTH - RIGHT);
    let mut canvas = Canvas::new(WIDTH, height);
    grid(&mut canvas, &x, height);
    for (i, (contender, times)) in page.study.contenders.iter().zip(&times).enumerate() {
        let y = TOP + ROW * (i as f64 + 0.5);
        canvas.text("tb", LEFT - 14.0, y + 4.0, Anchor::End, &fit(&contender.name, 12.5, LEFT - 18.0));
        canvas.line("grid", &[(LEFT, y), (WIDTH - RIGHT, y)]);
        row(&mut canvas, i, times, &x, y);
    }
    let mut notes = Vec::new();
    if page.study.facts.events.len() > 1 {
        notes.push(
            "Detection counts from the first fault that affects backends, recovery from the last fault.".to_owned(),
        );
    }
    Some(Figure { canvas, notes, table: table(page, &times) })
}

fn times(contender: &Contender) -> Times {
    let of = |key: &str| {
        let read = find(key).map(|metric| metric.read);
        let ms = contender.runs.iter().filter_map(|run| read.and_then(|read| read(run)));
        ms.map(|ms| ms / 1e3).collect::<Vec<_>>()
    };
    Times { detect: of("time_to_detect"), recover: of("time_to_recover") }
}

fn grid(canvas: &mut Canvas, x: &Axis, height: f64) {
    canvas.dot("hollow ink", 8.0, 9.0, 4.5);
    canvas.text("tl", 18.0, 13.0, Anchor::Start, "detected");
    canvas.dot("full inkfill", 92.0, 9.0, 4.5);
    canvas.text("tl", 102.0, 13.0, Anchor::Start, "recovered");
    for (value, label) in &x.ticks {
        let at = x.at(*value);
        canvas.line("grid", &[(at, TOP), (at, height - BOTTOM)]);
        canvas.text("ts", at, height - BOTTOM + 14.0, Anchor::Middle, label);
    }
    canvas.text("ts", WIDTH - RIGHT, height - 4.0, Anchor::End, "since the beginning of the fault (s)");
}

fn row(canvas: &mut Canvas, i: usize, times: &Times, x: &Axis, y: f64) {
    let edge = WIDTH - RIGHT;
    let place = |seconds: f64| if seconds.is_finite() { x.at(seconds) } else { edge };
    let (detect, recover) = (median(&times.detect), median(&times.recover));
    if let Some(recover) = recover.filter(|_| detect.is_none_or(f64::is_finite)) {
        canvas.line(&format!("thick {}", hue(i)), &[(place(detect.unwrap_or(0.0)), y), (place(recover), y)]);
    }
    for seconds in times.detect.iter().filter(|s| s.is_finite()) {
        canvas.dot(&format!("seed f{}", &hue(i)[1..]), x.at(*seconds), y - 6.5, 1.8);
    }
    for seconds in times.recover.iter().filter(|s| s.is_finite()) {
        canvas.dot(&format!("seed f{}", &hue(i)[1..]), x.at(*seconds), y + 6.5, 1.8);
    }
    if let Some(seconds) = detect.filter(|s| s.is_finite()) {
        canvas.with_tip(&format!("detected after {} s", short(seconds)), |c| {
            c.dot(&format!("hollow {}", hue(i)), x.at(seconds), y, 5.0)
        });
    }
    match recover {
        Some(seconds) if seconds.is_finite() => {
            canvas.with_tip(&format!("recovered after {} s", short(seconds)), |c| {
                c.dot(&format!("full f{}", &hue(i)[1..]), x.at(seconds), y, 5.0)
            });
        }
        Some(_) => canvas.area(
            &format!("full f{}", &hue(i)[1..]),
            &[(edge + 2.0, y - 5.0), (edge + 11.0, y), (edge + 2.0, y + 5.0)],
        ),
        None => {}
    }
    let endless = times.recover.iter().filter(|s| s.is_infinite()).count();
    let text = match (endless, times.recover.len()) {
        (_, 0) => "no data".to_owned(),
        (0, _) => String::new(),
        (n, all) if n == all => "never".to_owned(),
        (n, all) => format!("{n} of {all} never"),
    };
    canvas.text("ts", edge + 16.0, y + 3.5, Anchor::Start, &text);
}

fn table(page: &Page<'_>, times: &[Times]) -> Table {
    let head = ["contender", "detected (s, median)", "never detected", "recovered (s, median)", "never recovered"];
    let cells = |values: &[f64]| {
        let never = values.iter().filter(|s| s.is_infinite()).count();
        [median(values).map_or(UNKNOWN.to_owned(), short), format!("{never} of {}", values.len())]
    };
    let row = |(contender, times): (&Contender, &Times)| {
        [clean(&contender.name)].into_iter().chain(cells(&times.detect)).chain(cells(&times.recover)).collect()
    };
    Table {
        caption: "Time since the beginning of the fault".to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: page.study.contenders.iter().zip(times).map(row).collect(),
    }
}
