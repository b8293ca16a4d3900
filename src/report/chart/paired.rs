//! Differences to the baseline, seed by seed.

use super::axis::{Axis, Map, extremes, nice_step, steps};
use super::canvas::{Anchor, Canvas, fit};
use super::panels::{WIDTH, hue};
use super::{Figure, Table};
use crate::base::math::{exp, ln};
use crate::measure::catalog::{Better, Metric, Scale, find};
use crate::measure::summary::{Contender, Study};
use crate::report::number::{MOST_TIMES, UNKNOWN, difference};
use crate::report::text::clean;
use crate::report::{Comparison, Page};

const LEFT: f64 = 176.0;
const TOP: f64 = 44.0;
const ROW: f64 = 28.0;
const BOTTOM: f64 = 22.0;
const GAP: f64 = 26.0;
const RIGHT: f64 = 20.0;

/// The metrics that are shown if they differ anywhere.
const SHOWN: [&str; 4] = ["latency_p50", "latency_p99", "error_rate", "goodput"];

/// One metric: the differences of each contender, seed by seed.
struct Column<'a> {
    metric: &'static Metric,
    /// Logarithms of quotients for relative metrics, else differences; a seed number with each.
    seeds: Vec<Vec<(u64, f64)>>,
    told: Vec<Option<&'a Comparison>>,
    relative: bool,
    /// A unit for differences that are too small for their own: values are multiplied by it when shown.
    x: Axis,
}

/// Draws it, if there is somebody to compare with.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let study = page.study;
    let others: Vec<usize> = (0..study.contenders.len()).filter(|i| *i != study.facts.baseline).collect();
    let metrics = SHOWN.iter().filter_map(|key| find(key));
    let mut columns: Vec<Column<'_>> = metrics.filter_map(|metric| column(page, metric, &others)).collect();
    if columns.is_empty() {
        return None;
    }
    let count = columns.len() as f64;
    let width = (WIDTH - LEFT - RIGHT - GAP * (count - 1.0)) / count;
    let height = TOP + ROW * others.len() as f64 + BOTTOM;
    let mut canvas = Canvas::new(WIDTH, height);
    for (row, i) in others.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        canvas.text("tb", LEFT - 16.0, y + 4.0, Anchor::End, &fit(&study.contenders[*i].name, 12.5, LEFT - 20.0));
        canvas.line("grid", &[(LEFT, y), (WIDTH - RIGHT, y)]);
    }
    for (n, column) in columns.iter_mut().enumerate() {
        let left = LEFT + n as f64 * (width + GAP);
        column.x = column.x.between(left, left + width);
        draw_column(&mut canvas, column, left, width, height);
        for (row, i) in others.iter().enumerate() {
            draw_row(&mut canvas, column, row, *i, TOP + ROW * (row as f64 + 0.5));
        }
    }
    let table = table(study, &columns, &others);
    Some(Figure { canvas, notes: notes(page), table })
}

fn column<'a>(page: &Page<'a>, metric: &'static Metric, others: &[usize]) -> Option<Column<'a>> {
    let study = page.study;
    let baseline = study.contenders.get(study.facts.baseline)?;
    let relative = metric.scale == Scale::Log;
    let seeds: Vec<Vec<(u64, f64)>> =
        others.iter().map(|i| pairs(metric, baseline, &study.contenders[*i], relative)).collect();
    // A judge falls back to differences where a quotient makes no sense; those have no place on this axis.
    let fits = |c: &&Comparison| c.metric == metric.key && c.relative == relative;
    let told = |i: &usize| page.comparisons.iter().filter(fits).find(|c| c.contender == *i);
    let told: Vec<Option<&Comparison>> = others.iter().map(told).collect();
    let ends = told.iter().flatten().filter_map(|c| c.delta_ci).flat_map(|(low, high)| [low, high]);
    let ends = ends.map(|end| if relative { logarithm(end) } else { end });
    let all: Vec<f64> = seeds.iter().flatten().map(|(_, d)| *d).chain(ends).collect();
    let (low, high) = extremes(all.into_iter())?;
    let x = if relative { quotients(low, high) } else { differences(metric, low, high) };
    Some(Column { metric, seeds, told, relative, x })
}

/// The logarithm of the quotient behind a relative difference, cut off where [`difference`] stops telling.
fn logarithm(delta: f64) -> f64 {
    ln((1.0 + delta).clamp(1.0 / MOST_TIMES, MOST_TIMES))
}

fn pairs(metric: &Metric, baseline: &Contender, other: &Contender, relative: bool) -> Vec<(u64, f64)> {
    let pair = |run: &crate::measure::summary::Summary| {
        let base = baseline.runs.iter().find(|base| base.seed == run.seed)?;
        let (base, value) = ((metric.read)(base)?, (metric.read)(run)?);
        let difference = match relative {
            true => (base > 0.0 && value > 0.0).then(|| ln(value / base))?,
            false => value - base,
        };
        difference.is_finite().then_some((run.seed, difference))
    };
    other.runs.iter().filter_map(pair).collect()
}

/// An axis of quotients, labelled as differences in percent or as multiples.
fn quotients(low: f64, high: f64) -> Axis {
    let pad = (0.06 * (high.max(0.0) - low.min(0.0))).max(0.005);
    let (low, high) = (low.min(0.0) - pad, high.max(0.0) + pad);
    let tick = |quotient: f64| (ln(quotient), quotient_label(quotient));
    let ticks = if high - low > 1.6 {
        let grid = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
        let wide = high - low > 4.6;
        grid.into_iter().filter(|q| !wide || [0.01, 0.1, 1.0, 10.0, 100.0].contains(q)).map(tick).collect::<Vec<_>>()
    } else {
        let (low, high) = (exp(low) - 1.0, exp(high) - 1.0);
        steps(low, high, nice_step((high - low) / 4.0)).map(|percent| tick(1.0 + percent)).collect()
    };
    let ticks = ticks.into_iter().filter(|(at, _)| (low..=high).contains(at)).collect();
    Axis::with_ticks(Map::Linear, low, high, ticks)
}

fn quotient_label(quotient: f64) -> String {
    let percent = (quotient - 1.0) * 100.0;
    if percent.abs() < 1e-6 {
        return "0".to_owned();
    }
    if quotient >= 2.0 {
        return format!("×{}", crate::report::number::loose(quotient));
    }
    let sign = if percent < 0.0 { "−" } else { "+" };
    format!("{sign}{} %", crate::report::number::trimmed(percent.abs(), 2))
}

fn differences(metric: &Metric, low: f64, high: f64) -> Axis {
    let (factor, _) = crate::report::number::shown_unit(metric);
    let pad = (0.06 * (high.max(0.0) - low.min(0.0))).max(1e-6);
    let (low, high) = (low.min(0.0) - pad, high.max(0.0) + pad);
    let label = |value: f64| {
        let sign = if value < 0.0 { "−" } else { "+" };
        if value == 0.0 { "0".to_owned() } else { format!("{sign}{}", crate::report::number::trimmed(value.abs(), 4)) }
    };
    let ticks =
        steps(low * factor, high * factor, nice_step((high - low) * factor / 4.0)).map(|v| (v / factor, label(v)));
    Axis::with_ticks(Map::Linear, low, high, ticks.collect())
}

fn draw_column(canvas: &mut Canvas, column: &Column<'_>, left: f64, width: f64, height: f64) {
    let unit = match (column.relative, crate::report::number::shown_unit(column.metric).1) {
        (true, _) | (false, "") => "",
        (false, "%") => " (pp)",
        (false, _) => " (difference)",
    };
    canvas.text("tb", left, 13.0, Anchor::Start, &fit(&format!("{}{unit}", column.metric.title), 12.5, width));
    let better = match column.metric.better {
        Better::Lower => "← better",
        Better::Higher => "better →",
        Better::Neither => "",
    };
    canvas.text("ts", left, 28.0, Anchor::Start, better);
    let mut taken = f64::NEG_INFINITY;
    for (value, label) in &column.x.ticks {
        let at = column.x.at(*value);
        let class = if *value == 0.0 { "zero" } else { "grid" };
        canvas.line(class, &[(at, TOP - 6.0), (at, height - BOTTOM)]);
        let half = 0.5 * super::canvas::text_width(label, 10.0);
        if at - half > taken.max(left - 0.4 * GAP) && at + half < left + width + 0.4 * GAP {
            canvas.text("ts", at, height - BOTTOM + 14.0, Anchor::Middle, label);
            taken = at + half + 6.0;
        }
    }
}

fn draw_row(canvas: &mut Canvas, column: &Column<'_>, row: usize, i: usize, y: f64) {
    let back = |d: f64| if column.relative { exp(d) - 1.0 } else { d };
    for (seed, d) in &column.seeds[row] {
        let tip = format!("seed {seed}: {}", difference(column.metric, back(*d), column.relative));
        canvas.with_tip(&tip, |canvas| canvas.dot(&format!("pair f{}", &hue(i)[1..]), column.x.at(*d), y - 5.0, 2.6));
    }
    let Some(told) = column.told[row] else { return };
    let place = |delta: f64| column.x.at(if column.relative { logarithm(delta) } else { delta });
    if let Some((low, high)) = told.delta_ci {
        canvas.line(&format!("bar {}", hue(i)), &[(place(low), y + 5.0), (place(high), y + 5.0)]);
    }
    if let Some(delta) = told.delta {
        canvas.dot("full inkfill", place(delta), y + 5.0, 2.4);
    }
    if column.seeds[row].is_empty() {
        let (low, high) = column.x.range();
        canvas.text("ts", 0.5 * (column.x.at(low) + column.x.at(high)), y - 3.0, Anchor::Middle, "unknown");
    }
}

fn notes(page: &Page<'_>) -> Vec<String> {
    let baseline = page.study.contenders.get(page.study.facts.baseline).map_or(String::new(), |c| clean(&c.name));
    let mut notes = vec![format!("The baseline is {baseline}. Relative differences stand on a logarithmic scale.")];
    let far = |c: &&Comparison| c.relative && SHOWN.contains(&c.metric.as_str());
    let ends = page.comparisons.iter().filter(far).filter_map(|c| c.delta_ci).flat_map(|(low, high)| [low, high]);
    if ends.into_iter().any(|end| logarithm(end).abs() >= ln(MOST_TIMES)) {
        notes.push(format!(
            "Intervals are cut off at ×{MOST_TIMES} and its inverse: so few seeds say nothing about them."
        ));
    }
    if page.study.facts.seeds.len() < 2 {
        notes.push("One seed gives no interval.".to_owned());
    }
    notes
}

fn table(study: &Study, columns: &[Column<'_>], others: &[usize]) -> Table {
    let mut head = vec!["contender".to_owned(), "seed".to_owned()];
    head.extend(columns.iter().map(|column| column.metric.title.to_owned()));
    let mut rows = Vec::new();
    for (row, i) in others.iter().enumerate() {
        for run in study.contenders[*i].runs.iter().take(SEEDS_LISTED) {
            let cell = |column: &Column<'_>| {
                let d = column.seeds[row].iter().find(|(seed, _)| *seed == run.seed).map(|(_, d)| *d);
                let back = |d: f64| if column.relative { exp(d) - 1.0 } else { d };
                d.map_or(UNKNOWN.to_owned(), |d| difference(column.metric, back(d), column.relative))
            };
            let start = [clean(&study.contenders[*i].name), run.seed.to_string()];
            rows.push(start.into_iter().chain(columns.iter().map(cell)).collect());
        }
    }
    Table { caption: "Difference to the baseline on the same seed".to_owned(), head, rows }
}

/// Seeds in the table of each contender; `summary.csv` has them all.
const SEEDS_LISTED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_few_seeds_leave_open_is_cut_off() {
        let most = ln(MOST_TIMES);
        assert_eq!(logarithm(1e11), most);
        assert!((logarithm(-1.0) + most).abs() < 1e-12 && logarithm(-1.0).is_finite());
        assert_eq!(logarithm(0.0), 0.0);
        let axis = quotients(logarithm(-0.999_999), logarithm(1e11));
        let (low, high) = axis.range();
        assert!(low > -8.0 && high < 8.0, "an axis of {low} to {high}");
    }
}
