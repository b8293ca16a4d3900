//! What a pick costs here and in crates that implement the same algorithm, in one run, in CPU time.
//!
//! Our side goes through the trait and keeps the books of a channel; so does tower's, whose load is kept by its services.
//! The other crates pick and nothing else.

#[expect(dead_code, reason = "the table of benches/pick.rs judges by the aims")]
#[path = "../../../pick/ours.rs"]
mod ours;
#[path = "../../../pick/rounds.rs"]
mod rounds;
mod table;
mod theirs;

use ours::{Client, ROWS};
use rounds::{cpu_ns, median};
use table::cells;
use theirs::{PEERS, TABLES};

/// Median build of three, in milliseconds of CPU.
fn built(build: impl Fn()) -> f64 {
    let once = |_| {
        let before = cpu_ns();
        build();
        (cpu_ns() - before) / 1e6
    };
    median((0..3).map(once).collect())
}

fn main() {
    table::print(&ROWS.iter().map(|row| row.name).collect::<Vec<_>>(), PEERS);
    println!("\n| ms of CPU a table of 65,537 slots | 100 | 1,000 | 10,000 |\n|---|---|---|---|");
    let row = ROWS.iter().find(|row| row.name == "maglev").expect("there is one");
    let maglev = [100, 1_000, 10_000].map(|n| Some(built(|| drop(Client::new(row, n)))));
    println!("| **maglev**, the client around it included | {} |", cells(&maglev));
    for (name, build) in TABLES {
        let costs = [100, 1_000].map(|n| Some(built(|| build(n))));
        println!("| {name} | {} | – |", cells(&costs));
    }
}
