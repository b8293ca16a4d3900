//! What a metric says of a fleet whose answer is plain: shares of groups, connections, keys, newcomers, caches, and a
//! list that is sent again.

mod common;

use common::{plan, run, runs};
use plimsoll::measure::catalog::value;
use plimsoll::measure::summary::Summary;

/// One run of each contender of a fleet that `rest` describes, at 400 calls a second for half a minute.
fn only_run(rest: &str, contender: &str) -> Summary {
    let head = "# What is it?\nduration = '30s'\nwarmup = '2s'\nseeds = 1\n[calls]\nrate = '400/s'\n";
    runs(&run(&plan(&format!("{head}{rest}"))), contender)[0].clone()
}

#[track_caller]
fn known(run: &Summary, key: &str) -> f64 {
    value(run, key).unwrap_or_else(|| panic!("there is no {key}")).unwrap_or_else(|| panic!("{key} is unknown"))
}

const GROUPS: &str = "[[clients]]\ncount = 20\n\
    [[backends]]\nname = 'heavy'\nweight = 10\nworkers = 9\nservice = '1ms'\n\
    [[backends]]\nname = 'light'\ncount = 9\nservice = '1ms'\n";
const CONTENDERS: &str = "[contenders]\nzero = { balancer = { wrr_edf = { start = 'zero' } } }\n";

#[test]
fn groups_share_by_weight() {
    let run = only_run(&format!("{GROUPS}{CONTENDERS}"), "zero");
    let (heavy, light) = (known(&run, "share.heavy"), known(&run, "share.light"));
    assert!((heavy - 10.0 / 19.0).abs() < 0.002, "{heavy}");
    assert!((heavy + light - 1.0).abs() < 1e-12, "all attempts are of some group");
    assert_eq!(value(&run, "share.other"), None, "there is no such group");
}

#[test]
fn a_list_that_is_sent_again_is_news() {
    // Twenty calls a second of each client: ten between two lists, all of them of the heavy one's first ten turns.
    let refresh = "[discovery]\npush = { delay = '1ms', refresh = '500ms' }\n";
    let run = only_run(&format!("{GROUPS}{refresh}{CONTENDERS}"), "zero");
    assert!(known(&run, "share.heavy") > 0.85, "{}", known(&run, "share.heavy"));
    let never = only_run(&format!("{GROUPS}[discovery]\npush = {{}}\n{CONTENDERS}"), "zero");
    assert!(known(&never, "share.heavy") < 0.53, "{}", known(&never, "share.heavy"));
}

#[test]
fn only_a_subset_is_connected() {
    let fleet = "[[clients]]\ncount = 40\n[[backends]]\ncount = 40\nservice = '1ms'\n[contenders]\n\
        all = { balancer = 'round_robin' }\ndealt = { balancer = { deterministic_subsetting = { size = 4 } } }\n\
        one = { balancer = { random_subsetting = { size = 1 } } }\n";
    let connections = |contender| -> Vec<u32> {
        only_run(fleet, contender).backends.iter().map(|backend| backend.connections.unwrap()).collect()
    };
    assert_eq!(connections("all"), [40; 40]);
    assert_eq!(connections("dealt"), [4; 40]);
    let one = connections("one");
    assert_eq!(one.iter().sum::<u32>(), 40, "one for each client");
    let most = f64::from(*one.iter().max().unwrap());
    assert_eq!(known(&only_run(fleet, "one"), "connections_max_over_mean"), most);
    assert_eq!(known(&only_run(fleet, "one"), "load_min_over_mean"), 0.0);
}

#[test]
fn keys_move_for_a_reason_or_for_nothing() {
    let fleet = |more: &str| {
        format!(
            "keys = {{ uniform = {{ count = 1_000 }} }}\n[[backends]]\ncount = 5\nservice = '1ms'\n\
             [discovery]\npush = {{ delay = '0ms' }}\n{more}[contenders]\n\
             vnodes = {{ balancer = 'hash_ring_vnodes' }}\nmodulo = {{ balancer = 'hash_mod' }}\n"
        )
    };
    let leaves = fleet("[[faults]]\nat = '15s'\nscale = { remove = 1 }\n");
    let (vnodes, modulo) = (only_run(&leaves, "vnodes"), only_run(&leaves, "modulo"));
    assert!((known(&vnodes, "keys_moved") - 0.2).abs() < 0.06, "{}", known(&vnodes, "keys_moved"));
    assert_eq!(known(&vnodes, "keys_moved_collateral"), 0.0);
    let collateral = known(&modulo, "keys_moved_collateral");
    assert!((collateral - 0.6).abs() < 0.06, "three of four that stayed go elsewhere: {collateral}");
    // Nothing happens: every key stays where it is, and nothing can be compared.
    let still = only_run(&fleet(""), "vnodes");
    assert_eq!(known(&still, "affinity_rate"), 1.0);
    assert_eq!(value(&still, "keys_moved_collateral"), Some(None));
}

#[test]
fn newcomers_settle_and_queues_have_a_length() {
    let fleet = "[[backends]]\ncount = 3\nservice = '5ms'\n[discovery]\npush = { delay = '1s' }\n\
        [[faults]]\nat = '10s'\nscale = { add = 1 }\n[contenders]\nrr = { balancer = 'round_robin' }\n";
    let run = only_run(fleet, "rr");
    let after = known(&run, "time_to_fair_share");
    assert!((800.0..=1_000.0).contains(&after), "they hear of it after a second: {after} ms");
    assert_eq!(
        known(&run, "queue_max"),
        run.backends.iter().map(|backend| f64::from(backend.queue_max)).fold(0.0, f64::max)
    );
    assert!(known(&run, "queue_max") > 0.0);
}

#[test]
fn the_windows_add_up_to_the_hit_rate() {
    let fleet = "keys = { uniform = { count = 100 } }\n[[backends]]\nservice = '1ms'\n\
        cache = { entries = 50, hit_service = '1ms' }\n[contenders]\nrr = { balancer = 'round_robin' }\n";
    let run = only_run(fleet, "rr");
    let warm = run.series.windows.iter().skip((2_000_000_000 / run.series.step_ns) as usize);
    let (hits, lookups) = warm.fold((0, 0), |(hits, all), w| (hits + w.cache_hits, all + w.cache_lookups));
    assert!((hits as f64 / lookups as f64 - known(&run, "cache_hit_rate")).abs() < 0.002);
    assert!((known(&run, "cache_hit_rate") - 0.5).abs() < 0.03, "half of the keys fit");
}
