//! What a pick costs here and in crates that implement the same algorithm, in one run, in CPU time.
//!
//! Our side goes through the trait and keeps the books of a channel; so does tower's, whose load is kept by its services.
//! The other crates pick and nothing else.

#[expect(dead_code, reason = "the table of benches/pick.rs judges by the aims")]
#[path = "../../../pick/ours.rs"]
mod ours;
#[path = "../../../pick/rounds.rs"]
mod rounds;
mod theirs;

use ours::{Client, ROWS, Row, SIZES};
use rounds::{Job, cpu_ns, interleaved, median, shown};
use theirs::PEERS;

/// Median build of three, in milliseconds of CPU.
fn built(build: impl Fn()) -> f64 {
    let once = |_| {
        let before = cpu_ns();
        build();
        (cpu_ns() - before) / 1e6
    };
    median((0..3).map(once).collect())
}

fn cells(values: &[Option<f64>]) -> String {
    values.iter().map(|value| value.map_or("–".to_owned(), shown)).collect::<Vec<_>>().join(" | ")
}

fn ours(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).expect("peers name rows")
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let (rounds, round_ns) = if quick { (3, 2e6) } else { (5, 2e7) };
    let mut jobs = Vec::new();
    for row in ROWS {
        for endpoints in SIZES.into_iter().filter(|endpoints| *endpoints <= row.most) {
            let mut client = Client::new(row, endpoints);
            client.settle(row, endpoints);
            jobs.push(Job { name: row.name.to_owned(), endpoints, work: Box::new(move |count| client.calls(count)) });
        }
    }
    for peer in PEERS {
        for endpoints in SIZES.into_iter().filter(|endpoints| *endpoints <= peer.most) {
            jobs.push(Job { name: peer.name.to_owned(), endpoints, work: (peer.build)(endpoints) });
        }
    }
    let costs = interleaved(&mut jobs, rounds, round_ns);
    let line = |name: &str| -> Vec<Option<f64>> {
        let cost = |size: &usize| jobs.iter().position(|job| job.name == name && job.endpoints == *size);
        SIZES.iter().map(|size| cost(size).map(|at| costs[at])).collect()
    };
    println!(
        "| ns of CPU a pick | 10 | 100 | 1,000 | 10,000 | 100,000 | ours over theirs |\n|---|---|---|---|---|---|---|"
    );
    for row in ROWS {
        let own = line(row.name);
        println!("| **{}** | {} | |", row.name, cells(&own));
        for peer in PEERS.iter().filter(|peer| peer.ours == row.name) {
            let other = line(peer.name);
            let ratio = |(own, other): (&Option<f64>, &Option<f64>)| own.zip(*other).map(|(own, other)| own / other);
            let ratios = own.iter().zip(&other).filter_map(ratio).map(|ratio| format!("{ratio:.2}"));
            println!("| {} | {} | {} |", peer.name, cells(&other), ratios.collect::<Vec<_>>().join(", "));
        }
    }
    println!("\n| ms of CPU a table of 65,537 slots | 100 | 1,000 | 10,000 |\n|---|---|---|---|");
    let maglev = [100, 1_000, 10_000].map(|n| Some(built(|| drop(Client::new(ours("maglev"), n)))));
    println!("| **maglev**, the client around it included | {} |", cells(&maglev));
    for (name, build) in theirs::TABLES {
        let costs = [100, 1_000].map(|n| Some(built(|| build(n))));
        println!("| {name} | {} | – |", cells(&costs));
    }
}
