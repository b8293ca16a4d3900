//! Does a balancer of your own beat the ones you know? It competes in one file: implement [`Balancer`], let it
//! into a plan, run, read the comparison.
//!
//! ```text
//! cargo run --release --example own_balancer
//! ```

use plimsoll::base::id::EndpointId;
use plimsoll::base::rand::{Bits, Rand};
use plimsoll::base::time::Instant;
use plimsoll::policy::balancer::{Balancer, Endpoints, Pick, Request};
use plimsoll::scenario::resolve;
use plimsoll::study::{self, Settings};

/// Two choices with a memory: of one drawn endpoint and the winner of last time, the one with fewer open calls
/// (Mitzenmacher, Prabhakar and Shah, FOCS 2002).
struct TwoWithMemory {
    rand: Rand,
    last: Option<EndpointId>,
}

impl Balancer for TwoWithMemory {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        // An endpoint that is no longer ready must not be picked again.
        self.last = self.last.filter(|last| endpoints.ready.contains(last));
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if endpoints.ready.is_empty() {
            return Pick::nobody(endpoints);
        }
        let drawn = endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize];
        let remembered = self.last.unwrap_or(drawn);
        let fewer = endpoints.in_flight(remembered) <= endpoints.in_flight(drawn);
        let winner = if fewer { remembered } else { drawn };
        self.last = Some(winner);
        Pick::To(winner)
    }
}

const SCENARIO: &str = r#"
    # Is one draw and a memory as good as two draws?
    name = "own-balancer"
    duration = "60s"
    warmup = "5s"
    seeds = 5
    calls = { rate = "900/s" }
    backends = [{ count = 10, service = { exponential = { mean = "10ms" } } }]
    network = { delay = "0ms" }
    contenders = { random = { balancer = "random" }, two_choices = { balancer = "p2c" } }
"#;

fn main() -> Result<(), String> {
    let loaded = resolve::parse(SCENARIO, "own_balancer.toml", &resolve::Options::default());
    let mut plan = loaded.map_err(|findings| findings.render(false))?.plans.remove(0);
    plan.compete("two_with_memory", |context| {
        Box::new(TwoWithMemory { rand: context.seed.stream("two_with_memory"), last: None })
    });

    let study = study::run(&plan, &Settings::default()).ok_or("somebody stopped it")?;
    println!("{:<16} {:>10} {:>10}", "contender", "mean ms", "p99 ms");
    for contender in &study.contenders {
        let runs = contender.runs.len() as f64;
        let mean = contender.runs.iter().filter_map(|run| run.latency.mean_ns()).sum::<f64>() / runs;
        let p99 = contender.runs.iter().filter_map(|run| run.latency.quantile_ns(0.99)).sum::<u64>() as f64 / runs;
        println!("{:<16} {:>10.2} {:>10.2}", contender.name, mean / 1e6, p99 / 1e6);
    }
    Ok(())
}
