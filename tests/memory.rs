//! Memory: a simulated call allocates nothing once a run is warm, and what a run holds does not grow with its calls.

use allocation_counter::{AllocationInfo, measure};
use plimsoll::scenario::plan::Plan;
use plimsoll::scenario::resolve::{self, Options};
use plimsoll::study;

/// A fleet that uses what calls can use: several clients, keys, a cache, errors, deadlines, retries and a network.
fn fleet(seconds: u32) -> Plan {
    let text = format!(
        "# Does a call allocate?\nname = \"memory\"\nduration = \"{seconds}s\"\nwarmup = \"1s\"\nseeds = 1\n\
         [calls]\nrate = \"2k/s\"\ndeadline = \"100ms\"\nkeys = {{ zipf = {{ count = 10_000, exponent = 1.1 }} }}\n\
         [[clients]]\ncount = 4\n[[backends]]\ncount = 20\nworkers = 4\nerrors = \"1%\"\n\
         service = {{ lognormal = {{ mean = \"20ms\", cv = 1.0 }} }}\n\
         cache = {{ entries = 100, hit_service = \"5ms\" }}\n[network]\ndelay = \"0.5ms\"\n\
         [client]\nretry = {{ attempts = 3, backoff = \"5ms\" }}\n[contenders]\np2c = {{ balancer = \"least_request\" }}\n"
    );
    resolve::parse(&text, "memory.toml", &Options::default()).expect("the test's file is right").plans.remove(0)
}

/// The supermarket: nothing but calls.
fn supermarket(seconds: u32) -> Plan {
    let text = format!(
        "# Does a call allocate?\nname = \"memory\"\nduration = \"{seconds}s\"\nwarmup = \"10s\"\nseeds = 1\n\
         [calls]\nrate = \"90/s\"\n[[clients]]\ncount = 1\n[[backends]]\ncount = 100\nworkers = 1\n\
         service = {{ exponential = {{ mean = \"1s\" }} }}\n[network]\ndelay = \"0ms\"\n\
         [contenders]\np2c = {{ balancer = {{ least_request = {{ choices = 2, sampling = \"distinct\" }} }} }}\n"
    );
    resolve::parse(&text, "memory.toml", &Options::default()).expect("the test's file is right").plans.remove(0)
}

/// Versions that calls ask for, some of them in vain.
fn versions(seconds: u32) -> Plan {
    let text = format!(
        "# Does a call allocate?\nname = \"memory\"\nduration = \"{seconds}s\"\nwarmup = \"1s\"\nseeds = 1\n\
         [calls]\nrate = \"300/s\"\nmix = [{{ name = \"a\", share = 1, metadata = {{ version = \"v1\" }} }}, \
         {{ name = \"b\", share = 1, metadata = {{ version = \"v3\" }} }}, {{ name = \"c\", share = 1 }}]\n\
         [[clients]]\ncount = 4\n[[backends]]\ncount = 10\nservice = \"5ms\"\nmetadata = {{ version = \"v1\" }}\n\
         [[backends]]\ncount = 10\nservice = \"5ms\"\nmetadata = {{ version = \"v2\" }}\n\
         [contenders.subsets.balancer.metadata_subsets]\nselectors = [{{ keys = [\"version\"] }}]\nchild = \"peak_ewma\"\n\
         fallback = \"default_subset\"\ndefault_subset = {{ version = \"v2\" }}\npanic_mode_any = true\n"
    );
    resolve::parse(&text, "memory.toml", &Options::default()).expect("the test's file is right").plans.remove(0)
}

/// What one run allocates, and how many calls it makes.
fn run(plan: &Plan) -> (AllocationInfo, u64) {
    let timeline = plan.timeline(1);
    let mut calls = 0;
    let info = measure(|| calls = study::run_one(plan, 0, 1, &timeline).accounting.scheduled);
    (info, calls)
}

#[test]
fn a_longer_run_allocates_no_more() {
    for (name, plan) in [("supermarket", supermarket as fn(u32) -> Plan), ("fleet", fleet), ("versions", versions)] {
        // Both are long enough for every table to have found its size, and cut time into windows of one length.
        let (short, few) = run(&plan(600));
        let (long, many) = run(&plan(1_200));
        let more = long.count_total.saturating_sub(short.count_total);
        assert!(many > few + 50_000, "{name}: {few} and {many} calls");
        assert!(more * 100 < many - few, "{name}: {more} allocations for {} more calls", many - few);
        // What may grow are tables that a longer run fills further, by one doubling at most, and the windows.
        let (before, after) = (short.bytes_max, long.bytes_max);
        assert!(after < before + before / 20 + 65_536, "{name}: {before} bytes, then {after}");
    }
}

#[test]
fn a_hundred_backends_take_less_than_32_megabytes() {
    for plan in [supermarket(2_000), fleet(100)] {
        let (info, _) = run(&plan);
        assert!(info.bytes_max < 32 << 20, "{} bytes", info.bytes_max);
    }
}
