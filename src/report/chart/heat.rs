//! Load over fair share by backend and time.
//!
//! Cells are sorted into a few steps of colour, equal neighbours are drawn as one, and each colour is one path:
//! a fleet of hundreds fits into some kilobytes. The colour of an even load is the ground, so it costs nothing.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, fit};
use super::panels::{self, Frame, Shape};
use super::{Figure, Table};
use crate::measure::series::Heat;
use crate::measure::summary::{BackendFact, Contender};
use crate::report::Page;
use crate::report::csv::share_over_fair;
use crate::report::number::{UNKNOWN, short};
use crate::report::text::{clean, count_of};

/// Upper ends of the colour steps; what lies above the last one has the last colour.
const STEPS: [f64; 8] = [0.01, 0.25, 0.5, 0.8, 1.25, 2.0, 4.0, f64::INFINITY];
/// The step of an even load.
const EVEN: usize = 4;
/// Legend of the steps.
const WORDS: [&str; 8] = ["none", "< ¼", "< ½", "< 0.8", "fair", "> 1¼", "> 2", "> 4"];
/// Classes of the steps in the legend.
const BOXES: [&str; 8] = ["b h0", "b h1", "b h2", "b h3", "b h4", "b h5", "b h6", "b h7"];
/// Cells of all contenders together; finer pictures are averaged until the drawing is small enough.
const CELLS_MAX: [usize; 4] = [400_000, 150_000, 60_000, 25_000];
/// A page has to stay below 1.5 MB with everything else in it.
const BYTES_MAX: usize = 600_000;

/// A picture in the order in which it is drawn, from the top: rows of steps, `None` without attempts.
struct Picture {
    rows: Vec<Vec<Option<usize>>>,
    /// Seconds that a column covers.
    step_s: f64,
    /// Columns that were averaged into one.
    columns_each: usize,
}

/// Rows of one zone.
struct Group {
    zone: String,
    first: usize,
    rows: usize,
}

/// The order of the rows.
struct Order {
    /// Rows of the heat, from the top; each entry is averaged into one drawn row.
    rows: Vec<Vec<usize>>,
    groups: Vec<Group>,
    backends_each: usize,
}

/// Draws it, if some run has a picture.
pub fn draw(page: &Page<'_>) -> Option<Figure> {
    let study = page.study;
    let sample = study.contenders.iter().filter_map(first_heat).find(|heat| !heat.rows.is_empty())?;
    let drawn = CELLS_MAX.iter().map(|cells| draw_within(page, sample, *cells));
    let mut last = None;
    for (canvas, notes) in drawn {
        let small = canvas.size() <= BYTES_MAX;
        last = Some((canvas, notes));
        if small {
            break;
        }
    }
    last.map(|(canvas, notes)| Figure { canvas, notes, table: table(page) })
}

/// Draws at most so many cells.
fn draw_within(page: &Page<'_>, sample: &Heat, cells: usize) -> (Canvas, Vec<String>) {
    let study = page.study;
    let (row_block, column_block) = blocks(study.contenders.len(), sample, cells);
    let order = Order::of(sample, &study.facts.backends, row_block);
    let pictures: Vec<Option<Picture>> =
        study.contenders.iter().map(|c| first_heat(c).map(|heat| picture(heat, &order, column_block))).collect();
    let boxes = BOXES.iter().copied().zip(WORDS).chain([("b hm", "no calls")]);
    let legend = boxes.map(|(class, text)| (class, text.to_owned())).collect();
    let tall = (order.rows.len() as f64 * 7.0).clamp(64.0, 190.0);
    let y = Axis::linear([1.0].into_iter(), 1.0, short);
    let shape = Shape { y_title: "Load ÷ fair share", y, legend, tall, left: 74.0, tint: false };
    let canvas = panels::draw(study, &shape, |canvas, frame, i| {
        let picture = pictures[i].as_ref().filter(|picture| picture.rows.iter().any(|row| !row.is_empty()));
        if let Some(picture) = picture {
            panel(canvas, frame, &order, picture);
        }
        picture.is_some()
    });
    let columns_each = pictures.iter().flatten().map(|picture| picture.columns_each).max().unwrap_or(1);
    (canvas, notes(page, &order, columns_each))
}

fn first_heat(contender: &Contender) -> Option<&Heat> {
    contender.runs.first().map(|run| &run.heat)
}

/// How many rows and columns have to be averaged so that all pictures together have at most `limit` cells.
fn blocks(contenders: usize, heat: &Heat, limit: usize) -> (usize, usize) {
    let (rows, columns) = (heat.rows.len(), heat.rows.iter().map(Vec::len).max().unwrap_or(0));
    let cells = |(r, c): (usize, usize)| rows.div_ceil(r) * columns.div_ceil(c) * contenders;
    let mut block = (1, 1);
    while cells(block) > limit.max(contenders) {
        if rows.div_ceil(block.0) * 2 > columns.div_ceil(block.1) { block.0 += 1 } else { block.1 += 1 }
    }
    block
}

impl Order {
    /// Rows of one zone stand together, in the order in which zones first appear.
    fn of(heat: &Heat, backends: &[BackendFact], block: usize) -> Order {
        let each = heat.backends_per_row.max(1) as usize;
        let zone = |row: usize| backends.get(row * each).map_or("", |backend| backend.zone.as_str());
        let mut zones: Vec<&str> = Vec::new();
        for row in 0..heat.rows.len() {
            if !zones.contains(&zone(row)) {
                zones.push(zone(row));
            }
        }
        let mut order = Order { rows: Vec::new(), groups: Vec::new(), backends_each: each * block };
        for name in zones {
            let members: Vec<usize> = (0..heat.rows.len()).filter(|row| zone(*row) == name).collect();
            let first = order.rows.len();
            order.rows.extend(members.chunks(block).map(<[usize]>::to_vec));
            order.groups.push(Group { zone: clean(name), first, rows: order.rows.len() - first });
        }
        order
    }
}

fn picture(heat: &Heat, order: &Order, block: usize) -> Picture {
    let columns = heat.rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |members: &[usize], from: usize| {
        let cells =
            members.iter().filter_map(|row| heat.rows.get(*row)).flat_map(|row| row.iter().skip(from).take(block));
        let known: Vec<f64> = cells.filter_map(|cell| *cell).collect();
        (!known.is_empty()).then(|| step_of(known.iter().sum::<f64>() / known.len() as f64))
    };
    let row = |members: &Vec<usize>| (0..columns).step_by(block).map(|from| cell(members, from)).collect();
    let rows = order.rows.iter().map(row).collect();
    Picture { rows, step_s: heat.step_ns as f64 / 1e9 * block as f64, columns_each: block }
}

fn step_of(load: f64) -> usize {
    STEPS.iter().position(|end| load < *end).unwrap_or(STEPS.len() - 1)
}

fn panel(canvas: &mut Canvas, frame: &Frame, order: &Order, picture: &Picture) {
    let rows = picture.rows.len().max(1);
    let height = (frame.bottom - frame.top) / rows as f64;
    let width = frame.x.at(picture.step_s) - frame.x.at(0.0);
    let columns = picture.rows.iter().map(Vec::len).max().unwrap_or(0);
    // The last column may reach beyond the end of the measured time; it is cut there.
    let fit_in = (((frame.right - frame.left) / width) + 0.01) as usize;
    let shown = columns.min(fit_in.max(1));
    if columns > 0 {
        canvas.rect("h4", frame.left, frame.top, width * shown as f64, frame.bottom - frame.top);
    }
    for step in (0..STEPS.len()).filter(|step| *step != EVEN) {
        let path = path_of(picture, shown, Some(step));
        if !path.is_empty() {
            canvas.cells(&format!("h h{step}"), (frame.left, frame.top), (width, height), &path);
        }
    }
    let silent = path_of(picture, shown, None);
    if !silent.is_empty() {
        canvas.cells("h hm", (frame.left, frame.top), (width, height), &silent);
    }
    zones(canvas, frame, order, height);
}

/// All cells of one step as horizontal strokes of one unit's thickness, equal neighbours joined.
fn path_of(picture: &Picture, columns: usize, step: Option<usize>) -> String {
    let mut path = String::new();
    let mut pen: (i64, i64) = (0, 0);
    for (y, row) in picture.rows.iter().enumerate() {
        let row = &row[..row.len().min(columns)];
        let mut x = 0;
        while x < row.len() {
            let run = row[x..].iter().take_while(|cell| **cell == step).count();
            if run > 0 {
                let (dx, dy) = (x as i64 - pen.0, y as i64 - pen.1);
                // The first stroke lies half a unit below the upper edge, in the middle of its row.
                let start = if path.is_empty() { format!("M{dx} {dy}.5") } else { format!("m{dx} {dy}") };
                path += &format!("{start}h{run}");
                pen = ((x + run) as i64, y as i64);
            }
            x += run.max(1);
        }
    }
    path
}

fn zones(canvas: &mut Canvas, frame: &Frame, order: &Order, height: f64) {
    let mut taken = f64::NEG_INFINITY;
    for group in &order.groups {
        let top = frame.top + group.first as f64 * height;
        let middle = top + 0.5 * group.rows as f64 * height + 3.5;
        if group.first > 0 {
            canvas.line("cut", &[(frame.left, top), (frame.right, top)]);
            canvas.line("axis", &[(frame.left - if frame.first { 70.0 } else { 4.0 }, top), (frame.right, top)]);
        }
        if frame.first && middle > taken + 11.0 {
            canvas.text("ts", frame.left - 6.0, middle, Anchor::End, &fit(&group.zone, 10.0, 66.0));
            taken = middle;
        }
    }
}

fn notes(page: &Page<'_>, order: &Order, columns_each: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if page.study.facts.seeds.len() > 1 {
        let seed = page.study.facts.seeds[0];
        notes.push(format!(
            "Shown is the first seed ({seed}), because a mean over seeds would hide what one fleet goes through."
        ));
    }
    if order.backends_each > 1 {
        notes.push(format!(
            "A row is the mean of {}.",
            count_of(order.backends_each, "backend", "neighbouring backends")
        ));
    }
    if columns_each > 1 {
        notes.push(format!("A column is the mean of {columns_each} windows."));
    }
    notes
}

/// Load over fair share over the whole measured stretch, by zone.
fn table(page: &Page<'_>) -> Table {
    let facts = &page.study.facts.backends;
    let mut zones: Vec<&str> = Vec::new();
    for fact in facts {
        if !zones.contains(&fact.zone.as_str()) {
            zones.push(&fact.zone);
        }
    }
    let head =
        ["contender", "zone", "backends", "least", "mean", "most", "busiest backend"].map(str::to_owned).to_vec();
    let mut rows = Vec::new();
    for contender in &page.study.contenders {
        let Some(run) = contender.runs.first() else { continue };
        let shares = share_over_fair(facts, &run.backends);
        for zone in &zones {
            let of: Vec<(f64, &str)> = facts
                .iter()
                .zip(&shares)
                .filter(|(fact, _)| fact.zone == *zone)
                .filter_map(|(fact, share)| share.map(|share| (share, fact.name.as_str())))
                .collect();
            rows.push(zone_row(&contender.name, zone, &of));
        }
    }
    Table { caption: "Attempts over fair share, whole measured stretch, first seed".to_owned(), head, rows }
}

fn zone_row(contender: &str, zone: &str, of: &[(f64, &str)]) -> Vec<String> {
    let by = |a: &&(f64, &str), b: &&(f64, &str)| a.0.total_cmp(&b.0);
    let show = |value: Option<f64>| value.map_or(UNKNOWN.to_owned(), short);
    let most = of.iter().max_by(by);
    vec![
        clean(contender),
        clean(zone),
        of.len().to_string(),
        show(of.iter().min_by(by).map(|(share, _)| *share)),
        show((!of.is_empty()).then(|| of.iter().map(|(share, _)| share).sum::<f64>() / of.len() as f64)),
        show(most.map(|(share, _)| *share)),
        most.map_or(UNKNOWN.to_owned(), |(_, name)| clean(name)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_one_stroke() {
        let rows = vec![vec![Some(0), Some(0), Some(4), Some(0)], vec![Some(0), None, None, Some(7)]];
        let picture = Picture { rows, step_s: 1.0, columns_each: 1 };
        assert_eq!(path_of(&picture, 4, Some(0)), "M0 0.5h2m1 0h1m-4 1h1");
        assert_eq!(path_of(&picture, 4, None), "M1 1.5h2");
        assert_eq!(path_of(&picture, 3, Some(7)), "");
    }

    #[test]
    fn steps_are_symmetric_around_fair() {
        assert_eq!([0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 3.0, 9.0].map(step_of), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(step_of(1.25), 5, "an end belongs to the next step");
    }

    #[test]
    fn big_pictures_are_averaged() {
        let heat = Heat { step_ns: 1, backends_per_row: 1, rows: vec![vec![Some(1.0); 240]; 200] };
        assert_eq!(blocks(1, &heat, 90_000), (1, 1));
        let (r, c) = blocks(12, &heat, 90_000);
        assert!(200usize.div_ceil(r) * 240usize.div_ceil(c) * 12 <= 90_000, "{r} {c}");
    }
}
