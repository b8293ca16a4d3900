//! The floor of `benches/floor`, as a program of its own that the comparison can start beside the others.

use std::error::Error;

#[path = "../../../floor/mod.rs"]
mod floor;

fn main() -> Result<(), Box<dyn Error>> {
    let mut model = floor::Model {
        backends: 100,
        rate_per_s: 90.0,
        service_mean_s: 1.0,
        duration_s: 100_000.0,
        warmup_s: 100.0,
        seed: 1,
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--duration-s" => model.duration_s = value.parse()?,
            "--seed" => model.seed = value.parse()?,
            // For the growth of the cost with the size, at the same load. The comparison leaves it alone.
            "--backends" => {
                model.backends = value.parse()?;
                model.rate_per_s = 0.9 * model.backends as f64;
            }
            _ => return Err(format!("unknown option {name}: know --duration-s, --seed and --backends").into()),
        }
    }

    let before = cpu_s()?;
    let outcome = floor::run(&model);
    let cpu_s = cpu_s()? - before;
    println!(
        r#"{{"tool":"floor","calls":{},"cpu_s":{:.6},"mean_s":{:.9},"p99_s":{:.9}}}"#,
        outcome.calls,
        cpu_s,
        outcome.mean_ns / 1e9,
        outcome.p99_ns as f64 / 1e9
    );
    Ok(())
}

/// CPU time of the only thread, from the scheduler's own account in nanoseconds (Linux).
fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let account = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(account.split(' ').next().unwrap_or_default().parse::<u64>()? as f64 / 1e9)
}
