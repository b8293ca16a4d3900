//! Measures jobs in interleaved rounds, in CPU time.

/// Something that can do its work so many times.
pub struct Job<'a> {
    pub name: String,
    pub endpoints: usize,
    pub work: Box<dyn FnMut(u64) + 'a>,
}

/// CPU nanoseconds of this thread so far. The kernel brings its account up to date when a thread yields.
pub fn cpu_ns() -> f64 {
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts the time of a thread");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds on a processor")
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Nanoseconds of CPU that each job takes for one: medians of `rounds` rounds of about `round_ns` each. All jobs take
/// turns, forwards and backwards, so that a slow stretch of the machine meets all of them alike.
pub fn interleaved(jobs: &mut [Job<'_>], rounds: usize, round_ns: f64) -> Vec<f64> {
    let counts: Vec<u64> = jobs.iter_mut().map(|job| calibrated(job, round_ns)).collect();
    let mut costs = vec![Vec::new(); jobs.len()];
    for round in 0..rounds {
        let forwards = 0..jobs.len();
        let order: Vec<usize> = if round % 2 == 0 { forwards.collect() } else { forwards.rev().collect() };
        for at in order {
            let before = cpu_ns();
            (jobs[at].work)(counts[at]);
            costs[at].push((cpu_ns() - before) / counts[at] as f64);
        }
    }
    costs.into_iter().map(median).collect()
}

/// How many fill a round, found by doubling. What is only done once is done before.
fn calibrated(job: &mut Job<'_>, round_ns: f64) -> u64 {
    (job.work)(64);
    let mut count = 16;
    loop {
        let before = cpu_ns();
        (job.work)(count);
        let took = cpu_ns() - before;
        if took > round_ns / 4.0 {
            return ((round_ns / took * count as f64) as u64).max(1);
        }
        count *= 2;
    }
}

/// A figure for people: three digits at least, no more decimals than one.
pub fn shown(ns: f64) -> String {
    if ns < 100.0 { format!("{ns:.1}") } else { format!("{ns:.0}") }
}
