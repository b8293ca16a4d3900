//! The whole latency distribution on an axis of nines.

use super::axis::{Axis, Map};
use super::canvas::{Anchor, Canvas, Marker, fit};
use super::panels::{WIDTH, dash, hue};
use super::{Figure, Table};
use crate::base::math::ln;
use crate::measure::stats::median;
use crate::measure::summary::{Contender, QUANTILES};
use crate::report::Page;
use crate::report::number::{UNKNOWN, latency, short};
use crate::report::score::enough_beyond;
use crate::report::text::clean;

const LEFT: f64 = 56.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 36.0;
const HEIGHT: f64 = 420.0;
/// Between two labels at the ends of lines.
const LABEL: f64 = 14.0;

/// Ticks of the axis of nines, with their labels.
const NINES: [(f64, &str); 6] =
    [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"), (0.99999, "99.999 %")];

/// Quantile and latency in milliseconds, and whether enough values lie beyond it in every run.
type Curve = Vec<(f64, f64, bool)>;

/// Draws it, if any latency is known.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let contenders = &page.study.contenders;
    let curves: Vec<Curve> = contenders.iter().map(curve).collect();
    let points = || curves.iter().flatten();
    let furthest = points().map(|(q, _, _)| *q).max_by(f64::total_cmp)?;
    let ticks: Vec<(f64, String)> = NINES
        .iter()
        .filter(|(q, _)| *q <= furthest.max(0.9))
        .map(|(q, label)| (nines(*q), (*label).to_owned()))
        .collect();
    let x =
        Axis::with_ticks(Map::Linear, nines(NINES[0].0), nines(furthest.max(0.9)), ticks).between(LEFT, WIDTH - RIGHT);
    let y = Axis::latency(points().map(|(_, ms, _)| *ms)).between(HEIGHT - BOTTOM, TOP);
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    grid(&mut canvas, &x, &y);
    for (i, curve) in curves.iter().enumerate() {
        draw_curve(&mut canvas, i, curve, &x, &y);
    }
    labels(&mut canvas, page, &curves, &x, &y);
    let mut notes = Vec::new();
    if page.study.facts.seeds.len() > 1 {
        notes.push(format!("Each point is the median over {} seeds.", page.study.facts.seeds.len()));
    }
    Some(Figure { canvas, notes, table: table(page, &curves) })
}

/// The median over the seeds of each quantile that has a value beyond it in every run that has values at all.
fn curve(contender: &Contender) -> Curve {
    let runs: Vec<_> = contender.runs.iter().map(|run| &run.latency).filter(|latency| latency.count > 0).collect();
    let point = |q: f64| {
        let beyond = |count: u64| count as f64 * (1.0 - q) >= 1.0;
        if !runs.iter().all(|latency| beyond(latency.count)) {
            return None;
        }
        let values: Vec<f64> = runs.iter().filter_map(|l| l.quantile_ns(q)).map(|ns| ns as f64 / 1e6).collect();
        let enough = runs.iter().all(|latency| enough_beyond(latency.count, q));
        median(&values).map(|ms| (q, ms, enough))
    };
    QUANTILES.iter().filter(|q| **q >= NINES[0].0).filter_map(|q| point(*q)).collect()
}

/// How many nines: 0 for 0 %, 1 for 90 %, 2 for 99 %.
fn nines(q: f64) -> f64 {
    -ln((1.0 - q).max(1e-12)) / std::f64::consts::LN_10
}

fn grid(canvas: &mut Canvas, x: &Axis, y: &Axis) {
    canvas.text("tb", 0.0, 13.0, Anchor::Start, "Latency");
    for (value, label) in &y.ticks {
        let at = y.at(*value);
        canvas.line("grid", &[(LEFT, at), (WIDTH - RIGHT, at)]);
        canvas.text("ts", LEFT - 6.0, at + 3.5, Anchor::End, label);
    }
    for (value, label) in &x.ticks {
        let at = x.at(*value);
        canvas.line("grid", &[(at, TOP), (at, HEIGHT - BOTTOM)]);
        canvas.text("ts", at, HEIGHT - BOTTOM + 14.0, Anchor::Middle, label);
    }
    canvas.line("axis", &[(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM)]);
    canvas.text("ts", WIDTH - RIGHT, HEIGHT - 6.0, Anchor::End, "share of the calls that are at most this slow");
}

fn draw_curve(canvas: &mut Canvas, i: usize, curve: &Curve, x: &Axis, y: &Axis) {
    let place = |(q, ms, _): &(f64, f64, bool)| (x.at(nines(*q)), y.at(*ms));
    let firm = curve.iter().take_while(|(_, _, enough)| *enough).count();
    let strong: Vec<(f64, f64)> = curve[..firm].iter().map(place).collect();
    let weak: Vec<(f64, f64)> = curve[firm.saturating_sub(1)..].iter().map(place).collect();
    canvas.line(&format!("l {} {}", hue(i), dash(i)), &strong);
    if weak.len() > 1 {
        canvas.line(&format!("l2 dotted {}", hue(i)), &weak);
    }
    for point in curve.iter().filter(|(q, _, _)| NINES.iter().any(|(nine, _)| nine == q)) {
        let (px, py) = place(point);
        canvas.marker(&format!("m f{}", &hue(i)[1..]), Marker::ALL[i % Marker::ALL.len()], px, py);
    }
}

/// Names at the ends of the lines, moved apart where they would overlap.
fn labels(canvas: &mut Canvas, page: &Page<'_>, curves: &[Curve], x: &Axis, y: &Axis) {
    let end = |(i, curve): (usize, &Curve)| curve.last().map(|(q, ms, _)| (y.at(*ms), x.at(nines(*q)), i));
    let mut ends: Vec<(f64, f64, usize)> = curves.iter().enumerate().filter_map(end).collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    let places = spread(&ends.iter().map(|(at, _, _)| *at).collect::<Vec<_>>(), TOP, HEIGHT - BOTTOM);
    for ((at, from, i), place) in ends.iter().zip(&places) {
        let right = WIDTH - RIGHT;
        canvas.line("lead", &[(*from + 5.0, *at), (right + 8.0, *at), (right + 20.0, *place), (right + 24.0, *place)]);
        canvas.marker(&format!("m f{}", &hue(*i)[1..]), Marker::ALL[i % Marker::ALL.len()], right + 32.0, *place);
        let name = fit(&page.study.contenders[*i].name, 11.0, RIGHT - 46.0);
        canvas.text("tl", right + 41.0, place + 4.0, Anchor::Start, &name);
    }
    let silent = curves.iter().enumerate().filter(|(_, curve)| curve.is_empty());
    let names: Vec<String> = silent.map(|(i, _)| clean(&page.study.contenders[i].name)).collect();
    if !names.is_empty() {
        let text = fit(&format!("no latency known: {}", names.join(", ")), 11.0, WIDTH - LEFT - RIGHT);
        canvas.text("tl", LEFT + 60.0, 13.0, Anchor::Start, &text);
    }
}

/// The same order, at least [`LABEL`] apart, within `top` and `bottom`, each close to where it wants to be.
fn spread(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut places = wanted.to_vec();
    for i in 1..places.len() {
        places[i] = places[i].max(places[i - 1] + LABEL);
    }
    let mut limit = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(limit).max(top);
        limit = *place - LABEL;
    }
    places
}

fn table(page: &Page<'_>, curves: &[Curve]) -> Table {
    let head = ["up to".to_owned()]
        .into_iter()
        .chain(page.study.contenders.iter().map(|c| format!("{} (ms)", clean(&c.name))));
    let shown = QUANTILES
        .iter()
        .filter(|q| [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999].contains(*q));
    let row = |q: &f64| {
        let cell = |curve: &Curve| match curve.iter().find(|(at, _, _)| at == q) {
            Some((_, ms, true)) => short(*ms),
            Some((_, ms, false)) => short(*ms) + "†",
            None => UNKNOWN.to_owned(),
        };
        [format!("{} %", crate::report::number::trimmed(q * 100.0, 3))]
            .into_iter()
            .chain(curves.iter().map(cell))
            .collect()
    };
    let slowest = curves.iter().flatten().map(|(_, ms, _)| *ms).max_by(f64::total_cmp).map_or(String::new(), latency);
    Table {
        caption: format!("Quantiles up to {slowest}; † fewer than 450 calls beyond it in some run"),
        head: head.collect(),
        rows: shown.map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_moved_apart() {
        assert_eq!(spread(&[10.0, 11.0, 100.0], 0.0, 200.0), [10.0, 24.0, 100.0]);
        assert_eq!(spread(&[195.0, 196.0, 197.0], 0.0, 200.0), [172.0, 186.0, 200.0]);
        assert!(spread(&[], 0.0, 200.0).is_empty());
    }

    #[test]
    fn nines_are_even() {
        assert_eq!(nines(0.0), 0.0);
        assert!((nines(0.9) - 1.0).abs() < 1e-9 && (nines(0.999) - 3.0).abs() < 1e-9);
    }
}
