//! What every balancer must satisfy, whatever it is: each row of the catalogue goes through each check, with its
//! defaults and in the variants below. A check is a function that says what is wrong, so that `canary` can show
//! that it would.

mod canary;
mod history;

use std::panic::{AssertUnwindSafe, catch_unwind};

use history::{Care, live};

use super::catalog::{CARDS, Context, Promise, Spec};
use super::testing::{World, listing};
use super::{Balancer, Pick, Request};
use crate::base::metadata::Metadata;
use crate::base::rand::mix;
use crate::base::status::{Cause, Failure};
use crate::base::time::Duration;
use crate::policy::endpoints::{Connectivity, Listing};

/// Configurations that take other paths than the defaults.
const VARIANTS: &[&str] = &[
    r#"{ "pick_first": { "shuffle": "uniform" } }"#,
    r#"{ "pick_first": { "shuffle": "weighted" } }"#,
    r#"{ "round_robin": { "start": "zero", "on_update": "keep" } }"#,
    r#"{ "wrr_smooth": { "on_reweight": "reset", "max_fails": 2 } }"#,
    r#"{ "wrr_edf": { "refresh": "fixed", "start": "zero", "skip_equal": false } }"#,
    r#"{ "wrr_edf": { "start": "seed_mod" } }"#,
    r#"{ "wrr_edf": { "start": "uniform" } }"#,
    r#"{ "wrr_list": { "order": "interleaved", "max_len": 100 } }"#,
    r#"{ "weighted_random": { "method": "prefix_sums" } }"#,
    r#"{ "least_request": { "sampling": "distinct" } }"#,
    r#"{ "least_request": { "choices": 3 } }"#,
    r#"{ "least_request": { "choices": 4, "sampling": "distinct" } }"#,
    r#"{ "least_request": { "weights": "respect", "sampling": "distinct", "choices": 3 } }"#,
    r#"{ "least_request": { "ties": "request_rate" } }"#,
    r#"{ "least_request": { "max_open": 6 } }"#,
    r#"{ "least_connections": { "ties": "first" } }"#,
    r#"{ "least_connections": { "ties": "smooth_wrr" } }"#,
    r#"{ "least_connections": { "ties": "round_robin", "load": "haproxy" } }"#,
    r#"{ "oracle": { "sees": "work", "age": "20ms" } }"#,
    r#"{ "zone_avoidance": { "triggering_load": 5.0, "failures": 1, "blackout": "20ms", "forget_open": "50ms" } }"#,
    r#"{ "peak_ewma": { "variant": "linkerd", "failure_penalty": "5s" } }"#,
    r#"{ "peak_ewma": { "variant": "finagle" } }"#,
    r#"{ "peak_ewma": { "variant": "brpc", "failure_penalty": "1s" } }"#,
    r#"{ "weighted_least_request": { "bias": 2.5, "equal": "schedule" } }"#,
    r#"{ "least_conn_latency": { "choices": 2, "initial_rtt": "30ms" } }"#,
    r#"{ "p2c_memory": { "choices": 2, "memory": 3 } }"#,
    r#"{ "join_idle_queue": { "idle": "own" } }"#,
    r#"{ "join_idle_queue": { "idle": "reported" } }"#,
    r#"{ "orca_wrr": { "variant": "envoy", "blackout": "10ms", "expiration": "1s" } }"#,
    r#"{ "orca_wrr": { "oob": true, "blackout": "0s", "metrics": ["cpu_utilization"] } }"#,
    r#"{ "prequal": { "pool": 2, "probes": 0.5, "min_pool": 1, "q_rif": 0.0, "max_idle": "100ms" } }"#,
    r#"{ "prequal": { "probe_timeout": "9ms", "removals": 0.0, "error_aversion": 0.0 } }"#,
    r#"{ "prequal": { "mode": "sync", "sync_probes": 5, "probe_timeout": "9ms" } }"#,
    r#"{ "c3": { "rate_control": false, "clients": 1 } }"#,
    r#"{ "choice_of_2_utilization": { "max_utilization": 0.3, "max_errors": 0.1, "fade": "1s" } }"#,
    r#"{ "pack": { "max_open": 1 } }"#,
    r#"{ "gozero_p2c": { "decay_time": "10ms", "force_pick": "5ms" } }"#,
    r#"{ "kratos_p2c": { "force_pick": "5ms", "cache": "0s" } }"#,
    r#"{ "shortest_response": { "slide_period": "10ms" } }"#,
    r#"{ "weighted_response_time": { "interval": "10ms" } }"#,
    r#"{ "dynamic_weight_random": { "update": "gradient", "window": "1s", "window_samples": 3 } }"#,
    r#"{ "epsilon_greedy": { "count_open": true, "explore_new": true, "step": "mean" } }"#,
    r#"{ "softmax_annealed": { "step": "second", "reheat_on_update": false } }"#,
    r#"{ "ewma_dynamic_weights": { "pick": "smooth_wrr", "window": 2 } }"#,
    r#"{ "ring_hash": { "connect": "lazy", "min_ring": 600, "max_ring": 700 } }"#,
    r#"{ "maglev": { "unready": "walk", "table_size": 1021 } }"#,
    r#"{ "bounded_load": { "walk": "haproxy", "layout": "ring_hash" } }"#,
    r#"{ "bounded_load": { "walk": "envoy", "layout": { "maglev": { "table_size": 1021 } } } }"#,
    r#"{ "jump": { "on_leave": "shift" } }"#,
    r#"{ "anchor": { "capacity": 4 } }"#,
    r#"{ "ketama_md5": { "points": "dubbo" } }"#,
    r#"{ "ring_hash": { "hash": "murmur_hash_2" } }"#,
    r#"{ "hash_ring_vnodes": { "entry": "nearest" } }"#,
    r#"{ "ketama_crc32": { "points": 1, "tries": 1 } }"#,
    r#"{ "hash_mod": { "variant": "nginx" } }"#,
    r#"{ "hash_mod": { "variant": "ip_hash" } }"#,
    r#"{ "hash_mod": { "variant": "pingora" } }"#,
    r#"{ "hash_mod": { "variant": "haproxy" } }"#,
    r#"{ "locality_first": { "child": "least_request", "min_healthy": "60%", "fail_back_delay": "1s" } }"#,
    r#"{ "locality_first": { "child": { "ring_hash": { "connect": "lazy" } } } }"#,
    r#"{ "gslb": { "child": "bounded_load", "ttl": "2s", "monitor_interval": "1s", "failover": "ordered" } }"#,
    r#"{ "priority": { "child": "least_request", "by": "region", "failover_timeout": "20ms" } }"#,
    r#"{ "priority": { "child": { "ring_hash": { "connect": "lazy" } } } }"#,
    r#"{ "envoy_priority": { "by": "region", "fail_traffic_on_panic": true } }"#,
    r#"{ "envoy_priority": { "by": "all", "panic_threshold": 0, "child": "least_request" } }"#,
    r#"{ "zone_aware": { "callers": [5, 1, 1], "min_cluster_size": 2, "panic_threshold": 0 } }"#,
    r#"{ "weighted_target": { "weights": [1, 0, 3], "overprovisioning": 140, "split": "key" } }"#,
    r#"{ "canary": { "strict": true, "split": "key", "guard": { "excess": "10%", "during": "20ms" } } }"#,
    r#"{ "metadata_subsets": { "selectors": [{ "keys": ["version"] }, { "keys": ["stage", "version"] }] } }"#,
    r#"{ "metadata_subsets": { "fallback": "any_endpoint", "allow_redundant_keys": true, "child": "least_connections",
        "selectors": [{ "keys": ["stage"], "fallback": "no_fallback" }, { "keys": ["version"] }] } }"#,
    r#"{ "metadata_subsets": { "fallback": "default_subset", "default_subset": { "version": "v1" }, "panic_mode_any": true,
        "child": { "ring_hash": { "connect": "lazy" } }, "selectors": [{ "keys": ["version"] },
        { "keys": ["stage", "version"], "fallback": "keys_subset", "fallback_keys": ["version"] }] } }"#,
    r#"{ "metadata_subsets": { "fallback": "any_endpoint", "child": { "orca_wrr": { "oob": true } },
        "selectors": [{ "keys": ["version"] }, { "keys": ["stage", "version"], "fallback": "any_endpoint" }] } }"#,
    r#"{ "metadata_subsets": { "fallback": "any_endpoint",
        "selectors": [{ "keys": ["version"], "single_host_per_subset": true }] } }"#,
    r#"{ "priority": { "child": { "metadata_subsets": { "fallback": "any_endpoint", "child": "prequal",
        "selectors": [{ "keys": ["version"] }] } } } }"#,
    r#"{ "slow_start": { "window": "5s", "step": "10ms", "exempt_first": false } }"#,
    r#"{ "slow_start": { "window": "5s", "shape": "dubbo", "child": "least_connections" } }"#,
    r#"{ "connect_on_pick": { "count_pending": true } }"#,
    r#"{ "least_connections": { "count_pending": true } }"#,
    r#"{ "connect_on_pick": { "child": { "ring_hash": { "connect": "lazy" } } } }"#,
    r#"{ "session_affinity": { "child": { "connect_on_pick": { "child": "round_robin" } } } }"#,
    r#"{ "random_subsetting": { "size": 2 } }"#,
    r#"{ "deterministic_subsetting": { "size": 2, "child": { "ring_hash": { "connect": "lazy" } } } }"#,
    r#"{ "aperture": { "min": 2, "smoothing": "10ms" } }"#,
    r#"{ "deterministic_aperture": { "min": 2 } }"#,
    r#"{ "session_affinity": { "child": { "ring_hash": { "connect": "lazy" } } } }"#,
    r#"{ "session_affinity": { "override_host_status": ["healthy", "degraded", "draining"] } }"#,
    r#"{ "session_affinity": { "override_host_status": [], "child": "least_request" } }"#,
];

/// Rows that a check does not fit, and why: the name, and for some of their variants what follows it.
const EXCEPTIONS: &[(&str, Check, &str)] = &[
    ("session_affinity", Check::OneEndpoint, "a session with the only endpoint stays when others join"),
    ("aperture", Check::StartsCold, "the load that its width follows is the client's, not an endpoint's"),
    (PREQUAL_SYNC, Check::NobodyReady, "a call waits for answers to its probes"),
    (PREQUAL_SYNC, Check::OneEndpoint, "likewise"),
    (PREQUAL_SYNC, Check::Forgets, "likewise"),
    (PREQUAL_SYNC, Check::StartsCold, "likewise"),
    (C3_RATES, Check::OneEndpoint, "a call waits where nobody may be asked for more; without rate control it passes"),
    (C3_RATES, Check::Forgets, "likewise"),
    (C3_RATES, Check::StartsCold, "likewise"),
    (NO_FALLBACK, Check::NobodyReady, "calls that ask for nothing get nobody"),
    (NO_FALLBACK, Check::OneEndpoint, "likewise"),
    (NO_FALLBACK, Check::Forgets, "likewise"),
    (NO_FALLBACK, Check::StartsCold, "likewise"),
];

const PREQUAL_SYNC: &str = r#"prequal":{"mode":"sync"#;
const C3_RATES: &str = r#"c3":{"rate_control":true,"exponent"#;

const NO_FALLBACK: &str = r#"metadata_subsets":{"fallback":"no_fallback"#;

/// Rows and variants that pick others than those that are ready, all of them connected: when too few are healthy
/// (Envoy's panic, and its degraded hosts), for sessions, and whoever is alone in its subset. By the name or a parameter
/// that only they have.
const UNREADY: &[&str] = &[
    r#"{"envoy_priority""#,
    r#""override_host_status":["healthy","degraded","draining"]"#,
    r#""single_host_per_subset":true"#,
];

/// Variants that do not keep a promise of their row, by a parameter that only they have, and why.
const EXEMPTIONS: &[(&str, Promise, &str)] = &[
    (r#""on_leave":"shift""#, Promise::LittleDisruption, "that half of all keys move is what it shows"),
    (r#""override_host_status":[]"#, Promise::Sticky, "without a status that is allowed no session stays"),
    (r#""override_host_status":[]"#, Promise::LittleDisruption, "likewise"),
];

/// What holds for all.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Check {
    /// Whatever happens, it picks only who is ready, it does not panic, and it comes to rest.
    OnlyReady,
    /// Without anyone ready, calls wait while somebody may become ready, and fail else.
    NobodyReady,
    /// The only endpoint takes every call, and choosing it leaves no trace.
    OneEndpoint,
    /// Whoever has left is not picked, and what is heard of it late changes nothing.
    Forgets,
    /// Whoever joins starts cold, whoever had its place before.
    StartsCold,
    /// Same inputs, same picks.
    Twins,
    /// Waking early or twice changes nothing.
    SpuriousWakes,
    /// Whoever says that it only picks does the same when it is told and asked nothing else.
    OnlyPicks,
}

impl Check {
    const ALL: [Check; 8] = [
        Check::OnlyReady,
        Check::NobodyReady,
        Check::OneEndpoint,
        Check::Forgets,
        Check::StartsCold,
        Check::Twins,
        Check::SpuriousWakes,
        Check::OnlyPicks,
    ];
}

/// What is checked.
struct Subject {
    name: String,
    promises: Vec<Promise>,
    build: Box<Build>,
}

type Build = dyn Fn(&Context) -> Box<dyn Balancer>;

impl Subject {
    fn new(name: &str, promises: &[Promise], build: impl Fn(&Context) -> Box<dyn Balancer> + 'static) -> Subject {
        Subject { name: name.to_owned(), promises: promises.to_vec(), build: Box::new(build) }
    }

    fn of(spec: &str) -> Subject {
        let spec: Spec = serde_json::from_str(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
        let card = CARDS.iter().find(|card| card.name == spec.name()).expect("every member has a card");
        let name = serde_json::to_string(&spec).expect("it was read from JSON");
        Subject::new(&name, card.promises, move |context| spec.build(context))
    }

    fn build(&self, context: &Context) -> Box<dyn Balancer> {
        (self.build)(context)
    }

    /// Endpoints with these weights, all ready, all in the client's zone.
    fn world(&self, weights: &[u32]) -> World {
        let listings = weights.iter().enumerate().map(|(i, weight)| listing(i as u32, *weight)).collect();
        World::of(listings, self.build(&Context::lone(7)))
    }

    /// True if it may send calls to those that are not ready, but connected.
    fn may_panic(&self) -> bool {
        UNREADY.iter().any(|part| self.name.contains(part))
    }

    fn is_excused(&self, check: Check) -> bool {
        EXCEPTIONS.iter().any(|(name, excused, _)| *excused == check && self.name.starts_with(&format!("{{\"{name}")))
    }
}

fn subjects() -> Vec<Subject> {
    let presets = Spec::PRESETS.iter().map(|(name, _)| name);
    let rows = Spec::NAMES.iter().chain(presets).map(|name| format!("\"{name}\""));
    rows.chain(VARIANTS.iter().map(|text| (*text).to_owned())).map(|text| Subject::of(&text)).collect()
}

fn check(check: Check, subject: &Subject) -> Result<(), String> {
    let run = || match check {
        Check::OnlyReady => (0..12).try_for_each(|seed| live(subject, seed, 1_000, Care::Plain).map(drop)),
        Check::NobodyReady => nobody_ready(subject),
        Check::OneEndpoint => one_endpoint(subject),
        Check::Forgets => forgets(subject),
        Check::StartsCold => starts_cold(subject),
        Check::Twins => (0..3).try_for_each(|seed| twins(subject, seed, Care::Plain)),
        Check::SpuriousWakes => (0..3).try_for_each(|seed| twins(subject, seed, Care::Nervous)),
        Check::OnlyPicks => (0..3).try_for_each(|seed| twins(subject, seed, Care::Sparing)),
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn nobody_ready(subject: &Subject) -> Result<(), String> {
    let mut world = World::of(vec![], subject.build(&Context::lone(7)));
    let expect = |world: &mut World, what: &str, fits: fn(&Pick) -> bool| {
        let pick = world.pick(&Request::plain());
        if fits(&pick) { Ok(()) } else { Err(format!("{what}, and it says {pick:?}")) }
    };
    let fails: fn(&Pick) -> bool = |pick| matches!(pick, Pick::Fail(Cause::NoEndpoint));
    expect(&mut world, "nobody is listed", fails)?;
    world.list_cold(plain(0..3));
    for (state, queues) in [
        (Connectivity::Connecting, true),
        (Connectivity::TransientFailure, false),
        (Connectivity::Ready, true),
        (Connectivity::TransientFailure, false),
    ] {
        for i in 0..3 {
            world.connectivity(i, state);
        }
        match (state, queues) {
            (Connectivity::Ready, _) => expect(&mut world, "all are ready", |pick| matches!(pick, Pick::To(_)))?,
            (_, true) => {
                expect(&mut world, "all are connecting", |pick| matches!(pick, Pick::Queue | Pick::Pend { .. }))?
            }
            (_, false) => expect(&mut world, "all connections have failed", fails)?,
        }
    }
    world.list(vec![]);
    expect(&mut world, "nobody is listed any more", fails)
}

fn one_endpoint(subject: &Subject) -> Result<(), String> {
    let run = |picks| {
        let mut world = subject.world(&[3]);
        for i in 0..picks {
            let pick = world.pick(&Request { hash: Some(mix(i)), random: i, ..Request::plain() });
            if pick != Pick::To(world.id(0)) {
                return Err(format!("one endpoint is ready, and it says {pick:?}"));
            }
        }
        world.list(plain(0..5));
        Ok(busy_places(&mut world, 200))
    };
    same("after picks of the only endpoint", &run(0)?, &run(7)?)
}

fn forgets(subject: &Subject) -> Result<(), String> {
    let run = |late| {
        let mut world = subject.world(&[1, 2, 3, 1]);
        let gone = world.id(0);
        for _ in 0..10 {
            world.sent(gone);
        }
        world.advance(Duration::from_millis(50));
        world.list(plain(1..4));
        let mut places = vec![];
        for _ in 0..10 {
            if late {
                world.ended(gone, Duration::from_secs(9), Err(Failure::of(Cause::Backend)), None);
            }
            places.extend(busy_places(&mut world, 20));
        }
        places
    };
    // A pick of whoever has left would have panicked in `busy_places`.
    same("after late replies of an endpoint that had left", &run(false), &run(true))
}

fn starts_cold(subject: &Subject) -> Result<(), String> {
    let run = |history| {
        let mut world = subject.world(&[1, 1, 1]);
        for _ in 0..20 {
            if history {
                world.sent(world.id(1));
            }
            world.advance(Duration::from_millis(100));
            if history {
                world.done(1, Duration::from_millis(100), Err(Failure::of(Cause::Backend)));
            }
        }
        let slot = world.id(1).slot();
        world.list(vec![listing(0, 1), listing(2, 1)]);
        world.list(plain(0..4).into_iter().filter(|listing| listing.address.0 != 1).collect());
        assert_eq!(world.id(2).slot(), slot, "the newcomer has the place of the one that left");
        busy_places(&mut world, 200)
    };
    same("after another had failed in the newcomer's place", &run(false), &run(true))
}

fn twins(subject: &Subject, seed: u64, care: Care) -> Result<(), String> {
    same("in a twin's life", &live(subject, seed, 400, Care::Plain)?, &live(subject, seed, 400, care)?)
}

/// Picks with keys of which a fifth stays open for a while, as places in the list.
fn busy_places(world: &mut World, n: u64) -> Vec<usize> {
    let mut open = std::collections::VecDeque::new();
    let mut places = vec![];
    for i in 0..n {
        let pick = world.pick(&Request { hash: Some(mix(i)), random: mix(!i), ..Request::plain() });
        let Pick::To(id) = pick else { panic!("somebody is ready, and it says {pick:?}") };
        let place = world.place(id);
        places.push(place);
        world.sent(id);
        world.advance(Duration::from_millis(1));
        if i % 5 == 0 {
            open.push_back(place);
        } else {
            world.done(place, Duration::from_millis(1), Ok(()));
        }
        if open.len() > 6 {
            let place = open.pop_front().expect("it is long");
            world.done(place, Duration::from_millis(30), Ok(()));
        }
    }
    for place in open {
        world.done(place, Duration::from_millis(40), Ok(()));
    }
    places
}

fn same<T: PartialEq + std::fmt::Debug>(when: &str, expected: &[T], found: &[T]) -> Result<(), String> {
    match expected.iter().zip(found).position(|(expected, found)| expected != found) {
        None if expected.len() == found.len() => Ok(()),
        None => Err(format!("{when} it does {} things where it did {}", found.len(), expected.len())),
        Some(at) => Err(format!("{when}, at {at} of {}, {:?} became {:?}", expected.len(), expected[at], found[at])),
    }
}

fn plain(places: std::ops::Range<u32>) -> Vec<Listing> {
    places.map(|i| listing(i, 1)).collect()
}

/// What a row promises in the catalogue.
fn broken_promises(subject: &Subject) -> Vec<String> {
    let broken = |promise: &Promise| match promise {
        Promise::Weights => weights(subject),
        Promise::ZeroNever => zero_never(subject),
        Promise::Sticky => sticky(subject),
        Promise::LittleDisruption => little_disruption(subject),
    };
    let exempt = |promise: &&Promise| {
        EXEMPTIONS.iter().any(|(parameter, exempt, _)| exempt == *promise && subject.name.contains(parameter))
    };
    let promises = subject.promises.iter().filter(|promise| !exempt(promise));
    promises.filter_map(|promise| broken(promise).err()).collect()
}

fn weights(subject: &Subject) -> Result<(), String> {
    for weights in [&[5, 3, 2][..], &[1, 2, 3, 4, 10]] {
        let n = 20_000;
        let total: u32 = weights.iter().sum();
        let counts = subject.world(weights).counts(n);
        for (count, weight) in counts.iter().zip(weights) {
            let expected = n * *weight as usize / total as usize;
            // Five standard deviations of a fair draw are below 400.
            if count.abs_diff(expected) > 400 {
                return Err(format!("it promises calls by weight, but weights {weights:?} get {counts:?}"));
            }
        }
    }
    Ok(())
}

fn zero_never(subject: &Subject) -> Result<(), String> {
    // The calls stay open, so that who counts them has to move on.
    let sends = |weights: &[u32]| {
        let (mut world, mut counts) = (subject.world(weights), vec![0; weights.len()]);
        (0..500).for_each(|_| counts[world.send()] += 1);
        counts
    };
    let (some, all) = (sends(&[5, 0, 2]), sends(&[0, 0]));
    if some[1] == 0 && all.iter().all(|count| *count > 0) {
        return Ok(());
    }
    Err(format!("it promises nothing for weight 0 unless all are 0, but 5, 0, 2 get {some:?} and 0, 0 get {all:?}"))
}

fn place_of_key(world: &mut World, key: u64) -> u32 {
    let place = world.pick_hash(mix(key));
    world.table.get(world.id(place)).expect("it was just picked").address.0
}

fn sticky(subject: &Subject) -> Result<(), String> {
    let mut world = subject.world(&[1, 2, 1, 3, 1]);
    let map: Vec<u32> = (0..499).map(|key| place_of_key(&mut world, key)).collect();
    world.refresh();
    let again: Vec<u32> = (0..499).map(|key| place_of_key(&mut world, key)).collect();
    let spread = std::collections::BTreeSet::from_iter(&map).len();
    if spread < 5 {
        return Err(format!("499 keys use {spread} of 5 endpoints"));
    }
    same("it promises that a key stays, but asked again", &map, &again)
}

fn little_disruption(subject: &Subject) -> Result<(), String> {
    let mut world = subject.world(&[1; 10]);
    let before: Vec<u32> = (0..2_000).map(|key| place_of_key(&mut world, key)).collect();
    world.list(plain(0..10).into_iter().filter(|listing| listing.address.0 != 3).collect());
    let after: Vec<u32> = (0..2_000).map(|key| place_of_key(&mut world, key)).collect();
    let moved = before.iter().zip(&after).filter(|(before, after)| **before != 3 && before != after).count();
    if moved * 5 <= before.len() {
        return Ok(());
    }
    Err(format!("it promises little disruption, but one of 10 left and {moved} of {} other keys moved", before.len()))
}

/// A wrapper with nothing to do picks as its child alone would.
fn transparent(wrapper: &Subject, child: &Subject) -> Result<(), String> {
    let run = |subject: &Subject| {
        let mut world = subject.world(&[3, 1, 2]);
        let mut places = busy_places(&mut world, 100);
        world.list([3, 1, 2, 2].iter().enumerate().map(|(i, weight)| listing(i as u32, *weight)).collect());
        places.extend(busy_places(&mut world, 100));
        world.list(plain(1..4));
        places.extend(busy_places(&mut world, 100));
        places
    };
    let run = |subject| catch_unwind(AssertUnwindSafe(|| run(subject))).map_err(|_| "it panicked".to_owned());
    same("inside a wrapper with nothing to do", &run(child)?, &run(wrapper)?)
}

/// Children that draw nothing, so that it does not matter which stream a wrapper hands them.
const CHILDREN: &[&str] = &[
    r#"{ "round_robin": { "start": "zero" } }"#,
    r#""wrr_smooth""#,
    r#"{ "least_connections": { "ties": "first" } }"#,
    r#""ring_hash""#,
];

/// Wrappers that have something to do on any fleet, and what.
const OPAQUE: &[(&str, &str)] = &[
    ("session_affinity", "a key that comes again goes where it went before"),
    ("slow_start", "whoever joins weighs less for a while"),
];

/// Wrappers that have nothing to do only when they are told so: a parameter, and its value.
const MADE_IDLE: &[(&str, &str, &str)] =
    &[("metadata_subsets", "fallback", r#""any_endpoint""#), ("aperture", "min", "100")];

/// The wrapper of this name with nothing to do; `None` if it is none.
fn idle(name: &str) -> Option<serde_json::Value> {
    let mut spec: serde_json::Value = serde_json::from_str(&Subject::of(&format!("\"{name}\"")).name).ok()?;
    spec[name].get("child")?;
    for (_, parameter, value) in MADE_IDLE.iter().filter(|(idle, ..)| *idle == name) {
        spec[name][*parameter] = serde_json::from_str(value).expect("it is JSON");
    }
    Some(spec)
}

#[test]
fn every_row_passes_every_check() {
    let mut failures = vec![];
    for subject in subjects() {
        for by in Check::ALL.into_iter().filter(|check| !subject.is_excused(*check)) {
            if let Err(error) = check(by, &subject) {
                failures.push(format!("{}: {by:?}: {error}", subject.name));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_promise_is_kept() {
    let mut failures = vec![];
    for subject in subjects() {
        failures.extend(broken_promises(&subject).into_iter().map(|error| format!("{}: {error}", subject.name)));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn wrappers_with_nothing_to_do_do_not_show() {
    let mut failures = vec![];
    for name in Spec::NAMES.iter().filter(|name| OPAQUE.iter().all(|(opaque, _)| opaque != *name)) {
        let Some(mut spec) = idle(name) else { continue };
        for child in CHILDREN {
            spec[*name]["child"] = serde_json::from_str(child).expect("it is JSON");
            let wrapper = Subject::of(&spec.to_string());
            if let Err(error) = transparent(&wrapper, &Subject::of(child)) {
                failures.push(format!("{}: {error}", wrapper.name));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn wrappers_heed_health_if_their_children_do() {
    let mut wrappers = 0;
    for name in Spec::NAMES {
        let row = Subject::of(&format!("\"{name}\""));
        let Ok(mut spec) = serde_json::from_str::<serde_json::Value>(&row.name) else { continue };
        let heeds = |subject: &Subject| subject.build(&Context::lone(7)).heeds_health();
        assert_eq!(heeds(&row), ["envoy_priority", "connect_on_pick"].contains(name), "{name}");
        if spec[*name].get("child").is_some() {
            spec[*name]["child"] = "envoy_priority".into();
            let wrapper = Subject::of(&spec.to_string());
            assert!(heeds(&wrapper), "{}", wrapper.name);
            wrappers += 1;
        }
    }
    assert!(wrappers > 9, "{wrappers}");
}

#[test]
fn wrappers_tell_their_children_what_endpoints_are() {
    let child = r#"{ "metadata_subsets": { "fallback": "no_fallback", "selectors": [{ "keys": ["version"] }] } }"#;
    let labelled = |versions: [&str; 3]| {
        let listing = |(i, version): (usize, &str)| listing(i as u32, 1).labelled(&[("version", version)]);
        versions.into_iter().enumerate().map(listing).collect::<Vec<Listing>>()
    };
    let mut failures = vec![];
    for name in Spec::NAMES {
        let Some(mut spec) = idle(name) else { continue };
        spec[*name]["child"] = serde_json::from_str(child).expect("it is JSON");
        let context = Context { asks: [Metadata::of(&[("version", "v2")])].into(), ..Context::lone(7) };
        let mut world = World::of(labelled(["v1", "v2", "v1"]), Subject::of(&spec.to_string()).build(&context));
        let before = world.pick(&Request::plain());
        world.list(labelled(["v1", "v1", "v2"]));
        let after = world.pick(&Request::plain());
        if (before, after) != (Pick::To(world.id(1)), Pick::To(world.id(2))) {
            failures.push(format!("{name}: {before:?}, then {after:?}"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn a_history_is_worth_living_through() {
    // If the script ever became dull, the checks above would pass without looking.
    let life = |seed| live(&Subject::of("\"round_robin\""), seed, 1_000, Care::Plain).expect("it is sound");
    let deeds: Vec<history::Deed> = (1..4).flat_map(life).collect();
    let to = deeds.iter().filter(|deed| matches!(deed, history::Deed::Picked(Pick::To(_)))).count();
    assert!(deeds.len() > 1_200 && to > 600 && to < deeds.len(), "{to} of {}", deeds.len());
}
