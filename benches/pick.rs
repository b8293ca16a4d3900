//! What one pick costs through the trait, with the books that a channel keeps, for 10 to 100,000 endpoints.
//!
//! `cargo bench --bench pick` prints a table; `-- quick` makes fewer and shorter rounds. The same rows beside crates
//! that implement the same algorithms: `benches/peers/pick`.

#[path = "pick/ours.rs"]
mod ours;
#[path = "pick/rounds.rs"]
mod rounds;

use ours::{ROWS, SIZES};
use rounds::{interleaved, shown};

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let (rounds, round_ns) = if quick { (3, 2e6) } else { (5, 2e7) };
    let mut jobs = ours::jobs(ROWS);
    let costs = interleaved(&mut jobs, rounds, round_ns);
    println!("| ns of CPU a pick | 10 | 100 | 1,000 | 10,000 | 100,000 | largest over smallest | aims missed |");
    println!("|---|---|---|---|---|---|---|---|");
    for row in ROWS {
        let cost = |size: &usize| {
            jobs.iter().position(|job| job.name == row.name && job.endpoints == *size).map(|at| costs[at])
        };
        let found: Vec<Option<f64>> = SIZES.iter().map(cost).collect();
        let cells: Vec<String> = found.iter().map(|ns| ns.map_or("–".to_owned(), shown)).collect();
        let known: Vec<f64> = found.iter().flatten().copied().collect();
        let growth = known.last().zip(known.first()).map_or(0.0, |(last, first)| last / first);
        let is_missed = |at: usize| row.aims[at] > 0.0 && found[at].is_some_and(|ns| ns > row.aims[at]);
        let missed: Vec<String> = (0..SIZES.len())
            .filter(|at| is_missed(*at))
            .map(|at| format!("{} at {}", row.aims[at], SIZES[at]))
            .collect();
        println!("| {} | {} | {growth:.1} | {} |", row.name, cells.join(" | "), missed.join(", "));
    }
}
