//! The supermarket model in NeXosim, written as its users write models: a client and a hundred backends, joined by
//! ports.
//!
//! The random numbers are those of the floor, in the same order, so with equal arguments both must print the same
//! `calls`, `mean_s` and `p99_s`, to the last digit.

use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

use hdrhistogram::Histogram;
use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::{Output, QuerySource};
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let before = cpu_s()?;

    let client_mailbox = Mailbox::new();
    let mut client = Client::new(arguments.seed);
    let mut bench = SimInit::with_num_threads(1);
    for id in 0..BACKENDS {
        let mailbox = Mailbox::new();
        let mut backend = Backend::new(id);
        let mut calls = Output::new();
        calls.connect(Backend::call, &mailbox);
        client.calls.push(calls);
        backend.replies.connect(Client::reply, &client_mailbox);
        bench = bench.add_model(backend, mailbox, &format!("backend-{id}"));
    }
    let report = QuerySource::new().connect(Client::report, &client_mailbox).register(&mut bench);
    let mut simulation = bench.add_model(client, client_mailbox, "client").init(MonotonicTime::EPOCH)?;
    // A deadline is part of the time simulated, the end of a run is not.
    simulation.step_until(Duration::from_secs(arguments.duration_s) - Duration::from_nanos(1))?;
    let report = simulation.process_query(&report, ())?;

    let cpu_s = cpu_s()? - before;
    println!(
        r#"{{"tool":"nexosim","calls":{},"cpu_s":{:.6},"mean_s":{:.9},"p99_s":{:.9}}}"#,
        report.calls,
        cpu_s,
        report.mean_ns / 1e9,
        report.p99_ns as f64 / 1e9
    );
    Ok(())
}

/// Where calls begin and end: it draws them, picks a backend for each by its own count of calls in flight, and
/// measures.
#[derive(Serialize, Deserialize)]
struct Client {
    /// One port a backend.
    calls: Vec<Output<Call>>,
    in_flight: Vec<u32>,
    rng: ChaCha8Rng,
    started: u64,
    #[serde(skip, default = "latencies")]
    latencies: Histogram<u64>,
}

#[Model]
impl Client {
    fn new(seed: u64) -> Self {
        Self {
            calls: Vec::new(),
            in_flight: vec![0; BACKENDS],
            rng: ChaCha8Rng::seed_from_u64(seed),
            started: 0,
            latencies: latencies(),
        }
    }

    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        self.schedule_next(cx);
    }

    /// The next call starts.
    #[nexosim(schedulable)]
    async fn start(&mut self, _: (), cx: &Context<Self>) {
        let backend = self.pick();
        let demand = exponential(&mut self.rng, SERVICE_MEAN_NS);
        self.started += 1;
        self.in_flight[backend] += 1;
        self.calls[backend].send(Call { started: cx.time(), demand }).await;
        self.schedule_next(cx);
    }

    /// A backend has served a call -- input port.
    fn reply(&mut self, reply: Reply, cx: &Context<Self>) {
        self.in_flight[reply.backend] -= 1;
        if reply.started >= MonotonicTime::EPOCH + WARMUP {
            let latency = cx.time().duration_since(reply.started);
            self.latencies.record(latency.as_nanos() as u64).expect("latency within the bounds");
        }
    }

    /// What was measured so far -- replier port.
    async fn report(&mut self) -> Report {
        Report { calls: self.started, mean_ns: self.latencies.mean(), p99_ns: self.latencies.value_at_quantile(0.99) }
    }

    /// The one of two distinct backends with fewer calls in flight, the first on a tie.
    fn pick(&mut self) -> usize {
        let a = below(&mut self.rng, BACKENDS);
        let b = below(&mut self.rng, BACKENDS - 1);
        let b = if b >= a { b + 1 } else { b };
        if self.in_flight[b] < self.in_flight[a] { b } else { a }
    }

    fn schedule_next(&mut self, cx: &Context<Self>) {
        let gap = exponential(&mut self.rng, GAP_MEAN_NS);
        cx.schedule_event(gap, schedulable!(Self::start), ()).expect("a time in the future");
    }
}

/// One worker and a queue.
#[derive(Serialize, Deserialize)]
struct Backend {
    replies: Output<Reply>,
    id: usize,
    /// Oldest first; the first one is being served.
    queue: VecDeque<Call>,
}

#[Model]
impl Backend {
    fn new(id: usize) -> Self {
        Self { replies: Output::new(), id, queue: VecDeque::new() }
    }

    /// A call arrives -- input port.
    fn call(&mut self, call: Call, cx: &Context<Self>) {
        self.queue.push_back(call);
        if self.queue.len() == 1 {
            self.serve_first(cx);
        }
    }

    /// The call in service is done.
    #[nexosim(schedulable)]
    async fn finish(&mut self, _: (), cx: &Context<Self>) {
        let Call { started, .. } = self.queue.pop_front().expect("a call in service");
        self.serve_first(cx);
        self.replies.send(Reply { backend: self.id, started }).await;
    }

    fn serve_first(&self, cx: &Context<Self>) {
        if let Some(call) = self.queue.front() {
            cx.schedule_event(call.demand, schedulable!(Self::finish), ()).expect("a time in the future");
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Call {
    started: MonotonicTime,
    demand: Duration,
}

#[derive(Clone, Serialize, Deserialize)]
struct Reply {
    backend: usize,
    started: MonotonicTime,
}

struct Report {
    calls: u64,
    mean_ns: f64,
    p99_ns: u64,
}

struct Arguments {
    duration_s: u64,
    seed: u64,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut parsed = Self { duration_s: 10_000, seed: 1 };
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--duration-s" => parsed.duration_s = value.parse()?,
                "--seed" => parsed.seed = value.parse()?,
                _ => return Err(format!("unknown option {name}: know --duration-s and --seed").into()),
            }
        }
        if !(WARMUP.as_secs() + 1..=MAX_LATENCY_S).contains(&parsed.duration_s) {
            let from = WARMUP.as_secs() + 1;
            return Err(format!("--duration-s must be between {from} and {MAX_LATENCY_S}").into());
        }
        Ok(parsed)
    }
}

fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY_S * 1_000_000_000, 3).expect("valid bounds")
}

/// Never zero, which the scheduler would refuse.
fn exponential(rng: &mut ChaCha8Rng, mean_ns: f64) -> Duration {
    let ns = (-libm::log(uniform(rng)) * mean_ns).round_ties_even() as u64;
    Duration::from_nanos(ns.max(1))
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
}

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// CPU time of all threads, from the scheduler's own account in nanoseconds (Linux).
fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let mut ns = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let account = std::fs::read_to_string(task?.path().join("schedstat"))?;
        ns += account.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(ns as f64 / 1e9)
}

const BACKENDS: usize = 100;
const SERVICE_MEAN_NS: f64 = 1e9;
/// 90 arrivals a second: a load of 0.9.
const GAP_MEAN_NS: f64 = 1e9 / 90.0;
const WARMUP: Duration = Duration::from_secs(100);
/// Ten million seconds, 900 million calls.
const MAX_LATENCY_S: u64 = 10_000_000;
