//! The proof that the decision core has no clock, socket or task in it: what live channels were told, told again to
//! fresh ones, makes them want exactly the same.
#![cfg(feature = "live")]

use plimsoll::live::tape::{self, Stir, Turn};
use plimsoll::live::{self, Settings};
use plimsoll::policy::channel::{Action, Input};
use plimsoll::record::Nothing;
use plimsoll::scenario::{self, plan::Plan};

/// Three clients, four backends; one crashes and returns, one is slow, calls are retried or run out of time.
const SCENARIO: &str = r#"
    name = "replay"
    duration = "2s"
    warmup = "200ms"
    drain = "2s"
    seeds = 1
    calls = { rate = "300/s", deadline = "60ms", keys = { uniform = { count = 50 } } }
    clients = [{ count = 3 }]
    backends = [{ count = 4, workers = 4, service = { exponential = { mean = "6ms" } }, errors = "1%" }]
    faults = [
        { at = "600ms", for = "500ms", crash = {}, target = { count = 1 } },
        { at = "1s", for = "600ms", slow = { factor = 20 }, target = { count = 2 } },
    ]
    [contenders]
    round_robin = { balancer = "round_robin", retry = { attempts = 3, backoff = "10ms" } }
    p2c = { balancer = "least_request", retry = { attempts = 3, backoff = "10ms" } }
    peak_ewma = { balancer = "peak_ewma", health = { three_state = { interval = "300ms", timeout = "100ms" } } }
    ring_hash = { balancer = "ring_hash", retry = { attempts = 2, backoff = "5ms" } }
"#;

/// Servers of two sizes that say how loaded they are, in every way.
const REPORTS: &str = r#"
    name = "replay"
    duration = "2500ms"
    warmup = "500ms"
    drain = "2s"
    seeds = 1
    calls = { rate = "300/s", deadline = "200ms" }
    clients = [{ count = 2 }]
    faults = [{ at = "1s", for = "200ms", crash = {}, target = { count = 1 } }]
    [[backends]]
    count = 2
    workers = 8
    service = { exponential = { mean = "10ms" } }
    load_reports = { out_of_band = { period = "100ms", loss = "10%" } }
    [[backends]]
    count = 2
    workers = 2
    errors = "1%"
    service = { exponential = { mean = "10ms" } }
    load_reports = { out_of_band = { period = "100ms" } }
    probe_demand = 0.01
    [contenders]
    idle = { balancer = "join_idle_queue" }
    out_of_band = { balancer = { orca_wrr = { oob = true, blackout = "300ms" } } }
    per_call = { balancer = { orca_wrr = { blackout = "300ms" } } }
    prequal = { balancer = { prequal = { probe_timeout = "50ms" } } }
    prequal_sync = { balancer = { prequal = { mode = "sync", probe_timeout = "50ms" } } }
"#;

fn plan() -> Plan {
    parsed(SCENARIO)
}

fn parsed(text: &str) -> Plan {
    let loaded = scenario::resolve::parse(text, "replay.toml", &Default::default());
    loaded.unwrap_or_else(|findings| panic!("{}", findings.render(false))).plans.remove(0)
}

/// Plays a contender and hands out what each channel was told and wanted.
fn record(plan: &Plan, contender: usize) -> Vec<Vec<Turn>> {
    let settings = Settings { taped: true, ..Settings::default() };
    let timeline = plan.timeline(plan.seeds[0]);
    let finish = live::run(plan, contender, plan.seeds[0], &timeline.effects, &settings, &mut Nothing);
    finish.expect("the run succeeds").tapes
}

fn check(contender: usize) {
    let plan = plan();
    let tapes = record(&plan, contender);
    assert_eq!(tapes.len(), 3);
    same_again(&plan, contender, &tapes);
    tapes.iter().for_each(|tape| assert_eventful(&plan.contenders[contender].name, tape));
}

/// Fresh channels want the same at every turn.
fn same_again(plan: &Plan, contender: usize, tapes: &[Vec<Turn>]) {
    let name = &plan.contenders[contender].name;
    for (client, (tape, mut fresh)) in tapes.iter().zip(live::channels(plan, contender, plan.seeds[0])).enumerate() {
        let again = tape::replay(&mut fresh, tape);
        for (number, (turn, actions)) in tape.iter().zip(&again).enumerate() {
            assert_eq!(
                actions, &turn.actions,
                "{name}, client {client}, turn {number}: {:?} at {:?}",
                turn.stir, turn.now
            );
        }
        assert!(tape.is_sorted_by_key(|turn| turn.now), "{name}, client {client}: time ran backwards");
    }
}

/// What a balancer that listens needs to hear.
fn hears(name: &str, turn: &Turn) -> bool {
    let Stir::Input(input) = &turn.stir else { return false };
    match (name, input) {
        ("idle", Input::Idle(_)) => true,
        ("out_of_band", Input::Reported { load, .. }) => load.qps > 0.0 && load.cpu > 0.0,
        ("per_call", Input::Replied { outcome: Ok(()), load: Some(load), .. }) => load.qps > 0.0 && load.cpu > 0.0,
        ("prequal" | "prequal_sync", Input::Probed { ok: true, load: Some(load), .. }) => load.latency.is_some(),
        _ => false,
    }
}

#[test]
fn balancers_that_listen_to_servers_decide_the_same_again() {
    let plan = parsed(REPORTS);
    for contender in 0..plan.contenders.len() {
        let tapes = record(&plan, contender);
        same_again(&plan, contender, &tapes);
        let name = &plan.contenders[contender].name;
        // An idle message goes to one client of two.
        let heard: usize = tapes.iter().map(|tape| tape.iter().filter(|turn| hears(name, turn)).count()).sum();
        assert!(heard > 20, "{name}: heard of servers {heard} times only");
        // What is heard moves calls: three in four go to the large servers by weight, and half in turns.
        let sent = |turn: &Turn, large: bool| {
            let to = |action: &&Action| matches!(action, Action::Send { address, .. } if (address.0 < 2) == large);
            turn.actions.iter().filter(to).count()
        };
        let after = |turn: &&Turn| turn.now.as_nanos() > 1_600_000_000;
        let count = |large| -> usize { tapes.iter().flatten().filter(after).map(|turn| sent(turn, large)).sum() };
        let share = count(true) as f64 / (count(true) + count(false)) as f64;
        if ["out_of_band", "per_call"].contains(&name.as_str()) {
            assert!((0.65..0.95).contains(&share), "{name}: {share} to the large ones");
        }
    }
}

/// A tape on which nothing happened would prove nothing.
fn assert_eventful(name: &str, tape: &[Turn]) {
    let has = |what: &str, is: &dyn Fn(&Turn) -> bool| assert!(tape.iter().any(is), "{name}: no {what} on a tape");
    has("call", &|turn| matches!(turn.stir, Stir::Input(Input::Start(_))));
    has("wake-up", &|turn| turn.stir == Stir::Timeout);
    has("answer", &|turn| matches!(turn.stir, Stir::Input(Input::Replied { outcome: Ok(()), .. })));
    has("failure", &|turn| matches!(turn.stir, Stir::Input(Input::Replied { outcome: Err(_), .. })));
    has("broken connection", &|turn| matches!(turn.stir, Stir::Input(Input::Disconnected(_))));
    has("new connection", &|turn| matches!(turn.stir, Stir::Input(Input::Connected(_))));
    has("given-up call", &|turn| turn.actions.iter().any(|action| matches!(action, Action::Cancel { .. })));
    assert!(tape.len() > 200, "{name}: only {} turns on a tape", tape.len());
}

#[test]
fn round_robin_with_retries_decides_the_same_again() {
    check(0);
}

#[test]
fn two_choices_decide_the_same_again() {
    check(1);
}

#[test]
fn latency_and_health_checks_decide_the_same_again() {
    check(2);
}

#[test]
fn a_hash_ring_decides_the_same_again() {
    check(3);
}

#[test]
fn the_comparison_would_notice_another_decision() {
    let plan = plan();
    let tapes = record(&plan, 0);
    // A channel of another contender is told the same, and wants something else.
    let again = tape::replay(&mut live::channels(&plan, 1, plan.seeds[0]).remove(0), &tapes[0]);
    assert!(tapes[0].iter().zip(&again).any(|(turn, actions)| turn.actions != *actions));
}
