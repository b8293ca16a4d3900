//! Peak EWMA, against tower's: by the load of each endpoint, and pick for pick where two are all of them.
//!
//! tower reads the clock of tokio, which stands still here and is moved by exact steps.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time;

use plimsoll::base::id::{Address, EndpointId};
use plimsoll::base::time::Duration;
use plimsoll::policy::balancer::Feedback;
use plimsoll::policy::balancer::Score;
use plimsoll::policy::balancer::score::peak_ewma::{PeakEwma, Variant};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{self, CompleteOnResponse, Load};

use crate::choices::Noting;
use crate::ours::{Ours, churn};

const DEFAULT_MS: u64 = 30;
const TAU_S: u64 = 10;

type Peer = load::PeakEwma<Noting>;

fn peer(number: usize, called: &Arc<AtomicUsize>) -> Peer {
    let (rtt, tau_ns) = (time::Duration::from_millis(DEFAULT_MS), TAU_S as f64 * 1e9);
    load::PeakEwma::new(Noting(number, called.clone()), rtt, tau_ns, CompleteOnResponse::default())
}

/// tower hides the number and prints it, to the last bit.
fn number(cost: &load::peak_ewma::Cost) -> f64 {
    let text = format!("{cost:?}");
    text.strip_prefix("Cost(").and_then(|text| text.strip_suffix(')')).unwrap().parse().unwrap()
}

/// Runs with a clock that only `advance` moves.
fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

/// Both clocks go on: a few nanoseconds, or so long that an estimate sinks.
async fn advance(ours: &mut Ours, random: &mut StdRng) {
    let digits = random.random_range(1..10);
    let step = random.random_range(0..10_u64.pow(digits));
    tokio::time::advance(time::Duration::from_nanos(step)).await;
    ours.now += Duration::from_nanos(step);
}

/// A call that is open on both sides.
struct Call {
    endpoint: EndpointId,
    sent: plimsoll::base::time::Instant,
    theirs: <Peer as Service<()>>::Future,
}

/// Endpoints come and go, calls are sent, answered and given up, and loads are looked at, which changes them. The two
/// exponentials may differ in the last bit.
#[test]
fn the_load_is_that_of_tower() {
    paused(async {
        let mut random = StdRng::seed_from_u64(7);
        let called = Arc::new(AtomicUsize::new(0));
        let mut ours = Ours::new(r#""tower.p2c_peak_ewma""#);
        let tau = Duration::from_secs(TAU_S);
        let mut score = PeakEwma::new(Variant::Tower, tau, Duration::from_millis(DEFAULT_MS), None);
        let (mut list, mut next) = (vec![], 0);
        let mut theirs: Vec<(u32, Peer)> = vec![];
        let mut open: Vec<Call> = vec![];
        let mut looks = 0;
        for _ in 0..60_000 {
            advance(&mut ours, &mut random).await;
            match random.random_range(0..100) {
                0 => {
                    churn(&mut list, &mut next, 1, &mut random);
                    ours.list(&list);
                    score.on_endpoints(ours.now, &ours.table.view());
                    theirs.retain(|(number, _)| list.iter().any(|(listed, _)| listed == number));
                    let known = theirs.len();
                    theirs.extend(list[known..].iter().map(|(number, _)| (*number, peer(0, &called))));
                }
                1..30 if !theirs.is_empty() => {
                    let (number, peer) = &mut theirs[random.random_range(0..list.len())];
                    let endpoint = ours.table.at(Address(*number)).unwrap();
                    ours.table.send_to(endpoint);
                    score.on_feedback(ours.now, &Feedback::Sent { endpoint });
                    open.push(Call { endpoint, sent: ours.now, theirs: peer.call(()) });
                }
                30..60 if !open.is_empty() => {
                    let mut call = open.swap_remove(random.random_range(0..open.len()));
                    // Answered, or given up: an answer that nobody waits for counts as well.
                    if random.random_bool(0.8) {
                        let mut context = Context::from_waker(Waker::noop());
                        assert!(Pin::new(&mut call.theirs).poll(&mut context).is_ready(), "it answers at once");
                    }
                    drop(call.theirs);
                    ours.table.on_ended(call.endpoint);
                    let (endpoint, took) = (call.endpoint, ours.now - call.sent);
                    score.on_feedback(ours.now, &Feedback::Done { endpoint, took, outcome: Ok(()), retried: 0, load: None });
                }
                _ if !theirs.is_empty() => {
                    let (address, peer) = &theirs[random.random_range(0..list.len())];
                    let endpoint = ours.table.at(Address(*address)).unwrap();
                    let (here, there) = (score.load(ours.now, endpoint, &ours.table.view()), number(&peer.load()));
                    assert!((here - there).abs() <= 1e-12 * there, "{here} here, {there} there, after {looks} looks");
                    looks += 1;
                }
                _ => {}
            }
        }
        assert!(looks > 20_000 && next > 100, "{looks} looks at {next} endpoints");
    });
}

/// Of two endpoints both are compared, whoever draws. Before the first answer they are equal, so whoever got the first
/// call is called the same on both sides.
#[test]
fn of_two_the_pick_is_that_of_tower() {
    paused(async {
        let mut random = StdRng::seed_from_u64(8);
        let called = Arc::new(AtomicUsize::new(0));
        let peers: Vec<Peer> = (0..2).map(|number| peer(number, &called)).collect();
        let mut balance = Balance::new(ServiceList::new::<()>(peers));
        let mut ours = Ours::new(r#""tower.p2c_peak_ewma""#);
        ours.list(&[(0, 1), (1, 1)]);
        let (mut open, mut swapped, mut counts) = (vec![], None, [0; 2]);
        while counts[0] + counts[1] < 20_000 {
            advance(&mut ours, &mut random).await;
            let mut context = Context::from_waker(Waker::noop());
            // One call alone to begin with: its answer makes the two differ.
            let first_is_open = counts[0] + counts[1] == 1 && !open.is_empty();
            if !first_is_open && (open.is_empty() || open.len() < 10 && random.random_bool(0.55)) {
                let endpoint = ours.send();
                assert!(balance.poll_ready(&mut context).is_ready(), "both are ready");
                let call = balance.call(());
                let (here, there) = (ours.number(endpoint) as usize, called.load(Ordering::Relaxed));
                let swap = *swapped.get_or_insert(here != there);
                assert_eq!(here != there, swap, "call {counts:?}: {here} here, {there} there");
                counts[here] += 1;
                open.push((endpoint, ours.now, call));
            } else {
                let (endpoint, sent, mut call) = open.swap_remove(random.random_range(0..open.len()));
                assert!(Pin::new(&mut call).poll(&mut context).is_ready(), "it answers at once");
                let took = ours.now - sent;
                ours.end(endpoint, took);
            }
        }
        assert!(counts.iter().all(|count| *count > 4_000), "both are picked: {counts:?}");
    });
}
