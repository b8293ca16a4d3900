//! What calls are hashed by, in whole runs.

use plimsoll::scenario::resolve::{Options, parse};

mod common;

/// Shares of the attempts that each of four backends gets from one client, for a contender by key.
fn shares(keys: &str, hash: &str) -> Vec<f64> {
    let text = format!(
        "name = 'x'\nduration = '20s'\nseeds = 1\ncalls = {{ rate = '200/s'{keys} }}\n\
         backends = [{{ count = 4, workers = 8, service = '1ms' }}]\ncontenders = {{ it = {{ balancer = 'maglev'{hash} }} }}\n"
    );
    let study = common::run(&common::plan(&text));
    let attempts: Vec<f64> =
        common::runs(&study, "it")[0].backends.iter().map(|backend| backend.attempts as f64).collect();
    let all: f64 = attempts.iter().sum();
    attempts.iter().map(|attempts| attempts / all).collect()
}

#[test]
fn a_client_can_be_what_calls_are_hashed_by() {
    let keys = ", keys = { uniform = { count = 100000 } }";
    let most = |shares: Vec<f64>| shares.into_iter().fold(0.0, f64::max);
    assert!(most(shares(keys, "")) < 0.35, "many keys, all backends");
    assert_eq!(most(shares(keys, ", hash = ['client']")), 1.0, "one client, one backend");
    assert!(most(shares(keys, ", hash = ['client', 'key']")) < 0.35, "both together are as many as the keys");
    assert_eq!(most(shares(keys, ", hash = [{ client = { terminal = true } }, 'key']")), 1.0);
    assert_eq!(most(shares("", ", hash = ['key', 'client']")), 1.0, "a call without a key is hashed by the rest");
    assert_eq!(shares(keys, ", hash = ['key']"), shares(keys, ""), "the key alone is what there is by default");
}

#[test]
fn a_balancer_by_key_without_keys_is_a_warning_unless_calls_are_hashed_by_something_else() {
    let warnings = |hash: &str| {
        let text = format!(
            "name = 'x'\ncalls = {{ rate = '1/s' }}\nbackends = [{{ service = '1ms' }}]\n\
             contenders = {{ it = {{ balancer = 'maglev'{hash} }} }}\n"
        );
        parse(&text, "x.toml", &Options::default()).unwrap().warnings.iter().count()
    };
    assert_eq!((warnings(""), warnings(", hash = ['key']"), warnings(", hash = ['class']")), (1, 1, 0));
}
