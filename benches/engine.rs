//! What a simulated call costs, beside a hand-written loop for the same model, paired and interleaved, in CPU time.
//!
//! `cargo bench --bench engine` prints the table of `docs/performance.md`; `-- quick` makes fewer and shorter
//! rounds; `-- instructions [backends [calls]]` runs the supermarket once, for `valgrind --tool=callgrind` to count and
//! for a profiler to look at; `-- peer [seed]` runs it for `benches/peers/compare.py`.

#[expect(dead_code, reason = "the floor on its own in benches/peers uses the rest of it")]
#[path = "floor/mod.rs"]
mod floor;

use plimsoll::base::large_pages::LargePages;
use plimsoll::record::Nothing;
use plimsoll::scenario::plan::Plan;
use plimsoll::scenario::resolve::{self, Options};
use plimsoll::study::{self, Settings};

#[global_allocator]
static MEMORY: LargePages = LargePages;

/// The supermarket with `backends` servers, for `calls` calls.
fn supermarket(backends: u32, calls: u64, delay: &str, seeds: u32) -> Plan {
    let rate = 0.9 * f64::from(backends);
    let duration = (calls as f64 / rate).ceil();
    let text = format!(
        "# How fast is the engine?\nname = \"bench\"\nduration = \"{duration}s\"\nwarmup = \"{}s\"\nseeds = {seeds}\n\
         [calls]\nrate = \"{rate}/s\"\narrivals = \"poisson\"\n[[clients]]\ncount = 1\n[[backends]]\ncount = {backends}\n\
         workers = 1\nservice = {{ exponential = {{ mean = \"1s\" }} }}\n[network]\ndelay = \"{delay}\"\n\
         [contenders]\np2c = {{ balancer = {{ least_request = {{ choices = 2, sampling = \"distinct\" }} }} }}\n",
        (duration / 10.0).floor()
    );
    resolve::parse(&text, "bench.toml", &Options::default()).expect("the bench's file is right").plans.remove(0)
}

/// CPU seconds of this process so far: its threads' time on a processor, as Linux counts it.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux counts the time of a process");
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds on a processor") / 1e9
}

fn timed(work: impl FnOnce() -> u64) -> f64 {
    let before = cpu_seconds();
    let calls = work();
    (cpu_seconds() - before) * 1e9 / calls as f64
}

fn engine(plan: &Plan) -> u64 {
    let timeline = plan.timeline(1);
    study::run_one(plan, 0, 1, &timeline).accounting.scheduled
}

fn bare(plan: &Plan) -> u64 {
    plimsoll::sim::run(plan, 0, 1, &[], &mut Nothing).scheduled
}

fn floor(backends: u32, calls: u64) -> u64 {
    let rate = 0.9 * f64::from(backends);
    let duration_s = calls as f64 / rate;
    let model = floor::Model {
        backends: backends as usize,
        rate_per_s: rate,
        service_mean_s: 1.0,
        duration_s,
        warmup_s: duration_s / 10.0,
        seed: 1,
    };
    floor::run_with_digits(&model, 4);
    calls
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rounds of all jobs in turn, so that a slow stretch of the machine meets all of them alike. Medians.
fn interleaved(rounds: usize, jobs: &[(&str, &dyn Fn() -> u64)]) -> Vec<f64> {
    let mut costs = vec![Vec::new(); jobs.len()];
    for round in 0..rounds {
        let order: Vec<usize> =
            if round % 2 == 0 { (0..jobs.len()).collect() } else { (0..jobs.len()).rev().collect() };
        for job in order {
            costs[job].push(timed(jobs[job].1));
        }
    }
    costs.into_iter().map(median).collect()
}

fn numbers(arguments: &[String]) -> impl Iterator<Item = u64> {
    arguments.iter().filter_map(|argument| argument.parse().ok())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("instructions") {
        let number = |at: usize, or: u64| numbers(&arguments).nth(at).unwrap_or(or);
        println!("{}", engine(&supermarket(number(0, 100) as u32, number(1, 200_000), "0ms", 1)));
        return;
    }
    if has("peer") {
        // One line for benches/peers/compare.py, which knows the processor time of the whole process.
        let plan = supermarket(100, 5_000_000, "0ms", 1);
        let seed = numbers(&arguments).next().unwrap_or(1);
        let calls = study::run_one(&plan, 0, seed, &plan.timeline(seed)).accounting.scheduled;
        println!("{{\"calls\": {calls}}}");
        return;
    }
    let (rounds, calls) = if has("quick") { (3, 300_000) } else { (7, 2_000_000) };
    let plans = [100, 1_000, 10_000, 100_000]
        .map(|backends| supermarket(backends, calls.max(10 * u64::from(backends)), "0ms", 1));
    let delayed = supermarket(100, calls, "0.5ms", 1);
    let jobs: [(&str, &dyn Fn() -> u64); 8] = [
        ("floor, 100 backends", &|| floor(100, calls)),
        ("engine, 100 backends, everything on", &|| engine(&plans[0])),
        ("engine, 100 backends, nothing measured", &|| bare(&plans[0])),
        ("engine, 100 backends, two more events a call", &|| engine(&delayed)),
        ("engine, 1,000 backends", &|| engine(&plans[1])),
        ("engine, 10,000 backends", &|| engine(&plans[2])),
        ("engine, 100,000 backends", &|| engine(&plans[3])),
        ("floor, 10,000 backends", &|| floor(10_000, calls)),
    ];
    let costs = interleaved(rounds, &jobs);
    println!("| what | ns of CPU a call |\n|---|---|");
    for ((name, _), cost) in jobs.iter().zip(&costs) {
        println!("| {name} | {cost:.1} |");
    }
    println!();
    println!("engine against the floor: {:.2}", costs[0] / costs[1]);
    println!("everything on over nothing measured: {:.2}", costs[1] / costs[2]);
    println!("a further event: {:.0} ns", (costs[3] - costs[1]) / 2.0);
    println!("10,000 backends over 100: {:.2}; 100,000 over 100: {:.2}", costs[5] / costs[1], costs[6] / costs[1]);
    threads(calls);
}

/// Two threads over one, on seeds, by the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn threads(calls: u64) {
    let plan = supermarket(100, calls / 2, "0ms", 8);
    let wall = |threads| {
        let start = std::time::Instant::now();
        study::run(&plan, &Settings { threads, ..Settings::default() });
        start.elapsed().as_secs_f64()
    };
    let ratios: Vec<f64> = (0..3).map(|_| wall(1) / wall(2)).collect();
    println!("two threads over one: {:.2} times as fast", median(ratios));
}
