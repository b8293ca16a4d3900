//! Measures rows of ours and the crates beside them in one run, and prints them as a table.

use std::hint::black_box;

use crate::ours::{ROWS, SIZES, jobs};
use crate::rounds::{Job, interleaved, shown};

pub type Work = Box<dyn FnMut(u64)>;

/// A crate's pick, and the row of ours that it stands beside.
pub struct Peer {
    pub name: &'static str,
    pub ours: &'static str,
    /// Largest number of endpoints that is measured.
    pub most: usize,
    pub build: fn(usize) -> Work,
}

pub const fn peer(name: &'static str, ours: &'static str, most: usize, build: fn(usize) -> Work) -> Peer {
    Peer { name, ours, most, build }
}

/// So many picks, each of them kept from being optimised away.
pub fn repeated<T>(mut pick: impl FnMut() -> T + 'static) -> Work {
    Box::new(move |count| {
        for _ in 0..count {
            black_box(pick());
        }
    })
}

/// The cells of a line.
pub fn cells(values: &[Option<f64>]) -> String {
    values.iter().map(|value| value.map_or("–".to_owned(), shown)).collect::<Vec<_>>().join(" | ")
}

/// The names of our rows that are measured and the crates beside them. `quick` as an argument makes short rounds.
pub fn print(rows: &[&'static str], peers: &[Peer]) {
    let quick = std::env::args().any(|argument| argument == "quick");
    let (rounds, round_ns) = if quick { (3, 2e6) } else { (5, 2e7) };
    let mut jobs = jobs(ROWS.iter().filter(|row| rows.contains(&row.name)));
    for peer in peers {
        for endpoints in SIZES.into_iter().filter(|endpoints| *endpoints <= peer.most) {
            jobs.push(Job { name: peer.name.to_owned(), endpoints, work: (peer.build)(endpoints) });
        }
    }
    let costs = interleaved(&mut jobs, rounds, round_ns);
    let line = |name: &str| -> Vec<Option<f64>> {
        let cost = |size: &usize| jobs.iter().position(|job| job.name == name && job.endpoints == *size);
        SIZES.iter().map(|size| cost(size).map(|at| costs[at])).collect()
    };
    println!("| ns of CPU a pick | 10 | 100 | 1,000 | 10,000 | 100,000 | ours over theirs |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        let own = line(row);
        println!("| **{row}** | {} | |", cells(&own));
        for peer in peers.iter().filter(|peer| peer.ours == *row) {
            let other = line(peer.name);
            let ratio = |(own, other): (&Option<f64>, &Option<f64>)| own.zip(*other).map(|(own, other)| own / other);
            let ratios = own.iter().zip(&other).filter_map(ratio).map(|ratio| format!("{ratio:.2}"));
            println!("| {} | {} | {} |", peer.name, cells(&other), ratios.collect::<Vec<_>>().join(", "));
        }
    }
}
