//! The floor: the supermarket model as one hand-written loop, with nothing in it that the model does not need.
//!
//! It exists to be divided by. An engine's time per call says little on its own, because it moves with the machine; its
//! ratio to this loop, taken in interleaved runs on the same cores, says how much of the time is the engine's own
//! doing.
//!
//! The model: `backends` single-worker FIFO queues, Poisson arrivals, exponential service. Each call looks at two
//! distinct backends and joins the one with fewer calls in flight, the first on a tie. The latency of every call that
//! starts at or after the end of warm-up and ends before the end of the run goes into a histogram.
//!
//! What it keeps, because the engine keeps it too and a yardstick without it would be shorter for no merit: ChaCha8,
//! inversion through the pinned `libm`, integer nanoseconds, a demand drawn when the call is born, and one event per
//! departure. What it leaves out is everything else: clients, endpoints, records, deadlines, names, errors.
//!
//! The event list holds at most one departure per backend, so it is a tournament tree with a leaf per backend: a change
//! is one walk from leaf to root with a compare and two selects a level, and the earliest departure stands at the root.
//! The next arrival is a single number beside it.
//!
//! At one instant departures come before the arrival. Departures of one nanosecond are at different backends and draw
//! nothing, so their order cannot be told from the outcome and is left open.

use std::hint::select_unpredictable;

use hdrhistogram::Histogram;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One supermarket model. Times are seconds of virtual time.
#[derive(Clone, Debug)]
pub struct Model {
    /// Number of backends, at least two.
    pub backends: usize,
    /// Arrivals a second, over all backends.
    pub rate_per_s: f64,
    /// Mean of the exponential service time.
    pub service_mean_s: f64,
    /// Nothing happens at or after this time.
    pub duration_s: f64,
    /// Calls that start before this time are served, and not measured.
    pub warmup_s: f64,
    /// Seed of the one stream of random numbers.
    pub seed: u64,
}

/// What a run saw.
#[derive(Clone, Debug, PartialEq)]
#[allow(dead_code, reason = "a bench reads the fields it needs")]
pub struct Outcome {
    /// Calls that arrived, those of the warm-up and those still in flight at the end included: the divisor for a cost
    /// per call.
    pub calls: u64,
    /// Mean latency of the measured calls, as the histogram has it.
    pub mean_ns: f64,
    /// Median latency.
    pub p50_ns: u64,
    /// 99th percentile of latency.
    pub p99_ns: u64,
    /// Largest latency, to the resolution of the histogram.
    pub max_ns: u64,
}

/// Runs `model` with a histogram of three significant digits.
pub fn run(model: &Model) -> Outcome {
    run_with_digits(model, 3)
}

/// Runs `model` with a histogram of `digits` significant digits, zero to five.
pub fn run_with_digits(model: &Model, digits: u8) -> Outcome {
    let duration = nanoseconds(model.duration_s * NS_PER_S);
    let warmup = nanoseconds(model.warmup_s * NS_PER_S);
    let mut births = Births::new(model);
    let mut backends = Backends::new(model.backends);
    let mut departures = Tournament::new(model.backends);
    // A latency is below the duration, so no value can miss the histogram.
    let mut latencies = Histogram::<u64>::new_with_bounds(1, duration.max(2), digits).expect("valid bounds");
    let mut calls = 0;
    let mut next = births.next();

    loop {
        let (departure, at) = departures.earliest();
        if departure <= next.at {
            if departure >= duration {
                break;
            }
            let (started, following) = backends.leave(at, departure);
            if started >= warmup {
                latencies.record(departure - started).expect("latency within the bounds");
            }
            departures.set(at, following);
        } else {
            if next.at >= duration {
                break;
            }
            calls += 1;
            let at = backends.shorter(next.a, next.b);
            if backends.join(at, next.at, next.demand) == 0 {
                departures.set(at, next.at + next.demand);
            }
            next = births.next();
        }
    }

    Outcome {
        calls,
        mean_ns: latencies.mean(),
        p50_ns: latencies.value_at_quantile(0.5),
        p99_ns: latencies.value_at_quantile(0.99),
        max_ns: latencies.max(),
    }
}

/// All that is random about a call: when it starts, the two backends it looks at, the work it brings.
#[derive(Clone, Copy, Default)]
struct Birth {
    at: u64,
    demand: u64,
    a: u32,
    b: u32,
}

/// The births in order, drawn a block at a time. None of it depends on the state of the queues, and in a loop of their
/// own the logarithms overlap; drawn one by one, each would be waited for by the mispredicted branch of the main loop.
struct Births {
    rng: ChaCha8Rng,
    backends: u64,
    gap_mean: f64,
    service_mean: f64,
    last: u64,
    block: Box<[Birth; BLOCK]>,
    used: usize,
}

impl Births {
    fn new(model: &Model) -> Self {
        assert!(model.backends >= 2, "two distinct choices need two backends");
        Self {
            rng: ChaCha8Rng::seed_from_u64(model.seed),
            backends: model.backends as u64,
            gap_mean: NS_PER_S / model.rate_per_s,
            service_mean: NS_PER_S * model.service_mean_s,
            last: 0,
            block: Box::new([Birth::default(); BLOCK]),
            used: BLOCK,
        }
    }

    fn next(&mut self) -> Birth {
        if self.used == BLOCK {
            self.refill();
        }
        let birth = self.block[self.used];
        self.used += 1;
        birth
    }

    /// Four draws a call, in the order gap, first choice, second choice, demand.
    #[inline(never)]
    fn refill(&mut self) {
        for birth in self.block.iter_mut() {
            let rng = &mut self.rng;
            self.last += exponential(rng, self.gap_mean);
            let a = below(rng, self.backends);
            let b = below(rng, self.backends - 1);
            let b = b + u64::from(b >= a);
            let demand = exponential(rng, self.service_mean);
            *birth = Birth { at: self.last, demand, a: a as u32, b: b as u32 };
        }
        self.used = 0;
    }
}

/// The calls in flight at each backend, oldest first: one ring a backend, all of one power-of-two size, in one vector.
/// A ring that overflows doubles them all, which soon stops happening; from then on nothing is allocated.
struct Backends {
    rings: Vec<Ring>,
    slots: Vec<Call>,
    shift: u32,
}

#[derive(Clone, Copy, Default)]
struct Ring {
    head: u32,
    in_flight: u32,
}

#[derive(Clone, Copy, Default)]
struct Call {
    started: u64,
    demand: u64,
}

impl Backends {
    fn new(n: usize) -> Self {
        let shift = 3;
        Self { rings: vec![Ring::default(); n], slots: vec![Call::default(); n << shift], shift }
    }

    /// The one of two with fewer calls in flight, `a` on a tie.
    fn shorter(&self, a: u32, b: u32) -> u32 {
        let b_is_shorter = self.rings[b as usize].in_flight < self.rings[a as usize].in_flight;
        select_unpredictable(b_is_shorter, b, a)
    }

    /// Appends a call and returns how many were there before it.
    fn join(&mut self, at: u32, started: u64, demand: u64) -> u32 {
        if self.rings[at as usize].in_flight >> self.shift != 0 {
            self.grow();
        }
        let ring = &mut self.rings[at as usize];
        let before = ring.in_flight;
        ring.in_flight += 1;
        let tail = ring.head.wrapping_add(before);
        let slot = self.slot(at, tail);
        self.slots[slot] = Call { started, demand };
        before
    }

    /// Removes the oldest call at `now`. Returns when it started, and when the one served next will leave.
    fn leave(&mut self, at: u32, now: u64) -> (u64, u64) {
        let ring = &mut self.rings[at as usize];
        let head = ring.head;
        ring.head = head.wrapping_add(1);
        ring.in_flight -= 1;
        let more = ring.in_flight != 0;
        let started = self.slots[self.slot(at, head)].started;
        let demand = self.slots[self.slot(at, head.wrapping_add(1))].demand;
        (started, select_unpredictable(more, now + demand, NEVER))
    }

    fn slot(&self, at: u32, position: u32) -> usize {
        let mask = (1 << self.shift) - 1;
        ((at as usize) << self.shift) | (position & mask) as usize
    }

    #[cold]
    fn grow(&mut self) {
        let mut wider = vec![Call::default(); self.slots.len() * 2];
        for (at, ring) in self.rings.iter_mut().enumerate() {
            for i in 0..ring.in_flight {
                let mask = (1 << self.shift) - 1;
                let from = (at << self.shift) | (ring.head.wrapping_add(i) & mask) as usize;
                wider[(at << (self.shift + 1)) | i as usize] = self.slots[from];
            }
            ring.head = 0;
        }
        self.slots = wider;
        self.shift += 1;
    }
}

/// A winner tree: node 1 is the root, the children of node `i` are `2 i` and `2 i + 1`, the leaves are the last half.
struct Tournament {
    nodes: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    backend: u32,
}

impl Tournament {
    fn new(n: usize) -> Self {
        let leaves = n.next_power_of_two();
        let mut nodes = vec![Entry { at: NEVER, backend: 0 }; 2 * leaves];
        for (i, leaf) in nodes[leaves..].iter_mut().enumerate() {
            leaf.backend = i as u32;
        }
        Self { nodes }
    }

    /// The earliest departure and its backend.
    fn earliest(&self) -> (u64, u32) {
        (self.nodes[1].at, self.nodes[1].backend)
    }

    fn set(&mut self, backend: u32, at: u64) {
        let nodes = self.nodes.as_mut_slice();
        let mask = nodes.len() - 1;
        let mut i = nodes.len() / 2 + backend as usize;
        let mut winner = Entry { at, backend };
        nodes[i] = winner;
        while i > 1 {
            // The length is a power of two, so the masks change nothing; they spare the bounds checks.
            let other = nodes[(i ^ 1) & mask];
            let other_wins = other.at < winner.at;
            winner.at = select_unpredictable(other_wins, other.at, winner.at);
            winner.backend = select_unpredictable(other_wins, other.backend, winner.backend);
            i /= 2;
            nodes[i & mask] = winner;
        }
    }
}

#[inline(always)]
fn exponential(rng: &mut ChaCha8Rng, mean: f64) -> u64 {
    nanoseconds(-libm::log(uniform(rng)) * mean)
}

/// `((x >> 12) as f64 + 0.5) * 2^-52`, in (0, 1) without its ends. Both ways are exact. This one sets the bits of a
/// number in [1, 2) and spares the conversion from an integer, which on x86-64 waits for the former content of its
/// register.
#[inline(always)]
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    let one_to_two = f64::from_bits(1.0f64.to_bits() | (rng.next_u64() >> 12));
    one_to_two - (1.0 - TWO_TO_MINUS_52 / 2.0)
}

fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}

/// `x.round_ties_even() as u64`, for times below 2^52 ns, which is 52 days: above that a double has no fraction left,
/// so the sum is rounded by the addition itself, ties to even. The method is a call into the C library on plain x86-64.
#[inline(always)]
fn nanoseconds(x: f64) -> u64 {
    assert!((0.0..TWO_TO_52).contains(&x), "a time out of range");
    (x + TWO_TO_52).to_bits() - TWO_TO_52.to_bits()
}

/// Calls drawn at a time.
const BLOCK: usize = 128;
/// Later than any event.
const NEVER: u64 = u64::MAX;
const NS_PER_S: f64 = 1e9;
const TWO_TO_52: f64 = (1u64 << 52) as f64;
const TWO_TO_MINUS_52: f64 = 1.0 / TWO_TO_52;
