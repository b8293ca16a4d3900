//! Our balancers and pingora's selections get the same lists and keys over random histories, and pick alike.

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{
    BackendIter, BackendSelection, Consistent, FNVHash, Random, RoundRobin, UniqueIterator,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[expect(dead_code, reason = "nothing here depends on which calls are open")]
#[path = "../../pick/tests/agree/ours.rs"]
mod ours;

use ours::{Ours, churn, name};

/// pingora sorts by address, and so is our list.
fn selection<S: BackendSelection>(list: &[(u32, u32)]) -> Arc<S> {
    let backend = |(number, weight): &(u32, u32)| Backend::new_with_weight(&name(*number), *weight as usize).unwrap();
    Arc::new(S::build(&list.iter().map(backend).collect::<BTreeSet<Backend>>()))
}

/// The first of pingora's choices that is ready, if there is one within so many tries.
fn first_ready<I: BackendIter>(choices: I, tries: usize, down: &[u32]) -> Option<String> {
    let mut choices = UniqueIterator::new(choices, tries);
    let address = |backend: Backend| backend.addr.to_string();
    std::iter::from_fn(|| choices.get_next()).map(address).find(|to| down.iter().all(|number| name(*number) != *to))
}

/// Endpoints come and go and fail; what a key's owner leaves goes where pingora sends it, up to 20 tries.
fn keys<S: BackendSelection>(balancer: &str)
where
    S::Iter: BackendIter,
{
    let mut random = StdRng::seed_from_u64(1);
    let mut ours = Ours::new(balancer);
    let (mut list, mut next) = (vec![], 0);
    let (mut compared, mut failed_over) = (0, 0);
    for _ in 0..150 {
        churn(&mut list, &mut next, 4, &mut random);
        ours.list(&list);
        let theirs = selection::<S>(&list);
        let down: Vec<u32> =
            list.iter().skip(1).map(|(number, _)| *number).filter(|_| random.random_bool(0.2)).collect();
        for healthy in [true, false] {
            let down = if healthy { &[][..] } else { &down };
            down.iter().for_each(|number| ours.ready(*number, false));
            for _ in 0..200 {
                let hash: u64 = random.random();
                let choices = || theirs.iter(&hash.to_le_bytes());
                let Some(expected) = first_ready(choices(), 20, down) else { continue };
                let endpoint = ours.pick(hash);
                assert_eq!(name(ours.number(endpoint)), expected, "key {hash}, {down:?} down of {list:?}");
                compared += 1;
                failed_over += u32::from(first_ready(choices(), 1, down).is_none());
            }
            down.iter().for_each(|number| ours.ready(*number, true));
        }
    }
    assert!(compared > 59_000 && failed_over > 2_000, "{compared} compared, {failed_over} on another try");
}

#[test]
fn ketama_picks_as_pingora() {
    keys::<Consistent>(r#""pingora.ketama""#);
}

#[test]
fn hashes_by_weight_are_those_of_pingora() {
    keys::<FNVHash>(r#""pingora.fnv""#);
}

/// While all are ready. Of those that are not, pingora spends a turn on each it meets and goes on without weights.
#[test]
fn turns_by_weight_are_those_of_pingora() {
    let mut random = StdRng::seed_from_u64(2);
    let mut ours = Ours::new(r#""pingora.round_robin""#);
    let (mut list, mut next) = (vec![], 0);
    for _ in 0..300 {
        churn(&mut list, &mut next, 6, &mut random);
        // Weights with a factor in common, too.
        let factor = random.random_range(1..4);
        let weighted: Vec<(u32, u32)> = list.iter().map(|(number, weight)| (*number, weight * factor)).collect();
        ours.list(&weighted);
        let theirs = selection::<RoundRobin>(&weighted);
        for turn in 0..random.random_range(0..300) {
            let endpoint = ours.pick(0);
            let expected = first_ready(theirs.iter(b""), 1, &[]).unwrap();
            assert_eq!(name(ours.number(endpoint)), expected, "turn {turn} of {weighted:?}");
        }
    }
}

/// pingora draws by itself: shares are compared, each within five standard errors of the other.
#[test]
fn draws_by_weight_are_distributed_as_those_of_pingora() {
    const DRAWS: u32 = 200_000;
    let list = [(0, 1), (1, 5), (2, 2), (3, 12)];
    let mut ours = Ours::new(r#""pingora.random""#);
    ours.list(&list);
    let theirs = selection::<Random>(&list);
    let (mut here, mut there) = ([0_u32; 4], [0_u32; 4]);
    for _ in 0..DRAWS {
        let endpoint = ours.pick(0);
        here[ours.number(endpoint) as usize] += 1;
        let to = first_ready(theirs.iter(b""), 1, &[]).unwrap();
        there[list.iter().position(|(number, _)| name(*number) == to).unwrap()] += 1;
    }
    for (number, weight) in list {
        let (a, b) = (f64::from(here[number as usize]), f64::from(there[number as usize]));
        let p = f64::from(weight) / 20.0;
        let error = (2.0 * f64::from(DRAWS) * p * (1.0 - p)).sqrt();
        assert!((a - b).abs() < 5.0 * error, "endpoint {number}: {a} here, {b} there, standard error {error}");
    }
}
