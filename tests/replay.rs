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

fn plan() -> Plan {
    let loaded = scenario::resolve::parse(SCENARIO, "replay.toml", &Default::default());
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
    let name = &plan.contenders[contender].name;
    for (client, (tape, mut fresh)) in tapes.iter().zip(live::channels(&plan, contender, plan.seeds[0])).enumerate() {
        let again = tape::replay(&mut fresh, tape);
        for (number, (turn, actions)) in tape.iter().zip(&again).enumerate() {
            assert_eq!(
                actions, &turn.actions,
                "{name}, client {client}, turn {number}: {:?} at {:?}",
                turn.stir, turn.now
            );
        }
        assert!(tape.is_sorted_by_key(|turn| turn.now), "{name}, client {client}: time ran backwards");
        assert_eventful(name, tape);
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
