use plimsoll::backend::spec::*;
use plimsoll::base::dist::Law;
use plimsoll::base::id::*;
use plimsoll::base::quantity::*;
use plimsoll::base::time::*;
use plimsoll::measure::collect::*;
use plimsoll::policy::channel::ChannelSpec;
use plimsoll::scenario::plan::*;
use plimsoll::workload::spec::*;
use std::sync::Arc;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let n: u32 = args.get(1).map_or(100, |x| x.parse().unwrap());
    let secs: u64 = args.get(2).map_or(20000, |x| x.parse().unwrap());
    let balancer = args.get(3).cloned().unwrap_or(r#"{"least_request":{"choices":2,"sampling":"distinct"}}"#.into());
    let null = args.get(4).is_some_and(|x| x == "null");
    let clients: u32 = args.get(5).map_or(1, |x| x.parse().unwrap());
    let delay: &str = args.get(6).map_or("0ms", |x| x);
    let law = |s: &str| -> Law { serde_json::from_str(s).unwrap() };
    let plan = Plan {
        name: "supermarket".into(),
        question: "".into(),
        duration: Duration::from_secs(secs),
        warmup: Duration::from_secs(secs / 10),
        drain: Duration::from_secs(30),
        seeds: vec![1],
        calls: Calls {
            source: Source::Open { rate: Rate::of(0.9 * n as f64), arrivals: Arrivals::Poisson(Plain {}) },
            deadline: None,
            keys: None,
            mix: vec![],
        },
        zones: vec![Zone { name: "a/a".into(), region: RegionId(0) }],
        regions: vec!["a".into()],
        clients: vec![ClientGroup { name: "c".into(), zone: ZoneId(0), count: clients, share: 1.0 }],
        backends: vec![BackendGroup {
            name: "b".into(),
            zone: ZoneId(0),
            count: n,
            capacity: n,
            weight: 1,
            profile: Arc::new(Profile {
                workers: 1,
                discipline: Discipline::Fifo,
                queue: None,
                service: law(r#"{"exponential":{"mean":"1s"}}"#),
                errors: Errors::default(),
                warm_up: None,
                cache: None,
                abandoned: Abandoned::Drop,
            }),
        }],
        network: Network {
            delays: vec![law(&format!("\"{delay}\""))],
            loss: Ratio::ZERO,
            retransmit: Duration::from_millis(200),
            connect: Duration::ZERO,
        },
        discovery: Discovery::Static,
        faults: vec![],
        contenders: vec![ContenderPlan {
            name: "p2c".into(),
            channel: serde_json::from_str::<ChannelSpec>(&format!("{{\"balancer\":{balancer}}}")).unwrap(),
        }],
        baseline: 0,
        expects: vec![],
    };
    let frame = Frame {
        seed: 1,
        warmup: Instant::ZERO + plan.warmup,
        duration: Instant::ZERO + plan.duration,
        closed: false,
        keyed: false,
        backends: vec![(1, true); n as usize],
        faults: vec![],
        workload: vec![],
    };
    let t = std::time::Instant::now();
    if null {
        let f = plimsoll::sim::run(&plan, 0, 1, &[], &mut plimsoll::record::Nothing);
        println!("{f:?} {:.1} ns/call", t.elapsed().as_nanos() as f64 / f.ended as f64);
        return;
    }
    let mut fold = Fold::new(frame);
    let f = plimsoll::sim::run(&plan, 0, 1, &[], &mut fold);
    let s = fold.finish(f.events, f.ties, f.sojourn_sum_ns);
    println!("{f:?}");
    println!(
        "mean {:?} p99 {:?} calls {} ok {} max/mean {:?} digest {:?} acc {:?}",
        s.latency.mean_ns().map(|x| x / 1e9),
        s.latency.quantile_ns(0.99),
        s.outcomes.calls,
        s.outcomes.ok,
        s.spread,
        s.digests.run,
        s.accounting
    );
    println!("{:.1} ns/call", t.elapsed().as_nanos() as f64 / f.ended as f64);
    for line in std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmHWM")) {
        println!("{line}");
    }
}
